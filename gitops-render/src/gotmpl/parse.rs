//! Builds the tree of a template from its tokens.
//!
//! Follows `text/template/parse/parse.go` of Go 1.26: the same grammar, the
//! same three tokens of lookahead, the same errors in the same places. What
//! differs is that variables are resolved here. Go looks a variable up by name
//! when it executes; the scopes it uses are those of the text, with two
//! exceptions that this parser reproduces: what the first branch of an `if`
//! declares is accepted in its `else` but missing when executed, and so is
//! what was only ever assigned to.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use bytes::Bytes;
use ecow::EcoString;
use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::ast::{
    At, Branch, Call, Chain, Command, Constant, Declared, Expr, Extra, Literal, Mark, Marked, Name,
    Nested, Node, Nodes, Pipe, Run, Source, Template, Variable, is_empty,
};
use super::builtins::Builtin;
use super::error::{Error, ErrorKind, Location};
use super::function::Functions;
use super::lex::{Keyword, Lexer, Token, TokenKind};
use super::literal::{Number, unquote, unquote_name};
use super::printf::quote;
use super::stack::deeper;
use super::text::Str;

/// How deep parentheses may nest. Go allows 10000.
const MAX_PARENTHESES: usize = 1000;

/// How deep `if`, `range`, `with` and `block` may nest; an `else if` is one
/// level deeper than its `if`. Go has no limit.
const MAX_BLOCKS: usize = 1000;

/// What parsing takes and gives back: whoever parses many texts reserves it
/// once.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    nodes: Nodes,
    /// Nodes of lists that are not complete, those of the outer ones first;
    /// the next two are alike.
    statements: Vec<Node>,
    commands: Vec<Command>,
    exprs: Vec<Expr>,
    definitions: Vec<Definition>,
    by_name: HashMap<Arc<str>, usize, RandomState>,
}

impl Scratch {
    /// Forgets what an error left behind.
    fn clear(&mut self) {
        self.nodes.clear();
        self.statements.clear();
        self.commands.clear();
        self.exprs.clear();
        self.definitions.clear();
        self.by_name.clear();
    }
}

/// The templates of one text: the text itself, under the name of the file, and
/// what it defines.
pub(super) fn parse(
    name: &str,
    text: Bytes,
    functions: &Functions,
    scratch: &mut Scratch,
) -> Result<Vec<Arc<Template>>, Error> {
    let name: Arc<str> = name.into();
    let mut parser = Parser::new(name.clone(), &text, functions, scratch)?;
    let file = parser.file()?;
    parser.add(file)?;
    let nodes = scratch.nodes.finish();
    let source = Arc::new(Source { name, text, nodes });
    Ok(templates(scratch.definitions.drain(..), &source).collect())
}

fn templates(
    definitions: impl Iterator<Item = Definition>,
    source: &Arc<Source>,
) -> impl Iterator<Item = Arc<Template>> {
    definitions.map(|definition| {
        Arc::new(Template {
            name: definition.name,
            source: source.clone(),
            body: definition.body,
            slots: definition.slots,
        })
    })
}

/// A text parsed before the name of its file is known.
#[derive(Debug)]
pub(crate) struct Draft {
    text: Bytes,
    /// Until somebody named it.
    nodes: Option<Nodes>,
    definitions: Vec<Definition>,
    file: Definition,
}

impl Draft {
    /// Nothing if the text is wrong: what is said of it needs the name.
    pub(crate) fn parse(text: Bytes, functions: &Functions, scratch: &mut Scratch) -> Option<Self> {
        let mut parser = Parser::new("".into(), &text, functions, scratch).ok()?;
        let file = parser.file().ok()?;
        Some(Draft {
            text,
            nodes: Some(scratch.nodes.finish()),
            definitions: scratch.definitions.drain(..).collect(),
            file,
        })
    }

    /// The templates of the file; nothing if it defines one of its own name, which
    /// only a parser that knows the name can tell from a second definition, or if
    /// it was named before: they take the tree with them.
    pub(super) fn named(&mut self, name: &str) -> Option<Vec<Arc<Template>>> {
        if self.definitions.iter().any(|known| *known.name == *name) {
            return None;
        }
        let name: Arc<str> = name.into();
        let file = Definition {
            name: name.clone(),
            ..self.file
        };
        let nodes = self.nodes.take()?;
        let text = self.text.clone();
        let source = Arc::new(Source { name, text, nodes });
        let definitions = self.definitions.iter().cloned().chain([file]);
        Some(templates(definitions, &source).collect())
    }
}

