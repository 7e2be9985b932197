//! Values as go-yaml writes them: a port of `emitterc.go` and `encode.go`.
//!
//! What the emitter keeps as a queue of events and a stack of states is here a
//! stack of open collections, since nothing but block style is written and
//! only empty collections need to look ahead: they are opened when their
//! first item comes.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;

use super::node::Quoting;
use super::{order, resolve};
use crate::value::sink::Sink;
use crate::value::{Value, json, number};

/// The generation of go-yaml that output looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// v2, which `sigs.k8s.io/yaml` wraps.
    GoYaml2,
    /// v3: other rules for words, tabs and the order of keys.
    GoYaml3,
}

/// How output looks.
///
/// ```
/// use gitops_core::yaml::{self, Style};
/// let value = yaml::parse(b"list: [1]")?;
/// assert_eq!(yaml::to_string_with(&value, Style::KUBERNETES)?, "list:\n- 1\n");
/// assert_eq!(yaml::to_string_with(&value, Style::PRETTY)?, "list:\n  - 1\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Which quoting and ordering rules hold.
    pub dialect: Dialect,
    /// Whether values look as if they had been JSON before: whole floats as
    /// integers, `U+0085` as a line break, and text that JSON lets through
    /// and YAML does not is an error.
    pub via_json: bool,
    /// Whether lists in maps are indented.
    pub indent_lists: bool,
    /// Whether text is folded at 80 columns.
    pub fold: bool,
}

impl Style {
    /// `sigs.k8s.io/yaml`, Helm's `toYaml`.
    pub const KUBERNETES: Style = Style {
        dialect: Dialect::GoYaml2,
        via_json: true,
        indent_lists: false,
        fold: true,
    };

    /// Helm's `toYamlPretty`.
    pub const PRETTY: Style = Style {
        dialect: Dialect::GoYaml3,
        via_json: false,
        indent_lists: true,
        fold: false,
    };
}

/// Why a value cannot be written as YAML.
///
/// Displayed as Go prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteError(Cow<'static, str>);

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WriteError {}

/// `value` as [`Style::KUBERNETES`], with a line feed at its end.
///
/// # Errors
///
/// [`WriteError`] for floats that JSON does not have and text that YAML does
/// not.
pub fn to_string(value: &Value) -> Result<String, WriteError> {
    to_string_with(value, Style::KUBERNETES)
}

/// `value` as [`Style::PRETTY`], with a line feed at its end.
///
/// # Errors
///
/// None in this style; see [`to_string`].
pub fn to_string_pretty(value: &Value) -> Result<String, WriteError> {
    to_string_with(value, Style::PRETTY)
}

/// `value` in the given style, with a line feed at its end.
///
/// # Errors
///
/// As [`to_string`].
pub fn to_string_with(value: &Value, style: Style) -> Result<String, WriteError> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, style);
    value.write_to(&mut writer);
    writer.finish()?;
    Ok(String::from_utf8(out).expect("the writer is fed text and writes text"))
}

/// Writes YAML piece by piece; see [`Sink`].
///
/// ```
/// use gitops_core::value::Sink;
/// use gitops_core::yaml::{Style, Writer};
/// let mut out = Vec::new();
/// let mut writer = Writer::new(&mut out, Style::KUBERNETES);
/// writer.begin_map();
/// writer.key("on");
/// writer.begin_list();
/// writer.string("yes");
/// writer.end_list();
/// writer.end_map();
/// writer.finish()?;
/// assert_eq!(out, b"\"on\":\n- \"yes\"\n");
/// # Ok::<(), gitops_core::yaml::WriteError>(())
/// ```
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    style: Style,
    failure: Option<WriteError>,
    open: Vec<Level>,
    /// -1 outside of everything.
    indent: isize,
    /// Characters on the current line.
    column: usize,
    /// Whether the last character was a blank, or none was written.
    whitespace: bool,
    /// Whether nothing but indentation and indicators that count as
    /// indentation is on the line.
    indention: bool,
    /// Whether what comes before the next node is written already.
    begun: bool,
}

/// An open collection.
#[derive(Debug)]
struct Level {
    list: bool,
    started: bool,
    /// Whether it is the value of a key.
    in_map: bool,
    indent_before: isize,
}

const INDENT: isize = 2;
const WIDTH: usize = 80;

/// The longest key that needs no `?`.
const SIMPLE_KEY: usize = 128;

