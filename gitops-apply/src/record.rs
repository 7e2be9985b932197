//! Where it is recorded what an application owns.
//!
//! | record                            | kept in                     | says                    |
//! |-----------------------------------|-----------------------------|-------------------------|
//! | [`Marks`](Record::Marks)          | the objects themselves      | what their marks say    |
//! | [`Inventory`](Record::Inventory)  | a ConfigMap                 | each object, by uid     |
//! | [`ApplySet`](Record::ApplySet)    | a parent, as `kubectl` does | kinds and namespaces    |
//! | [`Flux`](Record::Flux)            | a Kustomization's status    | each object, by name    |
//!
//! Argo CD has no record but its marks, and neither have its applications here
//! unless asked otherwise. An inventory has the form of a Kustomization's
//! `status.inventory`, with uids added: what is marked but not recorded, or is
//! another object than the one that was recorded, is not pruned. The parent of
//! an ApplySet is that of KEP-3659, so that `kubectl apply --prune` can go on
//! where a sync ended, and the other way round. The same goes for Flux and the
//! status of a Kustomization, which has to be suspended meanwhile.
//!
//! A record is widened before anything is written, and is made exact at the
//! end. A sync that is killed in between leaves one that says too much, never
//! one that says too little; the next sync puts it right.

use std::collections::BTreeSet;

use gitops_core::inventory::{ApplySet, Entry, Inventory, Method, Tracking};
use gitops_core::{Gvk, Manifest, Map, ObjectKey, Origin, Str, Value, json};

use crate::cluster::{Cluster, ClusterError, Kinds, Selection};
use crate::plan::{Action, Plan, Task};

/// Where it is recorded what an application owns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Record {
    /// Nowhere: its objects are those that are marked as its own.
    #[default]
    Marks,
    /// In a ConfigMap that lists each object with its uid.
    Inventory {
        /// The ConfigMap's namespace.
        namespace: Str,
        /// The ConfigMap's name; each application needs one of its own.
        name: Str,
    },
    /// In the parent of an ApplySet, which lists kinds and namespaces. The
    /// objects have to be marked by
    /// [`Method::ApplySet`], with the
    /// set's [id](ApplySet::id) as the application.
    ApplySet {
        /// The parent: a Secret or a ConfigMap.
        parent: ObjectKey,
        /// The program that keeps the set, and its version: `kubectl/v1.36`.
        /// A set that another program keeps is refused.
        tooling: Str,
    },
    /// In `status.inventory` of a Kustomization of Flux, from which an
    /// application is taken over, or to which it is handed over. The
    /// Kustomization has to be there, and suspended. Objects have to be marked
    /// by [`Method::Flux`], as `namespace_name` of the Kustomization.
    Flux {
        /// The Kustomization's namespace.
        namespace: Str,
        /// The Kustomization's name.
        name: Str,
    },
}

/// The record of an application, as the cluster has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    record: Record,
    state: State,
    exists: bool,
    problem: Option<String>,
    /// Groups and kinds in it that the server does not serve now.
    unserved: BTreeSet<(Str, Str)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Marks,
    Inventory(Inventory),
    ApplySet(ApplySet),
}

const FLUX_GROUP: &str = "kustomize.toolkit.fluxcd.io";

/// The fields of the ConfigMap of an inventory.
const APPLICATION: &str = "application";
const INVENTORY: &str = "inventory";

/// The labels of the ConfigMaps of inventories.
const LABELS: [(&str, &str); 2] = [
    ("app.kubernetes.io/component", "inventory"),
    ("app.kubernetes.io/managed-by", "gitops"),
];

impl Record {
    /// The inventory in the ConfigMap `gitops-inventory-APP` of a namespace.
    pub fn inventory(app: &str, namespace: impl Into<Str>) -> Record {
        Record::Inventory {
            namespace: namespace.into(),
            // An application with a namespace of its own has it before a `_`,
            // which names of objects do not have.
            name: ecow::eco_format!("gitops-inventory-{}", app.replace('_', ".")),
        }
    }

    /// The ApplySet of a Secret, kept by this program.
    pub fn apply_set(name: impl Into<Str>, namespace: impl Into<Str>) -> Record {
        Record::ApplySet {
            parent: ObjectKey {
                group: Str::new(),
                kind: "Secret".into(),
                namespace: namespace.into(),
                name: name.into(),
            },
            tooling: concat!("gitops/v", env!("CARGO_PKG_VERSION")).into(),
        }
    }

