//! Where the lines of a release come from, and where values were set.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use gitops_core::{Map, Str, TreeError, Value, yaml};

use super::chart::Chart;
use super::manifests::Document;
use super::options::HelmOptions;
use super::subcharts::Node;
use super::values::ValuesSource;
use crate::gotmpl::{Extent, NodeOrigin, Record, Step, ValuesPath};

/// What a watched render knows: see [`HelmOptions::trace`].
///
/// It is shared, not copied.
#[derive(Clone)]
pub struct SourceMap(Arc<Inner>);

struct Inner {
    record: Record,
    /// What the user set, weakest first.
    sources: Vec<ValuesSource>,
    /// The defaults of the charts that take part.
    defaults: Vec<Defaults>,
}

/// The `values.yaml` of a chart.
struct Defaults {
    /// The names of the charts down to it, without the root's.
    prefix: Vec<Str>,
    file: String,
    text: Bytes,
    values: Map,
    /// What decides about its dependencies, as paths from the root.
    conditions: Vec<String>,
}

impl fmt::Debug for SourceMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SourceMap").finish_non_exhaustive()
    }
}

/// Where a line comes from.
#[derive(Clone, Debug)]
pub struct LineReport {
    /// The nodes and texts of templates that wrote it, inner ones first.
    pub nodes: Vec<NodeOrigin>,
    /// The values that it depends on, and where they were set; `None` for those
    /// that nobody set.
    pub values: Vec<(ValuesPath, Option<ValueOrigin>)>,
}

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueOrigin {
    /// The file, as it was named or as it lies in the chart; or the flag.
    pub name: String,
    /// The line of the file, from 1.
    pub line: Option<u32>,
}

impl fmt::Display for ValueOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match self.line {
            Some(line) => write!(f, ":{line}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for LineReport {
    /// For people, a line for each thing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for node in &self.nodes {
            let at = &node.location;
            write!(f, "written by {}:{}", at.file, at.line)?;
            if let Some(column) = at.column {
                write!(f, ":{}", column + 1)?;
            }
            match &at.node {
                Some(text) => writeln!(f, "  {{{{ {text} }}}}")?,
                None => writeln!(f, "  text")?,
            }
            for caller in &node.stack {
                let text = caller.node.as_deref().unwrap_or_default();
                let text = text.trim_start_matches("{{").trim_end_matches("}}");
                writeln!(f, "  called from {}:{}  {text}", caller.file, caller.line)?;
            }
        }
        for (path, origin) in &self.values {
            match origin {
                Some(origin) => writeln!(f, "depends on {path}  ({origin})")?,
                None => writeln!(f, "depends on {path}  (not set)")?,
            }
        }
        Ok(())
    }
}

impl SourceMap {
    pub(super) fn new(
        record: Record,
        root: &Node,
        options: &HelmOptions,
    ) -> Result<Self, TreeError> {
        let mut defaults = Vec::new();
        collect(root, &mut Vec::new(), root.name.to_string(), &mut defaults)?;
        let mut sources = options.sources.clone();
        if sources.is_empty() && !options.values.is_empty() {
            sources.push(ValuesSource {
                name: "values".into(),
                values: options.values.clone(),
                text: None,
            });
        }
        Ok(SourceMap(Arc::new(Inner {
            record,
            sources,
            defaults,
        })))
    }

    /// Where a line of a document comes from; lines count from 0. `None` if the
    /// document has no such line, or no template wrote it.
    pub fn line(&self, document: &Document, line: usize) -> Option<LineReport> {
        if line > 0 && document.text.lines().nth(line).is_none() {
            return None;
        }
        let first = self
            .0
            .record
            .output(&document.path)
            .map(|text| lines_before(text, document.offset))?;
        self.output_line(&document.path, first + line)
    }

    /// Where a field of a document comes from: the line that it is written on.
    /// Paths look as in [`yaml::Spans::locate`].
    pub fn field(&self, document: &Document, path: &str) -> Option<LineReport> {
        let (line, _) = yaml::locate(document.text.as_bytes(), 1, path)?;
        self.line(document, (line as usize).checked_sub(1)?)
    }

    /// A line of all that a template wrote.
    pub(super) fn output_line(&self, file: &str, line: usize) -> Option<LineReport> {
        let origin = self.0.record.line(file, line)?;
        let values = origin.values.into_iter().map(|path| {
            let origin = self.value(&path);
            (path, origin)
        });
        Some(LineReport {
            values: values.collect(),
            nodes: origin.nodes,
        })
    }

    /// Where a value was set last: by the user, or in the defaults of the chart
    /// or of a chart above it. `None` if nobody set it, or a template did.
    pub fn value(&self, path: &ValuesPath) -> Option<ValueOrigin> {
        let steps = &path.0;
        // What is global is set at any chart above; the nearest to the root
        // counts.
        let global = steps.iter().rposition(|step| is_key(step, "global"));
        let cuts = (0..=global.unwrap_or(0)).map(|cut| match global {
            Some(global) if cut < global => {
                let mut above = steps[..cut].to_vec();
                above.extend_from_slice(&steps[global..]);
                above
            }
            _ => steps.clone(),
        });
        let mut cuts: Vec<Vec<Step>> = cuts.collect();
        cuts.dedup();
        for steps in &cuts {
            for source in self.0.sources.iter().rev() {
                if sets(&source.values, steps) {
                    return Some(ValueOrigin {
                        name: source.name.to_string(),
                        line: source.text.as_deref().and_then(|text| line_of(text, steps)),
                    });
                }
            }
        }
        for steps in &cuts {
            for chart in &self.0.defaults {
                let inside = chart.prefix.len();
                let here = steps.len() >= inside
                    && chart
                        .prefix
                        .iter()
                        .zip(steps)
                        .all(|(name, step)| is_key(step, name));
                if here && sets(&chart.values, &steps[inside..]) {
                    return Some(ValueOrigin {
                        name: chart.file.clone(),
                        line: line_of(&chart.text, &steps[inside..]),
                    });
                }
            }
        }
        None
    }

