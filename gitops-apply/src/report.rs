//! What happened, as data.
//!
//! Serialised, results have the names and values of an Application's
//! `status.operationState.syncResult`. Nothing here holds an object's
//! contents.

use std::fmt;
use std::time::Duration;

use gitops_core::{Manifest, ObjectKey, Str, Value};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::health::Health;
use crate::plan::Phase;

/// How far an operation, or a part of it, has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperationPhase {
    /// It goes on.
    Running,
    /// It has been told to stop.
    Terminating,
    /// The cluster did not let it be done.
    Failed,
    /// It could not be carried on with: the cluster was out of reach.
    Error,
    /// It is done.
    Succeeded,
}

impl OperationPhase {
    /// The name, as in an Application's status.
    pub fn name(self) -> &'static str {
        match self {
            OperationPhase::Running => "Running",
            OperationPhase::Terminating => "Terminating",
            OperationPhase::Failed => "Failed",
            OperationPhase::Error => "Error",
            OperationPhase::Succeeded => "Succeeded",
        }
    }

    /// Whether nothing more will happen.
    pub fn is_completed(self) -> bool {
        matches!(
            self,
            OperationPhase::Failed | OperationPhase::Error | OperationPhase::Succeeded
        )
    }
}

impl fmt::Display for OperationPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What became of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResultCode {
    /// It is as declared.
    Synced,
    /// It could not be made so.
    SyncFailed,
    /// It was deleted.
    Pruned,
    /// It should have been deleted, but was not.
    PruneSkipped,
}

impl ResultCode {
    /// The name, as in an Application's status.
    pub fn name(self) -> &'static str {
        match self {
            ResultCode::Synced => "Synced",
            ResultCode::SyncFailed => "SyncFailed",
            ResultCode::Pruned => "Pruned",
            ResultCode::PruneSkipped => "PruneSkipped",
        }
    }
}

impl fmt::Display for ResultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The result for one object in one phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectResult {
    /// The object.
    #[serde(flatten)]
    pub key: ObjectKey,
    /// The version of its API.
    pub version: Str,
    /// What became of it.
    pub status: ResultCode,
    /// What there is to say about it.
    pub message: String,
    /// For a hook, the phase that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook_type: Option<Phase>,
    /// How far it has come: for a hook whether it has ended, for another
    /// object whether it is healthy.
    pub hook_phase: OperationPhase,
    /// The phase in which it was done.
    pub sync_phase: Phase,
    /// The images of its containers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Str>,
}

/// The images of an object's containers, in order, each once.
pub(crate) fn images(object: &Manifest) -> Vec<Str> {
    let spec = match object.key().kind.as_str() {
        "Pod" => object.at(&["spec"]),
        "CronJob" => object.at(&["spec", "jobTemplate", "spec", "template", "spec"]),
        _ => object.at(&["spec", "template", "spec"]),
    };
    let mut images: Vec<Str> = Vec::new();
    for list in ["initContainers", "containers"] {
        let containers = spec.and_then(|spec| spec.get(list)?.as_list());
        for container in containers.unwrap_or_default() {
            if let Some(image) = container.get("image").and_then(Value::as_str)
                && !images.iter().any(|have| have == image)
            {
                images.push(image.into());
            }
        }
    }
    images
}

/// What a sync cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Costs {
    /// The requests by verb, kind and outcome, sorted.
    pub requests: Vec<Requests>,
    /// How often a request had to be repeated.
    pub retries: u64,
    /// How long the sync waited for objects and hooks, in milliseconds.
    pub waited_ms: u64,
}

/// How many requests of one sort were made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Requests {
    /// What was asked for: `apply`, `get`, `list`, `delete`, …
    pub verb: Str,
    /// The kind of object.
    pub kind: Str,
    /// The HTTP status; 0 if there was no answer.
    pub status: u16,
    /// Whether the server only said what would happen.
    pub dry_run: bool,
    /// How many.
    pub count: u64,
}

/// What a sync did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncReport {
    /// The application.
    pub app: Str,
    /// The revision that it was synced to.
    pub revision: Str,
    /// How it ended.
    pub phase: OperationPhase,
    /// How it ended, for people.
    pub message: String,
    /// What became of each object, in the order of the plan; objects whose
    /// turn did not come are not in it.
    pub results: Vec<ObjectResult>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Whether the cluster was only asked what would happen.
    pub dry_run: bool,
    /// What it cost.
    pub costs: Costs,
}

impl SyncReport {
    /// Whether everything was done.
    pub fn succeeded(&self) -> bool {
        self.phase == OperationPhase::Succeeded
    }

    /// How long it took.
    pub fn duration(&self) -> Duration {
        Duration::try_from(self.finished_at.duration_since(self.started_at)).unwrap_or_default()
    }
}

impl fmt::Display for SyncReport {
    /// One line: `shop: Succeeded in 1.2s: 3 Synced, 1 Pruned: successfully
    /// synced (all tasks run)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = self.duration().as_secs_f64();
        write!(f, "{}: {} in {took:.1}s", self.app, self.phase)?;
        let mut comma = ": ";
        for code in [
            ResultCode::Synced,
            ResultCode::SyncFailed,
            ResultCode::Pruned,
            ResultCode::PruneSkipped,
        ] {
            let with = self.results.iter().filter(|result| result.status == code);
            let count = with.count();
            if count > 0 {
                write!(f, "{comma}{count} {code}")?;
                comma = ", ";
            }
        }
        write!(f, ": {}", self.message)
    }
}

/// Something that happens while a sync goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "event",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
#[non_exhaustive]
pub enum Event {
    /// It begins.
    Started {
        /// The application.
        app: Str,
        /// The revision.
        revision: Str,
        /// How many tasks there are.
        tasks: usize,
    },
    /// The server is asked whether it would accept everything.
    Checking {
        /// How many objects it is asked about.
        objects: usize,
    },
    /// A wave of a phase begins.
    Wave {
        /// The phase.
        phase: Phase,
        /// The wave.
        wave: i64,
        /// How many tasks it has.
        tasks: usize,
    },
    /// There is news of an object.
    Object {
        /// The news.
        result: ObjectResult,
    },
    /// Objects are waited for.
    Waiting {
        /// For what, in words.
        message: String,
        /// How many objects.
        objects: usize,
    },
    /// The health of an object that is waited for has changed.
    HealthChanged {
        /// The object.
        key: ObjectKey,
        /// Its health now.
        health: Health,
    },
    /// A request failed and is made again.
    Retrying {
        /// The object.
        key: ObjectKey,
        /// Why it failed.
        error: String,
        /// The wait before it is made again, in milliseconds.
        after_ms: u64,
    },
    /// It has ended.
    Finished {
        /// How.
        phase: OperationPhase,
        /// How, for people.
        message: String,
    },
}

impl fmt::Display for Event {
    /// A line for people: `wave 2 of Sync: 3 tasks`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Started {
                revision, tasks, ..
            } => write!(f, "{tasks} tasks at {revision}"),
            Event::Checking { objects } => write!(f, "checking {objects} objects"),
            Event::Wave { phase, wave, tasks } => {
                write!(f, "wave {wave} of {phase}: {tasks} tasks")
            }
            Event::Object { result } => write!(f, "{}: {}", result.key, result.message),
            Event::Waiting { message, .. } => f.write_str(message),
            Event::HealthChanged { key, health } => write!(f, "{key}: {}", health.status),
            Event::Retrying {
                key,
                error,
                after_ms,
            } => write!(f, "{key}: {error}; again in {after_ms} ms"),
            Event::Finished { phase, message } => write!(f, "{phase}: {message}"),
        }
    }
}
