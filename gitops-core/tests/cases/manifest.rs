use gitops_core::manifest::{self, NotAnObject};
use gitops_core::{Manifest, Origin};

fn read(text: &str) -> Result<Vec<String>, String> {
    let show = |manifest: &Manifest| format!("{} {}", manifest.origin, manifest.key());
    match manifest::parse(text.as_bytes(), &Origin::file("f.yaml")) {
        Ok(manifests) => Ok(manifests.iter().map(show).collect()),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn documents_become_manifests_with_their_lines() {
    let text = "# a comment\n---\n# another\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  \
                name: a\n  namespace: ns\n---\n---\n{apiVersion: v1, kind: Pod, metadata: {name: b}}\n";
    assert_eq!(
        read(text).unwrap(),
        ["f.yaml:4 apps/Deployment:ns/a", "f.yaml:11 Pod:b"]
    );
}

#[test]
fn lists_stand_for_their_items() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: a}\n\
                - apiVersion: v1\n  kind: PodList\n  items:\n  - metadata: {name: b}\n";
    assert_eq!(read(text).unwrap(), ["f.yaml:4 Pod:a", "f.yaml:7 Pod:b"]);
    // A kind that merely ends so is an object.
    let text = "apiVersion: x/v1\nkind: AllowList\nmetadata: {name: a}\n";
    assert_eq!(read(text).unwrap(), ["f.yaml:1 x/AllowList:a"]);
}

#[test]
fn json_values_may_follow_one_another() {
    let text = "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\\/b\"}}\n\n\
                {\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"c\"}}";
    assert_eq!(read(text).unwrap(), ["f.yaml:1 Pod:a/b", "f.yaml:3 Pod:c"]);
}

#[test]
fn errors_say_where_and_what_to_do() {
    let cases = [
        (
            "#\n---\nkind: a\n  b: c\n",
            "f.yaml:4:4: mapping values are not allowed in this context; quote values that contain \
             \": \", and check the indentation",
        ),
        (
            "kind: Pod\napiVersion: v1\nmetadata:\n\tname: x\n",
            "f.yaml:4:1: found character that cannot start any token; indent with spaces instead \
             of tabs, and quote values that start with @, ` or %",
        ),
        (
            "- a\n",
            "f.yaml:1: expected a Kubernetes object, found array; separate objects with ---, or put \
             them into the items of a kind: List",
        ),
        (
            "---\nkind: Pod\n",
            "f.yaml:2: missing apiVersion; every Kubernetes object needs apiVersion, kind and \
             metadata.name",
        ),
        ("a: \x01", "f.yaml: control characters are not allowed"),
    ];
    for (text, expected) in cases {
        assert_eq!(read(text).unwrap_err(), expected, "{text}");
    }
    let error = manifest::parse(b"kind: Pod\n", &Origin::file("f")).unwrap_err();
    assert_eq!(
        error.not_an_object(),
        Some(&NotAnObject::Missing {
            field: "apiVersion"
        })
    );
}
