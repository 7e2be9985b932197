//! Strategic merge patch: a merge patch that knows which lists merge by a key
//! (`apimachinery/pkg/util/strategicpatch/patch.go`).
//!
//! | directive                      | meaning                                     |
//! |--------------------------------|---------------------------------------------|
//! | `$patch: delete`, `replace`    | the map goes, or takes the place of the old |
//! | `$retainKeys: [a, b]`          | all other keys go before merging            |
//! | `$setElementOrder/f: [...]`    | the order of the merged list `f`            |
//! | `$deleteFromPrimitiveList/f: [...]` | scalars that go from the list `f`      |
//!
//! What merges by which key is not what server-side apply says of the same
//! field: see [`gitops_core::schema::PatchRule`].

use std::collections::{BTreeMap, BTreeSet};

use gitops_core::schema::{ObjectSchema, PatchRule, PatchStrategy, Schema, TypeRef};
use gitops_core::{List, Map, Str, Value, json};

use super::PatchError;
use super::merge::unchanged_identity;

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList";
const ORDER: &str = "$setElementOrder";

/// `original` after the patch.
///
/// # Errors
///
/// If the patch is malformed, or merges a list whose items have no key.
pub fn apply(original: &Map, patch: &Map, schema: ObjectSchema<'_>) -> Result<Map, PatchError> {
    let place = Place::root(schema);
    let options = Merging {
        parallel_lists: true,
        drop_unmatched_nulls: true,
    };
    merge_map(original.clone(), patch.clone(), &place, options)
}

/// The patch that makes `modified` of `original`.
///
/// # Errors
///
/// [`PatchError::UnknownField`] where the two differ below a field that the
/// schema does not have, and [`PatchError::NoMergeKey`].
pub fn diff(original: &Map, modified: &Map, schema: ObjectSchema<'_>) -> Result<Map, PatchError> {
    let options = Diffing {
        order: true,
        ..Diffing::default()
    };
    diff_maps(original, modified, &Place::root(schema), options)
}

/// The patch of `current` that `kubectl apply` sends: changes from `current` to
/// `modified`, and deletions of what `original` (last applied) had and
/// `modified` has not.
///
/// # Errors
///
/// As [`diff`]; [`PatchError::Precondition`] if the patch changes what
/// identifies the object; [`PatchError::Conflict`] if `overwrite` is off and
/// the live object has changed since `original` where the patch changes it.
pub fn three_way(
    original: &Map,
    modified: &Map,
    current: &Map,
    schema: ObjectSchema<'_>,
    overwrite: bool,
) -> Result<Map, PatchError> {
    let place = Place::root(schema);
    let changes = Diffing {
        order: true,
        no_deletions: true,
        ..Diffing::default()
    };
    let changes = diff_maps(current, modified, &place, changes)?;
    let deletions = Diffing {
        order: true,
        no_changes: true,
        ..Diffing::default()
    };
    let deletions = diff_maps(original, modified, &place, deletions)?;
    let options = Merging {
        parallel_lists: false,
        drop_unmatched_nulls: false,
    };
    let patch = merge_map(deletions, changes, &place, options)?;
    unchanged_identity(&patch)?;
    if !overwrite {
        let others = diff_maps(original, current, &place, Diffing::default())?;
        let mut path = String::new();
        if maps_conflict(&patch, &others, &place, &mut path)? {
            return Err(PatchError::Conflict(path));
        }
    }
    Ok(patch)
}

/// A place in the schema.
#[derive(Clone, Copy)]
struct Place<'s> {
    schema: &'s Schema,
    ty: TypeRef,
}

impl<'s> Place<'s> {
    fn root(schema: ObjectSchema<'s>) -> Self {
        Place {
            schema: schema.schema,
            ty: schema.root,
        }
    }

    /// The place of a field, and how it is patched. Only declared fields are
    /// known: the values of a map of anything have no rules.
    fn field(&self, name: &str) -> Result<(Place<'s>, PatchRule), PatchError> {
        let map = self.schema.resolve(self.ty).map;
        let field = map.as_ref().and_then(|map| map.field(name));
        let field = field.ok_or_else(|| PatchError::UnknownField(name.to_owned()))?;
        let place = Place {
            ty: field.ty,
            ..*self
        };
        Ok((place, field.patch.clone()))
    }

