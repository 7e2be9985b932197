//! Whether values meet a schema, where that takes no explanation.
//!
//! Nearly all values do meet their schema, and nearly all schemas use a few
//! plain keywords. So a schema is first asked here, as it stands: nothing is
//! compiled, and nothing is allocated for values that conform. Whatever is not
//! certain (a rare keyword, an unusual pattern, a schema that may be invalid)
//! is [`Verdict::Unsure`], and the validator decides, as it does about every
//! failure, because its words are wanted.

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;
use gitops_core::{Map, Value};
use regex::Regex;

use crate::gotmpl::stack::deeper;

/// How many schemas may be asked about values, counting repetitions.
const MAX_STEPS: u32 = 1_000_000;

/// How many references may lead to each other at one place.
const MAX_REFERENCES: u32 = 32;

/// The longest list whose items are compared each with each.
const MAX_PAIRS: usize = 64;

/// What is known about a value and a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Valid,
    Invalid,
    Unsure,
}

impl Verdict {
    fn of(valid: bool) -> Self {
        match valid {
            true => Verdict::Valid,
            false => Verdict::Invalid,
        }
    }

    fn and(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Verdict::Valid => other(),
            Verdict::Invalid => Verdict::Invalid,
            Verdict::Unsure => match other() {
                Verdict::Invalid => Verdict::Invalid,
                _ => Verdict::Unsure,
            },
        }
    }

    fn all(verdicts: impl Iterator<Item = Self>) -> Self {
        let mut all = Verdict::Valid;
        for verdict in verdicts {
            all = all.and(|| verdict);
            if all == Verdict::Invalid {
                break;
            }
        }
        all
    }
}

/// Whether a value meets a schema.
pub(super) fn verdict(schema: &Value, instance: &Value) -> Verdict {
    let Some(draft) = Draft::of(schema) else {
        return Verdict::Unsure;
    };
    let mut form = Form::default();
    if form.document(schema).is_none() {
        return Verdict::Unsure;
    }
    let asked = Asked {
        root: schema,
        draft,
        patterns: form.patterns,
        steps: Cell::new(0),
    };
    asked.schema(schema, instance, 0)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Draft {
    /// Formats are checked, and nothing counts beside a reference.
    Seven,
    /// 2019-09 and later.
    Modern,
}

impl Draft {
    fn of(schema: &Value) -> Option<Self> {
        let name = match schema.get("$schema") {
            None => return Some(Draft::Modern),
            Some(name) => name.as_str()?,
        };
        let name = name
            .strip_prefix("http://")
            .or_else(|| name.strip_prefix("https://"))?;
        match name.strip_suffix('#').unwrap_or(name) {
            "json-schema.org/draft-07/schema" => Some(Draft::Seven),
            "json-schema.org/schema"
            | "json-schema.org/draft/2019-09/schema"
            | "json-schema.org/draft/2020-12/schema" => Some(Draft::Modern),
            _ => None,
        }
    }
}

/// Walks a schema to see that it is one, by the strictest of the drafts, and
/// uses only what [`Asked`] knows. `None` if not.
#[derive(Default)]
struct Form<'s> {
    /// The addresses of all schemas, which references may lead to.
    schemas: HashSet<*const Value, RandomState>,
    patterns: HashMap<&'s str, Regex, RandomState>,
    references: Vec<&'s str>,
}

impl<'s> Form<'s> {
    fn document(&mut self, root: &'s Value) -> Option<()> {
        self.schema(root, true)?;
        let led = |steps: &&str| {
            let below = pointer(root, steps);
            below.is_some_and(|below| self.schemas.contains(&std::ptr::from_ref(below)))
        };
        self.references.iter().all(led).then_some(())
    }

