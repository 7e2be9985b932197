//! Characters into tokens: a port of go-yaml v2.4 `scannerc.go`.
//!
//! The scanner is libyaml's. What is not obvious in it is the simple key: a
//! scalar turns out to be a mapping key only when the `:` after it is read,
//! and then a [`Key`](TokenKind::Key) token, and perhaps the start of the
//! whole mapping, is put before it into the queue. So a token leaves the queue
//! only when no key can start at it any more.
//!
//! Error texts and the positions they are given for are the original's,
//! which reports where it noticed a problem rather than where it is.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::Range;

use super::input::{Blocks, Input};
use super::node::Quoting;

/// A place in the text, in characters, from 0.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) index: u32,
    pub(super) line: u32,
    pub(super) column: u32,
}

/// What the scanner or the parser stumbled over.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) stage: Stage,
    pub(super) problem: Cow<'static, str>,
    pub(super) mark: Mark,
    /// Where the construct began in which the problem was found.
    pub(super) context: Option<Mark>,
}

/// Who noticed: go-yaml counts lines differently for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Reader,
    Scanner,
    Parser,
}

pub(super) type Scan<T> = Result<T, Box<Fault>>;

#[derive(Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: TokenKind<'a>,
    pub(super) start: Mark,
    pub(super) end: Mark,
}

#[derive(Debug, PartialEq)]
pub(super) enum TokenKind<'a> {
    StreamStart,
    StreamEnd,
    Version(u8, u8),
    TagDirective {
        handle: &'a str,
        prefix: String,
    },
    DocumentStart,
    DocumentEnd,
    BlockSequenceStart,
    BlockMappingStart,
    BlockEnd,
    FlowSequenceStart,
    FlowSequenceEnd,
    FlowMappingStart,
    FlowMappingEnd,
    BlockEntry,
    FlowEntry,
    Key,
    Value,
    Alias(&'a str),
    Anchor(&'a str),
    Tag {
        handle: &'a str,
        suffix: String,
    },
    Scalar {
        text: Cow<'a, str>,
        quoting: Quoting,
    },
}

pub(super) struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    blocks: Option<Blocks>,
    pos: usize,
    mark: Mark,
    /// Flow collections open here; block structure is ignored inside them.
    flow_level: usize,
    indent: i64,
    indents: Vec<i64>,
    simple_key_allowed: bool,
    /// One potential key for each open flow collection, and one outside.
    simple_keys: Vec<SimpleKey>,
    /// Potential keys by the number of their token, ascending.
    keys_by_token: Vec<(usize, usize)>,
    tokens: VecDeque<Token<'a>>,
    tokens_parsed: usize,
    /// How many tokens are read beyond the one in front: version 3 of go-yaml
    /// notices what is wrong with them before what is wrong with that.
    lookahead: usize,
    started: bool,
    ended: bool,
}

#[derive(Clone, Copy)]
struct SimpleKey {
    possible: bool,
    required: bool,
    token: usize,
    mark: Mark,
}

/// go-yaml's limits on flow collections and on block indentation.
const MAX_NESTING: usize = 10_000;

impl<'a> Scanner<'a> {
    /// A scanner of a section of the input, with `line` lines before it.
    pub(super) fn new(input: &'a Input<'_>, section: Range<usize>, line: u32) -> Self {
        let text = &input.text[..section.end];
        // What is wrong with the input is wrong with its end.
        let whole = section.end == input.text.len();
        Scanner {
            text,
            bytes: text.as_bytes(),
            blocks: input.blocks.clone().filter(|_| whole),
            pos: section.start,
            mark: Mark {
                line,
                ..Mark::default()
            },
            flow_level: 0,
            indent: -1,
            indents: Vec::new(),
            simple_key_allowed: false,
            simple_keys: Vec::new(),
            keys_by_token: Vec::new(),
            tokens: VecDeque::new(),
            tokens_parsed: 0,
            lookahead: 0,
            started: false,
            ended: false,
        }
    }

    /// Reads this many tokens ahead.
    pub(super) fn look_ahead(&mut self, tokens: usize) {
        self.lookahead = tokens;
    }

