//! Tokens into events: a port of go-yaml v2.4 `parserc.go`.
//!
//! An event says what a node is and what was written before it (anchor, tag).
//! The grammar is a state machine, so that nesting costs heap, not stack.

use std::borrow::Cow;
use std::ops::Range;

use super::input::Input;
use super::node::Quoting;
use super::scan::{Fault, Mark, Scan, Scanner, Stage, TokenKind};

pub(super) struct Event<'a> {
    pub(super) kind: EventKind<'a>,
    pub(super) anchor: Option<&'a str>,
    /// The whole tag, `tag:yaml.org,2002:str` for `!!str`; empty without one.
    pub(super) tag: String,
    pub(super) mark: Mark,
}

pub(super) enum EventKind<'a> {
    StreamEnd,
    DocumentStart,
    DocumentEnd,
    Alias(&'a str),
    /// `implicit` scalars are plain ones without a tag, and those tagged `!`.
    Scalar {
        text: Cow<'a, str>,
        implicit: bool,
        quoting: Quoting,
    },
    SequenceStart {
        flow: bool,
    },
    SequenceEnd,
    MappingStart {
        flow: bool,
    },
    MappingEnd,
}

#[derive(Clone, Copy)]
enum State {
    StreamStart,
    DocumentStart { implicit: bool },
    DocumentContent,
    DocumentEnd,
    BlockNode,
    BlockSequenceEntry { first: bool },
    IndentlessSequenceEntry,
    BlockMappingKey { first: bool },
    BlockMappingValue,
    FlowSequenceEntry { first: bool },
    FlowSequencePairKey,
    FlowSequencePairValue,
    FlowSequencePairEnd,
    FlowMappingKey { first: bool },
    FlowMappingValue { empty: bool },
    End,
}

