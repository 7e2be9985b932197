//! What the fields of an object are: which lists are sets, which are keyed,
//! which maps are atomic.
//!
//! The model is that of structured-merge-diff (`schema/elements.go`): a flat
//! list of types, each with up to three facets (scalar, list, map), because an
//! untyped place can hold any of them. Server-side apply, comparison and
//! strategic merge all ask the same questions of it.
//!
//! A [`Schema`] comes from one of five places:
//!
//! | source                        | how                          |
//! |-------------------------------|------------------------------|
//! | built-in kinds (1.36)         | [`Schema::builtin`]          |
//! | a server's OpenAPI v3         | [`Schemas::add_openapi`]     |
//! | a CustomResourceDefinition    | [`Schemas::add_crd`]         |
//! | structured-merge-diff's own language | [`Schema::from_definition`] |
//! | nothing known                 | [`Schema::deduced`]          |

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use crate::value::compare;
use crate::{Gvk, Manifest, Map, Str, Value};

mod crd;
mod openapi;
pub mod structural;
mod table;

/// Types that refer to each other by number.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    types: Vec<Atom>,
    names: BTreeMap<Str, u32>,
}

/// A type as a field refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeRef {
    id: u32,
    relationship: Option<Relationship>,
}

/// The facets that a type has; a value uses the one that fits it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Atom {
    scalar: Option<Scalar>,
    list: Option<Arc<ListType>>,
    map: Option<Arc<MapType>>,
}

/// The facets of a place, with its own relationship applied; see
/// [`Schema::resolve`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Facets<'s> {
    /// Set if the place can hold a scalar.
    pub scalar: Option<Scalar>,
    /// Set if the place can hold a list.
    pub list: Option<ListFacet<'s>>,
    /// Set if the place can hold a map.
    pub map: Option<MapFacet<'s>>,
}

/// The list facet of a place: a [`ListType`] of which the place may have made
/// something else.
#[derive(Clone, Copy, Debug)]
pub struct ListFacet<'s> {
    list: &'s ListType,
    /// How the items belong together here.
    pub relationship: Relationship,
}

/// The map facet of a place: a [`MapType`] of which the place may have made
/// something else.
#[derive(Clone, Copy, Debug)]
pub struct MapFacet<'s> {
    map: &'s MapType,
    /// How the fields belong together here.
    pub relationship: Relationship,
}

impl<'s> ListFacet<'s> {
    /// The fields that identify an item, for as long as the schema lives.
    pub fn keys(&self) -> &'s [Str] {
        &self.list.keys
    }
}

impl<'s> MapFacet<'s> {
    /// The declared field of this name, for as long as the schema lives.
    pub fn declared(&self, name: &str) -> Option<&'s Field> {
        self.map.field(name)
    }
}

impl std::ops::Deref for ListFacet<'_> {
    type Target = ListType;

    fn deref(&self) -> &ListType {
        self.list
    }
}

impl std::ops::Deref for MapFacet<'_> {
    type Target = MapType;

    fn deref(&self) -> &MapType {
        self.map
    }
}

/// Which scalars a place accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// Integers and floats.
    Numeric,
    /// Text.
    String,
    /// `true` and `false`.
    Boolean,
    /// Any scalar.
    Untyped,
}

/// How the parts of a list or map belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relationship {
    /// A map merged key by key.
    Separable,
    /// A list whose items have an identity.
    Associative,
    /// One leaf, whatever it holds.
    Atomic,
}

/// The list facet of a type.
#[derive(Clone, Debug, PartialEq)]
pub struct ListType {
    /// The type of the items.
    pub element: TypeRef,
    /// [`Associative`](Relationship::Associative) or
    /// [`Atomic`](Relationship::Atomic).
    pub relationship: Relationship,
    /// The fields that identify an item; an associative list without keys is
    /// a set of scalars.
    pub keys: Vec<Str>,
}

/// The map facet of a type.
#[derive(Clone, Debug, PartialEq)]
pub struct MapType {
    /// The declared fields, sorted by name.
    pub fields: Vec<Field>,
    /// The type of fields that are not declared; `None` if there may be none.
    pub element: Option<TypeRef>,
    /// [`Separable`](Relationship::Separable) or
    /// [`Atomic`](Relationship::Atomic).
    pub relationship: Relationship,
}

