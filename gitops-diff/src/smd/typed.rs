//! A value that has been checked against its schema.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;

use gitops_core::schema::{
    Facets, ListFacet, MapFacet, ObjectSchema, Relationship, Scalar, Schema, TypeRef,
};
use gitops_core::{Str, Value, json};

use super::path::{PathElement, compare_keys, compare_values};
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
pub(crate) fn deduce<'s>(facets: Facets<'s>, value: Option<&Value>) -> Facets<'s> {
    let one = match value {
        None | Some(Value::Null) => return facets,
        Some(Value::List(_)) => Facets {
            list: facets.list,
            ..Facets::default()
        },
        Some(Value::Map(_)) => Facets {
            map: facets.map,
            ..Facets::default()
        },
        Some(_) => Facets {
            scalar: facets.scalar,
            ..Facets::default()
        },
    };
    match one {
        Facets {
            scalar: None,
            list: None,
            map: None,
        } => facets,
        one => one,
    }
}

/// Whether two values at one place are handled by the same facets.
pub(super) fn alike(a: &Facets<'_>, b: &Facets<'_>) -> bool {
    let shape = |facets: &Facets<'_>| {
        (
            facets.scalar.is_some(),
            facets.list.is_some(),
            facets.map.is_some(),
        )
    };
    shape(a) == shape(b)
}

/// The facet by which a place is handled.
#[derive(Clone, Copy)]
pub(crate) enum Facet<'s> {
    Map(MapFacet<'s>),
    Scalar(Scalar),
    List(ListFacet<'s>),
}

impl<'s> Facet<'s> {
    pub(crate) fn of(facets: Facets<'s>) -> Option<Facet<'s>> {
        match facets {
            Facets { map: Some(map), .. } => Some(Facet::Map(map)),
            Facets {
                scalar: Some(scalar),
                ..
            } => Some(Facet::Scalar(scalar)),
            Facets {
                list: Some(list), ..
            } => Some(Facet::List(list)),
            Facets { .. } => None,
        }
    }
}

/// The facets of a place; none for a field that no schema declares.
pub(super) fn resolve(schema: &Schema, ty: Option<TypeRef>) -> Facets<'_> {
    ty.map(|ty| schema.resolve(ty)).unwrap_or_default()
}

pub(super) const INVALID_ATOM: &str = "schema error: invalid atom";

pub(crate) fn validate(
    schema: &Schema,
    ty: TypeRef,
    value: &Value,
    duplicates: Duplicates,
) -> Result<(), TypedError> {
    match Facet::of(deduce(schema.resolve(ty), Some(value))) {
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
    list: &ListFacet<'_>,
    items: &[Value],
    duplicates: Duplicates,
) -> Result<(), TypedError> {
    let mut errors = TypedError::default();
    let associative = list.relationship == Relationship::Associative;
    let (identities, problem) = match associative {
        true => identities(schema, list, items),
        false => (Vec::new(), None),
    };
    let mut seen = BTreeSet::new();
    let refused = duplicates == Duplicates::Refuse && has_copies(&identities, |identity| identity);
    for (index, item) in items.iter().enumerate() {
        let identity = identities.get(index);
        // Without an identity nothing below can be named.
        if let Some(problem) = problem.as_ref().filter(|_| identity.is_none()) {
            errors.add(format!("element {index}: {problem}"));
            return Err(errors);
        }
        if let Some(identity) = identity.filter(|_| refused)
            && !seen.insert(identity)
        {
            let element = identity.element();
            errors.add(format!("duplicate entries for key {element}"));
        }
        if let Err(below) = validate(schema, list.element, item, duplicates) {
            let element = identity.map(Identity::element);
            let element = element.unwrap_or(PathElement::Index(index as i64));
            errors.add_below(&element, below);
        }
    }
    errors.into_result()
}

/// The identities of items as far as they have one, and why the next has none.
pub(crate) fn identities<'a>(
    schema: &'a Schema,
    list: &ListFacet<'a>,
    items: &'a [Value],
) -> (Vec<Identity<'a>>, Option<String>) {
    let mut identities = Vec::with_capacity(items.len());
    for item in items {
        match Identity::of(schema, list, item) {
            Ok(identity) => identities.push(identity),
            Err(problem) => return (identities, Some(problem)),
        }
    }
    (identities, None)
}

/// Whether one identity is there more than once.
pub(crate) fn has_copies<'a, T>(items: &'a [T], of: impl Fn(&'a T) -> &'a Identity<'a>) -> bool {
    // Most lists are short, and then sorting is not worth its allocation.
    const SHORT: usize = 8;
    if items.len() <= SHORT {
        let pairs = items.iter().enumerate();
        let mut pairs = pairs.flat_map(|(at, a)| items[..at].iter().map(move |b| (a, b)));
        return pairs.any(|(a, b)| of(a) == of(b));
    }
    let mut sorted: Vec<&Identity<'_>> = items.iter().map(of).collect();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair[0] == pair[1])
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

/// Which item of an associative list an item is: what [`PathElement::Key`] and
/// [`PathElement::Value`] say, borrowed from the item and the schema, and in
/// the same order.
#[derive(Clone, Debug)]
pub(crate) enum Identity<'a> {
    /// The fields that identify the item, by name.
    Key(Keys<'a>),
    /// An item of a set.
    Value(&'a Value),
}

/// Key fields; most lists have one, which needs no allocation.
#[derive(Clone, Debug)]
pub(crate) enum Keys<'a> {
    One([(&'a Str, &'a Value); 1]),
    Many(Vec<(&'a Str, &'a Value)>),
}

impl<'a> Keys<'a> {
    pub(crate) fn as_slice(&self) -> &[(&'a Str, &'a Value)] {
        match self {
            Keys::One(only) => only,
            Keys::Many(several) => several,
        }
    }
}

impl<'a> Identity<'a> {
    /// Finds it. A key field that is absent counts with its schema default;
    /// this is the one place where defaults matter.
    pub(crate) fn of(
        schema: &'a Schema,
        list: &ListFacet<'a>,
        item: &'a Value,
    ) -> Result<Self, String> {
        let keys = list.keys();
        if keys.is_empty() {
            return match item {
                Value::Map(_) => {
                    Err("associative list without keys has an element that's a map type".into())
                }
                Value::List(_) => {
                    Err("not supported: associative list with lists as elements".into())
                }
                Value::Null => Err(
                    "associative list without keys has an element that's an explicit null".into(),
                ),
                scalar => Ok(Identity::Value(scalar)),
            };
        }
        let fields = match item {
            Value::Map(fields) => fields,
            Value::Null => {
                return Err("associative list with keys may not have a null element".into());
            }
            _ => return Err("associative list with keys may not have non-map elements".into()),
        };
        let field = |name: &'a Str| -> Option<(&'a Str, &'a Value)> {
            let value = fields.get(name).or_else(|| {
                let item = schema.resolve(list.element).map?;
                item.declared(name)?.default.as_ref()
            });
            Some((name, value?))
        };
        let found = match keys {
            [only] => field(only).map(|found| Keys::One([found])),
            several => {
                let mut found: Vec<_> = several.iter().filter_map(field).collect();
                found.sort_by(|a, b| a.0.cmp(b.0));
                (!found.is_empty()).then_some(Keys::Many(found))
            }
        };
        found.map(Identity::Key).ok_or_else(|| {
            let keys: Value = keys.iter().cloned().map(Value::String).collect();
            format!(
                "associative list with keys has an element that omits all key fields {} (and \
                 doesn't have default values for any key fields)",
                json::to_string(&keys).replace(',', " ")
            )
        })
    }

    /// The step of a path that leads to the item.
    pub(crate) fn element(&self) -> PathElement {
        match self {
            Identity::Key(keys) => {
                let fields = keys.as_slice().iter();
                let owned = fields.map(|(name, value)| (Str::clone(name), Value::clone(value)));
                PathElement::Key(owned.collect())
            }
            Identity::Value(value) => PathElement::Value(Value::clone(value)),
        }
    }

    /// Where the item stands beside a step of a path.
    pub(crate) fn cmp_element(&self, element: &PathElement) -> Ordering {
        match (self, element) {
            (Identity::Key(keys), PathElement::Key(other)) => {
                let other = other.iter().map(|(name, value)| (name, value));
                compare_keys(keys.as_slice().iter().copied(), other)
            }
            (Identity::Value(value), PathElement::Value(other)) => compare_values(value, other),
            (Identity::Key(_), PathElement::Field(_)) => Ordering::Greater,
            (Identity::Key(_), _) => Ordering::Less,
            (Identity::Value(_), PathElement::Index(_)) => Ordering::Less,
            (Identity::Value(_), _) => Ordering::Greater,
        }
    }
}

impl Ord for Identity<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Identity::Key(a), Identity::Key(b)) => {
                compare_keys(a.as_slice().iter().copied(), b.as_slice().iter().copied())
            }
            (Identity::Value(a), Identity::Value(b)) => compare_values(a, b),
            (Identity::Key(_), Identity::Value(_)) => Ordering::Less,
            (Identity::Value(_), Identity::Key(_)) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Identity<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Identity<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Identity<'_> {}

