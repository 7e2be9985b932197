//! The questions that are asked before anything is written.

use std::collections::BTreeSet;

use futures_util::stream::StreamExt;
use gitops_core::Str;

use super::{Run, Stop};
use crate::cluster::{Cluster, ClusterError, at_once};
use crate::plan::{Action, DeletePolicy, order};
use crate::report::{Event, OperationPhase, ResultCode};

impl<C: Cluster> Run<'_, C> {
    /// Asks the server what it thinks of everything that will be written.
    pub(super) async fn check(&self) -> Result<(), Stop> {
        let tasks = &self.plan.tasks;
        let created: BTreeSet<&str> = tasks
            .iter()
            .filter(|task| {
                task.action == Action::Create
                    && task.key.kind == "Namespace"
                    && task.key.group.is_empty()
            })
            .map(|task| task.key.name.as_str())
            .collect();
        let redefined: BTreeSet<Str> = tasks
            .iter()
            .filter(|task| task.action != Action::Unchanged)
            .filter_map(|task| order::defined_kind(task.desired()?))
            .collect();
        let dry_run = self.options.dry_run;
        let mut checked = Vec::new();
        for (index, task) in tasks.iter().enumerate() {
            let kind = ecow::eco_format!("{}/{}", task.key.group, task.key.kind);
            match task.action {
                Action::Prune if dry_run => {
                    self.settle(
                        index,
                        ResultCode::Pruned,
                        OperationPhase::Succeeded,
                        "pruned (dry run)",
                    );
                }
                Action::Unchanged if dry_run => {
                    self.settle(
                        index,
                        ResultCode::Synced,
                        OperationPhase::Succeeded,
                        "unchanged",
                    );
                }
                Action::Create | Action::Update | Action::Hook | Action::Recreate { .. } => {
                    // The server cannot judge what it does not know yet, nor
                    // what takes the place of something that is still there.
                    let in_the_way = task.live.is_some()
                        && (task
                            .delete_policies
                            .contains(&DeletePolicy::BeforeHookCreation)
                            || matches!(task.action, Action::Recreate { .. }));
                    let unknown = task.kind_is_new
                        || redefined.contains(&kind)
                        || created.contains(task.key.namespace.as_str());
                    let sure = self.options.force_conflicts
                        && task
                            .prediction
                            .as_ref()
                            .is_some_and(|found| found.is_exact() && found.refusal.is_none());
                    if sure && !in_the_way && !unknown {
                        if dry_run {
                            let message = format!("{} (predicted)", task.action.name());
                            self.settle(
                                index,
                                ResultCode::Synced,
                                OperationPhase::Succeeded,
                                &message,
                            );
                        }
                    } else if in_the_way || unknown {
                        if dry_run {
                            let message = "not checked: depends on what is not there yet";
                            self.settle(
                                index,
                                ResultCode::Synced,
                                OperationPhase::Succeeded,
                                message,
                            );
                        }
                    } else {
                        checked.push(index);
                    }
                }
                _ => {}
            }
        }
        self.tell(&Event::Checking {
            objects: checked.len(),
        });
        let mut answers = at_once(
            checked
                .into_iter()
                .map(|index| async move { (index, self.write(&tasks[index], true).await) }),
            self.options.concurrency,
        );
        let mut failures = Vec::new();
        while let Some((index, answer)) = answers.next().await {
            match answer {
                Ok(_) if dry_run => {
                    let message = format!("{} (dry run)", tasks[index].action.name());
                    self.settle(
                        index,
                        ResultCode::Synced,
                        OperationPhase::Succeeded,
                        &message,
                    );
                }
                Ok(_) => {}
                // Replacing it will be tried, and may well succeed.
                Err(ClusterError::Invalid { .. }) if tasks[index].options.force => {}
                Err(error) => {
                    self.settle(
                        index,
                        ResultCode::SyncFailed,
                        OperationPhase::Failed,
                        &self.explain(&self.plan.tasks[index].key, &error),
                    );
                    failures.push(index);
                }
            }
            if let Some(stop) = self.overdue("the check of all objects") {
                return Err(stop);
            }
        }
        if failures.is_empty() {
            return Ok(());
        }
        failures.sort_unstable();
        Err(self.stop("one or more objects failed to apply (dry run)", &failures))
    }
}
