//! What a chart may ask the cluster while it renders, and what it asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use gitops_core::{Manifest, Map, Str, Value};

use super::seed::Seed;

/// Objects that `lookup` finds.
///
/// [`Snapshot`] is such a cluster. A live one is whatever the embedder has: a
/// client, a cache that watches. A render asks from the thread it runs on and
/// waits; equal questions of one render are asked once.
pub trait Objects: fmt::Debug + Send + Sync {
    /// The object, or the list of objects if the query has no name; `None` if
    /// there is none. Its integers are integers, as a cluster's are.
    ///
    /// # Errors
    ///
    /// The text that the template fails with, behind `error calling lookup: `.
    fn lookup(&self, query: &Query) -> Result<Option<Map>, String>;
}

/// The arguments of a call of `lookup`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Query {
    /// `apps/v1`
    pub api_version: Str,
    /// `Deployment`
    pub kind: Str,
    /// The namespace; empty for objects that have none, and in a list for all.
    pub namespace: Str,
    /// The name; empty for a list.
    pub name: Str,
}

/// A cluster as it was: some objects in memory.
///
/// A list of a kind that it has none of is empty, and not absent, as of a
/// server that knows the kind.
#[derive(Clone, Default)]
pub struct Snapshot {
    objects: BTreeMap<Query, Map>,
}

impl fmt::Debug for Snapshot {
    /// The names only: the objects may be Secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.objects.keys()).finish()
    }
}

impl Snapshot {
    /// A snapshot of these objects; of two with one identity the last counts.
    pub fn new(objects: impl IntoIterator<Item = Manifest>) -> Self {
        let key = |object: &Manifest| Query {
            api_version: object
                .object()
                .get("apiVersion")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .into(),
            kind: object.gvk().kind.clone(),
            namespace: object.namespace().into(),
            name: object.name().into(),
        };
        Snapshot {
            objects: objects
                .into_iter()
                .map(|object| (key(&object), object.object().clone()))
                .collect(),
        }
    }
}

impl Objects for Snapshot {
    fn lookup(&self, query: &Query) -> Result<Option<Map>, String> {
        if !query.name.is_empty() {
            // The namespace of an object that has none is not looked at.
            let alone = Query {
                namespace: Str::new(),
                ..query.clone()
            };
            let found = self.objects.get(query).or_else(|| self.objects.get(&alone));
            return Ok(found.cloned());
        }
        let items = self.objects.iter().filter(|(key, _)| {
            let here = query.namespace.is_empty()
                || key.namespace.is_empty()
                || key.namespace == query.namespace;
            here && key.api_version == query.api_version && key.kind == query.kind
        });
        let items: gitops_core::List = items
            .map(|(_, object)| Value::Map(object.clone()))
            .collect();
        let version: Map = [("resourceVersion", Value::from(""))].into_iter().collect();
        let list = [
            ("apiVersion", Value::from(query.api_version.clone())),
            ("items", Value::List(items)),
            ("kind", Value::from(ecow::eco_format!("{}List", query.kind))),
            ("metadata", Value::Map(version)),
        ];
        Ok(Some(list.into_iter().collect()))
    }
}

/// What a render asked beside the chart and its values, with the answers.
/// While they are the same, so is the render.
#[derive(Clone, Default, PartialEq)]
pub struct Inputs {
    /// Every question to `lookup` and its answer; `None` if nothing was found.
    pub lookups: BTreeMap<Query, Option<Map>>,
    /// Every question to `.Capabilities.APIVersions.Has` and its answer.
    pub api_versions: BTreeMap<Str, bool>,
    /// Whether the list of API versions was read as a whole.
    pub all_api_versions: bool,
    /// Whether the Kubernetes version was read.
    pub kube_version: bool,
    /// The hosts that `getHostByName` was asked for.
    pub hosts: BTreeSet<Str>,
    /// Whether the time was read.
    pub clock: bool,
    /// Whether random numbers were drawn.
    pub random: bool,
}

impl Inputs {
    /// Adds what another part of the render asked.
    pub(super) fn absorb(&mut self, other: &Inputs) {
        let lookups = &other.lookups;
        self.lookups.extend(
            lookups
                .iter()
                .map(|(query, found)| (query.clone(), found.clone())),
        );
        let versions = &other.api_versions;
        self.api_versions.extend(
            versions
                .iter()
                .map(|(version, has)| (version.clone(), *has)),
        );
        self.all_api_versions |= other.all_api_versions;
        self.kube_version |= other.kube_version;
        self.hosts.extend(other.hosts.iter().cloned());
        self.clock |= other.clock;
        self.random |= other.random;
    }

    /// Whether answers may be others next time, of the same chart with the same
    /// options.
    pub(crate) fn is_volatile(&self, seed: Seed, has_cluster: bool) -> bool {
        let drew = self.clock || self.random;
        drew && seed == Seed::System || has_cluster && !self.lookups.is_empty()
    }
}

impl fmt::Debug for Inputs {
    /// Without the answers of `lookup`: they may be Secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lookups: BTreeSet<&Query> = self.lookups.keys().collect();
        f.debug_struct("Inputs")
            .field("lookups", &lookups)
            .field("api_versions", &self.api_versions)
            .field("all_api_versions", &self.all_api_versions)
            .field("kube_version", &self.kube_version)
            .field("hosts", &self.hosts)
            .field("clock", &self.clock)
            .field("random", &self.random)
            .finish()
    }
}
