//! Keeps applications as their repositories declare them.
//!
//! A [`Reconciler`] holds what has to be remembered between two looks at an
//! application: which revision was tried last, the history of what was synced,
//! and what it rendered to. Each call of [`reconcile`](Reconciler::reconcile) is
//! one look: refresh, compare, and sync if the application says so; [`run`]
//! repeats that for many applications, whenever Git moves or the cluster changes.
//!
//! The rules are Argo CD's (`controller/appcontroller.go`, `autoSync`):
//!
//! | state                                            | automated sync          |
//! |--------------------------------------------------|-------------------------|
//! | in sync                                          | nothing                 |
//! | out of sync, revision not tried yet              | everything              |
//! | out of sync, revision synced, `selfHeal` on      | what is not in sync     |
//! | out of sync, revision synced, `selfHeal` off     | nothing                 |
//! | out of sync, revision tried and failed           | nothing until it moves or is retried |
//! | only prunes are left, `prune` off                | nothing                 |
//! | everything would be pruned, `allowEmpty` off     | nothing, and a condition |
//!
//! This module is the only one that knows `gitops-render`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gitops_core::app::{App, Automated, Retry};
use gitops_core::{Gvk, Manifest, ObjectKey, Str};
use gitops_render::helm::{Capabilities, KubeVersion, Seed};
use jiff::Timestamp;
use serde::Serialize;

use crate::cluster::cache::{CacheOptions, WatchCache};
use crate::cluster::{Cluster, ClusterError};
use crate::health::{Health, HealthStatus, app_health};
use crate::live::{LiveOptions, LiveState, Scan};
use crate::plan::{self, Action, AppOptions, Plan, PlanOptions, SkipReason};
use crate::record::Record;
use crate::report::{Event, OperationPhase, SyncReport};
use crate::secrets::without_scalars;
use crate::sync::{SyncOptions, sync};

mod lookup;
mod render;
mod run;
mod sources;

use lookup::Answers;
use render::Rendering;

pub use render::{Desired, DesiredError, Surroundings, ToolError, desired};
pub use run::{Discovered, RunOptions, run};
pub use sources::{Repositories, Snapshot, SourceError};

/// How applications are reconciled.
#[derive(Clone, Debug)]
pub struct ReconcileOptions {
    /// How plans are carried out.
    pub sync: SyncOptions,
    /// Where charts take random numbers from. With [`Seed::System`], Helm's
    /// way, a chart that draws one is out of sync at every look.
    pub seed: Seed,
    /// Whether `lookup` of charts finds what the cluster holds. Argo CD's finds
    /// nothing. What it finds is read as charts ask for it, each time anew.
    pub lookup: bool,
    /// Where objects are looked for that are declared no more, until a first
    /// sync has told the kinds.
    pub scan: Scan,
    /// Where it is recorded what an application owns.
    pub record: fn(&App) -> Record,
    /// Whether prunes stay among the waves, see [`PlanOptions::prune_in_waves`].
    pub prune_in_waves: bool,
    /// How many deletions at once are taken for a mistake of an application, see
    /// [`PlanOptions::prune_limit`].
    pub prune_limit: Option<usize>,
    /// Which share of what an application owns may go at once, see
    /// [`PlanOptions::prune_share`].
    pub prune_share: Option<u8>,
    /// Kinds of which nothing is deleted, see [`PlanOptions::protected`].
    pub protected: BTreeSet<Str>,
    /// Whether what has been read of the cluster is kept up to date by watches
    /// once the kinds of an application are known. A look at an application
    /// that has not changed then makes no request. Worth it for a loop, not
    /// for a single look.
    pub cache: Option<CacheOptions>,
    /// How many manifests may be kept of what applications were rendered to, all
    /// together. An application is rendered again when it or a commit is
    /// another, when its charts draw or look up what may be another, and when
    /// there was no room for it.
    pub rendered: usize,
}

