//! Both dialects of glob: a pattern, and on the next line a name.

#![no_main]

use gitops_render::glob::{Glob, path_match};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (pattern, name) = text.split_once('\n').unwrap_or((text, "templates/a.yaml"));
    let _ = path_match(pattern, name);
    for separator in [None, Some('/')] {
        if let Ok(glob) = Glob::new(pattern, separator) {
            let _ = glob.matches(name);
        }
    }
});
