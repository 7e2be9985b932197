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
use std::sync::Arc;

use ecow::EcoString;
use smallvec::SmallVec;

use super::ast::{
    Branch, Call, Callee, Chain, Command, Constant, Declared, Expr, Literal, Mark, Node, Pipe,
    Source, Template, Variable,
};
use super::builtins::Builtin;
use super::error::{Error, ErrorKind, Location};
use super::function::Functions;
use super::lex::{Keyword, Lexer, Token, TokenKind};
use super::literal::{Number, unquote};
use super::printf::quote;
use super::stack::deeper;
use super::text::Str;

/// How deep parentheses may nest. Go allows 10000.
const MAX_PARENTHESES: usize = 1000;

/// How deep `if`, `range`, `with` and `block` may nest; an `else if` is one
/// level deeper than its `if`. Go has no limit.
const MAX_BLOCKS: usize = 1000;

/// The templates of one text: the text itself, under the name of the file, and
/// what it defines.
pub(super) fn parse(
    name: &str,
    text: &[u8],
    functions: &Functions,
) -> Result<Vec<Arc<Template>>, Error> {
    let name: Arc<str> = name.into();
    // Positions are 32 bits wide.
    if u32::try_from(text.len()).is_err() {
        return Err(Error::new(
            ErrorKind::Limit,
            Some(Location {
                file: name,
                line: 1,
                column: None,
                template: None,
                node: None,
            }),
            "a template of 4 GiB or more",
        ));
    }
    let source = Arc::new(Source {
        name: name.clone(),
        text: text.into(),
    });
    let keywords = (
        functions.get("break").is_none(),
        functions.get("continue").is_none(),
    );
    let mut parser = Parser {
        lexer: Lexer::new(text, keywords),
        functions,
        source: source.clone(),
        tree: Tree::new(name),
        templates: Vec::new(),
        by_name: HashMap::new(),
        next_id: 0,
        blocks: 0,
    };
    parser.file()?;
    Ok(parser.templates.into_iter().map(Arc::new).collect())
}

/// The state of the template that is being parsed. A `define` and a `block`
/// start a new one.
struct Tree<'t> {
    name: Arc<str>,
    tokens: [Token<'t>; 3],
    /// How many of `tokens` were put back.
    peeked: usize,
    variables: Vec<Known>,
    /// The same by name, so that a text of many declarations takes no longer
    /// for each of them.
    names: HashMap<EcoString, Named>,
    slots: usize,
    /// Slots declared in parentheses since the statement began, and what each
    /// name meant before.
    nested: Vec<(u32, Option<u32>)>,
    /// The line on which the current action started, or 0.
    action_line: usize,
    ranges: usize,
    parentheses: usize,
}

/// A variable that Go's parser knows of. Its place in the list is its slot.
struct Known {
    name: EcoString,
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

impl Tree<'_> {
    fn new(name: Arc<str>) -> Self {
        let nothing = Token {
            kind: TokenKind::Eof,
            pos: 0,
            line: 0,
            text: b"",
        };
        let mut tree = Tree {
            name,
            tokens: [nothing; 3],
            peeked: 0,
            variables: Vec::new(),
            names: HashMap::new(),
            slots: 0,
            nested: Vec::new(),
            action_line: 0,
            ranges: 0,
            parentheses: 0,
        };
        tree.declare("$".into());
        tree.enliven(0);
        tree
    }

    /// Adds a variable, which is not alive yet.
    fn declare(&mut self, name: EcoString) {
        self.names.entry(name.clone()).or_default().known += 1;
        self.variables.push(Known { name, alive: false });
        self.slots = self.slots.max(self.variables.len());
    }

    /// Lets the executor find the variable of this slot.
    fn enliven(&mut self, slot: usize) {
        let known = &mut self.variables[slot];
        known.alive = true;
        if let Some(named) = self.names.get_mut(&known.name) {
            named.alive.push(slot as u32);
        }
    }

