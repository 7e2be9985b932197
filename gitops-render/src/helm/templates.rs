//! The templates of a render, parsed when somebody asks for them.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::num::NonZero;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::chart;
use super::early::{Early, Job};
use super::profile::Profile;
use super::release::functions;
use super::subcharts::Node;
use crate::gotmpl::{Definitions, Error, File, Map, Scratch, Set, Shelf, Str, Template};
use crate::worker;

/// A template file of a chart in the tree.
pub(super) struct Source<'n> {
    /// The whole path, which is the template's name.
    pub(super) path: String,
    /// How many directories that is deep.
    pub(super) depth: usize,
    pub(super) node: &'n Node,
    pub(super) file: &'n chart::File,
    pub(super) data: &'n Bytes,
    /// What the file is executed with; shared by the files of a chart.
    pub(super) context: Map,
    pub(super) base_path: Str,
}

impl Source<'_> {
    /// Whether it is there for what it defines only.
    pub(super) fn is_partial(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name.starts_with('_')
    }

    /// The file as an earlier render parsed it.
    pub(super) fn known(&self, profile: Profile) -> Option<File> {
        self.node.chart.parsed.get(profile, &self.path)
    }
}

/// The template files of a render in the order in which Helm parses them, and
/// what the names in them refer to.
///
/// Files are parsed while others are executed, by whoever comes first: another
/// thread, or this one when it needs them. Helm parses all before it executes
/// any, so what was executed counts only if [`finish`](Self::finish) finds
/// nothing wrong.
pub(super) struct Templates<'s> {
    sources: &'s [Source<'s>],
    known: &'s [Option<File>],
    profile: Profile,
    /// What they are called together, and the functions that they call.
    set: Set,
    early: Rc<Early>,
    jobs: Vec<Option<Job>>,
    /// Files by the time when they may be needed.
    order: Vec<usize>,
    files: Vec<OnceCell<Result<File, Error>>>,
    names: HashMap<Cow<'s, str>, Name, RandomState>,
    scratch: RefCell<Scratch>,
}

/// A template with the number of its file.
type Definition = (usize, Arc<Template>);

/// What a name refers to.
#[derive(Default)]
struct Name {
    /// The files that may define it.
    files: SmallVec<[u32; 4]>,
    /// Its definitions in those that are parsed.
    definitions: RefCell<SmallVec<[Definition; 1]>>,
    found: OnceCell<Option<Arc<Template>>>,
}

