//! Transformers, ready to run: those that fields of a kustomization ask for,
//! and those that documents of the built-in plugins' kinds configure.

use gitops_core::yaml::node::{Kind, Node, NodeId, Tree};
use gitops_core::{Map, Str, Value};

use super::decode::{Context, Fields};
use super::error::{Error, ErrorKind, Result, quoted, transform};
use super::fields::{self, FieldSpec};
use super::file::{self, Image, Kustomization, Replacement, Replica, Selector};
use super::generators::Generated;
use super::id::Gvk;
use super::json6902::JsonPatch;
use super::loader::Loader;
use super::metadata::{self, Namespace, Subjects};
use super::names::{self, End};
use super::object::Object;
use super::objects::Objects;
use super::origin::Origin;
use super::patches::{self, Prepared, apply_json};
use super::schema::Schemas;
use super::specs::{self, Specs, field_spec};
use super::{images, replacements};

/// One transformer.
pub(super) enum Step {
    Strategic(Vec<Object>),
    Patch(Box<Prepared>),
    Json6902 {
        target: Selector,
        patch: JsonPatch,
    },
    Namespace(Namespace),
    Affix {
        end: End,
        affix: Str,
        specs: Vec<FieldSpec>,
    },
    /// Labels or annotations.
    Pairs {
        pairs: Vec<(Str, Str)>,
        specs: Vec<FieldSpec>,
    },
    Replicas {
        replica: Replica,
        specs: Vec<FieldSpec>,
    },
    /// Several images, each a transformer of its own.
    Images {
        images: Vec<Image>,
        specs: Vec<FieldSpec>,
    },
    Replacements(Vec<Replacement>),
    Hashes,
    ValueAdd {
        value: Str,
        targets: Vec<ValueTarget>,
    },
}

/// Where a value is added.
pub(super) struct ValueTarget {
    selector: Option<Selector>,
    path: Str,
    /// The place in a file path, from 1; 0 if the whole field is set.
    position: i64,
}

/// A transformer, and how `buildMetadata` names it.
pub(super) struct Planned {
    pub(super) step: Step,
    pub(super) origin: Option<Origin>,
}

impl Step {
    /// How many transformers this is.
    pub(super) fn count(&self) -> usize {
        match self {
            Step::Images { images, .. } => images.len(),
            _ => 1,
        }
    }

    /// Whether what becomes of an object does not depend on others.
    fn is_local(&self) -> bool {
        matches!(
            self,
            Step::Affix { .. } | Step::Pairs { .. } | Step::Images { .. }
        )
    }

    /// Runs a local transformer on some of the objects.
    fn run_at(&self, objects: &mut Objects, places: &[usize]) -> Result<()> {
        match self {
            Step::Affix { end, affix, specs } => {
                names::add_affix(objects, *end, affix, specs, places)
            }
            Step::Pairs { pairs, specs } => metadata::set_pairs(objects, pairs, specs, places),
            Step::Images { images, specs } => images::set_images(objects, images, specs, places),
            _ => Ok(()),
        }
    }

    /// Runs it. A patch that hits nothing is named in `missed`.
    pub(super) fn run(
        &self,
        objects: &mut Objects,
        schemas: &Schemas,
        missed: &mut Vec<String>,
    ) -> Result<()> {
        match self {
            Step::Strategic(patches) => patches::apply_all_strategic(objects, patches, schemas),
            Step::Patch(patch) => {
                if !patch.apply(objects, schemas)? {
                    missed.push(patch.source().to_owned());
                }
                Ok(())
            }
            Step::Json6902 { target, patch } => {
                let selected = patches::select(objects, target)?;
                if selected.is_empty() {
                    missed.push(format!("[target: {}]", patches::show(target)));
                }
                for at in selected {
                    objects.change(at, |object| apply_json(object, patch))?;
                }
                Ok(())
            }
            Step::Namespace(namespace) => namespace.apply(objects),
            Step::Affix { .. } | Step::Pairs { .. } | Step::Images { .. } => {
                let places = objects.places();
                self.run_at(objects, &places)
            }
            Step::Replicas { replica, specs } => metadata::set_replicas(objects, replica, specs),
            Step::Replacements(replacements) => replacements::apply(objects, replacements),
            Step::Hashes => names::add_hashes(objects),
            Step::ValueAdd { value, targets } => targets
                .iter()
                .try_for_each(|target| target.add(objects, value)),
        }
    }
}