/// A declared field of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// The field's name.
    pub name: Str,
    /// Its type.
    pub ty: TypeRef,
    /// What stands there if nothing is written; decides the identity of list
    /// items that leave out a key.
    pub default: Option<Value>,
    /// How a strategic merge patch treats it, which is not always how
    /// server-side apply does: ports of a container merge by `containerPort`
    /// in the one, by number and protocol in the other.
    pub patch: PatchRule,
}

/// How a strategic merge patch treats a field
/// (`x-kubernetes-patch-strategy` and `-merge-key`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatchRule {
    /// What happens to the field's content.
    pub strategy: PatchStrategy,
    /// Whether a patch lists the keys that may stay in the maps below.
    pub retain_keys: bool,
    /// The field that identifies items; empty for sets of scalars.
    pub merge_key: Str,
}

/// What a strategic merge patch does with a field's content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PatchStrategy {
    /// Maps are merged, lists replaced.
    #[default]
    Unset,
    /// Lists are merged.
    Merge,
    /// Maps are replaced, too.
    Replace,
}

impl MapType {
    /// The declared field of this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        let index = self
            .fields
            .binary_search_by(|field| compare(&field.name, name))
            .ok()?;
        Some(&self.fields[index])
    }

    /// The type of the value below `name`, declared or not.
    pub fn child(&self, name: &str) -> Option<TypeRef> {
        self.field(name).map(|field| field.ty).or(self.element)
    }
}

/// A schema is not written in the language it claims.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {problem}")]
pub struct SchemaError {
    /// The place within the schema, dotted.
    pub at: String,
    /// What is wrong there.
    pub problem: String,
}