    fn schema(&mut self, schema: &'s Value, root: bool) -> Option<()> {
        self.schemas.insert(schema);
        let keywords = match schema {
            Value::Bool(_) => return Some(()),
            Value::Map(keywords) => keywords,
            _ => return None,
        };
        for (keyword, value) in keywords {
            match keyword.as_str() {
                "$schema" if root => {}
                // It is the base of references, and those that are local do
                // not mind.
                "$id" if root => {
                    let id = value.as_str()?;
                    let absolute = id.starts_with("http://") || id.starts_with("https://");
                    (absolute && is_plain_url(id)).then_some(())?;
                }
                "$ref" => self.references.push(local_reference(value.as_str()?)?),
                "title" | "description" | "$comment" | "format" => {
                    value.as_str()?;
                }
                "default" | "const" => {}
                "examples" => {
                    value.as_list()?;
                }
                "readOnly" | "writeOnly" | "deprecated" | "uniqueItems" => {
                    value.as_bool()?;
                }
                "type" => self.types(value)?,
                "enum" => self.choices(value.as_list()?)?,
                "required" => {
                    let names = value.as_list()?;
                    let distinct: Option<HashSet<&str, RandomState>> =
                        names.iter().map(Value::as_str).collect();
                    (distinct?.len() == names.len()).then_some(())?;
                }
                "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties"
                | "maxProperties" => {
                    whole(value)?;
                }
                "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => {
                    is_number(value).then_some(())?;
                }
                "multipleOf" => (whole(value)? > 0).then_some(())?,
                "pattern" => self.pattern(value.as_str()?)?,
                "properties" | "definitions" | "$defs" => {
                    for (_, below) in value.as_map()? {
                        self.schema(below, false)?;
                    }
                }
                "patternProperties" => {
                    for (pattern, below) in value.as_map()? {
                        self.pattern(pattern)?;
                        self.schema(below, false)?;
                    }
                }
                "additionalProperties"
                | "propertyNames"
                | "items"
                | "not"
                | "if"
                | "then"
                | "else" => self.schema(value, false)?,
                "allOf" | "anyOf" | "oneOf" => {
                    let choices = value.as_list()?;
                    (!choices.is_empty()).then_some(())?;
                    for below in choices {
                        self.schema(below, false)?;
                    }
                }
                "$schema"
                | "$id"
                | "id"
                | "$anchor"
                | "$vocabulary"
                | "$dynamicRef"
                | "$dynamicAnchor"
                | "$recursiveRef"
                | "$recursiveAnchor"
                | "additionalItems"
                | "prefixItems"
                | "contains"
                | "minContains"
                | "maxContains"
                | "dependencies"
                | "dependentRequired"
                | "dependentSchemas"
                | "unevaluatedItems"
                | "unevaluatedProperties"
                | "contentEncoding"
                | "contentMediaType"
                | "contentSchema" => return None,
                // Unknown keywords mean nothing.
                _ => {}
            }
        }
        Some(())
    }

    fn pattern(&mut self, pattern: &'s str) -> Option<()> {
        if !self.patterns.contains_key(pattern) {
            is_plain(pattern).then_some(())?;
            self.patterns.insert(pattern, Regex::new(pattern).ok()?);
        }
        Some(())
    }

    fn types(&self, value: &Value) -> Option<()> {
        let known = |name: &Value| {
            matches!(
                name.as_str(),
                Some("null" | "boolean" | "object" | "array" | "number" | "string" | "integer")
            )
        };
        match value {
            Value::List(names) => {
                let distinct: HashSet<Option<&str>, RandomState> =
                    names.iter().map(Value::as_str).collect();
                let fine =
                    !names.is_empty() && distinct.len() == names.len() && names.iter().all(known);
                fine.then_some(())
            }
            name => known(name).then_some(()),
        }
    }

    fn choices(&self, choices: &[Value]) -> Option<()> {
        match unique(choices) {
            Verdict::Valid if !choices.is_empty() => Some(()),
            _ => None,
        }
    }
}

/// What the steps of a JSON pointer lead to.
fn pointer<'v>(root: &'v Value, steps: &str) -> Option<&'v Value> {
    // What comes before the first slash is nothing.
    steps.split('/').skip(1).try_fold(root, |value, step| {
        let step = step.replace("~1", "/").replace("~0", "~");
        match value {
            Value::Map(members) => members.get(&step),
            // A leading zero is no position.
            Value::List(items) if step == "0" || !step.starts_with(['0', '+']) => {
                items.get(step.parse::<usize>().ok()?)
            }
            _ => None,
        }
    })
}

