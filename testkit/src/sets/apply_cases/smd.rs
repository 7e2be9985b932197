//! Structured merge: the cases of structured-merge-diff's own tests, and
//! scenarios that were recorded from it on the built-in schema.
//!
//! | file                    | what a case is                                   |
//! |-------------------------|--------------------------------------------------|
//! | `smd/merge.json`        | applies and updates by several managers          |
//! | `smd/typed.json`        | one operation on values or sets                  |
//! | `smd/v6.3.2/*.json`     | the same for the version that keeps emptied containers |
//! | `golden/*.jsonl`        | recorded scenarios, compared after every step    |

use std::cell::RefCell;
use std::path::Path as FilePath;
use std::sync::Arc;

use gitops_core::schema::{ObjectSchema, Schema};
use gitops_core::{Map, Str, Value, json, yaml};
use gitops_diff::smd::{
    ApplyError, Comparison, ConvertError, Duplicates, ManagedFields, Path, PathElement, Rules,
    SameVersion, Set, Typed, Versions, apply, update,
};

use super::{Differs, Problem, case, check, field, list, same_value, text};
use crate::case::Case;
use crate::sets::LoadError;

/// The cases below `dir`, the root of the set.
pub(super) fn load(dir: &FilePath) -> Result<Vec<Case>, LoadError> {
    let mut cases = Vec::new();
    for (folder, keep_emptied) in [("smd", false), ("smd/v6.3.2", true)] {
        let merge = json::parse(&std::fs::read(dir.join(folder).join("merge.json"))?)?;
        for (index, scenario) in list(&merge).iter().enumerate() {
            let scenario = scenario.clone();
            let (test, name) = (text(&scenario, "test"), text(&scenario, "case"));
            cases.push(case(
                format!("{folder}/merge/{index}/{test}/{name}"),
                move || merge_case(&scenario, keep_emptied),
            ));
        }
        let typed = json::parse(&std::fs::read(dir.join(folder).join("typed.json"))?)?;
        load_typed(folder, keep_emptied, &typed, &mut cases);
    }
    // The answers rest on client-go's schema, which leaves out empty defaults.
    let golden = json::parse(&std::fs::read(dir.join("schema/static-0.36.json"))?)?;
    let golden = Arc::new(Schema::from_definition(&golden)?);
    for (file, keep_emptied) in [("v6.3.2-k136", true), ("v6.4.2-k136", false)] {
        let lines = std::fs::read_to_string(dir.join(format!("golden/{file}.jsonl")))?;
        for line in lines.lines() {
            let scenario = json::parse(line.as_bytes())?;
            let (id, kind) = (text(&scenario, "id"), text(&scenario, "kind"));
            let schema = golden.clone();
            cases.push(case(format!("golden/{file}/{id}/{kind}"), move || {
                golden_case(&scenario, &schema, keep_emptied)
            }));
        }
    }
    Ok(cases)
}

fn same_set(what: &'static str, expected: &Set, actual: &Set) -> Result<(), Problem> {
    check(what, expected == actual, show(expected), show(actual))
}

fn show(set: &Set) -> String {
    json::to_string(&set.to_fields_v1())
}

/// `{text, value}` of the case files.
fn value_of(case: &Value, name: &str) -> Result<Value, Problem> {
    Ok(field(field(case, name)?, "value")?.clone())
}

/// A path written as a list of serialised elements.
fn path_of(elements: &Value) -> Result<Path, Problem> {
    list(elements)
        .iter()
        .map(|element| element_of(element.as_str().unwrap_or_default()))
        .collect()
}

fn element_of(name: &str) -> Result<PathElement, Problem> {
    let fields: Map = [(Str::from(name), Value::Map(Map::new()))]
        .into_iter()
        .collect();
    let paths = Set::from_fields_v1(&Value::Map(fields))?.paths();
    let element = paths.first().and_then(|path| path.0.first());
    element
        .cloned()
        .ok_or_else(|| format!("no path element: {name:?}").into())
}

/// `{set: [[element…]…]}` of the case files.
pub(super) fn set_of(value: &Value) -> Result<Set, Problem> {
    let mut set = Set::new();
    for path in list(field(value, "set")?) {
        set.insert(&path_of(path)?.0);
    }
    Ok(set)
}

