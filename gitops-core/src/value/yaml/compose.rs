//! Events into a [`Value`]: what go-yaml v2.4 `decode.go` does, followed by
//! the detour through JSON that Kubernetes takes.
//!
//! go-yaml builds all nodes of a document before it decodes any, so an error
//! of syntax anywhere goes before one of meaning. Here both happen in one pass
//! over the events; errors of meaning wait until the document ends.
//!
//! | rank | error                                         | raised by        |
//! |------|-----------------------------------------------|------------------|
//! | 1    | syntax, unknown anchors                       | go-yaml, parsing |
//! | 2    | tags, merges, map keys, too many aliases      | go-yaml decoding |
//! | 3    | duplicate keys, if asked for                  | go-yaml strict   |
//! | 4    | keys that JSON cannot have                    | conversion       |
//! | 5    | infinities and NaN                            | JSON             |
//!
//! An alias is a clone of what the anchor holds, which costs a reference
//! count. The limit on aliases is kept all the same, counted as if they had
//! been expanded: whoever writes the value out pays for the expansion.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use base64::Engine as _;

use super::parse::{Event, EventKind, Parser};
use super::resolve::{self, Scalar, TAG_PREFIX};
use super::scan::{Fault, Mark, Stage};
use super::{Dialect, Document, DuplicateKeys, Error, Options, Place, Spans};
use crate::value::{List, Map, Str, Value, number, path};

pub(super) struct Composer<'a, 'o> {
    parser: Parser<'a>,
    options: &'o Options,
    spans: Option<Spans>,
}

/// What is known about a document while it is read.
struct State<'a> {
    stack: Vec<Frame<'a>>,
    anchors: HashMap<&'a str, Anchored>,
    root: Option<Value>,
    late: Late,
    counts: Counts,
    path: String,
}

/// The errors that wait for the end of the document, by rank.
#[derive(Default)]
struct Late {
    decoding: Option<Error>,
    duplicates: Vec<String>,
    first_duplicate: Mark,
    conversion: Option<Error>,
    not_json: Option<Error>,
}

/// go-yaml's defence against documents that are mostly aliases.
#[derive(Default)]
struct Counts {
    decoded: u64,
    aliased: u64,
}

struct Frame<'a> {
    collection: Collection,
    anchor: Option<&'a str>,
    mark: Mark,
    decoded_before: u64,
    /// Levels of collections below this one.
    height: usize,
    path_before: usize,
}

enum Collection {
    List(List),
    Map {
        entries: ecow::EcoVec<(Str, Value)>,
        slot: Slot,
        /// The keys so far, if duplicates are errors.
        known: Option<HashSet<Str>>,
    },
}

/// What the next node of a mapping is.
enum Slot {
    Key,
    Value(Key),
    /// The value of a key that is an error already.
    Ignored,
    /// The value of a key that JSON cannot have, which the error shows.
    NotJson(String),
    /// The value of `<<`.
    Merge,
}

struct Key {
    text: Str,
    /// Whether it is text in YAML too; messages show other keys without
    /// quotes.
    quoted: bool,
}

#[derive(Clone)]
enum Anchored {
    /// Still being read: an alias to it would contain itself.
    Open,
    Done {
        node: Node,
        decoded: u64,
        height: usize,
    },
}

/// A finished node, before it is known whether it is a key or a value.
#[derive(Clone)]
struct Node {
    value: Value,
    /// `<<`, written out and without quotes.
    merge: bool,
    alias: bool,
}

impl<'a, 'o> Composer<'a, 'o> {
    pub(super) fn new(parser: Parser<'a>, options: &'o Options, spans: bool) -> Self {
        Composer {
            parser,
            options,
            spans: spans.then(Spans::default),
        }
    }

    /// Where the parts of the last document were written.
    ///
    /// # Panics
    ///
    /// If they were not asked for.
    pub(super) fn spans(&self) -> &Spans {
        self.spans.as_ref().expect("spans were asked for")
    }

