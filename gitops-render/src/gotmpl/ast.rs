//! The parsed template, which is also what the executor walks.
//!
//! Every node displays as Go's `Node.String()` writes it: execution errors
//! show the node that failed. Names are resolved while parsing: a variable
//! knows its slot and a function its code. What a template's name refers to is
//! decided when it is executed, because another file may define it anew.

use std::fmt;
use std::marker::PhantomData;
use std::num::NonZero;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

use bytes::Bytes;
use ecow::EcoString;

use super::builtins::Builtin;
use super::error::Location;
use super::function::Function;
use super::literal::Number;
use super::printf::quote;
use super::text::Str;

/// A file of templates: its text and the nodes of all its templates.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: Arc<str>,
    pub(super) text: Bytes,
    pub(super) nodes: Nodes,
}

/// One template: a file without its definitions, or the body of a `define` or
/// `block`.
///
/// It displays as its canonical text, as Go prints a parse tree.
#[derive(Debug)]
pub struct Template {
    pub(super) name: Arc<str>,
    pub(super) source: Arc<Source>,
    pub(super) body: Run<Node>,
    /// The variables that can be alive at once, `$` included.
    pub(super) slots: usize,
}

/// Where a node stands and what kind of node it is, which no other node of its
/// file has in common with it: each of a kind starts with a token of its own.
///
/// The executor remembers the mark of the node it is at. An error looks the
/// node up by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Mark(u32);

/// What kind of node a mark belongs to. An expression in parentheses goes by
/// the mark of its pipeline.
#[derive(Clone, Copy)]
pub(super) enum Marked {
    Call,
    Pipe,
    Command,
    Expr,
}

impl Mark {
    /// Positions are lower than this, so that there is room for the kind.
    pub(super) const MOST: usize = 1 << 30;

    pub(super) fn new(pos: u32, kind: Marked) -> Self {
        Mark(pos << 2 | kind as u32)
    }

    pub(super) fn pos(self) -> u32 {
        self.0 >> 2
    }
}

/// Neighbours in the storage of their kind: `nodes[run]` is a slice.
pub(super) struct Run<T> {
    start: u32,
    length: u32,
    kind: PhantomData<fn() -> T>,
}

/// One node in the storage of its kind: `nodes[at]`. It counts from one.
pub(super) struct At<T>(NonZero<u32>, PhantomData<fn() -> T>);

impl<T> Run<T> {
    pub(super) const EMPTY: Self = Run {
        start: 0,
        length: 0,
        kind: PhantomData,
    };

    pub(super) fn is_empty(self) -> bool {
        self.length == 0
    }

    pub(super) fn len(self) -> usize {
        self.length as usize
    }

    /// Everything but the last.
    pub(super) fn but_last(self) -> Self {
        Run {
            length: self.length.saturating_sub(1),
            ..self
        }
    }
}

// Derived, these would ask the same of `T`.
impl<T> Clone for Run<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Run<T> {}

impl<T> fmt::Debug for Run<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.start, self.length)
    }
}

impl<T> Clone for At<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for At<T> {}

impl<T> fmt::Debug for At<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A kind of node that has storage.
pub(super) trait Stored: Sized {
    fn of(nodes: &Nodes) -> &[Self];
    fn of_mut(nodes: &mut Nodes) -> &mut Vec<Self>;
}

