//! One object of a build: a document, and what Kustomize remembers about it.
//!
//! Kustomize keeps its memory in annotations of the object; here they are
//! fields, and only what a document brings along is read from annotations.

use ecow::EcoVec;
use gitops_core::redaction::HIDDEN;
use gitops_core::value::Sink;
use gitops_core::yaml::node::{Content, DecodeError, Kind, Node, NodeId, Tag, Tree};
use gitops_core::{Map, Str, TreePath, Value, json, yaml};

use super::error::{Error, ErrorKind, Result, transform};
use super::fields;
use super::id::{Gvk, Id};

/// An object.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) tree: Tree,
    /// The identity that the document has now; see [`Object::refresh`].
    pub(super) id: Id,
    /// Identities that it had, oldest first.
    pub(super) previous: EcoVec<Previous>,
    pub(super) prefixes: EcoVec<Str>,
    pub(super) suffixes: EcoVec<Str>,
    pub(super) behavior: Behavior,
    /// Whether a generator made it.
    pub(super) generated: bool,
    pub(super) needs_hash: bool,
    pub(super) allow_name_change: bool,
    pub(super) allow_kind_change: bool,
    /// Whether a chart made it.
    pub(super) from_chart: bool,
    /// The variables that point at it.
    pub(super) variables: Vec<Str>,
    pub(super) declared: Declared,
    /// Whether a patch deleted it.
    pub(super) gone: bool,
}

/// An identity that an object had. The group and version are those of now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Previous {
    pub(super) name: Str,
    pub(super) namespace: Str,
    pub(super) kind: Str,
}

impl Previous {
    /// The namespace that counts in comparisons. What was outside of
    /// namespaces says so in place of one.
    pub(super) fn effective_namespace(&self) -> &str {
        match self.namespace.is_empty() {
            true => "default",
            false => &self.namespace,
        }
    }
}

/// What becomes of a generated object that exists already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Behavior {
    #[default]
    Unspecified,
    Create,
    Replace,
    Merge,
}

impl Behavior {
    pub(super) fn of(text: &str) -> Self {
        match text {
            "create" => Behavior::Create,
            "replace" => Behavior::Replace,
            "merge" => Behavior::Merge,
            _ => Behavior::Unspecified,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Behavior::Unspecified => "unspecified",
            Behavior::Create => "create",
            Behavior::Replace => "replace",
            Behavior::Merge => "merge",
        }
    }
}

/// Where an object comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) file: TreePath,
    pub(super) line: u32,
}

const INTERNAL: &str = "internal.config.kubernetes.io/";

/// The annotations that never leave a build.
const BUILD_ANNOTATIONS: [&str; 19] = [
    "internal.config.kubernetes.io/previousKinds",
    "internal.config.kubernetes.io/previousNames",
    "internal.config.kubernetes.io/prefixes",
    "internal.config.kubernetes.io/suffixes",
    "internal.config.kubernetes.io/previousNamespaces",
    "internal.config.kubernetes.io/allowNameChange",
    "internal.config.kubernetes.io/allowKindChange",
    "internal.config.kubernetes.io/refBy",
    "internal.config.kubernetes.io/generatorBehavior",
    "internal.config.kubernetes.io/needsHashSuffix",
    "internal.config.kubernetes.io/path",
    "internal.config.kubernetes.io/index",
    "internal.config.kubernetes.io/seqindent",
    "internal.config.kubernetes.io/id",
    "internal.config.kubernetes.io/annotations-migration-resource-id",
    "config.kubernetes.io/path",
    "config.kubernetes.io/index",
    "config.k8s.io/id",
    "internal.config.kubernetes.io/helm-generated",
];

pub(super) const ORIGIN: &str = "config.kubernetes.io/origin";
pub(super) const TRANSFORMATIONS: &str = "alpha.config.kubernetes.io/transformations";
const LOCAL_CONFIG: &str = "config.kubernetes.io/local-config";

impl Object {
    /// An object of a document that was checked to be one.
    pub(super) fn new(tree: Tree, declared: Declared) -> Self {
        let mut object = Object {
            tree,
            id: Id::default(),
            previous: EcoVec::new(),
            prefixes: EcoVec::new(),
            suffixes: EcoVec::new(),
            behavior: Behavior::default(),
            generated: false,
            needs_hash: false,
            allow_name_change: false,
            allow_kind_change: false,
            from_chart: false,
            variables: Vec::new(),
            declared,
            gone: false,
        };
        object.take_internal_annotations();
        object.refresh();
        object
    }

