//! Which lines of two texts differ.
//!
//! Myers' algorithm takes as long as the texts are long, times how much they
//! differ. Where that may be too long, lines that stand in either text once are
//! matched first (what is called a patience diff); what is between two of them is
//! compared by itself or, if it is still too long, replaced as a whole.

use std::collections::HashMap;

use similar::{Algorithm, DiffOp, capture_diff_slices};

/// How many pairs of lines are compared in one place: some hundredths of a
/// second.
const MOST_PAIRS: usize = 1 << 22;

/// The steps from `old` to `new`, in order.
pub(crate) fn steps(old: &[&str], new: &[&str]) -> Vec<DiffOp> {
    let mut steps = Steps::default();
    steps.compare(old, new, true);
    steps.0
}

#[derive(Default)]
struct Steps(Vec<DiffOp>);

impl Steps {
    /// How many lines of each text have been gone through.
    fn at(&self) -> (usize, usize) {
        self.0
            .last()
            .map_or((0, 0), |last| (last.old_range().end, last.new_range().end))
    }

    fn equal(&mut self, lines: usize) {
        if lines == 0 {
            return;
        }
        if let Some(DiffOp::Equal { len, .. }) = self.0.last_mut() {
            *len += lines;
            return;
        }
        let (old_index, new_index) = self.at();
        self.0.push(DiffOp::Equal {
            old_index,
            new_index,
            len: lines,
        });
    }

    fn replace(&mut self, old_len: usize, new_len: usize) {
        let (old_index, new_index) = self.at();
        self.0.push(match (old_len, new_len) {
            (0, 0) => return,
            (0, _) => DiffOp::Insert {
                old_index,
                new_index,
                new_len,
            },
            (_, 0) => DiffOp::Delete {
                old_index,
                old_len,
                new_index,
            },
            _ => DiffOp::Replace {
                old_index,
                old_len,
                new_index,
                new_len,
            },
        });
    }

    /// Compares what comes next in the two texts.
    fn compare(&mut self, old: &[&str], new: &[&str], whole: bool) {
        let same = old.iter().zip(new).take_while(|(a, b)| a == b).count();
        let (old, new) = (&old[same..], &new[same..]);
        self.equal(same);
        let ends = old.iter().rev().zip(new.iter().rev());
        let tail = ends.take_while(|(a, b)| a == b).count();
        let (old, new) = (&old[..old.len() - tail], &new[..new.len() - tail]);
        if old.len().saturating_mul(new.len()) <= MOST_PAIRS {
            for step in capture_diff_slices(Algorithm::Myers, old, new) {
                match step {
                    DiffOp::Equal { len, .. } => self.equal(len),
                    step => self.replace(step.old_range().len(), step.new_range().len()),
                }
            }
        } else if whole {
            let (mut old_from, mut new_from) = (0, 0);
            for (old_at, new_at) in matched(old, new) {
                self.compare(&old[old_from..old_at], &new[new_from..new_at], false);
                self.equal(1);
                (old_from, new_from) = (old_at + 1, new_at + 1);
            }
            self.compare(&old[old_from..], &new[new_from..], false);
        } else {
            self.replace(old.len(), new.len());
        }
        self.equal(tail);
    }
}

/// Lines that stand once in either text, as many as can be matched in order.
fn matched(old: &[&str], new: &[&str]) -> Vec<(usize, usize)> {
    let (old_once, new_once) = (once(old), once(new));
    let pairs: Vec<(usize, usize)> = new
        .iter()
        .enumerate()
        .filter_map(|(at, line)| {
            new_once.get(line).copied().flatten()?;
            Some((old_once.get(line).copied().flatten()?, at))
        })
        .collect();
    // The longest run that rises: of the runs of each length so far, the one
    // that ends lowest, and what comes before each pair in its run.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(pairs.len());
    for (at, (old_at, _)) in pairs.iter().enumerate() {
        let place = ends.partition_point(|&end| pairs[end].0 < *old_at);
        before.push(place.checked_sub(1).map(|place| ends[place]));
        match ends.get_mut(place) {
            Some(end) => *end = at,
            None => ends.push(at),
        }
    }
    let last = ends.last().copied();
    let mut run: Vec<(usize, usize)> = std::iter::successors(last, |&at| before[at])
        .map(|at| pairs[at])
        .collect();
    run.reverse();
    run
}

/// Where each line is; nowhere if it stands there more than once.
fn once<'t>(lines: &[&'t str]) -> HashMap<&'t str, Option<usize>> {
    let mut found = HashMap::with_capacity(lines.len());
    for (at, line) in lines.iter().enumerate() {
        found
            .entry(*line)
            .and_modify(|place| *place = None)
            .or_insert(Some(at));
    }
    found
}
