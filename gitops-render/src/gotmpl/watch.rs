//! Which maps of the data were read and written, told by the maps themselves.
//!
//! All maps and lists in a watched map are watched. They report what is written
//! to them and, if a log wants to know, what is asked of them. So nothing that a
//! template does with its data can be missed: there is no other way to the
//! entries of a map than through its methods. What a template makes itself is
//! not watched until it is stored in something that is.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::text::Str;
use super::value::Value;

/// Names for the paths of maps, so that a path is a number.
///
/// It outlives the maps: the same path has the same number in the next render.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    below: HashMap<u32, HashMap<Str, u32, RandomState>, RandomState>,
    count: u32,
}

impl Places {
    /// The map that all paths start from.
    pub(crate) const ROOT: u32 = 0;

    fn below(&mut self, place: u32, key: &Str) -> u32 {
        let keys = self.below.entry(place).or_default();
        if let Some(known) = keys.get(key) {
            return *known;
        }
        self.count += 1;
        keys.insert(key.clone(), self.count);
        self.count
    }

    /// The number of the map at a key, if there was one in any render.
    pub(crate) fn find(&self, place: u32, key: &Str) -> Option<u32> {
        self.below.get(&place)?.get(key).copied()
    }
}

/// What was asked of a map.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Read {
    /// What is at a key: a scalar or a list as a whole, of a map only that it
    /// is one.
    Key(Str),
    /// Which keys there are.
    Keys,
    /// Everything in it and below.
    All,
}

/// What was asked of which map.
pub(crate) type Reads = HashSet<(u32, Read), RandomState>;

/// What the watched maps of a render report.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Whether it is told what is read.
    reads_noted: bool,
    places: RefCell<Places>,
    reads: RefCell<Reads>,
    wrote: Cell<bool>,
    /// How often reads were taken.
    turn: Cell<u64>,
    /// How often a map was written to.
    writes: Cell<u64>,
    /// How often something was asked for that another file may find different.
    asked: Cell<u64>,
}

impl Log {
    /// It is told what is written to, and nothing else.
    pub(crate) fn of_writes() -> Rc<Log> {
        Rc::default()
    }

    /// It is told what is read and written to.
    pub(crate) fn of_reads(places: Places) -> Rc<Log> {
        Rc::new(Log {
            reads_noted: true,
            places: RefCell::new(places),
            ..Log::default()
        })
    }

    pub(super) fn notes_reads(&self) -> bool {
        self.reads_noted
    }

    /// What was read since the last call, and whether anything was written to.
    pub(crate) fn take(&self) -> (Reads, bool) {
        self.turn.set(self.turn.get() + 1);
        (self.reads.take(), self.wrote.take())
    }

    pub(crate) fn take_places(&self) -> Places {
        self.places.take()
    }

    /// How often a map was written to.
    pub(super) fn writes(&self) -> u64 {
        self.writes.get()
    }

    /// How often something was asked for that another file may find different,
    /// or the same file at another time.
    pub(super) fn asked(&self) -> u64 {
        self.asked.get()
    }

    /// Such a thing is asked for.
    pub(super) fn ask(&self) {
        self.asked.set(self.asked.get() + 1);
    }

    /// Something is written to.
    pub(super) fn write(&self) {
        self.wrote.set(true);
        self.writes.set(self.writes.get() + 1);
    }

    fn read(&self, place: u32, read: Read) {
        self.reads.borrow_mut().insert((place, read));
    }
}

/// What is known of a map that is watched.
pub(super) struct Watch {
    log: Rc<Log>,
    /// The paths that lead to it; more than one if it is shared. None if it is
    /// inside a list, which was read as a whole, or the same in every render:
    /// then only what is written to it matters.
    places: RefCell<SmallVec<[u32; 1]>>,
    /// The turn of the log in which everything was read and handed out.
    all: Cell<Option<u64>>,
    /// The writes of the log when nothing in it had been written to.
    pristine: Cell<Option<u64>>,
    /// Whether each file finds something else here.
    of_file: Cell<bool>,
}

impl Watch {
    pub(super) fn new(log: &Rc<Log>) -> Watch {
        Watch {
            log: log.clone(),
            places: RefCell::default(),
            all: Cell::default(),
            pristine: Cell::default(),
            of_file: Cell::default(),
        }
    }

    /// Each file finds something else here, so that is told as well.
    pub(super) fn differs_by_file(&self) {
        self.of_file.set(true);
    }

    /// Whether anybody wants to know what is read.
    pub(super) fn notes_reads(&self) -> bool {
        self.log.reads_noted || self.of_file.get()
    }

    /// Another path that leads here.
    pub(super) fn lies_at(&self, place: u32) {
        let mut places = self.places.borrow_mut();
        if !places.contains(&place) {
            places.push(place);
            // Those inside do not know of it yet.
            self.all.set(None);
        }
    }

    pub(super) fn read(&self, read: &Read) {
        if self.of_file.get() {
            self.log.ask();
        }
        for place in &*self.places.borrow() {
            self.log.read(*place, read.clone());
        }
    }

    /// What is at a key is handed out.
    pub(super) fn read_key(&self, key: &[u8], found: Option<&Value>) {
        if !self.notes_reads() || self.has_read_all() {
            return;
        }
        let key = &Str::from(key);
        self.read(&Read::Key(key.clone()));
        if let Some(found) = found {
            self.hand_out(key, found);
        }
    }

    /// Everything is read and handed out, which may have happened before.
    pub(super) fn read_all(&self, hand_out: impl FnOnce()) {
        if self.notes_reads() && !self.has_read_all() {
            self.read(&Read::All);
            hand_out();
            self.all.set(Some(self.log.turn.get()));
        }
    }

    fn has_read_all(&self) -> bool {
        !self.of_file.get() && self.all.get() == Some(self.log.turn.get())
    }

    /// Whether it is known that nothing in the map was ever written to. Whoever
    /// writes to something in it got it from here, so it reports.
    pub(super) fn is_pristine(&self) -> bool {
        self.pristine.get() == Some(self.log.writes.get())
    }

    /// So far nothing in the map was written to.
    pub(super) fn set_pristine(&self) {
        self.pristine.set(Some(self.log.writes.get()));
    }

    /// What is at a key is known to lie there.
    pub(super) fn hand_out(&self, key: &Str, value: &Value) {
        let Value::Map(map) = value else { return };
        for place in &*self.places.borrow() {
            map.lies_at(self.log.places.borrow_mut().below(*place, key));
        }
    }
}

/// Lets a value and all in it report to a log.
pub(super) fn watch(value: &Value, log: &Rc<Log>) {
    let mut pending = Vec::new();
    watch_outermost(value, log, &mut pending);
    // A template nests as deep as it likes.
    while let Some(value) = pending.pop() {
        watch_outermost(&value, log, &mut pending);
    }
}

/// What is left to do is added to `inside`: nothing if it reported before.
fn watch_outermost(value: &Value, log: &Rc<Log>, inside: &mut Vec<Value>) {
    match value {
        Value::Map(map) => map.watched_by(log, inside),
        Value::List(list) => list.watched_by(log, inside),
        Value::Lists(lists) => {
            for list in lists.iter() {
                list.watched_by(log, inside);
            }
        }
        _ => {}
    }
}
