//! Argo CD's Applications.

#![no_main]

use gitops_core::Origin;
use gitops_core::app::argo;
use libfuzzer_sys::fuzz_target;

const HEAD: &[u8] = b"apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata:\n  name: a\n";

fuzz_target!(|text: &[u8]| {
    let origin = Origin::file("a.yaml");
    let _ = argo::parse(text, &origin);
    // Past the head, so that the fields are what varies.
    if let Ok(apps) = argo::parse(&[HEAD, text].concat(), &origin) {
        for error in apps.into_iter().filter_map(Result::err) {
            assert!(error.to_string().starts_with("a.yaml"), "{error}");
        }
    }
});
