//! One thing to do with one object, and why.

use std::fmt;

use gitops_core::schema::Schemas;
use gitops_core::{Gvk, Manifest, ObjectKey, Origin, Str};
use gitops_diff::predict::{Certainty, Prediction};
use gitops_diff::{Difference, Rules, Sides};
use serde::Serialize;

use super::hooks::{DeletePolicy, Phase};
use super::options::ObjectOptions;

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
    /// It is declared no more, but is kept: by `helm.sh/resource-policy` or
    /// Flux's `prune: disabled`, or because it is a CustomResourceDefinition.
    Kept,
    /// Not everything that is declared, or that is there, could be read.
    Incomplete,
    /// It is of a kind of which nothing is pruned.
    Protected,
    /// It is a namespace with something in it that stays, or is not ours.
    Occupied,
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
            SkipReason::Occupied => "ignored (the namespace holds what is to stay)",
            SkipReason::Protected => "ignored (protected kind)",
            SkipReason::NotRecorded => "ignored (not the object that was recorded)",
            SkipReason::InSync => "in sync",
            SkipReason::Annotated => "annotated to be skipped",
            SkipReason::OnDeletion => "runs when the application is deleted",
            SkipReason::NoSuchHook => "a hook that no sync runs",
        })
    }
}
