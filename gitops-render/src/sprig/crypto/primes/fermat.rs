//! Fermat's test to base 2, of several candidates at once: `2^(n-1)` is 1 modulo
//! a prime `n`, and of hardly any other.
//!
//! Each lane of a vector works on one candidate. Numbers are in digits that leave
//! room for sums of products, so that a squaring passes no carries on. Its
//! modular arithmetic is Montgomery's: with a power of two `R` above the
//! candidate it yields `x² / R`, reduced to below `2n` and no further.
//!
//! A squaring makes `2^2e · R` of `2^e · R`, and doubling that adds one to the
//! exponent: so an exponent grows from its leading bits to the whole. Here it is
//! `-(n+1)`, for two reasons. As long as `e` is negative and small, `2^e · R` is a
//! plain power of two to begin with. And the bits of `-(n+1)` in two's complement
//! are those of `n` inverted. Four times the result is `2^-(n-1)`, which is 1 when
//! `2^(n-1)` is.

#[cfg(target_arch = "x86")]
use std::arch::x86 as arch;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64 as arch;

use crypto_primes::{Flavor, is_prime};
use fearless_simd::prelude::*;
use fearless_simd::{Level, Simd, dispatch};
use rsa::BoxedUint;

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
mod bases;

/// Whether the test takes less time than it saves: not where lanes are not
/// multiplied into such of twice the width at once, and without optimisation
/// for small numbers only.
const fn pays(bits: u32) -> bool {
    let optimised = !cfg!(debug_assertions);
    cfg!(any(target_arch = "x86", target_arch = "x86_64")) && (optimised || bits <= 256)
}

/// The test for numbers of some size, on this processor.
pub(super) struct Filter {
    level: Level,
    bits: u32,
}

impl Filter {
    pub(super) fn new(bits: u32) -> Self {
        let level = Level::new();
        Filter { level, bits }
    }

    /// How many numbers take no longer than one.
    pub(super) fn lanes(&self) -> usize {
        #[inline(always)]
        fn lanes<S: Simd>(_: S) -> usize {
            S::u64s::LEN
        }
        dispatch!(self.level, simd => lanes(simd))
    }

    /// Those that pass, of at most as many odd numbers as there are lanes; all
    /// that are prime do.
    pub(super) fn passing(&self, candidates: Vec<BoxedUint>) -> Vec<BoxedUint> {
        if candidates.is_empty() || !pays(self.bits) {
            return candidates;
        }
        let passed = test(self.level, &candidates, self.bits);
        let passing = candidates.into_iter().zip(passed);
        passing
            .filter_map(|(candidate, passed)| passed.then_some(candidate))
            .collect()
    }

    /// Whether a number that passed is prime.
    pub(super) fn is_prime(&self, candidate: &BoxedUint) -> bool {
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        if pays(self.bits)
            && let Some(known) = bases::test(self.level, candidate, self.bits)
        {
            return known;
        }
        is_prime(Flavor::Any, candidate)
    }
}

/// Which candidates pass, of at least one and at most as many as there are lanes.
fn test(level: Level, candidates: &[BoxedUint], bits: u32) -> Vec<bool> {
    // What is not inlined here knows nothing of the processor.
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if let Some(simd) = level.as_avx512() {
        return simd.vectorize(
            #[inline(always)]
            || Test::new(Wide(simd), candidates, bits).passed(),
        );
    }
    dispatch!(level, simd => Test::new(Narrow(simd), candidates, bits).passed())
}

type Lanes<D> = <<D as Digits>::Simd as Simd>::u64s;

/// Numbers by their digits, and how these are multiplied.
trait Digits: Copy {
    type Simd: Simd;
    /// Bits of a digit.
    const WIDTH: u32;

    fn simd(self) -> Self::Simd;

    /// A sum and that part of a product which belongs to the digits' own place.
    fn low(self, sum: Lanes<Self>, x: Lanes<Self>, y: Lanes<Self>) -> Lanes<Self>;

    /// A sum and that part of a product which belongs to the next place.
    fn high(self, sum: Lanes<Self>, x: Lanes<Self>, y: Lanes<Self>) -> Lanes<Self>;
}

/// Digits that any processor can multiply: a lane holds a whole product.
#[derive(Clone, Copy)]
struct Narrow<S>(S);

impl<S: Simd> Digits for Narrow<S> {
    type Simd = S;
    const WIDTH: u32 = 28;

    #[inline(always)]
    fn simd(self) -> S {
        self.0
    }

