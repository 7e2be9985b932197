//! What a render depends on beside the chart.

use std::sync::Arc;
use std::time::Duration;

use gitops_core::{Map as CoreMap, Str as CoreStr};

use super::capabilities::Capabilities;
use super::chart::LoadLimits;
use super::cluster::Objects;
use super::error::{Error, ErrorKind};
use super::profile::Profile;
use super::seed::Seed;
use super::values::ValuesSource;
use crate::gotmpl::Limits;

/// What one render of a chart depends on beside the chart.
#[derive(Clone, Debug)]
pub struct HelmOptions {
    /// The release's name: `.Release.Name`.
    pub release_name: ReleaseName,
    /// The release's namespace: `.Release.Namespace`.
    pub namespace: CoreStr,
    /// Whether this is an upgrade rather than an installation.
    pub is_upgrade: bool,
    /// The user's values; see [`Values`](super::Values).
    pub values: CoreMap,
    /// The cluster to render for: its version and what it serves.
    pub capabilities: Capabilities,
    /// What `lookup` asks; finds nothing if `None`, as in `helm template`.
    pub cluster: Option<Arc<dyn Objects>>,
    /// Whether the files of `crds/` are part of the manifests.
    pub include_crds: bool,
    /// Whether test hooks are left out.
    pub skip_tests: bool,
    /// Whether hooks are left out altogether.
    pub no_hooks: bool,
    /// Whether `values.schema.json` is not looked at.
    pub skip_schema_validation: bool,
    /// Which Helm to be.
    pub profile: Profile,
    /// Where random numbers and the time come from.
    pub seed: Seed,
    /// Whether the render is watched. It then knows where each line comes from
    /// ([`Release::source_map`](super::Release::source_map)), its errors say
    /// more, and it takes about twice as long.
    pub trace: bool,
    /// Where the values come from, weakest first: see
    /// [`Values::sources`](super::Values::sources). Only a watched render looks
    /// at it.
    pub sources: Vec<ValuesSource>,
    /// How large a chart may be.
    pub load_limits: LoadLimits,
    /// How far templates may go.
    pub limits: Limits,
    /// How long templates may take; without bound if `None`.
    pub timeout: Option<Duration>,
}

impl Default for HelmOptions {
    /// The defaults of `helm template`: release `release-name` in namespace
    /// `default`.
    fn default() -> Self {
        HelmOptions {
            release_name: ReleaseName::default(),
            namespace: "default".into(),
            is_upgrade: false,
            values: CoreMap::new(),
            capabilities: Capabilities::default(),
            cluster: None,
            include_crds: false,
            skip_tests: false,
            no_hooks: false,
            skip_schema_validation: false,
            profile: Profile::default(),
            seed: Seed::default(),
            trace: false,
            sources: Vec::new(),
            load_limits: LoadLimits::default(),
            limits: Limits::default(),
            timeout: None,
        }
    }
}

/// A release's name that Kubernetes accepts: lower-case labels, 53 characters
/// at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseName(CoreStr);

impl ReleaseName {
    /// Checks a name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Options`] with Helm's text.
    pub fn new(name: &str) -> Result<Self, Error> {
        let edge = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let label = |label: &str| {
            let bytes = label.as_bytes();
            matches!((bytes.first(), bytes.last()), (Some(a), Some(z)) if edge(*a) && edge(*z))
                && bytes.iter().all(|byte| edge(*byte) || *byte == b'-')
        };
        if name.len() <= 53 && name.split('.').all(label) {
            return Ok(ReleaseName(name.into()));
        }
        Err(Error::new(
            ErrorKind::Options,
            format!(
                "release name {name:?}: invalid release name, must match regex \
                 ^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$ and the \
                 length must not be longer than 53"
            ),
        ))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ReleaseName {
    fn default() -> Self {
        ReleaseName("release-name".into())
    }
}