/// How many transformers at the start of `planned` can be run together: those
/// of which each looks at one object at a time, and which leave no trace.
pub(super) fn count_local(planned: &[Planned]) -> usize {
    let local = |planned: &&Planned| planned.origin.is_none() && planned.step.is_local();
    planned.iter().take_while(local).count()
}

/// Runs local transformers on a few objects after the other, which stay in the
/// processor's cache meanwhile. The error is the one that running each
/// transformer on all objects would end in.
pub(super) fn run_together(planned: &[Planned], objects: &mut Objects) -> Result<()> {
    const FEW: usize = 64;
    let mut outcome = Ok(());
    let mut planned = planned;
    for places in objects.places().chunks(FEW) {
        for (index, Planned { step, .. }) in planned.iter().enumerate() {
            if let Err(error) = step.run_at(objects, places) {
                // An earlier transformer may still fail on a later object.
                outcome = Err(error);
                planned = &planned[..index];
                break;
            }
        }
    }
    outcome
}

/// The transformers that a kustomization asks for, in Kustomize's order.
pub(super) fn of_kustomization(
    file: &Kustomization,
    specs: &Specs,
    loader: &Loader<'_>,
) -> Result<Vec<(Step, &'static str)>> {
    let mut steps = Vec::new();
    if !file.patches_strategic_merge.is_empty() {
        let patches = patches::load_strategic(&file.patches_strategic_merge, "", loader).map_err(
            |error| {
                let mut config = String::from("paths:\n");
                for path in &file.patches_strategic_merge {
                    let text = gitops_core::yaml::to_string(&Value::from(path.clone()));
                    config.push_str(&format!("- {}", text.unwrap_or_default()));
                }
                in_config(error, "PatchStrategicMergeTransformer", &config)
            },
        )?;
        steps.push((Step::Strategic(patches), "PatchStrategicMergeTransformer"));
    }
    for patch in &file.patches {
        let prepared = Prepared::load(patch, loader)
            .map_err(|error| in_config(error, "PatchTransformer", &patch.config()))?;
        steps.push((Step::Patch(Box::new(prepared)), "PatchTransformer"));
    }
    if !file.namespace.is_empty() {
        let namespace = Namespace {
            name: file.namespace.clone(),
            specs: specs.namespace.clone(),
            ..Namespace::default()
        };
        steps.push((Step::Namespace(namespace), "NamespaceTransformer"));
    }
    for (end, affix, specs, name) in [
        (
            End::Prefix,
            &file.name_prefix,
            &specs.name_prefix,
            "PrefixTransformer",
        ),
        (
            End::Suffix,
            &file.name_suffix,
            &specs.name_suffix,
            "SuffixTransformer",
        ),
    ] {
        if !affix.is_empty() {
            let step = Step::Affix {
                end,
                affix: affix.clone(),
                specs: specs.clone(),
            };
            steps.push((step, name));
        }
    }
    for label in &file.labels {
        let step = Step::Pairs {
            pairs: label.pairs.clone(),
            specs: label_specs(label, specs)
                .map_err(|error| error.within("failed to merge labels"))?,
        };
        steps.push((step, "LabelTransformer"));
    }
    if !file.labels.is_empty() || !file.common_labels.is_empty() {
        let step = Step::Pairs {
            pairs: file.common_labels.clone(),
            specs: specs.common_labels.clone(),
        };
        steps.push((step, "LabelTransformer"));
    }
    if !file.common_annotations.is_empty() {
        let step = Step::Pairs {
            pairs: file.common_annotations.clone(),
            specs: specs.common_annotations.clone(),
        };
        steps.push((step, "AnnotationsTransformer"));
    }
    for patch in &file.patches_json6902 {
        let target = patch.target.as_ref();
        let loaded =
            patches::load_json6902(&patch.path, &patch.patch, target, loader).map_err(|error| {
                in_config(
                    error,
                    "PatchJson6902Transformer",
                    &patch.config_of_json6902(),
                )
            })?;
        let step = Step::Json6902 {
            target: target.cloned().unwrap_or_default(),
            patch: loaded,
        };
        steps.push((step, "PatchJson6902Transformer"));
    }
    for replica in &file.replicas {
        let step = Step::Replicas {
            replica: replica.clone(),
            specs: specs.replicas.clone(),
        };
        steps.push((step, "ReplicaCountTransformer"));
    }
    if !file.images.is_empty() {
        let step = Step::Images {
            images: file.images.clone(),
            specs: specs.images.clone(),
        };
        steps.push((step, "ImageTagTransformer"));
    }
    if !file.replacements.is_empty() {
        let loaded = replacements::load(&file.replacements, loader).map_err(|error| {
            let written = file.replacements.iter().map(|entry| entry.written.clone());
            let config = Map::from_iter([(Str::from("Replacements"), written.collect::<Value>())]);
            let config = file::config_text(&Value::Map(config));
            in_config(error, "ReplacementTransformer", &config)
        })?;
        steps.push((Step::Replacements(loaded), "ReplacementTransformer"));
    }
    Ok(steps)
}

