//! Numbers and strings as Go writes them.
//!
//! Follows `strconv` of Go 1.26 (`Unquote`, `ParseInt`, `ParseFloat`) and the
//! rules for untyped constants in `text/template/parse/node.go`.

use std::borrow::Cow;

use super::lex::TokenKind;
use super::printf::{decode, quote};

/// What a numeric constant can be used as.
///
/// Constants have no type of their own until they meet a parameter: `1` is an
/// int, a uint and a float, `1.0` too, `1.5` is only a float.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Number {
    pub(super) int: Option<i64>,
    pub(super) uint: Option<u64>,
    pub(super) float: Option<f64>,
    pub(super) complex: Option<(f64, f64)>,
}

impl Number {
    /// Parses the text of a number token, with Go's error.
    pub(super) fn parse(text: &str, kind: TokenKind) -> Result<Self, String> {
        match kind {
            TokenKind::CharConstant => return character(text),
            TokenKind::Complex => return complex(text),
            _ => {}
        }
        if let Some(imaginary) = text.strip_suffix('i')
            && let Some(imaginary) = parse_float(imaginary)
        {
            return Ok(Number::simplified(0.0, imaginary));
        }
        let mut number = Number {
            uint: parse_uint(text),
            int: parse_int(text),
            ..Number::default()
        };
        if number.int == Some(0) {
            // For -0, which is not a uint by its text.
            number.uint = Some(0);
        }
        if let Some(int) = number.int {
            number.float = Some(int as f64);
        } else if let Some(uint) = number.uint {
            number.float = Some(uint as f64);
        } else if let Some(float) = parse_float(text) {
            if !text.contains(['.', 'e', 'E', 'p', 'P']) {
                return Err(format!("integer overflow: {}", quote(text.as_bytes())));
            }
            number.float = Some(float);
            number.int = whole_int(float);
            number.uint = whole_uint(float);
        }
        if number == Number::default() {
            return Err(format!("illegal number syntax: {}", quote(text.as_bytes())));
        }
        Ok(number)
    }

    fn simplified(real: f64, imaginary: f64) -> Self {
        let float = (imaginary == 0.0).then_some(real);
        Number {
            int: float.and_then(whole_int),
            uint: float.and_then(whole_uint),
            float,
            complex: Some((real, imaginary)),
        }
    }
}

impl From<u32> for Number {
    fn from(number: u32) -> Self {
        Number {
            int: Some(number.into()),
            uint: Some(number.into()),
            float: Some(number.into()),
            complex: None,
        }
    }
}

fn whole_int(float: f64) -> Option<i64> {
    // The bounds keep the cast exact: the upper one itself does not fit.
    let limit = 2f64.powi(63);
    (float.fract() == 0.0 && (-limit..limit).contains(&float)).then_some(float as i64)
}

fn whole_uint(float: f64) -> Option<u64> {
    (float.fract() == 0.0 && (0.0..2f64.powi(64)).contains(&float)).then_some(float as u64)
}

fn character(text: &str) -> Result<Number, String> {
    let (code, _, rest) = unquote_char(&text.as_bytes()[1..], b'\'').ok_or("invalid syntax")?;
    if rest != b"'" {
        return Err(format!("malformed character constant: {text}"));
    }
    Ok(Number {
        int: Some(code.into()),
        uint: Some(code.into()),
        float: Some(code.into()),
        complex: None,
    })
}

/// `1+2i`
fn complex(text: &str) -> Result<Number, String> {
    let parts = text.strip_suffix('i').and_then(|text| {
        // The sign between the parts, not that of an exponent.
        let split = (1..text.len()).rev().find(|&at| {
            matches!(text.as_bytes()[at], b'+' | b'-')
                && !matches!(text.as_bytes()[at - 1], b'e' | b'E' | b'p' | b'P')
        })?;
        Some((parse_float(&text[..split])?, parse_float(&text[split..])?))
    });
    let (real, imaginary) = parts.ok_or("syntax error scanning complex number")?;
    Ok(Number::simplified(real, imaginary))
}

