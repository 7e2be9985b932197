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

    /// An error that an embedder raises in Helm's place, for instance because
    /// a file of values is not there.
    pub fn from_text(kind: ErrorKind, text: impl Into<String>) -> Self {
        Error::new(kind, text)
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

/// Helm 4's form of a template error: one block for each frame.
pub(super) fn blocks(error: &gotmpl::Error) -> String {
    let mut out = String::new();
    let mut rest = error.to_string();
    loop {
        let Some(frame) = rest.strip_prefix("template: ") else {
            out.push_str(&rest);
            return out;
        };
        let Some((place, tail)) = frame.split_once(": ") else {
            out.push_str(&rest);
            return out;
        };
        out.push_str(place);
        out.push('\n');
        let (executing, message) = match tail.split_once(">: ") {
            Some((executing, message)) if executing.starts_with("executing ") => {
                (Some(executing), message)
            }
            _ => (None, tail),
        };
        if let Some(executing) = executing {
            out.push_str(&format!("  {executing}>:\n"));
        }
        match message.find("template: ") {
            Some(at) => {
                out.push_str(&format!(
                    "    {}\n",
                    message[..at].trim_end_matches([':', ' '])
                ));
                rest = message[at..].to_owned();
            }
            None => {
                out.push_str(&format!("    {message}"));
                return out;
            }
        }
    }
}