    /// The object that the record is kept in.
    fn key(&self) -> Option<ObjectKey> {
        match self {
            Record::Marks => None,
            Record::Inventory { namespace, name } => Some(ObjectKey {
                group: Str::new(),
                kind: "ConfigMap".into(),
                namespace: namespace.clone(),
                name: name.clone(),
            }),
            Record::ApplySet { parent, .. } => Some(parent.clone()),
            Record::Flux { namespace, name } => Some(ObjectKey {
                group: FLUX_GROUP.into(),
                kind: "Kustomization".into(),
                namespace: namespace.clone(),
                name: name.clone(),
            }),
        }
    }

    /// How the application's objects are marked.
    pub fn tracking(&self, app: impl Into<Str>) -> Tracking {
        match self {
            Record::ApplySet { parent, .. } => Tracking {
                method: Method::ApplySet,
                ..Tracking::new(ApplySet::new(parent.clone()).id())
            },
            Record::Flux { namespace, name } => Tracking {
                method: Method::Flux,
                ..Tracking::new(ecow::eco_format!("{namespace}_{name}"))
            },
            Record::Marks | Record::Inventory { .. } => Tracking::new(app),
        }
    }

    /// Finds the object by its labels first: that is a listing, which a cache
    /// can answer.
    async fn find<C: Cluster>(
        &self,
        key: &ObjectKey,
        cluster: &C,
    ) -> Result<Option<Manifest>, ClusterError> {
        let labels = match self {
            Record::Marks => return Ok(None),
            Record::Inventory { .. } => {
                let pairs = LABELS.map(|(name, value)| format!("{name}={value}"));
                pairs.join(",")
            }
            Record::ApplySet { parent, .. } => {
                format!("{}={}", ApplySet::ID, ApplySet::new(parent.clone()).id())
            }
            Record::Flux { .. } => String::new(),
        };
        let selection = Selection {
            labels: labels.into(),
            ..Selection::within(
                Gvk {
                    group: key.group.clone(),
                    version: Str::new(),
                    kind: key.kind.clone(),
                },
                key.namespace.clone(),
            )
        };
        let listing = cluster.list(&selection).await?;
        let found = listing.items.into_iter().find(|object| object.key() == key);
        match found {
            Some(found) => Ok(Some(found)),
            None => cluster.get(key, "").await,
        }
    }

    /// Reads the record of an application. What stands in the way of using it
    /// becomes a refusal of the plan.
    ///
    /// # Errors
    ///
    /// If the server cannot be asked.
    pub async fn read<C: Cluster>(&self, app: &str, cluster: &C) -> Result<Recorded, ClusterError> {
        let mut recorded = Recorded {
            record: self.clone(),
            ..Recorded::default()
        };
        let Some(key) = self.key() else {
            return Ok(recorded);
        };
        let found = self.find(&key, cluster).await?;
        recorded.exists = found.is_some();
        let read = match self {
            Record::Marks => Ok(State::Marks),
            Record::Inventory { .. } => match &found {
                None => Ok(State::Inventory(Inventory::default())),
                Some(found) => inventory(found, app).map(State::Inventory),
            },
            Record::ApplySet { tooling, .. } => match &found {
                None => Ok(State::ApplySet(ApplySet::new(key))),
                Some(found) => ApplySet::read(found, tooling)
                    .map(State::ApplySet)
                    .map_err(|error| error.to_string()),
            },
            Record::Flux { .. } => match &found {
                None => Err(format!("there is no {key} to keep an inventory in")),
                Some(found) => inventory_of_flux(found).map(State::Inventory),
            },
        };
        match read {
            Ok(state) => recorded.state = state,
            Err(problem) => recorded.problem = Some(problem),
        }
        Ok(recorded)
    }
}

