//! Numbers as Go prints them.
//!
//! Go writes the fewest digits that read back as the same number, as Rust
//! does, but chooses between `1000000` and `1e+06` by rules of its own:
//!
//! | where               | exponent form if X is | looks like          |
//! |---------------------|-----------------------|---------------------|
//! | `fmt`, YAML         | below -4, 6 or more   | `1e-05`, `1e+06`    |
//! | `encoding/json`     | below -6, 21 or more  | `1e-7`, `1e+21`     |
//!
//! X is the exponent of the number in scientific form.

use std::fmt::{self, Write as _};

/// Appends `number` as Go's `fmt` prints it (`strconv` format `g`, shortest):
/// `0.5`, `100000`, `1e+06`, `NaN`, `+Inf`.
///
/// ```
/// let mut out = Vec::new();
/// gitops_core::value::number::push_go(&mut out, 1_000_000.0);
/// assert_eq!(out, b"1e+06");
/// ```
pub fn push_go(out: &mut Vec<u8>, number: f64) {
    // Small whole numbers are nearly all that charts contain.
    if number.fract() == 0.0 && number.abs() < 1e6 && !(number == 0.0 && number.is_sign_negative())
    {
        out.extend_from_slice(itoa::Buffer::new().format(number as i64).as_bytes());
    } else if number.is_finite() {
        Digits::of(format_args!("{number:e}")).push(out, -4, 6, 2);
    } else {
        out.extend_from_slice(non_finite(number));
    }
}

/// Appends `number`, rounded to 32 bits, as [`push_go`] would: the form that
/// a float takes as a key of a YAML mapping.
pub(crate) fn push_go_32(out: &mut Vec<u8>, number: f64) {
    let number = number as f32;
    if number.is_finite() {
        Digits::of(format_args!("{number:e}")).push(out, -4, 6, 2);
    } else {
        out.extend_from_slice(non_finite(f64::from(number)));
    }
}

/// Appends `number` as Go's `encoding/json` writes it: `1000000`, `1e+21`,
/// `1e-7`.
///
/// Returns whether it did; JSON has no infinities and no NaN, for which
/// nothing is appended.
pub fn push_json(out: &mut Vec<u8>, number: f64) -> bool {
    if !number.is_finite() {
        return false;
    }
    if number.fract() == 0.0 && number.abs() < 1e15 && !(number == 0.0 && number.is_sign_negative())
    {
        out.extend_from_slice(itoa::Buffer::new().format(number as i64).as_bytes());
    } else {
        Digits::of(format_args!("{number:e}")).push(out, -6, 21, 1);
    }
    true
}

/// How a float reads after it went through JSON text: whole numbers below
/// 1e21 are written without a point and come back as integers if they fit.
pub(crate) fn through_json(number: f64) -> Option<JsonNumber> {
    if number.fract() != 0.0 || number.abs() >= 1e21 || !number.is_finite() {
        return None;
    }
    // The digits that JSON shows, which above 2^53 are not the exact value.
    let shown = Digits::of(format_args!("{number:e}"));
    let mut magnitude: u128 = 0;
    for &digit in shown.digits() {
        magnitude = magnitude * 10 + u128::from(digit - b'0');
    }
    magnitude *= 10u128.pow((shown.exponent + 1 - shown.digits().len() as i32) as u32);
    if shown.negative {
        let number = i128::try_from(magnitude).ok()?;
        i64::try_from(-number).ok().map(JsonNumber::Int)
    } else if let Ok(number) = i64::try_from(magnitude) {
        Some(JsonNumber::Int(number))
    } else {
        u64::try_from(magnitude).ok().map(JsonNumber::UInt)
    }
}

/// An integer that a float turned into on its way through JSON text.
pub(crate) enum JsonNumber {
    Int(i64),
    UInt(u64),
}

fn non_finite(number: f64) -> &'static [u8] {
    if number.is_nan() {
        b"NaN"
    } else if number > 0.0 {
        b"+Inf"
    } else {
        b"-Inf"
    }
}

/// The shortest digits of a finite number: `d.ddd` times ten to `exponent`.
struct Digits {
    negative: bool,
    digits: [u8; 20],
    len: usize,
    exponent: i32,
}

impl Digits {
    /// Takes std's scientific form apart, which has the shortest digits.
    fn of(scientific: fmt::Arguments<'_>) -> Self {
        let mut text = Text {
            bytes: [0; 32],
            len: 0,
        };
        // 17 digits, signs, a point and an exponent fit 32 bytes.
        let written = text.write_fmt(scientific);
        debug_assert!(written.is_ok());
        let mut this = Digits {
            negative: false,
            digits: [b'0'; 20],
            len: 0,
            exponent: 0,
        };
        let mut in_exponent = false;
        let mut exponent_negative = false;
        for &byte in &text.bytes[..text.len] {
            match byte {
                b'-' if in_exponent => exponent_negative = true,
                b'-' => this.negative = true,
                b'e' => in_exponent = true,
                b'0'..=b'9' if in_exponent => {
                    this.exponent = this.exponent * 10 + i32::from(byte - b'0');
                }
                b'0'..=b'9' => {
                    this.digits[this.len] = byte;
                    this.len += 1;
                }
                _ => {}
            }
        }
        if exponent_negative {
            this.exponent = -this.exponent;
        }
        this
    }

    fn digits(&self) -> &[u8] {
        &self.digits[..self.len]
    }

    fn push(&self, out: &mut Vec<u8>, least: i32, most: i32, exponent_width: usize) {
        let digits = self.digits();
        if self.negative {
            out.push(b'-');
        }
        if self.exponent < least || self.exponent >= most {
            out.push(digits[0]);
            if digits.len() > 1 {
                out.push(b'.');
                out.extend_from_slice(&digits[1..]);
            }
            out.push(b'e');
            out.push(if self.exponent < 0 { b'-' } else { b'+' });
            let magnitude = self.exponent.unsigned_abs();
            if magnitude < 10 && exponent_width == 2 {
                out.push(b'0');
            }
            out.extend_from_slice(itoa::Buffer::new().format(magnitude).as_bytes());
        } else if self.exponent < 0 {
            out.extend_from_slice(b"0.");
            out.extend(std::iter::repeat_n(
                b'0',
                (-self.exponent - 1).unsigned_abs() as usize,
            ));
            out.extend_from_slice(digits);
        } else {
            let whole = self.exponent as usize + 1;
            if digits.len() <= whole {
                out.extend_from_slice(digits);
                out.extend(std::iter::repeat_n(b'0', whole - digits.len()));
            } else {
                out.extend_from_slice(&digits[..whole]);
                out.push(b'.');
                out.extend_from_slice(&digits[whole..]);
            }
        }
    }
}

/// A formatting target on the stack.
struct Text {
    bytes: [u8; 32],
    len: usize,
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.bytes
            .get_mut(self.len..end)
            .ok_or(fmt::Error)?
            .copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}
