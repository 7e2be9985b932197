//! Base64, base32 and check sums.

use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};
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

/// Like Go's, it does not mind bits that are left over.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}

/// Go's decoder skips line breaks, and counts errors in the text with them.
pub(super) fn base64_decode(text: &[u8]) -> Result<Vec<u8>, usize> {
    let breaks = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let plain: Vec<u8> = text.iter().copied().filter(|byte| !breaks(byte)).collect();
    BASE64.decode(&plain).map_err(|_| {
        // Where Go finds the fault: the first byte that cannot be there, or
        // the start of the last, incomplete group.
        let original = |index: usize| {
            text.iter()
                .enumerate()
                .filter(|(_, byte)| !breaks(byte))
                .nth(index)
                .map_or(text.len(), |(at, _)| at)
        };
        let symbol = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
        match plain.iter().position(|byte| !symbol(*byte)) {
            None => original(plain.len() - plain.len() % 4),
            Some(at) if plain[at] != b'=' || at % 4 < 2 => original(at),
            Some(at) => {
                let padding = 4 - at % 4;
                let missing = (at..at + padding).find(|at| plain.get(*at) != Some(&b'='));
                match missing {
                    Some(at) if at >= plain.len() => text.len(),
                    Some(at) => original(at),
                    None => original(at + padding),
                }
            }
        }
    })
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

fn base32_decode(text: &[u8]) -> Result<Vec<u8>, usize> {
    let symbols: Vec<u8> = text
        .iter()
        .copied()
        .filter(|byte| !matches!(byte, b'\r' | b'\n'))
        .collect();
    let mut out = Vec::with_capacity(symbols.len() / 8 * 5);
    for (group, start) in symbols.chunks(8).zip((0..).step_by(8)) {
        let mut bits = 0u64;
        let mut used = 0;
        for (index, byte) in group.iter().enumerate() {
            if *byte == b'=' {
                break;
            }
            let value = BASE32
                .iter()
                .position(|symbol| symbol == byte)
                .ok_or(start + index)?;
            bits |= (value as u64) << (35 - 5 * index);
            used += 1;
        }
        let padding_ok = group[used..].iter().all(|byte| *byte == b'=');
        if group.len() < 8 || !padding_ok || !matches!(used, 2 | 4 | 5 | 7 | 8) {
            return Err(start + used.min(group.len()));
        }
        let bytes = bits.to_be_bytes();
        out.extend_from_slice(&bytes[3..3 + used * 5 / 8]);
        if used < 8 && start + 8 < symbols.len() {
            return Err(start + 8);
        }
    }
    Ok(out)
}
