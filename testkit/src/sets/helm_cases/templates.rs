//! Single templates: what they print, or why they do not.

use std::sync::Arc;

use gitops_core::Map;
use gitops_render::helm::Profile;
use serde_json::{Value, json};

use super::{Answer, Table, compare, load_chart, notes, options, text, tree, values};
use crate::sets::Set;

/// Where the template of a case lies; only notes are not taken for documents.
const HERE: &str = "t/templates/NOTES.txt";
const THERE: &str = "t/templates/t.yaml";

/// A template executed by Helm's engine, with its error in either Helm's words.
pub(super) fn oracle(set: &mut Set, name: &str, case: Value, table: &Arc<Table>) {
    let of_map = ["keys", "values"]
        .iter()
        .any(|function| text(&case, "tpl").contains(&format!(":= {function} ")));
    if of_map && text(&case, "out").contains("\",\"") | text(&case, "out").contains("\",1") {
        return set.leave_out("the order of a Go map");
    }
    let case = Arc::new(case);
    let (four, shared) = (case.clone(), table.clone());
    let table = table.clone();
    set.push(&format!("{name}/helm3"), move || {
        compare(&expected(&case), &run(&case, &table, Profile::Helm3_21))
    });
    set.push(&format!("{name}/helm4"), move || {
        let answer = match four.get("helm4") {
            Some(answer) => expected(answer),
            None => expected(&four),
        };
        compare(&answer, &run(&four, &shared, Profile::Helm4_2))
    });
}

fn expected(answer: &Value) -> Answer {
    match answer.get("err").and_then(Value::as_str) {
        Some(error) => Err(error.to_owned()),
        None => Ok(text(answer, "out").to_owned()),
    }
}

fn run(case: &Value, table: &Table, profile: Profile) -> Answer {
    let data = match case.get("values") {
        Some(own) => values(own),
        None => values(&table.values),
    };
    let kube_version = table.environment["kubeVersion"]
        .as_str()
        .unwrap_or("v1.36.0");
    let files = case["files"].as_object().into_iter().flatten();
    let files =
        files.map(|(path, contents)| (path.as_str(), contents.as_str().unwrap_or_default()));
    let bare = case["dot"].as_bool().unwrap_or(false);
    render(text(case, "tpl"), files, data, bare, profile, kube_version)
}

/// Executes a template in a chart of its own; `bare` has it see the values as
/// its dot.
fn render<'f>(
    template: &'f str,
    files: impl Iterator<Item = (&'f str, &'f str)>,
    data: Map,
    bare: bool,
    profile: Profile,
    kube_version: &str,
) -> Answer {
    let chart = "apiVersion: v2\nname: t\nversion: 0.1.0\nappVersion: 1.2.3\n";
    let mut all = vec![("Chart.yaml".to_owned(), chart)];
    if bare {
        let call = "{{ template \"t/templates/_raw.tpl\" .Values }}";
        all.push(("templates/NOTES.txt".to_owned(), call));
        all.push(("templates/_raw.tpl".to_owned(), template));
    } else {
        all.push(("templates/NOTES.txt".to_owned(), template));
    }
    all.extend(files.map(|(path, contents)| (path.to_owned(), contents)));
    let chart = load_chart(&tree(all)?)?;
    match notes(&chart, &options(profile, data, kube_version)) {
        Ok(text) => Ok(text.replace(HERE, THERE)),
        Err(text) => Err(text.replace(HERE, THERE)),
    }
}

/// A template without a chart around it.
fn alone(template: &str, data: Map) -> Answer {
    render(
        template,
        std::iter::empty(),
        data,
        true,
        Profile::Helm3_21,
        "v1.36.0",
    )
    .map_err(|error| error.replace("t/templates/_raw.tpl", "test"))
}

