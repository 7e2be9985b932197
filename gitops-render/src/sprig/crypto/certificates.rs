//! X.509 certificates, with the fields and extensions of sprig's, in the order
//! and encoding of Go's `crypto/x509`.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use der::asn1::{
    Any, GeneralizedTime, Ia5String, ObjectIdentifier, OctetString, PrintableStringRef, SetOfVec,
    UtcTime, Utf8StringRef,
};
use der::{Decode as _, Encode};
use gitops_core::Value as Core;
use rsa::pkcs1v15;
use sha2::{Digest as _, Sha256};
use x509_cert::SubjectPublicKeyInfo;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{self, Builder as _, CertificateBuilder};
use x509_cert::certificate::{CertificateInner, Raw, TbsCertificate};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages,
    SubjectKeyIdentifier,
};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::SubjectPublicKeyInfoRef;
use x509_cert::time::{Time, Validity};

use super::super::encoding::base64_decode;
use super::keys::PrivateKey;
use super::pem;
use crate::gotmpl::{Draw, Failure, Kind, Object, Str, Value, printf};

/// Go's name of [`Certificate`].
pub(super) const CERTIFICATE: &str = "sprig.certificate";

/// A certificate and its private key, both as PEM.
#[derive(PartialEq)]
pub(super) struct Certificate {
    cert: Str,
    key: Str,
}

/// Whom a certificate is for.
pub(super) struct Subject {
    name: Name,
    addresses: Vec<IpAddr>,
    names: Vec<Ia5String>,
    days: i64,
    /// Whether it may sign others.
    pub(super) is_authority: bool,
}

/// Who signs a certificate.
pub(super) struct Signer {
    key: PrivateKey,
    name: Name,
    public: SubjectPublicKeyInfo,
    /// The identifier of the key, which the certificates name.
    key_id: Option<OctetString>,
}

impl Subject {
    /// Checks what a template says.
    ///
    /// # Errors
    ///
    /// In sprig's words, if an address is none or a name is no text.
    pub(super) fn new(
        common_name: &Str,
        addresses: &[Value],
        names: &[Value],
        days: i64,
    ) -> Result<Subject, Failure> {
        let addresses = addresses.iter().map(address).collect::<Result<_, _>>()?;
        let names = names.iter().map(dns_name).collect::<Result<_, _>>()?;
        Ok(Subject {
            name: name(common_name)?,
            addresses,
            names,
            days,
            is_authority: false,
        })
    }
}

fn address(value: &Value) -> Result<IpAddr, Failure> {
    let Value::Str(text) = value else {
        return Err(Failure::new(format!(
            "error parsing ip: {} is not a string",
            printf::sprint(value)
        )));
    };
    text.to_text()
        .parse()
        .map_err(|_| Failure::new(format!("error parsing ip: {text}")))
}

fn dns_name(value: &Value) -> Result<Ia5String, Failure> {
    let Value::Str(text) = value else {
        return Err(Failure::new(format!(
            "error processing alternate dns name: {} is not a string",
            printf::sprint(value)
        )));
    };
    Ia5String::new(text.as_bytes()).map_err(|_| {
        creating(format!(
            "x509: {} cannot be encoded as an IA5String",
            printf::quote(text.as_bytes())
        ))
    })
}

/// A name of one attribute, or of none.
fn name(common_name: &Str) -> Result<Name, Failure> {
    const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
    if common_name.is_empty() {
        return Ok(Name::default());
    }
    let text = common_name
        .as_str()
        .ok_or_else(|| creating("asn1: string not valid UTF-8"))?;
    // `PrintableString`, without the asterisk and the ampersand that Go only
    // tolerates when it reads.
    let printable = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte));
    let encode = || {
        let value = match printable {
            true => Any::encode_from(&PrintableStringRef::new(text)?)?,
            false => Any::encode_from(&Utf8StringRef::new(text)?)?,
        };
        let attribute = AttributeTypeAndValue {
            oid: COMMON_NAME,
            value,
        };
        Name::from_der(&vec![SetOfVec::try_from(vec![attribute])?].to_der()?)
    };
    encode().map_err(creating)
}

impl Certificate {
    /// What `buildCustomCert` makes of two texts in base64.
    pub(super) fn from_base64(cert: &Str, key: &Str) -> Result<Certificate, Failure> {
        let cert = base64_decode(cert.as_bytes())
            .map_err(|_| Failure::new("unable to decode base64 certificate"))?;
        let key = base64_decode(key.as_bytes())
            .map_err(|_| Failure::new("unable to decode base64 private key"))?;
        parse(&cert, "decodedCert")?;
        PrivateKey::from_pem(&key)
            .map_err(|error| Failure::new(format!("error parsing private key: {error}")))?;
        Ok(Certificate {
            cert: Str::from_bytes(&cert),
            key: Str::from_bytes(&key),
        })
    }

