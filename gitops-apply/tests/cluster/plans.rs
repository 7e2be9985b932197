//! Plans, which need no cluster.

use std::sync::Arc;

use gitops_apply::cluster::{Kind, Kinds};
use gitops_apply::plan::{AppOptions, Permission};
use gitops_apply::{LiveState, Plan, PlanOptions, plan};
use gitops_core::inventory::{Method, Tracking};
use gitops_core::{Gvk, Manifest, Origin, manifest};

fn objects(text: &str) -> Vec<Manifest> {
    manifest::parse(text.as_bytes(), &Origin::default()).expect("YAML")
}

fn map(name: &str, annotations: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, annotations: {{{annotations}}}}}\n"
    )
}

fn options() -> PlanOptions {
    PlanOptions {
        prune: true,
        revision: "0123456789abcdef".into(),
        now: 1_700_000_000,
        ..PlanOptions::new("shop", "web")
    }
}

/// A live state of objects that are marked as the application's.
fn live(text: &str) -> LiveState {
    let mut live = LiveState::default();
    for mut object in objects(text) {
        if object.namespace().is_empty() {
            object.set_namespace("web");
        }
        if object
            .annotation("argocd.argoproj.io/tracking-id")
            .is_none()
        {
            Tracking::new("shop").mark(&mut object, "web");
        }
        live.objects.insert(object.key().clone(), object);
    }
    live
}

/// Phase, wave, action and name of each task.
fn rows(plan: &Plan) -> Vec<String> {
    let tasks = plan.tasks.iter();
    tasks
        .map(|task| {
            let (phase, wave, action) = (task.phase, task.wave, task.action.name());
            format!(
                "{phase} {wave} {action} {}/{}",
                task.key.kind, task.key.name
            )
        })
        .collect()
}

#[test]
fn phases_waves_kinds_and_names_give_the_order() {
    let wanted = objects(
        "---
{apiVersion: example.com/v1, kind: Thing, metadata: {name: t}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}}
---
{apiVersion: v1, kind: Service, metadata: {name: s}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: late, annotations: {argocd.argoproj.io/sync-wave: '2'}}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: early, annotations: {argocd.argoproj.io/sync-wave: '-1'}}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: weighed, annotations: {helm.sh/hook-weight: '-5'}}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: typo, annotations: {argocd.argoproj.io/sync-wave: two}}}
---
{apiVersion: batch/v1, kind: Job, metadata: {name: h, annotations: {argocd.argoproj.io/hook: 'PostSync, PreSync'}}}
",
    );
    assert_eq!(
        rows(&plan(&wanted, &LiveState::default(), &options())),
        [
            "PreSync 0 hook Job/h",
            "Sync -5 create ConfigMap/weighed",
            "Sync -1 create ConfigMap/early",
            "Sync 0 create ConfigMap/a",
            "Sync 0 create ConfigMap/b",
            "Sync 0 create ConfigMap/typo",
            "Sync 0 create Service/s",
            "Sync 0 create Deployment/d",
            "Sync 0 create Thing/t",
            "Sync 2 create ConfigMap/late",
            "PostSync 0 hook Job/h",
        ]
    );
}

#[test]
fn namespaces_and_definitions_go_where_they_are_needed() {
    let wanted = objects(
        "---
{apiVersion: v1, kind: Namespace, metadata: {name: other, annotations: {argocd.argoproj.io/sync-wave: '3'}}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: m, namespace: other, annotations: {argocd.argoproj.io/sync-wave: '-2'}}}
---
{apiVersion: example.com/v1, kind: Thing, metadata: {name: t, annotations: {argocd.argoproj.io/hook: PreSync}}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec: {group: example.com, scope: Cluster, names: {kind: Thing, plural: things}, versions: []}
",
    );
    let plan = plan(&wanted, &LiveState::default(), &options());
    assert_eq!(
        rows(&plan),
        [
            "PreSync 0 create CustomResourceDefinition/things.example.com",
            "PreSync 0 hook Thing/t",
            "Sync -2 create Namespace/other",
            "Sync -2 create ConfigMap/m",
        ]
    );
    // The definition says that its objects live in no namespace.
    assert_eq!(plan.tasks[1].key.namespace, "");
}

