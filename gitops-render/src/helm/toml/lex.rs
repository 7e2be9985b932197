//! Tokens, and where they are wrong: upstream's `lex.go`.
//!
//! Upstream runs its states until one has emitted a token. Here the parser
//! calls the state it is in, and gets the token back.

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory as _};

use crate::gotmpl::{Value, printf};

/// What is wrong, and in which line.
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) text: String,
}

/// A value, or the beginning of one that has parts.
pub(super) enum Token {
    /// A string without escapes.
    Plain(String),
    Escaped(String),
    MultiLine(String),
    RawMultiLine(String),
    Bool(bool),
    Integer(String),
    Float(String),
    Datetime(String),
    Array,
    InlineTable,
}

/// What begins at the top level.
pub(super) enum Top {
    Table,
    ArrayTable,
    Key,
    End,
}

/// What follows a part of a key or the name of a table.
#[derive(PartialEq)]
pub(super) enum Next {
    Part,
    End,
}

/// What follows an element.
pub(super) enum Element {
    Item,
    End,
}

pub(super) struct Lexer<'t> {
    input: &'t [u8],
    start: usize,
    pos: usize,
    /// The line of `pos`, from 1.
    pub(super) line: usize,
    at_end: bool,
}

/// What upstream reads at the end of the text.
const END: char = '\0';

type Result<T> = std::result::Result<T, Fault>;

impl<'t> Lexer<'t> {
    pub(super) fn new(input: &'t [u8]) -> Self {
        Lexer {
            input,
            start: 0,
            pos: 0,
            line: 1,
            at_end: false,
        }
    }

    fn next(&mut self) -> Result<char> {
        let Some(&first) = self.input.get(self.pos) else {
            self.at_end = true;
            return Ok(END);
        };
        if first == b'\n' {
            self.line += 1;
        }
        let (letter, width) = decode(&self.input[self.pos..]).ok_or_else(|| Fault {
            line: self.line,
            text: format!("invalid UTF-8 byte: 0x{first:02x}"),
        })?;
        let lone_return = letter == '\r' && self.input.get(self.pos + 1) != Some(&b'\n');
        if lone_return || letter.is_ascii_control() && !matches!(letter, '\t' | '\r' | '\n') {
            return Err(Fault {
                line: self.line,
                text: format!(
                    "TOML files cannot contain control characters: '0x{:02x}'",
                    u32::from(letter)
                ),
            });
        }
        self.pos += width;
        Ok(letter)
    }

    /// Takes the last letter back.
    fn backup(&mut self) {
        if self.at_end {
            self.at_end = false;
            return;
        }
        self.pos -= 1;
        while self.input[self.pos] & 0xc0 == 0x80 {
            self.pos -= 1;
        }
        if self.input[self.pos] == b'\n' {
            self.line -= 1;
        }
    }

    fn peek(&mut self) -> Result<char> {
        let letter = self.next()?;
        self.backup();
        Ok(letter)
    }

    fn accept(&mut self, letter: char) -> Result<bool> {
        if self.next()? == letter {
            return Ok(true);
        }
        self.backup();
        Ok(false)
    }

    fn ignore(&mut self) {
        self.start = self.pos;
    }

    fn current(&self) -> String {
        String::from_utf8_lossy(&self.input[self.start..self.pos]).into_owned()
    }

    fn emit(&mut self) -> String {
        let text = self.current();
        self.ignore();
        text
    }

    fn skip_blanks(&mut self) -> Result<()> {
        while is_blank(self.next()?) {}
        self.backup();
        self.ignore();
        Ok(())
    }

    fn fault(&self, text: impl Into<String>) -> Fault {
        let ended_line = self.pos > 0 && self.input[self.pos - 1] == b'\n';
        Fault {
            line: self.line - usize::from(self.at_end && ended_line),
            text: text.into(),
        }
    }

    /// A fault that was noticed behind the end of its line.
    fn fault_before(&self, text: impl Into<String>) -> Fault {
        Fault {
            line: self.line - 1,
            text: text.into(),
        }
    }

