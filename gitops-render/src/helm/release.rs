//! One render of a chart: Helm's `pkg/engine` and the part of `pkg/action`
//! that `helm template` uses.

use std::io;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use bytestring::ByteString;
use gitops_core::manifest::{self, ManifestError};
use gitops_core::{Manifest, Origin, TreePath};

use super::chart::Chart;
use super::cluster::Inputs;
use super::coalesce::{self, Rules};
use super::early::Early;
use super::error::{Error, ErrorKind};
use super::manifests::{self, Document, Written};
use super::memo::{Memo, Running};
use super::metadata::Metadata;
use super::objects::{self, Files, Unread};
use super::options::HelmOptions;
use super::origin::SourceMap;
use super::profile::Profile;
use super::report::Snippet;
use super::subcharts::{Node, in_range};
use super::templates::{Source, Templates};
use super::world::{Asked, World};
use super::{funcs, schema};
use crate::gotmpl::watch::Log;
use crate::gotmpl::{
    self, Context, Functions, Map, Record, Set, Str, TEMPLATE_FUNCTIONS, Trace, Value,
};
use crate::sprig;

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
    /// What was asked beside the chart and its values.
    pub inputs: Inputs,
    /// Where each line comes from, if [`HelmOptions::trace`] asked for it.
    pub source_map: Option<SourceMap>,
}

impl Release {
    /// What `helm template` prints.
    pub fn to_text(&self) -> String {
        let length = self.all().map(|document| {
            SEPARATOR.len() + document.path.len() + document.text.len() + "\n\n".len()
        });
        let mut out = Vec::with_capacity(length.sum::<usize>() + 1);
        self.write_to(&mut out).expect("memory takes it");
        String::from_utf8(out).expect("documents are text")
    }

    /// Writes what `helm template` prints, in many small pieces.
    ///
    /// # Errors
    ///
    /// Whatever writing fails with.
    pub fn write_to(&self, out: &mut (impl io::Write + ?Sized)) -> io::Result<()> {
        let mut body = self.crds.iter().chain(&self.documents).peekable();
        while let Some(document) = body.next() {
            out.write_all(SEPARATOR.as_bytes())?;
            if body.peek().is_some() {
                document.write_to(out)?;
                continue;
            }
            // Helm trims the whole.
            let mut last = Vec::with_capacity(document.path.len() + document.text.len() + 2);
            document.write_to(&mut last)?;
            let last = String::from_utf8_lossy(&last);
            out.write_all(last.trim_end().as_bytes())?;
        }
        out.write_all(b"\n")?;
        for hook in &self.hooks {
            out.write_all(SEPARATOR.as_bytes())?;
            hook.write_to(out)?;
        }
        Ok(())
    }

