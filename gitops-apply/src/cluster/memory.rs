//! An API server within the process.
//!
//! A real implementation, not a recording: objects have uids, versions and
//! generations; server-side apply goes through `gitops_diff`, with owners and
//! conflicts; defaults are filled in; finalizers and owners hold deletion up;
//! watches resume. A test that passes here should pass on a server, and where
//! it is not clear what a server would do, this one refuses.
//!
//! It does not simulate:
//!
//! - conversion: every built-in kind is served in one version, and versions of
//!   a custom resource differ only in name;
//! - admission: no webhooks, policies, quotas or service account tokens;
//! - authorisation: everybody may do everything;
//! - validation beyond the schema, names, and the fields that people get wrong
//!   most often; of a custom resource's schema neither patterns and formats nor
//!   `allOf` and its like, nor CEL rules;
//! - what servers do for the manager `kubectl` alone: they rewrite its
//!   last-applied annotation;
//! - subresources other than `status`;
//! - controllers, unless [`MemoryOptions::simulate`] is set, and then only
//!   their effect on `status`: a Deployment becomes available, but there are
//!   no ReplicaSets and Pods below it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream;
use gitops_core::schema::Schemas;
use gitops_core::selector::Selector;
use gitops_core::{Gvk, Manifest, Map, ObjectKey, Origin, Str, Value, inventory};
use gitops_diff::patch::merge::merge;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Cluster, ClusterError, Deletion, Kinds, Listing, Selection, Watch, WatchEvent, Write};

mod admission;
mod definitions;
mod deletion;
mod kinds;
mod refusals;
mod simulate;
mod watching;

use refusals::{invalid, not_found};
use watching::{Watched, Watching};

/// What kind of server it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryOptions {
    /// The version that it says it has.
    pub server_version: Str,
    /// If set, what controllers would do to `status` is done after this time.
    pub simulate: Option<Duration>,
    /// How many events are remembered for watches.
    pub history: usize,
    /// How often a watch without events is told how far it has come.
    pub bookmarks: Duration,
    /// How long a watch lasts.
    pub watch: Duration,
    /// The time at its start; it goes on with tokio's clock.
    pub now: Timestamp,
}

impl Default for MemoryOptions {
    /// Kubernetes 1.36.3 without controllers, in the year 1970.
    fn default() -> Self {
        MemoryOptions {
            server_version: "v1.36.3".into(),
            simulate: None,
            history: 1024,
            bookmarks: Duration::from_secs(60),
            watch: Duration::from_secs(300),
            now: Timestamp::UNIX_EPOCH,
        }
    }
}

/// A request, as a [fault](MemoryCluster::inject) sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// How many requests came before it.
    pub number: u64,
    /// `get`, `list`, `apply`, `create`, `replace`, `patch`, `delete`, `watch`
    /// or `discover`.
    pub verb: &'static str,
    /// The kind; empty for `discover`.
    pub kind: &'a str,
    /// The object's name; empty if it is about none.
    pub name: &'a str,
    /// Whether it only asks what would happen.
    pub dry_run: bool,
}

/// What goes wrong with a request.
#[derive(Debug)]
pub enum Fault {
    /// The server does nothing and answers this.
    Refuse(ClusterError),
    /// The server does it, but this arrives instead of the answer.
    Lose(ClusterError),
}

type Injector = Box<dyn FnMut(&Request<'_>) -> Option<Fault> + Send>;

/// An API server in memory. Clones are the same server.
///
/// ```
/// use gitops_apply::cluster::{Cluster, Write, memory::{MemoryCluster, MemoryOptions}};
/// use gitops_core::{Manifest, Map, Origin, Value};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let cluster = MemoryCluster::new(MemoryOptions::default());
/// let map = Map::from_iter([
///     ("apiVersion", Value::from("v1")),
///     ("kind", Value::from("ConfigMap")),
///     ("metadata", Map::from_iter([("name", "m"), ("namespace", "default")]).into()),
/// ]);
/// let map = Manifest::new(map.into(), Origin::default())?;
/// let live = cluster.apply(&map, &Write::by("me")).await?;
/// assert!(live.at(&["metadata", "uid"]).is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct MemoryCluster(Arc<Inner>);

struct Inner {
    options: MemoryOptions,
    begun: Instant,
    state: Mutex<State>,
    /// The revision, for watches to wait on.
    revision: watch::Sender<u64>,
    faults: Mutex<(u64, Option<Injector>)>,
}

impl std::fmt::Debug for MemoryCluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryCluster")
            .field("options", &self.0.options)
            .finish_non_exhaustive()
    }
}

