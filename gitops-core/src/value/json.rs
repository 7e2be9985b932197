//! JSON as Go's `encoding/json` reads and writes it.
//!
//! ```
//! use gitops_core::json;
//! let value = json::parse(br#"{"b": 1.0, "a": [true, null]}"#)?;
//! assert_eq!(json::to_string(&value), r#"{"a":[true,null],"b":1}"#);
//! # Ok::<(), json::Error>(())
//! ```
//!
//! What may surprise: bytes that are not UTF-8 are read as U+FFFD, one for
//! each byte, and so are halves of surrogate pairs; of duplicate keys the last
//! wins; collections nest at most [`Options::max_depth`] levels, where Go
//! allows 10,000. Error texts are Go's.

use std::fmt;

use super::sink::Sink;
use super::yaml::DuplicateKeys;
pub use super::yaml::Numbers;
use super::{List, Map, Str, Value, number};

/// How text is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What becomes of numbers. In JSON text `1.0` is a float, whichever
    /// the option; `1` may be either.
    pub numbers: Numbers,
    /// What becomes of a key that an object already has.
    pub duplicate_keys: DuplicateKeys,
    /// How many collections may be inside one another.
    pub max_depth: usize,
}

impl Default for Options {
    /// Exact numbers, the last of duplicate keys, 1000 levels.
    fn default() -> Self {
        Options {
            numbers: Numbers::default(),
            duplicate_keys: DuplicateKeys::default(),
            max_depth: super::MAX_DEPTH,
        }
    }
}

/// Why text is not JSON; displayed as Go prints it:
/// `invalid character '}' after object key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    problem: String,
    line: u32,
    column: u32,
}

impl Error {
    /// The line of the character that does not fit, from 1.
    pub fn line(&self) -> u32 {
        self.line
    }

    /// Its column in bytes, from 1.
    pub fn column(&self) -> u32 {
        self.column
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl std::error::Error for Error {}

/// Reads one value, which must be all there is.
///
/// # Errors
///
/// [`Error`] with the text of Go's `json.Unmarshal`.
pub fn parse(text: &[u8]) -> Result<Value, Error> {
    parse_with(text, &Options::default())
}

/// Reads one value as `options` say.
///
/// # Errors
///
/// As [`parse`].
pub fn parse_with(text: &[u8], options: &Options) -> Result<Value, Error> {
    let mut reader = Reader::new(text, options, "unexpected end of JSON input");
    // All at once is faster than string by string.
    reader.checked = std::str::from_utf8(text).ok();
    let value = reader.value()?;
    reader.skip_blanks();
    match reader.byte() {
        Some(byte) => Err(reader.unexpected(byte, "after top-level value")),
        None => reader.finish(value),
    }
}

/// Reads one value and says how many bytes it and the blanks before it took.
///
/// # Errors
///
/// [`Error`] with the text of Go's `json.Decoder`, which calls the end `EOF`
/// if there is nothing, else `unexpected EOF`.
pub fn parse_prefix(text: &[u8], options: &Options) -> Result<(Value, usize), Error> {
    let mut reader = Reader::new(text, options, DECODER_END);
    reader.skip_blanks();
    if reader.byte().is_none() {
        return Err(reader.fault("EOF".to_owned(), reader.pos));
    }
    let value = reader.value()?;
    let used = reader.pos;
    Ok((reader.finish(value)?, used))
}

/// Where a piece of text ends: at its end, at an escape, and at what may not be
/// in it.
const STOPS: [bool; 256] = {
    let mut stops = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        stops[byte] = true;
        byte += 1;
    }
    stops[b'"' as usize] = true;
    stops[b'\\' as usize] = true;
    stops
};

/// Marks the bytes of a word that are `byte`, by their highest bit; marks above
/// the lowest may be false.
const fn holds(word: u64, byte: u8) -> u64 {
    let word = word ^ (ONES * byte as u64);
    word.wrapping_sub(ONES) & !word
}

const ONES: u64 = u64::MAX / 0xff;

/// The place of the first byte that the table has. Eight are looked at in one
/// go: `more` marks those that the table has beside [`STOPS`].
fn find_special(bytes: &[u8], table: &[bool; 256], more: impl Fn(u64) -> u64) -> Option<usize> {
    let mut at = 0;
    while let Some(eight) = bytes[at..].first_chunk() {
        let word = u64::from_le_bytes(*eight);
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let marks = control | holds(word, b'"') | holds(word, b'\\') | more(word);
        let marks = marks & (ONES << 7);
        if marks != 0 {
            return Some(at + marks.trailing_zeros() as usize / 8);
        }
        at += eight.len();
    }
    let rest = bytes[at..].iter();
    let found = rest.into_iter().position(|byte| table[usize::from(*byte)]);
    found.map(|found| at + found)
}

/// What may have to be escaped: what ends a piece of text, what HTML would take
/// for its own, and the first byte of E2 80 A8 and A9.
const ESCAPED: [bool; 256] = {
    let mut escaped = STOPS;
    escaped[b'<' as usize] = true;
    escaped[b'>' as usize] = true;
    escaped[b'&' as usize] = true;
    escaped[0xe2] = true;
    escaped
};

/// What Go's `json.Decoder` calls an end that comes too early.
const DECODER_END: &str = "unexpected EOF";

struct Reader<'a> {
    text: &'a [u8],
    /// The text as such, if it is known to be UTF-8 throughout.
    checked: Option<&'a str>,
    pos: usize,
    options: &'a Options,
    at_end: &'static str,
    /// A number that no float holds: reported if the text is JSON otherwise.
    late: Option<Error>,
}

