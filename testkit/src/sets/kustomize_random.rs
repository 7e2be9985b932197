//! Random kustomizations, built by the original program and by ours.
//!
//! DIR is the program `kustomize`. Seeds are fresh in every run; the name of a
//! case is its seed, and `--only '^SEED$'` with `GITOPS_SEED=SEED` runs it
//! again.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use gitops_core::TreePath;
use gitops_core::tree::DirTree;
use gitops_render::kustomize::{KustomizeOptions, build};

use super::LoadError;
use crate::case::{Case, Failure, same_text};
use crate::kustomizations;

const CASES: u64 = 1000;

pub(super) fn load(program: &Path) -> Result<Vec<Case>, LoadError> {
    let first = match std::env::var("GITOPS_SEED") {
        Ok(seed) => seed.parse()?,
        Err(_) => std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)?
            .as_millis() as u64,
    };
    let program: Arc<Path> = program.into();
    let case = |seed: u64| {
        let program = program.clone();
        Case {
            name: seed.to_string(),
            run: Box::new(move || run(&program, seed)),
        }
    };
    Ok((first..first + CASES).map(case).collect())
}

fn run(program: &Path, seed: u64) -> Result<(), Failure> {
    let trouble = |error: &dyn std::fmt::Display| Failure {
        what: "running the case",
        expected: "files and a program".into(),
        actual: error.to_string(),
        line: 0,
    };
    let dir = tempfile::tempdir().map_err(|error| trouble(&error))?;
    let files = kustomizations::random(seed);
    for (path, text) in &files {
        let path = dir.path().join(path);
        let parent = path.parent().unwrap_or(dir.path());
        std::fs::create_dir_all(parent)
            .and_then(|()| std::fs::write(&path, text))
            .map_err(|error| trouble(&error))?;
    }
    let original = Command::new(program)
        .arg("build")
        .arg(dir.path().join(kustomizations::ROOT))
        .output()
        .map_err(|error| trouble(&error))?;
    let root = dir.path().canonicalize().map_err(|error| trouble(&error))?;
    let tree = DirTree::new(&root).map_err(|error| trouble(&error))?;
    let path = TreePath::parse(kustomizations::ROOT).map_err(|error| trouble(&error))?;
    let options = KustomizeOptions {
        root_name: root.to_string_lossy().as_ref().into(),
        ..KustomizeOptions::default()
    };
    let ours = build(&tree, &path, &options).and_then(|built| built.to_text());
    let theirs = String::from_utf8_lossy(&original.stdout);
    let message = String::from_utf8_lossy(&original.stderr);
    let message = message
        .lines()
        .filter(|line| !line.starts_with("# Warning"))
        .collect::<Vec<_>>()
        .join("\n");
    match (ours, original.status.success()) {
        (Ok(text), true) => same_text("output", &theirs, &text, &[]),
        (Err(_), false) => Ok(()),
        (Ok(_), false) => Err(Failure {
            what: "refusal",
            expected: message,
            actual: "it was built".into(),
            line: 0,
        }),
        (Err(error), true) => Err(Failure {
            what: "output",
            expected: "it is built".into(),
            actual: error.to_string(),
            line: 0,
        }),
    }
}
