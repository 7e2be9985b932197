//! What is refused: fields that the schema does not have, names that are no
//! names, and the mistakes that people make most often.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gitops_core::schema::Schemas;
use gitops_core::{Manifest, Map, Value};

use crate::smd::{Duplicates, Typed};

/// Checks an object that was not applied against its schema; an apply does so
/// itself.
///
/// # Errors
///
/// Every field that does not fit.
pub fn fields(object: &Manifest, schemas: &Schemas) -> Result<(), String> {
    let mut fields = object.object().clone();
    if let Some(Value::Map(metadata)) = fields.get_mut("metadata") {
        metadata.remove("managedFields");
    }
    Typed::new(
        Value::Map(fields),
        schemas.of(object.gvk()),
        Duplicates::Allow,
    )
    .map(drop)
    .map_err(|error| error.to_string())
}

/// The most that the annotations of an object may hold together.
const LONGEST_ANNOTATIONS: usize = 262_144;

/// Checks an object as it would be stored, with all defaults.
///
/// # Errors
///
/// The server's words for the first thing that it would refuse.
pub fn object(object: &Manifest) -> Result<(), String> {
    let key = object.key();
    // Roles are named by paths of colons; everything else is a host name.
    let is_role = key.group == "rbac.authorization.k8s.io";
    if !is_role && !is_subdomain(object.name()) {
        return Err(format!(
            "metadata.name: Invalid value: {:?}: a lowercase RFC 1123 subdomain must consist of \
             lower case alphanumeric characters, '-' or '.', and must start and end with an \
             alphanumeric character",
            object.name()
        ));
    }
    if let Some(labels) = object.at(&["metadata", "labels"]).and_then(Value::as_map) {
        for (name, value) in labels {
            check_label(name, value)?;
        }
    }
    if let Some(annotations) = object
        .at(&["metadata", "annotations"])
        .and_then(Value::as_map)
    {
        let length = |(name, value): (&_, &Value)| {
            let name: &gitops_core::Str = name;
            name.len() + value.as_str().map_or(0, str::len)
        };
        if annotations.iter().map(length).sum::<usize>() > LONGEST_ANNOTATIONS {
            return Err(format!(
                "metadata.annotations: Too long: may not be more than {LONGEST_ANNOTATIONS} bytes"
            ));
        }
    }
    let fields = object.object();
    match (key.group.as_str(), key.kind.as_str()) {
        ("", "Pod") => pod(fields.get("spec"), "spec"),
        ("", "PodTemplate") => pod(object.at(&["template", "spec"]), "template.spec"),
        ("apps", _) | ("batch", "Job") => {
            let spec = fields.get("spec").unwrap_or(&Value::Null);
            if key.group == "apps" && key.kind != "ControllerRevision" {
                selector(spec)?;
            }
            if key.kind == "ControllerRevision" {
                return Ok(());
            }
            pod(spec.at(&["template", "spec"]), "spec.template.spec")?;
            strategy(&key.kind, spec)?;
            job(&key.kind, spec)
        }
        ("batch", "CronJob") => pod(
            object.at(&["spec", "jobTemplate", "spec", "template", "spec"]),
            "spec.jobTemplate.spec.template.spec",
        ),
        ("", "Secret") => secret(fields),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            let read = Schemas::new().add_crd(object);
            read.map(drop)
                .map_err(|error| format!("spec.versions: {error}"))
        }
        ("", "Service") => service(fields.get("spec")),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            required(object.at(&["roleRef", "name"]), "roleRef.name")
        }
        _ => Ok(()),
    }
}

fn is_label_text(text: &str, longest: usize) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= longest
        && edge(text.chars().next())
        && edge(text.chars().last())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

fn check_label(name: &str, value: &Value) -> Result<(), String> {
    let (prefix, short) = name.split_once('/').unwrap_or(("", name));
    if !is_label_text(short, 63) || !(prefix.is_empty() || is_subdomain(prefix)) {
        return Err(format!(
            "metadata.labels: Invalid value: {name:?}: no label name"
        ));
    }
    let value = value.as_str().unwrap_or_default();
    if !value.is_empty() && !is_label_text(value, 63) {
        return Err(format!(
            "metadata.labels: Invalid value: {value:?}: a valid label must be an empty string or \
             consist of at most 63 alphanumeric characters, '-', '_' or '.', and must start and \
             end with an alphanumeric character"
        ));
    }
    Ok(())
}

fn is_subdomain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 253
        && name.split('.').all(|label| {
            let edge =
                |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
            edge(label.chars().next())
                && edge(label.chars().last())
                && label
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        })
}

fn required(value: Option<&Value>, path: &str) -> Result<(), String> {
    let missing = match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::List(items)) => items.is_empty(),
        Some(_) => false,
    };
    match missing {
        true => Err(format!("{path}: Required value")),
        false => Ok(()),
    }
}

