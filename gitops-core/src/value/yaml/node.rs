//! Documents as they are written: trees that keep tags, quoting and the order
//! of keys.
//!
//! A [`Value`](crate::Value) says what a document means; a [`Tree`] also says how it is
//! spelled. Kustomize works on such trees, with the rules of go-yaml v3: a
//! scalar is text with a tag and a style, and what it means is found out when
//! it is written. [`Tree::to_value`] is that last step.
//!
//! The nodes of a tree lie in one vector and refer to each other by index. One
//! node may stand in several places, as one `*yaml.Node` can in Go; a write to
//! it is seen in all of them.
//!
//! ```
//! use gitops_core::yaml::node::{Limits, Tree};
//! let tree = Tree::parse(b"b: '1'\na: 1\n", &Limits::default())?.unwrap();
//! let b = tree.get(tree.root(), "b").unwrap();
//! assert_eq!(tree.text(b), Some("1"));
//! assert_eq!(gitops_core::yaml::to_string(&tree.to_value(tree.root())?)?, "a: 1\nb: \"1\"\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod decode;
mod read;
mod write;

use crate::Str;

pub use decode::{DecodeError, quotes_in_yaml_1_1};
pub use write::WriteError;

/// The index of a node in its [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u32);

/// What a node says it is. The names are YAML's; `!!` stands for
/// `tag:yaml.org,2002:`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tag {
    /// Nothing: found out from the text when the node is written.
    #[default]
    None,
    /// `!!null`
    Null,
    /// `!!bool`
    Bool,
    /// `!!str`
    Str,
    /// `!!int`
    Int,
    /// `!!float`
    Float,
    /// `!!timestamp`
    Timestamp,
    /// `!!binary`
    Binary,
    /// `!!merge`, of the key `<<`
    Merge,
    /// `!!map`
    Map,
    /// `!!seq`
    Seq,
    /// Any other, in its short form: `!Ref`. Few nodes have one, and all are
    /// smaller for the box.
    Other(Box<Str>),
}

impl Tag {
    /// Its short form; empty for [`Tag::None`].
    pub fn name(&self) -> &str {
        match self {
            Tag::None => "",
            Tag::Null => "!!null",
            Tag::Bool => "!!bool",
            Tag::Str => "!!str",
            Tag::Int => "!!int",
            Tag::Float => "!!float",
            Tag::Timestamp => "!!timestamp",
            Tag::Binary => "!!binary",
            Tag::Merge => "!!merge",
            Tag::Map => "!!map",
            Tag::Seq => "!!seq",
            Tag::Other(tag) => tag,
        }
    }
}

/// How a scalar is quoted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quoting {
    /// Not at all, if that is possible.
    #[default]
    Plain,
    /// `'…'`
    Single,
    /// `"…"`
    Double,
    /// `|`
    Literal,
    /// `>`
    Folded,
}

/// How a node is spelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// The quotes of a scalar.
    pub quoting: Quoting,
    /// Whether a collection stands in brackets.
    pub flow: bool,
    /// Whether the tag is written out.
    pub tagged: bool,
}

impl Style {
    /// A scalar in these quotes.
    pub const fn quoted(quoting: Quoting) -> Self {
        Style {
            quoting,
            flow: false,
            tagged: false,
        }
    }

    /// Whether nothing is asked for.
    pub fn is_default(self) -> bool {
        self == Style::default()
    }
}

/// What a node is made of.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Text, without its quotes.
    Scalar(Str),
    /// Keys and values in the order in which they are written.
    Map(Vec<(NodeId, NodeId)>),
    /// Items.
    List(Vec<NodeId>),
    /// `*name`: stands for a node that is written elsewhere.
    Alias(NodeId),
}

/// Which [`Content`] a node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Scalar,
    /// Keys and values.
    Map,
    /// Items.
    List,
    /// A reference.
    Alias,
}

/// What few nodes have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// The name by which aliases refer to the node; empty without one.
    pub anchor: Str,
}

