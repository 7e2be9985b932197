//! Patches: the tables of apimachinery's own tests, and the suites of the RFCs.
//!
//! | file                           | what a case is                            |
//! |--------------------------------|-------------------------------------------|
//! | `smp/strategicpatch.json`      | a patch to make and to apply, two- and three-way |
//! | `smp/jsonmergepatch.json`      | the same as JSON merge patch, three-way   |
//! | `smp/mergepatch-hasconflicts.json` | two patches that agree or do not      |
//! | `smp/rfc6902/*.json`           | a JSON patch and its outcome              |
//! | `smp/rfc7386.json`             | a JSON merge patch and its outcome        |

use std::path::Path;
use std::sync::Arc;

use gitops_core::schema::{ObjectSchema, PatchStrategy, Schema};
use gitops_core::{Map, Value, json};
use gitops_diff::patch::{PatchError, json as json_patch, merge, strategic};

use super::{Problem, case, check, field, list, same_value, text};
use crate::case::Case;
use crate::sets::LoadError;

/// Cases of `sortMergeLists`, which only sorts the tables of the tests.
pub(super) const HELPERS: usize = 8;

/// A comparison of two Go integers, which no JSON holds.
pub(super) const GO_TYPES: usize = 1;
const GO_INTEGERS: usize = 28;

/// Cases that the JSON Patch suite has switched off.
pub(super) const DISABLED: usize = 4;

pub(super) fn load(dir: &Path) -> Result<Vec<Case>, LoadError> {
    let read = |file: &str| -> Result<Value, LoadError> {
        Ok(json::parse(&std::fs::read(dir.join("smp").join(file))?)?)
    };
    let mut cases = Vec::new();
    load_strategic(&read("strategicpatch.json")?, &mut cases)?;

    let merges = read("jsonmergepatch.json")?;
    for (index, item) in items(&merges, "threeWay") {
        let name = text(&item, "description").replace(' ', "-");
        let run = move || merge_three_way(&item);
        cases.push(case(format!("json-merge/three-way/{index}/{name}"), run));
    }
    for (index, item) in items(&merges, "keepOrDeleteNull") {
        let name = text(&item, "description").replace(' ', "-");
        let run = move || nulls(&item);
        cases.push(case(format!("json-merge/nulls/{index}/{name}"), run));
    }
    let conflicts = read("mergepatch-hasconflicts.json")?;
    for (index, item) in items(&conflicts, "util_test.go:TestHasConflicts:testCases") {
        if index == GO_INTEGERS {
            continue;
        }
        let run = move || conflict(&item);
        cases.push(case(format!("json-merge/has-conflicts/{index}"), run));
    }
    for file in ["tests", "spec_tests"] {
        let suite = read(&format!("rfc6902/{file}.json"))?;
        for (index, item) in list(&suite).iter().enumerate() {
            if item.get("disabled").and_then(Value::as_bool) == Some(true) {
                continue;
            }
            let item = item.clone();
            let name = text(&item, "comment").replace([' ', '/'], "-");
            let run = move || rfc6902(&item);
            cases.push(case(format!("rfc6902/{file}/{index}/{name}"), run));
        }
    }
    for (index, item) in list(&read("rfc7386.json")?).iter().enumerate() {
        let item = item.clone();
        let run = move || {
            let found = merge::apply(field(&item, "original")?, field(&item, "patch")?);
            same_value("result", field(&item, "result")?, &found)
        };
        cases.push(case(format!("rfc7386/{index}"), run));
    }
    Ok(cases)
}

fn items(of: &Value, name: &str) -> Vec<(usize, Value)> {
    let table = of.get(name).map(list).unwrap_or_default();
    table.iter().cloned().enumerate().collect()
}

