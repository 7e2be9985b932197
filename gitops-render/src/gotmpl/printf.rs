//! Go's `fmt` package: how values are printed.
//!
//! Follows `fmt` and `strconv` of Go 1.26: [`print()`] is `%v`, [`sprintf`] the
//! whole language of verbs and flags, down to the texts for wrong verbs
//! (`%!d(string=x)`).
//!
//! Floats have three rules in a Helm chart and this module knows the first:
//! `%v` and `%g` write the shortest digits that read back the same and switch
//! to an exponent below 1e-4 and from 1e6 on, so `1000000` from a file prints
//! `1e+06`. JSON and YAML have rules of their own, in their encoders.

use super::stack::deeper;
use super::text::Str;
use super::value::{Kind, LEVELS_PER_STACK_CHECK, MAX_NESTING, Object, Value};

mod floats;
mod quote;
mod scalars;

use floats::push_float;
pub(super) use floats::push_integer;
pub(crate) use quote::decode;
use quote::{LOWER, UPPER, push_char, push_quoted};

/// Why a text is not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Maps or lists nest deeper than [`MAX_NESTING`]: only one that contains
    /// itself gets there.
    TooDeep,
    /// The text would be longer than it may be. What is small in memory can be
    /// long: a list may hold another one many times.
    TooLong,
}

/// Appends a value as `%v`, which is how an action prints.
///
/// # Errors
///
/// Fails if `out` would be longer than `limit` bytes, or for what nests too
/// deeply. What was appended is then the beginning of the text.
pub fn print(out: &mut Vec<u8>, value: &Value, limit: usize) -> Result<(), Cut> {
    match value {
        Value::Str(text) => push_within(out, text.as_bytes(), limit)?,
        Value::Int(number) | Value::Int64(number) => push_integer(out, *number),
        Value::Float(number) => push_float(out, *number),
        Value::Bool(flag) => out.extend_from_slice(if *flag { b"true" } else { b"false" }),
        _ => {
            let mut printer = Printer::new(out, limit);
            printer.argument(value, 'v');
            return printer.finish();
        }
    }
    Ok(())
}

/// A value as `%v`, for messages: what is longer than a MiB is cut off, and what
/// nests too deeply.
pub fn sprint(value: &Value) -> Str {
    match value {
        Value::Str(text) => text.clone(),
        Value::Bool(true) => "true".into(),
        Value::Bool(false) => "false".into(),
        _ => {
            let mut out = Vec::new();
            // The beginning of a value tells which it is.
            let _ = print(&mut out, value, 1 << 20);
            out.into()
        }
    }
}

/// Go's `fmt.Sprint`: a space between two operands of which neither is a
/// string.
///
/// # Errors
///
/// As [`print()`].
pub fn print_all(out: &mut Vec<u8>, values: &[Value], limit: usize) -> Result<(), Cut> {
    let mut text_before = true;
    for value in values {
        let text = value.kind() == Kind::String;
        if !text && !text_before {
            out.push(b' ');
        }
        print(out, value, limit)?;
        text_before = text;
    }
    Ok(())
}

/// Go's `fmt.Sprintln`: spaces between all operands, and a newline.
///
/// # Errors
///
/// As [`print()`].
pub fn println_all(out: &mut Vec<u8>, values: &[Value], limit: usize) -> Result<(), Cut> {
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        print(out, value, limit)?;
    }
    out.push(b'\n');
    Ok(())
}

/// Appends what Go's `fmt.Sprintf` returns.
///
/// # Errors
///
/// As [`print()`].
pub fn sprintf(
    out: &mut Vec<u8>,
    format: &[u8],
    values: &[Value],
    limit: usize,
) -> Result<(), Cut> {
    let mut printer = Printer::new(out, limit);
    printer.format(format, values);
    printer.finish()
}

fn push_within(out: &mut Vec<u8>, text: &[u8], limit: usize) -> Result<(), Cut> {
    if text.len() > limit.saturating_sub(out.len()) {
        return Err(Cut::TooLong);
    }
    out.extend_from_slice(text);
    Ok(())
}

