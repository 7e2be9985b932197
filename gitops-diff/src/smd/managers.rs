//! Apply and update: values, owners and conflicts together.

use std::collections::BTreeMap;
use std::fmt;

use gitops_core::Str;

use super::compare::Comparison;
use super::path::Path;
use super::set::Set;
use super::typed::{Typed, TypedError};

/// What one manager owns, and in which version of the API it was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// The paths.
    pub set: Set,
    /// The `apiVersion` in which the paths are meant.
    pub api_version: Str,
    /// Whether the manager applies (and prunes what it no longer applies) or
    /// updates.
    pub applied: bool,
}

/// Every manager of an object, by its identifier.
pub type ManagedFields = BTreeMap<Str, Ownership>;

/// An object in another version of its API.
///
/// A server has one schema for each version and a way between them. Where all
/// managers speak the version of the request, [`SameVersion`] is enough.
pub trait Versions<'s> {
    /// `object` as it reads in `api_version`.
    ///
    /// # Errors
    ///
    /// [`ConvertError::Missing`] if that version is not served any more: its
    /// managers are then forgotten.
    fn convert(&self, object: &Typed<'s>, api_version: &str) -> Result<Typed<'s>, ConvertError>;
}

/// All versions read alike.
#[derive(Clone, Copy, Debug, Default)]
pub struct SameVersion;

impl<'s> Versions<'s> for SameVersion {
    fn convert(&self, object: &Typed<'s>, _: &str) -> Result<Typed<'s>, ConvertError> {
        Ok(object.clone())
    }
}

/// Why an object cannot be had in a version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// The version does not exist (any more).
    #[error("version {0} is not served")]
    Missing(Str),
    /// The conversion failed.
    #[error("cannot convert to {api_version}: {problem}")]
    Failed {
        /// The version that was wanted.
        api_version: Str,
        /// What went wrong.
        problem: String,
    },
}

/// What decides an apply or an update beside the objects.
pub struct Rules<'a, 's> {
    /// Conversion between versions.
    pub versions: &'a dyn Versions<'s>,
    /// Paths that nobody can own, by version: for instance `status` on the
    /// main endpoint of a kind.
    pub ignored: &'a dyn Fn(&str) -> Option<&'a Set>,
    /// What pruning leaves of a container that it emptied; see
    /// [`Typed::remove`].
    pub keep_emptied: bool,
}

impl fmt::Debug for Rules<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("keep_emptied", &self.keep_emptied)
            .finish_non_exhaustive()
    }
}

impl Rules<'_, '_> {
    /// One version, nothing ignored, emptied containers become null.
    pub fn plain() -> Rules<'static, 'static> {
        Rules {
            versions: &SameVersion,
            ignored: &|_| None,
            keep_emptied: false,
        }
    }
}

/// A path that another manager owns and that would change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// The identifier of the manager that owns the path.
    pub manager: Str,
    /// The path.
    pub path: Path,
}

/// The conflicts that stopped an apply, by manager and path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflicts(pub Vec<Conflict>);

impl fmt::Display for Conflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [conflict] = self.0.as_slice() {
            return write!(
                f,
                "conflict with {:?}: {}",
                conflict.manager.as_str(),
                conflict.path
            );
        }
        let mut manager = None;
        for conflict in &self.0 {
            if manager.replace(&conflict.manager) != Some(&conflict.manager) {
                let line = if conflict == &self.0[0] { "" } else { "\n" };
                write!(f, "{line}conflicts with {:?}:", conflict.manager.as_str())?;
            }
            write!(f, "\n- {}", conflict.path)?;
        }
        Ok(())
    }
}

