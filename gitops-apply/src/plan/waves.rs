//! Which wave an object belongs to.

use gitops_core::Manifest;

use super::{Phase, Task};

/// The annotation that puts an object into a wave.
pub const SYNC_WAVE: &str = "argocd.argoproj.io/sync-wave";
const HELM_WEIGHT: &str = "helm.sh/hook-weight";

/// The object's wave; 0 if it has none, or none that is a number.
pub fn wave(object: &Manifest) -> i64 {
    [SYNC_WAVE, HELM_WEIGHT]
        .into_iter()
        .find_map(|name| object.annotation(name)?.parse().ok())
        .unwrap_or(0)
}

/// Turns the waves of what is pruned around: what was created last goes first.
///
/// The distinct waves among prunes are exchanged symmetrically, first with
/// last and so on; everything else keeps its wave. What is to be pruned last
/// gets a wave of its own after all of them.
pub(crate) fn reverse_prunes(tasks: &mut [Task], prune_last: bool) {
    let mut waves: Vec<i64> = tasks
        .iter()
        .filter(|task| task.is_prune())
        .map(|task| task.wave)
        .collect();
    waves.sort_unstable();
    waves.dedup();
    for task in tasks.iter_mut().filter(|task| task.is_prune()) {
        let index = waves.binary_search(&task.wave).expect("collected above");
        task.wave = waves[waves.len() - 1 - index];
    }
    let last = tasks
        .iter()
        .filter(|task| task.phase == Phase::Sync)
        .map(|task| task.wave)
        .fold(0, i64::max);
    for task in tasks.iter_mut().filter(|task| task.is_prune()) {
        if prune_last || task.options.prune_last {
            task.wave = last.saturating_add(1);
        }
    }
}
