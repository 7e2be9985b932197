//! A chart of one template, which may use every function that Helm has: it ends,
//! and writes what it writes while it is watched.

#![no_main]

use std::time::{Duration, SystemTime};

use gitops_core::tree::{MemoryTree, TreePath};
use gitops_render::gotmpl::Limits;
use gitops_render::helm::{self, Chart, HelmOptions, LoadLimits, Seed};
use libfuzzer_sys::fuzz_target;

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
    let options = HelmOptions {
        seed: Seed::fixed(b"fuzz", SystemTime::UNIX_EPOCH),
        limits: Limits {
            template_depth: 1000,
            include_depth: 100,
            nesting: 1000,
            bytes: 1 << 20,
            steps: 1 << 16,
        },
        timeout: Some(Duration::from_secs(1)),
        ..HelmOptions::default()
    };
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
