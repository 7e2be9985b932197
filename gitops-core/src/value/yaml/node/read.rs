//! Events into a [`Tree`]: what go-yaml v3 `decode.go` does for a `yaml.Node`,
//! and kyaml's `DeAnchor`.

use std::collections::HashMap;

use super::super::input::Input;
use super::super::parse::{EventKind, Parser};
use super::super::resolve::{self, TAG_PREFIX};
use super::super::{Dialect, Error, compose};
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
        let input = Input::new(text).map_err(|problem| Error::nowhere(problem.to_owned()))?;
        let mut parser = Parser::new(&input, 0..input.text.len(), 0);
        let mut tree = Tree {
            // Manifests have a node for about a dozen bytes.
            nodes: Vec::with_capacity((text.len() / 12).min(1 << 20)),
            root: NodeId(0),
        };
        let mut stack: Vec<Frame> = Vec::new();
        let mut anchors = HashMap::<&str, NodeId>::new();
        let first = parser.next().map_err(|fault| compose::syntax(&fault))?;
        if !matches!(first.kind, EventKind::DocumentStart) {
            return Ok(None);
        }
        loop {
            let event = parser.next().map_err(|fault| compose::syntax(&fault))?;
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
                    ..Extras::default()
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
        let has_any = self
            .nodes
            .iter()
            .any(|node| matches!(node.content, Content::Alias(_)) || node.tag == Tag::Merge);
        if has_any {
            let root = self.root;
            self.inline(root, limits, &mut Vec::new())?;
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
        if self.nodes.len() > limits.nodes {
            return Err(format!(
                "aliases stand for more than {} nodes",
                limits.nodes
            ));
        }
        Ok(())
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
        Some(name) => Tag::Other(format!("!!{name}").into()),
        None => Tag::Other(tag.into()),
    }
}
