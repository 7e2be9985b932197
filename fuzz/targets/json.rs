//! JSON: what is written is read.

#![no_main]

use gitops_core::json;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let Ok(value) = json::parse(text) else { return };
    for text in [
        json::to_string(&value),
        json::to_string_raw(&value),
        json::to_string_pretty(&value, 2),
    ] {
        let again = json::parse(text.as_bytes());
        let again = again.unwrap_or_else(|error| panic!("{error}:\n{text}"));
        assert!(again.same(&value), "{value:?} is written\n{text}");
    }
});
