//! What may be deleted.

use gitops_core::{Manifest, inventory};

use super::options::{ObjectOptions, Permission};
use super::{PlanOptions, SkipReason};

/// Helm's way to say that an object stays.
const RESOURCE_POLICY: &str = "helm.sh/resource-policy";

/// What is to be done with a live object that is declared no more.
pub(crate) enum Verdict {
    Prune,
    Confirm,
    Skip(SkipReason),
}

/// Judges a live object of ours that is declared no more.
///
/// Whoever wants an object kept is heard, on whichever side it was said:
/// `Prune=false`, Helm's `keep`, and definitions, which take all their objects
/// with them.
///
/// If not everything could be read, `unsure`, what is not declared may be so
/// all the same.
pub(crate) fn judge(
    live: &Manifest,
    own: &ObjectOptions,
    options: &PlanOptions,
    unsure: bool,
) -> Verdict {
    let key = live.key();
    let kind = match key.group.as_str() {
        "" => key.kind.clone(),
        group => ecow::eco_format!("{}.{group}", key.kind),
    };
    let protected = options.protected.contains(&kind);
    let recorded = options
        .inventory
        .as_ref()
        .is_none_or(|inventory| inventory.records(live));
    let kept = |text: &str| text.split(',').any(|word| word.trim() == "keep");
    if !options.prune {
        Verdict::Skip(SkipReason::RequiresPruning)
    } else if unsure {
        Verdict::Skip(SkipReason::Incomplete)
    } else if options.claimed.contains(key) {
        Verdict::Skip(SkipReason::Claimed)
    } else if !recorded {
        Verdict::Skip(SkipReason::NotRecorded)
    } else if own.prune == Permission::No {
        Verdict::Skip(SkipReason::NoPrune)
    } else if live.annotation(RESOURCE_POLICY).is_some_and(kept) || inventory::is_definition(live) {
        Verdict::Skip(SkipReason::Kept)
    } else if protected {
        Verdict::Skip(SkipReason::Protected)
    } else if own.prune == Permission::Confirm && !options.prune_approved {
        Verdict::Confirm
    } else {
        Verdict::Prune
    }
}
