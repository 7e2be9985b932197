//! A difference for machines and for people.

use gitops_core::{Map, Value, yaml};
use similar::{ChangeTag, TextDiff};

use crate::three_way::{Difference, Outcome};

impl Difference {
    /// The change as an RFC 6902 patch of what the cluster holds; empty if
    /// there is none. Secret values are masked in it, so it shows and does not
    /// apply.
    pub fn json_patch(&self) -> json_patch::Patch {
        if self.outcome == Outcome::Same {
            return json_patch::Patch::default();
        }
        let json = |side: Option<&Map>| match side {
            Some(map) => serde_json::to_value(Value::Map(map.clone())).unwrap_or_default(),
            None => serde_json::Value::Null,
        };
        json_patch::diff(&json(self.before()), &json(self.after()))
    }

    /// The change as a unified diff of two YAML documents; empty if there is
    /// none. With `color` the lines carry terminal colours.
    pub fn unified(&self, color: bool) -> String {
        if self.outcome == Outcome::Same {
            return String::new();
        }
        let text = |side: Option<&Map>| match side {
            Some(map) => yaml::to_string(&Value::Map(map.clone())).unwrap_or_default(),
            None => String::new(),
        };
        let (before, after) = (text(self.before()), text(self.after()));
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
        let diff = TextDiff::from_lines(&before, &after);
        for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
            out.push_str(&paint(hunk.header().to_string(), "36"));
            for change in hunk.iter_changes() {
                let line = change.value().trim_end_matches('\n');
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
        out
    }
}
