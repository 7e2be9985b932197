//! JSON Patch (RFC 6902): a list of operations.
//!
//! Numbers are equal by amount. Unlike in some implementations, positions
//! below zero and with leading zeros are refused, as the RFC wants it.

use gitops_core::{List, Map, Str, Value};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::PatchError;

/// A place in a document (RFC 6901); displayed with its escapes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pointer(pub Vec<Str>);

impl Pointer {
    /// Reads `/spec/replicas`; the empty text is the whole document.
    ///
    /// # Errors
    ///
    /// [`PatchError::Malformed`] if it does not begin with a slash.
    pub fn parse(text: &str) -> Result<Pointer, PatchError> {
        if text.is_empty() {
            return Ok(Pointer::default());
        }
        let Some(rest) = text.strip_prefix('/') else {
            let problem = format!("a pointer begins with a slash: {text:?}");
            return Err(PatchError::malformed(problem));
        };
        let tokens = rest.split('/');
        Ok(Pointer(
            tokens
                .map(|token| token.replace("~1", "/").replace("~0", "~").into())
                .collect(),
        ))
    }
}

impl std::fmt::Display for Pointer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for token in &self.0 {
            write!(f, "/{}", token.replace("~", "~0").replace("/", "~1"))?;
        }
        Ok(())
    }
}

/// One step of a patch.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Sets a field, or inserts an item before that position.
    Add {
        /// Where.
        path: Pointer,
        /// What.
        value: Value,
    },
    /// Removes what is there.
    Remove {
        /// Where.
        path: Pointer,
    },
    /// Sets what is there.
    Replace {
        /// Where.
        path: Pointer,
        /// What.
        value: Value,
    },
    /// Removes what is at one place and adds it at another.
    Move {
        /// From where.
        from: Pointer,
        /// To where.
        path: Pointer,
    },
    /// Adds what is at one place at another, too.
    Copy {
        /// From where.
        from: Pointer,
        /// To where.
        path: Pointer,
    },
    /// Fails unless this is there.
    Test {
        /// Where.
        path: Pointer,
        /// What.
        value: Value,
    },
}

impl Operation {
    fn name(&self) -> &'static str {
        match self {
            Operation::Add { .. } => "add",
            Operation::Remove { .. } => "remove",
            Operation::Replace { .. } => "replace",
            Operation::Move { .. } => "move",
            Operation::Copy { .. } => "copy",
            Operation::Test { .. } => "test",
        }
    }

    /// The place that changes, or is looked at.
    pub fn path(&self) -> &Pointer {
        match self {
            Operation::Add { path, .. }
            | Operation::Remove { path }
            | Operation::Replace { path, .. }
            | Operation::Move { path, .. }
            | Operation::Copy { path, .. }
            | Operation::Test { path, .. } => path,
        }
    }
}

impl Serialize for Operation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("op", self.name())?;
        if let Operation::Move { from, .. } | Operation::Copy { from, .. } = self {
            map.serialize_entry("from", &from.to_string())?;
        }
        map.serialize_entry("path", &self.path().to_string())?;
        if let Operation::Add { value, .. }
        | Operation::Replace { value, .. }
        | Operation::Test { value, .. } = self
        {
            map.serialize_entry("value", value)?;
        }
        map.end()
    }
}

/// Operations, done one after the other.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
#[serde(transparent)]
pub struct Patch(pub Vec<Operation>);

