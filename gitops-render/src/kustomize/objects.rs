//! The objects of a build and the index of their identities: Kustomize's
//! `resWrangler`, in which nothing searches the whole list for an identity.
//!
//! The index knows every identity that an object has or had. It may know more
//! than that, never less, so what it finds is looked at again. Objects that a
//! patch deleted stay in the list, marked, until the list is handed on: places
//! in it do not move.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hasher as _};

use foldhash::fast::RandomState;
use gitops_core::redaction::{HIDDEN, Redaction};
use gitops_core::{Str, Value};
use smallvec::SmallVec;

use super::error::{Error, ErrorKind, Result, quoted, transform};
use super::id::{self, Id};
use super::object::{Behavior, Object};

/// An ordered list of objects.
#[derive(Debug, Default)]
pub(super) struct Objects {
    list: Vec<Object>,
    index: HashMap<u64, SmallVec<[u32; 2]>, BuildPassThrough>,
    hasher: RandomState,
    /// The same by name alone, once somebody asked for one.
    names: OnceCell<Names>,
    /// Whether two objects may have come to have one identity.
    collided: bool,
}

/// Places by name.
type Names = HashMap<Str, SmallVec<[u32; 2]>, RandomState>;

/// Puts the names of an object into an index. Looked at again, an object is
/// often the last that has the name, and not put there twice.
fn note_names(names: &mut Names, object: &Object, at: usize) {
    for name in object.names() {
        let places = names.entry(name.clone()).or_default();
        if places.last() != Some(&(at as u32)) {
            places.push(at as u32);
        }
    }
}

/// The keys of the index are hashes already.
#[derive(Clone, Copy, Debug, Default)]
struct BuildPassThrough;

#[derive(Default)]
struct PassThrough(u64);

impl std::hash::BuildHasher for BuildPassThrough {
    type Hasher = PassThrough;

    fn build_hasher(&self) -> PassThrough {
        PassThrough::default()
    }
}

impl std::hash::Hasher for PassThrough {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

impl Objects {
    /// Objects with an identity each.
    pub(super) fn distinct(list: Vec<Object>) -> Result<Self> {
        let mut objects = Objects {
            index: HashMap::with_capacity_and_hasher(list.len(), BuildPassThrough),
            list,
            ..Objects::default()
        };
        for at in 0..objects.list.len() {
            let object = &objects.list[at];
            if let Some(first) = objects.with_id(&object.id).first() {
                return Err(already_there(&objects.list[*first], object));
            }
            objects.note(at, 0);
        }
        Ok(objects)
    }

    /// Those that no patch deleted.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Object> {
        self.list.iter().filter(|object| !object.is_empty())
    }

    /// The places of those that no patch deleted.
    pub(super) fn places(&self) -> Vec<usize> {
        let live = |at: &usize| !self.list[*at].is_empty();
        (0..self.list.len()).filter(live).collect()
    }

    /// The places of those that have or had a name.
    pub(super) fn named(&self, name: &str) -> Vec<usize> {
        let names = self.names.get_or_init(|| {
            let mut names = Names::default();
            for (at, object) in self.list.iter().enumerate() {
                note_names(&mut names, object, at);
            }
            names
        });
        let places = names.get(name).map(|places| &places[..]);
        let mut places: Vec<usize> = places
            .unwrap_or_default()
            .iter()
            .map(|at| *at as usize)
            .filter(|at| !self.list[*at].is_empty())
            .collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    /// How many places there are.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn get(&self, at: usize) -> &Object {
        &self.list[at]
    }

    /// Whether two objects may have come to have one identity.
    pub(super) fn have_collided(&self) -> bool {
        self.collided
    }

    /// Changes fields of an object that are no part of its identity.
    pub(super) fn write<T>(
        &mut self,
        at: usize,
        write: impl FnOnce(&mut Object) -> Result<T>,
    ) -> Result<T> {
        let object = &mut self.list[at];
        write(object).map_err(|error| without_secrets(error, object))
    }

    /// Changes an object and finds out its identity anew.
    pub(super) fn change<T>(
        &mut self,
        at: usize,
        change: impl FnOnce(&mut Object) -> Result<T>,
    ) -> Result<T> {
        let object = &mut self.list[at];
        let before = object.previous.len();
        let old = object.id.clone();
        let result = change(object).map_err(|error| without_secrets(error, object))?;
        object.refresh();
        let new_history = object.previous.len() > before;
        let moved = !same_identity(&old, &object.id);
        if moved && old.gvk != object.id.gvk {
            // Earlier identities have the group and version of now.
            self.note(at, 0);
        } else if new_history || moved {
            self.note(at, before);
        }
        if moved && !self.collided {
            self.collided = self.with_id(&self.list[at].id).len() > 1;
        }
        Ok(result)
    }

