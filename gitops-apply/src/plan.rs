//! What has to be done to make a cluster what manifests say.
//!
//! [`plan()`] is pure: it looks at what is wanted and what is there and says
//! what it would do, in which order and why. Nothing is decided later except
//! what only the cluster can tell: whether a write succeeds, and when an
//! object is healthy.
//!
//! Phases, waves, the order of kinds, hooks, prunes and options are those of
//! Argo CD, from `gitops-engine/pkg/sync`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use gitops_core::app::IgnoreDifference;
use gitops_core::inventory::{self, Inventory, Tracking};
use gitops_core::schema::Schemas;
use gitops_core::{Gvk, Manifest, Map, ObjectKey, Origin, Str, Value, json};
use gitops_diff::predict::{self, Certainty, Prediction};
use gitops_diff::{DiffError, Difference, Outcome, Rules, Sides, immutable};
use serde::Serialize;

use crate::cluster::Propagation;
use crate::health::HOOK_FINALIZER;
use crate::live::LiveState;
use crate::secrets::{self, Mask};

pub mod hooks;
pub(crate) mod migrate;
pub mod options;
pub(crate) mod order;
mod prune;
pub mod waves;

pub use hooks::{DeletePolicy, Phase};
pub use options::{AppOptions, ObjectOptions, Permission};

use hooks::Role;
use prune::Verdict;

/// Where `kubectl apply` keeps what it applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// How a plan is made.
#[derive(Clone, Debug)]
pub struct PlanOptions {
    /// The application, and how its objects are marked.
    pub tracking: Tracking,
    /// The namespace of objects that name none; they are refused if it is
    /// empty.
    pub namespace: Str,
    /// The application's sync options.
    pub app: AppOptions,
    /// Labels of the destination namespace, if that is created.
    pub namespace_labels: Map,
    /// Annotations of the destination namespace, if that is created.
    pub namespace_annotations: Map,
    /// Whether objects that are declared no more are deleted.
    pub prune: bool,
    /// Whether a person has approved the prunes that want approval.
    pub prune_approved: bool,
    /// Whether it is fine if nothing is declared and everything is pruned.
    pub allow_empty: bool,
    /// How many prunes are taken for a mistake; no limit if absent.
    pub prune_limit: Option<usize>,
    /// Which share of what the application owns is taken for a mistake if it
    /// would be pruned at once, in percent; no limit if absent. A single
    /// object may always go.
    pub prune_share: Option<u8>,
    /// Kinds of which nothing is ever pruned, as `Kind.group` or `Kind`;
    /// `Namespace` from the start, since everything in it would go, too.
    pub protected: BTreeSet<Str>,
    /// Objects that other applications declare: they are theirs from their
    /// next sync on, and not pruned meanwhile.
    pub claimed: BTreeSet<ObjectKey>,
    /// What was recorded of the last sync, if it is known: nothing is pruned
    /// that is not the very object that was recorded.
    pub inventory: Option<Inventory>,
    /// Whether everything that is declared could be had. If not, what is not
    /// declared may be declared all the same, and nothing is pruned.
    pub complete: bool,
    /// Whether objects that are as they should be are applied all the same,
    /// as Argo CD does, instead of being left alone.
    pub apply_unchanged: bool,
    /// Whether hooks are left out.
    pub skip_hooks: bool,
    /// Only these objects, and no hooks; all if absent.
    pub select: Option<BTreeSet<ObjectKey>>,
    /// The revision that the manifests come from.
    pub revision: Str,
    /// The time of the sync in seconds since 1970, for the names of hooks.
    pub now: i64,
    /// The schemas of the kinds. Those of definitions among the manifests are
    /// taken up without being named here.
    pub schemas: Schemas,
    /// Differences that do not count.
    pub ignore: Vec<IgnoreDifference>,
    /// The name under which fields are owned.
    pub manager: Str,
    /// Whether webhooks or policies of the cluster may change what is
    /// applied; no write is then sure to come out as predicted.
    pub mutated: bool,
}

