//! What templates can call: functions and methods with Go signatures.

use std::collections::HashMap;
use std::fmt;

use foldhash::fast::RandomState;

use super::error::Error;
use super::exec::Context;
use super::list::{List, Slice};
use super::map::{Map, MapKind};
use super::text::Str;
use super::value::{Object, Value};

/// A function of a template, with its Go signature.
///
/// The executor checks the arguments against the signature and reports a
/// mismatch in Go's words, so the code behind it sees only what it declared.
///
/// ```
/// use gitops_render::gotmpl::{Args, Context, Failure, Function, Type, Value};
///
/// fn repeat(cx: &mut Context<'_>, args: &mut Args<'_>) -> Result<Value, Failure> {
///     let count = usize::try_from(args.int(0))
///         .map_err(|_| Failure::new("strings: negative Repeat count"))?;
///     let text = args.str(1).as_bytes();
///     // Much from little: ask before it is made.
///     cx.charge(text.len().saturating_mul(count))?;
///     Ok(Value::Str(text.repeat(count).into()))
/// }
///
/// // In Go: func(int, string) string
/// static FUNCTIONS: &[Function] =
///     &[Function::new("repeat", &[Type::Int, Type::Str], Type::Str, repeat)];
/// ```
#[derive(Debug)]
pub struct Function {
    /// The name in templates.
    pub name: &'static str,
    /// What it takes and returns.
    pub signature: Signature,
    /// The code.
    pub call: fn(&mut Context<'_>, &mut Args<'_>) -> Result<Value, Failure>,
}

/// A method with its Go signature: of an [`Object`], or of the named type of a
/// [`Map`] (see [`Functions::with_values_methods`]).
#[derive(Debug)]
pub struct Method<Receiver: ?Sized = dyn Object> {
    /// The name in templates.
    pub name: &'static str,
    /// What it takes, without the receiver, and returns.
    pub signature: Signature,
    /// The code.
    pub call: fn(&Receiver, &mut Context<'_>, &mut Args<'_>) -> Result<Value, Failure>,
}

/// The parameters and the result of a function.
#[derive(Debug)]
pub struct Signature {
    /// The types of the parameters.
    pub params: &'static [Type],
    /// Whether the last parameter stands for any number of arguments.
    pub variadic: bool,
    /// The declared type of the result. A result of type [`Type::Any`] is an
    /// interface to what reads it next, which some error messages show.
    pub returns: Type,
}

impl Function {
    /// A function with a fixed number of parameters.
    pub const fn new(
        name: &'static str,
        params: &'static [Type],
        returns: Type,
        call: fn(&mut Context<'_>, &mut Args<'_>) -> Result<Value, Failure>,
    ) -> Self {
        Function {
            name,
            signature: Signature {
                params,
                variadic: false,
                returns,
            },
            call,
        }
    }

    /// A function whose last parameter stands for any number of arguments.
    pub const fn variadic(
        name: &'static str,
        params: &'static [Type],
        returns: Type,
        call: fn(&mut Context<'_>, &mut Args<'_>) -> Result<Value, Failure>,
    ) -> Self {
        Function {
            name,
            signature: Signature {
                params,
                variadic: true,
                returns,
            },
            call,
        }
    }
}

impl<Receiver: ?Sized> Method<Receiver> {
    /// A method with a fixed number of parameters.
    pub const fn new(
        name: &'static str,
        params: &'static [Type],
        returns: Type,
        call: fn(&Receiver, &mut Context<'_>, &mut Args<'_>) -> Result<Value, Failure>,
    ) -> Self {
        Method {
            name,
            signature: Signature {
                params,
                variadic: false,
                returns,
            },
            call,
        }
    }
}

/// The Go type of a parameter or result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// `interface {}`: anything, and nil.
    Any,
    /// `bool`
    Bool,
    /// `int`
    Int,
    /// `int64`
    Int64,
    /// `uint32`
    Uint32,
    /// `uint64`
    Uint64,
    /// `float64`
    Float,
    /// `string`
    Str,
    /// `[]uint8`
    Bytes,
    /// `[]interface {}`
    List,
    /// `[]string`
    Strings,
    /// `[]int`
    Ints,
    /// `[][]interface {}`
    Lists,
    /// `map[string]interface {}`, which also takes the named `Values`.
    Map,
    /// `map[string]string`
    StringMap,
    /// A type of this name that some [`Object`] has, for instance `time.Time`.
    Object(&'static str),
}

