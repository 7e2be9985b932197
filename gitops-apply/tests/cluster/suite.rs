//! The tests, for any cluster.

use std::time::Duration;

use gitops_apply::cluster::{Deletion, Propagation, Selection, WatchEvent, Write};
use gitops_apply::report::{Event, OperationPhase, ResultCode};
use gitops_apply::{Cluster, ClusterError, PlanOptions, SyncOptions, sync};
use gitops_core::{Gvk, Manifest, Value};

use crate::world::{World, yaml};

fn text<'a>(object: &'a Manifest, path: &[&str]) -> &'a str {
    object.at(path).and_then(Value::as_str).unwrap_or_default()
}

fn version(object: &Manifest) -> &str {
    text(object, &["metadata", "resourceVersion"])
}

pub(crate) async fn apply_creates_and_then_changes_nothing<C: Cluster>(world: &World<C>) {
    let map = world.config_map("m", "", "1");
    let write = Write::by("one");
    let first = world.cluster.apply(&map, &write).await.expect("created");
    assert!(!text(&first, &["metadata", "uid"]).is_empty());
    assert!(!text(&first, &["metadata", "creationTimestamp"]).is_empty());
    let again = world.cluster.apply(&map, &write).await.expect("unchanged");
    assert_eq!(version(&first), version(&again));
    let other = world.config_map("m", "", "2");
    let changed = world.cluster.apply(&other, &write).await.expect("changed");
    assert_ne!(version(&first), version(&changed));
    assert_eq!(text(&changed, &["data", "value"]), "2");
    assert_eq!(world.get("v1", "ConfigMap", "m").await, Some(changed));
}

pub(crate) async fn fields_have_owners<C: Cluster>(world: &World<C>) {
    let one = world.deployment("d", "", "");
    world
        .cluster
        .apply(&one, &Write::by("one"))
        .await
        .expect("created");
    let mut two = one.clone();
    two.edit(|object| {
        let spec = object.as_map_mut().and_then(|map| map.get_mut("spec"));
        let spec = spec.and_then(Value::as_map_mut).expect("a spec");
        spec.insert("replicas", 3);
    })
    .expect("an object");
    let refused = world.cluster.apply(&two, &Write::by("two")).await;
    let Err(ClusterError::Conflict {
        message, fields, ..
    }) = refused
    else {
        panic!("expected a conflict, got {refused:?}");
    };
    assert_eq!(fields.len(), 1, "{fields:?}");
    assert_eq!(fields[0].field, ".spec.replicas");
    assert_eq!(fields[0].manager, "\"one\"");
    assert_eq!(
        message,
        "Apply failed with 1 conflict: conflict with \"one\": .spec.replicas"
    );
    let force = Write {
        force: true,
        ..Write::by("two")
    };
    let forced = world.cluster.apply(&two, &force).await.expect("forced");
    assert_eq!(forced.at(&["spec", "replicas"]), Some(&Value::Int(3)));
    assert_eq!(forced.at(&["metadata", "generation"]), Some(&Value::Int(2)));
    // The first manager lost the field and therefore does not take it along.
    let mut less = one.clone();
    less.edit(|object| {
        let spec = object.as_map_mut().and_then(|map| map.get_mut("spec"));
        spec.and_then(Value::as_map_mut)
            .expect("a spec")
            .remove("replicas");
    })
    .expect("an object");
    let after = world
        .cluster
        .apply(&less, &Write::by("one"))
        .await
        .expect("applied");
    assert_eq!(after.at(&["spec", "replicas"]), Some(&Value::Int(3)));
}

pub(crate) async fn a_uid_protects_from_deleting_another_object<C: Cluster>(world: &World<C>) {
    let map = world.config_map("m", "", "1");
    let live = world
        .cluster
        .apply(&map, &Write::by("one"))
        .await
        .expect("created");
    let wrong = Deletion {
        propagation: Propagation::Background,
        uid: "00000000-0000-0000-0000-000000000000".into(),
        ..Deletion::default()
    };
    let refused = world.cluster.delete(live.key(), &wrong).await;
    assert!(
        matches!(refused, Err(ClusterError::Conflict { .. })),
        "{refused:?}"
    );
    let right = Deletion {
        uid: text(&live, &["metadata", "uid"]).into(),
        ..wrong
    };
    world
        .cluster
        .delete(live.key(), &right)
        .await
        .expect("deleted");
    assert_eq!(world.get("v1", "ConfigMap", "m").await, None);
    let gone = world.cluster.delete(live.key(), &right).await;
    assert!(
        matches!(gone, Err(ClusterError::NotFound { .. })),
        "{gone:?}"
    );
}

pub(crate) async fn lists_select_by_label_and_namespace<C: Cluster>(world: &World<C>) {
    for (name, color) in [("c", "red"), ("a", "red"), ("b", "blue")] {
        let mut map = world.config_map(name, "", "1");
        map.set_label("color", color);
        world
            .cluster
            .apply(&map, &Write::by("one"))
            .await
            .expect("created");
    }
    let mut selection = Selection::within(Gvk::parse("v1", "ConfigMap"), &*world.namespace);
    selection.labels = "color=red".into();
    let names = |items: &[Manifest]| -> Vec<String> {
        items.iter().map(|item| item.name().to_owned()).collect()
    };
    let listing = world.cluster.list(&selection).await.expect("a listing");
    assert_eq!(names(&listing.items), ["a", "c"]);
    assert_eq!(listing.items[0].gvk(), &Gvk::parse("v1", "ConfigMap"));
    assert!(!listing.resource_version.is_empty());
    selection.namespace = "default".into();
    let elsewhere = world.cluster.list(&selection).await.expect("a listing");
    assert!(elsewhere.items.is_empty());
    selection.namespace = "".into();
    selection.labels = "color in (blue),!none".into();
    let everywhere = world.cluster.list(&selection).await.expect("a listing");
    assert!(names(&everywhere.items).contains(&"b".to_owned()));
}

