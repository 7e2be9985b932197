//! Watches: events since a version, bookmarks, and forgotten versions.

use std::collections::VecDeque;

use gitops_core::selector::Selector;
use gitops_core::{Gvk, Manifest, Str};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{MemoryCluster, edit, in_version, is_selected};
use crate::cluster::{ClusterError, WatchEvent};

/// What a watch wants to see.
pub(super) struct Watched {
    pub(super) gvk: Gvk,
    pub(super) namespace: Str,
    pub(super) selector: Selector,
}

/// A watch under way.
pub(super) struct Watching {
    pub(super) cluster: MemoryCluster,
    pub(super) changes: watch::Receiver<u64>,
    pub(super) watched: Watched,
    pub(super) after: u64,
    pub(super) ready: VecDeque<WatchEvent>,
    pub(super) ends: Instant,
}

impl MemoryCluster {
    /// The events after a revision that a watch wants to see, and the last
    /// revision looked at.
    pub(super) fn events(
        &self,
        after: u64,
        watched: &Watched,
    ) -> Result<(Vec<WatchEvent>, u64), ClusterError> {
        let state = self.state();
        if let Some(oldest) = state.log.front()
            && oldest.revision > after + 1
        {
            return Err(ClusterError::Gone);
        }
        let begin = state.log.partition_point(|logged| logged.revision <= after);
        let mut events = Vec::new();
        for logged in state.log.range(begin..) {
            let object = logged.after.as_ref().or(logged.before.as_ref());
            let of_kind = object.is_some_and(|object| {
                object.gvk().group == watched.gvk.group && object.gvk().kind == watched.gvk.kind
            });
            if !of_kind {
                continue;
            }
            let seen = |object: &Option<Manifest>| {
                object
                    .as_ref()
                    .filter(|object| is_selected(object, &watched.namespace, &watched.selector))
                    .map(|object| in_version(object, &watched.gvk))
            };
            events.extend(match (seen(&logged.before), seen(&logged.after)) {
                (None, Some(object)) => Some(WatchEvent::Added(object)),
                (Some(_), Some(object)) => Some(WatchEvent::Modified(object)),
                (Some(mut object), None) => {
                    let revision = logged.revision.to_string();
                    edit(&mut object, |metadata| {
                        metadata.insert("resourceVersion", revision);
                    });
                    Some(WatchEvent::Deleted(object))
                }
                (None, None) => None,
            });
        }
        Ok((events, state.revision))
    }
}

impl Watching {
    pub(super) async fn next(&mut self) -> Result<Option<WatchEvent>, ClusterError> {
        let quiet = Instant::now() + self.cluster.0.options.bookmarks;
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            self.changes.borrow_and_update();
            let (events, revision) = self.cluster.events(self.after, &self.watched)?;
            self.after = revision;
            if !events.is_empty() {
                self.ready.extend(events);
                continue;
            }
            let now = Instant::now();
            if now >= self.ends {
                return Ok(None);
            }
            if now >= quiet {
                return Ok(Some(WatchEvent::Bookmark {
                    resource_version: self.after.to_string().into(),
                }));
            }
            let until = [Some(self.ends), Some(quiet), self.cluster.next_due()];
            let until = until.into_iter().flatten().min().unwrap_or(quiet);
            let changed = tokio::time::timeout_at(until, self.changes.changed()).await;
            if let Ok(Err(_)) = changed {
                return Ok(None);
            }
        }
    }
}
