//! JSON Patch in the dialect of evanphx/json-patch v4, which Kustomize uses.
//!
//! It differs from RFC 6902: `replace` adds a key that is missing, indices
//! count from the end if they are negative, a `test` of something absent for
//! null holds, and a path cannot go through null.

use gitops_core::{Str, Value, json, yaml};

use super::Limits;
use super::decode::json_kind;
use super::error::quoted;

/// A decoded patch.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct JsonPatch {
    operations: Vec<Operation>,
    /// How many nodes it may copy: a few dozen copies of what was copied would
    /// be more than any memory holds.
    copies: usize,
}

/// One operation; what is missing is noticed when it is applied.
#[derive(Clone, Debug, PartialEq)]
struct Operation {
    kind: Str,
    path: Result<Str, String>,
    from: Result<Str, String>,
    value: Option<Value>,
}

impl JsonPatch {
    /// Reads a patch that is JSON if it starts with a bracket, YAML if not.
    pub(super) fn parse(text: &[u8], limits: &Limits) -> Result<Self, String> {
        let value = match text.first() {
            Some(b'[') => json::parse(text).map_err(|error| error.to_string())?,
            _ => yaml::parse(text).map_err(|error| error.to_string())?,
        };
        let operations = match value {
            Value::Null => return Ok(JsonPatch::default()),
            Value::List(operations) => operations,
            other => {
                return Err(format!(
                    "json: cannot unmarshal {} into Go value of type jsonpatch.Patch",
                    json_kind(&other)
                ));
            }
        };
        operations
            .iter()
            .map(Operation::decode)
            .collect::<Result<_, _>>()
            .map(|operations| JsonPatch {
                operations,
                copies: limits.documents.nodes,
            })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Applies the operations in order.
    pub(super) fn apply(&self, document: &mut Value) -> Result<(), String> {
        let mut room = self.copies;
        for operation in &self.operations {
            operation.apply(document, &mut room).map_err(|problem| {
                problem.unwrap_or_else(|| {
                    format!("copy operations copy more than {} nodes", self.copies)
                })
            })?;
        }
        Ok(())
    }
}

impl Operation {
    fn decode(value: &Value) -> Result<Self, String> {
        let map = match value {
            Value::Null => &gitops_core::Map::new(),
            Value::Map(map) => map,
            other => {
                return Err(format!(
                    "json: cannot unmarshal {} into Go value of type jsonpatch.Operation",
                    json_kind(other)
                ));
            }
        };
        let text = |name: &str, missing: &str| match map.get(name) {
            Some(Value::String(text)) => Ok(text.clone()),
            None | Some(Value::Null) => Err(missing.to_owned()),
            Some(other) => Err(format!(
                "json: cannot unmarshal {} into Go value of type string",
                json_kind(other)
            )),
        };
        Ok(Operation {
            kind: text("op", "").unwrap_or_else(|_| "unknown".into()),
            path: text("path", "operation missing path field: missing value"),
            from: text("from", "operation, missing from field: missing value"),
            value: map.get("value").cloned(),
        })
    }

    /// Applies the operation; `room` is left for copies. Without a message,
    /// there was too little of it.
    fn apply(&self, document: &mut Value, room: &mut usize) -> Result<(), Option<String>> {
        let done = match self.kind.as_str() {
            "add" => self.add(document),
            "remove" => self.remove(document),
            "replace" => self.replace(document),
            "move" => self.move_value(document),
            "copy" => return self.copy(document, room),
            "test" => self.test(document),
            kind => Err(format!("Unexpected kind: {kind}")),
        };
        done.map_err(Some)
    }

    fn value(&self) -> Value {
        self.value.clone().unwrap_or_default()
    }

    fn add(&self, document: &mut Value) -> Result<(), String> {
        let path = self
            .path
            .as_ref()
            .map_err(|_| "add operation failed to decode path: missing value".to_owned())?;
        let (container, key) = container(document, path).ok_or_else(|| {
            format!("add operation does not apply: doc is missing path: \"{path}\": missing value")
        })?;
        add(container, &key, self.value())
            .map_err(|problem| format!("error in add for path: '{path}': {problem}"))
    }

