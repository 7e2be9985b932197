//! The dynamic values that a template can observe.

use std::any::Any;
use std::borrow::Cow;
use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt;
use std::rc::Rc;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::function::{Failure, Method};
use super::list::{List, Slice};
use super::map::Map;
use super::stack::deeper;
use super::text::Str;

/// A value as Go's reflection sees it, with its dynamic type.
///
/// Numbers keep their Go type and are never converted on the way: a number
/// from a file is `float64`, one from `--set` is `int64`, a constant of the
/// template is `int`, and these do not compare equal. Maps and lists are
/// references (see [`Map`]); everything else is immutable. A clone is O(1).
///
/// Both the nil interface and reflection's invalid value are
/// [`Nil`](Value::Nil) here. Which of the two it is depends on where the value
/// was read and is known to the executor only.
#[derive(Clone, Default)]
pub enum Value {
    /// Untyped nil.
    #[default]
    Nil,
    /// `bool`.
    Bool(bool),
    /// `int`: constants, `len`, indices.
    Int(i64),
    /// `int64`: `--set`, arithmetic functions.
    Int64(i64),
    /// `int32`: a rune.
    Int32(i32),
    /// `uint64`: what does not fit `int64`, parts of a version.
    Uint64(u64),
    /// `uint32`.
    Uint32(u32),
    /// `uint8`: one byte of a string or file.
    Uint8(u8),
    /// `float64`: every number of a YAML or JSON file.
    Float(f64),
    /// `complex128`: an imaginary constant; real and imaginary part.
    Complex(f64, f64),
    /// `string`.
    Str(Str),
    /// `[]uint8`: file contents.
    Bytes(Slice<u8>),
    /// `[]interface {}`.
    List(List),
    /// `[]string`.
    Strings(Slice<Str>),
    /// `[]int`.
    Ints(Slice<i64>),
    /// `[][]interface {}`.
    Lists(Slice<List>),
    /// `map[string]interface {}` and its relatives.
    Map(Map),
    /// Everything else that has fields or methods.
    Object(Rc<dyn Object>),
}

/// A Go value with fields or methods: chart metadata, capabilities, files, a
/// time, a version, a certificate.
///
/// Field and method names are looked up as Go's reflection does: method,
/// then field or map key.
pub trait Object: Any {
    /// The name that `printf "%T"` writes, for instance `time.Time`.
    fn type_name(&self) -> &str;

    /// What kind of Go type it is. [`Kind::Struct`], [`Kind::Ptr`] (to a
    /// struct), [`Kind::Map`] (with string keys), [`Kind::Slice`] or, for
    /// named numbers, that number's kind.
    fn kind(&self) -> Kind;

    /// The struct field of this name, or the element under this key of a map.
    /// A missing map key is the zero value of the element type, not `None`.
    fn field(&self, name: &str) -> Option<Value>;

    /// Struct fields in the order of declaration, map entries in the order of
    /// their keys, or the elements of a slice (with empty names).
    fn entries(&self) -> Vec<(Str, Value)>;

    /// The method of this name.
    fn method(&self, _name: &str) -> Option<&'static Method> {
        None
    }

    /// What Go's `String` or `Error` method returns, if the type has one.
    fn text(&self) -> Option<Str> {
        None
    }

    /// The plain number underneath a named number type.
    fn number(&self) -> Option<Value> {
        None
    }

    /// The fields of a struct as Go's `encoding/json` writes them: by the names
    /// in its tags, in the order of their declaration, without those that are
    /// left out when they are empty. `None` for what is encoded otherwise: see
    /// [`to_core`](Object::to_core).
    fn members(&self) -> Option<Vec<(&'static str, Value)>> {
        None
    }

    /// What `toYaml` and `toJson` see.
    ///
    /// # Errors
    ///
    /// Fails if the value cannot be encoded.
    fn to_core(&self) -> Result<gitops_core::Value, Failure>;

    /// Whether Go's `==` and `reflect.DeepEqual` hold. `other` is of the same
    /// type name.
    fn same(&self, other: &dyn Object) -> bool;
}

impl dyn Object {
    /// The concrete object, if it is a `T`.
    pub fn downcast_ref<T: Object>(&self) -> Option<&T> {
        (self as &dyn Any).downcast_ref()
    }
}

/// Go's `reflect.Kind`; displays as Go prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are Go's")]
pub enum Kind {
    Invalid,
    Bool,
    Int,
    Int64,
    Int32,
    Uint64,
    Uint32,
    Uint8,
    Float64,
    Complex128,
    String,
    Slice,
    Map,
    Struct,
    Ptr,
}

