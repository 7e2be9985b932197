//! Which kinds a server serves, and under which paths.

use std::collections::BTreeMap;

use gitops_core::{Gvk, Str, Value};
use serde::Serialize;

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

/// Reads an `APIGroupDiscoveryList` (`apidiscovery.k8s.io/v2`): all groups,
/// versions and kinds in one answer.
pub(crate) fn read_aggregated(answer: &Value, kinds: &mut Kinds) {
    for group in items(answer, "items") {
        let name = str_at(group, &["metadata", "name"]);
        for version in items(group, "versions") {
            let version_name = str_at(version, &["version"]);
            let api_version = api_version(name, version_name);
            if str_at(version, &["freshness"]) == "Stale" {
                kinds.incomplete.push(api_version.clone());
            }
            kinds.add_version(api_version);
            for resource in items(version, "resources") {
                // A kind that is only a subresource has no path of its own.
                let kind = str_at(resource, &["responseKind", "kind"]);
                if kind.is_empty() {
                    continue;
                }
                kinds.add(Kind {
                    gvk: Gvk {
                        group: name.into(),
                        version: version_name.into(),
                        kind: kind.into(),
                    },
                    plural: str_at(resource, &["resource"]).into(),
                    namespaced: str_at(resource, &["scope"]) == "Namespaced",
                    verbs: verbs(resource),
                });
            }
        }
    }
}

/// The group versions of an `APIGroupList`, each group's preferred one first.
pub(crate) fn read_groups(answer: &Value) -> Vec<Str> {
    let mut versions = Vec::new();
    for group in items(answer, "groups") {
        let preferred = str_at(group, &["preferredVersion", "groupVersion"]);
        let served = items(group, "versions").iter();
        let served = served.map(|version| str_at(version, &["groupVersion"]));
        let first = (!preferred.is_empty()).then_some(preferred);
        versions.extend(
            first
                .into_iter()
                .chain(served.filter(|version| *version != preferred))
                .map(Str::from),
        );
    }
    versions
}

/// Reads an `APIResourceList`: the kinds of one group version.
pub(crate) fn read_resources(api_version: &str, answer: &Value, kinds: &mut Kinds) {
    kinds.add_version(api_version.into());
    for resource in items(answer, "resources") {
        let plural = str_at(resource, &["name"]);
        if plural.contains('/') {
            continue;
        }
        let mut gvk = Gvk::parse(api_version, str_at(resource, &["kind"]));
        // A list may serve kinds of another group; autoscaling's Scale does.
        if let Some(group) = resource.get("group").and_then(Value::as_str)
            && !group.is_empty()
        {
            gvk.group = group.into();
        }
        kinds.add(Kind {
            gvk,
            plural: plural.into(),
            namespaced: resource.get("namespaced").and_then(Value::as_bool) == Some(true),
            verbs: verbs(resource),
        });
    }
}

fn api_version(group: &str, version: &str) -> Str {
    if group.is_empty() {
        version.into()
    } else {
        ecow::eco_format!("{group}/{version}")
    }
}

fn verbs(resource: &Value) -> Vec<Str> {
    items(resource, "verbs")
        .iter()
        .filter_map(|verb| verb.as_str().map(Str::from))
        .collect()
}

fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_list).unwrap_or_default()
}

fn str_at<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    value.at(path).and_then(Value::as_str).unwrap_or_default()
}