    /// A comment up to the end of its line, which is left.
    fn comment(&mut self) -> Result<()> {
        loop {
            let letter = self.next()?;
            if is_newline(letter) || letter == END {
                self.backup();
                self.ignore();
                return Ok(());
            }
        }
    }

    /// The next thing at the top level.
    pub(super) fn top(&mut self) -> Result<Top> {
        loop {
            match self.next()? {
                letter if is_blank(letter) || is_newline(letter) => self.ignore(),
                '#' => self.comment()?,
                '[' => {
                    if self.peek()? == '[' {
                        self.next()?;
                        self.ignore();
                        return Ok(Top::ArrayTable);
                    }
                    self.ignore();
                    return Ok(Top::Table);
                }
                END => return Ok(Top::End),
                _ => {
                    self.backup();
                    self.key_start()?;
                    return Ok(Top::Key);
                }
            }
        }
    }

    /// The rest of a line at the top level.
    pub(super) fn top_end(&mut self) -> Result<()> {
        loop {
            match self.next()? {
                '#' => return self.comment(),
                letter if is_blank(letter) => {}
                letter if is_newline(letter) => {
                    self.ignore();
                    return Ok(());
                }
                END => {
                    self.at_end = false;
                    return Ok(());
                }
                letter => {
                    return Err(self.fault(format!(
                        "expected a top-level item to end with a newline, comment, or EOF, but \
                         got {} instead",
                        quoted(letter)
                    )));
                }
            }
        }
    }

    /// A part of a table's name.
    pub(super) fn name_part(&mut self) -> Result<Token> {
        self.skip_blanks()?;
        match self.peek()? {
            ']' | END => {
                Err(self.fault("unexpected end of table name (table names cannot be empty)"))
            }
            '.' => Err(self.fault("unexpected table separator (table names cannot be empty)")),
            '"' | '\'' => self.quoted_name(),
            _ => self.bare_name(),
        }
    }

    /// What follows a part of a table's name.
    pub(super) fn name_end(&mut self) -> Result<Next> {
        self.skip_blanks()?;
        match self.next()? {
            '.' => {
                self.ignore();
                Ok(Next::Part)
            }
            ']' => Ok(Next::End),
            letter => Err(self.fault(format!(
                "expected '.' or ']' to end table name, but got {} instead",
                quoted(letter)
            ))),
        }
    }

    /// The second bracket behind the name of an array of tables.
    pub(super) fn array_table_end(&mut self) -> Result<()> {
        match self.next()? {
            ']' => {
                self.ignore();
                Ok(())
            }
            letter => Err(self.fault(format!(
                "expected end of table array name delimiter ']', but got {} instead",
                quoted(letter)
            ))),
        }
    }

    fn bare_name(&mut self) -> Result<Token> {
        loop {
            let letter = self.next()?;
            if !(letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-')) {
                self.backup();
                return Ok(Token::Plain(self.emit()));
            }
        }
    }

    fn quoted_name(&mut self) -> Result<Token> {
        let quote = self.next()?;
        self.ignore();
        match quote {
            '"' => self.string(),
            _ => self.raw_string(),
        }
    }

    fn key_start(&mut self) -> Result<()> {
        self.skip_blanks()?;
        match self.peek()? {
            '=' | END => Err(self.fault("unexpected '=': key name appears blank")),
            '.' => Err(self.fault("unexpected '.': keys cannot start with a '.'")),
            _ => Ok(()),
        }
    }

    /// A part of a key.
    pub(super) fn key_part(&mut self) -> Result<Token> {
        self.skip_blanks()?;
        match self.peek()? {
            '"' | '\'' => self.quoted_name(),
            '=' | END => Err(self.fault("unexpected '='")),
            '.' => Err(self.fault("unexpected '.'")),
            _ => self.bare_name(),
        }
    }

    /// What follows a part of a key.
    pub(super) fn key_end(&mut self) -> Result<Next> {
        self.skip_blanks()?;
        match self.next()? {
            END => Err(self.fault("unexpected EOF; expected key separator '='")),
            '.' => {
                self.ignore();
                Ok(Next::Part)
            }
            '=' => {
                self.ignore();
                Ok(Next::End)
            }
            letter => {
                let text = format!("expected '.' or '=', but got {} instead", quoted(letter));
                Err(match letter {
                    '\n' => self.fault_before(text),
                    _ => self.fault(text),
                })
            }
        }
    }

