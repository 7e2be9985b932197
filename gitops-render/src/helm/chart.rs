//! A chart as it lies in a tree: loaded once, rendered often.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use gitops_core::tree::{Entry, EntryKind};
use gitops_core::{FileTree, Map, Str, TreePath, Value, yaml};

use super::error::{Error, ErrorKind};
use super::ignore::Rules;
use super::metadata::Metadata;

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
        let fail = |problem: String| Error::new(ErrorKind::Load, problem).at_file(path.as_str());
        if let Some(archive) = tree.read(path)? {
            let files = unpack(&archive, limits).map_err(fail)?;
            return assemble(files, limits, 0).map_err(fail);
        }
        let files = read_dir(tree, path, limits)?;
        assemble(files, limits, 0).map_err(fail)
    }

    /// The chart's name.
    pub fn name(&self) -> &str {
        &self.metadata.name
    }
}

fn read_dir(
    tree: &(impl FileTree + ?Sized),
    root: &TreePath,
    limits: &LoadLimits,
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
    while let Some(Entry { path, kind }) = pending.pop() {
        let name = path.below(root).unwrap_or(path.as_str());
        if rules.ignores(name, kind == EntryKind::Dir) {
            continue;
        }
        match kind {
            EntryKind::Dir => {
                pending.extend(tree.list(&path)?.unwrap_or_default().into_iter().rev());
            }
            EntryKind::File => {
                let Some(data) = tree.read(&path)? else {
                    continue;
                };
                if data.len() > limits.file {
                    return Err(fail(format!(
                        "chart file {:?} is larger than the maximum file size {}",
                        path.file_name(),
                        limits.file
                    )));
                }
                files.push(File {
                    name: name.into(),
                    data: without_bom(data),
                });
            }
        }
    }
    Ok(files)
}

fn without_bom(data: Bytes) -> Bytes {
    match data.strip_prefix(b"\xEF\xBB\xBF") {
        Some(rest) => data.slice_ref(rest),
        None => data,
    }
}

/// The files of a gzipped tar, without the directory they all lie in.
fn unpack(archive: &[u8], limits: &LoadLimits) -> Result<Vec<File>, String> {
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
        files.push(File {
            name: path.as_str().into(),
            data: without_bom(data.into()),
        });
    }
    if files.is_empty() {
        return Err("no files in chart archive".into());
    }
    Ok(files)
}

/// Sorts the files of a chart into what they are.
fn assemble(files: Vec<File>, limits: &LoadLimits, depth: usize) -> Result<Chart, String> {
    if depth > limits.depth {
        return Err(format!(
            "charts lie within each other deeper than {}",
            limits.depth
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
                chart.values = values(&file.data)
                    .map_err(|error| format!("cannot load values.yaml: {error}"))?;
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
            unpack(&archive.data, limits).and_then(|files| assemble(files, limits, depth + 1))
        } else {
            let files = files.into_iter().filter_map(|file| {
                let (_, inside) = file.name.split_once('/')?;
                Some(File {
                    name: inside.into(),
                    data: file.data,
                })
            });
            assemble(files.collect(), limits, depth + 1)
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
