//! Strategic merge as kyaml does it: a port of `yaml/walk` and `yaml/merge2`
//! 0.21.1.
//!
//! Both sides are nodes of one tree. As in the original, nodes of the patch
//! become part of the result, and fields are written into the nodes that are
//! there, so that a node that stands in two places changes in both.

use std::collections::{BTreeSet, HashMap, HashSet};

use gitops_core::Str;
use gitops_core::yaml::node::{Content, Kind, Node, NodeId, Style, Tag, Tree};

use super::error::{Result, transform};
use super::fields::{demand, put_field, put_known_field};
use super::schema::{Schema, Schemas, Shape};

/// Where new items of a list go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NewItems {
    /// Before those that are there, as in patches.
    First,
    /// After them, as in the values of charts.
    Last,
}

/// Merges `patch`, which is copied, into the root of `tree`. `false` if
/// nothing is left of it.
pub(super) fn merge(
    tree: &mut Tree,
    patch: &Tree,
    schemas: &Schemas,
    new_items: NewItems,
) -> Result<bool> {
    let source = tree.copy(patch, patch.root());
    let schema = &schemas.read()?;
    let walk = Walk { schema, new_items };
    let target = tree.root();
    let merged = walk.node(tree, [Some(target), Some(source)], None)?;
    match merged {
        None => Ok(false),
        Some(merged) => {
            tree.set_root(merged.node);
            Ok(true)
        }
    }
}

struct Walk<'s> {
    schema: &'s Schema,
    new_items: NewItems,
}

/// Where the fields of two mappings are. Most mappings are small, and looking
/// through them is faster than an index.
enum Index {
    Small,
    Large([HashMap<Str, Entry>; 2]),
}

/// A key and its value.
type Entry = (NodeId, NodeId);

impl Index {
    fn of(tree: &Tree, maps: Sources) -> Self {
        const SMALL: usize = 32;
        let is_small = |map: &NodeId| tree.entries(*map).len() <= SMALL;
        if maps.iter().flatten().all(is_small) {
            return Index::Small;
        }
        Index::Large(maps.map(|map| {
            let entries = map.map(|map| tree.entries(map)).unwrap_or_default();
            let mut index = HashMap::with_capacity(entries.len());
            for (key, value) in entries {
                if let Some(name) = tree.node(*key).text() {
                    index.entry(name.clone()).or_insert((*key, *value));
                }
            }
            index
        }))
    }

    fn find(&self, tree: &Tree, maps: Sources, name: &str) -> [Option<Entry>; 2] {
        match self {
            Index::Small => maps.map(|map| map.and_then(|map| tree.entry(map, name))),
            Index::Large([first, second]) => [first.get(name).copied(), second.get(name).copied()],
        }
    }
}

/// What is there, and what the patch says.
type Sources = [Option<NodeId>; 2];

/// The outcome for one node.
#[derive(Clone, Copy)]
struct Merged {
    node: NodeId,
    /// Whether a null stays instead of removing its field.
    keep_null: bool,
}

impl Merged {
    fn of(node: Option<NodeId>) -> Option<Self> {
        node.map(|node| Merged {
            node,
            keep_null: false,
        })
    }
}

/// What `$patch` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Directive {
    Merge,
    Replace,
    Delete,
}

fn is_null(tree: &Tree, node: Option<NodeId>) -> bool {
    node.is_none_or(|node| tree.node(node).is_null())
}