    /// A certificate that its own key signs.
    pub(super) fn self_signed(
        subject: &Subject,
        key: &PrivateKey,
        draw: &Draw<'_>,
    ) -> Result<Certificate, Failure> {
        let public = public(key, true)?;
        issue(subject, key, &public, key, &subject.name, None, draw)
    }

    /// A certificate that an authority signs.
    pub(super) fn signed(
        subject: &Subject,
        key: &PrivateKey,
        signer: &Signer,
        draw: &Draw<'_>,
    ) -> Result<Certificate, Failure> {
        let signers_public = public(&signer.key, true)?;
        let public = public(key, false)?;
        if signers_public != signer.public {
            return Err(creating(
                "x509: provided PrivateKey doesn't match parent's PublicKey",
            ));
        }
        let key_id = signer
            .key_id
            .as_ref()
            .filter(|_| signer.name != subject.name);
        issue(
            subject,
            key,
            &public,
            &signer.key,
            &signer.name,
            key_id,
            draw,
        )
    }

    /// This certificate as the one that signs others.
    pub(super) fn signer(&self) -> Result<Signer, Failure> {
        let certificate = parse(self.cert.as_bytes(), "decodedSignerCert")?;
        let key = PrivateKey::from_pem(self.key.as_bytes())
            .map_err(|error| Failure::new(format!("error parsing private key: {error}")))?;
        let tbs = certificate.tbs_certificate();
        let key_id = tbs
            .get_extension::<SubjectKeyIdentifier>()
            .map_err(|error| malformed("decodedSignerCert", &error))?
            .map(|(_, id)| id.0)
            .filter(|id| !id.as_bytes().is_empty());
        Ok(Signer {
            key,
            name: tbs.subject().clone(),
            public: tbs.subject_public_key_info().clone(),
            key_id,
        })
    }
}

/// The first certificate of a text; `variable` is sprig's, and part of the
/// message.
fn parse(text: &[u8], variable: &str) -> Result<CertificateInner<Raw>, Failure> {
    let block = pem::decode(text).ok_or_else(|| Failure::new("unable to decode certificate"))?;
    CertificateInner::from_der(&block.bytes).map_err(|error| malformed(variable, &error))
}

fn malformed(variable: &str, error: &der::Error) -> Failure {
    Failure::new(format!(
        "error parsing certificate: {variable}.Bytes: x509: malformed certificate: {error}"
    ))
}

fn creating(error: impl std::fmt::Display) -> Failure {
    Failure::new(format!("error creating certificate: {error}"))
}

/// The public half of a key that Go can put into a certificate, or sign with.
fn public(key: &PrivateKey, signs: bool) -> Result<SubjectPublicKeyInfo, Failure> {
    key.public()?.ok_or_else(|| {
        creating(match signs {
            true => "x509: certificate private key does not implement crypto.Signer",
            false => "x509: unsupported public key type: *dsa.PublicKey",
        })
    })
}

/// What the builder asks for: names, and the extensions in Go's order.
struct Profile<'a> {
    subject: &'a Subject,
    issuer: &'a Name,
    issuer_key_id: Option<&'a OctetString>,
}

impl BuilderProfile for Profile<'_> {
    fn get_issuer(&self, _: &Name) -> Name {
        self.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.name.clone()
    }

    fn build_extensions(
        &self,
        key: SubjectPublicKeyInfoRef<'_>,
        _: SubjectPublicKeyInfoRef<'_>,
        _: &TbsCertificate,
    ) -> builder::Result<Vec<Extension>> {
        const SERVER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
        const CLIENT: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
        const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
        let subject = self.subject;
        let mut usage = KeyUsages::DigitalSignature | KeyUsages::KeyEncipherment;
        if subject.is_authority {
            usage |= KeyUsages::KeyCertSign;
        }
        let mut extensions = vec![
            extension(true, &KeyUsage(usage))?,
            extension(false, &ExtendedKeyUsage(vec![SERVER, CLIENT]))?,
            extension(
                true,
                &BasicConstraints {
                    ca: subject.is_authority,
                    path_len_constraint: None,
                },
            )?,
        ];
        if subject.is_authority {
            // RFC 7093, method 1, which Go 1.25 changed to.
            let digest = Sha256::digest(key.subject_public_key.raw_bytes());
            let id = SubjectKeyIdentifier(OctetString::new(&digest[..20])?);
            extensions.push(extension(false, &id)?);
        }
        if let Some(id) = self.issuer_key_id {
            let id = AuthorityKeyIdentifier {
                key_identifier: Some(id.clone()),
                authority_cert_issuer: None,
                authority_cert_serial_number: None,
            };
            extensions.push(extension(false, &id)?);
        }
        if !subject.names.is_empty() || !subject.addresses.is_empty() {
            let names = subject.names.iter().cloned().map(GeneralName::DnsName);
            let addresses = subject.addresses.iter().map(|address| {
                let bytes = match address.to_canonical() {
                    IpAddr::V4(address) => OctetString::new(address.octets()),
                    IpAddr::V6(address) => OctetString::new(address.octets()),
                };
                bytes.map(GeneralName::IpAddress)
            });
            let names = names
                .map(Ok)
                .chain(addresses)
                .collect::<Result<Vec<_>, _>>()?;
            extensions.push(Extension {
                extn_id: SUBJECT_ALT_NAME,
                // Without another name these are the only ones.
                critical: subject.name.is_empty(),
                extn_value: OctetString::new(names.to_der()?)?,
            });
        }
        Ok(extensions)
    }
}

