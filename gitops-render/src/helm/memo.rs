//! What one render leaves for the next one of the same chart.
//!
//! A template that reads what it read last time writes what it wrote. What it
//! reads is reported by the maps of its data (`gotmpl/watch.rs`), by the path
//! from the root of the data. So of two renders the values are compared
//! (`gotmpl/difference.rs`), and only templates run that read something that
//! differs. Four things make that right:
//!
//! - Everything beside the values must be equal: chart, release, capabilities,
//!   the subcharts that take part, and which maps are one and the same.
//! - What a template writes to the data of others is written again if it does
//!   not run (`gotmpl/edits.rs`). If only the template can do that, it always
//!   runs. Where it does and writes something else than last time, that
//!   differs for everything behind it; and everything behind it runs if others
//!   may know the map by another path, or if what it wrote is not known.
//! - A template that asks for what nobody can compare (random numbers of the
//!   system, its clock, a cluster) always runs as well.
//! - A render that is traced runs whole.
//!
//! A template that does run is spared those that it includes, where they read
//! nothing that differs (`gotmpl/parts.rs`), and what functions made for it last
//! time (`gotmpl/memory.rs`) and would make again:
//!
//! | function                    | what it made depends on                      |
//! |-----------------------------|----------------------------------------------|
//! | keys, `bcrypt`, `htpasswd`  | the stream of a seeded call, and its operands |
//! | `fromYaml`, `fromJson`      | the text                                     |
//! | `toYaml`                    | what is written of the value                 |
//! | `tpl`, until it is executed | the text, and the profile                    |
//!
//! What a template wrote that is included with the same data again in one render
//! (`gotmpl/exec/include.rs`) is known together with what it read, which is told
//! again for each file.
//!
//! Documents with the text of last time are not read again for what makes them
//! hooks, nor values that are those of last time checked against their schema.

use std::collections::hash_map::{Entry, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use foldhash::fast::RandomState;
use gitops_core::{Map as CoreMap, Str as CoreStr, Value as Core};
use smallvec::smallvec;

use super::capabilities::Capabilities;
use super::chart::Chart;
use super::cluster::Inputs;
use super::error::Error;
use super::manifests::Written;
use super::metadata::Dependency;
use super::options::{HelmOptions, ReleaseName};
use super::profile::Profile;
use super::release::{self, Release};
use super::schema::Checked;
use super::seed::Seed;
use super::subcharts::Node;
use super::world::Asked;
use crate::gotmpl::difference::Difference;
use crate::gotmpl::edits::{self, Edit};
use crate::gotmpl::memory::{Made, Memory};
use crate::gotmpl::parts::{Last, Parts, Recall};
use crate::gotmpl::watch::{Log, Path, Places, Read};
use crate::gotmpl::{Map, Str, Value};

/// Renders a chart again and again, and each time only what has changed.
///
/// It keeps what the templates of one chart wrote, to `.Values` too (`set`), and
/// which values they read. Given other values of the same [`Chart`] (the same
/// [`Arc`]), templates that read none of the difference are not executed, nor
/// those that others `include`. The result is that of
/// [`template`](super::template), byte for byte; another chart, release or set of
/// capabilities is a first render, and so is another set of subcharts. What is reused counts against none of the
/// [`limits`](HelmOptions::limits).
///
/// What is slow and would be the same again is not done again in templates that
/// are executed either: with a [fixed seed](Seed::fixed) no key is looked for
/// twice.
///
/// A first render takes a little longer than `template` does, since reads are
/// noted. Its output, its values and what functions made for it stay in memory
/// until a render has no use for them; there may be secrets among them.
///
/// ```
/// use gitops_core::tree::{MemoryTree, TreePath};
/// use gitops_core::{Map, Value};
/// use gitops_render::helm::{Chart, HelmOptions, Memo};
///
/// let tree: MemoryTree = [
///     ("Chart.yaml", "apiVersion: v2\nname: demo\nversion: 1.0.0\n"),
///     ("templates/a.yaml", "kind: A\na: {{ .Values.a }}\n"),
///     ("templates/b.yaml", "kind: B\nb: {{ .Values.b }}\n"),
/// ]
/// .try_into()?;
/// let chart = Chart::load(&tree, &TreePath::ROOT, &Default::default())?.into();
/// let mut memo = Memo::default();
/// let mut options = HelmOptions::default();
/// options.values = Map::from_iter([("a", Value::Int(1)), ("b", Value::Int(1))]);
/// memo.template(&chart, &options)?;
/// options.values = Map::from_iter([("a", Value::Int(1)), ("b", Value::Int(2))]);
/// let release = memo.template(&chart, &options)?;
/// assert!(release.to_text().ends_with("kind: B\nb: 2\n"));
/// assert_eq!(memo.reused(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct Memo {
    kept: Option<Kept>,
    checked: Checked,
    reused: usize,
}

