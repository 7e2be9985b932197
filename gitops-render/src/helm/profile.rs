//! Which Helm to be: the named differences between versions, in one place.

use super::manifests;
use crate::gotmpl::MapKind;

/// The Helm whose behaviour is followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// Helm 3.21.
    #[default]
    Helm3,
    /// Helm 4.2.
    Helm4,
}

impl Profile {
    /// The documents of a rendered file.
    pub(super) fn split(self, content: &str) -> Vec<&str> {
        match self {
            Profile::Helm3 => manifests::split_v3(content),
            Profile::Helm4 => manifests::split_v4(content),
        }
    }

    /// The place of a kind in the order of installation.
    pub(super) fn install_order(self, kind: &str) -> Option<usize> {
        let place = INSTALL_ORDER.iter().position(|known| *known == kind);
        match self {
            Profile::Helm3 => place.filter(|place| *place < INSTALL_ORDER.len() - NEW_IN_4),
            Profile::Helm4 => place,
        }
    }

    /// The Go type that a document is decoded into, as errors name it.
    pub(super) fn head_type(self) -> &'static str {
        match self {
            Profile::Helm3 => "releaseutil.SimpleHead",
            Profile::Helm4 => "util.SimpleHead",
        }
    }

    /// How an error about missing dependencies begins.
    pub(super) fn missing_dependencies(self) -> &'static str {
        match self {
            Profile::Helm3 => {
                "An error occurred while checking for chart dependencies. You may need to run \
                 `helm dependency build` to fetch missing dependencies:"
            }
            Profile::Helm4 => {
                "an error occurred while checking for chart dependencies. You may need to run \
                 'helm dependency build' to fetch missing dependencies:"
            }
        }
    }

    /// The Go type of `.Values`.
    pub(super) fn values(self) -> MapKind {
        match self {
            Profile::Helm3 => MapKind::ChartutilValues,
            Profile::Helm4 => MapKind::CommonValues,
        }
    }
}

/// How many kinds at the end of the order only Helm 4 knows.
const NEW_IN_4: usize = 2;

const INSTALL_ORDER: [&str; 38] = [
    "PriorityClass",
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
];
