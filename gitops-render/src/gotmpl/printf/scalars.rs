//! Verbs for text and numbers, and their padding.

use super::Printer;
use super::floats::{format_float, restore_zeros};
use super::quote::{
    LOWER, UPPER, can_backquote, character_starts, push_char, push_escaped, push_quoted, rune,
};
use crate::gotmpl::unicode::is_printable;
use crate::gotmpl::value::Value;

impl Printer<'_> {
    pub(super) fn string(&mut self, value: &Value, text: &[u8], verb: char) {
        match verb {
            'v' if self.flags.sharp_v => self.quoted(text),
            'v' | 's' => self.text(text),
            'x' => self.hex(text, LOWER),
            'X' => self.hex(text, UPPER),
            'q' => self.quoted(text),
            _ => self.bad_verb(value, verb),
        }
    }

    pub(super) fn integer(&mut self, value: &Value, bits: u64, signed: bool, verb: char) {
        match verb {
            'v' if self.flags.sharp_v && !signed => {
                let sharp = std::mem::replace(&mut self.flags.sharp, true);
                self.fixed(bits, 16, false, 'v', LOWER);
                self.flags.sharp = sharp;
            }
            'v' | 'd' => self.fixed(bits, 10, signed, verb, LOWER),
            'b' => self.fixed(bits, 2, signed, verb, LOWER),
            'o' | 'O' => self.fixed(bits, 8, signed, verb, LOWER),
            'x' => self.fixed(bits, 16, signed, verb, LOWER),
            'X' => self.fixed(bits, 16, signed, verb, UPPER),
            'c' => {
                let mut text = Vec::new();
                push_char(&mut text, rune(bits));
                self.pad(&text);
            }
            'q' => {
                let mut text = vec![b'\''];
                push_escaped(&mut text, rune(bits), '\'', self.flags.plus);
                text.push(b'\'');
                self.pad(&text);
            }
            'U' => {
                let mut text = format!("{bits:X}");
                let digits = self.flags.precision.unwrap_or(4).max(4);
                text = format!("U+{}{text}", "0".repeat(digits.saturating_sub(text.len())));
                if self.flags.sharp
                    && let Some(c) = u32::try_from(bits).ok().and_then(char::from_u32)
                    && is_printable(c)
                {
                    text.push_str(&format!(" '{c}'"));
                }
                let zero = std::mem::take(&mut self.flags.zero);
                self.pad(text.as_bytes());
                self.flags.zero = zero;
            }
            _ => self.bad_verb(value, verb),
        }
    }

    /// An integer in some base, with sign, prefix and zeros.
    pub(super) fn fixed(
        &mut self,
        bits: u64,
        base: u64,
        signed: bool,
        verb: char,
        digits: &[u8; 16],
    ) {
        let negative = signed && (bits as i64) < 0;
        let mut rest = if negative { bits.wrapping_neg() } else { bits };
        let flags = self.flags;
        let mut zeros = 0;
        if let Some(precision) = flags.precision {
            zeros = precision;
            if precision == 0 && rest == 0 {
                let zero = std::mem::take(&mut self.flags.zero);
                self.padding(flags.width.unwrap_or(0));
                self.flags.zero = zero;
                return;
            }
        } else if let (true, false, Some(width)) = (flags.zero, flags.minus, flags.width) {
            zeros = width;
            if negative || flags.plus || flags.space {
                zeros = zeros.saturating_sub(1);
            }
        }
        // Right to left, reversed at the end.
        let mut text = Vec::with_capacity(zeros.max(20) + 3);
        loop {
            text.push(digits[(rest % base) as usize]);
            rest /= base;
            if rest == 0 {
                break;
            }
        }
        while text.len() < zeros {
            text.push(b'0');
        }
        if flags.sharp {
            match base {
                2 => text.extend_from_slice(b"b0"),
                8 if text.last() != Some(&b'0') => text.push(b'0'),
                16 => text.extend_from_slice(if digits == UPPER { b"X0" } else { b"x0" }),
                _ => {}
            }
        }
        if verb == 'O' {
            text.extend_from_slice(b"o0");
        }
        if negative {
            text.push(b'-');
        } else if flags.plus {
            text.push(b'+');
        } else if flags.space {
            text.push(b' ');
        }
        text.reverse();
        let zero = std::mem::take(&mut self.flags.zero);
        self.pad(&text);
        self.flags.zero = zero;
    }

    pub(super) fn float(&mut self, value: &Value, number: f64, verb: char) {
        let (form, precision) = match verb {
            'v' => ('g', None),
            'b' | 'g' | 'G' | 'x' | 'X' => (verb, None),
            'f' | 'e' | 'E' => (verb, Some(6)),
            'F' => ('f', Some(6)),
            _ => return self.bad_verb(value, verb),
        };
        let precision = self.flags.precision.or(precision);
        let flags = self.flags;
        let mut text = Vec::with_capacity(24);
        text.push(b'+');
        format_float(&mut text, number, form, precision);
        if matches!(text[1], b'-' | b'+') {
            text.remove(0);
        }
        if flags.space && text[0] == b'+' && !flags.plus {
            text[0] = b' ';
        }
        if matches!(text[1], b'I' | b'N') {
            if text[1] == b'N' && !flags.space && !flags.plus {
                text.remove(0);
            }
            // An infinity keeps the sign that Go wrote, `+Inf` included.
            let zero = std::mem::take(&mut self.flags.zero);
            self.pad(&text);
            self.flags.zero = zero;
            return;
        }
        if flags.sharp && form != 'b' {
            restore_zeros(&mut text, form, precision);
        }
        if flags.plus || text[0] != b'+' {
            if let (true, false, Some(width)) = (flags.zero, flags.minus, flags.width)
                && width > text.len()
            {
                self.out.push(text[0]);
                self.padding(width - text.len());
                self.push(&text[1..]);
                return;
            }
            self.pad(&text);
            return;
        }
        self.pad(&text[1..]);
    }

    pub(super) fn text(&mut self, text: &[u8]) {
        let text = self.truncate(text);
        self.pad(text);
    }

    pub(super) fn truncate<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        match self.flags.precision {
            None => text,
            Some(precision) => match character_starts(text).nth(precision) {
                Some(end) => &text[..end],
                None => text,
            },
        }
    }

    pub(super) fn quoted(&mut self, text: &[u8]) {
        let text = self.truncate(text);
        let mut out = Vec::with_capacity(text.len() + 2);
        if self.flags.sharp && can_backquote(text) {
            out.push(b'`');
            out.extend_from_slice(text);
            out.push(b'`');
        } else {
            push_quoted(&mut out, text, '"', self.flags.plus);
        }
        self.pad(&out);
    }

    pub(super) fn hex(&mut self, bytes: &[u8], digits: &[u8; 16]) {
        let flags = self.flags;
        let length = flags
            .precision
            .map_or(bytes.len(), |precision| precision.min(bytes.len()));
        if length == 0 {
            self.padding(flags.width.unwrap_or(0));
            return;
        }
        let x = if digits == UPPER { b'X' } else { b'x' };
        let mut text = Vec::with_capacity(length * 2);
        for (index, byte) in bytes[..length].iter().enumerate() {
            if flags.space && index > 0 {
                text.push(b' ');
            }
            if flags.sharp && (flags.space || index == 0) {
                text.extend_from_slice(&[b'0', x]);
            }
            text.push(digits[usize::from(byte >> 4)]);
            text.push(digits[usize::from(byte & 15)]);
        }
        self.pad(&text);
    }

    pub(super) fn pad(&mut self, text: &[u8]) {
        let Some(width) = self.flags.width.filter(|width| *width > 0) else {
            self.push(text);
            return;
        };
        let missing = width.saturating_sub(character_starts(text).count());
        if self.flags.minus {
            self.push(text);
            self.padding(missing);
        } else {
            self.padding(missing);
            self.push(text);
        }
    }

    pub(super) fn padding(&mut self, count: usize) {
        let fill = if self.flags.zero && !self.flags.minus {
            b'0'
        } else {
            b' '
        };
        self.out.resize(self.out.len() + count, fill);
    }
}
