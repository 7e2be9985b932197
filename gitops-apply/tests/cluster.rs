//! What every cluster does, and what a sync makes of it, on the server in
//! memory. `server.rs` runs the same suite on a real one.

#[path = "cluster/faults.rs"]
mod faults;
#[path = "cluster/health.rs"]
mod health;
#[path = "cluster/histories.rs"]
mod histories;
#[path = "cluster/kustomizations.rs"]
mod kustomizations;
#[path = "cluster/outages.rs"]
mod outages;
#[path = "cluster/plans.rs"]
mod plans;
#[path = "cluster/suite.rs"]
mod suite;
#[path = "cluster/world.rs"]
mod world;

use std::time::Duration;

use gitops_apply::cluster::memory::{Fault, MemoryOptions};
use gitops_apply::{ClusterError, MemoryCluster};
use jiff::Timestamp;
use world::World;

/// A server in memory, with controllers that take a tenth of a second.
async fn memory() -> World<MemoryCluster> {
    let options = MemoryOptions {
        simulate: Some(Duration::from_millis(100)),
        now: Timestamp::from_second(1_700_000_000).expect("a time"),
        ..MemoryOptions::default()
    };
    let cluster = MemoryCluster::new(options);
    let server = cluster.clone();
    let outage = move || {
        let until = tokio::time::Instant::now() + Duration::from_secs(5);
        let mut first = true;
        server.inject(move |_| {
            let error = ClusterError::Unreachable("connection refused".into());
            // What was under way is done, but nobody hears of it.
            if std::mem::take(&mut first) {
                return Some(Fault::Lose(error));
            }
            (tokio::time::Instant::now() < until).then_some(Fault::Refuse(error))
        });
    };
    let world = World {
        cluster,
        namespace: "test".to_owned(),
        outage: Box::new(outage),
    };
    world.prepare().await;
    world
}

macro_rules! in_memory {
    ($($test:ident)*) => {
        $(
            #[tokio::test(start_paused = true)]
            async fn $test() {
                suite::$test(&memory().await).await;
            }
        )*
    };
}

suite::on_every_cluster!(in_memory);

#[tokio::test(start_paused = true)]
async fn a_sync_outlives_an_outage() {
    suite::a_sync_outlives_an_outage(&memory().await).await;
}
