use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, RwLock};

use bytes::Bytes;
use gix::ObjectId;
use gix::objs::TreeRefIter;
use gix::objs::tree::EntryKind as Mode;

use super::{Entry, EntryKind, FileTree, Found, TreeError, TreePath, entry, follow, listed};
use crate::git::{CommitId, Objects};

/// The files of a Git commit, read straight from the object database: nothing
/// is checked out, nothing is written.
///
/// Obtained from [`Repository::tree`](crate::git::Repository::tree). Trees that
/// were looked at are kept, blobs are not. A submodule is an empty directory.
#[derive(Clone)]
pub struct GitTree {
    commit: CommitId,
    root: ObjectId,
    objects: Arc<Objects>,
    dirs: Arc<RwLock<HashMap<ObjectId, Arc<[Item]>>>>,
}

struct Item {
    name: String,
    mode: Mode,
    id: ObjectId,
}

impl GitTree {
    pub(crate) fn new(commit: CommitId, root: ObjectId, objects: Arc<Objects>) -> Self {
        GitTree {
            commit,
            root,
            objects,
            dirs: Arc::default(),
        }
    }

    /// The commit whose files these are.
    pub fn commit(&self) -> &CommitId {
        &self.commit
    }

    fn items(&self, dir: &TreePath, id: ObjectId) -> Result<Arc<[Item]>, TreeError> {
        let cached = self.dirs.read().expect("no panic under the lock");
        if let Some(items) = cached.get(&id) {
            return Ok(items.clone());
        }
        drop(cached);
        let data = self
            .objects
            .read(id)
            .map_err(|error| storage(dir, Box::new(error)))?;
        let mut items = Vec::new();
        for entry in TreeRefIter::from_bytes(&data, id.kind()) {
            let entry = entry.map_err(|error| storage(dir, error.to_string().into()))?;
            // A name that is not UTF-8 can be named by no manifest.
            if let Ok(name) = std::str::from_utf8(entry.filename) {
                items.push(Item {
                    name: name.to_owned(),
                    mode: entry.mode.kind(),
                    id: entry.oid.to_owned(),
                });
            }
        }
        // Git sorts directories as if they ended in a slash.
        items.sort_by(|a, b| a.name.cmp(&b.name));
        let items: Arc<[Item]> = items.into();
        let mut cached = self.dirs.write().expect("no panic under the lock");
        cached.insert(id, items.clone());
        Ok(items)
    }

    /// The mode and id of what stands at a path without links.
    fn at(&self, path: &TreePath) -> Result<Option<(Mode, ObjectId)>, TreeError> {
        let mut found = (Mode::Tree, self.root);
        let parts = path.as_str().split('/').filter(|part| !part.is_empty());
        for part in parts {
            if found.0 != Mode::Tree {
                return Ok(None);
            }
            let items = self.items(path, found.1)?;
            let Ok(index) = items.binary_search_by(|item| item.name.as_str().cmp(part)) else {
                return Ok(None);
            };
            found = (items[index].mode, items[index].id);
        }
        Ok(Some(found))
    }

    fn look(&self, path: &TreePath) -> Result<Found, TreeError> {
        Ok(match self.at(path)? {
            None => Found::Absent,
            Some((Mode::Tree | Mode::Commit, _)) => Found::Dir,
            Some((Mode::Blob | Mode::BlobExecutable, _)) => Found::File,
            Some((Mode::Link, id)) => {
                let target = self
                    .objects
                    .read(id)
                    .map_err(|error| storage(path, Box::new(error)))?;
                Found::Link(String::from_utf8_lossy(&target).into_owned())
            }
        })
    }
}

impl FileTree for GitTree {
    fn read(&self, path: &TreePath) -> Result<Option<Bytes>, TreeError> {
        let (real, found) = follow(path, |path| self.look(path))?;
        if !matches!(found, Found::File) {
            return Ok(None);
        }
        match self.at(&real)? {
            None => Ok(None),
            Some((_, id)) => self
                .objects
                .read(id)
                .map(Some)
                .map_err(|error| storage(path, Box::new(error))),
        }
    }

    fn resolve(&self, path: &TreePath) -> Result<Option<Entry>, TreeError> {
        follow(path, |path| self.look(path)).map(entry)
    }

    fn list(&self, dir: &TreePath) -> Result<Option<Vec<Entry>>, TreeError> {
        let (real, found) = follow(dir, |path| self.look(path))?;
        if !matches!(found, Found::Dir) {
            return Ok(None);
        }
        let Some((Mode::Tree, id)) = self.at(&real)? else {
            return Ok(Some(Vec::new())); // a submodule
        };
        let mut entries = Vec::new();
        for item in self.items(&real, id)?.iter() {
            let path = dir.join(&item.name)?;
            let kind = match item.mode {
                Mode::Blob | Mode::BlobExecutable => EntryKind::File,
                Mode::Tree | Mode::Commit => EntryKind::Dir,
                Mode::Link => listed(follow(&path, |path| self.look(path)))?,
            };
            entries.push(Entry { path, kind });
        }
        Ok(Some(entries))
    }
}

impl fmt::Debug for GitTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitTree")
            .field("commit", &self.commit)
            .finish_non_exhaustive()
    }
}

fn storage(path: &TreePath, source: Box<dyn std::error::Error + Send + Sync>) -> TreeError {
    TreeError::Storage {
        path: path.clone(),
        source,
    }
}