impl<'a> Writer<'a> {
    /// A writer that appends to `out`.
    pub fn new(out: &'a mut Vec<u8>, style: Style) -> Self {
        Writer {
            out,
            style,
            failure: None,
            open: Vec::with_capacity(8),
            indent: -1,
            column: 0,
            whitespace: true,
            indention: true,
            begun: false,
        }
    }

    /// Ends the document with a line feed.
    ///
    /// # Errors
    ///
    /// The first failure of anything written; what was appended is then of no
    /// use.
    pub fn finish(mut self) -> Result<(), WriteError> {
        match self.failure.take() {
            Some(error) => Err(error),
            None => {
                self.write_indent();
                Ok(())
            }
        }
    }

    fn fail(&mut self, problem: impl Into<Cow<'static, str>>) {
        self.failure.get_or_insert(WriteError(problem.into()));
    }

    /// What comes before a node: the `-` of an item.
    pub(super) fn begin_node(&mut self) {
        if std::mem::take(&mut self.begun) {
            return;
        }
        let Some(level) = self.open.last_mut() else {
            return;
        };
        if !level.list {
            return;
        }
        if !level.started {
            level.started = true;
            let aligned = level.in_map && !self.indention && !self.style.indent_lists;
            self.increase_indent(aligned);
        }
        self.write_indent();
        self.indicator(b"-", true, false, true);
    }

    /// Says that the `-` before the collection that comes is written.
    pub(super) fn node_begun(&mut self) {
        self.begun = true;
    }

    /// What was written.
    pub(super) fn so_far(&self) -> &[u8] {
        self.out
    }

    /// Starts the line of the next entry of a mapping.
    pub(super) fn begin_entry(&mut self) {
        if let Some(level) = self.open.last_mut()
            && !level.started
        {
            level.started = true;
            self.increase_indent(false);
        }
        self.write_indent();
    }

    pub(super) fn increase_indent(&mut self, aligned: bool) {
        if self.indent < 0 {
            self.indent = 0;
        } else if !aligned {
            self.indent += INDENT;
        }
    }

    fn begin(&mut self, list: bool) {
        self.begin_node();
        let in_map = self.open.last().is_some_and(|level| !level.list);
        self.open.push(Level {
            list,
            started: false,
            in_map,
            indent_before: self.indent,
        });
    }

    fn end(&mut self, list: bool) {
        let level = self.open.pop();
        debug_assert!(level.as_ref().is_some_and(|level| level.list == list));
        let Some(level) = level else { return };
        self.indent = level.indent_before;
        if !level.started {
            self.indicator(if list { b"[]" } else { b"{}" }, true, false, false);
        }
    }

    /// Starts a collection that stands in brackets, after which lines that
    /// are too long go on two columns further in. The answer ends it.
    pub(super) fn open_flow(&mut self, bracket: &[u8]) -> isize {
        let before = self.indent;
        self.indicator(bracket, true, true, false);
        self.indent = if before < 0 { INDENT } else { before + INDENT };
        before
    }

    /// What comes before an item of a collection in brackets.
    pub(super) fn flow_item(&mut self, first: bool) {
        if !first {
            self.indicator(b",", false, false, false);
        }
        if self.style.fold && self.column > WIDTH {
            self.write_indent();
        }
    }

    /// Ends a collection in brackets.
    pub(super) fn close_flow(&mut self, bracket: &[u8], before: isize) {
        self.indent = before;
        self.indicator(bracket, false, false, false);
    }

    /// A scalar in these quotes, with what comes before a node only in a list.
    pub(super) fn quoted(&mut self, text: &str, quoting: Quoting, key: bool) {
        let before = self.indent;
        self.indent = if before < 0 { INDENT } else { before + INDENT };
        match quoting {
            Quoting::Plain => self.plain(text, key),
            Quoting::Single => self.single_quoted(text, key),
            Quoting::Double => self.double_quoted(text, key),
            Quoting::Literal => self.literal(text, &Traits::of(text, self.style.dialect)),
            Quoting::Folded => self.folded(text),
        }
        self.indent = before;
    }

