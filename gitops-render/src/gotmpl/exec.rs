//! Executes templates.
//!
//! Follows `text/template/exec.go` of Go 1.26 as a walk over the tree. Three
//! things stand where Go has reflection:
//!
//! - An [`Operand`] is a value and whether it was read from a place of type
//!   `interface {}`. Go forgets that at the end of each command of a pipeline;
//!   until then it decides the words of error messages.
//! - Go's panics are `Result`s, and `break` and `continue` are a [`Flow`].
//! - The node that an error points at is the one Go was at last, which is not
//!   always the one that failed. [`Context::at`] is set wherever Go sets it.
//!
//! Recursion continues on a new stack segment when the current one runs low,
//! so its depth is bounded by [`Limits`] and never by the thread it runs on.

use std::any::Any;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::ast::{Mark, Source, Template};
use super::draw::Draw;
use super::error::{Error, ErrorKind, Frame};
use super::function::Failure;
use super::host::Host;
use super::limits::Limits;
use super::memory::{Memory, plain};
use super::parse::Scratch;
use super::parts::Recall;
use super::printf::{self, Cut, quote};
use super::set::{File, Set, Shelf};
use super::stack::deeper;
use super::text::Str;
use super::trace::Trace;
use super::value::Value;
use super::watch::Log;

mod arguments;
mod expressions;
mod include;
mod operand;
mod statements;

use include::Said;
pub use include::TEMPLATE_FUNCTIONS;
use operand::Here;
pub(super) use operand::Operand;

/// What a missing key of a map yields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingKey {
    /// Nothing, which prints `<no value>`. Go's default.
    Invalid,
    /// The zero value of the map's element type: a nil `interface {}`, or `""`.
    /// What Helm uses.
    #[default]
    Zero,
    /// An error. What `helm --strict` uses.
    Error,
}

/// The arguments of a call.
type Values = SmallVec<[Value; 4]>;

/// A text given to `tpl`, whose definitions only it and what it executes can
/// see.
struct Overlay {
    templates: Arc<[Arc<Template>]>,
    below: Option<Rc<Overlay>>,
}

/// How often [`Host::expired`] is asked.
const STEPS_PER_POLL: u64 = 4096;

/// Output buffers of `include` that are kept for the next one.
const KEPT_BUFFERS: usize = 16;

/// A running render, as its functions see it.
///
/// One context executes any number of templates of one set, one after the
/// other. Values are shared between those executions, as are the limits and
/// what `tpl` has parsed.
pub struct Context<'r> {
    set: &'r Set,
    /// Where templates are that the set does not have.
    shelf: Option<&'r dyn Shelf>,
    host: &'r dyn Host,
    limits: Limits,
    missing_key: MissingKey,
    out: Vec<u8>,
    buffers: Vec<Vec<u8>>,
    /// For the texts given to `tpl`.
    scratch: Scratch,
    /// The variables of all executing templates; those of the current one
    /// start at `base`.
    slots: Vec<Option<Operand>>,
    base: usize,
    /// The template that is executing, for errors.
    current: Option<Arc<Template>>,
    /// The node that Go would be at.
    at: Mark,
    /// The node that is calling a function or template.
    calling: Mark,
    /// Who called the templates that are executing, outermost first.
    callers: Vec<Frame>,
    /// What the file that is executed was given.
    data: Value,
    trace: Option<Box<Trace>>,
    memory: Rc<Memory>,
    /// What is told of writes to the data, if anything is.
    log: Option<Rc<Log>>,
    /// Who knows what parts of files wrote in another render.
    recall: Option<Rc<Recall>>,
    said: Said,
    /// How deep `{{template}}` nests since the last `include`.
    depth: usize,
    /// The names that are being included, `None` for `tpl`.
    nesting: Vec<Option<Arc<str>>>,
    overlay: Option<Rc<Overlay>>,
    parsed: HashMap<Str, File, RandomState>,
    bytes_left: u64,
    steps_left: u64,
    steps_to_poll: u64,
}

