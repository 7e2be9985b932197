//! The steps of a sync: a wave of a phase, and what follows a failure.

use std::sync::atomic::Ordering;

use futures_util::stream::StreamExt;

use super::{Run, Stop, locked};
use crate::cluster::{Cluster, at_once};
use crate::plan::{DeletePolicy, Phase};
use crate::report::{Event, OperationPhase, ResultCode};

impl<C: Cluster> Run<'_, C> {
    /// One wave of one phase.
    pub(super) async fn step(&self, step: &[usize], is_last: bool) -> Result<(), Stop> {
        let tasks = &self.plan.tasks;
        self.tell(&Event::Wave {
            phase: tasks[step[0]].phase,
            wave: tasks[step[0]].wave,
            tasks: step.len(),
        });
        let (prunes, writes): (Vec<usize>, Vec<usize>) =
            step.iter().partition(|&&index| tasks[index].is_prune());
        let mut failed = Vec::new();
        if self.plan.prune_in_waves {
            failed = self.prune(&prunes).await;
        }
        if failed.is_empty() {
            failed = self.clear_hooks(&writes).await;
        }
        if failed.is_empty() {
            failed = self.apply_all(&writes).await;
        }
        if failed.is_empty() && !self.plan.prune_in_waves {
            failed = self.prune_in_turn(&prunes, tasks[step[0]].wave).await?;
        }
        if !failed.is_empty() {
            return Err(self.stop("one or more objects failed to apply", &failed));
        }
        if let Some(stop) = self.overdue("applying") {
            return Err(stop);
        }
        let hooks: Vec<usize> = writes
            .iter()
            .copied()
            .filter(|&index| tasks[index].is_hook())
            .collect();
        let mut awaited = if is_last && !self.options.wait_for_last {
            hooks.clone()
        } else {
            writes
        };
        awaited.sort_unstable();
        let waited = self.wait(&awaited).await;
        if waited.is_ok() {
            self.release(&hooks).await;
        }
        let failed = waited?;
        if !failed.is_empty() {
            return Err(self.stop(
                "one or more synchronization tasks completed unsuccessfully",
                &failed,
            ));
        }
        if !is_last || self.options.wait_for_last {
            self.wait_until_gone(&prunes).await?;
        }
        Ok(())
    }

    /// Deletes what is declared no more, each wave once the one before is gone.
    /// `begun` is the wave that has been told of.
    async fn prune_in_turn(&self, prunes: &[usize], begun: i64) -> Result<Vec<usize>, Stop> {
        let tasks = &self.plan.tasks;
        let mut before: &[usize] = &[];
        for wave in prunes.chunk_by(|&a, &b| tasks[a].wave == tasks[b].wave) {
            let first = &tasks[wave[0]];
            if first.wave != begun {
                self.tell(&Event::Wave {
                    phase: first.phase,
                    wave: first.wave,
                    tasks: wave.len(),
                });
            }
            self.wait_until_gone(before).await?;
            let failed = self.prune(wave).await;
            if !failed.is_empty() {
                return Ok(failed);
            }
            before = wave;
        }
        Ok(Vec::new())
    }

    /// Deletes what is declared no more. Returns what could not be deleted.
    pub(super) async fn prune(&self, prunes: &[usize]) -> Vec<usize> {
        let mut answers = at_once(
            prunes.iter().map(|&index| async move {
                (index, self.prune_one(&self.plan.tasks[index]).await)
            }),
            self.options.concurrency,
        );
        let mut failed = Vec::new();
        while let Some((index, answer)) = answers.next().await {
            let (code, phase, message) = match answer {
                Ok(None) => (
                    ResultCode::Pruned,
                    OperationPhase::Succeeded,
                    "pruned".to_owned(),
                ),
                Ok(Some(why_not)) => (
                    ResultCode::PruneSkipped,
                    OperationPhase::Succeeded,
                    why_not.to_owned(),
                ),
                Err(error) => {
                    failed.push(index);
                    (
                        ResultCode::SyncFailed,
                        OperationPhase::Failed,
                        self.explain(&self.plan.tasks[index].key, &error),
                    )
                }
            };
            self.settle(index, code, phase, &message);
        }
        failed.sort_unstable();
        failed
    }

    /// Deletes hooks of earlier syncs that are in the way of new ones.
    pub(super) async fn clear_hooks(&self, writes: &[usize]) -> Vec<usize> {
        let old = writes.iter().copied().filter(|&index| {
            let policies = &self.plan.tasks[index].delete_policies;
            policies.contains(&DeletePolicy::BeforeHookCreation)
        });
        let mut answers = at_once(
            old.map(|index| async move { (index, self.clear(&self.plan.tasks[index]).await) }),
            self.options.concurrency,
        );
        let mut failed = Vec::new();
        while let Some((index, answer)) = answers.next().await {
            if let Err(error) = answer {
                let message = format!(
                    "failed to delete resource: {}",
                    self.explain(&self.plan.tasks[index].key, &error)
                );
                self.settle(
                    index,
                    ResultCode::SyncFailed,
                    OperationPhase::Error,
                    &message,
                );
                failed.push(index);
            }
        }
        failed.sort_unstable();
        failed
    }

    /// Applies kind by kind, the objects of a kind at once. A failure does not
    /// keep later kinds of the wave from being applied.
    pub(super) async fn apply_all(&self, writes: &[usize]) -> Vec<usize> {
        let tasks = &self.plan.tasks;
        let mut failed = Vec::new();
        for group in writes.chunk_by(|&a, &b| tasks[a].key.kind == tasks[b].key.kind) {
            if self.gave_up.load(Ordering::Relaxed) {
                break;
            }
            let mut answers = at_once(
                group
                    .iter()
                    .map(|&index| async move { (index, self.apply_one(index).await) }),
                self.options.concurrency,
            );
            while let Some((index, answer)) = answers.next().await {
                match answer {
                    Ok(message) => {
                        self.settle(index, ResultCode::Synced, OperationPhase::Running, &message);
                    }
                    Err(error) => {
                        let message = self.explain(&self.plan.tasks[index].key, &error);
                        self.settle(
                            index,
                            ResultCode::SyncFailed,
                            OperationPhase::Failed,
                            &message,
                        );
                        failed.push(index);
                    }
                }
            }
        }
        failed.sort_unstable();
        failed
    }

    /// Ends a sync that failed.
    pub(super) async fn fail(&self, stop: Stop) -> Stop {
        let tasks = &self.plan.tasks;
        // Hooks of the wave that failed are let go, whether they ended or not.
        let hooks: Vec<usize> = locked(&self.results)
            .iter()
            .enumerate()
            .filter(|(index, result)| result.is_some() && tasks[*index].is_hook())
            .map(|(index, _)| index)
            .collect();
        if stop.phase == OperationPhase::Error {
            // The server is not there; asking it once more for each hook would
            // only take longer.
            return stop;
        }
        self.release(&hooks).await;
        self.delete_hooks(DeletePolicy::HookFailed).await;
        let late: Vec<usize> = (0..tasks.len())
            .filter(|&index| tasks[index].phase == Phase::SyncFail && tasks[index].is_hook())
            .collect();
        if late.is_empty() {
            return stop;
        }
        self.tell(&Event::Wave {
            phase: Phase::SyncFail,
            wave: tasks[late[0]].wave,
            tasks: late.len(),
        });
        let mut failed = self.clear_hooks(&late).await;
        if failed.is_empty() {
            failed = self.apply_all(&late).await;
        }
        if failed.is_empty() {
            match self.wait(&late).await {
                Ok(unsuccessful) => failed = unsuccessful,
                Err(_) => failed.clone_from(&late),
            }
            self.release(&late).await;
        }
        if failed.is_empty() {
            return stop;
        }
        Stop {
            phase: stop.phase,
            message: format!(
                "{}\n{}",
                stop.message,
                self.reasons("one or more SyncFail hooks failed", &failed)
            ),
        }
    }
}
