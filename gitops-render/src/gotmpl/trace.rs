//! What an output was made of: the nodes that wrote it and the values they
//! read.
//!
//! A [`Trace`] watches a render from the inside. Values are told by identity:
//! maps are shared references, so whoever reaches a map of the chart's values,
//! by whatever detour through variables, arguments and other maps, reaches the
//! same entries. What identity does not carry (scalars in variables, copies,
//! texts) is carried by statements: what a statement writes or assigns depends
//! on everything that was read for it, and on the conditions around it.
//!
//! The text of an `include` that is indented before it is printed keeps the
//! origin of its lines: they are found again by what is on them.
//!
//! A render that is not watched pays for one test per node.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::ast::{Mark, Template};
use super::error::Location;
use super::map::Map;
use super::text::Str;
use super::value::Value;

/// The number of a path in a trace; 0 is the values as a whole.
type PathId = u32;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A key of a map.
    Key(Str),
    /// An element of a list.
    Index(usize),
}

/// A place in the values of a release, counted from the root chart's: the tag
/// of a subchart's image is `sub.image.tag`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ValuesPath(pub Vec<Step>);

impl fmt::Display for ValuesPath {
    /// `image.tag`, `hosts[0].name`, `annotations["example.com/key"]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(at) => write!(f, "[{at}]")?,
                Step::Key(key) => {
                    let plain = |byte: &u8| !matches!(byte, b'.' | b'[' | b']' | b'"' | b' ');
                    if key.is_empty() || !key.as_bytes().iter().all(plain) {
                        write!(f, "[{}]", super::printf::quote(key.as_bytes()))?;
                    } else {
                        write!(f, "{}{key}", if index > 0 { "." } else { "" })?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// How much of a value was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// It was gone through, or asked whether it is there.
    Itself,
    /// It was handed to a function, with everything below it.
    Whole,
}

/// A part of an output.
#[derive(Clone, Debug)]
struct Segment {
    start: usize,
    end: usize,
    origin: Origin,
}

#[derive(Clone, Debug, PartialEq)]
struct Origin {
    /// The calls around the template that wrote it.
    stack: u32,
    spot: Spot,
    /// A number of [`Trace::sets`].
    reads: u32,
}

/// A node or a text of a template.
#[derive(Clone, Debug)]
struct Spot {
    template: Arc<Template>,
    node: Option<Mark>,
    pos: u32,
}

impl PartialEq for Spot {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.template, &other.template)
            && self.node == other.node
            && self.pos == other.pos
    }
}

impl Spot {
    /// Goes on in a text, whose bytes are those of the template.
    fn skip(&mut self, bytes: usize) {
        if self.node.is_none() {
            self.pos += bytes as u32;
        }
    }

    fn location(&self) -> Location {
        match self.node {
            Some(node) => self.template.locate(node),
            None => self.template.locate_text(self.pos),
        }
    }
}

/// What a function returned that was written later, with where it came from.
struct Capture {
    text: Vec<u8>,
    segments: Vec<Segment>,
}

/// What one statement has read so far.
#[derive(Default)]
struct Statement {
    reads: Vec<PathId>,
    captures: Vec<Capture>,
}

/// What goes on in one template.
struct Level {
    statement: Statement,
    /// All reads of the template's finished statements.
    total: Vec<PathId>,
    stack: u32,
    /// How many scopes were open when it began.
    scopes: usize,
}

/// The output of one executed file.
#[derive(Debug)]
struct Written {
    text: Vec<u8>,
    segments: Vec<Segment>,
}

/// What was seen of a render.
#[derive(Debug)]
pub struct Record {
    paths: Vec<(PathId, Step)>,
    read: HashMap<PathId, Extent>,
    sets: Vec<Vec<PathId>>,
    /// The callers of templates: what is around it, and the calling node.
    stacks: Vec<Option<(u32, Spot)>>,
    files: HashMap<Arc<str>, Written>,
}

/// Watches a render; see the module.
pub struct Trace {
    record: Record,
    numbers: HashMap<(PathId, Step), PathId>,
    /// The maps of the values, by identity. They are kept alive, so that no
    /// other map gets their address.
    known: HashMap<usize, (Map, PathId)>,
    /// What was written into maps that templates made.
    laden: HashMap<usize, (Map, Vec<PathId>)>,
    set_numbers: HashMap<Vec<PathId>, u32>,

