//! Patches: what they are, what they are for, and applying them.

use gitops_core::selector::Selector as LabelSelector;
use gitops_core::{Map, Str, TreePath, Value, json, yaml};

use super::error::{Error, ErrorKind, Result, quoted, transform};
use super::file::{Patch, Selector};
use super::id::Gvk;
use super::json6902::JsonPatch;
use super::loader::Loader;
use super::object::Object;
use super::objects::Objects;
use super::schema::Schemas;
use super::strategic::{self, NewItems};
use super::{Limits, documents};
use crate::re2::Re2;
use gitops_core::yaml::node::{NodeId, Tree};

/// A [`Selector`], ready to be asked.
pub(super) struct Chosen {
    group: Pattern,
    version: Pattern,
    kind: Pattern,
    name: Pattern,
    namespace: Pattern,
    annotations: LabelSelector,
    labels: LabelSelector,
}

/// A regular expression that has to fit the whole text. Most are plain words.
enum Pattern {
    Any,
    Word(Str),
    Regex(std::rc::Rc<Re2>),
}

impl Pattern {
    fn new(pattern: &str) -> Result<Self> {
        if pattern.is_empty() {
            return Ok(Pattern::Any);
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/');
        if pattern.bytes().all(plain) {
            return Ok(Pattern::Word(pattern.into()));
        }
        Re2::cached(&format!("^(?:{pattern})$"))
            .map(Pattern::Regex)
            .map_err(|error| transform(error.to_string()))
    }

    fn fits(&self, text: &str) -> bool {
        match self {
            Pattern::Any => true,
            Pattern::Word(word) => word == text,
            Pattern::Regex(pattern) => pattern.regex.is_match(text.as_bytes()),
        }
    }
}

impl Chosen {
    pub(super) fn new(selector: &Selector) -> Result<Self> {
        let labels = |text: &Str| {
            text.parse::<LabelSelector>()
                .map_err(|error| transform(requirement(&error.to_string())))
        };
        Ok(Chosen {
            group: Pattern::new(&selector.gvk.group)?,
            version: Pattern::new(&selector.gvk.version)?,
            kind: Pattern::new(&selector.gvk.kind)?,
            name: Pattern::new(&selector.name)?,
            namespace: Pattern::new(&selector.namespace)?,
            annotations: labels(&selector.annotations)?,
            labels: labels(&selector.labels)?,
        })
    }

    pub(super) fn fits_gvk(&self, gvk: &Gvk) -> bool {
        self.kind.fits(&gvk.kind) && self.group.fits(&gvk.group) && self.version.fits(&gvk.version)
    }

    /// Those among which the chosen are: few, if the selector says a name.
    pub(super) fn candidates(&self, objects: &Objects) -> Vec<usize> {
        match &self.name {
            Pattern::Word(name) => objects.named(name),
            _ => objects.places(),
        }
    }

    pub(super) fn fits_name(&self, name: &str) -> bool {
        self.name.fits(name)
    }

    pub(super) fn fits_namespace(&self, namespace: &str) -> bool {
        self.namespace.fits(namespace)
    }

    pub(super) fn fits_metadata(&self, object: &Object) -> bool {
        let fits = |selector: &LabelSelector, field: &str| {
            selector.is_everything()
                || selector.matches(&Map::from_iter(object.metadata_map(field)))
        };
        fits(&self.labels, "labels") && fits(&self.annotations, "annotations")
    }

