//! `values.schema.json`: Helm's `pkg/chartutil/jsonschema.go`, in the words of
//! `santhosh-tekuri/jsonschema` v6.
//!
//! Schemas that refer to other documents by URL are refused, because a render
//! fetches nothing.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use boon::{
    CompileError, Compiler, ErrorKind as Kind, SchemaIndex, Schemas, UrlLoader, ValidationError,
};
use foldhash::fast::RandomState;
use gitops_core::{Str as CoreStr, Value as Core, json};
use serde_json::Value as Json;

use super::chart::{Chart, File};
use super::early::{Early, Job};
use super::error::{Error, ErrorKind};
use super::profile::Profile;
use super::subcharts::Node;
use crate::gotmpl::{Map, Str, Value};
use verdict::Verdict;

mod effort;
mod verdict;

/// Where the schema of a chart is said to be.
const LOCATION: &str = "file:///values.schema.json";

/// The charts whose values were as their schemas want them, by the charts'
/// names from the root on.
pub(super) type Checked = HashMap<Vec<CoreStr>, Fine, RandomState>;

/// Values that are as a schema wants them.
pub(super) struct Fine {
    chart: Arc<Chart>,
    schema: Core,
    instance: Core,
}

/// The names of schemas that nobody can find, in the order of their use.
type Unresolved = Rc<RefCell<Vec<String>>>;

/// A check of the values of a chart and of its subcharts against their schemas.
#[derive(Default)]
pub(super) struct Check {
    steps: Vec<Step>,
}

/// What there is to check, or to say without.
enum Step {
    Values(Box<Subject>),
    Problem(String),
}

/// The values of a chart that has a schema.
struct Subject {
    chart: Arc<Chart>,
    file: File,
    /// The names of the charts down to this one.
    path: Vec<CoreStr>,
    name: CoreStr,
    instance: Core,
    /// Who else looks at it.
    job: Option<Job>,
}

impl Check {
    /// Begins to check, with others if there are any: what they say is known at
    /// the end.
    pub(super) fn begin(root: &Node, values: &Map, early: Option<&Early>) -> Result<Self, Error> {
        let mut check = Check::default();
        check.chart(root, values, &mut Vec::new(), early)?;
        Ok(check)
    }

    fn chart(
        &mut self,
        node: &Node,
        values: &Map,
        path: &mut Vec<CoreStr>,
        early: Option<&Early>,
    ) -> Result<(), Error> {
        if let Some(file) = &node.chart.schema {
            let instance = Value::Map(values.clone())
                .to_core()
                .map_err(|failure| Error::new(ErrorKind::Values, failure.to_string()))?;
            let job = early.and_then(|early| early.add_verdict(file.job(), &instance));
            let subject = Subject {
                chart: node.chart.clone(),
                file: file.clone(),
                path: path.clone(),
                name: node.name.clone(),
                instance,
                job,
            };
            self.steps.push(Step::Values(subject.into()));
        }
        for child in &node.children {
            match values.get_key(&Str::from(child.name.clone())) {
                None | Some(Value::Nil) => {}
                Some(Value::Map(below)) => {
                    path.push(child.name.clone());
                    self.chart(child, &below, path, early)?;
                    path.pop();
                }
                Some(other) => self.steps.push(Step::Problem(format!(
                    "{}:\ninvalid type for values: expected object (map), got {}\n",
                    child.name,
                    other.type_name()
                ))),
            }
        }
        Ok(())
    }

    /// Says what is wrong. What was `checked` before is not looked at again.
    ///
    /// # Errors
    ///
    /// If values are not as a schema wants them.
    pub(super) fn finish(
        self,
        early: Option<&Early>,
        mut checked: Option<&mut Checked>,
        profile: Profile,
        warnings: &mut Vec<String>,
    ) -> Result<(), Error> {
        let mut before = checked.as_deref_mut().map(std::mem::take);
        let mut now = Checked::default();
        let unresolved = Unresolved::default();
        let mut problems = String::new();
        for step in self.steps {
            let subject = match step {
                Step::Values(subject) => *subject,
                Step::Problem(problem) => {
                    problems.push_str(&problem);
                    continue;
                }
            };
            let known = before
                .as_mut()
                .and_then(|before| before.remove(&subject.path))
                .filter(|fine| Arc::ptr_eq(&fine.chart, &subject.chart));
            if let Some(schema) = subject.allowed_by(known, early)? {
                if before.is_some() {
                    let fine = Fine {
                        chart: subject.chart,
                        schema,
                        instance: subject.instance,
                    };
                    now.insert(subject.path, fine);
                }
            } else if let Err(problem) = subject.explain(&unresolved)? {
                problems.push_str(&format!("{}:\n{problem}", subject.name));
            }
        }
        if let Some(checked) = checked {
            *checked = now;
        }
        for name in unresolved.take() {
            warnings.push(profile.unresolved_urn(&name));
        }
        if problems.is_empty() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Schema,
            format!(
                "values don't meet the specifications of the schema(s) in the following \
                 chart(s):\n{problems}"
            ),
        ))
    }
}