/// Where an object is kept: group, kind, namespace, name.
type Key = (Str, Str, Str, Str);

fn key_of(key: &ObjectKey) -> Key {
    (
        key.group.clone(),
        key.kind.clone(),
        key.namespace.clone(),
        key.name.clone(),
    )
}

struct State {
    kinds: Arc<Kinds>,
    /// Groups and versions whose server does not answer.
    silent: BTreeSet<Str>,
    schemas: Schemas,
    objects: BTreeMap<Key, Manifest>,
    revision: u64,
    made: u64,
    log: VecDeque<Logged>,
    /// What controllers will do, by the time at which they do it.
    due: BTreeMap<(Instant, u64), simulate::Step>,
}

/// An event as watches see it; which kind of event it is to one of them
/// depends on its selector.
#[derive(Clone)]
struct Logged {
    revision: u64,
    before: Option<Manifest>,
    after: Option<Manifest>,
}

impl MemoryCluster {
    /// An empty cluster, with the namespaces that every cluster has.
    pub fn new(options: MemoryOptions) -> Self {
        let state = State {
            kinds: Arc::new(kinds::built_in(&options.server_version)),
            silent: BTreeSet::new(),
            schemas: Schemas::new(),
            objects: BTreeMap::new(),
            revision: 0,
            made: 0,
            log: VecDeque::new(),
            due: BTreeMap::new(),
        };
        let cluster = MemoryCluster(Arc::new(Inner {
            begun: Instant::now(),
            state: Mutex::new(state),
            revision: watch::Sender::new(0),
            faults: Mutex::new((0, None)),
            options,
        }));
        for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
            let namespace = Map::from_iter([
                ("apiVersion", Value::from("v1")),
                ("kind", Value::from("Namespace")),
                ("metadata", Map::from_iter([("name", name)]).into()),
            ]);
            let namespace = Manifest::new(namespace.into(), Origin::default())
                .expect("a namespace with a name is an object");
            let write = Write::by("kube-apiserver");
            let made = cluster.write(&namespace, None, &write, Verb::Create);
            made.expect("an empty cluster takes a namespace");
        }
        cluster
    }

    /// Lets requests go wrong: `fault` is asked about each of them. A later
    /// one takes the place of an earlier one.
    pub fn inject(&self, fault: impl FnMut(&Request<'_>) -> Option<Fault> + Send + 'static) {
        locked(&self.0.faults).1 = Some(Box::new(fault));
    }

    /// Lets the server behind a group and version (`metrics.k8s.io/v1`) go
    /// away, as one that extends the API may: its kinds are not known then, but
    /// it is known that some are missing.
    pub fn silence(&self, api_version: &str, silent: bool) {
        let mut state = self.state();
        match silent {
            true => state.silent.insert(api_version.into()),
            false => state.silent.remove(api_version),
        };
    }

    /// How many requests have come.
    pub fn requests(&self) -> u64 {
        locked(&self.0.faults).0
    }

    /// Every object that there is, by key.
    pub fn objects(&self) -> BTreeMap<ObjectKey, Manifest> {
        let state = self.state();
        let objects = state.objects.values();
        objects
            .map(|object| (object.key().clone(), object.clone()))
            .collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = locked(&self.0.state);
        self.catch_up(&mut state);
        state
    }

    fn now(&self) -> Timestamp {
        let options = &self.0.options;
        let now = options.now.checked_add(self.0.begun.elapsed());
        now.unwrap_or(Timestamp::MAX)
    }

    /// The time as objects have it, in whole seconds.
    fn time(&self) -> Str {
        self.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into()
    }

    /// Counts a request and asks whether it goes wrong.
    fn fault(&self, verb: &'static str, kind: &str, name: &str, dry_run: bool) -> Option<Fault> {
        let mut faults = locked(&self.0.faults);
        let number = faults.0;
        faults.0 += 1;
        let request = Request {
            number,
            verb,
            kind,
            name,
            dry_run,
        };
        faults.1.as_mut()?(&request)
    }

    /// Does `work` unless a fault forbids it, and answers unless one keeps
    /// the answer.
    async fn request<T>(
        &self,
        verb: &'static str,
        (kind, name): (&str, &str),
        dry_run: bool,
        work: impl FnOnce() -> Result<T, ClusterError>,
    ) -> Result<T, ClusterError> {
        let fault = self.fault(verb, kind, name, dry_run);
        // A request takes a moment; others may come in between.
        tokio::task::yield_now().await;
        match fault {
            None => work(),
            Some(Fault::Refuse(error)) => Err(error),
            Some(Fault::Lose(error)) => {
                work().ok();
                Err(error)
            }
        }
    }

    /// The request to write a whole object.
    async fn take(
        &self,
        name: &'static str,
        verb: Verb,
        object: &Manifest,
        write: &Write,
    ) -> Result<Manifest, ClusterError> {
        let what = (&*object.gvk().kind, object.name());
        self.request(name, what, write.dry_run, || {
            self.write(object, None, write, verb)
        })
        .await
    }

    /// Stores an object, tells watches, and does what follows from it.
    fn store(&self, state: &mut State, object: Manifest) -> Manifest {
        let key = key_of(object.key());
        let before = state.objects.get(&key).cloned();
        if is_leaving(&object) && finalizers(&object).is_empty() {
            state.objects.insert(key.clone(), object.clone());
            self.vanish(state, &key);
            return object;
        }
        let mut object = object;
        if inventory::is_definition(&object) {
            definitions::establish(&mut object, &self.time());
        }
        let object = self.put(state, object);
        if inventory::is_definition(&object) {
            state.define(&object);
        }
        let is_new = before.is_none_or(|before| {
            before.at(&["metadata", "generation"]) != object.at(&["metadata", "generation"])
        });
        if let Some(delay) = self.0.options.simulate
            && is_new
        {
            for (after, step) in simulate::steps(&object, delay) {
                state.made += 1;
                let at = (Instant::now() + after, state.made);
                state.due.insert(at, step);
            }
        }
        object
    }

    /// The bare writing: a new version, an event.
    fn put(&self, state: &mut State, mut object: Manifest) -> Manifest {
        state.revision += 1;
        let revision = state.revision;
        edit(&mut object, |metadata| {
            metadata.insert("resourceVersion", revision.to_string());
        });
        let before = state.objects.insert(key_of(object.key()), object.clone());
        self.log(state, before, Some(object.clone()));
        object
    }

    fn log(&self, state: &mut State, before: Option<Manifest>, after: Option<Manifest>) {
        let revision = state.revision;
        state.log.push_back(Logged {
            revision,
            before,
            after,
        });
        while state.log.len() > self.0.options.history.max(1) {
            state.log.pop_front();
        }
        self.0.revision.send_replace(revision);
    }

    /// Does what controllers would have done by now.
    fn catch_up(&self, state: &mut State) {
        while let Some(entry) = state.due.first_entry() {
            if entry.key().0 > Instant::now() {
                return;
            }
            let step = entry.remove();
            let Some(object) = state.objects.get(&key_of(&step.key)).cloned() else {
                continue;
            };
            let same = text(&object, &["metadata", "uid"]) == step.uid
                && object
                    .at(&["metadata", "generation"])
                    .and_then(Value::as_i64)
                    .unwrap_or_default()
                    == step.generation;
            if !same || is_leaving(&object) {
                continue;
            }
            let mut after = object.clone();
            let time = self.time();
            change(&mut after, |object| step.take(object, &time));
            if after != object {
                self.put(state, after);
            }
        }
    }

    fn select(&self, selection: &Selection) -> Result<Listing, ClusterError> {
        let state = self.state();
        let kind = match selection.gvk.version.as_str() {
            "" => state.preferred(&selection.gvk.group, &selection.gvk.kind)?,
            _ => state.kind(&selection.gvk)?,
        };
        let selector = parse_selector(&selection.labels)?;
        let (group, name) = (kind.gvk.group.clone(), kind.gvk.kind.clone());
        let first = (group, name, Str::new(), Str::new());
        let items = state
            .objects
            .range((Bound::Included(first), Bound::Unbounded))
            .take_while(|(key, _)| key.0 == kind.gvk.group && key.1 == kind.gvk.kind)
            .map(|(_, object)| object)
            .filter(|object| is_selected(object, &selection.namespace, &selector))
            .map(|object| in_version(object, &kind.gvk))
            .collect();
        Ok(Listing {
            items,
            resource_version: state.revision.to_string().into(),
        })
    }

    /// When a controller does something next.
    fn next_due(&self) -> Option<Instant> {
        let state = locked(&self.0.state);
        state.due.keys().next().map(|(at, _)| *at)
    }
}

