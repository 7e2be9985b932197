//! The verbs that this crate needs from an API server, and no others.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use gitops_core::{Gvk, Manifest, ObjectKey, Str, Value};
use serde::{Deserialize, Serialize};

pub mod cache;
pub mod discovery;
#[cfg(feature = "kube")]
pub mod kube;
pub mod memory;

pub use discovery::{Kind, Kinds};

/// An API server: real, or in memory.
///
/// Errors are those of one request. Implementations repeat a request only
/// where that cannot change its meaning; patience beyond a few seconds is the
/// caller's, see [`ClusterError::is_transient`].
///
/// A key names no version of its API. Where a method takes one beside the key,
/// an empty text means the version that the server prefers.
pub trait Cluster: Sync {
    /// What the server serves, as far as it is known here.
    ///
    /// # Errors
    ///
    /// If nothing is known yet and the server cannot be asked.
    fn kinds(&self) -> impl Future<Output = Result<Arc<Kinds>, ClusterError>> + Send;

    /// What the server serves now: asked anew, for instance after a
    /// CustomResourceDefinition was applied.
    ///
    /// # Errors
    ///
    /// If the server cannot be asked.
    fn discover(&self) -> impl Future<Output = Result<Arc<Kinds>, ClusterError>> + Send;

    /// One object, or `None` if it is not there.
    ///
    /// # Errors
    ///
    /// [`ClusterError::UnknownKind`] if the server has no such kind or version.
    fn get(
        &self,
        key: &ObjectKey,
        version: &str,
    ) -> impl Future<Output = Result<Option<Manifest>, ClusterError>> + Send;

    /// All objects of one kind.
    ///
    /// # Errors
    ///
    /// [`ClusterError::UnknownKind`] if the server has no such kind or version.
    fn list(
        &self,
        selection: &Selection,
    ) -> impl Future<Output = Result<Listing, ClusterError>> + Send;

    /// Server-side apply: creates the object or makes it so, field by field.
    /// Returns the object as it is afterwards.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Conflict`] if other managers own what would change and
    /// [`force`](Write::force) is off.
    fn apply(
        &self,
        object: &Manifest,
        write: &Write,
    ) -> impl Future<Output = Result<Manifest, ClusterError>> + Send;

    /// Creates the object; the server chooses its name if there is only
    /// `generateName`.
    ///
    /// # Errors
    ///
    /// [`ClusterError::AlreadyExists`] if it is there.
    fn create(
        &self,
        object: &Manifest,
        write: &Write,
    ) -> impl Future<Output = Result<Manifest, ClusterError>> + Send;

    /// Replaces the whole object. If it names a `resourceVersion`, only that
    /// version is replaced.
    ///
    /// # Errors
    ///
    /// [`ClusterError::NotFound`] if it is not there, and
    /// [`ClusterError::Conflict`] if it is there in another version.
    fn replace(
        &self,
        object: &Manifest,
        write: &Write,
    ) -> impl Future<Output = Result<Manifest, ClusterError>> + Send;

    /// Changes an object by a JSON merge patch (RFC 7386). A
    /// `metadata.resourceVersion` in it must be the object's.
    ///
    /// # Errors
    ///
    /// As [`replace`](Cluster::replace).
    fn patch(
        &self,
        key: &ObjectKey,
        patch: &Value,
        write: &Write,
    ) -> impl Future<Output = Result<Manifest, ClusterError>> + Send;

    /// Begins the deletion of an object. It may remain for a while: until its
    /// finalizers are gone, or its dependents.
    ///
    /// # Errors
    ///
    /// [`ClusterError::NotFound`] if it is not there, and
    /// [`ClusterError::Conflict`] if it is another object of that name, or there
    /// in another version.
    fn delete(
        &self,
        key: &ObjectKey,
        deletion: &Deletion,
    ) -> impl Future<Output = Result<(), ClusterError>> + Send;

    /// What happens to the selected objects from a version on, as a listing or
    /// an earlier event gave it; from now on if it is empty.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Gone`] if the server does not remember that version:
    /// list again.
    fn watch(
        &self,
        selection: &Selection,
        resource_version: &str,
    ) -> impl Future<Output = Result<Watch, ClusterError>> + Send;
}