#[test]
fn prunes_go_in_reverse_or_last() {
    let wave = |wave: i32| format!("argocd.argoproj.io/sync-wave: '{wave}'");
    let there = [
        map("a", &wave(-1)),
        map("b", &wave(0)),
        map("c", &wave(5)),
        map("stays", &wave(1)),
    ]
    .concat();
    let wanted = objects(&map("stays", &wave(1)));
    let mut options = options();
    let prunes = |options: &PlanOptions| -> Vec<String> {
        let plan = plan(&wanted, &live(&there), options);
        rows(&plan)
            .into_iter()
            .filter(|row| row.contains("prune"))
            .collect()
    };
    // The last wave that writes is 1.
    assert_eq!(
        prunes(&options),
        [
            "Sync 1 prune ConfigMap/c",
            "Sync 2 prune ConfigMap/b",
            "Sync 3 prune ConfigMap/a"
        ]
    );
    options.prune_in_waves = true;
    assert_eq!(
        prunes(&options),
        [
            "Sync -1 prune ConfigMap/c",
            "Sync 0 prune ConfigMap/b",
            "Sync 5 prune ConfigMap/a"
        ]
    );
    options.app.prune_last = true;
    assert_eq!(
        prunes(&options),
        [
            "Sync 6 prune ConfigMap/a",
            "Sync 6 prune ConfigMap/b",
            "Sync 6 prune ConfigMap/c"
        ]
    );
}

#[test]
fn what_is_to_be_kept_is_kept() {
    let there = [
        map("never", "argocd.argoproj.io/sync-options: Prune=false"),
        map("helm", "helm.sh/resource-policy: keep"),
        map("ask", "argocd.argoproj.io/sync-options: 'Replace=true, Prune=confirm'"),
        map("hook", "argocd.argoproj.io/hook: PreSync"),
        map("other", "argocd.argoproj.io/tracking-id: 'other:/ConfigMap:web/other'"),
        map("copy", "argocd.argoproj.io/tracking-id: 'shop:/ConfigMap:web/original'"),
        map("go", ""),
        "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: owned, ownerReferences: [{uid: x}]}}\n".to_owned(),
    ]
    .concat();
    let wanted = objects(&map("wanted", ""));
    let mut options = options();
    let plans = |options: &PlanOptions| rows(&plan(&wanted, &live(&there), options));
    assert_eq!(
        plans(&options),
        [
            "Sync 0 create ConfigMap/wanted",
            "Sync 0 approve ConfigMap/ask",
            "Sync 0 prune ConfigMap/go",
            "Sync 0 skip ConfigMap/helm",
            "Sync 0 skip ConfigMap/never",
        ]
    );
    options.prune_approved = true;
    assert!(plans(&options).contains(&"Sync 0 prune ConfigMap/ask".to_owned()));
    options.prune = false;
    let plan = plan(&wanted, &live(&there), &options);
    assert_eq!(plan.counts().prune, 0);
    assert!(
        plan.to_string().contains("ignored (requires pruning)"),
        "{plan}"
    );
}

#[test]
fn labels_that_controllers_copy_are_no_marks() {
    let claim = |name: &str, manager: &str| {
        format!(
            "---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {name}
  namespace: web
  labels: {{app.kubernetes.io/instance: shop}}
  managedFields:
  - apiVersion: v1
    fieldsType: FieldsV1
    fieldsV1: {{'f:metadata': {{'f:labels': {{'f:app.kubernetes.io/instance': {{}}}}}}}}
    manager: {manager}
    operation: Update
"
        )
    };
    let there = [
        claim("data-db-0", "kube-controller-manager"),
        claim("shared", "argocd-controller"),
    ];
    let mut options = options();
    options.tracking.method = Method::Label;
    let wanted = objects(&map("stays", ""));
    let mut state = LiveState::default();
    for object in objects(&there.concat()) {
        state.objects.insert(object.key().clone(), object);
    }
    assert_eq!(
        rows(&plan(&wanted, &state, &options)),
        [
            "Sync 0 create ConfigMap/stays",
            "Sync 0 prune PersistentVolumeClaim/shared"
        ]
    );
}

#[test]
fn too_much_deletion_is_refused() {
    let there = [map("a", ""), map("b", "")].concat();
    let refusals = |wanted: &str, options: &PlanOptions| -> Vec<String> {
        let plan = plan(&objects(wanted), &live(&there), options);
        plan.refusals.iter().map(ToString::to_string).collect()
    };
    let mut options = options();
    assert_eq!(
        refusals("", &options),
        [
            "auto-sync will wipe out all resources: nothing is declared and 2 objects would be pruned; \
          allow an empty application if that is meant"
        ]
    );
    options.allow_empty = true;
    assert!(refusals("", &options).is_empty());
    options.prune_limit = Some(1);
    assert_eq!(
        refusals(&map("c", ""), &options),
        ["2 objects would be deleted, and the limit is 1"]
    );
}

