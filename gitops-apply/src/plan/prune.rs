//! What may be deleted.

use std::collections::BTreeSet;

use gitops_core::inventory::{self, Tracking};
use gitops_core::{Manifest, ObjectKey, Origin, Str, Value};
use gitops_diff::managed_fields;
use gitops_diff::smd::PathElement;

use super::hooks::Phase;
use super::options::{ObjectOptions, Permission, PlanOptions, SYNC_OPTIONS};
use super::refusal::Refusal;
use super::task::{Action, SkipReason, Task};
use super::{Plan, hooks, waves};
use crate::live::LiveState;

/// Helm's way to say that an object stays.
const RESOURCE_POLICY: &str = "helm.sh/resource-policy";

/// Flux's ways, as labels or annotations with the value `disabled`.
const FLUX_POLICIES: [&str; 2] = [
    "kustomize.toolkit.fluxcd.io/prune",
    "kustomize.toolkit.fluxcd.io/reconcile",
];

/// What is to be done with a live object that is declared no more.
enum Verdict {
    Prune,
    Confirm,
    Skip(SkipReason),
}

/// Judges a live object of ours that is declared no more.
///
/// Whoever wants an object kept is heard, on whichever side it was said:
/// `Prune=false`, Helm's `keep`, Flux's `prune: disabled`, and definitions,
/// which take all their objects with them.
///
/// If not everything could be read, what is not declared may be so all the
/// same.
fn judge(
    live: &Manifest,
    own: &ObjectOptions,
    state: &LiveState,
    options: &PlanOptions,
) -> Verdict {
    let unsure = !options.complete || !state.unreadable.is_empty();
    let key = live.key();
    let inventory = options.inventory.as_ref().or(state.recorded.inventory());
    let recorded = inventory.is_none_or(|inventory| inventory.records(live));
    let kept = is_to_be_kept(live) || inventory::is_definition(live);
    if !options.prune {
        Verdict::Skip(SkipReason::RequiresPruning)
    } else if unsure {
        Verdict::Skip(SkipReason::Incomplete)
    } else if options.claimed.contains(key) {
        Verdict::Skip(SkipReason::Claimed)
    } else if !recorded {
        Verdict::Skip(SkipReason::NotRecorded)
    } else if own.prune == Permission::No {
        Verdict::Skip(SkipReason::NoPrune)
    } else if kept {
        Verdict::Skip(SkipReason::Kept)
    } else if is_namespace(key) && !state.vacant.contains(&key.name) {
        Verdict::Skip(SkipReason::Occupied)
    } else if options.protects(key) {
        Verdict::Skip(SkipReason::Protected)
    } else if own.prune == Permission::Confirm && !options.prune_approved {
        Verdict::Confirm
    } else {
        Verdict::Prune
    }
}

/// Whether a controller of Kubernetes has put the mark on the object: it copies
/// labels, those of a StatefulSet to its claims, for instance, and claims have
/// no owner.
pub(crate) fn is_copied(live: &Manifest, tracking: &Tracking) -> bool {
    const CONTROLLERS: &str = "kube-controller-manager";
    let Some(label) = tracking.label() else {
        return false;
    };
    let path = ["metadata", "labels", label].map(|name| PathElement::Field(name.into()));
    let entries = managed_fields::entries(live.object());
    let mut owners = entries.iter().filter(|entry| entry.fields.has(&path));
    let first = owners.next();
    first.is_some_and(|first| first.manager == CONTROLLERS)
        && owners.all(|entry| entry.manager == CONTROLLERS)
}

/// Whether somebody has said on the object that it stays, whatever the
/// application's options say.
pub(super) fn is_to_be_kept(live: &Manifest) -> bool {
    let argo = live.annotation(SYNC_OPTIONS).unwrap_or_default();
    let helm = live.annotation(RESOURCE_POLICY).unwrap_or_default();
    let flux = FLUX_POLICIES
        .iter()
        .flat_map(|name| [live.label(name), live.annotation(name)]);
    argo.split(',').any(|word| word.trim() == "Prune=false")
        || helm.split(',').any(|word| word.trim() == "keep")
        || flux
            .flatten()
            .any(|text| text.eq_ignore_ascii_case("disabled"))
}

pub(super) fn is_namespace(key: &ObjectKey) -> bool {
    key.kind == "Namespace" && key.group.is_empty()
}

/// A namespace goes only if everything of ours in it does.
fn keep_occupied(prunes: &mut [Task], others: &[Task]) {
    let staying = prunes.iter().filter(|task| task.action != Action::Prune);
    let occupied: BTreeSet<Str> = staying
        .chain(others)
        .map(|task| task.key.namespace.clone())
        .collect();
    for task in prunes {
        if task.action == Action::Prune
            && is_namespace(&task.key)
            && occupied.contains(&task.key.name)
        {
            task.action = Action::Skip {
                reason: SkipReason::Occupied,
            };
        }
    }
}

/// The tasks for live objects of ours that are declared no more.
pub(super) fn tasks(live: &LiveState, options: &PlanOptions, plan: &mut Plan) {
    let declared = &plan.declared;
    let mut tasks = Vec::new();
    let mut extra = 0;
    for (key, current) in &live.objects {
        // What another object owns goes with it, and hooks go by their own
        // policy.
        let ours = options.tracking.owns(current)
            && !declared.contains(key)
            && !is_copied(current, &options.tracking)
            && !hooks::is_hook(current)
            && current
                .at(&["metadata", "ownerReferences"])
                .and_then(Value::as_list)
                .unwrap_or_default()
                .is_empty();
        if !ours {
            continue;
        }
        extra += 1;
        if options
            .select
            .as_ref()
            .is_some_and(|keys| !keys.contains(key))
        {
            continue;
        }
        let own = ObjectOptions::of(&options.app, None, Some(current));
        let action = match judge(current, &own, live, options) {
            Verdict::Prune => Action::Prune,
            Verdict::Confirm => Action::AwaitApproval,
            Verdict::Skip(reason) => Action::Skip { reason },
        };
        tasks.push(Task {
            key: key.clone(),
            version: current.gvk().version.clone(),
            phase: Phase::Sync,
            wave: waves::wave(current),
            action,
            delete_policies: Vec::new(),
            difference: None,
            certainty: None,
            prediction: None,
            options: own,
            kind_is_new: false,
            origin: Origin::default(),
            desired: None,
            live: Some(current.clone()),
        });
    }
    keep_occupied(&mut tasks, &plan.tasks);
    let going = tasks
        .iter()
        .chain(&plan.tasks)
        .filter(|task| matches!(task.action, Action::Prune | Action::Recreate { .. }))
        .count();
    let remains = plan.tasks.iter().any(|task| !task.is_hook());
    if options.prune && !options.allow_empty && options.select.is_none() && extra > 0 && !remains {
        plan.refusals.push(Refusal::WipesOut { prunes: extra });
    }
    if let Some(limit) = options.prune_limit
        && going > limit
    {
        plan.refusals.push(Refusal::TooManyPrunes {
            prunes: going,
            limit,
        });
    }
    let stays = declared.iter().filter(|key| {
        let live = live.objects.get(key);
        live.is_some_and(|live| !hooks::is_hook(live))
    });
    let owned = stays.count() + extra;
    if let Some(percent) = options.prune_share
        && going > 1
        && going * 100 > owned * usize::from(percent)
    {
        plan.refusals.push(Refusal::TooLargeAShare {
            prunes: going,
            owned,
            percent,
        });
    }
    plan.tasks.extend(tasks);
}
