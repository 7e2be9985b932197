//! Versions and ranges as `github.com/Masterminds/semver` v3 reads them.
//!
//! Helm and Argo CD are written against that library, so its habits are part
//! of their behaviour: a leading `v` and missing parts are fine, `1.2` as a
//! range means `1.2.x`, and a range that names no pre-release matches none.
//!
//! ```
//! use gitops_core::semver::{Constraint, Version};
//! let range = Constraint::parse(">=1.28-0, <2")?;
//! assert!(range.matches(&Version::parse("v1.29.3-gke.100")?));
//! assert!(!Constraint::parse(">=1.28")?.matches(&Version::parse("1.29.3-gke.100")?));
//! # Ok::<(), gitops_core::semver::Error>(())
//! ```

use std::cmp::Ordering;
use std::fmt;

use crate::Str;

/// Why a text is no version or no range; the texts are the library's own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is no version.
    #[error("invalid semantic version")]
    Version,
    /// A number does not fit 64 bits.
    #[error("error parsing version segment: strconv.ParseUint: parsing {0:?}: value out of range")]
    Segment(String),
    /// A numeric pre-release identifier has a leading zero.
    #[error("version segment starts with 0")]
    SegmentStartsZero,
    /// The text is no pre-release.
    #[error("invalid prerelease string")]
    Prerelease,
    /// The text is no build metadata.
    #[error("invalid metadata string")]
    Metadata,
    /// The text is longer than any version.
    #[error("version string is too long (max 256 bytes)")]
    VersionTooLong,
    /// The text is no range.
    #[error("improper constraint: {0:?}")]
    Constraint(String),
    /// A part of a range looks like a version and is none.
    #[error("constraint parser error")]
    ConstraintVersion,
    /// The text is longer than any range.
    #[error("constraint string is too long (max 512 bytes)")]
    ConstraintTooLong,
    /// The range has too many alternatives.
    #[error("too many constraint groups (max 32)")]
    TooManyGroups,
}

/// A version, ordered by precedence: build metadata does not count, neither
/// for order nor for equality.
#[derive(Clone, Debug)]
pub struct Version {
    /// The first number.
    pub major: u64,
    /// The second number.
    pub minor: u64,
    /// The third number.
    pub patch: u64,
    /// What stands after `-`; empty for a release.
    pub prerelease: Str,
    /// What stands after `+`; may be empty.
    pub metadata: Str,
    /// The version as it was written.
    pub original: Str,
}

impl Version {
    /// Reads a version, tolerating a leading `v` and missing parts.
    ///
    /// # Errors
    ///
    /// The [`Error`]s whose names say `Version` or `Segment`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > 256 {
            return Err(Error::VersionTooLong);
        }
        let mut scan = Scan(text);
        let parts = scan.version(|byte| byte.is_ascii_digit());
        let parts = parts.filter(|_| scan.0.is_empty()).ok_or(Error::Version)?;
        let number = |digits: Option<&str>| {
            let digits = digits.unwrap_or("0");
            digits
                .parse()
                .map_err(|_| Error::Segment(digits.to_owned()))
        };
        if parts.prerelease.split('.').any(has_leading_zero) {
            return Err(Error::SegmentStartsZero);
        }
        Ok(Version {
            major: number(Some(parts.major))?,
            minor: number(parts.minor)?,
            patch: number(parts.patch)?,
            prerelease: parts.prerelease.into(),
            metadata: parts.metadata.into(),
            original: text.into(),
        })
    }
}

/// A version made of another keeps the `v` it was written with.
impl Version {
    /// The next patch; of a pre-release, its release.
    pub fn next_patch(&self) -> Self {
        let patch = match self.prerelease.is_empty() {
            true => self.patch.wrapping_add(1),
            false => self.patch,
        };
        self.release(self.major, self.minor, patch)
    }

    /// The next minor version.
    pub fn next_minor(&self) -> Self {
        self.release(self.major, self.minor.wrapping_add(1), 0)
    }

    /// The next major version.
    pub fn next_major(&self) -> Self {
        self.release(self.major.wrapping_add(1), 0, 0)
    }

