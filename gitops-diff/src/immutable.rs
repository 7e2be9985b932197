//! Fields that a server does not let change.
//!
//! The list holds the fields that people meet; a server knows more.

use gitops_core::{Manifest, ObjectKey, Value};

use crate::smd::{Path, PathElement};
use crate::three_way::Difference;

/// The first field of a difference that a server will not change; `None` if
/// there is none that we know of.
pub fn changed(live: &Manifest, difference: &Difference) -> Option<String> {
    let changes = difference.changes.iter();
    touched(live, changes.map(|change| &change.path))
}

/// The first fixed field among paths, or their containers, of a live object.
pub(crate) fn touched<'p>(
    live: &Manifest,
    paths: impl Iterator<Item = &'p Path> + Clone,
) -> Option<String> {
    let touches = |fixed: &[&str]| {
        paths.clone().any(|path| {
            // Either may be the container of the other.
            path.0.iter().zip(fixed).all(
                |(element, name)| matches!(element, PathElement::Field(field) if field == name),
            )
        })
    };
    fixed(live.key(), live)
        .find(|path| touches(path))
        .map(|path| path.join("."))
}

/// Why a server does not let the one object take the place of the other; both
/// with all defaults.
pub fn refused(object: &Manifest, live: &Manifest) -> Option<String> {
    let same = |path: &[&str]| match (object.at(path), live.at(path)) {
        (Some(object), Some(live)) => object.same(live),
        (None, None) => true,
        _ => false,
    };
    let path = fixed(object.key(), live).find(|path| !same(path))?;
    let frozen = matches!(path.first(), Some(&("immutable" | "data" | "binaryData")));
    Some(match frozen {
        true => format!(
            "{}: Forbidden: field is immutable when `immutable` is set",
            path.join(".")
        ),
        false => format!("{}: Invalid value: field is immutable", path.join(".")),
    })
}

/// The fields of a live object that stay as they are.
fn fixed(
    key: &ObjectKey,
    live: &Manifest,
) -> impl Iterator<Item = &'static [&'static str]> + use<> {
    let fixed: &'static [&'static [&'static str]] = match (key.group.as_str(), key.kind.as_str()) {
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
    let frozen: &'static [&'static [&'static str]] = if frozen {
        &[&["immutable"], &["data"], &["stringData"], &["binaryData"]]
    } else {
        &[]
    };
    fixed.iter().chain(frozen).copied()
}
