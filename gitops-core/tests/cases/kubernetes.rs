use gitops_core::quantity::Quantity;
use gitops_core::selector::Selector;
use gitops_core::{Map, Value, json};
use serde::Deserialize;

use super::table::rows;

#[derive(Deserialize)]
struct QuantityCase {
    r#in: String,
    canonical: Option<String>,
    error: Option<String>,
}

#[test]
fn quantities_are_read_and_written_as_the_original() {
    for case in rows::<QuantityCase>(include_str!("quantity.jsonl")) {
        let written = match case.r#in.parse::<Quantity>() {
            Ok(quantity) => Ok(quantity.to_string()),
            Err(error) => Err(error.to_string()),
        };
        assert_eq!(
            written,
            case.canonical.ok_or(case.error.unwrap_or_default()),
            "{}",
            case.r#in
        );
    }
}

#[test]
fn quantities_are_compared_by_value() {
    let quantity = |text: &str| text.parse::<Quantity>().unwrap();
    for (a, b) in [
        ("1000m", "1"),
        ("1e3", "1k"),
        ("0.5", "500m"),
        ("1024Mi", "1Gi"),
        ("-0", "0"),
    ] {
        assert_eq!(quantity(a), quantity(b));
    }
    let ascending = [
        "-1Gi", "-1", "0", "1n", "999m", "1", "1k", "1Ki", "1e9", "1Gi", "1e100000",
    ];
    for pair in ascending.windows(2) {
        assert!(quantity(pair[0]) < quantity(pair[1]), "{pair:?}");
    }
    assert_eq!(quantity("-1.5Gi").to_f64(), -1_610_612_736.0);
    assert_eq!(quantity("0").to_f64(), 0.0);
}

#[derive(Deserialize)]
struct SelectorCase {
    r#in: String,
    text: Option<String>,
}

#[test]
fn selectors_are_read_and_written_as_the_original() {
    for case in rows::<SelectorCase>(include_str!("selector.jsonl")) {
        let selector = case.r#in.parse::<Selector>();
        let written = selector.as_ref().ok().map(ToString::to_string);
        assert_eq!(written, case.text, "{}: {selector:?}", case.r#in);
    }
}

#[test]
fn selectors_select() {
    let labels = Map::from_iter([
        ("app", "shop"),
        ("tier", "back"),
        ("size", "5"),
        ("odd", ""),
    ]);
    let selects = |text: &str| text.parse::<Selector>().unwrap().matches(&labels);
    for text in [
        "",
        "app",
        "!zone",
        "app=shop",
        "app!=web",
        "zone!=a",
        "tier in (back,front)",
        "tier notin (front)",
        "zone notin (a)",
        "size>4",
        "size<6",
        "odd=",
        "app,tier",
    ] {
        assert!(selects(text), "{text}");
    }
    for text in [
        "zone",
        "!app",
        "app=web",
        "zone=a",
        "zone in (a)",
        "app notin (shop)",
        "size>5",
        "app>1",
        "zone<1",
        "app,zone",
    ] {
        assert!(!selects(text), "{text}");
    }
}

#[test]
fn selectors_may_be_objects() {
    let read = |text: &str| Selector::from_value(&json::parse(text.as_bytes()).unwrap());
    let selector = read(
        r#"{"matchLabels": {"b": "2", "a": "1"}, "matchExpressions": [
            {"key": "c", "operator": "In", "values": ["x", "y"]},
            {"key": "d", "operator": "DoesNotExist"}]}"#,
    );
    assert_eq!(selector.unwrap().to_string(), "a=1,b=2,c in (x,y),!d");
    assert!(read("{}").unwrap().matches(&Map::new()));
    assert!(
        !Selector::from_value(&Value::Null)
            .unwrap()
            .matches(&Map::new())
    );
    let problem = |text: &str| read(text).unwrap_err().to_string();
    assert_eq!(
        problem(r#"{"matchExpressions": [{"key": "a", "operator": "in"}]}"#),
        "matchExpressions[0]: \"in\" is not a valid label selector operator; use In, NotIn, \
         Exists or DoesNotExist"
    );
    assert_eq!(
        problem(r#"{"matchExpressions": [{"key": "a", "operator": "In"}]}"#),
        "matchExpressions[0]: a: in takes at least one value"
    );
    assert_eq!(
        problem(r#"{"matchLabels": {"a": 1}}"#),
        "matchLabels.a must be a string, found number"
    );
}
