//! Makes a cluster what manifests say: plans, syncs, heals and watches.
//!
//! The work is cut where it can be looked at. [`plan()`] is a pure function from
//! what is wanted and what is there to a [`Plan`], which can be printed,
//! reviewed and kept. [`sync()`] carries a plan out on a [`Cluster`] and returns
//! a [`SyncReport`]. [`health::health`] judges one object. Order, waves, hooks, sync
//! options and messages are those of Argo CD; COMPATIBILITY.md lists the
//! differences.
//!
//! A [`Cluster`] is the handful of verbs that this takes. [`MemoryCluster`] is
//! one within the process, for tests and demonstrations; with the feature
//! `kube` (on by default), [`KubeCluster`] is a real API server.
//!
//! `kube-client` depends on `k8s-openapi`, which wants the program (not a
//! library) to choose a Kubernetes version by one of its `v1_*` features; any
//! of them will do for this crate.

pub mod cluster;
pub mod health;
pub mod live;
pub mod metrics;
pub mod plan;
pub mod reconcile;
pub mod record;
pub mod report;
mod secrets;
pub mod sync;

#[cfg(feature = "kube")]
pub use cluster::kube::KubeCluster;
pub use cluster::memory::MemoryCluster;
pub use cluster::{Cluster, ClusterError};
pub use health::{Health, HealthStatus, app_health};
pub use live::{LiveOptions, LiveState, Scan};
pub use metrics::Metrics;
pub use plan::{Plan, PlanOptions, plan};
pub use reconcile::{AppStatus, ReconcileOptions, Reconciler, Repositories, SyncRequest};
pub use record::Record;
pub use report::{Event, SyncReport};
pub use sync::{SyncOptions, sync};