impl Cluster for MemoryCluster {
    async fn kinds(&self) -> Result<Arc<Kinds>, ClusterError> {
        Ok(self.state().discovered())
    }

    async fn discover(&self) -> Result<Arc<Kinds>, ClusterError> {
        self.request("discover", ("", ""), false, || {
            Ok(self.state().discovered())
        })
        .await
    }

    async fn get(&self, key: &ObjectKey, version: &str) -> Result<Option<Manifest>, ClusterError> {
        self.request("get", (&key.kind, &key.name), false, || {
            let state = self.state();
            let gvk = Gvk {
                group: key.group.clone(),
                version: version.into(),
                kind: key.kind.clone(),
            };
            let kind = match version {
                "" => state.preferred(&key.group, &key.kind)?,
                _ => state.kind(&gvk)?,
            };
            let key = match kind.namespaced {
                true => key.clone(),
                false => key.in_namespace(""),
            };
            let found = state.objects.get(&key_of(&key));
            Ok(found.map(|object| in_version(object, &kind.gvk)))
        })
        .await
    }

    async fn list(&self, selection: &Selection) -> Result<Listing, ClusterError> {
        self.request("list", (&selection.gvk.kind, ""), false, || {
            self.select(selection)
        })
        .await
    }

    async fn apply(&self, object: &Manifest, write: &Write) -> Result<Manifest, ClusterError> {
        self.take("apply", Verb::Apply, object, write).await
    }

