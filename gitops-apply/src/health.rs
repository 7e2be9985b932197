//! Whether an object is in the state that it was made for.
//!
//! The rules and messages are those of Argo CD (`gitops-engine/pkg/health`),
//! with its quirks: they are what sync waves wait for, and what people know.
//! The checks are functions in a table, by group and kind. A kind that is not
//! in it has no health; it neither helps nor harms.
//!
//! ```
//! use gitops_apply::health::{HealthStatus, health};
//! use gitops_core::{Manifest, Map, Origin, Value};
//!
//! let object = Map::from_iter([
//!     ("apiVersion", Value::from("v1")),
//!     ("kind", Value::from("PersistentVolumeClaim")),
//!     ("metadata", Map::from_iter([("name", "data")]).into()),
//!     ("status", Map::from_iter([("phase", "Pending")]).into()),
//! ]);
//! let claim = Manifest::new(object.into(), Origin::default())?;
//! assert_eq!(health(&claim).unwrap().status, HealthStatus::Progressing);
//! # Ok::<(), gitops_core::manifest::NotAnObject>(())
//! ```

use std::fmt;

use gitops_core::{Manifest, ObjectKey, Value};
use serde::{Deserialize, Serialize};

mod batch;
pub(crate) mod extensions;
mod network;
mod pods;
mod scaling;
mod storage;
mod workflows;
mod workloads;

/// How well an object is, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum HealthStatus {
    /// As it should be.
    Healthy,
    /// Paused on purpose.
    Suspended,
    /// Not yet healthy, but may become so.
    Progressing,
    /// Wanted, but not there.
    Missing,
    /// Failed, or took too long.
    Degraded,
    /// Its health could not be found out.
    Unknown,
}

impl HealthStatus {
    /// The name, as in an Application's status.
    pub fn name(self) -> &'static str {
        match self {
            HealthStatus::Healthy => "Healthy",
            HealthStatus::Suspended => "Suspended",
            HealthStatus::Progressing => "Progressing",
            HealthStatus::Missing => "Missing",
            HealthStatus::Degraded => "Degraded",
            HealthStatus::Unknown => "Unknown",
        }
    }
}

impl fmt::Display for HealthStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How well an object is, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// How well.
    pub status: HealthStatus,
    /// Why; often empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

impl Health {
    /// A status and why.
    pub fn new(status: HealthStatus, message: impl Into<String>) -> Self {
        Health {
            status,
            message: message.into(),
        }
    }
}

/// Judges one live object; `None` if it has no health.
pub type HealthCheck = fn(&Manifest) -> Option<Health>;

/// The health of a live object, by the built-in checks.
///
/// An object that is being deleted is progressing, whatever its kind, unless
/// it is a hook that only waits for us to have seen it.
pub fn health(object: &Manifest) -> Option<Health> {
    if object.at(&["metadata", "deletionTimestamp"]).is_some() && !has_hook_finalizer(object) {
        return Some(Health::new(HealthStatus::Progressing, "Pending deletion"));
    }
    check(object)
}

/// The finalizer that keeps a finished hook until it was seen to be finished.
pub const HOOK_FINALIZER: &str = "argocd.argoproj.io/hook-finalizer";

pub(crate) fn has_hook_finalizer(object: &Manifest) -> bool {
    object
        .at(&["metadata", "finalizers"])
        .and_then(Value::as_list)
        .is_some_and(|list| {
            list.iter()
                .any(|name| name.as_str() == Some(HOOK_FINALIZER))
        })
}

