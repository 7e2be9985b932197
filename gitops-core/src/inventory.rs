//! What we own, and how it is marked.
//!
//! Argo CD marks an object with the annotation [`TRACKING_ID`], which names
//! the application and the object itself. Because the object is named, a copy
//! that a controller makes (with all annotations) is not taken for a managed
//! one: its mark names another object. Those marks are read and written here,
//! so a cluster can be handed over in either direction.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Manifest, ObjectKey, Str};

/// The annotation that names the owner and the object.
pub const TRACKING_ID: &str = "argocd.argoproj.io/tracking-id";

/// The annotation that tells installations apart that share a cluster.
pub const INSTALLATION_ID: &str = "argocd.argoproj.io/installation-id";

/// The label that names the owner, where labels are used.
pub const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";

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
        if self.method == Method::Label {
            let app = object.label(INSTANCE_LABEL)?;
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
        itself.then_some(Owner { app })
    }

    /// Whether a live object is marked as this application's.
    pub fn owns(&self, object: &Manifest) -> bool {
        self.owner(object)
            .is_some_and(|owner| owner.app == self.app)
    }
}

/// Whose an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner<'a> {
    /// The application.
    pub app: &'a str,
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
    use crate::{Map, Origin, Value};

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
