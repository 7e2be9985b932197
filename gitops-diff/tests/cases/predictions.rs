//! What a server answers, foretold. `gitops-apply/tests/cluster/differential.rs`
//! compares it with a real one.

use gitops_core::schema::Schemas;
use gitops_core::{Manifest, Origin, Value, json};
use gitops_diff::managed_fields::keeps_emptied;
use gitops_diff::predict::{Doubt, Options, predict};

use super::{applied, read};

const MAP: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: m, namespace: ns}
data: {x: '1', y: '2'}
";

fn options(manager: &str, force: bool) -> Options {
    Options {
        force,
        ..Options::new(manager)
    }
}

#[test]
fn what_is_there_already_is_not_written() {
    let live = applied(None, MAP, "me");
    let found = predict(
        Some(&live),
        &read(MAP),
        &Schemas::new(),
        &options("me", false),
    );
    assert!(found.is_exact() && !found.writes);
    assert_eq!(found.object.as_ref(), Some(live.object()));
}

#[test]
fn a_second_owner_of_equal_values_is_written_down() {
    let live = applied(None, MAP, "me");
    let found = predict(
        Some(&live),
        &read(MAP),
        &Schemas::new(),
        &options("you", false),
    );
    assert!(found.is_exact() && found.writes && found.conflicts.is_empty());
}

#[test]
fn conflicts_name_the_owner_and_the_field() {
    let live = applied(None, MAP, "me");
    let config = MAP.replace("'1'", "'3'");
    let found = predict(
        Some(&live),
        &read(&config),
        &Schemas::new(),
        &options("you", false),
    );
    assert_eq!(
        found.refusal.as_deref(),
        Some("Apply failed with 1 conflict: conflict with \"me\": .data.x")
    );
    assert!(found.is_exact() && found.object.is_none());
    let forced = predict(
        Some(&live),
        &read(&config),
        &Schemas::new(),
        &options("you", true),
    );
    let object = Value::Map(forced.object.unwrap());
    assert_eq!(object.at(&["data", "x"]), Some(&"3".into()));
}

#[test]
fn unknown_fields_are_refused_in_the_servers_words() {
    let config = MAP.replace("\ndata:", "\ndato:");
    let found = predict(None, &read(&config), &Schemas::new(), &options("me", false));
    assert_eq!(
        found.refusal.as_deref(),
        Some(
            "failed to create typed patch object (ns/m; v1, Kind=ConfigMap): .dato: field not \
             declared in schema"
        )
    );
    assert!(found.is_exact());
}

#[test]
fn what_cannot_be_known_is_said() {
    let service = "
apiVersion: v1
kind: Service
metadata: {name: s, namespace: ns}
spec: {clusterIP: 10.0.0.1, ports: [{port: 80}]}
";
    let live = applied(None, service, "me");
    let changed = service.replace("10.0.0.1", "10.0.0.2");
    let found = predict(
        Some(&live),
        &read(&changed),
        &Schemas::new(),
        &options("me", false),
    );
    let immutable = Doubt::Immutable("spec.clusterIP".into());
    assert!(found.doubts().contains(&immutable), "{found:?}");
    let new = predict(None, &read(MAP), &Schemas::new(), &options("me", false));
    assert_eq!(new.doubts(), [Doubt::Creation]);
    let other = read("{apiVersion: x.example.com/v1, kind: Odd, metadata: {name: o}}");
    let found = predict(None, &other, &Schemas::new(), &options("me", false));
    assert!(
        matches!(found.doubts(), [Doubt::Creation, Doubt::UnknownKind(_), ..]),
        "{found:?}"
    );
    // Somebody owns fields in a version from which only the server converts.
    let text = json::to_string(&applied(None, MAP, "you").to_value());
    let old = text.replace(
        r#""apiVersion":"v1","fieldsType""#,
        r#""apiVersion":"v0","fieldsType""#,
    );
    let old = json::parse(old.as_bytes()).unwrap();
    let old = Manifest::new(old, Origin::default()).unwrap();
    let found = predict(
        Some(&old),
        &read(MAP),
        &Schemas::new(),
        &options("me", false),
    );
    assert!(
        matches!(found.doubts(), [Doubt::Conversion { .. }]),
        "{found:?}"
    );
}

#[test]
fn objects_that_nobody_applied_are_owned_by_what_was_before() {
    let live = read(MAP);
    let config = MAP.replace("'1'", "'3'");
    let found = predict(
        Some(&live),
        &read(&config),
        &Schemas::new(),
        &options("me", false),
    );
    assert_eq!(
        found.refusal.as_deref(),
        Some(
            "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .data.x"
        )
    );
}

#[test]
fn quantities_and_empty_fields_come_out_as_a_server_writes_them() {
    let pod = "
apiVersion: v1
kind: PodTemplate
metadata: {name: p, namespace: ns}
template:
  spec:
    nodeName: ''
    containers: [{name: a, image: i, args: [], resources: {limits: {cpu: 1000m}}}]
";
    let found = predict(None, &read(pod), &Schemas::new(), &options("me", false));
    let spec = Value::Map(found.object.clone().unwrap());
    let spec = spec.at(&["template", "spec"]).unwrap();
    assert_eq!(spec.get("nodeName"), None);
    let container = &spec.get("containers").and_then(Value::as_list).unwrap()[0];
    assert_eq!(container.get("args"), None);
    assert_eq!(
        container.at(&["resources", "limits", "cpu"]),
        Some(&"1".into())
    );
    assert!(
        found
            .doubts()
            .iter()
            .any(|doubt| matches!(doubt, Doubt::Quantity(_)))
    );
}

#[test]
fn only_some_servers_keep_emptied_containers() {
    for (version, keeps) in [
        ("v1.35.4", false),
        ("v1.36.0", true),
        ("v1.36.2+k3s1", true),
        ("v1.36.1-eks-1234", true),
        ("v1.36.0-beta.0", false),
        ("v1.36.3", false),
        ("v1.37.0-alpha.2", true),
        ("v1.37.0-beta.1", false),
    ] {
        assert_eq!(keeps_emptied(version), keeps, "{version}");
    }
}