    fn hash(&self, id: &Id) -> u64 {
        let mut state = self.hasher.build_hasher();
        id.hash_into(&mut state);
        state.finish()
    }

    /// Puts the identities of an object into the index, but for the first
    /// `known` ones of its past.
    fn note(&mut self, at: usize, known: usize) {
        let object = &self.list[at];
        let past = object.previous.get(known..).unwrap_or_default();
        let past = past.iter().map(|previous| {
            let mut state = self.hasher.build_hasher();
            let namespace = previous.effective_namespace();
            let (kind, name) = (&previous.kind, &previous.name);
            id::hash_parts(&object.id.gvk, kind, name, namespace, &mut state);
            state.finish()
        });
        for hash in past.chain([self.hash(&object.id)]) {
            let places = self.index.entry(hash).or_default();
            if !places.contains(&(at as u32)) {
                places.push(at as u32);
            }
        }
        if let Some(names) = self.names.get_mut() {
            note_names(names, object, at);
        }
    }

    /// The places of the objects that have an identity now, in order.
    pub(super) fn with_id(&self, id: &Id) -> SmallVec<[usize; 2]> {
        self.find(id, |object| object.id.same(id))
    }

    /// The places of the objects that have or had an identity, in order.
    pub(super) fn with_any_id(&self, id: &Id) -> SmallVec<[usize; 2]> {
        self.find(id, |object| object.ids().any(|had| id.same(&had)))
    }

    fn find(&self, id: &Id, fits: impl Fn(&Object) -> bool) -> SmallVec<[usize; 2]> {
        let Some(places) = self.index.get(&self.hash(id)) else {
            return SmallVec::new();
        };
        let mut found: SmallVec<[usize; 2]> = places
            .iter()
            .map(|at| *at as usize)
            .filter(|at| !self.list[*at].is_empty() && fits(&self.list[*at]))
            .collect();
        found.sort_unstable();
        found
    }

    /// The one object that has or had an identity.
    pub(super) fn unique(&self, id: &Id) -> Result<usize> {
        match self.with_any_id(id).as_slice() {
            [at] => Ok(*at),
            [] => Err(transform(format!(
                "no matches for Id {id}; failed to find unique target for patch {id}"
            ))),
            [_, ..] => Err(transform(format!(
                "multiple matches for Id {id}; failed to find unique target for patch {id}"
            ))),
        }
    }

    /// Refuses objects that came to have one identity. Kustomize notices them
    /// where it makes a new list of the objects.
    pub(super) fn check_unique(&mut self) -> Result<()> {
        if !self.collided {
            return Ok(());
        }
        for at in self.places() {
            if let [first, second, ..] = self.with_id(&self.list[at].id)[..] {
                return Err(already_there(&self.list[first], &self.list[second]));
            }
        }
        self.collided = false;
        Ok(())
    }

    /// Adds an object.
    pub(super) fn push(&mut self, object: Object) -> Result<()> {
        if let Some(first) = self.with_id(&object.id).first() {
            return Err(already_there(&self.list[*first], &object));
        }
        self.list.push(object);
        self.note(self.list.len() - 1, 0);
        Ok(())
    }

    /// Adds the objects of another list.
    pub(super) fn append(&mut self, mut other: Objects) -> Result<()> {
        if self.list.is_empty() && !other.list.iter().any(Object::is_empty) {
            other.check_unique()?;
            *self = other;
            return Ok(());
        }
        for object in other.list {
            if !object.is_empty() {
                self.push(object)?;
            }
        }
        Ok(())
    }