fn schema_of(definition: &str) -> Result<Schema, Problem> {
    if definition == "deduced" {
        return Ok(Schema::deduced().clone());
    }
    let mut lines = definition.lines().filter(|line| !line.trim().is_empty());
    let tabs = lines.next().map_or("", |line| {
        &line[..line.len() - line.trim_start_matches('\t').len()]
    });
    let plain: Vec<&str> = definition
        .lines()
        .map(|line| line.strip_prefix(tabs).unwrap_or(line))
        .collect();
    Ok(Schema::from_definition(&yaml::parse(
        plain.join("\n").as_bytes(),
    )?)?)
}

fn type_of<'s>(schema: &'s Schema, name: &str) -> Result<ObjectSchema<'s>, Problem> {
    let root = match name {
        "" | "deduced" => Some(Schema::untyped()),
        name => schema.named(name),
    };
    match root {
        Some(root) => Ok(ObjectSchema { schema, root }),
        None => Err(format!("the schema has no type {name:?}").into()),
    }
}

/// One table of `typed.json`: its cases are run by the function.
type Run = fn(&Value, bool) -> Result<(), Problem>;

const TABLES: &[(&str, Run)] = &[
    ("merge", merge_values),
    ("symdiff", compare_values),
    ("remove", remove_paths),
    ("toset", own_paths),
    ("validate", validate),
    ("reconcile", reconcile),
    ("extract", extract_applied),
    ("extractWithKeys", extract_with_keys),
];

/// The tables that the extraction left under the name of the upstream test.
/// Those that are about Go's reflection and not about merging have no
/// counterpart.
const OTHER: &[(&str, Run)] = &[
    (
        "typed/comparison_test.go:TestComparisonExcludeFields:cases",
        exclude_fields,
    ),
    ("fieldpath/path_test.go:TestPathString:table", path_string),
    (
        "fieldpath/serialize-pe_test.go:TestPathElementRoundTrip:tests",
        element_round_trip,
    ),
    (
        "fieldpath/serialize-pe_test.go:TestDeserializePathElementError:tests",
        element_error,
    ),
    (
        "fieldpath/serialize-pe_test.go:TestDeserializePathElementSuccess:tests",
        element_reads,
    ),
    (
        "fieldpath/serialize_test.go:TestSerializeV1GoldenData:examples",
        fields_round_trip,
    ),
    (
        "fieldpath/serialize_test.go:TestDeserializeForValidNonNormalized:testCases",
        fields_normalised,
    ),
    (
        "fieldpath/serialize_test.go:TestSetFromJSONTokenTypeErrors:cases",
        fields_error,
    ),
    (
        "fieldpath/serialize_test.go:TestSetFromJSON:cases",
        fields_read,
    ),
    ("fieldpath/set_test.go:TestSetInsertHas:table", set_has),
    ("fieldpath/set_test.go:TestSetEquals:table", set_equals),
    ("fieldpath/set_test.go:TestSetLeaves:table", set_leaves),
    (
        "fieldpath/set_test.go:TestSetDifference:table",
        set_difference,
    ),
];

fn load_typed(folder: &str, keep_emptied: bool, typed: &Value, cases: &mut Vec<Case>) {
    let tables = TABLES.iter().map(|(name, run)| (vec![*name], *name, run));
    let other = OTHER.iter().map(|(name, run)| {
        let short = name.split(':').nth(1).unwrap_or(name);
        (vec!["other", *name], short, run)
    });
    for (path, short, run) in tables.chain(other) {
        let table = typed.at(&path).map(list).unwrap_or_default();
        for (index, item) in table.iter().enumerate() {
            let (item, run) = (item.clone(), *run);
            let name = text(&item, "name").replace(' ', "-");
            cases.push(case(format!("{folder}/typed/{short}/{index}/{name}"), {
                move || run(&item, keep_emptied)
            }));
        }
    }
}

fn merge_values(case: &Value, _: bool) -> Result<(), Problem> {
    let schema = schema_of(text(case, "schema"))?;
    let ty = type_of(&schema, text(case, "rootType"))?;
    let live = Typed::new(value_of(case, "lhs")?, ty, Duplicates::Allow)?;
    let config = Typed::new(value_of(case, "rhs")?, ty, Duplicates::Refuse)?;
    same_value(
        "merged",
        &value_of(case, "out")?,
        live.merge(&config)?.value(),
    )
}

