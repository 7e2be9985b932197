//! How a plan is made, and how objects are written: by application and by
//! object.

use std::collections::BTreeSet;

use gitops_core::app::IgnoreDifference;
use gitops_core::inventory::{Inventory, Tracking};
use gitops_core::schema::Schemas;
use gitops_core::{Manifest, Map, ObjectKey, Str};
use serde::Serialize;

use crate::cluster::Propagation;

/// The annotation with the options of one object.
pub const SYNC_OPTIONS: &str = "argocd.argoproj.io/sync-options";

/// The manager whose fields are taken over from client-side apply.
const CLIENT_SIDE_MANAGER: &str = "kubectl-client-side-apply";
const MIGRATION_MANAGER: &str = "argocd.argoproj.io/client-side-apply-migration-manager";

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
    /// Whether prunes stay among the waves, as in Argo CD, and each wave begins
    /// with its prunes, so that what is new can take over what is exclusive (a
    /// port of the nodes). Otherwise nothing is pruned before all waves could
    /// be applied.
    pub prune_in_waves: bool,
    /// Whether a person has approved the prunes that want approval.
    pub prune_approved: bool,
    /// Whether it is fine if nothing is declared and everything is pruned.
    pub allow_empty: bool,
    /// How many deletions at once are taken for a mistake, those of objects that
    /// are created again among them; no limit if absent. With a limit, of either
    /// sort, `Force` recreates only what the plan says.
    pub prune_limit: Option<usize>,
    /// Which share of what the application owns is taken for a mistake if it
    /// would be pruned at once, in percent; no limit if absent. A single
    /// object may always go.
    pub prune_share: Option<u8>,
    /// Kinds of which nothing is ever deleted, not even to be created again, as
    /// `Kind.group` or `Kind`; none from the start. Definitions never are anyhow,
    /// and namespaces are only pruned, and only if they are known to hold
    /// [nothing of others](crate::LiveState::vacant).
    pub protected: BTreeSet<Str>,
    /// Objects that other applications declare: they are theirs from their
    /// next sync on, and not pruned meanwhile.
    pub claimed: BTreeSet<ObjectKey>,
    /// What was recorded of the last sync, if it is known: nothing is pruned
    /// that is not the very object that was recorded. It takes the place of the
    /// [record](crate::Record) that was read from the cluster.
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
            prune_in_waves: false,
            prune_approved: false,
            allow_empty: false,
            prune_limit: None,
            prune_share: None,
            protected: BTreeSet::new(),
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

impl PlanOptions {
    /// Whether nothing of the object's kind is deleted.
    pub(crate) fn protects(&self, key: &ObjectKey) -> bool {
        let kind = match key.group.as_str() {
            "" => key.kind.clone(),
            group => ecow::eco_format!("{}.{group}", key.kind),
        };
        self.protected.contains(&kind)
    }
}

/// Whether something may be deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Permission {
    /// It may.
    #[default]
    Yes,
    /// It may once a person has approved.
    Confirm,
    /// It may not.
    No,
}

/// The options of a whole application. Those of an object go before them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AppOptions {
    /// `Prune=`: whether what is declared no more may be deleted.
    pub prune: Permission,
    /// `PruneLast=`: whether prunes wait until everything else is done.
    pub prune_last: bool,
    /// `PrunePropagationPolicy=`: what happens to what pruned objects own.
    pub propagation: Propagation,
    /// `Replace=`: whether objects are replaced whole.
    pub replace: bool,
    /// `Force=`: whether an object that cannot be updated is deleted and
    /// created again.
    pub force: bool,
    /// `Validate=`: whether unknown fields are an error.
    pub validate: bool,
    /// `SkipDryRunOnMissingResource=`: whether a kind that the server does not
    /// know (yet) is no reason not to begin.
    pub skip_dry_run_on_missing: bool,
    /// `ApplyOutOfSyncOnly=`: whether objects that are as they should be are
    /// left out altogether.
    pub out_of_sync_only: bool,
    /// `ClientSideApplyMigration=`: whether fields of client-side apply are
    /// taken over.
    pub migrate: bool,
    /// `FailOnSharedResource=`: whether an object of another application is a
    /// reason not to begin.
    pub fail_on_shared: bool,
    /// `RespectIgnoreDifferences=`: whether ignored fields are left as they
    /// are.
    pub respect_ignored: bool,
    /// `CreateNamespace=`: whether the destination namespace is created.
    pub create_namespace: bool,
}

impl Default for AppOptions {
    /// Argo CD's defaults.
    fn default() -> Self {
        AppOptions {
            prune: Permission::Yes,
            prune_last: false,
            propagation: Propagation::Foreground,
            replace: false,
            force: false,
            validate: true,
            skip_dry_run_on_missing: false,
            out_of_sync_only: false,
            migrate: true,
            fail_on_shared: false,
            respect_ignored: false,
            create_namespace: false,
        }
    }
}

