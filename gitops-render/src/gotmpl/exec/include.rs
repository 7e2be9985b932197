//! Templates that functions execute: `include` and `tpl`.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::RandomState;
use smallvec::{SmallVec, smallvec};

use super::operand::Operand;
use super::{Context, KEPT_BUFFERS, Overlay};
use crate::gotmpl::ast::Template;
use crate::gotmpl::error::Error;
use crate::gotmpl::function::{Failure, Function, Type};
use crate::gotmpl::map::MapKind;
use crate::gotmpl::parts::{Recall, Site};
use crate::gotmpl::printf::quote;
use crate::gotmpl::set::File;
use crate::gotmpl::text::Str;
use crate::gotmpl::value::Value;
use crate::gotmpl::watch::{Log, Mark, PartReads};

/// `include` and `tpl`, which execute templates and so are part of the engine.
///
/// They are functions like any other: [`Functions::new`](crate::gotmpl::Functions::new)
/// must be given this table if templates are to have them.
pub static TEMPLATE_FUNCTIONS: [Function; 2] = [
    Function::new("include", &[Type::Str, Type::Any], Type::Str, |cx, args| {
        let data = args.take(1);
        cx.include(args.str(0), data).map(Value::Str)
    }),
    Function::new("tpl", &[Type::Str, Type::Any], Type::Str, |cx, args| {
        let data = args.take(1);
        cx.tpl(args.str(0), data).map(Value::Str)
    }),
];

/// The one of them that may write in place.
pub(super) static INCLUDE: &Function = &TEMPLATE_FUNCTIONS[0];

