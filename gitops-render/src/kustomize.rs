//! `kustomize build`, without Kustomize.
//!
//! [`build`] makes the objects that Kustomize 5.8.1 makes of a directory, in
//! its order and to its bytes. Everything is read through a
//! [`FileTree`]; what lies elsewhere comes through [`Remotes`].
//!
//! | here                                | upstream (`api` and `kyaml` 0.21.1)          |
//! |-------------------------------------|----------------------------------------------|
//! | `build`, `steps`                    | `internal/target`, `internal/plugins/loader` |
//! | `file`, `decode`                    | `types`                                      |
//! | `loader`, `remote`                  | `internal/loader`, `internal/git`            |
//! | `documents`, `object`, `objects`, `id` | `kio`, `resource`, `resmap`, `resid`      |
//! | `fields`, `specs`                   | `filters/fieldspec`, `yaml/match.go`, `internal/plugins/builtinconfig` |
//! | `names`                             | `filters/{prefix,suffix,nameref}`            |
//! | `metadata`, `images`                | `filters/{labels,annotations,namespace,replicacount,imagetag}` |
//! | `patches`, `strategic`, `json6902`  | `internal/builtins`, `yaml/{walk,merge2}`, evanphx/json-patch v4 |
//! | `replacements`, `vars`, `crds`      | `filters/{replacement,refvar}`, `internal/accumulator` |
//! | `generators`, `charts`              | `internal/generators`, `hasher`, `kv`        |
//! | `schema`, `order`, `origin`         | `openapi`, `internal/builtins`, `resource`   |
//!
//! What may surprise, and is as there: comments and the order of keys are not
//! kept; new items of a merged list come first; a label that several fields of
//! an object got from one transformer is one value, and a patch of one of them
//! changes all; the hash in a name does not depend on the name.
//!
//! **Invariant:** no step is quadratic in objects. Objects are found by
//! identity in one index (`objects`) that is kept through all layers, and are
//! parsed once: layers pass trees on, not text.

use std::fmt;
use std::sync::Arc;

use gitops_core::{FileTree, Manifest, Origin as Place, Str, TreePath, Value, yaml};

mod build;
mod charts;
mod crds;
mod decode;
mod documents;
mod error;
mod fields;
mod file;
mod generators;
mod id;
mod images;
mod json6902;
mod loader;
mod metadata;
mod names;
mod object;
mod objects;
mod order;
mod origin;
mod overrides;
mod patches;
mod remote;
mod replacements;
mod schema;
mod specs;
mod steps;
mod strategic;
mod vars;

pub use error::{Error, ErrorKind};
pub use overrides::{ImageOverride, Overrides};
pub use remote::{GitSource, HttpStatus, NotGit, RemoteError, Remotes, SharedTree};

use crate::helm::{LoadLimits, Seed};

/// How a kustomization is built.
#[derive(Clone)]
pub struct KustomizeOptions {
    /// Which files a kustomization may read.
    pub load_restrictor: LoadRestrictor,
    /// The order of the objects, where the kustomization does not say.
    pub reorder: Reorder,
    /// Charts of `helmCharts`; without it, a kustomization that has some is an
    /// error.
    pub helm: Option<HelmSupport>,
    /// Where Git repositories and URLs are found; without it, a kustomization
    /// that names some is an error.
    pub remotes: Option<Arc<dyn Remotes>>,
    /// What the root of the tree is called in messages: an absolute path, or
    /// empty for the root of a file system.
    pub root_name: Str,
    /// Whether an entry of `patches` that selects no object is an error.
    /// Kustomize says nothing.
    pub refuse_missed_patches: bool,
    /// The version that the label `app.kubernetes.io/managed-by` names.
    pub version: Str,
    /// What is to be otherwise than the kustomization file says.
    pub overrides: Overrides,
    /// What a build may cost.
    pub limits: Limits,
}

impl Default for KustomizeOptions {
    /// The defaults of `kustomize build`.
    fn default() -> Self {
        KustomizeOptions {
            load_restrictor: LoadRestrictor::default(),
            reorder: Reorder::default(),
            helm: None,
            remotes: None,
            root_name: Str::new(),
            refuse_missed_patches: false,
            version: "v5.8.1".into(),
            overrides: Overrides::default(),
            limits: Limits::default(),
        }
    }
}

