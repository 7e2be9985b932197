//! A sync of 40 objects, cut off at every request in turn.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gitops_apply::cluster::Selection;
use gitops_apply::report::{Event, ResultCode};
use gitops_apply::{Cluster, SyncOptions, sync};
use gitops_core::{Gvk, Manifest};
use tokio::sync::Notify;

use crate::world::World;

const OBJECTS: usize = 40;

/// How a request goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cut {
    /// It does not arrive, and neither does any later one.
    Refused,
    /// It is carried out, and nobody hears of it; no later one arrives.
    Lost,
    /// The engine is killed right after it.
    Killed,
}

/// What lies between the engine and the server.
pub(crate) trait Line<C> {
    /// The server at the far end, reached through a line that is whole until
    /// request number `at`. After that nothing gets through. `after` is told
    /// once that request has been carried out.
    async fn cut(&self, at: usize, cut: Cut, after: Arc<Notify>) -> C;

    /// Makes the line whole. Says how many requests were made since it was
    /// cut.
    fn mend(&self) -> usize;
}

fn declared<C: Cluster>(world: &World<C>, value: &str) -> Vec<Manifest> {
    (0..OBJECTS)
        .map(|number| {
            let wave = format!(r#""argocd.argoproj.io/sync-wave": "{}""#, number / 14);
            world.config_map(&format!("m{number}"), &wave, value)
        })
        .collect()
}

/// The test's objects by name: version and value.
async fn objects<C: Cluster>(world: &World<C>) -> BTreeMap<String, (String, String)> {
    let selection = Selection::within(Gvk::parse("v1", "ConfigMap"), &*world.namespace);
    let listing = world.cluster.list(&selection).await.expect("a listing");
    let text = |object: &Manifest, path: &[&str]| {
        let text = object.at(path).and_then(|text| text.as_str());
        text.unwrap_or_default().to_owned()
    };
    // Every namespace of a real cluster has one of its own.
    let ours = listing
        .items
        .iter()
        .filter(|object| object.name() != "kube-root-ca.crt");
    ours.map(|object| {
        let version = text(object, &["metadata", "resourceVersion"]);
        (
            object.name().to_owned(),
            (version, text(object, &["data", "value"])),
        )
    })
    .collect()
}

/// Cuts at every `stride`th request.
pub(crate) async fn wherever_a_sync_is_cut_off_the_next_one_ends_it<C: Cluster>(
    world: &World<C>,
    line: &impl Line<C>,
    stride: usize,
) {
    let mut round = 0;
    for cut in [Cut::Refused, Cut::Lost, Cut::Killed] {
        let mut at = 0;
        loop {
            // What was wanted last time, and one object more that is not
            // wanted any longer.
            let mut before = declared(world, &format!("{round}"));
            before.push(world.config_map("old", "", "old"));
            let (report, _) = world.sync(&before).await;
            assert!(report.succeeded(), "{report}");
            round += 1;
            let value = round.to_string();
            let wanted = declared(world, &value);
            let plan = world.plan(&wanted).await;

            let after = Arc::new(Notify::new());
            let cluster = line.cut(at, cut, after.clone()).await;
            let options = SyncOptions {
                patience: Duration::ZERO,
                timeout: Some(Duration::from_secs(60)),
                ..SyncOptions::default()
            };
            let running = sync(&plan, &cluster, &options, |_| {});
            if cut == Cut::Killed {
                tokio::select! {
                    biased;
                    () = after.notified() => {}
                    _ = running => {}
                }
            } else {
                running.await;
            }
            let requests = line.mend();

            recovers(world, &value, &format!("{cut:?} {at}")).await;
            if requests <= at {
                break;
            }
            at += stride;
        }
        assert!(at > OBJECTS, "every request was cut off once");
    }
}

/// What is true after a sync that ended early, and after the next one.
async fn recovers<C: Cluster>(world: &World<C>, value: &str, about: &str) {
    let between = objects(world).await;
    for number in 0..OBJECTS {
        let name = format!("m{number}");
        assert!(between.contains_key(&name), "{about}: {name} was deleted");
    }
    // Deletions take a moment where a controller looks for dependents first.
    let options = SyncOptions {
        wait_for_last: true,
        timeout: Some(Duration::from_secs(60)),
        ..SyncOptions::default()
    };
    let wanted = declared(world, value);
    let plan_options = world.plan_options();
    let (report, _) = world.sync_with(&wanted, &plan_options, &options).await;
    assert!(report.succeeded(), "{about}: {report}");
    let ended = objects(world).await;
    assert_eq!(ended.len(), OBJECTS, "{about}: nothing is left behind");
    for (name, (version, held)) in &ended {
        assert_eq!(held, value, "{about}: {name}");
        // What was written before is not written again.
        let (old_version, old) = &between[name];
        assert!(
            old != value || old_version == version,
            "{about}: {name} twice"
        );
    }
}

/// The server is killed after some of the objects, and comes back.
pub(crate) async fn an_outage_ends_a_sync_and_the_next_one_ends_it<C: Cluster>(world: &World<C>) {
    for (round, written) in [1, 17, OBJECTS - 1].into_iter().enumerate() {
        let mut before = declared(world, "before");
        before.push(world.config_map("old", "", "old"));
        let (report, _) = world.sync(&before).await;
        assert!(report.succeeded(), "{report}");
        let value = round.to_string();
        let plan = world.plan(&declared(world, &value)).await;
        let options = SyncOptions {
            patience: Duration::ZERO,
            concurrency: 2,
            ..SyncOptions::default()
        };
        let mut done = 0;
        // Whether it fails depends on how soon the server is back.
        sync(&plan, &world.cluster, &options, |event| {
            if let Event::Object { result } = event
                && result.status == ResultCode::Synced
            {
                done += 1;
                if done == written {
                    (world.outage)();
                    // The command takes a moment to come to the point.
                    std::thread::sleep(Duration::from_secs(1));
                }
            }
        })
        .await;
        let mut patience = 600;
        while world.cluster.discover().await.is_err() {
            patience -= 1;
            assert!(patience > 0, "the server does not come back");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        recovers(world, &value, &format!("killed after {written}")).await;
    }
}
