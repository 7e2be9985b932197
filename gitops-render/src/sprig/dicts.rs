//! Maps, which are references: what `set` writes is seen by everyone.

use super::strval;
use crate::gotmpl::{
    Args, Context, Copied, Failure, Function, Map, MapKind, Str, Type, Value, deeper,
};

const ANY: Type = Type::Any;
const MAP: Type = Type::Map;
const S: Type = Type::Str;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::variadic("dict", &[ANY], MAP, dict),
    Function::new("get", &[MAP, S], ANY, |_, args| {
        let value = args.map(0).get_key(args.str(1));
        Ok(value.unwrap_or_else(|| "".into()))
    }),
    Function::new("set", &[MAP, S, ANY], MAP, |_, args| {
        let map = plain(args.map(0));
        let (key, value) = (args.str(1).clone(), args.take(2));
        map.insert(key, value)?;
        Ok(Value::Map(map))
    }),
    Function::new("unset", &[MAP, S], MAP, |_, args| {
        let map = plain(args.map(0));
        map.remove(args.str(1));
        Ok(Value::Map(map))
    }),
    Function::new("hasKey", &[MAP, S], Type::Bool, |_, args| {
        Ok(Value::Bool(args.map(0).contains_key(args.str(1))))
    }),
    Function::variadic("pluck", &[S, MAP], Type::List, |_, args| {
        let key = args.str(0).clone();
        let found: Vec<Value> = maps(args.from(1))
            .filter_map(|map| map.get_key(&key))
            .collect();
        Ok(found.into())
    }),
    Function::variadic("keys", &[MAP], Type::Strings, |_, args| {
        Ok(Value::Strings(
            maps(args.from(0)).flat_map(Map::keys).collect(),
        ))
    }),
    Function::new("values", &[MAP], Type::List, |_, args| {
        let entries = args.map(0).entries();
        Ok(Value::List(
            entries.into_iter().map(|(_, value)| value).collect(),
        ))
    }),
    Function::variadic("pick", &[MAP, S], MAP, |_, args| {
        let map = args.map(0);
        let picked: Map = texts(args.from(1))
            .filter_map(|key| Some((key.clone(), map.get_key(key)?)))
            .collect();
        Ok(Value::Map(picked))
    }),
    Function::variadic("omit", &[MAP, S], MAP, |_, args| {
        let omitted: Vec<&Str> = texts(args.from(1)).collect();
        let kept: Map = args
            .map(0)
            .entries()
            .into_iter()
            .filter(|(key, _)| !omitted.contains(&key))
            .collect();
        Ok(Value::Map(kept))
    }),
    Function::variadic("merge", &[MAP, MAP], ANY, |context, args| {
        merged(context, args, false)
    }),
    Function::variadic("mustMerge", &[MAP, MAP], ANY, |context, args| {
        merged(context, args, false)
    }),
    Function::variadic("mergeOverwrite", &[MAP, MAP], ANY, |context, args| {
        merged(context, args, true)
    }),
    Function::variadic("mustMergeOverwrite", &[MAP, MAP], ANY, |context, args| {
        merged(context, args, true)
    }),
    Function::new("deepCopy", &[ANY], ANY, deep_copy_of),
    Function::new("mustDeepCopy", &[ANY], ANY, deep_copy_of),
    Function::variadic("dig", &[ANY], ANY, dig),
];

/// The same entries as a `map[string]interface {}`: a named type is lost when
/// it passes through a parameter of that type.
fn plain(map: &Map) -> Map {
    map.clone().with_kind(MapKind::Plain)
}

