//! What an application is, whichever tool's language it was written in.
//!
//! An [`App`] says where manifests come from ([`Source`]), where they go
//! ([`Destination`]) and how eagerly ([`SyncPolicy`]). [`argo`] reads Argo CD's
//! `Application` and turns it into one; nothing above this module knows Argo
//! CD's field names.

use crate::{Map, Origin, Str, Value};

pub mod argo;

/// One application: sources, a destination, a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct App {
    /// Its name, unique within its namespace.
    pub name: Str,
    /// The namespace that the application object itself lives in; may be
    /// empty.
    pub namespace: Str,
    /// The project that it belongs to.
    pub project: Str,
    /// Where its manifests come from; later sources win.
    pub sources: Vec<Source>,
    /// Where they go.
    pub destination: Destination,
    /// How and when.
    pub sync: SyncPolicy,
    /// Differences to overlook.
    pub ignore_differences: Vec<IgnoreDifference>,
    /// Free text for people, by name.
    pub info: Vec<(Str, Str)>,
    /// How many past syncs are remembered.
    pub history_limit: usize,
    /// What happens to the objects when the application is deleted.
    pub on_delete: OnDelete,
    /// The order of this application among others: its sync wave.
    pub wave: i64,
    /// Where it was declared.
    pub origin: Origin,
}

/// What happens to an application's objects when it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDelete {
    /// They stay.
    Orphan,
    /// They are deleted before the application is.
    Foreground,
    /// They are deleted after the application is.
    Background,
}

/// Where manifests come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// The repository's URL.
    pub repo_url: Str,
    /// The revision; empty for the default branch.
    pub revision: Str,
    /// The directory within the repository, as it was written; empty for the
    /// root.
    pub path: Str,
    /// The chart, if the repository is one of charts.
    pub chart: Option<Str>,
    /// The name under which other sources refer to this one's files.
    pub reference: Option<Str>,
    /// A label for people.
    pub name: Option<Str>,
    /// The prefix of the tags that count, stripped before a range is matched.
    pub tag_prefix: Option<Str>,
    /// What renders it.
    pub tool: Tool,
}

impl Source {
    /// Whether the source only lends its files to others and renders nothing.
    pub fn is_reference_only(&self) -> bool {
        self.reference.is_some() && self.path.is_empty() && self.chart.is_none()
    }
}

/// What renders a source.
#[derive(Clone, Debug, PartialEq)]
pub enum Tool {
    /// Whatever the files look like: a chart, a kustomization, or plain
    /// manifests.
    Detect,
    /// Helm.
    Helm(Box<HelmSource>),
    /// Kustomize.
    Kustomize(Box<KustomizeSource>),
    /// Plain manifests.
    Directory(Box<DirectorySource>),
    /// A plugin, which this family of crates does not run.
    Plugin {
        /// The plugin's name; may be empty.
        name: Str,
    },
}

/// How a chart is rendered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HelmSource {
    /// Files of values, relative to the chart, to the root (`/…`) or to
    /// another source (`$ref/…`).
    pub value_files: Vec<Str>,
    /// Whether a file that is not there is fine.
    pub ignore_missing_value_files: bool,
    /// Values written in place; they win over the files.
    pub values: InlineValues,
    /// Single values, as by `--set` or `--set-string`; they win over those.
    pub parameters: Vec<Parameter>,
    /// Values that are the contents of files, by name.
    pub file_parameters: Vec<(Str, Str)>,
    /// The release's name; the application's if absent.
    pub release_name: Option<Str>,
    /// The release's namespace; the destination's if absent.
    pub namespace: Option<Str>,
    /// Whether the chart's `crds/` are left out.
    pub skip_crds: bool,
    /// Whether test hooks are left out.
    pub skip_tests: bool,
    /// Whether `values.schema.json` is not looked at.
    pub skip_schema_validation: bool,
    /// The Kubernetes version to render for; the cluster's if absent.
    pub kube_version: Option<Str>,
    /// The API versions to render for; the cluster's if empty.
    pub api_versions: Vec<Str>,
    /// The Helm to be: `v3`, `v4`, or whatever is the default.
    pub version: Option<Str>,
    /// Whether credentials go to other hosts too.
    pub pass_credentials: bool,
}

/// Values written in the application itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum InlineValues {
    /// None.
    #[default]
    None,
    /// As a YAML text.
    Text(Str),
    /// As an object.
    Object(Map),
}

/// One `--set`.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// The path of the value.
    pub name: Str,
    /// What it is set to.
    pub value: Str,
    /// Whether it is text whatever it looks like.
    pub force_string: bool,
}

