//! What has to be done to make a cluster what manifests say.
//!
//! [`plan()`] is pure: it looks at what is wanted and what is there and says
//! what it would do, in which order and why. Nothing is decided later except
//! what only the cluster can tell: whether a write succeeds, and when an
//! object is healthy.
//!
//! Phases, waves, the order of kinds, hooks, prunes and options are those of
//! Argo CD, from `gitops-engine/pkg/sync`.

use std::collections::BTreeSet;

use gitops_core::inventory::Tracking;
use gitops_core::{Manifest, ObjectKey, Str};
use gitops_diff::Rules;
use serde::Serialize;

use crate::cluster::Propagation;
use crate::live::LiveState;
use crate::record::Recorded;

mod comparison;
mod declared;
pub mod hooks;
pub(crate) mod migrate;
pub mod options;
pub(crate) mod order;
mod prune;
mod refusal;
mod table;
mod task;
pub mod waves;

pub use hooks::{DeletePolicy, Phase};
pub use options::{AppOptions, ObjectOptions, Permission, PlanOptions};
pub(crate) use prune::is_copied;
pub use refusal::{Refusal, Warning};
pub use table::Counts;
pub use task::{Action, SkipReason, Task};

use comparison::Comparing;
use hooks::Role;

/// What has to be done, in order.
///
/// Printed, it is a table for a terminal; serialised, it is data. Neither
/// shows what the objects hold.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The application.
    pub app: Str,
    /// The revision that the manifests come from.
    pub revision: Str,
    /// The tasks in the order in which they are done.
    pub tasks: Vec<Task>,
    /// Why nothing of it may be done; empty if it may.
    pub refusals: Vec<Refusal>,
    /// What is worth a look.
    pub warnings: Vec<Warning>,
    /// What happens to what pruned objects own.
    pub propagation: Propagation,
    /// Whether prunes stay among the waves, instead of coming after all of them.
    pub prune_in_waves: bool,
    /// The name under which fields are owned.
    pub manager: Str,
    /// Whether the plan is about all that is declared and all that is there.
    #[serde(skip)]
    pub(crate) sees_all: bool,
    #[serde(skip)]
    pub(crate) recorded: Recorded,
    /// What is declared, whether or not anything is done with it.
    #[serde(skip)]
    pub(crate) declared: BTreeSet<ObjectKey>,
    #[serde(skip)]
    tracking: Tracking,
}

impl Plan {
    /// How much of each there is to do.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for task in &self.tasks {
            *match task.action {
                Action::Create => &mut counts.create,
                Action::Update => &mut counts.update,
                Action::Recreate { .. } => &mut counts.recreate,
                Action::Prune => &mut counts.prune,
                Action::Hook => &mut counts.hook,
                Action::Unchanged => &mut counts.unchanged,
                Action::AwaitApproval | Action::Skip { .. } => &mut counts.skip,
            } += 1;
        }
        counts
    }

    /// How the application's objects are recognised.
    pub(crate) fn tracking(&self) -> &Tracking {
        &self.tracking
    }

    /// Whether an object that is to be pruned may be as it is now: it is the
    /// application's still, and nobody wants it kept.
    pub(crate) fn may_prune(&self, live: &Manifest) -> bool {
        self.tracking.owns(live) && !prune::is_to_be_kept(live)
    }

    /// Whether an object that is in the way of a hook may be deleted: an earlier
    /// run of the hook, ours or nobody's.
    pub(crate) fn may_clear(&self, live: &Manifest) -> bool {
        let unmarked = self.tracking.owner(live).is_none();
        self.tracking.owns(live) || (unmarked && hooks::is_hook(live))
    }

    /// Whether the cluster is what the manifests say: nothing to create, to
    /// change or to delete, not even what may not be deleted.
    pub fn is_synced(&self) -> bool {
        self.refusals.is_empty()
            && self.tasks.iter().all(|task| match task.action {
                Action::Unchanged | Action::Hook => true,
                Action::Skip { reason } => !matches!(
                    reason,
                    SkipReason::RequiresPruning
                        | SkipReason::NoPrune
                        | SkipReason::Kept
                        | SkipReason::Occupied
                ),
                _ => false,
            })
    }
}

