//! Pods. One that is restarted for ever is judged by its readiness, one that
//! ends by how it ended.

use gitops_core::{Manifest, Value};

use super::{Fields, Health, HealthStatus, degraded, healthy, progressing};
use crate::plan::hooks;

/// Lets a pod that is restarted on failure or never be judged as if it were
/// restarted always.
const IGNORE_RESTART_POLICY: &str = "argocd.argoproj.io/ignore-restart-policy";

pub(super) fn pod(object: &Manifest) -> Health {
    let policy = object.text(&["spec", "restartPolicy"]);
    let containers = object.items(&["status", "containerStatuses"]);
    let lasting = policy == "Always"
        || (object.annotation(IGNORE_RESTART_POLICY) == Some("true") && !hooks::is_hook(object));
    // An image that cannot be pulled yet may still come; a hook that failed
    // for it would run after the sync it belonged to. So this holds for
    // lasting pods only.
    if lasting {
        let failing: Vec<&str> = containers
            .iter()
            .filter_map(|container| container.at(&["state", "waiting"]))
            .filter(|waiting| {
                let reason = waiting.text(&["reason"]);
                reason.starts_with("Err")
                    || reason.ends_with("Error")
                    || reason.ends_with("BackOff")
            })
            .map(|waiting| waiting.text(&["message"]))
            .collect();
        if !failing.is_empty() {
            return degraded(failing.join(", "));
        }
    }
    let message = object.text(&["status", "message"]);
    match object.text(&["status", "phase"]) {
        "Pending" => progressing(message),
        "Succeeded" => healthy(message),
        "Failed" if !message.is_empty() => degraded(message),
        "Failed" => {
            let init = object.items(&["status", "initContainerStatuses"]);
            let reason = init.iter().chain(containers).find_map(failure);
            degraded(reason.unwrap_or_default())
        }
        "Running" if lasting => {
            let ready = super::condition(object, "Ready")
                .is_some_and(|condition| condition.text(&["status"]) == "True");
            let was_terminated = containers
                .iter()
                .any(|container| container.at(&["lastState", "terminated"]).is_some());
            if ready {
                healthy(message)
            } else if was_terminated {
                degraded(message)
            } else {
                progressing(message)
            }
        }
        "Running" if policy == "OnFailure" || policy == "Never" => progressing(message),
        _ => Health::new(HealthStatus::Unknown, message),
    }
}

/// Why a container ended, if it ended badly.
fn failure(container: &Value) -> Option<String> {
    let ended = container.at(&["state", "terminated"])?;
    let message = ended.text(&["message"]);
    if !message.is_empty() {
        return Some(message.to_owned());
    }
    if ended.text(&["reason"]) == "OOMKilled" {
        return Some("OOMKilled".to_owned());
    }
    let code = ended.number(&["exitCode"]);
    let name = container.text(&["name"]);
    (code != 0).then(|| format!("container {name:?} failed with exit code {code}"))
}
