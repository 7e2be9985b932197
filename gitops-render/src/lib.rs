//! Files in, manifests out.
//!
//! [`render`] turns the files of a [`FileTree`](gitops_core::FileTree) into
//! Kubernetes manifests, as Helm ([`helm`]), Kustomize
//! ([`kustomize`]), plain YAML ([`directory`]) or Handlebars ([`handlebars`])
//! would, without any of these programs: no
//! subprocess, no checkout, no temporary file.
//!
//! What it deliberately is not: it knows no cluster and compares nothing
//! (`gitops-diff`, `gitops-apply`), it fetches nothing, and it has no async
//! runtime. Everything that it reads goes through the tree, so whoever owns
//! the tree knows what a render depends on.
//!
//! # Features
//!
//! None. The crate builds for `wasm32-unknown-unknown`.

pub mod directory;
pub mod glob;
pub mod gotmpl;
pub mod handlebars;
pub mod helm;
pub mod kustomize;
mod re2;
mod renderer;
mod sprig;
mod worker;

pub use renderer::{Detected, RenderError, Rendered, Renderer, detect, render};
