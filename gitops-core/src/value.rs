//! One value type for everything that was written as YAML or JSON.
//!
//! [`Value`] is what JSON can say, with Go's three kinds of number. Strings,
//! lists and maps share their storage: a clone costs a reference count, and a
//! write to a shared value copies one level.
//!
//! A [`Map`] is sorted by key, as every map that Kubernetes writes. That makes
//! output deterministic, equality a walk, and comparison of two objects a
//! merge of two sorted lists.

use std::fmt;

pub mod json;
pub mod number;
mod path;
mod serde;
mod sink;
pub mod yaml;

pub use self::serde::{DecodeError, from_value, to_value};
pub use sink::Sink;

/// How deeply collections are read into one another by default.
///
/// Values are cloned, compared and dropped recursively: this is what the
/// stack of a thread holds with ease.
pub const MAX_DEPTH: usize = 1000;

/// A string with shared storage; up to 15 bytes need no allocation.
pub type Str = ecow::EcoString;

/// A list of values with shared storage.
pub type List = ecow::EcoVec<Value>;

/// What YAML and JSON documents are made of.
///
/// Numbers keep the kind that Go's decoder gives them: an integer that fits
/// `i64` is [`Int`](Value::Int), one that fits only `u64` is
/// [`UInt`](Value::UInt), everything else is [`Float`](Value::Float).
/// Equality is by kind and content, so `Int(1)` is not `Float(1.0)`; see
/// [`Value::same`] for the comparison that overlooks the kind of number.
#[derive(Clone, Default, PartialEq)]
pub enum Value {
    /// `null`, also an empty YAML document.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer within `i64`.
    Int(i64),
    /// An integer above `i64::MAX`.
    UInt(u64),
    /// Any other number.
    Float(f64),
    /// Text.
    String(Str),
    /// A sequence.
    List(List),
    /// A mapping, sorted by key.
    Map(Map),
}

impl Value {
    /// The value below `key`, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_map()?.get(key)
    }

    /// The value at a path of map keys, for instance `["metadata", "name"]`.
    pub fn at(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(self, |value, key| value.get(key))
    }

    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The boolean, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        }
    }

    /// The number as `i64`, if it is an integer that fits or a float without
    /// a fraction that does.
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Value::Int(number) => Some(number),
            // Floats up to 2^53 hold every integer, so the cast is exact.
            Value::Float(number) if number.fract() == 0.0 && number.abs() <= 9.0e15 => {
                Some(number as i64)
            }
            _ => None,
        }
    }

    /// The number as `f64`, if this is a number; large integers are rounded.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Value::Int(number) => Some(number as f64),
            Value::UInt(number) => Some(number as f64),
            Value::Float(number) => Some(number),
            _ => None,
        }
    }

    /// The map, if this is one.
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The map for writing, if this is one.
    pub fn as_map_mut(&mut self) -> Option<&mut Map> {
        match self {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The list, if this is one.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    /// The list for writing, if this is one.
    pub fn as_list_mut(&mut self) -> Option<&mut List> {
        match self {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    /// Whether this is [`Null`](Value::Null).
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Whether both mean the same: like `==`, but numbers are compared by
    /// magnitude, so `1` equals `1.0`.
    ///
    /// ```
    /// use gitops_core::Value;
    /// assert!(Value::Int(1).same(&Value::Float(1.0)));
    /// assert_ne!(Value::Int(1), Value::Float(1.0));
    /// ```
    pub fn same(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::List(a), Value::List(b)) => {
                self.is_shared(other)
                    || (a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b)))
            }
            (Value::Map(a), Value::Map(b)) => {
                a.is_shared(b)
                    || (a.len() == b.len()
                        && a.iter()
                            .zip(b.iter())
                            .all(|((ka, va), (kb, vb))| ka == kb && va.same(vb)))
            }
            (Value::Int(_) | Value::UInt(_), Value::Float(_))
            | (Value::Float(_), Value::Int(_) | Value::UInt(_)) => self.as_f64() == other.as_f64(),
            _ => self == other,
        }
    }

    /// Whether both are one list or map in one place of memory: then they are
    /// equal, and there is no need to look.
    pub fn is_shared(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::List(a), Value::List(b)) => std::ptr::eq(a.as_slice(), b.as_slice()),
            (Value::Map(a), Value::Map(b)) => a.is_shared(b),
            _ => false,
        }
    }

    /// What kind of value this is, in JSON's words: `null`, `boolean`,
    /// `number`, `string`, `array` or `object`.
    pub fn kind_name(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Int(_) | Value::UInt(_) | Value::Float(_) => "number",
            Value::String(_) => "string",
            Value::List(_) => "array",
            Value::Map(_) => "object",
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(flag) => write!(f, "{flag}"),
            Value::Int(number) => write!(f, "{number}"),
            Value::UInt(number) => write!(f, "{number}"),
            Value::Float(number) => write!(f, "{number:?}"),
            Value::String(text) => write!(f, "{text:?}"),
            Value::List(list) => f.debug_list().entries(list).finish(),
            Value::Map(map) => map.fmt(f),
        }
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Value::Bool(flag)
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Value::Int(number.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Int(number)
    }
}

