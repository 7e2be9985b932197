//! Kustomize's own tests, extracted: a directory to build, and what comes of
//! it, or parts of the error.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gitops_core::tree::DirTree;
use gitops_core::{TreePath, Value, yaml};
use gitops_render::kustomize::{HelmSupport, KustomizeOptions, LoadRestrictor, Reorder, print};
use serde::Deserialize;

use super::{LoadError, Set};
use crate::case::{Case, Failure, same_text};

/// A line of `INDEX.json`.
#[derive(Deserialize)]
struct Line {
    name: String,
    expect: Expected,
    tier: String,
    compare: Compare,
    kustomize_5_8_1: String,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Expected {
    Yaml,
    Error,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Compare {
    Bytes,
    Semantic,
}

/// `case.json`.
#[derive(Deserialize)]
struct Details {
    root: String,
    mode: String,
    #[serde(default)]
    options: Flags,
    #[serde(default)]
    error_checks: Vec<Check>,
}

#[derive(Default, Deserialize)]
struct Flags {
    #[serde(rename = "Reorder")]
    reorder: Option<String>,
    #[serde(rename = "LoadRestrictions")]
    restrictions: Option<String>,
    /// An option of the library that no kustomization has.
    #[serde(rename = "AddManagedbyLabel", default)]
    managed_by: bool,
}

/// What the cases call the root of their files on a disk.
const DISK: &str = "/TMPROOT";

impl Details {
    /// Whether the errors are those of files on a disk, and of nothing else.
    fn names_disk(&self) -> bool {
        let of_disk = |check: &Check| check.text.contains(DISK) && !check.text.contains("git");
        !self.error_checks.is_empty() && self.error_checks.iter().all(of_disk)
    }
}

#[derive(Deserialize)]
struct Check {
    mode: String,
    #[serde(default)]
    text: String,
}

pub(super) fn load(dir: &Path) -> Result<Set, LoadError> {
    let index = std::fs::read(dir.join("INDEX.json"))?;
    let lines: Vec<Line> = serde_json::from_slice(&index)?;
    let mut set = Set {
        cases: Vec::new(),
        left_out: BTreeMap::new(),
    };
    for line in lines {
        let agrees = match line.expect {
            Expected::Yaml => matches!(line.kustomize_5_8_1.as_str(), "equal" | "semantic"),
            Expected::Error => line.kustomize_5_8_1 == "error",
        };
        let dir = dir.join(&line.name);
        let details: Details = serde_json::from_slice(&std::fs::read(dir.join("case.json"))?)?;
        let reason = match line.tier.as_str() {
            // What 5.8.1 answers was recorded without the options of the case;
            // with them it agrees with every one that is confirmed.
            "confirmed" => None,
            "newer" if agrees => None,
            "newer" => Some("version 5.8.1 gives another answer"),
            "helm" if !has_charts(&dir) => Some("the chart is not in the case"),
            "helm" => None,
            "error-path-text" if details.names_disk() => None,
            "error-path-text" => Some("the error is one of a file system in memory"),
            "network" => Some("needs the network"),
            "version-stamp" if !details.options.managed_by => None,
            _ => Some("not what a whole build gives"),
        };
        if let Some(reason) = reason {
            *set.left_out.entry(reason).or_default() += 1;
            continue;
        }
        set.cases.push(Case {
            name: line.name.clone(),
            run: Box::new(move || run(&dir, &line, &details)),
        });
    }
    Ok(set)
}

/// Whether a chart lies somewhere among the inputs.
fn has_charts(dir: &Path) -> bool {
    let mut pending: Vec<PathBuf> = vec![dir.join("in")];
    while let Some(dir) = pending.pop() {
        let entries = std::fs::read_dir(&dir).into_iter().flatten().flatten();
        for entry in entries {
            if entry.file_name() == "Chart.yaml" {
                return true;
            }
            if entry.path().is_dir() {
                pending.push(entry.path());
            }
        }
    }
    false
}

fn failure(what: &'static str, expected: &str, actual: String) -> Failure {
    Failure {
        what,
        expected: expected.to_owned(),
        actual,
        line: 0,
    }
}

fn run(dir: &Path, line: &Line, details: &Details) -> Result<(), Failure> {
    let unreadable = |error: &dyn std::fmt::Display| {
        failure("case", "files that can be read", error.to_string())
    };
    let tree = DirTree::new(dir.join("in")).map_err(|error| unreadable(&error))?;
    let path = TreePath::parse(&details.root).map_err(|error| unreadable(&error))?;
    let mut options = KustomizeOptions::default();
    // A transformer alone does not sort.
    if details.options.reorder.as_deref() == Some("none") || details.mode == "transformer" {
        options.reorder = Reorder::None;
    }
    if details.options.restrictions.as_deref() == Some("LoadRestrictionsNone") {
        options.load_restrictor = LoadRestrictor::Tree;
    }
    match line.tier.as_str() {
        "helm" => options.helm = Some(HelmSupport::default()),
        "version-stamp" => options.version = "(test)".into(),
        "error-path-text" => options.root_name = DISK.into(),
        _ => {}
    }
    let outcome = print(&tree, &path, &options).map(|printed| printed.text);
    match (outcome, line.expect) {
        (Ok(text), Expected::Yaml) => {
            let expected = std::fs::read_to_string(dir.join("expected.yaml"))
                .map_err(|error| unreadable(&error))?;
            if line.compare == Compare::Semantic && objects(&expected) == objects(&text) {
                return Ok(());
            }
            same_text("output", expected.trim(), text.trim(), &[])
        }
        (Err(error), Expected::Yaml) => Err(failure("output", "it is built", error.to_string())),
        (Ok(_), Expected::Error) => Err(failure("error", "an error", "it was built".into())),
        (Err(error), Expected::Error) => {
            // Where the recorded message is not that of 5.8.1 itself, that
            // there is one is what counts.
            let wording = line.compare == Compare::Bytes;
            details
                .error_checks
                .iter()
                .filter(|_| wording)
                .try_for_each(|check| check.holds(&error.to_string()))
        }
    }
}

/// The objects of a text, in no order.
fn objects(text: &str) -> Vec<String> {
    let mut objects: Vec<String> = yaml::documents(text.as_bytes())
        .filter_map(Result::ok)
        .filter(|document| document.value != Value::Null)
        .map(|document| format!("{:?}", document.value))
        .collect();
    objects.sort();
    objects
}

impl Check {
    fn holds(&self, message: &str) -> Result<(), Failure> {
        let holds = match self.mode.as_str() {
            "equals" => message.trim() == self.text.trim(),
            "contains" => message.contains(&self.text),
            "regexp" => regex::Regex::new(&self.text)
                .map_err(|error| failure("case", &self.text, error.to_string()))?
                .is_match(message),
            _ => true,
        };
        match holds {
            true => Ok(()),
            false => Err(failure("error", &self.text, message.to_owned())),
        }
    }
}
