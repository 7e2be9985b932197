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

use std::ops::AddAssign;

use crypto_primes::{Flavor, is_prime};
use fearless_simd::prelude::*;
use fearless_simd::{Level, Simd, dispatch};
use rsa::BoxedUint;

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
mod bases;

/// Whether the test takes less time than it saves: not where lanes are not
/// multiplied into such of twice the width at once, for larger numbers than
/// certificates have, and without optimisation for small numbers only.
const fn pays(bits: u32) -> bool {
    let most = if cfg!(debug_assertions) { 64 } else { LARGEST };
    cfg!(any(target_arch = "x86", target_arch = "x86_64")) && bits <= most
}

/// The bits of the largest number that there are digits for.
const LARGEST: u32 = 2068;

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
    #[inline(always)]
    fn narrow<S: Simd>(simd: S, candidates: &[BoxedUint], bits: u32) -> Vec<bool> {
        let digits = Narrow(simd);
        match half::<Narrow<S>>(bits) {
            ..=19 => Test::<_, 19>::new(digits, candidates, bits).passed(),
            _ => Test::<_, 37>::new(digits, candidates, bits).passed(),
        }
    }

    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if let Some(simd) = level.as_avx512() {
        let digits = Wide(simd);
        return simd.vectorize(
            #[inline(always)]
            || match half::<Wide>(bits) {
                ..=10 => Test::<_, 10>::new(digits, candidates, bits).passed(),
                _ => Test::<_, 20>::new(digits, candidates, bits).passed(),
            },
        );
    }
    dispatch!(level, simd => narrow(simd, candidates, bits))
}

/// Half of the digits that the arithmetic needs.
fn half<D: Digits>(bits: u32) -> usize {
    // Numbers stay below four times the modulus; their squares have to stay
    // below the modulus times R.
    (bits + 4).div_ceil(2 * D::WIDTH) as usize
}

type Lanes<D> = <<D as Digits>::Simd as Simd>::u64s;

/// Numbers by their digits, and how these are multiplied.
trait Digits: Copy {
    type Simd: Simd;
    /// Bits of a digit.
    const WIDTH: u32;
    /// How many digits half of a number has at most: each of the half adds so much
    /// to a place that 64 bits overflow with more.
    const LARGEST_HALF: usize;

    fn simd(self) -> Self::Simd;

    /// A sum and that part of a product which belongs to the digits' own place.
    fn low(self, sum: Lanes<Self>, x: Lanes<Self>, y: Lanes<Self>) -> Lanes<Self>;

    /// A sum and that part of a product which belongs to the next place.
    fn high(self, sum: Lanes<Self>, x: Lanes<Self>, y: Lanes<Self>) -> Lanes<Self>;

    /// The lowest digit of what `low` made of zero and a product.
    fn lowest(self, low: Lanes<Self>) -> Lanes<Self>;
}

/// Digits that any processor can multiply: a lane holds a whole product.
#[derive(Clone, Copy)]
struct Narrow<S>(S);

impl<S: Simd> Digits for Narrow<S> {
    type Simd = S;
    const WIDTH: u32 = 28;
    // Four products of 56 bits.
    const LARGEST_HALF: usize = (1 << (64 - 56)) / 4 - 1;

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