impl Default for ReconcileOptions {
    fn default() -> Self {
        ReconcileOptions {
            sync: SyncOptions::default(),
            seed: Seed::System,
            lookup: false,
            scan: Scan::Everything,
            record: |_| Record::Marks,
            prune_in_waves: false,
            prune_limit: None,
            prune_share: None,
            protected: BTreeSet::new(),
            cache: None,
            rendered: 200_000,
        }
    }
}

/// Whether an application is as it is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum SyncStatus {
    /// It is.
    Synced,
    /// It is not.
    OutOfSync,
    /// That could not be found out.
    Unknown,
}

impl SyncStatus {
    /// The name, as in an Application's status.
    pub fn name(self) -> &'static str {
        match self {
            SyncStatus::Synced => "Synced",
            SyncStatus::OutOfSync => "OutOfSync",
            SyncStatus::Unknown => "Unknown",
        }
    }
}

impl fmt::Display for SyncStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Something about an application that a person should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// What sort of thing it is.
    #[serde(rename = "type")]
    pub kind: ConditionKind,
    /// What there is to say.
    pub message: String,
}

/// The sorts of [`Condition`], with Argo CD's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub enum ConditionKind {
    /// The manifests could not be had, or the cluster not be read.
    ComparisonError,
    /// An automated sync is not done, or failed.
    SyncError,
    /// The tools or the plan have something to say.
    Warning,
}

/// One object of an application.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResourceStatus {
    /// The object.
    #[serde(flatten)]
    pub key: ObjectKey,
    /// The version of its API.
    pub version: Str,
    /// Whether it is as declared; `None` for hooks and what is skipped.
    pub status: Option<SyncStatus>,
    /// Its health, if its kind has any.
    pub health: Option<Health>,
    /// Whether it is declared no more.
    pub requires_pruning: bool,
}

/// How an application fares: the outcome of one look.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AppStatus {
    /// The application.
    pub app: Str,
    /// Whether it is as declared.
    pub sync: SyncStatus,
    /// How it is.
    pub health: Health,
    /// The commits that were compared with, source by source.
    pub revisions: Vec<Str>,
    /// What a person should know.
    pub conditions: Vec<Condition>,
    /// Its objects, in the order of the plan.
    pub resources: Vec<ResourceStatus>,
    /// What there is to do; `None` if that could not be found out.
    pub plan: Option<Plan>,
    /// The sync that this look led to, if any.
    pub operation: Option<SyncReport>,
    /// Applications that this one declares.
    #[serde(skip)]
    pub children: Vec<App>,
    /// Whether the manifests were rendered for this look. If not, they are those
    /// of an earlier one, which they would be again.
    #[serde(skip)]
    pub rendered: bool,
    /// When the look was taken.
    pub reconciled_at: Timestamp,
}

impl AppStatus {
    /// Whether anything went wrong: no comparison, or a sync that failed.
    pub fn failed(&self) -> bool {
        self.sync == SyncStatus::Unknown
            || self
                .operation
                .as_ref()
                .is_some_and(|report| !report.succeeded())
            || self
                .conditions
                .iter()
                .any(|condition| condition.kind != ConditionKind::Warning)
    }
}

impl fmt::Display for AppStatus {
    /// One line: `shop: Synced, Healthy at 1a2b3c4`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}, {}",
            self.app,
            self.sync,
            self.health.status.name()
        )?;
        if let Some(revision) = self.revisions.first() {
            write!(f, " at {}", revision.get(..7).unwrap_or(revision))?;
        }
        if let Some(condition) = self
            .conditions
            .iter()
            .find(|condition| condition.kind != ConditionKind::Warning)
        {
            write!(f, ": {}", condition.message)?;
        }
        Ok(())
    }
}

/// A sync that was done.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// Its number, counted from 0 for each application.
    pub id: u64,
    /// The commits that were synced to, source by source.
    pub revisions: Vec<Str>,
    /// The application as it was declared then.
    #[serde(skip)]
    pub app: App,
    /// When it was done.
    pub deployed_at: Timestamp,
}

