//! Whole charts: values from above to below, flags, documents.

use std::sync::Arc;

use gitops_core::json;
use gitops_render::helm::{self, Document, Profile, Values};
use serde_json::{Map, Value, json};

use super::{Answer, compare, load_chart, options, same, text, tree, values as core_values};
use crate::case::Failure;
use crate::sets::Set;

/// Each profile, and where its answer is if it is another than Helm 3.21's.
const PROFILES: [(&str, Profile, &str); 4] = [
    ("helm3", Profile::Helm3_21, "expect"),
    ("helm4", Profile::Helm4_2, "expect_helm4"),
    ("helm3.19", Profile::Helm3_19, "expect_helm3_19_5"),
    ("helm3.16", Profile::Helm3_16, "expect_helm3_16_4"),
];

/// Runs a case once for each of the first profiles.
fn each(
    set: &mut Set,
    profiles: usize,
    name: &str,
    case: Value,
    run: fn(&Value, &Value, Profile) -> Result<(), Failure>,
) {
    let case = Arc::new(case);
    for (helm, profile, key) in &PROFILES[..profiles] {
        let profile = *profile;
        let case = case.clone();
        set.push(&format!("{name}/{helm}"), move || {
            let expected = case.get(*key).unwrap_or(&case["expect"]);
            run(&case, expected, profile)
        });
    }
}

