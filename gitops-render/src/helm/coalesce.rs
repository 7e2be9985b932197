//! How user values, defaults and globals become what templates see: Helm's
//! `pkg/chartutil/coalesce.go`.
//!
//! Helm merges maps in place, and the places are shared: a subchart's values
//! are the table in its parent's, and tables below `global` are the same table
//! in several charts at once. Charts have come to depend on both, so this
//! works on the shared, mutable maps of the template engine. They convert a
//! level only when it is touched, which makes Helm's many deep copies cheap.

use std::collections::BTreeSet;

use gitops_core::{Map as CoreMap, Str as CoreStr, Value as Core};

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

    /// Whether a null deletes what the lower table has; `said` is whether that is
    /// another value than null.
    fn deletes(self, said: bool) -> bool {
        let always = self.profile.nulls_in_tables() != TableNulls::SpreadUnlessNew;
        !self.merge && (always || said)
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
    values: CoreMap,
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
    into.remake(|have| {
        let mut made = Vec::with_capacity(have.len().max(node.values.len()));
        let mut have = have.into_iter().peekable();
        for (key, default) in &node.values {
            let before = |(name, _): &(Str, Value)| name.as_bytes() < key.as_bytes();
            made.extend(std::iter::from_fn(|| have.next_if(before)));
            let found = have.next_if(|(name, _)| name.as_bytes() == key.as_bytes());
            made.extend(match found {
                Some((_, Value::Nil)) if !rules.merge => None,
                Some((name, value)) => {
                    if let Value::Map(have) = &value {
                        table_default(node, have, key, default, &prefix, rules, warnings);
                    }
                    Some((name, value))
                }
                None => match default {
                    Core::Null if rules.cleans() => None,
                    default if rules.cleans() => Some(Value::from(&cleaned(default))),
                    default => Some(Value::from(default)),
                }
                .map(|value| (Str::from(key.clone()), value)),
            });
        }
        made.extend(have);
        made
    });
}

/// What the chart has by default under a table of `into`.
fn table_default(
    node: &Node,
    have: &Map,
    key: &str,
    default: &Core,
    prefix: &str,
    rules: Rules,
    warnings: &mut Warnings,
) {
    let child = node.children.iter().any(|child| *key == *child.name);
    let default = match default {
        Core::Null => return,
        default if rules.cleans() && !child => cleaned(default),
        default => default.clone(),
    };
    let Core::Map(default) = default else {
        warnings.push(format!(
            "warning: skipped value for {prefix}.{key}: Not a table."
        ));
        return;
    };
    let keeps = child && rules.profile.keeps_nulls_for_subcharts();
    let below = Rules {
        merge: rules.merge || keeps,
        ..rules
    };
    let prefix = concat(prefix, key);
    tables(have, Map::from(default), &prefix, below, warnings);
}

