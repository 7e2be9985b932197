//! Fields named by jq path expressions.
//!
//! Argo CD deletes what an expression names (`del(EXPRESSION)`). Here the
//! expression is only asked for its paths, by jaq's `path()`; what is done with
//! them is decided elsewhere, so that a field that is not there is no error.
//!
//! An expression must come to an end: functions that need not (`range`,
//! `while`, `until`, `repeat`, `recurse(f)`), and definitions, with which they
//! could be written again, are refused.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use gitops_core::{Str, Value};
use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Vars, data, unwrap_valr};
use jaq_json::{Num, Val};

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Field(Str),
    Item(usize),
}

/// How many paths an expression may name in one object.
const MOST_PATHS: usize = 100_000;

/// How many expressions are kept compiled.
const MOST_FILTERS: usize = 256;

type Filter = jaq_core::Filter<data::JustLut<Val>>;

thread_local! {
    // Compiling takes tens of milliseconds, most of it for jq's own functions.
    static COMPILED: RefCell<BTreeMap<Str, Rc<Filter>>> = const { RefCell::new(BTreeMap::new()) };
}

/// The paths that `expression` names in an object. Fields of an object in which
/// it fails are not named.
///
/// # Errors
///
/// The problem, if the expression is not understood or refused.
pub(super) fn paths(expression: &str, object: &Value) -> Result<Vec<Vec<Step>>, String> {
    let filter = filter(expression)?;
    let input = input(object);
    let context = Ctx::<data::JustLut<Val>>::new(&filter.lut, Vars::new([]));
    let mut found = Vec::new();
    for path in filter.id.run((context, input)).map(unwrap_valr) {
        // Where an object is not as the expression expects, jq ends with an
        // error and Argo CD goes on without it.
        let Ok(path) = path else { break };
        if found.len() >= MOST_PATHS {
            return Err(format!("names more than {MOST_PATHS} fields"));
        }
        let Val::Arr(path) = path else { continue };
        let steps: Option<Vec<Step>> = path.iter().map(step).collect();
        found.push(steps.ok_or("slices of lists are not supported")?);
    }
    Ok(found)
}

/// Whether `expression` is understood.
///
/// # Errors
///
/// The problem, if it is not, or refused.
pub(super) fn check(expression: &str) -> Result<(), String> {
    filter(expression).map(drop)
}

fn step(step: &Val) -> Option<Step> {
    match step {
        Val::TStr(name) => Some(Step::Field(std::str::from_utf8(name).ok()?.into())),
        Val::Num(number) => Some(Step::Item(usize::try_from(number.as_isize()?).ok()?)),
        _ => None,
    }
}

/// A value as jaq has it.
fn input(value: &Value) -> Val {
    let text = |text: &str| Val::utf8_str(text.to_owned());
    match value {
        Value::Null => Val::Null,
        Value::Bool(flag) => Val::Bool(*flag),
        Value::Int(number) => Val::Num(Num::from_integral(*number)),
        Value::UInt(number) => Val::Num(Num::from_integral(*number)),
        Value::Float(number) => Val::from(*number),
        Value::String(value) => text(value),
        Value::List(items) => items.iter().map(input).collect(),
        Value::Map(map) => {
            let fields = map.iter();
            Val::obj(
                fields
                    .map(|(name, value)| (text(name), input(value)))
                    .collect(),
            )
        }
    }
}

fn filter(expression: &str) -> Result<Rc<Filter>, String> {
    let known = COMPILED.with_borrow(|compiled| compiled.get(expression).cloned());
    if let Some(filter) = known {
        return Ok(filter);
    }
    refuse_endless(expression)?;
    let code = format!("path({expression})");
    let defs = jaq_core::defs()
        .chain(jaq_std::defs())
        .chain(jaq_json::defs());
    let funs = jaq_core::funs()
        .chain(jaq_std::funs())
        .chain(jaq_json::funs());
    let arena = Arena::default();
    let program = File {
        code: code.as_str(),
        path: (),
    };
    let modules = Loader::new(defs)
        .load(&arena, program)
        .map_err(|_| "is no jq expression".to_owned())?;
    let filter = Compiler::default()
        .with_funs(funs)
        .compile(modules)
        .map_err(|errors| undefined(&errors))?;
    let filter = Rc::new(filter);
    COMPILED.with_borrow_mut(|compiled| {
        if compiled.len() >= MOST_FILTERS {
            compiled.clear();
        }
        compiled.insert(expression.into(), filter.clone());
    });
    Ok(filter)
}

fn undefined<P>(errors: &jaq_core::compile::Errors<&str, P>) -> String {
    let names = errors.iter().flat_map(|(_, errors)| errors);
    let names: Vec<&str> = names.map(|(name, _)| *name).collect();
    format!("uses what is not defined: {}", names.join(", "))
}

fn refuse_endless(expression: &str) -> Result<(), String> {
    const ENDLESS: [&str; 9] = [
        "def",
        "range",
        "while",
        "until",
        "repeat",
        "infinite",
        "combinations",
        "import",
        "include",
    ];
    let mut rest = expression;
    // Text is no code, unless it has code in it.
    let interpolates = expression.contains("\\(");
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '"') {
        rest = &rest[start..];
        if rest.starts_with('"') && !interpolates {
            let mut escaped = false;
            let end = rest[1..].find(|c: char| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            let end = end.ok_or_else(|| "has text without an end".to_owned())?;
            rest = &rest[end + 2..];
            continue;
        }
        rest = rest.strip_prefix('"').unwrap_or(rest);
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let called = after.trim_start().starts_with('(');
        // `.range` is a field.
        let before = &expression[..expression.len() - rest.len()];
        let is_field = before.ends_with('.') || before.ends_with('$');
        if !is_field && (ENDLESS.contains(&word) || (word == "recurse" && called)) {
            return Err(format!("uses {word:?}, which need not come to an end"));
        }
        rest = after;
    }
    Ok(())
}