    #[inline(always)]
    fn lowest(self, low: S::u64s) -> S::u64s {
        low & ones(Self::WIDTH)
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
    // Four products, two parts of 52 bits each.
    const LARGEST_HALF: usize = (1 << (64 - 52)) / 8 - 1;

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

    #[inline(always)]
    fn lowest(self, low: Lanes<Self>) -> Lanes<Self> {
        low
    }
}

/// Digits from the lowest on, in two halves: as many as there are registers for
/// in the inner loops.
type Number<D, const HALF: usize> = [[Lanes<D>; HALF]; 2];

/// Places of a product, each a sum of products of digits.
type Sums<D, const HALF: usize> = [[Lanes<D>; HALF]; 4];

struct Test<D: Digits, const HALF: usize> {
    digits: D,
    /// Bytes, from the lowest on.
    candidates: Vec<Box<[u8]>>,
    bits: u32,
    modulus: Number<D, HALF>,
    /// Times this, the lowest digit tells which multiple of the modulus makes it
    /// zero.
    inverse: Lanes<D>,
    /// What is squared.
    number: Number<D, HALF>,
    zero: Lanes<D>,
}

impl<D: Digits, const HALF: usize> Test<D, HALF> {
    #[inline(always)]
    fn new(digits: D, candidates: &[BoxedUint], bits: u32) -> Self {
        assert!(half::<D>(bits) <= HALF, "numbers of {bits} bits are larger");
        const { assert!(HALF <= D::LARGEST_HALF) };
        let zero = Lanes::<D>::from_fn(digits.simd(), |_| 0);
        let mut test = Test {
            digits,
            candidates: candidates.iter().map(BoxedUint::to_le_bytes).collect(),
            bits,
            modulus: [[zero; HALF]; 2],
            inverse: zero,
            number: [[zero; HALF]; 2],
            zero,
        };
        test.modulus = test.places(|place| test.each(|n| part(n, place * D::WIDTH, D::WIDTH)));
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
        let exponent = 2 * HALF as u32 * D::WIDTH;
        // As many bits of the candidate as make a number below R's exponent.
        let leading = exponent.ilog2().min(self.bits);
        let remaining = self.bits - leading;
        self.number = self.places(|place| {
            self.each(|n| {
                let bit = exponent - 1 - part(n, remaining, leading) as u32;
                match bit / D::WIDTH == place {
                    true => 1 << (bit % D::WIDTH),
                    false => 0,
                }
            })
        });
        for bit in (0..remaining).rev() {
            let inverted = self.each(|n| {
                let bit = n[bit as usize / 8] >> (bit % 8) & 1;
                u64::from(bit).wrapping_sub(1)
            });
            self.square(inverted);
        }
        self.double(self.each(|_| u64::MAX));
        self.double(self.each(|_| u64::MAX));
        self.divide();
        (0..self.candidates.len())
            .map(|lane| self.is_beside_zero(lane).is_some_and(|side| side > 0))
            .collect()
    }

    /// A number by its digits, whose places count from the lowest on.
    #[inline(always)]
    fn places(&self, digit: impl Fn(u32) -> Lanes<D>) -> Number<D, HALF> {
        let mut number = [[self.zero; HALF]; 2];
        for (place, to) in (0..).zip(number.as_flattened_mut()) {
            *to = digit(place);
        }
        number
    }

    /// Makes the number what it is without R, and below the modulus.
    #[inline(always)]
    fn divide(&mut self) {
        let [low, high] = self.number;
        let zero = [self.zero; HALF];
        self.reduce([low, high, zero, zero], self.zero);
    }

    /// 1 if the number is, -1 if it is one less than the modulus.
    #[inline(always)]
    fn is_beside_zero(&self, lane: usize) -> Option<i32> {
        let is = |low: u64, rest: &dyn Fn(usize) -> u64| {
            let digits = self.number.as_flattened();
            let mut digits = digits.iter().map(|digit| digit[lane]).enumerate();
            digits.all(|(place, digit)| digit == if place == 0 { low } else { rest(place) })
        };
        // It is odd, so nothing is carried.
        let modulus = |place: usize| self.modulus.as_flattened()[place][lane];
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
        for digit in self.number.as_flattened_mut() {
            carry += *digit + (*digit & lanes);
            *digit = carry & ones(D::WIDTH);
            carry >>= D::WIDTH;
        }
    }

    /// Makes the number its square, divided by R, or twice that in lanes that are
    /// all ones.
    #[inline(always)]
    fn square(&mut self, twice: Lanes<D>) {
        let [low, high] = &self.number;
        let [lowest, mut lower] = self.squared(low);
        let [mut higher, highest] = self.squared(high);
        let [low, high] = self.product(low, high);
        for _ in 0..2 {
            add(&mut lower, &low);
            add(&mut higher, &high);
        }
        self.reduce([lowest, lower, higher, highest], twice);
    }