#[test]
fn what_is_created_again_is_deleted_too() {
    let frozen = |kind: &str, value: &str| {
        format!(
            "---\n{{apiVersion: v1, kind: {kind}, metadata: {{name: m}}, immutable: true, \
             data: {{a: {value}}}}}\n"
        )
    };
    let there = live(&[frozen("ConfigMap", "YQ=="), frozen("Secret", "YQ==")].concat());
    let wanted = objects(&[frozen("ConfigMap", "Yg=="), frozen("Secret", "Yg==")].concat());
    let mut options = options();
    options.app.force = true;
    options.prune_limit = Some(1);
    let found = plan(&wanted, &there, &options);
    assert_eq!(found.counts().recreate, 2, "{found}");
    assert_eq!(
        found.refusals[0].to_string(),
        "2 objects would be deleted, and the limit is 1"
    );
    options.protected.insert("Secret".into());
    let found = plan(&wanted, &there, &options);
    assert!(found.refusals.is_empty(), "{found}");
    let counts = found.counts();
    assert_eq!((counts.recreate, counts.update), (1, 1), "{found}");

    // With a namespace would go what is in it, and with a definition all of its
    // kind.
    let force = "argocd.argoproj.io/sync-options: Force=true";
    let wanted = objects(&format!(
        "---
{{apiVersion: v1, kind: Namespace, metadata: {{name: ns, annotations: {{{force}}}}}}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: things.example.com, annotations: {{{force}}}}}
spec: {{group: example.com, scope: Cluster, names: {{kind: Thing, plural: things}}, versions: []}}
---
{{apiVersion: v1, kind: ConfigMap, metadata: {{name: m, annotations: {{{force}}}}}}}
"
    ));
    options.prune_limit = None;
    let found = plan(&wanted, &LiveState::default(), &options);
    let forced: Vec<bool> = found.tasks.iter().map(|task| task.options.force).collect();
    assert_eq!(forced, [false, true, false], "{found}");
}

#[test]
fn hooks_are_those_of_argo_cd_and_helm() {
    let cases = [
        ("argocd.argoproj.io/hook: PreSync", "PreSync hook"),
        (
            "argocd.argoproj.io/hook: 'Sync,SyncFail'",
            "Sync hook, SyncFail hook",
        ),
        ("argocd.argoproj.io/hook: Skip", "Sync skip"),
        ("argocd.argoproj.io/hook: 'Skip,PostSync'", "PostSync hook"),
        ("argocd.argoproj.io/hook: PreDelete", "Sync skip"),
        ("argocd.argoproj.io/hook: Nonsense", "Sync skip"),
        ("helm.sh/hook: 'pre-install,pre-upgrade'", "PreSync hook"),
        ("helm.sh/hook: post-upgrade", "PostSync hook"),
        ("helm.sh/hook: crd-install", "Sync create"),
        ("helm.sh/hook: test", "Sync skip"),
        ("helm.sh/hook: pre-rollback", "Sync skip"),
        (
            "argocd.argoproj.io/hook: PostSync, helm.sh/hook: pre-install",
            "PostSync hook",
        ),
    ];
    for (annotations, expected) in cases {
        let wanted = objects(&map("m", annotations));
        let plan = plan(&wanted, &LiveState::default(), &options());
        let found: Vec<String> = plan
            .tasks
            .iter()
            .map(|task| format!("{} {}", task.phase, task.action.name()))
            .collect();
        assert_eq!(found.join(", "), expected, "{annotations}");
    }
}

#[test]
fn hooks_without_a_name_get_one() {
    let wanted = objects(
        "---
apiVersion: batch/v1
kind: Job
metadata: {generateName: migrate-, annotations: {argocd.argoproj.io/hook: 'PreSync,PostSync'}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {generateName: m-}}
",
    );
    let plan = plan(&wanted, &LiveState::default(), &options());
    let names: Vec<&str> = plan
        .tasks
        .iter()
        .map(|task| task.key.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "migrate-0123456-presync-1700000000",
            "migrate-0123456-postsync-1700000000"
        ]
    );
    let origin = &wanted[1].origin;
    assert_eq!(
        plan.refusals[0].to_string(),
        format!("ConfigMap in {origin}: only hooks may have generateName instead of a name")
    );
}

fn kinds(kinds: &[(&str, &str, bool)]) -> LiveState {
    let kinds = kinds.iter().map(|(version, kind, namespaced)| Kind {
        gvk: Gvk::parse(version, kind),
        plural: kind.to_lowercase().into(),
        namespaced: *namespaced,
        verbs: Vec::new(),
    });
    LiveState {
        kinds: Arc::new(Kinds::new("v1.36.3", kinds)),
        ..LiveState::default()
    }
}

