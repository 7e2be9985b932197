//! How often a validator asks schemas about values.
//!
//! A schema that refers to another one twice, which does the same, is short, and
//! asks a validator that follows it more often than there is time for.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use serde_json::{Map, Value};

use crate::gotmpl::stack::deeper;

/// How often schemas may be asked, counting repetitions. Those of large charts are
/// asked a thousand times.
pub(super) const MOST: u64 = 1 << 22;

/// Whether validation would ask more than [`MOST`] times. Where it depends on the
/// values whether a schema is asked, it is taken to be.
pub(super) fn is_too_much(schema: &Value, instance: &Value) -> bool {
    let mut effort = Effort {
        root: schema,
        named: HashMap::default(),
        known: HashMap::default(),
    };
    effort.name(schema);
    effort.of(schema, instance) > MOST
}

struct Effort<'s> {
    root: &'s Value,
    /// Schemas by the last part of their names.
    named: HashMap<&'s str, Vec<&'s Value>, RandomState>,
    /// By the places of a schema and a value.
    known: HashMap<(*const Value, *const Value), u64, RandomState>,
}

impl<'s> Effort<'s> {
    fn name(&mut self, schema: &'s Value) {
        if let Value::Object(keywords) = schema {
            for keyword in ["$id", "id", "$anchor", "$dynamicAnchor"] {
                if let Some(Value::String(name)) = keywords.get(keyword) {
                    self.named.entry(last_part(name)).or_default().push(schema);
                }
            }
        }
        for below in children(schema) {
            deeper(|| self.name(below));
        }
    }

    fn of(&mut self, schema: &'s Value, instance: &Value) -> u64 {
        let Value::Object(keywords) = schema else {
            return 1;
        };
        let places = (std::ptr::from_ref(schema), std::ptr::from_ref(instance));
        if let Some(known) = self.known.get(&places) {
            return *known;
        }
        if self.known.len() as u64 > MOST {
            return MOST + 1;
        }
        // What leads to itself is an error of the validator.
        self.known.insert(places, 0);
        let mut effort = 1u64;
        for (keyword, below) in keywords {
            effort = effort.saturating_add(deeper(|| self.of_keyword(keyword, below, instance)));
        }
        self.known.insert(places, effort);
        effort
    }

    fn of_keyword(&mut self, keyword: &str, below: &'s Value, instance: &Value) -> u64 {
        match keyword {
            "$ref" | "$dynamicRef" | "$recursiveRef" => {
                let targets = self.targets(below.as_str().unwrap_or_default());
                self.of_all(targets, [instance])
            }
            "not" | "if" | "then" | "else" => self.of(below, instance),
            "allOf" | "anyOf" | "oneOf" | "dependentSchemas" | "dependencies" => {
                self.of_all(children(below), [instance])
            }
            "properties" => named(below)
                .filter_map(|(name, schema)| Some((schema, instance.get(name)?)))
                .map(|(schema, value)| self.of(schema, value))
                .fold(0, u64::saturating_add),
            "patternProperties" => self.of_all(children(below), values(instance)),
            "additionalProperties" | "unevaluatedProperties" => {
                self.of_all([below], values(instance))
            }
            "propertyNames" => {
                let names = values(instance).count() as u64;
                names.saturating_mul(self.of(below, &Value::Null))
            }
            "items" | "prefixItems" if below.is_array() => {
                self.of_all(children(below), items(instance))
            }
            "items" | "additionalItems" | "unevaluatedItems" | "contains" => {
                self.of_all([below], items(instance))
            }
            _ => 0,
        }
    }

    fn of_all<'i>(
        &mut self,
        schemas: impl IntoIterator<Item = &'s Value>,
        instances: impl IntoIterator<Item = &'i Value> + Clone,
    ) -> u64 {
        let mut effort = 0u64;
        for schema in schemas {
            for instance in instances.clone() {
                effort = effort.saturating_add(self.of(schema, instance));
            }
        }
        effort
    }

    /// What a reference may lead to.
    fn targets(&self, reference: &'s str) -> Vec<&'s Value> {
        if let Some(steps) = reference.strip_prefix('#')
            && let Some(target) = self.root.pointer(steps)
        {
            return vec![target];
        }
        let named = self.named.get(last_part(reference));
        named.cloned().unwrap_or_default()
    }
}

fn last_part(name: &str) -> &str {
    let name = name.trim_end_matches('#');
    name.rsplit(['/', '#']).next().unwrap_or(name)
}

fn children(value: &Value) -> impl Iterator<Item = &Value> {
    values(value).chain(items(value))
}

fn named(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn values(value: &Value) -> impl Iterator<Item = &Value> + Clone {
    value.as_object().into_iter().flat_map(Map::values)
}

fn items(value: &Value) -> impl Iterator<Item = &Value> + Clone {
    value.as_array().into_iter().flatten()
}
