//! `gitops render kustomize`: `kustomize build` on the library.

use std::path::Path;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use gitops_apply::reconcile::Repositories;
use gitops_core::TreePath;
use gitops_core::tree::DirTree;
use gitops_render::kustomize::{
    self, GitSource, HelmSupport, KustomizeOptions, LoadRestrictor, Remotes as _, SharedTree,
};

use crate::helm::{Outcome, Output, warn};

/// Builds a kustomization to what `kustomize build` prints.
#[derive(Args, Clone, Debug, Default)]
pub struct Build {
    /// The directory of the kustomization, or the URL of one in a Git
    /// repository
    #[arg(default_value = ".")]
    pub dir: String,
    /// Render the charts of `helmCharts`
    #[arg(long)]
    pub enable_helm: bool,
    /// The Kubernetes version to render charts for
    #[arg(long, value_name = "VERSION", default_value = "")]
    pub helm_kube_version: String,
    /// API versions to render charts for
    #[arg(long, value_name = "VERSIONS", value_delimiter = ',')]
    pub helm_api_versions: Vec<String>,
    /// Which files a kustomization may read
    #[arg(long, value_enum, default_value_t = Restrictor::LoadRestrictionsRootOnly)]
    pub load_restrictor: Restrictor,
    /// The order of the objects, where the kustomization does not say; by kind
    /// by default
    #[arg(long, value_enum)]
    pub reorder: Option<Reorder>,
    /// Write to this file, or one file for each object if it is a directory
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<std::path::PathBuf>,
    /// Find the repository of this URL at this path
    #[arg(long, value_name = "URL=PATH")]
    pub map: Vec<String>,
    /// Refuse patches that hit nothing
    #[arg(long)]
    pub strict_patches: bool,
}

/// The values of `--load-restrictor`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Restrictor {
    /// Files in the kustomization's directory and below
    #[default]
    #[value(name = "LoadRestrictionsRootOnly")]
    LoadRestrictionsRootOnly,
    /// All files
    #[value(name = "LoadRestrictionsNone")]
    LoadRestrictionsNone,
}

/// The values of `--reorder`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Reorder {
    /// By kind
    #[default]
    Legacy,
    /// As they come
    None,
}

impl Build {
    /// Runs the command; relative paths are taken from `dir`.
    pub fn run(&self, dir: &Path) -> Outcome {
        let mut outcome = Outcome::default();
        match self.build(dir, &mut outcome.stderr) {
            Ok(text) => outcome.stdout = Output::Text(text),
            Err(error) => {
                outcome.stderr.push_str(&format!("Error: {error}\n"));
                outcome.code = 1;
            }
        }
        outcome
    }

    fn build(
        &self,
        dir: &Path,
        stderr: &mut String,
    ) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        let mut repositories = Repositories::default();
        for pair in &self.map {
            let (url, path) = pair
                .split_once('=')
                .ok_or_else(|| format!("--map {pair}: write URL=PATH"))?;
            repositories.map(url, path);
        }
        let repositories = Arc::new(repositories);
        let options = KustomizeOptions {
            load_restrictor: match self.load_restrictor {
                Restrictor::LoadRestrictionsRootOnly => LoadRestrictor::RootOnly,
                Restrictor::LoadRestrictionsNone => LoadRestrictor::Tree,
            },
            reorder: match self.reorder {
                None | Some(Reorder::Legacy) => kustomize::Reorder::Legacy,
                Some(Reorder::None) => kustomize::Reorder::None,
            },
            helm: self.enable_helm.then(|| HelmSupport {
                kube_version: self.helm_kube_version.as_str().into(),
                api_versions: self
                    .helm_api_versions
                    .iter()
                    .map(|version| version.as_str().into())
                    .collect(),
                ..HelmSupport::default()
            }),
            // Remote bases, through Git in this process.
            remotes: Some(repositories.clone()),
            refuse_missed_patches: self.strict_patches,
            ..KustomizeOptions::default()
        };
        if self.reorder.is_some() {
            stderr.push_str(
                "Flag --reorder has been deprecated, use the new 'sortOptions' field in \
                 kustomization.yaml instead.\n",
            );
        }
        // Bases may be anywhere, as they may for the original.
        let (tree, path, options): (SharedTree, _, _) = match GitSource::parse(&self.dir) {
            Ok(source) => {
                let options = KustomizeOptions {
                    root_name: source.clone_spec(),
                    ..options
                };
                let tree = repositories.repository(&source)?;
                (tree, TreePath::parse(&source.path)?, options)
            }
            Err(_) => {
                let root = std::path::absolute(dir.join(&self.dir))?;
                let path = TreePath::parse(&root.to_string_lossy())?;
                (Arc::new(DirTree::new("/")?), path, options)
            }
        };
        let output = self.output.as_ref().map(|output| dir.join(output));
        let write = |path: &Path, text: String| {
            std::fs::write(path, text).map_err(|error| format!("open {}: {error}", path.display()))
        };
        if let Some(output) = output.as_ref().filter(|output| output.is_dir()) {
            let built = kustomize::build(&*tree, &path, &options)
                .inspect_err(|error| warn(stderr, error.warnings()))?;
            warn(stderr, &built.warnings);
            for (name, text) in built.to_files()? {
                write(&output.join(name), text)?;
            }
            return Ok(String::new());
        }
        let printed = kustomize::print(&*tree, &path, &options)
            .inspect_err(|error| warn(stderr, error.warnings()))?;
        warn(stderr, &printed.warnings);
        match &output {
            None => Ok(printed.text),
            Some(output) => write(output, printed.text)
                .map(|()| String::new())
                .map_err(Into::into),
        }
    }
}