impl Kind {
    /// The name that Go prints.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Invalid => "invalid",
            Kind::Bool => "bool",
            Kind::Int => "int",
            Kind::Int64 => "int64",
            Kind::Int32 => "int32",
            Kind::Uint64 => "uint64",
            Kind::Uint32 => "uint32",
            Kind::Uint8 => "uint8",
            Kind::Float64 => "float64",
            Kind::Complex128 => "complex128",
            Kind::String => "string",
            Kind::Slice => "slice",
            Kind::Map => "map",
            Kind::Struct => "struct",
            Kind::Ptr => "ptr",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Value {
    /// An object of the given kind.
    pub fn object(object: impl Object) -> Self {
        Value::Object(Rc::new(object))
    }

    /// Go's kind of this value.
    pub fn kind(&self) -> Kind {
        match self {
            Value::Nil => Kind::Invalid,
            Value::Bool(_) => Kind::Bool,
            Value::Int(_) => Kind::Int,
            Value::Int64(_) => Kind::Int64,
            Value::Int32(_) => Kind::Int32,
            Value::Uint64(_) => Kind::Uint64,
            Value::Uint32(_) => Kind::Uint32,
            Value::Uint8(_) => Kind::Uint8,
            Value::Float(_) => Kind::Float64,
            Value::Complex(..) => Kind::Complex128,
            Value::Str(_) => Kind::String,
            Value::Bytes(_)
            | Value::List(_)
            | Value::Strings(_)
            | Value::Ints(_)
            | Value::Lists(_) => Kind::Slice,
            Value::Map(_) => Kind::Map,
            Value::Object(object) => object.kind(),
        }
    }

    /// Go's name of the dynamic type, as `printf "%T"` and `typeOf` write it.
    pub fn type_name(&self) -> Cow<'_, str> {
        Cow::Borrowed(match self {
            Value::Nil => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Int64(_) => "int64",
            Value::Int32(_) => "int32",
            Value::Uint64(_) => "uint64",
            Value::Uint32(_) => "uint32",
            Value::Uint8(_) => "uint8",
            Value::Float(_) => "float64",
            Value::Complex(..) => "complex128",
            Value::Str(_) => "string",
            Value::Bytes(_) => "[]uint8",
            Value::List(_) => "[]interface {}",
            Value::Strings(_) => "[]string",
            Value::Ints(_) => "[]int",
            Value::Lists(_) => "[][]interface {}",
            Value::Map(map) => map.kind().type_name(),
            Value::Object(object) => object.type_name(),
        })
    }

    /// Whether there may be maps in it that somebody can write to.
    pub(super) fn is_container(&self) -> bool {
        matches!(self, Value::Map(_) | Value::List(_) | Value::Lists(_))
    }