/// Why an apply or update did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// Other managers own what would change; forcing takes it from them.
    #[error("{0}")]
    Conflicts(Conflicts),
    /// A value does not fit the schema.
    #[error("{0}")]
    Typed(#[from] TypedError),
    /// A version could not be had.
    #[error(transparent)]
    Convert(#[from] ConvertError),
}

/// Applies `config` as `manager` to `live`.
///
/// Returns the new object, or `None` if it is the live one, and writes the new
/// owners to `managers` either way. `config` and `live` are in `api_version`.
///
/// A path disappears if and only if the manager applied it last time, does not
/// apply it now, and nobody else owns it.
///
/// # Errors
///
/// [`ApplyError::Conflicts`] if somebody else owns a path that would change
/// and `force` is off; `managers` is then of no use.
pub fn apply<'s>(
    live: &Typed<'s>,
    config: &Typed<'s>,
    api_version: &str,
    managers: &mut ManagedFields,
    manager: &str,
    force: bool,
    rules: &Rules<'_, 's>,
) -> Result<Option<Typed<'s>>, ApplyError> {
    reconcile(live, managers, rules)?;
    let merged = live.merge(config)?;
    let previous = managers.get(manager).cloned();
    let mut set = config.to_set();
    if let Some(ignored) = (rules.ignored)(api_version) {
        set = set.recursive_difference(ignored);
    }
    managers.insert(
        manager.into(),
        Ownership {
            set,
            api_version: api_version.into(),
            applied: true,
        },
    );
    let pruned = prune(merged, managers, manager, previous.as_ref(), rules)?;
    take_over(live, &pruned, api_version, managers, manager, force, rules)?;
    Ok((!pruned.value.same(&live.value)).then_some(pruned))
}

/// Records that `manager` replaced `live` by `new`, both in `api_version`.
///
/// A manager that updates owns what it changed; sending an unchanged field
/// gives no ownership.
///
/// # Errors
///
/// [`ApplyError::Convert`] if an object cannot be had in a manager's version.
pub fn update<'s>(
    live: &Typed<'s>,
    new: &Typed<'s>,
    api_version: &str,
    managers: &mut ManagedFields,
    manager: &str,
    rules: &Rules<'_, 's>,
) -> Result<(), ApplyError> {
    reconcile(live, managers, rules)?;
    let compared = take_over(live, new, api_version, managers, manager, true, rules)?;
    let previous = managers
        .get(manager)
        .map(|ownership| ownership.set.clone())
        .unwrap_or_default();
    let mut set = previous
        .difference(&compared.removed)
        .union(&compared.modified)
        .union(&compared.added);
    if let Some(ignored) = (rules.ignored)(api_version) {
        set = set.recursive_difference(ignored);
    }
    if set.is_empty() {
        managers.remove(manager);
    } else {
        managers.insert(
            manager.into(),
            Ownership {
                set,
                api_version: api_version.into(),
                applied: false,
            },
        );
    }
    Ok(())
}

/// `None` where the version is gone.
fn convert<'s>(
    object: &Typed<'s>,
    api_version: &str,
    rules: &Rules<'_, 's>,
) -> Result<Option<Typed<'s>>, ConvertError> {
    match rules.versions.convert(object, api_version) {
        Ok(object) => Ok(Some(object)),
        Err(ConvertError::Missing(_)) => Ok(None),
        Err(other) => Err(other),
    }
}

/// Adapts every manager's set to the schema as it is now.
fn reconcile<'s>(
    live: &Typed<'s>,
    managers: &mut ManagedFields,
    rules: &Rules<'_, 's>,
) -> Result<(), ConvertError> {
    let mut gone = Vec::new();
    for (manager, ownership) in managers.iter_mut() {
        match convert(live, &ownership.api_version, rules)? {
            Some(live) => ownership.set = live.reconcile(&ownership.set),
            None => gone.push(manager.clone()),
        }
    }
    for manager in gone {
        managers.remove(&manager);
    }
    Ok(())
}

