//! YAML as Kubernetes reads and writes it.
//!
//! Charts, manifests and patches mean what go-yaml v2, with the JSON detour
//! of `sigs.k8s.io/yaml`, makes of them: `on` is true, `017` is 15, `y: 1` has
//! the key `"true"`. This module is that reader and that writer, to the byte
//! and with the same error texts, for go-yaml 2.4 (all of Helm 3.12 to 4.2).
//!
//! ```
//! use gitops_core::yaml;
//! let value = yaml::parse(b"replicas: 017\npaused: no\nimage: nginx:1.27\n")?;
//! assert_eq!(value.at(&["replicas"]).and_then(|n| n.as_i64()), Some(15));
//! assert_eq!(yaml::to_string(&value)?, "image: nginx:1.27\npaused: false\nreplicas: 15\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What may surprise:
//!
//! - [`parse`] reads the first document of a stream and no further, as Helm;
//!   [`documents`] reads all.
//! - Of duplicate keys the last wins, unless [`Options::duplicate_keys`] says
//!   otherwise.
//! - A merge (`<<`) overrides keys written before it, as in go-yaml v2.
//! - Collections nest at most [`Options::max_depth`] levels, where go-yaml
//!   allows 10,000: a [`Value`] is walked recursively.
//! - The writer orders keys as people do (`b2` before `b10`), folds lines at
//!   80 columns and does not indent lists, see [`Writer`].
//!
//! The usual block style is read by a loader that goes through lines without
//! making tokens; whatever it does not know goes to a port of go-yaml's
//! scanner and parser. Both give the same values.

mod block;
mod compose;
mod go_syntax;
mod input;
pub mod node;
mod order;
mod parse;
mod resolve;
mod scan;
mod write;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use super::number::{self, JsonNumber};
use super::{Value, path};
use input::Input;
use scan::Mark;
pub use write::{Dialect, Style, WriteError, Writer, to_string, to_string_pretty, to_string_with};

/// How a document is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What becomes of numbers.
    pub numbers: Numbers,
    /// What becomes of a key that a mapping already has.
    pub duplicate_keys: DuplicateKeys,
    /// How many collections may be inside one another.
    pub max_depth: usize,
}

impl Default for Options {
    /// Exact numbers, the last of duplicate keys, 1000 levels.
    fn default() -> Self {
        Options {
            numbers: Numbers::default(),
            duplicate_keys: DuplicateKeys::default(),
            max_depth: super::MAX_DEPTH,
        }
    }
}

/// What becomes of numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Numbers {
    /// Integers stay integers, and floats that JSON writes as integers become
    /// integers, as everywhere in Kubernetes: `1.0` is read as `1`.
    #[default]
    Json,
    /// Every number becomes a float, as in Helm's values: what Go's
    /// `encoding/json` does without a type to decode into.
    Float64,
}

impl Numbers {
    /// A number that YAML wrote, as it comes out of JSON.
    pub(crate) fn of(self, value: Value) -> Value {
        match (self, value) {
            (Numbers::Float64, Value::Int(number)) => Value::Float(number as f64),
            (Numbers::Float64, Value::UInt(number)) => Value::Float(number as f64),
            (Numbers::Json, Value::Float(number)) => match number::through_json(number) {
                Some(JsonNumber::Int(number)) => Value::Int(number),
                Some(JsonNumber::UInt(number)) => Value::UInt(number),
                None => Value::Float(number),
            },
            (_, value) => value,
        }
    }
}

/// What becomes of a key that a mapping already has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DuplicateKeys {
    /// The value written last is kept.
    #[default]
    LastWins,
    /// The document is refused, with the lines of all duplicates.
    Error,
}

/// One document of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// What it says.
    pub value: Value,
    /// The line of the stream, from 1, on which its content begins.
    pub line: u32,
    /// Whether nothing at all is written in it, but perhaps comments.
    pub empty: bool,
}