    /// The version with another pre-release, or without one.
    ///
    /// # Errors
    ///
    /// [`Error::Prerelease`] and [`Error::SegmentStartsZero`].
    pub fn with_prerelease(&self, prerelease: &str) -> Result<Self, Error> {
        if !prerelease.is_empty() {
            for part in prerelease.split('.') {
                if !is_identifier(part) {
                    return Err(Error::Prerelease);
                }
                if has_leading_zero(part) {
                    return Err(Error::SegmentStartsZero);
                }
            }
        }
        Ok(self.with(|version| version.prerelease = prerelease.into()))
    }

    /// The version with other build metadata, or without any.
    ///
    /// # Errors
    ///
    /// [`Error::Metadata`].
    pub fn with_metadata(&self, metadata: &str) -> Result<Self, Error> {
        if !metadata.is_empty() && !metadata.split('.').all(is_identifier) {
            return Err(Error::Metadata);
        }
        Ok(self.with(|version| version.metadata = metadata.into()))
    }

    fn release(&self, major: u64, minor: u64, patch: u64) -> Self {
        self.with(|version| {
            (version.major, version.minor, version.patch) = (major, minor, patch);
            (version.prerelease, version.metadata) = (Str::new(), Str::new());
        })
    }

    fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut version = self.clone();
        change(&mut version);
        let v = if self.original.starts_with('v') {
            "v"
        } else {
            ""
        };
        version.original = ecow::eco_format!("{v}{version}");
        version
    }
}

fn is_identifier(part: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !part.is_empty() && part.bytes().all(allowed)
}

fn has_leading_zero(part: &str) -> bool {
    part.len() > 1 && part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit())
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if !self.prerelease.is_empty() {
            write!(f, "-{}", self.prerelease)?;
        }
        if !self.metadata.is_empty() {
            write!(f, "+{}", self.metadata)?;
        }
        Ok(())
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.major, self.minor, self.patch)
            .cmp(&(other.major, other.minor, other.patch))
            .then_with(
                || match (self.prerelease.is_empty(), other.prerelease.is_empty()) {
                    (true, true) => Ordering::Equal,
                    (true, false) => Ordering::Greater,
                    (false, true) => Ordering::Less,
                    (false, false) => compare_prereleases(&self.prerelease, &other.prerelease),
                },
            )
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version {}

fn compare_prereleases(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => a.cmp(b),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// A range of versions: alternatives by `||`, each a list of comparisons that
/// all have to hold.
#[derive(Clone, Debug)]
pub struct Constraint {
    alternatives: Vec<Vec<Comparison>>,
}

#[derive(Clone, Debug)]
struct Comparison {
    operator: Operator,
    version: Version,
    /// The first part that was left out or written as `x`.
    open: Open,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Major,
    Minor,
    Patch,
    Nothing,
}

#[derive(Clone, Copy, Debug)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterEqual,
    LessEqual,
    Tilde,
    Caret,
}

impl Constraint {
    /// Reads a range: `=`, `!=`, `>`, `<`, `>=`, `<=`, `~`, `^`, wildcards,
    /// `1.2 - 2.3`, comma or space for "and", `||` for "or".
    ///
    /// # Errors
    ///
    /// The [`Error`]s whose names say `Constraint`, or
    /// [`Error::TooManyGroups`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > 512 {
            return Err(Error::ConstraintTooLong);
        }
        let text = rewrite_ranges(text);
        let groups: Vec<&str> = text.split("||").collect();
        if groups.len() > 32 {
            return Err(Error::TooManyGroups);
        }
        let alternatives = groups
            .into_iter()
            .map(comparisons)
            .collect::<Result<_, _>>()?;
        Ok(Constraint { alternatives })
    }

    /// Whether `version` lies in the range.
    pub fn matches(&self, version: &Version) -> bool {
        self.alternatives.iter().any(|comparisons| {
            let prereleases = comparisons
                .iter()
                .any(|comparison| !comparison.version.prerelease.is_empty());
            (prereleases || version.prerelease.is_empty())
                && comparisons
                    .iter()
                    .all(|comparison| comparison.matches(version))
        })
    }
}