    fn folded(&mut self, text: &str) {
        self.block_header(b">", text);
        let is_break = |c: char| matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
        // The original looks at how the whole text begins where it means the
        // line that comes next.
        let first = text.chars().find(|character| !is_break(*character));
        let doubled = !matches!(first, None | Some(' ' | '\t'));
        let mut characters = text.chars().peekable();
        let (mut breaks, mut leading_spaces) = (true, true);
        while let Some(character) = characters.next() {
            if is_break(character) {
                if !breaks && !leading_spaces && character == '\n' && doubled {
                    self.line_break();
                }
                if character == '\n' {
                    self.line_break();
                } else {
                    self.put_char(character);
                    self.column = 0;
                    self.indention = true;
                }
                breaks = true;
                continue;
            }
            if breaks {
                self.write_indent();
                leading_spaces = matches!(character, ' ' | '\t');
            }
            let single = character == ' ' && characters.peek() != Some(&' ');
            if !breaks && single && self.style.fold && self.column > WIDTH {
                self.write_indent();
            } else {
                self.put_char(character);
            }
            self.indention = false;
            breaks = false;
        }
    }

    /// A scalar that is written as it is.
    fn word(&mut self, text: &[u8]) {
        self.begin_node();
        self.space();
        self.out.extend_from_slice(text);
        self.column += text.len();
        self.whitespace = false;
        self.indention = false;
    }

    fn text(&mut self, text: &str) {
        if is_word(text) && is_plain(text, self.style.dialect) {
            return self.word(text.as_bytes());
        }
        if !self.style.via_json {
            self.begin_node();
            self.scalar(text, false);
            return;
        }
        match through_json(text) {
            Ok(text) => {
                self.begin_node();
                self.scalar(&text, false);
            }
            Err(problem) => self.fail(problem),
        }
    }

    fn scalar(&mut self, text: &str, key: bool) {
        let traits = Traits::of(text, self.style.dialect);
        self.scalar_with(text, &traits, key);
    }

    fn scalar_with(&mut self, text: &str, traits: &Traits, key: bool) {
        let before = self.indent;
        self.indent = if before < 0 { INDENT } else { before + INDENT };
        if text.contains('\n') {
            if traits.block && !key {
                self.literal(text, traits);
            } else {
                self.double_quoted(text, key);
            }
        } else if !is_plain(text, self.style.dialect) || (key && traits.multiline) {
            self.double_quoted(text, key);
        } else if traits.plain {
            self.plain(text, key);
        } else if traits.single_quoted {
            self.single_quoted(text, key);
        } else {
            self.double_quoted(text, key);
        }
        self.indent = before;
    }

    pub(super) fn plain(&mut self, text: &str, key: bool) {
        self.space();
        // Bytes are at least as many as columns.
        if key || !self.style.fold || self.column + text.len() <= WIDTH {
            self.out.extend_from_slice(text.as_bytes());
            self.column += columns(text);
        } else {
            let bytes = text.as_bytes();
            let mut spaces = false;
            for (at, character) in text.char_indices() {
                if character == ' ' {
                    if !spaces && self.column > WIDTH && bytes.get(at + 1) != Some(&b' ') {
                        self.write_indent();
                    } else {
                        self.put(b' ');
                    }
                    spaces = true;
                } else {
                    self.put_char(character);
                    self.indention = false;
                    spaces = false;
                }
            }
        }
        self.whitespace = false;
        self.indention = false;
    }

    pub(super) fn single_quoted(&mut self, text: &str, key: bool) {
        self.indicator(b"'", true, false, false);
        let bytes = text.as_bytes();
        let mut spaces = false;
        let mut breaks = false;
        for (at, character) in text.char_indices() {
            match character {
                ' ' => {
                    let may_fold = !key && self.style.fold && !spaces && self.column > WIDTH;
                    let inside = at > 0 && at + 1 < bytes.len();
                    if may_fold && inside && bytes[at + 1] != b' ' {
                        self.write_indent();
                    } else {
                        self.put(b' ');
                    }
                    spaces = true;
                }
                // Text with line feeds is never single quoted; these are.
                '\u{85}' | '\u{2028}' | '\u{2029}' => {
                    self.put_char(character);
                    self.column = 0;
                    self.indention = true;
                    breaks = true;
                }
                _ => {
                    if breaks {
                        self.write_indent();
                    }
                    if character == '\'' {
                        self.put(b'\'');
                    }
                    self.put_char(character);
                    self.indention = false;
                    spaces = false;
                    breaks = false;
                }
            }
        }
        self.indicator(b"'", false, false, false);
    }

