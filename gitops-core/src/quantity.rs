//! Amounts of resources: `500m`, `1Gi`, `1e3`.
//!
//! Follows `k8s.io/apimachinery/pkg/api/resource` 0.36: what is accepted, what
//! is equal, and how a quantity is written after the server has read it.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// An amount with an exact decimal value.
///
/// Two quantities are equal if their values are, whatever their notation.
/// Displayed as Kubernetes writes it: with the largest suffix that leaves a
/// whole number. Values below a billionth are rounded up to one.
///
/// ```
/// use gitops_core::quantity::Quantity;
/// let parse = |text: &str| text.parse::<Quantity>();
/// assert_eq!(parse("1000m")?, parse("1")?);
/// assert!(parse("1Gi")? > parse("1G")?);
/// assert_eq!(parse("0.5")?.to_string(), "500m");
/// assert_eq!(parse("2048Mi")?.to_string(), "2Gi");
/// # Ok::<(), gitops_core::quantity::QuantityError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Quantity {
    negative: bool,
    /// Decimal digits 0 to 9, most significant first, without zeros at
    /// either end; none for zero.
    digits: Vec<u8>,
    /// The power of ten of the last digit.
    exponent: i64,
    notation: Notation,
    /// The text that was read, if it is canonical already.
    canonical: Option<crate::Str>,
}

/// Which suffixes a quantity is written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notation {
    /// `e3`, `E6`
    Exponent,
    /// `Ki`, `Mi`
    Binary,
    /// `m`, `k`, `M`
    Decimal,
}

/// Why a text is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantityError {
    /// It does not look like one at all.
    #[error(
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    )]
    Format,
    /// What follows the number is no suffix.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// The smallest power of ten that is kept.
const NANO: i64 = -9;

/// Most digits that the original handles as one machine word.
const WORD_DIGITS: usize = 18;

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let parts = Parts::of(text)?;
        let (notation, power) = suffix(parts.suffix).ok_or(QuantityError::Suffix)?;
        let mut digits: Vec<u8> = parts
            .whole
            .bytes()
            .chain(parts.fraction.bytes())
            .map(|digit| digit - b'0')
            .collect();
        let mut exponent = -(parts.fraction.len() as i64);
        if notation == Notation::Binary {
            multiply(&mut digits, 1 << power);
        } else {
            exponent += power;
        }
        let mut this = Quantity {
            negative: parts.negative,
            digits,
            exponent,
            notation,
            canonical: parts.is_canonical(notation, power).then(|| text.into()),
        };
        this.round_up();
        this.trim();
        if notation == Notation::Binary {
            this.limit_binary();
        }
        Ok(this)
    }
}

impl Quantity {
    /// Whether the value is zero.
    pub fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    /// The nearest float.
    pub fn to_f64(&self) -> f64 {
        let digits: String = self.digits.iter().map(|d| char::from(d + b'0')).collect();
        let sign = if self.negative { "-" } else { "" };
        // Digits and an exponent are a number for any parser.
        format!("{sign}0{digits}e{}", self.exponent)
            .parse()
            .unwrap_or(f64::NAN)
    }

    fn round_up(&mut self) {
        let Ok(surplus) = usize::try_from(NANO - self.exponent) else {
            return;
        };
        if surplus == 0 {
            return;
        }
        let kept = self.digits.len().saturating_sub(surplus);
        let lost = self.digits.split_off(kept);
        self.exponent = NANO;
        if lost.iter().any(|digit| *digit != 0) {
            for digit in self.digits.iter_mut().rev() {
                if *digit < 9 {
                    *digit += 1;
                    return;
                }
                *digit = 0;
            }
            self.digits.insert(0, 1);
        }
    }

    fn trim(&mut self) {
        while self.digits.last() == Some(&0) {
            self.digits.pop();
            self.exponent += 1;
        }
        let zeros = self.digits.iter().take_while(|digit| **digit == 0).count();
        self.digits.drain(..zeros);
        if self.digits.is_empty() {
            self.exponent = 0;
            self.negative = false;
        }
    }

    /// Binary quantities stop at the largest machine word, and become decimal
    /// below one.
    fn limit_binary(&mut self) {
        const MAX: &[u8] = b"9223372036854775807";
        let limit = Quantity {
            negative: false,
            digits: MAX.iter().map(|digit| digit - b'0').collect(),
            exponent: 0,
            notation: Notation::Binary,
            canonical: None,
        };
        if self.magnitude(&limit) == Ordering::Greater {
            self.digits = limit.digits;
            self.exponent = 0;
        }
        if !self.is_zero() && self.order() <= 0 {
            self.notation = Notation::Decimal;
        }
    }

    /// The power of ten just above the value.
    fn order(&self) -> i64 {
        self.digits.len() as i64 + self.exponent
    }

    fn magnitude(&self, other: &Quantity) -> Ordering {
        match (self.is_zero(), other.is_zero()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            // Without zeros at the ends digits compare as text does.
            (false, false) => (self.order(), &self.digits).cmp(&(other.order(), &other.digits)),
        }
    }