/// What is asked of a sync beyond what the application says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncRequest {
    /// Delete what is declared no more; `None` does as the automated policy
    /// says.
    pub prune: Option<bool>,
    /// Only ask the server.
    pub dry_run: bool,
}

/// Why an application cannot be rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RollbackError {
    /// The history has no such entry.
    #[error("the history has no entry {id}")]
    NoSuchEntry {
        /// The number that was asked for.
        id: u64,
    },
    /// The automated sync would undo it at once.
    #[error("rollback cannot be performed when automated sync is on; turn it off first")]
    Automated,
}

/// What is remembered of an application between two looks.
#[derive(Debug, Default)]
struct Memory {
    attempt: Option<Attempt>,
    history: VecDeque<HistoryEntry>,
    next_id: u64,
    kinds: BTreeSet<Gvk>,
    /// The application as it was declared at the last look.
    app: Option<App>,
    /// What was declared at the last look; `None` if that could not be found
    /// out.
    declared: Option<BTreeSet<ObjectKey>>,
    rendering: Option<Arc<Rendering>>,
    healing: Healing,
}

#[derive(Debug)]
struct Attempt {
    app: App,
    revisions: Vec<Str>,
    succeeded: bool,
    failures: u32,
    at: Timestamp,
    message: String,
}

/// Back-off of self-healing, for fights with somebody else's controller.
#[derive(Debug, Default)]
struct Healing {
    attempts: u32,
    last: Option<Timestamp>,
}

impl Healing {
    const FIRST: Duration = Duration::from_secs(2);
    const FACTOR: u32 = 3;
    const LONGEST: Duration = Duration::from_secs(300);
    /// After so long in sync, the fight is over.
    const RESET: Duration = Duration::from_secs(330);

    /// How long the next one has to wait still.
    fn wait(&mut self, now: Timestamp) -> Duration {
        let Some(last) = self.last else {
            return Duration::ZERO;
        };
        let since = Duration::try_from(now.duration_since(last)).unwrap_or_default();
        if since >= Healing::RESET {
            self.attempts = 0;
            return Duration::ZERO;
        }
        // The first heal is immediate.
        let Some(exponent) = self.attempts.checked_sub(2) else {
            return Duration::ZERO;
        };
        let pause = Healing::FIRST
            .saturating_mul(Healing::FACTOR.saturating_pow(exponent))
            .min(Healing::LONGEST);
        pause.saturating_sub(since)
    }
}

/// Reconciles applications with one cluster.
#[derive(Debug)]
pub struct Reconciler<'c, C> {
    cluster: &'c C,
    cache: Option<WatchCache<'c, C>>,
    repositories: Arc<Repositories>,
    options: ReconcileOptions,
    memory: BTreeMap<Str, Memory>,
    /// How many manifests all renderings have together.
    rendered: usize,
    /// Whether there are no other applications than those in memory.
    complete: bool,
}

impl<'c, C: Cluster> Reconciler<'c, C> {
    /// Reconciles with `cluster` what `repositories` declare.
    ///
    /// Where more than one application is declared, all of them have to be made
    /// known by [`manage`](Reconciler::manage) before one is synced: an object
    /// that moves from one to another would be pruned otherwise.
    pub fn new(cluster: &'c C, repositories: Arc<Repositories>, options: ReconcileOptions) -> Self {
        Reconciler {
            cache: options
                .cache
                .clone()
                .map(|options| WatchCache::new(cluster, options)),
            cluster,
            repositories,
            options,
            memory: BTreeMap::new(),
            rendered: 0,
            complete: true,
        }
    }

