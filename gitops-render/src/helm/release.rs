//! One render of a chart: Helm's `pkg/engine` and the part of `pkg/action`
//! that `helm template` uses.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use gitops_core::manifest::{self, ManifestError};
use gitops_core::{Manifest, Map as CoreMap, Origin, Str as CoreStr, TreePath, Value as Core};

use super::capabilities::Capabilities;
use super::chart::{Chart, LoadLimits};
use super::coalesce::{self, Nulls};
use super::error::{Error, ErrorKind};
use super::manifests::{self, Document};
use super::objects::{self, Files};
use super::profile::Profile;
use super::subcharts::{Node, in_range};
use super::{funcs, schema};
use crate::gotmpl::{
    self, Context, Failure, Functions, Host, Limits, Map, Set, Str, TEMPLATE_FUNCTIONS, Value,
};
use crate::sprig;

/// What one render of a chart depends on beside the chart.
#[derive(Clone, Debug)]
pub struct HelmOptions {
    /// The release's name: `.Release.Name`.
    pub release_name: ReleaseName,
    /// The release's namespace: `.Release.Namespace`.
    pub namespace: CoreStr,
    /// Whether this is an upgrade rather than an installation.
    pub is_upgrade: bool,
    /// The user's values; see [`Values`](super::Values).
    pub values: CoreMap,
    /// The cluster to render for.
    pub capabilities: Capabilities,
    /// Whether the files of `crds/` are part of the manifests.
    pub include_crds: bool,
    /// Whether test hooks are left out.
    pub skip_tests: bool,
    /// Whether hooks are left out altogether.
    pub no_hooks: bool,
    /// Whether `values.schema.json` is not looked at.
    pub skip_schema_validation: bool,
    /// Which Helm to be.
    pub profile: Profile,
    /// Where random numbers and the time come from.
    pub seed: Seed,
    /// How large a chart may be.
    pub load_limits: LoadLimits,
    /// How far templates may go.
    pub limits: Limits,
    /// How long templates may take; without bound if `None`.
    pub timeout: Option<Duration>,
}

impl Default for HelmOptions {
    /// The defaults of `helm template`: release `release-name` in namespace
    /// `default`.
    fn default() -> Self {
        HelmOptions {
            release_name: ReleaseName::default(),
            namespace: "default".into(),
            is_upgrade: false,
            values: CoreMap::new(),
            capabilities: Capabilities::default(),
            include_crds: false,
            skip_tests: false,
            no_hooks: false,
            skip_schema_validation: false,
            profile: Profile::default(),
            seed: Seed::default(),
            load_limits: LoadLimits::default(),
            limits: Limits::default(),
            timeout: None,
        }
    }
}

/// A release's name that Kubernetes accepts: lower-case labels, 53 characters
/// at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseName(CoreStr);

impl ReleaseName {
    /// Checks a name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Options`] with Helm's text.
    pub fn new(name: &str) -> Result<Self, Error> {
        let edge = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let label = |label: &str| {
            let bytes = label.as_bytes();
            matches!((bytes.first(), bytes.last()), (Some(a), Some(z)) if edge(*a) && edge(*z))
                && bytes.iter().all(|byte| edge(*byte) || *byte == b'-')
        };
        if name.len() <= 53 && name.split('.').all(label) {
            return Ok(ReleaseName(name.into()));
        }
        Err(Error::new(
            ErrorKind::Options,
            format!(
                "release name {name:?}: invalid release name, must match regex \
                 ^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$ and the \
                 length must not be longer than 53"
            ),
        ))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ReleaseName {
    fn default() -> Self {
        ReleaseName("release-name".into())
    }
}

/// Where a render takes its random numbers and its time from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Seed {
    /// From the system: another render is another draw, as in Helm.
    #[default]
    System,
    /// From a number and a time: the same render gives the same bytes.
    Fixed {
        /// The seed.
        seed: u64,
        /// What `now` answers.
        now: SystemTime,
    },
}

/// A rendered chart.
#[derive(Clone, Debug, Default)]
pub struct Release {
    /// The files of `crds/`, if they were asked for.
    pub crds: Vec<Document>,
    /// The documents that are no hooks, in the order of installation.
    pub documents: Vec<Document>,
    /// The hooks, by kind in the order of installation.
    pub hooks: Vec<Document>,
    /// What the chart has to say to whoever installs it.
    pub notes: String,
    /// What Helm would write to its log.
    pub warnings: Vec<String>,
}

impl Release {
    /// What `helm template` prints.
    pub fn to_text(&self) -> String {
        let mut body = String::new();
        for document in self.crds.iter().chain(&self.documents) {
            push(&mut body, document);
        }
        let trimmed = body.trim();
        let mut out = String::with_capacity(trimmed.len() + 1);
        out.push_str(trimmed);
        out.push('\n');
        for hook in &self.hooks {
            push(&mut out, hook);
        }
        out
    }

