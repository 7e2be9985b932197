//! Which Helm to be: the named differences between versions, in one place.
//!
//! One engine renders for all of them; where they differ it asks its profile.
//! What it asks is what is written here, and `COMPATIBILITY.md` says it in
//! prose.

use std::fmt;
use std::str::FromStr;

use super::manifests;
use crate::gotmpl::MapKind;
use crate::gotmpl::printf::quote;
use crate::gotmpl::unicode::is_printable;

/// The Helm whose behaviour is followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Profile {
    /// Helm 3.16.
    Helm3_16,
    /// Helm 3.19.
    Helm3_19,
    /// Helm 3.21.
    #[default]
    Helm3_21,
    /// Helm 4.2.
    Helm4_2,
}

impl Profile {
    /// All of them, oldest first.
    pub const ALL: [Profile; 4] = [
        Profile::Helm3_16,
        Profile::Helm3_19,
        Profile::Helm3_21,
        Profile::Helm4_2,
    ];

    /// The name: `helm-3.21`.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Helm3_16 => "helm-3.16",
            Profile::Helm3_19 => "helm-3.19",
            Profile::Helm3_21 => "helm-3.21",
            Profile::Helm4_2 => "helm-4.2",
        }
    }

    /// What `.Capabilities.HelmVersion` says: the version, and Go's.
    pub(super) fn versions(self) -> (&'static str, &'static str) {
        match self {
            Profile::Helm3_16 => ("v3.16.4", "go1.22"),
            Profile::Helm3_19 => ("v3.19.5", "go1.24"),
            Profile::Helm3_21 => ("v3.21.4", "go1.26"),
            Profile::Helm4_2 => ("v4.2.4", "go1.26"),
        }
    }

    /// The minor version of the Kubernetes that is assumed without a cluster.
    pub(super) fn kubernetes(self) -> u32 {
        match self {
            Profile::Helm3_16 => 31,
            Profile::Helm3_19 => 34,
            Profile::Helm3_21 | Profile::Helm4_2 => 36,
        }
    }

    /// Whether it is a Helm 4.
    pub(super) fn is_4(self) -> bool {
        self >= Profile::Helm4_2
    }

    // ---- values ----

    /// Whether all documents of a file of values count, and not only the
    /// first; and whether `--set-json` takes a whole object.
    pub(super) fn merges_documents(self) -> bool {
        self.is_4()
    }

    /// What a null among values means for the table below it.
    pub(super) fn nulls_in_tables(self) -> TableNulls {
        match self {
            Profile::Helm3_16 => TableNulls::Delete,
            Profile::Helm3_19 => TableNulls::Spread,
            Profile::Helm3_21 | Profile::Helm4_2 => TableNulls::SpreadUnlessNew,
        }
    }

    /// Whether nulls in what a chart says about its subcharts stay until the
    /// subchart's own defaults are laid under them.
    pub(super) fn keeps_nulls_for_subcharts(self) -> bool {
        self >= Profile::Helm3_19
    }

    /// Whether defaults that are null count for nothing.
    pub(super) fn drops_null_defaults(self) -> bool {
        self.is_4()
    }

    /// Whether `--kube-version` is read as a semantic version, which may have
    /// a suffix, and not as Kubernetes reads versions.
    pub(super) fn reads_semantic_kube_versions(self) -> bool {
        self < Profile::Helm3_19
    }

    // ---- templates ----

    /// Whether `.Files.Lines` of an empty file fails: it looks at the last
    /// byte first.
    pub(super) fn fails_for_lines_of_nothing(self) -> bool {
        self != Profile::Helm3_21
    }

    /// Whether the message of `required` is a format of Go's `fmt`, and errors
    /// about versions begin with a capital.
    pub(super) fn has_functions_of_3_16(self) -> bool {
        self < Profile::Helm3_19
    }

    /// The documents of a rendered file.
    pub(super) fn split(self, content: &str) -> Vec<&str> {
        match self.is_4() {
            false => manifests::split_v3(content),
            true => manifests::split_v4(content),
        }
    }

    /// The place of a kind in the order of installation.
    pub(super) fn install_order(self, kind: &str) -> Option<usize> {
        let place = INSTALL_ORDER.iter().position(|known| *known == kind);
        match self.is_4() {
            false => place.filter(|place| *place < INSTALL_ORDER.len() - NEW_IN_4),
            true => place,
        }
    }

    /// The Go type that a document is decoded into, as errors name it.
    pub(super) fn head_type(self) -> &'static str {
        match self.is_4() {
            false => "releaseutil.SimpleHead",
            true => "util.SimpleHead",
        }
    }

    /// How an error about missing dependencies begins.
    pub(super) fn missing_dependencies(self) -> &'static str {
        match self.is_4() {
            false => {
                "An error occurred while checking for chart dependencies. You may need to run \
                 `helm dependency build` to fetch missing dependencies:"
            }
            true => {
                "an error occurred while checking for chart dependencies. You may need to run \
                 'helm dependency build' to fetch missing dependencies:"
            }
        }
    }

    /// What goes before the text of an error while dependencies are processed.
    pub(super) fn processing_dependencies(self) -> &'static str {
        match self.is_4() {
            false => "",
            true => "chart dependencies processing failed: ",
        }
    }

    // ---- warnings ----

    /// Of a chart that says that it is deprecated.
    pub(super) fn deprecated(self) -> &'static str {
        match self.is_4() {
            false => "WARNING: This chart is deprecated",
            true => "this chart is deprecated",
        }
    }

    /// Of a tag of a subchart that is neither on nor off.
    pub(super) fn tag_is_no_bool(self, tag: &str, chart: &str) -> String {
        match self.is_4() {
            false => format!("Warning: Tag '{tag}' for chart {chart} returned non-bool value"),
            true => logged("returned non-bool value", &[("tag", tag), ("chart", chart)]),
        }
    }

    /// Of a condition of a subchart that is neither on nor off.
    pub(super) fn condition_is_no_bool(self, path: &str, chart: &str) -> String {
        match self.is_4() {
            false => {
                format!(
                    "Warning: Condition path '{path}' for chart {chart} returned non-bool value"
                )
            }
            true => logged(
                "returned non-bool value",
                &[("path", path), ("chart", chart)],
            ),
        }
    }

    /// Of a table to import that a subchart does not have; the chart is named if
    /// the import names both ends.
    pub(super) fn no_table_to_import(self, key: &str, chart: Option<&str>) -> String {
        const TEXT: &str = "ImportValues missing table";
        let error = format!("{} is not a table", quote(key.as_bytes()));
        match (self.is_4(), chart) {
            (false, None) => format!("Warning: {TEXT}: {error}"),
            (false, Some(chart)) => format!("Warning: {TEXT} from chart {chart}: {error}"),
            (true, None) => logged(TEXT, &[("error", &error)]),
            (true, Some(chart)) => {
                let attributes = [("chart", chart), ("error", &error)];
                logged(&format!("{TEXT} from chart"), &attributes)
            }
        }
    }

    /// Of a reference in a schema that nobody can follow.
    pub(super) fn unresolved_urn(self, urn: &str) -> String {
        const TEXT: &str = "unresolved URN reference ignored; using permissive schema";
        match self.is_4() {
            false => format!("WARNING: {TEXT}: {urn}"),
            true => logged(TEXT, &[("urn", urn)]),
        }
    }

    /// Of a hook that names an event that there is not.
    pub(super) fn unknown_hook(self, types: &str) -> String {
        match self.is_4() {
            false => format!("info: skipping unknown hook: {}", quote(types.as_bytes())),
            true => logged("skipping unknown hooks", &[("hookTypes", types)]),
        }
    }

    /// The Go type of `.Values`.
    pub(super) fn values(self) -> MapKind {
        match self.is_4() {
            false => MapKind::ChartutilValues,
            true => MapKind::CommonValues,
        }
    }
}

