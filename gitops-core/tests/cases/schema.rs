//! Schemas: the table of built-in kinds, a server's OpenAPI, and definitions.

use gitops_core::schema::{PatchStrategy, Relationship, Scalar, Schema, Schemas, is_builtin};
use gitops_core::{Gvk, Manifest, Origin, json, manifest};

#[test]
fn the_table_is_what_its_reading_writes() {
    let table = include_str!("../../src/schema/builtin.txt");
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    let written = Schema::builtin().to_table();
    assert!(lines.eq(written.lines()));
}

#[test]
fn every_kind_of_a_server_is_built_in() {
    let schemas = Schemas::new();
    for (version, kind) in [
        ("v1", "Pod"),
        ("apps/v1", "Deployment"),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        ("apiregistration.k8s.io/v1", "APIService"),
        ("internal.apiserver.k8s.io/v1alpha1", "StorageVersion"),
        ("flowcontrol.apiserver.k8s.io/v1", "FlowSchema"),
    ] {
        let gvk = Gvk::parse(version, kind);
        assert!(schemas.knows(&gvk) && is_builtin(&gvk), "{version} {kind}");
    }
    let other = Gvk::parse("apps.example.com/v1", "Deployment");
    assert!(!schemas.knows(&other) && !is_builtin(&other));
}

#[test]
fn ports_merge_by_one_key_in_patches_and_by_two_when_applied() {
    let schema = Schema::builtin();
    let container = schema.named("io.k8s.api.core.v1.Container").unwrap();
    let container = schema.resolve(container).map.unwrap();
    let ports = container.field("ports").unwrap();
    assert_eq!(ports.patch.strategy, PatchStrategy::Merge);
    assert_eq!(ports.patch.merge_key, "containerPort");
    let list = schema.resolve(ports.ty).list.unwrap();
    assert_eq!(list.keys, ["containerPort", "protocol"]);
    let port = schema.resolve(list.element).map.unwrap();
    let default = port.field("protocol").unwrap().default.clone();
    assert_eq!(default, Some("TCP".into()));
}

fn definition(schema: &str) -> Manifest {
    let text = format!(
        "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: things.example.com}}
spec:
  group: example.com
  names: {{kind: Thing, plural: things}}
  scope: Namespaced
  versions: [{{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {schema}}}}}]
"
    );
    let mut read = manifest::parse(text.as_bytes(), &Origin::default()).unwrap();
    read.remove(0)
}

#[test]
fn unknown_fields_are_kept_in_all_below_what_keeps_them() {
    let mut schemas = Schemas::new();
    let added = schemas.add_crd(&definition(
        "{type: object, properties: {
            open: {type: object, x-kubernetes-preserve-unknown-fields: true, properties: {
              inner: {type: object, properties: {a: {type: string}}}}},
            shut: {type: object, properties: {a: {type: string}}},
            at: {type: string, format: date-time},
            port: {x-kubernetes-int-or-string: true},
            items: {type: array, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [id],
              items: {type: object, properties: {id: {type: string, default: x}}}},
            pod: {type: object, x-kubernetes-embedded-resource: true, properties: {
              spec: {type: object, properties: {b: {type: string}}}}}}}",
    ));
    assert_eq!(added, Ok(true));
    let found = schemas.of(&Gvk::parse("example.com/v1", "Thing"));
    let map = |path: &[&str]| {
        let ty = path.iter().fold(found.root, |ty, name| {
            let map = found.schema.resolve(ty).map.unwrap();
            map.child(name).unwrap()
        });
        found.schema.resolve(ty)
    };
    assert!(map(&["open", "inner"]).map.unwrap().element.is_some());
    assert!(map(&["shut"]).map.unwrap().element.is_none());
    assert_eq!(map(&["at"]).scalar, Some(Scalar::Untyped));
    assert_eq!(map(&["port"]).scalar, Some(Scalar::Untyped));
    let list = map(&["items"]).list.unwrap();
    assert_eq!(list.relationship, Relationship::Associative);
    let labels = map(&["pod", "metadata", "labels"]);
    assert!(labels.map.unwrap().element.is_some());
    let owners = map(&["metadata", "ownerReferences"]).list.unwrap();
    assert_eq!(owners.keys, ["uid"]);
}

#[test]
fn a_schema_that_no_server_takes_is_refused() {
    let mut schemas = Schemas::new();
    let problem = schemas.add_crd(&definition(
        "{type: object, properties: {a: {type: array, x-kubernetes-list-type: bag}}}",
    ));
    let problem = problem.unwrap_err().to_string();
    assert_eq!(problem, r#".a: unknown list type "bag""#);
    assert!(!schemas.knows(&Gvk::parse("example.com/v1", "Thing")));
}

#[test]
fn a_servers_own_document_stands_before_the_built_in_kinds() {
    let document = json::parse(
        br##"{"components": {"schemas": {
          "io.k8s.api.core.v1.Pod": {"type": "object",
            "properties": {"newest": {"type": "integer"},
              "list": {"type": "array", "items": {"type": "string"},
                       "x-kubernetes-patch-strategy": "merge"}},
            "x-kubernetes-group-version-kind": [{"group": "", "kind": "Pod", "version": "v1"}]}}}}"##,
    );
    let mut schemas = Schemas::new();
    assert_eq!(schemas.add_openapi(&document.unwrap()), Ok(1));
    let pod = schemas.of(&Gvk::parse("v1", "Pod"));
    let map = pod.schema.resolve(pod.root).map.unwrap();
    assert!(map.field("newest").is_some() && map.field("spec").is_none());
    // Without a list type, a patch strategy makes a set.
    let list = pod.schema.resolve(map.child("list").unwrap()).list.unwrap();
    assert_eq!(list.relationship, Relationship::Associative);
}
