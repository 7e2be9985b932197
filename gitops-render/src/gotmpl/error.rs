//! Why a template could not be parsed or executed, in Go's words.

use std::fmt;
use std::sync::Arc;

use super::ast::{Mark, Template};
use super::function::{Cause, Failure};

/// A template failed. Branch on [`kind`](Error::kind); display it to explain.
///
/// The text is Go's, to the byte: the failure of an included template is part
/// of the text of the one that included it. So `std::error::Error::source`
/// stays empty, and [`cause`](Error::cause) walks down the chain instead.
pub struct Error(Box<Repr>);

struct Repr {
    kind: ErrorKind,
    at: Option<Location>,
    /// The text behind the location and before the cause's.
    detail: String,
    cause: Option<Error>,
    /// Of the innermost error: the calls that led to it.
    stack: Vec<Frame>,
    missing: Option<Missing>,
}

/// A node of a template: one that called another template, or the one that
/// failed.
#[derive(Clone, Debug)]
pub struct Frame {
    pub(super) template: Arc<Template>,
    pub(super) node: Mark,
}

impl Frame {
    /// Where it is.
    pub fn location(&self) -> Location {
        self.template.locate(self.node)
    }

    /// The text of the file that it is in.
    pub fn source(&self) -> &[u8] {
        &self.template.source.text
    }
}

/// A value that was read from although it is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// The names that lead to it from what the file was given (`Values`,
    /// `image`, `registry`), as far as it is part of that.
    pub path: Option<Vec<String>>,
    /// What the template calls it.
    pub expression: String,
    /// The Go type of what is there, if it is something that has no fields.
    pub found: Option<String>,
    /// The keys that are beside it, in order.
    pub keys: Vec<String>,
}

impl Missing {
    /// The key beside it that looks most like it.
    pub fn nearest(&self) -> Option<&str> {
        let wanted = self.expression.rsplit('.').next()?;
        nearest(wanted, self.keys.iter().map(String::as_str))
    }
}

/// Of some names the one most like `wanted`, unless none is like it.
fn nearest<'n>(wanted: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let fold = |text: &str| text.to_lowercase();
    let wanted = fold(wanted);
    names
        .filter(|name| name.len() <= 128)
        .map(|name| (distance(&wanted, &fold(name)), name))
        .filter(|(distance, name)| *distance <= 1 + wanted.len().max(name.len()) / 4)
        .min()
        .map(|(_, name)| name)
}

/// How many letters must be changed, added, dropped or swapped with the next.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let change = row[j] + usize::from(a != b);
            let mut least = change.min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                least = least.min(before[j - 1] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[to.len()]
}

/// Where a template failed.
#[derive(Clone, Debug)]
pub struct Location {
    /// The file whose text holds the place: the name it was parsed under.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
    /// The byte within the line, from 0 as Go counts; errors of the parser
    /// know only the line.
    pub column: Option<usize>,
    /// The template that was executing, which a `define` may have named.
    pub template: Option<Arc<str>>,
    /// The part of the template that failed, written as Go writes it.
    pub node: Option<String>,
}

/// What kind of failure an [`Error`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text is not a template.
    Parse,
    /// There is no template of that name.
    Undefined,
    /// An expression could not be evaluated: a field that is not there, an
    /// argument of the wrong type.
    Evaluate,
    /// A function returned an error.
    Function,
    /// The template called `fail` or `required`, see [`Error::abort`].
    Abort,
    /// A [`Limits`](super::Limits) was reached.
    Limit,
}

impl Error {
    pub(super) fn new(kind: ErrorKind, at: Option<Location>, detail: impl Into<String>) -> Self {
        Error(Box::new(Repr {
            kind,
            at,
            detail: detail.into(),
            cause: None,
            stack: Vec::new(),
            missing: None,
        }))
    }

    pub(super) fn within(mut self, stack: Vec<Frame>) -> Self {
        self.0.stack = stack;
        self
    }

    pub(super) fn missing_value(mut self, missing: Missing) -> Self {
        self.0.missing = Some(missing);
        self
    }

    /// The failure of a function or method that was called at `at`.
    pub(super) fn calling(at: Location, name: &str, failure: Failure) -> Self {
        let prefix = format!("error calling {name}: ");
        match failure.into_cause() {
            Cause::Message(text) => Error::new(ErrorKind::Function, Some(at), prefix + &text),
            Cause::Abort(text) => Error(Box::new(Repr {
                kind: ErrorKind::Abort,
                at: Some(at),
                detail: prefix,
                cause: Some(Error::new(ErrorKind::Abort, None, text)),
                stack: Vec::new(),
                missing: None,
            })),
            Cause::Limit(text) => Error::new(ErrorKind::Limit, Some(at), prefix + &text),
            Cause::Template(inner, cause) => Error(Box::new(Repr {
                kind: cause.kind(),
                at: Some(at),
                detail: prefix + &inner,
                cause: Some(cause),
                stack: Vec::new(),
                missing: None,
            })),
        }
    }

    /// What kind of failure it is: that of the innermost cause.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Where it failed; the outermost place, if templates include each other.
    /// `None` if no template was executing.
    pub fn location(&self) -> Option<&Location> {
        self.0.at.as_ref()
    }

    /// The failure of the template that this one included, if any.
    pub fn cause(&self) -> Option<&Error> {
        self.0.cause.as_ref()
    }

    /// This failure and its causes, outermost first.
    pub fn chain(&self) -> impl Iterator<Item = &Error> {
        std::iter::successors(Some(self), |error| error.cause())
    }

    /// The calls of templates that led to the failure, outermost first, and
    /// last the node that failed. It has those of `{{template}}` too, which
    /// the text does not mention. Empty for errors of the parser.
    pub fn stack(&self) -> &[Frame] {
        self.chain()
            .map(|error| &error.0.stack[..])
            .find(|stack| !stack.is_empty())
            .unwrap_or_default()
    }

    /// The value that was read from and is not there, if that is what failed.
    pub fn missing(&self) -> Option<&Missing> {
        self.chain().find_map(|error| error.0.missing.as_ref())
    }

    /// What went wrong at this place, without the place and the cause.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The message that the template gave to `fail` or `required`.
    pub fn abort(&self) -> Option<&str> {
        (self.kind() == ErrorKind::Abort).then(|| {
            let innermost = self.chain().last().expect("a chain starts with self");
            innermost.detail()
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for error in self.chain() {
            if let Some(at) = &error.0.at {
                write!(f, "template: {at}: ")?;
            }
            f.write_str(&error.0.detail)?;
        }
        Ok(())
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)?;
        if let Some(column) = self.column {
            write!(f, ":{column}")?;
        }
        if let Some(template) = &self.template {
            write!(
                f,
                ": executing {}",
                super::printf::quote(template.as_bytes())
            )?;
        }
        if let Some(node) = &self.node {
            write!(f, " at <{node}>")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    /// Without the templates, whose text may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("text", &self.to_string())
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Error {}
