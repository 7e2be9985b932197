//! Values without parts, to compare and to keep.

use super::text::Str;
use super::value::Value;

/// A value that nobody can write to, in any thread.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Scalar {
    Nil,
    Bool(bool),
    Int(i64),
    Int64(i64),
    /// By its bits.
    Float(u64),
    Str(Str),
}

impl Scalar {
    pub(super) fn new(value: &Value) -> Option<Scalar> {
        Some(match value {
            Value::Nil => Scalar::Nil,
            Value::Bool(flag) => Scalar::Bool(*flag),
            Value::Int(number) => Scalar::Int(*number),
            Value::Int64(number) => Scalar::Int64(*number),
            Value::Float(number) => Scalar::Float(number.to_bits()),
            Value::Str(text) => Scalar::Str(text.clone()),
            _ => return None,
        })
    }

    pub(super) fn to_value(&self) -> Value {
        match self {
            Scalar::Nil => Value::Nil,
            Scalar::Bool(flag) => Value::Bool(*flag),
            Scalar::Int(number) => Value::Int(*number),
            Scalar::Int64(number) => Value::Int64(*number),
            Scalar::Float(bits) => Value::Float(f64::from_bits(*bits)),
            Scalar::Str(text) => Value::Str(text.clone()),
        }
    }
}
