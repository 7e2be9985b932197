//! A chart as it lies in a tree: loaded once, rendered often.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use gitops_core::tree::{Entry, EntryKind, Later};
use gitops_core::{FileTree, Map, Str, TreeError, TreePath, Value, yaml};

use super::early::Job;
use super::error::{Error, ErrorKind};
use super::ignore::Rules;
use super::metadata::Metadata;
use super::options::HelmOptions;
use crate::gotmpl::Definitions;
use plan::Plan;

mod plan;

/// A chart with its subcharts, as loaded; rendering does not change it.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What `Chart.yaml` says, and `requirements.yaml` of old charts.
    pub metadata: Metadata,
    /// The chart's default values.
    pub values: Map,
    /// `values.yaml`, for the lines that values are set on.
    pub(super) values_file: Option<File>,
    /// `values.schema.json`, if there is one.
    pub schema: Option<File>,
    /// The files below `templates/`.
    pub templates: Vec<File>,
    /// Every other file, as templates see them in `.Files`.
    pub files: Vec<File>,
    /// The charts below `charts/`, by the name of their directory or archive.
    pub subcharts: Vec<Arc<Chart>>,
    /// What Helm would write to its log while loading.
    pub warnings: Vec<String>,
    /// The templates as they were parsed by an earlier render.
    pub(super) parsed: super::templates::Parsed,
}

/// A file of a chart.
#[derive(Clone, Debug)]
pub struct File {
    /// Its path within the chart.
    pub name: Str,
    contents: Contents,
    /// Who else reads it.
    job: Option<Job>,
}

#[derive(Clone, Debug)]
enum Contents {
    Here(Bytes),
    Later(Arc<Unread>),
}

/// A file that nobody may ask for.
#[derive(Debug)]
struct Unread {
    later: Later,
    limit: usize,
    read: OnceLock<Bytes>,
    /// What it defines, for templates: found by who reads it, since all of it is
    /// in the cache then.
    definitions: OnceLock<Definitions>,
}

impl File {
    /// A file of these contents; a byte order mark is left out.
    pub fn new(name: impl Into<Str>, data: Bytes) -> Self {
        File {
            name: name.into(),
            contents: Contents::Here(without_bom(data)),
            job: None,
        }
    }

    fn later(name: &str, later: Later, limit: usize) -> Self {
        let unread = Unread {
            later,
            limit,
            read: OnceLock::new(),
            definitions: OnceLock::new(),
        };
        File {
            name: name.into(),
            contents: Contents::Later(Arc::new(unread)),
            job: None,
        }
    }

    /// The same file; if it can be read again, nothing of it is in memory.
    fn unread(self) -> Self {
        match &self.contents {
            Contents::Here(_) => self,
            Contents::Later(unread) => {
                let again = File::later(&self.name, unread.later.clone(), unread.limit);
                File {
                    job: self.job,
                    ..again
                }
            }
        }
    }

    pub(super) fn job(&self) -> Option<Job> {
        self.job
    }

    /// The same file, whose contents are needed and stay in memory.
    fn read(self) -> Result<Self, TreeError> {
        let contents = Contents::Here(self.data()?.clone());
        Ok(File { contents, ..self })
    }

    /// How many bytes it has, if they are in memory.
    pub(super) fn size_here(&self) -> Option<usize> {
        match &self.contents {
            Contents::Here(data) => Some(data.len()),
            Contents::Later(unread) => unread.read.get().map(Bytes::len),
        }
    }

    /// Reads a template, and finds what it defines.
    pub(super) fn read_template(&self) -> Result<(), TreeError> {
        let data = self.data()?;
        if let Contents::Later(unread) = &self.contents {
            unread.definitions.get_or_init(|| Definitions::find(data));
        }
        Ok(())
    }

    /// What it defines, if that was found.
    pub(super) fn definitions(&self) -> Option<&Definitions> {
        match &self.contents {
            Contents::Here(_) => None,
            Contents::Later(unread) => unread.definitions.get(),
        }
    }

    /// Finds out whether it may be read.
    pub(super) fn check(&self) -> Result<(), TreeError> {
        match &self.contents {
            Contents::Here(_) => Ok(()),
            Contents::Later(unread) => unread.check(),
        }
    }

