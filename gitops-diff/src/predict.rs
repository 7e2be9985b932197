//! What an API server will answer, without asking it.
//!
//! [`predict`] goes the server's way: structured merge with owners and
//! conflicts first, which it repeats exactly, then what the server does to the
//! merged object: defaults, one spelling for quantities, a new generation. As
//! far as that can be told from the object it is exact. Where it cannot, the
//! prediction says why: each [`Doubt`] is a reason to ask for a dry run.
//!
//! Nothing is in doubt about an apply that changes nothing, one that conflicts,
//! and one with fields that the schema does not have: a server decides these
//! before anything else has a say.

use gitops_core::schema::{ObjectSchema, Schema, Schemas, TypeRef, is_builtin, structural};
use gitops_core::{Gvk, Manifest, Map, Origin, Str, Value, defaults};

use crate::managed_fields::{self, Writer, conflict_message, entries};
use crate::places::Places;
use crate::smd::{ApplyError, Conflict, Path, PathElement, Typed};
use crate::three_way::shown;
use crate::{immutable, normalize, validate};

/// How an object would be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The field manager.
    pub manager: Str,
    /// Whether fields are taken from their owners.
    pub force: bool,
    /// The version of the server; empty for the one whose kinds are built in.
    pub server_version: Str,
    /// Whether webhooks or policies may change objects of this kind on their
    /// way.
    pub mutated: bool,
    /// The time for new entries, as RFC 3339 in seconds.
    pub now: Str,
}

impl Options {
    /// An apply by `manager` that forces nothing, to a server without
    /// webhooks.
    pub fn new(manager: impl Into<Str>) -> Self {
        Options {
            manager: manager.into(),
            force: false,
            server_version: Str::new(),
            mutated: false,
            now: Str::new(),
        }
    }
}

/// What an apply comes to.
#[derive(Clone)]
pub struct Prediction {
    /// The object afterwards, with its owners; `None` if the server refuses.
    /// `resourceVersion` is the one before, and what a server gives a new
    /// object (uid, creation time) is not there.
    pub object: Option<Map>,
    /// Whether anything is written. A server leaves out writes that would
    /// change nothing but the times of owners.
    pub writes: bool,
    /// The fields that other managers own and that would change; these are in
    /// the way unless the apply is forced.
    pub conflicts: Vec<Conflict>,
    /// Why the server refuses, in its words as far as they are known.
    pub refusal: Option<String>,
    /// Whether the server will say exactly so.
    pub certainty: Certainty,
}

/// How sure a [`Prediction`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// The server will answer this.
    Exact,
    /// It may answer something else, for these reasons.
    Unsure(Vec<Doubt>),
}

/// Why a dry run is needed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Doubt {
    /// The object is new: the server fills in what only it knows, and wants
    /// its namespace to be there.
    #[error("the object is new")]
    Creation,
    /// The schema of the kind is not known.
    #[error("the schema of {0} is not known")]
    UnknownKind(Str),
    /// The server may fill in something else, or leave out an empty field.
    #[error("{0}: the server may fill in or leave out something here")]
    Defaulting(Path),
    /// The server checks the field's content.
    #[error("{0}: the server checks the content")]
    Validation(Path),
    /// A quantity is not written as the server writes it.
    #[error("{0}: the server spells the quantity otherwise")]
    Quantity(Path),
    /// The object is not valid; the server may have more to say of it.
    #[error("the object is not valid")]
    Refused,
    /// The field is fixed; the object would have to be replaced.
    #[error("{0} cannot be changed")]
    Immutable(String),
    /// A manager speaks another version, between which the server converts.
    #[error("{manager} owns fields in version {version}")]
    Conversion {
        /// The manager.
        manager: Str,
        /// Its version.
        version: Str,
    },
    /// Webhooks or policies may change the object.
    #[error("webhooks or policies may change the object")]
    Admission,
    /// The server keeps kubectl's annotation up to date.
    #[error("the server rewrites kubectl's last-applied annotation")]
    LastApplied,
}

impl std::fmt::Debug for Prediction {
    /// Without the object: it may be a Secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prediction")
            .field("writes", &self.writes)
            .field("conflicts", &self.conflicts)
            .field("refusal", &self.refusal)
            .field("certainty", &self.certainty)
            .finish_non_exhaustive()
    }
}

