//! From client-side to server-side apply.
//!
//! A client that applied an object owns its fields by updating them. Applying
//! on the server beside it leaves every field with two owners, and a field
//! that is declared no more then stays for the sake of the other. Following
//! `client-go/util/csaupgrade`, the client's fields are made ours, in one
//! write that fails if the object has changed meanwhile.

use gitops_core::{Manifest, Map, Str, Value};
use gitops_diff::managed_fields;

/// The live object as it is after the fields of the client `from` have become
/// those of `manager`; `None` if the client owns none.
pub(crate) fn migrated(live: &Manifest, from: &str, manager: &Str) -> Option<Manifest> {
    match from {
        "" => None,
        from => managed_fields::taken_over(live, from, manager),
    }
}

/// The merge patch that does so on the server, unless the object has changed
/// meanwhile.
pub(crate) fn patch(live: &Manifest, from: &str, manager: &Str) -> Option<Value> {
    let migrated = migrated(live, from, manager)?;
    let field = |name: &str| migrated.at(&["metadata", name]).cloned();
    let metadata = Map::from_iter([
        ("managedFields", field("managedFields")?),
        ("resourceVersion", field("resourceVersion")?),
    ]);
    Some(Map::from_iter([("metadata", metadata)]).into())
}
