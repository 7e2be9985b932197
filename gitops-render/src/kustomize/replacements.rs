//! Replacements: values copied from one object to fields of others.

use gitops_core::yaml::node::{Kind, Limits, Node, NodeId, Tree};
use gitops_core::{Str, Value, json, yaml};

use super::decode::{Context, read_in_order};
use super::error::{Error, ErrorKind, Result, quoted, transform};
use super::fields;
use super::file::{self, FieldOptions, Replacement, ReplacementField, Source, Target};
use super::id::Id;
use super::loader::Loader;
use super::object::Object;
use super::objects::Objects;
use super::patches::{self, Chosen};

const DEFAULT_PATH: &str = "metadata.name";

/// The replacements of a kustomization, with those of files.
pub(super) fn load(entries: &[ReplacementField], loader: &Loader<'_>) -> Result<Vec<Replacement>> {
    let mut loaded = Vec::new();
    for entry in entries {
        let inline = &entry.replacement;
        if entry.path.is_empty() {
            loaded.push(inline.clone());
            continue;
        }
        if inline.source.is_some() || inline.targets.as_ref().is_some_and(|list| !list.is_empty()) {
            return Err(transform("cannot specify both path and inline replacement"));
        }
        let (text, path) = loader.load_at(&entry.path)?;
        let value = yaml::parse(&text).map_err(|error| {
            Error::new(
                ErrorKind::Parse,
                format!("error converting YAML to JSON: {error}"),
            )
            .at(&path, error.line())
        })?;
        let context = Context::lenient("Replacement");
        let replacement = |value: &Value| {
            read_in_order(value, |value| file::replacement(value, &context))
                .map_err(|error| error.within("error unmarshaling JSON: while decoding JSON"))
        };
        match &value {
            Value::List(list) => {
                for value in list {
                    loaded.push(replacement(value)?);
                }
            }
            Value::Map(_) => loaded.push(replacement(&value)?),
            other => {
                let kind = match other {
                    Value::Null => "invalid",
                    Value::Bool(_) => "bool",
                    Value::String(_) => "string",
                    _ => "float64",
                };
                return Err(transform(format!(
                    "unsupported replacement type encountered within replacement path: {kind}"
                ))
                .at(&path, 0));
            }
        }
    }
    Ok(loaded)
}

/// Applies replacements in order.
pub(super) fn apply(objects: &mut Objects, replacements: &[Replacement]) -> Result<()> {
    for replacement in replacements {
        let no_source = replacement.source.is_none() && replacement.source_value.is_none();
        let Some(targets) = replacement.targets.as_ref().filter(|_| !no_source) else {
            return Err(transform(
                "replacements must specify a source and at least one target",
            ));
        };
        let value = value(objects, replacement)?;
        for target in targets {
            put(objects, &value, target)?;
        }
    }
    Ok(())
}

/// The value to copy: the root of a tree of its own.
fn value(objects: &mut Objects, replacement: &Replacement) -> Result<Tree> {
    let scalar = |text: &Str| {
        let mut tree = Tree::default();
        let node = tree.add(Node::scalar(text.clone()));
        tree.set_root(node);
        tree
    };
    let source = match (&replacement.source, &replacement.source_value) {
        (Some(_), Some(_)) => {
            return Err(transform(
                "value and resource selectors are mutually exclusive",
            ));
        }
        (None, Some(text)) => return Ok(scalar(text)),
        (Some(source), None) => source,
        (None, None) => return Ok(scalar(&Str::new())),
    };
    let at = find_source(objects, source)?;
    let path = match source.field_path.is_empty() {
        true => DEFAULT_PATH,
        false => &source.field_path,
    };
    let parts = fields::split_field_path(path);
    objects.change(at, |object| {
        let root = object.tree.root();
        let found = fields::lookup(&mut object.tree, root, &parts)
            .map_err(|error| error.within("error looking up replacement source"))?
            .filter(|node| !object.tree.node(*node).is_empty());
        let Some(found) = found else {
            return Err(transform(format!(
                "fieldPath `{path}` is missing for replacement source {}",
                source_id(source)
            )));
        };
        let mut value = object.tree.subtree(found);
        let options = source.options.as_ref();
        if let Some(options) = options.filter(|options| !options.delimiter.is_empty()) {
            let root = value.root();
            let Some(text) = value.text(root) else {
                return Err(transform(
                    "delimiter option can only be used with scalar nodes",
                ));
            };
            let part = usize::try_from(options.index)
                .ok()
                .and_then(|index| text.split(options.delimiter.as_str()).nth(index));
            let Some(part) = part.map(Str::from) else {
                return Err(transform(format!(
                    "options.index {} is out of bounds for value {text}",
                    options.index
                )));
            };
            value.node_mut(root).content = gitops_core::yaml::node::Content::Scalar(part);
        }
        Ok(value)
    })
}

