//! structured-merge-diff: who owns which field, and what follows from it.
//!
//! A port of `sigs.k8s.io/structured-merge-diff` v6, file by file:
//!
//! | here          | upstream                                    |
//! |---------------|---------------------------------------------|
//! | `path`        | `fieldpath/{element,path}.go`               |
//! | `set`         | `fieldpath/{set,serialize}.go`              |
//! | `typed`       | `typed/{typed,validate,tofieldset}.go`      |
//! | `merge`       | `typed/merge.go`                            |
//! | `compare`     | `typed/compare.go`                          |
//! | `remove`      | `typed/remove.go`                           |
//! | `reconcile`   | `typed/reconcile_schema.go`                 |
//! | `managers`    | `merge/update.go`, `fieldpath/managers.go`  |
//!
//! An object is [`Typed`]: a value with the schema that says how its lists and
//! maps merge. [`apply`] and [`update`] are what an API server does with a
//! request; everything else is what they are made of.

mod compare;
mod managers;
mod merge;
mod path;
mod reconcile;
mod remove;
mod set;
mod typed;

pub use compare::Comparison;
pub use managers::{
    ApplyError, Conflict, Conflicts, ConvertError, ManagedFields, Ownership, Rules, SameVersion,
    Versions, apply, update,
};
pub use path::{Path, PathElement};
pub use set::{FieldsError, Set};
pub use typed::{Duplicates, Typed, TypedError};
pub(crate) use typed::{Facet, Identity, deduce, has_copies, identities, is_empty_leaf, validate};