fn compare_values(case: &Value, _: bool) -> Result<(), Problem> {
    let schema = schema_of(text(case, "schema"))?;
    let ty = type_of(&schema, text(case, "rootType"))?;
    let old = Typed::new(value_of(case, "lhs")?, ty, Duplicates::Allow)?;
    let new = Typed::new(value_of(case, "rhs")?, ty, Duplicates::Allow)?;
    let compared = old.compare(&new);
    same_set(
        "removed",
        &set_of(field(case, "removed")?)?,
        &compared.removed,
    )?;
    same_set(
        "modified",
        &set_of(field(case, "modified")?)?,
        &compared.modified,
    )?;
    same_set("added", &set_of(field(case, "added")?)?, &compared.added)
}

fn remove_paths(case: &Value, keep_emptied: bool) -> Result<(), Problem> {
    let schema = schema_of(text(case, "schema"))?;
    let ty = type_of(&schema, text(case, "rootType"))?;
    let object = Typed::new(value_of(case, "object")?, ty, Duplicates::Refuse)?;
    let set = set_of(field(case, "set")?)?;
    // The upstream word for an answer that the test does not look at.
    let asked = |name| {
        case.get(name)
            .is_some_and(|out| text(out, "text") != "unparseable")
    };
    if asked("removeOutput") {
        let expected = value_of(case, "removeOutput")?;
        same_value(
            "removed",
            &expected,
            object.remove(&set, keep_emptied).value(),
        )?;
    }
    if asked("extractOutput") {
        let expected = value_of(case, "extractOutput")?;
        same_value("extracted", &expected, object.extract(&set, false).value())?;
    }
    Ok(())
}

fn own_paths(case: &Value, _: bool) -> Result<(), Problem> {
    let schema = schema_of(text(case, "schema"))?;
    let ty = type_of(&schema, text(case, "rootType"))?;
    let object = Typed::new(value_of(case, "object")?, ty, Duplicates::Allow)?;
    same_set("set", &set_of(field(case, "set")?)?, &object.to_set())
}

fn validate(case: &Value, _: bool) -> Result<(), Problem> {
    let schema = schema_of(text(case, "schema"))?;
    let ty = type_of(&schema, text(case, "rootType"))?;
    let (strict, lenient) = match text(case, "expect") {
        "validObjects" => (true, true),
        "duplicatesObjects" => (false, true),
        "invalidObjects" => (false, false),
        other => return Err(format!("unknown expectation {other:?}").into()),
    };
    // What YAML itself refuses, the original counts among the invalid.
    let Ok(value) = yaml::parse(text(case, "object").as_bytes()) else {
        return check("readable", !lenient, lenient.to_string(), "false".into());
    };
    for (duplicates, expected) in [(Duplicates::Refuse, strict), (Duplicates::Allow, lenient)] {
        let found = Typed::new(value.clone(), ty, duplicates);
        let shown = found.as_ref().err().map(ToString::to_string);
        check(
            "valid",
            found.is_ok() == expected,
            format!("{expected} with {duplicates:?}"),
            shown.unwrap_or_else(|| "valid".into()),
        )?;
    }
    Ok(())
}

fn reconcile(case: &Value, _: bool) -> Result<(), Problem> {
    let schema = schema_of(text(case, "newSchema"))?;
    let ty = type_of(&schema, text(case, "rootTypeName"))?;
    let live = yaml::parse(text(case, "liveObject").as_bytes())?;
    let live = Typed::new(live, ty, Duplicates::Refuse)?;
    let old = set_of(field(case, "oldFields")?)?;
    let expected = match field(case, "fixedFields")? {
        Value::Null => old.clone(),
        fixed => set_of(fixed)?,
    };
    same_set("reconciled", &expected, &live.reconcile(&old))
}

