//! Tables and keys, and which of them may be written twice: upstream's
//! `parse.go`.

use std::collections::{BTreeMap, HashSet};

use super::super::objects;
use super::lex::{Element, Fault, Lexer, Next, Token, Top};
use super::{LAYOUTS, push_name};
use crate::gotmpl::{MAX_NESTING, Map, Str, Value, deeper, printf};
use crate::sprig;

/// Reads a document.
///
/// # Errors
///
/// Upstream's text: `toml: line 3 (last key "a.b"): …`.
pub(in crate::helm) fn parse(text: &[u8]) -> Result<Map, String> {
    let text = match text {
        [0xff, 0xfe, rest @ ..] | [0xfe, 0xff, rest @ ..] | [0xef, 0xbb, 0xbf, rest @ ..] => rest,
        text => text,
    };
    if text.iter().take(6).any(|byte| *byte == 0) {
        return Err(
            "toml: line 1: files cannot contain NULL bytes; probably using UTF-16; \
                    TOML files must be UTF-8"
                .into(),
        );
    }
    let mut parser = Parser {
        lexer: Lexer::new(text),
        context: Vec::new(),
        key: String::new(),
        line: 0,
        root: Table::new(),
        arrays: HashSet::new(),
        implicit: HashSet::new(),
        depth: 0,
    };
    match parser.document() {
        Ok(()) => Ok(map(parser.root)),
        Err(fault) => {
            let Fault { line, text } = fault;
            let last = parser.last_key();
            Err(match last.as_str() {
                "" => format!("toml: line {line}: {text}"),
                key => format!(
                    "toml: line {line} (last key {}): {text}",
                    printf::quote(key.as_bytes())
                ),
            })
        }
    }
}

type Table = BTreeMap<String, Node>;

enum Node {
    Scalar(Value),
    Array(Vec<Node>),
    Table(Table),
    /// An array of tables, which grows with each header.
    Tables(Vec<Table>),
}

struct Parser<'t> {
    lexer: Lexer<'t>,
    /// The table that keys belong to.
    context: Vec<String>,
    /// The key that is being read, without its table.
    key: String,
    /// The line of the last key or header.
    line: usize,
    root: Table,
    /// The keys of arrays.
    arrays: HashSet<String>,
    /// The tables that exist because something inside them was named.
    implicit: HashSet<String>,
    depth: usize,
}

