//! Go's text/template.

mod error;
mod exec;
mod function;
mod list;
mod map;
pub mod printf;
mod text;
mod unicode;
mod value;

pub use error::{Error, ErrorKind, Location};
pub use exec::{Context, Host};
pub use function::{Args, Failure, Function, Functions, Method, Signature, Type};
pub use list::{List, Slice};
pub use map::{Map, MapKind};
pub use text::Str;
pub use value::{Kind, MAX_NESTING, Object, Value};
