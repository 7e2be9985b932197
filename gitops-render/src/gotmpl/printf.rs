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
use super::unicode::is_printable;
use super::value::{Kind, LEVELS_PER_STACK_CHECK, MAX_NESTING, Object, Value};

/// Appends a value as `%v`, which is how an action prints.
///
/// Returns whether everything was written: maps and lists nested deeper than
/// [`MAX_NESTING`] are cut off, because only one that contains itself gets
/// there.
#[must_use]
pub fn print(out: &mut Vec<u8>, value: &Value) -> bool {
    match value {
        Value::Str(text) => out.extend_from_slice(text.as_bytes()),
        Value::Int(number) | Value::Int64(number) => push_integer(out, *number),
        Value::Float(number) => push_float(out, *number),
        Value::Bool(flag) => out.extend_from_slice(if *flag { b"true" } else { b"false" }),
        _ => {
            let mut printer = Printer::new(out, usize::MAX);
            printer.argument(value, 'v');
            return !printer.cut;
        }
    }
    true
}

/// A value as `%v`. What is nested too deeply is cut off, see [`print()`].
pub fn sprint(value: &Value) -> Str {
    match value {
        Value::Str(text) => text.clone(),
        Value::Bool(true) => "true".into(),
        Value::Bool(false) => "false".into(),
        _ => {
            let mut out = Vec::new();
            // The result is the same text up to the cut, and a caller that
            // must know prints into its own buffer.
            let _ = print(&mut out, value);
            out.into()
        }
    }
}

/// Go's `fmt.Sprint`: a space between two operands of which neither is a
/// string.
#[must_use]
pub fn print_all(out: &mut Vec<u8>, values: &[Value]) -> bool {
    let mut complete = true;
    let mut text_before = true;
    for value in values {
        let text = value.kind() == Kind::String;
        if !text && !text_before {
            out.push(b' ');
        }
        complete &= print(out, value);
        text_before = text;
    }
    complete
}

/// Go's `fmt.Sprintln`: spaces between all operands, and a newline.
#[must_use]
pub fn println_all(out: &mut Vec<u8>, values: &[Value]) -> bool {
    let mut complete = true;
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        complete &= print(out, value);
    }
    out.push(b'\n');
    complete
}

/// Appends what Go's `fmt.Sprintf` returns, and says whether everything was
/// written: nothing is cut off and `out` did not grow past `limit` bytes.
#[must_use]
pub fn sprintf(out: &mut Vec<u8>, format: &[u8], values: &[Value], limit: usize) -> bool {
    let mut printer = Printer::new(out, limit);
    printer.format(format, values);
    !printer.cut
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

pub(super) fn push_integer(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    push_digits(out, number.unsigned_abs());
}

fn push_digits(out: &mut Vec<u8>, mut number: u64) {
    let mut buffer = [0; 20];
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&buffer[at..]);
}

fn push_float(out: &mut Vec<u8>, number: f64) {
    // Most numbers of a chart are small integers: ports, replicas, seconds.
    if number.fract() == 0.0 && number.abs() < 1e6 && !(number == 0.0 && number.is_sign_negative())
    {
        push_integer(out, number as i64);
    } else {
        format_float(out, number, 'g', None);
    }
}

fn push_quoted(out: &mut Vec<u8>, text: &[u8], quote: char, ascii: bool) {
    out.push(quote as u8);
    // Most texts that charts quote need no escapes at all.
    let plain = text
        .iter()
        .take_while(|byte| matches!(byte, b' '..=b'~') && **byte != b'\\' && **byte != quote as u8)
        .count();
    out.extend_from_slice(&text[..plain]);
    for chunk in text[plain..].utf8_chunks() {
        for c in chunk.valid().chars() {
            push_escaped(out, c, quote, ascii);
        }
        for byte in chunk.invalid() {
            push_hex_escape(out, b'x', u32::from(*byte), 2);
        }
    }
    out.push(quote as u8);
}

