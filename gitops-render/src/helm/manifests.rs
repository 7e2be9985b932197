//! From rendered files to ordered documents: Helm's `pkg/releaseutil`.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use foldhash::fast::RandomState;
use gitops_core::{Str, Value, yaml};

use super::error::{Error, ErrorKind};
use super::profile::Profile;
use super::report::{Broken, BrokenLine};

/// One document that a chart rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The template that wrote it, as in `# Source: …`.
    pub path: Str,
    /// Its text, trimmed as Helm trims it: a part of all that its template
    /// wrote, with which it shares memory.
    pub text: ByteString,
    /// Its kind; empty if it has none.
    pub kind: Str,
    /// What makes it a hook, if it is one.
    pub hook: Option<Hook>,
    /// Where its text begins in all that its template wrote, in bytes.
    pub offset: usize,
}

/// When a hook runs and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// The events, in Helm's words: `pre-install`, `test`.
    pub events: Vec<Str>,
    /// The order among hooks of one event.
    pub weight: i64,
}

impl Hook {
    /// Whether the hook is a test.
    pub fn is_test(&self) -> bool {
        self.events.iter().any(|event| event == "test")
    }
}

/// What a template wrote.
#[derive(Clone)]
pub(super) struct Written {
    /// The template's name.
    pub(super) path: Str,
    pub(super) text: Bytes,
    /// Its pieces, if they are known already.
    pub(super) pieces: Option<Arc<[Piece]>>,
}

/// A document, not yet known as a hook.
#[derive(Clone)]
pub(super) struct Piece {
    document: Document,
    head: Head,
}

/// The documents of the rendered files, in the order of installation: first
/// those that are none, then hooks.
pub(super) fn sort(
    files: &[Written],
    profile: Profile,
    warnings: &mut Vec<String>,
) -> Result<(Vec<Document>, Vec<Document>), Error> {
    let mut by_path: Vec<&Written> = files.iter().collect();
    by_path.sort_by(|a, b| a.path.cmp(&b.path));
    let (mut plain, mut hooks) = (Vec::new(), Vec::new());
    for file in by_path {
        let mut place = |piece: Piece| {
            let Piece { mut document, head } = piece;
            let Some(types) = head.hook else {
                plain.push(document);
                return;
            };
            let events = types.split(',').map(event).collect::<Option<Vec<Str>>>();
            match events {
                None => warnings.push(profile.unknown_hook(&types)),
                Some(events) => {
                    document.hook = Some(Hook {
                        events,
                        weight: head.weight,
                    });
                    hooks.push(document);
                }
            }
        };
        match &file.pieces {
            Some(pieces) => pieces.iter().cloned().for_each(place),
            None => file.split(profile, |text| Head::read(text, profile), &mut place)?,
        }
    }
    by_kind(&mut plain, profile);
    by_kind(&mut hooks, profile);
    Ok((plain, hooks))
}

impl Written {
    /// Leaves out the text that Go prints for what is not there.
    pub(super) fn leave_out_no_value(&mut self) {
        const NO_VALUE: &[u8] = b"<no value>";
        let mut found = memchr::memmem::find_iter(&self.text, NO_VALUE).peekable();
        if found.peek().is_none() {
            return;
        }
        let mut kept = Vec::with_capacity(self.text.len());
        let mut start = 0;
        for at in found {
            kept.extend_from_slice(&self.text[start..at]);
            start = at + NO_VALUE.len();
        }
        kept.extend_from_slice(&self.text[start..]);
        self.text = kept.into();
    }

    /// Finds out the pieces, unless one cannot be read: that is for
    /// [`sort`] to say.
    pub(super) fn learn_pieces(&mut self, profile: Profile) {
        self.learn_pieces_of(|text| Head::read(text, profile), profile);
    }

    /// As [`learn_pieces`](Self::learn_pieces), where the template has written
    /// something else before.
    pub(super) fn learn_pieces_after(&mut self, before: &Written, profile: Profile) {
        let known: HashMap<&str, &Head, RandomState> = before
            .pieces
            .iter()
            .flat_map(|pieces| pieces.iter())
            .map(|piece| (&*piece.document.text, &piece.head))
            .collect();
        let head = |text: &str| match known.get(text) {
            Some(head) => Ok((*head).clone()),
            None => Head::read(text, profile),
        };
        self.learn_pieces_of(head, profile);
    }

