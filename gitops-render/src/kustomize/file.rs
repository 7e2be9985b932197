//! The kustomization file: every field of Kustomize's `types.Kustomization`.

use gitops_core::{Str, Value, yaml};

use super::decode::{Context, Fields, read_in_order};
use super::error::{Error, ErrorKind, Result};
use super::fields::FieldSpec;
use super::id::Gvk;
use super::specs::field_spec;

/// The names that a kustomization file may have.
pub(super) const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// A kustomization file.
#[derive(Clone, Debug, Default)]
pub(super) struct Kustomization {
    pub(super) api_version: Str,
    pub(super) kind: Str,
    pub(super) openapi: Vec<(Str, Str)>,
    pub(super) name_prefix: Str,
    pub(super) name_suffix: Str,
    pub(super) namespace: Str,
    pub(super) common_labels: Vec<(Str, Str)>,
    pub(super) labels: Vec<Label>,
    pub(super) common_annotations: Vec<(Str, Str)>,
    pub(super) patches_strategic_merge: Vec<Str>,
    pub(super) patches_json6902: Vec<Patch>,
    pub(super) patches: Vec<Patch>,
    pub(super) images: Vec<Image>,
    pub(super) replacements: Vec<ReplacementField>,
    pub(super) replicas: Vec<Replica>,
    pub(super) vars: Vec<Var>,
    pub(super) sort_options: Option<SortOptions>,
    pub(super) resources: Vec<Str>,
    pub(super) components: Vec<Str>,
    pub(super) crds: Vec<Str>,
    pub(super) config_maps: Vec<GeneratorArgs>,
    pub(super) secrets: Vec<GeneratorArgs>,
    pub(super) helm_globals: HelmGlobals,
    pub(super) helm_charts: Vec<HelmChart>,
    pub(super) generator_options: Option<GeneratorOptions>,
    pub(super) configurations: Vec<Str>,
    pub(super) generators: Vec<Str>,
    pub(super) transformers: Vec<Str>,
    pub(super) validators: Vec<Str>,
    pub(super) build_metadata: Vec<Str>,
}

/// Labels, and where they go.
#[derive(Clone, Debug, Default)]
pub(super) struct Label {
    pub(super) pairs: Vec<(Str, Str)>,
    pub(super) include_selectors: bool,
    pub(super) include_templates: bool,
    pub(super) fields: Vec<FieldSpec>,
}

/// A patch and what it is for.
#[derive(Clone, Debug, Default)]
pub(super) struct Patch {
    pub(super) path: Str,
    pub(super) patch: Str,
    pub(super) target: Option<Selector>,
    pub(super) allow_name_change: bool,
    pub(super) allow_kind_change: bool,
    /// The entry, for errors.
    pub(super) written: Value,
}

impl Patch {
    /// The entry of `patches` as Kustomize prints it in errors.
    pub(super) fn config(&self) -> String {
        config_text(&self.written)
    }

    /// The entry of `patchesJson6902` as Kustomize prints it in errors.
    pub(super) fn config_of_json6902(&self) -> String {
        let mut written = self.written.clone();
        if let Some(map) = written.as_map_mut() {
            map.remove("options");
            if let Some(patch) = map.remove("patch") {
                map.insert("jsonOp", patch);
            }
        }
        config_text(&written)
    }
}

/// What configures a built-in plugin, as Kustomize prints it in errors.
pub(super) fn config_text(config: &Value) -> String {
    yaml::to_string(&without_empty(config)).unwrap_or_default()
}

/// What Go leaves out of a struct that is empty there. Structs themselves are
/// behind pointers, and a `sourceValue` is.
fn without_empty(value: &Value) -> Value {
    let is_empty = |key: &str, value: &Value| match value {
        Value::Null | Value::Bool(false) | Value::Int(0) => true,
        Value::String(text) => text.is_empty() && key != "sourceValue",
        Value::List(list) => list.is_empty(),
        _ => false,
    };
    match value {
        Value::Map(map) => Value::Map(
            map.iter()
                .filter(|(key, value)| !is_empty(key, value))
                .map(|(key, value)| match key.as_str() {
                    "valuesInline" => (key.clone(), value.clone()),
                    _ => (key.clone(), without_empty(value)),
                })
                .collect(),
        ),
        Value::List(list) => list.iter().map(without_empty).collect(),
        other => other.clone(),
    }
}