fn source_id(source: &Source) -> Id {
    Id {
        gvk: source.gvk.clone(),
        name: source.name.clone(),
        namespace: source.namespace.clone(),
        cluster_scoped: false,
    }
}

/// How messages show a source.
fn show(source: &Source) -> String {
    let mut shown = source_id(source).to_string();
    if !source.field_path.is_empty() {
        shown.push(':');
        shown.push_str(&source.field_path);
    }
    if let Some(options) = &source.options
        && (!options.delimiter.is_empty() || options.create)
    {
        shown.push_str(&format!(
            ":{}({}), create={}",
            options.delimiter, options.index, options.create
        ));
    }
    shown
}

fn find_source(objects: &Objects, source: &Source) -> Result<usize> {
    let wanted = source_id(source);
    let fits = |id: &Id| {
        (wanted.name.is_empty() || wanted.name == id.name)
            && (wanted.namespace.is_empty() || wanted.same_namespace(id))
            && id.gvk.is_selected(&wanted.gvk)
    };
    let candidates = match wanted.name.as_str() {
        "" => objects.places(),
        name => objects.named(name),
    };
    let mut found = None;
    for at in candidates {
        if !unscoped_ids(objects.get(at)).any(|id| fits(&id)) {
            continue;
        }
        if found.is_some() {
            return Err(transform(format!(
                "multiple matches for selector {}",
                show(source)
            )));
        }
        found = Some(at);
    }
    found.ok_or_else(|| transform(format!("nothing selected by {}", show(source))))
}

/// The identities of an object as replacements see them: nothing is known to
/// live outside of namespaces.
fn unscoped_ids(object: &Object) -> impl Iterator<Item = Id> + '_ {
    let now = Id {
        cluster_scoped: false,
        ..object.id.clone()
    };
    [now].into_iter().chain(object.previous_ids())
}