    /// Lets the executor lose the variables from this slot on. All of them
    /// were declared after all others, so they are the last of their names.
    fn bury(&mut self, first: usize) {
        for known in &mut self.variables[first..] {
            if std::mem::take(&mut known.alive)
                && let Some(named) = self.names.get_mut(&known.name)
            {
                named.alive.pop();
            }
        }
    }

    /// Forgets the variables from this slot on.
    fn forget(&mut self, first: usize) {
        self.bury(first);
        for known in self.variables.drain(first..) {
            if let Some(named) = self.names.get_mut(&known.name) {
                named.known -= 1;
            }
        }
    }

    fn is_known(&self, name: &str) -> bool {
        self.names.get(name).is_some_and(|named| named.known > 0)
    }

    /// The slot that the executor finds under this name.
    fn slot(&self, name: &str) -> Option<u32> {
        self.names.get(name)?.alive.last().copied()
    }
}

struct Parser<'t> {
    lexer: Lexer<'t>,
    functions: &'t Functions,
    source: Arc<Source>,
    tree: Tree<'t>,
    templates: Vec<Template>,
    by_name: HashMap<Arc<str>, usize>,
    next_id: u32,
    blocks: usize,
}

/// What `textOrAction` of Go returns.
enum Item {
    Node(Node),
    End,
    Else,
}

impl<'t> Parser<'t> {
    // ---- tokens ----

    fn next(&mut self) -> Token<'t> {
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
    fn backup2(&mut self, earlier: Token<'t>) {
        self.tree.tokens[1] = earlier;
        self.tree.peeked = 2;
    }

    /// Puts back three tokens, of which the latest one is still in place.
    fn backup3(&mut self, earliest: Token<'t>, earlier: Token<'t>) {
        self.tree.tokens[1] = earlier;
        self.tree.tokens[2] = earliest;
        self.tree.peeked = 3;
    }