/// Which objects are meant.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Selector {
    pub(super) gvk: Gvk,
    pub(super) name: Str,
    pub(super) namespace: Str,
    pub(super) annotations: Str,
    pub(super) labels: Str,
}

/// What becomes of an image.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Image {
    pub(super) name: Str,
    pub(super) new_name: Str,
    pub(super) new_tag: Str,
    pub(super) tag_suffix: Str,
    pub(super) digest: Str,
}

/// A replacement, or the path to a file of them.
#[derive(Clone, Debug, Default)]
pub(super) struct ReplacementField {
    pub(super) path: Str,
    pub(super) replacement: Replacement,
    /// The entry, for errors.
    pub(super) written: Value,
}

/// A value that is copied from one object to others.
#[derive(Clone, Debug, Default)]
pub(super) struct Replacement {
    pub(super) source: Option<Source>,
    pub(super) source_value: Option<Str>,
    pub(super) targets: Option<Vec<Target>>,
}

/// Where a value comes from.
#[derive(Clone, Debug, Default)]
pub(super) struct Source {
    pub(super) gvk: Gvk,
    pub(super) name: Str,
    pub(super) namespace: Str,
    pub(super) field_path: Str,
    pub(super) options: Option<FieldOptions>,
}

/// Where a value goes.
#[derive(Clone, Debug, Default)]
pub(super) struct Target {
    pub(super) select: Option<Selector>,
    pub(super) reject: Vec<Selector>,
    pub(super) field_paths: Vec<Str>,
    pub(super) options: Option<FieldOptions>,
}

/// Which part of a value is meant.
#[derive(Clone, Debug, Default)]
pub(super) struct FieldOptions {
    pub(super) delimiter: Str,
    pub(super) index: i64,
    pub(super) create: bool,
}

/// How many replicas a workload has.
#[derive(Clone, Debug, Default)]
pub(super) struct Replica {
    pub(super) name: Str,
    pub(super) count: i64,
}

/// A variable and the field that it stands for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Var {
    pub(super) name: Str,
    pub(super) gvk: Gvk,
    pub(super) api_version: Str,
    pub(super) object_name: Str,
    pub(super) namespace: Str,
    pub(super) field_path: Str,
}

/// The order of the output.
#[derive(Clone, Debug, Default)]
pub(super) struct SortOptions {
    pub(super) order: Str,
    pub(super) legacy: Option<LegacyOrder>,
}

/// The kinds that come first and last.
#[derive(Clone, Debug, Default)]
pub(super) struct LegacyOrder {
    pub(super) first: Vec<Str>,
    pub(super) last: Vec<Str>,
}

/// What a generated ConfigMap or Secret is made of.
#[derive(Clone, Debug, Default)]
pub(super) struct GeneratorArgs {
    pub(super) name: Str,
    pub(super) namespace: Str,
    pub(super) behavior: Str,
    /// Of a Secret.
    pub(super) secret_type: Str,
    pub(super) literals: Vec<Str>,
    pub(super) files: Vec<Str>,
    pub(super) envs: Vec<Str>,
    pub(super) options: Option<GeneratorOptions>,
}

/// What generated objects look like.
#[derive(Clone, Debug, Default)]
pub(super) struct GeneratorOptions {
    pub(super) labels: Vec<(Str, Str)>,
    pub(super) annotations: Vec<(Str, Str)>,
    pub(super) disable_name_suffix_hash: bool,
    pub(super) immutable: bool,
}