/// What was applied can be extracted again.
fn extract_applied(case: &Value, _: bool) -> Result<(), Problem> {
    let schema = schema_of(text(case, "schema"))?;
    let ty = type_of(&schema, text(case, "rootType"))?;
    let live = Typed::new(value_of(case, "object")?, ty, Duplicates::Refuse)?;
    let config = yaml::parse(text(case, "pso").as_bytes())?;
    let config = Typed::new(config, ty, Duplicates::Refuse)?;
    let set = config.to_set().leaves();
    let extracted = live.merge(&config)?.extract(&set, false);
    same_value("extracted", config.value(), extracted.value())
}

fn extract_with_keys(case: &Value, _: bool) -> Result<(), Problem> {
    let schema = schema_of(text(case, "schema"))?;
    let ty = type_of(&schema, text(case, "rootType"))?;
    let object = Typed::new(value_of(case, "object")?, ty, Duplicates::Refuse)?;
    let set = set_of(field(case, "set")?)?;
    let expected = match field(case, "wantOutput")? {
        wrapped if wrapped.get("text").is_some() => value_of(case, "wantOutput")?,
        plain => plain.clone(),
    };
    same_value("extracted", &expected, object.extract(&set, true).value())
}

fn comparison_of(value: &Value) -> Result<Comparison, Problem> {
    Ok(Comparison {
        removed: set_of(field(value, "Removed")?)?,
        modified: set_of(field(value, "Modified")?)?,
        added: set_of(field(value, "Added")?)?,
    })
}

fn exclude_fields(case: &Value, _: bool) -> Result<(), Problem> {
    let found = comparison_of(field(case, "Comparison")?)?;
    let expected = comparison_of(field(case, "Expect")?)?;
    let found = match case.get("Remove") {
        None | Some(Value::Null) => found,
        Some(ignored) => found.without(&set_of(ignored)?),
    };
    let shown = |comparison: &Comparison| format!("{comparison:?}");
    check(
        "comparison",
        found == expected,
        shown(&expected),
        shown(&found),
    )
}

fn path_string(case: &Value, _: bool) -> Result<(), Problem> {
    let (expected, path) = (
        text(case, "expect"),
        path_of(field(case, "fp")?)?.to_string(),
    );
    check("text", path == expected, expected.into(), path)
}

/// How the text of an element is written after it was read.
fn rewritten(name: &str) -> Result<String, Problem> {
    let mut set = Set::new();
    set.insert(&[element_of(name)?]);
    match set
        .to_fields_v1()
        .as_map()
        .and_then(|map| map.keys().next())
    {
        Some(name) => Ok(name.as_str().to_owned()),
        None => Err("nothing was written".into()),
    }
}

fn element_round_trip(case: &Value, _: bool) -> Result<(), Problem> {
    // With the Go expression that it stands for, or alone.
    let name = list(case).first().unwrap_or(case);
    let name = name.as_str().unwrap_or_default();
    let written = rewritten(name)?;
    check("element", written == name, name.into(), written)
}

fn element_reads(case: &Value, _: bool) -> Result<(), Problem> {
    let name = list(case)
        .first()
        .and_then(Value::as_str)
        .unwrap_or_default();
    let written = rewritten(name)?;
    let plain: String = name.split_once(':').map_or("", |(_, rest)| rest).into();
    let (expected, found) = (
        json::parse(plain.as_bytes())?,
        json::parse(&written.as_bytes()[2..])?,
    );
    same_value("element", &expected, &found)
}

fn element_error(case: &Value, _: bool) -> Result<(), Problem> {
    let name = case.as_str().unwrap_or_default();
    match element_of(name) {
        Err(_) => Ok(()),
        Ok(element) => check("element", false, "an error".into(), element.to_string()),
    }
}

fn read(fields: &str) -> Result<Set, Problem> {
    Ok(Set::from_fields_v1(&json::parse(fields.as_bytes())?)?)
}

fn fields_round_trip(case: &Value, _: bool) -> Result<(), Problem> {
    let fields = case.as_str().unwrap_or_default();
    same_value(
        "fields",
        &json::parse(fields.as_bytes())?,
        &read(fields)?.to_fields_v1(),
    )
}

fn fields_normalised(case: &Value, _: bool) -> Result<(), Problem> {
    let expected = json::parse(text(case, "normalizedString").as_bytes())?;
    let found = read(text(case, "nonNormalizedString"))?;
    same_value("fields", &expected, &found.to_fields_v1())
}

