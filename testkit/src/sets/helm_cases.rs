//! What Helm and the libraries below it make of small inputs: functions and
//! their arguments, the template language, values, documents, versions.
//!
//! Each file of the set is a table; its name says whose. Cases that ask for
//! what no crate offers to its users are left out by name.

use std::path::Path;
use std::sync::Arc;

use gitops_core::tree::MemoryTree;
use gitops_core::{Map, TreePath, json};
use gitops_render::helm::{
    self, Chart, HelmOptions, KubeVersion, LoadLimits, Profile, ReleaseName,
};
use serde_json::Value;

use super::{LoadError, Set};
use crate::case::{Case, Failure, same_text};

mod libraries;
mod releases;
mod templates;

/// The cases of all files in `dir`.
pub(super) fn load(dir: &Path) -> Result<Set, LoadError> {
    let mut paths: Vec<_> = std::fs::read_dir(dir)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    paths.sort();
    let mut set = Set::default();
    for path in paths {
        let text = std::fs::read_to_string(&path)?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let mut file: Value = serde_json::from_str(&text)?;
        let Value::Array(cases) = file["cases"].take() else {
            return Err(format!("{}: no list of cases", path.display()).into());
        };
        let table = Arc::new(Table {
            values: file["values"].take(),
            environment: file["environment"].take(),
        });
        for (index, case) in cases.into_iter().enumerate() {
            add(&mut set, &stem, index, case, &table);
        }
    }
    Ok(set)
}

/// What the cases of a file share.
struct Table {
    /// The values of cases that have none of their own.
    values: Value,
    environment: Value,
}

fn add(set: &mut Set, file: &str, index: usize, case: Value, table: &Arc<Table>) {
    let name = format!("{file}/{index}");
    match file {
        "oracle_coalesce" | "oracle_schema" => releases::values(set, &name, case),
        "oracle_set_flags" => releases::flags(set, &name, case),
        "oracle_split_sort" => releases::documents(set, &name, case),
        _ if file.starts_with("oracle_") && case.get("tpl").is_some() => {
            templates::oracle(set, &name, case, table);
        }
        "sprig" => templates::sprig(set, &name, case),
        "xstrings" => templates::xstrings(set, &name, case),
        "toml" => templates::toml(set, &name, &case),
        "text_template_exec" => templates::text_template(set, &case),
        "text_template_parse" => libraries::parse(set, &name, case),
        "semver" => libraries::semver(set, &name, case),
        "strvals" => libraries::strvals(set, &name, case),
        "glob" => libraries::glob(set, &name, case),
        "goyaml_v2" => libraries::go_yaml(set, &name, case),
        "sigs_yaml" => libraries::sigs_yaml(set, &name, case),
        "helm_ignore_chart" => releases::chart(set, &name, case),
        "oracle_testcharts" | "helm3_template_cmd" | "helm4_template_cmd" => {
            set.leave_out("Helm's test charts are not part of the set");
        }
        _ => set.leave_out("a file without a runner"),
    }
}

impl Set {
    fn push(&mut self, name: &str, run: impl Fn() -> Result<(), Failure> + Send + Sync + 'static) {
        self.cases.push(Case {
            name: name.to_owned(),
            run: Box::new(run),
        });
    }

    fn leave_out(&mut self, reason: &'static str) {
        *self.left_out.entry(reason).or_default() += 1;
    }
}

/// A case's answer: a text, or the text of an error.
type Answer = Result<String, String>;

fn compare(expected: &Answer, actual: &Answer) -> Result<(), Failure> {
    match (expected, actual) {
        (Ok(expected), Ok(actual)) => same_text("output", expected, actual, &[]),
        (Err(expected), Err(actual)) => same_text("error", expected, actual, &[]),
        _ => Err(Failure {
            what: "outcome",
            expected: format!("{expected:?}"),
            actual: format!("{actual:?}"),
            line: 0,
        }),
    }
}

fn same<T: PartialEq + std::fmt::Debug>(expected: &T, actual: &T) -> Result<(), Failure> {
    if expected == actual {
        return Ok(());
    }
    Err(Failure {
        what: "answer",
        expected: format!("{expected:?}"),
        actual: format!("{actual:?}"),
        line: 0,
    })
}

fn text<'v>(case: &'v Value, key: &str) -> &'v str {
    case[key].as_str().unwrap_or_default()
}

/// A JSON object as Helm's values: every number a float.
fn values(value: &Value) -> Map {
    let options = json::Options {
        numbers: json::Numbers::Float64,
        ..json::Options::default()
    };
    match json::parse_with(value.to_string().as_bytes(), &options) {
        Ok(gitops_core::Value::Map(map)) => map,
        _ => Map::new(),
    }
}

/// The files of a chart.
fn tree<'f>(files: impl IntoIterator<Item = (String, &'f str)>) -> Result<MemoryTree, String> {
    let mut tree = MemoryTree::new();
    for (path, contents) in files {
        let path = TreePath::parse(&path).map_err(|error| error.to_string())?;
        tree.insert(&path, contents.as_bytes().to_vec());
    }
    Ok(tree)
}

fn load_chart(tree: &MemoryTree) -> Result<Arc<Chart>, String> {
    Chart::load(tree, &TreePath::ROOT, &LoadLimits::default())
        .map(Arc::new)
        .map_err(|error| error.to_string())
}

/// Everything but the values as the tables assume it.
fn options(profile: Profile, values: Map, kube_version: &str) -> HelmOptions {
    let mut options = HelmOptions {
        release_name: ReleaseName::new("rel").expect("a valid name"),
        namespace: "ns".into(),
        values,
        profile,
        ..HelmOptions::default()
    };
    if let Ok(version) = KubeVersion::parse(kube_version) {
        options.capabilities.kube_version = version;
    }
    options
}

/// What a chart's `NOTES.txt` becomes: a template's output as it is, without
/// being split into documents.
fn notes(chart: &Arc<Chart>, options: &HelmOptions) -> Answer {
    helm::template(chart, options)
        .map(|release| release.notes)
        .map_err(|error| error.to_string())
}