    /// Reads what another run of Kustomize, or a person, wrote down.
    fn take_internal_annotations(&mut self) {
        let root = self.tree.root();
        let Some(annotations) = self.tree.at(root, &["metadata", "annotations"]) else {
            return;
        };
        let mut names = (EcoVec::new(), EcoVec::new(), EcoVec::new());
        let split = |text: &str| text.split(',').map(Str::from).collect::<EcoVec<_>>();
        let mut found = false;
        for &(key, value) in self.tree.entries(annotations) {
            let (Some(key), Some(value)) = (self.tree.text(key), self.tree.text(value)) else {
                continue;
            };
            let Some(name) = key.strip_prefix(INTERNAL) else {
                continue;
            };
            found = true;
            match name {
                "previousNames" => names.0 = split(value),
                "previousNamespaces" => names.1 = split(value),
                "previousKinds" => names.2 = split(value),
                "prefixes" => self.prefixes = split(value),
                "suffixes" => self.suffixes = split(value),
                "generatorBehavior" => self.behavior = Behavior::of(value),
                "needsHashSuffix" => self.needs_hash = value == "enabled",
                "allowNameChange" => self.allow_name_change = value == "enabled",
                "allowKindChange" => self.allow_kind_change = value == "enabled",
                _ => {}
            }
        }
        if !found {
            return;
        }
        self.previous = (names.0.into_iter().zip(names.1).zip(names.2))
            .map(|((name, namespace), kind)| Previous {
                name,
                namespace,
                kind,
            })
            .collect();
        let doomed: Vec<Str> = self
            .tree
            .entries(annotations)
            .iter()
            .filter_map(|(key, _)| self.tree.text(*key))
            .filter(|key| BUILD_ANNOTATIONS.contains(key))
            .map(Str::from)
            .collect();
        for key in doomed {
            self.tree.remove(annotations, &key);
        }
    }

    /// What Kustomize would have written down in annotations by now. A JSON
    /// patch sees them: it can add to annotations that nobody declared.
    pub(super) fn internal_annotations(&self) -> Vec<(Str, Str)> {
        let mut annotations = Vec::new();
        let mut add = |name: &str, value: Str| {
            annotations.push((format!("{INTERNAL}{name}").into(), value));
        };
        let join = |parts: &[Str]| Str::from(parts.join(","));
        if !self.previous.is_empty() {
            let part = |of: fn(&Previous) -> &Str| -> Vec<Str> {
                self.previous
                    .iter()
                    .map(|previous| of(previous).clone())
                    .collect()
            };
            add("previousNames", join(&part(|previous| &previous.name)));
            add(
                "previousNamespaces",
                join(&part(|previous| &previous.namespace)),
            );
            add("previousKinds", join(&part(|previous| &previous.kind)));
        }
        if !self.prefixes.is_empty() {
            add("prefixes", join(&self.prefixes));
        }
        if !self.suffixes.is_empty() {
            add("suffixes", join(&self.suffixes));
        }
        if self.generated {
            add("generatorBehavior", self.behavior.name().into());
        }
        if self.needs_hash {
            add("needsHashSuffix", "enabled".into());
        }
        if self.from_chart {
            add("helm-generated", "true".into());
        }
        if self.allow_name_change {
            add("allowNameChange", "enabled".into());
        }
        if self.allow_kind_change {
            add("allowKindChange", "enabled".into());
        }
        annotations
    }

    /// The document with the annotations that Kustomize would have written by
    /// now.
    pub(super) fn annotated(&self) -> Result<Value> {
        let mut value = self.to_value()?;
        let internal = self.internal_annotations();
        if internal.is_empty() {
            return Ok(value);
        }
        if let Some(object) = value.as_map_mut()
            && let Some(metadata) = object.entry("metadata").as_map_mut()
        {
            let annotations = metadata.entry("annotations");
            if annotations.as_map().is_none() {
                *annotations = Value::Map(Map::new());
            }
            if let Some(annotations) = annotations.as_map_mut() {
                for (name, text) in internal {
                    annotations.insert(name, text);
                }
            }
        }
        Ok(value)
    }

