//! Values into typed fields, as Go's `encoding/json` decodes structs: keys
//! match whatever their case, null is nothing, and what does not fit is
//! reported with Go's words.

use std::fmt::Write as _;

use gitops_core::{Map, Str, Value};

use super::error::{Error, ErrorKind, Result};

/// Where in a document a value stands.
#[derive(Debug)]
pub(super) struct Context<'a> {
    root: &'a str,
    parent: Option<&'a Context<'a>>,
    name: &'a str,
    /// Whether fields that nobody knows are overlooked.
    lenient: bool,
}

impl<'a> Context<'a> {
    /// The top of a document that Go decodes into a struct of this name.
    pub(super) fn root(name: &'a str) -> Self {
        Context {
            root: name,
            parent: None,
            name: "",
            lenient: false,
        }
    }

    /// The same for a document that may have fields which nobody knows.
    pub(super) fn lenient(name: &'a str) -> Self {
        Context {
            lenient: true,
            ..Context::root(name)
        }
    }

    fn field<'b>(&'b self, name: &'b str) -> Context<'b>
    where
        'a: 'b,
    {
        Context {
            root: self.root,
            parent: Some(self),
            name,
            lenient: self.lenient,
        }
    }

    fn path(&self) -> String {
        let mut path = match self.parent {
            Some(parent) => parent.path(),
            None => return String::new(),
        };
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(self.name);
        path
    }

    /// The error of a value that is not of the type that Go names so.
    pub(super) fn mismatch(&self, value: &Value, wanted: &str) -> Error {
        let found = match value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Int(_) | Value::UInt(_) | Value::Float(_) => "number",
            Value::String(_) => "string",
            Value::List(_) => "array",
            Value::Map(_) => "object",
        };
        let mut message = format!("json: cannot unmarshal {found} into Go ");
        let path = self.path();
        if path.is_empty() {
            let _ = write!(message, "value of type {wanted}");
        } else {
            let _ = write!(
                message,
                "struct field {}.{path} of type {wanted}",
                self.root
            );
        }
        Error::new(ErrorKind::Kustomization, message)
    }
}

/// The fields of an object, taken one by one.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    map: &'a Map,
    context: &'a Context<'a>,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// The fields of `value`; `None` for null.
    pub(super) fn of(value: &'a Value, context: &'a Context<'a>) -> Result<Option<Self>> {
        match value {
            Value::Null => Ok(None),
            Value::Map(map) => Ok(Some(Fields {
                map,
                context,
                known: Vec::new(),
            })),
            other => Err(context.mismatch(other, context.root)),
        }
    }

    /// The value of a field that is there and is not null.
    pub(super) fn take(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.push(name);
        let value = match self.map.get(name) {
            Some(value) => Some(value),
            // The last key of any case counts.
            None => self
                .map
                .iter()
                .filter(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value)
                .next_back(),
        };
        value.filter(|value| !value.is_null())
    }

    pub(super) fn text(&mut self, name: &'static str) -> Result<Str> {
        Ok(self.optional_text(name)?.unwrap_or_default())
    }

    pub(super) fn optional_text(&mut self, name: &'static str) -> Result<Option<Str>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(self.context.field(name).mismatch(other, "string")),
        }
    }

    pub(super) fn flag(&mut self, name: &'static str) -> Result<bool> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(self.context.field(name).mismatch(other, "bool")),
        }
    }

    pub(super) fn integer(&mut self, name: &'static str, wanted: &str) -> Result<i64> {
        match self.take(name) {
            None => Ok(0),
            Some(Value::Int(number)) => Ok(*number),
            Some(other) => Err(self.context.field(name).mismatch(other, wanted)),
        }
    }

    pub(super) fn texts(&mut self, name: &'static str) -> Result<Option<Vec<Str>>> {
        self.texts_of(name, "[]string", "string")
    }

    pub(super) fn texts_of(
        &mut self,
        name: &'static str,
        list: &str,
        item: &str,
    ) -> Result<Option<Vec<Str>>> {
        self.list(name, list, |value, context| match value {
            Value::Null => Ok(Str::new()),
            Value::String(text) => Ok(text.clone()),
            other => Err(context.mismatch(other, item)),
        })
    }

    pub(super) fn text_map(&mut self, name: &'static str) -> Result<Option<Vec<(Str, Str)>>> {
        let context = self.context.field(name);
        match self.take(name) {
            None => Ok(None),
            Some(Value::Map(map)) => map
                .iter()
                .map(|(key, value)| match value {
                    Value::Null => Ok((key.clone(), Str::new())),
                    Value::String(text) => Ok((key.clone(), text.clone())),
                    other => Err(context.mismatch(other, "string")),
                })
                .collect::<Result<_>>()
                .map(Some),
            Some(other) => Err(context.mismatch(other, "map[string]string")),
        }
    }

    /// The items of a list, each read by `item`; `wanted` is Go's name of the
    /// list's type.
    pub(super) fn list<T>(
        &mut self,
        name: &'static str,
        wanted: &str,
        item: impl Fn(&Value, &Context<'_>) -> Result<T>,
    ) -> Result<Option<Vec<T>>> {
        let context = self.context.field(name);
        match self.take(name) {
            None => Ok(None),
            Some(Value::List(items)) => items
                .iter()
                .map(|value| item(value, &context))
                .collect::<Result<_>>()
                .map(Some),
            Some(other) => Err(context.mismatch(other, wanted)),
        }
    }

    /// An object, read by `read`.
    pub(super) fn object<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(&Value, &Context<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let context = self.context.field(name);
        match self.take(name) {
            None => Ok(None),
            Some(value) => read(value, &context).map(Some),
        }
    }

    /// Refuses fields that nobody took.
    pub(super) fn finish(self) -> Result<()> {
        if self.context.lenient {
            return Ok(());
        }
        for key in self.map.keys() {
            if !self
                .known
                .iter()
                .any(|known| known.eq_ignore_ascii_case(key))
            {
                let message = format!("json: unknown field {key:?}");
                return Err(Error::new(ErrorKind::Kustomization, message));
            }
        }
        Ok(())
    }
}
