//! Makes equal meanings equal, so that a different spelling is no difference.
//!
//! | what                                  | becomes                        |
//! |---------------------------------------|--------------------------------|
//! | `metadata.creationTimestamp`, `status` in a declaration | dropped      |
//! | nulls in a declaration of a built-in kind | dropped                    |
//! | `stringData` of a Secret              | base64 in `data`               |
//! | `rules: []` of a role                 | dropped                        |
//! | quantities (`1000m` and `1`)          | compared by amount             |
//! | empty and zero fields that a server leaves out | the same as absent    |

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gitops_core::quantity::Quantity;
use gitops_core::schema::{ObjectSchema, Schema, TypeRef};
use gitops_core::{Gvk, Map, Value};

use crate::smd::PathElement;

/// A declaration as a server would read it.
pub(crate) fn declared(object: &Map, gvk: &Gvk, builtin: bool) -> Map {
    let mut object = object.clone();
    object.remove("status");
    object = without_metadata(object, &["creationTimestamp", "managedFields"]);
    if builtin && has_nulls(&object) {
        drop_nulls(&mut object);
    }
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Secret") => fold_string_data(&mut object),
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => {
            let empty = object
                .get("rules")
                .and_then(Value::as_list)
                .is_some_and(<[Value]>::is_empty);
            if empty {
                object.remove("rules");
            }
        }
        _ => {}
    }
    object
}

/// The object without these fields of its metadata; copied only if it has any.
pub(crate) fn without_metadata(mut object: Map, names: &[&str]) -> Map {
    let has = |name: &&str| {
        let metadata = object.get("metadata");
        metadata.is_some_and(|metadata| metadata.get(name).is_some())
    };
    if names.iter().any(has)
        && let Some(Value::Map(metadata)) = object.get_mut("metadata")
    {
        metadata.retain(|name, _| !names.contains(&name));
    }
    object
}

/// Whether [`drop_nulls`] would find any: it copies what it goes through.
fn has_nulls(map: &Map) -> bool {
    map.values().any(|value| match value {
        Value::Null => true,
        Value::Map(map) => has_nulls(map),
        Value::List(list) => {
            let maps = list.iter().filter_map(Value::as_map);
            maps.into_iter().any(has_nulls)
        }
        _ => false,
    })
}

