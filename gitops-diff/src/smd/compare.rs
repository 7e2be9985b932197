//! What changed between two values, as three sets of paths.

use std::collections::BTreeMap;

use gitops_core::schema::{ListType, Relationship, Schema, TypeRef};
use gitops_core::{Map, Value};

use super::merge::zip;
use super::path::PathElement;
use super::set::Set;
use super::typed::{Facet, Typed, deduce, identity, resolve};

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
        // Most objects are as they were, which is seen faster without paths.
        if self.value.same(&new.value) {
            return Comparison::default();
        }
        let mut walk = Walk {
            schema: self.schema,
            path: Vec::new(),
            found: Comparison::default(),
        };
        walk.place(Some(self.root), Some(&self.value), Some(&new.value));
        walk.found
    }
}

struct Walk<'s> {
    schema: &'s Schema,
    path: Vec<PathElement>,
    found: Comparison,
}

impl Walk<'_> {
    fn place(&mut self, ty: Option<TypeRef>, old: Option<&Value>, new: Option<&Value>) {
        if old.is_none() && new.is_none() {
            return;
        }
        let atom = resolve(self.schema, ty);
        let (of_old, of_new) = (deduce(&atom, old), deduce(&atom, new));
        let leaf = if new.is_none() {
            self.facet(Facet::of(of_old), old, new)
        } else if old.is_none() || of_old == of_new {
            self.facet(Facet::of(of_new), old, new)
        } else {
            self.facet(Facet::of(of_old), old, new);
            self.facet(Facet::of(of_new), old, new)
        };
        // A container that one side lacks counts with what it holds.
        if !leaf {
            if old.is_none() {
                self.found.added.insert(&self.path);
            } else if new.is_none() {
                self.found.removed.insert(&self.path);
            }
        }
    }

    /// Walks the place by one facet; whether it was a leaf.
    fn facet(&mut self, facet: Option<Facet>, old: Option<&Value>, new: Option<&Value>) -> bool {
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
                let empty = Map::new();
                let old_fields = old.and_then(Value::as_map).unwrap_or(&empty);
                let new_fields = new.and_then(Value::as_map).unwrap_or(&empty);
                if map.relationship == Relationship::Atomic
                    || (old_fields.is_empty() && new_fields.is_empty())
                {
                    return self.leaf(old, new);
                }
                for (name, old, new) in zip(old_fields, new_fields) {
                    self.path.push(PathElement::Field(name.clone()));
                    self.place(map.child(name), old, new);
                    self.path.pop();
                }
                false
            }
        }
    }

    fn leaf(&mut self, old: Option<&Value>, new: Option<&Value>) -> bool {
        match (old, new) {
            (None, _) => self.found.added.insert(&self.path),
            (_, None) => self.found.removed.insert(&self.path),
            (Some(old), Some(new)) if !old.same(new) => self.found.modified.insert(&self.path),
            _ => {}
        }
        true
    }

    fn items(&mut self, list: &ListType, old: &[Value], new: &[Value]) {
        let mut copies: BTreeMap<PathElement, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
        for item in old {
            if let Ok(element) = identity(self.schema, list, item) {
                copies.entry(element).or_default().0.push(item);
            }
        }
        for item in new {
            if let Ok(element) = identity(self.schema, list, item) {
                copies.entry(element).or_default().1.push(item);
            }
        }
        for (element, (old, new)) in copies {
            self.path.push(element);
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
                        self.found.modified.insert(&self.path);
                    }
                }
                // Copies are told apart by nothing, so they change as one; a
                // lone survivor counts as new, a lone predecessor as gone.
                ([_, _, ..], [] | [_]) => {
                    if let Some(new) = new.first() {
                        self.place(Some(list.element), None, Some(new));
                    }
                    self.found.removed.insert(&self.path);
                }
                ([] | [_], [_, _, ..]) => {
                    if let Some(old) = old.first() {
                        self.place(Some(list.element), Some(old), None);
                    }
                    self.found.added.insert(&self.path);
                }
            }
            self.path.pop();
        }
    }
}