    /// A value, or its opening bracket.
    pub(super) fn value(&mut self) -> Result<Token> {
        let letter = loop {
            let letter = self.next()?;
            if !is_blank(letter) {
                break letter;
            }
            self.ignore();
        };
        match letter {
            '0'..='9' => return self.number(letter == '0'),
            '[' => {
                self.ignore();
                return Ok(Token::Array);
            }
            '{' => {
                self.ignore();
                return Ok(Token::InlineTable);
            }
            quote @ ('"' | '\'') => {
                if self.accept(quote)? {
                    if self.accept(quote)? {
                        self.ignore();
                        return self.multi_line(quote);
                    }
                    self.backup();
                }
                self.ignore();
                return match quote {
                    '"' => self.string(),
                    _ => self.raw_string(),
                };
            }
            '.' => return Err(self.fault("floats must start with a digit, not '.'")),
            'i' | 'n' => {
                let named = self.accept('n')? && self.accept('f')?
                    || self.accept('a')? && self.accept('n')?;
                if named {
                    return Ok(Token::Float(self.emit()));
                }
            }
            '-' | '+' => return self.signed(),
            _ => {}
        }
        if is_letter(letter) {
            self.backup();
            return self.bool();
        }
        if letter == END {
            return Err(self.fault("unexpected EOF; expected value"));
        }
        let text = format!("expected value but found {} instead", quoted(letter));
        Err(match letter {
            '\n' => self.fault_before(text),
            _ => self.fault(text),
        })
    }

    /// Whether another element follows the opening bracket or a comma.
    pub(super) fn array_item(&mut self) -> Result<Element> {
        loop {
            match self.next()? {
                letter if is_blank(letter) || is_newline(letter) => self.ignore(),
                '#' => self.comment()?,
                ',' => return Err(self.fault("unexpected comma")),
                ']' => {
                    self.ignore();
                    return Ok(Element::End);
                }
                _ => {
                    self.backup();
                    return Ok(Element::Item);
                }
            }
        }
    }

    /// Whether a comma follows an element.
    pub(super) fn array_item_end(&mut self) -> Result<Element> {
        loop {
            match self.next()? {
                letter if is_blank(letter) || is_newline(letter) => self.ignore(),
                '#' => self.comment()?,
                ',' => {
                    self.ignore();
                    return Ok(Element::Item);
                }
                ']' => {
                    self.ignore();
                    return Ok(Element::End);
                }
                letter => {
                    return Err(self.fault(format!(
                        "expected a comma (',') or array terminator (']'), but got {}",
                        or_end(letter)
                    )));
                }
            }
        }
    }

    /// Whether another key follows the opening brace or a comma.
    pub(super) fn inline_key(&mut self) -> Result<Element> {
        loop {
            match self.next()? {
                letter if is_blank(letter) || is_newline(letter) => self.ignore(),
                '#' => self.comment()?,
                ',' => return Err(self.fault("unexpected comma")),
                '}' => {
                    self.ignore();
                    return Ok(Element::End);
                }
                _ => {
                    self.backup();
                    self.key_start()?;
                    return Ok(Element::Item);
                }
            }
        }
    }

    /// Whether a comma and another key follow a value.
    pub(super) fn inline_end(&mut self) -> Result<Element> {
        loop {
            match self.next()? {
                letter if is_blank(letter) || is_newline(letter) => self.ignore(),
                '#' => self.comment()?,
                ',' => {
                    self.ignore();
                    self.skip_blanks()?;
                    if self.peek()? != '}' {
                        return self.inline_key();
                    }
                }
                '}' => {
                    self.ignore();
                    return Ok(Element::End);
                }
                letter => {
                    return Err(self.fault(format!(
                        "expected a comma or an inline table terminator '}}', but got {} instead",
                        or_end(letter)
                    )));
                }
            }
        }
    }

