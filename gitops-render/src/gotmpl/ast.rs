//! The parsed template, which is also what the executor walks.
//!
//! Every node displays as Go's `Node.String()` writes it: execution errors
//! show the node that failed. Names are resolved while parsing: a variable
//! knows its slot and a function its code. What a template's name refers to is
//! decided when it is executed, because another file may define it anew.

use std::fmt;
use std::sync::Arc;

use ecow::EcoString;

use super::builtins::Builtin;
use super::error::Location;
use super::function::Function;
use super::literal::Number;
use super::printf::quote;
use super::text::Str;

/// The text that templates were parsed from.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: Arc<str>,
    pub(super) text: Box<[u8]>,
}

/// One template: a file without its definitions, or the body of a `define` or
/// `block`.
///
/// It displays as its canonical text, as Go prints a parse tree.
#[derive(Debug)]
pub struct Template {
    pub(super) name: Arc<str>,
    pub(super) source: Arc<Source>,
    pub(super) body: Vec<Node>,
    /// The variables that can be alive at once, `$` included.
    pub(super) slots: usize,
}

/// Where a node stands, and a number that no other node of its file has.
///
/// The executor remembers the number of the node it is at. An error looks the
/// node up by it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) pos: u32,
    pub(super) id: u32,
}

#[derive(Debug)]
pub(super) enum Node {
    /// A range of bytes of the source.
    Text(u32, u32),
    /// An action that is a string and nothing else, without escapes: the range
    /// of bytes with its quotes. Charts write what looks like a delimiter so.
    Literal(u32, u32),
    Action(Pipe),
    If(Box<Branch>),
    With(Box<Branch>),
    Range(Box<Branch>),
    Template(Box<Call>),
    Break,
    Continue,
}

#[derive(Debug)]
pub(super) struct Branch {
    pub(super) pipe: Pipe,
    pub(super) list: Vec<Node>,
    pub(super) otherwise: Option<Vec<Node>>,
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) mark: Mark,
    pub(super) name: Arc<str>,
    pub(super) pipe: Option<Pipe>,
}

#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) mark: Mark,
    pub(super) assign: bool,
    pub(super) declared: Vec<Declared>,
    pub(super) commands: Vec<Command>,
    /// Slots declared by pipelines in parentheses within this statement, which
    /// `and` and `or` may skip, and the slot that each name meant before.
    pub(super) nested: Vec<(u32, Option<u32>)>,
}

/// A variable on the left of `:=` or `=`.
#[derive(Debug)]
pub(super) struct Declared {
    pub(super) name: EcoString,
    /// `None` if it is assigned to without having been declared.
    pub(super) slot: Option<u32>,
}

#[derive(Debug)]
pub(super) struct Command {
    pub(super) mark: Mark,
    pub(super) args: Vec<Expr>,
}

#[derive(Debug)]
pub(super) enum Expr {
    Dot(Mark),
    Nil(Mark),
    Bool(Mark, bool),
    Number(Mark, Box<Constant>),
    Text(Mark, Box<Literal>),
    /// `.a.b`
    Field(Mark, Box<[EcoString]>),
    /// `$v.a.b`
    Variable(Mark, Box<Variable>),
    /// `(…).a.b`
    Chain(Mark, Box<Chain>),
    Function(Mark, Callee),
    Pipe(Box<Pipe>),
}

#[derive(Debug)]
pub(super) struct Constant {
    pub(super) text: EcoString,
    pub(super) number: Number,
}

#[derive(Debug)]
pub(super) struct Literal {
    /// As written, with quotes.
    pub(super) quoted: EcoString,
    pub(super) text: Str,
}

#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: EcoString,
    /// `None` if it is out of scope, which Go finds out when it executes.
    pub(super) slot: Option<u32>,
    pub(super) fields: Box<[EcoString]>,
}

