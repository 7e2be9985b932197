//! Which lists are merged by which keys, and which kinds live outside of
//! namespaces: what kyaml reads from an OpenAPI document.
//!
//! The built-in part is a table (`schema.txt`) of the few fields that matter,
//! and another of scopes (`scopes.txt`), which every build needs. A
//! kustomization's `openapi` replaces the first for the whole build.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use gitops_core::{Str, Value, yaml};

use super::error::{Error, ErrorKind, Result};
use super::id::Gvk;

/// The types and kinds of an OpenAPI document.
#[derive(Clone, Debug, Default)]
pub(super) struct Schema {
    types: Vec<Type>,
    kinds: HashMap<(Str, Str), TypeId>,
    /// The types of the table by their names there.
    names: HashMap<&'static str, TypeId>,
}

/// The index of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TypeId(usize);

#[derive(Clone, Debug, Default)]
struct Type {
    fields: HashMap<Str, Shape>,
    /// What fields of other names are.
    others: Option<Shape>,
}

/// What a field is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    /// Nothing that needs a schema.
    Plain,
    /// An object of a type.
    Object(TypeId),
    /// A list.
    List(Arc<ListShape>),
}

/// What a list is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ListShape {
    pub(super) items: Shape,
    /// The keys by which it is merged, none if by its items themselves;
    /// `None` if it is replaced.
    pub(super) keys: Option<Vec<Str>>,
}

const TABLE: &str = include_str!("schema.txt");

/// What the names of the table leave out.
const PREFIXES: [&str; 4] = [
    "io.k8s.api.",
    "io.k8s.apimachinery.pkg.apis.",
    "io.k8s.apiextensions-apiserver.pkg.apis.",
    "io.k8s.kube-aggregator.pkg.apis.",
];

fn short_name(name: &str) -> &str {
    PREFIXES
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name)
}

static BUILTIN: LazyLock<Arc<Schema>> = LazyLock::new(|| Arc::new(Schema::from_table()));

/// Whether kinds live outside of namespaces, by version and kind.
static SCOPES: LazyLock<foldhash::HashMap<(&str, &str), bool>> = LazyLock::new(|| {
    let scope = |line: &'static str| {
        let (scope, kind) = line.split_once(' ')?;
        Some((kind.split_once(' ')?, scope == "cluster"))
    };
    let table = include_str!("scopes.txt").lines();
    table
        .filter(|line| !line.starts_with('#'))
        .filter_map(scope)
        .collect()
});

/// Whether a kind is known to live outside of namespaces.
pub(super) fn is_cluster_scoped(api_version: &str, kind: &str) -> bool {
    SCOPES.get(&(api_version, kind)) == Some(&true)
}

/// The schema that a build merges by: the built-in one, or what the first
/// kustomization says that names one.
///
/// What is named takes the place of the built-in one only if nobody needed
/// that before. Kustomize then reads both, in the order in which they were
/// needed, and of two definitions of one name the later counts.
#[derive(Default)]
pub(super) struct Schemas {
    named: RefCell<Option<std::result::Result<Arc<Schema>, String>>>,
    builtin: Cell<Need>,
    /// The kind that was seen last: one often follows another of its kind.
    last: RefCell<Gvk>,
}

/// Whether the built-in schema was needed while none was named.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Need {
    #[default]
    Not,
    /// The scope of a kind was asked for that no table knows. The schema is
    /// read after the next that is.
    Later,
    Read,
}

impl Schemas {
    /// Whether a kustomization named a schema.
    pub(super) fn is_named(&self) -> bool {
        self.named.borrow().is_some()
    }

    /// Names the built-in schema.
    pub(super) fn name_builtin(&self) {
        *self.named.borrow_mut() = Some(Ok(Schema::builtin()));
    }

    /// Names the schema of an OpenAPI document. What is wrong with it matters
    /// once it is read.
    pub(super) fn name(&self, document: &[u8]) {
        let schema = yaml::parse(document).map_err(|error| format!("invalid schema file: {error}"));
        let schema = schema.map(|document| Arc::new(self.beside_builtin(&document)));
        *self.named.borrow_mut() = Some(schema);
    }

    fn beside_builtin(&self, document: &Value) -> Schema {
        match self.builtin.get() {
            Need::Not => Schema::from_openapi(document, Schema::default(), true),
            need => {
                let builtin = (*Schema::builtin()).clone();
                Schema::from_openapi(document, builtin, need == Need::Read)
            }
        }
    }

    /// Notes that an object of a kind is there.
    pub(super) fn saw(&self, gvk: &Gvk) {
        if self.builtin.get() != Need::Not || *self.last.borrow() == *gvk {
            return;
        }
        let api_version = gvk.api_version();
        if !SCOPES.contains_key(&(&*api_version, &*gvk.kind)) {
            self.builtin.set(Need::Later);
        }
        self.last.replace(gvk.clone());
    }

    /// The schema for a merge, which reads it.
    ///
    /// # Errors
    ///
    /// If the document that was named is none.
    pub(super) fn read(&self) -> Result<Arc<Schema>> {
        match &*self.named.borrow() {
            Some(Ok(named)) => return Ok(named.clone()),
            Some(Err(problem)) => {
                return Err(Error::new(ErrorKind::Kustomization, problem.clone()));
            }
            None => {}
        }
        self.builtin.set(Need::Read);
        Ok(Schema::builtin())
    }
}

impl Schema {
    pub(super) fn builtin() -> Arc<Schema> {
        BUILTIN.clone()
    }

