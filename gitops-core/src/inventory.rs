//! What we own, how it is marked, and how it is recorded.
//!
//! | whose          | mark on an object                             | record            |
//! |----------------|-----------------------------------------------|-------------------|
//! | Argo CD        | the annotation [`TRACKING_ID`] or the label [`INSTANCE_LABEL`] | the marks |
//! | Flux           | the labels [`FLUX_NAME`] and [`FLUX_NAMESPACE`] | [`Inventory`]     |
//! | kubectl        | the label [`PART_OF`]                          | [`ApplySet`]      |
//!
//! Argo CD marks an object with the annotation [`TRACKING_ID`], which names
//! the application and the object itself. Because the object is named, a copy
//! that a controller makes (with all annotations) is not taken for a managed
//! one: its mark names another object. Those marks are read and written here,
//! so a cluster can be handed over in either direction.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Manifest, Map, ObjectKey, Str, Value};

/// The annotation that names the owner and the object.
pub const TRACKING_ID: &str = "argocd.argoproj.io/tracking-id";

/// The annotation that tells installations apart that share a cluster.
pub const INSTALLATION_ID: &str = "argocd.argoproj.io/installation-id";

/// The label that names the owner, where labels are used.
pub const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";

/// The label with which Flux names the Kustomization.
pub const FLUX_NAME: &str = "kustomize.toolkit.fluxcd.io/name";

/// The label with which Flux names the Kustomization's namespace.
pub const FLUX_NAMESPACE: &str = "kustomize.toolkit.fluxcd.io/namespace";

/// The label with which kubectl names the ApplySet.
pub const PART_OF: &str = "applyset.kubernetes.io/part-of";

/// A mark: which application an object belongs to, and which object it was
/// put on.
///
/// ```
/// use gitops_core::inventory::TrackingId;
/// let id: TrackingId = "shop:apps/Deployment:web/front".parse().unwrap();
/// assert_eq!(id.app, "shop");
/// assert_eq!(id.object.to_string(), "apps/Deployment:web/front");
/// assert_eq!(id.to_string(), "shop:apps/Deployment:web/front");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackingId {
    /// The application; with a namespace of its own as `namespace_name`.
    pub app: Str,
    /// The object; for a cluster-scoped one, the namespace is that of the
    /// application's destination.
    pub object: ObjectKey,
}

impl fmt::Display for TrackingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ObjectKey {
            group,
            kind,
            namespace,
            name,
        } = &self.object;
        // Unlike a displayed key, every separator is there.
        write!(f, "{}:{group}/{kind}:{namespace}/{name}", self.app)
    }
}

/// The text is no tracking id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected app:group/Kind:namespace/name, found {0:?}")]
pub struct NotATrackingId(pub String);

impl FromStr for TrackingId {
    type Err = NotATrackingId;

    fn from_str(text: &str) -> Result<Self, NotATrackingId> {
        let parts = || {
            let (app, rest) = text.split_once(':')?;
            let (kind, object) = rest.split_once(':')?;
            let (group, kind) = kind.split_once('/')?;
            // Names of roles may have colons, but no slashes.
            let (namespace, name) = object.split_once('/')?;
            Some(TrackingId {
                app: app.into(),
                object: ObjectKey {
                    group: group.into(),
                    kind: kind.into(),
                    namespace: namespace.into(),
                    name: name.into(),
                },
            })
        };
        parts().ok_or_else(|| NotATrackingId(text.to_owned()))
    }
}

/// How the objects of an application are marked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// By the annotation [`TRACKING_ID`].
    #[default]
    #[serde(rename = "annotation")]
    Annotation,
    /// By the label [`INSTANCE_LABEL`].
    #[serde(rename = "label")]
    Label,
    /// By the annotation; the label is for people.
    #[serde(rename = "annotation+label")]
    AnnotationAndLabel,
    /// By the labels of Flux; the application is `namespace_name`.
    #[serde(rename = "flux")]
    Flux,
    /// By the label of kubectl's ApplySets; the application is the set's
    /// [id](ApplySet::id).
    #[serde(rename = "applyset")]
    ApplySet,
}