/// A collection that is being read, and where its content begins among that
/// of all open ones.
enum Open {
    List(usize),
    Map(usize),
}

impl<'a> Reader<'a> {
    fn new(text: &'a [u8], options: &'a Options, at_end: &'static str) -> Self {
        Reader {
            text,
            checked: None,
            pos: 0,
            options,
            at_end,
            late: None,
        }
    }

    fn finish(self, value: Value) -> Result<Value, Error> {
        self.late.map_or(Ok(value), Err)
    }

    fn value(&mut self) -> Result<Value, Error> {
        let mut open: Vec<Open> = Vec::new();
        // The content of all open collections, which get storage of the right
        // size when they are closed. A key waits for its value.
        let mut items: Vec<Value> = Vec::new();
        let mut entries: Vec<(Str, Value)> = Vec::new();
        'value: loop {
            self.skip_blanks();
            let start = self.pos;
            let Some(byte) = self.byte() else {
                return Err(self.unexpected_end());
            };
            let mut value = match byte {
                b'{' | b'[' => {
                    if open.len() >= self.options.max_depth {
                        return Err(self.fault("exceeded max depth".to_owned(), start));
                    }
                    self.pos += 1;
                    self.skip_blanks();
                    let close = if byte == b'{' { b'}' } else { b']' };
                    if self.byte() == Some(close) {
                        self.pos += 1;
                        if byte == b'{' {
                            Value::Map(Map::new())
                        } else {
                            Value::List(List::new())
                        }
                    } else {
                        open.push(if byte == b'{' {
                            let start = entries.len();
                            entries.push((self.key()?, Value::Null));
                            Open::Map(start)
                        } else {
                            Open::List(items.len())
                        });
                        continue;
                    }
                }
                b'"' => Value::String(self.string()?),
                b't' => self.literal("true", Value::Bool(true))?,
                b'f' => self.literal("false", Value::Bool(false))?,
                b'n' => self.literal("null", Value::Null)?,
                b'-' | b'0'..=b'9' => self.number()?,
                _ => return Err(self.unexpected(byte, "looking for beginning of value")),
            };
            loop {
                let (close, context) = match open.last() {
                    None => return Ok(value),
                    Some(Open::List(_)) => {
                        items.push(std::mem::take(&mut value));
                        (b']', "after array element")
                    }
                    Some(Open::Map(_)) => {
                        if let Some((_, waiting)) = entries.last_mut() {
                            *waiting = std::mem::take(&mut value);
                        }
                        (b'}', "after object key:value pair")
                    }
                };
                self.skip_blanks();
                match self.byte() {
                    None => return Err(self.unexpected_end()),
                    Some(b',') => {
                        self.pos += 1;
                        if let Some(Open::Map(_)) = open.last() {
                            self.skip_blanks();
                            entries.push((self.key()?, Value::Null));
                        }
                        continue 'value;
                    }
                    Some(byte) if byte == close => {
                        self.pos += 1;
                        value = match open.pop() {
                            Some(Open::List(start)) => Value::List(items.drain(start..).collect()),
                            Some(Open::Map(start)) => self.map(entries.drain(start..).collect())?,
                            None => value,
                        };
                    }
                    Some(byte) => return Err(self.unexpected(byte, context)),
                }
            }
        }
    }

    fn map(&mut self, entries: ecow::EcoVec<(Str, Value)>) -> Result<Value, Error> {
        if self.options.duplicate_keys == DuplicateKeys::Error {
            let mut keys: Vec<&Str> = entries.iter().map(|(key, _)| key).collect();
            keys.sort_unstable();
            if let Some(pair) = keys.windows(2).find(|pair| pair[0] == pair[1]) {
                let problem = format!("duplicate key {:?}", pair[0].as_str());
                return Err(self.fault(problem, self.pos - 1));
            }
        }
        Ok(Value::Map(Map::from_entries(entries)))
    }

    fn key(&mut self) -> Result<Str, Error> {
        match self.byte() {
            None => return Err(self.unexpected_end()),
            Some(b'"') => {}
            Some(byte) => {
                return Err(self.unexpected(byte, "looking for beginning of object key string"));
            }
        }
        let key = self.string()?;
        self.skip_blanks();
        match self.byte() {
            None => Err(self.unexpected_end()),
            Some(b':') => {
                self.pos += 1;
                Ok(key)
            }
            Some(byte) => Err(self.unexpected(byte, "after object key")),
        }
    }

    fn string(&mut self) -> Result<Str, Error> {
        self.pos += 1;
        let mut text = Str::new();
        loop {
            let rest = &self.text[self.pos..];
            let stop = find_special(rest, &STOPS, |_| 0);
            let length = stop.unwrap_or(rest.len());
            let stop = stop.map(|at| rest[at]);
            let checked = self
                .checked
                .and_then(|text| text.get(self.pos..self.pos + length));
            let piece = match checked {
                Some(piece) => Ok(piece),
                None => std::str::from_utf8(&rest[..length]),
            };
            match piece {
                // Nearly every text is one piece.
                Ok(piece) if stop == Some(b'"') && text.is_empty() => {
                    self.pos += length + 1;
                    return Ok(piece.into());
                }
                Ok(piece) => text.push_str(piece),
                Err(_) => text.push_str(&lossy(&rest[..length])),
            }
            self.pos += length;
            match stop {
                None => return Err(self.unexpected_end()),
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(text);
                }
                Some(b'\\') => self.escape(&mut text)?,
                Some(control) => return Err(self.unexpected(control, "in string literal")),
            }
        }
    }

    fn escape(&mut self, text: &mut Str) -> Result<(), Error> {
        self.pos += 1;
        let Some(byte) = self.byte() else {
            return Err(self.end_inside("in string escape code"));
        };
        text.push(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\x08',
            b'f' => '\x0c',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.pos += 1;
                let high = self.hex()?;
                // A pair is one character; half a pair is none.
                if (0xd800..0xdc00).contains(&high)
                    && self.text[self.pos..].starts_with(b"\\u")
                    && let Some(low) = self.peek_hex(self.pos + 2)
                    && (0xdc00..0xe000).contains(&low)
                {
                    self.pos += 6;
                    let code = 0x10000 + ((high & 0x3ff) << 10) + (low & 0x3ff);
                    text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                } else {
                    text.push(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                return Ok(());
            }
            _ => return Err(self.unexpected(byte, "in string escape code")),
        });
        self.pos += 1;
        Ok(())
    }

    fn hex(&mut self) -> Result<u32, Error> {
        let mut code = 0;
        for _ in 0..4 {
            let context = "in \\u hexadecimal character escape";
            let Some(byte) = self.byte() else {
                return Err(self.end_inside(context));
            };
            let Some(digit) = char::from(byte).to_digit(16) else {
                return Err(self.unexpected(byte, context));
            };
            code = code * 16 + digit;
            self.pos += 1;
        }
        Ok(code)
    }

    fn peek_hex(&self, at: usize) -> Option<u32> {
        let digits = self.text.get(at..at + 4)?;
        digits.iter().try_fold(0, |code, byte| {
            Some(code * 16 + char::from(*byte).to_digit(16)?)
        })
    }

    fn literal(&mut self, word: &str, value: Value) -> Result<Value, Error> {
        for expected in word.bytes() {
            let found = self.byte();
            if found == Some(expected) {
                self.pos += 1;
                continue;
            }
            let expected = char::from(expected);
            let context = format!("in literal {word} (expecting '{expected}')");
            return Err(match found {
                None => self.end_inside(&context),
                Some(byte) => self.unexpected(byte, &context),
            });
        }
        Ok(value)
    }

    fn number(&mut self) -> Result<Value, Error> {
        let start = self.pos;
        let mut whole = true;
        if self.byte() == Some(b'-') {
            self.pos += 1;
        }
        if self.byte() == Some(b'0') {
            self.pos += 1;
        } else {
            self.digits("in numeric literal")?;
        }
        if self.byte() == Some(b'.') {
            whole = false;
            self.pos += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            whole = false;
            self.pos += 1;
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.pos += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        let text = std::str::from_utf8(&self.text[start..self.pos])
            .expect("numbers consist of ASCII characters");
        if whole && self.options.numbers == Numbers::Json {
            if let Ok(number) = text.parse() {
                return Ok(Value::Int(number));
            }
            if let Ok(number) = text.parse() {
                return Ok(Value::UInt(number));
            }
        }
        let number: f64 = text.parse().expect("the grammar of numbers is Rust's too");
        if number.is_infinite() && self.late.is_none() {
            let problem =
                format!("json: cannot unmarshal number {text} into Go value of type float64");
            self.late = Some(self.fault(problem, start));
        }
        Ok(Value::Float(number))
    }

    fn digits(&mut self, context: &str) -> Result<(), Error> {
        match self.byte() {
            None => return Err(self.end_inside(context)),
            Some(b'0'..=b'9') => {}
            Some(byte) => return Err(self.unexpected(byte, context)),
        }
        while matches!(self.byte(), Some(b'0'..=b'9')) {
            self.pos += 1;
        }
        Ok(())
    }

    fn skip_blanks(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.pos += 1;
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.get(self.pos).copied()
    }

    fn unexpected(&self, byte: u8, context: &str) -> Error {
        // Go shows the byte as the character of that number.
        let shown = match byte {
            b'\'' => "\\'".to_owned(),
            b'"' => "\"".to_owned(),
            b'\\' => "\\\\".to_owned(),
            b'\n' => "\\n".to_owned(),
            b'\r' => "\\r".to_owned(),
            b'\t' => "\\t".to_owned(),
            0x07 => "\\a".to_owned(),
            0x08 => "\\b".to_owned(),
            0x0b => "\\v".to_owned(),
            0x0c => "\\f".to_owned(),
            0..0x20 | 0x7f => format!("\\x{byte:02x}"),
            0x80..0xa1 | 0xad => format!("\\u{byte:04x}"),
            _ => char::from(byte).to_string(),
        };
        self.fault(format!("invalid character '{shown}' {context}"), self.pos)
    }

    /// The end inside of a token. Go's `Unmarshal` treats it as a blank there.
    fn end_inside(&self, context: &str) -> Error {
        if self.at_end == DECODER_END {
            self.unexpected_end()
        } else {
            self.unexpected(b' ', context)
        }
    }

    fn unexpected_end(&self) -> Error {
        self.fault(self.at_end.to_owned(), self.text.len())
    }

    fn fault(&self, problem: String, at: usize) -> Error {
        let before = &self.text[..at];
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |found| found + 1);
        Error {
            problem,
            line: memchr::memchr_iter(b'\n', before).count() as u32 + 1,
            column: (at - line_start) as u32 + 1,
        }
    }
}

