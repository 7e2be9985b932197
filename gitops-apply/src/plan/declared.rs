//! What is declared: in its namespace, once, marked, of a kind that is known.

use std::collections::{BTreeMap, BTreeSet};

use gitops_core::{Manifest, ObjectKey, Str, Value, inventory};

use super::hooks::Role;
use super::options::PlanOptions;
use super::refusal::{Refusal, Warning};
use super::task::Action;
use super::{Plan, hooks};
use crate::live::LiveState;
use crate::secrets;

/// The wanted objects with their namespaces decided, each only once, marked.
pub(super) fn settle(
    desired: &[Manifest],
    live: &LiveState,
    options: &PlanOptions,
    plan: &mut Plan,
) -> Vec<(Manifest, Role)> {
    let scopes: BTreeMap<(&str, &str), bool> = desired
        .iter()
        .filter(|object| inventory::is_definition(object))
        .filter_map(|definition| {
            let text = |path: &[&str]| definition.at(path).and_then(Value::as_str);
            let kind = (text(&["spec", "group"])?, text(&["spec", "names", "kind"])?);
            Some((kind, text(&["spec", "scope"])? == "Namespaced"))
        })
        .collect();
    let mut settled: Vec<Option<(Manifest, Role)>> = Vec::with_capacity(desired.len());
    let mut seen: BTreeMap<ObjectKey, (usize, usize)> = BTreeMap::new();
    for object in desired {
        let mut object = object.clone();
        let role = hooks::role(&object);
        let (group, kind) = (object.key().group.clone(), object.key().kind.clone());
        let namespaced = live
            .kinds
            .is_namespaced(&group, &kind)
            .or_else(|| scopes.get(&(group.as_str(), kind.as_str())).copied());
        // A kind that nobody knows most likely lives in a namespace.
        if !namespaced.unwrap_or_else(|| !is_cluster_scoped(&group, &kind)) {
            object.set_namespace("");
        } else if object.namespace().is_empty() {
            if options.namespace.is_empty() {
                plan.refusals.push(Refusal::NoNamespace {
                    key: object.key().clone(),
                });
            } else {
                object.set_namespace(&options.namespace);
            }
        }
        if object.name().is_empty() {
            if let Role::Hook(_) = role {
                settled.push(Some((object, role)));
            } else {
                plan.refusals.push(Refusal::NoName {
                    kind: kind.clone(),
                    origin: object.origin.to_string().into(),
                });
            }
            continue;
        }
        // Who owns `stringData.x` does not own the `data.x` that the server
        // makes of it, and could never remove it.
        secrets::fold_string_data(&mut object);
        options.tracking.mark(&mut object, &options.namespace);
        let (place, times) = seen
            .entry(object.key().clone())
            .or_insert((settled.len(), 0));
        if *times > 0 {
            settled[*place] = None;
        }
        *place = settled.len();
        *times += 1;
        settled.push(Some((object, role)));
    }
    for (key, (_, times)) in seen {
        if times > 1 {
            plan.warnings.push(Warning::Repeated { key, times });
        }
    }
    settled.into_iter().flatten().collect()
}

/// Built-in kinds outside namespaces, for when no server was asked.
fn is_cluster_scoped(group: &str, kind: &str) -> bool {
    match group {
        "" => matches!(
            kind,
            "Namespace" | "Node" | "PersistentVolume" | "ComponentStatus"
        ),
        "rbac.authorization.k8s.io" => matches!(kind, "ClusterRole" | "ClusterRoleBinding"),
        "storage.k8s.io" => kind != "CSIStorageCapacity",
        "networking.k8s.io" => matches!(kind, "IngressClass" | "IPAddress" | "ServiceCIDR"),
        "resource.k8s.io" => matches!(kind, "DeviceClass" | "ResourceSlice"),
        "apiextensions.k8s.io"
        | "apiregistration.k8s.io"
        | "admissionregistration.k8s.io"
        | "certificates.k8s.io"
        | "flowcontrol.apiserver.k8s.io"
        | "node.k8s.io"
        | "scheduling.k8s.io" => true,
        _ => false,
    }
}

/// Refuses objects of kinds that the server will not know when their turn
/// comes. An empty discovery means that no server was asked.
pub(super) fn check_kinds(definitions: &BTreeSet<Str>, live: &LiveState, plan: &mut Plan) {
    if live.kinds.all().next().is_none() {
        return;
    }
    for task in &mut plan.tasks {
        if task.desired.is_none()
            || matches!(task.action, Action::Skip { .. })
            || live.kinds.of(&task.gvk()).is_some()
        {
            continue;
        }
        let kind = ecow::eco_format!("{}/{}", task.key.group, task.key.kind);
        if task.options.skip_dry_run_on_missing || definitions.contains(&kind) {
            task.kind_is_new = true;
            continue;
        }
        let key = task.key.clone();
        plan.refusals
            .push(match live.kinds.find(&key.group, "", &key.kind) {
                Some(kind) => Refusal::UnknownVersion {
                    version: task.version.clone(),
                    served: kind.gvk.version.clone(),
                    key,
                },
                None => Refusal::UnknownKind { key },
            });
    }
}