    fn remove(&self, document: &mut Value) -> Result<(), String> {
        let path = self
            .path
            .as_ref()
            .map_err(|_| "remove operation failed to decode path: missing value".to_owned())?;
        let (container, key) = container(document, path).ok_or_else(|| {
            format!(
                "remove operation does not apply: doc is missing path: \"{path}\": missing value"
            )
        })?;
        remove(container, &key)
            .map_err(|problem| format!("error in remove for path: '{path}': {problem}"))
    }

    fn replace(&self, document: &mut Value) -> Result<(), String> {
        let path = self
            .path
            .as_ref()
            .map_err(|problem| format!("replace operation failed to decode path: {problem}"))?;
        if path.is_empty() {
            let value = self.value();
            if !matches!(value, Value::List(_) | Value::Map(_)) {
                return Err(
                    "replace operation value must be object or array: %!w(<nil>)".to_owned(),
                );
            }
            *document = value;
            return Ok(());
        }
        let (container, key) = container(document, path).ok_or_else(|| {
            format!("replace operation does not apply: doc is missing path: {path}: missing value")
        })?;
        if get(container, &key).is_err() {
            return Err(format!(
                "replace operation does not apply: doc is missing key: {path}: missing value"
            ));
        }
        match container {
            Value::Map(map) => {
                map.insert(key, self.value());
            }
            Value::List(list) => {
                let at = index(&key, list.len())?;
                list.make_mut()[at] = self.value();
            }
            _ => {}
        }
        Ok(())
    }

    fn move_value(&self, document: &mut Value) -> Result<(), String> {
        let from = self
            .from
            .as_ref()
            .map_err(|problem| format!("move operation failed to decode from: {problem}"))?;
        let (source, key) = container(document, from).ok_or_else(|| {
            format!(
                "move operation does not apply: doc is missing from path: {from}: missing value"
            )
        })?;
        let in_move = |problem| format!("error in move for path: '{key}': {problem}");
        let value = get(source, &key).map_err(in_move)?.unwrap_or_default();
        remove(source, &key).map_err(in_move)?;
        let path = self
            .path
            .as_ref()
            .map_err(|problem| format!("move operation failed to decode path: {problem}"))?;
        let (target, key) = container(document, path).ok_or_else(|| {
            format!(
                "move operation does not apply: doc is missing destination path: {path}: \
                 missing value"
            )
        })?;
        add(target, &key, value)
            .map_err(|problem| format!("error in move for path: '{path}': {problem}"))
    }

    fn copy(&self, document: &mut Value, room: &mut usize) -> Result<(), Option<String>> {
        let from = self
            .from
            .as_ref()
            .map_err(|problem| format!("copy operation failed to decode from: {problem}"))?;
        let (source, key) = container(document, from).ok_or_else(|| {
            format!(
                "copy operation does not apply: doc is missing from path: {from}: missing value"
            )
        })?;
        let value = get(source, &key)
            .map_err(|problem| format!("error in copy for from: '{from}': {problem}"))?
            .unwrap_or_default();
        if !take_room(&value, room) {
            return Err(None);
        }
        let path = self
            .path
            .as_ref()
            .map_err(|_| "copy operation failed to decode path: missing value".to_owned())?;
        let (target, key) = container(document, path).ok_or_else(|| {
            format!(
                "copy operation does not apply: doc is missing destination path: {path}: \
                 missing value"
            )
        })?;
        add(target, &key, value)
            .map_err(|problem| Some(format!("error while adding value during copy: {problem}")))
    }

