//! The order of the output: Kustomize's `SortOrderTransformer`.

use std::rc::Rc;

use foldhash::HashMap;
use gitops_core::Str;

use super::file::{LegacyOrder, SortOptions};
use super::id::{Gvk, Id};
use super::object::Object;

const FIRST: [&str; 22] = [
    "Namespace",
    "ResourceQuota",
    "StorageClass",
    "CustomResourceDefinition",
    "ServiceAccount",
    "PodSecurityPolicy",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
    "Endpoints",
    "Service",
    "LimitRange",
    "PriorityClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];

const LAST: [&str; 2] = [
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
];

/// Where a kind comes among others: below zero early, above it late.
pub(super) fn rank(kind: &str) -> i32 {
    rank_in(kind, &FIRST, &LAST)
}

fn rank_in<S: AsRef<str>>(kind: &str, first: &[S], last: &[S]) -> i32 {
    // A kind that is listed twice has its later place.
    let place = |list: &[S]| list.iter().rposition(|listed| listed.as_ref() == kind);
    if let Some(at) = place(last) {
        return i32::try_from(at).unwrap_or(i32::MAX - 1) + 1;
    }
    match place(first) {
        Some(at) => i32::try_from(at).unwrap_or(0) - i32::try_from(first.len()).unwrap_or(0),
        None => 0,
    }
}

/// Sorts by kind, group, version, namespace and name.
pub(super) fn sort_legacy(objects: &mut [Object], lists: Option<&LegacyOrder>) {
    let rank: Box<dyn Fn(&str) -> i32> = match lists {
        None => Box::new(rank),
        Some(lists) => Box::new(|kind| rank_in(kind, &lists.first, &lists.last)),
    };
    let mut kinds = HashMap::<Gvk, Rc<KindPlace>>::default();
    objects.sort_by_cached_key(|object| {
        let Id {
            gvk,
            name,
            namespace,
            ..
        } = &object.id;
        let kind = match kinds.get(gvk) {
            Some(known) => known.clone(),
            None => {
                let place = Rc::new(KindPlace::of(gvk, rank(&gvk.kind)));
                kinds.insert(gvk.clone(), place.clone());
                place
            }
        };
        Place {
            kind,
            name: [or(namespace, "~X"), "|", or(name, "~N")].concat(),
        }
    });
}

/// What decides where an object comes.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    kind: Rc<KindPlace>,
    /// Namespace and name.
    name: String,
}

/// What decides where objects of a kind come.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct KindPlace {
    rank: i32,
    /// Of namespaces, the core ones come before others: theirs is the one group
    /// whose order is turned around.
    after_core_namespaces: bool,
    text: String,
    /// How identities of the kind begin.
    id: String,
}

impl KindPlace {
    fn of(gvk: &Gvk, rank: i32) -> Self {
        KindPlace {
            rank,
            after_core_namespaces: gvk.kind != "Namespace" || !gvk.group.is_empty(),
            text: format!(
                "{}_{}_{}",
                or(&gvk.group, "~G"),
                or(&gvk.version, "~V"),
                or(&gvk.kind, "~K")
            ),
            id: format!("{gvk}|"),
        }
    }
}

fn or<'a>(text: &'a Str, other: &'a str) -> &'a str {
    match text.is_empty() {
        true => other,
        false => text,
    }
}

/// The order that `sortOptions` ask for.
///
/// # Errors
///
/// A text, if they contradict themselves.
pub(super) fn check(options: &SortOptions) -> Result<bool, String> {
    match options.order.as_str() {
        "legacy" => Ok(true),
        "fifo" if options.legacy.is_some() => Err(
            "the field 'sortOptions.legacySortOptions' is set but the selected sort order is \
             'fifo', not 'legacy'"
                .to_owned(),
        ),
        "fifo" => Ok(false),
        _ => Err("the field 'sortOptions.order' must be one of [fifo, legacy]".to_owned()),
    }
}
