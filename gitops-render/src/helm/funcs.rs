//! The functions that Helm adds to sprig: documents in and out, `include` and
//! `tpl`, `required`, `lookup`.

use std::sync::Arc;

use gitops_core::semver::{Constraint, Version};
use gitops_core::{Value as Core, json, yaml};

use super::profile::Profile;
use super::toml;
use crate::gotmpl::{
    Args, Context, Failure, FieldOrder, Function, List, Map, MapKind, Method, Str, Type, Value,
    printf,
};

const S: Type = Type::Str;
const ANY: Type = Type::Any;

/// What precedes the name of a type that no encoder knows.
const UNSUPPORTED: &str = "json: unsupported type: ";

/// What both Helms have.
pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("toYaml", &[ANY], S, |context, args| {
        let text = context.once_written("toYaml", args.value(0), || {
            to_yaml(args.value(0), context.room()).map(Str::from)
        });
        or_nothing(text.map(|text| Str::clone(&text)))
    }),
    Function::new("toYamlPretty", &[ANY], S, |context, args| {
        match write_yaml(args.value(0), yaml::Style::PRETTY, context.room()) {
            Ok(text) => Ok(text.into()),
            Err(failure) if failure.is_limit() => Err(failure),
            Err(failure) => match failure.to_string().strip_prefix(UNSUPPORTED) {
                // This encoder panics where the other one returns an error.
                Some(name) => Err(Failure::new(format!("cannot marshal type: {name}"))),
                None => Ok("".into()),
            },
        }
    }),
    Function::new("fromYaml", &[S], Type::Map, |context, args| {
        let read = from_yaml(context, args.str(0))?;
        Ok(map_of(read, Map::new(), mismatch))
    }),
    Function::new("fromYamlArray", &[S], Type::List, |context, args| {
        let read = from_yaml(context, args.str(0))?;
        Ok(list_of(read, Vec::new().into(), mismatch))
    }),
    Function::new("toToml", &[ANY], S, |context, args| {
        match toml::to_toml(args.value(0), context.room()) {
            Ok(text) => Ok(Value::Str(Str::from_bytes(&text))),
            Err(toml::Problem::Error(text)) => Ok(text.into()),
            Err(problem) => Err(problem.into()),
        }
    }),
    Function::new("fromToml", &[S], Type::Map, |context, args| {
        charge_for_parts(context, args.str(0))?;
        Ok(Value::Map(match toml::parse(args.str(0).as_bytes()) {
            Ok(map) => map,
            Err(error) => error_map(error),
        }))
    }),
    Function::new("toJson", &[ANY], S, |context, args| {
        or_nothing(to_json(args.value(0), COMPACT, context.room()))
    }),
    Function::new("mustToJson", &[ANY], S, |context, args| {
        to_json(args.value(0), COMPACT, context.room()).map(Value::from)
    }),
    Function::new("toRawJson", &[ANY], S, |context, args| {
        to_json(args.value(0), RAW, context.room()).map(Value::from)
    }),
    Function::new("mustToRawJson", &[ANY], S, |context, args| {
        to_json(args.value(0), RAW, context.room()).map(Value::from)
    }),
    Function::new("toPrettyJson", &[ANY], S, |context, args| {
        or_nothing(to_json(args.value(0), INDENTED, context.room()))
    }),
    Function::new("mustToPrettyJson", &[ANY], S, |context, args| {
        to_json(args.value(0), INDENTED, context.room()).map(Value::from)
    }),
    Function::new("fromJson", &[S], Type::Map, |context, args| {
        let read = from_json(context, args.str(0))?;
        Ok(map_of(read, Map::nil(), cannot))
    }),
    Function::new("fromJsonArray", &[S], Type::List, |context, args| {
        let read = from_json(context, args.str(0))?;
        Ok(list_of(read, List::nil(), cannot))
    }),
    Function::new("mustFromJson", &[S], ANY, |context, args| {
        let read = from_json(context, args.str(0))?;
        let value = read.map_err(Failure::new)?;
        Ok(Value::from(&*value))
    }),
    Function::new("required", &[S, ANY], ANY, required),
    Function::new("lookup", &[S, S, S, S], Type::Map, |context, args| {
        let text = |index: usize| args.str(index).to_text();
        let found = context
            .host()
            .lookup(&text(0), &text(1), &text(2), &text(3))?;
        Ok(match found {
            Core::Map(map) => Value::Map(map.into()),
            _ => Value::Map(Map::new()),
        })
    }),
];

/// The functions that only some Helms have, or have otherwise.
pub(super) fn of_profile(profile: Profile) -> Vec<&'static [Function]> {
    let mut tables = Vec::new();
    if profile.is_4() {
        tables.push(HELM4);
    }
    if profile < Profile::Helm3_21 {
        tables.push(BEFORE_3_21);
    }
    if profile.has_functions_of_3_16() {
        tables.push(OF_3_16);
    }
    tables
}

