//! Fields in which a difference does not count: named by JSON pointer, by jq
//! path, or by the manager who owns them. The same paths are left alone when
//! the declaration is applied.

use gitops_core::app::IgnoreDifference;
use gitops_core::schema::{ObjectSchema, Relationship, Schemas};
use gitops_core::{Manifest, Str, Value};

use jq::Step;

use crate::managed_fields;
use crate::smd::{Identity, Path, PathElement, Set, Typed};
use crate::three_way::DiffError;

mod jq;

/// How objects are compared.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The field manager as whom the declaration would be applied.
    pub manager: Str,
    /// Fields to overlook, by kind and name.
    pub ignore: Vec<IgnoreDifference>,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            manager: crate::FIELD_MANAGER.into(),
            ignore: Vec::new(),
        }
    }
}

impl Rules {
    /// Whether the rules for an object are understood, if there is nothing to
    /// overlook in it.
    pub(crate) fn check(&self, live: &Manifest) -> Result<(), DiffError> {
        let concerned = self.ignore.iter().filter(|rule| concerns(rule, live));
        for expression in concerned.flat_map(|rule| &rule.jq_path_expressions) {
            jq::check(expression).map_err(|problem| not_understood(expression, problem))?;
        }
        Ok(())
    }

    /// The paths to overlook in one object, each with all below it. Items of
    /// atomic lists are named by position; see [`overlook`].
    pub(crate) fn ignored(
        &self,
        desired: &Manifest,
        live: &Manifest,
        schema: ObjectSchema<'_>,
    ) -> Result<Set, DiffError> {
        let mut ignored = Set::new();
        let concerned = self.ignore.iter().filter(|rule| concerns(rule, live));
        for rule in concerned {
            for pointer in &rule.json_pointers {
                for object in [desired, live] {
                    if let Some(path) = pointed(pointer, &object.to_value(), schema) {
                        ignored.insert(&path);
                    }
                }
            }
            for expression in &rule.jq_path_expressions {
                for object in [desired, live] {
                    let object = object.to_value();
                    let paths = jq::paths(expression, &object)
                        .map_err(|problem| not_understood(expression, problem))?;
                    for steps in paths {
                        if let Some(path) = stepped(&steps, &object, schema) {
                            ignored.insert(&path);
                        }
                    }
                }
            }
            for entry in managed_fields::entries(live.object()) {
                if rule.managed_fields_managers.contains(&entry.manager) {
                    ignored = ignored.union(&entry.fields.leaves());
                }
            }
        }
        Ok(ignored)
    }

    /// The declaration with the fields to overlook as the cluster has them:
    /// applying it leaves them alone. What the cluster does not have is left
    /// out.
    ///
    /// Leaving them out altogether would not do: who has applied a field and
    /// applies it no more removes it.
    ///
    /// # Errors
    ///
    /// [`DiffError::Jq`] if a rule's expression is not understood.
    pub fn leave_ignored(
        &self,
        desired: &Manifest,
        live: &Manifest,
        schemas: &Schemas,
    ) -> Result<Manifest, DiffError> {
        let schema = schemas.of(desired.gvk());
        let ignored = self.ignored(desired, live, schema)?;
        if ignored.is_empty() {
            return Ok(desired.clone());
        }
        let declared = Typed::trusted(desired.to_value(), schema);
        let fields = declared.to_set();
        let fields = fields.difference(&fields.recursive_difference(&ignored));
        let rest = declared.remove(&fields, false);
        let kept = Typed::trusted(live.to_value(), schema).extract(&fields, true);
        let merged = match kept.value() {
            Value::Null => rest,
            _ => rest.merge(&kept).unwrap_or(rest),
        };
        // Whoever overlooks the names of objects has them all the same.
        Ok(Manifest::new(merged.into_value(), desired.origin.clone())
            .unwrap_or_else(|_| desired.clone()))
    }
}