    pub(super) fn double_quoted(&mut self, text: &str, key: bool) {
        self.indicator(b"\"", true, false, false);
        let bytes = text.as_bytes();
        // The original looks for a byte order mark at the start of the text
        // whatever character it is at.
        let escape_all = text.starts_with('\u{feff}');
        let mut spaces = false;
        for (at, character) in text.char_indices() {
            if escape_all
                || matches!(
                    character,
                    '"' | '\\' | '\u{85}' | '\u{2028}' | '\u{2029}' | '\n'
                )
                || !is_printable(character)
            {
                self.escape(character);
                spaces = false;
            } else if character == ' ' {
                let may_fold = !key && self.style.fold && !spaces && self.column > WIDTH;
                if may_fold && at > 0 && at + 1 < bytes.len() {
                    self.write_indent();
                    if bytes[at + 1] == b' ' {
                        self.put(b'\\');
                    }
                } else {
                    self.put(b' ');
                }
                spaces = true;
            } else {
                self.put_char(character);
                spaces = false;
            }
        }
        self.indicator(b"\"", false, false, false);
    }

    fn escape(&mut self, character: char) {
        self.put(b'\\');
        let short = match character {
            '\0' => b'0',
            '\x07' => b'a',
            '\x08' => b'b',
            '\t' => b't',
            '\n' => b'n',
            '\x0b' => b'v',
            '\x0c' => b'f',
            '\r' => b'r',
            '\x1b' => b'e',
            '"' => b'"',
            '\\' => b'\\',
            '\u{85}' => b'N',
            '\u{a0}' => b'_',
            '\u{2028}' => b'L',
            '\u{2029}' => b'P',
            _ => {
                let code = u32::from(character);
                let (letter, digits) = match code {
                    0..=0xff => (b'x', 2),
                    0x100..=0xffff => (b'u', 4),
                    _ => (b'U', 8),
                };
                self.put(letter);
                for digit in (0..digits).rev() {
                    self.put(b"0123456789ABCDEF"[(code >> (4 * digit) & 0xf) as usize]);
                }
                return;
            }
        };
        self.put(short);
    }

    /// The first line of a block.
    fn block_header(&mut self, style: &[u8], text: &str) {
        self.indicator(style, true, false, false);
        let first_break = |c: char| matches!(c, ' ' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}');
        if text.starts_with(first_break) {
            self.indicator(b"2", false, false, false);
        }
        let is_break =
            |c: Option<char>| matches!(c, Some('\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}'));
        let mut from_end = text.chars().rev();
        if !is_break(from_end.next()) {
            self.indicator(b"-", false, false, false);
        } else {
            let before = from_end.next();
            if before.is_none() || is_break(before) {
                self.indicator(b"+", false, false, false);
            }
        }
        self.line_break();
        self.whitespace = true;
        self.indention = true;
    }

    pub(super) fn literal(&mut self, text: &str, traits: &Traits) {
        self.block_header(b"|", text);
        if !traits.rare_breaks {
            let mut rest = text;
            while !rest.is_empty() {
                let end = memchr::memchr(b'\n', rest.as_bytes());
                let (line, below) = rest.split_at(end.unwrap_or(rest.len()));
                if !line.is_empty() {
                    self.write_indent();
                    self.out.extend_from_slice(line.as_bytes());
                    self.indention = false;
                }
                if end.is_none() {
                    self.column += columns(line);
                    return;
                }
                self.line_break();
                rest = &below[1..];
            }
            return;
        }
        let mut breaks = true;
        for character in text.chars() {
            if character == '\n' {
                self.line_break();
                breaks = true;
            } else if matches!(character, '\r' | '\u{85}' | '\u{2028}' | '\u{2029}') {
                self.put_char(character);
                self.column = 0;
                self.indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.write_indent();
                }
                self.put_char(character);
                self.indention = false;
                breaks = false;
            }
        }
    }

    /// Starts a line if something is on this one, and indents it.
    pub(super) fn write_indent(&mut self) {
        let indent = self.indent.max(0) as usize;
        if !self.indention || self.column > indent || (self.column == indent && !self.whitespace) {
            self.line_break();
        }
        if self.column < indent {
            let more = indent - self.column;
            self.out.resize(self.out.len() + more, b' ');
            self.column = indent;
        }
        self.whitespace = true;
        self.indention = true;
    }

    fn line_break(&mut self) {
        self.out.push(b'\n');
        self.column = 0;
        self.indention = true;
    }

    pub(super) fn indicator(
        &mut self,
        text: &[u8],
        needs_space: bool,
        is_space: bool,
        is_indention: bool,
    ) {
        if needs_space {
            self.space();
        }
        self.out.extend_from_slice(text);
        self.column += text.len();
        self.whitespace = is_space;
        self.indention = self.indention && is_indention;
    }

    pub(super) fn space(&mut self) {
        if !self.whitespace {
            self.put(b' ');
        }
    }

    pub(super) fn put(&mut self, byte: u8) {
        self.out.push(byte);
        self.column += 1;
    }

    fn put_char(&mut self, character: char) {
        let mut buffer = [0; 4];
        self.out
            .extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
        self.column += 1;
    }
}

