//! One Kubernetes object and where it was declared.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Gvk, Map, ObjectKey, Str, Value, json, redaction, yaml};

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
#[derive(Clone, PartialEq)]
pub struct Manifest {
    object: Map,
    gvk: Gvk,
    key: ObjectKey,
    /// Where the object was declared; a default origin for live objects.
    pub origin: Origin,
}

impl fmt::Debug for Manifest {
    /// Which object it is; not its content, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manifest")
            .field("gvk", &self.gvk)
            .field("key", &self.key)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
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

/// Why a file's manifests cannot be read.
///
/// Displayed as `file:line:column: problem`, with what to do after it, if that
/// is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError(Box<ErrorRepr>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct ErrorRepr {
    origin: Origin,
    column: u32,
    problem: String,
    hint: Option<&'static str>,
    not_an_object: Option<NotAnObject>,
}

impl ManifestError {
    /// The file and the line at which the problem was noticed; the line is 0
    /// for bytes that are no text.
    pub fn origin(&self) -> &Origin {
        &self.0.origin
    }

    /// The column in characters, from 1; 0 if the whole document is meant.
    pub fn column(&self) -> u32 {
        self.0.column
    }

    /// What is wrong.
    pub fn problem(&self) -> &str {
        &self.0.problem
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint
    }

    /// What the document lacks, if it can be read but is no object.
    pub fn not_an_object(&self) -> Option<&NotAnObject> {
        self.0.not_an_object.as_ref()
    }

    fn syntax(error: &yaml::Error, origin: &Origin) -> Self {
        let hint = match error.problem() {
            problem if problem.starts_with("invalid map key: map[interface {}]") => {
                Some("if this is a template, render it first")
            }
            "mapping values are not allowed in this context" => {
                Some("quote values that contain \": \", and check the indentation")
            }
            "did not find expected key" | "did not find expected '-' indicator" => {
                Some("check the indentation of this line and of those before it")
            }
            "found character that cannot start any token" => Some(
                "indent with spaces instead of tabs, and quote values that start with @, ` or %",
            ),
            "found a tab character that violates indentation"
            | "found a tab character where an indentation space is expected" => {
                Some("indent with spaces instead of tabs")
            }
            _ => None,
        };
        ManifestError(Box::new(ErrorRepr {
            origin: Origin {
                line: error.line(),
                ..origin.clone()
            },
            column: error.column(),
            problem: error.problem().to_owned(),
            hint,
            not_an_object: None,
        }))
    }

    /// The error without the scalars that it quotes, if a Secret stands in the
    /// text: one that cannot be read cannot be asked what of it is secret.
    fn discreet(mut self, text: &[u8]) -> Self {
        if memchr::memmem::find(text, b"Secret").is_some() {
            self.0.problem = redaction::unquoted(&self.0.problem);
        }
        self
    }

    fn of_document(error: NotAnObject, origin: Origin) -> Self {
        let hint = match error {
            NotAnObject::NotAMap { found: "array" } => {
                Some("separate objects with ---, or put them into the items of a kind: List")
            }
            _ => None,
        };
        ManifestError(Box::new(ErrorRepr {
            origin,
            column: 0,
            problem: error.to_string(),
            hint,
            not_an_object: Some(error),
        }))
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ErrorRepr {
            origin,
            column,
            problem,
            hint,
            ..
        } = &*self.0;
        write!(f, "{origin}")?;
        if *column > 0 {
            write!(f, ":{column}")?;
        }
        write!(f, ": {problem}")?;
        if let Some(hint) = hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ManifestError {}

/// Reads the objects of a file: YAML documents, or JSON values one after the
/// other.
///
/// Documents without content are passed over. An object whose kind ends with
/// `List` and that has a list of `items` stands for these; items without an
/// `apiVersion` and a `kind` get those of the list, as in `kubectl`. Each
/// manifest's origin is `origin` with its own line.
///
/// # Errors
///
/// [`ManifestError`] for the first document that cannot be read or is no
/// Kubernetes object.
///
/// ```
/// use gitops_core::{Origin, manifest};
/// let text = b"# nothing\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n";
/// let manifests = manifest::parse(text, &Origin::file("ns.yaml"))?;
/// assert_eq!(manifests[0].origin.to_string(), "ns.yaml:3");
///
/// let error = manifest::parse(b"kind: {{ .Values.kind }}\n", &Origin::file("t.yaml"))
///     .unwrap_err();
/// assert!(error.to_string().ends_with("if this is a template, render it first"));
/// # Ok::<(), manifest::ManifestError>(())
/// ```
pub fn parse(text: &[u8], origin: &Origin) -> Result<Vec<Manifest>, ManifestError> {
    let mut manifests = Vec::new();
    if let Some(values) = json_values(text) {
        for (line, value) in values {
            add(value, &at_line(origin, line), None, &mut manifests)?;
        }
        return Ok(manifests);
    }
    for document in yaml::documents(text) {
        let document =
            document.map_err(|error| ManifestError::syntax(&error, origin).discreet(text))?;
        if document.value.is_null() {
            continue;
        }
        let spans = is_list(&document.value)
            .then(|| yaml::spans(text, document.line))
            .flatten();
        let origin = at_line(origin, document.line);
        add(document.value, &origin, spans.as_ref(), &mut manifests)?;
    }
    Ok(manifests)
}

fn at_line(origin: &Origin, line: u32) -> Origin {
    Origin {
        line,
        ..origin.clone()
    }
}

/// The values of a JSON file, with their lines; `None` if it is not JSON,
/// which the YAML reader then explains.
fn json_values(text: &[u8]) -> Option<Vec<(u32, Value)>> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let mut rest = text;
    let mut line = 1;
    let mut values = Vec::new();
    loop {
        let blanks = rest.iter().take_while(|byte| is_blank(byte)).count();
        line += memchr::memchr_iter(b'\n', &rest[..blanks]).count() as u32;
        rest = &rest[blanks..];
        match rest.first() {
            None => return (!values.is_empty()).then_some(values),
            Some(b'{') => {}
            Some(_) => return None,
        }
        let (value, used) = json::parse_prefix(rest, &json::Options::default()).ok()?;
        values.push((line, value));
        line += memchr::memchr_iter(b'\n', &rest[..used]).count() as u32;
        rest = &rest[used..];
    }
}

fn is_list(value: &Value) -> bool {
    matches!(value.get("kind"), Some(Value::String(kind)) if kind.ends_with("List"))
        && matches!(value.get("items"), Some(Value::List(_)))
}

fn add(
    value: Value,
    origin: &Origin,
    spans: Option<&yaml::Spans>,
    manifests: &mut Vec<Manifest>,
) -> Result<(), ManifestError> {
    if !is_list(&value) {
        let manifest = Manifest::new(value, origin.clone())
            .map_err(|error| ManifestError::of_document(error, origin.clone()))?;
        manifests.push(manifest);
        return Ok(());
    }
    let kind = value
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let items = value
        .get("items")
        .and_then(Value::as_list)
        .unwrap_or_default();
    for (index, item) in items.iter().enumerate() {
        let mut item = item.clone();
        if let Some(object) = item.as_map_mut()
            && !object.contains_key("kind")
            && !object.contains_key("apiVersion")
        {
            object.insert("kind", kind.strip_suffix("List").unwrap_or(kind));
            if let Some(version) = value.get("apiVersion") {
                object.insert("apiVersion", version.clone());
            }
        }
        let line = spans
            .and_then(|spans| spans.locate(&format!("items[{index}]")))
            .map_or(origin.line, |place| place.line);
        add(item, &at_line(origin, line), None, manifests)?;
    }
    Ok(())
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