/// Takes from the other managers what `manager` changes, or reports that it
/// may not. Returns what changed in `api_version`.
fn take_over<'s>(
    old: &Typed<'s>,
    new: &Typed<'s>,
    api_version: &str,
    managers: &mut ManagedFields,
    manager: &str,
    force: bool,
    rules: &Rules<'_, 's>,
) -> Result<Comparison, ApplyError> {
    let mut versions: BTreeMap<Str, Option<Comparison>> = BTreeMap::new();
    versions.insert(
        api_version.into(),
        Some(without_ignored(old.compare(new), api_version, rules)),
    );
    let mut conflicts: Vec<(Str, Set)> = Vec::new();
    for (other, ownership) in managers.iter() {
        if other == manager {
            continue;
        }
        if !versions.contains_key(&ownership.api_version) {
            let version = &ownership.api_version;
            let compared = match (convert(old, version, rules)?, convert(new, version, rules)?) {
                (Some(old), Some(new)) => Some(without_ignored(old.compare(&new), version, rules)),
                _ => None,
            };
            versions.insert(version.clone(), compared);
        }
        if let Some(compared) = &versions[&ownership.api_version] {
            let modified = ownership.set.intersection(&compared.modified);
            let conflict = modified.union(&ownership.set.intersection(&compared.added));
            if !conflict.is_empty() {
                conflicts.push((other.clone(), conflict));
            }
        }
    }
    if !force && !conflicts.is_empty() {
        return Err(ApplyError::Conflicts(Conflicts(
            conflicts
                .iter()
                .flat_map(|(manager, set)| {
                    set.paths().into_iter().map(|path| Conflict {
                        manager: manager.clone(),
                        path,
                    })
                })
                .collect(),
        )));
    }
    for (other, conflict) in conflicts {
        if let Some(ownership) = managers.get_mut(&other) {
            ownership.set = ownership.set.difference(&conflict);
        }
    }
    for (other, ownership) in managers.iter_mut() {
        // What the manager says now is its own; an item that it reduced from
        // several copies to one counts as removed, and is there all the same.
        if other == manager {
            continue;
        }
        match versions.get(&ownership.api_version) {
            Some(Some(compared)) => {
                ownership.set = ownership.set.difference(&compared.removed);
            }
            // Objects of a version that is gone are in nobody's hands.
            Some(None) => ownership.set = Set::new(),
            None => {}
        }
    }
    managers.retain(|_, ownership| !ownership.set.is_empty());
    Ok(versions
        .remove(api_version)
        .flatten()
        .expect("inserted at the start"))
}

fn without_ignored(compared: Comparison, api_version: &str, rules: &Rules<'_, '_>) -> Comparison {
    match (rules.ignored)(api_version) {
        Some(ignored) => compared.without(ignored),
        None => compared,
    }
}

/// Removes from `merged` what its manager applied last time and nobody owns
/// now.
fn prune<'s>(
    merged: Typed<'s>,
    managers: &ManagedFields,
    manager: &str,
    last: Option<&Ownership>,
    rules: &Rules<'_, 's>,
) -> Result<Typed<'s>, ApplyError> {
    let Some(last) = last else {
        return Ok(merged);
    };
    // What a manager applied it mostly applies again, and then nothing goes:
    // it owns the fields, and with them all items that they are in.
    let now = &managers[manager];
    if now.api_version == last.api_version && last.set.is_subset(&now.set) {
        return Ok(merged);
    }
    let Some(whole) = convert(&merged, &last.api_version, rules)? else {
        return Ok(merged);
    };
    let named = |set: &Set, of: &Typed<'_>| set.with_named_fields(of.schema, Some(of.root));
    let pruned = whole.remove(&named(&last.set, &whole), rules.keep_emptied);
    let pruned = add_back_owned(&whole, pruned, &last.api_version, managers, rules)?;
    let pruned = match convert(&pruned, &last.api_version, rules)? {
        None => whole.clone(),
        // What went although it was not applied last time stays after all.
        Some(pruned) => {
            let gone = named(&whole.to_set(), &whole)
                .difference(&named(&pruned.to_set(), &whole))
                .intersection(&named(&last.set, &whole));
            whole.remove(&gone, rules.keep_emptied)
        }
    };
    Ok(rules.versions.convert(&pruned, &now.api_version)?)
}

/// Puts back what some manager owns, version by version, the pruned one first:
/// the others may not convert without the fields that it requires.
fn add_back_owned<'s>(
    whole: &Typed<'s>,
    pruned: Typed<'s>,
    pruned_version: &str,
    managers: &ManagedFields,
    rules: &Rules<'_, 's>,
) -> Result<Typed<'s>, ConvertError> {
    let mut owned: BTreeMap<&str, Set> = BTreeMap::new();
    for ownership in managers.values() {
        let set = owned.entry(&ownership.api_version).or_default();
        *set = set.union(&ownership.set);
    }
    let first = owned.remove_entry(pruned_version);
    let (mut whole, mut pruned) = (whole.clone(), pruned);
    for (version, owned) in first.into_iter().chain(owned) {
        let (Some(in_version), Some(left)) = (
            convert(&whole, version, rules)?,
            convert(&pruned, version, rules)?,
        ) else {
            continue;
        };
        let named = |set: &Set| set.with_named_fields(in_version.schema, Some(in_version.root));
        let gone =
            named(&in_version.to_set()).difference(&named(&left.to_set()).union(&named(&owned)));
        pruned = in_version.remove(&gone, rules.keep_emptied);
        whole = in_version;
    }
    Ok(pruned)
}
