//! The life of a platform in one minute: nothing is needed but this program.
//!
//! The sample repository `platform-ops` is committed to a fresh Git
//! repository; its applications are found, planned and synced to a cluster in
//! memory. Then somebody scales by hand, a new image is promoted by a commit,
//! the commit is reverted, and a file is removed.
#![expect(clippy::print_stdout, reason = "a demonstration prints")]

use std::path::Path;
use std::time::Duration;

use gitops_apply::cluster::memory::MemoryOptions;
use gitops_apply::reconcile::{AppStatus, ReconcileOptions};
use gitops_apply::{Cluster, MemoryCluster, Reconciler};
use gitops_core::app::App;
use gitops_core::{ObjectKey, Value};
use gitops_examples::history::Author;
use gitops_examples::repo::Workspace;
use gitops_examples::screen::{Color, Screen};
use jiff::Timestamp;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let screen = Screen::stdout();
    let title = |number: usize, text: &str| {
        println!(
            "\n{}",
            screen.paint(&format!("{number}. {text}"), Color::Bold)
        );
    };

    title(1, "A repository");
    let place = tempfile::tempdir()?;
    let author = Author::init(place.path(), "https://github.com/acme/platform-ops.git")?;
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("platform-ops");
    let first = author.import(&sample, "The platform")?;
    println!(
        "   committed {} files as {}",
        author.file_count()?,
        first.short()
    );

    title(2, "Its applications");
    let workspace = Workspace::open(&place.path().to_string_lossy(), None, &[])?;
    let found = workspace.discover()?;
    for app in &found.apps {
        println!(
            "   {:14} {:24} -> {}",
            app.name, app.sources[0].path, app.destination.namespace
        );
    }

    let cluster = MemoryCluster::new(MemoryOptions {
        simulate: Some(Duration::from_millis(20)),
        now: Timestamp::now(),
        ..MemoryOptions::default()
    });
    let mut platform = Platform {
        reconciler: Reconciler::new(
            &cluster,
            workspace.repositories.clone(),
            ReconcileOptions::default(),
        ),
        workspace: &workspace,
        screen,
    };

    title(3, "What would be done");
    for app in &found.apps {
        let status = platform.reconciler.refresh(app, Timestamp::now()).await;
        if let Some(plan) = &status.plan {
            println!("   {:14} {}", app.name, plan.counts());
        }
    }

    title(4, "The first sync");
    platform.look().await?;

    title(5, "Somebody scales by hand");
    let deployment = ObjectKey {
        group: "apps".into(),
        kind: "Deployment".into(),
        namespace: "observability".into(),
        name: "grafana".into(),
    };
    let patch: Value = [("spec", [("replicas", 5)])]
        .into_iter()
        .map(|(key, spec)| {
            let spec: gitops_core::Map = spec
                .into_iter()
                .map(|(name, count)| (name, Value::Int(count)))
                .collect();
            (key, spec)
        })
        .collect::<gitops_core::Map>()
        .into();
    cluster
        .patch(
            &deployment,
            &patch,
            &gitops_apply::cluster::Write::by("kubectl-scale"),
        )
        .await?;
    println!("   kubectl scale deployment grafana --replicas 5");
    platform.look().await?;
    println!(
        "   replicas are {} again",
        replicas(&cluster, &deployment).await?
    );

    title(6, "Promotion: a commit changes image.tag");
    let promoted = author.edit(
        "helm/api-node/values-prod.yaml",
        "tag: \"1.4.0\"",
        "tag: \"1.5.0\"",
        "Promote api-node 1.5.0",
    )?;
    println!("   {} Promote api-node 1.5.0", promoted.short());
    platform.look().await?;
    println!("   api-node runs {}", image(&cluster, "api-node").await?);

    title(7, "Rollback: the commit is reverted");
    let reverted = author.revert(&promoted)?;
    println!("   {} Revert \"Promote api-node 1.5.0\"", reverted.short());
    platform.look().await?;
    println!("   api-node runs {}", image(&cluster, "api-node").await?);

    title(8, "A file is removed, and what it declared is pruned");
    let removed = author.remove(
        "observability/grafana/service.yaml",
        "Grafana needs no Service",
    )?;
    println!("   {} Grafana needs no Service", removed.short());
    platform.look().await?;
    let service = ObjectKey {
        group: "".into(),
        kind: "Service".into(),
        ..deployment
    };
    let gone = cluster.get(&service, "v1").await?.is_none();
    println!(
        "   Service observability/grafana is {}",
        if gone { "gone" } else { "there" }
    );

    title(9, "And nothing more to do");
    platform.look().await?;
    println!(
        "\n{}",
        screen.paint(
            "Next: `gitops sync REPO` does the same on a real cluster.",
            Color::Dim
        )
    );
    Ok(())
}

/// The platform as its keeper sees it.
struct Platform<'c> {
    reconciler: Reconciler<'c, MemoryCluster>,
    workspace: &'c Workspace,
    screen: Screen,
}

impl Platform<'_> {
    /// One look at every application.
    async fn look(&mut self) -> Result<(), Failure> {
        let apps: Vec<App> = self.workspace.discover()?.apps;
        self.reconciler.manage(&apps);
        for app in &apps {
            let status = self
                .reconciler
                .reconcile(app, Timestamp::now(), |_| {})
                .await;
            self.show(&status);
        }
        Ok(())
    }

    fn show(&self, status: &AppStatus) {
        for line in self.screen.status(status).lines() {
            println!("   {line}");
        }
    }
}

async fn replicas(cluster: &MemoryCluster, key: &ObjectKey) -> Result<i64, Failure> {
    let live = cluster.get(key, "v1").await?.ok_or("no such Deployment")?;
    let replicas = live.at(&["spec", "replicas"]).and_then(Value::as_i64);
    Ok(replicas.unwrap_or(0))
}

async fn image(cluster: &MemoryCluster, name: &str) -> Result<String, Failure> {
    let key = ObjectKey {
        group: "apps".into(),
        kind: "Deployment".into(),
        namespace: "platform".into(),
        name: name.into(),
    };
    let live = cluster.get(&key, "v1").await?.ok_or("no such Deployment")?;
    let containers = live
        .at(&["spec", "template", "spec", "containers"])
        .and_then(Value::as_list)
        .unwrap_or_default();
    let image = containers
        .first()
        .and_then(|container| container.get("image"))
        .and_then(Value::as_str);
    Ok(image.unwrap_or_default().to_owned())
}
