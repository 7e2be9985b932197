//! What a render needs of its chart, found out while the chart is read.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;
use gitops_core::{Map, TreeError};

use super::{File, decode, innermost};
use crate::helm::early::{Early, Job};
use crate::helm::metadata::{Dependency, Metadata};
use crate::helm::options::HelmOptions;

/// The render of a chart that is being loaded.
pub(super) struct Plan<'o> {
    options: &'o HelmOptions,
    /// Takes the files that others can begin with.
    early: Early,
    /// The places of the charts that lie around what is being read, which end in
    /// a slash, and their defaults.
    around: Vec<(String, Map)>,
    /// Values that were read already.
    values: HashMap<Job, Map, RandomState>,
    /// The places of subcharts that will take no part, as far as one can tell
    /// before they are read.
    off: HashSet<String, RandomState>,
}

impl<'o> Plan<'o> {
    pub(super) fn new(options: &'o HelmOptions) -> Self {
        Plan {
            options,
            early: Early::new(options.profile, 1),
            around: Vec::new(),
            values: HashMap::default(),
            off: HashSet::default(),
        }
    }

    /// All files are known: what others make of them.
    ///
    /// # Errors
    ///
    /// If one cannot be read.
    pub(super) fn finish(mut self) -> Result<Early, TreeError> {
        self.early.settle()?;
        Ok(self.early)
    }

    /// Lets others begin with a file, or with reading it; `used` if it belongs to
    /// a chart that takes part.
    pub(super) fn begin(&mut self, mut file: File, used: bool) -> Result<File, TreeError> {
        let name = file.name.clone();
        let inside = innermost(&name);
        // Others may never be needed, or again only to explain something.
        let needed = match inside {
            "Chart.yaml" | "Chart.lock" | "requirements.yaml" | "requirements.lock" => true,
            "values.yaml" | "values.schema.json" => self.options.trace,
            _ => false,
        };
        if needed {
            file = file.read()?;
        }
        let early = &mut self.early;
        file.job = match inside {
            "values.yaml" => Some(early.add_values(file.data()?)),
            "values.schema.json" if used && !self.options.skip_schema_validation => {
                Some(early.add_schema(&file))
            }
            inside if used && inside.starts_with("templates/") => Some(early.add_template(&file)),
            // An archive.
            inside if inside.starts_with("charts/") => Some(early.add_archive(&file, self.options)),
            _ => {
                early.add_check(&file);
                None
            }
        };
        Ok(file)
    }

    /// Whether a file belongs to a chart that takes part.
    pub(super) fn uses(&self, name: &str) -> bool {
        let mut end = 0;
        while let Some(inside) = name[end..].strip_prefix("charts/") {
            let start = name.len() - inside.len();
            let Some(length) = inside.find('/') else {
                // An archive: its version follows its name.
                let mut dashes = inside.match_indices('-');
                return !dashes.any(|(dash, _)| self.off.contains(&name[..start + dash]));
            };
            if self.off.contains(&name[..start + length]) {
                return false;
            }
            end = start + length + 1;
        }
        true
    }

    /// Finds out which subcharts the conditions of the chart at a place turn off.
    /// It is only a guess, without tags, requirements and aliases above: templates
    /// are read too early or too late by it, nothing else.
    pub(super) fn guess(&mut self, place: &str, files: &[File]) -> Option<()> {
        let own = || {
            files
                .iter()
                .rev()
                .map_while(|file| Some((file.name.strip_prefix(place)?, file)))
        };
        let find = |name: &str| Some(own().find(|(own, _)| *own == name)?.1);
        let mut metadata = Metadata::default();
        decode(&mut metadata, find("Chart.yaml")?.data().ok()?).ok()?;
        let values = find("values.yaml")?;
        let defaults = self.values(values)?.ok()?;
        self.values.insert(values.job?, defaults.clone());
        self.around.retain(|(around, _)| place.starts_with(around));
        self.around.push((place.to_owned(), defaults));
        let around = self.around.iter();
        let maps: Vec<(&str, &Map)> = std::iter::once(("", &self.options.values))
            .chain(around.map(|(place, defaults)| (place.as_str(), defaults)))
            .collect();
        let look = |map: &Map, path: &[&str]| {
            let (first, rest) = path.split_first()?;
            map.get(first)?.at(rest)?.as_bool()
        };
        let on = |dependency: &Dependency| {
            let mut conditions = dependency.condition.split(',');
            let decided = conditions.find_map(|condition| {
                let condition: Vec<&str> = condition.trim().split('.').collect();
                maps.iter().find_map(|(from, map)| {
                    let way = place[from.len()..].split('/').skip(1).step_by(2);
                    let path: Vec<&str> = way.chain(condition.iter().copied()).collect();
                    let global = condition[0] == "global";
                    look(map, &path).or_else(|| global.then(|| look(map, &condition))?)
                })
            });
            decided.unwrap_or(true)
        };
        let dependencies = metadata.dependencies.unwrap_or_default();
        let (on, off): (Vec<_>, Vec<_>) = dependencies.iter().partition(|entry| on(entry));
        let name = |entry: &Dependency| format!("{place}charts/{}", entry.name);
        self.off.extend(off.into_iter().map(name));
        // Of several entries of a name one is enough.
        for entry in on {
            self.off.remove(&name(entry));
        }
        Some(())
    }

    /// The files of an archive that others could begin with, by whoever unpacks
    /// it.
    pub(super) fn archive(&self, file: &File) -> Option<Result<Vec<File>, String>> {
        self.early.archive(file.job)
    }

    /// The values in a file that others could begin with, by whoever reads them
    /// or has read them.
    pub(super) fn values(&self, file: &File) -> Option<Result<Map, String>> {
        match self.values.get(&file.job?) {
            Some(known) => Some(Ok(known.clone())),
            None => self.early.values(file.job),
        }
    }
}
