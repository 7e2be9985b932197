//! Variables: `$(NAME)` in some fields stands for a field of an object.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use gitops_core::Str;
use gitops_core::value::number;
use gitops_core::yaml::node::{Content, Kind, Node, NodeId, Style, Tag, Tree};

use super::error::{Result, transform};
use super::fields::{self, Create, FieldSpec};
use super::file::Var;
use super::id::{Id, split_api_version};
use super::objects::Objects;

/// The variables of a build, by name.
pub(super) type Vars = BTreeMap<Str, Var>;

impl Var {
    fn settled(&self) -> Var {
        let mut var = self.clone();
        if !var.api_version.is_empty() {
            let (group, version) = split_api_version(&var.api_version);
            // A version without a group leaves the group that is written.
            if var.api_version.contains('/') {
                var.gvk.group = group.into();
            }
            var.gvk.version = version.into();
        }
        if var.field_path.is_empty() {
            var.field_path = "metadata.name".into();
        }
        var
    }

    /// How Go's `%v` shows it.
    pub(super) fn show(&self) -> String {
        format!("{{{} {} {{{}}}}}", self.name, self.gvk, self.field_path)
    }
}

/// Adds variables, and marks the objects that they point at.
pub(super) fn add(objects: &mut Objects, vars: &mut Vars, incoming: &[Var]) -> Result<()> {
    let mut by_name = HashMap::<Str, Vec<usize>>::new();
    if !incoming.is_empty() {
        for at in objects.places() {
            for id in objects.get(at).ids() {
                let named = by_name.entry(id.name).or_default();
                if named.last() != Some(&at) {
                    named.push(at);
                }
            }
        }
    }
    for var in incoming {
        let settled = var.settled();
        let wanted = Id {
            gvk: settled.gvk.clone(),
            name: settled.object_name.clone(),
            namespace: settled.namespace.clone(),
            cluster_scoped: false,
        };
        let fits = |id: &Id| match wanted.namespace.is_empty() {
            true => wanted.name == id.name && wanted.gvk == id.gvk,
            false => wanted.same(id),
        };
        let named = by_name.get(&wanted.name).map_or(&[][..], Vec::as_slice);
        let matched: Vec<usize> = named
            .iter()
            .copied()
            .filter(|at| objects.get(*at).ids().any(|id| fits(&id)))
            .collect();
        if matched.len() > 1 {
            let mut shown = var.clone();
            shown.gvk = settled.gvk.clone();
            return Err(transform(format!(
                "found {} resId matches for var {} (unable to disambiguate)",
                matched.len(),
                shown.show()
            )));
        }
        if let [at] = matched[..] {
            objects.change(at, |object| {
                object.variables.push(var.name.clone());
                Ok(())
            })?;
        }
    }
    for var in incoming {
        insert(vars, var.settled())?;
    }
    Ok(())
}

/// Adds the variables of another kustomization.
pub(super) fn merge(vars: &mut Vars, other: Vars) -> Result<()> {
    other.into_values().try_for_each(|var| insert(vars, var))
}

fn insert(vars: &mut Vars, var: Var) -> Result<()> {
    if vars.contains_key(&var.name) {
        return Err(transform(format!("var '{}' already encountered", var.name)));
    }
    vars.insert(var.name.clone(), var);
    Ok(())
}

/// What a variable stands for.
#[derive(Clone, Debug)]
enum Meaning {
    Text(Str),
    Int(i64),
    Float(f64),
    Bool(bool),
    /// A collection, which cannot be put into text.
    Collection,
}

impl Meaning {
    /// How Go's `%v` shows it.
    fn show(&self) -> String {
        match self {
            Meaning::Text(text) => text.to_string(),
            Meaning::Int(number) => number.to_string(),
            Meaning::Float(number) => {
                let mut text = Vec::new();
                number::push_go(&mut text, *number);
                String::from_utf8_lossy(&text).into_owned()
            }
            Meaning::Bool(flag) => flag.to_string(),
            Meaning::Collection => String::new(),
        }
    }
}

/// Replaces all variables; returns those that nobody used.
pub(super) fn resolve(
    objects: &mut Objects,
    vars: &Vars,
    specs: &[FieldSpec],
) -> Result<BTreeSet<Str>> {
    let mut meanings = BTreeMap::new();
    let mut holders = BTreeMap::<Str, usize>::new();
    if vars.is_empty() {
        return Ok(BTreeSet::new());
    }
    for at in objects.places() {
        for name in &objects.get(at).variables {
            holders.entry(name.clone()).or_insert(at);
        }
    }
    for (name, var) in vars {
        let Some(at) = holders.get(name) else {
            return Err(transform(format!(
                "var '{}' cannot be mapped to a field in the set of known resources",
                var.show()
            )));
        };
        let path = with_indices(&fields::split_field_path(&var.field_path));
        let meaning = objects.change(*at, |object| {
            let root = object.tree.root();
            let found = fields::lookup(&mut object.tree, root, &path);
            Ok(found
                .ok()
                .flatten()
                .and_then(|node| meaning(&object.tree, node)))
        })?;
        let Some(meaning) = meaning else {
            return Err(transform(format!(
                "field specified in var '{}' not found in corresponding resource",
                var.show()
            )));
        };
        meanings.insert(name.clone(), meaning);
    }
    let mut unused: BTreeSet<Str> = meanings.keys().cloned().collect();
    for at in objects.places() {
        objects.change(at, |object| {
            let id = object.id.clone();
            for spec in specs {
                fields::visit(
                    &mut object.tree,
                    &id.gvk,
                    &id,
                    spec,
                    Create::Nothing,
                    &mut |tree, node| replace_in(tree, node, &meanings, &mut unused),
                )?;
            }
            Ok(())
        })?;
    }
    Ok(unused)
}

