//! Handlebars templates: the light alternative to Go templates.
//!
//! Every `*.hbs` file of a directory is a template of manifests, filled from
//! one tree of values. There is no release, no chart and no hook: who needs
//! those needs [Helm](crate::helm). In return a template here can do nothing
//! but read its values, and says so when one is missing.
//!
//! | helper        | writes                                             |
//! |---------------|----------------------------------------------------|
//! | `toYaml x`    | `x` as YAML, without the final newline             |
//! | `toJson x`    | `x` as compact JSON                                |
//! | `default x y` | `x`, or `y` if `x` is missing or empty             |
//! | `quote x`     | `x` as a double-quoted string                      |
//! | `indent n x`  | `x` with every line moved in by `n` spaces         |
//! | `b64enc x`    | `x` in base64                                      |
//!
//! Helpers nest: `{{indent 4 (toYaml resources)}}`. Nothing is escaped: the
//! output is YAML, not HTML. A variable that is not defined is an error,
//! everywhere but as the first operand of `default` and in `#if`.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use gitops_core::{FileTree, Manifest, Map, Origin, TreePath, Value, manifest, tree, yaml};
use handlebars::{
    Context, Handlebars, Helper, HelperDef, RenderContext, RenderError, RenderErrorReason,
    ScopedJson, no_escape,
};
use serde_json::Value as Json;

/// What a directory of Handlebars templates is filled with.
#[derive(Clone, Debug, Default)]
pub struct HandlebarsOptions {
    /// The values.
    pub values: Map,
    /// Whether directories below are read too.
    pub recurse: bool,
}

/// Why a directory of Handlebars templates could not be rendered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandlebarsError {
    /// There is no such directory.
    #[error("{path}: no such directory in the repository")]
    Missing {
        /// The path.
        path: TreePath,
    },
    /// A template does not parse, or failed.
    #[error("{path}:{line}:{column}: {problem}")]
    Template {
        /// The template.
        path: TreePath,
        /// The line, from 1; 0 if it is not known.
        line: usize,
        /// The column, from 1; 0 if it is not known.
        column: usize,
        /// What is wrong.
        problem: String,
    },
    /// A template is not UTF-8.
    #[error("{path}: not UTF-8")]
    NotText {
        /// The template.
        path: TreePath,
    },
    /// What a template wrote is no manifest.
    #[error(transparent)]
    Manifest(#[from] manifest::ManifestError),
    /// The tree could not be read.
    #[error(transparent)]
    Tree(#[from] gitops_core::TreeError),
}

/// Renders every `*.hbs` below `dir`, in byte order of their paths.
///
/// Templates can include each other as partials by their path below `dir`
/// without the suffix: `{{> parts/labels}}`. A file whose name begins with an
/// underscore is only that.
///
/// # Errors
///
/// [`HandlebarsError`], with file, line and column.
///
/// ```
/// use gitops_core::{Map, TreePath, tree::MemoryTree};
/// use gitops_render::handlebars::{self, HandlebarsOptions};
///
/// let tree: MemoryTree = [(
///     "cm.hbs",
///     "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{name}}\ndata:\n  \
///      level: {{quote (default level \"info\")}}\n",
/// )]
/// .try_into()?;
/// let options = HandlebarsOptions {
///     values: Map::from_iter([("name", "settings")]),
///     ..Default::default()
/// };
/// let manifests = handlebars::render(&tree, &TreePath::ROOT, &options)?;
/// assert_eq!(manifests[0].at(&["data", "level"]).and_then(|v| v.as_str()), Some("info"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn render(
    files: &(impl FileTree + ?Sized),
    dir: &TreePath,
    options: &HandlebarsOptions,
) -> Result<Vec<Manifest>, HandlebarsError> {
    let entries = files
        .list(dir)?
        .ok_or_else(|| HandlebarsError::Missing { path: dir.clone() })?;
    let paths = if options.recurse {
        tree::walk(files, dir)?
    } else {
        let files = entries
            .into_iter()
            .filter(|entry| entry.kind == tree::EntryKind::File);
        files.map(|entry| entry.path).collect()
    };
    let mut registry = Handlebars::new();
    registry.set_strict_mode(true);
    registry.register_escape_fn(no_escape);
    for (name, helper) in HELPERS {
        registry.register_helper(name, Box::new(*helper));
    }
    let mut templates = Vec::new();
    for path in paths {
        let relative = path.below(dir).unwrap_or(path.as_str());
        let Some(name) = relative.strip_suffix(".hbs") else {
            continue;
        };
        let Some(text) = files.read(&path)? else {
            continue;
        };
        let text = std::str::from_utf8(&text)
            .map_err(|_| HandlebarsError::NotText { path: path.clone() })?;
        registry
            .register_template_string(name, text)
            .map_err(|error| {
                let (line, column) = error.pos().unwrap_or((0, 0));
                HandlebarsError::Template {
                    path: path.clone(),
                    line,
                    column,
                    problem: error.reason().to_string(),
                }
            })?;
        if !path.file_name().starts_with('_') {
            templates.push((name.to_owned(), path));
        }
    }
    let data = Context::from(to_json(&Value::Map(options.values.clone())));
    let mut manifests = Vec::new();
    for (name, path) in templates {
        let text = registry
            .render_with_context(&name, &data)
            .map_err(|error| HandlebarsError::Template {
                path: path.clone(),
                line: error.line_no.unwrap_or(0),
                column: error.column_no.unwrap_or(0),
                problem: describe(&error),
            })?;
        let origin = Origin {
            line: 0,
            ..Origin::file(path.as_str())
        };
        manifests.extend(manifest::parse(text.as_bytes(), &origin)?);
    }
    Ok(manifests)
}