    async fn create(&self, object: &Manifest, write: &Write) -> Result<Manifest, ClusterError> {
        self.take("create", Verb::Create, object, write).await
    }

    async fn replace(&self, object: &Manifest, write: &Write) -> Result<Manifest, ClusterError> {
        self.take("replace", Verb::Replace, object, write).await
    }

    async fn patch(
        &self,
        key: &ObjectKey,
        patch: &Value,
        write: &Write,
    ) -> Result<Manifest, ClusterError> {
        self.request("patch", (&key.kind, &key.name), write.dry_run, || {
            let (live, kind) = {
                let state = self.state();
                let kind = state.preferred(&key.group, &key.kind)?;
                (state.objects.get(&key_of(key)).cloned(), kind)
            };
            let Some(live) = live else {
                return Err(not_found(key, &kind.plural));
            };
            let mut object = live.to_value();
            merge(&mut object, patch);
            let mut wanted = Manifest::new(object, Origin::default())
                .map_err(|error| invalid(&live, &error.to_string()))?;
            // Whoever sends owners replaces the owners; the change is then
            // one to an object that they own.
            let mut base = live.clone();
            if let Some(owners) = patch.at(&["metadata", "managedFields"]) {
                let owners = owners.clone();
                edit(&mut base, |metadata| {
                    metadata.insert("managedFields", owners);
                });
            }
            if patch.at(&["metadata", "resourceVersion"]).is_none() {
                edit(&mut wanted, |metadata| {
                    metadata.remove("resourceVersion");
                });
            }
            self.write(&wanted, Some(&base), write, Verb::Patch)
        })
        .await
    }