fn push_escaped(out: &mut Vec<u8>, c: char, quote: char, ascii: bool) {
    if c == quote || c == '\\' {
        out.push(b'\\');
        out.push(c as u8);
        return;
    }
    if (!ascii || c.is_ascii()) && is_printable(c) {
        push_char(out, c);
        return;
    }
    let escape = match c {
        '\x07' => b'a',
        '\x08' => b'b',
        '\x0c' => b'f',
        '\n' => b'n',
        '\r' => b'r',
        '\t' => b't',
        '\x0b' => b'v',
        c if c < ' ' || c == '\x7f' => return push_hex_escape(out, b'x', c.into(), 2),
        c if (c as u32) < 0x10000 => return push_hex_escape(out, b'u', c.into(), 4),
        c => return push_hex_escape(out, b'U', c.into(), 8),
    };
    out.extend_from_slice(&[b'\\', escape]);
}

fn push_hex_escape(out: &mut Vec<u8>, letter: u8, code: u32, digits: u32) {
    out.extend_from_slice(&[b'\\', letter]);
    for place in (0..digits).rev() {
        out.push(LOWER[(code >> (4 * place) & 15) as usize]);
    }
}

fn push_char(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

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
    cut: bool,
}

impl<'o> Printer<'o> {
    fn new(out: &'o mut Vec<u8>, limit: usize) -> Self {
        Printer {
            out,
            limit,
            flags: Flags::default(),
            erroring: false,
            cut: false,
        }
    }

    fn push(&mut self, text: &[u8]) {
        self.out.extend_from_slice(text);
    }

    // ---- the format string ----

