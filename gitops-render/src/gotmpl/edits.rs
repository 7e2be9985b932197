//! What a template wrote to the data of others, for it to be written again
//! without the template.
//!
//! It can be if it is known where the map is that was written to, and if what
//! was written is the template's own: nothing in it lies in the data as well, or
//! in it twice.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::map::{Map, MapKind};
use super::scalar::Scalar;
use super::stack::deeper;
use super::text::Str;
use super::value::{MAX_NESTING, Value};
use super::watch::Log;

/// What was set at a key of a map, or that it was removed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Edit {
    /// The places at which the map lies.
    pub(crate) places: SmallVec<[u32; 1]>,
    pub(crate) key: Str,
    pub(super) value: Option<Frozen>,
}

impl Edit {
    /// `None` if the map lies nowhere.
    pub(super) fn new(
        places: SmallVec<[u32; 1]>,
        key: &Str,
        value: Option<Frozen>,
    ) -> Option<Edit> {
        places.first()?;
        Some(Edit {
            places,
            key: key.clone(),
            value,
        })
    }

    /// Whether this is written to the same key of the same map.
    pub(super) fn is_of(&self, other: &Edit) -> bool {
        self.places == other.places && self.key == other.key
    }

    /// Where to find the map.
    pub(super) fn place(&self) -> u32 {
        self.places[0]
    }

    fn apply(&self, to: &Map) -> bool {
        match &self.value {
            Some(value) => to.insert(self.key.clone(), value.thaw()).is_ok(),
            None => {
                to.remove(&self.key);
                true
            }
        }
    }
}

/// Writes all of it again, or nothing if a map is not where it was.
pub(crate) fn repeat(root: &Map, edits: &[Edit], log: &Log) -> bool {
    let mut before = Vec::new();
    for edit in edits {
        let map = log.find(root, edit.place());
        let old = map.as_ref().and_then(|map| map.get_unreported(&edit.key));
        match map {
            Some(map) if edit.apply(&map) => before.push((map, &edit.key, old)),
            _ => {
                for (map, key, old) in before.into_iter().rev() {
                    match old {
                        Some(old) => map.provide(key.clone(), old),
                        None => drop(map.remove(key)),
                    }
                }
                return false;
            }
        }
    }
    true
}

/// A value that can wait for another render, in another thread.
#[derive(Clone)]
pub(super) enum Frozen {
    Scalar(Scalar),
    /// As it was read.
    Core(gitops_core::Value),
    Map(Vec<(Str, Frozen)>),
    List(Vec<Frozen>),
}

impl PartialEq for Frozen {
    /// Whether both thaw to the same, whichever of it was read.
    fn eq(&self, other: &Frozen) -> bool {
        match (self, other) {
            (Frozen::Core(one), Frozen::Core(other)) => one == other,
            (Frozen::Scalar(one), Frozen::Scalar(other)) => one == other,
            _ => match (self.entries(), other.entries()) {
                (Some(one), Some(other)) => deeper(|| one == other),
                (None, None) => match (self.items(), other.items()) {
                    (Some(one), Some(other)) => deeper(|| one == other),
                    _ => false,
                },
                _ => false,
            },
        }
    }
}

impl fmt::Debug for Frozen {
    /// Without the value: there may be secrets in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frozen").finish_non_exhaustive()
    }
}

impl Frozen {
    /// `None` if a part of it is somebody else's too, or could be.
    pub(super) fn new(value: &Value) -> Option<Frozen> {
        freeze(value, &mut HashSet::default(), 0)
    }

    /// A part of what was read.
    fn of_core(value: &gitops_core::Value) -> Frozen {
        match Scalar::new(&Value::from(value)) {
            Some(scalar) => Frozen::Scalar(scalar),
            None => Frozen::Core(value.clone()),
        }
    }

    pub(super) fn is_map(&self) -> bool {
        matches!(self, Frozen::Map(_)) || self.core_map().is_some()
    }

    /// The map, if it is as it was read.
    pub(super) fn core_map(&self) -> Option<&gitops_core::Map> {
        match self {
            Frozen::Core(gitops_core::Value::Map(map)) => Some(map),
            _ => None,
        }
    }

