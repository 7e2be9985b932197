//! The values that somebody passes to a chart, in Helm's order of precedence.

use gitops_core::{List, Map, Str, Value};

use super::chart;
use super::error::{Error, ErrorKind};
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
pub struct Values(Map);

impl Values {
    /// Lays a YAML document over the values; `name` is for errors.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Values`] if the text is no YAML, or no map.
    pub fn file(&mut self, name: &str, text: &[u8]) -> Result<(), Error> {
        let map = chart::values(text).map_err(|problem| {
            Error::new(
                ErrorKind::Values,
                format!("failed to parse {name}: {problem}"),
            )
            .at_file(name)
        })?;
        self.0 = merge_maps(&self.0, &map);
        Ok(())
    }

    /// Lays a map over the values, as if it had been written to a file: its
    /// numbers become floats.
    pub fn object(&mut self, map: &Map) {
        if let Value::Map(map) = as_from_file(&Value::Map(map.clone())) {
            self.0 = merge_maps(&self.0, &map);
        }
    }

    /// `--set-json`: `path=JSON`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Values`] with Helm's text.
    pub fn set_json(&mut self, text: &str) -> Result<(), Error> {
        strvals::parse_into(text, &Flavour::Json, &mut self.0).map_err(|_| {
            Error::new(
                ErrorKind::Values,
                format!("failed parsing --set-json data {text}"),
            )
        })
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

    /// The values.
    pub fn into_map(self) -> Map {
        self.0
    }

    fn flag(&mut self, name: &str, text: &str, flavour: &Flavour<'_>) -> Result<(), Error> {
        strvals::parse_into(text, flavour, &mut self.0).map_err(|problem| {
            Error::new(
                ErrorKind::Values,
                format!("failed parsing {name} data: {problem}"),
            )
        })
    }
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