impl GeneratorOptions {
    /// These options of one generator, and those of the whole file.
    pub(super) fn with_global(
        local: Option<&GeneratorOptions>,
        global: Option<&GeneratorOptions>,
    ) -> Option<GeneratorOptions> {
        let Some(global) = global else {
            return local.cloned();
        };
        let mut merged = local.cloned().unwrap_or_default();
        let add = |ours: &mut Vec<(Str, Str)>, theirs: &[(Str, Str)]| {
            for (key, value) in theirs {
                if !ours.iter().any(|(known, _)| known == key) {
                    ours.push((key.clone(), value.clone()));
                }
            }
            ours.sort();
        };
        add(&mut merged.labels, &global.labels);
        add(&mut merged.annotations, &global.annotations);
        merged.disable_name_suffix_hash |= global.disable_name_suffix_hash;
        merged.immutable |= global.immutable;
        Some(merged)
    }
}

/// Where charts are.
#[derive(Clone, Debug, Default)]
pub(super) struct HelmGlobals {
    pub(super) chart_home: Str,
    pub(super) config_home: Str,
}

/// A chart to render.
#[derive(Clone, Debug, Default)]
pub(super) struct HelmChart {
    pub(super) name: Str,
    pub(super) version: Str,
    pub(super) repo: Str,
    pub(super) release_name: Str,
    pub(super) namespace: Str,
    pub(super) additional_values_files: Vec<Str>,
    pub(super) values_file: Str,
    pub(super) values_inline: Option<Value>,
    pub(super) values_merge: Str,
    pub(super) include_crds: bool,
    pub(super) skip_hooks: bool,
    pub(super) api_versions: Vec<Str>,
    pub(super) kube_version: Str,
    pub(super) name_template: Str,
    pub(super) skip_tests: bool,
}

impl HelmChart {
    /// The chart as Kustomize prints it in errors.
    pub(super) fn config(&self, globals: &HelmGlobals) -> String {
        let list = |texts: &[Str]| texts.iter().cloned().map(Value::from).collect();
        let fields: [(&str, Value); 17] = [
            ("chartHome", globals.chart_home.clone().into()),
            ("configHome", globals.config_home.clone().into()),
            ("name", self.name.clone().into()),
            ("version", self.version.clone().into()),
            ("repo", self.repo.clone().into()),
            ("releaseName", self.release_name.clone().into()),
            ("namespace", self.namespace.clone().into()),
            ("additionalValuesFiles", list(&self.additional_values_files)),
            ("valuesFile", self.values_file.clone().into()),
            (
                "valuesInline",
                self.values_inline.clone().unwrap_or_default(),
            ),
            ("valuesMerge", self.values_merge.clone().into()),
            ("includeCRDs", self.include_crds.into()),
            ("skipHooks", self.skip_hooks.into()),
            ("apiVersions", list(&self.api_versions)),
            ("kubeVersion", self.kube_version.clone().into()),
            ("nameTemplate", self.name_template.clone().into()),
            ("skipTests", self.skip_tests.into()),
        ];
        let fields = fields
            .into_iter()
            .map(|(name, value)| (Str::from(name), value));
        config_text(&Value::Map(fields.collect()))
    }
}

impl Kustomization {
    /// Reads a kustomization file; the deprecated fields that it has go to
    /// `warnings`, as Kustomize prints them.
    pub(super) fn parse(text: &[u8], warnings: &mut Vec<String>) -> Result<Self> {
        let invalid = |error: Error| error.within("invalid Kustomization");
        let value = yaml::parse(text)
            .map_err(|error| invalid(Error::new(ErrorKind::Kustomization, error.to_string())))?;
        let context = Context::root("Kustomization");
        let read = |value: &Value| Kustomization::read(value, &context);
        let (this, deprecated, has_some) = read_in_order(&value, read).map_err(invalid)?;
        warnings.extend(deprecated);
        if !has_some {
            return Err(Error::new(
                ErrorKind::Kustomization,
                "kustomization.yaml is empty",
            ));
        }
        Ok(this)
    }

