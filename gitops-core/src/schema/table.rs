//! The table of built-in types.
//!
//! A line is a type or, indented by a space, a field of the type above. A
//! place is written as one word:
//!
//! | word      | place                                    |
//! |-----------|------------------------------------------|
//! | `s n b u` | string, numeric, boolean, any scalar     |
//! | `@NAME`   | a named type, `~` for `io.k8s.api.`, `^` for `io.k8s.apimachinery.pkg.` |
//! | `@+NAME`  | the same, but merged field by field where the type is atomic |
//! | `[X`      | an atomic list of X                      |
//! | `<X`      | a set of X                               |
//! | `(a,b)X`  | a list of X keyed by a and b             |
//! | `{X`      | a map of X                               |
//! | `!X`      | an atomic map of X                       |
//!
//! A type line is the name and, unless it is a map with fields, the place that
//! it is; `!` alone makes it an atomic map with fields, a `{X` before fields
//! types the undeclared ones. A field line is the name, its place, and its
//! default, if it has one, as JSON's scalar.

use std::sync::Arc;

use super::{Atom, Field, ListType, MapType, Relationship, Scalar, Schema, TypeRef, sorted};
use crate::{Str, Value};

/// Reads the table that this crate ships.
///
/// # Panics
///
/// If the table is damaged, which a test rules out.
pub(super) fn read(table: &str) -> Schema {
    let mut schema = Schema::with_untyped();
    let mut current: Option<(u32, MapType, Atom)> = None;
    for line in table.lines() {
        if line.starts_with('#') || line.is_empty() {
            continue;
        }
        if let Some(field) = line.strip_prefix(' ') {
            let (_, map, _) = current.as_mut().expect("a field follows its type");
            let mut words = field.splitn(3, ' ');
            let name = words.next().expect("a field has a name");
            let place = words.next().expect("a field has a place");
            map.fields.push(Field {
                name: name.into(),
                ty: schema.place(place),
                default: words.next().map(scalar),
            });
            continue;
        }
        schema.close(current.take());
        let (name, place) = line.split_once(' ').unwrap_or((line, ""));
        let id = schema.declare(&full_name(name));
        let mut map = MapType {
            fields: Vec::new(),
            element: None,
            relationship: Relationship::Separable,
        };
        let mut atom = Atom::default();
        match place {
            "" => {}
            "!" => map.relationship = Relationship::Atomic,
            place => {
                let ty = schema.place(place);
                atom = schema.resolve(ty);
                if let Some(own) = atom.map.take() {
                    map = (*own).clone();
                }
            }
        }
        current = Some((id, map, atom));
    }
    schema.close(current);
    schema
}

impl Schema {
    fn close(&mut self, finished: Option<(u32, MapType, Atom)>) {
        let Some((id, mut map, mut atom)) = finished else {
            return;
        };
        if atom.scalar.is_none() && atom.list.is_none() {
            map.fields = sorted(map.fields);
            atom.map = Some(Arc::new(map));
        }
        self.types[id as usize] = atom;
    }

    fn place(&mut self, word: &str) -> TypeRef {
        let (kind, rest) = word.split_at(1);
        let atom = match kind {
            "s" => Atom::scalar(Scalar::String),
            "n" => Atom::scalar(Scalar::Numeric),
            "b" => Atom::scalar(Scalar::Boolean),
            "u" => Atom::scalar(Scalar::Untyped),
            "@" => {
                let (name, relationship) = match rest.strip_prefix('+') {
                    Some(name) => (name, Some(Relationship::Separable)),
                    None => (rest, None),
                };
                return TypeRef {
                    relationship,
                    ..TypeRef::to(self.declare(&full_name(name)))
                };
            }
            "{" | "!" => Atom {
                map: Some(Arc::new(MapType {
                    fields: Vec::new(),
                    element: Some(self.place(rest)),
                    relationship: match kind {
                        "!" => Relationship::Atomic,
                        _ => Relationship::Separable,
                    },
                })),
                ..Atom::default()
            },
            _ => {
                let (keys, element) = match rest.split_once(')').filter(|_| kind == "(") {
                    Some((keys, element)) => (keys.split(',').map(Str::from).collect(), element),
                    None => (Vec::new(), rest),
                };
                Atom {
                    list: Some(Arc::new(ListType {
                        element: self.place(element),
                        relationship: match kind {
                            "[" => Relationship::Atomic,
                            _ => Relationship::Associative,
                        },
                        keys,
                    })),
                    ..Atom::default()
                }
            }
        };
        self.add(atom)
    }
}

fn full_name(name: &str) -> String {
    if let Some(rest) = name.strip_prefix('~') {
        format!("io.k8s.api.{rest}")
    } else if let Some(rest) = name.strip_prefix('^') {
        format!("io.k8s.apimachinery.pkg.{rest}")
    } else {
        name.to_owned()
    }
}

fn scalar(text: &str) -> Value {
    match text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
    {
        Some(text) => text.into(),
        None => match text.parse::<i64>() {
            Ok(number) => Value::Int(number),
            Err(_) => Value::Bool(text == "true"),
        },
    }
}
