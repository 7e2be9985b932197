//! Numbers, with the conversions of `github.com/spf13/cast`.

use crate::gotmpl::{Args, Context, Failure, Function, Type, Value, printf};

const ANY: Type = Type::Any;
const F: Type = Type::Float;
const I: Type = Type::Int;
const I64: Type = Type::Int64;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("int", &[ANY], I, |_, args| {
        Ok(Value::Int(to_int(args.value(0))))
    }),
    Function::new("int64", &[ANY], I64, |_, args| {
        Ok(Value::Int64(to_int(args.value(0))))
    }),
    Function::new("float64", &[ANY], F, |_, args| {
        Ok(Value::Float(to_float(args.value(0))))
    }),
    Function::new("toDecimal", &[ANY], I64, |context, args| {
        let text = context.sprint(args.value(0))?;
        let text = text.to_text();
        Ok(Value::Int64(i64::from_str_radix(&text, 8).unwrap_or(0)))
    }),
    Function::variadic("add", &[ANY], I64, |_, args| {
        let sum = args.from(0).iter().map(to_int);
        Ok(Value::Int64(sum.fold(0, i64::wrapping_add)))
    }),
    Function::new("add1", &[ANY], I64, |_, args| {
        Ok(Value::Int64(to_int(args.value(0)).wrapping_add(1)))
    }),
    Function::new("sub", &[ANY, ANY], I64, |_, args| {
        let (a, b) = (to_int(args.value(0)), to_int(args.value(1)));
        Ok(Value::Int64(a.wrapping_sub(b)))
    }),
    Function::new("div", &[ANY, ANY], I64, |_, args| {
        let (a, b) = divisible(args)?;
        Ok(Value::Int64(a.wrapping_div(b)))
    }),
    Function::new("mod", &[ANY, ANY], I64, |_, args| {
        let (a, b) = divisible(args)?;
        Ok(Value::Int64(a.wrapping_rem(b)))
    }),
    Function::variadic("mul", &[ANY, ANY], I64, |_, args| {
        let product = args.from(0).iter().map(to_int);
        Ok(Value::Int64(product.fold(1, i64::wrapping_mul)))
    }),
    Function::variadic("max", &[ANY, ANY], I64, max),
    Function::variadic("biggest", &[ANY, ANY], I64, max),
    Function::variadic("min", &[ANY, ANY], I64, |_, args| {
        let least = args.from(0).iter().map(to_int).min();
        Ok(Value::Int64(least.unwrap_or(0)))
    }),
    Function::variadic("maxf", &[ANY, ANY], F, |_, args| {
        let numbers = args.from(0).iter().map(to_float);
        Ok(Value::Float(numbers.reduce(go_max).unwrap_or(0.0)))
    }),
    Function::variadic("minf", &[ANY, ANY], F, |_, args| {
        let numbers = args.from(0).iter().map(to_float);
        Ok(Value::Float(numbers.reduce(go_min).unwrap_or(0.0)))
    }),
    Function::new("add1f", &[ANY], F, |_, args| {
        decimal(&[args.take(0), Value::Int(1)], Decimal::add)
    }),
    Function::variadic("addf", &[ANY], F, |_, args| {
        let mut all = vec![Value::Float(0.0)];
        all.extend(args.take_from(0));
        decimal(&all, Decimal::add)
    }),
    Function::variadic("subf", &[ANY, ANY], F, |_, args| {
        decimal(args.from(0), Decimal::sub)
    }),
    Function::variadic("mulf", &[ANY, ANY], F, |_, args| {
        decimal(args.from(0), Decimal::mul)
    }),
    Function::variadic("divf", &[ANY, ANY], F, |_, args| {
        decimal(args.from(0), Decimal::div)
    }),
    Function::new("ceil", &[ANY], F, |_, args| {
        Ok(Value::Float(to_float(args.value(0)).ceil()))
    }),
    Function::new("floor", &[ANY], F, |_, args| {
        Ok(Value::Float(to_float(args.value(0)).floor()))
    }),
    Function::variadic("round", &[ANY, I, F], F, |_, args| {
        let on = match args.from(2) {
            [Value::Float(on), ..] => *on,
            _ => 0.5,
        };
        let power = 10f64.powi(i32::try_from(args.int(1)).unwrap_or(i32::MAX));
        let digits = power * to_float(args.value(0));
        let rounded = if digits.fract() >= on {
            digits.ceil()
        } else {
            digits.floor()
        };
        Ok(Value::Float(rounded / power))
    }),
    Function::new("until", &[I], Type::Ints, |context, args| {
        let count = args.int(0);
        steps(context, 0, count, if count < 0 { -1 } else { 1 }).map(ints)
    }),
    Function::new("untilStep", &[I, I, I], Type::Ints, |context, args| {
        steps(context, args.int(0), args.int(1), args.int(2)).map(ints)
    }),
    Function::variadic("seq", &[I], Type::Str, seq),
];

