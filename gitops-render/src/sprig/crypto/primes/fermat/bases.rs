//! The test of Miller and Rabin, of one candidate with a base in each lane.

use fearless_simd::Level;
use fearless_simd::prelude::*;
use rsa::BoxedUint;

use super::super::Stream;
use super::{Digits, Lanes, Number, Test, Wide, add, half, part};

/// How many bases a number is tested with before it counts as prime. FIPS 186-5
/// asks for fewer, from so many bits on.
const BASES: usize = 8;
const BITS_FOR_BASES: u32 = 512;

/// Whether a number is prime, by the test of Miller and Rabin with a base in each
/// lane; nothing where that would take longer than to test otherwise.
pub(super) fn test(level: Level, candidate: &BoxedUint, bits: u32) -> Option<bool> {
    let simd = level.as_avx512().filter(|_| bits >= BITS_FOR_BASES)?;
    assert_eq!(Lanes::<Wide>::LEN, BASES);
    let candidates = std::slice::from_ref(candidate);
    // Random like the candidate, and the same for the same one.
    let mut seed = [0; 32];
    seed.copy_from_slice(&candidate.to_le_bytes()[..32]);
    let mut stream = Stream::new(seed);
    let bases = [(); BASES].map(|()| {
        let mut base = vec![0; bits as usize / 8];
        stream.fill(&mut base);
        // Below the candidate, whose highest bit is set, and not zero.
        base[bits as usize / 8 - 1] >>= 1;
        base[0] |= 2;
        base
    });
    let digits = Wide(simd);
    Some(simd.vectorize(
        #[inline(always)]
        || match half::<Wide>(bits) {
            ..=10 => Test::<_, 10>::new(digits, candidates, bits).strong(&bases),
            _ => Test::<_, 20>::new(digits, candidates, bits).strong(&bases),
        },
    ))
}

impl<D: Digits, const HALF: usize> Test<D, HALF> {
    /// Whether the one candidate is a strong probable prime to all of these bases:
    /// of `base^d`, `base^2d`, `base^4d` and so on up to half of `n-1` the first is
    /// 1 or one is -1. The bases are taken as if they were times `R` already, which
    /// makes them others, but as random as they were.
    #[inline(always)]
    fn strong(mut self, bases: &[Vec<u8>; BASES]) -> bool {
        let base = self.places(|place| {
            Lanes::<D>::from_fn(self.digits.simd(), |lane| {
                part(&bases[lane], place * D::WIDTH, D::WIDTH)
            })
        });
        self.number = base;
        let candidate = self.candidates[0].clone();
        let bit = |bit: u32| candidate[bit as usize / 8] >> (bit % 8) & 1 == 1;
        // Of `n-1`, which has the bits of `n` but for the lowest.
        let zeros = (1..self.bits)
            .find(|place| bit(*place))
            .expect("numbers have a highest bit");
        for place in (zeros..self.bits - 1).rev() {
            self.square(self.zero);
            if bit(place) {
                self.multiply(&base);
            }
        }
        let mut strong = [false; BASES];
        for squared in 0..zeros {
            if squared > 0 {
                self.square(self.zero);
            }
            let power = self.number;
            self.divide();
            for (lane, strong) in strong.iter_mut().enumerate() {
                let side = self.is_beside_zero(lane);
                *strong |= side.is_some_and(|side| side < 0 || squared == 0);
            }
            self.number = power;
        }
        strong.iter().all(|strong| *strong)
    }

    /// Makes the number its product with another, divided by R.
    #[inline(always)]
    fn multiply(&mut self, other: &Number<D, HALF>) {
        let [low, high] = &self.number;
        let [lowest, mut lower] = self.product(low, &other[0]);
        let [mut higher, highest] = self.product(high, &other[1]);
        for (x, y) in [(low, &other[1]), (high, &other[0])] {
            let [low, high] = self.product(x, y);
            add(&mut lower, &low);
            add(&mut higher, &high);
        }
        self.reduce([lowest, lower, higher, highest], self.zero);
    }
}
