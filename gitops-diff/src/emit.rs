//! A difference for machines and for people.

use gitops_core::{Map, Value, yaml};
use similar::udiff::UnifiedHunkHeader;
use similar::{ChangeTag, group_diff_ops};

use crate::lines;
use crate::patch::{self, json::Patch};
use crate::three_way::{Difference, Outcome};

impl Difference {
    /// The change as an RFC 6902 patch of what the cluster holds; empty if
    /// there is none. Secret values are masked in it, so it shows and does not
    /// apply.
    pub fn json_patch(&self) -> Patch {
        if self.outcome == Outcome::Same {
            return Patch::default();
        }
        let value = |side: Option<&Map>| side.cloned().map_or(Value::Null, Value::Map);
        patch::json::diff(&value(self.before()), &value(self.after()))
    }

    /// The change as a unified diff of two YAML documents; empty if there is
    /// none. With `color` the lines carry terminal colours.
    ///
    /// # Errors
    ///
    /// If an object holds what YAML cannot write, which no server stores.
    pub fn unified(&self, color: bool) -> Result<String, yaml::WriteError> {
        if self.outcome == Outcome::Same {
            return Ok(String::new());
        }
        let text = |side: Option<&Map>| match side {
            Some(map) => yaml::to_string(&Value::Map(map.clone())),
            None => Ok(String::new()),
        };
        let (before, after) = (text(self.before())?, text(self.after())?);
        let paint = |line: String, code: &str| {
            if color {
                format!("\x1b[{code}m{line}\x1b[0m\n")
            } else {
                format!("{line}\n")
            }
        };
        let mut out = String::new();
        out.push_str(&paint(format!("--- live {}", self.key), "1"));
        out.push_str(&paint(format!("+++ desired {}", self.key), "1"));
        let (before, after): (Vec<&str>, Vec<&str>) =
            (before.lines().collect(), after.lines().collect());
        for hunk in group_diff_ops(lines::steps(&before, &after), 3) {
            out.push_str(&paint(UnifiedHunkHeader::new(&hunk).to_string(), "36"));
            let changes = hunk
                .iter()
                .flat_map(|step| step.iter_changes(before.as_slice(), after.as_slice()));
            for change in changes {
                let line = change.value();
                match change.tag() {
                    ChangeTag::Equal => {
                        out.push(' ');
                        out.push_str(line);
                        out.push('\n');
                    }
                    ChangeTag::Delete => out.push_str(&paint(format!("-{line}"), "31")),
                    ChangeTag::Insert => out.push_str(&paint(format!("+{line}"), "32")),
                }
            }
        }
        Ok(out)
    }
}