    /// Every place in the values that a template read, in order.
    pub fn values_read(&self) -> Vec<(ValuesPath, Extent)> {
        self.0.record.values_read()
    }

    /// What the user set and nobody read: no template, and no condition or tag
    /// of a dependency.
    pub fn unread(&self) -> Vec<(ValuesPath, ValueOrigin)> {
        let read: std::collections::HashMap<String, Extent> = self
            .values_read()
            .into_iter()
            .map(|(path, extent)| (path.to_string(), extent))
            .collect();
        let conditions: Vec<&str> = self
            .0
            .defaults
            .iter()
            .flat_map(|chart| chart.conditions.iter().map(String::as_str))
            .collect();
        let mut leaves = Vec::new();
        for source in &self.0.sources {
            leaves_of(&source.values, &mut Vec::new(), &mut leaves);
        }
        leaves.sort_by_cached_key(|path| path_text(path));
        leaves.dedup();
        let mut unread = Vec::new();
        for steps in leaves {
            if self.is_read(&steps, &read) || conditions.contains(&path_text(&steps).as_str()) {
                continue;
            }
            let path = ValuesPath(steps);
            if let Some(origin) = self.value(&path) {
                unread.push((path, origin));
            }
        }
        unread
    }

    fn is_read(&self, steps: &[Step], read: &std::collections::HashMap<String, Extent>) -> bool {
        let hit = |steps: &[Step]| {
            (1..=steps.len()).any(|end| match read.get(&path_text(&steps[..end])) {
                Some(Extent::Whole) => true,
                Some(Extent::Itself) => end == steps.len(),
                None => false,
            })
        };
        if hit(steps) {
            return true;
        }
        // A global is read wherever a subchart reads its own.
        if steps.first().is_some_and(|step| is_key(step, "global")) {
            return self.0.defaults.iter().any(|chart| {
                let mut below: Vec<Step> = chart
                    .prefix
                    .iter()
                    .map(|name| Step::Key(name.clone().into()))
                    .collect();
                below.extend_from_slice(steps);
                hit(&below)
            });
        }
        false
    }
}

fn is_key(step: &Step, name: &str) -> bool {
    matches!(step, Step::Key(key) if *key == *name)
}

fn path_text(steps: &[Step]) -> String {
    ValuesPath(steps.to_vec()).to_string()
}

fn lines_before(text: &[u8], offset: usize) -> usize {
    memchr::memchr_iter(b'\n', &text[..offset.min(text.len())]).count()
}

fn collect(
    node: &Node,
    prefix: &mut Vec<Str>,
    dir: String,
    into: &mut Vec<Defaults>,
) -> Result<(), TreeError> {
    let chart: &Chart = &node.chart;
    let path = |condition: &str| {
        let mut path: Vec<&str> = prefix.iter().map(Str::as_str).collect();
        path.push(condition);
        path.join(".")
    };
    let mut conditions = Vec::new();
    for dependency in chart.metadata.dependencies.iter().flatten() {
        conditions.extend(dependency.condition.split(',').map(|one| path(one.trim())));
        if prefix.is_empty() {
            conditions.extend(dependency.tags.iter().map(|tag| format!("tags.{tag}")));
        }
    }
    into.push(Defaults {
        prefix: prefix.clone(),
        file: format!("{dir}/values.yaml"),
        text: match &chart.values_file {
            Some(file) => file.data()?.clone(),
            None => Bytes::new(),
        },
        values: chart.values.clone(),
        conditions,
    });
    for child in &node.children {
        prefix.push(child.name.clone());
        collect(child, prefix, format!("{dir}/charts/{}", child.name), into)?;
        prefix.pop();
    }
    Ok(())
}

/// Whether a map says what is at this path: it has the path, or something on
/// the way that has nothing below.
fn sets(values: &Map, steps: &[Step]) -> bool {
    let Some((Step::Key(first), rest)) = steps.split_first() else {
        return false;
    };
    let Some(mut value) = first.as_str().and_then(|key| values.get(key)) else {
        return false;
    };
    for step in rest {
        let below = match (value, step) {
            (Value::Map(map), Step::Key(key)) => match key.as_str().and_then(|key| map.get(key)) {
                Some(below) => below,
                None => return false,
            },
            (Value::List(list), Step::Index(at)) => match list.get(*at) {
                Some(below) => below,
                None => return false,
            },
            _ => return true,
        };
        value = below;
    }
    true
}

fn line_of(text: &[u8], steps: &[Step]) -> Option<u32> {
    let (line, _) = yaml::locate(text, 1, &path_text(steps))?;
    Some(line)
}

fn leaves_of(values: &Map, above: &mut Vec<Step>, into: &mut Vec<Vec<Step>>) {
    for (key, value) in values {
        above.push(Step::Key(key.clone().into()));
        match value {
            Value::Map(map) if !map.is_empty() => {
                crate::gotmpl::deeper(|| leaves_of(map, above, into))
            }
            _ => into.push(above.clone()),
        }
        above.pop();
    }
}