    /// The next document of the stream; `None` at its end.
    pub(super) fn document(&mut self) -> Result<Option<Document>, Error> {
        let first = self.event()?;
        if !matches!(first.kind, EventKind::DocumentStart) {
            return Ok(None);
        }
        if let Some(spans) = &mut self.spans {
            *spans = Spans::default();
        }
        let mut state = State {
            stack: Vec::new(),
            anchors: HashMap::new(),
            root: None,
            late: Late::default(),
            counts: Counts {
                decoded: 1,
                aliased: 0,
            },
            path: String::new(),
        };
        let mut start = None;
        let mut written = false;
        loop {
            let event = self.event()?;
            if start.is_none() {
                start = Some(event.mark);
                written = !matches!(&event.kind, EventKind::Scalar { text, implicit: true, .. }
                    if text.is_empty() && event.anchor.is_none());
            }
            if matches!(event.kind, EventKind::DocumentEnd) {
                break;
            }
            self.apply(event, &mut state)?;
        }
        let value = state.root.unwrap_or_default();
        if state.late.not_json.is_some() && all_finite(&value) {
            // A later duplicate took its place.
            state.late.not_json = None;
        }
        if let Some(error) = state.late.into_error() {
            return Err(error);
        }
        Ok(Some(Document {
            value,
            line: start.unwrap_or_default().line + 1,
            empty: !written,
        }))
    }

