//! What the example programs share: each part is a short, readable embedding
//! of the libraries.
//!
//! The programs themselves are `quickstart`, which acts out the life of a
//! platform in memory, and `gitops`, a command line on a real cluster.

pub mod helm;
pub mod history;
pub mod kustomize;
pub mod repo;
pub mod screen;

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