/// Marks objects as one application's, and recognises them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracking {
    /// The application; with a namespace of its own as `namespace_name`.
    pub app: Str,
    /// How objects are marked.
    pub method: Method,
    /// Tells installations apart that share a cluster; may be empty.
    pub installation: Str,
}

impl Tracking {
    /// Marks by annotation, for the only installation.
    pub fn new(app: impl Into<Str>) -> Self {
        Tracking {
            app: app.into(),
            ..Tracking::default()
        }
    }

    /// Marks an object as the application's. `namespace` is that of the
    /// destination, and stands in where the object has none.
    ///
    /// A CustomResourceDefinition is not marked: what is marked is deleted
    /// when it is declared no more, and with a definition go all its objects.
    pub fn mark(&self, object: &mut Manifest, namespace: &str) {
        if is_definition(object) {
            return;
        }
        match self.method {
            Method::Flux => {
                let (namespace, name) = self.app.split_once('_').unwrap_or(("", &self.app));
                object.set_label(FLUX_NAME, name);
                object.set_label(FLUX_NAMESPACE, namespace);
                return;
            }
            Method::ApplySet => {
                object.set_label(PART_OF, self.app.clone());
                return;
            }
            _ => {}
        }
        if self.method != Method::Annotation {
            let mut label = self.app.as_str();
            if self.method == Method::AnnotationAndLabel {
                label = shortened(label);
            }
            object.set_label(INSTANCE_LABEL, label);
        }
        if self.method != Method::Label {
            let mut key = object.key().clone();
            if key.namespace.is_empty() {
                key.namespace = namespace.into();
            }
            let id = TrackingId {
                app: self.app.clone(),
                object: key,
            };
            object.set_annotation(TRACKING_ID, id.to_string());
        }
        if !self.installation.is_empty() {
            object.set_annotation(INSTALLATION_ID, self.installation.clone());
        }
    }

    /// The application that a live object belongs to, whoever that is; `None`
    /// if it is not marked, belongs to another installation, or carries the
    /// mark of another object that it was copied from.
    pub fn owner<'a>(&self, object: &'a Manifest) -> Option<Owner<'a>> {
        let installation = object.annotation(INSTALLATION_ID).unwrap_or_default();
        if installation != self.installation {
            return None;
        }
        let app = match self.method {
            Method::Label => Some(object.label(INSTANCE_LABEL)?.into()),
            Method::ApplySet => Some(object.label(PART_OF)?.into()),
            Method::Flux => {
                let (name, namespace) = (object.label(FLUX_NAME)?, object.label(FLUX_NAMESPACE)?);
                Some(Cow::Owned(format!("{namespace}_{name}")))
            }
            Method::Annotation | Method::AnnotationAndLabel => None,
        };
        if let Some(app) = app {
            return Some(Owner { app });
        }
        let text = object.annotation(TRACKING_ID)?;
        let id: TrackingId = text.parse().ok()?;
        let key = object.key();
        let itself = id.object.group == key.group
            && id.object.kind == key.kind
            && id.object.name == key.name
            && (key.namespace.is_empty() || id.object.namespace == key.namespace);
        let app = &text[..id.app.len()];
        itself.then_some(Owner { app: app.into() })
    }

    /// The label by which objects are recognised, if it is one. Unlike the
    /// annotation it does not name the object, so that a copy passes for it.
    pub fn label(&self) -> Option<&'static str> {
        match self.method {
            Method::Label => Some(INSTANCE_LABEL),
            Method::Flux => Some(FLUX_NAME),
            Method::ApplySet => Some(PART_OF),
            Method::Annotation | Method::AnnotationAndLabel => None,
        }
    }

    /// Whether a live object is marked as this application's.
    pub fn owns(&self, object: &Manifest) -> bool {
        self.owner(object)
            .is_some_and(|owner| *owner.app == *self.app)
    }
}