/// The shortest text of a float, as `%v` writes it.
pub fn float_text(number: f64) -> String {
    let mut out = Vec::new();
    push_float(&mut out, number);
    String::from_utf8(out).expect("digits are ASCII")
}

/// Go's `strconv.Quote`: a double-quoted literal with escapes for what is not
/// printable.
pub fn quote(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    push_quoted(&mut out, text, '"', false);
    String::from_utf8(out).expect("invalid bytes are escaped")
}

/// The widths and precisions beyond which Go reads a number as missing.
const MAX_NUMBER: i64 = 1_000_000;

/// What Go prints for an address; addresses differ from run to run, so this
/// one is always the same.
const ADDRESS: u64 = 0xc0_0000_0000;

#[derive(Clone, Copy, Default)]
struct Flags {
    width: Option<usize>,
    precision: Option<usize>,
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    /// `%+v`: field names.
    plus_v: bool,
    /// `%#v`: Go syntax.
    sharp_v: bool,
}

struct Printer<'o> {
    out: &'o mut Vec<u8>,
    limit: usize,
    flags: Flags,
    /// Inside the text for a wrong verb, where methods are not called.
    erroring: bool,
    /// Something was left out.
    cut: Option<Cut>,
}

impl<'o> Printer<'o> {
    fn new(out: &'o mut Vec<u8>, limit: usize) -> Self {
        Printer {
            out,
            limit,
            flags: Flags::default(),
            erroring: false,
            cut: None,
        }
    }

    fn push(&mut self, text: &[u8]) {
        self.out.extend_from_slice(text);
    }

    /// Whether to go on; nobody does once something was left out.
    fn goes_on(&mut self, depth: usize) -> bool {
        if self.cut.is_none() {
            if self.out.len() > self.limit {
                self.cut = Some(Cut::TooLong);
            } else if depth > MAX_NESTING {
                self.cut = Some(Cut::TooDeep);
            }
        }
        self.cut.is_none()
    }

    fn finish(mut self) -> Result<(), Cut> {
        self.goes_on(0);
        self.cut.map_or(Ok(()), Err)
    }

    // ---- the format string ----