/// One node of a [`Tree`].
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it is made of.
    pub content: Content,
    /// What it says it is.
    pub tag: Tag,
    /// How it is spelled.
    pub style: Style,
    /// The line on which it was read, from 1; 0 if it was not.
    pub line: u32,
    /// The anchor, if it has one.
    pub extras: Option<Box<Extras>>,
}

impl Node {
    fn new(content: Content, tag: Tag) -> Self {
        Node {
            content,
            tag,
            style: Style::default(),
            line: 0,
            extras: None,
        }
    }

    /// A scalar whose meaning its text decides.
    pub fn scalar(text: impl Into<Str>) -> Self {
        Node::new(Content::Scalar(text.into()), Tag::None)
    }

    /// A scalar with a tag.
    pub fn tagged(text: impl Into<Str>, tag: Tag) -> Self {
        Node::new(Content::Scalar(text.into()), tag)
    }

    /// Text: quoted if need be, in a block if it has several lines.
    pub fn string(text: impl Into<Str>) -> Self {
        let text = text.into();
        let quoting = match text.contains('\n') {
            true => Quoting::Literal,
            false => Quoting::Plain,
        };
        Node {
            style: Style::quoted(quoting),
            ..Node::tagged(text, Tag::Str)
        }
    }

    /// A mapping without entries.
    pub fn map() -> Self {
        Node::new(Content::Map(Vec::new()), Tag::None)
    }

    /// A list without items.
    pub fn list() -> Self {
        Node::new(Content::List(Vec::new()), Tag::None)
    }

    /// Which content it has.
    pub fn kind(&self) -> Kind {
        match self.content {
            Content::Scalar(_) => Kind::Scalar,
            Content::Map(_) => Kind::Map,
            Content::List(_) => Kind::List,
            Content::Alias(_) => Kind::Alias,
        }
    }

    /// The text of a scalar.
    pub fn text(&self) -> Option<&Str> {
        match &self.content {
            Content::Scalar(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is tagged `!!null`.
    pub fn is_null(&self) -> bool {
        self.tag == Tag::Null
    }

    /// Whether it is null, or a collection without content.
    pub fn is_empty(&self) -> bool {
        self.is_null()
            || match &self.content {
                Content::Map(entries) => entries.is_empty(),
                Content::List(items) => items.is_empty(),
                _ => false,
            }
    }

    /// Whether it is a scalar that is text, as far as its tag tells.
    pub fn is_text(&self) -> bool {
        self.kind() == Kind::Scalar && matches!(self.tag, Tag::Str | Tag::None)
    }
}

/// What a document may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many collections may be inside one another.
    pub depth: usize,
    /// How many nodes a document may have, aliases written out.
    pub nodes: usize,
    /// How many of them aliases may stand for.
    pub aliased: usize,
}

impl Default for Limits {
    /// 1000 levels, ten million nodes, one million of them aliases'.
    fn default() -> Self {
        Limits {
            depth: crate::value::MAX_DEPTH,
            nodes: 10_000_000,
            aliased: 1_000_000,
        }
    }
}

/// A document.
#[derive(Clone, Debug)]
pub struct Tree {
    nodes: Vec<Node>,
    root: NodeId,
}

impl Default for Tree {
    /// An empty mapping.
    fn default() -> Self {
        Tree {
            nodes: vec![Node::map()],
            root: NodeId(0),
        }
    }
}

impl Tree {
    /// The outermost node.
    pub fn root(&self) -> NodeId {
        self.root
    }

    /// Makes another node the outermost one.
    pub fn set_root(&mut self, root: NodeId) {
        self.root = root;
    }

    /// A node.
    ///
    /// # Panics
    ///
    /// If the index is of another, larger tree.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// A node for writing.
    ///
    /// # Panics
    ///
    /// As [`node`](Tree::node).
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0 as usize]
    }