impl Walk<'_> {
    fn node(
        &self,
        tree: &mut Tree,
        sources: Sources,
        shape: Option<&Shape>,
    ) -> Result<Option<Merged>> {
        let found;
        let shape = match shape {
            Some(shape) => Some(shape),
            None => {
                found = self.shape_of(tree, sources);
                found.as_ref()
            }
        };
        let first = sources
            .into_iter()
            .flatten()
            .find(|node| !tree.node(*node).is_null());
        let Some(first) = first else {
            return self.map(tree, sources, shape);
        };
        let kind = tree.kind(first);
        for source in sources.into_iter().flatten() {
            demand(tree, source, kind)?;
        }
        match kind {
            Kind::Map => self.map(tree, sources, shape),
            Kind::List => match shape {
                Some(Shape::List(list)) if list.keys.is_some() => {
                    let keys = list.keys.as_deref().unwrap_or_default();
                    self.keyed_list(tree, sources, keys, &list.items)
                }
                _ => {
                    set_style(tree, sources);
                    Ok(Merged::of(sources[1].or(sources[0])))
                }
            },
            Kind::Scalar => Ok(Merged::of(sources[1].or(sources[0]))),
            Kind::Alias => Ok(None),
        }
    }

    /// The shape of an object that says its kind.
    fn shape_of(&self, tree: &Tree, sources: Sources) -> Option<Shape> {
        sources.into_iter().flatten().find_map(|node| {
            let text = |key| tree.get(node, key).and_then(|node| tree.text(node));
            self.schema.kind(text("apiVersion")?, text("kind")?)
        })
    }

    fn map(
        &self,
        tree: &mut Tree,
        [target, source]: Sources,
        shape: Option<&Shape>,
    ) -> Result<Option<Merged>> {
        set_style(tree, [target, source]);
        let Some(dest) = self.visit_map(tree, target, source)? else {
            return Ok(None);
        };
        if dest.keep_null || tree.kind(dest.node) == Kind::Scalar {
            // A null that stays has no fields; no more has a patch that is one.
            return Ok(Some(dest));
        }
        let dest = dest.node;
        let mut names = BTreeSet::<Str>::new();
        for side in [Some(dest), source].into_iter().flatten() {
            names.extend(
                tree.entries(side)
                    .iter()
                    .filter_map(|(key, _)| tree.node(*key).text().cloned()),
            );
        }
        let index = Index::of(tree, [Some(dest), source]);
        let mut gone = HashSet::new();
        for name in names {
            let [ours, theirs] = index.find(tree, [Some(dest), source], &name);
            let field = shape.and_then(|shape| self.schema.field(shape, &name));
            let values = [ours.map(|(_, value)| value), theirs.map(|(_, value)| value)];
            let merged = self.node(tree, values, field.as_ref())?;
            match merged.filter(|merged| merged.keep_null || !tree.node(merged.node).is_null()) {
                None => {
                    demand(tree, dest, Kind::Map)?;
                    gone.extend(ours.map(|(key, _)| key));
                }
                Some(merged) => {
                    let key = [ours, theirs]
                        .into_iter()
                        .flatten()
                        .filter(|(_, value)| *value == merged.node)
                        .map(|(key, _)| tree.node(key).style)
                        .next_back();
                    let known = (name.as_str(), values[0]);
                    put_known_field(tree, dest, known, merged.node, key.unwrap_or_default())?;
                }
            }
        }
        if !gone.is_empty()
            && let Content::Map(entries) = &mut tree.node_mut(dest).content
        {
            entries.retain(|(key, _)| !gone.contains(key));
        }
        Ok(Merged::of(Some(dest)))
    }

    fn visit_map(
        &self,
        tree: &mut Tree,
        target: Option<NodeId>,
        source: Option<NodeId>,
    ) -> Result<Option<Merged>> {
        if is_null(tree, target) {
            if directive(tree, source).ok() == Some(Directive::Delete) {
                return Ok(None);
            }
            if source.is_none()
                && let Some(target) = target
                && let Some(text) = tree.node(target).text().cloned()
                && !text.is_empty()
            {
                let node = tree.add(Node::tagged(text, Tag::Null));
                return Ok(Some(Merged {
                    node,
                    keep_null: true,
                }));
            }
            return Ok(Merged::of(source));
        }
        if source.is_some_and(|source| tree.node(source).is_null()) {
            return Ok(None);
        }
        Ok(match directive(tree, source)? {
            Directive::Delete => None,
            Directive::Replace => Merged::of(source),
            Directive::Merge => Merged::of(target),
        })
    }

    fn keyed_list(
        &self,
        tree: &mut Tree,
        [target, source]: Sources,
        keys: &[Str],
        items: &Shape,
    ) -> Result<Option<Merged>> {
        set_style(tree, [target, source]);
        let dest = if is_null(tree, target) {
            source
        } else if source.is_some_and(|source| tree.node(source).is_null()) {
            None
        } else {
            match directive(tree, source)? {
                Directive::Delete => None,
                Directive::Replace => source,
                Directive::Merge => target,
            }
        };
        let Some(dest) = dest else { return Ok(None) };
        let sources = [Some(dest), source];
        if keys.is_empty() {
            let values = self.item_texts(tree, sources);
            return self.merge_items(tree, sources, values, &[Str::new()], items, dest);
        }
        let values = self.item_keys(tree, sources, keys)?;
        self.merge_items(tree, sources, values, keys, items, dest)
    }

    /// Both sides, in the order in which their items come.
    fn in_order(&self, [target, source]: Sources) -> Sources {
        match self.new_items {
            NewItems::First => [source, target],
            NewItems::Last => [target, source],
        }
    }

    /// The distinct values of the keys of all items.
    fn item_keys(&self, tree: &Tree, sources: Sources, keys: &[Str]) -> Result<Vec<Vec<Str>>> {
        let mut seen = HashSet::new();
        let mut values = Vec::new();
        for list in self.in_order(sources).into_iter().flatten() {
            for item in tree.items(list) {
                let of_item: Vec<Str> = keys
                    .iter()
                    .map(|key| {
                        tree.get(*item, key)
                            .filter(|field| !tree.node(*field).is_empty())
                            .and_then(|field| tree.node(field).text().cloned())
                            .unwrap_or_default()
                    })
                    .collect();
                if seen.insert(of_item.clone()) {
                    values.push(of_item);
                }
            }
        }
        Ok(values)
    }

    /// The distinct items of both sides.
    fn item_texts(&self, tree: &Tree, sources: Sources) -> Vec<Vec<Str>> {
        let mut seen = HashSet::new();
        let mut values = Vec::new();
        for list in self.in_order(sources).into_iter().flatten() {
            for item in tree.items(list) {
                let text = tree.node(*item).text().cloned().unwrap_or_default();
                if seen.insert(text.clone()) {
                    values.push(vec![text]);
                }
            }
        }
        values
    }

    fn merge_items(
        &self,
        tree: &mut Tree,
        sources: Sources,
        mut values: Vec<Vec<Str>>,
        keys: &[Str],
        shape: &Shape,
        dest: NodeId,
    ) -> Result<Option<Merged>> {
        if let [key] = keys
            && let Some(index) = ItemIndex::of(tree, sources, key)
        {
            return self.merge_many_items(tree, &index, &values, shape, dest);
        }
        let added = tree.add(Node::list());
        if keys.len() > 1 {
            fill_in(&mut values);
        }
        // Which keys any item has does not change from item to item.
        let any: Vec<bool> = (0..keys.len())
            .map(|at| values.iter().any(|item| !item[at].is_empty()))
            .collect();
        let mut valid_keys = Vec::new();
        for item in &values {
            let valid_values;
            (valid_keys, valid_values) = valid(&any, item, keys);
            let found = self.find_items(tree, sources, &valid_keys, &valid_values)?;
            let merged = self.node(tree, found, Some(shape))?;
            let is_nothing = merged.is_none_or(|merged| {
                tree.node(merged.node).is_null()
                    || matches!(&tree.node(merged.node).content, Content::Map(entries) if entries.is_empty())
            });
            let Some(merged) = merged.filter(|_| !is_nothing) else {
                for _ in &valid_keys {
                    set_item(tree, dest, None, &valid_keys, &valid_values)?;
                }
                continue;
            };
            for (key, value) in valid_keys.iter().zip(&valid_values) {
                if tree.kind(merged.node) == Kind::Map
                    && tree.get(merged.node, key).is_none()
                    && !value.is_empty()
                {
                    let value = tree.add(Node::scalar(value.clone()));
                    put_field(tree, merged.node, key, value, Style::default())?;
                }
            }
            set_item(tree, added, Some(merged.node), &valid_keys, &valid_values)?;
        }
        if values.is_empty() {
            return Ok(Merged::of(Some(dest)));
        }
        let dest = match self.new_items {
            NewItems::First => append_items(tree, added, dest, &valid_keys)?,
            NewItems::Last => append_items(tree, dest, added, &valid_keys)?,
        };
        Ok(Merged::of(Some(dest)))
    }

    /// [`merge_items`](Self::merge_items) for long lists of plain items.
    fn merge_many_items(
        &self,
        tree: &mut Tree,
        index: &ItemIndex,
        values: &[Vec<Str>],
        shape: &Shape,
        dest: NodeId,
    ) -> Result<Option<Merged>> {
        // An item that stays in the target is put in the place of what was
        // made of it.
        let mut added = Vec::with_capacity(values.len());
        for value in values.iter().flatten() {
            let found = index.0.each_ref().map(|side| side.get(value).copied());
            let merged = self.node(tree, found, Some(shape))?;
            let merged = merged.filter(|merged| match &tree.node(merged.node).content {
                Content::Map(entries) => !entries.is_empty(),
                _ => !tree.node(merged.node).is_null(),
            });
            let Some(merged) = merged else { continue };
            added.push(match (self.new_items, found[0]) {
                (NewItems::First, Some(ours)) => ours,
                _ => merged.node,
            });
        }
        let list = match self.new_items {
            NewItems::First => tree.add(Node::list()),
            NewItems::Last => dest,
        };
        tree.node_mut(list).content = Content::List(added);
        Ok(Merged::of(Some(list)))
    }

    /// The item of each side that has these values.
    fn find_items(
        &self,
        tree: &Tree,
        sources: Sources,
        keys: &[Str],
        values: &[Str],
    ) -> Result<Sources> {
        // kyaml looks at the keys once more, now with this one item.
        let any: Vec<bool> = values.iter().map(|value| !value.is_empty()).collect();
        let (keys, values) = valid(&any, values, keys);
        let find = |list: Option<NodeId>| {
            let list = list?;
            if tree.kind(list) != Kind::List {
                return None;
            }
            tree.items(list)
                .iter()
                .copied()
                .find(|item| has_values(tree, *item, &keys, &values))
        };
        Ok([find(sources[0]), find(sources[1])])
    }
}