impl PlanOptions {
    /// A whole sync of an application into a namespace, without pruning.
    pub fn new(app: impl Into<Str>, namespace: impl Into<Str>) -> Self {
        PlanOptions {
            tracking: Tracking::new(app),
            namespace: namespace.into(),
            app: AppOptions::default(),
            namespace_labels: Map::new(),
            namespace_annotations: Map::new(),
            prune: false,
            prune_approved: false,
            allow_empty: false,
            prune_limit: None,
            prune_share: None,
            protected: BTreeSet::from(["Namespace".into()]),
            claimed: BTreeSet::new(),
            inventory: None,
            complete: true,
            apply_unchanged: false,
            skip_hooks: false,
            select: None,
            revision: Str::new(),
            now: 0,
            schemas: Schemas::new(),
            ignore: Vec::new(),
            manager: gitops_diff::FIELD_MANAGER.into(),
            mutated: false,
        }
    }
}

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
    /// The name under which fields are owned.
    pub manager: Str,
}

/// One thing to do with one object.
#[derive(Clone, Serialize)]
pub struct Task {
    /// The object.
    pub key: ObjectKey,
    /// The version of its API.
    pub version: Str,
    /// When it is done: the phase.
    pub phase: Phase,
    /// When it is done: the wave within the phase.
    pub wave: i64,
    /// What is done.
    pub action: Action,
    /// When the hook is deleted; empty if it is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub delete_policies: Vec<DeletePolicy>,
    /// What differs, for an object that is there and declared. Values of
    /// Secrets are masked in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
    /// How sure it is what the server will answer to the write, and why it is
    /// not; `None` if nothing is applied. A sync asks the server first where
    /// it is not sure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certainty: Option<Certainty>,
    /// How it is done.
    pub options: ObjectOptions,
    /// Whether the server does not know the kind yet, because its definition
    /// is among the tasks, or nobody minds.
    pub kind_is_new: bool,
    /// Where the object was declared; for a prune, nowhere.
    pub origin: Origin,
    #[serde(skip)]
    pub(crate) prediction: Option<Prediction>,
    #[serde(skip)]
    pub(crate) desired: Option<Manifest>,
    #[serde(skip)]
    pub(crate) live: Option<Manifest>,
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("key", &self.key)
            .field("phase", &self.phase)
            .field("wave", &self.wave)
            .field("action", &self.action)
            .finish_non_exhaustive()
    }
}

impl Task {
    /// The object as it shall be; `None` for a prune.
    pub fn desired(&self) -> Option<&Manifest> {
        self.desired.as_ref()
    }

    /// The object as it is; `None` if it is not there.
    pub fn live(&self) -> Option<&Manifest> {
        self.live.as_ref()
    }

    /// What the server is expected to answer to the write, if anything is
    /// applied. It holds the object as it will be, Secrets included.
    pub fn prediction(&self) -> Option<&Prediction> {
        self.prediction.as_ref()
    }

    /// Group, version and kind.
    pub fn gvk(&self) -> Gvk {
        Gvk {
            group: self.key.group.clone(),
            version: self.version.clone(),
            kind: self.key.kind.clone(),
        }
    }

    /// What the cluster and the declaration say of the object: the
    /// [comparison](Task::difference), or all of an object that is created or
    /// pruned. `None` for hooks and what is skipped. Values of Secrets are
    /// masked.
    pub fn preview(&self) -> Option<Difference> {
        if self.difference.is_some() || matches!(self.action, Action::Hook | Action::Skip { .. }) {
            return self.difference.clone();
        }
        let sides = Sides {
            desired: self.desired(),
            live: self.live(),
            last_applied: None,
        };
        gitops_diff::diff(&sides, &Schemas::new(), &Rules::default()).ok()
    }

    /// Whether the object is a hook of this sync.
    pub fn is_hook(&self) -> bool {
        self.action == Action::Hook
    }

    /// Whether the task is about an object that is declared no more.
    pub fn is_prune(&self) -> bool {
        self.desired.is_none()
    }
}

