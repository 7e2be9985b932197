//! Custom resources: what a CustomResourceDefinition makes known.

use gitops_core::{Gvk, List, Manifest, Map, Value};

use super::kinds;
use crate::cluster::Kind;

/// One version of a custom resource.
#[derive(Clone, Debug)]
pub(super) struct Custom {
    pub(super) kind: Kind,
    /// Whether `status` is written apart from the rest.
    pub(super) has_status: bool,
    schema: Value,
}

impl Custom {
    /// Fills in the defaults of the schema.
    pub(super) fn fill(&self, object: &mut Map) {
        fill(&self.schema, object);
    }
}

fn fill(schema: &Value, object: &mut Map) {
    let Some(properties) = schema.get("properties").and_then(Value::as_map) else {
        if let Some(every @ Value::Map(_)) = schema.get("additionalProperties") {
            for (_, value) in object.iter_mut() {
                descend(every, value);
            }
        }
        return;
    };
    for (name, property) in properties {
        if !object.contains_key(name)
            && let Some(default) = property.get("default")
        {
            object.insert(name.clone(), default.clone());
        }
        if let Some(value) = object.get_mut(name) {
            descend(property, value);
        }
    }
}

fn descend(schema: &Value, value: &mut Value) {
    match value {
        Value::Map(map) => fill(schema, map),
        Value::List(items) => {
            if let Some(item) = schema.get("items") {
                for value in items.make_mut() {
                    descend(item, value);
                }
            }
        }
        _ => {}
    }
}

/// The versions that a definition serves, the stored one first.
pub(super) fn served(definition: &Manifest) -> Vec<Custom> {
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
    let mut customs: Vec<(bool, Custom)> = versions
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
            let custom = Custom {
                kind: kinds::served(gvk, text(&["spec", "names", "plural"]), namespaced),
                has_status: version.at(&["subresources", "status"]).is_some(),
                schema: version
                    .at(&["schema", "openAPIV3Schema"])
                    .cloned()
                    .unwrap_or_default(),
            };
            (!flag(version, "storage"), custom)
        })
        .collect();
    customs.sort_by_key(|(not_stored, _)| *not_stored);
    customs.into_iter().map(|(_, custom)| custom).collect()
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
