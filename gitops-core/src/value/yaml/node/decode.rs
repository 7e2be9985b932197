//! What a [`Tree`] means once it has been written and read again.
//!
//! Kustomize writes its trees with go-yaml v3, reads that into maps, writes
//! these as JSON and the JSON as YAML. The first two steps are not neutral: the
//! writer quotes what cannot stand unquoted where it is, and what is quoted is
//! text. This module says what comes out without writing anything.

use std::collections::HashMap;
use std::fmt;

use base64::Engine as _;

use super::super::resolve::{self, Scalar};
use super::super::{Dialect, Numbers, write};
use super::read::tag_of;
use super::{Content, Limits, Node, NodeId, Quoting, Style, Tag, Tree};
use crate::value::{List, Map, Sink, Str, Value, json, number};

/// Why a tree has no meaning in JSON; displayed as Go prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError(pub(super) String);

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DecodeError {}

/// How go-yaml begins a list of what does not fit.
const UNMARSHAL: &str = "yaml: unmarshal errors:";

/// How a scalar looks after it was written.
pub(super) struct Written<'a> {
    /// Its tag, if that is written too.
    pub(super) tag: Option<&'a Tag>,
    pub(super) quoting: Quoting,
}

impl<'a> Written<'a> {
    /// What go-yaml's `encoder.node` asks its emitter for, and what the
    /// emitter makes of that.
    pub(super) fn of(node: &'a Node, text: &str, flow: bool, key: bool) -> Self {
        let mut tag = Some(&node.tag).filter(|tag| **tag != Tag::None);
        let mut quoting = node.style.quoting;
        let mut force = false;
        if let Some(explicit) = tag
            && !node.style.tagged
        {
            let quoted = quoting != Quoting::Plain;
            if *explicit == Tag::Str && quoted {
                tag = None;
            } else {
                let own = tag_of(text);
                if own == *explicit {
                    tag = None;
                } else if *explicit == Tag::Str {
                    tag = None;
                    force = true;
                }
            }
        }
        if quoting == Quoting::Plain {
            if text.contains('\n') {
                quoting = Quoting::Literal;
            } else if force {
                quoting = Quoting::Double;
            }
        }
        let traits = write::Traits::of(text, Dialect::GoYaml3);
        if key && traits.is_multiline() {
            quoting = Quoting::Double;
        }
        if quoting == Quoting::Plain {
            let fits = match flow {
                true => traits.is_plain_in_flow(text),
                false => traits.is_plain(),
            };
            if !fits || (text.is_empty() && (flow || key)) {
                quoting = Quoting::Single;
            }
        }
        if quoting == Quoting::Single && !traits.fits_single_quotes() {
            quoting = Quoting::Double;
        }
        if matches!(quoting, Quoting::Literal | Quoting::Folded)
            && (!traits.fits_block() || flow || key)
        {
            quoting = Quoting::Double;
        }
        Written { tag, quoting }
    }
}

/// Whether a reader of YAML 1.1 takes `text`, unquoted, for something else
/// than text.
pub fn quotes_in_yaml_1_1(text: &str) -> bool {
    !text.is_empty()
        && !text.contains('\n')
        && !matches!(
            resolve::plain(text, Dialect::GoYaml2),
            Scalar::Text | Scalar::Timestamp
        )
}

impl Tree {
    /// What the node means in JSON, as it comes out of Kustomize.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] for keys that are there twice or that JSON cannot have,
    /// for numbers that it cannot have, and for tags that do not fit.
    pub fn to_value(&self, id: NodeId) -> Result<Value, DecodeError> {
        self.value(id, false, true).map_err(|error| {
            let mut lines = String::new();
            if error.0.starts_with(UNMARSHAL) {
                self.collect_duplicates(id, &mut 0, &mut lines);
            }
            match lines.is_empty() {
                true => error,
                false => DecodeError(UNMARSHAL.to_owned() + &lines),
            }
        })
    }