/// What is done with an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Action {
    /// It is created.
    Create,
    /// It is changed.
    Update,
    /// It is as it should be.
    Unchanged,
    /// It is deleted and created again, for a field that cannot be changed.
    Recreate {
        /// The field.
        field: String,
    },
    /// It is created and runs to its end.
    Hook,
    /// It is deleted.
    Prune,
    /// It would be deleted if a person had approved.
    AwaitApproval,
    /// Nothing is done.
    Skip {
        /// Why not.
        reason: SkipReason,
    },
}

impl Action {
    /// One word for a table.
    pub fn name(&self) -> &'static str {
        match self {
            Action::Create => "create",
            Action::Update => "update",
            Action::Unchanged => "unchanged",
            Action::Recreate { .. } => "recreate",
            Action::Hook => "hook",
            Action::Prune => "prune",
            Action::AwaitApproval => "approve",
            Action::Skip { .. } => "skip",
        }
    }
}

/// Why nothing is done with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum SkipReason {
    /// It is declared no more, and nothing is pruned.
    RequiresPruning,
    /// It is declared no more, but marked `Prune=false`.
    NoPrune,
    /// It is declared no more, but is kept: by `helm.sh/resource-policy`, or
    /// because it is a CustomResourceDefinition.
    Kept,
    /// Not everything that is declared, or that is there, could be read.
    Incomplete,
    /// It is of a kind of which nothing is pruned.
    Protected,
    /// Another application declares it.
    Claimed,
    /// It is not the object that was recorded when the application was synced
    /// last, but another one of its name, or another application has it now.
    NotRecorded,
    /// It is as it should be, and only what is not is of interest.
    InSync,
    /// It is annotated to be skipped.
    Annotated,
    /// It runs only when the application is deleted.
    OnDeletion,
    /// It is a hook of no kind that runs in a sync, such as a test.
    NoSuchHook,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            // The first two are Argo CD's words.
            SkipReason::RequiresPruning => "ignored (requires pruning)",
            SkipReason::NoPrune => "ignored (no prune)",
            SkipReason::Kept => "ignored (kept)",
            SkipReason::Incomplete => "ignored (not everything could be read)",
            SkipReason::Claimed => "ignored (declared by another application)",
            SkipReason::Protected => "ignored (protected kind)",
            SkipReason::NotRecorded => "ignored (not the object that was recorded)",
            SkipReason::InSync => "in sync",
            SkipReason::Annotated => "annotated to be skipped",
            SkipReason::OnDeletion => "runs when the application is deleted",
            SkipReason::NoSuchHook => "a hook that no sync runs",
        })
    }
}

/// Why a plan may not be carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Nothing is declared any more, and everything would go.
    #[error(
        "auto-sync will wipe out all resources: nothing is declared and {prunes} objects would be pruned; allow an empty application if that is meant"
    )]
    WipesOut {
        /// How many objects would go.
        prunes: usize,
    },
    /// More would be deleted than is plausible.
    #[error("{prunes} objects would be pruned, and the limit is {limit}")]
    TooManyPrunes {
        /// How many objects would go.
        prunes: usize,
        /// How many are allowed to.
        limit: usize,
    },
    /// The server does not know the kind.
    #[error("The Kubernetes API could not find {group}/{kind} for requested resource {namespace}/{name}. Make sure the {kind:?} CRD is installed on the destination cluster.", group = key.group, kind = key.kind.as_str(), namespace = key.namespace, name = key.name)]
    UnknownKind {
        /// The object.
        key: ObjectKey,
    },
    /// The server knows the kind, but not in this version.
    #[error("The Kubernetes API could not find version {version:?} of {group}/{kind} for requested resource {namespace}/{name}. Version {served:?} of {group}/{kind} is installed on the destination cluster.", version = version.as_str(), served = served.as_str(), group = key.group, kind = key.kind, namespace = key.namespace, name = key.name)]
    UnknownVersion {
        /// The object.
        key: ObjectKey,
        /// The version that it is written in.
        version: Str,
        /// The version that the server prefers.
        served: Str,
    },
    /// A larger share would be deleted than is plausible.
    #[error("{prunes} of {owned} objects would be pruned, and the limit is {percent}%")]
    TooLargeAShare {
        /// How many objects would go.
        prunes: usize,
        /// How many there are.
        owned: usize,
        /// The share that may go.
        percent: u8,
    },
    /// An object belongs to another application as well.
    #[error("Shared resource found: {key} is part of application {owner}")]
    Shared {
        /// The object.
        key: ObjectKey,
        /// The other application.
        owner: Str,
    },
    /// A rule for what to ignore is not understood.
    #[error("{problem}")]
    Rule {
        /// The rule and what is wrong with it.
        problem: String,
    },
    /// An object needs a namespace, and there is none to put it in.
    #[error("{key} needs a namespace: it names none, and the destination has none")]
    NoNamespace {
        /// The object.
        key: ObjectKey,
    },
    /// An object that is no hook has no name of its own.
    #[error("{kind} in {origin}: only hooks may have generateName instead of a name")]
    NoName {
        /// The kind.
        kind: Str,
        /// Where it was declared.
        origin: Str,
    },
}