    /// The entries of a map, in the order of their keys.
    pub(super) fn entries(&self) -> Option<Vec<(Str, Cow<'_, Frozen>)>> {
        Some(match self {
            Frozen::Map(entries) => entries
                .iter()
                .map(|(key, value)| (key.clone(), Cow::Borrowed(value)))
                .collect(),
            _ => self
                .core_map()?
                .iter()
                .map(|(key, value)| (Str::from(key.clone()), Cow::Owned(Frozen::of_core(value))))
                .collect(),
        })
    }

    fn items(&self) -> Option<Vec<Cow<'_, Frozen>>> {
        Some(match self {
            Frozen::List(items) => items.iter().map(Cow::Borrowed).collect(),
            Frozen::Core(gitops_core::Value::List(items)) => items
                .iter()
                .map(|item| Cow::Owned(Frozen::of_core(item)))
                .collect(),
            _ => return None,
        })
    }

    fn thaw(&self) -> Value {
        match self {
            Frozen::Scalar(scalar) => scalar.to_value(),
            Frozen::Core(value) => Value::from(value),
            Frozen::Map(entries) => {
                let thawed = entries
                    .iter()
                    .map(|(key, value)| (key.clone(), deeper(|| value.thaw())));
                Value::Map(thawed.collect())
            }
            Frozen::List(items) => {
                let thawed = items.iter().map(|item| deeper(|| item.thaw()));
                Value::List(thawed.collect())
            }
        }
    }
}

/// `seen` are the maps and lists so far.
fn freeze(value: &Value, seen: &mut HashSet<usize, RandomState>, depth: usize) -> Option<Frozen> {
    Some(match value {
        Value::Map(map) => {
            let known = map.is_nil() || map.is_watched() || !seen.insert(map.address()?);
            if known || map.kind() != MapKind::Plain || depth > MAX_NESTING {
                return None;
            }
            if let Some(untouched) = map.untouched() {
                return Some(Frozen::Core(untouched.into()));
            }
            let mut entries = Vec::with_capacity(map.len());
            map.visit(|key, value| {
                let value = deeper(|| freeze(value, seen, depth + 1)).ok_or(())?;
                entries.push((key.clone(), value));
                Ok::<_, ()>(())
            })
            .ok()?;
            Frozen::Map(entries)
        }
        Value::List(list) => {
            let known = list.is_nil() || list.is_watched() || !seen.insert(list.address()?);
            if known || depth > MAX_NESTING {
                return None;
            }
            if let Some(untouched) = list.untouched() {
                return Some(Frozen::Core(untouched.clone().into()));
            }
            let items = list
                .iter()
                .map(|item| deeper(|| freeze(item, seen, depth + 1)));
            Frozen::List(items.collect::<Option<_>>()?)
        }
        scalar => Frozen::Scalar(Scalar::new(scalar)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gotmpl::watch::Places;

    /// No template leads here: what it reads to find a map is the same when the
    /// map is looked for again.
    #[test]
    fn what_cannot_all_be_repeated_is_not_repeated_at_all() {
        let below = Map::from_iter([("b", Value::Int64(1))]);
        let root = Map::from_iter([("a", Value::Map(below))]);
        let log = Log::of_reads(Places::default());
        root.watch_at(&log, Places::ROOT);
        let a = root.get("a").expect("it is there");
        let places = a.as_map().expect("it is a map").places();
        let edit = |places: &SmallVec<_>, key: &str, value: Option<i64>| {
            let value = value.map(|number| Frozen::Scalar(Scalar::Int64(number)));
            Edit::new(places.clone(), &Str::from(key), value).expect("it lies somewhere")
        };
        root.insert("x", Value::Map(Map::new()))
            .expect("no nil map");
        let gone = root.remove(&"x".into()).expect("it is there");
        let gone = gone.as_map().expect("it is a map").places();
        let mut edits = vec![
            edit(&places, "b", Some(2)),
            edit(&places, "c", Some(3)),
            edit(&places, "b", None),
            edit(&gone, "y", Some(4)),
        ];
        assert!(!repeat(&root, &edits, &log));
        let text = |root: &Map| super::super::printf::sprint(&Value::Map(root.clone())).to_string();
        assert_eq!(text(&root), "map[a:map[b:1]]");
        edits.pop();
        assert!(repeat(&root, &edits, &log));
        assert_eq!(text(&root), "map[a:map[c:3]]");
    }
}