impl Schema {
    /// The schema that is deduced from values: maps merge key by key, lists
    /// are atomic.
    pub fn deduced() -> &'static Schema {
        static DEDUCED: OnceLock<Schema> = OnceLock::new();
        DEDUCED.get_or_init(Schema::with_untyped)
    }

    /// The built-in kinds of Kubernetes 1.36, as client-go 0.36 lists them.
    pub fn builtin() -> &'static Schema {
        static BUILTIN: OnceLock<Schema> = OnceLock::new();
        BUILTIN.get_or_init(|| table::read(include_str!("schema/builtin.txt")))
    }

    /// Reads structured-merge-diff's schema language: `{types: [...]}`.
    ///
    /// # Errors
    ///
    /// [`SchemaError`] names the place that is not understood.
    pub fn from_definition(definition: &Value) -> Result<Schema, SchemaError> {
        let mut schema = Schema::with_untyped();
        let types = definition
            .get("types")
            .and_then(Value::as_list)
            .unwrap_or_default();
        let mut named = Vec::with_capacity(types.len());
        for (index, ty) in types.iter().enumerate() {
            let name = ty
                .get("name")
                .and_then(Value::as_str)
                .ok_or_else(|| SchemaError {
                    at: format!("types[{index}]"),
                    problem: "a type needs a name".into(),
                })?;
            named.push((schema.declare(name), name));
        }
        for (ty, (id, name)) in types.iter().zip(named) {
            let atom = schema.read_atom(ty, name)?;
            schema.types[id as usize] = atom;
        }
        Ok(schema)
    }

    /// The type of this name.
    pub fn named(&self, name: &str) -> Option<TypeRef> {
        self.names.get(name).map(|&id| TypeRef::to(id))
    }

    /// The name of a type, if it has one.
    pub fn name_of(&self, ty: TypeRef) -> Option<&str> {
        let named = self.names.iter().find(|(_, id)| **id == ty.id);
        named.map(|(name, _)| name.as_str())
    }

    /// The names of all types that have one, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(Str::as_str)
    }

    /// Reads the schemas of an OpenAPI v3 document, as kube-openapi's
    /// `schemaconv` translates them.
    ///
    /// # Errors
    ///
    /// [`SchemaError`] names the schema that is not understood.
    pub fn from_openapi(document: &Value) -> Result<Schema, SchemaError> {
        openapi::read(document).map(|(schema, _)| schema)
    }

    /// All named types in the notation of the table of built-in ones
    /// (`schema/builtin.txt`), which is read from it. Inline structs come out
    /// as maps of anything; the schemas of Kubernetes have none.
    pub fn to_table(&self) -> String {
        table::write(self)
    }

    /// Adds the types that `other` has and this does not, by name, as far as
    /// they are `wanted` or what is wanted refers to them.
    pub fn extend(&mut self, other: &Schema, wanted: impl Fn(&str) -> bool) {
        let mut seen = BTreeMap::new();
        for (name, &id) in &other.names {
            if !self.names.contains_key(name) && wanted(name) {
                crd::import(self, other, TypeRef::to(id), &mut seen);
            }
        }
    }

    /// Forgets defaults that are zero, false or empty and that no list has as
    /// a key: they decide nothing.
    pub fn forget_idle_defaults(&mut self) {
        let mut keys = Vec::new();
        for list in self.types.iter().filter_map(|atom| atom.list.as_ref()) {
            keys.extend(list.keys.iter().map(|key| (list.element.id, key.clone())));
        }
        for (id, atom) in self.types.iter_mut().enumerate() {
            let Some(map) = &mut atom.map else { continue };
            for field in &mut Arc::make_mut(map).fields {
                let idle = match &field.default {
                    Some(Value::String(text)) => text.is_empty(),
                    Some(Value::Bool(flag)) => !flag,
                    Some(Value::Map(_) | Value::List(_)) => true,
                    Some(number) => number.as_f64() == Some(0.0),
                    None => false,
                };
                let is_key = || {
                    keys.iter()
                        .any(|(of, key)| *of as usize == id && *key == field.name)
                };
                if idle && !is_key() {
                    field.default = None;
                }
            }
        }
    }

    /// The type of a place about which nothing is known: deduced from what it
    /// holds.
    pub const fn untyped() -> TypeRef {
        TypeRef::to(DEDUCED)
    }

    /// Whether `ty` is the deduced type or the one that is atomic throughout.
    pub fn is_untyped(ty: TypeRef) -> bool {
        ty.id == DEDUCED || ty.id == UNTYPED_ATOMIC
    }

    /// The facets of `ty`, with the reference's own relationship applied: to
    /// the map if there is one, else to the list.
    pub fn resolve(&self, ty: TypeRef) -> Facets<'_> {
        let atom = &self.types[ty.id as usize];
        let list_override = ty.relationship.filter(|_| atom.map.is_none());
        Facets {
            scalar: atom.scalar,
            list: atom.list.as_deref().map(|list| ListFacet {
                list,
                relationship: list_override.unwrap_or(list.relationship),
            }),
            map: atom.map.as_deref().map(|map| MapFacet {
                map,
                relationship: ty.relationship.unwrap_or(map.relationship),
            }),
        }
    }

    /// A schema that holds the two types without which no other can be read.
    fn with_untyped() -> Schema {
        let list_of = |element| {
            Some(Arc::new(ListType {
                element,
                relationship: Relationship::Atomic,
                keys: Vec::new(),
            }))
        };
        let map_of = |element, relationship| {
            Some(Arc::new(MapType {
                fields: Vec::new(),
                element: Some(element),
                relationship,
            }))
        };
        Schema {
            types: vec![
                Atom {
                    scalar: Some(Scalar::Untyped),
                    list: list_of(TypeRef::to(UNTYPED_ATOMIC)),
                    map: map_of(TypeRef::to(DEDUCED), Relationship::Separable),
                },
                Atom {
                    scalar: Some(Scalar::Untyped),
                    list: list_of(TypeRef::to(UNTYPED_ATOMIC)),
                    map: map_of(TypeRef::to(UNTYPED_ATOMIC), Relationship::Atomic),
                },
            ],
            names: [
                ("__untyped_deduced_".into(), DEDUCED),
                ("__untyped_atomic_".into(), UNTYPED_ATOMIC),
            ]
            .into(),
        }
    }

    /// Number of the type `name`, set aside if it is new.
    fn declare(&mut self, name: &str) -> u32 {
        if let Some(&id) = self.names.get(name) {
            return id;
        }
        let id = self.add(Atom::default()).id;
        self.names.insert(name.into(), id);
        id
    }

    fn add(&mut self, atom: Atom) -> TypeRef {
        self.types.push(atom);
        TypeRef::to(u32::try_from(self.types.len() - 1).expect("types are counted in thousands"))
    }

    fn read_atom(&mut self, atom: &Value, at: &str) -> Result<Atom, SchemaError> {
        let fail = |problem: String| SchemaError {
            at: at.into(),
            problem,
        };
        let scalar = match atom.get("scalar").and_then(Value::as_str) {
            None => None,
            Some("numeric" | "number") => Some(Scalar::Numeric),
            Some("string") => Some(Scalar::String),
            Some("boolean") => Some(Scalar::Boolean),
            Some("untyped") => Some(Scalar::Untyped),
            Some(other) => return Err(fail(format!("unknown scalar {other:?}"))),
        };
        let list = match atom.get("list") {
            None => None,
            Some(list) => Some(Arc::new(ListType {
                element: self.read_ref(list.get("elementType").unwrap_or(&Value::Null), at)?,
                relationship: relationship(list, Relationship::Atomic),
                keys: strings(list.get("keys")),
            })),
        };
        let map = match atom.get("map") {
            None => None,
            Some(map) => {
                let mut fields = Vec::new();
                let declared = map.get("fields").and_then(Value::as_list);
                for field in declared.unwrap_or_default() {
                    let name = field
                        .get("name")
                        .and_then(Value::as_str)
                        .ok_or_else(|| fail("a field needs a name".into()))?;
                    let at = format!("{at}.{name}");
                    fields.push(Field {
                        name: name.into(),
                        ty: self.read_ref(field.get("type").unwrap_or(&Value::Null), &at)?,
                        default: field
                            .get("default")
                            .filter(|value| !value.is_null())
                            .cloned(),
                        patch: PatchRule::default(),
                    });
                }
                fields.sort_by(|a, b| a.name.cmp(&b.name));
                Some(Arc::new(MapType {
                    fields,
                    element: match map.get("elementType") {
                        None => None,
                        Some(element) => Some(self.read_ref(element, at)?),
                    },
                    relationship: relationship(map, Relationship::Separable),
                }))
            }
        };
        Ok(Atom { scalar, list, map })
    }

    fn read_ref(&mut self, ty: &Value, at: &str) -> Result<TypeRef, SchemaError> {
        let mut found = match ty.get("namedType").and_then(Value::as_str) {
            Some(name) => TypeRef::to(self.declare(name)),
            None => {
                let atom = self.read_atom(ty, at)?;
                self.add(atom)
            }
        };
        if ty.get("elementRelationship").is_some() {
            found.relationship = Some(relationship(ty, Relationship::Separable));
        }
        Ok(found)
    }
}

