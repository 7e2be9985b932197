//! Slash-separated paths, and URLs.

use crate::gotmpl::{Args, Context, Failure, Function, Kind, Map, Str, Type, Value};

const S: Type = Type::Str;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("base", &[S], S, base),
    Function::new("osBase", &[S], S, base),
    Function::new("dir", &[S], S, dir),
    Function::new("osDir", &[S], S, dir),
    Function::new("clean", &[S], S, |_, args| {
        Ok(clean(&args.str(0).to_text()).into())
    }),
    Function::new("osClean", &[S], S, |_, args| {
        Ok(clean(&args.str(0).to_text()).into())
    }),
    Function::new("ext", &[S], S, ext),
    Function::new("osExt", &[S], S, ext),
    Function::new("isAbs", &[S], Type::Bool, is_abs),
    Function::new("osIsAbs", &[S], Type::Bool, is_abs),
    Function::new("urlParse", &[S], Type::Map, url_parse),
    Function::new("urlJoin", &[Type::Map], S, url_join),
    Function::new("getHostByName", &[S], S, |context, args| {
        Ok(Value::Str(context.host().resolve(&args.str(0).to_text())))
    }),
];

fn base(_: &mut Context<'_>, args: &mut Args<'_>) -> Result<Value, Failure> {
    let path = args.str(0).to_text();
    if path.is_empty() {
        return Ok(".".into());
    }
    let trimmed = path.trim_end_matches('/');
    let last = trimmed.rsplit('/').next().unwrap_or_default();
    Ok(if last.is_empty() { "/" } else { last }.into())
}

fn dir(_: &mut Context<'_>, args: &mut Args<'_>) -> Result<Value, Failure> {
    let path = args.str(0).to_text();
    let dir = path.rfind('/').map_or("", |slash| &path[..=slash]);
    Ok(clean(dir).into())
}

fn ext(_: &mut Context<'_>, args: &mut Args<'_>) -> Result<Value, Failure> {
    let path = args.str(0).to_text();
    let name = path.rsplit('/').next().unwrap_or_default();
    Ok(name.rfind('.').map_or("", |dot| &name[dot..]).into())
}

fn is_abs(_: &mut Context<'_>, args: &mut Args<'_>) -> Result<Value, Failure> {
    Ok(Value::Bool(args.str(0).as_bytes().starts_with(b"/")))
}

/// Go's `path.Clean`, and `filepath.Clean` of Unix.
pub(crate) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

/// What Go's `net/url` takes a URL apart into.
#[derive(Default)]
struct Url {
    scheme: String,
    opaque: String,
    userinfo: Option<String>,
    host: String,
    path: String,
    query: String,
    fragment: String,
}

fn url_parse(_: &mut Context<'_>, args: &mut Args<'_>) -> Result<Value, Failure> {
    let text = args.str(0).to_text().into_owned();
    let url = Url::parse(&text).map_err(|(of, problem)| {
        Failure::new(format!(
            "unable to parse url: parse {}: {problem}",
            crate::gotmpl::printf::quote(of.as_bytes())
        ))
    })?;
    let hostname = match url
        .host
        .strip_prefix('[')
        .and_then(|host| host.split_once(']'))
    {
        Some((inner, _)) => inner.to_owned(),
        None => url
            .host
            .rsplit_once(':')
            .map_or(url.host.as_str(), |(host, _)| host)
            .to_owned(),
    };
    let map: Map = [
        ("scheme", url.scheme),
        ("host", url.host),
        ("hostname", hostname),
        ("path", url.path),
        ("query", url.query),
        ("opaque", url.opaque),
        ("fragment", url.fragment),
        ("userinfo", url.userinfo.unwrap_or_default()),
    ]
    .into_iter()
    .collect();
    Ok(Value::Map(map))
}

impl Url {
    /// Fails with Go's text, and with the part of `text` that it quotes.
    fn parse(text: &str) -> Result<Url, (&str, String)> {
        let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
        let mut url = Url::without_fragment(rest).map_err(|problem| (rest, problem))?;
        url.fragment = unescape(fragment, |_| true).map_err(|problem| (text, problem))?;
        Ok(url)
    }

