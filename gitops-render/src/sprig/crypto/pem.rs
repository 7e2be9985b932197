//! PEM blocks, as lenient and as strict as Go's `encoding/pem`.

use base64::Engine as _;

use super::super::encoding::{BASE64, base64_decode};

/// A decoded block.
pub(super) struct Block<'t> {
    /// What stands behind `BEGIN`.
    pub(super) label: &'t str,
    pub(super) bytes: Vec<u8>,
}

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// The first block of a text that is well-formed; what precedes it is skipped.
pub(super) fn decode(text: &[u8]) -> Option<Block<'_>> {
    let mut rest = text;
    while let Some((line, after)) = next_line(rest) {
        let label = line
            .strip_prefix(BEGIN)
            .and_then(|line| line.strip_suffix(DASHES))
            .and_then(|label| std::str::from_utf8(label).ok());
        if let Some(block) = label.and_then(|label| block(label, after)) {
            return Some(block);
        }
        rest = after;
    }
    None
}

/// The block of this label whose content begins here.
fn block<'t>(label: &'t str, text: &[u8]) -> Option<Block<'t>> {
    let mut rest = text;
    // Headers, `Name: value`, go before the content.
    while let Some((line, after)) = next_line(rest) {
        if !line.contains(&b':') {
            break;
        }
        rest = after;
    }
    let mut content = Vec::with_capacity(rest.len());
    while let Some((line, after)) = next_line(rest) {
        if let Some(end) = line.strip_prefix(END) {
            let closed = end.strip_suffix(DASHES) == Some(label.as_bytes());
            let bytes = base64_decode(&content).ok().filter(|_| closed)?;
            return Some(Block { label, bytes });
        }
        content.extend(line.iter().filter(|byte| !matches!(byte, b' ' | b'\t')));
        rest = after;
    }
    None
}

/// A line without the blanks at its end, and what follows it.
fn next_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if text.is_empty() {
        return None;
    }
    let (line, rest) = match memchr::memchr(b'\n', text) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &[][..]),
    };
    Some((line.trim_ascii_end(), rest))
}

/// A block with lines of 64 characters.
pub(super) fn encode(label: &str, bytes: &[u8]) -> String {
    let content = BASE64.encode(bytes);
    let mut text = String::with_capacity(content.len() / 64 * 65 + 2 * label.len() + 40);
    text.push_str(&format!("-----BEGIN {label}-----\n"));
    let mut rest = content.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}
