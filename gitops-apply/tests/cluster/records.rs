//! What is recorded of an application, and what is pruned by it.

use gitops_apply::cluster::{Deletion, Propagation};
use gitops_apply::plan::{Action, SkipReason};
use gitops_apply::{
    Cluster, LiveOptions, LiveState, Plan, PlanOptions, Record, Scan, SyncOptions, SyncReport,
    plan, sync,
};
use gitops_core::inventory::{ApplySet, Inventory, Method, Tracking};
use gitops_core::{Manifest, ObjectKey, Value, json};

use crate::world::{World, yaml};

fn text<'a>(object: &'a Manifest, path: &[&str]) -> &'a str {
    object.at(path).and_then(Value::as_str).unwrap_or_default()
}

fn uid(object: &Manifest) -> &str {
    text(object, &["metadata", "uid"])
}

fn version(object: &Manifest) -> &str {
    text(object, &["metadata", "resourceVersion"])
}

/// One application, and how it is recorded.
pub(crate) struct Kept<'w, C> {
    pub(crate) world: &'w World<C>,
    pub(crate) tracking: Tracking,
    pub(crate) record: Record,
}

impl<C: Cluster> Kept<'_, C> {
    pub(crate) async fn plan(&self, desired: &[Manifest]) -> Plan {
        let namespace = self.world.namespace.as_str();
        let mut live = LiveOptions::new("", namespace);
        live.tracking = self.tracking.clone();
        live.record = self.record.clone();
        // The record says where to look.
        live.scan = Scan::Nothing;
        live.namespaces = vec![namespace.into()];
        let live = LiveState::read(&self.world.cluster, desired, &live)
            .await
            .expect("read");
        let mut options = PlanOptions::new("", namespace);
        options.tracking = self.tracking.clone();
        options.prune = true;
        options.allow_empty = true;
        plan(desired, &live, &options)
    }

    pub(crate) async fn sync(&self, desired: &[Manifest]) -> SyncReport {
        let plan = self.plan(desired).await;
        let options = SyncOptions {
            wait_for_last: true,
            timeout: Some(std::time::Duration::from_secs(60)),
            ..SyncOptions::default()
        };
        sync(&plan, &self.world.cluster, &options, |_| {}).await
    }
}

/// A deletion that is over when it is answered.
fn at_once() -> Deletion {
    Deletion {
        propagation: Propagation::Background,
        ..Deletion::default()
    }
}