/// What Helm 3.16 lacks.
pub(super) const SINCE_3_17: &[&str] = &["toYamlPretty", "fromToml"];

const BEFORE_3_21: &[Function] = &[Function::new(
    "semverCompare",
    &[S, S],
    Type::Bool,
    |_, args| {
        let range = args.str(0).to_text();
        let range = Constraint::parse(&range)
            // The version of the library that quotes it came later.
            .map_err(|_| Failure::new(format!("improper constraint: {range}")))?;
        let version = Version::parse(&args.str(1).to_text())
            .map_err(|error| Failure::new(error.to_string()))?;
        Ok(Value::Bool(range.matches(&version)))
    },
)];

const OF_3_16: &[Function] = &[
    Function::new("required", &[S, ANY], ANY, |context, args| {
        required(context, args).map_err(|_| {
            let mut text = Vec::new();
            // What is cut off at the limit is the tail of a message.
            let _ = printf::sprintf(&mut text, args.str(0).as_bytes(), &[], 1 << 16);
            Failure::abort(String::from_utf8_lossy(&text))
        })
    }),
    Function::new(
        "semver",
        &[S],
        Type::Object("*semver.Version"),
        |context, args| sprig(context, args, "semver"),
    ),
    Function::new("semverCompare", &[S, S], Type::Bool, |context, args| {
        let range = args.str(0).to_text();
        if Constraint::parse(&range).is_err() {
            return Err(Failure::new(format!("improper constraint: {range}")));
        }
        sprig(context, args, "semverCompare")
    }),
];

/// A function about versions, with the errors of an older library.
fn sprig(context: &mut Context<'_>, args: &mut Args<'_>, name: &str) -> Result<Value, Failure> {
    let function = crate::sprig::TABLES
        .iter()
        .copied()
        .flatten()
        .find(|function| function.name == name)
        .expect("sprig has both functions about versions");
    (function.call)(context, args).map_err(|failure| {
        let text = failure.to_string();
        if text == "invalid semantic version" {
            return Failure::new("Invalid Semantic Version");
        }
        let mut letters = text.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        Failure::new(first.into_iter().chain(letters).collect::<String>())
    })
}

/// What only Helm 4 has.
const HELM4: &[Function] = &[
    Function::new("mustToYaml", &[ANY], S, |context, args| {
        to_yaml(args.value(0), context.room()).map(Value::from)
    }),
    Function::new("mustToToml", &[ANY], S, |context, args| {
        let text = toml::to_toml(args.value(0), context.room())?;
        Ok(Value::Str(Str::from_bytes(&text)))
    }),
];

/// The methods of `chartutil.Values` and `common.Values`.
pub(super) const VALUES_METHODS: &[Method<Map>] = &[
    Method::new("AsMap", &[], Type::Map, |values, _, _| {
        Ok(Value::Map(match values.is_empty() {
            true => Map::new(),
            false => values.clone().with_kind(MapKind::Plain),
        }))
    }),
    Method::new("Table", &[S], Type::Map, |values, _, args| {
        table(values, &args.str(0).to_text()).map(Value::Map)
    }),
    Method::new("PathValue", &[S], ANY, |values, _, args| {
        let path = args.str(0).to_text();
        if path.is_empty() {
            return Err(Failure::new("YAML path cannot be empty"));
        }
        let (above, key) = match path.rsplit_once('.') {
            Some((above, key)) => (table(values, above).ok(), key),
            None => (Some(values.clone()), &*path),
        };
        match above.and_then(|above| above.get(key)) {
            Some(value) if !matches!(value, Value::Map(_)) => Ok(value),
            _ => Err(Failure::new(format!(
                "{} is not a value",
                printf::quote(key.as_bytes())
            ))),
        }
    }),
    Method::new("YAML", &[], S, |values, context, _| {
        let mut text = to_yaml(&Value::Map(values.clone()), context.room())?;
        text.push('\n');
        Ok(text.into())
    }),
    // No template has a writer, so a call fails at its argument.
    Method::new("Encode", &[Type::Object("io.Writer")], ANY, |_, _, _| {
        Ok(Value::Nil)
    }),
];

/// A table below others, by the names on the way to it.
fn table(values: &Map, path: &str) -> Result<Map, Failure> {
    let mut table = values.clone();
    for name in path.split('.') {
        match table.get(name) {
            Some(Value::Map(below)) => table = below.with_kind(values.kind()),
            _ => {
                return Err(Failure::new(format!(
                    "{} is not a table",
                    printf::quote(name.as_bytes())
                )));
            }
        }
    }
    Ok(table)
}

