//! A chart of one template, which may use every function that Helm has: it ends,
//! and writes what it writes while it is watched.

#![no_main]

mod options;

use gitops_core::tree::{MemoryTree, TreePath};
use gitops_render::helm::{self, Chart, HelmOptions, LoadLimits};
use libfuzzer_sys::fuzz_target;
use options::bounded;

const VALUES: &str = "a: 1\nb: [x, 2, {c: null}]\nm: {k: v, n: -0.5}\nt: true\nz: ''\n";

fuzz_target!(|text: &[u8]| {
    let Ok(mut tree) = MemoryTree::try_from([
        ("Chart.yaml", "apiVersion: v2\nname: a\nversion: 1.0.0\n"),
        ("values.yaml", VALUES),
    ]) else {
        unreachable!("the paths are good");
    };
    let path = TreePath::parse("templates/t.yaml").expect("a path");
    tree.insert(&path, text.to_vec());
    let chart = Chart::load(&tree, &TreePath::ROOT, &LoadLimits::default());
    let options = bounded();
    let chart = chart.expect("the chart is whole").into();
    let Ok(release) = helm::template(&chart, &options) else {
        return;
    };
    let _ = release.manifests(&TreePath::ROOT);
    let watched = HelmOptions {
        trace: true,
        ..options
    };
    // It executes more, so it may come to a limit.
    if let Ok(watched) = helm::template(&chart, &watched) {
        assert_eq!(release.to_text(), watched.to_text());
    }
});
