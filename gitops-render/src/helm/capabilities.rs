//! The cluster that a chart is rendered for.

use gitops_core::Str;
use gitops_core::semver::Version;

use super::profile::Profile;

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
        Capabilities::of(Profile::default())
    }
}

impl Capabilities {
    /// What a Helm assumes without a cluster: the Kubernetes that it was built
    /// with, and every group and version that client-go registers.
    pub fn of(profile: Profile) -> Self {
        let minor = profile.kubernetes();
        let version = ecow::eco_format!("v1.{minor}.0");
        let served = API_VERSIONS
            .iter()
            .filter(|(_, from, to)| (*from..=*to).contains(&minor));
        Capabilities {
            kube_version: KubeVersion {
                version: version.clone(),
                full: version,
                major: "1".into(),
                minor: ecow::eco_format!("{minor}"),
            },
            api_versions: served.map(|(name, ..)| Str::from(*name)).collect(),
        }
    }
}

/// A Kubernetes version, with the two numbers that charts compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeVersion {
    /// With a leading `v`; what constraints are checked against.
    pub version: Str,
    /// As the cluster says it, with a leading `v` and what a vendor adds:
    /// `v1.33.4-gke.1245000`. Templates of Helm 4 see this one.
    pub full: Str,
    /// The first number.
    pub major: Str,
    /// The second number.
    pub minor: Str,
}

impl KubeVersion {
    /// Reads a version as `--kube-version` of this Helm does: since 3.19 with
    /// Kubernetes' own generic parser, which drops what follows the numbers;
    /// before that as a semantic version, which keeps it.
    ///
    /// # Errors
    ///
    /// The parser's text.
    pub fn parse_for(profile: Profile, text: &str) -> Result<Self, String> {
        if !profile.reads_semantic_kube_versions() {
            return KubeVersion::parse(text);
        }
        let version = Version::parse(text).map_err(|error| error.to_string())?;
        let shown = ecow::eco_format!("v{version}");
        Ok(KubeVersion {
            version: shown.clone(),
            full: shown,
            major: ecow::eco_format!("{}", version.major),
            minor: ecow::eco_format!("{}", version.minor),
        })
    }

    /// Reads a version with Kubernetes' own generic parser, which drops what
    /// follows the numbers.
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
            full: match text.starts_with('v') {
                true => text.into(),
                false => ecow::eco_format!("v{text}"),
            },
            major: version[0].as_str().into(),
            minor: version[1].as_str().into(),
        })
    }
}

/// In the order in which client-go registers them, with the first and the last
/// minor version of Kubernetes, among those of our profiles, that does.
const API_VERSIONS: &[(&str, u32, u32)] = &[
    ("v1", 31, 36),
    ("admissionregistration.k8s.io/v1", 31, 36),
    ("admissionregistration.k8s.io/v1alpha1", 31, 36),
    ("admissionregistration.k8s.io/v1beta1", 31, 36),
    ("internal.apiserver.k8s.io/v1alpha1", 31, 36),
    ("apps/v1", 31, 36),
    ("apps/v1beta1", 31, 36),
    ("apps/v1beta2", 31, 36),
    ("authentication.k8s.io/v1", 31, 36),
    ("authentication.k8s.io/v1alpha1", 31, 36),
    ("authentication.k8s.io/v1beta1", 31, 36),
    ("authorization.k8s.io/v1", 31, 36),
    ("authorization.k8s.io/v1beta1", 31, 36),
    ("autoscaling/v1", 31, 36),
    ("autoscaling/v2", 31, 36),
    ("autoscaling/v2beta1", 31, 34),
    ("autoscaling/v2beta2", 31, 34),
    ("batch/v1", 31, 36),
    ("batch/v1beta1", 31, 36),
    ("certificates.k8s.io/v1", 31, 36),
    ("certificates.k8s.io/v1beta1", 31, 36),
    ("certificates.k8s.io/v1alpha1", 31, 36),
    ("coordination.k8s.io/v1alpha1", 31, 31),
    ("coordination.k8s.io/v1alpha2", 34, 36),
    ("coordination.k8s.io/v1beta1", 31, 36),
    ("coordination.k8s.io/v1", 31, 36),
    ("discovery.k8s.io/v1", 31, 36),
    ("discovery.k8s.io/v1beta1", 31, 36),
    ("events.k8s.io/v1", 31, 36),
    ("events.k8s.io/v1beta1", 31, 36),
    ("extensions/v1beta1", 31, 36),
    ("flowcontrol.apiserver.k8s.io/v1", 31, 36),
    ("flowcontrol.apiserver.k8s.io/v1beta1", 31, 36),
    ("flowcontrol.apiserver.k8s.io/v1beta2", 31, 36),
    ("flowcontrol.apiserver.k8s.io/v1beta3", 31, 36),
    ("networking.k8s.io/v1", 31, 36),
    ("networking.k8s.io/v1alpha1", 31, 31),
    ("networking.k8s.io/v1beta1", 31, 36),
    ("node.k8s.io/v1", 31, 36),
    ("node.k8s.io/v1alpha1", 31, 36),
    ("node.k8s.io/v1beta1", 31, 36),
    ("policy/v1", 31, 36),
    ("policy/v1beta1", 31, 36),
    ("rbac.authorization.k8s.io/v1", 31, 36),
    ("rbac.authorization.k8s.io/v1beta1", 31, 36),
    ("rbac.authorization.k8s.io/v1alpha1", 31, 36),
    ("resource.k8s.io/v1", 34, 36),
    ("resource.k8s.io/v1beta2", 34, 36),
    ("resource.k8s.io/v1beta1", 34, 36),
    ("resource.k8s.io/v1alpha3", 31, 36),
    ("scheduling.k8s.io/v1alpha1", 31, 34),
    ("scheduling.k8s.io/v1alpha2", 36, 36),
    ("scheduling.k8s.io/v1beta1", 31, 36),
    ("scheduling.k8s.io/v1", 31, 36),
    ("storage.k8s.io/v1beta1", 31, 36),
    ("storage.k8s.io/v1", 31, 36),
    ("storage.k8s.io/v1alpha1", 31, 36),
    ("storagemigration.k8s.io/v1alpha1", 31, 34),
    ("storagemigration.k8s.io/v1beta1", 36, 36),
    ("apiextensions.k8s.io/v1beta1", 31, 36),
    ("apiextensions.k8s.io/v1", 31, 36),
];
