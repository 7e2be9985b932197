//! Repositories and the revisions in them.
//!
//! A [`Repository`] is a directory on this machine or a remote. Either way a
//! revision is resolved to a commit, and a commit is read as a
//! [`GitTree`], straight from the object database:
//! there is no checkout, no `git` program and no file written. What is fetched
//! from a remote is the one commit that was asked for, and it is kept in
//! memory.
//!
//! # Revisions
//!
//! | written             | means                                             |
//! |---------------------|---------------------------------------------------|
//! | empty, `HEAD`       | what the repository's `HEAD` points at            |
//! | `refs/…`            | that reference                                    |
//! | a branch            | its tip; a branch wins over a tag of its name     |
//! | a tag               | the commit that it points at, through any object  |
//! | a commit id         | that commit; in a local repository also shortened |
//! | a range: `1.2.*`, `>=1.0.0-0` | the highest tag that is in it           |
//!
//! The rules are Argo CD's (`util/git/client.go`), except that a name that is
//! both a branch and a range is the branch.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use gix::ObjectId;
use gix::objs::Kind;

use crate::Str;
use crate::semver::{Constraint, Version};
use crate::tree::GitTree;

#[cfg(feature = "git-http")]
mod remote;

/// The id of a commit: 40 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct CommitId(Str);

impl CommitId {
    fn of(id: ObjectId) -> Self {
        CommitId(ecow::eco_format!("{}", id.to_hex()))
    }

    /// All 40 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first seven digits, as people quote commits.
    pub fn short(&self) -> &str {
        self.0.get(..7).unwrap_or(&self.0)
    }

