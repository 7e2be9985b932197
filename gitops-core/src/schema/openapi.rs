//! The schemas that an API server publishes, translated as kube-openapi's
//! `schemaconv` (`openapi.go`, `smd.go`) translates them for server-side
//! apply.
//!
//! Custom resources go the same way: a server publishes the structural schema
//! of a definition with the fields that every object has, and reads it back.

use std::sync::Arc;

use super::{
    Atom, DEDUCED, Field, ListType, MapType, PatchRule, PatchStrategy, Relationship, Scalar,
    Schema, SchemaError, TypeRef, UNTYPED_ATOMIC, entries, sorted, strings,
};
use crate::{Gvk, Str, Value};

const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const RAW_EXTENSION: &str = "io.k8s.apimachinery.pkg.runtime.RawExtension";

/// Schemas nest no deeper than values do.
const MAX_DEPTH: usize = crate::value::MAX_DEPTH;

/// The types of a document, and which of them are kinds.
pub(super) fn read(document: &Value) -> Result<(Schema, Vec<(Gvk, TypeRef)>), SchemaError> {
    let schemas = entries(document.at(&["components", "schemas"]));
    let mut reader = Reader::new();
    let mut kinds = Vec::new();
    for (name, schema) in schemas {
        // A schema that is only a reference has no type of its own.
        if reference(schema).is_some() && schema.get("allOf").is_none() {
            continue;
        }
        let id = reader.schema.declare(name);
        let atom = match name.as_str() {
            QUANTITY => Atom::scalar(Scalar::Untyped),
            RAW_EXTENSION => reader.schema.types[UNTYPED_ATOMIC as usize].clone(),
            _ => reader.atom(schema, false, name, 0)?,
        };
        reader.schema.types[id as usize] = atom;
        let declared = schema
            .get("x-kubernetes-group-version-kind")
            .and_then(Value::as_list);
        for kind in declared.unwrap_or_default() {
            let text = |name: &str| -> Option<Str> { Some(kind.get(name)?.as_str()?.into()) };
            if let (Some(group), Some(version), Some(kind)) =
                (text("group"), text("version"), text("kind"))
            {
                let gvk = Gvk {
                    group,
                    version,
                    kind,
                };
                kinds.push((gvk, TypeRef::to(id)));
            }
        }
    }
    // Types of other documents that this one refers to are not known here.
    let undeclared = |name: &str| !schemas.contains_key(name);
    let missing: Vec<u32> = reader
        .schema
        .names
        .iter()
        .filter(|(name, id)| **id > UNTYPED_ATOMIC && undeclared(name))
        .map(|(_, id)| *id)
        .collect();
    for id in missing {
        let deduced = reader.schema.types[DEDUCED as usize].clone();
        reader.schema.types[id as usize] = deduced;
    }
    Ok((reader.schema, kinds))
}

/// Whether the document has an endpoint for the status of a kind.
pub(super) fn has_status(document: &Value, gvk: &Gvk) -> bool {
    let text = |of: &Value, name: &str| -> Str {
        let text = of.get(name).and_then(Value::as_str);
        text.unwrap_or_default().into()
    };
    entries(document.get("paths"))
        .iter()
        .any(|(path, methods)| {
            let of = methods.at(&["get", "x-kubernetes-group-version-kind"]);
            path.ends_with("/{name}/status")
                && of.is_some_and(|of| {
                    text(of, "group") == gvk.group
                        && text(of, "version") == gvk.version
                        && text(of, "kind") == gvk.kind
                })
        })
}

/// Translates schemas into types.
pub(super) struct Reader {
    pub(super) schema: Schema,
    /// The type of `metadata` in embedded resources of a structural schema;
    /// other schemas spell it out.
    pub(super) metadata: Option<TypeRef>,
}

impl Reader {
    pub(super) fn new() -> Self {
        Reader {
            schema: Schema::with_untyped(),
            metadata: None,
        }
    }

    /// A place: a reference to a named type, or a type of its own.
    pub(super) fn place(
        &mut self,
        schema: &Value,
        preserve: bool,
        at: &str,
        depth: usize,
    ) -> Result<TypeRef, SchemaError> {
        if let Some(name) = reference(schema) {
            return Ok(TypeRef {
                relationship: map_relationship(schema, at)?,
                ..TypeRef::to(self.schema.declare(name))
            });
        }
        let atom = self.atom(schema, preserve, at, depth)?;
        Ok(self.schema.add(atom))
    }

    pub(super) fn atom(
        &mut self,
        schema: &Value,
        preserve: bool,
        at: &str,
        depth: usize,
    ) -> Result<Atom, SchemaError> {
        if depth > MAX_DEPTH {
            return Err(fail(at, format!("nested deeper than {MAX_DEPTH}")));
        }
        // What preserves unknown fields does so in all below it.
        let preserve = preserve || flag(schema, "x-kubernetes-preserve-unknown-fields");
        let scalar = match schema.get("type").and_then(Value::as_str) {
            None => {
                return Ok(Atom {
                    scalar: Some(Scalar::Untyped),
                    list: Some(self.list(schema, preserve, at, depth)?),
                    map: Some(self.map(schema, preserve, at, depth)?),
                });
            }
            Some("object") => {
                return Ok(Atom {
                    map: Some(self.map(schema, preserve, at, depth)?),
                    ..Atom::default()
                });
            }
            Some("array") => {
                return Ok(Atom {
                    list: Some(self.list(schema, preserve, at, depth)?),
                    ..Atom::default()
                });
            }
            Some("integer" | "number") => Scalar::Numeric,
            Some("boolean") => Scalar::Boolean,
            // Other formats are written in more than one way.
            Some("string") => match text(schema, "format") {
                None | Some("" | "byte") => Scalar::String,
                Some(_) => Scalar::Untyped,
            },
            Some(other) => return Err(fail(at, format!("unrecognized type: {other:?}"))),
        };
        Ok(Atom::scalar(scalar))
    }

