//! The two primes of an RSA key, looked for by two threads: that is nearly all
//! the time a certificate takes.
//!
//! A search begins at a random number with its two highest bits set and takes
//! the first prime from there, as OpenSSL does. Three tests stand in a row, each
//! dearer than the one before: small primes strike out nine of ten odd numbers,
//! [Fermat's test](fermat) all others but, in practice, the prime, and only that
//! one gets a test with several bases.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use crypto_primes::hazmat::{SetBits, random_odd_integer};
use rsa::BoxedUint;

use super::{Random, Stream};
use crate::gotmpl::Failure;
use crate::worker;

mod fermat;

/// Two different primes whose product has exactly `bits` bits, an even number.
pub(super) fn pair(bits: u32, random: &mut Random<'_>) -> Result<(BoxedUint, BoxedUint), Failure> {
    let bits = bits / 2;
    // Of four bits 13 alone has the two highest.
    if bits < 5 {
        return Err(Failure::new(format!(
            "error generating rsa key: no two primes of {bits} bits"
        )));
    }
    loop {
        let searches = [(); 2].map(|()| {
            let mut seed = [0; 32];
            random.fill(&mut seed);
            Arc::new((Search::new(bits, &mut stream(seed)), seed))
        });
        let [(first, _), (second, _)] = searches.each_ref().map(|search| &**search);
        let others = searches.clone();
        let worker = worker::spawn(move || {
            let [(first, _), (second, _)] = others.each_ref().map(|search| &**search);
            second.help();
            first.help();
        });
        first.help();
        second.help();
        // Not everywhere are there threads.
        if let Ok(worker) = worker {
            let joined = worker.join();
            joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        let [first, second] = searches.map(|search| {
            let (search, seed) = &*search;
            search.found().unwrap_or_else(|| prime(bits, *seed))
        });
        if first != second {
            return Ok((first, second));
        }
    }
}

/// Random numbers that are the same for the same seed.
fn stream(seed: [u8; 32]) -> Random<'static> {
    Random::Stream(Stream::new(seed))
}

/// The first prime of so many bits from a random one with its two highest bits
/// set.
fn prime(bits: u32, seed: [u8; 32]) -> BoxedUint {
    let mut random = stream(seed);
    loop {
        let search = Search::new(bits, &mut random);
        search.help();
        // It happens once in a hundred thousand searches that there is none.
        if let Some(prime) = search.found() {
            return prime;
        }
    }
}

/// The numbers from a random one on, gone through by any number of threads.
struct Search {
    bits: u32,
    start: BoxedUint,
    /// How far from the start the candidates are.
    distances: OnceLock<Vec<u64>>,
    filter: fermat::Filter,
    /// How many batches of candidates have been begun with.
    begun: AtomicUsize,
    /// The first batch that is known to have a prime, and that.
    found: Mutex<Option<(usize, BoxedUint)>>,
}

impl Search {
    fn new(bits: u32, random: &mut Random<'_>) -> Self {
        let size = NonZeroU32::new(bits).expect("five bits at least");
        Search {
            bits,
            start: random_odd_integer::<BoxedUint, _>(random, size, SetBits::TwoMsb)
                .expect("a boxed number has room for all bits")
                .get(),
            distances: OnceLock::new(),
            filter: fermat::Filter::new(bits),
            begun: AtomicUsize::new(0),
            found: Mutex::new(None),
        }
    }

    /// Goes through candidates until there is a prime or none is left. Whoever
    /// returns has finished its own; only when all have is the first one known.
    fn help(&self) {
        let distances = self.distances.get_or_init(|| sieve(&self.start, self.bits));
        loop {
            let batch = self.begun.fetch_add(1, Ordering::Relaxed);
            let found = || self.found.lock().expect("no panic under the lock");
            let enough = found().as_ref().is_some_and(|(first, _)| *first < batch);
            let Some(distances) = distances.chunks(self.filter.lanes()).nth(batch) else {
                return;
            };
            if enough {
                return;
            }
            let candidates = distances
                .iter()
                .map(|distance| self.start.wrapping_add(BoxedUint::from(*distance)))
                .filter(|candidate| candidate.bit_width_vartime() == self.bits)
                .collect();
            let passing = self.filter.passing(candidates);
            let prime = passing
                .into_iter()
                .find(|candidate| self.filter.is_prime(candidate));
            if let Some(prime) = prime {
                let mut found = found();
                if found.as_ref().is_none_or(|(first, _)| batch < *first) {
                    *found = Some((batch, prime));
                }
                return;
            }
        }
    }

    /// The prime, when all that helped have returned.
    fn found(&self) -> Option<BoxedUint> {
        let found = self.found.lock().expect("no panic under the lock");
        found.as_ref().map(|(_, prime)| prime.clone())
    }
}

