//! Go's regular expressions: a pattern, and on the next line a text.

#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use gitops_core::Map;
use gitops_core::tree::{MemoryTree, TreePath};
use gitops_render::helm::{self, Chart, HelmOptions, LoadLimits};
use libfuzzer_sys::fuzz_target;

const TEMPLATE: &str = r#"
a: {{ regexMatch .Values.re .Values.text }}
b: {{ regexFindAll .Values.re .Values.text -1 | toJson }}
c: {{ regexReplaceAll .Values.re .Values.text "<${1}$x>" | toJson }}
d: {{ mustRegexSplit .Values.re .Values.text 3 | toJson }}
"#;

static CHART: LazyLock<Arc<Chart>> = LazyLock::new(|| {
    let tree: MemoryTree = [
        ("Chart.yaml", "apiVersion: v2\nname: a\nversion: 1.0.0\n"),
        ("templates/t.yaml", TEMPLATE),
    ]
    .try_into()
    .expect("the paths are good");
    let chart = Chart::load(&tree, &TreePath::ROOT, &LoadLimits::default());
    chart.expect("the chart is whole").into()
});

fuzz_target!(|text: &str| {
    let (pattern, text) = text.split_once('\n').unwrap_or((text, "some text"));
    let options = HelmOptions {
        values: Map::from_iter([("re", pattern), ("text", text)]),
        timeout: Some(Duration::from_secs(1)),
        ..HelmOptions::default()
    };
    let _ = helm::template(&CHART, &options);
});