fn parse_uint(text: &str) -> Option<u64> {
    let (radix, digits) = match text.as_bytes() {
        [b'0', b'x' | b'X', _, ..] => (16, &text[2..]),
        [b'0', b'o' | b'O', _, ..] => (8, &text[2..]),
        [b'0', b'b' | b'B', _, ..] => (2, &text[2..]),
        [b'0', _, ..] => (8, &text[1..]),
        _ => (10, text),
    };
    if !underscores_separate(text) {
        return None;
    }
    let mut number: u64 = 0;
    let mut any = false;
    for digit in digits.bytes().filter(|byte| *byte != b'_') {
        let digit = char::from(digit).to_digit(radix)?;
        number = number
            .checked_mul(radix.into())?
            .checked_add(digit.into())?;
        any = true;
    }
    any.then_some(number)
}

fn parse_int(text: &str) -> Option<i64> {
    match text.as_bytes().first()? {
        b'-' => 0i64.checked_sub_unsigned(parse_uint(&text[1..])?),
        b'+' => i64::try_from(parse_uint(&text[1..])?).ok(),
        _ => i64::try_from(parse_uint(text)?).ok(),
    }
}

/// Go's `ParseFloat`, without the words for infinity and NaN, which are not
/// number tokens.
fn parse_float(text: &str) -> Option<f64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if text.contains('_') && !underscores_separate(text) {
        return None;
    }
    let digits = digits.replace('_', "");
    let magnitude = match digits.as_bytes() {
        [b'0', b'x' | b'X', _, ..] => parse_hexadecimal(&digits[2..])?,
        [b'0'..=b'9' | b'.', ..] => digits.parse::<f64>().ok().filter(|n| n.is_finite())?,
        _ => return None,
    };
    Some(if negative { -magnitude } else { magnitude })
}

/// `1.8p-3`, where the exponent is required.
fn parse_hexadecimal(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let exponent = match exponent.strip_prefix('+') {
        Some(unsigned) if unsigned.starts_with(['+', '-']) => return None,
        Some(unsigned) => unsigned,
        None => exponent,
    };
    if !exponent
        .trim_start_matches('-')
        .bytes()
        .all(|b| b.is_ascii_digit())
    {
        return None;
    }
    // Beyond this the result is zero or infinite whatever the mantissa.
    let mut exponent = exponent.parse::<i64>().ok()?.clamp(-100_000, 100_000);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut bits: u64 = 0;
    let mut sticky = false;
    let mut any = false;
    for (index, digit) in whole.bytes().chain(fraction.bytes()).enumerate() {
        let digit = char::from(digit).to_digit(16)?;
        any = true;
        if bits >> 59 != 0 {
            // Sixty bits decide the rounding together with whether any more
            // are set.
            sticky |= digit != 0;
            exponent += 4;
        } else {
            bits = bits << 4 | u64::from(digit);
        }
        if index >= whole.len() {
            exponent -= 4;
        }
    }
    if !any {
        return None;
    }
    if bits == 0 {
        return Some(0.0);
    }
    let shift = bits.leading_zeros();
    bits <<= shift;
    exponent += 63 - i64::from(shift);
    // Now the value is bits / 2^63 * 2^exponent, with the top bit set.
    if exponent < -1075 {
        return Some(0.0);
    }
    // Bits that do not fit the mantissa of 53, or fewer for subnormals.
    let drop = 11 + (-1022 - exponent).max(0);
    if drop > 64 {
        return Some(0.0);
    }
    let wide = u128::from(bits) << 64 | u128::from(sticky);
    let drop = drop as u32 + 64;
    let half = 1u128 << (drop - 1);
    let rest = wide & ((1u128 << drop) - 1);
    let mut kept = (wide >> drop) as u64;
    if rest > half || rest == half && kept & 1 == 1 {
        kept += 1;
    }
    let biased = (exponent + 1023).max(0);
    // For normal numbers the hidden bit of `kept` adds one to the exponent.
    let encoded = match exponent < -1022 {
        true => kept,
        false => ((biased as u64 - 1) << 52) + kept,
    };
    let value = f64::from_bits(encoded);
    (exponent < 1024 && value.is_finite()).then_some(value)
}