/// The items of both sides by the value of their one key.
struct ItemIndex([HashMap<Str, NodeId>; 2]);

impl ItemIndex {
    /// `None` for lists that are short, or that have items without a value of
    /// their own: kyaml has rules for them.
    fn of(tree: &Tree, lists: Sources, key: &str) -> Option<Self> {
        const LONG: usize = 64;
        let count = |list: &NodeId| tree.items(*list).len();
        if key.is_empty() || lists.iter().flatten().map(count).sum::<usize>() < LONG {
            return None;
        }
        let mut sides = [HashMap::new(), HashMap::new()];
        for (side, list) in sides.iter_mut().zip(lists) {
            let Some(list) = list else { continue };
            if tree.kind(list) != Kind::List {
                return None;
            }
            for item in tree.items(list) {
                let value = tree.get(*item, key)?;
                let value = Some(tree.node(value)).filter(|value| !value.is_null())?;
                let value = value.text().filter(|text| !text.is_empty())?;
                if side.insert(value.clone(), *item).is_some() {
                    return None;
                }
            }
        }
        Some(ItemIndex(sides))
    }
}

/// Whether an item has these values. Where kyaml has more keys than values it
/// gives up and finds nothing.
fn has_values(tree: &Tree, item: NodeId, keys: &[Str], values: &[Str]) -> bool {
    if keys.first().is_none_or(|key| key.is_empty()) {
        return tree.text(item).unwrap_or_default() == values.first().map_or("", Str::as_str);
    }
    if tree.node(item).is_null() {
        return false;
    }
    tree.kind(item) == Kind::Map
        && keys.len() == values.len()
        && keys.iter().zip(values).all(|(key, value)| {
            tree.get(item, key)
                .is_some_and(|field| tree.text(field).unwrap_or_default() == value.as_str())
        })
}

