//! Argo Workflows, which serve as hooks.

use gitops_core::Manifest;

use super::{Fields, Health, HealthStatus};

pub(super) fn workflow(object: &Manifest) -> Health {
    let status = match object.text(&["status", "phase"]) {
        "" | "Pending" | "Running" => HealthStatus::Progressing,
        "Succeeded" => HealthStatus::Healthy,
        "Failed" | "Error" => HealthStatus::Degraded,
        _ => HealthStatus::Unknown,
    };
    Health::new(status, object.text(&["status", "message"]))
}
