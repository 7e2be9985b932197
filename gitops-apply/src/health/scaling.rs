//! HorizontalPodAutoscalers and PodDisruptionBudgets.

use gitops_core::{Manifest, Value};

use super::{Fields, Health, degraded, healthy, progressing};

/// In version 1, conditions are JSON in an annotation.
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";

pub(super) fn autoscaler_v1(object: &Manifest) -> Health {
    let Some(text) = object.annotation(CONDITIONS) else {
        return waiting();
    };
    match gitops_core::json::parse(text.as_bytes()) {
        Ok(Value::List(conditions)) => judge(&conditions),
        Ok(Value::Null) => waiting(),
        Ok(other) => Health::new(
            super::HealthStatus::Unknown,
            format!(
                "failed to convert conditions annotation to typed: expected a list, found {}",
                other.kind_name()
            ),
        ),
        Err(error) => Health::new(
            super::HealthStatus::Unknown,
            format!("failed to convert conditions annotation to typed: {error}"),
        ),
    }
}

pub(super) fn autoscaler(object: &Manifest) -> Health {
    judge(object.items(&["status", "conditions"]))
}

fn waiting() -> Health {
    progressing("Waiting to Autoscale")
}

fn judge(conditions: &[Value]) -> Health {
    let is_bad = |condition: &&Value| {
        matches!(
            (condition.text(&["type"]), condition.text(&["reason"])),
            ("AbleToScale", "FailedGetScale" | "FailedUpdateScale")
                | (
                    "ScalingActive",
                    "FailedGetResourceMetric"
                        | "FailedGetObjectMetric"
                        | "FailedGetPodsMetric"
                        | "FailedGetExternalMetric"
                        | "FailedComputeMetricsReplicas"
                        | "InvalidSelector",
                )
        )
    };
    let is_good = |condition: &&Value| {
        let kind = condition.text(&["type"]);
        matches!(kind, "AbleToScale" | "ScalingLimited") && condition.text(&["status"]) == "True"
    };
    if let Some(bad) = conditions.iter().find(is_bad) {
        return degraded(bad.text(&["message"]));
    }
    match conditions.iter().find(is_good) {
        Some(good) => healthy(good.text(&["message"])),
        None => waiting(),
    }
}

pub(super) fn disruption_budget(object: &Manifest) -> Health {
    let mut last = None;
    for condition in object.items(&["status", "conditions"]) {
        let reason = condition.text(&["reason"]);
        let message = format!("PodDisruptionBudget has {reason}");
        if condition.text(&["status"]) == "False" && reason != "InsufficientPods" {
            return degraded(message);
        }
        last = Some(healthy(message));
    }
    last.unwrap_or_else(|| progressing("Waiting for status"))
}
