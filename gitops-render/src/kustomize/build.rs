//! One build: Kustomize's `internal/target`.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use gitops_core::{Str, TreePath, Value, yaml};

use super::decode::{Context, Fields};
use super::error::{Error, ErrorKind, Result};
use super::file::{self, COMPONENT, GeneratorOptions, HelmGlobals, Kustomization, NAMES};
use super::generators::{self, Generated};
use super::loader::Loader;
use super::object::Object;
use super::objects::Objects;
use super::origin::Origin;
use super::schema::Schema;
use super::specs::Specs;
use super::steps::{self, Planned};
use super::vars::{self, Vars};
use super::{KustomizeOptions, Overrides, charts, crds, documents, patches};

/// What all kustomizations of a build share.
pub(super) struct Shared<'o> {
    pub(super) options: &'o KustomizeOptions,
    schema: RefCell<Option<Arc<Schema>>>,
    warnings: RefCell<Vec<String>>,
    visited: std::cell::Cell<usize>,
}

/// What a kustomization comes to.
#[derive(Default)]
struct Accumulated {
    objects: Objects,
    specs: Option<Arc<Specs>>,
    vars: Vars,
}

/// A kustomization that was read.
struct Target<'a, 'o> {
    loader: Loader<'a>,
    shared: Rc<Shared<'o>>,
    file: Kustomization,
    /// Where the kustomization file is.
    path: TreePath,
    /// Set if anybody wants to know where things come from.
    origin: Option<Origin>,
    /// The namespace of the next kustomization above that has one.
    parent_namespace: Str,
}

/// The objects of a build, in order, and what was said on the way.
pub(super) struct Outcome {
    /// To be [finished](Object::finish).
    pub(super) objects: Vec<Object>,
    /// Whether origins are wanted.
    pub(super) origins: bool,
    /// Whether transformations are wanted.
    pub(super) transformations: bool,
    pub(super) warnings: Vec<String>,
}

/// Builds the kustomization at the root of `loader`.
pub(super) fn run(loader: Loader<'_>, options: &KustomizeOptions) -> Result<Outcome> {
    let shared = Rc::new(Shared {
        options,
        schema: RefCell::new(None),
        warnings: RefCell::new(Vec::new()),
        visited: std::cell::Cell::new(0),
    });
    let mut target = Target::load(loader, shared.clone())?;
    target.apply_overrides(&options.overrides)?;
    target.set_schema(true)?;
    if !target.file.build_metadata.is_empty() {
        target.origin = Some(Origin::default());
    }
    let Accumulated {
        mut objects,
        specs,
        vars,
    } = target.accumulate(Accumulated::default())?;
    let specs = specs.unwrap_or_else(Specs::defaults);
    super::names::add_hashes(&mut objects)?;
    super::names::fix_references(&mut objects, &specs)?;
    let unused = vars::resolve(&mut objects, &vars, &specs.var_reference)?;
    if !unused.is_empty() {
        let names: Vec<&str> = unused.iter().map(Str::as_str).collect();
        shared.warn(format!(
            "well-defined vars that were never replaced: {}",
            names.join(",")
        ));
    }
    objects.retain(|object| !object.is_local());
    let legacy = target.has_legacy_order()?;
    if legacy {
        objects
            .check_unique()
            .map_err(|error| error.within("SortOrderTransformer: Failed to append to resources"))?;
    }
    let mut list = objects.into_list();
    if legacy {
        let options = target.file.sort_options.as_ref();
        let lists = options.and_then(|options| options.legacy.as_ref());
        super::order::sort_legacy(&mut list, lists);
    }
    let wants = |what: &str| {
        target
            .file
            .build_metadata
            .iter()
            .any(|option| option == what)
    };
    if wants("managedByLabel") {
        let mut labelled = Objects::default();
        for object in list {
            labelled.push(object)?;
        }
        let labels = [(
            "app.kubernetes.io/managed-by".into(),
            format!("kustomize-{}", options.version).into(),
        )];
        let spec =
            super::fields::FieldSpec::new(Default::default(), "metadata/labels".into(), true);
        let places = labelled.places();
        super::metadata::set_pairs(&mut labelled, &labels, &[spec], &places)?;
        list = labelled.into_list();
    }
    let (origins, transformations) = (wants("originAnnotations"), wants("transformerAnnotations"));
    drop(target);
    let warnings = shared.warnings.take();
    Ok(Outcome {
        objects: list,
        origins,
        transformations,
        warnings,
    })
}