/// Something that does not stop a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// An object is declared more than once; the last one counts.
    #[error("{key} appeared {times} times among application resources")]
    Repeated {
        /// The object.
        key: ObjectKey,
        /// How often.
        times: usize,
    },
    /// An object belongs to another application as well.
    #[error("{key} is part of applications {app} and {owner}")]
    Shared {
        /// The object.
        key: ObjectKey,
        /// This application.
        app: Str,
        /// The other one.
        owner: Str,
    },
    /// The server will not accept a change.
    #[error(
        "{key}: {field} cannot be changed; the object has to be recreated (sync option Force=true)"
    )]
    Immutable {
        /// The object.
        key: ObjectKey,
        /// The field.
        field: String,
    },
    /// An object could not be compared with what is there; it is applied.
    #[error("{problem}")]
    NotCompared {
        /// The object.
        key: ObjectKey,
        /// Why not.
        problem: String,
    },
    /// The schema of a definition is not understood, so its objects are
    /// compared as if they had none.
    #[error("{key}: the schema is not understood: {problem}")]
    Schema {
        /// The definition.
        key: ObjectKey,
        /// What is wrong with its schema.
        problem: String,
    },
    /// Objects of a kind could not be read, so none of them is pruned.
    #[error("{kind} could not be read: {problem}")]
    Unreadable {
        /// The kind.
        kind: Gvk,
        /// Why not.
        problem: String,
    },
}

