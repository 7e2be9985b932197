//! Private keys: drawn, read from PEM, written as PEM.

use der::asn1::{ObjectIdentifier, OctetStringRef, UintRef};
use der::{Decode as _, Encode as _, Sequence};
use p256::elliptic_curve::Generate as _;
use rsa::pkcs1::{DecodeRsaPrivateKey as _, EncodeRsaPrivateKey as _};
use rsa::pkcs8::{EncodePublicKey as _, PrivateKeyInfoRef};
use sec1::{EcParameters, EcPrivateKey, EncodeEcPrivateKey};
use x509_cert::SubjectPublicKeyInfo;

use super::{Random, pem, primes};
use crate::gotmpl::Failure;

/// The public exponent of RSA keys, Go's.
const EXPONENT: u64 = 65537;

/// A key of one of the algorithms that sprig knows.
pub(super) enum PrivateKey {
    Rsa(Box<rsa::PrivateKey>),
    P256(p256::SecretKey),
    P384(p384::SecretKey),
    P521(p521::SecretKey),
    Ed25519(ed25519_dalek::SigningKey),
    /// Its DER. Certificates cannot be made with DSA in Go, so nobody looks
    /// inside.
    Dsa(Vec<u8>),
}

/// How OpenSSL writes DSA keys.
#[derive(Sequence)]
struct Dsa<'a> {
    version: u8,
    p: UintRef<'a>,
    q: UintRef<'a>,
    g: UintRef<'a>,
    y: UintRef<'a>,
    x: UintRef<'a>,
}

/// A key with the name of its algorithm. Unlike `pkcs8`'s type it has no public
/// key, as Go writes none.
#[derive(Sequence)]
struct Pkcs8<'a> {
    version: u8,
    algorithm: Algorithm,
    key: &'a OctetStringRef,
}

#[derive(Sequence)]
struct Algorithm {
    oid: ObjectIdentifier,
}

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

impl PrivateKey {
    /// A new key of the kind that a template names; `None` if there is no such
    /// kind.
    pub(super) fn generate(
        kind: &str,
        random: &mut Random<'_>,
    ) -> Option<Result<PrivateKey, Failure>> {
        Some(match kind {
            "" | "rsa" => PrivateKey::rsa_of(random, 4096),
            "dsa" => PrivateKey::dsa(random),
            "ecdsa" => Ok(PrivateKey::P256(p256::SecretKey::generate_from_rng(random))),
            "ed25519" => {
                let mut seed = [0; 32];
                random.fill(&mut seed);
                Ok(PrivateKey::Ed25519(seed.into()))
            }
            _ => return None,
        })
    }

    /// The key of a certificate that was given none.
    pub(super) fn rsa(random: &mut Random<'_>) -> Result<PrivateKey, Failure> {
        PrivateKey::rsa_of(random, 2048)
    }

    fn rsa_of(random: &mut Random<'_>, bits: u32) -> Result<PrivateKey, Failure> {
        // About one pair in thirty thousand does not go with the exponent.
        for _ in 0..8 {
            let (p, q) = primes::pair(bits, random)?;
            if let Ok(key) = rsa::PrivateKey::from_p_q(p, q, EXPONENT.into()) {
                return Ok(PrivateKey::Rsa(Box::new(key)));
            }
        }
        Err(Failure::new("error generating rsa key"))
    }

    fn dsa(random: &mut Random<'_>) -> Result<PrivateKey, Failure> {
        let Ok(components) = dsa::Components::try_generate_from_rng_with_key_size(
            random,
            dsa::KeySize::DSA_2048_256,
        );
        let Ok(key) = dsa::SigningKey::try_generate_from_rng_with_components(random, components);
        let public = key.verifying_key();
        let components = public.components();
        let numbers = [
            components.p().as_ref(),
            components.q().as_ref(),
            components.g().as_ref(),
            public.y().as_ref(),
            key.x().as_ref(),
        ]
        .map(|number| number.to_be_bytes());
        let [p, q, g, y, x] = &numbers;
        let encode = || {
            Dsa {
                version: 0,
                p: UintRef::new(p)?,
                q: UintRef::new(q)?,
                g: UintRef::new(g)?,
                y: UintRef::new(y)?,
                x: UintRef::new(x)?,
            }
            .to_der()
        };
        encode().map(PrivateKey::Dsa).map_err(unencodable)
    }

