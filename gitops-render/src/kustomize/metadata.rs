//! Transformers of single fields: labels, annotations, namespaces, replicas.

use std::sync::LazyLock;

use gitops_core::Str;
use gitops_core::yaml::node::{Kind, Node, NodeId, Style, Tag, Tree};

use super::error::{Error, Result, transform};
use super::fields::{self, ByKind, Create, FieldSpec};
use super::file::Replica;
use super::id::Gvk;
use super::object::Object;
use super::objects::Objects;

/// Adds labels or annotations to the objects at `places`, at all fields of
/// `specs`.
///
/// As in Kustomize, one node is what stands in all fields of an object that
/// did not have the key: who changes one of them later changes all.
pub(super) fn set_pairs(
    objects: &mut Objects,
    pairs: &[(Str, Str)],
    specs: &[FieldSpec],
    places: &[usize],
) -> Result<()> {
    if pairs.is_empty() {
        return Ok(());
    }
    let mut pairs = pairs.to_vec();
    pairs.sort();
    let may_rename = specs.iter().any(FieldSpec::may_rename);
    let mut by_kind = ByKind::new(specs);
    for &at in places {
        let specs = by_kind.of(&objects.get(at).id.gvk);
        let set = |object: &mut Object| {
            for (key, value) in &pairs {
                let node = object.tree.add(Node::tagged(value.clone(), Tag::Str));
                for spec in specs.iter() {
                    fields::visit(
                        &mut object.tree,
                        &object.id.gvk,
                        &object.id,
                        spec,
                        Create::Map,
                        &mut |tree, map| fields::set_field(tree, map, key, node, Style::default()),
                    )?;
                }
            }
            Ok(())
        };
        match may_rename {
            true => objects.change(at, set)?,
            false => objects.write(at, set)?,
        }
    }
    Ok(())
}

/// Which subjects of role bindings a namespace is written to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Subjects {
    /// Those whose name is `default`.
    #[default]
    NamedDefault,
    /// All service accounts.
    ServiceAccounts,
    /// None.
    None,
}

/// A namespace for everything that has one.
#[derive(Clone, Debug, Default)]
pub(super) struct Namespace {
    pub(super) name: Str,
    pub(super) specs: Vec<FieldSpec>,
    /// Whether fields that have a value keep it.
    pub(super) unset_only: bool,
    pub(super) subjects: Subjects,
}

const STR: Tag = Tag::Str;
const NO_TAG: Tag = Tag::None;
const INT: Tag = Tag::Int;

/// Where objects have their namespace.
static FIELD: LazyLock<FieldSpec> =
    LazyLock::new(|| FieldSpec::new(Gvk::default(), "metadata/namespace", true));

impl Namespace {
    pub(super) fn apply(&self, objects: &mut Objects) -> Result<()> {
        if self.name.is_empty() {
            return Ok(());
        }
        for at in objects.places() {
            if objects.get(at).from_chart {
                continue;
            }
            objects.change(at, |object| {
                object.remember();
                let id = &object.id;
                self.apply_to(&mut object.tree, &id.gvk, id.cluster_scoped, id)
            })?;
            if !objects.have_collided() {
                continue;
            }
            let matches = objects.with_id(&objects.get(at).id);
            if matches.len() != 1 {
                let shown: Vec<String> = matches.iter().map(|at| objects.get(*at).show()).collect();
                let declared = objects.get(at).declared.clone();
                return Err(Error::new(
                    super::error::ErrorKind::Conflict,
                    format!(
                        "namespace transformation produces ID conflict: [{}]",
                        shown.join(" ")
                    ),
                )
                .at(&declared.file, declared.line));
            }
        }
        Ok(())
    }