    /// The kustomization, the deprecated fields that it has, and whether it has
    /// any at all.
    fn read(value: &Value, context: &Context<'_>) -> Result<(Kustomization, Vec<String>, bool)> {
        let mut this = Kustomization::default();
        let mut warnings = Vec::new();
        let Some(mut fields) = Fields::of(value, context)? else {
            return Ok((this, warnings, false));
        };
        let mut deprecated = |name: &str, instead: &str, experimental: &str| {
            warnings.push(format!(
                "# Warning: '{name}' is deprecated. Please use '{instead}' instead. \
                 {experimental}Run 'kustomize edit fix' to update your Kustomization \
                 automatically."
            ));
        };
        let api_version = fields.text("apiVersion")?;
        this.kind = fields.text("kind")?;
        // Only that it is there counts.
        let metadata = fields.take("metadata");
        this.openapi = fields.text_map("openapi")?.unwrap_or_default();
        this.name_prefix = fields.text("namePrefix")?;
        this.name_suffix = fields.text("nameSuffix")?;
        this.namespace = fields.text("namespace")?;
        let common_labels = fields.text_map("commonLabels")?;
        let labels = fields.list("labels", "[]types.Label", label)?;
        let common_annotations = fields.text_map("commonAnnotations")?;
        let strategic = fields.texts_of(
            "patchesStrategicMerge",
            "[]types.PatchStrategicMerge",
            "types.PatchStrategicMerge",
        )?;
        let json6902 = fields.list("patchesJson6902", "[]types.Patch", patch)?;
        let patches = fields.list("patches", "[]types.Patch", patch)?;
        let images = fields.list("images", "[]types.Image", image)?;
        let image_tags = fields.list("imageTags", "[]types.Image", image)?;
        let replacements = fields.list(
            "replacements",
            "[]types.ReplacementField",
            replacement_field,
        )?;
        let replicas = fields.list("replicas", "[]types.Replica", replica)?;
        let vars = fields.list("vars", "[]types.Var", var)?;
        this.sort_options = fields.object("sortOptions", sort_options)?;
        let resources = fields.texts("resources")?;
        let components = fields.texts("components")?;
        let crds = fields.texts("crds")?;
        let bases = fields.texts("bases")?;
        let config_maps = fields.list(
            "configMapGenerator",
            "[]types.ConfigMapArgs",
            config_map_args,
        )?;
        let secrets = fields.list("secretGenerator", "[]types.SecretArgs", secret_args)?;
        let globals = fields.object("helmGlobals", helm_globals)?;
        let charts = fields.list("helmCharts", "[]types.HelmChart", helm_chart)?;
        let old_charts = fields.list(
            "helmChartInflationGenerator",
            "[]types.HelmChartArgs",
            old_helm_chart,
        )?;
        this.generator_options = fields.object("generatorOptions", generator_options)?;
        let configurations = fields.texts("configurations")?;
        let generators = fields.texts("generators")?;
        let transformers = fields.texts("transformers")?;
        let validators = fields.texts("validators")?;
        let build_metadata = fields.texts("buildMetadata")?;
        fields.finish()?;
        if bases.is_some() {
            deprecated("bases", "resources", "");
        }
        if common_labels.is_some() {
            deprecated("commonLabels", "labels", "");
        }
        if image_tags.is_some() {
            deprecated("imageTags", "images", "");
        }
        if json6902.is_some() {
            deprecated("patchesJson6902", "patches", "");
        }
        if strategic.is_some() {
            deprecated("patchesStrategicMerge", "patches", "");
        }
        if vars.is_some() {
            deprecated("vars", "replacements", "[EXPERIMENTAL] ");
        }

        // Go compares with an empty struct, after it has moved some fields.
        let has_some = metadata.is_some()
            || this.sort_options.is_some()
            || this.generator_options.is_some()
            || globals.is_some()
            || !this.openapi.is_empty()
            || !this.name_prefix.is_empty()
            || !this.name_suffix.is_empty()
            || !this.namespace.is_empty()
            || common_labels.is_some()
            || labels.is_some()
            || common_annotations.is_some()
            || strategic.is_some()
            || json6902.is_some()
            || patches.is_some()
            || images.is_some()
            || image_tags.as_ref().is_some_and(|list| !list.is_empty())
            || replacements.is_some()
            || replicas.is_some()
            || vars.is_some()
            || resources.is_some()
            || components.is_some()
            || crds.is_some()
            || bases.as_ref().is_some_and(|list| !list.is_empty())
            || config_maps.is_some()
            || secrets.is_some()
            || charts.is_some()
            || old_charts.as_ref().is_some_and(|list| !list.is_empty())
            || configurations.is_some()
            || generators.is_some()
            || transformers.is_some()
            || validators.is_some()
            || build_metadata.is_some();

        this.common_labels = common_labels.unwrap_or_default();
        this.labels = labels.unwrap_or_default();
        this.common_annotations = common_annotations.unwrap_or_default();
        this.patches_strategic_merge = strategic.unwrap_or_default();
        this.patches_json6902 = json6902.unwrap_or_default();
        this.patches = patches.unwrap_or_default();
        this.images = images.unwrap_or_default();
        this.images.extend(image_tags.unwrap_or_default());
        this.replacements = replacements.unwrap_or_default();
        this.replicas = replicas.unwrap_or_default();
        this.vars = vars.unwrap_or_default();
        this.resources = resources.unwrap_or_default();
        this.resources.extend(bases.unwrap_or_default());
        this.components = components.unwrap_or_default();
        this.crds = crds.unwrap_or_default();
        this.config_maps = config_maps.unwrap_or_default();
        this.secrets = secrets.unwrap_or_default();
        this.helm_charts = charts.unwrap_or_default();
        let mut old_globals = HelmGlobals::default();
        for (chart, globals) in old_charts.unwrap_or_default() {
            this.helm_charts.push(chart);
            if !globals.config_home.is_empty() {
                old_globals.config_home = globals.config_home;
            }
            if !globals.chart_home.is_empty() {
                old_globals.chart_home = globals.chart_home;
            }
        }
        this.helm_globals = globals.unwrap_or(old_globals);
        this.configurations = configurations.unwrap_or_default();
        this.generators = generators.unwrap_or_default();
        this.transformers = transformers.unwrap_or_default();
        this.validators = validators.unwrap_or_default();
        this.build_metadata = build_metadata.unwrap_or_default();
        if this.kind.is_empty() {
            this.kind = KUSTOMIZATION.into();
        }
        this.api_version = api_version;
        Ok((this, warnings, has_some))
    }