/// The steps of a reference within its document, which start with `/`; empty
/// for the document.
fn local_reference(reference: &str) -> Option<&str> {
    let steps = reference.strip_prefix('#')?;
    ((steps.is_empty() || steps.starts_with('/')) && is_plain_url(steps)).then_some(steps)
}

/// Whether there is nothing in an address that is escaped or has to be.
fn is_plain_url(url: &str) -> bool {
    url.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"/_-.~:".contains(&byte))
}

/// Whether a pattern means the same in every dialect, on texts in ASCII, if it
/// means anything.
fn is_plain(pattern: &str) -> bool {
    let escapes = b"d.-/ws+*?()[]{}|^$\\";
    let mut bytes = pattern.bytes().peekable();
    let mut in_class = false;
    while let Some(byte) = bytes.next() {
        let plain = match byte {
            b'\\' => bytes.next().is_some_and(|byte| escapes.contains(&byte)),
            // Some dialects have sets within sets, and operations on them.
            b'[' if !in_class => {
                in_class = true;
                bytes.next_if_eq(&b'^');
                bytes.peek() != Some(&b']')
            }
            b'[' | b'&' | b'~' if in_class => false,
            b'-' if in_class => bytes.peek() != Some(&b'-'),
            b']' if in_class => {
                in_class = false;
                true
            }
            // A repetition, which some take for text.
            b'{' if !in_class => bytes.peek().is_some_and(u8::is_ascii_digit),
            b'(' if !in_class => {
                bytes.next_if_eq(&b'?').is_none() || bytes.next_if_eq(&b':').is_some()
            }
            _ => byte.is_ascii() && !byte.is_ascii_control(),
        };
        if !plain {
            return false;
        }
    }
    true
}

/// A schema that is being asked about values.
struct Asked<'s> {
    root: &'s Value,
    draft: Draft,
    patterns: HashMap<&'s str, Regex, RandomState>,
    steps: Cell<u32>,
}

impl<'s> Asked<'s> {
    /// `references` is how many led here since the last step into the value.
    fn schema(&self, schema: &'s Value, instance: &Value, references: u32) -> Verdict {
        let keywords = match schema {
            Value::Map(keywords) => keywords,
            schema => return Verdict::of(*schema == Value::Bool(true)),
        };
        self.steps.set(self.steps.get() + 1);
        if self.steps.get() > MAX_STEPS {
            return Verdict::Unsure;
        }
        if let Some(Value::String(reference)) = keywords.get("$ref") {
            let steps = local_reference(reference).unwrap_or_default();
            let below = match pointer(self.root, steps) {
                Some(below) if references < MAX_REFERENCES => below,
                _ => return Verdict::Unsure,
            };
            let found = deeper(|| self.schema(below, instance, references + 1));
            if self.draft == Draft::Seven || found == Verdict::Invalid {
                return found;
            }
            return found.and(|| self.keywords(keywords, instance, references));
        }
        self.keywords(keywords, instance, references)
    }

    fn keywords(&self, keywords: &'s Map, instance: &Value, references: u32) -> Verdict {
        let verdicts = keywords
            .iter()
            .map(|(keyword, value)| self.keyword(keywords, keyword, value, instance, references));
        Verdict::all(verdicts)
    }

    fn keyword(
        &self,
        keywords: &'s Map,
        keyword: &str,
        value: &'s Value,
        instance: &Value,
        references: u32,
    ) -> Verdict {
        let here = |below| deeper(|| self.schema(below, instance, references));
        match keyword {
            "type" => Verdict::of(match value {
                Value::List(names) => names.iter().any(|name| is_of_type(name, instance)),
                name => is_of_type(name, instance),
            }),
            "const" => equal(value, instance),
            "enum" => any(entries(value).iter().map(|choice| equal(choice, instance))),
            "allOf" => Verdict::all(entries(value).iter().map(here)),
            "anyOf" => any(entries(value).iter().map(here)),
            "oneOf" => {
                let mut valid = 0;
                for below in entries(value) {
                    match here(below) {
                        Verdict::Valid => valid += 1,
                        Verdict::Invalid => {}
                        Verdict::Unsure => return Verdict::Unsure,
                    }
                }
                Verdict::of(valid == 1)
            }
            "not" => match here(value) {
                Verdict::Valid => Verdict::Invalid,
                Verdict::Invalid => Verdict::Valid,
                Verdict::Unsure => Verdict::Unsure,
            },
            "if" => {
                let branch = match here(value) {
                    Verdict::Valid => "then",
                    Verdict::Invalid => "else",
                    Verdict::Unsure => return Verdict::Unsure,
                };
                keywords.get(branch).map_or(Verdict::Valid, here)
            }
            _ => match instance {
                Value::Map(members) => self.of_object(keywords, keyword, value, members),
                Value::List(items) => self.of_array(keyword, value, items),
                Value::String(text) => self.of_string(keyword, value, text),
                Value::Int(_) | Value::UInt(_) | Value::Float(_) => {
                    of_number(keyword, value, instance)
                }
                Value::Null | Value::Bool(_) => Verdict::Valid,
            },
        }
    }

