//! Splits the text of a template into tokens.
//!
//! Follows `text/template/parse/lex.go` of Go 1.26, including where a token
//! starts, on which line it is said to be, and what is left of the input after
//! an error (nothing). Tokens are produced one at a time because the parser
//! stops at the first error.

use memchr::memmem::Finder;

use super::printf::decode;
use super::unicode::{is_printable, is_word};

/// A piece of the template.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'t> {
    pub(super) kind: TokenKind,
    /// The byte at which it starts.
    pub(super) pos: usize,
    /// The line on which it starts, from 1.
    pub(super) line: usize,
    /// Its text; empty for an error, see [`Lexer::error`].
    pub(super) text: &'t [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    Error,
    Bool,
    /// A printable ASCII character without a meaning of its own.
    Char,
    CharConstant,
    Complex,
    Assign,
    Declare,
    Eof,
    /// `.name`
    Field,
    Identifier,
    LeftDelim,
    LeftParen,
    Number,
    Pipe,
    RawString,
    RightDelim,
    RightParen,
    Space,
    String,
    Text,
    /// `$` or `$name`
    Variable,
    Keyword(Keyword),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    Block,
    Break,
    Continue,
    Dot,
    Define,
    Else,
    End,
    If,
    Nil,
    Range,
    Template,
    With,
}

/// What may be trimmed around an action and separates words within it.
const SPACE: [u8; 4] = *b" \t\r\n";

pub(super) struct Lexer<'t> {
    input: &'t [u8],
    delim: Finder<'static>,
    pos: usize,
    start: usize,
    line: usize,
    start_line: usize,
    paren_depth: usize,
    inside_action: bool,
    error: String,
    /// Whether `break` and `continue` are keywords: not if functions have
    /// those names.
    loop_keywords: (bool, bool),
}

impl<'t> Lexer<'t> {
    pub(super) fn new(input: &'t [u8], loop_keywords: (bool, bool)) -> Self {
        Lexer {
            input,
            delim: Finder::new(b"{{"),
            pos: 0,
            start: 0,
            line: 1,
            start_line: 1,
            paren_depth: 0,
            inside_action: false,
            error: String::new(),
            loop_keywords,
        }
    }

    /// The text of the error token.
    pub(super) fn error(&self) -> &str {
        &self.error
    }