    fn map(
        &mut self,
        schema: &Value,
        preserve: bool,
        at: &str,
        depth: usize,
    ) -> Result<Arc<MapType>, SchemaError> {
        let properties = entries(schema.get("properties"));
        let mut fields = Vec::with_capacity(properties.len());
        for (name, property) in properties {
            let below = format!("{at}.{name}");
            fields.push(Field {
                name: name.clone(),
                ty: self.place(property, preserve, &below, depth + 1)?,
                default: property
                    .get("default")
                    .filter(|value| !matches!(value, Value::Map(_) | Value::List(_) | Value::Null))
                    .cloned(),
                patch: patch_rule(property),
            });
        }
        let embedded = flag(schema, "x-kubernetes-embedded-resource");
        if let Some(metadata) = self.metadata.filter(|_| embedded) {
            let own = self.object_fields(metadata);
            fields.retain(|field| own.iter().all(|own| own.name != field.name));
            fields.extend(own);
        }
        let element = match schema.get("additionalProperties") {
            Some(Value::Bool(false)) => None,
            Some(Value::Bool(true)) => Some(TypeRef::to(DEDUCED)),
            Some(additional @ Value::Map(_)) => {
                Some(self.place(additional, preserve, &format!("{at}.*"), depth + 1)?)
            }
            _ if preserve || fields.is_empty() => Some(TypeRef::to(DEDUCED)),
            _ => None,
        };
        Ok(Arc::new(MapType {
            fields: sorted(fields),
            element,
            relationship: map_relationship(schema, at)?.unwrap_or(Relationship::Separable),
        }))
    }

    /// `apiVersion`, `kind` and `metadata`.
    pub(super) fn object_fields(&mut self, metadata: TypeRef) -> Vec<Field> {
        let string = self.schema.add(Atom::scalar(Scalar::String));
        let field = |name: &str, ty| Field {
            name: name.into(),
            ty,
            default: None,
            patch: PatchRule::default(),
        };
        vec![
            field("apiVersion", string),
            field("kind", string),
            field("metadata", metadata),
        ]
    }

    fn list(
        &mut self,
        schema: &Value,
        preserve: bool,
        at: &str,
        depth: usize,
    ) -> Result<Arc<ListType>, SchemaError> {
        let element = match schema.get("items") {
            Some(items) => self.place(items, preserve, &format!("{at}[]"), depth + 1)?,
            None => TypeRef::to(UNTYPED_ATOMIC),
        };
        let keys = || strings(schema.get("x-kubernetes-list-map-keys"));
        let (relationship, keys) = match text(schema, "x-kubernetes-list-type") {
            Some("map") => (Relationship::Associative, keys()),
            Some("set") => (Relationship::Associative, Vec::new()),
            Some("atomic") => (Relationship::Atomic, Vec::new()),
            Some(other) => return Err(fail(at, format!("unknown list type {other:?}"))),
            None => match patch_rule(schema) {
                PatchRule {
                    strategy: PatchStrategy::Merge,
                    merge_key,
                    ..
                } => {
                    let keys = Some(merge_key).filter(|key| !key.is_empty());
                    (Relationship::Associative, keys.into_iter().collect())
                }
                _ => (Relationship::Atomic, Vec::new()),
            },
        };
        Ok(Arc::new(ListType {
            element,
            relationship,
            keys,
        }))
    }
}

/// The name of the type that a schema refers to, itself or in the only item of
/// `allOf`, which lets it have a default beside the reference.
fn reference(schema: &Value) -> Option<&str> {
    let direct = schema.get("$ref").and_then(Value::as_str);
    let reference = direct.or_else(|| match schema.get("allOf")?.as_list()? {
        [only] => only.get("$ref")?.as_str(),
        _ => None,
    })?;
    reference.rsplit('/').next()
}

fn map_relationship(schema: &Value, at: &str) -> Result<Option<Relationship>, SchemaError> {
    match text(schema, "x-kubernetes-map-type") {
        None => Ok(None),
        Some("atomic") => Ok(Some(Relationship::Atomic)),
        Some("granular") => Ok(Some(Relationship::Separable)),
        Some(other) => Err(fail(at, format!("unknown map type {other:?}"))),
    }
}

fn patch_rule(schema: &Value) -> PatchRule {
    let mut rule = PatchRule::default();
    for strategy in text(schema, "x-kubernetes-patch-strategy")
        .unwrap_or_default()
        .split(',')
    {
        match strategy {
            "merge" => rule.strategy = PatchStrategy::Merge,
            "replace" => rule.strategy = PatchStrategy::Replace,
            "retainKeys" => rule.retain_keys = true,
            _ => {}
        }
    }
    let key = text(schema, "x-kubernetes-patch-merge-key");
    rule.merge_key = key.unwrap_or_default().into();
    rule
}

pub(super) fn flag(schema: &Value, name: &str) -> bool {
    schema.get(name).and_then(Value::as_bool) == Some(true)
}

fn text<'a>(schema: &'a Value, name: &str) -> Option<&'a str> {
    schema.get(name)?.as_str()
}

fn fail(at: &str, problem: String) -> SchemaError {
    SchemaError {
        at: at.to_owned(),
        problem,
    }
}
