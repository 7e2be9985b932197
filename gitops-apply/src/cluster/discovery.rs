//! Which kinds a server serves, and under which paths.

use std::collections::BTreeMap;

use gitops_core::{Gvk, Str};
use serde::Serialize;

#[cfg(feature = "kube")]
pub(crate) mod read;

/// One kind in one version, as the server serves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kind {
    /// Group, version and kind.
    pub gvk: Gvk,
    /// The kind's name in paths: `deployments`.
    pub plural: Str,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// What can be done with it: `get`, `list`, `patch`, `watch`, …
    pub verbs: Vec<Str>,
}

impl Kind {
    /// Whether the server lets this be done with the kind at all.
    pub fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|have| have == verb)
    }
}

/// All kinds that a server serves.
///
/// Lookups are by group and kind; versions come in the server's order of
/// preference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Kinds {
    /// The server's version: `v1.36.3`.
    pub server_version: Str,
    /// Group versions whose kinds may be out of date or missing, because the
    /// server behind them does not answer.
    pub incomplete: Vec<Str>,
    /// Group and version pairs in the server's order: `v1`, `apps/v1`.
    versions: Vec<Str>,
    #[serde(serialize_with = "flat")]
    kinds: BTreeMap<(Str, Str), Vec<Kind>>,
}

impl Kinds {
    /// The given kinds; of those that differ only in their version, the first
    /// is preferred.
    pub fn new(server_version: impl Into<Str>, kinds: impl IntoIterator<Item = Kind>) -> Self {
        let mut found = Kinds {
            server_version: server_version.into(),
            ..Kinds::default()
        };
        for kind in kinds {
            found.add(kind);
        }
        found
    }

    /// Takes up one more kind; an equal one (by group, version and kind) is
    /// replaced.
    pub fn add(&mut self, kind: Kind) {
        let version = kind.gvk.api_version();
        if !self.versions.contains(&version) {
            self.versions.push(version);
        }
        let served = self
            .kinds
            .entry((kind.gvk.group.clone(), kind.gvk.kind.clone()))
            .or_default();
        match served.iter_mut().find(|have| have.gvk == kind.gvk) {
            Some(have) => *have = kind,
            None => served.push(kind),
        }
    }

    /// Forgets a kind in one version.
    pub(crate) fn remove(&mut self, gvk: &Gvk) {
        let key = (gvk.group.clone(), gvk.kind.clone());
        if let Some(served) = self.kinds.get_mut(&key) {
            served.retain(|have| have.gvk != *gvk);
            if served.is_empty() {
                self.kinds.remove(&key);
            }
        }
        let version = gvk.api_version();
        if !self.all().any(|kind| kind.gvk.api_version() == version) {
            self.versions.retain(|have| *have != version);
        }
    }

    /// A kind in exactly this version, or in the preferred one if the version
    /// is empty.
    pub fn find(&self, group: &str, version: &str, kind: &str) -> Option<&Kind> {
        let served = self.kinds.get(&(group.into(), kind.into()))?;
        match version {
            "" => served.first(),
            _ => served.iter().find(|have| have.gvk.version == version),
        }
    }

    /// A kind in exactly this version.
    pub fn of(&self, gvk: &Gvk) -> Option<&Kind> {
        self.find(&gvk.group, &gvk.version, &gvk.kind)
    }

    /// Whether the kind's objects live in namespaces, in whatever version;
    /// `None` if the server has no such kind.
    pub fn is_namespaced(&self, group: &str, kind: &str) -> Option<bool> {
        self.find(group, "", kind).map(|kind| kind.namespaced)
    }

    /// Every kind once, in its preferred version, sorted by group and kind.
    pub fn preferred(&self) -> impl Iterator<Item = &Kind> {
        self.kinds.values().filter_map(|served| served.first())
    }

    /// Every kind in every version, sorted by group and kind.
    pub fn all(&self) -> impl Iterator<Item = &Kind> {
        self.kinds.values().flatten()
    }

    /// What Helm calls `.Capabilities.APIVersions`: every group and version,
    /// and every kind in it, sorted: `apps/v1`, `apps/v1/Deployment`.
    pub fn api_versions(&self) -> Vec<Str> {
        let kinds = self
            .all()
            .map(|kind| ecow::eco_format!("{}/{}", kind.gvk.api_version(), kind.gvk.kind));
        let mut versions: Vec<Str> = self.versions.iter().cloned().chain(kinds).collect();
        versions.sort();
        versions.dedup();
        versions
    }

    /// Notes a group and version that may have no kinds of its own.
    #[cfg(feature = "kube")]
    pub(crate) fn add_version(&mut self, api_version: Str) {
        if !self.versions.contains(&api_version) {
            self.versions.push(api_version);
        }
    }
}

fn flat<S: serde::Serializer>(
    kinds: &BTreeMap<(Str, Str), Vec<Kind>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(kinds.values().flatten())
}
