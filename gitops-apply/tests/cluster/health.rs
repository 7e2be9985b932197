//! Health and messages, kind by kind.

use gitops_apply::health::{Health, HealthStatus, app_health, health};
use gitops_core::{Gvk, Manifest, Map, ObjectKey, Origin, Value, manifest, yaml};

fn judged(text: &str) -> String {
    let objects = manifest::parse(text.as_bytes(), &Origin::default()).expect("YAML");
    describe(&objects[0])
}

fn describe(object: &Manifest) -> String {
    match health(object) {
        None => "none".to_owned(),
        Some(Health { status, message }) if message.is_empty() => status.to_string(),
        Some(Health { status, message }) => format!("{status}: {message}"),
    }
}

fn object(version: &str, kind: &str, rest: &str) -> String {
    format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x, generation: 2}}\n{rest}")
}

#[test]
fn every_rule_has_its_message() {
    let cases = [
        (
            "apps/v1",
            "Deployment",
            "spec: {paused: true}",
            "Suspended: Deployment is paused",
        ),
        (
            "apps/v1",
            "Deployment",
            "status: {observedGeneration: 1}",
            "Progressing: Waiting for rollout to finish: observed deployment generation less than desired generation",
        ),
        (
            "apps/v1",
            "Deployment",
            "status: {observedGeneration: 2, conditions: [{type: Progressing, reason: ProgressDeadlineExceeded}]}",
            "Degraded: Deployment \"x\" exceeded its progress deadline",
        ),
        (
            "apps/v1",
            "Deployment",
            "spec: {replicas: 3}\nstatus: {observedGeneration: 2, updatedReplicas: 1}",
            "Progressing: Waiting for rollout to finish: 1 out of 3 new replicas have been updated...",
        ),
        (
            "apps/v1",
            "Deployment",
            "spec: {replicas: 3}\nstatus: {observedGeneration: 2, updatedReplicas: 3, replicas: 5}",
            "Progressing: Waiting for rollout to finish: 2 old replicas are pending termination...",
        ),
        (
            "apps/v1",
            "Deployment",
            "spec: {replicas: 3}\nstatus: {observedGeneration: 2, updatedReplicas: 3, replicas: 3, availableReplicas: 2}",
            "Progressing: Waiting for rollout to finish: 2 of 3 updated replicas are available...",
        ),
        (
            "apps/v1",
            "Deployment",
            "spec: {replicas: 0}\nstatus: {observedGeneration: 2}",
            "Healthy",
        ),
        (
            "extensions/v1beta1",
            "Deployment",
            "",
            "Unknown: unsupported Deployment GVK: extensions/v1beta1, Kind=Deployment",
        ),
        (
            "apps/v1",
            "StatefulSet",
            "status: {}",
            "Progressing: Waiting for statefulset spec update to be observed...",
        ),
        (
            "apps/v1",
            "StatefulSet",
            "spec: {replicas: 3}\nstatus: {observedGeneration: 2, readyReplicas: 1}",
            "Progressing: Waiting for 2 pods to be ready...",
        ),
        (
            "apps/v1",
            "StatefulSet",
            "spec: {replicas: 3, updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 1}}}\n\
             status: {observedGeneration: 2, readyReplicas: 3, updatedReplicas: 1}",
            "Progressing: Waiting for partitioned roll out to finish: 1 out of 2 new pods have been updated...",
        ),
        (
            "apps/v1",
            "StatefulSet",
            "spec: {replicas: 1, updateStrategy: {type: RollingUpdate}}\n\
             status: {observedGeneration: 2, readyReplicas: 1, updatedReplicas: 1, updateRevision: b, currentRevision: a}",
            "Progressing: waiting for statefulset rolling update to complete 1 pods at revision b...",
        ),
        (
            "apps/v1",
            "DaemonSet",
            "status: {observedGeneration: 2, desiredNumberScheduled: 3, updatedNumberScheduled: 2}",
            "Progressing: Waiting for daemon set \"x\" rollout to finish: 2 out of 3 new pods have been updated...",
        ),
        (
            "apps/v1",
            "DaemonSet",
            "status: {observedGeneration: 2, desiredNumberScheduled: 3, updatedNumberScheduled: 3, numberAvailable: 1}",
            "Progressing: Waiting for daemon set \"x\" rollout to finish: 1 of 3 updated pods are available...",
        ),
        (
            "apps/v1",
            "ReplicaSet",
            "status: {observedGeneration: 2, conditions: [{type: ReplicaFailure, status: 'True', message: no quota}]}",
            "Degraded: no quota",
        ),
        (
            "apps/v1",
            "ReplicaSet",
            "spec: {replicas: 2}\nstatus: {observedGeneration: 2, availableReplicas: 1}",
            "Progressing: Waiting for rollout to finish: 1 out of 2 new replicas are available...",
        ),
        ("v1", "Service", "spec: {type: LoadBalancer}", "Progressing"),
        ("v1", "Service", "spec: {type: ClusterIP}", "Healthy"),
        (
            "v1",
            "PersistentVolumeClaim",
            "status: {phase: Lost}",
            "Degraded",
        ),
        ("v1", "PersistentVolumeClaim", "", "Unknown"),
        (
            "batch/v1",
            "Job",
            // The status of the condition is not looked at.
            "status: {conditions: [{type: Failed, status: 'False', message: bad}]}",
            "Degraded: bad",
        ),
        (
            "batch/v1",
            "Job",
            "status: {conditions: [{type: Suspended, status: 'False', message: resumed}]}",
            "Healthy: resumed",
        ),
        ("batch/v1", "Job", "status: {active: 1}", "Progressing"),
        (
            "v1",
            "Pod",
            "spec: {restartPolicy: Always}\nstatus: {phase: Pending, containerStatuses: [\
             {state: {waiting: {reason: ErrImagePull, message: a}}}, {state: {waiting: {reason: ImagePullBackOff, message: b}}}]}",
            "Degraded: a, b",
        ),
        (
            "v1",
            "Pod",
            "status: {phase: Failed, containerStatuses: [{name: c, state: {terminated: {exitCode: 3}}}]}",
            "Degraded: container \"c\" failed with exit code 3",
        ),
        (
            "v1",
            "Pod",
            "status: {phase: Failed, initContainerStatuses: [{state: {terminated: {exitCode: 137, reason: OOMKilled}}}]}",
            "Degraded: OOMKilled",
        ),
        (
            "autoscaling/v2beta1",
            "HorizontalPodAutoscaler",
            "",
            "Unknown: unsupported HPA GVK: autoscaling/v2beta1, Kind=HorizontalPodAutoscaler",
        ),
        (
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            "",
            "Progressing: Waiting to Autoscale",
        ),
        (
            "apiregistration.k8s.io/v1",
            "APIService",
            "status: {conditions: [{type: Available, status: 'False', reason: R, message: m}]}",
            "Progressing: R: m",
        ),
        (
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            "status: {conditions: [{type: NamesAccepted, status: 'True'}]}",
            "Degraded: CRD is not established",
        ),
        (
            "argoproj.io/v1alpha1",
            "Workflow",
            "status: {phase: Error, message: m}",
            "Degraded: m",
        ),
        ("argoproj.io/v1alpha1", "Application", "", "none"),
        ("v1", "ConfigMap", "", "none"),
    ];
    for (version, kind, rest, expected) in cases {
        assert_eq!(
            judged(&object(version, kind, rest)),
            expected,
            "{kind}: {rest}"
        );
    }
}