fn to_set(schema: &Schema, ty: Option<TypeRef>, value: &Value) -> Set {
    let mut set = Set::new();
    fill(schema, ty, value, &mut set);
    set
}

/// Adds the paths below `value` to `set`, which is empty; whether the place
/// itself is a leaf that its holder has to add.
fn fill(schema: &Schema, ty: Option<TypeRef>, value: &Value, set: &mut Set) -> bool {
    match Facet::of(deduce(resolve(schema, ty), Some(value))) {
        None => false,
        Some(Facet::Scalar(_)) => true,
        Some(Facet::List(list)) => {
            if list.relationship == Relationship::Atomic {
                return true;
            }
            // An item without an identity was refused when the value was
            // checked; one that was not checked owns nothing.
            let items = value.as_list().unwrap_or_default().iter();
            let mut items: Vec<(Identity<'_>, &Value)> = items
                .filter_map(|item| Some((Identity::of(schema, &list, item).ok()?, item)))
                .collect();
            items.sort_by(|a, b| a.0.cmp(&b.0));
            for copies in items.chunk_by(|a, b| a.0 == b.0) {
                let (identity, item) = &copies[0];
                let below = match copies {
                    [_] => to_set(schema, Some(list.element), item),
                    _ => Set::new(),
                };
                set.push(identity.element(), true, below);
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
            set.reserve(fields.len());
            for (name, value) in fields {
                let mut below = Set::new();
                let leaf = fill(schema, map.child(name), value, &mut below);
                let member = leaf || is_empty_leaf(value) || map.field(name).is_none();
                set.push(PathElement::Field(name.clone()), member, below);
            }
            false
        }
    }
}

/// Whether a value is owned as such because there is nothing in it.
pub(crate) fn is_empty_leaf(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Map(map) => map.is_empty(),
        _ => false,
    }
}
