//! A cache of listings beside the server whose listings they are.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gitops_apply::cluster::cache::{CacheOptions, WatchCache};
use gitops_apply::cluster::memory::MemoryOptions;
use gitops_apply::cluster::{Deletion, Propagation, Selection, Write};
use gitops_apply::{Cluster, ClusterError, MemoryCluster};
use gitops_core::{Gvk, Manifest};

use crate::world::{Dice, yaml};

fn map(name: &str, value: usize) -> Manifest {
    yaml(&format!(
        r#"{{"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {{"name": {name:?}, "namespace": "default"}}, "data": {{"value": "{value}"}}}}"#
    ))
}

fn maps() -> Selection {
    Selection::within(Gvk::parse("v1", "ConfigMap"), "default")
}

async fn write(cluster: &impl Cluster, name: &str, value: usize) {
    let write = Write::by("somebody");
    cluster
        .apply(&map(name, value), &write)
        .await
        .expect("applied");
}

/// A server whose requests are written down.
fn server(options: MemoryOptions) -> (MemoryCluster, Arc<Mutex<Vec<&'static str>>>) {
    let cluster = MemoryCluster::new(options);
    let log: Arc<Mutex<Vec<&'static str>>> = Arc::default();
    let writer = log.clone();
    cluster.inject(move |request| {
        writer.lock().expect("no panic holds it").push(request.verb);
        None
    });
    (cluster, log)
}

fn taken(log: &Mutex<Vec<&'static str>>) -> Vec<&'static str> {
    std::mem::take(&mut *log.lock().expect("no panic holds it"))
}

#[tokio::test(start_paused = true)]
async fn watches_that_end_are_taken_up() {
    let (cluster, log) = server(MemoryOptions {
        watch: Duration::from_secs(10),
        history: 8,
        ..MemoryOptions::default()
    });
    write(&cluster, "a", 1).await;
    let cache = WatchCache::new(&cluster, CacheOptions::default());
    taken(&log);
    assert_eq!(cache.list(&maps()).await.expect("a listing").items.len(), 1);
    assert_eq!(taken(&log), ["list", "watch"]);
    write(&cluster, "b", 1).await;
    taken(&log);
    assert_eq!(cache.list(&maps()).await.expect("a listing").items.len(), 2);
    assert_eq!(
        cache
            .get(map("b", 1).key(), "")
            .await
            .expect("an answer")
            .map(|b| b.name().to_owned()),
        Some("b".into())
    );
    assert_eq!(taken(&log), [""; 0]);

    tokio::time::advance(Duration::from_secs(11)).await;
    write(&cluster, "c", 1).await;
    taken(&log);
    assert_eq!(cache.list(&maps()).await.expect("a listing").items.len(), 3);
    assert_eq!(taken(&log), ["watch"]);

    // So much has happened that the server does not remember it.
    tokio::time::advance(Duration::from_secs(11)).await;
    for value in 2..20 {
        write(&cluster, "c", value).await;
    }
    cluster
        .delete(map("a", 1).key(), &Deletion::default())
        .await
        .expect("deleted");
    taken(&log);
    let listing = cache.list(&maps()).await.expect("a listing");
    assert_eq!(
        listing.items,
        cluster.list(&maps()).await.expect("a listing").items
    );
    assert_eq!(taken(&log), ["list", "watch", "list"]);
}

#[tokio::test(start_paused = true)]
async fn silence_is_not_believed_for_ever() {
    let (cluster, log) = server(MemoryOptions {
        bookmarks: Duration::from_secs(10_000),
        watch: Duration::from_secs(10_000),
        ..MemoryOptions::default()
    });
    let cache = WatchCache::new(&cluster, CacheOptions::default());
    cache.list(&maps()).await.expect("a listing");
    taken(&log);
    tokio::time::advance(Duration::from_secs(100)).await;
    cache.list(&maps()).await.expect("a listing");
    assert_eq!(taken(&log), [""; 0]);
    tokio::time::advance(Duration::from_secs(100)).await;
    cache.list(&maps()).await.expect("a listing");
    assert_eq!(taken(&log), ["watch"]);
}

#[tokio::test(start_paused = true)]
async fn no_more_is_kept_than_may_be() {
    let (cluster, log) = server(MemoryOptions::default());
    let options = CacheOptions {
        objects: 3,
        ..CacheOptions::default()
    };
    let cache = WatchCache::new(&cluster, options);
    for name in ["a", "b", "c"] {
        write(&cluster, name, 1).await;
    }
    cache.list(&maps()).await.expect("a listing");
    assert_eq!(cache.objects(), 3);
    write(&cluster, "d", 1).await;
    for _ in 0..2 {
        taken(&log);
        assert_eq!(cache.list(&maps()).await.expect("a listing").items.len(), 4);
        assert!(taken(&log).contains(&"list"));
        assert_eq!(cache.objects(), 0);
    }
}

/// A server that cannot be reached, or does not let itself be watched.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_watched_is_listed() {
    use gitops_apply::cluster::memory::Fault;
    let cluster = MemoryCluster::new(MemoryOptions::default());
    write(&cluster, "a", 1).await;
    let cache = WatchCache::new(&cluster, CacheOptions::default());
    cluster.inject(|request| {
        let error = ClusterError::Forbidden {
            message: "no watching".into(),
        };
        (request.verb == "watch").then_some(Fault::Refuse(error))
    });
    for names in [1, 2] {
        let listing = cache.list(&maps()).await.expect("a listing");
        assert_eq!(listing.items.len(), names);
        write(&cluster, "b", 1).await;
    }
    cluster.inject(|_| Some(Fault::Refuse(ClusterError::Unreachable("gone".into()))));
    let error = cache.list(&maps()).await.expect_err("unreachable");
    assert!(matches!(error, ClusterError::Unreachable(_)));
    cluster.inject(|_| None);
    assert_eq!(cache.list(&maps()).await.expect("a listing").items.len(), 2);
}