/// Declares the storage: one vector for each kind of node.
///
/// A chart is parsed to be executed once, and most of it is not executed at
/// all. So a tree is a few vectors, not many boxes: it is built by appending
/// and freed at once.
macro_rules! storage {
    ($($field:ident: $kind:ty),* $(,)?) => {
        /// The nodes of a file, by kind. What belongs to one node stands side
        /// by side.
        #[derive(Debug, Default)]
        pub(super) struct Nodes {
            $($field: Vec<$kind>,)*
        }

        impl Nodes {
            /// Moves all nodes to storage of just their size and leaves this
            /// one empty, with what it has reserved.
            pub(super) fn finish(&mut self) -> Nodes {
                fn all<T>(from: &mut Vec<T>) -> Vec<T> {
                    let mut to = Vec::with_capacity(from.len());
                    to.append(from);
                    to
                }
                Nodes { $($field: all(&mut self.$field),)* }
            }

            /// Forgets all nodes.
            pub(super) fn clear(&mut self) {
                $(self.$field.clear();)*
            }
        }

        $(impl Stored for $kind {
            fn of(nodes: &Nodes) -> &[Self] {
                &nodes.$field
            }

            fn of_mut(nodes: &mut Nodes) -> &mut Vec<Self> {
                &mut nodes.$field
            }
        })*
    };
}

storage! {
    statements: Node,
    branches: Branch,
    calls: Call,
    pipes: Pipe,
    declared: Declared,
    nested: Nested,
    extras: Extra,
    commands: Command,
    exprs: Expr,
    names: Name,
    variables: Variable,
    chains: Chain,
    literals: Literal,
    constants: Constant,
}

impl Nodes {
    pub(super) fn add<T: Stored>(&mut self, node: T) -> At<T> {
        let all = T::of_mut(self);
        all.push(node);
        let count = NonZero::new(all.len() as u32).expect("one was pushed");
        At(count, PhantomData)
    }

    /// The nodes that the run ends with are the last of their kind.
    pub(super) fn append<T: Stored>(&mut self, run: &mut Run<T>, node: T) {
        let all = T::of_mut(self);
        if run.length == 0 {
            run.start = all.len() as u32;
        }
        all.push(node);
        run.length += 1;
    }

    pub(super) fn only<T: Stored>(&mut self, node: T) -> Run<T> {
        let mut run = Run::EMPTY;
        self.append(&mut run, node);
        run
    }

    /// Moves what `pending` holds from an index on.
    pub(super) fn take<T: Stored + Copy>(&mut self, pending: &mut Vec<T>, from: usize) -> Run<T> {
        if pending.len() == from {
            return Run::EMPTY;
        }
        let all = T::of_mut(self);
        let start = all.len() as u32;
        all.extend_from_slice(&pending[from..]);
        pending.truncate(from);
        Run {
            start,
            length: all.len() as u32 - start,
            kind: PhantomData,
        }
    }
}

impl<T: Stored> Index<Run<T>> for Nodes {
    type Output = [T];

    fn index(&self, run: Run<T>) -> &[T] {
        &T::of(self)[run.start as usize..][..run.length as usize]
    }
}

impl<T: Stored> IndexMut<Run<T>> for Nodes {
    fn index_mut(&mut self, run: Run<T>) -> &mut [T] {
        &mut T::of_mut(self)[run.start as usize..][..run.length as usize]
    }
}

impl<T: Stored> Index<At<T>> for Nodes {
    type Output = T;

    fn index(&self, at: At<T>) -> &T {
        &T::of(self)[at.0.get() as usize - 1]
    }
}