    fn format(&mut self, format: &[u8], values: &[Value]) {
        let end = format.len();
        let mut at = 0;
        let mut next = 0;
        let mut reordered = false;
        while at < end {
            if !self.goes_on(0) {
                return;
            }
            let percent = memchr::memchr(b'%', &format[at..]).map_or(end, |offset| at + offset);
            self.push(&format[at..percent]);
            at = percent;
            if at >= end {
                break;
            }
            at += 1;

            self.flags = Flags::default();
            let mut simple = None;
            while at < end {
                match format[at] {
                    b'#' => self.flags.sharp = true,
                    b'0' => self.flags.zero = true,
                    b'+' => self.flags.plus = true,
                    b'-' => self.flags.minus = true,
                    b' ' => self.flags.space = true,
                    letter => {
                        if letter.is_ascii_lowercase() && next < values.len() {
                            simple = Some(char::from(letter));
                        }
                        break;
                    }
                }
                at += 1;
            }
            if let Some(verb) = simple {
                self.verb(&values[next], verb);
                next += 1;
                at += 1;
                continue;
            }

            let mut good_index = true;
            let mut after_index = false;
            let mut index = |at: &mut usize, next: &mut usize, good: &mut bool| -> bool {
                if format.get(*at) != Some(&b'[') {
                    return false;
                }
                reordered = true;
                let (parsed, width) = bracketed(&format[*at..]);
                *at += width;
                match parsed {
                    Some(number) if number < values.len() => {
                        *next = number;
                        true
                    }
                    parsed => {
                        *good = false;
                        parsed.is_some()
                    }
                }
            };
            after_index |= index(&mut at, &mut next, &mut good_index);

            if format.get(at) == Some(&b'*') {
                at += 1;
                match star(values, &mut next) {
                    Some(width) => {
                        if width < 0 {
                            self.flags.minus = true;
                            self.flags.zero = false;
                        }
                        self.flags.width = Some(width.unsigned_abs() as usize);
                    }
                    None => self.push(b"%!(BADWIDTH)"),
                }
                after_index = false;
            } else {
                self.flags.width = number(format, &mut at);
                if after_index && self.flags.width.is_some() {
                    good_index = false;
                }
            }

            if at + 1 < end && format[at] == b'.' {
                at += 1;
                if after_index {
                    good_index = false;
                }
                after_index = index(&mut at, &mut next, &mut good_index);
                if format.get(at) == Some(&b'*') {
                    at += 1;
                    match star(values, &mut next) {
                        Some(precision) if precision >= 0 => {
                            self.flags.precision = Some(precision as usize);
                        }
                        _ => self.push(b"%!(BADPREC)"),
                    }
                    after_index = false;
                } else {
                    self.flags.precision = Some(number(format, &mut at).unwrap_or(0));
                }
            }

            if !after_index {
                index(&mut at, &mut next, &mut good_index);
            }

            if at >= end {
                self.push(b"%!(NOVERB)");
                break;
            }
            let (verb, size) = decode(&format[at..]);
            at += size;
            if verb == '%' {
                self.out.push(b'%');
            } else if !good_index {
                self.push(b"%!");
                push_char(self.out, verb);
                self.push(b"(BADINDEX)");
            } else if next >= values.len() {
                self.push(b"%!");
                push_char(self.out, verb);
                self.push(b"(MISSING)");
            } else {
                self.verb(&values[next], verb);
                next += 1;
            }
        }

        if !reordered && next < values.len() {
            self.flags = Flags::default();
            self.push(b"%!(EXTRA ");
            for (index, value) in values[next..].iter().enumerate() {
                if index > 0 {
                    self.push(b", ");
                }
                if matches!(value, Value::Nil) {
                    self.push(b"<nil>");
                } else {
                    self.push(value.type_name().as_bytes());
                    self.out.push(b'=');
                    self.argument(value, 'v');
                }
            }
            self.out.push(b')');
        }
    }

    /// One operand with its flags.
    fn verb(&mut self, value: &Value, verb: char) {
        if matches!(verb, 'v' | 'w') {
            self.flags.sharp_v = std::mem::take(&mut self.flags.sharp);
            self.flags.plus_v = std::mem::take(&mut self.flags.plus);
        }
        self.argument(value, verb);
    }

    // ---- values ----

    /// An operand at the top level.
    fn argument(&mut self, value: &Value, verb: char) {
        if matches!(value, Value::Nil) {
            match verb {
                'T' | 'v' => self.pad(b"<nil>"),
                _ => self.bad_verb(value, verb),
            }
            return;
        }
        match verb {
            'T' => {
                let name = value.type_name();
                self.text(name.as_bytes());
            }
            'p' => match value.kind() {
                Kind::Map | Kind::Slice | Kind::Ptr => self.pointer(value, 'p'),
                _ => self.bad_verb(value, verb),
            },
            // `%w` wraps errors, in `Errorf` only.
            'w' if !matches!(value, Value::Bytes(_))
                && matches!(
                    value.kind(),
                    Kind::Slice | Kind::Map | Kind::Struct | Kind::Ptr
                ) =>
            {
                self.bad_verb(value, verb);
            }
            _ => self.value(value, verb, 0),
        }
    }

    fn value(&mut self, value: &Value, verb: char, depth: usize) {
        if !self.goes_on(depth) {
            return;
        }
        match depth % LEVELS_PER_STACK_CHECK {
            1 => deeper(|| self.value_here(value, verb, depth)),
            _ => self.value_here(value, verb, depth),
        }
    }