fn not_understood(expression: &Str, problem: String) -> DiffError {
    DiffError::Jq {
        expression: expression.clone(),
        problem,
    }
}

fn concerns(rule: &IgnoreDifference, object: &Manifest) -> bool {
    let key = object.key();
    glob(&rule.group, &key.group)
        && glob(&rule.kind, &key.kind)
        && (rule.name.is_empty() || rule.name == key.name)
        && (rule.namespace.is_empty() || rule.namespace == key.namespace)
}

/// A glob in which `*` stands for anything; groups and kinds need no more.
fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => {
            let Some(rest) = text.strip_prefix(before) else {
                return false;
            };
            (0..=rest.len())
                .filter(|at| rest.is_char_boundary(*at))
                .any(|at| glob(after, &rest[at..]))
        }
    }
}

/// The path that an RFC 6901 pointer names in `object`.
fn pointed(pointer: &str, object: &Value, schema: ObjectSchema<'_>) -> Option<Vec<PathElement>> {
    let mut steps = Vec::new();
    let mut here = object;
    for token in pointer.strip_prefix('/')?.split('/') {
        let token = token.replace("~1", "/").replace("~0", "~");
        match here {
            Value::Map(map) => {
                here = map.get(&token)?;
                steps.push(Step::Field(token.into()));
            }
            Value::List(list) => {
                let index: usize = token.parse().ok()?;
                here = list.get(index)?;
                steps.push(Step::Item(index));
            }
            _ => return None,
        }
    }
    stepped(&steps, object, schema)
}

/// The path of steps that are in `object`. They name list items by position;
/// those that have an identity are found by it from here on.
fn stepped(steps: &[Step], object: &Value, schema: ObjectSchema<'_>) -> Option<Vec<PathElement>> {
    let mut path = Vec::with_capacity(steps.len());
    let mut here = object;
    let mut ty = Some(schema.root);
    for step in steps {
        let atom = ty.map(|ty| schema.schema.resolve(ty)).unwrap_or_default();
        match (here, step) {
            (Value::Map(map), Step::Field(name)) => {
                here = map.get(name)?;
                path.push(PathElement::Field(name.clone()));
                ty = atom.map.and_then(|map| map.child(name));
            }
            (Value::List(list), Step::Item(index)) => {
                here = list.get(*index)?;
                let identified = atom
                    .list
                    .as_ref()
                    .filter(|list| list.relationship == Relationship::Associative)
                    .and_then(|list| Identity::of(schema.schema, list, here).ok());
                path.push(match identified {
                    Some(identity) => identity.element(),
                    None => PathElement::Index(i64::try_from(*index).ok()?),
                });
                ty = atom.list.map(|list| list.element);
            }
            _ => return None,
        }
    }
    Some(path)
}

/// The value at `path` without what is to be overlooked inside it: an atomic
/// value differs as a whole, and is to be overlooked in part.
pub(crate) fn overlook(value: &Value, path: &Path, ignored: &Set) -> Value {
    let mut value = value.clone();
    let Some(below) = ignored.at(&path.0) else {
        return value;
    };
    // Backwards, so that positions still to come stay as they are.
    for inner in below.paths().iter().rev() {
        remove(&mut value, &inner.0);
    }
    value
}

fn remove(value: &mut Value, path: &[PathElement]) {
    match (value, path) {
        (Value::Map(map), [PathElement::Field(name)]) => {
            map.remove(name);
        }
        (Value::Map(map), [PathElement::Field(name), rest @ ..]) => {
            if let Some(below) = map.get_mut(name) {
                remove(below, rest);
            }
        }
        (Value::List(list), [PathElement::Index(index), rest @ ..]) => {
            let index = usize::try_from(*index).unwrap_or(usize::MAX);
            if index >= list.len() {
                return;
            }
            if rest.is_empty() {
                list.remove(index);
            } else {
                remove(&mut list.make_mut()[index], rest);
            }
        }
        _ => {}
    }
}
