//! Go's maps with string keys, shared and mutable.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::{Rc, Weak};

use smallvec::SmallVec;

use super::function::Failure;
use super::text::Str;
use super::value::{MAX_NESTING, Value};
use super::watch::{self, Log, Origin, Read, Watch};

/// A Go map with string keys: a reference to shared, mutable entries.
///
/// A clone refers to the same entries: what `set` writes through one is seen
/// through all. Iteration is in the order of the keys' bytes, as Go's
/// templates range over maps.
///
/// A map that comes from a [`gitops_core::Value`] stays what it was until it
/// is written to, or until a map or list inside it is read: that one then
/// needs an identity. Only the level that was touched is converted.
#[derive(Clone)]
pub struct Map {
    cell: Option<Rc<Cell>>,
    kind: MapKind,
}

/// The Go type of a [`Map`].
///
/// The type belongs to the reference and not to the entries: a `Values` that
/// was passed through `set` comes back as a plain map of the same entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MapKind {
    /// `map[string]interface {}`.
    Plain,
    /// `map[string]string`: a missing key yields `""`.
    Strings,
    /// Helm 3's `chartutil.Values`, which is a named `map[string]interface {}`.
    ChartutilValues,
    /// Helm 4's `common.Values`, which is a named `map[string]interface {}`.
    CommonValues,
}

impl MapKind {
    /// The name that `printf "%T"` writes.
    pub const fn type_name(self) -> &'static str {
        match self {
            MapKind::Plain => "map[string]interface {}",
            MapKind::Strings => "map[string]string",
            MapKind::ChartutilValues => "chartutil.Values",
            MapKind::CommonValues => "common.Values",
        }
    }

    /// What a missing key yields.
    pub(super) fn missing(self) -> Value {
        match self {
            MapKind::Strings => Value::Str(Str::new()),
            _ => Value::Nil,
        }
    }

    /// Whether the type has methods and one of them could have this name:
    /// those that templates can call are spelled with a capital.
    pub(super) fn may_have_method(self, name: &[u8]) -> bool {
        matches!(self, MapKind::ChartutilValues | MapKind::CommonValues)
            && name.first().is_some_and(u8::is_ascii_uppercase)
    }

    /// Whether the elements are of type `interface {}`.
    pub(super) fn is_boxed(self) -> bool {
        !matches!(self, MapKind::Strings)
    }
}

/// Which map it was, without keeping what is in it.
#[derive(Debug)]
pub(super) struct Identity(Weak<Cell>);

impl Identity {
    pub(super) fn is_of(&self, map: &Map) -> bool {
        let cell = map.cell.as_ref();
        cell.is_some_and(|cell| Weak::as_ptr(&self.0) == Rc::as_ptr(cell))
    }
}

struct Cell {
    entries: RefCell<Entries>,
    /// What the entries were converted from, if none was set or removed since.
    written: RefCell<Option<gitops_core::Map>>,
    /// Who is told of what is written, if anybody is.
    log: OnceCell<Rc<Log>>,
    /// What is known of it by those who are told more.
    watch: OnceCell<Box<Watch>>,
}

/// Above this many entries an insertion between others would move too much.
const FEW: usize = 256;

enum Entries {
    /// As it was written; no map or list inside has an identity yet.
    Core(gitops_core::Map),
    /// Sorted by key.
    Few(Vec<(Str, Value)>),
    Many(BTreeMap<Str, Value>),
}

impl Map {
    /// A new, empty `map[string]interface {}`.
    pub fn new() -> Self {
        Map::with_entries(Entries::Few(Vec::new()))
    }

    /// The nil map: empty, and writing to it fails.
    pub const fn nil() -> Self {
        Map {
            cell: None,
            kind: MapKind::Plain,
        }
    }

    fn with_entries(entries: Entries) -> Self {
        Map {
            cell: Some(Rc::new(Cell {
                entries: RefCell::new(entries),
                written: RefCell::default(),
                log: OnceCell::new(),
                watch: OnceCell::new(),
            })),
            kind: MapKind::Plain,
        }
    }

