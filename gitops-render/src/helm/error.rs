//! Why a chart could not be rendered.

use std::fmt;

use gitops_core::{Str, TreeError};

use crate::gotmpl;

/// A chart could not be rendered.
///
/// Displayed as Helm words it after `Error: `, since people match on that.
/// [`kind`](Error::kind) is there to branch on; [`file`](Error::file) and the
/// [`source`](std::error::Error::source) say more than Helm does.
pub struct Error(Box<Repr>);

struct Repr {
    kind: ErrorKind,
    text: String,
    file: Option<Str>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What went wrong, by whose turn it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The chart's files: missing, malformed, too large.
    Load,
    /// The release's name or another option.
    Options,
    /// The values that were passed.
    Values,
    /// The values do not fit the chart's schema.
    Schema,
    /// A dependency is missing or cannot be processed.
    Dependencies,
    /// A template does not parse.
    Parse,
    /// A template failed.
    Execute,
    /// A template gave up by `fail` or `required`.
    Refused,
    /// What a template wrote is not YAML.
    Output,
    /// The chart wants another Kubernetes.
    KubeVersion,
    /// The tree could not be read.
    Tree,
}

impl Error {
    pub(super) fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Error(Box::new(Repr {
            kind,
            text: text.into(),
            file: None,
            source: None,
        }))
    }

    pub(super) fn at_file(mut self, file: &str) -> Self {
        self.0.file = Some(file.into());
        self
    }

    pub(super) fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The file that is at fault, as far as one is.
    pub fn file(&self) -> Option<&str> {
        self.0.file.as_deref()
    }

    /// The template error behind this one.
    pub fn template(&self) -> Option<&gotmpl::Error> {
        self.0.source.as_ref()?.downcast_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("text", &self.0.text)
            .field("file", &self.0.file)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let source = self.0.source.as_ref()?;
        Some(&**source)
    }
}

impl From<TreeError> for Error {
    fn from(error: TreeError) -> Self {
        Error::new(ErrorKind::Tree, error.to_string()).caused_by(error)
    }
}