/// A law: whatever is written, by whom, and however watches end, the cache
/// lists what the server lists.
#[tokio::test(start_paused = true)]
async fn the_cache_says_what_the_server_says() {
    let mut dice = Dice(0xCAC4_E000_0000_0001);
    let cluster = MemoryCluster::new(MemoryOptions {
        watch: Duration::from_secs(40),
        history: 16,
        ..MemoryOptions::default()
    });
    let cache = WatchCache::new(&cluster, CacheOptions::default());
    let by_label = Selection {
        labels: "team=a".into(),
        ..maps()
    };
    let mut checked = 0;
    for step in 0..4_000 {
        let name = dice.one(&["a", "b", "c", "d", "e"]);
        let mut object = map(name, dice.roll(4));
        if dice.likely() {
            object.set_label("team", dice.one(&["a", "b"]));
        }
        let write = Write {
            force: true,
            dry_run: dice.roll(8) == 0,
            ..Write::by("one")
        };
        let deletion = Deletion {
            propagation: Propagation::Background,
            dry_run: dice.roll(8) == 0,
            ..Deletion::default()
        };
        // Refusals are as good as anything else.
        match dice.roll(9) {
            0 => drop(cluster.apply(&object, &write).await),
            1 => drop(cluster.create(&object, &write).await),
            2 => drop(cluster.delete(object.key(), &deletion).await),
            3 => drop(cache.fresh().apply(&object, &write).await),
            4 => drop(cache.fresh().replace(&object, &write).await),
            5 => drop(cache.fresh().delete(object.key(), &deletion).await),
            6 => tokio::time::advance(Duration::from_secs(7)).await,
            _ => {
                for selection in [maps(), by_label.clone()] {
                    let ours = cache.list(&selection).await.expect("a listing").items;
                    let theirs = cluster.list(&selection).await.expect("a listing").items;
                    assert_eq!(ours, theirs, "step {step}");
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 1_000);
}