pub(crate) async fn watches_show_what_happened_since<C: Cluster>(world: &World<C>) {
    let selection = Selection::within(Gvk::parse("v1", "ConfigMap"), &*world.namespace);
    let before = world.cluster.list(&selection).await.expect("a listing");
    let write = Write::by("one");
    let first = world.config_map("m", "", "1");
    let created = world.cluster.apply(&first, &write).await.expect("created");
    let mut watch = world
        .cluster
        .watch(&selection, &before.resource_version)
        .await
        .expect("a watch");
    let second = world.config_map("m", "", "2");
    world.cluster.apply(&second, &write).await.expect("changed");
    let deletion = Deletion {
        propagation: Propagation::Background,
        ..Deletion::default()
    };
    world
        .cluster
        .delete(first.key(), &deletion)
        .await
        .expect("deleted");
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let event = tokio::time::timeout(Duration::from_secs(10), watch.next()).await;
        match event
            .expect("in time")
            .expect("not yet ended")
            .expect("an event")
        {
            WatchEvent::Bookmark { .. } => {}
            event if event_name(&event).1 != "m" => {}
            event => seen.push(event),
        }
    }
    let names: Vec<_> = seen.iter().map(event_name).collect();
    assert_eq!(names, [("added", "m"), ("modified", "m"), ("deleted", "m")]);
    assert_eq!(seen[0].resource_version(), version(&created));
    // A watch from the middle on sees only the rest.
    let mut rest = world
        .cluster
        .watch(&selection, seen[1].resource_version())
        .await
        .expect("a watch");
    let event = rest.next().await.expect("not yet ended").expect("an event");
    assert_eq!(event_name(&event), ("deleted", "m"));
}

fn event_name(event: &WatchEvent) -> (&'static str, &str) {
    match event {
        WatchEvent::Added(object) => ("added", object.name()),
        WatchEvent::Modified(object) => ("modified", object.name()),
        WatchEvent::Deleted(object) => ("deleted", object.name()),
        WatchEvent::Bookmark { .. } => ("bookmark", ""),
    }
}

pub(crate) async fn refusals_say_what_is_wrong<C: Cluster>(world: &World<C>) {
    let write = Write::by("one");
    let mut lost = world.config_map("m", "", "1");
    lost.set_namespace("no-such-namespace");
    let refused = world.cluster.apply(&lost, &write).await;
    let Err(ClusterError::NotFound { message, .. }) = refused else {
        panic!("expected that the namespace is missing, got {refused:?}");
    };
    assert_eq!(message, "namespaces \"no-such-namespace\" not found");

    let unknown = world
        .object(r#"{"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "x"}}"#);
    let refused = world.cluster.apply(&unknown, &write).await;
    assert!(
        matches!(refused, Err(ClusterError::UnknownKind { .. })),
        "{refused:?}"
    );

    let typo = world.object(
        r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "date": {}}"#,
    );
    let refused = world.cluster.apply(&typo, &write).await;
    let Err(ClusterError::Invalid { message, .. }) = refused else {
        panic!("expected an invalid object, got {refused:?}");
    };
    assert!(
        message.ends_with(".date: field not declared in schema"),
        "{message}"
    );

    let map = world.config_map("m", "", "1");
    world.cluster.create(&map, &write).await.expect("created");
    let twice = world.cluster.create(&map, &write).await;
    assert!(
        matches!(twice, Err(ClusterError::AlreadyExists { .. })),
        "{twice:?}"
    );

    let generated = world
        .object(r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "g-"}}"#);
    let created = world
        .cluster
        .create(&generated, &write)
        .await
        .expect("created");
    assert!(created.name().starts_with("g-") && created.name().len() > 2);
}

pub(crate) async fn secrets_stay_out_of_errors<C: Cluster>(world: &World<C>) {
    for body in [
        r#""data": {"password": "hunter2-not-base64!"}"#,
        r#""stringData": {"password": {"hunter2": true}}"#,
        r#""stringData": {"password": 4711471147114711}"#,
        r#""immutable": "hunter2""#,
    ] {
        let secret = world.object(&format!(
            r#"{{"apiVersion": "v1", "kind": "Secret", "metadata": {{"name": "s"}}, {body}}}"#
        ));
        let refused = world.cluster.apply(&secret, &Write::by("one")).await;
        let error = refused.expect_err("refused");
        for said in [error.to_string(), error.explain(), format!("{error:?}")] {
            assert!(
                !said.contains("hunter2") && !said.contains("4711"),
                "{said}"
            );
        }
    }
}

