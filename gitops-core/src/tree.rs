//! A read-only snapshot of files, wherever they are kept.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::Str;

mod dir;
#[cfg(feature = "git")]
mod git;
mod memory;

pub use dir::DirTree;
#[cfg(feature = "git")]
pub use git::GitTree;
pub use memory::MemoryTree;

/// A read-only snapshot of files: a commit, a directory, a map in memory.
///
/// Absence is an answer, not an error: a render that looked for a file and
/// found none depends on that file staying absent.
pub trait FileTree {
    /// The contents of the file at `path`; `None` if there is no file, also if
    /// `path` is a directory. Symbolic links are followed within the tree.
    fn read(&self, path: &TreePath) -> Result<Option<Bytes>, TreeError>;

    /// The entries directly below `dir`, sorted by the bytes of their names;
    /// `None` if there is no such directory. A symbolic link is listed as what
    /// it points at; one that leads nowhere as a file, which nobody finds when
    /// it is read.
    fn list(&self, dir: &TreePath) -> Result<Option<Vec<Entry>>, TreeError>;

    /// What stands at `path`, and its path without symbolic links; `None` if
    /// nothing does.
    ///
    /// Trees without links need not implement it.
    fn resolve(&self, path: &TreePath) -> Result<Option<Entry>, TreeError> {
        let kind = if self.read(path)?.is_some() {
            EntryKind::File
        } else if self.list(path)?.is_some() {
            EntryKind::Dir
        } else {
            return Ok(None);
        };
        Ok(Some(Entry {
            path: path.clone(),
            kind,
        }))
    }

    /// What [`resolve`](FileTree::resolve) answers, with the contents of a
    /// file; those of a directory are empty.
    ///
    /// Trees for which both together cost less than one after the other
    /// implement it.
    fn find(&self, path: &TreePath) -> Result<Option<(Entry, Bytes)>, TreeError> {
        let Some(entry) = self.resolve(path)? else {
            return Ok(None);
        };
        if entry.kind == EntryKind::Dir {
            return Ok(Some((entry, Bytes::new())));
        }
        let contents = self.read(&entry.path)?;
        Ok(contents.map(|contents| (entry, contents)))
    }

    /// How many bytes the file at `path` has; `None` if [`read`](FileTree::read)
    /// has to tell what there is.
    ///
    /// Trees for which it costs less than reading implement it.
    fn size(&self, path: &TreePath) -> Option<u64> {
        let _ = path;
        None
    }

    /// What may stand at `path`, for who may never read it, or on another thread.
    /// The tree is not asked for it yet.
    ///
    /// Trees that any thread can read implement it.
    fn later(&self, path: &TreePath) -> Option<Later> {
        let _ = path;
        None
    }
}

/// A path in a tree, for when somebody asks for the file there.
#[derive(Clone)]
pub struct Later {
    tree: Arc<dyn FileTree + Send + Sync>,
    path: TreePath,
}

impl Later {
    /// A path in a tree.
    pub fn new(tree: impl FileTree + Send + Sync + 'static, path: TreePath) -> Self {
        let tree = Arc::new(tree);
        Later { tree, path }
    }

    /// Where the file is.
    pub fn path(&self) -> &TreePath {
        &self.path
    }

    /// How many bytes it has, as [`FileTree::size`] says.
    pub fn size(&self) -> Option<u64> {
        self.tree.size(&self.path)
    }

    /// Its contents, as [`FileTree::read`] has them.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn read(&self) -> Result<Option<Bytes>, TreeError> {
        self.tree.read(&self.path)
    }
}

impl fmt::Debug for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Later")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl<T: FileTree + ?Sized> FileTree for &T {
    fn read(&self, path: &TreePath) -> Result<Option<Bytes>, TreeError> {
        (**self).read(path)
    }

    fn list(&self, dir: &TreePath) -> Result<Option<Vec<Entry>>, TreeError> {
        (**self).list(dir)
    }

    fn resolve(&self, path: &TreePath) -> Result<Option<Entry>, TreeError> {
        (**self).resolve(path)
    }

    fn find(&self, path: &TreePath) -> Result<Option<(Entry, Bytes)>, TreeError> {
        (**self).find(path)
    }

    fn size(&self, path: &TreePath) -> Option<u64> {
        (**self).size(path)
    }

    fn later(&self, path: &TreePath) -> Option<Later> {
        (**self).later(path)
    }
}

impl<T: FileTree + ?Sized> FileTree for Arc<T> {
    fn read(&self, path: &TreePath) -> Result<Option<Bytes>, TreeError> {
        (**self).read(path)
    }

