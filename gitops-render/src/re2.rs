//! Go's regular expressions on Rust's engine.
//!
//! Both are automata with leftmost-first matching, and agree on what a pattern
//! means once it is written in the other's syntax. This translates Go's
//! (`regexp/syntax`): `\d`, `\s`, `\w` and `\b` are ASCII; `\Q…\E` quotes;
//! a brace that is no repetition is a brace; in a class `&&`, `--` and `[` are
//! plain characters; `\<` is `<`. What Go refuses is refused, in its words.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use regex::bytes::{Captures, Regex, RegexBuilder};

use crate::gotmpl::unicode::is_word;

/// A compiled pattern.
pub(crate) struct Re2 {
    /// The pattern as it was written in Go's syntax.
    pub(crate) pattern: String,
    /// The automaton, whose groups have no names: in Go several may have the same.
    pub(crate) regex: Regex,
    /// The names of the groups, from the first one on; empty without one.
    names: Vec<String>,
}

/// Why a pattern was refused; displayed as Go's error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PatternError {
    problem: &'static str,
    at: String,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error parsing regexp: {}: `{}`", self.problem, self.at)
    }
}

type Compiled = Result<Rc<Re2>, PatternError>;

thread_local! {
    /// Charts match the same few patterns in every template. Those for texts of
    /// ASCII stand apart.
    static CACHE: RefCell<[HashMap<String, Compiled>; 2]> = RefCell::default();
}

/// How many patterns a thread remembers of either kind.
const REMEMBERED: usize = 256;

impl Re2 {
    /// Compiles a pattern, or finds it among those compiled before.
    pub(crate) fn cached(pattern: &str) -> Compiled {
        Re2::cached_as(pattern, false)
    }

    /// Compiles a pattern for a text, or for others like it: nearly all are ASCII,
    /// and without the many ways to write the characters beyond an automaton takes
    /// a fraction of the time to make.
    pub(crate) fn cached_for(pattern: &str, text: &[u8]) -> Compiled {
        Re2::cached_as(pattern, text.is_ascii())
    }

    fn cached_as(pattern: &str, ascii: bool) -> Compiled {
        let kind = usize::from(ascii);
        if let Some(known) = CACHE.with_borrow(|caches| caches[kind].get(pattern).cloned()) {
            return known;
        }
        let compiled = Re2::compile(pattern, ascii).map(Rc::new);
        CACHE.with_borrow_mut(|caches| {
            let cache = &mut caches[kind];
            if cache.len() >= REMEMBERED {
                cache.clear();
            }
            cache.insert(pattern.to_owned(), compiled.clone());
        });
        compiled
    }

    fn compile(pattern: &str, ascii: bool) -> Result<Re2, PatternError> {
        let mut names = Vec::new();
        let translated = translate(pattern, &mut names)?;
        // What names characters beyond ASCII needs the others to be known.
        let beyond = !translated.is_ascii()
            || [r"\p", r"\P"]
                .iter()
                .any(|class| translated.contains(class));
        let regex = RegexBuilder::new(&translated)
            .unicode(beyond || !ascii)
            .size_limit(16 << 20)
            .build()
            .map_err(|_| PatternError {
                problem: "expression too large",
                at: pattern.to_owned(),
            })?;
        Ok(Re2 {
            pattern: pattern.to_owned(),
            regex,
            names,
        })
    }

    /// Go's `Regexp.Expand`: writes a template in which `$1`, `$name` and
    /// `${name}` stand for groups.
    pub(crate) fn expand(&self, found: &Captures<'_>, template: &[u8], out: &mut Vec<u8>) {
        let mut rest = template;
        while let Some(dollar) = memchr::memchr(b'$', rest) {
            out.extend_from_slice(&rest[..dollar]);
            rest = &rest[dollar + 1..];
            if let Some(after) = rest.strip_prefix(b"$") {
                out.push(b'$');
                rest = after;
                continue;
            }
            let Some((name, length)) = reference(rest) else {
                out.push(b'$');
                continue;
            };
            rest = &rest[length..];
            let group = match number(name) {
                Some(number) => found.get(number),
                None => {
                    let mut named = (1..).zip(&self.names).filter(|(_, known)| *known == name);
                    named.find_map(|(index, _)| found.get(index))
                }
            };
            out.extend_from_slice(group.map_or(b"", |group| group.as_bytes()));
        }
        out.extend_from_slice(rest);
    }
}

/// The name of a group behind a dollar sign, and how long that is with its braces.
fn reference(text: &[u8]) -> Option<(&str, usize)> {
    let inside = text.strip_prefix(b"{");
    let valid = inside.unwrap_or(text).utf8_chunks().next()?.valid();
    let name = &valid[..valid.find(|c| !is_word(c)).unwrap_or(valid.len())];
    let length = match inside {
        Some(inside) if inside.get(name.len()) == Some(&b'}') => name.len() + 2,
        Some(_) => return None,
        None => name.len(),
    };
    (!name.is_empty()).then_some((name, length))
}