/// The keys that count, with the values of one item: those that any item has.
fn valid(any: &[bool], values: &[Str], keys: &[Str]) -> (Vec<Str>, Vec<Str>) {
    if !any.contains(&true) {
        return (keys.to_vec(), values.to_vec());
    }
    let valid_keys = keys
        .iter()
        .zip(any)
        .filter(|(_, any)| **any)
        .map(|(key, _)| key.clone());
    let valid_values = values
        .iter()
        .zip(any)
        .filter(|(value, any)| **any || !value.is_empty())
        .map(|(value, _)| value.clone());
    (valid_keys.collect(), valid_values.collect())
}

/// Gives items whose keys agree, as far as both have them, each other's keys.
fn fill_in(values: &mut [Vec<Str>]) {
    for first in 0..values.len() {
        let before = values[first].clone();
        for second in 0..values.len() {
            if let Some(joined) = join(&before, &values[second]) {
                values[first].clone_from(&joined);
                values[second] = joined;
            }
        }
    }
}

fn join(first: &[Str], second: &[Str]) -> Option<Vec<Str>> {
    if first.len() != second.len() {
        return None;
    }
    let mut common = false;
    let mut joined = Vec::with_capacity(first.len());
    for (a, b) in first.iter().zip(second) {
        if a == b {
            common = true;
        } else if !a.is_empty() && !b.is_empty() {
            return None;
        }
        joined.push(if a.is_empty() { b.clone() } else { a.clone() });
    }
    common.then_some(joined)
}

