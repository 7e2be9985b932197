//! What is there: the state that a plan is made against.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::stream::StreamExt;
use gitops_core::inventory::Tracking;
use gitops_core::{Gvk, Manifest, ObjectKey, Str, Value};

use crate::cluster::{Cluster, ClusterError, Kinds, Selection, at_once};
use crate::plan::is_copied;
use crate::record::{Record, Recorded, group_and_kind};

/// The live objects that matter to an application, and the kinds that its
/// server serves.
///
/// The default is an empty cluster of which nothing is known.
#[derive(Clone, Default)]
pub struct LiveState {
    /// What is declared and there, and what is marked as the application's.
    pub objects: BTreeMap<ObjectKey, Manifest>,
    /// What the server serves; empty if none was asked.
    pub kinds: Arc<Kinds>,
    /// Kinds that could not be read, and why: nothing of them is pruned.
    pub unreadable: Vec<(Gvk, String)>,
    /// What is recorded of the application.
    pub recorded: Recorded,
    /// The namespaces of ours that are declared no more and hold nothing but
    /// what is ours too, or comes with every namespace.
    pub vacant: BTreeSet<Str>,
}

impl std::fmt::Debug for LiveState {
    /// The names only: the objects may be Secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.objects.keys()).finish()
    }
}

/// Where objects are looked for that are declared no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scan {
    /// Nowhere: only what is declared is read.
    Nothing,
    /// Among the kinds that are declared, and these: those of the last sync,
    /// for instance.
    Kinds(Vec<Gvk>),
    /// Among all kinds that can be listed.
    Everything,
}

/// How the live state is read.
#[derive(Clone, Debug)]
pub struct LiveOptions {
    /// How the application's objects are recognised.
    pub tracking: Tracking,
    /// The namespace of objects that name none.
    pub namespace: Str,
    /// Where objects are looked for that are declared no more.
    pub scan: Scan,
    /// The namespaces that are looked into; all if empty.
    pub namespaces: Vec<Str>,
    /// Where it is recorded what the application owns. What is recorded is
    /// read, wherever else is looked.
    pub record: Record,
    /// How many requests are made at once.
    pub concurrency: usize,
}

impl LiveOptions {
    /// Everything marked as the application's, in all namespaces.
    pub fn new(app: impl Into<Str>, namespace: impl Into<Str>) -> Self {
        LiveOptions {
            tracking: Tracking::new(app),
            namespace: namespace.into(),
            scan: Scan::Everything,
            namespaces: Vec::new(),
            record: Record::Marks,
            concurrency: 32,
        }
    }
}

/// Kinds that are records of what happens rather than objects somebody
/// declares; Argo CD leaves them out too.
fn is_excluded(group: &str, kind: &str) -> bool {
    match group {
        "" => matches!(kind, "Event" | "Endpoints"),
        "events.k8s.io"
        | "metrics.k8s.io"
        | "custom.metrics.k8s.io"
        | "external.metrics.k8s.io" => true,
        "coordination.k8s.io" => kind == "Lease",
        "discovery.k8s.io" => kind == "EndpointSlice",
        "certificates.k8s.io" => kind == "CertificateSigningRequest",
        "authentication.k8s.io" | "authorization.k8s.io" => kind.ends_with("Review"),
        "cert-manager.io" => kind == "CertificateRequest",
        "cilium.io" => matches!(
            kind,
            "CiliumIdentity" | "CiliumEndpoint" | "CiliumEndpointSlice"
        ),
        "kyverno.io" | "reports.kyverno.io" | "wgpolicyk8s.io" => {
            kind.ends_with("Report") || kind == "UpdateRequest"
        }
        _ => false,
    }
}

/// The groups with kinds that are not known, because the server behind them
/// does not answer, except those of which nothing is declared.
fn silent_groups(kinds: &Kinds) -> impl Iterator<Item = Gvk> {
    let silent = kinds.incomplete.iter();
    let silent = silent.map(|api_version| Gvk::parse(api_version, "*"));
    silent.filter(|gvk| !is_excluded(&gvk.group, &gvk.kind))
}

