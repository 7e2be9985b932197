//! Label selectors, as `kubectl -l` has them.

use std::str::FromStr;

use gitops_core::{Manifest, Str};

/// All of these must hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Selector(Vec<Requirement>);

#[derive(Clone, Debug)]
enum Requirement {
    In(Str, Vec<Str>),
    NotIn(Str, Vec<Str>),
    Exists(Str),
    Absent(Str),
}

impl Selector {
    pub(super) fn matches(&self, object: &Manifest) -> bool {
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(name, values) => object
                .label(name)
                .is_some_and(|value| values.iter().any(|have| have == value)),
            Requirement::NotIn(name, values) => object
                .label(name)
                .is_none_or(|value| !values.iter().any(|have| have == value)),
            Requirement::Exists(name) => object.label(name).is_some(),
            Requirement::Absent(name) => object.label(name).is_none(),
        })
    }
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut requirements = Vec::new();
        for part in split(text) {
            let part = part.trim();
            if !part.is_empty() {
                requirements.push(requirement(part)?);
            }
        }
        Ok(Selector(requirements))
    }
}

/// The parts between commas that are in no parentheses.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
}

fn requirement(part: &str) -> Result<Requirement, String> {
    let name = |text: &str| -> Result<Str, String> {
        let name = text.trim();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        match !name.is_empty() && name.chars().all(plain) {
            true => Ok(name.into()),
            false => Err(format!("{name:?} is no label")),
        }
    };
    if let Some(absent) = part.strip_prefix('!') {
        return Ok(Requirement::Absent(name(absent)?));
    }
    if let Some((words, values)) = part.split_once('(') {
        let values = values
            .strip_suffix(')')
            .ok_or_else(|| format!("no closing parenthesis in {part:?}"))?;
        let values = values.split(',').map(|value| value.trim().into()).collect();
        let mut words = words.split_whitespace();
        return match (words.next(), words.next(), words.next()) {
            (Some(label), Some("in"), None) => Ok(Requirement::In(name(label)?, values)),
            (Some(label), Some("notin"), None) => Ok(Requirement::NotIn(name(label)?, values)),
            _ => Err(format!("expected in or notin in {part:?}")),
        };
    }
    for (operator, equal) in [("!=", false), ("==", true), ("=", true)] {
        if let Some((label, value)) = part.split_once(operator) {
            let (label, values) = (name(label)?, vec![Str::from(value.trim())]);
            return Ok(match equal {
                true => Requirement::In(label, values),
                false => Requirement::NotIn(label, values),
            });
        }
    }
    Ok(Requirement::Exists(name(part)?))
}
