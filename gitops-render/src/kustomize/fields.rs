//! Fields of documents: how kyaml finds, creates and sets them.
//!
//! Two notations lead to fields. A field spec (`spec/template/metadata`,
//! Kustomize's `filters/fieldspec`) goes through lists without saying so; a
//! path (`spec.containers.[name=app].image`, kyaml's `PathGetter` and
//! `PathMatcher`) says which items it means.

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;
use std::sync::OnceLock;

use foldhash::HashMap;
use gitops_core::Str;
use gitops_core::yaml::node::{
    Content, Kind, Limits, Node, NodeId, Quoting, Style, Tag, Tree, quotes_in_yaml_1_1,
};

use super::error::{Result, transform};
use super::id::Gvk;
use super::object::make_collection;
use crate::re2::Re2;

/// A field of the objects of some kinds.
#[derive(Clone, Debug, Default)]
pub(super) struct FieldSpec {
    /// The kinds; what is empty fits all.
    pub(super) gvk: Gvk,
    pub(super) path: Cow<'static, str>,
    /// Whether the field is made where it is missing.
    pub(super) create: bool,
    /// The way to the field; most specs are for kinds that are not there.
    steps: OnceLock<Vec<Step>>,
}

/// One step on the way to a field.
#[derive(Clone, Debug)]
struct Step {
    name: Str,
    /// Whether what is there is said to be a list.
    is_list: bool,
    /// Whether the name is a key and nothing else.
    is_key: bool,
}

impl Step {
    fn new(step: &str) -> Self {
        let (name, is_list) = match step.strip_suffix("[]") {
            Some(list) => (list, true),
            None => (step, false),
        };
        let is_key =
            name.trim() == name && !name.is_empty() && number(name).is_none() && !is_special(name);
        Step {
            name: name.into(),
            is_list,
            is_key,
        }
    }
}

impl PartialEq for FieldSpec {
    fn eq(&self, other: &Self) -> bool {
        (&self.gvk, &self.path, self.create) == (&other.gvk, &other.path, other.create)
    }
}

impl FieldSpec {
    pub(super) fn new(gvk: Gvk, path: impl Into<Cow<'static, str>>, create: bool) -> Self {
        FieldSpec {
            gvk,
            path: path.into(),
            create,
            steps: OnceLock::new(),
        }
    }

    fn steps(&self) -> &[Step] {
        self.steps.get_or_init(|| {
            let path = &self.path;
            match path.contains('\\') || path.starts_with('/') {
                false => path.split('/').map(Step::new).collect(),
                true => {
                    let parts = split_path(path, '/');
                    parts.iter().map(|part| Step::new(part)).collect()
                }
            }
        })
    }

    /// The names on the way to the field.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.steps().iter().map(|step| step.name.as_str())
    }

    /// Whether writing to the field may change who an object is.
    pub(super) fn may_rename(&self) -> bool {
        let outermost = self.names().next().unwrap_or_default().trim();
        matches!(outermost, "" | "apiVersion" | "kind" | "metadata")
            && !matches!(&*self.path, "metadata/labels" | "metadata/annotations")
    }

    /// Whether `other` says the same for kinds that are among these.
    pub(super) fn covers(&self, other: &FieldSpec) -> bool {
        self.gvk.is_selected(&other.gvk) && self.path == other.path
    }
}

/// The field specs for objects of each kind.
pub(super) struct ByKind<'s> {
    specs: &'s [FieldSpec],
    known: HashMap<Gvk, Rc<[&'s FieldSpec]>>,
}

impl<'s> ByKind<'s> {
    pub(super) fn new(specs: &'s [FieldSpec]) -> Self {
        ByKind {
            specs,
            known: HashMap::default(),
        }
    }

    /// Those for objects of a kind, in order.
    pub(super) fn of(&mut self, gvk: &Gvk) -> Rc<[&'s FieldSpec]> {
        if let Some(known) = self.known.get(gvk) {
            return known.clone();
        }
        let fits = |spec: &&FieldSpec| gvk.is_selected(&spec.gvk);
        let found: Rc<[&FieldSpec]> = self.specs.iter().filter(fits).collect();
        self.known.insert(gvk.clone(), found.clone());
        found
    }
}

/// What a field spec makes where nothing is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Create {
    Nothing,
    Scalar(&'static Tag),
    Map,
}

impl Create {
    fn kind(self) -> Option<Kind> {
        match self {
            Create::Nothing => None,
            Create::Scalar(_) => Some(Kind::Scalar),
            Create::Map => Some(Kind::Map),
        }
    }