    fn string(&mut self) -> Result<Token> {
        let mut escaped = false;
        loop {
            match self.next()? {
                END => return Err(self.fault("unexpected EOF; expected '\"'")),
                letter if is_newline(letter) => {
                    return Err(self.fault_before("strings cannot contain newlines"));
                }
                '\\' => {
                    escaped = true;
                    self.escape()?;
                }
                '"' => {
                    let text = self.emit_before(1);
                    return Ok(match escaped {
                        true => Token::Escaped(text),
                        false => Token::Plain(text),
                    });
                }
                _ => {}
            }
        }
    }

    fn raw_string(&mut self) -> Result<Token> {
        loop {
            match self.next()? {
                END => return Err(self.fault("unexpected EOF; expected \"'\"")),
                letter if is_newline(letter) => {
                    return Err(self.fault_before("strings cannot contain newlines"));
                }
                '\'' => return Ok(Token::Plain(self.emit_before(1))),
                _ => {}
            }
        }
    }

    /// The text without the quotes that were read last.
    fn emit_before(&mut self, quotes: usize) -> String {
        let text = &self.input[self.start..self.pos - quotes];
        let text = String::from_utf8_lossy(text).into_owned();
        self.ignore();
        text
    }

    fn multi_line(&mut self, quote: char) -> Result<Token> {
        let escapes = quote == '"';
        loop {
            let letter = self.next()?;
            if letter == END {
                return Err(self.fault(match escapes {
                    true => "unexpected EOF; expected '\"\"\"'",
                    false => "unexpected EOF; expected \"'''\"",
                }));
            }
            if letter == '\\' && escapes {
                if !is_newline(self.next()?) {
                    self.backup();
                    self.escape()?;
                }
                continue;
            }
            if letter != quote || !self.accept(quote)? {
                continue;
            }
            if !self.accept(quote)? {
                self.backup();
                continue;
            }
            // Up to two quotes may stand before the three that close.
            if self.peek()? == quote {
                let text = self.current();
                let five = String::from(quote).repeat(5);
                let escaped = escapes && text.ends_with(&format!("\\{five}"));
                if text.ends_with(&five) && !escaped {
                    return Err(self.fault(match escapes {
                        true => "unexpected '\"\"\"\"\"\"'",
                        false => "unexpected \"''''''\"",
                    }));
                }
                self.backup();
                self.backup();
                continue;
            }
            let text = self.emit_before(3);
            return Ok(match escapes {
                true => Token::MultiLine(text),
                false => Token::RawMultiLine(text),
            });
        }
    }

    fn escape(&mut self) -> Result<()> {
        let (count, name) = match self.next()? {
            'e' | 'b' | 't' | 'n' | 'f' | 'r' | '"' | ' ' | '\t' | '\\' => return Ok(()),
            'x' => (2, "two hexadecimal digits after '\\x'"),
            'u' => (4, "four hexadecimal digits after '\\u'"),
            'U' => (8, "eight hexadecimal digits after '\\U'"),
            letter => {
                let text = format!("invalid escape in string '\\{letter}'");
                return Err(match self.at_end {
                    true => self.fault_before(text),
                    false => self.fault(text),
                });
            }
        };
        for _ in 0..count {
            if !self.next()?.is_ascii_hexdigit() {
                let current = printf::quote(self.current().as_bytes());
                return Err(self.fault(format!("expected {name}, but got {current} instead")));
            }
        }
        Ok(())
    }

    /// A number or a date whose first digit was read.
    fn number(&mut self, zero: bool) -> Result<Token> {
        if zero {
            let digits: fn(char) -> bool = match self.next()? {
                'b' => |letter| matches!(letter, '0' | '1'),
                'o' => |letter| matches!(letter, '0'..='7'),
                'x' => |letter| letter.is_ascii_hexdigit(),
                _ => {
                    self.backup();
                    return self.decimal(true);
                }
            };
            let next = self.peek()?;
            if !digits(next) {
                let base = match self.input[self.pos - 1] {
                    b'b' => "a binary",
                    b'o' => "an octal",
                    _ => "a hexadecimal",
                };
                let current = self.current();
                return Err(self.fault(format!("not {base} number: '{current}{next}'")));
            }
            return self.integer(|letter| digits(letter) || letter == '_');
        }
        self.decimal(true)
    }