    fn peek(&mut self) -> Token<'t> {
        if self.tree.peeked == 0 {
            self.tree.peeked = 1;
            self.tree.tokens[0] = self.lexer.next_token();
        }
        self.tree.tokens[self.tree.peeked - 1]
    }

    fn next_non_space(&mut self) -> Token<'t> {
        loop {
            let token = self.next();
            if token.kind != TokenKind::Space {
                return token;
            }
        }
    }

    fn peek_non_space(&mut self) -> Token<'t> {
        let token = self.next_non_space();
        self.backup();
        token
    }

    fn expect(&mut self, kind: TokenKind, context: &str) -> Result<Token<'t>, Error> {
        let token = self.next_non_space();
        if token.kind != kind {
            return Err(self.unexpected(token, context));
        }
        Ok(token)
    }

    fn mark(&mut self, pos: usize) -> Mark {
        self.next_id += 1;
        Mark {
            pos: pos as u32,
            id: self.next_id,
        }
    }

    // ---- errors ----

    #[cold]
    fn error(&self, detail: impl Into<String>) -> Error {
        let location = Location {
            file: self.source.name.clone(),
            line: self.tree.tokens[0].line,
            column: None,
            template: None,
            node: None,
        };
        Error::new(ErrorKind::Parse, Some(location), detail)
    }

    #[cold]
    fn unexpected(&self, token: Token<'_>, context: &str) -> Error {
        if token.kind != TokenKind::Error {
            return self.error(format!("unexpected {} in {context}", describe(token)));
        }
        let mut text = self.lexer.error().to_owned();
        let line = self.tree.action_line;
        if line != 0 && line != token.line {
            let started = format!(" started at {}:{line}", self.source.name);
            if !text.ends_with(" action") {
                text.push_str(" in action");
            }
            text.push_str(&started);
        }
        self.error(text)
    }

    // ---- templates ----

    fn file(&mut self) -> Result<(), Error> {
        let mut body = Vec::new();
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
                Item::Node(node) => body.push(node),
                Item::End => return Err(self.error("unexpected {{end}}")),
                Item::Else => return Err(self.error("unexpected {{else}}")),
            }
        }
        self.add(body)
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
        self.add(body)?;
        self.tree = outer;
        Ok(())
    }

    fn add(&mut self, body: Vec<Node>) -> Result<(), Error> {
        let template = Template {
            name: self.tree.name.clone(),
            source: self.source.clone(),
            body,
            slots: self.tree.slots,
        };
        match self.by_name.get(&template.name) {
            None => {
                self.by_name
                    .insert(template.name.clone(), self.templates.len());
                self.templates.push(template);
            }
            Some(&index) if self.templates[index].is_empty() => self.templates[index] = template,
            Some(_) if template.is_empty() => {}
            Some(_) => {
                return Err(self.error(format!(
                    "template: multiple definition of template {}",
                    quote(template.name.as_bytes())
                )));
            }
        }
        Ok(())
    }

    fn template_name(&mut self, token: Token<'t>) -> Result<Arc<str>, Error> {
        let name = unquote(token.text).ok_or_else(|| self.error("invalid syntax"))?;
        Ok(String::from_utf8_lossy(&name).into())
    }

    // ---- statements ----

    /// Nodes up to `end` or `else`, which is returned with them.
    fn item_list(&mut self) -> Result<(Vec<Node>, Item), Error> {
        let mut nodes = Vec::new();
        while self.peek_non_space().kind != TokenKind::Eof {
            match self.text_or_action()? {
                Item::Node(node) => nodes.push(node),
                end => return Ok((nodes, end)),
            }
        }
        Err(self.error("unexpected EOF"))
    }

    fn text_or_action(&mut self) -> Result<Item, Error> {
        let token = self.next_non_space();
        match token.kind {
            TokenKind::Text => {
                let end = token.pos + token.text.len();
                Ok(Item::Node(Node::Text(token.pos as u32, end as u32)))
            }
            TokenKind::LeftDelim => {
                self.tree.action_line = token.line;
                let item = self.action()?;
                self.tree.action_line = 0;
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
            TokenKind::RawString | TokenKind::String
                if memchr::memchr2(b'\\', b'\r', token.text).is_none()
                    && std::str::from_utf8(token.text).is_ok() =>
            {
                let after = self.next();
                match after.kind {
                    TokenKind::RightDelim => {
                        let end = token.pos + token.text.len();
                        Node::Literal(token.pos as u32, end as u32)
                    }
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
    fn control(&mut self, context: &'static str) -> Result<Box<Branch>, Error> {
        self.blocks += 1;
        if self.blocks > MAX_BLOCKS {
            return Err(self.error("max block depth exceeded"));
        }
        let branch = deeper(|| self.branch(context))?;
        self.blocks -= 1;
        Ok(Box::new(branch))
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

    fn otherwise(&mut self, context: &'static str) -> Result<Vec<Node>, Error> {
        // `else if` is an `else` that contains an `if`; both share one `end`.
        if context == "if" && self.peek().kind == TokenKind::Keyword(Keyword::If) {
            self.next();
            return Ok(vec![Node::If(self.control("if")?)]);
        }
        if context == "with" && self.peek().kind == TokenKind::Keyword(Keyword::With) {
            self.next();
            return Ok(vec![Node::With(self.control("with")?)]);
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
        self.add(body)?;
        self.tree = outer;
        self.blocks -= 1;
        Ok(Node::Template(Box::new(Call {
            mark: self.mark(token.pos),
            name,
            pipe: Some(pipe),
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
        Ok(Node::Template(Box::new(Call {
            mark: self.mark(token.pos),
            name,
            pipe,
        })))
    }

    fn clause_name(&mut self, token: Token<'t>, context: &str) -> Result<Arc<str>, Error> {
        match token.kind {
            TokenKind::String | TokenKind::RawString => self.template_name(token),
            _ => Err(self.unexpected(token, context)),
        }
    }

    // ---- expressions ----

    fn pipeline(&mut self, context: &str, end: TokenKind) -> Result<Pipe, Error> {
        let token = self.peek_non_space();
        let mut pipe = Pipe {
            mark: self.mark(token.pos),
            assign: false,
            declared: Vec::new(),
            // Most pipelines are one command.
            commands: Vec::with_capacity(1),
            nested: Vec::new(),
        };
        let first_known = self.declarations(&mut pipe, context)?;
        loop {
            let token = self.next_non_space();
            match token.kind {
                kind if kind == end => {
                    self.check_pipeline(&pipe, context)?;
                    break;
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
                    self.backup();
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return Err(self.unexpected(token, context)),
            }
        }
        // A variable is visible from the end of the pipeline that declares it.
        for (index, declared) in pipe.declared.iter_mut().enumerate() {
            let before = self.tree.slot(&declared.name);
            if pipe.assign {
                declared.slot = before;
                continue;
            }
            let slot = first_known + index;
            self.tree.enliven(slot);
            declared.slot = Some(slot as u32);
            if end == TokenKind::RightParen {
                self.tree.nested.push((slot as u32, before));
            }
        }
        if end == TokenKind::RightDelim {
            pipe.nested = std::mem::take(&mut self.tree.nested);
        }
        Ok(pipe)
    }

    /// The variables before `:=` or `=`. Returns the place of the first.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Result<usize, Error> {
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
                    pipe.assign = next.kind == TokenKind::Assign;
                    self.next_non_space();
                    self.declare(pipe, variable);
                    return Ok(first_known);
                }
                TokenKind::Char if next.text == b"," => {
                    self.next_non_space();
                    self.declare(pipe, variable);
                    if context == "range" && pipe.declared.len() < 2 {
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

    fn declare(&mut self, pipe: &mut Pipe, token: Token<'t>) {
        let name = text(token.text);
        self.tree.declare(name.clone());
        pipe.declared.push(Declared { name, slot: None });
    }

    fn check_pipeline(&self, pipe: &Pipe, context: &str) -> Result<(), Error> {
        if pipe.commands.is_empty() {
            return Err(self.error(format!("missing value for {context}")));
        }
        for (index, command) in pipe.commands.iter().enumerate().skip(1) {
            if matches!(
                command.args[0],
                Expr::Bool(..) | Expr::Dot(_) | Expr::Nil(_) | Expr::Number(..) | Expr::Text(..)
            ) {
                return Err(self.error(format!(
                    "non executable command in pipeline stage {}",
                    index + 1
                )));
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Result<Command, Error> {
        let pos = self.peek_non_space().pos;
        let mut command = Command {
            mark: self.mark(pos),
            args: Vec::new(),
        };
        loop {
            self.peek_non_space();
            if let Some(operand) = self.operand()? {
                command.args.push(operand);
            }
            let token = self.next();
            match token.kind {
                TokenKind::Space => continue,
                TokenKind::RightDelim | TokenKind::RightParen => self.backup(),
                TokenKind::Pipe => {}
                _ => return Err(self.unexpected(token, "operand")),
            }
            break;
        }
        if command.args.is_empty() {
            return Err(self.error("empty command"));
        }
        Ok(command)
    }

    /// A term with the fields that follow it.
    fn operand(&mut self) -> Result<Option<Expr>, Error> {
        // A field as the first term is collected with those that follow it.
        let first = self.next_non_space();
        let term = match first.kind {
            TokenKind::Field => None,
            _ => {
                self.backup();
                let Some(term) = self.term()? else {
                    return Ok(None);
                };
                Some(term)
            }
        };
        let next = self.peek();
        if next.kind != TokenKind::Field {
            return Ok(Some(term.unwrap_or_else(|| {
                Expr::Field(self.mark(first.pos), [text(&first.text[1..])].into())
            })));
        }
        let mark = self.mark(next.pos);
        let mut fields: SmallVec<[EcoString; 8]> = SmallVec::new();
        if term.is_none() {
            fields.push(text(&first.text[1..]));
        }
        while self.peek().kind == TokenKind::Field {
            let token = self.next();
            fields.push(text(&token.text[1..]));
        }
        let fields: Box<[EcoString]> = fields.into_iter().collect();
        let Some(term) = term else {
            return Ok(Some(Expr::Field(mark, fields)));
        };
        Ok(Some(match term {
            Expr::Variable(_, mut variable) => {
                variable.fields = fields;
                Expr::Variable(mark, variable)
            }
            Expr::Bool(..) | Expr::Text(..) | Expr::Number(..) | Expr::Nil(_) | Expr::Dot(_) => {
                return Err(self.error(format!(
                    "unexpected . after term {}",
                    quote(term.to_string().as_bytes())
                )));
            }
            node => Expr::Chain(mark, Box::new(Chain { node, fields })),
        }))
    }

    fn term(&mut self) -> Result<Option<Expr>, Error> {
        let token = self.next_non_space();
        let expr = match token.kind {
            TokenKind::Identifier => {
                let callee = self.callee(token)?;
                Expr::Function(self.mark(token.pos), callee)
            }
            TokenKind::Keyword(Keyword::Dot) => Expr::Dot(self.mark(token.pos)),
            TokenKind::Keyword(Keyword::Nil) => Expr::Nil(self.mark(token.pos)),
            TokenKind::Variable => {
                let name = text(token.text);
                if !self.tree.is_known(&name) {
                    return Err(
                        self.error(format!("undefined variable {}", quote(name.as_bytes())))
                    );
                }
                let slot = self.tree.slot(&name);
                Expr::Variable(
                    self.mark(token.pos),
                    Box::new(Variable {
                        name,
                        slot,
                        fields: Box::default(),
                    }),
                )
            }
            TokenKind::Bool => Expr::Bool(self.mark(token.pos), token.text == b"true"),
            TokenKind::CharConstant | TokenKind::Complex | TokenKind::Number => {
                let text = text(token.text);
                let number = Number::parse(&text, token.kind).map_err(|error| self.error(error))?;
                Expr::Number(self.mark(token.pos), Box::new(Constant { text, number }))
            }
            TokenKind::LeftParen => {
                if self.tree.parentheses >= MAX_PARENTHESES {
                    return Err(self.error("max expression depth exceeded"));
                }
                self.tree.parentheses += 1;
                let pipe =
                    deeper(|| self.pipeline("parenthesized pipeline", TokenKind::RightParen))?;
                self.tree.parentheses -= 1;
                Expr::Pipe(Box::new(pipe))
            }
            TokenKind::String | TokenKind::RawString => {
                let content = unquote(token.text).ok_or_else(|| self.error("invalid syntax"))?;
                Expr::Text(
                    self.mark(token.pos),
                    Box::new(Literal {
                        quoted: text(token.text),
                        text: Str::from_bytes(&content),
                    }),
                )
            }
            _ => {
                self.backup();
                return Ok(None);
            }
        };
        Ok(Some(expr))
    }

    fn callee(&self, token: Token<'_>) -> Result<Callee, Error> {
        let name = text(token.text);
        if let Some(function) = self.functions.get(&name) {
            return Ok(
                match std::ptr::eq(function, &super::TEMPLATE_FUNCTIONS[0]) {
                    true => Callee::Include(function),
                    false => Callee::Function(function),
                },
            );
        }
        match Builtin::named(&name) {
            Some(builtin) => Ok(Callee::Builtin(builtin)),
            None => Err(self.error(format!("function {} not defined", quote(name.as_bytes())))),
        }
    }
}

fn text(bytes: &[u8]) -> EcoString {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => String::from_utf8_lossy(bytes).into(),
    }
}

/// A token as Go's error messages show it.
fn describe(token: Token<'_>) -> String {
    match token.kind {
        TokenKind::Eof => "EOF".into(),
        TokenKind::Keyword(_) => format!("<{}>", text(token.text)),
        _ if token.text.len() > 10 => {
            let mut out = Vec::new();
            let shown = super::value::Value::from(Str::from(token.text));
            // `%.10q` of one string is always complete.
            let _ = super::printf::sprintf(&mut out, b"%.10q...", &[shown], usize::MAX);
            Str::from(out).to_string()
        }
        _ => quote(token.text),
    }
}
