//! How one object is written, replaced or deleted.

use std::time::Duration;

use gitops_core::{Manifest, ObjectKey, Str, Value, inventory};
use tokio::time::Instant;

use super::{Run, locked};
use crate::cluster::{Cluster, ClusterError, Deletion, Write};
use crate::live;
use crate::plan::{Action, Task, migrate};

impl<C: Cluster> Run<'_, C> {
    /// Applies one object, and does what its kind needs beside it.
    pub(super) async fn apply_one(&self, index: usize) -> Result<String, ClusterError> {
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
    pub(super) async fn migrate(&self, task: &Task) -> Result<(), ClusterError> {
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
    pub(super) async fn write_known(&self, task: &Task) -> Result<Manifest, ClusterError> {
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
    pub(super) async fn write(&self, task: &Task, dry_run: bool) -> Result<Manifest, ClusterError> {
        let Some(desired) = task.desired() else {
            unreachable!("only tasks with a desired state are written");
        };
        let write = Write {
            force: self.options.force_conflicts,
            dry_run,
            validate: task.options.validate,
            ..Write::by(self.plan.manager.clone())
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

    /// Deletes an earlier run of a hook, and nothing else of its name.
    pub(super) async fn clear(&self, task: &Task) -> Result<(), ClusterError> {
        match self.find(task).await? {
            None => Ok(()),
            Some(found) if self.plan.may_clear(&found) => self.remove_found(task, &found).await,
            Some(_) => Err(ClusterError::AlreadyExists {
                key: task.key.clone(),
            }),
        }
    }

    /// Deletes an object by its key and waits until it is gone.
    pub(super) async fn remove(&self, task: &Task) -> Result<(), ClusterError> {
        match self.find(task).await? {
            None => Ok(()),
            Some(found) => self.remove_found(task, &found).await,
        }
    }

    async fn find(&self, task: &Task) -> Result<Option<Manifest>, ClusterError> {
        let found = self
            .patiently("get", &task.key, false, || {
                self.cluster.get(&task.key, &task.version)
            })
            .await;
        match found {
            Err(ClusterError::UnknownKind { .. }) => Ok(None),
            found => found,
        }
    }

    /// Our finalizer must not keep it.
    async fn remove_found(&self, task: &Task, found: &Manifest) -> Result<(), ClusterError> {
        self.drop_finalizer(found).await?;
        if !is_leaving(found) {
            match self.delete(&task.key, uid(found), Str::new()).await {
                Ok(()) | Err(ClusterError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.wait_for_absence(&task.key).await
    }

    /// Prunes one object, if it is still the one that was planned, and still
    /// the application's. Says why not, if it is not.
    pub(super) async fn prune_one(
        &self,
        task: &Task,
    ) -> Result<Option<&'static str>, ClusterError> {
        const RACES: usize = 8;
        let Some(planned) = task.live() else {
            return Ok(None);
        };
        if task.key.kind == "Namespace" && task.key.group.is_empty() && !is_leaving(planned) {
            let vacant = self
                .patiently("list", &task.key, false, || self.is_vacant(&task.key.name))
                .await?;
            if !vacant {
                return Ok(Some("ignored (the namespace holds what is to stay)"));
            }
        }
        let mut live = planned.clone();
        for _ in 0..RACES {
            if is_leaving(&live) {
                return Ok(None);
            }
            let version = resource_version(&live).into();
            match self.delete(&task.key, uid(planned), version).await {
                Ok(()) | Err(ClusterError::NotFound { .. }) => return Ok(None),
                Err(ClusterError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
            // It has changed: a controller has noted how it fares, or somebody
            // has taken it over.
            let found = self
                .patiently("get", &task.key, false, || {
                    self.cluster.get(&task.key, &task.version)
                })
                .await?;
            live = match found {
                None => return Ok(None),
                Some(found) if uid(&found) != uid(planned) => {
                    return Ok(Some("ignored (another object has taken its place)"));
                }
                Some(found) if !self.plan.may_prune(&found) => {
                    return Ok(Some(
                        "ignored (it is somebody else's by now, or to be kept)",
                    ));
                }
                Some(found) => found,
            };
        }
        // It changes all the time, and was ours each time.
        match self.delete(&task.key, uid(planned), Str::new()).await {
            Ok(()) | Err(ClusterError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a namespace is as empty as it was when the plan was made.
    async fn is_vacant(&self, namespace: &Str) -> Result<bool, ClusterError> {
        let kinds = self.cluster.kinds().await?;
        let (tracking, limit) = (self.plan.tracking(), self.options.concurrency);
        live::is_vacant(self.cluster, &kinds, tracking, namespace, limit).await
    }

    pub(super) async fn delete(
        &self,
        key: &ObjectKey,
        uid: Str,
        resource_version: Str,
    ) -> Result<(), ClusterError> {
        let deletion = Deletion {
            propagation: self.plan.propagation,
            uid,
            resource_version,
            dry_run: false,
        };
        self.patiently("delete", key, false, || self.cluster.delete(key, &deletion))
            .await
    }
}

pub(super) fn is_leaving(object: &Manifest) -> bool {
    object.at(&["metadata", "deletionTimestamp"]).is_some()
}

pub(super) fn uid(object: &Manifest) -> Str {
    let uid = object.at(&["metadata", "uid"]).and_then(Value::as_str);
    uid.unwrap_or_default().into()
}

pub(super) fn resource_version(object: &Manifest) -> &str {
    object
        .at(&["metadata", "resourceVersion"])
        .and_then(Value::as_str)
        .unwrap_or_default()
}
