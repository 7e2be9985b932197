//! A difference in one line.

use std::fmt;

use gitops_core::{Str, Value, json};
use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::three_way::{Cause, Change, Difference, Outcome};

/// One line: what would be done and, for a change, the first fields.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.key)?;
        match self.outcome {
            Outcome::Same => f.write_str("unchanged"),
            Outcome::Create => f.write_str("to be created"),
            Outcome::Extra => f.write_str("not declared"),
            Outcome::Update => {
                let count = self.changes.len();
                let fields = if count == 1 { "field" } else { "fields" };
                write!(f, "{count} {fields}: ")?;
                const SHOWN: usize = 3;
                for (index, change) in self.changes.iter().take(SHOWN).enumerate() {
                    let comma = if index > 0 { ", " } else { "" };
                    write!(f, "{comma}{change}")?;
                }
                if count > SHOWN {
                    write!(f, " and {} more", count - SHOWN)?;
                }
                Ok(())
            }
        }
    }
}

/// `.spec.replicas 5 → 2 (drifted, by kubectl-scale)`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.path)?;
        match (&self.before, &self.after) {
            (None, Some(after)) => write!(f, "+ {}", short(after))?,
            (Some(before), None) => write!(f, "- {}", short(before))?,
            (Some(before), Some(after)) => write!(f, "{} → {}", short(before), short(after))?,
            (None, None) => {}
        }
        match &self.cause {
            Cause::Declared => Ok(()),
            cause => write!(f, " ({cause})"),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Declared => f.write_str("declared"),
            Cause::Drifted { by: Some(by) } => write!(f, "drifted, by {by}"),
            Cause::Drifted { by: None } => f.write_str("drifted"),
            Cause::Immutable => f.write_str("cannot be changed, the object has to be replaced"),
            Cause::Converted { by, version } => write!(f, "owned by {by} in {version}"),
            Cause::Default => f.write_str("the server's default"),
            Cause::Quantity => f.write_str("the same quantity"),
            Cause::Ignored => f.write_str("ignored"),
        }
    }
}

fn short(value: &Value) -> String {
    const LONGEST: usize = 48;
    let text = json::to_string_raw(value);
    match text.char_indices().nth(LONGEST) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

impl Serialize for Change {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Change", 4)?;
        fields.serialize_field("path", &self.path.to_string())?;
        fields.serialize_field("before", &self.before)?;
        fields.serialize_field("after", &self.after)?;
        let cause = self.cause.to_string();
        fields.serialize_field("cause", &cause)?;
        fields.end()
    }
}

impl Serialize for Difference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Difference", 4)?;
        fields.serialize_field("object", &self.key)?;
        fields.serialize_field("outcome", &self.outcome)?;
        fields.serialize_field("changes", &self.changes)?;
        let shared: Vec<(&Str, String)> = self
            .shared
            .iter()
            .map(|(manager, path)| (manager, path.to_string()))
            .collect();
        fields.serialize_field("shared", &shared)?;
        fields.end()
    }
}