fn fields_error(case: &Value, _: bool) -> Result<(), Problem> {
    match read(text(case, "input")) {
        Err(_) => Ok(()),
        Ok(set) => check("fields", false, "an error".into(), show(&set)),
    }
}

fn fields_read(case: &Value, _: bool) -> Result<(), Problem> {
    read(text(case, "input")).map(|_| ())
}

fn set_has(case: &Value, _: bool) -> Result<(), Problem> {
    let set = set_of(field(case, "set")?)?;
    let found = set.has(&path_of(field(case, "check")?)?.0);
    let expected = case.get("expectMembership").and_then(Value::as_bool);
    check(
        "member",
        expected == Some(found),
        format!("{expected:?}"),
        found.to_string(),
    )
}

fn set_equals(case: &Value, _: bool) -> Result<(), Problem> {
    let (a, b) = (set_of(field(case, "a")?)?, set_of(field(case, "b")?)?);
    let expected = case.get("equal").and_then(Value::as_bool) == Some(true);
    check("equal", (a == b) == expected, show(&a), show(&b))
}

fn set_leaves(case: &Value, _: bool) -> Result<(), Problem> {
    let found = set_of(field(case, "input")?)?.leaves();
    same_set("leaves", &set_of(field(case, "expected")?)?, &found)
}

fn set_difference(case: &Value, _: bool) -> Result<(), Problem> {
    let (a, b) = (set_of(field(case, "a")?)?, set_of(field(case, "b")?)?);
    let expected = set_of(field(case, "expectDifference")?)?;
    same_set("difference", &expected, &a.difference(&b))?;
    let expected = set_of(field(case, "expectRecursiveDifference")?)?;
    same_set(
        "recursive difference",
        &expected,
        &a.recursive_difference(&b),
    )
}

/// The conversions between versions that the upstream tests bring along.
enum Converter<'s> {
    Identity,
    /// The suffix of field names is the version.
    Renaming(&'s Schema),
    /// A name of one letter is repeated as often as the version's number says.
    Repeating(ObjectSchema<'s>),
    /// One field is called otherwise in each version, and v1 needs it.
    Reliant(&'s Schema),
    /// Versions come and go.
    Accepting(RefCell<Vec<Str>>),
}

fn missing<T>(version: &str) -> Result<T, ConvertError> {
    Err(ConvertError::Missing(version.into()))
}

fn failed<T>(version: &str, problem: impl ToString) -> Result<T, ConvertError> {
    Err(ConvertError::Failed {
        api_version: version.into(),
        problem: problem.to_string(),
    })
}

impl<'s> Versions<'s> for Converter<'s> {
    fn convert(&self, object: &Typed<'s>, version: &str) -> Result<Typed<'s>, ConvertError> {
        let checked = |value, schema, version: &str| {
            Typed::new(value, schema, Duplicates::Refuse).or_else(|error| failed(version, error))
        };
        let known = |schema: &'s Schema| match type_of(schema, version) {
            Ok(ty) => Ok(ty),
            Err(error) => failed(version, error),
        };
        // The name of the object's type, which is its version.
        let spoken = |schema: &'s Schema| {
            ["v1", "v2", "v3", "v4"]
                .into_iter()
                .find(|name| schema.named(name) == Some(object.schema().root))
                .unwrap_or_default()
        };
        match self {
            Converter::Identity if version.is_empty() => failed(version, "no version"),
            Converter::Identity => Ok(object.clone()),
            Converter::Accepting(accepted) => {
                match accepted.borrow().iter().any(|known| known == version) {
                    true => Ok(object.clone()),
                    false => missing(version),
                }
            }
            Converter::Renaming(schema) => {
                let value = renamed(object.value(), spoken(schema), version);
                checked(value, known(schema)?, version)
            }
            Converter::Repeating(ty) => {
                let Some(Ok(times)) = version.strip_prefix('v').map(str::parse) else {
                    return missing(version);
                };
                checked(repeated_below(object.value(), times), *ty, version)
            }
            Converter::Reliant(schema) => {
                let text = json::to_string(object.value());
                let text = match (spoken(schema), version) {
                    (from, to) if from == to => return Ok(object.clone()),
                    (_, "v1") if !text.contains("required_field_bar") => {
                        return failed(version, "required_field_bar is missing");
                    }
                    (_, "v1") => text.replace("required_field_bar", "field_foo_rely_on_bar"),
                    (_, "v2") => text.replace("field_foo_rely_on_bar", "required_field_bar"),
                    _ => return missing(version),
                };
                match json::parse(text.as_bytes()) {
                    Ok(value) => checked(value, known(schema)?, version),
                    Err(error) => failed(version, error),
                }
            }
        }
    }
}