    fn all(&self) -> impl Iterator<Item = &Document> {
        self.crds.iter().chain(&self.documents).chain(&self.hooks)
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
        for document in self.all() {
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

/// What stands before the path of a document.
const SEPARATOR: &str = "---\n# Source: ";

impl Document {
    fn write_to(&self, out: &mut (impl io::Write + ?Sized)) -> io::Result<()> {
        for piece in [&self.path, "\n", &self.text, "\n"] {
            out.write_all(piece.as_bytes())?;
        }
        Ok(())
    }
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
    render(chart, options, None)
}

pub(super) fn render(
    chart: &Arc<Chart>,
    options: &HelmOptions,
    memo: Option<&mut Memo>,
) -> Result<Release, Error> {
    let mut warnings = chart.warnings.clone();
    match render_with(chart, options, memo, &mut warnings) {
        Ok(release) => Ok(Release {
            warnings,
            ..release
        }),
        Err(error) => Err(error.after(warnings)),
    }
}

fn render_with(
    chart: &Arc<Chart>,
    options: &HelmOptions,
    mut memo: Option<&mut Memo>,
    warnings: &mut Vec<String>,
) -> Result<Release, Error> {
    let metadata = &chart.metadata;
    if !matches!(metadata.kind.as_str(), "" | "application") {
        return Err(Error::new(
            ErrorKind::Load,
            format!("{} charts are not installable", metadata.kind),
        ));
    }
    if metadata.deprecated {
        warnings.push(options.profile.deprecated().into());
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
    root.process(&options.values, options.profile, warnings)
        .map_err(|error| error.behind(options.profile.processing_dependencies()))?;
    let rules = Rules::coalesce(options.profile);
    let values = coalesce::values(&root, options.values.clone(), rules, warnings)?;
    let early = chart.parsed.take_early(options.profile).map(Rc::new);
    let mut check = None;
    if !options.skip_schema_validation {
        let begun = schema::Check::begin(&root, &values, early.as_deref())?;
        match &mut memo {
            Some(memo) => begun.finish(
                early.as_deref(),
                Some(memo.checked()),
                options.profile,
                warnings,
            )?,
            None => check = Some(begun),
        }
    }
    let asked = Asked::default();
    let fits = check_kube_version(metadata, options, &asked);
    let mut running = match (&fits, memo) {
        (Ok(()), Some(memo)) => Running::start(memo, &root, &values, options, &asked),
        _ => None,
    };
    let executed = fits.and_then(|()| {
        let running = running.as_mut();
        execute(&root, &values, options, &asked, early.clone(), running)
    });
    // What is wrong with the values is said before all else.
    if let Some(check) = check {
        check.finish(early.as_deref(), None, options.profile, warnings)?;
    }
    let (mut files, record) = executed?;
    let source_map = record.map(|record| SourceMap::new(record, &root, options));
    let source_map = source_map.transpose()?;
    let mut notes = String::new();
    let own_notes = format!("{}/templates/NOTES.txt", root.name);
    files.retain(|file| {
        if *file.path == *own_notes {
            notes.push_str(&String::from_utf8_lossy(&file.text));
        }
        !file.path.ends_with("NOTES.txt")
    });
    let (documents, mut hooks) =
        manifests::sort(&files, options.profile, warnings).map_err(|error| match &source_map {
            Some(map) => error.explained(map),
            None => error,
        })?;
    hooks.retain(|hook| {
        let test = hook.hook.as_ref().is_some_and(|hook| hook.is_test());
        !(options.no_hooks || (options.skip_tests && test))
    });
    let mut crds = Vec::new();
    if options.include_crds {
        collect_crds(&root, &Place::root(&root), options.profile, &mut crds)?;
    }
    if let Some(running) = running {
        running.finish();
    }
    Ok(Release {
        crds,
        documents,
        hooks,
        notes,
        inputs: asked.take(),
        source_map,
        ..Release::default()
    })
}

/// Whether the chart wants to be where it is rendered for.
fn check_kube_version(
    metadata: &Metadata,
    options: &HelmOptions,
    asked: &Asked,
) -> Result<(), Error> {
    let version = &options.capabilities.kube_version.version;
    asked.note().kube_version = !metadata.kube_version.is_empty();
    if metadata.kube_version.is_empty() || in_range(&metadata.kube_version, version) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::KubeVersion,
        format!(
            "chart requires kubeVersion: {} which is incompatible with Kubernetes {version}",
            metadata.kube_version
        ),
    ))
}

/// What Helm takes for the path of a chart in its parents: the names of the
/// charts with `charts` between them.
struct Place {
    path: String,
    /// The path of what Helm loaded. It works on copies, and an alias is only
    /// known to the copy.
    loaded: String,
    /// The path of the last copy of the same chart. What nobody declares is
    /// not copied, and has only one parent.
    last: String,
}

impl Place {
    fn root(node: &Node) -> Place {
        Place {
            path: node.name.to_string(),
            loaded: node.name.to_string(),
            last: node.name.to_string(),
        }
    }

    /// The place of `child` in `node`, which is here.
    fn below(&self, node: &Node, child: &Node, profile: Profile) -> Place {
        let parent = match (node.owns_children, child.is_copy) {
            _ if profile.is_4() => &self.path,
            (false, _) => &self.loaded,
            (true, true) => &self.path,
            (true, false) => &self.last,
        };
        let path = format!("{parent}/charts/{}", child.name);
        let last = node
            .children
            .iter()
            .rfind(|sibling| child.is_copy && Arc::ptr_eq(&sibling.chart, &child.chart))
            .map_or_else(
                || path.clone(),
                |sibling| format!("{parent}/charts/{}", sibling.name),
            );
        let loaded = match child.is_copy {
            true => format!("{}/charts/{}", self.loaded, child.chart.metadata.name),
            false => path.clone(),
        };
        Place { path, loaded, last }
    }
}

fn text_of(data: &Bytes) -> ByteString {
    ByteString::try_from(data.clone())
        .unwrap_or_else(|_| String::from_utf8_lossy(data).into_owned().into())
}

fn collect_crds(
    node: &Node,
    place: &Place,
    profile: Profile,
    into: &mut Vec<Document>,
) -> Result<(), Error> {
    let path = &place.path;
    for file in &node.chart.files {
        let extension = file.name.rsplit('.').next().unwrap_or_default();
        let manifest = ["yaml", "yml", "json"]
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known));
        if file.name.starts_with("crds/") && manifest {
            into.push(Document {
                path: ecow::eco_format!("{path}/{}", file.name),
                text: text_of(file.data()?),
                kind: "CustomResourceDefinition".into(),
                hook: None,
                offset: 0,
            });
        }
    }
    for child in &node.children {
        collect_crds(child, &place.below(node, child, profile), profile, into)?;
    }
    Ok(())
}