impl Context<'_> {
    /// What Helm's `include` does: executes a template and returns what it
    /// writes.
    ///
    /// # Errors
    ///
    /// Fails as the template does, if there is none of that name, and if it is
    /// included within itself too often.
    pub fn include(&mut self, name: &Str, data: Value) -> Result<Str, Failure> {
        let buffer = self.buffers.pop().unwrap_or_default();
        let outer = std::mem::replace(&mut self.out, buffer);
        self.begin_capture();
        let result = self.include_in_place(&name.to_text(), data);
        let mut buffer = std::mem::replace(&mut self.out, outer);
        self.end_capture(&buffer);
        result?;
        let text = Str::from_bytes(&buffer);
        if self.buffers.len() < KEPT_BUFFERS {
            buffer.clear();
            self.buffers.push(buffer);
        }
        Ok(text)
    }

    /// What Helm's `tpl` does: parses a text as a template that can execute
    /// all others, executes it and returns what it writes, without the
    /// `<no value>` of what is missing. Templates that the text defines can be
    /// seen by itself and by what it executes.
    ///
    /// # Errors
    ///
    /// Fails if the text is not a template, and as the template does.
    pub fn tpl(&mut self, text: &Str, data: Value) -> Result<Str, Failure> {
        let bytes = text.as_bytes();
        if memchr::memmem::find(bytes, b"{{").is_none() {
            return Ok(without_no_value(text.clone()));
        }
        let file = match self.parsed.get(text) {
            Some(file) => file.clone(),
            None => {
                self.charge(in_actions(bytes).saturating_mul(TREE_PER_BYTE))?;
                let mut scratch = std::mem::take(&mut self.scratch);
                let parse = || {
                    let bytes = Bytes::copy_from_slice(bytes);
                    File::parse_with(self.set.name(), bytes, self.set.functions(), &mut scratch)
                };
                let file = self.once("tpl", text.clone(), parse);
                self.scratch = scratch;
                let file = file.map_err(|error| {
                    Failure::template(format!("cannot parse template {}: ", quote(bytes)), error)
                })?;
                let file = File::clone(&file);
                self.parsed.insert(text.clone(), file.clone());
                file
            }
        };
        let name = self.set.shared_name();
        let template = file
            .0
            .iter()
            .find(|template| template.name == name)
            .expect("a file is one of its templates")
            .clone();
        let overlay = Overlay {
            templates: file.0,
            below: self.overlay.take(),
        };
        self.overlay = Some(Rc::new(overlay));
        let buffer = self.buffers.pop().unwrap_or_default();
        let outer = std::mem::replace(&mut self.out, buffer);
        self.begin_capture();
        let result = self.nested(None, &template, data);
        let mut buffer = std::mem::replace(&mut self.out, outer);
        self.end_capture(&buffer);
        self.overlay = self.overlay.take().and_then(|top| top.below.clone());
        result.map_err(|cause| match cause {
            Nested::Limit(failure) => failure,
            Nested::Template(error) => Failure::template(
                format!("error during tpl function execution for {}: ", quote(bytes)),
                error,
            ),
        })?;
        let text = without_no_value(Str::from_bytes(&buffer));
        if self.buffers.len() < KEPT_BUFFERS {
            buffer.clear();
            self.buffers.push(buffer);
        }
        Ok(text)
    }

    pub(super) fn include_in_place(&mut self, name: &str, data: Value) -> Result<(), Failure> {
        let Some(template) = self.template(name) else {
            return Err(Failure::template("", self.undefined(name)));
        };
        // Only a deep nesting can hold one name so often.
        if self.nesting.len() > self.limits.include_depth {
            let same = self
                .nesting
                .iter()
                .filter(|active| active.as_deref() == Some(name))
                .count();
            if same > self.limits.include_depth {
                return Err(Failure::limit(format!(
                    "rendering template has a nested reference name: {name}: \
                     unable to execute template"
                )));
            }
        }
        let Some(call) = self.call(&template, &data) else {
            let included = self.nested(Some(template.name.clone()), &template, data);
            return included.map_err(Nested::in_place);
        };
        let site = match self.again(&template, &call) {
            Again::Wrote(bytes) => return self.charge(bytes),
            Again::Execute(site) => site,
        };
        let from = self.out.len();
        let before = (self.stamp(), self.questions(), self.steps());
        let noting = self.log.clone().filter(|log| log.notes_reads());
        let around = noting.as_ref().map(|log| log.begin());
        let included = self.nested(Some(template.name.clone()), &template, data.clone());
        let steps = before.2.saturating_sub(self.steps());
        let reads = match noting.zip(around) {
            Some((log, around)) => log.end(around),
            None => Some(Arc::default()),
        };
        included.map_err(Nested::in_place)?;
        // If it has written to anything it must do so again, and what it asked
        // the world may be answered otherwise.
        let same = self.stamp() == before.0 && self.call(&template, &data).as_ref() == Some(&call);
        let reads = reads.filter(|_| same);
        let asked = self.questions() != before.1;
        let text = &self.out[from..];
        if let (Some(recall), Some(site)) = (&self.recall, site) {
            recall.leave(site, steps, reads.clone().map(|reads| (text, reads)));
        }
        if let (Some(reads), Some(log)) = (reads, &self.log) {
            self.said.keep(call, text, reads, asked, log);
        }
        Ok(())
    }

    /// Writes what is known already. Else a part of the file begins, if it is one
    /// that is to be known in other renders.
    fn again(&mut self, template: &Arc<Template>, call: &Call) -> Again {
        let recall = self.recall.as_deref();
        // A part must know itself what it asks.
        let asks = !recall.is_some_and(Recall::is_in_part);
        if let Some(log) = &self.log
            && let Some(text) = self.said.again(call, asks, log)
        {
            self.out.extend_from_slice(text);
            return Again::Wrote(text.len());
        }
        let site = recall.and_then(|recall| recall.site(template, call.data()));
        if let (Some(recall), Some(site)) = (recall, &site) {
            if let Some(bytes) = recall.again(site, &mut self.out) {
                return Again::Wrote(bytes);
            }
            recall.enter(site);
        }
        Again::Execute(site)
    }

    /// How many questions were asked of the world, by what was not executed again
    /// too.
    fn questions(&self) -> u64 {
        self.host.questions() + self.said.asked
    }

    /// How often the data was written to, and the world asked.
    fn stamp(&self) -> Option<(u64, u64)> {
        self.log.as_ref().map(|log| (log.writes(), log.asked()))
    }

    /// Which execution of a template this is; `None` if another that looks
    /// alike need not write the same, or nobody would know.
    ///
    /// There is nothing else that it could depend on: a template sees only its
    /// data, and everything in what reports its writes does so as well.
    fn call(&self, template: &Arc<Template>, data: &Value) -> Option<Call> {
        if self.log.is_none() || self.overlay.is_some() {
            return None;
        }
        let data = match data {
            Value::Map(map) if !map.is_watched() => {
                if map.is_nil() || map.kind() != MapKind::Plain || map.is_untouched() {
                    return None;
                }
                let mut data = SmallVec::new();
                map.visit(|key, value| {
                    data.push((Some(key.clone()), Datum::new(value).ok_or(())?));
                    Ok::<_, ()>(())
                })
                .ok()?;
                data
            }
            data => smallvec![(None, Datum::new(data)?)],
        };
        Some(Call {
            template: Arc::as_ptr(template) as usize,
            data,
        })
    }

    fn begin_capture(&mut self) {
        if let Some(trace) = &mut self.trace {
            trace.begin_capture();
        }
    }

    fn end_capture(&mut self, text: &[u8]) {
        if let Some(trace) = &mut self.trace {
            trace.end_capture(text);
        }
    }

    /// Executes a template as the start of a new chain.
    fn nested(
        &mut self,
        name: Option<Arc<str>>,
        template: &Arc<Template>,
        data: Value,
    ) -> Result<(), Nested> {
        if self.nesting.len() >= self.limits.nesting {
            return Err(Nested::Limit(Failure::limit(format!(
                "templates include each other more than {} levels deep",
                self.limits.nesting
            ))));
        }
        self.nesting.push(name);
        let depth = std::mem::replace(&mut self.depth, 0);
        let at = self.at;
        let result = self.run(template, Operand::plain(data));
        self.at = at;
        self.depth = depth;
        self.nesting.pop();
        result.map_err(Nested::Template)
    }
}

