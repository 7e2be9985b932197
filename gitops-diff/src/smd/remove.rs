//! Taking paths out of a value, or keeping nothing else.

use std::cmp::Ordering;

use gitops_core::schema::{Relationship, Schema, TypeRef};
use gitops_core::{List, Map, Value};

use super::path::PathElement;
use super::set::Set;
use super::typed::{Facet, Identity, Typed, deduce, resolve};

impl<'s> Typed<'s> {
    /// This value without the paths of `set` and what is below them.
    ///
    /// A container that loses everything it held becomes null, as in every
    /// Kubernetes version but 1.36.0 to 1.36.2; with `keep_emptied` it becomes
    /// an empty container, as in those. The value as a whole becomes null in
    /// either case.
    pub fn remove(&self, set: &Set, keep_emptied: bool) -> Typed<'s> {
        let walk = Walk {
            schema: self.schema,
            mode: Mode::Remove { keep_emptied },
        };
        self.with(
            walk.place(Some(self.root), &self.value, set)
                .unwrap_or_default(),
        )
    }

    /// Only the paths of `set`; with `key_fields` also the key fields of the
    /// list items on the way to those that the value has.
    pub fn extract(&self, set: &Set, key_fields: bool) -> Typed<'s> {
        let with_keys;
        let set = match key_fields {
            true => {
                with_keys = set.union(&self.keys_towards(set));
                &with_keys
            }
            false => set,
        };
        let walk = Walk {
            schema: self.schema,
            mode: Mode::Extract,
        };
        self.with(
            walk.place(Some(self.root), &self.value, set)
                .unwrap_or_default(),
        )
    }

    /// The key fields of the items on the way to the paths of `set`.
    fn keys_towards(&self, set: &Set) -> Set {
        let own = self.to_set();
        let mut keys = Set::new();
        set.for_each(&mut |path| {
            if !own.has(path) {
                return;
            }
            for (index, element) in path.iter().enumerate() {
                let PathElement::Key(fields) = element else {
                    continue;
                };
                let mut key = path[..=index].to_vec();
                for (name, _) in fields {
                    key.push(PathElement::Field(name.clone()));
                    keys.insert(&key);
                    key.pop();
                }
            }
        });
        keys
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Remove { keep_emptied: bool },
    Extract,
}

struct Walk<'s> {
    schema: &'s Schema,
    mode: Mode,
}

impl Walk<'_> {
    /// What is left of `value`; `None` stands for the null that upstream
    /// leaves.
    fn place(&self, ty: Option<TypeRef>, value: &Value, set: &Set) -> Option<Value> {
        let extract = self.mode == Mode::Extract;
        match Facet::of(deduce(resolve(self.schema, ty), Some(value)))? {
            Facet::Scalar(_) => Some(value.clone()),
            Facet::List(list) => {
                let items = value.as_list()?;
                if items.is_empty() || list.relationship == Relationship::Atomic {
                    return extract.then(|| value.clone());
                }
                let mut kept = Vec::with_capacity(items.len());
                for item in items {
                    let Ok(identity) = Identity::of(self.schema, &list, item) else {
                        kept.push(item.clone());
                        continue;
                    };
                    let known = set.lookup(|have| identity.cmp_element(have).reverse());
                    kept.extend(self.entry(Some(list.element), known, item));
                }
                (!kept.is_empty()).then(|| kept.into_iter().collect())
            }
            Facet::Map(map) => {
                let fields = value.as_map()?;
                if fields.is_empty() || map.relationship == Relationship::Atomic {
                    return extract.then(|| value.clone());
                }
                let mut kept = Vec::with_capacity(fields.len());
                for (name, value) in fields {
                    let known = set.lookup(|have| match have {
                        PathElement::Field(have) => have.cmp(name),
                        _ => Ordering::Greater,
                    });
                    let value = self.entry(map.child(name), known, value);
                    kept.extend(value.map(|value| (name.clone(), value)));
                }
                (!kept.is_empty()).then(|| Value::Map(kept.into_iter().collect()))
            }
        }
    }

    /// What is left of one entry, of which this is known; `None` if it goes.
    fn entry(
        &self,
        ty: Option<TypeRef>,
        (member, below): (bool, Option<&Set>),
        value: &Value,
    ) -> Option<Value> {
        match (self.mode, member, below) {
            (Mode::Remove { .. }, true, _) | (Mode::Extract, false, None) => None,
            (Mode::Remove { .. }, false, None) => Some(value.clone()),
            (Mode::Extract, true, None) => {
                Some(self.place(ty, value, &Set::new()).unwrap_or_default())
            }
            (mode, _, Some(below)) => {
                let emptied = match (mode, value) {
                    (Mode::Remove { keep_emptied: true }, Value::Map(_)) => Value::Map(Map::new()),
                    (Mode::Remove { keep_emptied: true }, Value::List(_)) => {
                        Value::List(List::default())
                    }
                    _ => Value::Null,
                };
                Some(self.place(ty, value, below).unwrap_or(emptied))
            }
        }
    }
}
