//! Last applied, desired, live: what would change, and why.

use gitops_core::schema::{ObjectSchema, Schemas};
use gitops_core::{Gvk, Manifest, Map, ObjectKey, Str, Value, defaults};

use crate::ignore::{Rules, overlook};
use crate::immutable;
use crate::managed_fields::{self, Entry, Operation, Writer};
use crate::mask::mask;
use crate::normalize;
use crate::smd::{ApplyError, Path, PathElement, Set, Typed};

/// What is compared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sides<'a> {
    /// What is declared; `None` if nothing is any more.
    pub desired: Option<&'a Manifest>,
    /// What the cluster holds, in the version of the declaration; `None` if
    /// there is no such object.
    pub live: Option<&'a Manifest>,
    /// What was declared when it was last applied, if that is known. It tells
    /// drift from a change of the declaration, and what to remove from objects
    /// that were applied by a client.
    pub last_applied: Option<&'a Manifest>,
}

/// The difference between what is declared and what is there.
///
/// Values of Secrets are masked throughout; nothing here, in its display or
/// in its JSON holds them.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The object.
    pub key: ObjectKey,
    /// The object's type.
    pub gvk: Gvk,
    /// What would have to be done.
    pub outcome: Outcome,
    /// What would change, in order of path; empty unless the outcome is
    /// [`Update`](Outcome::Update).
    pub changes: Vec<Change>,
    /// Fields that are written otherwise and do not differ, and why they do not;
    /// in order of path.
    pub overlooked: Vec<Change>,
    /// Fields of the declaration that another manager owns too, whether or not
    /// they differ.
    pub shared: Vec<(Str, Path)>,
    before: Option<Map>,
    after: Option<Map>,
}

/// What would have to be done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// Nothing.
    Same,
    /// It is declared and not there.
    Create,
    /// It is there and differs.
    Update,
    /// It is there and not declared.
    Extra,
}

/// One field that would change.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The field.
    pub path: Path,
    /// What the cluster holds; `None` if the field is not there.
    pub before: Option<Value>,
    /// What it would hold; `None` if the field would go.
    pub after: Option<Value>,
    /// Why the two differ.
    pub cause: Cause,
}

/// Why a field differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The declaration says something else than when it was last applied, or
    /// it is not known what it said.
    Declared,
    /// The cluster was changed; by whom, as far as that is recorded.
    Drifted {
        /// The manager that owns the field now.
        by: Option<Str>,
    },
    /// The server will not change the field; the object has to be replaced.
    Immutable,
    /// The field is owned in another version of the API, from which the server
    /// converts: it may be the same.
    Converted {
        /// The manager that owns it.
        by: Str,
        /// The version that it speaks.
        version: Str,
    },
    /// No difference: the server fills the field in, or leaves it out.
    Default,
    /// No difference: the same quantity, spelled otherwise.
    Quantity,
    /// No difference by the rules.
    Ignored,
}

/// Why two objects could not be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiffError {
    /// There is nothing to compare.
    #[error("neither a desired nor a live object")]
    Nothing,
    /// The sides are not the same object.
    #[error("{desired} and {live} are different objects")]
    Unrelated {
        /// The declared one.
        desired: Box<ObjectKey>,
        /// The live one.
        live: Box<ObjectKey>,
    },
    /// A jq path of an ignore rule is not understood.
    #[error("jqPathExpressions: {expression:?} {problem}")]
    Jq {
        /// The expression.
        expression: Str,
        /// What is wrong with it.
        problem: String,
    },
    /// The declaration does not fit its schema.
    #[error("{key}: {source}")]
    Invalid {
        /// The object.
        key: Box<ObjectKey>,
        /// Every field that does not fit.
        source: ApplyError,
    },
}

/// The manager as whom manifests are applied, unless another is named.
pub const FIELD_MANAGER: &str = "gitops";