/// `cast.ToInt64`.
pub(super) fn to_int(value: &Value) -> i64 {
    match value {
        Value::Bool(flag) => i64::from(*flag),
        Value::Int(number) | Value::Int64(number) => *number,
        Value::Int32(number) => i64::from(*number),
        Value::Uint64(number) => *number as i64,
        Value::Uint32(number) => i64::from(*number),
        Value::Uint8(number) => i64::from(*number),
        Value::Float(number) => truncate(*number),
        Value::Str(text) => text.as_str().map_or(0, parse_int),
        Value::Object(object) => object.number().map_or(0, |number| to_int(&number)),
        _ => 0,
    }
}

/// As amd64 truncates: what does not fit becomes the least integer.
fn truncate(number: f64) -> i64 {
    // The bounds are exact as floats; the upper one is just out of range.
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number) {
        number as i64
    } else {
        i64::MIN
    }
}

/// A number as Go's base-0 parser reads it, after a trailing `.000` was cut.
fn parse_int(text: &str) -> i64 {
    let text = match text.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') => whole,
        _ => text,
    };
    let (negative, digits) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    let prefixed = radix != 10;
    let underscores = digits.contains('_');
    // Underscores only between digits, or after the prefix.
    if digits.is_empty()
        || digits.starts_with(['+', '-'])
        || (underscores
            && (digits.ends_with('_')
                || digits.contains("__")
                || (!prefixed && digits.starts_with('_'))))
    {
        return 0;
    }
    let digits = digits.replace('_', "");
    match i128::from_str_radix(&digits, radix) {
        Ok(number) => i64::try_from(if negative { -number } else { number }).unwrap_or(0),
        Err(_) => 0,
    }
}

/// `cast.ToFloat64`.
fn to_float(value: &Value) -> f64 {
    match value {
        Value::Bool(flag) => f64::from(u8::from(*flag)),
        Value::Int(number) | Value::Int64(number) => *number as f64,
        Value::Int32(number) => f64::from(*number),
        Value::Uint64(number) => *number as f64,
        Value::Uint32(number) => f64::from(*number),
        Value::Uint8(number) => f64::from(*number),
        Value::Float(number) => *number,
        Value::Str(text) => text.as_str().map_or(0.0, parse_float),
        Value::Object(object) => object.number().map_or(0.0, |number| to_float(&number)),
        _ => 0.0,
    }
}

/// Go's `strconv.ParseFloat`, zero for what it refuses.
fn parse_float(text: &str) -> f64 {
    let separated;
    let text = match text.contains('_') {
        false => text,
        true => match without_underscores(text) {
            Some(text) => {
                separated = text;
                &separated
            }
            None => return 0.0,
        },
    };
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned.starts_with("0x") || unsigned.starts_with("0X") {
        return hex_float(text).unwrap_or(0.0);
    }
    let lower = unsigned.to_ascii_lowercase();
    let word = matches!(lower.as_str(), "inf" | "infinity" | "nan");
    let plain = unsigned
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    if !word && !plain {
        return 0.0;
    }
    match text.parse::<f64>() {
        // A finite text that overflows is an error to Go.
        Ok(number) if number.is_infinite() && !word => 0.0,
        Ok(number) => number,
        Err(_) => 0.0,
    }
}

/// The text without underscores, if each of them stands between digits; the
/// prefix of a hexadecimal number counts as one.
fn without_underscores(text: &str) -> Option<String> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let hex = unsigned.starts_with("0x") || unsigned.starts_with("0X");
    let digit = |byte: u8| byte.is_ascii_digit() || hex && byte.is_ascii_hexdigit();
    let bytes = unsigned.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        if *byte != b'_' {
            continue;
        }
        let before = at > 0 && (digit(bytes[at - 1]) || hex && at == 2);
        if !before || !bytes.get(at + 1).copied().is_some_and(digit) {
            return None;
        }
    }
    Some(text.replace('_', ""))
}

/// `0x1.8p3`; the exponent is required.
fn hex_float(text: &str) -> Option<f64> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = text[2..].split_once(['p', 'P'])?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let mantissa = u64::from_str_radix(&digits, 16).ok()? as f64;
    let exponent: i32 = exponent.parse().ok()?;
    let number = mantissa * 2f64.powi(exponent - 4 * i32::try_from(fraction.len()).ok()?);
    Some(if negative { -number } else { number })
}

fn divisible(args: &Args<'_>) -> Result<(i64, i64), Failure> {
    match (to_int(args.value(0)), to_int(args.value(1))) {
        (_, 0) => Err(Failure::new("runtime error: integer divide by zero")),
        pair => Ok(pair),
    }
}

fn max(_: &mut Context<'_>, args: &mut Args<'_>) -> Result<Value, Failure> {
    let most = args.from(0).iter().map(to_int).max();
    Ok(Value::Int64(most.unwrap_or(0)))
}

/// Unlike Rust's, Go's maximum of anything and NaN is NaN.
fn go_max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

fn go_min(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.min(b)
    }
}

fn ints(numbers: Vec<i64>) -> Value {
    Value::Ints(numbers.into())
}