    async fn delete(&self, key: &ObjectKey, deletion: &Deletion) -> Result<(), ClusterError> {
        let what = (&*key.kind, &*key.name);
        self.request("delete", what, deletion.dry_run, || {
            self.remove(key, deletion)
        })
        .await
    }

    async fn watch(
        &self,
        selection: &Selection,
        resource_version: &str,
    ) -> Result<Watch, ClusterError> {
        let begin = || {
            let selector = parse_selector(&selection.labels)?;
            let state = self.state();
            let kind = match selection.gvk.version.as_str() {
                "" => state.preferred(&selection.gvk.group, &selection.gvk.kind)?,
                _ => state.kind(&selection.gvk)?,
            };
            let watched = Watched {
                gvk: kind.gvk,
                namespace: selection.namespace.clone(),
                selector,
            };
            let after = match resource_version {
                "" => state.revision,
                text => text.parse().map_err(|_| ClusterError::Refused {
                    status: 400,
                    message: format!("Invalid value: {text:?}: resourceVersion is no number"),
                })?,
            };
            if after > state.revision {
                return Err(ClusterError::Refused {
                    status: 504,
                    message: format!(
                        "Too large resource version: {after}, current: {}",
                        state.revision
                    ),
                });
            }
            Ok((watched, after))
        };
        let (watched, after) = self
            .request("watch", (&selection.gvk.kind, ""), false, begin)
            .await?;
        // Forgotten versions are refused at once.
        self.events(after, &watched)?;
        let first = match resource_version {
            // Without a version, a watch begins with what is there.
            "" => self.select(selection)?.items,
            _ => Vec::new(),
        };
        let ready: VecDeque<WatchEvent> = first.into_iter().map(WatchEvent::Added).collect();
        let watching = Watching {
            cluster: self.clone(),
            changes: self.0.revision.subscribe(),
            watched,
            after,
            ready,
            ends: Instant::now() + self.0.options.watch,
        };
        Ok(Watch::new(stream::unfold(
            Some(watching),
            |watching| async {
                let mut watching = watching?;
                match watching.next().await {
                    Ok(Some(event)) => Some((Ok(event), Some(watching))),
                    Ok(None) => None,
                    Err(error) => Some((Err(error), None)),
                }
            },
        )))
    }
}

impl State {
    fn discovered(&self) -> Arc<Kinds> {
        if self.silent.is_empty() {
            return self.kinds.clone();
        }
        let mut kinds = (*self.kinds).clone();
        let silent = |kind: &&super::Kind| self.silent.contains(&kind.gvk.api_version());
        for kind in self.kinds.all().filter(silent) {
            kinds.remove(&kind.gvk);
        }
        kinds.incomplete = self.silent.iter().cloned().collect();
        Arc::new(kinds)
    }

    fn kind(&self, gvk: &Gvk) -> Result<super::Kind, ClusterError> {
        let found = self.kinds.of(gvk).cloned();
        found.ok_or_else(|| ClusterError::UnknownKind { gvk: gvk.clone() })
    }

    fn preferred(&self, group: &str, kind: &str) -> Result<super::Kind, ClusterError> {
        let found = self.kinds.find(group, "", kind).cloned();
        found.ok_or_else(|| ClusterError::UnknownKind {
            gvk: Gvk {
                group: group.into(),
                version: Str::new(),
                kind: kind.into(),
            },
        })
    }

    fn check_namespace(&self, name: &str) -> Result<(), ClusterError> {
        let key = ObjectKey {
            group: Str::new(),
            kind: "Namespace".into(),
            namespace: Str::new(),
            name: name.into(),
        };
        match self.objects.get(&key_of(&key)) {
            None => Err(not_found(&key, "namespaces")),
            Some(namespace) if is_leaving(namespace) => Err(ClusterError::Forbidden {
                message: format!(
                    "unable to create new content in namespace {name} because it is being terminated"
                ),
            }),
            Some(_) => Ok(()),
        }
    }