    /// What is wrong with kind and version; empty if nothing is.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.kind != KUSTOMIZATION && self.kind != COMPONENT {
            problems.push(format!("kind should be {KUSTOMIZATION} or {COMPONENT}"));
        }
        let version = match self.is_component() {
            true => "kustomize.config.k8s.io/v1alpha1",
            false => "kustomize.config.k8s.io/v1beta1",
        };
        if !self.api_version.is_empty() && self.api_version != version {
            problems.push(format!("apiVersion for {} should be {version}", self.kind));
        }
        problems
    }

    pub(super) fn is_component(&self) -> bool {
        self.kind == COMPONENT
    }
}

const KUSTOMIZATION: &str = "Kustomization";
pub(super) const COMPONENT: &str = "Component";

fn label(value: &Value, context: &Context<'_>) -> Result<Label> {
    let Some(mut fields) = Fields::of(value, context)? else {
        return Ok(Label::default());
    };
    let label = Label {
        pairs: fields.text_map("pairs")?.unwrap_or_default(),
        include_selectors: fields.flag("includeSelectors")?,
        include_templates: fields.flag("includeTemplates")?,
        fields: fields
            .list("fields", "[]types.FieldSpec", field_spec)?
            .unwrap_or_default(),
    };
    fields.finish()?;
    Ok(label)
}

