//! What the parts of a file wrote in the last render: the templates that it
//! includes, and those that they include.
//!
//! A file that is executed since it reads something that differs may consist of
//! parts that do not. A part is known by its template, by the places of the data
//! that it was given, and by how often the file had written to the data of others
//! before: so both renders are compared at the same moment. What writes itself is not
//! kept, nor what asks for something that may be different by then.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::ast::Template;
use super::difference::Difference;
use super::edits::Edit;
use super::map::{Map, MapKind};
use super::memory::{Made, Memory};
use super::scalar::Scalar;
use super::text::Str;
use super::value::Value;
use super::watch::{Log, PartReads};

/// What the parts of a file, or of a part, wrote.
pub(crate) type Parts = HashMap<Site, Part, RandomState>;

/// Below so many steps it costs as much to know a part again as to execute it.
const FEWEST_STEPS: u64 = 64;

/// How much is kept of a render, in bytes. What it reuses is kept anyway.
const MOST_BYTES: usize = 1 << 24;

/// Records what is asked of the world while templates are executed.
pub(crate) trait Questions {
    /// Records anew from here on, and tells what was asked before.
    fn begin(&self) -> Box<dyn Any>;

    /// Adds what was asked `before`, and tells what was asked since, if anything.
    fn end(&self, before: Box<dyn Any>) -> Option<Asked>;

    /// All of it is asked again, and answered in the same way.
    fn again(&self, asked: &Asked);
}

/// What was asked of the world.
pub(crate) type Asked = Arc<dyn Any + Send + Sync>;

/// What a part wrote.
pub(crate) struct Part {
    text: Box<[u8]>,
    /// What that depends on.
    reads: PartReads,
    /// What functions made for it, which keeps that remembered.
    #[expect(dead_code, reason = "it is shared, not read")]
    made: Box<[Made]>,
    asked: Option<Asked>,
    /// The parts that it consists of.
    inner: Parts,
    /// What all of this takes, about.
    bytes: usize,
}

/// Which execution of a template it was.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Site {
    template: usize,
    /// The value, or the entries of a map that is the template's own.
    data: SmallVec<[(Option<Str>, Datum); 1]>,
    /// How often the file had written to the data of others before.
    edits: usize,
}

/// What is the same in both renders, but for what is known to differ.
#[derive(PartialEq, Eq, Hash)]
enum Datum {
    Scalar(Scalar),
    /// By its places.
    Map(MapKind, SmallVec<[u32; 1]>),
}

/// Knows the parts of the file that is executed.
pub(crate) struct Recall {
    log: Rc<Log>,
    memory: Rc<Memory>,
    questions: Box<dyn Questions>,
    /// What all paths start from.
    root: Map,
    file: RefCell<File>,
    /// How much is kept of this render.
    bytes: Cell<usize>,
}

/// The file that is executed.
#[derive(Default)]
struct File {
    /// `None` if nothing of it can be used, now or any more.
    edits: Option<Arc<[Edit]>>,
    /// How many of those were repeated.
    followed: usize,
    difference: Option<Difference>,
    /// The file itself, and the parts that are executed.
    open: Vec<Open>,
}

/// A file or part that is executed.
#[derive(Default)]
struct Open {
    /// The parts of last time that were not needed yet.
    before: Parts,
    now: Parts,
    /// How much functions had made before.
    made: usize,
    /// What had been asked before.
    asked: Option<Box<dyn Any>>,
}

/// What a file did in the last render, and what differs since.
pub(crate) struct Last {
    pub(crate) parts: Parts,
    pub(crate) edits: Arc<[Edit]>,
    pub(crate) difference: Difference,
}

impl Recall {
    pub(crate) fn new(
        log: Rc<Log>,
        memory: Rc<Memory>,
        questions: Box<dyn Questions>,
        root: Map,
    ) -> Rc<Recall> {
        Rc::new(Recall {
            log,
            memory,
            questions,
            root,
            file: RefCell::default(),
            bytes: Cell::default(),
        })
    }

    /// A file is about to be executed.
    pub(crate) fn begin(&self, last: Option<Last>) {
        let mut file = File::default();
        let mut open = Open::default();
        if let Some(last) = last {
            file.edits = Some(last.edits);
            file.difference = Some(last.difference);
            open.before = last.parts;
        }
        file.open.push(open);
        self.file.replace(file);
    }

    /// The file was executed: what its parts wrote, and what differs now, if that
    /// was told.
    pub(crate) fn end(&self) -> (Parts, Option<Difference>) {
        let mut file = self.file.take();
        let parts = file.open.pop().unwrap_or_default().now;
        (parts, file.difference)
    }

    /// A file is not executed, so its parts stay as they are.
    pub(crate) fn keep(&self, parts: &Parts) {
        self.count(parts.values().map(|part| part.bytes).sum());
    }

    fn count(&self, bytes: usize) {
        self.bytes.set(self.bytes.get() + bytes);
    }