/// Why a document cannot be read.
///
/// Displayed as go-yaml prints it, `yaml: line 3: did not find expected key`,
/// with the line that go-yaml believes in; [`line`](Error::line) and
/// [`column`](Error::column) say where the problem was noticed in fact.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Repr>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Repr {
    /// Messages of the JSON stage have no `yaml: ` before them.
    from_json: bool,
    problem: String,
    go_line: Option<u32>,
    /// From 1; 0 if unknown.
    line: u32,
    column: u32,
}

impl Error {
    fn new(problem: String, go_line: Option<u32>, mark: Mark) -> Self {
        Error(Box::new(Repr {
            from_json: false,
            problem,
            go_line,
            line: mark.line + 1,
            column: mark.column + 1,
        }))
    }

    fn bare(problem: String, mark: Mark) -> Self {
        let mut this = Error::new(problem, None, mark);
        this.0.from_json = true;
        this
    }

    fn nowhere(problem: String) -> Self {
        Error(Box::new(Repr {
            from_json: false,
            problem,
            go_line: None,
            line: 0,
            column: 0,
        }))
    }

    /// What is wrong, without a position: `did not find expected key`.
    pub fn problem(&self) -> &str {
        &self.0.problem
    }

    /// The line at which the problem was noticed, from 1; 0 if it is not
    /// known, as for bytes that are no text.
    pub fn line(&self) -> u32 {
        self.0.line
    }