pub(super) fn patch(value: &Value, context: &Context<'_>) -> Result<Patch> {
    let Some(mut fields) = Fields::of(value, context)? else {
        return Ok(Patch::default());
    };
    let (allow_name_change, allow_kind_change) = fields
        .object("options", |value, context| {
            let Some(mut fields) = Fields::of(value, context)? else {
                return Ok((false, false));
            };
            let options = (
                fields.flag("allowNameChange")?,
                fields.flag("allowKindChange")?,
            );
            fields.finish()?;
            Ok(options)
        })?
        .unwrap_or_default();
    let patch = Patch {
        path: fields.text("path")?,
        patch: fields.text("patch")?,
        target: fields.object("target", selector)?,
        allow_name_change,
        allow_kind_change,
        written: value.clone(),
    };
    fields.finish()?;
    Ok(patch)
}

pub(super) fn selector(value: &Value, context: &Context<'_>) -> Result<Selector> {
    let Some(mut fields) = Fields::of(value, context)? else {
        return Ok(Selector::default());
    };
    let selector = Selector {
        gvk: gvk(&mut fields)?,
        name: fields.text("name")?,
        namespace: fields.text("namespace")?,
        annotations: fields.text("annotationSelector")?,
        labels: fields.text("labelSelector")?,
    };
    fields.finish()?;
    Ok(selector)
}

fn gvk(fields: &mut Fields<'_>) -> Result<Gvk> {
    Ok(Gvk {
        group: fields.text("group")?,
        version: fields.text("version")?,
        kind: fields.text("kind")?,
    })
}

pub(super) fn image(value: &Value, context: &Context<'_>) -> Result<Image> {
    let Some(mut fields) = Fields::of(value, context)? else {
        return Ok(Image::default());
    };
    let image = Image {
        name: fields.text("name")?,
        new_name: fields.text("newName")?,
        new_tag: fields.text("newTag")?,
        tag_suffix: fields.text("tagSuffix")?,
        digest: fields.text("digest")?,
    };
    fields.finish()?;
    Ok(image)
}

pub(super) fn replacement_field(value: &Value, context: &Context<'_>) -> Result<ReplacementField> {
    let Some(mut fields) = Fields::of(value, context)? else {
        return Ok(ReplacementField::default());
    };
    let path = fields.text("path")?;
    let replacement = replacement_fields(&mut fields)?;
    fields.finish()?;
    Ok(ReplacementField {
        path,
        replacement,
        written: value.clone(),
    })
}

/// One replacement of a file.
pub(super) fn replacement(value: &Value, context: &Context<'_>) -> Result<Replacement> {
    match Fields::of(value, context)? {
        Some(mut fields) => replacement_fields(&mut fields),
        None => Ok(Replacement::default()),
    }
}

fn replacement_fields(fields: &mut Fields<'_>) -> Result<Replacement> {
    Ok(Replacement {
        source: fields.object("source", source)?,
        source_value: fields.optional_text("sourceValue")?,
        targets: fields.list("targets", "[]*types.TargetSelector", target)?,
    })
}

fn source(value: &Value, context: &Context<'_>) -> Result<Source> {
    let Some(mut fields) = Fields::of(value, context)? else {
        return Ok(Source::default());
    };
    let source = Source {
        gvk: gvk(&mut fields)?,
        name: fields.text("name")?,
        namespace: fields.text("namespace")?,
        field_path: fields.text("fieldPath")?,
        options: fields.object("options", field_options)?,
    };
    fields.finish()?;
    Ok(source)
}

fn target(value: &Value, context: &Context<'_>) -> Result<Target> {
    let Some(mut fields) = Fields::of(value, context)? else {
        return Ok(Target::default());
    };
    let target = Target {
        select: fields.object("select", selector)?,
        reject: fields
            .list("reject", "[]*types.Selector", selector)?
            .unwrap_or_default(),
        field_paths: fields.texts("fieldPaths")?.unwrap_or_default(),
        options: fields.object("options", field_options)?,
    };
    fields.finish()?;
    Ok(target)
}

