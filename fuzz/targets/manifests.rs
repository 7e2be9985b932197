//! Manifests: whatever is read is an object, and its errors have a place.

#![no_main]

use gitops_core::{Manifest, Origin, manifest};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    match manifest::parse(text, &Origin::file("a.yaml")) {
        Ok(manifests) => {
            for found in manifests {
                let again = Manifest::new(found.to_value(), found.origin.clone());
                let again = again.expect("an object stays one");
                assert_eq!(again.key(), found.key());
            }
        }
        Err(error) => assert!(error.to_string().starts_with("a.yaml"), "{error}"),
    }
});