    /// Makes applications known that are reconciled besides: nothing is pruned
    /// until it is known what each of them declares, and what one of them
    /// declares no other prunes.
    pub fn manage<'a>(&mut self, apps: impl IntoIterator<Item = &'a App>) {
        for app in apps {
            let memory = self.memory.entry(app.name.clone()).or_default();
            memory.app = Some(app.clone());
        }
    }

    /// Says whether the applications that were made known are all there are;
    /// they are taken to be from the start. If one cannot be read it is not known
    /// what it declares, and nothing is pruned.
    pub fn set_complete(&mut self, complete: bool) {
        self.complete = complete;
    }

    /// Forgets an application that is no more, and what it declared.
    pub fn forget(&mut self, app: &str) {
        let memory = self.memory.remove(app).unwrap_or_default();
        self.rendered -= memory.rendering.map_or(0, |last| last.size());
    }

    /// The syncs of an application that are remembered, oldest first.
    pub fn history(&self, app: &str) -> impl Iterator<Item = &HistoryEntry> {
        self.memory
            .get(app)
            .into_iter()
            .flat_map(|memory| &memory.history)
    }

    /// Compares an application with the cluster and changes nothing.
    pub async fn refresh(&mut self, app: &App, now: Timestamp) -> AppStatus {
        let prune = app.sync.automated.is_some_and(|automated| automated.prune);
        self.compare(app, prune, None, now).await
    }

    /// Takes one look at an application, and syncs it if its policy says so.
    pub async fn reconcile(
        &mut self,
        app: &App,
        now: Timestamp,
        observe: impl FnMut(&Event) + Send,
    ) -> AppStatus {
        let Some(policy) = app.sync.automated else {
            return self.refresh(app, now).await;
        };
        let mut status = self.compare(app, policy.prune, None, now).await;
        let Some(plan) = status.plan.take() else {
            return status;
        };
        match self.decide(app, &policy, &plan, &status, now) {
            Decision::Nothing => {}
            Decision::Refuse(message) => status.conditions.push(Condition {
                kind: ConditionKind::SyncError,
                message,
            }),
            Decision::Everything => return self.carry_out(app, plan, status, now, observe).await,
            Decision::Heal(select) => {
                let mut healed = self.compare(app, policy.prune, Some(select), now).await;
                return match healed.plan.take() {
                    Some(plan) => self.carry_out(app, plan, healed, now, observe).await,
                    None => healed,
                };
            }
        }
        status.plan = Some(plan);
        status
    }

    /// Syncs an application, whatever its policy says.
    pub async fn sync(
        &mut self,
        app: &App,
        request: SyncRequest,
        now: Timestamp,
        observe: impl FnMut(&Event) + Send,
    ) -> AppStatus {
        let policy = app.sync.automated.unwrap_or_default();
        let prune = request.prune.unwrap_or(policy.prune);
        let mut status = self.compare(app, prune, None, now).await;
        let Some(plan) = status.plan.take() else {
            return status;
        };
        if !request.dry_run {
            return self.carry_out(app, plan, status, now, observe).await;
        }
        let options = SyncOptions {
            dry_run: true,
            now,
            ..self.options.sync.clone()
        };
        status.operation = Some(self.perform(&plan, &options, observe).await);
        status.plan = Some(plan);
        status
    }

    /// Syncs an application to what it was: the revisions and the declaration
    /// of an entry of its history.
    ///
    /// # Errors
    ///
    /// [`RollbackError`] if there is no such entry, or the application syncs
    /// itself: then revert the commit instead.
    pub async fn rollback(
        &mut self,
        app: &App,
        id: u64,
        now: Timestamp,
        observe: impl FnMut(&Event) + Send,
    ) -> Result<AppStatus, RollbackError> {
        if app.sync.automated.is_some() {
            return Err(RollbackError::Automated);
        }
        let entry = self
            .history(&app.name)
            .find(|entry| entry.id == id)
            .ok_or(RollbackError::NoSuchEntry { id })?;
        let mut past = entry.app.clone();
        for (source, revision) in past.sources.iter_mut().zip(&entry.revisions) {
            source.revision = revision.clone();
        }
        let request = SyncRequest {
            prune: Some(true),
            dry_run: false,
        };
        Ok(self.sync(&past, request, now, observe).await)
    }

    async fn perform(
        &self,
        plan: &Plan,
        options: &SyncOptions,
        observe: impl FnMut(&Event) + Send,
    ) -> SyncReport {
        match &self.cache {
            Some(cache) => sync(plan, &cache.fresh(), options, observe).await,
            None => sync(plan, self.cluster, options, observe).await,
        }
    }

    async fn read(
        &self,
        desired: &[Manifest],
        options: &LiveOptions,
        fresh: bool,
    ) -> Result<LiveState, ClusterError> {
        match &self.cache {
            Some(cache) if !fresh => LiveState::read(cache, desired, options).await,
            _ => LiveState::read(self.cluster, desired, options).await,
        }
    }

    /// Looks at an application. If that would prune, all others are looked at,
    /// too, since what is declared no more here may be declared there by now;
    /// and then this one again: only if it is at the same revision as before
    /// were they all seen at one moment.
    async fn compare(
        &mut self,
        app: &App,
        prune: bool,
        select: Option<BTreeSet<ObjectKey>>,
        now: Timestamp,
    ) -> AppStatus {
        let mut sight = Sight {
            others_known: true,
            fresh: false,
        };
        let first = self.look(app, prune, select.clone(), sight, now).await;
        let prunes = first.plan.iter().flat_map(|plan| &plan.tasks);
        if !prunes.into_iter().any(|task| task.action == Action::Prune) {
            return first;
        }
        let others = self.memory.iter().filter(|(name, _)| **name != app.name);
        let others: Vec<App> = others
            .filter_map(|(_, memory)| memory.app.clone())
            .collect();
        if others.is_empty() && self.cache.is_none() {
            return first;
        }
        for other in &others {
            self.look(other, false, None, sight, now).await;
        }
        // What a cache holds may have changed hands a moment ago.
        sight.fresh = true;
        let again = self.look(app, prune, select.clone(), sight, now).await;
        if again.revisions == first.revisions {
            return again;
        }
        sight.others_known = false;
        self.look(app, prune, select, sight, now).await
    }

    /// One look. Nothing is pruned unless it is known what all others declare.
    async fn look(
        &mut self,
        app: &App,
        prune: bool,
        select: Option<BTreeSet<ObjectKey>>,
        sight: Sight,
        now: Timestamp,
    ) -> AppStatus {
        let mut status = AppStatus {
            app: app.name.clone(),
            sync: SyncStatus::Unknown,
            health: Health::new(HealthStatus::Unknown, ""),
            revisions: Vec::new(),
            conditions: Vec::new(),
            resources: Vec::new(),
            plan: None,
            operation: None,
            children: Vec::new(),
            rendered: false,
            reconciled_at: now,
        };
        let failed = |mut status: AppStatus, message: String| {
            status.conditions.push(Condition {
                kind: ConditionKind::ComparisonError,
                message,
            });
            status
        };
        // Until this look has succeeded it is not known what is declared.
        let memory = self.memory.entry(app.name.clone()).or_default();
        memory.declared = None;
        memory.app = Some(app.clone());
        let kinds = match self.cluster.kinds().await {
            Ok(kinds) => kinds,
            Err(error) => return failed(status, error.explain()),
        };
        let last = memory.rendering.clone();
        let rendering = self.render(app, capabilities(&kinds), last.as_ref());
        let rendering = match rendering.await {
            Ok(rendering) => rendering,
            Err(message) => return failed(status, message),
        };
        status.rendered = !last.is_some_and(|last| Arc::ptr_eq(&last, &rendering));
        self.keep(&app.name, &rendering);
        let rendered = &rendering.desired;
        status.revisions = rendered.revisions.clone();
        status.children = rendered.children.clone();
        let warnings = rendered.warnings.iter().cloned();
        status.conditions.extend(warnings.map(|message| Condition {
            kind: ConditionKind::Warning,
            message,
        }));
        let memory = self.memory.entry(app.name.clone()).or_default();
        let namespace = &app.destination.namespace;
        let record = (self.options.record)(app);
        let mut live = LiveOptions::new("", namespace.clone());
        live.tracking = record.tracking(app.name.clone());
        live.record = record;
        let first = memory.kinds.is_empty();
        live.scan = match first {
            true => self.options.scan.clone(),
            false => Scan::Kinds(memory.kinds.iter().cloned().collect()),
        };
        let tracking = live.tracking.clone();
        // A look at everything is not one that is worth to be kept.
        let fresh = sight.fresh || first;
        let live = match self.read(&rendered.manifests, &live, fresh).await {
            Ok(live) => live,
            Err(error) => return failed(status, error.explain()),
        };
        let (options, unknown) = AppOptions::parse(&app.sync.options);
        status
            .conditions
            .extend(unknown.into_iter().map(|option| Condition {
                kind: ConditionKind::Warning,
                message: format!("sync option {option:?} is not known and has no effect"),
            }));
        let mut plan_options = PlanOptions::new(app.name.clone(), namespace.clone());
        plan_options.tracking = tracking;
        plan_options.app = options;
        plan_options.namespace_labels = app.sync.namespace_labels.clone();
        plan_options.namespace_annotations = app.sync.namespace_annotations.clone();
        plan_options.prune = prune;
        plan_options.prune_in_waves = self.options.prune_in_waves;
        plan_options.prune_limit = self.options.prune_limit;
        plan_options.prune_share = self.options.prune_share;
        plan_options.protected = self.options.protected.clone();
        plan_options.allow_empty = app.sync.automated.is_none_or(|policy| policy.allow_empty);
        plan_options.select = select;
        plan_options.revision = status.revisions.first().cloned().unwrap_or_default();
        plan_options.now = now.as_second();
        plan_options.ignore = app.ignore_differences.clone();
        let others = self.memory.iter().filter(|(name, _)| **name != app.name);
        plan_options.complete = sight.others_known && self.complete;
        for declared in others.map(|(_, memory)| &memory.declared) {
            match declared {
                Some(declared) => plan_options.claimed.extend(declared.iter().cloned()),
                // It may declare what is not declared here any more.
                None => plan_options.complete = false,
            }
        }
        let plan = plan::plan(&rendered.manifests, &live, &plan_options);
        // The destination may be among the tasks without being declared.
        let wanted = plan.tasks.iter().filter(|task| !task.is_prune());
        let wanted = wanted.map(|task| task.key.clone());
        let wanted = wanted.chain(plan.declared.iter().cloned()).collect();
        self.memory.entry(app.name.clone()).or_default().declared = Some(wanted);
        status
            .conditions
            .extend(plan.warnings.iter().map(|warning| Condition {
                kind: ConditionKind::Warning,
                message: warning.to_string(),
            }));
        self.judge(&plan, &mut status);
        if status.sync == SyncStatus::Synced {
            let memory = self.memory.entry(app.name.clone()).or_default();
            let kinds = plan.tasks.iter().map(crate::plan::Task::gvk);
            memory.kinds.extend(kinds);
        }
        status.plan = Some(plan);
        status
    }

    /// Keeps what an application was rendered to in place of what was kept of
    /// it, if it may be.
    fn keep(&mut self, app: &Str, rendering: &Arc<Rendering>) {
        let memory = self.memory.entry(app.clone()).or_default();
        self.rendered -= memory.rendering.take().map_or(0, |last| last.size());
        let room = self.options.rendered.saturating_sub(self.rendered);
        if rendering.desired.repeatable && rendering.size() <= room {
            self.rendered += rendering.size();
            memory.rendering = Some(rendering.clone());
        }
    }

    /// Renders an application, as often as what its charts look up makes
    /// necessary, unless it would be to `last` again.
    ///
    /// # Errors
    ///
    /// What to say of the failure.
    async fn render(
        &self,
        app: &App,
        capabilities: Capabilities,
        last: Option<&Arc<Rendering>>,
    ) -> Result<Arc<Rendering>, String> {
        let said =
            |error: DesiredError| format!("{} (declared in {})", explain(&error), app.origin);
        let mut answers = Answers::default();
        for _ in 0..lookup::ROUNDS {
            let objects = self.options.lookup.then(|| Arc::new(answers.clone()));
            let surroundings = Surroundings {
                capabilities: capabilities.clone(),
                seed: self.options.seed,
                objects: objects.map(|objects| objects as _),
            };
            let rendered = {
                let (app, repositories) = (app.clone(), self.repositories.clone());
                let last = last.cloned();
                let render = move || Rendering::new(app, &repositories, surroundings, last);
                tokio::task::spawn_blocking(render).await
            };
            let rendered = rendered.map_err(|error| format!("rendering stopped: {error}"))?;
            let missing = answers.take_missing();
            if missing.is_empty() {
                return rendered.map_err(said);
            }
            let limit = self.options.sync.concurrency;
            let read = match &self.cache {
                Some(cache) => answers.read(missing, cache, limit).await,
                None => answers.read(missing, self.cluster, limit).await,
            };
            if read.map_err(|error| error.explain())?.is_none() {
                let problem = "more objects than a look may read".to_owned();
                return Err(said(DesiredError::Lookups { problem }));
            }
        }
        let problem = format!("something new in each of {} renders", lookup::ROUNDS);
        Err(said(DesiredError::Lookups { problem }))
    }

    /// Says of each object, and of all together, how it fares.
    fn judge(&self, plan: &Plan, status: &mut AppStatus) {
        let mut anything_live = false;
        for task in &plan.tasks {
            if task.is_hook() {
                continue;
            }
            let sync = match &task.action {
                Action::Unchanged => Some(SyncStatus::Synced),
                Action::Skip {
                    reason: SkipReason::Annotated | SkipReason::OnDeletion | SkipReason::NoSuchHook,
                } => None,
                Action::Skip {
                    reason: SkipReason::InSync,
                } => Some(SyncStatus::Synced),
                _ => Some(SyncStatus::OutOfSync),
            };
            let health = match task.live() {
                Some(live) => {
                    anything_live = true;
                    (self.options.sync.health)(live)
                }
                None => Some(Health::new(HealthStatus::Missing, "")),
            };
            status.resources.push(ResourceStatus {
                key: task.key.clone(),
                version: task.version.clone(),
                status: sync,
                health,
                requires_pruning: task.is_prune(),
            });
        }
        let counted = status
            .resources
            .iter()
            .filter(|resource| resource.status.is_some())
            .filter_map(|resource| Some((&resource.key, resource.health.as_ref()?)));
        status.health = app_health(counted, anything_live);
        status.sync = if plan.is_synced() {
            SyncStatus::Synced
        } else {
            SyncStatus::OutOfSync
        };
    }

    fn decide(
        &mut self,
        app: &App,
        policy: &Automated,
        plan: &Plan,
        status: &AppStatus,
        now: Timestamp,
    ) -> Decision {
        if status.sync == SyncStatus::Synced {
            return Decision::Nothing;
        }
        if let Some(refusal) = plan.refusals.first() {
            return Decision::Refuse(refusal.to_string());
        }
        let counts = plan.counts();
        if counts.create + counts.update + counts.recreate + counts.prune == 0 {
            return Decision::Nothing;
        }
        let memory = self.memory.entry(app.name.clone()).or_default();
        let Some(attempt) = &memory.attempt else {
            return Decision::Everything;
        };
        if attempt.revisions != status.revisions || attempt.app != *app {
            return Decision::Everything;
        }
        if !attempt.succeeded {
            // Without a policy Argo CD retries an automated sync five times.
            let retry = app.sync.retry.unwrap_or_default();
            let again = retry.limit.is_none_or(|limit| attempt.failures <= limit);
            let since = Duration::try_from(now.duration_since(attempt.at)).unwrap_or_default();
            if again && since >= pause(&retry, attempt.failures) {
                return Decision::Everything;
            }
            let revision = status.revisions.first().map_or("", |revision| revision);
            return Decision::Refuse(format!(
                "Failed last sync attempt to {}: {}",
                revision.get(..7).unwrap_or(revision),
                attempt.message
            ));
        }
        if !policy.self_heal {
            return Decision::Nothing;
        }
        if !memory.healing.wait(now).is_zero() {
            return Decision::Nothing;
        }
        memory.healing.attempts += 1;
        memory.healing.last = Some(now);
        Decision::Heal(
            status
                .resources
                .iter()
                .filter(|resource| resource.status == Some(SyncStatus::OutOfSync))
                .map(|resource| resource.key.clone())
                .collect(),
        )
    }

    async fn carry_out(
        &mut self,
        app: &App,
        plan: Plan,
        before: AppStatus,
        now: Timestamp,
        observe: impl FnMut(&Event) + Send,
    ) -> AppStatus {
        let options = SyncOptions {
            now,
            ..self.options.sync.clone()
        };
        let report = self.perform(&plan, &options, observe).await;
        let succeeded = report.phase == OperationPhase::Succeeded;
        let memory = self.memory.entry(app.name.clone()).or_default();
        let same = memory
            .attempt
            .as_ref()
            .is_some_and(|last| last.revisions == before.revisions && last.app == *app);
        let failures = match (&memory.attempt, same) {
            (Some(last), true) if !succeeded => last.failures + 1,
            _ => u32::from(!succeeded),
        };
        if succeeded {
            memory
                .kinds
                .extend(plan.tasks.iter().map(|task| task.gvk()));
            let known = memory
                .history
                .back()
                .is_some_and(|last| last.revisions == before.revisions && last.app == *app);
            if !known {
                memory.history.push_back(HistoryEntry {
                    id: memory.next_id,
                    revisions: before.revisions.clone(),
                    app: app.clone(),
                    deployed_at: report.finished_at,
                });
                memory.next_id += 1;
            }
            while memory.history.len() > app.history_limit {
                memory.history.pop_front();
            }
        }
        memory.attempt = Some(Attempt {
            app: app.clone(),
            revisions: before.revisions.clone(),
            succeeded,
            failures,
            at: now,
            message: report.message.clone(),
        });
        // What is there now is what counts, also after a sync that failed.
        let prune = plan.tasks.iter().any(|task| task.action == Action::Prune)
            || app.sync.automated.is_some_and(|policy| policy.prune);
        let after = self.compare(app, prune, None, now).await;
        let mut status = after;
        if !succeeded {
            status.conditions.push(Condition {
                kind: ConditionKind::SyncError,
                message: report.message.clone(),
            });
        }
        status.operation = Some(report);
        status.plan = Some(plan);
        status
    }
}