    /// Adds what a generator made: new, or in place of or merged into what is
    /// there.
    pub(super) fn absorb(&mut self, mut object: Object) -> Result<()> {
        let matches = self.with_any_id(&object.id);
        let generate = |message: String| Error::new(ErrorKind::Generate, message);
        let at = match (matches.as_slice(), object.behavior) {
            ([], Behavior::Merge | Behavior::Replace) => {
                return Err(generate(format!(
                    "id {} does not exist; cannot merge or replace",
                    go_syntax(&object.id)
                )));
            }
            ([], _) => return self.push(object),
            ([at], Behavior::Merge | Behavior::Replace) => *at,
            ([_], behavior) => {
                return Err(generate(format!(
                    "id {} exists; can not use behavior: '{}', behavior must be merge or replace",
                    go_syntax(&object.id),
                    behavior.name()
                )));
            }
            _ => {
                let shown: Vec<String> = matches.iter().map(|at| self.list[*at].show()).collect();
                return Err(generate(format!(
                    "found multiple objects [{}] that could accept merge of {}",
                    shown.join(" "),
                    object.id
                )));
            }
        };
        let old = &self.list[at];
        let merge = object.behavior == Behavior::Merge;
        let origin = old.annotation(super::object::ORIGIN);
        copy_metadata(&mut object, old)?;
        if merge {
            for field in ["data", "binaryData"] {
                let merged = overlay(old.data_map(field), object.data_map(field));
                super::generators::set_data_map(&mut object, field, &merged)?;
            }
            if let Some(origin) = origin {
                let annotations = vec![(super::object::ORIGIN.into(), origin)];
                let annotations = overlay(object.metadata_map("annotations"), annotations);
                object.set_metadata_map("annotations", &annotations)?;
            }
        }
        object.refresh();
        if self.with_id(&object.id).as_slice() != [at] {
            return Err(generate(format!(
                "in Replace: cannot find resource with id {} to replace",
                object.id
            )));
        }
        self.list[at] = object;
        self.note(at, 0);
        Ok(())
    }

    /// Removes objects for which `keep` says no.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Object) -> bool) {
        for object in &mut self.list {
            if !object.is_empty() && !keep(object) {
                object.gone = true;
            }
        }
    }

    /// The objects alone.
    pub(super) fn into_list(self) -> Vec<Object> {
        let mut list = self.list;
        list.retain(|object| !object.is_empty());
        list
    }
}

/// An error in which the contents of a field of a Secret stand, without what
/// the Secret holds.
fn without_secrets(error: Error, object: &Object) -> Error {
    const CONTENTS: &str = "node contents:";
    let Some(at) = error.message().find(CONTENTS) else {
        return error;
    };
    if object.id.gvk.kind != "Secret" {
        return error;
    }
    error.reworded(|words| {
        let (before, contents) = words.split_at(at + CONTENTS.len());
        let mut redaction = Redaction::default();
        match object.to_value() {
            Ok(Value::Map(secret)) => redaction.add(&secret),
            _ => return format!("{before}\n{HIDDEN}"),
        }
        format!("{before}{}", redaction.hide(contents))
    })
}

fn same_identity(a: &Id, b: &Id) -> bool {
    a.name == b.name && a.gvk == b.gvk && a.namespace == b.namespace
}

fn already_there(first: &Object, second: &Object) -> Error {
    let message = format!(
        "may not add resource with an already registered id: {}",
        second.id
    );
    let error = Error::new(ErrorKind::Conflict, message);
    error
        .at(&second.declared.file, second.declared.line)
        .claimed_first_at(&first.declared.file, first.declared.line)
}

/// What a generated object takes from the one that it merges into or replaces.
fn copy_metadata(object: &mut Object, old: &Object) -> Result<()> {
    let labels = overlay(old.metadata_map("labels"), object.metadata_map("labels"));
    object.set_metadata_map("labels", &labels)?;
    let annotations = overlay(
        old.metadata_map("annotations"),
        object.metadata_map("annotations"),
    );
    object.set_metadata_map("annotations", &annotations)?;
    object.set_name(&old.id.name)?;
    object.set_namespace(&old.id.namespace)?;
    // What was remembered of the old object is remembered of this one; a hash
    // is wanted if both want one.
    object.needs_hash &= old.needs_hash;
    object.previous = old.previous.clone();
    object.prefixes = old.prefixes.clone();
    object.suffixes = old.suffixes.clone();
    object.behavior = old.behavior;
    object.allow_name_change = old.allow_name_change;
    object.allow_kind_change = old.allow_kind_change;
    object.from_chart = old.from_chart;
    object.variables = old.variables.clone();
    Ok(())
}

/// The pairs of both, the second winning, sorted.
fn overlay(first: Vec<(Str, Str)>, second: Vec<(Str, Str)>) -> Vec<(Str, Str)> {
    let mut merged: std::collections::BTreeMap<Str, Str> = first.into_iter().collect();
    merged.extend(second);
    merged.into_iter().collect()
}

/// An identity as Go's `%#v` prints it.
fn go_syntax(id: &Id) -> String {
    format!(
        "resid.ResId{{Gvk:resid.Gvk{{Group:{}, Version:{}, Kind:{}, \
         isClusterScoped:{}}}, Name:{}, Namespace:{}}}",
        quoted(&id.gvk.group),
        quoted(&id.gvk.version),
        quoted(&id.gvk.kind),
        id.cluster_scoped,
        quoted(&id.name),
        quoted(&id.namespace)
    )
}
