//! Lists. Every function takes any slice and returns a new `[]interface {}`.

use super::{elements, empty, nil_dereference};
use crate::gotmpl::{Args, Context, Failure, Function, List, Slice, Type, Value};
use crate::sprig::math::to_int;

const ANY: Type = Type::Any;
const LIST: Type = Type::List;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::variadic("list", &[ANY], LIST, list),
    Function::variadic("tuple", &[ANY], LIST, list),
    Function::new("append", &[ANY, ANY], LIST, append),
    Function::new("push", &[ANY, ANY], LIST, append),
    Function::new("mustAppend", &[ANY, ANY], LIST, append),
    Function::new("mustPush", &[ANY, ANY], LIST, append),
    Function::new("prepend", &[ANY, ANY], LIST, prepend),
    Function::new("mustPrepend", &[ANY, ANY], LIST, prepend),
    Function::new("first", &[ANY], ANY, first),
    Function::new("mustFirst", &[ANY], ANY, first),
    Function::new("last", &[ANY], ANY, last),
    Function::new("mustLast", &[ANY], ANY, last),
    Function::new("rest", &[ANY], LIST, rest),
    Function::new("mustRest", &[ANY], LIST, rest),
    Function::new("initial", &[ANY], LIST, initial),
    Function::new("mustInitial", &[ANY], LIST, initial),
    Function::new("reverse", &[ANY], LIST, reverse),
    Function::new("mustReverse", &[ANY], LIST, reverse),
    Function::new("uniq", &[ANY], LIST, uniq),
    Function::new("mustUniq", &[ANY], LIST, uniq),
    Function::new("compact", &[ANY], LIST, compact),
    Function::new("mustCompact", &[ANY], LIST, compact),
    Function::variadic("without", &[ANY, ANY], LIST, without),
    Function::variadic("mustWithout", &[ANY, ANY], LIST, without),
    Function::new("has", &[ANY, ANY], Type::Bool, has),
    Function::new("mustHas", &[ANY, ANY], Type::Bool, has),
    Function::variadic("slice", &[ANY, ANY], ANY, slice),
    Function::variadic("mustSlice", &[ANY, ANY], ANY, slice),
    Function::variadic("concat", &[ANY], ANY, concat),
    Function::new("chunk", &[Type::Int, ANY], Type::Lists, chunk),
    Function::new("mustChunk", &[Type::Int, ANY], Type::Lists, chunk),
];

type Result = std::result::Result<Value, Failure>;

fn list(_: &mut Context<'_>, args: &mut Args<'_>) -> Result {
    Ok(args.take_from(0).into())
}

fn append(_: &mut Context<'_>, args: &mut Args<'_>) -> Result {
    let mut items = elements(args.value(0), "push on")?;
    items.push(args.take(1));
    Ok(items.into())
}

fn prepend(_: &mut Context<'_>, args: &mut Args<'_>) -> Result {
    let mut items = elements(args.value(0), "prepend on")?;
    items.insert(0, args.take(1));
    Ok(items.into())
}

fn first(_: &mut Context<'_>, args: &mut Args<'_>) -> Result {
    let items = elements(args.value(0), "find first on")?;
    Ok(items.into_iter().next().unwrap_or_default())
}

fn last(_: &mut Context<'_>, args: &mut Args<'_>) -> Result {
    let items = elements(args.value(0), "find last on")?;
    Ok(items.into_iter().next_back().unwrap_or_default())
}

fn rest(_: &mut Context<'_>, args: &mut Args<'_>) -> Result {
    let mut items = elements(args.value(0), "find rest on")?;
    if items.is_empty() {
        return Ok(Value::List(List::nil()));
    }
    items.remove(0);
    Ok(items.into())
}

fn initial(_: &mut Context<'_>, args: &mut Args<'_>) -> Result {
    let mut items = elements(args.value(0), "find initial on")?;
    if items.pop().is_none() {
        return Ok(Value::List(List::nil()));
    }
    Ok(items.into())
}

fn reverse(_: &mut Context<'_>, args: &mut Args<'_>) -> Result {
    let mut items = elements(args.value(0), "find reverse on")?;
    items.reverse();
    Ok(items.into())
}

