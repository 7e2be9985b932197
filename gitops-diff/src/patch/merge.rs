//! JSON merge patch (RFC 7386), and the three-way one that kubectl makes for
//! custom resources (`jsonmergepatch/patch.go`, `mergepatch/util.go`).
//!
//! Lists are replaced whole. An empty map in a patch is a value.

use gitops_core::{Map, Value};

use super::PatchError;

/// `target` after the patch.
pub fn apply(target: &Value, patch: &Value) -> Value {
    let mut target = target.clone();
    merge(&mut target, patch);
    target
}

/// Changes `target` by the patch.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Map(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if target.as_map().is_none() {
        *target = Value::Map(Map::new());
    }
    let Value::Map(target) = target else { return };
    for (key, value) in patch {
        match value {
            Value::Null => {
                target.remove(key);
            }
            value => merge(target.entry(key), value),
        }
    }
}

/// The patch that makes `modified` of `original`.
pub fn diff(original: &Map, modified: &Map) -> Map {
    let mut patch = Map::new();
    for (key, new) in modified {
        match (original.get(key), new) {
            (Some(Value::Map(old)), Value::Map(new)) => {
                let below = diff(old, new);
                if !below.is_empty() {
                    patch.insert(key.clone(), below);
                }
            }
            (Some(old), new) if old.same(new) => {}
            (_, new) => {
                patch.insert(key.clone(), new.clone());
            }
        }
    }
    for key in original.keys().filter(|key| !modified.contains_key(key)) {
        patch.insert(key.clone(), Value::Null);
    }
    patch
}

/// The patch of `current` that `kubectl apply` sends: changes from `current` to
/// `modified`, and what `original` (last applied) had and `modified` has not.
///
/// # Errors
///
/// [`PatchError::Conflict`] if the two disagree, and
/// [`PatchError::Precondition`] if the patch changes what identifies the
/// object.
pub fn three_way(original: &Map, modified: &Map, current: &Map) -> Result<Map, PatchError> {
    let changes = without_nulls(&diff(current, modified));
    let deletions = only_nulls(&diff(original, modified));
    if let Some(key) = changes
        .iter()
        .find(|(key, value)| {
            let other = deletions.get(key);
            other.is_some_and(|other| has_conflicts(value, other))
        })
        .map(|(key, _)| key)
    {
        return Err(PatchError::Conflict(key.to_string()));
    }
    let mut patch = Value::Map(deletions);
    merge(&mut patch, &Value::Map(changes));
    let patch = match patch {
        Value::Map(patch) => patch,
        _ => Map::new(),
    };
    unchanged_identity(&patch)?;
    Ok(patch)
}

/// Refuses a patch that changes apiVersion, kind or name, as kubectl does.
pub(super) fn unchanged_identity(patch: &Map) -> Result<(), PatchError> {
    let named = patch
        .get("metadata")
        .and_then(Value::as_map)
        .is_some_and(|metadata| metadata.contains_key("name"));
    match named || patch.contains_key("apiVersion") || patch.contains_key("kind") {
        true => Err(PatchError::Precondition),
        false => Ok(()),
    }
}

/// Whether two patches set a field to different values.
pub fn has_conflicts(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Map(left), Value::Map(right)) => left.iter().any(|(key, left)| {
            right
                .get(key)
                .is_some_and(|right| has_conflicts(left, right))
        }),
        (Value::List(left), Value::List(right)) => {
            left.len() != right.len()
                || left
                    .iter()
                    .zip(right)
                    .any(|(left, right)| has_conflicts(left, right))
        }
        (left, right) => left != right,
    }
}

/// A patch without its deletions; maps that had nothing else are left out.
pub fn without_nulls(patch: &Map) -> Map {
    let mut kept = Map::new();
    for (key, value) in patch {
        match value {
            Value::Null => {}
            Value::Map(map) if map.is_empty() => {
                kept.insert(key.clone(), Map::new());
            }
            Value::Map(map) => {
                let below = without_nulls(map);
                if !below.is_empty() {
                    kept.insert(key.clone(), below);
                }
            }
            other => {
                kept.insert(key.clone(), other.clone());
            }
        }
    }
    kept
}

/// The deletions of a patch alone.
pub fn only_nulls(patch: &Map) -> Map {
    let mut kept = Map::new();
    for (key, value) in patch {
        match value {
            Value::Null => {
                kept.insert(key.clone(), Value::Null);
            }
            Value::Map(map) => {
                let below = only_nulls(map);
                if !below.is_empty() {
                    kept.insert(key.clone(), below);
                }
            }
            _ => {}
        }
    }
    kept
}