pub(crate) fn drop_nulls(map: &mut Map) {
    map.retain(|_, value| !value.is_null());
    for (_, value) in map.iter_mut() {
        match value {
            Value::Map(map) => drop_nulls(map),
            Value::List(list) => {
                for item in list.make_mut() {
                    if let Value::Map(map) = item {
                        drop_nulls(map);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Drops what a server leaves out because Go does: empty text, lists and maps,
/// and zeros of fields that are no pointers.
pub(crate) fn drop_empty(schema: &Schema, ty: TypeRef, value: &mut Value) {
    match value {
        Value::Map(map) => {
            let Some(fields) = schema.resolve(ty).map else {
                return;
            };
            map.retain(|name, value| {
                let Some(below) = fields.child(name) else {
                    return true;
                };
                if !matches!(value, Value::Null | Value::Bool(_) | Value::Int(_)) {
                    drop_empty(schema, below, value);
                }
                fields.field(name).is_none() || !is_omitted(schema, below, name, value)
            });
        }
        Value::List(items) if items.iter().any(|item| item.as_map().is_some()) => {
            let Some(list) = schema.resolve(ty).list else {
                return;
            };
            for item in items.make_mut() {
                drop_empty(schema, list.element, item);
            }
        }
        _ => {}
    }
}

fn is_omitted(schema: &Schema, ty: TypeRef, name: &str, value: &Value) -> bool {
    /// Texts that are pointers, or written though they are empty.
    const WRITTEN: [&str; 14] = [
        "apiGroup",
        "fsType",
        "ingressClassName",
        "key",
        "name",
        "operator",
        "resource",
        "resourceVersion",
        "runtimeClassName",
        "storageClassName",
        "topologyKey",
        "type",
        "volumeAttributesClassName",
        "whenUnsatisfiable",
    ];
    /// Numbers and switches that are no pointers.
    const PLAIN: [&str; 19] = [
        "failureThreshold",
        "hostIPC",
        "hostNetwork",
        "hostPID",
        "hostPort",
        "initialDelaySeconds",
        "minReadySeconds",
        "nodePort",
        "paused",
        "periodSeconds",
        "publishNotReadyAddresses",
        "readOnly",
        "stdin",
        "stdinOnce",
        "successThreshold",
        "timeoutSeconds",
        "tty",
        "unschedulable",
        "preserveUnknownFields",
    ];
    match value {
        Value::String(text) => text.is_empty() && !WRITTEN.contains(&name),
        Value::List(items) => items.is_empty(),
        Value::Map(map) if map.is_empty() => {
            // Structs without fields have no schema, and are written.
            let map = schema.resolve(ty).map;
            map.is_some_and(|map| {
                map.fields.is_empty() && map.element.is_some_and(|ty| !Schema::is_untyped(ty))
            })
        }
        Value::Bool(false) | Value::Int(0) => PLAIN.contains(&name),
        _ => false,
    }
}

/// The write-only `stringData` as the `data` that comes of it.
pub(crate) fn fold_string_data(secret: &mut Map) {
    let Some(Value::Map(texts)) = secret.remove("stringData") else {
        return;
    };
    let data = secret.entry("data");
    if !matches!(data, Value::Map(_)) {
        *data = Value::Map(Map::new());
    }
    let Value::Map(data) = data else { return };
    for (name, text) in texts {
        let text = text.as_str().unwrap_or_default();
        data.insert(name, BASE64_STANDARD.encode(text));
    }
}

/// Whether two values at one place mean the same though they differ.
pub(crate) fn equivalent(
    schema: ObjectSchema<'_>,
    path: &[PathElement],
    a: &Value,
    b: &Value,
) -> bool {
    let Some(ty) = type_at(schema, path) else {
        return false;
    };
    same(schema.schema, ty, a, b)
}

fn same(schema: &Schema, ty: TypeRef, a: &Value, b: &Value) -> bool {
    if a.same(b) {
        return true;
    }
    if is_quantity(schema, ty) {
        return match (quantity(a), quantity(b)) {
            (Some(a), Some(b)) => a == b,
            _ => false,
        };
    }
    let atom = schema.resolve(ty);
    match (a, b) {
        (Value::Map(a), Value::Map(b)) => {
            let Some(map) = atom.map else { return false };
            let null = Value::Null;
            a.keys().chain(b.keys()).all(|name| {
                let (a, b) = (a.get(name), b.get(name));
                match map.child(name) {
                    Some(ty) => {
                        let (a, b) = (a.unwrap_or(&null), b.unwrap_or(&null));
                        (is_left_out(a) && is_left_out(b)) || same(schema, ty, a, b)
                    }
                    None => a == b,
                }
            })
        }
        (Value::List(a), Value::List(b)) => {
            let Some(list) = atom.list else { return false };
            a.len() == b.len()
                && a.iter()
                    .zip(b)
                    .all(|(a, b)| same(schema, list.element, a, b))
        }
        _ => false,
    }
}

/// Whether a built-in type would not write this value at all.
pub(crate) fn is_left_out(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) | Value::Int(0) | Value::UInt(0) => true,
        Value::Float(number) => *number == 0.0,
        Value::String(text) => text.is_empty(),
        Value::List(list) => list.is_empty(),
        Value::Map(map) => map.values().all(is_left_out),
        _ => false,
    }
}

pub(crate) fn quantity(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Int(number) => number.to_string().parse().ok(),
        Value::Float(number) => number.to_string().parse().ok(),
        _ => None,
    }
}

/// The type of quantities.
pub(crate) const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";

fn is_quantity(schema: &Schema, ty: TypeRef) -> bool {
    schema.named(QUANTITY) == Some(ty)
}

pub(crate) fn is_quantity_at(schema: ObjectSchema<'_>, path: &[PathElement]) -> bool {
    type_at(schema, path).is_some_and(|ty| is_quantity(schema.schema, ty))
}

/// The type of the place at `path`.
pub(crate) fn type_at(schema: ObjectSchema<'_>, path: &[PathElement]) -> Option<TypeRef> {
    path.iter().try_fold(schema.root, |ty, element| {
        let atom = schema.schema.resolve(ty);
        match element {
            PathElement::Field(name) => atom.map?.child(name),
            _ => Some(atom.list?.element),
        }
    })
}