    fn integer(&mut self, digit: impl Fn(char) -> bool) -> Result<Token> {
        while digit(self.next()?) {}
        self.backup();
        Ok(Token::Integer(self.emit()))
    }

    /// The rest of a decimal number, or of a date if it may be one.
    fn decimal(&mut self, mut may_be_date: bool) -> Result<Token> {
        loop {
            match self.next()? {
                '0'..='9' => {}
                '-' | ':' if may_be_date => return self.datetime(),
                '_' => may_be_date = false,
                '.' | 'e' | 'E' => {
                    while matches!(self.next()?, '0'..='9' | '_' | '.' | '-' | '+' | 'e' | 'E') {}
                    self.backup();
                    return Ok(Token::Float(self.emit()));
                }
                _ => {
                    self.backup();
                    return Ok(Token::Integer(self.emit()));
                }
            }
        }
    }

    fn datetime(&mut self) -> Result<Token> {
        while matches!(
            self.next()?,
            '0'..='9' | '-' | ':' | 'T' | 't' | ' ' | '.' | 'Z' | 'z' | '+'
        ) {}
        self.backup();
        Ok(Token::Datetime(self.emit().trim().to_owned()))
    }

    /// A number whose sign was read.
    fn signed(&mut self) -> Result<Token> {
        let first = self.next()?;
        let name = match first {
            'i' => Some(['n', 'f']),
            'n' => Some(['a', 'n']),
            _ => None,
        };
        if let Some([second, third]) = name {
            if !self.accept(second)? || !self.accept(third)? {
                let current = self.current();
                return Err(self.fault(format!("invalid float: '{current}'")));
            }
            return Ok(Token::Float(self.emit()));
        }
        if first == '0' {
            let base = self.peek()?;
            if matches!(base, 'b' | 'o' | 'x') {
                let current = self.current();
                return Err(self.fault(format!(
                    "cannot use sign with non-decimal numbers: '{current}{base}'"
                )));
            }
        }
        match first {
            '.' => Err(self.fault("floats must start with a digit, not '.'")),
            '0'..='9' => self.decimal(false),
            _ => Err(self.fault(format!("expected a digit but got {}", quoted(first)))),
        }
    }

    fn bool(&mut self) -> Result<Token> {
        let from = self.pos;
        while is_letter(self.next()?) {}
        self.backup();
        let word = String::from_utf8_lossy(&self.input[from..self.pos]).into_owned();
        match word.as_str() {
            "true" | "false" => {
                self.ignore();
                Ok(Token::Bool(word == "true"))
            }
            _ => Err(self.fault(format!(
                "expected value but found {} instead",
                printf::quote(word.as_bytes())
            ))),
        }
    }
}

/// The first letter and its length, if the bytes begin with one.
fn decode(bytes: &[u8]) -> Option<(char, usize)> {
    let width = match bytes.first()? {
        0..0x80 => 1,
        0xc2..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..0xf5 => 4,
        _ => return None,
    };
    let text = std::str::from_utf8(bytes.get(..width)?).ok()?;
    Some((text.chars().next()?, width))
}

fn is_blank(letter: char) -> bool {
    matches!(letter, ' ' | '\t')
}

fn is_newline(letter: char) -> bool {
    matches!(letter, '\n' | '\r')
}

/// Go's `unicode.IsLetter`.
fn is_letter(letter: char) -> bool {
    letter.general_category_group() == GeneralCategoryGroup::Letter
}

/// Go's `%q` of a rune.
pub(super) fn quoted(letter: char) -> String {
    let mut out = Vec::new();
    let rune = Value::Int32(u32::from(letter) as i32);
    // One letter is never too long.
    let _complete = printf::sprintf(&mut out, b"%q", &[rune], usize::MAX);
    String::from_utf8_lossy(&out).into_owned()
}

fn or_end(letter: char) -> String {
    match letter {
        END => "end of file".to_owned(),
        letter => format!("'{letter}'"),
    }
}
