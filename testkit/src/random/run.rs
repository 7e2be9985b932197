//! Runs random cases here and through the original, and compares.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use gitops_core::TreePath;
use gitops_core::tree::MemoryTree;
use gitops_render::helm::{
    self, Chart, HelmOptions, LoadLimits, Profile, ReleaseName, Values, template,
};
use rayon::prelude::*;
use serde_json::{Map, Value};

use super::source::Source;
use super::{charts, flags, functions, templates, values};

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The original: a `helm` of the profile's version.
    pub helm: PathBuf,
    /// Which Helm it is.
    pub profile: Profile,
    /// Where the cases come from.
    pub seed: u64,
    /// How many cases.
    pub cases: usize,
    /// An empty directory for the charts that the original reads.
    pub scratch: PathBuf,
}

/// A case that came out otherwise.
#[derive(Clone, Debug)]
pub struct Disagreement {
    /// The case: what kind, which number, and its text.
    pub case: String,
    /// What the original answers.
    pub expected: String,
    /// What we answer.
    pub actual: String,
}

/// How it went.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many cases were the same.
    pub agreed: usize,
    /// How many of those failed in the same words.
    pub errors: usize,
    /// The others.
    pub disagreements: Vec<Disagreement>,
}

/// A chart with the flags that it is rendered with.
struct Input {
    files: Vec<(String, String)>,
    flags: Vec<String>,
}

/// A case: alone, and as a part of a batch.
struct Case {
    name: String,
    shown: String,
    kind: Kind,
}

impl Case {
    /// The key below which the flag of a case sets its values.
    fn flag_key(&self) -> String {
        let number = self.name.trim_start_matches('0');
        format!("f{}", if number.is_empty() { "0" } else { number })
    }
}

