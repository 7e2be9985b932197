//! Bytes into text the scanner can trust, with go-yaml's complaints about
//! bytes it cannot.
//!
//! go-yaml decodes its input in blocks of 512 bytes, and notices a bad byte
//! when the scanner first needs a character of that block; what was wrong
//! before is reported first, and what comes after the first document may
//! never be noticed. [`Blocks`] replays that, but only for input that has a
//! bad byte, or a byte order mark that is not its first character (which
//! go-yaml looks for at the wrong place).

use std::borrow::Cow;

use super::Error;

/// The characters of an input up to the first that YAML forbids.
#[derive(Debug)]
pub(super) struct Input<'a> {
    pub(super) text: Cow<'a, str>,
    /// Set if the scanner has to ask before it looks ahead.
    pub(super) blocks: Option<Blocks>,
    /// Line breaks other than line feeds: the scanner knows them, the fast
    /// path does not.
    pub(super) rare_breaks: bool,
}

/// How far go-yaml would have decoded its input.
#[derive(Clone, Debug)]
pub(super) struct Blocks {
    bad: Option<Bad>,
    /// End of what is decoded.
    decoded: usize,
    /// End of the block that is decoded next.
    limit: usize,
    /// What go-yaml's buffer began with when it was last refilled.
    buffer_start: usize,
    /// End marks that go-yaml appended to the buffer.
    ends: usize,
}

/// What ends the text.
#[derive(Clone, Copy, Debug)]
struct Bad {
    /// Where it ends itself: it is noticed in the block that holds it whole.
    end: usize,
    problem: &'static str,
}

const BLOCK: usize = 512;
const BOM: &str = "\u{feff}";

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Error> {
        let decoded = match bytes {
            [0xff, 0xfe, rest @ ..] => Input::from_utf16(rest, u16::from_le_bytes),
            [0xfe, 0xff, rest @ ..] => Input::from_utf16(rest, u16::from_be_bytes),
            [0xef, 0xbb, 0xbf, rest @ ..] => Ok(Input::from_utf8(rest, 3)),
            _ => Ok(Input::from_utf8(bytes, 0)),
        };
        decoded.map_err(|problem| Error::nowhere(problem.to_owned()))
    }

    fn from_utf8(bytes: &'a [u8], skipped: usize) -> Self {
        let (text, broken) = match std::str::from_utf8(bytes) {
            Ok(text) => (text, false),
            Err(error) => {
                let valid = &bytes[..error.valid_up_to()];
                (std::str::from_utf8(valid).unwrap_or_default(), true)
            }
        };
        let seen = survey(text);
        let (text, bad) = match seen.forbidden {
            Some(at) => {
                let width = text[at..].chars().next().map_or(0, char::len_utf8);
                let bad = Bad {
                    end: at + width,
                    problem: CONTROL,
                };
                (&text[..at], Some(bad))
            }
            None if broken => {
                let (width, problem) = broken_sequence(&bytes[text.len()..]);
                let end = text.len().saturating_add(width);
                (text, Some(Bad { end, problem }))
            }
            None => (text, None),
        };
        let blocks = (bad.is_some() || seen.bom).then_some(Blocks {
            bad,
            decoded: 0,
            // The byte order mark filled part of the first block.
            limit: BLOCK - skipped,
            buffer_start: 0,
            ends: 0,
        });
        Input {
            text: Cow::Borrowed(text),
            blocks,
            rare_breaks: seen.rare_breaks,
        }
    }

    fn from_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Self, &'static str> {
        let (pairs, rest) = bytes.as_chunks::<2>();
        let mut text = String::with_capacity(bytes.len());
        for character in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
            match character {
                Ok(character) => text.push(character),
                Err(error) if error.unpaired_surrogate() & 0xfc00 == 0xdc00 => {
                    return Err("unexpected low surrogate area");
                }
                Err(_) => return Err("expected low surrogate area"),
            }
        }
        if !rest.is_empty() {
            return Err("incomplete UTF-16 character");
        }
        let seen = survey(&text);
        if seen.forbidden.is_some() {
            return Err(CONTROL);
        }
        Ok(Input {
            text: Cow::Owned(text),
            blocks: None,
            rare_breaks: seen.rare_breaks,
        })
    }
}