    fn event(&mut self) -> Result<Event<'a>, Error> {
        self.parser
            .next()
            .map_err(|fault| syntax(&fault, Lines::OfProblem))
    }

    fn apply(&mut self, event: Event<'a>, state: &mut State<'a>) -> Result<(), Error> {
        let mark = event.mark;
        match event.kind {
            EventKind::SequenceStart { .. } => {
                self.enter(event, Collection::List(List::new()), state)
            }
            EventKind::MappingStart { .. } => {
                let strict = self.options.duplicate_keys == DuplicateKeys::Error;
                let map = Collection::Map {
                    entries: ecow::EcoVec::new(),
                    slot: Slot::Key,
                    known: strict.then(HashSet::new),
                };
                self.enter(event, map, state)
            }
            EventKind::SequenceEnd | EventKind::MappingEnd => {
                let frame = state.stack.pop().expect("ends follow their starts");
                state.path.truncate(frame.path_before);
                let value = match frame.collection {
                    Collection::List(list) => Value::List(list),
                    Collection::Map { entries, .. } => Value::Map(Map::from_entries(entries)),
                };
                let node = Node {
                    value,
                    merge: false,
                    alias: false,
                };
                let height = frame.height + 1;
                if let Some(name) = frame.anchor {
                    let decoded = state.counts.decoded - frame.decoded_before;
                    let node = node.clone();
                    state.anchors.insert(
                        name,
                        Anchored::Done {
                            node,
                            decoded,
                            height,
                        },
                    );
                }
                self.place(node, height, frame.mark, state);
                Ok(())
            }
            EventKind::Scalar { text, implicit, .. } => {
                let merge = text == "<<" && (implicit || is_standard(&event.tag, "merge"));
                let as_key = merge && state.expects_key();
                if !as_key {
                    state.count(1, mark);
                }
                let value = match self.scalar(text, implicit, &event.tag) {
                    Ok(value) => value,
                    Err(problem) => {
                        state.late.decode(problem, mark);
                        Value::Null
                    }
                };
                let node = Node {
                    value,
                    merge,
                    alias: false,
                };
                if let Some(name) = event.anchor {
                    let node = node.clone();
                    state.anchors.insert(
                        name,
                        Anchored::Done {
                            node,
                            decoded: 1,
                            height: 0,
                        },
                    );
                }
                self.place(node, 0, mark, state);
                Ok(())
            }
            EventKind::Alias(name) => self.alias(name, mark, state),
            EventKind::DocumentStart | EventKind::DocumentEnd | EventKind::StreamEnd => Ok(()),
        }
    }

    fn enter(
        &mut self,
        event: Event<'a>,
        collection: Collection,
        state: &mut State<'a>,
    ) -> Result<(), Error> {
        if state.stack.len() >= self.options.max_depth {
            return Err(self.too_deep(event.mark));
        }
        // A list that is the value of `<<` is not decoded itself.
        let merged_list =
            matches!(collection, Collection::List(_)) && matches!(state.slot(), Some(Slot::Merge));
        if !merged_list {
            state.count(1, event.mark);
        }
        if let Some(name) = event.anchor {
            state.anchors.insert(name, Anchored::Open);
        }
        let path_before = state.path.len();
        self.note(event.mark, state);
        state.stack.push(Frame {
            collection,
            anchor: event.anchor,
            mark: event.mark,
            decoded_before: state.counts.decoded - u64::from(!merged_list),
            height: 0,
            path_before,
        });
        Ok(())
    }

    fn alias(&mut self, name: &'a str, mark: Mark, state: &mut State<'a>) -> Result<(), Error> {
        let Some(anchored) = state.anchors.get(name).cloned() else {
            return Err(Error::new(
                format!("unknown anchor '{name}' referenced"),
                None,
                mark,
            ));
        };
        match anchored {
            Anchored::Open => {
                state
                    .late
                    .decode(format!("anchor '{name}' value contains itself"), mark);
                let node = Node {
                    value: Value::Null,
                    merge: false,
                    alias: true,
                };
                self.place(node, 0, mark, state);
            }
            Anchored::Done {
                node,
                decoded,
                height,
            } => {
                if state.stack.len() + height > self.options.max_depth {
                    return Err(self.too_deep(mark));
                }
                state.counts.aliased = state.counts.aliased.saturating_add(decoded);
                state.count(decoded.saturating_add(1), mark);
                let node = Node {
                    alias: true,
                    ..node
                };
                self.place(node, height, mark, state);
            }
        }
        Ok(())
    }

    /// Puts a finished node where it belongs.
    fn place(&mut self, node: Node, height: usize, mark: Mark, state: &mut State<'a>) {
        if matches!(node.value, Value::List(_) | Value::Map(_)) && !node.alias {
            // Noted when it was entered.
        } else {
            let before = state.path.len();
            self.note(mark, state);
            state.path.truncate(before);
        }
        let Some(frame) = state.stack.last_mut() else {
            state.root = Some(self.value(node.value, mark, &mut state.late));
            return;
        };
        frame.height = frame.height.max(height);
        let (entries, slot, known) = match &mut frame.collection {
            Collection::List(list) => {
                let value = self.value(node.value, mark, &mut state.late);
                list.push(value);
                return;
            }
            Collection::Map {
                entries,
                slot,
                known,
            } => (entries, slot, known),
        };
        match std::mem::replace(slot, Slot::Key) {
            Slot::Key if node.merge && !node.alias => *slot = Slot::Merge,
            Slot::Key => *slot = key(node.value, mark, &mut state.late),
            Slot::Ignored => {}
            Slot::NotJson(mut problem) => {
                problem.push_str(", value: ");
                super::go_syntax::push_outer(&mut problem, &node.value);
                state
                    .late
                    .conversion
                    .get_or_insert_with(|| Error::bare(problem, mark));
            }
            Slot::Value(key) => {
                let value = self.value(node.value, mark, &mut state.late);
                if is_new(known, &key, mark, &mut state.late) {
                    entries.push((key.text, value));
                }
            }
            Slot::Merge => {
                let maps = match &node.value {
                    Value::Map(map) => std::slice::from_ref(map).iter().collect(),
                    Value::List(list) if !node.alias => {
                        list.iter().map_while(Value::as_map).collect::<Vec<_>>()
                    }
                    _ => Vec::new(),
                };
                let expected = match &node.value {
                    Value::Map(_) => 1,
                    Value::List(list) if !node.alias => list.len(),
                    _ => usize::MAX,
                };
                if maps.len() != expected {
                    state.late.decode(
                        "map merge requires map or sequence of maps as the value".to_owned(),
                        mark,
                    );
                    return;
                }
                // Earlier maps of a list win, and what is written last does.
                for (key, value) in maps.into_iter().rev().flat_map(Map::iter) {
                    let key = Key {
                        text: key.clone(),
                        quoted: true,
                    };
                    if is_new(known, &key, mark, &mut state.late) {
                        entries.push((key.text, value.clone()));
                    }
                }
            }
        }
    }

    /// A scalar as the value it stands for; collections are left alone.
    fn value(&self, value: Value, mark: Mark, late: &mut Late) -> Value {
        if let Value::Float(number) = value
            && !number.is_finite()
        {
            let mut text = Vec::new();
            number::push_go(&mut text, number);
            late.not_json.get_or_insert_with(|| {
                let text = String::from_utf8_lossy(&text);
                Error::bare(format!("json: unsupported value: {text}"), mark)
            });
        }
        self.options.numbers.of(value)
    }

    fn scalar(&self, text: Cow<'a, str>, implicit: bool, tag: &str) -> Result<Value, String> {
        let scalar = match tag.strip_prefix(TAG_PREFIX) {
            _ if tag.is_empty() && !implicit => Scalar::Text,
            _ if tag.is_empty() => resolve::plain(&text, Dialect::GoYaml2),
            Some(tag @ ("bool" | "int" | "float" | "null" | "timestamp")) => {
                resolve::tagged(&text, tag)?
            }
            Some("binary") => return binary(&text),
            _ => Scalar::Text,
        };
        Ok(match scalar {
            Scalar::Null => Value::Null,
            Scalar::Bool(flag) => Value::Bool(flag),
            Scalar::Int(number) => Value::Int(number),
            Scalar::UInt(number) => Value::UInt(number),
            Scalar::Float(number) => Value::Float(number),
            Scalar::Text | Scalar::Timestamp => Value::String(Str::from(text)),
        })
    }

    fn too_deep(&self, mark: Mark) -> Error {
        let problem = format!("exceeded max depth of {}", self.options.max_depth);
        Error::new(problem, Some(mark.line + 1), mark)
    }

    /// Extends the path by the node that begins at `mark` and remembers it.
    fn note(&mut self, mark: Mark, state: &mut State<'a>) {
        let Some(spans) = &mut self.spans else { return };
        let place = Place {
            line: mark.line + 1,
            column: mark.column + 1,
        };
        match state.stack.last().map(|frame| &frame.collection) {
            None => {}
            Some(Collection::List(list)) => path::push_index(&mut state.path, list.len()),
            Some(Collection::Map { slot, .. }) => match slot {
                Slot::Value(key) => {
                    path::push_key(&mut state.path, &key.text);
                    // The key's own place was noted under `next_key`.
                    if let Some(place) = spans.next_key.take() {
                        spans.places.insert(state.path.clone(), place);
                    }
                    return;
                }
                Slot::Key => {
                    spans.next_key = Some(place);
                    return;
                }
                Slot::Ignored | Slot::NotJson(_) | Slot::Merge => return,
            },
        }
        spans.places.insert(state.path.clone(), place);
    }
}

