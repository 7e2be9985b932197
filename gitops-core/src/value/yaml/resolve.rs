//! What an unquoted scalar means: a port of go-yaml v2.4 `resolve.go`, with
//! the differences of v3 where the writer needs them.
//!
//! | written                          | means                              |
//! |----------------------------------|------------------------------------|
//! | `y` `Yes` `on` `TRUE` …          | true (v3: text, except `true` …)   |
//! | ``, `~` `null` `Null` `NULL`     | null                               |
//! | `0x1F` `0o17` `017` `0b1` `1_0`  | integers                           |
//! | `.5` `1.` `08` `1e3` `.inf`      | floats                             |
//! | `2001-12-14`, `1:30`, `=`, `<<`  | text                               |

use super::Dialect;

/// The prefix that `!!` stands for.
pub(super) const TAG_PREFIX: &str = "tag:yaml.org,2002:";

/// The meaning of a plain scalar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    /// Above `i64::MAX`.
    UInt(u64),
    Float(f64),
    Text,
    /// Text that is a date: read as text, but not written unquoted.
    Timestamp,
}

/// The meaning of `text` without a tag.
#[inline]
pub(super) fn plain(text: &str, dialect: Dialect) -> Scalar {
    let Some(&first) = text.as_bytes().first() else {
        return Scalar::Null;
    };
    match first {
        b'0'..=b'9' | b'+' | b'-' | b'.' => number(text, true),
        b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~' => {
            word(text, dialect)
        }
        _ => Scalar::Text,
    }
}

/// The meaning of `text` under one of the tags that ask for a type, without
/// the prefix: `int`, `float`, `bool`, `null`, `timestamp`.
///
/// # Errors
///
/// go-yaml's text if it means something else.
pub(super) fn tagged(text: &str, tag: &str) -> Result<Scalar, String> {
    let found = match text.as_bytes().first() {
        Some(b'0'..=b'9' | b'+' | b'-' | b'.') => number(text, tag == "timestamp"),
        _ => plain(text, Dialect::GoYaml2),
    };
    let name = match found {
        Scalar::Null => "null",
        Scalar::Bool(_) => "bool",
        Scalar::Int(number) if tag == "float" => return Ok(Scalar::Float(number as f64)),
        Scalar::Int(_) | Scalar::UInt(_) => "int",
        Scalar::Float(_) => "float",
        Scalar::Text => "str",
        Scalar::Timestamp => "timestamp",
    };
    if name == tag {
        Ok(found)
    } else {
        Err(format!("cannot decode !!{name} `{text}` as a !!{tag}"))
    }
}

fn word(text: &str, dialect: Dialect) -> Scalar {
    match text {
        "true" | "True" | "TRUE" => Scalar::Bool(true),
        "false" | "False" | "FALSE" => Scalar::Bool(false),
        "~" | "null" | "Null" | "NULL" => Scalar::Null,
        _ if dialect == Dialect::GoYaml2 => old_bool(text).map_or(Scalar::Text, Scalar::Bool),
        _ => Scalar::Text,
    }
}

/// The booleans of YAML 1.1 that are text in 1.2.
pub(super) fn old_bool(text: &str) -> Option<bool> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

