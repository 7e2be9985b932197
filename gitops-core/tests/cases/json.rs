use gitops_core::json::{self, Numbers, Options};
use gitops_core::value::number;
use gitops_core::yaml::DuplicateKeys;
use gitops_core::{Map, Value};
use serde::Deserialize;

use super::table::rows;

#[derive(Deserialize)]
struct Read {
    r#in: String,
    json: Option<String>,
    pretty: Option<String>,
    error: Option<String>,
}

#[test]
fn reads_and_writes_as_the_original() {
    let options = Options {
        numbers: Numbers::Float64,
        ..Options::default()
    };
    for case in rows::<Read>(include_str!("json/read.jsonl")) {
        let value = json::parse_with(case.r#in.as_bytes(), &options);
        let expected = case.json.ok_or(case.error.unwrap_or_default());
        let written = value.as_ref().map(json::to_string);
        let written = written.map_err(|error| error.to_string());
        assert_eq!(written, expected, "{}", case.r#in);
        if let (Ok(value), Some(pretty)) = (value, case.pretty) {
            assert_eq!(json::to_string_pretty(&value, 2), pretty);
        }
    }
}

#[test]
fn a_value_may_be_followed_by_more_text() {
    let options = Options::default();
    let (value, used) = json::parse_prefix(b" [1], 2", &options).unwrap();
    assert_eq!((json::to_string(&value), used), ("[1]".to_owned(), 4));
    let problem = |text: &[u8]| json::parse_prefix(text, &options).unwrap_err().to_string();
    assert_eq!(problem(b"  "), "EOF");
    assert_eq!(problem(b"[tr"), "unexpected EOF");
}

#[test]
fn errors_have_positions() {
    let error = json::parse(b"{\n  \"a\": 1\n  \"b\": 2\n}").unwrap_err();
    assert_eq!((error.line(), error.column()), (3, 3));
}

#[test]
fn numbers_keep_their_kind_or_become_floats() {
    let text = b"[1, 1.0, 9223372036854775808, 18446744073709551616]";
    let exact = json::parse(text).unwrap();
    let kinds: Vec<String> = exact
        .as_list()
        .unwrap()
        .iter()
        .map(|v| format!("{v:?}"))
        .collect();
    assert_eq!(
        kinds,
        ["1", "1.0", "9223372036854775808", "1.8446744073709552e19"]
    );
}

#[test]
fn duplicates_and_depth_are_errors_if_they_are_to_be() {
    let strict = Options {
        duplicate_keys: DuplicateKeys::Error,
        max_depth: 2,
        ..Options::default()
    };
    let problem = |text: &[u8]| json::parse_with(text, &strict).unwrap_err().to_string();
    assert_eq!(problem(br#"{"a":1,"a":2}"#), "duplicate key \"a\"");
    assert_eq!(problem(b"[[[]]]"), "exceeded max depth");
}

#[test]
fn bytes_that_are_no_text_are_replaced_one_by_one() {
    let value = json::parse(b"\"a\xff\xe2\x80b\"").unwrap();
    assert_eq!(value, Value::from("a\u{fffd}\u{fffd}\u{fffd}b"));
    let mut out = Vec::new();
    let mut writer = json::Writer::new(&mut out, json::Style::default());
    gitops_core::value::Sink::bytes(&mut writer, b"a\xff\xef\xbf\xbd");
    writer.finish().unwrap();
    // Go escapes what it replaces and leaves what is there already.
    assert_eq!(out, "\"a\\ufffd\u{fffd}\"".as_bytes());
}

#[test]
fn infinities_are_errors_where_errors_can_be_told() {
    let value = Value::Map(Map::from_iter([("a", f64::NEG_INFINITY)]));
    let error = json::to_string_with(&value, json::Style::default()).unwrap_err();
    assert_eq!(error.to_string(), "json: unsupported value: -Inf");
    assert_eq!(json::to_string(&value), r#"{"a":null}"#);
}

#[test]
fn floats_are_printed_as_go_prints_them() {
    let print = |number: f64| {
        let (mut go, mut json) = (Vec::new(), Vec::new());
        number::push_go(&mut go, number);
        number::push_json(&mut json, number);
        [go, json].map(|text| String::from_utf8(text).unwrap())
    };
    assert_eq!(print(999_999.5), ["999999.5", "999999.5"]);
    assert_eq!(print(1e6), ["1e+06", "1000000"]);
    assert_eq!(print(-1.0), ["-1", "-1"]);
    assert_eq!(print(-0.0), ["-0", "-0"]);
    assert_eq!(print(1e-5), ["1e-05", "0.00001"]);
    assert_eq!(print(1e-7), ["1e-07", "1e-7"]);
    assert_eq!(print(1e20), ["1e+20", "100000000000000000000"]);
    assert_eq!(print(1e21), ["1e+21", "1e+21"]);
    assert_eq!(
        print(f64::MAX),
        ["1.7976931348623157e+308", "1.7976931348623157e+308"]
    );
    assert_eq!(print(f64::NAN), ["NaN", ""]);
}
