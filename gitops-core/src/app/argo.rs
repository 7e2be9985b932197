//! Argo CD's `Application`, field by field.
//!
//! The types mirror `argoproj.io/v1alpha1` (3.x). Every field is known; a
//! field that is not is an error, because one that is dropped in silence is a
//! setting somebody believes to be in force. Parts that this family of crates
//! cannot carry out (plugins, the source hydrator) are read and refused by
//! name.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::{
    App, Automated, Destination, DirectorySource, HelmSource, IgnoreDifference, InlineValues,
    KustomizeSource, OnDelete, Parameter, Retry, Source, SyncPolicy, Tool,
};
use crate::manifest::{self, Manifest};
use crate::tree::{self, FileTree, TreeError, TreePath};
use crate::{Map, Origin, Str, Value, value, yaml};

/// The annotation that orders objects, and applications, within a sync.
pub const SYNC_WAVE: &str = "argocd.argoproj.io/sync-wave";

/// Why an application cannot be taken as it is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {}{problem}", named(name))]
pub struct AppError {
    /// The application's name; empty if it has none.
    pub name: Str,
    /// File, line and column, as far as they are known.
    pub place: String,
    /// The field's path and what is wrong with it.
    pub problem: String,
}

fn named(name: &str) -> String {
    if name.is_empty() {
        return String::new();
    }
    format!("Application {name:?}: ")
}

/// Whether `manifest` is an Argo CD Application.
pub fn is_application(manifest: &Manifest) -> bool {
    manifest.key().group == "argoproj.io" && manifest.key().kind == "Application"
}

/// The applications in a stream of YAML documents; other kinds are passed
/// over.
///
/// # Errors
///
/// The stream itself cannot be read. What is wrong with one application is in
/// its own place, so that the others go on.
pub fn parse(
    text: &[u8],
    origin: &Origin,
) -> Result<Vec<Result<App, AppError>>, manifest::ManifestError> {
    let manifests = manifest::parse(text, origin)?;
    Ok(manifests
        .iter()
        .filter(|manifest| is_application(manifest))
        .map(|manifest| {
            read(manifest).map_err(|problem| {
                let line = manifest.origin.line;
                let at = problem
                    .path
                    .as_deref()
                    .and_then(|path| yaml::locate(text, line, path));
                AppError {
                    name: manifest.name().into(),
                    place: match at {
                        Some((line, column)) => {
                            format!("{}:{line}:{column}", manifest.origin.file)
                        }
                        None => manifest.origin.to_string(),
                    },
                    problem: problem.text,
                }
            })
        })
        .collect())
}

/// The applications that a tree declares, in whatever folder, sorted by path.
///
/// Templates of charts are not manifests and are passed over; so are files
/// that do not speak of `Application`s. An application that is declared twice
/// counts where it comes first, and is an error where it comes again.
///
/// # Errors
///
/// The tree itself cannot be read. A file that cannot be parsed is an error in
/// the list.
///
/// ```
/// use gitops_core::app::argo;
/// use gitops_core::tree::MemoryTree;
/// let tree: MemoryTree = [(
///     "apps/shop.yaml",
///     "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata:\n  name: shop\nspec:\n  \
///      source:\n    repoURL: https://example.com/shop.git\n    path: deploy\n",
/// )]
/// .try_into()?;
/// let apps = argo::discover(&tree)?;
/// assert_eq!(apps[0].as_ref().unwrap().name, "shop");
/// # Ok::<(), gitops_core::TreeError>(())
/// ```
pub fn discover(tree: &(impl FileTree + ?Sized)) -> Result<Vec<Result<App, AppError>>, TreeError> {
    let mut found: Vec<Result<App, AppError>> = Vec::new();
    let mut seen: BTreeMap<(Str, Str), Origin> = BTreeMap::new();
    for path in tree::walk(tree, &TreePath::ROOT)? {
        let known = [".yaml", ".yml", ".json"];
        if !known.iter().any(|suffix| path.as_str().ends_with(suffix)) {
            continue;
        }
        let Some(text) = tree.read(&path)? else {
            continue;
        };
        let speaks_of = |word: &str| memchr::memmem::find(&text, word.as_bytes()).is_some();
        if !speaks_of("argoproj.io/") || !speaks_of("Application") || is_template(tree, &path)? {
            continue;
        }
        match parse(&text, &Origin::file(path.as_str())) {
            Ok(apps) => found.extend(apps.into_iter().map(|app| {
                let app = app?;
                let name = (app.namespace.clone(), app.name.clone());
                match seen.get(&name) {
                    Some(first) => Err(AppError {
                        name: app.name.clone(),
                        place: app.origin.to_string(),
                        problem: format!("declared already at {first}"),
                    }),
                    None => {
                        seen.insert(name, app.origin.clone());
                        Ok(app)
                    }
                }
            })),
            Err(error) => found.push(Err(AppError {
                name: Str::new(),
                place: match error.column() {
                    0 => error.origin().to_string(),
                    column => format!("{}:{column}", error.origin()),
                },
                problem: match error.hint() {
                    Some(hint) => format!("{}; {hint}", error.problem()),
                    None => error.problem().to_owned(),
                },
            })),
        }
    }
    Ok(found)
}