fn uniq(context: &mut Context<'_>, args: &mut Args<'_>) -> Result {
    let items = elements(args.value(0), "find uniq on")?;
    let mut kept: Vec<Value> = Vec::new();
    for item in items {
        if !has_any(context, &kept, &item)? {
            kept.push(item);
        }
    }
    Ok(kept.into())
}

fn compact(_: &mut Context<'_>, args: &mut Args<'_>) -> Result {
    let mut items = elements(args.value(0), "compact on")?;
    items.retain(|item| !empty(item));
    Ok(items.into())
}

fn without(context: &mut Context<'_>, args: &mut Args<'_>) -> Result {
    let items = elements(args.value(0), "find without on")?;
    let mut kept = Vec::new();
    for item in items {
        if !has_any(context, args.from(1), &item)? {
            kept.push(item);
        }
    }
    Ok(kept.into())
}

fn has(context: &mut Context<'_>, args: &mut Args<'_>) -> Result {
    let (needle, haystack) = (args.value(0), args.value(1));
    if matches!(haystack, Value::Nil) {
        return Ok(Value::Bool(false));
    }
    let items = elements(haystack, "find has on")?;
    has_any(context, &items, needle).map(Value::Bool)
}

/// Whether one of them equals the value.
fn has_any(
    context: &mut Context<'_>,
    items: &[Value],
    value: &Value,
) -> std::result::Result<bool, Failure> {
    for item in items {
        if context.deep_equal(item, value)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn slice(_: &mut Context<'_>, args: &mut Args<'_>) -> Result {
    let list = args.value(0);
    let Some(items) = list.elements() else {
        if matches!(list, Value::Nil) {
            return Err(nil_dereference());
        }
        return Err(Failure::new(format!(
            "list should be type of slice or array but {}",
            list.kind().name()
        )));
    };
    if items.is_empty() {
        return Ok(Value::Nil);
    }
    let len = items.len() as i64;
    let indices = args.from(1);
    let start = indices.first().map_or(0, to_int);
    let end = indices.get(1).map_or(len, to_int);
    if start < 0 || end < start || end > len {
        return Err(Failure::new(
            "reflect.Value.Slice: slice index out of bounds",
        ));
    }
    let range = start as usize..end as usize;
    Ok(match list {
        Value::Strings(texts) => Value::Strings(Slice::from(&texts[range])),
        Value::Ints(numbers) => Value::Ints(Slice::from(&numbers[range])),
        Value::Bytes(bytes) => Value::Bytes(Slice::from(&bytes[range])),
        _ => Value::List(items[range].to_vec().into()),
    })
}

fn concat(context: &mut Context<'_>, args: &mut Args<'_>) -> Result {
    let mut all = Vec::new();
    for list in args.from(0) {
        match list.elements() {
            Some(items) => {
                // The longer part could be appended to.
                context.charge_elements(all.len().min(items.len()))?;
                all.extend(items.into_owned());
            }
            None if matches!(list, Value::Nil) => return Err(nil_dereference()),
            None => {
                return Err(Failure::new(format!(
                    "Cannot concat type {} as list",
                    list.kind().name()
                )));
            }
        }
    }
    if all.is_empty() {
        return Ok(Value::List(List::nil()));
    }
    Ok(all.into())
}

fn chunk(_: &mut Context<'_>, args: &mut Args<'_>) -> Result {
    let size = args.int(0);
    let items = elements(args.value(1), "chunk")?;
    let Some(size) = usize::try_from(size).ok().filter(|size| *size > 0) else {
        // Go computes how many chunks there are before it looks at the size.
        let last = items.len() as f64 - 1.0;
        let count = (last / size as f64).floor() + 1.0;
        return match (count, items.len()) {
            (0.0, _) => Ok(Value::Lists(Vec::new().into())),
            (1.0, 1) if size < -1 => Ok(Value::Lists(vec![List::from(items)].into())),
            _ => Err(Failure::new("runtime error: makeslice: len out of range")),
        };
    };
    let chunks: Vec<List> = items.chunks(size).map(|c| List::from(c.to_vec())).collect();
    Ok(Value::Lists(chunks.into()))
}
