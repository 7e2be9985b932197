//! The manifests that an application declares.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use gitops_core::app::argo::{self, AppError};
use gitops_core::app::{App, HelmSource, InlineValues, KustomizeSource, Source, Tool};
use gitops_core::tree::{LeavesTree, TreePath};
use gitops_core::{Manifest, Str, Value};
use gitops_render::directory::DirectoryOptions;
use gitops_render::helm::{
    self, Capabilities, HelmOptions, KubeVersion, Objects, Profile, Query, ReleaseName, Seed,
    Values,
};
use gitops_render::kustomize::{self, HelmSupport, ImageOverride, KustomizeOptions, Overrides};
use gitops_render::{Detected, RenderError, Rendered, Renderer, detect};

use super::sources::{Repositories, Snapshot, SourceError};

/// What sources are rendered for, beside what the application says.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The cluster as charts see it.
    pub capabilities: Capabilities,
    /// Where charts take random numbers from.
    pub seed: Seed,
    /// What `lookup` finds; nothing if absent, as in Argo CD.
    pub objects: Option<Arc<dyn Objects>>,
}

/// What an application's sources render to.
#[derive(Clone, Debug, Default)]
pub struct Desired {
    /// The manifests, source by source.
    pub manifests: Vec<Manifest>,
    /// Applications among them, which are reconciled and not applied.
    pub children: Vec<App>,
    /// The commits that were read, source by source.
    pub revisions: Vec<Str>,
    /// What the tools had to say.
    pub warnings: Vec<String>,
    /// What charts looked up in the cluster. Like the commits, it is an input:
    /// the manifests are the same as long as its objects are.
    pub lookups: BTreeSet<Query>,
    /// Whether the same commits give the same manifests again. Not what was
    /// read of a directory, nor what is not
    /// [repeatable](gitops_render::Rendered::repeatable) itself.
    pub repeatable: bool,
}

/// What an application was rendered to, and from what.
pub(super) struct Rendering {
    pub(super) desired: Desired,
    app: App,
    capabilities: Capabilities,
    seed: Seed,
    has_objects: bool,
}

impl fmt::Debug for Rendering {
    /// Without the manifests: there may be Secrets among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rendering")
            .field("revisions", &self.desired.revisions)
            .finish_non_exhaustive()
    }
}

impl Rendering {
    /// As [`desired`], and `last` itself if that would be the same again.
    pub(super) fn new(
        app: App,
        repositories: &Repositories,
        surroundings: Surroundings,
        last: Option<Arc<Rendering>>,
    ) -> Result<Arc<Rendering>, DesiredError> {
        let snapshots = snapshots(&app, repositories)?;
        if let Some(last) = last
            && last.is_of(&app, &surroundings, &snapshots)
        {
            return Ok(last);
        }
        Ok(Arc::new(Rendering {
            desired: render(&app, &snapshots, repositories, &surroundings)?,
            app,
            capabilities: surroundings.capabilities,
            seed: surroundings.seed,
            has_objects: surroundings.objects.is_some(),
        }))
    }

    /// How many manifests there are.
    pub(super) fn size(&self) -> usize {
        self.desired.manifests.len() + self.desired.children.len()
    }

    fn is_of(&self, app: &App, surroundings: &Surroundings, snapshots: &[Snapshot]) -> bool {
        let revisions = snapshots.iter().map(Snapshot::revision);
        self.desired.repeatable
            && self.desired.revisions.iter().cloned().eq(revisions)
            && self.seed == surroundings.seed
            && self.has_objects == surroundings.objects.is_some()
            && self.app == *app
            && self.capabilities == surroundings.capabilities
    }
}

/// Why an application could not be rendered.
///
/// Neither its text nor its `Debug` quotes scalars of YAML or credentials of
/// URLs.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum DesiredError {
    /// The files could not be had.
    #[error("{url}: {source}", url = crate::reconcile::sources::normalise(url))]
    Source {
        /// The source's URL.
        url: Str,
        /// Why not.
        source: SourceError,
    },
    /// A path leaves the repository.
    #[error(transparent)]
    Path(#[from] LeavesTree),
    /// The tool failed.
    #[error("{}", placed(path, error))]
    Render {
        /// The source's path.
        path: Str,
        /// Why.
        error: ToolError,
    },
    /// A file of values, or a file parameter, is not there.
    #[error("{file}: no such file of values in the repository")]
    NoValues {
        /// The file as it was written.
        file: Str,
    },
    /// A `$name` in a file of values refers to no source.
    #[error("{file}: no source has ref {name:?}")]
    NoReference {
        /// The file as it was written.
        file: Str,
        /// The name.
        name: Str,
    },
    /// The chart looks up something else each time.
    #[error("the chart looks up too much: {problem}")]
    Lookups {
        /// How much.
        problem: String,
    },
    /// Something that this version does not do.
    #[error("{what} is not supported; {instead}")]
    Unsupported {
        /// What was asked for.
        what: String,
        /// What to do instead.
        instead: &'static str,
    },
    /// An application among the manifests is malformed.
    #[error(transparent)]
    Child(#[from] AppError),
}

impl fmt::Debug for DesiredError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DesiredError")
            .field(&self.to_string())
            .finish()
    }
}

