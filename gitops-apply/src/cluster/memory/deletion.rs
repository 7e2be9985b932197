//! How objects go: finalizers, owners, and what goes with them.

use gitops_core::{List, Manifest, Map, ObjectKey, Value, inventory};

use super::refusals::{not_found, resource};
use super::{
    Key, MemoryCluster, State, change, edit, finalizers, is_leaving, is_uid, key_of, owners, text,
};
use crate::cluster::{ClusterError, Deletion, Propagation};

/// The finalizer of an object whose dependents go first.
const FOREGROUND: &str = "foregroundDeletion";

impl MemoryCluster {
    /// Removes an object at last, and what it held up.
    pub(super) fn vanish(&self, state: &mut State, key: &Key) {
        let Some(mut object) = state.objects.remove(key) else {
            return;
        };
        state.revision += 1;
        let revision = state.revision;
        edit(&mut object, |metadata| {
            metadata.insert("resourceVersion", revision.to_string());
        });
        self.log(state, Some(object.clone()), None);
        if inventory::is_definition(&object) {
            state.undefine(&object);
        }
        self.collect(state, &text(&object, &["metadata", "uid"]));
        // Owners that waited for it, and its namespace.
        let waiting: Vec<Key> = state
            .objects
            .iter()
            .filter(|(_, waiting)| is_leaving(waiting))
            .map(|(key, _)| key.clone())
            .collect();
        for key in waiting {
            self.advance(state, &key);
        }
    }

    /// Deletes what nobody owns any more after `uid` is gone.
    pub(super) fn collect(&self, state: &mut State, uid: &str) {
        let orphans: Vec<Key> = state
            .objects
            .iter()
            .filter(|(_, object)| {
                let owners = owners(object);
                owners.iter().any(|owner| owner == uid)
                    && !owners.iter().any(|owner| {
                        owner != uid && state.objects.values().any(|object| is_uid(object, owner))
                    })
            })
            .map(|(key, _)| key.clone())
            .collect();
        for key in orphans {
            self.begin_deletion(state, &key, Propagation::Background);
        }
    }

    pub(super) fn begin_deletion(&self, state: &mut State, key: &Key, propagation: Propagation) {
        let Some(object) = state.objects.get(key).cloned() else {
            return;
        };
        let uid = text(&object, &["metadata", "uid"]);
        let dependents: Vec<Key> = state
            .objects
            .iter()
            .filter(|(_, object)| owners(object).contains(&uid))
            .map(|(key, _)| key.clone())
            .collect();
        if propagation == Propagation::Orphan {
            for key in &dependents {
                let Some(mut dependent) = state.objects.get(key).cloned() else {
                    continue;
                };
                edit(&mut dependent, |metadata| {
                    if let Some(Value::List(owners)) = metadata.get("ownerReferences") {
                        let others = owners
                            .iter()
                            .filter(|owner| owner.get("uid").and_then(Value::as_str) != Some(&uid));
                        let others: List = others.cloned().collect();
                        metadata.insert("ownerReferences", others);
                    }
                });
                self.put(state, dependent);
            }
        }
        let contents = state.contents(&object);
        let waits = !contents.is_empty()
            || (propagation == Propagation::Foreground && !dependents.is_empty());
        if !waits && finalizers(&object).is_empty() {
            self.vanish(state, key);
            return;
        }
        if !is_leaving(&object) {
            let time = self.time();
            let mut leaving = object;
            let foreground = propagation == Propagation::Foreground && !dependents.is_empty();
            edit(&mut leaving, |metadata| {
                metadata.insert("deletionTimestamp", time);
                metadata.insert("deletionGracePeriodSeconds", 0);
                if foreground {
                    let mut list = metadata
                        .get("finalizers")
                        .and_then(Value::as_list)
                        .map(|list| list.iter().cloned().collect::<List>())
                        .unwrap_or_default();
                    list.push(FOREGROUND.into());
                    metadata.insert("finalizers", list);
                }
            });
            if leaving.key().kind == "Namespace" && leaving.key().group.is_empty() {
                change(&mut leaving, |object| {
                    object.insert("status", Map::from_iter([("phase", "Terminating")]));
                });
            }
            self.put(state, leaving);
        }
        let below = if propagation == Propagation::Foreground {
            dependents
        } else {
            Vec::new()
        };
        for key in contents.into_iter().chain(below) {
            self.begin_deletion(state, &key, Propagation::Background);
        }
        self.advance(state, key);
    }

    /// Takes a leaving object one step on if nothing holds it up any more.
    pub(super) fn advance(&self, state: &mut State, key: &Key) {
        let Some(object) = state.objects.get(key).cloned() else {
            return;
        };
        if !is_leaving(&object) {
            return;
        }
        let uid = text(&object, &["metadata", "uid"]);
        let mut object = object;
        let held = finalizers(&object).iter().any(|name| name == FOREGROUND);
        if held {
            let owned = |object: &Manifest| owners(object).contains(&uid);
            if state.objects.values().any(owned) {
                return;
            }
            edit(&mut object, |metadata| {
                if let Some(Value::List(list)) = metadata.get("finalizers") {
                    let rest = list.iter().filter(|name| name.as_str() != Some(FOREGROUND));
                    let rest: List = rest.cloned().collect();
                    metadata.insert("finalizers", rest);
                }
            });
            object = self.put(state, object);
        }
        if finalizers(&object).is_empty() && state.contents(&object).is_empty() {
            self.vanish(state, key);
        }
    }

    pub(super) fn remove(&self, key: &ObjectKey, deletion: &Deletion) -> Result<(), ClusterError> {
        let mut state = self.state();
        let kind = state.preferred(&key.group, &key.kind)?;
        let stored = key_of(&match kind.namespaced {
            true => key.clone(),
            false => key.in_namespace(""),
        });
        let Some(object) = state.objects.get(&stored) else {
            return Err(not_found(key, &kind.plural));
        };
        for (what, field, wanted) in [
            ("UID", "uid", &deletion.uid),
            (
                "ResourceVersion",
                "resourceVersion",
                &deletion.resource_version,
            ),
        ] {
            let is = text(object, &["metadata", field]);
            if !wanted.is_empty() && *wanted != is {
                return Err(ClusterError::Conflict {
                    key: key.clone(),
                    message: format!(
                        "Operation cannot be fulfilled on {} {:?}: Precondition failed: {what} in \
                         precondition: {wanted}, {what} in object meta: {is}",
                        resource(&kind.plural, &key.group),
                        key.name.as_str(),
                    ),
                    fields: Vec::new(),
                });
            }
        }
        if key.kind == "Namespace"
            && ["default", "kube-system", "kube-public"].contains(&key.name.as_str())
        {
            return Err(ClusterError::Forbidden {
                message: format!(
                    "namespaces {:?} is forbidden: this namespace may not be deleted",
                    key.name.as_str()
                ),
            });
        }
        if !deletion.dry_run {
            self.begin_deletion(&mut state, &stored, deletion.propagation);
        }
        Ok(())
    }
}