impl Type {
    /// The name that Go prints.
    pub const fn name(self) -> &'static str {
        match self {
            Type::Any => "interface {}",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Int64 => "int64",
            Type::Uint32 => "uint32",
            Type::Uint64 => "uint64",
            Type::Float => "float64",
            Type::Str => "string",
            Type::Bytes => "[]uint8",
            Type::List => "[]interface {}",
            Type::Strings => "[]string",
            Type::Ints => "[]int",
            Type::Lists => "[][]interface {}",
            Type::Map => "map[string]interface {}",
            Type::StringMap => "map[string]string",
            Type::Object(name) => name,
        }
    }

    /// Whether a value other than nil can be passed as it is.
    pub(super) fn accepts(self, value: &Value) -> bool {
        match (self, value) {
            (Type::Any, _)
            | (Type::Bool, Value::Bool(_))
            | (Type::Int, Value::Int(_))
            | (Type::Int64, Value::Int64(_))
            | (Type::Uint32, Value::Uint32(_))
            | (Type::Uint64, Value::Uint64(_))
            | (Type::Float, Value::Float(_))
            | (Type::Str, Value::Str(_))
            | (Type::Bytes, Value::Bytes(_))
            | (Type::List, Value::List(_))
            | (Type::Strings, Value::Strings(_))
            | (Type::Ints, Value::Ints(_))
            | (Type::Lists, Value::Lists(_)) => true,
            (Type::Map, Value::Map(map)) => map.kind() != MapKind::Strings,
            (Type::StringMap, Value::Map(map)) => map.kind() == MapKind::Strings,
            (Type::Object(name), Value::Object(object)) => object.type_name() == name,
            _ => false,
        }
    }

    /// The nil of this type, if it has one.
    pub(super) fn nil(self) -> Option<Value> {
        Some(match self {
            Type::Any => Value::Nil,
            Type::Bytes => Value::Bytes(Slice::nil()),
            Type::List => Value::List(List::nil()),
            Type::Strings => Value::Strings(Slice::nil()),
            Type::Ints => Value::Ints(Slice::nil()),
            Type::Lists => Value::Lists(Slice::nil()),
            Type::Map => Value::Map(Map::nil()),
            Type::StringMap => Value::Map(Map::nil().with_kind(MapKind::Strings)),
            _ => return None,
        })
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The arguments of a call, already of the declared types.
///
/// The accessors panic when asked for another type than the signature
/// declares, or for an argument beyond it: both are mistakes in the table of
/// functions, not in a template.
pub struct Args<'a> {
    values: &'a mut [Value],
}

impl<'a> Args<'a> {
    pub(super) fn new(values: &'a mut [Value]) -> Self {
        Args { values }
    }

    /// The number of arguments.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// All arguments from `index` on: the variadic part.
    pub fn from(&self, index: usize) -> &[Value] {
        self.values.get(index..).unwrap_or_default()
    }

    /// An argument of any type.
    pub fn value(&self, index: usize) -> &Value {
        &self.values[index]
    }

    /// Moves an argument out.
    pub fn take(&mut self, index: usize) -> Value {
        std::mem::take(&mut self.values[index])
    }

    /// Moves all arguments from `index` on out.
    pub fn take_from(&mut self, index: usize) -> Vec<Value> {
        self.values
            .get_mut(index..)
            .unwrap_or_default()
            .iter_mut()
            .map(std::mem::take)
            .collect()
    }

    /// A `bool` argument.
    pub fn bool(&self, index: usize) -> bool {
        match self.values[index] {
            Value::Bool(flag) => flag,
            _ => undeclared(),
        }
    }

    /// An `int`, `int64`, `uint32` argument.
    pub fn int(&self, index: usize) -> i64 {
        match self.values[index] {
            Value::Int(number) | Value::Int64(number) => number,
            Value::Uint32(number) => number.into(),
            _ => undeclared(),
        }
    }

    /// A `float64` argument.
    pub fn float(&self, index: usize) -> f64 {
        match self.values[index] {
            Value::Float(number) => number,
            _ => undeclared(),
        }
    }

    /// A `string` argument.
    pub fn str(&self, index: usize) -> &Str {
        match &self.values[index] {
            Value::Str(text) => text,
            _ => undeclared(),
        }
    }

    /// A `map[string]interface {}` or `map[string]string` argument.
    pub fn map(&self, index: usize) -> &Map {
        match &self.values[index] {
            Value::Map(map) => map,
            _ => undeclared(),
        }
    }