impl Subject {
    /// The schema, if the values are plainly as it wants them; `known` is what
    /// was known of the last ones.
    fn allowed_by(
        &self,
        known: Option<Fine>,
        early: Option<&Early>,
    ) -> Result<Option<Core>, Error> {
        let schema = match (known, early.zip(self.job)) {
            (Some(fine), _) if fine.instance == self.instance => return Ok(Some(fine.schema)),
            (Some(fine), _) => Some(fine.schema),
            (None, Some((early, job))) => return Ok(early.verdict(job)),
            (None, None) => json::parse(self.file.data()?).ok(),
        };
        Ok(schema.filter(|schema| allows(schema, &self.instance)))
    }

    /// What the schema says of the values: in the outer result if it can be read.
    fn explain(&self, unresolved: &Unresolved) -> Result<Result<(), String>, Error> {
        let schema: Json = match serde_json::from_slice(self.file.data()?) {
            Ok(schema) => schema,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let instance = serde_json::to_value(&self.instance).unwrap_or(Json::Null);
        Ok(explain(schema, &instance, unresolved))
    }
}

/// Whether values are plainly as a schema wants them.
pub(super) fn allows(schema: &Core, instance: &Core) -> bool {
    verdict::verdict(schema, instance) == Verdict::Valid
}

/// Validates with what knows every keyword and says what is wrong.
fn explain(schema: Json, instance: &Json, unresolved: &Unresolved) -> Result<(), String> {
    if effort::is_too_much(&schema, instance) {
        return Err(format!(
            "the schema asks more than {} times about the values\n",
            effort::MOST
        ));
    }
    let mut compiler = Compiler::new();
    compiler.use_loader(Box::new(Loader(unresolved.clone())));
    compiler
        .add_resource(LOCATION, schema)
        .map_err(|error| error.to_string())?;
    let mut schemas = Schemas::new();
    let index: SchemaIndex =
        compiler
            .compile(LOCATION, &mut schemas)
            .map_err(|error| match error {
                CompileError::JsonPointerNotFound(place) => {
                    format!("json-pointer in {place:?} not found")
                }
                error => error.to_string(),
            })?;
    schemas.validate(instance, index).map_err(|error| {
        let mut out = String::new();
        display(&error, error.schema_url, 0, &mut out);
        // The first line names the schema, which is always the same.
        let body = out.split_once('\n').map_or("", |(_, body)| body);
        format!("{body}\n")
    })
}

/// Finds nothing. A name that says nothing about where to look stands for a
/// schema that allows everything, as in Helm since 3.19.
struct Loader(Unresolved);

impl UrlLoader for Loader {
    fn load(&self, url: &str) -> Result<Json, Box<dyn std::error::Error>> {
        if url.starts_with("urn:") {
            let mut unresolved = self.0.borrow_mut();
            if !unresolved.iter().any(|known| known == url) {
                unresolved.push(url.to_owned());
            }
            return Ok(Json::Bool(true));
        }
        Err(format!("{url}: a render loads no schema from elsewhere").into())
    }
}

/// Writes an error and its causes; `base` is the schema that it was found in.
fn display(error: &ValidationError<'_, '_>, base: &str, indent: usize, out: &mut String) {
    let mut indent = indent;
    for (place, text) in lost(error, base) {
        start(indent, out);
        indent += 1;
        out.push_str(&format!("at {}: {text}", quote(&place)));
    }
    // A reference with one cause is nothing but that cause.
    let skip = error.causes.len() == 1 && matches!(error.kind, Kind::Reference { .. });
    let place = error.instance_location.to_string();
    if !skip {
        start(indent, out);
        indent += 1;
        if !matches!(error.kind, Kind::Schema { .. }) {
            out.push_str(&format!("at {}: ", quote(&place)));
        }
        out.push_str(&describe(&error.kind));
    }
    let below = match error.kind {
        Kind::Reference { url, .. } => url.to_owned(),
        // Their causes are the first step below them.
        Kind::AllOf => format!("{}/allOf", error.schema_url),
        Kind::AnyOf => format!("{}/anyOf", error.schema_url),
        Kind::OneOf(_) => format!("{}/oneOf", error.schema_url),
        Kind::Contains | Kind::MinContains { .. } => format!("{}/contains", error.schema_url),
        _ => error.schema_url.to_owned(),
    };
    for cause in &error.causes {
        display(cause, &below, indent, out);
    }
}

fn start(indent: usize, out: &mut String) {
    if indent > 0 {
        out.push('\n');
        out.push_str(&"  ".repeat(indent - 1));
        out.push_str("- ");
    }
}

/// The errors between a schema and one below it that our validator leaves out
/// and Helm's does not: a combination with one failure is nothing but that
/// failure here. With the places in the values that they are about.
fn lost(error: &ValidationError<'_, '_>, base: &str) -> Vec<(String, &'static str)> {
    let Some(rest) = error.schema_url.strip_prefix(base) else {
        return Vec::new();
    };
    let mut steps = rest.split('/').filter(|step| !step.is_empty()).peekable();
    // Each with how many names and positions of the values came before it.
    let mut found: Vec<(usize, &'static str)> = Vec::new();
    let mut depth = 0;
    while let Some(step) = steps.next() {
        match step {
            "properties" | "patternProperties" => {
                steps.next();
                depth += 1;
            }
            "$defs" | "definitions" | "dependentSchemas" | "dependencies" => {
                steps.next();
            }
            "prefixItems" | "items" => {
                steps.next_if(|step| step.bytes().all(|byte| byte.is_ascii_digit()));
                depth += 1;
            }
            "additionalProperties"
            | "unevaluatedProperties"
            | "additionalItems"
            | "unevaluatedItems" => depth += 1,
            "contains" => {
                found.push((depth, "no items match contains schema"));
                depth += 1;
            }
            "allOf" | "anyOf" | "oneOf" => {
                steps.next();
                found.push((
                    depth,
                    match step {
                        "allOf" => "'allOf' failed",
                        "anyOf" => "'anyOf' failed",
                        _ => "'oneOf' failed, none matched",
                    },
                ));
            }
            _ => {}
        }
    }
    let place = error.instance_location.to_string();
    found
        .into_iter()
        .map(|(before, text)| {
            let mut place = place.as_str();
            for _ in before..depth {
                place = place.rsplit_once('/').map_or("", |(above, _)| above);
            }
            (place.to_owned(), text)
        })
        .collect()
}

fn describe(kind: &Kind<'_, '_>) -> String {
    match kind {
        Kind::Group | Kind::Reference { .. } => "validation failed".into(),
        Kind::Schema { url } => format!("jsonschema validation failed with {}", quote(url)),
        Kind::ContentSchema => "'contentSchema' failed".into(),
        Kind::PropertyName { prop } => format!("invalid propertyName {}", quote(prop)),
        Kind::RefCycle {
            url,
            kw_loc1,
            kw_loc2,
        } => format!("both {kw_loc1} and {kw_loc2} resolve to {url:?} causing reference cycle"),
        Kind::FalseSchema => "false schema".into(),
        Kind::Type { got, want } => {
            let want: Vec<String> = want.iter().map(|ty| ty.to_string()).collect();
            format!("got {got}, want {}", want.join(" or "))
        }
        Kind::Enum { want } => {
            let primitive = |value: &Json| !value.is_array() && !value.is_object();
            match want.as_slice() {
                [only] if primitive(only) => format!("value must be {}", shown(only)),
                all if all.iter().all(primitive) => {
                    let all: Vec<String> = all.iter().map(shown).collect();
                    format!("value must be one of {}", all.join(", "))
                }
                _ => "'enum' failed".into(),
            }
        }
        Kind::Const { want } if want.is_array() || want.is_object() => "'const' failed".into(),
        Kind::Const { want } => format!("value must be {}", shown(want)),
        Kind::Format { got, want, err } => {
            format!("{} is not valid {want}: {err}", shown(got))
        }
        Kind::MinProperties { got, want } => bound("minProperties", *got, *want),
        Kind::MaxProperties { got, want } => bound("maxProperties", *got, *want),
        Kind::MinItems { got, want } => bound("minItems", *got, *want),
        Kind::MaxItems { got, want } => bound("maxItems", *got, *want),
        Kind::MinLength { got, want } => bound("minLength", *got, *want),
        Kind::MaxLength { got, want } => bound("maxLength", *got, *want),
        Kind::AdditionalProperties { got } => {
            let names: Vec<&str> = got.iter().map(|name| &**name).collect();
            format!("additional properties {} not allowed", quoted(&names))
        }
        Kind::AdditionalItems { got } => {
            format!("last {} additionalItem(s) not allowed", grouped(*got))
        }
        Kind::Required { want } => match want.as_slice() {
            [only] => format!("missing property {}", quote(only)),
            all => format!("missing properties {}", quoted(all)),
        },
        Kind::Dependency { prop, missing } | Kind::DependentRequired { prop, missing } => {
            format!(
                "properties {} required, if {} exists",
                quoted(missing),
                quote(prop)
            )
        }
        Kind::Contains => "no items match contains schema".into(),
        Kind::MinContains { got, want } if got.is_empty() => format!(
            "min {} items required to match contains schema, but none matched",
            grouped(*want)
        ),
        Kind::MinContains { got, want } => contains("min", got, *want),
        Kind::MaxContains { got, want } => contains("max", got, *want),
        Kind::UniqueItems { got: [a, b] } => format!("items at {a} and {b} are equal"),
        Kind::Pattern { got, want } => {
            format!("{} does not match pattern {}", quote(got), quote(want))
        }
        Kind::ContentEncoding { want, err } => {
            format!("value is not {} encoded: {err}", quote(want))
        }
        Kind::ContentMediaType { want, err, .. } => {
            format!("value if not of mediatype {}: {err}", quote(want))
        }
        Kind::Minimum { got, want } => limit("minimum", got, want),
        Kind::Maximum { got, want } => limit("maximum", got, want),
        Kind::ExclusiveMinimum { got, want } => limit("exclusiveMinimum", got, want),
        Kind::ExclusiveMaximum { got, want } => limit("exclusiveMaximum", got, want),
        Kind::MultipleOf { got, want } => limit("multipleOf", got, want),
        Kind::Not => "'not' failed".into(),
        Kind::AllOf => "'allOf' failed".into(),
        Kind::AnyOf => "'anyOf' failed".into(),
        Kind::OneOf(None) => "'oneOf' failed, none matched".into(),
        Kind::OneOf(Some((a, b))) => format!("'oneOf' failed, subschemas {a}, {b} matched"),
    }
}

fn bound(name: &str, got: usize, want: usize) -> String {
    format!("{name}: got {}, want {}", grouped(got), grouped(want))
}

fn limit(name: &str, got: &serde_json::Number, want: &serde_json::Number) -> String {
    let number = |number: &serde_json::Number| {
        let number = number.as_f64().unwrap_or(0.0);
        if number.fract() == 0.0 && number.abs() < 1e15 {
            let sign = if number < 0.0 { "-" } else { "" };
            format!("{sign}{}", grouped(number.abs() as usize))
        } else {
            number.to_string()
        }
    };
    format!("{name}: got {}, want {}", number(got), number(want))
}

fn contains(which: &str, got: &[usize], want: usize) -> String {
    let at: Vec<String> = got.iter().map(usize::to_string).collect();
    format!(
        "{which} {} items required to match contains schema, but matched {} items at {}",
        grouped(want),
        grouped(got.len()),
        at.join(" ")
    )
}

/// The messages are written for English readers, with commas.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn shown(value: &Json) -> String {
    match value {
        Json::String(text) => quote(text),
        Json::Null => "<nil>".into(),
        Json::Array(_) | Json::Object(_) => "value".into(),
        other => other.to_string(),
    }
}

fn quoted(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| quote(name)).collect();
    names.join(", ")
}