impl Parser<'_> {
    fn document(&mut self) -> Result<(), Fault> {
        loop {
            match self.lexer.top()? {
                Top::End => return Ok(()),
                Top::Table => {
                    let name = self.name()?;
                    self.enter(&name, false)?;
                    self.arrays.remove(&joined(&self.context));
                }
                Top::ArrayTable => {
                    let name = self.name()?;
                    self.lexer.array_table_end()?;
                    self.enter(&name, true)?;
                    self.arrays.remove(&joined(&self.context));
                }
                Top::Key => {
                    let outer = self.context.clone();
                    self.pair()?;
                    self.context = outer;
                    self.key.clear();
                }
            }
            self.lexer.top_end()?;
        }
    }

    /// The name of a table, up to its closing bracket.
    fn name(&mut self) -> Result<Vec<String>, Fault> {
        let mut parts = Vec::new();
        loop {
            let part = self.lexer.name_part()?;
            if parts.is_empty() {
                self.line = self.lexer.line;
            }
            parts.push(self.text(part)?);
            if self.lexer.name_end()? == Next::End {
                return Ok(parts);
            }
        }
    }

    /// A key, its value, and where that belongs; returns the way there from
    /// the table that the key was written in.
    fn pair(&mut self) -> Result<(Vec<String>, Node), Fault> {
        let mut parts = Vec::new();
        loop {
            let part = self.lexer.key_part()?;
            if parts.is_empty() {
                self.line = self.lexer.line;
            }
            parts.push(self.text(part)?);
            if self.lexer.key_end()? == Next::End {
                break;
            }
        }
        self.key = parts.pop().unwrap_or_default();
        for part in &parts {
            let mut table = self.context.clone();
            table.push(part.clone());
            self.implicit.insert(joined(&table));
            self.enter(&table, false)?;
        }
        let value = self.value(false)?;
        let copy = copy(&value);
        self.set(value)?;
        parts.push(self.key.clone());
        Ok((parts, copy))
    }

    /// A string token's text.
    fn text(&mut self, token: Token) -> Result<String, Fault> {
        match token {
            Token::Escaped(text) => self.unescape(&text),
            Token::MultiLine(text) => self.unescape(&joined_lines(first_line_off(&text))),
            Token::RawMultiLine(text) => Ok(first_line_off(&text).to_owned()),
            Token::Plain(text) => Ok(text),
            _ => Ok(String::new()),
        }
    }

    fn value(&mut self, in_array: bool) -> Result<Node, Fault> {
        let token = self.lexer.value()?;
        let line = self.lexer.line;
        let fault = |text: String| Fault { line, text };
        Ok(Node::Scalar(match token {
            Token::Bool(flag) => Value::Bool(flag),
            Token::Integer(text) => Value::Int64(integer(&text).map_err(fault)?),
            Token::Float(text) => Value::Float(float(&text).map_err(fault)?),
            Token::Datetime(text) => datetime(&text).map_err(fault)?,
            Token::Array => return self.nested(Parser::array),
            Token::InlineTable => return self.nested(|parser| parser.inline_table(in_array)),
            text => Value::from(self.text(text)?),
        }))
    }

    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Node, Fault>,
    ) -> Result<Node, Fault> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return Err(Fault {
                line: self.lexer.line,
                text: format!("nested deeper than {MAX_NESTING} levels"),
            });
        }
        let node = deeper(|| read(self));
        self.depth -= 1;
        node
    }

    fn array(&mut self) -> Result<Node, Fault> {
        let mut key = self.context.clone();
        if !self.key.is_empty() {
            key.push(self.key.clone());
        }
        self.arrays.insert(joined(&key));
        let mut items = Vec::new();
        while let Element::Item = self.lexer.array_item()? {
            items.push(self.value(true)?);
            if let Element::End = self.lexer.array_item_end()? {
                break;
            }
        }
        Ok(Node::Array(items))
    }

    fn inline_table(&mut self, in_array: bool) -> Result<Node, Fault> {
        let (outer, outer_key) = (self.context.clone(), std::mem::take(&mut self.key));
        let mut inside = outer.clone();
        inside.push(outer_key.clone());
        self.context.clone_from(&inside);
        self.implicit.insert(joined(&inside));
        self.enter(&inside, in_array)?;
        let mut table = Table::new();
        let mut more = self.lexer.inline_key()?;
        while let Element::Item = more {
            let (path, value) = self.pair()?;
            if !lay(&mut table, &path, value) {
                return Err(Fault {
                    line: self.line,
                    text: format!(
                        "{} is not a table",
                        printf::quote(joined(&self.context).as_bytes())
                    ),
                });
            }
            self.context.clone_from(&inside);
            more = self.lexer.inline_end()?;
        }
        self.context = outer;
        self.key = outer_key;
        Ok(Node::Table(table))
    }

    fn fault(&self, text: String) -> Fault {
        Fault {
            line: self.line,
            text,
        }
    }

    /// Makes `key` the table that what follows belongs to.
    fn enter(&mut self, key: &[String], array: bool) -> Result<(), Fault> {
        let Some((last, parents)) = key.split_last() else {
            return Ok(());
        };
        let mut created = Vec::new();
        let mut is_table = false;
        let found =
            descend(&mut self.root, parents, 0, &mut |index| created.push(index)).map(|table| {
                if array {
                    let node = table
                        .entry(last.clone())
                        .or_insert_with(|| Node::Tables(Vec::new()));
                    match node {
                        Node::Tables(tables) => tables.push(Table::new()),
                        _ => is_table = true,
                    }
                }
            });
        for index in created {
            self.implicit.insert(joined(&parents[..=index]));
        }
        if let Err(index) = found {
            return Err(self.fault(format!(
                "Key '{}' was already created as a hash.",
                joined(&parents[..=index])
            )));
        }
        if is_table {
            self.context = parents.to_vec();
            return Err(self.fault(format!(
                "Key '{}' was already created and cannot be used as an array.",
                joined(key)
            )));
        }
        self.context = parents.to_vec();
        if !array {
            self.set_at(last, Node::Table(Table::new()))?;
        }
        self.context.push(last.clone());
        Ok(())
    }

    fn set(&mut self, value: Node) -> Result<(), Fault> {
        let key = self.key.clone();
        self.set_at(&key, value)
    }

    /// Sets a key of the current table.
    fn set_at(&mut self, key: &str, value: Node) -> Result<(), Fault> {
        let mut path = self.context.clone();
        let line = self.line;
        let defined = |key: &[String]| Fault {
            line,
            text: format!("Key '{}' has already been defined.", joined(key)),
        };
        // Whatever holds the table was made when it was entered.
        let table = descend(&mut self.root, &self.context, 0, &mut |_| {})
            .map_err(|index| defined(&self.context[..=index]))?;
        path.push(key.to_owned());
        let name = joined(&path);
        if table.contains_key(key) {
            if !self.implicit.remove(&name) {
                return Err(defined(&path));
            }
            if self.arrays.contains(&name) {
                table.insert(key.to_owned(), value);
            }
            return Ok(());
        }
        table.insert(key.to_owned(), value);
        Ok(())
    }

    fn last_key(&self) -> String {
        let context = joined(&self.context);
        match (context.as_str(), self.key.as_str()) {
            (_, "") => context,
            ("", _) => self.key.clone(),
            (context, key) => format!("{context}.{key}"),
        }
    }

    fn unescape(&self, text: &str) -> Result<String, Fault> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('\\') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            let Some(letter) = rest.chars().next() else {
                break;
            };
            let digits = match letter {
                'x' => 2,
                'u' => 4,
                'U' => 8,
                _ => 0,
            };
            let plain = match letter {
                'b' => '\x08',
                't' => '\t',
                'n' => '\n',
                'f' => '\x0c',
                'r' => '\r',
                'e' => '\x1b',
                'x' | 'u' | 'U' => {
                    let hex = rest.get(1..=digits).unwrap_or_default();
                    let code = u32::from_str_radix(hex, 16).unwrap_or(u32::MAX);
                    char::from_u32(code).ok_or_else(|| Fault {
                        line: self.lexer.line,
                        text: format!("Escaped character '\\u{hex}' is not valid UTF-8."),
                    })?
                }
                ' ' | '\t' => {
                    return Err(Fault {
                        line: self.lexer.line,
                        text: format!("invalid escape: '\\{letter}'"),
                    });
                }
                other => other,
            };
            out.push(plain);
            rest = &rest[letter.len_utf8() + digits..];
        }
        out.push_str(rest);
        Ok(out)
    }
}

