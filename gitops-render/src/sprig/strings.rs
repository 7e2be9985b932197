//! Texts. Lengths and positions are in bytes, as in Go.

use super::words;
use super::{out_of_range, strval};
use crate::gotmpl::{Context, Failure, Function, Map, MapKind, Str, Type, Value, printf};

const S: Type = Type::Str;
const I: Type = Type::Int;
const ANY: Type = Type::Any;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("hello", &[], S, |_, _| Ok("Hello!".into())),
    Function::new("abbrev", &[I, S], S, |_, args| {
        let (width, text) = (args.int(0), args.str(1));
        if width < 4 {
            return Ok(text.clone().into());
        }
        abbreviate(text.as_bytes(), 0, width).map(bytes)
    }),
    Function::new("abbrevboth", &[I, I, S], S, |_, args| {
        let (left, right, text) = (args.int(0), args.int(1), args.str(2));
        if right < 4 || (left > 0 && right < 7) {
            return Ok(text.clone().into());
        }
        abbreviate(text.as_bytes(), left, right).map(bytes)
    }),
    Function::new("trunc", &[I, S], S, |_, args| {
        let (count, text) = (args.int(0), args.str(1));
        let len = text.len() as i64;
        let text = text.as_bytes();
        Ok(bytes(if count < 0 && len + count > 0 {
            &text[(len + count) as usize..]
        } else if count >= 0 && len > count {
            &text[..count as usize]
        } else {
            text
        }))
    }),
    Function::new("trim", &[S], S, |_, args| {
        Ok(map_text(args.str(0), |text| {
            text.trim_matches(is_space).into()
        }))
    }),
    Function::new("upper", &[S], S, |_, args| {
        Ok(map_text(args.str(0), |text| {
            text.chars().map(upper).collect()
        }))
    }),
    Function::new("lower", &[S], S, |_, args| {
        Ok(map_text(args.str(0), |text| {
            text.chars().map(lower).collect()
        }))
    }),
    Function::new("title", &[S], S, |_, args| Ok(map_text(args.str(0), title))),
    Function::new("untitle", &[S], S, |_, args| {
        Ok(map_text(args.str(0), untitle))
    }),
    Function::new("substr", &[I, I, S], S, |_, args| {
        let (start, end, text) = (args.int(0), args.int(1), args.str(2).as_bytes());
        let len = text.len() as i64;
        if start < 0 {
            return match usize::try_from(end) {
                Ok(end) if end <= text.len() => Ok(bytes(&text[..end])),
                Ok(_) => Err(out_of_range(format!("[:{end}] with length {len}"))),
                Err(_) => Err(out_of_range(format!("[:{end}]"))),
            };
        }
        if end < 0 || end > len {
            return match text.get(start as usize..) {
                Some(text) => Ok(bytes(text)),
                None => Err(out_of_range(format!("[{start}:{len}]"))),
            };
        }
        match text.get(start as usize..end as usize) {
            Some(text) => Ok(bytes(text)),
            None => Err(out_of_range(format!("[{start}:{end}]"))),
        }
    }),
    Function::new("repeat", &[I, S], S, |context, args| {
        let count = usize::try_from(args.int(0))
            .map_err(|_| Failure::new("strings: negative Repeat count"))?;
        let text = args.str(1);
        context.charge(text.len().saturating_mul(count))?;
        Ok(bytes(text.as_bytes().repeat(count)))
    }),
    Function::new("trimall", &[S, S], S, trim_all),
    Function::new("trimAll", &[S, S], S, trim_all),
    Function::new("trimSuffix", &[S, S], S, |_, args| {
        let (suffix, text) = (args.str(0).as_bytes(), args.str(1).as_bytes());
        Ok(bytes(text.strip_suffix(suffix).unwrap_or(text)))
    }),
    Function::new("trimPrefix", &[S, S], S, |_, args| {
        let (prefix, text) = (args.str(0).as_bytes(), args.str(1).as_bytes());
        Ok(bytes(text.strip_prefix(prefix).unwrap_or(text)))
    }),
    Function::new("nospace", &[S], S, |_, args| {
        // The library walks bytes and writes each as a character of its own.
        let text = args.str(0);
        let kept: String = text
            .as_bytes()
            .iter()
            .map(|byte| char::from(*byte))
            .filter(|c| !is_space(*c))
            .collect();
        if kept.chars().count() == text.len() {
            return Ok(text.clone().into());
        }
        Ok(kept.into())
    }),
    Function::new("initials", &[S], S, |_, args| {
        let mut initials = String::new();
        let mut gap = true;
        for byte in args.str(0).as_bytes() {
            let letter = char::from(*byte);
            if is_space(letter) {
                gap = true;
            } else if std::mem::take(&mut gap) {
                initials.push(letter);
            }
        }
        Ok(initials.into())
    }),
    Function::new("swapcase", &[S], S, |_, args| {
        Ok(map_text(args.str(0), |text| {
            text.chars()
                .map(|c| if c.is_lowercase() { upper(c) } else { lower(c) })
                .collect()
        }))
    }),
    Function::new("snakecase", &[S], S, |_, args| {
        Ok(map_text(args.str(0), |text| words::separated(text, '_')))
    }),
    Function::new("kebabcase", &[S], S, |_, args| {
        Ok(map_text(args.str(0), |text| words::separated(text, '-')))
    }),
    Function::new("camelcase", &[S], S, |_, args| {
        Ok(map_text(args.str(0), words::pascal))
    }),
    Function::new("wrap", &[I, S], S, |_, args| {
        Ok(bytes(wrap(
            args.str(1).as_bytes(),
            args.int(0),
            b"\n",
            false,
        )))
    }),
    Function::new("wrapWith", &[I, S, S], S, |context, args| {
        let separator = match args.str(1).as_bytes() {
            b"" => b"\n",
            separator => separator,
        };
        let lines = args.str(2).len() / usize::try_from(args.int(0)).unwrap_or(0).max(1);
        context.check(lines.saturating_mul(separator.len()))?;
        Ok(bytes(wrap(
            args.str(2).as_bytes(),
            args.int(0),
            separator,
            true,
        )))
    }),
    Function::new("contains", &[S, S], Type::Bool, |_, args| {
        let (needle, text) = (args.str(0).as_bytes(), args.str(1).as_bytes());
        Ok(Value::Bool(memchr::memmem::find(text, needle).is_some()))
    }),
    Function::new("hasPrefix", &[S, S], Type::Bool, |_, args| {
        Ok(Value::Bool(
            args.str(1).as_bytes().starts_with(args.str(0).as_bytes()),
        ))
    }),
    Function::new("hasSuffix", &[S, S], Type::Bool, |_, args| {
        Ok(Value::Bool(
            args.str(1).as_bytes().ends_with(args.str(0).as_bytes()),
        ))
    }),
    Function::variadic("quote", &[ANY], S, |context, args| {
        let mut out = String::new();
        for value in args.from(0) {
            if !matches!(value, Value::Nil) {
                if !out.is_empty() {
                    out.push(' ');
                }
                out.push_str(&printf::quote(strval(context, value)?.as_bytes()));
            }
        }
        Ok(out.into())
    }),
    Function::variadic("squote", &[ANY], S, |context, args| {
        let mut out = Vec::new();
        for value in args.from(0) {
            if !matches!(value, Value::Nil) {
                if !out.is_empty() {
                    out.push(b' ');
                }
                out.push(b'\'');
                out.extend_from_slice(context.sprint(value)?.as_bytes());
                out.push(b'\'');
            }
        }
        Ok(bytes(&out))
    }),
    Function::variadic("cat", &[ANY], S, |context, args| {
        let given = args.from(0).iter();
        let texts: Result<Vec<Str>, Failure> = given
            .filter(|value| !matches!(value, Value::Nil))
            .map(|value| context.sprint(value))
            .collect();
        joined(context, &texts?, b" ")
    }),
    Function::new("indent", &[I, S], S, |context, args| {
        let text = args.str(1);
        let mut out = Vec::new();
        indent(context, args.int(0), text.as_bytes(), &mut out)?;
        Ok(bytes(&out))
    }),
    Function::new("nindent", &[I, S], S, |context, args| {
        let text = args.str(1);
        let mut out = vec![b'\n'];
        indent(context, args.int(0), text.as_bytes(), &mut out)?;
        Ok(bytes(&out))
    }),
    Function::new("replace", &[S, S, S], S, |context, args| {
        let (old, new, text) = (args.str(0), args.str(1), args.str(2));
        if old.is_empty() {
            context.charge((text.len() + 1).saturating_mul(new.len() + 1))?;
            return Ok(bytes(between_characters(text.as_bytes(), new.as_bytes())));
        }
        let mut out = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some(at) = memchr::memmem::find(rest, old.as_bytes()) {
            out.extend_from_slice(&rest[..at]);
            out.extend_from_slice(new.as_bytes());
            context.check(out.len())?;
            rest = &rest[at + old.len()..];
        }
        out.extend_from_slice(rest);
        Ok(bytes(&out))
    }),
    Function::new("plural", &[S, S, I], S, |_, args| {
        let which = usize::from(args.int(2) != 1);
        Ok(args.take(which))
    }),
    Function::new("toString", &[ANY], S, |context, args| {
        strval(context, args.value(0)).map(Value::Str)
    }),
    Function::new("toStrings", &[ANY], Type::Strings, |context, args| {
        let texts = strslice(context, args.value(0))?;
        Ok(Value::Strings(texts.into()))
    }),
    Function::new("join", &[S, ANY], S, |context, args| {
        let texts = strslice(context, args.value(1))?;
        joined(context, &texts, args.str(0).as_bytes())
    }),
    Function::new("split", &[S, S], Type::StringMap, |context, args| {
        let parts = split(context, args.str(1), args.str(0), -1)?;
        Ok(numbered(parts))
    }),
    Function::new("splitn", &[S, I, S], Type::StringMap, |context, args| {
        let parts = split(context, args.str(2), args.str(0), args.int(1))?;
        Ok(numbered(parts))
    }),
    Function::new("splitList", &[S, S], Type::Strings, |context, args| {
        let parts = split(context, args.str(1), args.str(0), -1)?;
        Ok(Value::Strings(parts.into()))
    }),
    Function::new("sortAlpha", &[ANY], Type::Strings, |context, args| {
        let value = args.value(0);
        if value.elements().is_none() {
            return Ok(Value::Strings(vec![strval(context, value)?].into()));
        }
        let mut texts = strslice(context, value)?;
        texts.sort();
        Ok(Value::Strings(texts.into()))
    }),
    Function::new("atoi", &[S], I, |_, args| {
        let text = args.str(0).as_str().unwrap_or_default();
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        // Out of range, Go's parser returns the nearest number beside the
        // error that sprig throws away.
        let nearest = if text.starts_with('-') {
            i64::MIN
        } else {
            i64::MAX
        };
        Ok(Value::Int(match text.parse() {
            Ok(number) if plain => number,
            Err(_) if plain => nearest,
            _ => 0,
        }))
    }),
];

