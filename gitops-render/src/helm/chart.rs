//! A chart as it lies in a tree: loaded once, rendered often.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use gitops_core::tree::{Entry, EntryKind};
use gitops_core::{FileTree, Map, Str, TreePath, Value, yaml};

use super::early::Early;
use super::error::{Error, ErrorKind};
use super::ignore::Rules;
use super::metadata::{Dependency, Metadata};
use super::options::HelmOptions;

/// A chart with its subcharts, as loaded; rendering does not change it.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What `Chart.yaml` says, and `requirements.yaml` of old charts.
    pub metadata: Metadata,
    /// The chart's default values.
    pub values: Map,
    /// The text of `values.yaml`, for the lines that values are set on.
    pub(super) values_text: Bytes,
    /// `values.schema.json`, if there is one.
    pub schema: Option<Bytes>,
    /// The files below `templates/`.
    pub templates: Vec<File>,
    /// Every other file, as templates see them in `.Files`.
    pub files: Vec<File>,
    /// The charts below `charts/`, by the name of their directory or archive.
    pub subcharts: Vec<Arc<Chart>>,
    /// What Helm would write to its log while loading.
    pub warnings: Vec<String>,
    /// The templates as they were parsed by an earlier render.
    pub(super) parsed: super::release::Parsed,
}

/// A file of a chart.
#[derive(Clone, Debug)]
pub struct File {
    /// Its path within the chart.
    pub name: Str,
    /// Its contents, without a byte order mark.
    pub data: Bytes,
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
        Loader::new(limits).load(tree, path)
    }

    /// The same for a chart that is to be rendered with these options: what they
    /// ask for is made of its files on another thread while others are still
    /// being read.
    ///
    /// What is wrong with templates is said by the render. One with other options
    /// is free to use the chart as well.
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
        let mut loader = Loader::new(limits);
        loader.options = Some(options);
        loader.early = Some(Early::new(options.profile, 1));
        match (loader.load(tree, path), loader.early) {
            (Ok(chart), Some(early)) => {
                early.complete();
                chart.parsed.expect(early);
                Ok(chart)
            }
            // Of several errors this one may not be the first.
            _ => Chart::load(tree, path, limits),
        }
    }

    /// The chart's name.
    pub fn name(&self) -> &str {
        &self.metadata.name
    }
}

/// One chart being loaded.
struct Loader<'l> {
    limits: &'l LoadLimits,
    /// What the chart is to be rendered with, if it is known.
    options: Option<&'l HelmOptions>,
    /// Takes the files that others can begin with.
    early: Option<Early>,
    /// The names of subcharts that will take no part, as far as one can tell
    /// before they are read.
    off: Vec<Str>,
}

impl<'l> Loader<'l> {
    fn new(limits: &'l LoadLimits) -> Self {
        Loader {
            limits,
            options: None,
            early: None,
            off: Vec::new(),
        }
    }

    fn load(&mut self, tree: &(impl FileTree + ?Sized), path: &TreePath) -> Result<Chart, Error> {
        let fail = |problem: String| Error::new(ErrorKind::Load, problem).at_file(path.as_str());
        let files = match tree.read(path)? {
            Some(archive) => self.unpack(&archive, true).map_err(fail)?,
            None => self.read_dir(tree, path)?,
        };
        self.assemble(files, 0).map_err(fail)
    }

    /// A file by its name in the directory or archive; `used` if it belongs to a
    /// chart that takes part.
    fn file(&mut self, name: &str, data: Bytes, used: bool) -> File {
        let data = without_bom(data);
        if let Some(early) = &mut self.early {
            let checked = self
                .options
                .is_some_and(|options| !options.skip_schema_validation);
            match innermost(name) {
                "values.yaml" => early.add_values(&data),
                "values.schema.json" if used && checked => early.add_schema(&data),
                inside if used && inside.starts_with("templates/") => early.add_template(&data),
                _ => {}
            }
        }
        let name = name.into();
        File { name, data }
    }

    /// Whether the first directory or archive below `charts/` that a name leads
    /// into belongs to a subchart that takes part.
    fn uses(&self, name: &str) -> bool {
        let inside = name.strip_prefix("charts/").unwrap_or(name);
        let of = |off: &Str| {
            let rest = inside.strip_prefix(off.as_str());
            rest.is_some_and(|rest| rest.starts_with('/') || rest.ends_with(".tgz"))
        };
        !self.off.iter().any(of)
    }