enum Kind {
    /// A template and the values that it sees.
    Template(String, Map<String, Value>),
    /// A flag.
    Flag(&'static str, String),
    /// A chart of its own.
    Chart(Input),
}

/// How many cases one process of the original answers.
const BATCH: usize = 100;

const METADATA: &str = "apiVersion: v2\nname: c\nversion: 1.0.0\nappVersion: \"2.1\"\n";

/// Runs a plan.
///
/// # Errors
///
/// If the original cannot be run, or its charts cannot be written.
pub fn run(plan: &Plan) -> std::io::Result<Report> {
    let mut cases: Vec<Case> = (0..plan.cases)
        .map(|index| case(plan.seed, index))
        .collect();
    // What fails here is asked alone, and so is what cannot share a chart.
    let ours: Vec<Result<String, String>> = cases
        .par_iter()
        .map(|case| alone(case, plan.profile))
        .collect();
    let mut single = Vec::new();
    let mut batches: [Vec<(Case, String)>; 2] = Default::default();
    for (case, ours) in cases.drain(..).zip(ours) {
        match (&case.kind, ours) {
            (Kind::Template(..), Ok(text)) => batches[0].push((case, text)),
            (Kind::Flag(..), Ok(text)) => batches[1].push((case, text)),
            (_, ours) => single.push((case, ours)),
        }
    }
    let mut reports: Vec<std::io::Result<Report>> = single
        .par_iter()
        .map(|(case, ours)| {
            let theirs = ask(plan, &case.name, &input(case))?;
            let theirs = theirs.map(|text| normal(&text));
            Ok(judge(
                case,
                &theirs,
                &ours.clone().map(|text| normal(&text)),
            ))
        })
        .collect();
    for mut cases in batches {
        let mut chunks = Vec::new();
        while !cases.is_empty() {
            let rest = cases.split_off(cases.len().min(BATCH));
            chunks.push(std::mem::replace(&mut cases, rest));
        }
        let judged: Vec<_> = chunks
            .into_par_iter()
            .map(|chunk| batch(plan, chunk))
            .collect();
        reports.extend(judged);
    }
    let mut all = Report::default();
    for report in reports {
        let report = report?;
        all.agreed += report.agreed;
        all.errors += report.errors;
        all.disagreements.extend(report.disagreements);
    }
    all.disagreements.sort_by(|a, b| a.case.cmp(&b.case));
    Ok(all)
}

fn case(seed: u64, index: usize) -> Case {
    let mut source = Source::new(seed.wrapping_mul(1_000_003).wrapping_add(index as u64));
    // The first numbers of neighbours are alike.
    source.number();
    let (kind, shown) = match source.below(20) {
        0..=8 => {
            let text = functions::template(&mut source);
            (
                Kind::Template(text.clone(), values::fixture(&mut source)),
                text,
            )
        }
        9..=14 => {
            let text = templates::template(&mut source);
            (
                Kind::Template(text.clone(), values::fixture(&mut source)),
                text,
            )
        }
        15..=17 => {
            let (name, pairs) = flags::flag(&mut source, &format!("f{index}"));
            let shown = format!("{name} {pairs:?}");
            (Kind::Flag(name, pairs), shown)
        }
        _ => {
            let chart = charts::tree(&mut source, "c", "");
            let mut files = chart.files;
            files.push(("user.yaml".into(), Value::Object(chart.values).to_string()));
            let shown = files
                .iter()
                .filter(|(path, _)| !path.ends_with("seen.yaml"))
                .map(|(path, text)| format!("{path}: {text}"))
                .collect::<Vec<_>>()
                .join("\n");
            let flags = vec!["--values".to_owned(), "user.yaml".to_owned()];
            (Kind::Chart(Input { files, flags }), shown)
        }
    };
    let shown = match &kind {
        Kind::Template(_, values) => format!("{shown}\nvalues: {}", Value::Object(values.clone())),
        _ => shown,
    };
    Case {
        name: format!("{index:06}"),
        shown,
        kind,
    }
}

/// The chart of a case alone.
fn input(case: &Case) -> Input {
    match &case.kind {
        Kind::Template(text, values) => Input {
            files: templates_of(&[(&case.name, text, values)]),
            flags: Vec::new(),
        },
        Kind::Flag(name, pairs) => Input {
            files: vec![
                ("Chart.yaml".into(), METADATA.into()),
                (
                    "templates/out.yaml".into(),
                    "seen: {{ toRawJson .Values | b64enc }}\n".into(),
                ),
            ],
            flags: vec![(*name).to_owned(), pairs.clone()],
        },
        Kind::Chart(input) => Input {
            files: input.files.clone(),
            flags: input.flags.clone(),
        },
    }
}

fn templates_of(cases: &[(&String, &String, &Map<String, Value>)]) -> Vec<(String, String)> {
    let mut out = String::new();
    let mut all = Map::new();
    let mut files = vec![
        ("Chart.yaml".into(), METADATA.into()),
        (
            "templates/_shared.tpl".into(),
            templates::DEFINITIONS.into(),
        ),
    ];
    for (name, text, values) in cases {
        out.push_str(&format!(
            "k{name}: {{{{ include \"case{name}\" .Values.c{name} | b64enc }}}}\n"
        ));
        all.insert(format!("c{name}"), Value::Object((*values).clone()));
        let text = format!("{{{{ define \"case{name}\" }}}}{text}{{{{ end }}}}");
        files.push((format!("templates/_case{name}.tpl"), text));
    }
    files.push(("templates/out.yaml".into(), out));
    files.push(("values.yaml".into(), Value::Object(all).to_string()));
    files
}

fn alone(case: &Case, profile: Profile) -> Result<String, String> {
    ours(&input(case), profile)
}

fn ours(input: &Input, profile: Profile) -> Result<String, String> {
    let render = || -> Result<String, helm::Error> {
        let mut tree = MemoryTree::new();
        let mut values = Values::new(profile);
        for (path, text) in &input.files {
            let path = TreePath::parse(path).map_err(gitops_core::TreeError::from)?;
            tree.insert(&path, text.clone());
        }
        for pair in input.flags.chunks(2) {
            let [name, text] = pair else { continue };
            match name.as_str() {
                "--set" => values.set(text)?,
                "--set-string" => values.set_string(text)?,
                "--set-literal" => values.set_literal(text)?,
                "--set-json" => values.set_json(text)?,
                _ => {
                    let file = input.files.iter().find(|(path, _)| path == text);
                    let file = file.map_or("", |(_, text)| text);
                    values.file(text, file.as_bytes())?;
                }
            }
        }
        let chart = Chart::load(&tree, &TreePath::ROOT, &LoadLimits::default())?;
        let options = HelmOptions {
            release_name: ReleaseName::new("r")?,
            namespace: "ns".into(),
            values: values.into_map(),
            profile,
            capabilities: helm::Capabilities::of(profile),
            ..HelmOptions::default()
        };
        Ok(template(&Arc::new(chart), &options)?.to_text())
    };
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(render));
    match result {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) => Err(error.to_string().trim_end().to_owned()),
        Err(_) => Err("panicked".into()),
    }
}

/// What the original answers.
fn ask(plan: &Plan, name: &str, input: &Input) -> std::io::Result<Result<String, String>> {
    let dir = plan.scratch.join(name).join("c");
    write(&dir, &input.files)?;
    let output = Command::new(&plan.helm)
        .args(["template", "r", ".", "--namespace", "ns"])
        .args(&input.flags)
        .current_dir(&dir)
        .env("HELM_CACHE_HOME", &plan.scratch)
        .output()?;
    std::fs::remove_dir_all(plan.scratch.join(name))?;
    if output.status.success() {
        return Ok(Ok(String::from_utf8_lossy(&output.stdout).into_owned()));
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let error = stderr
        .find("Error: ")
        .map_or(&*stderr, |at| &stderr[at + 7..]);
    let error = error.trim_end();
    let error = error
        .strip_suffix("Use --debug flag to render out invalid YAML")
        .unwrap_or(error);
    Ok(Err(error.trim_end().to_owned()))
}

fn write(dir: &Path, files: &[(String, String)]) -> std::io::Result<()> {
    for (path, text) in files {
        let path = dir.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, text)?;
    }
    Ok(())
}