/// What a tool says of its failure, causes included, without the scalars that
/// it quotes: Helm and Kustomize say them, whatever object they stand in.
pub struct ToolError(RenderError);

impl ToolError {
    /// The failure itself, to branch on. Its text is the tool's, to the byte,
    /// and may quote what a Secret holds.
    pub fn error(&self) -> &RenderError {
        &self.0
    }
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::explain(&self.0))
    }
}

impl fmt::Debug for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ToolError").field(&self.to_string()).finish()
    }
}

impl std::error::Error for ToolError {}

/// The error of a tool, with the path unless it begins with that itself.
fn placed(path: &str, error: &ToolError) -> String {
    let error = error.to_string();
    if error.starts_with(path) {
        error
    } else {
        format!("{path}: {error}")
    }
}

/// Renders the sources of an application, in order.
///
/// This reads repositories, renders, and blocks meanwhile.
///
/// # Errors
///
/// [`DesiredError`] of the first source that fails: half an application is
/// none.
pub fn desired(
    app: &App,
    repositories: &Repositories,
    surroundings: &Surroundings,
) -> Result<Desired, DesiredError> {
    let snapshots = snapshots(app, repositories)?;
    render(app, &snapshots, repositories, surroundings)
}

/// The files of each source.
fn snapshots(app: &App, repositories: &Repositories) -> Result<Vec<Snapshot>, DesiredError> {
    let found = app.sources.iter().map(|source| {
        repositories
            .snapshot(&source.repo_url, &source.revision)
            .map_err(|error| DesiredError::Source {
                url: source.repo_url.clone(),
                source: error,
            })
    });
    found.collect()
}

fn render(
    app: &App,
    snapshots: &[Snapshot],
    repositories: &Repositories,
    surroundings: &Surroundings,
) -> Result<Desired, DesiredError> {
    let mut desired = Desired {
        revisions: snapshots.iter().map(Snapshot::revision).collect(),
        repeatable: snapshots.iter().all(|snapshot| snapshot.commit.is_some()),
        ..Desired::default()
    };
    for (source, snapshot) in app.sources.iter().zip(snapshots) {
        if source.is_reference_only() {
            continue;
        }
        let job = Job {
            app,
            source,
            snapshot,
            snapshots,
            repositories,
            surroundings,
        };
        let rendered = job.render()?;
        desired.warnings.extend(rendered.warnings);
        desired.lookups.extend(rendered.lookups);
        desired.repeatable &= rendered.repeatable;
        for mut manifest in rendered.manifests {
            manifest.origin.source = source.repo_url.clone();
            if argo::is_application(&manifest) {
                desired.children.push(argo::from_manifest(&manifest)?);
            } else {
                desired.manifests.push(manifest);
            }
        }
    }
    Ok(desired)
}

/// One source being rendered.
struct Job<'a> {
    app: &'a App,
    source: &'a Source,
    snapshot: &'a Snapshot,
    snapshots: &'a [Snapshot],
    repositories: &'a Repositories,
    surroundings: &'a Surroundings,
}

