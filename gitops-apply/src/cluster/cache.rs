//! What a cluster holds, kept up to date by watches.
//!
//! The first listing of a selection is made by the server, and a watch goes on
//! from there. Each later one takes in what the watch has told by then and is
//! answered from memory, without a request. Nothing runs in between: what the
//! watch says waits in its connection.
//!
//! | what happens                          | what the cache does                 |
//! |---------------------------------------|-------------------------------------|
//! | the watch ends, as it does in minutes | a new one, from the last version    |
//! | the server forgot that version (410)  | lists again                         |
//! | silence for longer than bookmarks take | a new watch: the connection may be dead |
//! | a write through [`fresh`](WatchCache::fresh) | its answer is taken in       |
//! | a deletion, or a write without answer | that object is asked for            |
//! | a kind that may not be watched         | it is listed each time              |
//! | more objects than may be kept         | the selection is not kept at all    |
//!
//! What somebody else did a moment ago may not have arrived yet: reads are as
//! old as the watch is late. Whoever acts on them has to say what he saw, as
//! deletions do by the uid, or reads through [`fresh`](WatchCache::fresh).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use gitops_core::selector::Selector;
use gitops_core::{Gvk, Manifest, ObjectKey, Str, Value};
use tokio::time::Instant;

use super::{Cluster, ClusterError, Deletion, Kinds, Listing, Selection, Watch, WatchEvent, Write};

/// How much is kept, and for how long it is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheOptions {
    /// How many objects are kept in all. A selection that would exceed them is
    /// listed by the server each time.
    pub objects: usize,
    /// How long a watch may be silent before it is taken up anew. Servers send
    /// bookmarks about every minute.
    pub silence: Duration,
}

impl Default for CacheOptions {
    /// 200,000 objects, and silences of two and a half minutes.
    fn default() -> Self {
        CacheOptions {
            objects: 200_000,
            silence: Duration::from_secs(150),
        }
    }
}

/// A cluster whose listings are answered from memory.
///
/// As a [`Cluster`] it lists from memory, and gets what is in a listing from
/// there too; everything else goes to the server.
pub struct WatchCache<'c, C> {
    cluster: &'c C,
    options: CacheOptions,
    kept: Arc<Kept>,
    /// Whether reads go to the server, too.
    fresh: bool,
}

#[derive(Default)]
struct Kept {
    stores: Mutex<BTreeMap<Selected, Arc<tokio::sync::Mutex<Store>>>>,
    /// How many objects all stores have together.
    objects: AtomicUsize,
}

impl<C> std::fmt::Debug for WatchCache<'_, C> {
    /// How much is kept, and nothing of it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WatchCache")
            .field("options", &self.options)
            .field("objects", &self.kept.objects.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

/// A kind, a namespace and labels.
type Selected = (Gvk, Str, Str);

/// The objects of one selection.
#[derive(Default)]
struct Store {
    objects: BTreeMap<ObjectKey, Manifest>,
    /// The version up to which they are known; empty before the first listing.
    version: Str,
    watch: Option<Watch>,
    heard: Option<Instant>,
    /// What has to be asked for before it is told.
    doubtful: BTreeSet<ObjectKey>,
    /// The uids of objects that are known to be gone, while the watch may
    /// still tell what happened to them before.
    gone: BTreeMap<ObjectKey, Str>,
    /// How many objects were counted.
    counted: usize,
}

fn text<'a>(object: &'a Manifest, field: &str) -> &'a str {
    let text = object.at(&["metadata", field]).and_then(Value::as_str);
    text.unwrap_or_default()
}

/// Whether one state of an object is older than another. Versions are numbers
/// on every server there is; where they are not, the watch is believed.
fn is_older(one: &Manifest, other: &Manifest) -> bool {
    let number = |object| text(object, "resourceVersion").parse::<u64>().ok();
    match (number(one), number(other)) {
        (Some(one), Some(other)) => one < other,
        _ => false,
    }
}

/// Whether the labels are those of a selection. One that is not understood was
/// refused by the server.
fn is_selected(object: &Manifest, selection: &Selection) -> bool {
    let selector = selection.labels.parse::<Selector>();
    selector.is_ok_and(|selector| selector.matches_with(|name| object.label(name)))
}

impl Store {
    fn put(&mut self, object: Manifest) {
        let key = object.key();
        if let Some(uid) = self.gone.get(key) {
            if *uid == text(&object, "uid") {
                return;
            }
            self.gone.remove(key);
        }
        match self.objects.get_mut(key) {
            Some(have) if is_older(&object, have) => {}
            Some(have) => *have = object,
            None => {
                self.objects.insert(object.key().clone(), object);
            }
        }
    }

    fn take(&mut self, event: WatchEvent) {
        let version = event.resource_version();
        if !version.is_empty() {
            self.version = version.into();
        }
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => self.put(object),
            WatchEvent::Deleted(object) => {
                let key = object.key();
                self.gone.remove(key);
                if self
                    .objects
                    .get(key)
                    .is_some_and(|have| !is_older(&object, have))
                {
                    self.objects.remove(key);
                }
            }
            WatchEvent::Bookmark { .. } => {}
        }
    }

    /// Notes that an object is not there.
    fn remove(&mut self, key: &ObjectKey) {
        if let Some(object) = self.objects.remove(key)
            && self.watch.is_some()
        {
            self.gone.insert(key.clone(), text(&object, "uid").into());
        }
    }

    fn clear(&mut self) {
        *self = Store {
            counted: self.counted,
            ..Store::default()
        };
    }
}