#[test]
fn what_is_being_deleted_is_progressing() {
    let leaving = "apiVersion: v1\nkind: Secret\nmetadata: {name: x, deletionTimestamp: '2026-01-01T00:00:00Z'";
    assert_eq!(
        judged(&format!("{leaving}}}")),
        "Progressing: Pending deletion"
    );
    // A hook that only waits for us is judged by what it did.
    let held = format!("{leaving}, finalizers: [argocd.argoproj.io/hook-finalizer]}}");
    assert_eq!(judged(&held), "none");
}

#[test]
fn an_application_is_as_well_as_its_worst_object() {
    let key = |kind: &str, name: &str| ObjectKey {
        group: Gvk::parse("apps/v1", kind).group,
        kind: kind.into(),
        namespace: "web".into(),
        name: name.into(),
    };
    let keys: Vec<ObjectKey> = ["a", "b", "c", "d"]
        .map(|name| key("Deployment", name))
        .into();
    let all = |status: HealthStatus| -> Vec<(ObjectKey, Health)> {
        keys.iter()
            .map(|key| (key.clone(), Health::new(status, "")))
            .collect()
    };
    let judge = |objects: &[(ObjectKey, Health)], live| {
        let health = app_health(objects.iter().map(|(key, health)| (key, health)), live);
        (health.status, health.message)
    };
    assert_eq!(judge(&[], false).0, HealthStatus::Healthy);
    assert_eq!(
        judge(&all(HealthStatus::Missing), false).0,
        HealthStatus::Missing
    );
    let mut objects = all(HealthStatus::Progressing);
    assert_eq!(
        judge(&objects, true),
        (
            HealthStatus::Progressing,
            "Caused by apps/Deployment:web/a, apps/Deployment:web/b, apps/Deployment:web/c and 1 more".to_owned()
        )
    );
    objects[1].1.status = HealthStatus::Degraded;
    objects[2].1.status = HealthStatus::Missing;
    assert_eq!(
        judge(&objects, true),
        (
            HealthStatus::Degraded,
            "Caused by apps/Deployment:web/b".to_owned()
        )
    );
}

