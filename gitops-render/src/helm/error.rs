//! Why a chart could not be rendered.

use std::fmt;

use gitops_core::{Str, TreeError};

use super::origin::SourceMap;
use super::report::{Broken, Report, Snippet};
use crate::gotmpl;

/// A chart could not be rendered.
///
/// Displayed as Helm words it after `Error: `, since people match on that.
/// [`kind`](Error::kind) is there to branch on; [`report`](Error::report) says
/// more than Helm does, and [`template`](Error::template) says it as data.
pub struct Error(Box<Repr>);

struct Repr {
    kind: ErrorKind,
    text: String,
    file: Option<Str>,
    cause: Cause,
    /// For errors of the parser, which know the text only here.
    snippet: Option<Snippet>,
    broken: Option<Broken>,
    warnings: Vec<String>,
}

enum Cause {
    None,
    Template(Box<gotmpl::Error>),
    Tree(TreeError),
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
            cause: Cause::None,
            snippet: None,
            broken: None,
            warnings: Vec::new(),
        }))
    }

    pub(super) fn at_file(mut self, file: &str) -> Self {
        self.0.file = Some(file.into());
        self
    }

    /// The same error with something before its text.
    pub(super) fn behind(mut self, prefix: &str) -> Self {
        self.0.text.insert_str(0, prefix);
        self
    }

    pub(super) fn of_template(mut self, error: gotmpl::Error) -> Self {
        self.0.cause = Cause::Template(Box::new(error));
        self
    }

    pub(super) fn with_snippet(mut self, snippet: Snippet) -> Self {
        self.0.snippet = Some(snippet);
        self
    }

    pub(super) fn with_broken(mut self, broken: Broken) -> Self {
        self.0.broken = Some(broken);
        self
    }

    pub(super) fn after(mut self, warnings: Vec<String>) -> Self {
        self.0.warnings = warnings;
        self
    }

    /// Asks a watched render where the broken line comes from.
    pub(super) fn explained(mut self, map: &SourceMap) -> Self {
        if let (Some(broken), Some(file)) = (&mut self.0.broken, &self.0.file) {
            for line in &mut broken.lines {
                line.origin = map.output_line(file, line.number);
            }
        }
        self
    }

    pub(super) fn snippet(&self) -> Option<&Snippet> {
        self.0.snippet.as_ref()
    }

    pub(super) fn broken(&self) -> Option<&Broken> {
        self.0.broken.as_ref()
    }

    /// The same error for people: with the place, the calls that led to it, the
    /// lines around it, and what may help.
    pub fn report(&self) -> Report<'_> {
        Report::new(self)
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

    /// What Helm would have written to its log by then.
    pub fn warnings(&self) -> &[String] {
        &self.0.warnings
    }

    /// The template error behind this one.
    pub fn template(&self) -> Option<&gotmpl::Error> {
        match &self.0.cause {
            Cause::Template(error) => Some(error),
            _ => None,
        }
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
        // Its own text is part of this error's.
        match &self.0.cause {
            Cause::Tree(error) => error.source(),
            Cause::Template(_) | Cause::None => None,
        }
    }
}

impl From<TreeError> for Error {
    fn from(error: TreeError) -> Self {
        let mut this = Error::new(ErrorKind::Tree, error.to_string());
        this.0.cause = Cause::Tree(error);
        this
    }
}

/// Helm 4's form of a template error: one block for each frame, read out of
/// Go's text as `reformatExecErrorMsg` does it. `None` if one of the errors in
/// the chain is no template's but a function's: then Helm shows Go's text.
pub(super) fn blocks(error: &gotmpl::Error) -> Option<String> {
    let innermost = error.chain().last()?;
    if matches!(
        innermost.kind(),
        gotmpl::ErrorKind::Function | gotmpl::ErrorKind::Limit
    ) {
        return None;
    }
    let mut out = String::new();
    let mut before = String::new();
    for frame in error.chain() {
        // What `tpl` puts before a failure is an error of its own.
        let wraps = frame.cause().is_some();
        if wraps && frame.detail().matches(": ").count() != 1 {
            return None;
        }
        let block = block(&frame.to_string())?;
        if block != before {
            out.push_str(&block);
        }
        before = block;
    }
    Some(out.trim().to_owned())
}

fn block(text: &str) -> Option<String> {
    let rest = text.strip_prefix("template: ")?;
    if rest.starts_with("no template ") {
        return Some(format!("{text}\n"));
    }
    // The text of the next frame follows after a blank.
    let alone = |message: &str| match message.find(" template:") {
        Some(at) => message[..at].to_owned(),
        None => message.to_owned(),
    };
    let message = |message: String| match message.as_str() {
        "" => String::new(),
        message => format!("{message}\n"),
    };
    if let Some((place, executing)) = rest.split_once(": executing ") {
        let (name, node) = executing.strip_prefix('"')?.split_once('"')?;
        let (node, problem) = node.strip_prefix(" at <")?.split_once(">: ")?;
        let problem = message(alone(problem));
        return Some(format!(
            "{place}\n  executing \"{name}\" at <{node}>:\n    {problem}"
        ));
    }
    let (place, problem) = rest.rsplit_once(": ")?;
    Some(format!("{place}\n  {}", message(alone(problem))))
}