    fn learn_pieces_of(&mut self, head: impl Fn(&str) -> Result<Head, String>, profile: Profile) {
        let mut pieces = Vec::new();
        let learnt = self.split(profile, head, |piece| pieces.push(piece));
        if learnt.is_ok() {
            self.pieces = Some(pieces.into());
        }
    }

    fn split(
        &self,
        profile: Profile,
        head: impl Fn(&str) -> Result<Head, String>,
        mut each: impl FnMut(Piece),
    ) -> Result<(), Error> {
        let path = &self.path;
        let name = path.rsplit('/').next().unwrap_or(path);
        if name.starts_with('_') || self.text.trim_ascii().is_empty() {
            return Ok(());
        }
        let failed = |problem: String| {
            Error::new(
                ErrorKind::Output,
                format!("YAML parse error on {path}: {problem}"),
            )
            .at_file(path)
        };
        let content =
            ByteString::try_from(self.text.clone()).map_err(|_| failed(not_utf8(&self.text)))?;
        for text in profile.split(&content) {
            let offset = text.as_ptr() as usize - content.as_ptr() as usize;
            let head = head(text)
                .map_err(|problem| failed(problem).with_broken(broken(&content, offset, text)))?;
            each(Piece {
                document: Document {
                    path: path.clone(),
                    text: content.slice_ref(text),
                    kind: head.kind.clone(),
                    hook: None,
                    offset,
                },
                head,
            });
        }
        Ok(())
    }
}

/// Where a document cannot be read, as a line of all that its template wrote.
fn broken(content: &str, offset: usize, text: &str) -> Broken {
    let first = memchr::memchr_iter(b'\n', &content.as_bytes()[..offset]).count();
    let noticed = yaml::parse(text.as_bytes())
        .err()
        .map_or(1, |error| error.line().max(1)) as usize;
    let lines: Vec<&str> = content.lines().collect();
    // The reader notices a problem on its line or on the one behind it.
    let told = (first..first + noticed)
        .rev()
        .filter(|line| lines.get(*line).is_some_and(|line| !line.trim().is_empty()))
        .take(2);
    let mut told: Vec<BrokenLine> = told
        .map(|number| BrokenLine {
            number,
            text: lines[number].into(),
            origin: None,
        })
        .collect();
    told.reverse();
    Broken {
        lines: told,
        secret: text.contains("kind: Secret"),
    }
}

/// What the YAML reader says of bytes that are no text.
fn not_utf8(content: &[u8]) -> String {
    match yaml::parse(content) {
        Err(error) => super::chart::parse_error(&error),
        // They lie behind the first document.
        Ok(_) => "error converting YAML to JSON: yaml: invalid leading UTF-8 octet".into(),
    }
}

fn event(text: &str) -> Option<Str> {
    let text = text.trim().to_lowercase();
    match text.as_str() {
        "pre-install" | "post-install" | "pre-delete" | "post-delete" | "pre-upgrade"
        | "post-upgrade" | "pre-rollback" | "post-rollback" | "test" => Some(text.into()),
        "test-success" => Some("test".into()),
        _ => None,
    }
}

/// Known kinds in their order, then the others by name; equal ones stay as
/// they are.
fn by_kind(documents: &mut [Document], profile: Profile) {
    documents.sort_by_cached_key(|document| match profile.install_order(&document.kind) {
        Some(place) => (place, Str::new()),
        None => (usize::MAX, document.kind.clone()),
    });
}

/// What Helm reads of a document.
#[derive(Clone)]
struct Head {
    kind: Str,
    hook: Option<Str>,
    weight: i64,
}