    /// What `helm template --show-only` prints for these patterns.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Options`] if a pattern matches no template.
    pub fn show_only(&self, patterns: &[String], profile: Profile) -> Result<String, Error> {
        let text = self.to_text();
        let documents = profile.split(&text);
        let mut out = String::new();
        for pattern in patterns {
            let mut missing = true;
            for document in &documents {
                let Some(path) = source(document) else {
                    continue;
                };
                if crate::glob::path_match(pattern, path).unwrap_or(false) {
                    missing = false;
                    out.push_str("---\n");
                    out.push_str(document);
                    out.push('\n');
                }
            }
            if missing {
                return Err(Error::new(
                    ErrorKind::Options,
                    format!("could not find template {pattern} in chart"),
                ));
            }
        }
        Ok(out)
    }

    /// The Kubernetes objects, hooks included; `chart` is where the chart lies
    /// and goes before the templates' paths.
    ///
    /// # Errors
    ///
    /// [`ManifestError`] if a document is no object.
    pub fn manifests(&self, chart: &TreePath) -> Result<Vec<Manifest>, ManifestError> {
        let mut all = Vec::with_capacity(self.documents.len() + self.hooks.len());
        for document in self.crds.iter().chain(&self.documents).chain(&self.hooks) {
            // The path begins with the chart's name, which the tree may not
            // know it by.
            let inside = document
                .path
                .split_once('/')
                .map_or(document.path.as_str(), |(_, inside)| inside);
            let file = if chart.is_root() {
                inside.into()
            } else {
                ecow::eco_format!("{chart}/{inside}")
            };
            let origin = Origin {
                line: 0,
                ..Origin::file(file)
            };
            all.extend(manifest::parse(document.text.as_bytes(), &origin)?);
        }
        Ok(all)
    }
}

fn push(out: &mut String, document: &Document) {
    out.push_str("---\n# Source: ");
    out.push_str(&document.path);
    out.push('\n');
    out.push_str(&document.text);
    out.push('\n');
}

/// The template of a printed document: what follows the chart's name in the
/// first `# Source:` that has a slash.
fn source(document: &str) -> Option<&str> {
    document.match_indices("# Source: ").find_map(|(at, mark)| {
        let line = document[at + mark.len()..].lines().next()?;
        let (name, path) = line.split_once('/')?;
        (!name.is_empty() && !path.is_empty()).then_some(path)
    })
}

/// Renders a chart.
///
/// Follows `helm template`: dependencies are processed, values coalesced and
/// checked against their schemas, templates executed from the deepest file up,
/// and what they wrote split and sorted.
///
/// # Errors
///
/// [`Error`], displayed as Helm words it.
///
/// ```
/// use gitops_core::tree::{MemoryTree, TreePath};
/// use gitops_render::helm::{Chart, HelmOptions, template};
///
/// let tree: MemoryTree = [
///     ("Chart.yaml", "apiVersion: v2\nname: demo\nversion: 1.0.0\n"),
///     ("values.yaml", "greeting: hello\n"),
///     (
///         "templates/cm.yaml",
///         "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\n\
///          data:\n  text: {{ .Values.greeting | quote }}\n",
///     ),
/// ]
/// .try_into()?;
/// let chart = Chart::load(&tree, &TreePath::ROOT, &Default::default())?;
/// let release = template(&chart.into(), &HelmOptions::default())?;
/// assert!(release.to_text().ends_with("data:\n  text: \"hello\"\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn template(chart: &Arc<Chart>, options: &HelmOptions) -> Result<Release, Error> {
    let metadata = &chart.metadata;
    if !matches!(metadata.kind.as_str(), "" | "application") {
        return Err(Error::new(
            ErrorKind::Load,
            format!("{} charts are not installable", metadata.kind),
        ));
    }
    let mut warnings = chart.warnings.clone();
    if metadata.deprecated {
        warnings.push("WARNING: This chart is deprecated".into());
    }
    let mut root = Node::new(chart.clone());
    let missing = root.missing();
    if !missing.is_empty() {
        return Err(Error::new(
            ErrorKind::Dependencies,
            format!(
                "{} found in Chart.yaml, but missing in charts/ directory: {}",
                options.profile.missing_dependencies(),
                missing.join(", ")
            ),
        ));
    }
    root.process(&options.values, options.profile, &mut warnings)?;
    let nulls = Nulls::of(options.profile);
    let values = coalesce::values(&root, options.values.clone(), nulls, &mut warnings)?;
    if !options.skip_schema_validation {
        schema::validate(&root, &values, &mut warnings)?;
    }
    let version = &options.capabilities.kube_version.version;
    if !metadata.kube_version.is_empty() && !in_range(&metadata.kube_version, version) {
        return Err(Error::new(
            ErrorKind::KubeVersion,
            format!(
                "chart requires kubeVersion: {} which is incompatible with Kubernetes {version}",
                metadata.kube_version
            ),
        ));
    }
    let mut files = execute(&root, &values, options)?;
    let mut notes = String::new();
    let own_notes = format!("{}/templates/NOTES.txt", root.name);
    files.retain(|(path, text)| {
        let is_notes = path.ends_with("NOTES.txt");
        if *path == own_notes {
            notes.push_str(&String::from_utf8_lossy(text));
        }
        !is_notes
    });
    let (documents, mut hooks) = manifests::sort(&files, options.profile, &mut warnings)?;
    hooks.retain(|hook| {
        let test = hook.hook.as_ref().is_some_and(|hook| hook.is_test());
        !(options.no_hooks || (options.skip_tests && test))
    });
    let mut crds = Vec::new();
    if options.include_crds {
        collect_crds(&root, &Place::root(&root), options.profile, &mut crds);
    }
    Ok(Release {
        crds,
        documents,
        hooks,
        notes,
        warnings,
    })
}