    /// Whether `if` takes the branch: neither zero nor empty nor nil.
    pub fn is_true(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Bool(flag) => *flag,
            Value::Int(number) | Value::Int64(number) => *number != 0,
            Value::Int32(number) => *number != 0,
            Value::Uint64(number) => *number != 0,
            Value::Uint32(number) => *number != 0,
            Value::Uint8(number) => *number != 0,
            Value::Float(number) => *number != 0.0,
            Value::Complex(real, imaginary) => *real != 0.0 || *imaginary != 0.0,
            Value::Str(text) => !text.is_empty(),
            Value::Bytes(items) => !items.is_empty(),
            Value::List(items) => !items.is_empty(),
            Value::Strings(items) => !items.is_empty(),
            Value::Ints(items) => !items.is_empty(),
            Value::Lists(items) => !items.is_empty(),
            Value::Map(map) => !map.is_empty(),
            Value::Object(object) => match object.kind() {
                Kind::Map | Kind::Slice => !object.entries().is_empty(),
                Kind::Struct | Kind::Ptr => true,
                _ => object.number().is_some_and(|number| number.is_true()),
            },
        }
    }

    /// Whether this is nil: untyped, or a nil map or slice.
    pub fn is_nil(&self) -> bool {
        match self {
            Value::Nil => true,
            Value::Bytes(items) => items.is_nil(),
            Value::List(items) => items.is_nil(),
            Value::Strings(items) => items.is_nil(),
            Value::Ints(items) => items.is_nil(),
            Value::Lists(items) => items.is_nil(),
            Value::Map(map) => map.is_nil(),
            _ => false,
        }
    }

    /// The bytes, if this is a string.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Str(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    /// The text, if this is a string of UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => text.as_str(),
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

    /// The elements, if this is a slice of any type.
    pub fn elements(&self) -> Option<Cow<'_, [Value]>> {
        Some(match self {
            Value::List(items) => Cow::Borrowed(items),
            Value::Strings(items) => Cow::Owned(items.iter().cloned().map(Value::Str).collect()),
            Value::Ints(items) => Cow::Owned(items.iter().copied().map(Value::Int).collect()),
            Value::Bytes(items) => Cow::Owned(items.iter().copied().map(Value::Uint8).collect()),
            Value::Lists(items) => Cow::Owned(items.iter().cloned().map(Value::List).collect()),
            Value::Object(object) if object.kind() == Kind::Slice => Cow::Owned(
                object
                    .entries()
                    .into_iter()
                    .map(|(_, value)| value)
                    .collect(),
            ),
            _ => return None,
        })
    }

    /// Go's `reflect.DeepEqual`: equal types and equal content.
    ///
    /// Maps or lists nested deeper than [`MAX_NESTING`] are never equal: only
    /// one that contains itself gets there, and Go does not return from it.
    pub fn deep_equal(&self, other: &Value) -> bool {
        let equal = self.deep_equal_by(other, &mut || Ok::<_, Infallible>(()));
        equal.unwrap_or_else(|never| match never {})
    }

    /// The same, asking before each pair that is compared: what is small in
    /// memory can take long, as a list may hold another one many times.
    pub(super) fn deep_equal_by<E>(
        &self,
        other: &Value,
        step: &mut impl FnMut() -> Result<(), E>,
    ) -> Result<bool, E> {
        deep_equal(self, other, 0, step)
    }

    /// The value as YAML and JSON can say it. What nobody touched since it
    /// came from a [`gitops_core::Value`] is returned as it was.
    ///
    /// # Errors
    ///
    /// Fails for what Go's JSON encoder refuses: infinities, NaN, complex
    /// numbers, and maps that contain themselves.
    pub fn to_core(&self) -> Result<gitops_core::Value, Failure> {
        to_core(self, 0)
    }
}

/// How deep maps and lists may nest where they are walked: printed, compared
/// or converted. It keeps a map that contains itself from exhausting the
/// stack.
pub const MAX_NESTING: usize = 1000;

/// Walking values checks the stack once in so many levels.
pub(super) const LEVELS_PER_STACK_CHECK: usize = 32;

fn deep_equal<E>(
    a: &Value,
    b: &Value,
    depth: usize,
    step: &mut impl FnMut() -> Result<(), E>,
) -> Result<bool, E> {
    if depth > MAX_NESTING {
        return Ok(false);
    }
    step()?;
    match depth % LEVELS_PER_STACK_CHECK {
        1 => deeper(|| deep_equal_here(a, b, depth, step)),
        _ => deep_equal_here(a, b, depth, step),
    }
}

fn deep_equal_here<E>(
    a: &Value,
    b: &Value,
    depth: usize,
    step: &mut impl FnMut() -> Result<(), E>,
) -> Result<bool, E> {
    fn slices<T: PartialEq>(a: &Slice<T>, b: &Slice<T>) -> bool {
        a.is_nil() == b.is_nil() && **a == **b
    }
    Ok(match (a, b) {
        (Value::Nil, Value::Nil) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a), Value::Int(b)) | (Value::Int64(a), Value::Int64(b)) => a == b,
        (Value::Int32(a), Value::Int32(b)) => a == b,
        (Value::Uint64(a), Value::Uint64(b)) => a == b,
        (Value::Uint32(a), Value::Uint32(b)) => a == b,
        (Value::Uint8(a), Value::Uint8(b)) => a == b,
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Complex(a, c), Value::Complex(b, d)) => a == b && c == d,
        (Value::Str(a), Value::Str(b)) => a == b,
        (Value::Bytes(a), Value::Bytes(b)) => slices(a, b),
        (Value::Strings(a), Value::Strings(b)) => slices(a, b),
        (Value::Ints(a), Value::Ints(b)) => slices(a, b),
        (Value::List(a), Value::List(b)) => return lists(a, b, depth, step),
        (Value::Lists(a), Value::Lists(b)) => {
            if a.is_nil() != b.is_nil() || a.len() != b.len() {
                return Ok(false);
            }
            return every(a.iter().zip(&**b), |(a, b)| lists(a, b, depth + 1, step));
        }
        (Value::Map(a), Value::Map(b)) => {
            if a.kind() != b.kind() || a.is_nil() != b.is_nil() || a.len() != b.len() {
                return Ok(false);
            }
            if a.is(b) {
                return Ok(true);
            }
            let entries = a.entries().into_iter().zip(b.entries());
            return every(entries, |((key, a), (other, b))| {
                Ok(key == other && deep_equal(&a, &b, depth + 1, step)?)
            });
        }
        (Value::Object(a), Value::Object(b)) => {
            a.type_name() == b.type_name() && (Rc::ptr_eq(a, b) || a.same(&**b))
        }
        _ => false,
    })
}

