//! What a text may define, found without parsing it.

use std::borrow::Cow;
use std::ops::Range;

use super::lex::{leading_space, trailing_space};
use super::literal::unquote_name;

/// Where the names stand that `define` and `block` give to parts of a text, in
/// their quotes.
///
/// A name may stand there twice, or in a comment or a text where it defines
/// nothing; none is left out.
#[derive(Debug)]
pub(crate) struct Definitions(Box<[Range<u32>]>);

impl Definitions {
    /// Those of a text that is a template; a longer one than 4 GiB is none.
    pub(crate) fn find(text: &[u8]) -> Self {
        let mut found = Vec::new();
        for keyword in ["define", "block"] {
            for at in memchr::memmem::find_iter(text, keyword) {
                let before = &text[..at];
                let before = &before[..at - trailing_space(before)];
                // A trimming delimiter ends in a dash.
                let before = before.strip_suffix(b"-").unwrap_or(before);
                let behind = &text[at + keyword.len()..];
                if before.ends_with(b"{{")
                    && let Some(literal) = literal(behind)
                {
                    let start = text.len() - behind.len() + literal.start;
                    found.push(start as u32..(start + literal.len()) as u32);
                }
            }
        }
        Definitions(found.into())
    }

    /// The names, read from the text that they were found in.
    pub(crate) fn names<'t>(&self, text: &'t [u8]) -> impl Iterator<Item = Cow<'t, str>> {
        self.0.iter().filter_map(|Range { start, end }| {
            unquote_name(text.get(*start as usize..*end as usize)?)
        })
    }
}

/// The literal that stands behind spaces, in its quotes.
fn literal(text: &[u8]) -> Option<Range<usize>> {
    let start = leading_space(text);
    let mut end = start + 1;
    match text.get(start)? {
        b'`' => end += memchr::memchr(b'`', &text[end..])?,
        b'"' => loop {
            end += memchr::memchr2(b'"', b'\\', text.get(end..)?)?;
            if text[end] == b'"' {
                break;
            }
            end += 2;
        },
        _ => return None,
    }
    Some(start..end + 1)
}
