//! How a chart of a fuzzer is rendered: always alike, and not for long.

use std::time::{Duration, SystemTime};

use gitops_render::gotmpl::Limits;
use gitops_render::helm::{HelmOptions, Seed};

pub fn bounded() -> HelmOptions {
    HelmOptions {
        seed: Seed::fixed(b"fuzz", SystemTime::UNIX_EPOCH),
        limits: Limits {
            template_depth: 1000,
            include_depth: 100,
            nesting: 1000,
            bytes: 1 << 20,
            steps: 1 << 16,
        },
        timeout: Some(Duration::from_secs(1)),
        ..HelmOptions::default()
    }
}
