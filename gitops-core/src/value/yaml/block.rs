//! The usual block style, read line by line without tokens.
//!
//! Nearly every manifest consists of keys, scalars and small flow collections.
//! Its structure is in the indentation, so a line's value needs one search for
//! its end and one for the few characters that would make it something else.
//! Anchors, aliases, tags, complex keys, directives and flow collections over
//! several lines are left to the parser.
//!
//! Whatever is not plainly in this subset ends the attempt (`None`), be it
//! valid or not, and the document is read again from its start by the parser.
//! **Invariant:** what is returned here is what the parser returns.

use std::borrow::Cow;

use super::input::Input;
use super::node::Quoting;
use super::resolve::{self, Scalar};
use super::{Boundary, Dialect, DuplicateKeys, Options};
use crate::value::{List, Map, Str, Value, number};

/// What documents are made into. Each part begins at `at`, and parts come in
/// the order in which they are written. `None` leaves the document to the
/// parser.
pub(super) trait Maker {
    type Node;
    type Key;
    type Map;
    type List;

    /// How many collections may be inside one another.
    fn max_depth(&self) -> usize;
    /// Whether the text of the next literal or folded scalar matters.
    fn wants_text(&self) -> bool {
        true
    }
    fn scalar(&mut self, at: usize, text: &str, quoting: Quoting) -> Option<Self::Node>;
    /// A literal or folded scalar.
    fn block(&mut self, at: usize, text: Str, quoting: Quoting) -> Option<Self::Node>;
    fn key(&mut self, at: usize, text: &str, quoting: Quoting) -> Option<Self::Key>;
    fn map(&mut self, at: usize, flow: bool) -> Option<Self::Map>;
    fn entry(&mut self, map: &mut Self::Map, key: Self::Key, value: Self::Node);
    fn end_map(&mut self, map: Self::Map) -> Option<Self::Node>;
    fn list(&mut self, at: usize, flow: bool) -> Option<Self::List>;
    fn item(&mut self, list: &mut Self::List, item: Self::Node);
    fn end_list(&mut self, list: Self::List) -> Option<Self::Node>;
}

/// A document that was read.
pub(super) struct Found<N> {
    /// What it was made into; an empty document is nothing.
    pub(super) node: Option<N>,
    /// Where its content begins.
    pub(super) start: usize,
    /// Whether there is a document; text without content and without `---`
    /// has none.
    pub(super) exists: bool,
    /// The `---` of the next document, or the end.
    pub(super) end: usize,
}

/// Reads the document that starts at `start`, if it is in the subset.
pub(super) fn document<M: Maker>(
    input: &Input<'_>,
    start: &Boundary,
    maker: &mut M,
) -> Option<Found<M::Node>> {
    if input.blocks.is_some() || input.rare_breaks {
        return None;
    }
    let mut lines = Lines {
        text: &input.text,
        bytes: input.text.as_bytes(),
        pos: start.pos,
        indent: END,
        max_depth: MAX_DEPTH.min(maker.max_depth()),
        maker,
        depth: 0,
    };
    lines.advance(start.pos)?;
    let mut exists = false;
    if lines.indent == END && lines.pos < lines.bytes.len() {
        let rest = lines.rest_of_line(lines.pos + 3)?;
        lines.advance(rest)?;
        exists = true;
    }
    let start = lines.pos;
    if lines.indent == END {
        return Some(Found {
            node: None,
            start,
            exists,
            end: lines.pos,
        });
    }
    let node = lines.node(END)?;
    (lines.indent == END).then_some(Found {
        node: Some(node),
        start,
        exists: true,
        end: lines.pos,
    })
}

/// Makes values.
pub(super) struct Values<'o> {
    pub(super) options: &'o Options,
}

