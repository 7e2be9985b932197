//! Requests, made again while that can help, and counted.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gitops_core::{ObjectKey, Str};
use tokio::time::Instant;

use super::{Run, locked};
use crate::cluster::{Cluster, ClusterError};
use crate::report::Event;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Request {
    pub(super) verb: &'static str,
    pub(super) kind: Str,
    pub(super) status: u16,
    pub(super) dry_run: bool,
}

pub(super) type Counted = (BTreeMap<Request, u64>, u64, Duration);

impl<C: Cluster> Run<'_, C> {
    /// Makes a request until it gets an answer that will not change by asking
    /// again, or patience ends.
    pub(super) async fn patiently<T, F: Future<Output = Result<T, ClusterError>>>(
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
                error: self.explain(key, &error),
                after_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            });
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }
}

pub(super) fn http_status(error: &ClusterError) -> u16 {
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