impl Blocks {
    /// What go-yaml says when `count` characters from `at` are needed.
    pub(super) fn need(&mut self, text: &str, at: usize, count: usize) -> Result<(), &'static str> {
        let at = at.min(text.len());
        loop {
            let ready = text[at.min(self.decoded)..self.decoded]
                .chars()
                .take(count)
                .count();
            if ready + self.ends >= count {
                return Ok(());
            }
            self.buffer_start = at;
            if let Some(bad) = &self.bad
                && (bad.end <= self.limit || self.decoded == text.len())
            {
                return Err(bad.problem);
            }
            if self.decoded < text.len() {
                self.decoded = floor(text, self.limit);
                self.limit = self.decoded + BLOCK;
            } else {
                self.ends += 1;
                return Ok(());
            }
        }
    }

    /// Whether go-yaml believes that a byte order mark comes next: it looks
    /// at the start of its buffer, wherever it reads.
    pub(super) fn sees_bom(&self, text: &str) -> bool {
        text[self.buffer_start..].starts_with(BOM)
    }
}

/// The last character boundary up to `index`.
pub(super) fn floor(text: &str, index: usize) -> usize {
    if index >= text.len() {
        return text.len();
    }
    (0..=index)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0)
}

const CONTROL: &str = "control characters are not allowed";

/// What one look over the text found.
struct Survey {
    forbidden: Option<usize>,
    rare_breaks: bool,
    bom: bool,
}

fn survey(text: &str) -> Survey {
    let mut found = Survey {
        forbidden: None,
        rare_breaks: false,
        bom: false,
    };
    let bytes = text.as_bytes();
    let mut start = 0;
    for block in bytes.chunks(64) {
        // One test without branches, so that the compiler can do 16 bytes at
        // a time; it is true for nearly every block of nearly every file.
        let plain = block.iter().fold(true, |plain, &byte| {
            plain & ((byte == b'\n') | (byte.wrapping_sub(0x20) < 0x5f))
        });
        if !plain {
            for (offset, &byte) in block.iter().enumerate() {
                let at = start + offset;
                let next = || (bytes.get(at + 1).copied(), bytes.get(at + 2).copied());
                match byte {
                    b'\t' | b'\n' => {}
                    b'\r' => found.rare_breaks = true,
                    0..0x20 | 0x7f => found.forbidden = Some(at),
                    0xc2 => match next().0 {
                        Some(0x85) => found.rare_breaks = true,
                        Some(0x80..0xa0) => found.forbidden = Some(at),
                        _ => {}
                    },
                    0xe2 => {
                        if matches!(next(), (Some(0x80), Some(0xa8 | 0xa9))) {
                            found.rare_breaks = true;
                        }
                    }
                    0xef => match next() {
                        (Some(0xbb), Some(0xbf)) => found.bom = true,
                        (Some(0xbf), Some(0xbe | 0xbf)) => found.forbidden = Some(at),
                        _ => {}
                    },
                    _ => {}
                }
                if found.forbidden.is_some() {
                    return found;
                }
            }
        }
        start += block.len();
    }
    found
}

/// What go-yaml says about the bytes at which UTF-8 ends, and how many of
/// them it looks at; it notices an incomplete sequence only at the end.
fn broken_sequence(bytes: &[u8]) -> (usize, &'static str) {
    let width = match bytes[0] {
        0..0x80 => 1,
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..0xf8 => 4,
        _ => return (1, "invalid leading UTF-8 octet"),
    };
    if bytes.len() < width {
        return (usize::MAX, "incomplete UTF-8 octet sequence");
    }
    if bytes[1..width].iter().any(|byte| byte & 0xc0 != 0x80) {
        return (width, "invalid trailing UTF-8 octet");
    }
    let overlong = match bytes[0] {
        0xc0 | 0xc1 => true,
        0xe0 => bytes[1] < 0xa0,
        0xf0 => bytes[1] < 0x90,
        _ => false,
    };
    let problem = if overlong {
        "invalid length of a UTF-8 sequence"
    } else {
        "invalid Unicode character"
    };
    (width, problem)
}