impl AppOptions {
    /// Reads options as Argo CD writes them, `Name=value`. Returns also those
    /// that are not known.
    ///
    /// `ServerSideApply=` is accepted either way: everything is applied by the
    /// server here.
    pub fn parse<S: AsRef<str>>(options: &[S]) -> (Self, Vec<&str>) {
        let mut read = AppOptions::default();
        let mut unknown = Vec::new();
        for option in options {
            let option = option.as_ref().trim();
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let flag = match value {
                "true" => Some(true),
                "false" => Some(false),
                _ => None,
            };
            match (name, value, flag) {
                ("Prune", "confirm", _) => read.prune = Permission::Confirm,
                ("Prune", _, Some(flag)) => {
                    read.prune = if flag {
                        Permission::Yes
                    } else {
                        Permission::No
                    };
                }
                ("PrunePropagationPolicy", "foreground", _) => {
                    read.propagation = Propagation::Foreground;
                }
                ("PrunePropagationPolicy", "background", _) => {
                    read.propagation = Propagation::Background;
                }
                ("PrunePropagationPolicy", "orphan", _) => read.propagation = Propagation::Orphan,
                ("PruneLast", _, Some(flag)) => read.prune_last = flag,
                ("Replace", _, Some(flag)) => read.replace = flag,
                ("Force", _, Some(flag)) => read.force = flag,
                ("Validate", _, Some(flag)) => read.validate = flag,
                ("SkipDryRunOnMissingResource", _, Some(flag)) => {
                    read.skip_dry_run_on_missing = flag;
                }
                ("ApplyOutOfSyncOnly", _, Some(flag)) => read.out_of_sync_only = flag,
                ("ClientSideApplyMigration", _, Some(flag)) => read.migrate = flag,
                ("FailOnSharedResource", _, Some(flag)) => read.fail_on_shared = flag,
                ("RespectIgnoreDifferences", _, Some(flag)) => read.respect_ignored = flag,
                ("CreateNamespace", _, Some(flag)) => read.create_namespace = flag,
                // Both concern other moments than a sync, or are always so.
                ("ServerSideApply" | "Delete", ..) => {}
                _ => unknown.push(option),
            }
        }
        (read, unknown)
    }
}

/// The options of one object: its own, else those of the application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObjectOptions {
    /// Whether it may be pruned.
    pub prune: Permission,
    /// Whether its prune waits until everything else is done.
    pub prune_last: bool,
    /// Whether it is replaced whole.
    pub replace: bool,
    /// Whether it is deleted and created again if it cannot be updated.
    pub force: bool,
    /// Whether unknown fields are an error.
    pub validate: bool,
    /// Whether it does not matter if the server does not know its kind (yet).
    pub skip_dry_run_on_missing: bool,
    /// The manager from which its fields are taken over; nobody if empty.
    pub migrate_from: Str,
}

impl ObjectOptions {
    /// The options of an object, of which one or both states are known.
    pub(crate) fn of(
        app: &AppOptions,
        desired: Option<&Manifest>,
        live: Option<&Manifest>,
    ) -> Self {
        let mut read = ObjectOptions {
            prune: app.prune,
            prune_last: app.prune_last,
            replace: app.replace,
            force: app.force,
            validate: app.validate,
            skip_dry_run_on_missing: app.skip_dry_run_on_missing,
            migrate_from: Str::new(),
        };
        if app.migrate {
            let named = desired.and_then(|object| object.annotation(MIGRATION_MANAGER));
            read.migrate_from = named.unwrap_or(CLIENT_SIDE_MANAGER).into();
        }
        // Replace and Force also count when set on the live object only; an
        // operator sets them there for one sync.
        for object in [live, desired].into_iter().flatten() {
            let options = object.annotation(SYNC_OPTIONS).unwrap_or_default();
            for option in options.split(',').map(str::trim) {
                let is_latest = desired.is_none_or(|desired| std::ptr::eq(desired, object));
                match option {
                    "Replace=true" => read.replace = true,
                    "Replace=false" if is_latest => read.replace = false,
                    "Force=true" => read.force = true,
                    "Force=false" if is_latest => read.force = false,
                    "Prune=false" => read.prune = Permission::No,
                    "Prune=confirm" if read.prune == Permission::Yes => {
                        read.prune = Permission::Confirm;
                    }
                    "PruneLast=true" => read.prune_last = true,
                    "Validate=false" if is_latest => read.validate = false,
                    "Validate=true" if is_latest => read.validate = true,
                    "SkipDryRunOnMissingResource=true" => read.skip_dry_run_on_missing = true,
                    _ => {}
                }
            }
        }
        read
    }
}
