//! `toToml` and `fromToml`: documents as `github.com/BurntSushi/toml` v1.6
//! writes and reads them.
//!
//! | here     | upstream              |
//! |----------|-----------------------|
//! | this     | `encode.go`           |
//! | `parse`  | `parse.go`            |
//! | `lex`    | `lex.go`, `error.go`  |
//!
//! Both sides are upstream's to the byte, with its error texts.

use crate::gotmpl::{Failure, Kind, MAX_NESTING, Object, Str, Value, deeper, printf};
use crate::sprig;

mod lex;
mod parse;

pub(super) use parse::parse;

/// Writes a value: a document if it is a map, an expression otherwise.
///
/// # Errors
///
/// Upstream's, as a [`Problem`], and after `limit` bytes.
pub(super) fn to_toml(value: &Value, limit: usize) -> Result<Vec<u8>, Problem> {
    let mut encoder = Encoder {
        out: Vec::new(),
        key: Vec::new(),
        inline: 0,
        limit,
        looked: 0,
    };
    if matches!(value, Value::Nil) {
        return Err(Problem::Panic(
            "reflect: call of reflect.Value.Type on zero Value",
        ));
    }
    encoder.encode(value)?;
    Ok(encoder.out)
}

/// Why a value has no TOML.
pub(super) enum Problem {
    /// The encoder's own error.
    Error(String),
    /// Go's reflection panics: no function can make text of it.
    Panic(&'static str),
    /// It would be too long.
    TooLong,
}

impl Problem {
    fn error(text: &str) -> Problem {
        Problem::Error(text.to_owned())
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Failure {
        match problem {
            Problem::Error(text) => Failure::new(text),
            Problem::Panic(text) => Failure::new(text),
            Problem::TooLong => Failure::too_long(),
        }
    }
}

struct Encoder {
    out: Vec<u8>,
    /// The names on the way to what is being written.
    key: Vec<Str>,
    /// How deep we are in what is written on one line.
    inline: usize,
    limit: usize,
    /// How many bytes there are in values that were looked at: what they are
    /// depends on what is inside, again and again.
    looked: usize,
}

/// What the encoder tells apart.
enum Shape {
    Nil,
    Scalar,
    Array(Vec<Value>),
    /// Tables, one after the other.
    Tables(Vec<Value>),
    Table(Table),
}

struct Table {
    entries: Vec<(Str, Value)>,
    /// A struct separates its fields by other rules than a map its entries.
    is_struct: bool,
}

/// Types that Go marshals as text, times among them.
fn is_text(object: &dyn Object) -> bool {
    matches!(object.type_name(), "time.Time" | "*semver.Version")
}

impl Encoder {
    fn shape(&mut self, value: &Value, depth: usize) -> Result<Shape, Problem> {
        if depth + self.inline > MAX_NESTING {
            return Err(Problem::Error(format!(
                "toml: nested deeper than {MAX_NESTING} levels"
            )));
        }
        self.looked += size_of::<Value>();
        if self.looked > self.limit || self.out.len() > self.limit {
            return Err(Problem::TooLong);
        }
        if value.is_nil() {
            return Ok(Shape::Nil);
        }
        if let Some(elements) = value.elements() {
            // A nil slice of a named type shows only in what JSON makes of it.
            let is_nil =
                elements.is_empty() && matches!(value.to_core(), Ok(gitops_core::Value::Null));
            return match is_nil {
                true => Ok(Shape::Nil),
                false => self.array(elements.into_owned(), depth),
            };
        }
        Ok(match value {
            Value::Map(map) => Shape::Table(Table {
                entries: map.entries(),
                is_struct: false,
            }),
            Value::Object(object) if is_text(&**object) => Shape::Scalar,
            Value::Object(object) => match object.kind() {
                Kind::Struct | Kind::Ptr => Shape::Table(Table {
                    entries: object.entries(),
                    is_struct: true,
                }),
                Kind::Map => Shape::Table(Table {
                    entries: object.entries(),
                    is_struct: false,
                }),
                _ => Shape::Scalar,
            },
            _ => Shape::Scalar,
        })
    }

