//! One Kubernetes object and where it was declared.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Gvk, Map, ObjectKey, Str, Value};

/// Where a manifest was declared: the place a person opens to change it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The repository or tree, as its owner names it; may be empty.
    pub source: Str,
    /// The file within the source, `/`-separated; for rendered manifests the
    /// template.
    pub file: Str,
    /// The line of the file at which the document begins, from 1; 0 when it is
    /// not known, as for a template, whose lines are not those of its output.
    pub line: u32,
}

impl Origin {
    /// The origin of a file, at its first line.
    pub fn file(file: impl Into<Str>) -> Self {
        Origin {
            source: Str::new(),
            file: file.into(),
            line: 1,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        Ok(())
    }
}

/// One Kubernetes object: a map that has `apiVersion`, `kind` and a name.
///
/// What was checked once stays true: the parts of the key cannot be changed
/// through the map, only by the setters here.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    object: Map,
    gvk: Gvk,
    key: ObjectKey,
    /// Where the object was declared; a default origin for live objects.
    pub origin: Origin,
}

/// Why a value is not a Kubernetes object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAnObject {
    /// The document is a scalar or a list.
    #[error("expected a Kubernetes object, found {found}")]
    NotAMap {
        /// What was found, in JSON's words.
        found: &'static str,
    },
    /// A field that names the object is missing or empty.
    #[error("missing {field}; every Kubernetes object needs apiVersion, kind and metadata.name")]
    Missing {
        /// The field's path.
        field: &'static str,
    },
    /// A field that names the object is not text.
    #[error("{field} must be a string, found {found}")]
    NotText {
        /// The field's path.
        field: &'static str,
        /// What was found, in JSON's words.
        found: &'static str,
    },
}

impl Manifest {
    /// Checks that `object` names itself and takes it over.
    ///
    /// `metadata.generateName` stands in for a missing name; such objects
    /// have an empty name in their key.
    ///
    /// # Errors
    ///
    /// [`NotAnObject`] says which field is missing or of the wrong type.
    pub fn new(object: Value, origin: Origin) -> Result<Self, NotAnObject> {
        let Value::Map(object) = object else {
            return Err(NotAnObject::NotAMap {
                found: object.kind_name(),
            });
        };
        let required = |field: &'static str, value: Option<&Value>| match text(field, value)? {
            Some(text) => Ok(text),
            None => Err(NotAnObject::Missing { field }),
        };
        let api_version = required("apiVersion", object.get("apiVersion"))?;
        let kind = required("kind", object.get("kind"))?;
        let metadata = match object.get("metadata") {
            None | Some(Value::Null) => return Err(NotAnObject::Missing { field: "metadata" }),
            Some(Value::Map(metadata)) => metadata,
            Some(other) => {
                return Err(NotAnObject::NotText {
                    field: "metadata",
                    found: other.kind_name(),
                });
            }
        };
        let name = match text("metadata.name", metadata.get("name"))? {
            Some(name) => name,
            None if text("metadata.generateName", metadata.get("generateName"))?.is_some() => {
                Str::new()
            }
            None => {
                return Err(NotAnObject::Missing {
                    field: "metadata.name",
                });
            }
        };
        let namespace =
            text("metadata.namespace", metadata.get("namespace"))?.unwrap_or_else(Str::new);
        let gvk = Gvk::parse(&api_version, &kind);
        let key = ObjectKey {
            group: gvk.group.clone(),
            kind,
            namespace,
            name,
        };
        Ok(Manifest {
            object,
            gvk,
            key,
            origin,
        })
    }

    /// Group, version and kind.
    pub fn gvk(&self) -> &Gvk {
        &self.gvk
    }

    /// What identifies the object.
    pub fn key(&self) -> &ObjectKey {
        &self.key
    }

    /// `metadata.name`; empty if only `generateName` is set.
    pub fn name(&self) -> &str {
        &self.key.name
    }

    /// `metadata.namespace`; empty if there is none.
    pub fn namespace(&self) -> &str {
        &self.key.namespace
    }

    /// The object's fields.
    pub fn object(&self) -> &Map {
        &self.object
    }

    /// The object as a value; the storage is shared, not copied.
    pub fn to_value(&self) -> Value {
        Value::Map(self.object.clone())
    }

    /// The value at a path of map keys, for instance `["spec", "replicas"]`.
    pub fn at(&self, path: &[&str]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        self.object.get(first)?.at(rest)
    }

    /// An annotation's text.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.at(&["metadata", "annotations", name])?.as_str()
    }

    /// A label's text.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.at(&["metadata", "labels", name])?.as_str()
    }

    /// Sets `metadata.annotations[name]`.
    pub fn set_annotation(&mut self, name: &str, text: impl Into<Str>) {
        let annotations = map_below(map_below(&mut self.object, "metadata"), "annotations");
        annotations.insert(name, text.into());
    }

    /// Sets `metadata.labels[name]`.
    pub fn set_label(&mut self, name: &str, text: impl Into<Str>) {
        let labels = map_below(map_below(&mut self.object, "metadata"), "labels");
        labels.insert(name, text.into());
    }

    /// Sets `metadata.namespace`; an empty text removes it.
    pub fn set_namespace(&mut self, namespace: &str) {
        let metadata = map_below(&mut self.object, "metadata");
        if namespace.is_empty() {
            metadata.remove("namespace");
        } else {
            metadata.insert("namespace", namespace);
        }
        self.key.namespace = namespace.into();
    }

    /// Changes the object by `change`, which must leave the names as they are.
    ///
    /// # Errors
    ///
    /// [`NotAnObject`] if the changed value is no object any more; the
    /// manifest is then unchanged.
    pub fn edit(&mut self, change: impl FnOnce(&mut Value)) -> Result<(), NotAnObject> {
        let mut value = self.to_value();
        change(&mut value);
        *self = Manifest::new(value, self.origin.clone())?;
        Ok(())
    }
}

/// The text of a field; absent, null and empty are the same.
fn text(field: &'static str, value: Option<&Value>) -> Result<Option<Str>, NotAnObject> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(NotAnObject::NotText {
            field,
            found: other.kind_name(),
        }),
    }
}

/// The map below `key`; whatever else stood there is replaced by an empty one.
fn map_below<'a>(map: &'a mut Map, key: &str) -> &'a mut Map {
    let value = map.entry(key);
    if value.as_map().is_none() {
        *value = Value::Map(Map::new());
    }
    value.as_map_mut().expect("made a map above")
}