    fn tag(self) -> Tag {
        match self {
            Create::Nothing => Tag::None,
            Create::Scalar(tag) => tag.clone(),
            Create::Map => Tag::Map,
        }
    }
}

type Setter<'a> = &'a mut dyn FnMut(&mut Tree, NodeId) -> Result<()>;

/// Calls `set` with every field that `spec` means, if the object is of its
/// kinds. `id` names the object in messages.
pub(super) fn visit(
    tree: &mut Tree,
    gvk: &Gvk,
    id: &dyn fmt::Display,
    spec: &FieldSpec,
    create: Create,
    set: Setter<'_>,
) -> Result<()> {
    if !gvk.is_selected(&spec.gvk) {
        return Ok(());
    }
    let root = tree.root();
    descend(tree, root, spec, spec.steps(), create, set).map_err(|error| {
        error.within(format_args!(
            "considering field '{}' of object {id}",
            spec.path
        ))
    })
}

fn descend(
    tree: &mut Tree,
    node: NodeId,
    spec: &FieldSpec,
    steps: &[Step],
    create: Create,
    set: Setter<'_>,
) -> Result<()> {
    let Some((step, rest)) = steps.split_first() else {
        return set(tree, node);
    };
    if tree.node(node).is_null() {
        return Ok(());
    }
    match &tree.node(node).content {
        Content::List(items) => {
            for item in items.clone() {
                descend(tree, item, spec, steps, create, set).map_err(|error| {
                    let path: Vec<String> = steps
                        .iter()
                        .map(|step| {
                            format!("{}{}", step.name, if step.is_list { "[]" } else { "" })
                        })
                        .collect();
                    error.within(format_args!(
                        "visit traversal on path: [{}]",
                        path.join(" ")
                    ))
                })?;
            }
            return Ok(());
        }
        Content::Map(_) => {}
        Content::Scalar(_) | Content::Alias(_) => {
            return Err(transform("expected sequence or mapping node"));
        }
    }
    if step.name.is_empty() {
        return Err(transform("cannot set or create an empty field name"));
    }
    let create_kind = create.kind().filter(|_| spec.create && !step.is_list);
    let (made, tag) = match create_kind {
        None => (step.is_list.then_some(Kind::List), Tag::None),
        Some(kind) if rest.is_empty() => (Some(kind), create.tag()),
        Some(_) => (Some(Kind::Map), Tag::Map),
    };
    let missing = create_kind.and(made);
    let Some(field) = follow(tree, node, step, missing)
        .map_err(|error| error.within(format_args!("fieldName: {}", step.name)))?
    else {
        return Ok(());
    };
    if let Some(kind) = made
        && tree.node(field).is_null()
    {
        make_collection(tree.node_mut(field), kind, tag);
    }
    descend(tree, field, spec, rest, create, set)
}

/// The field of a mapping to which a step leads, made if it is missing and
/// there is a kind for it.
fn follow(
    tree: &mut Tree,
    map: NodeId,
    step: &Step,
    missing: Option<Kind>,
) -> Result<Option<NodeId>> {
    let name = step.name.as_str();
    match (tree.get(map, name), missing) {
        (found, None) if step.is_key => Ok(found),
        (Some(found), Some(_)) if step.is_key => Ok(Some(found)),
        (_, None) => lookup(tree, map, &[name]),
        (_, Some(kind)) => lookup_or_add(tree, map, &[name], kind),
    }
}

/// Whether a name on a way is not, or not only, a key.
pub(super) fn is_special(part: &str) -> bool {
    part == "-" || part == "*" || is_index(part).is_some() || is_bracketed(part)
}

/// Splits at a delimiter, unless a backslash stands before it.
pub(super) fn split_path(path: &str, delimiter: char) -> Vec<String> {
    let mut parts: Vec<&str> = path.split(delimiter).collect();
    if parts.len() > 1 && parts[0].is_empty() {
        parts.remove(0);
    }
    let mut result: Vec<String> = Vec::with_capacity(parts.len());
    for (at, part) in parts.into_iter().enumerate() {
        match result.last_mut() {
            Some(last) if at > 0 && last.ends_with('\\') => {
                last.pop();
                last.push(delimiter);
                last.push_str(part);
            }
            _ => result.push(part.to_owned()),
        }
    }
    result
}

/// Splits at dots, but not within brackets.
pub(super) fn split_field_path(path: &str) -> Vec<String> {
    let split = split_path(path, '.');
    let mut result = Vec::with_capacity(split.len());
    let mut parts = split.into_iter();
    while let Some(part) = parts.next() {
        if !part.starts_with('[') || part.ends_with(']') {
            result.push(part);
            continue;
        }
        let mut bracketed = part;
        for next in parts.by_ref() {
            bracketed.push('.');
            bracketed.push_str(&next);
            if next.ends_with(']') {
                break;
            }
        }
        if bracketed.contains('=') {
            result.push(bracketed);
        } else {
            result.push(bracketed.trim_matches(['[', ']']).to_owned());
        }
    }
    result
}

