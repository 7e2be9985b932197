//! What extends the API: APIServices and CustomResourceDefinitions.

use gitops_core::Manifest;

use super::{Fields, Health, condition, degraded, healthy, progressing};

pub(super) fn api_service(object: &Manifest) -> Health {
    let Some(available) = condition(object, "Available") else {
        return progressing("Waiting to be processed");
    };
    let message = format!(
        "{}: {}",
        available.text(&["reason"]),
        available.text(&["message"])
    );
    if available.text(&["status"]) == "True" {
        healthy(message)
    } else {
        progressing(message)
    }
}

pub(super) fn definition(object: &Manifest) -> Health {
    if object.items(&["status", "conditions"]).is_empty() {
        return progressing("Status conditions not found");
    }
    let says = |kind: &str, status: &str| {
        condition(object, kind)
            .filter(|condition| condition.text(&["status"]) == status)
            .map(|condition| condition.text(&["message"]))
    };
    if let Some(message) = says("Terminating", "True") {
        return progressing(format!("CRD is terminating: {message}"));
    }
    if let Some(message) = says("NamesAccepted", "False") {
        return degraded(format!("CRD names have not been accepted: {message}"));
    }
    if says("Established", "True").is_none() {
        return degraded("CRD is not established");
    }
    if let Some(message) = says("NonStructuralSchema", "True") {
        return degraded(format!("Schema violations found: {message}"));
    }
    healthy("CRD is healthy")
}

/// Whether objects of the definition can be written.
pub(crate) fn is_established(definition: &Manifest) -> bool {
    condition(definition, "Established")
        .is_some_and(|condition| condition.text(&["status"]) == "True")
}
