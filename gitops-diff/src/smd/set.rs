//! A set of paths, as a trie in the order in which it is written.

use std::cmp::Ordering;

use ecow::EcoVec;
use gitops_core::schema::{Schema, TypeRef};
use gitops_core::{Map, Str, Value, json};

use super::path::{Path, PathElement};

/// A set of field paths.
///
/// A path can be in the set together with paths below it: an item of a keyed
/// list is, and so are its fields. The root itself is never in the set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    // Sorted by element; a node is a member, or has children, or both. Shared:
    // what an operation leaves as it was is not copied.
    nodes: EcoVec<(PathElement, Node)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    member: bool,
    children: Set,
}

impl Node {
    fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }
}

impl Set {
    /// The empty set.
    pub const fn new() -> Self {
        Set {
            nodes: EcoVec::new(),
        }
    }

    /// Whether no path is in the set.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// How many paths are in the set.
    pub fn len(&self) -> usize {
        self.nodes
            .iter()
            .map(|(_, node)| usize::from(node.member) + node.children.len())
            .sum()
    }

    /// Adds a path; the root is not added.
    pub fn insert(&mut self, path: &[PathElement]) {
        if let Some((first, rest)) = path.split_first() {
            let node = self.node_mut(first);
            match rest {
                [] => node.member = true,
                rest => node.children.insert(rest),
            }
        }
    }

    /// Makes room for so many elements at the top.
    pub(super) fn reserve(&mut self, count: usize) {
        self.nodes.reserve(count);
    }

    /// Adds an element that is greater than all so far, unless it would stand
    /// for nothing.
    pub(super) fn push(&mut self, element: PathElement, member: bool, children: Set) {
        let node = Node { member, children };
        if !node.is_empty() {
            self.nodes.push((element, node));
        }
    }

    fn node_mut(&mut self, element: &PathElement) -> &mut Node {
        let index = match self.nodes.last() {
            // Walks of sorted maps arrive in order: no search, no moving.
            Some((last, _)) if last < element => Err(self.nodes.len()),
            _ => self.nodes.binary_search_by(|(have, _)| have.cmp(element)),
        };
        let index = index.unwrap_or_else(|index| {
            self.nodes.insert(index, (element.clone(), Node::default()));
            index
        });
        &mut self.nodes.make_mut()[index].1
    }

    fn node(&self, element: &PathElement) -> Option<&Node> {
        let index = self
            .nodes
            .binary_search_by(|(have, _)| have.cmp(element))
            .ok()?;
        Some(&self.nodes[index].1)
    }

    /// Whether this very path is in the set.
    pub fn has(&self, path: &[PathElement]) -> bool {
        match path {
            [] => false,
            [last] => self.has_element(last),
            [first, rest @ ..] => self.node(first).is_some_and(|node| node.children.has(rest)),
        }
    }

    /// The paths below `path`, without it; `None` if there are none.
    pub(crate) fn at(&self, path: &[PathElement]) -> Option<&Set> {
        let set = path.iter().try_fold(self, |set, element| {
            let node = set.node(element)?;
            Some(&node.children)
        });
        set.filter(|set| !set.is_empty())
    }

    pub(super) fn has_element(&self, element: &PathElement) -> bool {
        self.node(element).is_some_and(|node| node.member)
    }

    /// What the set says of the element that `compare` finds: whether it is a
    /// member, and the paths below it, if there are any.
    pub(super) fn lookup(
        &self,
        compare: impl Fn(&PathElement) -> Ordering,
    ) -> (bool, Option<&Set>) {
        match self.nodes.binary_search_by(|(have, _)| compare(have)) {
            Ok(index) => {
                let node = &self.nodes[index].1;
                (
                    node.member,
                    Some(&node.children).filter(|set| !set.is_empty()),
                )
            }
            Err(_) => (false, None),
        }
    }

    /// Whether both hold the same storage: then they are equal, though equal
    /// ones need not.
    fn is_shared(&self, other: &Set) -> bool {
        std::ptr::eq(self.nodes.as_slice(), other.nodes.as_slice())
    }

    /// Whether all paths of this set are in `other`.
    pub fn is_subset(&self, other: &Set) -> bool {
        if self.is_shared(other) {
            return true;
        }
        let mut theirs = other.nodes.iter();
        self.nodes.iter().all(|(element, node)| {
            let found = theirs.find(|(have, _)| have >= element);
            found.is_some_and(|(have, other)| {
                have == element
                    && (other.member || !node.member)
                    && node.children.is_subset(&other.children)
            })
        })
    }

