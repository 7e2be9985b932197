//! The loop that keeps applications as they are declared.

use std::time::Duration;

use gitops_apply::cluster::Write;
use gitops_apply::reconcile::{self, Discovered, RunOptions};
use gitops_apply::{Cluster, ReconcileOptions, Reconciler, Record};
use gitops_core::Value;
use gitops_core::app::App;
use gitops_render::helm::Seed;
use jiff::Timestamp;

use crate::looks::{Repository, config_map, options, repositories};
use crate::world::yaml;

/// Between two polls of Git the cluster is watched, however objects are marked.
#[tokio::test(start_paused = true)]
async fn a_loop_undoes_what_others_did() {
    let records: [fn(&App) -> Record; 3] = [
        |_| Record::Marks,
        |app| Record::inventory(&app.name, "test"),
        |_| Record::apply_set("set", "test"),
    ];
    for record in records {
        let world = crate::memory().await;
        let repository = Repository::new("shop");
        repository.write("a.yaml", &config_map("a", "1"));
        let app = repository.app("shop", "test", "");
        let options = ReconcileOptions {
            record,
            ..options()
        };
        let found = repositories(&[&repository]);
        let mut reconciler = Reconciler::new(&world.cluster, found, options);
        let value = async || {
            let live = world.get("v1", "ConfigMap", "a").await.expect("there");
            let value = live.at(&["data", "value"]).and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        let meddle = async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            assert_eq!(value().await, "1");
            let write = Write {
                force: true,
                ..Write::by("somebody")
            };
            let changed = world.config_map("a", "", "2");
            let applied = world.cluster.apply(&changed, &write).await;
            applied.expect("applied");
            tokio::time::sleep(Duration::from_secs(10)).await;
            assert_eq!(value().await, "1", "{record:?}");
        };
        let run_options = RunOptions::default();
        let stop = tokio::time::sleep(Duration::from_secs(30));
        let discover = async || Discovered {
            apps: vec![app.clone()],
            others: Vec::new(),
            complete: true,
        };
        tokio::join!(
            reconcile::run(
                &mut reconciler,
                &run_options,
                discover,
                |_| {},
                |_| {},
                stop
            ),
            meddle
        );
    }
}

/// What an application declares that cannot be read just now may be anything;
/// one that is no more declares nothing.
#[tokio::test(start_paused = true)]
async fn a_loop_prunes_if_it_knows_every_application() {
    let world = crate::memory().await;
    let [one, two] = ["one", "two"].map(Repository::new);
    one.write("stays.yaml", &config_map("stays", "1"));
    one.write("goes.yaml", &config_map("goes", "1"));
    two.write("two.yaml", &config_map("two", "1"));
    let [first, second] = [one.app("one", "test", ""), two.app("two", "test", "")];
    let found = repositories(&[&one, &two]);
    let mut reconciler = Reconciler::new(&world.cluster, found, options());
    let there = async |name: &str| world.get("v1", "ConfigMap", name).await.is_some();
    let poll = Duration::from_secs(60);
    let script = async {
        tokio::time::sleep(poll / 2).await;
        assert!(there("goes").await && there("two").await);
        one.remove("goes.yaml");
        tokio::time::sleep(poll).await;
        assert!(there("goes").await, "an application is not known");
        // Its repository goes with it.
        two.remove("two.yaml");
        two.write("broken.yaml", "a: [");
        tokio::time::sleep(poll).await;
        assert!(!there("goes").await);
        assert!(
            there("two").await,
            "deleting an application is another matter"
        );
    };
    let mut polls = 0;
    let discover = async || {
        polls += 1;
        let (apps, complete) = match polls {
            1 => (vec![first.clone(), second.clone()], true),
            2 => (vec![first.clone()], false),
            _ => (vec![first.clone()], true),
        };
        Discovered {
            apps,
            others: Vec::new(),
            complete,
        }
    };
    let run_options = RunOptions {
        poll,
        ..RunOptions::default()
    };
    let stop = tokio::time::sleep(poll * 4);
    let (report, observe) = (|_: &_| {}, |_: &_| {});
    tokio::join!(
        reconcile::run(
            &mut reconciler,
            &run_options,
            discover,
            report,
            observe,
            stop
        ),
        script
    );
}

/// What was rendered is kept for as long as it would be the same again.
#[tokio::test(start_paused = true)]
async fn what_has_not_changed_is_not_rendered_again() {
    let world = crate::memory().await;
    let seed = Seed::fixed(b"test", std::time::SystemTime::UNIX_EPOCH);
    let drawn = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n\
                 data: {value: '{{ randAlpha 5 }}'}\n";
    // Whether the second look finds what was rendered for the first one.
    let looks = [
        ("a.yaml", config_map("a", "1"), options(), true),
        (
            "a.yaml",
            config_map("a", "1"),
            ReconcileOptions {
                rendered: 0,
                ..options()
            },
            false,
        ),
        ("templates/a.yaml", config_map("a", "1"), options(), true),
        ("templates/a.yaml", drawn.to_owned(), options(), false),
        (
            "templates/a.yaml",
            drawn.to_owned(),
            ReconcileOptions { seed, ..options() },
            true,
        ),
    ];
    for (index, (file, text, options, kept)) in looks.into_iter().enumerate() {
        let repository = Repository::of_git("shop");
        if file.starts_with("templates/") {
            repository.write("Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.0.0\n");
        }
        repository.write(file, &text);
        let mut app = repository.app("shop", &world.namespace, "");
        app.sync.automated = None;
        let found = repositories(&[&repository]);
        let mut reconciler = Reconciler::new(&world.cluster, found, options);
        let now = Timestamp::UNIX_EPOCH;
        let first = reconciler.refresh(&app, now).await;
        assert!(first.rendered, "{first}");
        let again = reconciler.refresh(&app, now).await;
        assert_eq!(again.rendered, !kept, "{file}: {again}");
        assert_eq!(again.resources.len(), 1, "{file}: {again}");
        // What it says is another, then the cluster is, then the commit.
        let mut other = app.clone();
        other.destination.namespace = "elsewhere".into();
        assert!(reconciler.refresh(&other, now).await.rendered);
        assert!(reconciler.refresh(&app, now).await.rendered);
        let crd = yaml(&format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n\
             metadata: {{name: toys.{index}.example.com}}\n\
             spec:\n  group: {index}.example.com\n  scope: Namespaced\n  \
             names: {{kind: Toy, plural: toys}}\n  \
             versions: [{{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object}}}}}}]\n"
        ));
        let write = Write::by("somebody");
        world.cluster.apply(&crd, &write).await.expect("applied");
        assert!(reconciler.refresh(&app, now).await.rendered);
        repository.write(file, &config_map("b", "2"));
        let status = reconciler.refresh(&app, now).await;
        assert_ne!(status.revisions, first.revisions);
        assert_eq!(status.resources[0].key.name, "b", "{file}: {status}");
        reconciler.forget(&app.name);
        assert!(reconciler.refresh(&app, now).await.rendered);
    }
}