/// A value without the nulls of a table and of the tables in it.
fn cleaned(value: &Core) -> Core {
    let Core::Map(map) = value else {
        return value.clone();
    };
    let kept = map.iter().filter(|(_, value)| !matches!(value, Core::Null));
    let cleaned = kept.map(|(key, value)| (key.clone(), deeper(|| cleaned(value))));
    Core::Map(cleaned.collect())
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
    let from = match into.untouched() {
        Some(upper) => match from.into_untouched() {
            Ok(lower) => {
                if let Some(map) = overlay(&upper, &lower, prefix, rules, warnings) {
                    into.rewrite(map);
                }
                return;
            }
            Err(from) => from,
        },
        None => from,
    };
    // Those of `from` that say something, of all that are null in `into`.
    let mut said: BTreeSet<Str> = BTreeSet::new();
    let spread = match rules.profile.nulls_in_tables() {
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
    for (key, value) in entries {
        let have = into.get_key(&key);
        let kinds = (have.as_ref().map(Kind::of), Kind::of(&value));
        match step(kinds.0, kinds.1, rules.deletes(said.contains(&key))) {
            Step::Keep => {}
            Step::Remove => {
                into.remove(&key);
            }
            Step::Take => put(into, key, value),
            Step::Merge => {
                if let (Some(Value::Map(have)), Value::Map(value)) = (have, value) {
                    let prefix = concat(prefix, &key.to_text());
                    tables(&have, value, &prefix, rules, warnings);
                }
            }
            Step::Refuse(refusal) => {
                warnings.push(refusal.text(prefix, &key.to_text(), &value));
            }
        }
    }
}

/// As [`tables`], of what nobody refers to a part of; `None` if that leaves
/// `upper` as it is.
fn overlay(
    upper: &CoreMap,
    lower: &CoreMap,
    prefix: &str,
    rules: Rules,
    warnings: &mut Warnings,
) -> Option<CoreMap> {
    let nulls = rules.profile.nulls_in_tables();
    // Only where nulls delete each other does one and the same differ from itself.
    if upper.is_shared(lower) && (rules.merge || nulls == TableNulls::SpreadUnlessNew) {
        return None;
    }
    // Once something differs, all entries up to there.
    let mut made: Option<Vec<(CoreStr, Core)>> = None;
    for (index, (key, have, found)) in upper.zip(lower).enumerate() {
        let spread = nulls != TableNulls::Delete && matches!(have, Some(Core::Null));
        let value = match spread {
            true => Some(&Core::Null),
            false => found,
        };
        let said = spread && found.is_some_and(|found| !matches!(found, Core::Null));
        let stepped = value.map_or(Step::Keep, |value| {
            let have = have.map(Kind::of_core);
            step(have, Kind::of_core(value), rules.deletes(said))
        });
        // What stands there from now on, if that is something else.
        let change = match (stepped, have, value) {
            (Step::Remove, ..) => Some(None),
            (Step::Take, _, value) => Some(value.cloned()),
            (Step::Merge, Some(Core::Map(have)), Some(Core::Map(value))) => {
                let prefix = concat(prefix, key);
                overlay(have, value, &prefix, rules, warnings).map(|map| Some(Core::Map(map)))
            }
            (Step::Refuse(refusal), _, Some(value)) => {
                warnings.push(refusal.text(prefix, key, &Value::from(value)));
                None
            }
            _ => None,
        };
        if change.is_none() && made.is_none() {
            continue;
        }
        let made = made.get_or_insert_with(|| {
            // Up to here every key was one of the upper table's.
            let kept = upper.iter().take(index);
            kept.map(|(key, value)| (key.clone(), value.clone()))
                .collect()
        });
        let entry = change.unwrap_or_else(|| have.cloned());
        made.extend(entry.map(|value| (key.clone(), value)));
    }
    made.map(|entries| entries.into_iter().collect())
}

/// What a value is as far as tables are concerned.
#[derive(Clone, Copy)]
enum Kind {
    Null,
    Table,
    Other,
}

impl Kind {
    fn of(value: &Value) -> Kind {
        match value {
            Value::Nil => Kind::Null,
            Value::Map(_) => Kind::Table,
            _ => Kind::Other,
        }
    }

    fn of_core(value: &Core) -> Kind {
        match value {
            Core::Null => Kind::Null,
            Core::Map(_) => Kind::Table,
            _ => Kind::Other,
        }
    }
}

/// What becomes of a key of the upper table that the lower one has.
enum Step {
    Keep,
    Remove,
    Take,
    Merge,
    Refuse(Refusal),
}

/// `deletes` is for what is null in the upper table.
fn step(have: Option<Kind>, value: Kind, deletes: bool) -> Step {
    match (have, value) {
        (Some(Kind::Null), _) if deletes => Step::Remove,
        (None, _) => Step::Take,
        (Some(Kind::Table), Kind::Table) => Step::Merge,
        (Some(_), Kind::Table) => Step::Refuse(Refusal::Overwrite),
        (Some(Kind::Table), Kind::Other) => Step::Refuse(Refusal::Ignore),
        _ => Step::Keep,
    }
}

/// Why what the lower table has is not taken.
enum Refusal {
    Overwrite,
    Ignore,
}

impl Refusal {
    fn text(self, prefix: &str, key: &str, value: &Value) -> String {
        let (full, value) = (concat(prefix, key), text(value));
        match self {
            Refusal::Overwrite => {
                format!("warning: cannot overwrite table with non table for {full} ({value})")
            }
            Refusal::Ignore => format!(
                "warning: destination for {full} is a table. Ignoring non-table value ({value})"
            ),
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