/// The number of a group, unless this is a name.
fn number(name: &str) -> Option<usize> {
    let padded = name.len() > 1 && name.starts_with('0');
    let digits = name.len() <= 9 && name.bytes().all(|byte| byte.is_ascii_digit());
    (digits && !padded).then(|| name.parse().ok())?
}

fn fail<T>(problem: &'static str, at: impl Into<String>) -> Result<T, PatternError> {
    Err(PatternError {
        problem,
        at: at.into(),
    })
}

/// Writes Go's syntax as Rust's.
fn translate(pattern: &str, names: &mut Vec<String>) -> Result<String, PatternError> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    let mut depth = 0usize;
    // Whether something stands here that a repetition can apply to, and the
    // repetition that already does.
    let mut operand = false;
    let mut repetition = "";
    while let Some(c) = rest.chars().next() {
        let here = rest;
        rest = &rest[c.len_utf8()..];
        let mut repeated = "";
        match c {
            '(' => {
                rest = open(&mut out, here, names)?;
                // Flags without a group, as in `(?i)`, open nothing.
                if out.ends_with(')') {
                    operand = false;
                    repetition = "";
                    continue;
                }
                depth += 1;
                if depth > 1000 {
                    return fail("expression nests too deeply", pattern);
                }
                operand = false;
                repetition = "";
                continue;
            }
            '|' => {
                out.push('|');
                operand = false;
                repetition = "";
                continue;
            }
            ')' => {
                if depth == 0 {
                    return fail("unexpected )", pattern);
                }
                depth -= 1;
                out.push(')');
            }
            '^' => out.push('^'),
            '$' => out.push('$'),
            '.' => out.push('.'),
            '[' => rest = class(&mut out, here)?,
            '*' | '+' | '?' => {
                let lazy = rest.starts_with('?');
                let len = 1 + usize::from(lazy);
                let op = &here[..len];
                if !operand {
                    return fail("missing argument to repetition operator", op);
                }
                if !repetition.is_empty() {
                    let both = pattern.len() - here.len() - repetition.len();
                    return fail(
                        "invalid nested repetition operator",
                        &pattern[both..pattern.len() - here.len() + len],
                    );
                }
                out.push_str(op);
                rest = &here[len..];
                repeated = op;
            }
            '{' => match counted(here) {
                None => out.push_str(r"\{"),
                Some((min, max, len)) => {
                    let lazy = here[len..].starts_with('?');
                    let len = len + usize::from(lazy);
                    let op = &here[..len];
                    if min > 1000 || max.is_some_and(|max| max > 1000 || max < min) {
                        return fail("invalid repeat count", &here[..len - usize::from(lazy)]);
                    }
                    if !operand {
                        return fail("missing argument to repetition operator", op);
                    }
                    if !repetition.is_empty() {
                        let both = pattern.len() - here.len() - repetition.len();
                        return fail(
                            "invalid nested repetition operator",
                            &pattern[both..pattern.len() - here.len() + len],
                        );
                    }
                    out.push_str(op);
                    rest = &here[len..];
                    repeated = op;
                }
            },
            '\\' => rest = escape(&mut out, here)?,
            c => push_literal(&mut out, c),
        }
        operand = true;
        repetition = repeated;
    }
    if depth > 0 {
        return fail("missing closing )", pattern);
    }
    Ok(out)
}

fn push_literal(out: &mut String, c: char) {
    // Escaped angles are edges of words in Rust.
    if c.is_ascii_punctuation() && !matches!(c, '<' | '>') {
        out.push('\\');
    }
    out.push(c);
}

