//! Keys, certificates and passwords: sprig's `crypto.go`.
//!
//! Every key, salt and serial number is drawn from the render's draw, and every
//! certificate begins at the host's `now`, so a seeded render repeats itself.
//! The bytes are those that Go's `crypto/x509` and `encoding/pem` would write
//! for the same keys.

use std::convert::Infallible;
use std::sync::Arc;

use aes::Aes256;
use aes::cipher::block_padding::{NoPadding, Pkcs7};
use aes::cipher::{BlockModeDecrypt as _, BlockModeEncrypt as _, KeyIvInit as _};
use base64::Engine as _;
use rand_core::{TryCryptoRng, TryRng};

use self::certificates::{CERTIFICATE, Certificate, Subject};
use self::keys::PrivateKey;
use super::encoding::{BASE64, base64_decode};
use crate::gotmpl::{Args, Context, Draw, Failure, Function, Str, Stream, Type, Value};

mod certificates;
mod keys;
mod passwords;
mod pem;
mod primes;

const S: Type = Type::Str;
const I: Type = Type::Int;
const L: Type = Type::List;
const C: Type = Type::Object(CERTIFICATE);

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("genPrivateKey", &[S], S, |context, args| {
        let kind = args.str(0);
        context.on_time()?;
        let key = context.drawn("genPrivateKey", kind.as_bytes(), |draw| {
            let random = &mut Random::Host(draw);
            PrivateKey::generate(&kind.to_text(), random).transpose()
        })?;
        Ok(match &*key {
            Some(key) => key.to_pem()?.into(),
            None => format!("Unknown type {kind}").into(),
        })
    }),
    Function::new("genCA", &[S, I], C, |context, args| {
        let key = new_key(context)?;
        authority(context, args, &key)
    }),
    Function::new("genCAWithKey", &[S, I, S], C, |context, args| {
        let key = given_key(args.str(2))?;
        authority(context, args, &key)
    }),
    Function::new("genSelfSignedCert", &[S, L, L, I], C, |context, args| {
        let key = new_key(context)?;
        self_signed(context, args, &key)
    }),
    Function::new(
        "genSelfSignedCertWithKey",
        &[S, L, L, I, S],
        C,
        |context, args| {
            let key = given_key(args.str(4))?;
            self_signed(context, args, &key)
        },
    ),
    Function::new("genSignedCert", &[S, L, L, I, C], C, |context, args| {
        let key = new_key(context)?;
        signed(context, args, &key)
    }),
    Function::new(
        "genSignedCertWithKey",
        &[S, L, L, I, C, S],
        C,
        |context, args| {
            let key = given_key(args.str(5))?;
            signed(context, args, &key)
        },
    ),
    Function::new("buildCustomCert", &[S, S], C, |_, args| {
        Certificate::from_base64(args.str(0), args.str(1)).map(Value::object)
    }),
    Function::new("bcrypt", &[S], S, |context, args| {
        let hash = bcrypt(context, args.str(0))?;
        Ok(hash.to_string().into())
    }),
    Function::new("htpasswd", &[S, S], S, |context, args| {
        let (name, password) = (args.str(0), args.str(1));
        Ok(if name.as_bytes().contains(&b':') {
            format!("invalid username: {name}").into()
        } else {
            let hash = bcrypt(context, password)?;
            let mut line = name.as_bytes().to_vec();
            line.push(b':');
            line.extend_from_slice(hash.as_bytes());
            Value::Str(Str::from_bytes(&line))
        })
    }),
    Function::new(
        "derivePassword",
        &[Type::Uint32, S, S, S, S],
        S,
        |context, args| {
            context.on_time()?;
            let text = |index: usize| args.str(index).as_bytes();
            // A `uint32`, by the signature.
            let counter = args.int(0) as u32;
            let kind = args.str(1);
            Ok(
                match passwords::derive(counter, &kind.to_text(), text(2), text(3), text(4)) {
                    Some(password) => password.into(),
                    None => format!("cannot find password template {kind}").into(),
                },
            )
        },
    ),
    Function::new("encryptAES", &[S, S], S, |context, args| {
        Ok(encrypt_aes(&context.draw(), args.str(0), args.str(1)).into())
    }),
    Function::new("decryptAES", &[S, S], S, |_, args| {
        decrypt_aes(args.str(0), args.str(1)).map(|text| Value::Str(Str::from_bytes(&text)))
    }),
];

/// Random numbers as keys are drawn from them.
enum Random<'h> {
    Host(&'h Draw<'h>),
    /// Numbers for a thread of its own.
    Stream(Stream),
}