/// Whose an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner<'a> {
    /// The application.
    pub app: Cow<'a, str>,
}

/// What an application owns, object by object.
///
/// Marks can be copied and names used again; a uid is one object's for ever.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// The objects, and what is known of each.
    pub entries: BTreeMap<ObjectKey, Entry>,
}

/// One object of an inventory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The object's uid; empty in inventories that do not record it.
    pub uid: Str,
    /// The version of its API.
    pub version: Str,
}

/// The text is no entry of a Flux inventory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected namespace_name_group_kind, found {0:?}")]
pub struct NotAnEntry(pub String);

impl Inventory {
    /// Records an object as a server has it.
    pub fn record(&mut self, live: &Manifest) {
        let uid = live.at(&["metadata", "uid"]).and_then(|uid| uid.as_str());
        let entry = Entry {
            uid: uid.unwrap_or_default().into(),
            version: live.gvk().version.clone(),
        };
        self.entries.insert(live.key().clone(), entry);
    }

    /// Whether this very object is recorded: by its uid, or by its name where
    /// no uid is.
    pub fn records(&self, live: &Manifest) -> bool {
        let uid = live.at(&["metadata", "uid"]).and_then(|uid| uid.as_str());
        self.entries
            .get(live.key())
            .is_some_and(|entry| entry.uid.is_empty() || uid == Some(entry.uid.as_str()))
    }

    /// The inventory as a Kustomization's status has it: ids and versions,
    /// sorted by id. It has no uids.
    pub fn to_flux(&self) -> Vec<(String, Str)> {
        let mut entries: Vec<(String, Str)> = self
            .entries
            .iter()
            .map(|(key, entry)| (flux_id(key), entry.version.clone()))
            .collect();
        entries.sort();
        entries
    }

    /// The inventory as a Kustomization's `status.inventory`, with a `uid`
    /// beside the `id` and the version `v` of each entry where it is known.
    pub fn to_value(&self) -> Value {
        let mut entries: Vec<(String, &Entry)> = self
            .entries
            .iter()
            .map(|(key, entry)| (flux_id(key), entry))
            .collect();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        let entries = entries.into_iter().map(|(id, entry)| {
            let mut map = Map::from_iter([
                ("id", Value::from(id)),
                ("v", Value::from(entry.version.clone())),
            ]);
            if !entry.uid.is_empty() {
                map.insert("uid", entry.uid.clone());
            }
            Value::Map(map)
        });
        Map::from_iter([("entries", Value::from_iter(entries))]).into()
    }

    /// Reads what [`to_value`](Inventory::to_value) wrote, or the
    /// `status.inventory` of a Kustomization.
    ///
    /// # Errors
    ///
    /// [`NotAnEntry`] for the first id that is none.
    pub fn from_value(value: &Value) -> Result<Inventory, NotAnEntry> {
        let entries = value.get("entries").and_then(Value::as_list);
        let mut inventory = Inventory::default();
        for entry in entries.unwrap_or_default() {
            let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
            let read = Inventory::from_flux([(text("id"), text("v"))])?;
            for (key, mut entry) in read.entries {
                entry.uid = text("uid").into();
                inventory.entries.insert(key, entry);
            }
        }
        Ok(inventory)
    }

