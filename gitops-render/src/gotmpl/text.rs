//! Go's string: bytes that are usually UTF-8.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use ecow::EcoString;

/// A Go `string`: immutable bytes, usually but not always UTF-8.
///
/// `trunc` and `substr` cut bytes, so a template can make a string that ends
/// in half a character and print the other half next to it. A clone is O(1),
/// and so is taking over the text of a [`gitops_core::Value`].
#[derive(Clone, PartialEq, Eq)]
pub struct Str(Repr);

/// **Invariant:** `Raw` holds only what is not UTF-8, so that equality can be
/// derived and [`Str::as_str`] needs no validation.
#[derive(Clone, PartialEq, Eq)]
enum Repr {
    Text(EcoString),
    Raw(Arc<[u8]>),
}

impl Str {
    /// The empty string; allocates nothing.
    pub const fn new() -> Self {
        Str(Repr::Text(EcoString::new()))
    }

    /// A string of these bytes.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Str::from(text),
            Err(_) => Str(Repr::Raw(bytes.into())),
        }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Text(text) => text.as_bytes(),
            Repr::Raw(bytes) => bytes,
        }
    }

    /// The text, if the bytes are UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        match &self.0 {
            Repr::Text(text) => Some(text),
            Repr::Raw(_) => None,
        }
    }

    /// The text, with U+FFFD for what is not UTF-8.
    pub fn to_text(&self) -> Cow<'_, str> {
        match &self.0 {
            Repr::Text(text) => Cow::Borrowed(text),
            Repr::Raw(bytes) => String::from_utf8_lossy(bytes),
        }
    }

    /// The text for a [`gitops_core::Value`], with U+FFFD for what is not
    /// UTF-8, as Go's JSON encoder writes it.
    pub fn to_core(&self) -> EcoString {
        match &self.0 {
            Repr::Text(text) => text.clone(),
            // Go replaces byte by byte, `from_utf8_lossy` by maximal prefix.
            Repr::Raw(bytes) => {
                let mut text = EcoString::new();
                for chunk in bytes.utf8_chunks() {
                    text.push_str(chunk.valid());
                    for _ in chunk.invalid() {
                        text.push('\u{fffd}');
                    }
                }
                text
            }
        }
    }

    /// The number of bytes.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }
}

impl Default for Str {
    fn default() -> Self {
        Str::new()
    }
}

impl fmt::Display for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

impl fmt::Debug for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_text(), f)
    }
}

impl PartialOrd for Str {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// By bytes, as Go compares strings.
impl Ord for Str {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl std::hash::Hash for Str {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl AsRef<[u8]> for Str {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// Maps keyed by `Str` can be asked with bytes.
impl std::borrow::Borrow<[u8]> for Str {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl PartialEq<str> for Str {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Str {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

impl From<&str> for Str {
    fn from(text: &str) -> Self {
        // What `into` makes of a long text is copied byte by byte.
        let mut copy = EcoString::with_capacity(text.len());
        copy.push_str(text);
        Str(Repr::Text(copy))
    }
}

impl From<String> for Str {
    fn from(text: String) -> Self {
        Str::from(text.as_str())
    }
}

impl From<&String> for Str {
    fn from(text: &String) -> Self {
        Str::from(text.as_str())
    }
}

impl From<EcoString> for Str {
    fn from(text: EcoString) -> Self {
        Str(Repr::Text(text))
    }
}

impl From<Cow<'_, str>> for Str {
    fn from(text: Cow<'_, str>) -> Self {
        Str::from(&*text)
    }
}

impl From<char> for Str {
    fn from(character: char) -> Self {
        let mut text = EcoString::new();
        text.push(character);
        Str(Repr::Text(text))
    }
}

impl From<&[u8]> for Str {
    fn from(bytes: &[u8]) -> Self {
        Str::from_bytes(bytes)
    }
}

impl From<Vec<u8>> for Str {
    fn from(bytes: Vec<u8>) -> Self {
        Str::from_bytes(&bytes)
    }
}
