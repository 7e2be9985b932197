//! Writes commits, for demonstrations: the libraries themselves only read.

use std::path::{Path, PathBuf};

use gitops_core::git::{CommitId, RemoteOptions, Repository};
use gix::objs::tree::EntryKind;

/// Why a commit could not be written.
pub type WriteError = Box<dyn std::error::Error + Send + Sync>;

/// Somebody who commits to a repository.
#[derive(Debug)]
pub struct Author {
    path: PathBuf,
}

impl Author {
    /// Makes an empty repository at `path` that knows `url` as its origin.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub fn init(path: &Path, url: &str) -> Result<Self, WriteError> {
        let repository = gix::init_bare(path)?;
        let mut config = std::fs::OpenOptions::new()
            .append(true)
            .open(repository.path().join("config"))?;
        use std::io::Write as _;
        writeln!(
            config,
            "[remote \"origin\"]\n\turl = {url}\n[user]\n\tname = Platform Team\n\temail = \
             platform@acme.example"
        )?;
        Ok(Author {
            path: path.to_owned(),
        })
    }

    /// Commits every file below a directory.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or the commit not be written.
    pub fn import(&self, directory: &Path, message: &str) -> Result<CommitId, WriteError> {
        let mut files = Vec::new();
        let mut pending = vec![directory.to_owned()];
        while let Some(dir) = pending.pop() {
            for entry in std::fs::read_dir(&dir)? {
                let path = entry?.path();
                if path.is_dir() {
                    pending.push(path);
                } else {
                    let name = path.strip_prefix(directory)?.to_string_lossy().into_owned();
                    files.push((name, Some(std::fs::read(&path)?)));
                }
            }
        }
        self.commit(files, message)
    }

    /// Replaces one text in one file, and commits that.
    ///
    /// # Errors
    ///
    /// If the file does not hold the text.
    pub fn edit(
        &self,
        file: &str,
        from: &str,
        to: &str,
        message: &str,
    ) -> Result<CommitId, WriteError> {
        let repository = gix::open(&self.path)?;
        let tree = repository.head_tree()?;
        let entry = tree
            .lookup_entry_by_path(file)?
            .ok_or_else(|| format!("{file}: no such file"))?;
        let text = String::from_utf8(entry.object()?.detach().data)?;
        if !text.contains(from) {
            return Err(format!("{file}: does not hold {from:?}").into());
        }
        let text = text.replace(from, to).into_bytes();
        self.commit(vec![(file.to_owned(), Some(text))], message)
    }

    /// Removes one file, and commits that.
    ///
    /// # Errors
    ///
    /// If the commit cannot be written.
    pub fn remove(&self, file: &str, message: &str) -> Result<CommitId, WriteError> {
        self.commit(vec![(file.to_owned(), None)], message)
    }

    /// Adds or replaces one file, and commits that.
    ///
    /// # Errors
    ///
    /// If the commit cannot be written.
    pub fn write(&self, file: &str, text: &str, message: &str) -> Result<CommitId, WriteError> {
        let text = text.as_bytes().to_vec();
        self.commit(vec![(file.to_owned(), Some(text))], message)
    }

    /// Commits the files as they were before `commit`, which must be the last
    /// one.
    ///
    /// # Errors
    ///
    /// If it is not, or has no parent.
    pub fn revert(&self, commit: &CommitId) -> Result<CommitId, WriteError> {
        let repository = gix::open(&self.path)?;
        let head = repository.head_commit()?;
        if head.id() != commit.as_str() {
            return Err("only the last commit can be reverted here".into());
        }
        let title = head.message()?.title.to_string();
        let parent = head.parent_ids().next().ok_or("the first commit")?;
        let tree = parent.object()?.into_commit().tree_id()?.detach();
        let message = format!("Revert \"{}\"", title.trim());
        let id = repository.commit("HEAD", &message, tree, [head.id])?;
        self.id(&id.to_string())
    }

    /// How many files the last commit has.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn file_count(&self) -> Result<usize, WriteError> {
        let repository = gix::open(&self.path)?;
        let files = repository.head_tree()?.traverse().breadthfirst.files()?;
        Ok(files.iter().filter(|entry| entry.mode.is_blob()).count())
    }

    fn commit(
        &self,
        files: Vec<(String, Option<Vec<u8>>)>,
        message: &str,
    ) -> Result<CommitId, WriteError> {
        let repository = gix::open(&self.path)?;
        let head = repository.head_id().ok().map(|id| id.detach());
        let tree = match head {
            Some(_) => repository.head_tree_id()?.detach(),
            None => repository.empty_tree().id,
        };
        let mut editor = repository.edit_tree(tree)?;
        for (name, contents) in files {
            match contents {
                Some(contents) => {
                    let blob = repository.write_blob(contents)?;
                    editor.upsert(name, EntryKind::Blob, blob.detach())?;
                }
                None => {
                    editor.remove(name)?;
                }
            }
        }
        let tree = editor.write()?.detach();
        let id = repository.commit("HEAD", message, tree, head)?;
        self.id(&id.to_string())
    }

    fn id(&self, text: &str) -> Result<CommitId, WriteError> {
        let location = self.path.to_string_lossy().into_owned();
        let repository = Repository::open(&location, &RemoteOptions::default())?;
        Ok(repository.resolve(text)?)
    }
}