impl Patch {
    /// Reads a patch as it is on the wire.
    ///
    /// # Errors
    ///
    /// [`PatchError::Malformed`] names what is missing or unknown.
    ///
    /// ```
    /// use gitops_core::json;
    /// use gitops_diff::patch::json::Patch;
    /// let patch = json::parse(br#"[{"op": "add", "path": "/a", "value": 1}]"#)?;
    /// let document = json::parse(b"{}")?;
    /// let patched = Patch::parse(&patch)?.apply(&document)?;
    /// assert_eq!(json::to_string(&patched), r#"{"a":1}"#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn parse(patch: &Value) -> Result<Patch, PatchError> {
        let list = patch
            .as_list()
            .ok_or_else(|| PatchError::malformed("a JSON patch is a list of operations"))?;
        list.iter()
            .map(operation)
            .collect::<Result<_, _>>()
            .map(Patch)
    }

    /// The document after all operations.
    ///
    /// # Errors
    ///
    /// [`PatchError::Path`] or [`PatchError::Test`] of the first operation that
    /// cannot be done.
    pub fn apply(&self, document: &Value) -> Result<Value, PatchError> {
        let mut document = document.clone();
        for operation in &self.0 {
            let name = operation.name();
            match operation {
                Operation::Add { path, value } => add(&mut document, path, value.clone(), name)?,
                Operation::Remove { path } => {
                    remove(&mut document, path, name)?;
                }
                Operation::Replace { path, value } => {
                    *at_mut(&mut document, path, name)? = value.clone();
                }
                Operation::Move { from, path } => {
                    if path.0.len() > from.0.len() && path.0.starts_with(&from.0) {
                        return Err(fail(name, path, "a value cannot be moved into itself"));
                    }
                    let value = remove(&mut document, from, name)?;
                    add(&mut document, path, value, name)?;
                }
                Operation::Copy { from, path } => {
                    let value = at(&document, from, name)?.clone();
                    add(&mut document, path, value, name)?;
                }
                Operation::Test { path, value } => {
                    if !at(&document, path, name)?.same(value) {
                        let path = path.to_string();
                        return Err(PatchError::Test { path });
                    }
                }
            }
        }
        Ok(document)
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn operation(step: &Value) -> Result<Operation, PatchError> {
    let step = step
        .as_map()
        .ok_or_else(|| PatchError::malformed("an operation of a JSON patch is an object"))?;
    let text = |name: &str| {
        let text = step.get(name).and_then(Value::as_str);
        text.ok_or_else(|| PatchError::malformed(format!("an operation has no text {name:?}")))
    };
    let pointer = |name: &str| Pointer::parse(text(name)?);
    let value = || {
        let value = step.get("value").cloned();
        value.ok_or_else(|| PatchError::malformed("an operation has no \"value\""))
    };
    let path = pointer("path")?;
    Ok(match text("op")? {
        "add" => Operation::Add {
            path,
            value: value()?,
        },
        "remove" => Operation::Remove { path },
        "replace" => Operation::Replace {
            path,
            value: value()?,
        },
        "move" => Operation::Move {
            from: pointer("from")?,
            path,
        },
        "copy" => Operation::Copy {
            from: pointer("from")?,
            path,
        },
        "test" => Operation::Test {
            path,
            value: value()?,
        },
        other => {
            let problem = format!("unknown operation {other:?}");
            return Err(PatchError::malformed(problem));
        }
    })
}

fn fail(op: &'static str, path: &Pointer, problem: &'static str) -> PatchError {
    PatchError::Path {
        op,
        path: path.to_string(),
        problem,
    }
}

/// A position as the RFC writes it: no sign, no leading zeros.
fn position(token: &str) -> Option<usize> {
    let plain = token.bytes().all(|byte| byte.is_ascii_digit());
    if !plain || (token.len() > 1 && token.starts_with('0')) {
        return None;
    }
    token.parse().ok()
}

fn at<'v>(document: &'v Value, path: &Pointer, op: &'static str) -> Result<&'v Value, PatchError> {
    let missing = || fail(op, path, "nothing is there");
    let step = |here: &'v Value, token: &Str| match here {
        Value::Map(map) => map.get(token),
        Value::List(list) => list.get(position(token)?),
        _ => None,
    };
    path.0.iter().try_fold(document, step).ok_or_else(missing)
}

fn at_mut<'v>(
    document: &'v mut Value,
    path: &Pointer,
    op: &'static str,
) -> Result<&'v mut Value, PatchError> {
    let missing = || fail(op, path, "nothing is there");
    let mut here = document;
    for token in &path.0 {
        here = match here {
            Value::Map(map) => map.get_mut(token),
            Value::List(list) => {
                position(token).and_then(|position| list.make_mut().get_mut(position))
            }
            _ => None,
        }
        .ok_or_else(missing)?;
    }
    Ok(here)
}