fn number(text: &str, timestamps: bool) -> Scalar {
    let bytes = text.as_bytes();
    match text {
        _ if bytes[0].is_ascii_digit() => {}
        ".nan" | ".NaN" | ".NAN" => return Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Scalar::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Scalar::Float(f64::NEG_INFINITY),
        _ => {}
    }
    if bytes[0] == b'.' {
        return point_first(text).map_or(Scalar::Text, Scalar::Float);
    }
    if bytes.iter().all(u8::is_ascii_digit)
        && (bytes[0] != b'0' || bytes.len() == 1)
        && let Ok(number) = text.parse()
    {
        return Scalar::Int(number);
    }
    if timestamps && is_timestamp(text) {
        return Scalar::Timestamp;
    }
    // What no number of any notation contains; addresses, versions and image
    // tags end here.
    if !bytes
        .iter()
        .all(|byte| matches!(byte, b'_' | b'+' | b'-' | b'.') || byte.is_ascii_alphanumeric())
    {
        return Scalar::Text;
    }
    let without;
    let digits = if bytes.contains(&b'_') {
        without = text.replace('_', "");
        without.as_str()
    } else {
        text
    };
    if let Some(number) = integer(digits) {
        return number;
    }
    if is_float(digits)
        && let Ok(number) = digits.parse::<f64>()
        && number.is_finite()
    {
        return Scalar::Float(number);
    }
    // A sign after the prefix is what base detection does not accept and
    // go-yaml's own handling of binary numbers does.
    if let Some(rest) = digits.strip_prefix("0b")
        && rest.starts_with(['+', '-'])
        && let Some(number) = signed(rest, 2)
    {
        return Scalar::Int(number);
    }
    Scalar::Text
}

/// An integer as Go's `ParseInt` and `ParseUint` read it in base 0.
fn integer(text: &str) -> Option<Scalar> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (base, digits) = match unsigned.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &unsigned[2..]),
        [b'0', b'o' | b'O', ..] => (8, &unsigned[2..]),
        [b'0', b'b' | b'B', ..] => (2, &unsigned[2..]),
        [b'0', _, ..] => (8, &unsigned[1..]),
        _ => (10, unsigned),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, base).ok()?;
    if negative {
        // The most negative integer has no positive counterpart.
        0i64.checked_sub_unsigned(magnitude).map(Scalar::Int)
    } else if let Ok(number) = i64::try_from(magnitude) {
        Some(Scalar::Int(number))
    } else if text.starts_with('+') {
        None
    } else {
        Some(Scalar::UInt(magnitude))
    }
}

fn signed(text: &str, base: u32) -> Option<i64> {
    i64::from_str_radix(text, base).ok()
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let whole = count_digits(rest);
    let mut rest = &rest[whole..];
    if let Some(after) = rest.strip_prefix('.') {
        let fraction = count_digits(after);
        if whole == 0 && fraction == 0 {
            return false;
        }
        rest = &after[fraction..];
    } else if whole == 0 {
        return false;
    }
    match rest.strip_prefix(['e', 'E']) {
        None => rest.is_empty(),
        Some(exponent) => {
            let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
            !digits.is_empty() && count_digits(digits) == digits.len()
        }
    }
}

