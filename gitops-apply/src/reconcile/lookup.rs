//! What charts look up in the cluster.
//!
//! A render does not wait for a server. It is told what has been read so far,
//! and that anything else is not there, which is noted; what was missing is
//! read, and the chart is rendered again, until a render misses nothing. Its
//! answers are then those of the cluster, and they are the inputs of the
//! render. A chart that never comes to an end, because it asks for something
//! new each time, is an error.
//!
//! Errors are those of Helm's `lookup` (`pkg/engine/lookup_func.go`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use gitops_core::{Gvk, Map, ObjectKey, Str, Value};
use gitops_render::helm::{Objects, Query};

use crate::cluster::{Cluster, ClusterError, Selection, at_once};

/// How often a chart is rendered for the sake of what it looks up.
pub(super) const ROUNDS: usize = 8;

/// How many objects a look at an application may look up.
const MOST: usize = 1_000;

/// What the cluster answered, for one render after another.
#[derive(Clone, Default)]
pub(super) struct Answers {
    known: BTreeMap<Query, Result<Option<Map>, String>>,
    missing: Arc<Mutex<BTreeSet<Query>>>,
}

impl std::fmt::Debug for Answers {
    /// The questions: answers may be Secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.known.keys()).finish()
    }
}

impl Objects for Answers {
    fn lookup(&self, query: &Query) -> Result<Option<Map>, String> {
        if let Some(answer) = self.known.get(query) {
            return answer.clone();
        }
        self.missing().insert(query.clone());
        Ok(None)
    }
}

impl Answers {
    /// What there was no answer to since this was called last.
    pub(super) fn take_missing(&self) -> BTreeSet<Query> {
        std::mem::take(&mut *self.missing())
    }

    fn missing(&self) -> MutexGuard<'_, BTreeSet<Query>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what was missing.
    ///
    /// # Errors
    ///
    /// If the server cannot be asked; what it refuses is an answer. `None` if
    /// that would be too much.
    pub(super) async fn read<C: Cluster>(
        &mut self,
        missing: BTreeSet<Query>,
        cluster: &C,
        concurrency: usize,
    ) -> Result<Option<()>, ClusterError> {
        if self.known.len() + missing.len() > MOST {
            return Ok(None);
        }
        let mut answers = at_once(
            missing.into_iter().map(|query| async move {
                let answer = answer(&query, cluster).await;
                (query, answer)
            }),
            concurrency,
        );
        while let Some((query, answer)) = answers.next().await {
            self.known.insert(query, answer?);
        }
        Ok(Some(()))
    }
}

async fn answer<C: Cluster>(
    query: &Query,
    cluster: &C,
) -> Result<Result<Option<Map>, String>, ClusterError> {
    let gvk = Gvk::parse(&query.api_version, &query.kind);
    let kinds = cluster.kinds().await?;
    let Some(kind) = kinds.of(&gvk) else {
        let Gvk { version, .. } = &gvk;
        return Ok(Err(format!(
            "unable to get apiresource from unstructured: {}, Kind={}: the server could not find \
             the requested resource",
            match gvk.group.is_empty() {
                true => version.to_string(),
                false => format!("{}/{version}", gvk.group),
            },
            gvk.kind
        )));
    };
    let namespace = match kind.namespaced {
        true => query.namespace.clone(),
        false => Str::new(),
    };
    let found = if query.name.is_empty() {
        let selection = Selection::within(gvk.clone(), namespace);
        cluster.list(&selection).await.map(|listing| {
            let items = listing.items.into_iter().map(|object| object.to_value());
            let version = [("resourceVersion", Value::from(listing.resource_version))];
            Some(Map::from_iter([
                ("apiVersion", Value::from(query.api_version.clone())),
                ("items", Value::from_iter(items)),
                ("kind", ecow::eco_format!("{}List", query.kind).into()),
                ("metadata", Map::from_iter(version).into()),
            ]))
        })
    } else if kind.namespaced && namespace.is_empty() {
        // There is no such path.
        Ok(None)
    } else {
        let key = ObjectKey {
            group: gvk.group.clone(),
            kind: gvk.kind.clone(),
            namespace,
            name: query.name.clone(),
        };
        let found = cluster.get(&key, &gvk.version).await;
        found.map(|found| found.map(|object| object.object().clone()))
    };
    match found {
        Ok(found) => Ok(Ok(found)),
        Err(ClusterError::NotFound { .. }) => Ok(Ok(None)),
        Err(error) if error.is_transient() => Err(error),
        Err(error) => Ok(Err(error.explain())),
    }
}