/// Sprig's own tests.
pub(super) fn sprig(set: &mut Set, name: &str, case: Value) {
    let group = text(&case, "group");
    let (test, input) = group.split_once('/').unwrap_or((group, ""));
    let (template, data, answer): (String, Value, Answer) = match test {
        "runtv" | "runRaw" => {
            let template = text(&case, "tpl").to_owned();
            let answer = match text(&case, "err") {
                "" if test == "runRaw" => Ok(text(&case, "got").to_owned()),
                "" => Ok(text(&case, "expect").to_owned()),
                error => Err(error.to_owned()),
            };
            (template, case["vars"].clone(), answer)
        }
        "TestContains" | "TestTrim" => {
            let answer = if test == "TestTrim" { "5.00" } else { "1" };
            let template = text(&case, "value").to_owned();
            (template, Value::Null, Ok(answer.into()))
        }
        "TestMustRegexFindAll" => regex(&case, "mustRegexFindAll .regex .s (int .n) | len"),
        "TestMustRegexFindl" => regex(&case, "mustRegexFind .regex .s"),
        "TestMustRegexReplaceAll" => regex(&case, "mustRegexReplaceAll .regex .s .repl"),
        "TestMustRegexReplaceAllLiteral" => {
            regex(&case, "mustRegexReplaceAllLiteral .regex .s .repl")
        }
        "TestMustRegexSplit" => regex(&case, "mustRegexSplit .regex .s (int .n) | len"),
        "TestToDecimal" => (
            "{{ toDecimal .in }}".into(),
            json!({ "in": input }),
            Ok(case["value"].to_string()),
        ),
        "TestUrlParse" => (
            "{{ urlParse .in | toJson }}".into(),
            json!({ "in": input }),
            Ok(case["value"].to_string()),
        ),
        "TestUrlJoin" if case["value"].is_object() => (
            "{{ urlJoin .in }}".into(),
            json!({ "in": case["value"] }),
            Ok(input.to_owned()),
        ),
        "TestRandomInt" => {
            let template = "{{ $n := randInt (int .min) (int .max) }}\
                            {{ and (ge $n (int .min)) (lt $n (int .max)) }}";
            (template.into(), case.clone(), Ok("true".into()))
        }
        _ => match case["value"].as_str() {
            Some(value) => (input.to_owned(), Value::Null, Ok(value.to_owned())),
            None => return set.leave_out("sprig: a table of another kind"),
        },
    };
    if ["env ", "expandenv ", "hello"].iter().any(|name| {
        template.contains(&format!("{{{{{name}")) || template.contains(&format!("{{{{ {name}"))
    }) {
        return set.leave_out("sprig: functions that Helm takes away");
    }
    let typed = case["go_types"]["vars"].as_str().unwrap_or("nil");
    if !matches!(
        typed,
        "nil" | "map[string]string" | "map[string]interface {}"
    ) || case["vars"]["Time"].is_object()
        || case["vars"]["Time"].is_number()
    {
        return set.leave_out("sprig: data of Go types that no template has");
    }
    if template.contains(".bottom.") {
        return set.leave_out("sprig: an option of the engine that Helm sets otherwise");
    }
    if template.contains("getHostByName") || answer.as_ref().is_err_and(|e| e.contains("<fail ")) {
        return set.leave_out("sprig: functions that Helm replaces");
    }
    if is_random(&template) && (test == "runRaw" || template.contains("shuffle")) {
        return set.leave_out("sprig: other numbers are drawn each time");
    }
    set.push(name, move || {
        // Helm deletes these words from whatever a template prints.
        let answer = answer.clone().map(|text| text.replace("<no value>", ""));
        compare(&answer, &alone(&template, values(&data)))
    });
}

fn regex(case: &Value, pipeline: &str) -> (String, Value, Answer) {
    let answer = match &case["expected"] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    (
        format!("{{{{ {pipeline} }}}}"),
        case["args"].clone(),
        Ok(answer),
    )
}

fn is_random(template: &str) -> bool {
    [
        "rand",
        "uuid",
        "bcrypt",
        "htpasswd",
        "genPrivate",
        "genCA",
        "genS",
        "encryptAES",
        "shuffle",
    ]
    .iter()
    .any(|name| template.contains(name))
}

/// The letter cases that sprig takes from `xstrings`.
pub(super) fn xstrings(set: &mut Set, name: &str, case: Value) {
    let group = text(&case, "group").to_owned();
    let Some(input) = group.strip_prefix("TestToSnakeCaseAndToKebabCase/") else {
        return set.leave_out("xstrings: the table does not say of which function");
    };
    let data = json!({ "in": input });
    set.push(name, move || {
        let snake = text(&case, "value");
        let kebab = snake.replace('_', "-");
        compare(
            &Ok(format!("{snake} {kebab}")),
            &alone("{{ snakecase .in }} {{ kebabcase .in }}", values(&data)),
        )
    });
}

/// What can be said about TOML through `toToml` and `fromToml`.
pub(super) fn toml(set: &mut Set, name: &str, case: &Value) {
    let typed = case["go_types"]["input"].as_str().unwrap_or_default();
    let plain = typed.starts_with("map[string]interface {}");
    if text(case, "group").starts_with("TestEncode/") && plain && case["wantError"].is_null() {
        let (input, output) = (case["input"].clone(), text(case, "wantOutput").to_owned());
        if input.to_string().contains("\"wall\"") {
            return set.leave_out("toml: Go types that no template has");
        }
        set.push(name, move || {
            // Integers stay integers, as if they came from `--set`.
            let data = match gitops_core::json::parse(input.to_string().as_bytes()) {
                Ok(gitops_core::Value::Map(map)) => map,
                _ => Map::new(),
            };
            let actual = alone("{{ toToml . }}", data);
            // Some of the table's outputs end without their last line break.
            let actual = actual.map(|text| text.trim_end().to_owned());
            compare(&Ok(output.trim_end().to_owned()), &actual)
        });
        return;
    }
    set.leave_out("toml: Go types that no template has");
}

/// Go's own table, with the data that JSON can say.
pub(super) fn text_template(set: &mut Set, case: &Value) {
    if case.get("json_got").is_none() || case["needs_go_methods"].as_bool() == Some(true) {
        return set.leave_out("text/template: Go types that no template has");
    }
    set.leave_out("text/template: the functions of Go's test, see tests/cases/gotmpl.rs");
}