fn in_config(error: Error, plugin: &str, config: &str) -> Error {
    error.within(format_args!(
        "trouble configuring builtin {plugin} with config: `\n{config}`"
    ))
}

fn label_specs(label: &file::Label, specs: &Specs) -> Result<Vec<FieldSpec>> {
    let mut fields = label.fields.clone();
    specs::merge_all(&mut fields, &specs.labels)?;
    if label.include_selectors {
        specs::merge_all(&mut fields, &specs.common_labels)?;
        return Ok(fields);
    }
    if label.include_templates {
        specs::merge_all(&mut fields, &specs.template_labels)
            .map_err(|error| error.within("failed to merge template fieldSpec"))?;
    }
    let labels = FieldSpec::new(Gvk::default(), "metadata/labels", true);
    specs::merge_one(&mut fields, &labels)?;
    Ok(fields)
}

/// The transformers that a document configures.
pub(super) fn of_document(config: &Object, loader: &Loader<'_>) -> Result<Vec<Step>> {
    refuse_external(config)?;
    let kind = &config.id.gvk.kind;
    let steps = configure(config, |fields, value| {
        read_steps(kind, value, fields, loader)
    })?;
    steps.ok_or_else(|| {
        let message = match Generated::of_plugin(kind) {
            None if !matches!(
                &**kind,
                "IAMPolicyGenerator" | "HelmChartInflationGenerator"
            ) =>
            {
                format!("unable to load builtin {}", config.id.gvk)
            }
            _ => format!("plugin {} not a transformer", config.original()),
        };
        Error::new(ErrorKind::Unsupported, message)
    })
}

/// Reads what a document says about the plugin of its kind.
pub(super) fn configure<T>(
    config: &Object,
    read: impl FnOnce(&mut Fields<'_>, &Value) -> Result<T>,
) -> Result<T> {
    let value = config.to_value().map_err(|error| {
        error.within(format_args!(
            "marshalling yaml from res {}",
            config.original()
        ))
    })?;
    let plugin = format!("{}Plugin", config.id.gvk.kind);
    let context = Context::lenient(&plugin);
    let configured = Fields::of(&value, &context).and_then(|fields| {
        // An object is a mapping.
        let mut fields = fields.unwrap_or_else(|| Fields::none(&context));
        read(&mut fields, &value)
    });
    configured.map_err(|error| {
        let error = match error.message().starts_with("json: ") {
            true => error.within("error unmarshaling JSON: while decoding JSON"),
            false => error,
        };
        error.within(format_args!(
            "plugin {} fails configuration",
            config.original()
        ))
    })
}

/// Refuses documents of kinds that are not built in.
pub(super) fn refuse_external(config: &Object) -> Result<()> {
    let gvk = &config.id.gvk;
    if gvk.group.is_empty() && gvk.version == "builtin" {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Unsupported,
        format!(
            "external plugins disabled; unable to load external plugin '{}'",
            config.original().gvk.kind
        ),
    )
    .at(&config.declared.file, config.declared.line))
}