/// Compares what is declared with what is there, as server-side apply by
/// `rules.manager` would see it.
///
/// Fields that only the server or another manager has set are no difference;
/// neither are other spellings of the same value. A field that the manager
/// applied and that is declared no more is one: it would be removed.
///
/// # Errors
///
/// [`DiffError::Invalid`] if the declaration does not fit the schema, with all
/// fields that do not.
///
/// ```
/// use gitops_core::schema::Schemas;
/// use gitops_core::{Origin, manifest};
/// use gitops_diff::{Outcome, Rules, Sides, diff};
///
/// let read = |text: &str| manifest::parse(text.as_bytes(), &Origin::default());
/// let desired = &read("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {x: '1'}}")?[0];
/// let live = &read("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {x: '2'}}")?[0];
/// let sides = Sides { desired: Some(desired), live: Some(live), last_applied: None };
/// let difference = diff(&sides, &Schemas::new(), &Rules::default())?;
/// assert_eq!(difference.outcome, Outcome::Update);
/// assert_eq!(difference.changes[0].path.to_string(), ".data.x");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn diff(sides: &Sides<'_>, schemas: &Schemas, rules: &Rules) -> Result<Difference, DiffError> {
    let some = sides.desired.or(sides.live).ok_or(DiffError::Nothing)?;
    let (key, gvk) = (some.key().clone(), some.gvk().clone());
    let same = |outcome| Difference {
        key: key.clone(),
        gvk: gvk.clone(),
        outcome,
        changes: Vec::new(),
        overlooked: Vec::new(),
        shared: Vec::new(),
        before: None,
        after: None,
    };
    let (desired, live) = match (sides.desired, sides.live) {
        (Some(desired), Some(live)) => (desired, live),
        (Some(desired), None) => {
            let [after] = mask(&gvk, [Some(desired.object().clone())]);
            return Ok(Difference {
                after,
                ..same(Outcome::Create)
            });
        }
        (None, _) => {
            let live = sides.live.map(|live| shown(live.object()));
            let [before] = mask(&gvk, [live]);
            return Ok(Difference {
                before,
                ..same(Outcome::Extra)
            });
        }
    };
    let unrelated = |a: &ObjectKey, b: &ObjectKey| {
        a.group != b.group
            || a.kind != b.kind
            || a.name != b.name
            || (!a.namespace.is_empty() && !b.namespace.is_empty() && a.namespace != b.namespace)
    };
    if unrelated(desired.key(), live.key()) {
        return Err(DiffError::Unrelated {
            desired: Box::new(desired.key().clone()),
            live: Box::new(live.key().clone()),
        });
    }
    let schema = schemas.of(&gvk);
    let builtin = gitops_core::schema::is_builtin(&gvk);
    let predicted = predict(desired, live, sides.last_applied, schemas, rules, builtin)?;
    let mut current = live.object().clone();
    if builtin {
        // A server of another version may not have these defaults; they are
        // no difference.
        defaults::fill(&gvk, &mut current);
    }
    let before = Typed::trusted(Value::Map(shown(&current)), schema);
    let after = Typed::trusted(Value::Map(shown(&predicted)), schema);
    let compared = before.compare(&after);
    let mut changed = compared.removed.union(&compared.modified);
    changed = changed.union(&compared.added);
    let all_changed = changed;
    let ignored = rules.ignored(desired, live, schema)?;
    let changed = all_changed.recursive_difference(&ignored);
    let mut unchanged = all_changed.difference(&changed);
    let owners = managed_fields::entries(live.object());
    let mut changes = Vec::new();
    let mut overlooked: Vec<Change> = Vec::new();
    for path in all_changed.difference(&changed).paths() {
        overlooked.push(Change {
            before: None,
            after: None,
            path,
            cause: Cause::Ignored,
        });
    }
    let mut covered: Option<Path> = None;
    for path in changed.paths() {
        // A container that comes or goes stands for what is in it.
        if covered
            .as_ref()
            .is_some_and(|above| path.0.starts_with(&above.0))
        {
            continue;
        }
        let old = value_at(schema, before.value(), &path.0);
        let new = value_at(schema, after.value(), &path.0);
        let same_meaning = match (&old, &new) {
            (Some(old), Some(new)) => {
                let (old, new) = (
                    overlook(old, &path, &ignored),
                    overlook(new, &path, &ignored),
                );
                normalize::equivalent(schema, &path.0, &old, &new)
            }
            (None, Some(value)) | (Some(value), None) => builtin && normalize::is_left_out(value),
            (None, None) => true,
        };
        if same_meaning {
            unchanged.insert(&path.0);
            let quantity = normalize::is_quantity_at(schema, &path.0);
            overlooked.push(Change {
                before: None,
                after: None,
                cause: match quantity {
                    true => Cause::Quantity,
                    false => Cause::Default,
                },
                path,
            });
            continue;
        }
        if old.is_none() || new.is_none() {
            covered = Some(path.clone());
        }
        let fixed = immutable::touched(live, std::iter::once(&path));
        let cause = match fixed {
            Some(_) => Cause::Immutable,
            None => cause(
                &path,
                new.as_ref(),
                sides.last_applied,
                schema,
                &owners,
                rules,
                &gvk,
            ),
        };
        changes.push(Change {
            path,
            before: old,
            after: new,
            cause,
        });
    }
    let outcome = if changes.is_empty() {
        Outcome::Same
    } else {
        Outcome::Update
    };
    let after = as_before(after, &before, &unchanged);
    let [before, after] = mask(
        &gvk,
        [
            before.into_value().as_map().cloned(),
            after.into_value().as_map().cloned(),
        ],
    );
    // The values of the changes, looked up again where they are masked.
    overlooked.sort_by(|a, b| a.path.cmp(&b.path));
    for change in &mut changes {
        let at = |side: &Option<Map>| {
            let side = Value::Map(side.clone()?);
            value_at(schema, &side, &change.path.0)
        };
        (change.before, change.after) = (at(&before), at(&after));
    }
    let shared = shared(desired, schema, &owners, rules);
    Ok(Difference {
        outcome,
        changes,
        overlooked,
        shared,
        before,
        after: after.filter(|_| outcome == Outcome::Update),
        ..same(outcome)
    })
}

