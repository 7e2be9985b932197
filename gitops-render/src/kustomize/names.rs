//! Names: prefixes, suffixes, hashes, and the fields that refer to them.

use std::rc::Rc;

use ecow::EcoVec;
use foldhash::HashMap;
use gitops_core::Str;
use gitops_core::yaml::node::{Content, Kind, Node, NodeId, Style, Tag, Tree};
use smallvec::SmallVec;

use super::error::{Error, Result, transform};
use super::fields::{self, Create, FieldSpec};
use super::generators;
use super::id::{Gvk, Id};
use super::object::{Object, Previous};
use super::objects::Objects;
use super::specs::{BackReference, Specs};

/// Which end of a name is added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Prefix,
    Suffix,
}

/// Adds a prefix or a suffix to the names of the objects at `places`.
pub(super) fn add_affix(
    objects: &mut Objects,
    end: End,
    affix: &str,
    specs: &[FieldSpec],
    places: &[usize],
) -> Result<()> {
    const STR: Tag = Tag::Str;
    for &at in places {
        let original = objects.get(at).original_gvk();
        let keeps_name = matches!(
            original.kind.as_str(),
            "CustomResourceDefinition" | "Namespace"
        ) || (original.kind == "APIService"
            && original.group == "apiregistration.k8s.io");
        if keeps_name {
            continue;
        }
        objects.change(at, |object| {
            for spec in specs {
                if !original.is_selected(&spec.gvk) {
                    continue;
                }
                if spec.path == "metadata/name" && !affix.is_empty() {
                    match end {
                        End::Prefix => object.prefixes.push(affix.into()),
                        End::Suffix => object.suffixes.push(affix.into()),
                    }
                    object.refresh();
                    object.remember();
                }
                fields::visit(
                    &mut object.tree,
                    &object.id.gvk,
                    &object.id,
                    spec,
                    Create::Scalar(&STR),
                    &mut |tree, node| {
                        let text = tree.text(node).unwrap_or_default();
                        let text = match end {
                            End::Prefix => format!("{affix}{text}"),
                            End::Suffix => format!("{text}{affix}"),
                        };
                        fields::set_scalar(tree, node, Node::scalar(text))
                    },
                )?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Adds the hash of their content to the names of generated objects.
pub(super) fn add_hashes(objects: &mut Objects) -> Result<()> {
    for at in objects.places() {
        if !objects.get(at).needs_hash {
            continue;
        }
        objects.change(at, |object| {
            let hash = generators::hash(object)?;
            object.remember();
            let name = format!("{}-{hash}", object.id.name);
            object.set_name(&name)
        })?;
    }
    Ok(())
}

/// What a reference may be to, as far as that is known before any is changed.
struct Candidate {
    id: Id,
    original_namespace: Str,
    previous: EcoVec<Previous>,
    prefixes: EcoVec<Str>,
    suffixes: EcoVec<Str>,
}

struct Candidates {
    all: Vec<Candidate>,
    by_previous_name: HashMap<Str, SmallVec<[usize; 1]>>,
    by_original_namespace: HashMap<Str, Vec<usize>>,
}

/// The references that objects of one kind have.
struct References<'s> {
    /// To what, and in which field, in the order in which they are mended.
    all: Vec<(&'s BackReference, &'s FieldSpec)>,
    /// The names on the ways to those fields: the root, and what is below.
    names: Vec<Step<'s>>,
    /// Those with names that are not keys, which have to be tried.
    always: Vec<usize>,
    /// Whether mending one may change who the object is.
    may_rename: bool,
}

/// What is at one place on the ways to fields with references.
#[derive(Default)]
struct Step<'s> {
    /// The places that are reached by a key.
    next: Vec<(&'s str, usize)>,
    /// The references whose field is here.
    here: Vec<usize>,
    /// Those whose field is here or below.
    below: Vec<usize>,
}

impl<'s> References<'s> {
    fn of(gvk: &Gvk, specs: &'s Specs) -> Self {
        let mut references = References {
            all: Vec::new(),
            names: vec![Step::default()],
            always: Vec::new(),
            may_rename: false,
        };
        for reference in &specs.name_reference {
            let fits = |spec: &&FieldSpec| gvk.is_selected(&spec.gvk);
            for spec in reference.referrers.iter().filter(fits) {
                references.add(reference, spec);
            }
        }
        references
    }

    fn add(&mut self, reference: &'s BackReference, spec: &'s FieldSpec) {
        let index = self.all.len();
        self.all.push((reference, spec));
        self.may_rename |= spec.may_rename();
        let special = |name: &str| {
            name.is_empty() || name.trim().len() != name.len() || fields::is_special(name)
        };
        if spec.names().any(special) {
            self.always.push(index);
            return;
        }
        let mut at = 0;
        self.names[at].below.push(index);
        for name in spec.names() {
            let known = self.names[at].next.iter().find(|(known, _)| *known == name);
            at = match known {
                Some((_, next)) => *next,
                None => {
                    let next = self.names.len();
                    self.names[at].next.push((name, next));
                    self.names.push(Step::default());
                    next
                }
            };
            self.names[at].below.push(index);
        }
        self.names[at].here.push(index);
    }

    /// The references that may have to be mended, in order: looking at all
    /// ways at once spares going each of them, nearly always for nothing.
    ///
    /// **Invariant:** mending those that are left out neither changes anything
    /// nor fails.
    fn worth_a_look(&self, tree: &Tree, candidates: &Candidates) -> Vec<usize> {
        let mut found = self.always.clone();
        if self.collect(0, tree, tree.root(), candidates, &mut found) {
            found.sort_unstable();
            found.dedup();
            return found;
        }
        (0..self.all.len()).collect()
    }

    /// Whether what was found is all there is: a reference that is mended by
    /// writing several fields may change what others find.
    fn collect(
        &self,
        at: usize,
        tree: &Tree,
        node: NodeId,
        candidates: &Candidates,
        found: &mut Vec<usize>,
    ) -> bool {
        let step = &self.names[at];
        if !step.here.is_empty() {
            match &tree.node(node).content {
                Content::Scalar(name) => {
                    let null = tree.node(node).is_null();
                    if !null && candidates.by_previous_name.contains_key(name) {
                        found.extend_from_slice(&step.here);
                    }
                }
                Content::Map(_) | Content::List(_) | Content::Alias(_) => return false,
            }
        }
        match &tree.node(node).content {
            Content::Map(entries) => entries.iter().all(|(key, value)| {
                let Some(key) = tree.text(*key) else {
                    return true;
                };
                let next = step.next.iter().find(|(name, _)| *name == key);
                next.is_none_or(|(_, next)| self.collect(*next, tree, *value, candidates, found))
            }),
            Content::List(items) => items
                .iter()
                .all(|item| self.collect(at, tree, *item, candidates, found)),
            // A way that ends too early is null or an error.
            Content::Scalar(_) | Content::Alias(_) => {
                if !step.next.is_empty() {
                    found.extend_from_slice(&step.below);
                }
                true
            }
        }
    }
}

/// Makes fields that held an object's name hold its new one.
pub(super) fn fix_references(objects: &mut Objects, specs: &Specs) -> Result<()> {
    let places = objects.places();
    let mut candidates = Candidates {
        all: Vec::with_capacity(places.len()),
        by_previous_name: HashMap::with_capacity_and_hasher(places.len(), Default::default()),
        by_original_namespace: HashMap::default(),
    };
    for (index, at) in places.iter().enumerate() {
        let object = objects.get(*at);
        let original_namespace: Str = object.original_namespace().into();
        candidates
            .by_original_namespace
            .entry(original_namespace.clone())
            .or_default()
            .push(index);
        for previous in &object.previous {
            let named = candidates
                .by_previous_name
                .entry(previous.name.clone())
                .or_default();
            if named.last() != Some(&index) {
                named.push(index);
            }
        }
        candidates.all.push(Candidate {
            id: object.id.clone(),
            original_namespace,
            previous: object.previous.clone(),
            prefixes: object.prefixes.clone(),
            suffixes: object.suffixes.clone(),
        });
    }
    let mut of_kind = HashMap::<Gvk, Rc<References<'_>>>::default();
    for at in places {
        let references = of_kind
            .entry(objects.get(at).original_gvk())
            .or_insert_with_key(|gvk| Rc::new(References::of(gvk, specs)))
            .clone();
        if references.all.is_empty() {
            continue;
        }
        let object = objects.get(at);
        let worthy = references.worth_a_look(&object.tree, &candidates);
        if worthy.is_empty() && object.id.gvk.kind != "RoleBinding" {
            continue;
        }
        let referrer = Referrer::new(object)?;
        // The details of an ambiguous reference show the objects themselves.
        let mut ambiguous = None;
        let mend = |object: &mut Object| {
            for index in worthy {
                let (reference, spec) = references.all[index];
                referrer.fix(object, reference, spec, &candidates, &mut ambiguous)?;
            }
            Ok(())
        };
        let result = match references.may_rename {
            true => objects.change(at, mend),
            false => objects.write(at, mend),
        };
        if let Err(error) = result {
            return Err(match ambiguous {
                None => error,
                Some(found) => explain(error, objects, at, &found, &candidates)?,
            });
        }
    }
    Ok(())
}

/// Adds the documents that an ambiguous reference could mean.
fn explain(
    error: Error,
    objects: &Objects,
    at: usize,
    found: &[usize],
    candidates: &Candidates,
) -> Result<Error> {
    let mut details = format!(
        "\n**** Too many possible referral targets to referrer:\n{}\n",
        objects.get(at).to_yaml()?
    );
    for (number, index) in found.iter().enumerate() {
        let places = objects.with_id(&candidates.all[*index].id);
        if let Some(place) = places.first() {
            details.push_str(&format!(
                "--- possible referral {number}:\n{}\n",
                objects.get(*place).to_yaml()?
            ));
        }
    }
    Ok(error.reworded(|words| format!("{words}\n{details}")))
}

/// An object whose fields refer to others.
struct Referrer {
    id: Id,
    prefixes: EcoVec<Str>,
    suffixes: EcoVec<Str>,
    /// The namespaces of a role binding's service accounts.
    subject_namespaces: Vec<Str>,
    /// What a role binding's role is.
    role: Option<Gvk>,
}

impl Referrer {
    fn new(object: &Object) -> Result<Self> {
        let tree = &object.tree;
        let root = tree.root();
        let text = |node: NodeId, key: &str| {
            tree.get(node, key)
                .and_then(|node| tree.node(node).text().cloned())
        };
        let mut subject_namespaces = Vec::new();
        if object.id.gvk.kind == "RoleBinding"
            && let Some(subjects) = tree.get(root, "subjects")
        {
            for subject in tree.items(subjects) {
                let Some(namespace) = tree.get(*subject, "namespace") else {
                    continue;
                };
                if text(*subject, "kind").as_deref() != Some("ServiceAccount") {
                    continue;
                }
                match tree.node(namespace) {
                    node if node.is_text() => subject_namespaces.extend(node.text().cloned()),
                    _ => {
                        return Err(transform(format!(
                            "Invalid Input: namespace is blank for resource \"{}\"\n",
                            object.id
                        )));
                    }
                }
            }
        }
        let role = tree.get(root, "roleRef").and_then(|role| {
            Some(Gvk {
                group: text(role, "apiGroup")?,
                version: Str::new(),
                kind: text(role, "kind")?,
            })
        });
        Ok(Referrer {
            id: object.id.clone(),
            prefixes: object.prefixes.clone(),
            suffixes: object.suffixes.clone(),
            subject_namespaces,
            role,
        })
    }

    /// Whether the object may refer to it at all.
    fn reaches(&self, candidate: &Candidate) -> bool {
        self.id.cluster_scoped
            || candidate.id.cluster_scoped
            || candidate.id.same_namespace(&self.id)
            || self.subject_namespaces.contains(&candidate.id.namespace)
    }

    fn fix(
        &self,
        object: &mut Object,
        reference: &BackReference,
        spec: &FieldSpec,
        candidates: &Candidates,
        ambiguous: &mut Option<Vec<usize>>,
    ) -> Result<()> {
        let set_scalar = |tree: &mut Tree, node: NodeId, ambiguous: &mut Option<Vec<usize>>| {
            let name: Str = tree.text(node).unwrap_or_default().into();
            let found = self.select(&name, reference, spec, candidates, None, ambiguous)?;
            match found {
                Some(found) if found.id.name != name => {
                    fields::set_scalar(tree, node, Node::scalar(found.id.name.clone()))
                }
                _ => Ok(()),
            }
        };
        let set_mapping = |tree: &mut Tree, node: NodeId, ambiguous: &mut Option<Vec<usize>>| {
            let Some(field) = tree.get(node, "name") else {
                return Err(transform("path config error; no 'name' field in node"));
            };
            let name: Str = tree.text(field).unwrap_or_default().into();
            let namespace = tree
                .get(node, "namespace")
                .map(|node| Str::from(tree.text(node).unwrap_or_default()));
            let within = Some(namespace.as_deref());
            let found = self.select(&name, reference, spec, candidates, within, ambiguous)?;
            let Some(found) = found else { return Ok(()) };
            if found.id.name == name && found.id.namespace.is_empty() {
                return Ok(());
            }
            let mut set = |field: &str, text: &Str| {
                let node_of = tree.add(Node::scalar(text.clone()));
                fields::set_field(tree, node, field, node_of, Style::default())
            };
            set("name", &found.id.name)?;
            match found.id.namespace.is_empty() {
                true => Ok(()),
                false => set("namespace", &found.id.namespace),
            }
        };
        let mut set = |tree: &mut Tree, node: NodeId| {
            if tree.node(node).is_null() {
                return Ok(());
            }
            match tree.kind(node) {
                Kind::Scalar => set_scalar(tree, node, ambiguous),
                Kind::Map => set_mapping(tree, node, ambiguous),
                Kind::List => {
                    for item in tree.items(node).to_vec() {
                        if tree.node(item).is_null() {
                            continue;
                        }
                        match &tree.node(item).content {
                            Content::Scalar(_) => set_scalar(tree, item, ambiguous)?,
                            Content::Map(_) => set_mapping(tree, item, ambiguous)?,
                            Content::List(_) | Content::Alias(_) => {
                                return Err(transform(
                                    "a list item is expected to be either a string or a map of \
                                     string",
                                ));
                            }
                        }
                    }
                    Ok(())
                }
                Kind::Alias => Err(transform("node must be a scalar, sequence or map")),
            }
        };
        // The field counts whatever version of the kind the table names.
        fields::visit(
            &mut object.tree,
            &spec.gvk,
            &object.id,
            spec,
            Create::Nothing,
            &mut set,
        )
        .map_err(|error| {
            error.within(format_args!(
                "updating name reference in '{}' field of '{}'",
                spec.path, self.id
            ))
        })
    }

    /// The object that a name refers to. `within` is set for mappings, with
    /// the namespace that they name.
    fn select<'c>(
        &self,
        name: &str,
        reference: &BackReference,
        spec: &FieldSpec,
        candidates: &'c Candidates,
        within: Option<Option<&str>>,
        ambiguous: &mut Option<Vec<usize>>,
    ) -> Result<Option<&'c Candidate>> {
        let Some(named) = candidates.by_previous_name.get(name) else {
            return Ok(None);
        };
        let role = match spec.path.ends_with("roleRef/name") {
            true => self.role.as_ref(),
            false => None,
        };
        let was = |candidate: &Candidate, gvk: &Gvk| {
            candidate.previous.iter().any(|previous| {
                let of = Gvk {
                    kind: previous.kind.clone(),
                    ..candidate.id.gvk.clone()
                };
                of.is_selected(gvk)
            })
        };
        let in_namespace = |candidate: &Candidate| -> bool {
            let Some(Some(namespace)) = within else {
                return true;
            };
            let originally = candidates
                .by_original_namespace
                .get(namespace)
                .is_some_and(|list| list.iter().any(|at| self.reaches(&candidates.all[*at])));
            match originally {
                true => candidate.original_namespace == namespace,
                false => candidate.id.effective_namespace() == namespace,
            }
        };
        let mut found: Vec<usize> = named
            .iter()
            .copied()
            .filter(|at| {
                let candidate = &candidates.all[*at];
                self.reaches(candidate)
                    && was(candidate, &reference.referral)
                    && role.is_none_or(|role| was(candidate, role))
                    && (self.id.cluster_scoped
                        || candidate.id.cluster_scoped
                        || candidate.id.gvk.kind == "ServiceAccount"
                        || candidate.id.same_namespace(&self.id))
                    && in_namespace(candidate)
            })
            .collect();
        if found.len() != 1 {
            found.retain(|at| self.same_affixes(&candidates.all[*at], true));
        }
        if found.len() > 1 {
            found.retain(|at| self.same_affixes(&candidates.all[*at], false));
        }
        let Some(first) = found.first() else {
            return Ok(None);
        };
        let first = &candidates.all[*first];
        let identical = found.iter().all(|at| {
            let other = &candidates.all[*at].id;
            other.name == first.id.name
                && (within.is_none() || other.namespace == first.id.namespace)
        });
        if identical {
            return Ok(Some(first));
        }
        let ids: Vec<String> = found
            .iter()
            .map(|at| candidates.all[*at].id.to_string())
            .collect();
        *ambiguous = Some(found);
        Err(transform(format!(
            "found multiple possible referrals: {}",
            ids.join(", ")
        )))
    }

    fn same_affixes(&self, candidate: &Candidate, allow_empty: bool) -> bool {
        let same = |ours: &[Str], theirs: &[Str]| {
            (allow_empty && (ours.is_empty() || theirs.is_empty())) || same_ending(ours, theirs)
        };
        same(&self.prefixes, &candidate.prefixes) && same(&self.suffixes, &candidate.suffixes)
    }
}

/// Whether the shorter list is the end of the longer one; an empty one only of
/// an empty one.
fn same_ending(a: &[Str], b: &[Str]) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    match short.is_empty() {
        true => long.is_empty(),
        false => long.ends_with(short),
    }
}
