//! What a template does: text, actions, branches, loops.

use super::operand::{Here, Operand, peek};
use super::{Context, Values, include};
use crate::gotmpl::ast::{Branch, Call, Declared, Expr, Node, Pipe, Run};
use crate::gotmpl::error::{Error, ErrorKind};
use crate::gotmpl::printf::{self, quote};
use crate::gotmpl::stack::deeper;
use crate::gotmpl::trace::Step;
use crate::gotmpl::value::{Kind, Value};

/// What to do after a node.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Next,
    Break,
    Continue,
}

impl Context<'_> {
    pub(super) fn walk(&mut self, here: Here<'_>, list: Run<Node>) -> Result<Flow, Error> {
        for node in &here.nodes[list] {
            self.step().map_err(|failure| self.beyond(failure))?;
            if let Some(trace) = &mut self.trace {
                trace.begin_statement();
            }
            let flow = match *node {
                Node::Text(start, end) => self.text(start, end)?,
                Node::Literal(start, end) => self.text(start + 1, end - 1)?,
                Node::Action(pipe) => {
                    self.action(here, &here.nodes[pipe])?;
                    Flow::Next
                }
                Node::If(branch) => self.branch(here, &here.nodes[branch], false)?,
                Node::With(branch) => self.branch(here, &here.nodes[branch], true)?,
                Node::Range(branch) => self.range(here, &here.nodes[branch])?,
                Node::Template(call) => {
                    self.call_template(here, &here.nodes[call])?;
                    Flow::Next
                }
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
            };
            if let Some(trace) = &mut self.trace {
                trace.end_statement();
            }
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    /// Writes a range of the template's text.
    fn text(&mut self, start: u32, end: u32) -> Result<Flow, Error> {
        let before = self.out.len();
        // The borrow of the template ends before the next node.
        if let Some(template) = &self.current {
            self.out.extend_from_slice(template.text(start, end));
            if let Some(trace) = &mut self.trace {
                trace.text(template, start, before, self.out.len());
            }
        }
        self.wrote(before)?;
        Ok(Flow::Next)
    }

    pub(super) fn action(&mut self, here: Here<'_>, pipe: &Pipe) -> Result<(), Error> {
        if !pipe.declared(here.nodes).is_empty() {
            self.pipeline(here, pipe)?;
            return Ok(());
        }
        let before = self.out.len();
        if self.trace.is_none()
            && let Some(place) = pipe.place(here.nodes)
            && let Some(true) = peek(here, &self.slots, self.base, place, |value| {
                print_scalar(&mut self.out, value)
            })
        {
            return self.wrote(before);
        }
        // An `include` at the end of the pipeline writes where its result
        // would be printed.
        if let [.., last] = &here.nodes[pipe.commands]
            && let [Expr::Function(mark, function), args @ ..] = &here.nodes[last.args]
            && std::ptr::eq(*function, include::INCLUDE)
        {
            let last_value = self.commands(here, pipe, pipe.commands.but_last())?;
            self.at(*mark);
            let mut values = Values::new();
            let signature = &function.signature;
            self.arguments(
                here,
                function.name,
                signature,
                args,
                last_value,
                &mut values,
            )?;
            self.calling = last.mark;
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
        let value = self.pipeline(here, pipe)?;
        self.print(&value)?;
        if let Some(trace) = &mut self.trace
            && let Some(template) = &self.current
        {
            trace.wrote(template, pipe.mark, before, &self.out);
        }
        Ok(())
    }

    pub(super) fn print(&mut self, operand: &Operand) -> Result<(), Error> {
        let before = self.out.len();
        let limit = before.saturating_add(self.room());
        let printed = match &operand.value {
            Value::Nil => {
                self.out.extend_from_slice(b"<no value>");
                Ok(())
            }
            // A pointer is printed as what it points to.
            Value::Object(object) if object.kind() == Kind::Ptr && object.text().is_none() => {
                let mut text = Vec::new();
                let printed = printf::print(&mut text, &operand.value, limit);
                self.out
                    .extend_from_slice(text.strip_prefix(b"&").unwrap_or(&text));
                printed
            }
            value => printf::print(&mut self.out, value, limit),
        };
        if let Err(cut) = printed {
            self.out.truncate(before);
            return Err(self.beyond(self.cut(cut)));
        }
        self.wrote(before)
    }

    pub(super) fn branch(
        &mut self,
        here: Here<'_>,
        branch: &Branch,
        with: bool,
    ) -> Result<Flow, Error> {
        let pipe = &here.nodes[branch.pipe];
        let place = match with || self.trace.is_some() {
            true => None,
            false => pipe.place(here.nodes),
        };
        let peeked =
            place.and_then(|place| peek(here, &self.slots, self.base, place, Value::is_true));
        let mut value = Operand::default();
        let truth = match peeked {
            Some(truth) => truth,
            None => {
                value = self.pipeline(here, pipe)?;
                value.value.is_true()
            }
        };
        let (dot, list) = match truth {
            true if with => (&value, branch.list),
            true => (here.dot, branch.list),
            false => match branch.otherwise {
                Some(otherwise) => (here.dot, otherwise),
                None => return Ok(Flow::Next),
            },
        };
        if let Some(trace) = &mut self.trace {
            trace.open_scope();
        }
        let flow = deeper(|| self.walk(Here { dot, ..here }, list))?;
        if let Some(trace) = &mut self.trace {
            trace.close_scope();
        }
        Ok(flow)
    }

    pub(super) fn call_template(&mut self, here: Here<'_>, call: &Call) -> Result<(), Error> {
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
        let dot = match call.pipe {
            Some(pipe) => self.pipeline(here, &here.nodes[pipe])?,
            None => Operand::default(),
        };
        self.depth += 1;
        self.calling = call.mark;
        let at = self.at;
        self.run(&template, dot)?;
        self.at = at;
        self.depth -= 1;
        Ok(())
    }

    pub(super) fn range(&mut self, here: Here<'_>, branch: &Branch) -> Result<Flow, Error> {
        let pipe = &here.nodes[branch.pipe];
        let over = self.pipeline(here, pipe)?.value;
        let mut traced = None;
        if let Some(trace) = &mut self.trace {
            traced = trace.loops_over(&over);
            trace.open_scope();
        }
        let mut any = false;
        // The body of one iteration; true to stop.
        macro_rules! iterate {
            ($index:expr, $element:expr) => {{
                any = true;
                if self.iteration(here, branch, $index, $element, traced)? == Flow::Break {
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
                if pipe.declared(here.nodes).len() > 1 {
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
        let flow = match branch.otherwise {
            Some(otherwise) if !any => deeper(|| self.walk(here, otherwise))?,
            _ => Flow::Next,
        };
        if let Some(trace) = &mut self.trace {
            trace.close_scope();
        }
        Ok(flow)
    }

    pub(super) fn iteration(
        &mut self,
        here: Here<'_>,
        branch: &Branch,
        index: Operand,
        element: Operand,
        over: Option<u32>,
    ) -> Result<Flow, Error> {
        self.step().map_err(|failure| self.beyond(failure))?;
        if let Some(trace) = &mut self.trace {
            let step = match &index.value {
                Value::Str(key) => Step::Key(key.clone()),
                Value::Int(at) => Step::Index(usize::try_from(*at).unwrap_or(0)),
                _ => Step::Index(0),
            };
            trace.turn(over, step, &element.value);
        }
        match here.nodes[branch.pipe].declared(here.nodes) {
            [] => {}
            [only] => self.assign(here, only, element.clone())?,
            [first, second, ..] => {
                self.assign(here, first, index)?;
                self.assign(here, second, element.clone())?;
            }
        }
        let flow = deeper(|| {
            let dot = &element;
            self.walk(Here { dot, ..here }, branch.list)
        })?;
        if let Some(trace) = &mut self.trace {
            trace.close_scope();
        }
        Ok(flow)
    }

    pub(super) fn assign(
        &mut self,
        here: Here<'_>,
        variable: &Declared,
        value: Operand,
    ) -> Result<(), Error> {
        let Some(slot) = variable.slot else {
            let name = variable.name.of(here.text);
            return Err(self.error(format!("undefined variable: {name}")));
        };
        let slot = self.base + slot as usize;
        self.slots[slot] = Some(value);
        if let Some(trace) = &mut self.trace {
            trace.assign(slot);
        }
        Ok(())
    }
}

/// Prints what needs no care: no methods, no nesting, not nil.
fn print_scalar(out: &mut Vec<u8>, value: &Value) -> bool {
    match value {
        Value::Str(_) | Value::Bool(_) | Value::Int(_) | Value::Int64(_) | Value::Float(_) => {
            printf::print(out, value, usize::MAX).is_ok()
        }
        _ => false,
    }
}
