//! Values and Rust types, through serde.

use std::fmt;

use serde::de::{self, IntoDeserializer as _, Visitor};
use serde::ser;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{List, Map, Str, Value, path};

/// Reads a Rust type from `value`.
///
/// A field of a struct that is null counts as absent, as in Go.
///
/// # Errors
///
/// [`DecodeError`] with the path of the first field that does not fit.
///
/// ```
/// use gitops_core::{json, value};
/// #[derive(Debug, serde::Deserialize)]
/// struct Ports { ports: Vec<u16> }
/// let error = value::from_value::<Ports>(&json::parse(br#"{"ports": [80, "http"]}"#)?)
///     .unwrap_err();
/// assert_eq!(error.path(), "ports[1]");
/// # Ok::<(), json::Error>(())
/// ```
pub fn from_value<'de, T: Deserialize<'de>>(value: &'de Value) -> Result<T, DecodeError> {
    T::deserialize(Reader(value)).map_err(Failure::into_error)
}

/// Turns a Rust type into a [`Value`].
///
/// # Errors
///
/// [`DecodeError`] if it has map keys that are no scalars, or says itself
/// that it cannot be serialized.
pub fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<Value, DecodeError> {
    value.serialize(Builder).map_err(Failure::into_error)
}

/// Why a value does not fit a Rust type, or the other way round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    path: String,
    problem: String,
}

impl DecodeError {
    /// The field, like `spec.sources[0].repoURL`; empty for the whole value.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong with it.
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.problem)
    }
}

impl std::error::Error for DecodeError {}

/// An error on its way out, which collects the path it came by.
#[derive(Debug)]
struct Failure(Box<(String, Vec<Step>)>);

#[derive(Debug)]
enum Step {
    Key(Str),
    Index(usize),
}

impl Failure {
    fn below(mut self, step: Step) -> Self {
        self.0.1.push(step);
        self
    }

    fn into_error(self) -> DecodeError {
        let (problem, steps) = *self.0;
        let mut path = String::new();
        for step in steps.iter().rev() {
            match step {
                Step::Key(key) => path::push_key(&mut path, key),
                Step::Index(index) => path::push_index(&mut path, *index),
            }
        }
        DecodeError { path, problem }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.0)
    }
}

impl std::error::Error for Failure {}

impl de::Error for Failure {
    fn custom<T: fmt::Display>(problem: T) -> Self {
        Failure(Box::new((problem.to_string(), Vec::new())))
    }
}

impl ser::Error for Failure {
    fn custom<T: fmt::Display>(problem: T) -> Self {
        de::Error::custom(problem)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(flag) => serializer.serialize_bool(*flag),
            Value::Int(number) => serializer.serialize_i64(*number),
            Value::UInt(number) => serializer.serialize_u64(*number),
            Value::Float(number) => serializer.serialize_f64(*number),
            Value::String(text) => serializer.serialize_str(text),
            Value::List(list) => serializer.collect_seq(list),
            Value::Map(map) => map.serialize(serializer),
        }
    }
}

impl Serialize for Map {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyVisitor;

        impl<'de> Visitor<'de> for AnyVisitor {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_none<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Value, D::Error> {
                Value::deserialize(inner)
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
                Ok(Value::Bool(flag))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
                Ok(Value::Int(number))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
                Ok(Value::from(number))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
                Ok(Value::Float(number))
            }

            fn visit_str<E>(self, text: &str) -> Result<Value, E> {
                Ok(Value::from(text))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
                let mut list = List::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Value::List(list))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
                let mut entries = ecow::EcoVec::new();
                while let Some(entry) = fields.next_entry::<Str, Value>()? {
                    entries.push(entry);
                }
                Ok(Value::Map(Map::from_entries(entries)))
            }
        }

        deserializer.deserialize_any(AnyVisitor)
    }
}

impl<'de> Deserialize<'de> for Map {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Map(map) => Ok(map),
            Value::Null => Ok(Map::new()),
            other => Err(de::Error::custom(format_args!(
                "invalid type: {}, expected a map",
                other.kind_name()
            ))),
        }
    }
}

/// Reads from a value.
struct Reader<'de>(&'de Value);

impl<'de> Reader<'de> {
    /// A float without a fraction where an integer is wanted: numbers that
    /// came through JSON do not tell.
    fn number<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.0 {
            Value::Float(_) => match self.0.as_i64() {
                Some(number) => visitor.visit_i64(number),
                None => self.deserialize_any(visitor),
            },
            _ => self.deserialize_any(visitor),
        }
    }
}