fn extension<E: der::oid::AssociatedOid + Encode>(
    critical: bool,
    content: &E,
) -> der::Result<Extension> {
    Ok(Extension {
        extn_id: E::OID,
        critical,
        extn_value: OctetString::new(content.to_der()?)?,
    })
}

fn issue(
    subject: &Subject,
    key: &PrivateKey,
    public: &SubjectPublicKeyInfo,
    signing_key: &PrivateKey,
    issuer: &Name,
    issuer_key_id: Option<&OctetString>,
    draw: &Draw<'_>,
) -> Result<Certificate, Failure> {
    let profile = Profile {
        subject,
        issuer,
        issuer_key_id,
    };
    let mut serial = [0; 16];
    draw.random(&mut serial);
    let serial = SerialNumber::new(&serial).map_err(creating)?;
    let builder = CertificateBuilder::new(
        profile,
        serial,
        validity(draw.now(), subject.days)?,
        public.clone(),
    )
    .map_err(creating)?;
    let certificate = match signing_key {
        PrivateKey::Rsa(key) => {
            builder.build(&pkcs1v15::SigningKey::<Sha256>::new((**key).clone()))
        }
        PrivateKey::P256(key) => {
            builder.build::<_, p256::ecdsa::DerSignature>(&p256::ecdsa::SigningKey::from(key))
        }
        PrivateKey::P384(key) => {
            builder.build::<_, p384::ecdsa::DerSignature>(&p384::ecdsa::SigningKey::from(key))
        }
        PrivateKey::P521(key) => {
            builder.build::<_, p521::ecdsa::DerSignature>(&p521::ecdsa::SigningKey::from(key))
        }
        PrivateKey::Ed25519(key) => builder.build(key),
        PrivateKey::Dsa(_) => unreachable!("a signer's public key was found"),
    };
    let bytes = certificate.map_err(creating)?.to_der().map_err(creating)?;
    Ok(Certificate {
        cert: pem::encode("CERTIFICATE", &bytes).into(),
        key: key.to_pem()?.into(),
    })
}

/// From now on for so many days, in Go's arithmetic: nanoseconds of 64 bits,
/// which wrap after 292 years.
fn validity(now: SystemTime, days: i64) -> Result<Validity, Failure> {
    const DAY: i64 = 24 * 60 * 60 * 1_000_000_000;
    let length = days.wrapping_mul(DAY);
    let distance = Duration::from_nanos(length.unsigned_abs());
    let end = match length < 0 {
        true => now.checked_sub(distance),
        false => now.checked_add(distance),
    };
    Ok(Validity::new(time(Some(now))?, time(end)?))
}

fn time(time: Option<SystemTime>) -> Result<Time, Failure> {
    const YEAR_2050: u64 = 2_524_608_000;
    let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let encode = |since: Duration| {
        let seconds = Duration::from_secs(since.as_secs());
        match seconds.as_secs() < YEAR_2050 {
            true => UtcTime::from_unix_duration(seconds).map(Time::UtcTime),
            false => GeneralizedTime::from_unix_duration(seconds).map(Time::GeneralTime),
        }
    };
    since
        .and_then(|since| encode(since).ok())
        .ok_or_else(|| creating("asn1: structure error: cannot represent time as GeneralizedTime"))
}

impl Object for Certificate {
    fn type_name(&self) -> &str {
        CERTIFICATE
    }

    fn kind(&self) -> Kind {
        Kind::Struct
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Cert" => Some(Value::Str(self.cert.clone())),
            "Key" => Some(Value::Str(self.key.clone())),
            _ => None,
        }
    }

    fn entries(&self) -> Vec<(Str, Value)> {
        vec![
            ("Cert".into(), Value::Str(self.cert.clone())),
            ("Key".into(), Value::Str(self.key.clone())),
        ]
    }

    fn to_core(&self) -> Result<Core, Failure> {
        let fields = [
            ("Cert", Core::String(self.cert.to_core())),
            ("Key", Core::String(self.key.to_core())),
        ];
        Ok(Core::Map(fields.into_iter().collect()))
    }

    fn same(&self, other: &dyn Object) -> bool {
        other.downcast_ref() == Some(self)
    }
}