    statement: Statement,
    statements: Vec<Statement>,
    scopes: Vec<Vec<PathId>>,
    total: Vec<PathId>,
    levels: Vec<Level>,
    stack: u32,
    variables: HashMap<usize, Vec<PathId>>,
    segments: Vec<Segment>,
    outer_segments: Vec<Vec<Segment>>,
    last: Option<PathId>,
}

impl Default for Trace {
    fn default() -> Self {
        Trace {
            record: Record {
                paths: vec![(0, Step::Index(0))],
                read: HashMap::new(),
                sets: vec![Vec::new()],
                stacks: vec![None],
                files: HashMap::new(),
            },
            numbers: HashMap::new(),
            known: HashMap::new(),
            laden: HashMap::new(),
            set_numbers: HashMap::from([(Vec::new(), 0)]),
            statement: Statement::default(),
            statements: Vec::new(),
            scopes: Vec::new(),
            total: Vec::new(),
            levels: Vec::new(),
            stack: 0,
            variables: HashMap::new(),
            segments: Vec::new(),
            outer_segments: Vec::new(),
            last: None,
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.record.fmt(f)
    }
}

impl Trace {
    /// What was seen, without the values themselves.
    pub fn into_record(self) -> Record {
        self.record
    }

    /// Says which map holds the values at `path`. Maps below it are found as
    /// they are read.
    pub fn place(&mut self, map: &Map, path: &[&str]) {
        let number = path.iter().fold(0, |parent, key| {
            self.number(parent, Step::Key(Str::from(*key)))
        });
        if let Some(address) = map.address() {
            self.known
                .entry(address)
                .or_insert_with(|| (map.clone(), number));
        }
    }

    fn number(&mut self, parent: PathId, step: Step) -> PathId {
        let next = self.record.paths.len() as PathId;
        let paths = &mut self.record.paths;
        *self
            .numbers
            .entry((parent, step))
            .or_insert_with_key(|(parent, step)| {
                paths.push((*parent, step.clone()));
                next
            })
    }

    fn note(&mut self, path: PathId, extent: Extent) {
        let have = self.record.read.entry(path).or_insert(extent);
        *have = (*have).max(extent);
        self.statement.reads.push(path);
    }

    // ---- what the executor tells ----

    /// A name was looked up in a map.
    pub(super) fn step(&mut self, map: &Map, name: &Str, found: &Value) {
        self.last = None;
        let Some(address) = map.address() else {
            return;
        };
        if let Some((_, reads)) = self.laden.get(&address) {
            self.statement.reads.extend_from_slice(reads);
        }
        let Some((_, parent)) = self.known.get(&address) else {
            return;
        };
        let path = self.number(*parent, Step::Key(name.clone()));
        let extent = match found {
            Value::Map(_) => Extent::Itself,
            _ => Extent::Whole,
        };
        self.note(path, extent);
        self.know(found, path);
        self.last = Some(path);
    }

    fn know(&mut self, value: &Value, path: PathId) {
        if let Value::Map(map) = value
            && let Some(address) = map.address()
        {
            self.known
                .entry(address)
                .or_insert_with(|| (map.clone(), path));
        }
    }

    /// What a loop goes over, where it is a value as such.
    pub(super) fn loops_over(&mut self, over: &Value) -> Option<PathId> {
        match over {
            Value::Map(map) => self.known.get(&map.address()?).map(|(_, path)| *path),
            _ => self.last,
        }
    }

    /// A turn of a loop begins.
    pub(super) fn turn(&mut self, over: Option<PathId>, step: Step, element: &Value) {
        let mut reads = Vec::new();
        if let Some(over) = over {
            let path = self.number(over, step);
            let extent = match element {
                Value::Map(_) => Extent::Itself,
                _ => Extent::Whole,
            };
            let have = self.record.read.entry(path).or_insert(extent);
            *have = (*have).max(extent);
            self.know(element, path);
            reads.push(path);
        }
        self.scopes.push(reads);
    }

    /// The map that was found last was only gone through.
    pub(super) fn passed(&mut self) {
        if self.last.is_some() && self.statement.reads.last() == self.last.as_ref() {
            self.statement.reads.pop();
        }
    }