fn batch(plan: &Plan, mut cases: Vec<(Case, String)>) -> std::io::Result<Report> {
    let mut report = Report::default();
    while let Some((first, _)) = cases.first() {
        let name = format!("batch-{}", first.name);
        let input = together(&cases);
        match ask(plan, &name, &input)? {
            Ok(text) => {
                compare(&cases, &text, &mut report);
                return Ok(report);
            }
            Err(error) => {
                // The one that fails there is asked alone, the rest again.
                let culprit = cases.iter().position(|(case, _)| {
                    error.contains(&format!("case{}", case.name))
                        || error.contains(&case.flag_key())
                });
                let (case, ours) = cases.remove(culprit.unwrap_or(0));
                let theirs = ask(plan, &case.name, &self::input(&case))?;
                add(&mut report, judge(&case, &theirs, &Ok(ours)));
            }
        }
    }
    Ok(report)
}

fn add(all: &mut Report, one: Report) {
    all.agreed += one.agreed;
    all.errors += one.errors;
    all.disagreements.extend(one.disagreements);
}

fn together(cases: &[(Case, String)]) -> Input {
    let mut of_templates = Vec::new();
    let mut all_flags = Vec::new();
    let mut shown = String::new();
    for (case, _) in cases {
        match &case.kind {
            Kind::Template(text, values) => of_templates.push((&case.name, text, values)),
            Kind::Flag(name, pairs) => {
                all_flags.extend([(*name).to_owned(), pairs.clone()]);
                let key = case.flag_key();
                shown.push_str(&format!(
                    "k{}: {{{{ pick .Values \"{key}\" | toRawJson | b64enc }}}}\n",
                    case.name
                ));
            }
            Kind::Chart(_) => {}
        }
    }
    match of_templates.is_empty() {
        false => Input {
            files: templates_of(&of_templates),
            flags: all_flags,
        },
        true => Input {
            files: vec![
                ("Chart.yaml".into(), METADATA.into()),
                ("templates/out.yaml".into(), shown),
            ],
            flags: all_flags,
        },
    }
}

fn compare(cases: &[(Case, String)], text: &str, report: &mut Report) {
    for (case, ours) in cases {
        let key = format!("k{}: ", case.name);
        let theirs = text.lines().find_map(|line| line.strip_prefix(&key));
        let ours = ours
            .lines()
            .find_map(|line| line.strip_prefix(&key).or(line.strip_prefix("seen: ")));
        let theirs = normal(&decoded(theirs.unwrap_or_default()));
        let ours = normal(&decoded(ours.unwrap_or_default()));
        add(report, judge(case, &Ok(theirs), &Ok(ours)));
    }
}

fn decoded(text: &str) -> String {
    match BASE64_STANDARD.decode(text.trim_matches('"')) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => text.to_owned(),
    }
}

/// A text without what differs from run to run.
fn normal(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("0xc") {
        let digits = rest[at + 3..]
            .bytes()
            .take_while(u8::is_ascii_hexdigit)
            .count();
        out.push_str(&rest[..at]);
        out.push_str(if digits >= 8 {
            "0xc"
        } else {
            &rest[at..at + 3 + digits]
        });
        rest = &rest[at + 3 + digits..];
    }
    out.push_str(rest);
    out
}

fn judge(case: &Case, theirs: &Result<String, String>, ours: &Result<String, String>) -> Report {
    let mut report = Report::default();
    // Where the original runs out of stack, any error is better.
    let dies = matches!(theirs, Err(text) if text.contains("fatal error: stack overflow"));
    if theirs == ours || dies && ours.is_err() {
        report.agreed = 1;
        report.errors = usize::from(ours.is_err());
        return report;
    }
    let (expected, actual) = match (theirs, ours) {
        (Ok(theirs), Ok(ours)) => {
            let differs = theirs.lines().zip(ours.lines()).position(|(a, b)| a != b);
            let at = differs.unwrap_or_else(|| theirs.lines().count().min(ours.lines().count()));
            (line(theirs, at), line(ours, at))
        }
        _ => (format!("{theirs:?}"), format!("{ours:?}")),
    };
    report.disagreements.push(Disagreement {
        case: format!("{}\n{}", case.name, case.shown),
        expected,
        actual,
    });
    report
}

/// A line, and the document that it is in.
fn line(text: &str, at: usize) -> String {
    let lines: Vec<&str> = text.lines().take(at + 1).collect();
    let source = lines.iter().rev().find(|line| line.starts_with("# Source"));
    let shown = match lines.get(at) {
        Some(line) => match line.split_once(": ") {
            Some((key, value)) => format!("{key}: {}", decoded(value)),
            None => (*line).to_owned(),
        },
        None => "the end".into(),
    };
    format!("{} {shown:?}", source.copied().unwrap_or_default())
}
