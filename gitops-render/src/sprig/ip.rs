//! Addresses as Go's `net/netip` reads them, with what it says of those that are
//! none.

use crate::gotmpl::printf::quote;

/// What is wrong with an address, and from where on.
struct Problem<'a> {
    what: &'static str,
    at: &'a [u8],
}

fn problem<'a, T>(what: &'static str, at: &'a [u8]) -> Result<T, Problem<'a>> {
    Err(Problem { what, at })
}

/// Whether an address is one of version 4 or 6.
///
/// # Errors
///
/// What `netip.ParseAddr` says.
pub(super) fn version(address: &[u8]) -> Result<u8, String> {
    let read = match address.iter().find(|byte| b".:%".contains(byte)) {
        Some(b'.') => four(address).map(|()| 4),
        Some(b':') => six(address).map(|()| 6),
        Some(_) => problem("missing IPv6 address", b""),
        None => problem("unable to parse IP", b""),
    };
    read.map_err(|Problem { what, at }| {
        let mut text = format!("ParseAddr({}): {what}", quote(address));
        if !at.is_empty() {
            text.push_str(&format!(" (at {})", quote(at)));
        }
        text
    })
}

fn four(text: &[u8]) -> Result<(), Problem<'_>> {
    let (mut value, mut digits, mut dots) = (0u32, 0, 0);
    for (index, byte) in text.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                if digits == 1 && value == 0 {
                    return problem("IPv4 field has octet with leading zero", b"");
                }
                value = value * 10 + u32::from(byte - b'0');
                digits += 1;
                if value > 255 {
                    return problem("IPv4 field has value >255", b"");
                }
            }
            b'.' => {
                if digits == 0 || index + 1 == text.len() {
                    return problem("IPv4 field must have at least one digit", &text[index..]);
                }
                if dots == 3 {
                    return problem("IPv4 address too long", b"");
                }
                (value, digits, dots) = (0, 0, dots + 1);
            }
            _ => return problem("unexpected character", &text[index..]),
        }
    }
    match dots {
        3 => Ok(()),
        _ => problem("IPv4 address too short", b""),
    }
}

fn six(text: &[u8]) -> Result<(), Problem<'_>> {
    /// An address has so many fields of 16 bits.
    const FIELDS: usize = 8;
    let mut rest = text;
    if let Some(percent) = memchr::memchr(b'%', text) {
        rest = &text[..percent];
        if percent + 1 == text.len() {
            return problem("zone must be a non-empty string", b"");
        }
    }
    let mut ellipsis = false;
    if let Some(after) = rest.strip_prefix(b"::") {
        ellipsis = true;
        rest = after;
        if rest.is_empty() {
            return Ok(());
        }
    }
    let mut fields = 0;
    while fields < FIELDS {
        let digits = rest
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
        match digits {
            0 => {
                let what = "each colon-separated field must have at least one digit";
                return problem(what, rest);
            }
            1..=4 => {}
            _ => return problem("each group must have 4 or less digits", rest),
        }
        if rest.get(digits) == Some(&b'.') {
            if !ellipsis && fields != FIELDS - 2 {
                let what = "embedded IPv4 address must replace the final 2 fields of the address";
                return problem(what, rest);
            }
            if fields > FIELDS - 2 {
                let what = "too many hex fields to fit an embedded IPv4 at the end of the address";
                return problem(what, rest);
            }
            four(rest)?;
            rest = b"";
            fields += 2;
            break;
        }
        fields += 1;
        rest = &rest[digits..];
        rest = match rest {
            [] => break,
            [b':'] => return problem("colon must be followed by more characters", rest),
            [b':', after @ ..] => after,
            _ => return problem("unexpected character, want colon", rest),
        };
        if let Some(after) = rest.strip_prefix(b":") {
            if ellipsis {
                return problem("multiple :: in address", rest);
            }
            ellipsis = true;
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
    }
    if !rest.is_empty() {
        return problem("trailing garbage after address", rest);
    }
    match (fields < FIELDS, ellipsis) {
        (true, false) => problem("address string too short", b""),
        (false, true) => problem("the :: must expand to at least one field of zeros", b""),
        _ => Ok(()),
    }
}
