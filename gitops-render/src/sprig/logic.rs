//! Defaults, choices, and questions about types.

use super::empty;
use crate::gotmpl::{Args, Context, Failure, Function, Type, Value};

const ANY: Type = Type::Any;
const S: Type = Type::Str;
const B: Type = Type::Bool;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::variadic("default", &[ANY, ANY], ANY, |_, args| {
        let given = args.from(1).first().is_some_and(|value| !empty(value));
        Ok(args.take(usize::from(given)))
    }),
    Function::new("empty", &[ANY], B, |_, args| {
        Ok(Value::Bool(empty(args.value(0))))
    }),
    Function::variadic("coalesce", &[ANY], ANY, |_, args| {
        let found = args.from(0).iter().find(|value| !empty(value));
        Ok(found.cloned().unwrap_or_default())
    }),
    Function::variadic("all", &[ANY], B, |_, args| {
        Ok(Value::Bool(!args.from(0).iter().any(empty)))
    }),
    Function::variadic("any", &[ANY], B, |_, args| {
        Ok(Value::Bool(args.from(0).iter().any(|value| !empty(value))))
    }),
    Function::new("ternary", &[ANY, ANY, B], ANY, |_, args| {
        let which = usize::from(!args.bool(2));
        Ok(args.take(which))
    }),
    Function::new("typeOf", &[ANY], S, |_, args| {
        Ok(type_of(args.value(0)).into())
    }),
    Function::new("typeIs", &[S, ANY], B, |_, args| {
        Ok(Value::Bool(*args.str(0) == *type_of(args.value(1))))
    }),
    Function::new("typeIsLike", &[S, ANY], B, |_, args| {
        let (target, found) = (args.str(0), type_of(args.value(1)));
        let like = *target == *found
            || found
                .strip_prefix('*')
                .is_some_and(|pointee| *target == *pointee);
        Ok(Value::Bool(like))
    }),
    Function::new("kindOf", &[ANY], S, |_, args| {
        Ok(args.value(0).kind().name().into())
    }),
    Function::new("kindIs", &[S, ANY], B, |_, args| {
        Ok(Value::Bool(*args.str(0) == *args.value(1).kind().name()))
    }),
    Function::new("deepEqual", &[ANY, ANY], B, |context, args| {
        let equal = context.deep_equal(args.value(0), args.value(1));
        equal.map(Value::Bool)
    }),
    Function::new("fail", &[S], S, fail),
];

/// `%T`, which prints nil as `<nil>`.
fn type_of(value: &Value) -> String {
    match value {
        Value::Nil => "<nil>".to_owned(),
        value => value.type_name().into_owned(),
    }
}

fn fail(_: &mut Context<'_>, args: &mut Args<'_>) -> Result<Value, Failure> {
    Err(Failure::abort(args.str(0).to_text()))
}