#[derive(Debug)]
pub(super) struct Chain {
    pub(super) node: Expr,
    pub(super) fields: Box<[EcoString]>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Callee {
    Builtin(Builtin),
    /// `include`, which may write in place.
    Include(&'static Function),
    Function(&'static Function),
}

impl Callee {
    pub(super) fn name(self) -> &'static str {
        match self {
            Callee::Builtin(builtin) => builtin.name(),
            Callee::Include(function) | Callee::Function(function) => function.name,
        }
    }
}

impl Pipe {
    /// The dot, field or variable that is all of this pipeline.
    pub(super) fn place(&self) -> Option<&Expr> {
        match &self.commands[..] {
            [command] if self.declared.is_empty() => match &command.args[..] {
                [place @ (Expr::Dot(_) | Expr::Field(..) | Expr::Variable(..))] => Some(place),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Expr {
    pub(super) fn mark(&self) -> Mark {
        match self {
            Expr::Dot(mark)
            | Expr::Nil(mark)
            | Expr::Bool(mark, _)
            | Expr::Number(mark, _)
            | Expr::Text(mark, _)
            | Expr::Field(mark, _)
            | Expr::Variable(mark, _)
            | Expr::Chain(mark, _)
            | Expr::Function(mark, _) => *mark,
            Expr::Pipe(pipe) => pipe.mark,
        }
    }
}

impl Template {
    /// The name that `template` and `include` know it by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether there is nothing but space and comments in it. Such a
    /// definition does not replace another.
    pub fn is_empty(&self) -> bool {
        self.body.iter().all(|node| match node {
            Node::Text(start, end) => is_blank(self.text(*start, *end)),
            _ => false,
        })
    }

    pub(super) fn text(&self, start: u32, end: u32) -> &[u8] {
        &self.source.text[start as usize..end as usize]
    }

    /// Where the node with this number is, for an error.
    pub(super) fn locate(&self, id: u32) -> Location {
        let mut search = Search { id, found: None };
        search.nodes(&self.body);
        let (pos, node) = search
            .found
            .map_or((0, None), |(mark, text)| (mark.pos, Some(text)));
        Location {
            node,
            ..self.locate_text(pos)
        }
    }

    /// Where a byte of the source is.
    pub(super) fn locate_text(&self, pos: u32) -> Location {
        let pos = pos as usize;
        let before = &self.source.text[..pos.min(self.source.text.len())];
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
        Location {
            file: self.source.name.clone(),
            line: 1 + memchr::memchr_iter(b'\n', before).count(),
            column: Some(before.len() - line_start),
            template: Some(self.name.clone()),
            node: None,
        }
    }
}

/// Go's `bytes.TrimSpace` leaves nothing.
pub(super) fn is_blank(text: &[u8]) -> bool {
    match std::str::from_utf8(text) {
        Ok(text) => text.chars().all(char::is_whitespace),
        Err(_) => false,
    }
}

struct Search {
    id: u32,
    found: Option<(Mark, String)>,
}

impl Search {
    fn visit(&mut self, mark: Mark, node: &dyn fmt::Display) {
        if mark.id == self.id {
            self.found = Some((mark, node.to_string()));
        }
    }

    fn nodes(&mut self, nodes: &[Node]) {
        for node in nodes {
            match node {
                Node::Text(..) | Node::Literal(..) | Node::Break | Node::Continue => {}
                Node::Action(pipe) => self.pipe(pipe),
                Node::If(branch) | Node::With(branch) | Node::Range(branch) => {
                    self.pipe(&branch.pipe);
                    self.nodes(&branch.list);
                    self.nodes(branch.otherwise.as_deref().unwrap_or_default());
                }
                Node::Template(call) => {
                    self.visit(call.mark, &**call);
                    if let Some(pipe) = &call.pipe {
                        self.pipe(pipe);
                    }
                }
            }
            if self.found.is_some() {
                return;
            }
        }
    }

    fn pipe(&mut self, pipe: &Pipe) {
        self.visit(pipe.mark, pipe);
        for command in &pipe.commands {
            self.visit(command.mark, command);
            for arg in &command.args {
                self.expr(arg);
            }
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Pipe(pipe) => self.pipe(pipe),
            Expr::Chain(mark, chain) => {
                self.visit(*mark, expr);
                self.expr(&chain.node);
            }
            _ => self.visit(expr.mark(), expr),
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_nodes(f, &self.body)
    }
}

impl Template {
    fn write_nodes(&self, f: &mut fmt::Formatter<'_>, nodes: &[Node]) -> fmt::Result {
        for node in nodes {
            match node {
                Node::Text(start, end) => f.write_str(&quote(self.text(*start, *end)))?,
                Node::Literal(start, end) => {
                    let quoted = String::from_utf8_lossy(self.text(*start, *end));
                    write!(f, "{{{{{quoted}}}}}")?;
                }
                Node::Action(pipe) => write!(f, "{{{{{pipe}}}}}")?,
                Node::If(branch) => self.write_branch(f, "if", branch)?,
                Node::With(branch) => self.write_branch(f, "with", branch)?,
                Node::Range(branch) => self.write_branch(f, "range", branch)?,
                Node::Template(call) => write!(f, "{call}")?,
                Node::Break => f.write_str("{{break}}")?,
                Node::Continue => f.write_str("{{continue}}")?,
            }
        }
        Ok(())
    }

    fn write_branch(
        &self,
        f: &mut fmt::Formatter<'_>,
        keyword: &str,
        branch: &Branch,
    ) -> fmt::Result {
        write!(f, "{{{{{keyword} {}}}}}", branch.pipe)?;
        self.write_nodes(f, &branch.list)?;
        if let Some(otherwise) = &branch.otherwise {
            f.write_str("{{else}}")?;
            self.write_nodes(f, otherwise)?;
        }
        f.write_str("{{end}}")
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{template {}", quote(self.name.as_bytes()))?;
        if let Some(pipe) = &self.pipe {
            write!(f, " {pipe}")?;
        }
        f.write_str("}}")
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, variable) in self.declared.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            f.write_str(&variable.name)?;
        }
        if !self.declared.is_empty() {
            f.write_str(if self.assign { " = " } else { " := " })?;
        }
        for (index, command) in self.commands.iter().enumerate() {
            if index > 0 {
                f.write_str(" | ")?;
            }
            write!(f, "{command}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, arg) in self.args.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            match arg {
                Expr::Pipe(pipe) => write!(f, "({pipe})")?,
                arg => write!(f, "{arg}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Dot(_) => f.write_str("."),
            Expr::Nil(_) => f.write_str("nil"),
            Expr::Bool(_, flag) => write!(f, "{flag}"),
            Expr::Number(_, constant) => f.write_str(&constant.text),
            Expr::Text(_, literal) => f.write_str(&literal.quoted),
            Expr::Field(_, names) => write_fields(f, names),
            Expr::Variable(_, variable) => {
                f.write_str(&variable.name)?;
                write_fields(f, &variable.fields)
            }
            Expr::Chain(_, chain) => {
                match &chain.node {
                    Expr::Pipe(pipe) => write!(f, "({pipe})")?,
                    node => write!(f, "{node}")?,
                }
                write_fields(f, &chain.fields)
            }
            Expr::Function(_, callee) => f.write_str(callee.name()),
            Expr::Pipe(pipe) => write!(f, "{pipe}"),
        }
    }
}

fn write_fields(f: &mut fmt::Formatter<'_>, names: &[EcoString]) -> fmt::Result {
    for name in names {
        write!(f, ".{name}")?;
    }
    Ok(())
}
