//! Random inputs for Helm, and the comparison with the original.
//!
//! Cases come from a seed, so what failed once can be run again. To ask the
//! original takes a process, so many cases share one: each is a subchart of an
//! umbrella, or a named template whose output is encoded in base64, and only
//! those that fail here are asked one by one.
//!
//! | part          | what is random                                          |
//! |---------------|---------------------------------------------------------|
//! | [`values`]    | values: scalars that look like others, lists, maps      |
//! | [`functions`] | calls of functions, with arguments that mostly fit      |
//! | [`templates`] | programs: branches, loops, variables, definitions       |
//! | [`charts`]    | trees of charts: conditions, tags, aliases, imports, nulls |
//! | [`flags`]     | arguments of `--set` and its kind                       |

pub mod charts;
pub mod flags;
pub mod functions;
pub mod run;
pub mod source;
pub mod templates;
pub mod values;