/// `list[0]` as two parts.
fn with_indices(path: &[String]) -> Vec<String> {
    let mut parts = Vec::with_capacity(path.len());
    for part in path {
        let split = part
            .strip_suffix(']')
            .and_then(|part| part.rsplit_once('['));
        match split {
            Some((list, index))
                if !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                if !list.is_empty() {
                    parts.push(list.to_owned());
                }
                parts.push(index.to_owned());
            }
            _ => parts.push(part.clone()),
        }
    }
    parts
}

fn meaning(tree: &Tree, node: NodeId) -> Option<Meaning> {
    let node = tree.node(node);
    let text = match &node.content {
        Content::Scalar(text) => text,
        _ => return Some(Meaning::Collection),
    };
    Some(match node.tag {
        Tag::Int => Meaning::Int(text.parse().ok()?),
        Tag::Float => Meaning::Float(text.parse().ok()?),
        Tag::Bool => Meaning::Bool(match text.as_str() {
            "true" | "True" | "TRUE" => true,
            "false" | "False" | "FALSE" => false,
            _ => return None,
        }),
        _ => Meaning::Text(text.clone()),
    })
}

fn replace_in(
    tree: &mut Tree,
    node: NodeId,
    meanings: &BTreeMap<Str, Meaning>,
    unused: &mut BTreeSet<Str>,
) -> Result<()> {
    if tree.node(node).is_null() {
        return Ok(());
    }
    match &tree.node(node).content {
        Content::Scalar(_) => replace_scalar(tree, node, meanings, unused),
        Content::Map(entries) => {
            for (key, value) in entries.clone() {
                let key = tree.node(key);
                if !key.is_text() {
                    return Err(transform(format!(
                        "invalid map key: value='{}', tag='{}'",
                        key.text().map_or("", Str::as_str),
                        key.tag.name()
                    )));
                }
                replace_scalar(tree, value, meanings, unused);
            }
        }
        Content::List(items) => {
            for item in items.clone() {
                if !tree.node(item).is_text() {
                    return Err(transform("invalid value type expect a string"));
                }
                replace_scalar(tree, item, meanings, unused);
            }
        }
        Content::Alias(_) => {}
    }
    Ok(())
}

fn replace_scalar(
    tree: &mut Tree,
    node: NodeId,
    meanings: &BTreeMap<Str, Meaning>,
    unused: &mut BTreeSet<Str>,
) {
    let node = tree.node_mut(node);
    if node.kind() != Kind::Scalar || !node.is_text() {
        return;
    }
    let Some(text) = node.text().cloned() else {
        return;
    };
    let replaced = expand(&text, meanings, unused);
    let new = match &replaced {
        Meaning::Text(text) => Node::tagged(text.clone(), Tag::Str),
        Meaning::Int(number) => Node::tagged(number.to_string(), Tag::Int),
        Meaning::Float(number) => Node::tagged(number.to_string(), Tag::Float),
        Meaning::Bool(flag) => Node::tagged(flag.to_string(), Tag::Bool),
        Meaning::Collection => return,
    };
    node.content = new.content;
    node.tag = new.tag;
    node.style = Style::default();
}

/// The text with its variables replaced; `$$` stands for `$`.
fn expand(input: &str, meanings: &BTreeMap<Str, Meaning>, unused: &mut BTreeSet<Str>) -> Meaning {
    let mut out = String::with_capacity(input.len());
    let mut rest = input;
    while let Some(at) = rest.find('$') {
        let after = &rest[at + 1..];
        if after.is_empty() {
            break;
        }
        out.push_str(&rest[..at]);
        if let Some(doubled) = after.strip_prefix('$') {
            out.push('$');
            rest = doubled;
        } else if let Some(opened) = after.strip_prefix('(') {
            let Some((name, closed)) = opened.split_once(')') else {
                out.push_str("$(");
                rest = opened;
                continue;
            };
            let found = meanings
                .get(name)
                .filter(|meaning| !matches!(meaning, Meaning::Collection));
            match found {
                Some(meaning) => {
                    unused.remove(name);
                    if input.len() == name.len() + 3 {
                        return meaning.clone();
                    }
                    out.push_str(&meaning.show());
                }
                None => {
                    out.push_str("$(");
                    out.push_str(name);
                    out.push(')');
                }
            }
            rest = closed;
        } else {
            let next = after.chars().next().map_or(0, char::len_utf8);
            out.push('$');
            out.push_str(&after[..next]);
            rest = &after[next..];
        }
    }
    out.push_str(rest);
    Meaning::Text(out.into())
}