    /// Reads a Kustomization's inventory.
    ///
    /// # Errors
    ///
    /// [`NotAnEntry`] for the first id that is none.
    pub fn from_flux<'t>(
        entries: impl IntoIterator<Item = (&'t str, &'t str)>,
    ) -> Result<Inventory, NotAnEntry> {
        let mut inventory = Inventory::default();
        for (id, version) in entries {
            let parts = || {
                let (namespace, rest) = id.split_once('_')?;
                let (rest, kind) = rest.rsplit_once('_')?;
                let (name, group) = rest.rsplit_once('_')?;
                Some(ObjectKey {
                    group: group.into(),
                    kind: kind.into(),
                    namespace: namespace.into(),
                    name: name.replace("__", ":").into(),
                })
            };
            let key = parts().ok_or_else(|| NotAnEntry(id.to_owned()))?;
            let entry = Entry {
                uid: Str::new(),
                version: version.into(),
            };
            inventory.entries.insert(key, entry);
        }
        Ok(inventory)
    }
}

/// An object's id in a Flux inventory. The colons of roles' names are doubled
/// underscores there.
fn flux_id(key: &ObjectKey) -> String {
    let ObjectKey {
        namespace,
        name,
        group,
        kind,
    } = key;
    format!("{namespace}_{}_{group}_{kind}", name.replace(":", "__"))
}

/// A set of objects as `kubectl apply --prune --applyset` keeps it (KEP-3659):
/// a parent object says which kinds are in it and in which namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplySet {
    /// The parent: a Secret, a ConfigMap or a custom resource.
    pub parent: ObjectKey,
    /// The kinds of the members, as `Kind.group` or `Kind`.
    pub kinds: BTreeSet<Str>,
    /// The namespaces of the members beside the parent's own.
    pub namespaces: BTreeSet<Str>,
}

/// Why a parent is not ours to use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApplySetError {
    /// Its id is that of another object: it was copied.
    #[error("{parent} has the id of another ApplySet")]
    WrongId {
        /// The parent.
        parent: Box<ObjectKey>,
    },
    /// Another program keeps the set.
    #[error("{parent} is kept by {tooling}")]
    OtherTool {
        /// The parent.
        parent: Box<ObjectKey>,
        /// The program.
        tooling: String,
    },
}

impl ApplySet {
    /// The label of a parent that holds the set's [id](ApplySet::id).
    pub const ID: &str = "applyset.kubernetes.io/id";
    const TOOLING: &str = "applyset.kubernetes.io/tooling";
    const KINDS: &str = "applyset.kubernetes.io/contains-group-kinds";
    const NAMESPACES: &str = "applyset.kubernetes.io/additional-namespaces";

    /// A set without members.
    pub fn new(parent: ObjectKey) -> Self {
        ApplySet {
            parent,
            kinds: BTreeSet::new(),
            namespaces: BTreeSet::new(),
        }
    }

    /// The id by which members name the set.
    ///
    /// ```
    /// use gitops_core::{ObjectKey, inventory::ApplySet};
    /// let parent = ObjectKey {
    ///     group: "".into(),
    ///     kind: "Secret".into(),
    ///     namespace: "test".into(),
    ///     name: "my-set".into(),
    /// };
    /// assert_eq!(
    ///     ApplySet::new(parent).id(),
    ///     "applyset-0eFHV8ySqp7XoShsGvyWFQD3s96yqwHmzc4e0HR1dsY-v1"
    /// );
    /// ```
    pub fn id(&self) -> String {
        use base64::Engine as _;
        use base64::prelude::BASE64_URL_SAFE_NO_PAD;
        use sha2::{Digest as _, Sha256};
        let ObjectKey {
            group,
            kind,
            namespace,
            name,
        } = &self.parent;
        let digest = Sha256::digest(format!("{name}.{namespace}.{kind}.{group}"));
        format!("applyset-{}-v1", BASE64_URL_SAFE_NO_PAD.encode(digest))
    }

    /// Takes up a member.
    pub fn add(&mut self, member: &ObjectKey) {
        self.kinds.insert(match member.group.as_str() {
            "" => member.kind.clone(),
            group => ecow::eco_format!("{}.{group}", member.kind),
        });
        if !member.namespace.is_empty() && member.namespace != self.parent.namespace {
            self.namespaces.insert(member.namespace.clone());
        }
    }

