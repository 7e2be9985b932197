//! Services and Ingresses: done when they have an address, if they need one.

use gitops_core::Manifest;

use super::{Fields, Health, healthy, progressing};

fn has_address(object: &Manifest) -> bool {
    !object
        .items(&["status", "loadBalancer", "ingress"])
        .is_empty()
}

pub(super) fn service(object: &Manifest) -> Health {
    if object.text(&["spec", "type"]) == "LoadBalancer" && !has_address(object) {
        return progressing("");
    }
    healthy("")
}

pub(super) fn ingress(object: &Manifest) -> Health {
    if has_address(object) {
        healthy("")
    } else {
        progressing("")
    }
}