/// kyaml's `ElementSetter`: puts an item in the place of those that have these
/// values, or last; without an item these are removed.
fn set_item(
    tree: &mut Tree,
    list: NodeId,
    item: Option<NodeId>,
    keys: &[Str],
    values: &[Str],
) -> Result<()> {
    demand(tree, list, Kind::List)?;
    let by_key = keys.first().is_some_and(|key| !key.is_empty())
        && values.first().is_some_and(|value| !value.is_empty());
    let mut items = Vec::with_capacity(tree.items(list).len() + 1);
    let mut found = false;
    for have in tree.items(list).to_vec() {
        let node = tree.node(have);
        if node.is_null() || matches!(&node.content, Content::Map(entries) if entries.is_empty()) {
            continue;
        }
        if node.kind() != Kind::Map && by_key {
            items.push(have);
            continue;
        }
        let mut field = None;
        for (at, key) in keys.iter().enumerate() {
            // A key without a value has what the key before it gave.
            if let Some(value) = values.get(at) {
                field = match key.is_empty() {
                    true => {
                        demand(tree, have, Kind::Scalar)?;
                        (tree.text(have).unwrap_or_default() == value.as_str()).then_some(have)
                    }
                    false => {
                        demand(tree, have, Kind::Map)?;
                        tree.get(have, key).filter(|field| {
                            value.is_empty()
                                || tree.text(*field).unwrap_or_default() == value.as_str()
                        })
                    }
                };
            }
            if field.is_none() {
                break;
            }
        }
        let fits = field.is_some();
        if !fits {
            if !values.is_empty() {
                items.push(have);
            }
            continue;
        }
        found = true;
        items.extend(item);
    }
    if !found && let Some(item) = item.filter(|item| !tree.node(*item).is_null()) {
        items.push(item);
    }
    tree.node_mut(list).content = Content::List(items);
    Ok(())
}

fn append_items(tree: &mut Tree, dest: NodeId, source: NodeId, keys: &[Str]) -> Result<NodeId> {
    for item in tree.items(source).to_vec() {
        if keys.first().is_none_or(|key| key.is_empty()) {
            let text = tree.node(item).text().cloned().unwrap_or_default();
            set_item(tree, dest, Some(item), &[Str::new()], &[text])?;
            continue;
        }
        let mut values = Vec::with_capacity(keys.len());
        for key in keys {
            if tree.node(item).is_null() {
                tree.push_item(dest, item);
                continue;
            }
            demand(tree, item, Kind::Map)?;
            match tree.get(item, key) {
                None => tree.push_item(dest, item),
                Some(field) => values.push(tree.node(field).text().cloned().unwrap_or_default()),
            }
        }
        if keys.len() > 1 {
            set_item(tree, dest, None, keys, &values)?;
        }
        set_item(tree, dest, Some(item), keys, &values)?;
    }
    Ok(dest)
}

/// Takes the `$patch` out of a patch and says what it was.
fn directive(tree: &mut Tree, patch: Option<NodeId>) -> Result<Directive> {
    const KEY: &str = "$patch";
    let Some(patch) = patch else {
        return Ok(Directive::Merge);
    };
    let holder = match tree.kind(patch) {
        Kind::Map => patch,
        Kind::List => {
            let holder = tree
                .items(patch)
                .iter()
                .copied()
                .find(|item| tree.get(*item, KEY).is_some());
            match holder {
                // With other keys it is meant for that item alone.
                Some(item) if tree.entries(item).len() == 1 => item,
                _ => return Ok(Directive::Merge),
            }
        }
        Kind::Scalar | Kind::Alias => {
            let text = tree.to_text(patch).unwrap_or_default();
            return Err(transform(format!(
                "no implemented strategic merge patch strategy for '{}' ('{text}')",
                short_tag(&tree.node(patch).tag)
            )));
        }
    };
    let Some(value) = tree.get(holder, KEY) else {
        return Ok(Directive::Merge);
    };
    let text: Str = tree.text(value).unwrap_or_default().into();
    let found = match text.as_str() {
        "delete" => Directive::Delete,
        "replace" => Directive::Replace,
        "merge" => Directive::Merge,
        other => return Err(transform(format!("unknown patch strategy '{other}'"))),
    };
    if holder == patch {
        tree.remove(patch, KEY);
    } else {
        set_item(tree, patch, None, &[KEY.into()], &[text])?;
    }
    Ok(found)
}

fn short_tag(tag: &Tag) -> &str {
    match tag {
        Tag::None => Tag::Str.name(),
        tag => tag.name(),
    }
}

/// An empty collection takes the style of what is merged into it.
fn set_style(tree: &mut Tree, sources: Sources) {
    let [Some(target), Some(source)] = sources else {
        return;
    };
    let empty = match &tree.node(target).content {
        Content::Map(entries) => entries.is_empty(),
        Content::List(items) => items.is_empty(),
        Content::Scalar(_) | Content::Alias(_) => false,
    };
    if empty {
        let style = tree.node(source).style;
        tree.node_mut(target).style = style;
    }
}
