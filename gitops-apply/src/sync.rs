//! Carries a plan out.
//!
//! Follows `gitops-engine/pkg/sync/sync_context.go`. There, a step is taken
//! each time somebody calls; here, one future goes through the steps:
//!
//! 1. refuse what the plan refuses;
//! 2. if there is more than one step, ask the server whether it would accept
//!    what the plan is [not sure of](crate::plan::Task::certainty) (a dry run),
//!    so that a typing error in the last wave is found before the first;
//! 3. for each phase and wave: delete what is declared no more, delete old
//!    hooks, apply kind by kind; then wait until objects are healthy, hooks
//!    have ended and deleted objects are gone;
//! 4. delete hooks as they wish; if anything failed, run the SyncFail hooks.
//!
//! The last wave is not waited for unless it has hooks or
//! [`wait_for_last`](SyncOptions::wait_for_last) is set: a sync without waves
//! and hooks ends once everything is applied.
//!
//! A server that goes away for a while is waited for. All requests can be
//! made again: applies say what shall be, and deletes name the uid.
//!
//! Dropping the future stops the sync where it is. Hooks then keep their
//! finalizer; the next sync removes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::StreamExt;
use gitops_core::{Gvk, Manifest, Map, ObjectKey, Str, Value, inventory};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::cluster::{Cluster, ClusterError, Deletion, Selection, Write, at_once};
use crate::health::extensions::is_established;
use crate::health::{self, HOOK_FINALIZER, Health, HealthCheck, HealthStatus};
use crate::plan::{Action, DeletePolicy, Phase, Plan, SkipReason, Task, migrate, order};
use crate::report::{
    Costs, Event, ObjectResult, OperationPhase, Requests, ResultCode, SyncReport, images,
};

/// How a plan is carried out.
#[derive(Clone, Debug)]
pub struct SyncOptions {
    /// Whether fields are taken from other managers that own them; otherwise
    /// an object with such fields fails.
    pub force_conflicts: bool,
    /// Whether nothing is done, only asked.
    pub dry_run: bool,
    /// Whether the server is asked first if it would accept everything.
    pub check_first: bool,
    /// How many requests are made at once.
    pub concurrency: usize,
    /// Whether the last wave is waited for, too.
    pub wait_for_last: bool,
    /// How long the whole sync may take; without limit if absent.
    pub timeout: Option<Duration>,
    /// How long a server that does not answer is waited for.
    pub patience: Duration,
    /// A pause after each wave but the last, for controllers that take notice
    /// late. The built-in health checks do not need it; Argo CD pauses for 2 s.
    pub wave_delay: Duration,
    /// How long a new CustomResourceDefinition may take to be served.
    pub definition_timeout: Duration,
    /// The longest pause between two looks at what is waited for.
    pub poll: Duration,
    /// What judges objects.
    pub health: HealthCheck,
    /// The time at which the sync begins, for the report.
    pub now: Timestamp,
}

impl Default for SyncOptions {
    /// A real sync, which asks first, takes what it
    /// needs from other managers, and has all the time in the world.
    fn default() -> Self {
        SyncOptions {
            force_conflicts: true,
            dry_run: false,
            check_first: true,
            concurrency: 16,
            wait_for_last: false,
            timeout: None,
            patience: Duration::from_secs(120),
            wave_delay: Duration::ZERO,
            definition_timeout: Duration::from_secs(30),
            poll: Duration::from_secs(1),
            health: health::health,
            now: Timestamp::UNIX_EPOCH,
        }
    }
}