    /// The same entries seen as another Go type.
    pub fn with_kind(mut self, kind: MapKind) -> Self {
        self.kind = kind;
        self
    }

    /// The Go type of this reference.
    pub fn kind(&self) -> MapKind {
        self.kind
    }

    /// Whether this is the nil map.
    pub fn is_nil(&self) -> bool {
        self.cell.is_none()
    }

    /// Whether both refer to the same entries.
    pub fn is(&self, other: &Map) -> bool {
        match (&self.cell, &other.cell) {
            (Some(a), Some(b)) => Rc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        }
    }

    /// What tells this map from all others, also when it is gone.
    pub(super) fn identity(&self) -> Identity {
        Identity(self.cell.as_ref().map_or_else(Weak::new, Rc::downgrade))
    }

    /// What tells this map from all others while it is alive.
    pub(crate) fn address(&self) -> Option<usize> {
        self.cell.as_ref().map(|cell| Rc::as_ptr(cell) as usize)
    }

    /// Whether this map reports what is done with it.
    pub(super) fn is_watched(&self) -> bool {
        let cell = self.cell.as_ref();
        cell.is_some_and(|cell| cell.log.get().is_some())
    }

    /// This map lies at a place, if it is watched.
    pub(super) fn lies_at(&self, place: u32) {
        if let Some(watch) = self.cell.as_ref().and_then(|cell| cell.watch()) {
            watch.lies_at(place);
        }
    }

    /// This map is a copy of one that lies at a place, and nobody else's yet.
    pub(super) fn copies(&self, place: u32, log: &Rc<Log>) {
        if let Some(cell) = &self.cell
            && cell.log.get().is_none()
        {
            cell.watch
                .get_or_init(|| Box::new(Watch::of_copy(log)))
                .lies_at(place);
        }
    }

    /// Where this map lies, if it is watched and was found there.
    pub(super) fn places(&self) -> SmallVec<[u32; 1]> {
        let cell = self.cell.as_ref().filter(|cell| cell.log.get().is_some());
        let watch = cell.and_then(|cell| cell.watch.get());
        watch.map_or_else(SmallVec::new, |watch| watch.places())
    }

    /// Lets this map report to `log`; what in it must do so as well is added to
    /// `inside`. The nil map has nothing to report.
    pub(super) fn watched_by(&self, log: &Rc<Log>, inside: &mut Vec<Value>) {
        let Some(cell) = &self.cell else { return };
        if cell.log.set(log.clone()).is_err() {
            return;
        }
        if let Some(watch) = cell.watch.get() {
            watch.is_no_copy();
        }
        let container = |value: &&Value| value.is_container();
        match &*cell.entries.borrow() {
            // What is converted later is watched then.
            Entries::Core(_) => {}
            Entries::Few(few) => {
                inside.extend(
                    few.iter()
                        .map(|(_, value)| value)
                        .filter(container)
                        .cloned(),
                );
            }
            Entries::Many(many) => inside.extend(many.values().filter(container).cloned()),
        }
    }

    /// Lets this map and all in it report what is done with them.
    pub(crate) fn watch(&self, log: &Rc<Log>) {
        watch::watch(&Value::Map(self.clone()), log);
    }

    /// As [`watch`](Self::watch), of a map that lies at a place.
    pub(crate) fn watch_at(&self, log: &Rc<Log>, place: u32) {
        self.watch(log);
        self.lies_at(place);
    }

    /// As [`watch_at`](Self::watch_at), of a map that files are executed with.
    pub(crate) fn watch_of_files(&self, log: &Rc<Log>, place: u32) {
        self.watch_at(log, place);
        if let Some(watch) = self.cell.as_ref().and_then(|cell| cell.watch()) {
            watch.is_of_files();
        }
    }