    fn list(&self, dir: &TreePath) -> Result<Option<Vec<Entry>>, TreeError> {
        (**self).list(dir)
    }

    fn resolve(&self, path: &TreePath) -> Result<Option<Entry>, TreeError> {
        (**self).resolve(path)
    }

    fn find(&self, path: &TreePath) -> Result<Option<(Entry, Bytes)>, TreeError> {
        (**self).find(path)
    }

    fn size(&self, path: &TreePath) -> Option<u64> {
        (**self).size(path)
    }

    fn later(&self, path: &TreePath) -> Option<Later> {
        (**self).later(path)
    }
}

impl<T: FileTree + ?Sized> FileTree for Box<T> {
    fn read(&self, path: &TreePath) -> Result<Option<Bytes>, TreeError> {
        (**self).read(path)
    }

    fn list(&self, dir: &TreePath) -> Result<Option<Vec<Entry>>, TreeError> {
        (**self).list(dir)
    }

    fn resolve(&self, path: &TreePath) -> Result<Option<Entry>, TreeError> {
        (**self).resolve(path)
    }

    fn find(&self, path: &TreePath) -> Result<Option<(Entry, Bytes)>, TreeError> {
        (**self).find(path)
    }

    fn size(&self, path: &TreePath) -> Option<u64> {
        (**self).size(path)
    }

    fn later(&self, path: &TreePath) -> Option<Later> {
        (**self).later(path)
    }
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The whole path from the root of the tree.
    pub path: TreePath,
    /// Whether it is a file or a directory.
    pub kind: EntryKind,
}

/// What an [`Entry`] is, symbolic links followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A file.
    File,
    /// A directory; in Git also an empty submodule.
    Dir,
}

/// Every file below `dir`, depth first, each directory in byte order of its
/// names; empty if there is no such directory.
///
/// # Errors
///
/// Whatever the tree's own `list` fails with.
pub fn walk(tree: &(impl FileTree + ?Sized), dir: &TreePath) -> Result<Vec<TreePath>, TreeError> {
    let mut files = Vec::new();
    let mut pending: Vec<Entry> = tree.list(dir)?.unwrap_or_default();
    pending.reverse();
    while let Some(entry) = pending.pop() {
        match entry.kind {
            EntryKind::File => files.push(entry.path),
            EntryKind::Dir => {
                let below = tree.list(&entry.path)?.unwrap_or_default();
                pending.extend(below.into_iter().rev());
            }
        }
    }
    Ok(files)
}

/// A path inside a [`FileTree`]: relative, `/`-separated, with no empty, `.`
/// or `..` component. The root is the empty path.
///
/// Such a path cannot leave its tree, so nobody below has to check again.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath(Str);

impl TreePath {
    /// The root of the tree.
    pub const ROOT: TreePath = TreePath(Str::new());

    /// Normalises `path`, which is taken from the root even if it starts with
    /// a slash.
    ///
    /// # Errors
    ///
    /// [`LeavesTree`] if `..` climbs above the root, or if the path holds a
    /// NUL.
    ///
    /// ```
    /// use gitops_core::TreePath;
    /// assert_eq!(TreePath::parse("/a/./b/../c/")?.as_str(), "a/c");
    /// assert!(TreePath::parse("a/../../b").is_err());
    /// # Ok::<(), gitops_core::tree::LeavesTree>(())
    /// ```
    pub fn parse(path: &str) -> Result<Self, LeavesTree> {
        TreePath::ROOT.join(path)
    }

    /// Follows `path` from here, or from the root if it starts with a slash.
    ///
    /// # Errors
    ///
    /// [`LeavesTree`] as for [`parse`](TreePath::parse).
    pub fn join(&self, path: &str) -> Result<Self, LeavesTree> {
        let leaves = || LeavesTree {
            path: path.into(),
            from: self.clone(),
        };
        if path.contains('\0') {
            return Err(leaves());
        }
        let start = if path.starts_with('/') { "" } else { &*self.0 };
        let mut parts: Vec<&str> = start.split('/').filter(|part| !part.is_empty()).collect();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop().ok_or_else(leaves)?;
                }
                name => parts.push(name),
            }
        }
        Ok(TreePath(parts.join("/").into()))
    }

    /// What is called `name` directly below; `name` is one component.
    fn child(&self, name: &str) -> TreePath {
        if self.is_root() {
            return TreePath(name.into());
        }
        let mut path = Str::with_capacity(self.0.len() + 1 + name.len());
        path.push_str(&self.0);
        path.push('/');
        path.push_str(name);
        TreePath(path)
    }

    /// The path as text; empty for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the root of the tree.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The last component; empty for the root.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The directory that holds this path; `None` for the root.
    pub fn parent(&self) -> Option<TreePath> {
        if self.is_root() {
            return None;
        }
        let parent = self.0.rsplit_once('/').map_or("", |(parent, _)| parent);
        Some(TreePath(parent.into()))
    }

    /// What remains after `dir` and a slash, if this path is `dir` or below.
    pub fn below(&self, dir: &TreePath) -> Option<&str> {
        if dir.is_root() {
            return Some(&self.0);
        }
        let rest = self.0.strip_prefix(dir.as_str())?;
        if rest.is_empty() {
            return Some(rest);
        }
        rest.strip_prefix('/')
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_root() { "." } else { &self.0 })
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// A path climbs above the root of its tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("path {path:?} leaves the repository (followed from {from})")]
pub struct LeavesTree {
    /// The path as it was written.
    pub path: Str,
    /// Where it was followed from.
    pub from: TreePath,
}

