//! Which maps of the data were read and written, told by the maps themselves.
//!
//! All maps and lists in a watched map are watched. They report what is written
//! to them and, if a log wants to know, what is asked of them. So nothing that a
//! template does with its data can be missed: there is no other way to the
//! entries of a map than through its methods. What a template makes itself is
//! not watched until it is stored in something that is.
//!
//! A map is known by the path at which it lies in the data of the render, or by
//! several if it is found under several. A copy that a template makes of it
//! reports what is read of the copy as read of the map, and nothing else. What files
//! are executed with lies somewhere as well, so that it is known who finds what
//! others put into it.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::edits::{Edit, Frozen};
use super::map::{Identity, Map};
use super::text::Str;
use super::value::Value;

/// The keys that lead to a map.
pub(crate) type Path = SmallVec<[Str; 4]>;

/// Names for the paths of maps, so that a path is a number.
///
/// It outlives the maps: the same path has the same number in the next render.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    below: HashMap<u32, HashMap<Str, u32, RandomState>, RandomState>,
    /// Of each but the first, by number: the map that it is in, and its key there.
    above: Vec<(u32, Str)>,
}

impl Places {
    /// The map that all paths start from.
    pub(super) const ROOT: u32 = 0;

    fn below(&mut self, place: u32, key: &Str) -> u32 {
        let keys = self.below.entry(place).or_default();
        if let Some(known) = keys.get(key) {
            return *known;
        }
        self.above.push((place, key.clone()));
        let number = u32::try_from(self.above.len()).expect("there is no memory for more");
        keys.insert(key.clone(), number);
        number
    }