/// Says what has to be done to make `live` what `desired` says.
///
/// ```
/// use gitops_apply::{LiveState, PlanOptions, plan};
/// use gitops_core::{Manifest, Map, Origin, Value};
///
/// let map = Map::from_iter([
///     ("apiVersion", Value::from("v1")),
///     ("kind", Value::from("ConfigMap")),
///     ("metadata", Map::from_iter([("name", "greeting")]).into()),
/// ]);
/// let wanted = [Manifest::new(map.into(), Origin::default())?];
/// let live = LiveState::default();
/// let plan = plan(&wanted, &live, &PlanOptions::new("hello", "default"));
/// assert_eq!(
///     plan.to_string(),
///     "PHASE  WAVE  ACTION  KIND       NAME\n\
///      Sync   0     create  ConfigMap  default/greeting\n\
///      1 to create"
/// );
/// # Ok::<(), gitops_core::manifest::NotAnObject>(())
/// ```
pub fn plan(desired: &[Manifest], live: &LiveState, options: &PlanOptions) -> Plan {
    let mut schemas = options.schemas.clone();
    let mut warnings = Vec::new();
    for object in desired {
        if let Err(problem) = schemas.add_crd(object) {
            warnings.push(Warning::Schema {
                key: object.key().clone(),
                problem: problem.to_string(),
            });
        }
    }
    let mut plan = Plan {
        app: options.tracking.app.clone(),
        revision: options.revision.clone(),
        tasks: Vec::new(),
        refusals: Vec::new(),
        warnings,
        propagation: options.app.propagation,
        prune_in_waves: options.prune_in_waves,
        manager: options.manager.clone(),
        sees_all: options.select.is_none() && live.unreadable.is_empty(),
        recorded: live.recorded.clone(),
        declared: BTreeSet::new(),
        tracking: options.tracking.clone(),
    };
    if let Some(problem) = live.recorded.problem() {
        plan.refusals.push(Refusal::Record {
            problem: problem.to_owned(),
        });
    }
    let comparing = Comparing {
        server_version: live.kinds.server_version.clone(),
        schemas: &schemas,
        rules: Rules {
            manager: options.manager.clone(),
            ignore: options.ignore.clone(),
        },
    };
    let definitions: BTreeSet<Str> = desired.iter().filter_map(order::defined_kind).collect();
    let wanted = declared::settle(desired, live, options, &mut plan);

    // Whatever is declared is not pruned, even if nothing is done with it.
    plan.declared = wanted
        .iter()
        .map(|(object, _)| object.key().clone())
        .collect();
    for (object, role) in wanted {
        let selected = options.select.as_ref();
        match role {
            Role::Hook(phases) => {
                if !options.skip_hooks && selected.is_none() {
                    plan.tasks.extend(
                        phases
                            .iter()
                            .map(|phase| hooks::task(&object, *phase, live, options)),
                    );
                }
            }
            _ if selected.is_some_and(|keys| !keys.contains(object.key())) => {}
            Role::Ordinary => {
                let task = comparison::write(object, live, &comparing, options, &mut plan);
                plan.tasks.push(task);
            }
            Role::Skipped => plan
                .tasks
                .push(skip(object, SkipReason::Annotated, options)),
            Role::OnDeletion => plan
                .tasks
                .push(skip(object, SkipReason::OnDeletion, options)),
            Role::Overlooked => plan
                .tasks
                .push(skip(object, SkipReason::NoSuchHook, options)),
        }
    }

    prune::tasks(live, options, &mut plan);
    if options.app.create_namespace && !options.namespace.is_empty() {
        let created = plan.tasks.iter().any(|task| {
            task.desired.is_some()
                && task.key.kind == "Namespace"
                && task.key.group.is_empty()
                && task.key.name == options.namespace
        });
        if !created {
            plan.tasks
                .extend(comparison::destination(live, &comparing, options));
        }
    }
    declared::check_kinds(&definitions, live, &mut plan);
    waves::place_prunes(&mut plan.tasks, options.prune_in_waves);
    order::sort(&mut plan.tasks, options.prune_in_waves);
    for (kind, problem) in &live.unreadable {
        plan.warnings.push(Warning::Unreadable {
            kind: kind.clone(),
            problem: problem.clone(),
        });
    }
    plan
}

fn skip(object: Manifest, reason: SkipReason, options: &PlanOptions) -> Task {
    Task {
        key: object.key().clone(),
        version: object.gvk().version.clone(),
        phase: Phase::Sync,
        wave: waves::wave(&object),
        action: Action::Skip { reason },
        delete_policies: Vec::new(),
        difference: None,
        certainty: None,
        prediction: None,
        options: ObjectOptions::of(&options.app, Some(&object), None),
        kind_is_new: false,
        origin: object.origin.clone(),
        desired: Some(object),
        live: None,
    }
}