    /// Its contents, without a byte order mark.
    ///
    /// # Errors
    ///
    /// Of a chart loaded by [`Chart::load_for`], if the file is read now and
    /// cannot be.
    pub fn data(&self) -> Result<&Bytes, TreeError> {
        match &self.contents {
            Contents::Here(data) => Ok(data),
            Contents::Later(unread) => unread.data(),
        }
    }
}

impl Unread {
    fn data(&self) -> Result<&Bytes, TreeError> {
        if let Some(data) = self.read.get() {
            return Ok(data);
        }
        let data = self.later.read()?.ok_or_else(|| TreeError::Storage {
            path: self.later.path().clone(),
            source: "it is not there any more".into(),
        })?;
        self.bounded(data.len() as u64)?;
        Ok(self.read.get_or_init(|| without_bom(data)))
    }

    fn check(&self) -> Result<(), TreeError> {
        match self.later.size() {
            Some(size) => self.bounded(size),
            None => self.data().map(|_| ()),
        }
    }

    fn bounded(&self, size: u64) -> Result<(), TreeError> {
        let limit = self.limit as u64;
        if size <= limit {
            return Ok(());
        }
        let path = self.later.path().clone();
        Err(TreeError::TooLarge { path, size, limit })
    }
}

/// How much a chart may hold; the defaults are Helm's own.
#[derive(Clone, Debug)]
pub struct LoadLimits {
    /// The most bytes of one file.
    pub file: usize,
    /// The most bytes of an archive, unpacked.
    pub archive: usize,
    /// How many charts may lie within each other.
    pub depth: usize,
}

impl Default for LoadLimits {
    fn default() -> Self {
        LoadLimits {
            file: 5 << 20,
            archive: 100 << 20,
            depth: 32,
        }
    }
}

impl Chart {
    /// Loads the chart at `path`: a directory, or a `.tgz` archive.
    ///
    /// Follows `pkg/chart/loader`: `.helmignore` counts at the root of a
    /// directory only, archives are taken whole.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Load`] with Helm's text.
    pub fn load(
        tree: &(impl FileTree + ?Sized),
        path: &TreePath,
        limits: &LoadLimits,
    ) -> Result<Chart, Error> {
        Loader { limits, plan: None }.load(tree, path)
    }

    /// The same for a chart that is to be rendered with these options: what they
    /// ask for is made of its files on another thread while others are still
    /// being read.
    ///
    /// What is wrong with templates is said by the render. One with other options
    /// is free to use the chart as well. What only templates may ask for (see
    /// `.Files`) and templates of subcharts that these options turn off are read
    /// when somebody does, if the tree can do that ([`FileTree::later`]).
    ///
    /// # Errors
    ///
    /// As [`Chart::load`].
    pub fn load_for(
        options: &HelmOptions,
        tree: &(impl FileTree + ?Sized),
        path: &TreePath,
    ) -> Result<Chart, Error> {
        let limits = &options.load_limits;
        let plan = Some(Plan::new(options));
        let mut loader = Loader { limits, plan };
        if let Ok(chart) = loader.load(tree, path)
            && let Some(Ok(early)) = loader.plan.map(Plan::finish)
        {
            chart.parsed.expect(early);
            return Ok(chart);
        }
        // Of several errors the one that was met may not be the first.
        Chart::load(tree, path, limits)
    }

    /// The chart's name.
    pub fn name(&self) -> &str {
        &self.metadata.name
    }
}

/// One chart being loaded.
struct Loader<'l> {
    limits: &'l LoadLimits,
    /// What is known of the render that the chart is loaded for.
    plan: Option<Plan<'l>>,
}

