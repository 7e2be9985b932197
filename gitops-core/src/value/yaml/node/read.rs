//! Events into a [`Tree`]: what go-yaml v3 `decode.go` does for a `yaml.Node`,
//! and kyaml's `DeAnchor`.

use std::collections::HashMap;

use super::super::block::{self, Maker};
use super::super::compose::{self, Lines};
use super::super::input::Input;
use super::super::parse::{EventKind, Parser};
use super::super::resolve::{self, TAG_PREFIX};
use super::super::{Boundary, Dialect, Error};
use super::{Content, Extras, Kind, Limits, Node, NodeId, Quoting, Style, Tag, Tree};
use crate::Str;

/// An open collection.
struct Frame {
    id: NodeId,
    /// The key whose value comes next, of a mapping.
    key: Option<NodeId>,
}

impl Tree {
    /// Reads the first document of `text`; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`Error`], if it is not YAML or exceeds a limit.
    pub fn parse(text: &[u8], limits: &Limits) -> Result<Option<Tree>, Error> {
        let input = Input::new(text)?;
        let mut nodes = Nodes::new(&input.text, limits);
        match block::document(&input, &Boundary::default(), &mut nodes) {
            // The parser looks into the next document, and may fail there.
            Some(found) if found.end < input.text.len() => parse(&input, limits),
            Some(found) if !found.exists => Ok(None),
            Some(block::Found {
                node: Some(root), ..
            }) => Ok(Some(nodes.into_tree(root))),
            _ => parse(&input, limits),
        }
    }

    /// [`parse`](Tree::parse) without the fast path; for tests that compare
    /// the two.
    #[doc(hidden)]
    pub fn parse_slowly(text: &[u8], limits: &Limits) -> Result<Option<Tree>, Error> {
        let input = Input::new(text)?;
        parse(&input, limits)
    }

    /// Whether there is anything for [`inline_aliases`](Tree::inline_aliases)
    /// to do: aliases, merges (`<<`) or anchors.
    pub fn has_anchors(&self) -> bool {
        self.nodes
            .iter()
            .any(|node| node.is_stand_in() || node.extras.is_some())
    }

    /// Writes aliases and merges (`<<`) out, so that none are left.
    ///
    /// The entries of a mapping go before those that are merged into it; of
    /// several merged mappings the first one that has a key wins.
    ///
    /// # Errors
    ///
    /// A text, if something else than mappings is merged, an alias stands
    /// within the node that it refers to, or more than `limits` allow would
    /// come of it.
    pub fn inline_aliases(&mut self, limits: &Limits) -> Result<(), String> {
        if self.nodes.iter().any(Node::is_stand_in) {
            let root = self.root;
            let limits = Limits {
                nodes: limits.nodes.min(self.nodes.len() + limits.aliased),
                ..*limits
            };
            self.inline(root, &limits, &mut Vec::new())?;
        }
        for node in &mut self.nodes {
            if let Some(extras) = &mut node.extras {
                extras.anchor = Str::new();
            }
        }
        Ok(())
    }

    fn inline(
        &mut self,
        id: NodeId,
        limits: &Limits,
        open: &mut Vec<NodeId>,
    ) -> Result<(), String> {
        self.check_size(limits)?;
        if open.len() > limits.depth {
            return Err(format!("exceeded max depth of {}", limits.depth));
        }
        match self.node(id).content {
            Content::Scalar(_) => return Ok(()),
            Content::Alias(target) => {
                if open.contains(&target) {
                    return Err("an anchor's value contains itself".to_owned());
                }
                self.inline(target, limits, open)?;
                let room = limits.nodes.saturating_sub(self.nodes.len());
                if self.size(target, room) > room {
                    return Err(too_many(limits));
                }
                let copy = self.duplicate(target);
                let copied = self.node(copy).clone();
                *self.node_mut(id) = copied;
                return Ok(());
            }
            Content::Map(_) | Content::List(_) => {}
        }
        open.push(id);
        if self.kind(id) == Kind::Map {
            self.merge(id, limits, open)?;
        }
        for index in 0.. {
            let (first, second) = match &self.node(id).content {
                Content::Map(entries) if index < entries.len() => {
                    (entries[index].0, Some(entries[index].1))
                }
                Content::List(items) if index < items.len() => (items[index], None),
                _ => break,
            };
            self.inline(first, limits, open)?;
            if let Some(second) = second {
                self.inline(second, limits, open)?;
            }
        }
        open.pop();
        Ok(())
    }