    /// The place of the items of a field that is a list.
    fn items(&self, name: &str) -> Result<(Place<'s>, PatchRule), PatchError> {
        let (place, rule) = self.field(name)?;
        let atom = self.schema.resolve(place.ty);
        // A struct may stand where a list is meant; it is then its own item.
        let is_struct = atom.map.is_some_and(|map| !map.fields.is_empty());
        let ty = match atom.list {
            Some(list) if !is_struct => list.element,
            _ => place.ty,
        };
        Ok((Place { ty, ..place }, rule))
    }
}

#[derive(Clone, Copy, Default)]
struct Diffing {
    no_changes: bool,
    no_deletions: bool,
    order: bool,
    retain_keys: bool,
}

fn diff_maps(
    original: &Map,
    modified: &Map,
    place: &Place<'_>,
    options: Diffing,
) -> Result<Map, PatchError> {
    let mut patch = Map::new();
    let mut retained: Vec<Value> = Vec::new();
    for (key, new) in modified {
        if options.retain_keys && !new.is_null() {
            retained.push(key.clone().into());
        }
        let Some(old) = original.get(key) else {
            if !options.no_changes {
                patch.insert(key.clone(), new.clone());
            }
            continue;
        };
        if key == PATCH {
            if old.as_str().is_none() || new.as_str().is_none() {
                return Err(PatchError::malformed(
                    "invalid value for special key: $patch",
                ));
            }
            if old != new {
                patch.insert(key.clone(), new.clone());
            }
            continue;
        }
        match (old, new) {
            (Value::Map(old), Value::Map(new)) => {
                map_field(key, old, new, &mut patch, place, options)?;
            }
            (Value::List(old), Value::List(new)) => {
                list_field(key, old, new, &mut patch, place, options)?;
            }
            (old, new) => {
                if !options.no_changes && old != new {
                    patch.insert(key.clone(), new.clone());
                }
            }
        }
    }
    if !options.no_deletions {
        for key in original.keys().filter(|key| !modified.contains_key(key)) {
            patch.insert(key.clone(), Value::Null);
        }
    }
    let cleared = || {
        let mut old = original.iter();
        old.any(|(key, value)| !value.is_null() && !modified.contains_key(key))
    };
    if !retained.is_empty() && (!patch.is_empty() || cleared()) {
        retained.sort_by_cached_key(printed);
        patch.insert(RETAIN_KEYS, retained.into_iter().collect::<Value>());
    }
    Ok(patch)
}

fn map_field(
    key: &Str,
    old: &Map,
    new: &Map,
    patch: &mut Map,
    place: &Place<'_>,
    options: Diffing,
) -> Result<(), PatchError> {
    let (below, rule) = match place.field(key) {
        Ok(found) => found,
        // How an unknown field merges does not matter if nothing changes.
        Err(_) if old == new => return Ok(()),
        Err(error) => return Err(error),
    };
    if rule.strategy == PatchStrategy::Replace {
        if !options.no_changes {
            patch.insert(key.clone(), new.clone());
        }
        return Ok(());
    }
    let options = Diffing {
        retain_keys: rule.retain_keys,
        ..options
    };
    let difference = diff_maps(old, new, &below, options)?;
    if !difference.is_empty() {
        patch.insert(key.clone(), difference);
    }
    Ok(())
}

fn list_field(
    key: &Str,
    old: &List,
    new: &List,
    patch: &mut Map,
    place: &Place<'_>,
    options: Diffing,
) -> Result<(), PatchError> {
    let (below, rule) = match place.items(key) {
        Ok(found) => found,
        Err(_) if old == new => return Ok(()),
        Err(error) => return Err(error),
    };
    if rule.strategy != PatchStrategy::Merge {
        if !options.no_changes && old != new {
            patch.insert(key.clone(), new.clone());
        }
        return Ok(());
    }
    let options = Diffing {
        retain_keys: rule.retain_keys,
        ..options
    };
    let difference = diff_lists(old, new, &below, &rule.merge_key, options)?;
    for (name, list) in [
        (key.clone(), difference.items),
        (ecow::eco_format!("{DELETE_FROM}/{key}"), difference.deleted),
        (ecow::eco_format!("{ORDER}/{key}"), difference.order),
    ] {
        if !list.is_empty() {
            patch.insert(name, list.into_iter().collect::<Value>());
        }
    }
    Ok(())
}