    /// Finds out which subcharts the conditions of a chart turn off. It is only a
    /// guess, without tags, requirements and what subcharts have to say: templates
    /// are parsed too early or too late by it, nothing else.
    fn guess(&mut self, files: &[File]) {
        let (Some(options), Some(early)) = (self.options, &self.early) else {
            return;
        };
        let file = |name: &str| files.iter().find(|file| file.name == name);
        let (Some(chart), Some(values)) = (file("Chart.yaml"), file("values.yaml")) else {
            return;
        };
        let mut metadata = Metadata::default();
        if decode(&mut metadata, &chart.data).is_err() {
            return;
        }
        let Ok(defaults) = early.values(&values.data) else {
            return;
        };
        let dependencies = metadata.dependencies.unwrap_or_default();
        let on = |dependency: &Dependency| {
            let mut conditions = dependency.condition.split(',');
            let decided = conditions.find_map(|condition| {
                let path: Vec<&str> = condition.trim().split('.').collect();
                [&options.values, &defaults]
                    .iter()
                    .find_map(|values| values.get(path[0])?.at(&path[1..])?.as_bool())
            });
            decided.unwrap_or(true)
        };
        let used: Vec<&Str> = dependencies
            .iter()
            .filter(|dependency| on(dependency))
            .map(|dependency| &dependency.name)
            .collect();
        self.off = dependencies
            .iter()
            .map(|dependency| &dependency.name)
            .filter(|name| !used.contains(name))
            .cloned()
            .collect();
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
        let mut pending: Vec<Entry> = entries;
        pending.reverse();
        let charts = root.join(CHARTS).map_err(|e| fail(e.to_string()))?;
        if self.early.is_some() {
            // The chart itself says which of them it needs.
            pending.sort_by_key(|entry| entry.path != charts);
        }
        while let Some(Entry { path, kind }) = pending.pop() {
            let name = path.below(root).unwrap_or(path.as_str());
            if rules.ignores(name, kind == EntryKind::Dir) {
                continue;
            }
            match kind {
                EntryKind::Dir => {
                    if path == charts {
                        self.guess(&files);
                    }
                    pending.extend(tree.list(&path)?.unwrap_or_default().into_iter().rev());
                }
                EntryKind::File => {
                    let Some(data) = tree.read(&path)? else {
                        continue;
                    };
                    if data.len() > self.limits.file {
                        return Err(fail(format!(
                            "chart file {:?} is larger than the maximum file size {}",
                            path.file_name(),
                            self.limits.file
                        )));
                    }
                    let used = self.uses(name);
                    files.push(self.file(name, data, used));
                }
            }
        }
        Ok(files)
    }

    /// The files of a gzipped tar, without the directory they all lie in.
    fn unpack(&mut self, archive: &[u8], used: bool) -> Result<Vec<File>, String> {
        let fail = |error: std::io::Error| error.to_string();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(archive));
        let mut files = Vec::new();
        let mut left = self.limits.archive;
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
                    self.limits.archive
                ));
            }
            if size > self.limits.file {
                return Err(format!(
                    "decompressed chart file {name:?} is larger than the maximum file size {}",
                    self.limits.file
                ));
            }
            let mut data = Vec::with_capacity(size);
            entry
                .by_ref()
                .take(size as u64)
                .read_to_end(&mut data)
                .map_err(fail)?;
            left -= data.len();
            files.push(self.file(path.as_str(), data.into(), used));
        }
        if files.is_empty() {
            return Err("no files in chart archive".into());
        }
        Ok(files)
    }

    /// Sorts the files of a chart into what they are.
    fn assemble(&mut self, files: Vec<File>, depth: usize) -> Result<Chart, String> {
        if depth > self.limits.depth {
            return Err(format!(
                "charts lie within each other deeper than {}",
                self.limits.depth
            ));
        }
        let mut metadata: Option<Metadata> = None;
        for file in files.iter().filter(|file| file.name == "Chart.yaml") {
            let mut read = metadata.take().unwrap_or_default();
            decode(&mut read, &file.data)
                .map_err(|error| format!("cannot load Chart.yaml: {error}"))?;
            if read.api_version.is_empty() {
                read.api_version = "v1".into();
            }
            metadata = Some(read);
        }
        let mut chart = Chart {
            metadata: Metadata::default(),
            values: Map::new(),
            values_text: Bytes::new(),
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
                    lock(&file.data).map_err(|error| format!("cannot load Chart.lock: {error}"))?;
                }
                "values.yaml" => {
                    let read = match &self.early {
                        Some(early) => early.values(&file.data),
                        None => values(&file.data),
                    };
                    chart.values =
                        read.map_err(|error| format!("cannot load values.yaml: {error}"))?;
                    chart.values_text = file.data;
                }
                "values.schema.json" => chart.schema = Some(file.data),
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
                    decode(known, &file.data)
                        .map_err(|error| format!("cannot load requirements.yaml: {error}"))?;
                    if old {
                        chart.files.push(file);
                    }
                }
                "requirements.lock" => {
                    lock(&file.data)
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
                        below.entry(first.into()).or_default().push(File {
                            name: inside.into(),
                            data: file.data,
                        });
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
                let used = self.uses(&name);
                self.unpack(&archive.data, used)
                    .and_then(|files| self.assemble(files, depth + 1))
            } else {
                let files = files.into_iter().filter_map(|file| {
                    let (_, inside) = file.name.split_once('/')?;
                    Some(File {
                        name: inside.into(),
                        data: file.data,
                    })
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
