//! What goes wrong in a build, in Kustomize's words where it has some.

use std::fmt;

use gitops_core::TreePath;

/// Why a kustomization could not be built.
///
/// Displayed as Kustomize prints it after `Error: `. Branch on
/// [`kind`](Error::kind); [`file`](Error::file) and [`line`](Error::line) say
/// where to look.
#[derive(Debug)]
pub struct Error(Box<Repr>);

#[derive(Debug)]
struct Repr {
    kind: ErrorKind,
    message: String,
    file: Option<TreePath>,
    line: u32,
    /// Of a conflict: where the identity was claimed first.
    first: Option<(TreePath, u32)>,
    /// Set for text that is no YAML: Kustomize does not look for a directory
    /// of that name then.
    malformed: bool,
    /// Set for the answer of a server: Kustomize tries nothing else then.
    is_final: bool,
    warnings: Vec<String>,
}

/// What kind of trouble it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A kustomization file that is missing, ambiguous, or has fields that
    /// nobody knows or that are of the wrong type.
    Kustomization,
    /// A file or directory that is not there, or may not be read from where it
    /// is named.
    Load,
    /// Text that is no YAML, or is no Kubernetes object.
    Parse,
    /// An identity that two objects claim.
    Conflict,
    /// A patch, a replacement or another transformation that does not apply.
    Transform,
    /// A generator that cannot make its object.
    Generate,
    /// A Git repository or URL that could not be fetched.
    Remote,
    /// Something that only the original program can do, such as plugins.
    Unsupported,
    /// More than the build's [`Limits`](super::Limits) allow.
    Limit,
}

impl Error {
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Repr {
            kind,
            message: message.into(),
            file: None,
            line: 0,
            first: None,
            malformed: false,
            is_final: false,
            warnings: Vec::new(),
        }))
    }

    /// The same error with a prefix, as Go's `WrapPrefix` puts it.
    #[must_use]
    pub(super) fn within(mut self, prefix: impl fmt::Display) -> Self {
        self.0.message = format!("{prefix}: {}", self.0.message);
        self
    }

    /// The same error with other words.
    #[must_use]
    pub(super) fn reworded(mut self, words: impl FnOnce(&str) -> String) -> Self {
        self.0.message = words(&self.0.message);
        self
    }

    #[must_use]
    pub(super) fn at(mut self, file: &TreePath, line: u32) -> Self {
        if self.0.file.is_none() {
            self.0.file = Some(file.clone());
            self.0.line = line;
        }
        self
    }

    #[must_use]
    pub(super) fn claimed_first_at(mut self, file: &TreePath, line: u32) -> Self {
        self.0.first = Some((file.clone(), line));
        self
    }

    #[must_use]
    pub(super) fn malformed(mut self) -> Self {
        self.0.malformed = true;
        self
    }

    pub(super) fn is_malformed(&self) -> bool {
        self.0.malformed
    }

    /// The same error, which says that nothing else is worth trying.
    #[must_use]
    pub(super) fn final_word(mut self) -> Self {
        self.0.is_final = true;
        self
    }

    pub(super) fn is_final(&self) -> bool {
        self.0.is_final
    }

    #[must_use]
    pub(super) fn after(mut self, warnings: Vec<String>) -> Self {
        self.0.warnings = warnings;
        self
    }

    /// What Kustomize prints before it fails: deprecated fields.
    pub fn warnings(&self) -> &[String] {
        &self.0.warnings
    }

    /// What kind of trouble it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The message without a place.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The file of the tree in which the trouble is, if one can be named.
    pub fn file(&self) -> Option<&TreePath> {
        self.0.file.as_ref()
    }

    /// Of two claims to one identity: the file and line of the first. The
    /// second is at [`file`](Error::file) and [`line`](Error::line).
    pub fn first_claim(&self) -> Option<(&TreePath, u32)> {
        self.0.first.as_ref().map(|(file, line)| (file, *line))
    }

    /// The line of that file, from 1; 0 if it is not known.
    pub fn line(&self) -> u32 {
        self.0.line
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {}

pub(super) type Result<T> = std::result::Result<T, Error>;

/// Text as Go's `%q` shows it.
pub(super) fn quoted(text: &str) -> String {
    crate::gotmpl::printf::quote(text.as_bytes())
}

/// A transformation that does not apply.
pub(super) fn transform(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Transform, message)
}