/// How much of each there is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Objects to create.
    pub create: usize,
    /// Objects to change.
    pub update: usize,
    /// Objects to delete and create again.
    pub recreate: usize,
    /// Objects to delete.
    pub prune: usize,
    /// Hooks to run.
    pub hook: usize,
    /// Objects as they should be.
    pub unchanged: usize,
    /// Objects left alone, or waiting for approval.
    pub skip: usize,
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

    /// Whether the cluster is what the manifests say: nothing to create, to
    /// change or to delete, not even what may not be deleted.
    pub fn is_synced(&self) -> bool {
        self.refusals.is_empty()
            && self.tasks.iter().all(|task| match task.action {
                Action::Unchanged | Action::Hook => true,
                Action::Skip { reason } => !matches!(
                    reason,
                    SkipReason::RequiresPruning | SkipReason::NoPrune | SkipReason::Kept
                ),
                _ => false,
            })
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.create, "to create"),
            (self.update, "to update"),
            (self.recreate, "to recreate"),
            (self.prune, "to prune"),
            (self.hook, "hooks"),
            (self.unchanged, "unchanged"),
            (self.skip, "skipped"),
        ];
        let mut first = true;
        for (count, what) in counts {
            if count > 0 {
                let comma = if first { "" } else { ", " };
                write!(f, "{comma}{count} {what}")?;
                first = false;
            }
        }
        if first {
            f.write_str("nothing to do")?;
        }
        Ok(())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![["PHASE", "WAVE", "ACTION", "KIND", "NAME", ""].map(String::from)];
        for task in &self.tasks {
            let key = &task.key;
            let name = if key.namespace.is_empty() {
                key.name.to_string()
            } else {
                format!("{}/{}", key.namespace, key.name)
            };
            let note = match &task.action {
                Action::Recreate { field } => field.clone(),
                Action::Skip { reason } => reason.to_string(),
                _ => noted(task.difference.as_ref()),
            };
            rows.push([
                task.phase.to_string(),
                task.wave.to_string(),
                task.action.name().to_owned(),
                key.kind.to_string(),
                name,
                note,
            ]);
        }
        let mut widths = [0; 6];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        if !self.tasks.is_empty() {
            for row in &rows {
                let mut line = String::new();
                for (cell, width) in row.iter().zip(widths) {
                    line.push_str(&format!("{cell:width$}  "));
                }
                writeln!(f, "{}", line.trim_end())?;
            }
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        for refusal in &self.refusals {
            writeln!(f, "refused: {refusal}")?;
        }
        write!(f, "{}", self.counts())
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
        manager: options.manager.clone(),
    };
    let comparing = Comparing {
        server_version: live.kinds.server_version.clone(),
        schemas: &schemas,
        rules: Rules {
            manager: options.manager.clone(),
            ignore: options.ignore.clone(),
        },
    };
    let definitions: BTreeSet<Str> = desired.iter().filter_map(order::defined_kind).collect();
    let wanted = settle(desired, live, options, &mut plan);

    // Whatever is declared is not pruned, even if nothing is done with it.
    let declared: BTreeSet<ObjectKey> = wanted
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
                            .map(|phase| hook(&object, *phase, live, options)),
                    );
                }
            }
            _ if selected.is_some_and(|keys| !keys.contains(object.key())) => {}
            Role::Ordinary => {
                let task = write(object, live, &comparing, options, &mut plan);
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

    prunes(&declared, live, options, &mut plan);
    if options.app.create_namespace && !options.namespace.is_empty() {
        let created = plan.tasks.iter().any(|task| {
            task.desired.is_some()
                && task.key.kind == "Namespace"
                && task.key.group.is_empty()
                && task.key.name == options.namespace
        });
        if !created {
            plan.tasks.extend(destination(live, &comparing, options));
        }
    }
    check_kinds(&definitions, live, &mut plan);
    waves::reverse_prunes(&mut plan.tasks, options.app.prune_last);
    order::sort(&mut plan.tasks);
    for (kind, problem) in &live.unreadable {
        plan.warnings.push(Warning::Unreadable {
            kind: kind.clone(),
            problem: problem.clone(),
        });
    }
    plan
}

/// The wanted objects with their namespaces decided, each only once, marked.
fn settle(
    desired: &[Manifest],
    live: &LiveState,
    options: &PlanOptions,
    plan: &mut Plan,
) -> Vec<(Manifest, Role)> {
    let scopes: BTreeMap<(&str, &str), bool> = desired
        .iter()
        .filter(|object| inventory::is_definition(object))
        .filter_map(|definition| {
            let text = |path: &[&str]| definition.at(path).and_then(Value::as_str);
            let kind = (text(&["spec", "group"])?, text(&["spec", "names", "kind"])?);
            Some((kind, text(&["spec", "scope"])? == "Namespaced"))
        })
        .collect();
    let mut settled: Vec<Option<(Manifest, Role)>> = Vec::with_capacity(desired.len());
    let mut seen: BTreeMap<ObjectKey, (usize, usize)> = BTreeMap::new();
    for object in desired {
        let mut object = object.clone();
        let role = hooks::role(&object);
        let (group, kind) = (object.key().group.clone(), object.key().kind.clone());
        let namespaced = live
            .kinds
            .is_namespaced(&group, &kind)
            .or_else(|| scopes.get(&(group.as_str(), kind.as_str())).copied());
        // A kind that nobody knows most likely lives in a namespace.
        if !namespaced.unwrap_or_else(|| !is_cluster_scoped(&group, &kind)) {
            object.set_namespace("");
        } else if object.namespace().is_empty() {
            if options.namespace.is_empty() {
                plan.refusals.push(Refusal::NoNamespace {
                    key: object.key().clone(),
                });
            } else {
                object.set_namespace(&options.namespace);
            }
        }
        if object.name().is_empty() {
            if let Role::Hook(_) = role {
                settled.push(Some((object, role)));
            } else {
                plan.refusals.push(Refusal::NoName {
                    kind: kind.clone(),
                    origin: object.origin.to_string().into(),
                });
            }
            continue;
        }
        // Who owns `stringData.x` does not own the `data.x` that the server
        // makes of it, and could never remove it.
        secrets::fold_string_data(&mut object);
        options.tracking.mark(&mut object, &options.namespace);
        let (place, times) = seen
            .entry(object.key().clone())
            .or_insert((settled.len(), 0));
        if *times > 0 {
            settled[*place] = None;
        }
        *place = settled.len();
        *times += 1;
        settled.push(Some((object, role)));
    }
    for (key, (_, times)) in seen {
        if times > 1 {
            plan.warnings.push(Warning::Repeated { key, times });
        }
    }
    settled.into_iter().flatten().collect()
}