/// Bytes as text, with U+FFFD for each byte that is not part of any.
pub fn lossy(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for _ in chunk.invalid() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    text
}

/// How many characters `text` takes as a JSON string, quotes included.
pub(crate) fn columns(text: &str) -> usize {
    let mut out = Vec::with_capacity(text.len() + 2);
    Writer::new(&mut out, Style::default()).string(text);
    // Continuation bytes take no column.
    out.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

/// How output looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether `<`, `>` and `&` are escaped.
    pub escape_html: bool,
    /// The number of spaces for each level; `None` for one line.
    pub indent: Option<usize>,
}

impl Default for Style {
    /// Go's `json.Marshal`: one line, with what HTML would take for its own
    /// escaped.
    fn default() -> Self {
        Style {
            escape_html: true,
            indent: None,
        }
    }
}

/// Why a value cannot be written as JSON: it has an infinity or NaN.
/// Displayed as Go prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteError(String);

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WriteError {}

/// `value` as Go's `json.Marshal` writes it, except that infinities and NaN,
/// which no reader here returns, become `null`.
pub fn to_string(value: &Value) -> String {
    write(value, Style::default()).0
}

/// [`to_string`] with `<`, `>` and `&` left as they are.
pub fn to_string_raw(value: &Value) -> String {
    let style = Style {
        escape_html: false,
        indent: None,
    };
    write(value, style).0
}