impl Comparison {
    fn matches(&self, version: &Version) -> bool {
        let bound = &self.version;
        let order = version.cmp(bound);
        let major = version.major.cmp(&bound.major);
        let minor = version.minor.cmp(&bound.minor);
        // The library keeps three flags; a major `x` sets only the general one.
        let (minor_open, patch_open) = (self.open == Open::Minor, self.open == Open::Patch);
        let dirty = self.open != Open::Nothing;
        match self.operator {
            Operator::Equal if dirty => self.same_minor(version),
            Operator::Equal => order == Ordering::Equal,
            Operator::NotEqual => {
                if !dirty {
                    return order != Ordering::Equal;
                }
                if major != Ordering::Equal {
                    return true;
                }
                if minor_open {
                    return false;
                }
                if minor != Ordering::Equal {
                    return true;
                }
                if patch_open {
                    let named = !version.prerelease.is_empty() || !bound.prerelease.is_empty();
                    return named
                        && compare_prereleases(&version.prerelease, &bound.prerelease)
                            != Ordering::Equal;
                }
                version.patch != bound.patch || order != Ordering::Equal
            }
            Operator::Greater => match (dirty, major) {
                (false, _) => order == Ordering::Greater,
                (true, Ordering::Greater) => true,
                (true, Ordering::Less) => false,
                (true, Ordering::Equal) if minor_open => false,
                (true, Ordering::Equal) if patch_open => minor == Ordering::Greater,
                (true, Ordering::Equal) => order == Ordering::Greater,
            },
            Operator::Less => order == Ordering::Less,
            Operator::GreaterEqual => order != Ordering::Less,
            Operator::LessEqual if !dirty => order != Ordering::Greater,
            Operator::LessEqual => {
                major == Ordering::Less
                    || (major == Ordering::Equal && (minor_open || minor != Ordering::Greater))
            }
            Operator::Tilde => self.same_minor(version),
            Operator::Caret => {
                if order == Ordering::Less {
                    return false;
                }
                if bound.major > 0 || minor_open {
                    return major == Ordering::Equal;
                }
                if version.major > 0 {
                    return false;
                }
                if bound.minor > 0 || patch_open {
                    return minor == Ordering::Equal;
                }
                version.minor == 0 && version.patch == bound.patch
            }
        }
    }

    fn same_minor(&self, version: &Version) -> bool {
        let bound = &self.version;
        if version < bound {
            return false;
        }
        let zero = bound.major == 0 && bound.minor == 0 && bound.patch == 0;
        if zero && !matches!(self.open, Open::Minor | Open::Patch) {
            return true;
        }
        version.major == bound.major && (version.minor == bound.minor || self.open == Open::Minor)
    }
}

fn comparisons(text: &str) -> Result<Vec<Comparison>, Error> {
    let improper = || Error::Constraint(text.to_owned());
    let mut scan = Scan(text);
    let mut found = Vec::new();
    loop {
        scan.space();
        let operator = scan.operator();
        scan.space();
        let parts = scan.version(in_range).ok_or_else(improper)?;
        found.push((operator, parts));
        let spaced = scan.space();
        if scan.0.is_empty() {
            // Only of what has the right form is looked at what it says.
            let found = found.iter();
            return found
                .map(|(operator, parts)| comparison(*operator, parts))
                .collect();
        }
        if !scan.skip(",") && !spaced {
            return Err(improper());
        }
    }
}

fn comparison(operator: Operator, parts: &Parts<'_>) -> Result<Comparison, Error> {
    let open = |part: Option<&str>| matches!(part, None | Some("x" | "X" | "*"));
    let minor = parts.minor.unwrap_or_default();
    let patch = parts.patch.unwrap_or_default();
    let (numbers, open) = if open(Some(parts.major)) {
        ("0.0.0".to_owned(), Open::Major)
    } else if open(parts.minor) {
        (format!("{}.0.0", parts.major), Open::Minor)
    } else if open(parts.patch) {
        (format!("{}.{minor}.0", parts.major), Open::Patch)
    } else {
        (format!("{}.{minor}.{patch}", parts.major), Open::Nothing)
    };
    let dash = if parts.prerelease.is_empty() { "" } else { "-" };
    let plus = match (open, parts.metadata) {
        (Open::Nothing, metadata) if !metadata.is_empty() => format!("+{metadata}"),
        _ => String::new(),
    };
    let version = Version::parse(&format!("{numbers}{dash}{}{plus}", parts.prerelease))
        .map_err(|_| Error::ConstraintVersion)?;
    Ok(Comparison {
        operator,
        version,
        open,
    })
}

