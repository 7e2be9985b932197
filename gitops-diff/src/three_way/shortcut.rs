//! Sees without sets of paths that an apply would change nothing.
//!
//! Nearly every object of a large repository is as it should be. To say so in
//! full takes a merge, two sets of paths and a comparison; to see it, one walk
//! over the declaration, beside the live object and the text of
//! `managedFields`:
//!
//! | what has to hold                                | since otherwise              |
//! |-------------------------------------------------|------------------------------|
//! | the declaration fits the schema                 | it would be refused          |
//! | what it says is there, list items in its order  | the merge would change it    |
//! | what we own is declared                         | pruning would remove it      |
//!
//! Where the walk is not sure, it says no, and the long way is taken. What it
//! says yes to, the long way finds to be the same: a law in `tests/cases.rs`.

use std::fmt::Write as _;

use gitops_core::schema::{ListFacet, MapFacet, Relationship, Schema, TypeRef};
use gitops_core::{Map, Value, defaults};

use super::Compared;
use crate::managed_fields;
use crate::smd::{
    Duplicates, Facet, Identity, deduce, has_copies, identities, is_empty_leaf, validate,
};

/// Whether an apply would leave all values as they are, surely.
pub(super) fn changes_nothing(compared: &Compared<'_>) -> bool {
    let Compared {
        live,
        schema,
        rules,
        ref config,
        ..
    } = *compared;
    let mut owned = None;
    for entry in managed_fields::listed(live.object()) {
        if managed_fields::is_applied_by(entry, &rules.manager) {
            // A server has one entry for each manager.
            if owned.is_some() {
                return false;
            }
            owned = entry.get("fieldsV1").and_then(Value::as_map);
        }
    }
    let Some(map) = schema.schema.resolve(schema.root).map else {
        return false;
    };
    let mut walk = Walk::new(schema.schema);
    walk.map(&map, config, live.object(), owned).is_some()
        && (walk.replaced.is_empty() || replaces_nothing(compared, &walk.replaced))
}

/// Whether atomic values that are written otherwise come out the same once the
/// server has filled in its defaults.
fn replaces_nothing(compared: &Compared<'_>, replaced: &[Replaced<'_>]) -> bool {
    if !compared.builtin {
        return false;
    }
    let gvk = compared.desired.gvk();
    let live = compared.live.object();
    let mut merged = live.clone();
    for Replaced { way, value } in replaced {
        match at_mut(&mut merged, way) {
            Some(place) => *place = Value::clone(value),
            None => return false,
        }
    }
    defaults::fill(gvk, &mut merged);
    let merged = Value::Map(merged);
    // The server has filled in what is there; another version of it may have
    // fewer defaults.
    merged.same(&Value::Map(live.clone())) || {
        let mut current = live.clone();
        defaults::fill(gvk, &mut current);
        merged.same(&Value::Map(current))
    }
}

fn at_mut<'m>(object: &'m mut Map, way: &[Step<'_>]) -> Option<&'m mut Value> {
    let (Step::Field(name), rest) = way.split_first()? else {
        return None;
    };
    rest.iter()
        .try_fold(object.get_mut(name)?, |here, step| match step {
            Step::Field(name) => here.as_map_mut()?.get_mut(name),
            Step::Item(index) => here.as_list_mut()?.make_mut().get_mut(*index),
        })
}

/// Whether nobody else owns what is declared, surely.
pub(super) fn shares_nothing(compared: &Compared<'_>) -> bool {
    let Compared {
        desired,
        live,
        schema,
        ..
    } = *compared;
    let Some(map) = schema.schema.resolve(schema.root).map else {
        return false;
    };
    let mut walk = Walk::new(schema.schema);
    let ours = |entry: &Value| {
        let text = |name: &str| entry.get(name).and_then(Value::as_str);
        text("operation") == Some("Apply") && text("manager") == Some(&compared.rules.manager)
    };
    let mut others = managed_fields::listed(live.object())
        .iter()
        .filter(|entry| !ours(entry));
    others.all(|entry| match entry.get("fieldsV1") {
        None | Some(Value::Null) => true,
        Some(Value::Map(owned)) => walk.is_apart(&map, desired.object(), owned),
        Some(_) => false,
    })
}

/// One step into the live object.
#[derive(Clone, Copy)]
enum Step<'v> {
    Field(&'v str),
    Item(usize),
}

/// An atomic value that is written otherwise than it is there.
struct Replaced<'v> {
    way: Vec<Step<'v>>,
    value: &'v Value,
}

