//! The built-in types against those of client-go, type by type.
//!
//! Versions of Kubernetes differ, so only the version that is compiled in is
//! compared, and empty defaults are a server's alone.

use std::path::Path;
use std::sync::Arc;

use gitops_core::schema::{Schema, TypeRef};
use gitops_core::{Str, json};

use super::{Problem, case, check};
use crate::case::Case;
use crate::sets::LoadError;

/// What a server publishes otherwise than client-go has it; ours are the
/// server's.
const OTHERWISE: [&str; 3] = [
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
    "io.k8s.apimachinery.pkg.runtime.RawExtension",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
];

/// How many those are.
pub(super) const OTHERS: usize = OTHERWISE.len();

pub(super) fn load(dir: &Path) -> Result<Vec<Case>, LoadError> {
    let definition = json::parse(&std::fs::read(dir.join("schema/static-0.36.json"))?)?;
    let expected = Arc::new(Schema::from_definition(&definition)?);
    let names = expected.names().filter(|name| !OTHERWISE.contains(name));
    let names: Vec<Str> = names.map(Str::from).collect();
    Ok(names
        .into_iter()
        .map(|name| {
            let expected = expected.clone();
            case(format!("schema/0.36/{name}"), move || {
                compare(&expected, &name)
            })
        })
        .collect())
}

fn compare(expected: &Schema, name: &str) -> Result<(), Problem> {
    let found = Schema::builtin();
    let types = (expected.named(name), found.named(name));
    let (Some(a), Some(b)) = types else {
        return check("type", false, name.to_owned(), "none".into());
    };
    let (a, b) = (describe(expected, a, 0), describe(found, b, 0));
    check("type", a == b, a, b)
}

/// The type in words, as far as the next names.
fn describe(schema: &Schema, ty: TypeRef, depth: usize) -> String {
    if depth > 0
        && let Some(name) = schema.name_of(ty)
    {
        // Which is atomic throughout, under a name of its own.
        let raw = "io.k8s.apimachinery.pkg.runtime.RawExtension";
        let name = if name == raw {
            "__untyped_atomic_"
        } else {
            name
        };
        return format!("{name} {:?}", ty.relationship());
    }
    let atom = schema.resolve(ty);
    if depth > 0 && atom.scalar.is_some() && atom.map.is_some() {
        // Written out in one of the two, named in the other.
        return "__untyped_deduced_ None".to_owned();
    }
    let mut out = String::new();
    if let Some(scalar) = atom.scalar {
        out += &format!("{scalar:?} ");
    }
    if let Some(list) = atom.list {
        let element = describe(schema, list.element, depth + 1);
        out += &format!("list {:?} {:?} of {element} ", list.relationship, list.keys);
    }
    if let Some(map) = atom.map {
        out += &format!("map {:?} {{", map.relationship);
        for field in &map.fields {
            let default = field.default.as_ref().map(json::to_string);
            let default =
                default.filter(|text| !matches!(text.as_str(), "\"\"" | "0" | "false" | "{}"));
            let place = describe(schema, field.ty, depth + 1);
            out += &format!("\n  {}: {place}", field.name);
            out += &default.map_or(String::new(), |default| format!(" = {default}"));
        }
        if let Some(element) = map.element {
            out += &format!("\n  *: {}", describe(schema, element, depth + 1));
        }
        out += "}";
    }
    out
}