    /// Whether the object is meant, by what it is or was at first.
    fn fits(&self, object: &Object) -> bool {
        let now = &object.id;
        if !self.fits_gvk(&now.gvk) {
            return false;
        }
        if object.previous.is_empty() {
            return self.name.fits(&now.name)
                && self.namespace.fits(now.effective_namespace())
                && self.fits_metadata(object);
        }
        let first = object.original();
        (self.namespace.fits(first.effective_namespace())
            || self.namespace.fits(now.effective_namespace()))
            && (self.name.fits(&first.name) || self.name.fits(&now.name))
            && self.fits_metadata(object)
    }
}

/// Whether a [`Chosen`] failed because of labels, and not of a pattern.
pub(super) fn is_of_labels(error: &Error) -> bool {
    let words = ["unable to parse requirement: ", "found '"];
    words.iter().any(|words| error.message().starts_with(words))
}

/// What is wrong with a label selector, in the words of kyaml's parser, which
/// is an older one.
fn requirement(problem: &str) -> String {
    let problem = problem
        .replace(
            "expected: in, notin, =, ==, !=, gt, lt",
            "expected: '=', '!=', '==', 'in', notin'",
        )
        .replace("expected: an identifier", "expected: identifier");
    let between = [
        "expected: identifier after ','",
        "expected: ',' or 'end of string'",
        "expected: !, identifier, or 'end of string'",
    ];
    match between.iter().any(|end| problem.ends_with(end)) {
        true => problem,
        false => format!("unable to parse requirement: {problem}"),
    }
}

/// The places of the objects that are meant.
pub(super) fn select(objects: &Objects, selector: &Selector) -> Result<Vec<usize>> {
    let chosen = Chosen::new(selector)?;
    Ok(chosen
        .candidates(objects)
        .into_iter()
        .filter(|at| chosen.fits(objects.get(*at)))
        .collect())
}

/// What a patch is, once its text was looked at.
pub(super) enum Loaded {
    Strategic(Vec<Object>),
    Json(JsonPatch),
    /// Nothing but blanks and comments.
    Nothing,
}

/// One entry of `patches`, ready to be applied.
pub(super) struct Prepared {
    target: Option<Selector>,
    loaded: Loaded,
    /// How messages name the patch.
    source: String,
    file: TreePath,
}

impl Prepared {
    /// Reads an entry of `patches`.
    pub(super) fn load(patch: &Patch, loader: &Loader<'_>) -> Result<Self> {
        let inline = patch.patch.trim();
        let (text, source, file) = match (inline.is_empty(), patch.path.is_empty()) {
            (true, true) => {
                return Err(transform(format!(
                    "must specify one of patch and path in\n{}",
                    patch.config()
                )));
            }
            (false, false) => {
                return Err(transform(format!(
                    "patch and path can't be set at the same time\n{}",
                    patch.config()
                )));
            }
            (false, true) => (
                bytes::Bytes::copy_from_slice(inline.as_bytes()),
                format!("[patch: {}]", quoted(inline)),
                TreePath::default(),
            ),
            (true, false) => {
                let (text, file) = loader.load_at(&patch.path).map_err(|error| {
                    error.within(format_args!(
                        "failed to get the patch file from path({})",
                        patch.path
                    ))
                })?;
                (text, format!("[path: {}]", quoted(&patch.path)), file)
            }
        };
        let json = match text.is_empty() {
            true => Err("empty json patch operations".to_owned()),
            false => JsonPatch::parse(&text, loader.limits()),
        };
        let strategic = match documents::parse(&text, &file, loader.limits()) {
            Err(error) if error.kind() == ErrorKind::Limit => return Err(error),
            parsed => parsed,
        };
        let loaded = match (strategic, json) {
            (Ok(strategic), Ok(json)) if !strategic.is_empty() && !json.is_empty() => {
                return Err(transform(format!(
                    "illegally qualifies as both an SM and JSON patch: {source}"
                )));
            }
            (Err(_), Err(_)) => {
                return Err(
                    transform(format!("unable to parse SM or JSON patch from {source}"))
                        .at(&file, 0),
                );
            }
            (Ok(objects), _) if objects.is_empty() => Loaded::Nothing,
            (Ok(mut objects), _) => {
                for object in &mut objects {
                    object.allow_name_change |= patch.allow_name_change;
                    object.allow_kind_change |= patch.allow_kind_change;
                }
                Loaded::Strategic(objects)
            }
            (Err(_), Ok(json)) if json.is_empty() => Loaded::Nothing,
            (Err(_), Ok(json)) => Loaded::Json(json),
        };
        Ok(Prepared {
            target: patch.target.clone(),
            loaded,
            source,
            file,
        })
    }

