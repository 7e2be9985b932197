//! Go's slices, which templates can read but never write.

use std::cell::OnceCell;
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use super::map::Copied;
use super::value::Value;
use super::watch::{self, Log};

/// A Go slice of one element type: `[]string`, `[]int`, `[]byte`.
///
/// Templates cannot assign to an element, so a clone shares. A slice is either
/// nil or not, which only `toJson`, `toYaml`, `deepEqual` and `eq` can tell:
/// everywhere else a nil slice is an empty one.
#[derive(Clone)]
pub struct Slice<T>(Option<Rc<[T]>>);

impl<T> Slice<T> {
    /// The nil slice.
    pub const fn nil() -> Self {
        Slice(None)
    }

    /// Whether this is the nil slice.
    pub fn is_nil(&self) -> bool {
        self.0.is_none()
    }
}

impl<T> Deref for Slice<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl<T> From<Vec<T>> for Slice<T> {
    fn from(items: Vec<T>) -> Self {
        Slice(Some(items.into()))
    }
}

impl<T: Clone> From<&[T]> for Slice<T> {
    fn from(items: &[T]) -> Self {
        Slice(Some(items.into()))
    }
}

impl<T> FromIterator<T> for Slice<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Slice(Some(items.into_iter().collect()))
    }
}

impl<T: fmt::Debug> fmt::Debug for Slice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.deref().fmt(f)
    }
}

/// A Go `[]interface {}`.
///
/// A list that comes from a [`gitops_core::Value`] is converted when its
/// elements are first asked for. The maps inside keep their identity: `set` on
/// one of them is seen by everyone who holds the list.
#[derive(Clone)]
pub struct List(Option<Rc<Cell>>);

struct Cell {
    source: gitops_core::value::List,
    items: OnceCell<Vec<Value>>,
    /// Whom the maps inside report to.
    log: OnceCell<Rc<Log>>,
}

impl List {
    /// The nil list.
    pub const fn nil() -> Self {
        List(None)
    }

    /// Whether this is the nil list.
    pub fn is_nil(&self) -> bool {
        self.0.is_none()
    }

    /// Whether both are the same list in memory.
    pub(crate) fn is(&self, other: &List) -> bool {
        match (&self.0, &other.0) {
            (Some(a), Some(b)) => Rc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        }
    }

    /// What tells this list from all others while it is alive.
    pub(crate) fn address(&self) -> Option<usize> {
        self.0.as_ref().map(|cell| Rc::as_ptr(cell) as usize)
    }

    /// Whether the maps inside report what is written to them.
    pub(super) fn is_watched(&self) -> bool {
        self.0.as_ref().is_some_and(|cell| cell.log.get().is_some())
    }

    /// Lets the maps inside report to `log` what is written to them; which those
    /// are is added to `inside`.
    pub(super) fn watched_by(&self, log: &Rc<Log>, inside: &mut Vec<Value>) {
        let Some(cell) = &self.0 else { return };
        if cell.log.set(log.clone()).is_ok()
            && let Some(items) = cell.items.get()
        {
            inside.extend(items.iter().filter(|item| item.is_container()).cloned());
        }
    }

    /// A new list of copies of the elements. As for maps, of what nobody has
    /// written to nothing is copied.
    pub(crate) fn try_copy<E>(
        &self,
        mut copy: impl FnMut(&Value) -> Result<Copied, E>,
    ) -> Result<Copied, E> {
        if let Some(source) = self.untouched() {
            return Ok(Copied::AsWritten(source.clone().into(), None));
        }
        let Some(cell) = &self.0 else {
            return Ok(Copied::Anew(Value::List(self.clone())));
        };
        let mut copied = Vec::with_capacity(self.len());
        // A list that was made of values was not converted from anything.
        let mut changed = cell.source.len() != self.len();
        for item in self.iter() {
            let item = copy(item)?;
            changed |= matches!(item, Copied::Anew(Value::Map(_) | Value::List(_)));
            copied.push(Value::from(item));
        }
        Ok(match changed {
            false => Copied::AsWritten(cell.source.clone().into(), None),
            true => Copied::Anew(copied.into()),
        })
    }

    /// The list as it was written, if nobody has looked at its elements.
    pub(crate) fn untouched(&self) -> Option<&gitops_core::value::List> {
        let cell = self.0.as_ref()?;
        cell.items.get().is_none().then_some(&cell.source)
    }
}

impl Deref for List {
    type Target = [Value];

    fn deref(&self) -> &[Value] {
        match &self.0 {
            None => &[],
            Some(cell) => cell.items.get_or_init(|| {
                let items: Vec<Value> = cell.source.iter().map(Value::from).collect();
                if let Some(log) = cell.log.get() {
                    items.iter().for_each(|item| watch::watch(item, log));
                }
                items
            }),
        }
    }
}

impl From<Vec<Value>> for List {
    fn from(items: Vec<Value>) -> Self {
        List(Some(Rc::new(Cell {
            source: Default::default(),
            items: OnceCell::from(items),
            log: OnceCell::new(),
        })))
    }
}

impl From<gitops_core::value::List> for List {
    fn from(source: gitops_core::value::List) -> Self {
        List(Some(Rc::new(Cell {
            source,
            items: OnceCell::new(),
            log: OnceCell::new(),
        })))
    }
}

impl FromIterator<Value> for List {
    fn from_iter<I: IntoIterator<Item = Value>>(items: I) -> Self {
        List::from(items.into_iter().collect::<Vec<_>>())
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Drop for Cell {
    // A template can nest lists as deep as it has steps; the default drop
    // would recurse once per level.
    fn drop(&mut self) {
        if let Some(items) = self.items.take() {
            super::value::drop_values(items.into_iter());
        }
    }
}