    fn without_fragment(rest: &str) -> Result<Url, String> {
        let mut url = Url::default();
        if rest.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
            return Err("net/url: invalid control character in URL".into());
        }
        let mut rest = rest;
        let scheme_end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c)));
        match scheme_end {
            Some(0) if rest.starts_with(':') => return Err("missing protocol scheme".into()),
            Some(end)
                if rest[end..].starts_with(':')
                    && rest.starts_with(|c: char| c.is_ascii_alphabetic()) =>
            {
                url.scheme = rest[..end].to_ascii_lowercase();
                rest = &rest[end + 1..];
            }
            _ => {}
        }
        let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
        url.query = query.to_owned();
        rest = before;
        if !rest.starts_with('/') {
            if !url.scheme.is_empty() {
                url.opaque = rest.to_owned();
                return Ok(url);
            }
            let segment = rest.split('/').next().unwrap_or_default();
            if segment.contains(':') {
                return Err("first path segment in URL cannot contain colon".into());
            }
        }
        if (!url.scheme.is_empty() || !rest.starts_with("///")) && rest.starts_with("//") {
            let authority = &rest[2..];
            let slash = authority.find('/').unwrap_or(authority.len());
            let (authority, path) = authority.split_at(slash);
            rest = path;
            let host = match authority.rsplit_once('@') {
                Some((user, host)) => {
                    url.userinfo = Some(userinfo(user)?);
                    host
                }
                None => authority,
            };
            let port = match host.strip_prefix('[') {
                Some(inner) => match inner.split_once(']') {
                    Some((_, port)) => port,
                    None => return Err("missing ']' in host".into()),
                },
                None => host.find(':').map_or("", |colon| &host[colon..]),
            };
            let digits = port.strip_prefix(':').unwrap_or(port);
            if !digits.bytes().all(|byte| byte.is_ascii_digit())
                || (!port.is_empty() && !port.starts_with(':'))
            {
                return Err(format!("invalid port {port:?} after host"));
            }
            if let Some(bad) = host.chars().find(|c| {
                matches!(
                    c,
                    ' ' | '<' | '>' | '"' | '\\' | '^' | '`' | '{' | '|' | '}'
                )
            }) {
                return Err(format!(
                    "invalid character {:?} in host name",
                    bad.to_string()
                ));
            }
            url.host = unescape(host, |_| true)?;
        }
        url.path = unescape(rest, |_| true)?;
        Ok(url)
    }
}

/// The user part, decoded and encoded again as Go writes it.
fn userinfo(text: &str) -> Result<String, String> {
    let valid = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
    if !text.chars().all(valid) {
        return Err("net/url: invalid userinfo".into());
    }
    let encode = |text: &str| escape(&unescape(text, |_| true).unwrap_or_default(), "-_.~$&+,;=");
    Ok(match text.split_once(':') {
        Some((user, password)) => format!("{}:{}", encode(user), encode(password)),
        None => encode(text),
    })
}

fn unescape(text: &str, accept: impl Fn(u8) -> bool) -> Result<String, String> {
    if !text.contains('%') {
        return Ok(text.to_owned());
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'%' {
            out.push(bytes[at]);
            at += 1;
            continue;
        }
        let digits = bytes
            .get(at + 1..at + 3)
            .and_then(|d| std::str::from_utf8(d).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if accept(byte) => out.push(byte),
            _ => {
                let end = (at + 3).min(bytes.len());
                let shown = String::from_utf8_lossy(&bytes[at..end]);
                return Err(format!("invalid URL escape {shown:?}"));
            }
        }
        at += 3;
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn escape(text: &str, safe: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || safe.contains(c) {
            out.push(c);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn url_join(_: &mut Context<'_>, args: &mut Args<'_>) -> Result<Value, Failure> {
    let map = args.map(0);
    let text = |name: &str| match map.get_key(&Str::from(name)) {
        None => Ok(String::new()),
        Some(Value::Str(text)) => Ok(text.to_text().into_owned()),
        Some(Value::Nil) => Err(super::nil_dereference()),
        Some(other) if other.kind() == Kind::String => Ok(super::strval(&other).to_string()),
        Some(other) => Err(Failure::new(format!(
            "unable to parse {name} key, must be of type string, but {} found",
            other.kind().name()
        ))),
    };
    let (scheme, host, path) = (text("scheme")?, text("host")?, text("path")?);
    let (query, opaque, fragment) = (text("query")?, text("opaque")?, text("fragment")?);
    let user = text("userinfo")?;
    let user = if user.is_empty() {
        None
    } else {
        Some(userinfo(&user).map_err(|problem| {
            Failure::new(format!(
                "unable to parse userinfo in dict: parse \"proto://{user}@host\": {problem}"
            ))
        })?)
    };
    let mut out = String::new();
    if !scheme.is_empty() {
        out.push_str(&scheme);
        out.push(':');
    }
    if !opaque.is_empty() {
        out.push_str(&opaque);
    } else {
        if !scheme.is_empty() || !host.is_empty() || user.is_some() {
            if !host.is_empty() || !path.is_empty() || user.is_some() {
                out.push_str("//");
            }
            if let Some(user) = user {
                out.push_str(&user);
                out.push('@');
            }
            out.push_str(&escape(&host, "-_.~!$&'()*+,;=:[]<>\"@"));
        }
        let path = escape(&path, "-_.~$&+,/:;=@!'()*");
        if !path.is_empty() && !path.starts_with('/') && !host.is_empty() {
            out.push('/');
        }
        if out.is_empty()
            && path
                .split('/')
                .next()
                .is_some_and(|first| first.contains(':'))
        {
            out.push_str("./");
        }
        out.push_str(&path);
    }
    if !query.is_empty() {
        out.push('?');
        out.push_str(&query);
    }
    if !fragment.is_empty() {
        out.push('#');
        out.push_str(&escape(&fragment, "-_.~$&+,/:;=?@!()*"));
    }
    Ok(out.into())
}