fn renamed(value: &Value, from: &str, to: &str) -> Value {
    match value {
        Value::Map(map) => Value::Map(
            map.iter()
                .map(|(name, value)| {
                    let name = match name.strip_suffix(from) {
                        Some(stem) => Str::from(format!("{stem}{to}")),
                        None => name.clone(),
                    };
                    (name, renamed(value, from, to))
                })
                .collect(),
        ),
        Value::List(items) => items.iter().map(|item| renamed(item, from, to)).collect(),
        scalar => scalar.clone(),
    }
}

/// The original rewrites the lines of the object's YAML: of the first field
/// every line below becomes its first letter, repeated, and scalars are lost.
fn repeated_below(value: &Value, times: usize) -> Value {
    let Some((name, first)) = value.as_map().and_then(|map| map.iter().next()) else {
        return value.clone();
    };
    let below = match first {
        Value::Map(below) if !below.is_empty() => repeated(below, times),
        scalar => scalar.clone(),
    };
    Value::Map([(name.clone(), below)].into_iter().collect())
}

fn repeated(map: &Map, times: usize) -> Value {
    let fields = map.iter().map(|(name, value)| {
        let letter: String = name.chars().take(1).collect();
        let below = match value {
            Value::Map(below) if !below.is_empty() => repeated(below, times),
            _ => Value::Null,
        };
        (Str::from(letter.repeat(times)), below)
    });
    Value::Map(fields.collect())
}

/// Apply and update by several managers; the object and its owners are
/// compared at the end.
fn merge_case(case: &Value, keep_emptied: bool) -> Result<(), Problem> {
    // Every schema of the case, the first for its start.
    let mut schemas = vec![schema_of(text(case, "schema"))?];
    let ops = list(field(case, "ops")?);
    for op in ops.iter().filter(|op| text(op, "op") == "changeSchema") {
        schemas.push(schema_of(text(op, "schema"))?);
    }
    let result = scenario(case, ops, &schemas, keep_emptied);
    if case.get("expectError").and_then(Value::as_bool) == Some(true) {
        return check("error", result.is_err(), "an error".into(), "none".into());
    }
    result
}