impl Sink for Writer<'_> {
    fn null(&mut self) {
        self.word(b"null");
    }

    fn bool(&mut self, flag: bool) {
        self.word(if flag { b"true" } else { b"false" });
    }

    fn int(&mut self, number: i64) {
        self.word(itoa::Buffer::new().format(number).as_bytes());
    }

    fn uint(&mut self, number: u64) {
        self.word(itoa::Buffer::new().format(number).as_bytes());
    }

    fn float(&mut self, float: f64) {
        let mut text = Vec::with_capacity(24);
        if !float.is_finite() && self.style.via_json {
            number::push_go(&mut text, float);
            self.fail(format!(
                "json: unsupported value: {}",
                String::from_utf8_lossy(&text)
            ));
            return;
        }
        if self.style.via_json {
            match number::through_json(float) {
                Some(number::JsonNumber::Int(number)) => return self.int(number),
                Some(number::JsonNumber::UInt(number)) => return self.uint(number),
                None => {}
            }
        }
        number::push_go(&mut text, float);
        self.word(match text.as_slice() {
            b"+Inf" => b".inf",
            b"-Inf" => b"-.inf",
            b"NaN" => b".nan",
            text => text,
        });
    }

    fn string(&mut self, text: &str) {
        self.text(text);
    }

    fn bytes(&mut self, text: &[u8]) {
        match std::str::from_utf8(text) {
            Ok(text) => self.text(text),
            Err(_) if self.style.via_json => self.text(&json::lossy(text)),
            Err(_) => {
                self.word(b"!!binary");
                let encoded = base64::engine::general_purpose::STANDARD.encode(text);
                let folded = if encoded.len() < 70 {
                    encoded
                } else {
                    let mut folded = String::with_capacity(encoded.len() + encoded.len() / 70 + 1);
                    for line in encoded.as_bytes().chunks(70) {
                        folded.extend(line.iter().map(|byte| char::from(*byte)));
                        folded.push('\n');
                    }
                    folded
                };
                self.scalar(&folded, false);
            }
        }
    }

    fn written(&self) -> usize {
        self.out.len()
    }

    fn begin_list(&mut self) {
        self.begin(true);
    }

    fn end_list(&mut self) {
        self.end(true);
    }

    fn begin_map(&mut self) {
        self.begin(false);
    }

    fn key(&mut self, key: &str) {
        let Some(level) = self.open.last_mut() else {
            debug_assert!(false, "a key outside of a map");
            return;
        };
        if !level.started {
            level.started = true;
            self.increase_indent(false);
        }
        if key.len() <= SIMPLE_KEY && is_word(key) && is_plain(key, self.style.dialect) {
            self.write_indent();
            self.space();
            self.out.extend_from_slice(key.as_bytes());
            self.column += key.len();
            self.indicator(b":", false, false, false);
            return;
        }
        let text = if self.style.via_json {
            match key_through_json(key) {
                Ok(text) => text,
                Err(problem) => return self.fail(problem),
            }
        } else {
            Cow::Borrowed(key)
        };
        self.write_indent();
        let traits = Traits::of(&text, self.style.dialect);
        if !traits.multiline && text.len() <= SIMPLE_KEY {
            self.scalar_with(&text, &traits, true);
            self.indicator(b":", false, false, false);
        } else {
            self.indicator(b"?", true, false, true);
            self.scalar_with(&text, &traits, false);
            self.write_indent();
            self.indicator(b":", true, false, true);
        }
    }

    fn end_map(&mut self) {
        self.end(false);
    }

    fn order<'k>(&self, keys: impl Iterator<Item = &'k str> + Clone) -> Option<Vec<usize>> {
        order::order(keys, self.style.dialect)
    }
}