/// How much memory, in bytes, the tree of a text needs for a byte within actions.
const TREE_PER_BYTE: usize = 16;

/// How many bytes of a template stand within its actions.
fn in_actions(text: &[u8]) -> usize {
    let (mut inside, mut rest) = (0, text);
    while let Some(start) = memchr::memmem::find(rest, b"{{") {
        rest = &rest[start..];
        let end = memchr::memmem::find(rest, b"}}").map_or(rest.len(), |end| end + 2);
        inside += end;
        rest = &rest[end..];
    }
    inside
}

/// What templates wrote that were included, for when they are included with the
/// same data again.
#[derive(Default)]
pub(super) struct Said {
    texts: HashMap<Call, Text, RandomState>,
    /// What they take, about.
    bytes: usize,
    /// How often the data had been written to.
    writes: u64,
    /// How often something was written again that asks questions.
    asked: u64,
}

struct Text {
    text: Box<[u8]>,
    /// What it depends on, if somebody wants to know.
    reads: PartReads,
    /// When that was last told.
    told: Mark,
    /// The only file that it serves, if others are to ask for themselves.
    file: Option<u64>,
}

impl Said {
    /// Copies of longer texts would cost more than they save, of those that
    /// include each other above all; and data of longer texts would be kept.
    const LONGEST: usize = 1 << 14;
    const MOST: usize = 1 << 22;
    const MOST_READS: usize = 1 << 9;

    /// What was written, if nothing in the data was written to since. What is
    /// read for it is told to the log. `asks` is whether questions may have been
    /// asked for it.
    fn again(&mut self, call: &Call, asks: bool, log: &Log) -> Option<&[u8]> {
        if self.writes != log.writes() {
            self.clear();
            self.writes = log.writes();
        }
        let known = self.texts.get_mut(call)?;
        if known.file.is_some_and(|file| file != log.file() || !asks) {
            return None;
        }
        self.asked += u64::from(known.file.is_some());
        if !known.reads.is_empty() {
            known.told = log.read_again(&known.reads, known.told);
        }
        Some(&known.text)
    }

