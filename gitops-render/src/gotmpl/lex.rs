//! Splits the text of a template into tokens.
//!
//! Follows `text/template/parse/lex.go` of Go 1.26, including where a token
//! starts and what is left of the input after an error (nothing). Tokens are
//! produced one at a time because the parser stops at the first error.

use memchr::memmem::Finder;

use super::ast::Name;
use super::printf::decode;
use super::unicode::{is_printable, is_word};

/// A piece of the template.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    /// The byte at which it starts.
    pub(super) pos: u32,
    /// The byte at which it ends; where it starts for an error, see
    /// [`Lexer::error`].
    pub(super) end: u32,
}

impl Token {
    /// Its text, out of the text of the file.
    pub(super) fn text(self, file: &[u8]) -> &[u8] {
        &file[self.pos as usize..self.end as usize]
    }
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

/// Whether a byte may be trimmed around an action and separates words within
/// it.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Whether a byte may follow a name, but for the `}}` that ends an action.
const fn is_terminator(byte: u8) -> bool {
    is_space(byte) || matches!(byte, b'.' | b',' | b'|' | b':' | b')' | b'(')
}

/// Whether a byte of ASCII is part of a word.
const IS_WORD: [bool; 256] = {
    let mut is_word = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        is_word[byte] = (byte as u8).is_ascii_alphanumeric() || byte as u8 == b'_';
        byte += 1;
    }
    is_word
};

/// The lines of tokens are counted by whoever needs one: newlines before where
/// it starts.
pub(super) struct Lexer<'t> {
    input: &'t [u8],
    delim: Finder<'static>,
    pos: usize,
    start: usize,
    paren_depth: usize,
    inside_action: bool,
    error: String,
    /// Whether `break` and `continue` are keywords: not if functions have
    /// those names.
    loop_keywords: (bool, bool),
}