/// Carries `plan` out on `cluster`, telling `observe` what happens meanwhile.
///
/// Never fails as such: what went wrong is in the report, and so is what had
/// been done by then.
pub async fn sync<C: Cluster>(
    plan: &Plan,
    cluster: &C,
    options: &SyncOptions,
    mut observe: impl FnMut(&Event) + Send,
) -> SyncReport {
    let begun = Instant::now();
    let run = Run {
        plan,
        cluster,
        options,
        observe: Mutex::new(&mut observe),
        results: Mutex::new(vec![None; plan.tasks.len()]),
        written: Mutex::default(),
        costs: Mutex::default(),
        defined: Mutex::default(),
        deadline: options.timeout.map(|timeout| begun + timeout),
        gave_up: AtomicBool::new(false),
    };
    run.tell(&Event::Started {
        app: plan.app.clone(),
        revision: plan.revision.clone(),
        tasks: plan.tasks.len(),
    });
    let (phase, message) = match run.all().await {
        Ok(message) => (OperationPhase::Succeeded, message),
        Err(Stop { phase, message }) => (phase, message),
    };
    run.tell(&Event::Finished {
        phase,
        message: message.clone(),
    });
    let (requests, retries, waited) = locked(&run.costs).clone();
    let requests = requests.into_iter().map(|(request, count)| Requests {
        verb: request.verb.into(),
        kind: request.kind,
        status: request.status,
        dry_run: request.dry_run,
        count,
    });
    let results = locked(&run.results).iter().flatten().cloned().collect();
    SyncReport {
        app: plan.app.clone(),
        revision: plan.revision.clone(),
        phase,
        message,
        results,
        started_at: options.now,
        finished_at: options
            .now
            .checked_add(begun.elapsed())
            .unwrap_or(Timestamp::MAX),
        dry_run: options.dry_run,
        costs: Costs {
            requests: requests.collect(),
            retries,
            waited_ms: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
        },
    }
}

/// Why a sync ends early.
struct Stop {
    phase: OperationPhase,
    message: String,
}