/// What Helm takes for the path of a chart in its parents: the names of the
/// charts with `charts` between them.
struct Place {
    path: String,
    /// The path of what Helm loaded. It works on copies, and an alias is only
    /// known to the copy.
    loaded: String,
}

impl Place {
    fn root(node: &Node) -> Place {
        Place {
            path: node.name.to_string(),
            loaded: node.name.to_string(),
        }
    }

    /// The place of `child` in `node`, which is here.
    fn below(&self, node: &Node, child: &Node, profile: Profile) -> Place {
        let parent = match profile {
            Profile::Helm3 if !node.owns_children => &self.loaded,
            _ => &self.path,
        };
        let path = format!("{parent}/charts/{}", child.name);
        let loaded = match child.is_copy {
            true => format!("{}/charts/{}", self.loaded, child.chart.metadata.name),
            false => path.clone(),
        };
        Place { path, loaded }
    }
}

fn collect_crds(node: &Node, place: &Place, profile: Profile, into: &mut Vec<Document>) {
    let path = &place.path;
    for file in &node.chart.files {
        let extension = file.name.rsplit('.').next().unwrap_or_default();
        let manifest = ["yaml", "yml", "json"]
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known));
        if file.name.starts_with("crds/") && manifest {
            into.push(Document {
                path: ecow::eco_format!("{path}/{}", file.name),
                text: String::from_utf8_lossy(&file.data).into_owned(),
                kind: "CustomResourceDefinition".into(),
                hook: None,
            });
        }
    }
    for child in &node.children {
        collect_crds(child, &place.below(node, child, profile), profile, into);
    }
}

/// A template file of a chart in the tree.
struct Source<'n> {
    /// The whole path, which is the template's name.
    path: String,
    node: &'n Node,
    data: &'n [u8],
    /// What the file is executed with; shared by the files of a chart.
    context: Map,
    base_path: Str,
}

fn execute(
    root: &Node,
    values: &Map,
    options: &HelmOptions,
) -> Result<Vec<(CoreStr, Vec<u8>)>, Error> {
    let release: Map = [
        ("Name", Value::from(options.release_name.as_str())),
        ("Namespace", Value::from(options.namespace.clone())),
        ("IsUpgrade", Value::Bool(options.is_upgrade)),
        ("IsInstall", Value::Bool(!options.is_upgrade)),
        ("Revision", Value::Int(1)),
        ("Service", Value::from("Helm")),
    ]
    .into_iter()
    .collect();
    let shared = Shared {
        release: Value::Map(release),
        capabilities: objects::capabilities(&options.capabilities, options.profile),
        profile: options.profile,
    };
    let mut sources = Vec::new();
    let context = shared.collect(root, &Place::root(root), Some(values), true, &mut sources);
    // Deepest paths first, Z before A: of two definitions of a name the last
    // one parsed counts, so the root beats its subcharts.
    sources.sort_by(|a, b| {
        let depth = |path: &str| path.bytes().filter(|byte| *byte == b'/').count();
        depth(&b.path)
            .cmp(&depth(&a.path))
            .then_with(|| b.path.cmp(&a.path))
    });
    let result = run(&sources, options);
    // The contexts refer to each other through `.Subcharts`.
    context.dismantle();
    result
}

