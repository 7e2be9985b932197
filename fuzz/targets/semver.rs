//! Versions and what constrains them, a line each.

#![no_main]

use gitops_core::semver::{Constraint, Error, Version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (constraint, version) = text.split_once('\n').unwrap_or((text, "1.2.3"));
    let (constraint, version) = (Constraint::parse(constraint), Version::parse(version));
    if let Ok(version) = &version {
        // Parts that were left out are displayed, so that it may be too long.
        match Version::parse(&version.to_string()) {
            Err(Error::VersionTooLong) => {}
            again => assert_eq!(again.expect("what is displayed is a version"), *version),
        }
        if let Ok(constraint) = &constraint {
            let _ = constraint.matches(version);
        }
    }
});
