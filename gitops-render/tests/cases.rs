//! What the renderers write, against what the original programs write.

#[path = "cases/gotmpl.rs"]
mod gotmpl;