fn required(_: &mut Context<'_>, args: &mut Args<'_>) -> Result<Value, Failure> {
    let missing = match args.value(1) {
        Value::Nil => true,
        Value::Str(text) => text.is_empty(),
        _ => false,
    };
    if missing {
        return Err(Failure::abort(args.str(0).to_text()));
    }
    Ok(args.take(1))
}

/// Functions that cannot fail in Helm return nothing instead.
fn or_nothing<T: Default + Into<Value>>(result: Result<T, Failure>) -> Result<Value, Failure> {
    match result {
        Err(failure) if failure.is_limit() => Err(failure),
        result => Ok(result.unwrap_or_default().into()),
    }
}

/// A document as `sigs.k8s.io/yaml` writes it, without the final newline.
pub(super) fn to_yaml(value: &Value, limit: usize) -> Result<String, Failure> {
    write_yaml(value, yaml::Style::KUBERNETES, limit)
}

fn write_yaml(value: &Value, style: yaml::Style, limit: usize) -> Result<String, Failure> {
    let mut out = Vec::new();
    let mut writer = yaml::Writer::new(&mut out, style);
    value.write_to(&mut writer, FieldOrder::Sorted, limit)?;
    writer
        .finish()
        .map_err(|error| Failure::new(error.to_string()))?;
    if out.ends_with(b"\n") {
        out.pop();
    }
    Ok(text_of(out))
}

const COMPACT: json::Style = json::Style {
    escape_html: true,
    indent: None,
};

const RAW: json::Style = json::Style {
    escape_html: false,
    ..COMPACT
};

const INDENTED: json::Style = json::Style {
    indent: Some(2),
    ..COMPACT
};

fn to_json(value: &Value, style: json::Style, limit: usize) -> Result<String, Failure> {
    let mut out = Vec::new();
    let mut writer = json::Writer::new(&mut out, style);
    value.write_to(&mut writer, FieldOrder::Declared, limit)?;
    writer
        .finish()
        .map_err(|error| Failure::new(error.to_string()))?;
    Ok(text_of(out))
}

fn text_of(written: Vec<u8>) -> String {
    String::from_utf8(written).expect("the writers write text")
}

/// What a text says, or what is wrong with it.
type Read = Result<Arc<Core>, String>;

fn from_yaml(context: &mut Context<'_>, text: &Str) -> Result<Read, Failure> {
    let options = yaml::Options {
        numbers: yaml::Numbers::Float64,
        ..yaml::Options::default()
    };
    charge_for_parts(context, text)?;
    Ok(context.once("fromYaml", text.clone(), || {
        yaml::parse_with(text.as_bytes(), &options)
            .map_err(|error| super::chart::parse_error(&error))
    }))
}

fn from_json(context: &mut Context<'_>, text: &Str) -> Result<Read, Failure> {
    let options = json::Options {
        numbers: json::Numbers::Float64,
        ..json::Options::default()
    };
    charge_for_parts(context, text)?;
    Ok(context.once("fromJson", text.clone(), || {
        json::parse_with(text.as_bytes(), &options).map_err(|error| error.to_string())
    }))
}

/// Counts what will be read of a text: its parts need much more memory than it
/// does.
fn charge_for_parts(context: &mut Context<'_>, text: &Str) -> Result<(), Failure> {
    let ends = memchr::memchr3_iter(b',', b'\n', b':', text.as_bytes());
    // Each is read, and then made a value of a template.
    context.charge_elements(ends.count().saturating_mul(2))
}

/// What was read, as a map; `null` stands for nothing, and `other` says what is
/// wrong with what is no map.
fn map_of(read: Read, null: Map, other: impl Fn(&Core, &str) -> String) -> Value {
    Value::Map(match read.as_deref() {
        Ok(Core::Null) => null,
        Ok(Core::Map(map)) => map.clone().into(),
        Ok(found) => error_map(other(found, "map[string]interface {}")),
        Err(error) => error_map(error),
    })
}

/// The same, as a list.
fn list_of(read: Read, null: List, other: impl Fn(&Core, &str) -> String) -> Value {
    Value::List(match read.as_deref() {
        Ok(Core::Null) => null,
        Ok(Core::List(list)) => list.clone().into(),
        Ok(found) => error_list(other(found, "[]interface {}")),
        Err(error) => error_list(error),
    })
}

fn cannot(found: &Core, wanted: &str) -> String {
    let found = match found {
        Core::Bool(_) => "bool",
        other => other.kind_name(),
    };
    format!("json: cannot unmarshal {found} into Go value of type {wanted}")
}

fn mismatch(found: &Core, wanted: &str) -> String {
    format!(
        "error unmarshaling JSON: while decoding JSON: {}",
        cannot(found, wanted)
    )
}

fn error_map(error: impl Into<String>) -> Map {
    std::iter::once(("Error", error.into())).collect()
}

fn error_list(error: impl Into<String>) -> List {
    std::iter::once(Value::from(error.into())).collect()
}
