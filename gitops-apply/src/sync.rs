//! Carries a plan out.
//!
//! Follows `gitops-engine/pkg/sync/sync_context.go`. There, a step is taken
//! each time somebody calls; here, one future goes through the steps:
//!
//! 1. refuse what the plan refuses;
//! 2. if there is more than one step, ask the server whether it would accept
//!    what the plan is [not sure of](crate::plan::Task::certainty) (a dry run),
//!    so that a typing error in the last wave is found before the first;
//! 3. for each phase and wave: delete old hooks, apply kind by kind, then wait
//!    until objects are healthy and hooks have ended. If all of the last wave of
//!    the phase `Sync` could be applied, delete what is declared no more, and wait
//!    until it is gone ([`prune_in_waves`](crate::PlanOptions::prune_in_waves)
//!    says otherwise);
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
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use gitops_core::{Manifest, Str};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::health::{self, HealthCheck};
use crate::plan::{Action, DeletePolicy, Phase, Plan, SkipReason, Task};
use crate::record::Recorded;
use crate::report::{Costs, Event, ObjectResult, OperationPhase, Requests, ResultCode, SyncReport};

mod check;
mod hooks;
mod phases;
mod records;
mod requests;
mod results;
mod waits;
mod writes;

use requests::Counted;

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
            concurrency: 32,
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
        recorded: Mutex::default(),
    };
    run.tell(&Event::Started {
        app: plan.app.clone(),
        revision: plan.revision.clone(),
        tasks: plan.tasks.len(),
    });
    let ended = match (run.all().await, run.finish_record().await) {
        (Ok(_), Err(stop)) => Err(stop),
        (ended, _) => ended,
    };
    let (phase, message) = match ended {
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
    /// The record as the cluster has it, once it has been widened.
    recorded: Mutex<Option<Recorded>>,
}

/// A panic of the observer leaves the data behind the lock as whole as it was.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.widen_record().await?;
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
    /// failure. Prunes that follow the last wave belong to it: they need it
    /// applied, and not healthy, unless they are to come last.
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
                            | SkipReason::Occupied
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
            let follows = task.is_prune() && !task.options.prune_last && !self.plan.prune_in_waves;
            match steps.last_mut() {
                Some((have, step)) if *have == place || (follows && have.0 == task.phase) => {
                    step.push(index);
                }
                _ => steps.push((place, vec![index])),
            }
        }
        steps.into_iter().map(|(_, step)| step).collect()
    }
}

/// Whether anything is written or deleted for a task.
fn acts(task: &Task) -> bool {
    !matches!(
        task.action,
        Action::Unchanged | Action::AwaitApproval | Action::Skip { .. }
    )
}
