//! Which subcharts take part, under which names, with which values: Helm's
//! `pkg/chartutil/dependencies.go`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
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
    pub(super) dependencies: Option<Vec<Rc<Declared>>>,
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

/// An entry of `dependencies`.
///
/// Helm 3 copies a chart for each of its aliases, but not these: what is done
/// to one for the sake of the first alias is found done by the second.
#[derive(Debug)]
pub(super) struct Declared {
    pub(super) entry: RefCell<Dependency>,
    /// Whether its values were imported; what is left of `import-values` then
    /// is no import to Helm any more.
    imported: Cell<bool>,
}

impl Declared {
    fn new(entry: Dependency) -> Rc<Self> {
        Rc::new(Declared {
            entry: RefCell::new(entry),
            imported: Cell::new(false),
        })
    }
}

impl Node {
    /// The tree of a chart and everything in its `charts/`, as loaded.
    pub(super) fn new(chart: Arc<Chart>) -> Node {
        Node {
            name: chart.metadata.name.clone(),
            dependencies: chart
                .metadata
                .dependencies
                .as_ref()
                .map(|all| all.iter().cloned().map(Declared::new).collect()),
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
            .map(|declared| declared.entry.borrow())
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

    /// Copies of what the chart depends on, which no other alias sees.
    fn own_dependencies(&mut self) {
        for declared in self.dependencies.iter_mut().flatten() {
            let own = Declared::new(declared.entry.borrow().clone());
            *declared = own;
        }
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
        let four = rules.profile().is_4();
        self.owns_children = true;
        let loaded = std::mem::take(&mut self.children);
        let fits = |dependency: &Dependency, node: &Node| {
            dependency.name == node.name
                && in_range(&dependency.version, &node.chart.metadata.version)
        };
        // What nobody declared takes part unasked, and first.
        let mut children: Vec<Node> = loaded
            .iter()
            .filter(|node| {
                let fits = |declared: &Rc<Declared>| fits(&declared.entry.borrow(), node);
                !declared.iter().any(fits)
            })
            .cloned()
            .collect();
        for dependency in &declared {
            let mut dependency = dependency.entry.borrow_mut();
            if let Some(node) = loaded.iter().find(|node| fits(&dependency, node)) {
                let mut node = node.clone();
                if four {
                    node.own_dependencies();
                }
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
        by_tags(&declared, &coalesced, rules.profile(), warnings);
        by_conditions(&declared, &coalesced, path, rules.profile(), warnings);
        let off = |name: &Str| {
            declared.iter().any(|declared| {
                let dependency = declared.entry.borrow();
                !dependency.enabled && dependency.name == *name
            })
        };
        // Those below may be the same, and be enabled by then.
        let names: Vec<Str> = declared
            .iter()
            .map(|declared| declared.entry.borrow().name.clone())
            .collect();
        let mut off_by_name = names.iter().map(&off).collect::<Vec<bool>>().into_iter();
        self.children.retain(|node| !off(&node.name));
        if self
            .children
            .iter()
            .any(|child| child.dependencies.is_some())
        {
            let coalesced = plain(&coalesced)?;
            for child in &mut self.children {
                let path = format!("{path}{}.", child.name);
                child.enable(&coalesced, &path, rules, warnings)?;
            }
        }
        declared.retain(|_| !off_by_name.next().unwrap_or(false));
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
        if self.dependencies.is_none() {
            return Ok(());
        }
        let rules = Rules::merge(profile);
        let values = coalesce::values(self, gitops_core::Map::new(), rules, warnings)?;
        let imported = Map::new();
        for declared in self.dependencies.iter().flatten() {
            let mut dependency = declared.entry.borrow_mut();
            if declared.imported.replace(true) {
                dependency.import_values.clear();
            }
            for import in std::mem::take(&mut dependency.import_values) {
                let (child, parent, of) = match &import {
                    Core::String(name) => (format!("exports.{name}"), ".".to_owned(), None),
                    Core::Map(fields) => {
                        let text = |name: &str| match fields.get(name) {
                            Some(value) => shown(&Value::from(value)),
                            None => "<nil>".to_owned(),
                        };
                        (text("child"), text("parent"), Some(dependency.name.clone()))
                    }
                    _ => continue,
                };
                let written = [("child", child.as_str()), ("parent", parent.as_str())];
                let written = written.map(|(name, text)| (name, Core::from(text)));
                dependency
                    .import_values
                    .push(Core::Map(written.into_iter().collect()));
                match table(&values, &format!("{}.{child}", dependency.name)) {
                    Ok(table) => {
                        // Helm takes a new one for one that is empty, and the
                        // child's own for others: later imports write to it.
                        let table = match table.is_empty() {
                            true => Map::new(),
                            false => table,
                        };
                        let table = below(&parent, table);
                        coalesce::tables(&imported, table, "", rules, warnings);
                    }
                    Err(missing) => {
                        warnings.push(profile.no_table_to_import(&missing, of.as_deref()));
                    }
                }
            }
        }
        let values = Map::from(plain(&values)?);
        coalesce::tables(&values, imported, "", rules, warnings);
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

fn by_tags(dependencies: &[Rc<Declared>], values: &Map, profile: Profile, warnings: &mut Warnings) {
    let Some(Value::Map(tags)) = values.get("tags") else {
        return;
    };
    for declared in dependencies {
        let mut dependency = declared.entry.borrow_mut();
        let (mut on, mut off) = (false, false);
        for tag in &dependency.tags {
            match tags.get(tag) {
                None => {}
                Some(Value::Bool(true)) => on = true,
                Some(Value::Bool(false)) => off = true,
                Some(_) => warnings.push(profile.tag_is_no_bool(tag, &dependency.name)),
            }
        }
        dependency.enabled = on || !off;
    }
}

fn by_conditions(
    dependencies: &[Rc<Declared>],
    values: &Map,
    path: &str,
    profile: Profile,
    warnings: &mut Warnings,
) {
    for declared in dependencies {
        let mut dependency = declared.entry.borrow_mut();
        let condition = dependency.condition.clone();
        for condition in condition.trim().split(',') {
            if condition.is_empty() {
                continue;
            }
            match at(values, &format!("{path}{condition}")) {
                None => {}
                Some(Value::Bool(on)) => {
                    dependency.enabled = on;
                    break;
                }
                Some(_) => {
                    warnings.push(profile.condition_is_no_bool(condition, &dependency.name));
                }
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