pub(crate) async fn waves_wait_for_health<C: Cluster>(world: &World<C>) {
    let wanted = [
        world.config_map("after", r#""argocd.argoproj.io/sync-wave": "1""#, "1"),
        world.deployment("web", "", ""),
    ];
    let (report, log) = world.sync(&wanted).await;
    assert!(report.succeeded(), "{report}\n{log:#?}");
    assert_eq!(
        log,
        [
            "Sync 0: 1 tasks",
            "Deployment web Synced (Running)",
            "Deployment web Synced (Succeeded)",
            "Sync 1: 1 tasks",
            "ConfigMap after Synced (Running)",
            "Succeeded: successfully synced (all tasks run)",
        ]
    );
    let live = world
        .get("apps/v1", "Deployment", "web")
        .await
        .expect("there");
    assert_eq!(
        live.at(&["status", "availableReplicas"]),
        Some(&Value::Int(2))
    );
}

pub(crate) async fn a_degraded_object_stops_later_waves<C: Cluster>(world: &World<C>) {
    let mut web = world.deployment("web", "", r#""nodeSelector": {"no": "such-node"},"#);
    // The shortest deadline there is.
    web.edit(|object| {
        let spec = object.as_map_mut().and_then(|map| map.get_mut("spec"));
        let spec = spec.and_then(Value::as_map_mut).expect("a spec");
        spec.insert("progressDeadlineSeconds", 1);
    })
    .expect("an object");
    let wanted = [
        web,
        world.config_map("after", r#""argocd.argoproj.io/sync-wave": "1""#, "1"),
    ];
    let (report, _) = world.sync(&wanted).await;
    assert_eq!(report.phase, OperationPhase::Failed);
    assert_eq!(
        report.message,
        "one or more synchronization tasks completed unsuccessfully, \
         reason: Deployment \"web\" exceeded its progress deadline"
    );
    assert_eq!(world.get("v1", "ConfigMap", "after").await, None);
}

pub(crate) async fn hooks_run_to_their_end<C: Cluster>(world: &World<C>) {
    let hook = |phase: &str| format!(r#""argocd.argoproj.io/hook": {phase:?}"#);
    let helm = r#""helm.sh/hook": "post-install,post-upgrade", "helm.sh/hook-delete-policy": "hook-succeeded""#;
    let wanted = [
        world.config_map("m", "", "1"),
        world.job("before", &hook("PreSync"), ""),
        world.job("after", helm, ""),
        world.job("on-failure", &hook("SyncFail"), ""),
        world.job("never", &hook("Skip"), ""),
    ];
    for round in 0..2 {
        let (report, log) = world.sync(&wanted).await;
        assert!(report.succeeded(), "{report}\n{log:#?}");
        let first = log
            .iter()
            .position(|line| line == "Job before Synced (Succeeded)");
        let then = log.iter().position(|line| line.starts_with("ConfigMap m"));
        let last = log
            .iter()
            .position(|line| line == "Job after Synced (Running)");
        assert!(first < then && then < last, "round {round}: {log:#?}");
        // It went as it wished; the other stays until it is needed again.
        assert!(is_gone(world, "after").await);
        let before = world.get("batch/v1", "Job", "before").await.expect("there");
        let finalizers = before.at(&["metadata", "finalizers"]);
        assert!(
            !format!("{finalizers:?}").contains("hook-finalizer"),
            "{finalizers:?}"
        );
        for name in ["on-failure", "never"] {
            assert_eq!(world.get("batch/v1", "Job", name).await, None);
        }
    }
}

/// A hook takes the place of its last run, and of nothing else.
pub(crate) async fn hooks_clear_away_only_hooks<C: Cluster>(world: &World<C>) {
    let foreign = world.config_map("setup", "", "not a hook");
    let write = Write::by("somebody");
    world
        .cluster
        .apply(&foreign, &write)
        .await
        .expect("created");
    let hook = r#""argocd.argoproj.io/hook": "PreSync""#;
    let wanted = [world.config_map("setup", hook, "1")];
    let (report, _) = world.sync(&wanted).await;
    assert_eq!(report.phase, OperationPhase::Failed, "{report}");
    assert!(report.message.contains("already exists"), "{report}");
    let live = world.get("v1", "ConfigMap", "setup").await.expect("there");
    assert_eq!(text(&live, &["data", "value"]), "not a hook");
    let away = Deletion {
        propagation: Propagation::Background,
        ..Deletion::default()
    };
    let deleted = world.cluster.delete(live.key(), &away).await;
    deleted.expect("deleted");
    // One that Helm left has no mark.
    let left = world.config_map("setup", r#""helm.sh/hook": "pre-install""#, "0");
    world.cluster.apply(&left, &write).await.expect("created");
    for _ in 0..2 {
        let (report, log) = world.sync(&wanted).await;
        assert!(report.succeeded(), "{report}\n{log:#?}");
    }
}

pub(crate) async fn is_gone<C: Cluster>(world: &World<C>, job: &str) -> bool {
    has_gone(world, "batch/v1", "Job", job).await
}

/// What is deleted goes once what it owns is gone.
async fn has_gone<C: Cluster>(world: &World<C>, version: &str, kind: &str, name: &str) -> bool {
    for _ in 0..100 {
        match world.get(version, kind, name).await {
            None => return true,
            Some(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    false
}

pub(crate) async fn a_failing_hook_runs_the_hooks_for_failures<C: Cluster>(world: &World<C>) {
    let failing = r#""activeDeadlineSeconds": 1, "parallelism": 0, "completions": 1,"#;
    let wanted = [
        world.config_map("m", "", "1"),
        world.job("before", r#""argocd.argoproj.io/hook": "PreSync", "argocd.argoproj.io/hook-delete-policy": "HookFailed""#, failing),
        world.job("on-failure", r#""argocd.argoproj.io/hook": "SyncFail""#, ""),
    ];
    let (report, log) = world.sync(&wanted).await;
    assert_eq!(report.phase, OperationPhase::Failed, "{log:#?}");
    assert_eq!(
        report.message,
        "one or more synchronization tasks completed unsuccessfully, \
         reason: Job was active longer than specified deadline"
    );
    assert_eq!(world.get("v1", "ConfigMap", "m").await, None);
    assert!(is_gone(world, "before").await);
    assert!(
        log.contains(&"Job on-failure Synced (Succeeded)".to_owned()),
        "{log:#?}"
    );
}

pub(crate) async fn what_is_declared_no_more_is_pruned_in_reverse<C: Cluster>(world: &World<C>) {
    let wave = |wave: i32| format!(r#""argocd.argoproj.io/sync-wave": "{wave}""#);
    let keep = r#""argocd.argoproj.io/sync-options": "Prune=false""#;
    let wanted = [
        world.config_map("a", &wave(-1), "1"),
        world.config_map("b", &wave(0), "1"),
        world.config_map("c", &wave(1), "1"),
        world.config_map("kept", keep, "1"),
        world.config_map("stays", "", "1"),
    ];
    let (report, log) = world.sync(&wanted).await;
    assert!(report.succeeded(), "{report}\n{log:#?}");
    // What belongs to nobody is left alone.
    let foreign = world.config_map("foreign", "", "1");
    world
        .cluster
        .apply(&foreign, &Write::by("else"))
        .await
        .expect("created");

    let (report, log) = world.sync(&wanted[4..]).await;
    assert!(report.succeeded(), "{report}\n{log:#?}");
    let pruned: Vec<&str> = log
        .iter()
        .filter_map(|line| line.strip_suffix(" Pruned (Succeeded)"))
        .collect();
    assert_eq!(pruned, ["ConfigMap c", "ConfigMap b", "ConfigMap a"]);
    assert!(log.contains(&"ConfigMap kept PruneSkipped (Succeeded)".to_owned()));
    for (name, there) in [
        ("a", false),
        ("kept", true),
        ("stays", true),
        ("foreign", true),
    ] {
        let gone = !there && has_gone(world, "v1", "ConfigMap", name).await;
        assert_eq!(gone, !there, "{name}");
        let found = world.get("v1", "ConfigMap", name).await;
        assert_eq!(found.is_some(), there, "{name}");
    }

    // Nothing declared at all is most likely a mistake.
    let (report, _) = world.sync(&[]).await;
    assert_eq!(report.phase, OperationPhase::Failed);
    assert!(
        report
            .message
            .contains("auto-sync will wipe out all resources")
    );
    let options = PlanOptions {
        allow_empty: true,
        ..world.plan_options()
    };
    let (report, _) = world
        .sync_with(&[], &options, &SyncOptions::default())
        .await;
    assert!(report.succeeded(), "{report}");
    assert!(has_gone(world, "v1", "ConfigMap", "stays").await);
}

pub(crate) async fn nothing_is_pruned_before_every_wave_is_applied<C: Cluster>(world: &World<C>) {
    let wave = |wave: i32| format!(r#""argocd.argoproj.io/sync-wave": "{wave}""#);
    let stays = world.config_map("stays", "", "1");
    let there = [
        world.config_map("early", &wave(-1), "1"),
        world.config_map("late", &wave(2), "1"),
        stays.clone(),
    ];
    let (report, _) = world.sync(&there).await;
    assert!(report.succeeded(), "{report}");
    let bad = world.object(
        r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "bad",
            "annotations": {"argocd.argoproj.io/sync-wave": "3"}}, "date": {}}"#,
    );
    // What a dry run could not have told.
    let unchecked = SyncOptions {
        check_first: false,
        ..SyncOptions::default()
    };
    let broken = [stays.clone(), world.config_map("new", "", "1"), bad];
    let options = world.plan_options();
    let (report, log) = world.sync_with(&broken, &options, &unchecked).await;
    assert_eq!(report.phase, OperationPhase::Failed, "{log:#?}");
    assert!(world.get("v1", "ConfigMap", "new").await.is_some());
    for name in ["early", "late"] {
        assert!(world.get("v1", "ConfigMap", name).await.is_some(), "{name}");
    }

    // Argo CD's way, for those who want it.
    let in_waves = PlanOptions {
        prune_in_waves: true,
        ..options
    };
    let (report, log) = world.sync_with(&broken, &in_waves, &unchecked).await;
    assert_eq!(report.phase, OperationPhase::Failed, "{log:#?}");
    assert!(has_gone(world, "v1", "ConfigMap", "late").await);

    let (report, log) = world.sync(&[stays, world.deployment("web", "", "")]).await;
    assert!(report.succeeded(), "{report}\n{log:#?}");
    assert!(has_gone(world, "v1", "ConfigMap", "early").await);
}

pub(crate) async fn definitions_come_before_their_objects<C: Cluster>(world: &World<C>) {
    let group = format!("{}.example.com", world.namespace);
    let definition = yaml(&format!(
        r#"{{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {{"name": "things.{group}", "annotations": {{"argocd.argoproj.io/sync-wave": "5"}}}},
            "spec": {{"group": "{group}", "scope": "Namespaced",
                "names": {{"kind": "Thing", "plural": "things", "singular": "thing", "listKind": "ThingList"}},
                "versions": [{{"name": "v1", "served": true, "storage": true, "schema": {{"openAPIV3Schema":
                    {{"type": "object", "properties": {{"spec": {{"type": "object", "properties": {{
                        "size": {{"type": "integer"}}}}}}}}}}}}}}]}}}}"#
    ));
    let thing = world.object(&format!(
        r#"{{"apiVersion": "{group}/v1", "kind": "Thing", "metadata": {{"name": "one"}}, "spec": {{"size": 1}}}}"#
    ));
    let (report, log) = world.sync(&[thing, definition]).await;
    assert!(report.succeeded(), "{report}\n{log:#?}");
    assert_eq!(log[0], "Sync 0: 2 tasks");
    assert!(log[1].starts_with("CustomResourceDefinition"), "{log:#?}");
    let live = world.get(&format!("{group}/v1"), "Thing", "one").await;
    assert_eq!(
        live.expect("there").at(&["spec", "size"]),
        Some(&Value::Int(1))
    );
}

pub(crate) async fn a_dry_run_changes_nothing<C: Cluster>(world: &World<C>) {
    let wanted = [world.config_map("m", "", "1")];
    let options = SyncOptions {
        dry_run: true,
        ..SyncOptions::default()
    };
    let (report, _) = world
        .sync_with(&wanted, &world.plan_options(), &options)
        .await;
    assert!(report.succeeded(), "{report}");
    assert_eq!(report.results[0].message, "create (dry run)");
    assert_eq!(world.get("v1", "ConfigMap", "m").await, None);
}

pub(crate) async fn a_bad_object_in_the_last_wave_stops_the_first<C: Cluster>(world: &World<C>) {
    let wanted = [
        world.config_map("good", "", "1"),
        world.object(
            r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "bad",
                "annotations": {"argocd.argoproj.io/sync-wave": "3"}}, "date": {}}"#,
        ),
    ];
    let (report, _) = world.sync(&wanted).await;
    assert_eq!(report.phase, OperationPhase::Failed);
    assert!(
        report
            .message
            .starts_with("one or more objects failed to apply (dry run), reason: "),
        "{report}"
    );
    let codes: Vec<_> = report
        .results
        .iter()
        .map(|result| (result.key.name.as_str(), result.status))
        .collect();
    assert_eq!(codes, [("bad", ResultCode::SyncFailed)]);
    assert_eq!(world.get("v1", "ConfigMap", "good").await, None);
}

pub(crate) async fn what_cannot_be_changed_is_recreated_on_demand<C: Cluster>(world: &World<C>) {
    let frozen = |value: &str, annotations: &str| {
        let mut map = world.config_map("m", annotations, value);
        map.edit(|object| {
            object
                .as_map_mut()
                .expect("a map")
                .insert("immutable", true);
        })
        .expect("an object");
        map
    };
    let (report, _) = world.sync(&[frozen("1", "")]).await;
    assert!(report.succeeded(), "{report}");
    let (report, _) = world.sync(&[frozen("2", "")]).await;
    assert_eq!(report.phase, OperationPhase::Failed, "{report}");
    let force = r#""argocd.argoproj.io/sync-options": "Force=true""#;
    let plan = world.plan(&[frozen("2", force)]).await;
    assert_eq!(plan.counts().recreate, 1, "{plan}");
    let (report, _) = world.sync(&[frozen("2", force)]).await;
    assert!(report.succeeded(), "{report}");
    assert_eq!(report.results[0].message, "configmap/m recreated");
    let live = world.get("v1", "ConfigMap", "m").await.expect("there");
    assert_eq!(text(&live, &["data", "value"]), "2");
}

pub(crate) async fn replaced_objects_lose_what_others_added<C: Cluster>(world: &World<C>) {
    let replace = r#""argocd.argoproj.io/sync-options": "Replace=true""#;
    let (report, _) = world.sync(&[world.config_map("m", replace, "1")]).await;
    assert!(report.succeeded(), "{report}");
    let mut added = world.config_map("m", "", "1");
    added
        .edit(|object| {
            let data = object.as_map_mut().and_then(|map| map.get_mut("data"));
            let data = data.and_then(Value::as_map_mut).expect("data");
            data.remove("value");
            data.insert("more", "x");
        })
        .expect("an object");
    let live = world
        .cluster
        .apply(&added, &Write::by("else"))
        .await
        .expect("applied");
    assert_eq!(text(&live, &["data", "more"]), "x");
    let (report, _) = world.sync(&[world.config_map("m", replace, "2")]).await;
    assert!(report.succeeded(), "{report}");
    let live = world.get("v1", "ConfigMap", "m").await.expect("there");
    assert_eq!(text(&live, &["data", "value"]), "2");
    assert_eq!(live.at(&["data", "more"]), None);
}

pub(crate) async fn a_timeout_ends_running_hooks<C: Cluster>(world: &World<C>) {
    let endless = r#""parallelism": 0, "completions": 1,"#;
    let wanted = [world.job(
        "endless",
        r#""argocd.argoproj.io/hook": "PreSync""#,
        endless,
    )];
    let options = SyncOptions {
        timeout: Some(Duration::from_secs(1)),
        ..SyncOptions::default()
    };
    let (report, log) = world
        .sync_with(&wanted, &world.plan_options(), &options)
        .await;
    assert_eq!(report.phase, OperationPhase::Failed, "{log:#?}");
    assert_eq!(
        report.message,
        "operation is terminating due to timeout: waiting for completion of hook batch/Job/endless"
    );
    assert!(is_gone(world, "endless").await);
}

/// One object of most kinds that people declare.
pub(crate) fn everything<C: Cluster>(world: &World<C>) -> Vec<Manifest> {
    let pod = r#"{"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "main",
        "image": "registry.example/x:1", "ports": [{"containerPort": 80}],
        "env": [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "resources": {"requests": {"cpu": "1000m", "memory": "1024Mi"}},
        "livenessProbe": {"httpGet": {"path": "/", "port": 80}},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/config"}]}],
        "volumes": [{"name": "config", "configMap": {"name": "m"}}]}}"#;
    let claim = r#"[{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}}]"#;
    [
        r#"{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "hunter2"}}"#.to_owned(),
        r#"{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "x"}}"#.to_owned(),
        r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"selector": {"app": "x"},
            "ports": [{"port": 80, "targetPort": 80}, {"port": 80, "protocol": "UDP", "name": "udp"}]}}"#
            .replace(r#""targetPort": 80}"#, r#""targetPort": 80, "name": "http"}"#),
        r#"{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "x"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}"#.to_owned(),
        format!(r#"{{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {{"name": "x"}},
            "spec": {{"selector": {{"matchLabels": {{"app": "x"}}}}, "template": {pod}}}}}"#),
        format!(r#"{{"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {{"name": "x"}},
            "spec": {{"serviceName": "x", "selector": {{"matchLabels": {{"app": "x"}}}}, "template": {pod},
                "volumeClaimTemplates": {claim}}}}}"#),
        format!(r#"{{"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {{"name": "x"}},
            "spec": {{"selector": {{"matchLabels": {{"app": "x"}}}}, "template": {pod}}}}}"#),
        format!(r#"{{"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {{"name": "x"}},
            "spec": {{"schedule": "0 0 * * *", "jobTemplate": {{"spec": {{"template": {}}}}}}}}}"#,
            pod.replace(r#""spec": {"#, r#""spec": {"restartPolicy": "Never", "#)
                .replacen(r#""restartPolicy": "Never", "restartPolicy""#, r#""restartPolicy""#, 1)),
        format!(r#"{{"apiVersion": "batch/v1", "kind": "Job", "metadata": {{"name": "x"}},
            "spec": {{"template": {}}}}}"#,
            pod.replace(r#""spec": {"#, r#""spec": {"restartPolicy": "Never", "#)),
        r#"{"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "x"},
            "spec": {"rules": [{"host": "x.example", "http": {"paths": [{"path": "/", "pathType": "Prefix",
                "backend": {"service": {"name": "x", "port": {"number": 80}}}}]}}]}}"#.to_owned(),
        r#"{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "x"},
            "spec": {"podSelector": {}, "ingress": [{"ports": [{"port": 80}]}]}}"#.to_owned(),
        r#"{"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "x"},
            "spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"},
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]}}"#.to_owned(),
        r#"{"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "x"},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}}}"#.to_owned(),
        r#"{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "x"},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}"#.to_owned(),
        r#"{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "x"},
            "roleRef": {"kind": "Role", "name": "x", "apiGroup": "rbac.authorization.k8s.io"},
            "subjects": [{"kind": "ServiceAccount", "name": "x"}]}"#.to_owned(),
    ]
    .iter()
    .map(|json| world.object(json))
    .chain([world.config_map("m", "", "1")])
    .collect()
}