    fn object_id(&self) -> Result<ObjectId, GitError> {
        ObjectId::from_hex(self.0.as_bytes()).map_err(|_| GitError::Object {
            id: self.0.clone(),
            source: "not a commit id".into(),
        })
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a commit says of itself.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CommitInfo {
    /// The commit.
    pub id: CommitId,
    /// The first line of its message.
    pub summary: String,
    /// The author's name.
    pub author: String,
    /// When it was committed, in seconds since 1970.
    pub time: i64,
}

/// Why a repository could not answer. No text holds credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// There is no repository, or it cannot be opened.
    #[error("{location}: not a Git repository that can be opened")]
    Open {
        /// The path or URL.
        location: String,
        /// What gix said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The URL's scheme is not supported in this build.
    #[error("{location}: {problem}")]
    Unsupported {
        /// The URL.
        location: String,
        /// What to do instead.
        problem: &'static str,
    },
    /// The revision names nothing.
    #[error("{location}: no branch, tag or commit {revision:?}{}", hint(.nearest.as_deref()))]
    UnknownRevision {
        /// The path or URL.
        location: String,
        /// The revision as it was written.
        revision: String,
        /// A reference with a similar name.
        nearest: Option<String>,
    },
    /// No tag lies in the range.
    #[error("{location}: no tag satisfies {range:?}")]
    NoTagInRange {
        /// The path or URL.
        location: String,
        /// The range as it was written.
        range: String,
    },
    /// An object is missing or damaged.
    #[error("object {id} cannot be read")]
    Object {
        /// The object's id.
        id: Str,
        /// What the storage said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The remote refused, or what it sent could not be understood.
    #[error("{location}: cannot fetch")]
    Fetch {
        /// The URL.
        location: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean {name:?}?"))
}

/// How remotes are spoken to.
#[derive(Clone, Debug)]
pub struct RemoteOptions {
    /// User and password (or token) for https remotes; what the URL itself
    /// says goes first. A remote over plain http is never sent them: asking it
    /// is an error.
    pub credentials: Option<Credentials>,
    /// The most bytes that one fetch may bring, packed.
    pub pack_limit: usize,
}

impl Default for RemoteOptions {
    /// No credentials, at most 1 GiB.
    fn default() -> Self {
        RemoteOptions {
            credentials: None,
            pack_limit: 1 << 30,
        }
    }
}

/// A user and a password; not printed.
#[derive(Clone)]
pub struct Credentials {
    /// The user's name.
    pub username: String,
    /// The password or access token.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// A Git repository, on this machine or elsewhere.
#[derive(Clone)]
pub struct Repository {
    location: String,
    place: Place,
}

#[derive(Clone)]
enum Place {
    Local(Arc<Objects>),
    #[cfg(feature = "git-http")]
    Remote(Arc<remote::Remote>),
}

impl Repository {
    /// Opens the repository at `location`: a path to a work tree, to a
    /// directory within one or to a bare repository, a `file://` URL, or an
    /// `http(s)://` URL.
    ///
    /// A remote is not spoken to before the first question.
    ///
    /// # Errors
    ///
    /// [`GitError::Open`] if there is no repository at a local place,
    /// [`GitError::Unsupported`] for other schemes.
    pub fn open(location: &str, options: &RemoteOptions) -> Result<Self, GitError> {
        let unsupported = |problem| GitError::Unsupported {
            location: without_credentials(location),
            problem,
        };
        if let Some(path) = location.strip_prefix("file://") {
            return Repository::open_local(Path::new(path), location);
        }
        match location.split_once("://") {
            None if looks_like_scp(location) => Err(unsupported(
                "ssh remotes are not supported; use https, or map the URL to a local clone",
            )),
            None => Repository::open_local(Path::new(location), location),
            #[cfg(feature = "git-http")]
            Some(("http" | "https", _)) => Ok(Repository {
                location: without_credentials(location),
                place: Place::Remote(Arc::new(remote::Remote::new(location, options))),
            }),
            #[cfg(not(feature = "git-http"))]
            Some(("http" | "https", _)) => {
                let _ = options;
                Err(unsupported("built without the feature git-http"))
            }
            Some(_) => Err(unsupported(
                "only paths, file:// and http(s):// are supported; map the URL to a local clone",
            )),
        }
    }

    fn open_local(path: &Path, location: &str) -> Result<Self, GitError> {
        let repository = gix::discover(path).map_err(|source| GitError::Open {
            location: location.to_owned(),
            source: source.to_string().into(),
        })?;
        Ok(Repository {
            location: location.to_owned(),
            place: Place::Local(Arc::new(Objects::local(repository))),
        })
    }

    /// The path or URL, without credentials.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// The directory of the work tree, or of a bare repository; `None` for a
    /// remote.
    pub fn directory(&self) -> Option<std::path::PathBuf> {
        match &self.place {
            Place::Local(objects) => objects.with_repository(|repository| {
                let directory = repository.workdir().unwrap_or_else(|| repository.path());
                directory.to_path_buf()
            }),
            #[cfg(feature = "git-http")]
            Place::Remote(_) => None,
        }
    }

    /// The URLs under which this repository is known: those of its remotes,
    /// or its own.
    pub fn urls(&self) -> Vec<String> {
        let mut urls: Vec<String> = match &self.place {
            Place::Local(objects) => objects
                .with_repository(|repository| {
                    let names = repository.remote_names();
                    names
                        .iter()
                        .filter_map(|name| repository.find_remote(&**name).ok())
                        .filter_map(|remote| {
                            let url = remote.url(gix::remote::Direction::Fetch)?;
                            Some(url.to_bstring().to_string())
                        })
                        .collect()
                })
                .unwrap_or_default(),
            #[cfg(feature = "git-http")]
            Place::Remote(_) => Vec::new(),
        };
        urls.push(self.location.clone());
        urls.sort();
        urls.dedup();
        urls
    }

    /// The commit that `revision` means at this moment.
    ///
    /// # Errors
    ///
    /// [`GitError::UnknownRevision`] with the nearest name, or
    /// [`GitError::NoTagInRange`]; [`GitError::Fetch`] if a remote does not
    /// answer.
    pub fn resolve(&self, revision: &str) -> Result<CommitId, GitError> {
        let references = self.references()?;
        let name = if revision.is_empty() {
            "HEAD"
        } else {
            revision
        };
        for candidate in [
            name.to_owned(),
            format!("refs/heads/{name}"),
            format!("refs/tags/{name}"),
            format!("refs/remotes/{name}"),
        ] {
            if let Some((_, id)) = references.iter().find(|(name, _)| *name == candidate) {
                return self.peel(*id);
            }
        }
        if let Some(id) = self.commit_by_digits(name)? {
            return Ok(id);
        }
        // What is only a version would have been found as a tag.
        if let Ok(range) = Constraint::parse(name) {
            return match highest_tag(&references, &range) {
                Some(id) => self.peel(id),
                None => Err(GitError::NoTagInRange {
                    location: self.location.clone(),
                    range: name.to_owned(),
                }),
            };
        }
        Err(GitError::UnknownRevision {
            location: self.location.clone(),
            revision: name.to_owned(),
            nearest: nearest(&references, name),
        })
    }

    /// The files of a commit.
    ///
    /// # Errors
    ///
    /// [`GitError::Object`] if the commit is not there; [`GitError::Fetch`] if
    /// a remote does not send it.
    pub fn tree(&self, commit: &CommitId) -> Result<GitTree, GitError> {
        let id = commit.object_id()?;
        let objects = self.objects(id)?;
        let data = objects.read_kind(id, Kind::Commit)?;
        let root = gix::objs::CommitRefIter::from_bytes(&data, id.kind())
            .tree_id()
            .map_err(|error| object_error(id, error.to_string()))?;
        Ok(GitTree::new(commit.clone(), root, objects))
    }

    /// What a commit says of itself.
    ///
    /// # Errors
    ///
    /// As for [`tree`](Repository::tree).
    pub fn commit(&self, commit: &CommitId) -> Result<CommitInfo, GitError> {
        let id = commit.object_id()?;
        let data = self.objects(id)?.read_kind(id, Kind::Commit)?;
        let parsed = gix::objs::CommitRef::from_bytes(&data, id.kind())
            .map_err(|error| object_error(id, error.to_string()))?;
        let author = parsed
            .author()
            .map_err(|error| object_error(id, error.to_string()))?;
        let time = parsed
            .time()
            .map_err(|error| object_error(id, error.to_string()))?;
        Ok(CommitInfo {
            id: commit.clone(),
            summary: parsed.message().title.to_string().trim().to_owned(),
            author: author.name.to_string(),
            time: time.seconds,
        })
    }

    /// Every reference with the id it holds, `HEAD` included.
    fn references(&self) -> Result<Vec<(String, ObjectId)>, GitError> {
        match &self.place {
            Place::Local(objects) => objects
                .with_repository(local_references)
                .unwrap_or_else(|| Ok(Vec::new())),
            #[cfg(feature = "git-http")]
            Place::Remote(remote) => remote.references(),
        }
    }

    /// The commit behind an id, through annotated tags.
    fn peel(&self, id: ObjectId) -> Result<CommitId, GitError> {
        match &self.place {
            Place::Local(objects) => {
                let mut id = id;
                // A tag of a tag of a tag is legal; a loop cannot be written.
                loop {
                    let (kind, data) = objects.find(id)?;
                    match kind {
                        Kind::Commit => return Ok(CommitId::of(id)),
                        Kind::Tag => {
                            id = gix::objs::TagRefIter::from_bytes(&data, id.kind())
                                .target_id()
                                .map_err(|error| object_error(id, error.to_string()))?;
                        }
                        other => {
                            return Err(object_error(id, format!("a {other}, not a commit")));
                        }
                    }
                }
            }
            // Remotes list tags together with what they point at.
            #[cfg(feature = "git-http")]
            Place::Remote(_) => Ok(CommitId::of(id)),
        }
    }

    fn commit_by_digits(&self, text: &str) -> Result<Option<CommitId>, GitError> {
        let digits = text.len() >= 4 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !digits {
            return Ok(None);
        }
        match &self.place {
            Place::Local(objects) => {
                let id = objects.with_repository(|repository| {
                    let id = repository.rev_parse_single(text).ok()?;
                    Some(id.detach())
                });
                match id.flatten() {
                    Some(id) => self.peel(id).map(Some),
                    None => Ok(None),
                }
            }
            #[cfg(feature = "git-http")]
            Place::Remote(_) => {
                Ok((text.len() == 40).then(|| CommitId(text.to_lowercase().into())))
            }
        }
    }

    fn objects(&self, id: ObjectId) -> Result<Arc<Objects>, GitError> {
        let _ = id;
        match &self.place {
            Place::Local(objects) => Ok(objects.clone()),
            #[cfg(feature = "git-http")]
            Place::Remote(remote) => remote.fetch(id),
        }
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Repository").field(&self.location).finish()
    }
}

fn local_references(repository: &gix::Repository) -> Result<Vec<(String, ObjectId)>, GitError> {
    let failed = |source: String| GitError::Open {
        location: repository.path().display().to_string(),
        source: source.into(),
    };
    let mut references = Vec::new();
    if let Ok(head) = repository.head_id() {
        references.push(("HEAD".to_owned(), head.detach()));
    }
    let platform = repository
        .references()
        .map_err(|error| failed(error.to_string()))?;
    for reference in platform.all().map_err(|error| failed(error.to_string()))? {
        let reference = reference.map_err(|error| failed(error.to_string()))?;
        let name = reference.name().as_bstr().to_string();
        if let Some(id) = reference.try_id() {
            references.push((name, id.detach()));
        }
    }
    Ok(references)
}

fn highest_tag(references: &[(String, ObjectId)], range: &Constraint) -> Option<ObjectId> {
    references
        .iter()
        .filter_map(|(name, id)| {
            let version = Version::parse(name.strip_prefix("refs/tags/")?).ok()?;
            range.matches(&version).then_some((version, *id))
        })
        .max_by(|a, b| a.0.cmp(&b.0))
        .map(|(_, id)| id)
}

fn nearest(references: &[(String, ObjectId)], name: &str) -> Option<String> {
    let short = |(name, _): &'_ (String, ObjectId)| {
        let name = name.as_str();
        let short = name
            .strip_prefix("refs/heads/")
            .or_else(|| name.strip_prefix("refs/tags/"))?;
        Some(short.to_owned())
    };
    let names: Vec<String> = references.iter().filter_map(short).collect();
    crate::suggest::nearest(name, names.iter().map(String::as_str)).map(str::to_owned)
}

pub(crate) fn without_credentials(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            format!("{scheme}://{host}{path}")
        }
        None => url.to_owned(),
    }
}

/// `git@host:path`, which is no path on this machine.
fn looks_like_scp(location: &str) -> bool {
    location
        .split_once(':')
        .is_some_and(|(host, _)| host.contains('@') && !host.contains('/'))
}

fn object_error(id: ObjectId, problem: String) -> GitError {
    GitError::Object {
        id: ecow::eco_format!("{}", id.to_hex()),
        source: problem.into(),
    }
}

/// Where objects are found.
pub(crate) enum Objects {
    // gix's handle keeps buffers of its own, so readers take turns.
    Local(Box<Mutex<gix::Repository>>),
    #[cfg(feature = "git-http")]
    Packed(Box<remote::Pack>),
}

impl Objects {
    fn local(mut repository: gix::Repository) -> Self {
        // Without it each read of a packed blob undoes its deltas again.
        repository.object_cache_size_if_unset(16 << 20);
        Objects::Local(Box::new(Mutex::new(repository)))
    }

    fn with_repository<T>(&self, ask: impl FnOnce(&gix::Repository) -> T) -> Option<T> {
        match self {
            Objects::Local(repository) => {
                Some(ask(&repository.lock().expect("no panic under the lock")))
            }
            #[cfg(feature = "git-http")]
            Objects::Packed(_) => None,
        }
    }

    fn find(&self, id: ObjectId) -> Result<(Kind, Bytes), GitError> {
        match self {
            Objects::Local(repository) => {
                let repository = repository.lock().expect("no panic under the lock");
                let object = repository
                    .find_object(id)
                    .map_err(|error| object_error(id, error.to_string()))?;
                Ok((object.kind, object.detach().data.into()))
            }
            #[cfg(feature = "git-http")]
            Objects::Packed(pack) => pack.find(id),
        }
    }

    /// The contents of a blob or tree.
    pub(crate) fn read(&self, id: ObjectId) -> Result<Bytes, GitError> {
        self.find(id).map(|(_, data)| data)
    }

    fn read_kind(&self, id: ObjectId, wanted: Kind) -> Result<Bytes, GitError> {
        let (kind, data) = self.find(id)?;
        if kind != wanted {
            return Err(object_error(id, format!("a {kind}, not a {wanted}")));
        }
        Ok(data)
    }
}
