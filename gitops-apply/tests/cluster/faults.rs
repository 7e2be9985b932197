//! A sync of 40 objects, cut off at every request in turn.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gitops_apply::cluster::memory::Fault;
use gitops_apply::{ClusterError, SyncOptions, sync};
use gitops_core::Manifest;

use crate::memory;
use crate::world::World;
use gitops_apply::MemoryCluster;

const OBJECTS: usize = 40;

fn declared(world: &World<MemoryCluster>, value: &str) -> Vec<Manifest> {
    (0..OBJECTS)
        .map(|number| {
            let wave = format!(r#""argocd.argoproj.io/sync-wave": "{}""#, number / 14);
            world.config_map(&format!("m{number}"), &wave, value)
        })
        .collect()
}

fn impatient() -> SyncOptions {
    SyncOptions {
        patience: Duration::ZERO,
        timeout: Some(Duration::from_secs(60)),
        ..SyncOptions::default()
    }
}

/// The versions of all objects, by name.
fn versions(world: &World<MemoryCluster>) -> BTreeMap<String, String> {
    let objects = world.cluster.objects();
    let version = |object: &Manifest| {
        let version = object.at(&["metadata", "resourceVersion"]);
        version
            .and_then(|version| version.as_str())
            .unwrap_or_default()
            .to_owned()
    };
    let maps = objects.iter().filter(|(key, _)| key.kind == "ConfigMap");
    maps.map(|(key, object)| (key.name.to_string(), version(object)))
        .collect()
}

/// How a request goes wrong.
#[derive(Clone, Copy, PartialEq)]
enum Cut {
    /// It does not arrive, and neither does any later one.
    Refused,
    /// It is carried out, and nobody hears of it; no later one arrives.
    Lost,
    /// The engine is killed right after it.
    Killed,
}

#[tokio::test(start_paused = true)]
async fn wherever_a_sync_is_cut_off_the_next_one_ends_it() {
    for cut in [Cut::Refused, Cut::Lost, Cut::Killed] {
        let mut at = 0;
        loop {
            let world = memory().await;
            let old = world.config_map("old", "", "1");
            let mut first = declared(&world, "1");
            first.push(old);
            let (report, _) = world.sync(&first).await;
            assert!(report.succeeded(), "{report}");
            let wanted = declared(&world, "2");
            let plan = world.plan(&wanted).await;

            let seen = Arc::new(Mutex::new(0_usize));
            let counter = seen.clone();
            let killed = Arc::new(tokio::sync::Notify::new());
            let kill = killed.clone();
            world.cluster.inject(move |_| {
                let mut count = counter.lock().expect("no panic holds it");
                *count += 1;
                let error = ClusterError::Unreachable("connection reset".into());
                match (*count - 1).cmp(&at) {
                    std::cmp::Ordering::Less => None,
                    std::cmp::Ordering::Equal => match cut {
                        Cut::Refused => Some(Fault::Refuse(error)),
                        Cut::Lost => Some(Fault::Lose(error)),
                        Cut::Killed => {
                            kill.notify_one();
                            Some(Fault::Lose(error))
                        }
                    },
                    std::cmp::Ordering::Greater => Some(Fault::Refuse(error)),
                }
            });
            let options = impatient();
            let running = sync(&plan, &world.cluster, &options, |_| {});
            if cut == Cut::Killed {
                tokio::select! {
                    biased;
                    () = killed.notified() => {}
                    _ = running => {}
                }
            } else {
                running.await;
            }
            let requests = *seen.lock().expect("no panic holds it");
            world.cluster.inject(|_| None);

            let between = versions(&world);
            for number in 0..OBJECTS {
                let name = format!("m{number}");
                assert!(between.contains_key(&name), "{name} was deleted");
            }
            let done: Vec<String> = written(&world, "2");
            let (report, _) = world.sync(&wanted).await;
            assert!(report.succeeded(), "{report}");
            let after = versions(&world);
            assert_eq!(after.len(), OBJECTS, "nothing is left behind");
            assert_eq!(written(&world, "2").len(), OBJECTS);
            // What was written before is not written again.
            for name in done {
                assert_eq!(between[&name], after[&name], "{name} was written twice");
            }
            if requests <= at {
                break;
            }
            at += 1;
        }
        assert!(at > OBJECTS, "every request was cut off once");
    }
}

/// The objects that hold a value.
fn written(world: &World<MemoryCluster>, value: &str) -> Vec<String> {
    let objects = world.cluster.objects();
    let holds = |object: &Manifest| {
        let data = object.at(&["data"]).and_then(|data| data.as_map());
        data.is_some_and(|data| data.values().any(|held| held.as_str() == Some(value)))
    };
    let maps = objects
        .iter()
        .filter(|(key, object)| key.kind == "ConfigMap" && key.name != "old" && holds(object));
    maps.map(|(key, _)| key.name.to_string()).collect()
}
