//! A configuration laid over a live value.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use gitops_core::schema::{ListType, MapType, Relationship, Schema, TypeRef};
use gitops_core::{Map, Value};

use super::path::PathElement;
use super::typed::{
    Facet, INVALID_ATOM, Typed, TypedError, deduce, identity, resolve, scalar_problem,
};

impl<'s> Typed<'s> {
    /// This value with `config` laid over it: what `config` sets wins, what it
    /// does not mention stays. Nothing is removed; that is the work of
    /// pruning, which knows who owned what.
    ///
    /// Items of associative lists that both have take the order of `config`;
    /// items that only this value has stay next to their neighbours.
    ///
    /// # Errors
    ///
    /// [`TypedError`] if either side does not fit the schema.
    pub fn merge(&self, config: &Typed<'_>) -> Result<Typed<'s>, TypedError> {
        let merged = merge(
            self.schema,
            Some(self.root),
            Some(&self.value),
            Some(&config.value),
        )
        .map_err(TypedError::one)?;
        Ok(self.with(merged.unwrap_or(Value::Null)))
    }
}

type Merged = Result<Option<Value>, String>;

fn merge(
    schema: &Schema,
    ty: Option<TypeRef>,
    live: Option<&Value>,
    config: Option<&Value>,
) -> Merged {
    if live.is_none() && config.is_none() {
        return Ok(None);
    }
    let atom = resolve(schema, ty);
    let of_live = deduce(&atom, live);
    let of_config = deduce(&atom, config);
    if config.is_none() {
        merge_as(schema, Facet::of(of_live), live, config)
    } else if live.is_none() || of_live == of_config {
        merge_as(schema, Facet::of(of_config), live, config)
    } else {
        // The two sides hold different shapes: both ways are walked, so that
        // an invalid side is noticed, and the configuration's counts.
        merge_as(schema, Facet::of(of_live), live, config)?;
        merge_as(schema, Facet::of(of_config), live, config)
    }
}

fn merge_as(
    schema: &Schema,
    facet: Option<Facet>,
    live: Option<&Value>,
    config: Option<&Value>,
) -> Merged {
    match facet {
        None => Err(INVALID_ATOM.into()),
        Some(Facet::Scalar(scalar)) => {
            let problem = |side: Option<&Value>| side.and_then(|v| scalar_problem(scalar, v));
            match (problem(live), problem(config)) {
                (Some(live), Some(config)) => Err(format!("lhs: {live}; rhs: {config}")),
                _ => Ok(leaf(live, config)),
            }
        }
        Some(Facet::List(list)) => {
            let live_items = live.and_then(Value::as_list);
            let config_items = config.and_then(Value::as_list);
            let empty = |items: Option<&[Value]>| items.is_none_or(<[Value]>::is_empty);
            if list.relationship == Relationship::Atomic
                || (empty(live_items) && empty(config_items))
            {
                return Ok(leaf(live, config));
            }
            merge_lists(
                schema,
                &list,
                live_items.unwrap_or_default(),
                config_items.unwrap_or_default(),
            )
        }
        Some(Facet::Map(map)) => {
            let live_fields = live.and_then(Value::as_map);
            let config_fields = config.and_then(Value::as_map);
            let empty = |fields: Option<&Map>| fields.is_none_or(Map::is_empty);
            if map.relationship == Relationship::Atomic
                || (empty(live_fields) && empty(config_fields))
            {
                return Ok(leaf(live, config));
            }
            merge_maps(schema, &map, live_fields, config_fields)
        }
    }
}

/// What is not taken apart: the configuration's value, if it has one.
fn leaf(live: Option<&Value>, config: Option<&Value>) -> Option<Value> {
    config.or(live).cloned()
}

fn merge_maps(schema: &Schema, map: &MapType, live: Option<&Map>, config: Option<&Map>) -> Merged {
    let empty = Map::new();
    let mut merged = Vec::new();
    for (name, live, config) in zip(live.unwrap_or(&empty), config.unwrap_or(&empty)) {
        let value = merge(schema, map.child(name), live, config)
            .map_err(|problem| format!(".{name}: {problem}"))?;
        if let Some(value) = value {
            merged.push((name.clone(), value));
        }
    }
    Ok((!merged.is_empty()).then(|| Value::Map(merged.into_iter().collect())))
}

/// The keys of two maps in order, each with the values on both sides.
pub(super) fn zip<'a>(
    left: &'a Map,
    right: &'a Map,
) -> impl Iterator<Item = (&'a gitops_core::Str, Option<&'a Value>, Option<&'a Value>)> {
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    std::iter::from_fn(move || {
        let order = match (left.peek(), right.peek()) {
            (None, None) => return None,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((a, _)), Some((b, _))) => a.cmp(b),
        };
        let a = if order.is_le() { left.next() } else { None };
        let b = if order.is_ge() { right.next() } else { None };
        let name = a.or(b)?.0;
        Some((name, a.map(|(_, value)| value), b.map(|(_, value)| value)))
    })
}

