//! What is declared beside what is there.

use gitops_core::inventory::{Method, is_definition};
use gitops_core::schema::Schemas;
use gitops_core::{Manifest, Map, Origin, Str, Value, json};
use gitops_diff::predict::Prediction;
use gitops_diff::{DiffError, Difference, Outcome, Rules, Sides, immutable, predict};

use super::hooks::Phase;
use super::options::{ObjectOptions, PlanOptions};
use super::prune::is_namespace;
use super::refusal::{Refusal, Warning};
use super::task::{Action, SkipReason, Task};
use super::{Plan, migrate, waves};
use crate::live::LiveState;
use crate::secrets::Mask;

/// Where `kubectl apply` keeps what it applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// How live objects are compared with what is declared.
pub(super) struct Comparing<'a> {
    pub(super) server_version: Str,
    pub(super) schemas: &'a Schemas,
    pub(super) rules: Rules,
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

/// The task for an ordinary object that is declared.
pub(super) fn write(
    mut desired: Manifest,
    live: &LiveState,
    comparing: &Comparing<'_>,
    options: &PlanOptions,
    plan: &mut Plan,
) -> Task {
    let key = desired.key().clone();
    let current = live.objects.get(&key);
    let mut own = ObjectOptions::of(&options.app, Some(&desired), current);
    // Too much would go with them, whatever anybody forces.
    own.force &= !(is_definition(&desired) || is_namespace(&key) || options.protects(&key));
    let mut difference = None;
    let action = match current {
        None => Action::Create,
        Some(current) => {
            if let Some(owner) = options.tracking.owner(current)
                && *owner.app != *options.tracking.app
            {
                let (key, owner) = (key.clone(), Str::from(owner.app.as_ref()));
                // Members of another ApplySet are a conflict (KEP-3659).
                let exclusive = options.tracking.method == Method::ApplySet;
                if options.app.fail_on_shared || exclusive {
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
                    let mask = Mask::of(&key, [desired.object(), current.object()]);
                    plan.refusals.push(Refusal::Rule {
                        problem: mask.hide(error.to_string()),
                    });
                    true
                }
                Err(error) => {
                    let mask = Mask::of(&key, [desired.object(), current.object()]);
                    plan.warnings.push(Warning::NotCompared {
                        key: key.clone(),
                        problem: mask.hide(error.to_string()),
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
    // Where deletions are counted, the server's refusal deletes nothing that
    // was not counted.
    let counted = options.prune_limit.is_some() || options.prune_share.is_some();
    own.force &= !counted || matches!(action, Action::Recreate { .. });
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

/// The task that creates the destination namespace, or brings its labels and
/// annotations up to date.
pub(super) fn destination(
    live: &LiveState,
    comparing: &Comparing<'_>,
    options: &PlanOptions,
) -> Option<Task> {
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
