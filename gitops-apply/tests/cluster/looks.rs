//! Looks that a reconciler takes at applications, and what they cost.

use std::sync::Arc;
use std::time::Duration;

use gitops_apply::cluster::cache::CacheOptions;
use gitops_apply::cluster::{Deletion, Propagation, Write};
use gitops_apply::reconcile::{Surroundings, SyncStatus, desired};
use gitops_apply::{AppStatus, Cluster, ReconcileOptions, Reconciler, Record, Repositories, Scan};
use gitops_core::app::{App, argo};
use gitops_core::{Gvk, Value};
use gitops_render::helm::Seed;
use gix::objs::tree::EntryKind;
use jiff::Timestamp;

use crate::world::{World, yaml};

/// Commits a change to what a reference has.
pub(crate) fn commit<'g>(
    git: &'g gix::Repository,
    reference: &str,
    change: impl FnOnce(&mut gix::object::tree::Editor<'_>),
) -> gix::Id<'g> {
    let found = git.try_find_reference(reference).expect("references");
    // The first commit has none before it.
    let parent = found.and_then(|mut found| found.peel_to_commit().ok());
    let before = match &parent {
        Some(commit) => commit.tree().expect("a tree"),
        None => git.empty_tree(),
    };
    let mut tree = before.edit().expect("a tree");
    change(&mut tree);
    let author = gix::actor::SignatureRef {
        name: "Ada".into(),
        email: "ada@example.com".into(),
        time: "1700000000 +0100",
    };
    let tree = tree.write().expect("a tree");
    let parents = parent.map(|commit| commit.id);
    git.commit_as(author, author, reference, "A change.", tree, parents)
        .expect("a commit")
}

/// A repository: a directory that goes away, or one of Git to which every
/// change is committed.
pub(crate) struct Repository {
    place: tempfile::TempDir,
    url: String,
    git: Option<gix::Repository>,
}

impl Repository {
    pub(crate) fn new(name: &str) -> Repository {
        Repository {
            place: tempfile::tempdir().expect("a directory"),
            url: format!("https://example.com/{name}"),
            git: None,
        }
    }

    pub(crate) fn of_git(name: &str) -> Repository {
        let repository = Repository::new(name);
        let git = gix::init(repository.place.path()).expect("a repository");
        Repository {
            git: Some(git),
            ..repository
        }
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        let Some(git) = &self.git else {
            let path = self.place.path().join(file);
            std::fs::create_dir_all(path.parent().expect("a directory")).expect("room");
            return std::fs::write(path, text).expect("room");
        };
        let blob = git.write_blob(text).expect("a blob");
        commit(git, "HEAD", |tree| {
            tree.upsert(file, EntryKind::Blob, blob).expect("a path");
        });
    }