/// A group or flags; returns what follows the opening.
fn open<'p>(
    out: &mut String,
    here: &'p str,
    names: &mut Vec<String>,
) -> Result<&'p str, PatternError> {
    let Some(inside) = here.strip_prefix("(?") else {
        out.push('(');
        names.push(String::new());
        return Ok(&here[1..]);
    };
    let named = inside.strip_prefix("P<").or_else(|| {
        inside
            .strip_prefix('<')
            .filter(|rest| !rest.starts_with(['=', '!']))
    });
    if let Some(name) = named {
        let Some((name, rest)) = name.split_once('>') else {
            return fail("invalid named capture", here);
        };
        let word = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric();
        if name.is_empty() || !name.bytes().all(word) {
            return fail("invalid named capture", &here[..here.len() - rest.len()]);
        }
        out.push('(');
        names.push(name.to_owned());
        return Ok(rest);
    }
    let end = inside.find(|c| !matches!(c, 'i' | 'm' | 's' | 'U' | '-'));
    match end.map(|end| (&inside[..end], &inside[end..])) {
        Some((flags, rest)) if rest.starts_with([':', ')']) => {
            let dashes = flags.matches('-').count();
            if dashes > 1 || flags.ends_with('-') || (flags.is_empty() && rest.starts_with(')')) {
                return fail(
                    "invalid or unsupported Perl syntax",
                    &here[..here.len() - rest.len() + 1],
                );
            }
            out.push_str(&format!("(?{flags}{}", &rest[..1]));
            Ok(&rest[1..])
        }
        Some((flags, rest)) => {
            let bad = rest.chars().next().map_or(0, char::len_utf8);
            fail(
                "invalid or unsupported Perl syntax",
                &here[..2 + flags.len() + bad],
            )
        }
        None => fail("missing argument to repetition operator", "?"),
    }
}

/// `{2}`, `{2,}`, `{2,5}`: the bounds and the length of the text.
fn counted(here: &str) -> Option<(u32, Option<u32>, usize)> {
    let end = here.find('}')?;
    let inside = &here[1..end];
    let number = |text: &str| {
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let padded = text.len() > 1 && text.starts_with('0');
        (plain && !padded).then(|| text.parse().unwrap_or(u32::MAX))
    };
    let (min, max) = match inside.split_once(',') {
        None => {
            let count = number(inside)?;
            (count, Some(count))
        }
        Some((min, "")) => (number(min)?, None),
        Some((min, max)) => (number(min)?, Some(number(max)?)),
    };
    Some((min, max, end + 1))
}

/// An escape outside a class; returns what follows.
fn escape<'p>(out: &mut String, here: &'p str) -> Result<&'p str, PatternError> {
    let Some(c) = here[1..].chars().next() else {
        return fail("trailing backslash at end of expression", "");
    };
    let rest = &here[1 + c.len_utf8()..];
    match c {
        'A' => out.push_str(r"\A"),
        'z' => out.push_str(r"\z"),
        'b' => out.push_str(r"(?-u:\b)"),
        'B' => out.push_str(r"(?-u:\B)"),
        'C' => return fail("invalid escape sequence", r"\C"),
        'Q' => {
            let (quoted, rest) = match rest.split_once(r"\E") {
                Some((quoted, rest)) => (quoted, rest),
                None => (rest, ""),
            };
            quoted.chars().for_each(|c| push_literal(out, c));
            return Ok(rest);
        }
        'd' | 'D' | 's' | 'S' | 'w' | 'W' => {
            out.push('[');
            out.push_str(perl(c, false));
            out.push(']');
        }
        'p' | 'P' => return unicode(out, here),
        _ => {
            let (c, rest) = escaped(here)?;
            push_literal(out, c);
            return Ok(rest);
        }
    }
    Ok(rest)
}

/// A Perl class, as what stands in brackets.
fn perl(c: char, in_class: bool) -> &'static str {
    match (c, in_class) {
        ('d', _) => "0-9",
        ('s', _) => r"\t\n\x0c\r ",
        ('w', _) => "0-9A-Za-z_",
        ('D', false) => "^0-9",
        ('S', false) => r"^\t\n\x0c\r ",
        ('W', false) => "^0-9A-Za-z_",
        ('D', true) => "[^0-9]",
        ('S', true) => r"[^\t\n\x0c\r ]",
        _ => "[^0-9A-Za-z_]",
    }
}

/// `\pN`, `\p{Greek}`, `\P{^Lu}`.
fn unicode<'p>(out: &mut String, here: &'p str) -> Result<&'p str, PatternError> {
    let mut negated = here.as_bytes()[1] == b'P';
    let after = &here[2..];
    let Some(first) = after.chars().next() else {
        return fail("invalid character class range", here);
    };
    let (name, rest) = if first == '{' {
        match after[1..].split_once('}') {
            Some((name, rest)) => (name, rest),
            None => return fail("invalid character class range", here),
        }
    } else {
        after.split_at(first.len_utf8())
    };
    let bare = match name.strip_prefix('^') {
        Some(bare) => {
            negated = !negated;
            bare
        }
        None => name,
    };
    let class = if bare == "Any" { "any" } else { bare };
    let written = format!(r"\{}{{{class}}}", if negated { 'P' } else { 'p' });
    if regex_syntax_refuses(&written) {
        return fail(
            "invalid character class range",
            &here[..here.len() - rest.len()],
        );
    }
    out.push_str(&written);
    Ok(rest)
}

fn regex_syntax_refuses(class: &str) -> bool {
    Regex::new(class).is_err()
}