    #[inline(always)]
    fn low(self, sum: S::u64s, x: S::u64s, y: S::u64s) -> S::u64s {
        // Masked, because that is one instruction instead of many.
        let half = u64::from(u32::MAX);
        sum + (x & half) * (y & half)
    }

    #[inline(always)]
    fn high(self, sum: S::u64s, _: S::u64s, _: S::u64s) -> S::u64s {
        sum
    }
}

/// Digits of instructions that exist for this purpose.
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
#[derive(Clone, Copy)]
struct Wide(fearless_simd::Avx512);

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
impl Digits for Wide {
    type Simd = fearless_simd::Avx512;
    const WIDTH: u32 = 52;

    #[inline(always)]
    fn simd(self) -> Self::Simd {
        self.0
    }

    #[inline(always)]
    fn low(self, sum: Lanes<Self>, x: Lanes<Self>, y: Lanes<Self>) -> Lanes<Self> {
        fearless_simd::kernel!(
            #[inline(always)]
            fn low(simd: Avx512, s: Lanes<Wide>, x: Lanes<Wide>, y: Lanes<Wide>) -> Lanes<Wide> {
                arch::_mm512_madd52lo_epu64(s.into(), x.into(), y.into()).simd_into(simd)
            }
        );
        low(self.0, sum, x, y)
    }

    #[inline(always)]
    fn high(self, sum: Lanes<Self>, x: Lanes<Self>, y: Lanes<Self>) -> Lanes<Self> {
        fearless_simd::kernel!(
            #[inline(always)]
            fn high(simd: Avx512, s: Lanes<Wide>, x: Lanes<Wide>, y: Lanes<Wide>) -> Lanes<Wide> {
                arch::_mm512_madd52hi_epu64(s.into(), x.into(), y.into()).simd_into(simd)
            }
        );
        high(self.0, sum, x, y)
    }
}

/// So many digits are multiplied by a number in one go, for fewer loads and
/// stores of sums. More would gain less than the zeros cost that they need.
const ROW: usize = 2;

struct Test<D: Digits> {
    digits: D,
    /// Bytes, from the lowest on.
    candidates: Vec<Box<[u8]>>,
    bits: u32,
    /// The candidates' digits from the lowest on, with [`ROW`] zeros behind them.
    modulus: Vec<Lanes<D>>,
    /// Times this, the lowest digit tells which multiple of the modulus makes it
    /// zero.
    inverse: Lanes<D>,
    /// What is squared.
    number: Vec<Lanes<D>>,
    /// What remains of the number to be multiplied, with [`ROW`] zeros behind it.
    rest: Vec<Lanes<D>>,
    /// Places of the square, each a sum of products.
    sums: Vec<Lanes<D>>,
    zero: Lanes<D>,
}

impl<D: Digits> Test<D> {
    #[inline(always)]
    fn new(digits: D, candidates: &[BoxedUint], bits: u32) -> Self {
        // Numbers stay below four times the modulus; their squares have to stay
        // below the modulus times R.
        let length = (bits + 4).div_ceil(D::WIDTH) as usize;
        let length = length.next_multiple_of(ROW);
        // A place receives two narrow products per digit.
        assert!(length < 128, "numbers of {bits} bits overflow their lanes");
        let zero = Lanes::<D>::from_fn(digits.simd(), |_| 0);
        let mut test = Test {
            digits,
            candidates: candidates.iter().map(BoxedUint::to_le_bytes).collect(),
            bits,
            modulus: vec![zero; length + ROW],
            inverse: zero,
            number: vec![zero; length],
            rest: vec![zero; length + ROW],
            sums: vec![zero; 2 * length],
            zero,
        };
        for place in 0..length {
            test.modulus[place] = test.each(|n| part(n, place as u32 * D::WIDTH, D::WIDTH));
        }
        test.inverse = test.each(|n| {
            // Newton's iteration: of an odd number's inverse it has three bits
            // right, and twice as many after each step.
            let n = part(n, 0, 64);
            let inverse = (0..5).fold(n, |x, _| {
                x.wrapping_mul(2u64.wrapping_sub(n.wrapping_mul(x)))
            });
            inverse.wrapping_neg() & ones(D::WIDTH)
        });
        test
    }