impl serde::Serialize for Certainty {
    /// The doubts in words; none if it is exact.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let doubts: &[Doubt] = match self {
            Certainty::Exact => &[],
            Certainty::Unsure(doubts) => doubts,
        };
        serializer.collect_seq(doubts.iter().map(ToString::to_string))
    }
}

impl Prediction {
    /// Whether the server will answer exactly this.
    pub fn is_exact(&self) -> bool {
        self.certainty == Certainty::Exact
    }

    /// The reasons for a dry run; none if the prediction is exact.
    pub fn doubts(&self) -> &[Doubt] {
        match &self.certainty {
            Certainty::Exact => &[],
            Certainty::Unsure(doubts) => doubts,
        }
    }

    fn refused(refusal: String, doubts: Vec<Doubt>) -> Self {
        Prediction {
            object: None,
            writes: false,
            conflicts: Vec::new(),
            refusal: Some(refusal),
            certainty: certainty(doubts),
        }
    }
}

fn certainty(mut doubts: Vec<Doubt>) -> Certainty {
    doubts.sort();
    doubts.dedup();
    match doubts.is_empty() {
        true => Certainty::Exact,
        false => Certainty::Unsure(doubts),
    }
}

/// What the server answers if `desired` is applied to `live`, which is `None`
/// if there is no such object, and in the version of `desired` otherwise.
///
/// `desired` is taken as it would be sent.
///
/// ```
/// use gitops_core::schema::Schemas;
/// use gitops_core::{Manifest, Origin, manifest};
/// use gitops_diff::predict::{self, predict};
///
/// let read = |text: &str| manifest::parse(text.as_bytes(), &Origin::default());
/// let live = &read(
///     "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, managedFields: [{manager: other,
///       operation: Update, apiVersion: v1, fieldsType: FieldsV1, fieldsV1:
///       {'f:data': {'f:x': {}}}}]}, data: {x: '1'}}",
/// )?[0];
/// let desired = &read("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {x: '2'}}")?[0];
/// let found = predict(Some(live), desired, &Schemas::new(), &predict::Options::new("me"));
/// assert_eq!(found.conflicts[0].path.to_string(), ".data.x");
/// assert!(found.is_exact());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn predict(
    live: Option<&Manifest>,
    desired: &Manifest,
    schemas: &Schemas,
    options: &Options,
) -> Prediction {
    let gvk = desired.gvk();
    let mut doubts = Vec::new();
    if !schemas.knows(gvk) {
        let kind = ecow::eco_format!("{} {}", gvk.api_version(), gvk.kind);
        doubts.push(Doubt::UnknownKind(kind));
    }
    let owners = live.map(|live| entries(live.object())).unwrap_or_default();
    for entry in owners
        .iter()
        .filter(|entry| entry.api_version != gvk.api_version())
    {
        doubts.push(Doubt::Conversion {
            manager: entry.manager.clone(),
            version: entry.api_version.clone(),
        });
    }
    if let Some(refusal) = live.and_then(|live| wrong_version(desired, live)) {
        return Prediction::refused(refusal, doubts);
    }
    if desired.at(&["metadata", "managedFields"]).is_some() {
        return Prediction::refused("metadata.managedFields must be nil".to_owned(), doubts);
    }
    let writer = Writer {
        force: options.force,
        now: options.now.clone(),
        keep_emptied: managed_fields::keeps_emptied(&options.server_version),
        ..Writer::new(options.manager.clone())
    };
    let merged = match managed_fields::apply(live, desired, schemas, &writer) {
        Ok(applied) => applied.object,
        Err(ApplyError::Conflicts(conflicts)) => {
            return Prediction {
                conflicts: conflicts.0.clone(),
                ..Prediction::refused(conflict_message(&conflicts), doubts)
            };
        }
        Err(error) => {
            let message = format!(
                "failed to create typed patch object ({}/{}; {}, Kind={}): {error}",
                desired.namespace(),
                desired.name(),
                gvk.api_version(),
                gvk.kind
            );
            return Prediction::refused(message, doubts);
        }
    };
    let schema = schemas.of(gvk);
    let object = stored(merged.clone(), live, schemas, gvk);
    let empty = Map::new();
    let live_object = live.map_or(&empty, Manifest::object);
    let writes = live.is_none() || !same(&object, live_object);
    if !writes {
        let object = live.map(|live| live.object().clone());
        return Prediction {
            object,
            writes,
            conflicts: Vec::new(),
            refusal: None,
            certainty: certainty(doubts),
        };
    }
    if options.mutated {
        doubts.push(Doubt::Admission);
    }
    const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
    if options.manager == "kubectl"
        && live.is_some_and(|live| live.annotation(LAST_APPLIED).is_some())
    {
        doubts.push(Doubt::LastApplied);
    }
    let changes = Changes {
        gvk,
        schema,
        structural: schemas.structural(gvk),
        before: Typed::trusted(Value::Map(shown(live_object)), schema),
        merged: Typed::trusted(Value::Map(shown(&merged)), schema),
        annotations: length_of_annotations(&object),
    };
    if live.is_none() {
        doubts.push(Doubt::Creation);
    }
    changes.doubt(live, &mut doubts);
    if let Some(problem) = invalid(&object, schemas, gvk) {
        let name = match gvk.group.is_empty() {
            true => gvk.kind.to_string(),
            false => format!("{}.{}", gvk.kind, gvk.group),
        };
        let refusal = format!("{name} {:?} is invalid: {problem}", desired.name());
        // That something is wrong is sure; what the server says of it is not.
        doubts.push(Doubt::Refused);
        return Prediction::refused(refusal, doubts);
    }
    Prediction {
        object: Some(object),
        writes,
        conflicts: Vec::new(),
        refusal: None,
        certainty: certainty(doubts),
    }
}