pub(super) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Scalar => "ScalarNode",
        Kind::Map => "MappingNode",
        Kind::List => "SequenceNode",
        Kind::Alias => "AliasNode",
    }
}

/// Refuses a node that is neither of this kind nor null.
pub(super) fn demand(tree: &Tree, node: NodeId, kind: Kind) -> Result<()> {
    if tree.node(node).is_null() || tree.kind(node) == kind {
        return Ok(());
    }
    let contents = tree.to_text(node).unwrap_or_default();
    Err(transform(format!(
        "wrong node kind: expected {} but got {}: node contents:\n{contents}",
        kind_name(kind),
        kind_name(tree.kind(node)),
    )))
}

/// Sets a scalar; its style stays. What is not a scalar is an error.
pub(super) fn set_scalar(tree: &mut Tree, target: NodeId, mut value: Node) -> Result<()> {
    demand(tree, target, Kind::Scalar)?;
    if value.is_null() {
        return Ok(());
    }
    let target = tree.node_mut(target);
    value.style = target.style;
    *target = value;
    Ok(())
}

/// Sets a field of a mapping. One that is there keeps its style; a new one is
/// appended, its key in `key_style`. A null removes the field.
pub(super) fn set_field(
    tree: &mut Tree,
    map: NodeId,
    name: &str,
    value: NodeId,
    key_style: Style,
) -> Result<()> {
    if tree.node(value).is_null() {
        return clear(tree, map, name);
    }
    put_field(tree, map, name, value, key_style)
}

/// [`set_field`] that also sets nulls.
pub(super) fn put_field(
    tree: &mut Tree,
    map: NodeId,
    name: &str,
    value: NodeId,
    key_style: Style,
) -> Result<()> {
    let field = tree.get(map, name);
    put_known_field(tree, map, (name, field), value, key_style)
}

/// [`put_field`] of a name whose value, if there is one, was looked up before.
pub(super) fn put_known_field(
    tree: &mut Tree,
    map: NodeId,
    (name, field): (&str, Option<NodeId>),
    value: NodeId,
    key_style: Style,
) -> Result<()> {
    let Some(field) = field else {
        return add_field(tree, map, name, value, key_style);
    };
    quote_if_need_be(tree, value);
    replace_value(tree, field, value);
    Ok(())
}

/// Adds a field that a mapping does not have.
pub(super) fn add_field(
    tree: &mut Tree,
    map: NodeId,
    name: &str,
    value: NodeId,
    key_style: Style,
) -> Result<()> {
    quote_if_need_be(tree, value);
    demand(tree, map, Kind::Map)?;
    let key = tree.add(Node {
        style: key_style,
        ..Node::scalar(name)
    });
    tree.push_entry(map, key, value);
    Ok(())
}

/// Puts a value in the place of another, which keeps its style.
fn replace_value(tree: &mut Tree, field: NodeId, value: NodeId) {
    if field == value {
        return;
    }
    let style = tree.node(field).style;
    tree.node_mut(value).style = style;
    let node = tree.node(value).clone();
    *tree.node_mut(field) = node;
}

/// Quotes text that a reader of YAML 1.1 would take for something else.
fn quote_if_need_be(tree: &mut Tree, value: NodeId) {
    let node = tree.node(value);
    if node.is_text()
        && node.style.is_default()
        && node.text().is_some_and(|text| quotes_in_yaml_1_1(text))
    {
        tree.node_mut(value).style = Style::quoted(Quoting::Double);
    }
}

/// Removes a field of a mapping.
pub(super) fn clear(tree: &mut Tree, map: NodeId, name: &str) -> Result<()> {
    demand(tree, map, Kind::Map)?;
    tree.remove(map, name);
    Ok(())
}

/// Sets the field at a path of keys, making the mappings on the way.
pub(super) fn set_at(tree: &mut Tree, path: &[&str], value: NodeId) -> Result<()> {
    let Some((last, parents)) = path.split_last() else {
        return Ok(());
    };
    let mut map = tree.root();
    for parent in parents {
        map = get_or_add_map(tree, map, parent)?;
    }
    set_field(tree, map, last, value, Style::default())
}

