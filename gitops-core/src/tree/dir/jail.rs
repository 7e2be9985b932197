//! Paths without symbolic links, opened below a directory in one call.
//!
//! Linux itself then sees to it that nothing leads out, also if somebody
//! replaces a directory by a link meanwhile.

use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RawDir, ResolveFlags, openat, openat2, statat,
};
use rustix::io::Errno;

use super::Direct;
use crate::tree::{EntryKind, TreePath};

/// An open directory that no path leads out of.
#[derive(Clone, Debug)]
pub(super) struct Jail(Arc<OwnedFd>);

impl Jail {
    pub(super) fn new(root: &Path) -> std::io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, root, flags, Mode::empty())?;
        Ok(Jail(Arc::new(root)))
    }

    /// What stands at a path, whatever it is.
    pub(super) fn open(&self, path: &TreePath) -> Direct<File> {
        match self.find(path, OFlags::empty()) {
            Direct::Found(found) => Direct::Found(found.into()),
            Direct::Absent => Direct::Absent,
            Direct::Unknown => Direct::Unknown,
        }
    }

    /// The names in a directory, and what they are unless they are links.
    pub(super) fn names(&self, dir: &TreePath) -> Direct<Vec<(String, Option<EntryKind>)>> {
        let found = match self.find(dir, OFlags::DIRECTORY) {
            Direct::Found(found) => found,
            Direct::Absent => return Direct::Absent,
            Direct::Unknown => return Direct::Unknown,
        };
        // Room for most directories, so that they are read in one call.
        let mut buffer = [MaybeUninit::uninit(); 8 << 10];
        let mut entries = RawDir::new(found, &mut buffer);
        let mut names = Vec::new();
        while let Some(entry) = entries.next() {
            let Ok(entry) = entry else {
                return Direct::Unknown;
            };
            let kind = match entry.file_type() {
                FileType::RegularFile => Some(EntryKind::File),
                FileType::Directory => Some(EntryKind::Dir),
                _ => None,
            };
            match entry.file_name().to_str() {
                Ok("." | "..") | Err(_) => {}
                Ok(name) => names.push((name.to_owned(), kind)),
            }
        }
        Direct::Found(names)
    }

    /// How large a file is, if one stands there itself. It is not opened: a link
    /// on the way may lead to a file elsewhere, which nobody can read by it.
    pub(super) fn size(&self, path: &TreePath) -> Option<u64> {
        let stat = statat(&self.0, path.as_str(), AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        is_file.then_some(stat.st_size.cast_unsigned())
    }

    fn find(&self, path: &TreePath, flags: OFlags) -> Direct<OwnedFd> {
        let path = if path.is_root() { "." } else { path.as_str() };
        // To open a pipe does not wait for somebody to write into it.
        let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match openat2(&self.0, path, flags, Mode::empty(), inside) {
            Ok(found) => Direct::Found(found),
            Err(Errno::NOENT | Errno::NOTDIR) => Direct::Absent,
            Err(_) => Direct::Unknown,
        }
    }
}