impl Shared<'_> {
    fn warn(&self, warning: String) {
        self.warnings.borrow_mut().push(warning);
    }

    /// The schema that merges go by.
    fn schema(&self) -> Arc<Schema> {
        self.schema
            .borrow_mut()
            .get_or_insert_with(Schema::builtin)
            .clone()
    }
}

impl<'a, 'o> Target<'a, 'o> {
    fn load(loader: Loader<'a>, shared: Rc<Shared<'o>>) -> Result<Self> {
        let limits = loader.limits();
        shared.visited.set(shared.visited.get() + 1);
        if shared.visited.get() > limits.kustomizations {
            return Err(Error::new(
                ErrorKind::Limit,
                format!(
                    "more than {} kustomizations in one build",
                    limits.kustomizations
                ),
            ));
        }
        let mut found = Vec::new();
        for name in NAMES {
            match loader.load_at(name) {
                Ok(file) => found.push(file),
                Err(error) if error.kind() == ErrorKind::Limit => return Err(error),
                Err(_) => {}
            }
        }
        let kustomization = |message: String| Error::new(ErrorKind::Kustomization, message);
        let (text, path) = match found.len() {
            1 => found.remove(0),
            0 => {
                return Err(kustomization(format!(
                    "unable to find one of 'kustomization.yaml', 'kustomization.yml' or \
                     'Kustomization' in directory '{}'",
                    loader.show_root()
                )));
            }
            _ => {
                return Err(kustomization(format!(
                    "Found multiple kustomization files under: {}\n",
                    loader.show_root()
                )));
            }
        };
        let mut warnings = Vec::new();
        let parsed = Kustomization::parse(&text, &mut warnings);
        shared.warnings.borrow_mut().extend(warnings);
        let file = parsed.map_err(|error| error.at(&path, 0))?;
        let problems = file.problems();
        if !problems.is_empty() {
            return Err(kustomization(format!(
                "Failed to read kustomization file under {}:\n{}",
                loader.show_root(),
                problems.join("\n")
            ))
            .at(&path, 0));
        }
        Ok(Target {
            loader,
            shared,
            file,
            path,
            origin: None,
            parent_namespace: Str::new(),
        })
    }

    /// What somebody wants otherwise than the file says.
    fn apply_overrides(&mut self, overrides: &Overrides) -> Result<()> {
        overrides.apply(&mut self.file)
    }

