//! `Chart.yaml`: what a chart says of itself, decoded as Go's `encoding/json`
//! decodes it into Helm's `chart.Metadata`.
//!
//! Names of fields match whatever their case, unknown ones are dropped, and a
//! number where text is wanted becomes text, through 32 bits: `appVersion:
//! 1.10` is the version `1.1`.

use gitops_core::semver::Version;
use gitops_core::{Map, Str, Value};

/// What `Chart.yaml` holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    /// The chart's name; for an aliased dependency the alias.
    pub name: Str,
    /// The home page.
    pub home: Str,
    /// Where its source is.
    pub sources: Vec<Str>,
    /// Its version.
    pub version: Str,
    /// A sentence about it.
    pub description: Str,
    /// Search words.
    pub keywords: Vec<Str>,
    /// Who looks after it.
    pub maintainers: Vec<Maintainer>,
    /// The URL of an icon.
    pub icon: Str,
    /// `v1` or `v2`.
    pub api_version: Str,
    /// A condition, which Helm reads and does not use.
    pub condition: Str,
    /// Tags, which Helm reads and does not use.
    pub tags: Str,
    /// The version of what the chart installs.
    pub app_version: Str,
    /// Whether it should no longer be used.
    pub deprecated: bool,
    /// Anything else.
    pub annotations: Vec<(Str, Str)>,
    /// The range of Kubernetes versions it works with.
    pub kube_version: Str,
    /// The charts it depends on; `None` if it does not speak of any.
    pub dependencies: Option<Vec<Dependency>>,
    /// `application`, `library` or empty.
    pub kind: Str,
}

/// Who looks after a chart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Maintainer {
    /// Their name.
    pub name: Str,
    /// Their address.
    pub email: Str,
    /// Their page.
    pub url: Str,
}

/// A chart that another depends on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dependency {
    /// Its name; after processing the alias, if it has one.
    pub name: Str,
    /// The range of versions that will do.
    pub version: Str,
    /// Where it is fetched from.
    pub repository: Str,
    /// Paths of values that turn it on or off.
    pub condition: Str,
    /// Tags that turn it on or off.
    pub tags: Vec<Str>,
    /// Whether it is on.
    pub enabled: bool,
    /// Values taken over into the parent.
    pub import_values: Vec<Value>,
    /// The name it goes by in the parent.
    pub alias: Str,
}