    /// As [`watch`](Self::watch), of a map that each file finds different.
    pub(crate) fn watch_of_file(&self, log: &Rc<Log>) {
        self.watch(log);
        if let Some(watch) = self.cell.as_ref().and_then(|cell| cell.watch()) {
            watch.differs_by_file();
        }
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        if let Some(watch) = self.cell.as_ref().and_then(|cell| cell.watch.get()) {
            watch.read(&Read::Keys);
        }
        self.len_unreported()
    }

    /// As [`len`](Self::len), which nobody is told of.
    pub(crate) fn len_unreported(&self) -> usize {
        let Some(cell) = &self.cell else {
            return 0;
        };
        match &*cell.entries.borrow() {
            Entries::Core(map) => map.len(),
            Entries::Few(entries) => entries.len(),
            Entries::Many(entries) => entries.len(),
        }
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<Value> {
        self.get_bytes(key.as_bytes())
    }

    /// The value of a key that is not known to be UTF-8, and need not be.
    pub(super) fn get_bytes(&self, key: &[u8]) -> Option<Value> {
        let cell = self.cell.as_ref()?;
        let found = cell.get(key);
        if let Some(watch) = cell.watch.get() {
            let found = found.as_ref().map(|(index, value)| (*index, value));
            watch.read_key(key, found);
        }
        found.map(|(_, value)| value)
    }

    /// Shows the value of `key` without copying it. Inside, this map can be
    /// read but not written.
    pub(super) fn peek<R>(&self, key: &[u8], show: impl FnOnce(&Value) -> R) -> Option<R> {
        let cell = self.cell.as_ref()?;
        if cell.watch.get().is_some_and(|watch| watch.notes_reads()) {
            return self.get_bytes(key).as_ref().map(show);
        }
        match &*cell.entries.borrow() {
            Entries::Core(map) => match find_core(map, key)? {
                (_, gitops_core::Value::List(_) | gitops_core::Value::Map(_)) => {}
                (_, scalar) => return Some(show(&Value::from(scalar))),
            },
            Entries::Few(entries) => return find(entries, key).map(|(_, value)| show(value)),
            Entries::Many(entries) => return entries.get(key).map(show),
        }
        cell.materialise();
        match &*cell.entries.borrow() {
            Entries::Few(entries) => find(entries, key).map(|(_, value)| show(value)),
            _ => None,
        }
    }

    /// The value of a key that may not be UTF-8.
    pub fn get_key(&self, key: &Str) -> Option<Value> {
        self.get_bytes(key.as_bytes())
    }

    /// As [`get_key`](Self::get_key), which nobody is told of.
    pub(super) fn get_unreported(&self, key: &Str) -> Option<Value> {
        let (_, value) = self.cell.as_ref()?.get(key.as_bytes())?;
        Some(value)
    }

    /// Whether `key` is there, with whatever value.
    pub fn contains_key(&self, key: &Str) -> bool {
        let Some(cell) = &self.cell else {
            return false;
        };
        if let Some(watch) = cell.watch.get() {
            watch.read_key(key.as_bytes(), None);
        }
        match &*cell.entries.borrow() {
            Entries::Core(map) => key.as_str().is_some_and(|key| map.contains_key(key)),
            Entries::Few(entries) => find(entries, key.as_bytes()).is_some(),
            Entries::Many(entries) => entries.contains_key(key),
        }
    }

    /// Sets `key`, for everyone who refers to these entries.
    ///
    /// # Errors
    ///
    /// Fails with Go's text if this is the nil map.
    pub fn insert(&self, key: impl Into<Str>, value: impl Into<Value>) -> Result<(), Failure> {
        let cell = self
            .cell
            .as_ref()
            .ok_or_else(|| Failure::new("assignment to entry in nil map"))?;
        let (key, value) = (key.into(), value.into());
        if let Some(log) = cell.log.get() {
            log.write(self, &key, Some(&value));
            watch::watch(&value, log);
            if let Some(watch) = cell.watch.get() {
                watch.hand_out(&key, &value);
            }
        }
        cell.put(key, value);
        Ok(())
    }

    /// Sets `key` as something that was there from the start, to whoever
    /// watches. The nil map stays empty.
    pub(crate) fn provide(&self, key: impl Into<Str>, value: impl Into<Value>) {
        if let Some(cell) = &self.cell {
            cell.put(key.into(), value.into());
        }
    }

    /// Removes `key`, for everyone who refers to these entries.
    pub fn remove(&self, key: &Str) -> Option<Value> {
        let cell = self.cell.as_ref()?;
        cell.make_writable();
        if let Some(log) = cell.log.get() {
            log.write(self, key, None);
        }
        let mut entries = cell.entries.borrow_mut();
        match &mut *entries {
            Entries::Core(_) => unreachable!("materialise leaves no core map"),
            Entries::Few(few) => {
                let index = few.binary_search_by(|(have, _)| have.cmp(key)).ok()?;
                if few.len() <= FEW || index + 1 == few.len() {
                    return Some(few.remove(index).1);
                }
                let mut many: BTreeMap<_, _> = std::mem::take(few).into_iter().collect();
                let removed = many.remove(key);
                *entries = Entries::Many(many);
                removed
            }
            Entries::Many(many) => many.remove(key),
        }
    }

    /// The entries at this moment, in the order of the keys' bytes.
    pub fn entries(&self) -> Vec<(Str, Value)> {
        let Some(cell) = &self.cell else {
            return Vec::new();
        };
        cell.read_entries();
        match &*cell.entries.borrow() {
            Entries::Core(_) => unreachable!("materialise leaves no core map"),
            Entries::Few(few) => few.clone(),
            Entries::Many(many) => many.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
        }
    }

    /// As [`entries`](Self::entries), of a map that others may not need any more.
    pub(crate) fn into_entries(self) -> Vec<(Str, Value)> {
        match &self.cell {
            Some(cell) if Rc::strong_count(cell) == 1 && !self.is_watched() => {
                match cell.entries.replace(Entries::Few(Vec::new())) {
                    Entries::Core(map) => anew(&map),
                    Entries::Few(few) => few,
                    Entries::Many(many) => many.into_iter().collect(),
                }
            }
            _ => self.entries(),
        }
    }

    /// The keys at this moment, in the order of their bytes.
    pub fn keys(&self) -> Vec<Str> {
        let Some(cell) = &self.cell else {
            return Vec::new();
        };
        if let Some(watch) = cell.watch.get() {
            watch.read(&Read::Keys);
        }
        match &*cell.entries.borrow() {
            Entries::Core(map) => map.keys().cloned().map(Str::from).collect(),
            Entries::Few(few) => few.iter().map(|(key, _)| key.clone()).collect(),
            Entries::Many(many) => many.keys().cloned().collect(),
        }
    }

    /// Visits the entries in order without copying them. Inside, this map can
    /// be read but not written.
    pub(crate) fn visit<E>(
        &self,
        mut each: impl FnMut(&Str, &Value) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(cell) = &self.cell else {
            return Ok(());
        };
        cell.read_entries();
        match &*cell.entries.borrow() {
            Entries::Core(_) => unreachable!("materialise leaves no core map"),
            Entries::Few(few) => few.iter().try_for_each(|(key, value)| each(key, value)),
            Entries::Many(many) => many.iter().try_for_each(|(key, value)| each(key, value)),
        }
    }

    /// Shows the entries in order without copying them. Inside, this map can
    /// be read but not written.
    pub(super) fn with_entries_in_order<R>(&self, show: impl FnOnce(&[(&Str, &Value)]) -> R) -> R {
        let Some(cell) = &self.cell else {
            return show(&[]);
        };
        cell.read_entries();
        let entries = cell.entries.borrow();
        let entries: SmallVec<[(&Str, &Value); 16]> = match &*entries {
            Entries::Core(_) => unreachable!("materialise leaves no core map"),
            Entries::Few(few) => few.iter().map(|(key, value)| (key, value)).collect(),
            Entries::Many(many) => many.iter().collect(),
        };
        show(&entries)
    }

    /// A new map with the same keys and values, of the same Go type.
    pub fn shallow_copy(&self) -> Map {
        match &self.cell {
            None => self.clone(),
            Some(cell) => {
                cell.read_entries();
                let entries = match &*cell.entries.borrow() {
                    Entries::Core(_) => unreachable!("materialise leaves no core map"),
                    Entries::Few(few) => Entries::Few(few.clone()),
                    Entries::Many(many) => Entries::Many(many.clone()),
                };
                Map::with_entries(entries).with_kind(self.kind)
            }
        }
    }

    /// A new map with the same keys, of the same Go type, and copies of the
    /// maps and lists inside. Of what nobody has written to since it was read
    /// from a file, nothing is copied.
    pub(crate) fn try_copy<E>(
        &self,
        mut copy: impl FnMut(&Value) -> Result<Copied, E>,
    ) -> Result<Copied, E> {
        let Some(cell) = &self.cell else {
            return Ok(Copied::Anew(Value::Map(self.clone())));
        };
        // What is read of a copy is read of what it was made from.
        let origin = cell.watch.get().and_then(|watch| watch.origin());
        let as_written = |map: gitops_core::Map| match self.kind {
            MapKind::Plain => Copied::AsWritten(gitops_core::Value::Map(map), origin.clone()),
            kind => {
                let map = Map::from(map).with_kind(kind);
                Copied::Anew(Value::Map(map.with_origin(origin.as_ref())))
            }
        };
        if let Some(watch) = cell.watch.get()
            && watch.is_pristine()
            && let Some(map) = &*cell.written.borrow()
        {
            return Ok(as_written(map.clone()));
        }
        if origin.is_none() {
            cell.report_entries();
        }
        let entries = match &*cell.entries.borrow() {
            Entries::Core(map) => return Ok(as_written(map.clone())),
            Entries::Few(few) => {
                let mut copied = Vec::new();
                if let Some(map) = &*cell.written.borrow() {
                    let mut changed = None;
                    for (index, (_, value)) in few.iter().enumerate() {
                        if !value.is_container() {
                            continue;
                        }
                        if let Copied::Anew(value) = copy(value)? {
                            changed = Some((index, value));
                            break;
                        }
                    }
                    let Some((index, value)) = changed else {
                        if let Some(watch) = cell.watch() {
                            watch.set_pristine();
                        }
                        return Ok(as_written(map.clone()));
                    };
                    copied.reserve_exact(few.len());
                    // The core map has the same keys in the same order.
                    for ((key, have), (_, written)) in few[..index].iter().zip(map) {
                        let have = match have.is_container() {
                            true => Value::from(written),
                            false => have.clone(),
                        };
                        copied.push((key.clone(), have));
                    }
                    copied.push((few[index].0.clone(), value));
                }
                // `collect` would not know how many there are.
                copied.reserve_exact(few.len() - copied.len());
                for (key, value) in &few[copied.len()..] {
                    copied.push((key.clone(), copy(value)?.into()));
                }
                Entries::Few(copied)
            }
            Entries::Many(many) => {
                let copied = many
                    .iter()
                    .map(|(key, value)| Ok((key.clone(), copy(value)?.into())));
                Entries::Many(copied.collect::<Result<_, E>>()?)
            }
        };
        let map = Map::with_entries(entries).with_kind(self.kind);
        Ok(Copied::Anew(Value::Map(map.with_origin(origin.as_ref()))))
    }

    fn with_origin(self, origin: Option<&Origin>) -> Map {
        if let Some(origin) = origin {
            origin.watch(&self);
        }
        self
    }

    /// Empties this map and every map reachable from it.
    ///
    /// Maps are counted references, so a template that stores a map inside
    /// itself makes a cycle that would never be freed. Whoever made the data
    /// of a render calls this when the render is done.
    pub fn dismantle(&self) {
        let mut pending = vec![Value::Map(self.clone())];
        while let Some(value) = pending.pop() {
            match value {
                Value::Map(Map {
                    cell: Some(cell), ..
                }) => {
                    cell.written.take();
                    match cell.entries.replace(Entries::Few(Vec::new())) {
                        Entries::Core(_) => {}
                        Entries::Few(few) => {
                            pending.extend(few.into_iter().map(|(_, value)| value));
                        }
                        Entries::Many(many) => pending.extend(many.into_values()),
                    }
                }
                Value::List(list) if list.untouched().is_none() => {
                    pending.extend(list.iter().cloned());
                }
                _ => {}
            }
        }
    }

    /// Whether nobody gave a part of it an identity.
    pub(super) fn is_untouched(&self) -> bool {
        let cell = self.cell.as_ref();
        cell.is_some_and(|cell| matches!(&*cell.entries.borrow(), Entries::Core(_)))
    }

    /// The map as it was written, if nobody gave a part of it an identity.
    pub(crate) fn untouched(&self) -> Option<gitops_core::Map> {
        let cell = self.cell.as_ref()?;
        match &*cell.entries.borrow() {
            Entries::Core(map) => {
                if let Some(watch) = cell.watch.get() {
                    watch.read(&Read::All);
                }
                Some(map.clone())
            }
            _ => None,
        }
    }
}

impl Map {
    /// As [`untouched`](Self::untouched), if nobody else refers to this map.
    pub(crate) fn into_untouched(self) -> Result<gitops_core::Map, Map> {
        match (&self.cell, self.untouched()) {
            (Some(cell), Some(map)) if Rc::strong_count(cell) == 1 => Ok(map),
            _ => Err(self),
        }
    }