    /// The column in characters, from 1; 0 if it is not known.
    pub fn column(&self) -> u32 {
        self.0.column
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.from_json {
            f.write_str("yaml: ")?;
        }
        if let Some(line) = self.0.go_line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(&self.0.problem)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl std::error::Error for Error {}

/// Reads the first document of `text`; an empty one is [`Value::Null`].
///
/// # Errors
///
/// [`Error`] if it is not YAML, or YAML that has no meaning in JSON.
pub fn parse(text: &[u8]) -> Result<Value, Error> {
    parse_with(text, &Options::default())
}

/// Reads the first document of `text` as `options` say.
///
/// # Errors
///
/// As [`parse`].
pub fn parse_with(text: &[u8], options: &Options) -> Result<Value, Error> {
    let input = Input::new(text)?;
    let values = &mut block::Values { options };
    if let Some(found) = block::document(&input, &Boundary::default(), values) {
        return Ok(found.node.unwrap_or_default());
    }
    first(&input, options)
}

/// Reads the first document of `text` as [`parse`] does, and keeps of a mapping
/// the entries whose keys are `wanted`. The others are read all the same, so
/// that nothing wrong in them is missed, but nothing is made of them.
///
/// # Errors
///
/// As [`parse`].
///
/// ```
/// use gitops_core::yaml;
/// let text = b"kind: List\nitems: [1, 2, 3]\n";
/// let head = yaml::parse_entries(text, |key| key != "items")?;
/// assert_eq!(head, yaml::parse(b"kind: List")?);
/// assert!(yaml::parse_entries(b"kind: List\nitems: [", |key| key != "items").is_err());
/// # Ok::<(), yaml::Error>(())
/// ```
pub fn parse_entries(text: &[u8], wanted: impl Fn(&str) -> bool) -> Result<Value, Error> {
    let options = Options::default();
    let input = Input::new(text)?;
    let chosen = &mut block::Chosen::new(&options, &wanted);
    if let Some(found) = block::document(&input, &Boundary::default(), chosen) {
        return Ok(found.node.unwrap_or_default());
    }
    Ok(match first(&input, &options)? {
        Value::Map(map) => {
            let entries = map.into_iter().filter(|(key, _)| wanted(key));
            Value::Map(entries.collect())
        }
        other => other,
    })
}

/// [`parse_with`] without the fast path; for tests that compare the two.
#[doc(hidden)]
pub fn parse_slowly(text: &[u8], options: &Options) -> Result<Value, Error> {
    let input = Input::new(text)?;
    first(&input, options)
}

fn first(input: &Input<'_>, options: &Options) -> Result<Value, Error> {
    let parser = parse::Parser::new(input, 0..input.text.len(), 0);
    let document = compose::Composer::new(parser, options, false).document()?;
    Ok(document.map_or(Value::Null, |document| document.value))
}

/// Reads the first document of `text` and where in it everything is written.
///
/// # Errors
///
/// As [`parse`].
///
/// ```
/// use gitops_core::yaml;
/// let (_, spans) = yaml::parse_spanned(b"spec:\n  source:\n    repoUrl: x\n")?;
/// let place = spans.locate("spec.source.repoUrl").unwrap();
/// assert_eq!((place.line, place.column), (3, 5));
/// # Ok::<(), yaml::Error>(())
/// ```
pub fn parse_spanned(text: &[u8]) -> Result<(Value, Spans), Error> {
    let input = Input::new(text)?;
    let parser = parse::Parser::new(&input, 0..input.text.len(), 0);
    let options = Options::default();
    let mut composer = compose::Composer::new(parser, &options, true);
    let document = composer.document()?;
    let value = document.map_or(Value::Null, |document| document.value);
    Ok((value, composer.spans().clone()))
}

/// The line and column, from 1, at which `path` is written in the document of
/// `text` whose content begins on `line`, or the innermost part of the path
/// that is there.
///
/// Paths look as in [`Spans::locate`]. `None` if the text cannot be read or
/// has no document there.
pub fn locate(text: &[u8], line: u32, path: &str) -> Option<(u32, u32)> {
    let place = spans(text, line)?.locate(path)?;
    Some((place.line, place.column))
}

/// Where the parts of the document are written whose content begins on `line`.
pub(crate) fn spans(text: &[u8], line: u32) -> Option<Spans> {
    let input = Input::new(text).ok()?;
    let options = Options::default();
    let mut section = Boundary::default();
    while let Some(next) = section.after(&input)
        && next.line < line
    {
        section = next;
    }
    let parser = parse::Parser::new(&input, section.pos..input.text.len(), section.line);
    let mut composer = compose::Composer::new(parser, &options, true);
    while let Ok(Some(document)) = composer.document() {
        if document.line >= line {
            return Some(composer.spans().clone());
        }
    }
    None
}

/// Reads every document of a stream, in order.
///
/// After one that cannot be read the next `---` is where reading goes on.
///
/// ```
/// use gitops_core::yaml;
/// let text = b"# one\na: 1\n---\n---\nb: [\n---\nc: 3\n";
/// let lines: Vec<_> = yaml::documents(text)
///     .map(|document| document.map(|d| (d.line, d.empty)).map_err(|e| e.line()))
///     .collect();
/// assert_eq!(lines, [Ok((2, false)), Ok((4, true)), Err(6), Ok((7, false))]);
/// ```
pub fn documents(text: &[u8]) -> Documents<'_> {
    documents_with(text, Options::default())
}

/// Reads every document of a stream as `options` say.
pub fn documents_with(text: &[u8], options: Options) -> Documents<'_> {
    Documents {
        input: Input::new(text),
        next: Some(Boundary::default()),
        options,
        ready: VecDeque::new(),
    }
}

/// The documents of a stream; see [`documents`].
#[derive(Debug)]
pub struct Documents<'a> {
    input: Result<Input<'a>, Error>,
    /// Where to go on; `None` at the end.
    next: Option<Boundary>,
    options: Options,
    /// Documents that were read ahead.
    ready: VecDeque<Result<Document, Error>>,
}

impl Iterator for Documents<'_> {
    type Item = Result<Document, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(document) = self.ready.pop_front() {
                return Some(document);
            }
            let start = self.next.take()?;
            let input = match &self.input {
                Ok(input) => input,
                Err(error) => return Some(Err(error.clone())),
            };
            let values = &mut block::Values {
                options: &self.options,
            };
            if let Some(found) = block::document(input, &start, values) {
                let end = start.forward(input, found.end);
                if found.end < input.text.len() {
                    self.next = Some(end);
                }
                if found.exists {
                    return Some(Ok(Document {
                        line: start.forward(input, found.start).line + 1,
                        empty: found.node.is_none(),
                        value: found.node.unwrap_or_default(),
                    }));
                }
            } else {
                self.next = read_section(input, &start, &self.options, &mut self.ready);
            }
        }
    }
}

