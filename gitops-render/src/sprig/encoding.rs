//! Base64, base32 and check sums.

use base64::Engine as _;
use sha1::{Digest as _, Sha1};
use sha2::{Sha256, Sha512};

use crate::gotmpl::{Function, Str, Type, Value};

const S: Type = Type::Str;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("b64enc", &[S], S, |_, args| {
        Ok(BASE64.encode(args.str(0).as_bytes()).into())
    }),
    Function::new("b64dec", &[S], S, |_, args| {
        Ok(match base64_decode(args.str(0).as_bytes()) {
            Ok(bytes) => Value::Str(Str::from_bytes(&bytes)),
            Err(at) => format!("illegal base64 data at input byte {at}").into(),
        })
    }),
    Function::new("b32enc", &[S], S, |_, args| {
        Ok(base32_encode(args.str(0).as_bytes()).into())
    }),
    Function::new("b32dec", &[S], S, |_, args| {
        Ok(match base32_decode(args.str(0).as_bytes()) {
            Ok(bytes) => Value::Str(Str::from_bytes(&bytes)),
            Err(at) => format!("illegal base32 data at input byte {at}").into(),
        })
    }),
    Function::new("sha1sum", &[S], S, |_, args| {
        Ok(hex(&Sha1::digest(args.str(0).as_bytes())).into())
    }),
    Function::new("sha256sum", &[S], S, |_, args| {
        Ok(hex(&Sha256::digest(args.str(0).as_bytes())).into())
    }),
    Function::new("sha512sum", &[S], S, |_, args| {
        Ok(hex(&Sha512::digest(args.str(0).as_bytes())).into())
    }),
    Function::new("adler32sum", &[S], S, |_, args| {
        let (mut a, mut b) = (1u32, 0u32);
        for byte in args.str(0).as_bytes() {
            a = (a + u32::from(*byte)) % 65521;
            b = (b + a) % 65521;
        }
        Ok((b << 16 | a).to_string().into())
    }),
];

/// The standard alphabet, with padding.
pub(super) use base64::engine::general_purpose::STANDARD as BASE64;

pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}

/// Go's decoder: it skips line breaks and does not mind bits that are left
/// over. Fails with the byte that Go names.
pub(super) fn base64_decode(text: &[u8]) -> Result<Vec<u8>, usize> {
    let is_break = |at: usize| matches!(text.get(at), Some(b'\r' | b'\n'));
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let mut at = 0;
    loop {
        let mut bits = 0u32;
        let mut symbols = 0;
        while symbols < 4 {
            let Some(&byte) = text.get(at) else {
                return match symbols {
                    0 => Ok(out),
                    symbols => Err(at - symbols),
                };
            };
            at += 1;
            match base64_value(byte) {
                Some(value) => {
                    bits = bits << 6 | value;
                    symbols += 1;
                }
                None if matches!(byte, b'\r' | b'\n') => {}
                None if byte != b'=' || symbols < 2 => return Err(at - 1),
                None => break,
            }
        }
        if symbols < 4 {
            // The padding began; nothing but the rest of it may follow.
            if symbols == 2 {
                while is_break(at) {
                    at += 1;
                }
                match text.get(at) {
                    None => return Err(text.len()),
                    Some(b'=') => at += 1,
                    Some(_) => return Err(at - 1),
                }
            }
            while is_break(at) {
                at += 1;
            }
            if at < text.len() {
                return Err(at);
            }
        }
        bits <<= 6 * (4 - symbols);
        let bytes = bits.to_be_bytes();
        out.extend_from_slice(&bytes[1..symbols]);
        if symbols < 4 {
            return Ok(out);
        }
    }
}

fn base64_value(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(value.into())
}

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn base32_encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(5) * 8);
    for group in bytes.chunks(5) {
        let mut padded = [0; 8];
        padded[3..3 + group.len()].copy_from_slice(group);
        let bits = u64::from_be_bytes(padded);
        let symbols = (group.len() * 8).div_ceil(5);
        for index in 0..8 {
            out.push(if index < symbols {
                char::from(BASE32[(bits >> (35 - 5 * index) & 31) as usize])
            } else {
                '='
            });
        }
    }
    out
}

/// Go's decoder: it skips line breaks, counts errors in the text without them
/// and reads nothing behind the padding.
fn base32_decode(text: &[u8]) -> Result<Vec<u8>, usize> {
    let text: Vec<u8> = text
        .iter()
        .copied()
        .filter(|byte| !matches!(byte, b'\r' | b'\n'))
        .collect();
    let mut out = Vec::with_capacity(text.len() / 8 * 5);
    for start in (0..text.len()).step_by(8) {
        let mut bits = 0u64;
        let mut symbols = 0;
        let mut is_last = false;
        while symbols < 8 {
            let at = start + symbols;
            // Go names the start of a group that is not complete.
            let byte = *text.get(at).ok_or(start)?;
            let behind = &text[at + 1..];
            if byte == b'=' && symbols >= 2 && behind.len() < 8 {
                let missing = 7 - symbols;
                if behind.len() < missing {
                    return Err(text.len());
                }
                if let Some(wrong) = behind[..missing].iter().position(|byte| *byte != b'=') {
                    return Err(at + wrong);
                }
                if matches!(symbols, 3 | 6) {
                    return Err(at);
                }
                is_last = true;
                break;
            }
            let value = BASE32.iter().position(|symbol| *symbol == byte).ok_or(at)?;
            bits |= (value as u64) << (35 - 5 * symbols);
            symbols += 1;
        }
        let bytes = bits.to_be_bytes();
        out.extend_from_slice(&bytes[3..3 + symbols * 5 / 8]);
        if is_last {
            break;
        }
    }
    Ok(out)
}
