//! Random kustomizations, built by the original program and by ours.
//!
//! DIR is the program `kustomize`. Seeds are fresh in every run; the name of a
//! case is its seed, and `--only '^SEED$'` with `GITOPS_SEED=SEED` runs it
//! again. With `GITOPS_KEEP=DIR` the files of the cases that run stay in `DIR`.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, LazyLock};

use gitops_core::TreePath;
use gitops_core::redaction::HIDDEN;
use gitops_core::tree::DirTree;
use gitops_render::kustomize::{KustomizeOptions, build};
use regex::Regex;

use super::LoadError;
use crate::case::{Case, Failure, same_text};
use crate::kustomizations;

const CASES: u64 = 1000;

/// How often the original is asked again if it says another error.
const TRIES: usize = 6;

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
    let temporary;
    let dir = match std::env::var_os("GITOPS_KEEP") {
        Some(dir) => Path::new(&dir).join(seed.to_string()),
        None => {
            temporary = tempfile::tempdir().map_err(|error| trouble(&error))?;
            temporary.path().to_owned()
        }
    };
    let files = kustomizations::random(seed);
    for (path, text) in &files {
        let path = dir.join(path);
        let parent = path.parent().unwrap_or(&dir);
        std::fs::create_dir_all(parent)
            .and_then(|()| std::fs::write(&path, text))
            .map_err(|error| trouble(&error))?;
    }
    let ask = || {
        Command::new(program)
            .arg("build")
            .arg(dir.join(kustomizations::ROOT))
            .output()
            .map_err(|error| trouble(&error))
    };
    let original = ask()?;
    let said = String::from_utf8_lossy(&original.stderr);
    if said.lines().any(|line| line.starts_with("panic: ")) {
        // What the original dies of is no answer.
        return Ok(());
    }
    let root = dir.canonicalize().map_err(|error| trouble(&error))?;
    let tree = DirTree::new(&root).map_err(|error| trouble(&error))?;
    let path = TreePath::parse(kustomizations::ROOT).map_err(|error| trouble(&error))?;
    let options = KustomizeOptions {
        root_name: root.to_string_lossy().as_ref().into(),
        ..KustomizeOptions::default()
    };
    let ours = build(&tree, &path, &options);
    let theirs = String::from_utf8_lossy(&original.stdout);
    let (warnings, message) = said.split_once("Error: ").unwrap_or((&said, ""));
    let warned = match &ours {
        Ok(built) => built.warnings.join("\n"),
        Err(error) => error.warnings().join("\n"),
    };
    match (
        ours.and_then(|built| built.to_text()),
        original.status.success(),
    ) {
        (Ok(text), true) => same_text("output", &theirs, &text, &[]),
        (Err(error), false) => {
            let ours = error.message().trim();
            let mut same = same_error(message, ours);
            // Where the original goes over a map, it says another error each
            // time.
            for _ in 0..TRIES {
                if same.is_ok() {
                    break;
                }
                let again = ask()?;
                let said = String::from_utf8_lossy(&again.stderr);
                let (_, message) = said.split_once("Error: ").unwrap_or_default();
                if same_error(message, ours).is_ok() {
                    same = Ok(());
                }
            }
            same
        }
        (Ok(_), false) => Err(Failure {
            what: "refusal",
            expected: message.to_owned(),
            actual: "it was built".into(),
            line: 0,
        }),
        (Err(error), true) => Err(Failure {
            what: "output",
            expected: "it is built".into(),
            actual: error.to_string(),
            line: 0,
        }),
    }?;
    let warnings: Vec<&str> = warnings.lines().map(without_time).collect();
    same_text("warnings", &warnings.join("\n"), &warned, &[])
}

/// Compares errors; ours may hide what Secrets hold.
fn same_error(theirs: &str, ours: &str) -> Result<(), Failure> {
    let theirs = comparable(theirs.trim());
    if ours.contains(HIDDEN) {
        let pattern = regex::escape(ours).replace(&regex::escape(HIDDEN), "[^\n\"]*");
        let same = Regex::new(&format!("^{pattern}$")).is_ok_and(|same| same.is_match(&theirs));
        if same {
            return Ok(());
        }
    }
    same_text("error", &theirs, ours, &[])
}

/// What Go's `log` printed, without the time that it puts before it.
fn without_time(line: &str) -> &str {
    static TIME: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ").expect("it is one"));
    &line[TIME.find(line).map_or(0, |found| found.end())..]
}

/// A message of the original without what differs between two runs, and
/// without the whole table of field specs.
fn comparable(message: &str) -> String {
    static POINTERS: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r" &\{0x[0-9a-f]+ (0x[0-9a-f]+|<nil>)\}").expect("it is one"));
    static CONFIGS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?s)(merging (?:config|CRDs)) &\{\[.*?\]\}: ").expect("it is one")
    });
    // Two objects in Go's notation, pointers and all; perhaps within quotes.
    static OBJECTS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"(?s)(?:\n\n--\n|\\n\\n--\\n)&resource\..*?("?)$"#).expect("it is one")
    });
    // Who refers to an object is noted in the order in which Go finds it.
    static REFERRERS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\n *internal\.config\.kubernetes\.io/refBy: [^\n]*").expect("it is one")
    });
    let message = OBJECTS.replace(message, "$1");
    let message = REFERRERS.replace_all(&message, "");
    let message = CONFIGS.replace(&message, "$1: ");
    POINTERS.replace_all(&message, "").into_owned()
}
