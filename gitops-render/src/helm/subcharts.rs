//! Which subcharts take part, under which names, with which values: Helm's
//! `pkg/chartutil/dependencies.go`.

use std::sync::Arc;

use gitops_core::semver::{Constraint, Version};
use gitops_core::{Str, Value as Core};

use super::chart::Chart;
use super::coalesce::{self, Rules, Warnings, text as shown};
use super::error::{Error, ErrorKind};
use super::metadata::Dependency;
use super::profile::Profile;
use crate::gotmpl::{Map, Value};

/// A chart as it takes part in one render: possibly under an alias, with
/// imported values, and with those of its subcharts that are enabled.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) chart: Arc<Chart>,
    /// The chart's name, or the alias.
    pub(super) name: Str,
    /// What the chart depends on: after processing the enabled ones, by alias.
    pub(super) dependencies: Option<Vec<Dependency>>,
    /// The chart's defaults: after processing with those of its subcharts.
    pub(super) values: gitops_core::Map,
    pub(super) children: Vec<Node>,
    /// Whether its parent declares it; Helm then works on a copy of what it
    /// loaded.
    pub(super) is_copy: bool,
    /// Whether its children know it as their parent, and not what it is a copy
    /// of: Helm 3 corrects them only where the chart declares dependencies.
    pub(super) owns_children: bool,
}

impl Node {
    /// The tree of a chart and everything in its `charts/`, as loaded.
    pub(super) fn new(chart: Arc<Chart>) -> Node {
        Node {
            name: chart.metadata.name.clone(),
            dependencies: chart.metadata.dependencies.clone(),
            values: chart.values.clone(),
            children: chart.subcharts.iter().cloned().map(Node::new).collect(),
            chart,
            is_copy: false,
            owns_children: true,
        }
    }

    /// Decides which subcharts take part and imports their values.
    pub(super) fn process(
        &mut self,
        values: &gitops_core::Map,
        profile: Profile,
        warnings: &mut Warnings,
    ) -> Result<(), Error> {
        self.enable(values, "", Rules::coalesce(profile), warnings)?;
        self.import(profile, warnings)
    }

    /// Declared dependencies that `charts/` does not hold, by name.
    pub(super) fn missing(&self) -> Vec<Str> {
        self.dependencies
            .iter()
            .flatten()
            .filter(|dependency| {
                !self
                    .chart
                    .subcharts
                    .iter()
                    .any(|chart| chart.metadata.name == dependency.name)
            })
            .map(|dependency| dependency.name.clone())
            .collect()
    }

    fn enable(
        &mut self,
        values: &gitops_core::Map,
        path: &str,
        rules: Rules,
        warnings: &mut Warnings,
    ) -> Result<(), Error> {
        let Some(mut declared) = self.dependencies.take() else {
            return Ok(());
        };
        self.owns_children = true;
        let loaded = std::mem::take(&mut self.children);
        let fits = |dependency: &Dependency, node: &Node| {
            dependency.name == node.name
                && in_range(&dependency.version, &node.chart.metadata.version)
        };
        // What nobody declared takes part unasked, and first.
        let mut children: Vec<Node> = loaded
            .iter()
            .filter(|node| !declared.iter().any(|dependency| fits(dependency, node)))
            .cloned()
            .collect();
        for dependency in &mut declared {
            if let Some(node) = loaded.iter().find(|node| fits(dependency, node)) {
                let mut node = node.clone();
                node.is_copy = true;
                node.owns_children = false;
                if !dependency.alias.is_empty() {
                    node.name = dependency.alias.clone();
                }
                children.push(node);
            }
            if !dependency.alias.is_empty() {
                dependency.name = dependency.alias.clone();
            }
            dependency.enabled = true;
        }
        self.children = children;
        let coalesced = coalesce::values(self, values.clone(), rules, warnings)?;
        by_tags(&mut declared, &coalesced, warnings);
        by_conditions(&mut declared, &coalesced, path, warnings);
        let off = |name: &Str| {
            declared
                .iter()
                .any(|dependency| !dependency.enabled && dependency.name == *name)
        };
        self.children.retain(|node| !off(&node.name));
        let coalesced = plain(&coalesced)?;
        for child in &mut self.children {
            let path = format!("{path}{}.", child.name);
            child.enable(&coalesced, &path, rules, warnings)?;
        }
        declared.retain(|dependency| dependency.enabled);
        // Helm leaves no list where nothing is left in it.
        self.dependencies = (!declared.is_empty()).then_some(declared);
        Ok(())
    }

