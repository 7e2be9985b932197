//! Random numbers for one call of a function.

use std::cell::RefCell;
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use super::host::Host;

/// The random numbers of one call, and the time.
///
/// They come from the host's [`random`](Host::random), or from a stream of the
/// call's own if the host has a key for it (see [`Host::stream`]): then another
/// call that draws more or less changes nothing here.
pub struct Draw<'r> {
    host: &'r dyn Host,
    stream: Option<RefCell<Stream>>,
}

impl<'r> Draw<'r> {
    pub(super) fn new(host: &'r dyn Host, key: Option<[u8; 32]>) -> Self {
        Draw {
            host,
            stream: key.map(|key| RefCell::new(Stream::new(key))),
        }
    }

    /// The key of the stream that the numbers come from, which says all of
    /// them.
    pub(super) fn key(&self) -> Option<[u8; 32]> {
        let stream = self.stream.as_ref()?;
        Some(stream.borrow().key)
    }

    /// Fills `buffer` with random bytes.
    pub fn random(&self, buffer: &mut [u8]) {
        match &self.stream {
            Some(stream) => stream.borrow_mut().fill(buffer),
            None => self.host.random(buffer),
        }
    }

    /// The host's time.
    pub fn now(&self) -> SystemTime {
        self.host.now()
    }
}

/// SHA-256 of a key and a counter: whoever does not know the key cannot tell it
/// from noise, and keys and passwords are made from it.
pub(crate) struct Stream {
    key: [u8; 32],
    block: [u8; 32],
    used: usize,
    counter: u64,
}

impl Stream {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Stream {
            key,
            block: [0; 32],
            used: 32,
            counter: 0,
        }
    }

    pub(crate) fn fill(&mut self, buffer: &mut [u8]) {
        for byte in buffer {
            if self.used == self.block.len() {
                let mut hash = Sha256::new();
                hash.update(self.key);
                hash.update(self.counter.to_le_bytes());
                self.block = hash.finalize().into();
                self.counter += 1;
                self.used = 0;
            }
            *byte = self.block[self.used];
            self.used += 1;
        }
    }
}