/// The mapping of that name, made if there is none.
pub(super) fn get_or_add_map(tree: &mut Tree, map: NodeId, name: &str) -> Result<NodeId> {
    match tree.get(map, name) {
        Some(found) => Ok(found),
        None => {
            demand(tree, map, Kind::Map)?;
            let value = tree.add(Node::map());
            put_field(tree, map, name, value, Style::default())?;
            Ok(value)
        }
    }
}

/// A number that Go's `Atoi` reads.
fn number(part: &str) -> Option<i64> {
    let digits = part.strip_prefix(['+', '-']).unwrap_or(part);
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| part.parse().ok())
        .flatten()
}

fn is_index(part: &str) -> Option<usize> {
    number(part).and_then(|index| usize::try_from(index).ok())
}

fn is_bracketed(part: &str) -> bool {
    part.starts_with('[') && part.ends_with(']')
}

fn split_bracketed(part: &str) -> Result<(&str, &str)> {
    let inner = part.strip_suffix(']').unwrap_or(part);
    let inner = inner.strip_prefix('[').unwrap_or(inner);
    inner.split_once('=').ok_or_else(|| {
        transform("list path element must contain fieldName=fieldValue for element to match")
    })
}

/// The node at a path; `None` if there is none.
pub(super) fn lookup<S: AsRef<str>>(
    tree: &mut Tree,
    from: NodeId,
    path: &[S],
) -> Result<Option<NodeId>> {
    walk(tree, from, path, None)
}

/// The node at a path, made as `kind` if there is none.
pub(super) fn lookup_or_add<S: AsRef<str>>(
    tree: &mut Tree,
    from: NodeId,
    path: &[S],
    kind: Kind,
) -> Result<Option<NodeId>> {
    walk(tree, from, path, Some(kind))
}

fn walk<S: AsRef<str>>(
    tree: &mut Tree,
    from: NodeId,
    path: &[S],
    create: Option<Kind>,
) -> Result<Option<NodeId>> {
    let parts: Vec<&str> = path
        .iter()
        .map(|part| part.as_ref().trim())
        .filter(|part| !part.is_empty())
        .collect();
    let mut node = from;
    for (at, part) in parts.iter().copied().enumerate() {
        let next = parts.get(at + 1).copied().unwrap_or_default();
        let found = if let Some(index) = number(part) {
            if index < 0 {
                return Err(transform(format!("array index {index} cannot be negative")));
            }
            demand(tree, node, Kind::List)?;
            tree.items(node).get(index as usize).copied()
        } else if part == "-" {
            demand(tree, node, Kind::List)?;
            match tree.items(node).last() {
                Some(last) => Some(*last),
                None => return Err(transform("cannot take the last element of an empty list")),
            }
        } else if part == "*" {
            return Err(transform("wildcard is not supported in PathGetter"));
        } else if is_bracketed(part) {
            element(tree, node, part, create.is_some())?
        } else {
            if tree.node(node).is_null() {
                return Ok(None);
            }
            demand(tree, node, Kind::Map)?;
            match (tree.get(node, part), create) {
                (None, Some(kind)) => {
                    let made = new_node(kind_for(next, kind));
                    let made = tree.add(made);
                    put_field(tree, node, part, made, Style::default())?;
                    Some(made)
                }
                (found, _) => found,
            }
        };
        match found {
            None => return Ok(None),
            Some(found) => node = found,
        }
    }
    Ok(Some(node))
}

fn new_node(kind: Kind) -> Node {
    match kind {
        Kind::Map => Node::map(),
        Kind::List => Node::list(),
        Kind::Scalar | Kind::Alias => Node::scalar(""),
    }
}

/// What a field has to be for the next part of a path.
fn kind_for(next: &str, last: Kind) -> Kind {
    if is_bracketed(next) || is_index(next).is_some() {
        Kind::List
    } else if next.is_empty() {
        last
    } else {
        Kind::Map
    }
}

/// The item that `[key=value]` means.
fn element(tree: &mut Tree, list: NodeId, part: &str, create: bool) -> Result<Option<NodeId>> {
    let (key, value) = split_bracketed(part)?;
    demand(tree, list, Kind::List)?;
    let found = tree.items(list).iter().copied().find(|item| {
        if key.is_empty() {
            return tree.text(*item).unwrap_or_default() == value;
        }
        let field = tree.get(*item, key);
        field.is_some_and(|field| tree.text(field).unwrap_or_default() == value)
    });
    if found.is_some() || !create {
        return Ok(found);
    }
    let item = new_item(tree, key, value);
    tree.push_item(list, item);
    Ok(Some(item))
}