    /// A `[]interface {}` argument.
    pub fn list(&self, index: usize) -> &List {
        match &self.values[index] {
            Value::List(list) => list,
            _ => undeclared(),
        }
    }

    /// A `[]string` argument.
    pub fn strings(&self, index: usize) -> &Slice<Str> {
        match &self.values[index] {
            Value::Strings(items) => items,
            _ => undeclared(),
        }
    }

    /// An argument that is an object of a concrete type.
    pub fn object<T: Object>(&self, index: usize) -> &T {
        match &self.values[index] {
            Value::Object(object) => object.downcast_ref().unwrap_or_else(undeclared),
            _ => undeclared(),
        }
    }
}

fn undeclared<T>() -> T {
    unreachable!("the executor checks arguments against the signature")
}

/// Why a function failed.
///
/// What Go's functions return as an error and what they panic with reads the
/// same to the user of a template, so both are this.
#[derive(Debug)]
pub struct Failure(Box<Cause>);

#[derive(Debug)]
pub(super) enum Cause {
    /// The text of the error.
    Message(String),
    /// The chart's author gave up: `fail` and `required`.
    Abort(String),
    /// A limit of the render was reached.
    Limit(String),
    /// A template that the function executed failed.
    Template(String, Error),
}

impl Failure {
    /// A failure with Go's text, without the name of the function.
    pub fn new(message: impl Into<String>) -> Self {
        Failure(Box::new(Cause::Message(message.into())))
    }

    /// The template's author ends the render with a message of their own.
    ///
    /// Helm shows such a message without the chain of templates around it, see
    /// [`Error::abort`].
    pub fn abort(message: impl Into<String>) -> Self {
        Failure(Box::new(Cause::Abort(message.into())))
    }

    /// A [`Limits`](super::Limits) was reached.
    pub(super) fn limit(message: impl Into<String>) -> Self {
        Failure(Box::new(Cause::Limit(message.into())))
    }

    /// A value would be longer than it may be.
    pub(crate) fn too_long() -> Self {
        Failure::limit("the value is longer than a render may produce")
    }

    /// Whether a limit was reached, which no function may keep to itself.
    pub fn is_limit(&self) -> bool {
        matches!(*self.0, Cause::Limit(_))
    }

    /// A template that the function executed failed; `prefix` goes before its
    /// text.
    pub(super) fn template(prefix: impl Into<String>, error: Error) -> Self {
        Failure(Box::new(Cause::Template(prefix.into(), error)))
    }

    /// Whether it is the failure of a template that the function executed.
    pub(super) fn is_of_template(&self) -> bool {
        matches!(*self.0, Cause::Template(..))
    }

    pub(super) fn into_cause(self) -> Cause {
        *self.0
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Cause::Message(text) | Cause::Abort(text) | Cause::Limit(text) => f.write_str(text),
            Cause::Template(prefix, error) => write!(f, "{prefix}{error}"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Failure::new(message)
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Failure::new(message)
    }
}

/// The functions that templates may call, besides Go's builtins.
///
/// Parsing resolves names, so a set of templates is bound to one of these.
#[derive(Debug, Default)]
pub struct Functions {
    by_name: HashMap<&'static str, &'static Function, RandomState>,
    values_methods: &'static [Method<Map>],
}

impl Functions {
    /// The functions of these tables; of equal names the last one wins, and
    /// any of them wins over a builtin.
    pub fn new(tables: &[&'static [Function]]) -> Self {
        Functions {
            by_name: tables
                .iter()
                .copied()
                .flatten()
                .map(|function| (function.name, function))
                .collect(),
            values_methods: &[],
        }
    }

    /// The same functions without those of these names.
    pub fn without(mut self, names: &[&'static str]) -> Self {
        for name in names {
            self.by_name.remove(name);
        }
        self
    }

    /// The same functions, and methods of Helm's `Values` type, as in
    /// `.Values.AsMap`. As everywhere in Go, a method hides the key of its
    /// name.
    pub fn with_values_methods(mut self, methods: &'static [Method<Map>]) -> Self {
        self.values_methods = methods;
        self
    }

    /// The method of this name of a map of this type.
    pub(super) fn values_method(&self, kind: MapKind, name: &str) -> Option<&'static Method<Map>> {
        if !kind.may_have_method(name.as_bytes()) {
            return None;
        }
        self.values_methods
            .iter()
            .find(|method| method.name == name)
    }

    /// The function of this name.
    pub fn get(&self, name: &str) -> Option<&'static Function> {
        self.by_name.get(name).copied()
    }
}