/// Built-in kinds outside namespaces, for when no server was asked.
fn is_cluster_scoped(group: &str, kind: &str) -> bool {
    match group {
        "" => matches!(
            kind,
            "Namespace" | "Node" | "PersistentVolume" | "ComponentStatus"
        ),
        "rbac.authorization.k8s.io" => matches!(kind, "ClusterRole" | "ClusterRoleBinding"),
        "storage.k8s.io" => kind != "CSIStorageCapacity",
        "networking.k8s.io" => matches!(kind, "IngressClass" | "IPAddress" | "ServiceCIDR"),
        "resource.k8s.io" => matches!(kind, "DeviceClass" | "ResourceSlice"),
        "apiextensions.k8s.io"
        | "apiregistration.k8s.io"
        | "admissionregistration.k8s.io"
        | "certificates.k8s.io"
        | "flowcontrol.apiserver.k8s.io"
        | "node.k8s.io"
        | "scheduling.k8s.io" => true,
        _ => false,
    }
}

fn write(
    mut desired: Manifest,
    live: &LiveState,
    comparing: &Comparing<'_>,
    options: &PlanOptions,
    plan: &mut Plan,
) -> Task {
    let key = desired.key().clone();
    let current = live.objects.get(&key);
    let own = ObjectOptions::of(&options.app, Some(&desired), current);
    let mut difference = None;
    let action = match current {
        None => Action::Create,
        Some(current) => {
            if let Some(owner) = options.tracking.owner(current)
                && *owner.app != *options.tracking.app
            {
                let (key, owner) = (key.clone(), Str::from(owner.app.as_ref()));
                if options.app.fail_on_shared {
                    plan.refusals.push(Refusal::Shared { key, owner });
                } else {
                    let app = options.tracking.app.clone();
                    plan.warnings.push(Warning::Shared { key, app, owner });
                }
            }
            let differs = match comparing.compare(&desired, current, &own.migrate_from) {
                Ok(compared) => {
                    let differs = compared.outcome == Outcome::Update;
                    difference = Some(compared);
                    differs
                }
                // What is to be left alone is not known, so nothing is touched.
                Err(error @ DiffError::Jq { .. }) => {
                    plan.refusals.push(Refusal::Rule {
                        problem: error.to_string(),
                    });
                    true
                }
                Err(error) => {
                    let mask = Mask::of(&key, Some(desired.object()));
                    plan.warnings.push(Warning::NotCompared {
                        key: key.clone(),
                        problem: mask.hide(&error.to_string()),
                    });
                    true
                }
            };
            if options.app.respect_ignored {
                let (rules, schemas) = (&comparing.rules, comparing.schemas);
                // A rule that cannot be read was reported by the comparison.
                if let Ok(left) = rules.leave_ignored(&desired, current, schemas) {
                    desired = left;
                }
            }
            let fixed = difference
                .as_ref()
                .and_then(|found| immutable::changed(current, found));
            match fixed {
                Some(field) if own.force => Action::Recreate { field },
                Some(field) => {
                    let key = key.clone();
                    plan.warnings.push(Warning::Immutable { key, field });
                    Action::Update
                }
                None if differs || options.apply_unchanged => Action::Update,
                None if options.app.out_of_sync_only => Action::Skip {
                    reason: SkipReason::InSync,
                },
                None => Action::Unchanged,
            }
        }
    };
    let applied = matches!(action, Action::Create | Action::Update) && !own.replace;
    let prediction =
        applied.then(|| comparing.predict(&desired, current, &own.migrate_from, options));
    Task {
        version: desired.gvk().version.clone(),
        phase: Phase::Sync,
        wave: waves::wave(&desired),
        action,
        delete_policies: Vec::new(),
        difference,
        certainty: prediction.as_ref().map(|found| found.certainty.clone()),
        prediction,
        options: own,
        kind_is_new: false,
        origin: desired.origin.clone(),
        live: current.cloned(),
        desired: Some(desired),
        key,
    }
}

