//! The two primes of an RSA key, looked for side by side: that is nearly all
//! the time a certificate takes.

use crypto_primes::hazmat::{SetBits, SmallFactorsSieveFactory};
use crypto_primes::{Flavor, is_prime, sieve_and_find};
use rsa::BoxedUint;

use super::{Random, Stream};
use crate::gotmpl::Failure;

/// Two different primes whose product has exactly `bits` bits.
pub(super) fn pair(bits: u32, random: &mut Random<'_>) -> Result<(BoxedUint, BoxedUint), Failure> {
    loop {
        let [first, second] = [(); 2].map(|()| {
            let mut seed = [0; 32];
            random.fill(&mut seed);
            seed
        });
        let (first, second) = std::thread::scope(|scope| {
            // Not everywhere are there threads.
            let other = std::thread::Builder::new().spawn_scoped(scope, || prime(bits / 2, second));
            let first = prime(bits / 2, first);
            let second = match other {
                Ok(thread) => thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                Err(_) => prime(bits / 2, second),
            };
            (first, second)
        });
        let (first, second) = (first?, second?);
        if first != second {
            return Ok((first, second));
        }
    }
}

fn prime(bits: u32, seed: [u8; 32]) -> Result<BoxedUint, Failure> {
    let mut random = Random::Stream(Stream::new(seed));
    SmallFactorsSieveFactory::new(Flavor::Any, bits, SetBits::TwoMsb)
        .and_then(|sieve| {
            sieve_and_find(&mut random, sieve, |_, candidate| {
                is_prime(Flavor::Any, candidate)
            })
        })
        .ok()
        .flatten()
        .ok_or_else(|| Failure::new(format!("error generating rsa key: no prime of {bits} bits")))
}