    /// The whole number that this is, if it fits.
    fn whole(&self) -> Option<u64> {
        let zeros = u32::try_from(self.exponent).ok()?;
        let number = self.digits.iter().try_fold(0u64, |number, digit| {
            number.checked_mul(10)?.checked_add(u64::from(*digit))
        })?;
        number.checked_mul(10u64.checked_pow(zeros)?)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.magnitude(other),
            (true, true) => other.magnitude(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = &self.canonical {
            return f.write_str(text);
        }
        if self.is_zero() {
            return f.write_str("0");
        }
        if self.negative {
            f.write_str("-")?;
        }
        if self.notation == Notation::Binary
            && let Some(mut number) = self.whole()
            && number >= 1024
        {
            let mut suffixes = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].into_iter();
            let mut suffix = suffixes.next().unwrap_or_default();
            while number >= 1024 && number.is_multiple_of(1024) {
                number /= 1024;
                suffix = suffixes.next().unwrap_or_default();
            }
            return write!(f, "{number}{suffix}");
        }
        for digit in &self.digits {
            write!(f, "{digit}")?;
        }
        let zeros = self.exponent.rem_euclid(3);
        for _ in 0..zeros {
            f.write_str("0")?;
        }
        let exponent = self.exponent - zeros;
        if self.notation == Notation::Exponent {
            return match exponent {
                0 => Ok(()),
                exponent => write!(f, "e{exponent}"),
            };
        }
        f.write_str(match exponent {
            -9 => "n",
            -6 => "u",
            -3 => "m",
            3 => "k",
            6 => "M",
            9 => "G",
            12 => "T",
            15 => "P",
            18 => "E",
            0 => "",
            // The original leaves the suffix out and so changes the value.
            exponent => return write!(f, "e{exponent}"),
        })
    }
}

struct Parts<'a> {
    negative: bool,
    /// Without zeros before it; at least one digit.
    whole: &'a str,
    fraction: &'a str,
    suffix: &'a str,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Result<Self, QuantityError> {
        if text.is_empty() {
            return Err(QuantityError::Format);
        }
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let rest = unsigned.trim_start_matches('0');
        let (whole, rest) = rest.split_at(digits_in(rest));
        let (fraction, suffix) = match rest.strip_prefix('.') {
            Some(rest) => rest.split_at(digits_in(rest)),
            None => ("", rest),
        };
        let letters = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
        let exponent = letters.strip_prefix(['+', '-']).unwrap_or(letters);
        if digits_in(exponent) != exponent.len() {
            return Err(QuantityError::Format);
        }
        Ok(Parts {
            negative: text.starts_with('-'),
            whole: if whole.is_empty() { "0" } else { whole },
            fraction,
            suffix,
        })
    }

    /// Whether the original keeps this text instead of writing its own.
    fn is_canonical(&self, notation: Notation, power: i64) -> bool {
        let length = self.whole.len() + self.fraction.len();
        if notation == Notation::Binary {
            let room = 15 - self.whole.len() as i64 - power * 3 / 10 - 1;
            let odd = self.whole.bytes().last().is_some_and(|last| {
                // Divisibility by 8 is in the last three digits.
                let start = self.whole.len().saturating_sub(3);
                let tail: u32 = self.whole[start..].parse().unwrap_or(0);
                debug_assert!(last.is_ascii_digit());
                !tail.is_multiple_of(8)
            });
            return self.fraction.is_empty() && room >= 0 && odd;
        }
        let scale = power - self.fraction.len() as i64;
        let ends_in_thousands = match self.fraction.len() {
            0 => self.whole.ends_with("000"),
            1 => self.fraction == "0" && self.whole.ends_with("00"),
            2 => self.fraction == "00" && self.whole.ends_with('0'),
            _ => self.fraction.ends_with("000"),
        };
        length <= WORD_DIGITS
            && scale >= NANO
            && scale % 3 == 0
            && !ends_in_thousands
            && !self.whole.starts_with('0')
    }
}

fn digits_in(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// The notation and the power, of two for binary suffixes, else of ten.
fn suffix(suffix: &str) -> Option<(Notation, i64)> {
    Some(match suffix {
        "" => (Notation::Decimal, 0),
        "n" => (Notation::Decimal, -9),
        "u" => (Notation::Decimal, -6),
        "m" => (Notation::Decimal, -3),
        "k" => (Notation::Decimal, 3),
        "M" => (Notation::Decimal, 6),
        "G" => (Notation::Decimal, 9),
        "T" => (Notation::Decimal, 12),
        "P" => (Notation::Decimal, 15),
        "E" => (Notation::Decimal, 18),
        "Ki" => (Notation::Binary, 10),
        "Mi" => (Notation::Binary, 20),
        "Gi" => (Notation::Binary, 30),
        "Ti" => (Notation::Binary, 40),
        "Pi" => (Notation::Binary, 50),
        "Ei" => (Notation::Binary, 60),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            (Notation::Exponent, exponent.into())
        }
    })
}

fn multiply(digits: &mut Vec<u8>, factor: u64) {
    let mut carry: u128 = 0;
    for digit in digits.iter_mut().rev() {
        carry += u128::from(*digit) * u128::from(factor);
        *digit = (carry % 10) as u8;
        carry /= 10;
    }
    while carry > 0 {
        digits.insert(0, (carry % 10) as u8);
        carry /= 10;
    }
}
