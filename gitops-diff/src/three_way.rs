//! Last applied, desired, live: what would change, and why.

use gitops_core::schema::{ObjectSchema, Schema, Schemas};
use gitops_core::{Gvk, Manifest, Map, ObjectKey, Str, Value, defaults};

use crate::ignore::{Rules, overlook};
use crate::immutable;
use crate::managed_fields::{self, Entry, Operation, Writer};
use crate::mask::mask;
use crate::normalize;
use crate::places::Places;
use crate::smd::{ApplyError, Path, Set, Typed};

mod shortcut;

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
    let found = |outcome| Difference {
        key: some.key().clone(),
        gvk: some.gvk().clone(),
        outcome,
        changes: Vec::new(),
        overlooked: Vec::new(),
        shared: Vec::new(),
        before: None,
        after: None,
    };
    let gvk = some.gvk();
    match (sides.desired, sides.live) {
        (Some(desired), Some(live)) => {
            let compared = Compared::new(desired, live, sides.last_applied, schemas, rules)?;
            compared.difference(found(Outcome::Same))
        }
        (Some(desired), None) => {
            let [after] = mask(gvk, [Some(desired.object().clone())]);
            Ok(Difference {
                after,
                ..found(Outcome::Create)
            })
        }
        (None, _) => {
            let live = sides.live.map(|live| shown(live.object()));
            let [before] = mask(gvk, [live]);
            Ok(Difference {
                before,
                ..found(Outcome::Extra)
            })
        }
    }
}

/// An object that is declared and there.
struct Compared<'a> {
    desired: &'a Manifest,
    live: &'a Manifest,
    last_applied: Option<&'a Manifest>,
    schemas: &'a Schemas,
    schema: ObjectSchema<'a>,
    rules: &'a Rules,
    builtin: bool,
    /// The declaration as a server would read it.
    config: Map,
}

impl<'a> Compared<'a> {
    fn new(
        desired: &'a Manifest,
        live: &'a Manifest,
        last_applied: Option<&'a Manifest>,
        schemas: &'a Schemas,
        rules: &'a Rules,
    ) -> Result<Self, DiffError> {
        let (a, b) = (desired.key(), live.key());
        let unrelated = a.group != b.group
            || a.kind != b.kind
            || a.name != b.name
            || (!a.namespace.is_empty() && !b.namespace.is_empty() && a.namespace != b.namespace);
        if unrelated {
            return Err(DiffError::Unrelated {
                desired: Box::new(a.clone()),
                live: Box::new(b.clone()),
            });
        }
        let schema = schemas.of(desired.gvk());
        // Most schemas are the built-in ones, and need no second look.
        let builtin = std::ptr::eq(schema.schema, Schema::builtin())
            || gitops_core::schema::is_builtin(desired.gvk());
        Ok(Compared {
            desired,
            live,
            last_applied,
            schemas,
            schema,
            rules,
            builtin,
            config: normalize::declared(desired.object(), desired.gvk(), builtin),
        })
    }

    /// The difference; `found` has the names.
    fn difference(&self, found: Difference) -> Result<Difference, DiffError> {
        let live = self.live.object();
        let owned = self.last_applied.is_none() || self.is_applied();
        if !owned || !shortcut::changes_nothing(self) {
            return self.walked(found);
        }
        // A rule that is not understood is an error, whether or not there is
        // anything to overlook.
        self.rules.check(self.live)?;
        let [before] = mask(&found.gvk, [Some(shown(live))]);
        let shared = match shortcut::shares_nothing(self) {
            true => Vec::new(),
            false => self.shared(&managed_fields::entries(live)),
        };
        let same = Difference {
            before,
            shared,
            ..found
        };
        // Whatever a test compares is compared both ways.
        debug_assert!(
            match self.walked(same.without_content()) {
                // What a rule names is only looked at where something differs.
                Err(DiffError::Jq { .. }) => true,
                walked => walked.as_ref().ok() == Some(&same),
            },
            "{}: the long way finds a difference",
            same.key
        );
        Ok(same)
    }

