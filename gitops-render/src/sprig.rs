//! The functions of `github.com/Masterminds/sprig` v3.3 that Helm offers.
//!
//! Signatures are Go's, so the executor refuses what Go's reflection would
//! refuse; see [`Function`]. Where sprig panics, the text of the panic is the
//! text of the failure, since a template shows both alike. Where the order of
//! a Go map would be random (`keys`, `values`), it is sorted here.

use crate::gotmpl::{Context, Failure, Function, Kind, Str, Value};

mod crypto;
mod dates;
mod dicts;
mod encoding;
mod ip;
mod lists;
mod logic;
mod math;
pub(crate) mod paths;
mod random;
mod regex;
mod strings;
mod url;
mod versions;
mod words;

pub(crate) use dates::{format_time, parse_time};

/// The tables of all functions.
pub(crate) const TABLES: &[&[Function]] = &[
    crypto::FUNCTIONS,
    dates::FUNCTIONS,
    dicts::FUNCTIONS,
    encoding::FUNCTIONS,
    lists::FUNCTIONS,
    logic::FUNCTIONS,
    math::FUNCTIONS,
    paths::FUNCTIONS,
    random::FUNCTIONS,
    regex::FUNCTIONS,
    strings::FUNCTIONS,
    url::FUNCTIONS,
    versions::FUNCTIONS,
];

/// Sprig's `strval`: text as it is, everything else as `%v`.
fn strval(context: &Context<'_>, value: &Value) -> Result<Str, Failure> {
    match value {
        Value::Bytes(bytes) => Ok(Str::from_bytes(bytes)),
        Value::Object(object) => object.text().map_or_else(|| context.sprint(value), Ok),
        other => context.sprint(other),
    }
}

/// Sprig's `empty`: nil, zero, `""`, `false`, or nothing in it; a struct
/// never.
fn empty(value: &Value) -> bool {
    match value {
        Value::Object(object) => match object.kind() {
            Kind::Struct | Kind::Ptr => false,
            _ => !value.is_true(),
        },
        other => !other.is_true(),
    }
}

/// The elements of any slice.
///
/// # Errors
///
/// With `verb` in sprig's words for other types: `Cannot find last on type
/// string`; for nil the panic of the reflection that sprig asks.
fn elements(value: &Value, verb: &str) -> Result<Vec<Value>, Failure> {
    match value.elements() {
        Some(elements) => Ok(elements.into_owned()),
        None if matches!(value, Value::Nil) => Err(nil_dereference()),
        None => Err(Failure::new(format!(
            "Cannot {verb} type {}",
            value.kind().name()
        ))),
    }
}

/// What Go says when `reflect.TypeOf(nil).Kind()` is asked.
fn nil_dereference() -> Failure {
    Failure::new("runtime error: invalid memory address or nil pointer dereference")
}

/// Go's text for an index outside a slice or string.
fn out_of_range(text: impl std::fmt::Display) -> Failure {
    Failure::new(format!("runtime error: slice bounds out of range {text}"))
}