    /// The next token, left in the queue.
    pub(super) fn peek(&mut self) -> Scan<&Token<'a>> {
        self.fetch_more_tokens()?;
        Ok(self
            .tokens
            .front()
            .expect("fetch_more_tokens leaves a token in the queue"))
    }

    /// Takes the token that was peeked at.
    pub(super) fn take(&mut self) -> Token<'a> {
        self.tokens_parsed += 1;
        self.tokens
            .pop_front()
            .expect("only tokens that were peeked at are taken")
    }

    fn fetch_more_tokens(&mut self) -> Scan<()> {
        loop {
            if self.tokens.len() > self.lookahead || (self.ended && !self.tokens.is_empty()) {
                // Wait as long as a key may start at the token in front.
                let Some(slot) = self.key_slot(self.tokens_parsed) else {
                    return Ok(());
                };
                let key = self.keys_by_token[slot].1;
                if !self.key_is_valid(key)? {
                    return Ok(());
                }
            } else if self.ended {
                // Past the end there is only the end.
                let mark = self.mark;
                self.push(TokenKind::StreamEnd, mark, mark);
                return Ok(());
            }
            self.fetch_next_token()?;
        }
    }

    fn fetch_next_token(&mut self) -> Scan<()> {
        self.need(1)?;
        if !self.started {
            self.started = true;
            self.simple_keys.push(SimpleKey {
                possible: false,
                required: false,
                token: 0,
                mark: Mark::default(),
            });
            self.simple_key_allowed = true;
            let mark = self.mark;
            self.push(TokenKind::StreamStart, mark, mark);
            return Ok(());
        }
        self.skip_to_next_token()?;
        self.unroll_indent(i64::from(self.mark.column));
        self.need(4)?;
        let byte = self.byte(0);
        if byte == 0 {
            return self.fetch_stream_end();
        }
        if self.mark.column == 0 {
            if byte == b'%' {
                return self.fetch_directive();
            }
            if self.blankz(3) {
                let indicator = self.bytes.get(self.pos..self.pos + 3);
                if indicator == Some(b"---") {
                    return self.fetch_document_indicator(TokenKind::DocumentStart);
                }
                if indicator == Some(b"...") {
                    return self.fetch_document_indicator(TokenKind::DocumentEnd);
                }
            }
        }
        let flow = self.flow_level > 0;
        match byte {
            b'[' => self.fetch_flow_start(TokenKind::FlowSequenceStart),
            b'{' => self.fetch_flow_start(TokenKind::FlowMappingStart),
            b']' => self.fetch_flow_end(TokenKind::FlowSequenceEnd),
            b'}' => self.fetch_flow_end(TokenKind::FlowMappingEnd),
            b',' => self.fetch_flow_entry(),
            b'-' if self.blankz(1) => self.fetch_block_entry(),
            b'?' if flow || self.blankz(1) => self.fetch_key(),
            b':' if flow || self.blankz(1) => self.fetch_value(),
            b'*' => self.fetch_anchor(true),
            b'&' => self.fetch_anchor(false),
            b'!' => self.fetch_tag(),
            b'|' if !flow => self.fetch_block_scalar(true),
            b'>' if !flow => self.fetch_block_scalar(false),
            b'\'' => self.fetch_flow_scalar(true),
            b'"' => self.fetch_flow_scalar(false),
            b'#' | b'|' | b'>' | b'%' | b'@' | b'`' | b'\t' => {
                Err(self.fault(self.mark, "found character that cannot start any token"))
            }
            _ => self.fetch_plain_scalar(),
        }
    }

    // Simple keys.

    fn key_slot(&self, token: usize) -> Option<usize> {
        self.keys_by_token
            .binary_search_by_key(&token, |entry| entry.0)
            .ok()
    }

    fn forget_key(&mut self, token: usize) {
        if let Some(slot) = self.key_slot(token) {
            // Nearly always the last one.
            self.keys_by_token.remove(slot);
        }
    }

    /// Whether the potential key can still become one: keys are on one line
    /// and at most 1024 characters long.
    fn key_is_valid(&mut self, index: usize) -> Scan<bool> {
        let key = self.simple_keys[index];
        if !key.possible {
            return Ok(false);
        }
        if key.mark.line < self.mark.line || key.mark.index + 1024 < self.mark.index {
            if key.required {
                return Err(self.fault(key.mark, "could not find expected ':'"));
            }
            self.simple_keys[index].possible = false;
            return Ok(false);
        }
        Ok(true)
    }

    fn next_token_number(&self) -> usize {
        self.tokens_parsed + self.tokens.len()
    }

    /// Notes that a key may start here.
    fn save_simple_key(&mut self) -> Scan<()> {
        if self.simple_key_allowed {
            let key = SimpleKey {
                possible: true,
                // In a block, what stands at the indentation must be a key.
                required: self.flow_level == 0 && self.indent == i64::from(self.mark.column),
                token: self.next_token_number(),
                mark: self.mark,
            };
            self.remove_simple_key()?;
            let last = self.simple_keys.len() - 1;
            self.simple_keys[last] = key;
            self.keys_by_token.push((key.token, last));
        }
        Ok(())
    }

    fn remove_simple_key(&mut self) -> Scan<()> {
        let last = self.simple_keys.len() - 1;
        let key = self.simple_keys[last];
        if key.possible {
            if key.required {
                return Err(self.fault(key.mark, "could not find expected ':'"));
            }
            self.simple_keys[last].possible = false;
            self.forget_key(key.token);
        }
        Ok(())
    }

    // Indentation.

    /// Opens a block collection at `column`, with its token at place `token`
    /// of the stream, or at the end of the queue.
    fn roll_indent(
        &mut self,
        column: u32,
        token: Option<usize>,
        kind: TokenKind<'a>,
        mark: Mark,
    ) -> Scan<()> {
        if self.flow_level > 0 || self.indent >= i64::from(column) {
            return Ok(());
        }
        self.indents.push(self.indent);
        self.indent = i64::from(column);
        if self.indents.len() > MAX_NESTING {
            let context = self.simple_keys[self.simple_keys.len() - 1].mark;
            return Err(self.fault(context, too_deep()));
        }
        self.insert(token, kind, mark);
        Ok(())
    }

    fn unroll_indent(&mut self, column: i64) {
        if self.flow_level > 0 {
            return;
        }
        while self.indent > column {
            let mark = self.mark;
            self.push(TokenKind::BlockEnd, mark, mark);
            self.indent = self
                .indents
                .pop()
                .expect("an indentation above -1 was pushed");
        }
    }

    fn push(&mut self, kind: TokenKind<'a>, start: Mark, end: Mark) {
        self.tokens.push_back(Token { kind, start, end });
    }

    fn insert(&mut self, token: Option<usize>, kind: TokenKind<'a>, mark: Mark) {
        let token_at = Token {
            kind,
            start: mark,
            end: mark,
        };
        // A key that has left the queue leaves its token at the end, as in
        // the original; the parser then reports it.
        match token.and_then(|token| token.checked_sub(self.tokens_parsed)) {
            Some(place) if place <= self.tokens.len() => self.tokens.insert(place, token_at),
            _ => self.tokens.push_back(token_at),
        }
    }

    // Tokens.

    fn fetch_stream_end(&mut self) -> Scan<()> {
        if self.mark.column != 0 {
            self.mark.column = 0;
            self.mark.line += 1;
        }
        self.unroll_indent(-1);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        let mark = self.mark;
        self.push(TokenKind::StreamEnd, mark, mark);
        self.ended = true;
        Ok(())
    }

    fn fetch_directive(&mut self) -> Scan<()> {
        self.unroll_indent(-1);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        self.scan_directive()
    }

    fn fetch_document_indicator(&mut self, kind: TokenKind<'a>) -> Scan<()> {
        self.unroll_indent(-1);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        let start = self.mark;
        self.skip_many(3);
        self.push(kind, start, self.mark);
        Ok(())
    }

    fn fetch_flow_start(&mut self, kind: TokenKind<'a>) -> Scan<()> {
        self.save_simple_key()?;
        self.simple_keys.push(SimpleKey {
            possible: false,
            required: false,
            token: self.next_token_number(),
            mark: self.mark,
        });
        self.flow_level += 1;
        if self.flow_level > MAX_NESTING {
            return Err(self.fault(self.mark, too_deep()));
        }
        self.simple_key_allowed = true;
        self.push_indicator(kind);
        Ok(())
    }

    fn fetch_flow_end(&mut self, kind: TokenKind<'a>) -> Scan<()> {
        self.remove_simple_key()?;
        if self.flow_level > 0 {
            self.flow_level -= 1;
            if let Some(key) = self.simple_keys.pop() {
                // This may be the number of the collection itself, which is
                // then no key any more: `[]: x` is an error in go-yaml.
                self.forget_key(key.token);
            }
        }
        self.simple_key_allowed = false;
        self.push_indicator(kind);
        Ok(())
    }

    fn fetch_flow_entry(&mut self) -> Scan<()> {
        self.remove_simple_key()?;
        self.simple_key_allowed = true;
        self.push_indicator(TokenKind::FlowEntry);
        Ok(())
    }

    fn fetch_block_entry(&mut self) -> Scan<()> {
        if self.flow_level == 0 {
            if !self.simple_key_allowed {
                return Err(self.fault(
                    self.mark,
                    "block sequence entries are not allowed in this context",
                ));
            }
            let mark = self.mark;
            self.roll_indent(mark.column, None, TokenKind::BlockSequenceStart, mark)?;
        }
        // In a flow collection the parser complains.
        self.remove_simple_key()?;
        self.simple_key_allowed = true;
        self.push_indicator(TokenKind::BlockEntry);
        Ok(())
    }

    fn fetch_key(&mut self) -> Scan<()> {
        if self.flow_level == 0 {
            if !self.simple_key_allowed {
                return Err(self.fault(self.mark, "mapping keys are not allowed in this context"));
            }
            let mark = self.mark;
            self.roll_indent(mark.column, None, TokenKind::BlockMappingStart, mark)?;
        }
        self.remove_simple_key()?;
        self.simple_key_allowed = self.flow_level == 0;
        self.push_indicator(TokenKind::Key);
        Ok(())
    }

    fn fetch_value(&mut self) -> Scan<()> {
        let last = self.simple_keys.len() - 1;
        if self.key_is_valid(last)? {
            let key = self.simple_keys[last];
            self.insert(Some(key.token), TokenKind::Key, key.mark);
            self.roll_indent(
                key.mark.column,
                Some(key.token),
                TokenKind::BlockMappingStart,
                key.mark,
            )?;
            self.simple_keys[last].possible = false;
            self.forget_key(key.token);
            self.simple_key_allowed = false;
        } else {
            if self.flow_level == 0 {
                if !self.simple_key_allowed {
                    return Err(
                        self.fault(self.mark, "mapping values are not allowed in this context")
                    );
                }
                let mark = self.mark;
                self.roll_indent(mark.column, None, TokenKind::BlockMappingStart, mark)?;
            }
            self.simple_key_allowed = self.flow_level == 0;
        }
        self.push_indicator(TokenKind::Value);
        Ok(())
    }

    fn push_indicator(&mut self, kind: TokenKind<'a>) {
        let start = self.mark;
        self.skip();
        self.push(kind, start, self.mark);
    }

    fn fetch_anchor(&mut self, alias: bool) -> Scan<()> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let start = self.mark;
        self.skip();
        let name = self.scan_word()?;
        let ends = self.blankz(0)
            || matches!(
                self.byte(0),
                b'?' | b':' | b',' | b']' | b'}' | b'%' | b'@' | b'`'
            );
        if name.is_empty() || !ends {
            return Err(self.fault(
                start,
                "did not find expected alphabetic or numeric character",
            ));
        }
        let kind = if alias {
            TokenKind::Alias(name)
        } else {
            TokenKind::Anchor(name)
        };
        self.push(kind, start, self.mark);
        Ok(())
    }

    fn fetch_tag(&mut self) -> Scan<()> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        self.scan_tag()
    }

    fn fetch_block_scalar(&mut self, literal: bool) -> Scan<()> {
        self.remove_simple_key()?;
        self.simple_key_allowed = true;
        self.scan_block_scalar(literal)
    }

    fn fetch_flow_scalar(&mut self, single: bool) -> Scan<()> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        self.scan_flow_scalar(single)
    }

    fn fetch_plain_scalar(&mut self) -> Scan<()> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        self.scan_plain_scalar()
    }

    /// Eats blanks, comments and line breaks.
    fn skip_to_next_token(&mut self) -> Scan<()> {
        loop {
            self.need(1)?;
            if self.mark.column == 0
                && let Some(blocks) = &self.blocks
                && blocks.sees_bom(self.text)
            {
                self.skip();
            }
            self.need(1)?;
            // A tab may separate, but where a key may stand it would indent.
            while self.byte(0) == b' '
                || (self.byte(0) == b'\t' && (self.flow_level > 0 || !self.simple_key_allowed))
            {
                self.skip();
                self.need(1)?;
            }
            if self.byte(0) == b'#' {
                self.skip_comment()?;
            }
            if !self.at_break(0) {
                return Ok(());
            }
            self.need(2)?;
            self.skip_line();
            if self.flow_level == 0 {
                self.simple_key_allowed = true;
            }
        }
    }

    fn skip_comment(&mut self) -> Scan<()> {
        while !self.breakz(0) {
            self.skip();
            self.need(1)?;
        }
        Ok(())
    }

    fn skip_blanks(&mut self) -> Scan<()> {
        self.need(1)?;
        while self.blank(0) {
            self.skip();
            self.need(1)?;
        }
        Ok(())
    }

    /// Eats the rest of a line that may hold only blanks and a comment.
    fn finish_line(&mut self, context: Mark) -> Scan<()> {
        self.skip_blanks()?;
        if self.byte(0) == b'#' {
            self.skip_comment()?;
        }
        if !self.breakz(0) {
            return Err(self.fault(context, "did not find expected comment or line break"));
        }
        if self.at_break(0) {
            self.need(2)?;
            self.skip_line();
        }
        Ok(())
    }

    // Directives, tags, anchors.

    fn scan_directive(&mut self) -> Scan<()> {
        let start = self.mark;
        self.skip();
        let name = self.scan_word()?;
        if name.is_empty() {
            return Err(self.fault(start, "could not find expected directive name"));
        }
        if !self.blankz(0) {
            return Err(self.fault(start, "found unexpected non-alphabetical character"));
        }
        let kind = match name {
            "YAML" => {
                self.skip_blanks()?;
                let major = self.scan_version_number(start)?;
                if self.byte(0) != b'.' {
                    return Err(self.fault(start, "did not find expected digit or '.' character"));
                }
                self.skip();
                TokenKind::Version(major, self.scan_version_number(start)?)
            }
            "TAG" => {
                self.skip_blanks()?;
                let handle = self.scan_tag_handle(true, start)?;
                self.need(1)?;
                if !self.blank(0) {
                    return Err(self.fault(start, "did not find expected whitespace"));
                }
                self.skip_blanks()?;
                let prefix = self.scan_tag_uri(None, start)?;
                self.need(1)?;
                if !self.blankz(0) {
                    return Err(self.fault(start, "did not find expected whitespace or line break"));
                }
                TokenKind::TagDirective { handle, prefix }
            }
            _ => return Err(self.fault(start, "found unknown directive name")),
        };
        let end = self.mark;
        self.finish_line(start)?;
        self.push(kind, start, end);
        Ok(())
    }

    fn scan_version_number(&mut self, context: Mark) -> Scan<u8> {
        self.need(1)?;
        let mut number = 0;
        let mut length = 0;
        while self.byte(0).is_ascii_digit() {
            length += 1;
            if length > 2 {
                return Err(self.fault(context, "found extremely long version number"));
            }
            number = number * 10 + (self.byte(0) - b'0');
            self.skip();
            self.need(1)?;
        }
        if length == 0 {
            return Err(self.fault(context, "did not find expected version number"));
        }
        Ok(number)
    }

    /// Letters, digits, `_` and `-`; perhaps none.
    fn scan_word(&mut self) -> Scan<&'a str> {
        let start = self.pos;
        self.need(1)?;
        while is_alpha(self.byte(0)) {
            self.skip();
            self.need(1)?;
        }
        Ok(&self.text[start..self.pos])
    }

    fn scan_tag(&mut self) -> Scan<()> {
        let start = self.mark;
        self.need(2)?;
        let (handle, suffix) = if self.byte(1) == b'<' {
            self.skip_many(2);
            let suffix = self.scan_tag_uri(None, start)?;
            if self.byte(0) != b'>' {
                return Err(self.fault(start, "did not find the expected '>'"));
            }
            self.skip();
            ("", suffix)
        } else {
            let handle = self.scan_tag_handle(false, start)?;
            if handle.len() > 1 && handle.ends_with('!') {
                (handle, self.scan_tag_uri(None, start)?)
            } else {
                let suffix = self.scan_tag_uri(Some(handle), start)?;
                if suffix.is_empty() {
                    // The tag `!` alone: no handle, and itself as the name.
                    ("", "!".to_owned())
                } else {
                    ("!", suffix)
                }
            }
        };
        self.need(1)?;
        if !self.blankz(0) {
            return Err(self.fault(start, "did not find expected whitespace or line break"));
        }
        self.push(TokenKind::Tag { handle, suffix }, start, self.mark);
        Ok(())
    }

    fn scan_tag_handle(&mut self, directive: bool, context: Mark) -> Scan<&'a str> {
        self.need(1)?;
        let start = self.pos;
        if self.byte(0) != b'!' {
            return Err(self.fault(context, "did not find expected '!'"));
        }
        self.skip();
        self.scan_word()?;
        if self.byte(0) == b'!' {
            self.skip();
        } else if directive && self.pos - start != 1 {
            return Err(self.fault(context, "did not find expected '!'"));
        }
        Ok(&self.text[start..self.pos])
    }

    /// A tag's name; `head` is what was read of it as a handle.
    fn scan_tag_uri(&mut self, head: Option<&str>, context: Mark) -> Scan<String> {
        let mut uri = head.map_or("", |head| &head[1..]).as_bytes().to_vec();
        let mut found = head.is_some();
        self.need(1)?;
        while is_alpha(self.byte(0)) || b";/?:@&=+$,.!~*'()[]%".contains(&self.byte(0)) {
            if self.byte(0) == b'%' {
                self.scan_uri_escapes(context, &mut uri)?;
            } else {
                uri.push(self.byte(0));
                self.skip();
            }
            self.need(1)?;
            found = true;
        }
        if !found {
            return Err(self.fault(context, "did not find expected tag URI"));
        }
        Ok(String::from_utf8_lossy(&uri).into_owned())
    }

    fn scan_uri_escapes(&mut self, context: Mark, uri: &mut Vec<u8>) -> Scan<()> {
        let mut left = 0;
        loop {
            self.need(3)?;
            let octet = match (self.byte(0), hex(self.byte(1)), hex(self.byte(2))) {
                (b'%', Some(high), Some(low)) => (high * 16 + low) as u8,
                _ => return Err(self.fault(context, "did not find URI escaped octet")),
            };
            if left == 0 {
                left = match octet {
                    0..0x80 => 1,
                    0xc0..0xe0 => 2,
                    0xe0..0xf0 => 3,
                    0xf0..0xf8 => 4,
                    _ => {
                        return Err(self.fault(context, "found an incorrect leading UTF-8 octet"));
                    }
                };
            } else if octet & 0xc0 != 0x80 {
                return Err(self.fault(context, "found an incorrect trailing UTF-8 octet"));
            }
            uri.push(octet);
            self.skip_many(3);
            left -= 1;
            if left == 0 {
                return Ok(());
            }
        }
    }

    // Scalars.

    fn scan_block_scalar(&mut self, literal: bool) -> Scan<()> {
        let start = self.mark;
        self.skip();
        self.need(1)?;
        let mut chomping = Chomping::Clip;
        let mut increment = 0;
        if let Some(found) = Chomping::of(self.byte(0)) {
            chomping = found;
            self.skip();
            self.need(1)?;
            if self.byte(0).is_ascii_digit() {
                increment = self.scan_indentation_digit(start)?;
            }
        } else if self.byte(0).is_ascii_digit() {
            increment = self.scan_indentation_digit(start)?;
            self.need(1)?;
            if let Some(found) = Chomping::of(self.byte(0)) {
                chomping = found;
                self.skip();
            }
        }
        self.finish_line(start)?;
        let mut end = self.mark;
        let mut indent = match increment {
            0 => 0,
            increment => (self.indent.max(0) + increment) as u32,
        };

        let mut text = String::new();
        let mut leading_break = "";
        let mut trailing_breaks = String::new();
        self.scan_block_breaks(&mut indent, &mut trailing_breaks, start, &mut end)?;
        self.need(1)?;
        let mut leading_blank = false;
        while self.mark.column == indent && self.byte(0) != 0 {
            let blank = self.blank(0);
            if !literal && leading_break == "\n" && !leading_blank && !blank {
                if trailing_breaks.is_empty() {
                    text.push(' ');
                }
            } else {
                text.push_str(leading_break);
            }
            text.push_str(&trailing_breaks);
            trailing_breaks.clear();
            leading_blank = blank;
            let from = self.pos;
            while !self.breakz(0) {
                self.skip();
                self.need(1)?;
            }
            text.push_str(&self.text[from..self.pos]);
            self.need(2)?;
            leading_break = self.read_break();
            self.scan_block_breaks(&mut indent, &mut trailing_breaks, start, &mut end)?;
        }
        if chomping != Chomping::Strip {
            text.push_str(leading_break);
        }
        if chomping == Chomping::Keep {
            text.push_str(&trailing_breaks);
        }
        self.push(
            TokenKind::Scalar {
                text: Cow::Owned(text),
                quoting: if literal {
                    Quoting::Literal
                } else {
                    Quoting::Folded
                },
            },
            start,
            end,
        );
        Ok(())
    }

    fn scan_indentation_digit(&mut self, context: Mark) -> Scan<i64> {
        let digit = self.byte(0);
        if digit == b'0' {
            return Err(self.fault(context, "found an indentation indicator equal to 0"));
        }
        self.skip();
        Ok(i64::from(digit - b'0'))
    }

    /// Eats indentation and empty lines; finds the indentation out if it is
    /// still 0.
    fn scan_block_breaks(
        &mut self,
        indent: &mut u32,
        breaks: &mut String,
        context: Mark,
        end: &mut Mark,
    ) -> Scan<()> {
        *end = self.mark;
        let mut widest = 0;
        loop {
            self.need(1)?;
            while (*indent == 0 || self.mark.column < *indent) && self.byte(0) == b' ' {
                self.skip();
                self.need(1)?;
            }
            widest = widest.max(self.mark.column);
            if (*indent == 0 || self.mark.column < *indent) && self.byte(0) == b'\t' {
                return Err(self.fault(
                    context,
                    "found a tab character where an indentation space is expected",
                ));
            }
            if !self.at_break(0) {
                break;
            }
            self.need(2)?;
            let line_break = self.read_break();
            breaks.push_str(line_break);
            *end = self.mark;
        }
        if *indent == 0 {
            *indent = widest.max((self.indent + 1).max(1) as u32);
        }
        Ok(())
    }

    fn scan_flow_scalar(&mut self, single: bool) -> Scan<()> {
        let start = self.mark;
        self.skip();
        let quote = if single { b'\'' } else { b'"' };
        let mut text = Pieces::new(self.text, self.pos);
        let mut whitespace = self.pos;
        loop {
            self.need(4)?;
            if self.at_document_indicator() {
                return Err(self.fault(start, "found unexpected document indicator"));
            }
            if self.byte(0) == 0 {
                return Err(self.fault(start, "found unexpected end of stream"));
            }
            let mut leading_blanks = false;
            while !self.blankz(0) {
                let byte = self.byte(0);
                if single && byte == quote && self.byte(1) == quote {
                    // A doubled quote stands for one.
                    self.skip();
                    text.take(self.pos - 1, self.pos);
                    self.skip();
                } else if byte == quote {
                    break;
                } else if !single && byte == b'\\' && self.at_break(1) {
                    self.need(3)?;
                    self.skip();
                    self.skip_line();
                    leading_blanks = true;
                    break;
                } else if !single && byte == b'\\' {
                    self.scan_escape(start, &mut text)?;
                } else {
                    let from = self.pos;
                    self.skip();
                    text.take(from, self.pos);
                }
                self.need(2)?;
            }
            self.need(1)?;
            if self.byte(0) == quote {
                break;
            }
            let mut leading_break = "";
            let mut trailing_breaks = String::new();
            if !leading_blanks {
                whitespace = self.pos;
            }
            let mut whitespace_end = self.pos;
            while self.blank(0) || self.at_break(0) {
                if self.blank(0) {
                    self.skip();
                    if !leading_blanks {
                        whitespace_end = self.pos;
                    }
                } else {
                    self.need(2)?;
                    let line_break = self.read_break();
                    if leading_blanks {
                        trailing_breaks.push_str(line_break);
                    } else {
                        leading_break = line_break;
                        leading_blanks = true;
                    }
                }
                self.need(1)?;
            }
            if leading_blanks {
                text.fold(leading_break, &trailing_breaks);
            } else {
                text.take(whitespace, whitespace_end);
            }
        }
        self.skip();
        self.push(
            TokenKind::Scalar {
                text: text.finish(),
                quoting: if single {
                    Quoting::Single
                } else {
                    Quoting::Double
                },
            },
            start,
            self.mark,
        );
        Ok(())
    }

    fn scan_escape(&mut self, context: Mark, text: &mut Pieces<'a>) -> Scan<()> {
        let mut length = 0;
        match self.byte(1) {
            b'0' => text.push('\0'),
            b'a' => text.push('\x07'),
            b'b' => text.push('\x08'),
            b't' | b'\t' => text.push('\t'),
            b'n' => text.push('\n'),
            b'v' => text.push('\x0b'),
            b'f' => text.push('\x0c'),
            b'r' => text.push('\r'),
            b'e' => text.push('\x1b'),
            b' ' => text.push(' '),
            b'"' => text.push('"'),
            b'\'' => text.push('\''),
            b'\\' => text.push('\\'),
            b'N' => text.push('\u{85}'),
            b'_' => text.push('\u{a0}'),
            b'L' => text.push('\u{2028}'),
            b'P' => text.push('\u{2029}'),
            b'x' => length = 2,
            b'u' => length = 4,
            b'U' => length = 8,
            _ => return Err(self.fault(context, "found unknown escape character")),
        }
        self.skip_many(2);
        if length > 0 {
            self.need(length)?;
            let mut code: u32 = 0;
            for offset in 0..length {
                let Some(digit) = hex(self.byte(offset)) else {
                    return Err(self.fault(context, "did not find expected hexdecimal number"));
                };
                code = (code << 4) + digit;
            }
            let Some(character) = char::from_u32(code) else {
                return Err(self.fault(context, "found invalid Unicode character escape code"));
            };
            text.push(character);
            self.skip_many(length);
        }
        Ok(())
    }

    fn scan_plain_scalar(&mut self) -> Scan<()> {
        let start = self.mark;
        let mut end = self.mark;
        let indent = self.indent + 1;
        let mut text = Pieces::new(self.text, self.pos);
        let mut leading_break = "";
        let mut trailing_breaks = String::new();
        let mut whitespace = self.pos..self.pos;
        let mut leading_blanks = false;
        loop {
            self.need(4)?;
            if self.at_document_indicator() || self.byte(0) == b'#' {
                break;
            }
            while !self.blankz(0) {
                let byte = self.byte(0);
                if (byte == b':' && self.blankz(1))
                    || (self.flow_level > 0
                        && matches!(byte, b',' | b'?' | b'[' | b']' | b'{' | b'}'))
                {
                    break;
                }
                if leading_blanks {
                    text.fold(leading_break, &trailing_breaks);
                    trailing_breaks.clear();
                    leading_blanks = false;
                } else if !whitespace.is_empty() {
                    text.take(whitespace.start, whitespace.end);
                }
                whitespace = 0..0;
                let from = self.pos;
                self.skip();
                text.take(from, self.pos);
                end = self.mark;
                self.need(2)?;
            }
            if !(self.blank(0) || self.at_break(0)) {
                break;
            }
            self.need(1)?;
            while self.blank(0) || self.at_break(0) {
                if self.blank(0) {
                    if leading_blanks
                        && i64::from(self.mark.column) < indent
                        && self.byte(0) == b'\t'
                    {
                        return Err(
                            self.fault(start, "found a tab character that violates indentation")
                        );
                    }
                    let from = self.pos;
                    self.skip();
                    if !leading_blanks {
                        if whitespace.is_empty() {
                            whitespace = from..from;
                        }
                        whitespace.end = self.pos;
                    }
                } else {
                    self.need(2)?;
                    let line_break = self.read_break();
                    if leading_blanks {
                        trailing_breaks.push_str(line_break);
                    } else {
                        whitespace = 0..0;
                        leading_break = line_break;
                        leading_blanks = true;
                    }
                }
                self.need(1)?;
            }
            if self.flow_level == 0 && i64::from(self.mark.column) < indent {
                break;
            }
        }
        self.push(
            TokenKind::Scalar {
                text: text.finish(),
                quoting: Quoting::Plain,
            },
            start,
            end,
        );
        if leading_blanks {
            self.simple_key_allowed = true;
        }
        Ok(())
    }

    // Characters.

    #[inline]
    fn need(&mut self, count: usize) -> Scan<()> {
        match &mut self.blocks {
            None => Ok(()),
            Some(blocks) => blocks
                .need(self.text, self.pos, count)
                .map_err(|problem| Box::new(Fault::reader(problem))),
        }
    }

    /// The byte `offset` after the current one; 0 past the end.
    #[inline]
    fn byte(&self, offset: usize) -> u8 {
        self.bytes.get(self.pos + offset).copied().unwrap_or(0)
    }

    #[inline]
    fn skip(&mut self) {
        self.pos += match self.byte(0) {
            0..0xc0 => 1,
            0xc0..0xe0 => 2,
            0xe0..0xf0 => 3,
            _ => 4,
        };
        self.mark.index += 1;
        self.mark.column += 1;
    }

    fn skip_many(&mut self, count: usize) {
        for _ in 0..count {
            self.skip();
        }
    }

    fn skip_line(&mut self) {
        self.read_break();
    }

    /// Eats a line break and returns what it reads as.
    fn read_break(&mut self) -> &'static str {
        let (width, read) = match (self.byte(0), self.byte(1), self.byte(2)) {
            (b'\r', b'\n', _) => {
                self.mark.index += 1;
                (2, "\n")
            }
            (b'\r' | b'\n', ..) => (1, "\n"),
            (0xc2, 0x85, _) => (2, "\n"),
            (0xe2, 0x80, 0xa8) => (3, "\u{2028}"),
            (0xe2, 0x80, 0xa9) => (3, "\u{2029}"),
            _ => return "",
        };
        self.pos += width;
        self.mark.index += 1;
        self.mark.column = 0;
        self.mark.line += 1;
        read
    }

    #[inline]
    fn blank(&self, offset: usize) -> bool {
        matches!(self.byte(offset), b' ' | b'\t')
    }

    #[inline]
    fn at_break(&self, offset: usize) -> bool {
        match self.byte(offset) {
            b'\n' | b'\r' => true,
            0xc2 => self.byte(offset + 1) == 0x85,
            0xe2 => self.byte(offset + 1) == 0x80 && matches!(self.byte(offset + 2), 0xa8 | 0xa9),
            _ => false,
        }
    }

    #[inline]
    fn breakz(&self, offset: usize) -> bool {
        self.byte(offset) == 0 || self.at_break(offset)
    }

    #[inline]
    fn blankz(&self, offset: usize) -> bool {
        self.blank(offset) || self.breakz(offset)
    }

    fn at_document_indicator(&self) -> bool {
        self.mark.column == 0
            && matches!(
                self.bytes.get(self.pos..self.pos + 3),
                Some(b"---" | b"...")
            )
            && self.blankz(3)
    }

    fn fault(&self, context: Mark, problem: impl Into<Cow<'static, str>>) -> Box<Fault> {
        Box::new(Fault {
            stage: Stage::Scanner,
            problem: problem.into(),
            mark: self.mark,
            context: Some(context),
        })
    }
}

