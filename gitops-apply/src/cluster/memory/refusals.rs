//! What the server says when it does not do as it is told.

use gitops_core::{Manifest, ObjectKey};
use gitops_diff::managed_fields::conflict_message;
use gitops_diff::smd::ApplyError;

use crate::cluster::{ClusterError, FieldConflict};
use crate::secrets::Mask;

pub(super) fn resource(plural: &str, group: &str) -> String {
    match group {
        "" => plural.to_owned(),
        group => format!("{plural}.{group}"),
    }
}

pub(super) fn not_found(key: &ObjectKey, plural: &str) -> ClusterError {
    ClusterError::NotFound {
        key: key.clone(),
        message: format!(
            "{} {:?} not found",
            resource(plural, &key.group),
            key.name.as_str()
        ),
    }
}

/// The server's words for an object that it does not take.
pub(super) fn invalid(object: &Manifest, problem: &str) -> ClusterError {
    let key = object.key();
    ClusterError::Invalid {
        key: key.clone(),
        message: format!(
            "{} {:?} is invalid: {problem}",
            resource(&key.kind, &key.group),
            key.name.as_str()
        ),
    }
}

pub(super) fn apply_error(error: ApplyError, wanted: &Manifest) -> ClusterError {
    let (key, gvk) = (wanted.key(), wanted.gvk());
    match error {
        ApplyError::Conflicts(conflicts) => {
            let mut fields: Vec<FieldConflict> = conflicts
                .0
                .iter()
                .map(|conflict| FieldConflict {
                    manager: conflict.manager.to_string(),
                    field: conflict.path.to_string(),
                })
                .collect();
            fields.sort();
            ClusterError::Conflict {
                key: key.clone(),
                message: conflict_message(&conflicts),
                fields,
            }
        }
        error => ClusterError::Invalid {
            key: key.clone(),
            message: format!(
                "failed to create typed patch object ({}/{}; {}, Kind={}): {error}",
                key.namespace,
                key.name,
                gvk.api_version(),
                gvk.kind
            ),
        },
    }
}

/// The error without what a Secret holds, or held.
pub(super) fn masked(
    mut error: ClusterError,
    wanted: &Manifest,
    live: Option<&Manifest>,
) -> ClusterError {
    if let ClusterError::Invalid { message, .. } | ClusterError::Conflict { message, .. } =
        &mut error
    {
        let objects = [Some(wanted), live].into_iter().flatten();
        let mask = Mask::of(wanted.key(), objects.map(Manifest::object));
        *message = mask.hide(std::mem::take(message));
    }
    error
}