/// Whether a file lies below the `templates/` of a chart.
fn is_template(tree: &(impl FileTree + ?Sized), path: &TreePath) -> Result<bool, TreeError> {
    let mut above = path.parent();
    while let Some(dir) = above {
        let parent = dir.parent();
        if dir.file_name() == "templates"
            && let Some(chart) = &parent
            && tree.read(&chart.join("Chart.yaml")?)?.is_some()
        {
            return Ok(true);
        }
        above = parent;
    }
    Ok(false)
}

/// The application that `manifest` declares.
///
/// # Errors
///
/// [`AppError`] with the field; its place is only the document's, since a
/// manifest does not remember where its fields were written. [`parse`] does
/// better where there is a text.
pub fn from_manifest(manifest: &Manifest) -> Result<App, AppError> {
    read(manifest).map_err(|problem| AppError {
        name: manifest.name().into(),
        place: manifest.origin.to_string(),
        problem: problem.text,
    })
}

/// What is wrong, and with which field.
struct Problem {
    path: Option<String>,
    text: String,
}

impl Problem {
    fn at(path: &str, text: impl std::fmt::Display) -> Self {
        Problem {
            path: Some(path.to_owned()),
            text: format!("{path}: {text}"),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Application {
    #[serde(rename = "apiVersion")]
    _api_version: Str,
    #[serde(rename = "kind")]
    _kind: Str,
    metadata: Metadata,
    spec: Spec,
    // Requests and reports of Argo CD's own controller.
    #[serde(default, rename = "operation")]
    _operation: Value,
    #[serde(default, rename = "status")]
    _status: Value,
}

/// Metadata is open: labels, owners and the like are anybody's.
#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    name: Str,
    #[serde(default)]
    namespace: Option<Str>,
    #[serde(default)]
    annotations: Option<BTreeMap<Str, Option<Str>>>,
    #[serde(default)]
    finalizers: Option<Vec<Str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    source: Option<ArgoSource>,
    sources: Option<Vec<ArgoSource>>,
    source_hydrator: Option<Value>,
    #[serde(default)]
    destination: ArgoDestination,
    #[serde(default)]
    project: Str,
    sync_policy: Option<ArgoSyncPolicy>,
    ignore_differences: Option<Vec<ArgoIgnore>>,
    info: Option<Vec<NameValue>>,
    revision_history_limit: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ArgoDestination {
    server: Str,
    name: Str,
    namespace: Str,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ArgoSource {
    #[serde(rename = "repoURL")]
    repo_url: Str,
    path: Str,
    target_revision: Str,
    chart: Str,
    #[serde(rename = "ref")]
    reference: Str,
    name: Str,
    tag_prefix: Str,
    helm: Option<ArgoHelm>,
    kustomize: Option<ArgoKustomize>,
    directory: Option<ArgoDirectory>,
    plugin: Option<ArgoPlugin>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ArgoHelm {
    value_files: Option<Vec<Str>>,
    values: Option<Str>,
    values_object: Option<Value>,
    parameters: Option<Vec<ArgoParameter>>,
    file_parameters: Option<Vec<ArgoFileParameter>>,
    release_name: Str,
    version: Str,
    pass_credentials: bool,
    ignore_missing_value_files: bool,
    skip_crds: bool,
    skip_tests: bool,
    skip_schema_validation: bool,
    namespace: Str,
    kube_version: Str,
    api_versions: Option<Vec<Str>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ArgoParameter {
    name: Str,
    value: Str,
    force_string: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ArgoFileParameter {
    name: Str,
    path: Str,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ArgoKustomize {
    name_prefix: Str,
    name_suffix: Str,
    images: Option<Vec<Str>>,
    replicas: Option<Vec<ArgoReplicas>>,
    common_labels: Option<BTreeMap<Str, Str>>,
    force_common_labels: bool,
    label_without_selector: bool,
    label_include_templates: bool,
    common_annotations: Option<BTreeMap<Str, Str>>,
    force_common_annotations: bool,
    common_annotations_envsubst: bool,
    namespace: Str,
    patches: Option<Vec<Value>>,
    components: Option<Vec<Str>>,
    ignore_missing_components: bool,
    version: Str,
    kube_version: Str,
    api_versions: Option<Vec<Str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ArgoReplicas {
    name: Str,
    count: Count,
}

/// A number, also where it is written as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Count {
    Number(i64),
    Text(Str),
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ArgoDirectory {
    recurse: bool,
    include: Str,
    exclude: Str,
    disable_extension_filter: bool,
    jsonnet: Option<ArgoJsonnet>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ArgoJsonnet {
    ext_vars: Option<Vec<Value>>,
    tlas: Option<Vec<Value>>,
    libs: Option<Vec<Str>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ArgoPlugin {
    name: Str,
    #[serde(rename = "env")]
    _env: Option<Vec<NameValue>>,
    #[serde(rename = "parameters")]
    _parameters: Option<Vec<Value>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct NameValue {
    name: Str,
    value: Str,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ArgoSyncPolicy {
    automated: Option<ArgoAutomated>,
    sync_options: Option<Vec<Str>>,
    retry: Option<ArgoRetry>,
    managed_namespace_metadata: Option<ArgoNamespace>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ArgoAutomated {
    prune: Option<bool>,
    self_heal: Option<bool>,
    allow_empty: Option<bool>,
    enabled: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ArgoRetry {
    limit: i64,
    refresh: bool,
    backoff: Option<ArgoBackoff>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ArgoBackoff {
    duration: Str,
    factor: Option<i64>,
    max_duration: Str,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct ArgoNamespace {
    labels: Option<BTreeMap<Str, Str>>,
    annotations: Option<BTreeMap<Str, Str>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ArgoIgnore {
    group: Str,
    kind: Str,
    name: Str,
    namespace: Str,
    json_pointers: Option<Vec<Str>>,
    jq_path_expressions: Option<Vec<Str>>,
    managed_fields_managers: Option<Vec<Str>>,
}

fn read(manifest: &Manifest) -> Result<App, Problem> {
    let application: Application =
        value::from_value(&manifest.to_value()).map_err(|error| Problem {
            path: Some(error.path().to_owned()),
            text: error.to_string(),
        })?;
    let Application { metadata, spec, .. } = application;
    if spec.source_hydrator.is_some() {
        return Err(Problem::at(
            "spec.sourceHydrator",
            "the source hydrator is not supported; point spec.source at the hydrated branch",
        ));
    }
    let sources = match spec.sources.filter(|sources| !sources.is_empty()) {
        Some(sources) => sources
            .into_iter()
            .enumerate()
            .map(|(index, source)| read_source(source, &format!("spec.sources[{index}]")))
            .collect::<Result<Vec<_>, _>>()?,
        None => {
            let source = spec
                .source
                .ok_or_else(|| Problem::at("spec", "no source; set spec.source or spec.sources"))?;
            vec![read_source(source, "spec.source")?]
        }
    };
    let destination = spec.destination;
    if !destination.server.is_empty() && !destination.name.is_empty() {
        return Err(Problem::at(
            "spec.destination",
            "both server and name are set; a destination has exactly one of them",
        ));
    }
    let annotations = metadata.annotations.unwrap_or_default();
    let wave = annotations
        .get(SYNC_WAVE)
        .and_then(|text| text.as_ref()?.parse().ok());
    Ok(App {
        name: metadata.name,
        namespace: metadata.namespace.unwrap_or_default(),
        project: if spec.project.is_empty() {
            "default".into()
        } else {
            spec.project
        },
        sources,
        destination: Destination {
            server: destination.server,
            name: destination.name,
            namespace: destination.namespace,
        },
        sync: read_policy(spec.sync_policy.unwrap_or_default())?,
        ignore_differences: spec
            .ignore_differences
            .unwrap_or_default()
            .into_iter()
            .map(|rule| IgnoreDifference {
                group: rule.group,
                kind: rule.kind,
                name: rule.name,
                namespace: rule.namespace,
                json_pointers: rule.json_pointers.unwrap_or_default(),
                jq_path_expressions: rule.jq_path_expressions.unwrap_or_default(),
                managed_fields_managers: rule.managed_fields_managers.unwrap_or_default(),
            })
            .collect(),
        info: spec
            .info
            .unwrap_or_default()
            .into_iter()
            .map(|entry| (entry.name, entry.value))
            .collect(),
        history_limit: spec
            .revision_history_limit
            .map_or(10, |limit| usize::try_from(limit).unwrap_or(0)),
        on_delete: on_delete(&metadata.finalizers.unwrap_or_default()),
        wave: wave.unwrap_or(0),
        origin: manifest.origin.clone(),
    })
}

fn on_delete(finalizers: &[Str]) -> OnDelete {
    const RESOURCES: &str = "resources-finalizer.argocd.argoproj.io";
    finalizers
        .iter()
        .find_map(|finalizer| match finalizer.strip_prefix(RESOURCES)? {
            "" | "/foreground" => Some(OnDelete::Foreground),
            "/background" => Some(OnDelete::Background),
            _ => None,
        })
        .unwrap_or(OnDelete::Orphan)
}

fn read_source(source: ArgoSource, at: &str) -> Result<Source, Problem> {
    if source.repo_url.is_empty() {
        return Err(Problem::at(at, "repoURL is missing"));
    }
    let blocks = [
        ("helm", source.helm.is_some()),
        ("kustomize", source.kustomize.is_some()),
        ("directory", source.directory.is_some()),
        ("plugin", source.plugin.is_some()),
    ];
    let set: Vec<&str> = blocks
        .iter()
        .filter_map(|(name, set)| set.then_some(*name))
        .collect();
    if set.len() > 1 {
        return Err(Problem::at(
            at,
            format!(
                "{} are set; a source is rendered by exactly one tool",
                set.join(" and ")
            ),
        ));
    }
    let tool = if let Some(helm) = source.helm {
        Tool::Helm(Box::new(read_helm(helm, at)?))
    } else if let Some(kustomize) = source.kustomize {
        Tool::Kustomize(Box::new(read_kustomize(kustomize, at)?))
    } else if let Some(directory) = source.directory {
        Tool::Directory(Box::new(DirectorySource {
            recurse: directory.recurse,
            include: directory.include,
            exclude: directory.exclude,
            any_extension: directory.disable_extension_filter,
            jsonnet: directory.jsonnet.is_some_and(|jsonnet| {
                jsonnet.ext_vars.is_some() || jsonnet.tlas.is_some() || jsonnet.libs.is_some()
            }),
        }))
    } else if let Some(plugin) = source.plugin {
        Tool::Plugin { name: plugin.name }
    } else {
        Tool::Detect
    };
    Ok(Source {
        repo_url: source.repo_url,
        revision: source.target_revision,
        path: source.path,
        chart: given(source.chart),
        reference: given(source.reference),
        name: given(source.name),
        tag_prefix: given(source.tag_prefix),
        tool,
    })
}

fn read_helm(helm: ArgoHelm, at: &str) -> Result<HelmSource, Problem> {
    let values = match (
        helm.values_object,
        helm.values.filter(|text| !text.is_empty()),
    ) {
        (Some(Value::Map(object)), _) => InlineValues::Object(object),
        (Some(Value::Null) | None, Some(text)) => InlineValues::Text(text),
        (Some(Value::Null) | None, None) => InlineValues::None,
        (Some(other), _) => {
            return Err(Problem::at(
                &format!("{at}.helm.valuesObject"),
                format!("expected an object, found {}", other.kind_name()),
            ));
        }
    };
    if !matches!(helm.version.as_str(), "" | "v3" | "v4") {
        return Err(Problem::at(
            &format!("{at}.helm.version"),
            format!("{:?} is no Helm; use v3 or v4", helm.version.as_str()),
        ));
    }
    Ok(HelmSource {
        value_files: helm.value_files.unwrap_or_default(),
        ignore_missing_value_files: helm.ignore_missing_value_files,
        values,
        parameters: helm
            .parameters
            .unwrap_or_default()
            .into_iter()
            .map(|parameter| Parameter {
                name: parameter.name,
                value: parameter.value,
                force_string: parameter.force_string,
            })
            .collect(),
        file_parameters: helm
            .file_parameters
            .unwrap_or_default()
            .into_iter()
            .map(|parameter| (parameter.name, parameter.path))
            .collect(),
        release_name: given(helm.release_name),
        namespace: given(helm.namespace),
        skip_crds: helm.skip_crds,
        skip_tests: helm.skip_tests,
        skip_schema_validation: helm.skip_schema_validation,
        kube_version: given(helm.kube_version),
        api_versions: helm.api_versions.unwrap_or_default(),
        version: given(helm.version),
        pass_credentials: helm.pass_credentials,
    })
}

fn read_kustomize(kustomize: ArgoKustomize, at: &str) -> Result<KustomizeSource, Problem> {
    let mut replicas = Vec::new();
    for entry in kustomize.replicas.unwrap_or_default() {
        let count = match entry.count {
            Count::Number(count) => Some(count),
            Count::Text(text) => text.parse().ok(),
        };
        let count = count.ok_or_else(|| {
            Problem::at(
                &format!("{at}.kustomize.replicas"),
                format!("the count of {:?} is no number", entry.name.as_str()),
            )
        })?;
        replicas.push((entry.name, count));
    }
    Ok(KustomizeSource {
        name_prefix: kustomize.name_prefix,
        name_suffix: kustomize.name_suffix,
        images: kustomize.images.unwrap_or_default(),
        replicas,
        labels: texts(kustomize.common_labels),
        force_labels: kustomize.force_common_labels,
        label_without_selector: kustomize.label_without_selector,
        label_include_templates: kustomize.label_include_templates,
        annotations: texts(kustomize.common_annotations),
        force_annotations: kustomize.force_common_annotations,
        annotations_envsubst: kustomize.common_annotations_envsubst,
        namespace: given(kustomize.namespace),
        patches: kustomize.patches.unwrap_or_default(),
        components: kustomize.components.unwrap_or_default(),
        ignore_missing_components: kustomize.ignore_missing_components,
        kube_version: given(kustomize.kube_version),
        api_versions: kustomize.api_versions.unwrap_or_default(),
        version: given(kustomize.version),
    })
}

fn read_policy(policy: ArgoSyncPolicy) -> Result<SyncPolicy, Problem> {
    let namespace = policy.managed_namespace_metadata.unwrap_or_default();
    Ok(SyncPolicy {
        automated: policy
            .automated
            .filter(|automated| automated.enabled != Some(false))
            .map(|automated| Automated {
                prune: automated.prune.unwrap_or(false),
                self_heal: automated.self_heal.unwrap_or(false),
                allow_empty: automated.allow_empty.unwrap_or(false),
            }),
        options: policy.sync_options.unwrap_or_default(),
        retry: match policy.retry {
            Some(retry) => Some(read_retry(retry)?),
            None => None,
        },
        namespace_labels: texts(namespace.labels),
        namespace_annotations: texts(namespace.annotations),
    })
}

fn read_retry(retry: ArgoRetry) -> Result<Retry, Problem> {
    let default = Retry::default();
    let backoff = retry.backoff.unwrap_or_default();
    let duration = |text: &str, name: &str, default: Duration| {
        if text.is_empty() {
            return Ok(default);
        }
        parse_duration(text).ok_or_else(|| {
            Problem::at(
                &format!("spec.syncPolicy.retry.backoff.{name}"),
                format!("{text:?} is no duration; write 5s, 3m or 1h30m"),
            )
        })
    };
    Ok(Retry {
        limit: u32::try_from(retry.limit).ok(),
        duration: duration(&backoff.duration, "duration", default.duration)?,
        factor: backoff
            .factor
            .map_or(default.factor, |factor| factor as f64),
        max_duration: duration(&backoff.max_duration, "maxDuration", default.max_duration)?,
        refresh: retry.refresh,
    })
}

/// A Go duration; a bare number is seconds.
fn parse_duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        total += number
            * match &rest[..unit] {
                "ns" => 1e-9,
                "us" | "µs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    Duration::try_from_secs_f64(total).ok()
}

fn given(text: Str) -> Option<Str> {
    (!text.is_empty()).then_some(text)
}

fn texts(map: Option<BTreeMap<Str, Str>>) -> Map {
    map.unwrap_or_default().into_iter().collect()
}
