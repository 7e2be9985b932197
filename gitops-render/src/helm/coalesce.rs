//! How user values, defaults and globals become what templates see: Helm's
//! `pkg/chartutil/coalesce.go`.
//!
//! Helm merges maps in place, and the places are shared: a subchart's values
//! are the table in its parent's, and tables below `global` are the same table
//! in several charts at once. Charts have come to depend on both, so this
//! works on the shared, mutable maps of the template engine. They convert a
//! level only when it is touched, which makes Helm's many deep copies cheap.

use std::collections::BTreeSet;

use super::error::{Error, ErrorKind};
use super::profile::{Profile, TableNulls};
use super::subcharts::Node;
use crate::gotmpl::{Map, Str, Value, deeper, printf};

/// How values are laid over each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rules {
    profile: Profile,
    /// `MergeValues`: nulls stay. In `CoalesceValues` one in the values deletes
    /// the default.
    merge: bool,
}

impl Rules {
    /// Those of `CoalesceValues`.
    pub(super) fn coalesce(profile: Profile) -> Rules {
        Rules {
            profile,
            merge: false,
        }
    }

    /// Those of `MergeValues`.
    pub(super) fn merge(profile: Profile) -> Rules {
        Rules {
            profile,
            merge: true,
        }
    }

    pub(super) fn profile(self) -> Profile {
        self.profile
    }

    fn cleans(self) -> bool {
        !self.merge && self.profile.drops_null_defaults()
    }
}

/// What Helm writes to its log on the way.
pub(super) type Warnings = Vec<String>;

/// `CoalesceValues` or `MergeValues`: the chart's defaults under `values`, down
/// through its subcharts.
pub(super) fn values(
    node: &Node,
    values: gitops_core::Map,
    rules: Rules,
    warnings: &mut Warnings,
) -> Result<Map, Error> {
    let values = Map::from(values);
    chart(node, &values, "", rules, warnings)?;
    Ok(values)
}

fn chart(
    node: &Node,
    into: &Map,
    prefix: &str,
    rules: Rules,
    warnings: &mut Warnings,
) -> Result<(), Error> {
    defaults(node, into, prefix, rules, warnings);
    for child in &node.children {
        let name = Str::from(child.name.clone());
        let below = match into.get_key(&name) {
            None => {
                let below = Map::new();
                put(into, name, Value::Map(below.clone()));
                below
            }
            Some(Value::Map(below)) => below,
            Some(other) => {
                return Err(Error::new(
                    ErrorKind::Values,
                    format!(
                        "type mismatch on {}: {}",
                        child.name,
                        formatted("%t", other)
                    ),
                ));
            }
        };
        let prefix = concat(prefix, &node.name);
        globals(&below, into, &prefix, rules.profile, warnings);
        chart(child, &below, &prefix, rules, warnings)?;
    }
    Ok(())
}

/// The chart's own defaults under `into`.
fn defaults(node: &Node, into: &Map, prefix: &str, rules: Rules, warnings: &mut Warnings) {
    let prefix = concat(prefix, &node.name);
    for (key, default) in Map::from(node.values.clone()).into_entries() {
        match into.get_key(&key) {
            None if rules.cleans() => match default {
                Value::Nil => {}
                default => {
                    clean(&default);
                    put(into, key, default);
                }
            },
            None => put(into, key, default),
            Some(Value::Nil) if !rules.merge => {
                into.remove(&key);
            }
            Some(Value::Map(have)) => match default {
                Value::Map(default) => {
                    let child = node.children.iter().any(|child| key == *child.name);
                    let prefix = concat(&prefix, &key.to_text());
                    if rules.cleans() && !child {
                        clean(&Value::Map(default.clone()));
                    }
                    let keeps = child && rules.profile.keeps_nulls_for_subcharts();
                    let below = Rules {
                        merge: rules.merge || keeps,
                        ..rules
                    };
                    tables(&have, default, &prefix, below, warnings);
                }
                Value::Nil => {}
                _ => warnings.push(format!(
                    "warning: skipped value for {prefix}.{key}: Not a table."
                )),
            },
            Some(_) => {}
        }
    }
}

/// Removes the nulls of a table and of the tables in it.
fn clean(value: &Value) {
    let Value::Map(map) = value else {
        return;
    };
    for (key, value) in map.entries() {
        match value {
            Value::Nil => {
                map.remove(&key);
            }
            value => deeper(|| clean(&value)),
        }
    }
}

const GLOBAL: &str = "global";