impl<'c, C: Cluster> WatchCache<'c, C> {
    /// A cache of what `cluster` holds, empty at first.
    pub fn new(cluster: &'c C, options: CacheOptions) -> Self {
        WatchCache {
            cluster,
            options,
            kept: Arc::default(),
            fresh: false,
        }
    }

    /// The same cache, read from the server: what is written through it is known
    /// here at once.
    pub fn fresh(&self) -> WatchCache<'c, C> {
        WatchCache {
            cluster: self.cluster,
            options: self.options.clone(),
            kept: self.kept.clone(),
            fresh: true,
        }
    }

    /// How many objects are kept.
    pub fn objects(&self) -> usize {
        self.kept.objects.load(Ordering::Relaxed)
    }

    fn stores(&self) -> MutexGuard<'_, BTreeMap<Selected, Arc<tokio::sync::Mutex<Store>>>> {
        let stores = self.kept.stores.lock();
        stores.unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self, selection: &Selection) -> Arc<tokio::sync::Mutex<Store>> {
        let selected = (
            selection.gvk.clone(),
            selection.namespace.clone(),
            selection.labels.clone(),
        );
        self.stores().entry(selected).or_default().clone()
    }

    /// The stores that an object of that key would be in.
    fn concerned(&self, key: &ObjectKey) -> Vec<(Selected, Arc<tokio::sync::Mutex<Store>>)> {
        let stores = self.stores();
        let concerned = stores.iter().filter(|((gvk, namespace, _), _)| {
            gvk.group == key.group
                && gvk.kind == key.kind
                && (namespace.is_empty() || *namespace == key.namespace)
        });
        concerned
            .map(|(selected, store)| (selected.clone(), store.clone()))
            .collect()
    }

    /// Brings a store up to date. `false` if it cannot be kept; its listing is
    /// then in the second place.
    async fn update(
        &self,
        selection: &Selection,
        store: &mut Store,
    ) -> Result<Option<Listing>, ClusterError> {
        let listing = self.catch_up(selection, store).await;
        let over = self.count(store) > self.options.objects;
        // What is known of a selection that failed is not to be trusted.
        if over || listing.is_err() {
            store.clear();
            self.count(store);
        }
        match (listing?, over) {
            (listing @ Some(_), true) => Ok(listing),
            (None, true) => self.cluster.list(selection).await.map(Some),
            (_, false) => Ok(None),
        }
    }

    /// Counts what a store holds by now. Gives how much all of them hold.
    fn count(&self, store: &mut Store) -> usize {
        let (before, after) = (store.counted, store.objects.len());
        store.counted = after;
        if after >= before {
            self.kept
                .objects
                .fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.kept
                .objects
                .fetch_sub(before - after, Ordering::Relaxed);
        }
        self.objects()
    }

    /// Takes in what has happened. The listing, if one had to be made.
    async fn catch_up(
        &self,
        selection: &Selection,
        store: &mut Store,
    ) -> Result<Option<Listing>, ClusterError> {
        // The connection's own task may have something for us.
        tokio::task::yield_now().await;
        let mut listed = None;
        let mut attempts = 0;
        loop {
            if store.version.is_empty() {
                let listing = self.cluster.list(selection).await?;
                store.clear();
                store.version = listing.resource_version.clone();
                let items = listing.items.iter();
                store.objects = items
                    .map(|object| (object.key().clone(), object.clone()))
                    .collect();
                let too_many = listing.items.len() > self.options.objects;
                listed = Some(listing);
                if too_many {
                    return Ok(listed);
                }
            }
            if store.watch.is_none() {
                // A server that always ends its watches is no reason to go on
                // for ever.
                attempts += 1;
                if attempts > 3 {
                    return Err(ClusterError::Unreachable("its watches end at once".into()));
                }
                match self.cluster.watch(selection, &store.version).await {
                    Ok(watch) => {
                        store.watch = Some(watch);
                        store.heard = Some(Instant::now());
                        store.gone.clear();
                    }
                    Err(ClusterError::Gone) => {
                        store.version = Str::new();
                        continue;
                    }
                    Err(error) if error.is_transient() => return Err(error),
                    // It may be listed and not watched.
                    Err(_) if listed.is_some() => {
                        store.version = Str::new();
                        return Ok(listed);
                    }
                    Err(_) => {
                        store.version = Str::new();
                        continue;
                    }
                }
            }
            let Some(watch) = &mut store.watch else {
                continue;
            };
            match watch.next().now_or_never() {
                Some(Some(Ok(event))) => {
                    store.heard = Some(Instant::now());
                    store.take(event);
                }
                Some(Some(Err(ClusterError::Gone))) => {
                    store.watch = None;
                    store.version = Str::new();
                }
                // It ended or broke; the next one says whether that was all.
                Some(None | Some(Err(_))) => store.watch = None,
                None => {
                    let heard = store.heard.get_or_insert_with(Instant::now);
                    if heard.elapsed() < self.options.silence {
                        break;
                    }
                    store.watch = None;
                }
            }
        }
        while let Some(key) = store.doubtful.first().cloned() {
            match self.cluster.get(&key, &selection.gvk.version).await? {
                Some(object) if is_selected(&object, selection) => {
                    store.gone.remove(&key);
                    store.put(object);
                }
                _ => store.remove(&key),
            }
            store.doubtful.remove(&key);
        }
        Ok(listed)
    }

    /// Takes in what a write has made of an object.
    async fn note(&self, key: &ObjectKey, answer: Result<&Manifest, &ClusterError>, dry_run: bool) {
        if dry_run {
            return;
        }
        for ((gvk, _, labels), store) in self.concerned(key) {
            let mut store = store.lock().await;
            if store.version.is_empty() {
                continue;
            }
            match answer {
                Ok(object) if labels.is_empty() && *object.gvk() == gvk => {
                    store.doubtful.remove(key);
                    store.put(object.clone());
                }
                // It may have been carried out all the same.
                Ok(_) | Err(_) => {
                    store.doubtful.insert(key.clone());
                }
            }
            self.count(&mut store);
        }
    }
}