    /// Takes over what the chart wants of its subcharts' values; from the
    /// bottom up, so that a subchart's own imports can be imported.
    fn import(&mut self, profile: Profile, warnings: &mut Warnings) -> Result<(), Error> {
        for child in &mut self.children {
            child.import(profile, warnings)?;
        }
        let Some(dependencies) = &self.dependencies else {
            return Ok(());
        };
        let rules = Rules::merge(profile);
        let values = coalesce::values(self, gitops_core::Map::new(), rules, warnings)?;
        let imported = Map::new();
        for dependency in dependencies {
            for import in &dependency.import_values {
                let (child, parent, of) = match import {
                    Core::String(name) => (format!("exports.{name}"), ".".to_owned(), None),
                    Core::Map(fields) => {
                        let text = |name: &str| match fields.get(name) {
                            Some(value) => shown(&Value::from(value)),
                            None => "<nil>".to_owned(),
                        };
                        (text("child"), text("parent"), Some(&dependency.name))
                    }
                    _ => continue,
                };
                match table(&values, &format!("{}.{child}", dependency.name)) {
                    Ok(table) => {
                        let table = below(&parent, table);
                        coalesce::tables(&imported, &table, "", rules, warnings);
                    }
                    Err(missing) => {
                        let of = of.map_or_else(String::new, |name| format!(" from chart {name}"));
                        warnings.push(format!(
                            "Warning: ImportValues missing table{of}: {missing:?} is not a table"
                        ));
                    }
                }
            }
        }
        let values = Map::from(plain(&values)?);
        coalesce::tables(&values, &imported, "", rules, warnings);
        self.values = plain(&values)?;
        Ok(())
    }
}

/// Whether a version is in a range; a malformed one is in none.
pub(super) fn in_range(range: &str, version: &str) -> bool {
    match (Constraint::parse(range), Version::parse(version)) {
        (Ok(range), Ok(version)) => range.matches(&version),
        _ => false,
    }
}

fn plain(values: &Map) -> Result<gitops_core::Map, Error> {
    match Value::Map(values.clone()).to_core() {
        Ok(Core::Map(map)) => Ok(map),
        Ok(_) => Ok(gitops_core::Map::new()),
        Err(failure) => Err(Error::new(ErrorKind::Values, failure.to_string())),
    }
}

fn by_tags(dependencies: &mut [Dependency], values: &Map, warnings: &mut Warnings) {
    let Some(Value::Map(tags)) = values.get("tags") else {
        return;
    };
    for dependency in dependencies {
        let (mut on, mut off) = (false, false);
        for tag in &dependency.tags {
            match tags.get(tag) {
                None => {}
                Some(Value::Bool(true)) => on = true,
                Some(Value::Bool(false)) => off = true,
                Some(_) => warnings.push(format!(
                    "Warning: Tag '{tag}' for chart {} returned non-bool value",
                    dependency.name
                )),
            }
        }
        dependency.enabled = on || !off;
    }
}

fn by_conditions(
    dependencies: &mut [Dependency],
    values: &Map,
    path: &str,
    warnings: &mut Warnings,
) {
    for dependency in dependencies {
        for condition in dependency.condition.trim().split(',') {
            if condition.is_empty() {
                continue;
            }
            match at(values, &format!("{path}{condition}")) {
                None => {}
                Some(Value::Bool(on)) => {
                    dependency.enabled = on;
                    break;
                }
                Some(_) => warnings.push(format!(
                    "Warning: Condition path '{condition}' for chart {} returned non-bool value",
                    dependency.name
                )),
            }
        }
    }
}

/// The value at a dotted path, unless it is a table.
fn at(values: &Map, path: &str) -> Option<Value> {
    let (above, key) = match path.rsplit_once('.') {
        Some((above, key)) => (table(values, above).ok()?, key),
        None => (values.clone(), path),
    };
    above
        .get(key)
        .filter(|value| !matches!(value, Value::Map(_)))
}

/// The table at a dotted path, or the key at which there is none.
pub(super) fn table(values: &Map, path: &str) -> Result<Map, String> {
    let mut table = values.clone();
    for key in path.split('.') {
        table = match table.get(key) {
            Some(Value::Map(below)) => below,
            _ => return Err(key.to_owned()),
        };
    }
    Ok(table)
}

/// `table` placed below a dotted path; `.` is the root.
fn below(path: &str, table: Map) -> Map {
    if path == "." {
        return table;
    }
    path.rsplit('.').fold(table, |table, key| {
        std::iter::once((crate::gotmpl::Str::from(key), Value::Map(table))).collect()
    })
}