    /// Marks the parent, as `tooling` (`kubectl/v1.36`).
    pub fn mark_parent(&self, parent: &mut Manifest, tooling: &str) {
        let list = |set: &BTreeSet<Str>| {
            let words: Vec<&str> = set.iter().map(Str::as_str).collect();
            words.join(",")
        };
        parent.set_label(Self::ID, self.id());
        parent.set_annotation(Self::TOOLING, tooling);
        parent.set_annotation(Self::KINDS, list(&self.kinds));
        parent.set_annotation(Self::NAMESPACES, list(&self.namespaces));
    }

    /// Reads a parent as a server has it; an object that is no parent yet is
    /// one of an empty set.
    ///
    /// # Errors
    ///
    /// [`ApplySetError`] if it is another program's, or a copy.
    pub fn read(parent: &Manifest, tooling: &str) -> Result<ApplySet, ApplySetError> {
        let mut set = ApplySet::new(parent.key().clone());
        let Some(id) = parent.label(Self::ID) else {
            return Ok(set);
        };
        let named = || Box::new(parent.key().clone());
        if id != set.id() {
            return Err(ApplySetError::WrongId { parent: named() });
        }
        let tool = |text: &str| -> String { text.split('/').next().unwrap_or(text).to_owned() };
        let theirs = parent.annotation(Self::TOOLING).unwrap_or_default();
        if tool(theirs) != tool(tooling) {
            return Err(ApplySetError::OtherTool {
                parent: named(),
                tooling: theirs.to_owned(),
            });
        }
        let words = |name: &str| -> BTreeSet<Str> {
            let text = parent.annotation(name).unwrap_or_default();
            let words = text.split(',').filter(|word| !word.is_empty());
            words.map(Str::from).collect()
        };
        set.kinds = words(Self::KINDS);
        set.namespaces = words(Self::NAMESPACES);
        Ok(set)
    }
}

/// Whether the object is a CustomResourceDefinition.
pub fn is_definition(object: &Manifest) -> bool {
    let key = object.key();
    key.kind == "CustomResourceDefinition" && key.group == "apiextensions.k8s.io"
}