pub(crate) async fn an_inventory_is_kept_by_uid<C: Cluster>(world: &World<C>) {
    let kept = Kept {
        world,
        tracking: Tracking::new("shop"),
        record: Record::inventory("shop", &*world.namespace),
    };
    let record = || world.get("v1", "ConfigMap", "gitops-inventory-shop");
    let (a, b) = (
        world.config_map("a", "", "1"),
        world.config_map("b", "", "1"),
    );
    let secret = world.object(
        r#"{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "hunter2"}}"#,
    );
    let report = kept.sync(&[a.clone(), b.clone(), secret.clone()]).await;
    assert!(report.succeeded(), "{report}");
    let first = record().await.expect("an inventory");
    assert_eq!(text(&first, &["data", "application"]), "shop");
    let read = json::parse(text(&first, &["data", "inventory"]).as_bytes()).expect("JSON");
    let read = Inventory::from_value(&read).expect("an inventory");
    assert_eq!(read.entries.len(), 3);
    for (key, entry) in &read.entries {
        let live = world.cluster.get(key, "").await.expect("an answer");
        assert_eq!(uid(&live.expect("there")), entry.uid);
    }
    // What is unchanged is not recorded anew.
    let report = kept.sync(&[a.clone(), b.clone(), secret.clone()]).await;
    assert!(report.succeeded(), "{report}");
    let again = record().await.expect("an inventory");
    assert_eq!(version(&first), version(&again));

    // What is declared no more goes, of kinds too that are not declared at
    // all any more.
    let report = kept.sync(std::slice::from_ref(&a)).await;
    assert!(report.succeeded(), "{report}");
    assert_eq!(world.get("v1", "ConfigMap", "b").await, None);
    assert_eq!(world.get("v1", "Secret", "s").await, None);
    let less = record().await.expect("an inventory");
    let expected = format!("{}_a__ConfigMap", world.namespace);
    let listed = text(&less, &["data", "inventory"]);
    assert!(
        listed.contains(&expected) && !listed.contains("_b_"),
        "{listed}"
    );

    // Another object of that name, with the same mark, is not ours to delete.
    let live = world.get("v1", "ConfigMap", "a").await.expect("there");
    world
        .cluster
        .delete(live.key(), &at_once())
        .await
        .expect("deleted");
    let mut other = a.clone();
    Tracking::new("shop").mark(&mut other, &world.namespace);
    let write = gitops_apply::cluster::Write::by("somebody");
    world.cluster.apply(&other, &write).await.expect("applied");
    let plan = kept.plan(&[]).await;
    let task = plan
        .tasks
        .iter()
        .find(|task| task.key.name == "a")
        .expect("a task");
    assert_eq!(
        task.action,
        Action::Skip {
            reason: SkipReason::NotRecorded
        }
    );
    assert!(kept.sync(&[]).await.succeeded());
    assert!(world.get("v1", "ConfigMap", "a").await.is_some());

    // An inventory is one application's.
    let thief = Kept {
        world,
        tracking: Tracking::new("thief"),
        record: Record::inventory("shop", &*world.namespace),
    };
    let refused = thief.sync(&[a]).await;
    assert!(
        refused
            .message
            .contains(r#"is the inventory of application "shop""#),
        "{refused}"
    );
}

/// An object that was replaced between plan and sync is not deleted: its uid
/// is another one.
pub(crate) async fn what_is_deleted_is_what_was_planned<C: Cluster>(world: &World<C>) {
    let kept = Kept {
        world,
        tracking: Tracking::new("shop"),
        record: Record::inventory("shop", &*world.namespace),
    };
    let a = world.config_map("a", "", "1");
    assert!(kept.sync(std::slice::from_ref(&a)).await.succeeded());
    let plan = kept.plan(&[]).await;
    assert_eq!(plan.counts().prune, 1);
    let live = world.get("v1", "ConfigMap", "a").await.expect("there");
    world
        .cluster
        .delete(live.key(), &at_once())
        .await
        .expect("deleted");
    let write = gitops_apply::cluster::Write::by("somebody");
    world.cluster.apply(&a, &write).await.expect("applied");
    let report = sync(&plan, &world.cluster, &SyncOptions::default(), |_| {}).await;
    assert!(report.succeeded(), "{report}");
    assert!(
        report
            .results
            .iter()
            .any(|result| result.message.contains("another object")),
        "{report:?}"
    );
    assert!(world.get("v1", "ConfigMap", "a").await.is_some());
}

/// An object that has changed hands between plan and sync is left alone; one
/// that has only changed is not.
pub(crate) async fn what_has_changed_hands_is_not_pruned<C: Cluster>(world: &World<C>) {
    use gitops_apply::cluster::Write;
    let app = world.namespace.as_str();
    let kept = Kept {
        world,
        tracking: Tracking::new(app),
        record: Record::inventory(app, app),
    };
    let all = ["moves", "stays", "changes"].map(|name| world.config_map(name, "", "1"));
    assert!(kept.sync(&all).await.succeeded());
    let plan = kept.plan(&[]).await;
    assert_eq!(plan.counts().prune, 3);
    let force = Write {
        force: true,
        ..Write::by("somebody")
    };
    let mut moved = all[0].clone();
    Tracking::new("other").mark(&mut moved, &world.namespace);
    let keep = r#""argocd.argoproj.io/sync-options": "Prune=false""#;
    let kept_now = world.config_map("stays", keep, "1");
    for object in [moved, kept_now, world.config_map("changes", "", "2")] {
        world.cluster.apply(&object, &force).await.expect("applied");
    }
    let until_gone = SyncOptions {
        wait_for_last: true,
        ..SyncOptions::default()
    };
    let report = sync(&plan, &world.cluster, &until_gone, |_| {}).await;
    assert!(report.succeeded(), "{report}");
    for (name, there) in [("moves", true), ("stays", true), ("changes", false)] {
        let found = world.get("v1", "ConfigMap", name).await;
        assert_eq!(found.is_some(), there, "{name}: {report}");
    }
}

pub(crate) async fn an_apply_set_is_kept_as_kubectl_does<C: Cluster>(world: &World<C>) {
    let record = Record::apply_set("set", &*world.namespace);
    let Record::ApplySet { parent, .. } = &record else {
        unreachable!("made above");
    };
    let id = ApplySet::new(parent.clone()).id();
    let kept = Kept {
        world,
        tracking: Tracking {
            method: Method::ApplySet,
            ..Tracking::new(&*id)
        },
        record: record.clone(),
    };
    let a = world.config_map("a", "", "1");
    let web = world.object(
        r#"{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "web"}, "rules": []}"#,
    );
    let report = kept.sync(&[a.clone(), web]).await;
    assert!(report.succeeded(), "{report}");
    let parent = world.get("v1", "Secret", "set").await.expect("a parent");
    assert_eq!(parent.label("applyset.kubernetes.io/id"), Some(&*id));
    let annotation = |name: &str| parent.annotation(&format!("applyset.kubernetes.io/{name}"));
    assert_eq!(
        annotation("contains-group-kinds"),
        Some("ConfigMap,Role.rbac.authorization.k8s.io")
    );
    assert_eq!(annotation("additional-namespaces"), Some(""));
    assert!(annotation("tooling").is_some_and(|tooling| tooling.starts_with("gitops/")));
    let member = world.get("v1", "ConfigMap", "a").await.expect("a member");
    assert_eq!(member.label("applyset.kubernetes.io/part-of"), Some(&*id));

    // The kinds of the set are looked at, whatever is declared.
    let report = kept.sync(std::slice::from_ref(&a)).await;
    assert!(report.succeeded(), "{report}");
    assert_eq!(
        world
            .get("rbac.authorization.k8s.io/v1", "Role", "web")
            .await,
        None
    );
    let parent = world.get("v1", "Secret", "set").await.expect("a parent");
    let kinds = parent.annotation("applyset.kubernetes.io/contains-group-kinds");
    assert_eq!(kinds, Some("ConfigMap"));

    // Another program's set is left alone, and another set's member too.
    let theirs = Kept {
        world,
        tracking: kept.tracking.clone(),
        record: Record::ApplySet {
            parent: parent.key().clone(),
            tooling: "kubectl/v1.36".into(),
        },
    };
    let refused = theirs.sync(std::slice::from_ref(&a)).await;
    assert!(refused.message.contains("is kept by gitops/"), "{refused}");
    let second = Record::apply_set("second", &*world.namespace);
    let key = ObjectKey {
        name: "second".into(),
        ..parent.key().clone()
    };
    let second = Kept {
        world,
        tracking: Tracking {
            method: Method::ApplySet,
            ..Tracking::new(ApplySet::new(key).id())
        },
        record: second,
    };
    let refused = second.sync(&[a]).await;
    assert!(
        refused.message.contains("Shared resource found"),
        "{refused}"
    );
}

/// As much of Flux's definition as an inventory needs.
const KUSTOMIZATIONS: &str = r#"{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition,
    metadata: {name: kustomizations.kustomize.toolkit.fluxcd.io},
    spec: {group: kustomize.toolkit.fluxcd.io, scope: Namespaced,
        names: {kind: Kustomization, listKind: KustomizationList, plural: kustomizations, singular: kustomization},
        versions: [{name: v1, served: true, storage: true, subresources: {status: {}}, schema: {openAPIV3Schema:
            {type: object, properties: {
                spec: {type: object, properties: {suspend: {type: boolean}, prune: {type: boolean}}},
                status: {type: object, properties: {
                    lastAppliedRevision: {type: string},
                    inventory: {type: object, required: [entries], properties: {entries: {type: array, items:
                        {type: object, required: [id, v], properties: {id: {type: string}, v: {type: string}}}}}}}}}}}}]}}"#;

