//! The values that somebody passes to a chart, in Helm's order of precedence.

use bytes::Bytes;
use gitops_core::{List, Map, Str, Value, json};

use super::chart;
use super::error::{Error, ErrorKind};
use super::profile::Profile;
use super::strvals::{self, Flavour};

/// User values, built up from the weakest source to the strongest.
///
/// Helm's precedence is by kind of flag and not by their order: files, then
/// `--set-json`, `--set`, `--set-string`, `--set-file`, `--set-literal`.
/// Callers add in that order.
///
/// ```
/// use gitops_core::Value;
/// use gitops_render::helm::Values;
/// let mut values = Values::default();
/// values.file("prod.yaml", b"image:\n  tag: v1\nreplicas: 2\n")?;
/// values.set("image.tag=v2")?;
/// let map = values.into_map();
/// assert_eq!(map.get("image").and_then(|i| i.get("tag")), Some(&Value::from("v2")));
/// # Ok::<(), gitops_render::helm::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Values {
    map: Map,
    profile: Profile,
    sources: Vec<ValuesSource>,
}

/// A file or a flag that values came from.
#[derive(Clone, Debug)]
pub struct ValuesSource {
    /// The file as it was named, or the flag: `--set`.
    pub name: Str,
    /// The values that it sets.
    pub values: Map,
    /// The text of a file, to find lines in.
    pub text: Option<Bytes>,
}

impl Values {
    /// No values yet; files and flags are read as this Helm does. The default
    /// is Helm 3.
    pub fn new(profile: Profile) -> Self {
        Values {
            map: Map::new(),
            profile,
            sources: Vec::new(),
        }
    }

    /// Lays a YAML document over the values; `name` is for errors. Helm 4 reads
    /// all documents of a file, Helm 3 the first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Values`] if the text is no YAML, or no map.
    pub fn file(&mut self, name: &str, text: &[u8]) -> Result<(), Error> {
        let read = match self.profile.merges_documents() {
            false => chart::values(text),
            true => all_documents(text),
        };
        let map = read.map_err(|problem| {
            Error::new(
                ErrorKind::Values,
                format!("failed to parse {name}: {problem}"),
            )
            .at_file(name)
        })?;
        self.map = merge_maps(&self.map, &map);
        self.came_from(name, map, Some(Bytes::copy_from_slice(text)));
        Ok(())
    }

    /// Lays a map over the values, as if it had been written to a file: its
    /// numbers become floats.
    pub fn object(&mut self, map: &Map) {
        if let Value::Map(map) = as_from_file(&Value::Map(map.clone())) {
            self.map = merge_maps(&self.map, &map);
            self.came_from("values", map, None);
        }
    }

    /// `--set-json`: `path=JSON`; in Helm 4 also a whole JSON object.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Values`] with Helm's text.
    pub fn set_json(&mut self, text: &str) -> Result<(), Error> {
        let failed = |what: &str| {
            Error::new(
                ErrorKind::Values,
                format!("failed parsing --set-json data {what}{text}"),
            )
        };
        let trimmed = text.trim();
        if self.profile.merges_documents() && trimmed.starts_with('{') {
            let options = json::Options {
                numbers: json::Numbers::Float64,
                ..json::Options::default()
            };
            return match json::parse_with(trimmed.as_bytes(), &options) {
                Ok(Value::Map(map)) => {
                    self.map = merge_maps(&self.map, &map);
                    self.came_from("--set-json", map, None);
                    Ok(())
                }
                _ => Err(failed("JSON: ")),
            };
        }
        strvals::parse_into(text, &Flavour::Json, &mut self.map).map_err(|_| failed(""))?;
        self.came_from_flag("--set-json", text, &Flavour::Json);
        Ok(())
    }

    /// `--set`: `path=value,path=value`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Values`] with Helm's text.
    pub fn set(&mut self, text: &str) -> Result<(), Error> {
        self.flag("--set", text, &Flavour::Typed)
    }

    /// `--set-string`: like `--set`, but every value is text.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Values`] with Helm's text.
    pub fn set_string(&mut self, text: &str) -> Result<(), Error> {
        self.flag("--set-string", text, &Flavour::Text)
    }