fn field_options(value: &Value, context: &Context<'_>) -> Result<FieldOptions> {
    let Some(mut fields) = Fields::of(value, context)? else {
        return Ok(FieldOptions::default());
    };
    let options = FieldOptions {
        delimiter: fields.text("delimiter")?,
        index: fields.integer("index", "int")?,
        create: fields.flag("create")?,
    };
    fields.text("encoding")?;
    fields.finish()?;
    Ok(options)
}

pub(super) fn replica(value: &Value, context: &Context<'_>) -> Result<Replica> {
    let Some(mut fields) = Fields::of(value, context)? else {
        return Ok(Replica::default());
    };
    let replica = Replica {
        name: fields.text("name")?,
        count: fields.integer("count", "int64")?,
    };
    fields.finish()?;
    Ok(replica)
}

fn var(value: &Value, context: &Context<'_>) -> Result<Var> {
    let Some(mut fields) = Fields::of(value, context)? else {
        return Ok(Var::default());
    };
    let mut var = fields
        .object("objref", |value, context| {
            let Some(mut fields) = Fields::of(value, context)? else {
                return Ok(Var::default());
            };
            let var = Var {
                api_version: fields.text("apiVersion")?,
                gvk: gvk(&mut fields)?,
                object_name: fields.text("name")?,
                namespace: fields.text("namespace")?,
                ..Var::default()
            };
            fields.finish()?;
            Ok(var)
        })?
        .unwrap_or_default();
    var.name = fields.text("name")?;
    var.field_path = fields
        .object("fieldref", |value, context| {
            let Some(mut fields) = Fields::of(value, context)? else {
                return Ok(Str::new());
            };
            let path = fields.text("fieldPath")?;
            fields.finish()?;
            Ok(path)
        })?
        .unwrap_or_default();
    fields.finish()?;
    Ok(var)
}

pub(super) fn sort_options(value: &Value, context: &Context<'_>) -> Result<SortOptions> {
    let Some(mut fields) = Fields::of(value, context)? else {
        return Ok(SortOptions::default());
    };
    let options = SortOptions {
        order: fields
            .text_of("order", "types.SortOrder")?
            .unwrap_or_default(),
        legacy: fields.object("legacySortOptions", |value, context| {
            let Some(mut fields) = Fields::of(value, context)? else {
                return Ok(LegacyOrder::default());
            };
            let order = LegacyOrder {
                first: fields.texts("orderFirst")?.unwrap_or_default(),
                last: fields.texts("orderLast")?.unwrap_or_default(),
            };
            fields.finish()?;
            Ok(order)
        })?,
    };
    fields.finish()?;
    Ok(options)
}

fn config_map_args(value: &Value, context: &Context<'_>) -> Result<GeneratorArgs> {
    let Some(mut fields) = Fields::of(value, context)? else {
        return Ok(GeneratorArgs::default());
    };
    let args = generator_args(&mut fields)?;
    fields.finish()?;
    Ok(args)
}

fn secret_args(value: &Value, context: &Context<'_>) -> Result<GeneratorArgs> {
    let Some(mut fields) = Fields::of(value, context)? else {
        return Ok(GeneratorArgs::default());
    };
    let args = GeneratorArgs {
        secret_type: fields.text("type")?,
        ..generator_args(&mut fields)?
    };
    fields.finish()?;
    Ok(args)
}

pub(super) fn generator_args(fields: &mut Fields<'_>) -> Result<GeneratorArgs> {
    let mut args = GeneratorArgs {
        namespace: fields.text("namespace")?,
        name: fields.text("name")?,
        behavior: fields.text("behavior")?,
        secret_type: Str::new(),
        literals: fields.texts("literals")?.unwrap_or_default(),
        files: fields.texts("files")?.unwrap_or_default(),
        envs: fields.texts("envs")?.unwrap_or_default(),
        options: fields.object("options", generator_options)?,
    };
    let env = fields.text("env")?;
    if !env.is_empty() {
        args.envs.push(env);
    }
    Ok(args)
}

