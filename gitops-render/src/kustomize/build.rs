//! One build: Kustomize's `internal/target`.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use gitops_core::{Str, TreePath, Value, yaml};

use super::decode::{Fields, read_in_order};
use super::error::{Error, ErrorKind, Result, transform};
use super::file::{
    self, COMPONENT, GeneratorArgs, GeneratorOptions, HelmChart, HelmGlobals, Kustomization, NAMES,
};
use super::generators::{self, Generated};
use super::loader::Loader;
use super::object::Object;
use super::objects::Objects;
use super::origin::Origin;
use super::schema::Schemas;
use super::specs::Specs;
use super::steps::{self, Planned};
use super::vars::{self, Vars};
use super::{KustomizeOptions, Overrides, charts, crds, documents, patches};

/// What all kustomizations of a build share.
pub(super) struct Shared<'o> {
    pub(super) options: &'o KustomizeOptions,
    schemas: Schemas,
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

/// What makes objects.
enum Generator {
    Pairs(Generated, GeneratorArgs),
    Chart(Box<HelmChart>, HelmGlobals),
    /// The service account of a policy of Google's IAM.
    Account(Box<Object>),
}

/// A generator that was configured, and how `buildMetadata` names it.
struct PlannedGenerator {
    generator: Generator,
    file: TreePath,
    origin: Option<Origin>,
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
    /// As in a [`Build`](super::Build).
    pub(super) repeatable: bool,
}

/// Builds the kustomization at the root of `loader`.
pub(super) fn run(loader: Loader<'_>, options: &KustomizeOptions) -> Result<Outcome> {
    let shared = Rc::new(Shared {
        options,
        schemas: Schemas::default(),
        warnings: RefCell::new(Vec::new()),
        visited: std::cell::Cell::new(0),
    });
    run_with(loader, options, &shared).map_err(|error| error.after(shared.warnings.take()))
}

fn run_with<'a, 'o>(
    loader: Loader<'a>,
    options: &'o KustomizeOptions,
    shared: &Rc<Shared<'o>>,
) -> Result<Outcome> {
    let mut target = Target::load(loader, shared.clone())?;
    target.apply_overrides(&options.overrides)?;
    target.set_schema()?;
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
    for object in objects.iter() {
        object.check_again()?;
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
        let spec = super::fields::FieldSpec::new(Default::default(), "metadata/labels", true);
        let places = labelled.places();
        super::metadata::set_pairs(&mut labelled, &labels, &[spec], &places)?;
        list = labelled.into_list();
    }
    let (origins, transformations) = (wants("originAnnotations"), wants("transformerAnnotations"));
    let repeatable = !target.loader.is_volatile();
    drop(target);
    let warnings = shared.warnings.take();
    Ok(Outcome {
        objects: list,
        origins,
        transformations,
        warnings,
        repeatable,
    })
}