    /// Takes the schema that the kustomization names, if no one above did.
    fn set_schema(&self, is_root: bool) -> Result<()> {
        if self.file.openapi.is_empty() {
            return Ok(());
        }
        let get = |name: &str| {
            let mut entries = self.file.openapi.iter();
            entries
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.clone())
        };
        let (path, version) = (get("path"), get("version"));
        let text = match &path {
            Some(path) => Some(self.loader.load(path)?),
            None => None,
        };
        if self.shared.schema.borrow().is_some() {
            return Ok(());
        }
        let invalid =
            |message: &str| Error::new(ErrorKind::Kustomization, message).at(&self.path, 0);
        let schema = match (text, version.as_deref()) {
            (Some(_), Some(_)) => {
                return Err(invalid(
                    "builtin version and custom schema provided, cannot use both",
                ));
            }
            (Some(text), None) => {
                let parsed = yaml::parse(&text)
                    .map_err(|error| invalid(&format!("invalid schema file: {error}")))?;
                // By the time that a kustomization below the root says so, the
                // original has the built-in schema already.
                let base = is_root.then(Schema::default);
                Arc::new(Schema::from_openapi(&parsed, base))
            }
            (None, None | Some("" | "v1.21.2")) => Schema::builtin(),
            (None, Some(_)) => {
                return Err(invalid("the specified OpenAPI version is not built in"));
            }
        };
        *self.shared.schema.borrow_mut() = Some(schema);
        Ok(())
    }

    fn has_legacy_order(&self) -> Result<bool> {
        match &self.file.sort_options {
            None => Ok(self.shared.options.reorder == super::Reorder::Legacy),
            Some(options) => super::order::check(options)
                .map_err(|problem| Error::new(ErrorKind::Kustomization, problem)),
        }
    }

    fn accumulate(&self, mut into: Accumulated) -> Result<Accumulated> {
        self.add_resources(&mut into, &self.file.resources)
            .map_err(|error| error.within("accumulating resources"))?;
        let mut specs = Specs::defaults();
        if !self.file.configurations.is_empty() {
            specs = Arc::new(specs.merge(&self.configurations()?)?);
        }
        into.merge_specs(&specs)?;
        if !self.file.crds.is_empty() {
            let specs = crds::load(&self.file.crds, &self.loader).map_err(|error| {
                let paths: Vec<&str> = self.file.crds.iter().map(Str::as_str).collect();
                error.within(format_args!("loading CRDs [{}]", paths.join(" ")))
            })?;
            into.merge_specs(&Arc::new(specs))?;
        }
        self.run_generators(&mut into)?;
        for path in &self.file.components {
            into = self
                .add_component(into, path)
                .map_err(|error| error.within("accumulating components"))?;
        }
        self.run_transformers(&mut into)?;
        self.run_validators(&mut into)?;
        vars::add(&mut into.objects, &mut into.vars, &self.file.vars)
            .map_err(|error| error.within("merging vars"))?;
        Ok(into)
    }

    fn configurations(&self) -> Result<Specs> {
        let mut all = Specs::default();
        for path in &self.file.configurations {
            let (text, file) = self.loader.load_at(path)?;
            let value = yaml::parse(&text).map_err(|error| {
                Error::new(
                    ErrorKind::Parse,
                    format!("error converting YAML to JSON: {error}"),
                )
                .at(&file, error.line())
            })?;
            let specs = Specs::from_value(&value).map_err(|error| {
                error
                    .within("error unmarshaling JSON: while decoding JSON")
                    .at(&file, 0)
            })?;
            all = all.merge(&specs)?;
        }
        Ok(all)
    }

    fn add_resources(&self, into: &mut Accumulated, paths: &[Str]) -> Result<()> {
        for path in paths {
            let Err(of_file) = self.add_file(into, path) else {
                continue;
            };
            if of_file.kind() == ErrorKind::Limit || of_file.is_final() {
                return Err(of_file);
            }
            let within = |error: Error| {
                error.within(format_args!("accumulation err='{}'", of_file.message()))
            };
            let loader = match self.loader.descend(path) {
                Ok(loader) => loader,
                Err(_) if of_file.is_malformed() => return Err(of_file),
                // Something is wrong with a file that is there: that it is no
                // directory either is beside the point.
                Err(error) if of_file.kind() != ErrorKind::Load => {
                    return Err(of_file.reworded(|words| {
                        format!("accumulation err='{words}': {}", error.message())
                    }));
                }
                Err(error) => return Err(within(error)),
            };
            let below = self.child(loader, path).and_then(|child| {
                child.refuse_kind(false)?;
                child.accumulate_named()
            });
            below
                .and_then(|below| self.merge_below(into, below))
                .map_err(within)?;
        }
        Ok(())
    }

    /// The kustomization in a directory that `path` names here.
    fn child(&self, loader: Loader<'a>, path: &str) -> Result<Target<'a, 'o>> {
        let shown = loader.show_root();
        let mut child = Target::load(loader, self.shared.clone()).map_err(|error| {
            error.within(format_args!("couldn't make target for path '{shown}'"))
        })?;
        child.file.build_metadata = self.file.build_metadata.clone();
        child.origin = self.origin.as_ref().map(|origin| origin.append(path));
        child.parent_namespace = match self.file.namespace.is_empty() {
            true => self.parent_namespace.clone(),
            false => self.file.namespace.clone(),
        };
        child.set_schema(false)?;
        Ok(child)
    }

    fn refuse_kind(&self, wants_component: bool) -> Result<()> {
        let root = self.loader.show_root();
        let message = match (wants_component, self.file.is_component()) {
            (true, false) => format!(
                "expected kind '{COMPONENT}' for path '{root}' but got '{}'",
                self.file.kind
            ),
            (false, true) => format!("expected kind != '{COMPONENT}' for path '{root}'"),
            _ => return Ok(()),
        };
        Err(Error::new(ErrorKind::Kustomization, message).at(&self.path, 0))
    }

    fn accumulate_named(&self) -> Result<(Accumulated, String)> {
        let root = self.loader.show_root();
        let accumulated = self.accumulate(Accumulated::default()).map_err(|error| {
            error.within(format_args!("recursed accumulation of path '{root}'"))
        })?;
        Ok((accumulated, root))
    }

    fn merge_below(&self, into: &mut Accumulated, below: (Accumulated, String)) -> Result<()> {
        let (below, root) = below;
        into.merge(below)
            .map_err(|error| error.within(format_args!("recursed merging from path '{root}'")))?;
        self.check_size(into)
    }

    fn check_size(&self, into: &Accumulated) -> Result<()> {
        let limit = self.loader.limits().objects;
        if into.objects.len() > limit {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("more than {limit} objects in one build"),
            ));
        }
        Ok(())
    }

    fn add_component(&self, into: Accumulated, path: &str) -> Result<Accumulated> {
        let quoted = |what: &str, error: Error| {
            error.reworded(|words| format!("{what} {}", patches::go_quoted(words)))
        };
        let loader = self
            .loader
            .descend(path)
            .map_err(|error| quoted("loader.New", error))?;
        let run = || {
            let child = self.child(loader, path)?;
            child.refuse_kind(true)?;
            let root = child.loader.show_root();
            let accumulated = child.accumulate(into).map_err(|error| {
                error.within(format_args!("recursed accumulation of path '{root}'"))
            })?;
            let mut merged = Accumulated::default();
            self.merge_below(&mut merged, (accumulated, root))?;
            Ok(merged)
        };
        run().map_err(|error| quoted("accumulateDirectory:", error))
    }

    fn add_file(&self, into: &mut Accumulated, path: &str) -> Result<()> {
        let accumulating =
            |error: Error| error.within(format_args!("accumulating resources from '{path}'"));
        let (text, file) = self.loader.load_at(path).map_err(accumulating)?;
        let in_file = |error: Error| accumulating(patches::in_file(error.at(&file, 0), path));
        let mut objects = documents::parse(&text, &file, self.loader.limits()).map_err(in_file)?;
        if let Some(origin) = &self.origin {
            let origin = origin.append(path);
            for object in &mut objects {
                origin.annotate_file(object)?;
            }
        }
        let merging = |error: Error| error.within(format_args!("merging resources from '{path}'"));
        if objects.len() > 1 {
            let objects = distinct(objects).map_err(in_file)?;
            into.objects.append(objects).map_err(merging)?;
        } else {
            for object in objects {
                into.objects.push(object).map_err(merging)?;
            }
        }
        self.check_size(into)
    }

    fn file_name(&self) -> &str {
        self.path.file_name()
    }

    fn run_generators(&self, into: &mut Accumulated) -> Result<()> {
        let global = self.file.generator_options.as_ref();
        for (what, list, plugin) in [
            (
                Generated::ConfigMap,
                &self.file.config_maps,
                "ConfigMapGenerator",
            ),
            (Generated::Secret, &self.file.secrets, "SecretGenerator"),
        ] {
            for args in list {
                let options = GeneratorOptions::with_global(args.options.as_ref(), global);
                let object =
                    generators::make(what, args, options.as_ref(), &self.loader, &self.path)?;
                self.absorb(into, vec![object], self.builtin_origin(plugin).as_ref())?;
            }
        }
        let helm = self.shared.options.helm.as_ref();
        for chart in &self.file.helm_charts {
            let mut chart = chart.clone();
            if chart.namespace.is_empty() {
                chart.namespace = match self.file.namespace.is_empty() {
                    true => self.parent_namespace.clone(),
                    false => self.file.namespace.clone(),
                };
            }
            self.add_chart(into, &chart, &self.file.helm_globals, helm)?;
        }
        let configs = self
            .plugin_configs(&self.file.generators)
            .map_err(|error| error.within("loading generator plugins"))?;
        for config in configs {
            self.generate(into, &config)?;
        }
        Ok(())
    }

    fn add_chart(
        &self,
        into: &mut Accumulated,
        chart: &file::HelmChart,
        globals: &HelmGlobals,
        helm: Option<&super::HelmSupport>,
    ) -> Result<()> {
        charts::check(chart, helm, &self.loader).map_err(|error| {
            error
                .within(format_args!(
                    "trouble configuring builtin HelmChartInflationGenerator with config: \
                     `\nname: {}\n`",
                    chart.name
                ))
                .at(&self.path, 0)
        })?;
        let Some(helm) = helm else { return Ok(()) };
        let schema = self.shared.schema();
        let objects = charts::render(chart, globals, helm, &self.loader, &schema)
            .and_then(distinct)
            .map(Objects::into_list)
            .map_err(|error| error.at(&self.path, 0))?;
        self.absorb(
            into,
            objects,
            self.builtin_origin("HelmChartInflationGenerator").as_ref(),
        )
    }

    fn absorb(
        &self,
        into: &mut Accumulated,
        objects: Vec<Object>,
        origin: Option<&Origin>,
    ) -> Result<()> {
        for mut object in objects {
            if let Some(origin) = origin
                && object.annotation(super::object::ORIGIN).is_none()
            {
                origin.annotate(&mut object)?;
            }
            into.objects
                .absorb(object)
                .map_err(|error| error.within("merging from generator").at(&self.path, 0))?;
        }
        self.check_size(into)
    }

    fn builtin_origin(&self, plugin: &str) -> Option<Origin> {
        let origin = self.origin.as_ref()?;
        Some(origin.of_builtin(self.file_name(), plugin))
    }

    /// The documents of `generators`, `transformers` or `validators`: inline,
    /// in files, or made by kustomizations.
    fn plugin_configs(&self, entries: &[Str]) -> Result<Vec<Object>> {
        let mut into = Accumulated::default();
        let mut paths = Vec::new();
        for entry in entries {
            let inline = documents::parse(entry.as_bytes(), &self.path, self.loader.limits())
                .and_then(distinct)
                .map(Objects::into_list);
            let Ok(objects) = inline else {
                paths.push(entry.clone());
                continue;
            };
            for mut object in objects {
                if let Some(origin) = &self.origin {
                    origin.append(self.file_name()).annotate(&mut object)?;
                }
                into.objects.push(object)?;
            }
        }
        self.add_resources(&mut into, &paths)?;
        Ok(into.objects.into_list())
    }

    fn plugin_origin(&self, config: &Object) -> Option<Origin> {
        self.origin.as_ref()?;
        // What a document says about where it is from was written here.
        let text = config.annotation(super::object::ORIGIN)?;
        let value = yaml::parse(text.as_bytes()).ok()?;
        let part = |key| value.get(key).and_then(Value::as_str).unwrap_or_default();
        let origin = Origin {
            path: part("path").to_owned(),
            repo: part("repo").into(),
            reference: part("ref").into(),
            ..Origin::default()
        };
        Some(origin.of_plugin(config))
    }

    fn generate(&self, into: &mut Accumulated, config: &Object) -> Result<()> {
        let fails = |error: Error| {
            error
                .within("failed to load generator")
                .within("loading generator plugins")
        };
        steps::refuse_external(config).map_err(fails)?;
        let value = config.to_value()?;
        let kind = config.id.gvk.kind.clone();
        let context = Context::lenient(&kind);
        let Some(mut fields) = Fields::of(&value, &context)? else {
            return Ok(());
        };
        let origin = self.plugin_origin(config);
        let mut objects = Vec::new();
        match kind.as_str() {
            "ConfigMapGenerator" | "SecretGenerator" => {
                let mut args = file::generator_args(&mut fields)?;
                let what = match kind.as_str() {
                    "SecretGenerator" => {
                        args.secret_type = fields.text("type")?;
                        Generated::Secret
                    }
                    _ => Generated::ConfigMap,
                };
                if args.name.is_empty() {
                    args.name = config.id.name.clone();
                }
                if args.namespace.is_empty() {
                    args.namespace = config.id.namespace.clone();
                }
                let options = args.options.clone();
                objects.push(generators::make(
                    what,
                    &args,
                    options.as_ref(),
                    &self.loader,
                    &config.declared.file,
                )?);
            }
            "HelmChartInflationGenerator" => {
                let chart = file::helm_chart_fields(&mut fields)?;
                let globals = HelmGlobals {
                    chart_home: fields.text("chartHome")?,
                    config_home: fields.text("configHome")?,
                };
                let helm = self.shared.options.helm.as_ref();
                let fails = |error: Error| {
                    fails(error.within(format_args!(
                        "plugin {} fails configuration",
                        config.original()
                    )))
                };
                charts::check(&chart, helm, &self.loader).map_err(fails)?;
                if let Some(helm) = helm {
                    let schema = self.shared.schema();
                    objects = charts::render(&chart, &globals, helm, &self.loader, &schema)?;
                }
            }
            "IAMPolicyGenerator" => {
                let cloud = fields.text("cloud")?;
                let pair = |fields: &mut Fields<'_>, name, first, second| {
                    let found = fields.object(name, |value, context| {
                        match Fields::of(value, context)? {
                            None => Ok((Str::new(), Str::new())),
                            Some(mut fields) => Ok((fields.text(first)?, fields.text(second)?)),
                        }
                    })?;
                    Ok::<_, Error>(found.unwrap_or_default())
                };
                let account = pair(&mut fields, "serviceAccount", "name", "projectId")?;
                let service = pair(&mut fields, "kubernetesService", "name", "namespace")?;
                objects.push(generators::iam_policy(
                    &cloud,
                    (&account.0, &account.1),
                    (&service.0, &service.1),
                )?);
            }
            _ => {
                // Knowing it as a transformer, the original says that it is
                // one; what nobody knows it does not load.
                let message = match steps::of_document(config, &self.loader) {
                    Ok(_) => format!("plugin {} not a generator", config.original()),
                    Err(error) => error.message().to_owned(),
                };
                return Err(fails(Error::new(ErrorKind::Unsupported, message)));
            }
        }
        self.absorb(into, objects, origin.as_ref())
    }

    fn run_transformers(&self, into: &mut Accumulated) -> Result<()> {
        let specs = into.specs.clone().unwrap_or_else(Specs::defaults);
        let mut planned: Vec<Planned> = steps::of_kustomization(&self.file, &specs, &self.loader)
            .map_err(|error| error.at(&self.path, 0))?
            .into_iter()
            .map(|(step, plugin)| Planned {
                origin: self.builtin_origin(plugin),
                step,
            })
            .collect();
        planned.extend(self.external_transformers(&self.file.transformers)?);
        self.run_planned(into, &planned)
    }

    fn external_transformers(&self, entries: &[Str]) -> Result<Vec<Planned>> {
        let mut planned = Vec::new();
        for config in self.plugin_configs(entries)? {
            let mut steps = steps::of_document(&config, &self.loader)?;
            let origin = self.plugin_origin(&config);
            let last = steps.pop();
            // Several steps of one document are one transformer.
            planned.extend(steps.into_iter().map(|step| Planned { step, origin: None }));
            planned.extend(last.map(|step| Planned { step, origin }));
        }
        Ok(planned)
    }

    fn run_planned(&self, into: &mut Accumulated, planned: &[Planned]) -> Result<()> {
        let mut missed = Vec::new();
        let mut rest = planned;
        while let Some((Planned { step, origin }, others)) = rest.split_first() {
            let together = steps::count_local(rest);
            if together > 1 {
                steps::run_together(&rest[..together], &mut into.objects)
                    .map_err(|error| error.at(&self.path, 0))?;
                rest = &rest[together..];
                continue;
            }
            rest = others;
            let schema = match step.needs_schema() {
                true => self.shared.schema_if_set(),
                false => Arc::default(),
            };
            step.run(&mut into.objects, &schema, &mut missed)
                .map_err(|error| error.at(&self.path, 0))?;
            if let Some(origin) = origin {
                for _ in 0..step.count() {
                    for at in into.objects.places() {
                        into.objects
                            .change(at, |object| origin.annotate_transformation(object))?;
                    }
                }
            }
            self.check_size(into)?;
        }
        if self.shared.options.refuse_missed_patches
            && let Some(source) = missed.first()
        {
            return Err(Error::new(
                ErrorKind::Transform,
                format!("patch {source} hits no object"),
            )
            .at(&self.path, 0));
        }
        Ok(())
    }

    fn run_validators(&self, into: &mut Accumulated) -> Result<()> {
        if self.file.validators.is_empty() {
            return Ok(());
        }
        const VALIDATED: &str = "validated-by";
        let planned = self.external_transformers(&self.file.validators)?;
        let values = |objects: &Objects| {
            let mut values = Vec::new();
            for object in objects.iter() {
                let mut value = object.to_value()?;
                let labels = value
                    .as_map_mut()
                    .and_then(|map| map.get_mut("metadata"))
                    .and_then(Value::as_map_mut)
                    .and_then(|map| map.get_mut("labels"))
                    .and_then(Value::as_map_mut);
                if let Some(labels) = labels {
                    labels.remove(VALIDATED);
                }
                values.push((object.id.to_string(), value));
            }
            Ok::<_, Error>(values)
        };
        let before = values(&into.objects)?;
        self.run_planned(into, &planned)?;
        let after = values(&into.objects)?;
        if before == after {
            return Ok(());
        }
        let changed: BTreeSet<&str> = before
            .iter()
            .zip(&after)
            .filter(|(before, after)| before != after)
            .map(|(before, _)| before.0.as_str())
            .collect();
        Err(Error::new(
            ErrorKind::Transform,
            format!(
                "validator shouldn't modify the resource map: {}",
                changed.into_iter().collect::<Vec<_>>().join(", ")
            ),
        ))
    }
}

