//! A configuration laid over a live value.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use gitops_core::schema::{ListFacet, MapFacet, Relationship, Schema, TypeRef};
use gitops_core::{List, Map, Str, Value};

use super::typed::{
    Facet, INVALID_ATOM, Identity, Typed, TypedError, alike, deduce, has_copies, identities,
    resolve, scalar_problem,
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
        Ok(self.with(match merged {
            Merged::Live => self.value.clone(),
            Merged::Config => config.value.clone(),
            Merged::Other(value) => value,
            Merged::Nothing => Value::Null,
        }))
    }
}

/// What a place comes to. Most of an object stays as it is: only what is
/// mixed is built, so that the rest keeps its storage.
enum Merged {
    /// The live value.
    Live,
    /// The configuration's value.
    Config,
    /// A value that neither side has as such.
    Other(Value),
    /// The place is not there.
    Nothing,
}

impl Merged {
    fn value(self, live: Option<&Value>, config: Option<&Value>) -> Option<Value> {
        match self {
            Merged::Live => live.cloned(),
            Merged::Config => config.cloned(),
            Merged::Other(value) => Some(value),
            Merged::Nothing => None,
        }
    }
}

fn merge(
    schema: &Schema,
    ty: Option<TypeRef>,
    live: Option<&Value>,
    config: Option<&Value>,
) -> Result<Merged, String> {
    // What the configuration does not mention stays as a server let it in;
    // walking it would find nothing.
    let Some(config) = config else {
        return Ok(live.map_or(Merged::Nothing, |_| Merged::Live));
    };
    let facets = resolve(schema, ty);
    let of_live = deduce(facets, live);
    let of_config = deduce(facets, Some(config));
    let config = Some(config);
    if live.is_none() || alike(&of_live, &of_config) {
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
    facet: Option<Facet<'_>>,
    live: Option<&Value>,
    config: Option<&Value>,
) -> Result<Merged, String> {
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
fn leaf(live: Option<&Value>, config: Option<&Value>) -> Merged {
    match (live, config) {
        (None, None) => Merged::Nothing,
        (Some(_), None) => Merged::Live,
        (Some(live), Some(config)) if live == config => Merged::Live,
        (_, Some(_)) => Merged::Config,
    }
}

fn merge_maps(
    schema: &Schema,
    map: &MapFacet<'_>,
    live: Option<&Map>,
    config: Option<&Map>,
) -> Result<Merged, String> {
    let empty = Map::new();
    let (live, config) = (live.unwrap_or(&empty), config.unwrap_or(&empty));
    // What differs from the live map; all of it if there is none.
    let mut changed: Vec<(Str, Option<Value>)> = Vec::new();
    let (mut count, mut declared) = (0, 0);
    for (name, live, config) in live.zip(config) {
        let merged = merge(schema, map.child(name), live, config)
            .map_err(|problem| format!(".{name}: {problem}"))?;
        if matches!(merged, Merged::Nothing) {
            changed.extend(live.map(|_| (name.clone(), None)));
            continue;
        }
        count += 1;
        declared += usize::from(matches!(merged, Merged::Config));
        if !matches!(merged, Merged::Live) {
            changed.push((name.clone(), merged.value(live, config)));
        }
    }
    if count == 0 {
        return Ok(Merged::Nothing);
    }
    if changed.is_empty() {
        return Ok(Merged::Live);
    }
    if live.is_empty() && declared == config.len() {
        return Ok(Merged::Config);
    }
    let set = |(name, value): (Str, Option<Value>)| value.map(|value| (name, value));
    if live.is_empty() {
        let map: Map = changed.into_iter().filter_map(set).collect();
        return Ok(Merged::Other(map.into()));
    }
    let mut changed = changed.into_iter().peekable();
    let mut merged = Vec::with_capacity(count);
    for (name, value) in live {
        while let Some(new) = changed.next_if(|(changed, _)| changed < name) {
            merged.extend(set(new));
        }
        match changed.next_if(|(changed, _)| changed == name) {
            Some(new) => merged.extend(set(new)),
            None => merged.push((name.clone(), value.clone())),
        }
    }
    merged.extend(changed.filter_map(set));
    Ok(Merged::Other(Value::Map(merged.into_iter().collect())))
}

/// The items of a list by identity. Copies of one identity stand for null, so
/// that what is laid over them replaces them all.
struct Items<'v> {
    order: Vec<Identity<'v>>,
    by_identity: BTreeMap<Identity<'v>, &'v Value>,
}

static NULL: Value = Value::Null;

impl<'v> Items<'v> {
    fn of(order: Vec<Identity<'v>>, items: &'v [Value], duplicates: bool) -> Result<Self, String> {
        let mut by_identity = BTreeMap::new();
        for (identity, item) in order.iter().zip(items) {
            match by_identity.entry(identity.clone()) {
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(item);
                }
                std::collections::btree_map::Entry::Occupied(mut entry) if duplicates => {
                    entry.insert(&NULL);
                }
                std::collections::btree_map::Entry::Occupied(_) => {
                    let element = identity.element();
                    return Err(format!("duplicate entries for key {element}"));
                }
            }
        }
        Ok(Items { order, by_identity })
    }
}

