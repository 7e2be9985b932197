//! A value that has been checked against its schema.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use gitops_core::schema::{
    Atom, ListType, MapType, ObjectSchema, Relationship, Scalar, Schema, TypeRef,
};
use gitops_core::{Value, json};

use super::path::PathElement;
use super::set::Set;

/// A value and the schema it conforms to.
#[derive(Clone, Debug)]
pub struct Typed<'s> {
    pub(super) value: Value,
    pub(super) schema: &'s Schema,
    pub(super) root: TypeRef,
}

/// Whether a list may hold two items of one identity.
///
/// A configuration that is applied may not; objects that a server holds may,
/// because older servers let them in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicates {
    /// Refuse them, as for an applied configuration.
    Refuse,
    /// Let them pass, as for live objects and updates.
    Allow,
}

/// Everything that is wrong with a value, each problem with its path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypedError {
    problems: Vec<(String, String)>,
}

impl TypedError {
    pub(super) fn one(problem: impl Into<String>) -> Self {
        TypedError {
            problems: vec![(String::new(), problem.into())],
        }
    }

    /// The problems: the path, and what is wrong there. Values are not quoted,
    /// since they may be secret.
    pub fn problems(&self) -> impl Iterator<Item = (&str, &str)> {
        self.problems
            .iter()
            .map(|(path, problem)| (path.as_str(), problem.as_str()))
    }

    fn add(&mut self, problem: impl Into<String>) {
        self.problems.push((String::new(), problem.into()));
    }

    fn add_below(&mut self, element: &dyn fmt::Display, below: TypedError) {
        for (path, problem) in below.problems {
            self.problems.push((format!("{element}{path}"), problem));
        }
    }

    fn into_result(self) -> Result<(), TypedError> {
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(self)
        }
    }
}

impl fmt::Display for TypedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let several = self.problems.len() > 1;
        if several {
            f.write_str("errors:")?;
        }
        for (path, problem) in &self.problems {
            if several {
                f.write_str("\n  ")?;
            }
            if !path.is_empty() {
                write!(f, "{path}: ")?;
            }
            f.write_str(problem)?;
        }
        Ok(())
    }
}

impl std::error::Error for TypedError {}

impl<'s> Typed<'s> {
    /// Checks `value` against the schema.
    ///
    /// # Errors
    ///
    /// [`TypedError`] lists unknown fields, values of the wrong type, and list
    /// items without or with equal identity.
    pub fn new(
        value: Value,
        schema: ObjectSchema<'s>,
        duplicates: Duplicates,
    ) -> Result<Self, TypedError> {
        validate(schema.schema, schema.root, &value, duplicates)?;
        Ok(Typed::trusted(value, schema))
    }

    /// Takes `value` as conforming: it came from a server that checked it.
    pub fn trusted(value: Value, schema: ObjectSchema<'s>) -> Self {
        Typed {
            value,
            schema: schema.schema,
            root: schema.root,
        }
    }

    /// The value.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The value, without its schema.
    pub fn into_value(self) -> Value {
        self.value
    }

    /// The schema.
    pub fn schema(&self) -> ObjectSchema<'s> {
        ObjectSchema {
            schema: self.schema,
            root: self.root,
        }
    }

    pub(super) fn with(&self, value: Value) -> Self {
        Typed {
            value,
            ..self.clone()
        }
    }

    /// The paths that a manager owns who applies this value.
    pub fn to_set(&self) -> Set {
        to_set(self.schema, Some(self.root), &self.value)
    }
}

/// The facets that fit `value`; absent and null values keep them all.
pub(super) fn deduce(atom: &Atom, value: Option<&Value>) -> Atom {
    let one = match value {
        None | Some(Value::Null) => None,
        Some(Value::List(_)) => atom.list.clone().map(|list| Atom {
            list: Some(list),
            ..Atom::default()
        }),
        Some(Value::Map(_)) => atom.map.clone().map(|map| Atom {
            map: Some(map),
            ..Atom::default()
        }),
        Some(_) => atom.scalar.map(|scalar| Atom {
            scalar: Some(scalar),
            ..Atom::default()
        }),
    };
    one.unwrap_or_else(|| atom.clone())
}

