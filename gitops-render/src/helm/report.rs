//! An error as people need it: the place, the way there, the text around it.

use std::fmt;

use super::error::Error;
use super::origin::LineReport;
use crate::gotmpl::{self, Location, Missing};

/// A place in a file and the lines around it.
#[derive(Clone, Debug)]
pub(super) struct Snippet {
    pub(super) file: String,
    /// From 1.
    pub(super) line: usize,
    /// From 0.
    pub(super) column: Option<usize>,
    /// How many bytes are meant.
    pub(super) length: usize,
    /// The line, and the one before it.
    before: Option<String>,
    text: String,
}

/// Output that is no YAML.
#[derive(Clone, Debug)]
pub(super) struct Broken {
    /// The line before and that at which the problem was noticed.
    pub(super) lines: Vec<BrokenLine>,
    /// Whether they may be part of a Secret, and are not shown.
    pub(super) secret: bool,
}

#[derive(Clone, Debug)]
pub(super) struct BrokenLine {
    /// The line of all that the template wrote, from 0.
    pub(super) number: usize,
    pub(super) text: String,
    /// The nodes that wrote it, if the render was watched.
    pub(super) origin: Option<LineReport>,
}

impl Snippet {
    /// The text of a place, with `node` underlined if it is there.
    pub(super) fn new(
        file: &str,
        source: &[u8],
        line: usize,
        column: Option<usize>,
        node: Option<&str>,
    ) -> Snippet {
        let nth = |line: usize| {
            source
                .split(|byte| *byte == b'\n')
                .nth(line.checked_sub(1)?)
                .map(|text| String::from_utf8_lossy(text).into_owned())
        };
        let text = nth(line).unwrap_or_default();
        let mut column = column;
        let mut length = 1;
        if let (Some(at), Some(node)) = (column, node) {
            // Go's columns point into the node; its first line is looked for
            // around there.
            let first = node.lines().next().unwrap_or_default();
            let found = text
                .match_indices(first)
                .map(|(start, _)| start)
                .filter(|start| !first.is_empty() && *start <= at && at <= start + first.len())
                .last();
            if let Some(start) = found {
                column = Some(start);
                length = first.len();
            }
        }
        Snippet {
            file: file.to_owned(),
            line,
            column,
            length,
            before: nth(line.wrapping_sub(1)).filter(|before| !before.trim().is_empty()),
            text,
        }
    }

    fn of(frame: &gotmpl::Frame) -> Snippet {
        let at = frame.location();
        Snippet::new(
            &at.file,
            frame.source(),
            at.line,
            at.column,
            at.node.as_deref(),
        )
    }

    fn place(&self) -> String {
        match self.column {
            Some(column) => format!("{}:{}:{}", self.file, self.line, column + 1),
            None => format!("{}:{}", self.file, self.line),
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.line.to_string().len();
        writeln!(f, "{:width$}--> {}", "", self.place())?;
        writeln!(f, "{:width$} |", "")?;
        if let Some(before) = &self.before {
            writeln!(f, "{:>width$} | {before}", self.line - 1)?;
        }
        writeln!(f, "{:>width$} | {}", self.line, self.text)?;
        let Some(column) = self.column else {
            return writeln!(f, "{:width$} |", "");
        };
        // Tabs before the place stay tabs, so that the mark stands below it.
        let indent: String = self
            .text
            .char_indices()
            .take_while(|(at, _)| *at < column)
            .map(|(_, c)| if c == '\t' { '\t' } else { ' ' })
            .collect();
        let marked = self.text.get(column..column + self.length);
        let count = marked.map_or(1, |text| text.chars().count()).max(1);
        writeln!(f, "{:width$} | {indent}{}", "", "^".repeat(count))
    }
}

/// An error for people: displays as several lines. Made by [`Error::report`].
///
/// ```text
/// error: nil pointer evaluating interface {}.host
///  --> shop/templates/web.yaml:7:12
///   |
/// 7 |   image: {{ .Values.image.registri.host }}
///   |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^
///   = .Values.image.registri is not set
///   = help: there is .Values.image.registry
///   = called from shop/templates/all.yaml:2:4: include "web" .
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Report<'e>(&'e Error);