    /// What goes with an object because it is in it: the contents of a
    /// namespace, the objects of a definition.
    fn contents(&self, object: &Manifest) -> Vec<Key> {
        let key = object.key();
        let defined = inventory::is_definition(object).then(|| {
            (
                text(object, &["spec", "group"]),
                text(object, &["spec", "names", "kind"]),
            )
        });
        let is_namespace = key.kind == "Namespace" && key.group.is_empty();
        if defined.is_none() && !is_namespace {
            return Vec::new();
        }
        let within = |(group, kind, namespace, _): &&Key| match &defined {
            Some((of_group, of_kind)) => group == of_group && kind == of_kind,
            None => *namespace == key.name,
        };
        self.objects.keys().filter(within).cloned().collect()
    }

    fn define(&mut self, definition: &Manifest) {
        // A definition with a schema that cannot be read was refused.
        self.schemas.add_crd(definition).ok();
        let kinds = Arc::make_mut(&mut self.kinds);
        for kind in definitions::served(definition) {
            kinds.add(kind);
        }
    }

    fn undefine(&mut self, definition: &Manifest) {
        for kind in definitions::served(definition) {
            Arc::make_mut(&mut self.kinds).remove(&kind.gvk);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Apply,
    Create,
    Replace,
    Patch,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn text(object: &Manifest, path: &[&str]) -> Str {
    let text = object.at(path).and_then(Value::as_str);
    text.unwrap_or_default().into()
}

fn is_leaving(object: &Manifest) -> bool {
    object.at(&["metadata", "deletionTimestamp"]).is_some()
}

fn is_uid(object: &Manifest, uid: &str) -> bool {
    object.at(&["metadata", "uid"]).and_then(Value::as_str) == Some(uid)
}

fn finalizers(object: &Manifest) -> Vec<Str> {
    strings(object.at(&["metadata", "finalizers"]))
}

fn strings(list: Option<&Value>) -> Vec<Str> {
    let list = list.and_then(Value::as_list).unwrap_or_default();
    let texts = list.iter().filter_map(Value::as_str);
    texts.map(Str::from).collect()
}

/// The uids of an object's owners.
fn owners(object: &Manifest) -> Vec<Str> {
    let list = object.at(&["metadata", "ownerReferences"]);
    let list = list.and_then(Value::as_list).unwrap_or_default();
    let uids = list.iter().filter_map(|owner| owner.get("uid")?.as_str());
    uids.map(Str::from).collect()
}

/// Changes an object in a way that leaves its names alone.
fn change(object: &mut Manifest, change: impl FnOnce(&mut Map)) {
    let changed = object.edit(|object| {
        if let Value::Map(object) = object {
            change(object);
        }
    });
    changed.expect("the names were not touched");
}

fn edit(object: &mut Manifest, edit: impl FnOnce(&mut Map)) {
    change(object, |object| {
        let metadata = object.entry("metadata");
        if let Value::Map(metadata) = metadata {
            edit(metadata);
        }
    });
}

fn is_selected(object: &Manifest, namespace: &str, selector: &Selector) -> bool {
    (namespace.is_empty() || object.namespace() == namespace)
        && selector.matches_with(|name| object.label(name))
}

/// The object as it reads in another version of its kind.
fn in_version(object: &Manifest, gvk: &Gvk) -> Manifest {
    if object.gvk() == gvk {
        return object.clone();
    }
    let mut object = object.clone();
    change(&mut object, |object| {
        object.insert("apiVersion", gvk.api_version());
    });
    object
}

fn parse_selector(labels: &str) -> Result<Selector, ClusterError> {
    let parsed = labels.parse::<Selector>();
    parsed.map_err(|error| ClusterError::Refused {
        status: 400,
        message: error.to_string(),
    })
}
