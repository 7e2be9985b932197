//! Counters and timings, for Prometheus or for whoever reads a struct.
//!
//! Names are those of Argo CD where it has one for the same thing, so that
//! dashboards keep working.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use gitops_core::Str;

use crate::health::HealthStatus;
use crate::report::{OperationPhase, SyncReport};

/// The upper bounds of the reconciliation histogram, in seconds.
const BUCKETS: [f64; 7] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0];

/// What has happened so far, over all applications.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Finished syncs by application, phase and whether they were dry runs.
    pub syncs: BTreeMap<(Str, &'static str, bool), u64>,
    /// The time that syncs took, by application.
    pub sync_time: BTreeMap<Str, Duration>,
    /// Requests by application, verb, kind, HTTP status (0 for no answer) and
    /// whether they were dry runs.
    pub requests: BTreeMap<(Str, Str, Str, u16, bool), u64>,
    /// Requests that had to be made again, by application.
    pub retries: BTreeMap<Str, u64>,
    /// How long comparisons of what is declared with what is there took, by
    /// application.
    pub reconciliations: BTreeMap<Str, Histogram>,
    /// How applications fare: whether they are in sync, and their health.
    pub apps: BTreeMap<Str, (&'static str, HealthStatus)>,
}

/// Durations in buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Histogram {
    /// How many were at most as long as each of the bounds 0.25, 0.5, 1, 2, 4,
    /// 8 and 16 seconds.
    pub buckets: [u64; 7],
    /// How many there were.
    pub count: u64,
    /// How long they were together.
    pub sum: Duration,
}

impl Histogram {
    /// Takes one duration in.
    pub fn observe(&mut self, duration: Duration) {
        for (bucket, bound) in self.buckets.iter_mut().zip(BUCKETS) {
            *bucket += u64::from(duration.as_secs_f64() <= bound);
        }
        self.count += 1;
        self.sum += duration;
    }
}

impl Metrics {
    /// Takes a finished sync in.
    pub fn record_sync(&mut self, report: &SyncReport) {
        let app = &report.app;
        let key = (app.clone(), report.phase.name(), report.dry_run);
        *self.syncs.entry(key).or_default() += 1;
        *self.sync_time.entry(app.clone()).or_default() += report.duration();
        for requests in &report.costs.requests {
            let key = (
                app.clone(),
                requests.verb.clone(),
                requests.kind.clone(),
                requests.status,
                requests.dry_run,
            );
            *self.requests.entry(key).or_default() += requests.count;
        }
        *self.retries.entry(app.clone()).or_default() += report.costs.retries;
    }

    /// Takes a comparison in: how long it took, and what it found.
    pub fn record_comparison(
        &mut self,
        app: &Str,
        took: Duration,
        sync_status: &'static str,
        health: HealthStatus,
    ) {
        let histogram = self.reconciliations.entry(app.clone()).or_default();
        histogram.observe(took);
        self.apps.insert(app.clone(), (sync_status, health));
    }

    /// Forgets an application that is gone.
    pub fn forget(&mut self, app: &str) {
        self.syncs.retain(|(name, ..), _| name != app);
        self.requests.retain(|(name, ..), _| name != app);
        self.sync_time.retain(|name, _| name != app);
        self.retries.retain(|name, _| name != app);
        self.reconciliations.retain(|name, _| name != app);
        self.apps.retain(|name, _| name != app);
    }

    /// The text that Prometheus reads.
    ///
    /// ```
    /// use gitops_apply::HealthStatus;
    /// use gitops_apply::metrics::Metrics;
    ///
    /// let mut metrics = Metrics::default();
    /// let took = std::time::Duration::from_millis(300);
    /// metrics.record_comparison(&"shop".into(), took, "Synced", HealthStatus::Healthy);
    /// let text = metrics.render();
    /// assert!(text.contains(
    ///     "argocd_app_info{name=\"shop\",sync_status=\"Synced\",health_status=\"Healthy\"} 1\n"
    /// ));
    /// assert!(text.contains("argocd_app_reconcile_bucket{name=\"shop\",le=\"0.5\"} 1\n"));
    /// ```
    pub fn render(&self) -> String {
        let mut text = String::new();
        let out = &mut text;
        head(out, "argocd_app_info", "gauge", "How applications fare.");
        for (app, (sync, health)) in &self.apps {
            let labels = [
                ("name", app.as_str()),
                ("sync_status", sync),
                ("health_status", health.name()),
            ];
            sample(out, "argocd_app_info", &labels, 1);
        }
        head(out, "argocd_app_sync_total", "counter", "Finished syncs.");
        for ((app, phase, dry_run), count) in &self.syncs {
            let labels = [
                ("name", app.as_str()),
                ("phase", phase),
                ("dry_run", flag(*dry_run)),
            ];
            sample(out, "argocd_app_sync_total", &labels, count);
        }
        let name = "argocd_app_sync_duration_seconds_total";
        head(out, name, "counter", "The time that syncs took.");
        for (app, time) in &self.sync_time {
            sample(out, name, &[("name", app)], time.as_secs_f64());
        }
        let name = "argocd_app_k8s_request_total";
        head(out, name, "counter", "Requests made by syncs.");
        for ((app, verb, kind, status, dry_run), count) in &self.requests {
            let status = status.to_string();
            let labels = [
                ("name", app.as_str()),
                ("verb", verb),
                ("resource_kind", kind),
                ("response_code", &status),
                ("dry_run", flag(*dry_run)),
            ];
            sample(out, name, &labels, count);
        }
        let name = "argocd_kubectl_request_retries_total";
        head(out, name, "counter", "Requests that had to be made again.");
        for (app, count) in &self.retries {
            sample(out, name, &[("name", app)], count);
        }
        let name = "argocd_app_reconcile";
        head(out, name, "histogram", "How long comparisons took.");
        for (app, histogram) in &self.reconciliations {
            for (bound, count) in BUCKETS.iter().zip(histogram.buckets) {
                let bound = bound.to_string();
                let labels = [("name", app.as_str()), ("le", &bound)];
                sample(out, "argocd_app_reconcile_bucket", &labels, count);
            }
            let labels = [("name", app.as_str()), ("le", "+Inf")];
            sample(out, "argocd_app_reconcile_bucket", &labels, histogram.count);
            let labels = [("name", app.as_str())];
            let sum = histogram.sum.as_secs_f64();
            sample(out, "argocd_app_reconcile_sum", &labels, sum);
            sample(out, "argocd_app_reconcile_count", &labels, histogram.count);
        }
        text
    }

    /// How many syncs of an application ended so.
    pub fn syncs_of(&self, app: &str, phase: OperationPhase) -> u64 {
        let mine = self
            .syncs
            .iter()
            .filter(|((name, ended, _), _)| name == app && *ended == phase.name());
        mine.map(|(_, count)| count).sum()
    }
}

fn flag(flag: bool) -> &'static str {
    if flag { "true" } else { "false" }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("a string takes all");
}

fn sample(out: &mut String, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
    out.push_str(name);
    for (index, (label, value)) in labels.iter().enumerate() {
        out.push(if index == 0 { '{' } else { ',' });
        out.push_str(label);
        out.push_str("=\"");
        for c in value.chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                c => out.push(c),
            }
        }
        out.push('"');
    }
    writeln!(out, "}} {value}").expect("a string takes all");
}