/// What a server would not take of the object as it would be stored.
fn invalid(object: &Map, schemas: &Schemas, gvk: &Gvk) -> Option<String> {
    if let Some(structural) = schemas.structural(gvk)
        && let Some(violation) = structural::violations(structural, object).first()
    {
        return Some(violation.to_string());
    }
    let object = Manifest::new(Value::Map(object.clone()), Origin::default()).ok()?;
    validate::object(&object).err()
}

/// The refusal of an object that pins another version or uid.
fn wrong_version(desired: &Manifest, live: &Manifest) -> Option<String> {
    let text = |object: &Manifest, name: &str| -> Str {
        let text = object.at(&["metadata", name]).and_then(Value::as_str);
        text.unwrap_or_default().into()
    };
    let differs = |name: &str| {
        let wanted = text(desired, name);
        !wanted.is_empty() && wanted != text(live, name)
    };
    if differs("uid") {
        return Some("uid mismatch".to_owned());
    }
    differs("resourceVersion").then(|| {
        "the object has been modified; please apply your changes to the latest version and try \
         again"
            .to_owned()
    })
}

/// An object as the server reads it: without nulls, defaulted, quantities in
/// one spelling.
pub fn decoded(object: Map, schemas: &Schemas, gvk: &Gvk) -> Map {
    let mut object = object;
    if let Some(structural) = schemas.structural(gvk) {
        defaults::drop_structural_nulls(structural, &mut object);
    }
    filled(object, schemas, gvk)
}

fn filled(object: Map, schemas: &Schemas, gvk: &Gvk) -> Map {
    let mut object = object;
    if is_builtin(gvk) {
        normalize::drop_nulls(&mut object);
        let schema = schemas.of(gvk);
        let mut value = Value::Map(object);
        normalize::drop_empty(schema.schema, schema.root, &mut value);
        respell(schema, schema.root, &mut value);
        object = match value {
            Value::Map(object) => object,
            _ => Map::new(),
        };
        defaults::fill(gvk, &mut object);
        return object;
    }
    // The metadata of a custom resource is a struct all the same.
    let schema = schemas.of(gvk);
    let metadata = normalize::type_at(schema, &[PathElement::Field("metadata".into())]);
    if let (Some(ty), Some(value)) = (metadata, object.get_mut("metadata")) {
        if let Value::Map(metadata) = value {
            normalize::drop_nulls(metadata);
        }
        normalize::drop_empty(schema.schema, ty, value);
    }
    if let Some(structural) = schemas.structural(gvk) {
        defaults::fill_structural(structural, &mut object);
    }
    object
}

