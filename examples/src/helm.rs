//! `gitops render helm`: the flags of `helm template` on the library.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use gitops_core::tree::DirTree;
use gitops_core::{Str, TreePath};
use gitops_render::helm::{
    self, Chart, ErrorKind, HelmOptions, KubeVersion, LoadLimits, Profile, ReleaseName, Values,
};

/// Renders a chart to what `helm template` prints.
#[derive(Args, Clone, Debug, Default)]
pub struct Template {
    /// The release's name and the chart: `[NAME] CHART`
    #[arg(value_name = "[NAME] CHART", num_args = 1..=2, required = true)]
    pub names: Vec<String>,
    /// Values from a file; may be given several times, the last one wins
    #[arg(
        short = 'f',
        long = "values",
        value_name = "FILE",
        value_delimiter = ','
    )]
    pub values: Vec<String>,
    /// Values: `a.b=1,c={x,y}`
    #[arg(long, value_name = "PAIRS")]
    pub set: Vec<String>,
    /// Values, all of them text
    #[arg(long, value_name = "PAIRS")]
    pub set_string: Vec<String>,
    /// Values as JSON: `a={"b":1}`
    #[arg(long, value_name = "PAIRS")]
    pub set_json: Vec<String>,
    /// Values from the contents of files: `a=path`
    #[arg(long, value_name = "PAIRS")]
    pub set_file: Vec<String>,
    /// One value, taken as it is
    #[arg(long, value_name = "PAIR")]
    pub set_literal: Vec<String>,
    /// The release's namespace
    #[arg(short = 'n', long, default_value = "default")]
    pub namespace: String,
    /// The Kubernetes version to render for
    #[arg(long, value_name = "VERSION")]
    pub kube_version: Option<String>,
    /// API versions to render for, beside those that every cluster has
    #[arg(short = 'a', long, value_name = "VERSIONS", value_delimiter = ',')]
    pub api_versions: Vec<String>,
    /// Print the files of `crds/` too
    #[arg(long)]
    pub include_crds: bool,
    /// Print only what these templates wrote
    #[arg(short = 's', long, value_name = "TEMPLATE")]
    pub show_only: Vec<String>,
    /// Leave out tests
    #[arg(long)]
    pub skip_tests: bool,
    /// Leave out hooks
    #[arg(long)]
    pub no_hooks: bool,
    /// Render as an upgrade instead of an installation
    #[arg(long)]
    pub is_upgrade: bool,
    /// Do not check the values against `values.schema.json`
    #[arg(long)]
    pub skip_schema_validation: bool,
    /// Which Helm to be
    #[arg(long, value_name = "3|4", default_value = "3", value_parser = ["3", "4"])]
    pub helm_version: String,
}

/// What the command printed and how it ended.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The manifests.
    pub stdout: String,
    /// Warnings and, if it failed, the line `Error: …`.
    pub stderr: String,
    /// 0, or 1 if it failed.
    pub code: u8,
}

impl Template {
    /// Runs the command; relative paths are taken from `dir`.
    pub fn run(&self, dir: &Path) -> Outcome {
        let mut outcome = Outcome::default();
        match self.render(dir, &mut outcome.stderr) {
            Ok(text) => outcome.stdout = text,
            Err(error) => {
                outcome.stderr.push_str(&format!("Error: {error}\n"));
                // Helm says so wherever it had got as far as the templates.
                if matches!(
                    error.kind(),
                    ErrorKind::Parse
                        | ErrorKind::Execute
                        | ErrorKind::Refused
                        | ErrorKind::Output
                        | ErrorKind::KubeVersion
                ) {
                    outcome
                        .stderr
                        .push_str("\nUse --debug flag to render out invalid YAML\n");
                }
                outcome.code = 1;
            }
        }
        outcome
    }

    fn render(&self, dir: &Path, stderr: &mut String) -> Result<String, helm::Error> {
        let options = |problem: String| helm::Error::from_text(ErrorKind::Options, problem);
        let mut capabilities = helm::Capabilities::default();
        if let Some(version) = &self.kube_version {
            capabilities.kube_version = KubeVersion::parse(version).map_err(|problem| {
                options(format!("invalid kube version '{version}': {problem}"))
            })?;
        }
        capabilities.api_versions.extend(
            self.api_versions
                .iter()
                .map(|version| Str::from(version.as_str())),
        );
        let (name, chart) = match self.names.as_slice() {
            [chart] => ("release-name", chart),
            [name, chart, ..] => (name.as_str(), chart),
            [] => return Err(options("a chart is needed".into())),
        };
        let profile = match self.helm_version.as_str() {
            "4" => Profile::Helm4,
            _ => Profile::Helm3,
        };
        let chart = dir.join(chart);
        if !chart.exists() {
            return Err(options(format!(
                "path {:?} not found",
                chart.display().to_string()
            )));
        }
        let values = self.values(dir, profile)?;
        let chart = Arc::new(load(&chart)?);
        let release = helm::template(
            &chart,
            &HelmOptions {
                release_name: ReleaseName::new(name)?,
                namespace: self.namespace.as_str().into(),
                is_upgrade: self.is_upgrade,
                values: values.into_map(),
                capabilities,
                include_crds: self.include_crds,
                skip_tests: self.skip_tests,
                no_hooks: self.no_hooks,
                skip_schema_validation: self.skip_schema_validation,
                profile,
                ..HelmOptions::default()
            },
        )?;
        for warning in &release.warnings {
            stderr.push_str(warning);
            stderr.push('\n');
        }
        if self.show_only.is_empty() {
            Ok(release.to_text())
        } else {
            release.show_only(&self.show_only, profile)
        }
    }

    fn values(&self, dir: &Path, profile: Profile) -> Result<Values, helm::Error> {
        let read = |path: &str| {
            std::fs::read(dir.join(path)).map_err(|error| {
                let reason = match error.kind() {
                    std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
                    std::io::ErrorKind::IsADirectory => "is a directory".to_owned(),
                    _ => error.to_string(),
                };
                format!("open {path}: {reason}")
            })
        };
        let mut values = Values::new(profile);
        for path in &self.values {
            let text =
                read(path).map_err(|problem| helm::Error::from_text(ErrorKind::Values, problem))?;
            values.file(path, &text)?;
        }
        for pairs in &self.set_json {
            values.set_json(pairs)?;
        }
        for pairs in &self.set {
            values.set(pairs)?;
        }
        for pairs in &self.set_string {
            values.set_string(pairs)?;
        }
        for pairs in &self.set_file {
            values.set_file(pairs, &|path| {
                let text = read(path)?;
                Ok(String::from_utf8_lossy(&text).as_ref().into())
            })?;
        }
        for pair in &self.set_literal {
            values.set_literal(pair)?;
        }
        Ok(values)
    }
}

fn load(path: &Path) -> Result<Chart, helm::Error> {
    let limits = LoadLimits::default();
    if path.is_dir() {
        return Chart::load(&DirTree::new(path)?, &TreePath::ROOT, &limits);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let parent: PathBuf = path.parent().map(Path::to_owned).unwrap_or_default();
    let file = TreePath::parse(&name).map_err(gitops_core::TreeError::from)?;
    Chart::load(&DirTree::new(parent)?, &file, &limits)
}
