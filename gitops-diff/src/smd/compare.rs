//! What changed between two values, as three sets of paths.

use std::collections::BTreeMap;

use gitops_core::schema::{ListFacet, Relationship, Schema, TypeRef};
use gitops_core::{Map, Str, Value};

use super::path::PathElement;
use super::set::Set;
use super::typed::{Facet, Identity, Typed, alike, deduce, has_copies, resolve};

/// Three disjoint sets of paths: what one value has that the other has not.
///
/// The order of list items is no difference, and numbers are compared by
/// magnitude.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Paths that only the old value has.
    pub removed: Set,
    /// Leaves that both have, with different values.
    pub modified: Set,
    /// Paths that only the new value has.
    pub added: Set,
}

impl Comparison {
    /// Whether nothing changed.
    pub fn is_same(&self) -> bool {
        self.removed.is_empty() && self.modified.is_empty() && self.added.is_empty()
    }

    /// The comparison without the paths of `ignored` and all below them.
    #[must_use]
    pub fn without(&self, ignored: &Set) -> Comparison {
        Comparison {
            removed: self.removed.recursive_difference(ignored),
            modified: self.modified.recursive_difference(ignored),
            added: self.added.recursive_difference(ignored),
        }
    }
}

impl Typed<'_> {
    /// What `new` changed of this value.
    pub fn compare(&self, new: &Typed<'_>) -> Comparison {
        let mut walk = Walk {
            schema: self.schema,
            path: Vec::new(),
            found: Comparison::default(),
        };
        walk.place(Some(self.root), Some(&self.value), Some(&new.value));
        walk.found
    }
}

struct Walk<'v> {
    schema: &'v Schema,
    path: Vec<Step<'v>>,
    found: Comparison,
}

/// A step on the way, to be made a [`PathElement`] only if something is found
/// there.
enum Step<'v> {
    Field(&'v Str),
    Item(Identity<'v>),
}

static EMPTY: Map = Map::new();

impl<'v> Walk<'v> {
    fn place(&mut self, ty: Option<TypeRef>, old: Option<&'v Value>, new: Option<&'v Value>) {
        match (old, new) {
            (None, None) => return,
            // Most of two objects is the same, and often the very same: a
            // merge keeps the storage of what it leaves alone.
            (Some(old), Some(new)) if old.is_shared(new) => return,
            _ => {}
        }
        let facets = resolve(self.schema, ty);
        let (of_old, of_new) = (deduce(facets, old), deduce(facets, new));
        let leaf = if new.is_none() {
            self.facet(Facet::of(of_old), old, new)
        } else if old.is_none() || alike(&of_old, &of_new) {
            self.facet(Facet::of(of_new), old, new)
        } else {
            self.facet(Facet::of(of_old), old, new);
            self.facet(Facet::of(of_new), old, new)
        };
        // A container that one side lacks counts with what it holds.
        if !leaf {
            if old.is_none() {
                self.found.added.insert(&self.here());
            } else if new.is_none() {
                self.found.removed.insert(&self.here());
            }
        }
    }

    /// Walks the place by one facet; whether it was a leaf.
    fn facet(
        &mut self,
        facet: Option<Facet<'v>>,
        old: Option<&'v Value>,
        new: Option<&'v Value>,
    ) -> bool {
        match facet {
            None => false,
            Some(Facet::Scalar(_)) => self.leaf(old, new),
            Some(Facet::List(list)) => {
                let old_items = old.and_then(Value::as_list).unwrap_or_default();
                let new_items = new.and_then(Value::as_list).unwrap_or_default();
                if list.relationship == Relationship::Atomic
                    || (old_items.is_empty() && new_items.is_empty())
                {
                    return self.leaf(old, new);
                }
                self.items(&list, old_items, new_items);
                false
            }
            Some(Facet::Map(map)) => {
                let old_fields = old.and_then(Value::as_map).unwrap_or(&EMPTY);
                let new_fields = new.and_then(Value::as_map).unwrap_or(&EMPTY);
                if map.relationship == Relationship::Atomic
                    || (old_fields.is_empty() && new_fields.is_empty())
                {
                    return self.leaf(old, new);
                }
                for (name, old, new) in old_fields.zip(new_fields) {
                    self.path.push(Step::Field(name));
                    self.place(map.child(name), old, new);
                    self.path.pop();
                }
                false
            }
        }
    }

    fn leaf(&mut self, old: Option<&Value>, new: Option<&Value>) -> bool {
        let found = match (old, new) {
            (None, _) => &mut self.found.added,
            (_, None) => &mut self.found.removed,
            (Some(old), Some(new)) if !old.same(new) => &mut self.found.modified,
            _ => return true,
        };
        found.insert(&elements(&self.path));
        true
    }

    fn here(&self) -> Vec<PathElement> {
        elements(&self.path)
    }

    fn items(&mut self, list: &ListFacet<'v>, old: &'v [Value], new: &'v [Value]) {
        let schema = self.schema;
        let identified = |items: &'v [Value]| -> Vec<(Identity<'v>, &'v Value)> {
            let items = items.iter();
            items
                .filter_map(|item| Some((Identity::of(schema, list, item).ok()?, item)))
                .collect()
        };
        let (old, new) = (identified(old), identified(new));
        // Nearly always both have the same items in the same order.
        let paired = old.len() == new.len()
            && old.iter().zip(&new).all(|(old, new)| old.0 == new.0)
            && !has_copies(&old, |(identity, _)| identity);
        if paired {
            for ((identity, old), (_, new)) in old.into_iter().zip(new) {
                self.path.push(Step::Item(identity));
                self.place(Some(list.element), Some(old), Some(new));
                self.path.pop();
            }
            return;
        }
        let mut copies: BTreeMap<Identity<'v>, (Vec<&'v Value>, Vec<&'v Value>)> = BTreeMap::new();
        for (identity, item) in old {
            copies.entry(identity).or_default().0.push(item);
        }
        for (identity, item) in new {
            copies.entry(identity).or_default().1.push(item);
        }
        for (identity, (old, new)) in copies {
            self.path.push(Step::Item(identity));
            match (old.as_slice(), new.as_slice()) {
                ([] | [_], [] | [_]) => {
                    self.place(
                        Some(list.element),
                        old.first().copied(),
                        new.first().copied(),
                    );
                }
                ([_, _, ..], [_, _, ..]) => {
                    let same = old.len() == new.len()
                        && old.iter().zip(&new).all(|(old, new)| old.same(new));
                    if !same {
                        self.found.modified.insert(&self.here());
                    }
                }
                // Copies are told apart by nothing, so they change as one; a
                // lone survivor counts as new, a lone predecessor as gone.
                ([_, _, ..], [] | [_]) => {
                    if let Some(new) = new.first() {
                        self.place(Some(list.element), None, Some(new));
                    }
                    self.found.removed.insert(&self.here());
                }
                ([] | [_], [_, _, ..]) => {
                    if let Some(old) = old.first() {
                        self.place(Some(list.element), Some(old), None);
                    }
                    self.found.added.insert(&self.here());
                }
            }
            self.path.pop();
        }
    }
}

fn elements(path: &[Step<'_>]) -> Vec<PathElement> {
    let steps = path.iter().map(|step| match step {
        Step::Field(name) => PathElement::Field(Str::clone(name)),
        Step::Item(identity) => identity.element(),
    });
    steps.collect()
}