/// The merged object as the server stores it: defaulted, with the status that
/// was there, and a new generation if it needs one.
pub fn stored(merged: Map, live: Option<&Manifest>, schemas: &Schemas, gvk: &Gvk) -> Map {
    let mut object = merged;
    if schemas.has_status(gvk) {
        match live.and_then(|live| live.object().get("status")) {
            Some(status) => object.insert("status", status.clone()),
            None => object.remove("status"),
        };
    }
    if gvk.group.is_empty() && gvk.kind == "Secret" && object.contains_key("stringData") {
        normalize::fold_string_data(&mut object);
    }
    object = filled(object, schemas, gvk);
    let Some(live) = live else { return object };
    let generation = live.at(&["metadata", "generation"]).and_then(Value::as_i64);
    if let Some(generation) = generation
        && content(&object, schemas.has_status(gvk))
            != content(live.object(), schemas.has_status(gvk))
        && let Some(Value::Map(metadata)) = object.get_mut("metadata")
    {
        metadata.insert("generation", generation + 1);
    }
    object
}

/// What a new generation is about.
fn content(object: &Map, has_status: bool) -> Map {
    let mut content = object.clone();
    content.remove("metadata");
    if has_status {
        content.remove("status");
    }
    content
}

/// Writes quantities as the server does, which only looks at built-in types.
fn respell(schema: ObjectSchema<'_>, ty: TypeRef, value: &mut Value) {
    let Some(quantity) = schema.schema.named(normalize::QUANTITY) else {
        return;
    };
    respell_below(schema.schema, quantity, ty, value);
}

fn respell_below(schema: &Schema, quantity: TypeRef, ty: TypeRef, value: &mut Value) {
    if ty == quantity {
        if let Some(read) = normalize::quantity(value) {
            *value = read.to_string().into();
        }
        return;
    }
    match value {
        Value::Map(map) => {
            let Some(fields) = schema.resolve(ty).map else {
                return;
            };
            for (name, value) in map.iter_mut() {
                if let Some(ty) = fields.child(name).filter(|_| holds_more(value)) {
                    respell_below(schema, quantity, ty, value);
                }
            }
        }
        Value::List(items) if items.iter().any(holds_more) => {
            let Some(list) = schema.resolve(ty).list else {
                return;
            };
            for item in items.make_mut() {
                respell_below(schema, quantity, list.element, item);
            }
        }
        _ => {}
    }
}

fn holds_more(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(_))
}

/// Whether two objects are the same but for the times of their owners.
pub fn same(a: &Map, b: &Map) -> bool {
    let bare = |object: &Map| {
        let mut object = object.clone();
        if let Some(Value::Map(metadata)) = object.get_mut("metadata") {
            metadata.remove("resourceVersion");
            if let Some(Value::List(owners)) = metadata.get_mut("managedFields") {
                for owner in owners.make_mut() {
                    if let Value::Map(owner) = owner {
                        owner.remove("time");
                    }
                }
            }
        }
        object
    };
    let ordered = |object: &Map| {
        let mut owners = entries(object);
        owners.sort_by_cached_key(|entry| entry.identifier());
        owners
    };
    if ordered(&bare(a)) != ordered(&bare(b)) {
        return false;
    }
    let without = |object: &Map| {
        let mut object = bare(object);
        if let Some(Value::Map(metadata)) = object.get_mut("metadata") {
            metadata.remove("managedFields");
        }
        Value::Map(object)
    };
    without(a).same(&without(b))
}

/// What an apply changes, and how sure it is what becomes of it.
struct Changes<'a> {
    gvk: &'a Gvk,
    schema: ObjectSchema<'a>,
    structural: Option<&'a Value>,
    before: Typed<'a>,
    merged: Typed<'a>,
    /// How long all annotations are, as they will be.
    annotations: usize,
}

