//! The language of `--set` and its relatives, several pairs over each other.

#![no_main]

use gitops_render::helm::Values;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut values = Values::default();
    for line in text.split('\n') {
        let (flag, line) = line.split_at_checked(1).unwrap_or_default();
        let _ = match flag {
            "s" => values.set_string(line),
            "j" => values.set_json(line),
            "l" => values.set_literal(line),
            "f" => values.set_file(line, &|name| Ok(name.into())),
            _ => values.set(line),
        };
    }
    let map = values.into_map();
    let _ = gitops_core::yaml::to_string(&map.into());
});
