//! What kube-apiserver and kubectl do with changes: structured merge, the
//! patches, and the schema that they read.
//!
//! | file                    | what a case is                                   |
//! |-------------------------|--------------------------------------------------|
//! | `smd/`, `golden/`       | see [`smd`]                                      |
//! | `smd/fieldmanager/csaupgrade_test.json` | see [`migrations`]               |
//! | `smp/`                  | see [`patches`]                                  |
//! | `schema/static-*.json`  | the built-in types, compared with the compiled ones |

use std::collections::BTreeMap;
use std::path::Path;

use gitops_core::{Value, json};

use super::{LoadError, Set};
use crate::case::{Case, Failure};

mod migrations;
mod patches;
mod schemas;
mod smd;

/// What a case fails with before it is a [`Failure`].
type Problem = Box<dyn std::error::Error>;

/// The cases below `dir`, the root of the set.
pub(super) fn load(dir: &Path) -> Result<Set, LoadError> {
    let mut cases = smd::load(dir)?;
    cases.extend(migrations::load(dir)?);
    cases.extend(patches::load(dir)?);
    cases.extend(schemas::load(dir)?);
    let left_out = BTreeMap::from([
        ("a helper of the original's own tests", patches::HELPERS),
        ("about types of Go alone", patches::GO_TYPES),
        ("types that servers publish otherwise", schemas::OTHERS),
        ("disabled by the suite itself", patches::DISABLED),
        ("fields in other versions are kept", migrations::VERSIONS),
        ("about a subresource", migrations::SUBRESOURCES),
    ]);
    Ok(Set { cases, left_out })
}

fn case(name: String, run: impl Fn() -> Result<(), Problem> + Send + Sync + 'static) -> Case {
    Case {
        name,
        run: Box::new(move || {
            run().map_err(|problem| match problem.downcast::<Differs>() {
                Ok(differs) => Failure {
                    what: differs.what,
                    expected: differs.expected,
                    actual: differs.actual,
                    line: 0,
                },
                Err(problem) => Failure {
                    what: "error",
                    expected: String::new(),
                    actual: problem.to_string(),
                    line: 0,
                },
            })
        }),
    }
}

#[derive(Debug)]
struct Differs {
    what: &'static str,
    expected: String,
    actual: String,
}

impl std::fmt::Display for Differs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} is not {}", self.what, self.actual, self.expected)
    }
}

impl std::error::Error for Differs {}

fn check(what: &'static str, same: bool, expected: String, actual: String) -> Result<(), Problem> {
    match same {
        true => Ok(()),
        false => Err(Box::new(Differs {
            what,
            expected,
            actual,
        })),
    }
}

fn same_value(what: &'static str, expected: &Value, actual: &Value) -> Result<(), Problem> {
    let (left, right) = (json::to_string(expected), json::to_string(actual));
    check(what, expected.same(actual), left, right)
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_list().unwrap_or_default()
}

fn field<'v>(value: &'v Value, name: &str) -> Result<&'v Value, Problem> {
    let found = value.get(name);
    found.ok_or_else(|| format!("the case has no {name}").into())
}