pub(crate) async fn a_second_plan_finds_nothing_to_do<C: Cluster>(world: &World<C>) {
    let wanted = everything(world);
    let (report, _) = world.sync(&wanted).await;
    assert!(report.succeeded(), "{report}");
    assert_eq!(report.results.len(), wanted.len());
    let plan = world.plan(&wanted).await;
    assert_eq!(plan.counts().unchanged, wanted.len(), "{plan}");
    assert!(plan.is_synced(), "{plan}");
    let shown = format!(
        "{plan}{plan:?}{}",
        serde_json::to_string(&plan).expect("JSON")
    );
    assert!(
        !shown.contains("hunter2") && !shown.contains("aHVudGVyMg"),
        "{shown}"
    );
    let (report, _) = world.sync(&wanted).await;
    assert!(report.succeeded(), "{report}");
    assert!(
        report.costs.requests.is_empty(),
        "nothing was asked for: {:?}",
        report.costs
    );
    let shown = format!(
        "{report}{report:?}{}",
        serde_json::to_string(&report).expect("JSON")
    );
    assert!(
        !shown.contains("hunter2") && !shown.contains("aHVudGVyMg"),
        "{shown}"
    );
}

pub(crate) async fn what_others_changed_is_changed_back<C: Cluster>(world: &World<C>) {
    let wanted = [
        world.config_map("m", "", "1"),
        world.deployment("d", "", ""),
    ];
    let (report, _) = world.sync(&wanted).await;
    assert!(report.succeeded(), "{report}");
    let force = Write {
        force: true,
        ..Write::by("somebody")
    };
    let other = world.config_map("m", "", "2");
    world.cluster.apply(&other, &force).await.expect("applied");
    let plan = world.plan(&wanted).await;
    assert_eq!(plan.counts().update, 1, "{plan}");
    let (report, _) = world.sync(&wanted).await;
    assert!(report.succeeded(), "{report}");
    let live = world.get("v1", "ConfigMap", "m").await.expect("there");
    assert_eq!(text(&live, &["data", "value"]), "1");
    assert!(world.plan(&wanted).await.is_synced());
}