fn load_strategic(table: &Value, cases: &mut Vec<Case>) -> Result<(), LoadError> {
    let schema = |file: &str| -> Result<Arc<Schema>, LoadError> {
        let document = table.at(&["openapiTestSchemas", file]);
        let document = document.ok_or_else(|| format!("no schema {file}"))?;
        Ok(Arc::new(Schema::from_openapi(document)?))
    };
    let item_schema = schema("swagger-merge-item-v3.json")?;
    let number_schema = schema("swagger-precision-item-v3.json")?;
    for (index, item) in items(table, "cases") {
        let suite = text(&item, "suite").to_owned();
        let name = text(&item, "description").replace(' ', "-");
        let name = format!("strategic/{suite}/{index}/{name}");
        let schema = item_schema.clone();
        let run = move || {
            let ty = type_of(&schema, "mergeItem")?;
            strategic_case(&suite, &item, ty)
        };
        cases.push(case(name, run));
    }
    for (index, item) in items(table, "other") {
        let (suite, name) = (text(&item, "suite"), text(&item, "name").replace(' ', "-"));
        let name = format!("strategic/{suite}/{index}/{name}");
        let (items, numbers) = (item_schema.clone(), number_schema.clone());
        let run = move || match text(&item, "suite") {
            "TestNumberConversion" => numbers_kept(&item, type_of(&numbers, "precisionItem")?),
            _ => unknown_field(&item, type_of(&items, "mergeItem")?),
        };
        cases.push(case(name, run));
    }
    Ok(())
}

fn type_of<'s>(schema: &'s Schema, name: &str) -> Result<ObjectSchema<'s>, Problem> {
    let root = schema.named(name).ok_or("the schema has no such type")?;
    Ok(ObjectSchema { schema, root })
}

fn map_of(value: Option<&Value>) -> Map {
    value.and_then(Value::as_map).cloned().unwrap_or_default()
}

fn same_map(what: &'static str, expected: &Map, found: &Map) -> Result<(), Problem> {
    same_value(
        what,
        &Value::Map(expected.clone()),
        &Value::Map(found.clone()),
    )
}

fn strategic_case(suite: &str, item: &Value, schema: ObjectSchema<'_>) -> Result<(), Problem> {
    // The tables that are no raw text are sorted by the tests themselves.
    let raw = suite.contains("Raw");
    let read = |name: &str| match raw {
        true => map_of(item.get(name)),
        false => sorted(&map_of(item.get(name)), schema),
    };
    let original = read("original");
    let two_way = read("twoWayPatch");
    let expected = match item.get("twoWayResult") {
        Some(_) => read("twoWayResult"),
        None => read("modified"),
    };
    if suite.starts_with("custom") {
        let applied = strategic::apply(&original, &two_way, schema);
        return match (applied, item.get("expectedError").and_then(Value::as_str)) {
            (Err(error), Some(expected)) => {
                let found = error.to_string();
                check("error", found.contains(expected), expected.into(), found)
            }
            (applied, None) => same_map("result", &expected, &applied?),
            (Ok(_), Some(expected)) => check("error", false, expected.into(), "none".into()),
        };
    }
    let modified = read("modified");
    let patch = strategic::diff(&original, &modified, schema)?;
    same_map("two-way patch", &two_way, &patch)?;
    let result = strategic::apply(&original, &patch, schema)?;
    same_map("two-way result", &expected, &result)?;

    let current = read("current");
    let conflicting = text(item, "description").contains("conflict");
    let patch = match strategic::three_way(&original, &modified, &current, schema, false) {
        Err(PatchError::Conflict(_)) if conflicting => {
            if item.get("result").is_none() {
                return Ok(());
            }
            strategic::three_way(&original, &modified, &current, schema, true)?
        }
        Ok(_) if conflicting => {
            return check("three-way patch", false, "a conflict".into(), "none".into());
        }
        other => other?,
    };
    same_map("three-way patch", &read("threeWayPatch"), &patch)?;
    let result = strategic::apply(&current, &patch, schema)?;
    same_map("three-way result", &read("result"), &result)
}

/// Merged lists sorted by their keys, as the tests sort what they compare.
fn sorted(map: &Map, schema: ObjectSchema<'_>) -> Map {
    let fields = schema.schema.resolve(schema.root).map;
    let printed = |value: &Value| match value {
        Value::String(text) => text.to_string(),
        other => json::to_string(other),
    };
    map.iter()
        .map(|(name, value)| {
            let scalars = |list: &[Value]| {
                let mut list = list.to_vec();
                list.sort_by_cached_key(printed);
                Value::from_iter(list)
            };
            let field = fields.as_ref().and_then(|map| map.field(name));
            let below = |ty| ObjectSchema {
                schema: schema.schema,
                root: ty,
            };
            let value = match (value, field) {
                (Value::List(list), _)
                    if name == "$retainKeys" || name.starts_with("$deleteFromPrimitiveList") =>
                {
                    scalars(list)
                }
                (Value::Map(map), Some(field)) => Value::Map(sorted(map, below(field.ty))),
                (Value::List(list), Some(field))
                    if field.patch.strategy == PatchStrategy::Merge =>
                {
                    let element = schema.schema.resolve(field.ty).list;
                    let element = element.map_or(field.ty, |list| list.element);
                    let mut items: Vec<Value> = list
                        .iter()
                        .map(|item| match item {
                            Value::Map(item) => Value::Map(sorted(item, below(element))),
                            scalar => scalar.clone(),
                        })
                        .collect();
                    match items.first() {
                        Some(Value::Map(_)) => {
                            let key = field.patch.merge_key.as_str();
                            items.sort_by_cached_key(|item| item.get(key).map(printed));
                        }
                        _ => {
                            items.sort_by_cached_key(printed);
                            items.dedup();
                        }
                    }
                    Value::from_iter(items)
                }
                (other, _) => other.clone(),
            };
            (name.clone(), value)
        })
        .collect()
}