    /// A variable was read.
    pub(super) fn variable(&mut self, slot: usize) {
        self.last = None;
        if let Some(reads) = self.variables.get(&slot) {
            self.statement.reads.extend_from_slice(reads);
        }
    }

    /// A variable was assigned to.
    pub(super) fn assign(&mut self, slot: usize) {
        let around = self.levels.last().map_or(0, |level| level.scopes);
        let mut reads = self.statement.reads.clone();
        for scope in self.scopes.get(around..).unwrap_or_default() {
            reads.extend_from_slice(scope);
        }
        tidy(&mut reads);
        self.variables.insert(slot, reads);
    }

    /// A function is about to be called.
    pub(super) fn call(&mut self, name: &str, args: &[Value]) {
        match (name, args) {
            (
                "include" | "tpl" | "dict" | "list" | "tuple" | "default" | "coalesce" | "ternary"
                | "empty" | "kindIs" | "kindOf" | "typeIs" | "typeOf" | "typeIsLike",
                _,
            ) => {}
            ("get" | "hasKey", [Value::Map(map), Value::Str(key), ..]) => {
                let found = map.get_key(key).unwrap_or_default();
                self.step(map, key, &found);
            }
            ("dig", [keys @ .., _, Value::Map(map)]) => {
                let mut map = map.clone();
                for key in keys {
                    let Value::Str(key) = key else { break };
                    let found = map.get_key(key).unwrap_or_default();
                    self.step(&map, key, &found);
                    match found {
                        Value::Map(below) => map = below,
                        _ => break,
                    }
                }
            }
            ("set" | "unset", [Value::Map(_), rest @ ..]) => self.whole(rest),
            _ => self.whole(args),
        }
        if let (
            "set" | "merge" | "mergeOverwrite" | "mustMerge" | "mustMergeOverwrite",
            [Value::Map(into), ..],
        ) = (name, args)
            && let Some(address) = into.address()
        {
            let mut reads = self.statement.reads.clone();
            tidy(&mut reads);
            let laden = self
                .laden
                .entry(address)
                .or_insert_with(|| (into.clone(), Vec::new()));
            laden.1.append(&mut reads);
            tidy(&mut laden.1);
        }
    }

    fn whole(&mut self, args: &[Value]) {
        for arg in args {
            let Value::Map(map) = arg else { continue };
            let Some(address) = map.address() else {
                continue;
            };
            if let Some((_, reads)) = self.laden.get(&address) {
                self.statement.reads.extend_from_slice(reads);
            }
            if let Some((_, path)) = self.known.get(&address) {
                let path = *path;
                self.note(path, Extent::Whole);
            }
        }
    }

    /// `index` looked something up.
    pub(super) fn index(&mut self, operands: &[Value]) {
        let [Value::Map(map), keys @ ..] = operands else {
            return;
        };
        let mut map = map.clone();
        for key in keys {
            let Value::Str(key) = key else { return };
            let found = map.get_key(key).unwrap_or_default();
            self.step(&map, key, &found);
            match found {
                Value::Map(below) => map = below,
                _ => return,
            }
        }
    }

    pub(super) fn begin_statement(&mut self) {
        self.last = None;
        self.statements.push(std::mem::take(&mut self.statement));
    }

    pub(super) fn end_statement(&mut self) {
        let ended = std::mem::replace(
            &mut self.statement,
            self.statements.pop().unwrap_or_default(),
        );
        self.total.extend(ended.reads);
        if self.total.len() > 256 {
            tidy(&mut self.total);
        }
    }

    /// What follows depends on what this statement has read.
    pub(super) fn open_scope(&mut self) {
        let mut reads = self.statement.reads.clone();
        tidy(&mut reads);
        self.scopes.push(reads);
    }

    pub(super) fn close_scope(&mut self) {
        self.scopes.pop();
    }

