//! Regular expressions, by [`crate::re2`].

use std::rc::Rc;

use regex::bytes::Match;

use crate::gotmpl::{Args, Context, Failure, Function, Slice, Str, Type, Value, printf};
use crate::re2::Re2;

const S: Type = Type::Str;
const LIST: Type = Type::Strings;

pub(super) const FUNCTIONS: &[Function] = &[
    // A pattern that cannot be compiled matches nothing, without a word.
    Function::new("regexMatch", &[S, S], Type::Bool, |_, args| {
        let text = args.str(1).as_bytes();
        let re = Re2::cached_for(&args.str(0).to_text(), text);
        Ok(Value::Bool(re.is_ok_and(|re| re.regex.is_match(text))))
    }),
    Function::new("mustRegexMatch", &[S, S], Type::Bool, |_, args| {
        let re = must(args)?;
        Ok(Value::Bool(re.regex.is_match(args.str(1).as_bytes())))
    }),
    Function::new("regexFind", &[S, S], S, |_, args| {
        Ok(find(&*compiled(args)?, args.str(1)))
    }),
    Function::new("mustRegexFind", &[S, S], S, |_, args| {
        Ok(find(&*must(args)?, args.str(1)))
    }),
    Function::new("regexFindAll", &[S, S, Type::Int], LIST, |context, args| {
        find_all(context, &*compiled(args)?, args.str(1), args.int(2))
    }),
    Function::new(
        "mustRegexFindAll",
        &[S, S, Type::Int],
        LIST,
        |context, args| find_all(context, &*must(args)?, args.str(1), args.int(2)),
    ),
    Function::new("regexReplaceAll", &[S, S, S], S, |context, args| {
        replace(context, &*compiled(args)?, args.str(1), args.str(2))
    }),
    Function::new("mustRegexReplaceAll", &[S, S, S], S, |context, args| {
        replace(context, &*must(args)?, args.str(1), args.str(2))
    }),
    Function::new("regexReplaceAllLiteral", &[S, S, S], S, |context, args| {
        literally(context, &*compiled(args)?, args.str(1), args.str(2))
    }),
    Function::new(
        "mustRegexReplaceAllLiteral",
        &[S, S, S],
        S,
        |context, args| literally(context, &*must(args)?, args.str(1), args.str(2)),
    ),
    Function::new("regexSplit", &[S, S, Type::Int], LIST, |context, args| {
        split(context, &*compiled(args)?, args.str(1), args.int(2))
    }),
    Function::new(
        "mustRegexSplit",
        &[S, S, Type::Int],
        LIST,
        |context, args| split(context, &*must(args)?, args.str(1), args.int(2)),
    ),
    Function::new("regexQuoteMeta", &[S], S, |_, args| {
        let mut out = Vec::new();
        for byte in args.str(0).as_bytes() {
            if br"\.+*?()|[]{}^$".contains(byte) {
                out.push(b'\\');
            }
            out.push(*byte);
        }
        Ok(Value::Str(Str::from_bytes(&out)))
    }),
];

/// The first argument, a pattern, for the second, a text. The functions without
/// `must` panic, and Go's panic quotes the pattern.
fn compiled(args: &Args<'_>) -> Result<Rc<Re2>, Failure> {
    let pattern = args.str(0).to_text();
    Re2::cached_for(&pattern, args.str(1).as_bytes()).map_err(|error| {
        let quoted = if pattern.contains('`') {
            printf::quote(pattern.as_bytes())
        } else {
            format!("`{pattern}`")
        };
        Failure::new(format!("regexp: Compile({quoted}): {error}"))
    })
}

fn must(args: &Args<'_>) -> Result<Rc<Re2>, Failure> {
    Re2::cached_for(&args.str(0).to_text(), args.str(1).as_bytes())
        .map_err(|error| Failure::new(error.to_string()))
}

fn bytes(text: &[u8]) -> Value {
    Value::Str(Str::from_bytes(text))
}

fn find(re: &Re2, text: &Str) -> Value {
    let found = re.regex.find(text.as_bytes());
    bytes(found.map_or(b"", |found| found.as_bytes()))
}

fn find_all(context: &mut Context<'_>, re: &Re2, text: &Str, most: i64) -> Result<Value, Failure> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut all = Vec::new();
    for found in matches(re, text.as_bytes()).take(most) {
        context.charge_elements(1)?;
        all.push(Str::from_bytes(found.as_bytes()));
    }
    if all.is_empty() {
        return Ok(Value::Strings(Slice::nil()));
    }
    Ok(Value::Strings(all.into()))
}

fn replace(context: &Context<'_>, re: &Re2, text: &Str, with: &Str) -> Result<Value, Failure> {
    let text = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    for found in re.regex.captures_iter(text) {
        let whole = found.get(0).expect("a match is its own first group");
        if !is_go_match(text, &whole) {
            continue;
        }
        out.extend_from_slice(&text[at..whole.start()]);
        re.expand(&found, with.as_bytes(), &mut out);
        context.check(out.len())?;
        at = whole.end();
    }
    out.extend_from_slice(&text[at..]);
    Ok(bytes(&out))
}

fn literally(context: &Context<'_>, re: &Re2, text: &Str, with: &Str) -> Result<Value, Failure> {
    let text = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    for found in matches(re, text) {
        out.extend_from_slice(&text[at..found.start()]);
        out.extend_from_slice(with.as_bytes());
        context.check(out.len())?;
        at = found.end();
    }
    out.extend_from_slice(&text[at..]);
    Ok(bytes(&out))
}

/// The matches that Go finds.
fn matches<'t>(re: &Re2, text: &'t [u8]) -> impl Iterator<Item = Match<'t>> {
    re.regex
        .find_iter(text)
        .filter(|found| is_go_match(text, found))
}

/// Whether Go finds this match too: it goes on by characters, so that none is
/// empty within one.
fn is_go_match(text: &[u8], found: &Match<'_>) -> bool {
    let within = |back: usize| {
        let Some(from) = found.start().checked_sub(back) else {
            return false;
        };
        printf::decode(&text[from..]).1 > back
    };
    !found.is_empty() || !(1..4).any(within)
}

fn split(context: &mut Context<'_>, re: &Re2, text: &Str, most: i64) -> Result<Value, Failure> {
    if most == 0 {
        return Ok(Value::Strings(Slice::nil()));
    }
    let text = text.as_bytes();
    if text.is_empty() && !re.pattern.is_empty() {
        return Ok(Value::Strings(vec![Str::new()].into()));
    }
    let mut parts: Vec<Str> = Vec::new();
    let (mut start, mut end) = (0, 0);
    for found in matches(re, text) {
        if most > 0 && parts.len() as i64 == most - 1 {
            break;
        }
        context.charge_elements(1)?;
        end = found.start();
        if found.end() != 0 {
            parts.push(Str::from_bytes(&text[start..end]));
        }
        start = found.end();
    }
    if end != text.len() {
        parts.push(Str::from_bytes(&text[start..]));
    }
    Ok(Value::Strings(parts.into()))
}