/// What each template wrote, and what was seen of it.
type Executed = (Vec<Written>, Option<Record>);

fn execute(
    root: &Node,
    values: &Map,
    options: &HelmOptions,
    asked: &Asked,
    early: Option<Rc<Early>>,
    running: Option<&mut Running<'_>>,
) -> Result<Executed, Error> {
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
        capabilities: objects::capabilities(&options.capabilities, options.profile, asked),
        profile: options.profile,
        unread: Unread::default(),
    };
    let mut sources = Vec::new();
    let context = shared.collect(root, &Place::root(root), Some(values), true, &mut sources)?;
    // Deepest paths first, Z before A: of two definitions of a name the last
    // one parsed counts, so the root beats its subcharts.
    sources.sort_by(|a, b| b.depth.cmp(&a.depth).then_with(|| b.path.cmp(&a.path)));
    // Helm keeps them by path: of two the last one stays.
    sources.dedup_by(|later, earlier| {
        let same = later.path == earlier.path;
        if same {
            std::mem::swap(later, earlier);
        }
        same
    });
    let known: Vec<_> = sources
        .iter()
        .map(|source| source.known(options.profile))
        .collect();
    let templates = Templates::new(early, &sources, &known, options.profile);
    let execution = Execution {
        templates: &templates,
        unread: &shared.unread,
        options,
        asked,
    };
    let trace = options.trace.then(|| watch(root, values));
    let executed = execution.run(trace, running);
    let parsed = templates.finish();
    // The contexts refer to each other through `.Subcharts`.
    context.dismantle();
    // Helm parses all before it executes any.
    parsed.map_err(|(source, error)| parse_error(&source.path, source.data, error))?;
    executed
}

/// A trace that knows where the values of each chart are.
fn watch(root: &Node, values: &Map) -> Trace {
    fn below<'n>(node: &'n Node, values: &Map, path: &mut Vec<&'n str>, trace: &mut Trace) {
        trace.place(values, path);
        for child in &node.children {
            if let Some(Value::Map(values)) = values.get(&child.name) {
                path.push(&child.name);
                below(child, &values, path, trace);
                path.pop();
            }
        }
    }
    let mut trace = Trace::default();
    below(root, values, &mut Vec::new(), &mut trace);
    trace
}

/// The templates of a render, and what else their execution needs.
struct Execution<'r> {
    templates: &'r Templates<'r>,
    unread: &'r Unread,
    options: &'r HelmOptions,
    asked: &'r Asked,
}

impl Execution<'_> {
    fn run(
        self,
        trace: Option<Trace>,
        mut running: Option<&mut Running<'_>>,
    ) -> Result<Executed, Error> {
        let Execution {
            templates,
            unread,
            options,
            asked,
        } = self;
        let world = World::new(options, asked.clone())?;
        let mut context =
            Context::new(templates.set(), &world, options.limits.clone()).with_shelf(templates);
        let log = match (&trace, &running) {
            (Some(_), _) => None,
            (None, Some(running)) => Some(running.log()),
            (None, None) => Some(Log::of_writes()),
        };
        if let Some(log) = &log {
            context = context.with_log(log.clone());
        }
        if let Some(trace) = trace {
            context = context.with_trace(trace);
        }
        if let Some(running) = &running {
            context = context
                .with_memory(running.memory())
                .with_recall(running.recall());
            for source in templates.sources() {
                running.context(&source.base_path, &source.context);
            }
        }
        let mut files = Vec::with_capacity(templates.sources().len());
        // What others bring into shape; a memo knows most of it.
        let mut shaping = Vec::new();
        let mut out = Vec::new();
        for source in templates.sources() {
            if source.is_partial() {
                continue;
            }
            let template: Map = [
                ("Name", Value::from(source.path.as_str())),
                ("BasePath", Value::Str(source.base_path.clone())),
            ]
            .into_iter()
            .collect();
            let template = template.with_kind(options.profile.values());
            if let Some(log) = &log {
                template.watch_of_file(log);
                source.context.watch(log);
            }
            source.context.provide("Template", Value::Map(template));
            if let Some(running) = &mut running
                && let Some((written, inputs)) = running.reuse(&source.path)
            {
                asked.absorb(inputs);
                files.push(written);
                continue;
            }
            out.clear();
            let others = running.as_mut().map(|running| {
                running.execute(&source.path);
                asked.take()
            });
            let executed =
                context.execute(&source.path, Value::Map(source.context.clone()), &mut out);
            if let Some(error) = unread.take() {
                return Err(error.into());
            }
            executed.map_err(|error| execution_error(&source.path, error, options.profile))?;
            let mut written = Written {
                path: source.path.as_str().into(),
                text: Bytes::copy_from_slice(&out),
                pieces: None,
            };
            if let (Some(running), Some(others)) = (&mut running, others) {
                written.leave_out_no_value();
                let inputs = asked.replace(others);
                asked.absorb(&inputs);
                written = running.executed(written, inputs);
            }
            if written.pieces.is_none() {
                shaping.push((files.len(), templates.early().add_written(&written)));
            }
            files.push(written);
        }
        // Others begin at the front.
        for (index, job) in shaping.into_iter().rev() {
            if let Some(written) = templates.early().written(job) {
                if let Some(running) = &mut running {
                    running.shaped(&written);
                }
                files[index] = written;
            }
        }
        let record = context.take_trace().map(Trace::into_record);
        Ok((files, record))
    }
}