impl fmt::Debug for KustomizeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KustomizeOptions")
            .field("load_restrictor", &self.load_restrictor)
            .field("reorder", &self.reorder)
            .field("helm", &self.helm)
            .field("remotes", &self.remotes)
            .field("root_name", &self.root_name)
            .field("overrides", &self.overrides)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Which files a kustomization may read. Nothing ever leaves the tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoadRestrictor {
    /// Files in the kustomization's directory and below, symbolic links
    /// followed: `LoadRestrictionsRootOnly`.
    #[default]
    RootOnly,
    /// Every file of the tree: `LoadRestrictionsNone`, in a jail.
    Tree,
}

/// The order of the objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reorder {
    /// By kind, as kinds depend on each other: `--reorder legacy`, the default
    /// of the command.
    #[default]
    Legacy,
    /// As they come: `--reorder none`, what Flux does.
    None,
}

/// How charts of `helmCharts` are rendered.
#[derive(Clone, Debug, Default)]
pub struct HelmSupport {
    /// The Kubernetes version to render for, where a chart's entry does not
    /// say; Helm's default if empty.
    pub kube_version: Str,
    /// API versions to render for, where a chart's entry does not say.
    pub api_versions: Vec<Str>,
    /// Where the random numbers and the time of templates come from.
    pub seed: Seed,
    /// How large a chart may be.
    pub load_limits: LoadLimits,
}

/// What a build may cost. Each limit is an error that names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many kustomizations may be within each other.
    pub depth: usize,
    /// How many kustomizations a build may visit.
    pub kustomizations: usize,
    /// How many objects a build may have.
    pub objects: usize,
    /// How many bytes a file may have.
    pub file_size: u64,
    /// What one document may cost.
    pub documents: yaml::node::Limits,
}

impl Default for Limits {
    /// 100 levels, 100,000 kustomizations, 200,000 objects, files of 64 MiB.
    fn default() -> Self {
        Limits {
            depth: 100,
            kustomizations: 100_000,
            objects: 200_000,
            file_size: 64 << 20,
            documents: yaml::node::Limits::default(),
        }
    }
}

/// The outcome of a build.
#[derive(Clone, Debug, Default)]
pub struct Build {
    /// The objects, in order.
    pub objects: Vec<Value>,
    /// Where each object was declared.
    pub places: Vec<Place>,
    /// What Kustomize prints beside them: deprecated fields, variables that
    /// nobody uses.
    pub warnings: Vec<String>,
    /// Whether the same tree and options give the same again: nothing was read
    /// from elsewhere, and no chart drew from the system.
    pub repeatable: bool,
}

impl Build {
    /// The text that `kustomize build` prints.
    ///
    /// # Errors
    ///
    /// [`Error`], for text that YAML does not allow.
    pub fn to_text(&self) -> Result<String, Error> {
        let mut text = String::new();
        for (at, object) in self.objects.iter().enumerate() {
            if at > 0 {
                text.push_str("---\n");
            }
            let document = yaml::to_string(object)
                .map_err(|error| Error::new(ErrorKind::Transform, error.to_string()))?;
            text.push_str(&document);
        }
        Ok(text)
    }

    /// The files that `kustomize build -o DIR` writes: their names and texts,
    /// one for each object. Namespaces are part of the names if there are
    /// several.
    ///
    /// # Errors
    ///
    /// As [`to_text`](Build::to_text).
    pub fn to_files(&self) -> Result<Vec<(String, String)>, Error> {
        let ids: Vec<id::Id> = self.objects.iter().map(id::Id::of).collect();
        let namespaces: std::collections::BTreeSet<&str> = ids
            .iter()
            .filter(|id| !id.cluster_scoped)
            .map(id::Id::effective_namespace)
            .collect();
        let mut files = Vec::with_capacity(ids.len());
        for (object, id) in self.objects.iter().zip(&ids) {
            let text = yaml::to_string(object)
                .map_err(|error| Error::new(ErrorKind::Transform, error.to_string()))?;
            let namespace = match namespaces.len() > 1 && !id.cluster_scoped {
                true => id.effective_namespace(),
                false => "",
            };
            let gvk = &id.gvk;
            let parts = [namespace, &gvk.group, &gvk.version, &gvk.kind, &id.name];
            let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            files.push((format!("{}.yaml", parts.join("_").to_lowercase()), text));
        }
        Ok(files)
    }

    /// The objects as manifests.
    ///
    /// # Errors
    ///
    /// [`Error`], for an object without `apiVersion`, which Kustomize lets
    /// pass.
    pub fn manifests(self) -> Result<Vec<Manifest>, Error> {
        self.objects
            .into_iter()
            .zip(self.places)
            .map(|(object, place)| {
                let shown = place.to_string();
                Manifest::new(object, place)
                    .map_err(|error| Error::new(ErrorKind::Parse, error.to_string()).within(shown))
            })
            .collect()
    }
}