/// Writes `1.2 - 2.3` as `>= 1.2, <= 2.3`, wherever it stands.
fn rewrite_ranges(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let mut scan = Scan(rest);
        scan.space();
        if let Some((low, high)) = scan.hyphen_range() {
            out.push_str(&format!(">= {low}, <= {high} "));
            scan.space();
            rest = scan.0;
        } else {
            let first = rest.chars().next().map_or(0, char::len_utf8);
            out.push_str(&rest[..first]);
            rest = &rest[first..];
        }
    }
    out
}

fn in_range(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'|' | b'x' | b'X' | b'*')
}

/// A version taken apart.
struct Parts<'a> {
    major: &'a str,
    minor: Option<&'a str>,
    patch: Option<&'a str>,
    prerelease: &'a str,
    metadata: &'a str,
}

/// What is still to be read.
#[derive(Clone, Copy)]
struct Scan<'a>(&'a str);

impl<'a> Scan<'a> {
    fn skip(&mut self, prefix: &str) -> bool {
        match self.0.strip_prefix(prefix) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    /// Skips what RE2 counts as white space; whether there was any.
    fn space(&mut self) -> bool {
        let rest = self.0.trim_start_matches([' ', '\t', '\n', '\r', '\x0c']);
        let any = rest.len() < self.0.len();
        self.0 = rest;
        any
    }

    fn run(&mut self, accept: impl Fn(u8) -> bool) -> &'a str {
        let end = self.0.bytes().position(|byte| !accept(byte));
        let (run, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        run
    }

    fn operator(&mut self) -> Operator {
        const OPERATORS: [(&str, Operator); 11] = [
            ("!=", Operator::NotEqual),
            (">=", Operator::GreaterEqual),
            ("=>", Operator::GreaterEqual),
            ("<=", Operator::LessEqual),
            ("=<", Operator::LessEqual),
            ("~>", Operator::Tilde),
            ("=", Operator::Equal),
            (">", Operator::Greater),
            ("<", Operator::Less),
            ("~", Operator::Tilde),
            ("^", Operator::Caret),
        ];
        for (text, operator) in OPERATORS {
            if self.skip(text) {
                return operator;
            }
        }
        Operator::Equal
    }

    fn version(&mut self, number: impl Fn(u8) -> bool) -> Option<Parts<'a>> {
        let mut scan = *self;
        scan.skip("v");
        let some = |run: &'a str| (!run.is_empty()).then_some(run);
        let major = some(scan.run(&number))?;
        let mut part = || {
            let mut ahead = scan;
            let run = ahead.skip(".").then(|| ahead.run(&number)).and_then(some)?;
            scan = ahead;
            Some(run)
        };
        let minor = part();
        let patch = minor.and_then(|_| part());
        let prerelease = scan.identifiers("-");
        let metadata = scan.identifiers("+");
        *self = scan;
        Some(Parts {
            major,
            minor,
            patch,
            prerelease,
            metadata,
        })
    }

    /// Dot-separated identifiers after `mark`; empty if there are none.
    fn identifiers(&mut self, mark: &str) -> &'a str {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let mut scan = *self;
        if !scan.skip(mark) {
            return "";
        }
        let start = scan.0;
        if scan.run(word).is_empty() {
            return "";
        }
        loop {
            let mut ahead = scan;
            if !ahead.skip(".") || ahead.run(word).is_empty() {
                break;
            }
            scan = ahead;
        }
        *self = scan;
        &start[..start.len() - scan.0.len()]
    }

    fn hyphen_range(&mut self) -> Option<(&'a str, &'a str)> {
        let mut scan = *self;
        let text = |from: Scan<'a>, to: Scan<'a>| &from.0[..from.0.len() - to.0.len()];
        let low_start = scan;
        scan.version(in_range)?;
        let low = text(low_start, scan);
        if !scan.space() || !scan.skip("-") || !scan.space() {
            return None;
        }
        let high_start = scan;
        scan.version(in_range)?;
        let high = text(high_start, scan);
        *self = scan;
        Some((low, high))
    }
}
