//! `gitops render helm`: the flags of `helm template` on the library.

use std::borrow::Cow;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Args;
use gitops_core::tree::DirTree;
use gitops_core::{Origin, Str, TreePath, Value, manifest, yaml};
use gitops_render::helm::{
    self, Chart, ErrorKind, HelmOptions, KubeVersion, LineReport, Objects, Profile, Release,
    ReleaseName, Seed, Snapshot, Values,
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
    /// Which Helm to be: 3.16, 3.19, 3.21 or 4.2; 3 and 4 are their newest
    #[arg(long, value_name = "VERSION", default_value = "3")]
    pub helm_version: Profile,
    /// Draw random numbers from this text, so that renders repeat
    #[arg(long, value_name = "TEXT")]
    pub seed: Option<String>,
    /// What a seeded render takes for the time: seconds since 1970
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub now: u64,
    /// Objects that `lookup` finds, from a file of manifests
    #[arg(long, value_name = "FILE")]
    pub cluster: Vec<String>,
    /// Tell where a line comes from instead of printing: `FILE:LINE` counts the
    /// lines of `--show-only FILE`, `:LINE` those of the whole output,
    /// `KIND/NAME:.field` finds a field
    #[arg(long, value_name = "WHAT")]
    pub explain: Vec<String>,
    /// Tell more about errors: the calls, the text, what may be meant
    #[arg(long)]
    pub explain_errors: bool,
    /// Tell which of the values nobody reads
    #[arg(long)]
    pub unread_values: bool,
}

/// What the command printed and how it ended.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The manifests.
    pub stdout: Output,
    /// Warnings and, if it failed, the line `Error: …`.
    pub stderr: String,
    /// 0, or 1 if it failed.
    pub code: u8,
    /// What the library adds to an error.
    pub report: Option<String>,
    /// The chart that was rendered, with its templates as they were parsed.
    pub chart: Option<Arc<helm::Chart>>,
}

/// What a command prints.
#[derive(Clone, Debug)]
pub enum Output {
    /// This text.
    Text(String),
    /// What `helm template` prints of a release.
    Release(Box<Release>),
}

impl Default for Output {
    fn default() -> Self {
        Output::Text(String::new())
    }
}

impl Output {
    /// The text.
    pub fn to_text(&self) -> Cow<'_, str> {
        match self {
            Output::Text(text) => text.into(),
            Output::Release(release) => release.to_text().into(),
        }
    }

    /// Writes the text.
    ///
    /// # Errors
    ///
    /// Whatever writing fails with.
    pub fn write_to(&self, out: &mut impl Write) -> std::io::Result<()> {
        match self {
            Output::Text(text) => out.write_all(text.as_bytes()),
            Output::Release(release) => release.write_to(out),
        }
    }
}

/// Adds warnings, a line each.
pub(crate) fn warn(stderr: &mut String, warnings: &[String]) {
    for warning in warnings {
        stderr.push_str(warning);
        stderr.push('\n');
    }
}

