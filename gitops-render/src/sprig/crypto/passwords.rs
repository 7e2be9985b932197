//! `bcrypt` and the passwords of the Master Password algorithm, version 3.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::gotmpl::{Draw, Str};

/// The cost that Go's library takes by default.
const COST: u32 = 10;

/// Blowfish reads no more of a key.
const LONGEST: usize = 72;

const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::BCRYPT, NO_PAD);

/// The hash, or why there is none: sprig returns either as text.
pub(super) fn bcrypt(password: &Str, draw: &Draw<'_>) -> String {
    let password = password.as_bytes();
    if password.len() > LONGEST {
        return format!(
            "failed to encrypt string with bcrypt: bcrypt: password length exceeds {LONGEST} bytes"
        );
    }
    let mut salt = [0; 16];
    draw.random(&mut salt);
    let mut key = password.to_vec();
    key.push(0);
    key.truncate(LONGEST);
    let hash = bcrypt::bcrypt(COST, salt, &key);
    // The format has room for 23 of the 24 bytes.
    format!(
        "$2a${COST}${}{}",
        BASE64.encode(salt),
        BASE64.encode(&hash[..23])
    )
}

/// A site's password, or `None` if no such kind of password is known.
pub(super) fn derive(
    counter: u32,
    kind: &str,
    password: &[u8],
    user: &[u8],
    site: &[u8],
) -> Option<String> {
    let patterns = patterns(kind)?;
    let cost = scrypt::Params::new(15, 8, 2).expect("the algorithm's own parameters are valid");
    let mut key = [0; 64];
    scrypt::scrypt(password, &scoped(user), &cost, &mut key).expect("64 bytes are not too many");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key may be of any length");
    mac.update(&scoped(site));
    mac.update(&counter.to_be_bytes());
    let seed = mac.finalize().into_bytes();
    let pattern = patterns[usize::from(seed[0]) % patterns.len()];
    let letters = pattern.bytes().zip(&seed[1..]).map(|(class, byte)| {
        let letters = letters(class).as_bytes();
        char::from(letters[usize::from(*byte) % letters.len()])
    });
    Some(letters.collect())
}

/// A name within the algorithm's scope, behind its length.
fn scoped(name: &[u8]) -> Vec<u8> {
    let mut bytes = b"com.lyndir.masterpassword".to_vec();
    // Go takes the length modulo 2^32, too.
    bytes.extend_from_slice(&(name.len() as u32).to_be_bytes());
    bytes.extend_from_slice(name);
    bytes
}

/// The shapes of a kind of password; each letter stands for a class.
fn patterns(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "maximum" => &["anoxxxxxxxxxxxxxxxxx", "axxxxxxxxxxxxxxxxxno"],
        "long" => &[
            "CvcvnoCvcvCvcv",
            "CvcvCvcvnoCvcv",
            "CvcvCvcvCvcvno",
            "CvccnoCvcvCvcv",
            "CvccCvcvnoCvcv",
            "CvccCvcvCvcvno",
            "CvcvnoCvccCvcv",
            "CvcvCvccnoCvcv",
            "CvcvCvccCvcvno",
            "CvcvnoCvcvCvcc",
            "CvcvCvcvnoCvcc",
            "CvcvCvcvCvccno",
            "CvccnoCvccCvcv",
            "CvccCvccnoCvcv",
            "CvccCvccCvcvno",
            "CvcvnoCvccCvcc",
            "CvcvCvccnoCvcc",
            "CvcvCvccCvccno",
            "CvccnoCvcvCvcc",
            "CvccCvcvnoCvcc",
            "CvccCvcvCvccno",
        ],
        "medium" => &["CvcnoCvc", "CvcCvcno"],
        "short" => &["Cvcn"],
        "basic" => &["aaanaaan", "aannaaan", "aaannaaa"],
        "pin" => &["nnnn"],
        _ => return None,
    })
}

fn letters(class: u8) -> &'static str {
    match class {
        b'V' => "AEIOU",
        b'C' => "BCDFGHJKLMNPQRSTVWXYZ",
        b'v' => "aeiou",
        b'c' => "bcdfghjklmnpqrstvwxyz",
        b'a' => "AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz",
        b'n' => "0123456789",
        b'o' => "@&%?,=[]_:-+*$#!'^~;()/.",
        // Only `x` is left in the patterns.
        _ => "AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz0123456789!@#$%^&*()",
    }
}