    /// The first block of a text, in Go's words if it is no key.
    pub(super) fn from_pem(text: &[u8]) -> Result<PrivateKey, String> {
        let block = pem::decode(text).ok_or("no PEM data in input")?;
        let bytes = &block.bytes;
        if block.label == "PRIVATE KEY" {
            return from_pkcs8(bytes).map_err(|error| format!("decoding PEM as PKCS#8: {error}"));
        }
        let Some(kind) = block.label.strip_suffix(" PRIVATE KEY") else {
            return Err(format!(
                "no private key data in PEM block of type {}",
                block.label
            ));
        };
        let (name, result) = match kind {
            "RSA" => ("RSA", from_pkcs1(bytes)),
            "EC" => ("EC", from_sec1(bytes, None)),
            "DSA" => (
                "DSA",
                Dsa::from_der(bytes)
                    .map(|_| PrivateKey::Dsa(bytes.clone()))
                    .map_err(malformed),
            ),
            _ => return Err(format!("invalid private key type {}", block.label)),
        };
        result.map_err(|error| format!("parsing {name} private key from PEM: {error}"))
    }

    /// The key in the format that Go has for its algorithm.
    pub(super) fn to_pem(&self) -> Result<String, Failure> {
        let ec = "EC PRIVATE KEY";
        let (label, bytes) = match self {
            PrivateKey::Rsa(key) => (
                "RSA PRIVATE KEY",
                key.to_pkcs1_der().map_err(unencodable)?.as_bytes().to_vec(),
            ),
            PrivateKey::P256(key) => (ec, sec1(key)?),
            PrivateKey::P384(key) => (ec, sec1(key)?),
            PrivateKey::P521(key) => (ec, sec1(key)?),
            PrivateKey::Ed25519(key) => ("PRIVATE KEY", ed25519(key).map_err(unencodable)?),
            PrivateKey::Dsa(bytes) => ("DSA PRIVATE KEY", bytes.clone()),
        };
        Ok(pem::encode(label, &bytes))
    }

    /// The public half; `None` for DSA, which certificates do not know.
    pub(super) fn public(&self) -> Result<Option<SubjectPublicKeyInfo>, Failure> {
        let document = match self {
            PrivateKey::Rsa(key) => key.to_public_key().to_public_key_der(),
            PrivateKey::P256(key) => key.public_key().to_public_key_der(),
            PrivateKey::P384(key) => key.public_key().to_public_key_der(),
            PrivateKey::P521(key) => key.public_key().to_public_key_der(),
            PrivateKey::Ed25519(key) => key.verifying_key().to_public_key_der(),
            PrivateKey::Dsa(_) => return Ok(None),
        };
        let document = document.map_err(unencodable)?;
        SubjectPublicKeyInfo::from_der(document.as_bytes())
            .map(Some)
            .map_err(unencodable)
    }
}