/// The table at the end of a path; `created` hears which parts were made. Fails
/// with the part that is no table.
fn descend<'t>(
    table: &'t mut Table,
    path: &[String],
    at: usize,
    created: &mut dyn FnMut(usize),
) -> Result<&'t mut Table, usize> {
    let Some(part) = path.get(at) else {
        return Ok(table);
    };
    let node = table.entry(part.clone()).or_insert_with(|| {
        created(at);
        Node::Table(Table::new())
    });
    match inner(node) {
        Some(below) => descend(below, path, at + 1, created),
        None => Err(at),
    }
}

/// The table that a header below this one continues.
fn inner(node: &mut Node) -> Option<&mut Table> {
    match node {
        Node::Table(table) => Some(table),
        Node::Tables(tables) => tables.last_mut(),
        _ => None,
    }
}

/// Sets a value below an inline table; false if something on the way is no
/// table.
fn lay(table: &mut Table, path: &[String], value: Node) -> bool {
    let Some((last, parents)) = path.split_last() else {
        return true;
    };
    let mut table = table;
    for part in parents {
        let node = table
            .entry(part.clone())
            .or_insert_with(|| Node::Table(Table::new()));
        let Node::Table(below) = node else {
            return false;
        };
        table = below;
    }
    table.insert(last.clone(), value);
    true
}

fn copy(node: &Node) -> Node {
    let table = |table: &Table| {
        table
            .iter()
            .map(|(key, node)| (key.clone(), deeper(|| copy(node))))
            .collect()
    };
    match node {
        Node::Scalar(value) => Node::Scalar(value.clone()),
        Node::Array(items) => Node::Array(items.iter().map(|item| deeper(|| copy(item))).collect()),
        Node::Table(entries) => Node::Table(table(entries)),
        Node::Tables(tables) => Node::Tables(tables.iter().map(table).collect()),
    }
}

fn map(table: Table) -> Map {
    table
        .into_iter()
        .map(|(key, node)| (Str::from(key), deeper(|| value(node))))
        .collect()
}

fn value(node: Node) -> Value {
    match node {
        Node::Scalar(value) => value,
        Node::Array(items) => items
            .into_iter()
            .map(|item| deeper(|| value(item)))
            .collect::<Vec<_>>()
            .into(),
        Node::Table(table) => Value::Map(map(table)),
        Node::Tables(tables) => objects::slice(
            "[]map[string]interface {}",
            tables
                .into_iter()
                .map(|table| Value::Map(map(table)))
                .collect(),
        ),
    }
}

