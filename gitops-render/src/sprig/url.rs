//! URLs, as Go's `net/url` takes them apart and puts them together: bytes that
//! need not be text, with its errors.

use super::ip;
use crate::gotmpl::printf::quote;
use crate::gotmpl::{Args, Context, Failure, Function, Kind, Map, Str, Type, Value};

const S: Type = Type::Str;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("urlParse", &[S], Type::Map, url_parse),
    Function::new("urlJoin", &[Type::Map], S, url_join),
    Function::new("getHostByName", &[S], S, |context, args| {
        Ok(Value::Str(context.host().resolve(&args.str(0).to_text())))
    }),
];

fn url_parse(_: &mut Context<'_>, args: &mut Args<'_>) -> Result<Value, Failure> {
    let url = Url::parse(args.str(0).as_bytes())
        .map_err(|error| Failure::new(format!("unable to parse url: {error}")))?;
    let map: Map = [
        ("hostname", hostname(&url.host)),
        ("scheme", &url.scheme),
        ("host", &url.host),
        ("path", &url.path),
        ("query", &url.query),
        ("opaque", &url.opaque),
        ("fragment", &url.fragment),
        (
            "userinfo",
            &url.user.as_ref().map(User::to_bytes).unwrap_or_default(),
        ),
    ]
    .into_iter()
    .map(|(key, bytes)| (key, Value::Str(Str::from_bytes(bytes))))
    .collect();
    Ok(Value::Map(map))
}

fn url_join(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Value, Failure> {
    let map = args.map(0);
    let text = |name: &str| match map.get_key(&Str::from(name)) {
        None => Ok(Vec::new()),
        Some(Value::Str(text)) => Ok(text.as_bytes().to_vec()),
        Some(Value::Nil) => Err(super::nil_dereference()),
        Some(other) if other.kind() == Kind::String => {
            Ok(super::strval(context, &other)?.as_bytes().to_vec())
        }
        Some(other) => Err(Failure::new(format!(
            "unable to parse {name} key, must be of type string, but {} found",
            other.kind().name()
        ))),
    };
    let mut url = Url {
        scheme: text("scheme")?,
        host: text("host")?,
        path: text("path")?,
        query: text("query")?,
        opaque: text("opaque")?,
        fragment: text("fragment")?,
        user: None,
    };
    let user = text("userinfo")?;
    if !user.is_empty() {
        // Whatever else it says is not asked for.
        let around = [b"proto://", &*user, b"@host"].concat();
        let around = Url::parse(&around)
            .map_err(|error| Failure::new(format!("unable to parse userinfo in dict: {error}")))?;
        url.user = around.user;
    }
    Ok(Value::Str(Str::from_bytes(&url.to_bytes())))
}

/// What a URL is taken apart into, without the escapes of its parts.
#[derive(Default)]
struct Url {
    scheme: Vec<u8>,
    opaque: Vec<u8>,
    user: Option<User>,
    host: Vec<u8>,
    path: Vec<u8>,
    query: Vec<u8>,
    fragment: Vec<u8>,
}

struct User {
    name: Vec<u8>,
    password: Option<Vec<u8>>,
}

/// A part of a URL, by what may stand in it unescaped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    User,
    Host,
    /// What follows the `%` in the address of a host.
    Zone,
    Path,
    Fragment,
}

impl Part {
    /// Whether a byte is written as it is.
    fn allows(self, byte: u8) -> bool {
        let others: &[u8] = match self {
            Part::User => b"$&+,;=",
            Part::Host | Part::Zone => b"!$&'()*+,;=:[]<>\"",
            Part::Path => b"$&+,/:;=@",
            Part::Fragment => b"$&+,/:;=?@!()*",
        };
        byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || others.contains(&byte)
    }

    fn escape(self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        for byte in text {
            match self.allows(*byte) {
                true => out.push(*byte),
                false => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            }
        }
        out
    }