/// [`to_string`] over many lines, each level indented by `indent` spaces.
pub fn to_string_pretty(value: &Value, indent: usize) -> String {
    let style = Style {
        escape_html: true,
        indent: Some(indent),
    };
    write(value, style).0
}

/// `value` in the given style.
///
/// # Errors
///
/// [`WriteError`] for infinities and NaN.
pub fn to_string_with(value: &Value, style: Style) -> Result<String, WriteError> {
    let (text, result) = write(value, style);
    result.map(|()| text)
}

fn write(value: &Value, style: Style) -> (String, Result<(), WriteError>) {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, style);
    value.write_to(&mut writer);
    let result = writer.finish();
    let text = String::from_utf8(out).expect("the writer is fed text and writes text");
    (text, result)
}

/// Writes JSON piece by piece; see [`Sink`].
///
/// ```
/// use gitops_core::json::{Style, Writer};
/// use gitops_core::value::Sink;
/// let mut out = Vec::new();
/// let mut writer = Writer::new(&mut out, Style { escape_html: true, indent: Some(2) });
/// writer.begin_map();
/// writer.key("a");
/// writer.string("<b>");
/// writer.end_map();
/// writer.finish()?;
/// assert_eq!(out, b"{\n  \"a\": \"\\u003cb\\u003e\"\n}");
/// # Ok::<(), gitops_core::json::WriteError>(())
/// ```
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    style: Style,
    depth: usize,
    /// Whether the innermost collection has no item yet.
    empty: bool,
    after_key: bool,
    failure: Option<WriteError>,
}

