//! Values into a writer of YAML or JSON, without a copy between.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use gitops_core::value::Sink;

use super::function::Failure;
use super::map::Map;
use super::stack::deeper;
use super::text::Str;
use super::value::{Kind, LEVELS_PER_STACK_CHECK, MAX_NESTING, Object, Value};

/// In which order the fields of a struct are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldOrder {
    /// As Go's `encoding/json` does.
    Declared,
    /// As maps, which is what `sigs.k8s.io/yaml` makes of them.
    Sorted,
}

#[derive(Clone, Copy)]
struct How {
    fields: FieldOrder,
    limit: usize,
}

impl Value {
    /// Writes this value as Go's encoders see it: bytes as base64, nil slices
    /// as null, structs as maps of their fields.
    ///
    /// # Errors
    ///
    /// Fails in Go's words for what cannot be encoded, if maps and lists nest
    /// deeper than [`MAX_NESTING`], and after `limit` bytes: what is small in
    /// memory can be long, as a list may hold another one many times. What was
    /// written is then of no use.
    pub fn write_to(
        &self,
        sink: &mut impl Sink,
        fields: FieldOrder,
        limit: usize,
    ) -> Result<(), Failure> {
        write(self, sink, How { fields, limit }, 0)
    }
}

fn write(value: &Value, sink: &mut impl Sink, how: How, depth: usize) -> Result<(), Failure> {
    if depth > MAX_NESTING {
        return Err(Failure::new(format!(
            "json: unsupported value: nested deeper than {MAX_NESTING} levels"
        )));
    }
    if sink.written() > how.limit {
        return Err(Failure::too_long());
    }
    match depth % LEVELS_PER_STACK_CHECK {
        1 => deeper(|| write_here(value, sink, how, depth)),
        _ => write_here(value, sink, how, depth),
    }
}

fn write_here(value: &Value, sink: &mut impl Sink, how: How, depth: usize) -> Result<(), Failure> {
    match value {
        Value::Nil => sink.null(),
        Value::Bool(flag) => sink.bool(*flag),
        Value::Int(number) | Value::Int64(number) => sink.int(*number),
        Value::Int32(number) => sink.int((*number).into()),
        Value::Uint64(number) => sink.uint(*number),
        Value::Uint32(number) => sink.int((*number).into()),
        Value::Uint8(number) => sink.int((*number).into()),
        Value::Float(number) if !number.is_finite() => {
            return Err(Failure::new(format!(
                "json: unsupported value: {}",
                super::printf::float_text(*number)
            )));
        }
        Value::Float(number) => sink.float(*number),
        Value::Complex(..) => return Err(Failure::new("json: unsupported type: complex128")),
        Value::Str(text) => write_text(text, sink),
        Value::Bytes(bytes) if bytes.is_nil() => sink.null(),
        Value::Bytes(bytes) => sink.string(&BASE64_STANDARD.encode(&**bytes)),
        Value::List(items) => match items.untouched() {
            Some(source) => gitops_core::Value::List(source.clone()).write_to(sink),
            None if items.is_nil() => sink.null(),
            None => {
                sink.begin_list();
                for item in items.iter() {
                    write(item, sink, how, depth + 1)?;
                }
                sink.end_list();
            }
        },
        Value::Strings(items) if items.is_nil() => sink.null(),
        Value::Strings(items) => {
            sink.begin_list();
            for item in items.iter() {
                write_text(item, sink);
            }
            sink.end_list();
        }
        Value::Ints(items) if items.is_nil() => sink.null(),
        Value::Ints(items) => {
            sink.begin_list();
            for item in items.iter() {
                sink.int(*item);
            }
            sink.end_list();
        }
        Value::Lists(items) if items.is_nil() => sink.null(),
        Value::Lists(items) => {
            sink.begin_list();
            for item in items.iter() {
                write(&Value::List(item.clone()), sink, how, depth + 1)?;
            }
            sink.end_list();
        }
        Value::Map(map) => write_map(map, sink, how, depth)?,
        Value::Object(object) => write_object(&**object, sink, how, depth)?,
    }
    Ok(())
}

fn write_text(text: &Str, sink: &mut impl Sink) {
    match text.as_str() {
        Some(text) => sink.string(text),
        None => sink.bytes(text.as_bytes()),
    }
}

fn write_map(map: &Map, sink: &mut impl Sink, how: How, depth: usize) -> Result<(), Failure> {
    if let Some(source) = map.untouched() {
        gitops_core::Value::Map(source).write_to(sink);
        return Ok(());
    }
    if map.is_nil() {
        sink.null();
        return Ok(());
    }
    map.with_entries_in_order(|entries| {
        sink.begin_map();
        write_entries(entries, sink, how, depth)?;
        sink.end_map();
        Ok(())
    })
}

fn write_entries(
    entries: &[(&Str, &Value)],
    sink: &mut impl Sink,
    how: How,
    depth: usize,
) -> Result<(), Failure> {
    let texts: smallvec::SmallVec<[std::borrow::Cow<'_, str>; 16]> =
        entries.iter().map(|(key, _)| key.to_text()).collect();
    let order = sink.order(texts.iter().map(|key| &**key));
    let mut one = |index: usize| {
        sink.key(&texts[index]);
        write(entries[index].1, sink, how, depth + 1)
    };
    match order {
        None => (0..entries.len()).try_for_each(&mut one),
        Some(order) => order.into_iter().try_for_each(&mut one),
    }
}

fn write_object(
    object: &dyn Object,
    sink: &mut impl Sink,
    how: How,
    depth: usize,
) -> Result<(), Failure> {
    if object.kind() == Kind::Slice {
        // A nil slice has no elements either, and says that it is null.
        let items = object.entries();
        if items.is_empty() {
            object.to_core()?.write_to(sink);
            return Ok(());
        }
        sink.begin_list();
        for (_, item) in &items {
            write(item, sink, how, depth + 1)?;
        }
        sink.end_list();
        return Ok(());
    }
    let Some(mut members) = object.members() else {
        object.to_core()?.write_to(sink);
        return Ok(());
    };
    sink.begin_map();
    match how.fields {
        FieldOrder::Declared => {
            for (name, value) in &members {
                sink.key(name);
                write(value, sink, how, depth + 1)?;
            }
        }
        FieldOrder::Sorted => {
            members.sort_by(|a, b| a.0.cmp(b.0));
            let entries: Vec<(Str, Value)> = members
                .into_iter()
                .map(|(name, value)| (Str::from(name), value))
                .collect();
            let entries: Vec<(&Str, &Value)> =
                entries.iter().map(|(name, value)| (name, value)).collect();
            write_entries(&entries, sink, how, depth)?;
        }
    }
    sink.end_map();
    Ok(())
}