    fn of_object(
        &self,
        keywords: &'s Map,
        keyword: &str,
        value: &'s Value,
        members: &Map,
    ) -> Verdict {
        let below = |schema, member| deeper(|| self.schema(schema, member, 0));
        match keyword {
            "properties" => {
                let known = value.as_map().into_iter().flatten();
                Verdict::all(known.filter_map(|(name, schema)| {
                    members.get(name).map(|member| below(schema, member))
                }))
            }
            "patternProperties" => {
                let patterns = value.as_map().into_iter().flatten();
                Verdict::all(patterns.flat_map(|(pattern, schema)| {
                    members
                        .iter()
                        .map(move |(name, member)| match self.matches(pattern, name) {
                            Verdict::Valid => below(schema, member),
                            Verdict::Invalid => Verdict::Valid,
                            Verdict::Unsure => Verdict::Unsure,
                        })
                }))
            }
            "additionalProperties" if *value == Value::Bool(true) => Verdict::Valid,
            "additionalProperties" => Verdict::all(members.iter().map(|(name, member)| {
                match self.is_additional(keywords, name) {
                    Verdict::Valid => below(value, member),
                    Verdict::Invalid => Verdict::Valid,
                    Verdict::Unsure => Verdict::Unsure,
                }
            })),
            "propertyNames" => Verdict::all(
                members
                    .keys()
                    .map(|name| deeper(|| self.schema(value, &Value::String(name.clone()), 0))),
            ),
            "required" => Verdict::of(
                entries(value)
                    .iter()
                    .all(|name| name.as_str().is_some_and(|name| members.contains_key(name))),
            ),
            "minProperties" => at_least(members.len(), value),
            "maxProperties" => at_most(members.len(), value),
            _ => Verdict::Valid,
        }
    }

    /// Whether no other keyword speaks of a property.
    fn is_additional(&self, keywords: &'s Map, name: &str) -> Verdict {
        let object = |keyword| keywords.get(keyword).and_then(Value::as_map);
        if object("properties").is_some_and(|known| known.contains_key(name)) {
            return Verdict::Invalid;
        }
        let patterns = object("patternProperties").into_iter().flatten();
        match any(patterns.map(|(pattern, _)| self.matches(pattern, name))) {
            Verdict::Valid => Verdict::Invalid,
            Verdict::Invalid => Verdict::Valid,
            Verdict::Unsure => Verdict::Unsure,
        }
    }

    fn of_array(&self, keyword: &str, value: &'s Value, items: &[Value]) -> Verdict {
        match keyword {
            "items" => Verdict::all(
                items
                    .iter()
                    .map(|item| deeper(|| self.schema(value, item, 0))),
            ),
            "uniqueItems" if *value == Value::Bool(true) => unique(items),
            "minItems" => at_least(items.len(), value),
            "maxItems" => at_most(items.len(), value),
            _ => Verdict::Valid,
        }
    }

    fn of_string(&self, keyword: &str, value: &'s Value, text: &str) -> Verdict {
        match keyword {
            "pattern" => value
                .as_str()
                .map_or(Verdict::Unsure, |pattern| self.matches(pattern, text)),
            "minLength" => at_least(text.chars().count(), value),
            "maxLength" => at_most(text.chars().count(), value),
            "format" if self.draft == Draft::Seven => Verdict::Unsure,
            _ => Verdict::Valid,
        }
    }