impl<'r> Context<'r> {
    /// A render of the templates of a set.
    pub fn new(set: &'r Set, host: &'r dyn Host, limits: Limits) -> Self {
        Context {
            set,
            shelf: None,
            host,
            missing_key: MissingKey::default(),
            out: Vec::new(),
            buffers: Vec::new(),
            scratch: Scratch::default(),
            slots: Vec::new(),
            base: 0,
            current: None,
            at: Mark::default(),
            calling: Mark::default(),
            callers: Vec::new(),
            data: Value::Nil,
            trace: None,
            memory: Rc::default(),
            log: None,
            recall: None,
            said: Said::default(),
            depth: 0,
            nesting: Vec::new(),
            overlay: None,
            parsed: HashMap::default(),
            bytes_left: limits.bytes,
            steps_left: limits.steps,
            steps_to_poll: STEPS_PER_POLL,
            limits,
        }
    }

    /// The same render with another answer to missing keys.
    pub fn with_missing_key(mut self, missing_key: MissingKey) -> Self {
        self.missing_key = missing_key;
        self
    }

    /// The same render, watched.
    pub fn with_trace(mut self, trace: Trace) -> Self {
        self.trace = Some(Box::new(trace));
        self
    }

    /// The same render, with more templates than those of the set.
    pub(crate) fn with_shelf(mut self, shelf: &'r dyn Shelf) -> Self {
        self.shelf = Some(shelf);
        self
    }

    /// The same render, with what functions have made before.
    pub(crate) fn with_memory(mut self, memory: Rc<Memory>) -> Self {
        self.memory = memory;
        self
    }

    /// The same render, where all that files are executed with reports to
    /// `log`. What is included with the same data again is not executed then.
    pub(crate) fn with_log(mut self, log: Rc<Log>) -> Self {
        self.log = Some(log);
        self
    }

    /// The same render, with what parts of its files wrote in the last one.
    pub(crate) fn with_recall(mut self, recall: Rc<Recall>) -> Self {
        self.recall = Some(recall);
        self
    }

    /// What was seen, if the render was watched; from here on it is not.
    pub fn take_trace(&mut self) -> Option<Trace> {
        self.trace.take().map(|trace| *trace)
    }

    /// Executes a template and appends to `out` what it writes.
    ///
    /// # Errors
    ///
    /// Fails with Go's message. What was written up to there stays in `out`.
    pub fn execute(&mut self, name: &str, data: Value, out: &mut Vec<u8>) -> Result<(), Error> {
        let template = self.template(name).ok_or_else(|| self.undefined(name))?;
        // An earlier execution may have failed half-way.
        self.slots.clear();
        self.nesting.clear();
        self.overlay = None;
        self.depth = 0;
        self.callers.clear();
        self.data = data.clone();
        std::mem::swap(&mut self.out, out);
        let result = self.run(&template, Operand::plain(data));
        std::mem::swap(&mut self.out, out);
        self.current = None;
        self.data = Value::Nil;
        if let Some(trace) = &mut self.trace {
            trace.file(&template.name, out);
        }
        result
    }