    pub(super) fn next_token(&mut self) -> Token<'t> {
        if self.inside_action {
            return self.inside_action();
        }
        self.text()
    }

    // ---- outside actions ----

    fn text(&mut self) -> Token<'t> {
        loop {
            let rest = &self.input[self.pos..];
            let Some(delim) = self.delim.find(rest) else {
                self.pos = self.input.len();
                if self.pos > self.start {
                    self.count_lines();
                    return self.token(TokenKind::Text);
                }
                return self.token(TokenKind::Eof);
            };
            if delim > 0 {
                self.pos += delim;
                let text = &self.input[self.start..self.pos];
                let trimmed = match left_marker(&self.input[self.pos + 2..]) {
                    true => trailing_space(text),
                    false => 0,
                };
                self.pos -= trimmed;
                self.count_lines();
                let token = self.token(TokenKind::Text);
                self.pos += trimmed;
                self.ignore();
                if !token.text.is_empty() {
                    return token;
                }
            }
            if let Some(token) = self.left_delim() {
                return token;
            }
        }
    }

    /// The start of an action, or `None` after a comment.
    fn left_delim(&mut self) -> Option<Token<'t>> {
        self.pos += 2;
        let marker = match left_marker(&self.input[self.pos..]) {
            true => 2,
            false => 0,
        };
        if self.input[self.pos + marker..].starts_with(b"/*") {
            self.pos += marker;
            self.ignore();
            return self.comment();
        }
        let token = self.token(TokenKind::LeftDelim);
        self.inside_action = true;
        self.pos += marker;
        self.ignore();
        self.paren_depth = 0;
        Some(token)
    }

    /// A comment has no token; the result is an error, if any.
    fn comment(&mut self) -> Option<Token<'t>> {
        self.pos += 2;
        let Some(end) = memchr::memmem::find(&self.input[self.pos..], b"*/") else {
            return Some(self.fail("unclosed comment"));
        };
        self.pos += end + 2;
        let Some(trim) = self.right_delim() else {
            return Some(self.fail("comment ends before closing delimiter"));
        };
        self.count_lines();
        self.start = self.pos;
        self.skip_right_delim(trim);
        None
    }

    // ---- inside actions ----

    fn inside_action(&mut self) -> Token<'t> {
        if let Some(trim) = self.right_delim() {
            if self.paren_depth == 0 {
                return self.end_action(trim);
            }
            return self.fail("unclosed left paren");
        }
        let Some(&first) = self.input.get(self.pos) else {
            return self.fail("unclosed action");
        };
        match first {
            _ if SPACE.contains(&first) => self.space(),
            b'=' => self.single(TokenKind::Assign),
            b':' => {
                self.pos += 1;
                if self.next() != Some('=') {
                    return self.fail("expected :=");
                }
                self.token(TokenKind::Declare)
            }
            b'|' => self.single(TokenKind::Pipe),
            b'"' => self.quoted(b'"', TokenKind::String, "unterminated quoted string"),
            b'\'' => self.quoted(
                b'\'',
                TokenKind::CharConstant,
                "unterminated character constant",
            ),
            b'`' => self.raw_quoted(),
            b'$' => self.name(TokenKind::Variable),
            b'.' if !self.input.get(self.pos + 1).is_some_and(u8::is_ascii_digit)
                && self.pos + 1 < self.input.len() =>
            {
                self.name(TokenKind::Field)
            }
            b'.' | b'+' | b'-' | b'0'..=b'9' => self.number(),
            b'(' => {
                self.paren_depth += 1;
                self.single(TokenKind::LeftParen)
            }
            b')' => {
                self.pos += 1;
                if self.paren_depth == 0 {
                    return self.fail("unexpected right paren");
                }
                self.paren_depth -= 1;
                self.token(TokenKind::RightParen)
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => self.identifier(),
            _ => {
                let (c, size) = decode(&self.input[self.pos..]);
                if is_word(c) {
                    return self.identifier();
                }
                self.pos += size;
                if c.is_ascii() && is_printable(c) {
                    return self.token(TokenKind::Char);
                }
                self.fail(format!(
                    "unrecognized character in action: {}",
                    code_point(c)
                ))
            }
        }
    }

    fn end_action(&mut self, trim: bool) -> Token<'t> {
        if trim {
            self.pos += 2;
            self.ignore();
        }
        self.pos += 2;
        let token = self.token(TokenKind::RightDelim);
        if trim {
            self.pos += leading_space(&self.input[self.pos..]);
            self.ignore();
        }
        self.inside_action = false;
        token
    }

    fn space(&mut self) -> Token<'t> {
        let count = leading_space(&self.input[self.pos..]);
        let spaces = &self.input[self.pos..self.pos + count];
        self.line += memchr::memchr_iter(b'\n', spaces).count();
        self.pos += count;
        // The last space may belong to a trimming delimiter, ` -}}`.
        if self.input[self.pos..].starts_with(b"-}}") {
            self.pos -= 1;
            if self.input[self.pos] == b'\n' {
                self.line -= 1;
            }
            if count == 1 {
                return self.end_action(true);
            }
        }
        self.token(TokenKind::Space)
    }

    fn identifier(&mut self) -> Token<'t> {
        self.words();
        let word = &self.input[self.start..self.pos];
        if !self.at_terminator() {
            return self.bad_character();
        }
        let keyword = match word {
            b"block" => Keyword::Block,
            b"break" if self.loop_keywords.0 => Keyword::Break,
            b"continue" if self.loop_keywords.1 => Keyword::Continue,
            b"define" => Keyword::Define,
            b"else" => Keyword::Else,
            b"end" => Keyword::End,
            b"if" => Keyword::If,
            b"nil" => Keyword::Nil,
            b"range" => Keyword::Range,
            b"template" => Keyword::Template,
            b"with" => Keyword::With,
            b"true" | b"false" => return self.token(TokenKind::Bool),
            _ => return self.token(TokenKind::Identifier),
        };
        self.token(TokenKind::Keyword(keyword))
    }

    /// A field or variable; the `.` or `$` is next.
    fn name(&mut self, kind: TokenKind) -> Token<'t> {
        self.pos += 1;
        if self.at_terminator() {
            return self.token(match kind {
                TokenKind::Variable => kind,
                _ => TokenKind::Keyword(Keyword::Dot),
            });
        }
        self.words();
        if !self.at_terminator() {
            return self.bad_character();
        }
        self.token(kind)
    }

    fn words(&mut self) {
        while self.pos < self.input.len() {
            let byte = self.input[self.pos];
            if byte.is_ascii_alphanumeric() || byte == b'_' {
                self.pos += 1;
                continue;
            }
            if byte.is_ascii() {
                break;
            }
            let (c, size) = decode(&self.input[self.pos..]);
            if !is_word(c) {
                break;
            }
            self.pos += size;
        }
    }

    /// Whether what comes next may follow a name.
    fn at_terminator(&self) -> bool {
        match self.input[self.pos..].first() {
            None => true,
            Some(b'.' | b',' | b'|' | b':' | b')' | b'(') => true,
            Some(byte) if SPACE.contains(byte) => true,
            Some(_) => self.input[self.pos..].starts_with(b"}}"),
        }
    }

    fn bad_character(&mut self) -> Token<'t> {
        let (c, _) = decode(&self.input[self.pos..]);
        self.fail(format!("bad character {}", code_point(c)))
    }

    /// A string or character in quotes, on one line.
    fn quoted(&mut self, quote: u8, kind: TokenKind, error: &str) -> Token<'t> {
        self.pos += 1;
        loop {
            match self.next() {
                Some('\\') => {
                    if matches!(self.next(), None | Some('\n')) {
                        return self.fail(error);
                    }
                }
                None | Some('\n') => return self.fail(error),
                Some(c) if c == char::from(quote) => return self.token(kind),
                Some(_) => {}
            }
        }
    }

    fn raw_quoted(&mut self) -> Token<'t> {
        self.pos += 1;
        match memchr::memchr(b'`', &self.input[self.pos..]) {
            None => {
                let rest = &self.input[self.pos..];
                self.line += memchr::memchr_iter(b'\n', rest).count();
                self.fail("unterminated raw quoted string")
            }
            Some(length) => {
                let text = &self.input[self.pos..self.pos + length];
                self.line += memchr::memchr_iter(b'\n', text).count();
                self.pos += length + 1;
                self.token(TokenKind::RawString)
            }
        }
    }

    fn number(&mut self) -> Token<'t> {
        if !self.scan_number() {
            return self.bad_number();
        }
        if matches!(self.input.get(self.pos), Some(b'+' | b'-')) {
            if !self.scan_number() || self.input[self.pos - 1] != b'i' {
                return self.bad_number();
            }
            return self.token(TokenKind::Complex);
        }
        self.token(TokenKind::Number)
    }

    fn bad_number(&mut self) -> Token<'t> {
        let text = super::printf::quote(&self.input[self.start..self.pos]);
        self.fail(format!("bad number syntax: {text}"))
    }

    fn scan_number(&mut self) -> bool {
        self.accept(b"+-");
        let decimal: &[u8] = b"0123456789_";
        let hexadecimal: &[u8] = b"0123456789abcdefABCDEF_";
        let mut digits = decimal;
        if self.accept(b"0") {
            if self.accept(b"xX") {
                digits = hexadecimal;
            } else if self.accept(b"oO") {
                digits = b"01234567_";
            } else if self.accept(b"bB") {
                digits = b"01_";
            }
        }
        self.accept_run(digits);
        if self.accept(b".") {
            self.accept_run(digits);
        }
        if digits == decimal && self.accept(b"eE") || digits == hexadecimal && self.accept(b"pP") {
            self.accept(b"+-");
            self.accept_run(decimal);
        }
        self.accept(b"i");
        let start = self.pos;
        let line = self.line;
        match self.next() {
            Some(c) if is_word(c) => false,
            _ => {
                self.pos = start;
                self.line = line;
                true
            }
        }
    }

    fn accept(&mut self, set: &[u8]) -> bool {
        let accepted = self
            .input
            .get(self.pos)
            .is_some_and(|byte| set.contains(byte));
        self.pos += usize::from(accepted);
        accepted
    }

    fn accept_run(&mut self, set: &[u8]) {
        while self.accept(set) {}
    }

    // ---- the machine ----

    fn next(&mut self) -> Option<char> {
        let byte = *self.input.get(self.pos)?;
        let (c, size) = match byte.is_ascii() {
            true => (char::from(byte), 1),
            false => decode(&self.input[self.pos..]),
        };
        self.pos += size;
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn single(&mut self, kind: TokenKind) -> Token<'t> {
        self.pos += 1;
        self.token(kind)
    }

    fn token(&mut self, kind: TokenKind) -> Token<'t> {
        let token = Token {
            kind,
            pos: self.start,
            line: self.start_line,
            text: &self.input[self.start..self.pos],
        };
        self.start = self.pos;
        self.start_line = self.line;
        token
    }

    /// Drops what was skipped without [`next`](Self::next).
    fn ignore(&mut self) {
        self.count_lines();
        self.start = self.pos;
        self.start_line = self.line;
    }

    fn count_lines(&mut self) {
        self.line += memchr::memchr_iter(b'\n', &self.input[self.start..self.pos]).count();
    }

    fn fail(&mut self, error: impl Into<String>) -> Token<'t> {
        let token = Token {
            kind: TokenKind::Error,
            pos: self.start,
            line: self.start_line,
            text: b"",
        };
        self.error = error.into();
        self.input = b"";
        self.start = 0;
        self.pos = 0;
        token
    }

    /// Whether a right delimiter is next, and whether it trims.
    fn right_delim(&self) -> Option<bool> {
        match &self.input[self.pos..] {
            [b'}', b'}', ..] => Some(false),
            [space, b'-', b'}', b'}', ..] if SPACE.contains(space) => Some(true),
            _ => None,
        }
    }

    fn skip_right_delim(&mut self, trim: bool) {
        if trim {
            self.pos += 2;
        }
        self.pos += 2;
        if trim {
            self.pos += leading_space(&self.input[self.pos..]);
        }
        self.ignore();
    }
}

fn left_marker(text: &[u8]) -> bool {
    matches!(text, [b'-', space, ..] if SPACE.contains(space))
}

fn leading_space(text: &[u8]) -> usize {
    text.iter().take_while(|byte| SPACE.contains(byte)).count()
}

fn trailing_space(text: &[u8]) -> usize {
    text.iter()
        .rev()
        .take_while(|byte| SPACE.contains(byte))
        .count()
}

/// Go's `%#U`.
fn code_point(c: char) -> String {
    let code = u32::from(c);
    match is_printable(c) {
        true => format!("U+{code:04X} '{c}'"),
        false => format!("U+{code:04X}"),
    }
}
