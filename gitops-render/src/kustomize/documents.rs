//! Files into objects: kyaml's `ByteReader` and Kustomize's resource factory.

use std::borrow::Cow;

use gitops_core::yaml::node::{Content, Tree};
use gitops_core::{TreePath, Value, json};

use super::Limits;
use super::error::{Error, ErrorKind, Result};
use super::object::{Declared, Object};

/// The objects of a text: YAML documents or JSON, lists expanded.
pub(super) fn parse(text: &[u8], file: &TreePath, limits: &Limits) -> Result<Vec<Object>> {
    let mut pending = Vec::new();
    for (tree, line) in read(text, limits)? {
        let declared = Declared {
            file: file.clone(),
            line,
        };
        if tree.node(tree.root()).is_empty() {
            continue;
        }
        Object::check(&tree).map_err(|error| error.at(file, line))?;
        pending.push((tree, declared));
    }
    expand_lists(pending, limits)
}

/// Lists of any kind stand for their items, which come after what is not one.
fn expand_lists(pending: Vec<(Tree, Declared)>, limits: &Limits) -> Result<Vec<Object>> {
    let mut objects = Vec::with_capacity(pending.len());
    let mut pending = std::collections::VecDeque::from(pending);
    while let Some((tree, declared)) = pending.pop_front() {
        let root = tree.root();
        let kind = tree.get(root, "kind").and_then(|kind| tree.text(kind));
        let kind = kind.unwrap_or_default();
        if !kind.ends_with("List") || tree.get(root, "items").is_none() {
            objects.push(Object::new(tree, declared));
            continue;
        }
        let value = tree.to_value(root).map_err(|error| {
            Error::new(
                ErrorKind::Parse,
                format!("trouble expanding list of {kind}; {error}"),
            )
        })?;
        let items = match value.get("items") {
            None | Some(Value::Null) => continue,
            Some(Value::List(items)) => items,
            Some(other) => {
                return Err(Error::new(
                    ErrorKind::Parse,
                    format!(
                        "expected array in {kind}/items, but found {}",
                        go_type(other)
                    ),
                ));
            }
        };
        for item in items {
            for (tree, _) in read(json::to_string(item).as_bytes(), limits)? {
                if tree.node(tree.root()).is_empty() {
                    continue;
                }
                Object::check(&tree).map_err(|error| error.at(&declared.file, declared.line))?;
                pending.push_back((tree, declared.clone()));
            }
        }
    }
    Ok(objects)
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::UInt(_) => "uint64",
        Value::Float(_) => "float64",
        Value::String(_) => "string",
        Value::List(_) => "[]interface {}",
        Value::Map(_) => "map[string]interface {}",
    }
}

/// The documents of a text with the lines on which they begin, aliases
/// written out; those without content are left out.
pub(super) fn read(text: &[u8], limits: &Limits) -> Result<Vec<(Tree, u32)>> {
    let text = match memchr::memmem::find(text, b"\r\n") {
        None => Cow::Borrowed(text),
        Some(_) => {
            let mut plain = Vec::with_capacity(text.len());
            for (at, byte) in text.iter().enumerate() {
                if !(*byte == b'\r' && text.get(at + 1) == Some(&b'\n')) {
                    plain.push(*byte);
                }
            }
            Cow::Owned(plain)
        }
    };
    let chunks = split(&text)?;
    let single = chunks.len() == 1;
    let mut documents = Vec::with_capacity(chunks.len());
    for (chunk, lines_before) in chunks {
        let parsed = Tree::parse(chunk, &limits.documents).map_err(|error| {
            Error::new(ErrorKind::Parse, format!("MalformedYAMLError: {error}")).malformed()
        })?;
        let Some(tree) = parsed else { continue };
        if tree.node(tree.root()).is_null() {
            continue;
        }
        let line = lines_before + tree.node(tree.root()).line;
        let root = tree.root();
        let kind = tree.get(root, "kind").and_then(|kind| tree.text(kind));
        let wraps = single
            && matches!(kind, Some("List" | "ResourceList"))
            && (tree.get(root, "items").is_some() || tree.get(root, "functionConfig").is_some());
        if !wraps {
            let plain = !tree.has_anchors();
            documents.push((tree, line, plain));
            continue;
        }
        if let Some(items) = tree.get(root, "items") {
            let items = match &tree.node(items).content {
                Content::Alias(target) => *target,
                _ => items,
            };
            // An anchor may stand in one item and its alias in another.
            let mut whole = tree.clone();
            inline(&mut whole, limits)?;
            let listed: Vec<_> = match &whole.node(items).content {
                // The original takes keys and values for items, too.
                Content::Map(entries) => {
                    let both = |(key, value): &(_, _)| [*key, *value];
                    entries.iter().flat_map(both).collect()
                }
                _ => whole.items(items).to_vec(),
            };
            for item in listed {
                let line = lines_before + whole.node(item).line;
                documents.push((whole.subtree(item), line, false));
            }
        }
    }
    for (tree, _, plain) in &mut documents {
        if !*plain {
            inline(tree, limits)?;
        }
    }
    let documents = documents.into_iter();
    Ok(documents.map(|(tree, line, _)| (tree, line)).collect())
}

fn inline(tree: &mut Tree, limits: &Limits) -> Result<()> {
    tree.inline_aliases(&limits.documents).map_err(|problem| {
        let kind = match problem.starts_with("aliases stand for") {
            true => ErrorKind::Limit,
            false => ErrorKind::Parse,
        };
        Error::new(kind, problem)
    })
}

/// Splits at lines that begin with `---`, each part with the number of lines
/// before it. A line that follows another such line does not count.
fn split(text: &[u8]) -> Result<Vec<(&[u8], u32)>> {
    let mut chunks = Vec::new();
    if text.is_empty() {
        return Ok(chunks);
    }
    let mut start = 0;
    let mut lines = 0;
    let mut from = 0;
    while let Some(found) = memchr::memmem::find(&text[from..], b"\n---") {
        let at = from + found;
        let Some(length) = memchr::memchr(b'\n', &text[at + 1..]) else {
            break;
        };
        let end = at + 1 + length + 1;
        let after = text[at + 4..end].trim_ascii();
        if !after.is_empty() && after[0] != b'#' {
            return Err(Error::new(
                ErrorKind::Parse,
                format!(
                    "invalid document separator: {}",
                    String::from_utf8_lossy(text[at..end].trim_ascii())
                ),
            ));
        }
        // The line feed before the separator belongs to the document.
        chunks.push((&text[start..=at], lines));
        lines += memchr::memchr_iter(b'\n', &text[start..end]).count() as u32;
        start = end;
        // The separator's own line feed cannot begin the next one.
        from = end;
    }
    chunks.push((&text[start..], lines));
    Ok(chunks)
}