impl Head {
    fn read(text: &str, profile: Profile) -> Result<Head, String> {
        let decoding = |found: &Value, into: &str, ty: &str| {
            let found = match found {
                Value::Bool(_) => "bool",
                other => other.kind_name(),
            };
            format!(
                "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {found} \
                 into Go {into} of type {ty}"
            )
        };
        // Go names the innermost struct, and that of the metadata has no name.
        let field =
            |found: &Value, name: &str| decoding(found, &format!("struct field {name}"), "string");
        // Go takes keys for fields whatever their case.
        let wanted = |key: &str| {
            let fields = ["apiVersion", "kind", "metadata"];
            fields.iter().any(|field| key.eq_ignore_ascii_case(field))
        };
        let document = yaml::parse_entries(text.as_bytes(), wanted)
            .map_err(|error| super::chart::parse_error(&error))?;
        let mut head = Head {
            kind: Str::new(),
            hook: None,
            weight: 0,
        };
        let fields = match &document {
            Value::Null => return Ok(head),
            Value::Map(fields) => fields,
            other => {
                return Err(decoding(other, "value", profile.head_type()));
            }
        };
        for (name, value) in fields {
            match name.to_ascii_lowercase().as_str() {
                "apiversion" => {
                    scalar(value).map_err(|found| field(found, "SimpleHead.apiVersion"))?;
                }
                "kind" => {
                    head.kind = scalar(value)
                        .map_err(|found| field(found, "SimpleHead.kind"))?
                        .unwrap_or(head.kind);
                }
                "metadata" => {
                    let metadata = match value {
                        Value::Null => continue,
                        Value::Map(metadata) => metadata,
                        other => {
                            return Err(decoding(
                                other,
                                "struct field SimpleHead.metadata",
                                "struct { Name string \"json:\\\"name\\\"\"; Annotations \
                                 map[string]string \"json:\\\"annotations\\\"\" }",
                            ));
                        }
                    };
                    for (name, value) in metadata {
                        match name.to_ascii_lowercase().as_str() {
                            "name" => {
                                scalar(value).map_err(|found| field(found, ".metadata.name"))?;
                            }
                            "annotations" => head.annotations(value, &field, &decoding)?,
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(head)
    }

    fn annotations(
        &mut self,
        value: &Value,
        field: &dyn Fn(&Value, &str) -> String,
        decoding: &dyn Fn(&Value, &str, &str) -> String,
    ) -> Result<(), String> {
        let annotations = match value {
            Value::Null => return Ok(()),
            Value::Map(annotations) => annotations,
            other => {
                return Err(decoding(
                    other,
                    "struct field .metadata.annotations",
                    "map[string]string",
                ));
            }
        };
        for (name, value) in annotations {
            let text = scalar(value).map_err(|found| field(found, ".metadata.annotations"))?;
            match name.as_str() {
                "helm.sh/hook" => self.hook = Some(text.unwrap_or_default()),
                "helm.sh/hook-weight" => {
                    self.weight = text.and_then(|text| text.parse().ok()).unwrap_or(0);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The text of a scalar where text is wanted; `None` for null.
fn scalar(value: &Value) -> Result<Option<Str>, &Value> {
    Ok(Some(match value {
        Value::Null => return Ok(None),
        Value::String(text) => text.clone(),
        Value::Bool(flag) => ecow::eco_format!("{flag}"),
        Value::Int(number) => ecow::eco_format!("{number}"),
        Value::UInt(number) => ecow::eco_format!("{number}"),
        Value::Float(number) => ecow::eco_format!("{number}"),
        Value::List(_) | Value::Map(_) => return Err(value),
    }))
}

/// Helm 3's split at `(?:^|\s*\n)---\s*`, without the regular expression.
///
/// White space before and after a separator belongs to it, so of two
/// separators with nothing between them the second is text. Any line that
/// begins with three dashes separates.
pub(super) fn split_v3(content: &str) -> Vec<&str> {
    let space = |byte: u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c);
    let content = content.trim();
    let bytes = content.as_bytes();
    let skip = |mut at: usize| {
        while bytes.get(at).copied().is_some_and(space) {
            at += 1;
        }
        at
    };
    let mut pieces = Vec::new();
    let mut start = 0;
    if bytes.starts_with(b"---") {
        pieces.push("");
        start = skip(3);
    }
    let finder = memchr::memmem::Finder::new(b"\n---");
    while let Some(found) = finder.find(&bytes[start..]) {
        let newline = start + found;
        let mut end = newline;
        while end > start && space(bytes[end - 1]) {
            end -= 1;
        }
        pieces.push(&content[start..end]);
        start = skip(newline + 4);
    }
    pieces.push(&content[start..]);
    pieces
        .into_iter()
        .filter(|piece| !piece.is_empty())
        .map(str::trim)
        .collect()
}

/// Helm 4.2's split at `(?m)^---[ \t]*`: what follows the dashes on their line
/// begins the next piece, and only the start of a piece is trimmed.
pub(super) fn split_v4(content: &str) -> Vec<&str> {
    let content = content.trim_start();
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut line = 0;
    loop {
        if let Some(rest) = content[line..].strip_prefix("---") {
            pieces.push(&content[start..line]);
            start = content.len() - rest.trim_start_matches([' ', '\t']).len();
        }
        match memchr::memchr(b'\n', &content.as_bytes()[line..]) {
            Some(end) => line += end + 1,
            None => break,
        }
    }
    pieces.push(&content[start..]);
    pieces
        .into_iter()
        .map(str::trim_start)
        .filter(|piece| !piece.is_empty())
        .collect()
}