    fn array(&mut self, elements: Vec<Value>, depth: usize) -> Result<Shape, Problem> {
        let mut tables = !elements.is_empty();
        for element in &elements {
            match deeper(|| self.shape(element, depth + 1))? {
                Shape::Nil => {
                    return Err(Problem::error("toml: cannot encode array with nil element"));
                }
                Shape::Table(_) => {}
                _ => tables = false,
            }
        }
        Ok(match tables {
            true => Shape::Tables(elements),
            false => Shape::Array(elements),
        })
    }

    fn encode(&mut self, value: &Value) -> Result<(), Problem> {
        match self.shape(value, self.key.len())? {
            Shape::Nil => Ok(()),
            Shape::Scalar | Shape::Array(_) => self.pair(value, false),
            Shape::Tables(tables) => self.tables(&tables),
            Shape::Table(table) => {
                if self.key.len() == 1 {
                    self.newline();
                }
                if !self.key.is_empty() {
                    self.header("[", "]\n");
                }
                deeper(|| self.entries(table, false))
            }
        }
    }

    fn tables(&mut self, tables: &[Value]) -> Result<(), Problem> {
        if self.key.is_empty() {
            return Err(Problem::error(
                "toml: top-level values must be Go maps or structs",
            ));
        }
        for table in tables {
            self.newline();
            self.header("[[", "]]\n");
            if let Shape::Table(table) = self.shape(table, self.key.len())? {
                deeper(|| self.entries(table, false))?;
            }
        }
        Ok(())
    }

    fn header(&mut self, open: &str, close: &str) {
        self.indent();
        self.out.extend_from_slice(open.as_bytes());
        for (index, name) in self.key.iter().enumerate() {
            if index > 0 {
                self.out.push(b'.');
            }
            push_name(&mut self.out, name);
        }
        self.out.extend_from_slice(close.as_bytes());
    }

    /// What is no table first, then the tables.
    fn entries(&mut self, table: Table, inline: bool) -> Result<(), Problem> {
        let mut direct = Vec::new();
        let mut below = Vec::new();
        let total = table.entries.len();
        for (index, (name, value)) in table.entries.into_iter().enumerate() {
            match self.shape(&value, self.key.len() + 1)? {
                Shape::Table(_) | Shape::Tables(_) => below.push((index, name, value)),
                Shape::Nil => direct.push((index, name, Value::Nil)),
                _ => direct.push((index, name, value)),
            }
        }
        if inline {
            self.out.push(b'{');
        }
        let more = !below.is_empty();
        for (entries, more) in [(direct, more), (below, false)] {
            let count = entries.len();
            for (place, (index, name, value)) in entries.into_iter().enumerate() {
                if value.is_nil() {
                    continue;
                }
                // The comma of the entry before stays if this one is nil.
                let comma = match table.is_struct {
                    true => index + 1 != total,
                    false => more || place + 1 != count,
                };
                if inline {
                    push_name(&mut self.out, &name);
                    self.out.extend_from_slice(b" = ");
                    self.element(&value)?;
                    if comma {
                        self.out.extend_from_slice(b", ");
                    }
                } else {
                    self.key.push(name);
                    self.encode(&value)?;
                    self.key.pop();
                }
            }
        }
        if inline {
            self.out.push(b'}');
        }
        Ok(())
    }

    fn pair(&mut self, value: &Value, inline: bool) -> Result<(), Problem> {
        let Some(name) = self.key.last().cloned() else {
            return self.element(value);
        };
        self.indent();
        push_name(&mut self.out, &name);
        self.out.extend_from_slice(b" = ");
        self.element(value)?;
        if !inline {
            self.newline();
        }
        Ok(())
    }