    /// Writes what the node means in JSON: [`to_value`](Tree::to_value) and
    /// [`Value::write_to`] in one step.
    ///
    /// # Errors
    ///
    /// As [`to_value`](Tree::to_value); what was written until then is of no
    /// use.
    pub fn write_to(&self, id: NodeId, sink: &mut impl Sink) -> Result<(), DecodeError> {
        self.write_meaning(id, false, true, &mut Vec::new(), sink)
            // Of several problems that one is said which is written first.
            .map_err(|error| self.to_value(id).err().unwrap_or(error))
    }

    /// Adds a line for every key of every mapping that is there twice. What is
    /// in a mapping that has some is not looked at.
    fn collect_duplicates(&self, id: NodeId, count: &mut usize, lines: &mut String) {
        /// Go says all, however many they are.
        const MOST: usize = 100;
        match &self.node(id).content {
            Content::Scalar(_) => {}
            Content::Alias(target) => self.collect_duplicates(*target, count, lines),
            Content::List(items) => {
                for item in items {
                    self.collect_duplicates(*item, count, lines);
                }
            }
            Content::Map(entries) => {
                let before = *count;
                let mut same = HashMap::<&str, Vec<NodeId>>::with_capacity(entries.len());
                for (key, _) in entries {
                    same.entry(self.text(*key).unwrap_or_default())
                        .or_default()
                        .push(*key);
                }
                for (key, _) in entries {
                    let keys = &same[self.text(*key).unwrap_or_default()];
                    let later = keys.iter().skip_while(|other| *other != key).skip(1);
                    for other in later.take(MOST.saturating_sub(*count)) {
                        *count += 1;
                        lines.push_str(&self.duplicate_key(*key, *other));
                    }
                }
                if *count > before {
                    return;
                }
                for (_, value) in entries {
                    self.collect_duplicates(*value, count, lines);
                }
            }
        }
    }

    fn value(&self, id: NodeId, flow: bool, outermost: bool) -> Result<Value, DecodeError> {
        let node = self.node(id);
        let flow = flow || node.style.flow;
        match &node.content {
            Content::Scalar(text) if node.style.quoting == Quoting::Folded => {
                Ok(Value::String(refolded(node, text, flow)))
            }
            Content::Scalar(text) => scalar(node, text, flow),
            Content::Alias(target) => self.value(*target, flow, outermost),
            Content::List(items) => items
                .iter()
                .map(|item| self.value(*item, flow, false))
                .collect::<Result<List, _>>()
                .map(Value::List),
            Content::Map(entries) => {
                self.refuse_duplicates(entries)?;
                let mut pairs = ecow::EcoVec::with_capacity(entries.len());
                for (key, value) in entries {
                    let key = self.key(*key, flow, outermost)?.clone();
                    pairs.push((key, self.value(*value, flow, false)?));
                }
                Ok(Value::Map(Map::from_entries(pairs)))
            }
        }
    }