    fn value_here(&mut self, value: &Value, verb: char, depth: usize) {
        match value {
            // Inside a list or map an empty interface prints so for any verb.
            Value::Nil if self.flags.sharp_v => self.push(b"interface {}(nil)"),
            Value::Nil => self.push(b"<nil>"),
            Value::Bool(flag) => match verb {
                't' | 'v' => self.pad(if *flag { b"true" } else { b"false" }),
                _ => self.bad_verb(value, verb),
            },
            Value::Int(number) | Value::Int64(number) => {
                self.integer(value, *number as u64, true, verb);
            }
            Value::Int32(number) => self.integer(value, i64::from(*number) as u64, true, verb),
            Value::Uint64(number) => self.integer(value, *number, false, verb),
            Value::Uint32(number) => self.integer(value, (*number).into(), false, verb),
            Value::Uint8(number) => self.integer(value, (*number).into(), false, verb),
            Value::Float(number) => self.float(value, *number, verb),
            Value::Complex(real, imaginary) => match verb {
                'v' | 'b' | 'g' | 'G' | 'x' | 'X' | 'f' | 'F' | 'e' | 'E' => {
                    let plus = self.flags.plus;
                    self.out.push(b'(');
                    self.float(value, *real, verb);
                    self.flags.plus = true;
                    self.float(value, *imaginary, verb);
                    self.push(b"i)");
                    self.flags.plus = plus;
                }
                _ => self.bad_verb(value, verb),
            },
            Value::Str(text) => self.string(value, text.as_bytes(), verb),
            Value::Bytes(bytes) => match verb {
                's' => {
                    let text = self.truncate(bytes).to_vec();
                    self.pad(&text);
                }
                'x' => self.hex(bytes, LOWER),
                'X' => self.hex(bytes, UPPER),
                'q' => self.quoted(bytes),
                _ => self.slice(value, verb, depth),
            },
            Value::List(_) | Value::Strings(_) | Value::Ints(_) | Value::Lists(_) => {
                self.slice(value, verb, depth);
            }
            Value::Map(map) => {
                let sharp_v = self.flags.sharp_v;
                if sharp_v {
                    self.push(map.kind().type_name().as_bytes());
                    if map.is_nil() {
                        self.push(b"(nil)");
                        return;
                    }
                    self.out.push(b'{');
                } else {
                    self.push(b"map[");
                }
                let mut first = true;
                let _: Result<(), Cut> = map.visit(|key, element| {
                    if !std::mem::take(&mut first) {
                        self.push(if sharp_v { b", " } else { b" " });
                    }
                    self.string(&Value::Str(key.clone()), key.as_bytes(), verb);
                    self.out.push(b':');
                    self.value(element, verb, depth + 1);
                    self.cut.map_or(Ok(()), Err)
                });
                self.out.push(if sharp_v { b'}' } else { b']' });
            }
            Value::Object(object) => self.object(value, &**object, verb, depth),
        }
    }

    fn slice(&mut self, value: &Value, verb: char, depth: usize) {
        let elements = value.elements().unwrap_or_default();
        let sharp_v = self.flags.sharp_v;
        if sharp_v {
            // Go names bytes differently where it takes its short way.
            match value {
                Value::Bytes(_) if depth == 0 && matches!(verb, 'v' | 'd') => {
                    self.push(b"[]byte");
                }
                _ => self.push(value.type_name().as_bytes()),
            }
            if value.is_nil() {
                self.push(b"(nil)");
                return;
            }
        }
        self.out.push(if sharp_v { b'{' } else { b'[' });
        for (index, element) in elements.iter().enumerate() {
            if index > 0 {
                self.push(if sharp_v { b", " } else { b" " });
            }
            self.value(element, verb, depth + 1);
            if self.cut.is_some() {
                return;
            }
        }
        self.out.push(if sharp_v { b'}' } else { b']' });
    }

