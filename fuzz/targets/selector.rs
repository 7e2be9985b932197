//! Label selectors: what is displayed selects the same.

#![no_main]

use gitops_core::Map;
use gitops_core::selector::Selector;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(selector) = text.parse::<Selector>() else {
        return;
    };
    let shown = selector.to_string();
    let again: Selector = shown.parse().expect("what is displayed is a selector");
    assert_eq!(again.to_string(), shown);
    for labels in [
        Map::new(),
        Map::from_iter([("a", "1"), ("b", "x"), ("app", "")]),
    ] {
        assert_eq!(selector.matches(&labels), again.matches(&labels), "{shown}");
    }
});
