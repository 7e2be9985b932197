//! Trees of charts, and values for them.

use serde_json::{Map, Value, json};

use super::source::Source;
use super::values;

/// A chart's files by path, and the names under which its subcharts are known.
pub struct Chart {
    /// The files.
    pub files: Vec<(String, String)>,
    /// The user's values.
    pub values: Map<String, Value>,
}

const NAMES: &[&str] = &["sub", "lib", "db", "web"];

/// Tables of few names, so that those of charts and users meet.
fn table(source: &mut Source, depth: usize) -> Map<String, Value> {
    let count = source.below(4);
    (0..count)
        .map(|_| {
            let key = source.pick(&["a", "b", "c", "enabled", "x"]);
            let value = match source.below(if depth == 0 { 4 } else { 7 }) {
                0 => Value::Null,
                1 => json!(source.one_in(2)),
                2 => json!(source.pick(&["t", "u", ""])),
                3 => json!(source.below(3)),
                4 => json!([1, "l"]),
                _ => Value::Object(table(source, depth - 1)),
            };
            (key.to_owned(), value)
        })
        .collect()
}

fn of_chart(source: &mut Source, below: &[String]) -> Map<String, Value> {
    let mut all = table(source, 2);
    if source.one_in(3) {
        all.insert("global".into(), Value::Object(table(source, 2)));
    }
    if source.one_in(3) {
        let tags = json!({"t1": source.one_in(2), "t2": source.one_in(2)});
        all.insert("tags".into(), tags);
    }
    for name in below {
        match source.below(6) {
            0..=2 => {
                let mut inner = table(source, 2);
                if source.one_in(3) {
                    inner.insert("global".into(), Value::Object(table(source, 1)));
                }
                all.insert(name.clone(), Value::Object(inner));
            }
            3 if source.one_in(6) => {
                all.insert(name.clone(), values::scalar(source));
            }
            _ => {}
        }
    }
    all
}

fn chart(
    source: &mut Source,
    name: &str,
    dir: &str,
    depth: usize,
    files: &mut Vec<(String, String)>,
) -> Vec<String> {
    let mut metadata = json!({"apiVersion": "v2", "name": name, "version": "1.2.3"});
    let mut known = Vec::new();
    let mut dependencies = Vec::new();
    if depth > 0 {
        let mut names: Vec<&str> = NAMES.to_vec();
        for _ in 0..source.below(4) {
            let index = source.below(names.len());
            let child = names.swap_remove(index);
            chart(
                source,
                child,
                &format!("{dir}charts/{child}/"),
                depth - 1,
                files,
            );
            let declared = !source.one_in(4);
            let aliases: &[&str] = match source.one_in(4) {
                true => &["alias", "other"],
                false => &[""],
            };
            for alias in aliases {
                let shown = if alias.is_empty() {
                    child.to_owned()
                } else {
                    format!("{child}{alias}")
                };
                known.push(shown.clone());
                if !declared {
                    continue;
                }
                let mut dependency = json!({"name": child, "repository": "https://x"});
                dependency["version"] =
                    json!(source.pick(&["1.2.3", ">=1.0.0", "^1", "*", "~1.2"]));
                if !alias.is_empty() {
                    dependency["alias"] = json!(shown);
                }
                if source.one_in(3) {
                    dependency["condition"] = json!(source.pick(&[
                        "enabled",
                        "sub.enabled",
                        "a.enabled,sub.enabled",
                        "global.x",
                        "b"
                    ]));
                }
                if source.one_in(3) {
                    dependency["tags"] = json!([source.pick(&["t1", "t2"])]);
                }
                if source.one_in(4) {
                    dependency["import-values"] = match source.one_in(2) {
                        true => json!(["a"]),
                        false => {
                            json!([{"child": source.pick(&["a", "x.b", "global"]), "parent": source.pick(&["imported", ".", "a.b"])}])
                        }
                    };
                }
                dependencies.push(dependency);
            }
        }
    }
    if !dependencies.is_empty() {
        metadata["dependencies"] = Value::Array(dependencies);
    }
    let mut own = of_chart(source, &known);
    if source.one_in(4) {
        own.insert(
            "exports".into(),
            json!({"a": Value::Object(table(source, 1))}),
        );
    }
    files.push((format!("{dir}Chart.yaml"), metadata.to_string()));
    files.push((format!("{dir}values.yaml"), Value::Object(own).to_string()));
    let shown = "seen: {{ toRawJson .Values | b64enc }}\ndependencies: {{ toJson .Chart.Dependencies | b64enc }}\nname: {{ .Chart.Name }} {{ .Template.Name }}\n";
    files.push((format!("{dir}templates/seen.yaml"), shown.into()));
    known
}

/// A tree of charts below `dir`, which ends in a slash unless it is empty.
pub fn tree(source: &mut Source, name: &str, dir: &str) -> Chart {
    let mut files = Vec::new();
    let known = chart(source, name, dir, 2, &mut files);
    Chart {
        values: of_chart(source, &known),
        files,
    }
}
