//! The loop: polls Git, watches the cluster, reconciles what is concerned.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, SelectAll};
use gitops_core::app::App;
use gitops_core::inventory::Tracking;
use gitops_core::{Gvk, Manifest, Str};
use jiff::Timestamp;
use tokio::time::Instant;

use super::{AppStatus, Reconciler};
use crate::cluster::{Cluster, Selection, Watch, WatchEvent};
use crate::report::Event;

/// How often the loop looks.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// How often Git is asked for new revisions.
    pub poll: Duration,
    /// How long changes of the cluster are collected before a look is taken:
    /// a rollout is many of them.
    pub settle: Duration,
}

impl Default for RunOptions {
    /// Git every minute; the cluster after a quarter of a second.
    fn default() -> Self {
        RunOptions {
            poll: Duration::from_secs(60),
            settle: Duration::from_millis(250),
        }
    }
}

/// The applications that there are.
#[derive(Clone, Debug, Default)]
pub struct Discovered {
    /// Those to reconcile.
    pub apps: Vec<App>,
    /// Those that are declared besides. What they declare is not pruned by the
    /// ones above.
    pub others: Vec<App>,
    /// Whether that is all. If something could not be read, the applications of
    /// last time go on, and nothing is pruned.
    pub complete: bool,
}

/// Keeps reconciling until `stop` is ready.
///
/// `discover` says which applications there are; it is asked at each poll.
/// `report` is told of each look, `observe` of what happens during a sync.
///
/// All applications are looked at when Git is polled, in order of their waves.
/// In between, those whose objects change in the cluster are.
pub async fn run<C: Cluster>(
    reconciler: &mut Reconciler<'_, C>,
    options: &RunOptions,
    mut discover: impl AsyncFnMut() -> Discovered,
    mut report: impl FnMut(&AppStatus) + Send,
    mut observe: impl FnMut(&Event) + Send,
    stop: impl Future<Output = ()> + Send,
) {
    let mut stop = std::pin::pin!(stop);
    let mut apps: Vec<App> = Vec::new();
    loop {
        let found = discover().await;
        let known = |name: &Str| {
            let mut known = found.apps.iter().chain(&found.others);
            known.any(|app| app.name == *name)
        };
        match found.complete {
            true => {
                let gone = reconciler.memory.keys().filter(|name| !known(name));
                let gone: Vec<Str> = gone.cloned().collect();
                gone.iter().for_each(|name| reconciler.forget(name));
                apps.clear();
            }
            false => apps.retain(|app| !known(&app.name)),
        }
        reconciler.set_complete(found.complete);
        reconciler.manage(found.apps.iter().chain(&found.others));
        apps.extend(found.apps);
        apps.sort_by(|a, b| a.wave.cmp(&b.wave).then_with(|| a.name.cmp(&b.name)));
        for app in &apps {
            let status = reconciler
                .reconcile(app, Timestamp::now(), &mut observe)
                .await;
            report(&status);
        }
        let next_poll = Instant::now() + options.poll;
        let mut watches = watches(reconciler).await;
        loop {
            let concerned = tokio::select! {
                () = &mut stop => return,
                () = tokio::time::sleep_until(next_poll) => break,
                concerned = next(&mut watches, options.settle) => concerned,
            };
            let Some(concerned) = concerned else {
                // A watch ended or failed; the next poll begins new ones.
                tokio::select! {
                    () = &mut stop => return,
                    () = tokio::time::sleep_until(next_poll.min(Instant::now() + options.settle)) => {}
                }
                watches = self::watches(reconciler).await;
                if watches.is_empty() {
                    tokio::select! {
                        () = &mut stop => return,
                        () = tokio::time::sleep_until(next_poll) => break,
                    }
                }
                continue;
            };
            for app in apps.iter().filter(|app| concerned.contains(&app.name)) {
                let status = reconciler
                    .reconcile(app, Timestamp::now(), &mut observe)
                    .await;
                report(&status);
            }
        }
    }
}

type Watches = SelectAll<stream::BoxStream<'static, Option<Str>>>;

/// Whose an object is, by the marks that the applications are known to use.
#[derive(Default)]
struct Marks {
    /// One for each way to mark.
    ways: Vec<Tracking>,
    /// The applications by the way and what it calls them.
    apps: BTreeMap<(usize, Str), Str>,
}

impl Marks {
    fn of<C: Cluster>(reconciler: &Reconciler<'_, C>) -> Marks {
        let mut marks = Marks::default();
        for (name, memory) in &reconciler.memory {
            let Some(app) = &memory.app else { continue };
            let record = (reconciler.options.record)(app);
            let mark = record.tracking(app.name.clone());
            let same =
                |way: &Tracking| way.method == mark.method && way.installation == mark.installation;
            let way = marks.ways.iter().position(same).unwrap_or_else(|| {
                marks.ways.push(mark.clone());
                marks.ways.len() - 1
            });
            marks.apps.insert((way, mark.app), name.clone());
        }
        marks
    }

    fn owner(&self, object: &Manifest) -> Option<Str> {
        self.ways.iter().enumerate().find_map(|(index, way)| {
            let owner = way.owner(object)?;
            self.apps.get(&(index, owner.app.as_ref().into())).cloned()
        })
    }
}

/// Watches every kind that some application has synced.
async fn watches<C: Cluster>(reconciler: &Reconciler<'_, C>) -> Watches {
    let marks = Arc::new(Marks::of(reconciler));
    let kinds: BTreeSet<&Gvk> = reconciler
        .memory
        .values()
        .flat_map(|memory| &memory.kinds)
        .collect();
    let mut watches = SelectAll::new();
    for gvk in kinds {
        let selection = Selection::all(gvk.clone());
        if let Ok(watch) = reconciler.cluster.watch(&selection, "").await {
            watches.push(owners(watch, marks.clone()));
        }
    }
    watches
}

/// The applications whose objects change; `None` when the watch ends.
fn owners(watch: Watch, marks: Arc<Marks>) -> stream::BoxStream<'static, Option<Str>> {
    // A watch from now on begins with what is there already.
    let seen: BTreeMap<Str, Str> = BTreeMap::new();
    watch
        .map(Some)
        .chain(stream::once(std::future::ready(None)))
        .scan(seen, move |seen, event| {
            let owner = match event {
                Some(Ok(
                    WatchEvent::Added(object)
                    | WatchEvent::Modified(object)
                    | WatchEvent::Deleted(object),
                )) => {
                    let owner = marks.owner(&object);
                    let version = object
                        .at(&["metadata", "resourceVersion"])
                        .and_then(|version| version.as_str())
                        .unwrap_or_default();
                    let key: Str = object.key().to_string().into();
                    let known = seen.insert(key, version.into());
                    let changed = known.is_none_or(|known| known != version);
                    owner.filter(|_| changed).map(Some)
                }
                Some(Ok(WatchEvent::Bookmark { .. })) => None,
                Some(Err(_)) | None => Some(None),
            };
            std::future::ready(Some(owner))
        })
        .filter_map(std::future::ready)
        .boxed()
}

/// Waits for a change, collects what else changes soon after, and says whose
/// objects they are; `None` if a watch ended.
async fn next(watches: &mut Watches, settle: Duration) -> Option<BTreeSet<Str>> {
    if watches.is_empty() {
        return std::future::pending().await;
    }
    let mut concerned = BTreeSet::from([watches.next().await??]);
    let until = Instant::now() + settle;
    while let Ok(Some(owner)) = tokio::time::timeout_at(until, watches.next()).await {
        concerned.insert(owner?);
    }
    Some(concerned)
}