impl Maker for Values<'_> {
    type Node = Value;
    type Key = Str;
    type Map = ecow::EcoVec<(Str, Value)>;
    type List = List;

    fn max_depth(&self) -> usize {
        self.options.max_depth
    }

    fn scalar(&mut self, _: usize, text: &str, quoting: Quoting) -> Option<Value> {
        let value = match meaning(text, quoting) {
            Scalar::Null => Value::Null,
            Scalar::Bool(flag) => Value::Bool(flag),
            Scalar::Int(number) => Value::Int(number),
            Scalar::UInt(number) => Value::UInt(number),
            Scalar::Float(number) if number.is_finite() => Value::Float(number),
            // An error, which is the parser's.
            Scalar::Float(_) => return None,
            Scalar::Text | Scalar::Timestamp => {
                return Some(Value::String(text.into()));
            }
        };
        Some(self.options.numbers.of(value))
    }

    fn block(&mut self, _: usize, text: Str, _: Quoting) -> Option<Value> {
        Some(Value::String(text))
    }

    fn key(&mut self, _: usize, text: &str, quoting: Quoting) -> Option<Str> {
        Some(match meaning(text, quoting) {
            Scalar::Text | Scalar::Timestamp => text.into(),
            Scalar::Bool(flag) => if flag { "true" } else { "false" }.into(),
            Scalar::Int(number) => itoa::Buffer::new().format(number).into(),
            // What is infinite has a name of its own, which is the parser's.
            Scalar::Float(number) if (number as f32).is_finite() => {
                let mut text = Vec::new();
                number::push_go_32(&mut text, number);
                std::str::from_utf8(&text).ok()?.into()
            }
            _ => return None,
        })
    }

    fn map(&mut self, _: usize, _: bool) -> Option<Self::Map> {
        Some(ecow::EcoVec::new())
    }

    fn entry(&mut self, map: &mut Self::Map, key: Str, value: Value) {
        map.push((key, value));
    }

    fn end_map(&mut self, entries: Self::Map) -> Option<Value> {
        let written = entries.len();
        let map = Map::from_entries(entries);
        let fits = map.len() == written || self.options.duplicate_keys != DuplicateKeys::Error;
        fits.then_some(Value::Map(map))
    }

    fn list(&mut self, _: usize, _: bool) -> Option<List> {
        Some(List::new())
    }

    fn item(&mut self, list: &mut List, item: Value) {
        list.push(item);
    }

    fn end_list(&mut self, list: List) -> Option<Value> {
        Some(Value::List(list))
    }
}

/// What a scalar means: text if it has quotes.
#[inline]
fn meaning(text: &str, quoting: Quoting) -> Scalar {
    match quoting {
        Quoting::Plain => resolve::plain(text, Dialect::GoYaml2),
        _ => Scalar::Text,
    }
}

/// Makes values, and of the mapping that a document is only the entries of some
/// keys. Of duplicate keys the last one wins.
pub(super) struct Chosen<'o, F> {
    values: Values<'o>,
    wanted: F,
    /// How many collections are open.
    depth: usize,
    /// Whether the entry that is being read is left out.
    skips: bool,
}

impl<'o, F: Fn(&str) -> bool> Chosen<'o, F> {
    pub(super) fn new(options: &'o Options, wanted: F) -> Self {
        Chosen {
            values: Values { options },
            wanted,
            depth: 0,
            skips: false,
        }
    }
}

impl<F: Fn(&str) -> bool> Maker for Chosen<'_, F> {
    type Node = Value;
    type Key = Str;
    type Map = ecow::EcoVec<(Str, Value)>;
    type List = List;

    fn max_depth(&self) -> usize {
        self.values.max_depth()
    }

    fn wants_text(&self) -> bool {
        !self.skips
    }

    fn scalar(&mut self, at: usize, text: &str, quoting: Quoting) -> Option<Value> {
        if !self.skips {
            return self.values.scalar(at, text, quoting);
        }
        match meaning(text, quoting) {
            // An error, which is the parser's.
            Scalar::Float(number) if !number.is_finite() => None,
            _ => Some(Value::Null),
        }
    }

    fn block(&mut self, at: usize, text: Str, quoting: Quoting) -> Option<Value> {
        self.values.block(at, text, quoting)
    }

    fn key(&mut self, at: usize, text: &str, quoting: Quoting) -> Option<Str> {
        if self.depth > 1 && self.skips && meaning(text, quoting) == Scalar::Text {
            return Some(Str::new());
        }
        let key = self.values.key(at, text, quoting)?;
        if self.depth == 1 {
            self.skips = !(self.wanted)(&key);
        }
        Some(key)
    }

    fn map(&mut self, at: usize, flow: bool) -> Option<Self::Map> {
        self.depth += 1;
        self.values.map(at, flow)
    }

    fn entry(&mut self, map: &mut Self::Map, key: Str, value: Value) {
        if !self.skips {
            self.values.entry(map, key, value);
        }
    }

    fn end_map(&mut self, entries: Self::Map) -> Option<Value> {
        self.depth -= 1;
        self.values.end_map(entries)
    }

    fn list(&mut self, at: usize, flow: bool) -> Option<List> {
        self.depth += 1;
        self.values.list(at, flow)
    }

    fn item(&mut self, list: &mut List, item: Value) {
        if !self.skips {
            self.values.item(list, item);
        }
    }

    fn end_list(&mut self, list: List) -> Option<Value> {
        self.depth -= 1;
        self.values.end_list(list)
    }
}

