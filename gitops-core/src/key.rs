//! How Kubernetes objects and their types are named.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Str;

/// Group, version and kind of an object: its `apiVersion` and `kind`, taken
/// apart.
///
/// ```
/// use gitops_core::Gvk;
/// let gvk = Gvk::parse("apps/v1", "Deployment");
/// assert_eq!((gvk.group.as_str(), gvk.version.as_str()), ("apps", "v1"));
/// assert_eq!(gvk.api_version(), "apps/v1");
/// assert_eq!(gvk.to_string(), "apps/v1/Deployment");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Gvk {
    /// The API group; empty for the core group.
    pub group: Str,
    /// The version within the group, such as `v1`.
    pub version: Str,
    /// The kind, such as `Deployment`.
    pub kind: Str,
}

impl Gvk {
    /// Takes `apiVersion` apart: what stands before the slash is the group.
    pub fn parse(api_version: &str, kind: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Gvk {
            group: group.into(),
            version: version.into(),
            kind: kind.into(),
        }
    }

    /// The `apiVersion` text: `apps/v1`, or `v1` in the core group.
    pub fn api_version(&self) -> Str {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            ecow::eco_format!("{}/{}", self.group, self.version)
        }
    }
}

impl fmt::Display for Gvk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.group.is_empty() {
            write!(f, "{}/", self.group)?;
        }
        write!(f, "{}/{}", self.version, self.kind)
    }
}

/// Which object is meant, whatever version it is written in.
///
/// Two manifests with equal keys describe the same object; the API version is
/// left out, so that moving from `v1beta1` to `v1` is no delete and create.
/// Displayed as `group/Kind:namespace/name`, the form that Argo CD uses in
/// tracking ids and messages, without the parts that are empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    /// The API group; empty for the core group.
    pub group: Str,
    /// The kind, such as `Deployment`.
    pub kind: Str,
    /// The namespace; empty for cluster-scoped objects, and for objects whose
    /// namespace is not decided yet.
    pub namespace: Str,
    /// The object's name.
    pub name: Str,
}

impl ObjectKey {
    /// The key with its namespace exchanged.
    pub fn in_namespace(&self, namespace: &str) -> Self {
        ObjectKey {
            namespace: namespace.into(),
            ..self.clone()
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.group.is_empty() {
            write!(f, "{}/", self.group)?;
        }
        write!(f, "{}:", self.kind)?;
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}