fn scenario(
    case: &Value,
    ops: &[Value],
    schemas: &[Schema],
    keep_emptied: bool,
) -> Result<(), Problem> {
    let mut later = schemas.iter();
    let mut schema = later.next().ok_or("no schema")?;
    let root_type = text(case, "rootType");
    let type_name = |version: &str| match root_type {
        "apiVersion-named" => version.to_owned(),
        name => name.to_owned(),
    };
    let converter = match text(case, "converter") {
        "identity" => Converter::Identity,
        "acceptOnly" => Converter::Accepting(RefCell::default()),
        "repeatingConverter{nestedTypeParser}" => Converter::Repeating(type_of(schema, root_type)?),
        "converter" if text(case, "test") == "TestMultipleAppliersReliantFieldsConversions" => {
            Converter::Reliant(schema)
        }
        "converter" => Converter::Renaming(schema),
        other => return Err(format!("unknown converter {other:?}").into()),
    };
    let ignored = ignored_of(case)?;
    let rules = Rules {
        versions: &converter,
        ignored: &|version: &str| {
            let found = ignored.iter().find(|(name, _)| name == version);
            found.map(|(_, set)| set)
        },
        keep_emptied,
    };
    let mut live: Option<Typed<'_>> = None;
    let mut managers = ManagedFields::new();
    for (index, op) in ops.iter().enumerate() {
        let kind = text(op, "op");
        let (manager, version) = (text(op, "manager"), text(op, "apiVersion"));
        match kind {
            "setAcceptedVersions" => {
                if let Converter::Accepting(accepted) = &converter {
                    let versions = list(field(op, "versions")?).iter();
                    *accepted.borrow_mut() =
                        versions.filter_map(Value::as_str).map(Str::from).collect();
                }
                continue;
            }
            "changeSchema" => {
                schema = later.next().ok_or("no schema")?;
                if let Some(live) = &mut live {
                    let ty = type_of(schema, &type_name("v1"))?;
                    *live = Typed::new(live.value().clone(), ty, Duplicates::Refuse)?;
                }
                continue;
            }
            _ => {}
        }
        let ty = type_of(schema, &type_name(version))?;
        let duplicates = match kind {
            "update" => Duplicates::Allow,
            _ => Duplicates::Refuse,
        };
        let mut object = Typed::new(value_of(op, "object")?, ty, duplicates)?;
        let first = live.is_none();
        let current = match &live {
            Some(live) => live.clone(),
            None => Typed::new(Value::Null, ty, Duplicates::Refuse)?,
        };
        let current = converter.convert(&current, version)?;
        if kind == "update" {
            update(&current, &object, version, &mut managers, manager, &rules)?;
            live = Some(object);
            continue;
        }
        if kind == "extractApply" && !first {
            let owned = managers.get(manager).map(|owned| owned.set.leaves());
            let extracted = current.extract(&owned.unwrap_or_default(), false);
            object = extracted.merge(&object)?;
        }
        let mut after = managers.clone();
        let force = kind != "apply";
        let applied = apply(
            &current, &object, version, &mut after, manager, force, &rules,
        );
        match (applied, op.get("conflicts")) {
            (Err(ApplyError::Conflicts(found)), Some(expected)) => {
                let found = found.0.iter();
                let mut found: Vec<String> = found
                    .map(|conflict| format!("{} {}", conflict.manager, conflict.path))
                    .collect();
                let mut expected = list(expected)
                    .iter()
                    .map(|conflict| {
                        let path = path_of(field(conflict, "path")?)?;
                        Ok(format!("{} {path}", text(conflict, "manager")))
                    })
                    .collect::<Result<Vec<String>, Problem>>()?;
                found.sort();
                expected.sort();
                check(
                    "conflicts",
                    found == expected,
                    expected.join(", "),
                    found.join(", "),
                )?;
                live = Some(current);
            }
            (Err(error), _) => return Err(format!("operation {index}: {error}").into()),
            (Ok(_), Some(expected)) if !list(expected).is_empty() => {
                check("conflicts", false, json::to_string(expected), "none".into())?;
            }
            (Ok(applied), _) => {
                managers = after;
                live = Some(applied.unwrap_or(current));
            }
        }
    }
    if case.get("expectObject").is_some() {
        let version = text(case, "apiVersion");
        let ty = type_of(schema, &type_name(version))?;
        let live = match live {
            Some(live) => converter.convert(&live, version)?,
            None => Typed::new(Value::Null, ty, Duplicates::Refuse)?,
        };
        same_value("object", &value_of(case, "expectObject")?, live.value())?;
    }
    if let Some(Value::Map(expected)) = case.get("expectManaged") {
        same_managers(expected, &managers)?;
        for (name, expected) in expected {
            let owned = &managers[name];
            let set = Set::from_fields_v1(field(expected, "fieldsV1")?)?;
            same_set("owned", &set, &owned.set)?;
            let version = text(expected, "apiVersion");
            let found = owned.api_version.to_string();
            check("version", found == version, version.into(), found)?;
        }
    }
    let empty = managers.iter().find(|(_, owned)| owned.set.is_empty());
    check(
        "a manager that owns nothing",
        empty.is_none(),
        "none".into(),
        empty.map_or(String::new(), |(name, _)| name.to_string()),
    )
}

/// The paths that nobody owns, by version.
fn ignored_of(case: &Value) -> Result<Vec<(Str, Set)>, Problem> {
    let mut ignored = Vec::new();
    for (name, key) in [("IgnoredFields", "$set"), ("IgnoreFilter", "$excludeSet")] {
        let Some(Value::Map(versions)) = case.get(name) else {
            continue;
        };
        for (version, paths) in versions {
            let mut set = Set::new();
            for path in list(field(paths, key)?) {
                set.insert(&path_of(path)?.0);
            }
            ignored.push((version.clone(), set));
        }
    }
    Ok(ignored)
}