impl From<u64> for Value {
    /// An integer; above `i64::MAX` it is [`Value::UInt`].
    fn from(number: u64) -> Self {
        i64::try_from(number).map_or(Value::UInt(number), Value::Int)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Value::Float(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::String(text.into())
    }
}

impl From<Str> for Value {
    fn from(text: Str) -> Self {
        Value::String(text)
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Self {
        Value::Map(map)
    }
}

impl From<List> for Value {
    fn from(list: List) -> Self {
        Value::List(list)
    }
}

impl FromIterator<Value> for Value {
    fn from_iter<I: IntoIterator<Item = Value>>(values: I) -> Self {
        Value::List(values.into_iter().collect())
    }
}

/// A mapping from strings to values, sorted by the bytes of its keys.
///
/// Lookup is a binary search. Building from an iterator sorts once and keeps
/// the last of equal keys; single insertions move what comes after them.
#[derive(Clone, Default, PartialEq)]
pub struct Map {
    entries: ecow::EcoVec<(Str, Value)>,
}

impl Map {
    /// An empty map; allocates nothing.
    pub const fn new() -> Self {
        Map {
            entries: ecow::EcoVec::new(),
        }
    }

    /// Whether both are one map in one place of memory: then they are equal,
    /// and there is no need to look.
    pub fn is_shared(&self, other: &Map) -> bool {
        std::ptr::eq(self.entries.as_slice(), other.entries.as_slice())
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.get_indexed(key).map(|(_, value)| value)
    }

    /// The value of `key`, with its position in key order.
    pub fn get_indexed(&self, key: &str) -> Option<(usize, &Value)> {
        let index = self.find(key).ok()?;
        Some((index, &self.entries[index].1))
    }

    /// The value of `key` for writing; copies the map first if it is shared.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        let index = self.find(key).ok()?;
        Some(&mut self.entries.make_mut()[index].1)
    }

    /// Whether `key` is there, with whatever value.
    pub fn contains_key(&self, key: &str) -> bool {
        self.find(key).is_ok()
    }

    /// Sets `key` and returns what it held.
    pub fn insert(&mut self, key: impl Into<Str>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        match self.find(&key) {
            Ok(index) => Some(std::mem::replace(
                &mut self.entries.make_mut()[index].1,
                value,
            )),
            Err(index) => {
                self.entries.insert(index, (key, value));
                None
            }
        }
    }

    /// The value of `key`, set to `null` first if it was absent.
    pub fn entry(&mut self, key: &str) -> &mut Value {
        let index = self.find(key).unwrap_or_else(|index| {
            self.entries.insert(index, (key.into(), Value::Null));
            index
        });
        &mut self.entries.make_mut()[index].1
    }

    /// Removes `key` and returns what it held.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let index = self.find(key).ok()?;
        Some(self.entries.remove(index).1)
    }

