//! A plan for people: how much there is to do, and a row for each task.

use std::fmt;

use gitops_diff::Difference;
use serde::Serialize;

use super::Plan;
use super::task::Action;

/// How much of each there is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Objects to create.
    pub create: usize,
    /// Objects to change.
    pub update: usize,
    /// Objects to delete and create again.
    pub recreate: usize,
    /// Objects to delete.
    pub prune: usize,
    /// Hooks to run.
    pub hook: usize,
    /// Objects as they should be.
    pub unchanged: usize,
    /// Objects left alone, or waiting for approval.
    pub skip: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.create, "to create"),
            (self.update, "to update"),
            (self.recreate, "to recreate"),
            (self.prune, "to prune"),
            (self.hook, "hooks"),
            (self.unchanged, "unchanged"),
            (self.skip, "skipped"),
        ];
        let mut first = true;
        for (count, what) in counts {
            if count > 0 {
                let comma = if first { "" } else { ", " };
                write!(f, "{comma}{count} {what}")?;
                first = false;
            }
        }
        if first {
            f.write_str("nothing to do")?;
        }
        Ok(())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![["PHASE", "WAVE", "ACTION", "KIND", "NAME", ""].map(String::from)];
        for task in &self.tasks {
            let key = &task.key;
            let name = if key.namespace.is_empty() {
                key.name.to_string()
            } else {
                format!("{}/{}", key.namespace, key.name)
            };
            let note = match &task.action {
                Action::Recreate { field } => field.clone(),
                Action::Skip { reason } => reason.to_string(),
                _ => noted(task.difference.as_ref()),
            };
            rows.push([
                task.phase.to_string(),
                task.wave.to_string(),
                task.action.name().to_owned(),
                key.kind.to_string(),
                name,
                note,
            ]);
        }
        let mut widths = [0; 6];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        if !self.tasks.is_empty() {
            for row in &rows {
                let mut line = String::new();
                for (cell, width) in row.iter().zip(widths) {
                    line.push_str(&format!("{cell:width$}  "));
                }
                writeln!(f, "{}", line.trim_end())?;
            }
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        for refusal in &self.refusals {
            writeln!(f, "refused: {refusal}")?;
        }
        write!(f, "{}", self.counts())
    }
}

/// The fields that differ, as far as they fit on a line.
fn noted(difference: Option<&Difference>) -> String {
    const SHOWN: usize = 3;
    let Some(difference) = difference else {
        return String::new();
    };
    let changes = difference.changes.iter().take(SHOWN);
    let mut fields: Vec<String> = changes.map(|change| change.path.to_string()).collect();
    if difference.changes.len() > SHOWN {
        fields.push(format!("and {} more", difference.changes.len() - SHOWN));
    }
    fields.join(" ")
}
