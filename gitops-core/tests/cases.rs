//! What the originals answered, and laws that hold for all input.
//!
//! The tables below `cases/` were written by the original programs
//! (`sigs.k8s.io/yaml` 1.6, go-yaml 2.4.4 and 3.0.4, `encoding/json` of Go
//! 1.26, apimachinery 0.36, Masterminds/semver 3.4) for inputs chosen here: one case a line.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    clippy::disallowed_methods,
    reason = "trees and repositories are made on disk to be read"
)]

mod cases {
    mod argo;
    #[cfg(feature = "git")]
    mod git;
    #[cfg(feature = "git-http")]
    mod http;
    mod json;
    mod kubernetes;
    mod laws;
    mod manifest;
    #[cfg(feature = "git-http")]
    mod remote;
    mod schema;
    mod semver;
    mod table;
    mod trees;
    mod values;
    mod yaml;
}
