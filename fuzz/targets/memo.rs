//! A chart of a few templates, parted by form feeds, is rendered with one set of
//! values after the other: who remembers the last render writes the same as who
//! does not.

#![no_main]

mod options;

use std::sync::Arc;

use gitops_core::tree::{MemoryTree, TreePath};
use gitops_core::{Map, Value};
use gitops_render::helm::{self, Chart, HelmOptions, LoadLimits, Memo};
use libfuzzer_sys::fuzz_target;
use options::bounded;

const VALUES: &str = "a: 1\nb: 1\nl: [x, {k: 1}]\nm: {p: {k: v}, q: -0.5}\n\
                      global: {t: {u: {w: 1}}}\n";

/// The last one first: a subchart's are executed before its parent's.
const PATHS: [&str; 4] = [
    "templates/_helpers.tpl",
    "templates/a.yaml",
    "templates/b.yaml",
    "charts/sub/templates/c.yaml",
];

fuzz_target!(|text: &[u8]| {
    let Ok(mut tree) = MemoryTree::try_from([
        ("Chart.yaml", "apiVersion: v2\nname: a\nversion: 1.0.0\n"),
        ("values.yaml", VALUES),
        (
            "charts/sub/Chart.yaml",
            "apiVersion: v2\nname: sub\nversion: 1.0.0\n",
        ),
        ("charts/sub/values.yaml", "a: 1\nm: {p: {k: v}}\n"),
    ]) else {
        unreachable!("the paths are good");
    };
    for (path, part) in PATHS.iter().zip(text.split(|byte| *byte == b'\x0c')) {
        let path = TreePath::parse(path).expect("a path");
        tree.insert(&path, part.to_vec());
    }
    let chart = Chart::load(&tree, &TreePath::ROOT, &LoadLimits::default());
    let chart: Arc<Chart> = chart.expect("the chart is whole").into();
    let mut memo = Memo::default();
    for (a, b) in [(1, 1), (1, 2), (2, 2), (2, 2), (2, 1)] {
        let both = [("a", Value::Int(a)), ("b", Value::Int(b))];
        let below = Value::Map(Map::from_iter(both.clone()));
        let mut values = Map::from_iter(both);
        values.insert("sub", below);
        let options = HelmOptions {
            values,
            ..bounded()
        };
        // What is remembered counts against no limit.
        let (Ok(with), Ok(without)) = (
            memo.template(&chart, &options),
            helm::template(&chart, &options),
        ) else {
            continue;
        };
        assert_eq!(with.to_text(), without.to_text());
        assert_eq!(with.inputs, without.inputs);
    }
});