fn merge_lists(
    schema: &Schema,
    list: &ListFacet<'_>,
    live: &[Value],
    config: &[Value],
) -> Result<Merged, String> {
    let (theirs, problem) = identities(schema, list, config);
    if let Some(problem) = problem {
        // Of two problems the first one is told.
        let read = Items::of(theirs, config, false)?;
        return Err(format!("element {}: {problem}", read.order.len()));
    }
    let (ours, problem) = identities(schema, list, live);
    if let Some(problem) = problem {
        return Err(format!("element {}: {problem}", ours.len()));
    }
    // Nearly always both have the same items in the same order.
    if ours == theirs && !has_copies(&ours, |identity| identity) {
        let mut merged: Option<List> = None;
        for (index, (live_item, config_item)) in live.iter().zip(config).enumerate() {
            let sides = (Some(live_item), Some(config_item));
            let item = merge(schema, Some(list.element), sides.0, sides.1);
            if let (Ok(Merged::Live), None) = (&item, &merged) {
                continue;
            }
            let merged = merged.get_or_insert_with(|| live[..index].into());
            // Upstream loses what goes wrong inside one item, and keeps the
            // list.
            if let Ok(item) = item {
                merged.extend(item.value(sides.0, sides.1));
            }
        }
        return Ok(match merged {
            None => Merged::Live,
            Some(items) if items.is_empty() => Merged::Nothing,
            Some(items) => Merged::Other(Value::List(items)),
        });
    }
    let theirs = Items::of(theirs, config, false)?;
    let ours = Items::of(ours, live, true)?;
    let merged = weave(schema, list, live, &ours, &theirs);
    Ok(match merged.is_empty() {
        true => Merged::Nothing,
        false => Merged::Other(Value::List(merged)),
    })
}

/// Two cursors walk both lists. Items that both have appear where the
/// configuration has them; `shared` holds those still to come, in that order.
fn weave(
    schema: &Schema,
    list: &ListFacet<'_>,
    live: &[Value],
    ours: &Items<'_>,
    theirs: &Items<'_>,
) -> List {
    let mut shared: VecDeque<&Identity<'_>> = theirs
        .order
        .iter()
        .filter(|identity| ours.by_identity.contains_key(*identity))
        .collect();
    let mut merged = List::with_capacity(ours.order.len().max(theirs.order.len()));
    let mut used = BTreeSet::new();
    let mut take = |live: Option<&Value>, config: Option<&Value>| {
        // Upstream loses what goes wrong inside one item, and keeps the list.
        if let Ok(item) = merge(schema, Some(list.element), live, config) {
            merged.extend(item.value(live, config));
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
    merged
}