/// Reads with the parser up to the next `---` and returns that. Where the
/// stream has other marks than `---` it is read to its end.
fn read_section(
    input: &Input<'_>,
    start: &Boundary,
    options: &Options,
    ready: &mut VecDeque<Result<Document, Error>>,
) -> Option<Boundary> {
    let mut next = start.after(input);
    let section = next.as_ref().map_or(input.text.len(), |next| next.pos);
    let has_other_marks = {
        let text = &input.text.as_bytes()[start.pos..section];
        text.starts_with(b"%")
            || memchr::memmem::find(text, b"\n%").is_some()
            || text.starts_with(b"...")
            || memchr::memmem::find(text, b"\n...").is_some()
    };
    let end = if has_other_marks {
        input.text.len()
    } else {
        section
    };
    let parser = parse::Parser::new(input, start.pos..end, start.line);
    let mut composer = compose::Composer::new(parser, options, false);
    loop {
        match composer.document() {
            Ok(Some(document)) => ready.push_back(Ok(document)),
            Ok(None) => return if has_other_marks { None } else { next },
            // What has no line is the matter with the bytes, of which these
            // are the last that can be read.
            Err(error) if has_other_marks && error.line() == 0 => {
                ready.push_back(Err(error));
                return None;
            }
            Err(error) => {
                // Nothing before the error is tried again.
                while let Some(boundary) = &next
                    && has_other_marks
                    && boundary.line < error.line()
                {
                    next = boundary.after(input);
                }
                ready.push_back(Err(error));
                return next;
            }
        }
    }
}

/// The start of a document in a stream.
#[derive(Clone, Debug, Default)]
struct Boundary {
    pos: usize,
    /// Lines before it.
    line: u32,
}

impl Boundary {
    /// The next line that starts with `---`.
    fn after(&self, input: &Input<'_>) -> Option<Boundary> {
        let bytes = input.text.as_bytes();
        let mut from = self.pos;
        loop {
            let found = from + memchr::memmem::find(&bytes[from..], b"\n---")? + 1;
            if matches!(
                bytes.get(found + 3),
                None | Some(b' ' | b'\t' | b'\n' | b'\r')
            ) {
                return Some(self.forward(input, found));
            }
            from = found;
        }
    }

    fn forward(&self, input: &Input<'_>, pos: usize) -> Boundary {
        let passed = &input.text[self.pos..pos];
        let lines = if input.rare_breaks {
            count_breaks(passed)
        } else {
            memchr::memchr_iter(b'\n', passed.as_bytes()).count() as u32
        };
        Boundary {
            pos,
            line: self.line + lines,
        }
    }
}

fn count_breaks(text: &str) -> u32 {
    let mut previous = '\0';
    let mut count = 0;
    for character in text.chars() {
        let is_break = match character {
            '\n' => previous != '\r',
            '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => true,
            _ => false,
        };
        count += u32::from(is_break);
        previous = character;
    }
    count
}

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
}

/// Where the parts of a document are written; see [`parse_spanned`].
#[derive(Clone, Debug, Default)]
pub struct Spans {
    places: BTreeMap<String, Place>,
    /// The key whose value comes next.
    next_key: Option<Place>,
}

impl Spans {
    /// Where the field at `path` is written (its key), or the innermost part
    /// of the path that is written; `None` for an empty document.
    ///
    /// Paths look like `spec.sources[0].repoURL`; keys with dots or brackets
    /// like `metadata.annotations["example.com/key"]`.
    pub fn locate(&self, path: &str) -> Option<Place> {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return Some(*place);
            }
            path = path::parent(path)?;
        }
    }
}