impl Fault {
    pub(super) fn reader(problem: &'static str) -> Self {
        Fault {
            stage: Stage::Reader,
            problem: problem.into(),
            mark: Mark::default(),
            context: None,
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Chomping {
    Strip,
    Clip,
    Keep,
}

impl Chomping {
    fn of(byte: u8) -> Option<Self> {
        match byte {
            b'-' => Some(Chomping::Strip),
            b'+' => Some(Chomping::Keep),
            _ => None,
        }
    }
}

/// A scalar's text: borrowed as long as it stands in the source as it is.
struct Pieces<'a> {
    source: &'a str,
    from: usize,
    to: usize,
    joined: String,
}

impl<'a> Pieces<'a> {
    fn new(source: &'a str, at: usize) -> Self {
        Pieces {
            source,
            from: at,
            to: at,
            joined: String::new(),
        }
    }

    /// Appends a piece of the source.
    #[inline]
    fn take(&mut self, from: usize, to: usize) {
        if from != self.to {
            self.flush();
            self.from = from;
        }
        self.to = to;
    }

    fn push(&mut self, character: char) {
        self.flush();
        self.joined.push(character);
    }

    /// Appends what a line break and the empty lines after it read as.
    fn fold(&mut self, line_break: &str, more: &str) {
        self.flush();
        if line_break != "\n" {
            self.joined.push_str(line_break);
            self.joined.push_str(more);
        } else if more.is_empty() {
            self.joined.push(' ');
        } else {
            self.joined.push_str(more);
        }
    }

    fn flush(&mut self) {
        self.joined.push_str(&self.source[self.from..self.to]);
        self.from = self.to;
    }

    fn finish(mut self) -> Cow<'a, str> {
        if self.joined.is_empty() {
            Cow::Borrowed(&self.source[self.from..self.to])
        } else {
            self.flush();
            Cow::Owned(self.joined)
        }
    }
}

fn is_alpha(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

fn hex(byte: u8) -> Option<u32> {
    char::from(byte).to_digit(16)
}

fn too_deep() -> String {
    format!("exceeded max depth of {MAX_NESTING}")
}