/// Whether `text` would be read as itself without quotes.
pub(super) fn is_plain(text: &str, dialect: Dialect) -> bool {
    matches!(resolve::plain(text, dialect), resolve::Scalar::Text)
        && !resolve::is_base_60(text)
        && (dialect == Dialect::GoYaml2 || resolve::old_bool(text).is_none())
}

fn columns(text: &str) -> usize {
    if text.is_ascii() {
        text.len()
    } else {
        text.chars().count()
    }
}

/// What styles a text can be written in.
#[derive(Debug)]
pub(super) struct Traits {
    multiline: bool,
    /// Has breaks other than line feeds.
    rare_breaks: bool,
    plain: bool,
    single_quoted: bool,
    block: bool,
}

impl Traits {
    /// Whether it has line breaks.
    pub(super) fn is_multiline(&self) -> bool {
        self.multiline
    }

    /// Whether it can stand unquoted outside of brackets.
    pub(super) fn is_plain(&self) -> bool {
        self.plain
    }

    /// Whether `text`, whose traits these are, can stand unquoted in brackets.
    pub(super) fn is_plain_in_flow(&self, text: &str) -> bool {
        self.plain
            && !text.is_empty()
            && !text.starts_with('?')
            && !text.contains([',', '?', '[', ']', '{', '}', ':'])
    }

    /// Whether it can stand in single quotes.
    pub(super) fn fits_single_quotes(&self) -> bool {
        self.single_quoted
    }

    /// Whether it can stand in a block.
    pub(super) fn fits_block(&self) -> bool {
        self.block
    }

    pub(super) fn of(text: &str, dialect: Dialect) -> Self {
        let bytes = text.as_bytes();
        let mut traits = Traits {
            multiline: false,
            rare_breaks: false,
            plain: true,
            single_quoted: true,
            block: true,
        };
        let Some(first) = bytes.first() else {
            traits.block = false;
            return traits;
        };
        if is_word(text) {
            return traits;
        }
        if memchr::memchr(b'\n', bytes).is_some() && is_printable_in_lines(text) {
            // Most are scripts and configuration.
            let space_break = text.contains(" \n");
            traits.multiline = true;
            traits.plain = false;
            traits.single_quoted = !(space_break || text.contains("\n "));
            traits.block = !(space_break || text.ends_with(' '));
            return traits;
        }
        let blank_at = |at: usize| matches!(bytes.get(at), None | Some(b' ' | b'\t'));
        let mut indicators = match first {
            b'#' | b',' | b'[' | b']' | b'{' | b'}' | b'&' | b'*' | b'!' | b'|' | b'>' | b'\''
            | b'"' | b'%' | b'@' | b'`' => true,
            b'?' | b':' | b'-' => blank_at(1),
            _ => false,
        };
        indicators |= text.starts_with("---") || text.starts_with("...");
        let mut special = false;
        let mut tabs = false;
        let mut break_space = false;
        let mut space_break = false;
        let mut previous = Previous::Other;
        let mut after_blank = true;
        let mut next = 0;
        loop {
            // Nearly everything.
            let inert = bytes[next..]
                .iter()
                .take_while(|byte| INERT[usize::from(**byte)])
                .count();
            if inert > 0 {
                next += inert;
                previous = Previous::Other;
                after_blank = false;
            }
            let at = next;
            let Some(character) = text[at..].chars().next() else {
                break;
            };
            next += character.len_utf8();
            let mut is_break = false;
            let mut is_space = false;
            match character {
                ' ' => is_space = true,
                ':' if at > 0 => indicators |= blank_at(at + 1),
                '#' if at > 0 => indicators |= after_blank,
                '\n' => is_break = true,
                '\t' if dialect == Dialect::GoYaml3 => tabs = true,
                '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                    is_break = true;
                    traits.rare_breaks = true;
                    special |= !is_printable(character);
                }
                _ => special |= !is_printable(character),
            }
            if is_space {
                break_space |= previous == Previous::Break;
                previous = Previous::Space;
            } else if is_break {
                traits.multiline = true;
                space_break |= previous == Previous::Space;
                previous = Previous::Break;
            } else {
                previous = Previous::Other;
            }
            after_blank = is_space || is_break || character == '\t';
        }
        let is_break = |c: char| matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
        let leading = text.starts_with(' ') || text.starts_with(is_break);
        let trailing_space = previous == Previous::Space;
        let trailing = trailing_space || previous == Previous::Break;
        traits.plain = !(leading
            || trailing
            || break_space
            || space_break
            || special
            || tabs
            || traits.multiline
            || indicators);
        traits.single_quoted = !(break_space || space_break || special || tabs);
        traits.block = !(trailing_space || space_break || special);
        traits
    }
}