    /// Gives a map that nobody has touched, and that does not report yet, other
    /// entries, for everyone who refers to it.
    pub(crate) fn rewrite(&self, map: gitops_core::Map) {
        debug_assert!(!self.is_watched() && self.is_untouched());
        if let Some(cell) = &self.cell {
            cell.entries.replace(Entries::Core(map));
        }
    }

    /// Makes other entries, in order, of those of a map that does not report yet,
    /// for everyone who refers to it. Meanwhile it has none.
    pub(crate) fn remake(&self, remake: impl FnOnce(Vec<(Str, Value)>) -> Vec<(Str, Value)>) {
        debug_assert!(!self.is_watched());
        let Some(cell) = &self.cell else { return };
        cell.written.take();
        let entries = match cell.entries.replace(Entries::Few(Vec::new())) {
            Entries::Core(map) => anew(&map),
            Entries::Few(few) => few,
            Entries::Many(many) => many.into_iter().collect(),
        };
        let entries = remake(entries);
        cell.entries.replace(match entries.len() {
            0..=FEW => Entries::Few(entries),
            _ => Entries::Many(entries.into_iter().collect()),
        });
    }

    /// What this map and all in it could have been converted from, if there is
    /// such a thing. From here on they are as if they had been.
    pub(crate) fn settle(&self) -> Option<gitops_core::Map> {
        settle(self, 0)
    }
}

fn settle(map: &Map, depth: usize) -> Option<gitops_core::Map> {
    let cell = map.cell.as_ref()?;
    if map.kind != MapKind::Plain || depth > MAX_NESTING {
        return None;
    }
    let settled: gitops_core::Map = match &*cell.entries.borrow() {
        Entries::Core(map) => return Some(map.clone()),
        Entries::Few(few) => few
            .iter()
            .map(|(key, value)| Some((key.as_str()?, settled(value, depth)?)))
            .collect::<Option<_>>()?,
        Entries::Many(_) => return None,
    };
    cell.written.replace(Some(settled.clone()));
    Some(settled)
}

/// A value that comes from another of the same kind and content.
fn settled(value: &Value, depth: usize) -> Option<gitops_core::Value> {
    let settled = match value {
        Value::Map(map) => super::deeper(|| settle(map, depth + 1))?.into(),
        Value::List(list) => list.untouched()?.clone().into(),
        Value::Nil
        | Value::Bool(_)
        | Value::Int64(_)
        | Value::Uint64(_)
        | Value::Float(_)
        | Value::Str(_) => value.to_core().ok()?,
        _ => return None,
    };
    match (value, &settled) {
        (Value::Uint64(_), gitops_core::Value::Int(_)) => None,
        (Value::Str(text), _) if text.as_str().is_none() => None,
        _ => Some(settled),
    }
}

impl Cell {
    /// What is known of this map, if it is watched.
    fn watch(&self) -> Option<&Watch> {
        let log = self.log.get()?;
        Some(self.watch.get_or_init(|| Box::new(Watch::new(log))))
    }

