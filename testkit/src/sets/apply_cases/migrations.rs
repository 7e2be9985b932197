//! From client-side to server-side apply: the tables of
//! `client-go/util/csaupgrade`.
//!
//! | table in `smd/fieldmanager/csaupgrade_test.json` | what a case is          |
//! |--------------------------------------------------|-------------------------|
//! | `TestFindOwners`                                 | who owns these fields   |
//! | `TestUpgradeCSA`                                 | owners before and after |

use std::path::Path;

use gitops_core::{Manifest, Map, Origin, Value, json, yaml};
use gitops_diff::managed_fields::{Operation, entries, set_entries, taken_over};

use super::smd::set_of;
use super::{Problem, case, check, field, list, same_value, text};
use crate::case::Case;
use crate::sets::LoadError;

/// Cases in which a client has fields in several versions: upstream drops those
/// in versions that the other manager does not speak.
pub(super) const VERSIONS: usize = 2;

/// A case of entries that belong to a subresource.
pub(super) const SUBRESOURCES: usize = 1;

pub(super) fn load(dir: &Path) -> Result<Vec<Case>, LoadError> {
    let file = dir.join("smd/fieldmanager/csaupgrade_test.json");
    let tables = json::parse(&std::fs::read(file)?)?;
    let table = |name: &str| {
        let table = tables.get(&format!("upgrade_test.go:{name}"));
        table.map(list).unwrap_or_default().iter().cloned()
    };
    let named = |item: &Value| text(item, "Name").to_owned();
    let mut cases = Vec::new();
    for item in table("TestFindOwners:testCases") {
        let name = format!("csaupgrade/owners/{}", named(&item));
        cases.push(case(name, move || owners(&item)));
    }
    for item in table("TestUpgradeCSA:cases") {
        if named(&item).ends_with("applicable-version") || item.get("Options").is_some() {
            continue;
        }
        let name = format!("csaupgrade/upgrade/{}", named(&item));
        cases.push(case(name, move || upgrade(&item)));
    }
    Ok(cases)
}

fn owners(item: &Value) -> Result<(), Problem> {
    let metadata = yaml::parse(text(item, "ManagedFieldsYAML").as_bytes())?;
    let object = Map::from_iter([("metadata", metadata)]);
    let operation = match text(field(item, "Operation")?, "$go") {
        "metav1.ManagedFieldsOperationApply" => Operation::Apply,
        _ => Operation::Update,
    };
    let fields = set_of(field(item, "Fields")?)?;
    let found: Value = entries(&object)
        .into_iter()
        .filter(|entry| entry.operation == operation && fields.is_subset(&entry.fields))
        .map(|entry| Value::from(entry.manager))
        .collect();
    same_value("owners", field(item, "Expectation")?, &found)
}

fn upgrade(item: &Value) -> Result<(), Problem> {
    let object = |name: &str| -> Result<Manifest, Problem> {
        let value = yaml::parse(text(item, name).as_bytes())?;
        Ok(Manifest::new(value, Origin::default())?)
    };
    let manager = text(item, "SSAManager");
    let mut live = object("OriginalObject")?;
    for client in list(field(item, "CSAManagers")?) {
        let client = client.as_str().unwrap_or_default();
        if let Some(taken) = taken_over(&live, client, manager) {
            live = taken;
        }
    }
    // Upstream leaves entries where they were; a server sorts them.
    let sorted = |object: &Manifest| {
        let mut object = object.object().clone();
        let entries = entries(&object);
        set_entries(&mut object, entries);
        json::to_string(&Value::Map(object))
    };
    let (expected, found) = (sorted(&object("ExpectedObject")?), sorted(&live));
    check("object", expected == found, expected, found)
}