/// How far from an odd number of so many bits there are others that no small
/// prime divides.
fn sieve(start: &BoxedUint, bits: u32) -> Vec<u64> {
    let start = start.to_le_bytes();
    // Of eight numbers per bit eleven are prime, on average.
    let mut composite = vec![false; 4 * bits as usize];
    for group in small_primes() {
        let remainder = start.chunks(8).rev().fold(0, |remainder, bytes| {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            let dividend = u128::from(remainder) << 64 | u128::from(u64::from_le_bytes(word));
            (dividend % u128::from(group.product)) as u64
        });
        for prime in group.primes.iter().map(|prime| u64::from(*prime)) {
            // Larger ones would strike out themselves; and a composite number of
            // so many bits has a smaller factor.
            if bits < 32 && prime * prime >= 1 << bits {
                break;
            }
            let missing = (prime - remainder % prime) % prime;
            let index = match missing % 2 {
                0 => missing / 2,
                _ => (missing + prime) / 2,
            };
            if let Some(composite) = composite.get_mut(index as usize..) {
                composite
                    .iter_mut()
                    .step_by(prime as usize)
                    .for_each(|composite| *composite = true);
            }
        }
    }
    (0..)
        .zip(composite)
        .filter(|(_, composite)| !composite)
        .map(|(index, _)| 2 * index)
        .collect()
}

/// Four primes, divided by at once.
struct Group {
    product: u64,
    primes: Vec<u16>,
}

/// The odd primes of 16 bits. More of them would save less than they cost.
fn small_primes() -> &'static [Group] {
    static GROUPS: OnceLock<Vec<Group>> = OnceLock::new();
    GROUPS.get_or_init(|| {
        let mut composite = vec![false; 1 << 16];
        let mut primes = Vec::new();
        for number in (3..=u16::MAX).step_by(2) {
            if !composite[usize::from(number)] {
                primes.push(number);
                let number = usize::from(number);
                for multiple in (number * number..composite.len()).step_by(number) {
                    composite[multiple] = true;
                }
            }
        }
        let group = |primes: &[u16]| Group {
            product: primes.iter().map(|prime| u64::from(*prime)).product(),
            primes: primes.to_vec(),
        };
        primes.chunks(4).map(group).collect()
    })
}

#[cfg(test)]
mod tests {
    use crypto_primes::hazmat::SmallFactorsSieveFactory;
    use crypto_primes::{Flavor, is_prime, sieve_and_find};
    use num_bigint::BigUint;

    use super::*;

    /// The search of `crypto-primes` begins at the same numbers.
    fn expected(bits: u32, seed: [u8; 32]) -> BoxedUint {
        let sieve = SmallFactorsSieveFactory::new(Flavor::Any, bits, SetBits::TwoMsb)
            .expect("there are primes of so many bits");
        let mut random = Random::Stream(Stream::new(seed));
        sieve_and_find(&mut random, sieve, |_, candidate| {
            is_prime(Flavor::Any, candidate)
        })
        .expect("a stream does not fail")
        .expect("a search goes on until it finds one")
    }

    #[test]
    fn the_first_prime_from_a_random_number_is_found() {
        let sizes = (5..=130u32).chain([255, 256, 257, 512]);
        for (bits, variant) in sizes.flat_map(|bits| (0..4).map(move |variant| (bits, variant))) {
            let mut seed = [variant; 32];
            seed[..4].copy_from_slice(&bits.to_le_bytes());
            let prime = prime(bits, seed);
            assert!(is_prime(Flavor::Any, &prime));
            assert_eq!(prime.bit_width(), bits);
            assert_eq!(prime, expected(bits, seed), "{bits} bits");
        }
    }

    #[test]
    fn two_primes_differ_and_their_product_has_all_bits() {
        for bits in (10..200u32).step_by(2) {
            let draw = || pair(bits, &mut Random::Stream(Stream::new([bits as u8; 32])));
            let (p, q) = draw().expect("there are primes of so many bits");
            assert_ne!(p, q);
            let product = [&p, &q].map(|prime| BigUint::from_bytes_le(&prime.to_le_bytes()));
            assert_eq!(product.iter().product::<BigUint>().bits(), u64::from(bits));
            assert_eq!(draw().expect("as before"), (p, q));
        }
    }

    #[test]
    fn no_two_primes_of_four_bits_have_both_highest_bits() {
        let error = pair(9, &mut Random::Stream(Stream::new([0; 32]))).map(|_| ());
        let error = error.expect_err("13 is alone").to_string();
        assert_eq!(error, "error generating rsa key: no two primes of 4 bits");
    }
}
