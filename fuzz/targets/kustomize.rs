//! A kustomization, its one resource and its one patch, each after a line
//! `===`.

#![no_main]

use gitops_core::tree::{MemoryTree, TreePath};
use gitops_core::yaml::node;
use gitops_render::kustomize::{KustomizeOptions, Limits, build};
use libfuzzer_sys::fuzz_target;

const KUSTOMIZATION: &str = "resources: [a.yaml]\npatches: [{path: p.yaml, target: {kind: .*}}]\n";

fuzz_target!(|text: &[u8]| {
    let text = String::from_utf8_lossy(text);
    let mut parts = text.split("\n===\n");
    let mut tree = MemoryTree::new();
    let mut insert = |path: &str, text: &str| {
        let path = TreePath::parse(path).expect("a path");
        tree.insert(&path, text.as_bytes().to_vec());
    };
    insert("a.yaml", parts.next().unwrap_or_default());
    insert("p.yaml", parts.next().unwrap_or_default());
    insert("kustomization.yaml", parts.next().unwrap_or(KUSTOMIZATION));
    let options = KustomizeOptions {
        limits: Limits {
            depth: 10,
            kustomizations: 100,
            objects: 1000,
            file_size: 1 << 20,
            documents: node::Limits {
                depth: 200,
                nodes: 100_000,
                aliased: 100_000,
            },
        },
        ..KustomizeOptions::default()
    };
    if let Ok(built) = build(&tree, &TreePath::ROOT, &options) {
        let _ = built.to_text();
    }
});
