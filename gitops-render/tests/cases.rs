//! What the renderers write, against what the original programs write.

#[path = "cases/functions.rs"]
mod functions;
#[path = "cases/gotmpl.rs"]
mod gotmpl;
#[path = "cases/helm.rs"]
mod helm;
#[path = "cases/kustomize.rs"]
mod kustomize;
#[path = "cases/memo.rs"]
mod memo;
#[path = "cases/regex.rs"]
mod regex;