    fn check_size(&self, limits: &Limits) -> Result<(), String> {
        match self.nodes.len() > limits.nodes {
            true => Err(too_many(limits)),
            false => Ok(()),
        }
    }

    /// How many nodes are below one, itself included; more than `most` are not
    /// counted.
    fn size(&self, id: NodeId, most: usize) -> usize {
        let mut count = 0;
        let mut pending = vec![id];
        while let Some(id) = pending.pop() {
            count += 1;
            if count > most {
                break;
            }
            match &self.node(id).content {
                Content::Scalar(_) | Content::Alias(_) => {}
                Content::List(items) => pending.extend(items),
                Content::Map(entries) => {
                    pending.extend(entries.iter().flat_map(|(key, value)| [key, value]));
                }
            }
        }
        count
    }

    fn merge(&mut self, id: NodeId, limits: &Limits, open: &[NodeId]) -> Result<(), String> {
        let mut merged = None;
        for &(key, value) in self.entries(id) {
            if self.node(key).tag == Tag::Merge {
                if merged.is_some() {
                    return Err("duplicate merge key".to_owned());
                }
                merged = Some(value);
            }
        }
        let Some(merged) = merged else {
            return Ok(());
        };
        let mut sources = Vec::new();
        self.merge_sources(merged, &mut sources)?;
        self.remove(id, "<<");
        for source in sources {
            if open.contains(&source) {
                return Err("an anchor's value contains itself".to_owned());
            }
            for (key, value) in self.entries(source).to_vec() {
                let Some(name) = self.text(key).map(Str::from) else {
                    continue;
                };
                if self.get(id, &name).is_some() {
                    continue;
                }
                self.check_size(limits)?;
                let key = self.duplicate(key);
                let value = self.duplicate(value);
                self.push_entry(id, key, value);
            }
        }
        Ok(())
    }

    fn merge_sources(&self, id: NodeId, sources: &mut Vec<NodeId>) -> Result<(), String> {
        match &self.node(id).content {
            Content::Map(_) => sources.push(id),
            Content::Alias(target) if self.kind(*target) == Kind::Map => sources.push(*target),
            Content::Alias(_) => {
                return Err("invalid map merge: received alias for a non-map value".to_owned());
            }
            Content::List(items) => {
                for item in items {
                    if self.kind(*item) == Kind::List {
                        return Err("invalid map merge: received a nested sequence".to_owned());
                    }
                    self.merge_sources(*item, sources)?;
                }
            }
            Content::Scalar(_) => {
                return Err("map merge requires map or sequence of maps as the value".to_owned());
            }
        }
        Ok(())
    }
}

fn too_many(limits: &Limits) -> String {
    let most = limits.aliased.min(limits.nodes);
    format!("aliases stand for more than {most} nodes")
}

impl Node {
    /// Whether what it means is written elsewhere.
    fn is_stand_in(&self) -> bool {
        matches!(self.content, Content::Alias(_)) || self.tag == Tag::Merge
    }
}