/// A tree of charts: which of them are enabled, and the root's values.
pub(super) fn values(set: &mut Set, name: &str, case: Value) {
    // The schemas of the set are judged in the words of one library only.
    let profiles = match name.starts_with("oracle_schema") {
        true => 2,
        false => PROFILES.len(),
    };
    each(set, profiles, name, case, |case, expected, profile| {
        let mut files = Vec::new();
        write_chart(&case["chart"], "", &mut files);
        // Every chart says where it is; the root also shows its values.
        let files = files
            .iter()
            .map(|(path, text)| (path.clone(), text.as_str()));
        let chart = load_chart(&tree(files).map_err(wrong)?).map_err(wrong)?;
        let options = options(profile, core_values(&case["values"]), "v1.36.0");
        let answer = helm::template(&chart, &options)
            .map(|release| {
                let mut charts: Vec<&str> = release
                    .documents
                    .iter()
                    .filter_map(|document| document.path.strip_suffix(WHERE)?.strip_suffix('/'))
                    .collect();
                charts.sort_unstable();
                format!("{}\n{}", charts.join(" "), release.notes)
            })
            .map_err(|error| {
                // The rows are answers of the library; the program of Helm 4
                // says first what it was doing.
                let text = error.to_string();
                match text.strip_prefix("chart dependencies processing failed: ") {
                    Some(answer) => answer.to_owned(),
                    None => text,
                }
            });
        let (actual, wanted): (Answer, Answer) = match expected["err"].as_str() {
            Some(error) => (answer, Err(in_words_of_6_0_2(error.trim_end()))),
            None => {
                let mut charts: Vec<&str> = expected["charts"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .collect();
                // Subcharts come out of a map.
                charts.sort_unstable();
                let shown =
                    json::to_string(&gitops_core::Value::Map(core_values(&expected["values"])));
                (answer, Ok(format!("{}\n{shown}", charts.join(" "))))
            }
        };
        compare(
            &wanted,
            &actual.map_err(|error| error.trim_end().to_owned()),
        )
    });
}

/// The table was written by a validator whose next version, which Helm uses,
/// quotes the names of keywords.
fn in_words_of_6_0_2(error: &str) -> String {
    let mut error = error.to_owned();
    for keyword in ["allOf", "anyOf", "oneOf", "not"] {
        error = error.replace(
            &format!(": {keyword} failed"),
            &format!(": '{keyword}' failed"),
        );
    }
    error
}

/// Where each chart says where it is.
const WHERE: &str = "templates/where.yaml";

fn write_chart(chart: &Value, dir: &str, files: &mut Vec<(String, String)>) {
    let mut metadata = json!({
        "apiVersion": "v2",
        "name": chart["name"],
        "version": chart["version"].as_str().unwrap_or("1.0.0"),
    });
    if let Some(dependencies) = chart.get("dependencies") {
        metadata["dependencies"] = dependencies.clone();
    }
    files.push((format!("{dir}Chart.yaml"), metadata.to_string()));
    files.push((format!("{dir}values.yaml"), chart["values"].to_string()));
    if let Some(schema) = chart["schema"].as_str() {
        files.push((format!("{dir}values.schema.json"), schema.to_owned()));
    }
    files.push((format!("{dir}{WHERE}"), "{}".into()));
    if dir.is_empty() {
        let values = "{{ toRawJson .Values }}";
        files.push(("templates/NOTES.txt".into(), values.into()));
    }
    for subchart in chart["subcharts"].as_array().into_iter().flatten() {
        let below = format!("{dir}charts/{}/", text(subchart, "name"));
        write_chart(subchart, &below, files);
    }
}

fn wrong(problem: String) -> Failure {
    Failure {
        what: "case",
        expected: "a chart".into(),
        actual: problem,
        line: 0,
    }
}

/// What the flags of values become.
pub(super) fn flags(set: &mut Set, name: &str, case: Value) {
    each(set, 2, name, case, |case, expected, profile| {
        let all = |name: &str| {
            let flags = case["opts"][name].as_array().cloned().unwrap_or_default();
            flags
                .into_iter()
                .filter_map(|flag| flag.as_str().map(str::to_owned))
                .collect::<Vec<_>>()
        };
        let mut values = Values::new(profile);
        let mut read = || {
            for pairs in all("set-json") {
                values.set_json(&pairs)?;
            }
            for pairs in all("set") {
                values.set(&pairs)?;
            }
            for pairs in all("set-string") {
                values.set_string(&pairs)?;
            }
            for pair in all("set-literal") {
                values.set_literal(&pair)?;
            }
            Ok::<_, helm::Error>(())
        };
        let actual = match read() {
            Ok(()) => Ok(json::to_string(&gitops_core::Value::Map(values.into_map()))),
            Err(error) => Err(error.to_string()),
        };
        let wanted = match expected["err"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(json::to_string(
                &json::parse(expected["values"].to_string().as_bytes())
                    .map_err(|error| wrong(error.to_string()))?,
            )),
        };
        compare(&wanted, &actual)
    });
}

/// Rendered files, split, told apart and sorted.
pub(super) fn documents(set: &mut Set, name: &str, case: Value) {
    each(set, 2, name, case, |case, expected, profile| {
        let mut files = Vec::new();
        let mut charts = std::collections::BTreeSet::from([String::new()]);
        for (path, contents) in case["files"].as_object().into_iter().flatten() {
            let path = path.strip_prefix("c/").unwrap_or(path);
            let contents = contents.as_str().unwrap_or_default();
            let mut dir = String::new();
            let mut rest = path;
            while let Some((name, below)) = rest
                .strip_prefix("charts/")
                .and_then(|rest| rest.split_once('/'))
            {
                dir.push_str(&format!("charts/{name}/"));
                charts.insert(dir.clone());
                rest = below;
            }
            files.push((path.to_owned(), contents));
        }
        let metadata: Vec<(String, String)> = charts
            .iter()
            .map(|dir| {
                let name = dir.trim_end_matches('/').rsplit('/').next();
                let name = name.filter(|name| !name.is_empty()).unwrap_or("c");
                let text = format!("apiVersion: v2\nname: {name}\nversion: 1.0.0\n");
                (format!("{dir}Chart.yaml"), text)
            })
            .collect();
        files.extend(
            metadata
                .iter()
                .map(|(path, text)| (path.clone(), text.as_str())),
        );
        let chart = load_chart(&tree(files).map_err(wrong)?).map_err(wrong)?;
        let options = options(profile, gitops_core::Map::new(), "v1.36.0");
        let actual = helm::template(&chart, &options).map_err(|error| error.to_string());
        let actual = match (actual, expected["err"].as_str()) {
            (Ok(release), None) => release,
            (Err(actual), Some(wanted)) => {
                return compare(&Err(wanted.to_owned()), &Err(actual));
            }
            (actual, wanted) => {
                return Err(Failure {
                    what: "outcome",
                    expected: format!("{wanted:?}"),
                    actual: format!("{:?}", actual.map(|release| release.to_text())),
                    line: 0,
                });
            }
        };
        let manifests: Vec<Value> = actual
            .documents
            .iter()
            .map(|document| {
                json!({
                    "content": &*document.text,
                    "kind": document.kind.as_str(),
                    "name": document.path.as_str(),
                })
            })
            .collect();
        same(&list(&expected["manifests"]), &manifests)?;
        let hooks: Vec<Value> = actual.hooks.iter().map(hook).collect();
        let wanted: Vec<Value> = list(&expected["hooks"])
            .into_iter()
            .map(|mut hook| {
                // The library keeps neither: it runs no hooks.
                if let Some(fields) = hook.as_object_mut() {
                    fields.remove("delete_policies");
                    fields.remove("name");
                }
                hook
            })
            .collect();
        same(&wanted, &hooks)
    });
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn hook(document: &Document) -> Value {
    let (events, weight) = match &document.hook {
        Some(hook) => (hook.events.clone(), hook.weight),
        None => (Vec::new(), 0),
    };
    json!({
        "content": &*document.text,
        "events": events.iter().map(|event| event.as_str()).collect::<Vec<_>>(),
        "kind": document.kind.as_str(),
        "path": document.path.as_str(),
        "weight": weight,
    })
}

/// `.helmignore`, and what a `Chart.yaml` must hold.
pub(super) fn chart(set: &mut Set, name: &str, case: Value) {
    let metadata = "apiVersion: v2\nname: c\nversion: 1.0.0\n";
    match text(&case, "group") {
        "TestIgnore"
            if matches!(text(&case, "name"), "" | "." | "./")
                || text(&case, "name").ends_with('/')
                || text(&case, "pattern").starts_with('!') =>
        {
            set.leave_out("chart: rules for directories, and such as hide Chart.yaml itself");
        }
        "TestIgnore" => set.push(name, move || {
            let path = text(&case, "name");
            let notes = "{{ range $path, $_ := .Files }}{{ $path }}\n{{ end }}";
            let files = tree([
                ("Chart.yaml".into(), metadata),
                ("templates/NOTES.txt".into(), notes),
                (".helmignore".into(), text(&case, "pattern")),
                (path.to_owned(), "x"),
            ]);
            let chart = load_chart(&files.map_err(wrong)?).map_err(wrong)?;
            let seen = super::notes(&chart, &options(Profile::Helm3_21, Default::default(), ""))
                .map_err(wrong)?;
            let ignored = !seen.lines().any(|line| line == path);
            same(&case["expect"].as_bool().unwrap_or(false), &ignored)
        }),
        "TestValidate" if text(&case, "err").starts_with("chart.metadata.apiVersion") => {
            set.leave_out("chart: metadata that no Chart.yaml can hold");
        }
        "TestValidate" if case["md"].is_object() => set.push(name, move || {
            let fields: Map<String, Value> = case["md"]
                .as_object()
                .into_iter()
                .flatten()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| {
                    let mut name = name.clone();
                    if let Some(first) = name.get_mut(..1) {
                        first.make_ascii_lowercase();
                    }
                    let name = if name == "aPIVersion" {
                        "apiVersion".into()
                    } else {
                        name
                    };
                    (name, value.clone())
                })
                .collect();
            let text = Value::Object(fields).to_string();
            let answer = match tree([("Chart.yaml".into(), text.as_str())]) {
                Ok(tree) => load_chart(&tree).map(|_| String::new()),
                Err(error) => Err(error),
            };
            let wanted = match case["err"].as_str() {
                None | Some("") => Ok(String::new()),
                Some(error) => Err(format!("validation: {error}")),
            };
            // Lists are checked when the file is read, the rest afterwards.
            let answer = answer.map_err(|error| {
                error
                    .strip_prefix("cannot load Chart.yaml: ")
                    .map_or(error.clone(), str::to_owned)
            });
            compare(&wanted, &answer)
        }),
        _ => set.leave_out("chart: metadata that no Chart.yaml can hold"),
    }
}