fn inventory(map: &Manifest, app: &str) -> Result<Inventory, String> {
    let key = map.key();
    let text = |field| map.at(&["data", field]).and_then(Value::as_str);
    let owner = text(APPLICATION).unwrap_or_default();
    if owner != app {
        return Err(format!(
            "{key} is the inventory of application {owner:?}; each needs one of its own"
        ));
    }
    let broken = |problem: String| {
        format!(
            "{key} is no inventory ({problem}); delete it if its application may adopt what is marked"
        )
    };
    let text = text(INVENTORY).ok_or_else(|| broken("data.inventory is missing".to_owned()))?;
    let value = json::parse(text.as_bytes()).map_err(|error| broken(error.to_string()))?;
    Inventory::from_value(&value).map_err(|error| broken(error.to_string()))
}

fn inventory_of_flux(kustomization: &Manifest) -> Result<Inventory, String> {
    let key = kustomization.key();
    let suspended = kustomization.at(&["spec", "suspend"]);
    if suspended.and_then(Value::as_bool) != Some(true) {
        return Err(format!(
            "{key} is not suspended (spec.suspend), so that Flux applies and prunes the same objects"
        ));
    }
    let listed = kustomization.at(&["status", "inventory"]);
    let read = Inventory::from_value(listed.unwrap_or(&Value::Null));
    read.map_err(|error| format!("the inventory of {key} is not understood: {error}"))
}

impl Recorded {
    /// What was recorded object by object; `None` if that is not done, or
    /// nothing was recorded yet.
    pub fn inventory(&self) -> Option<&Inventory> {
        match &self.state {
            State::Inventory(inventory) if self.exists => Some(inventory),
            _ => None,
        }
    }

    /// The ApplySet, if the record is one.
    pub fn apply_set(&self) -> Option<&ApplySet> {
        match &self.state {
            State::ApplySet(set) => Some(set),
            _ => None,
        }
    }

    /// Why the record cannot be used.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Notes which of its kinds the server does not serve. They may come back,
    /// and their objects with them, so they stay in the record.
    pub(crate) fn note_unserved(&mut self, kinds: &Kinds) {
        let unserved: BTreeSet<(Str, Str)> = match &self.state {
            State::Marks => return,
            State::Inventory(inventory) => {
                let keys = inventory.entries.keys();
                keys.map(|key| (key.group.clone(), key.kind.clone()))
                    .collect()
            }
            State::ApplySet(set) => set.kinds.iter().map(|kind| group_and_kind(kind)).collect(),
        };
        let unserved = unserved.into_iter();
        self.unserved = unserved
            .filter(|(group, kind)| kinds.find(group, "", kind).is_none())
            .collect();
    }

    /// Whether it has kinds of a group that the server does not serve.
    pub(crate) fn has_unserved(&self, group: &str) -> bool {
        self.unserved.iter().any(|(have, _)| have == group)
    }

    /// The record as wide as it has to be while the plan is carried out:
    /// whatever may come to be ours is in it.
    pub(crate) fn widened(&self, plan: &Plan) -> Recorded {
        let mut wide = self.clone();
        for task in plan.tasks.iter().filter(|task| counts(task)) {
            match &mut wide.state {
                State::Marks => {}
                State::Inventory(inventory) => {
                    if task.desired.is_some() {
                        // What may be created again has another uid then.
                        let fixed = !task.options.force;
                        note(inventory, task, task.live().filter(|_| fixed));
                    }
                }
                State::ApplySet(set) => set.add(&task.key),
            }
        }
        wide.without_what_has_no_room()
    }

    /// An inventory of Flux has no uids.
    fn without_what_has_no_room(mut self) -> Recorded {
        if let (State::Inventory(inventory), Record::Flux { .. }) = (&mut self.state, &self.record)
        {
            for entry in inventory.entries.values_mut() {
                entry.uid = Str::new();
            }
        }
        self
    }