    /// A value as it stands to the right of `=`.
    fn element(&mut self, value: &Value) -> Result<(), Problem> {
        match value {
            Value::Str(text) => push_quoted(&mut self.out, text.as_bytes()),
            Value::Float(number) => self.float(*number),
            Value::Complex(..) => {
                return Err(Problem::error("unsupported type: complex128"));
            }
            Value::Object(object) if object.type_name() == "time.Time" => {
                let time = sprig::format_time(&**object, time_layout).unwrap_or_default();
                self.out.extend_from_slice(time.as_bytes());
            }
            Value::Object(object) if is_text(&**object) => {
                push_quoted(&mut self.out, text_of(&**object)?.as_bytes());
            }
            Value::Object(object) if object.type_name() == "time.Duration" => {
                let text = object.text().unwrap_or_default();
                push_quoted(&mut self.out, text.as_bytes());
            }
            _ => match self.shape(value, self.key.len())? {
                Shape::Array(elements) | Shape::Tables(elements) => {
                    self.out.push(b'[');
                    self.inline += 1;
                    for (index, element) in elements.iter().enumerate() {
                        if index > 0 {
                            self.out.extend_from_slice(b", ");
                        }
                        deeper(|| self.element(element))?;
                    }
                    self.inline -= 1;
                    self.out.push(b']');
                }
                Shape::Table(table) => {
                    self.inline += 1;
                    deeper(|| self.entries(table, true))?;
                    self.inline -= 1;
                }
                Shape::Nil if matches!(value, Value::Map(_)) => {
                    self.out.extend_from_slice(b"{}");
                }
                Shape::Nil => self.out.extend_from_slice(b"[]"),
                Shape::Scalar => {
                    let number = match value {
                        Value::Object(object) => object.number(),
                        _ => None,
                    };
                    let text = printf::sprint(number.as_ref().unwrap_or(value));
                    self.out.extend_from_slice(text.as_bytes());
                }
            },
        }
        Ok(())
    }

    fn float(&mut self, number: f64) {
        if number.is_nan() || number.is_infinite() {
            if number.is_sign_negative() {
                self.out.push(b'-');
            }
            let name: &[u8] = if number.is_nan() { b"nan" } else { b"inf" };
            self.out.extend_from_slice(name);
            return;
        }
        let text = printf::float_text(number);
        self.out.extend_from_slice(text.as_bytes());
        if !text.contains(['e', '.']) {
            self.out.extend_from_slice(b".0");
        }
    }

    fn indent(&mut self) {
        for _ in 1..self.key.len() {
            self.out.extend_from_slice(b"  ");
        }
    }

    fn newline(&mut self) {
        if !self.out.is_empty() {
            self.out.push(b'\n');
        }
    }
}

/// The layouts of times, and the zones of those that have none: Go's library knows
/// them by these names. The first layout of a zone is the one that is written.
const LAYOUTS: [(&str, Option<&str>); 7] = [
    ("2006-01-02T15:04:05.999999999Z07:00", None),
    ("2006-01-02T15:04:05.999999999", Some("datetime-local")),
    ("2006-01-02", Some("date-local")),
    ("15:04:05.999999999", Some("time-local")),
    ("2006-01-02T15:04Z07:00", None),
    ("2006-01-02T15:04", Some("datetime-local")),
    ("15:04", Some("time-local")),
];

fn time_layout(zone: &str) -> &'static str {
    let local = LAYOUTS.iter().find(|(_, known)| *known == Some(zone));
    local.unwrap_or(&LAYOUTS[0]).0
}

fn text_of(object: &dyn Object) -> Result<String, Problem> {
    match object.to_core() {
        Ok(gitops_core::Value::String(text)) => Ok(text.to_string()),
        Ok(_) => Ok(String::new()),
        Err(failure) => Err(Problem::Error(failure.to_string())),
    }
}

fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn push_name(out: &mut Vec<u8>, name: &Str) {
    let bytes = name.as_bytes();
    if !bytes.is_empty() && bytes.iter().copied().all(is_bare) {
        out.extend_from_slice(bytes);
    } else {
        push_quoted(out, bytes);
    }
}

fn push_quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for byte in text {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\x08' => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\x0c' => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0..0x20 | 0x7f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            other => out.push(*other),
        }
    }
    out.push(b'"');
}