    /// Whether the rules' manager has applied the object on the server.
    fn is_applied(&self) -> bool {
        managed_fields::listed(self.live.object())
            .iter()
            .any(|entry| managed_fields::is_applied_by(entry, &self.rules.manager))
    }

    /// The difference, by merging and comparing in full.
    fn walked(&self, found: Difference) -> Result<Difference, DiffError> {
        let Compared {
            desired,
            live,
            schema,
            rules,
            builtin,
            ..
        } = *self;
        let gvk = desired.gvk();
        let owners = managed_fields::entries(live.object());
        let predicted = self.predicted(&owners)?;
        let mut current = live.object().clone();
        if builtin {
            // A server of another version may not have these defaults; they are
            // no difference.
            defaults::fill(gvk, &mut current);
        }
        let before = Typed::trusted(Value::Map(shown(&current)), schema);
        let after = Typed::trusted(Value::Map(shown(&predicted)), schema);
        let compared = before.compare(&after);
        let all_changed = compared.removed.union(&compared.modified);
        let all_changed = all_changed.union(&compared.added);
        let ignored = rules.ignored(desired, live, schema)?;
        let changed = all_changed.recursive_difference(&ignored);
        let mut unchanged = all_changed.difference(&changed);
        let overlooked_for = |path: Path, cause: Cause| Change {
            before: None,
            after: None,
            path,
            cause,
        };
        let ignored_paths = unchanged.paths().into_iter();
        let mut overlooked: Vec<Change> = ignored_paths
            .map(|path| overlooked_for(path, Cause::Ignored))
            .collect();
        let last = self.last_applied.map(Manifest::to_value);
        let mut last = last.as_ref().map(|last| Places::new(schema, last));
        let mut old_places = Places::new(schema, before.value());
        let mut new_places = Places::new(schema, after.value());
        let paths = changed.paths();
        let mut changes = Vec::new();
        let mut covered: Option<&Path> = None;
        for path in &paths {
            // A container that comes or goes stands for what is in it.
            if covered.is_some_and(|above| path.0.starts_with(&above.0)) {
                continue;
            }
            let (old, new) = (old_places.at(&path.0), new_places.at(&path.0));
            let same_meaning = match (old, new) {
                (Some(old), Some(new)) => {
                    let (old, new) = (overlook(old, path, &ignored), overlook(new, path, &ignored));
                    normalize::equivalent(schema, &path.0, &old, &new)
                }
                (None, Some(value)) | (Some(value), None) => {
                    builtin && normalize::is_left_out(value)
                }
                (None, None) => true,
            };
            if same_meaning {
                unchanged.insert(&path.0);
                let cause = match normalize::is_quantity_at(schema, &path.0) {
                    true => Cause::Quantity,
                    false => Cause::Default,
                };
                overlooked.push(overlooked_for(path.clone(), cause));
                continue;
            }
            if old.is_none() || new.is_none() {
                covered = Some(path);
            }
            let cause = match immutable::touched(live, std::iter::once(path)) {
                Some(_) => Cause::Immutable,
                None => {
                    let last = last.as_mut().map(|last| last.at(&path.0));
                    self.cause(path, last, new, &owners)
                }
            };
            changes.push(Change {
                path: path.clone(),
                before: None,
                after: None,
                cause,
            });
        }
        overlooked.sort_by(|a, b| a.path.cmp(&b.path));
        let shared = self.shared(&owners);
        if changes.is_empty() {
            let [before] = mask(gvk, [Some(shown(live.object()))]);
            return Ok(Difference {
                overlooked,
                shared,
                before,
                ..found
            });
        }
        let after = as_before(after, &before, &unchanged);
        let object = |typed: Typed<'_>| typed.into_value().as_map().cloned();
        let [before, after] = mask(gvk, [object(before), object(after)]);
        // The values of the changes, where they are masked.
        let side = |side: &Option<Map>| side.clone().map_or(Value::Null, Value::Map);
        let (old, new) = (side(&before), side(&after));
        let mut old = Places::new(schema, &old);
        let mut new = Places::new(schema, &new);
        for Change {
            path,
            before,
            after,
            ..
        } in &mut changes
        {
            *before = old.at(&path.0).cloned();
            *after = new.at(&path.0).cloned();
        }
        Ok(Difference {
            outcome: Outcome::Update,
            changes,
            overlooked,
            shared,
            before,
            after,
            ..found
        })
    }