/// The facet by which a place is handled.
pub(super) enum Facet {
    Map(Arc<MapType>),
    Scalar(Scalar),
    List(Arc<ListType>),
}

impl Facet {
    pub(super) fn of(atom: Atom) -> Option<Facet> {
        match atom {
            Atom { map: Some(map), .. } => Some(Facet::Map(map)),
            Atom {
                scalar: Some(scalar),
                ..
            } => Some(Facet::Scalar(scalar)),
            Atom {
                list: Some(list), ..
            } => Some(Facet::List(list)),
            Atom { .. } => None,
        }
    }
}

/// The facets of a place; none for a field that no schema declares.
pub(super) fn resolve(schema: &Schema, ty: Option<TypeRef>) -> Atom {
    ty.map(|ty| schema.resolve(ty)).unwrap_or_default()
}

pub(super) const INVALID_ATOM: &str = "schema error: invalid atom";

fn validate(
    schema: &Schema,
    ty: TypeRef,
    value: &Value,
    duplicates: Duplicates,
) -> Result<(), TypedError> {
    let atom = schema.resolve(ty);
    match Facet::of(deduce(&atom, Some(value))) {
        None => Err(TypedError::one(INVALID_ATOM)),
        Some(Facet::Scalar(scalar)) => match scalar_problem(scalar, value) {
            Some(problem) => Err(TypedError::one(problem)),
            None => Ok(()),
        },
        Some(Facet::List(list)) => match value {
            Value::Null => Ok(()),
            Value::List(items) => validate_items(schema, &list, items, duplicates),
            other => Err(TypedError::one(format!(
                "expected list, got {}",
                other.kind_name()
            ))),
        },
        Some(Facet::Map(map)) => match value {
            Value::Null => Ok(()),
            Value::Map(fields) => {
                let mut errors = TypedError::default();
                for (name, value) in fields {
                    let below = match map.child(name) {
                        Some(ty) => validate(schema, ty, value, duplicates),
                        None => Err(TypedError::one("field not declared in schema")),
                    };
                    if let Err(below) = below {
                        errors.add_below(&PathElement::Field(name.clone()), below);
                    }
                }
                errors.into_result()
            }
            other => Err(TypedError::one(format!(
                "expected map, got {}",
                other.kind_name()
            ))),
        },
    }
}

fn validate_items(
    schema: &Schema,
    list: &ListType,
    items: &[Value],
    duplicates: Duplicates,
) -> Result<(), TypedError> {
    let mut errors = TypedError::default();
    let mut seen = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let element = if list.relationship == Relationship::Associative {
            match identity(schema, list, item) {
                Ok(element) => {
                    if !seen.insert(element.clone()) && duplicates == Duplicates::Refuse {
                        errors.add(format!("duplicate entries for key {element}"));
                    }
                    element
                }
                // Without an identity nothing below can be named.
                Err(problem) => {
                    errors.add(format!("element {index}: {problem}"));
                    return Err(errors);
                }
            }
        } else {
            PathElement::Index(index as i64)
        };
        if let Err(below) = validate(schema, list.element, item, duplicates) {
            errors.add_below(&element, below);
        }
    }
    errors.into_result()
}

/// Why a scalar does not fit; null fits everywhere.
pub(super) fn scalar_problem(scalar: Scalar, value: &Value) -> Option<String> {
    let (fits, expected) = match (scalar, value) {
        (_, Value::Null) => return None,
        (Scalar::Numeric, value) => (
            matches!(value, Value::Int(_) | Value::UInt(_) | Value::Float(_)),
            "numeric (int or float)",
        ),
        (Scalar::String, value) => (matches!(value, Value::String(_)), "string"),
        (Scalar::Boolean, value) => (matches!(value, Value::Bool(_)), "boolean"),
        (Scalar::Untyped, value) => (
            !matches!(value, Value::List(_) | Value::Map(_)),
            "any scalar",
        ),
    };
    (!fits).then(|| format!("expected {expected}, got {}", value.kind_name()))
}