impl State<'_> {
    fn slot(&self) -> Option<&Slot> {
        match &self.stack.last()?.collection {
            Collection::Map { slot, .. } => Some(slot),
            Collection::List(_) => None,
        }
    }

    fn expects_key(&self) -> bool {
        matches!(self.slot(), Some(Slot::Key))
    }

    fn count(&mut self, decoded: u64, mark: Mark) {
        self.counts.decoded = self.counts.decoded.saturating_add(decoded);
        if self.counts.are_excessive() {
            self.late
                .decode("document contains excessive aliasing".to_owned(), mark);
        }
    }
}

impl Counts {
    /// Up to 400,000 nodes 99 of 100 may come from aliases, from 4,000,000
    /// nodes one in ten.
    fn are_excessive(&self) -> bool {
        const LOW: f64 = 400_000.0;
        const HIGH: f64 = 4_000_000.0;
        if self.aliased <= 100 || self.decoded <= 1000 {
            return false;
        }
        let decoded = self.decoded as f64;
        let allowed = 0.99 - 0.89 * ((decoded - LOW) / (HIGH - LOW)).clamp(0.0, 1.0);
        self.aliased as f64 / decoded > allowed
    }
}

impl Late {
    fn decode(&mut self, problem: String, mark: Mark) {
        self.decoding
            .get_or_insert_with(|| Error::new(problem, None, mark));
    }