#[derive(Default)]
struct ListPatch {
    items: Vec<Value>,
    deleted: Vec<Value>,
    order: Vec<Value>,
}

fn diff_lists(
    old: &[Value],
    new: &[Value],
    place: &Place<'_>,
    key: &str,
    options: Diffing,
) -> Result<ListPatch, PatchError> {
    let mut patch = ListPatch::default();
    if old.is_empty() {
        if !options.no_changes {
            patch.items = new.to_vec();
        }
        return Ok(patch);
    }
    match kind_of_items([old, new])? {
        Kind::Map => {
            let (items, deleted) = diff_items(old, new, place, key, options)?;
            let items = in_order(items, new, key, Kind::Map)?;
            let same_order = old.len() == new.len()
                && old
                    .iter()
                    .zip(new)
                    .all(|(old, new)| old.get(key) == new.get(key));
            let content = !items.is_empty() || !deleted.is_empty();
            patch.items = items;
            patch.items.extend(deleted);
            if options.order
                && ((!options.no_changes && (content || !same_order))
                    || (!options.no_deletions && content))
            {
                patch.order = new
                    .iter()
                    .map(|item| {
                        let value = item.get(key).cloned().unwrap_or_default();
                        Value::Map(Map::from_iter([(key, value)]))
                    })
                    .collect();
            }
        }
        kind => {
            let (added, deleted) = diff_scalars(old, new, options);
            patch.items = in_order(added, new, key, kind)?;
            // Upstream sorts the old list in place before it looks whether the
            // two are the same.
            let mut sorted = old.to_vec();
            sorted.sort_by_cached_key(printed);
            if options.order
                && ((!options.no_deletions && !deleted.is_empty())
                    || (!options.no_changes && sorted != new))
            {
                patch.order = new.to_vec();
            }
            patch.deleted = deleted;
        }
    }
    Ok(patch)
}

/// What was added, and what was deleted, by printed form.
fn diff_scalars(old: &[Value], new: &[Value], options: Diffing) -> (Vec<Value>, Vec<Value>) {
    let sorted = |list: &[Value]| {
        let mut list: Vec<(String, Value)> = list
            .iter()
            .map(|value| (printed(value), value.clone()))
            .collect();
        list.sort_by(|a, b| a.0.cmp(&b.0));
        list
    };
    let (old, new) = (sorted(old), sorted(new));
    let (mut added, mut deleted) = (Vec::new(), Vec::new());
    let (mut i, mut j) = (0, 0);
    loop {
        match (old.get(i), new.get(j)) {
            (None, None) => break,
            (Some(a), Some(b)) if a.0 == b.0 => (i, j) = (i + 1, j + 1),
            (Some(a), b) if b.is_none_or(|b| a.0 < b.0) => {
                if !options.no_deletions {
                    deleted.push(a.1.clone());
                }
                i += 1;
            }
            (_, Some(b)) => {
                if !options.no_changes {
                    added.push(b.1.clone());
                }
                j += 1;
            }
            (Some(_), None) => unreachable!("the guard above holds without a second item"),
        }
    }
    (added, without_repeats(deleted))
}