    /// Applies the patch; says whether it hit anything.
    pub(super) fn apply(&self, objects: &mut Objects, schemas: &Schemas) -> Result<bool> {
        let target = self.target.as_ref();
        match (&self.loaded, target) {
            (Loaded::Nothing, _) => Ok(true),
            (Loaded::Strategic(patches), Some(target)) => {
                if patches.len() > 1 {
                    return Err(transform(format!(
                        "Multiple Strategic-Merge Patches in one `patches` entry is not allowed \
                         to set `patches.target` field: {}",
                        self.source
                    )));
                }
                let selected = select(objects, target).map_err(|error| {
                    error.within(format_args!(
                        "unable to find patch target {} in `resources`",
                        quoted(&show(target))
                    ))
                })?;
                for at in &selected {
                    apply_strategic(objects, *at, &patches[0], schemas, true)?;
                }
                objects.check_unique()?;
                Ok(!selected.is_empty())
            }
            (Loaded::Strategic(patches), None) => {
                for patch in patches {
                    let id = patch.original();
                    let at = objects.unique(&id).map_err(|error| {
                        error
                            .within(format_args!(
                                "no resource matches strategic merge patch {}",
                                quoted(&id.to_string())
                            ))
                            .at(&self.file, patch.declared.line)
                    })?;
                    apply_strategic(objects, at, patch, schemas, false)?;
                }
                Ok(true)
            }
            (Loaded::Json(_), None) => Err(transform(format!(
                "must specify a target for JSON patch {}",
                self.source
            ))),
            (Loaded::Json(patch), Some(target)) => {
                let selected = select(objects, target)?;
                for at in &selected {
                    objects.change(*at, |object| {
                        object.remember();
                        apply_json(object, patch)
                    })?;
                }
                Ok(!selected.is_empty())
            }
        }
    }