impl<'s> Templates<'s> {
    /// Of these files; `known` are those that were parsed before.
    pub(super) fn new(
        early: Option<Rc<Early>>,
        sources: &'s [Source<'s>],
        known: &'s [Option<File>],
        profile: Profile,
    ) -> Self {
        let mut order: Vec<usize> = (0..sources.len()).collect();
        order.retain(|number| known[*number].is_none());
        // The first that is executed may need any partial.
        order.sort_by_key(|number| !sources[*number].is_partial());
        let mut jobs: Vec<Option<Job>> = sources.iter().map(|source| source.file.job()).collect();
        let early = match early {
            Some(early) => early,
            None => {
                let bytes = order.iter().map(|number| sources[*number].data.len());
                let threads = match bytes.sum::<usize>() / worker::WORTH {
                    0..3 => 1,
                    many => cores().min(many).max(2) - 1,
                };
                let mut early = Early::new(profile, threads);
                for number in &order {
                    jobs[*number] = Some(early.add_template(sources[*number].file));
                }
                Rc::new(early)
            }
        };
        early.only(order.iter().map(|number| jobs[*number]));
        let mut names: HashMap<Cow<'s, str>, Name, RandomState> = HashMap::default();
        for (number, (source, known)) in (0u32..).zip(sources.iter().zip(known)) {
            let mut add = |name| {
                let files = &mut names.entry(name).or_default().files;
                if files.last() != Some(&number) {
                    files.push(number);
                }
            };
            match known {
                Some(file) => file
                    .templates()
                    .for_each(|template| add(template.name().into())),
                None => {
                    add(source.path.as_str().into());
                    let own;
                    let found = match source.file.definitions() {
                        Some(found) => found,
                        None => {
                            own = Definitions::find(source.data);
                            &own
                        }
                    };
                    found.names(source.data).for_each(add);
                }
            }
        }
        Templates {
            sources,
            profile,
            set: Set::new("gotpl", functions(profile)),
            early,
            jobs,
            order,
            files: known.iter().map(|_| OnceCell::new()).collect(),
            names,
            known,
            scratch: RefCell::default(),
        }
    }

    /// The files.
    pub(super) fn sources(&self) -> &'s [Source<'s>] {
        self.sources
    }

    /// The set that they belong to, which has none of them.
    pub(super) fn set(&self) -> &Set {
        &self.set
    }

    /// Who else works for the render.
    pub(super) fn early(&self) -> &Early {
        &self.early
    }

    /// Parses what nobody asked for.
    ///
    /// # Errors
    ///
    /// That of the first file that is no template.
    pub(super) fn finish(mut self) -> Result<(), (&'s Source<'s>, Error)> {
        // Other threads begin at the front.
        for number in self.order.iter().rev() {
            self.file(*number);
        }
        for (number, source) in self.sources.iter().enumerate() {
            if let Some(Err(error)) = self.files[number].take() {
                return Err((source, error));
            }
        }
        Ok(())
    }

    /// A file, if it is a template.
    fn file(&self, number: usize) -> Option<&File> {
        let parsed = self.files[number].get_or_init(|| {
            let file = match &self.known[number] {
                Some(file) => file.clone(),
                None => {
                    let file = match self.early.claim(self.jobs[number]) {
                        true => self.parse(number)?,
                        false => self.take(number)?,
                    };
                    let chart = &self.sources[number].node.chart;
                    chart.parsed.keep(self.profile, &file);
                    file
                }
            };
            for template in file.shared() {
                match self.names.get(template.name()) {
                    Some(name) => name
                        .definitions
                        .borrow_mut()
                        .push((number, template.clone())),
                    None => debug_assert!(false, "nobody told of {:?}", template.name()),
                }
            }
            Ok(file)
        });
        parsed.as_ref().ok()
    }

    fn parse(&self, number: usize) -> Result<File, Error> {
        let source = &self.sources[number];
        let text = source.data.clone();
        let mut scratch = self.scratch.borrow_mut();
        File::parse_with(&source.path, text, self.set.functions(), &mut scratch)
    }

    /// The file that another thread parses.
    fn take(&self, number: usize) -> Result<File, Error> {
        let source = &self.sources[number];
        let file = self.early.template(self.jobs[number], |draft| {
            File::of_draft(draft, &source.path)
        });
        file.map_or_else(|| self.parse(number), Ok)
    }
}

impl Shelf for Templates<'_> {
    fn find(&self, name: &str) -> Option<Arc<Template>> {
        let name = self.names.get(name)?;
        let found = name.found.get_or_init(|| {
            for number in &name.files {
                self.file(*number as usize)?;
            }
            let mut definitions = name.definitions.take();
            definitions.sort_by_key(|(number, _)| *number);
            // The last one counts, unless it is empty.
            let full = definitions
                .iter()
                .rposition(|(_, template)| !template.is_empty());
            let (_, template) = definitions.into_iter().nth(full.unwrap_or(0))?;
            Some(template)
        });
        found.clone()
    }
}

/// Asking takes a while.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

type ByName = HashMap<Arc<str>, File, RandomState>;

/// The parsed templates of a chart, kept from render to render.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    files: Mutex<BTreeMap<Profile, ByName>>,
    /// What is being read since the chart was loaded, its subcharts' files
    /// included.
    early: Mutex<Option<Early>>,
}

impl Clone for Parsed {
    /// A clone shares nothing: it fills up by itself.
    fn clone(&self) -> Self {
        Parsed::default()
    }
}

impl Parsed {
    /// The file under this name, if it was parsed for the profile: a chart that
    /// goes by an alias has others, and the functions in it are those of a
    /// profile.
    fn get(&self, profile: Profile, path: &str) -> Option<File> {
        let files = self.files.lock().expect("no panic under the lock");
        files.get(&profile)?.get(path).cloned()
    }

    fn keep(&self, profile: Profile, file: &File) {
        let mut files = self.files.lock().expect("no panic under the lock");
        let files = files.entry(profile).or_default();
        files.insert(file.name().clone(), file.clone());
    }

    pub(super) fn expect(&self, early: Early) {
        *self.early.lock().expect("no panic under the lock") = Some(early);
    }

    /// Who works since the chart was loaded, if it is for this profile.
    pub(super) fn take_early(&self, profile: Profile) -> Option<Early> {
        let early = self.early.lock().expect("no panic under the lock").take();
        early.filter(|early| early.profile == profile)
    }
}