/// `None` for plugins that are not transformers.
fn read_steps(
    kind: &str,
    value: &Value,
    fields: &mut Fields<'_>,
    loader: &Loader<'_>,
) -> Result<Option<Vec<Step>>> {
    let specs = fields.list("fieldSpecs", "[]types.FieldSpec", field_spec)?;
    let affix = |affix: Str, end: End, specs: &Option<Vec<FieldSpec>>| match specs {
        None => Err(transform("fieldSpecs is not expected to be nil")),
        Some(specs) => Ok(Step::Affix {
            end,
            affix,
            specs: specs.clone(),
        }),
    };
    Ok(Some(match kind {
        "AnnotationsTransformer" => vec![Step::Pairs {
            pairs: fields.text_map("annotations")?.unwrap_or_default(),
            specs: specs.unwrap_or_default(),
        }],
        "LabelTransformer" => vec![Step::Pairs {
            pairs: fields.text_map("labels")?.unwrap_or_default(),
            specs: specs.unwrap_or_default(),
        }],
        "NamespaceTransformer" => vec![Step::Namespace(Namespace {
            name: metadata_text(fields, "namespace")?,
            specs: specs.unwrap_or_default(),
            unset_only: fields.flag("unsetOnly")?,
            subjects: subjects(&fields.text("setRoleBindingSubjects")?)?,
        })],
        "PrefixTransformer" => vec![affix(fields.text("prefix")?, End::Prefix, &specs)?],
        "SuffixTransformer" => vec![affix(fields.text("suffix")?, End::Suffix, &specs)?],
        "PrefixSuffixTransformer" => vec![
            affix(fields.text("prefix")?, End::Prefix, &specs)?,
            affix(fields.text("suffix")?, End::Suffix, &specs)?,
        ],
        "ImageTagTransformer" => vec![Step::Images {
            images: vec![fields.object("imageTag", file::image)?.unwrap_or_default()],
            specs: specs.unwrap_or_default(),
        }],
        "ReplicaCountTransformer" => vec![Step::Replicas {
            replica: fields.object("replica", file::replica)?.unwrap_or_default(),
            specs: specs.unwrap_or_default(),
        }],
        "PatchTransformer" => {
            let patch = file::patch(value, fields.context())?;
            vec![Step::Patch(Box::new(Prepared::load(&patch, loader)?))]
        }
        "PatchJson6902Transformer" => {
            let target = fields.object("target", file::selector)?;
            let (path, inline) = (fields.text("path")?, fields.text("jsonOp")?);
            let patch = patches::load_json6902(&path, &inline, target.as_ref(), loader)?;
            vec![Step::Json6902 {
                target: target.unwrap_or_default(),
                patch,
            }]
        }
        "PatchStrategicMergeTransformer" => {
            let paths = fields.texts("paths")?.unwrap_or_default();
            let inline = fields.text("patches")?;
            vec![Step::Strategic(patches::load_strategic(
                &paths, &inline, loader,
            )?)]
        }
        "ReplacementTransformer" => {
            let entries = fields
                .list(
                    "replacements",
                    "[]types.ReplacementField",
                    file::replacement_field,
                )?
                .unwrap_or_default();
            vec![Step::Replacements(replacements::load(&entries, loader)?)]
        }
        "HashTransformer" => vec![Step::Hashes],
        "ValueAddTransformer" => vec![value_add(fields, loader)?],
        _ => return Ok(None),
    }))
}

/// A text of the document's metadata.
pub(super) fn metadata_text(fields: &mut Fields<'_>, name: &'static str) -> Result<Str> {
    let found = fields.object("metadata", |value, context| {
        match Fields::of(value, context)? {
            None => Ok(Str::new()),
            Some(mut fields) => fields.text(name),
        }
    })?;
    Ok(found.unwrap_or_default())
}