const DEDUCED: u32 = 0;
const UNTYPED_ATOMIC: u32 = 1;

impl TypeRef {
    /// How the reference wants the type's parts to belong together, if it is
    /// not as the type itself says.
    pub fn relationship(self) -> Option<Relationship> {
        self.relationship
    }

    const fn to(id: u32) -> TypeRef {
        TypeRef {
            id,
            relationship: None,
        }
    }
}

fn relationship(of: &Value, default: Relationship) -> Relationship {
    match of.get("elementRelationship").and_then(Value::as_str) {
        Some("atomic") => Relationship::Atomic,
        // The language says "associative" of maps too; it means separable.
        Some("associative") if default == Relationship::Separable => Relationship::Separable,
        Some("associative") => Relationship::Associative,
        Some("separable" | "granular") => Relationship::Separable,
        _ => default,
    }
}

fn strings(list: Option<&Value>) -> Vec<Str> {
    list.and_then(Value::as_list)
        .unwrap_or_default()
        .iter()
        .filter_map(|value| value.as_str().map(Str::from))
        .collect()
}

/// A schema and the type of one kind's objects in it.
#[derive(Clone, Copy, Debug)]
pub struct ObjectSchema<'a> {
    /// The types.
    pub schema: &'a Schema,
    /// The object's own type.
    pub root: TypeRef,
}

/// The schemas of all kinds that are in use: the built-in ones, and those of
/// custom resources as far as their definitions were given.
#[derive(Clone, Debug, Default)]
pub struct Schemas {
    custom: BTreeMap<Gvk, Known>,
}

/// A kind that is not compiled in, or that a server has spelled out.
#[derive(Clone, Debug)]
struct Known {
    schema: Arc<Schema>,
    root: TypeRef,
    /// The schema as a definition declares it.
    structural: Option<Arc<Value>>,
    has_status: bool,
}

impl Schemas {
    /// The built-in kinds alone.
    pub fn new() -> Self {
        Schemas::default()
    }

    /// Takes up the served versions of a CustomResourceDefinition; anything
    /// else is left alone. Returns whether it was one.
    ///
    /// The translation is that of kube-openapi's `schemaconv`, with
    /// `x-kubernetes-preserve-unknown-fields` handed down to all below.
    ///
    /// # Errors
    ///
    /// [`SchemaError`] names the part of a schema that no server would take;
    /// nothing of the definition is taken up then.
    pub fn add_crd(&mut self, definition: &Manifest) -> Result<bool, SchemaError> {
        let key = definition.key();
        if key.kind != "CustomResourceDefinition" || key.group != "apiextensions.k8s.io" {
            return Ok(false);
        }
        let spec = definition.object().get("spec");
        self.custom
            .extend(crd::versions(spec.unwrap_or(&Value::Null))?);
        Ok(true)
    }