/// An application is taken over from Flux, and could be given back.
pub(crate) async fn an_inventory_of_flux_is_kept<C: Cluster>(world: &World<C>) {
    use gitops_apply::cluster::Write;
    let kept = Kept {
        world,
        tracking: Record::Flux {
            namespace: world.namespace.as_str().into(),
            name: "shop".into(),
        }
        .tracking(""),
        record: Record::Flux {
            namespace: world.namespace.as_str().into(),
            name: "shop".into(),
        },
    };
    let flux = Write {
        force: true,
        ..Write::by("kustomize-controller")
    };
    let definition = yaml(KUSTOMIZATIONS);
    let applied = world.cluster.apply(&definition, &flux).await;
    applied.expect("a definition");
    let kustomization = |rest: &str| {
        world.object(&format!(
            r#"{{"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
                "metadata": {{"name": "shop"}}, {rest}}}"#
        ))
    };
    for _ in 0..100 {
        let active = kustomization(r#""spec": {"prune": true}"#);
        match world.cluster.apply(&active, &flux).await {
            Ok(_) => break,
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
        world.cluster.discover().await.expect("a server");
    }
    let status = Write {
        subresource: "status".into(),
        ..flux.clone()
    };
    let space = &world.namespace;
    let listed = kustomization(&format!(
        r#""status": {{"lastAppliedRevision": "main@sha1:1", "inventory": {{"entries": [
            {{"id": "{space}_a__ConfigMap", "v": "v1"}}, {{"id": "{space}_b__ConfigMap", "v": "v1"}},
            {{"id": "{space}_asked-to-stay__ConfigMap", "v": "v1"}},
            {{"id": "{space}_gone__ConfigMap", "v": "v1"}}]}}}}"#
    ));
    let applied = world.cluster.apply(&listed, &status).await;
    applied.expect("a status");
    let disabled = r#""kustomize.toolkit.fluxcd.io/prune": "Disabled""#;
    for (name, annotations) in [
        ("a", ""),
        ("b", ""),
        ("asked-to-stay", disabled),
        ("not-listed", ""),
    ] {
        let mut map = world.config_map(name, annotations, "1");
        kept.tracking.mark(&mut map, space);
        world.cluster.apply(&map, &flux).await.expect("applied");
    }
    let wanted = [
        world.config_map("a", "", "2"),
        world.config_map("new", "", "1"),
    ];
    let refused = kept.sync(&wanted).await;
    assert!(refused.message.contains("is not suspended"), "{refused}");

    let suspended = kustomization(r#""spec": {"prune": true, "suspend": true}"#);
    let before = world.cluster.apply(&suspended, &flux).await;
    let before = before.expect("suspended");
    assert!(before.at(&["status", "inventory"]).is_some());
    let report = kept.sync(&wanted).await;
    assert!(report.succeeded(), "{report}");
    for (name, there) in [
        ("a", true),
        ("b", false),
        ("asked-to-stay", true),
        ("not-listed", true),
    ] {
        let found = world.get("v1", "ConfigMap", name).await;
        assert_eq!(found.is_some(), there, "{name}");
    }
    let group = "kustomize.toolkit.fluxcd.io/v1";
    let after = world.get(group, "Kustomization", "shop").await;
    let after = after.expect("a Kustomization");
    let entries = after.at(&["status", "inventory", "entries"]);
    let entries = entries.and_then(Value::as_list).unwrap_or_default();
    let entries: Vec<String> = entries.iter().map(json::to_string).collect();
    let entry = |name: &str| format!(r#"{{"id":"{space}_{name}__ConfigMap","v":"v1"}}"#);
    // What is kept although it is declared no more is ours still; what was not
    // listed has only got its labels.
    assert_eq!(entries, ["a", "asked-to-stay", "new"].map(entry));
    assert_eq!(after.at(&["spec"]), before.at(&["spec"]));
    assert_eq!(
        text(&after, &["status", "lastAppliedRevision"]),
        "main@sha1:1"
    );
    // What is unchanged is not recorded anew.
    assert!(kept.sync(&wanted).await.succeeded());
    let again = world.get(group, "Kustomization", "shop").await;
    assert_eq!(version(&after), version(&again.expect("there")));
}

/// A namespace is pruned only if nothing of others is in it.
pub(crate) async fn a_namespace_goes_when_it_is_empty<C: Cluster>(world: &World<C>) {
    let name = format!("{}-more", world.namespace);
    let namespace = yaml(&format!(
        r#"{{"apiVersion": "v1", "kind": "Namespace", "metadata": {{"name": {name:?}}}}}"#
    ));
    let within = |object: &str| {
        let mut object = world.config_map(object, "", "1");
        object.set_namespace(&name);
        object
    };
    let kept = Kept {
        world,
        tracking: Tracking::new(&*world.namespace),
        record: Record::inventory("shop", &*world.namespace),
    };
    let kept = Kept {
        record: Record::inventory(&kept.tracking.app, &*world.namespace),
        ..kept
    };
    let report = kept.sync(&[namespace.clone(), within("ours")]).await;
    assert!(report.succeeded(), "{report}");
    let write = gitops_apply::cluster::Write::by("somebody");
    let foreign = world
        .cluster
        .apply(&within("foreign"), &write)
        .await
        .expect("applied");

    let plan = kept.plan(&[]).await;
    let action = |plan: &Plan, kind: &str| {
        let task = plan.tasks.iter().find(|task| task.key.kind == kind);
        task.map(|task| task.action.clone())
    };
    let occupied = Action::Skip {
        reason: SkipReason::Occupied,
    };
    assert_eq!(action(&plan, "Namespace"), Some(occupied.clone()), "{plan}");
    assert_eq!(action(&plan, "ConfigMap"), Some(Action::Prune), "{plan}");
    assert!(!plan.is_synced());

    world
        .cluster
        .delete(foreign.key(), &at_once())
        .await
        .expect("deleted");
    // What is still declared in it holds it, too.
    let plan = kept.plan(&[within("ours")]).await;
    assert_eq!(action(&plan, "Namespace"), Some(occupied), "{plan}");
    let plan = kept.plan(&[]).await;
    assert_eq!(action(&plan, "Namespace"), Some(Action::Prune), "{plan}");
    // What has come since the plan was made holds it.
    let late = world.cluster.apply(&within("late"), &write).await;
    let late = late.expect("applied");
    let report = sync(&plan, &world.cluster, &SyncOptions::default(), |_| {}).await;
    let held = report
        .results
        .iter()
        .find(|result| result.key.kind == "Namespace");
    let held = held.map(|result| result.message.as_str());
    let message = "ignored (the namespace holds what is to stay)";
    assert_eq!(held, Some(message), "{report}");
    let there = world.cluster.get(namespace.key(), "").await;
    assert!(there.expect("an answer").is_some());
    world
        .cluster
        .delete(late.key(), &at_once())
        .await
        .expect("deleted");
    let plan = kept.plan(&[]).await;
    let options = SyncOptions {
        wait_for_last: true,
        timeout: Some(std::time::Duration::from_secs(60)),
        ..SyncOptions::default()
    };
    let report = sync(&plan, &world.cluster, &options, |_| {}).await;
    assert!(report.succeeded(), "{report}");
    let gone = world
        .cluster
        .get(namespace.key(), "")
        .await
        .expect("an answer");
    assert_eq!(gone, None);
}