    /// `--set-file`: values are the contents of files, which `read` finds.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Values`] with Helm's text, or what `read` says.
    pub fn set_file(
        &mut self,
        text: &str,
        read: &dyn Fn(&str) -> Result<Str, String>,
    ) -> Result<(), Error> {
        self.flag("--set-file", text, &Flavour::File(read))
    }

    /// `--set-literal`: `path=anything`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Values`] with Helm's text.
    pub fn set_literal(&mut self, text: &str) -> Result<(), Error> {
        self.flag("--set-literal", text, &Flavour::Literal)
    }

    /// Where the values came from, weakest first. The names of flags are
    /// without their values, which may be secret.
    pub fn sources(&self) -> &[ValuesSource] {
        &self.sources
    }

    fn came_from(&mut self, name: &str, values: Map, text: Option<Bytes>) {
        self.sources.push(ValuesSource {
            name: name.into(),
            values,
            text,
        });
    }

    fn came_from_flag(&mut self, name: &str, text: &str, flavour: &Flavour<'_>) {
        let mut alone = Map::new();
        let nothing = |_: &str| Ok(Str::new());
        let flavour = match flavour {
            Flavour::File(_) => &Flavour::File(&nothing),
            other => other,
        };
        // On its own it may fail where it extends what was there before.
        if strvals::parse_into(text, flavour, &mut alone).is_ok() {
            self.came_from(name, alone, None);
        }
    }

    /// The values.
    pub fn into_map(self) -> Map {
        self.map
    }

    fn flag(&mut self, name: &str, text: &str, flavour: &Flavour<'_>) -> Result<(), Error> {
        match strvals::parse_into(text, flavour, &mut self.map) {
            Ok(()) => {
                self.came_from_flag(name, text, flavour);
                Ok(())
            }
            // Helm 4 takes an index that the text ends in for the end of the
            // text.
            Err(problem) if self.profile.is_4() && problem == strvals::UNENDED_INDEX => Ok(()),
            Err(problem) => Err(Error::new(
                ErrorKind::Values,
                format!("failed parsing {name} data: {problem}"),
            )),
        }
    }
}

/// The documents of a file, each over those before it; a line of dashes, which
/// may bear a comment, separates them. The last line gets a break if it has
/// none, which a literal block at the end shows.
fn all_documents(text: &[u8]) -> Result<Map, String> {
    if !text.is_empty() && !text.ends_with(b"\n") {
        return all_documents(&[text, b"\n"].concat());
    }
    let separates = |line: &[u8]| {
        line.strip_prefix(b"---")
            .is_some_and(|rest| matches!(rest.trim_ascii().first(), None | Some(b'#')))
    };
    let mut merged = Map::new();
    let mut start = 0;
    let mut at = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if separates(line) {
            lay_document(&mut merged, &text[start..at])?;
            start = at + line.len();
        }
        at += line.len();
    }
    lay_document(&mut merged, &text[start..])?;
    Ok(merged)
}

fn lay_document(under: &mut Map, text: &[u8]) -> Result<(), String> {
    let over = chart::values(text)
        .map_err(|problem| format!("cannot unmarshal yaml document: {problem}"))?;
    *under = merge_maps(under, &over);
    Ok(())
}

/// `over` laid over `under`: maps merge, everything else (null too) replaces.
pub fn merge_maps(under: &Map, over: &Map) -> Map {
    let mut merged = under.clone();
    for (key, value) in over {
        match (merged.get_mut(key), value) {
            (Some(Value::Map(under)), Value::Map(over)) => *under = merge_maps(under, over),
            (Some(have), value) => *have = value.clone(),
            (None, value) => {
                merged.insert(key.clone(), value.clone());
            }
        }
    }
    merged
}

/// Integers as the floats that `encoding/json` makes of them.
fn as_from_file(value: &Value) -> Value {
    match value {
        Value::Int(number) => Value::Float(*number as f64),
        Value::UInt(number) => Value::Float(*number as f64),
        Value::List(list) => Value::List(list.iter().map(as_from_file).collect::<List>()),
        Value::Map(map) => Value::Map(
            map.iter()
                .map(|(key, value)| (key.clone(), as_from_file(value)))
                .collect(),
        ),
        other => other.clone(),
    }
}
