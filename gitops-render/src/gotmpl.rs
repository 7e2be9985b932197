//! Go's text/template.

mod ast;
mod builtins;
mod error;
mod exec;
mod function;
mod lex;
mod list;
mod literal;
mod map;
mod parse;
pub mod printf;
mod set;
mod text;
mod unicode;
mod value;

pub use ast::Template;
pub use error::{Error, ErrorKind, Location};
pub use exec::{Context, Host, Limits, MissingKey, TEMPLATE_FUNCTIONS};
pub use function::{Args, Failure, Function, Functions, Method, Signature, Type};
pub use list::{List, Slice};
pub use map::{Map, MapKind};
pub use set::{File, Set};
pub use text::Str;
pub use value::{Kind, MAX_NESTING, Object, Value};