impl Metadata {
    /// Lays the fields of a parsed `Chart.yaml` (or `requirements.yaml`) over
    /// what is there.
    pub(super) fn decode(&mut self, document: &Value) -> Result<(), String> {
        let Some(fields) = object(document, "chart.Metadata")? else {
            return Ok(());
        };
        for (name, value) in fields {
            let at = |field: &str| format!("Metadata.{field}");
            match name.to_ascii_lowercase().as_str() {
                "name" => text(&mut self.name, value, &at("name"))?,
                "home" => text(&mut self.home, value, &at("home"))?,
                "sources" => texts(&mut self.sources, value, &at("sources"))?,
                "version" => text(&mut self.version, value, &at("version"))?,
                "description" => text(&mut self.description, value, &at("description"))?,
                "keywords" => texts(&mut self.keywords, value, &at("keywords"))?,
                "maintainers" => {
                    self.maintainers = items(value, &at("maintainers"), "[]*chart.Maintainer")?
                        .iter()
                        .map(Maintainer::decode)
                        .collect::<Result<_, _>>()?;
                }
                "icon" => text(&mut self.icon, value, &at("icon"))?,
                "apiversion" => text(&mut self.api_version, value, &at("apiVersion"))?,
                "condition" => text(&mut self.condition, value, &at("condition"))?,
                "tags" => text(&mut self.tags, value, &at("tags"))?,
                "appversion" => text(&mut self.app_version, value, &at("appVersion"))?,
                "deprecated" => flag(&mut self.deprecated, value, &at("deprecated"))?,
                "annotations" => {
                    let at = at("annotations");
                    self.annotations.clear();
                    match value {
                        Value::Null => {}
                        Value::Map(map) => {
                            for (name, value) in map {
                                let mut annotation = Str::new();
                                text(&mut annotation, value, &at)?;
                                self.annotations.push((name.clone(), annotation));
                            }
                        }
                        other => return Err(mismatch(other, &at, "map[string]string")),
                    }
                }
                "kubeversion" => text(&mut self.kube_version, value, &at("kubeVersion"))?,
                "dependencies" => {
                    self.dependencies = match value {
                        Value::Null => None,
                        value => Some(
                            items(value, &at("dependencies"), "[]*chart.Dependency")?
                                .iter()
                                .map(Dependency::decode)
                                .collect::<Result<_, _>>()?,
                        ),
                    };
                }
                "type" => text(&mut self.kind, value, &at("type"))?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Cleans the texts and checks what Helm checks.
    pub(super) fn validate(&mut self) -> Result<(), String> {
        for text in [
            &mut self.name,
            &mut self.description,
            &mut self.home,
            &mut self.icon,
            &mut self.condition,
            &mut self.tags,
            &mut self.app_version,
            &mut self.kube_version,
        ] {
            sanitize(text);
        }
        self.sources.iter_mut().for_each(sanitize);
        self.keywords.iter_mut().for_each(sanitize);
        if self.api_version.is_empty() {
            return Err("chart.metadata.apiVersion is required".into());
        }
        if self.name.is_empty() {
            return Err("chart.metadata.name is required".into());
        }
        if self.name == "." || self.name == ".." {
            return Err(format!(
                "chart.metadata.name {:?} is not allowed",
                &*self.name
            ));
        }
        if self.name.contains('/') {
            return Err(format!("chart.metadata.name {:?} is invalid", &*self.name));
        }
        if self.version.is_empty() {
            return Err("chart.metadata.version is required".into());
        }
        if Version::parse(&self.version).is_err() {
            return Err(format!(
                "chart.metadata.version {:?} is invalid",
                &*self.version
            ));
        }
        if !matches!(self.kind.as_str(), "" | "application" | "library") {
            return Err("chart.metadata.type must be application or library".into());
        }
        for maintainer in &mut self.maintainers {
            sanitize(&mut maintainer.name);
            sanitize(&mut maintainer.email);
            sanitize(&mut maintainer.url);
        }
        let mut names: Vec<Str> = Vec::new();
        for dependency in self.dependencies.iter_mut().flatten() {
            dependency.validate()?;
            let name = if dependency.alias.is_empty() {
                &dependency.name
            } else {
                &dependency.alias
            };
            if names.contains(name) {
                return Err(format!(
                    "more than one dependency with name or alias {:?}",
                    &**name
                ));
            }
            names.push(name.clone());
        }
        Ok(())
    }

    /// Whether the chart only lends its named templates.
    pub fn is_library(&self) -> bool {
        self.kind.eq_ignore_ascii_case("library")
    }
}

impl Maintainer {
    fn decode(document: &Value) -> Result<Self, String> {
        let mut maintainer = Maintainer::default();
        let at = |field: &str| format!("Metadata.maintainers.{field}");
        if document.is_null() {
            return Err("validation: maintainers must not contain empty or null nodes".into());
        }
        for (name, value) in object(document, "chart.Maintainer")?.into_iter().flatten() {
            match name.to_ascii_lowercase().as_str() {
                "name" => text(&mut maintainer.name, value, &at("name"))?,
                "email" => text(&mut maintainer.email, value, &at("email"))?,
                "url" => text(&mut maintainer.url, value, &at("url"))?,
                _ => {}
            }
        }
        Ok(maintainer)
    }
}

impl Dependency {
    fn decode(document: &Value) -> Result<Self, String> {
        let mut dependency = Dependency::default();
        let at = |field: &str| format!("Metadata.dependencies.{field}");
        if document.is_null() {
            return Err("validation: dependencies must not contain empty or null nodes".into());
        }
        for (name, value) in object(document, "chart.Dependency")?.into_iter().flatten() {
            match name.to_ascii_lowercase().as_str() {
                "name" => text(&mut dependency.name, value, &at("name"))?,
                "version" => text(&mut dependency.version, value, &at("version"))?,
                "repository" => text(&mut dependency.repository, value, &at("repository"))?,
                "condition" => text(&mut dependency.condition, value, &at("condition"))?,
                "tags" => texts(&mut dependency.tags, value, &at("tags"))?,
                "enabled" => flag(&mut dependency.enabled, value, &at("enabled"))?,
                "import-values" => {
                    dependency.import_values =
                        items(value, &at("import-values"), "[]interface {}")?.to_vec();
                }
                "alias" => text(&mut dependency.alias, value, &at("alias"))?,
                _ => {}
            }
        }
        Ok(dependency)
    }

    fn validate(&mut self) -> Result<(), String> {
        for text in [
            &mut self.name,
            &mut self.version,
            &mut self.repository,
            &mut self.condition,
        ] {
            sanitize(text);
        }
        self.tags.iter_mut().for_each(sanitize);
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !self.alias.bytes().all(allowed) {
            return Err(format!(
                "dependency {:?} has disallowed characters in the alias",
                &*self.name
            ));
        }
        Ok(())
    }
}

/// White space of every kind becomes a space; what cannot be seen is dropped.
fn sanitize(text: &mut Str) {
    let plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if !plain {
        *text = text
            .chars()
            .filter_map(|c| match c {
                c if c.is_whitespace() => Some(' '),
                c if c.is_control() => None,
                c => Some(c),
            })
            .collect();
    }
}

fn object<'v>(value: &'v Value, ty: &str) -> Result<Option<&'v Map>, String> {
    match value {
        Value::Null => Ok(None),
        Value::Map(map) => Ok(Some(map)),
        other => Err(format!(
            "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go \
             value of type {ty}",
            json_kind(other)
        )),
    }
}

fn items<'v>(value: &'v Value, at: &str, ty: &str) -> Result<&'v [Value], String> {
    match value {
        Value::Null => Ok(&[]),
        Value::List(list) => Ok(list),
        other => Err(mismatch(other, at, ty)),
    }
}