impl<'a> Writer<'a> {
    /// A writer that appends to `out`.
    pub fn new(out: &'a mut Vec<u8>, style: Style) -> Self {
        Writer {
            out,
            style,
            depth: 0,
            empty: true,
            after_key: false,
            failure: None,
        }
    }

    /// Ends the text; nothing is appended.
    ///
    /// # Errors
    ///
    /// The first failure of anything written; what was appended is then of no
    /// use.
    pub fn finish(self) -> Result<(), WriteError> {
        self.failure.map_or(Ok(()), Err)
    }

    /// What comes before an item: a comma, a line.
    fn begin_item(&mut self) {
        if std::mem::take(&mut self.after_key) || self.depth == 0 {
            return;
        }
        if !std::mem::take(&mut self.empty) {
            self.out.push(b',');
        }
        self.new_line();
    }

    fn new_line(&mut self) {
        if let Some(indent) = self.style.indent {
            self.out.push(b'\n');
            self.out
                .extend(std::iter::repeat_n(b' ', indent * self.depth));
        }
    }

    fn begin(&mut self, bracket: u8) {
        self.begin_item();
        self.out.push(bracket);
        self.depth += 1;
        self.empty = true;
    }

    fn end(&mut self, bracket: u8) {
        self.depth = self.depth.saturating_sub(1);
        // The collection around this one has an item: this one.
        if !std::mem::replace(&mut self.empty, false) {
            self.new_line();
        }
        self.out.push(bracket);
    }