    /// The object as messages of Kustomize print it, but for what Secrets hold.
    pub(super) fn show(&self) -> String {
        match self.presentable() {
            Ok(value) => json::to_string(&value),
            Err(error) => format!("<{error}>"),
        }
    }

    fn presentable(&self) -> Result<Value> {
        let mut value = self.annotated()?;
        if self.id.gvk.kind == "Secret"
            && let Some(object) = value.as_map_mut()
        {
            for field in ["data", "stringData"] {
                let data = object.get_mut(field).and_then(Value::as_map_mut);
                for (_, value) in data.into_iter().flat_map(Map::iter_mut) {
                    *value = HIDDEN.into();
                }
            }
        }
        Ok(value)
    }

    /// Forgets what Kustomize keeps in annotations, as a patch that removes
    /// them does.
    pub(super) fn forget(&mut self) {
        self.previous.clear();
        self.prefixes.clear();
        self.suffixes.clear();
        self.needs_hash = false;
        self.behavior = Behavior::default();
        self.generated = false;
        self.from_chart = false;
    }

    /// Finds out the identity anew, after the document was written to.
    pub(super) fn refresh(&mut self) {
        let root = self.tree.root();
        let text = |key: &str| {
            self.tree
                .get(root, key)
                .and_then(|node| self.tree.text(node))
                .unwrap_or_default()
        };
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let metadata = self.metadata();
        let field = |name| {
            metadata
                .and_then(|metadata| self.tree.get(metadata, name))
                .filter(|node| !self.tree.node(*node).is_empty())
                .and_then(|node| self.tree.text(node))
                .unwrap_or_default()
        };
        let (name, namespace) = (field("name"), field("namespace"));
        let (group, version) = super::id::split_api_version(api_version);
        let same = self.id.gvk.kind == kind
            && self.id.gvk.group == group
            && self.id.gvk.version == version;
        if same {
            let name = (self.id.name != name).then(|| Str::from(name));
            let namespace = (self.id.namespace != namespace).then(|| Str::from(namespace));
            self.id.name = name.unwrap_or_else(|| std::mem::take(&mut self.id.name));
            self.id.namespace = namespace.unwrap_or_else(|| std::mem::take(&mut self.id.namespace));
            return;
        }
        self.id = Id::scoped(Gvk::of(api_version, kind), name.into(), namespace.into());
    }

    fn metadata(&self) -> Option<NodeId> {
        self.tree
            .get(self.tree.root(), "metadata")
            .filter(|node| !self.tree.node(*node).is_empty())
    }

    /// Every name that the object has or had, some perhaps more than once.
    pub(super) fn names(&self) -> impl Iterator<Item = &Str> {
        let before = self.previous.iter().map(|previous| &previous.name);
        before.chain([&self.id.name])
    }

    /// The oldest identity.
    pub(super) fn original(&self) -> Id {
        match self.previous.first() {
            Some(previous) => self.previous_id(previous),
            None => self.id.clone(),
        }
    }

    /// Group, version and kind of the oldest identity.
    pub(super) fn original_gvk(&self) -> Gvk {
        let kind = self.previous.first().map(|previous| &previous.kind);
        Gvk {
            group: self.id.gvk.group.clone(),
            version: self.id.gvk.version.clone(),
            kind: kind.unwrap_or(&self.id.gvk.kind).clone(),
        }
    }

    /// The namespace of the oldest identity that counts in comparisons.
    pub(super) fn original_namespace(&self) -> &str {
        match self.previous.first() {
            Some(previous) => previous.effective_namespace(),
            None => self.id.effective_namespace(),
        }
    }

    fn previous_id(&self, previous: &Previous) -> Id {
        Id {
            gvk: Gvk {
                kind: previous.kind.clone(),
                ..self.id.gvk.clone()
            },
            name: previous.name.clone(),
            namespace: previous.namespace.clone(),
            // What was outside of namespaces says so in place of one.
            cluster_scoped: false,
        }
    }