/// What `[key=value]` finds: a map of that one field, or the bare value.
fn new_item(tree: &mut Tree, key: &str, value: &str) -> NodeId {
    if key.is_empty() {
        return tree.add(Node::scalar(value));
    }
    let item = tree.add(Node::map());
    let key = tree.add(Node::scalar(key));
    let value = tree.add(Node::scalar(value));
    tree.push_entry(item, key, value);
    item
}

/// Every node that a path means, as kyaml's `PathMatcher` finds them: `*` and
/// `[key=regex]` may mean several. `None` where kyaml gives none at all.
pub(super) fn matches(
    tree: &mut Tree,
    node: NodeId,
    path: &[String],
    create: Option<Kind>,
) -> Result<Vec<NodeId>> {
    let Some((part, rest)) = path.split_first() else {
        return Ok(vec![node]);
    };
    if let Some(index) = is_index(part) {
        demand_list(tree, node)?;
        let count = tree.items(node).len();
        if count == index
            && let Some(kind) = create
        {
            let next = rest.first().map_or("", String::as_str);
            let made = tree.add(new_node(kind_for(next, kind)));
            tree.push_item(node, made);
        }
        let count = tree.items(node).len();
        let Some(item) = tree.items(node).get(index).copied() else {
            return Err(transform(format!(
                "index {index} specified but only {count} elements found"
            )));
        };
        return matches(tree, item, rest, create);
    }
    if is_bracketed(part) {
        return matching_items(tree, node, part, rest, create);
    }
    if part == "*" {
        demand_list(tree, node)?;
        let mut found = Vec::new();
        for item in tree.items(node).to_vec() {
            found.extend(matches(tree, item, rest, create)?);
        }
        return Ok(found);
    }
    if tree.node(node).is_null() && create.is_none() {
        return Ok(Vec::new());
    }
    demand(tree, node, Kind::Map)?;
    let field = match (tree.get(node, part), create) {
        (Some(field), _) => field,
        (None, None) => return Ok(Vec::new()),
        (None, Some(kind)) => {
            let next = rest.first().map_or("", String::as_str);
            let made = tree.add(new_node(kind_for(next, kind)));
            put_field(tree, node, part, made, Style::default())?;
            made
        }
    };
    if !rest.is_empty() && tree.kind(field) == Kind::Scalar {
        return matches_within_text(tree, field, rest, create);
    }
    matches(tree, field, rest, create)
}

/// A path goes on in YAML that is the text of a scalar. What is found there is
/// a copy: kyaml looks, but does not write it back.
fn matches_within_text(
    tree: &mut Tree,
    field: NodeId,
    path: &[String],
    create: Option<Kind>,
) -> Result<Vec<NodeId>> {
    let text = tree.text(field).unwrap_or_default().to_owned();
    let parsed = Tree::parse(text.as_bytes(), &Limits::default())
        .map_err(|error| transform(error.to_string()))?;
    let Some(parsed) = parsed else {
        let part = path.first().map_or("", String::as_str);
        let wanted = match is_index(part).is_some() || is_bracketed(part) || part == "*" {
            true => Kind::List,
            false => Kind::Map,
        };
        return Err(transform(format!(
            "wrong node kind: expected {} but got : node contents:\nnull\n",
            kind_name(wanted)
        )));
    };
    let copy = tree.copy(&parsed, parsed.root());
    matches(tree, copy, path, create)
}

fn demand_list(tree: &Tree, node: NodeId) -> Result<()> {
    demand(tree, node, Kind::List)
}

fn matching_items(
    tree: &mut Tree,
    list: NodeId,
    part: &str,
    rest: &[String],
    create: Option<Kind>,
) -> Result<Vec<NodeId>> {
    let (key, pattern) = split_bracketed(part)?;
    demand_list(tree, list)?;
    for round in 0..2 {
        let items = tree.items(list).to_vec();
        let mut found = Vec::new();
        if !items.is_empty() {
            let pattern = Re2::cached(pattern).map_err(|error| transform(error.to_string()))?;
            for item in items {
                let value = match key.is_empty() {
                    true => Some(item),
                    false => tree.get(item, key),
                };
                let Some(value) = value else { continue };
                let text = tree
                    .to_text(value)
                    .map_err(|error| transform(error.to_string()))?;
                if !pattern.regex.is_match(text.trim().as_bytes()) {
                    continue;
                }
                match key.is_empty() {
                    true => found.push(item),
                    false => found.extend(matches(tree, item, rest, create)?),
                }
            }
        }
        if !found.is_empty() || create.is_none() || round > 0 {
            return Ok(found);
        }
        let item = new_item(tree, key, pattern);
        tree.push_item(list, item);
    }
    Ok(Vec::new())
}