pub(crate) async fn a_field_that_is_declared_no_more_goes<C: Cluster>(world: &World<C>) {
    let mut two = world.config_map("m", "", "1");
    two.edit(|object| {
        let data = object.as_map_mut().and_then(|map| map.get_mut("data"));
        data.and_then(Value::as_map_mut)
            .expect("data")
            .insert("more", "x");
    })
    .expect("an object");
    let (report, _) = world.sync(&[two]).await;
    assert!(report.succeeded(), "{report}");
    let (report, _) = world.sync(&[world.config_map("m", "", "1")]).await;
    assert!(report.succeeded(), "{report}");
    let live = world.get("v1", "ConfigMap", "m").await.expect("there");
    assert_eq!(live.at(&["data", "more"]), None);
}

pub(crate) async fn the_destination_is_created_first<C: Cluster>(world: &World<C>) {
    let namespace = format!("{}-new", world.namespace);
    let mut wanted = world.config_map("m", "", "1");
    wanted.set_namespace("");
    let mut options = world.plan_options();
    options.namespace = namespace.as_str().into();
    options.app.create_namespace = true;
    options.namespace_labels.insert("team", "a");
    let (report, log) = world
        .sync_with(&[wanted], &options, &SyncOptions::default())
        .await;
    assert!(report.succeeded(), "{report}\n{log:#?}");
    assert_eq!(log[0], "PreSync 0: 1 tasks");
    let key = gitops_core::ObjectKey {
        namespace: "".into(),
        ..world.key("v1", "Namespace", &namespace)
    };
    let live = world.cluster.get(&key, "v1").await.expect("an answer");
    assert_eq!(live.expect("there").label("team"), Some("a"));
}