/// What all charts of a release see alike.
struct Shared {
    release: Value,
    capabilities: Value,
    profile: Profile,
    unread: Unread,
}

impl Shared {
    fn collect<'n>(
        &self,
        node: &'n Node,
        place: &Place,
        values: Option<&Map>,
        root: bool,
        sources: &mut Vec<Source<'n>>,
    ) -> Result<Map, Error> {
        let subcharts = Map::new();
        let values = values.cloned().unwrap_or_default();
        let seen = values.clone().with_kind(self.profile.values());
        let context: Map = [
            ("Chart", objects::chart(node, root, self.profile)),
            (
                "Files",
                Value::object(Files::new(&node.chart.files, self.profile, &self.unread)),
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
            let below = self.collect(child, &place, values.as_ref(), false, sources)?;
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
                let path = format!("{path}/{}", file.name);
                sources.push(Source {
                    depth: path.bytes().filter(|byte| *byte == b'/').count(),
                    path,
                    node,
                    file,
                    data: file.data()?,
                    context: context.clone(),
                    base_path: base_path.clone(),
                });
            }
        }
        Ok(context)
    }
}

/// The name that `--name-template` makes: from nothing, with Sprig's functions.
pub(crate) fn name_of_template(text: &str, options: &HelmOptions) -> Result<String, Error> {
    const NAME: &str = "name-template";
    let failed = |error: gotmpl::Error| Error::new(ErrorKind::Options, error.to_string());
    let mut set = Set::new(NAME, Arc::new(Functions::new(sprig::TABLES)));
    set.parse(NAME, text.as_bytes()).map_err(failed)?;
    let world = World::new(options, Asked::default())?;
    let mut context = Context::new(&set, &world, options.limits.clone());
    let mut out = Vec::new();
    context
        .execute(NAME, Value::Nil, &mut out)
        .map_err(failed)?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// The functions of each profile, resolved once.
pub(super) fn functions(profile: Profile) -> Arc<Functions> {
    static BY_PROFILE: [OnceLock<Arc<Functions>>; Profile::ALL.len()] =
        [const { OnceLock::new() }; Profile::ALL.len()];
    BY_PROFILE[profile as usize]
        .get_or_init(|| {
            let mut tables = sprig::TABLES.to_vec();
            tables.extend([funcs::FUNCTIONS, &TEMPLATE_FUNCTIONS]);
            tables.extend(funcs::of_profile(profile));
            let functions = Functions::new(&tables).with_values_methods(funcs::VALUES_METHODS);
            Arc::new(match profile {
                Profile::Helm3_16 => functions.without(funcs::SINCE_3_17),
                _ => functions,
            })
        })
        .clone()
}

/// Helm shows the place and the last part of Go's message.
fn parse_error(path: &str, source: &[u8], error: gotmpl::Error) -> Error {
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
    let mut this = Error::new(ErrorKind::Parse, text).at_file(path);
    if let Some(at) = error.location() {
        this = this.with_snippet(Snippet::new(&at.file, source, at.line, at.column, None));
    }
    this.of_template(error)
}

fn execution_error(path: &str, error: gotmpl::Error, profile: Profile) -> Error {
    let text = error.to_string();
    if let Some(message) = error.abort() {
        let place = text.split(": ").nth(1).unwrap_or_default();
        let text = format!("execution error at ({place}): {message}");
        return Error::new(ErrorKind::Refused, text)
            .at_file(path)
            .of_template(error);
    }
    let text = match profile.is_4() {
        false => text,
        true => super::error::blocks(&error).unwrap_or(text),
    };
    Error::new(ErrorKind::Execute, text)
        .at_file(path)
        .of_template(error)
}