    /// `open` has the entries of the mappings around the node.
    fn write_meaning<'t>(
        &'t self,
        id: NodeId,
        flow: bool,
        outermost: bool,
        open: &mut Vec<(&'t str, NodeId)>,
        sink: &mut impl Sink,
    ) -> Result<(), DecodeError> {
        let node = self.node(id);
        let flow = flow || node.style.flow;
        match &node.content {
            Content::Scalar(text) if node.style.quoting == Quoting::Folded => {
                sink.string(&refolded(node, text, flow));
            }
            // Nearly all scalars are text that stays text.
            Content::Scalar(text) if node.tag == Tag::Str => sink.string(text),
            Content::Scalar(text) => scalar(node, text, flow)?.write_to(sink),
            Content::Alias(target) => self.write_meaning(*target, flow, outermost, open, sink)?,
            Content::List(items) => {
                sink.begin_list();
                for item in items {
                    self.write_meaning(*item, flow, false, open, sink)?;
                }
                sink.end_list();
            }
            Content::Map(entries) => {
                let start = open.len();
                for (key, value) in entries {
                    open.push((self.key(*key, flow, outermost)?, *value));
                }
                let pairs = &mut open[start..];
                pairs.sort_unstable_by_key(|(key, _)| *key);
                if pairs.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                    self.refuse_duplicates(entries)?;
                }
                sink.begin_map();
                let order = sink.order(pairs.iter().map(|(key, _)| *key));
                for at in 0..entries.len() {
                    let (key, value) = open[start + order.as_ref().map_or(at, |order| order[at])];
                    sink.key(key);
                    self.write_meaning(value, flow, false, open, sink)?;
                }
                sink.end_map();
                open.truncate(start);
            }
        }
        Ok(())
    }

    fn key(&self, id: NodeId, flow: bool, outermost: bool) -> Result<&Str, DecodeError> {
        let node = self.node(id);
        let Content::Scalar(text) = &node.content else {
            return Err(DecodeError("yaml: invalid map key".to_owned()));
        };
        // Nearly all keys are text, and text stays text.
        if node.tag == Tag::Str {
            return Ok(text);
        }
        let written = Written::of(node, text, flow, true);
        let is_text = match written.tag {
            Some(tag) => *tag == Tag::Str,
            None => {
                written.quoting != Quoting::Plain || matches!(tag_of(text), Tag::Str | Tag::Merge)
            }
        };
        if !is_text && !outermost {
            return Err(DecodeError(
                "json: unsupported type: map[interface {}]interface {}".to_owned(),
            ));
        }
        Ok(text)
    }

    fn refuse_duplicates(&self, entries: &[(NodeId, NodeId)]) -> Result<(), DecodeError> {
        // Most mappings are small, and looking at all pairs beats hashing.
        const SMALL: usize = 12;
        let same = |a: NodeId, b: NodeId| match (&self.node(a).content, &self.node(b).content) {
            (Content::Scalar(a), Content::Scalar(b)) => a == b,
            _ => false,
        };
        let mut found = None;
        if entries.len() <= SMALL {
            for (at, (key, _)) in entries.iter().enumerate() {
                if let Some((other, _)) = entries[..at].iter().find(|(other, _)| same(*other, *key))
                {
                    found = Some((*other, *key));
                    break;
                }
            }
        } else {
            let mut seen = HashMap::with_capacity(entries.len());
            for (key, _) in entries {
                if let Some(text) = self.text(*key)
                    && let Some(other) = seen.insert(text, *key)
                {
                    found = Some((other, *key));
                    break;
                }
            }
        }
        match found {
            None => Ok(()),
            Some((first, second)) => Err(DecodeError(
                UNMARSHAL.to_owned() + &self.duplicate_key(first, second),
            )),
        }
    }

    fn duplicate_key(&self, first: NodeId, second: NodeId) -> String {
        let (first, second, text) = (
            self.written_line(first),
            self.written_line(second),
            self.text(second).unwrap_or_default(),
        );
        format!("\n  line {second}: mapping key {text:?} already defined at line {first}")
    }

    /// Adds what `value` says, spelled as go-yaml v3 spells Go's values.
    pub fn add_value(&mut self, value: &Value) -> NodeId {
        let node = match value {
            Value::Null => Node::tagged("null", Tag::Null),
            Value::Bool(flag) => Node::tagged(if *flag { "true" } else { "false" }, Tag::Bool),
            Value::Int(number) => Node::tagged(itoa::Buffer::new().format(*number), Tag::Int),
            Value::UInt(number) => Node::tagged(itoa::Buffer::new().format(*number), Tag::Int),
            Value::Float(number) => {
                let mut text = Vec::with_capacity(24);
                number::push_go(&mut text, *number);
                let text = String::from_utf8_lossy(&text);
                let tag = tag_of(&text);
                Node::tagged(&*text, tag)
            }
            Value::String(text) => {
                let quoting = match text {
                    text if text.contains('\n') => Quoting::Literal,
                    text if write::is_plain(text, Dialect::GoYaml3) => Quoting::Plain,
                    _ => Quoting::Double,
                };
                Node {
                    style: Style::quoted(quoting),
                    ..Node::tagged(text.clone(), Tag::Str)
                }
            }
            Value::List(items) => {
                let items: Vec<NodeId> = items.iter().map(|item| self.add_value(item)).collect();
                Node::new(Content::List(items), Tag::Seq)
            }
            Value::Map(map) => {
                let entries = map
                    .iter()
                    .map(|(key, value)| {
                        let key = self.add_value(&Value::String(key.clone()));
                        (key, self.add_value(value))
                    })
                    .collect();
                Node::new(Content::Map(entries), Tag::Map)
            }
        };
        self.add(node)
    }

    /// The tree of a value; see [`add_value`](Tree::add_value).
    pub fn from_value(value: &Value) -> Tree {
        let mut tree = Tree {
            nodes: Vec::new(),
            root: NodeId(0),
        };
        tree.root = tree.add_value(value);
        tree
    }
}