    /// Writes the namespace to one document.
    pub(super) fn apply_to(
        &self,
        tree: &mut Tree,
        gvk: &Gvk,
        cluster_scoped: bool,
        id: &dyn std::fmt::Display,
    ) -> Result<()> {
        let mut set = |tree: &mut Tree, node: NodeId| self.set(tree, node);
        if !cluster_scoped {
            fields::visit(tree, gvk, id, &FIELD, Create::Scalar(&NO_TAG), &mut set)?;
        }
        let is_binding = |kind: &str| matches!(kind, "RoleBinding" | "ClusterRoleBinding");
        let binding = is_binding(&gvk.kind);
        if binding {
            self.set_subjects(tree)?;
        }
        let core = gvk.group.is_empty() && gvk.version == "v1";
        for spec in &self.specs {
            let done = spec.path == "metadata/namespace"
                || (spec.path == "metadata/name" && !core)
                || (binding && is_binding(&spec.gvk.kind) && spec.path == "subjects/namespace");
            if done {
                continue;
            }
            fields::visit(tree, gvk, id, spec, Create::Scalar(&STR), &mut set).map_err(
                |error| {
                    let collection = error
                        .message()
                        .contains("wrong node kind: expected ScalarNode");
                    error.within(match collection {
                        true => "namespace field specs must target scalar nodes",
                        false => "namespace transformation failed",
                    })
                },
            )?;
        }
        Ok(())
    }

    fn set(&self, tree: &mut Tree, node: NodeId) -> Result<()> {
        if self.unset_only {
            let has_value =
                !tree.node(node).is_empty() && tree.text(node).is_some_and(|text| !text.is_empty());
            if has_value {
                return Ok(());
            }
        }
        fields::set_scalar(tree, node, Node::tagged(self.name.clone(), Tag::Str))
    }

    fn set_subjects(&self, tree: &mut Tree) -> Result<()> {
        let (field, wanted) = match self.subjects {
            Subjects::None => return Ok(()),
            Subjects::NamedDefault => ("name", "default"),
            Subjects::ServiceAccounts => ("kind", "ServiceAccount"),
        };
        let root = tree.root();
        let Some(subjects) = tree.get(root, "subjects") else {
            return Ok(());
        };
        if tree.node(subjects).is_null() {
            return Ok(());
        }
        let in_subjects =
            |error: Error| error.within("setting namespace on (cluster)role binding subjects");
        fields::demand(tree, subjects, Kind::List).map_err(in_subjects)?;
        for subject in tree.items(subjects).to_vec() {
            if tree.node(subject).is_null() {
                continue;
            }
            let found = fields::demand(tree, subject, Kind::Map).and_then(|()| {
                let Some(value) = tree.get(subject, field) else {
                    return Ok(false);
                };
                if tree.node(value).is_null() {
                    return Ok(false);
                }
                fields::demand(tree, value, Kind::Scalar)?;
                Ok(tree.text(value) == Some(wanted))
            });
            let found = found.map_err(|error| {
                in_subjects(error.within(format_args!(
                    "looking up {field} on (cluster)role binding subject"
                )))
            })?;
            if found
                && let Some(namespace) =
                    fields::lookup_or_add(tree, subject, &["namespace"], Kind::Scalar)
                        .map_err(in_subjects)?
            {
                self.set(tree, namespace).map_err(in_subjects)?;
            }
        }
        Ok(())
    }
}

/// Sets the replicas of the workloads of that name.
pub(super) fn set_replicas(
    objects: &mut Objects,
    replica: &Replica,
    specs: &[FieldSpec],
) -> Result<()> {
    let named: Vec<usize> = objects
        .places()
        .into_iter()
        .filter(|at| objects.get(*at).ids().any(|id| id.name == replica.name))
        .collect();
    let mut found = false;
    for spec in specs {
        for at in &named {
            let fits = objects
                .get(*at)
                .ids()
                .any(|id| id.name == replica.name && id.gvk.is_selected(&spec.gvk));
            if !fits {
                continue;
            }
            found = true;
            objects.change(*at, |object| {
                let id = object.id.clone();
                fields::visit(
                    &mut object.tree,
                    &id.gvk,
                    &id,
                    spec,
                    Create::Scalar(&INT),
                    &mut |tree, node| {
                        let count = Node::tagged(replica.count.to_string(), Tag::Int);
                        fields::set_scalar(tree, node, count)
                    },
                )
            })?;
        }
    }
    if found {
        return Ok(());
    }
    let kinds: Vec<String> = specs.iter().map(|spec| spec.gvk.to_string()).collect();
    Err(transform(format!(
        "resource with name {} does not match a config with the following GVK [{}]",
        replica.name,
        kinds.join(" ")
    )))
}