macro_rules! as_number {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
            self.number(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(flag) => visitor.visit_bool(*flag),
            Value::Int(number) => visitor.visit_i64(*number),
            Value::UInt(number) => visitor.visit_u64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::List(list) => visitor.visit_seq(Items {
                items: list.iter(),
                index: 0,
            }),
            Value::Map(map) => visitor.visit_map(Fields::new(map, false)),
        }
    }

    as_number! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match self.0 {
            Value::Map(map) => visitor.visit_map(Fields::new(map, true)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match self.0 {
            Value::String(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            Value::Map(map) if map.len() == 1 => visitor.visit_enum(
                de::value::MapAccessDeserializer::new(Fields::new(map, false)),
            ),
            other => Err(de::Error::custom(format_args!(
                "invalid type: {}, expected a string or a map with one key",
                other.kind_name()
            ))),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier
    }
}

struct Items<'de> {
    items: std::slice::Iter<'de, Value>,
    index: usize,
}

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = Failure;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Failure> {
        let Some(item) = self.items.next() else {
            return Ok(None);
        };
        let index = self.index;
        self.index += 1;
        seed.deserialize(Reader(item))
            .map(Some)
            .map_err(|failure| failure.below(Step::Index(index)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Fields<'de> {
    entries: <&'de Map as IntoIterator>::IntoIter,
    current: Option<(&'de Str, &'de Value)>,
    skip_nulls: bool,
}

impl<'de> Fields<'de> {
    fn new(map: &'de Map, skip_nulls: bool) -> Self {
        Fields {
            entries: map.into_iter(),
            current: None,
            skip_nulls,
        }
    }
}

impl<'de> de::MapAccess<'de> for Fields<'de> {
    type Error = Failure;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Failure> {
        let skip_nulls = self.skip_nulls;
        self.current = self
            .entries
            .find(|(_, value)| !(skip_nulls && value.is_null()));
        let Some((key, _)) = self.current else {
            return Ok(None);
        };
        let key_text: de::value::BorrowedStrDeserializer<'de, Failure> =
            de::value::BorrowedStrDeserializer::new(key);
        seed.deserialize(key_text)
            .map(Some)
            .map_err(|failure| failure.below(Step::Key(key.clone())))
    }

    fn next_value_seed<T: de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<T::Value, Failure> {
        let (key, value) = self
            .current
            .take()
            .expect("serde asks for a key before its value");
        seed.deserialize(Reader(value))
            .map_err(|failure| failure.below(Step::Key(key.clone())))
    }
}

/// Builds a value.
struct Builder;

impl Serializer for Builder {
    type Ok = Value;
    type Error = Failure;
    type SerializeSeq = ListBuilder;
    type SerializeTuple = ListBuilder;
    type SerializeTupleStruct = ListBuilder;
    type SerializeTupleVariant = ListBuilder;
    type SerializeMap = MapBuilder;
    type SerializeStruct = MapBuilder;
    type SerializeStructVariant = MapBuilder;

    fn serialize_bool(self, flag: bool) -> Result<Value, Failure> {
        Ok(Value::Bool(flag))
    }

    fn serialize_i8(self, number: i8) -> Result<Value, Failure> {
        Ok(Value::Int(number.into()))
    }

    fn serialize_i16(self, number: i16) -> Result<Value, Failure> {
        Ok(Value::Int(number.into()))
    }

    fn serialize_i32(self, number: i32) -> Result<Value, Failure> {
        Ok(Value::Int(number.into()))
    }

    fn serialize_i64(self, number: i64) -> Result<Value, Failure> {
        Ok(Value::Int(number))
    }

    fn serialize_u8(self, number: u8) -> Result<Value, Failure> {
        Ok(Value::Int(number.into()))
    }

    fn serialize_u16(self, number: u16) -> Result<Value, Failure> {
        Ok(Value::Int(number.into()))
    }

    fn serialize_u32(self, number: u32) -> Result<Value, Failure> {
        Ok(Value::Int(number.into()))
    }

    fn serialize_u64(self, number: u64) -> Result<Value, Failure> {
        Ok(Value::from(number))
    }

    fn serialize_f32(self, number: f32) -> Result<Value, Failure> {
        Ok(Value::Float(number.into()))
    }

    fn serialize_f64(self, number: f64) -> Result<Value, Failure> {
        Ok(Value::Float(number))
    }

    fn serialize_char(self, character: char) -> Result<Value, Failure> {
        Ok(Value::from(&*character.encode_utf8(&mut [0; 4])))
    }

    fn serialize_str(self, text: &str) -> Result<Value, Failure> {
        Ok(Value::from(text))
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<Value, Failure> {
        Ok(bytes
            .iter()
            .map(|byte| Value::Int((*byte).into()))
            .collect())
    }

    fn serialize_none(self) -> Result<Value, Failure> {
        Ok(Value::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, Failure> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Value, Failure> {
        Ok(Value::Null)
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<Value, Failure> {
        Ok(Value::Null)
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<Value, Failure> {
        Ok(Value::from(variant))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<Value, Failure> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value, Failure> {
        Ok(of_variant(Some(variant), value.serialize(Builder)?))
    }

    fn serialize_seq(self, _length: Option<usize>) -> Result<ListBuilder, Failure> {
        Ok(ListBuilder::default())
    }

    fn serialize_tuple(self, _length: usize) -> Result<ListBuilder, Failure> {
        Ok(ListBuilder::default())
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _length: usize,
    ) -> Result<ListBuilder, Failure> {
        Ok(ListBuilder::default())
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<ListBuilder, Failure> {
        Ok(ListBuilder {
            variant: Some(variant),
            ..ListBuilder::default()
        })
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<MapBuilder, Failure> {
        Ok(MapBuilder::default())
    }

    fn serialize_struct(self, _name: &'static str, _length: usize) -> Result<MapBuilder, Failure> {
        Ok(MapBuilder::default())
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<MapBuilder, Failure> {
        Ok(MapBuilder {
            variant: Some(variant),
            ..MapBuilder::default()
        })
    }
}

fn of_variant(variant: Option<&'static str>, value: Value) -> Value {
    match variant {
        None => value,
        Some(variant) => Value::Map(Map::from_iter([(variant, value)])),
    }
}

#[derive(Default)]
struct ListBuilder {
    items: List,
    variant: Option<&'static str>,
}

impl ListBuilder {
    fn push<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Failure> {
        let index = self.items.len();
        let item = item
            .serialize(Builder)
            .map_err(|failure| failure.below(Step::Index(index)))?;
        self.items.push(item);
        Ok(())
    }

    fn finish(self) -> Value {
        of_variant(self.variant, Value::List(self.items))
    }
}

impl ser::SerializeSeq for ListBuilder {
    type Ok = Value;
    type Error = Failure;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Failure> {
        self.push(item)
    }

    fn end(self) -> Result<Value, Failure> {
        Ok(self.finish())
    }
}

impl ser::SerializeTuple for ListBuilder {
    type Ok = Value;
    type Error = Failure;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Failure> {
        self.push(item)
    }

    fn end(self) -> Result<Value, Failure> {
        Ok(self.finish())
    }
}

impl ser::SerializeTupleStruct for ListBuilder {
    type Ok = Value;
    type Error = Failure;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Failure> {
        self.push(item)
    }

    fn end(self) -> Result<Value, Failure> {
        Ok(self.finish())
    }
}

impl ser::SerializeTupleVariant for ListBuilder {
    type Ok = Value;
    type Error = Failure;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Failure> {
        self.push(item)
    }

    fn end(self) -> Result<Value, Failure> {
        Ok(self.finish())
    }
}

#[derive(Default)]
struct MapBuilder {
    entries: ecow::EcoVec<(Str, Value)>,
    key: Str,
    variant: Option<&'static str>,
}

impl MapBuilder {
    fn push<T: Serialize + ?Sized>(&mut self, key: Str, value: &T) -> Result<(), Failure> {
        match value.serialize(Builder) {
            Ok(value) => {
                self.entries.push((key, value));
                Ok(())
            }
            Err(failure) => Err(failure.below(Step::Key(key))),
        }
    }

    fn finish(self) -> Value {
        of_variant(self.variant, Value::Map(Map::from_entries(self.entries)))
    }
}

impl ser::SerializeMap for MapBuilder {
    type Ok = Value;
    type Error = Failure;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Failure> {
        self.key = match key.serialize(Builder)? {
            Value::String(text) => text,
            Value::Bool(flag) => if flag { "true" } else { "false" }.into(),
            Value::Int(number) => itoa::Buffer::new().format(number).into(),
            Value::UInt(number) => itoa::Buffer::new().format(number).into(),
            other => {
                return Err(ser::Error::custom(format_args!(
                    "a key must be text, found {}",
                    other.kind_name()
                )));
            }
        };
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failure> {
        let key = std::mem::take(&mut self.key);
        self.push(key, value)
    }

    fn end(self) -> Result<Value, Failure> {
        Ok(self.finish())
    }
}

impl ser::SerializeStruct for MapBuilder {
    type Ok = Value;
    type Error = Failure;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Failure> {
        self.push(key.into(), value)
    }

    fn end(self) -> Result<Value, Failure> {
        Ok(self.finish())
    }
}

impl ser::SerializeStructVariant for MapBuilder {
    type Ok = Value;
    type Error = Failure;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Failure> {
        self.push(key.into(), value)
    }

    fn end(self) -> Result<Value, Failure> {
        Ok(self.finish())
    }
}

#[cfg(feature = "serde_yaml")]
impl From<Value> for serde_yaml::Value {
    fn from(value: Value) -> Self {
        use serde_yaml::Value as Yaml;
        match value {
            Value::Null => Yaml::Null,
            Value::Bool(flag) => Yaml::Bool(flag),
            Value::Int(number) => Yaml::Number(number.into()),
            Value::UInt(number) => Yaml::Number(number.into()),
            Value::Float(number) => Yaml::Number(number.into()),
            Value::String(text) => Yaml::String(text.into()),
            Value::List(list) => list.into_iter().map(Yaml::from).collect(),
            Value::Map(map) => Yaml::Mapping(
                map.into_iter()
                    .map(|(key, value)| (Yaml::String(key.into()), Yaml::from(value)))
                    .collect(),
            ),
        }
    }
}

#[cfg(feature = "serde_yaml")]
impl TryFrom<serde_yaml::Value> for Value {
    type Error = DecodeError;

    /// Keys that are numbers or booleans become text; tags are dropped.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] for keys that are null or collections.
    fn try_from(value: serde_yaml::Value) -> Result<Self, DecodeError> {
        match value {
            serde_yaml::Value::Tagged(tagged) => Value::try_from(tagged.value),
            value => to_value(&value),
        }
    }
}
