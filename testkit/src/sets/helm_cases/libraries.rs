//! The libraries below Helm, through the public modules that follow them.

use gitops_core::semver::{Constraint, Version};
use gitops_core::{Map, json, yaml};
use gitops_render::glob::Glob;
use gitops_render::gotmpl::{Args, Context, Failure as Failed, File, Function, Functions, Type};
use gitops_render::helm::strvals::{self as reader, Flavour};
use serde_json::Value;

use super::{Answer, compare, same, text, values};
use crate::sets::Set;

/// Go's table of templates that parse, and that do not.
pub(super) fn parse(set: &mut Set, name: &str, case: Value) {
    match text(&case, "group") {
        _ if text(&case, "name").ends_with("exceeds limit") => {
            set.leave_out("text/template: limits that Go lowers for its tests");
        }
        "parseTests" | "errorTests" => set.push(name, move || {
            let parsed = File::parse(
                text(&case, "name"),
                text(&case, "input").to_owned().into(),
                &functions(),
            );
            let actual: Answer = match parsed {
                Ok(file) => Ok(file
                    .templates()
                    .last()
                    .map(ToString::to_string)
                    .unwrap_or_default()),
                Err(error) => Err(error.to_string()),
            };
            let wanted = match case["ok"].as_bool() {
                Some(true) => Ok(text(&case, "result").to_owned()),
                _ => Err(text(&case, "err").to_owned()),
            };
            compare(&wanted, &actual)
        }),
        "numberTests" => set.leave_out("text/template: the reader of numbers is not public"),
        _ => set.leave_out("text/template: the lexer is not public"),
    }
}

/// The names that Go's parser tests know.
fn functions() -> Functions {
    fn nothing(
        _: &mut Context<'_>,
        _: &mut Args<'_>,
    ) -> Result<gitops_render::gotmpl::Value, Failed> {
        Err(Failed::new("only parsed"))
    }
    static NAMES: &[Function] = &[
        Function::variadic("contains", &[Type::Any], Type::Any, nothing),
        Function::variadic("printf", &[Type::Any], Type::Any, nothing),
    ];
    Functions::new(&[NAMES])
}

/// Versions and ranges.
pub(super) fn semver(set: &mut Set, name: &str, case: Value) {
    let group = text(&case, "group").to_owned();
    match group.as_str() {
        "TestConstraintCheck" | "TestConstraintsCheck" | "TestConstraintsValidate"
            if case.get("check").is_some() =>
        {
            set.push(name, move || {
                let range = Constraint::parse(text(&case, "constraint"));
                let version = Version::parse(text(&case, "version"));
                let inside =
                    matches!((range, version), (Ok(range), Ok(version)) if range.matches(&version));
                same(&case["check"].as_bool().unwrap_or(false), &inside)
            });
        }
        "TestConstraintsValidate" => set.push(name, move || {
            let range = Constraint::parse(text(&case, "constraint"));
            let version = Version::parse(text(&case, "version"));
            let inside =
                matches!((range, version), (Ok(range), Ok(version)) if range.matches(&version));
            same(&text(&case, "msg").is_empty(), &inside)
        }),
        "TestParseConstraint" | "TestNewConstraint" => set.push(name, move || {
            let input = case.get("in").or(case.get("input"));
            let input = input.and_then(Value::as_str).unwrap_or_default();
            let failed = Constraint::parse(input).is_err();
            same(&case["err"].as_bool().unwrap_or(false), &failed)
        }),
        "TestNewVersion" => set.push(name, move || {
            let failed = Version::parse(text(&case, "version")).is_err();
            same(&case["err"].as_bool().unwrap_or(false), &failed)
        }),
        "TestNewVersionCheckError" => set.push(name, move || {
            let wanted = case["wantErr"]["s"].as_str().map(str::to_owned);
            let actual = Version::parse(text(&case, "version")).err();
            let actual = actual.map(|error| error.to_string());
            // Half of the table was written without details.
            if wanted.as_deref() == Some("invalid semantic version") {
                return same(&true, &actual.is_some());
            }
            same(&wanted, &actual)
        }),
        "TestOriginal" => set.push(name, move || {
            let version = text(&case, "value");
            let original = Version::parse(version).map(|version| version.original.to_string());
            same(
                &Ok(version.to_owned()),
                &original.map_err(|error| error.to_string()),
            )
        }),
        "TestCoerceString" => set.push(name, move || {
            let shown = Version::parse(text(&case, "version")).map(|version| version.to_string());
            same(
                &Ok(text(&case, "expected").to_owned()),
                &shown.map_err(|error| error.to_string()),
            )
        }),
        "TestCompare"
        | "TestLessThan"
        | "TestLessThanEqual"
        | "TestGreaterThan"
        | "TestGreaterThanEqual" => set.push(name, move || {
            let parse = |key| Version::parse(text(&case, key)).map_err(|error| error.to_string());
            let order = parse("v1").and_then(|a| Ok(a.cmp(&parse("v2")?)));
            let actual = order.map(|order| match group.as_str() {
                "TestCompare" => Value::from(order as i8),
                "TestLessThan" => Value::from(order.is_lt()),
                "TestLessThanEqual" => Value::from(order.is_le()),
                "TestGreaterThan" => Value::from(order.is_gt()),
                _ => Value::from(order.is_ge()),
            });
            same(&Ok(case["expected"].clone()), &actual)
        }),
        "FuzzNewConstraint" => set.push(name, move || {
            // Reading it must end.
            let _ = Constraint::parse(text(&case, "value"));
            Ok(())
        }),
        "FuzzNewVersion" => set.push(name, move || {
            let _ = Version::parse(text(&case, "value"));
            Ok(())
        }),
        _ => set.leave_out("semver: methods that neither Helm nor its templates call"),
    }
}

