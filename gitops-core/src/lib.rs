//! Nouns of GitOps, and where files come from.
//!
//! This crate knows what a Kubernetes object is ([`Manifest`], [`ObjectKey`],
//! [`Value`]), how it is written, where files are found
//! ([`FileTree`] over memory, a directory or a Git commit) and what an
//! application is. It renders nothing, compares nothing and talks to no
//! cluster.

pub mod app;
pub mod defaults;
#[cfg(feature = "git")]
pub mod git;
#[cfg(feature = "git-http")]
pub mod http;
pub mod inventory;
pub mod key;
pub mod manifest;
pub mod quantity;
pub mod redaction;
pub mod schema;
pub mod selector;
pub mod semver;
pub mod suggest;
pub mod tree;
pub mod value;

pub use key::{Gvk, ObjectKey};
pub use manifest::{Manifest, Origin};
pub use tree::{FileTree, TreeError, TreePath};
pub use value::{List, Map, Str, Value, json, yaml};