/// A folded text as it is read after it was written: go-yaml v3 does not
/// always write what it has read.
fn refolded(node: &Node, text: &Str, flow: bool) -> Str {
    if Written::of(node, text, flow, false).quoting != Quoting::Folded {
        return text.clone();
    }
    let mut tree = Tree::default();
    let (map, key) = (tree.root(), tree.add(Node::scalar("a")));
    let value = tree.add(Node {
        extras: None,
        ..node.clone()
    });
    tree.push_entry(map, key, value);
    let read = tree
        .to_text(map)
        .ok()
        .and_then(|text| Tree::parse(text.as_bytes(), &Limits::default()).ok()?);
    let Some(read) = read else {
        return text.clone();
    };
    let value = read.get(read.root(), "a");
    value
        .and_then(|value| read.node(value).text().cloned())
        .unwrap_or_else(|| text.clone())
}

fn scalar(node: &Node, text: &Str, flow: bool) -> Result<Value, DecodeError> {
    // Nearly all scalars are text that stays text.
    if node.tag == Tag::Str {
        return Ok(Value::String(text.clone()));
    }
    let written = Written::of(node, text, flow, false);
    let found = match written.tag {
        None if written.quoting != Quoting::Plain => Scalar::Text,
        None => resolve::plain(text, Dialect::GoYaml3),
        Some(tag @ (Tag::Null | Tag::Bool | Tag::Int | Tag::Float | Tag::Timestamp)) => {
            let found = resolve::plain(text, Dialect::GoYaml3);
            match (tag, found) {
                (Tag::Float, Scalar::Int(number)) => Scalar::Float(number as f64),
                _ if tag_of(text) == *tag => found,
                _ => {
                    return Err(DecodeError(format!(
                        "yaml: cannot decode {} `{text}` as a {}",
                        tag_of(text).name(),
                        tag.name()
                    )));
                }
            }
        }
        Some(Tag::Binary) => {
            let joined: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(joined)
                .map_err(|_| {
                    DecodeError("yaml: !!binary value contains invalid base64 data".to_owned())
                })?;
            return Ok(Value::String(json::lossy(&bytes).into()));
        }
        Some(_) => Scalar::Text,
    };
    Ok(match found {
        Scalar::Null => Value::Null,
        Scalar::Bool(flag) => Value::Bool(flag),
        Scalar::Int(number) => Value::Int(number),
        Scalar::UInt(number) => Value::UInt(number),
        Scalar::Float(number) if !number.is_finite() => {
            let mut text = Vec::new();
            number::push_go(&mut text, number);
            return Err(DecodeError(format!(
                "json: unsupported value: {}",
                String::from_utf8_lossy(&text)
            )));
        }
        Scalar::Float(number) => Numbers::Json.of(Value::Float(number)),
        Scalar::Text => Value::String(text.clone()),
        Scalar::Timestamp => Value::String(resolve::timestamp_in_json(text).into()),
    })
}