fn bytes(text: impl AsRef<[u8]>) -> Value {
    Value::Str(Str::from_bytes(text.as_ref()))
}

/// Applies `change` to what is UTF-8; each other byte becomes U+FFFD, as in
/// Go's loops over runes.
fn map_text(text: &Str, change: impl Fn(&str) -> String) -> Value {
    match text.as_str() {
        Some(text) => change(text).into(),
        None => change(&text.to_text()).into(),
    }
}

/// Go's `unicode.IsSpace`.
pub(super) fn is_space(c: char) -> bool {
    matches!(
        c,
        '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{85}' | '\u{a0}'
    ) || (c > '\u{ff}' && c.is_whitespace())
}

/// The simple mapping: characters whose capital is several stay as they are.
pub(super) fn upper(c: char) -> char {
    let mut mapped = c.to_uppercase();
    match (mapped.next(), mapped.next()) {
        (Some(upper), None) => upper,
        _ => c,
    }
}

pub(super) fn lower(c: char) -> char {
    if c == '\u{130}' {
        return 'i';
    }
    let mut mapped = c.to_lowercase();
    match (mapped.next(), mapped.next()) {
        (Some(lower), None) => lower,
        _ => c,
    }
}

fn title(text: &str) -> String {
    let separates = |c: char| {
        if c.is_ascii() {
            return !(c.is_ascii_alphanumeric() || c == '_');
        }
        !(c.is_alphabetic() || c.is_numeric()) && is_space(c)
    };
    let mut before = ' ';
    text.chars()
        .map(|c| {
            let start = separates(std::mem::replace(&mut before, c));
            if start { upper(c) } else { c }
        })
        .collect()
}