impl LiveState {
    /// Reads what is declared or marked as the application's.
    ///
    /// A kind that may not be read is noted in
    /// [`unreadable`](LiveState::unreadable) unless it is declared; a group
    /// whose server does not answer is too, if something of it was looked for.
    ///
    /// # Errors
    ///
    /// If the server cannot be asked, or does not let a declared kind be read.
    pub async fn read<C: Cluster>(
        cluster: &C,
        desired: &[Manifest],
        options: &LiveOptions,
    ) -> Result<LiveState, ClusterError> {
        let kinds = cluster.kinds().await?;
        let mut declared: BTreeMap<Gvk, BTreeSet<ObjectKey>> = BTreeMap::new();
        for object in desired {
            let key = object.key();
            let key = match kinds.is_namespaced(&key.group, &key.kind) {
                Some(false) => key.in_namespace(""),
                _ if key.namespace.is_empty() => key.in_namespace(&options.namespace),
                _ => key.clone(),
            };
            declared
                .entry(object.gvk().clone())
                .or_default()
                .insert(key);
        }
        // The destination may have to be created.
        if !options.namespace.is_empty() {
            declared
                .entry(Gvk::parse("v1", "Namespace"))
                .or_default()
                .insert(ObjectKey {
                    group: Str::new(),
                    kind: "Namespace".into(),
                    namespace: Str::new(),
                    name: options.namespace.clone(),
                });
        }
        let mut state = LiveState {
            kinds: kinds.clone(),
            recorded: options.record.read(&options.tracking.app, cluster).await?,
            ..LiveState::default()
        };
        let mut namespaces = options.namespaces.clone();
        state.recorded.note_unserved(&kinds);
        let mut recorded: Vec<Gvk> = Vec::new();
        if let Some(inventory) = state.recorded.inventory() {
            for (key, entry) in &inventory.entries {
                let kind = kinds
                    .find(&key.group, &entry.version, &key.kind)
                    .or_else(|| kinds.find(&key.group, "", &key.kind));
                recorded.extend(kind.map(|kind| kind.gvk.clone()));
                if !namespaces.is_empty() && !key.namespace.is_empty() {
                    namespaces.push(key.namespace.clone());
                }
            }
        }
        if let Some(set) = state.recorded.apply_set() {
            for (group, kind) in set.kinds.iter().map(|kind| group_and_kind(kind)) {
                recorded.extend(kinds.find(&group, "", &kind).map(|kind| kind.gvk.clone()));
            }
            if !namespaces.is_empty() {
                namespaces.push(set.parent.namespace.clone());
                namespaces.extend(set.namespaces.iter().cloned());
            }
        }
        namespaces.sort();
        namespaces.dedup();

        let mut scanned: BTreeSet<Gvk> = BTreeSet::new();
        match &options.scan {
            Scan::Nothing => {}
            Scan::Kinds(more) => {
                scanned.extend(declared.keys().cloned());
                scanned.extend(more.iter().cloned());
            }
            Scan::Everything => {
                scanned.extend(kinds.preferred().map(|kind| kind.gvk.clone()));
                // A declared version stands for the preferred one.
                for gvk in declared.keys() {
                    scanned.retain(|have| have.group != gvk.group || have.kind != gvk.kind);
                }
                scanned.extend(declared.keys().cloned());
            }
        }
        for gvk in recorded {
            let is_in = |have: &Gvk| have.group == gvk.group && have.kind == gvk.kind;
            if !scanned.iter().any(is_in) {
                scanned.insert(gvk);
            }
        }
        for silent in silent_groups(&kinds) {
            let is_wanted = matches!(options.scan, Scan::Everything)
                || state.recorded.has_unserved(&silent.group)
                || scanned
                    .iter()
                    .any(|gvk| gvk.group == silent.group && kinds.of(gvk).is_none());
            if is_wanted {
                let problem = "the server behind it does not answer".to_owned();
                state.unreadable.push((silent, problem));
            }
        }
        let mut selections = Vec::new();
        for gvk in &scanned {
            let Some(kind) = kinds.of(gvk) else { continue };
            if !kind.can("list") || is_excluded(&gvk.group, &gvk.kind) {
                continue;
            }
            if kind.namespaced && !namespaces.is_empty() {
                let within = |namespace: &Str| Selection::within(gvk.clone(), namespace.clone());
                selections.extend(namespaces.iter().map(within));
            } else {
                selections.push(Selection::all(gvk.clone()));
            }
        }
        let mut listings = at_once(
            selections
                .iter()
                .map(|selection| async move { (selection, cluster.list(selection).await) }),
            options.concurrency,
        );
        while let Some((selection, listing)) = listings.next().await {
            let listing = match listing {
                Ok(listing) => listing,
                // Gone since discovery.
                Err(ClusterError::UnknownKind { .. } | ClusterError::NotFound { .. }) => continue,
                Err(
                    error @ (ClusterError::Forbidden { .. }
                    | ClusterError::Refused { .. }
                    | ClusterError::Answer { .. }),
                ) if !declared.contains_key(&selection.gvk) => {
                    state
                        .unreadable
                        .push((selection.gvk.clone(), error.to_string()));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let wanted = declared.get(&selection.gvk);
            for object in listing.items {
                let is_wanted = wanted.is_some_and(|keys| keys.contains(object.key()));
                if is_wanted || options.tracking.owns(&object) {
                    state.objects.insert(object.key().clone(), object);
                }
            }
        }
        drop(listings);
        state.unreadable.sort();
        state.unreadable.dedup();

        // What no listing could have shown is asked for by name.
        let listed: BTreeSet<(&Gvk, &str)> = selections
            .iter()
            .map(|selection| (&selection.gvk, selection.namespace.as_str()))
            .collect();
        let missing: Vec<(&Gvk, &ObjectKey)> = declared
            .iter()
            .flat_map(|(gvk, keys)| keys.iter().map(move |key| (gvk, key)))
            .filter(|(gvk, key)| {
                kinds.of(gvk).is_some()
                    && !key.name.is_empty()
                    && !listed.contains(&(*gvk, ""))
                    && !listed.contains(&(*gvk, key.namespace.as_str()))
            })
            .collect();
        let mut answers = at_once(
            missing
                .into_iter()
                .map(|(gvk, key)| cluster.get(key, &gvk.version)),
            options.concurrency,
        );
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(Some(object)) => {
                    state.objects.insert(object.key().clone(), object);
                }
                Ok(None) | Err(ClusterError::UnknownKind { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        drop(answers);
        state
            .look_into_namespaces(cluster, &declared, options)
            .await?;
        Ok(state)
    }

    /// Finds out which namespaces that may be pruned hold nothing of others.
    async fn look_into_namespaces<C: Cluster>(
        &mut self,
        cluster: &C,
        declared: &BTreeMap<Gvk, BTreeSet<ObjectKey>>,
        options: &LiveOptions,
    ) -> Result<(), ClusterError> {
        let is_declared = |key: &ObjectKey| declared.values().any(|keys| keys.contains(key));
        let candidates = self.objects.iter().filter(|(key, object)| {
            key.kind == "Namespace"
                && key.group.is_empty()
                && !is_declared(key)
                && options.tracking.owns(object)
        });
        let candidates: Vec<Str> = candidates.map(|(key, _)| key.name.clone()).collect();
        for namespace in candidates {
            let (kinds, limit) = (&self.kinds, options.concurrency);
            if is_vacant(cluster, kinds, &options.tracking, &namespace, limit).await? {
                self.vacant.insert(namespace);
            }
        }
        Ok(())
    }
}

/// Whether a namespace holds nothing of others, for sure.
pub(crate) async fn is_vacant<C: Cluster>(
    cluster: &C,
    kinds: &Kinds,
    tracking: &Tracking,
    namespace: &Str,
    concurrency: usize,
) -> Result<bool, ClusterError> {
    // What may not be seen may be there.
    if silent_groups(kinds).next().is_some() {
        return Ok(false);
    }
    let listed = kinds.preferred().filter(|kind| {
        kind.namespaced && kind.can("list") && !is_excluded(&kind.gvk.group, &kind.gvk.kind)
    });
    let selections: Vec<Selection> = listed
        .map(|kind| Selection::within(kind.gvk.clone(), namespace.clone()))
        .collect();
    let mut listings = at_once(
        selections.iter().map(|selection| cluster.list(selection)),
        concurrency,
    );
    let mut vacant = true;
    while let Some(listing) = listings.next().await {
        vacant &= match listing {
            Ok(listing) => listing.items.iter().all(|object| {
                let ours = tracking.owns(object) && !is_copied(object, tracking);
                ours || comes_with_a_namespace(object) || has_owner(object)
            }),
            // Gone since discovery.
            Err(ClusterError::UnknownKind { .. } | ClusterError::NotFound { .. }) => true,
            Err(
                ClusterError::Forbidden { .. }
                | ClusterError::Refused { .. }
                | ClusterError::Answer { .. },
            ) => false,
            Err(error) => return Err(error),
        };
    }
    Ok(vacant)
}

/// What another object owns shares its fate.
fn has_owner(object: &Manifest) -> bool {
    let owners = object.at(&["metadata", "ownerReferences"]);
    let owners = owners.and_then(Value::as_list).unwrap_or_default();
    !owners.is_empty()
}

/// What controllers put into every namespace.
fn comes_with_a_namespace(object: &Manifest) -> bool {
    let key = object.key();
    match (key.group.as_str(), key.kind.as_str(), key.name.as_str()) {
        ("", "ConfigMap", "kube-root-ca.crt") | ("", "ServiceAccount", "default") => true,
        ("", "Secret", _) => {
            object.at(&["type"]).and_then(Value::as_str)
                == Some("kubernetes.io/service-account-token")
        }
        _ => false,
    }
}
