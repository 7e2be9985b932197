//! Taking paths out of a value, or keeping nothing else.

use gitops_core::schema::{Relationship, Schema, TypeRef};
use gitops_core::{Map, Value};

use super::path::PathElement;
use super::set::Set;
use super::typed::{Facet, Typed, deduce, identity, resolve};

impl<'s> Typed<'s> {
    /// This value without the paths of `set` and what is below them.
    ///
    /// A container that loses everything it held becomes null, as in every
    /// Kubernetes version but 1.36.0 to 1.36.2; with `keep_emptied` it becomes
    /// an empty container, as in those.
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
    /// list items on the way.
    pub fn extract(&self, set: &Set, key_fields: bool) -> Typed<'s> {
        let walk = Walk {
            schema: self.schema,
            mode: Mode::Extract { key_fields },
        };
        self.with(
            walk.place(Some(self.root), &self.value, set)
                .unwrap_or_default(),
        )
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Remove { keep_emptied: bool },
    Extract { key_fields: bool },
}

struct Walk<'s> {
    schema: &'s Schema,
    mode: Mode,
}

impl Walk<'_> {
    /// What is left of `value`; `None` stands for the null that upstream
    /// leaves.
    fn place(&self, ty: Option<TypeRef>, value: &Value, set: &Set) -> Option<Value> {
        let extract = matches!(self.mode, Mode::Extract { .. });
        let atom = resolve(self.schema, ty);
        match Facet::of(deduce(&atom, Some(value)))? {
            Facet::Scalar(_) => Some(value.clone()),
            Facet::List(list) => {
                let items = value.as_list()?;
                if items.is_empty() || list.relationship == Relationship::Atomic {
                    return extract.then(|| value.clone());
                }
                let mut kept = Vec::with_capacity(items.len());
                let mut touched = false;
                for item in items {
                    let Ok(element) = identity(self.schema, &list, item) else {
                        kept.push(item.clone());
                        continue;
                    };
                    let (item, met) = self.entry(Some(list.element), &element, item, set);
                    touched |= met;
                    kept.extend(item.map(|item| self.with_keys(item, &element)));
                }
                self.container(kept.into_iter().collect(), touched)
            }
            Facet::Map(map) => {
                let fields = value.as_map()?;
                if fields.is_empty() || map.relationship == Relationship::Atomic {
                    return extract.then(|| value.clone());
                }
                let mut kept = Vec::with_capacity(fields.len());
                let mut touched = false;
                for (name, value) in fields {
                    let element = PathElement::Field(name.clone());
                    let (value, met) = self.entry(map.child(name), &element, value, set);
                    touched |= met;
                    kept.extend(value.map(|value| (name.clone(), value)));
                }
                self.container(Value::Map(kept.into_iter().collect()), touched)
            }
        }
    }

    /// What is left of one entry, and whether the set named it or something
    /// below it.
    fn entry(
        &self,
        ty: Option<TypeRef>,
        element: &PathElement,
        value: &Value,
        set: &Set,
    ) -> (Option<Value>, bool) {
        let below = set.below(element);
        let member = set.has_element(element);
        match (self.mode, member, below) {
            (Mode::Remove { .. }, true, _) => (None, true),
            (Mode::Remove { .. }, false, None) => (Some(value.clone()), false),
            (Mode::Extract { .. }, false, None) => (None, false),
            (Mode::Extract { .. }, true, None) => {
                let whole = self.place(ty, value, &Set::new());
                (Some(whole.unwrap_or_default()), true)
            }
            (_, _, Some(below)) => {
                let rest = self.place(ty, value, below);
                (Some(rest.unwrap_or_default()), true)
            }
        }
    }

    fn container(&self, left: Value, touched: bool) -> Option<Value> {
        let empty = match &left {
            Value::Map(map) => map.is_empty(),
            Value::List(list) => list.is_empty(),
            _ => false,
        };
        let keep = self.mode == Mode::Remove { keep_emptied: true } && touched;
        (!empty || keep).then_some(left)
    }

    /// An extracted item with the fields by which it is found again.
    fn with_keys(&self, item: Value, element: &PathElement) -> Value {
        let (Mode::Extract { key_fields: true }, PathElement::Key(key)) = (self.mode, element)
        else {
            return item;
        };
        let mut fields = match item {
            Value::Map(fields) => fields,
            Value::Null => Map::new(),
            other => return other,
        };
        for (name, value) in key {
            fields.insert(name.clone(), value.clone());
        }
        Value::Map(fields)
    }
}