fn untitle(text: &str) -> String {
    let mut start = true;
    text.chars()
        .map(|c| {
            if is_space(c) {
                start = true;
                c
            } else if std::mem::take(&mut start) {
                lower(c)
            } else {
                c
            }
        })
        .collect()
}

fn trim_all(_: &mut Context<'_>, args: &mut crate::gotmpl::Args<'_>) -> Result<Value, Failure> {
    let cut = args.str(0).to_text().into_owned();
    Ok(map_text(args.str(1), |text| {
        text.trim_matches(|c| cut.contains(c)).to_owned()
    }))
}

fn abbreviate(text: &[u8], offset: i64, width: i64) -> Result<Vec<u8>, Failure> {
    let len = text.len() as i64;
    if len <= width {
        return Ok(text.to_vec());
    }
    let mut offset = offset.min(len);
    if len - offset < width - 3 {
        offset = len - (width - 3);
    }
    if offset <= 4 {
        let mut out = text[..(width - 3) as usize].to_vec();
        out.extend_from_slice(b"...");
        return Ok(out);
    }
    let mut out = b"...".to_vec();
    if offset + width - 3 < len {
        // The inner call refuses widths below four and yields nothing.
        if width - 3 >= 4 {
            out.extend(abbreviate(&text[offset as usize..], 0, width - 3)?);
        }
    } else {
        out.extend_from_slice(&text[(len - (width - 3)) as usize..]);
    }
    Ok(out)
}

