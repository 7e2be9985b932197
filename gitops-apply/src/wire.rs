//! JSON as API servers speak it, to and from [`Value`].

use std::fmt;

use gitops_core::{List, Map, Str, Value};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

/// Parses one JSON document.
pub(crate) fn parse(text: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice::<Read>(text).map(|read| read.0)
}

/// Writes one JSON document.
pub(crate) fn print(value: &Value) -> Vec<u8> {
    serde_json::to_vec(&Written(value)).expect("string keys and no failing sink")
}

struct Read(Value);

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyJson;
        impl<'de> Visitor<'de> for AnyJson {
            type Value = Read;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }
            fn visit_unit<E>(self) -> Result<Read, E> {
                Ok(Read(Value::Null))
            }
            fn visit_bool<E>(self, flag: bool) -> Result<Read, E> {
                Ok(Read(Value::Bool(flag)))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Read, E> {
                Ok(Read(Value::Int(number)))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Read, E> {
                Ok(Read(match i64::try_from(number) {
                    Ok(number) => Value::Int(number),
                    Err(_) => Value::UInt(number),
                }))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Read, E> {
                Ok(Read(Value::Float(number)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Read, E> {
                Ok(Read(Value::String(text.into())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Read, A::Error> {
                let mut list = List::new();
                while let Some(item) = items.next_element::<Read>()? {
                    list.push(item.0);
                }
                Ok(Read(Value::List(list)))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Read, A::Error> {
                let mut pairs: Vec<(Str, Value)> = Vec::new();
                while let Some((key, value)) = entries.next_entry::<Str, Read>()? {
                    pairs.push((key, value.0));
                }
                Ok(Read(Value::Map(pairs.into_iter().collect::<Map>())))
            }
        }
        deserializer.deserialize_any(AnyJson)
    }
}

struct Written<'a>(&'a Value);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(flag) => serializer.serialize_bool(*flag),
            Value::Int(number) => serializer.serialize_i64(*number),
            Value::UInt(number) => serializer.serialize_u64(*number),
            Value::Float(number) => serializer.serialize_f64(*number),
            Value::String(text) => serializer.serialize_str(text),
            Value::List(list) => {
                let mut seq = serializer.serialize_seq(Some(list.len()))?;
                for item in list {
                    seq.serialize_element(&Written(item))?;
                }
                seq.end()
            }
            Value::Map(map) => {
                let mut entries = serializer.serialize_map(Some(map.len()))?;
                for (key, value) in map {
                    entries.serialize_entry(key, &Written(value))?;
                }
                entries.end()
            }
        }
    }
}
