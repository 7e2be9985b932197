//! Who an object is: kyaml's `resid`.

use std::fmt;
use std::hash::Hasher;

use gitops_core::{Str, Value};

use super::schema;

/// Group, version and kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Gvk {
    pub(super) group: Str,
    pub(super) version: Str,
    pub(super) kind: Str,
}

impl Gvk {
    pub(super) fn of(api_version: &str, kind: &str) -> Self {
        let (group, version) = split_api_version(api_version);
        Gvk {
            group: group.into(),
            version: version.into(),
            kind: kind.into(),
        }
    }

    pub(super) fn api_version(&self) -> Str {
        match self.group.is_empty() {
            true => self.version.clone(),
            false => [&self.group, "/", &self.version].into_iter().collect(),
        }
    }

    /// Whether the parts of `selector` that are not empty are the same here.
    pub(super) fn is_selected(&self, selector: &Gvk) -> bool {
        let fits = |part: &Str, have: &Str| part.is_empty() || part == have;
        fits(&selector.group, &self.group)
            && fits(&selector.version, &self.version)
            && fits(&selector.kind, &self.kind)
    }
}

impl fmt::Display for Gvk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or = |text: &Str, other: &str| match text.is_empty() {
            true => Str::from(other),
            false => text.clone(),
        };
        write!(
            f,
            "{}.{}.{}",
            or(&self.kind, "[noKind]"),
            or(&self.version, "[noVer]"),
            or(&self.group, "[noGrp]")
        )
    }
}

pub(super) fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// An object's identity.
#[derive(Clone, Debug, Default)]
pub(super) struct Id {
    pub(super) gvk: Gvk,
    pub(super) name: Str,
    /// As it is written; empty if it is not.
    pub(super) namespace: Str,
    /// Whether the kind is known to live outside of namespaces.
    pub(super) cluster_scoped: bool,
}

impl Id {
    /// The identity of an object of the output.
    pub(super) fn of(object: &Value) -> Self {
        let text = |path: &[&str]| object.at(path).and_then(Value::as_str).unwrap_or_default();
        let gvk = Gvk::of(text(&["apiVersion"]), text(&["kind"]));
        let (name, namespace) = (
            text(&["metadata", "name"]),
            text(&["metadata", "namespace"]),
        );
        Id::scoped(gvk, name.into(), namespace.into())
    }

    /// The identity of an object, whose scope the built-in table knows.
    pub(super) fn scoped(gvk: Gvk, name: Str, namespace: Str) -> Self {
        let cluster_scoped = schema::is_cluster_scoped(&gvk.api_version(), &gvk.kind);
        Id {
            gvk,
            name,
            namespace,
            cluster_scoped,
        }
    }

    /// The namespace that counts in comparisons.
    pub(super) fn effective_namespace(&self) -> &str {
        if self.cluster_scoped {
            "_non_namespaceable_"
        } else if self.namespace.is_empty() {
            "default"
        } else {
            &self.namespace
        }
    }

    pub(super) fn same_namespace(&self, other: &Id) -> bool {
        self.effective_namespace() == other.effective_namespace()
    }

    /// Whether both are the same object.
    pub(super) fn same(&self, other: &Id) -> bool {
        self.name == other.name && self.gvk == other.gvk && self.same_namespace(other)
    }

    /// What [`same`](Id::same) compares, hashed.
    pub(super) fn hash_into(&self, state: &mut impl Hasher) {
        let namespace = self.effective_namespace();
        hash_parts(&self.gvk, &self.gvk.kind, &self.name, namespace, state);
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.name.is_empty() {
            true => "[noName]",
            false => &self.name,
        };
        let namespace = match self.namespace.is_empty() {
            true => "[noNs]",
            false => &self.namespace,
        };
        write!(f, "{}/{name}.{namespace}", self.gvk)
    }
}

/// The hash of an identity that is like one of `gvk` but for its kind.
pub(super) fn hash_parts(
    gvk: &Gvk,
    kind: &str,
    name: &str,
    effective_namespace: &str,
    state: &mut impl Hasher,
) {
    // The hasher takes in how long each part is.
    for part in [kind, &gvk.group, &gvk.version, name, effective_namespace] {
        state.write(part.as_bytes());
    }
}
