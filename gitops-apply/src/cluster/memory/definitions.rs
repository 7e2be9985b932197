//! Custom resources: what a CustomResourceDefinition makes known.

use gitops_core::{Gvk, List, Manifest, Map, Value};

use super::kinds;
use crate::cluster::Kind;

/// The versions that a definition serves, the stored one first.
pub(super) fn served(definition: &Manifest) -> Vec<Kind> {
    let text = |path: &[&str]| {
        definition
            .at(path)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let versions = definition
        .at(&["spec", "versions"])
        .and_then(Value::as_list);
    let flag =
        |version: &Value, name: &str| version.get(name).and_then(Value::as_bool) == Some(true);
    let mut served: Vec<(bool, Kind)> = versions
        .unwrap_or_default()
        .iter()
        .filter(|version| flag(version, "served"))
        .map(|version| {
            let name = version.get("name").and_then(Value::as_str);
            let gvk = Gvk {
                group: text(&["spec", "group"]).into(),
                version: name.unwrap_or_default().into(),
                kind: text(&["spec", "names", "kind"]).into(),
            };
            let namespaced = text(&["spec", "scope"]) == "Namespaced";
            let kind = kinds::served(gvk, text(&["spec", "names", "plural"]), namespaced);
            (!flag(version, "storage"), kind)
        })
        .collect();
    served.sort_by_key(|(not_stored, _)| *not_stored);
    served.into_iter().map(|(_, kind)| kind).collect()
}

/// Sets the conditions that say that objects of the kind can be written.
pub(super) fn establish(definition: &mut Manifest, time: &str) {
    let condition = |kind: &str, reason: &str, message: &str| {
        Value::Map(Map::from_iter([
            ("type", kind),
            ("status", "True"),
            ("reason", reason),
            ("message", message),
            ("lastTransitionTime", time),
        ]))
    };
    super::change(definition, |object| {
        let status = object.entry("status");
        if status.as_map().is_some() {
            return;
        }
        let conditions = List::from_iter([
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition(
                "Established",
                "InitialNamesAccepted",
                "the initial names have been accepted",
            ),
        ]);
        *status = Map::from_iter([("conditions", conditions)]).into();
    });
}
