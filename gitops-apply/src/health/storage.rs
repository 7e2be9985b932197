//! PersistentVolumeClaims.

use gitops_core::Manifest;

use super::{Fields, Health, HealthStatus};

pub(super) fn claim(object: &Manifest) -> Health {
    let status = match object.text(&["status", "phase"]) {
        "Lost" => HealthStatus::Degraded,
        "Pending" => HealthStatus::Progressing,
        "Bound" => HealthStatus::Healthy,
        _ => HealthStatus::Unknown,
    };
    Health::new(status, "")
}