    fn test(&self, document: &mut Value) -> Result<(), String> {
        let path = self
            .path
            .as_ref()
            .map_err(|problem| format!("test operation failed to decode path: {problem}"))?;
        let failed = || format!("testing value {path} failed: test failed");
        if path.is_empty() {
            return match &self.value {
                Some(value) if document.same(value) => Ok(()),
                _ => Err(failed()),
            };
        }
        let (container, key) = container(document, path).ok_or_else(|| {
            format!("test operation does not apply: is missing path: {path}: missing value")
        })?;
        let found = get(container, &key)
            .map_err(|problem| format!("error in test for path: '{path}': {problem}"))?
            .unwrap_or_default();
        match &self.value {
            None if found.is_null() => Ok(()),
            None => Err(failed()),
            Some(value) if found.same(value) => Ok(()),
            Some(_) => Err(failed()),
        }
    }
}

/// Takes the nodes of a value off what is left; whether there was enough.
fn take_room(value: &Value, room: &mut usize) -> bool {
    let Some(left) = room.checked_sub(1) else {
        return false;
    };
    *room = left;
    match value {
        Value::List(list) => list.iter().all(|item| take_room(item, room)),
        Value::Map(map) => map.iter().all(|(_, item)| take_room(item, room)),
        _ => true,
    }
}

/// The object or array that holds what `path` names, and the key within it.
fn container<'a>(document: &'a mut Value, path: &str) -> Option<(&'a mut Value, Str)> {
    let mut parts = path.split('/').skip(1).peekable();
    parts.peek()?;
    let mut here = document;
    loop {
        let part = unescape(parts.next()?);
        if parts.peek().is_none() {
            return matches!(here, Value::Map(_) | Value::List(_)).then_some((here, part));
        }
        here = match here {
            Value::Map(map) => map.get_mut(&part)?,
            Value::List(list) => {
                let at = index(&part, list.len()).ok()?;
                list.make_mut().get_mut(at)?
            }
            _ => return None,
        };
    }
}

fn unescape(part: &str) -> Str {
    match part.contains('~') {
        // In this order, as Go's replacer goes through the text once.
        true => {
            let mut out = String::with_capacity(part.len());
            let mut rest = part;
            while let Some(at) = rest.find('~') {
                out.push_str(&rest[..at]);
                rest = &rest[at..];
                if let Some(after) = rest.strip_prefix("~1") {
                    out.push('/');
                    rest = after;
                } else if let Some(after) = rest.strip_prefix("~0") {
                    out.push('~');
                    rest = after;
                } else {
                    out.push('~');
                    rest = &rest[1..];
                }
            }
            out.push_str(rest);
            out.into()
        }
        false => part.into(),
    }
}

fn atoi(key: &str) -> Result<i64, String> {
    let digits = key.strip_prefix(['+', '-']).unwrap_or(key);
    let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match key.parse() {
        Ok(number) if valid => Ok(number),
        _ if valid => Err(format!(
            "strconv.Atoi: parsing {}: value out of range",
            quoted(key)
        )),
        _ => Err(format!(
            "strconv.Atoi: parsing {}: invalid syntax",
            quoted(key)
        )),
    }
}

fn invalid_index(index: i64) -> String {
    format!("Unable to access invalid index: {index}: invalid index referenced")
}

/// The place that a key names in an array of `len` items.
fn index(key: &str, len: usize) -> Result<usize, String> {
    let number = atoi(key)?;
    let len = len as i64;
    let at = if number < 0 { number + len } else { number };
    if at < 0 || at >= len {
        return Err(invalid_index(number));
    }
    Ok(at as usize)
}

fn get(container: &Value, key: &str) -> Result<Option<Value>, String> {
    match container {
        Value::Map(map) => Ok(map.get(key).cloned()),
        Value::List(list) => Ok(list.get(index(key, list.len())?).cloned()),
        _ => Ok(None),
    }
}

fn add(container: &mut Value, key: &str, value: Value) -> Result<(), String> {
    match container {
        Value::Map(map) => {
            map.insert(key, value);
        }
        Value::List(list) => {
            if key == "-" {
                list.push(value);
                return Ok(());
            }
            let number = atoi(key).map_err(|problem| {
                format!("value was not a proper array index: '{key}': {problem}")
            })?;
            let len = list.len() as i64 + 1;
            let at = if number < 0 { number + len } else { number };
            if at < 0 || at >= len {
                return Err(invalid_index(number));
            }
            list.insert(at as usize, value);
        }
        _ => {}
    }
    Ok(())
}

fn remove(container: &mut Value, key: &str) -> Result<(), String> {
    match container {
        Value::Map(map) => match map.remove(key) {
            Some(_) => Ok(()),
            None => Err(format!(
                "Unable to remove nonexistent key: {key}: missing value"
            )),
        },
        Value::List(list) => {
            let at = index(key, list.len())?;
            list.remove(at);
            Ok(())
        }
        _ => Ok(()),
    }
}
