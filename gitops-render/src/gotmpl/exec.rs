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

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use ecow::EcoString;
use smallvec::SmallVec;

use super::ast::{
    Branch, Call, Callee, Chain, Command, Constant, Expr, Mark, Node, Pipe, Template, Variable,
};
use super::builtins::{Builtin, TOO_DEEP, missing, no_entry};
use super::error::{Error, ErrorKind};
use super::function::{Args, Failure, Function, Signature, Type};
use super::printf::{self, quote};
use super::set::{File, Set};
use super::stack::deeper;
use super::text::Str;
use super::value::{Kind, Value};

/// What functions may ask of the world. Everything else about a render is in
/// its data.
pub trait Host {
    /// The time that `now` and the date functions take for the present.
    fn now(&self) -> SystemTime;

    /// Fills `buffer` with random bytes; a seeded source makes renders
    /// repeatable.
    fn random(&self, buffer: &mut [u8]);

    /// Helm's `lookup`: the object, the list of objects if `name` is empty, or
    /// an empty map.
    ///
    /// # Errors
    ///
    /// Fails if a cluster was asked and did not answer.
    fn lookup(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<gitops_core::Value, Failure>;

    /// Helm's `getHostByName`: an address, or nothing if it is not enabled.
    fn resolve(&self, host: &str) -> Str;

    /// Whether to give up. It is asked every few thousand steps.
    fn expired(&self) -> bool {
        false
    }
}

/// How far a render may go. A template that goes further fails with an error
/// of kind [`ErrorKind::Limit`].
#[derive(Clone, Debug)]
pub struct Limits {
    /// How deep `{{template}}` may nest. Go's limit, and the default, is
    /// 100000; a level needs about a kilobyte.
    pub template_depth: usize,
    /// How often one name may be included within itself. Helm's limit, and the
    /// default, is 1000.
    pub include_depth: usize,
    /// How deep `include` and `tpl` may nest altogether. Go would exhaust its
    /// stack. The default is 10000.
    pub nesting: usize,
    /// How many bytes may be written and produced by functions in all. The
    /// default is 4 GiB.
    pub bytes: u64,
    /// How many nodes may be executed in all. The default is 2^32.
    pub steps: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            template_depth: 100_000,
            include_depth: 1000,
            nesting: 10_000,
            bytes: 1 << 32,
            steps: 1 << 32,
        }
    }
}

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

/// `include` and `tpl`, which execute templates and so are part of the engine.
///
/// They are functions like any other: [`Functions::new`](super::Functions::new)
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

/// A value, and whether it was read from a place of type `interface {}`.
///
/// `Nil` is Go's nil interface if it was, and reflection's invalid value if it
/// was not.
#[derive(Clone, Default)]
pub(super) struct Operand {
    pub(super) value: Value,
    pub(super) boxed: bool,
}

impl Operand {
    pub(super) fn plain(value: Value) -> Self {
        Operand {
            value,
            boxed: false,
        }
    }

    pub(super) fn boxed(value: Value) -> Self {
        Operand { value, boxed: true }
    }

    fn is_invalid(&self) -> bool {
        !self.boxed && matches!(self.value, Value::Nil)
    }

    fn is_nil_interface(&self) -> bool {
        self.boxed && matches!(self.value, Value::Nil)
    }

    /// The static type, as reflection knows it.
    fn type_name(&self) -> std::borrow::Cow<'_, str> {
        match self.boxed {
            true => "interface {}".into(),
            false => self.value.type_name(),
        }
    }
}

/// The arguments of a call.
type Values = SmallVec<[Value; 4]>;

/// What an argument is evaluated for.
#[derive(Clone, Copy)]
enum Want {
    Type(Type),
    /// `reflect.Value`, the parameters of most builtins.
    Reflect,
    /// The operand before `.field`, which may be anything.
    Anything,
}

impl Want {
    fn name(self) -> &'static str {
        match self {
            Want::Type(kind) => kind.name(),
            Want::Reflect => "reflect.Value",
            Want::Anything => "<nil>",
        }
    }
}

/// What to do after a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

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
    host: &'r dyn Host,
    limits: Limits,
    missing_key: MissingKey,
    out: Vec<u8>,
    buffers: Vec<Vec<u8>>,
    /// The variables of all executing templates; those of the current one
    /// start at `base`.
    slots: Vec<Option<Operand>>,
    base: usize,
    /// The template that is executing, for errors.
    current: Option<Arc<Template>>,
    /// The number of the node that Go would be at.
    at: u32,
    /// How deep `{{template}}` nests since the last `include`.
    depth: usize,
    /// The names that are being included, `None` for `tpl`.
    nesting: Vec<Option<Arc<str>>>,
    overlay: Option<Rc<Overlay>>,
    parsed: HashMap<Str, File>,
    bytes_left: u64,
    steps_left: u64,
    steps_to_poll: u64,
}