/// What a server allocates, or writes of itself.
const ALLOCATED: [&str; 21] = [
    ".metadata.",
    ".status",
    ".spec.clusterIP",
    ".spec.ipFamil",
    ".spec.selector.matchLabels.batch",
    ".spec.selector.matchLabels",
    ".spec.template.metadata.labels",
    ".spec.volumeClaimTemplates[0].status",
    ".spec.finalizers",
    ".spec.ports[0].nodePort",
    ".spec.ports[1].nodePort",
    ".spec.storageClassName",
    ".spec.selector",
    ".spec.volumeName",
    // Admission looks after Pods.
    ".spec.preemptionPolicy",
    ".spec.priority",
    ".spec.serviceAccount",
    ".spec.tolerations",
    ".spec.volumes: ",
    ".spec.containers[0].volumeMounts",
    ".spec.initContainers[0].volumeMounts",
];

fn one_sided(path: &str, a: &Value, b: &Value, into: &mut Vec<String>) {
    match (a, b) {
        (Value::Map(a), Value::Map(b)) => {
            for (key, value) in a {
                let path = format!("{path}.{key}");
                match b.get(key) {
                    Some(other) => one_sided(&path, value, other, into),
                    None => into.push(path),
                }
            }
        }
        (Value::List(a), Value::List(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                one_sided(&format!("{path}[{index}]"), a, b, into);
            }
        }
        _ if a.same(b) => {}
        _ => into.push(format!("{path}: {a:?}, {b:?}")),
    }
}

