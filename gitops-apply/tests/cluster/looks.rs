//! Looks that a reconciler takes at applications, and what they cost.

use std::sync::Arc;
use std::time::Duration;

use gitops_apply::cluster::cache::CacheOptions;
use gitops_apply::cluster::{Deletion, Propagation, Write};
use gitops_apply::reconcile::SyncStatus;
use gitops_apply::{AppStatus, Cluster, ReconcileOptions, Reconciler, Record, Repositories, Scan};
use gitops_core::app::{App, argo};
use gitops_core::{Gvk, Value};
use jiff::Timestamp;

use crate::world::{World, yaml};

/// A repository: a directory that goes away.
pub(crate) struct Repository {
    place: tempfile::TempDir,
    url: String,
}

impl Repository {
    pub(crate) fn new(name: &str) -> Repository {
        Repository {
            place: tempfile::tempdir().expect("a directory"),
            url: format!("https://example.com/{name}"),
        }
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        let path = self.place.path().join(file);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("room");
        std::fs::write(path, text).expect("room");
    }

    pub(crate) fn remove(&self, file: &str) {
        std::fs::remove_file(self.place.path().join(file)).expect("it was there");
    }

    /// The application that deploys it.
    pub(crate) fn app(&self, name: &str, namespace: &str, source: &str) -> App {
        let url = &self.url;
        let app = yaml(&format!(
            r#"{{"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
                "metadata": {{"name": {name:?}}},
                "spec": {{"project": "default",
                    "source": {{"repoURL": {url:?}, "path": ".", "targetRevision": "HEAD"{source}}},
                    "destination": {{"server": "https://kubernetes.default.svc", "namespace": {namespace:?}}},
                    "syncPolicy": {{"automated": {{"prune": true, "selfHeal": true, "allowEmpty": true}}}}}}}}"#
        ));
        argo::from_manifest(&app).expect("an application")
    }
}

pub(crate) fn repositories(all: &[&Repository]) -> Arc<Repositories> {
    let mut repositories = Repositories::default();
    for repository in all {
        let place = repository.place.path().to_str().expect("UTF-8");
        repositories.map(&repository.url, place);
    }
    Arc::new(repositories)
}

pub(crate) fn options() -> ReconcileOptions {
    let kinds = [("v1", "ConfigMap"), ("v1", "Secret"), ("v1", "Service")];
    ReconcileOptions {
        scan: Scan::Kinds(
            kinds
                .map(|(version, kind)| Gvk::parse(version, kind))
                .to_vec(),
        ),
        ..ReconcileOptions::default()
    }
}

fn config_map(name: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{value: {value:?}}}\n"
    )
}

/// Looks until something is seen, which a watch may tell a little later.
async fn until<C: Cluster>(
    reconciler: &mut Reconciler<'_, C>,
    app: &App,
    seen: impl Fn(&AppStatus) -> bool,
) -> AppStatus {
    for _ in 0..100 {
        let status = reconciler.refresh(app, Timestamp::UNIX_EPOCH).await;
        if seen(&status) {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not seen");
}

/// Every request is counted.
pub(crate) async fn what_has_not_changed_costs_no_request<C: Cluster>(
    world: &World<C>,
    cluster: &C,
    requests: impl Fn() -> u64,
) {
    let repository = Repository::new("shop");
    repository.write("a.yaml", &config_map("a", "1"));
    repository.write("b.yaml", &config_map("b", "1"));
    repository.write(
        "s.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: hunter2}\n",
    );
    let app = repository.app("shop", &world.namespace, "");
    for recorded in [false, true] {
        let mut options = options();
        options.cache = Some(CacheOptions::default());
        if recorded {
            options.record = |app| Record::inventory(&app.name, app.destination.namespace.clone());
        }
        let mut reconciler = Reconciler::new(cluster, repositories(&[&repository]), options);
        let now = Timestamp::UNIX_EPOCH;
        reconciler.reconcile(&app, now, |_| {}).await;
        // The record is made with the first sync.
        reconciler.sync(&app, Default::default(), now, |_| {}).await;
        let status = until(&mut reconciler, &app, |status| {
            status.sync == SyncStatus::Synced
        })
        .await;
        assert!(status.conditions.is_empty(), "{status:?}");
        let before = requests();
        for _ in 0..5 {
            let status = reconciler.reconcile(&app, now, |_| {}).await;
            assert_eq!(status.sync, SyncStatus::Synced, "{status}");
            assert!(status.operation.is_none());
        }
        assert_eq!(requests(), before, "recorded: {recorded}");

        // What others do is seen and undone.
        let changed = world.config_map("a", "", "2");
        let write = Write {
            force: true,
            ..Write::by("somebody")
        };
        world
            .cluster
            .apply(&changed, &write)
            .await
            .expect("applied");
        until(&mut reconciler, &app, |status| {
            status.sync == SyncStatus::OutOfSync
        })
        .await;
        reconciler.reconcile(&app, now, |_| {}).await;
        let live = world.get("v1", "ConfigMap", "a").await.expect("there");
        assert_eq!(
            live.at(&["data", "value"]).and_then(Value::as_str),
            Some("1")
        );
        let deletion = Deletion {
            propagation: Propagation::Background,
            ..Deletion::default()
        };
        world
            .cluster
            .delete(live.key(), &deletion)
            .await
            .expect("deleted");
        until(&mut reconciler, &app, |status| {
            status.sync == SyncStatus::OutOfSync
        })
        .await;
        let later = Timestamp::from_second(1_000).expect("a time");
        reconciler.reconcile(&app, later, |_| {}).await;
        assert!(world.get("v1", "ConfigMap", "a").await.is_some());

        // What is declared no more is pruned, once.
        repository.remove("b.yaml");
        let status = reconciler
            .sync(&app, Default::default(), later, |_| {})
            .await;
        assert!(status.operation.is_some_and(|report| report.succeeded()));
        until(&mut reconciler, &app, |status| {
            status.sync == SyncStatus::Synced
        })
        .await;
        let before = requests();
        reconciler.reconcile(&app, later, |_| {}).await;
        assert_eq!(requests(), before, "recorded: {recorded}");
        repository.write("b.yaml", &config_map("b", "1"));
    }
}