fn steps(context: &mut Context<'_>, start: i64, stop: i64, step: i64) -> Result<Vec<i64>, Failure> {
    let forward = stop >= start;
    if (forward && step <= 0) || (!forward && step >= 0) {
        return Ok(Vec::new());
    }
    let distance = start.abs_diff(stop);
    let count = distance.div_ceil(step.unsigned_abs());
    context.charge(
        usize::try_from(count)
            .unwrap_or(usize::MAX)
            .saturating_mul(8),
    )?;
    let mut numbers = Vec::with_capacity(count as usize);
    let mut next = start;
    for _ in 0..count {
        numbers.push(next);
        next = next.wrapping_add(step);
    }
    Ok(numbers)
}

fn seq(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Value, Failure> {
    let numbers: Vec<i64> = args.from(0).iter().map(to_int).collect();
    let (start, step, end) = match numbers.as_slice() {
        [end] => (1, if *end < 1 { -1 } else { 1 }, *end),
        [start, end] => (*start, if end < start { -1 } else { 1 }, *end),
        [start, step, end] => {
            if end < start && *step > 0 {
                return Ok("".into());
            }
            (*start, *step, *end)
        }
        _ => return Ok("".into()),
    };
    let beyond = if end < start { -1 } else { 1 };
    let numbers = steps(context, start, end.wrapping_add(beyond), step)?;
    let texts: Vec<String> = numbers.iter().map(i64::to_string).collect();
    Ok(texts.join(" ").into())
}

fn decimal(
    values: &[Value],
    operation: fn(Decimal, Decimal) -> Result<Decimal, Failure>,
) -> Result<Value, Failure> {
    let mut numbers = values.iter().map(|value| Decimal::of(to_float(value)));
    let mut result = numbers.next().transpose()?.unwrap_or_default();
    for number in numbers {
        result = operation(result, number?)?;
    }
    Ok(Value::Float(result.to_float()))
}

/// A decimal number as `github.com/shopspring/decimal` keeps it: an integer
/// and a power of ten.
#[derive(Clone, Default)]
struct Decimal {
    digits: num_bigint::BigInt,
    exponent: i32,
}

impl Decimal {
    /// The shortest decimal that reads back as the float.
    fn of(number: f64) -> Result<Decimal, Failure> {
        if !number.is_finite() {
            return Err(Failure::new(format!(
                "Cannot create a Decimal from {}",
                printf::float_text(number)
            )));
        }
        let text = format!("{number:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        Ok(Decimal {
            digits: format!("{whole}{fraction}").parse().unwrap_or_default(),
            exponent: exponent - i32::try_from(fraction.len()).unwrap_or(0),
        })
    }

    /// Both with the smaller exponent.
    fn aligned(a: Decimal, b: Decimal) -> (num_bigint::BigInt, num_bigint::BigInt, i32) {
        let exponent = a.exponent.min(b.exponent);
        (a.at(exponent), b.at(exponent), exponent)
    }

    fn at(self, exponent: i32) -> num_bigint::BigInt {
        let shift = u32::try_from(self.exponent - exponent).unwrap_or(0);
        self.digits * num_bigint::BigInt::from(10).pow(shift)
    }

    fn add(a: Decimal, b: Decimal) -> Result<Decimal, Failure> {
        let (a, b, exponent) = Decimal::aligned(a, b);
        Ok(Decimal {
            digits: a + b,
            exponent,
        })
    }

    fn sub(a: Decimal, b: Decimal) -> Result<Decimal, Failure> {
        let (a, b, exponent) = Decimal::aligned(a, b);
        Ok(Decimal {
            digits: a - b,
            exponent,
        })
    }

    fn mul(a: Decimal, b: Decimal) -> Result<Decimal, Failure> {
        Ok(Decimal {
            digits: a.digits * b.digits,
            exponent: a.exponent + b.exponent,
        })
    }

    /// To 16 decimal places, half away from zero.
    fn div(a: Decimal, b: Decimal) -> Result<Decimal, Failure> {
        const PLACES: i32 = 16;
        if b.digits == num_bigint::BigInt::ZERO {
            return Err(Failure::new("decimal division by 0"));
        }
        // One more place than is kept decides how the last one is rounded.
        let shift = PLACES + 1 + a.exponent - b.exponent;
        let ten = num_bigint::BigInt::from(10);
        let (mut numerator, mut denominator) = (a.digits, b.digits);
        match u32::try_from(shift) {
            Ok(shift) => numerator *= ten.pow(shift),
            Err(_) => denominator *= ten.pow(shift.unsigned_abs()),
        }
        let quotient = numerator / denominator;
        let half = num_bigint::BigInt::from(if quotient < num_bigint::BigInt::ZERO {
            -5
        } else {
            5
        });
        Ok(Decimal {
            digits: (quotient + half) / 10,
            exponent: -PLACES,
        })
    }

    fn to_float(&self) -> f64 {
        let text = format!("{}e{}", self.digits, self.exponent);
        text.parse().unwrap_or(0.0)
    }
}