/// Reads a document with the parser.
fn parse(input: &Input<'_>, limits: &Limits) -> Result<Option<Tree>, Error> {
    let mut parser = Parser::looking_ahead(input);
    let mut tree = Tree {
        nodes: Vec::with_capacity(likely_nodes(&input.text)),
        root: NodeId(0),
    };
    let mut stack: Vec<Frame> = Vec::new();
    let mut anchors = HashMap::<&str, NodeId>::new();
    let first = parser
        .next()
        .map_err(|fault| compose::syntax(&fault, Lines::OfContext))?;
    if !matches!(first.kind, EventKind::DocumentStart) {
        return Ok(None);
    }
    loop {
        let event = parser
            .next()
            .map_err(|fault| compose::syntax(&fault, Lines::OfContext))?;
        let line = event.mark.line + 1;
        let tagged = !matches!(&*event.tag, "" | "!");
        let mut opens = false;
        let (content, implied, style) = match event.kind {
            EventKind::DocumentEnd | EventKind::StreamEnd => break,
            EventKind::DocumentStart => continue,
            EventKind::SequenceEnd | EventKind::MappingEnd => {
                let frame = stack.pop().expect("ends follow their starts");
                place(&mut tree, &mut stack, frame.id);
                continue;
            }
            EventKind::Alias(name) => {
                let Some(target) = anchors.get(name) else {
                    let problem = format!("unknown anchor '{name}' referenced");
                    return Err(Error::new(problem, None, event.mark));
                };
                (Content::Alias(*target), Tag::None, Style::default())
            }
            EventKind::Scalar { text, quoting, .. } => {
                let tag = match quoting {
                    _ if tagged => Tag::None,
                    Quoting::Plain => tag_of(&text),
                    _ => Tag::Str,
                };
                let style = Style::quoted(quoting);
                (Content::Scalar(Str::from(text)), tag, style)
            }
            EventKind::SequenceStart { flow } => {
                opens = true;
                (Content::List(Vec::new()), Tag::Seq, in_brackets(flow))
            }
            EventKind::MappingStart { flow } => {
                opens = true;
                (Content::Map(Vec::new()), Tag::Map, in_brackets(flow))
            }
        };
        if opens && stack.len() >= limits.depth {
            let problem = format!("exceeded max depth of {}", limits.depth);
            return Err(Error::new(problem, Some(line), event.mark));
        }
        if tree.nodes.len() >= limits.nodes {
            let problem = format!("document of more than {} nodes", limits.nodes);
            return Err(Error::new(problem, Some(line), event.mark));
        }
        let extras = event.anchor.map(|anchor| {
            Box::new(Extras {
                anchor: anchor.into(),
            })
        });
        let id = tree.add(Node {
            content,
            tag: if tagged { short(&event.tag) } else { implied },
            style: Style { tagged, ..style },
            line,
            extras,
        });
        if let Some(anchor) = event.anchor {
            anchors.insert(anchor, id);
        }
        if opens {
            stack.push(Frame { id, key: None });
        } else {
            place(&mut tree, &mut stack, id);
        }
    }
    if tree.nodes.is_empty() {
        tree.add(Node::tagged("", Tag::Null));
    }
    Ok(Some(tree))
}

/// Nodes for which a tree has room besides those that were read: labels, a
/// namespace and the like.
const ADDED: usize = 8;

/// Small manifests have a node for every eight bytes or so.
fn likely_nodes(text: &str) -> usize {
    (text.len() / 8 + ADDED).min(1 << 20)
}

/// Makes the nodes of a tree.
struct Nodes<'a> {
    bytes: &'a [u8],
    limits: &'a Limits,
    nodes: Vec<Node>,
    /// Entries and items of the collections that are open.
    entries: Vec<(NodeId, NodeId)>,
    items: Vec<NodeId>,
}

/// An open collection: its node, and how much others had before.
struct Open {
    id: NodeId,
    before: usize,
}

impl<'a> Nodes<'a> {
    fn new(text: &'a str, limits: &'a Limits) -> Self {
        Nodes {
            bytes: text.as_bytes(),
            limits,
            nodes: Vec::with_capacity(likely_nodes(text)),
            entries: Vec::with_capacity(32),
            items: Vec::with_capacity(16),
        }
    }

    fn add(&mut self, at: usize, content: Content, tag: Tag, style: Style) -> Option<NodeId> {
        // What is too much is the parser's to complain about.
        if self.nodes.len() >= self.limits.nodes {
            return None;
        }
        let id = NodeId(u32::try_from(self.nodes.len()).ok()?);
        self.nodes.push(Node {
            content,
            tag,
            style,
            // For the time being the place; lines are counted all at once.
            line: u32::try_from(at).ok()?,
            extras: None,
        });
        Some(id)
    }

    fn into_tree(mut self, root: NodeId) -> Tree {
        let mut breaks = memchr::memchr_iter(b'\n', self.bytes).peekable();
        let mut line = 1;
        for node in &mut self.nodes {
            while breaks.next_if(|at| *at < node.line as usize).is_some() {
                line += 1;
            }
            node.line = line;
        }
        self.nodes.shrink_to(self.nodes.len() + ADDED);
        Tree {
            root,
            nodes: self.nodes,
        }
    }
}

