//! `helmCharts`: charts rendered by our own Helm, as Kustomize has the
//! program render them.

use std::sync::Arc;

use gitops_core::tree::EntryKind;
use gitops_core::yaml::node::{Limits as NodeLimits, Tree};
use gitops_core::{Map, Str, TreePath, Value, yaml};

use super::HelmSupport;
use super::documents;
use super::error::{Error, ErrorKind, Result};
use super::file::{HelmChart, HelmGlobals};
use super::loader::Loader;
use super::object::Object;
use super::schema::Schemas;
use super::strategic::{self, NewItems};
use crate::helm::{
    Capabilities, Chart, HelmOptions, KubeVersion, ReleaseName, Values, name_of_template, template,
};

fn generate(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Generate, message)
}

/// Refuses what Kustomize refuses before it renders anything.
pub(super) fn check(
    chart: &HelmChart,
    helm: Option<&HelmSupport>,
    loader: &Loader<'_>,
) -> Result<()> {
    if helm.is_none() {
        return Err(generate("must specify --enable-helm"));
    }
    if chart.name.is_empty() {
        return Err(generate("chart name cannot be empty"));
    }
    for file in &chart.additional_values_files {
        loader
            .load(file)
            .map_err(|error| error.within("could not load additionalValuesFile"))?;
    }
    match chart.values_merge.as_str() {
        "" | "merge" | "override" | "replace" => Ok(()),
        _ => Err(generate(
            "valuesMerge must be one of [merge override replace]",
        )),
    }
}

/// Renders a chart.
pub(super) fn render(
    chart: &HelmChart,
    globals: &HelmGlobals,
    helm: &HelmSupport,
    loader: &Loader<'_>,
    schemas: &Schemas,
) -> Result<Vec<Object>> {
    let failed = |error: crate::helm::Error| {
        generate(format!("unable to render chart {}: {error}", chart.name))
    };
    let mut home = match globals.chart_home.is_empty() {
        true => Str::from("charts"),
        false => globals.chart_home.clone(),
    };
    if !chart.version.is_empty() && !chart.repo.is_empty() {
        home = format!("{home}/{}-{}", chart.name, chart.version).into();
    }
    let path = loader
        .root
        .join(&format!("{home}/{}", chart.name))
        .map_err(|error| generate(error.to_string()))?;
    let found = loader
        .tree()
        .resolve(&path)
        .map_err(|error| generate(error.to_string()))?;
    let found = match found {
        Some(entry) if entry.kind == EntryKind::Dir => entry.path,
        _ if chart.repo.is_empty() => {
            return Err(generate(format!(
                "no repo specified for pull, no chart found at '{}'",
                loader.show(&path)
            )));
        }
        _ => {
            return Err(Error::new(
                ErrorKind::Remote,
                format!(
                    "chart {} {} of {} is not in the repository; put it into '{}'",
                    chart.name,
                    chart.version,
                    chart.repo,
                    loader.show(&path)
                ),
            ));
        }
    };
    let loaded = Chart::load(loader.tree(), &found, &helm.load_limits).map_err(failed)?;
    let mut values = Values::default();
    let text = values_text(chart, &found, loader, schemas)?;
    values
        .file(&format!("{}-kustomize-values.yaml", chart.name), &text)
        .map_err(failed)?;
    for file in &chart.additional_values_files {
        values.file(file, &loader.load(file)?).map_err(failed)?;
    }
    let mut capabilities = Capabilities::default();
    let version = match helm.kube_version.is_empty() {
        // What the file says comes after what the command line says.
        _ if !chart.kube_version.is_empty() => &chart.kube_version,
        _ => &helm.kube_version,
    };
    if !version.is_empty() {
        capabilities.kube_version = KubeVersion::parse(version)
            .map_err(|problem| generate(format!("invalid kube version '{version}': {problem}")))?;
    }
    let versions = match chart.api_versions.is_empty() {
        true => &helm.api_versions,
        false => &chart.api_versions,
    };
    capabilities.api_versions.extend(versions.iter().cloned());
    let mut options = HelmOptions {
        values: values.into_map(),
        capabilities,
        include_crds: chart.include_crds,
        skip_tests: chart.skip_tests,
        no_hooks: chart.skip_hooks,
        seed: helm.seed,
        load_limits: helm.load_limits.clone(),
        ..HelmOptions::default()
    };
    if !chart.namespace.is_empty() {
        options.namespace = chart.namespace.clone();
    }
    let name = release_name(chart, &options)?;
    options.release_name = ReleaseName::new(&name).map_err(failed)?;
    let release = template(&Arc::new(loaded), &options).map_err(failed)?;
    if release.inputs.is_volatile(options.seed, false) {
        loader.set_volatile();
    }
    let mut objects = documents::parse(release.to_text().as_bytes(), &found, loader.limits())?;
    for object in &mut objects {
        object.from_chart = true;
    }
    Ok(objects)
}

