//! Hooks that have ended, or are to end: they are let go, and deleted.

use gitops_core::{Manifest, Map, Str, Value};

use super::writes::{resource_version, uid};
use super::{Run, locked};
use crate::cluster::{Cluster, ClusterError, Write};
use crate::health;
use crate::health::HOOK_FINALIZER;
use crate::plan::DeletePolicy;
use crate::report::{OperationPhase, ResultCode};

impl<C: Cluster> Run<'_, C> {
    pub(super) async fn drop_finalizer(&self, object: &Manifest) -> Result<(), ClusterError> {
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
    pub(super) async fn release(&self, hooks: &[usize]) {
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
                let message = format!(
                    "Failed to remove hook finalizer: {}",
                    self.explain(&self.plan.tasks[index].key, &error)
                );
                self.amend(index, OperationPhase::Error, &message);
            }
        }
    }

    /// Deletes the hooks of this sync that want to go now.
    pub(super) async fn delete_hooks(&self, policy: DeletePolicy) {
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
            match self.delete(key, self.created(index), Str::new()).await {
                Ok(()) | Err(ClusterError::NotFound { .. }) => {}
                Err(error) => {
                    let message = format!(
                        "failed to delete resource: {}",
                        self.explain(&self.plan.tasks[index].key, &error)
                    );
                    self.amend(index, OperationPhase::Error, &message);
                }
            }
        }
    }

    /// The uid of what was created for a task.
    fn created(&self, index: usize) -> Str {
        locked(&self.written)
            .get(&index)
            .map(uid)
            .unwrap_or_default()
    }

    /// Hooks that run are stopped when the time is over.
    pub(super) async fn terminate(&self, running: &[usize]) {
        for &index in running {
            let task = &self.plan.tasks[index];
            if !task.is_hook() {
                continue;
            }
            self.release(&[index]).await;
            match self
                .delete(&task.key, self.created(index), Str::new())
                .await
            {
                Ok(()) | Err(ClusterError::NotFound { .. }) => {
                    self.amend(index, OperationPhase::Succeeded, "Deleted");
                }
                Err(error) => {
                    let message = format!(
                        "Failed to delete: {}",
                        self.explain(&self.plan.tasks[index].key, &error)
                    );
                    self.amend(index, OperationPhase::Failed, &message);
                }
            }
        }
    }
}