fn unknown_field(item: &Value, schema: ObjectSchema<'_>) -> Result<(), Problem> {
    let read = |name: &str| map_of(item.get(name));
    let (original, modified, current) = (read("Original"), read("Modified"), read("Current"));
    for (way, base, patch) in [
        (
            "Two",
            &original,
            strategic::diff(&original, &modified, schema),
        ),
        (
            "Three",
            &current,
            strategic::three_way(&original, &modified, &current, schema, false),
        ),
    ] {
        let error = format!("Expected{way}WayErr");
        let patch = match (patch, item.get(&error).and_then(Value::as_str)) {
            (Err(error), Some(expected)) => {
                let found = error.to_string();
                check("error", found.contains(expected), expected.into(), found)?;
                continue;
            }
            (patch, _) => patch?,
        };
        same_map("patch", &read(&format!("Expected{way}Way")), &patch)?;
        let result = strategic::apply(base, &patch, schema)?;
        same_map("result", &read(&format!("Expected{way}WayResult")), &result)?;
    }
    Ok(())
}

fn numbers_kept(item: &Value, schema: ObjectSchema<'_>) -> Result<(), Problem> {
    let read = |name: &str| map_of(item.get(name));
    let patch = strategic::diff(&read("Old"), &read("New"), schema)?;
    same_map("patch", &read("ExpectedPatch"), &patch)?;
    let result = strategic::apply(&read("Old"), &patch, schema)?;
    same_map("result", &read("ExpectedResult"), &result)
}

fn merge_three_way(item: &Value) -> Result<(), Problem> {
    let read = |name: &str| map_of(item.get(name));
    let patch = merge::three_way(&read("original"), &read("modified"), &read("current"))?;
    same_map("patch", &read("threeWay"), &patch)?;
    let result = merge::apply(&Value::Map(read("current")), &Value::Map(patch));
    same_value("result", field(item, "result")?, &result)
}

fn nulls(item: &Value) -> Result<(), Problem> {
    let object = map_of(item.get("originalObj"));
    let expected = map_of(item.get("expectedWithNull"));
    same_map("nulls", &expected, &merge::only_nulls(&object))?;
    let expected = map_of(item.get("expectedWithoutNull"));
    same_map("rest", &expected, &merge::without_nulls(&object))
}

fn conflict(item: &Value) -> Result<(), Problem> {
    let null = Value::Null;
    let side = |name: &str| item.get(name).unwrap_or(&null);
    let found = merge::has_conflicts(side("A"), side("B"));
    let expected = item.get("Ret").and_then(Value::as_bool) == Some(true);
    check(
        "conflict",
        found == expected,
        expected.to_string(),
        found.to_string(),
    )
}

fn rfc6902(item: &Value) -> Result<(), Problem> {
    let patch = field(item, "patch")?;
    let found = json_patch::Patch::parse(patch).and_then(|patch| patch.apply(field_or_null(item)));
    match (found, item.get("error"), item.get("expected")) {
        (Err(_), Some(_), _) => Ok(()),
        (Ok(found), Some(error), _) => check(
            "error",
            false,
            json::to_string(error),
            json::to_string(&found),
        ),
        (found, None, Some(expected)) => same_value("document", expected, &found?),
        (found, None, None) => found.map(drop).map_err(Into::into),
    }
}

fn field_or_null(item: &Value) -> &Value {
    static NULL: Value = Value::Null;
    item.get("doc").unwrap_or(&NULL)
}