    /// Whether no path is in both sets.
    pub fn is_disjoint(&self, other: &Set) -> bool {
        let mut theirs = other.nodes.iter().peekable();
        self.nodes.iter().all(|(element, node)| {
            while theirs.next_if(|(have, _)| have < element).is_some() {}
            theirs.peek().is_none_or(|(have, other)| {
                have != element
                    || (!(node.member && other.member)
                        && node.children.is_disjoint(&other.children))
            })
        })
    }

    /// The paths that are in either set.
    #[must_use]
    pub fn union(&self, other: &Set) -> Set {
        if other.is_empty() || self.is_shared(other) {
            return self.clone();
        }
        if self.is_empty() {
            return other.clone();
        }
        self.zip(other, |a, b| match (a, b) {
            (Some(a), Some(b)) => Node {
                member: a.member || b.member,
                children: a.children.union(&b.children),
            },
            (Some(node), None) | (None, Some(node)) => node.clone(),
            (None, None) => Node::default(),
        })
    }

    /// The paths that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Set) -> Set {
        if self.is_empty() || other.is_empty() {
            return Set::new();
        }
        self.zip(other, |a, b| match (a, b) {
            (Some(a), Some(b)) => Node {
                member: a.member && b.member,
                children: a.children.intersection(&b.children),
            },
            _ => Node::default(),
        })
    }

    /// The paths that are here and not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Set) -> Set {
        if self.is_empty() || other.is_empty() {
            return self.clone();
        }
        self.zip(other, |a, b| match (a, b) {
            (Some(a), Some(b)) => Node {
                member: a.member && !b.member,
                children: a.children.difference(&b.children),
            },
            (Some(a), None) => a.clone(),
            _ => Node::default(),
        })
    }

    /// The paths that are here, and neither in `other` nor below a path of it.
    #[must_use]
    pub fn recursive_difference(&self, other: &Set) -> Set {
        if self.is_empty() || other.is_empty() {
            return self.clone();
        }
        self.zip(other, |a, b| match (a, b) {
            (Some(_), Some(b)) if b.member => Node::default(),
            (Some(a), Some(b)) => Node {
                member: a.member,
                children: a.children.recursive_difference(&b.children),
            },
            (Some(a), None) => a.clone(),
            _ => Node::default(),
        })
    }

    /// The paths that have none below them.
    #[must_use]
    pub fn leaves(&self) -> Set {
        let nodes = self.nodes.iter().map(|(element, node)| {
            let node = Node {
                member: node.member && node.children.is_empty(),
                children: node.children.leaves(),
            };
            (element.clone(), node)
        });
        Set {
            nodes: nodes.filter(|(_, node)| !node.is_empty()).collect(),
        }
    }

    /// One pass over two sorted sets; nodes that come out empty are dropped.
    fn zip(&self, other: &Set, combine: impl Fn(Option<&Node>, Option<&Node>) -> Node) -> Set {
        let mut nodes = EcoVec::with_capacity(self.nodes.len().max(other.nodes.len()));
        let (mut left, mut right) = (self.nodes.iter().peekable(), other.nodes.iter().peekable());
        loop {
            let order = match (left.peek(), right.peek()) {
                (None, None) => return Set { nodes },
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((a, _)), Some((b, _))) => a.cmp(b),
            };
            let a = if order.is_le() { left.next() } else { None };
            let b = if order.is_ge() { right.next() } else { None };
            let node = combine(a.map(|(_, node)| node), b.map(|(_, node)| node));
            if let Some((element, _)) = a.or(b).filter(|_| !node.is_empty()) {
                nodes.push((element.clone(), node));
            }
        }
    }

    /// Calls `visit` with every path of the set, in order; a path comes before
    /// those below it.
    pub fn for_each(&self, visit: &mut impl FnMut(&[PathElement])) {
        self.visit(&mut Vec::new(), visit);
    }

    fn visit(&self, path: &mut Vec<PathElement>, visit: &mut impl FnMut(&[PathElement])) {
        for (element, node) in self.nodes.iter() {
            path.push(element.clone());
            if node.member {
                visit(path);
            }
            node.children.visit(path, visit);
            path.pop();
        }
    }

    /// Every element at the top of the set: whether it is a member, and what
    /// is below it.
    pub(super) fn elements(&self) -> impl Iterator<Item = (&PathElement, bool, &Set)> {
        let nodes = self.nodes.iter();
        nodes.map(|(element, node)| (element, node.member, &node.children))
    }

    /// Every path of the set, in order.
    pub fn paths(&self) -> Vec<Path> {
        let mut paths = Vec::new();
        self.for_each(&mut |path| paths.push(Path(path.to_vec())));
        paths
    }

    /// Makes members of the declared fields on the way to members, so that
    /// removing the set removes the shells that held them.
    #[must_use]
    pub(super) fn with_named_fields(&self, schema: &Schema, ty: Option<TypeRef>) -> Set {
        let facets = ty.map(|ty| schema.resolve(ty)).unwrap_or_default();
        let nodes = self.nodes.iter().map(|(element, node)| {
            let (mut declared, mut below) = (false, None);
            match element {
                PathElement::Field(name) => {
                    if let Some(map) = &facets.map {
                        declared = map.field(name).is_some();
                        below = map.child(name);
                    }
                }
                PathElement::Key(_) => below = facets.list.map(|list| list.element),
                PathElement::Value(_) | PathElement::Index(_) => {}
            }
            let node = Node {
                member: node.member || (declared && !node.children.is_empty()),
                children: node.children.with_named_fields(schema, below),
            };
            (element.clone(), node)
        });
        Set {
            nodes: nodes.collect(),
        }
    }

    /// The set as `fieldsV1` of `metadata.managedFields` holds it.
    ///
    /// ```
    /// use gitops_core::json;
    /// use gitops_diff::smd::Set;
    /// let fields = json::parse(br#"{"f:spec":{".":{},"f:replicas":{}}}"#)?;
    /// let set = Set::from_fields_v1(&fields)?;
    /// assert_eq!(set.paths()[1].to_string(), ".spec.replicas");
    /// assert_eq!(set.to_fields_v1(), fields);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_fields_v1(&self) -> Value {
        Value::Map(
            self.nodes
                .iter()
                .map(|(element, node)| {
                    let below = match node.children.to_fields_v1() {
                        Value::Map(mut below) if node.member && !below.is_empty() => {
                            below.insert(".", Map::new());
                            Value::Map(below)
                        }
                        below => below,
                    };
                    (element_name(element), below)
                })
                .collect(),
        )
    }

    /// Reads `fieldsV1`. Names of kinds that are not known are skipped, as
    /// upstream skips them.
    ///
    /// # Errors
    ///
    /// [`FieldsError`] if a name is malformed or holds no object.
    pub fn from_fields_v1(fields: &Value) -> Result<Set, FieldsError> {
        let map = match fields {
            Value::Map(map) => map,
            Value::Null => return Ok(Set::new()),
            other => return Err(FieldsError(other.kind_name().into())),
        };
        let mut nodes: EcoVec<(PathElement, Node)> = EcoVec::with_capacity(map.len());
        for (name, below) in map {
            if name == "." {
                continue;
            }
            let Some(element) = element_of(name)? else {
                continue;
            };
            let children = Set::from_fields_v1(below)?;
            let dot = below.get(".").is_some();
            nodes.push((
                element,
                Node {
                    member: dot || children.is_empty(),
                    children,
                },
            ));
        }
        // Fields arrive in order; items whose keys are numbers may not.
        if !nodes.is_sorted_by(|a, b| a.0 <= b.0) {
            nodes.make_mut().sort_by(|a, b| a.0.cmp(&b.0));
        }
        Ok(Set { nodes })
    }
}