/// `after` with the paths of `unchanged` as `before` has them: what is no
/// difference is not shown as one.
fn as_before<'s>(after: Typed<'s>, before: &Typed<'s>, unchanged: &Set) -> Typed<'s> {
    if unchanged.is_empty() {
        return after;
    }
    let rest = after.remove(unchanged, false);
    let kept = before.extract(unchanged, true);
    match kept.value() {
        Value::Null => rest,
        _ => rest.merge(&kept).unwrap_or(after),
    }
}

/// The live object after the declaration was applied to it, by force.
fn predict(
    desired: &Manifest,
    live: &Manifest,
    last_applied: Option<&Manifest>,
    schemas: &Schemas,
    rules: &Rules,
    builtin: bool,
) -> Result<Map, DiffError> {
    let invalid = |source| DiffError::Invalid {
        key: Box::new(desired.key().clone()),
        source,
    };
    let mut config = desired.clone();
    if !live.namespace().is_empty() {
        config.set_namespace(live.namespace());
    }
    let declared = normalize::declared(config.object(), desired.gvk(), builtin);
    config
        .edit(|value| *value = Value::Map(declared))
        .expect("normalising keeps the names");
    let mut base = live.clone();
    // Objects that nobody applied on the server: what was last applied stands
    // for what we own.
    let entries = managed_fields::entries(live.object());
    let mine = |entry: &Entry| {
        entry.operation == Operation::Apply
            && entry.manager == rules.manager
            && entry.subresource.is_empty()
    };
    if let Some(last) = last_applied
        && !entries.iter().any(mine)
    {
        let last = normalize::declared(last.object(), desired.gvk(), builtin);
        let owned = Typed::trusted(Value::Map(last), schemas.of(desired.gvk())).to_set();
        let mut entries = entries;
        entries.push(Entry {
            manager: rules.manager.clone(),
            operation: Operation::Apply,
            api_version: desired.gvk().api_version(),
            time: Str::new(),
            subresource: Str::new(),
            fields: owned,
        });
        base.edit(|value| {
            if let Value::Map(object) = value {
                managed_fields::set_entries(object, entries);
            }
        })
        .expect("entries are no names");
    }
    let writer = Writer {
        force: true,
        ..Writer::new(rules.manager.clone())
    };
    let applied = managed_fields::apply(Some(&base), &config, schemas, &writer).map_err(invalid)?;
    let mut object = applied.object;
    if builtin {
        // What is atomic comes without the defaults that the server had put
        // into it.
        defaults::fill(desired.gvk(), &mut object);
    }
    Ok(object)
}