    fn quoted(&mut self, text: &str) {
        self.out.push(b'"');
        self.escaped(text);
        self.out.push(b'"');
    }

    fn escaped(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let (mut written, mut read) = (0, 0);
        let more = |word: u64| {
            let html = holds(word, b'<') | holds(word, b'>') | holds(word, b'&');
            html | holds(word, 0xe2)
        };
        while let Some(found) = find_special(&bytes[read..], &ESCAPED, more) {
            let at = read + found;
            read = at + 1;
            let byte = bytes[at];
            let escape = match byte {
                b'"' => b"\\\"".as_slice(),
                b'\\' => b"\\\\",
                0x08 => b"\\b",
                0x0c => b"\\f",
                b'\n' => b"\\n",
                b'\r' => b"\\r",
                b'\t' => b"\\t",
                b'<' | b'>' | b'&' if !self.style.escape_html => continue,
                b'<' => b"\\u003c",
                b'>' => b"\\u003e",
                b'&' => b"\\u0026",
                0xe2 => match bytes.get(at + 1..at + 3) {
                    Some([0x80, 0xa8]) => b"\\u2028",
                    Some([0x80, 0xa9]) => b"\\u2029",
                    _ => continue,
                },
                _ => b"\\u00",
            };
            self.out.extend_from_slice(&bytes[written..at]);
            self.out.extend_from_slice(escape);
            written = at + if byte == 0xe2 { 3 } else { 1 };
            read = written;
            if escape == b"\\u00" {
                let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
                self.out.extend([digit(byte >> 4), digit(byte & 0xf)]);
            }
        }
        self.out.extend_from_slice(&bytes[written..]);
    }
}

impl Sink for Writer<'_> {
    fn null(&mut self) {
        self.begin_item();
        self.out.extend_from_slice(b"null");
    }

    fn bool(&mut self, flag: bool) {
        self.begin_item();
        self.out
            .extend_from_slice(if flag { b"true" } else { b"false" });
    }

    fn int(&mut self, number: i64) {
        self.begin_item();
        self.out
            .extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    fn uint(&mut self, number: u64) {
        self.begin_item();
        self.out
            .extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    fn float(&mut self, float: f64) {
        self.begin_item();
        if !number::push_json(self.out, float) {
            self.out.extend_from_slice(b"null");
            let mut text = b"json: unsupported value: ".to_vec();
            number::push_go(&mut text, float);
            self.failure.get_or_insert_with(|| WriteError(lossy(&text)));
        }
    }

    fn string(&mut self, text: &str) {
        self.begin_item();
        self.quoted(text);
    }

    fn bytes(&mut self, text: &[u8]) {
        self.begin_item();
        match std::str::from_utf8(text) {
            Ok(text) => self.quoted(text),
            Err(_) => {
                self.out.push(b'"');
                for chunk in text.utf8_chunks() {
                    self.escaped(chunk.valid());
                    for _ in chunk.invalid() {
                        self.out.extend_from_slice(b"\\ufffd");
                    }
                }
                self.out.push(b'"');
            }
        }
    }

    fn written(&self) -> usize {
        self.out.len()
    }

    fn begin_list(&mut self) {
        self.begin(b'[');
    }

    fn end_list(&mut self) {
        self.end(b']');
    }

    fn begin_map(&mut self) {
        self.begin(b'{');
    }

    fn key(&mut self, key: &str) {
        self.begin_item();
        self.quoted(key);
        self.out.push(b':');
        if self.style.indent.is_some() {
            self.out.push(b' ');
        }
        self.after_key = true;
    }

    fn end_map(&mut self) {
        self.end(b'}');
    }
}
