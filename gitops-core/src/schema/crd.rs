//! The structural schema of a custom resource, translated as the API server
//! publishes it and reads it back (`apiextensions-apiserver`,
//! `controller/openapi/builder`).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::openapi::Reader;
use super::{Atom, DEDUCED, Known, MapType, Relationship, Schema, SchemaError, TypeRef};
use crate::{Gvk, Str, Value};

/// The kinds that a CustomResourceDefinition's `spec` serves.
pub(super) fn versions(spec: &Value) -> Result<Vec<(Gvk, Known)>, SchemaError> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let group = text(spec.get("group"));
    let kind = text(spec.at(&["names", "kind"]));
    let versions = spec.get("versions").and_then(Value::as_list);
    let mut served = Vec::new();
    for version in versions.unwrap_or_default() {
        let Some(name) = version.get("name").and_then(Value::as_str) else {
            continue;
        };
        let gvk = Gvk {
            group: group.as_str().into(),
            version: name.into(),
            kind: kind.as_str().into(),
        };
        let structural = version.at(&["schema", "openAPIV3Schema"]);
        let (schema, root) = resource(structural.unwrap_or(&Value::Null))?;
        let known = Known {
            schema: Arc::new(schema),
            root,
            structural: structural.cloned().map(Arc::new),
            has_status: version.at(&["subresources", "status"]).is_some(),
        };
        served.push((gvk, known));
    }
    Ok(served)
}

fn resource(structural: &Value) -> Result<(Schema, TypeRef), SchemaError> {
    let mut reader = Reader::new();
    if structural.is_null() {
        // Without a schema everything is deduced, `metadata` too.
        let root = reader.schema.add(Atom {
            map: Some(Arc::new(MapType {
                fields: Vec::new(),
                element: Some(TypeRef::to(DEDUCED)),
                relationship: Relationship::Separable,
            })),
            ..Atom::default()
        });
        return Ok((reader.schema, root));
    }
    let metadata = metadata(&mut reader.schema);
    reader.metadata = Some(metadata);
    let mut atom = reader.atom(structural, false, "", 0)?;
    let own = reader.object_fields(metadata);
    let map = atom.map.get_or_insert_with(|| {
        Arc::new(MapType {
            fields: Vec::new(),
            element: None,
            relationship: Relationship::Separable,
        })
    });
    let map = Arc::make_mut(map);
    // Fields that were there only because the schema had none of its own are
    // not there any more once it has these three.
    let open = super::openapi::flag(structural, "x-kubernetes-preserve-unknown-fields")
        || structural.get("additionalProperties").is_some();
    if map.fields.is_empty() && !open {
        map.element = None;
    }
    map.fields
        .retain(|field| own.iter().all(|own| own.name != field.name));
    map.fields.extend(own);
    map.fields.sort_by(|a, b| a.name.cmp(&b.name));
    let root = reader.schema.add(atom);
    Ok((reader.schema, root))
}

/// `metadata` as the built-in kinds have it.
fn metadata(schema: &mut Schema) -> TypeRef {
    const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
    let builtin = Schema::builtin();
    match builtin.named(OBJECT_META) {
        Some(ty) => import(schema, builtin, ty, &mut BTreeMap::new()),
        None => TypeRef::to(DEDUCED),
    }
}

/// Copies a type of another schema, with all that it refers to. The untyped
/// ones every schema has at the same place. Types keep their names, and those
/// whose name is taken are not copied.
pub(super) fn import(
    into: &mut Schema,
    from: &Schema,
    ty: TypeRef,
    seen: &mut BTreeMap<u32, TypeRef>,
) -> TypeRef {
    if Schema::is_untyped(ty) {
        return ty;
    }
    if let Some(known) = seen.get(&ty.id) {
        return TypeRef {
            relationship: ty.relationship,
            ..*known
        };
    }
    let name = from.names.iter().find(|(_, id)| **id == ty.id);
    if let Some(known) = name.and_then(|(name, _)| into.named(name)) {
        seen.insert(ty.id, known);
        return TypeRef {
            relationship: ty.relationship,
            ..known
        };
    }
    let copy = into.add(Atom::default());
    seen.insert(ty.id, copy);
    let mut atom = from.types[ty.id as usize].clone();
    if let Some(list) = &mut atom.list {
        let list = Arc::make_mut(list);
        list.element = import(into, from, list.element, seen);
    }
    if let Some(map) = &mut atom.map {
        let map = Arc::make_mut(map);
        map.element = map.element.map(|element| import(into, from, element, seen));
        for field in &mut map.fields {
            field.ty = import(into, from, field.ty, seen);
        }
    }
    into.types[copy.id as usize] = atom;
    if let Some((name, _)) = name {
        into.names.insert(Str::clone(name), copy.id);
    }
    TypeRef {
        relationship: ty.relationship,
        ..copy
    }
}
