//! Where the data of a render differs from that of the last one.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;
use gitops_core::value::zip_sorted;
use gitops_core::{Map as CoreMap, Value as Core};

use super::edits::{Edit, Frozen};
use super::stack::deeper;
use super::text::Str;
use super::watch::{Log, Read};

/// Where two sets of data differ, by the places of their maps. What is told to
/// differ may be alike, but not the other way round.
#[derive(Default)]
pub(crate) struct Difference {
    /// Keys whose value is another, unless both are maps.
    keys: HashMap<u32, HashSet<Str, RandomState>, RandomState>,
    /// Maps that have other keys.
    resized: HashSet<u32, RandomState>,
    /// Maps with a difference in or below them.
    above: HashSet<u32, RandomState>,
}

impl Difference {
    /// Of what lies at a place, which both have.
    pub(crate) fn new(old: &CoreMap, new: &CoreMap, at: u32, log: &Log) -> Difference {
        let mut difference = Difference::default();
        if difference.compare(old, new, Some(at), log) {
            difference.mark_up(at, log);
        }
        difference
    }

    /// Returns whether there is one. A map without a number was read by nobody.
    fn compare(&mut self, old: &CoreMap, new: &CoreMap, at: Option<u32>, log: &Log) -> bool {
        if old.is_shared(new) {
            return false;
        }
        let mut differs = false;
        for (key, old, new) in old.zip(new) {
            let key = Str::from(key.clone());
            differs |= match (old, new) {
                (Some(Core::Map(old)), Some(Core::Map(new))) => {
                    let below = at.and_then(|at| log.below(at, &key));
                    self.compare(old, new, below, log)
                }
                (Some(old), Some(new)) => self.mark_key(at, key, old != new),
                _ => self.mark_resized(at, key),
            };
        }
        self.mark_above(at, differs)
    }

    /// As [`compare`](Self::compare), of what templates wrote.
    fn compare_written(&mut self, old: &Frozen, new: &Frozen, at: Option<u32>, log: &Log) -> bool {
        if let (Some(old), Some(new)) = (old.core_map(), new.core_map()) {
            return self.compare(old, new, at, log);
        }
        let (Some(old), Some(new)) = (old.entries(), new.entries()) else {
            return old != new;
        };
        let mut differs = false;
        for (key, old, new) in zip_sorted(old, new, Ord::cmp) {
            differs |= match (old, new) {
                (Some(old), Some(new)) => self.value(&old, &new, at, key, log),
                _ => self.mark_resized(at, key),
            };
        }
        self.mark_above(at, differs)
    }

    fn value(&mut self, old: &Frozen, new: &Frozen, at: Option<u32>, key: Str, log: &Log) -> bool {
        match old.is_map() && new.is_map() {
            true => {
                let below = at.and_then(|at| log.below(at, &key));
                deeper(|| self.compare_written(old, new, below, log))
            }
            false => self.mark_key(at, key, old != new),
        }
    }

    fn mark_key(&mut self, at: Option<u32>, key: Str, differs: bool) -> bool {
        if let (true, Some(at)) = (differs, at) {
            self.keys.entry(at).or_default().insert(key);
        }
        differs
    }

    /// Only one of the two has a key.
    fn mark_resized(&mut self, at: Option<u32>, key: Str) -> bool {
        self.resized.extend(at);
        self.mark_key(at, key, true)
    }

    fn mark_above(&mut self, at: Option<u32>, differs: bool) -> bool {
        if differs {
            self.above.extend(at);
        }
        differs
    }

    /// Something at a place differs, so what it is in does.
    fn mark_up(&mut self, place: u32, log: &Log) {
        let above = std::iter::successors(Some(place), |place| {
            log.name(*place).map(|(above, _)| above)
        });
        self.above.extend(above);
    }

    /// What an edit wrote is another, or it is written at another time.
    pub(crate) fn add(&mut self, edit: &Edit, log: &Log) {
        for place in &edit.places {
            self.mark_resized(Some(*place), edit.key.clone());
            self.mark_up(*place, log);
        }
    }

    /// Something was written then and now, with all before it alike but for what
    /// is known to differ. Returns whether it is known what differs by that: it
    /// must be written to the same, which nobody knows by another name.
    pub(crate) fn follow(&mut self, old: &Edit, new: &Edit, log: &Log) -> bool {
        if !old.is_of(new) {
            return false;
        }
        if old.value == new.value {
            return true;
        }
        if new.places.iter().any(|place| log.is_elsewhere(*place)) {
            return false;
        }
        for place in &new.places {
            let differs = match (&old.value, &new.value) {
                (Some(old), Some(value)) => {
                    self.value(old, value, Some(*place), new.key.clone(), log)
                }
                _ => self.mark_resized(Some(*place), new.key.clone()),
            };
            if differs {
                self.mark_up(*place, log);
            }
        }
        true
    }

    /// Whether something else may lie at a place, not only with other contents.
    pub(super) fn replaces(&self, place: u32, log: &Log) -> bool {
        let names = std::iter::successors(log.name(place), |(above, _)| log.name(*above));
        let is_other = |(above, key): (u32, Str)| {
            let keys = self.keys.get(&above);
            keys.is_some_and(|keys| keys.contains(&key))
        };
        names.into_iter().any(is_other)
    }

    /// Whether one who read this may have found something else.
    pub(crate) fn concerns(&self, reads: &[(u32, Read)]) -> bool {
        reads.iter().any(|(place, read)| match read {
            Read::Key(key) => self.keys.get(place).is_some_and(|keys| keys.contains(key)),
            Read::Keys => self.resized.contains(place),
            Read::Entries => self.keys.contains_key(place),
            Read::All => self.above.contains(place),
        })
    }
}
