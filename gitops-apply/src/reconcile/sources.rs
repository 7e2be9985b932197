//! The repositories that applications name, and where they are found.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use gitops_core::git::{CommitId, GitError, RemoteOptions, Repository};
use gitops_core::http::{self, HttpError, HttpLimits};
use gitops_core::tree::{DirTree, TreeError};
use gitops_core::{FileTree, Str};
use gitops_render::kustomize::{GitSource, HttpStatus, RemoteError, Remotes, SharedTree};

/// The repositories that applications name by URL.
///
/// A URL can be mapped to a place on this machine, and a revision can be
/// prescribed for it. URLs are compared by what they name: scheme, user,
/// a final `.git` and the difference between `git@host:path` and
/// `https://host/path` do not count.
#[derive(Clone, Debug, Default)]
pub struct Repositories {
    remote: RemoteOptions,
    places: BTreeMap<String, String>,
    revisions: BTreeMap<String, Str>,
    /// Shared with clones.
    opened: Arc<Mutex<BTreeMap<String, Repository>>>,
}

/// The files of one source at one moment.
#[derive(Clone)]
pub struct Snapshot {
    /// The commit; a directory that is no repository has none.
    pub commit: Option<CommitId>,
    /// When it was committed, in seconds since 1970; 0 for a directory.
    pub time: i64,
    /// The files.
    pub tree: Arc<dyn FileTree + Send + Sync>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("commit", &self.commit)
            .finish_non_exhaustive()
    }
}

impl Snapshot {
    /// The commit's id, or `local` for a directory.
    pub fn revision(&self) -> Str {
        match &self.commit {
            Some(commit) => commit.as_str().into(),
            None => "local".into(),
        }
    }
}

/// Why the files of a source could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The repository or the revision.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A directory that stands for a repository.
    #[error("{place}: mapped, but not a directory that can be read")]
    Directory {
        /// The path.
        place: String,
        /// What is wrong with it.
        #[source]
        source: TreeError,
    },
}

impl Repositories {
    /// Nothing is mapped; remotes are spoken to as `remote` says.
    pub fn new(remote: RemoteOptions) -> Self {
        Repositories {
            remote,
            ..Repositories::default()
        }
    }

    /// Finds `url` at `place`: a repository, or a plain directory.
    pub fn map(&mut self, url: &str, place: &str) {
        self.places.insert(normalise(url), place.to_owned());
    }

    /// Reads `url` at `revision`, whatever an application says.
    pub fn pin(&mut self, url: &str, revision: &str) {
        self.revisions.insert(normalise(url), revision.into());
    }

    /// Takes `repository` for `url`, as it is opened already.
    pub fn adopt(&mut self, url: &str, repository: Repository) {
        let mut opened = self.opened.lock().expect("no panic under the lock");
        opened.insert(normalise(url), repository);
    }

    /// The files that `url` has at `revision`.
    ///
    /// This can take as long as a fetch does, and blocks.
    ///
    /// # Errors
    ///
    /// [`SourceError`], with the place.
    pub fn snapshot(&self, url: &str, revision: &str) -> Result<Snapshot, SourceError> {
        let name = normalise(url);
        let revision = self.revisions.get(&name).map_or(revision, |pinned| pinned);
        let place = self.places.get(&name).map_or(url, |place| place);
        if self.places.contains_key(&name) && !is_repository(Path::new(place)) {
            let tree = DirTree::new(place).map_err(|source| SourceError::Directory {
                place: place.to_owned(),
                source,
            })?;
            return Ok(Snapshot {
                commit: None,
                time: 0,
                tree: Arc::new(tree),
            });
        }
        let repository = self.open(&name, place)?;
        let commit = repository.resolve(revision)?;
        let tree = repository.tree(&commit)?;
        let time = repository.commit(&commit)?.time;
        Ok(Snapshot {
            commit: Some(commit),
            time,
            tree: Arc::new(tree),
        })
    }

    fn open(&self, name: &str, place: &str) -> Result<Repository, GitError> {
        let mut opened = self.opened.lock().expect("no panic under the lock");
        if let Some(repository) = opened.get(name) {
            return Ok(repository.clone());
        }
        let repository = Repository::open(place, &self.remote)?;
        opened.insert(name.to_owned(), repository.clone());
        Ok(repository)
    }
}

/// The bases of kustomizations are found where sources are.
impl Remotes for Repositories {
    fn repository(&self, source: &GitSource) -> Result<SharedTree, RemoteError> {
        let snapshot = self.snapshot(&source.clone_spec(), &source.reference)?;
        Ok(snapshot.tree)
    }

    fn file(&self, url: &str) -> Result<bytes::Bytes, RemoteError> {
        http::get(url, &HttpLimits::default()).map_err(|error| match error {
            HttpError::Status { code, reason, .. } => HttpStatus {
                code,
                reason: reason.into(),
            }
            .into(),
            HttpError::Unreachable { url, source } => format!("{url}: {source}").into(),
            error => error.into(),
        })
    }
}

/// Whether a path is the top of a work tree, a bare repository, or no path at
/// all but a URL.
fn is_repository(path: &Path) -> bool {
    path.to_string_lossy().contains("://")
        || path.join(".git").exists()
        || (path.join("HEAD").is_file() && path.join("objects").is_dir())
}

/// What a URL names, without how it is reached.
pub(crate) fn normalise(url: &str) -> String {
    let rest = match url.split_once("://") {
        Some((_, rest)) => rest.to_owned(),
        // git@host:path
        None => match url.split_once(':') {
            Some((host, path)) if host.contains('@') && !host.contains('/') => {
                format!("{host}/{}", path.trim_start_matches('/'))
            }
            _ => url.to_owned(),
        },
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let path = path.trim_end_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    format!("{}{path}", host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::normalise;

    #[test]
    fn urls_are_compared_by_what_they_name() {
        let name = "github.com/acme/shop";
        for url in [
            "https://github.com/acme/shop",
            "https://user:token@GitHub.com/acme/shop.git",
            "git@github.com:acme/shop.git",
            "ssh://git@github.com/acme/shop/",
        ] {
            assert_eq!(normalise(url), name, "{url}");
        }
        assert_ne!(normalise("https://github.com/acme/shop2"), name);
        assert_eq!(normalise("/srv/git/shop.git"), "/srv/git/shop");
    }
}
