use std::collections::BTreeMap;

use gitops_core::value::{from_value, to_value};
use gitops_core::{Map, Value, json};
use serde::{Deserialize, Serialize};

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Source {
    #[serde(rename = "repoURL")]
    repo_url: String,
    #[serde(default)]
    revision: String,
    #[serde(default)]
    weight: Option<i32>,
    #[serde(default)]
    parameters: BTreeMap<String, Vec<Policy>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Policy {
    Never,
    After(u64),
    Custom { name: String },
}

fn read(text: &str) -> Result<Source, String> {
    let value = json::parse(text.as_bytes()).unwrap();
    from_value(&value).map_err(|error| format!("[{}] {}", error.path(), error.problem()))
}

#[test]
fn types_are_read_and_written() {
    let text = r#"{"parameters":{"p":["Never",{"After":5},{"Custom":{"name":"n"}}]},"repoURL":"u","revision":"","weight":2}"#;
    let source = read(text).unwrap();
    assert_eq!(source.parameters["p"].len(), 3);
    assert_eq!(json::to_string(&to_value(&source).unwrap()), text);
}

#[test]
fn null_fields_are_absent_and_whole_floats_are_integers() {
    let source = read(r#"{"repoURL":"u","revision":null,"weight":3.0}"#).unwrap();
    assert_eq!((source.revision.as_str(), source.weight), ("", Some(3)));
}

#[test]
fn errors_name_the_path() {
    let cases = [
        (
            r#"{"repoURL":1}"#,
            "[repoURL] invalid type: integer `1`, expected a string",
        ),
        (
            r#"{"repoURL":"u","repoUrl":"u"}"#,
            "[repoUrl] unknown field `repoUrl`, expected one of `repoURL`, `revision`, `weight`, \
             `parameters`",
        ),
        (
            r#"{"repoURL":"u","parameters":{"a.b":["Never","Soon"]}}"#,
            "[parameters[\"a.b\"][1]] unknown variant `Soon`, expected one of `Never`, `After`, \
             `Custom`",
        ),
        ("{}", "[] missing field `repoURL`"),
    ];
    for (text, expected) in cases {
        assert_eq!(read(text).unwrap_err(), expected);
    }
}

#[test]
fn values_pass_through_other_formats() {
    let text = r#"{"a":[1,-1,18446744073709551615,1.5,true,null,"x"],"b":{}}"#;
    let value: Value = serde_json::from_str(text).unwrap();
    assert_eq!(value, json::parse(text.as_bytes()).unwrap());
    assert_eq!(serde_json::to_string(&value).unwrap(), text);
    assert_eq!(from_value::<Map>(&value).unwrap(), *value.as_map().unwrap());
}

#[cfg(feature = "serde_yaml")]
#[test]
fn values_convert_to_serde_yaml_and_back() {
    let text = "a: [1, 2.5, x, true, null]\nb: {c: {}}\n";
    let theirs: serde_yaml::Value = serde_yaml::from_str(text).unwrap();
    let ours = gitops_core::yaml::parse(text.as_bytes()).unwrap();
    assert_eq!(Value::try_from(theirs.clone()).unwrap(), ours);
    assert_eq!(serde_yaml::Value::from(ours), theirs);
    let numbers: serde_yaml::Value = serde_yaml::from_str("1: a\ntrue: b\n").unwrap();
    let keys = json::to_string(&Value::try_from(numbers).unwrap());
    assert_eq!(keys, r#"{"1":"a","true":"b"}"#);
}