pub(crate) async fn defaults_are_those_of_a_server<C: Cluster>(world: &World<C>) {
    let name = &world.namespace;
    let mut objects = everything(world);
    for json in [
        r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"hostNetwork": true,
            "initContainers": [{"name": "i", "image": "x@sha256:0000000000000000000000000000000000000000000000000000000000000000"}],
            "containers": [{"name": "a", "image": "registry:5000/x", "ports": [{"containerPort": 80}],
                "resources": {"limits": {"cpu": "1"}}, "securityContext": {},
                "lifecycle": {"preStop": {"httpGet": {"port": 80}}},
                "readinessProbe": {"grpc": {"port": 1}}, "startupProbe": {"exec": {"command": ["x"]}},
                "env": [{"name": "R", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}]}],
            "volumes": [{"name": "e"}, {"name": "h", "hostPath": {"path": "/x"}},
                {"name": "s", "secret": {"secretName": "s"}},
                {"name": "d", "downwardAPI": {"items": [{"path": "x", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                {"name": "p", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}},
                    {"downwardAPI": {"items": [{"path": "x", "fieldRef": {"fieldPath": "metadata.name"}}]}}]}},
                {"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "1Gi"}}}}}}]}}"#,
        r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "lb"}, "spec": {"type": "LoadBalancer",
            "sessionAffinity": "ClientIP", "ports": [{"port": 80}]}}"#,
        r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "headless"}, "spec": {"clusterIP": "None",
            "ports": [{"port": 80}]}}"#,
        r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "external"}, "spec": {"type": "ExternalName",
            "externalName": "x.example"}}"#,
        r#"{"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "y"},
            "spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"},
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}}}}"#,
        r#"{"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "z"},
            "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 50,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}}}"#,
        r#"{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "indexed"}, "spec": {"completions": 2,
            "completionMode": "Indexed", "backoffLimitPerIndex": 1, "suspend": true,
            "podFailurePolicy": {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]},
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a:1"}]}}}}"#,
        r#"{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "y"},
            "spec": {"podSelector": {}, "egress": [{}]}}"#,
        r#"{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "y"}, "spec": {
            "strategy": {"type": "Recreate"}, "selector": {"matchLabels": {"a": "y"}},
            "template": {"metadata": {"labels": {"a": "y"}}, "spec": {"containers": [{"name": "a", "image": "a:latest"}]}}}}"#,
        r#"{"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "y"}, "spec": {
            "selector": {"matchLabels": {"a": "z"}},
            "template": {"metadata": {"labels": {"a": "z"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}}}}"#,
        r#"{"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "y"}, "spec": {
            "selector": {"a": "rc"},
            "template": {"metadata": {"labels": {"a": "rc"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}}}}"#,
        r#"{"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "y"},
            "subsets": [{"addresses": [{"ip": "10.1.1.1"}], "ports": [{"port": 80}]}]}"#,
    ] {
        objects.push(world.object(json));
    }
    for json in [
        r#"{"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "NAME"}, "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}}"#,
        r#"{"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "NAME"}, "provisioner": "x.example/y"}"#,
        r#"{"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "NAME"}, "value": 1}"#,
        r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "NAME-2"}}"#,
        r#"{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "NAME"},
            "roleRef": {"kind": "ClusterRole", "name": "x"}, "subjects": [{"kind": "User", "name": "x"}]}"#,
        r#"{"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": "NAME"},
            "webhooks": [{"name": "x.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
                "clientConfig": {"service": {"name": "x", "namespace": "NAME"}},
                "rules": [{"operations": ["CREATE"], "apiGroups": ["no.example"], "apiVersions": ["v1"], "resources": ["xs"]}]}]}"#,
        r#"{"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "NAME"},
            "spec": {"controller": "x.example/y", "parameters": {"kind": "X", "name": "x"}}}"#,
        r#"{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.NAME.example.com"},
            "spec": {"group": "NAME.example.com", "scope": "Cluster", "names": {"kind": "Widget", "plural": "widgets"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]}}"#,
    ] {
        objects.push(yaml(&json.replace("NAME", name)));
    }
    let mut wrong = Vec::new();
    for object in &objects {
        let live = world.cluster.apply(object, &Write::by("one")).await;
        if let Err(ClusterError::UnknownKind { gvk }) = &live {
            // Old versions are not served everywhere.
            assert_eq!(
                gvk,
                &Gvk::parse("autoscaling/v1", "HorizontalPodAutoscaler")
            );
            continue;
        }
        let live = live.unwrap_or_else(|error| panic!("{}: {error}", object.key()));
        let mut filled = object.object().clone();
        gitops_core::defaults::fill(object.gvk(), &mut filled);
        let mut paths = Vec::new();
        one_sided(
            "",
            &live.to_value(),
            &Value::Map(filled.clone()),
            &mut paths,
        );
        one_sided(
            "(not there) ",
            &Value::Map(filled),
            &live.to_value(),
            &mut paths,
        );
        paths.retain(|path| {
            let path = path.trim_start_matches("(not there) ");
            let respelled = path.contains(".resources.requests.");
            let folded = object.key().kind == "Secret";
            let own = object.key().kind == "Namespace" && path == ".spec";
            !respelled && !folded && !own && !ALLOCATED.iter().any(|known| path.starts_with(known))
        });
        wrong.extend(paths.iter().map(|path| format!("{} {path}", object.key())));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

pub(crate) async fn fields_of_a_client_are_taken_over<C: Cluster>(world: &World<C>) {
    let wanted = |more: &str| {
        world.object(&format!(
            r#"{{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {{"name": "m"}},
                "data": {{"value": "1"{more}}}}}"#
        ))
    };
    // As `kubectl apply` did for years: an update, and a copy in an annotation.
    let mut old = wanted(r#", "more": "x""#);
    let copy = format!("{}\n", gitops_core::json::to_string(&old.to_value()));
    old.set_annotation("kubectl.kubernetes.io/last-applied-configuration", copy);
    let client = Write::by("kubectl-client-side-apply");
    world.cluster.create(&old, &client).await.expect("created");
    let plan = world.plan(&[wanted("")]).await;
    let changes = &plan.tasks[0].difference.as_ref().expect("compared").changes;
    assert!(
        changes
            .iter()
            .any(|change| change.path.to_string() == ".data.more"),
        "{plan}"
    );
    let (report, _) = world.sync(&[wanted("")]).await;
    assert!(report.succeeded(), "{report}");
    let live = world.get("v1", "ConfigMap", "m").await.expect("there");
    assert_eq!(live.at(&["data", "more"]), None);
    let owners = format!("{:?}", live.at(&["metadata", "managedFields"]));
    assert!(!owners.contains("kubectl-client-side-apply"), "{owners}");
    assert!(world.plan(&[wanted("")]).await.is_synced());
}