    /// The live object after the declaration was applied to it, by force.
    fn predicted(&self, owners: &[Entry]) -> Result<Map, DiffError> {
        let gvk = self.desired.gvk();
        let mut config = self.desired.clone();
        config
            .edit(|value| *value = Value::Map(self.config.clone()))
            .expect("normalising keeps the names");
        let namespace = self.live.namespace();
        if !namespace.is_empty() && namespace != config.namespace() {
            config.set_namespace(namespace);
        }
        let mut owners = std::borrow::Cow::Borrowed(owners);
        // Objects that nobody applied on the server: what was last applied
        // stands for what we own.
        if let Some(last) = self.last_applied
            && !self.is_applied()
        {
            let last = normalize::declared(last.object(), gvk, self.builtin);
            owners.to_mut().push(Entry {
                manager: self.rules.manager.clone(),
                operation: Operation::Apply,
                api_version: gvk.api_version(),
                time: Str::new(),
                subresource: Str::new(),
                fields: Typed::trusted(Value::Map(last), self.schema).to_set(),
            });
        }
        let writer = Writer {
            force: true,
            ..Writer::new(self.rules.manager.clone())
        };
        let merged =
            managed_fields::merge(Some(self.live), &owners, &config, self.schemas, &writer);
        let mut object = match merged {
            Ok(merged) => merged.object,
            Err(source) => {
                return Err(DiffError::Invalid {
                    key: Box::new(self.desired.key().clone()),
                    source,
                });
            }
        };
        if self.builtin {
            // What is atomic comes without the defaults that the server had
            // put into it.
            defaults::fill(gvk, &mut object);
        }
        Ok(object)
    }

    /// Why a field differs; `last` is what was last applied there, if that is
    /// known.
    fn cause(
        &self,
        path: &Path,
        last: Option<Option<&Value>>,
        new: Option<&Value>,
        owners: &[Entry],
    ) -> Cause {
        let others = owners.iter().filter(|entry| !self.is_ours(entry));
        let mut others = others.filter(|entry| entry.fields.has(&path.0));
        let other = others.next();
        if let Some(entry) =
            other.filter(|entry| entry.api_version != self.desired.gvk().api_version())
        {
            return Cause::Converted {
                by: entry.manager.clone(),
                version: entry.api_version.clone(),
            };
        }
        let other = other.map(|entry| entry.manager.clone());
        match last {
            Some(last) => match (last, new) {
                (Some(last), Some(new)) if last.same(new) => Cause::Drifted { by: other },
                (None, None) => Cause::Drifted { by: other },
                _ => Cause::Declared,
            },
            // Whoever changed a field that we applied owns it now.
            None => match other {
                Some(by) => Cause::Drifted { by: Some(by) },
                None => Cause::Declared,
            },
        }
    }

    fn is_ours(&self, entry: &Entry) -> bool {
        entry.manager == self.rules.manager && entry.operation == Operation::Apply
    }

    /// The declared fields that others own too.
    fn shared(&self, owners: &[Entry]) -> Vec<(Str, Path)> {
        let declared = Typed::trusted(self.desired.to_value(), self.schema).to_set();
        let mut shared = Vec::new();
        for entry in owners.iter().filter(|entry| !self.is_ours(entry)) {
            let both = declared.intersection(&entry.fields).leaves();
            let paths = both.paths().into_iter();
            shared.extend(paths.map(|path| (entry.manager.clone(), path)));
        }
        shared
    }
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

/// An object without what only the server writes and nobody declares.
pub(crate) fn shown(object: &Map) -> Map {
    const SERVERS: [&str; 6] = [
        "managedFields",
        "resourceVersion",
        "uid",
        "generation",
        "creationTimestamp",
        "selfLink",
    ];
    let mut object = normalize::without_metadata(object.clone(), &SERVERS);
    object.remove("status");
    object
}

impl Difference {
    /// The names, and nothing found.
    fn without_content(&self) -> Difference {
        Difference {
            shared: Vec::new(),
            before: None,
            ..self.clone()
        }
    }

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