impl Maker for Nodes<'_> {
    type Node = NodeId;
    type Key = NodeId;
    type Map = Open;
    type List = Open;

    fn max_depth(&self) -> usize {
        self.limits.depth
    }

    fn scalar(&mut self, at: usize, text: &str, quoting: Quoting) -> Option<NodeId> {
        let tag = match quoting {
            Quoting::Plain => tag_of(text),
            _ => Tag::Str,
        };
        self.add(
            at,
            Content::Scalar(text.into()),
            tag,
            Style::quoted(quoting),
        )
    }

    fn block(&mut self, at: usize, text: Str, quoting: Quoting) -> Option<NodeId> {
        self.add(at, Content::Scalar(text), Tag::Str, Style::quoted(quoting))
    }

    fn key(&mut self, at: usize, text: &str, quoting: Quoting) -> Option<NodeId> {
        self.scalar(at, text, quoting)
    }

    fn map(&mut self, at: usize, flow: bool) -> Option<Open> {
        let id = self.add(at, Content::Map(Vec::new()), Tag::Map, in_brackets(flow))?;
        let before = self.entries.len();
        Some(Open { id, before })
    }

    fn entry(&mut self, _: &mut Open, key: NodeId, value: NodeId) {
        self.entries.push((key, value));
    }

    fn end_map(&mut self, map: Open) -> Option<NodeId> {
        let entries = self.entries[map.before..].to_vec();
        self.entries.truncate(map.before);
        self.nodes[map.id.0 as usize].content = Content::Map(entries);
        Some(map.id)
    }

    fn list(&mut self, at: usize, flow: bool) -> Option<Open> {
        let id = self.add(at, Content::List(Vec::new()), Tag::Seq, in_brackets(flow))?;
        let before = self.items.len();
        Some(Open { id, before })
    }

    fn item(&mut self, _: &mut Open, item: NodeId) {
        self.items.push(item);
    }

    fn end_list(&mut self, list: Open) -> Option<NodeId> {
        let items = self.items[list.before..].to_vec();
        self.items.truncate(list.before);
        self.nodes[list.id.0 as usize].content = Content::List(items);
        Some(list.id)
    }
}

fn in_brackets(flow: bool) -> Style {
    Style {
        flow,
        ..Style::default()
    }
}

/// Puts a finished node where it belongs.
fn place(tree: &mut Tree, stack: &mut [Frame], id: NodeId) {
    let Some(frame) = stack.last_mut() else {
        tree.root = id;
        return;
    };
    match (&mut tree.nodes[frame.id.0 as usize].content, frame.key) {
        (Content::Map(entries), Some(key)) => {
            entries.push((key, id));
            frame.key = None;
        }
        (Content::Map(_), None) => frame.key = Some(id),
        (Content::List(items), _) => items.push(id),
        (Content::Scalar(_) | Content::Alias(_), _) => {}
    }
}

/// The tag that a plain scalar has by itself.
pub(super) fn tag_of(text: &str) -> Tag {
    match resolve::plain(text, Dialect::GoYaml3) {
        resolve::Scalar::Null => Tag::Null,
        resolve::Scalar::Bool(_) => Tag::Bool,
        resolve::Scalar::Int(_) | resolve::Scalar::UInt(_) => Tag::Int,
        resolve::Scalar::Float(_) => Tag::Float,
        resolve::Scalar::Text if text == "<<" => Tag::Merge,
        resolve::Scalar::Text => Tag::Str,
        resolve::Scalar::Timestamp => Tag::Timestamp,
    }
}

fn short(tag: &str) -> Tag {
    match tag.strip_prefix(TAG_PREFIX) {
        Some("null") => Tag::Null,
        Some("bool") => Tag::Bool,
        Some("str") => Tag::Str,
        Some("int") => Tag::Int,
        Some("float") => Tag::Float,
        Some("timestamp") => Tag::Timestamp,
        Some("binary") => Tag::Binary,
        Some("merge") => Tag::Merge,
        Some("map") => Tag::Map,
        Some("seq") => Tag::Seq,
        Some(name) => Tag::Other(Box::new(format!("!!{name}").into())),
        None => Tag::Other(Box::new(tag.into())),
    }
}