    /// The record of what is ours at the end. `written` is what the server
    /// answered to the write of a task, and `pruned` which ones are gone.
    pub(crate) fn exact<'m>(
        &self,
        plan: &Plan,
        written: impl Fn(usize) -> Option<&'m Manifest>,
        pruned: impl Fn(usize) -> bool,
    ) -> Recorded {
        let mut exact = self.widened(plan);
        let tasks = || {
            plan.tasks
                .iter()
                .enumerate()
                .filter(|(_, task)| counts(task))
        };
        match &mut exact.state {
            State::Marks => {}
            State::Inventory(inventory) => {
                // What has no task is there no more, or is somebody else's by
                // now, if all could be seen.
                if plan.sees_all {
                    let known: std::collections::BTreeSet<&ObjectKey> =
                        plan.tasks.iter().map(|task| &task.key).collect();
                    inventory.entries.retain(|key, _| {
                        known.contains(key)
                            || self
                                .unserved
                                .contains(&(key.group.clone(), key.kind.clone()))
                    });
                }
                for (index, task) in tasks() {
                    match (pruned(index), written(index)) {
                        (true, _) => drop(inventory.entries.remove(&task.key)),
                        (false, Some(written)) => note(inventory, task, Some(written)),
                        (false, None) => {}
                    }
                }
            }
            State::ApplySet(set) if plan.sees_all => {
                let mut kept = ApplySet::new(set.parent.clone());
                let unserved = |kind: &&Str| self.unserved.contains(&group_and_kind(kind));
                kept.kinds
                    .extend(set.kinds.iter().filter(unserved).cloned());
                if !kept.kinds.is_empty() {
                    kept.namespaces.clone_from(&set.namespaces);
                }
                *set = kept;
                for (index, task) in tasks() {
                    if !pruned(index) {
                        set.add(&task.key);
                    }
                }
            }
            State::ApplySet(_) => {}
        }
        exact.exists = true;
        exact.without_what_has_no_room()
    }

    /// Whether the cluster has it.
    pub(crate) fn is_there(&self) -> bool {
        self.exists
    }

    /// Notes that it has been written.
    pub(crate) fn exists(&mut self) {
        self.exists = true;
    }

    /// Whether the cluster has to be told, if it knows `known`.
    pub(crate) fn differs(&self, known: &Recorded) -> bool {
        self.state != known.state || (!known.exists && !matches!(self.state, State::Marks))
    }

    /// The object that holds the record, as far as it does, and the
    /// subresource by which it is written.
    pub(crate) fn manifest(&self, app: &str) -> Option<(Manifest, &'static str)> {
        let key = self.record.key()?;
        let mut metadata = Map::from_iter([
            ("name", Value::from(key.name)),
            ("namespace", key.namespace.into()),
        ]);
        let mut subresource = "";
        let (field, content) = match (&self.state, &self.record) {
            (State::Inventory(inventory), Record::Flux { .. }) => {
                subresource = "status";
                (
                    subresource,
                    Map::from_iter([("inventory", inventory.to_value())]),
                )
            }
            (State::Inventory(inventory), _) => {
                metadata.insert("labels", Map::from_iter(LABELS));
                let text = json::to_string(&inventory.to_value());
                let data = [(APPLICATION, app.to_owned()), (INVENTORY, text)];
                ("data", Map::from_iter(data))
            }
            _ => ("", Map::new()),
        };
        let api_version = match key.group.as_str() {
            "" => "v1".into(),
            group => ecow::eco_format!("{group}/v1"),
        };
        let mut object = Map::from_iter([
            ("apiVersion", Value::from(api_version)),
            ("kind", key.kind.into()),
            ("metadata", metadata.into()),
        ]);
        if !field.is_empty() {
            object.insert(field, content);
        }
        let mut manifest = Manifest::new(object.into(), Origin::default())
            .expect("whatever holds a record has a name");
        if let (State::ApplySet(set), Record::ApplySet { tooling, .. }) =
            (&self.state, &self.record)
        {
            set.mark_parent(&mut manifest, tooling);
        }
        Some((manifest, subresource))
    }
}

/// What an ApplySet calls `Kind.group`, or `Kind`.
pub(crate) fn group_and_kind(text: &str) -> (Str, Str) {
    let (kind, group) = text.split_once('.').unwrap_or((text, ""));
    (group.into(), kind.into())
}

/// Whether what the task is about is ours as long as it is there. Hooks go by
/// a policy of their own, and what is skipped although it is declared is not
/// touched.
fn counts(task: &Task) -> bool {
    match task.action {
        Action::Hook => false,
        Action::Skip { .. } => task.desired.is_none() || task.live.is_some(),
        _ => true,
    }
}

fn note(inventory: &mut Inventory, task: &Task, found: Option<&Manifest>) {
    match found {
        Some(found) => inventory.record(found),
        // It is not known yet which object that will be.
        None => {
            let entry = Entry {
                uid: Str::new(),
                version: task.version.clone(),
            };
            inventory.entries.insert(task.key.clone(), entry);
        }
    }
}