/// Which item of an associative list `item` is.
///
/// A key field that is absent counts with its schema default; this is the one
/// place where defaults matter.
pub(crate) fn identity(
    schema: &Schema,
    list: &ListType,
    item: &Value,
) -> Result<PathElement, String> {
    if list.keys.is_empty() {
        return match item {
            Value::Map(_) => {
                Err("associative list without keys has an element that's a map type".into())
            }
            Value::List(_) => Err("not supported: associative list with lists as elements".into()),
            Value::Null => {
                Err("associative list without keys has an element that's an explicit null".into())
            }
            scalar => Ok(PathElement::Value(scalar.clone())),
        };
    }
    let fields = match item {
        Value::Map(fields) => fields,
        Value::Null => return Err("associative list with keys may not have a null element".into()),
        _ => return Err("associative list with keys may not have non-map elements".into()),
    };
    let mut item_type = None;
    let mut key = Vec::with_capacity(list.keys.len());
    for name in &list.keys {
        if let Some(value) = fields.get(name) {
            key.push((name.clone(), value.clone()));
            continue;
        }
        let map = item_type.get_or_insert_with(|| schema.resolve(list.element).map);
        let field = map.as_ref().and_then(|map| map.field(name));
        if let Some(default) = field.and_then(|field| field.default.clone()) {
            key.push((name.clone(), default));
        }
    }
    if key.is_empty() {
        let keys: Value = list.keys.iter().cloned().map(Value::String).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields {} (and doesn't \
             have default values for any key fields)",
            json::to_string(&keys).replace(',', " ")
        ));
    }
    key.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(PathElement::Key(key))
}

fn to_set(schema: &Schema, ty: Option<TypeRef>, value: &Value) -> Set {
    let mut set = Set::new();
    fill(schema, ty, value, &mut set);
    set
}

/// Adds the paths below `value` to `set`; whether the place itself is a leaf
/// that its holder has to add.
fn fill(schema: &Schema, ty: Option<TypeRef>, value: &Value, set: &mut Set) -> bool {
    let atom = resolve(schema, ty);
    match Facet::of(deduce(&atom, Some(value))) {
        None => false,
        Some(Facet::Scalar(_)) => true,
        Some(Facet::List(list)) => {
            if list.relationship == Relationship::Atomic {
                return true;
            }
            let items = value.as_list().unwrap_or_default();
            // An item without an identity was refused when the value was
            // checked; one that was not checked owns nothing.
            let elements: Vec<(PathElement, &Value)> = items
                .iter()
                .filter_map(|item| Some((identity(schema, &list, item).ok()?, item)))
                .collect();
            let mut seen = BTreeSet::new();
            let mut repeated = BTreeSet::new();
            for (element, _) in &elements {
                if !seen.insert(element) {
                    repeated.insert(element);
                }
            }
            for (element, item) in &elements {
                if !repeated.contains(element) {
                    set.attach(element.clone(), to_set(schema, Some(list.element), item));
                }
                set.insert_element(element.clone());
            }
            false
        }
        Some(Facet::Map(map)) => {
            if map.relationship == Relationship::Atomic {
                return true;
            }
            let Some(fields) = value.as_map() else {
                return false;
            };
            for (name, value) in fields {
                let element = PathElement::Field(name.clone());
                let mut below = Set::new();
                let leaf = fill(schema, map.child(name), value, &mut below);
                let empty = match value {
                    Value::Null => true,
                    Value::Map(map) => map.is_empty(),
                    _ => false,
                };
                if leaf || empty || map.field(name).is_none() {
                    set.insert_element(element.clone());
                }
                set.attach(element, below);
            }
            false
        }
    }
}