#[test]
fn kinds_that_the_server_does_not_have_are_refused() {
    let server = kinds(&[
        ("v1", "ConfigMap", true),
        ("policy/v1", "PodDisruptionBudget", true),
    ]);
    let wanted = objects(
        "---
{apiVersion: policy/v1beta1, kind: PodDisruptionBudget, metadata: {name: p}}
---
{apiVersion: example.com/v1, kind: Thing, metadata: {name: t}}
---
apiVersion: example.com/v1
kind: Other
metadata: {name: o, annotations: {argocd.argoproj.io/sync-options: SkipDryRunOnMissingResource=true}}
",
    );
    let plan = plan(&wanted, &server, &options());
    let refusals: Vec<String> = plan.refusals.iter().map(ToString::to_string).collect();
    assert_eq!(
        refusals,
        [
            "The Kubernetes API could not find version \"v1beta1\" of policy/PodDisruptionBudget for \
             requested resource web/p. Version \"v1\" of policy/PodDisruptionBudget is installed on \
             the destination cluster.",
            "The Kubernetes API could not find example.com/Thing for requested resource web/t. Make \
             sure the \"Thing\" CRD is installed on the destination cluster.",
        ]
    );
}

#[test]
fn an_object_declared_twice_counts_once() {
    let wanted = objects(&[map("m", "a: '1'"), map("m", "a: '2'")].concat());
    let plan = plan(&wanted, &LiveState::default(), &options());
    assert_eq!(rows(&plan), ["Sync 0 create ConfigMap/m"]);
    let desired = plan.tasks[0].desired().expect("declared");
    assert_eq!(desired.annotation("a"), Some("2"));
    assert_eq!(
        plan.warnings[0].to_string(),
        "ConfigMap:web/m appeared 2 times among application resources"
    );
}

#[test]
fn objects_of_other_applications_are_named() {
    let there = map(
        "m",
        "argocd.argoproj.io/tracking-id: 'other:/ConfigMap:web/m'",
    );
    let wanted = objects(&map("m", ""));
    let mut options = options();
    let found = plan(&wanted, &live(&there), &options);
    assert_eq!(
        found.warnings[0].to_string(),
        "ConfigMap:web/m is part of applications shop and other"
    );
    options.app.fail_on_shared = true;
    let found = plan(&wanted, &live(&there), &options);
    assert_eq!(
        found.refusals[0].to_string(),
        "Shared resource found: ConfigMap:web/m is part of application other"
    );
}

#[test]
fn sync_options_are_read_as_argo_cd_writes_them() {
    let (read, unknown) = AppOptions::parse(&[
        "Prune=confirm",
        "PruneLast=true",
        "PrunePropagationPolicy=background",
        "Validate=false",
        "CreateNamespace=true",
        "ServerSideApply=true",
        "ApplyOutOfSyncOnly=true",
        "Nonsense=true",
        "PruneLast=maybe",
    ]);
    assert_eq!(unknown, ["Nonsense=true", "PruneLast=maybe"]);
    assert_eq!(
        read,
        AppOptions {
            prune: Permission::Confirm,
            prune_last: true,
            propagation: gitops_apply::cluster::Propagation::Background,
            validate: false,
            create_namespace: true,
            out_of_sync_only: true,
            ..AppOptions::default()
        }
    );
}

#[test]
fn a_plan_reads_as_a_table() {
    let there = "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: old}}\n\
                 ---\n{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {a: aHVudGVyMg==}}\n";
    let wanted = objects(
        "---\n{apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {a: swordfish}}\n\
         ---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: new}}\n",
    );
    let plan = plan(&wanted, &live(there), &options());
    assert_eq!(
        plan.to_string(),
        "\
PHASE  WAVE  ACTION  KIND       NAME
Sync   0     update  Secret     web/s    .data.a
Sync   0     create  ConfigMap  web/new
Sync   0     prune   ConfigMap  web/old
1 to create, 1 to update, 1 to prune"
    );
    let json = serde_json::to_string(&plan).expect("JSON");
    for secret in ["hunter2", "aHVudGVyMg", "swordfish", "c3dvcmRmaXNo"] {
        assert!(
            !json.contains(secret) && !format!("{plan:?}").contains(secret),
            "{secret}"
        );
    }
}

#[test]
fn a_sync_can_be_spawned() {
    fn is_send<T: Send>(_: &T) {}
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async {
        let cluster = gitops_apply::MemoryCluster::new(Default::default());
        let plan = plan(&[], &LiveState::default(), &options());
        let options = gitops_apply::SyncOptions::default();
        let future = gitops_apply::sync(&plan, &cluster, &options, |_| {});
        is_send(&future);
        let live = gitops_apply::LiveOptions::new("shop", "web");
        is_send(&LiveState::read(&cluster, &[], &live));
        assert!(future.await.succeeded());
    });
}
