//! Case sets, and how to run them.
//!
//! A set is a directory of inputs with what the original programs made of
//! them. [`sets`] knows the formats; the binary `conformance` runs one and
//! counts. [`random`] makes cases and asks the original itself; its binary is
//! `agree`.

pub mod case;
pub mod kustomizations;
pub mod random;
pub mod sets;