/// The items of a list by identity. Copies of one identity stand for null, so
/// that what is laid over them replaces them all.
struct Items<'v> {
    order: Vec<PathElement>,
    by_identity: BTreeMap<PathElement, &'v Value>,
}

static NULL: Value = Value::Null;

impl<'v> Items<'v> {
    fn of(
        schema: &Schema,
        list: &ListType,
        items: &'v [Value],
        duplicates: bool,
    ) -> Result<Self, String> {
        let mut order = Vec::with_capacity(items.len());
        let mut by_identity = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            let element = identity(schema, list, item)
                .map_err(|problem| format!("element {index}: {problem}"))?;
            match by_identity.entry(element.clone()) {
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(item);
                }
                std::collections::btree_map::Entry::Occupied(mut entry) if duplicates => {
                    entry.insert(&NULL);
                }
                std::collections::btree_map::Entry::Occupied(_) => {
                    return Err(format!("duplicate entries for key {element}"));
                }
            }
            order.push(element);
        }
        Ok(Items { order, by_identity })
    }
}

/// Two cursors walk both lists. Items that both have appear where the
/// configuration has them; `shared` holds those still to come, in that order.
fn merge_lists(schema: &Schema, list: &ListType, live: &[Value], config: &[Value]) -> Merged {
    let theirs = Items::of(schema, list, config, false)?;
    let ours = Items::of(schema, list, live, true)?;
    let mut shared: VecDeque<&PathElement> = theirs
        .order
        .iter()
        .filter(|element| ours.by_identity.contains_key(*element))
        .collect();
    let mut merged = Vec::with_capacity(live.len().max(config.len()));
    let mut used = BTreeSet::new();
    let mut take = |live: Option<&Value>, config: Option<&Value>| {
        // Upstream loses what goes wrong inside one item, and keeps the list.
        if let Ok(Some(item)) = merge(schema, Some(list.element), live, config) {
            merged.push(item);
        }
    };
    let (mut left, mut right) = (0, 0);
    while left < ours.order.len() || right < theirs.order.len() {
        let mine = ours.order.get(left);
        let other = theirs.order.get(right);
        if let (Some(mine), Some(other)) = (mine, other) {
            if mine == other {
                used.insert(mine);
                take(
                    ours.by_identity.get(mine).copied(),
                    theirs.by_identity.get(mine).copied(),
                );
                left += 1;
                right += 1;
                shared.pop_front();
                continue;
            }
            let awaited = shared.front().is_some_and(|next| *next != mine);
            if awaited && theirs.by_identity.contains_key(mine) {
                left += 1; // shared, but its turn is later
                continue;
            }
        }
        if let Some(mine) = mine {
            if !theirs.by_identity.contains_key(mine) {
                // By position: of several copies each stays as it is.
                take(Some(&live[left]), None);
                left += 1;
                continue;
            }
            if used.contains(mine) {
                left += 1; // already merged where the configuration has it
            }
        }
        if let Some(other) = other {
            used.insert(other);
            take(
                ours.by_identity.get(other).copied(),
                theirs.by_identity.get(other).copied(),
            );
            right += 1;
            if shared.front() == Some(&other) {
                shared.pop_front();
            }
        }
    }
    Ok((!merged.is_empty()).then(|| merged.into_iter().collect()))
}
