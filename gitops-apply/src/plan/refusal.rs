//! Why a plan may not be carried out, and what is worth a look.

use gitops_core::{Gvk, ObjectKey, Str};
use serde::Serialize;

/// Why a plan may not be carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Nothing is declared any more, and everything would go.
    #[error(
        "auto-sync will wipe out all resources: nothing is declared and {prunes} objects would be pruned; allow an empty application if that is meant"
    )]
    WipesOut {
        /// How many objects would go.
        prunes: usize,
    },
    /// More would be deleted than is plausible.
    #[error("{prunes} objects would be deleted, and the limit is {limit}")]
    TooManyPrunes {
        /// How many objects would go.
        prunes: usize,
        /// How many are allowed to.
        limit: usize,
    },
    /// The server does not know the kind.
    #[error("The Kubernetes API could not find {group}/{kind} for requested resource {namespace}/{name}. Make sure the {kind:?} CRD is installed on the destination cluster.", group = key.group, kind = key.kind.as_str(), namespace = key.namespace, name = key.name)]
    UnknownKind {
        /// The object.
        key: ObjectKey,
    },
    /// The server knows the kind, but not in this version.
    #[error("The Kubernetes API could not find version {version:?} of {group}/{kind} for requested resource {namespace}/{name}. Version {served:?} of {group}/{kind} is installed on the destination cluster.", version = version.as_str(), served = served.as_str(), group = key.group, kind = key.kind, namespace = key.namespace, name = key.name)]
    UnknownVersion {
        /// The object.
        key: ObjectKey,
        /// The version that it is written in.
        version: Str,
        /// The version that the server prefers.
        served: Str,
    },
    /// A larger share would be deleted than is plausible.
    #[error("{prunes} of {owned} objects would be deleted, and the limit is {percent}%")]
    TooLargeAShare {
        /// How many objects would go.
        prunes: usize,
        /// How many there are.
        owned: usize,
        /// The share that may go.
        percent: u8,
    },
    /// An object belongs to another application as well.
    #[error("Shared resource found: {key} is part of application {owner}")]
    Shared {
        /// The object.
        key: ObjectKey,
        /// The other application.
        owner: Str,
    },
    /// The record of what the application owns cannot be used.
    #[error("{problem}")]
    Record {
        /// What is wrong with it.
        problem: String,
    },
    /// A rule for what to ignore is not understood.
    #[error("{problem}")]
    Rule {
        /// The rule and what is wrong with it.
        problem: String,
    },
    /// An object needs a namespace, and there is none to put it in.
    #[error("{key} needs a namespace: it names none, and the destination has none")]
    NoNamespace {
        /// The object.
        key: ObjectKey,
    },
    /// An object that is no hook has no name of its own.
    #[error("{kind} in {origin}: only hooks may have generateName instead of a name")]
    NoName {
        /// The kind.
        kind: Str,
        /// Where it was declared.
        origin: Str,
    },
}

/// Something that does not stop a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// An object is declared more than once; the last one counts.
    #[error("{key} appeared {times} times among application resources")]
    Repeated {
        /// The object.
        key: ObjectKey,
        /// How often.
        times: usize,
    },
    /// An object belongs to another application as well.
    #[error("{key} is part of applications {app} and {owner}")]
    Shared {
        /// The object.
        key: ObjectKey,
        /// This application.
        app: Str,
        /// The other one.
        owner: Str,
    },
    /// The server will not accept a change.
    #[error(
        "{key}: {field} cannot be changed; the object has to be recreated (sync option Force=true)"
    )]
    Immutable {
        /// The object.
        key: ObjectKey,
        /// The field.
        field: String,
    },
    /// An object could not be compared with what is there; it is applied.
    #[error("{problem}")]
    NotCompared {
        /// The object.
        key: ObjectKey,
        /// Why not.
        problem: String,
    },
    /// The schema of a definition is not understood, so its objects are
    /// compared as if they had none.
    #[error("{key}: the schema is not understood: {problem}")]
    Schema {
        /// The definition.
        key: ObjectKey,
        /// What is wrong with its schema.
        problem: String,
    },
    /// Objects of a kind could not be read, so none of them is pruned.
    #[error("{kind} could not be read: {problem}")]
    Unreadable {
        /// The kind.
        kind: Gvk,
        /// Why not.
        problem: String,
    },
}
