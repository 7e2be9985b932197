//! Which tool renders a source, with which options.

use std::collections::BTreeSet;

use gitops_core::tree::EntryKind;
use gitops_core::{FileTree, Manifest, TreePath};

use crate::directory::{self, DirectoryError, DirectoryOptions};
use crate::handlebars::{self, HandlebarsError, HandlebarsOptions};
use crate::helm::{self, HelmOptions, Query};
use crate::kustomize::{self, KustomizeOptions};

/// A tool and its options. The set is closed: these are the ways to write
/// manifests down that this crate knows.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Renderer {
    /// A Helm chart.
    Helm(Box<HelmOptions>),
    /// A kustomization.
    Kustomize(Box<KustomizeOptions>),
    /// Plain YAML and JSON.
    Directory(DirectoryOptions),
    /// Handlebars templates.
    Handlebars(Box<HandlebarsOptions>),
}

/// What a directory's files look like to [`detect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detected {
    /// A chart: there is a file whose name ends in `Chart.yaml`.
    Helm,
    /// A kustomization.
    Kustomize,
    /// Neither.
    Directory,
}

/// What a source renders to.
#[derive(Clone, Debug, Default)]
pub struct Rendered {
    /// The manifests, in the order in which the tool gives them.
    pub manifests: Vec<Manifest>,
    /// What the tool would write beside them: deprecations, values that could
    /// not be merged.
    pub warnings: Vec<String>,
    /// What charts asked a cluster for. While its answers are the same, so are
    /// the manifests.
    pub lookups: BTreeSet<Query>,
    /// Whether the same files and options give the same manifests again. Not if
    /// a chart drew from the system or asked a cluster, nor if a kustomization
    /// is made of what lies elsewhere.
    pub repeatable: bool,
}

impl Rendered {
    /// Nothing but the files had a say.
    fn of_files(manifests: Vec<Manifest>) -> Rendered {
        Rendered {
            manifests,
            repeatable: true,
            ..Rendered::default()
        }
    }
}

/// Why a source could not be rendered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// The chart could not be rendered.
    #[error(transparent)]
    Helm(#[from] helm::Error),
    /// The kustomization could not be built.
    #[error(transparent)]
    Kustomize(#[from] kustomize::Error),
    /// The directory could not be read.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A Handlebars template failed.
    #[error(transparent)]
    Handlebars(#[from] HandlebarsError),
    /// What was rendered is no Kubernetes object.
    #[error(transparent)]
    Manifest(#[from] gitops_core::manifest::ManifestError),
    /// The tree could not be read.
    #[error(transparent)]
    Tree(#[from] gitops_core::TreeError),
}

/// Renders the source at `path` of `tree`.
///
/// A pure function of the tree and the options: the same files and the same
/// options give the same manifests, unless it says otherwise
/// ([`repeatable`](Rendered::repeatable)).
///
/// # Errors
///
/// [`RenderError`], by the tool that failed.
///
/// ```
/// use gitops_core::tree::{MemoryTree, TreePath};
/// use gitops_render::{Renderer, render};
///
/// let tree: MemoryTree = [(
///     "app/cm.yaml",
///     "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\n",
/// )]
/// .try_into()?;
/// let rendered = render(
///     &Renderer::Directory(Default::default()),
///     &tree,
///     &TreePath::parse("app")?,
/// )?;
/// assert_eq!(rendered.manifests[0].name(), "settings");
/// assert_eq!(rendered.manifests[0].origin.to_string(), "app/cm.yaml:1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn render(
    renderer: &Renderer,
    tree: &(impl FileTree + ?Sized),
    path: &TreePath,
) -> Result<Rendered, RenderError> {
    match renderer {
        Renderer::Helm(options) => {
            let chart = helm::Chart::load_for(options, tree, path)?;
            let release = helm::template(&chart.into(), options)?;
            let manifests = release.manifests(path)?;
            let has_cluster = options.cluster.is_some();
            Ok(Rendered {
                manifests,
                warnings: release.warnings,
                repeatable: !release.inputs.is_volatile(options.seed, has_cluster),
                lookups: release.inputs.lookups.into_keys().collect(),
            })
        }
        Renderer::Kustomize(options) => {
            let mut built = kustomize::build(tree, path, options)?;
            Ok(Rendered {
                warnings: std::mem::take(&mut built.warnings),
                lookups: BTreeSet::new(),
                repeatable: built.repeatable,
                manifests: built.manifests()?,
            })
        }
        Renderer::Directory(options) => {
            Ok(Rendered::of_files(directory::render(tree, path, options)?))
        }
        Renderer::Handlebars(options) => {
            Ok(Rendered::of_files(handlebars::render(tree, path, options)?))
        }
    }
}

/// Which tool a directory is meant for, as Argo CD guesses.
///
/// The names are looked at in byte order and the last match counts, so a
/// directory that is both a chart and a kustomization is a kustomization.
///
/// # Errors
///
/// [`RenderError::Directory`] if there is no such directory.
pub fn detect(tree: &(impl FileTree + ?Sized), path: &TreePath) -> Result<Detected, RenderError> {
    let entries = tree
        .list(path)?
        .ok_or_else(|| DirectoryError::Missing { path: path.clone() })?;
    let mut detected = Detected::Directory;
    for entry in entries {
        if entry.kind != EntryKind::File {
            continue;
        }
        match entry.path.file_name() {
            "kustomization.yaml" | "kustomization.yml" | "Kustomization" => {
                detected = Detected::Kustomize;
            }
            name if name.ends_with("Chart.yaml") => detected = Detected::Helm,
            _ => {}
        }
    }
    Ok(detected)
}