impl<C: Cluster> Cluster for WatchCache<'_, C> {
    async fn kinds(&self) -> Result<Arc<Kinds>, ClusterError> {
        self.cluster.kinds().await
    }

    async fn discover(&self) -> Result<Arc<Kinds>, ClusterError> {
        self.cluster.discover().await
    }

    /// From memory if the object's kind is listed already, in its namespace or
    /// in all of them.
    async fn get(&self, key: &ObjectKey, version: &str) -> Result<Option<Manifest>, ClusterError> {
        if self.fresh {
            return self.cluster.get(key, version).await;
        }
        let preferred = match version {
            "" => {
                let kinds = self.cluster.kinds().await?;
                let kind = kinds.find(&key.group, "", &key.kind);
                kind.map(|kind| kind.gvk.version.clone())
            }
            version => Some(version.into()),
        };
        for ((gvk, namespace, labels), store) in self.concerned(key) {
            if !labels.is_empty() || Some(&gvk.version) != preferred.as_ref() {
                continue;
            }
            let selection = Selection {
                gvk,
                namespace,
                labels,
            };
            let mut store = store.lock().await;
            if store.version.is_empty() {
                continue;
            }
            return Ok(match self.update(&selection, &mut store).await? {
                None => store.objects.get(key).cloned(),
                Some(listing) => listing.items.into_iter().find(|object| object.key() == key),
            });
        }
        self.cluster.get(key, version).await
    }

    async fn list(&self, selection: &Selection) -> Result<Listing, ClusterError> {
        if self.fresh {
            return self.cluster.list(selection).await;
        }
        let store = self.store(selection);
        let mut store = store.lock().await;
        if let Some(listing) = self.update(selection, &mut store).await? {
            return Ok(listing);
        }
        let mut items: Vec<Manifest> = store.objects.values().cloned().collect();
        items.sort_by(|a, b| (a.namespace(), a.name()).cmp(&(b.namespace(), b.name())));
        Ok(Listing {
            items,
            resource_version: store.version.clone(),
        })
    }

    async fn apply(&self, object: &Manifest, write: &Write) -> Result<Manifest, ClusterError> {
        let answer = self.cluster.apply(object, write).await;
        self.note(object.key(), answer.as_ref(), write.dry_run)
            .await;
        answer
    }

    async fn create(&self, object: &Manifest, write: &Write) -> Result<Manifest, ClusterError> {
        let answer = self.cluster.create(object, write).await;
        // The server may have chosen its name.
        let key = answer.as_ref().map_or(object.key(), Manifest::key);
        self.note(key, answer.as_ref(), write.dry_run).await;
        answer
    }

    async fn replace(&self, object: &Manifest, write: &Write) -> Result<Manifest, ClusterError> {
        let answer = self.cluster.replace(object, write).await;
        self.note(object.key(), answer.as_ref(), write.dry_run)
            .await;
        answer
    }

    async fn patch(
        &self,
        key: &ObjectKey,
        patch: &Value,
        write: &Write,
    ) -> Result<Manifest, ClusterError> {
        let answer = self.cluster.patch(key, patch, write).await;
        self.note(key, answer.as_ref(), write.dry_run).await;
        answer
    }

    async fn delete(&self, key: &ObjectKey, deletion: &Deletion) -> Result<(), ClusterError> {
        let answer = self.cluster.delete(key, deletion).await;
        if !deletion.dry_run {
            for (_, store) in self.concerned(key) {
                store.lock().await.doubtful.insert(key.clone());
            }
        }
        answer
    }

    async fn watch(
        &self,
        selection: &Selection,
        resource_version: &str,
    ) -> Result<Watch, ClusterError> {
        self.cluster.watch(selection, resource_version).await
    }
}