/// The variable that every template begins with.
const DOLLAR: &[u8] = b"$";

/// The state of the template that is being parsed. A `define` and a `block`
/// start a new one.
struct Tree<'t> {
    name: Arc<str>,
    tokens: [Token; 3],
    /// How many of `tokens` were put back.
    peeked: usize,
    variables: Vec<Known<'t>>,
    /// The same by name, so that a text of many declarations takes no longer
    /// for each of them. The `$` that every template begins with is not among
    /// them: most templates declare nothing else.
    names: HashMap<&'t [u8], Named, RandomState>,
    slots: usize,
    /// What was declared in parentheses since the statement began.
    nested: Vec<Nested>,
    /// The byte at which the current action started.
    action: Option<u32>,
    ranges: usize,
    parentheses: usize,
}

/// A variable that Go's parser knows of. Its place in the list is its slot.
struct Known<'t> {
    name: &'t [u8],
    /// Whether the executor would find it.
    alive: bool,
}

/// What goes by one name.
#[derive(Default)]
struct Named {
    /// How many variables Go's parser knows.
    known: usize,
    /// The slots of those that are alive, in the order in which the executor
    /// would have declared them: it finds the last. Where pipelines nest, the
    /// inner one declares first although it is written last.
    alive: SmallVec<[u32; 2]>,
}

impl<'t> Tree<'t> {
    fn new(name: Arc<str>) -> Self {
        let nothing = Token {
            kind: TokenKind::Eof,
            pos: 0,
            end: 0,
        };
        let dollar = Known {
            name: DOLLAR,
            alive: false,
        };
        Tree {
            name,
            tokens: [nothing; 3],
            peeked: 0,
            variables: vec![dollar],
            names: HashMap::default(),
            slots: 1,
            nested: Vec::new(),
            action: None,
            ranges: 0,
            parentheses: 0,
        }
    }

    /// Adds a variable, which is not alive yet.
    fn declare(&mut self, name: &'t [u8]) {
        self.names.entry(name).or_default().known += 1;
        self.variables.push(Known { name, alive: false });
        self.slots = self.slots.max(self.variables.len());
    }

    /// Lets the executor find the variable of this slot.
    fn enliven(&mut self, slot: usize) {
        let known = &mut self.variables[slot];
        known.alive = true;
        if let Some(named) = self.names.get_mut(known.name) {
            named.alive.push(slot as u32);
        }
    }

    /// Lets the executor lose the variables from this slot on. All of them
    /// were declared after all others, so they are the last of their names.
    fn bury(&mut self, first: usize) {
        for known in &mut self.variables[first..] {
            if std::mem::take(&mut known.alive)
                && let Some(named) = self.names.get_mut(known.name)
            {
                named.alive.pop();
            }
        }
    }

    /// Forgets the variables from this slot on.
    fn forget(&mut self, first: usize) {
        self.bury(first);
        for known in self.variables.drain(first..) {
            if let Some(named) = self.names.get_mut(known.name) {
                named.known -= 1;
            }
        }
    }

    fn is_known(&self, name: &[u8]) -> bool {
        name == DOLLAR || self.names.get(name).is_some_and(|named| named.known > 0)
    }

    /// The slot that the executor finds under this name.
    fn slot(&self, name: &[u8]) -> Option<u32> {
        let declared = self.names.get(name).and_then(|named| named.alive.last());
        declared.copied().or((name == DOLLAR).then_some(0))
    }
}

struct Parser<'t> {
    text: &'t [u8],
    lexer: Lexer<'t>,
    functions: &'t Functions,
    /// The name of the file.
    file: Arc<str>,
    tree: Tree<'t>,
    scratch: &'t mut Scratch,
    blocks: usize,
}

/// What becomes a [`Template`] when the file is complete.
#[derive(Clone, Debug)]
struct Definition {
    name: Arc<str>,
    body: Run<Node>,
    slots: usize,
}

/// What `textOrAction` of Go returns.
enum Item {
    Node(Node),
    End,
    Else,
}