/// What a look can see.
#[derive(Clone, Copy)]
struct Sight {
    /// Whether what the other applications declare is known as of now.
    others_known: bool,
    /// Whether the cluster itself is read, whatever is kept of it.
    fresh: bool,
}

/// What an automated policy leads to.
enum Decision {
    Nothing,
    Refuse(String),
    Everything,
    Heal(BTreeSet<ObjectKey>),
}

/// The wait before a failed sync is tried again.
fn pause(retry: &Retry, failures: u32) -> Duration {
    retry.wait(failures.saturating_sub(1))
}

/// The cluster as charts see it.
fn capabilities(kinds: &crate::cluster::Kinds) -> Capabilities {
    let default = Capabilities::default();
    Capabilities {
        kube_version: KubeVersion::parse(&kinds.server_version).unwrap_or(default.kube_version),
        api_versions: match kinds.api_versions() {
            versions if versions.is_empty() => default.api_versions,
            versions => versions,
        },
    }
}

/// An error with its causes, in one line.
fn explain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = without_scalars(&error.to_string());
    let mut cause = error.source();
    while let Some(error) = cause {
        let detail = without_scalars(&error.to_string());
        // Where an error shows its cause itself, it is not said twice.
        if !text.contains(&detail) {
            text.push_str(": ");
            text.push_str(&detail);
        }
        cause = error.source();
    }
    text
}