    pub(crate) fn remove(&self, file: &str) {
        let Some(git) = &self.git else {
            return std::fs::remove_file(self.place.path().join(file)).expect("it was there");
        };
        commit(git, "HEAD", |tree| {
            tree.remove(file).expect("a path");
        });
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

pub(crate) fn config_map(name: &str, value: &str) -> String {
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
    let mut last = String::new();
    for _ in 0..100 {
        let status = reconciler.refresh(app, Timestamp::UNIX_EPOCH).await;
        if seen(&status) {
            return status;
        }
        last = status.plan.map_or(String::new(), |plan| plan.to_string());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not seen: {last}");
}

/// Every request is counted.
pub(crate) async fn what_has_not_changed_costs_no_request<C: Cluster>(
    world: &World<C>,
    cluster: &C,
    requests: impl Fn() -> u64,
) {
    let repository = Repository::of_git("shop");
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

/// `lookup` finds nothing unless it is asked to; then it may ask on and on, but
/// not for ever.
pub(crate) async fn charts_look_up_what_the_cluster_holds<C: Cluster>(world: &World<C>) {
    let write = Write::by("somebody");
    for (name, next) in [("one", "two"), ("two", "three")] {
        let map = world.config_map(name, "", next);
        world.cluster.apply(&map, &write).await.expect("applied");
    }
    let repository = Repository::new("chart");
    repository.write(
        "Chart.yaml",
        "apiVersion: v2\nname: chart\nversion: 1.0.0\n",
    );
    repository.write(
        "templates/found.yaml",
        r#"
{{- $one := lookup "v1" "ConfigMap" .Release.Namespace "one" }}
{{- $two := lookup "v1" "ConfigMap" .Release.Namespace (dig "data" "value" "none" $one) }}
{{- $none := lookup "v1" "Secret" .Release.Namespace "none" }}
{{- $space := lookup "v1" "Namespace" "" .Release.Namespace }}
{{- $all := lookup "v1" "ConfigMap" .Release.Namespace "" }}
apiVersion: v1
kind: ConfigMap
metadata: {name: found}
data:
  two: {{ dig "data" "value" "nothing" $two }}
  none: {{ $none | toJson | quote }}
  space: {{ dig "metadata" "name" "nothing" $space }}
  all: {{ $all.items | default list | len | quote }}
  service: {{ .Capabilities.APIVersions.Has "v1/Service" | quote }}
"#,
    );
    let app = repository.app("chart", &world.namespace, "");
    let found = async |options: ReconcileOptions| {
        let mut reconciler = Reconciler::new(&world.cluster, repositories(&[&repository]), options);
        let status = reconciler
            .reconcile(&app, Timestamp::UNIX_EPOCH, |_| {})
            .await;
        let live = world.get("v1", "ConfigMap", "found").await;
        let data = live.and_then(|live| live.at(&["data"]).cloned());
        (
            status,
            data.map(|data| gitops_core::json::to_string(&data))
                .unwrap_or_default(),
        )
    };
    let (status, data) = found(options()).await;
    assert!(!status.failed(), "{status}");
    assert_eq!(
        data,
        r#"{"all":"0","none":"{}","service":"true","space":"nothing","two":"nothing"}"#
    );
    let asking = || ReconcileOptions {
        lookup: true,
        ..options()
    };
    let (status, data) = found(asking()).await;
    assert!(!status.failed(), "{status}");
    let all = match data.contains(r#""all":"4""#) {
        // A real namespace has a ConfigMap of its own.
        true => "4",
        false => "3",
    };
    let space = &world.namespace;
    assert_eq!(
        data,
        format!(
            r#"{{"all":"{all}","none":"{{}}","service":"true","space":"{space}","two":"three"}}"#
        )
    );

    repository.write(
        "templates/unknown.yaml",
        r#"{{ lookup "example.com/v1" "Nothing" "" "" }}"#,
    );
    let (status, _) = found(asking()).await;
    let said = status.conditions[0].message.clone();
    assert!(
        said.contains("unable to get apiresource from unstructured: example.com/v1, Kind=Nothing"),
        "{said}"
    );
    repository.write(
        "templates/unknown.yaml",
        r#"
{{- define "on" }}
{{- $found := lookup "v1" "ConfigMap" .space .name }}
{{- if lt .left 20 }}{{ include "on" (dict "space" .space "left" (add1 .left) "name" (printf "%s-%t" .name (empty $found))) }}{{ end }}
{{- end }}
{{- include "on" (dict "space" .Release.Namespace "left" 0 "name" "x") }}
"#,
    );
    let (status, _) = found(asking()).await;
    assert!(
        !status.failed(),
        "what is not there is asked for at once: {status}"
    );
}

/// Files of Secrets that cannot be read are not quoted either.
pub(crate) async fn broken_files_of_secrets_are_not_quoted<C: Cluster>(world: &World<C>) {
    let mut search = crate::secrecy::Search::default();
    let mut dice = crate::world::Dice(0x00B2_0CE4_F11E);
    let head = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n";
    for (file, body) in [
        ("a.yaml", "stringData:\n  a: \"$ unterminated\n"),
        ("a.yaml", "stringData:\n  a: $: b: c\n"),
        ("a.yaml", "stringData: $\n"),
        ("a.yaml", "data: [$]\n"),
        ("a.yaml", "data:\n  a: !!int $\n"),
        ("a.yaml", "data:\n  a: !!binary $!\n"),
        ("a.yaml", "data:\n  a: $\n  a: $\n"),
        ("a.yaml", "data:\n  a: &x $\n  b: *$\n"),
        ("a.yaml", "data:\n  a: $\n b: $\n"),
        ("a.yaml", "data:\n  a: $\n\tb: $\n"),
        ("a.yaml", "data: {a: $, b: {c: $}}\n"),
        ("a.yaml", "stringData:\n  a: |\n   $\n  $\n"),
        ("a.yaml", "stringData:\n  %$: x\n"),
        ("a.yaml", "stringData:\n  a: '$\\\n\n--- $\n"),
        (
            "a.json",
            "{\"apiVersion\": \"v1\", \"kind\": \"Secret\", \"metadata\": {\"name\": \"s\"}, \"data\": {\"a\": \"$\" \"$\"}}",
        ),
        (
            "a.json",
            "{\"apiVersion\": \"v1\", \"kind\": \"Secret\", \"metadata\": {\"name\": \"s\"}, \"data\": {\"a\": $}}",
        ),
    ] {
        // As a plain file, in a chart, and in a kustomization.
        for (file, more) in [
            (file.to_owned(), ""),
            (format!("templates/{file}"), "Chart.yaml"),
            (file.to_owned(), "kustomization.yaml"),
        ] {
            let repository = Repository::new("broken");
            let canary = search.canary(&mut dice);
            let head = if file.ends_with("json") { "" } else { head };
            repository.write(&file, &format!("{head}{body}").replace('$', &canary));
            match more {
                "" => {}
                "Chart.yaml" => {
                    repository.write(more, "apiVersion: v2\nname: c\nversion: 1.0.0\n");
                }
                more => repository.write(more, &format!("resources: [{file}]\n")),
            }
            let app = repository.app("broken", &world.namespace, "");
            let found = repositories(&[&repository]);
            // Some can be read, and are refused; nobody has to wait for that.
            let mut reconciler = Reconciler::new(&world.cluster, found, options());
            let status = reconciler
                .reconcile(&app, Timestamp::UNIX_EPOCH, |_| {})
                .await;
            search.say(&status);
            search.write(&status);
            // The error as a program has it, with its causes.
            let sources = repositories(&[&repository]);
            let surroundings = Surroundings {
                capabilities: Default::default(),
                seed: Seed::System,
                objects: None,
            };
            if let Err(error) = desired(&app, &sources, &surroundings) {
                let mut cause: Option<&dyn std::error::Error> = Some(&error);
                while let Some(error) = cause {
                    search.say(error);
                    search.show(error);
                    cause = error.source();
                }
            }
        }
        search.finish(body);
    }
}
