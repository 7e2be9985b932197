//! What became of each object, noted and told.

use std::sync::atomic::Ordering;

use gitops_core::{Manifest, ObjectKey};

use super::{Run, Stop, locked};
use crate::cluster::{Cluster, ClusterError};
use crate::report::{Event, ObjectResult, OperationPhase, ResultCode, images};
use crate::secrets::Mask;

impl<C: Cluster> Run<'_, C> {
    /// The end of a sync for the sake of objects that failed. It is an error
    /// rather than a failure if the server was not there to ask.
    pub(super) fn stop(&self, what: &str, failed: &[usize]) -> Stop {
        let phase = match self.gave_up.load(Ordering::Relaxed) {
            true => OperationPhase::Error,
            false => OperationPhase::Failed,
        };
        Stop {
            phase,
            message: self.reasons(what, failed),
        }
    }

    pub(super) fn reasons(&self, what: &str, failed: &[usize]) -> String {
        let results = locked(&self.results);
        let mut messages: Vec<&str> = Vec::new();
        for &index in failed {
            if let Some(result) = &results[index]
                && !messages.contains(&result.message.as_str())
            {
                messages.push(&result.message);
            }
        }
        match messages.is_empty() {
            true => what.to_owned(),
            false => format!("{what}, reason: {}", messages.join(",")),
        }
    }

    /// What a failure says. If it is about a Secret, nothing stays of what the
    /// Secrets of the plan hold: what was sent is hidden already, what is there
    /// is not, and a webhook may know more than one.
    pub(super) fn explain(&self, key: &ObjectKey, error: &ClusterError) -> String {
        let tasks = self.plan.tasks.iter();
        let secrets = tasks.filter(|task| task.key.kind == key.kind && task.key.group == key.group);
        let objects = secrets.flat_map(|task| [task.desired(), task.live()]);
        Mask::of(key, objects.flatten().map(Manifest::object)).hide(error.explain())
    }

    /// Notes what became of an object.
    pub(super) fn settle(
        &self,
        index: usize,
        status: ResultCode,
        phase: OperationPhase,
        message: &str,
    ) {
        let task = &self.plan.tasks[index];
        let result = ObjectResult {
            key: task.key.clone(),
            version: task.version.clone(),
            status,
            message: message.to_owned(),
            hook_type: task.is_hook().then_some(task.phase),
            hook_phase: phase,
            sync_phase: task.phase,
            images: task
                .desired
                .as_ref()
                .or(task.live.as_ref())
                .map(images)
                .unwrap_or_default(),
        };
        locked(&self.results)[index] = Some(result.clone());
        self.tell(&Event::Object { result });
    }

    /// Notes how an object goes on; an empty message leaves the last one.
    pub(super) fn amend(&self, index: usize, phase: OperationPhase, message: &str) {
        let changed = {
            let mut results = locked(&self.results);
            let Some(result) = &mut results[index] else {
                return;
            };
            let same =
                result.hook_phase == phase && (message.is_empty() || result.message == message);
            result.hook_phase = phase;
            if !message.is_empty() {
                message.clone_into(&mut result.message);
            }
            (!same).then(|| result.clone())
        };
        if let Some(result) = changed {
            self.tell(&Event::Object { result });
        }
    }

    pub(super) fn tell(&self, event: &Event) {
        let mut observe = locked(&self.observe);
        (*observe)(event);
    }
}