    /// The position of a key, if that is known, and its value.
    fn get(&self, key: &[u8]) -> Option<(usize, Value)> {
        match &*self.entries.borrow() {
            Entries::Core(map) => match find_core(map, key)? {
                (_, gitops_core::Value::List(_) | gitops_core::Value::Map(_)) => {}
                (index, scalar) => return Some((index, Value::from(scalar))),
            },
            Entries::Few(entries) => {
                return find(entries, key).map(|(index, value)| (index, value.clone()));
            }
            Entries::Many(entries) => {
                return entries.get(key).map(|value| (usize::MAX, value.clone()));
            }
        }
        // A container is asked for: from now on it has an identity.
        self.materialise();
        self.get(key)
    }

    /// All entries are read: nothing is as it was written any more.
    fn read_entries(&self) {
        self.materialise();
        self.report_entries();
    }

    /// Reports that all entries are read, and lets what is in them report in turn.
    fn report_entries(&self) {
        let Some(watch) = self.watch.get() else {
            return;
        };
        match &*self.entries.borrow() {
            Entries::Core(_) => watch.read(&Read::All),
            Entries::Few(few) => watch.read_entries(|| {
                few.iter().for_each(|(key, value)| watch.found(key, value));
            }),
            Entries::Many(many) => watch.read_entries(|| {
                many.iter().for_each(|(key, value)| watch.found(key, value));
            }),
        }
    }