/// Hands the globals of a chart down to a subchart.
fn globals(below: &Map, above: &Map, prefix: &str, profile: Profile, warnings: &mut Warnings) {
    let table = |of: &Map, which: &str, warnings: &mut Warnings| match of.get(GLOBAL) {
        None => Some(Map::new()),
        Some(Value::Map(map)) => Some(map),
        Some(_) => {
            warnings.push(format!(
                "warning: skipping globals because {which} {GLOBAL} is not a table."
            ));
            None
        }
    };
    let Some(into) = table(below, "destination", warnings) else {
        return;
    };
    let Some(from) = table(above, "source", warnings) else {
        return;
    };
    for (key, value) in from.entries() {
        let have = into.get_key(&key);
        match value {
            Value::Map(value) => {
                // One level is copied; the tables in it stay shared with the
                // parent, and with every other chart that got them.
                let copy = value.shallow_copy();
                match have {
                    None => put(&into, key, Value::Map(copy)),
                    Some(Value::Map(have)) => {
                        let prefix = concat(prefix, &key.to_text());
                        tables(&copy, have, &prefix, Rules::merge(profile), warnings);
                        put(&into, key, Value::Map(copy));
                    }
                    Some(_) => warnings.push(format!(
                        "Conflict: cannot merge map onto non-map for {:?}. Skipping.",
                        key.to_text()
                    )),
                }
            }
            value => match have {
                Some(Value::Map(_)) => {
                    warnings.push(format!("key {key} is table. Skipping"));
                }
                _ => put(&into, key, value),
            },
        }
    }
    put(below, Str::from(GLOBAL), Value::Map(into));
}

/// `coalesceTablesFullKey`: `from` under `into`; unless they merge, a null in
/// `into` deletes what `from` has there.
pub(super) fn tables(into: &Map, from: Map, prefix: &str, rules: Rules, warnings: &mut Warnings) {
    let nulls = rules.profile.nulls_in_tables();
    // Those of `from` that say something, of all that are null in `into`.
    let mut said: BTreeSet<Str> = BTreeSet::new();
    let spread = match nulls {
        TableNulls::Delete => Vec::new(),
        _ => null_keys(into),
    };
    // Who else has it sees them.
    let others = (!spread.is_empty()).then(|| from.clone());
    let mut entries = from.into_entries();
    for key in spread {
        if let Some(from) = &others {
            put(from, key.clone(), Value::Nil);
        }
        match entries.binary_search_by(|(have, _)| have.cmp(&key)) {
            Ok(index) => {
                let value = std::mem::take(&mut entries[index].1);
                if !matches!(value, Value::Nil) {
                    said.insert(key);
                }
            }
            Err(index) => entries.insert(index, (key, Value::Nil)),
        }
    }
    let deletes =
        |key: &Str| !rules.merge && (nulls != TableNulls::SpreadUnlessNew || said.contains(key));
    for (key, value) in entries {
        let full = || concat(prefix, &key.to_text());
        match (into.get_key(&key), value) {
            (Some(Value::Nil), _) if deletes(&key) => {
                into.remove(&key);
            }
            (None, value) => put(into, key, value),
            (Some(Value::Map(have)), Value::Map(value)) => {
                tables(&have, value, &full(), rules, warnings);
            }
            (Some(_), value @ Value::Map(_)) => warnings.push(format!(
                "warning: cannot overwrite table with non table for {} ({})",
                full(),
                text(&value)
            )),
            (Some(Value::Map(_)), value) if !matches!(value, Value::Nil) => {
                warnings.push(format!(
                    "warning: destination for {} is a table. Ignoring non-table value ({})",
                    full(),
                    text(&value)
                ));
            }
            _ => {}
        }
    }
}

/// The keys of a table that are null.
fn null_keys(table: &Map) -> Vec<Str> {
    let mut keys = Vec::new();
    let visited = table.visit(|key, value| {
        if matches!(value, Value::Nil) {
            keys.push(key.clone());
        }
        Ok::<_, std::convert::Infallible>(())
    });
    let Ok(()) = visited;
    keys
}

fn put(map: &Map, key: Str, value: Value) {
    map.insert(key, value)
        .expect("only maps made here are written to, and none of them is nil");
}

pub(super) fn concat(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}.{name}")
    }
}

/// A value as Go's `%v` prints it.
pub(super) fn text(value: &Value) -> String {
    printf::sprint(value).to_string()
}

/// A value as Go's `fmt.Sprintf` prints it.
fn formatted(format: &str, value: Value) -> String {
    let mut out = Vec::new();
    // What is cut off at the limit is the tail of a message.
    let _ = printf::sprintf(&mut out, format.as_bytes(), &[value], 1 << 16);
    String::from_utf8_lossy(&out).into_owned()
}