impl Shared<'_> {
    /// The schema for one transformer; none of the kustomizations below may
    /// set another once it was used.
    fn schema_if_set(&self) -> Arc<Schema> {
        match &*self.schema.borrow() {
            Some(schema) => schema.clone(),
            None => Schema::builtin(),
        }
    }
}

impl Accumulated {
    fn merge_specs(&mut self, specs: &Arc<Specs>) -> Result<()> {
        self.specs = Some(match &self.specs {
            None if Arc::ptr_eq(specs, &Specs::defaults()) => specs.clone(),
            // Merging is not neutral: a spec for one kind hides a later one for
            // all of them.
            None => Arc::new(Specs::default().merge(specs)?),
            Some(ours) if Arc::ptr_eq(ours, specs) => return Ok(()),
            Some(ours) => Arc::new(ours.merge(specs)?),
        });
        Ok(())
    }

    fn merge(&mut self, other: Accumulated) -> Result<()> {
        self.objects.append(other.objects)?;
        if let Some(specs) = &other.specs {
            self.merge_specs(specs)?;
        }
        vars::merge(&mut self.vars, other.vars)
    }
}

/// Refuses objects of one file that have one identity.
fn distinct(objects: Vec<Object>) -> Result<Objects> {
    let mut list = Objects::default();
    for object in objects {
        list.push(object)?;
    }
    Ok(list)
}
