//! Which objects are hooks, when they run and when they go.
//!
//! Follows `gitops-engine/pkg/sync/hook`, with Helm's hooks mapped onto Argo
//! CD's as it does.

use gitops_core::{Manifest, Str, Value};
use serde::{Deserialize, Serialize};

use super::options::{ObjectOptions, PlanOptions};
use super::task::{Action, Task};
use super::waves;
use crate::health::HOOK_FINALIZER;
use crate::live::LiveState;

/// The annotation that makes an object a hook.
pub const HOOK: &str = "argocd.argoproj.io/hook";
/// The annotation that says when a hook is deleted.
pub const HOOK_DELETE_POLICY: &str = "argocd.argoproj.io/hook-delete-policy";
const HELM_HOOK: &str = "helm.sh/hook";
const HELM_DELETE_POLICY: &str = "helm.sh/hook-delete-policy";

/// The part of a sync in which something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Before everything else.
    PreSync,
    /// Together with the ordinary objects.
    Sync,
    /// After all objects are healthy.
    PostSync,
    /// Only if the sync failed.
    SyncFail,
}

impl Phase {
    /// The name, as in hook annotations and results.
    pub fn name(self) -> &'static str {
        match self {
            Phase::PreSync => "PreSync",
            Phase::Sync => "Sync",
            Phase::PostSync => "PostSync",
            Phase::SyncFail => "SyncFail",
        }
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// What an object is to a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It is made so, and kept so.
    Ordinary,
    /// It is created in each of these phases, and is to end.
    Hook(Vec<Phase>),
    /// It runs when the application is deleted.
    OnDeletion,
    /// It is never applied and never counted: `Skip`.
    Skipped,
    /// Its hook annotation means nothing here; it is overlooked.
    Overlooked,
}

/// When a hook is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeletePolicy {
    /// After a sync that succeeded.
    HookSucceeded,
    /// After a sync that failed.
    HookFailed,
    /// Before it is created again.
    BeforeHookCreation,
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
}

/// Whether the object is a hook of any kind: it is then neither applied as an
/// ordinary object nor pruned.
pub fn is_hook(object: &Manifest) -> bool {
    match object.annotation(HOOK) {
        Some(text) => {
            let mut types = words(text);
            !(types.next() == Some("Skip") && types.next().is_none())
        }
        None => object
            .annotation(HELM_HOOK)
            .is_some_and(|text| text.trim() != "crd-install"),
    }
}

pub(crate) fn role(object: &Manifest) -> Role {
    let mut phases = Vec::new();
    let mut on_deletion = false;
    let mut add = |phase| {
        if !phases.contains(&phase) {
            phases.push(phase);
        }
    };
    if let Some(text) = object.annotation(HOOK) {
        let mut skipped = false;
        for word in words(text) {
            match word {
                "PreSync" => add(Phase::PreSync),
                "Sync" => add(Phase::Sync),
                "PostSync" => add(Phase::PostSync),
                "SyncFail" => add(Phase::SyncFail),
                "PreDelete" | "PostDelete" => on_deletion = true,
                "Skip" => skipped = true,
                _ => {}
            }
        }
        if skipped && phases.is_empty() && !on_deletion {
            return Role::Skipped;
        }
    } else if let Some(text) = object.annotation(HELM_HOOK) {
        for word in words(text) {
            match word {
                "crd-install" => return Role::Ordinary,
                "pre-install" | "pre-upgrade" => add(Phase::PreSync),
                "post-install" | "post-upgrade" => add(Phase::PostSync),
                "pre-delete" | "post-delete" => on_deletion = true,
                _ => {}
            }
        }
    } else {
        return Role::Ordinary;
    }
    if !phases.is_empty() {
        phases.sort();
        Role::Hook(phases)
    } else if on_deletion {
        Role::OnDeletion
    } else {
        Role::Overlooked
    }
}

/// When the hook is deleted; before its next creation if it does not say.
pub(crate) fn delete_policies(object: &Manifest) -> Vec<DeletePolicy> {
    let mut policies = Vec::new();
    for annotation in [HOOK_DELETE_POLICY, HELM_DELETE_POLICY] {
        for word in words(object.annotation(annotation).unwrap_or_default()) {
            let policy = match word {
                "HookSucceeded" | "hook-succeeded" => DeletePolicy::HookSucceeded,
                "HookFailed" | "hook-failed" => DeletePolicy::HookFailed,
                "BeforeHookCreation" | "before-hook-creation" => DeletePolicy::BeforeHookCreation,
                _ => continue,
            };
            if !policies.contains(&policy) {
                policies.push(policy);
            }
        }
        // Helm's annotation counts only where there is none of Argo CD's.
        if !policies.is_empty() {
            break;
        }
    }
    if policies.is_empty() {
        policies.push(DeletePolicy::BeforeHookCreation);
    }
    policies
}

/// The name of a hook that only has a `generateName`: one per revision, phase
/// and start of the sync.
pub(crate) fn generated_name(prefix: &str, revision: &str, phase: Phase, now: i64) -> String {
    const SHORT: usize = 7;
    let revision = match revision.char_indices().nth(SHORT) {
        Some((end, _)) => &revision[..end],
        None => revision,
    };
    let suffix = format!("{revision}-{phase}-{now}");
    format!("{prefix}{}", suffix.to_lowercase())
}

pub(super) fn task(
    object: &Manifest,
    phase: Phase,
    live: &LiveState,
    options: &PlanOptions,
) -> Task {
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
            let name = generated_name(&prefix, &options.revision, phase, options.now);
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
        delete_policies: delete_policies(&desired),
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
