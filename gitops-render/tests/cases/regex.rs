//! Regular expressions in templates. Each line of `regex/*.txt` is a pattern, a
//! text, and what helm makes of `mustRegexFindAll PATTERN TEXT -1 | toJson`:
//! the JSON, or the error without its place.

use gitops_core::tree::{MemoryTree, TreePath};
use gitops_core::{Map, Value};
use gitops_render::helm::{Chart, HelmOptions, LoadLimits, template};

#[test]
fn patterns_find_what_go_finds() {
    let tree: MemoryTree = [
        ("Chart.yaml", "apiVersion: v2\nname: a\nversion: 1.0.0\n"),
        (
            "templates/t.yaml",
            "found: {{ mustRegexFindAll .Values.pattern .Values.text -1 | toJson }}",
        ),
    ]
    .try_into()
    .expect("the paths are good");
    let chart = Chart::load(&tree, &TreePath::ROOT, &LoadLimits::default());
    let chart = chart.expect("the chart is whole").into();
    for line in include_str!("regex/classes.txt").lines() {
        let [pattern, text, expected] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("three columns: {line}");
        };
        let options = HelmOptions {
            values: Map::from_iter([("pattern", Value::from(pattern)), ("text", text.into())]),
            ..HelmOptions::default()
        };
        match template(&chart, &options) {
            Ok(release) => {
                let found = release.to_text();
                let found = found.trim_end().rsplit_once("found: ");
                assert_eq!(found.map(|(_, found)| found), Some(expected), "{line}");
            }
            Err(error) => assert!(error.to_string().ends_with(expected), "{line}: {error}"),
        }
    }
}