fn put(objects: &mut Objects, value: &Tree, target: &Target) -> Result<()> {
    let Some(select) = &target.select else {
        return Err(transform("target must specify resources to select"));
    };
    let in_selector = |error: Error| match patches::is_of_labels(&error) {
        true => error,
        false => error.within("error creating target selector"),
    };
    let chosen = Chosen::new(select).map_err(in_selector)?;
    let rejected: Vec<(Chosen, bool, bool)> = target
        .reject
        .iter()
        .map(|selector| {
            let by_id = !selector.name.is_empty()
                || !selector.namespace.is_empty()
                || selector.gvk != Default::default();
            let by_metadata = !selector.annotations.is_empty() || !selector.labels.is_empty();
            Ok((
                Chosen::new(selector).map_err(in_selector)?,
                by_id,
                by_metadata,
            ))
        })
        .collect::<Result<_>>()?;
    let fits = |chosen: &Chosen, id: &Id| {
        chosen.fits_gvk(&id.gvk)
            && chosen.fits_name(&id.name)
            && chosen.fits_namespace(&id.namespace)
    };
    let default = [Str::from(DEFAULT_PATH)];
    let paths: &[Str] = match target.field_paths.is_empty() {
        true => &default,
        false => &target.field_paths,
    };
    for at in chosen.candidates(objects) {
        let object = objects.get(at);
        if !unscoped_ids(object).any(|id| fits(&chosen, &id))
            || !chosen.fits_metadata(object)
            || rejected
                .iter()
                .any(|(chosen, _, by_metadata)| *by_metadata && chosen.fits_metadata(object))
            || rejected.iter().any(|(chosen, by_id, _)| {
                *by_id && unscoped_ids(object).any(|id| fits(chosen, &id))
            })
        {
            continue;
        }
        objects.change(at, |object| {
            for path in paths {
                copy_to(&mut object.tree, value, path, target.options.as_ref())?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn copy_to(
    tree: &mut Tree,
    value: &Tree,
    path: &str,
    options: Option<&FieldOptions>,
) -> Result<()> {
    let create = options
        .is_some_and(|options| options.create)
        .then(|| value.kind(value.root()));
    let parts = fields::split_field_path(path);
    if put_within_text(tree, value, &parts, create)? {
        return Ok(());
    }
    let missing = || match create {
        Some(_) => format!(
            "unable to find or create field {} in replacement target",
            quoted(path)
        ),
        None => format!(
            "unable to find field {} in replacement target",
            quoted(path)
        ),
    };
    let root = tree.root();
    let found =
        fields::matches(tree, root, &parts, create).map_err(|error| error.within(missing()))?;
    if found.is_empty() {
        return Err(transform(missing()));
    }
    for field in found {
        set(tree, field, value, options)?;
    }
    Ok(())
}

fn set(tree: &mut Tree, field: NodeId, value: &Tree, options: Option<&FieldOptions>) -> Result<()> {
    let value_text = value.node(value.root());
    let mut text: Str = match value_text.is_null() && options.is_some_and(has_delimiter) {
        true => Str::new(),
        false => value_text.text().cloned().unwrap_or_default(),
    };
    if let Some(options) = options.filter(|options| has_delimiter(options)) {
        let Some(old) = tree.text(field) else {
            return Err(transform(
                "delimiter option can only be used with scalar nodes",
            ));
        };
        let delimiter = options.delimiter.as_str();
        let mut parts: Vec<&str> = old.split(delimiter).collect();
        match usize::try_from(options.index) {
            Err(_) => parts.insert(0, &text),
            Ok(index) if index >= parts.len() => parts.push(&text),
            Ok(index) => parts[index] = &text,
        }
        text = parts.join(delimiter).into();
    }
    if tree.kind(field) == Kind::Scalar {
        tree.node_mut(field).content = gitops_core::yaml::node::Content::Scalar(text);
        return Ok(());
    }
    let copy = tree.copy(value, value.root());
    let mut node = tree.node(copy).clone();
    if options.is_some_and(has_delimiter) {
        node.content = gitops_core::yaml::node::Content::Scalar(text);
    }
    *tree.node_mut(field) = node;
    Ok(())
}

fn has_delimiter(options: &FieldOptions) -> bool {
    !options.delimiter.is_empty()
}

/// If a part of the path is a scalar, takes its text for YAML or JSON and sets
/// the rest of the path in that. Whether it could; if not, the path means what
/// it would mean otherwise.
fn put_within_text(
    tree: &mut Tree,
    value: &Tree,
    parts: &[String],
    create: Option<Kind>,
) -> Result<bool> {
    let root = tree.root();
    let mut found = None;
    for end in 1..parts.len() {
        let Ok(Some(node)) = fields::lookup(tree, root, &parts[..end]) else {
            continue;
        };
        if tree.kind(node) != Kind::Scalar {
            continue;
        }
        let text = tree.node(node).text().cloned().unwrap_or_default();
        if let Ok(parsed) = Tree::parse(text.as_bytes(), &Limits::default()) {
            found = Some((node, text, parsed, &parts[end..]));
            break;
        }
    }
    let Some((scalar, text, Some(mut inner), rest)) = found else {
        return Ok(false);
    };
    let inner_root = inner.root();
    let Ok(targets) = fields::matches(&mut inner, inner_root, rest, create) else {
        return Ok(false);
    };
    if targets.is_empty() {
        return Ok(false);
    }
    for target in targets {
        let new = value.node(value.root());
        if inner.kind(target) == Kind::Scalar {
            let text = new.text().cloned().unwrap_or_default();
            inner.node_mut(target).content = gitops_core::yaml::node::Content::Scalar(text);
        } else {
            let copy = inner.copy(value, value.root());
            let node = inner.node(copy).clone();
            *inner.node_mut(target) = node;
        }
    }
    let Some(written) = serialize(&inner, &text) else {
        return Ok(false);
    };
    tree.node_mut(scalar).content = gitops_core::yaml::node::Content::Scalar(written.into());
    Ok(true)
}

fn serialize(inner: &Tree, original: &str) -> Option<String> {
    if !original.trim().starts_with(['{', '[']) {
        return Some(inner.to_text(inner.root()).ok()?.trim().to_owned());
    }
    let value = inner.to_value(inner.root()).ok()?;
    if original.contains('\n') && original.contains("  ") {
        return Some(json::to_string_pretty(&value, 2));
    }
    Some(json::to_string(&value))
}
