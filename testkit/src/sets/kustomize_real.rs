//! Real kustomizations of public repositories, built as `kustomize build DIR`.

use std::path::Path;
use std::sync::Arc;

use gitops_core::TreePath;
use gitops_core::tree::DirTree;
use gitops_render::kustomize::{KustomizeOptions, print};
use serde::Deserialize;

use super::LoadError;
use crate::case::{Case, Failure, same_text};

#[derive(Deserialize)]
struct Repository {
    builds: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    dir: String,
    #[serde(default)]
    rc: i32,
    expected: Option<String>,
    /// What the program says where it refuses.
    #[serde(default)]
    stderr: String,
}

pub(super) fn load(dir: &Path) -> Result<Vec<Case>, LoadError> {
    let mut cases = Vec::new();
    let mut repositories: Vec<_> = std::fs::read_dir(dir)?.collect::<Result<_, _>>()?;
    repositories.sort_by_key(std::fs::DirEntry::file_name);
    for repository in repositories {
        let path = repository.path();
        let Ok(manifest) = std::fs::read(path.join("manifest.json")) else {
            continue;
        };
        let listed: Repository = serde_json::from_slice(&manifest)?;
        let root: Arc<Path> = path.into();
        let name = repository.file_name().to_string_lossy().into_owned();
        for entry in listed.builds {
            let root = root.clone();
            cases.push(Case {
                name: format!("{name}/{}", entry.dir),
                run: Box::new(move || run(&root, &entry)),
            });
        }
    }
    Ok(cases)
}

fn run(root: &Path, entry: &Entry) -> Result<(), Failure> {
    let failure = |what, expected: &str, actual: String| Failure {
        what,
        expected: expected.to_owned(),
        actual,
        line: 0,
    };
    let inputs = root.join("in");
    let tree = DirTree::new(&inputs)
        .map_err(|error| failure("inputs", "a directory", error.to_string()))?;
    let path = TreePath::parse(&entry.dir)
        .map_err(|error| failure("inputs", &entry.dir, error.to_string()))?;
    let options = KustomizeOptions {
        root_name: inputs.to_string_lossy().as_ref().into(),
        ..KustomizeOptions::default()
    };
    let outcome = print(&tree, &path, &options).map(|printed| printed.text);
    match (outcome, &entry.expected) {
        (Ok(text), Some(expected)) if entry.rc == 0 => {
            let expected = std::fs::read_to_string(root.join(expected))
                .map_err(|error| failure("expected output", expected, error.to_string()))?;
            same_text("output", &expected, &text, &[])
        }
        (Ok(_), _) => Err(failure("refusal", &entry.stderr, "it was built".to_owned())),
        (Err(error), Some(_)) if entry.rc == 0 => {
            Err(failure("output", "it is built", error.to_string()))
        }
        (Err(_), _) => Ok(()),
    }
}
