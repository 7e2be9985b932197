//! Where a render takes random numbers and the time from.

use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

/// Where a render takes its random numbers and its time from.
///
/// Helm draws anew each time, so whoever renders a chart with `randAlphaNum` or
/// `genCA` in it sees a change at every look. A fixed seed makes the same bytes
/// of the same chart: each call of such a function has a stream of its own,
/// made from the seed, the release's name and namespace, and the way to the
/// call: the file, and from there the templates and the text of the calls.
/// Editing one template, or adding another, leaves all other draws as they are;
/// so does moving a call to another line.
///
/// ```
/// use std::time::SystemTime;
/// use gitops_render::helm::Seed;
/// let seed = Seed::fixed(b"a secret of the platform", SystemTime::UNIX_EPOCH);
/// assert_ne!(seed.for_application("shop"), seed.for_application("wiki"));
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Seed {
    /// From the system: another render is another draw, as in Helm.
    #[default]
    System,
    /// From a key and a time: the same render gives the same bytes.
    Fixed {
        /// What everything is drawn from. Who knows it can draw the same keys
        /// and passwords.
        key: [u8; 32],
        /// What `now` answers.
        now: SystemTime,
    },
}

impl Seed {
    /// A fixed seed of any bytes; as secret as what is drawn from it.
    pub fn fixed(secret: &[u8], now: SystemTime) -> Seed {
        Seed::Fixed {
            key: Sha256::digest(secret).into(),
            now,
        }
    }

    /// The seed of one application among many that share this one.
    pub fn for_application(self, name: &str) -> Seed {
        match self {
            Seed::System => Seed::System,
            Seed::Fixed { key, now } => Seed::Fixed {
                key: derive(&key, &[b"application", name.as_bytes()]),
                now,
            },
        }
    }
}

impl std::fmt::Debug for Seed {
    /// Without the key, which is a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Seed::System => f.write_str("System"),
            Seed::Fixed { now, .. } => f
                .debug_struct("Fixed")
                .field("now", now)
                .finish_non_exhaustive(),
        }
    }
}

/// A key from a key and some words.
pub(super) fn derive(key: &[u8; 32], words: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(key);
    for word in words {
        // Lengths keep ("a", "bc") and ("ab", "c") apart.
        hash.update((word.len() as u64).to_le_bytes());
        hash.update(word);
    }
    hash.finalize().into()
}