/// How a kustomization is built: its own file, and what is laid over it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KustomizeSource {
    /// Put before every name.
    pub name_prefix: Str,
    /// Put after every name.
    pub name_suffix: Str,
    /// `name=new:tag` and the like.
    pub images: Vec<Str>,
    /// Replica counts by name.
    pub replicas: Vec<(Str, i64)>,
    /// Labels for every object.
    pub labels: Map,
    /// Whether labels of the file itself are overridden.
    pub force_labels: bool,
    /// Whether selectors are left alone.
    pub label_without_selector: bool,
    /// Whether pod templates are labelled though selectors are not.
    pub label_include_templates: bool,
    /// Annotations for every object.
    pub annotations: Map,
    /// Whether annotations of the file itself are overridden.
    pub force_annotations: bool,
    /// Whether annotations have the build environment filled in.
    pub annotations_envsubst: bool,
    /// The namespace of every object.
    pub namespace: Option<Str>,
    /// Patches, in Kustomize's own form.
    pub patches: Vec<Value>,
    /// Components to build in.
    pub components: Vec<Str>,
    /// Whether a component that is not there is fine.
    pub ignore_missing_components: bool,
    /// The Kubernetes version for charts in it.
    pub kube_version: Option<Str>,
    /// The API versions for charts in it.
    pub api_versions: Vec<Str>,
    /// The Kustomize to be.
    pub version: Option<Str>,
}

/// How a directory of manifests is read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DirectorySource {
    /// Whether directories below are read too.
    pub recurse: bool,
    /// A glob of the files to read; all if empty.
    pub include: Str,
    /// A glob of the files not to read; none if empty.
    pub exclude: Str,
    /// Whether files are read whatever their suffix.
    pub any_extension: bool,
    /// Settings for Jsonnet, which this family of crates does not run.
    pub jsonnet: bool,
}

/// The cluster and namespace that manifests go to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destination {
    /// The API server's URL; empty if the cluster is named.
    pub server: Str,
    /// The cluster's name; empty if its URL is given.
    pub name: Str,
    /// The namespace of objects that name none.
    pub namespace: Str,
}

/// How and when an application is made so.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SyncPolicy {
    /// Set if it is synced without being asked.
    pub automated: Option<Automated>,
    /// Sync options, as Argo CD writes them: `Name=value`.
    pub options: Vec<Str>,
    /// Whether and how a failed sync is tried again.
    pub retry: Option<Retry>,
    /// Labels for the destination namespace.
    pub namespace_labels: Map,
    /// Annotations for the destination namespace.
    pub namespace_annotations: Map,
}

/// What is done without being asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Automated {
    /// Delete what is declared no more.
    pub prune: bool,
    /// Undo changes made in the cluster.
    pub self_heal: bool,
    /// Go on even if nothing is declared at all.
    pub allow_empty: bool,
}

/// How a failed sync is tried again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// How often; `None` for ever.
    pub limit: Option<u32>,
    /// The wait before the first retry.
    pub duration: std::time::Duration,
    /// By how much the wait grows each time.
    pub factor: f64,
    /// The longest wait.
    pub max_duration: std::time::Duration,
    /// Whether a retry moves to a newer revision.
    pub refresh: bool,
}

impl Default for Retry {
    /// Five times, from 5 s doubling to 3 min: Argo CD's defaults.
    fn default() -> Self {
        Retry {
            limit: Some(5),
            duration: std::time::Duration::from_secs(5),
            factor: 2.0,
            max_duration: std::time::Duration::from_secs(180),
            refresh: false,
        }
    }
}

impl Retry {
    /// The wait before retry `attempt`, the first being 0.
    pub fn wait(&self, attempt: u32) -> std::time::Duration {
        let wait = self.duration.as_secs_f64()
            * self.factor.powi(i32::try_from(attempt).unwrap_or(i32::MAX));
        std::time::Duration::try_from_secs_f64(wait)
            .map_or(self.max_duration, |wait| wait.min(self.max_duration))
    }
}

/// Fields in which a difference does not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IgnoreDifference {
    /// A glob on the API group.
    pub group: Str,
    /// A glob on the kind.
    pub kind: Str,
    /// The object's name; any if empty.
    pub name: Str,
    /// The object's namespace; any if empty.
    pub namespace: Str,
    /// Fields by JSON pointer.
    pub json_pointers: Vec<Str>,
    /// Fields by jq path expression.
    pub jq_path_expressions: Vec<Str>,
    /// Managers whose fields do not count.
    pub managed_fields_managers: Vec<Str>,
}