/// In single quotes, with Go's escapes for everything else.
fn quote(text: &str) -> String {
    let quoted = crate::gotmpl::printf::quote(text.as_bytes());
    let inner = quoted
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(&quoted);
    format!("'{}'", inner.replace("\\\"", "\"").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;
    use serde_json::json;

    use super::verdict::{Verdict, verdict};
    use super::*;

    /// Values of few kinds, so that schemas and values meet.
    fn value() -> impl Strategy<Value = Json> {
        let leaf = select(vec![
            json!(null),
            json!(true),
            json!(0),
            json!(1),
            json!(1.0),
            json!(2.5),
            json!(-3),
            json!(9_007_199_254_740_993_u64),
            json!(""),
            json!("a"),
            json!("ab1"),
            json!("\u{e9}"),
        ]);
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Json::from),
                prop::collection::btree_map(select(vec!["a", "b", "c1"]), inner, 0..3)
                    .prop_map(|members| json!(members)),
            ]
        })
    }

    fn schema() -> impl Strategy<Value = Json> {
        let types = [
            "null", "boolean", "object", "array", "number", "string", "integer", "any",
        ];
        let leaf = prop_oneof![
            Just(json!(true)),
            Just(json!(false)),
            select(types.to_vec()).prop_map(|name| json!({ "type": name })),
            select(types.to_vec()).prop_map(|name| json!({ "type": ["null", name] })),
            value().prop_map(|value| json!({ "const": value })),
            prop::collection::vec(value(), 0..3).prop_map(|all| json!({ "enum": all })),
            (
                select(vec![
                    "minimum",
                    "maximum",
                    "exclusiveMinimum",
                    "exclusiveMaximum",
                    "multipleOf",
                    "minLength",
                    "maxLength",
                    "minItems",
                    "maxItems",
                    "minProperties",
                    "maxProperties",
                ]),
                select(vec![json!(0), json!(1), json!(2), json!(1.5), json!("1")]),
            )
                .prop_map(|(keyword, bound)| json!({ keyword: bound })),
            select(vec![
                "^a",
                "[a-z]+\\d$",
                "[[a]]",
                "(?i)A",
                "a{1,2}",
                "(",
                "\\p{L}"
            ])
            .prop_map(|pattern| json!({ "pattern": pattern })),
            select(vec!["#/definitions/d", "#", "#/definitions/e", "other"])
                .prop_map(|reference| json!({ "$ref": reference, "type": "object" })),
            Just(json!({ "required": ["a"] })),
            Just(json!({ "required": ["a", "a"] })),
            Just(json!({ "uniqueItems": true })),
            Just(json!({ "format": "ipv4" })),
            Just(json!({ "title": 1 })),
        ];
        leaf.prop_recursive(3, 16, 3, |inner| {
            let several = prop::collection::vec(inner.clone(), 0..3);
            prop_oneof![
                (select(vec!["allOf", "anyOf", "oneOf"]), several)
                    .prop_map(|(keyword, all)| json!({ keyword: all })),
                (
                    select(vec![
                        "not",
                        "items",
                        "additionalProperties",
                        "propertyNames",
                        "contains"
                    ]),
                    inner.clone()
                )
                    .prop_map(|(keyword, below)| json!({ keyword: below })),
                (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| json!({
                    "properties": { "a": a },
                    "patternProperties": { "[0-9]$": b },
                    "additionalProperties": c,
                })),
                (inner.clone(), inner.clone(), inner.clone())
                    .prop_map(|(a, b, c)| json!({ "if": a, "then": b, "else": c })),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 500,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// What is certain is what the validator says.
        #[test]
        fn a_verdict_is_that_of_the_validator(
            schema in schema(),
            definition in schema(),
            instance in value(),
            draft in select(vec![
                None,
                Some("http://json-schema.org/draft-07/schema#"),
                Some("https://json-schema.org/draft/2020-12/schema"),
            ]),
        ) {
            let mut schema = schema;
            if let Some(keywords) = schema.as_object_mut() {
                keywords.insert("definitions".into(), json!({ "d": definition }));
                if let Some(draft) = draft {
                    keywords.insert("$schema".into(), json!(draft));
                }
            }
            let explained = explain(schema.clone(), &instance, &Unresolved::default());
            let core = |value: &Json| {
                gitops_core::json::parse(value.to_string().as_bytes()).expect("it is JSON")
            };
            match verdict(&core(&schema), &core(&instance)) {
                Verdict::Valid => prop_assert_eq!(explained, Ok(())),
                Verdict::Invalid => prop_assert!(explained.is_err()),
                Verdict::Unsure => {}
            }
        }
    }
}