    /// `asked` is whether questions were asked, which each file is to ask itself.
    fn keep(&mut self, call: Call, text: &[u8], reads: PartReads, asked: bool, log: &Log) {
        let texts = call.data.iter().filter_map(|(_, datum)| datum.text());
        let bytes = text.len() + texts.map(|text| text.as_bytes().len()).sum::<usize>();
        if bytes > Said::LONGEST || reads.len() > Said::MOST_READS {
            return;
        }
        let bytes = size_of::<Call>() + bytes + size_of_val(&*reads);
        if self.bytes + bytes > Said::MOST {
            self.clear();
        }
        self.bytes += bytes;
        let text = Text {
            text: text.into(),
            reads,
            told: Mark::default(),
            file: (asked && log.notes_reads()).then(|| log.file()),
        };
        self.texts.insert(call, text);
    }

    fn clear(&mut self) {
        self.texts.clear();
        self.bytes = 0;
    }
}

/// An execution of a template with data that looks like this.
#[derive(PartialEq, Eq, Hash)]
struct Call {
    template: usize,
    /// The value, or the entries of a map that reports nothing.
    data: SmallVec<[(Option<Str>, Datum); 4]>,
}

impl Call {
    fn data(&self) -> impl Iterator<Item = (&Option<Str>, &Value)> {
        self.data.iter().map(|(key, datum)| (key, &datum.0))
    }
}

/// A scalar, or what is always the same unless it reports a write. It is kept,
/// so that nothing else gets its place in memory.
struct Datum(Value);

impl Datum {
    fn new(value: &Value) -> Option<Datum> {
        let fits = match value {
            Value::Nil | Value::Bool(_) | Value::Str(_) => true,
            Value::Int(_) | Value::Int64(_) | Value::Float(_) => true,
            Value::Map(map) => map.is_watched(),
            Value::List(list) => list.is_watched(),
            Value::Object(_) => true,
            _ => false,
        };
        fits.then(|| Datum(value.clone()))
    }

    /// Numbers that tell it from all others but texts.
    fn number(&self) -> (u8, u64) {
        match &self.0 {
            Value::Bool(flag) => (1, u64::from(*flag)),
            Value::Int(number) => (2, *number as u64),
            Value::Float(number) => (3, number.to_bits()),
            Value::Str(_) => (4, 0),
            Value::Map(map) => (5 + map.kind() as u8, map.address().unwrap_or(0) as u64),
            Value::List(list) => (10, list.address().unwrap_or(0) as u64),
            Value::Object(object) => (11, Rc::as_ptr(object).cast::<()>() as u64),
            Value::Int64(number) => (12, *number as u64),
            _ => (0, 0),
        }
    }

    fn text(&self) -> Option<&Str> {
        match &self.0 {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }
}

impl PartialEq for Datum {
    fn eq(&self, other: &Self) -> bool {
        self.number() == other.number() && self.text() == other.text()
    }
}

impl Eq for Datum {}

impl Hash for Datum {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number().hash(state);
        self.text().hash(state);
    }
}

/// What becomes of something that is included.
enum Again {
    /// So many bytes were written.
    Wrote(usize),
    Execute(Option<Site>),
}

/// Why a nested execution failed: by itself, or because it may not start.
enum Nested {
    Limit(Failure),
    Template(Error),
}

impl Nested {
    fn in_place(self) -> Failure {
        match self {
            Nested::Limit(failure) => failure,
            Nested::Template(error) => Failure::template("", error),
        }
    }
}

/// Drops every `<no value>`, as Helm does with the output of a template.
fn without_no_value(text: Str) -> Str {
    let bytes = text.as_bytes();
    let finder = memchr::memmem::Finder::new(b"<no value>");
    let Some(first) = finder.find(bytes) else {
        return text;
    };
    let mut out = bytes[..first].to_vec();
    let mut rest = &bytes[first + 10..];
    while let Some(next) = finder.find(rest) {
        out.extend_from_slice(&rest[..next]);
        rest = &rest[next + 10..];
    }
    out.extend_from_slice(rest);
    out.into()
}