impl Shared<'_> {
    fn warn(&self, warning: String) {
        self.warnings.borrow_mut().push(warning);
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
            match loader.find_in_root(name) {
                Ok(file) => found.extend(file),
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
    fn set_schema(&self) -> Result<()> {
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
        if self.shared.schemas.is_named() {
            return Ok(());
        }
        let invalid =
            |message: &str| Error::new(ErrorKind::Kustomization, message).at(&self.path, 0);
        match (text, version.as_deref()) {
            (Some(_), Some(_)) => {
                return Err(invalid(
                    "builtin version and custom schema provided, cannot use both",
                ));
            }
            (Some(text), None) => self.shared.schemas.name(&text),
            (None, None | Some("")) => {}
            (None, Some("v1.21.2")) => self.shared.schemas.name_builtin(),
            (None, Some(_)) => {
                return Err(invalid("the specified OpenAPI version is not built in"));
            }
        }
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
        into.merge_specs(&specs)
            .map_err(|error| error.within("merging config"))?;
        if !self.file.crds.is_empty() {
            let specs = crds::load(&self.file.crds, &self.loader).map_err(|error| {
                let paths: Vec<&str> = self.file.crds.iter().map(Str::as_str).collect();
                error.within(format_args!("loading CRDs [{}]", paths.join(" ")))
            })?;
            into.merge_specs(&Arc::new(specs))
                .map_err(|error| error.within("merging CRDs"))?;
        }
        self.run_generators(&mut into)?;
        for path in &self.file.components {
            into = self
                .add_component(into, path)
                .map_err(|error| error.within("accumulating components"))?;
        }
        self.run_transformers(&mut into)?;
        self.run_validators(&mut into)?;
        vars::add(&mut into.objects, &mut into.vars, &self.file.vars).map_err(|error| {
            let vars: Vec<String> = self.file.vars.iter().map(file::Var::show).collect();
            error.within(format_args!("merging vars [{}]", vars.join(" ")))
        })?;
        Ok(into)
    }

    fn configurations(&self) -> Result<Specs> {
        let mut all = Specs::default();
        for path in &self.file.configurations {
            let (text, file) = self.loader.load_at(path)?;
            let options = yaml::Options {
                duplicate_keys: yaml::DuplicateKeys::Error,
                ..yaml::Options::default()
            };
            let value = yaml::parse_with(&text, &options).map_err(|error| {
                Error::new(
                    ErrorKind::Parse,
                    format!("error converting YAML to JSON: {error}"),
                )
                .at(&file, error.line())
            })?;
            let specs = read_in_order(&value, Specs::from_value).map_err(|error| {
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
            self.warn_of_protocol(path);
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

    fn warn_of_protocol(&self, path: &str) {
        let prefix = path.get(..5);
        if prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case("git::")) {
            let warning = "Warning: Forcing the git protocol using the 'git::' URL prefix is not \
                           supported. Kustomize currently strips this invalid prefix, but will \
                           stop doing so in a future release. Please remove the 'git::' prefix \
                           from your configuration.";
            self.shared.warn(warning.to_owned());
        }
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
        child.set_schema()?;
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
            error.reworded(|words| format!("{what} {}", super::error::quoted(words)))
        };
        self.warn_of_protocol(path);
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
        for object in &objects {
            self.shared.schemas.saw(&object.id.gvk);
        }
        if let Some(origin) = &self.origin {
            let origin = origin.append(path);
            for object in &mut objects {
                origin.annotate_file(object)?;
            }
        }
        let merging = |error: Error| error.within(format_args!("merging resources from '{path}'"));
        if objects.len() > 1 {
            let objects = Objects::distinct(objects).map_err(in_file)?;
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

    /// Runs the generators, once all are configured.
    fn run_generators(&self, into: &mut Accumulated) -> Result<()> {
        let global = self.file.generator_options.as_ref();
        let mut planned = Vec::new();
        for (what, list, plugin) in [
            (
                Generated::ConfigMap,
                &self.file.config_maps,
                "ConfigMapGenerator",
            ),
            (Generated::Secret, &self.file.secrets, "SecretGenerator"),
        ] {
            for args in list {
                let mut args = args.clone();
                args.options = GeneratorOptions::with_global(args.options.as_ref(), global);
                planned.push(PlannedGenerator {
                    generator: Generator::Pairs(what, args),
                    file: self.path.clone(),
                    origin: self.builtin_origin(plugin),
                });
            }
        }
        for chart in &self.file.helm_charts {
            let mut chart = chart.clone();
            if chart.namespace.is_empty() {
                chart.namespace = match self.file.namespace.is_empty() {
                    true => self.parent_namespace.clone(),
                    false => self.file.namespace.clone(),
                };
            }
            let globals = &self.file.helm_globals;
            let helm = self.shared.options.helm.as_ref();
            charts::check(&chart, helm, &self.loader).map_err(|error| {
                error
                    .within(format_args!(
                        "trouble configuring builtin HelmChartInflationGenerator with config: \
                         `\n{}`",
                        chart.config(globals)
                    ))
                    .at(&self.path, 0)
            })?;
            planned.push(PlannedGenerator {
                generator: Generator::Chart(Box::new(chart), globals.clone()),
                file: self.path.clone(),
                origin: self.builtin_origin("HelmChartInflationGenerator"),
            });
        }
        let load = || -> Result<Vec<PlannedGenerator>> {
            let configs = self.plugin_configs(&self.file.generators)?;
            let configs = configs.iter().map(|config| self.external_generator(config));
            configs.collect()
        };
        planned.extend(load().map_err(|error| error.within("loading generator plugins"))?);
        for planned in planned {
            let file = &planned.file;
            let objects = match &planned.generator {
                Generator::Pairs(what, args) => {
                    vec![generators::make(*what, args, &self.loader, file)?]
                }
                Generator::Chart(chart, globals) => self.render_chart(chart, globals)?,
                Generator::Account(object) => vec![(**object).clone()],
            };
            self.absorb(into, objects, planned.origin.as_ref())?;
        }
        Ok(())
    }

    fn render_chart(&self, chart: &HelmChart, globals: &HelmGlobals) -> Result<Vec<Object>> {
        // Without Helm, charts do not get through their check.
        let Some(helm) = &self.shared.options.helm else {
            return Ok(Vec::new());
        };
        charts::render(chart, globals, helm, &self.loader, &self.shared.schemas)
            .and_then(Objects::distinct)
            .map(Objects::into_list)
            .map_err(|error| error.at(&self.path, 0))
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
                .and_then(Objects::distinct)
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

    /// The generator that a document configures.
    fn external_generator(&self, config: &Object) -> Result<PlannedGenerator> {
        let fails = |error: Error| error.within("failed to load generator");
        steps::refuse_external(config).map_err(fails)?;
        let generator = match Generated::of_plugin(&config.id.gvk.kind) {
            Some(what) => steps::configure(config, |fields, _| {
                let mut args = file::generator_args(fields)?;
                if what == Generated::Secret {
                    args.secret_type = fields.text("type")?;
                }
                if args.name.is_empty() {
                    args.name = config.id.name.clone();
                }
                if args.namespace.is_empty() {
                    args.namespace = config.id.namespace.clone();
                }
                Ok(Generator::Pairs(what, args))
            }),
            None => match config.id.gvk.kind.as_str() {
                "HelmChartInflationGenerator" => steps::configure(config, |fields, _| {
                    let chart = file::helm_chart_fields(fields)?;
                    let globals = HelmGlobals {
                        chart_home: fields.text("chartHome")?,
                        config_home: fields.text("configHome")?,
                    };
                    charts::check(&chart, self.shared.options.helm.as_ref(), &self.loader)?;
                    Ok(Generator::Chart(Box::new(chart), globals))
                }),
                "IAMPolicyGenerator" => steps::configure(config, |fields, _| {
                    let cloud = fields.text("cloud")?;
                    let account = two_texts(fields, "serviceAccount", ["name", "projectId"])?;
                    let service = two_texts(fields, "kubernetesService", ["name", "namespace"])?;
                    let [name, project] = &account;
                    let [service, namespace] = &service;
                    generators::iam_policy(&cloud, (name, project), (service, namespace))
                        .map(|object| Generator::Account(Box::new(object)))
                }),
                _ => {
                    // Knowing it as a transformer, the original says that it
                    // is one; what nobody knows it does not load.
                    steps::of_document(config, &self.loader).and_then(|_| {
                        Err(Error::new(
                            ErrorKind::Unsupported,
                            format!("plugin {} not a generator", config.original()),
                        ))
                    })
                }
            },
        };
        Ok(PlannedGenerator {
            generator: generator.map_err(fails)?,
            file: config.declared.file.clone(),
            origin: self.plugin_origin(config),
        })
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
        let external = self.external_transformers(&self.file.transformers)?;
        planned.extend(external.into_iter().flatten());
        self.run_planned(into, &planned)
    }

    /// The transformers that documents configure. Several steps of one
    /// document are one transformer.
    fn external_transformers(&self, entries: &[Str]) -> Result<Vec<Vec<Planned>>> {
        let mut planned = Vec::new();
        for config in self.plugin_configs(entries)? {
            let mut steps = steps::of_document(&config, &self.loader)?;
            let origin = self.plugin_origin(&config);
            let last = steps.pop();
            let first = steps.into_iter().map(|step| Planned { step, origin: None });
            planned.push(
                first
                    .chain(last.map(|step| Planned { step, origin }))
                    .collect(),
            );
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
            step.run(&mut into.objects, &self.shared.schemas, &mut missed)
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
        for mut validator in self.external_transformers(&self.file.validators)? {
            // Validators leave no trace.
            validator.iter_mut().for_each(|step| step.origin = None);
            let before: Vec<Object> = into.objects.iter().cloned().collect();
            self.run_planned(into, &validator)?;
            refuse_changes(&before, &into.objects)
                .map_err(|error| error.within("validator shouldn't modify the resource map"))?;
        }
        Ok(())
    }
}

/// Refuses what a validator did to objects, but for one label.
fn refuse_changes(before: &[Object], after: &Objects) -> Result<()> {
    const VALIDATED: &str = "validated-by";
    let count = after.iter().count();
    if before.len() != count {
        return Err(transform(format!(
            "lists have different number of entries: {} and {count}",
            before.len()
        )));
    }
    for old in before {
        let new = match after.with_id(&old.id)[..] {
            [] => {
                return Err(transform(format!(
                    "id in self missing from other; id: {}",
                    old.id
                )));
            }
            [at] => after.get(at),
            [_, _, ..] => {
                let count = after.with_id(&old.id).len();
                return Err(transform(format!(
                    "id in self matches {count} in other; id: {}",
                    old.id
                )));
            }
        };
        let mut new = new.clone();
        let mut labels = new.metadata_map("labels");
        if labels.iter().any(|(key, _)| key == VALIDATED) {
            labels.retain(|(key, _)| key != VALIDATED);
            new.set_metadata_map("labels", &labels)?;
        }
        if old.annotated()? != new.annotated()? {
            return Err(transform(format!(
                "nodes unequal: \n -- {},\n -- {}",
                old.show(),
                new.show()
            )));
        }
    }
    Ok(())
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

/// Two texts of an object.
fn two_texts(
    fields: &mut Fields<'_>,
    name: &'static str,
    texts: [&'static str; 2],
) -> Result<[Str; 2]> {
    let found = fields.object(name, |value, context| match Fields::of(value, context)? {
        None => Ok(Default::default()),
        Some(mut fields) => Ok([fields.text(texts[0])?, fields.text(texts[1])?]),
    })?;
    Ok(found.unwrap_or_default())
}