    /// Keeps the entries for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut Value) -> bool) {
        self.entries.retain(|(key, value)| keep(key, value));
    }

    /// The entries in key order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Str, &Value)> + DoubleEndedIterator {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    /// The entries in key order, values for writing; copies the map first if
    /// it is shared.
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = (&Str, &mut Value)> {
        self.entries
            .make_mut()
            .iter_mut()
            .map(|(key, value)| (&*key, value))
    }

    /// The keys in order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Str> + Clone {
        self.entries.iter().map(|(key, _)| key)
    }

    /// The values in key order.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &Value> {
        self.entries.iter().map(|(_, value)| value)
    }

    /// The keys of two maps in order, each with the values on both sides.
    ///
    /// ```
    /// use gitops_core::{Map, Value};
    ///
    /// let old = Map::from_iter([("a", 1), ("b", 2)]);
    /// let new = Map::from_iter([("b", 3), ("c", 4)]);
    /// let sides: Vec<_> = old.zip(&new).map(|(key, old, new)| (key.as_str(), old, new)).collect();
    /// assert_eq!(sides[0], ("a", Some(&Value::Int(1)), None));
    /// assert_eq!(sides[1], ("b", Some(&Value::Int(2)), Some(&Value::Int(3))));
    /// assert_eq!(sides[2], ("c", None, Some(&Value::Int(4))));
    /// ```
    pub fn zip<'a>(
        &'a self,
        other: &'a Map,
    ) -> impl Iterator<Item = (&'a Str, Option<&'a Value>, Option<&'a Value>)> {
        zip_sorted(self, other, |a, b| compare(a, b))
    }

    /// The entry at a position in key order.
    pub(crate) fn entry_at(&self, index: usize) -> (&Str, &Value) {
        let (key, value) = &self.entries[index];
        (key, value)
    }

    /// A map of entries in the order they were written in; of equal keys the
    /// last is kept.
    pub(crate) fn from_entries(mut entries: ecow::EcoVec<(Str, Value)>) -> Self {
        // Documents that Kubernetes wrote arrive sorted: the check is one pass.
        if !entries.is_sorted_by(|a, b| a.0 < b.0) {
            let slice = entries.make_mut();
            // Stable, so that of equal keys the last one written stays last.
            slice.sort_by(|a, b| a.0.cmp(&b.0));
            if slice.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                let mut kept = ecow::EcoVec::<(Str, Value)>::with_capacity(slice.len());
                for entry in slice {
                    let entry = std::mem::take(entry);
                    match kept.make_mut().last_mut() {
                        Some((key, value)) if *key == entry.0 => *value = entry.1,
                        _ => kept.push(entry),
                    }
                }
                entries = kept;
            }
        }
        Map { entries }
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        self.entries
            .binary_search_by(|(have, _)| compare(have, key))
    }
}

/// The keys of two series that are in `order`, each with the values on both
/// sides: what [`Map::zip`] does for maps.
///
/// ```
/// let (old, new) = ([("a", 1), ("b", 2)], [("b", 3)]);
/// let sides: Vec<_> = gitops_core::value::zip_sorted(old, new, Ord::cmp).collect();
/// assert_eq!(sides, [("a", Some(1), None), ("b", Some(2), Some(3))]);
/// ```
pub fn zip_sorted<K, V>(
    left: impl IntoIterator<Item = (K, V)>,
    right: impl IntoIterator<Item = (K, V)>,
    order: impl Fn(&K, &K) -> std::cmp::Ordering,
) -> impl Iterator<Item = (K, Option<V>, Option<V>)> {
    let mut left = left.into_iter().peekable();
    let mut right = right.into_iter().peekable();
    std::iter::from_fn(move || {
        let order = match (left.peek(), right.peek()) {
            (None, None) => return None,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((a, _)), Some((b, _))) => order(a, b),
        };
        let a = if order.is_le() { left.next() } else { None };
        let b = if order.is_ge() { right.next() } else { None };
        Some(match (a, b) {
            (Some((key, a)), b) => (key, Some(a), b.map(|(_, b)| b)),
            (None, b) => {
                let (key, b) = b?;
                (key, None, Some(b))
            }
        })
    })
}

/// As texts compare; most differ at once, and then nothing has to be called.
pub(crate) fn compare(a: &str, b: &str) -> std::cmp::Ordering {
    let first = |text: &str| text.as_bytes().first().copied();
    first(a).cmp(&first(b)).then_with(|| a.cmp(b))
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Into<Str>, V: Into<Value>> FromIterator<(K, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Map::from_entries(
            entries
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        )
    }
}

impl IntoIterator for Map {
    type Item = (Str, Value);
    type IntoIter = ecow::vec::IntoIter<(Str, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl<'a> IntoIterator for &'a Map {
    type Item = (&'a Str, &'a Value);
    type IntoIter = std::iter::Map<
        std::slice::Iter<'a, (Str, Value)>,
        fn(&'a (Str, Value)) -> (&'a Str, &'a Value),
    >;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter().map(|(key, value)| (key, value))
    }
}
