//! The answers in which a server says what it serves.

use gitops_core::{Gvk, Str, Value};

use super::{Kind, Kinds};

/// Reads an `APIGroupDiscoveryList` (`apidiscovery.k8s.io/v2`): all groups,
/// versions and kinds in one answer.
pub(crate) fn aggregated(answer: &Value, kinds: &mut Kinds) {
    for group in items(answer, "items") {
        let name = str_at(group, &["metadata", "name"]);
        for version in items(group, "versions") {
            let version_name = str_at(version, &["version"]);
            let api_version = api_version(name, version_name);
            if str_at(version, &["freshness"]) == "Stale" {
                kinds.incomplete.push(api_version.clone());
            }
            kinds.add_version(api_version);
            for resource in items(version, "resources") {
                // A kind that is only a subresource has no path of its own.
                let kind = str_at(resource, &["responseKind", "kind"]);
                if kind.is_empty() {
                    continue;
                }
                kinds.add(Kind {
                    gvk: Gvk {
                        group: name.into(),
                        version: version_name.into(),
                        kind: kind.into(),
                    },
                    plural: str_at(resource, &["resource"]).into(),
                    namespaced: str_at(resource, &["scope"]) == "Namespaced",
                    verbs: verbs(resource),
                });
            }
        }
    }
}

/// The group versions of an `APIGroupList`, each group's preferred one first.
pub(crate) fn groups(answer: &Value) -> Vec<Str> {
    let mut versions = Vec::new();
    for group in items(answer, "groups") {
        let preferred = str_at(group, &["preferredVersion", "groupVersion"]);
        let served = items(group, "versions").iter();
        let served = served.map(|version| str_at(version, &["groupVersion"]));
        let first = (!preferred.is_empty()).then_some(preferred);
        versions.extend(
            first
                .into_iter()
                .chain(served.filter(|version| *version != preferred))
                .map(Str::from),
        );
    }
    versions
}

/// Reads an `APIResourceList`: the kinds of one group version.
pub(crate) fn resources(api_version: &str, answer: &Value, kinds: &mut Kinds) {
    kinds.add_version(api_version.into());
    for resource in items(answer, "resources") {
        let plural = str_at(resource, &["name"]);
        if plural.contains('/') {
            continue;
        }
        let mut gvk = Gvk::parse(api_version, str_at(resource, &["kind"]));
        // A list may serve kinds of another group; autoscaling's Scale does.
        if let Some(group) = resource.get("group").and_then(Value::as_str)
            && !group.is_empty()
        {
            gvk.group = group.into();
        }
        kinds.add(Kind {
            gvk,
            plural: plural.into(),
            namespaced: resource.get("namespaced").and_then(Value::as_bool) == Some(true),
            verbs: verbs(resource),
        });
    }
}

fn api_version(group: &str, version: &str) -> Str {
    if group.is_empty() {
        version.into()
    } else {
        ecow::eco_format!("{group}/{version}")
    }
}

fn verbs(resource: &Value) -> Vec<Str> {
    items(resource, "verbs")
        .iter()
        .filter_map(|verb| verb.as_str().map(Str::from))
        .collect()
}

fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_list).unwrap_or_default()
}

fn str_at<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    value.at(path).and_then(Value::as_str).unwrap_or_default()
}