/// Patches of items that changed, with those that were added, and directives
/// for those that were deleted.
fn diff_items(
    old: &[Value],
    new: &[Value],
    place: &Place<'_>,
    key: &str,
    options: Diffing,
) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
    let sorted = |list: &[Value]| -> Result<Vec<(String, Value, Map)>, PatchError> {
        let mut items = Vec::with_capacity(list.len());
        for item in list {
            let map = item.as_map().cloned().unwrap_or_default();
            let value = map.get(key).cloned();
            let value = value.ok_or_else(|| PatchError::NoMergeKey(key.to_owned()))?;
            items.push((printed(&value), value, map));
        }
        items.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(items)
    };
    let (old, new) = (sorted(old)?, sorted(new)?);
    let (mut patch, mut deleted) = (Vec::new(), Vec::new());
    let (mut i, mut j) = (0, 0);
    loop {
        match (old.get(i), new.get(j)) {
            (None, None) => break,
            (Some(a), Some(b)) if a.0 == b.0 => {
                let mut below = diff_maps(&a.2, &b.2, place, options)?;
                if !below.is_empty() {
                    below.insert(key, b.1.clone());
                    patch.push(Value::Map(below));
                }
                (i, j) = (i + 1, j + 1);
            }
            (Some(a), b) if b.is_none_or(|b| a.0 < b.0) => {
                if !options.no_deletions {
                    let mut directive = Map::from_iter([(PATCH, Value::from("delete"))]);
                    directive.insert(key, a.1.clone());
                    deleted.push(Value::Map(directive));
                }
                i += 1;
            }
            (_, Some(b)) => {
                if !options.no_changes {
                    patch.push(Value::Map(b.2.clone()));
                }
                j += 1;
            }
            (Some(_), None) => unreachable!("the guard above holds without a second item"),
        }
    }
    Ok((patch, deleted))
}

#[derive(Clone, Copy)]
struct Merging {
    /// Whether lists that stand beside a field change it, rather than being
    /// kept for later.
    parallel_lists: bool,
    /// Whether nulls go that have nothing to delete.
    drop_unmatched_nulls: bool,
}

fn merge_map(
    original: Map,
    patch: Map,
    place: &Place<'_>,
    options: Merging,
) -> Result<Map, PatchError> {
    let (mut original, mut patch) = (original, patch);
    if let Some(directive) = patch.get(PATCH).cloned() {
        return match directive.as_str() {
            Some("replace") => {
                patch.remove(PATCH);
                Ok(patch)
            }
            Some("delete") => Ok(Map::new()),
            _ => Err(unknown_directive(&directive)),
        };
    }
    retain_keys(&mut original, &mut patch, options)?;
    merge_ordered(&mut original, &mut patch, place, options)?;
    for (key, value) in patch {
        let mut name = key.as_str();
        let deletes = name.starts_with(DELETE_FROM);
        if deletes {
            if !options.parallel_lists {
                original.insert(key, value);
                continue;
            }
            name = after_slash(name, "invalid patch format of primitive list")?;
        }
        if value.is_null() {
            original.remove(name);
            if options.drop_unmatched_nulls {
                continue;
            }
        }
        let Some(have) = original.get(name) else {
            if !deletes {
                set_new(&mut original, name, value, options);
            }
            continue;
        };
        let merged = match (have.clone(), value) {
            (Value::Map(have), Value::Map(value)) => {
                let (below, rule) = place.field(name)?;
                // The copy that is still in the map would be copied again.
                *original.entry(name) = Value::Null;
                Value::Map(match rule.strategy {
                    PatchStrategy::Replace => value,
                    _ => merge_map(have, value, &below, options)?,
                })
            }
            (Value::List(have), Value::List(value)) => {
                let (below, rule) = place.items(name)?;
                *original.entry(name) = Value::Null;
                match rule.strategy == PatchStrategy::Merge || deletes {
                    true => {
                        let key = &rule.merge_key;
                        merge_list(have, value, &below, key, deletes, options)?
                            .into_iter()
                            .collect()
                    }
                    false => Value::List(value),
                }
            }
            (have, value) => {
                if deletes {
                    continue;
                }
                if have.kind_name() == value.kind_name() {
                    value
                } else {
                    set_new(&mut original, name, value, options);
                    continue;
                }
            }
        };
        original.insert(name, merged);
    }
    Ok(original)
}

/// Sets what had no value of this kind before.
fn set_new(map: &mut Map, name: &str, value: Value, options: Merging) {
    let mut value = value;
    if options.drop_unmatched_nulls {
        discard_nulls(&mut value);
    }
    match without_directives(value) {
        Some(value) => {
            map.insert(name, value);
        }
        None => {
            map.remove(name);
        }
    }
}