    fn unescape(self, text: &[u8]) -> Result<Vec<u8>, String> {
        let mut out = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some((first, after)) = rest.split_first() {
            if *first != b'%' {
                if matches!(self, Part::Host | Part::Zone)
                    && first.is_ascii()
                    && !self.allows(*first)
                {
                    return Err(format!(
                        "invalid character {} in host name",
                        quote(&[*first])
                    ));
                }
                out.push(*first);
                rest = after;
                continue;
            }
            let escape = &rest[..rest.len().min(3)];
            let byte = decoded(escape).filter(|byte| match self {
                // It escapes the percent sign before a zone.
                Part::Host | Part::Zone if *byte == b'%' => true,
                Part::Host => !byte.is_ascii(),
                Part::Zone => *byte == b' ' || self.allows(*byte),
                _ => true,
            });
            out.push(byte.ok_or_else(|| format!("invalid URL escape {}", quote(escape)))?);
            rest = &rest[3..];
        }
        Ok(out)
    }
}

/// The byte that a percent sign and two digits stand for.
fn decoded(escape: &[u8]) -> Option<u8> {
    let [_, high, low] = escape else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()
}

/// What stands before and behind the first such byte, if there is one.
fn cut(text: &[u8], at: u8) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(at, text) {
        Some(index) => (&text[..index], Some(&text[index + 1..])),
        None => (text, None),
    }
}

impl Url {
    fn parse(text: &[u8]) -> Result<Url, String> {
        let failed = |of: &[u8], problem: String| format!("parse {}: {problem}", quote(of));
        let (before, fragment) = cut(text, b'#');
        let mut url = Url::without_fragment(before).map_err(|problem| failed(before, problem))?;
        if let Some(fragment) = fragment {
            let fragment = Part::Fragment.unescape(fragment);
            url.fragment = fragment.map_err(|problem| failed(text, problem))?;
        }
        Ok(url)
    }

    fn without_fragment(text: &[u8]) -> Result<Url, String> {
        if text.iter().any(u8::is_ascii_control) {
            return Err("net/url: invalid control character in URL".into());
        }
        let (scheme, rest) = scheme(text)?;
        let (rest, query) = cut(rest, b'?');
        let mut url = Url {
            scheme: scheme.to_ascii_lowercase(),
            query: query.unwrap_or_default().to_vec(),
            ..Url::default()
        };
        if !rest.starts_with(b"/") {
            if !scheme.is_empty() {
                url.opaque = rest.to_vec();
                return Ok(url);
            }
            if cut(rest, b'/').0.contains(&b':') {
                return Err("first path segment in URL cannot contain colon".into());
            }
        }
        let mut path = rest;
        if let Some(authority) = rest.strip_prefix(b"//")
            && !(scheme.is_empty() && authority.starts_with(b"/"))
        {
            let slash = memchr::memchr(b'/', authority).unwrap_or(authority.len());
            let (authority, after) = authority.split_at(slash);
            (url.user, url.host) = self::authority(&url.scheme, authority)?;
            path = after;
        }
        url.path = Part::Path.unescape(path)?;
        Ok(url)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.scheme.is_empty() {
            out.extend_from_slice(&self.scheme);
            out.push(b':');
        }
        if !self.opaque.is_empty() {
            out.extend_from_slice(&self.opaque);
        } else {
            let authority = !self.host.is_empty() || self.user.is_some();
            if authority || (!self.scheme.is_empty() && !self.path.is_empty()) {
                out.extend_from_slice(b"//");
            }
            if let Some(user) = &self.user {
                out.extend_from_slice(&user.to_bytes());
                out.push(b'@');
            }
            out.extend_from_slice(&Part::Host.escape(&self.host));
            let path = match &self.path[..] {
                b"*" => b"*".to_vec(),
                path => Part::Path.escape(path),
            };
            if !self.host.is_empty() && !path.is_empty() && !path.starts_with(b"/") {
                out.push(b'/');
            }
            // It would be taken for a scheme.
            if out.is_empty() && cut(&path, b'/').0.contains(&b':') {
                out.extend_from_slice(b"./");
            }
            out.extend_from_slice(&path);
        }
        if !self.query.is_empty() {
            out.push(b'?');
            out.extend_from_slice(&self.query);
        }
        if !self.fragment.is_empty() {
            out.push(b'#');
            out.extend_from_slice(&Part::Fragment.escape(&self.fragment));
        }
        out
    }
}