/// Objects of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The kind; an empty version means the one that the server prefers.
    pub gvk: Gvk,
    /// The namespace; empty for all of them.
    pub namespace: Str,
    /// A label selector as in `kubectl -l`; empty for no restriction.
    pub labels: Str,
}

impl Selection {
    /// All objects of a kind in every namespace.
    pub fn all(gvk: Gvk) -> Self {
        Selection {
            gvk,
            namespace: Str::new(),
            labels: Str::new(),
        }
    }

    /// The objects of a kind in one namespace.
    pub fn within(gvk: Gvk, namespace: impl Into<Str>) -> Self {
        Selection {
            gvk,
            namespace: namespace.into(),
            labels: Str::new(),
        }
    }
}

/// What a list request found.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// The objects, in the server's order: by namespace and name.
    pub items: Vec<Manifest>,
    /// The version of the whole, from which a watch goes on.
    pub resource_version: Str,
}

/// How something is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The name under which the fields are owned.
    pub manager: Str,
    /// The part of an object that is written, whatever else is sent: all of it
    /// but `status` if empty, or `status`. Objects are created whole.
    pub subresource: Str,
    /// Whether an apply takes fields from their owners instead of failing.
    pub force: bool,
    /// Whether the server only says what would happen.
    pub dry_run: bool,
    /// Whether fields that the server does not know are an error.
    pub validate: bool,
}

impl Write {
    /// A validated, real write that forces nothing.
    pub fn by(manager: impl Into<Str>) -> Self {
        Write {
            manager: manager.into(),
            subresource: Str::new(),
            force: false,
            dry_run: false,
            validate: true,
        }
    }
}

/// What happens to the objects that a deleted one owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Propagation {
    /// They are deleted first; until then the owner remains.
    #[default]
    Foreground,
    /// They are deleted afterwards.
    Background,
    /// They stay, without an owner.
    Orphan,
}

impl Propagation {
    /// The name on the wire: `Foreground`, `Background` or `Orphan`.
    pub fn name(self) -> &'static str {
        match self {
            Propagation::Foreground => "Foreground",
            Propagation::Background => "Background",
            Propagation::Orphan => "Orphan",
        }
    }
}

/// How something is deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deletion {
    /// What happens to what it owns.
    pub propagation: Propagation,
    /// Delete only the object that has this uid, not a later one of the same
    /// name; any if empty.
    pub uid: Str,
    /// Delete the object only as it is in this version; in any if empty.
    pub resource_version: Str,
    /// Whether the server only says what would happen.
    pub dry_run: bool,
}

/// Something that happened to a watched object.
#[derive(Clone, Debug, PartialEq)]
pub enum WatchEvent {
    /// It was created, or began to match the selection.
    Added(Manifest),
    /// It changed.
    Modified(Manifest),
    /// It is gone, or does not match any more; this is its last state.
    Deleted(Manifest),
    /// Nothing happened up to this version.
    Bookmark {
        /// The version from which a new watch can go on.
        resource_version: Str,
    },
}

impl WatchEvent {
    /// The version from which a watch goes on after this event.
    pub fn resource_version(&self) -> &str {
        match self {
            WatchEvent::Added(object)
            | WatchEvent::Modified(object)
            | WatchEvent::Deleted(object) => object
                .at(&["metadata", "resourceVersion"])
                .and_then(Value::as_str)
                .unwrap_or_default(),
            WatchEvent::Bookmark { resource_version } => resource_version,
        }
    }
}

/// A stream of events. It ends when the server ends it, which real ones do
/// after some minutes: go on from the last
/// [`resource_version`](WatchEvent::resource_version).
pub struct Watch(BoxStream<'static, Result<WatchEvent, ClusterError>>);

impl Watch {
    /// A watch whose events come from `events`.
    pub fn new(
        events: impl Stream<Item = Result<WatchEvent, ClusterError>> + Send + 'static,
    ) -> Self {
        Watch(events.boxed())
    }

    /// The next event; `None` once the watch has ended.
    pub async fn next(&mut self) -> Option<Result<WatchEvent, ClusterError>> {
        self.0.next().await
    }
}

impl Stream for Watch {
    type Item = Result<WatchEvent, ClusterError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch(..)")
    }
}