pub(super) struct Parser<'a> {
    scanner: Scanner<'a>,
    state: State,
    states: Vec<State>,
    /// Where the open collections began.
    marks: Vec<Mark>,
    tag_directives: Vec<(&'a str, String)>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(input: &'a Input<'_>, section: Range<usize>, line: u32) -> Self {
        Parser {
            scanner: Scanner::new(input, section, line),
            state: State::StreamStart,
            states: Vec::new(),
            marks: Vec::new(),
            tag_directives: Vec::new(),
        }
    }

    /// A parser that reads as far ahead as version 3 of go-yaml.
    pub(super) fn looking_ahead(input: &'a Input<'_>) -> Self {
        let mut parser = Parser::new(input, 0..input.text.len(), 0);
        parser.scanner.look_ahead(2);
        parser
    }

    pub(super) fn next(&mut self) -> Scan<Event<'a>> {
        match self.state {
            State::StreamStart => {
                self.scanner.peek()?;
                self.scanner.take();
                self.state = State::DocumentStart { implicit: true };
                self.next()
            }
            State::DocumentStart { implicit } => self.document_start(implicit),
            State::DocumentContent => match self.scanner.peek()?.kind {
                TokenKind::Version(..)
                | TokenKind::TagDirective { .. }
                | TokenKind::DocumentStart
                | TokenKind::DocumentEnd
                | TokenKind::StreamEnd => {
                    let mark = self.scanner.peek()?.start;
                    self.leave();
                    Ok(empty(mark))
                }
                _ => self.node(true, false),
            },
            State::DocumentEnd => self.document_end(),
            State::BlockNode => self.node(true, false),
            State::BlockSequenceEntry { first } => self.block_sequence_entry(first),
            State::IndentlessSequenceEntry => self.indentless_sequence_entry(),
            State::BlockMappingKey { first } => self.block_mapping_key(first),
            State::BlockMappingValue => self.block_mapping_value(),
            State::FlowSequenceEntry { first } => self.flow_sequence_entry(first),
            State::FlowSequencePairKey => {
                let token = self.scanner.peek()?;
                match token.kind {
                    TokenKind::Value | TokenKind::FlowEntry | TokenKind::FlowSequenceEnd => {
                        let mark = token.end;
                        self.scanner.take();
                        self.state = State::FlowSequencePairValue;
                        Ok(empty(mark))
                    }
                    _ => self.child(State::FlowSequencePairValue, false, false),
                }
            }
            State::FlowSequencePairValue => {
                if self.scanner.peek()?.kind == TokenKind::Value {
                    self.scanner.take();
                    if !matches!(
                        self.scanner.peek()?.kind,
                        TokenKind::FlowEntry | TokenKind::FlowSequenceEnd
                    ) {
                        return self.child(State::FlowSequencePairEnd, false, false);
                    }
                }
                self.state = State::FlowSequencePairEnd;
                Ok(empty(self.scanner.peek()?.start))
            }
            State::FlowSequencePairEnd => {
                let mark = self.scanner.peek()?.start;
                self.state = State::FlowSequenceEntry { first: false };
                Ok(event(EventKind::MappingEnd, mark))
            }
            State::FlowMappingKey { first } => self.flow_mapping_key(first),
            State::FlowMappingValue { empty } => self.flow_mapping_value(empty),
            State::End => Ok(event(EventKind::StreamEnd, Mark::default())),
        }
    }

    fn leave(&mut self) {
        self.state = self
            .states
            .pop()
            .expect("each node was entered from a state");
    }

    /// Parses a node, to go on in `then` after it.
    fn child(&mut self, then: State, block: bool, indentless: bool) -> Scan<Event<'a>> {
        self.states.push(then);
        self.node(block, indentless)
    }

    fn document_start(&mut self, implicit: bool) -> Scan<Event<'a>> {
        if !implicit {
            while self.scanner.peek()?.kind == TokenKind::DocumentEnd {
                self.scanner.take();
            }
        }
        let token = self.scanner.peek()?;
        let mark = token.start;
        match token.kind {
            TokenKind::StreamEnd => {
                self.scanner.take();
                self.state = State::End;
                return Ok(event(EventKind::StreamEnd, mark));
            }
            TokenKind::Version(..) | TokenKind::TagDirective { .. } | TokenKind::DocumentStart => {}
            _ if implicit => {
                self.directives()?;
                self.states.push(State::DocumentEnd);
                self.state = State::BlockNode;
                return Ok(event(EventKind::DocumentStart, mark));
            }
            _ => {}
        }
        self.directives()?;
        let token = self.scanner.peek()?;
        if token.kind != TokenKind::DocumentStart {
            return Err(fault("did not find expected <document start>", token.start));
        }
        self.scanner.take();
        self.states.push(State::DocumentEnd);
        self.state = State::DocumentContent;
        Ok(event(EventKind::DocumentStart, mark))
    }

    fn document_end(&mut self) -> Scan<Event<'a>> {
        let token = self.scanner.peek()?;
        let mark = token.start;
        if token.kind == TokenKind::DocumentEnd {
            self.scanner.take();
        }
        self.tag_directives.clear();
        self.state = State::DocumentStart { implicit: false };
        Ok(event(EventKind::DocumentEnd, mark))
    }

    fn directives(&mut self) -> Scan<()> {
        let mut version = false;
        loop {
            let token = self.scanner.peek()?;
            let mark = token.start;
            match token.kind {
                TokenKind::Version(..) if version => {
                    return Err(fault("found duplicate %YAML directive", mark));
                }
                TokenKind::Version(1, 1) => {
                    version = true;
                    self.scanner.take();
                }
                TokenKind::Version(..) => {
                    return Err(fault("found incompatible YAML document", mark));
                }
                TokenKind::TagDirective { .. } => {
                    let TokenKind::TagDirective { handle, prefix } = self.scanner.take().kind
                    else {
                        continue;
                    };
                    if self
                        .tag_directives
                        .iter()
                        .any(|(known, _)| *known == handle)
                    {
                        return Err(fault("found duplicate %TAG directive", mark));
                    }
                    self.tag_directives.push((handle, prefix));
                }
                _ => break,
            }
        }
        for (handle, prefix) in [("!", "!"), ("!!", super::resolve::TAG_PREFIX)] {
            if !self
                .tag_directives
                .iter()
                .any(|(known, _)| *known == handle)
            {
                self.tag_directives.push((handle, prefix.into()));
            }
        }
        Ok(())
    }

    fn node(&mut self, block: bool, indentless: bool) -> Scan<Event<'a>> {
        let token = self.scanner.peek()?;
        let mark = token.start;
        if let TokenKind::Alias(name) = token.kind {
            self.scanner.take();
            self.leave();
            return Ok(event(EventKind::Alias(name), mark));
        }
        // An anchor and a tag, in either order.
        let mut anchor = None;
        let mut tag = None;
        let mut tag_mark = mark;
        loop {
            let token = self.scanner.peek()?;
            match token.kind {
                TokenKind::Anchor(name) if anchor.is_none() => {
                    anchor = Some(name);
                    self.scanner.take();
                }
                TokenKind::Tag { .. } if tag.is_none() => {
                    tag_mark = token.start;
                    tag = Some(self.scanner.take().kind);
                }
                _ => break,
            }
        }
        let tag = match tag {
            Some(TokenKind::Tag { handle, suffix }) => self
                .whole_tag(handle, suffix)
                .filter(|tag| !tag.is_empty())
                .ok_or_else(|| {
                    Box::new(Fault {
                        context: Some(mark),
                        ..*fault("found undefined tag handle", tag_mark)
                    })
                })?,
            _ => String::new(),
        };
        let token = self.scanner.peek()?;
        let token_mark = token.start;
        let kind = match token.kind {
            TokenKind::BlockEntry if indentless => {
                self.state = State::IndentlessSequenceEntry;
                EventKind::SequenceStart { flow: false }
            }
            TokenKind::Scalar { .. } => {
                let TokenKind::Scalar { text, quoting } = self.scanner.take().kind else {
                    unreachable!("the token peeked at is the one taken")
                };
                self.leave();
                EventKind::Scalar {
                    text,
                    implicit: (tag.is_empty() && quoting == Quoting::Plain) || tag == "!",
                    quoting,
                }
            }
            TokenKind::FlowSequenceStart => {
                self.state = State::FlowSequenceEntry { first: true };
                EventKind::SequenceStart { flow: true }
            }
            TokenKind::FlowMappingStart => {
                self.state = State::FlowMappingKey { first: true };
                EventKind::MappingStart { flow: true }
            }
            TokenKind::BlockSequenceStart if block => {
                self.state = State::BlockSequenceEntry { first: true };
                EventKind::SequenceStart { flow: false }
            }
            TokenKind::BlockMappingStart if block => {
                self.state = State::BlockMappingKey { first: true };
                EventKind::MappingStart { flow: false }
            }
            _ if anchor.is_some() || !tag.is_empty() => {
                self.leave();
                EventKind::Scalar {
                    text: Cow::Borrowed(""),
                    implicit: tag.is_empty(),
                    quoting: Quoting::Plain,
                }
            }
            _ => {
                return Err(Box::new(Fault {
                    context: Some(mark),
                    ..*fault("did not find expected node content", token_mark)
                }));
            }
        };
        Ok(Event {
            kind,
            anchor,
            tag,
            mark,
        })
    }

    fn whole_tag(&self, handle: &str, suffix: String) -> Option<String> {
        if handle.is_empty() {
            return Some(suffix);
        }
        let (_, prefix) = self
            .tag_directives
            .iter()
            .find(|(known, _)| *known == handle)?;
        Some(format!("{prefix}{suffix}"))
    }

    /// The first token of a collection, to complain about later.
    fn open(&mut self) -> Scan<()> {
        let mark = self.scanner.peek()?.start;
        self.marks.push(mark);
        self.scanner.take();
        Ok(())
    }

    /// The last token of a collection.
    fn close(&mut self, kind: EventKind<'a>) -> Event<'a> {
        let mark = self.scanner.take().start;
        self.leave();
        self.marks.pop();
        event(kind, mark)
    }

    fn unexpected(&mut self, problem: &'static str, found: Mark) -> Box<Fault> {
        Box::new(Fault {
            context: self.marks.pop(),
            ..*fault(problem, found)
        })
    }

    fn block_sequence_entry(&mut self, first: bool) -> Scan<Event<'a>> {
        if first {
            self.open()?;
        }
        let token = self.scanner.peek()?;
        let (start, end) = (token.start, token.end);
        match token.kind {
            TokenKind::BlockEntry => {
                self.scanner.take();
                match self.scanner.peek()?.kind {
                    TokenKind::BlockEntry | TokenKind::BlockEnd => {
                        self.state = State::BlockSequenceEntry { first: false };
                        Ok(empty(end))
                    }
                    _ => self.child(State::BlockSequenceEntry { first: false }, true, false),
                }
            }
            TokenKind::BlockEnd => Ok(self.close(EventKind::SequenceEnd)),
            _ => Err(self.unexpected("did not find expected '-' indicator", start)),
        }
    }

    fn indentless_sequence_entry(&mut self) -> Scan<Event<'a>> {
        let token = self.scanner.peek()?;
        let (start, end) = (token.start, token.end);
        if token.kind != TokenKind::BlockEntry {
            self.leave();
            return Ok(event(EventKind::SequenceEnd, start));
        }
        self.scanner.take();
        match self.scanner.peek()?.kind {
            TokenKind::BlockEntry | TokenKind::Key | TokenKind::Value | TokenKind::BlockEnd => {
                self.state = State::IndentlessSequenceEntry;
                Ok(empty(end))
            }
            _ => self.child(State::IndentlessSequenceEntry, true, false),
        }
    }

    fn block_mapping_key(&mut self, first: bool) -> Scan<Event<'a>> {
        if first {
            self.open()?;
        }
        let token = self.scanner.peek()?;
        let (start, end) = (token.start, token.end);
        match token.kind {
            TokenKind::Key => {
                self.scanner.take();
                match self.scanner.peek()?.kind {
                    TokenKind::Key | TokenKind::Value | TokenKind::BlockEnd => {
                        self.state = State::BlockMappingValue;
                        Ok(empty(end))
                    }
                    _ => self.child(State::BlockMappingValue, true, true),
                }
            }
            TokenKind::BlockEnd => Ok(self.close(EventKind::MappingEnd)),
            _ => Err(self.unexpected("did not find expected key", start)),
        }
    }

    fn block_mapping_value(&mut self) -> Scan<Event<'a>> {
        let token = self.scanner.peek()?;
        let (start, end) = (token.start, token.end);
        let next = State::BlockMappingKey { first: false };
        if token.kind != TokenKind::Value {
            self.state = next;
            return Ok(empty(start));
        }
        self.scanner.take();
        match self.scanner.peek()?.kind {
            TokenKind::Key | TokenKind::Value | TokenKind::BlockEnd => {
                self.state = next;
                Ok(empty(end))
            }
            _ => self.child(next, true, true),
        }
    }

    fn flow_sequence_entry(&mut self, first: bool) -> Scan<Event<'a>> {
        if first {
            self.open()?;
        }
        let token = self.scanner.peek()?;
        let start = token.start;
        if token.kind != TokenKind::FlowSequenceEnd && !first {
            if token.kind != TokenKind::FlowEntry {
                return Err(self.unexpected("did not find expected ',' or ']'", start));
            }
            self.scanner.take();
        }
        let token = self.scanner.peek()?;
        match token.kind {
            TokenKind::FlowSequenceEnd => Ok(self.close(EventKind::SequenceEnd)),
            TokenKind::Key => {
                let mark = token.start;
                self.scanner.take();
                self.state = State::FlowSequencePairKey;
                Ok(event(EventKind::MappingStart { flow: true }, mark))
            }
            _ => self.child(State::FlowSequenceEntry { first: false }, false, false),
        }
    }

    fn flow_mapping_key(&mut self, first: bool) -> Scan<Event<'a>> {
        if first {
            self.open()?;
        }
        let token = self.scanner.peek()?;
        let start = token.start;
        if token.kind != TokenKind::FlowMappingEnd && !first {
            if token.kind != TokenKind::FlowEntry {
                return Err(self.unexpected("did not find expected ',' or '}'", start));
            }
            self.scanner.take();
        }
        match self.scanner.peek()?.kind {
            TokenKind::FlowMappingEnd => Ok(self.close(EventKind::MappingEnd)),
            TokenKind::Key => {
                self.scanner.take();
                let token = self.scanner.peek()?;
                match token.kind {
                    TokenKind::Value | TokenKind::FlowEntry | TokenKind::FlowMappingEnd => {
                        let mark = token.start;
                        self.state = State::FlowMappingValue { empty: false };
                        Ok(empty(mark))
                    }
                    _ => self.child(State::FlowMappingValue { empty: false }, false, false),
                }
            }
            _ => self.child(State::FlowMappingValue { empty: true }, false, false),
        }
    }

    fn flow_mapping_value(&mut self, without: bool) -> Scan<Event<'a>> {
        let next = State::FlowMappingKey { first: false };
        if !without && self.scanner.peek()?.kind == TokenKind::Value {
            self.scanner.take();
            if !matches!(
                self.scanner.peek()?.kind,
                TokenKind::FlowEntry | TokenKind::FlowMappingEnd
            ) {
                return self.child(next, false, false);
            }
        }
        let mark = self.scanner.peek()?.start;
        self.state = next;
        Ok(empty(mark))
    }
}

fn event(kind: EventKind<'_>, mark: Mark) -> Event<'_> {
    Event {
        kind,
        anchor: None,
        tag: String::new(),
        mark,
    }
}

/// The null that stands where nothing was written.
fn empty<'a>(mark: Mark) -> Event<'a> {
    event(
        EventKind::Scalar {
            text: Cow::Borrowed(""),
            implicit: true,
            quoting: Quoting::Plain,
        },
        mark,
    )
}

fn fault(problem: &'static str, mark: Mark) -> Box<Fault> {
    Box::new(Fault {
        stage: Stage::Parser,
        problem: problem.into(),
        mark,
        context: None,
    })
}
