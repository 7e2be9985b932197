//! Files in, manifests out: Helm, Kustomize, plain YAML and Handlebars, without the programs.

pub mod gotmpl;
