//! One step into a value, and the text of many.

use std::cmp::Ordering;
use std::fmt;

use gitops_core::{Str, Value, json};

/// One step into a value.
///
/// Ordered as upstream orders them, which is also the order in which conflicts
/// are reported: fields, keyed items, set items, positions.
#[derive(Clone, Debug)]
pub enum PathElement {
    /// A field of a map.
    Field(Str),
    /// The item of a keyed list that has these values in its key fields,
    /// sorted by field name.
    Key(Vec<(Str, Value)>),
    /// An item of a set.
    Value(Value),
    /// A position in a list; not used by merging.
    Index(i64),
}

/// The steps from an object's root to a place in it.
///
/// Displayed as the API server shows it in conflicts:
/// `.spec.containers[name="app"].ports[containerPort=80,protocol="TCP"]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(pub Vec<PathElement>);

impl PathElement {
    fn rank(&self) -> u8 {
        match self {
            PathElement::Field(_) => 0,
            PathElement::Key(_) => 1,
            PathElement::Value(_) => 2,
            PathElement::Index(_) => 3,
        }
    }
}

impl Ord for PathElement {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (PathElement::Field(a), PathElement::Field(b)) => a.cmp(b),
            (PathElement::Key(a), PathElement::Key(b)) => compare_keys(
                a.iter().map(|(name, value)| (name, value)),
                b.iter().map(|(name, value)| (name, value)),
            ),
            (PathElement::Value(a), PathElement::Value(b)) => compare_values(a, b),
            (PathElement::Index(a), PathElement::Index(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for PathElement {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for PathElement {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (PathElement::Field(a), PathElement::Field(b)) => a == b,
            _ => self.cmp(other) == Ordering::Equal,
        }
    }
}

impl Eq for PathElement {}

/// Key fields pair by pair, the shorter first.
pub(super) fn compare_keys<'a>(
    mut a: impl Iterator<Item = (&'a Str, &'a Value)>,
    mut b: impl Iterator<Item = (&'a Str, &'a Value)>,
) -> Ordering {
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some((name_a, value_a)), Some((name_b, value_b))) => name_a
                .cmp(name_b)
                .then_with(|| compare_values(value_a, value_b)),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Numbers before strings before booleans before lists before maps before
/// null; integers and floats by magnitude.
pub(super) fn compare_values(a: &Value, b: &Value) -> Ordering {
    fn rank(value: &Value) -> u8 {
        match value {
            Value::Int(_) | Value::UInt(_) | Value::Float(_) => 0,
            Value::String(_) => 1,
            Value::Bool(_) => 2,
            Value::List(_) => 3,
            Value::Map(_) => 4,
            Value::Null => 5,
        }
    }
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::List(a), Value::List(b)) => a
            .iter()
            .zip(b)
            .map(|(a, b)| compare_values(a, b))
            .find(|order| *order != Ordering::Equal)
            .unwrap_or_else(|| a.len().cmp(&b.len())),
        (Value::Map(a), Value::Map(b)) => a
            .iter()
            .zip(b.iter())
            .map(|((key_a, a), (key_b, b))| key_a.cmp(key_b).then_with(|| compare_values(a, b)))
            .find(|order| *order != Ordering::Equal)
            .unwrap_or_else(|| a.len().cmp(&b.len())),
        _ => rank(a).cmp(&rank(b)).then_with(|| {
            let (a, b) = (a.as_f64().unwrap_or(0.0), b.as_f64().unwrap_or(0.0));
            a.total_cmp(&b)
        }),
    }
}

impl fmt::Display for PathElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathElement::Field(name) => write!(f, ".{name}"),
            PathElement::Key(fields) => {
                f.write_str("[")?;
                for (index, (name, value)) in fields.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    write!(f, "{comma}{name}={}", json::to_string_raw(value))?;
                }
                f.write_str("]")
            }
            PathElement::Value(value) => write!(f, "[={}]", json::to_string_raw(value)),
            PathElement::Index(index) => write!(f, "[{index}]"),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|element| element.fmt(f))
    }
}

impl FromIterator<PathElement> for Path {
    fn from_iter<I: IntoIterator<Item = PathElement>>(elements: I) -> Self {
        Path(elements.into_iter().collect())
    }
}
