//! Keeps what is secret out of every difference.

use gitops_core::{Gvk, Map, Str, Value};

/// The annotation in which kubectl keeps a whole object, secrets included.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

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
    objects
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