    /// A template is called from the node `call` of another.
    pub(super) fn enter(&mut self, caller: Option<(&Arc<Template>, Mark)>) {
        let stack = self.stack;
        if let Some((template, call)) = caller {
            let spot = Spot {
                template: template.clone(),
                node: Some(call),
                pos: 0,
            };
            self.record.stacks.push(Some((stack, spot)));
            self.stack = self.record.stacks.len() as u32 - 1;
        }
        self.levels.push(Level {
            scopes: self.scopes.len() + 1,
            total: std::mem::take(&mut self.total),
            stack,
            statement: Statement::default(),
        });
        self.open_scope();
        let level = self.levels.len() - 1;
        self.levels[level].statement = std::mem::take(&mut self.statement);
    }

    pub(super) fn leave(&mut self) {
        self.close_scope();
        let Some(level) = self.levels.pop() else {
            return;
        };
        self.statement = level.statement;
        let mut inside = std::mem::replace(&mut self.total, level.total);
        tidy(&mut inside);
        self.statement.reads.append(&mut inside);
        self.stack = level.stack;
        self.last = None;
    }

    /// What is written from now on is the result of a function.
    pub(super) fn begin_capture(&mut self) {
        self.outer_segments.push(std::mem::take(&mut self.segments));
    }

    pub(super) fn end_capture(&mut self, text: &[u8]) {
        let outer = self.outer_segments.pop().unwrap_or_default();
        let segments = std::mem::replace(&mut self.segments, outer);
        self.statement.captures.push(Capture {
            text: text.to_vec(),
            segments,
        });
    }

    /// A text of a template was written.
    pub(super) fn text(&mut self, template: &Arc<Template>, pos: u32, start: usize, end: usize) {
        let reads = self.reads();
        let origin = self.origin(template, None, pos, reads);
        self.segments.push(Segment { start, end, origin });
    }

    /// A node wrote what is in `out` from `start` on.
    pub(super) fn wrote(&mut self, template: &Arc<Template>, mark: Mark, start: usize, out: &[u8]) {
        let reads = self.reads();
        let origin = self.origin(template, Some(mark), mark.pos(), reads);
        let captures = std::mem::take(&mut self.statement.captures);
        let inner: Vec<(&[u8], usize, usize)> = captures
            .iter()
            .enumerate()
            .flat_map(|(index, capture)| {
                let mut at = 0;
                capture
                    .text
                    .split_inclusive(|byte| *byte == b'\n')
                    .map(move |line| {
                        at += line.len();
                        (line.trim_ascii(), index, at - line.len())
                    })
            })
            .collect();
        let mut next = 0;
        let mut at = start;
        for line in out[start..].split_inclusive(|byte| *byte == b'\n') {
            let end = at + line.len();
            let wanted = line.trim_ascii();
            let same = inner.get(next..).unwrap_or_default();
            let found = match wanted.is_empty() {
                true => None,
                false => same.iter().take(64).position(|(have, ..)| *have == wanted),
            };
            if let Some(found) = found {
                let (_, index, from) = inner[next + found];
                next += found + 1;
                let length = capture_line(&captures[index].text, from);
                for segment in &captures[index].segments {
                    if segment.start < from + length && segment.end > from {
                        let mut origin = segment.origin.clone();
                        origin.spot.skip(from.saturating_sub(segment.start));
                        self.segments.push(Segment {
                            start: at,
                            end,
                            origin,
                        });
                    }
                }
            }
            self.segments.push(Segment {
                start: at,
                end,
                origin: origin.clone(),
            });
            at = end;
        }
        self.statement.captures = captures;
    }

    /// A file was executed.
    pub(super) fn file(&mut self, name: &Arc<str>, text: &[u8]) {
        let segments = std::mem::take(&mut self.segments);
        self.record.files.insert(
            name.clone(),
            Written {
                text: text.to_vec(),
                segments,
            },
        );
        self.statement = Statement::default();
        self.scopes.clear();
        self.total.clear();
        self.variables.clear();
        self.stack = 0;
    }

    fn reads(&mut self) -> u32 {
        let mut reads = self.statement.reads.clone();
        for scope in &self.scopes {
            reads.extend_from_slice(scope);
        }
        tidy(&mut reads);
        if let Some(number) = self.set_numbers.get(&reads) {
            return *number;
        }
        let number = self.record.sets.len() as u32;
        self.record.sets.push(reads.clone());
        self.set_numbers.insert(reads, number);
        number
    }

