use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Entry, EntryKind, FileTree, TreeError, TreePath};
use crate::Str;

/// Files held in memory: for tests, for embedders that already have them.
///
/// Directories exist as far as files do; there are no empty ones and no
/// symbolic links.
///
/// ```
/// use gitops_core::tree::{FileTree, MemoryTree, TreePath};
/// let tree: MemoryTree = [("app/cm.yaml", "kind: ConfigMap")].try_into()?;
/// assert!(tree.read(&TreePath::parse("app/cm.yaml")?)?.is_some());
/// assert!(tree.read(&TreePath::parse("app/gone.yaml")?)?.is_none());
/// # Ok::<(), gitops_core::TreeError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryTree {
    // Sorted by components, so that a directory is one contiguous range.
    files: BTreeMap<Vec<Str>, Bytes>,
}

impl MemoryTree {
    /// An empty tree.
    pub fn new() -> Self {
        MemoryTree::default()
    }

    /// Adds a file or replaces it.
    pub fn insert(&mut self, path: &TreePath, contents: impl Into<Bytes>) {
        self.files.insert(components(path), contents.into());
    }

    /// Removes a file; whether it was there.
    pub fn remove(&mut self, path: &TreePath) -> bool {
        self.files.remove(&components(path)).is_some()
    }
}

impl<P: AsRef<str>, C: Into<Bytes>, const N: usize> TryFrom<[(P, C); N]> for MemoryTree {
    type Error = TreeError;

    fn try_from(files: [(P, C); N]) -> Result<Self, TreeError> {
        let mut tree = MemoryTree::new();
        for (path, contents) in files {
            tree.insert(&TreePath::parse(path.as_ref())?, contents);
        }
        Ok(tree)
    }
}

impl FileTree for MemoryTree {
    fn read(&self, path: &TreePath) -> Result<Option<Bytes>, TreeError> {
        Ok(self.files.get(&components(path)).cloned())
    }

    fn list(&self, dir: &TreePath) -> Result<Option<Vec<Entry>>, TreeError> {
        let prefix = components(dir);
        let mut entries: Vec<Entry> = Vec::new();
        for (path, _) in self.files.range(prefix.clone()..) {
            let Some(rest) = path.strip_prefix(prefix.as_slice()) else {
                break;
            };
            let Some(name) = rest.first() else {
                continue; // a file of the directory's own name
            };
            if entries
                .last()
                .is_some_and(|last| last.path.file_name() == name)
            {
                continue;
            }
            entries.push(Entry {
                path: dir.join(name)?,
                kind: if rest.len() == 1 {
                    EntryKind::File
                } else {
                    EntryKind::Dir
                },
            });
        }
        Ok((!entries.is_empty() || dir.is_root()).then_some(entries))
    }
}

fn components(path: &TreePath) -> Vec<Str> {
    path.as_str()
        .split('/')
        .filter(|part| !part.is_empty())
        .map(Str::from)
        .collect()
}
