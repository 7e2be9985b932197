//! Objects to a real API server: one request for each, then a whole sync, then
//! the same sync again. `benches/peers-apply` has `kubectl` beside it.
//!
//! ```text
//! server objects NAMESPACE       the objects, for kubectl
//! server time NAMESPACE...       seconds of each, in two namespaces
//! ```
//!
//! The cluster is that of `KUBECONFIG`. The namespaces must be there.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what it prints is what it is for"
)]

use std::error::Error;
use std::time::Instant;

use futures_util::stream::StreamExt as _;
use gitops_apply::cluster::kube::{KubeCluster, KubeOptions};
use gitops_apply::cluster::{Cluster, Write};
use gitops_apply::plan::Counts;
use gitops_apply::{LiveOptions, LiveState, PlanOptions, SyncOptions, plan, sync};
use gitops_benches::APP;
use gitops_core::{Manifest, Origin, manifest};
use gitops_diff::FIELD_MANAGER;

/// Half of them deployments, half maps of settings.
const COUNT: usize = 1000;

/// How many requests are under way at once.
const AT_ONCE: usize = 32;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    // cargo passes flags of its own.
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["objects", namespace] => {
            print!("{}", gitops_benches::pairs_text(COUNT, namespace));
            Ok(())
        }
        ["time", bare, whole] => tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?
            .block_on(time(bare, whole)),
        _ => {
            println!("server: not run, it needs a server: see benches/peers-apply");
            Ok(())
        }
    }
}

async fn time(bare: &str, whole: &str) -> Result<(), Failure> {
    // Every client begins as a program does: without connections.
    let cluster = || KubeCluster::from_kubeconfig(None, None, KubeOptions::default());
    let objects = read(bare)?;
    let server = cluster().await?;
    let begun = Instant::now();
    let write = Write::by(FIELD_MANAGER);
    let requests = objects.iter().map(|object| server.apply(object, &write));
    let mut answers = futures_util::stream::iter(requests).buffer_unordered(AT_ONCE);
    while let Some(answer) = answers.next().await {
        answer?;
    }
    println!("bare {:.3}", begun.elapsed().as_secs_f64());

    let objects = read(whole)?;
    for run in ["first", "again"] {
        let server = cluster().await?;
        let begun = Instant::now();
        let looking = LiveOptions::new(APP, whole);
        let live = LiveState::read(&server, &objects, &looking).await?;
        let looked = begun.elapsed();
        let plan = plan(&objects, &live, &PlanOptions::new(APP, whole));
        let planned = begun.elapsed() - looked;
        let Counts {
            create,
            update,
            unchanged,
            ..
        } = plan.counts();
        let report = sync(&plan, &server, &SyncOptions::default(), |_| {}).await;
        let seconds = begun.elapsed().as_secs_f64();
        println!("{run} {seconds:.3}");
        eprintln!(
            "{run}: {create} to create, {update} to update, {unchanged} unchanged; looked for \
             {looked:.3?}, planned for {planned:.3?}; {}",
            report.message
        );
    }
    Ok(())
}

fn read(namespace: &str) -> Result<Vec<Manifest>, Failure> {
    let text = gitops_benches::pairs_text(COUNT, namespace);
    Ok(manifest::parse(text.as_bytes(), &Origin::file("all.yaml"))?)
}