    /// Which execution of a template this is: of data that the log knows the
    /// place of.
    pub(super) fn site<'d>(
        &self,
        template: &Arc<Template>,
        data: impl Iterator<Item = (&'d Option<Str>, &'d Value)>,
    ) -> Option<Site> {
        let edits = self.log.edits()?;
        let data = data.map(|(key, value)| Some((key.clone(), self.datum(value)?)));
        Some(Site {
            template: Arc::as_ptr(template) as usize,
            data: data.collect::<Option<_>>()?,
            edits,
        })
    }

    fn datum(&self, value: &Value) -> Option<Datum> {
        Some(match value {
            Value::Map(map) => {
                let places = map.places();
                // Another may lie there by now.
                let there = self.log.find(&self.root, *places.first()?)?;
                there.is(map).then_some(Datum::Map(map.kind(), places))?
            }
            scalar => Datum::Scalar(Scalar::new(scalar)?),
        })
    }

    /// Writes what the part wrote last time, if it would again, and tells how
    /// much that is.
    pub(super) fn again(&self, site: &Site, out: &mut Vec<u8>) -> Option<usize> {
        let mut file = self.file.borrow_mut();
        let file = &mut *file;
        file.follow(&self.log);
        let difference = file.difference.as_ref().filter(|_| file.edits.is_some())?;
        let known = |open: &mut Open| {
            let part = open.before.get(site)?;
            let mut places = site.places();
            let same = !difference.concerns(&part.reads)
                && !places.any(|place| difference.replaces(place, &self.log));
            Some(same.then(|| open.before.remove_entry(site)).flatten())
        };
        let (site, part) = file.open.iter_mut().rev().find_map(known)??;
        out.extend_from_slice(&part.text);
        let bytes = part.text.len();
        self.log.read_all(&part.reads);
        if let Some(asked) = &part.asked {
            self.questions.again(asked);
        }
        self.count(part.bytes);
        let open = file.open.last_mut().expect("the file itself is open");
        open.now.insert(site, part);
        Some(bytes)
    }

    /// Whether a part is executed, and not only the file itself.
    pub(super) fn is_in_part(&self) -> bool {
        self.file.borrow().open.len() > 1
    }

    /// A part is about to be executed.
    pub(super) fn enter(&self, site: &Site) {
        let mut file = self.file.borrow_mut();
        let before = file
            .open
            .iter_mut()
            .rev()
            .find_map(|open| open.before.remove(site));
        file.open.push(Open {
            // Some of the parts in it may be as they were.
            before: before.map(|part| part.inner).unwrap_or_default(),
            now: Parts::default(),
            made: self.memory.asked(),
            asked: Some(self.questions.begin()),
        });
    }

    /// The part was executed in so many steps; `wrote` is not told if it could
    /// write something else with the same data.
    pub(super) fn leave(&self, site: Site, steps: u64, wrote: Option<(&[u8], PartReads)>) {
        let mut file = self.file.borrow_mut();
        let file = &mut *file;
        let part = file.open.pop().expect("it was entered");
        let asked = part.asked.and_then(|before| self.questions.end(before));
        let Some(around) = file.open.last_mut() else {
            return;
        };
        let bytes = wrote.as_ref().map_or(0, |(text, reads)| {
            size_of::<(Site, Part)>() + site.bytes() + text.len() + size_of_val(&**reads)
        });
        match wrote {
            Some((text, reads))
                if steps >= FEWEST_STEPS && self.bytes.get() + bytes <= MOST_BYTES =>
            {
                self.count(bytes);
                let inner: usize = part.now.values().map(|part| part.bytes).sum();
                let part = Part {
                    text: text.into(),
                    reads,
                    made: self.memory.asked_since(part.made),
                    asked,
                    bytes: bytes + inner,
                    inner: part.now,
                };
                around.now.insert(site, part);
            }
            _ => around.now.extend(part.now),
        }
    }
}

impl Site {
    /// Where the maps lie that the part is given.
    fn places(&self) -> impl Iterator<Item = u32> {
        let places = self.data.iter().filter_map(|(_, datum)| match datum {
            Datum::Map(_, places) => Some(places),
            _ => None,
        });
        places.flatten().copied()
    }

    /// What its texts take.
    fn bytes(&self) -> usize {
        let texts = self.data.iter().filter_map(|(_, datum)| match datum {
            Datum::Scalar(Scalar::Str(text)) => Some(text.as_bytes().len()),
            _ => None,
        });
        texts.sum()
    }
}

impl File {
    /// Looks at what was written since it did so last.
    fn follow(&mut self, log: &Log) {
        let Some((edits, difference)) = self.edits.as_ref().zip(self.difference.as_mut()) else {
            return;
        };
        let followed = log.edits_since(self.followed, |edit| {
            let before = edits.get(self.followed);
            self.followed += 1;
            before.is_some_and(|before| difference.follow(before, edit, log))
        });
        if !followed {
            self.edits = None;
        }
    }
}