fn subjects(text: &str) -> Result<Subjects> {
    match text {
        "" | "defaultOnly" => Ok(Subjects::NamedDefault),
        "allServiceAccounts" => Ok(Subjects::ServiceAccounts),
        "none" => Ok(Subjects::None),
        other => Err(transform(format!(
            "invalid value {} for setRoleBindingSubjects: must be one of \
             \"defaultOnly\", \"none\" or \"allServiceAccounts\"",
            quoted(other)
        ))),
    }
}

fn value_add(fields: &mut Fields<'_>, loader: &Loader<'_>) -> Result<Step> {
    let mut value: Str = fields.text("value")?.trim().into();
    if value.is_empty() {
        value = loader.root.file_name().into();
    }
    let read = |value: &Value, context: &Context<'_>| {
        let Some(mut fields) = Fields::of(value, context)? else {
            return Ok(ValueTarget {
                selector: None,
                path: Str::new(),
                position: 0,
            });
        };
        Ok(ValueTarget {
            selector: fields.object("selector", file::selector)?,
            path: fields.text("fieldPath")?,
            position: fields.integer("filePathPosition", "int")?,
        })
    };
    let mut targets = fields
        .list("targets", "[]builtins.Target", read)?
        .unwrap_or_default();
    let path = fields.text("targetFilePath")?;
    if !path.is_empty() {
        let text = loader.load(&path)?;
        let parsed = gitops_core::yaml::parse(&text)
            .map_err(|error| Error::new(ErrorKind::Parse, error.to_string()))?;
        let context = Context::lenient("ValueAddTransformer");
        if let Some(mut fields) = Fields::of(&parsed, &context)? {
            targets.extend(
                fields
                    .list("targets", "[]builtins.Target", read)?
                    .unwrap_or_default(),
            );
        }
    }
    if targets.is_empty() {
        return Err(transform("must specify at least one target"));
    }
    for target in &targets {
        if target.path.is_empty() {
            return Err(transform("fieldPath cannot be empty"));
        }
        if target.position < 0 {
            return Err(transform(format!(
                "value of FilePathPosition ({}) cannot be negative",
                target.position
            )));
        }
    }
    Ok(Step::ValueAdd { value, targets })
}

impl ValueTarget {
    fn add(&self, objects: &mut Objects, value: &Str) -> Result<()> {
        let selected = match &self.selector {
            None => objects.places(),
            Some(selector) => patches::select(objects, selector)?,
        };
        for at in selected {
            objects.change(at, |object| {
                if self.path == "metadata/namespace" {
                    let id = object.id.clone();
                    let namespace = Namespace {
                        name: value.clone(),
                        ..Namespace::default()
                    };
                    return namespace.apply_to(&mut object.tree, &id.gvk, id.cluster_scoped, &id);
                }
                self.add_to(&mut object.tree, value)
            })?;
        }
        Ok(())
    }

    fn add_to(&self, tree: &mut Tree, value: &str) -> Result<()> {
        let parts = fields::split_path(&self.path, '/');
        let root = tree.root();
        let Some(node) = fields::lookup_or_add(tree, root, &parts, Kind::Scalar)? else {
            return Ok(());
        };
        fields::demand(tree, node, Kind::Scalar)?;
        let text = match self.position {
            0 => value.to_owned(),
            position => with_part(&text_of(tree, node), position as usize - 1, value),
        };
        if text.is_empty() {
            return Ok(());
        }
        fields::set_scalar(tree, node, Node::scalar(text))
    }
}

fn text_of(tree: &Tree, node: NodeId) -> String {
    tree.text(node).unwrap_or_default().to_owned()
}

/// A file path with one more part.
fn with_part(path: &str, position: usize, part: &str) -> String {
    if part.is_empty() {
        return path.to_owned();
    }
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let position = position.min(parts.len());
    parts.insert(position, part);
    match rooted {
        true => format!("/{}", parts.join("/")),
        false => parts.join("/"),
    }
}