/// How live objects are compared with what is declared.
struct Comparing<'a> {
    server_version: Str,
    schemas: &'a Schemas,
    rules: Rules,
}

impl Comparing<'_> {
    /// What the server will answer to the apply, fields taken by force. A
    /// client's fields are ours by then.
    fn predict(
        &self,
        desired: &Manifest,
        live: Option<&Manifest>,
        migrate_from: &str,
        options: &PlanOptions,
    ) -> Prediction {
        let migrated =
            live.and_then(|live| migrate::migrated(live, migrate_from, &self.rules.manager));
        let how = predict::Options {
            force: true,
            server_version: self.server_version.clone(),
            mutated: options.mutated,
            ..predict::Options::new(self.rules.manager.clone())
        };
        predict::predict(migrated.as_ref().or(live), desired, self.schemas, &how)
    }

    /// Compares as server-side apply would. What a client applied earlier
    /// stands in the annotation that `kubectl apply` leaves.
    fn compare(
        &self,
        desired: &Manifest,
        live: &Manifest,
        migrate_from: &str,
    ) -> Result<Difference, DiffError> {
        // A client's fields become ours before anything is applied.
        let migrated = migrate::migrated(live, migrate_from, &self.rules.manager);
        let live = migrated.as_ref().unwrap_or(live);
        let last_applied = live
            .annotation(LAST_APPLIED)
            .and_then(|text| json::parse(text.as_bytes()).ok())
            .and_then(|object| Manifest::new(object, Origin::default()).ok())
            .filter(|last| last.gvk() == desired.gvk());
        let sides = Sides {
            desired: Some(desired),
            live: Some(live),
            last_applied: last_applied.as_ref(),
        };
        gitops_diff::diff(&sides, self.schemas, &self.rules)
    }
}

/// The fields that differ, as far as they fit on a line.
fn noted(difference: Option<&Difference>) -> String {
    const SHOWN: usize = 3;
    let Some(difference) = difference else {
        return String::new();
    };
    let changes = difference.changes.iter().take(SHOWN);
    let mut fields: Vec<String> = changes.map(|change| change.path.to_string()).collect();
    if difference.changes.len() > SHOWN {
        fields.push(format!("and {} more", difference.changes.len() - SHOWN));
    }
    fields.join(" ")
}