/// A workload must select the pods that it makes.
fn selector(spec: &Value) -> Result<(), String> {
    let wanted = spec
        .at(&["selector", "matchLabels"])
        .and_then(Value::as_map);
    let expressions = spec.at(&["selector", "matchExpressions"]);
    if wanted.is_none_or(Map::is_empty) && expressions.is_none() {
        return Err("spec.selector: Required value".to_owned());
    }
    let labels = spec.at(&["template", "metadata", "labels"]);
    let has = |(name, value): (&gitops_core::Str, &Value)| {
        labels.and_then(|labels| labels.get(name)) == Some(value)
    };
    if !wanted.into_iter().flat_map(Map::iter).all(has) {
        return Err(
            "spec.template.metadata.labels: Invalid value: `selector` does not match template \
             `labels`"
                .to_owned(),
        );
    }
    Ok(())
}

/// Who replaces pods all at once has nothing to say about rolling.
fn strategy(kind: &str, spec: &Value) -> Result<(), String> {
    let (field, other) = match kind {
        "Deployment" => ("strategy", "Recreate"),
        "StatefulSet" | "DaemonSet" => ("updateStrategy", "OnDelete"),
        _ => return Ok(()),
    };
    let kind = spec.at(&[field, "type"]).and_then(Value::as_str);
    match kind == Some(other) && spec.at(&[field, "rollingUpdate"]).is_some() {
        true => Err(format!(
            "spec.{field}.rollingUpdate: Forbidden: may not be specified when strategy `type` is \
             '{other}'"
        )),
        false => Ok(()),
    }
}

fn job(kind: &str, spec: &Value) -> Result<(), String> {
    let policy = spec
        .at(&["template", "spec", "restartPolicy"])
        .and_then(Value::as_str)
        .unwrap_or_default();
    match (kind, policy) {
        ("Job", "OnFailure" | "Never") => Ok(()),
        ("Job", policy) => Err(format!(
            "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \
             \"Never\", found {policy:?}"
        )),
        (_, "Always") => Ok(()),
        (_, policy) => Err(format!(
            "spec.template.spec.restartPolicy: Unsupported value: {policy:?}: supported values: \
             \"Always\""
        )),
    }
}

fn pod(spec: Option<&Value>, path: &str) -> Result<(), String> {
    let containers = spec.and_then(|spec| spec.get("containers"));
    required(containers, &format!("{path}.containers"))?;
    let volumes = spec.and_then(|spec| spec.get("volumes")?.as_list());
    let volumes = volumes.unwrap_or_default();
    for (index, volume) in volumes.iter().enumerate() {
        let sources = volume.as_map().map_or(0, |volume| {
            volume.keys().filter(|name| name.as_str() != "name").count()
        });
        if sources > 1 {
            return Err(format!(
                "{path}.volumes[{index}]: Forbidden: may not specify more than 1 volume type"
            ));
        }
    }
    let volumes: Vec<&str> = volumes
        .iter()
        .filter_map(|volume| volume.get("name")?.as_str())
        .collect();
    let containers = containers.and_then(Value::as_list).unwrap_or_default();
    for (index, container) in containers.iter().enumerate() {
        let path = format!("{path}.containers[{index}]");
        required(container.get("name"), &format!("{path}.name"))?;
        required(container.get("image"), &format!("{path}.image"))?;
        let mounts = container.get("volumeMounts").and_then(Value::as_list);
        for (mount, wanted) in mounts.unwrap_or_default().iter().enumerate() {
            let name = wanted
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or_default();
            // Claims of a StatefulSet become volumes of its pods.
            if !volumes.contains(&name) && !path.starts_with("spec.template") {
                return Err(format!(
                    "{path}.volumeMounts[{mount}].name: Not found: {name:?}"
                ));
            }
        }
    }
    Ok(())
}

fn secret(fields: &Map) -> Result<(), String> {
    let Some(Value::Map(data)) = fields.get("data") else {
        return Ok(());
    };
    for (name, value) in data {
        let text = value.as_str().unwrap_or_default();
        if STANDARD.decode(text).is_err() {
            return Err(format!("data[{name}]: illegal base64 data"));
        }
    }
    Ok(())
}

fn service(spec: Option<&Value>) -> Result<(), String> {
    let text = |name: &str| spec.and_then(|spec| spec.get(name)?.as_str());
    let ports = spec.and_then(|spec| spec.get("ports"));
    if text("type") != Some("ExternalName") && text("clusterIP") != Some("None") {
        required(ports, "spec.ports")?;
    }
    let ports = ports.and_then(Value::as_list).unwrap_or_default();
    for (index, port) in ports.iter().enumerate() {
        let number = port.get("port").and_then(Value::as_i64);
        if !number.is_some_and(|number| (1..=65_535).contains(&number)) {
            return Err(format!(
                "spec.ports[{index}].port: Invalid value: must be between 1 and 65535, inclusive"
            ));
        }
        if ports.len() > 1 {
            required(port.get("name"), &format!("spec.ports[{index}].name"))?;
        }
        let same = |name: &str| {
            let earlier = &ports[..index];
            let value = port.get(name);
            value.is_some() && earlier.iter().any(|other| other.get(name) == value)
        };
        if same("name") {
            return Err(format!("spec.ports[{index}].name: Duplicate value"));
        }
        let identity = |port: &Value| (port.get("port").cloned(), port.get("protocol").cloned());
        if ports[..index]
            .iter()
            .any(|other| identity(other) == identity(port))
        {
            return Err(format!("spec.ports[{index}]: Duplicate value"));
        }
    }
    Ok(())
}
