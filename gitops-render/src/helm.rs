//! `helm template`, without Helm.
//!
//! A [`Chart`] is loaded from a tree once; [`template`] renders it as often as
//! there are releases of it, to the bytes that Helm writes. The files follow
//! Helm's packages:
//!
//! | here                        | upstream                                |
//! |-----------------------------|-----------------------------------------|
//! | `chart`, `metadata`, `ignore` | `pkg/chart`, `pkg/chart/loader`, `pkg/ignore` |
//! | [`strvals`], `values`       | `pkg/strvals`, `pkg/cli/values`         |
//! | `subcharts`, `coalesce`     | `pkg/chartutil/{dependencies,coalesce}.go` |
//! | `schema`                    | `pkg/chartutil/jsonschema.go`           |
//! | `objects`, `funcs`          | `pkg/engine/{files,funcs}.go`           |
//! | `release`                   | `pkg/engine/engine.go`, `pkg/action`    |
//! | `manifests`                 | `pkg/releaseutil`                       |
//! | `profile`                   | what differs between versions           |
//!
//! `seed`, `cluster` and `world` are what a render asks; `origin` and `report`
//! what it can say about itself; [`memo`](Memo) is what it leaves for the next.
//!
//! **Invariant:** rendering is a pure function of chart and options. What Helm
//! asks of the world (the clock, random numbers, a cluster) comes from
//! [`HelmOptions`].

mod capabilities;
mod chart;
mod cluster;
mod coalesce;
mod early;
mod error;
mod funcs;
mod ignore;
mod manifests;
mod memo;
mod metadata;
mod objects;
mod options;
mod origin;
mod profile;
mod release;
mod report;
mod schema;
mod seed;
pub mod strvals;
mod subcharts;
mod templates;
mod toml;
mod values;
mod world;

pub use capabilities::{Capabilities, KubeVersion};
pub use chart::{Chart, File, LoadLimits};
pub use cluster::{Inputs, Objects, Query, Snapshot};
pub use error::{Error, ErrorKind};
pub use manifests::{Document, Hook};
pub use memo::Memo;
pub use metadata::{Dependency, Maintainer, Metadata};
pub use options::{HelmOptions, ReleaseName};
pub use origin::{LineReport, SourceMap, ValueOrigin};
pub use profile::Profile;
pub(crate) use release::name_of_template;
pub use release::{Release, template};
pub use report::Report;
pub use seed::Seed;
pub use values::{Values, ValuesSource, merge_maps};