impl Job<'_> {
    fn render(&self) -> Result<Rendered, DesiredError> {
        let path = self.path()?;
        let renderer = match &self.source.tool {
            Tool::Helm(options) => self.helm(options, &path)?,
            Tool::Directory(options) => {
                if options.jsonnet {
                    return Err(DesiredError::Unsupported {
                        what: "Jsonnet".into(),
                        instead: "render it to YAML and point the source there",
                    });
                }
                Renderer::Directory(DirectoryOptions {
                    recurse: options.recurse,
                    include: options.include.clone(),
                    exclude: options.exclude.clone(),
                    any_extension: options.any_extension,
                })
            }
            Tool::Kustomize(options) => self.kustomize(options, &path)?,
            Tool::Plugin { name } => {
                return Err(DesiredError::Unsupported {
                    what: format!("the plugin {:?}", &**name),
                    instead: "render its output to YAML and point the source there",
                });
            }
            Tool::Detect => match detect(&self.snapshot.tree, &path).map_err(self.failed())? {
                Detected::Helm => self.helm(&HelmSource::default(), &path)?,
                Detected::Kustomize => self.kustomize(&KustomizeSource::default(), &path)?,
                Detected::Directory => Renderer::Directory(DirectoryOptions::default()),
            },
        };
        gitops_render::render(&renderer, &self.snapshot.tree, &path).map_err(self.failed())
    }

    fn failed(&self) -> impl Fn(RenderError) -> DesiredError + '_ {
        |error| DesiredError::Render {
            path: match self.source.path.as_str() {
                "" => ".".into(),
                path => path.into(),
            },
            error: ToolError(error),
        }
    }

    /// The directory of the source, or the chart in a place of charts.
    fn path(&self) -> Result<TreePath, DesiredError> {
        let Some(chart) = &self.source.chart else {
            return Ok(TreePath::parse(&self.source.path)?);
        };
        // A repository of charts that is mapped to a place: unpacked, or
        // packed under the name that Helm gives archives.
        let unpacked = TreePath::parse(chart)?;
        let is_dir = self.snapshot.tree.list(&unpacked);
        if is_dir.is_ok_and(|entries| entries.is_some()) {
            return Ok(unpacked);
        }
        let packed = TreePath::parse(&format!("{chart}-{}.tgz", self.source.revision))?;
        match self.snapshot.tree.read(&packed) {
            Ok(Some(_)) => Ok(packed),
            _ => Err(DesiredError::Unsupported {
                what: format!("fetching the chart {:?} from a chart repository", &**chart),
                instead: "map the repository's URL to a directory that holds the chart",
            }),
        }
    }

    fn helm(&self, source: &HelmSource, path: &TreePath) -> Result<Renderer, DesiredError> {
        let helm = |error: helm::Error| self.failed()(RenderError::Helm(error));
        let mut values = Values::default();
        for file in &source.value_files {
            let file = self.with_environment(file);
            match self.read(&file, path)? {
                Some(text) => values.file(&file, &text).map_err(helm)?,
                None if source.ignore_missing_value_files => {}
                None => return Err(DesiredError::NoValues { file }),
            }
        }
        match &source.values {
            InlineValues::None => {}
            InlineValues::Text(text) => {
                let text = self.with_environment(text);
                values.file("values", text.as_bytes()).map_err(helm)?;
            }
            InlineValues::Object(map) => values.object(map),
        }
        for parameter in &source.parameters {
            let value = self.with_environment(&parameter.value);
            let pair = format!("{}={}", parameter.name, escape_commas(&value));
            if parameter.force_string {
                values.set_string(&pair).map_err(helm)?;
            } else {
                values.set(&pair).map_err(helm)?;
            }
        }
        for (name, file) in &source.file_parameters {
            let file = self.with_environment(file);
            let Some(text) = self.read(&file, path)? else {
                return Err(DesiredError::NoValues { file });
            };
            let text: Str = String::from_utf8_lossy(&text).as_ref().into();
            values
                .set_file(&format!("{name}={file}"), &|_| Ok(text.clone()))
                .map_err(helm)?;
        }
        let mut capabilities = self.surroundings.capabilities.clone();
        if let Some(version) = &source.kube_version {
            capabilities.kube_version =
                KubeVersion::parse(version).map_err(|problem| DesiredError::Unsupported {
                    what: format!("kubeVersion {:?} ({problem})", &**version),
                    instead: "write a version such as 1.31.0",
                })?;
        }
        if !source.api_versions.is_empty() {
            capabilities.api_versions = Capabilities::default().api_versions;
            capabilities
                .api_versions
                .extend(source.api_versions.iter().cloned());
        }
        let name = source.release_name.as_ref().unwrap_or(&self.app.name);
        Ok(Renderer::Helm(Box::new(HelmOptions {
            release_name: ReleaseName::new(name).map_err(helm)?,
            namespace: match &source.namespace {
                Some(namespace) => namespace.clone(),
                None if self.app.destination.namespace.is_empty() => "default".into(),
                None => self.app.destination.namespace.clone(),
            },
            values: values.into_map(),
            capabilities,
            include_crds: !source.skip_crds,
            skip_tests: source.skip_tests,
            skip_schema_validation: source.skip_schema_validation,
            profile: match source.version.as_deref() {
                Some("v4") => Profile::Helm4_2,
                _ => Profile::default(),
            },
            seed: self.surroundings.seed.for_application(&self.app.name),
            cluster: self.surroundings.objects.clone(),
            ..HelmOptions::default()
        })))
    }

    fn kustomize(
        &self,
        source: &KustomizeSource,
        path: &TreePath,
    ) -> Result<Renderer, DesiredError> {
        let failed = |error: kustomize::Error| self.failed()(RenderError::Kustomize(error));
        let images = source
            .images
            .iter()
            .map(|image| ImageOverride::parse(&self.with_environment(image)))
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        let pairs = |map: &gitops_core::Map, filled_in: bool| {
            let text = |value: &Value| match value.as_str() {
                Some(text) if filled_in => self.with_environment(text),
                Some(text) => text.into(),
                None => gitops_core::json::to_string(value).into(),
            };
            map.iter()
                .map(|(key, value)| (key.clone(), text(value)))
                .collect::<Vec<(Str, Str)>>()
        };
        let mut components = source.components.clone();
        if source.ignore_missing_components {
            components.retain(|component| {
                // What is elsewhere counts as missing, as there.
                let there = path
                    .join(component)
                    .map(|path| self.snapshot.tree.list(&path));
                matches!(there, Ok(Ok(Some(_))))
            });
        }
        let kube_version = match &source.kube_version {
            Some(version) => version.clone(),
            None => self.surroundings.capabilities.kube_version.version.clone(),
        };
        let api_versions = match source.api_versions.is_empty() {
            true => self.surroundings.capabilities.api_versions.clone(),
            false => source.api_versions.clone(),
        };
        Ok(Renderer::Kustomize(Box::new(KustomizeOptions {
            helm: Some(HelmSupport {
                kube_version,
                api_versions,
                seed: self.surroundings.seed,
                ..HelmSupport::default()
            }),
            remotes: Some(std::sync::Arc::new(self.repositories.clone())),
            overrides: Overrides {
                name_prefix: source.name_prefix.clone(),
                name_suffix: source.name_suffix.clone(),
                namespace: source.namespace.clone().unwrap_or_default(),
                images,
                replicas: source.replicas.clone(),
                common_labels: pairs(&source.labels, true),
                labels_without_selectors: source.label_without_selector,
                labels_in_templates: source.label_include_templates,
                force_common_labels: source.force_labels,
                common_annotations: pairs(&source.annotations, source.annotations_envsubst),
                force_common_annotations: source.force_annotations,
                components,
                patches: source.patches.clone(),
            },
            ..KustomizeOptions::default()
        })))
    }

    /// A file of values: beside the chart, from the root (`/…`), or of another
    /// source (`$ref/…`).
    fn read(&self, file: &str, base: &TreePath) -> Result<Option<Vec<u8>>, DesiredError> {
        let read = |snapshot: &Snapshot, path: &TreePath| {
            let text = snapshot.tree.read(path).map_err(RenderError::Tree);
            let text = text.map_err(self.failed())?;
            Ok(text.map(|text| text.to_vec()))
        };
        if file.contains("://") {
            return Err(DesiredError::Unsupported {
                what: format!("the file of values {file:?}"),
                instead: "put the file into a repository",
            });
        }
        let Some(rest) = file.strip_prefix('$') else {
            return read(self.snapshot, &base.join(file)?);
        };
        let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
        let place = self
            .app
            .sources
            .iter()
            .position(|source| source.reference.as_deref() == Some(name))
            .ok_or_else(|| DesiredError::NoReference {
                file: file.into(),
                name: name.into(),
            })?;
        read(&self.snapshots[place], &TreePath::parse(path)?)
    }

    /// `$ARGOCD_APP_NAME` and its like, filled in.
    fn with_environment(&self, text: &str) -> Str {
        if !text.contains("$ARGOCD_") && !text.contains("${ARGOCD_") {
            return text.into();
        }
        let revision = self.snapshot.revision();
        let short = |length: usize| revision.get(..length).unwrap_or(&revision).to_owned();
        let known = [
            // The longer names first: one is the beginning of another.
            ("ARGOCD_APP_REVISION_SHORT_8", short(8)),
            ("ARGOCD_APP_REVISION_SHORT", short(7)),
            ("ARGOCD_APP_REVISION", revision.to_string()),
            (
                "ARGOCD_APP_NAMESPACE",
                self.app.destination.namespace.to_string(),
            ),
            ("ARGOCD_APP_NAME", self.app.name.to_string()),
            ("ARGOCD_APP_PROJECT_NAME", self.app.project.to_string()),
            ("ARGOCD_APP_SOURCE_PATH", self.source.path.to_string()),
            (
                "ARGOCD_APP_SOURCE_REPO_URL",
                self.source.repo_url.to_string(),
            ),
            (
                "ARGOCD_APP_SOURCE_TARGET_REVISION",
                self.source.revision.to_string(),
            ),
        ];
        let mut text = text.to_owned();
        for (name, value) in known {
            text = text.replace(&format!("${{{name}}}"), &value);
            text = text.replace(&format!("${name}"), &value);
        }
        text.into()
    }
}

/// A comma ends a pair of `--set`, unless the value is a list.
fn escape_commas(value: &str) -> String {
    if value.starts_with('{') && value.ends_with('}') {
        return value.to_owned();
    }
    value.replace(',', "\\,")
}