fn from_pkcs8(bytes: &[u8]) -> Result<PrivateKey, String> {
    let info = match PrivateKeyInfoRef::from_der(bytes) {
        Ok(info) => info,
        Err(_) if EcPrivateKey::from_der(bytes).is_ok() => return Err(other("ParseECPrivateKey")),
        Err(_) if rsa::PrivateKey::from_pkcs1_der(bytes).is_ok() => {
            return Err(other("ParsePKCS1PrivateKey"));
        }
        Err(error) => return Err(malformed(error)),
    };
    let key = info.private_key.as_bytes();
    match info.algorithm.oid {
        RSA => from_pkcs1(key).map_err(|error| {
            format!("x509: failed to parse RSA private key embedded in PKCS#8: {error}")
        }),
        EC => {
            let curve = info
                .algorithm
                .parameters
                .and_then(|parameters| parameters.decode_as::<ObjectIdentifier>().ok());
            from_sec1(key, curve).map_err(|error| {
                format!("x509: failed to parse EC private key embedded in PKCS#8: {error}")
            })
        }
        ED25519 => {
            let seed = <&OctetStringRef>::from_der(key).map_err(|error| {
                format!("x509: invalid Ed25519 private key: {}", malformed(error))
            })?;
            let seed: [u8; 32] = seed.as_bytes().try_into().map_err(|_| {
                format!(
                    "x509: invalid Ed25519 private key length: {}",
                    seed.as_bytes().len()
                )
            })?;
            Ok(PrivateKey::Ed25519(seed.into()))
        }
        oid => Err(format!(
            "x509: PKCS#8 wrapping contained private key with unknown algorithm: {oid}"
        )),
    }
}

fn from_pkcs1(bytes: &[u8]) -> Result<PrivateKey, String> {
    match rsa::PrivateKey::from_pkcs1_der(bytes) {
        Ok(key) => Ok(PrivateKey::Rsa(Box::new(key))),
        Err(_) if EcPrivateKey::from_der(bytes).is_ok() => Err(other("ParseECPrivateKey")),
        Err(_) if PrivateKeyInfoRef::from_der(bytes).is_ok() => Err(other("ParsePKCS8PrivateKey")),
        Err(error) => Err(malformed(error)),
    }
}

/// A key of the curve that it names, unless whatever it is wrapped in names one.
fn from_sec1(bytes: &[u8], curve: Option<ObjectIdentifier>) -> Result<PrivateKey, String> {
    let key = match EcPrivateKey::from_der(bytes) {
        Ok(key) => key,
        Err(_) if PrivateKeyInfoRef::from_der(bytes).is_ok() => {
            return Err(other("ParsePKCS8PrivateKey"));
        }
        Err(_) if rsa::PrivateKey::from_pkcs1_der(bytes).is_ok() => {
            return Err(other("ParsePKCS1PrivateKey"));
        }
        Err(error) => {
            return Err(format!(
                "x509: failed to parse EC private key: {}",
                malformed(error)
            ));
        }
    };
    let curve = curve.or(match &key.parameters {
        Some(EcParameters::NamedCurve(curve)) => Some(*curve),
        _ => None,
    });
    let named = EcPrivateKey {
        parameters: curve.map(EcParameters::NamedCurve),
        ..key
    };
    let read = |error| format!("x509: invalid elliptic curve private key value: {error}");
    match curve {
        Some(P256) => named.try_into().map(PrivateKey::P256).map_err(read),
        Some(P384) => named.try_into().map(PrivateKey::P384).map_err(read),
        Some(P521) => named.try_into().map(PrivateKey::P521).map_err(read),
        _ => Err("x509: unknown elliptic curve".into()),
    }
}

fn sec1(key: &impl EncodeEcPrivateKey) -> Result<Vec<u8>, Failure> {
    let document = key.to_sec1_der().map_err(unencodable)?;
    Ok(document.as_bytes().to_vec())
}

fn ed25519(key: &ed25519_dalek::SigningKey) -> der::Result<Vec<u8>> {
    let seed = OctetStringRef::new(key.as_bytes())?.to_der()?;
    Pkcs8 {
        version: 0,
        algorithm: Algorithm { oid: ED25519 },
        key: OctetStringRef::new(&seed)?,
    }
    .to_der()
}

/// Go names the function of its library that would have understood.
fn other(function: &str) -> String {
    format!("x509: failed to parse private key (use {function} instead for this key format)")
}

fn malformed(error: impl std::fmt::Display) -> String {
    format!("asn1: structure error: {error}")
}

fn unencodable(error: impl std::fmt::Display) -> Failure {
    Failure::new(format!("asn1: structure error: {error}"))
}
