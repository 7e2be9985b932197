//! Go's `strconv` for numbers.

use super::quote::{LOWER, UPPER};

pub(in crate::gotmpl) fn push_integer(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    push_digits(out, number.unsigned_abs());
}

pub(super) fn push_digits(out: &mut Vec<u8>, mut number: u64) {
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

pub(super) fn push_float(out: &mut Vec<u8>, number: f64) {
    // Most numbers of a chart are small integers: ports, replicas, seconds.
    if number.fract() == 0.0 && number.abs() < 1e6 && !(number == 0.0 && number.is_sign_negative())
    {
        push_integer(out, number as i64);
    } else {
        format_float(out, number, 'g', None);
    }
}

/// Decimal digits `0.d1d2d3…` times ten to the power of `point`.
pub(super) struct Decimal {
    digits: Vec<u8>,
    point: i32,
}

/// Go's `strconv.AppendFloat`: `None` is the shortest text that reads back the
/// same.
pub(super) fn format_float(out: &mut Vec<u8>, number: f64, form: char, precision: Option<usize>) {
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
pub(super) fn binary(out: &mut Vec<u8>, number: f64) {
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
pub(super) fn parts(number: f64) -> (u64, i32) {
    let bits = number.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i32;
    let fraction = bits & ((1 << 52) - 1);
    match exponent {
        0 => (fraction, -1074),
        _ => (fraction | 1 << 52, exponent - 1075),
    }
}

/// `%x`: hexadecimal mantissa, binary exponent.
pub(super) fn hexadecimal(out: &mut Vec<u8>, number: f64, form: char, precision: Option<usize>) {
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
pub(super) fn restore_zeros(text: &mut Vec<u8>, form: char, precision: Option<usize>) {
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