/// The name of the release. The program makes one up if there is none, which
/// differs from run to run; ours does not.
fn release_name(chart: &HelmChart, options: &HelmOptions) -> Result<String> {
    if chart.name_template.is_empty() {
        return Ok(match chart.release_name.is_empty() {
            false => chart.release_name.to_string(),
            true => format!("{}-0", chart.name.rsplit('/').next().unwrap_or_default()),
        });
    }
    if !chart.release_name.is_empty() {
        return Err(generate(
            "cannot set --name-template and also specify a name",
        ));
    }
    name_of_template(&chart.name_template, options).map_err(|error| {
        generate(format!(
            "unable to render chart {}: nameTemplate: {error}",
            chart.name
        ))
    })
}

/// The values file that the chart is rendered with.
fn values_text(
    chart: &HelmChart,
    path: &TreePath,
    loader: &Loader<'_>,
    schemas: &Schemas,
) -> Result<Vec<u8>> {
    let load = || match chart.values_file.is_empty() {
        false => loader.load(&chart.values_file).map(|text| text.to_vec()),
        true => {
            let file = path
                .join("values.yaml")
                .map_err(|error| generate(error.to_string()))?;
            let text = loader.tree().read(&file);
            match text.map_err(|error| generate(error.to_string()))? {
                Some(text) => Ok(text.to_vec()),
                None => Err(generate(format!(
                    "evalsymlink failure on '{file}' : lstat {file}: no such file or directory",
                    file = loader.show(&file)
                ))),
            }
        }
    };
    let empty = Value::Map(Map::new());
    let inline = match &chart.values_inline {
        Some(Value::Map(map)) if !map.is_empty() => chart.values_inline.as_ref(),
        _ => None,
    };
    let Some(inline) = inline else {
        return load();
    };
    let write = |value: &Value| {
        yaml::to_string(value)
            .map(String::into_bytes)
            .map_err(|error| generate(error.to_string()))
    };
    if chart.values_merge == "replace" {
        return write(inline);
    }
    let text = load()?;
    let parsed = Tree::parse(&text, &NodeLimits::default())
        .map_err(|error| generate(format!("could not parse values file into rnode: {error}")))?;
    let mut file = match parsed {
        Some(tree) if !tree.node(tree.root()).is_null() => tree,
        _ => Tree::from_value(&empty),
    };
    file.inline_aliases(&NodeLimits::default())
        .map_err(generate)?;
    let mut inline = Tree::from_value(inline);
    let merged = if chart.values_merge == "merge" {
        strategic::merge(&mut inline, &file, schemas, NewItems::Last)?;
        inline
    } else {
        strategic::merge(&mut file, &inline, schemas, NewItems::Last)?;
        file
    };
    let value = merged
        .to_value(merged.root())
        .map_err(|error| generate(error.to_string()))?;
    write(&value)
}