/// Indentation at the end of a document: less than any.
const END: isize = -1;

/// Levels up to which the stack is used; deeper documents go to the parser.
const MAX_DEPTH: usize = 64;

/// The longest key that surely is one; the rule is 1024 characters.
const MAX_KEY: usize = 1000;

struct Lines<'a, M> {
    text: &'a str,
    bytes: &'a [u8],
    /// The first character of the line that is read next.
    pos: usize,
    /// Its column, or [`END`].
    indent: isize,
    max_depth: usize,
    maker: &'a mut M,
    depth: usize,
}

/// A key as it is written.
struct Key<'a> {
    at: usize,
    text: Cow<'a, str>,
    quoting: Quoting,
    /// Where its `:` ends.
    after: usize,
}

impl<'a, M: Maker> Lines<'a, M> {
    /// Goes to the next line with content, from the start of a line.
    fn advance(&mut self, mut line: usize) -> Option<()> {
        loop {
            let mut at = line;
            while self.byte(at) == b' ' {
                at += 1;
            }
            self.pos = at;
            match self.byte(at) {
                0 => {
                    self.indent = END;
                    return Some(());
                }
                b'\n' => line = at + 1,
                b'#' => line = self.after_line(at),
                b'\t' => return None,
                byte => {
                    self.indent = (at - line) as isize;
                    if at == line && self.blankz(at + 3) {
                        match self.bytes.get(at..at + 3) {
                            Some(b"---") => self.indent = END,
                            Some(b"...") => return None,
                            _ => {}
                        }
                    }
                    return (at != line || byte != b'%').then_some(());
                }
            }
        }
    }

    /// What begins where the line does, inside a collection at `column`.
    fn node(&mut self, column: isize) -> Option<M::Node> {
        if self.is_dash(self.pos) {
            self.sequence(self.indent, false)
        } else if let Some(key) = self.key(self.pos)? {
            self.mapping(self.indent, key)
        } else if column == END {
            None
        } else {
            self.inline(self.pos, column)
        }
    }

    fn mapping(&mut self, column: isize, first: Key<'a>) -> Option<M::Node> {
        self.enter()?;
        let mut map = self.maker.map(first.at, false)?;
        let mut key = first;
        loop {
            let made = self.maker.key(key.at, &key.text, key.quoting)?;
            let value = self.value(key.after, column, true)?;
            self.maker.entry(&mut map, made, value);
            if self.indent != column {
                break;
            }
            if self.is_dash(self.pos) {
                return None;
            }
            key = self.key(self.pos)??;
        }
        self.depth -= 1;
        let node = self.maker.end_map(map)?;
        (self.indent <= column).then_some(node)
    }

    /// Items at `column`; `inside` says that a mapping at the same column
    /// goes on after them.
    fn sequence(&mut self, column: isize, inside: bool) -> Option<M::Node> {
        self.enter()?;
        let mut list = self.maker.list(self.pos, false)?;
        loop {
            let dash = self.pos;
            let mut at = dash + 1;
            while self.byte(at) == b' ' {
                at += 1;
            }
            let nested = column + (at - dash) as isize;
            let item = if self.is_dash(at) {
                self.pos = at;
                self.sequence(nested, false)?
            } else if let Some(key) = self.key(at)? {
                self.mapping(nested, key)?
            } else {
                self.value(dash + 1, column, false)?
            };
            self.maker.item(&mut list, item);
            if self.indent != column || (inside && !self.is_dash(self.pos)) {
                break;
            }
            if !self.is_dash(self.pos) {
                return None;
            }
        }
        self.depth -= 1;
        let node = self.maker.end_list(list)?;
        (self.indent <= column).then_some(node)
    }

