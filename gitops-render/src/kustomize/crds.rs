//! `crds`: OpenAPI definitions whose extensions say which fields of custom
//! resources hold labels, annotations and names of other objects.

use gitops_core::{Str, Value, json, yaml};

use super::error::{Error, ErrorKind, Result};
use super::fields::FieldSpec;
use super::id::Gvk;
use super::loader::Loader;
use super::specs::{self, BackReference, Specs};

/// How deep definitions may refer to each other.
const DEEPEST: usize = 100;

/// The field specs of all files.
pub(super) fn load(paths: &[Str], loader: &Loader<'_>) -> Result<Specs> {
    let mut all = Specs::default();
    for path in paths {
        let (text, file) = loader.load_at(path)?;
        let parsed = match text.first() {
            Some(b'{') => json::parse(&text).map_err(|error| error.to_string()),
            _ => yaml::parse(&text)
                .map_err(|error| format!("error converting YAML to JSON: {error}")),
        };
        let definitions = parsed.map_err(|problem| {
            Error::new(
                ErrorKind::Parse,
                format!("unable to parse open API definition from '{path}': {problem}"),
            )
            .at(&file, 0)
        })?;
        all = all.merge(&from_definitions(&definitions)?)?;
    }
    Ok(all)
}

fn from_definitions(definitions: &Value) -> Result<Specs> {
    let mut all = Specs::default();
    let Some(map) = definitions.as_map() else {
        return Ok(all);
    };
    for (name, definition) in map {
        let is_kind = ["kind", "apiVersion", "metadata"]
            .iter()
            .all(|field| properties(definition).is_some_and(|fields| fields.get(field).is_some()));
        if !is_kind {
            continue;
        }
        let kind = name.rsplit('.').next().unwrap_or_default();
        let gvk = Gvk {
            kind: kind.into(),
            ..Gvk::default()
        };
        let mut found = Specs::default();
        collect(&mut found, &gvk, definitions, name, &mut Vec::new())?;
        all = all.merge(&found)?;
    }
    Ok(all)
}

fn properties(definition: &Value) -> Option<&Value> {
    let schema = definition
        .get("Schema")
        .or_else(|| definition.get("schema"))?;
    schema.get("properties")
}

fn collect<'v>(
    specs: &mut Specs,
    gvk: &Gvk,
    definitions: &'v Value,
    name: &str,
    path: &mut Vec<&'v str>,
) -> Result<()> {
    if path.len() > DEEPEST {
        return Err(Error::new(
            ErrorKind::Limit,
            format!("{name}: definitions refer to each other more than {DEEPEST} deep"),
        ));
    }
    let fields = definitions
        .get(name)
        .and_then(properties)
        .and_then(Value::as_map);
    let Some(fields) = fields else {
        return Ok(());
    };
    for (field, property) in fields {
        path.push(field);
        let spec = |path: &[&str]| FieldSpec::new(gvk.clone(), path.join("/"), false);
        let text = |key: &str| property.get(key).and_then(Value::as_str);
        if text("x-kubernetes-annotation").is_some() {
            specs::merge_one(&mut specs.common_annotations, &spec(path))?;
        }
        if text("x-kubernetes-label-selector").is_some() {
            specs::merge_one(&mut specs.common_labels, &spec(path))?;
        }
        if text("x-kubernetes-identity").is_some() {
            specs::merge_one(&mut specs.name_prefix, &spec(path))?;
        }
        if let (Some(version), Some(kind)) = (
            text("x-kubernetes-object-ref-api-version"),
            text("x-kubernetes-object-ref-kind"),
        ) {
            path.push(text("x-kubernetes-object-ref-name-key").unwrap_or("name"));
            specs.add_back_reference(&BackReference {
                referral: Gvk {
                    group: Str::new(),
                    version: version.into(),
                    kind: kind.into(),
                },
                referrers: vec![spec(path)],
            })?;
            path.pop();
        }
        if let Some(reference) = text("$ref") {
            collect(specs, gvk, definitions, reference, path)?;
        }
        path.pop();
    }
    Ok(())
}