impl<'e> Report<'e> {
    pub(super) fn new(error: &'e Error) -> Self {
        Report(error)
    }
}

impl Error {
    /// Where it failed: the file, the line from 1, and the column from 1 where
    /// it is known. For a template the innermost place, for output that is no
    /// YAML the template's line that wrote it if the render was watched.
    pub fn place(&self) -> Option<(String, usize, Option<usize>)> {
        if let Some(snippet) = self.innermost() {
            let column = snippet.column.map(|column| column + 1);
            return Some((snippet.file, snippet.line, column));
        }
        let origin = self.broken()?.lines.last()?.origin.as_ref()?;
        let at = &origin.nodes.first()?.location;
        Some((
            at.file.to_string(),
            at.line,
            at.column.map(|column| column + 1),
        ))
    }

    /// The calls that led to the failure, innermost first.
    pub fn calls(&self) -> Vec<Location> {
        let stack = self.template().map(gotmpl::Error::stack);
        match stack {
            Some([callers @ .., _]) => callers.iter().rev().map(|frame| frame.location()).collect(),
            _ => Vec::new(),
        }
    }

    fn innermost(&self) -> Option<Snippet> {
        if let Some(snippet) = self.snippet() {
            return Some(snippet.clone());
        }
        self.template()?.stack().last().map(Snippet::of)
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.0;
        let template = error.template();
        let summary = match template.and_then(|template| template.chain().last()) {
            Some(innermost) => innermost.detail().to_owned(),
            None => error.to_string(),
        };
        writeln!(f, "error: {}", summary.trim_end())?;
        if let Some(snippet) = error.innermost() {
            snippet.write(f)?;
        }
        if let Some(missing) = template.and_then(gotmpl::Error::missing) {
            write_missing(f, missing)?;
        }
        for at in error.calls() {
            let column = at.column.map_or(0, |column| column + 1);
            let node = at.node.as_deref().unwrap_or_default();
            let node = node.trim_start_matches("{{").trim_end_matches("}}");
            writeln!(
                f,
                "  = called from {}:{}:{column}: {node}",
                at.file, at.line
            )?;
        }
        if let Some(broken) = error.broken() {
            let file = error.file().unwrap_or_default();
            for line in &broken.lines {
                let text = match broken.secret {
                    true => "(not shown: it may be secret)".to_owned(),
                    false => format!("{:?}", line.text),
                };
                writeln!(
                    f,
                    "  = line {} of what {file} wrote: {text}",
                    line.number + 1
                )?;
                let told = line.origin.as_ref().map(ToString::to_string);
                for told in told.iter().flat_map(|told| told.lines()) {
                    writeln!(f, "      {told}")?;
                }
            }
            if broken.lines.iter().all(|line| line.origin.is_none()) {
                writeln!(
                    f,
                    "  = help: a watched render knows which template line wrote it"
                )?;
            }
        }
        Ok(())
    }
}

fn write_missing(f: &mut fmt::Formatter<'_>, missing: &Missing) -> fmt::Result {
    let name = match &missing.path {
        Some(path) => format!(".{}", path.join(".")),
        None => missing.expression.clone(),
    };
    match &missing.found {
        Some(found) => writeln!(f, "  = {name} is a {found}, which has no fields")?,
        None => writeln!(f, "  = {name} is not set")?,
    }
    if missing.found.is_some() {
        return Ok(());
    }
    let above = name.rsplit_once('.').map_or("", |(above, _)| above);
    match missing.nearest() {
        Some(nearest) => writeln!(f, "  = help: there is {above}.{nearest}")?,
        None if missing.keys.is_empty() => {}
        None => {
            const SHOWN: usize = 12;
            let more = match missing.keys.len() > SHOWN {
                true => ", …",
                false => "",
            };
            let keys: Vec<&str> = missing
                .keys
                .iter()
                .take(SHOWN)
                .map(String::as_str)
                .collect();
            writeln!(f, "  = help: {above} has {}{more}", keys.join(", "))?;
        }
    }
    Ok(())
}