impl std::fmt::Debug for Memo {
    /// Without what was rendered: there may be Secrets in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memo")
            .field("reused", &self.reused)
            .finish_non_exhaustive()
    }
}

impl Memo {
    /// [`template`](super::template), with what the last call left.
    ///
    /// # Errors
    ///
    /// As `template`. After one the next render is a first one.
    pub fn template(
        &mut self,
        chart: &Arc<Chart>,
        options: &HelmOptions,
    ) -> Result<Release, Error> {
        self.reused = 0;
        let memo = (!options.trace).then_some(self);
        release::render(chart, options, memo)
    }

    /// How many templates the last call did not execute.
    pub fn reused(&self) -> usize {
        self.reused
    }

    /// What the last render found to be as schemas want it.
    pub(super) fn checked(&mut self) -> &mut Checked {
        &mut self.checked
    }
}

/// A render that succeeded.
struct Kept {
    facts: Facts,
    values: Values,
    /// The names of the maps in what was read.
    places: Places,
    /// What functions made for the templates.
    memory: Memory,
    files: HashMap<CoreStr, Execution, RandomState>,
}

/// What a template did.
struct Execution {
    written: Written,
    reads: Vec<(u32, Read)>,
    /// What it wrote to the data of others; `None` if only it can do so again.
    edits: Option<Arc<[Edit]>>,
    /// What the templates wrote that it includes.
    parts: Parts,
    inputs: Inputs,
    /// What functions made for it, which keeps that remembered.
    #[expect(dead_code, reason = "it is shared, not read")]
    made: Box<[Made]>,
}

/// What must be equal beside the values.
#[derive(PartialEq)]
struct Facts {
    release_name: ReleaseName,
    namespace: CoreStr,
    is_upgrade: bool,
    capabilities: Capabilities,
    profile: Profile,
    seed: Seed,
    /// Whether there is somebody to ask for objects.
    cluster: bool,
    /// The charts that take part, and with them the templates.
    root: Part,
}

/// A chart as it takes part.
struct Part {
    chart: Arc<Chart>,
    name: CoreStr,
    dependencies: Option<Vec<Dependency>>,
    children: Vec<Part>,
}

impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.chart, &other.chart)
            && self.name == other.name
            && self.dependencies == other.dependencies
            && self.children == other.children
    }
}

impl Part {
    fn new(node: &Node) -> Part {
        let entry = |declared: &Rc<super::subcharts::Declared>| declared.entry.borrow().clone();
        Part {
            chart: node.chart.clone(),
            name: node.name.clone(),
            dependencies: node
                .dependencies
                .as_ref()
                .map(|all| all.iter().map(entry).collect()),
            children: node.children.iter().map(Part::new).collect(),
        }
    }
}

/// The values as templates found them.
#[derive(Default)]
struct Values {
    values: CoreMap,
    /// The paths at which something stands that stands elsewhere too, with
    /// the path of its first place.
    shared: Vec<[Path; 2]>,
}

/// The key at which the values lie in what all paths start from.
const VALUES: &str = "Values";

impl Values {
    /// `None` if they hold what cannot be compared, like NaN.
    fn new(map: &Map) -> Option<Values> {
        let values = match (map.settle(), Value::Map(map.clone())) {
            (Some(values), _) => values,
            (None, map) => match map.to_core() {
                Ok(Core::Map(values)) => values,
                _ => return None,
            },
        };
        let mut found = Values {
            values,
            shared: Vec::new(),
        };
        let mut seen = HashMap::default();
        let mut path = smallvec![Str::from(VALUES)];
        found.share(&Value::Map(map.clone()), &mut path, &mut seen);
        Some(found)
    }

    fn share(
        &mut self,
        value: &Value,
        path: &mut Path,
        seen: &mut HashMap<usize, Path, RandomState>,
    ) {
        let address = match value {
            Value::Map(map) => map.address(),
            Value::List(list) => list.address(),
            _ => None,
        };
        let Some(address) = address else { return };
        match seen.entry(address) {
            Entry::Occupied(first) => {
                self.shared.push([path.clone(), first.get().clone()]);
                return;
            }
            Entry::Vacant(entry) => entry.insert(path.clone()),
        };
        match value {
            Value::Map(map) if map.untouched().is_none() => {
                let _ = map.visit(|key, value| {
                    path.push(key.clone());
                    self.share(value, path, seen);
                    path.pop();
                    Ok::<_, std::convert::Infallible>(())
                });
            }
            Value::List(list) if list.untouched().is_none() => {
                for (index, item) in list.iter().enumerate() {
                    path.push(Str::from(index.to_string()));
                    self.share(item, path, seen);
                    path.pop();
                }
            }
            _ => {}
        }
    }
}