impl Stop {
    fn failed(message: impl Into<String>) -> Self {
        Stop {
            phase: OperationPhase::Failed,
            message: message.into(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Request {
    verb: &'static str,
    kind: Str,
    status: u16,
    dry_run: bool,
}

type Counted = (BTreeMap<Request, u64>, u64, Duration);

struct Run<'a, C> {
    plan: &'a Plan,
    cluster: &'a C,
    options: &'a SyncOptions,
    observe: Mutex<&'a mut (dyn FnMut(&Event) + Send)>,
    /// One place for each task; empty until its turn has come.
    results: Mutex<Vec<Option<ObjectResult>>>,
    /// What the server answered to writes, so that what needs no waiting is
    /// not looked at again.
    written: Mutex<BTreeMap<usize, Manifest>>,
    costs: Mutex<Counted>,
    /// The group kinds whose definitions this sync has applied.
    defined: Mutex<BTreeSet<Str>>,
    deadline: Option<Instant>,
    /// Set once the server has been waited for in vain.
    gave_up: AtomicBool,
}

/// A panic of the observer leaves the data behind the lock as whole as it was.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where an object that is waited for stands.
enum Standing {
    Done(String),
    Failed(String),
    Running(String),
}

impl<C: Cluster> Run<'_, C> {
    async fn all(&self) -> Result<String, Stop> {
        if !self.plan.refusals.is_empty() {
            let mut reasons: Vec<String> = Vec::new();
            for refusal in &self.plan.refusals {
                let reason = refusal.to_string();
                if !reasons.contains(&reason) {
                    reasons.push(reason);
                }
            }
            return Err(Stop::failed(format!(
                "one or more synchronization tasks are not valid: {}",
                reasons.join("; ")
            )));
        }
        // Where everything is applied in one go, the apply is the question:
        // nothing is done in an earlier wave that a refusal could leave half
        // finished.
        let mut steps: Vec<(Phase, i64)> = Vec::new();
        for task in self.plan.tasks.iter().filter(|task| acts(task)) {
            let step = (task.phase, task.wave);
            if steps.last() != Some(&step) {
                steps.push(step);
            }
        }
        let deletes = self
            .plan
            .tasks
            .iter()
            .any(|task| task.action == Action::Prune);
        let in_one_go = steps.len() <= 1 && !deletes;
        if self.options.dry_run || (self.options.check_first && !in_one_go) {
            self.check().await?;
        }
        if self.options.dry_run {
            return Ok("successfully synced (dry run)".to_owned());
        }
        let steps = self.steps();
        let mut done = "successfully synced (no more tasks)";
        for (at, step) in steps.iter().enumerate() {
            let is_last = at + 1 == steps.len();
            if let Err(stop) = self.step(step, is_last).await {
                return Err(self.fail(stop).await);
            }
            let hooks = step.iter().any(|&index| self.plan.tasks[index].is_hook());
            if is_last && !hooks {
                done = "successfully synced (all tasks run)";
            }
            if !is_last && !self.options.wave_delay.is_zero() {
                tokio::time::sleep(self.options.wave_delay).await;
            }
        }
        self.delete_hooks(DeletePolicy::HookSucceeded).await;
        Ok(done.to_owned())
    }

    /// The tasks that do something, by phase and wave, without those for a
    /// failure.
    fn steps(&self) -> Vec<Vec<usize>> {
        let mut steps: Vec<((Phase, i64), Vec<usize>)> = Vec::new();
        for (index, task) in self.plan.tasks.iter().enumerate() {
            let is_idle = match task.action {
                Action::Skip { reason } => {
                    if matches!(
                        reason,
                        SkipReason::RequiresPruning
                            | SkipReason::NoPrune
                            | SkipReason::Kept
                            | SkipReason::Incomplete
                            | SkipReason::Protected
                            | SkipReason::Claimed
                            | SkipReason::NotRecorded
                    ) {
                        self.settle(
                            index,
                            ResultCode::PruneSkipped,
                            OperationPhase::Succeeded,
                            &reason.to_string(),
                        );
                    }
                    true
                }
                Action::AwaitApproval => {
                    self.settle(
                        index,
                        ResultCode::PruneSkipped,
                        OperationPhase::Running,
                        "waiting for pruning confirmation",
                    );
                    true
                }
                _ => false,
            };
            if is_idle || task.phase == Phase::SyncFail {
                continue;
            }
            let place = (task.phase, task.wave);
            match steps.last_mut() {
                Some((have, step)) if *have == place => step.push(index),
                _ => steps.push((place, vec![index])),
            }
        }
        steps.into_iter().map(|(_, step)| step).collect()
    }

    /// Asks the server what it thinks of everything that will be written.
    async fn check(&self) -> Result<(), Stop> {
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
                        &error.explain(),
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

    /// One wave of one phase.
    async fn step(&self, step: &[usize], is_last: bool) -> Result<(), Stop> {
        let tasks = &self.plan.tasks;
        self.tell(&Event::Wave {
            phase: tasks[step[0]].phase,
            wave: tasks[step[0]].wave,
            tasks: step.len(),
        });
        let (prunes, writes): (Vec<usize>, Vec<usize>) =
            step.iter().partition(|&&index| tasks[index].is_prune());
        let mut failed = self.prune(&prunes).await;
        if failed.is_empty() {
            failed = self.clear_hooks(&writes).await;
        }
        if failed.is_empty() {
            failed = self.apply_all(&writes).await;
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

    /// Deletes what is declared no more. Returns what could not be deleted.
    async fn prune(&self, prunes: &[usize]) -> Vec<usize> {
        let mut answers = at_once(
            prunes.iter().map(|&index| async move {
                let task = &self.plan.tasks[index];
                let live = task.live.as_ref();
                let leaving = live.is_some_and(is_leaving);
                let uid = live.map(uid).unwrap_or_default();
                let answer = match leaving {
                    true => Ok(()),
                    false => self.delete(&task.key, uid).await,
                };
                (index, answer)
            }),
            self.options.concurrency,
        );
        let mut failed = Vec::new();
        while let Some((index, answer)) = answers.next().await {
            let (code, phase, message) = match answer {
                Ok(()) | Err(ClusterError::NotFound { .. }) => (
                    ResultCode::Pruned,
                    OperationPhase::Succeeded,
                    "pruned".to_owned(),
                ),
                Err(ClusterError::Conflict { .. }) => (
                    ResultCode::PruneSkipped,
                    OperationPhase::Succeeded,
                    "ignored (another object has taken its place)".to_owned(),
                ),
                Err(error) => {
                    failed.push(index);
                    (
                        ResultCode::SyncFailed,
                        OperationPhase::Failed,
                        error.explain(),
                    )
                }
            };
            self.settle(index, code, phase, &message);
        }
        failed.sort_unstable();
        failed
    }

    /// Deletes hooks of earlier syncs that are in the way of new ones.
    async fn clear_hooks(&self, writes: &[usize]) -> Vec<usize> {
        let old = writes.iter().copied().filter(|&index| {
            let policies = &self.plan.tasks[index].delete_policies;
            policies.contains(&DeletePolicy::BeforeHookCreation)
        });
        let mut answers = at_once(
            old.map(|index| async move { (index, self.remove(&self.plan.tasks[index]).await) }),
            self.options.concurrency,
        );
        let mut failed = Vec::new();
        while let Some((index, answer)) = answers.next().await {
            if let Err(error) = answer {
                let message = format!("failed to delete resource: {}", error.explain());
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
    async fn apply_all(&self, writes: &[usize]) -> Vec<usize> {
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
                        let message = error.explain();
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

    /// Applies one object, and does what its kind needs beside it.
    async fn apply_one(&self, index: usize) -> Result<String, ClusterError> {
        let task = &self.plan.tasks[index];
        let name = {
            let kind = task.key.kind.to_lowercase();
            let dot = if task.key.group.is_empty() { "" } else { "." };
            format!("{kind}{dot}{}/{}", task.key.group, task.key.name)
        };
        if task.action == Action::Unchanged {
            return Ok(format!("{name} unchanged"));
        }
        let recreate = matches!(task.action, Action::Recreate { .. });
        if recreate {
            self.remove(task).await?;
        }
        self.migrate(task).await?;
        let mut answer = self.write_known(task).await;
        if let Err(ClusterError::Invalid { .. }) = &answer
            && task.options.force
            && !recreate
            && task.live.is_some()
        {
            self.remove(task).await?;
            answer = self.write_known(task).await;
        }
        let mut object = answer?;
        if is_leaving(&object) && !task.is_hook() {
            // What is on its way out still takes writes, and loses them.
            self.wait_for_absence(&task.key).await?;
            object = self.write_known(task).await?;
        }
        if inventory::is_definition(&object) {
            self.wait_for_definition(&object).await?;
        }
        let before = task.live.as_ref().map(resource_version);
        let after = resource_version(&object).to_owned();
        locked(&self.written).insert(index, object);
        Ok(match before {
            _ if recreate => format!("{name} recreated"),
            None => format!("{name} created"),
            Some(before) if before == after => format!("{name} unchanged"),
            Some(_) => format!("{name} configured"),
        })
    }

    /// Takes over the fields that a client applied earlier, so that they go
    /// when they are declared no more.
    async fn migrate(&self, task: &Task) -> Result<(), ClusterError> {
        const RACES: usize = 5;
        let from = &task.options.migrate_from;
        let planned = task.live.as_ref();
        let planned = planned.and_then(|live| migrate::migrated(live, from, &self.plan.manager));
        if planned.is_none() || task.options.replace {
            return Ok(());
        }
        for _ in 0..RACES {
            let found = self
                .patiently("get", &task.key, false, || {
                    self.cluster.get(&task.key, &task.version)
                })
                .await?;
            let patch = found.and_then(|live| migrate::patch(&live, from, &self.plan.manager));
            let Some(patch) = patch else { return Ok(()) };
            let write = Write::by(self.plan.manager.clone());
            let answer = self
                .patiently("patch", &task.key, false, || {
                    self.cluster.patch(&task.key, &patch, &write)
                })
                .await;
            match answer {
                Ok(_) => return Ok(()),
                Err(ClusterError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes an object whose kind may be so new that not every part of the
    /// server knows it.
    async fn write_known(&self, task: &Task) -> Result<Manifest, ClusterError> {
        let kind = ecow::eco_format!("{}/{}", task.key.group, task.key.kind);
        let until = Instant::now() + self.options.definition_timeout;
        loop {
            let answer = self.write(task, false).await;
            let is_new = locked(&self.defined).contains(&kind);
            match &answer {
                Err(ClusterError::UnknownKind { .. }) if is_new && Instant::now() < until => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    self.patiently("discover", &task.key, false, || self.cluster.discover())
                        .await?;
                }
                _ => return answer,
            }
        }
    }

    /// One write request, as the object's options want it.
    async fn write(&self, task: &Task, dry_run: bool) -> Result<Manifest, ClusterError> {
        let Some(desired) = task.desired() else {
            unreachable!("only tasks with a desired state are written");
        };
        let write = Write {
            manager: self.plan.manager.clone(),
            force: self.options.force_conflicts,
            dry_run,
            validate: task.options.validate,
        };
        if !task.options.replace {
            return self
                .patiently("apply", &task.key, dry_run, || {
                    self.cluster.apply(desired, &write)
                })
                .await;
        }
        let found = self
            .patiently("get", &task.key, dry_run, || {
                self.cluster.get(&task.key, &task.version)
            })
            .await?;
        let Some(found) = found else {
            let created = self
                .patiently("create", &task.key, dry_run, || {
                    self.cluster.create(desired, &write)
                })
                .await;
            // Whoever created it, an earlier attempt of ours most likely: it
            // is to be replaced.
            return match created {
                Err(ClusterError::AlreadyExists { .. }) => {
                    self.patiently("replace", &task.key, dry_run, || {
                        self.cluster.replace(desired, &write)
                    })
                    .await
                }
                other => other,
            };
        };
        let mut replacement = desired.clone();
        let pinned = replacement.edit(|object| {
            if let Some(Value::Map(metadata)) =
                object.as_map_mut().and_then(|map| map.get_mut("metadata"))
            {
                metadata.insert("resourceVersion", resource_version(&found));
            }
        });
        pinned.expect("a version does not make an object less of one");
        self.patiently("replace", &task.key, dry_run, || {
            self.cluster.replace(&replacement, &write)
        })
        .await
    }

    /// Deletes an object by its key and waits until it is gone; our finalizer
    /// must not keep it.
    async fn remove(&self, task: &Task) -> Result<(), ClusterError> {
        let found = self
            .patiently("get", &task.key, false, || {
                self.cluster.get(&task.key, &task.version)
            })
            .await;
        let found = match found {
            Ok(Some(found)) => found,
            Ok(None) | Err(ClusterError::UnknownKind { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        self.drop_finalizer(&found).await?;
        if !is_leaving(&found) {
            match self.delete(&task.key, uid(&found)).await {
                Ok(()) | Err(ClusterError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.wait_for_absence(&task.key).await
    }

    async fn delete(&self, key: &ObjectKey, uid: Str) -> Result<(), ClusterError> {
        let deletion = Deletion {
            propagation: self.plan.propagation,
            uid,
            dry_run: false,
        };
        self.patiently("delete", key, false, || self.cluster.delete(key, &deletion))
            .await
    }

    async fn drop_finalizer(&self, object: &Manifest) -> Result<(), ClusterError> {
        let mut object = object.clone();
        while health::has_hook_finalizer(&object) {
            let kept = object
                .at(&["metadata", "finalizers"])
                .and_then(Value::as_list)
                .unwrap_or_default()
                .iter()
                .filter(|name| name.as_str() != Some(HOOK_FINALIZER));
            let metadata = Map::from_iter([
                ("finalizers", Value::from_iter(kept.cloned())),
                ("resourceVersion", resource_version(&object).into()),
            ]);
            let patch = Value::from(Map::from_iter([("metadata", metadata)]));
            let write = Write::by(self.plan.manager.clone());
            let key = object.key().clone();
            let answer = self
                .patiently("patch", &key, false, || {
                    self.cluster.patch(&key, &patch, &write)
                })
                .await;
            match answer {
                Ok(_) | Err(ClusterError::NotFound { .. }) => return Ok(()),
                // Its status changes while it runs; look again.
                Err(ClusterError::Conflict { .. }) => {
                    let again = self
                        .patiently("get", &key, false, || self.cluster.get(&key, ""))
                        .await?;
                    match again {
                        Some(again) => object = again,
                        None => return Ok(()),
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Lets hooks go that have ended. What fails here does not fail the sync:
    /// the next one tries again.
    async fn release(&self, hooks: &[usize]) {
        for &index in hooks {
            let task = &self.plan.tasks[index];
            let found = self
                .patiently("get", &task.key, false, || {
                    self.cluster.get(&task.key, &task.version)
                })
                .await;
            let answer = match found {
                Ok(Some(found)) => self.drop_finalizer(&found).await,
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = answer {
                let message = format!("Failed to remove hook finalizer: {}", error.explain());
                self.amend(index, OperationPhase::Error, &message);
            }
        }
    }

    /// Deletes the hooks of this sync that want to go now.
    async fn delete_hooks(&self, policy: DeletePolicy) {
        let created: Vec<usize> = locked(&self.results)
            .iter()
            .enumerate()
            .filter(|(index, result)| {
                let task = &self.plan.tasks[*index];
                let created = result
                    .as_ref()
                    .is_some_and(|result| result.status == ResultCode::Synced);
                created && task.is_hook() && task.delete_policies.contains(&policy)
            })
            .map(|(index, _)| index)
            .collect();
        for index in created {
            let key = &self.plan.tasks[index].key;
            match self.delete(key, Str::new()).await {
                Ok(()) | Err(ClusterError::NotFound { .. }) => {}
                Err(error) => {
                    let message = format!("failed to delete resource: {}", error.explain());
                    self.amend(index, OperationPhase::Error, &message);
                }
            }
        }
    }

    /// Ends a sync that failed.
    async fn fail(&self, stop: Stop) -> Stop {
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

    /// Waits until objects are healthy and hooks have ended. Returns those
    /// that turned out badly; hooks that still run are waited for even then.
    async fn wait(&self, awaited: &[usize]) -> Result<Vec<usize>, Stop> {
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

    /// Hooks that run are stopped when the time is over.
    async fn terminate(&self, running: &[usize]) {
        for &index in running {
            let task = &self.plan.tasks[index];
            if !task.is_hook() {
                continue;
            }
            self.release(&[index]).await;
            match self.delete(&task.key, Str::new()).await {
                Ok(()) | Err(ClusterError::NotFound { .. }) => {
                    self.amend(index, OperationPhase::Succeeded, "Deleted");
                }
                Err(error) => {
                    let message = format!("Failed to delete: {}", error.explain());
                    self.amend(index, OperationPhase::Failed, &message);
                }
            }
        }
    }

    async fn wait_until_gone(&self, prunes: &[usize]) -> Result<(), Stop> {
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
    async fn wait_for_absence(&self, key: &ObjectKey) -> Result<(), ClusterError> {
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
    async fn wait_for_definition(&self, definition: &Manifest) -> Result<(), ClusterError> {
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
    async fn look(&self, tasks: &[usize]) -> Result<BTreeMap<ObjectKey, Manifest>, ClusterError> {
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

    /// Makes a request until it gets an answer that will not change by asking
    /// again, or patience ends.
    async fn patiently<T, F: Future<Output = Result<T, ClusterError>>>(
        &self,
        verb: &'static str,
        key: &ObjectKey,
        dry_run: bool,
        request: impl Fn() -> F,
    ) -> Result<T, ClusterError> {
        const RACES: u32 = 5;
        let mut pause = Duration::from_millis(200);
        let mut first_failure = None;
        let mut races = 0;
        loop {
            let answer = request().await;
            let status = answer.as_ref().map_or_else(http_status, |_| 200);
            *locked(&self.costs)
                .0
                .entry(Request {
                    verb,
                    kind: key.kind.clone(),
                    status,
                    dry_run,
                })
                .or_default() += 1;
            let error = match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let again = match &error {
                // Somebody else wrote at the same moment.
                ClusterError::Conflict { fields, .. } if fields.is_empty() && verb == "apply" => {
                    races += 1;
                    races < RACES
                }
                // A server that is starting knows neither roles nor extensions
                // for a moment.
                ClusterError::Forbidden { .. }
                | ClusterError::Unauthorized { .. }
                | ClusterError::UnknownKind { .. } => first_failure.is_some(),
                error => error.is_transient(),
            };
            let now = Instant::now();
            let since = *first_failure.get_or_insert(now);
            let wait = error.retry_after().unwrap_or_default().max(pause);
            let too_late = now + wait > since + self.options.patience
                || self.deadline.is_some_and(|deadline| now + wait > deadline);
            if !again || too_late {
                if again {
                    self.gave_up.store(true, Ordering::Relaxed);
                }
                return Err(error);
            }
            locked(&self.costs).1 += 1;
            self.tell(&Event::Retrying {
                key: key.clone(),
                error: error.explain(),
                after_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            });
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    fn until_deadline(&self, pause: Duration) -> Duration {
        match self.deadline {
            Some(deadline) => pause.min(deadline.saturating_duration_since(Instant::now())),
            None => pause,
        }
    }

    fn overdue(&self, doing: &str) -> Option<Stop> {
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

    /// The end of a sync for the sake of objects that failed. It is an error
    /// rather than a failure if the server was not there to ask.
    fn stop(&self, what: &str, failed: &[usize]) -> Stop {
        let phase = match self.gave_up.load(Ordering::Relaxed) {
            true => OperationPhase::Error,
            false => OperationPhase::Failed,
        };
        Stop {
            phase,
            message: self.reasons(what, failed),
        }
    }

    fn reasons(&self, what: &str, failed: &[usize]) -> String {
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

    /// Notes what became of an object.
    fn settle(&self, index: usize, status: ResultCode, phase: OperationPhase, message: &str) {
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
    fn amend(&self, index: usize, phase: OperationPhase, message: &str) {
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

    fn tell(&self, event: &Event) {
        let mut observe = locked(&self.observe);
        (*observe)(event);
    }
}

/// Whether anything is written or deleted for a task.
fn acts(task: &Task) -> bool {
    !matches!(
        task.action,
        Action::Unchanged | Action::AwaitApproval | Action::Skip { .. }
    )
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

fn is_leaving(object: &Manifest) -> bool {
    object.at(&["metadata", "deletionTimestamp"]).is_some()
}

fn uid(object: &Manifest) -> Str {
    let uid = object.at(&["metadata", "uid"]).and_then(Value::as_str);
    uid.unwrap_or_default().into()
}

fn resource_version(object: &Manifest) -> &str {
    object
        .at(&["metadata", "resourceVersion"])
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn http_status(error: &ClusterError) -> u16 {
    match error {
        ClusterError::Conflict { .. } | ClusterError::AlreadyExists { .. } => 409,
        ClusterError::NotFound { .. } | ClusterError::UnknownKind { .. } => 404,
        ClusterError::Invalid { .. } => 422,
        ClusterError::Forbidden { .. } => 403,
        ClusterError::Unauthorized { .. } => 401,
        ClusterError::Gone => 410,
        ClusterError::TooManyRequests { .. } => 429,
        ClusterError::Refused { status, .. } => *status,
        ClusterError::Unreachable(_) | ClusterError::Answer { .. } | ClusterError::Config(_) => 0,
    }
}