fn lists<E>(
    a: &List,
    b: &List,
    depth: usize,
    step: &mut impl FnMut() -> Result<(), E>,
) -> Result<bool, E> {
    // Go takes the same shortcut, and it decides for NaN inside.
    if a.is(b) {
        return Ok(true);
    }
    if a.is_nil() != b.is_nil() || a.len() != b.len() {
        return Ok(false);
    }
    every(a.iter().zip(&**b), |(a, b)| {
        deep_equal(a, b, depth + 1, step)
    })
}

/// Whether all are equal; the first that are not end the comparison.
fn every<T, E>(
    pairs: impl Iterator<Item = T>,
    mut equal: impl FnMut(T) -> Result<bool, E>,
) -> Result<bool, E> {
    for pair in pairs {
        if !equal(pair)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn to_core(value: &Value, depth: usize) -> Result<gitops_core::Value, Failure> {
    if depth > MAX_NESTING {
        return Err(Failure::new(format!(
            "json: unsupported value: nested deeper than {MAX_NESTING} levels"
        )));
    }
    match depth % LEVELS_PER_STACK_CHECK {
        1 => deeper(|| to_core_here(value, depth)),
        _ => to_core_here(value, depth),
    }
}

fn to_core_here(value: &Value, depth: usize) -> Result<gitops_core::Value, Failure> {
    use gitops_core::Value as Core;
    Ok(match value {
        Value::Nil => Core::Null,
        Value::Bool(flag) => Core::Bool(*flag),
        Value::Int(number) | Value::Int64(number) => Core::Int(*number),
        Value::Int32(number) => Core::Int((*number).into()),
        Value::Uint64(number) => match i64::try_from(*number) {
            Ok(number) => Core::Int(number),
            Err(_) => Core::UInt(*number),
        },
        Value::Uint32(number) => Core::Int((*number).into()),
        Value::Uint8(number) => Core::Int((*number).into()),
        Value::Float(number) if number.is_finite() => Core::Float(*number),
        Value::Float(number) => {
            return Err(Failure::new(format!(
                "json: unsupported value: {}",
                super::printf::float_text(*number)
            )));
        }
        Value::Complex(..) => return Err(Failure::new("json: unsupported type: complex128")),
        Value::Str(text) => Core::String(text.to_core()),
        // Go's encoder writes bytes as base64.
        Value::Bytes(bytes) if bytes.is_nil() => Core::Null,
        Value::Bytes(bytes) => Core::String(BASE64_STANDARD.encode(&**bytes).into()),
        Value::List(items) => match items.untouched() {
            Some(source) => Core::List(source.clone()),
            None if items.is_nil() => Core::Null,
            None => Core::List(
                items
                    .iter()
                    .map(|item| to_core(item, depth + 1))
                    .collect::<Result<_, _>>()?,
            ),
        },
        Value::Strings(items) if items.is_nil() => Core::Null,
        Value::Strings(items) => items
            .iter()
            .map(|item| Core::String(item.to_core()))
            .collect(),
        Value::Ints(items) if items.is_nil() => Core::Null,
        Value::Ints(items) => items.iter().copied().map(Core::Int).collect(),
        Value::Lists(items) if items.is_nil() => Core::Null,
        Value::Lists(items) => Core::List(
            items
                .iter()
                .map(|item| to_core(&Value::List(item.clone()), depth + 1))
                .collect::<Result<_, _>>()?,
        ),
        Value::Map(map) => match map.untouched() {
            Some(source) => Core::Map(source),
            None if map.is_nil() => Core::Null,
            None => {
                let mut entries = Vec::with_capacity(map.len());
                map.visit(|key, value| {
                    entries.push((key.to_core(), to_core(value, depth + 1)?));
                    Ok::<_, Failure>(())
                })?;
                Core::Map(entries.into_iter().collect())
            }
        },
        Value::Object(object) => object.to_core()?,
    })
}

/// Converts in O(1): maps and lists are converted level by level, when they
/// are touched. An integer is `int64` and a float is `float64`; a caller that
/// follows Helm has turned the integers of files into floats before.
impl From<&gitops_core::Value> for Value {
    fn from(value: &gitops_core::Value) -> Self {
        match value {
            gitops_core::Value::Null => Value::Nil,
            gitops_core::Value::Bool(flag) => Value::Bool(*flag),
            gitops_core::Value::Int(number) => Value::Int64(*number),
            gitops_core::Value::UInt(number) => Value::Uint64(*number),
            gitops_core::Value::Float(number) => Value::Float(*number),
            gitops_core::Value::String(text) => Value::Str(text.clone().into()),
            gitops_core::Value::List(list) => Value::List(list.clone().into()),
            gitops_core::Value::Map(map) => Value::Map(map.clone().into()),
        }
    }
}

impl From<gitops_core::Value> for Value {
    fn from(value: gitops_core::Value) -> Self {
        match value {
            gitops_core::Value::String(text) => Value::Str(text.into()),
            gitops_core::Value::List(list) => Value::List(list.into()),
            gitops_core::Value::Map(map) => Value::Map(map.into()),
            scalar => Value::from(&scalar),
        }
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Value::Bool(flag)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Value::Float(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Str(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Str(text.into())
    }
}

impl From<gitops_core::Str> for Value {
    fn from(text: gitops_core::Str) -> Self {
        Value::Str(text.into())
    }
}

impl From<Str> for Value {
    fn from(text: Str) -> Self {
        Value::Str(text)
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

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Self {
        Value::List(items.into())
    }
}

impl From<Slice<Str>> for Value {
    fn from(items: Slice<Str>) -> Self {
        Value::Strings(items)
    }
}

/// The same types with the same bits, except that maps are shown by their
/// keys only: they can contain themselves, and hold secrets.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Nil => f.write_str("nil"),
            Value::Bool(flag) => write!(f, "{flag}"),
            Value::Float(number) => write!(f, "{number:?}"),
            Value::Str(text) => write!(f, "{text:?}"),
            Value::List(list) => write!(f, "[]interface {{}} of {}", list.len()),
            Value::Map(map) => write!(f, "{} {map:?}", map.kind().type_name()),
            Value::Object(object) => f.write_str(object.type_name()),
            Value::Int(number) => write!(f, "int({number})"),
            Value::Int64(number) => write!(f, "int64({number})"),
            Value::Int32(number) => write!(f, "int32({number})"),
            Value::Uint64(number) => write!(f, "uint64({number})"),
            Value::Uint32(number) => write!(f, "uint32({number})"),
            Value::Uint8(number) => write!(f, "uint8({number})"),
            Value::Complex(real, imaginary) => write!(f, "({real}{imaginary:+}i)"),
            Value::Bytes(items) => write!(f, "[]uint8 of {}", items.len()),
            Value::Strings(items) => write!(f, "{items:?}"),
            Value::Ints(items) => write!(f, "{items:?}"),
            Value::Lists(items) => write!(f, "[][]interface {{}} of {}", items.len()),
        }
    }
}

thread_local! {
    /// Containers whose last reference went while another was being dropped.
    static DROPPING: RefCell<Option<Vec<Value>>> = const { RefCell::new(None) };
}

/// Drops values without recursing into what they contain.
pub(super) fn drop_values(values: impl Iterator<Item = Value>) {
    let mut containers = values.filter(|value| {
        matches!(
            value,
            Value::List(_) | Value::Map(_) | Value::Lists(_) | Value::Object(_)
        )
    });
    let Some(first) = containers.next() else {
        return;
    };
    let outermost = DROPPING.try_with(|dropping| {
        let mut dropping = dropping.borrow_mut();
        let outermost = dropping.is_none();
        let pending = dropping.get_or_insert_default();
        pending.push(first);
        pending.extend(containers);
        outermost
    });
    // On a thread that is ending the values were dropped by the closure.
    if outermost != Ok(true) {
        return;
    }
    loop {
        let next = DROPPING.with_borrow_mut(|dropping| {
            let next = dropping.as_mut().and_then(Vec::pop);
            if next.is_none() {
                *dropping = None;
            }
            next
        });
        match next {
            Some(value) => drop(value),
            None => return,
        }
    }
}
