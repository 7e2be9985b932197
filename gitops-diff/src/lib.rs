//! States in, differences out; pure.
//!
//! [`diff`] compares what is declared with what a cluster holds and with what
//! was last applied, as server-side apply would: what would change, what
//! drifted, what somebody else owns. Server defaults and other spellings of
//! the same value are no difference. Underneath is [`smd`], a port of
//! structured-merge-diff, and [`managed_fields`], what an API server makes of
//! it.
//!
//! What it deliberately is not: it renders nothing and knows no renderer, it
//! talks to no cluster, and it never shows the value of a Secret.

mod emit;
mod ignore;
pub mod immutable;
mod lines;
pub mod managed_fields;
mod mask;
mod normalize;
pub mod patch;
mod places;
pub mod predict;
pub mod smd;
mod summary;
mod three_way;
pub mod validate;

pub use ignore::Rules;
pub use predict::{Certainty, Doubt, Prediction, predict};
pub use three_way::{Cause, Change, DiffError, Difference, FIELD_MANAGER, Outcome, Sides, diff};
