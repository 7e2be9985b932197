//! Values by their paths, one path after the other.

use gitops_core::Value;
use gitops_core::schema::{ListFacet, ObjectSchema, Schema, TypeRef};

use crate::smd::{Identity, PathElement};

/// Finds values of one object by path, items of lists by their identity.
///
/// What leads to one path is kept for the next, and a list that is entered is
/// put in order once: many paths, in order, cost no more than a walk over the
/// object.
pub(crate) struct Places<'v, 'p> {
    schema: &'v Schema,
    /// The last path that was asked for.
    path: &'p [PathElement],
    /// The root, and what each step of the path leads to, as far as it does.
    way: Vec<Place<'v>>,
}

struct Place<'v> {
    value: &'v Value,
    ty: Option<TypeRef>,
    /// The items of a list by identity, once one was asked for.
    items: Option<Vec<(Identity<'v>, &'v Value)>>,
}

impl<'v> Place<'v> {
    fn new(value: &'v Value, ty: Option<TypeRef>) -> Self {
        Place {
            value,
            ty,
            items: None,
        }
    }

    fn below(&mut self, schema: &'v Schema, element: &PathElement) -> Option<Place<'v>> {
        let facets = self.ty.map(|ty| schema.resolve(ty)).unwrap_or_default();
        match element {
            PathElement::Field(name) => {
                let ty = facets.map.and_then(|map| map.child(name));
                Some(Place::new(self.value.get(name)?, ty))
            }
            PathElement::Index(index) => {
                let item = self.value.as_list()?.get(usize::try_from(*index).ok()?)?;
                Some(Place::new(item, facets.list.map(|list| list.element)))
            }
            key => {
                let list = facets.list?;
                let items = self.value.as_list()?;
                let items = self
                    .items
                    .get_or_insert_with(|| in_order(schema, &list, items));
                let at = items.partition_point(|(have, _)| have.cmp_element(key).is_lt());
                let (_, item) = items
                    .get(at)
                    .filter(|(have, _)| have.cmp_element(key).is_eq())?;
                Some(Place::new(item, Some(list.element)))
            }
        }
    }
}

fn in_order<'v>(
    schema: &'v Schema,
    list: &ListFacet<'v>,
    items: &'v [Value],
) -> Vec<(Identity<'v>, &'v Value)> {
    let items = items.iter();
    let mut items: Vec<_> = items
        .filter_map(|item| Some((Identity::of(schema, list, item).ok()?, item)))
        .collect();
    // Of copies the first one counts.
    items.sort_by(|(a, _), (b, _)| a.cmp(b));
    items
}

impl<'v, 'p> Places<'v, 'p> {
    /// The places of an object.
    pub(crate) fn new(schema: ObjectSchema<'v>, object: &'v Value) -> Self {
        Places {
            schema: schema.schema,
            path: &[],
            way: vec![Place::new(object, Some(schema.root))],
        }
    }

    /// The value at a path.
    pub(crate) fn at(&mut self, path: &'p [PathElement]) -> Option<&'v Value> {
        let shared = self.path.iter().zip(path).take_while(|(a, b)| a == b);
        self.way.truncate(shared.count() + 1);
        self.path = path;
        while let Some(element) = path.get(self.way.len() - 1) {
            let next = self.way.last_mut()?.below(self.schema, element)?;
            self.way.push(next);
        }
        self.way.last().map(|place| place.value)
    }
}
