//! Git URLs as Kustomize reads them (`api/internal/git/repospec.go`), and the
//! door through which a build reaches what they name.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use gitops_core::{FileTree, Str};

/// The files of a fetched commit.
pub type SharedTree = Arc<dyn FileTree + Send + Sync>;

/// Where a build finds what is not in its own tree.
///
/// A build asks once for each repository and revision, and once for each URL.
/// Whoever implements this decides what may be fetched, caches it, and pins
/// revisions to commits.
pub trait Remotes: fmt::Debug + Send + Sync {
    /// The files of a Git repository at a revision.
    ///
    /// # Errors
    ///
    /// Why it cannot be had; the text is shown to people.
    fn repository(&self, source: &GitSource) -> Result<SharedTree, RemoteError>;

    /// The contents of an http(s) URL.
    ///
    /// Any URL that is a resource comes here before
    /// [`repository`](Remotes::repository) is asked for it.
    ///
    /// # Errors
    ///
    /// [`HttpStatus`], if there is an answer and it is no file; otherwise as
    /// [`repository`](Remotes::repository).
    fn file(&self, url: &str) -> Result<Bytes, RemoteError>;
}

/// Why something remote could not be had.
pub type RemoteError = Box<dyn std::error::Error + Send + Sync>;

/// A server's answer that is no file. If the URL cannot be a repository
/// either, nothing else is tried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("HTTP Error: status code {code} ({reason})")]
pub struct HttpStatus {
    /// The status code, which is not 2xx.
    pub code: u16,
    /// What the code means: `Not Found`.
    pub reason: Str,
}

/// What a build has fetched.
#[derive(Default)]
pub(super) struct Fetched {
    pub(super) trees: HashMap<(Str, Str), SharedTree>,
    pub(super) files: HashMap<Str, Bytes>,
}

/// A kustomization in a Git repository.
///
/// ```
/// use gitops_render::kustomize::GitSource;
/// let source = GitSource::parse("https://example.com/org/repo//base?ref=v1")?;
/// assert_eq!(source.clone_spec(), "https://example.com/org/repo");
/// assert_eq!((source.path.as_str(), source.reference.as_str()), ("base", "v1"));
/// assert!(GitSource::parse("../base").is_err());
/// # Ok::<(), gitops_render::kustomize::NotGit>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitSource {
    /// As it was written.
    pub raw: Str,
    /// Scheme, user and host, up to what separates them from the path:
    /// `https://example.com/`, `git@github.com:`.
    pub host: Str,
    /// The repository's path on that host.
    pub repository: Str,
    /// The directory within the repository; empty for its root.
    pub path: Str,
    /// The branch, tag or commit; empty for the default branch.
    pub reference: Str,
    /// Whether submodules are wanted.
    pub submodules: bool,
    /// How many milliseconds fetching may take.
    pub timeout_ms: u64,
}

/// Why a text is no Git URL; it may still be a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotGit(String);

const SCHEMES: [&str; 4] = ["ssh://", "https://", "http://", "file://"];
const DEFAULT_TIMEOUT_MS: u64 = 27_000;

/// Whether a path is one to fetch over http.
pub(super) fn is_file_url(path: &str) -> bool {
    path.split_once(':').is_some_and(|(scheme, _)| {
        scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
    })
}

impl GitSource {
    /// Reads a URL.
    ///
    /// # Errors
    ///
    /// [`NotGit`], if it is none.
    pub fn parse(text: &str) -> Result<Self, NotGit> {
        let not = |problem: String| Err(NotGit(problem));
        if text.starts_with('/') {
            return not(format!("uri looks like abs path: {text}"));
        }
        let (url, query) = text.split_once('?').unwrap_or((text, ""));
        let query = Query::parse(query);
        let (host, rest) = split_host(url)?;
        let segments = match host.starts_with("file://") {
            true => None,
            false => Some(2),
        };
        let Some((repository, path)) =
            split_repository(rest, segments).filter(|(repository, _)| !repository.is_empty())
        else {
            return not("failed to parse repo path segment".to_owned());
        };
        if leaves(path) {
            return not(format!("url path exits repo: {rest}"));
        }
        Ok(GitSource {
            raw: text.into(),
            host: host.into(),
            repository: repository.into(),
            path: path.strip_prefix('/').unwrap_or(path).into(),
            reference: query.reference,
            submodules: query.submodules,
            timeout_ms: query.timeout_ms,
        })
    }

    /// What is cloned.
    pub fn clone_spec(&self) -> Str {
        format!("{}{}", self.host, self.repository).into()
    }

    /// How messages call the root of the repository.
    pub(super) fn clone_name(&self) -> String {
        match self.reference.is_empty() {
            true => self.clone_spec().to_string(),
            false => format!("{}@{}", self.clone_spec(), self.reference),
        }
    }
}