    fn path(&self, mut place: u32) -> Path {
        let mut path = SmallVec::new();
        while place != Places::ROOT {
            let (above, key) = &self.above[place as usize - 1];
            path.push(key.clone());
            place = *above;
        }
        path.reverse();
        path
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
    /// What is at every key.
    Entries,
    /// Everything in it and below.
    All,
}

/// What was asked of which map.
pub(crate) type Reads = HashSet<(u32, Read), RandomState>;

/// What was asked in a part of a file, in order and with repetitions.
pub(super) type PartReads = Arc<[(u32, Read)]>;

/// Reads are kept in their order up to here.
const MOST_RECENT: usize = 1 << 14;

/// A part that reads more is not kept.
const MOST_OF_PART: usize = 1 << 12;

/// What is written more often is not worth the memory.
const MOST_EDITS: usize = 1 << 10;

/// What the watched maps of a render report.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Whether it is told what is read.
    reads_noted: bool,
    places: RefCell<Places>,
    reads: RefCell<Reads>,
    /// The last of them, in order and with repetitions.
    recent: RefCell<Vec<(u32, Read)>>,
    /// How often those were moved to the others.
    moves: Cell<u64>,
    /// Where the innermost part began whose reads somebody wants to know.
    part: Cell<Mark>,
    /// How many files there were.
    files: Cell<u64>,
    /// What was written to which map; `None` if some of it cannot be repeated.
    edits: RefCell<Option<Vec<(Identity, Edit)>>>,
    /// Whether something that was found somewhere was put elsewhere as well.
    aliased: Cell<bool>,
    /// Paths at which something lies from the start that lies elsewhere too.
    shared: RefCell<Vec<Path>>,
    /// Changes where what was read before is to be told again.
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
            edits: RefCell::new(Some(Vec::new())),
            ..Log::default()
        })
    }

    pub(super) fn notes_reads(&self) -> bool {
        self.reads_noted
    }

    /// What was read and written since the last call; no writes if they cannot
    /// be repeated in the map that all paths start from.
    pub(crate) fn take(&self, root: &Map) -> (Reads, Option<Arc<[Edit]>>) {
        let (reads, edits) = self.next_file();
        let edits = edits.and_then(|edits| {
            // What was put elsewhere meanwhile would not be found.
            let found = |(map, edit): (Identity, Edit)| {
                let there = self.find(root, edit.place())?;
                map.is_of(&there).then_some(edit)
            };
            edits.into_iter().map(found).collect()
        });
        (reads, edits)
    }

    /// From here on it is another file that reads and writes.
    pub(crate) fn begin_file(&self) {
        self.next_file();
    }

    fn next_file(&self) -> (Reads, Option<Vec<(Identity, Edit)>>) {
        self.turn.set(self.turn.get() + 1);
        self.files.set(self.files.get() + 1);
        self.gather();
        self.part.set(self.mark());
        (self.reads.take(), self.edits.replace(Some(Vec::new())))
    }

    /// The map at a place below `root`, without a report of that.
    pub(super) fn find(&self, root: &Map, place: u32) -> Option<Map> {
        let path = self.path(place);
        path.iter()
            .try_fold(root.clone(), |map, key| match map.get_unreported(key) {
                Some(Value::Map(below)) => Some(below),
                _ => None,
            })
    }

    /// The keys that lead to a place.
    pub(crate) fn path(&self, place: u32) -> Path {
        self.places.borrow().path(place)
    }

    /// The number of the map at a key, if there was one in any render.
    pub(super) fn below(&self, place: u32, key: &Str) -> Option<u32> {
        self.places.borrow().find(place, key)
    }

    /// The number of the map that a place is in, and the key there.
    pub(super) fn name(&self, place: u32) -> Option<(u32, Str)> {
        let number = place.checked_sub(1)?;
        Some(self.places.borrow().above[number as usize].clone())
    }

    /// Where something lies in the map that all paths start from.
    pub(crate) fn place_of(&self, name: &Str) -> u32 {
        self.places.borrow_mut().below(Places::ROOT, name)
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

    /// A map is about to be written to: a value at a key, or the key is removed.
    pub(super) fn write(&self, map: &Map, key: &Str, value: Option<&Value>) {
        self.writes.set(self.writes.get() + 1);
        if !self.reads_noted {
            return;
        }
        let value = match value.map(Frozen::new) {
            None => Some(None),
            Some(Some(value)) => Some(Some(value)),
            Some(None) => {
                self.aliased.set(true);
                None
            }
        };
        let mut noted = self.edits.borrow_mut();
        let Some(edits) = &mut *noted else { return };
        match value.and_then(|value| Edit::new(map.places(), key, value)) {
            Some(edit) if edits.len() < MOST_EDITS => edits.push((map.identity(), edit)),
            _ => *noted = None,
        }
    }

    /// These paths lead to maps that others lead to as well.
    pub(crate) fn share(&self, paths: impl Iterator<Item = Path>) {
        self.shared.borrow_mut().extend(paths);
    }

    /// Whether what lies at a place may lie at others too, which nobody was told
    /// of.
    pub(crate) fn is_elsewhere(&self, place: u32) -> bool {
        let shared = self.shared.borrow();
        let path = (!shared.is_empty()).then(|| self.path(place));
        let is_in = |path: &[Str]| shared.iter().any(|shared| path.starts_with(shared));
        self.aliased.get() || path.is_some_and(|path| is_in(&path))
    }

    /// How often the data of others was written to in this file; `None` if some of
    /// that cannot be repeated.
    pub(super) fn edits(&self) -> Option<usize> {
        self.edits.borrow().as_ref().map(Vec::len)
    }

    /// Shows what was written so, but for the first times; `false` if that cannot be
    /// repeated, or was not liked.
    pub(super) fn edits_since(&self, times: usize, likes: impl FnMut(&Edit) -> bool) -> bool {
        let edits = self.edits.borrow();
        let since = edits.as_ref().and_then(|edits| edits.get(times..));
        since.is_some_and(|edits| edits.iter().map(|(_, edit)| edit).all(likes))
    }

    /// How many files there were before this one.
    pub(super) fn file(&self) -> u64 {
        self.files.get()
    }

    fn read(&self, place: u32, read: Read) {
        if self.recent.borrow().len() >= MOST_RECENT {
            self.gather();
        }
        self.recent.borrow_mut().push((place, read));
    }

    /// Brings the last reads to the others, each once.
    fn gather(&self) {
        self.reads
            .borrow_mut()
            .extend(self.recent.borrow_mut().drain(..));
        self.moves.set(self.moves.get() + 1);
    }

    fn mark(&self) -> Mark {
        Mark {
            moves: self.moves.get(),
            index: self.recent.borrow().len(),
        }
    }

    /// Begins a part of a file, all reads of which are to be known, and tells
    /// where the part around it began.
    pub(super) fn begin(&self) -> Mark {
        self.turn.set(self.turn.get() + 1);
        self.part.replace(self.mark())
    }

    /// Ends that part, and tells what was read in it, if that is known and not too
    /// much: parts are in parts.
    pub(super) fn end(&self, around: Mark) -> Option<PartReads> {
        let began = self.part.replace(around);
        let recent = self.recent.borrow();
        let part = match began.moves == self.moves.get() {
            true => &recent[began.index..],
            false => return None,
        };
        (part.len() <= MOST_OF_PART).then(|| part.into())
    }

    /// All of it is read again, unless it was in this part already: since
    /// `before`. Tells when it was now.
    pub(super) fn read_again(&self, reads: &[(u32, Read)], before: Mark) -> Mark {
        let part = self.part.get();
        let known = before.moves == self.moves.get() && part.moves == before.moves;
        if known && before.index >= part.index {
            return before;
        }
        let mark = self.mark();
        self.read_all(reads);
        mark
    }

    /// All of it is read again.
    pub(super) fn read_all(&self, reads: &[(u32, Read)]) {
        for (place, read) in reads {
            self.read(*place, read.clone());
        }
    }
}

/// A moment between two reads.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    moves: u64,
    index: usize,
}