impl Template {
    /// Runs the command; relative paths are taken from `dir`.
    pub fn run(&self, dir: &Path) -> Outcome {
        let mut outcome = Outcome::default();
        match self.render(dir, false, &mut outcome) {
            Ok(output) => outcome.stdout = output,
            Err(error) => {
                warn(&mut outcome.stderr, error.warnings());
                outcome.stderr.push_str(&format!("Error: {error}\n"));
                outcome.report = Some(self.report(dir, error.report().to_string()));
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

    /// What the library says of an error; a watched render says more, so the
    /// chart is rendered again if somebody wants to know.
    fn report(&self, dir: &Path, first: String) -> String {
        if !self.explain_errors {
            return first;
        }
        match self.render(dir, true, &mut Outcome::default()) {
            Err(error) => error.report().to_string(),
            Ok(_) => first,
        }
    }

    fn objects(&self, dir: &Path) -> Result<Option<Arc<dyn Objects>>, helm::Error> {
        if self.cluster.is_empty() {
            return Ok(None);
        }
        let mut objects = Vec::new();
        for path in &self.cluster {
            let failed = |problem: String| {
                helm::Error::from_text(ErrorKind::Options, format!("{path}: {problem}"))
            };
            let text = std::fs::read(dir.join(path)).map_err(|error| failed(error.to_string()))?;
            let read = manifest::parse(&text, &Origin::file(path.as_str()));
            objects.extend(read.map_err(|error| failed(error.to_string()))?);
        }
        Ok(Some(Arc::new(Snapshot::new(objects))))
    }

    fn explanations(&self, release: &Release) -> Result<String, helm::Error> {
        let mut out = String::new();
        for what in &self.explain {
            let report = explain(release, what).ok_or_else(|| {
                let text = format!("nothing is known of {what:?}");
                helm::Error::from_text(ErrorKind::Options, text)
            })?;
            out.push_str(&format!("{what}\n{report}"));
        }
        Ok(out)
    }

    fn render(
        &self,
        dir: &Path,
        watched: bool,
        outcome: &mut Outcome,
    ) -> Result<Output, helm::Error> {
        let refused = |problem: String| helm::Error::from_text(ErrorKind::Options, problem);
        let profile = self.helm_version;
        let mut capabilities = helm::Capabilities::of(profile);
        if let Some(version) = &self.kube_version {
            capabilities.kube_version =
                KubeVersion::parse_for(profile, version).map_err(|problem| {
                    refused(format!("invalid kube version '{version}': {problem}"))
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
            [] => return Err(refused("a chart is needed".into())),
        };
        let chart = dir.join(chart);
        if !chart.exists() {
            return Err(refused(format!(
                "path {:?} not found",
                chart.display().to_string()
            )));
        }
        let values = self.values(dir, profile)?;
        let mut options = HelmOptions {
            namespace: self.namespace.as_str().into(),
            is_upgrade: self.is_upgrade,
            sources: values.sources().to_vec(),
            values: values.into_map(),
            capabilities,
            cluster: self.objects(dir)?,
            seed: match &self.seed {
                Some(seed) => Seed::fixed(
                    seed.as_bytes(),
                    SystemTime::UNIX_EPOCH + Duration::from_secs(self.now),
                ),
                None => Seed::System,
            },
            trace: watched || !self.explain.is_empty() || self.unread_values,
            include_crds: self.include_crds,
            skip_tests: self.skip_tests,
            no_hooks: self.no_hooks,
            skip_schema_validation: self.skip_schema_validation,
            profile,
            ..HelmOptions::default()
        };
        let chart = &*outcome.chart.insert(Arc::new(load(&chart, &options)?));
        options.release_name = ReleaseName::new(name)?;
        let release = helm::template(chart, &options)?;
        warn(&mut outcome.stderr, &release.warnings);
        if self.unread_values
            && let Some(map) = &release.source_map
        {
            for (path, origin) in map.unread() {
                let unread = format!("nobody reads {path} ({origin})\n");
                outcome.stderr.push_str(&unread);
            }
        }
        if !self.explain.is_empty() {
            return self.explanations(&release).map(Output::Text);
        }
        if self.show_only.is_empty() {
            Ok(Output::Release(release.into()))
        } else {
            let text = release.show_only(&self.show_only, profile)?;
            Ok(Output::Text(text))
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

/// Where a line or a field of a release comes from.
fn explain(release: &Release, what: &str) -> Option<LineReport> {
    let map = release.source_map.as_ref()?;
    let all = || {
        release
            .crds
            .iter()
            .chain(&release.documents)
            .chain(&release.hooks)
    };
    let (place, detail) = what.rsplit_once(':')?;
    if let Some(field) = detail.strip_prefix('.') {
        let (kind, name) = place.split_once('/')?;
        let document = all().find(|document| {
            let object = yaml::parse(document.text.as_bytes()).ok();
            let named = object
                .as_ref()
                .and_then(|object| object.at(&["metadata", "name"]));
            document.kind.eq_ignore_ascii_case(kind) && named.and_then(Value::as_str) == Some(name)
        })?;
        return map.field(document, field);
    }
    let mut line: usize = detail.parse::<usize>().ok()?.checked_sub(1)?;
    for document in all() {
        let inside = document
            .path
            .split_once('/')
            .map_or("", |(_, inside)| inside);
        if !place.is_empty() && place != document.path && place != inside {
            continue;
        }
        // `---` and `# Source: …` stand before each.
        let lines = 2 + document.text.lines().count();
        if line < lines {
            return map.line(document, line.checked_sub(2)?);
        }
        line -= lines;
    }
    None
}

fn load(path: &Path, options: &HelmOptions) -> Result<Chart, helm::Error> {
    if path.is_dir() {
        let chart = Chart::load_for(options, &DirTree::new(path)?, &TreePath::ROOT);
        return match chart {
            // Its links may lead anywhere, as they may for the original.
            Err(error) if error.kind() == ErrorKind::Tree => {
                load_from_root(path, options).unwrap_or(Err(error))
            }
            chart => chart,
        };
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let parent: PathBuf = path.parent().map(Path::to_owned).unwrap_or_default();
    let file = TreePath::parse(&name).map_err(gitops_core::TreeError::from)?;
    Chart::load_for(options, &DirTree::new(parent)?, &file)
}

/// The chart in the tree of all files; `None` if its path has no place there.
fn load_from_root(path: &Path, options: &HelmOptions) -> Option<Result<Chart, helm::Error>> {
    let path = std::path::absolute(path).ok()?;
    let path = TreePath::parse(path.to_str()?).ok()?;
    let tree = DirTree::new("/").ok()?;
    Some(Chart::load_for(options, &tree, &path))
}
