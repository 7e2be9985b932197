//! Deployments, StatefulSets, DaemonSets, ReplicaSets: done when the
//! controller has seen the newest spec and rolled it out.

use gitops_core::{Manifest, Value};

use super::{Fields, Health, HealthStatus, condition, degraded, healthy, progressing};

fn replicas(object: &Manifest) -> Option<i64> {
    object.at(&["spec", "replicas"]).and_then(Value::as_i64)
}

fn is_unobserved(object: &Manifest) -> bool {
    object.number(&["metadata", "generation"]) > object.number(&["status", "observedGeneration"])
}

pub(super) fn deployment(object: &Manifest) -> Health {
    if object.at(&["spec", "paused"]).and_then(Value::as_bool) == Some(true) {
        return Health::new(HealthStatus::Suspended, "Deployment is paused");
    }
    if is_unobserved(object) {
        return progressing(
            "Waiting for rollout to finish: observed deployment generation less than desired generation",
        );
    }
    if let Some(condition) = condition(object, "Progressing")
        && condition.text(&["reason"]) == "ProgressDeadlineExceeded"
    {
        return degraded(format!(
            "Deployment {:?} exceeded its progress deadline",
            object.name()
        ));
    }
    let updated = object.number(&["status", "updatedReplicas"]);
    let total = object.number(&["status", "replicas"]);
    let available = object.number(&["status", "availableReplicas"]);
    match replicas(object) {
        Some(wanted) if updated < wanted => progressing(format!(
            "Waiting for rollout to finish: {updated} out of {wanted} new replicas have been updated..."
        )),
        _ if total > updated => progressing(format!(
            "Waiting for rollout to finish: {} old replicas are pending termination...",
            total - updated
        )),
        _ if available < updated => progressing(format!(
            "Waiting for rollout to finish: {available} of {updated} updated replicas are available..."
        )),
        _ => healthy(""),
    }
}

pub(super) fn stateful_set(object: &Manifest) -> Health {
    if object.number(&["status", "observedGeneration"]) == 0 || is_unobserved(object) {
        return progressing("Waiting for statefulset spec update to be observed...");
    }
    let ready = object.number(&["status", "readyReplicas"]);
    let updated = object.number(&["status", "updatedReplicas"]);
    let wanted = replicas(object);
    if let Some(wanted) = wanted
        && ready < wanted
    {
        return progressing(format!(
            "Waiting for {} pods to be ready...",
            wanted - ready
        ));
    }
    let strategy = object.text(&["spec", "updateStrategy", "type"]);
    let rolling = object.at(&["spec", "updateStrategy", "rollingUpdate"]);
    if strategy == "RollingUpdate"
        && let Some(rolling @ Value::Map(_)) = rolling
    {
        let partition = rolling.get("partition").and_then(Value::as_i64);
        if let (Some(wanted), Some(partition)) = (wanted, partition)
            && updated < wanted - partition
        {
            return progressing(format!(
                "Waiting for partitioned roll out to finish: {updated} out of {} new pods have been updated...",
                wanted - partition
            ));
        }
        return healthy(format!(
            "partitioned roll out complete: {updated} new pods have been updated..."
        ));
    }
    if strategy == "OnDelete" {
        return healthy(format!("statefulset has {ready} ready pods"));
    }
    let update = object.text(&["status", "updateRevision"]);
    let current = object.text(&["status", "currentRevision"]);
    if update != current {
        return progressing(format!(
            "waiting for statefulset rolling update to complete {updated} pods at revision {update}..."
        ));
    }
    healthy(format!(
        "statefulset rolling update complete {} pods at revision {current}...",
        object.number(&["status", "currentReplicas"])
    ))
}

pub(super) fn daemon_set(object: &Manifest) -> Health {
    if is_unobserved(object) {
        return progressing(
            "Waiting for rollout to finish: observed daemon set generation less than desired generation",
        );
    }
    let updated = object.number(&["status", "updatedNumberScheduled"]);
    let desired = object.number(&["status", "desiredNumberScheduled"]);
    let available = object.number(&["status", "numberAvailable"]);
    let name = object.name();
    if object.text(&["spec", "updateStrategy", "type"]) == "OnDelete" {
        return healthy(format!(
            "daemon set {updated} out of {desired} new pods have been updated"
        ));
    }
    if updated < desired {
        return progressing(format!(
            "Waiting for daemon set {name:?} rollout to finish: {updated} out of {desired} new pods have been updated..."
        ));
    }
    if available < desired {
        return progressing(format!(
            "Waiting for daemon set {name:?} rollout to finish: {available} of {desired} updated pods are available..."
        ));
    }
    healthy("")
}

pub(super) fn replica_set(object: &Manifest) -> Health {
    if is_unobserved(object) {
        return progressing(
            "Waiting for rollout to finish: observed replica set generation less than desired generation",
        );
    }
    if let Some(failure) = condition(object, "ReplicaFailure")
        && failure.text(&["status"]) == "True"
    {
        return degraded(failure.text(&["message"]));
    }
    let available = object.number(&["status", "availableReplicas"]);
    match replicas(object) {
        Some(wanted) if available < wanted => progressing(format!(
            "Waiting for rollout to finish: {available} out of {wanted} new replicas are available..."
        )),
        _ => healthy(""),
    }
}
