//! Go templates: the language that Helm charts are written in.
//!
//! A port of text/template of Go 1.26, with the packages it prints by (`fmt`
//! and the float and quoting parts of `strconv`) and the two functions with
//! which Helm executes templates from templates, `include` and `tpl`. What a
//! template writes is Go's to the byte, and what it fails with is Go's to the
//! byte, place included.
//!
//! ```
//! use std::sync::Arc;
//! use gitops_render::gotmpl::*;
//!
//! # struct Offline;
//! # impl Host for Offline {
//! #     fn now(&self) -> std::time::SystemTime { std::time::SystemTime::UNIX_EPOCH }
//! #     fn random(&self, buffer: &mut [u8]) { buffer.fill(0) }
//! #     fn lookup(&self, _: &str, _: &str, _: &str, _: &str) -> Result<gitops_core::Value, Failure> {
//! #         Ok(gitops_core::Map::new().into())
//! #     }
//! #     fn resolve(&self, _: &str) -> Str { Str::new() }
//! # }
//! let functions = Arc::new(Functions::new(&[&TEMPLATE_FUNCTIONS]));
//! let mut set = Set::new("gotpl", functions);
//! set.parse("_helpers.tpl", br#"{{ define "greet" }}Hello {{ .name }}{{ end }}"#)?;
//! set.parse("greeting", br#"{{ include "greet" . | printf "%q" }}"#)?;
//!
//! let data: Map = [("name", "world")].into_iter().collect();
//! let mut out = Vec::new();
//! Context::new(&set, &Offline, Limits::default()).execute("greeting", data.into(), &mut out)?;
//! assert_eq!(out, br#""Hello world""#);
//! # Ok::<(), Error>(())
//! ```
//!
//! # From text to bytes
//!
//! | step | from | to |
//! |---|---|---|
//! | `lex` | text | tokens, one at a time; white space is trimmed here |
//! | `parse` | tokens | a tree per template; variables become slots, functions become code |
//! | [`Set`] | trees of many files | what each name refers to |
//! | [`Context`] | a tree and a [`Value`] | bytes appended to one buffer |
//!
//! The tree is also the program. It is immutable and holds no data, so a
//! [`File`] parsed once is shared by any number of sets, threads and renders.
//! Values belong to one render: they are counted references without locks.
//!
//! # What would surprise
//!
//! - **Numbers are never converted.** `1` in a template is an `int`, `1` from a
//!   file is a `float64`, `1` from `--set` is an `int64`; no two of them are
//!   equal, and none is accepted for another. See [`Value`].
//! - **Maps are shared.** `set` on a map inside `.Values` changes it for every
//!   template that is executed later with the same data. See [`Map`].
//! - **Nil is two things.** A missing key is a nil `interface {}`, and reading
//!   a field of it is an error; the same in parentheses is no value at all, and
//!   reading a field of that yields nothing. Printed, both are `<no value>`,
//!   which Helm removes from its output afterwards.
//! - **An error may point elsewhere.** Go reports the node that it was at last,
//!   which for a wrong piped argument is the argument before it.
//! - **A name is looked up when it is executed.** A later file may have
//!   replaced the definition, and a text given to `tpl` may hide it for the
//!   time being.
//! - **Hostile templates end.** [`Limits`] bounds depth, steps and bytes, and
//!   recursion moves to a new stack before it overflows one. Go's own limits
//!   are the defaults where it has any.
//!
//! # What is different
//!
//! - Parentheses nest at most 1000 deep (Go: 10000), and so do blocks (Go: no
//!   limit).
//! - Channels, functions as values and iterators do not exist as values, so
//!   `call` always fails and `range` never meets them.
//! - Addresses print as `0xc000000000`.
//! - Where Go would exhaust its memory or stack (a map that contains itself is
//!   printed) there is an error.

mod ast;
mod builtins;
mod definitions;
pub(crate) mod difference;
mod draw;
pub(crate) mod edits;
mod error;
mod exec;
mod function;
mod host;
mod lex;
mod limits;
mod list;
mod literal;
mod map;
pub(crate) mod memory;
mod parse;
pub(crate) mod parts;
pub mod printf;
mod scalar;
mod set;
pub(crate) mod stack;
mod text;
mod trace;
pub(crate) mod unicode;
mod value;
pub(crate) mod watch;
mod write;

pub use ast::Template;
pub(crate) use definitions::Definitions;
pub use draw::Draw;
pub(crate) use draw::Stream;
pub use error::{Error, ErrorKind, Frame, Location, Missing};
pub use exec::{Context, MissingKey, TEMPLATE_FUNCTIONS};
pub use function::{Args, Failure, Function, Functions, Method, Signature, Type};
pub use host::Host;
pub use limits::Limits;
pub use list::{List, Slice};
pub(crate) use map::Copied;
pub use map::{Map, MapKind};
pub(crate) use parse::{Draft, Scratch};
pub(crate) use set::Shelf;
pub use set::{File, Set};
pub(crate) use stack::deeper;
pub use text::Str;
pub use trace::{Extent, LineOrigin, NodeOrigin, Record, Step, Trace, ValuesPath};
pub use value::{Kind, MAX_NESTING, Object, Value};
pub use write::FieldOrder;
