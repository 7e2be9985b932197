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
//! | `*`       | anything, deduced from what is there     |
//!
//! A type line is the name and, unless it is a map with fields, the place that
//! it is; `!` alone makes it an atomic map with fields, a `{X` before fields
//! types the undeclared ones. A field line is the name, its place, how a
//! strategic merge patch treats it and its default, if it has one, as JSON's
//! scalar. The patch is written `&`, then `+` if lists merge, `=` if maps are
//! replaced, `!` if keys are retained, and the merge key.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{
    Atom, DEDUCED, Field, ListType, MapType, PatchRule, PatchStrategy, Relationship, Scalar,
    Schema, TypeRef, sorted,
};
use crate::{Str, Value, json};

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
            let (name, rest) = field.split_once(' ').expect("a field has a place");
            let (place, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            let (patch, rest) = match rest.strip_prefix('&') {
                None => ("", rest),
                Some(rest) => rest.split_once(' ').unwrap_or((rest, "")),
            };
            map.fields.push(Field {
                name: name.into(),
                ty: schema.place(place),
                default: Some(rest).filter(|rest| !rest.is_empty()).map(scalar),
                patch: patch_rule(patch),
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
                atom = schema.types[ty.id as usize].clone();
                // The fields of a map are still to come.
                if atom.scalar.is_none()
                    && let Some(own) = atom.map.take()
                {
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
        if atom == Atom::default() {
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
            "*" => self.types[DEDUCED as usize].clone(),
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

fn short_name(name: &str) -> String {
    if let Some(rest) = name.strip_prefix("io.k8s.api.") {
        format!("~{rest}")
    } else if let Some(rest) = name.strip_prefix("io.k8s.apimachinery.pkg.") {
        format!("^{rest}")
    } else {
        name.to_owned()
    }
}

fn patch_rule(text: &str) -> PatchRule {
    let key = text.trim_start_matches(['+', '=', '!']);
    let flags = &text[..text.len() - key.len()];
    PatchRule {
        strategy: if flags.contains('+') {
            PatchStrategy::Merge
        } else if flags.contains('=') {
            PatchStrategy::Replace
        } else {
            PatchStrategy::Unset
        },
        retain_keys: flags.contains('!'),
        merge_key: key.into(),
    }
}

/// The table of a schema; [`read`] understands it. What other types hold is
/// written inline, so that only named types have lines.
pub(super) fn write(schema: &Schema) -> String {
    let names: BTreeMap<u32, &str> = schema
        .names
        .iter()
        .map(|(name, id)| (*id, name.as_str()))
        .collect();
    let writer = Writer { schema, names };
    let mut out = String::new();
    for (name, &id) in &schema.names {
        if Schema::is_untyped(TypeRef::to(id)) {
            continue;
        }
        out.push_str(&short_name(name));
        let atom = &schema.types[id as usize];
        match &atom.map {
            Some(map) if atom.scalar.is_none() => {
                let element = map.element.map(|element| writer.place(element));
                match (map.relationship, element) {
                    (Relationship::Atomic, None) => out.push_str(" !"),
                    (Relationship::Atomic, Some(place)) => out.push_str(&format!(" !{place}")),
                    (_, Some(place)) => out.push_str(&format!(" {{{place}")),
                    (_, None) => {}
                }
                out.push('\n');
                for field in &map.fields {
                    out.push_str(&format!(" {} {}", field.name, writer.place(field.ty)));
                    let rule = &field.patch;
                    if *rule != PatchRule::default() {
                        out.push_str(" &");
                        match rule.strategy {
                            PatchStrategy::Merge => out.push('+'),
                            PatchStrategy::Replace => out.push('='),
                            PatchStrategy::Unset => {}
                        }
                        if rule.retain_keys {
                            out.push('!');
                        }
                        out.push_str(&rule.merge_key);
                    }
                    if let Some(default) = &field.default {
                        out.push_str(&format!(" {}", json::to_string(default)));
                    }
                    out.push('\n');
                }
            }
            _ => out.push_str(&format!(" {}\n", writer.atom(atom))),
        }
    }
    out
}

struct Writer<'s> {
    schema: &'s Schema,
    names: BTreeMap<u32, &'s str>,
}

impl Writer<'_> {
    fn place(&self, ty: TypeRef) -> String {
        match self.names.get(&ty.id) {
            Some(name) => {
                let granular = match ty.relationship {
                    Some(Relationship::Separable) => "+",
                    _ => "",
                };
                format!("@{granular}{}", short_name(name))
            }
            None => self.atom(&self.schema.types[ty.id as usize]),
        }
    }

    fn atom(&self, atom: &Atom) -> String {
        match atom {
            Atom {
                scalar: Some(_),
                map: Some(_),
                ..
            } => "*".to_owned(),
            Atom {
                scalar: Some(scalar),
                ..
            } => match scalar {
                Scalar::String => "s",
                Scalar::Numeric => "n",
                Scalar::Boolean => "b",
                Scalar::Untyped => "u",
            }
            .to_owned(),
            Atom {
                list: Some(list), ..
            } => {
                let element = self.place(list.element);
                match list.relationship {
                    Relationship::Associative if list.keys.is_empty() => format!("<{element}"),
                    Relationship::Associative => format!("({}){element}", list.keys.join(",")),
                    _ => format!("[{element}"),
                }
            }
            Atom { map: Some(map), .. } => {
                let element = map.element.unwrap_or(Schema::untyped());
                let sign = match map.relationship {
                    Relationship::Atomic => '!',
                    _ => '{',
                };
                format!("{sign}{}", self.place(element))
            }
            Atom { .. } => "u".to_owned(),
        }
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