fn run(sources: &[Source<'_>], options: &HelmOptions) -> Result<Vec<(CoreStr, Vec<u8>)>, Error> {
    let functions = functions(options.profile);
    let mut set = Set::new("gotpl", functions.clone());
    for source in sources {
        let file = source
            .node
            .chart
            .parsed
            .file(&source.path, source.data, &functions)
            .map_err(|error| parse_error(&source.path, error))?;
        set.add(&file);
    }
    let world = World::new(options)?;
    let mut context = Context::new(&set, &world, options.limits.clone());
    let mut files = Vec::with_capacity(sources.len());
    let mut out = Vec::new();
    for source in sources {
        let name = source.path.rsplit('/').next().unwrap_or_default();
        if name.starts_with('_') {
            continue;
        }
        let template: Map = [
            ("Name", Value::from(source.path.as_str())),
            ("BasePath", Value::Str(source.base_path.clone())),
        ]
        .into_iter()
        .collect();
        let template = Value::Map(template.with_kind(options.profile.values()));
        source
            .context
            .insert("Template", template)
            .expect("the context was made here");
        out.clear();
        context
            .execute(&source.path, Value::Map(source.context.clone()), &mut out)
            .map_err(|error| execution_error(&source.path, error, options.profile))?;
        files.push((source.path.as_str().into(), said(&out)));
    }
    Ok(files)
}

/// The output without the text that Go prints for what is not there.
fn said(out: &[u8]) -> Vec<u8> {
    const NO_VALUE: &[u8] = b"<no value>";
    let mut kept = Vec::with_capacity(out.len());
    let mut rest = out;
    while let Some(at) = memchr::memmem::find(rest, NO_VALUE) {
        kept.extend_from_slice(&rest[..at]);
        rest = &rest[at + NO_VALUE.len()..];
    }
    kept.extend_from_slice(rest);
    kept
}

/// What all charts of a release see alike.
struct Shared {
    release: Value,
    capabilities: Value,
    profile: Profile,
}

impl Shared {
    fn collect<'n>(
        &self,
        node: &'n Node,
        place: &Place,
        values: Option<&Map>,
        root: bool,
        sources: &mut Vec<Source<'n>>,
    ) -> Map {
        let subcharts = Map::new();
        let values = values.cloned().unwrap_or_default();
        let seen = values.clone().with_kind(self.profile.values());
        let context: Map = [
            ("Chart", objects::chart(node, root, self.profile)),
            (
                "Files",
                Value::object(Files::new(&node.chart.files, self.profile)),
            ),
            ("Release", self.release.clone()),
            ("Capabilities", self.capabilities.clone()),
            ("Values", Value::Map(seen)),
            ("Subcharts", Value::Map(subcharts.clone())),
        ]
        .into_iter()
        .collect();
        for child in &node.children {
            let name = Str::from(child.name.clone());
            // The same table as the parent's, not a copy.
            let values = match values.get_key(&name) {
                Some(Value::Map(values)) => Some(values),
                _ => None,
            };
            let place = place.below(node, child, self.profile);
            let below = self.collect(child, &place, values.as_ref(), false, sources);
            subcharts
                .insert(name, Value::Map(below))
                .expect("the map was made here");
        }
        let path = &place.path;
        let library = node.chart.metadata.is_library();
        let base_path = Str::from(format!("{path}/templates"));
        for file in &node.chart.templates {
            let name = file.name.rsplit('/').next().unwrap_or_default();
            if !library || name.starts_with('_') {
                sources.push(Source {
                    path: format!("{path}/{}", file.name),
                    node,
                    data: &file.data,
                    context: context.clone(),
                    base_path: base_path.clone(),
                });
            }
        }
        context
    }
}

/// The functions of each profile, resolved once.
fn functions(profile: Profile) -> Arc<Functions> {
    static HELM3: OnceLock<Arc<Functions>> = OnceLock::new();
    static HELM4: OnceLock<Arc<Functions>> = OnceLock::new();
    let (place, own) = match profile {
        Profile::Helm3 => (&HELM3, &[][..]),
        Profile::Helm4 => (&HELM4, funcs::HELM4),
    };
    place
        .get_or_init(|| {
            let mut tables = sprig::TABLES.to_vec();
            tables.extend([funcs::FUNCTIONS, &TEMPLATE_FUNCTIONS, own]);
            Arc::new(Functions::new(&tables).with_values_methods(funcs::VALUES_METHODS))
        })
        .clone()
}