    /// Entries that are about to be set or removed.
    fn make_writable(&self) {
        self.materialise();
        self.written.take();
        if let Some(watch) = self.watch.get() {
            watch.forget();
        }
    }

    fn put(&self, key: Str, value: Value) {
        self.make_writable();
        let replaced;
        {
            let mut entries = self.entries.borrow_mut();
            replaced = match &mut *entries {
                Entries::Core(_) => unreachable!("materialise leaves no core map"),
                Entries::Few(few) => match few.binary_search_by(|(have, _)| have.cmp(&key)) {
                    Ok(index) => Some(std::mem::replace(&mut few[index].1, value)),
                    Err(index) if few.len() < FEW || index == few.len() => {
                        few.insert(index, (key, value));
                        None
                    }
                    Err(_) => {
                        let mut many: BTreeMap<_, _> = std::mem::take(few).into_iter().collect();
                        many.insert(key, value);
                        *entries = Entries::Many(many);
                        None
                    }
                },
                Entries::Many(many) => many.insert(key, value),
            };
        }
        // Dropped outside the borrow: it may own a map that refers to this one.
        drop(replaced);
    }

    fn materialise(&self) {
        // A map that contains itself is read while it is being read, so it is
        // borrowed for writing only if there is something to write.
        let few: Vec<(Str, Value)> = match &*self.entries.borrow() {
            Entries::Core(map) => anew(map),
            _ => return,
        };
        if let Some(log) = self.log.get() {
            few.iter().for_each(|(_, value)| watch::watch(value, log));
        }
        let before = self.entries.replace(Entries::Few(few));
        if let Entries::Core(map) = before {
            self.written.replace(Some(map));
        }
    }
}

/// Entries as they were written, with identities of their own.
fn anew(map: &gitops_core::Map) -> Vec<(Str, Value)> {
    // Core maps are sorted by the same order.
    map.iter()
        .map(|(key, value)| (Str::from(key.clone()), Value::from(value)))
        .collect()
}

/// What a copy came to.
pub(crate) enum Copied {
    /// Nothing in it was written to, so what it was converted from will do; and
    /// of a map that lies at a place, which that is.
    AsWritten(gitops_core::Value, Option<Origin>),
    Anew(Value),
}

impl From<Copied> for Value {
    fn from(copied: Copied) -> Self {
        match copied {
            Copied::AsWritten(value, origin) => {
                let value = Value::from(&value);
                if let (Value::Map(map), Some(origin)) = (&value, origin) {
                    origin.watch(map);
                }
                value
            }
            Copied::Anew(value) => value,
        }
    }
}

/// As [`find`], in a map that nobody has touched.
fn find_core<'e>(map: &'e gitops_core::Map, key: &[u8]) -> Option<(usize, &'e gitops_core::Value)> {
    if map.len() <= 8 {
        let mut entries = map.iter().enumerate();
        let (index, (_, value)) = entries.find(|(_, (have, _))| have.as_bytes() == key)?;
        return Some((index, value));
    }
    map.get_indexed(std::str::from_utf8(key).ok()?)
}