/// The readers of `--set` and its relatives.
pub(super) fn strvals(set: &mut Set, name: &str, case: Value) {
    let flavour = match text(&case, "group") {
        group if group.starts_with("TestParseLiteral") => Flavour::Literal,
        // The second half of this table is of `ParseString`, and does not say so.
        "TestParseSet" if only_text(&case["expect"]) => Flavour::Text,
        "TestParseSet" | "TestParseInto" | "TestParseSetNestedLevels" => Flavour::Typed,
        "TestParseIntoString" => Flavour::Text,
        "TestParseJSON" => Flavour::Json,
        _ => return set.leave_out("strvals: functions inside Helm's reader"),
    };
    let kind = match flavour {
        Flavour::Literal => 0,
        Flavour::Typed => 1,
        Flavour::Text => 2,
        _ => 3,
    };
    set.push(name, move || {
        let flavour = match kind {
            0 => Flavour::Literal,
            1 => Flavour::Typed,
            2 => Flavour::Text,
            _ => Flavour::Json,
        };
        let mut into = match case.get("got") {
            Some(Value::Object(_)) => match json::parse(case["got"].to_string().as_bytes()) {
                Ok(gitops_core::Value::Map(map)) => map,
                _ => Map::new(),
            },
            _ => Map::new(),
        };
        let inputs = ["str", "input", "input2"].map(|key| text(&case, key));
        let mut outcome = Ok(());
        for input in inputs.iter().filter(|input| !input.is_empty()) {
            outcome = outcome.and_then(|()| reader::parse_into(input, &flavour, &mut into));
        }
        if case["err"].as_bool() == Some(true) {
            return match (outcome, text(&case, "errStr")) {
                (Err(_), "") => Ok(()),
                (Err(error), wanted) => compare(&Err(wanted.to_owned()), &Err(error)),
                (Ok(()), wanted) => compare(&Err(wanted.to_owned()), &Ok(shown(into))),
            };
        }
        let wanted = shown(values(&case["expect"]));
        compare(&Ok(wanted), &outcome.map(|()| shown(into)))
    });
}

fn only_text(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.values().all(only_text),
        Value::Array(items) => items.iter().all(only_text),
        other => other.is_string(),
    }
}

/// Numbers compare as they print.
fn shown(map: Map) -> String {
    json::to_string(&gitops_core::Value::Map(map))
}

