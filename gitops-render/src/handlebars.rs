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
//! | `quote x`     | `x` as a double-quoted YAML string                 |
//! | `indent n x`  | `x` with every line moved in by `n` spaces         |
//! | `b64enc x`    | `x` in base64                                      |
//!
//! Nothing is escaped: the output is YAML, not HTML. A variable that is not
//! defined is an error, everywhere but as the first operand of `default` and
//! in `#if`.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use gitops_core::tree::{self};
use gitops_core::{FileTree, Manifest, Map, Origin, TreePath, Value, json, manifest, value, yaml};
use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, Output, RenderContext, RenderError,
    RenderErrorReason, ScopedJson, handlebars_helper,
};