/// Why a tree could not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// A path, or a symbolic link met on the way, leads out of the tree.
    #[error("{path}: leads out of the repository, to {target:?}")]
    Escapes {
        /// The path that was asked for.
        path: TreePath,
        /// Where it leads.
        target: Str,
    },
    /// A path was written that cannot be inside the tree.
    #[error(transparent)]
    Leaves(#[from] LeavesTree),
    /// Symbolic links point at each other.
    #[error("{path}: too many symbolic links")]
    LinkLoop {
        /// The path that was asked for.
        path: TreePath,
    },
    /// A file is larger than its reader allows.
    #[error("{path}: {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// The file.
        path: TreePath,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The storage behind the tree failed.
    #[error("{path}: cannot be read")]
    Storage {
        /// The path that was asked for.
        path: TreePath,
        /// What the storage said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What stands at a path before symbolic links are followed.
enum Found {
    Absent,
    File,
    Dir,
    /// A link whose target is taken from where the link stands.
    Link(String),
    /// A link whose target is taken from the root of the tree.
    LinkFromRoot(String),
}

/// What was reached by following links, as an entry.
fn entry((path, found): (TreePath, Found)) -> Option<Entry> {
    let kind = match found {
        Found::File => EntryKind::File,
        Found::Dir => EntryKind::Dir,
        Found::Absent | Found::Link(_) | Found::LinkFromRoot(_) => return None,
    };
    Some(Entry { path, kind })
}

/// How a listing shows what a name leads to.
///
/// A link that leads nowhere good is shown as a file: whoever reads it learns
/// why, and whoever does not is not stopped.
fn listed(followed: Result<(TreePath, Found), TreeError>) -> Result<EntryKind, TreeError> {
    match followed {
        Ok((_, Found::Dir)) => Ok(EntryKind::Dir),
        Ok(_) | Err(TreeError::Escapes { .. } | TreeError::LinkLoop { .. }) => Ok(EntryKind::File),
        Err(error) => Err(error),
    }
}

/// Follows the symbolic links on the way to `path`, inside the tree.
///
/// `look` says what stands at a path whose parents hold no links. The answer
/// is a path without links, with what stands there.
fn follow(
    path: &TreePath,
    mut look: impl FnMut(&TreePath) -> Result<Found, TreeError>,
) -> Result<(TreePath, Found), TreeError> {
    // As many as Linux follows.
    const MOST_LINKS: usize = 40;
    let mut pending: Vec<Str> = path.as_str().split('/').rev().map(Str::from).collect();
    let mut reached = TreePath::ROOT;
    let mut links = 0;
    let mut found = Found::Dir;
    while let Some(name) = pending.pop() {
        match name.as_str() {
            "" | "." => continue,
            ".." => {
                reached = reached.parent().ok_or_else(|| TreeError::Escapes {
                    path: path.clone(),
                    target: "..".into(),
                })?;
                found = Found::Dir;
                continue;
            }
            _ => {}
        }
        if !matches!(found, Found::Dir) {
            return Ok((path.clone(), Found::Absent));
        }
        let next = reached.child(&name);
        found = look(&next)?;
        let (target, start) = match &found {
            Found::Link(target) => (target, None),
            Found::LinkFromRoot(target) => (target, Some(TreePath::ROOT)),
            _ => {
                reached = next;
                continue;
            }
        };
        links += 1;
        if links > MOST_LINKS {
            return Err(TreeError::LinkLoop { path: path.clone() });
        }
        if target.starts_with('/') {
            return Err(TreeError::Escapes {
                path: path.clone(),
                target: target.as_str().into(),
            });
        }
        pending.extend(target.split('/').rev().map(Str::from));
        reached = start.unwrap_or(reached);
        found = Found::Dir;
    }
    Ok((reached, found))
}