fn hook(object: &Manifest, phase: Phase, live: &LiveState, options: &PlanOptions) -> Task {
    let mut desired = object.clone();
    let named = desired.edit(|object| {
        let Some(Value::Map(metadata)) =
            object.as_map_mut().and_then(|map| map.get_mut("metadata"))
        else {
            return;
        };
        let prefix = metadata
            .get("generateName")
            .and_then(Value::as_str)
            .map(Str::from);
        let has_name = metadata
            .get("name")
            .and_then(Value::as_str)
            .is_some_and(|name| !name.is_empty());
        if !has_name {
            let prefix = prefix.unwrap_or_default();
            let name = hooks::generated_name(&prefix, &options.revision, phase, options.now);
            metadata.insert("name", name);
            metadata.remove("generateName");
        }
        // Whatever deletes finished hooks must wait until we have seen them.
        let finalizers = metadata.entry("finalizers");
        if finalizers.as_list().is_none() {
            *finalizers = Value::from_iter([]);
        }
        if let Some(list) = finalizers.as_list_mut()
            && !list
                .iter()
                .any(|have| have.as_str() == Some(HOOK_FINALIZER))
        {
            list.push(HOOK_FINALIZER.into());
        }
    });
    named.expect("a hook that got a name is still an object");
    options.tracking.mark(&mut desired, &options.namespace);
    let current = live.objects.get(desired.key());
    Task {
        key: desired.key().clone(),
        version: desired.gvk().version.clone(),
        phase,
        wave: waves::wave(&desired),
        action: Action::Hook,
        delete_policies: hooks::delete_policies(&desired),
        difference: None,
        certainty: None,
        prediction: None,
        options: ObjectOptions::of(&options.app, Some(&desired), current),
        kind_is_new: false,
        origin: desired.origin.clone(),
        live: current.cloned(),
        desired: Some(desired),
    }
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

/// The tasks for live objects of ours that are declared no more.
fn prunes(
    declared: &BTreeSet<ObjectKey>,
    live: &LiveState,
    options: &PlanOptions,
    plan: &mut Plan,
) {
    let mut tasks = Vec::new();
    let mut extra = 0;
    for (key, current) in &live.objects {
        // What another object owns goes with it, and hooks go by their own
        // policy.
        let ours = options.tracking.owns(current)
            && !declared.contains(key)
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
        let unsure = !options.complete || !live.unreadable.is_empty();
        let action = match prune::judge(current, &own, options, unsure) {
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
    let going = tasks
        .iter()
        .filter(|task| task.action == Action::Prune)
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
    let stays = plan
        .tasks
        .iter()
        .filter(|task| !task.is_hook() && task.live.is_some());
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

/// The task that creates the destination namespace, or brings its labels and
/// annotations up to date.
fn destination(live: &LiveState, comparing: &Comparing<'_>, options: &PlanOptions) -> Option<Task> {
    let mut metadata = Map::from_iter([("name", options.namespace.clone())]);
    for (name, map) in [
        ("labels", &options.namespace_labels),
        ("annotations", &options.namespace_annotations),
    ] {
        if !map.is_empty() {
            metadata.insert(name, map.clone());
        }
    }
    let object = Map::from_iter([
        ("apiVersion", Value::from("v1")),
        ("kind", Value::from("Namespace")),
        ("metadata", Value::from(metadata)),
    ]);
    let desired = Manifest::new(object.into(), Origin::default())
        .expect("a namespace with a name is an object");
    let current = live.objects.get(desired.key());
    let difference = current.and_then(|current| comparing.compare(&desired, current, "").ok());
    let action = match &difference {
        None => Action::Create,
        Some(difference) if difference.outcome == Outcome::Same => return None,
        Some(_) => Action::Update,
    };
    Some(Task {
        key: desired.key().clone(),
        version: "v1".into(),
        phase: Phase::PreSync,
        wave: 0,
        action,
        delete_policies: Vec::new(),
        difference,
        certainty: None,
        prediction: None,
        options: ObjectOptions::of(&options.app, Some(&desired), current),
        kind_is_new: false,
        origin: Origin::default(),
        live: current.cloned(),
        desired: Some(desired),
    })
}

/// Refuses objects of kinds that the server will not know when their turn
/// comes. An empty discovery means that no server was asked.
fn check_kinds(definitions: &BTreeSet<Str>, live: &LiveState, plan: &mut Plan) {
    if live.kinds.all().next().is_none() {
        return;
    }
    for task in &mut plan.tasks {
        if task.desired.is_none()
            || matches!(task.action, Action::Skip { .. })
            || live.kinds.of(&task.gvk()).is_some()
        {
            continue;
        }
        let kind = ecow::eco_format!("{}/{}", task.key.group, task.key.kind);
        if task.options.skip_dry_run_on_missing || definitions.contains(&kind) {
            task.kind_is_new = true;
            continue;
        }
        let key = task.key.clone();
        plan.refusals
            .push(match live.kinds.find(&key.group, "", &key.kind) {
                Some(kind) => Refusal::UnknownVersion {
                    version: task.version.clone(),
                    served: kind.gvk.version.clone(),
                    key,
                },
                None => Refusal::UnknownKind { key },
            });
    }
}