    fn from_table() -> Self {
        let mut schema = Schema::default();
        let mut ids = HashMap::<&'static str, TypeId>::new();
        for name in TABLE.lines().filter_map(|line| line.strip_prefix("type ")) {
            ids.insert(name, schema.add_type());
        }
        let object = |name: &str| match ids.get(name) {
            Some(id) => Shape::Object(*id),
            None => Shape::Plain,
        };
        let mut current = TypeId(0);
        for line in TABLE.lines() {
            if let Some(name) = line.strip_prefix("type ") {
                current = ids[name];
            } else if let Some(field) = line.strip_prefix(' ') {
                let mut words = field.split(' ');
                let (Some(name), Some(shape)) = (words.next(), words.next()) else {
                    continue;
                };
                let shape = match shape.strip_prefix("[]") {
                    None => object(shape),
                    Some(items) => Shape::List(Arc::new(ListShape {
                        items: object(items),
                        keys: words.next().map(|_| words.map(Str::from).collect()),
                    })),
                };
                schema.types[current.0].fields.insert(name.into(), shape);
            } else if let Some(kind) = line.strip_prefix("kind ") {
                let mut words = kind.split(' ');
                if let (Some(version), Some(kind), Some(name)) =
                    (words.next(), words.next(), words.next())
                {
                    let key = (version.into(), kind.into());
                    schema.kinds.insert(key, ids[name]);
                }
            }
        }
        schema.names = ids;
        schema
    }

    fn add_type(&mut self) -> TypeId {
        self.types.push(Type::default());
        TypeId(self.types.len() - 1)
    }

    /// The definitions of an OpenAPI v2 document, beside those of `base`. What
    /// is in both is as in the document if that `wins`.
    pub(super) fn from_openapi(document: &Value, base: Schema, wins: bool) -> Self {
        let mut schema = base;
        let Some(definitions) = document.get("definitions").and_then(Value::as_map) else {
            return schema;
        };
        let ids: HashMap<&str, TypeId> = definitions
            .keys()
            .map(|name| (name.as_str(), schema.add_type()))
            .collect();
        if wins {
            for name in definitions.keys() {
                schema.names.remove(short_name(name));
            }
        }
        for (name, definition) in definitions {
            let id = ids[name.as_str()];
            schema.fill(id, definition, &ids);
            let kinds = definition
                .get("x-kubernetes-group-version-kind")
                .and_then(Value::as_list)
                .unwrap_or_default();
            for kind in kinds {
                let part = |key| kind.get(key).and_then(Value::as_str).unwrap_or_default();
                let version = match part("group") {
                    "" => part("version").into(),
                    group => format!("{group}/{}", part("version")).into(),
                };
                let key = (version, part("kind").into());
                let known = schema.kinds.entry(key).or_insert(id);
                if wins {
                    *known = id;
                }
            }
        }
        schema
    }

    fn fill(&mut self, id: TypeId, definition: &Value, ids: &HashMap<&str, TypeId>) {
        if let Some(properties) = definition.get("properties").and_then(Value::as_map) {
            for (name, property) in properties {
                let shape = self.shape(property, ids);
                self.types[id.0].fields.insert(name.clone(), shape);
            }
        }
        if let Some(others) = definition.get("additionalProperties")
            && others.as_map().is_some()
        {
            self.types[id.0].others = Some(self.shape(others, ids));
        }
    }

    fn shape(&mut self, property: &Value, ids: &HashMap<&str, TypeId>) -> Shape {
        let text = |key| property.get(key).and_then(Value::as_str);
        if let Some(reference) = text("$ref") {
            let name = reference.rsplit('/').next().unwrap_or_default();
            // A `/` within a name is written `~1`.
            let name = name.replace("~1", "/").replace("~0", "~");
            let id = self
                .names
                .get(short_name(&name))
                .or_else(|| ids.get(name.as_str()));
            return id.map_or(Shape::Plain, |id| Shape::Object(*id));
        }
        if text("type") == Some("array") {
            let items = match property.get("items") {
                Some(items) => self.shape(items, ids),
                None => Shape::Plain,
            };
            let merged = text("x-kubernetes-patch-strategy")
                .is_some_and(|strategy| strategy.split(',').any(|word| word == "merge"));
            let keys = match property.get("x-kubernetes-list-map-keys") {
                Some(keys) => keys.as_list().unwrap_or_default().to_vec(),
                None => property
                    .get("x-kubernetes-patch-merge-key")
                    .cloned()
                    .into_iter()
                    .collect(),
            };
            let keys = keys.iter().filter_map(Value::as_str).map(Str::from);
            return Shape::List(Arc::new(ListShape {
                items,
                keys: merged.then(|| keys.collect()),
            }));
        }
        if property.get("properties").is_some() || property.get("additionalProperties").is_some() {
            let id = self.add_type();
            self.fill(id, property, ids);
            return Shape::Object(id);
        }
        Shape::Plain
    }

    /// The type of a kind.
    pub(super) fn kind(&self, api_version: &str, kind: &str) -> Option<Shape> {
        let id = self.kinds.get(&(api_version.into(), kind.into()))?;
        Some(Shape::Object(*id))
    }

    /// What the field of an object of this shape is; `None` if nothing is
    /// known about it.
    pub(super) fn field(&self, shape: &Shape, name: &str) -> Option<Shape> {
        let Shape::Object(id) = shape else {
            return None;
        };
        let of = &self.types[id.0];
        of.fields.get(name).or(of.others.as_ref()).cloned()
    }
}
