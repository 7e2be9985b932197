//! A repository of applications, as the commands see it.

use std::path::Path;
use std::sync::Arc;

use gitops_apply::Repositories;
use gitops_core::app::App;
use gitops_core::app::argo::{self, AppError};
use gitops_core::git::{CommitId, GitError, RemoteOptions, Repository};
use gitops_core::tree::TreeError;

/// Where the applications are declared, and where what they name is found.
#[derive(Clone, Debug)]
pub struct Workspace {
    /// The repository.
    pub repository: Repository,
    /// What is read of it; its `HEAD` if absent.
    pub revision: Option<String>,
    /// Every repository that an application may name.
    pub repositories: Arc<Repositories>,
}

/// Why the applications could not be found.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// The repository or the revision.
    #[error(transparent)]
    Git(#[from] GitError),
    /// Its files.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A `--map` without a URL or a path.
    #[error("--map {0:?}: write URL=PATH")]
    Map(String),
}

/// The applications of a commit.
#[derive(Debug)]
pub struct Found {
    /// The commit.
    pub commit: CommitId,
    /// The applications, by wave and name.
    pub apps: Vec<App>,
    /// Those that could not be read.
    pub errors: Vec<AppError>,
}

impl Workspace {
    /// Opens the repository at `location`; `maps` are `URL=PATH`.
    ///
    /// Sources whose URL is one of the repository's remotes, or is mapped to
    /// it, are read from it; with a revision given, at that revision.
    ///
    /// # Errors
    ///
    /// [`WorkspaceError`] if there is no repository, or a map is malformed.
    pub fn open(
        location: &str,
        revision: Option<&str>,
        maps: &[String],
    ) -> Result<Self, WorkspaceError> {
        let remote = RemoteOptions::default();
        let repository = Repository::open(location, &remote)?;
        let mut repositories = Repositories::new(remote);
        let mut own = repository.urls();
        for map in maps {
            let (url, path) = map
                .split_once('=')
                .filter(|(url, path)| !url.is_empty() && !path.is_empty())
                .ok_or_else(|| WorkspaceError::Map(map.clone()))?;
            if is_same_place(path, location, &repository) {
                own.push(url.to_owned());
            } else {
                repositories.map(url, path);
            }
        }
        for url in own {
            repositories.adopt(&url, repository.clone());
            if let Some(revision) = revision {
                repositories.pin(&url, revision);
            }
        }
        Ok(Workspace {
            repository,
            revision: revision.map(str::to_owned),
            repositories: Arc::new(repositories),
        })
    }

    /// The applications that the repository declares now.
    ///
    /// # Errors
    ///
    /// [`WorkspaceError`] if the revision cannot be read; what is wrong with
    /// one application is among what was found.
    pub fn discover(&self) -> Result<Found, WorkspaceError> {
        let commit = self
            .repository
            .resolve(self.revision.as_deref().unwrap_or_default())?;
        let tree = self.repository.tree(&commit)?;
        let (mut apps, mut errors) = (Vec::new(), Vec::new());
        for app in argo::discover(&tree)? {
            match app {
                Ok(app) => apps.push(app),
                Err(error) => errors.push(error),
            }
        }
        apps.sort_by(|a: &App, b| a.wave.cmp(&b.wave).then_with(|| a.name.cmp(&b.name)));
        Ok(Found {
            commit,
            apps,
            errors,
        })
    }
}

fn is_same_place(path: &str, location: &str, repository: &Repository) -> bool {
    if path == location {
        return true;
    }
    let real = |path: &Path| path.canonicalize().ok();
    match (real(Path::new(path)), repository.directory()) {
        (Some(path), Some(directory)) => Some(path) == real(&directory),
        _ => false,
    }
}
