//! Go's `strconv` for text: quoting, and characters in bytes.

use crate::gotmpl::unicode::is_printable;

pub(super) fn push_quoted(out: &mut Vec<u8>, text: &[u8], quote: char, ascii: bool) {
    out.push(quote as u8);
    // Most texts that charts quote need no escapes at all.
    let plain = text
        .iter()
        .take_while(|byte| matches!(byte, b' '..=b'~') && **byte != b'\\' && **byte != quote as u8)
        .count();
    out.extend_from_slice(&text[..plain]);
    for chunk in text[plain..].utf8_chunks() {
        for c in chunk.valid().chars() {
            push_escaped(out, c, quote, ascii);
        }
        for byte in chunk.invalid() {
            push_hex_escape(out, b'x', u32::from(*byte), 2);
        }
    }
    out.push(quote as u8);
}

pub(super) fn push_escaped(out: &mut Vec<u8>, c: char, quote: char, ascii: bool) {
    if c == quote || c == '\\' {
        out.push(b'\\');
        out.push(c as u8);
        return;
    }
    if (!ascii || c.is_ascii()) && is_printable(c) {
        push_char(out, c);
        return;
    }
    let escape = match c {
        '\x07' => b'a',
        '\x08' => b'b',
        '\x0c' => b'f',
        '\n' => b'n',
        '\r' => b'r',
        '\t' => b't',
        '\x0b' => b'v',
        c if c < ' ' || c == '\x7f' => return push_hex_escape(out, b'x', c.into(), 2),
        c if (c as u32) < 0x10000 => return push_hex_escape(out, b'u', c.into(), 4),
        c => return push_hex_escape(out, b'U', c.into(), 8),
    };
    out.extend_from_slice(&[b'\\', escape]);
}

pub(super) fn push_hex_escape(out: &mut Vec<u8>, letter: u8, code: u32, digits: u32) {
    out.extend_from_slice(&[b'\\', letter]);
    for place in (0..digits).rev() {
        out.push(LOWER[(code >> (4 * place) & 15) as usize]);
    }
}

pub(super) fn push_char(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

pub(super) const LOWER: &[u8; 16] = b"0123456789abcdef";
pub(super) const UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// Where each character starts; every byte that is not UTF-8 counts as one.
pub(super) fn character_starts(text: &[u8]) -> impl Iterator<Item = usize> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= text.len() {
            return None;
        }
        let start = at;
        at += if text[at].is_ascii() {
            1
        } else {
            decode(&text[at..]).1
        };
        Some(start)
    })
}

/// The first character and its size; U+FFFD and 1 for an invalid byte.
pub(crate) fn decode(text: &[u8]) -> (char, usize) {
    let head = &text[..text.len().min(4)];
    let valid = match std::str::from_utf8(head) {
        Ok(valid) => valid,
        Err(error) => {
            std::str::from_utf8(&head[..error.valid_up_to()]).expect("the prefix was found valid")
        }
    };
    match valid.chars().next() {
        Some(c) => (c, c.len_utf8()),
        None => ('\u{fffd}', usize::from(!text.is_empty())),
    }
}

pub(super) fn rune(bits: u64) -> char {
    u32::try_from(bits)
        .ok()
        .and_then(char::from_u32)
        .unwrap_or('\u{fffd}')
}

pub(super) fn can_backquote(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| {
        text.chars()
            .all(|c| !(c < ' ' && c != '\t' || c == '`' || c == '\x7f' || c == '\u{feff}'))
    })
}