/// Argo CD's own test data, if `GITOPS_CASES` names the directory that has
/// it.
#[test]
fn upstream_cases_are_judged_as_upstream_does() {
    let Some(cases) = std::env::var_os("GITOPS_CASES") else {
        return;
    };
    let root = std::path::Path::new(&cases).join("argo-cd");
    let index = std::fs::read(root.join("index-health-builtin.json")).expect("the index");
    let index: Vec<serde_json::Value> = serde_json::from_slice(&index).expect("JSON");
    let mut wrong = Vec::new();
    let mut count = 0;
    let mut check = |path: std::path::PathBuf, status: Option<&str>, message: Option<&str>| {
        let text = std::fs::read(&path).expect("a case");
        // Some of them have no names; a live object has.
        let mut object = yaml::parse(&text).expect("YAML");
        if let Some(object) = object.as_map_mut()
            && let metadata @ Value::Null = object.entry("metadata")
        {
            *metadata = Map::from_iter([("name", "x")]).into();
        }
        let object = Manifest::new(object, Origin::default());
        let object = object.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let found = health(&object);
        let is = found.as_ref().map(|health| health.status.name());
        let says = found.as_ref().map(|health| health.message.as_str());
        count += 1;
        // Upstream runs the script alone here; before it, deletion is looked at.
        let leaving = object.at(&["metadata", "deletionTimestamp"]).is_some();
        let same_message = message.is_none() || message == says || leaving;
        if (message.is_none() || status.is_some()) && is != status || !same_message {
            wrong.push(format!(
                "{}: {found:?}, expected {status:?} {message:?}",
                path.display()
            ));
        }
    };
    for case in &index {
        let file = case["file"].as_str().expect("a file");
        let path = root.join("argo-cd/gitops-engine").join(file);
        check(path, case["status"].as_str(), case["message"].as_str());
    }
    let index = std::fs::read(root.join("index-customizations.json")).expect("the index");
    let index: serde_json::Value = serde_json::from_slice(&index).expect("JSON");
    let built_in = [
        "batch/CronJob",
        "policy/PodDisruptionBudget",
        "apiextensions.k8s.io/CustomResourceDefinition",
    ];
    for case in index["health"].as_array().expect("cases") {
        let dir = case["dir"].as_str().expect("a directory");
        if built_in.contains(&dir) {
            let input = case["input"].as_str().expect("an input");
            let path = root
                .join("argo-cd/resource_customizations")
                .join(dir)
                .join(input);
            check(path, case["status"].as_str(), case["message"].as_str());
        }
    }
    assert!(wrong.is_empty(), "{} of {count}: {wrong:#?}", wrong.len());
    assert!(count > 50);
}