impl<'r> Context<'r> {
    /// A render of the templates of a set.
    pub fn new(set: &'r Set, host: &'r dyn Host, limits: Limits) -> Self {
        Context {
            set,
            host,
            missing_key: MissingKey::default(),
            out: Vec::new(),
            buffers: Vec::new(),
            slots: Vec::new(),
            base: 0,
            current: None,
            at: 0,
            depth: 0,
            nesting: Vec::new(),
            overlay: None,
            parsed: HashMap::new(),
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
        std::mem::swap(&mut self.out, out);
        let result = self.run(&template, Operand::plain(data));
        std::mem::swap(&mut self.out, out);
        self.current = None;
        result
    }

    /// What functions may ask of the world.
    pub fn host(&self) -> &'r dyn Host {
        self.host
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
            None => Err(Failure::limit(format!(
                "the render produces more than {} bytes",
                self.limits.bytes
            ))),
        }
    }

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
        let result = self.include_in_place(&name.to_text(), data);
        let mut buffer = std::mem::replace(&mut self.out, outer);
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
                let name = self.set.name();
                let file = File::parse(name, bytes, self.set.functions()).map_err(|error| {
                    Failure::template(format!("cannot parse template {}: ", quote(bytes)), error)
                })?;
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
        let result = self.nested(None, &template, data);
        let mut buffer = std::mem::replace(&mut self.out, outer);
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
        self.set.get(name).cloned().or(empty)
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
        let outer = self.current.replace(template.clone());
        let result = deeper(|| self.walk(&dot, &template.body));
        // Restored after a failure too: the caller adds its own place to it.
        self.current = outer;
        self.base = outer_base;
        self.slots.truncate(base);
        result.map(|_| ())
    }

    fn include_in_place(&mut self, name: &str, data: Value) -> Result<(), Failure> {
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
        self.nested(Some(template.name.clone()), &template, data)
            .map_err(|cause| match cause {
                Nested::Limit(failure) => failure,
                Nested::Template(error) => Failure::template("", error),
            })
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

    // ---- errors ----

    fn at(&mut self, mark: Mark) {
        self.at = mark.id;
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
        Error::new(kind, location, detail)
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
        Error::calling(location, name, failure)
    }

    fn step(&mut self) -> Result<(), Error> {
        self.steps_to_poll -= 1;
        match self.steps_to_poll {
            0 => self.poll(),
            _ => Ok(()),
        }
    }

    #[cold]
    #[inline(never)]
    fn poll(&mut self) -> Result<(), Error> {
        self.steps_to_poll = STEPS_PER_POLL;
        if self.host.expired() {
            return Err(self.error_of(ErrorKind::Limit, "the render took too long"));
        }
        self.steps_left = match self.steps_left.checked_sub(STEPS_PER_POLL) {
            Some(left) => left,
            None => {
                let detail = format!("the render takes more than {} steps", self.limits.steps);
                return Err(self.error_of(ErrorKind::Limit, detail));
            }
        };
        Ok(())
    }

    fn wrote(&mut self, bytes: usize) -> Result<(), Error> {
        self.charge(bytes)
            .map_err(|failure| self.error_of(ErrorKind::Limit, failure.to_string()))
    }

    // ---- statements ----

    fn walk(&mut self, dot: &Operand, nodes: &[Node]) -> Result<Flow, Error> {
        for node in nodes {
            self.step()?;
            let flow = match node {
                Node::Text(start, end) => {
                    let length = (end - start) as usize;
                    // The borrow of the template ends before the next node.
                    if let Some(template) = &self.current {
                        self.out.extend_from_slice(template.text(*start, *end));
                    }
                    self.wrote(length)?;
                    Flow::Next
                }
                Node::Action(pipe) => {
                    self.action(dot, pipe)?;
                    Flow::Next
                }
                Node::If(branch) => self.branch(dot, branch, false)?,
                Node::With(branch) => self.branch(dot, branch, true)?,
                Node::Range(branch) => self.range(dot, branch)?,
                Node::Template(call) => {
                    self.call_template(dot, call)?;
                    Flow::Next
                }
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
            };
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn action(&mut self, dot: &Operand, pipe: &Pipe) -> Result<(), Error> {
        if !pipe.declared.is_empty() {
            self.pipeline(dot, pipe)?;
            return Ok(());
        }
        let before = self.out.len();
        if let Some(place) = pipe.place()
            && let Some(true) = peek(&self.slots, self.base, dot, place, |value| {
                print_scalar(&mut self.out, value)
            })
        {
            return self.wrote(self.out.len() - before);
        }
        // An `include` at the end of the pipeline writes where its result
        // would be printed.
        if let Some((last, earlier)) = pipe.commands.split_last()
            && let [Expr::Function(mark, Callee::Include(function)), args @ ..] = &last.args[..]
        {
            let last_value = self.commands(dot, pipe, earlier)?;
            self.at(*mark);
            let mut values = Values::new();
            let signature = &function.signature;
            self.arguments(dot, function.name, signature, args, last_value, &mut values)?;
            let data = std::mem::take(&mut values[1]);
            let Value::Str(name) = &values[0] else {
                unreachable!("the argument was checked against the signature");
            };
            let result = self.include_in_place(&name.to_text(), data);
            return result.map_err(|failure| {
                // Of a failed `include` nothing is printed.
                self.out.truncate(before);
                self.call_failed(last.mark, function.name, failure)
            });
        }
        let value = self.pipeline(dot, pipe)?;
        self.print(&value)
    }

    fn print(&mut self, operand: &Operand) -> Result<(), Error> {
        let before = self.out.len();
        let complete = match &operand.value {
            Value::Nil => {
                self.out.extend_from_slice(b"<no value>");
                true
            }
            // A pointer is printed as what it points to.
            Value::Object(object) if object.kind() == Kind::Ptr && object.text().is_none() => {
                let mut text = Vec::new();
                let complete = printf::print(&mut text, &operand.value);
                self.out
                    .extend_from_slice(text.strip_prefix(b"&").unwrap_or(&text));
                complete
            }
            value => printf::print(&mut self.out, value),
        };
        if !complete {
            return Err(self.error_of(ErrorKind::Limit, TOO_DEEP));
        }
        self.wrote(self.out.len() - before)
    }

    fn branch(&mut self, dot: &Operand, branch: &Branch, with: bool) -> Result<Flow, Error> {
        let place = match with {
            true => None,
            false => branch.pipe.place(),
        };
        let peeked =
            place.and_then(|place| peek(&self.slots, self.base, dot, place, Value::is_true));
        let mut value = Operand::default();
        let truth = match peeked {
            Some(truth) => truth,
            None => {
                value = self.pipeline(dot, &branch.pipe)?;
                value.value.is_true()
            }
        };
        let (dot, list) = match truth {
            true if with => (&value, &branch.list),
            true => (dot, &branch.list),
            false => match &branch.otherwise {
                Some(otherwise) => (dot, otherwise),
                None => return Ok(Flow::Next),
            },
        };
        deeper(|| self.walk(dot, list))
    }

    fn call_template(&mut self, dot: &Operand, call: &Call) -> Result<(), Error> {
        self.at(call.mark);
        let Some(template) = self.template(&call.name) else {
            let name = quote(call.name.as_bytes());
            return Err(self.error_of(ErrorKind::Undefined, format!("template {name} not defined")));
        };
        if self.depth >= self.limits.template_depth {
            let detail = format!(
                "exceeded maximum template depth ({})",
                self.limits.template_depth
            );
            return Err(self.error_of(ErrorKind::Limit, detail));
        }
        let dot = match &call.pipe {
            Some(pipe) => self.pipeline(dot, pipe)?,
            None => Operand::default(),
        };
        self.depth += 1;
        let at = self.at;
        self.run(&template, dot)?;
        self.at = at;
        self.depth -= 1;
        Ok(())
    }

    fn range(&mut self, dot: &Operand, branch: &Branch) -> Result<Flow, Error> {
        let over = self.pipeline(dot, &branch.pipe)?.value;
        let mut any = false;
        // The body of one iteration; true to stop.
        macro_rules! iterate {
            ($index:expr, $element:expr) => {{
                any = true;
                if self.iteration(branch, $index, $element)? == Flow::Break {
                    break;
                }
            }};
        }
        match &over {
            Value::Nil => {}
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    iterate!(
                        Operand::plain(Value::Int(index as i64)),
                        Operand::boxed(item.clone())
                    );
                }
            }
            Value::Map(map) => {
                let boxed = map.kind().is_boxed();
                for (key, value) in map.entries() {
                    iterate!(Operand::plain(Value::Str(key)), Operand { value, boxed });
                }
            }
            Value::Int(_)
            | Value::Int64(_)
            | Value::Int32(_)
            | Value::Uint64(_)
            | Value::Uint32(_)
            | Value::Uint8(_) => {
                if branch.pipe.declared.len() > 1 {
                    let shown = printf::sprint(&over);
                    return Err(self.error(format!(
                        "can't use {shown} to iterate over more than one variable"
                    )));
                }
                let count = match over {
                    Value::Int(n) | Value::Int64(n) => u64::try_from(n).unwrap_or(0),
                    Value::Int32(n) => u64::try_from(n).unwrap_or(0),
                    Value::Uint64(n) => n,
                    Value::Uint32(n) => n.into(),
                    Value::Uint8(n) => n.into(),
                    _ => unreachable!("the outer match lists the integers"),
                };
                for number in 0..count {
                    let element = match over {
                        Value::Int64(_) => Value::Int64(number as i64),
                        Value::Int32(_) => Value::Int32(number as i32),
                        Value::Uint64(_) => Value::Uint64(number),
                        Value::Uint32(_) => Value::Uint32(number as u32),
                        Value::Uint8(_) => Value::Uint8(number as u8),
                        _ => Value::Int(number as i64),
                    };
                    iterate!(Operand::default(), Operand::plain(element));
                }
            }
            Value::Object(object) if object.kind() == Kind::Map => {
                for (key, value) in object.entries() {
                    iterate!(Operand::plain(Value::Str(key)), Operand::plain(value));
                }
            }
            other => match other.elements() {
                Some(items) => {
                    for (index, item) in items.iter().enumerate() {
                        iterate!(
                            Operand::plain(Value::Int(index as i64)),
                            Operand::plain(item.clone())
                        );
                    }
                }
                None => {
                    let shown = printf::sprint(other);
                    return Err(self.error(format!("range can't iterate over {shown}")));
                }
            },
        }
        match &branch.otherwise {
            Some(otherwise) if !any => deeper(|| self.walk(dot, otherwise)),
            _ => Ok(Flow::Next),
        }
    }

    fn iteration(
        &mut self,
        branch: &Branch,
        index: Operand,
        element: Operand,
    ) -> Result<Flow, Error> {
        self.step()?;
        match &branch.pipe.declared[..] {
            [] => {}
            [only] => self.assign(&only.name, only.slot, element.clone())?,
            [first, second, ..] => {
                self.assign(&first.name, first.slot, index)?;
                self.assign(&second.name, second.slot, element.clone())?;
            }
        }
        deeper(|| self.walk(&element, &branch.list))
    }

    fn assign(&mut self, name: &str, slot: Option<u32>, value: Operand) -> Result<(), Error> {
        let Some(slot) = slot else {
            return Err(self.error(format!("undefined variable: {name}")));
        };
        let base = self.base;
        self.slots[base + slot as usize] = Some(value);
        Ok(())
    }

    // ---- expressions ----

    fn pipeline(&mut self, dot: &Operand, pipe: &Pipe) -> Result<Operand, Error> {
        if let ([command], [], []) = (&pipe.commands[..], &pipe.declared[..], &pipe.nested[..]) {
            self.at(pipe.mark);
            let mut value = self.command(dot, command, None)?;
            value.boxed = false;
            return Ok(value);
        }
        let value = self
            .commands(dot, pipe, &pipe.commands)?
            .unwrap_or_default();
        for declared in &pipe.declared {
            self.assign(&declared.name, declared.slot, value.clone())?;
        }
        Ok(value)
    }

    /// Some commands of a pipeline, each given the value of the one before.
    fn commands(
        &mut self,
        dot: &Operand,
        pipe: &Pipe,
        commands: &[Command],
    ) -> Result<Option<Operand>, Error> {
        self.at(pipe.mark);
        for (slot, before) in &pipe.nested {
            let base = self.base;
            // Until it is declared, the name means what it meant before.
            self.slots[base + *slot as usize] =
                before.and_then(|before| self.slots[base + before as usize].clone());
        }
        let mut value = None;
        for command in commands {
            let mut result = self.command(dot, command, value)?;
            result.boxed = false;
            value = Some(result);
        }
        Ok(value)
    }

    fn command(
        &mut self,
        dot: &Operand,
        command: &Command,
        last: Option<Operand>,
    ) -> Result<Operand, Error> {
        let (first, args) = command
            .args
            .split_first()
            .expect("the parser rejects empty commands");
        match first {
            Expr::Field(mark, names) => {
                self.at(*mark);
                self.fields(dot, dot, *mark, names, args, last)
            }
            Expr::Chain(mark, chain) => self.chain(dot, *mark, chain, args, last),
            Expr::Function(mark, callee) => {
                self.function(dot, *mark, *callee, command.mark, args, last)
            }
            Expr::Pipe(pipe) => {
                self.not_a_function(first, args, &last)?;
                deeper(|| self.pipeline(dot, pipe))
            }
            Expr::Variable(mark, variable) => {
                self.variable(dot, first, *mark, variable, args, last)
            }
            Expr::Bool(mark, flag) => {
                self.at(*mark);
                self.not_a_function(first, args, &last)?;
                Ok(Operand::plain(Value::Bool(*flag)))
            }
            Expr::Dot(mark) => {
                self.at(*mark);
                self.not_a_function(first, args, &last)?;
                Ok(dot.clone())
            }
            Expr::Nil(mark) => {
                self.at(*mark);
                self.not_a_function(first, args, &last)?;
                Err(self.error("nil is not a command"))
            }
            Expr::Number(mark, constant) => {
                self.at(*mark);
                self.not_a_function(first, args, &last)?;
                self.ideal(constant)
            }
            Expr::Text(mark, literal) => {
                self.at(*mark);
                self.not_a_function(first, args, &last)?;
                Ok(Operand::plain(Value::Str(literal.text.clone())))
            }
        }
    }

    fn not_a_function(
        &self,
        first: &Expr,
        args: &[Expr],
        last: &Option<Operand>,
    ) -> Result<(), Error> {
        match args.is_empty() && last.is_none() {
            true => Ok(()),
            false => Err(self.error(format!("can't give argument to non-function {first}"))),
        }
    }

    /// A numeric constant where no type is asked for.
    fn ideal(&self, constant: &Constant) -> Result<Operand, Error> {
        let number = constant.number;
        let text = constant.text.as_str();
        let hexadecimal = text.len() > 2
            && text.starts_with(['0'])
            && text[1..].starts_with(['x', 'X'])
            && !text.contains(['p', 'P']);
        Ok(Operand::plain(
            if let Some((real, imaginary)) = number.complex {
                Value::Complex(real, imaginary)
            } else if let Some(float) = number.float
                && !hexadecimal
                && !text.starts_with('\'')
                && text.contains(['.', 'e', 'E', 'p', 'P'])
            {
                Value::Float(float)
            } else if let Some(int) = number.int {
                Value::Int(int)
            } else {
                return Err(self.error(format!("{text} overflows int")));
            },
        ))
    }

    fn chain(
        &mut self,
        dot: &Operand,
        mark: Mark,
        chain: &Chain,
        args: &[Expr],
        last: Option<Operand>,
    ) -> Result<Operand, Error> {
        self.at(mark);
        let receiver = self.argument(dot, Want::Anything, &chain.node)?;
        self.fields(dot, &receiver, mark, &chain.fields, args, last)
    }

    fn variable(
        &mut self,
        dot: &Operand,
        expr: &Expr,
        mark: Mark,
        variable: &Variable,
        args: &[Expr],
        last: Option<Operand>,
    ) -> Result<Operand, Error> {
        self.at(mark);
        let held = variable
            .slot
            .and_then(|slot| self.slots[self.base + slot as usize].as_ref());
        let Some(held) = held else {
            return Err(self.error(format!("undefined variable: {}", variable.name)));
        };
        if variable.fields.is_empty() {
            let held = held.clone();
            self.not_a_function(expr, args, &last)?;
            return Ok(held);
        }
        if args.is_empty()
            && last.is_none()
            && let Some(found) = through_maps(held, &variable.fields)
        {
            return Ok(found);
        }
        let held = held.clone();
        self.fields(dot, &held, mark, &variable.fields, args, last)
    }

    /// `.a.b.c`, where the last name may be a method that takes arguments.
    fn fields(
        &mut self,
        dot: &Operand,
        receiver: &Operand,
        mark: Mark,
        names: &[EcoString],
        args: &[Expr],
        last: Option<Operand>,
    ) -> Result<Operand, Error> {
        if args.is_empty()
            && last.is_none()
            && let Some(found) = through_maps(receiver, names)
        {
            return Ok(found);
        }
        let (name, before) = names
            .split_last()
            .expect("the parser makes no empty chains");
        let mut holder;
        let mut receiver = receiver;
        for name in before {
            holder = self.field(dot, receiver, mark, name, &[], None)?;
            receiver = &holder;
        }
        self.field(dot, receiver, mark, name, args, last)
    }

    fn field(
        &mut self,
        dot: &Operand,
        receiver: &Operand,
        mark: Mark,
        name: &str,
        args: &[Expr],
        last: Option<Operand>,
    ) -> Result<Operand, Error> {
        if receiver.is_invalid() {
            if self.missing_key == MissingKey::Error {
                let name = quote(name.as_bytes());
                return Err(self.error(format!("nil data; no entry for key {name}")));
            }
            return Ok(Operand::default());
        }
        if receiver.is_nil_interface() {
            return Err(self.error(format!("nil pointer evaluating interface {{}}.{name}")));
        }
        let has_args = !args.is_empty() || last.is_some();
        match &receiver.value {
            Value::Map(map) => {
                let functions = self.set.functions();
                if let Some(method) = functions.values_method(map.kind(), name) {
                    let map = map.clone();
                    let mut values = Values::new();
                    self.arguments(dot, name, &method.signature, args, last, &mut values)?;
                    let result = (method.call)(&map, self, &mut Args::new(&mut values));
                    return self.returned(mark, name, &method.signature, result);
                }
                if has_args {
                    return Err(self.error(format!("{name} is not a method but has arguments")));
                }
                let value = match (map.get(name), self.missing_key) {
                    (Some(value), _) => Operand {
                        value,
                        boxed: map.kind().is_boxed(),
                    },
                    (None, MissingKey::Zero) => missing(map.kind()),
                    (None, MissingKey::Invalid) => Operand::default(),
                    (None, MissingKey::Error) => return Err(self.error(no_entry(name))),
                };
                return Ok(value);
            }
            Value::Object(object) => {
                if let Some(method) = object.method(name) {
                    let object = object.clone();
                    let mut values = Values::new();
                    self.arguments(dot, name, &method.signature, args, last, &mut values)?;
                    let result = (method.call)(&*object, self, &mut Args::new(&mut values));
                    return self.returned(mark, name, &method.signature, result);
                }
                if let Some(value) = object.field(name) {
                    if has_args {
                        return Err(self.error(match object.kind() {
                            Kind::Map => format!("{name} is not a method but has arguments"),
                            _ => format!("{name} has arguments but cannot be invoked as function"),
                        }));
                    }
                    return Ok(Operand::plain(value));
                }
            }
            _ => {}
        }
        Err(self.error(format!(
            "can't evaluate field {name} in type {}",
            receiver.type_name()
        )))
    }

    fn function(
        &mut self,
        dot: &Operand,
        mark: Mark,
        callee: Callee,
        node: Mark,
        args: &[Expr],
        last: Option<Operand>,
    ) -> Result<Operand, Error> {
        self.at(mark);
        match callee {
            Callee::Builtin(builtin) => self.builtin(dot, builtin, node, args, last),
            Callee::Include(function) | Callee::Function(function) => {
                let name = function.name;
                let mut values = Values::new();
                self.arguments(dot, name, &function.signature, args, last, &mut values)?;
                let result = (function.call)(self, &mut Args::new(&mut values));
                self.returned(node, name, &function.signature, result)
            }
        }
    }

    fn returned(
        &mut self,
        node: Mark,
        name: &str,
        signature: &Signature,
        result: Result<Value, Failure>,
    ) -> Result<Operand, Error> {
        let value = match result {
            Ok(value) => value,
            Err(failure) => return Err(self.call_failed(node, name, failure)),
        };
        if let Value::Str(text) = &value {
            let length = text.len();
            if let Err(failure) = self.charge(length) {
                return Err(self.call_failed(node, name, failure));
            }
        }
        Ok(Operand {
            value,
            boxed: signature.returns == Type::Any,
        })
    }

    fn builtin(
        &mut self,
        dot: &Operand,
        builtin: Builtin,
        node: Mark,
        args: &[Expr],
        last: Option<Operand>,
    ) -> Result<Operand, Error> {
        let (fixed, variadic) = builtin.arity();
        let given = args.len() + usize::from(last.is_some());
        self.check_count(builtin.name(), fixed, variadic, args.len(), given)?;
        if matches!(builtin, Builtin::And | Builtin::Or) {
            let mut value = Operand::default();
            for arg in args {
                value = self.argument(dot, Want::Reflect, arg)?;
                if value.value.is_true() == (builtin == Builtin::Or) {
                    return Ok(value);
                }
            }
            return Ok(last.unwrap_or(value));
        }
        let want = |index: usize| match builtin {
            Builtin::Printf if index == 0 => Want::Type(Type::Str),
            Builtin::Print
            | Builtin::Printf
            | Builtin::Println
            | Builtin::Html
            | Builtin::Js
            | Builtin::Urlquery => Want::Type(Type::Any),
            _ => Want::Reflect,
        };
        let mut operands: SmallVec<[Operand; 4]> = SmallVec::new();
        for (index, arg) in args.iter().enumerate() {
            operands.push(self.argument(dot, want(index), arg)?);
        }
        if let Some(last) = last {
            operands.push(self.validate(last, want(args.len()))?);
        }
        if builtin == Builtin::Call {
            // No value that a template can reach is a function.
            let failure = match (&operands[0].value, args.first()) {
                (Value::Nil, _) => "call of nil".to_owned(),
                (value, Some(arg)) => format!("non-function {arg} of type {}", value.type_name()),
                (Value::Str(text), None) => format!("non-function {text} of type string"),
                (value, None) => {
                    let name = value.type_name();
                    format!("non-function <{name} Value> of type {name}")
                }
            };
            let failure = Failure::new(failure);
            return Err(self.call_failed(node, "call", failure));
        }
        let limit = usize::try_from(self.bytes_left).unwrap_or(usize::MAX);
        let result = match builtin.call(&operands, limit) {
            Ok(result) => result,
            Err(failure) => return Err(self.call_failed(node, builtin.name(), failure)),
        };
        if let Value::Str(text) = &result.value {
            let length = text.len();
            if let Err(failure) = self.charge(length) {
                return Err(self.call_failed(node, builtin.name(), failure));
            }
        }
        Ok(result)
    }

    fn check_count(
        &self,
        name: &str,
        fixed: usize,
        variadic: bool,
        args: usize,
        given: usize,
    ) -> Result<(), Error> {
        if variadic && given < fixed {
            return Err(self.error(format!(
                "wrong number of args for {name}: want at least {fixed} got {args}"
            )));
        }
        if !variadic && given != fixed {
            return Err(self.error(format!(
                "wrong number of args for {name}: want {fixed} got {given}"
            )));
        }
        Ok(())
    }

    /// Evaluates and checks the arguments of a call.
    fn arguments(
        &mut self,
        dot: &Operand,
        name: &str,
        signature: &Signature,
        args: &[Expr],
        last: Option<Operand>,
        values: &mut Values,
    ) -> Result<(), Error> {
        let params = signature.params;
        let fixed = params.len() - usize::from(signature.variadic);
        let given = args.len() + usize::from(last.is_some());
        self.check_count(name, fixed, signature.variadic, args.len(), given)?;
        // The last parameter stands for all further arguments.
        let want = |index: usize| params[index.min(params.len() - 1)];
        for (index, arg) in args.iter().enumerate() {
            let kind = want(index);
            // A field that can be passed as it is, the common case.
            let value = match arg {
                Expr::Field(..) | Expr::Variable(..) if kind != Type::Map => {
                    peek(&self.slots, self.base, dot, arg, |value| {
                        kind.accepts(value).then(|| value.clone())
                    })
                    .flatten()
                }
                _ => None,
            };
            let value = match value {
                Some(value) => {
                    self.at(arg.mark());
                    value
                }
                None => self.argument(dot, Want::Type(kind), arg)?.value,
            };
            values.push(value);
        }
        if let Some(last) = last {
            values.push(self.validate(last, Want::Type(want(args.len())))?.value);
        }
        Ok(())
    }

    fn argument(&mut self, dot: &Operand, want: Want, expr: &Expr) -> Result<Operand, Error> {
        self.at(expr.mark());
        let value = match expr {
            Expr::Dot(_) => dot.clone(),
            Expr::Nil(_) => {
                return match want {
                    Want::Type(kind) => match kind.nil() {
                        Some(value) => Ok(Operand {
                            value,
                            boxed: kind == Type::Any,
                        }),
                        None => Err(self.error(format!("cannot assign nil to {kind}"))),
                    },
                    Want::Reflect => Ok(Operand::default()),
                    Want::Anything => {
                        Err(self.error(format!("indirection through explicit nil in {expr}")))
                    }
                };
            }
            Expr::Field(mark, names) => self.fields(dot, dot, *mark, names, &[], None)?,
            Expr::Variable(mark, variable) => {
                self.variable(dot, expr, *mark, variable, &[], None)?
            }
            Expr::Pipe(pipe) => deeper(|| self.pipeline(dot, pipe))?,
            Expr::Function(mark, callee) => self.function(dot, *mark, *callee, *mark, &[], None)?,
            Expr::Chain(mark, chain) => self.chain(dot, *mark, chain, &[], None)?,
            Expr::Bool(..) | Expr::Number(..) | Expr::Text(..) => {
                return self.constant(want, expr);
            }
        };
        self.validate(value, want)
    }

    /// A literal as an argument, which takes the type of the parameter.
    fn constant(&self, want: Want, expr: &Expr) -> Result<Operand, Error> {
        let Want::Type(kind) = want else {
            return match expr {
                Expr::Bool(_, flag) => Ok(Operand::plain(Value::Bool(*flag))),
                Expr::Number(_, constant) => self.ideal(constant),
                Expr::Text(_, literal) => Ok(Operand::plain(Value::Str(literal.text.clone()))),
                _ => unreachable!("only literals are constants"),
            };
        };
        let number = match expr {
            Expr::Number(_, constant) => Some(constant.number),
            _ => None,
        };
        let value = match (kind, expr) {
            (Type::Any | Type::Bool, Expr::Bool(_, flag)) => Some(Value::Bool(*flag)),
            (Type::Any | Type::Str, Expr::Text(_, literal)) => {
                Some(Value::Str(literal.text.clone()))
            }
            (Type::Any, Expr::Number(_, constant)) => return self.ideal(constant),
            (Type::Int, _) => number.and_then(|number| number.int).map(Value::Int),
            (Type::Int64, _) => number.and_then(|number| number.int).map(Value::Int64),
            (Type::Uint64, _) => number.and_then(|number| number.uint).map(Value::Uint64),
            (Type::Uint32, _) => number
                .and_then(|number| number.uint)
                .map(|number| Value::Uint32(number as u32)),
            (Type::Float, _) => number.and_then(|number| number.float).map(Value::Float),
            _ => None,
        };
        if let Some(value) = value {
            return Ok(Operand::plain(value));
        }
        let expected = match kind {
            Type::Bool => "bool",
            Type::Str => "string",
            Type::Int | Type::Int64 => "integer",
            Type::Uint32 | Type::Uint64 => "unsigned integer",
            Type::Float => "float",
            _ => {
                return Err(self.error(format!("can't handle {expr} for arg of type {kind}")));
            }
        };
        Err(self.error(format!("expected {expected}; found {expr}")))
    }

    /// Makes sure that a value can be passed as what is wanted.
    fn validate(&self, operand: Operand, want: Want) -> Result<Operand, Error> {
        let Want::Type(kind) = want else {
            return Ok(operand);
        };
        if operand.is_invalid() {
            return match kind.nil() {
                Some(value) => Ok(Operand {
                    value,
                    boxed: kind == Type::Any,
                }),
                None => Err(self.error(format!("invalid value; expected {}", want.name()))),
            };
        }
        if kind == Type::Any {
            return Ok(operand);
        }
        if kind.accepts(&operand.value) {
            // A named map type is lost when it is passed as a plain map.
            return Ok(match operand.value {
                Value::Map(map) if kind == Type::Map => {
                    Operand::plain(Value::Map(map.with_kind(super::MapKind::Plain)))
                }
                value => Operand::plain(value),
            });
        }
        let got = match operand.is_nil_interface() {
            true => operand.type_name(),
            false => operand.value.type_name(),
        };
        Err(self.error(format!(
            "wrong type for value; expected {}; got {got}",
            want.name()
        )))
    }
}