fn retain_keys(original: &mut Map, patch: &mut Map, options: Merging) -> Result<(), PatchError> {
    const FORMAT: &str = "invalid patch format of retainKeys";
    let Some(retained) = patch.remove(RETAIN_KEYS) else {
        return Ok(());
    };
    if !options.parallel_lists {
        match original.get(RETAIN_KEYS) {
            Some(have) if *have != retained => {
                return Err(PatchError::malformed("two patches retain different keys"));
            }
            Some(_) => {}
            None => {
                original.insert(RETAIN_KEYS, retained);
            }
        }
        return Ok(());
    }
    let Value::List(retained) = retained else {
        return Err(PatchError::malformed(FORMAT));
    };
    let retained: BTreeSet<&str> = retained.iter().filter_map(Value::as_str).collect();
    for (key, value) in patch.iter() {
        let aside = key.starts_with(DELETE_FROM) || key.starts_with(ORDER);
        if !value.is_null() && !aside && !retained.contains(key.as_str()) {
            return Err(PatchError::malformed(FORMAT));
        }
    }
    original.retain(|key, _| retained.contains(key));
    Ok(())
}

/// Merges the lists whose order the patch gives, and takes them out of it.
fn merge_ordered(
    original: &mut Map,
    patch: &mut Map,
    place: &Place<'_>,
    options: Merging,
) -> Result<(), PatchError> {
    const FORMAT: &str = "invalid patch format of setElementOrder list";
    let ordered: Vec<Str> = patch
        .keys()
        .filter(|key| key.starts_with(ORDER))
        .cloned()
        .collect();
    for key in ordered {
        let Some(order) = patch.remove(&key) else {
            continue;
        };
        if !options.parallel_lists {
            match original.get(&key) {
                Some(have) if *have != order => return Err(PatchError::malformed(FORMAT)),
                Some(_) => {}
                None => {
                    original.insert(key.clone(), order.clone());
                }
            }
        }
        let Value::List(order) = order else {
            return Err(PatchError::malformed(FORMAT));
        };
        let name = after_slash(&key, FORMAT)?;
        let list = |value: Option<Value>| match value {
            None => Ok(None),
            Some(Value::List(list)) => Ok(Some(list)),
            Some(_) => Err(PatchError::malformed(format!(
                "expected a list at {name:?}"
            ))),
        };
        let have = list(original.get(name).cloned())?;
        let items = list(patch.get(name).cloned())?;
        let (below, rule) = place.items(name)?;
        let merge_key = rule.merge_key.as_str();
        check_order(items.as_deref().unwrap_or_default(), &order, merge_key)?;
        let merged = match (have.clone(), items.clone()) {
            (None, None) => continue,
            (Some(have), None) => have.into_iter().collect(),
            (None, Some(items)) => match without_directives(Value::List(items)) {
                Some(Value::List(list)) => list.into_iter().collect(),
                _ => continue,
            },
            (Some(have), Some(items)) if rule.strategy == PatchStrategy::Merge => {
                merge_list(have, items, &below, merge_key, false, options)?
            }
            (Some(_), Some(items)) => items.into_iter().collect(),
        };
        let (have, items) = (have.unwrap_or_default(), items.unwrap_or_default());
        let kind = kind_of_items([&have, &items])?;
        let (patched, server_only) = partition(merged, &order, merge_key)?;
        let server = server_order(&have, &items, merge_key);
        let merged = normalise(patched, server_only, &order, &server, merge_key, kind)?;
        original.insert(name, merged.into_iter().collect::<Value>());
        patch.remove(name);
    }
    Ok(())
}