impl Changes<'_> {
    fn doubt(&self, live: Option<&Manifest>, doubts: &mut Vec<Doubt>) {
        let compared = self.before.compare(&self.merged);
        let mut changed = compared.modified.union(&compared.added);
        let removed = compared.removed.paths();
        let set: Vec<Path> = changed.paths();
        changed = changed.union(&compared.removed);
        let all = changed.paths();
        if let Some(live) = live
            && let Some(field) = immutable::touched(live, all.iter())
        {
            doubts.push(Doubt::Immutable(field));
        }
        let mut places = Places::new(self.schema, self.merged.value());
        for path in &set {
            let Some(value) = places.at(&path.0) else {
                continue;
            };
            self.doubt_value(path, value, doubts);
        }
        for path in removed {
            self.doubt_removal(path, doubts);
        }
    }

    fn doubt_value(&self, path: &Path, value: &Value, doubts: &mut Vec<Doubt>) {
        if normalize::is_quantity_at(self.schema, &path.0) {
            let canonical = normalize::quantity(value).map(|read| read.to_string());
            match canonical {
                Some(canonical) if value.as_str() == Some(canonical.as_str()) => {}
                Some(_) => doubts.push(Doubt::Quantity(path.clone())),
                None => {}
            }
            doubts.push(Doubt::Validation(path.clone()));
            return;
        }
        let is_leaf = !matches!(value, Value::Map(_) | Value::List(_));
        let atomic = self.is_atomic(path);
        if !is_leaf && !atomic && !normalize::is_left_out(value) {
            // What is in it is a change of its own.
            return;
        }
        if normalize::is_left_out(value) && is_builtin(self.gvk) && !self.keeps_empty(path) {
            doubts.push(Doubt::Defaulting(path.clone()));
            return;
        }
        if !self.is_free(path, value) {
            doubts.push(Doubt::Validation(path.clone()));
        }
    }

    fn doubt_removal(&self, path: Path, doubts: &mut Vec<Doubt>) {
        // What comes back is a default; that it is the right one is known for
        // built-in kinds only as far as the table goes.
        let free = match self.structural {
            Some(structural) => {
                !is_constrained(structural, &path.0) && !is_required(structural, &path.0)
            }
            None => self.is_free(&path, &Value::from("x")),
        };
        if !free {
            doubts.push(Doubt::Validation(path));
        }
    }

    fn is_atomic(&self, path: &Path) -> bool {
        let Some(ty) = normalize::type_at(self.schema, &path.0) else {
            return true;
        };
        use gitops_core::schema::Relationship::Atomic;
        let atom = self.schema.schema.resolve(ty);
        atom.list.is_some_and(|list| list.relationship == Atomic)
            || atom.map.is_some_and(|map| map.relationship == Atomic)
    }

    /// Fields that are written though they are zero: pointers.
    fn keeps_empty(&self, path: &Path) -> bool {
        let names = names(path);
        matches!(
            names.as_slice(),
            ["spec", "replicas"]
                | ["data" | "binaryData" | "stringData", _]
                | ["metadata", "labels" | "annotations", _]
        )
    }

    /// Whether the server takes any such value here.
    fn is_free(&self, path: &Path, value: &Value) -> bool {
        let names = names(path);
        match names.as_slice() {
            ["apiVersion" | "kind"] | ["metadata", "name" | "namespace"] => return true,
            ["metadata", "labels"] => return true,
            ["metadata", "labels", name] => {
                return is_qualified(name) && value.as_str().is_some_and(is_label_value);
            }
            ["metadata", "annotations"] => return true,
            ["metadata", "annotations", name] => {
                const MOST: usize = 200_000;
                return is_qualified(&name.to_lowercase())
                    && value.as_str().is_some()
                    && self.annotations < MOST;
            }
            ["metadata", ..] => return false,
            _ => {}
        }
        if let Some(structural) = self.structural {
            return !is_constrained(structural, &path.0);
        }
        let count = |most: i64| {
            value.as_str() == Some("x") || value.as_i64().is_some_and(|n| (0..=most).contains(&n))
        };
        match (
            self.gvk.group.as_str(),
            self.gvk.kind.as_str(),
            names.as_slice(),
        ) {
            ("", "ConfigMap", ["data"]) | ("", "Secret", ["data"]) => true,
            ("", "ConfigMap", ["data", name]) => is_config_key(name) && value.as_str().is_some(),
            ("", "Secret", ["data", name]) => is_config_key(name) && is_base64(value),
            ("apps", "Deployment" | "StatefulSet" | "ReplicaSet", ["spec", "replicas"]) => {
                count(i64::from(i32::MAX))
            }
            (
                "apps",
                "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet",
                [
                    "spec",
                    "template",
                    "spec",
                    "containers" | "initContainers",
                    "",
                    rest @ ..,
                ],
            ) => match rest {
                ["image"] => {
                    let image = value.as_str().unwrap_or_default();
                    !image.is_empty() && image.trim() == image
                }
                ["env", "", "value"] => value.as_str().is_some(),
                _ => false,
            },
            (
                "apps",
                "Deployment" | "StatefulSet" | "DaemonSet",
                ["spec", "template", "metadata", "annotations", name],
            ) => is_qualified(&name.to_lowercase()) && value.as_str().is_some(),
            _ => false,
        }
    }
}