impl<'t> Parser<'t> {
    fn new(
        file: Arc<str>,
        text: &'t [u8],
        functions: &'t Functions,
        scratch: &'t mut Scratch,
    ) -> Result<Self, Error> {
        if text.len() >= Mark::MOST {
            return Err(Error::new(
                ErrorKind::Limit,
                Some(Location {
                    file,
                    line: 1,
                    column: None,
                    template: None,
                    node: None,
                }),
                "a template of 1 GiB or more",
            ));
        }
        let keywords = (
            functions.get("break").is_none(),
            functions.get("continue").is_none(),
        );
        scratch.clear();
        Ok(Parser {
            text,
            lexer: Lexer::new(text, keywords),
            functions,
            tree: Tree::new(file.clone()),
            file,
            scratch,
            blocks: 0,
        })
    }

    // ---- tokens ----

    fn next(&mut self) -> Token {
        if self.tree.peeked > 0 {
            self.tree.peeked -= 1;
        } else {
            self.tree.tokens[0] = self.lexer.next_token();
        }
        self.tree.tokens[self.tree.peeked]
    }

    fn backup(&mut self) {
        self.tree.peeked += 1;
    }

    /// Puts back two tokens, of which the later one is still in place.
    fn backup2(&mut self, earlier: Token) {
        self.tree.tokens[1] = earlier;
        self.tree.peeked = 2;
    }

    /// Puts back three tokens, of which the latest one is still in place.
    fn backup3(&mut self, earliest: Token, earlier: Token) {
        self.tree.tokens[1] = earlier;
        self.tree.tokens[2] = earliest;
        self.tree.peeked = 3;
    }

    fn peek(&mut self) -> Token {
        if self.tree.peeked == 0 {
            self.tree.peeked = 1;
            self.tree.tokens[0] = self.lexer.next_token();
        }
        self.tree.tokens[self.tree.peeked - 1]
    }

    fn next_non_space(&mut self) -> Token {
        while self.tree.peeked > 0 {
            let token = self.next();
            if token.kind != TokenKind::Space {
                return token;
            }
        }
        let token = self.lexer.next_word();
        self.tree.tokens[0] = token;
        token
    }

    fn peek_non_space(&mut self) -> Token {
        let token = self.next_non_space();
        self.backup();
        token
    }

    fn expect(&mut self, kind: TokenKind, context: &str) -> Result<Token, Error> {
        let token = self.next_non_space();
        if token.kind != kind {
            return Err(self.unexpected(token, context));
        }
        Ok(token)
    }