    fn origin(&self, template: &Arc<Template>, node: Option<Mark>, pos: u32, reads: u32) -> Origin {
        Origin {
            stack: self.stack,
            spot: Spot {
                template: template.clone(),
                node,
                pos,
            },
            reads,
        }
    }
}

impl Record {
    /// Where a line of a file's output comes from; lines count from 0. `None`
    /// if the file was not executed or wrote no such line.
    pub fn line(&self, file: &str, line: usize) -> Option<LineOrigin> {
        let written = self.files.get(file)?;
        let start = match line {
            0 => 0,
            _ => 1 + memchr::memchr_iter(b'\n', &written.text).nth(line - 1)?,
        };
        let length = capture_line(&written.text, start);
        let content = &written.text[start..start + length];
        // Blanks before the first word and the line break say nothing of where
        // a line comes from, unless there is nothing else.
        let from = start + content.len() - content.trim_ascii_start().len();
        let to = start + content.trim_ascii_end().len();
        let (from, to) = match from < to {
            true => (from, to),
            false => (start, start + length.max(1)),
        };
        let mut origin = LineOrigin::default();
        let mut reads: Vec<PathId> = Vec::new();
        let mut seen: Vec<&Origin> = Vec::new();
        for segment in &written.segments {
            let (first, last) = (segment.start.max(from), segment.end.min(to));
            if first >= last {
                continue;
            }
            let blank = written.text.get(first..last).unwrap_or_default();
            if blank.trim_ascii().is_empty() && !content.trim_ascii().is_empty() {
                continue;
            }
            if seen.contains(&&segment.origin) {
                continue;
            }
            seen.push(&segment.origin);
            reads.extend_from_slice(&self.sets[segment.origin.reads as usize]);
            let mut spot = segment.origin.spot.clone();
            spot.skip(from.saturating_sub(segment.start));
            origin.nodes.push(NodeOrigin {
                location: spot.location(),
                is_text: segment.origin.spot.node.is_none(),
                stack: self.callers(segment.origin.stack),
            });
        }
        tidy(&mut reads);
        origin.values = reads.iter().map(|path| self.path(*path)).collect();
        origin.values.sort_by_key(ToString::to_string);
        Some(origin)
    }

    /// All that a file wrote.
    pub(crate) fn output(&self, file: &str) -> Option<&[u8]> {
        self.files.get(file).map(|written| &written.text[..])
    }

    fn callers(&self, mut stack: u32) -> Vec<Location> {
        let mut callers = Vec::new();
        while let Some((outer, spot)) = &self.stacks[stack as usize] {
            callers.push(spot.location());
            stack = *outer;
        }
        callers
    }

    /// Every place in the values that was read, in order.
    pub fn values_read(&self) -> Vec<(ValuesPath, Extent)> {
        let mut all: Vec<(ValuesPath, Extent)> = self
            .read
            .iter()
            .map(|(path, extent)| (self.path(*path), *extent))
            .collect();
        all.sort_by_cached_key(|(path, _)| path.to_string());
        all
    }

    fn path(&self, mut number: PathId) -> ValuesPath {
        let mut steps = Vec::new();
        while number != 0 {
            let (parent, step) = &self.paths[number as usize];
            steps.push(step.clone());
            number = *parent;
        }
        steps.reverse();
        ValuesPath(steps)
    }
}

/// Where a line of output comes from.
#[derive(Clone, Debug, Default)]
pub struct LineOrigin {
    /// The nodes and texts that wrote it, inner ones first.
    pub nodes: Vec<NodeOrigin>,
    /// The values that it depends on: those that were read for it, and for the
    /// conditions around it.
    pub values: Vec<ValuesPath>,
}

/// A node of a template that wrote something.
#[derive(Clone, Debug)]
pub struct NodeOrigin {
    /// Where it is.
    pub location: Location,
    /// Whether it is plain text, not an action.
    pub is_text: bool,
    /// The calls that led to it, innermost first.
    pub stack: Vec<Location>,
}

fn capture_line(text: &[u8], from: usize) -> usize {
    let rest = &text[from.min(text.len())..];
    memchr::memchr(b'\n', rest).unwrap_or(rest.len())
}

fn tidy(reads: &mut Vec<PathId>) {
    reads.sort_unstable();
    reads.dedup();
}