impl<'a> FromIterator<&'a Path> for Set {
    fn from_iter<I: IntoIterator<Item = &'a Path>>(paths: I) -> Self {
        let mut set = Set::new();
        for path in paths {
            set.insert(&path.0);
        }
        set
    }
}

/// A member name of `fieldsV1` that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a field of managedFields: {0:?}")]
pub struct FieldsError(pub String);

fn element_name(element: &PathElement) -> Str {
    match element {
        PathElement::Field(name) => ecow::eco_format!("f:{name}"),
        PathElement::Key(fields) => {
            let fields: Map = fields.iter().cloned().collect();
            ecow::eco_format!("k:{}", json::to_string(&Value::Map(fields)))
        }
        PathElement::Value(value) => ecow::eco_format!("v:{}", json::to_string(value)),
        PathElement::Index(index) => ecow::eco_format!("i:{index}"),
    }
}

fn element_of(name: &str) -> Result<Option<PathElement>, FieldsError> {
    let malformed = || FieldsError(name.into());
    let (kind, rest) = name
        .split_at_checked(2)
        .filter(|(kind, _)| kind.ends_with(':'))
        .ok_or_else(malformed)?;
    let value = || json::parse(rest.as_bytes()).map_err(|_| malformed());
    Ok(Some(match kind {
        "f:" => PathElement::Field(rest.into()),
        "v:" => PathElement::Value(value()?),
        "i:" => PathElement::Index(rest.parse().map_err(|_| malformed())?),
        "k:" => match value()? {
            Value::Map(fields) => PathElement::Key(fields.into_iter().collect()),
            _ => return Err(malformed()),
        },
        _ => return Ok(None),
    }))
}