fn check(object: &Manifest) -> Option<Health> {
    let gvk = object.gvk();
    let versioned = |versions: &[&str], check: fn(&Manifest) -> Health| {
        Some(if versions.contains(&gvk.version.as_str()) {
            check(object)
        } else {
            let group_version = gvk.api_version();
            Health::new(
                HealthStatus::Unknown,
                format!(
                    "unsupported {} GVK: {group_version}, Kind={}",
                    match gvk.kind.as_str() {
                        "HorizontalPodAutoscaler" => "HPA",
                        kind => kind,
                    },
                    gvk.kind
                ),
            )
        })
    };
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("apps", "Deployment") => versioned(&["v1"], workloads::deployment),
        ("apps", "StatefulSet") => versioned(&["v1"], workloads::stateful_set),
        ("apps", "DaemonSet") => versioned(&["v1"], workloads::daemon_set),
        ("apps", "ReplicaSet") => versioned(&["v1"], workloads::replica_set),
        ("extensions", "Deployment" | "DaemonSet" | "ReplicaSet") => {
            versioned(&[], workloads::deployment)
        }
        ("", "Pod") => versioned(&["v1"], pods::pod),
        ("", "Service") => versioned(&["v1"], network::service),
        ("networking.k8s.io" | "extensions", "Ingress") => Some(network::ingress(object)),
        ("", "PersistentVolumeClaim") => versioned(&["v1"], storage::claim),
        ("batch", "Job") => versioned(&["v1"], batch::job),
        ("batch", "CronJob") => Some(batch::cron_job(object)),
        ("autoscaling", "HorizontalPodAutoscaler") => match gvk.version.as_str() {
            "v1" => Some(scaling::autoscaler_v1(object)),
            _ => versioned(&["v2"], scaling::autoscaler),
        },
        ("policy", "PodDisruptionBudget") => Some(scaling::disruption_budget(object)),
        ("apiregistration.k8s.io", "APIService") => {
            versioned(&["v1", "v1beta1"], extensions::api_service)
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            Some(extensions::definition(object))
        }
        ("argoproj.io", "Workflow") => Some(workflows::workflow(object)),
        _ => None,
    }
}

/// The health of an application: the worst of its objects', and whose fault
/// it is.
///
/// `objects` are those that count: no hooks, nothing that is ignored, nothing
/// without health. A missing object does not make the application missing;
/// `anything_live` tells whether any of what is wanted is there at all. An
/// application of nothing is healthy.
pub fn app_health<'a>(
    objects: impl IntoIterator<Item = (&'a ObjectKey, &'a Health)>,
    anything_live: bool,
) -> Health {
    const SHOWN: usize = 3;
    let mut worst = HealthStatus::Healthy;
    let mut culprits: Vec<&ObjectKey> = Vec::new();
    let mut any = false;
    for (key, health) in objects {
        any = true;
        let child = key.group == "argoproj.io" && key.kind == "Application";
        let skipped = health.status == HealthStatus::Missing
            || child && health.status == HealthStatus::Unknown;
        if skipped || health.status < worst {
            continue;
        }
        if health.status > worst {
            worst = health.status;
            culprits.clear();
        }
        culprits.push(key);
    }
    if any && !anything_live {
        return Health::new(HealthStatus::Missing, "");
    }
    if worst == HealthStatus::Healthy {
        return Health::new(worst, "");
    }
    let mut message = String::from("Caused by ");
    for (index, key) in culprits.iter().take(SHOWN).enumerate() {
        if index > 0 {
            message.push_str(", ");
        }
        message.push_str(&key.to_string());
    }
    if culprits.len() > SHOWN {
        message.push_str(&format!(" and {} more", culprits.len() - SHOWN));
    }
    Health::new(worst, message)
}

/// Reads a status as Go's decoder would: absent numbers are 0, absent texts
/// are empty.
trait Fields {
    fn number(&self, path: &[&str]) -> i64;
    fn text(&self, path: &[&str]) -> &str;
    fn items(&self, path: &[&str]) -> &[Value];
}

impl Fields for Manifest {
    fn number(&self, path: &[&str]) -> i64 {
        self.at(path).and_then(Value::as_i64).unwrap_or_default()
    }

    fn text(&self, path: &[&str]) -> &str {
        self.at(path).and_then(Value::as_str).unwrap_or_default()
    }

    fn items(&self, path: &[&str]) -> &[Value] {
        self.at(path).and_then(Value::as_list).unwrap_or_default()
    }
}

impl Fields for Value {
    fn number(&self, path: &[&str]) -> i64 {
        self.at(path).and_then(Value::as_i64).unwrap_or_default()
    }

    fn text(&self, path: &[&str]) -> &str {
        self.at(path).and_then(Value::as_str).unwrap_or_default()
    }

    fn items(&self, path: &[&str]) -> &[Value] {
        self.at(path).and_then(Value::as_list).unwrap_or_default()
    }
}

/// The condition of a type, if the status has one.
fn condition<'a>(object: &'a Manifest, kind: &str) -> Option<&'a Value> {
    object
        .items(&["status", "conditions"])
        .iter()
        .find(|condition| condition.text(&["type"]) == kind)
}

fn healthy(message: impl Into<String>) -> Health {
    Health::new(HealthStatus::Healthy, message)
}

fn progressing(message: impl Into<String>) -> Health {
    Health::new(HealthStatus::Progressing, message)
}

fn degraded(message: impl Into<String>) -> Health {
    Health::new(HealthStatus::Degraded, message)
}
