//! The cluster that a chart is rendered for.

use gitops_core::Str;

/// What a chart may ask about the cluster: Helm's `.Capabilities`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The Kubernetes version.
    pub kube_version: KubeVersion,
    /// The API versions, as `group/version` and, from a real cluster,
    /// `group/version/Kind`.
    pub api_versions: Vec<Str>,
}

impl Default for Capabilities {
    /// What Helm 3.21 and 4.2 assume without a cluster: Kubernetes 1.36 and
    /// every group and version that client-go registers.
    fn default() -> Self {
        Capabilities {
            kube_version: KubeVersion {
                version: "v1.36.0".into(),
                major: "1".into(),
                minor: "36".into(),
            },
            api_versions: API_VERSIONS.iter().copied().map(Str::from).collect(),
        }
    }
}

/// A Kubernetes version, with the two numbers that charts compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeVersion {
    /// With a leading `v`.
    pub version: Str,
    /// The first number.
    pub major: Str,
    /// The second number.
    pub minor: Str,
}

impl KubeVersion {
    /// Reads a version as `--kube-version` does: Kubernetes' own generic
    /// parser, which drops what follows the numbers.
    ///
    /// # Errors
    ///
    /// The parser's text.
    ///
    /// ```
    /// use gitops_render::helm::KubeVersion;
    /// let version = KubeVersion::parse("1.28.3-gke.1")?;
    /// assert_eq!(version.version, "v1.28.3");
    /// # Ok::<(), String>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, String> {
        let failed = || format!("could not parse {text:?} as version");
        let trimmed = text.trim();
        let numbers = trimmed.strip_prefix('v').unwrap_or(trimmed);
        let end = numbers
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(numbers.len());
        let (numbers, rest) = numbers.split_at(end);
        // A suffix has to begin with something that is no letter or digit.
        if rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            || numbers.ends_with('.') && rest.is_empty()
        {
            return Err(failed());
        }
        let mut parts = Vec::new();
        for part in numbers.trim_end_matches('.').split('.') {
            if part.is_empty() {
                return Err(failed());
            }
            if part.len() > 1 && part.starts_with('0') {
                return Err(format!(
                    "illegal zero-prefixed version component {part:?} in {text:?}"
                ));
            }
            let number: u64 = part.parse().map_err(|_| {
                format!("illegal non-numeric version component {part:?} in {text:?}: strconv.ParseUint: parsing {part:?}: value out of range")
            })?;
            parts.push(number);
        }
        if parts.len() < 2 {
            return Err(format!("illegal version string {text:?}"));
        }
        if parts.len() < 3 {
            parts.push(0);
        }
        let version: Vec<String> = parts.iter().map(u64::to_string).collect();
        Ok(KubeVersion {
            version: ecow::eco_format!("v{}", version.join(".")),
            major: version[0].as_str().into(),
            minor: version[1].as_str().into(),
        })
    }
}

/// In the order in which client-go 0.36 registers them.
const API_VERSIONS: &[&str] = &[
    "v1",
    "admissionregistration.k8s.io/v1",
    "admissionregistration.k8s.io/v1alpha1",
    "admissionregistration.k8s.io/v1beta1",
    "internal.apiserver.k8s.io/v1alpha1",
    "apps/v1",
    "apps/v1beta1",
    "apps/v1beta2",
    "authentication.k8s.io/v1",
    "authentication.k8s.io/v1alpha1",
    "authentication.k8s.io/v1beta1",
    "authorization.k8s.io/v1",
    "authorization.k8s.io/v1beta1",
    "autoscaling/v1",
    "autoscaling/v2",
    "batch/v1",
    "batch/v1beta1",
    "certificates.k8s.io/v1",
    "certificates.k8s.io/v1beta1",
    "certificates.k8s.io/v1alpha1",
    "coordination.k8s.io/v1alpha2",
    "coordination.k8s.io/v1beta1",
    "coordination.k8s.io/v1",
    "discovery.k8s.io/v1",
    "discovery.k8s.io/v1beta1",
    "events.k8s.io/v1",
    "events.k8s.io/v1beta1",
    "extensions/v1beta1",
    "flowcontrol.apiserver.k8s.io/v1",
    "flowcontrol.apiserver.k8s.io/v1beta1",
    "flowcontrol.apiserver.k8s.io/v1beta2",
    "flowcontrol.apiserver.k8s.io/v1beta3",
    "networking.k8s.io/v1",
    "networking.k8s.io/v1beta1",
    "node.k8s.io/v1",
    "node.k8s.io/v1alpha1",
    "node.k8s.io/v1beta1",
    "policy/v1",
    "policy/v1beta1",
    "rbac.authorization.k8s.io/v1",
    "rbac.authorization.k8s.io/v1beta1",
    "rbac.authorization.k8s.io/v1alpha1",
    "resource.k8s.io/v1",
    "resource.k8s.io/v1beta2",
    "resource.k8s.io/v1beta1",
    "resource.k8s.io/v1alpha3",
    "scheduling.k8s.io/v1alpha2",
    "scheduling.k8s.io/v1beta1",
    "scheduling.k8s.io/v1",
    "storage.k8s.io/v1beta1",
    "storage.k8s.io/v1",
    "storage.k8s.io/v1alpha1",
    "storagemigration.k8s.io/v1beta1",
    "apiextensions.k8s.io/v1beta1",
    "apiextensions.k8s.io/v1",
];
