//! Servers that go away for longer than anybody waits, or lose requests.

use std::time::Duration;

use gitops_apply::cluster::memory::Fault;
use gitops_apply::report::{Event, OperationPhase, ResultCode};
use gitops_apply::{ClusterError, Record, SyncOptions, sync};
use gitops_core::inventory::Tracking;

use crate::memory;
use crate::records::Kept;
use crate::suite::{everything, is_gone, three_waves};

#[tokio::test(start_paused = true)]
async fn patience_ends() {
    let world = memory().await;
    let wanted = three_waves(&world);
    let plan = world.plan(&wanted).await;
    let options = SyncOptions {
        patience: Duration::from_secs(2),
        ..SyncOptions::default()
    };
    let mut went = false;
    let report = sync(&plan, &world.cluster, &options, |event| {
        if matches!(event, Event::Wave { wave: 1, .. }) && !std::mem::replace(&mut went, true) {
            (world.outage)();
        }
    })
    .await;
    assert_eq!(report.phase, OperationPhase::Error, "{report}");
    assert!(
        report
            .message
            .contains("cluster unreachable: connection refused"),
        "{report}"
    );
    let done = report
        .results
        .iter()
        .filter(|result| result.status == ResultCode::Synced);
    assert!(done.count() >= 5, "what was done is in the report");
}

/// A law: whichever requests and answers are lost, a sync that goes on comes
/// to the same end.
#[tokio::test(start_paused = true)]
async fn whatever_is_lost_is_made_up_for() {
    let hook = r#""argocd.argoproj.io/hook": "PreSync", "argocd.argoproj.io/hook-delete-policy": "HookSucceeded""#;
    for seed in 1..40_u64 {
        let world = memory().await;
        let old = world.config_map("old", r#""argocd.argoproj.io/sync-wave": "2""#, "1");
        let mut first = everything(&world);
        first.push(old);
        let (report, _) = world.sync(&first).await;
        assert!(report.succeeded(), "{report}");

        let mut wanted = three_waves(&world);
        wanted.extend(everything(&world));
        wanted.push(world.job("before", hook, ""));
        let plan = world.plan(&wanted).await;
        let mut random = seed;
        world.cluster.inject(move |_| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let error = || ClusterError::Unreachable("connection reset".into());
            match random % 8 {
                0 => Some(Fault::Refuse(error())),
                1 => Some(Fault::Lose(error())),
                2 => Some(Fault::Refuse(ClusterError::TooManyRequests {
                    retry_after: Some(Duration::from_secs(1)),
                })),
                _ => None,
            }
        });
        let options = SyncOptions {
            timeout: Some(Duration::from_secs(3600)),
            patience: Duration::from_secs(600),
            ..SyncOptions::default()
        };
        let report = sync(&plan, &world.cluster, &options, |_| {}).await;
        world.cluster.inject(|_| None);
        assert!(report.succeeded(), "seed {seed}: {report}");
        let plan = world.plan(&wanted).await;
        assert!(plan.is_synced(), "seed {seed}: {plan}");
        assert_eq!(
            world.get("v1", "ConfigMap", "old").await,
            None,
            "seed {seed}"
        );
        assert!(is_gone(&world, "before").await, "seed {seed}");
    }
}

/// What a server that extends the API has cannot be seen while it is away.
#[tokio::test(start_paused = true)]
async fn nothing_is_pruned_while_a_group_of_the_api_is_away() {
    let world = memory().await;
    for record in [
        Record::inventory("shop", "test"),
        Record::apply_set("set", "test"),
    ] {
        let kept = Kept {
            world: &world,
            tracking: record.tracking("shop"),
            record,
        };
        let stays = world.config_map("stays", "", "1");
        let role = r#"{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"}}"#;
        let all = [
            stays.clone(),
            world.config_map("goes", "", "1"),
            world.object(role),
        ];
        assert!(kept.sync(&all).await.succeeded());

        world.cluster.silence("rbac.authorization.k8s.io/v1", true);
        let plan = kept.plan(std::slice::from_ref(&stays)).await;
        assert_eq!(plan.counts().prune, 0, "{plan}");
        assert!(plan.to_string().contains("does not answer"), "{plan}");
        let report = kept.sync(std::slice::from_ref(&stays)).await;
        assert!(report.succeeded(), "{report}");
        assert!(world.get("v1", "ConfigMap", "goes").await.is_some());

        // It has not been forgotten meanwhile.
        world.cluster.silence("rbac.authorization.k8s.io/v1", false);
        // Metrics are nobody's objects.
        world.cluster.silence("metrics.k8s.io/v1beta1", true);
        let report = kept.sync(std::slice::from_ref(&stays)).await;
        assert!(report.succeeded(), "{report}");
        assert_eq!(world.get("v1", "ConfigMap", "goes").await, None);
        let role = world.get("rbac.authorization.k8s.io/v1", "Role", "r").await;
        assert_eq!(role, None);
        world.cluster.silence("metrics.k8s.io/v1beta1", false);
        assert!(kept.sync(&[]).await.succeeded());
    }
}

/// What is created again has another uid, also if nobody hears of it.
#[tokio::test(start_paused = true)]
async fn what_is_lost_while_it_is_created_again_is_still_ours() {
    let world = memory().await;
    let kept = Kept {
        world: &world,
        tracking: Tracking::new("shop"),
        record: Record::inventory("shop", "test"),
    };
    let force = r#""argocd.argoproj.io/sync-options": "Force=true""#;
    let frozen = |value: &str| {
        let mut map = world.config_map("m", force, value);
        let edited = map.edit(|object| {
            let object = object.as_map_mut().expect("a map");
            object.insert("immutable", true);
        });
        edited.expect("an object");
        map
    };
    let other = world.config_map("other", "", "1");
    assert!(kept.sync(&[frozen("1"), other.clone()]).await.succeeded());
    let mut deleted = false;
    let mut lost = false;
    world.cluster.inject(move |request| {
        let error = ClusterError::Unreachable("gone".into());
        deleted |= request.verb == "delete";
        match (deleted && request.verb == "apply", lost) {
            (_, true) => Some(Fault::Refuse(error)),
            (true, false) => {
                lost = true;
                Some(Fault::Lose(error))
            }
            (false, false) => None,
        }
    });
    let report = kept.sync(&[frozen("2"), other.clone()]).await;
    assert_eq!(report.phase, OperationPhase::Error, "{report}");
    world.cluster.inject(|_| None);
    let live = world.get("v1", "ConfigMap", "m").await.expect("there");
    let value = live.at(&["data", "value"]).and_then(|value| value.as_str());
    assert_eq!(value, Some("2"));
    assert!(kept.sync(&[other]).await.succeeded());
    assert_eq!(world.get("v1", "ConfigMap", "m").await, None);
}