    /// Takes up the kinds of an OpenAPI v3 document, as an API server
    /// publishes one for each group version (`/openapi/v3/apis/apps/v1`).
    /// They stand before the built-in ones. Returns how many kinds it had.
    ///
    /// # Errors
    ///
    /// [`SchemaError`] names the schema that is not understood; nothing is
    /// taken up then.
    pub fn add_openapi(&mut self, document: &Value) -> Result<usize, SchemaError> {
        let (schema, kinds) = openapi::read(document)?;
        let schema = Arc::new(schema);
        let count = kinds.len();
        for (gvk, root) in kinds {
            let known = Known {
                schema: schema.clone(),
                root,
                structural: None,
                has_status: is_builtin(&gvk) || openapi::has_status(document, &gvk),
            };
            self.custom.insert(gvk, known);
        }
        Ok(count)
    }

    /// The schema of a kind; deduced if nothing is known of it.
    pub fn of(&self, gvk: &Gvk) -> ObjectSchema<'_> {
        if let Some(known) = self.custom.get(gvk) {
            return ObjectSchema {
                schema: &known.schema,
                root: known.root,
            };
        }
        let schema = Schema::builtin();
        match schema.named(&builtin_type(gvk)) {
            Some(root) => ObjectSchema { schema, root },
            None => ObjectSchema {
                schema: Schema::deduced(),
                root: Schema::untyped(),
            },
        }
    }

    /// Whether `status` of a kind is written through an endpoint of its own,
    /// so that nobody who writes the object itself owns or changes it. Taken
    /// to be so where the kind is not known.
    pub fn has_status(&self, gvk: &Gvk) -> bool {
        self.custom.get(gvk).is_none_or(|known| known.has_status)
    }

    /// The schema of a custom resource as its definition declares it, with
    /// defaults and constraints; `None` for all other kinds.
    pub fn structural(&self, gvk: &Gvk) -> Option<&Value> {
        self.custom.get(gvk)?.structural.as_deref()
    }

    /// Whether the kind's schema is known rather than deduced.
    pub fn knows(&self, gvk: &Gvk) -> bool {
        !Schema::is_untyped(self.of(gvk).root)
    }
}

/// Whether a kind is one of Kubernetes' own: a server decodes it into a struct,
/// fills in its defaults and leaves out what is empty.
pub fn is_builtin(gvk: &Gvk) -> bool {
    Schema::builtin().named(&builtin_type(gvk)).is_some()
}

/// The name under which Kubernetes publishes a kind: the Go package is named
/// by the first label of the group.
fn builtin_type(gvk: &Gvk) -> String {
    let package = match gvk.group.as_str() {
        "" => "core",
        "internal.apiserver.k8s.io" => "apiserverinternal",
        "apiextensions.k8s.io" => {
            const PACKAGE: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions";
            return format!("{PACKAGE}.{}.{}", gvk.version, gvk.kind);
        }
        "apiregistration.k8s.io" => {
            const PACKAGE: &str = "io.k8s.kube-aggregator.pkg.apis.apiregistration";
            return format!("{PACKAGE}.{}.{}", gvk.version, gvk.kind);
        }
        group => group.split('.').next().unwrap_or(group),
    };
    // Groups outside Kubernetes can share a first label with one inside.
    let own = gvk.group.is_empty() || !gvk.group.contains('.') || gvk.group.ends_with(".k8s.io");
    if own {
        format!("io.k8s.api.{package}.{}.{}", gvk.version, gvk.kind)
    } else {
        String::new()
    }
}

impl Atom {
    /// A scalar place.
    fn scalar(kind: Scalar) -> Atom {
        Atom {
            scalar: Some(kind),
            ..Atom::default()
        }
    }
}

/// The fields of a map in the order that [`MapType::fields`] wants.
fn sorted(mut fields: Vec<Field>) -> Vec<Field> {
    fields.sort_by(|a, b| a.name.cmp(&b.name));
    fields.dedup_by(|later, kept| later.name == kept.name);
    fields
}

/// The map of a schema's `properties` and the like; empty if absent.
fn entries(of: Option<&Value>) -> &Map {
    static EMPTY: OnceLock<Map> = OnceLock::new();
    of.and_then(Value::as_map)
        .unwrap_or_else(|| EMPTY.get_or_init(Map::new))
}