/// A render that may reuse, while it runs.
pub(super) struct Running<'m> {
    memo: &'m mut Memo,
    log: Rc<Log>,
    /// What all paths start from: the values, and what files are executed with.
    root: Map,
    memory: Rc<Memory>,
    recall: Rc<Recall>,
    facts: Facts,
    values: Values,
    /// What the last render left, and what differs from it; `None` if nothing
    /// can be reused, now or any more.
    last: Option<(Kept, Difference)>,
    /// Whether the template that runs does so since it reads something that differs.
    differs: bool,
    files: HashMap<CoreStr, Execution, RandomState>,
}

impl<'m> Running<'m> {
    /// Watches the values from here on; `None` if they cannot be compared.
    pub(super) fn start(
        memo: &'m mut Memo,
        root: &Node,
        values: &Map,
        options: &HelmOptions,
        asked: &Asked,
    ) -> Option<Running<'m>> {
        let mut kept = memo.kept.take();
        let memory = kept
            .as_mut()
            // What was parsed calls the functions of a profile.
            .filter(|kept| kept.facts.profile == options.profile)
            .map(|kept| std::mem::take(&mut kept.memory));
        let seen = Values::new(values)?;
        let facts = Facts {
            release_name: options.release_name.clone(),
            namespace: options.namespace.clone(),
            is_upgrade: options.is_upgrade,
            capabilities: options.capabilities.clone(),
            profile: options.profile,
            seed: options.seed,
            cluster: options.cluster.is_some(),
            root: Part::new(root),
        };
        let kept = kept.filter(|kept| kept.facts == facts && kept.values.shared == seen.shared);
        let (places, kept) = match kept {
            Some(mut kept) => (std::mem::take(&mut kept.places), Some(kept)),
            None => Default::default(),
        };
        let log = Log::of_reads(places);
        log.share(seen.shared.iter().flatten().cloned());
        let at = log.place_of(&VALUES.into());
        let last = kept.map(|kept| {
            let difference = Difference::new(&kept.values.values, &seen.values, at, &log);
            (kept, difference)
        });
        let root = Map::from_iter([(VALUES, Value::Map(values.clone()))]);
        values.watch_at(&log, at);
        let memory = Rc::new(memory.unwrap_or_else(Memory::of_renders));
        Some(Running {
            memo,
            recall: Recall::new(
                log.clone(),
                memory.clone(),
                Box::new(asked.clone()),
                root.clone(),
            ),
            log,
            root,
            memory,
            facts,
            values: seen,
            last,
            differs: false,
            files: HashMap::default(),
        })
    }

    /// What functions made for the templates of this render and the last one.
    pub(super) fn memory(&self) -> Rc<Memory> {
        self.memory.clone()
    }

    /// Who knows what parts of files wrote last time.
    pub(super) fn recall(&self) -> Rc<Recall> {
        self.recall.clone()
    }

    /// Files are executed with this, which no other name leads to.
    pub(super) fn context(&self, name: &Str, context: &Map) {
        if self.root.get_key(name).is_none() {
            context.watch_of_files(&self.log, self.log.place_of(name));
            self.root.provide(name.clone(), Value::Map(context.clone()));
        }
    }

    /// What is told of the data of the templates.
    pub(super) fn log(&self) -> Rc<Log> {
        self.log.clone()
    }

    /// What a template wrote last time and asked for, if it would do so again.
    pub(super) fn reuse(&mut self, path: &str) -> Option<(Written, &Inputs)> {
        let (kept, difference) = self.last.as_mut()?;
        let file = kept.files.get(path)?;
        self.differs = difference.concerns(&file.reads)
            || file.inputs.is_volatile(self.facts.seed, self.facts.cluster);
        let edits = file.edits.as_ref().filter(|_| !self.differs)?;
        if !edits::repeat(&self.root, edits, &self.log) {
            return None;
        }
        let (path, file) = kept.files.remove_entry(path)?;
        self.memo.reused += 1;
        self.recall.keep(&file.parts);
        let file = self.files.entry(path).or_insert(file);
        Some((file.written.clone(), &file.inputs))
    }

    /// A template is about to be executed.
    pub(super) fn execute(&mut self, path: &str) {
        self.log.begin_file();
        let last = self.last.as_mut().and_then(|(kept, difference)| {
            let file = kept.files.get_mut(path)?;
            Some(Last {
                parts: std::mem::take(&mut file.parts),
                edits: file.edits.clone()?,
                difference: std::mem::take(difference),
            })
        });
        self.recall.begin(last);
    }

    /// A template was executed. What it wrote comes back with its pieces, if it
    /// has written before.
    pub(super) fn executed(&mut self, mut written: Written, inputs: Inputs) -> Written {
        let (reads, edits) = self.log.take(&self.root);
        let (parts, told) = self.recall.end();
        if let Some(((_, difference), told)) = self.last.as_mut().zip(told) {
            *difference = told;
        }
        let before = self.last.as_ref().map(|(kept, _)| &kept.files);
        let before = before.and_then(|files| files.get(&written.path));
        match before {
            Some(file) if file.written.text == written.text => written = file.written.clone(),
            Some(file) => written.learn_pieces_after(&file.written, self.facts.profile),
            None => {}
        }
        // Whoever is next may find something else than last time.
        let had = before.map_or(Some(Arc::default()), |file| file.edits.clone());
        match (had, &edits) {
            (Some(had), Some(edits)) => self.differ(&had, edits),
            (None, None) if !self.differs => {}
            _ => self.last = None,
        }
        self.files.insert(
            written.path.clone(),
            Execution {
                written: written.clone(),
                reads: reads.into_iter().collect(),
                edits,
                parts,
                inputs,
                made: self.memory.take_asked(),
            },
        );
        written
    }

    /// The pieces of what was written are known.
    pub(super) fn shaped(&mut self, written: &Written) {
        if let Some(file) = self.files.get_mut(&written.path) {
            file.written = written.clone();
        }
    }

    /// This was written last time, and that is now.
    fn differ(&mut self, old: &[Edit], new: &[Edit]) {
        let Some((_, difference)) = &mut self.last else {
            return;
        };
        let pairs = || old.iter().zip(new);
        if old.len() == new.len()
            && pairs().all(|(old, new)| difference.follow(old, new, &self.log))
        {
            return;
        }
        // Who finds the map elsewhere need not have been told of these places.
        let mut places = old.iter().chain(new).flat_map(|edit| &edit.places);
        if places.any(|place| self.log.is_elsewhere(*place)) {
            self.last = None;
            return;
        }
        for edit in old.iter().chain(new) {
            difference.add(edit, &self.log);
        }
    }

    /// The render has succeeded.
    pub(super) fn finish(self) {
        drop(self.last);
        drop(self.recall);
        self.memory.forget();
        self.memo.kept = Some(Kept {
            facts: self.facts,
            values: self.values,
            places: self.log.take_places(),
            memory: Rc::into_inner(self.memory).expect("the templates are executed"),
            files: self.files,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use gitops_core::tree::{MemoryTree, TreePath};

    use super::*;

    /// Renders a template with each of the values of `a`, and says where in
    /// memory that is what functions made.
    fn made(template: &'static str, values: &[i64]) -> Vec<Vec<usize>> {
        let tree: MemoryTree = [
            ("Chart.yaml", "apiVersion: v2\nname: demo\nversion: 1.0.0\n"),
            ("templates/a.yaml", template),
        ]
        .try_into()
        .expect("paths");
        let chart = Chart::load(&tree, &TreePath::ROOT, &Default::default());
        let chart = Arc::new(chart.expect("a chart"));
        let mut memo = Memo::default();
        let render = |a: &i64| {
            let options = HelmOptions {
                seed: Seed::fixed(b"seed", SystemTime::UNIX_EPOCH),
                values: CoreMap::from_iter([("a", Core::Int(*a))]),
                ..HelmOptions::default()
            };
            memo.template(&chart, &options).expect("it renders");
            memo.kept.as_ref().expect("it is kept").memory.places()
        };
        values.iter().map(render).collect()
    }

    #[test]
    fn a_key_of_a_seed_is_looked_for_once() {
        let template = r#"a: {{ .Values.a }} {{ genPrivateKey "ecdsa" | b64enc }}"#;
        let made = made(template, &[1, 2, 2, 3]);
        assert_eq!(made[0].len(), 1);
        assert!(made.iter().all(|places| *places == made[0]), "{made:?}");
    }

    #[test]
    fn what_a_part_needed_that_is_not_executed_stays() {
        let template = r#"{{ define "part" }}{{ range until 70 }}{{ end }}{{ (fromYaml "b: 1").b }}{{ end }}
            a: {{ .Values.a }} {{ include "part" . }}"#;
        let made = made(template, &[1, 2, 3]);
        assert_eq!(made[0].len(), 1);
        assert!(made.iter().all(|places| *places == made[0]), "{made:?}");
    }

    #[test]
    fn a_hash_that_nobody_asks_for_is_forgotten() {
        let hash = r#"a: {{ if ne (toString .Values.a) "9" }}{{ bcrypt "b" }}{{ end }}"#;
        let made = made(hash, &[1, 1, 9, 9, 1]);
        let counts: Vec<usize> = made.iter().map(Vec::len).collect();
        assert_eq!(counts, [1, 1, 0, 0, 1]);
    }
}
