//! The loop that keeps applications as they are declared.

use std::time::Duration;

use gitops_apply::cluster::Write;
use gitops_apply::reconcile::{self, RunOptions};
use gitops_apply::{Cluster, ReconcileOptions, Reconciler, Record};
use gitops_core::Value;
use gitops_core::app::App;

use crate::looks::{Repository, config_map, options, repositories};

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
        let discover = async || vec![app.clone()];
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