/// The order of the server's list, as upstream sees it after merging: that
/// works in place, so new items stand where deleted ones made room at the end.
fn server_order(have: &[Value], patch: &[Value], key: &str) -> Vec<Value> {
    let identities = |deleted: bool| -> Vec<(String, &Value)> {
        let marked = |item: &&Value| {
            let directive = item.get(PATCH).and_then(Value::as_str);
            if deleted {
                directive == Some("delete")
            } else {
                directive.is_none()
            }
        };
        let items = patch.iter().filter(marked);
        items
            .filter_map(|item| Some((identity(item, key).ok()?, item)))
            .collect()
    };
    let deleted: BTreeSet<String> = identities(true).into_iter().map(|(id, _)| id).collect();
    let mut seen = BTreeSet::new();
    let mut order = Vec::with_capacity(have.len());
    for item in have {
        let Ok(id) = identity(item, key) else {
            continue;
        };
        if !deleted.contains(&id) {
            seen.insert(id);
            order.push(item.clone());
        }
    }
    for (id, item) in identities(false) {
        if order.len() < have.len() && seen.insert(id) {
            order.push(item.clone());
        }
    }
    order
}

/// The items of a patch must be among those of the order, and in that order.
fn check_order(items: &[Value], order: &[Value], key: &str) -> Result<(), PatchError> {
    if order.is_empty() || items.is_empty() {
        return Ok(());
    }
    let mut order = order.iter();
    for item in items {
        if item.get(PATCH).is_some() {
            continue;
        }
        let wanted = identity(item, key)?;
        let mut found = false;
        for next in order.by_ref() {
            if identity(next, key)? == wanted {
                found = true;
                break;
            }
        }
        if !found {
            return Err(PatchError::malformed(
                "the order in the patch list doesn't match the $setElementOrder list",
            ));
        }
    }
    Ok(())
}

fn merge_list(
    original: List,
    patch: List,
    place: &Place<'_>,
    key: &str,
    deletes: bool,
    options: Merging,
) -> Result<Vec<Value>, PatchError> {
    if original.is_empty() && patch.is_empty() {
        return Ok(Vec::new());
    }
    let kind = kind_of_items([&original, &patch])?;
    if kind != Kind::Map {
        if options.parallel_lists && deletes {
            let gone: BTreeSet<String> = patch.iter().map(json::to_string).collect();
            let kept = original
                .iter()
                .filter(|item| !gone.contains(&json::to_string(item)));
            return Ok(kept.cloned().collect());
        }
        let both = original.iter().chain(&patch).cloned().collect();
        let (patched, server_only) = partition(without_repeats(both), &patch, key)?;
        return normalise(patched, server_only, &patch, &original, key, kind);
    }
    if key.is_empty() {
        return Err(PatchError::malformed(
            "cannot merge lists without merge key",
        ));
    }
    let (mut items, mut additions) = (original.to_vec(), Vec::new());
    let mut replaces = false;
    for item in &patch {
        match item.get(PATCH) {
            None => additions.push(item.clone()),
            Some(directive) => match directive.as_str() {
                Some("delete") => {
                    let gone = item.get(key);
                    let gone = gone.ok_or_else(|| PatchError::NoMergeKey(key.to_owned()))?;
                    items.retain(|item| item.get(key) != Some(gone));
                }
                Some("replace") => replaces = true,
                Some("merge") => {
                    let problem = "merging lists cannot yet be specified in the patch";
                    return Err(PatchError::malformed(problem));
                }
                _ => return Err(unknown_directive(directive)),
            },
        }
    }
    if replaces {
        (items, additions) = (additions, Vec::new());
    }
    let server_order = items.clone();
    let mut at: BTreeMap<String, usize> = BTreeMap::new();
    for (index, item) in items.iter().enumerate() {
        // Items that were there without a key are left where they are.
        if let Ok(identity) = identity(item, key) {
            at.entry(identity).or_insert(index);
        }
    }
    for item in &additions {
        let identity = identity(item, key)?;
        match at.get(&identity) {
            Some(&index) => {
                let have = std::mem::take(&mut items[index]);
                let (Value::Map(have), Value::Map(item)) = (have, item.clone()) else {
                    return Err(PatchError::malformed("an item of a merged list is no map"));
                };
                items[index] = Value::Map(merge_map(have, item, place, options)?);
            }
            None => {
                at.insert(identity, items.len());
                items.push(item.clone());
            }
        }
    }
    let (patched, server_only) = partition(items, &additions, key)?;
    normalise(patched, server_only, &additions, &server_order, key, kind)
}

