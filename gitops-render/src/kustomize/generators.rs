//! ConfigMaps and Secrets made of files, literals and env files, and the hash
//! that their names end with.

use std::collections::BTreeMap;

use base64::Engine as _;
use bytes::Bytes;
use gitops_core::redaction::HIDDEN;
use gitops_core::yaml::node::{Kind, Node, NodeId, Quoting, Style, Tag, Tree};
use gitops_core::{Map, Str, TreePath, Value, json};
use sha2::{Digest as _, Sha256};

use super::error::{Error, ErrorKind, Result, quoted, transform};
use super::fields;
use super::file::GeneratorArgs;
use super::loader::Loader;
use super::object::{Behavior, Declared, Object};

/// What is generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generated {
    ConfigMap,
    Secret,
}

impl Generated {
    /// What the plugin of that kind generates.
    pub(super) fn of_plugin(kind: &str) -> Option<Self> {
        match kind {
            "ConfigMapGenerator" => Some(Generated::ConfigMap),
            "SecretGenerator" => Some(Generated::Secret),
            _ => None,
        }
    }
}

fn generate(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Generate, message)
}

/// Makes a ConfigMap or a Secret.
pub(super) fn make(
    what: Generated,
    args: &GeneratorArgs,
    loader: &Loader<'_>,
    file: &TreePath,
) -> Result<Object> {
    let options = args.options.as_ref();
    if args.name.is_empty() {
        return Err(generate("a configmap must have a name").at(file, 0));
    }
    let mut tree = Tree::default();
    let kind = match what {
        Generated::ConfigMap => "ConfigMap",
        Generated::Secret => "Secret",
    };
    set(&mut tree, &["apiVersion"], Node::tagged("v1", Tag::Str))?;
    set(&mut tree, &["kind"], Node::tagged(kind, Tag::Str))?;
    set(
        &mut tree,
        &["metadata", "name"],
        Node::string(args.name.clone()),
    )?;
    if !args.namespace.is_empty() {
        let namespace = Node::string(args.namespace.clone());
        set(&mut tree, &["metadata", "namespace"], namespace)?;
    }
    if what == Generated::Secret {
        let of = match args.secret_type.is_empty() {
            true => "Opaque".into(),
            false => args.secret_type.clone(),
        };
        set(&mut tree, &["type"], Node::string(of))?;
    }
    let pairs = load_pairs(what, args, loader).map_err(|error| error.at(file, 0))?;
    let mut texts = [Vec::new(), Vec::new()];
    for (key, value) in pairs {
        match (what, std::str::from_utf8(&value)) {
            (Generated::ConfigMap, Ok(text)) => texts[0].push((key, Str::from(text))),
            (Generated::ConfigMap, Err(_)) => texts[1].push((key, wrapped_base64(&value))),
            (Generated::Secret, _) => texts[0].push((key, wrapped_base64(&value))),
        }
    }
    let [data, binary] = texts;
    if what == Generated::Secret || !data.is_empty() {
        add_data_map(&mut tree, "data", &data)?;
    }
    if !binary.is_empty() {
        add_data_map(&mut tree, "binaryData", &binary)?;
    }
    if let Some(options) = options {
        for (field, pairs) in [
            ("labels", &options.labels),
            ("annotations", &options.annotations),
        ] {
            let mut pairs = pairs.clone();
            pairs.sort();
            for (key, value) in pairs {
                let value = Node {
                    style: Style::quoted(Quoting::Single),
                    ..Node::tagged(value, Tag::Str)
                };
                set(&mut tree, &["metadata", field, key.as_str()], value)?;
            }
        }
        if options.immutable {
            set(&mut tree, &["immutable"], Node::tagged("true", Tag::Bool))?;
        }
    }
    let declared = Declared {
        file: file.clone(),
        line: 0,
    };
    let mut object = Object::new(tree, declared);
    object.needs_hash = options.is_none_or(|options| !options.disable_name_suffix_hash);
    object.behavior = Behavior::of(&args.behavior);
    object.generated = true;
    Ok(object)
}

fn set(tree: &mut Tree, path: &[&str], value: Node) -> Result<()> {
    let value = tree.add(value);
    fields::set_at(tree, path, value)
}