/// As much of a text as a label value may hold, ending in a letter or digit.
fn shortened(text: &str) -> &str {
    const LONGEST: usize = 63;
    let end = text.len().min(LONGEST);
    let end = (0..=end).rev().find(|&end| text.is_char_boundary(end));
    text[..end.unwrap_or(0)].trim_end_matches(|c: char| !c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Origin;

    fn object(kind: (&str, &str), namespace: &str, name: &str) -> Manifest {
        let mut metadata = Map::from_iter([("name", name)]);
        if !namespace.is_empty() {
            metadata.insert("namespace", namespace);
        }
        let object = Map::from_iter([
            ("apiVersion", Value::from(kind.0)),
            ("kind", Value::from(kind.1)),
            ("metadata", Value::Map(metadata)),
        ]);
        Manifest::new(Value::Map(object), Origin::default()).expect("whole")
    }

    #[test]
    fn a_marked_object_is_recognised_and_its_copy_is_not() {
        let tracking = Tracking::new("shop");
        let mut front = object(("apps/v1", "Deployment"), "web", "front");
        tracking.mark(&mut front, "web");
        assert!(tracking.owns(&front));
        assert!(!Tracking::new("other").owns(&front));
        let mut copy = object(("apps/v1", "Deployment"), "web", "copy");
        copy.set_annotation(TRACKING_ID, front.annotation(TRACKING_ID).expect("marked"));
        assert_eq!(tracking.owner(&copy), None);
    }

    #[test]
    fn a_recorded_object_is_known_by_its_uid() {
        let with_uid = |uid: &str| {
            let mut front = object(("apps/v1", "Deployment"), "web", "front");
            front
                .edit(|value| {
                    let map = value.as_map_mut().and_then(|map| map.get_mut("metadata"));
                    let map = map.and_then(Value::as_map_mut);
                    map.expect("it has metadata").insert("uid", uid);
                })
                .expect("a uid is no name");
            front
        };
        let mut inventory = Inventory::default();
        inventory.record(&with_uid("1"));
        assert!(inventory.records(&with_uid("1")));
        assert!(!inventory.records(&with_uid("2")));
        let role = ("rbac.authorization.k8s.io/v1", "ClusterRole");
        inventory.record(&object(role, "", "system:shop"));
        let flux = inventory.to_flux();
        let ids: Vec<&str> = flux.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(
            ids,
            [
                "_system__shop_rbac.authorization.k8s.io_ClusterRole",
                "web_front_apps_Deployment"
            ]
        );
        let read = flux
            .iter()
            .map(|(id, version)| (id.as_str(), version.as_str()));
        let read = Inventory::from_flux(read).expect("just written");
        let whole = Inventory::from_value(&inventory.to_value());
        assert_eq!(whole.as_ref(), Ok(&inventory));
        // Without uids, names have to do.
        assert!(read.records(&with_uid("2")));
        assert!(Inventory::from_flux([("nothing", "v1")]).is_err());
    }

    #[test]
    fn marks_of_flux_and_kubectl_are_recognised() {
        for (method, app) in [
            (Method::Flux, "flux-system_shop"),
            (Method::ApplySet, "applyset-x-v1"),
        ] {
            let tracking = Tracking {
                method,
                ..Tracking::new(app)
            };
            let mut front = object(("apps/v1", "Deployment"), "web", "front");
            tracking.mark(&mut front, "web");
            assert!(tracking.owns(&front) && front.annotation(TRACKING_ID).is_none());
        }
    }

    #[test]
    fn a_parent_tells_what_is_in_its_set() {
        let mut parent = object(("v1", "Secret"), "web", "set");
        let mut set = ApplySet::read(&parent, "gitops/1").expect("no parent yet");
        set.add(object(("apps/v1", "Deployment"), "other", "front").key());
        set.add(object(("v1", "ConfigMap"), "web", "m").key());
        set.mark_parent(&mut parent, "gitops/1");
        assert_eq!(ApplySet::read(&parent, "gitops/2"), Ok(set));
        let error = ApplySet::read(&parent, "kubectl/v1.36").expect_err("another program's");
        assert_eq!(error.to_string(), "Secret:web/set is kept by gitops/1");
        parent.set_label("applyset.kubernetes.io/id", "applyset-copied-v1");
        assert!(ApplySet::read(&parent, "gitops/1").is_err());
    }

    #[test]
    fn cluster_scoped_objects_are_marked_with_the_destination() {
        let tracking = Tracking::new("shop");
        let kind = ("rbac.authorization.k8s.io/v1", "ClusterRole");
        let mut role = object(kind, "", "system:shop");
        tracking.mark(&mut role, "web");
        assert_eq!(
            role.annotation(TRACKING_ID),
            Some("shop:rbac.authorization.k8s.io/ClusterRole:web/system:shop")
        );
        assert!(tracking.owns(&role));
    }

    #[test]
    fn definitions_are_never_marked() {
        let kind = ("apiextensions.k8s.io/v1", "CustomResourceDefinition");
        let mut definition = object(kind, "", "things.example.com");
        Tracking::new("shop").mark(&mut definition, "web");
        assert_eq!(definition.annotation(TRACKING_ID), None);
    }

    #[test]
    fn labels_are_cut_to_what_a_label_holds() {
        let app = format!("{}-.-x", "a".repeat(60));
        let tracking = Tracking {
            method: Method::AnnotationAndLabel,
            ..Tracking::new(app.as_str())
        };
        let mut map = object(("v1", "ConfigMap"), "web", "m");
        tracking.mark(&mut map, "web");
        assert_eq!(map.label(INSTANCE_LABEL), Some("a".repeat(60).as_str()));
        assert!(tracking.owns(&map));
    }
}
