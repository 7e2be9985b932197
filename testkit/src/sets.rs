//! The case sets that can be run, one module each.

use std::path::Path;

use crate::case::Case;

mod charts;
mod smd;

/// Why a set could not be loaded.
pub type LoadError = Box<dyn std::error::Error + Send + Sync>;

/// The names of the sets.
pub const NAMES: &[&str] = &["charts", "charts-helm4", "smd"];

/// The cases of a set, from the directory into which it was unpacked.
///
/// # Errors
///
/// If there is no such set, or its files cannot be read.
pub fn load(name: &str, dir: &Path) -> Result<Vec<Case>, LoadError> {
    match name {
        "charts" => charts::load(dir, charts::Helm::V3),
        "charts-helm4" => charts::load(dir, charts::Helm::V4),
        "smd" => smd::load(dir),
        other => Err(format!("no set {other:?}; there are {}", NAMES.join(", ")).into()),
    }
}