impl<T: Stored> IndexMut<At<T>> for Nodes {
    fn index_mut(&mut self, at: At<T>) -> &mut T {
        &mut T::of_mut(self)[at.0.get() as usize - 1]
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Node {
    /// A range of bytes of the source.
    Text(u32, u32),
    /// An action that is a string and nothing else, without escapes: the range
    /// of bytes with its quotes. Charts write what looks like a delimiter so.
    Literal(u32, u32),
    Action(At<Pipe>),
    If(At<Branch>),
    With(At<Branch>),
    Range(At<Branch>),
    Template(At<Call>),
    Break,
    Continue,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Branch {
    pub(super) pipe: At<Pipe>,
    pub(super) list: Run<Node>,
    pub(super) otherwise: Option<Run<Node>>,
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) mark: Mark,
    pub(super) name: Arc<str>,
    pub(super) pipe: Option<At<Pipe>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Pipe {
    pub(super) mark: Mark,
    pub(super) commands: Run<Command>,
    /// `None` for most.
    pub(super) extra: Option<At<Extra>>,
}

/// What only pipelines have that declare something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extra {
    pub(super) assign: bool,
    pub(super) declared: Run<Declared>,
    /// The slots declared by pipelines in parentheses within this statement,
    /// which `and` and `or` may skip.
    pub(super) nested: Run<Nested>,
}

/// A variable on the left of `:=` or `=`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Declared {
    pub(super) name: Name,
    /// `None` if it is assigned to without having been declared.
    pub(super) slot: Option<u32>,
}

/// A slot declared in parentheses, and the one that its name meant before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nested {
    pub(super) slot: u32,
    pub(super) before: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Command {
    pub(super) mark: Mark,
    pub(super) args: Run<Expr>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Expr {
    Dot(Mark),
    Nil(Mark),
    Bool(Mark, bool),
    /// A number that is written with decimal digits and in no other way.
    Integer(Mark, u32),
    Number(Mark, At<Constant>),
    /// A string without escapes, and where its quotes end.
    Text(Mark, u32),
    Literal(Mark, At<Literal>),
    /// `.a.b`
    Field(Mark, Run<Name>),
    /// `$v.a.b`
    Variable(Mark, At<Variable>),
    /// `(…).a.b`
    Chain(Mark, At<Chain>),
    Function(Mark, &'static Function),
    Builtin(Mark, Builtin),
    Pipe(Mark, At<Pipe>),
}

/// The name of a field or, with its `$`, of a variable: where it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Name {
    /// The name, out of the text of its file.
    pub(super) fn of(self, text: &[u8]) -> &str {
        std::str::from_utf8(self.bytes(text)).expect("a name is made of letters and digits")
    }

    pub(super) fn bytes(self, text: &[u8]) -> &[u8] {
        &text[self.start as usize..self.end as usize]
    }
}

#[derive(Debug)]
pub(super) struct Constant {
    pub(super) text: EcoString,
    pub(super) number: Number,
}

/// A string with escapes.
#[derive(Debug)]
pub(super) struct Literal {
    /// As written, with quotes.
    pub(super) quoted: EcoString,
    pub(super) text: Str,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Variable {
    pub(super) name: Name,
    /// `None` if it is out of scope, which Go finds out when it executes.
    pub(super) slot: Option<u32>,
    pub(super) fields: Run<Name>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    pub(super) node: Expr,
    pub(super) fields: Run<Name>,
}

impl Pipe {
    /// The variables on the left.
    pub(super) fn declared(self, nodes: &Nodes) -> &[Declared] {
        self.extra
            .map_or(&[], |extra| &nodes[nodes[extra].declared])
    }

    /// The dot, field or variable that is all of this pipeline.
    pub(super) fn place(&self, nodes: &Nodes) -> Option<Expr> {
        match &nodes[self.commands] {
            [command] if self.declared(nodes).is_empty() => match &nodes[command.args] {
                [place @ (Expr::Dot(_) | Expr::Field(..) | Expr::Variable(..))] => Some(*place),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Expr {
    pub(super) fn mark(self) -> Mark {
        match self {
            Expr::Dot(mark)
            | Expr::Nil(mark)
            | Expr::Bool(mark, _)
            | Expr::Integer(mark, _)
            | Expr::Number(mark, _)
            | Expr::Text(mark, _)
            | Expr::Literal(mark, _)
            | Expr::Field(mark, _)
            | Expr::Variable(mark, _)
            | Expr::Chain(mark, _)
            | Expr::Function(mark, _)
            | Expr::Builtin(mark, _)
            | Expr::Pipe(mark, _) => mark,
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
        is_empty(&self.source.nodes[self.body], &self.source.text)
    }

    pub(super) fn text(&self, start: u32, end: u32) -> &[u8] {
        &self.source.text[start as usize..end as usize]
    }

    /// Where the node with this mark is, for an error.
    pub(super) fn locate(&self, mark: Mark) -> Location {
        let mut search = Search {
            nodes: &self.source.nodes,
            text: &self.source.text,
            mark,
            found: None,
        };
        search.list(self.body);
        let pos = match search.found {
            Some(_) => mark.pos(),
            None => 0,
        };
        Location {
            node: search.found,
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

/// Whether a list of nodes is space and comments only.
pub(super) fn is_empty(list: &[Node], text: &[u8]) -> bool {
    list.iter().all(|node| match node {
        Node::Text(start, end) => is_blank(&text[*start as usize..*end as usize]),
        _ => false,
    })
}

/// Go's `bytes.TrimSpace` leaves nothing.
pub(super) fn is_blank(text: &[u8]) -> bool {
    match std::str::from_utf8(text) {
        Ok(text) => text.chars().all(char::is_whitespace),
        Err(_) => false,
    }
}

struct Search<'n> {
    nodes: &'n Nodes,
    text: &'n [u8],
    mark: Mark,
    found: Option<String>,
}

impl<'n> Search<'n> {
    fn visit<T>(&mut self, mark: Mark, node: T)
    where
        Shown<'n, T>: fmt::Display,
    {
        if mark == self.mark {
            self.found = Some(self.nodes.show(node, self.text).to_string());
        }
    }

    fn list(&mut self, list: Run<Node>) {
        let nodes = self.nodes;
        for node in &nodes[list] {
            match *node {
                Node::Text(..) | Node::Literal(..) | Node::Break | Node::Continue => {}
                Node::Action(pipe) => self.pipe(pipe),
                Node::If(branch) | Node::With(branch) | Node::Range(branch) => {
                    let branch = &nodes[branch];
                    self.pipe(branch.pipe);
                    self.list(branch.list);
                    self.list(branch.otherwise.unwrap_or(Run::EMPTY));
                }
                Node::Template(call) => {
                    let call = &nodes[call];
                    self.visit(call.mark, call);
                    if let Some(pipe) = call.pipe {
                        self.pipe(pipe);
                    }
                }
            }
            if self.found.is_some() {
                return;
            }
        }
    }

    fn pipe(&mut self, pipe: At<Pipe>) {
        let nodes = self.nodes;
        let pipe = &nodes[pipe];
        self.visit(pipe.mark, pipe);
        for command in &nodes[pipe.commands] {
            self.visit(command.mark, command);
            for arg in &nodes[command.args] {
                self.expr(*arg);
            }
        }
    }

    fn expr(&mut self, expr: Expr) {
        match expr {
            Expr::Pipe(_, pipe) => self.pipe(pipe),
            Expr::Chain(mark, chain) => {
                self.visit(mark, expr);
                self.expr(self.nodes[chain].node);
            }
            _ => self.visit(expr.mark(), expr),
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_list(f, self.body)
    }
}

impl Template {
    fn write_list(&self, f: &mut fmt::Formatter<'_>, list: Run<Node>) -> fmt::Result {
        let Source { nodes, text, .. } = &*self.source;
        for node in &nodes[list] {
            match *node {
                Node::Text(start, end) => f.write_str(&quote(self.text(start, end)))?,
                Node::Literal(start, end) => {
                    let quoted = String::from_utf8_lossy(self.text(start, end));
                    write!(f, "{{{{{quoted}}}}}")?;
                }
                Node::Action(pipe) => write!(f, "{{{{{}}}}}", nodes.show(&nodes[pipe], text))?,
                Node::If(branch) => self.write_branch(f, "if", &nodes[branch])?,
                Node::With(branch) => self.write_branch(f, "with", &nodes[branch])?,
                Node::Range(branch) => self.write_branch(f, "range", &nodes[branch])?,
                Node::Template(call) => write!(f, "{}", nodes.show(&nodes[call], text))?,
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
        let Source { nodes, text, .. } = &*self.source;
        let pipe = nodes.show(&nodes[branch.pipe], text);
        write!(f, "{{{{{keyword} {pipe}}}}}")?;
        self.write_list(f, branch.list)?;
        if let Some(otherwise) = branch.otherwise {
            f.write_str("{{else}}")?;
            self.write_list(f, otherwise)?;
        }
        f.write_str("{{end}}")
    }
}

/// A node with what it is shown from.
pub(super) struct Shown<'n, T> {
    nodes: &'n Nodes,
    text: &'n [u8],
    node: T,
}

impl Nodes {
    /// A node as Go prints it.
    pub(super) fn show<'n, T>(&'n self, node: T, text: &'n [u8]) -> Shown<'n, T> {
        Shown {
            nodes: self,
            text,
            node,
        }
    }
}

impl<'n, T> Shown<'n, T> {
    /// Another node of the same file.
    fn show<U>(&self, node: U) -> Shown<'n, U> {
        self.nodes.show(node, self.text)
    }
}

impl fmt::Display for Shown<'_, &Call> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{template {}", quote(self.node.name.as_bytes()))?;
        if let Some(pipe) = self.node.pipe {
            write!(f, " {}", self.show(&self.nodes[pipe]))?;
        }
        f.write_str("}}")
    }
}

impl fmt::Display for Shown<'_, &Pipe> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extra = self.node.extra.map(|extra| &self.nodes[extra]);
        let declared = self.node.declared(self.nodes);
        for (index, variable) in declared.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            f.write_str(variable.name.of(self.text))?;
        }
        if !declared.is_empty() {
            let assign = extra.is_some_and(|extra| extra.assign);
            f.write_str(if assign { " = " } else { " := " })?;
        }
        for (index, command) in self.nodes[self.node.commands].iter().enumerate() {
            if index > 0 {
                f.write_str(" | ")?;
            }
            write!(f, "{}", self.show(command))?;
        }
        Ok(())
    }
}

impl fmt::Display for Shown<'_, &Command> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, arg) in self.nodes[self.node.args].iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            self.show(*arg).write_operand(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Shown<'_, Expr> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes = self.nodes;
        match self.node {
            Expr::Dot(_) => f.write_str("."),
            Expr::Nil(_) => f.write_str("nil"),
            Expr::Bool(_, flag) => write!(f, "{flag}"),
            Expr::Number(_, constant) => f.write_str(&nodes[constant].text),
            Expr::Integer(_, number) => write!(f, "{number}"),
            Expr::Text(mark, end) => {
                let quoted = &self.text[mark.pos() as usize..end as usize];
                f.write_str(&String::from_utf8_lossy(quoted))
            }
            Expr::Literal(_, literal) => f.write_str(&nodes[literal].quoted),
            Expr::Field(_, names) => self.write_fields(f, names),
            Expr::Variable(_, variable) => {
                let variable = &nodes[variable];
                f.write_str(variable.name.of(self.text))?;
                self.write_fields(f, variable.fields)
            }
            Expr::Chain(_, chain) => {
                let chain = &nodes[chain];
                self.show(chain.node).write_operand(f)?;
                self.write_fields(f, chain.fields)
            }
            Expr::Function(_, function) => f.write_str(function.name),
            Expr::Builtin(_, builtin) => f.write_str(builtin.name()),
            Expr::Pipe(_, pipe) => write!(f, "{}", self.show(&nodes[pipe])),
        }
    }
}

impl Shown<'_, Expr> {
    /// A pipeline within an expression stands in parentheses.
    fn write_operand(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node {
            Expr::Pipe(..) => write!(f, "({self})"),
            _ => write!(f, "{self}"),
        }
    }

    fn write_fields(&self, f: &mut fmt::Formatter<'_>, names: Run<Name>) -> fmt::Result {
        for name in &self.nodes[names] {
            write!(f, ".{}", name.of(self.text))?;
        }
        Ok(())
    }
}