    fn into_error(self) -> Option<Error> {
        if let Some(error) = self.decoding {
            return Some(error);
        }
        if !self.duplicates.is_empty() {
            let lines = self.duplicates.join("\n  ");
            let problem = format!("unmarshal errors:\n  {lines}");
            return Some(Error::new(problem, None, self.first_duplicate));
        }
        self.conversion.or(self.not_json)
    }
}

fn all_finite(value: &Value) -> bool {
    match value {
        Value::Float(number) => number.is_finite(),
        Value::List(list) => list.iter().all(all_finite),
        Value::Map(map) => map.values().all(all_finite),
        _ => true,
    }
}

const NOT_JSON: &str = "unsupported map key of type:";

/// What a key of a mapping leaves to be done.
fn key(value: Value, mark: Mark, late: &mut Late) -> Slot {
    let text = match value {
        Value::String(text) => {
            return Slot::Value(Key { text, quoted: true });
        }
        Value::Bool(flag) => if flag { "true" } else { "false" }.into(),
        Value::Int(number) => itoa::Buffer::new().format(number).into(),
        Value::Float(number) => {
            let mut text = Vec::new();
            number::push_go_32(&mut text, number);
            match text.as_slice() {
                b"+Inf" => ".inf".into(),
                b"-Inf" => "-.inf".into(),
                b"NaN" => ".nan".into(),
                text => String::from_utf8_lossy(text).as_ref().into(),
            }
        }
        Value::Null => {
            return Slot::NotJson(format!("{NOT_JSON} %!s(<nil>), key: <nil>"));
        }
        Value::UInt(number) => {
            return Slot::NotJson(format!("{NOT_JSON} uint64, key: {number:#x}"));
        }
        Value::List(_) | Value::Map(_) => {
            let mut text = String::from("invalid map key: ");
            super::go_syntax::push(&mut text, &value);
            late.decode(text, mark);
            return Slot::Ignored;
        }
    };
    Slot::Value(Key {
        text,
        quoted: false,
    })
}

/// Whether `key` may be set: always, unless duplicates are errors.
fn is_new(known: &mut Option<HashSet<Str>>, key: &Key, mark: Mark, late: &mut Late) -> bool {
    let Some(known) = known else { return true };
    if known.insert(key.text.clone()) {
        return true;
    }
    if late.duplicates.is_empty() {
        late.first_duplicate = mark;
    }
    let mut text = format!("line {}: key ", mark.line + 1);
    if key.quoted {
        super::go_syntax::push_quoted(&mut text, &key.text);
    } else {
        text.push_str(&key.text);
    }
    text.push_str(" already set in map");
    late.duplicates.push(text);
    false
}

/// The bytes of a `!!binary`, which JSON then reads as text.
fn binary(text: &str) -> Result<Value, String> {
    let text: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text)
        .map_err(|_| "!!binary value contains invalid base64 data".to_owned())?;
    Ok(Value::String(crate::value::json::lossy(&bytes).into()))
}

fn is_standard(tag: &str, name: &str) -> bool {
    tag.strip_prefix(TAG_PREFIX) == Some(name)
}

/// The versions of go-yaml, which have different ideas of a fault's line.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Lines {
    /// Where the problem is: version 2, which `sigs.k8s.io/yaml` reads with.
    OfProblem,
    /// Where what it is in begins: version 3, which kyaml reads with.
    OfContext,
}

/// A fault with go-yaml's idea of its line.
pub(super) fn syntax(fault: &Fault, lines: Lines) -> Error {
    if fault.stage == Stage::Reader {
        return Error::nowhere(fault.problem.clone().into_owned());
    }
    let context = fault.context.unwrap_or_default().line;
    // The parser's lines count from 0 here, the scanner's from 1.
    let from = u32::from(fault.stage == Stage::Scanner);
    let line = match lines {
        Lines::OfProblem if fault.mark.line != 0 => Some(fault.mark.line + from),
        Lines::OfProblem => Some(context),
        Lines::OfContext if context != 0 => Some(context + from),
        Lines::OfContext => Some(fault.mark.line + from).filter(|_| fault.mark.line != 0),
    };
    let line = line.filter(|line| *line != 0);
    Error::new(fault.problem.clone().into_owned(), line, fault.mark)
}
