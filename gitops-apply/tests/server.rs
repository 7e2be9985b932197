//! The suite of `cluster.rs` on a real API server, with controllers:
//!
//! ```sh
//! export GITOPS_TEST_KUBECONFIG=FILE
//! cargo test -p gitops-apply --test server -- --skip outage
//! GITOPS_TEST_RESTART=COMMAND cargo test -p gitops-apply --test server outage -- --test-threads=1
//! ```
//!
//! Each test has a namespace of its own. Tests of an outage disturb the others,
//! so they run alone, with a command that kills and restarts the server.

#[path = "cluster/differential.rs"]
mod differential;
#[path = "cluster/faults.rs"]
mod faults;
#[path = "cluster/looks.rs"]
mod looks;
#[path = "cluster/proxy.rs"]
mod proxy;
#[path = "cluster/records.rs"]
mod records;
#[path = "cluster/secrecy.rs"]
mod secrecy;
#[path = "cluster/suite.rs"]
mod suite;
#[path = "cluster/world.rs"]
mod world;

use std::time::{SystemTime, UNIX_EPOCH};

use gitops_apply::KubeCluster;
use gitops_apply::cluster::kube::KubeOptions;
use world::World;

/// A real server, with a new namespace.
async fn real(test: &str) -> World<KubeCluster> {
    let path = std::env::var_os("GITOPS_TEST_KUBECONFIG")
        .expect("GITOPS_TEST_KUBECONFIG names the kubeconfig of a server to test on");
    let cluster = KubeCluster::from_kubeconfig(Some(path.as_ref()), None, KubeOptions::default())
        .await
        .expect("the kubeconfig is good");
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("after 1970").as_millis() % 100_000_000;
    let short: String = test
        .split('_')
        .filter_map(|word| word.chars().next())
        .collect();
    let world = World {
        cluster,
        namespace: format!("t-{short}-{now}"),
        outage: Box::new(|| {
            let command = std::env::var_os("GITOPS_TEST_RESTART")
                .expect("GITOPS_TEST_RESTART is the command that kills and restarts the server");
            let started = std::process::Command::new("sh")
                .arg("-c")
                .arg(command)
                .spawn();
            let mut started = started.expect("the command to restart the server");
            std::thread::spawn(move || started.wait());
        }),
    };
    world.prepare().await;
    world
}

macro_rules! on_the_server {
    ($($module:ident: $($test:ident)*;)*) => {
        $($(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                $module::$test(&real(stringify!($test)).await).await;
            }
        )*)*
    };
}

suite::on_every_cluster!(on_the_server);

#[tokio::test(flavor = "multi_thread")]
async fn prediction_memory_and_server_agree() {
    let world = real("differential").await;
    differential::prediction_memory_and_server_agree(&world.cluster, &world.namespace).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_outlives_an_outage() {
    suite::a_sync_outlives_an_outage(&real("restart").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_appear_nowhere() {
    secrecy::secrets_appear_nowhere(&real("secrecy").await, world::rounds(60), |_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_a_sync_is_cut_off_the_next_one_ends_it() {
    let world = real("faults").await;
    let path = std::env::var_os("GITOPS_TEST_KUBECONFIG").expect("checked before");
    let line = proxy::Proxy::new(path.as_ref(), &world.namespace).await;
    faults::wherever_a_sync_is_cut_off_the_next_one_ends_it(&world, &line, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_ends_a_sync_and_the_next_one_ends_it() {
    faults::an_outage_ends_a_sync_and_the_next_one_ends_it(&real("killed").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_not_changed_costs_no_request() {
    use faults::Line as _;
    let world = real("looks").await;
    let path = std::env::var_os("GITOPS_TEST_KUBECONFIG").expect("checked before");
    let line = proxy::Proxy::new(path.as_ref(), &world.namespace).await;
    let cluster = line
        .cut(usize::MAX, faults::Cut::Refused, Default::default())
        .await;
    looks::what_has_not_changed_costs_no_request(&world, &cluster, || line.seen()).await;
}
