//! Applications whose source is a kustomization, with everything that
//! `spec.source.kustomize` can say. What is expected was written by Kustomize
//! 5.8.1, after the `kustomize edit` commands that Argo CD would have run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gitops_apply::reconcile::{Desired, DesiredError, Repositories, Surroundings, desired};
use gitops_core::app::argo;
use gitops_core::tree::{MemoryTree, TreePath};
use gitops_core::{Manifest, Origin, Value, yaml};
use gitops_render::helm::{Capabilities, Seed};
use gitops_render::kustomize::{KustomizeOptions, build};
use gix::objs::tree::EntryKind;
use gix::refs::transaction::PreviousValue;

use crate::looks::commit;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/kustomizations")
}

/// What an application is rendered to, after `edit` of its text.
fn rendered(name: &str, edit: fn(String) -> String) -> Result<Desired, DesiredError> {
    let text = std::fs::read_to_string(directory().join(format!("{name}.application.yaml")));
    let text = edit(text.expect("the application lies beside this file"));
    let value = yaml::parse(text.as_bytes()).expect("an application");
    let manifest = Manifest::new(value, Origin::file("application.yaml")).expect("an object");
    let app = argo::from_manifest(&manifest).expect("an application");
    let mut repositories = Repositories::default();
    let place = directory();
    repositories.map(
        "https://git.example.com/shop",
        place.to_str().expect("a path"),
    );
    let seed = Seed::fixed(b"test", std::time::SystemTime::UNIX_EPOCH);
    let surroundings = Surroundings {
        capabilities: Capabilities::default(),
        seed,
        objects: None,
    };
    desired(&app, &repositories, &surroundings)
}

#[test]
fn applications_lay_their_wishes_over_kustomizations() {
    for name in ["selectors", "templates"] {
        let desired = rendered(name, |text| text).expect("it renders");
        let expected = std::fs::read(directory().join(format!("{name}.expected.yaml")));
        let mut expected: Vec<Value> = yaml::documents(&expected.expect("what was expected"))
            .map(|document| document.expect("YAML").value)
            .collect();
        // Without `buildOptions`, and in the order of kinds, as there.
        let mut found: Vec<Value> = desired.manifests.iter().map(Manifest::to_value).collect();
        let key = |value: &Value| yaml::to_string(value).expect("a manifest");
        expected.sort_by_key(key);
        found.sort_by_key(key);
        for (expected, found) in expected.iter().zip(&found) {
            assert_eq!(key(expected), key(found), "{name}");
        }
        assert_eq!(expected.len(), found.len(), "{name}");
    }
}

#[test]
fn labels_of_the_file_are_replaced_by_force_only() {
    let error = rendered("selectors", |text| {
        text.replace("forceCommonLabels: true", "")
    });
    let error = error.expect_err("the file has the label").to_string();
    assert!(
        error.contains("label team already in kustomization file"),
        "{error}"
    );
}

#[test]
fn a_component_that_is_not_there_is_an_error_unless_it_may_be() {
    let error = rendered("templates", |text| {
        text.replace("ignoreMissingComponents: true", "")
    });
    let error = error.expect_err("there is no such component").to_string();
    assert!(error.contains("missing"), "{error}");
}

/// A repository whose base makes `v1` at the tag of that name, and `main` at
/// the tip.
fn repository() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let repository = gix::init_bare(dir.path()).expect("a repository");
    for name in ["v1", "main"] {
        let text = format!("configMapGenerator: [{{name: of-{name}}}]");
        let file = repository.write_blob(text).expect("a blob");
        let commit = commit(&repository, "refs/heads/main", |tree| {
            tree.upsert("base/kustomization.yaml", EntryKind::Blob, file)
                .expect("a file");
        });
        if name == "v1" {
            repository
                .tag_reference(name, commit.detach(), PreviousValue::MustNotExist)
                .expect("a tag");
        }
    }
    dir
}

#[test]
fn bases_in_repositories_are_read_at_their_revision() {
    let dir = repository();
    let url = format!("file://{}", dir.path().display());
    for (query, pinned, expected) in [
        ("?ref=v1", None, "name: of-v1-"),
        ("?version=main", None, "name: of-main-"),
        ("", None, "name: of-main-"),
        // Whoever owns the repositories decides what is read.
        ("?ref=main", Some("v1"), "name: of-v1-"),
    ] {
        let mut repositories = Repositories::default();
        if let Some(revision) = pinned {
            repositories.pin(&url, revision);
        }
        let kustomization = format!("resources: ['{url}//base{query}']");
        let mut tree = MemoryTree::new();
        let path = TreePath::parse("kustomization.yaml").expect("a path");
        tree.insert(&path, kustomization.clone().into_bytes());
        let options = KustomizeOptions {
            remotes: Some(Arc::new(repositories)),
            ..KustomizeOptions::default()
        };
        let built = build(&tree, &TreePath::ROOT, &options).expect(&kustomization);
        let text = built.to_text().expect("text");
        assert!(text.contains(expected), "{kustomization}: {text}");
        assert!(!built.repeatable, "{kustomization}: a branch moves");
    }
}