fn deep_copy_of(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Value, Failure> {
    match args.value(0) {
        // The copy begins by asking for the type.
        Value::Nil => Err(Failure::new(
            "reflect: call of reflect.Value.Type on zero Value",
        )),
        value => deep_copy(context, value, 0).map(Value::from),
    }
}

fn maps(values: &[Value]) -> impl Iterator<Item = &Map> {
    values.iter().filter_map(Value::as_map)
}

fn texts(values: &[Value]) -> impl Iterator<Item = &Str> {
    values.iter().filter_map(|value| match value {
        Value::Str(text) => Some(text),
        _ => None,
    })
}

fn dict(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Value, Failure> {
    let mut values = args.take_from(0).into_iter();
    let mut entries = Vec::with_capacity(values.len() / 2 + 1);
    while let Some(key) = values.next() {
        let key = strval(context, &key)?;
        entries.push((key, values.next().unwrap_or_else(|| "".into())));
    }
    Ok(Value::Map(entries.into_iter().collect()))
}

fn merged(
    context: &mut Context<'_>,
    args: &mut Args<'_>,
    overwrite: bool,
) -> Result<Value, Failure> {
    let mut into = plain(args.map(0));
    for from in maps(args.from(1)) {
        if from.is_nil() {
            continue;
        }
        if into.is_nil() {
            into = Map::new();
        }
        merge(context, &into, from, overwrite, 0)?;
    }
    Ok(Value::Map(into))
}

/// `dario.cat/mergo`: without `overwrite` only what is missing or empty is
/// set; lists are never merged; maps taken over stay shared with their source.
fn merge(
    context: &mut Context<'_>,
    into: &Map,
    from: &Map,
    overwrite: bool,
    depth: usize,
) -> Result<(), Failure> {
    context.step()?;
    if depth > crate::gotmpl::MAX_NESTING {
        return Err(Failure::new("maps nested too deeply to merge"));
    }
    if into.is(from) {
        return Ok(());
    }
    for (key, value) in from.entries() {
        let have = into.get_key(&key);
        match (&have, &value) {
            (_, Value::Nil) => {
                if overwrite {
                    into.insert(key, Value::Nil)?;
                }
                continue;
            }
            // What is in a map cannot be made there; it is empty, and replaced.
            (Some(Value::Map(have)), Value::Map(value)) if !have.is_nil() => {
                deeper(|| merge(context, have, value, overwrite, depth + 1))?;
                if !have.is_empty() {
                    continue;
                }
            }
            _ => {}
        }
        let missing = have.as_ref().is_none_or(|have| !truth(have));
        if overwrite || missing {
            into.insert(key, value)?;
        }
    }
    Ok(())
}

/// What mergo does not call empty.
fn truth(value: &Value) -> bool {
    !super::empty(value)
}

fn deep_copy(context: &mut Context<'_>, value: &Value, depth: usize) -> Result<Copied, Failure> {
    if depth > crate::gotmpl::MAX_NESTING {
        return Err(Failure::new("value nested too deeply to copy"));
    }
    match value {
        Value::Map(map) => {
            // An entry has a key too.
            context.charge_elements(2 * (1 + map.len_unreported()))?;
            map.try_copy(|value| deeper(|| deep_copy(context, value, depth + 1)))
        }
        Value::List(list) => {
            context.charge_elements(1 + list.untouched().map_or(list.len(), |_| 0))?;
            list.try_copy(|value| deeper(|| deep_copy(context, value, depth + 1)))
        }
        other => Ok(Copied::Anew(other.clone())),
    }
}

fn dig(_: &mut Context<'_>, args: &mut Args<'_>) -> Result<Value, Failure> {
    let values = args.from(0);
    let [path @ .., default, last] = values else {
        return Err(Failure::new("dig needs at least three arguments"));
    };
    if path.is_empty() {
        return Err(Failure::new("dig needs at least three arguments"));
    }
    let not = |value: &Value, wanted: &str| {
        let found = match value {
            Value::Nil => "nil".into(),
            value => value.type_name(),
        };
        Failure::new(format!(
            "interface conversion: interface {{}} is {found}, not {wanted}"
        ))
    };
    let as_map = |value: &Value| match value {
        Value::Map(map) if map.kind() == MapKind::Plain => Ok(map.clone()),
        other => Err(not(other, "map[string]interface {}")),
    };
    let mut map = as_map(last)?;
    let mut keys = Vec::with_capacity(path.len());
    for key in path {
        match key {
            Value::Str(key) => keys.push(key),
            other => return Err(not(other, "string")),
        }
    }
    let last_key = keys.len() - 1;
    for (index, key) in keys.into_iter().enumerate() {
        let Some(step) = map.get_key(key) else {
            return Ok(default.clone());
        };
        if index == last_key {
            return Ok(step);
        }
        map = as_map(&step)?;
    }
    Ok(default.clone())
}