pub(crate) fn three_waves<C: Cluster>(world: &World<C>) -> Vec<Manifest> {
    let mut wanted = vec![world.deployment("web", r#""argocd.argoproj.io/sync-wave": "1""#, "")];
    for wave in 0..3 {
        for index in 0..5 {
            let annotation = format!(r#""argocd.argoproj.io/sync-wave": "{wave}""#);
            wanted.push(world.config_map(&format!("m-{wave}-{index}"), &annotation, "1"));
        }
    }
    wanted
}

pub(crate) async fn a_sync_outlives_an_outage<C: Cluster>(world: &World<C>) {
    let wanted = three_waves(world);
    let plan = world.plan(&wanted).await;
    let options = SyncOptions {
        concurrency: 2,
        ..SyncOptions::default()
    };
    let mut retried = 0;
    let mut went = false;
    let report = sync(&plan, &world.cluster, &options, |event| {
        if matches!(event, Event::Retrying { .. }) {
            retried += 1;
        }
        if matches!(event, Event::Wave { wave: 1, .. }) && !std::mem::replace(&mut went, true) {
            (world.outage)();
        }
    })
    .await;
    assert!(report.succeeded(), "{report}");
    assert!(retried > 0);
    assert_eq!(report.costs.retries, retried);
    assert_eq!(report.results.len(), wanted.len());
    assert!(world.plan(&wanted).await.is_synced());
}

pub(crate) async fn ignored_fields_are_left_to_others<C: Cluster>(world: &World<C>) {
    let ignore = gitops_core::app::IgnoreDifference {
        group: "apps".into(),
        kind: "Deployment".into(),
        json_pointers: vec!["/spec/replicas".into()],
        ..Default::default()
    };
    let mut options = world.plan_options();
    options.ignore = vec![ignore];
    options.app.respect_ignored = true;
    let wanted = |value: &str| {
        let annotation = format!(r#""value": {value:?}"#);
        [world.deployment("d", &annotation, "")]
    };
    let quick = SyncOptions::default();
    let (report, _) = world.sync_with(&wanted("1"), &options, &quick).await;
    assert!(report.succeeded(), "{report}");
    let scaled = world.object(
        r#"{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": 5}}"#,
    );
    let force = Write {
        force: true,
        ..Write::by("scaler")
    };
    // Not whole, and so only good for what is there already.
    world.cluster.apply(&scaled, &force).await.expect("scaled");
    let live = world.live(&wanted("1")).await;
    assert!(gitops_apply::plan(&wanted("1"), &live, &options).is_synced());
    let (report, _) = world.sync_with(&wanted("2"), &options, &quick).await;
    assert!(report.succeeded(), "{report}");
    let live = world
        .get("apps/v1", "Deployment", "d")
        .await
        .expect("there");
    assert_eq!(live.annotation("value"), Some("2"));
    assert_eq!(live.at(&["spec", "replicas"]), Some(&Value::Int(5)));
}

/// Calls a macro with the names of the tests that hold on every cluster.
macro_rules! on_every_cluster {
    ($run:ident) => {
        $run! {
            suite:
            apply_creates_and_then_changes_nothing
            fields_have_owners
            a_uid_protects_from_deleting_another_object
            lists_select_by_label_and_namespace
            watches_show_what_happened_since
            refusals_say_what_is_wrong
            secrets_stay_out_of_errors
            waves_wait_for_health
            a_degraded_object_stops_later_waves
            hooks_run_to_their_end
            hooks_clear_away_only_hooks
            a_failing_hook_runs_the_hooks_for_failures
            what_is_declared_no_more_is_pruned_in_reverse
            nothing_is_pruned_before_every_wave_is_applied
            definitions_come_before_their_objects
            a_dry_run_changes_nothing
            a_bad_object_in_the_last_wave_stops_the_first
            what_cannot_be_changed_is_recreated_on_demand
            replaced_objects_lose_what_others_added
            a_timeout_ends_running_hooks
            a_second_plan_finds_nothing_to_do
            what_others_changed_is_changed_back
            a_field_that_is_declared_no_more_goes
            the_destination_is_created_first
            defaults_are_those_of_a_server
            fields_of_a_client_are_taken_over
            ignored_fields_are_left_to_others;
            records:
            an_inventory_is_kept_by_uid
            what_is_deleted_is_what_was_planned
            what_has_changed_hands_is_not_pruned
            an_apply_set_is_kept_as_kubectl_does
            an_inventory_of_flux_is_kept
            a_namespace_goes_when_it_is_empty;
            looks:
            charts_look_up_what_the_cluster_holds
            broken_files_of_secrets_are_not_quoted;
        }
    };
}
pub(crate) use on_every_cluster;