/// Whether every underscore stands between digits, or behind a base prefix.
fn underscores_separate(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text).as_bytes();
    let (mut digit_before, start, hexadecimal) = match text {
        [b'0', b'x' | b'X', ..] => (true, 2, true),
        [b'0', b'b' | b'B' | b'o' | b'O', ..] => (true, 2, false),
        _ => (false, 0, false),
    };
    let mut underscore_before = false;
    for byte in &text[start..] {
        let digit = byte.is_ascii_digit() || hexadecimal && byte.is_ascii_hexdigit();
        if *byte == b'_' {
            if !digit_before {
                return false;
            }
        } else if !digit && underscore_before {
            return false;
        }
        underscore_before = *byte == b'_';
        digit_before = digit;
    }
    !underscore_before
}

/// Go's `strconv.Unquote` of a string or raw string token.
pub(super) fn unquote(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    let quote = *text.first()?;
    if text.len() < 2 || text.last() != Some(&quote) {
        return None;
    }
    let mut rest = &text[1..text.len() - 1];
    if quote == b'`' {
        return Some(match memchr::memchr(b'\r', rest) {
            None => Cow::Borrowed(rest),
            Some(_) => rest.iter().copied().filter(|byte| *byte != b'\r').collect(),
        });
    }
    if memchr::memchr(b'\\', rest).is_none() && std::str::from_utf8(rest).is_ok() {
        return Some(Cow::Borrowed(rest));
    }
    let mut out = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let (code, character, tail) = unquote_char(rest, quote)?;
        if character {
            let c = char::from_u32(code)?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            out.push(code as u8);
        }
        rest = tail;
    }
    Some(Cow::Owned(out))
}

/// As [`unquote`], with U+FFFD for what is not UTF-8: names of templates are text.
pub(super) fn unquote_name(text: &[u8]) -> Option<Cow<'_, str>> {
    Some(match unquote(text)? {
        Cow::Borrowed(name) => String::from_utf8_lossy(name),
        Cow::Owned(name) => String::from_utf8_lossy(&name).into_owned().into(),
    })
}

/// The first character or byte of a literal, whether it is a character, and
/// what follows it.
fn unquote_char(text: &[u8], quote: u8) -> Option<(u32, bool, &[u8])> {
    let first = *text.first()?;
    if first == quote || first == b'\n' {
        return None;
    }
    if !first.is_ascii() {
        let (c, size) = decode(text);
        return Some((c.into(), true, &text[size..]));
    }
    if first != b'\\' {
        return Some((first.into(), false, &text[1..]));
    }
    let letter = *text.get(1)?;
    let rest = &text[2..];
    let simple = match letter {
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'n' => 10,
        b'r' => 13,
        b't' => 9,
        b'v' => 11,
        b'\\' => b'\\',
        b'\'' | b'"' if letter == quote => letter,
        b'x' | b'u' | b'U' => {
            let length = match letter {
                b'x' => 2,
                b'u' => 4,
                _ => 8,
            };
            let code = rest.get(..length)?.iter().try_fold(0u32, |code, byte| {
                Some(code.wrapping_shl(4) | char::from(*byte).to_digit(16)?)
            })?;
            if letter != b'x' {
                char::from_u32(code)?;
            }
            return Some((code, letter != b'x', &rest[length..]));
        }
        b'0'..=b'7' => {
            let code = text.get(1..4)?.iter().try_fold(0, |code, byte| {
                Some(code << 3 | char::from(*byte).to_digit(8)?)
            })?;
            return (code <= 255).then_some((code, false, &text[4..]));
        }
        _ => return None,
    };
    Some((simple.into(), false, rest))
}