/// A number that starts with its point, as Go's `ParseFloat` reads it: single
/// underscores may stand between digits.
fn point_first(text: &str) -> Option<f64> {
    let mut previous = 0;
    for &byte in text.as_bytes() {
        if byte == b'_' && !u8::is_ascii_digit(&previous)
            || previous == b'_' && !byte.is_ascii_digit()
        {
            return None;
        }
        previous = byte;
    }
    if previous == b'_' {
        return None;
    }
    let text = text.replace('_', "");
    if !is_float(&text) {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn count_digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// Whether go-yaml reads a date, perhaps with a time, in `text`:
/// `2001-12-14`, `2001-12-14T21:59:43.10-05:00`, `2001-12-14 21:59:43.10`.
fn is_timestamp(text: &str) -> bool {
    if count_digits(text) != 4 || text.as_bytes().get(4) != Some(&b'-') {
        return false;
    }
    timestamp(text).is_some()
}

fn timestamp(text: &str) -> Option<()> {
    let year: u32 = text[..4].parse().ok()?;
    let (month, rest) = one_or_two(&text[5..])?;
    let (day, rest) = one_or_two(rest.strip_prefix('-')?)?;
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days).contains(&day) {
        return None;
    }
    if rest.is_empty() {
        return Some(());
    }
    let (zoned, rest) = match rest.strip_prefix(['T', 't']) {
        Some(rest) => (true, rest),
        None => {
            let trimmed = rest.trim_start_matches(' ');
            (false, (trimmed.len() < rest.len()).then_some(trimmed)?)
        }
    };
    let (hour, rest) = one_or_two(rest)?;
    let (minute, rest) = one_or_two(rest.strip_prefix(':')?)?;
    let (second, mut rest) = one_or_two(rest.strip_prefix(':')?)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    if let Some(fraction) = rest.strip_prefix(['.', ','])
        && count_digits(fraction) > 0
    {
        rest = &fraction[count_digits(fraction)..];
    }
    if !zoned {
        return rest.is_empty().then_some(());
    }
    if rest == "Z" {
        return Some(());
    }
    match rest.as_bytes() {
        [b'+' | b'-', h1, h2, b':', m1, m2]
            if [h1, h2, m1, m2].iter().all(|digit| digit.is_ascii_digit()) =>
        {
            let hours = (h1 - b'0') * 10 + (h2 - b'0');
            let minutes = (m1 - b'0') * 10 + (m2 - b'0');
            // Go accepts the limits themselves.
            (hours <= 24 && minutes <= 60).then_some(())
        }
        _ => None,
    }
}

/// A date, perhaps with a time, as Go's JSON shows the moment it means:
/// `2001-12-14T21:59:43.1-05:00`. The text must be one.
pub(super) fn timestamp_in_json(text: &str) -> String {
    let digits = |text: &str| -> (String, usize) {
        let width = count_digits(text).min(2);
        (format!("{:0>2}", &text[..width]), width)
    };
    let mut out = text[..5].to_owned();
    let mut rest = &text[5..];
    let part = |out: &mut String, rest: &mut &str, skip: usize| {
        *rest = &rest[skip..];
        let (digits, width) = digits(rest);
        out.push_str(&digits);
        *rest = &rest[width..];
    };
    part(&mut out, &mut rest, 0);
    out.push('-');
    part(&mut out, &mut rest, 1);
    if rest.is_empty() {
        out.push_str("T00:00:00Z");
        return out;
    }
    rest = rest.trim_start_matches(['T', 't', ' ']);
    out.push('T');
    part(&mut out, &mut rest, 0);
    out.push(':');
    part(&mut out, &mut rest, 1);
    out.push(':');
    part(&mut out, &mut rest, 1);
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        let width = count_digits(fraction);
        // Nanoseconds are the finest that Go keeps.
        let kept = fraction[..width.min(9)].trim_end_matches('0');
        if !kept.is_empty() {
            out.push('.');
            out.push_str(kept);
        }
        rest = &fraction[width..];
    }
    match rest {
        "" | "Z" | "+00:00" | "-00:00" => out.push('Z'),
        zone => out.push_str(zone),
    }
    out
}

fn one_or_two(text: &str) -> Option<(u32, &str)> {
    let width = match count_digits(text) {
        0 => return None,
        1 => 1,
        _ => 2,
    };
    Some((text[..width].parse().ok()?, &text[width..]))
}

/// The sexagesimal floats of YAML 1.1: read as text here, as times elsewhere,
/// so the writer quotes them.
pub(super) fn is_base_60(text: &str) -> bool {
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !rest.as_bytes().first().is_some_and(u8::is_ascii_digit) {
        return false;
    }
    let mut parts = rest.split(':');
    let Some(first) = parts.next() else {
        return false;
    };
    if !first
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'_')
    {
        return false;
    }
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return false;
    }
    while let Some(part) = parts.next() {
        let part = match part.split_once('.') {
            Some((part, fraction)) if parts.peek().is_none() => {
                if !fraction
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || byte == b'_')
                {
                    return false;
                }
                part
            }
            _ => part,
        };
        let valid = match part.as_bytes() {
            [digit] => digit.is_ascii_digit(),
            [b'0'..=b'5', digit] => digit.is_ascii_digit(),
            _ => false,
        };
        if !valid {
            return false;
        }
    }
    true
}