/// Patterns of file names.
pub(super) fn glob(set: &mut Set, name: &str, case: Value) {
    let separators = case["delimiters"].as_array().cloned().unwrap_or_default();
    let mut separators = separators
        .iter()
        .filter_map(Value::as_u64)
        .filter_map(|code| char::from_u32(u32::try_from(code).ok()?));
    let (separator, more) = (separators.next(), separators.next());
    if more.is_some() {
        return set.leave_out("glob: several separators, which Helm never has");
    }
    set.push(name, move || {
        let matches = Glob::new(text(&case, "pattern"), separator)
            .is_ok_and(|glob| glob.matches(text(&case, "match")));
        same(&case["should"].as_bool().unwrap_or(false), &matches)
    });
}

/// go-yaml's documents whose Go values JSON can say.
pub(super) fn go_yaml(set: &mut Set, name: &str, case: Value) {
    let group = text(&case, "group").split('/').next().unwrap_or_default();
    let typed = case["go_types"]["value"].as_str().unwrap_or_default();
    if case["value"].to_string().contains("{\"$") || text(&case, "data").contains("-0b1000") {
        return set.leave_out("go-yaml: values that JSON has no text for");
    }
    // `json.Number` is a text in the table.
    if text(&case, "group").ends_with("/73") || text(&case, "group").ends_with("/74") {
        return set.leave_out("go-yaml: Go types that no manifest has");
    }
    let untyped = matches!(
        typed,
        "map[string]interface {}"
            | "map[interface {}]interface {}"
            | "map[string]string"
            | "map[string]int"
    );
    match group {
        "TestUnmarshal" | "TestDecoderSingleDocument"
            if matches!(
                typed,
                "map[string]interface {}" | "map[interface {}]interface {}"
            ) =>
        {
            set.push(name, move || {
                let parsed = yaml::parse(text(&case, "data").as_bytes());
                let actual = parsed
                    .map(|value| json::to_string(&value))
                    .map_err(|error| error.to_string());
                compare(&Ok(shown(values(&case["value"]))), &actual)
            });
        }
        "TestMarshal" | "TestEncoderSingleDocument" if untyped => set.push(name, move || {
            let value = json::parse(case["value"].to_string().as_bytes());
            let actual = value
                .map_err(|error| error.to_string())
                .and_then(|value| yaml::to_string(&value).map_err(|error| error.to_string()));
            compare(&Ok(text(&case, "data").to_owned()), &actual)
        }),
        "TestFuzzCrashers" => set.push(name, move || {
            // Reading it must end.
            let _ = yaml::parse(text(&case, "value").as_bytes());
            Ok(())
        }),
        _ => set.leave_out("go-yaml: Go types that no manifest has"),
    }
}

/// `sigs.k8s.io/yaml`: YAML to JSON.
pub(super) fn sigs_yaml(set: &mut Set, name: &str, case: Value) {
    match text(&case, "group").split('/').next().unwrap_or_default() {
        "testYAMLToJSON" => set.push(name, move || {
            // 2 stands for an error, of the reader that refuses duplicates.
            let fails = case["err"].as_i64() == Some(2);
            let options = yaml::Options {
                duplicate_keys: match fails {
                    true => yaml::DuplicateKeys::Error,
                    false => yaml::DuplicateKeys::LastWins,
                },
                ..yaml::Options::default()
            };
            let parsed = yaml::parse_with(text(&case, "yaml").as_bytes(), &options);
            if fails {
                return same(&true, &parsed.is_err());
            }
            // Compared as values: the table escapes what need not be.
            let shown = |text: &str| {
                json::parse(text.as_bytes())
                    .map(|value| json::to_string(&value))
                    .map_err(|error| error.to_string())
            };
            let actual = parsed
                .map_err(|error| error.to_string())
                .map(|value| json::to_string(&value));
            compare(&shown(text(&case, "json")), &actual)
        }),
        "TestErrors" => set.push(name, move || {
            let problem = yaml::parse(text(&case, "Data").as_bytes()).err();
            let problem = problem.map(|error| error.to_string()).unwrap_or_default();
            same(&true, &problem.starts_with(text(&case, "YAMLToJSONPrefix")))
        }),
        _ => set.leave_out("sigs.k8s.io/yaml: Go types that no manifest has"),
    }
}
