//! Which maps of the data were read and written, told by the maps themselves.
//!
//! A watched map reports what is asked of it, and makes the maps and lists that
//! it hands out report as well. So nothing that a template does with its data
//! can be missed: there is no other way to the entries of a map than through
//! its methods. What a template makes itself is not watched until it is stored
//! in something that is.

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
    places: RefCell<Places>,
    reads: RefCell<Reads>,
    wrote: Cell<bool>,
    /// How often reads were taken.
    turn: Cell<u64>,
    /// How often a map was written to.
    writes: Cell<u64>,
}

impl Log {
    pub(crate) fn new(places: Places) -> Rc<Log> {
        Rc::new(Log {
            places: RefCell::new(places),
            ..Log::default()
        })
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

    fn read(&self, place: u32, read: Read) {
        self.reads.borrow_mut().insert((place, read));
    }
}

/// What makes a map or list one that is watched.
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
}

impl Watch {
    pub(super) fn new(log: &Rc<Log>) -> Watch {
        Watch {
            log: log.clone(),
            places: RefCell::default(),
            all: Cell::default(),
            pristine: Cell::default(),
        }
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
        for place in &*self.places.borrow() {
            self.log.read(*place, read.clone());
        }
    }

    /// What is at a key is handed out.
    pub(super) fn read_key(&self, key: &[u8], found: Option<&Value>) {
        if self.has_read_all() {
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
        if !self.has_read_all() {
            self.read(&Read::All);
            hand_out();
            self.all.set(Some(self.log.turn.get()));
        }
    }

    fn has_read_all(&self) -> bool {
        self.all.get() == Some(self.log.turn.get())
    }

    pub(super) fn write(&self) {
        self.log.wrote.set(true);
        self.log.writes.set(self.log.writes.get() + 1);
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

    /// What is at a key reports from now on.
    pub(super) fn hand_out(&self, key: &Str, value: &Value) {
        match value {
            Value::Map(map) => {
                let Some(watch) = map.watched_by(&self.log) else {
                    return;
                };
                for place in &*self.places.borrow() {
                    watch.lies_at(self.log.places.borrow_mut().below(*place, key));
                }
            }
            _ => inside(value, &self.log),
        }
    }
}

/// What stands inside a list reports what is written to it.
pub(super) fn inside(value: &Value, log: &Rc<Log>) {
    match value {
        Value::Map(map) => {
            map.watched_by(log);
        }
        Value::List(list) => list.watched_by(log),
        Value::Lists(lists) => {
            for list in lists.iter() {
                list.watched_by(log);
            }
        }
        _ => {}
    }
}