impl User {
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Part::User.escape(&self.name);
        if let Some(password) = &self.password {
            out.push(b':');
            out.extend_from_slice(&Part::User.escape(password));
        }
        out
    }
}

/// The scheme, which may be empty, and what follows it.
fn scheme(text: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let in_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    match text.iter().position(|byte| !in_scheme(byte)) {
        Some(0) if text[0] == b':' => Err("missing protocol scheme".into()),
        Some(end) if text[end] == b':' && text[0].is_ascii_alphabetic() => {
            Ok((&text[..end], &text[end + 1..]))
        }
        _ => Ok((b"", text)),
    }
}

fn authority(scheme: &[u8], text: &[u8]) -> Result<(Option<User>, Vec<u8>), String> {
    let Some(at) = memchr::memrchr(b'@', text) else {
        return Ok((None, host(scheme, text)?));
    };
    let (user, host) = (&text[..at], self::host(scheme, &text[at + 1..])?);
    let valid = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(byte);
    if !user.iter().all(valid) {
        return Err("net/url: invalid userinfo".into());
    }
    let (name, password) = cut(user, b':');
    let user = User {
        name: Part::User.unescape(name)?,
        password: password.map(|text| Part::User.unescape(text)).transpose()?,
    };
    Ok((Some(user), host))
}

/// A host with its port: a name, or an address in brackets.
fn host(scheme: &[u8], text: &[u8]) -> Result<Vec<u8>, String> {
    let port_of = |text: &[u8]| match is_port(text) {
        true => Ok(()),
        false => Err(format!("invalid port {} after host", quote(text))),
    };
    match memchr::memrchr(b'[', text) {
        None => {
            // Databases take lists of hosts, each with its port.
            let colon = match scheme {
                b"http" | b"https" => memchr::memchr(b':', text),
                _ => memchr::memrchr(b':', text),
            };
            port_of(&text[colon.unwrap_or(text.len())..])?;
            Part::Host.unescape(text)
        }
        Some(0) => {
            let Some(end) = memchr::memrchr(b']', text) else {
                return Err("missing ']' in host".into());
            };
            let (address, port) = (&text[1..end], &text[end + 1..]);
            port_of(port)?;
            let port = Part::Host.unescape(port)?;
            let zone = memchr::memmem::find(address, b"%25").unwrap_or(address.len());
            let mut address = [
                Part::Host.unescape(&address[..zone])?,
                Part::Zone.unescape(&address[zone..])?,
            ]
            .concat();
            if ip::version(&address).map_err(|problem| format!("invalid host: {problem}"))? == 4 {
                return Err("invalid IP-literal".into());
            }
            address.insert(0, b'[');
            address.push(b']');
            address.extend_from_slice(&port);
            Ok(address)
        }
        Some(_) => Err("invalid IP-literal".into()),
    }
}

/// Whether this is a colon with digits behind it, or nothing.
fn is_port(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b":").unwrap_or(text);
    digits.iter().all(u8::is_ascii_digit) && (digits.len() < text.len() || text.is_empty())
}

/// A host without its port and brackets.
fn hostname(host: &[u8]) -> &[u8] {
    let colon = memchr::memrchr(b':', host).filter(|colon| is_port(&host[*colon..]));
    let host = &host[..colon.unwrap_or(host.len())];
    let inside = host
        .strip_prefix(b"[")
        .and_then(|host| host.strip_suffix(b"]"));
    inside.unwrap_or(host)
}
