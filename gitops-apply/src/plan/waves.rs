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

/// Gives prunes their places: what was created last goes first, and what is to
/// be pruned last gets a wave of its own after everything else.
///
/// As a rule nothing is pruned before every wave has been applied: the prunes
/// begin with the last wave that writes. With `in_waves` they stay among the
/// writes as in Argo CD, which exchanges the distinct waves of prunes
/// symmetrically, first with last and so on.
pub(crate) fn place_prunes(tasks: &mut [Task], in_waves: bool) {
    let mut waves: Vec<i64> = tasks
        .iter()
        .filter(|task| task.is_prune())
        .map(|task| task.wave)
        .collect();
    waves.sort_unstable();
    waves.dedup();
    let last = |tasks: &[Task], prunes: bool| {
        let tasks = tasks.iter().filter(|task| task.phase == Phase::Sync);
        let tasks = tasks.filter(|task| prunes || !task.is_prune());
        tasks.map(|task| task.wave).fold(0, i64::max)
    };
    let written = last(tasks, false);
    for task in tasks.iter_mut().filter(|task| task.is_prune()) {
        let index = waves.binary_search(&task.wave).expect("collected above");
        let reversed = waves.len() - 1 - index;
        task.wave = match i64::try_from(reversed) {
            Ok(reversed) if !in_waves => written.saturating_add(reversed),
            _ => waves[reversed],
        };
    }
    let last = last(tasks, true);
    for task in tasks.iter_mut().filter(|task| task.is_prune()) {
        if task.options.prune_last {
            task.wave = last.saturating_add(1);
        }
    }
}