fn describe(error: &RenderError) -> String {
    match error.reason() {
        RenderErrorReason::MissingVariable(Some(name)) => format!(
            "variable {name:?} is not defined; define it in the values, or write \
             (default {name} …)"
        ),
        reason => reason.to_string(),
    }
}

fn to_json(value: &Value) -> Json {
    serde_json::to_value(value).unwrap_or(Json::Null)
}

fn from_json(json: &Json) -> Value {
    serde_json::from_value(json.clone()).unwrap_or(Value::Null)
}

type Compute = fn(&Helper<'_>) -> Result<Json, RenderErrorReason>;

const HELPERS: &[(&str, Function)] = &[
    (
        "toYaml",
        Function(|helper| {
            let text = yaml::to_string(&from_json(operand(helper, "toYaml", 0)?))
                .map_err(|error| RenderErrorReason::Other(error.to_string()))?;
            Ok(Json::from(text.strip_suffix('\n').unwrap_or(&text)))
        }),
    ),
    (
        "toJson",
        Function(|helper| Ok(Json::from(operand(helper, "toJson", 0)?.to_string()))),
    ),
    (
        "default",
        Function(|helper| {
            let given = helper
                .param(0)
                .filter(|param| !param.is_value_missing())
                .map(|param| param.value())
                .filter(|value| !is_empty(value));
            match given {
                Some(value) => Ok(value.clone()),
                None => operand(helper, "default", 1).cloned(),
            }
        }),
    ),
    (
        "quote",
        Function(|helper| {
            let text = text(operand(helper, "quote", 0)?);
            Ok(Json::from(Json::from(text).to_string()))
        }),
    ),
    (
        "indent",
        Function(|helper| {
            let spaces = operand(helper, "indent", 0)?
                .as_u64()
                .filter(|n| *n <= 1024);
            let spaces = spaces.ok_or_else(|| {
                RenderErrorReason::Other("indent takes a number of spaces up to 1024".into())
            })?;
            let pad = " ".repeat(usize::try_from(spaces).unwrap_or(0));
            let text = text(operand(helper, "indent", 1)?);
            Ok(Json::from(format!(
                "{pad}{}",
                text.replace('\n', &format!("\n{pad}"))
            )))
        }),
    ),
    (
        "b64enc",
        Function(|helper| {
            let text = text(operand(helper, "b64enc", 0)?);
            Ok(Json::from(BASE64_STANDARD.encode(text)))
        }),
    ),
];

/// A helper that computes a value from its operands.
#[derive(Clone, Copy)]
struct Function(Compute);

impl HelperDef for Function {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        Ok(ScopedJson::Derived((self.0)(helper)?))
    }
}

fn operand<'h>(
    helper: &'h Helper<'_>,
    name: &'static str,
    index: usize,
) -> Result<&'h Json, RenderErrorReason> {
    let param = helper
        .param(index)
        .ok_or(RenderErrorReason::ParamNotFoundForIndex(name, index))?;
    if param.is_value_missing() {
        let path = param.relative_path().cloned();
        return Err(RenderErrorReason::MissingVariable(path));
    }
    Ok(param.value())
}

fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null | Json::Bool(false) => true,
        Json::String(text) => text.is_empty(),
        Json::Array(items) => items.is_empty(),
        Json::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

fn text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}