    fn object(&mut self, value: &Value, object: &dyn Object, verb: char, depth: usize) {
        if !self.erroring
            && !self.flags.sharp_v
            && matches!(verb, 'v' | 's' | 'x' | 'X' | 'q')
            && let Some(text) = object.text()
        {
            self.string(value, text.as_bytes(), verb);
            return;
        }
        match object.kind() {
            Kind::Struct => self.fields(value, object, verb, depth),
            Kind::Ptr if depth == 0 => {
                self.out.push(b'&');
                self.fields(value, object, verb, depth);
            }
            Kind::Ptr => self.pointer(value, verb),
            Kind::Map => {
                self.push(b"map[");
                for (index, (key, element)) in object.entries().iter().enumerate() {
                    if index > 0 {
                        self.out.push(b' ');
                    }
                    self.string(&Value::Str(key.clone()), key.as_bytes(), verb);
                    self.out.push(b':');
                    self.value(element, verb, depth + 1);
                }
                self.out.push(b']');
            }
            Kind::Slice => self.slice(value, verb, depth),
            _ => match object.number() {
                Some(number) => self.value(&number, verb, depth),
                None => self.bad_verb(value, verb),
            },
        }
    }

    fn fields(&mut self, value: &Value, object: &dyn Object, verb: char, depth: usize) {
        let sharp_v = self.flags.sharp_v;
        if sharp_v {
            let name = value.type_name();
            self.push(name.trim_start_matches('*').as_bytes());
        }
        self.out.push(b'{');
        for (index, (name, field)) in object.entries().iter().enumerate() {
            if index > 0 {
                self.push(if sharp_v { b", " } else { b" " });
            }
            if sharp_v || self.flags.plus_v {
                self.push(name.as_bytes());
                self.out.push(b':');
            }
            self.value(field, verb, depth + 1);
        }
        self.out.push(b'}');
    }

    fn pointer(&mut self, value: &Value, verb: char) {
        match verb {
            'v' | 'p' => {
                let sharp = self.flags.sharp;
                self.flags.sharp = !sharp;
                self.fixed(ADDRESS, 16, false, 'v', LOWER);
                self.flags.sharp = sharp;
            }
            'b' | 'o' | 'd' | 'x' | 'X' => self.integer(value, ADDRESS, false, verb),
            _ => self.bad_verb(value, verb),
        }
    }

    fn bad_verb(&mut self, value: &Value, verb: char) {
        self.erroring = true;
        self.push(b"%!");
        push_char(self.out, verb);
        self.out.push(b'(');
        if matches!(value, Value::Nil) {
            self.push(b"<nil>");
        } else {
            self.push(value.type_name().as_bytes());
            self.out.push(b'=');
            self.value(value, 'v', 0);
        }
        self.out.push(b')');
        self.erroring = false;
    }
}

/// The decimal number at `at`, if there is one that Go accepts.
fn number(format: &[u8], at: &mut usize) -> Option<usize> {
    let mut found = None;
    while let Some(digit) = format.get(*at).filter(|byte| byte.is_ascii_digit()) {
        let so_far = found.unwrap_or(0);
        if so_far as i64 > MAX_NUMBER {
            *at = format.len();
            return None;
        }
        found = Some(so_far * 10 + usize::from(digit - b'0'));
        *at += 1;
    }
    found
}

/// The index in `[n]` at the start of `format`, from 0, and the bytes to skip.
/// An index of `[0]` is parsed but out of range.
fn bracketed(format: &[u8]) -> (Option<usize>, usize) {
    if format.len() < 3 {
        return (None, 1);
    }
    let Some(close) = memchr::memchr(b']', format) else {
        return (None, 1);
    };
    let mut at = 1;
    match number(&format[..close], &mut at) {
        Some(number) if at == close => (Some(number.wrapping_sub(1)), close + 1),
        _ => (None, close + 1),
    }
}

/// The argument of a `*`.
fn star(values: &[Value], next: &mut usize) -> Option<i64> {
    let value = values.get(*next)?;
    *next += 1;
    let number = match value {
        Value::Int(number) | Value::Int64(number) => *number,
        Value::Int32(number) => (*number).into(),
        Value::Uint64(number) => i64::try_from(*number).ok()?,
        Value::Uint32(number) => (*number).into(),
        Value::Uint8(number) => (*number).into(),
        _ => return None,
    };
    (-MAX_NUMBER..=MAX_NUMBER)
        .contains(&number)
        .then_some(number)
}