    /// Makes the number that of the sums, divided by R, or twice that in lanes that
    /// are all ones.
    #[inline(always)]
    fn reduce(&mut self, sums: Sums<D, HALF>, twice: Lanes<D>) {
        let [lowest, mut lower, mut higher, mut highest] = sums;
        let (multiples, carried) = self.cancel(lowest);
        let [low, high] = self.product(&multiples, &self.modulus[1]);
        add(&mut lower, &carried);
        add(&mut lower, &low);
        add(&mut higher, &high);
        let (multiples, carried) = self.cancel(lower);
        let [low, high] = self.product(&multiples, &self.modulus[1]);
        add(&mut higher, &carried);
        add(&mut higher, &low);
        add(&mut highest, &high);
        self.number = [higher, highest];
        // Without room for sums of twice the size their carries go on first.
        if HALF > D::LARGEST_HALF / 2 {
            self.double(self.zero);
        }
        self.double(twice);
    }

    /// Which multiples of the modulus, one for each place, make the sums zero, and
    /// what its lower half times those and the sums carry to the places above.
    #[inline(always)]
    fn cancel(&self, mut sums: [Lanes<D>; HALF]) -> ([Lanes<D>; HALF], [Lanes<D>; HALF]) {
        let mut multiples = [self.zero; HALF];
        for multiple in &mut multiples {
            let low = self.digits.low(self.zero, sums[0], self.inverse);
            *multiple = self.digits.lowest(low);
            let sum = self.add_product(&mut sums, *multiple, &self.modulus[0]);
            sums[0] += sum >> D::WIDTH;
        }
        (multiples, sums)
    }

    /// The places of a product of halves.
    #[inline(always)]
    fn product(&self, x: &[Lanes<D>; HALF], y: &[Lanes<D>; HALF]) -> Number<D, HALF> {
        let [mut low, mut sums] = [[self.zero; HALF]; 2];
        for (low, x) in low.iter_mut().zip(x) {
            *low = self.add_product(&mut sums, *x, y);
        }
        [low, sums]
    }

    /// The places of the square of a half, of two digits' products each but once.
    #[inline(always)]
    fn squared(&self, x: &[Lanes<D>; HALF]) -> Number<D, HALF> {
        // There are no registers for all places of more digits.
        if HALF > 10 {
            return self.product(x, x);
        }
        let digits = self.digits;
        let mut square = [[self.zero; HALF]; 2];
        let places = square.as_flattened_mut();
        for low in 0..HALF {
            for high in low + 1..HALF {
                let [own, next] = [low + high, low + high + 1];
                places[own] = digits.low(places[own], x[low], x[high]);
                places[next] = digits.high(places[next], x[low], x[high]);
            }
        }
        for (place, x) in x.iter().enumerate() {
            let [own, next] = [2 * place, 2 * place + 1];
            places[own] = digits.low(places[own] + places[own], *x, *x);
            places[next] = digits.high(places[next] + places[next], *x, *x);
        }
        square
    }

    /// Adds the product of a digit and a half. Yields the lowest sum; the others
    /// move down by a place.
    #[inline(always)]
    fn add_product(
        &self,
        sums: &mut [Lanes<D>; HALF],
        x: Lanes<D>,
        y: &[Lanes<D>; HALF],
    ) -> Lanes<D> {
        let digits = self.digits;
        let lowest = digits.low(sums[0], x, y[0]);
        // The next digit waits for this one.
        sums[0] = digits.high(sums[1], x, y[0]) + digits.low(self.zero, x, y[1]);
        for place in 2..HALF {
            let sum = digits.high(sums[place], x, y[place - 1]);
            sums[place - 1] = digits.low(sum, x, y[place]);
        }
        sums[HALF - 1] = digits.high(self.zero, x, y[HALF - 1]);
        lowest
    }
}

/// Adds to all places.
#[inline(always)]
fn add<L: Copy + AddAssign, const HALF: usize>(sums: &mut [L; HALF], others: &[L; HALF]) {
    for (sum, other) in sums.iter_mut().zip(others) {
        *sum += *other;
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
        for exponent in [13u32, 61, 127, 521, 1036, 1039, 1279] {
            let power = BigUint::from(1u8) << exponent;
            check(&[&power - 1u8, &power - 3u8], exponent);
        }
        for exponent in [16u32, 64, 512] {
            let power = BigUint::from(1u8) << exponent;
            check(&[&power + 1u8, &power + 3u8], exponent + 1);
        }
    }
}