    /// How messages name the patch.
    pub(super) fn source(&self) -> &str {
        &self.source
    }
}

/// A selector as Go's `String` shows it.
pub(super) fn show(selector: &Selector) -> String {
    let or = |text: &Str, other: &str| match text.is_empty() {
        true => other.to_owned(),
        false => text.to_string(),
    };
    format!(
        "{}/{}.{}:a={}:l={}",
        selector.gvk,
        or(&selector.name, "[noName]"),
        or(&selector.namespace, "[noNs]"),
        selector.annotations,
        selector.labels
    )
}

/// Merges a patch into an object. Kind and name stay, unless they may change.
///
/// A patch for selected objects (`by_target`) is taken as one of their version.
pub(super) fn apply_strategic(
    objects: &mut Objects,
    at: usize,
    patch: &Object,
    schemas: &Schemas,
    by_target: bool,
) -> Result<()> {
    let retyped;
    let patch = match by_target {
        false => patch,
        true => {
            let mut copy = patch.clone();
            let kind = copy.id.gvk.kind.clone();
            let gvk = objects.get(at).id.gvk.clone();
            copy.set_kind(&gvk.kind)?;
            copy.set_api_version(&gvk.api_version())?;
            copy.set_kind(&kind)?;
            // What is null becomes text, and so removes nothing.
            for field in ["labels", "annotations"] {
                let pairs = copy.metadata_map(field);
                copy.set_metadata_map(field, &pairs)?;
            }
            retyped = copy;
            &retyped
        }
    };
    objects.change(at, |object| {
        let before = object.id.clone();
        if patch.allow_name_change || patch.allow_kind_change {
            object.remember();
            object.allow_name_change |= patch.allow_name_change;
            object.allow_kind_change |= patch.allow_kind_change;
        }
        if !strategic::merge(&mut object.tree, &patch.tree, schemas, NewItems::First)?
            || object.is_empty()
        {
            object.gone = true;
            return Ok(());
        }
        if drops_annotations(&patch.tree) {
            object.forget();
        }
        if !patch.allow_kind_change {
            object.set_kind(&before.gvk.kind)?;
        }
        if !patch.allow_name_change {
            object.set_name(&before.name)?;
        }
        object.set_namespace(&before.namespace)
    })
}

/// Applies a JSON patch to an object, which goes through JSON for it.
pub(super) fn apply_json(object: &mut Object, patch: &JsonPatch) -> Result<()> {
    let internal = object.internal_annotations();
    let mut value = object.annotated()?;
    patch.apply(&mut value).map_err(transform)?;
    if let Some(annotations) = value
        .as_map_mut()
        .and_then(|map| map.get_mut("metadata"))
        .and_then(Value::as_map_mut)
        .and_then(|map| map.get_mut("annotations"))
        .and_then(Value::as_map_mut)
    {
        for (name, _) in &internal {
            annotations.remove(name);
        }
    }
    if !matches!(value, Value::Map(_)) {
        return Err(transform(
            "json: cannot unmarshal array into Go value of type map[string]interface {}",
        ));
    }
    object.tree = Tree::from_value(&as_floats(value));
    let annotations = object.metadata_map("annotations");
    object.set_metadata_map("annotations", &annotations)
}

/// Whether a patch removes or replaces all annotations.
fn drops_annotations(patch: &Tree) -> bool {
    const DIRECTIVE: &str = "$patch";
    let drops = |node: NodeId| {
        let directive = patch.get(node, DIRECTIVE);
        patch.node(node).is_null()
            || directive.is_some_and(|word| patch.text(word) != Some("merge"))
    };
    let root = patch.root();
    drops(root)
        || patch.get(root, "metadata").is_some_and(|metadata| {
            drops(metadata) || patch.get(metadata, "annotations").is_some_and(drops)
        })
}

/// Numbers as Go reads them from JSON without being told a type.
fn as_floats(value: Value) -> Value {
    match value {
        Value::Int(number) => Value::Float(number as f64),
        Value::UInt(number) => Value::Float(number as f64),
        Value::List(list) => list.into_iter().map(as_floats).collect(),
        Value::Map(map) => Value::Map(
            map.into_iter()
                .map(|(key, value)| (key, as_floats(value)))
                .collect(),
        ),
        other => other,
    }
}

/// `patchesStrategicMerge`: every entry is a patch or the path of a file.
pub(super) fn load_strategic(
    entries: &[Str],
    inline: &str,
    loader: &Loader<'_>,
) -> Result<Vec<Object>> {
    if entries.is_empty() && inline.is_empty() {
        return Err(transform("empty file path and empty patch content"));
    }
    let mut patches = Vec::new();
    for entry in entries {
        let direct = documents::parse(entry.as_bytes(), &TreePath::default(), loader.limits());
        match direct {
            Ok(objects) => patches.extend(objects),
            Err(_) => {
                let (text, file) = loader.load_at(entry)?;
                let objects = documents::parse(&text, &file, loader.limits())
                    .map_err(|error| in_file(error, entry))?;
                patches.extend(objects);
            }
        }
    }
    if !inline.is_empty() {
        let limits: &Limits = loader.limits();
        patches.extend(documents::parse(
            inline.as_bytes(),
            &TreePath::default(),
            limits,
        )?);
    }
    if patches.is_empty() {
        let files: Vec<&str> = entries.iter().map(Str::as_str).collect();
        return Err(transform(format!(
            "patch appears to be empty; files=[{}], Patch={inline}",
            files.join(" ")
        )));
    }
    Ok(patches)
}

/// An error of a file, which names the file if the text is no YAML.
pub(super) fn in_file(error: Error, path: &str) -> Error {
    match error.is_malformed() {
        true => error.reworded(|words| format!("{words} in File: {path}")),
        false => error,
    }
}

/// Applies `patchesStrategicMerge`.
pub(super) fn apply_all_strategic(
    objects: &mut Objects,
    patches: &[Object],
    schemas: &Schemas,
) -> Result<()> {
    for patch in patches {
        let at = objects
            .unique(&patch.original())
            .map_err(|error| error.at(&patch.declared.file, patch.declared.line))?;
        apply_strategic(objects, at, patch, schemas, true)?;
        objects.check_unique()?;
    }
    Ok(())
}

/// One entry of `patchesJson6902`.
pub(super) fn load_json6902(
    path: &str,
    inline: &str,
    target: Option<&Selector>,
    loader: &Loader<'_>,
) -> Result<JsonPatch> {
    let loaded;
    if target.is_none_or(|target| target.name.is_empty()) {
        return Err(transform("must specify the target name"));
    }
    let text: &[u8] = match (path.is_empty(), inline.is_empty()) {
        (true, true) => return Err(transform("empty file path and empty jsonOp")),
        (false, false) => {
            return Err(transform("must specify a file path or jsonOp, not both"));
        }
        (true, false) => inline.as_bytes(),
        (false, true) => {
            loaded = loader.load(path)?;
            if loaded.is_empty() {
                return Err(transform(format!(
                    "patch file '{path}' empty seems to be empty"
                )));
            }
            &loaded
        }
    };
    let shown = || match text.first() {
        Some(b'[') => String::from_utf8_lossy(text).into_owned(),
        _ => yaml::parse(text).map_or_else(|_| String::new(), |value| json::to_string(&value)),
    };
    let patch = JsonPatch::parse(text, loader.limits()).map_err(|problem| {
        let error = Error::new(ErrorKind::Parse, problem);
        match error.message().starts_with("yaml: ") {
            true => error,
            false => error.within(format_args!("decoding {}", shown())),
        }
    })?;
    if patch.is_empty() {
        return Err(transform(format!(
            "patch appears to be empty; file={path}, JsonOp={}",
            shown()
        )));
    }
    Ok(patch)
}
