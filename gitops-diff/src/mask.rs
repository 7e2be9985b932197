//! Keeps what is secret out of every difference.

use std::collections::BTreeSet;

use gitops_core::redaction::{LAST_APPLIED, PART, Redaction};
use gitops_core::{Gvk, Map, Str, Value};

/// Annotations that say how an object is treated, and nothing of it.
const PLAIN: &str = "argocd.argoproj.io/";

/// The objects with every secret value replaced.
///
/// Equal values get equal masks and different ones masks of different length,
/// as Argo CD does it, so that a change stays visible and its content does
/// not. Objects of other kinds come back as they are.
pub(crate) fn mask<const N: usize>(gvk: &Gvk, objects: [Option<Map>; N]) -> [Option<Map>; N] {
    if !gvk.group.is_empty() || gvk.kind != "Secret" {
        return objects;
    }
    let mut objects = objects;
    // While the values can still be seen.
    let copies = copies(&objects);
    for field in ["data", "stringData"] {
        let mut names: Vec<Str> = Vec::new();
        for object in objects.iter().flatten() {
            match object.get(field) {
                Some(Value::Map(map)) => names.extend(map.keys().cloned()),
                _ => continue,
            }
        }
        names.sort();
        names.dedup();
        for name in names {
            mask_at(&mut objects, &[field, &name]);
        }
        // Anything but a map is no valid Secret; show nothing of it.
        for object in objects.iter_mut().flatten() {
            if let Some(value) = object.get_mut(field)
                && !matches!(value, Value::Map(_) | Value::Null)
            {
                *value = "++++++++".into();
            }
        }
    }
    mask_at(&mut objects, &["metadata", "annotations", LAST_APPLIED]);
    for (field, name) in &copies {
        mask_at(&mut objects, &["metadata", field, name]);
    }
    objects
}

/// Other annotations and labels in which a value stands, most likely in a copy
/// of the whole object that some controller keeps.
fn copies<const N: usize>(objects: &[Option<Map>; N]) -> BTreeSet<(&'static str, Str)> {
    let mut suspects = BTreeSet::new();
    for object in objects.iter().flatten() {
        let metadata = object.get("metadata").and_then(Value::as_map);
        for field in ["annotations", "labels"] {
            let texts = metadata.and_then(|metadata| metadata.get(field)?.as_map());
            for (name, text) in texts.into_iter().flatten() {
                let text = text.as_str().unwrap_or_default();
                if text.len() >= PART && !name.starts_with(PLAIN) && name != LAST_APPLIED {
                    suspects.insert((field, name.clone(), text));
                }
            }
        }
    }
    if suspects.is_empty() {
        return BTreeSet::new();
    }
    let mut redaction = Redaction::default();
    for object in objects.iter().flatten() {
        redaction.add(object);
    }
    let found = suspects
        .into_iter()
        .filter(|(_, _, text)| redaction.is_in(text));
    found.map(|(field, name, _)| (field, name)).collect()
}

fn mask_at<const N: usize>(objects: &mut [Option<Map>; N], path: &[&str]) {
    let mut seen: Vec<Value> = Vec::new();
    for object in objects.iter_mut().flatten() {
        let Some(value) = value_mut(object, path) else {
            continue;
        };
        let place = match seen.iter().position(|seen| seen == value) {
            Some(place) => place,
            None => {
                seen.push(value.clone());
                seen.len() - 1
            }
        };
        *value = "+".repeat(8 + 4 * place).into();
    }
}

fn value_mut<'m>(object: &'m mut Map, path: &[&str]) -> Option<&'m mut Value> {
    let (last, above) = path.split_last()?;
    let mut map = object;
    for name in above {
        map = map.get_mut(name)?.as_map_mut()?;
    }
    map.get_mut(last)
}
