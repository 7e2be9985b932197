//! A directory of Handlebars templates.

#![no_main]

use gitops_core::tree::{MemoryTree, TreePath};
use gitops_core::{Map, Value, yaml};
use gitops_render::handlebars::{HandlebarsOptions, render};
use libfuzzer_sys::fuzz_target;

const VALUES: &[u8] = b"{a: 1, b: [x, 2, {c: null}], m: {k: v, n: -0.5}, t: true, z: ''}";

fuzz_target!(|text: &[u8]| {
    let mut tree = MemoryTree::new();
    for name in ["t.yaml.hbs", "nested/t.hbs"] {
        let path = TreePath::parse(name).expect("a path");
        tree.insert(&path, text.to_vec());
    }
    let values = match yaml::parse(VALUES) {
        Ok(Value::Map(values)) => values,
        _ => Map::new(),
    };
    let options = HandlebarsOptions {
        values,
        recurse: true,
        ..HandlebarsOptions::default()
    };
    let _ = render(&tree, &TreePath::ROOT, &options);
});
