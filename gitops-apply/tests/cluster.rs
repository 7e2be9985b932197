//! What every cluster does, and what a sync makes of it, on the server in
//! memory. `server.rs` runs the same suite on a real one.

#[path = "cluster/caches.rs"]
mod caches;
#[path = "cluster/faults.rs"]
mod faults;
#[path = "cluster/health.rs"]
mod health;
#[path = "cluster/histories.rs"]
mod histories;
#[path = "cluster/kustomizations.rs"]
mod kustomizations;
#[path = "cluster/looks.rs"]
mod looks;
#[path = "cluster/loops.rs"]
mod loops;
#[path = "cluster/outages.rs"]
mod outages;
#[path = "cluster/plans.rs"]
mod plans;
#[path = "cluster/records.rs"]
mod records;
#[path = "cluster/secrecy.rs"]
mod secrecy;
#[path = "cluster/suite.rs"]
mod suite;
#[path = "cluster/world.rs"]
mod world;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use faults::Cut;
use gitops_apply::cluster::memory::{Fault, MemoryOptions};
use gitops_apply::{ClusterError, MemoryCluster};
use jiff::Timestamp;
use world::{World, rounds};

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
    ($($module:ident: $($test:ident)*;)*) => {
        $($(
            #[tokio::test(start_paused = true)]
            async fn $test() {
                $module::$test(&memory().await).await;
            }
        )*)*
    };
}

suite::on_every_cluster!(in_memory);

#[tokio::test(start_paused = true)]
async fn a_sync_outlives_an_outage() {
    suite::a_sync_outlives_an_outage(&memory().await).await;
}

#[tokio::test(start_paused = true)]
async fn secrets_appear_nowhere() {
    let world = memory().await;
    let server = world.cluster.clone();
    // Now and then a webhook says why it does not like a Secret.
    let disturb = move |canaries: Option<&[String]>| {
        let message = canaries.map(|canaries| {
            let bytes = canaries.first().map(|canary| canary.as_bytes());
            format!("denied: {canaries:?} {bytes:?}")
        });
        server.inject(move |request| {
            let refused = request.kind == "Secret" && request.verb != "list";
            let message = message.clone().filter(|_| refused)?;
            Some(Fault::Refuse(ClusterError::Forbidden { message }))
        });
    };
    secrecy::secrets_appear_nowhere(&world, rounds(150), disturb).await;
}

/// The line to a server in memory.
struct Memory {
    cluster: MemoryCluster,
    seen: Arc<Mutex<usize>>,
}

impl faults::Line<MemoryCluster> for Memory {
    async fn cut(&self, at: usize, cut: Cut, after: Arc<tokio::sync::Notify>) -> MemoryCluster {
        let seen = self.seen.clone();
        self.cluster.inject(move |_| {
            let mut seen = seen.lock().expect("no panic holds it");
            *seen += 1;
            let error = ClusterError::Unreachable("connection reset".into());
            match (*seen - 1).cmp(&at) {
                std::cmp::Ordering::Less => None,
                std::cmp::Ordering::Equal if cut != Cut::Refused => {
                    after.notify_one();
                    Some(Fault::Lose(error))
                }
                _ => Some(Fault::Refuse(error)),
            }
        });
        self.cluster.clone()
    }

    fn mend(&self) -> usize {
        self.cluster.inject(|_| None);
        std::mem::take(&mut *self.seen.lock().expect("no panic holds it"))
    }
}

#[tokio::test(start_paused = true)]
async fn wherever_a_sync_is_cut_off_the_next_one_ends_it() {
    let world = memory().await;
    let line = Memory {
        cluster: world.cluster.clone(),
        seen: Arc::default(),
    };
    faults::wherever_a_sync_is_cut_off_the_next_one_ends_it(&world, &line, 1).await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_ends_a_sync_and_the_next_one_ends_it() {
    faults::an_outage_ends_a_sync_and_the_next_one_ends_it(&memory().await).await;
}

#[tokio::test(start_paused = true)]
async fn what_has_not_changed_costs_no_request() {
    let world = memory().await;
    let requests = || world.cluster.requests();
    looks::what_has_not_changed_costs_no_request(&world, &world.cluster, requests).await;
}
