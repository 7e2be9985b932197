#![expect(
    clippy::disallowed_methods,
    reason = "the one door from a tree to the file system"
)]

use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{Entry, EntryKind, FileTree, Found, TreeError, TreePath, entry, follow, listed};

/// A directory of the file system, as a jail: no path and no symbolic link
/// leads out of it.
///
/// Every answer is read afresh; for a snapshot that cannot change under a
/// render, use a Git commit. Names that are not UTF-8 are not listed.
#[derive(Clone, Debug)]
pub struct DirTree {
    root: PathBuf,
    file_limit: u64,
}

impl DirTree {
    /// The tree below `root`, which must be a directory.
    ///
    /// # Errors
    ///
    /// [`TreeError::Storage`] if it is not, or cannot be opened.
    pub fn new(root: impl AsRef<Path>) -> Result<Self, TreeError> {
        let open = |path: &Path| {
            let root = path.canonicalize()?;
            std::fs::read_dir(&root).map(|_| root)
        };
        let root = open(root.as_ref()).map_err(|source| TreeError::Storage {
            path: TreePath::ROOT,
            source: source.into(),
        })?;
        Ok(DirTree {
            root,
            file_limit: u64::MAX,
        })
    }

    /// The same tree, refusing files of more than `bytes` bytes.
    #[must_use]
    pub fn with_file_limit(self, bytes: u64) -> Self {
        DirTree {
            file_limit: bytes,
            ..self
        }
    }

    fn look(&self, path: &TreePath) -> Result<Found, TreeError> {
        let on_disk = self.root.join(path.as_str());
        let metadata = match std::fs::symlink_metadata(&on_disk) {
            Ok(metadata) => metadata,
            Err(error) if absent(&error) => return Ok(Found::Absent),
            Err(error) => return Err(storage(path, error)),
        };
        if metadata.is_symlink() {
            let target = std::fs::read_link(&on_disk).map_err(|error| storage(path, error))?;
            return Ok(match target.strip_prefix(&self.root) {
                Ok(inside) => Found::LinkFromRoot(inside.to_string_lossy().into_owned()),
                Err(_) => Found::Link(target.to_string_lossy().into_owned()),
            });
        }
        Ok(if metadata.is_dir() {
            Found::Dir
        } else if metadata.is_file() {
            Found::File
        } else {
            // Sockets and devices are nobody's manifest; reading one may hang.
            Found::Absent
        })
    }

    /// What the file at `real` holds, which was asked for at `path`.
    fn contents(&self, path: &TreePath, real: &TreePath) -> Result<Option<Bytes>, TreeError> {
        let read = || {
            let file = std::fs::File::open(self.root.join(real.as_str()))?;
            let size = file.metadata()?.len();
            if size > self.file_limit {
                return Ok(Err(size));
            }
            let mut contents = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
            file.take(self.file_limit).read_to_end(&mut contents)?;
            Ok(Ok(Bytes::from(contents)))
        };
        match read() {
            Ok(Ok(contents)) => Ok(Some(contents)),
            Ok(Err(size)) => Err(TreeError::TooLarge {
                path: path.clone(),
                size,
                limit: self.file_limit,
            }),
            Err(error) if absent(&error) => Ok(None),
            Err(error) => Err(storage(path, error)),
        }
    }
}

impl FileTree for DirTree {
    fn read(&self, path: &TreePath) -> Result<Option<Bytes>, TreeError> {
        let (real, found) = follow(path, |path| self.look(path))?;
        match found {
            Found::File => self.contents(path, &real),
            _ => Ok(None),
        }
    }

    fn find(&self, path: &TreePath) -> Result<Option<(Entry, Bytes)>, TreeError> {
        let Some(entry) = entry(follow(path, |path| self.look(path))?) else {
            return Ok(None);
        };
        let contents = match entry.kind {
            EntryKind::File => self.contents(path, &entry.path)?,
            EntryKind::Dir => Some(Bytes::new()),
        };
        Ok(contents.map(|contents| (entry, contents)))
    }

    fn resolve(&self, path: &TreePath) -> Result<Option<Entry>, TreeError> {
        follow(path, |path| self.look(path)).map(entry)
    }

    fn list(&self, dir: &TreePath) -> Result<Option<Vec<Entry>>, TreeError> {
        let (real, found) = follow(dir, |path| self.look(path))?;
        if !matches!(found, Found::Dir) {
            return Ok(None);
        }
        let names = std::fs::read_dir(self.root.join(real.as_str()))
            .and_then(|entries| {
                entries
                    .map(|entry| {
                        let entry = entry?;
                        Ok((entry.file_name().into_string(), entry.file_type()?))
                    })
                    .collect::<std::io::Result<Vec<_>>>()
            })
            .map_err(|error| storage(dir, error))?;
        let mut entries = Vec::with_capacity(names.len());
        for (name, kind) in names {
            let Ok(name) = name else { continue };
            let path = dir.join(&name)?;
            // Only a link has to be asked where it leads.
            let kind = if kind.is_file() {
                Some(EntryKind::File)
            } else if kind.is_dir() {
                Some(EntryKind::Dir)
            } else {
                listed(follow(&path, |path| self.look(path)))?
            };
            entries.extend(kind.map(|kind| Entry { path, kind }));
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Some(entries))
    }
}

fn absent(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
    )
}

fn storage(path: &TreePath, error: std::io::Error) -> TreeError {
    TreeError::Storage {
        path: path.clone(),
        source: error.into(),
    }
}
