//! Where files come from: Kustomize's file loader over a [`FileTree`].
//!
//! Each kustomization has its own root. What it may read is a matter of the
//! [`LoadRestrictor`]; what it may build on is any directory that is not the
//! root of a kustomization that leads to it, nor above one.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use gitops_core::tree::{Entry, EntryKind};
use gitops_core::{FileTree, Str, TreeError, TreePath};

use super::error::{Error, ErrorKind, Result};
use super::remote::{self, GitSource, HttpStatus, Remotes, SharedTree};
use super::{Limits, LoadRestrictor};

/// What all loaders of a build share.
pub(super) struct Session<'a> {
    pub(super) tree: &'a dyn FileTree,
    /// How the root of the tree is called in messages.
    pub(super) root_name: Str,
    pub(super) restrictor: LoadRestrictor,
    pub(super) remotes: Option<Arc<dyn Remotes>>,
    pub(super) limits: Limits,
    pub(super) fetched: RefCell<remote::Fetched>,
    /// Whether anything was asked for that may be different next time.
    pub(super) volatile: Cell<bool>,
}

/// The root of a kustomization.
#[derive(Clone)]
pub(super) struct Loader<'a> {
    session: Rc<Session<'a>>,
    tree: Files<'a>,
    /// The root's path, without symbolic links.
    pub(super) root: TreePath,
    /// Set within a repository that was fetched.
    pub(super) repository: Option<Rc<Repository>>,
    referrer: Option<Rc<Loader<'a>>>,
    depth: usize,
}

/// A repository that was fetched.
pub(super) struct Repository {
    pub(super) source: GitSource,
}

#[derive(Clone)]
enum Files<'a> {
    Own(&'a dyn FileTree),
    Fetched(SharedTree),
}

impl Files<'_> {
    fn get(&self) -> &dyn FileTree {
        match self {
            Files::Own(tree) => *tree,
            Files::Fetched(tree) => &**tree,
        }
    }
}

fn load_error(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Load, message)
}

impl<'a> Loader<'a> {
    /// The loader of the kustomization at `path`.
    pub(super) fn new(session: Session<'a>, path: &TreePath) -> Result<Self> {
        let tree = Files::Own(session.tree);
        let mut loader = Loader {
            session: Rc::new(session),
            tree,
            root: TreePath::ROOT,
            repository: None,
            referrer: None,
            depth: 0,
        };
        loader.root = loader
            .confirm_dir(path)
            .map_err(|error| error.within("must build at directory"))?;
        Ok(loader)
    }

    /// Something was asked for that may be different next time.
    pub(super) fn set_volatile(&self) {
        self.session.volatile.set(true);
    }

    pub(super) fn is_volatile(&self) -> bool {
        self.session.volatile.get()
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.session.limits
    }

    pub(super) fn tree(&self) -> &dyn FileTree {
        self.tree.get()
    }

    /// The path as messages show it.
    pub(super) fn show(&self, path: &TreePath) -> String {
        let root = match &self.repository {
            Some(repository) => repository.source.clone_name(),
            None => self.session.root_name.to_string(),
        };
        match path.is_root() {
            true if root.is_empty() => "/".to_owned(),
            true => root,
            false => format!("{root}/{path}"),
        }
    }

    /// The root as messages show it.
    pub(super) fn show_root(&self) -> String {
        self.show(&self.root)
    }

    fn resolve(&self, path: &TreePath) -> Result<Option<Entry>> {
        self.tree().resolve(path).map_err(tree_error)
    }

    /// The message of Go's `EvalSymlinks` for a path that is not there.
    fn missing(&self, path: &TreePath) -> Error {
        let mut absent = path.clone();
        while let Some(parent) = absent.parent() {
            if parent.is_root() || !matches!(self.tree().resolve(&parent), Ok(None)) {
                break;
            }
            absent = parent;
        }
        let file = matches!(
            absent.parent().map(|parent| self.tree().resolve(&parent)),
            Some(Ok(Some(Entry {
                kind: EntryKind::File,
                ..
            })))
        );
        let why = match file {
            true => "not a directory",
            false => "no such file or directory",
        };
        let absent = match file {
            true => absent.parent().unwrap_or(absent),
            false => absent,
        };
        load_error(format!(
            "evalsymlink failure on '{}' : lstat {}: {why}",
            self.show(path),
            self.show(&absent)
        ))
    }