/// What is known of a map that is watched.
pub(super) struct Watch {
    log: Rc<Log>,
    /// The paths that lead to it; more than one if it is shared. None if it is
    /// inside a list, which was read as a whole, or the same in every render:
    /// then only what is written to it matters.
    places: RefCell<SmallVec<[u32; 1]>>,
    /// The turn of the log in which all entries were read and handed out.
    all: Cell<Option<u64>>,
    /// The last turn in which some were, and at which positions among the first.
    some: Cell<(u64, u64)>,
    /// The writes of the log when nothing in it had been written to.
    pristine: Cell<Option<u64>>,
    /// Whether each file finds something else here.
    of_file: Cell<bool>,
    /// Whether files are executed with it: what is in it from the start lies
    /// elsewhere.
    of_files: Cell<bool>,
    /// Whether the map is a template's own, made from what lies at the places.
    is_copy: Cell<bool>,
}

impl Watch {
    pub(super) fn new(log: &Rc<Log>) -> Watch {
        Watch {
            log: log.clone(),
            places: RefCell::default(),
            all: Cell::default(),
            some: Cell::default(),
            pristine: Cell::default(),
            of_file: Cell::default(),
            of_files: Cell::default(),
            is_copy: Cell::default(),
        }
    }

    /// Of a copy, which reports to nobody what is written to it.
    pub(super) fn of_copy(log: &Rc<Log>) -> Watch {
        let watch = Watch::new(log);
        watch.is_copy.set(true);
        watch
    }

    /// The map has become part of the data, wherever that is.
    pub(super) fn is_no_copy(&self) {
        self.is_copy.set(false);
        self.places.borrow_mut().clear();
        self.forget();
    }

    /// What was read and handed out is to be told again.
    pub(super) fn forget(&self) {
        self.all.set(None);
        self.some.set((0, 0));
    }

    /// What copies of this map are told, if anybody wants to know what is read
    /// of them.
    pub(super) fn origin(&self) -> Option<Origin> {
        let places = self.places.borrow();
        let asked = self.log.reads_noted && !self.of_file.get() && !places.is_empty();
        asked.then(|| Origin {
            log: self.log.clone(),
            places: places.clone(),
        })
    }

    /// Each file finds something else here, so that is told as well.
    pub(super) fn differs_by_file(&self) {
        self.of_file.set(true);
    }

    /// Files are executed with it.
    pub(super) fn is_of_files(&self) {
        self.of_files.set(true);
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
            self.forget();
        }
    }

    /// The paths that are known to lead here.
    pub(super) fn places(&self) -> SmallVec<[u32; 1]> {
        self.places.borrow().clone()
    }

    pub(super) fn read(&self, read: &Read) {
        if self.of_file.get() {
            self.log.ask();
        }
        for place in &*self.places.borrow() {
            self.log.read(*place, read.clone());
        }
    }

    /// What is at a key is handed out: the value at a position, if there is one.
    pub(super) fn read_key(&self, key: &[u8], found: Option<(usize, &Value)>) {
        if !self.notes_reads() || self.has_read_all() || self.has_read(found) {
            return;
        }
        let key = &Str::from(key);
        self.read(&Read::Key(key.clone()));
        if let Some((_, found)) = found {
            self.found(key, found);
        }
    }

    /// Whether what is at a position was read before, and from now on it was.
    fn has_read(&self, found: Option<(usize, &Value)>) -> bool {
        let position = found.and_then(|(index, _)| 1u64.checked_shl(index as u32));
        let (Some(position), false) = (position, self.of_file.get()) else {
            return false;
        };
        let turn = self.log.turn.get();
        let (last, mut positions) = self.some.get();
        if last != turn {
            positions = 0;
        }
        self.some.set((turn, positions | position));
        positions & position != 0
    }

    /// All entries are read and handed out, which may have happened before.
    pub(super) fn read_entries(&self, hand_out: impl FnOnce()) {
        if self.notes_reads() && !self.has_read_all() {
            self.read(&Read::Entries);
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
        // Nobody is told what is written to a copy.
        !self.is_copy.get() && self.pristine.get() == Some(self.log.writes.get())
    }

    /// So far nothing in the map was written to.
    pub(super) fn set_pristine(&self) {
        self.pristine.set(Some(self.log.writes.get()));
    }

    /// What is at a key is handed out.
    pub(super) fn found(&self, key: &Str, value: &Value) {
        if !self.of_files.get() {
            self.hand_out(key, value);
        }
    }

    /// What is at a key is known to lie there.
    pub(super) fn hand_out(&self, key: &Str, value: &Value) {
        let Value::Map(map) = value else { return };
        for place in &*self.places.borrow() {
            let below = self.log.places.borrow_mut().below(*place, key);
            match self.is_copy.get() {
                true => map.copies(below, &self.log),
                false => map.lies_at(below),
            }
        }
    }
}

/// Where the original of a copy lies.
#[derive(Clone)]
pub(crate) struct Origin {
    log: Rc<Log>,
    places: SmallVec<[u32; 1]>,
}

impl Origin {
    /// Lets a copy report what is read of it as if it were the original.
    pub(super) fn watch(&self, copy: &Map) {
        for place in &self.places {
            copy.copies(*place, &self.log);
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