/// Why a nested execution failed: by itself, or because it may not start.
enum Nested {
    Limit(Failure),
    Template(Error),
}

/// Shows a value where it is, without copying it. `None` if getting there takes
/// more than following names through maps, or a name is missing: that is for
/// [`Context::pipeline`] to sort out.
fn peek<R>(
    slots: &[Option<Operand>],
    base: usize,
    dot: &Operand,
    place: &Expr,
    show: impl FnOnce(&Value) -> R,
) -> Option<R> {
    match place {
        Expr::Dot(_) => Some(show(&dot.value)),
        Expr::Field(_, names) => peek_inside(&dot.value, names, show),
        Expr::Variable(_, variable) => {
            let held = slots.get(base + variable.slot? as usize)?.as_ref()?;
            peek_inside(&held.value, &variable.fields, show)
        }
        _ => None,
    }
}

fn peek_inside<R>(value: &Value, names: &[EcoString], show: impl FnOnce(&Value) -> R) -> Option<R> {
    let Some((name, rest)) = names.split_first() else {
        return Some(show(value));
    };
    match value {
        Value::Map(map) if !map.kind().may_have_method(name) => {
            map.peek(name, |value| peek_inside(value, rest, show))?
        }
        _ => None,
    }
}

/// Prints what needs no care: no methods, no nesting, not nil.
fn print_scalar(out: &mut Vec<u8>, value: &Value) -> bool {
    match value {
        Value::Str(_) | Value::Bool(_) | Value::Int(_) | Value::Int64(_) | Value::Float(_) => {
            printf::print(out, value)
        }
        _ => false,
    }
}

/// Follows names through maps, the common case; `None` if anything else is on
/// the way or a name is missing.
fn through_maps(receiver: &Operand, names: &[EcoString]) -> Option<Operand> {
    let step = |value: &Value, name: &str| match value {
        Value::Map(map) if !map.kind().may_have_method(name) => {
            let value = map.get(name)?;
            let boxed = map.kind().is_boxed();
            Some(Operand { value, boxed })
        }
        _ => None,
    };
    let (name, rest) = names.split_first()?;
    let mut found = step(&receiver.value, name)?;
    for name in rest {
        found = step(&found.value, name)?;
    }
    Some(found)
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