impl Loader<'_> {
    fn load(&mut self, tree: &(impl FileTree + ?Sized), path: &TreePath) -> Result<Chart, Error> {
        let fail = |problem: String| Error::new(ErrorKind::Load, problem).at_file(path.as_str());
        let files = match tree.read(path)? {
            Some(archive) => unpack(&archive, self.limits)
                .and_then(|files| self.begin(files, true))
                .map_err(fail)?,
            None => self.read_dir(tree, path)?,
        };
        self.assemble(files, 0).map_err(fail)
    }

    fn read_dir(
        &mut self,
        tree: &(impl FileTree + ?Sized),
        root: &TreePath,
    ) -> Result<Vec<File>, Error> {
        let fail = |problem: String| Error::new(ErrorKind::Load, problem).at_file(root.as_str());
        let ignore = root.join(".helmignore").map_err(|e| fail(e.to_string()))?;
        let rules = match tree.read(&ignore)? {
            Some(text) => String::from_utf8_lossy(&text).into_owned(),
            None => String::new(),
        };
        let rules = Rules::parse(&rules).map_err(fail)?;
        let Some(entries) = tree.list(root)? else {
            return Err(fail(format!("path {:?} not found", root.as_str())));
        };
        let mut files = Vec::new();
        let is_planned = self.plan.is_some();
        let mut pending: Vec<Entry> = Vec::new();
        let push = |pending: &mut Vec<Entry>, mut entries: Vec<Entry>| {
            if is_planned {
                // Its values say which subcharts a chart needs, and others read
                // them meanwhile.
                entries.sort_by_key(|entry| match entry.path.below(root).map(innermost) {
                    Some("values.yaml") => 0,
                    Some(CHARTS) => 2,
                    _ => 1,
                });
            }
            pending.extend(entries.into_iter().rev());
        };
        push(&mut pending, entries);
        while let Some(Entry { path, kind }) = pending.pop() {
            let name = path.below(root).unwrap_or(path.as_str());
            if rules.ignores(name, kind == EntryKind::Dir) {
                continue;
            }
            match kind {
                EntryKind::Dir => {
                    if innermost(name) == CHARTS
                        && let Some(plan) = &mut self.plan
                    {
                        // What it does not know is left on.
                        let _ = plan.guess(&name[..name.len() - CHARTS.len()], &files);
                    }
                    push(&mut pending, tree.list(&path)?.unwrap_or_default());
                }
                EntryKind::File => {
                    let later = self.plan.as_ref().and_then(|_| tree.later(&path));
                    let mut file = match later {
                        Some(later) => File::later(name, later, self.limits.file),
                        None => {
                            let data = tree.read(&path)?.ok_or_else(|| {
                                fail(format!(
                                    "error evaluating symlink {path}: no such file or directory"
                                ))
                            })?;
                            if data.len() > self.limits.file {
                                return Err(fail(format!(
                                    "chart file {:?} is larger than the maximum file size {}",
                                    path.file_name(),
                                    self.limits.file
                                )));
                            }
                            File::new(name, data)
                        }
                    };
                    if let Some(plan) = &mut self.plan {
                        let used = plan.uses(name);
                        file = plan.begin(file, used)?;
                    }
                    files.push(file);
                }
            }
        }
        Ok(files)
    }

    /// The files of an archive, which is a chart in another.
    fn unpack(&mut self, archive: &File, used: bool) -> Result<Vec<File>, String> {
        let early = self.plan.as_ref().and_then(|plan| plan.archive(archive));
        let files = match early {
            Some(files) => files?,
            None => {
                let data = archive.data().map_err(|error| error.to_string())?;
                unpack(data, self.limits)?
            }
        };
        self.begin(files, used)
    }

    /// Lets others begin with the files of an archive.
    fn begin(&mut self, files: Vec<File>, used: bool) -> Result<Vec<File>, String> {
        let Some(plan) = &mut self.plan else {
            return Ok(files);
        };
        let begun = files.into_iter().map(|file| plan.begin(file, used));
        begun
            .collect::<Result<_, _>>()
            .map_err(|error| error.to_string())
    }

    /// Sorts the files of a chart into what they are.
    fn assemble(&mut self, files: Vec<File>, depth: usize) -> Result<Chart, String> {
        if depth > self.limits.depth {
            return Err(format!(
                "charts lie within each other deeper than {}",
                self.limits.depth
            ));
        }
        let text = |file: &File| file.data().cloned().map_err(|error| error.to_string());
        let mut metadata: Option<Metadata> = None;
        for file in files.iter().filter(|file| file.name == "Chart.yaml") {
            let mut read = metadata.take().unwrap_or_default();
            decode(&mut read, &text(file)?)
                .map_err(|error| format!("cannot load Chart.yaml: {error}"))?;
            if read.api_version.is_empty() {
                read.api_version = "v1".into();
            }
            metadata = Some(read);
        }
        let mut chart = Chart {
            metadata: Metadata::default(),
            values: Map::new(),
            values_file: None,
            schema: None,
            templates: Vec::new(),
            files: Vec::new(),
            subcharts: Vec::new(),
            warnings: Vec::new(),
            parsed: Default::default(),
        };
        let mut below: BTreeMap<Str, Vec<File>> = BTreeMap::new();
        for file in files {
            match file.name.as_str() {
                "Chart.yaml" => {}
                "Chart.lock" => {
                    lock(&text(&file)?)
                        .map_err(|error| format!("cannot load Chart.lock: {error}"))?;
                }
                "values.yaml" => {
                    let planned = self.plan.as_ref().and_then(|plan| plan.values(&file));
                    let read = match planned {
                        Some(read) => read,
                        None => values(&text(&file)?),
                    };
                    chart.values =
                        read.map_err(|error| format!("cannot load values.yaml: {error}"))?;
                    chart.values_file = Some(file.unread());
                }
                "values.schema.json" => chart.schema = Some(file.unread()),
                "requirements.yaml" => {
                    let known = metadata.get_or_insert_default();
                    let old = known.api_version == "v1";
                    if !old {
                        chart.warnings.push(
                            "Warning: Dependencies are handled in Chart.yaml since apiVersion \"v2\". \
                             We recommend migrating dependencies to Chart.yaml."
                                .into(),
                        );
                    }
                    decode(known, &text(&file)?)
                        .map_err(|error| format!("cannot load requirements.yaml: {error}"))?;
                    if old {
                        chart.files.push(file);
                    }
                }
                "requirements.lock" => {
                    lock(&text(&file)?)
                        .map_err(|error| format!("cannot load requirements.lock: {error}"))?;
                    if metadata.get_or_insert_default().api_version == "v1" {
                        chart.files.push(file);
                    } else {
                        chart.warnings.push(
                            "Warning: Dependency locking is handled in Chart.lock since apiVersion \
                             \"v2\". We recommend migrating to Chart.lock."
                                .into(),
                        );
                    }
                }
                name if name.starts_with("templates/") => chart.templates.push(file),
                name => match name.strip_prefix("charts/") {
                    Some(_) if name.ends_with(".prov") => chart.files.push(file),
                    Some(inside) => {
                        let first = inside.split('/').next().unwrap_or(inside);
                        let name = inside.into();
                        let files = below.entry(first.into()).or_default();
                        files.push(File { name, ..file });
                    }
                    None => chart.files.push(file),
                },
            }
        }
        chart.metadata = metadata.ok_or("Chart.yaml file is missing")?;
        chart
            .metadata
            .validate()
            .map_err(|error| format!("validation: {error}"))?;
        for (name, files) in below {
            if name.starts_with(['_', '.']) {
                continue;
            }
            let loaded = if name.ends_with(".tgz") {
                let archive = &files[0];
                if archive.name != name {
                    return Err(format!(
                        "error unpacking subchart tar in {}: expected {name}, got {}",
                        chart.name(),
                        archive.name
                    ));
                }
                let plan = self.plan.as_ref().filter(|_| depth == 0);
                let used = plan.is_none_or(|plan| plan.uses(&format!("charts/{name}")));
                self.unpack(archive, used)
                    .and_then(|files| self.assemble(files, depth + 1))
            } else {
                let files = files.into_iter().filter_map(|file| {
                    let (_, inside) = file.name.split_once('/')?;
                    let name = inside.into();
                    Some(File { name, ..file })
                });
                self.assemble(files.collect(), depth + 1)
            };
            let mut subchart = loaded.map_err(|error| {
                format!(
                    "error unpacking subchart {name} in {}: {error}",
                    chart.name()
                )
            })?;
            chart.warnings.append(&mut subchart.warnings);
            chart.subcharts.push(Arc::new(subchart));
        }
        Ok(chart)
    }
}