impl Random<'_> {
    fn fill(&mut self, buffer: &mut [u8]) {
        match self {
            Random::Host(draw) => draw.random(buffer),
            Random::Stream(stream) => stream.fill(buffer),
        }
    }
}

impl TryRng for Random<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), Infallible> {
        self.fill(buffer);
        Ok(())
    }
}

/// The system's numbers are fit for keys. A seeded host's are not secret, which
/// is what whoever seeds it asks for.
impl TryCryptoRng for Random<'_> {}

/// The key of a certificate that was given none.
fn new_key(context: &Context<'_>) -> Result<Arc<PrivateKey>, Failure> {
    context.on_time()?;
    context.drawn("rsa", &[], |draw| PrivateKey::rsa(&mut Random::Host(draw)))
}

fn bcrypt(context: &Context<'_>, password: &Str) -> Result<Arc<String>, Failure> {
    context.on_time()?;
    let Ok(hash) = context.drawn("bcrypt", password.as_bytes(), |draw| {
        Ok::<_, Infallible>(passwords::bcrypt(password, draw))
    });
    Ok(hash)
}

fn given_key(text: &Str) -> Result<PrivateKey, Failure> {
    PrivateKey::from_pem(text.as_bytes())
        .map_err(|error| Failure::new(format!("parsing private key: {error}")))
}

fn authority(context: &Context<'_>, args: &Args<'_>, key: &PrivateKey) -> Result<Value, Failure> {
    let mut subject = Subject::new(args.str(0), &[], &[], args.int(1))?;
    subject.is_authority = true;
    Certificate::self_signed(&subject, key, &context.draw()).map(Value::object)
}

fn self_signed(context: &Context<'_>, args: &Args<'_>, key: &PrivateKey) -> Result<Value, Failure> {
    let subject = Subject::new(args.str(0), args.list(1), args.list(2), args.int(3))?;
    Certificate::self_signed(&subject, key, &context.draw()).map(Value::object)
}

fn signed(context: &Context<'_>, args: &Args<'_>, key: &PrivateKey) -> Result<Value, Failure> {
    let authority = args.object::<Certificate>(4).signer()?;
    let subject = Subject::new(args.str(0), args.list(1), args.list(2), args.int(3))?;
    Certificate::signed(&subject, key, &authority, &context.draw()).map(Value::object)
}

/// The password's first 32 bytes, or fewer and zeros.
fn aes_key(password: &Str) -> [u8; 32] {
    let mut key = [0; 32];
    let bytes = password.as_bytes();
    let length = bytes.len().min(key.len());
    key[..length].copy_from_slice(&bytes[..length]);
    key
}

/// AES-256-CBC behind its random first block, in base64.
fn encrypt_aes(draw: &Draw<'_>, password: &Str, text: &Str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let mut sealed = vec![0; 16];
    draw.random(&mut sealed);
    let mut first = [0; 16];
    first.copy_from_slice(&sealed);
    let cipher = cbc::Encryptor::<Aes256>::new(&aes_key(password).into(), &first.into());
    sealed.extend(cipher.encrypt_padded_vec::<Pkcs7>(text.as_bytes()));
    BASE64.encode(sealed)
}

/// Sprig checks nothing, so Go panics where the text is not what
/// [`encrypt_aes`] writes; a wrong password shows only by chance.
fn decrypt_aes(password: &Str, text: &Str) -> Result<Vec<u8>, Failure> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let sealed = base64_decode(text.as_bytes())
        .map_err(|at| Failure::new(format!("illegal base64 data at input byte {at}")))?;
    let Some((first, sealed)) = sealed.split_first_chunk::<16>() else {
        let capacity = text.len() / 4 * 3;
        return Err(super::out_of_range(match capacity {
            0..16 => format!("[:16] with capacity {capacity}"),
            _ => format!("[16:{}]", sealed.len()),
        }));
    };
    if sealed.len() % 16 != 0 {
        return Err(Failure::new("crypto/cipher: input not full blocks"));
    }
    let cipher = cbc::Decryptor::<Aes256>::new(&aes_key(password).into(), &(*first).into());
    let mut plain = cipher
        .decrypt_padded_vec::<NoPadding>(sealed)
        .map_err(|_| Failure::new("crypto/cipher: input not full blocks"))?;
    let Some(padding) = plain.last().copied().map(usize::from) else {
        return Err(Failure::new("runtime error: index out of range [-1]"));
    };
    let Some(length) = plain.len().checked_sub(padding) else {
        return Err(super::out_of_range(format!(
            "[:-{}]",
            padding - plain.len()
        )));
    };
    plain.truncate(length);
    Ok(plain)
}