struct Walk<'v> {
    schema: &'v Schema,
    /// The name of a list item in `fieldsV1`, one after the other.
    text: String,
    /// Where the walk is.
    way: Vec<Step<'v>>,
    replaced: Vec<Replaced<'v>>,
}

/// Whether `fieldsV1` has the place itself, not only what is below.
fn is_member(owned: &Map) -> bool {
    owned.is_empty() || owned.get(".").is_some()
}

impl<'v> Walk<'v> {
    fn new(schema: &'v Schema) -> Self {
        Walk {
            schema,
            text: String::new(),
            way: Vec::new(),
            replaced: Vec::new(),
        }
    }

    /// Walks a place that is declared and there; whether it is owned as a leaf
    /// is. `None` if something may change.
    fn place(
        &mut self,
        ty: TypeRef,
        config: &'v Value,
        live: &'v Value,
        owned: Option<&Map>,
    ) -> Option<bool> {
        let facets = self.schema.resolve(ty);
        // Of a null it cannot be told what it does.
        let facet = match config {
            Value::Null => None,
            config => Facet::of(deduce(facets, Some(config))),
        };
        let below = owned.is_some_and(|owned| !owned.is_empty());
        match (facet?, config, live) {
            (Facet::Map(map), Value::Map(config), Value::Map(live))
                if map.relationship != Relationship::Atomic =>
            {
                self.map(&map, config, live, owned)?;
                Some(false)
            }
            (Facet::List(list), Value::List(config), Value::List(live))
                if list.relationship != Relationship::Atomic =>
            {
                self.list(&list, config, live, owned)?;
                Some(false)
            }
            // Parts of what is a leaf are not owned, unless the schema was
            // another one.
            _ if below => None,
            _ => {
                validate(self.schema, ty, config, Duplicates::Refuse).ok()?;
                if !config.same(live) {
                    // What is filled in is in what is atomic.
                    let both = matches!(
                        (config, live),
                        (Value::Map(_), Value::Map(_)) | (Value::List(_), Value::List(_))
                    );
                    if !both {
                        return None;
                    }
                    let way = self.way.clone();
                    self.replaced.push(Replaced { way, value: config });
                }
                Some(true)
            }
        }
    }

    fn map(
        &mut self,
        map: &MapFacet<'_>,
        config: &'v Map,
        live: &'v Map,
        owned: Option<&Map>,
    ) -> Option<()> {
        // All three are sorted by name.
        let mut live = live.iter();
        let mut owned = owned.into_iter().flatten().peekable();
        owned.next_if(|(name, _)| *name == ".");
        for (name, config) in config {
            let field = map.declared(name);
            let ty = field.map(|field| field.ty).or(map.element)?;
            let (_, live) = live
                .find(|(have, _)| *have >= name)
                .filter(|(have, _)| *have == name)?;
            let ours = owned.next_if(|(have, _)| have.strip_prefix("f:") == Some(name));
            let ours = match ours {
                Some((_, below)) => Some(below.as_map()?),
                None => None,
            };
            self.way.push(Step::Field(name));
            let leaf = self.place(ty, config, live, ours)?;
            self.way.pop();
            if ours.is_some_and(is_member) && !(leaf || is_empty_leaf(config) || field.is_none()) {
                return None;
            }
        }
        // What is left is owned and not declared.
        owned.next().is_none().then_some(())
    }