impl<'t> Lexer<'t> {
    /// The text is shorter than 4 GiB.
    pub(super) fn new(input: &'t [u8], loop_keywords: (bool, bool)) -> Self {
        Lexer {
            input,
            delim: Finder::new(b"{{"),
            pos: 0,
            start: 0,
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

    /// The next token that is not a space.
    pub(super) fn next_word(&mut self) -> Token {
        self.skip_space();
        let token = self.next_token();
        match token.kind {
            // Two spaces never follow each other.
            TokenKind::Space => self.next_token(),
            _ => token,
        }
    }

    pub(super) fn next_token(&mut self) -> Token {
        if self.inside_action {
            return self.inside_action();
        }
        self.text()
    }

    /// Skips one space between two words of an action, where the next token
    /// is that space for sure. Most spaces are such.
    pub(super) fn skip_space(&mut self) -> bool {
        let between = self.inside_action
            && matches!(
                &self.input[self.pos..],
                [b' ', next, ..] if !is_space(*next) && !matches!(next, b'-' | b'}')
            );
        if between {
            self.pos += 1;
            self.ignore();
        }
        between
    }

    /// The name of the field that is next, if there is nothing unusual about
    /// it: letters and digits of ASCII, and what may follow a name.
    pub(super) fn next_field(&mut self) -> Option<Name> {
        if !self.inside_action || self.input.get(self.pos) != Some(&b'.') {
            return None;
        }
        let start = self.pos + 1;
        let first = self.input.get(start)?;
        let end = start + ascii_words(&self.input[start..]);
        if end == start || first.is_ascii_digit() {
            return None;
        }
        if end == self.input.len() || !self.terminates(end) {
            return None;
        }
        self.pos = end;
        self.ignore();
        Some(Name {
            start: start as u32,
            end: end as u32,
        })
    }

    /// Whether a field cannot be next.
    pub(super) fn no_field(&self) -> bool {
        self.input.get(self.pos) != Some(&b'.')
    }

    // ---- outside actions ----

    fn text(&mut self) -> Token {
        loop {
            let rest = &self.input[self.pos..];
            let Some(delim) = self.delim.find(rest) else {
                self.pos = self.input.len();
                if self.pos > self.start {
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
                let token = self.token(TokenKind::Text);
                self.pos += trimmed;
                self.ignore();
                if token.pos < token.end {
                    return token;
                }
            }
            if let Some(token) = self.left_delim() {
                return token;
            }
        }
    }

    /// The start of an action, or `None` after a comment.
    fn left_delim(&mut self) -> Option<Token> {
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
    fn comment(&mut self) -> Option<Token> {
        self.pos += 2;
        let Some(end) = memchr::memmem::find(&self.input[self.pos..], b"*/") else {
            return Some(self.fail("unclosed comment"));
        };
        self.pos += end + 2;
        let Some(trim) = self.right_delim() else {
            return Some(self.fail("comment ends before closing delimiter"));
        };
        self.skip_right_delim(trim);
        None
    }

    // ---- inside actions ----

    fn inside_action(&mut self) -> Token {
        let Some(&first) = self.input.get(self.pos) else {
            return self.fail("unclosed action");
        };
        match first {
            b' ' | b'\t' | b'\r' | b'\n' => match self.right_delim() {
                Some(trim) => self.end_action(trim),
                None => self.space(),
            },
            b'}' if self.right_delim().is_some() => self.end_action(false),
            b'=' => self.single(TokenKind::Assign),
            b':' => {
                self.pos += 1;
                if self.input.get(self.pos) != Some(&b'=') {
                    return self.fail("expected :=");
                }
                self.pos += 1;
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

    fn end_action(&mut self, trim: bool) -> Token {
        if self.paren_depth > 0 {
            return self.fail("unclosed left paren");
        }
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

    fn space(&mut self) -> Token {
        self.pos += leading_space(&self.input[self.pos..]);
        // The last space may belong to a trimming delimiter, ` -}}`. It is not
        // the only one: then the delimiter would have been seen.
        if self.input[self.pos..].starts_with(b"-}}") {
            self.pos -= 1;
        }
        self.token(TokenKind::Space)
    }

    fn identifier(&mut self) -> Token {
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
    fn name(&mut self, kind: TokenKind) -> Token {
        self.pos += 1;
        self.words();
        if !self.at_terminator() {
            return self.bad_character();
        }
        match kind {
            TokenKind::Field if self.pos == self.start + 1 => {
                self.token(TokenKind::Keyword(Keyword::Dot))
            }
            _ => self.token(kind),
        }
    }

    fn words(&mut self) {
        loop {
            self.pos += ascii_words(&self.input[self.pos..]);
            match self.input.get(self.pos) {
                Some(byte) if !byte.is_ascii() => {
                    let (c, size) = decode(&self.input[self.pos..]);
                    if !is_word(c) {
                        return;
                    }
                    self.pos += size;
                }
                _ => return,
            }
        }
    }

    /// Whether what comes next may follow a name.
    fn at_terminator(&self) -> bool {
        self.terminates(self.pos)
    }

    /// Whether what is there may follow a name.
    fn terminates(&self, at: usize) -> bool {
        match self.input.get(at) {
            None => true,
            Some(b'}') => self.input.get(at + 1) == Some(&b'}'),
            Some(byte) => is_terminator(*byte),
        }
    }

    fn bad_character(&mut self) -> Token {
        let (c, _) = decode(&self.input[self.pos..]);
        self.fail(format!("bad character {}", code_point(c)))
    }

    /// A string or character in quotes, on one line.
    fn quoted(&mut self, quote: u8, kind: TokenKind, error: &str) -> Token {
        self.pos += 1;
        loop {
            let byte = self.input.get(self.pos).copied();
            self.pos += 1;
            match byte {
                // What is escaped is skipped, or its first byte: the others of
                // a character are none of these.
                Some(b'\\') => match self.input.get(self.pos) {
                    None | Some(b'\n') => return self.fail(error),
                    Some(_) => self.pos += 1,
                },
                None | Some(b'\n') => return self.fail(error),
                Some(byte) if byte == quote => return self.token(kind),
                Some(_) => {}
            }
        }
    }

    fn raw_quoted(&mut self) -> Token {
        self.pos += 1;
        match memchr::memchr(b'`', &self.input[self.pos..]) {
            None => self.fail("unterminated raw quoted string"),
            Some(length) => {
                self.pos += length + 1;
                self.token(TokenKind::RawString)
            }
        }
    }

    fn number(&mut self) -> Token {
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

    fn bad_number(&mut self) -> Token {
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
        match self.input.get(self.pos) {
            None => true,
            Some(byte) => {
                let (c, size) = match byte.is_ascii() {
                    true => (char::from(*byte), 1),
                    false => decode(&self.input[self.pos..]),
                };
                if is_word(c) {
                    self.pos += size;
                    return false;
                }
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

    fn single(&mut self, kind: TokenKind) -> Token {
        self.pos += 1;
        self.token(kind)
    }

    fn token(&mut self, kind: TokenKind) -> Token {
        let token = Token {
            kind,
            pos: self.start as u32,
            end: self.pos as u32,
        };
        self.start = self.pos;
        token
    }

    /// Drops what was skipped.
    fn ignore(&mut self) {
        self.start = self.pos;
    }

    #[cold]
    fn fail(&mut self, error: impl Into<String>) -> Token {
        let token = Token {
            kind: TokenKind::Error,
            pos: self.start as u32,
            end: self.start as u32,
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
            [space, b'-', b'}', b'}', ..] if is_space(*space) => Some(true),
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
    matches!(text, [b'-', space, ..] if is_space(*space))
}

/// How many bytes of words of ASCII a text begins with.
fn ascii_words(text: &[u8]) -> usize {
    let end = text.iter().position(|byte| !IS_WORD[usize::from(*byte)]);
    end.unwrap_or(text.len())
}

pub(super) fn leading_space(text: &[u8]) -> usize {
    text.iter().take_while(|byte| is_space(**byte)).count()
}

pub(super) fn trailing_space(text: &[u8]) -> usize {
    text.iter()
        .rev()
        .take_while(|byte| is_space(**byte))
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