/// What Go's `slog` logs, without the level: attributes follow the text, quoted
/// where they would be hard to tell apart.
fn logged(text: &str, attributes: &[(&str, &str)]) -> String {
    let is_plain = |c: char| match c {
        ' ' | '=' | '"' | char::REPLACEMENT_CHARACTER => false,
        '\x7f' => true,
        c => is_printable(c) && !c.is_whitespace(),
    };
    let mut line = text.to_owned();
    for (name, value) in attributes {
        let plain = !value.is_empty() && value.chars().all(is_plain);
        let value = match plain {
            true => (*value).to_owned(),
            false => quote(value.as_bytes()),
        };
        line.push_str(&format!(" {name}={value}"));
    }
    line
}

/// What becomes of nulls where tables are laid over each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum TableNulls {
    /// One in the upper table deletes the key.
    Delete,
    /// The same, and it is a null in the lower table from then on, which other
    /// charts may share.
    Spread,
    /// The same, but one that stands for no value of the lower table stays.
    SpreadUnlessNew,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Profile {
    type Err = String;

    /// Reads a name such as `helm-3.21`, `3.21` or `3`: the newest of a series
    /// if it names only that.
    fn from_str(text: &str) -> Result<Self, String> {
        let version = text.strip_prefix("helm-").unwrap_or(text);
        let version = version.strip_prefix('v').unwrap_or(version);
        match version {
            "3" => return Ok(Profile::Helm3_21),
            "4" => return Ok(Profile::Helm4_2),
            _ => {}
        }
        Profile::ALL
            .into_iter()
            .find(|profile| profile.name().strip_prefix("helm-") == Some(version))
            .ok_or_else(|| {
                let known = Profile::ALL.map(Profile::name).join(", ");
                format!("no such Helm: {text:?}; there are {known}")
            })
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
