//! A set of paths adapted to a schema that has changed since it was recorded.

use gitops_core::schema::{Atom, Relationship, Schema, TypeRef};

use super::path::PathElement;
use super::set::Set;
use super::typed::{Typed, resolve};

impl Typed<'_> {
    /// `set` as it has to be under this value's schema: what is atomic now is
    /// owned as a whole by whoever owned a part of it. A place that was atomic
    /// and is granular now stays owned as a whole. Deduced types are left
    /// alone.
    pub fn reconcile(&self, set: &Set) -> Set {
        let mut reconciled = Set::new();
        place(
            self.schema,
            Some(self.root),
            set,
            &mut Vec::new(),
            &mut reconciled,
        );
        reconciled
    }
}

fn place(
    schema: &Schema,
    ty: Option<TypeRef>,
    set: &Set,
    path: &mut Vec<PathElement>,
    out: &mut Set,
) {
    let untyped = ty.is_some_and(Schema::is_untyped);
    let atom = resolve(schema, ty);
    if !untyped && !path.is_empty() && is_atomic(&atom) && !set.is_empty() {
        out.insert(path);
        return;
    }
    set.each_child(&mut |element, member, below| {
        let child = if untyped {
            Some(Schema::untyped())
        } else {
            match element {
                PathElement::Field(name) => atom.map.as_ref().and_then(|map| map.child(name)),
                _ => atom.list.as_ref().map(|list| list.element),
            }
        };
        path.push(element.clone());
        if member {
            out.insert(path);
        }
        place(schema, child, below, path, out);
        path.pop();
    });
}

fn is_atomic(atom: &Atom) -> bool {
    let map = atom.map.as_ref().map(|map| map.relationship);
    let list = atom.list.as_ref().map(|list| list.relationship);
    map.or(list) == Some(Relationship::Atomic)
}