    #[inline(always)]
    fn passed(mut self) -> Vec<bool> {
        let length = self.number.len();
        let exponent = length as u32 * D::WIDTH;
        // As many bits of the candidate as make a number below R's exponent.
        let leading = exponent.ilog2().min(self.bits);
        let remaining = self.bits - leading;
        for place in 0..length {
            self.number[place] = self.each(|n| {
                let bit = exponent - 1 - part(n, remaining, leading) as u32;
                match bit / D::WIDTH == place as u32 {
                    true => 1 << (bit % D::WIDTH),
                    false => 0,
                }
            });
        }
        for bit in (0..remaining).rev() {
            self.square();
            self.reduce();
            let inverted = self.each(|n| {
                let bit = n[bit as usize / 8] >> (bit % 8) & 1;
                u64::from(bit).wrapping_sub(1)
            });
            self.double(inverted);
        }
        self.double(self.each(|_| u64::MAX));
        self.double(self.each(|_| u64::MAX));
        self.divide();
        (0..self.candidates.len())
            .map(|lane| self.is_beside_zero(lane).is_some_and(|side| side > 0))
            .collect()
    }

    /// Makes the number what it is without R, and below the modulus.
    #[inline(always)]
    fn divide(&mut self) {
        let length = self.number.len();
        self.sums[..length].copy_from_slice(&self.number);
        self.sums[length..].fill(self.zero);
        self.reduce();
    }

    /// 1 if the number is, -1 if it is one less than the modulus.
    #[inline(always)]
    fn is_beside_zero(&self, lane: usize) -> Option<i32> {
        let is = |low: u64, rest: &dyn Fn(usize) -> u64| {
            let mut digits = self.number.iter().map(|digit| digit[lane]).enumerate();
            digits.all(|(place, digit)| digit == if place == 0 { low } else { rest(place) })
        };
        // It is odd, so nothing is carried.
        let modulus = |place: usize| self.modulus[place][lane];
        if is(1, &|_| 0) {
            return Some(1);
        }
        is(modulus(0) - 1, &modulus).then_some(-1)
    }

    /// Something of each candidate; of the last one in all spare lanes.
    #[inline(always)]
    fn each(&self, value: impl Fn(&[u8]) -> u64) -> Lanes<D> {
        let last = self.candidates.len() - 1;
        Lanes::<D>::from_fn(self.digits.simd(), |lane| {
            value(&self.candidates[lane.min(last)])
        })
    }

    /// The number twice in lanes that are all ones, once in those that are zero.
    #[inline(always)]
    fn double(&mut self, lanes: Lanes<D>) {
        let mut carry = self.zero;
        for digit in &mut self.number {
            carry += *digit + (*digit & lanes);
            *digit = carry & ones(D::WIDTH);
            carry >>= D::WIDTH;
        }
    }

    /// Makes the sums those of the number's square.
    #[inline(always)]
    fn square(&mut self) {
        let (digits, zero) = (self.digits, self.zero);
        let (number, sums) = (&self.number[..], &mut self.sums[..]);
        sums.fill(zero);
        self.rest[..number.len()].copy_from_slice(number);
        for (index, row) in number.as_chunks::<ROW>().0.iter().enumerate() {
            let start = index * ROW;
            for (low, x) in row.iter().enumerate() {
                for (high, y) in row.iter().enumerate().skip(low + 1) {
                    let place = 2 * start + low + high;
                    sums[place] = digits.low(sums[place], *x, *y);
                    sums[place + 1] = digits.high(sums[place + 1], *x, *y);
                }
            }
            self.rest[start..start + ROW].fill(zero);
            multiply(
                digits,
                &mut sums[2 * start + ROW..],
                row,
                &self.rest[start..],
            );
        }
        for (place, x) in number.iter().enumerate() {
            let (low, high) = (sums[2 * place], sums[2 * place + 1]);
            sums[2 * place] = digits.low(low + low, *x, *x);
            sums[2 * place + 1] = digits.high(high + high, *x, *x);
        }
    }

    /// Makes the number that of the sums, divided by R.
    #[inline(always)]
    fn reduce(&mut self) {
        let (digits, zero) = (self.digits, self.zero);
        let (modulus, inverse) = (&self.modulus[..], self.inverse);
        let (number, sums) = (&mut self.number[..], &mut self.sums[..]);
        let mut carry = zero;
        for start in (0..number.len()).step_by(ROW) {
            let sums = &mut sums[start..];
            // Multiples of the modulus that make these places zero.
            let mut row = [zero; ROW];
            for place in 0..ROW {
                let mut sum = sums[place] + carry;
                for (index, x) in row[..place].iter().enumerate() {
                    sum = digits.low(sum, *x, modulus[place - index]);
                    sum = digits.high(sum, *x, modulus[place - index - 1]);
                }
                row[place] = digits.low(zero, sum, inverse) & ones(D::WIDTH);
                carry = digits.low(sum, row[place], modulus[0]) >> D::WIDTH;
            }
            multiply(digits, &mut sums[ROW..], &row, modulus);
        }
        let (_, sums) = sums.split_at(number.len());
        for (digit, sum) in number.iter_mut().zip(sums) {
            carry += *sum;
            *digit = carry & ones(D::WIDTH);
            carry >>= D::WIDTH;
        }
    }
}

