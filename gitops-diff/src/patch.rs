//! The three dialects in which Kubernetes takes changes, each written and
//! applied as apimachinery and kubectl do it.
//!
//! | module        | upstream                                      | what kubectl uses it for |
//! |---------------|-----------------------------------------------|--------------------------|
//! | [`json`]      | RFC 6902                                      | `patch --type json`      |
//! | [`merge`]     | RFC 7386, `apimachinery/pkg/util/jsonmergepatch` | client-side apply of custom resources |
//! | [`strategic`] | `apimachinery/pkg/util/strategicpatch`        | client-side apply of built-in kinds |
//!
//! Messages name fields and never quote values: they may be secret.

pub mod json;
pub mod merge;
pub mod strategic;

/// Why a patch cannot be made or applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatchError {
    /// The patch is not written in its language.
    #[error("{0}")]
    Malformed(String),
    /// A place that the patch names is not there.
    #[error("{op} {path}: {problem}")]
    Path {
        /// The operation.
        op: &'static str,
        /// The place, as an RFC 6901 pointer.
        path: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A `test` of a JSON patch found something else.
    #[error("test {path}: the value is another")]
    Test {
        /// The place, as an RFC 6901 pointer.
        path: String,
    },
    /// The schema has no such field, so how it merges is not known.
    #[error("unable to find api field {0:?}")]
    UnknownField(String),
    /// An item of a merged list has no key.
    #[error("an item of the list does not contain declared merge key: {0}")]
    NoMergeKey(String),
    /// What identifies an object would change.
    #[error("at least one of apiVersion, kind and name was changed")]
    Precondition,
    /// The live object has changed where the patch changes it.
    #[error("{0} was changed by somebody else, too")]
    Conflict(String),
}

impl PatchError {
    fn malformed(problem: impl Into<String>) -> Self {
        PatchError::Malformed(problem.into())
    }
}