fn find<'e>(entries: &'e [(Str, Value)], key: &[u8]) -> Option<(usize, &'e Value)> {
    let place = place(key);
    let last = FOUND.with(|found| usize::from(found[place].get()));
    if let Some((have, value)) = entries.get(last)
        && have.as_bytes() == key
    {
        return Some((last, value));
    }
    // Most maps of a chart have a handful of keys; comparing lengths first
    // makes a scan of those cheaper than a binary search.
    let index = match entries.len() {
        0..=8 => entries.iter().position(|(have, _)| have.as_bytes() == key),
        _ => entries
            .binary_search_by(|(have, _)| have.as_bytes().cmp(key))
            .ok(),
    }?;
    FOUND.with(|found| found[place].set(index as u16));
    Some((index, &entries[index].1))
}

/// How many places of names in templates are told apart.
const PLACES: usize = 1 << 10;

thread_local! {
    /// Where in its map a key was found last, by the place of the name: most names
    /// in templates mean the same key again.
    static FOUND: [std::cell::Cell<u16>; PLACES] =
        const { [const { std::cell::Cell::new(0) }; PLACES] };
}

/// Where a name stands in memory, scattered.
fn place(name: &[u8]) -> usize {
    let scattered = (name.as_ptr() as usize as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (scattered >> (u64::BITS - PLACES.ilog2())) as usize
}

impl Default for Map {
    fn default() -> Self {
        Map::new()
    }
}

impl From<gitops_core::Map> for Map {
    fn from(map: gitops_core::Map) -> Self {
        Map::with_entries(Entries::Core(map))
    }
}

/// Of equal keys the last one wins.
impl<K: Into<Str>, V: Into<Value>> FromIterator<(K, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut entries: Vec<(Str, Value)> = entries
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        if !entries.is_sorted_by(|a, b| a.0 < b.0) {
            // Stable, so of equal keys the last one written stays last.
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            entries.dedup_by(|later, earlier| {
                let same = later.0 == earlier.0;
                if same {
                    std::mem::swap(&mut later.1, &mut earlier.1);
                }
                same
            });
        }
        Map::with_entries(Entries::Few(entries))
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A map can contain itself, so only the keys are safe to write.
        f.debug_set().entries(self.keys()).finish()
    }
}

impl Drop for Cell {
    // As for lists: nested as deep as a template likes.
    fn drop(&mut self) {
        match std::mem::replace(self.entries.get_mut(), Entries::Few(Vec::new())) {
            Entries::Core(_) => {}
            Entries::Few(few) => {
                super::value::drop_values(few.into_iter().map(|(_, value)| value));
            }
            Entries::Many(many) => super::value::drop_values(many.into_values()),
        }
    }
}
