//! A set of paths adapted to a schema that has changed since it was recorded.

use gitops_core::schema::{Facets, Relationship, Schema, TypeRef};

use super::path::PathElement;
use super::set::Set;
use super::typed::{Typed, resolve};

impl Typed<'_> {
    /// `set` as it has to be under this value's schema: what is atomic now is
    /// owned as a whole by whoever owned a part of it. A place that was atomic
    /// and is granular now stays owned as a whole. Deduced types are left
    /// alone.
    pub fn reconcile(&self, set: &Set) -> Set {
        let root = resolve(self.schema, Some(self.root));
        // Schemas seldom change, and then nothing has to be copied.
        match is_outdated(self.schema, Some(self.root), &root, set) {
            true => below(self.schema, Some(self.root), &root, set),
            false => set.clone(),
        }
    }
}

/// The type of a step below a place.
fn child(facets: &Facets<'_>, ty: Option<TypeRef>, element: &PathElement) -> Option<TypeRef> {
    if ty.is_some_and(Schema::is_untyped) {
        return Some(Schema::untyped());
    }
    match element {
        PathElement::Field(name) => facets.map.and_then(|map| map.child(name)),
        _ => facets.list.map(|list| list.element),
    }
}

fn is_outdated(schema: &Schema, ty: Option<TypeRef>, facets: &Facets<'_>, set: &Set) -> bool {
    set.elements().any(|(element, _, children)| {
        let ty = child(facets, ty, element);
        let facets = resolve(schema, ty);
        !children.is_empty()
            && (is_atomic(ty, &facets) || is_outdated(schema, ty, &facets, children))
    })
}

fn below(schema: &Schema, ty: Option<TypeRef>, facets: &Facets<'_>, set: &Set) -> Set {
    let mut reconciled = Set::new();
    for (element, member, children) in set.elements() {
        let ty = child(facets, ty, element);
        let facets = resolve(schema, ty);
        let whole = !children.is_empty() && is_atomic(ty, &facets);
        let children = match whole {
            true => Set::new(),
            false => below(schema, ty, &facets, children),
        };
        reconciled.push(element.clone(), member || whole, children);
    }
    reconciled
}

fn is_atomic(ty: Option<TypeRef>, facets: &Facets<'_>) -> bool {
    let map = facets.map.map(|map| map.relationship);
    let list = facets.list.map(|list| list.relationship);
    !ty.is_some_and(Schema::is_untyped) && map.or(list) == Some(Relationship::Atomic)
}
