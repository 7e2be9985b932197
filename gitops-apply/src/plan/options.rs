//! Sync options: how objects are written, by application and by object.

use gitops_core::{Manifest, Str};
use serde::Serialize;

use crate::cluster::Propagation;

/// The annotation with the options of one object.
pub const SYNC_OPTIONS: &str = "argocd.argoproj.io/sync-options";

/// The manager whose fields are taken over from client-side apply.
const CLIENT_SIDE_MANAGER: &str = "kubectl-client-side-apply";
const MIGRATION_MANAGER: &str = "argocd.argoproj.io/client-side-apply-migration-manager";

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