/// A key as upstream prints it.
fn joined(key: &[String]) -> String {
    let mut out = Vec::new();
    for (index, part) in key.iter().enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        push_name(&mut out, &Str::from(part.as_str()));
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn integer(text: &str) -> Result<i64, String> {
    let shown = || printf::quote(text.as_bytes());
    if !underscores_fit(text) {
        return Err(format!(
            "Invalid integer {}: underscores must be surrounded by digits",
            shown()
        ));
    }
    if leading_zero(text) {
        return Err(format!(
            "Invalid integer {}: cannot have leading zeroes",
            shown()
        ));
    }
    let digits = text.replace('_', "");
    let (base, digits) = match digits.get(..2) {
        Some("0x") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        _ => (10, digits.as_str()),
    };
    i64::from_str_radix(digits, base).map_err(|_| format!("{text} is out of range for int64"))
}

fn float(text: &str) -> Result<f64, String> {
    let shown = || printf::quote(text.as_bytes());
    let mut parts = text.split(['.', 'e', 'E']).filter(|part| !part.is_empty());
    if !parts.clone().all(underscores_fit) {
        return Err(format!(
            "Invalid float {}: underscores must be surrounded by digits",
            shown()
        ));
    }
    if parts.next().is_some_and(leading_zero) {
        return Err(format!(
            "Invalid float {}: cannot have leading zeroes",
            shown()
        ));
    }
    let bytes = text.as_bytes();
    let digit_follows = |at: usize| bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
    if !memchr::memchr_iter(b'.', bytes).all(digit_follows) {
        return Err(format!(
            "Invalid float {}: '.' must be followed by one or more digits",
            shown()
        ));
    }
    let plain = text.replace('_', "");
    let number: f64 = plain
        .parse()
        .map_err(|_| format!("Invalid float value: {}", shown()))?;
    if number.is_infinite() && !plain.ends_with("inf") {
        return Err(format!("{text} is out of range for float64"));
    }
    Ok(number)
}

/// Whether a number begins with a zero that says nothing.
fn leading_zero(text: &str) -> bool {
    match text.as_bytes() {
        [b'0', b'b' | b'o' | b'x', ..] => false,
        [b'0', _, ..] | [b'+' | b'-', b'0', _, ..] => true,
        _ => false,
    }
}

fn underscores_fit(text: &str) -> bool {
    if matches!(text, "nan" | "+nan" | "-nan" | "inf" | "+inf" | "-inf") {
        return true;
    }
    let mut after_digit = false;
    for letter in text.chars() {
        if letter == '_' && !after_digit {
            return false;
        }
        after_digit = letter.is_ascii_hexdigit();
    }
    after_digit
}

fn datetime(text: &str) -> Result<Value, String> {
    let text: String = text
        .chars()
        .map(|letter| match letter {
            'z' => 'Z',
            't' | ' ' => 'T',
            other => other,
        })
        .collect();
    LAYOUTS
        .iter()
        .find_map(|(layout, zone)| Some((layout, sprig::parse_time(layout, &text, *zone)?)))
        .filter(|(layout, _)| !missing_zero(&text, layout))
        .map(|(_, time)| time)
        .ok_or_else(|| format!("invalid datetime: {}", printf::quote(text.as_bytes())))
}

/// Go reads `1:00` where `01:00` is asked for; TOML does not.
fn missing_zero(text: &str, layout: &str) -> bool {
    layout
        .bytes()
        .take_while(|byte| !matches!(byte, b'.' | b'Z'))
        .zip(text.bytes())
        .any(|(layout, byte)| !layout.is_ascii_digit() && byte != layout)
}

fn first_line_off(text: &str) -> &str {
    let rest = text.strip_prefix('\n').or(text.strip_prefix("\r\n"));
    rest.unwrap_or(text)
}

/// Without the line breaks that a backslash takes away, and the blanks around
/// them.
fn joined_lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let after = &rest[at + 1..];
        let trimmed = after.trim_start_matches([' ', '\t', '\r', '\n']);
        let blanks = &after[..after.len() - trimmed.len()];
        if blanks.contains('\n') {
            out.push_str(&rest[..at]);
            rest = trimmed;
        } else {
            // The backslash and what it escapes stay.
            let kept = at + 1 + usize::from(after.starts_with('\\'));
            out.push_str(&rest[..kept]);
            rest = &rest[kept..];
        }
    }
    out.push_str(rest);
    out
}