    /// Adds a node, which is not yet part of anything.
    pub fn add(&mut self, node: Node) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).expect("limits are far below 2^32 nodes"));
        if self.nodes.len() == self.nodes.capacity() {
            // What is added to a manifest is little beside what is there: to
            // double it, as vectors do, would waste half of it.
            self.nodes.reserve_exact(8.max(self.nodes.len() / 4));
        }
        self.nodes.push(node);
        id
    }

    /// Which content a node has.
    pub fn kind(&self, id: NodeId) -> Kind {
        self.node(id).kind()
    }

    /// The text of a scalar.
    pub fn text(&self, id: NodeId) -> Option<&str> {
        self.node(id).text().map(Str::as_str)
    }

    /// The entries of a mapping; none of anything else.
    pub fn entries(&self, id: NodeId) -> &[(NodeId, NodeId)] {
        match &self.node(id).content {
            Content::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none of anything else.
    pub fn items(&self, id: NodeId) -> &[NodeId] {
        match &self.node(id).content {
            Content::List(items) => items,
            _ => &[],
        }
    }

    /// The first value of `key` in a mapping.
    pub fn get(&self, id: NodeId, key: &str) -> Option<NodeId> {
        self.entry(id, key).map(|(_, value)| value)
    }

    /// The first entry of `key` in a mapping.
    pub fn entry(&self, id: NodeId, key: &str) -> Option<(NodeId, NodeId)> {
        let first = key.as_bytes().first();
        // Keys of one mapping rarely begin alike.
        let same = |have: &str| have.as_bytes().first() == first && have == key;
        let is_key = |(have, _): &(NodeId, _)| self.text(*have).is_some_and(same);
        self.entries(id).iter().copied().find(is_key)
    }

    /// The value at a path of keys.
    pub fn at(&self, id: NodeId, path: &[&str]) -> Option<NodeId> {
        path.iter().try_fold(id, |id, key| self.get(id, key))
    }

    /// Appends an entry to a mapping; other nodes are left alone.
    pub fn push_entry(&mut self, id: NodeId, key: NodeId, value: NodeId) {
        if let Content::Map(entries) = &mut self.node_mut(id).content {
            entries.push((key, value));
        }
    }

    /// Appends an item to a list; other nodes are left alone.
    pub fn push_item(&mut self, id: NodeId, item: NodeId) {
        if let Content::List(items) = &mut self.node_mut(id).content {
            items.push(item);
        }
    }

    /// Removes the first entry of `key` from a mapping and returns its value.
    pub fn remove(&mut self, id: NodeId, key: &str) -> Option<NodeId> {
        let at = self
            .entries(id)
            .iter()
            .position(|(have, _)| self.text(*have) == Some(key))?;
        match &mut self.node_mut(id).content {
            Content::Map(entries) => Some(entries.remove(at).1),
            _ => None,
        }
    }

    /// Copies `id` of another tree with all that is below it.
    pub fn copy(&mut self, from: &Tree, id: NodeId) -> NodeId {
        self.add_copy(Some(from), id)
    }

    /// Copies `id` with all that is below it.
    pub fn duplicate(&mut self, id: NodeId) -> NodeId {
        self.add_copy(None, id)
    }

    /// Copies from another tree, or within this one.
    fn add_copy(&mut self, from: Option<&Tree>, id: NodeId) -> NodeId {
        let mut node = from.unwrap_or(self).node(id).clone();
        match &mut node.content {
            Content::Scalar(_) | Content::Alias(_) => {}
            Content::Map(entries) => {
                for (key, value) in entries {
                    *key = self.add_copy(from, *key);
                    *value = self.add_copy(from, *value);
                }
            }
            Content::List(items) => {
                for item in items {
                    *item = self.add_copy(from, *item);
                }
            }
        }
        self.add(node)
    }

    /// The tree below `id` alone.
    pub fn subtree(&self, id: NodeId) -> Tree {
        let mut tree = Tree {
            nodes: Vec::new(),
            root: NodeId(0),
        };
        tree.root = tree.copy(self, id);
        tree
    }
}