fn text(into: &mut Str, value: &Value, at: &str) -> Result<(), String> {
    *into = match value {
        Value::Null => return Ok(()),
        Value::String(text) => text.clone(),
        Value::Bool(flag) => ecow::eco_format!("{flag}"),
        Value::Int(number) => ecow::eco_format!("{number}"),
        Value::UInt(number) => ecow::eco_format!("{number}"),
        Value::Float(number) => single_precision(*number),
        Value::List(_) | Value::Map(_) => return Err(mismatch(value, at, "string")),
    };
    Ok(())
}

fn texts(into: &mut Vec<Str>, value: &Value, at: &str) -> Result<(), String> {
    let items = items(value, at, "[]string")?;
    let mut found = vec![Str::new(); items.len()];
    for (into, item) in found.iter_mut().zip(items) {
        text(into, item, at)?;
    }
    *into = found;
    Ok(())
}

fn flag(into: &mut bool, value: &Value, at: &str) -> Result<(), String> {
    match value {
        Value::Null => {}
        Value::Bool(flag) => *into = *flag,
        other => return Err(mismatch(other, at, "bool")),
    }
    Ok(())
}

fn mismatch(value: &Value, at: &str, ty: &str) -> String {
    format!(
        "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go struct \
         field {at} of type {ty}",
        json_kind(value)
    )
}

/// What `encoding/json` calls a value in its errors.
fn json_kind(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "bool",
        other => other.kind_name(),
    }
}

/// The shortest text that reads back as the same 32-bit float, with an
/// exponent where Go's `%g` has one.
fn single_precision(number: f64) -> Str {
    let scientific = format!("{:e}", number as f32);
    let (digits, exponent) = scientific
        .split_once('e')
        .unwrap_or((scientific.as_str(), "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return ecow::eco_format!("{}", number as f32);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    ecow::eco_format!("{digits}e{sign}{:02}", exponent.abs())
}