pub(super) fn generator_options(value: &Value, context: &Context<'_>) -> Result<GeneratorOptions> {
    let Some(mut fields) = Fields::of(value, context)? else {
        return Ok(GeneratorOptions::default());
    };
    let options = GeneratorOptions {
        labels: fields.text_map("labels")?.unwrap_or_default(),
        annotations: fields.text_map("annotations")?.unwrap_or_default(),
        disable_name_suffix_hash: fields.flag("disableNameSuffixHash")?,
        immutable: fields.flag("immutable")?,
    };
    fields.finish()?;
    Ok(options)
}

fn helm_globals(value: &Value, context: &Context<'_>) -> Result<HelmGlobals> {
    let Some(mut fields) = Fields::of(value, context)? else {
        return Ok(HelmGlobals::default());
    };
    let globals = HelmGlobals {
        chart_home: fields.text("chartHome")?,
        config_home: fields.text("configHome")?,
    };
    fields.finish()?;
    Ok(globals)
}

fn helm_chart(value: &Value, context: &Context<'_>) -> Result<HelmChart> {
    let Some(mut fields) = Fields::of(value, context)? else {
        return Ok(HelmChart::default());
    };
    let chart = helm_chart_fields(&mut fields)?;
    fields.finish()?;
    Ok(chart)
}

pub(super) fn helm_chart_fields(fields: &mut Fields<'_>) -> Result<HelmChart> {
    let chart = HelmChart {
        name: fields.text("name")?,
        version: fields.text("version")?,
        repo: fields.text("repo")?,
        release_name: fields.text("releaseName")?,
        namespace: fields.text("namespace")?,
        additional_values_files: fields.texts("additionalValuesFiles")?.unwrap_or_default(),
        values_file: fields.text("valuesFile")?,
        values_inline: values(fields, "valuesInline")?,
        values_merge: fields.text("valuesMerge")?,
        include_crds: fields.flag("includeCRDs")?,
        skip_hooks: fields.flag("skipHooks")?,
        api_versions: fields.texts("apiVersions")?.unwrap_or_default(),
        kube_version: fields.text("kubeVersion")?,
        name_template: fields.text("nameTemplate")?,
        skip_tests: fields.flag("skipTests")?,
    };
    // What the program is run with does not matter here.
    fields.flag("debug")?;
    fields.flag("devel")?;
    Ok(chart)
}

fn values(fields: &mut Fields<'_>, name: &'static str) -> Result<Option<Value>> {
    fields.object(name, |value, context| match value {
        Value::Map(_) => Ok(value.clone()),
        other => Err(context.mismatch(other, "map[string]interface {}")),
    })
}

fn old_helm_chart(value: &Value, context: &Context<'_>) -> Result<(HelmChart, HelmGlobals)> {
    let Some(mut fields) = Fields::of(value, context)? else {
        return Ok(Default::default());
    };
    let chart = HelmChart {
        name: fields.text("chartName")?,
        version: fields.text("chartVersion")?,
        repo: fields.text("chartRepoUrl")?,
        values_file: fields.text("values")?,
        values_inline: values(&mut fields, "valuesLocal")?,
        values_merge: fields.text("valuesMerge")?,
        release_name: fields.text("releaseName")?,
        ..HelmChart::default()
    };
    let globals = HelmGlobals {
        chart_home: fields.text("chartHome")?,
        config_home: fields.text("helmHome")?,
    };
    for name in ["chartRepoName", "helmBin", "releaseNamespace"] {
        fields.text(name)?;
    }
    fields.texts("extraArgs")?;
    fields.finish()?;
    Ok((chart, globals))
}
