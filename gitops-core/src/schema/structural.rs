//! What a custom resource's schema wants of values, beyond their types.
//!
//! Types, required fields, lengths, ranges, enumerations and the uniqueness of
//! sets and keyed lists are checked; patterns, formats, `allOf` and its like,
//! and CEL rules are not.

use std::collections::BTreeSet;

use crate::{Map, Value, json};

/// A value that a schema does not allow. The value is not quoted: it may be
/// secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct Violation {
    /// The place: `spec.items[0].name`.
    pub path: String,
    /// What is wrong, in the words of an API server.
    pub problem: String,
}

/// Everything in `object` that the structural schema does not allow.
pub fn violations(schema: &Value, object: &Map) -> Vec<Violation> {
    let mut found = Vec::new();
    check_map(schema, object, "", &mut found);
    found
}

fn check(schema: &Value, value: &Value, path: &str, found: &mut Vec<Violation>) {
    let mut say = |problem: String| {
        found.push(Violation {
            path: path.to_owned(),
            problem,
        });
    };
    if value.is_null() {
        let nullable = schema.get("nullable").and_then(Value::as_bool) == Some(true);
        if !nullable && schema.get("type").is_some() {
            say("Invalid value: null".to_owned());
        }
        return;
    }
    let number = |name: &str| schema.get(name).and_then(Value::as_f64);
    let count = |name: &str| {
        let count = schema.get(name).and_then(Value::as_i64);
        count.and_then(|count| usize::try_from(count).ok())
    };
    if let Some(allowed) = schema.get("enum").and_then(Value::as_list)
        && !allowed.iter().any(|allowed| allowed.same(value))
    {
        let allowed: Vec<String> = allowed.iter().map(json::to_string).collect();
        let allowed = allowed.join(", ");
        say(format!("Unsupported value: supported values: {allowed}"));
    }
    let wanted = schema.get("type").and_then(Value::as_str);
    let fits = match (wanted, value) {
        (Some("string"), value) => value.as_str().is_some(),
        (Some("boolean"), value) => value.as_bool().is_some(),
        (Some("integer"), value) => matches!(value, Value::Int(_) | Value::UInt(_)),
        (Some("number"), value) => value.as_f64().is_some(),
        (Some("array"), value) => value.as_list().is_some(),
        (Some("object"), value) => value.as_map().is_some(),
        (_, value) => {
            let either = schema
                .get("x-kubernetes-int-or-string")
                .and_then(Value::as_bool);
            either != Some(true) || value.as_str().is_some() || value.as_i64().is_some()
        }
    };
    if !fits {
        let wanted = wanted.unwrap_or("integer or string");
        say(format!("Invalid value: must be of type {wanted}"));
        return;
    }
    match value {
        Value::String(text) => {
            let length = text.chars().count();
            if let Some(most) = count("maxLength").filter(|most| length > *most) {
                say(format!("Too long: may not be more than {most} bytes"));
            }
            if let Some(least) = count("minLength").filter(|least| length < *least) {
                say(format!(
                    "Invalid value: should be at least {least} chars long"
                ));
            }
        }
        Value::Int(_) | Value::UInt(_) | Value::Float(_) => {
            let value = value.as_f64().unwrap_or_default();
            let strict = |name: &str| schema.get(name).and_then(Value::as_bool) == Some(true);
            if let Some(most) = number("maximum")
                && (value > most || (strict("exclusiveMaximum") && value >= most))
            {
                say(format!(
                    "Invalid value: should be less than or equal to {most}"
                ));
            }
            if let Some(least) = number("minimum")
                && (value < least || (strict("exclusiveMinimum") && value <= least))
            {
                say(format!(
                    "Invalid value: should be greater than or equal to {least}"
                ));
            }
            if let Some(factor) = number("multipleOf")
                && (value / factor).fract() != 0.0
            {
                say(format!("Invalid value: should be a multiple of {factor}"));
            }
        }
        Value::List(items) => {
            if let Some(most) = count("maxItems").filter(|most| items.len() > *most) {
                say(format!(
                    "Too many: {}: must have at most {most} items",
                    items.len()
                ));
            }
            if let Some(least) = count("minItems").filter(|least| items.len() < *least) {
                say(format!("Invalid value: should have at least {least} items"));
            }
            check_unique(schema, items, path, found);
            if let Some(schema) = schema.get("items") {
                for (index, item) in items.iter().enumerate() {
                    check(schema, item, &format!("{path}[{index}]"), found);
                }
            }
        }
        Value::Map(map) => check_map(schema, map, path, found),
        Value::Null | Value::Bool(_) => {}
    }
}

fn check_map(schema: &Value, map: &Map, path: &str, found: &mut Vec<Violation>) {
    let at = |name: &str| match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    let size = |name: &str| {
        let size = schema.get(name).and_then(Value::as_i64);
        size.and_then(|size| usize::try_from(size).ok())
    };
    if size("maxProperties").is_some_and(|most| map.len() > most) {
        found.push(Violation {
            path: path.to_owned(),
            problem: format!("Too many: {}", map.len()),
        });
    }
    if size("minProperties").is_some_and(|least| map.len() < least) {
        found.push(Violation {
            path: path.to_owned(),
            problem: "Invalid value: has too few properties".to_owned(),
        });
    }
    let required = schema.get("required").and_then(Value::as_list);
    for name in required
        .unwrap_or_default()
        .iter()
        .filter_map(Value::as_str)
    {
        if !map.contains_key(name) {
            found.push(Violation {
                path: at(name),
                problem: "Required value".to_owned(),
            });
        }
    }
    let properties = schema.get("properties").and_then(Value::as_map);
    let additional = schema.get("additionalProperties");
    for (name, value) in map {
        let declared = properties.and_then(|properties| properties.get(name));
        let declared = declared.or(additional.filter(|schema| schema.as_map().is_some()));
        if let Some(schema) = declared {
            check(schema, value, &at(name), found);
        }
    }
}

fn check_unique(schema: &Value, items: &[Value], path: &str, found: &mut Vec<Violation>) {
    let keys: Vec<&str> = match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("set") => Vec::new(),
        Some("map") => {
            let keys = schema.get("x-kubernetes-list-map-keys");
            let keys = keys.and_then(Value::as_list).unwrap_or_default();
            keys.iter().filter_map(Value::as_str).collect()
        }
        _ => return,
    };
    let mut seen = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let identity = match keys.is_empty() {
            true => json::to_string(item),
            false => {
                let values = keys
                    .iter()
                    .map(|key| item.get(key).cloned().unwrap_or_default());
                json::to_string(&Value::from_iter(values))
            }
        };
        if !seen.insert(identity) {
            found.push(Violation {
                path: format!("{path}[{index}]"),
                problem: "Duplicate value".to_owned(),
            });
        }
    }
}
