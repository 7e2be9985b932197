//! The three dialects of patches, on objects that people have. Expected
//! patches are those of `kubectl apply` and `kubectl patch --local` (1.36).

use gitops_core::schema::{ObjectSchema, Schemas};
use gitops_core::{Gvk, Map, json, yaml};
use gitops_diff::patch::{PatchError, json as json_patch, merge, strategic};

fn map(text: &str) -> Map {
    let value = yaml::parse(text.as_bytes()).unwrap();
    value.as_map().cloned().unwrap()
}

fn show(map: &Map) -> String {
    json::to_string(&map.clone().into())
}

fn with<T>(kind: &str, work: impl FnOnce(ObjectSchema<'_>) -> T) -> T {
    let schemas = Schemas::new();
    work(schemas.of(&Gvk::parse("apps/v1", kind)))
}

const LAST: &str = "
spec:
  template:
    spec:
      containers:
      - {name: app, image: 'app:1', env: [{name: A, value: '1'}, {name: B, value: '2'}]}
      - {name: side, image: 'side:1'}
      volumes: [{name: cache, emptyDir: {}}]
";

#[test]
fn a_container_that_is_declared_no_more_is_deleted_by_its_name() {
    let modified = LAST
        .replace("      - {name: side, image: 'side:1'}\n", "")
        .replace("app:1", "app:2");
    let patch = with("Deployment", |schema| {
        strategic::three_way(&map(LAST), &map(&modified), &map(LAST), schema, true)
    });
    insta::assert_snapshot!(show(&patch.unwrap()), @r#"{"spec":{"template":{"spec":{"$setElementOrder/containers":[{"name":"app"}],"containers":[{"image":"app:2","name":"app"},{"$patch":"delete","name":"side"}]}}}}"#);
}

#[test]
fn a_volume_of_another_kind_retains_its_own_keys() {
    let modified = LAST.replace("emptyDir: {}", "configMap: {name: c}");
    let patch = with("Deployment", |schema| {
        strategic::three_way(&map(LAST), &map(&modified), &map(LAST), schema, true)
    });
    let patch = patch.unwrap();
    insta::assert_snapshot!(show(&patch), @r#"{"spec":{"template":{"spec":{"$setElementOrder/volumes":[{"name":"cache"}],"volumes":[{"$retainKeys":["configMap","name"],"configMap":{"name":"c"},"emptyDir":null,"name":"cache"}]}}}}"#);
    let applied = with("Deployment", |schema| {
        strategic::apply(&map(LAST), &patch, schema).unwrap()
    });
    assert_eq!(applied, map(&modified));
}

#[test]
fn what_changed_on_both_sides_is_a_conflict_if_asked_for() {
    let modified = LAST.replace("app:1", "app:2");
    let current = LAST.replace("app:1", "app:3");
    let error = with("Deployment", |schema| {
        strategic::three_way(&map(LAST), &map(&modified), &map(&current), schema, false)
    });
    let expected = ".spec.template.spec.containers.image";
    assert_eq!(error, Err(PatchError::Conflict(expected.into())));
}

#[test]
fn names_and_kinds_are_not_patched() {
    let (a, b) = (map("metadata: {name: a}"), map("metadata: {name: b}"));
    let error = merge::three_way(&a, &b, &a);
    assert_eq!(error, Err(PatchError::Precondition));
}

#[test]
fn structs_that_hold_lists_merge_by_the_key_of_the_field() {
    let document = json::parse(
        br##"{"components": {"schemas": {"item": {"properties": {
        "name": {"type": "string"}, "value": {"type": "string"},
        "inner": {"allOf": [{"$ref": "#/components/schemas/item"}],
                  "x-kubernetes-patch-strategy": "merge",
                  "x-kubernetes-patch-merge-key": "name"}}}}}}"##,
    );
    let schema = gitops_core::schema::Schema::from_openapi(&document.unwrap()).unwrap();
    let root = schema.named("item").unwrap();
    let schema = ObjectSchema {
        schema: &schema,
        root,
    };
    let original = map("inner: [{name: a, inner: [{name: b}]}]");
    let modified = map("inner: [{name: a, inner: [{name: b, value: x}]}]");
    let patch = strategic::diff(&original, &modified, schema).unwrap();
    insta::assert_snapshot!(show(&patch), @r#"{"$setElementOrder/inner":[{"name":"a"}],"inner":[{"$setElementOrder/inner":[{"name":"b"}],"inner":[{"name":"b","value":"x"}],"name":"a"}]}"#);
}

#[test]
fn operations_say_where_they_fail() {
    let document = yaml::parse(b"{a: [1, 2]}").unwrap();
    let error = |patch: &str| {
        let patch = json_patch::Patch::parse(&json::parse(patch.as_bytes()).unwrap());
        patch
            .and_then(|patch| patch.apply(&document))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        error(r#"[{"op": "remove", "path": "/a/2"}]"#),
        "remove /a/2: nothing is there"
    );
    assert_eq!(
        error(r#"[{"op": "add", "path": "/a/01", "value": 0}]"#),
        "add /a/01: there is no such position"
    );
    assert_eq!(
        error(r#"[{"op": "test", "path": "/a/0", "value": 2}]"#),
        "test /a/0: the value is another"
    );
    assert_eq!(
        error(r#"[{"op": "increase", "path": ""}]"#),
        r#"unknown operation "increase""#
    );
}