/// One escaped character; returns it and what follows.
fn escaped(here: &str) -> Result<(char, &str), PatternError> {
    let Some(c) = here[1..].chars().next() else {
        return fail("trailing backslash at end of expression", "");
    };
    let rest = &here[1 + c.len_utf8()..];
    let invalid = |rest: &str| fail("invalid escape sequence", &here[..here.len() - rest.len()]);
    let found = match c {
        'a' => '\u{7}',
        'f' => '\u{c}',
        't' => '\t',
        'n' => '\n',
        'r' => '\r',
        'v' => '\u{b}',
        '0'..='7' => {
            // A lone digit from 1 to 7 would be a back reference.
            if c != '0' && !rest.starts_with(|c: char| ('0'..='7').contains(&c)) {
                return invalid(rest);
            }
            let digits = rest
                .bytes()
                .take(2)
                .take_while(|byte| (b'0'..=b'7').contains(byte))
                .count();
            let text = &here[1..2 + digits];
            let code = u32::from_str_radix(text, 8).unwrap_or(0);
            return Ok((char::from_u32(code).unwrap_or('\u{fffd}'), &rest[digits..]));
        }
        'x' => {
            let (digits, rest) = match rest.strip_prefix('{') {
                Some(inside) => match inside.split_once('}') {
                    Some((digits, rest)) => (digits, rest),
                    None => return invalid(rest),
                },
                None => match rest.get(..2) {
                    Some(digits) => (digits, &rest[2..]),
                    None => return invalid(""),
                },
            };
            let code = u32::from_str_radix(digits, 16)
                .ok()
                .and_then(char::from_u32);
            return match code {
                Some(code) if !digits.starts_with('+') => Ok((code, rest)),
                _ => invalid(rest),
            };
        }
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
        _ => return invalid(rest),
    };
    Ok((found, rest))
}

/// A bracketed class; returns what follows.
fn class<'p>(out: &mut String, here: &'p str) -> Result<&'p str, PatternError> {
    let mut rest = &here[1..];
    out.push('[');
    if let Some(after) = rest.strip_prefix('^') {
        out.push('^');
        rest = after;
    }
    let mut first = true;
    loop {
        let Some(c) = rest.chars().next() else {
            return fail("missing closing ]", here);
        };
        if c == ']' && !first {
            out.push(']');
            return Ok(&rest[1..]);
        }
        first = false;
        if rest.starts_with("[:")
            && let Some(length) = rest[2..].find(":]")
        {
            let (name, after) = rest.split_at(length + 4);
            const POSIX: [&str; 14] = [
                "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print",
                "punct", "space", "upper", "word", "xdigit",
            ];
            let inner = &name[2..length + 2];
            let inner = inner.strip_prefix('^').unwrap_or(inner);
            if !POSIX.contains(&inner) {
                return fail("invalid character class range", name);
            }
            out.push_str(name);
            rest = after;
            continue;
        }
        if c == '\\' {
            match rest[1..].chars().next() {
                Some(kind @ ('d' | 'D' | 's' | 'S' | 'w' | 'W')) => {
                    out.push_str(perl(kind, true));
                    rest = &rest[2..];
                    continue;
                }
                Some('p' | 'P') => {
                    rest = unicode(out, rest)?;
                    continue;
                }
                _ => {}
            }
        }
        let start = rest;
        let (low, after) = class_char(here, rest)?;
        rest = after;
        if rest.starts_with('-') && !rest[1..].starts_with(']') && rest.len() > 1 {
            let (high, after) = class_char(here, &rest[1..])?;
            if high < low {
                return fail(
                    "invalid character class range",
                    &start[..start.len() - after.len()],
                );
            }
            push_literal(out, low);
            out.push('-');
            push_literal(out, high);
            rest = after;
        } else {
            push_literal(out, low);
        }
    }
}

fn class_char<'p>(class: &str, here: &'p str) -> Result<(char, &'p str), PatternError> {
    match here.chars().next() {
        None => fail("missing closing ]", class),
        Some('\\') => escaped(here),
        Some(c) => Ok((c, &here[c.len_utf8()..])),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_of_ascii_match_as_all_texts_do(
            pattern in "(\\[\\^?[a-c^-]{1,3}\\]|\\.|[abK]|\\\\[dDsSwWbB]|\\(\\?[is]\\)|[|*+?$^]|\\(a|\\)){1,6}",
            text in "[a-cAK \n0]{0,8}",
        ) {
            let matches = |re: Compiled| -> Result<Vec<_>, _> {
                let re = re?;
                Ok::<_, PatternError>(re.regex.find_iter(text.as_bytes()).map(|found| found.range()).collect())
            };
            prop_assert_eq!(
                matches(Re2::cached_for(&pattern, text.as_bytes())),
                matches(Re2::cached(&pattern))
            );
        }
    }
}