    fn confirm_dir(&self, path: &TreePath) -> Result<TreePath> {
        match self.resolve(path)? {
            None => Err(self.missing(path).within("not a valid directory")),
            Some(entry) if entry.kind == EntryKind::Dir => Ok(entry.path),
            Some(_) => Err(load_error(format!(
                "'{}': file is not directory",
                self.show(path)
            ))),
        }
    }

    fn join(&self, path: &str) -> Result<TreePath> {
        if path.starts_with('/') {
            // An absolute path is one of the file system's; what it means in
            // the tree depends on where the tree's root is.
            let root = self.show(&TreePath::ROOT);
            let below = path
                .strip_prefix(root.trim_end_matches('/'))
                .filter(|below| below.starts_with('/'));
            return match below {
                Some(below) => {
                    TreePath::parse(below).map_err(|error| load_error(error.to_string()))
                }
                None => Err(load_error(format!(
                    "security; file '{path}' is not in or below '{}'",
                    self.show_root()
                ))),
            };
        }
        self.root.join(path).map_err(|_| {
            // Where it would be, if the tree had no root.
            let mut parts: Vec<String> = Vec::new();
            let shown = format!("{}/{path}", self.show_root());
            for part in shown.split('/') {
                match part {
                    "" | "." => {}
                    ".." => drop(parts.pop()),
                    part => parts.push(part.to_owned()),
                }
            }
            load_error(format!(
                "security; file '/{}' is not in or below '{}'",
                parts.join("/"),
                self.show_root()
            ))
        })
    }

    /// The file at `path`, which is relative to the root.
    pub(super) fn load(&self, path: &str) -> Result<Bytes> {
        self.load_at(path).map(|(bytes, _)| bytes)
    }

    /// The file at `path`, and where it was found.
    pub(super) fn load_at(&self, path: &str) -> Result<(Bytes, TreePath)> {
        if remote::is_file_url(path) {
            let bytes = self.fetch_file(path)?;
            return Ok((bytes, TreePath::default()));
        }
        let joined = self.join(path)?;
        match self.find(&joined)? {
            Some(found) => Ok(found),
            None if self.is_restricted() => Err(self.missing(&joined)),
            None => Err(load_error(format!(
                "open {}: no such file or directory",
                self.show(&joined)
            ))),
        }
    }

    fn is_restricted(&self) -> bool {
        self.repository.is_some() || self.session.restrictor == LoadRestrictor::RootOnly
    }

    /// The file in the root of that name, and where it was found.
    pub(super) fn find_in_root(&self, name: &str) -> Result<Option<(Bytes, TreePath)>> {
        self.find(&self.join(name)?)
    }

    fn find(&self, joined: &TreePath) -> Result<Option<(Bytes, TreePath)>> {
        let Some((entry, bytes)) = self.tree().find(joined).map_err(tree_error)? else {
            return Ok(None);
        };
        if self.is_restricted() {
            if entry.kind == EntryKind::Dir {
                return Err(load_error(format!(
                    "'{}' must resolve to a file",
                    self.show(joined)
                )));
            }
            let dir = entry.path.parent().unwrap_or_default();
            if dir.below(&self.root).is_none() {
                return Err(load_error(format!(
                    "security; file '{}' is not in or below '{}'",
                    self.show(joined),
                    self.show_root()
                )));
            }
        } else if entry.kind == EntryKind::Dir {
            return Err(load_error(format!(
                "read {}: is a directory",
                self.show(joined)
            )));
        }
        let limit = self.limits().file_size;
        if bytes.len() as u64 > limit {
            return Err(Error::new(
                ErrorKind::Limit,
                format!(
                    "{}: {} bytes, more than the limit of {limit}",
                    self.show(joined),
                    bytes.len()
                ),
            ));
        }
        Ok(Some((bytes, entry.path)))
    }

    fn fetch_file(&self, url: &str) -> Result<Bytes> {
        let mut fetched = self.session.fetched.borrow_mut();
        if let Some(known) = fetched.files.get(url) {
            return Ok(known.clone());
        }
        let remotes = self.remotes(url)?;
        let bytes = remotes.file(url).map_err(|error| {
            if !error.is::<HttpStatus>() {
                return Error::new(ErrorKind::Remote, error.to_string());
            }
            match GitSource::parse(url) {
                Ok(_) => Error::new(ErrorKind::Remote, "URL is a git repository"),
                Err(_) => Error::new(ErrorKind::Remote, error.to_string()).final_word(),
            }
        })?;
        let limit = self.limits().file_size;
        if bytes.len() as u64 > limit {
            return Err(Error::new(
                ErrorKind::Limit,
                format!(
                    "{url}: {} bytes, more than the limit of {limit}",
                    bytes.len()
                ),
            ));
        }
        fetched.files.insert(url.into(), bytes.clone());
        Ok(bytes)
    }

