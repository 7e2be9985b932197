//! Real charts, rendered as `helm template RELEASE CHART -n NAMESPACE -f
//! VALUES… ARGS…`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Parser;
use gitops_examples::helm::Template;
use serde::Deserialize;

use super::LoadError;
use crate::case::{Case, Failure, same_text};

/// Which Helm's answers are expected.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Helm {
    V3,
    V4,
}

#[derive(Deserialize)]
struct Line {
    id: String,
    chart_path: String,
    values: Vec<String>,
    release: String,
    namespace: String,
    #[serde(default)]
    args: Vec<String>,
    exit: u8,
    #[serde(default)]
    stderr: String,
    #[serde(default)]
    random_lines: Vec<usize>,
    helm4: Option<Answer>,
}

#[derive(Deserialize)]
struct Answer {
    exit: u8,
    #[serde(default)]
    stderr: String,
    #[serde(default)]
    random_lines: Vec<usize>,
    #[serde(default)]
    file: bool,
}

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    template: Template,
}

pub(super) fn load(dir: &Path, helm: Helm) -> Result<Vec<Case>, LoadError> {
    let lines = std::fs::read_to_string(dir.join("cases.jsonl"))?;
    let dir: Arc<Path> = dir.into();
    lines
        .lines()
        .map(|line| {
            let line: Line = serde_json::from_str(line)?;
            let dir = dir.clone();
            Ok(Case {
                name: line.id.clone(),
                run: Box::new(move || run(&dir, &line, helm)),
            })
        })
        .collect()
}

fn run(dir: &Path, line: &Line, helm: Helm) -> Result<(), Failure> {
    let mut argv = vec!["template".to_owned(), line.release.clone()];
    argv.push(line.chart_path.clone());
    argv.extend(["--namespace".to_owned(), line.namespace.clone()]);
    for file in &line.values {
        argv.extend(["--values".to_owned(), file.clone()]);
    }
    argv.extend(line.args.iter().cloned());
    let (exit, stderr, random, folder) = match (&line.helm4, helm) {
        (Some(four), Helm::V4) => {
            argv.extend(["--helm-version".to_owned(), "4".to_owned()]);
            let folder = if four.file { "helm4" } else { "helm3" };
            (four.exit, &four.stderr, &four.random_lines, folder)
        }
        _ => (line.exit, &line.stderr, &line.random_lines, "helm3"),
    };
    let command = Command::try_parse_from(&argv).map_err(|error| Failure {
        what: "arguments",
        expected: argv.join(" "),
        actual: error.to_string(),
        line: 0,
    })?;
    let outcome = command.template.run(dir);
    if outcome.code != exit {
        return Err(Failure {
            what: "exit status",
            expected: format!("{exit} {stderr}"),
            actual: format!("{} {}", outcome.code, outcome.stderr),
            line: 0,
        });
    }
    if exit != 0 {
        return same_text("error", error(stderr), error(&outcome.stderr), &[]);
    }
    let path: PathBuf = dir.join(format!("expected/{folder}/{}.yaml", line.id));
    let expected = std::fs::read(&path).map_err(|error| Failure {
        what: "expected output",
        expected: path.display().to_string(),
        actual: error.to_string(),
        line: 0,
    })?;
    let expected = String::from_utf8_lossy(&expected);
    same_text("output", &expected, &outcome.stdout.to_text(), random)
}

/// The error itself, without warnings before it.
fn error(stderr: &str) -> &str {
    stderr.find("Error: ").map_or("", |at| &stderr[at..])
}
