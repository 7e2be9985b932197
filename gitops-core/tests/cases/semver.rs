use gitops_core::semver::{Constraint, Version};
use serde::Deserialize;

use super::table::rows;

#[derive(Deserialize)]
struct Case {
    version: String,
    range: String,
    /// `true`, `false`, or `error` if either is refused.
    out: String,
}

#[test]
fn ranges_hold_what_the_original_says() {
    for case in rows::<Case>(include_str!("semver.jsonl")) {
        let found = match (
            Constraint::parse(&case.range),
            Version::parse(&case.version),
        ) {
            (Ok(range), Ok(version)) => range.matches(&version).to_string(),
            _ => "error".to_owned(),
        };
        assert_eq!(found, case.out, "{} in {:?}", case.version, case.range);
    }
}
