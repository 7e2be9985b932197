//! Tables of cases, one JSON object a line.

use gitops_core::json::{self, Numbers, Options};
use gitops_core::value;

/// The rows of a table; each says itself why it exists.
pub(super) fn rows<T: serde::de::DeserializeOwned>(table: &str) -> Vec<T> {
    let options = Options {
        numbers: Numbers::Float64,
        ..Options::default()
    };
    table
        .lines()
        .map(|line| {
            let row = json::parse_with(line.as_bytes(), &options).unwrap();
            value::from_value(&row).unwrap_or_else(|error| panic!("{error}: {line}"))
        })
        .collect()
}