/// Adds a map of texts, whose keys differ, to the top of a document.
fn add_data_map(tree: &mut Tree, field: &str, pairs: &[(Str, Str)]) -> Result<()> {
    let root = tree.root();
    let map = fields::get_or_add_map(tree, root, field)?;
    for (key, text) in pairs {
        let value = tree.add(Node::string(text.clone()));
        fields::add_field(tree, map, key, value, Style::default())?;
    }
    Ok(())
}

/// Sets the map of that name at the top of a document; an empty one goes.
pub(super) fn set_data_map(object: &mut Object, field: &str, pairs: &[(Str, Str)]) -> Result<()> {
    let root = object.tree.root();
    fields::clear(&mut object.tree, root, field)?;
    match pairs.is_empty() {
        true => Ok(()),
        false => add_data_map(&mut object.tree, field, pairs),
    }
}

/// Base64 in lines of 70, if it needs more than one.
fn wrapped_base64(bytes: &[u8]) -> Str {
    const LINE: usize = 70;
    let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
    if encoded.len() < LINE {
        return encoded.into();
    }
    let mut wrapped = String::with_capacity(encoded.len() + encoded.len() / LINE + 1);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        wrapped.push_str(line);
        wrapped.push('\n');
        rest = after;
    }
    wrapped.into()
}

fn shown(list: &[Str]) -> String {
    let texts: Vec<&str> = list.iter().map(Str::as_str).collect();
    format!("[{}]", texts.join(" "))
}

/// The keys and values, from env files, literals and files.
///
/// Messages do not show what a Secret is to hold.
fn load_pairs(
    what: Generated,
    args: &GeneratorArgs,
    loader: &Loader<'_>,
) -> Result<BTreeMap<Str, Bytes>> {
    let secret = what == Generated::Secret;
    let in_pairs = |error: Error, what: &str, list: &[Str]| {
        error
            .within(format_args!("{what} {}", shown(list)))
            .within("loading KV pairs")
    };
    let mut pairs = Vec::new();
    for path in &args.envs {
        let found = loader
            .load(path)
            .and_then(|content| read_env_file(&content, secret, &mut pairs));
        found.map_err(|error| in_pairs(error, "env source files:", &args.envs))?;
    }
    for literal in &args.literals {
        match literal.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                let value = Bytes::copy_from_slice(without_quotes(value).as_bytes());
                pairs.push((Str::from(key), value));
            }
            _ => {
                let shown = |literal: &Str| match literal.split_once('=') {
                    _ if !secret => literal.clone(),
                    Some((key, _)) => format!("{key}={HIDDEN}").into(),
                    None => HIDDEN.into(),
                };
                let error = generate(format!(
                    "invalid literal source {}, expected key=value",
                    shown(literal)
                ));
                let literals: Vec<Str> = args.literals.iter().map(shown).collect();
                return Err(in_pairs(error, "literal sources", &literals));
            }
        }
    }
    for source in &args.files {
        let found = split_file_source(source)
            .and_then(|(key, path)| Ok((Str::from(key), loader.load(path)?)));
        pairs.push(found.map_err(|error| in_pairs(error, "file sources:", &args.files))?);
    }
    let mut known = BTreeMap::new();
    for (key, value) in pairs {
        if known.contains_key(&key) {
            return Err(generate(format!(
                "configmap {} illegally repeats the key `{key}`",
                args.name
            )));
        }
        known.insert(key, value);
    }
    Ok(known)
}

/// `path`, or `key=path`.
fn split_file_source(source: &str) -> Result<(&str, &str)> {
    match (source.matches('=').count(), source.split_once('=')) {
        (1, Some(("", path))) => Err(generate(format!(
            "missing key name for file path {} in source {}",
            quoted(path),
            quoted(source)
        ))),
        (1, Some((key, ""))) => Err(generate(format!(
            "missing file path for key name {} in source {}",
            quoted(key),
            quoted(source)
        ))),
        (1, Some((key, path))) => Ok((key, path)),
        (0, _) => {
            let trimmed = source.trim_end_matches('/');
            let base = trimmed.rsplit('/').next().unwrap_or_default();
            Ok((if base.is_empty() { "." } else { base }, source))
        }
        _ => Err(generate(format!(
            "source {} key name or file path contains '='",
            quoted(source)
        ))),
    }
}

fn without_quotes(text: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = text
            .strip_prefix(quote)
            .and_then(|text| text.strip_suffix(quote))
        {
            return inner;
        }
    }
    text
}