/// Whether a text has nothing special about it, as nearly all have: it fits
/// everywhere, in all styles, and JSON leaves it alone.
fn is_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|byte| WORD[usize::from(*byte)])
}

/// Characters that mean nothing by themselves, wherever they stand.
static WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric()
            || matches!(byte as u8, b'_' | b'.' | b'/' | b'-' | b'=');
        byte += 1;
    }
    table
};

/// Characters that mean nothing except at the start of a text: of those that
/// ASCII prints, all but spaces, colons and hashes.
static INERT: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_graphic() && !matches!(byte as u8, b':' | b'#');
        byte += 1;
    }
    table
};

#[derive(PartialEq)]
enum Previous {
    Space,
    Break,
    Other,
}

/// Whether a text is printable and has no breaks but line feeds; `false` says
/// only that it takes a closer look.
fn is_printable_in_lines(text: &str) -> bool {
    let printable = |byte: u8| {
        matches!(byte, b' '..=b'~' | 0x80..) && byte < 0xf0 && byte != 0xc2 && byte != 0xef
    };
    let separators = ["\u{2028}", "\u{2029}"];
    let (blocks, rest) = text.as_bytes().as_chunks::<32>();
    let odd = |byte: &u8| u8::from(!(*byte == b'\n' || printable(*byte)));
    // Without a way out of a block the compiler compares all of it at once.
    let is_whole = |block: &[u8; 32]| block.iter().map(odd).fold(0, |any, odd| any | odd) == 0;
    blocks.iter().all(is_whole)
        && rest.iter().map(odd).all(|odd| odd == 0)
        && (text.is_ascii() || !separators.iter().any(|separator| text.contains(separator)))
}

/// go-yaml's idea of printable, which ends with the basic plane.
fn is_printable(character: char) -> bool {
    matches!(character,
        '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}'
        | '\u{ff00}'..='\u{fffd}')
}

/// Text as go-yaml reads it back from JSON.
fn through_json(text: &str) -> Result<Cow<'_, str>, &'static str> {
    let bytes = text.as_bytes();
    let mut has_next_line = false;
    // What JSON leaves alone and YAML does not begins with one of these bytes.
    for at in memchr::memchr3_iter(0x7f, 0xc2, 0xef, bytes) {
        match bytes[at..] {
            [0xc2, 0x85, ..] => has_next_line = true,
            [0x7f, ..] | [0xc2, 0x80..0xa0, ..] | [0xef, 0xbf, 0xbe | 0xbf, ..] => {
                return Err("yaml: control characters are not allowed");
            }
            _ => {}
        }
    }
    if has_next_line {
        fold_next_lines(text).map(Cow::Owned)
    } else {
        Ok(Cow::Borrowed(text))
    }
}

/// U+0085 is a line break inside the quotes of JSON: one becomes a space,
/// more become line feeds, and the spaces around them go.
fn fold_next_lines(text: &str) -> Result<String, &'static str> {
    let mut folded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find([' ', '\u{85}']) {
        folded.push_str(&rest[..at]);
        let run = &rest[at..];
        let end = run.find(|c| c != ' ' && c != '\u{85}').unwrap_or(run.len());
        let (run, after) = run.split_at(end);
        match run.chars().filter(|c| *c == '\u{85}').count() {
            0 => folded.push_str(run),
            1 => folded.push(' '),
            breaks => folded.extend(std::iter::repeat_n('\n', breaks - 1)),
        }
        let at_line_start = run.ends_with('\u{85}');
        if at_line_start
            && (after.starts_with("---") || after.starts_with("..."))
            && after[3..].starts_with([' ', '\u{85}'])
        {
            return Err("yaml: found unexpected document indicator");
        }
        rest = after;
    }
    folded.push_str(rest);
    Ok(folded)
}

/// A key as go-yaml reads it back from JSON, where it has to be a simple one.
fn key_through_json(key: &str) -> Result<Cow<'_, str>, &'static str> {
    const LIMIT: usize = 1024;
    if key.contains('\u{85}') {
        return Err("yaml: line 1: did not find expected ',' or '}'");
    }
    if key.len() > LIMIT / 6 && json::columns(key) > LIMIT {
        return Err("yaml: did not find expected ',' or '}'");
    }
    through_json(key)
}