/// Adds a row's products with a number, from the place on that is [`ROW`] above
/// the row's and the number's first.
#[inline(always)]
fn multiply<D: Digits>(
    digits: D,
    sums: &mut [Lanes<D>],
    row: &[Lanes<D>; ROW],
    number: &[Lanes<D>],
) {
    let places = sums.len().min(number.len() - ROW);
    for place in 0..places {
        let mut sum = sums[place];
        for index in 0..ROW {
            sum = digits.low(sum, row[index], number[place + ROW - index]);
            sum = digits.high(sum, row[index], number[place + ROW - index - 1]);
        }
        sums[place] = sum;
    }
}

/// So many bits of a number from some place on, at most 64; zeros follow it.
#[inline(always)]
fn part(number: &[u8], start: u32, width: u32) -> u64 {
    let bytes = number.get(start as usize / 8..).unwrap_or_default();
    let mut window = [0; 16];
    let length = bytes.len().min(16);
    window[..length].copy_from_slice(&bytes[..length]);
    (u128::from_le_bytes(window) >> (start % 8)) as u64 & ones(width)
}

/// So many bits, at least one.
#[inline(always)]
fn ones(width: u32) -> u64 {
    u64::MAX >> (64 - width)
}

#[cfg(test)]
mod tests {
    use num_bigint::BigUint;

    use super::*;

    fn levels() -> Vec<Level> {
        let level = Level::new();
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        let lower = [
            level.as_avx2().map(Simd::level),
            level.as_sse2().map(Simd::level),
        ];
        #[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
        let lower = [];
        lower.into_iter().flatten().chain([level]).collect()
    }

    /// A pass is what the definition says.
    fn check(numbers: &[BigUint], bits: u32) {
        let boxed: Vec<BoxedUint> = numbers
            .iter()
            .map(|n| BoxedUint::from_le_slice_vartime(&n.to_bytes_le()))
            .collect();
        let one = BigUint::from(1u8);
        for level in levels() {
            for (numbers, boxed) in numbers.chunks(2).zip(boxed.chunks(2)) {
                let passed = test(level, boxed, bits);
                for (n, passed) in numbers.iter().zip(passed) {
                    let expected = BigUint::from(2u8).modpow(&(n - 1u8), n) == one;
                    assert_eq!(passed, expected, "{n} with {level:?}");
                }
            }
        }
    }

    #[test]
    fn small_numbers_pass_by_the_definition() {
        for bits in 2..=10 {
            let numbers: Vec<BigUint> = (1u32 << (bits - 1)..1 << bits)
                .filter(|n| n % 2 == 1)
                .map(BigUint::from)
                .collect();
            check(&numbers, bits);
        }
    }

    #[test]
    fn what_only_passes_is_no_prime() {
        let one = BigUint::from(1u8);
        let power = |exponent: u32| &one << exponent;
        let mersenne = |exponent: u32| power(exponent) - 1u8;
        let numbers = [
            (mersenne(521), true),
            (mersenne(541), false),
            (power(512) + 1u8, false),
            (power(534) * 3u8 + 1u8, true),
        ];
        for (n, expected) in numbers {
            let boxed = BoxedUint::from_le_slice_vartime(&n.to_bytes_le());
            let bits = n.bits() as u32;
            assert_eq!(Filter::new(bits).is_prime(&boxed), expected, "{n}");
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            if let Some(known) = bases::test(Level::new(), &boxed, bits) {
                assert_eq!(known, expected, "{n}");
            }
            assert_eq!(is_prime(Flavor::Any, &boxed), expected, "{n}");
        }
    }

    /// Mersenne's numbers have all digits at their largest, and pass, prime or
    /// not; so do Fermat's, with almost all digits zero.
    #[test]
    fn extreme_numbers_pass_by_the_definition() {
        for exponent in [13u32, 61, 127, 521, 1039] {
            let power = BigUint::from(1u8) << exponent;
            check(&[&power - 1u8, &power - 3u8], exponent);
        }
        for exponent in [16u32, 64, 512] {
            let power = BigUint::from(1u8) << exponent;
            check(&[&power + 1u8, &power + 3u8], exponent + 1);
        }
    }
}