/// The answers of many requests as they come, at most `limit` of them under
/// way at once.
///
/// The requests are collected first: a stream that makes them on the way would
/// not be `Send` for every lifetime, and neither would what awaits it.
pub(crate) fn at_once<F: Future>(
    requests: impl IntoIterator<Item = F>,
    limit: usize,
) -> impl Stream<Item = F::Output> + Unpin {
    let requests: Vec<F> = requests.into_iter().collect();
    Box::pin(stream::iter(requests).buffer_unordered(limit.max(1)))
}

/// The cause of a transport's failure.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A field that another manager owns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FieldConflict {
    /// The manager, as the server prints it: `"kubectl"`, quoted, perhaps
    /// with a subresource and a version after it.
    pub manager: String,
    /// The field: `.spec.replicas`.
    pub field: String,
}

/// Why the cluster refused. Callers choose between retry and report.
///
/// No message quotes what a Secret holds.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// Other managers own what would change, or the object is there in
    /// another version than the request named.
    #[error("{message}")]
    Conflict {
        /// The object.
        key: ObjectKey,
        /// The server's words.
        message: String,
        /// The fields and their owners, sorted; empty if the conflict is one
        /// of versions.
        fields: Vec<FieldConflict>,
    },
    /// The object, or the namespace it should be created in, is not there.
    #[error("{message}")]
    NotFound {
        /// The object of the request.
        key: ObjectKey,
        /// The server's words; they name what is missing.
        message: String,
    },
    /// There is an object of that name.
    #[error("{key} already exists")]
    AlreadyExists {
        /// The object.
        key: ObjectKey,
    },
    /// The server knows the kind but not such an object: it fails validation,
    /// or changes what cannot be changed.
    #[error("{message}")]
    Invalid {
        /// The object.
        key: ObjectKey,
        /// The server's words.
        message: String,
    },
    /// The credentials do not allow it.
    #[error("{message}")]
    Forbidden {
        /// The server's words.
        message: String,
    },
    /// The credentials are not accepted.
    #[error("the server does not accept the credentials: {message}")]
    Unauthorized {
        /// The server's words.
        message: String,
    },
    /// The server has no such kind, or not in that version.
    #[error("the server has no kind {gvk}; install its CustomResourceDefinition first")]
    UnknownKind {
        /// The kind; its version is empty if none was asked for.
        gvk: Gvk,
    },
    /// The server has forgotten the version from which to watch or to go on
    /// listing.
    #[error("the server does not remember that far back; list again")]
    Gone,
    /// The server has too much to do.
    #[error("the server asks to wait")]
    TooManyRequests {
        /// How long it wants to be left alone, if it said so.
        retry_after: Option<Duration>,
    },
    /// No answer was had. A write may have happened all the same.
    #[error("cluster unreachable")]
    Unreachable(#[source] BoxError),
    /// Any other refusal.
    #[error("{message} (HTTP {status})")]
    Refused {
        /// The HTTP status; 5xx is the server's own trouble.
        status: u16,
        /// The server's words.
        message: String,
    },
    /// The answer was not what an API server says.
    #[error("answer not understood: {problem}")]
    Answer {
        /// What is wrong with it.
        problem: String,
    },
    /// No connection could be set up: kubeconfig, certificates, login.
    #[error("cannot connect")]
    Config(#[source] BoxError),
}

impl ClusterError {
    /// Whether the same request may well succeed a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            ClusterError::TooManyRequests { .. } | ClusterError::Unreachable(_) => true,
            ClusterError::Refused { status, .. } => matches!(status, 500 | 502 | 503 | 504),
            _ => false,
        }
    }

    /// How long the server asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            ClusterError::TooManyRequests { retry_after } => *retry_after,
            _ => None,
        }
    }

    /// The message with those of its causes, for a report.
    pub fn explain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let detail = error.to_string();
            // Layers of the transport repeat each other's words.
            if !text.contains(&detail) {
                text.push_str(": ");
                text.push_str(&detail);
            }
            cause = error.source();
        }
        text
    }
}
