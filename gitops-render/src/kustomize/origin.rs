//! `buildMetadata`: where objects come from and what was done to them, as
//! annotations.

use gitops_core::Str;
use gitops_core::yaml::node::{Node, NodeId, Quoting, Style, Tag, Tree, quotes_in_yaml_1_1};

use super::error::{Result, transform};
use super::fields;
use super::object::{ORIGIN, Object, TRANSFORMATIONS};
use super::remote::GitSource;
use crate::sprig::paths::clean;

/// Where something was declared, or what made it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) path: String,
    pub(super) repo: Str,
    pub(super) reference: Str,
    pub(super) configured_in: String,
    /// apiVersion, kind, name and namespace of what made it.
    pub(super) configured_by: Option<[Str; 4]>,
}

impl Origin {
    /// The origin of something that is named here by `path`.
    pub(super) fn append(&self, path: &str) -> Origin {
        let mut origin = self.clone();
        let mut path = path.to_owned();
        if let Ok(source) = GitSource::parse(&path) {
            origin.repo = source.clone_spec();
            origin.reference = source.reference.clone();
            origin.path = String::new();
            path = source.path.to_string();
        }
        origin.path = join(&origin.path, &path);
        origin
    }

    /// The origin of what a built-in plugin of a kustomization file makes.
    pub(super) fn of_builtin(&self, file_name: &str, kind: &str) -> Origin {
        Origin {
            repo: self.repo.clone(),
            reference: self.reference.clone(),
            configured_in: join(&self.path, file_name),
            configured_by: Some(["builtin".into(), kind.into(), Str::new(), Str::new()]),
            path: String::new(),
        }
    }

    /// The origin of what a plugin makes that a document configures.
    pub(super) fn of_plugin(&self, config: &Object) -> Origin {
        let id = &config.id;
        Origin {
            repo: self.repo.clone(),
            reference: self.reference.clone(),
            configured_in: self.path.clone(),
            configured_by: Some([
                id.gvk.api_version(),
                id.gvk.kind.clone(),
                id.name.clone(),
                id.namespace.clone(),
            ]),
            path: String::new(),
        }
    }

    fn add_to(&self, tree: &mut Tree) -> NodeId {
        let map = tree.add(Node::map());
        let put = |tree: &mut Tree, map: NodeId, key: &str, text: &str| {
            if text.is_empty() {
                return;
            }
            let quoting = match quotes_in_yaml_1_1(text) {
                true => Quoting::Double,
                false => Quoting::Plain,
            };
            let key = tree.add(Node::tagged(key, Tag::Str));
            let value = tree.add(Node {
                style: Style::quoted(quoting),
                ..Node::tagged(text, Tag::Str)
            });
            tree.push_entry(map, key, value);
        };
        put(tree, map, "path", &self.path);
        put(tree, map, "repo", &self.repo);
        put(tree, map, "ref", &self.reference);
        put(tree, map, "configuredIn", &self.configured_in);
        if let Some([api_version, kind, name, namespace]) = &self.configured_by {
            let by = tree.add(Node::map());
            put(tree, by, "apiVersion", api_version);
            put(tree, by, "kind", kind);
            put(tree, by, "name", name);
            put(tree, by, "namespace", namespace);
            let key = tree.add(Node::tagged("configuredBy", Tag::Str));
            tree.push_entry(map, key, by);
        }
        map
    }

    fn to_text(&self, in_list: bool) -> Result<String> {
        let mut tree = Tree::default();
        let mut root = self.add_to(&mut tree);
        if in_list {
            let list = tree.add(Node::list());
            tree.push_item(list, root);
            root = list;
        }
        tree.to_text(root)
            .map_err(|error| transform(error.to_string()))
    }

    /// Writes down that an object of a file is from there, and leaves its other
    /// annotations as they are written.
    pub(super) fn annotate_file(&self, object: &mut Object) -> Result<()> {
        let text = self.to_text(false)?;
        let value = object.tree.add(Node::tagged(text, Tag::Str));
        fields::set_at(
            &mut object.tree,
            &["metadata", "annotations", ORIGIN],
            value,
        )
    }

    /// Writes the origin down.
    pub(super) fn annotate(&self, object: &mut Object) -> Result<()> {
        set(object, ORIGIN, self.to_text(false)?)
    }

    /// Writes down that this was done to an object; an object without an
    /// origin is taken as made by it.
    pub(super) fn annotate_transformation(&self, object: &mut Object) -> Result<()> {
        if object.annotation(ORIGIN).is_none() {
            return self.annotate(object);
        }
        let before = object.annotation(TRANSFORMATIONS).unwrap_or_default();
        set(
            object,
            TRANSFORMATIONS,
            before.to_string() + &self.to_text(true)?,
        )
    }
}

fn set(object: &mut Object, name: &str, text: String) -> Result<()> {
    let mut annotations = object.metadata_map("annotations");
    annotations.retain(|(key, _)| key != name);
    annotations.push((name.into(), text.into()));
    annotations.sort();
    object.set_metadata_map("annotations", &annotations)
}

/// Go's `filepath.Join`.
fn join(base: &str, path: &str) -> String {
    let joined = match (base.is_empty(), path.is_empty()) {
        (true, _) => path.to_owned(),
        (_, true) => base.to_owned(),
        _ => format!("{base}/{path}"),
    };
    match joined.is_empty() {
        true => joined,
        false => clean(&joined),
    }
}
