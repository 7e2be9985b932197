//! Values into typed fields, as Go's `encoding/json` decodes structs: keys
//! match whatever their case, null is nothing, and what does not fit is
//! reported with Go's words.

use std::fmt::Write as _;

use gitops_core::{Map, Str, Value};

use super::error::{Error, ErrorKind, Result, quoted};

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

    /// Whether a scalar becomes text here, if the document's reader does that
    /// at all: it loses sight of the types within embedded structs.
    fn makes_text(&self) -> bool {
        match self.parent {
            None => self.lenient,
            Some(parent) => {
                parent.makes_text() && embedding(parent.structure(), self.name).is_empty()
            }
        }
    }

    /// The path as Go shows it, with the names of embedded structs.
    fn path(&self) -> String {
        let Some(parent) = self.parent else {
            return String::new();
        };
        let mut path = parent.path();
        for part in [embedding(parent.structure(), self.name), self.name] {
            if !part.is_empty() {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(part);
            }
        }
        path
    }

    /// The Go struct that is read here.
    fn structure(&self) -> &'a str {
        let Some(parent) = self.parent else {
            return self.root;
        };
        match (self.name, parent.structure()) {
            ("labels", "Kustomization") => "Label",
            ("nameReference", "TransformerConfig") => "NameBackReferences",
            ("fields" | "fieldSpecs", _) | (_, "TransformerConfig") => "FieldSpec",
            ("patches" | "patchesJson6902", "Kustomization") => "Patch",
            ("options", "Patch") => "PatchArgs",
            (
                "options",
                "ConfigMapArgs"
                | "SecretArgs"
                | "ConfigMapGeneratorPlugin"
                | "SecretGeneratorPlugin",
            ) => "GeneratorOptions",
            ("generatorOptions", _) => "GeneratorOptions",
            ("options", _) => "FieldOptions",
            ("target" | "select" | "reject", _) => "Selector",
            ("images" | "imageTags" | "imageTag", _) => "Image",
            ("replacements", _) => "ReplacementField",
            ("source", _) => "SourceSelector",
            ("targets", _) => "TargetSelector",
            ("replicas" | "replica", _) => "Replica",
            ("vars", _) => "Var",
            ("objref", _) => "Target",
            ("fieldref", _) => "FieldSelector",
            ("sortOptions", _) => "SortOptions",
            ("legacySortOptions", _) => "LegacySortOptions",
            ("configMapGenerator", _) => "ConfigMapArgs",
            ("secretGenerator", _) => "SecretArgs",
            ("helmGlobals", _) => "HelmGlobals",
            ("helmCharts", _) => "HelmChart",
            ("helmChartInflationGenerator", _) => "HelmChartArgs",
            (_, structure) => structure,
        }
    }

    /// The type of the struct that is read here, as Go names it.
    fn go_type(&self) -> String {
        let structure = self.structure();
        let package = match structure {
            "TransformerConfig" | "NameBackReferences" => "builtinconfig",
            _ => "types",
        };
        format!("{package}.{structure}")
    }

    /// The error of a value that is not of the type that Go names so.
    pub(super) fn mismatch(&self, value: &Value, wanted: &str) -> Error {
        let number;
        let found = match value {
            Value::UInt(_) | Value::Float(_) if matches!(wanted, "int" | "int64") => {
                number = format!("number {}", gitops_core::json::to_string(value));
                &number
            }
            _ => json_kind(value),
        };
        let mut message = format!("json: cannot unmarshal {found} into Go ");
        let path = self.path();
        if path.is_empty() {
            let _ = write!(message, "value of type {wanted}");
        } else {
            let holder = self.parent.map_or(self.root, Context::structure);
            let _ = write!(message, "struct field {holder}.{path} of type {wanted}");
        }
        Error::new(ErrorKind::Kustomization, message)
    }
}

/// What Go's JSON decoder calls a value.
pub(super) fn json_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::UInt(_) | Value::Float(_) => "number",
        Value::String(_) => "string",
        Value::List(_) => "array",
        Value::Map(_) => "object",
    }
}