    pub(super) fn previous_ids(&self) -> impl Iterator<Item = Id> + '_ {
        self.previous
            .iter()
            .map(|previous| self.previous_id(previous))
    }

    /// All identities, the present one last.
    pub(super) fn ids(&self) -> impl Iterator<Item = Id> + '_ {
        self.previous_ids().chain([self.id.clone()])
    }

    /// Remembers the present identity.
    pub(super) fn remember(&mut self) {
        self.previous.push(Previous {
            name: self.id.name.clone(),
            namespace: self.id.effective_namespace().into(),
            kind: self.id.gvk.kind.clone(),
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.gone || self.tree.node(self.tree.root()).is_empty()
    }

    pub(super) fn set_name(&mut self, name: &str) -> Result<()> {
        let node = self.tree.add(Node::scalar(name));
        fields::set_at(&mut self.tree, &["metadata", "name"], node)
    }

    pub(super) fn set_kind(&mut self, kind: &str) -> Result<()> {
        let node = self.tree.add(Node::scalar(kind));
        fields::set_at(&mut self.tree, &["kind"], node)
    }

    pub(super) fn set_api_version(&mut self, version: &str) -> Result<()> {
        let node = self.tree.add(Node::scalar(version));
        fields::set_at(&mut self.tree, &["apiVersion"], node)
    }

    pub(super) fn set_namespace(&mut self, namespace: &str) -> Result<()> {
        if namespace.is_empty() {
            let root = self.tree.root();
            if let Some(metadata) = self.tree.get(root, "metadata") {
                self.tree.remove(metadata, "namespace");
            }
            return Ok(());
        }
        let node = self.tree.add(Node::scalar(namespace));
        fields::set_at(&mut self.tree, &["metadata", "namespace"], node)
    }

    /// The texts of a map of metadata, in the order of their keys; whatever is
    /// no text counts as what was written for it.
    pub(super) fn metadata_map(&self, field: &str) -> Vec<(Str, Str)> {
        let Some(map) = self
            .metadata()
            .and_then(|metadata| self.tree.get(metadata, field))
        else {
            return Vec::new();
        };
        self.texts(map)
    }

    /// The texts of a map at the top of the document; null is empty.
    pub(super) fn data_map(&self, field: &str) -> Vec<(Str, Str)> {
        let Some(map) = self.tree.get(self.tree.root(), field) else {
            return Vec::new();
        };
        let text = |id: NodeId| match self.tree.node(id).is_null() {
            true => Str::new(),
            false => self.tree.text(id).unwrap_or_default().into(),
        };
        let entries = self.tree.entries(map).iter();
        let mut pairs: Vec<(Str, Str)> = entries
            .map(|(key, value)| (text(*key), text(*value)))
            .collect();
        pairs.sort();
        pairs
    }

    fn texts(&self, map: NodeId) -> Vec<(Str, Str)> {
        let mut pairs: Vec<(Str, Str)> = self
            .tree
            .entries(map)
            .iter()
            .map(|(key, value)| {
                let text = |id: NodeId| self.tree.text(id).unwrap_or_default().into();
                (text(*key), text(*value))
            })
            .collect();
        pairs.sort();
        pairs
    }

    pub(super) fn annotation(&self, name: &str) -> Option<Str> {
        let metadata = self.metadata()?;
        let annotations = self.tree.get(metadata, "annotations")?;
        let value = self.tree.get(annotations, name)?;
        Some(self.tree.text(value).unwrap_or_default().into())
    }

    /// Writes a map of metadata anew, all values as text; an empty one goes.
    pub(super) fn set_metadata_map(&mut self, field: &str, pairs: &[(Str, Str)]) -> Result<()> {
        let root = self.tree.root();
        let metadata = fields::get_or_add_map(&mut self.tree, root, "metadata")?;
        self.tree.remove(metadata, field);
        if pairs.is_empty() {
            return Ok(());
        }
        let map = self.tree.add(Node::map());
        for (at, (key, value)) in pairs.iter().enumerate() {
            // Of a key that is there twice, the later counts.
            if pairs.get(at + 1).is_some_and(|(next, _)| next == key) {
                continue;
            }
            let value = self.tree.add(Node::string(value.clone()));
            fields::add_field(&mut self.tree, map, key, value, Default::default())?;
        }
        fields::set_field(&mut self.tree, metadata, field, map, Default::default())
    }

    /// Whether the object is for Kustomize only.
    pub(super) fn is_local(&self) -> bool {
        self.annotation(LOCAL_CONFIG)
            .is_some_and(|value| value != "false")
    }

    /// The document as it is written out: annotations are text, and those of
    /// the build are gone.
    pub(super) fn finish(&mut self, keep_origin: bool, keep_transformations: bool) -> Result<()> {
        let metadata = self.tree.get(self.tree.root(), "metadata");
        if metadata.is_some_and(|metadata| {
            self.tree.kind(metadata) == Kind::Map
                && self.tree.get(metadata, "annotations").is_none()
        }) {
            return Ok(());
        }
        let mut annotations = self.metadata_map("annotations");
        annotations.retain(|(key, _)| {
            !BUILD_ANNOTATIONS.contains(&key.as_str())
                && (keep_origin || key != ORIGIN)
                && (keep_transformations || key != TRANSFORMATIONS)
        });
        self.set_metadata_map("annotations", &annotations)
    }

    /// The document as a value.
    pub(super) fn to_value(&self) -> Result<Value> {
        let value = self.tree.to_value(self.tree.root());
        value.map_err(|error| self.meaningless(&error))
    }

    /// Writes what the document means.
    pub(super) fn write_to(&self, sink: &mut impl Sink) -> Result<()> {
        let written = self.tree.write_to(self.tree.root(), sink);
        written.map_err(|error| self.meaningless(&error))
    }

    fn meaningless(&self, error: &DecodeError) -> Error {
        transform(error.to_string()).at(&self.declared.file, self.declared.line)
    }

    /// The document as Kustomize prints it, for messages.
    pub(super) fn to_yaml(&self) -> Result<String> {
        yaml::to_string(&self.presentable()?).map_err(|error| transform(error.to_string()))
    }

    /// Whether the document still is one that has a name and a kind.
    pub(super) fn check_again(&self) -> Result<()> {
        match self.id.gvk.kind.is_empty() || self.id.name.is_empty() {
            true => Object::check_with(&self.tree, &self.internal_annotations()),
            false => Ok(()),
        }
    }

    /// Whether the document is one that has a name and a kind.
    pub(super) fn check(tree: &Tree) -> Result<()> {
        Object::check_with(tree, &[])
    }

    /// [`check`](Object::check); `more` are annotations that messages show.
    fn check_with(tree: &Tree, more: &[(Str, Str)]) -> Result<()> {
        let root = tree.root();
        let text = |node: Option<NodeId>| {
            node.filter(|node| !tree.node(*node).is_empty())
                .and_then(|node| tree.text(node))
                .unwrap_or_default()
        };
        let metadata = tree
            .get(root, "metadata")
            .filter(|node| !tree.node(*node).is_empty());
        let field = |name| text(metadata.and_then(|metadata| tree.get(metadata, name)));
        let kind = text(tree.get(root, "kind"));
        let api_version = text(tree.get(root, "apiVersion"));
        let (name, namespace) = (field("name"), field("namespace"));
        let map = |name: &str| {
            let map = metadata.and_then(|metadata| tree.get(metadata, name));
            let mut pairs: Vec<String> = map
                .map(|map| tree.entries(map))
                .unwrap_or_default()
                .iter()
                .map(|(key, value)| {
                    let null = tree.node(*value).is_null();
                    let value = tree.text(*value).filter(|_| !null);
                    format!(
                        "{}:{}",
                        tree.text(*key).unwrap_or_default(),
                        value.unwrap_or_default()
                    )
                })
                .collect();
            if name == "annotations" {
                pairs.extend(more.iter().map(|(key, value)| format!("{key}:{value}")));
            }
            pairs.sort();
            format!("map[{}]", pairs.join(" "))
        };
        let what = if kind.is_empty() {
            let has_any = !api_version.is_empty()
                || !name.is_empty()
                || !namespace.is_empty()
                || map("labels") != "map[]"
                || map("annotations") != "map[]";
            if !has_any {
                return Err(Error::new(ErrorKind::Parse, "missing Resource metadata"));
            }
            "kind"
        } else if kind.ends_with("List") || !name.is_empty() {
            return Ok(());
        } else {
            "metadata.name"
        };
        Err(Error::new(
            ErrorKind::Parse,
            format!(
                "missing {what} in object {{{{{api_version} {kind}}} {{{{{name} {namespace}}} {} {}}}}}",
                map("labels"),
                map("annotations")
            ),
        ))
    }
}

/// Makes a null into an empty collection, as Go does by changing its kind.
pub(super) fn make_collection(node: &mut Node, kind: Kind, tag: Tag) {
    match kind {
        Kind::Map => node.content = Content::Map(Vec::new()),
        Kind::List => node.content = Content::List(Vec::new()),
        Kind::Scalar | Kind::Alias => {}
    }
    node.tag = tag;
}
