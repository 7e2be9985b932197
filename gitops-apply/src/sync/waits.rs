//! Waiting: until objects are healthy, hooks have ended, and what was deleted
//! is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::stream::StreamExt;
use gitops_core::{Gvk, Manifest, ObjectKey, Str};
use tokio::time::Instant;

use super::writes::{is_leaving, uid};
use super::{Run, Stop, locked};
use crate::cluster::{Cluster, ClusterError, Selection, at_once};
use crate::health::extensions::is_established;
use crate::health::{Health, HealthStatus};
use crate::plan::{Action, Task, order};
use crate::report::{Event, OperationPhase};

/// Where an object that is waited for stands.
enum Standing {
    Done(String),
    Failed(String),
    Running(String),
}

impl<C: Cluster> Run<'_, C> {
    /// Waits until objects are healthy and hooks have ended. Returns those
    /// that turned out badly; hooks that still run are waited for even then.
    pub(super) async fn wait(&self, awaited: &[usize]) -> Result<Vec<usize>, Stop> {
        let tasks = &self.plan.tasks;
        let begun = Instant::now();
        let mut running = awaited.to_vec();
        let mut failed: Vec<usize> = Vec::new();
        let mut pause = Duration::from_millis(25);
        let mut said = String::new();
        let mut seen: BTreeMap<usize, Health> = BTreeMap::new();
        // Most objects have no health, or are healthy as they were written.
        running.retain(|&index| {
            let task = &tasks[index];
            let written = locked(&self.written).get(&index).cloned();
            let known = match task.action {
                Action::Unchanged => task.live.clone(),
                _ => written,
            };
            let Some(known) = known else { return true };
            let health = (self.options.health)(&known);
            match self.standing(task, Some(&known), health.as_ref()) {
                Standing::Done(message) => {
                    self.amend(index, OperationPhase::Succeeded, &message);
                    false
                }
                _ => true,
            }
        });
        loop {
            if !failed.is_empty() {
                running.retain(|&index| tasks[index].is_hook());
            }
            if running.is_empty() {
                break;
            }
            let states = match self.look(&running).await {
                Ok(states) => states,
                Err(error) => {
                    return Err(Stop {
                        phase: OperationPhase::Error,
                        message: format!("cannot see how objects do: {}", error.explain()),
                    });
                }
            };
            let mut still = Vec::new();
            for &index in &running {
                let task = &tasks[index];
                let live = states.get(&task.key);
                if let Some(health) = live.and_then(|live| (self.options.health)(live))
                    && seen.get(&index) != Some(&health)
                {
                    self.tell(&Event::HealthChanged {
                        key: task.key.clone(),
                        health: health.clone(),
                    });
                    seen.insert(index, health);
                }
                match self.standing(task, live, seen.get(&index)) {
                    Standing::Done(message) => {
                        self.amend(index, OperationPhase::Succeeded, &message);
                    }
                    Standing::Failed(message) => {
                        self.amend(index, OperationPhase::Failed, &message);
                        failed.push(index);
                    }
                    Standing::Running(message) => {
                        if task.is_hook() {
                            self.amend(index, OperationPhase::Running, &message);
                        }
                        still.push(index);
                    }
                }
            }
            running = still;
            if running.is_empty() {
                break;
            }
            let message = self.waiting_for(&running);
            if message != said {
                self.tell(&Event::Waiting {
                    message: message.clone(),
                    objects: running.len(),
                });
                said = message;
            }
            if let Some(stop) = self.overdue(&said) {
                locked(&self.costs).2 += begun.elapsed();
                self.terminate(&running).await;
                return Err(stop);
            }
            tokio::time::sleep(self.until_deadline(pause)).await;
            pause = (pause * 2).min(self.options.poll);
        }
        locked(&self.costs).2 += begun.elapsed();
        failed.sort_unstable();
        Ok(failed)
    }

    fn standing(&self, task: &Task, live: Option<&Manifest>, health: Option<&Health>) -> Standing {
        let Some(live) = live else {
            let ObjectKey {
                group, kind, name, ..
            } = &task.key;
            return Standing::Failed(format!(
                "Resource {group}/{kind}/{name} is missing, it might have been deleted"
            ));
        };
        let message = || {
            health
                .map(|health| health.message.clone())
                .unwrap_or_default()
        };
        let status = health.map(|health| health.status);
        if task.is_hook() {
            match status {
                None => Standing::Done(format!("{} created", live.name())),
                Some(HealthStatus::Healthy) => Standing::Done(message()),
                Some(HealthStatus::Unknown | HealthStatus::Degraded) => Standing::Failed(message()),
                Some(_) => Standing::Running(message()),
            }
        } else {
            match status {
                None => Standing::Done(String::new()),
                Some(HealthStatus::Healthy) => Standing::Done(message()),
                Some(HealthStatus::Degraded) => Standing::Failed(message()),
                Some(_) => Standing::Running(message()),
            }
        }
    }

    fn waiting_for(&self, running: &[usize]) -> String {
        let task = &self.plan.tasks[running[0]];
        let (what, more) = if task.is_hook() {
            ("completion of hook", "hooks")
        } else {
            ("healthy state of", "resources")
        };
        waiting(what, &task.key, running.len() - 1, more)
    }

    pub(super) async fn wait_until_gone(&self, prunes: &[usize]) -> Result<(), Stop> {
        let tasks = &self.plan.tasks;
        let begun = Instant::now();
        let mut left = prunes.to_vec();
        let mut pause = Duration::from_millis(25);
        let mut said = 0;
        while !left.is_empty() {
            let states = self.look(&left).await.map_err(|error| Stop {
                phase: OperationPhase::Error,
                message: format!("cannot see whether objects are gone: {}", error.explain()),
            })?;
            left.retain(|&index| {
                let task = &tasks[index];
                let was = task.live.as_ref().map(uid);
                let is = states.get(&task.key);
                // One of the same name that came since is not waited for.
                is.is_some_and(|is| is_leaving(is) && was.as_ref() == Some(&uid(is)))
            });
            let Some(&first) = left.first() else { break };
            let message = waiting(
                "deletion of",
                &tasks[first].key,
                left.len() - 1,
                "resources",
            );
            if said != left.len() {
                said = left.len();
                self.tell(&Event::Waiting {
                    message: message.clone(),
                    objects: left.len(),
                });
            }
            if let Some(stop) = self.overdue(&message) {
                return Err(stop);
            }
            tokio::time::sleep(self.until_deadline(pause)).await;
            pause = (pause * 2).min(self.options.poll);
        }
        locked(&self.costs).2 += begun.elapsed();
        Ok(())
    }

    /// Waits until no object has the key; used where one is to be created.
    pub(super) async fn wait_for_absence(&self, key: &ObjectKey) -> Result<(), ClusterError> {
        let mut pause = Duration::from_millis(25);
        loop {
            let found = self
                .patiently("get", key, false, || self.cluster.get(key, ""))
                .await?;
            if found.is_none() {
                return Ok(());
            }
            if self.overdue("").is_some() {
                return Err(ClusterError::Refused {
                    status: 409,
                    message: format!("{key} is still being deleted"),
                });
            }
            tokio::time::sleep(self.until_deadline(pause)).await;
            pause = (pause * 2).min(self.options.poll);
        }
    }

    /// Waits until objects of a definition can be written.
    pub(super) async fn wait_for_definition(
        &self,
        definition: &Manifest,
    ) -> Result<(), ClusterError> {
        let key = definition.key();
        let until = Instant::now() + self.options.definition_timeout;
        let mut definition = definition.clone();
        while !is_established(&definition) {
            if Instant::now() >= until {
                return Err(ClusterError::Refused {
                    status: 504,
                    message: format!(
                        "{key} is not established after {:?}",
                        self.options.definition_timeout
                    ),
                });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            let found = self
                .patiently("get", key, false, || self.cluster.get(key, ""))
                .await?;
            match found {
                Some(found) => definition = found,
                None => {
                    return Err(ClusterError::NotFound {
                        message: format!("{key} was deleted while it was waited for"),
                        key: key.clone(),
                    });
                }
            }
        }
        if let Some(kind) = order::defined_kind(&definition) {
            locked(&self.defined).insert(kind);
        }
        self.patiently("discover", key, false, || self.cluster.discover())
            .await?;
        Ok(())
    }

    /// The live objects of tasks: by listing where there are many of a kind,
    /// by name where there are few.
    pub(super) async fn look(
        &self,
        tasks: &[usize],
    ) -> Result<BTreeMap<ObjectKey, Manifest>, ClusterError> {
        const FEW: usize = 4;
        let mut kinds: BTreeMap<(Gvk, Str), Vec<&ObjectKey>> = BTreeMap::new();
        for &index in tasks {
            let task = &self.plan.tasks[index];
            kinds
                .entry((task.gvk(), task.key.namespace.clone()))
                .or_default()
                .push(&task.key);
        }
        let mut found = BTreeMap::new();
        let mut single = Vec::new();
        for ((gvk, namespace), keys) in kinds {
            if keys.len() <= FEW {
                single.extend(keys.into_iter().map(|key| (key, gvk.version.clone())));
                continue;
            }
            let wanted: BTreeSet<&ObjectKey> = keys.iter().copied().collect();
            let selection = Selection::within(gvk, namespace);
            let listing = self
                .patiently("list", keys[0], false, || self.cluster.list(&selection))
                .await?;
            for object in listing.items {
                if wanted.contains(object.key()) {
                    found.insert(object.key().clone(), object);
                }
            }
        }
        let mut answers = at_once(
            single.into_iter().map(|(key, version)| async move {
                self.patiently("get", key, false, || self.cluster.get(key, &version))
                    .await
            }),
            self.options.concurrency,
        );
        while let Some(answer) = answers.next().await {
            if let Some(object) = answer? {
                found.insert(object.key().clone(), object);
            }
        }
        Ok(found)
    }

    pub(super) fn until_deadline(&self, pause: Duration) -> Duration {
        match self.deadline {
            Some(deadline) => pause.min(deadline.saturating_duration_since(Instant::now())),
            None => pause,
        }
    }

    pub(super) fn overdue(&self, doing: &str) -> Option<Stop> {
        let overdue = self
            .deadline
            .is_some_and(|deadline| Instant::now() >= deadline);
        overdue.then(|| {
            let dash = if doing.is_empty() { "" } else { ": " };
            Stop::failed(format!(
                "operation is terminating due to timeout{dash}{doing}"
            ))
        })
    }
}

fn waiting(what: &str, key: &ObjectKey, more: usize, those: &str) -> String {
    let ObjectKey {
        group, kind, name, ..
    } = key;
    let mut message = format!("waiting for {what} {group}/{kind}/{name}");
    if more > 0 {
        message.push_str(&format!(" and {more} more {those}"));
    }
    message
}
