//! The functions that the language itself has: comparison, indexing, printing.
//!
//! Follows `text/template/funcs.go` of Go 1.26. `and` and `or` are in the
//! executor because they do not evaluate all their arguments.

use super::exec::Operand;
use super::function::Failure;
use super::list::{List, Slice};
use super::map::MapKind;
use super::printf::{self, Cut, decode, quote};
use super::text::Str;
use super::unicode::is_printable;
use super::value::{Kind, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Builtin {
    And,
    Call,
    Eq,
    Ge,
    Gt,
    Html,
    Index,
    Js,
    Le,
    Len,
    Lt,
    Ne,
    Not,
    Or,
    Print,
    Printf,
    Println,
    Slice,
    Urlquery,
}

impl Builtin {
    const ALL: [Builtin; 19] = [
        Builtin::And,
        Builtin::Call,
        Builtin::Eq,
        Builtin::Ge,
        Builtin::Gt,
        Builtin::Html,
        Builtin::Index,
        Builtin::Js,
        Builtin::Le,
        Builtin::Len,
        Builtin::Lt,
        Builtin::Ne,
        Builtin::Not,
        Builtin::Or,
        Builtin::Print,
        Builtin::Printf,
        Builtin::Println,
        Builtin::Slice,
        Builtin::Urlquery,
    ];

    pub(super) fn named(name: &str) -> Option<Builtin> {
        Builtin::ALL
            .into_iter()
            .find(|builtin| builtin.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Builtin::And => "and",
            Builtin::Call => "call",
            Builtin::Eq => "eq",
            Builtin::Ge => "ge",
            Builtin::Gt => "gt",
            Builtin::Html => "html",
            Builtin::Index => "index",
            Builtin::Js => "js",
            Builtin::Le => "le",
            Builtin::Len => "len",
            Builtin::Lt => "lt",
            Builtin::Ne => "ne",
            Builtin::Not => "not",
            Builtin::Or => "or",
            Builtin::Print => "print",
            Builtin::Printf => "printf",
            Builtin::Println => "println",
            Builtin::Slice => "slice",
            Builtin::Urlquery => "urlquery",
        }
    }

    /// The number of fixed parameters, and whether more may follow.
    pub(super) fn arity(self) -> (usize, bool) {
        match self {
            Builtin::Html | Builtin::Js | Builtin::Print | Builtin::Println | Builtin::Urlquery => {
                (0, true)
            }
            Builtin::And
            | Builtin::Call
            | Builtin::Eq
            | Builtin::Index
            | Builtin::Or
            | Builtin::Printf
            | Builtin::Slice => (1, true),
            Builtin::Len | Builtin::Not => (1, false),
            Builtin::Ge | Builtin::Gt | Builtin::Le | Builtin::Lt | Builtin::Ne => (2, false),
        }
    }

    /// Calls one that does not print.
    pub(super) fn call(self, args: &[Operand]) -> Result<Operand, Failure> {
        let flag = |flag: bool| Ok(Operand::plain(Value::Bool(flag)));
        match self {
            Builtin::Eq => flag(equal(&args[0].value, &args[1..])?),
            Builtin::Ne => flag(!equal(&args[0].value, &args[1..])?),
            Builtin::Lt => flag(less(&args[0].value, &args[1].value)?),
            Builtin::Le => flag(less_or_equal(args)?),
            Builtin::Gt => flag(!less_or_equal(args)?),
            Builtin::Ge => flag(!less(&args[0].value, &args[1].value)?),
            Builtin::Not => flag(!args[0].value.is_true()),
            Builtin::Len => Ok(Operand::plain(Value::Int(length(&args[0])?))),
            Builtin::Index => index(&args[0], &args[1..]),
            Builtin::Slice => slice(&args[0].value, &args[1..]),
            _ => unreachable!("the executor evaluates the others"),
        }
    }

    /// What one that prints makes of its arguments, of so many bytes at most;
    /// nothing if it is another one.
    pub(super) fn print(self, args: &[Operand], limit: usize) -> Option<Result<Vec<u8>, Cut>> {
        let mut out = Vec::new();
        let values = || -> Vec<Value> { args.iter().map(|arg| arg.value.clone()).collect() };
        let printed = match self {
            Builtin::Print => printf::print_all(&mut out, &values(), limit),
            Builtin::Println => printf::println_all(&mut out, &values(), limit),
            Builtin::Printf => {
                let values = values();
                let format = values[0]
                    .as_bytes()
                    .expect("the executor checked the format's type");
                printf::sprintf(&mut out, format, &values[1..], limit)
            }
            Builtin::Html => escaped(&mut out, values(), limit, escape_html),
            Builtin::Js => escaped(&mut out, values(), limit, escape_js),
            Builtin::Urlquery => escaped(&mut out, values(), limit, escape_query),
            _ => return None,
        };
        Some(printed.map(|()| out))
    }
}

/// The escapers print their arguments as an action does: nil is `<no value>`,
/// which counts as a string.
fn escaped(
    out: &mut Vec<u8>,
    mut values: Vec<Value>,
    limit: usize,
    escape: fn(&mut Vec<u8>, &[u8]),
) -> Result<(), Cut> {
    for value in &mut values {
        if matches!(value, Value::Nil) {
            *value = "<no value>".into();
        }
    }
    let mut text = Vec::new();
    printf::print_all(&mut text, &values, limit)?;
    escape(out, &text);
    Ok(())
}

// ---- comparison ----

/// The families of types that compare with each other.
#[derive(Clone, Copy, PartialEq)]
enum Basic {
    Bool(bool),
    Complex(f64, f64),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text,
    Other,
}

fn basic(value: &Value) -> Basic {
    match value {
        Value::Bool(flag) => Basic::Bool(*flag),
        Value::Complex(real, imaginary) => Basic::Complex(*real, *imaginary),
        Value::Int(number) | Value::Int64(number) => Basic::Int(*number),
        Value::Int32(number) => Basic::Int((*number).into()),
        Value::Uint64(number) => Basic::Uint(*number),
        Value::Uint32(number) => Basic::Uint((*number).into()),
        Value::Uint8(number) => Basic::Uint((*number).into()),
        Value::Float(number) => Basic::Float(*number),
        Value::Str(_) => Basic::Text,
        Value::Object(object) => object.number().map_or(Basic::Other, |n| basic(&n)),
        _ => Basic::Other,
    }
}

fn incompatible(a: &Value, b: &Value) -> Failure {
    Failure::new(format!(
        "incompatible types for comparison: {} and {}",
        a.type_name(),
        b.type_name()
    ))
}

/// Whether the first equals any of the others.
fn equal(first: &Value, others: &[Operand]) -> Result<bool, Failure> {
    if others.is_empty() {
        return Err(Failure::new("missing argument for comparison"));
    }
    let a = basic(first);
    for other in others {
        let other = &other.value;
        let same = match (a, basic(other)) {
            (Basic::Bool(a), Basic::Bool(b)) => a == b,
            (Basic::Complex(a, c), Basic::Complex(b, d)) => a == b && c == d,
            (Basic::Int(a), Basic::Int(b)) => a == b,
            (Basic::Uint(a), Basic::Uint(b)) => a == b,
            (Basic::Int(a), Basic::Uint(b)) | (Basic::Uint(b), Basic::Int(a)) => {
                u64::try_from(a) == Ok(b)
            }
            (Basic::Float(a), Basic::Float(b)) => a == b,
            (Basic::Text, Basic::Text) => first.as_bytes() == other.as_bytes(),
            (Basic::Other, Basic::Other) => equal_others(first, other)?,
            _ if matches!(first, Value::Nil) || matches!(other, Value::Nil) => false,
            _ => return Err(incompatible(first, other)),
        };
        if same {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Nil, maps, lists and objects.
fn equal_others(a: &Value, b: &Value) -> Result<bool, Failure> {
    let (kind_a, kind_b) = (a.kind(), b.kind());
    if kind_a != kind_b && kind_a != Kind::Invalid && kind_b != Kind::Invalid {
        return Err(formatted(
            "non-comparable types %s: %v, %s: %v",
            &[
                a.clone(),
                a.type_name().as_ref().into(),
                b.type_name().as_ref().into(),
                b.clone(),
            ],
        ));
    }
    if a.is_nil() || b.is_nil() {
        return Ok(a.is_nil() == b.is_nil());
    }
    match (a, b) {
        (Value::Object(a), Value::Object(b)) if !matches!(kind_b, Kind::Map | Kind::Slice) => {
            Ok(a.type_name() == b.type_name() && a.same(&**b))
        }
        _ => Err(formatted(
            "non-comparable type %s: %v",
            &[b.clone(), b.type_name().as_ref().into()],
        )),
    }
}

fn formatted(format: &str, values: &[Value]) -> Failure {
    let mut out = Vec::new();
    // An error message may be cut.
    let _ = printf::sprintf(&mut out, format.as_bytes(), values, 1 << 16);
    Failure::new(Str::from(out).to_string())
}

fn less(first: &Value, second: &Value) -> Result<bool, Failure> {
    let bad = || Failure::new("invalid type for comparison");
    let (a, b) = (basic(first), basic(second));
    if a == Basic::Other || b == Basic::Other {
        return Err(bad());
    }
    Ok(match (a, b) {
        (Basic::Int(a), Basic::Int(b)) => a < b,
        (Basic::Uint(a), Basic::Uint(b)) => a < b,
        (Basic::Int(a), Basic::Uint(b)) => u64::try_from(a).map_or(true, |a| a < b),
        (Basic::Uint(a), Basic::Int(b)) => u64::try_from(b).is_ok_and(|b| a < b),
        (Basic::Float(a), Basic::Float(b)) => a < b,
        (Basic::Text, Basic::Text) => first.as_bytes() < second.as_bytes(),
        (Basic::Bool(_), Basic::Bool(_)) | (Basic::Complex(..), Basic::Complex(..)) => {
            return Err(bad());
        }
        _ => return Err(incompatible(first, second)),
    })
}

fn less_or_equal(args: &[Operand]) -> Result<bool, Failure> {
    Ok(less(&args[0].value, &args[1].value)? || equal(&args[0].value, &args[1..])?)
}

// ---- indexing ----

/// The type of what a pointer points to.
fn pointee(value: &Value) -> String {
    let name = value.type_name();
    match value.kind() {
        Kind::Ptr => name.trim_start_matches('*').to_owned(),
        _ => name.into_owned(),
    }
}

fn length(item: &Operand) -> Result<i64, Failure> {
    let length = match &item.value {
        Value::Nil if item.boxed => return Err(Failure::new("len of nil pointer")),
        Value::Nil => {
            return Err(Failure::new(
                "reflect: call of reflect.Value.Type on zero Value",
            ));
        }
        Value::Str(text) => text.len(),
        Value::Bytes(items) => items.len(),
        Value::List(items) => items.len(),
        Value::Strings(items) => items.len(),
        Value::Ints(items) => items.len(),
        Value::Lists(items) => items.len(),
        Value::Map(map) => map.len(),
        Value::Object(object) if matches!(object.kind(), Kind::Map | Kind::Slice) => {
            object.entries().len()
        }
        other => return Err(Failure::new(format!("len of type {}", pointee(other)))),
    };
    Ok(length as i64)
}

/// An index into something of this length, which itself is accepted too.
fn position(index: &Operand, length: usize) -> Result<usize, Failure> {
    let number = match basic(&index.value) {
        _ if index.boxed => {
            return Err(Failure::new(
                "cannot index slice/array with type interface {}",
            ));
        }
        Basic::Int(number) => number,
        Basic::Uint(number) => number as i64,
        _ if matches!(index.value, Value::Nil) => {
            return Err(Failure::new("cannot index slice/array with nil"));
        }
        _ => {
            return Err(Failure::new(format!(
                "cannot index slice/array with type {}",
                index.value.type_name()
            )));
        }
    };
    usize::try_from(number)
        .ok()
        .filter(|number| *number <= length)
        .ok_or_else(|| Failure::new(format!("index out of range: {number}")))
}

fn index(item: &Operand, indexes: &[Operand]) -> Result<Operand, Failure> {
    if matches!(item.value, Value::Nil) {
        return Err(Failure::new("index of untyped nil"));
    }
    let mut item = item.clone();
    // An interface is unwrapped before the first index only.
    item.boxed = false;
    for index in indexes {
        item = element(&item.value, &index.value)?;
    }
    Ok(item)
}

fn element(item: &Value, index: &Value) -> Result<Operand, Failure> {
    fn at<T>(items: &[T], index: &Value) -> Result<usize, Failure> {
        // `slice` looks at the interface, `index` at what is in it.
        let position = position(&Operand::plain(index.clone()), items.len())?;
        if position == items.len() {
            return Err(Failure::new("reflect: slice index out of range"));
        }
        Ok(position)
    }
    let key = || match index {
        Value::Str(key) => Ok(key),
        Value::Nil => Err(Failure::new("value is nil; should be of type string")),
        _ => Err(Failure::new(format!(
            "value has type {}; should be string",
            index.type_name()
        ))),
    };
    Ok(match item {
        Value::Nil => return Err(Failure::new("index of nil pointer")),
        Value::Map(map) => {
            let value = map.get_key(key()?).unwrap_or_else(|| map.kind().missing());
            Operand {
                value,
                boxed: map.kind().is_boxed(),
            }
        }
        Value::List(items) => Operand::boxed(items[at(items, index)?].clone()),
        Value::Strings(items) => Operand::plain(items[at(items, index)?].clone().into()),
        Value::Ints(items) => Operand::plain(Value::Int(items[at(items, index)?])),
        Value::Lists(items) => Operand::plain(items[at(items, index)?].clone().into()),
        Value::Bytes(items) => Operand::plain(Value::Uint8(items[at(items, index)?])),
        Value::Str(text) => {
            let bytes = text.as_bytes();
            let position = position(&Operand::plain(index.clone()), bytes.len())?;
            match bytes.get(position) {
                Some(byte) => Operand::plain(Value::Uint8(*byte)),
                None => return Err(Failure::new("reflect: string index out of range")),
            }
        }
        Value::Object(object) => match object.kind() {
            Kind::Map => Operand::plain(object.field(&key()?.to_text()).unwrap_or_default()),
            Kind::Slice => {
                let mut entries = object.entries();
                let position = at(&entries, index)?;
                Operand::plain(entries.swap_remove(position).1)
            }
            _ => {
                return Err(Failure::new(format!(
                    "can't index item of type {}",
                    pointee(item)
                )));
            }
        },
        _ => {
            return Err(Failure::new(format!(
                "can't index item of type {}",
                item.type_name()
            )));
        }
    })
}

fn slice(item: &Value, indexes: &[Operand]) -> Result<Operand, Failure> {
    if matches!(item, Value::Nil) {
        return Err(Failure::new("slice of untyped nil"));
    }
    if indexes.len() > 3 {
        return Err(Failure::new(format!(
            "too many slice indexes: {}",
            indexes.len()
        )));
    }
    let length = match item {
        Value::Str(_) if indexes.len() == 3 => {
            return Err(Failure::new("cannot 3-index slice a string"));
        }
        Value::Str(text) => text.len(),
        _ => match item.elements() {
            Some(items) => items.len(),
            None => {
                return Err(Failure::new(format!(
                    "can't slice item of type {}",
                    pointee(item)
                )));
            }
        },
    };
    let mut bounds = [0, length, length];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = position(index, length)?;
    }
    let [start, end, capacity] = bounds;
    for (a, b) in [(start, end), (end, capacity)] {
        if a > b {
            return Err(Failure::new(format!("invalid slice index: {a} > {b}")));
        }
    }
    Ok(Operand::plain(match item {
        Value::Str(text) => Value::Str(Str::from_bytes(&text.as_bytes()[start..end])),
        Value::Bytes(items) => Value::Bytes(Slice::from(&items[start..end])),
        Value::List(items) => Value::List(items[start..end].iter().cloned().collect::<List>()),
        Value::Strings(items) => Value::Strings(Slice::from(&items[start..end])),
        Value::Ints(items) => Value::Ints(Slice::from(&items[start..end])),
        Value::Lists(items) => Value::Lists(Slice::from(&items[start..end])),
        other => other.clone(),
    }))
}

/// The error of a key that is missing where that is not allowed.
pub(super) fn no_entry(name: &str) -> String {
    format!("map has no entry for key {}", quote(name.as_bytes()))
}

/// Whether a map is one whose elements print as text when missing.
pub(super) fn missing(kind: MapKind) -> Operand {
    Operand {
        value: kind.missing(),
        boxed: kind.is_boxed(),
    }
}

// ---- escaping ----

fn escape_html(out: &mut Vec<u8>, text: &[u8]) {
    for byte in text {
        match byte {
            0 => out.extend_from_slice("\u{fffd}".as_bytes()),
            b'"' => out.extend_from_slice(b"&#34;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            byte => out.push(*byte),
        }
    }
}

fn escape_js(out: &mut Vec<u8>, text: &[u8]) {
    let mut at = 0;
    while at < text.len() {
        let byte = text[at];
        if byte.is_ascii() {
            at += 1;
            match byte {
                b'\\' => out.extend_from_slice(br"\\"),
                b'\'' => out.extend_from_slice(br"\'"),
                b'"' => out.extend_from_slice(br#"\""#),
                b'<' | b'>' | b'&' | b'=' | 0..b' ' => {
                    out.extend_from_slice(format!("\\u{byte:04X}").as_bytes());
                }
                byte => out.push(byte),
            }
            continue;
        }
        let (c, size) = decode(&text[at..]);
        if is_printable(c) {
            out.extend_from_slice(&text[at..at + size]);
        } else {
            out.extend_from_slice(format!("\\u{:04X}", u32::from(c)).as_bytes());
        }
        at += size;
    }
}

fn escape_query(out: &mut Vec<u8>, text: &[u8]) {
    for byte in text {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(*byte),
            b' ' => out.push(b'+'),
            byte => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
}