/// The parsed templates of a chart, kept from render to render.
#[derive(Debug, Default)]
pub(super) struct Parsed(std::sync::Mutex<BTreeMap<String, gotmpl::File>>);

impl Clone for Parsed {
    /// A clone shares nothing: it fills up by itself.
    fn clone(&self) -> Self {
        Parsed::default()
    }
}

impl Parsed {
    /// The file under this name; a chart that goes by an alias has others.
    fn file(
        &self,
        path: &str,
        text: &[u8],
        functions: &Functions,
    ) -> Result<gotmpl::File, gotmpl::Error> {
        let mut files = self.0.lock().expect("no panic under the lock");
        if let Some(file) = files.get(path) {
            return Ok(file.clone());
        }
        let file = gotmpl::File::parse(path, text, functions)?;
        files.insert(path.to_owned(), file.clone());
        Ok(file)
    }
}

/// Helm shows the place and the last part of Go's message.
fn parse_error(path: &str, error: gotmpl::Error) -> Error {
    let text = error.to_string();
    let parts: Vec<&str> = text.split(": ").collect();
    let text = match parts.as_slice() {
        [only] => format!("parse error in ({path}): {only}"),
        [_, place, ..] => {
            let last = parts.last().expect("there are two at least");
            format!("parse error at ({place}): {last}")
        }
        [] => String::new(),
    };
    Error::new(ErrorKind::Parse, text)
        .at_file(path)
        .caused_by(error)
}

fn execution_error(path: &str, error: gotmpl::Error, profile: Profile) -> Error {
    let text = error.to_string();
    if let Some(message) = error.abort() {
        let place = text.split(": ").nth(1).unwrap_or_default();
        let text = format!("execution error at ({place}): {message}");
        return Error::new(ErrorKind::Refused, text)
            .at_file(path)
            .caused_by(error);
    }
    let text = match profile {
        Profile::Helm3 => text,
        Profile::Helm4 => super::error::blocks(&error).unwrap_or(text),
    };
    Error::new(ErrorKind::Execute, text)
        .at_file(path)
        .caused_by(error)
}

/// Where functions get what is not in the chart.
struct World {
    now: Option<SystemTime>,
    random: RefCell<Random>,
    deadline: Option<std::time::Instant>,
}

impl World {
    fn new(options: &HelmOptions) -> Result<World, Error> {
        let (now, random) = match options.seed {
            // Asked once, so that no template can be the first to find out.
            Seed::System => match getrandom::fill(&mut [0]) {
                Ok(()) => (None, Random::System),
                Err(error) => {
                    let text = format!("no random numbers: {error}; give the render a fixed seed");
                    return Err(Error::new(ErrorKind::Options, text));
                }
            },
            Seed::Fixed { seed, now } => (Some(now), Random::Seeded(seed)),
        };
        Ok(World {
            now,
            random: RefCell::new(random),
            deadline: options
                .timeout
                .map(|timeout| std::time::Instant::now() + timeout),
        })
    }
}

enum Random {
    System,
    Seeded(u64),
}

impl Host for World {
    #[expect(
        clippy::disallowed_methods,
        reason = "Helm's own clock, where the options fix none"
    )]
    fn now(&self) -> SystemTime {
        self.now.unwrap_or_else(SystemTime::now)
    }

    fn random(&self, buffer: &mut [u8]) {
        match &mut *self.random.borrow_mut() {
            Random::System => getrandom::fill(buffer).expect("it had some at the start"),
            Random::Seeded(state) => {
                for chunk in buffer.chunks_mut(8) {
                    // SplitMix64: every seed is as good as any other.
                    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                    let mut mixed = *state;
                    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
                    let bytes = (mixed ^ mixed >> 31).to_le_bytes();
                    chunk.copy_from_slice(&bytes[..chunk.len()]);
                }
            }
        }
    }

    fn lookup(&self, _: &str, _: &str, _: &str, _: &str) -> Result<Core, Failure> {
        Ok(Core::Map(CoreMap::new()))
    }

    fn resolve(&self, _: &str) -> Str {
        Str::new()
    }

    fn expired(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| std::time::Instant::now() > deadline)
    }
}