    /// What stands after the `:` or `-` that ends before `after`, in a
    /// collection at `column`.
    fn value(&mut self, after: usize, column: isize, in_mapping: bool) -> Option<M::Node> {
        let mut at = after;
        while self.byte(at) == b' ' {
            at += 1;
        }
        match self.byte(at) {
            0 | b'\n' | b'#' => {
                let next = self.rest_of_line(after)?;
                self.advance(next)?;
                if self.indent > column {
                    self.node(column)
                } else if in_mapping && self.indent == column && self.is_dash(self.pos) {
                    self.sequence(column, true)
                } else {
                    // Where the indicator is, there is nothing.
                    self.maker.scalar(after - 1, "", Quoting::Plain)
                }
            }
            byte @ (b'|' | b'>') => {
                let quoting = match byte {
                    b'|' => Quoting::Literal,
                    _ => Quoting::Folded,
                };
                let (text, next) = self.block_scalar(at, column)?;
                let node = self.maker.block(at, text, quoting)?;
                self.advance(next)?;
                (self.indent <= column).then_some(node)
            }
            _ => self.inline(at, column),
        }
    }

    /// A scalar or flow collection at `at`, inside a collection at `column`.
    fn inline(&mut self, at: usize, column: isize) -> Option<M::Node> {
        let (node, next) = match self.byte(at) {
            b'"' | b'\'' => {
                let (text, end) = self.quoted(at)?;
                let node = self.maker.scalar(at, &text, self.quotes(at))?;
                (node, self.rest_of_line(end)?)
            }
            b'[' | b'{' => {
                let (node, end) = self.flow(at)?;
                (node, self.rest_of_line(end)?)
            }
            byte if starts_plain(byte, self.byte(at + 1)) => {
                let (text, next) = self.plain(at, column)?;
                (self.maker.scalar(at, &text, Quoting::Plain)?, next)
            }
            _ => return None,
        };
        self.advance(next)?;
        // Nothing belongs to a scalar that ended.
        (self.indent <= column).then_some(node)
    }

    /// Which quotes stand at `at`.
    fn quotes(&self, at: usize) -> Quoting {
        match self.byte(at) {
            b'\'' => Quoting::Single,
            _ => Quoting::Double,
        }
    }