/// The lines `KEY=value` of an env file.
fn read_env_file(content: &[u8], secret: bool, pairs: &mut Vec<(Str, Bytes)>) -> Result<()> {
    /// Go's scanner ends, without a word, at a line that is longer.
    const LONGEST: usize = 64 << 10;
    let mut lines = content.split(|byte| *byte == b'\n').peekable();
    let mut first = true;
    while let Some(line) = lines.next() {
        if lines.peek().is_none() && line.is_empty() || line.len() >= LONGEST {
            break;
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Ok(mut text) = std::str::from_utf8(line) else {
            if secret {
                let problem = format!("line {HIDDEN} has invalid utf8 bytes");
                return Err(generate(problem));
            }
            let bytes: Vec<String> = line.iter().map(u8::to_string).collect();
            return Err(generate(format!(
                "line [{}] has invalid utf8 bytes : {}",
                bytes.join(" "),
                String::from_utf8_lossy(line)
            )));
        };
        if std::mem::take(&mut first) {
            text = text.strip_prefix('\u{feff}').unwrap_or(text);
        }
        let text = text.trim_start();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        if !key.is_empty() {
            pairs.push((key.into(), Bytes::copy_from_slice(value.as_bytes())));
        }
    }
    Ok(())
}

/// The hash of what a ConfigMap or Secret holds.
pub(super) fn hash(object: &Object) -> Result<String> {
    let tree = &object.tree;
    let root = tree.root();
    let get = |field: &str| tree.get(root, field);
    let mut content = Map::new();
    content.insert("kind", object.id.gvk.kind.clone());
    // The original looks for a field that is called `metadata/name`.
    content.insert("name", "");
    let extra = match object.id.gvk.kind.as_str() {
        "ConfigMap" => "binaryData",
        "Secret" => {
            content.insert("type", hashed(tree, get("type"))?);
            "stringData"
        }
        kind => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("{}: a {kind} cannot have a hash in its name", object.id),
            ));
        }
    };
    content.insert("data", hashed(tree, get("data"))?);
    if let Some(node) = get(extra)
        && tree.kind(node) != Kind::Scalar
    {
        content.insert(extra, hashed(tree, Some(node))?);
    }
    let digest = Sha256::digest(json::to_string(&Value::Map(content)).as_bytes());
    let mut hash = String::with_capacity(10);
    for byte in digest.iter().take(5) {
        hash.push_str(&format!("{byte:02x}"));
    }
    Ok(hash
        .chars()
        .map(|digit| match digit {
            '0' => 'g',
            '1' => 'h',
            '3' => 'k',
            'a' => 'm',
            'e' => 't',
            other => other,
        })
        .collect())
}

fn hashed(tree: &Tree, node: Option<NodeId>) -> Result<Value> {
    let Some(node) = node else {
        return Ok(Value::from(""));
    };
    match tree.kind(node) {
        Kind::Scalar => Ok(Value::from(tree.text(node).unwrap_or_default())),
        // A list is read as a map, which leaves nothing.
        Kind::List => Ok(Value::Null),
        Kind::Map | Kind::Alias => tree
            .to_value(node)
            .map_err(|error| transform(error.to_string())),
    }
}

/// The service account that a policy of Google's IAM is for.
pub(super) fn iam_policy(
    cloud: &str,
    account: (&str, &str),
    service: (&str, &str),
) -> Result<Object> {
    if cloud != "gke" {
        return Err(generate(format!(
            "cloud provider {cloud} not supported yet"
        )));
    }
    let (account, project) = account;
    let (name, namespace) = service;
    let mut tree = Tree::default();
    set(&mut tree, &["apiVersion"], Node::tagged("v1", Tag::Str))?;
    set(
        &mut tree,
        &["kind"],
        Node::tagged("ServiceAccount", Tag::Str),
    )?;
    let address = format!("{account}@{project}.iam.gserviceaccount.com");
    set(
        &mut tree,
        &["metadata", "annotations", "iam.gke.io/gcp-service-account"],
        Node::scalar(address),
    )?;
    set(&mut tree, &["metadata", "name"], Node::scalar(name))?;
    if !namespace.is_empty() {
        set(
            &mut tree,
            &["metadata", "namespace"],
            Node::scalar(namespace),
        )?;
    }
    Ok(Object::new(tree, Declared::default()))
}