    fn matches(&self, pattern: &'s str, text: &str) -> Verdict {
        if !text.is_ascii() {
            return Verdict::Unsure;
        }
        match self.patterns.get(pattern) {
            Some(pattern) => Verdict::of(pattern.is_match(text)),
            None => Verdict::Unsure,
        }
    }
}

fn of_number(keyword: &str, bound: &Value, number: &Value) -> Verdict {
    if !matches!(
        keyword,
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf"
    ) {
        return Verdict::Valid;
    }
    let Some(order) = order(number, bound) else {
        return Verdict::Unsure;
    };
    match keyword {
        "minimum" => Verdict::of(order.is_ge()),
        "maximum" => Verdict::of(order.is_le()),
        "exclusiveMinimum" => Verdict::of(order.is_gt()),
        "exclusiveMaximum" => Verdict::of(order.is_lt()),
        _ => match (number, bound) {
            (Value::Int(number), Value::Int(bound)) => Verdict::of(number % bound == 0),
            _ => Verdict::Unsure,
        },
    }
}

/// How two numbers compare, if doubles hold both as they are.
fn order(a: &Value, b: &Value) -> Option<Ordering> {
    let exact = |number: &Value| match number {
        Value::Int(whole) => (whole.unsigned_abs() < 1 << 53).then_some(*whole as f64),
        Value::Float(float) => Some(*float),
        _ => None,
    };
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        _ => exact(a)?.partial_cmp(&exact(b)?),
    }
}

fn is_number(value: &Value) -> bool {
    matches!(value, Value::Int(_) | Value::UInt(_) | Value::Float(_))
}

/// A count, written as a whole number.
fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::Int(count) => u64::try_from(*count).ok(),
        Value::UInt(count) => Some(*count),
        _ => None,
    }
}

fn is_of_type(name: &Value, instance: &Value) -> bool {
    match (name.as_str().unwrap_or_default(), instance) {
        ("null", Value::Null)
        | ("boolean", Value::Bool(_))
        | ("object", Value::Map(_))
        | ("array", Value::List(_))
        | ("string", Value::String(_)) => true,
        ("number", number) => is_number(number),
        ("integer", Value::Int(_) | Value::UInt(_)) => true,
        ("integer", Value::Float(number)) => number.fract() == 0.0,
        _ => false,
    }
}

/// Whether two values are the same, where `1` is `1.0`.
fn equal(a: &Value, b: &Value) -> Verdict {
    if is_number(a) && is_number(b) {
        return order(a, b).map_or(Verdict::Unsure, |order| Verdict::of(order.is_eq()));
    }
    match (a, b) {
        (Value::List(_), Value::List(_)) | (Value::Map(_), Value::Map(_)) => match a == b {
            true => Verdict::Valid,
            // Numbers within may be equal and written differently.
            false => Verdict::Unsure,
        },
        _ => Verdict::of(a == b),
    }
}

fn unique(items: &[Value]) -> Verdict {
    let texts: Option<HashSet<&str, RandomState>> = items.iter().map(Value::as_str).collect();
    if let Some(texts) = texts {
        return Verdict::of(texts.len() == items.len());
    }
    if items.len() > MAX_PAIRS {
        return Verdict::Unsure;
    }
    let pairs = items
        .iter()
        .enumerate()
        .flat_map(|(at, a)| items[..at].iter().map(move |b| (a, b)));
    match any(pairs.map(|(a, b)| equal(a, b))) {
        Verdict::Valid => Verdict::Invalid,
        Verdict::Invalid => Verdict::Valid,
        Verdict::Unsure => Verdict::Unsure,
    }
}

fn any(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    let mut found = Verdict::Invalid;
    for verdict in verdicts {
        match verdict {
            Verdict::Valid => return Verdict::Valid,
            Verdict::Unsure => found = Verdict::Unsure,
            Verdict::Invalid => {}
        }
    }
    found
}

fn entries(value: &Value) -> &[Value] {
    value.as_list().unwrap_or_default()
}

fn at_least(count: usize, bound: &Value) -> Verdict {
    Verdict::of(whole(bound).is_some_and(|bound| count as u64 >= bound))
}

fn at_most(count: usize, bound: &Value) -> Verdict {
    Verdict::of(whole(bound).is_some_and(|bound| count as u64 <= bound))
}