    /// The key at `at`. `Some(None)` if the line has none, `None` if that
    /// cannot be told.
    fn key(&self, at: usize) -> Option<Option<Key<'a>>> {
        let first = self.byte(at);
        if first == b'"' || first == b'\'' {
            let (text, end) = self.quoted(at)?;
            let mut colon = end;
            while self.byte(colon) == b' ' {
                colon += 1;
            }
            if self.byte(colon) != b':' {
                return Some(None);
            }
            let good = colon == end
                && self.blankz(end + 1)
                && end - at < MAX_KEY
                && end <= self.line_end(at);
            return good.then(|| {
                Some(Key {
                    at,
                    text,
                    quoting: self.quotes(at),
                    after: end + 1,
                })
            });
        }
        if !starts_plain(first, self.byte(at + 1)) {
            return Some(None);
        }
        // Keys of manifests consist of these; the first other character says
        // what the line is.
        let mut end = at;
        while KEY_BYTES[usize::from(self.byte(end))] {
            end += 1;
        }
        if self.byte(end) == b':' && self.blankz(end + 1) {
            return (end - at <= MAX_KEY).then(|| {
                Some(Key {
                    at,
                    text: Cow::Borrowed(&self.text[at..end]),
                    quoting: Quoting::Plain,
                    after: end + 1,
                })
            });
        }
        let line_end = self.line_end(at);
        for found in memchr::memchr2_iter(b':', b'#', &self.bytes[end..line_end]) {
            let found = end + found;
            match self.bytes[found] {
                b':' if self.blankz(found + 1) => return None,
                b'#' if self.bytes[found - 1] == b' ' => return Some(None),
                _ => {}
            }
        }
        Some(None)
    }

    /// The plain scalar at `at`, in a collection at `column`, and the line
    /// after it.
    fn plain(&self, at: usize, column: isize) -> Option<(Cow<'a, str>, usize)> {
        let (end, mut next, comment) = self.plain_line(at)?;
        let first = &self.text[at..end];
        let mut joined = String::new();
        let mut ended = comment;
        while !ended {
            // Deeper lines go on with the scalar, whatever they look like.
            let mut line = next;
            let mut start;
            let mut breaks = 0;
            loop {
                start = self.after_spaces(line);
                if self.byte(start) != b'\n' {
                    break;
                }
                breaks += 1;
                line = start + 1;
            }
            match self.byte(start) {
                b'\t' => return None,
                0 | b'#' => break,
                _ if (start - line) as isize <= column => break,
                _ => {}
            }
            let (end, after, comment) = self.plain_line(start)?;
            if joined.is_empty() {
                joined.push_str(first);
            }
            if breaks == 0 {
                joined.push(' ');
            }
            joined.extend(std::iter::repeat_n('\n', breaks));
            joined.push_str(&self.text[start..end]);
            next = after;
            ended = comment;
        }
        let text = match joined.is_empty() {
            true => Cow::Borrowed(first),
            false => Cow::Owned(joined),
        };
        Some((text, next))
    }

    /// Where the plain text at `at` ends on its line, the line after it, and
    /// whether a comment ended it.
    fn plain_line(&self, at: usize) -> Option<(usize, usize, bool)> {
        // Most are one word.
        let mut end = at;
        while KEY_BYTES[usize::from(self.byte(end))] {
            end += 1;
        }
        if self.byte(end) == b'\n' && end > at {
            return Some((end, end + 1, false));
        }
        let line_end = self.line_end(at);
        let mut end = line_end;
        for found in memchr::memchr3_iter(b':', b'#', b'\t', &self.bytes[at..end]) {
            let found = at + found;
            match self.bytes[found] {
                b'\t' => return None,
                b':' if self.blankz(found + 1) => return None,
                b'#' if self.bytes[found - 1] == b' ' => {
                    end = found;
                    break;
                }
                _ => {}
            }
        }
        let comment = end < line_end;
        while self.bytes[end - 1] == b' ' {
            end -= 1;
        }
        Some((end, (line_end + 1).min(self.bytes.len()), comment))
    }

    /// The text in the quotes at `at`, and where they end.
    fn quoted(&self, at: usize) -> Option<(Cow<'a, str>, usize)> {
        let single = self.bytes[at] == b'\'';
        let mut joined = String::new();
        let mut from = at + 1;
        loop {
            let rest = &self.bytes[from..];
            let found = from
                + if single {
                    memchr::memchr2(b'\'', b'\n', rest)?
                } else {
                    memchr::memchr3(b'"', b'\\', b'\n', rest)?
                };
            let piece = &self.text[from..found];
            match self.bytes[found] {
                b'\n' => {
                    joined.push_str(piece.trim_end_matches([' ', '\t']));
                    let (breaks, next) = self.fold(found + 1)?;
                    if breaks == 0 {
                        joined.push(' ');
                    }
                    joined.extend(std::iter::repeat_n('\n', breaks));
                    from = next;
                }
                b'\'' if self.byte(found + 1) == b'\'' => {
                    joined.push_str(piece);
                    joined.push('\'');
                    from = found + 2;
                }
                b'\\' => {
                    joined.push_str(piece);
                    from = found + 2;
                    joined.push(match self.byte(found + 1) {
                        b'n' => '\n',
                        b't' => '\t',
                        b'r' => '\r',
                        b'"' => '"',
                        b'\\' => '\\',
                        b' ' => ' ',
                        b'\n' => {
                            let (breaks, next) = self.fold(found + 2)?;
                            joined.extend(std::iter::repeat_n('\n', breaks));
                            from = next;
                            continue;
                        }
                        _ => return None,
                    });
                }
                _ if from == at + 1 => return Some((Cow::Borrowed(piece), found + 1)),
                _ => {
                    joined.push_str(piece);
                    return Some((Cow::Owned(joined), found + 1));
                }
            }
        }
    }

    /// From the start of a line inside quotes: how many more line breaks
    /// follow, and where the text goes on.
    fn fold(&self, mut line: usize) -> Option<(usize, usize)> {
        let mut breaks = 0;
        loop {
            let mut at = line;
            while matches!(self.byte(at), b' ' | b'\t') {
                at += 1;
            }
            if self.byte(at) != b'\n' {
                let indicator =
                    self.bytes[at..].starts_with(b"---") || self.bytes[at..].starts_with(b"...");
                return (at != line || !indicator).then_some((breaks, at));
            }
            breaks += 1;
            line = at + 1;
        }
    }

    /// A flow collection that ends on this line, and where.
    fn flow(&mut self, at: usize) -> Option<(M::Node, usize)> {
        self.enter()?;
        let start = at;
        let mut at = self.after_spaces(start + 1);
        let node = if self.bytes[start] == b'[' {
            let mut list = self.maker.list(start, true)?;
            while self.byte(at) != b']' {
                let (item, end) = self.flow_item(at)?;
                self.maker.item(&mut list, item);
                at = self.flow_separator(end, b']')?;
            }
            self.maker.end_list(list)?
        } else {
            let mut map = self.maker.map(start, true)?;
            while self.byte(at) != b'}' {
                let (key, end) = match self.byte(at) {
                    b'"' | b'\'' => {
                        let (text, end) = self.quoted(at)?;
                        if end > self.line_end(at) {
                            return None;
                        }
                        (self.maker.key(at, &text, self.quotes(at))?, end)
                    }
                    _ => {
                        let end = self.flow_word_end(at)?;
                        if self.byte(end + 1) != b' ' || end - at > MAX_KEY {
                            return None;
                        }
                        let text = &self.text[at..end];
                        (self.maker.key(at, text, Quoting::Plain)?, end)
                    }
                };
                if self.byte(end) != b':' || end - at > MAX_KEY {
                    return None;
                }
                let (value, end) = self.flow_item(self.after_spaces(end + 1))?;
                self.maker.entry(&mut map, key, value);
                at = self.flow_separator(end, b'}')?;
            }
            self.maker.end_map(map)?
        };
        self.depth -= 1;
        Some((node, at + 1))
    }

    fn flow_item(&mut self, at: usize) -> Option<(M::Node, usize)> {
        match self.byte(at) {
            b'[' | b'{' => self.flow(at),
            b'"' | b'\'' => {
                let (text, end) = self.quoted(at)?;
                Some((self.maker.scalar(at, &text, self.quotes(at))?, end))
            }
            _ => {
                let end = self.flow_word_end(at)?;
                let text = &self.text[at..end];
                Some((self.maker.scalar(at, text, Quoting::Plain)?, end))
            }
        }
    }

    /// The end of a plain scalar of harmless characters.
    fn flow_word_end(&self, at: usize) -> Option<usize> {
        if !starts_plain(self.byte(at), self.byte(at + 1)) {
            return None;
        }
        let mut end = at;
        while KEY_BYTES[usize::from(self.byte(end))] {
            end += 1;
        }
        (end > at).then_some(end)
    }

    /// The start of the next item, or the bracket that closes the collection.
    fn flow_separator(&self, end: usize, close: u8) -> Option<usize> {
        let at = self.after_spaces(end);
        match self.byte(at) {
            b',' => Some(self.after_spaces(at + 1)),
            byte if byte == close => Some(at),
            _ => None,
        }
    }

    /// The text of the literal or folded scalar whose `|` or `>` is at `at`,
    /// and the line after it.
    fn block_scalar(&self, at: usize, column: isize) -> Option<(Str, usize)> {
        let (keep, strip, header) = match self.byte(at + 1) {
            b'-' => (false, true, at + 2),
            b'+' => (true, false, at + 2),
            _ => (false, false, at + 1),
        };
        if self.byte(header) != b'\n' {
            return None;
        }
        // Empty lines before the text say nothing about its indentation, if
        // they are empty.
        let mut line = header + 1;
        while self.byte(line) == b'\n' {
            line += 1;
        }
        let leading = line - header - 1;
        let mut first = line;
        while self.byte(first) == b' ' {
            first += 1;
        }
        let indent = first - line;
        if matches!(self.byte(first), 0 | b'\n' | b'\t') {
            return None;
        }
        if indent as isize <= column {
            // No text: what follows belongs to somebody else.
            let kept = if keep { leading } else { 0 };
            return Some(("\n".repeat(kept).into(), line));
        }

        let wanted = self.maker.wants_text();
        let mut text = match wanted {
            true => Str::with_capacity(self.line_end(first) - first + 1),
            false => Str::new(),
        };
        for _ in 0..leading {
            text.push('\n');
        }
        let literal = self.bytes[at] == b'|';
        // Line breaks that are part of the text only if more text follows.
        let mut breaks = 0;
        let mut after_blank = true;
        loop {
            let mut start = line;
            while start - line < indent && self.byte(start) == b' ' {
                start += 1;
            }
            match self.byte(start) {
                0 => break,
                b'\n' => {
                    breaks += 1;
                    line = start + 1;
                    continue;
                }
                _ if start - line < indent => {
                    if self.byte(start) == b'\t' {
                        return None;
                    }
                    break;
                }
                _ => {}
            }
            let end = self.line_end(start);
            if wanted {
                let blank = matches!(self.byte(start), b' ' | b'\t');
                if !literal && breaks > 0 && !after_blank && !blank {
                    breaks -= 1;
                    if breaks == 0 {
                        text.push(' ');
                    }
                }
                after_blank = blank;
                for _ in 0..breaks {
                    text.push('\n');
                }
                text.push_str(&self.text[start..end]);
            }
            breaks = usize::from(end < self.bytes.len());
            line = (end + 1).min(self.bytes.len());
        }
        let kept = if keep {
            breaks
        } else {
            breaks.min(usize::from(!strip))
        };
        for _ in 0..kept {
            text.push('\n');
        }
        Some((text, line))
    }

    fn enter(&mut self) -> Option<()> {
        self.depth += 1;
        (self.depth <= self.max_depth).then_some(())
    }

    /// The line after `at`, if there are only blanks and a comment before it.
    fn rest_of_line(&self, at: usize) -> Option<usize> {
        let end = self.after_spaces(at);
        match self.byte(end) {
            0 => Some(end),
            b'\n' => Some(end + 1),
            b'#' if end > at => Some(self.after_line(end)),
            _ => None,
        }
    }

    fn after_spaces(&self, mut at: usize) -> usize {
        while self.byte(at) == b' ' {
            at += 1;
        }
        at
    }

    fn line_end(&self, at: usize) -> usize {
        memchr::memchr(b'\n', &self.bytes[at..]).map_or(self.bytes.len(), |found| at + found)
    }

    fn after_line(&self, at: usize) -> usize {
        (self.line_end(at) + 1).min(self.bytes.len())
    }

    fn is_dash(&self, at: usize) -> bool {
        self.byte(at) == b'-' && self.blankz(at + 1)
    }

    fn blankz(&self, at: usize) -> bool {
        matches!(self.byte(at), 0 | b' ' | b'\n' | b'\t')
    }

    /// 0 past the end; the text itself has no NUL.
    #[inline]
    fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }
}

/// Whether a plain scalar may start so, without being anything else.
fn starts_plain(first: u8, second: u8) -> bool {
    match first {
        b'-' => !matches!(second, 0 | b' ' | b'\n' | b'\t'),
        b'_' | b'.' | b'/' | b'(' | b')' | b'$' | b'^' | b'<' | b'=' | b'+' | b'~' | b'\\'
        | b';' => true,
        _ => first.is_ascii_alphanumeric() || first >= 0x80,
    }
}

/// Characters that have no meaning of their own inside a scalar.
static KEY_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric()
            || matches!(
                byte as u8,
                b'_' | b'.' | b'/' | b'-' | b'$' | b'(' | b')' | b'+'
            );
        byte += 1;
    }
    table
};