    fn format(&mut self, format: &[u8], values: &[Value]) {
        let end = format.len();
        let mut at = 0;
        let mut next = 0;
        let mut reordered = false;
        while at < end {
            if self.out.len() > self.limit {
                self.cut = true;
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
        if self.out.len() > self.limit {
            self.cut = true;
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
        if depth > MAX_NESTING || self.out.len() > self.limit {
            self.cut = true;
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
                let _: Result<(), ()> = map.visit(|key, element| {
                    if !std::mem::take(&mut first) {
                        self.push(if sharp_v { b", " } else { b" " });
                    }
                    self.string(&Value::Str(key.clone()), key.as_bytes(), verb);
                    self.out.push(b':');
                    self.value(element, verb, depth + 1);
                    if self.cut { Err(()) } else { Ok(()) }
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
            if self.cut {
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

    // ---- scalars ----

    fn string(&mut self, value: &Value, text: &[u8], verb: char) {
        match verb {
            'v' if self.flags.sharp_v => self.quoted(text),
            'v' | 's' => self.text(text),
            'x' => self.hex(text, LOWER),
            'X' => self.hex(text, UPPER),
            'q' => self.quoted(text),
            _ => self.bad_verb(value, verb),
        }
    }

    fn integer(&mut self, value: &Value, bits: u64, signed: bool, verb: char) {
        match verb {
            'v' if self.flags.sharp_v && !signed => {
                let sharp = std::mem::replace(&mut self.flags.sharp, true);
                self.fixed(bits, 16, false, 'v', LOWER);
                self.flags.sharp = sharp;
            }
            'v' | 'd' => self.fixed(bits, 10, signed, verb, LOWER),
            'b' => self.fixed(bits, 2, signed, verb, LOWER),
            'o' | 'O' => self.fixed(bits, 8, signed, verb, LOWER),
            'x' => self.fixed(bits, 16, signed, verb, LOWER),
            'X' => self.fixed(bits, 16, signed, verb, UPPER),
            'c' => {
                let mut text = Vec::new();
                push_char(&mut text, rune(bits));
                self.pad(&text);
            }
            'q' => {
                let mut text = vec![b'\''];
                push_escaped(&mut text, rune(bits), '\'', self.flags.plus);
                text.push(b'\'');
                self.pad(&text);
            }
            'U' => {
                let mut text = format!("{bits:X}");
                let digits = self.flags.precision.unwrap_or(4).max(4);
                text = format!("U+{}{text}", "0".repeat(digits.saturating_sub(text.len())));
                if self.flags.sharp
                    && let Some(c) = u32::try_from(bits).ok().and_then(char::from_u32)
                    && is_printable(c)
                {
                    text.push_str(&format!(" '{c}'"));
                }
                let zero = std::mem::take(&mut self.flags.zero);
                self.pad(text.as_bytes());
                self.flags.zero = zero;
            }
            _ => self.bad_verb(value, verb),
        }
    }

    /// An integer in some base, with sign, prefix and zeros.
    fn fixed(&mut self, bits: u64, base: u64, signed: bool, verb: char, digits: &[u8; 16]) {
        let negative = signed && (bits as i64) < 0;
        let mut rest = if negative { bits.wrapping_neg() } else { bits };
        let flags = self.flags;
        let mut zeros = 0;
        if let Some(precision) = flags.precision {
            zeros = precision;
            if precision == 0 && rest == 0 {
                let zero = std::mem::take(&mut self.flags.zero);
                self.padding(flags.width.unwrap_or(0));
                self.flags.zero = zero;
                return;
            }
        } else if let (true, false, Some(width)) = (flags.zero, flags.minus, flags.width) {
            zeros = width;
            if negative || flags.plus || flags.space {
                zeros = zeros.saturating_sub(1);
            }
        }
        // Right to left, reversed at the end.
        let mut text = Vec::with_capacity(zeros.max(20) + 3);
        loop {
            text.push(digits[(rest % base) as usize]);
            rest /= base;
            if rest == 0 {
                break;
            }
        }
        while text.len() < zeros {
            text.push(b'0');
        }
        if flags.sharp {
            match base {
                2 => text.extend_from_slice(b"b0"),
                8 if text.last() != Some(&b'0') => text.push(b'0'),
                16 => text.extend_from_slice(if digits == UPPER { b"X0" } else { b"x0" }),
                _ => {}
            }
        }
        if verb == 'O' {
            text.extend_from_slice(b"o0");
        }
        if negative {
            text.push(b'-');
        } else if flags.plus {
            text.push(b'+');
        } else if flags.space {
            text.push(b' ');
        }
        text.reverse();
        let zero = std::mem::take(&mut self.flags.zero);
        self.pad(&text);
        self.flags.zero = zero;
    }

    fn float(&mut self, value: &Value, number: f64, verb: char) {
        let (form, precision) = match verb {
            'v' => ('g', None),
            'b' | 'g' | 'G' | 'x' | 'X' => (verb, None),
            'f' | 'e' | 'E' => (verb, Some(6)),
            'F' => ('f', Some(6)),
            _ => return self.bad_verb(value, verb),
        };
        let precision = self.flags.precision.or(precision);
        let flags = self.flags;
        let mut text = Vec::with_capacity(24);
        text.push(b'+');
        format_float(&mut text, number, form, precision);
        if matches!(text[1], b'-' | b'+') {
            text.remove(0);
        }
        if flags.space && text[0] == b'+' && !flags.plus {
            text[0] = b' ';
        }
        if matches!(text[1], b'I' | b'N') {
            if text[1] == b'N' && !flags.space && !flags.plus {
                text.remove(0);
            }
            // An infinity keeps the sign that Go wrote, `+Inf` included.
            let zero = std::mem::take(&mut self.flags.zero);
            self.pad(&text);
            self.flags.zero = zero;
            return;
        }
        if flags.sharp && form != 'b' {
            restore_zeros(&mut text, form, precision);
        }
        if flags.plus || text[0] != b'+' {
            if let (true, false, Some(width)) = (flags.zero, flags.minus, flags.width)
                && width > text.len()
            {
                self.out.push(text[0]);
                self.padding(width - text.len());
                self.push(&text[1..]);
                return;
            }
            self.pad(&text);
            return;
        }
        self.pad(&text[1..]);
    }

    fn text(&mut self, text: &[u8]) {
        let text = self.truncate(text);
        self.pad(text);
    }

    fn truncate<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        match self.flags.precision {
            None => text,
            Some(precision) => match character_starts(text).nth(precision) {
                Some(end) => &text[..end],
                None => text,
            },
        }
    }

    fn quoted(&mut self, text: &[u8]) {
        let text = self.truncate(text);
        let mut out = Vec::with_capacity(text.len() + 2);
        if self.flags.sharp && can_backquote(text) {
            out.push(b'`');
            out.extend_from_slice(text);
            out.push(b'`');
        } else {
            push_quoted(&mut out, text, '"', self.flags.plus);
        }
        self.pad(&out);
    }

    fn hex(&mut self, bytes: &[u8], digits: &[u8; 16]) {
        let flags = self.flags;
        let length = flags
            .precision
            .map_or(bytes.len(), |precision| precision.min(bytes.len()));
        if length == 0 {
            self.padding(flags.width.unwrap_or(0));
            return;
        }
        let x = if digits == UPPER { b'X' } else { b'x' };
        let mut text = Vec::with_capacity(length * 2);
        for (index, byte) in bytes[..length].iter().enumerate() {
            if flags.space && index > 0 {
                text.push(b' ');
            }
            if flags.sharp && (flags.space || index == 0) {
                text.extend_from_slice(&[b'0', x]);
            }
            text.push(digits[usize::from(byte >> 4)]);
            text.push(digits[usize::from(byte & 15)]);
        }
        self.pad(&text);
    }

    fn pad(&mut self, text: &[u8]) {
        let Some(width) = self.flags.width.filter(|width| *width > 0) else {
            self.push(text);
            return;
        };
        let missing = width.saturating_sub(character_starts(text).count());
        if self.flags.minus {
            self.push(text);
            self.padding(missing);
        } else {
            self.padding(missing);
            self.push(text);
        }
    }

    fn padding(&mut self, count: usize) {
        let fill = if self.flags.zero && !self.flags.minus {
            b'0'
        } else {
            b' '
        };
        self.out.resize(self.out.len() + count, fill);
    }
}

/// Where each character starts; every byte that is not UTF-8 counts as one.
fn character_starts(text: &[u8]) -> impl Iterator<Item = usize> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= text.len() {
            return None;
        }
        let start = at;
        at += if text[at].is_ascii() {
            1
        } else {
            decode(&text[at..]).1
        };
        Some(start)
    })
}

/// The first character and its size; U+FFFD and 1 for an invalid byte.
pub(super) fn decode(text: &[u8]) -> (char, usize) {
    let head = &text[..text.len().min(4)];
    let valid = match std::str::from_utf8(head) {
        Ok(valid) => valid,
        Err(error) => {
            std::str::from_utf8(&head[..error.valid_up_to()]).expect("the prefix was found valid")
        }
    };
    match valid.chars().next() {
        Some(c) => (c, c.len_utf8()),
        None => ('\u{fffd}', usize::from(!text.is_empty())),
    }
}

fn rune(bits: u64) -> char {
    u32::try_from(bits)
        .ok()
        .and_then(char::from_u32)
        .unwrap_or('\u{fffd}')
}

fn can_backquote(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| {
        text.chars()
            .all(|c| !(c < ' ' && c != '\t' || c == '`' || c == '\x7f' || c == '\u{feff}'))
    })
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

/// Decimal digits `0.d1d2d3…` times ten to the power of `point`.
struct Decimal {
    digits: Vec<u8>,
    point: i32,
}

/// Go's `strconv.AppendFloat`: `None` is the shortest text that reads back the
/// same.
fn format_float(out: &mut Vec<u8>, number: f64, form: char, precision: Option<usize>) {
    if number.is_nan() {
        out.extend_from_slice(b"NaN");
        return;
    }
    if number.is_infinite() {
        out.extend_from_slice(if number > 0.0 { b"+Inf" } else { b"-Inf" });
        return;
    }
    match form {
        'b' => return binary(out, number),
        'x' | 'X' => return hexadecimal(out, number, form, precision),
        _ => {}
    }
    if number.is_sign_negative() {
        out.push(b'-');
    }
    let number = number.abs();
    // A double has at most 1074 digits behind the point and 767 significant
    // ones; what Go writes beyond is zeros, which the writers below add.
    let exact = |digits: usize| digits.min(1100);
    match (form, precision) {
        ('e' | 'E', None) => {
            let decimal = Decimal::parse(&format!("{number:e}"));
            let digits = decimal.digits.len().saturating_sub(1);
            decimal.exponential(out, digits, form);
        }
        ('e' | 'E', Some(precision)) => {
            let decimal = Decimal::parse(&format!("{number:.*e}", exact(precision)));
            decimal.exponential(out, precision, form);
        }
        ('f', None) => {
            let decimal = Decimal::parse(&format!("{number:e}"));
            let digits = (decimal.digits.len() as i32 - decimal.point).max(0);
            decimal.plain(out, digits as usize);
        }
        ('f', Some(precision)) => {
            let text = format!("{number:.*}", exact(precision));
            out.extend_from_slice(text.as_bytes());
            let extra = precision.saturating_sub(exact(precision));
            out.resize(out.len() + extra, b'0');
        }
        (_, precision) => {
            let decimal = match precision {
                None => Decimal::parse(&format!("{number:e}")),
                Some(precision) => {
                    Decimal::parse(&format!("{number:.*e}", exact(precision.max(1)) - 1))
                }
            };
            let count = decimal.digits.len() as i32;
            let mut digits = precision.map_or(count, |precision| precision.max(1) as i32);
            let threshold = match precision {
                None => 6,
                Some(_) if digits > count && count >= decimal.point => count,
                Some(_) => digits,
            };
            let exponent = decimal.point - 1;
            if exponent < -4 || exponent >= threshold {
                digits = digits.min(count);
                let form = if form == 'G' { 'E' } else { 'e' };
                decimal.exponential(out, (digits - 1).max(0) as usize, form);
            } else {
                if digits > decimal.point {
                    digits = count;
                }
                decimal.plain(out, (digits - decimal.point).max(0) as usize);
            }
        }
    }
}

impl Decimal {
    /// From Rust's `1.25e-7`; trailing zeros do not count as digits.
    fn parse(text: &str) -> Self {
        let (mantissa, exponent) = text.split_once('e').expect("written with an exponent");
        let mut digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        let point = match digits.is_empty() {
            true => 0,
            false => exponent.parse::<i32>().expect("an exponent is a number") + 1,
        };
        Decimal { digits, point }
    }

    fn digit(&self, index: i32) -> u8 {
        usize::try_from(index)
            .ok()
            .and_then(|index| self.digits.get(index).copied())
            .unwrap_or(b'0')
    }

    fn exponential(&self, out: &mut Vec<u8>, precision: usize, letter: char) {
        out.push(self.digit(0));
        if precision > 0 {
            out.push(b'.');
            let known = precision.min(self.digits.len().saturating_sub(1));
            if known > 0 {
                out.extend_from_slice(&self.digits[1..=known]);
            }
            out.resize(out.len() + precision - known, b'0');
        }
        let exponent = match self.digits.is_empty() {
            true => 0,
            false => self.point - 1,
        };
        out.push(letter as u8);
        out.push(if exponent < 0 { b'-' } else { b'+' });
        if exponent.abs() < 10 {
            out.push(b'0');
        }
        push_digits(out, exponent.unsigned_abs().into());
    }

    fn plain(&self, out: &mut Vec<u8>, precision: usize) {
        if self.point > 0 {
            out.extend((0..self.point).map(|index| self.digit(index)));
        } else {
            out.push(b'0');
        }
        if precision > 0 {
            out.push(b'.');
            out.extend((0..precision as i32).map(|index| self.digit(self.point + index)));
        }
    }
}

/// `%b`: the mantissa and a power of two.
fn binary(out: &mut Vec<u8>, number: f64) {
    let (mantissa, exponent) = parts(number);
    if number.is_sign_negative() {
        out.push(b'-');
    }
    push_digits(out, mantissa);
    out.push(b'p');
    if exponent >= 0 {
        out.push(b'+');
    }
    push_integer(out, exponent.into());
}

/// The integer mantissa and the power of two to multiply it with.
fn parts(number: f64) -> (u64, i32) {
    let bits = number.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i32;
    let fraction = bits & ((1 << 52) - 1);
    match exponent {
        0 => (fraction, -1074),
        _ => (fraction | 1 << 52, exponent - 1075),
    }
}

/// `%x`: hexadecimal mantissa, binary exponent.
fn hexadecimal(out: &mut Vec<u8>, number: f64, form: char, precision: Option<usize>) {
    let digits = if form == 'X' { UPPER } else { LOWER };
    let (mut mantissa, mut exponent) = parts(number);
    if mantissa == 0 {
        exponent = 0;
    } else {
        exponent += 60;
        // The leading one at bit 60: one digit before the point, 15 behind.
        while mantissa & 1 << 60 == 0 {
            mantissa <<= 1;
            exponent -= 1;
        }
    }
    if let Some(precision) = precision.filter(|precision| *precision < 15) {
        let shift = precision * 4;
        let extra = (mantissa << shift) & ((1 << 60) - 1);
        mantissa >>= 60 - shift;
        if extra | (mantissa & 1) > 1 << 59 {
            mantissa += 1;
        }
        mantissa <<= 60 - shift;
        if mantissa & 1 << 61 != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    if number.is_sign_negative() {
        out.push(b'-');
    }
    out.extend_from_slice(&[b'0', form as u8, b'0' + (mantissa >> 60 & 1) as u8]);
    mantissa <<= 4;
    match precision {
        None if mantissa == 0 => {}
        None => {
            out.push(b'.');
            while mantissa != 0 {
                out.push(digits[(mantissa >> 60) as usize]);
                mantissa <<= 4;
            }
        }
        Some(0) => {}
        Some(precision) => {
            out.push(b'.');
            for _ in 0..precision {
                out.push(digits[(mantissa >> 60) as usize]);
                mantissa <<= 4;
            }
        }
    }
    out.push(if form == 'X' { b'P' } else { b'p' });
    out.push(if exponent < 0 { b'-' } else { b'+' });
    if exponent.abs() < 10 {
        out.push(b'0');
    }
    push_digits(out, exponent.unsigned_abs().into());
}

/// `%#g`: brings back the point and the zeros that the shortest form leaves
/// out.
fn restore_zeros(text: &mut Vec<u8>, form: char, precision: Option<usize>) {
    let mut digits = match form {
        'g' | 'G' => precision.map_or(6, |precision| precision as i64),
        'x' => precision.map_or(6, |precision| precision as i64),
        _ => 0,
    };
    let mut tail = Vec::new();
    let mut point = false;
    let mut significant = false;
    let mut index = 1;
    while index < text.len() {
        match text[index] {
            b'.' => point = true,
            b'p' | b'P' => {
                tail = text.split_off(index);
                break;
            }
            b'e' | b'E' if !matches!(form, 'x' | 'X') => {
                tail = text.split_off(index);
                break;
            }
            digit => {
                significant |= digit != b'0';
                if significant {
                    digits -= 1;
                }
            }
        }
        index += 1;
    }
    if !point {
        if text.len() == 2 && text[1] == b'0' {
            digits -= 1;
        }
        text.push(b'.');
    }
    for _ in 0..digits {
        text.push(b'0');
    }
    text.extend_from_slice(&tail);
}
