//! Fields that a server does not let change.

use gitops_core::{Manifest, Value};

/// The first field that applying `desired` would change though the server
/// will not have it; `None` if there is none that we know of.
///
/// The list holds the fields that people meet; a server knows more.
pub(crate) fn changed(desired: &Manifest, live: &Manifest) -> Option<String> {
    let key = desired.key();
    let fixed: &[&[&str]] = match (key.group.as_str(), key.kind.as_str()) {
        ("apps", "Deployment" | "DaemonSet" | "ReplicaSet") => &[&["spec", "selector"]],
        ("apps", "StatefulSet") => &[
            &["spec", "selector"],
            &["spec", "serviceName"],
            &["spec", "podManagementPolicy"],
            &["spec", "volumeClaimTemplates"],
        ],
        ("batch", "Job") => &[
            &["spec", "selector"],
            &["spec", "template"],
            &["spec", "completionMode"],
        ],
        ("", "Service") => &[&["spec", "clusterIP"], &["spec", "clusterIPs"]],
        ("", "PersistentVolumeClaim") => &[
            &["spec", "accessModes"],
            &["spec", "storageClassName"],
            &["spec", "volumeName"],
            &["spec", "volumeMode"],
            &["spec", "selector"],
            &["spec", "dataSource"],
        ],
        ("", "Secret") => &[&["type"]],
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => &[&["roleRef"]],
        ("storage.k8s.io", "StorageClass") => &[
            &["provisioner"],
            &["parameters"],
            &["reclaimPolicy"],
            &["volumeBindingMode"],
        ],
        ("scheduling.k8s.io", "PriorityClass") => &[&["value"], &["preemptionPolicy"]],
        _ => &[],
    };
    let frozen = matches!(key.kind.as_str(), "ConfigMap" | "Secret")
        && key.group.is_empty()
        && live.at(&["immutable"]).and_then(Value::as_bool) == Some(true);
    let frozen: &[&[&str]] = if frozen {
        &[&["immutable"], &["data"], &["stringData"], &["binaryData"]]
    } else {
        &[]
    };
    fixed
        .iter()
        .chain(frozen)
        .find(|path| match (desired.at(path), live.at(path)) {
            (Some(desired), Some(live)) => !is_within(desired, live),
            (Some(_), None) => **path == ["data"] || **path == ["binaryData"],
            (None, _) => false,
        })
        .map(|path| path.join("."))
}

/// Whether everything in `desired` is in `live`, which may have defaults
/// beside it.
fn is_within(desired: &Value, live: &Value) -> bool {
    match (desired, live) {
        (Value::Map(desired), Value::Map(live)) => desired
            .iter()
            .all(|(key, value)| live.get(key).is_some_and(|live| is_within(value, live))),
        (Value::List(desired), Value::List(live)) => {
            desired.len() == live.len()
                && desired
                    .iter()
                    .zip(live)
                    .all(|(desired, live)| is_within(desired, live))
        }
        _ => desired.same(live),
    }
}