fn length_of_annotations(object: &Map) -> usize {
    let annotations = object
        .get("metadata")
        .and_then(|metadata| metadata.get("annotations"))
        .and_then(Value::as_map);
    let lengths = annotations.into_iter().flatten();
    lengths
        .map(|(name, value)| name.len() + value.as_str().map_or(0, str::len))
        .sum()
}

/// The fields of a path; items of lists are empty texts.
fn names(path: &Path) -> Vec<&str> {
    path.0
        .iter()
        .map(|element| match element {
            PathElement::Field(name) => name.as_str(),
            _ => "",
        })
        .collect()
}

/// A name as labels and annotations have it: `prefix/name`.
fn is_qualified(name: &str) -> bool {
    let (prefix, name) = match name.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, name),
    };
    prefix.is_none_or(is_subdomain) && !name.is_empty() && is_label_value(name)
}

fn is_subdomain(name: &str) -> bool {
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty()
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

fn is_label_value(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

fn is_config_key(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !name.is_empty()
        && name.len() <= 253
        && name.bytes().all(plain)
        && !name.starts_with("..")
        && name != "."
}

fn is_base64(value: &Value) -> bool {
    use base64::Engine as _;
    let text = value.as_str();
    text.is_some_and(|text| base64::prelude::BASE64_STANDARD.decode(text).is_ok())
}

/// Whether anything but the type of a field, or of what it is in, is checked
/// by the structural schema.
fn is_constrained(structural: &Value, path: &[PathElement]) -> bool {
    let mut here = Some(structural);
    for element in path {
        let Some(schema) = here else { return false };
        if has_constraint(schema) {
            return true;
        }
        here = below(schema, element);
    }
    here.is_some_and(constrained_throughout)
}

fn is_required(structural: &Value, path: &[PathElement]) -> bool {
    let Some((last, above)) = path.split_last() else {
        return false;
    };
    let parent = above
        .iter()
        .try_fold(structural, |schema, element| below(schema, element));
    let required = parent.and_then(|parent| parent.get("required")?.as_list());
    required.unwrap_or_default().iter().any(|name| {
        let name = name.as_str().unwrap_or_default();
        matches!(last, PathElement::Field(field) if field == name)
    })
}

fn below<'v>(schema: &'v Value, element: &PathElement) -> Option<&'v Value> {
    match element {
        PathElement::Field(name) => schema
            .get("properties")
            .and_then(|properties| properties.get(name))
            .or_else(|| schema.get("additionalProperties")),
        _ => schema.get("items"),
    }
}

fn has_constraint(schema: &Value) -> bool {
    const CONSTRAINTS: [&str; 21] = [
        "pattern",
        "enum",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "uniqueItems",
        "minProperties",
        "maxProperties",
        "oneOf",
        "anyOf",
        "allOf",
        "not",
        "x-kubernetes-validations",
        "x-kubernetes-embedded-resource",
        "format",
    ];
    CONSTRAINTS.iter().any(|name| schema.get(name).is_some())
}

fn constrained_throughout(schema: &Value) -> bool {
    has_constraint(schema)
        || schema.get("required").is_some()
        || schema
            .get("properties")
            .and_then(Value::as_map)
            .is_some_and(|properties| properties.values().any(constrained_throughout))
        || ["items", "additionalProperties"]
            .iter()
            .any(|name| schema.get(name).is_some_and(constrained_throughout))
}