/// The structs embedded in one that hold a field.
fn embedding(structure: &str, field: &str) -> &'static str {
    match (structure, field) {
        ("Kustomization", "apiVersion" | "kind") => "TypeMeta",
        ("ReplacementField", "source" | "sourceValue" | "targets") => "Replacement",
        ("Selector" | "SourceSelector", "name" | "namespace") => "ResId",
        ("Selector" | "SourceSelector", "group" | "version" | "kind") => "ResId.Gvk",
        ("FieldSpec" | "Target", "group" | "version" | "kind") => "Gvk",
        ("ConfigMapGeneratorPlugin", "name" | "namespace" | "behavior" | "options") => {
            "ConfigMapArgs.GeneratorArgs"
        }
        ("ConfigMapGeneratorPlugin", "literals" | "files" | "envs" | "env") => {
            "ConfigMapArgs.GeneratorArgs.KvPairSources"
        }
        ("SecretGeneratorPlugin", "name" | "namespace" | "behavior" | "options") => {
            "SecretArgs.GeneratorArgs"
        }
        ("SecretGeneratorPlugin", "literals" | "files" | "envs" | "env") => {
            "SecretArgs.GeneratorArgs.KvPairSources"
        }
        ("SecretGeneratorPlugin", "type") => "SecretArgs",
        ("ConfigMapArgs" | "SecretArgs", "name" | "namespace" | "behavior" | "options") => {
            "GeneratorArgs"
        }
        ("ConfigMapArgs" | "SecretArgs", "literals" | "files" | "envs" | "env") => {
            "GeneratorArgs.KvPairSources"
        }
        _ => "",
    }
}

/// A scalar as text, where the document is one whose reader makes text of all
/// scalars that have to be.
fn scalar_text(value: &Value, context: &Context<'_>) -> Option<Str> {
    match value {
        Value::String(text) => Some(text.clone()),
        _ if !context.makes_text() => None,
        Value::Bool(flag) => Some(if *flag { "true" } else { "false" }.into()),
        Value::Int(number) => Some(number.to_string().into()),
        Value::UInt(number) => Some(number.to_string().into()),
        Value::Float(number) => {
            let mut text = Vec::new();
            gitops_core::value::number::push_go(&mut text, *number);
            Some(String::from_utf8_lossy(&text).as_ref().into())
        }
        Value::Null | Value::List(_) | Value::Map(_) => None,
    }
}

/// Reads a value. Of several errors in an object, the one of the first key
/// counts, as Go reads keys in order.
pub(super) fn read_in_order<T>(value: &Value, read: impl Fn(&Value) -> Result<T>) -> Result<T> {
    read(value).map_err(|error| {
        let Value::Map(map) = value else { return error };
        let mut entries: Vec<_> = map.iter().collect();
        entries.sort_by_key(|(key, _)| *key);
        let first = entries.into_iter().find_map(|(key, value)| {
            let alone = Map::from_iter([(key.clone(), value.clone())]);
            read(&Value::Map(alone)).err()
        });
        first.unwrap_or(error)
    })
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
            other => Err(context.mismatch(other, &context.go_type())),
        }
    }

    /// No fields at all.
    pub(super) fn none(context: &'a Context<'a>) -> Self {
        static NONE: Map = Map::new();
        Fields {
            map: &NONE,
            context,
            known: Vec::new(),
        }
    }

    pub(super) fn context(&self) -> &'a Context<'a> {
        self.context
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
        self.text_of(name, "string")
    }

    /// A text that is of a type of its own in Go.
    pub(super) fn text_of(&mut self, name: &'static str, wanted: &str) -> Result<Option<Str>> {
        let context = self.context.field(name);
        match self.take(name) {
            None => Ok(None),
            Some(value) => match scalar_text(value, &context) {
                Some(text) => Ok(Some(text)),
                None => Err(context.mismatch(value, wanted)),
            },
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
            value => scalar_text(value, context).ok_or_else(|| context.mismatch(value, item)),
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
                    value => match scalar_text(value, &context) {
                        Some(text) => Ok((key.clone(), text)),
                        None => Err(context.mismatch(value, "string")),
                    },
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
                .map(|value| read_in_order(value, |value| item(value, &context)))
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
            Some(value) => read_in_order(value, |value| read(value, &context)).map(Some),
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
                let message = format!("json: unknown field {}", quoted(key));
                return Err(Error::new(ErrorKind::Kustomization, message));
            }
        }
        Ok(())
    }
}