fn split_host(url: &str) -> Result<(String, &str), NotGit> {
    let url = strip_prefix_any_case(url, "git::").unwrap_or(url);
    let (scheme, rest) = SCHEMES
        .iter()
        .find_map(|scheme| Some((*scheme, strip_prefix_any_case(url, scheme)?)))
        .unwrap_or(("", url));
    let (user, rest) = match rest.split_once('@') {
        Some((user, after))
            if user.starts_with(|first: char| first.is_ascii_alphabetic())
                && user
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') =>
        {
            (&rest[..=user.len()], after)
        }
        _ => ("", rest),
    };
    let lower = rest.to_ascii_lowercase();
    let github = lower.starts_with("github.com/") || lower.starts_with("github.com:");
    let scp = scheme.is_empty() && (!user.is_empty() || github);
    if scheme.is_empty() && !scp {
        return Err(NotGit("failed to parse scheme".to_owned()));
    }
    if scheme == "file://" {
        // The whole rest is the path, and there is no host.
        return Ok((
            scheme.to_owned(),
            &url[url.len() - user.len() - rest.len()..],
        ));
    }
    let mut separator = rest.find('/');
    if scp
        && let colon = rest.find(':')
        && (separator.is_none() || colon.is_some_and(|colon| colon > 0 && Some(colon) < separator))
    {
        separator = colon;
    }
    let (host, path) = match separator {
        Some(at) => rest.split_at(at + 1),
        None => (rest, ""),
    };
    if github {
        let whole = match scheme == "ssh://" || !user.is_empty() {
            true => format!("{user}github.com:"),
            false => "https://github.com/".to_owned(),
        };
        return Ok((whole, path));
    }
    if host.is_empty() {
        return Err(NotGit("failed to parse host segment".to_owned()));
    }
    Ok((format!("{scheme}{user}{host}"), path))
}

/// The repository and the directory in it.
fn split_repository(path: &str, segments: Option<usize>) -> Option<(&str, &str)> {
    if let Some(at) = path.find("_git/") {
        let after = at + "_git/".len();
        let end = path[after..].find('/').map(|end| after + end);
        return Some(match end {
            Some(end) => (&path[..end], &path[end + 1..]),
            None => (path, ""),
        });
    }
    if let Some(at) = path.find("//") {
        return Some((&path[..at], &path[at + 2..]));
    }
    if let Some(at) = path.find(".git") {
        return Some(path.split_at(at + ".git".len()));
    }
    let Some(segments) = segments else {
        return Some((path, ""));
    };
    let mut ends = path.match_indices('/').map(|(at, _)| at);
    match ends.nth(segments - 1) {
        Some(end) => Some((&path[..end], &path[end + 1..])),
        None if path.split('/').count() >= segments => Some((path, "")),
        None => None,
    }
}

/// Whether a path climbs above where it starts.
fn leaves(path: &str) -> bool {
    let mut depth = 0i64;
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                depth -= 1;
                if depth < 0 {
                    return true;
                }
            }
            _ => depth += 1,
        }
    }
    false
}

fn strip_prefix_any_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix)
        .then(|| &text[prefix.len()..])
}

struct Query {
    reference: Str,
    submodules: bool,
    timeout_ms: u64,
}

impl Query {
    fn parse(query: &str) -> Self {
        let mut parsed = Query {
            reference: Str::new(),
            submodules: true,
            timeout_ms: DEFAULT_TIMEOUT_MS,
        };
        // A query that cannot be decoded says nothing at all.
        let mut pairs = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            if pair.contains(';') {
                return parsed;
            }
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (unescape(key), unescape(value)) {
                (Some(key), Some(value)) => pairs.push((key, value)),
                _ => return parsed,
            }
        }
        let first = |name: &str| {
            pairs
                .iter()
                .find(|(key, _)| key == name)
                .map_or("", |(_, value)| value.as_str())
        };
        parsed.reference = match first("ref") {
            "" => first("version").into(),
            reference => reference.into(),
        };
        let timeout = first("timeout");
        if let Ok(seconds) = timeout.parse::<u64>()
            && seconds > 0
        {
            parsed.timeout_ms = seconds.saturating_mul(1000);
        } else if let Some(milliseconds) = duration_ms(timeout)
            && milliseconds > 0
        {
            parsed.timeout_ms = milliseconds;
        }
        match first("submodules") {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => parsed.submodules = true,
            "0" | "f" | "F" | "false" | "FALSE" | "False" => parsed.submodules = false,
            _ => {}
        }
        parsed
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
                if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                    return None;
                }
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &rest[2..];
            }
            byte => bytes.push(byte),
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Go's durations: `1m30s`, `1.5h`, `250ms`.
fn duration_ms(text: &str) -> Option<u64> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return None;
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let end = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        total += number
            * match &rest[..end] {
                "ns" => 1e-6,
                "us" | "µs" | "μs" => 1e-3,
                "ms" => 1.0,
                "s" => 1e3,
                "m" => 6e4,
                "h" => 3.6e6,
                _ => return None,
            };
        rest = &rest[end..];
    }
    Some(total as u64)
}