/// The items that are in `order`, and the others.
fn partition(
    items: Vec<Value>,
    order: &[Value],
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
    let known: BTreeSet<String> = order
        .iter()
        .map(|item| identity(item, key))
        .collect::<Result<_, _>>()?;
    let (mut patched, mut server_only) = (Vec::new(), Vec::new());
    for item in items {
        match known.contains(&identity(&item, key)?) {
            true => patched.push(item),
            false => server_only.push(item),
        }
    }
    Ok((patched, server_only))
}

/// Both lists in their own order, and then one list: what only the server has
/// stands before the first item of the patch that comes later on the server.
fn normalise(
    patched: Vec<Value>,
    server_only: Vec<Value>,
    order: &[Value],
    server_order: &[Value],
    key: &str,
    kind: Kind,
) -> Result<Vec<Value>, PatchError> {
    let right = in_order(patched, order, key, kind)?;
    let left = in_order(server_only, server_order, key, kind)?;
    let at = positions(server_order, key);
    let position = |item: &Value| at.get(&identity(item, key).ok()?).copied();
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    loop {
        let from_left = match (left.peek(), right.peek()) {
            (None, None) => return Ok(merged),
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(l), Some(r)) => match (position(l), position(r)) {
                (Some(l), Some(r)) => l < r,
                _ => false,
            },
        };
        merged.extend(if from_left { left.next() } else { right.next() });
    }
}

/// The items in the order of others. Items to be deleted come last; those that
/// the order does not have come first.
fn in_order(
    items: Vec<Value>,
    order: &[Value],
    key: &str,
    kind: Kind,
) -> Result<Vec<Value>, PatchError> {
    let (deleted, mut items): (Vec<Value>, Vec<Value>) = items.into_iter().partition(|item| {
        kind == Kind::Map && item.get(PATCH).and_then(Value::as_str) == Some("delete")
    });
    if kind == Kind::Map {
        for item in deleted.iter().chain(&items).chain(order) {
            identity(item, key)?;
        }
    }
    let at = positions(order, key);
    items.sort_by_cached_key(|item| at.get(&identity(item, key).ok()?).copied());
    items.extend(deleted);
    Ok(items)
}

fn positions(order: &[Value], key: &str) -> BTreeMap<String, usize> {
    let mut at = BTreeMap::new();
    for (index, item) in order.iter().enumerate() {
        if let Ok(identity) = identity(item, key) {
            at.entry(identity).or_insert(index);
        }
    }
    at
}

/// What tells items apart: the merge key's value, or the scalar itself.
fn identity(item: &Value, key: &str) -> Result<String, PatchError> {
    if key.is_empty() {
        return Ok(json::to_string(item));
    }
    match item.get(key) {
        Some(value) => Ok(json::to_string(value)),
        None => Err(PatchError::NoMergeKey(key.to_owned())),
    }
}

/// Without repetitions, in upstream's way: the last one takes the place of one
/// that is dropped.
fn without_repeats(list: Vec<Value>) -> Vec<Value> {
    let mut list = list;
    let mut seen = BTreeSet::new();
    let mut at = 0;
    while at < list.len() {
        match seen.insert(json::to_string(&list[at])) {
            true => at += 1,
            false => {
                list.swap_remove(at);
            }
        }
    }
    list
}

fn discard_nulls(value: &mut Value) {
    match value {
        Value::Map(map) => {
            map.retain(|_, value| !value.is_null());
            for (_, value) in map.iter_mut() {
                discard_nulls(value);
            }
        }
        Value::List(list) => list.make_mut().iter_mut().for_each(discard_nulls),
        _ => {}
    }
}

/// The value without maps that carry a directive; `None` if it is one itself.
fn without_directives(value: Value) -> Option<Value> {
    Some(match value {
        Value::Map(map) => {
            if map.contains_key(PATCH) {
                return None;
            }
            let kept = map
                .into_iter()
                .filter_map(|(key, value)| Some((key, without_directives(value)?)));
            Value::Map(kept.collect())
        }
        Value::List(list) => list.into_iter().filter_map(without_directives).collect(),
        other => other,
    })
}

fn unknown_directive(directive: &Value) -> PatchError {
    let name = directive.as_str().unwrap_or("something that is no text");
    PatchError::malformed(format!("unknown patch type: {name}"))
}

