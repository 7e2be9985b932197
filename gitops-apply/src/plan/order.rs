//! In which order things are done.
//!
//! Follows `gitops-engine/pkg/sync/sync_tasks.go`: by phase, wave, kind and
//! name, then dependencies to the front. Unlike there, equal names in several
//! namespaces are ordered too, by namespace and group, and the prunes of a wave
//! stand together, on the side of the writes on which they are done.

use std::collections::BTreeMap;

use gitops_core::{Manifest, Str, inventory};

use super::Task;

/// The order of kinds, whatever their group; the rest comes after them.
const KINDS: [&str; 35] = [
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
];

fn rank(kind: &str) -> usize {
    KINDS
        .iter()
        .position(|have| *have == kind)
        .unwrap_or(KINDS.len())
}

/// Sorts the tasks and puts what others need before them.
pub(crate) fn sort(tasks: &mut Vec<Task>, prunes_first: bool) {
    tasks.sort_by(|a, b| {
        let of = |task: &Task| {
            let side = task.is_prune() != prunes_first;
            (task.phase, task.wave, side, rank(&task.key.kind))
        };
        of(a).cmp(&of(b)).then_with(|| {
            let names = |task: &'_ Task| {
                let key = task.key.clone();
                (key.name, key.kind, key.namespace, key.group)
            };
            names(a).cmp(&names(b))
        })
    });
    // First namespaces, then definitions: one may need the other.
    advance(
        tasks,
        |task| {
            (task.key.kind == "Namespace" && task.key.group.is_empty())
                .then(|| task.key.name.clone())
        },
        |task| (!task.key.namespace.is_empty()).then(|| task.key.namespace.clone()),
    );
    advance(
        tasks,
        |task| task.desired.as_ref().and_then(defined_kind),
        |task| Some(ecow::eco_format!("{}/{}", task.key.group, task.key.kind)),
    );
}

/// The group and kind that a CustomResourceDefinition defines.
pub(crate) fn defined_kind(object: &Manifest) -> Option<Str> {
    if !inventory::is_definition(object) {
        return None;
    }
    let group = object.at(&["spec", "group"])?.as_str()?;
    let kind = object.at(&["spec", "names", "kind"])?.as_str()?;
    Some(ecow::eco_format!("{group}/{kind}"))
}

/// Moves each dependency in front of the first task that needs it, into that
/// task's phase and wave. Dependencies that come first anyhow stay.
fn advance(
    tasks: &mut Vec<Task>,
    provides: impl Fn(&Task) -> Option<Str>,
    needs: impl Fn(&Task) -> Option<Str>,
) {
    // For each dependency the first task in need of it; its phase and wave go
    // to the dependency.
    let mut first: BTreeMap<Str, usize> = BTreeMap::new();
    let mut before: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, task) in tasks.iter().enumerate() {
        if task.desired.is_none() {
            continue;
        }
        if let Some(name) = provides(task) {
            if let Some(needed_at) = first.remove(&name) {
                before.entry(needed_at).or_default().push(index);
            }
        } else if let Some(name) = needs(task) {
            first.entry(name).or_insert(index);
        }
    }
    if before.is_empty() {
        return;
    }
    let mut slots: Vec<Option<Task>> = std::mem::take(tasks).into_iter().map(Some).collect();
    for index in 0..slots.len() {
        for dependency in before.remove(&index).unwrap_or_default() {
            let place = slots[index].as_ref().map(|task| (task.phase, task.wave));
            if let (Some((phase, wave)), Some(mut task)) = (place, slots[dependency].take()) {
                task.phase = phase;
                task.wave = wave;
                tasks.push(task);
            }
        }
        tasks.extend(slots[index].take());
    }
}