/// Builds the kustomization in the directory `path` of `tree`.
///
/// # Errors
///
/// [`Error`], with Kustomize's text where it has one.
///
/// ```
/// use gitops_core::TreePath;
/// use gitops_core::tree::MemoryTree;
/// use gitops_render::kustomize::{KustomizeOptions, build};
///
/// let tree: MemoryTree = [
///     ("base/kustomization.yaml", "resources: [cm.yaml]\n"),
///     ("base/cm.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n"),
///     ("prod/kustomization.yaml", "namePrefix: prod-\nresources: [../base]\n"),
/// ]
/// .try_into()?;
/// let built = build(&tree, &TreePath::parse("prod")?, &KustomizeOptions::default())?;
/// assert_eq!(
///     built.to_text()?,
///     "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: prod-settings\n"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn build(
    tree: &(impl FileTree + ?Sized),
    path: &TreePath,
    options: &KustomizeOptions,
) -> Result<Build, Error> {
    let outcome = accumulate(tree, path, options)?;
    let mut built = Build {
        objects: Vec::with_capacity(outcome.objects.len()),
        places: Vec::with_capacity(outcome.objects.len()),
        warnings: outcome.warnings,
        repeatable: outcome.repeatable,
    };
    for mut object in outcome.objects {
        object.finish(outcome.origins, outcome.transformations)?;
        let value = object
            .to_value()
            .map_err(|error| undecoded(error).after(built.warnings.clone()))?;
        built.objects.push(value);
        built.places.push(Place {
            source: Str::new(),
            file: object.declared.file.as_str().into(),
            line: object.declared.line,
        });
    }
    Ok(built)
}

/// What `kustomize build` prints.
#[derive(Clone, Debug, Default)]
pub struct Printed {
    /// The objects as YAML.
    pub text: String,
    /// As in a [`Build`].
    pub warnings: Vec<String>,
}

/// Builds the kustomization in the directory `path` of `tree` as text:
/// [`build`] and [`to_text`](Build::to_text), with one object in hand at a
/// time.
///
/// # Errors
///
/// As both.
pub fn print(
    tree: &(impl FileTree + ?Sized),
    path: &TreePath,
    options: &KustomizeOptions,
) -> Result<Printed, Error> {
    /// Bytes that are reserved on a guess.
    const MOST_AHEAD: usize = 16 << 20;

    let outcome = accumulate(tree, path, options)?;
    let warnings = outcome.warnings;
    let count = outcome.objects.len();
    let mut text = Vec::new();
    let mut unwritable = None;
    for (done, mut object) in outcome.objects.into_iter().enumerate() {
        if let Some(usual) = text.len().checked_div(done) {
            text.extend_from_slice(b"---\n");
            if text.capacity() - text.len() < usual {
                // The others are probably as long, but nobody promised it.
                text.reserve(usual.saturating_mul(count - done).min(MOST_AHEAD));
            }
        }
        object.finish(outcome.origins, outcome.transformations)?;
        let mut writer = yaml::Writer::new(&mut text, yaml::Style::KUBERNETES);
        object
            .write_to(&mut writer)
            .map_err(|error| undecoded(error).after(warnings.clone()))?;
        if let Err(error) = writer.finish() {
            // Objects that mean nothing are complained about before those
            // that cannot be written.
            unwritable.get_or_insert(error);
        }
    }
    match unwritable {
        Some(error) => Err(Error::new(ErrorKind::Transform, error.to_string()).after(warnings)),
        None => Ok(Printed {
            text: String::from_utf8(text).expect("the writer is fed text and writes text"),
            warnings,
        }),
    }
}

fn accumulate(
    tree: &(impl FileTree + ?Sized),
    path: &TreePath,
    options: &KustomizeOptions,
) -> Result<build::Outcome, Error> {
    let session = loader::Session {
        tree: &tree,
        root_name: options.root_name.clone(),
        restrictor: options.load_restrictor,
        remotes: options.remotes.clone(),
        limits: options.limits,
        fetched: Default::default(),
        volatile: Default::default(),
    };
    let loader = loader::Loader::new(session, path)?;
    build::run(loader, options)
}

/// What Go's decoder refuses is shown as the map that it did not get.
fn undecoded(error: Error) -> Error {
    match error.message().starts_with("yaml: ") {
        true => error.within("map[string]interface {}(nil)"),
        false => error,
    }
}