/// A recorded scenario on a built-in kind: after every step the object, the
/// owners and their fields.
fn golden_case(case: &Value, schema: &Schema, keep_emptied: bool) -> Result<(), Problem> {
    let (name, version) = (text(case, "type"), text(case, "apiVersion"));
    let schema = match name {
        "deduced" => Schema::deduced(),
        _ => schema,
    };
    let ty = type_of(schema, name)?;
    let rules = Rules {
        versions: &SameVersion,
        ignored: &|_| None,
        keep_emptied,
    };
    let mut live = Typed::trusted(Value::Null, ty);
    let mut managers = ManagedFields::new();
    for (index, step) in list(field(case, "steps")?).iter().enumerate() {
        let at = |problem: Problem| -> Problem {
            match problem.downcast::<Differs>() {
                Ok(mut differs) => {
                    differs.actual = format!("step {index}: {}", differs.actual);
                    differs
                }
                Err(problem) => format!("step {index}: {problem}").into(),
            }
        };
        golden_step(step, ty, version, &rules, &mut live, &mut managers).map_err(at)?;
    }
    Ok(())
}

fn golden_step<'s>(
    step: &Value,
    ty: ObjectSchema<'s>,
    version: &str,
    rules: &Rules<'_, 's>,
    live: &mut Typed<'s>,
    managers: &mut ManagedFields,
) -> Result<(), Problem> {
    let (kind, manager) = (text(step, "op"), text(step, "manager"));
    let duplicates = match kind {
        "update" => Duplicates::Allow,
        _ => Duplicates::Refuse,
    };
    let object = match (
        Typed::new(field(step, "object")?.clone(), ty, duplicates),
        step.get("typedError"),
    ) {
        (Err(error), Some(expected)) => {
            let (expected, found) = (expected.as_str().unwrap_or_default(), error.to_string());
            return check("error", expected == found, expected.into(), found);
        }
        (Err(error), None) => return Err(error.into()),
        (Ok(_), Some(expected)) => {
            return check("error", false, json::to_string(expected), "none".into());
        }
        (Ok(object), None) => object,
    };
    if kind == "update" {
        update(live, &object, version, managers, manager, rules)?;
        *live = object;
    } else {
        let mut after = managers.clone();
        let force = kind == "force";
        let applied = apply(live, &object, version, &mut after, manager, force, rules);
        if let Some(expected) = step.get("conflicts") {
            let Err(ApplyError::Conflicts(found)) = &applied else {
                return check("conflicts", false, json::to_string(expected), "none".into());
            };
            let found: Value = found
                .0
                .iter()
                .map(|conflict| Value::from(format!("{} {}", conflict.manager, conflict.path)))
                .collect();
            return same_value("conflicts", expected, &found);
        }
        let applied = applied?;
        let noop = step.get("noop").and_then(Value::as_bool) == Some(true);
        check(
            "changed nothing",
            applied.is_none() == noop,
            noop.to_string(),
            applied.is_none().to_string(),
        )?;
        *managers = after;
        if let Some(applied) = applied {
            *live = applied;
        }
    }
    if let Some(expected) = step.get("live") {
        same_value("object", expected, live.value())?;
    }
    let expected = field(step, "managers")?.as_map().ok_or("no managers")?;
    same_managers(expected, managers)?;
    for (name, expected) in expected {
        let owned = &managers[name];
        // Compared as JSON, not as text: a value's map is sorted by name,
        // upstream writes the elements in their own order.
        let fields = json::parse(text(expected, "fieldsV1").as_bytes())?;
        same_value("owned", &fields, &owned.set.to_fields_v1())?;
        let applied = expected.get("applied").and_then(Value::as_bool);
        check(
            "applied",
            applied == Some(owned.applied),
            format!("{applied:?}"),
            owned.applied.to_string(),
        )?;
    }
    Ok(())
}

/// Whether there are the managers that are expected, and no others.
fn same_managers(expected: &Map, managers: &ManagedFields) -> Result<(), Problem> {
    let names: Vec<&Str> = expected.keys().collect();
    let found: Vec<&Str> = managers.keys().collect();
    check(
        "managers",
        names == found,
        format!("{names:?}"),
        format!("{found:?}"),
    )
}
