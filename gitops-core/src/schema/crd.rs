//! The structural schema of a custom resource, translated as kube-openapi's
//! `schemaconv` translates what the API server publishes.

use std::sync::Arc;

use super::{
    Atom, DEDUCED, Field, ListType, MapType, Relationship, Scalar, Schema, TypeRef, UNTYPED_ATOMIC,
    entries, sorted, strings,
};
use crate::{Gvk, Value};

/// The kinds that a CustomResourceDefinition's `spec` serves.
pub(super) fn versions(spec: &Value) -> Vec<(Gvk, (Arc<Schema>, TypeRef))> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let group = text(spec.get("group"));
    let kind = text(spec.at(&["names", "kind"]));
    let versions = spec.get("versions").and_then(Value::as_list);
    versions
        .unwrap_or_default()
        .iter()
        .filter_map(|version| {
            let gvk = Gvk {
                group: group.as_str().into(),
                version: version.get("name")?.as_str()?.into(),
                kind: kind.as_str().into(),
            };
            let structural = version.at(&["schema", "openAPIV3Schema"])?;
            let mut builder = Builder {
                schema: Schema::with_untyped(),
            };
            let root = builder.object(structural, true);
            Some((gvk, (Arc::new(builder.schema), root)))
        })
        .collect()
}

struct Builder {
    schema: Schema,
}

impl Builder {
    /// An object that has a type and metadata of its own: the resource, or one
    /// embedded in it.
    fn object(&mut self, schema: &Value, root: bool) -> TypeRef {
        let preserve = flag(schema, "x-kubernetes-preserve-unknown-fields");
        let mut fields: Vec<Field> = Vec::new();
        let string = self.schema.add(Atom::scalar(Scalar::String));
        for name in ["apiVersion", "kind"] {
            fields.push(Field {
                name: name.into(),
                ty: string,
                default: None,
            });
        }
        let metadata = self.metadata();
        fields.push(Field {
            name: "metadata".into(),
            ty: metadata,
            default: None,
        });
        for (name, property) in entries(schema.get("properties")) {
            if !matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
                fields.push(self.field(name, property));
            }
        }
        let element = match schema.get("additionalProperties") {
            Some(additional @ Value::Map(_)) => Some(self.place(additional)),
            _ if preserve || (root && schema.get("properties").is_none()) => {
                Some(TypeRef::to(DEDUCED))
            }
            _ => None,
        };
        self.schema.add(Atom {
            map: Some(Arc::new(MapType {
                fields: sorted(fields),
                element,
                relationship: Relationship::Separable,
            })),
            ..Atom::default()
        })
    }

    fn field(&mut self, name: &str, property: &Value) -> Field {
        Field {
            name: name.into(),
            ty: self.place(property),
            default: property
                .get("default")
                .filter(|value| !matches!(value, Value::Map(_) | Value::List(_) | Value::Null))
                .cloned(),
        }
    }

    fn place(&mut self, schema: &Value) -> TypeRef {
        if flag(schema, "x-kubernetes-embedded-resource") {
            return self.object(schema, false);
        }
        if flag(schema, "x-kubernetes-int-or-string") {
            return self.schema.add(Atom::scalar(Scalar::Untyped));
        }
        match schema.get("type").and_then(Value::as_str) {
            Some("string") => self.schema.add(Atom::scalar(Scalar::String)),
            Some("integer" | "number") => self.schema.add(Atom::scalar(Scalar::Numeric)),
            Some("boolean") => self.schema.add(Atom::scalar(Scalar::Boolean)),
            Some("array") => self.list(schema),
            Some("object") => self.map(schema),
            _ => TypeRef::to(DEDUCED),
        }
    }

    fn list(&mut self, schema: &Value) -> TypeRef {
        let element = match schema.get("items") {
            Some(items) => self.place(items),
            None => TypeRef::to(UNTYPED_ATOMIC),
        };
        let (relationship, keys) = match text(schema, "x-kubernetes-list-type") {
            Some("map") => (
                Relationship::Associative,
                strings(schema.get("x-kubernetes-list-map-keys")),
            ),
            Some("set") => (Relationship::Associative, Vec::new()),
            _ => (Relationship::Atomic, Vec::new()),
        };
        self.schema.add(Atom {
            list: Some(Arc::new(ListType {
                element,
                relationship,
                keys,
            })),
            ..Atom::default()
        })
    }

    fn map(&mut self, schema: &Value) -> TypeRef {
        let preserve = flag(schema, "x-kubernetes-preserve-unknown-fields");
        let properties = entries(schema.get("properties"));
        let additional = schema.get("additionalProperties");
        if properties.is_empty() && !matches!(additional, Some(Value::Map(_))) {
            let atomic = text(schema, "x-kubernetes-map-type") == Some("atomic");
            return TypeRef {
                relationship: atomic.then_some(Relationship::Atomic),
                ..TypeRef::to(DEDUCED)
            };
        }
        let fields = properties
            .iter()
            .map(|(name, property)| self.field(name, property))
            .collect();
        let element = match additional {
            Some(additional @ Value::Map(_)) => Some(self.place(additional)),
            _ if preserve => Some(TypeRef::to(DEDUCED)),
            _ => None,
        };
        let relationship = match text(schema, "x-kubernetes-map-type") {
            Some("atomic") => Relationship::Atomic,
            _ => Relationship::Separable,
        };
        self.schema.add(Atom {
            map: Some(Arc::new(MapType {
                fields: sorted(fields),
                element,
                relationship,
            })),
            ..Atom::default()
        })
    }

    /// `metadata` as the built-in kinds have it.
    fn metadata(&mut self) -> TypeRef {
        const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
        let builtin = Schema::builtin();
        match builtin.named(OBJECT_META) {
            Some(ty) => self.import(builtin, ty),
            None => TypeRef::to(DEDUCED),
        }
    }

    /// Copies a type of another schema, with all that it refers to. The types
    /// below `ObjectMeta` do not refer back to themselves, save through the
    /// untyped ones, which every schema has at the same place.
    fn import(&mut self, from: &Schema, ty: TypeRef) -> TypeRef {
        if Schema::is_untyped(ty) {
            return ty;
        }
        let mut atom = from.resolve(ty);
        if let Some(list) = &mut atom.list {
            let list = Arc::make_mut(list);
            list.element = self.import(from, list.element);
        }
        if let Some(map) = &mut atom.map {
            let map = Arc::make_mut(map);
            map.element = map.element.map(|element| self.import(from, element));
            for field in &mut map.fields {
                field.ty = self.import(from, field.ty);
            }
        }
        self.schema.add(atom)
    }
}

fn flag(schema: &Value, name: &str) -> bool {
    schema.get(name).and_then(Value::as_bool) == Some(true)
}

fn text<'a>(schema: &'a Value, name: &str) -> Option<&'a str> {
    schema.get(name)?.as_str()
}