    /// What functions may ask of the world.
    pub fn host(&self) -> &'r dyn Host {
        self.ask();
        self.host
    }

    /// The world is asked for what may be different the next time.
    fn ask(&self) {
        if let Some(log) = &self.log {
            log.ask();
        }
    }

    /// The random numbers for the function that is being called.
    pub fn draw(&self) -> Draw<'r> {
        self.ask();
        let key = match self.host.has_streams() {
            true => self.host.stream(&self.site()),
            false => None,
        };
        Draw::new(self.host, key)
    }

    /// What `make` makes. It must be the same whenever `function` and `input`
    /// are, so that it can be what was made before, in this render or another.
    ///
    /// # Errors
    ///
    /// Those of `make`.
    pub(crate) fn once<T: Any + Send + Sync, E>(
        &self,
        function: &'static str,
        input: Str,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        self.memory.once(function, input, make)
    }

    /// As [`once`](Self::once), of what is written of a value.
    ///
    /// # Errors
    ///
    /// If the value cannot be written, and those of `make`.
    pub(crate) fn once_written<T: Any + Send + Sync>(
        &self,
        function: &'static str,
        value: &Value,
        make: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<Arc<T>, Failure> {
        self.memory.once(function, plain(value, self.room())?, make)
    }

    /// What `make` makes of the random numbers of this call and of nothing else
    /// but `function` and `input`. Numbers that are told by a key are always
    /// the same, so as [`once`](Self::once) it can be what another render made.
    ///
    /// # Errors
    ///
    /// Those of `make`.
    pub(crate) fn drawn<T: Any + Send + Sync, E>(
        &self,
        function: &'static str,
        input: &[u8],
        make: impl FnOnce(&Draw<'r>) -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let draw = self.draw();
        match draw.key() {
            // All keys are equally long, so it is clear where the input begins.
            Some(key) => {
                let input = Str::from_bytes(&[&key, input].concat());
                self.once(function, input, || make(&draw))
            }
            None => make(&draw).map(Arc::new),
        }
    }

    /// Which call this is; see [`Host::stream`].
    fn site(&self) -> String {
        let mut site = String::new();
        let here = self.current.as_ref().map(|template| Frame {
            template: template.clone(),
            node: self.calling,
        });
        for frame in self.callers.iter().chain(&here) {
            let node = frame.location().node.unwrap_or_default();
            site.push_str(&frame.template.name);
            site.push('\n');
            site.push_str(&node);
            site.push('\n');
        }
        site
    }

    /// Counts bytes that a function is about to produce.
    ///
    /// The results of functions are counted anyway. A function that can make
    /// much from little, as `repeat` does, asks before it does so.
    ///
    /// # Errors
    ///
    /// Fails if they are more than the render may still produce.
    pub fn charge(&mut self, bytes: usize) -> Result<(), Failure> {
        match self.bytes_left.checked_sub(bytes as u64) {
            Some(left) => {
                self.bytes_left = left;
                Ok(())
            }
            None => Err(self.cut(Cut::TooLong)),
        }
    }

    /// Whether so many bytes may still be produced, for what is counted when it
    /// is returned.
    ///
    /// # Errors
    ///
    /// Fails if they are too many.
    pub fn check(&self, bytes: usize) -> Result<(), Failure> {
        match bytes > self.room() {
            true => Err(self.cut(Cut::TooLong)),
            false => Ok(()),
        }
    }

    /// Counts elements of a list or map that a function is about to make, beyond
    /// those of its arguments.
    ///
    /// # Errors
    ///
    /// As [`Context::charge`].
    pub fn charge_elements(&mut self, count: usize) -> Result<(), Failure> {
        self.charge(count.saturating_mul(size_of::<Value>()))
    }

    /// How many bytes the render may still produce.
    pub fn room(&self) -> usize {
        usize::try_from(self.bytes_left).unwrap_or(usize::MAX)
    }

    /// A value as Go's `%v` prints it.
    ///
    /// # Errors
    ///
    /// Fails if it is longer than what the render may still produce, or contains
    /// itself.
    pub fn sprint(&self, value: &Value) -> Result<Str, Failure> {
        if let Value::Str(text) = value {
            return Ok(text.clone());
        }
        let mut out = Vec::new();
        printf::print(&mut out, value, self.room()).map_err(|cut| self.cut(cut))?;
        Ok(out.into())
    }

    /// Go's `reflect.DeepEqual`, see [`Value::deep_equal`].
    ///
    /// # Errors
    ///
    /// As [`Context::step`], for each pair that is compared.
    pub fn deep_equal(&mut self, a: &Value, b: &Value) -> Result<bool, Failure> {
        a.deep_equal_by(b, &mut || self.step())
    }

    fn cut(&self, cut: Cut) -> Failure {
        match cut {
            Cut::TooLong => Failure::limit(format!(
                "the render produces more than {} bytes",
                self.limits.bytes
            )),
            Cut::TooDeep => {
                Failure::limit("the value nests too deeply to be printed: does it contain itself?")
            }
        }
    }

    // ---- templates ----

    /// The template that a name refers to now.
    fn template(&self, name: &str) -> Option<Arc<Template>> {
        let mut empty = None;
        let mut overlay = self.overlay.as_deref();
        while let Some(layer) = overlay {
            let found = layer.templates.iter().find(|found| &*found.name == name);
            match found {
                // An empty definition does not replace another.
                Some(found) if found.is_empty() => empty = Some(found.clone()),
                Some(found) => return Some(found.clone()),
                None => {}
            }
            overlay = layer.below.as_deref();
        }
        let known = self.set.get(name).cloned();
        known.or_else(|| self.shelf?.find(name)).or(empty)
    }

    fn undefined(&self, name: &str) -> Error {
        let detail = format!(
            "template: no template {} associated with template {}",
            quote(name.as_bytes()),
            quote(self.set.name().as_bytes())
        );
        Error::new(ErrorKind::Undefined, None, detail)
    }

    /// Executes a template with variables of its own.
    fn run(&mut self, template: &Arc<Template>, dot: Operand) -> Result<(), Error> {
        let base = self.slots.len();
        self.slots.resize(base + template.slots, None);
        self.slots[base] = Some(dot.clone());
        let outer_base = std::mem::replace(&mut self.base, base);
        let calling = self.calling;
        let outer = self.current.replace(template.clone());
        if let Some(trace) = &mut self.trace {
            trace.enter(outer.as_ref().map(|template| (template, calling)));
        }
        let called = outer.is_some();
        self.callers.extend(outer.map(|template| Frame {
            template,
            node: calling,
        }));
        let result = deeper(|| {
            let Source { nodes, text, .. } = &*template.source;
            let dot = &dot;
            self.walk(Here { nodes, text, dot }, template.body)
        });
        // Restored after a failure too: the caller adds its own place to it.
        self.current = match called {
            true => self.callers.pop().map(|frame| frame.template),
            false => None,
        };
        self.calling = calling;
        if let Some(trace) = &mut self.trace {
            trace.leave();
        }
        self.base = outer_base;
        self.slots.truncate(base);
        result.map(|_| ())
    }

    // ---- errors ----

    fn at(&mut self, mark: Mark) {
        self.at = mark;
    }

    #[cold]
    #[inline(never)]
    fn error(&self, detail: impl Into<String>) -> Error {
        self.error_of(ErrorKind::Evaluate, detail)
    }

    #[cold]
    #[inline(never)]
    fn error_of(&self, kind: ErrorKind, detail: impl Into<String>) -> Error {
        let location = self
            .current
            .as_ref()
            .map(|template| template.locate(self.at));
        Error::new(kind, location, detail).within(self.stack())
    }

    /// The calls that led here, outermost first, and where we are. Of a deep
    /// recursion the middle is left out.
    fn stack(&self) -> Vec<Frame> {
        const HEAD: usize = 16;
        const TAIL: usize = 48;
        let here = self.current.as_ref().map(|template| Frame {
            template: template.clone(),
            node: self.at,
        });
        let mut stack = match self.callers.len() {
            all if all > HEAD + TAIL => {
                [&self.callers[..HEAD], &self.callers[all - TAIL..]].concat()
            }
            _ => self.callers.clone(),
        };
        stack.extend(here);
        stack
    }

    #[cold]
    #[inline(never)]
    fn call_failed(&mut self, node: Mark, name: &str, failure: Failure) -> Error {
        self.at(node);
        let location = self
            .current
            .as_ref()
            .expect("only a template calls functions")
            .locate(self.at);
        let inside = failure.is_of_template();
        let error = Error::calling(location, name, failure);
        match inside {
            true => error,
            false => error.within(self.stack()),
        }
    }

    /// Counts a step of the render. A function that goes through values asks
    /// before each: what is small in memory can take long, as a list may hold
    /// another one many times.
    ///
    /// # Errors
    ///
    /// Fails after as many steps as the render may take, and when its time is
    /// over.
    pub fn step(&mut self) -> Result<(), Failure> {
        self.steps_to_poll -= 1;
        match self.steps_to_poll {
            0 => self.poll(),
            _ => Ok(()),
        }
    }

    /// Whether there is time left, for functions that take milliseconds.
    ///
    /// # Errors
    ///
    /// Fails if there is none.
    pub fn on_time(&self) -> Result<(), Failure> {
        match self.host.expired() {
            true => Err(Failure::limit("the render took too long")),
            false => Ok(()),
        }
    }

    #[cold]
    #[inline(never)]
    fn poll(&mut self) -> Result<(), Failure> {
        self.steps_to_poll = STEPS_PER_POLL;
        self.on_time()?;
        self.steps_left = self.steps_left.checked_sub(STEPS_PER_POLL).ok_or_else(|| {
            Failure::limit(format!(
                "the render takes more than {} steps",
                self.limits.steps
            ))
        })?;
        Ok(())
    }

    /// How many steps the render may still take.
    fn steps(&self) -> u64 {
        self.steps_left.saturating_add(self.steps_to_poll)
    }

    /// Counts what was written from there on, and takes back what is too much.
    fn wrote(&mut self, from: usize) -> Result<(), Error> {
        self.charge(self.out.len() - from).map_err(|failure| {
            self.out.truncate(from);
            self.beyond(failure)
        })
    }

    /// A failure of the executor itself to stay within its limits.
    fn beyond(&self, failure: Failure) -> Error {
        self.error_of(ErrorKind::Limit, failure.to_string())
    }
}
