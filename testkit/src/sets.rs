//! The case sets that can be run, one module each.

use std::collections::BTreeMap;
use std::path::Path;

use crate::case::Case;

mod apply_cases;
mod charts;
mod helm_cases;
mod kustomize_cases;
mod kustomize_random;
mod kustomize_real;
mod kustomize_tables;

/// Why a set could not be loaded.
pub type LoadError = Box<dyn std::error::Error + Send + Sync>;

/// The names of the sets.
pub const NAMES: &[&str] = &[
    "apply-cases",
    "charts",
    "charts-helm4",
    "helm-cases",
    "kustomize-cases",
    "kustomize-random",
    "kustomize-real",
    "kustomize-tables",
];

/// A set, ready to run.
#[derive(Default)]
pub struct Set {
    /// The cases that can be run.
    pub cases: Vec<Case>,
    /// Why the others cannot, and how many they are.
    pub left_out: BTreeMap<&'static str, usize>,
}

impl From<Vec<Case>> for Set {
    fn from(cases: Vec<Case>) -> Self {
        Set {
            cases,
            left_out: BTreeMap::new(),
        }
    }
}

/// The cases of a set, from the directory into which it was unpacked.
///
/// # Errors
///
/// If there is no such set, or its files cannot be read.
pub fn load(name: &str, dir: &Path) -> Result<Set, LoadError> {
    match name {
        "apply-cases" => apply_cases::load(dir),
        "charts" => charts::load(dir, charts::Helm::V3).map(Set::from),
        "charts-helm4" => charts::load(dir, charts::Helm::V4).map(Set::from),
        "helm-cases" => helm_cases::load(dir),
        "kustomize-cases" => kustomize_cases::load(dir),
        "kustomize-random" => kustomize_random::load(dir).map(Set::from),
        "kustomize-tables" => kustomize_tables::load(dir),
        "kustomize-real" => kustomize_real::load(dir).map(Set::from),
        other => Err(format!("no set {other:?}; there are {}", NAMES.join(", ")).into()),
    }
}