fn split(path: &Pointer) -> Option<(Pointer, &Str)> {
    let (last, above) = path.0.split_last()?;
    Some((Pointer(above.to_vec()), last))
}

fn add(
    document: &mut Value,
    path: &Pointer,
    value: Value,
    op: &'static str,
) -> Result<(), PatchError> {
    let Some((above, last)) = split(path) else {
        *document = value;
        return Ok(());
    };
    match at_mut(document, &above, op)? {
        Value::Map(map) => {
            map.insert(last.clone(), value);
        }
        Value::List(list) => {
            let position = match last.as_str() {
                "-" => Some(list.len()),
                token => position(token).filter(|position| *position <= list.len()),
            };
            let position = position.ok_or_else(|| fail(op, path, "there is no such position"))?;
            list.insert(position, value);
        }
        _ => return Err(fail(op, path, "its parent is neither a map nor a list")),
    }
    Ok(())
}

fn remove(document: &mut Value, path: &Pointer, op: &'static str) -> Result<Value, PatchError> {
    let missing = || fail(op, path, "nothing is there");
    let Some((above, last)) = split(path) else {
        return Ok(std::mem::take(document));
    };
    match at_mut(document, &above, op)? {
        Value::Map(map) => map.remove(last).ok_or_else(missing),
        Value::List(list) => {
            let position = position(last).filter(|position| *position < list.len());
            Ok(list.remove(position.ok_or_else(missing)?))
        }
        _ => Err(missing()),
    }
}

/// The operations that make `after` of `before`: field by field; lists item by
/// item where their ends agree.
pub fn diff(before: &Value, after: &Value) -> Patch {
    let mut patch = Patch::default();
    compare(before, after, &mut Pointer::default(), &mut patch.0);
    patch
}

fn compare(before: &Value, after: &Value, path: &mut Pointer, out: &mut Vec<Operation>) {
    match (before, after) {
        (Value::Map(before), Value::Map(after)) => maps(before, after, path, out),
        (Value::List(before), Value::List(after)) => lists(before, after, path, out),
        (before, after) if before == after => {}
        (_, after) => out.push(Operation::Replace {
            path: path.clone(),
            value: after.clone(),
        }),
    }
}

fn below<T>(path: &mut Pointer, token: Str, work: impl FnOnce(&mut Pointer) -> T) -> T {
    path.0.push(token);
    let result = work(path);
    path.0.pop();
    result
}

fn maps(before: &Map, after: &Map, path: &mut Pointer, out: &mut Vec<Operation>) {
    for name in before.keys().filter(|name| !after.contains_key(name)) {
        let path = below(path, name.clone(), |path| path.clone());
        out.push(Operation::Remove { path });
    }
    for (name, new) in after {
        below(path, name.clone(), |path| match before.get(name) {
            Some(old) => compare(old, new, path, out),
            None => out.push(Operation::Add {
                path: path.clone(),
                value: new.clone(),
            }),
        });
    }
}

fn lists(before: &List, after: &List, path: &mut Pointer, out: &mut Vec<Operation>) {
    let same = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    let most = before.len().min(after.len()) - same;
    let ends = before.iter().rev().zip(after.iter().rev());
    let tail = ends.take(most).take_while(|(a, b)| a == b).count();
    let (old, new) = (before.len() - tail, after.len() - tail);
    let token = |position: usize| Str::from(position.to_string());
    for position in same..old.min(new) {
        below(path, token(position), |path| {
            compare(&before[position], &after[position], path, out);
        });
    }
    // From the end, so that positions stay what they were.
    for position in (new..old).rev() {
        let path = below(path, token(position), |path| path.clone());
        out.push(Operation::Remove { path });
    }
    for position in old..new {
        let path = below(path, token(position), |path| path.clone());
        let value = after[position].clone();
        out.push(Operation::Add { path, value });
    }
}