/// Moves every line in; the output is checked before it is made.
fn indent(
    context: &mut Context<'_>,
    spaces: i64,
    text: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let spaces =
        usize::try_from(spaces).map_err(|_| Failure::new("strings: negative Repeat count"))?;
    let lines = memchr::memchr_iter(b'\n', text).count() + 1;
    let size = text.len() + lines.saturating_mul(spaces);
    context.charge(size)?;
    out.reserve(size);
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', text)
        .map(|at| at + 1)
        .chain([text.len()])
    {
        out.resize(out.len() + spaces, b' ');
        out.extend_from_slice(&text[start..end]);
        start = end;
    }
    Ok(())
}

/// `new` before every character and at the end.
fn between_characters(text: &[u8], new: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity((text.len() + 1) * (new.len() + 1));
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            out.extend_from_slice(new);
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        for byte in chunk.invalid() {
            out.extend_from_slice(new);
            out.push(*byte);
        }
    }
    out.extend_from_slice(new);
    out
}

/// Sprig's `strslice`: the texts of a list's elements; one text for anything
/// else.
fn strslice(context: &mut Context<'_>, value: &Value) -> Result<Vec<Str>, Failure> {
    let Some(elements) = value.elements() else {
        return match value {
            Value::Nil => Ok(Vec::new()),
            other => Ok(vec![strval(context, other)?]),
        };
    };
    let mut texts = Vec::with_capacity(elements.len());
    for element in &*elements {
        if matches!(element, Value::Nil) {
            continue;
        }
        let text = strval(context, element)?;
        if !matches!(element, Value::Str(_)) {
            context.charge(text.len())?;
        }
        texts.push(text);
    }
    Ok(texts)
}

/// The texts in a row; the output is checked before it is made.
fn joined(context: &Context<'_>, texts: &[Str], separator: &[u8]) -> Result<Value, Failure> {
    let texts: Vec<&[u8]> = texts.iter().map(Str::as_bytes).collect();
    let between = separator.len().saturating_mul(texts.len());
    context.check(
        texts
            .iter()
            .map(|text| text.len())
            .sum::<usize>()
            .saturating_add(between),
    )?;
    Ok(bytes(texts.join(separator)))
}

/// Go's `strings.SplitN`; all parts for a negative `most`.
fn split(
    context: &mut Context<'_>,
    text: &Str,
    separator: &Str,
    most: i64,
) -> Result<Vec<Str>, Failure> {
    if most == 0 {
        return Ok(Vec::new());
    }
    let mut parts = Vec::new();
    let full = |parts: &Vec<Str>| most > 0 && parts.len() as i64 == most - 1;
    let mut rest = text.as_bytes();
    if separator.is_empty() {
        while !rest.is_empty() && !full(&parts) {
            let (_, len) = printf::decode(rest);
            context.charge_elements(1)?;
            parts.push(Str::from_bytes(&rest[..len]));
            rest = &rest[len..];
        }
        if !rest.is_empty() {
            parts.push(Str::from_bytes(rest));
        }
        return Ok(parts);
    }
    while !full(&parts) {
        let Some(at) = memchr::memmem::find(rest, separator.as_bytes()) else {
            break;
        };
        context.charge_elements(1)?;
        parts.push(Str::from_bytes(&rest[..at]));
        rest = &rest[at + separator.len()..];
    }
    parts.push(Str::from_bytes(rest));
    Ok(parts)
}

fn numbered(parts: Vec<Str>) -> Value {
    let map: Map = parts
        .into_iter()
        .enumerate()
        .map(|(index, part)| (Str::from(format!("_{index}")), Value::Str(part)))
        .collect();
    Value::Map(map.with_kind(MapKind::Strings))
}

fn wrap(text: &[u8], width: i64, separator: &[u8], break_words: bool) -> Vec<u8> {
    let width = usize::try_from(width).unwrap_or(0).max(1);
    let mut out = Vec::with_capacity(text.len());
    let mut offset = 0;
    while text.len() - offset > width {
        if text[offset] == b' ' {
            offset += 1;
            continue;
        }
        let end = offset + width + 1;
        if let Some(space) = memchr::memrchr(b' ', &text[offset..end]) {
            out.extend_from_slice(&text[offset..offset + space]);
            out.extend_from_slice(separator);
            offset += space + 1;
        } else if break_words {
            out.extend_from_slice(&text[offset..offset + width]);
            out.extend_from_slice(separator);
            offset += width;
        } else {
            match memchr::memchr(b' ', &text[offset + width..]) {
                Some(space) => {
                    out.extend_from_slice(&text[offset..offset + width + space]);
                    out.extend_from_slice(separator);
                    offset += width + space + 1;
                }
                None => {
                    out.extend_from_slice(&text[offset..]);
                    offset = text.len();
                }
            }
        }
    }
    out.extend_from_slice(&text[offset..]);
    out
}