/// The files of a gzipped tar, without the directory they all lie in.
pub(super) fn unpack(archive: &[u8], limits: &LoadLimits) -> Result<Vec<File>, String> {
    let fail = |error: std::io::Error| error.to_string();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    let mut files = Vec::new();
    let mut left = limits.archive;
    for entry in archive.entries().map_err(fail)? {
        let mut entry = entry.map_err(fail)?;
        if !matches!(
            entry.header().entry_type(),
            tar::EntryType::Regular | tar::EntryType::Continuous
        ) {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let separator = if name.contains('\\') { '\\' } else { '/' };
        let Some((_, inside)) = name.split_once(separator) else {
            if name == "Chart.yaml" {
                return Err("chart yaml not in base directory".into());
            }
            continue;
        };
        let inside = inside.replace('\\', "/");
        if name.starts_with(separator) || inside.starts_with('/') {
            return Err("chart illegally contains absolute paths".into());
        }
        let path = TreePath::parse(&inside)
            .map_err(|_| "chart illegally references parent directory".to_owned())?;
        if path.is_root() {
            return Err("chart illegally contains content outside the base directory".into());
        }
        if name.starts_with("..") {
            return Err("chart illegally references parent directory".into());
        }
        let drive = inside.as_bytes();
        if drive.len() > 2 && drive[0].is_ascii_alphabetic() && &drive[1..3] == b":/" {
            return Err("chart contains illegally named files".into());
        }
        let size = usize::try_from(entry.size()).unwrap_or(usize::MAX);
        if size > left {
            return Err(format!(
                "decompressed chart is larger than the maximum size {}",
                limits.archive
            ));
        }
        if size > limits.file {
            return Err(format!(
                "decompressed chart file {name:?} is larger than the maximum file size {}",
                limits.file
            ));
        }
        let mut data = Vec::with_capacity(size);
        entry
            .by_ref()
            .take(size as u64)
            .read_to_end(&mut data)
            .map_err(fail)?;
        left -= data.len();
        files.push(File::new(path.as_str(), data.into()));
    }
    if files.is_empty() {
        return Err("no files in chart archive".into());
    }
    Ok(files)
}

/// Where the charts within a chart lie.
const CHARTS: &str = "charts";

/// The name of a file within the innermost chart that it belongs to.
fn innermost(name: &str) -> &str {
    let mut name = name;
    while let Some(inside) = name.strip_prefix("charts/")
        && let Some((_, inside)) = inside.split_once('/')
    {
        name = inside;
    }
    name
}

/// What follows a byte order mark.
fn without_bom(data: Bytes) -> Bytes {
    match data.strip_prefix(b"\xEF\xBB\xBF") {
        Some(rest) => data.slice_ref(rest),
        None => data,
    }
}

fn decode(metadata: &mut Metadata, text: &[u8]) -> Result<(), String> {
    let document = yaml::parse(text).map_err(|error| parse_error(&error))?;
    metadata.decode(&document)
}

/// A lock file is only checked for being YAML of the right shape.
fn lock(text: &[u8]) -> Result<(), String> {
    let document = yaml::parse(text).map_err(|error| parse_error(&error))?;
    match document {
        Value::Null | Value::Map(_) => Ok(()),
        other => Err(format!(
            "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go \
             value of type chart.Lock",
            other.kind_name()
        )),
    }
}

/// A document of values: every number is a float, as for `encoding/json`.
pub(super) fn values(text: &[u8]) -> Result<Map, String> {
    let options = yaml::Options {
        numbers: yaml::Numbers::Float64,
        ..yaml::Options::default()
    };
    match yaml::parse_with(text, &options).map_err(|error| parse_error(&error))? {
        Value::Null => Ok(Map::new()),
        Value::Map(map) => Ok(map),
        other => Err(format!(
            "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go \
             value of type map[string]interface {{}}",
            match other {
                Value::Bool(_) => "bool",
                ref other => other.kind_name(),
            }
        )),
    }
}

pub(super) fn parse_error(error: &yaml::Error) -> String {
    format!("error converting YAML to JSON: {error}")
}
