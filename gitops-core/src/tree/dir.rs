#![expect(
    clippy::disallowed_methods,
    reason = "the one door from a tree to the file system"
)]

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::{Entry, EntryKind, FileTree, Found, Later, TreeError, TreePath, entry, follow, listed};

#[cfg(target_os = "linux")]
mod jail;

/// A directory of the file system, as a jail: no path and no symbolic link
/// leads out of it.
///
/// Every answer is read afresh; for a snapshot that cannot change under a
/// render, use a Git commit. Linux holds the directory itself open, so files
/// are those of the directory that it was, whoever takes its name. Names that
/// are not UTF-8 are not listed.
#[derive(Clone, Debug)]
pub struct DirTree {
    root: Arc<Path>,
    #[cfg(target_os = "linux")]
    jail: jail::Jail,
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
            #[cfg(target_os = "linux")]
            jail: jail::Jail::new(&root).map_err(|error| storage(&TreePath::ROOT, error))?,
            root: root.into(),
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
            return Ok(match target.strip_prefix(&*self.root) {
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

    /// Opens a file whose path, `real`, has no links in it.
    fn open_real(
        &self,
        path: &TreePath,
        real: &TreePath,
    ) -> Result<Option<std::fs::File>, TreeError> {
        match std::fs::File::open(self.root.join(real.as_str())) {
            Ok(file) => Ok(Some(file)),
            Err(error) if absent(&error) => Ok(None),
            Err(error) => Err(storage(path, error)),
        }
    }

    /// The contents of an open file, which was asked for at `path`; `None` if
    /// it is no file.
    fn contents(&self, path: &TreePath, file: std::fs::File) -> Result<Option<Bytes>, TreeError> {
        let metadata = file.metadata().map_err(|error| storage(path, error))?;
        self.contents_of(path, file, &metadata)
    }

    fn contents_of(
        &self,
        path: &TreePath,
        file: std::fs::File,
        metadata: &std::fs::Metadata,
    ) -> Result<Option<Bytes>, TreeError> {
        if !metadata.is_file() {
            return Ok(None);
        }
        let size = metadata.len();
        if size > self.file_limit {
            return Err(TreeError::TooLarge {
                path: path.clone(),
                size,
                limit: self.file_limit,
            });
        }
        let mut contents = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        // Once as much is read as there was, nobody has to ask whether that
        // was all. Some file systems know no sizes.
        let most = if size == 0 { self.file_limit } else { size };
        file.take(most)
            .read_to_end(&mut contents)
            .map_err(|error| storage(path, error))?;
        Ok(Some(Bytes::from(contents)))
    }

    /// The names in a directory, and what they are unless they are links.
    fn names_of(&self, real: &TreePath) -> std::io::Result<Vec<(String, Option<EntryKind>)>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.root.join(real.as_str()))? {
            let entry = entry?;
            let kind = entry.file_type()?;
            let kind = match (kind.is_file(), kind.is_dir()) {
                (true, _) => Some(EntryKind::File),
                (_, true) => Some(EntryKind::Dir),
                _ => None,
            };
            if let Ok(name) = entry.file_name().into_string() {
                names.push((name, kind));
            }
        }
        Ok(names)
    }
}

/// What stands at a path that has no symbolic link in it.
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "only Linux can tell in one call")
)]
enum Direct<T> {
    Found(T),
    Absent,
    /// There may be links, or something that only the long way can explain.
    Unknown,
}

#[cfg(not(target_os = "linux"))]
impl DirTree {
    fn open(&self, _: &TreePath) -> Direct<std::fs::File> {
        Direct::Unknown
    }

    fn names(&self, _: &TreePath) -> Direct<Vec<(String, Option<EntryKind>)>> {
        Direct::Unknown
    }

    fn size_of(&self, _: &TreePath) -> Option<u64> {
        None
    }
}

#[cfg(target_os = "linux")]
impl DirTree {
    fn open(&self, path: &TreePath) -> Direct<std::fs::File> {
        self.jail.open(path)
    }

    fn names(&self, dir: &TreePath) -> Direct<Vec<(String, Option<EntryKind>)>> {
        self.jail.names(dir)
    }

    fn size_of(&self, path: &TreePath) -> Option<u64> {
        self.jail.size(path)
    }
}

impl FileTree for DirTree {
    fn read(&self, path: &TreePath) -> Result<Option<Bytes>, TreeError> {
        match self.open(path) {
            Direct::Found(file) => return self.contents(path, file),
            Direct::Absent => return Ok(None),
            Direct::Unknown => {}
        }
        let (real, found) = follow(path, |path| self.look(path))?;
        if !matches!(found, Found::File) {
            return Ok(None);
        }
        match self.open_real(path, &real)? {
            Some(file) => self.contents(path, file),
            None => Ok(None),
        }
    }

    fn find(&self, path: &TreePath) -> Result<Option<(Entry, Bytes)>, TreeError> {
        let (entry, contents) = match self.open(path) {
            Direct::Found(file) => {
                let metadata = file.metadata().map_err(|error| storage(path, error))?;
                let (kind, contents) = match metadata.is_dir() {
                    true => (EntryKind::Dir, Some(Bytes::new())),
                    false => (EntryKind::File, self.contents_of(path, file, &metadata)?),
                };
                let path = path.clone();
                (Entry { path, kind }, contents)
            }
            Direct::Absent => return Ok(None),
            Direct::Unknown => {
                let Some(entry) = entry(follow(path, |path| self.look(path))?) else {
                    return Ok(None);
                };
                let contents = match entry.kind {
                    EntryKind::Dir => Some(Bytes::new()),
                    EntryKind::File => match self.open_real(path, &entry.path)? {
                        Some(file) => self.contents(path, file)?,
                        None => None,
                    },
                };
                (entry, contents)
            }
        };
        Ok(contents.map(|contents| (entry, contents)))
    }

    fn size(&self, path: &TreePath) -> Option<u64> {
        self.size_of(path).filter(|size| *size <= self.file_limit)
    }

    fn later(&self, path: &TreePath) -> Option<Later> {
        Some(Later::new(self.clone(), path.clone()))
    }

    fn resolve(&self, path: &TreePath) -> Result<Option<Entry>, TreeError> {
        follow(path, |path| self.look(path)).map(entry)
    }

    fn list(&self, dir: &TreePath) -> Result<Option<Vec<Entry>>, TreeError> {
        let names = match self.names(dir) {
            Direct::Found(names) => names,
            Direct::Absent => return Ok(None),
            Direct::Unknown => {
                let (real, found) = follow(dir, |path| self.look(path))?;
                if !matches!(found, Found::Dir) {
                    return Ok(None);
                }
                self.names_of(&real).map_err(|error| storage(dir, error))?
            }
        };
        let mut entries = Vec::with_capacity(names.len());
        for (name, kind) in names {
            let path = dir.child(&name);
            // Only a link has to be asked where it leads.
            let kind = match kind {
                Some(kind) => kind,
                None => listed(follow(&path, |path| self.look(path)))?,
            };
            entries.push(Entry { path, kind });
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