    fn text(&self, token: Token) -> &'t [u8] {
        token.text(self.text)
    }

    /// Whether what a string means is what stands between its quotes.
    fn is_plain(&self, token: Token) -> bool {
        let quoted = self.text(token);
        // Go drops the carriage returns of raw strings.
        let special = match token.kind {
            TokenKind::RawString => b'\r',
            _ => b'\\',
        };
        memchr::memchr(special, quoted).is_none() && std::str::from_utf8(quoted).is_ok()
    }

    /// The line of a byte, from 1.
    fn line(&self, pos: u32) -> usize {
        1 + memchr::memchr_iter(b'\n', &self.text[..pos as usize]).count()
    }

    // ---- errors ----

    #[cold]
    fn error(&self, detail: impl Into<String>) -> Error {
        let location = Location {
            file: self.file.clone(),
            line: self.line(self.tree.tokens[0].pos),
            column: None,
            template: None,
            node: None,
        };
        Error::new(ErrorKind::Parse, Some(location), detail)
    }

    #[cold]
    fn unexpected(&self, token: Token, context: &str) -> Error {
        if token.kind != TokenKind::Error {
            let shown = describe(token.kind, self.text(token));
            return self.error(format!("unexpected {shown} in {context}"));
        }
        let mut text = self.lexer.error().to_owned();
        let line = self.tree.action.map(|pos| self.line(pos));
        if let Some(line) = line
            && line != self.line(token.pos)
        {
            let started = format!(" started at {}:{line}", self.file);
            if !text.ends_with(" action") {
                text.push_str(" in action");
            }
            text.push_str(&started);
        }
        self.error(text)
    }

    // ---- templates ----

    /// The file itself; what it defines was added.
    fn file(&mut self) -> Result<Definition, Error> {
        while self.peek().kind != TokenKind::Eof {
            if self.peek().kind == TokenKind::LeftDelim {
                let delim = self.next();
                if self.next_non_space().kind == TokenKind::Keyword(Keyword::Define) {
                    self.definition()?;
                    continue;
                }
                self.backup2(delim);
            }
            match self.text_or_action()? {
                Item::Node(node) => self.scratch.statements.push(node),
                Item::End => return Err(self.error("unexpected {{end}}")),
                Item::Else => return Err(self.error("unexpected {{else}}")),
            }
        }
        let body = self.scratch.nodes.take(&mut self.scratch.statements, 0);
        Ok(self.defined(body))
    }

    fn definition(&mut self) -> Result<(), Error> {
        let context = "define clause";
        let outer = std::mem::replace(&mut self.tree, Tree::new("definition".into()));
        let token = self.next_non_space();
        if !matches!(token.kind, TokenKind::String | TokenKind::RawString) {
            return Err(self.unexpected(token, context));
        }
        self.tree.name = self.template_name(token)?;
        self.expect(TokenKind::RightDelim, context)?;
        let (body, end) = self.item_list()?;
        if matches!(end, Item::Else) {
            return Err(self.error(format!("unexpected {{{{else}}}} in {context}")));
        }
        self.add(self.defined(body))?;
        self.tree = outer;
        Ok(())
    }

    /// The current template.
    fn defined(&self, body: Run<Node>) -> Definition {
        Definition {
            name: self.tree.name.clone(),
            body,
            slots: self.tree.slots,
        }
    }

    fn add(&mut self, definition: Definition) -> Result<(), Error> {
        let blank = |body: Run<Node>| is_empty(&self.scratch.nodes[body], self.text);
        match self.scratch.by_name.entry(definition.name.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(self.scratch.definitions.len());
                self.scratch.definitions.push(definition);
            }
            Entry::Occupied(entry) => {
                let earlier = &mut self.scratch.definitions[*entry.get()];
                if blank(earlier.body) {
                    *earlier = definition;
                } else if !blank(definition.body) {
                    return Err(self.error(format!(
                        "template: multiple definition of template {}",
                        quote(definition.name.as_bytes())
                    )));
                }
            }
        }
        Ok(())
    }

    fn template_name(&mut self, token: Token) -> Result<Arc<str>, Error> {
        let name = unquote_name(self.text(token)).ok_or_else(|| self.error("invalid syntax"))?;
        Ok(name.into())
    }

    // ---- statements ----

    /// Nodes up to `end` or `else`, which is returned with them.
    fn item_list(&mut self) -> Result<(Run<Node>, Item), Error> {
        let first = self.scratch.statements.len();
        while self.peek_non_space().kind != TokenKind::Eof {
            match self.text_or_action()? {
                Item::Node(node) => self.scratch.statements.push(node),
                end => {
                    return Ok((
                        self.scratch.nodes.take(&mut self.scratch.statements, first),
                        end,
                    ));
                }
            }
        }
        Err(self.error("unexpected EOF"))
    }

    fn text_or_action(&mut self) -> Result<Item, Error> {
        let token = self.next_non_space();
        match token.kind {
            TokenKind::Text => Ok(Item::Node(Node::Text(token.pos, token.end))),
            TokenKind::LeftDelim => {
                self.tree.action = Some(token.pos);
                let item = self.action()?;
                self.tree.action = None;
                Ok(item)
            }
            _ => Err(self.unexpected(token, "input")),
        }
    }

    fn action(&mut self) -> Result<Item, Error> {
        let token = self.next_non_space();
        let node = match token.kind {
            TokenKind::Keyword(Keyword::Block) => self.block()?,
            TokenKind::Keyword(Keyword::Break) => {
                self.loop_keyword("{{break}}")?;
                Node::Break
            }
            TokenKind::Keyword(Keyword::Continue) => {
                self.loop_keyword("{{continue}}")?;
                Node::Continue
            }
            TokenKind::Keyword(Keyword::Else) => {
                if !matches!(
                    self.peek_non_space().kind,
                    TokenKind::Keyword(Keyword::If | Keyword::With)
                ) {
                    self.expect(TokenKind::RightDelim, "else")?;
                }
                return Ok(Item::Else);
            }
            TokenKind::Keyword(Keyword::End) => {
                self.expect(TokenKind::RightDelim, "end")?;
                return Ok(Item::End);
            }
            TokenKind::Keyword(Keyword::If) => Node::If(self.control("if")?),
            TokenKind::Keyword(Keyword::Range) => Node::Range(self.control("range")?),
            TokenKind::Keyword(Keyword::Template) => self.template()?,
            TokenKind::Keyword(Keyword::With) => Node::With(self.control("with")?),
            TokenKind::RawString | TokenKind::String if self.is_plain(token) => {
                match self.next().kind {
                    TokenKind::RightDelim => Node::Literal(token.pos, token.end),
                    _ => {
                        self.backup2(token);
                        self.command_action()?
                    }
                }
            }
            _ => {
                self.backup();
                self.command_action()?
            }
        };
        Ok(Item::Node(node))
    }

    fn command_action(&mut self) -> Result<Node, Error> {
        self.peek();
        let pipe = self.pipeline("command", TokenKind::RightDelim)?;
        Ok(Node::Action(pipe))
    }

    fn loop_keyword(&mut self, keyword: &str) -> Result<(), Error> {
        let token = self.next_non_space();
        if token.kind != TokenKind::RightDelim {
            return Err(self.unexpected(token, keyword));
        }
        if self.tree.ranges == 0 {
            return Err(self.error(format!("{keyword} outside {{{{range}}}}")));
        }
        Ok(())
    }

    /// `if`, `range` or `with`; the keyword is past.
    fn control(&mut self, context: &'static str) -> Result<At<Branch>, Error> {
        self.blocks += 1;
        if self.blocks > MAX_BLOCKS {
            return Err(self.error("max block depth exceeded"));
        }
        let branch = deeper(|| self.branch(context))?;
        self.blocks -= 1;
        Ok(self.scratch.nodes.add(branch))
    }

    fn branch(&mut self, context: &'static str) -> Result<Branch, Error> {
        let known = self.tree.variables.len();
        let pipe = self.pipeline(context, TokenKind::RightDelim)?;
        let declared = self.tree.variables.len();
        self.tree.ranges += usize::from(context == "range");
        let (list, end) = self.item_list()?;
        self.tree.ranges -= usize::from(context == "range");
        let otherwise = match end {
            Item::Else => {
                self.tree.bury(declared);
                Some(self.otherwise(context)?)
            }
            _ => None,
        };
        self.tree.forget(known);
        Ok(Branch {
            pipe,
            list,
            otherwise,
        })
    }

    fn otherwise(&mut self, context: &'static str) -> Result<Run<Node>, Error> {
        // `else if` is an `else` that contains an `if`; both share one `end`.
        if context == "if" && self.peek().kind == TokenKind::Keyword(Keyword::If) {
            self.next();
            let node = Node::If(self.control("if")?);
            return Ok(self.scratch.nodes.only(node));
        }
        if context == "with" && self.peek().kind == TokenKind::Keyword(Keyword::With) {
            self.next();
            let node = Node::With(self.control("with")?);
            return Ok(self.scratch.nodes.only(node));
        }
        let (nodes, end) = self.item_list()?;
        if matches!(end, Item::Else) {
            return Err(self.error("expected end; found {{else}}"));
        }
        Ok(nodes)
    }

    /// `block` defines a template and executes it.
    fn block(&mut self) -> Result<Node, Error> {
        let context = "block clause";
        let token = self.next_non_space();
        let name = self.clause_name(token, context)?;
        let pipe = self.pipeline(context, TokenKind::RightDelim)?;
        self.blocks += 1;
        if self.blocks > MAX_BLOCKS {
            return Err(self.error("max block depth exceeded"));
        }
        let outer = std::mem::replace(&mut self.tree, Tree::new(name.clone()));
        let (body, end) = deeper(|| self.item_list())?;
        if matches!(end, Item::Else) {
            // Go reports this one from the tree around the block.
            self.tree = outer;
            return Err(self.error(format!("unexpected {{{{else}}}} in {context}")));
        }
        self.add(self.defined(body))?;
        self.tree = outer;
        self.blocks -= 1;
        let mark = Mark::new(token.pos, Marked::Call);
        let pipe = Some(pipe);
        Ok(Node::Template(self.scratch.nodes.add(Call {
            mark,
            name,
            pipe,
        })))
    }

    fn template(&mut self) -> Result<Node, Error> {
        let context = "template clause";
        let token = self.next_non_space();
        let name = self.clause_name(token, context)?;
        let pipe = match self.next_non_space().kind {
            TokenKind::RightDelim => None,
            _ => {
                self.backup();
                Some(self.pipeline(context, TokenKind::RightDelim)?)
            }
        };
        let mark = Mark::new(token.pos, Marked::Call);
        Ok(Node::Template(self.scratch.nodes.add(Call {
            mark,
            name,
            pipe,
        })))
    }

    fn clause_name(&mut self, token: Token, context: &str) -> Result<Arc<str>, Error> {
        match token.kind {
            TokenKind::String | TokenKind::RawString => self.template_name(token),
            _ => Err(self.unexpected(token, context)),
        }
    }

    // ---- expressions ----

    fn pipeline(&mut self, context: &str, end: TokenKind) -> Result<At<Pipe>, Error> {
        let token = self.peek_non_space();
        let mark = Mark::new(token.pos, Marked::Pipe);
        let mut extra = Extra {
            assign: false,
            declared: Run::EMPTY,
            nested: Run::EMPTY,
        };
        let first_known = self.declarations(&mut extra, context)?;
        let first = self.scratch.commands.len();
        let commands = loop {
            let token = self.next_non_space();
            match token.kind {
                kind if kind == end => {
                    self.check_pipeline(first, context)?;
                    break self.scratch.nodes.take(&mut self.scratch.commands, first);
                }
                TokenKind::Bool
                | TokenKind::CharConstant
                | TokenKind::Complex
                | TokenKind::Field
                | TokenKind::Identifier
                | TokenKind::Number
                | TokenKind::RawString
                | TokenKind::String
                | TokenKind::Variable
                | TokenKind::LeftParen
                | TokenKind::Keyword(Keyword::Dot | Keyword::Nil) => {
                    let command = self.command(token)?;
                    self.scratch.commands.push(command);
                }
                _ => return Err(self.unexpected(token, context)),
            }
        };
        // A variable is visible from the end of the pipeline that declares it.
        for (index, declared) in self.scratch.nodes[extra.declared].iter_mut().enumerate() {
            let before = self.tree.slot(declared.name.bytes(self.text));
            if extra.assign {
                declared.slot = before;
                continue;
            }
            let slot = first_known + index;
            self.tree.enliven(slot);
            let slot = slot as u32;
            declared.slot = Some(slot);
            if end == TokenKind::RightParen {
                self.tree.nested.push(Nested { slot, before });
            }
        }
        if end == TokenKind::RightDelim {
            extra.nested = self.scratch.nodes.take(&mut self.tree.nested, 0);
        }
        let plain = extra.declared.is_empty() && extra.nested.is_empty();
        let pipe = Pipe {
            mark,
            commands,
            extra: (!plain).then(|| self.scratch.nodes.add(extra)),
        };
        Ok(self.scratch.nodes.add(pipe))
    }

    /// The variables before `:=` or `=`. Returns the place of the first.
    fn declarations(&mut self, extra: &mut Extra, context: &str) -> Result<usize, Error> {
        let first_known = self.tree.variables.len();
        loop {
            let variable = self.peek_non_space();
            if variable.kind != TokenKind::Variable {
                return Ok(first_known);
            }
            self.next();
            // A space is a token, so to see whether `:=` follows, up to three
            // tokens are read and put back.
            let adjacent = self.peek();
            let next = self.peek_non_space();
            match next.kind {
                TokenKind::Assign | TokenKind::Declare => {
                    extra.assign = next.kind == TokenKind::Assign;
                    self.next_non_space();
                    self.declare(extra, variable);
                    return Ok(first_known);
                }
                TokenKind::Char if self.text(next) == b"," => {
                    self.next_non_space();
                    self.declare(extra, variable);
                    if context == "range" && extra.declared.len() < 2 {
                        match self.peek_non_space().kind {
                            TokenKind::Variable | TokenKind::RightDelim | TokenKind::RightParen => {
                                continue;
                            }
                            _ => return Err(self.error("range can only initialize variables")),
                        }
                    }
                    return Err(self.error(format!("too many declarations in {context}")));
                }
                _ if adjacent.kind == TokenKind::Space => self.backup3(variable, adjacent),
                _ => self.backup2(variable),
            }
            return Ok(first_known);
        }
    }

    fn declare(&mut self, extra: &mut Extra, token: Token) {
        self.tree.declare(self.text(token));
        let name = Name {
            start: token.pos,
            end: token.end,
        };
        let declared = Declared { name, slot: None };
        self.scratch.nodes.append(&mut extra.declared, declared);
    }

    /// Looks at the commands of a pipeline, which start at `first`.
    fn check_pipeline(&self, first: usize, context: &str) -> Result<(), Error> {
        let commands = &self.scratch.commands[first..];
        if commands.is_empty() {
            return Err(self.error(format!("missing value for {context}")));
        }
        for (index, command) in commands.iter().enumerate().skip(1) {
            if matches!(
                self.scratch.nodes[command.args][0],
                Expr::Bool(..)
                    | Expr::Dot(_)
                    | Expr::Nil(_)
                    | Expr::Integer(..)
                    | Expr::Number(..)
                    | Expr::Text(..)
                    | Expr::Literal(..)
            ) {
                return Err(self.error(format!(
                    "non executable command in pipeline stage {}",
                    index + 1
                )));
            }
        }
        Ok(())
    }

    /// The command that begins with a token, up to a pipe or the end of the
    /// pipeline.
    fn command(&mut self, mut token: Token) -> Result<Command, Error> {
        let mark = Mark::new(token.pos, Marked::Command);
        let first = self.scratch.exprs.len();
        loop {
            if let Some(operand) = self.operand(token)? {
                self.scratch.exprs.push(operand);
            }
            if self.tree.peeked == 0 && self.lexer.skip_space() {
                token = self.next_non_space();
                continue;
            }
            token = self.next();
            match token.kind {
                TokenKind::Space => {
                    token = self.next_non_space();
                    continue;
                }
                TokenKind::RightDelim | TokenKind::RightParen => self.backup(),
                TokenKind::Pipe => {}
                _ => return Err(self.unexpected(token, "operand")),
            }
            break;
        }
        let args = self.scratch.nodes.take(&mut self.scratch.exprs, first);
        if args.is_empty() {
            return Err(self.error("empty command"));
        }
        Ok(Command { mark, args })
    }

    /// The term that starts with a token, with the fields that follow it.
    fn operand(&mut self, first: Token) -> Result<Option<Expr>, Error> {
        // A field as the first term is collected with those that follow it.
        let term = match first.kind {
            TokenKind::Field => None,
            _ => match self.term(first)? {
                None => return Ok(None),
                term => term,
            },
        };
        let mut mark = Mark::new(first.pos, Marked::Expr);
        let mut fields = Run::EMPTY;
        if term.is_none() {
            self.scratch.nodes.append(&mut fields, field_name(first));
        }
        while let Some((pos, name)) = self.next_field() {
            // Go marks the chain where its second token starts.
            if fields.len() == usize::from(term.is_none()) {
                mark = Mark::new(pos, Marked::Expr);
            }
            self.scratch.nodes.append(&mut fields, name);
        }
        if fields.is_empty() {
            return Ok(term);
        }
        let Some(term) = term else {
            return Ok(Some(Expr::Field(mark, fields)));
        };
        Ok(Some(match term {
            Expr::Variable(_, variable) => {
                self.scratch.nodes[variable].fields = fields;
                Expr::Variable(mark, variable)
            }
            Expr::Bool(..)
            | Expr::Text(..)
            | Expr::Literal(..)
            | Expr::Integer(..)
            | Expr::Number(..)
            | Expr::Nil(_)
            | Expr::Dot(_) => {
                // By now Go has looked at what follows, which may be on
                // another line.
                self.peek();
                let term = self.scratch.nodes.show(term, self.text).to_string();
                let term = quote(term.as_bytes());
                return Err(self.error(format!("unexpected . after term {term}")));
            }
            node => Expr::Chain(mark, self.scratch.nodes.add(Chain { node, fields })),
        }))
    }

    /// Where the field that is next starts, and its name.
    fn next_field(&mut self) -> Option<(u32, Name)> {
        if self.tree.peeked == 0 {
            if self.lexer.no_field() {
                return None;
            }
            if let Some(name) = self.lexer.next_field() {
                return Some((name.start - 1, name));
            }
        }
        if self.peek().kind != TokenKind::Field {
            return None;
        }
        let token = self.next();
        Some((token.pos, field_name(token)))
    }

    /// The term that starts with a token, or `None` if no term does; then the
    /// token is put back.
    fn term(&mut self, token: Token) -> Result<Option<Expr>, Error> {
        let mark = Mark::new(token.pos, Marked::Expr);
        let expr = match token.kind {
            TokenKind::Identifier => self.callee(mark, token)?,
            TokenKind::Keyword(Keyword::Dot) => Expr::Dot(mark),
            TokenKind::Keyword(Keyword::Nil) => Expr::Nil(mark),
            TokenKind::Variable => {
                let name = self.text(token);
                if !self.tree.is_known(name) {
                    return Err(self.error(format!("undefined variable {}", quote(name))));
                }
                let variable = Variable {
                    slot: self.tree.slot(name),
                    name: Name {
                        start: token.pos,
                        end: token.end,
                    },
                    fields: Run::EMPTY,
                };
                Expr::Variable(mark, self.scratch.nodes.add(variable))
            }
            TokenKind::Bool => Expr::Bool(mark, self.text(token) == b"true"),
            TokenKind::CharConstant | TokenKind::Complex | TokenKind::Number => {
                let written = self.text(token);
                match integer(written) {
                    Some(number) => Expr::Integer(mark, number),
                    None => {
                        let text = text(written);
                        let number = Number::parse(&text, token.kind);
                        let number = number.map_err(|error| self.error(error))?;
                        Expr::Number(mark, self.scratch.nodes.add(Constant { text, number }))
                    }
                }
            }
            TokenKind::LeftParen => {
                if self.tree.parentheses >= MAX_PARENTHESES {
                    return Err(self.error("max expression depth exceeded"));
                }
                self.tree.parentheses += 1;
                let pipe =
                    deeper(|| self.pipeline("parenthesized pipeline", TokenKind::RightParen))?;
                self.tree.parentheses -= 1;
                Expr::Pipe(self.scratch.nodes[pipe].mark, pipe)
            }
            TokenKind::String | TokenKind::RawString if self.is_plain(token) => {
                Expr::Text(mark, token.end)
            }
            TokenKind::String | TokenKind::RawString => {
                let quoted = self.text(token);
                let content = unquote(quoted).ok_or_else(|| self.error("invalid syntax"))?;
                let literal = self.scratch.nodes.add(Literal {
                    text: Str::from_bytes(&content),
                    quoted: text(quoted),
                });
                Expr::Literal(mark, literal)
            }
            _ => {
                self.backup();
                return Ok(None);
            }
        };
        Ok(Some(expr))
    }

    fn callee(&self, mark: Mark, token: Token) -> Result<Expr, Error> {
        let word = self.text(token);
        let undefined = || self.error(format!("function {} not defined", quote(word)));
        let name = std::str::from_utf8(word).map_err(|_| undefined())?;
        if let Some(function) = self.functions.get(name) {
            return Ok(Expr::Function(mark, function));
        }
        let builtin = Builtin::named(name).ok_or_else(undefined)?;
        Ok(Expr::Builtin(mark, builtin))
    }
}

fn field_name(token: Token) -> Name {
    Name {
        start: token.pos + 1,
        end: token.end,
    }
}

/// A number that a `u32` displays as it is written.
fn integer(text: &[u8]) -> Option<u32> {
    let (first, rest) = text.split_first()?;
    let short = rest.len() < 9 && (b'1'..=b'9').contains(first) || text == b"0";
    if !short || !rest.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn text(bytes: &[u8]) -> EcoString {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => String::from_utf8_lossy(bytes).into(),
    }
}

/// A token as Go's error messages show it.
fn describe(kind: TokenKind, shown: &[u8]) -> String {
    match kind {
        TokenKind::Eof => "EOF".into(),
        TokenKind::Keyword(_) => format!("<{}>", text(shown)),
        _ if shown.len() > 10 => {
            let mut out = Vec::new();
            let shown = super::value::Value::from(Str::from(shown));
            // `%.10q` of one string is always complete.
            let _ = super::printf::sprintf(&mut out, b"%.10q...", &[shown], usize::MAX);
            Str::from(out).to_string()
        }
        _ => quote(shown),
    }
}