    fn list(
        &mut self,
        list: &ListFacet<'v>,
        config: &'v [Value],
        live: &'v [Value],
        owned: Option<&Map>,
    ) -> Option<()> {
        let distinct = |items| {
            let (found, problem) = identities(self.schema, list, items);
            let distinct = problem.is_none() && !has_copies(&found, |identity| identity);
            distinct.then_some(found)
        };
        let declared: Vec<Identity<'_>> = distinct(config)?;
        let known: Vec<Identity<'_>> = distinct(live)?;
        let mut known = known.iter().zip(live).enumerate();
        let mut matched = 0;
        for (identity, config) in declared.iter().zip(config) {
            let (index, (_, live)) = known.find(|(_, (have, _))| *have == identity)?;
            let ours = owned.and_then(|owned| owned.get(self.name(identity)?));
            let ours = match ours {
                Some(below) => Some(below.as_map()?),
                None => None,
            };
            matched += usize::from(ours.is_some());
            self.way.push(Step::Item(index));
            self.place(list.element, config, live, ours)?;
            self.way.pop();
        }
        let all = owned.map_or(0, |owned| {
            owned.len() - usize::from(owned.get(".").is_some())
        });
        (matched == all).then_some(())
    }

    /// Whether no path of `owned` is one of the declaration.
    fn is_apart(&mut self, map: &MapFacet<'_>, config: &Map, owned: &Map) -> bool {
        let mut config = config.iter().peekable();
        owned.iter().all(|(text, below)| {
            let Some(name) = text.strip_prefix("f:") else {
                return text == ".";
            };
            while config.next_if(|(have, _)| have.as_str() < name).is_some() {}
            let Some((_, value)) = config.next_if(|(have, _)| *have == name) else {
                return true;
            };
            let (Some(below), Some(ty)) = (below.as_map(), map.child(name)) else {
                return false;
            };
            let is_key = |below| is_member(below) && map.declared(name).is_none();
            let facets = deduce(self.schema.resolve(ty), Some(value));
            match (Facet::of(facets), value) {
                (Some(Facet::Map(inner)), Value::Map(value))
                    if inner.relationship != Relationship::Atomic && !value.is_empty() =>
                {
                    !is_key(below) && self.is_apart(&inner, value, below)
                }
                (Some(Facet::List(list)), Value::List(items))
                    if list.relationship != Relationship::Atomic =>
                {
                    !is_key(below) && self.items_apart(&list, items, below)
                }
                // The place itself is a leaf.
                _ => !is_member(below),
            }
        })
    }

    fn items_apart(&mut self, list: &ListFacet<'_>, items: &[Value], owned: &Map) -> bool {
        items.iter().all(|item| {
            let Ok(identity) = Identity::of(self.schema, list, item) else {
                return false;
            };
            let Some(name) = self.name(&identity) else {
                return false;
            };
            // An item is owned with all that is in it or not at all, nearly
            // always; the rest is for the long way.
            owned.get(name).is_none()
        })
    }

    /// How `fieldsV1` names a list item; `None` if there is more than one way
    /// to write it.
    fn name(&mut self, identity: &Identity<'_>) -> Option<&str> {
        let text = &mut self.text;
        text.clear();
        let fields = match identity {
            Identity::Value(value) => {
                text.push_str("v:");
                scalar(text, value)?;
                return Some(text);
            }
            Identity::Key(fields) => fields.as_slice(),
        };
        for (index, (name, value)) in fields.iter().enumerate() {
            text.push_str(if index == 0 { "k:{" } else { "," });
            quoted(text, name)?;
            text.push(':');
            scalar(text, value)?;
        }
        text.push('}');
        Some(text)
    }
}

fn scalar(text: &mut String, value: &Value) -> Option<()> {
    match value {
        Value::String(value) => quoted(text, value)?,
        Value::Int(number) => write!(text, "{number}").ok()?,
        Value::Bool(flag) => write!(text, "{flag}").ok()?,
        _ => return None,
    }
    Some(())
}

/// Text that every writer of JSON writes alike.
fn quoted(text: &mut String, plain: &str) -> Option<()> {
    let is_plain = |byte: u8| (b' '..=b'~').contains(&byte) && !b"\"\\<>&".contains(&byte);
    if !plain.bytes().all(is_plain) {
        return None;
    }
    text.push('"');
    text.push_str(plain);
    text.push('"');
    Some(())
}