    fn remotes(&self, what: &str) -> Result<Arc<dyn Remotes>> {
        self.set_volatile();
        self.session.remotes.clone().ok_or_else(|| {
            Error::new(
                ErrorKind::Remote,
                format!("{what}: this build reads nothing but its own files"),
            )
        })
    }

    /// The loader of another kustomization: a directory or a repository.
    pub(super) fn descend(&self, path: &str) -> Result<Loader<'a>> {
        if path.is_empty() {
            return Err(load_error("new root cannot be empty"));
        }
        if self.depth >= self.limits().depth {
            return Err(Error::new(
                ErrorKind::Limit,
                format!(
                    "{}: more than {} kustomizations within each other",
                    self.show_root(),
                    self.limits().depth
                ),
            ));
        }
        if let Ok(source) = GitSource::parse(path) {
            return self.clone_repository(source);
        }
        if path.starts_with('/') {
            return Err(load_error(format!("new root '{path}' cannot be absolute")));
        }
        let not_a_directory = |error: Error| error.within("must build at directory");
        let joined = self.root.join(path).map_err(|_| {
            let repository = match &self.repository {
                None => "the repository".to_owned(),
                Some(_) => format!("'{}'", self.show(&TreePath::ROOT)),
            };
            load_error(format!(
                "security; base '{}/{path}' is outside {repository}",
                self.show_root()
            ))
        })?;
        let root = self.confirm_dir(&joined).map_err(not_a_directory)?;
        let mut visited = Some(self);
        while let Some(loader) = visited {
            let same_tree = match (&loader.repository, &self.repository) {
                (None, None) => true,
                (Some(a), Some(b)) => Rc::ptr_eq(a, b),
                _ => false,
            };
            if same_tree && loader.root.below(&root).is_some() {
                return Err(load_error(format!(
                    "cycle detected: candidate root '{}' contains visited root '{}'",
                    self.show(&root),
                    loader.show_root()
                )));
            }
            visited = loader.referrer.as_deref();
        }
        Ok(Loader {
            root,
            referrer: Some(Rc::new(self.clone())),
            depth: self.depth + 1,
            ..self.clone()
        })
    }

    fn clone_repository(&self, source: GitSource) -> Result<Loader<'a>> {
        let mut visited = Some(self);
        while let Some(loader) = visited {
            if let Some(repository) = &loader.repository
                && repository.source.raw.starts_with(source.raw.as_str())
            {
                return Err(load_error(format!(
                    "cycle detected: URI '{}' referenced by previous URI '{}'",
                    source.raw, repository.source.raw
                )));
            }
            visited = loader.referrer.as_deref();
        }
        let key = (source.clone_spec(), source.reference.clone());
        let known = self.session.fetched.borrow().trees.get(&key).cloned();
        let tree = match known {
            Some(tree) => tree,
            None => {
                let remotes = self.remotes(&source.raw)?;
                let tree = remotes
                    .repository(&source)
                    .map_err(|error| Error::new(ErrorKind::Remote, error.to_string()))?;
                let mut fetched = self.session.fetched.borrow_mut();
                fetched.trees.insert(key, tree.clone());
                tree
            }
        };
        let path = TreePath::parse(&source.path).map_err(|error| load_error(error.to_string()))?;
        let shown = source.clone_name();
        let mut loader = Loader {
            session: self.session.clone(),
            tree: Files::Fetched(tree),
            root: TreePath::ROOT,
            repository: Some(Rc::new(Repository { source })),
            referrer: Some(Rc::new(self.clone())),
            depth: self.depth + 1,
        };
        loader.root = match loader.resolve(&path)? {
            Some(entry) if entry.kind == EntryKind::Dir => entry.path,
            Some(_) => {
                return Err(load_error(format!(
                    "'{shown}/{path}' refers to file '{}'; expecting directory",
                    path.file_name()
                )));
            }
            None => return Err(loader.missing(&path)),
        };
        Ok(loader)
    }
}

fn tree_error(error: TreeError) -> Error {
    let kind = match error {
        TreeError::TooLarge { .. } => ErrorKind::Limit,
        _ => ErrorKind::Load,
    };
    let message = match &error {
        TreeError::Storage { path, source } => format!("{path}: {source}"),
        error => format!("security; {error}"),
    };
    Error::new(kind, message)
}