/// An object without what only the server writes and nobody declares.
fn shown(object: &Map) -> Map {
    let mut object = object.clone();
    object.remove("status");
    if let Some(Value::Map(metadata)) = object.get_mut("metadata") {
        for name in [
            "managedFields",
            "resourceVersion",
            "uid",
            "generation",
            "creationTimestamp",
            "selfLink",
        ] {
            metadata.remove(name);
        }
    }
    object
}

fn cause(
    path: &Path,
    new: Option<&Value>,
    last_applied: Option<&Manifest>,
    schema: ObjectSchema<'_>,
    owners: &[Entry],
    rules: &Rules,
    gvk: &Gvk,
) -> Cause {
    let other = owners
        .iter()
        .filter(|entry| entry.manager != rules.manager || entry.operation != Operation::Apply)
        .find(|entry| entry.fields.has(&path.0));
    if let Some(entry) = other.filter(|entry| entry.api_version != gvk.api_version()) {
        return Cause::Converted {
            by: entry.manager.clone(),
            version: entry.api_version.clone(),
        };
    }
    let other = other.map(|entry| entry.manager.clone());
    match last_applied {
        Some(last) => {
            let last = value_at(schema, &last.to_value(), &path.0);
            match (last.as_ref(), new) {
                (Some(last), Some(new)) if last.same(new) => Cause::Drifted { by: other },
                (None, None) => Cause::Drifted { by: other },
                _ => Cause::Declared,
            }
        }
        // Whoever changed a field that we applied owns it now.
        None => match other {
            Some(by) => Cause::Drifted { by: Some(by) },
            None => Cause::Declared,
        },
    }
}

fn shared(
    desired: &Manifest,
    schema: ObjectSchema<'_>,
    owners: &[Entry],
    rules: &Rules,
) -> Vec<(Str, Path)> {
    let declared = Typed::trusted(desired.to_value(), schema).to_set();
    let mut shared = Vec::new();
    for entry in owners {
        if entry.manager == rules.manager && entry.operation == Operation::Apply {
            continue;
        }
        let both: Set = declared.intersection(&entry.fields);
        shared.extend(
            both.leaves()
                .paths()
                .into_iter()
                .map(|path| (entry.manager.clone(), path)),
        );
    }
    shared
}

/// The value at a path, items found by their identity.
pub(crate) fn value_at(
    schema: ObjectSchema<'_>,
    value: &Value,
    path: &[PathElement],
) -> Option<Value> {
    let mut here = value.clone();
    let mut ty = Some(schema.root);
    for element in path {
        let atom = ty.map(|ty| schema.schema.resolve(ty)).unwrap_or_default();
        match element {
            PathElement::Field(name) => {
                ty = atom.map.as_ref().and_then(|map| map.child(name));
                here = here.get(name)?.clone();
            }
            PathElement::Index(index) => {
                ty = atom.list.as_ref().map(|list| list.element);
                here = here.as_list()?.get(usize::try_from(*index).ok()?)?.clone();
            }
            key => {
                let list = atom.list?;
                ty = Some(list.element);
                let found = here.as_list()?.iter().find(|item| {
                    crate::smd::identity(schema.schema, &list, item)
                        .is_ok_and(|element| element == *key)
                });
                here = found?.clone();
            }
        }
    }
    Some(here)
}

impl Difference {
    /// The object as it is, masked; `None` if it is not there.
    pub fn before(&self) -> Option<&Map> {
        self.before.as_ref()
    }

    /// The object as it would be, masked; `None` if it would be gone or stay
    /// as it is.
    pub fn after(&self) -> Option<&Map> {
        self.after.as_ref()
    }
}