fn after_slash<'k>(key: &'k str, problem: &str) -> Result<&'k str, PatchError> {
    match key.split_once('/') {
        Some((_, name)) => Ok(name),
        None => Err(PatchError::malformed(problem)),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Map,
    String,
    Integer,
    Float,
    Boolean,
}

/// The kind that all items have.
fn kind_of_items(lists: [&[Value]; 2]) -> Result<Kind, PatchError> {
    let mut common = None;
    for item in lists.into_iter().flatten() {
        let kind = match item {
            Value::Map(_) => Kind::Map,
            Value::String(_) => Kind::String,
            Value::Int(_) | Value::UInt(_) => Kind::Integer,
            Value::Float(_) => Kind::Float,
            Value::Bool(_) => Kind::Boolean,
            Value::List(_) => {
                return Err(PatchError::malformed("lists of lists are not supported"));
            }
            Value::Null => return Err(PatchError::malformed("an item of a merged list is null")),
        };
        if common.is_some_and(|common| common != kind) {
            return Err(PatchError::malformed(
                "list element types are not identical",
            ));
        }
        common = Some(kind);
    }
    common.ok_or_else(|| PatchError::malformed("no elements in any of the given lists"))
}

/// How Go prints a scalar with `%v`, by which scalars and keys are sorted.
fn printed(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string(),
        Value::Float(number) => {
            let mut out = Vec::new();
            gitops_core::value::number::push_go(&mut out, *number);
            String::from_utf8_lossy(&out).into_owned()
        }
        other => json::to_string_raw(other),
    }
}

/// Whether two patches set a field to different values; `path` then ends
/// there.
fn maps_conflict(
    left: &Map,
    right: &Map,
    place: &Place<'_>,
    path: &mut String,
) -> Result<bool, PatchError> {
    for (key, left) in left {
        if key == PATCH || key == RETAIN_KEYS {
            continue;
        }
        let Some(right) = right.get(key) else {
            continue;
        };
        let length = path.len();
        path.push('.');
        path.push_str(key);
        let conflict = match left {
            Value::Map(_) => {
                let (below, rule) = place.field(key)?;
                values_conflict(left, right, &below, &rule, path)?
            }
            Value::List(_) => {
                let (below, rule) = place.items(key)?;
                values_conflict(left, right, &below, &rule, path)?
            }
            scalar => scalar != right,
        };
        if conflict {
            return Ok(true);
        }
        path.truncate(length);
    }
    Ok(false)
}

fn values_conflict(
    left: &Value,
    right: &Value,
    place: &Place<'_>,
    rule: &PatchRule,
    path: &mut String,
) -> Result<bool, PatchError> {
    match (left, right) {
        (Value::Map(left), Value::Map(right)) => {
            if left.get(PATCH) != right.get(PATCH) {
                return Ok(true);
            }
            match rule.strategy {
                PatchStrategy::Replace => Ok(false),
                _ => maps_conflict(left, right, place, path),
            }
        }
        (Value::List(left), Value::List(right)) => {
            let kind = kind_of_items([left, right])?;
            let plain = PatchRule::default();
            if rule.strategy == PatchStrategy::Merge {
                if kind != Kind::Map {
                    return Ok(false);
                }
                let mut at = BTreeMap::new();
                for item in right {
                    at.insert(identity(item, &rule.merge_key)?, item);
                }
                for item in left {
                    if let Some(other) = at.get(&identity(item, &rule.merge_key)?)
                        && values_conflict(item, other, place, &plain, path)?
                    {
                        return Ok(true);
                    }
                }
                return Ok(false);
            }
            if left.len() != right.len() {
                return Ok(true);
            }
            let (mut left, mut right) = (left.to_vec(), right.to_vec());
            if kind != Kind::Map {
                for list in [&mut left, &mut right] {
                    *list = without_repeats(std::mem::take(list));
                    list.sort_by_cached_key(printed);
                }
                return Ok(left != right);
            }
            for (left, right) in left.iter().zip(&right) {
                if values_conflict(left, right, place, &plain, path)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        (left, right) => Ok(left != right),
    }
}
