//! Keeps what Secrets hold out of texts.
//!
//! Servers, webhooks and libraries quote what they do not like, each in its own
//! way. A [`Redaction`] knows what some Secrets hold and finds it in a text in
//! whichever of these forms it stands there, whole or in part:
//!
//! | form                     | example for `key`           |
//! |--------------------------|-----------------------------|
//! | as it is                 | `key`                       |
//! | base64, at any alignment | `a2V5`; also url-safe       |
//! | hexadecimal              | `6b6579`, `0x6b, 0x65`      |
//! | a Go slice               | `107 101 121`               |
//! | escaped                  | as JSON, Go and URLs do it  |
//!
//! What is longer than [`PART`] bytes is found by any part of that length, so
//! that a value that was cut off or broken into lines is found too. What is
//! shorter than three bytes is not looked for: it would be found everywhere.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose::STANDARD};
use base64::{alphabet, prelude::BASE64_STANDARD_NO_PAD};

use crate::{Map, Value, json};

/// What stands in for a value.
pub const HIDDEN: &str = "(hidden)";

/// How long a part of a value is by which the value is recognised.
pub const PART: usize = 8;

/// The annotation in which `kubectl apply` keeps the whole object.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What some Secrets hold, so that it can be found and hidden.
///
/// ```
/// use gitops_core::{Map, redaction::Redaction};
///
/// let held = Map::from_iter([("data", Map::from_iter([("password", "aHVudGVyMg==")]))]);
/// let mut redaction = Redaction::default();
/// redaction.add(&held);
/// assert_eq!(redaction.hide("is hunter2 good?"), "is (hidden) good?");
/// assert_eq!(redaction.hide("found aHVudGVyMg"), "found (hidden)");
/// assert_eq!(redaction.hide("all is well"), "all is well");
/// ```
#[derive(Default)]
pub struct Redaction {
    /// The values, decoded; each once.
    values: Vec<Vec<u8>>,
}

impl std::fmt::Debug for Redaction {
    /// How much there is to hide, and nothing of it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redaction({} values)", self.values.len())
    }
}

impl Redaction {
    /// Takes up what a Secret holds, or a part of one: its `data`, its
    /// `stringData`, and those of the copies that `kubectl apply` and
    /// controllers leave in annotations.
    pub fn add(&mut self, secret: &Map) {
        self.fields(secret);
        let metadata = secret.get("metadata").and_then(Value::as_map);
        let annotations = metadata.and_then(|metadata| metadata.get("annotations")?.as_map());
        for (name, text) in annotations.into_iter().flatten() {
            let text = text.as_str().unwrap_or_default();
            let mut is_copy = self.copy(text.as_bytes());
            if !is_copy && text.len() >= PART {
                is_copy = decodings(text.as_bytes())
                    .iter()
                    .any(|text| self.copy(text));
            }
            // It cannot be told what of it is secret.
            if !is_copy && name == LAST_APPLIED {
                self.take(text.as_bytes());
            }
        }
    }

    fn copy(&mut self, text: &[u8]) -> bool {
        if !text.trim_ascii_start().starts_with(b"{") {
            return false;
        }
        match json::parse(text) {
            Ok(Value::Map(copy)) => {
                self.fields(&copy);
                true
            }
            _ => false,
        }
    }

    fn fields(&mut self, object: &Map) {
        for field in ["data", "stringData"] {
            if let Some(value) = object.get(field) {
                self.collect(value);
            }
        }
    }

    fn collect(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.text(text),
            Value::Map(map) => map.values().for_each(|value| self.collect(value)),
            Value::List(list) => list.iter().for_each(|value| self.collect(value)),
            Value::Int(number) => self.take(number.to_string().as_bytes()),
            Value::UInt(number) => self.take(number.to_string().as_bytes()),
            Value::Float(number) => self.take(number.to_string().as_bytes()),
            Value::Bool(_) | Value::Null => {}
        }
    }

    /// A value that is base64, or was meant to be, or is not; and what is so
    /// encoded may well be a code itself, such as a key in base64.
    fn text(&mut self, text: &str) {
        self.take(text.as_bytes());
        for decoded in decodings(text.as_bytes()) {
            self.take(&decoded);
            for decoded in decodings(&decoded) {
                self.take(&decoded);
            }
        }
    }

    fn take(&mut self, value: &[u8]) {
        if value.len() >= 3 && !self.values.iter().any(|have| have == value) {
            self.values.push(value.to_vec());
        }
    }

    /// The text without the values.
    pub fn hide<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let found = self.find(text, true);
        if !found.contains(&true) {
            return Cow::Borrowed(text);
        }
        let mut hidden = String::with_capacity(text.len());
        let mut within = false;
        for (at, char) in text.char_indices() {
            let covered = found[at..at + char.len_utf8()].contains(&true);
            match (covered, within) {
                (true, false) => hidden.push_str(HIDDEN),
                (true, true) => {}
                (false, _) => hidden.push(char),
            }
            within = covered;
        }
        Cow::Owned(hidden)
    }

    /// Whether a part of a value that is long enough to be told from chance
    /// stands in the text.
    pub fn is_in(&self, text: &str) -> bool {
        text.len() >= PART && self.find(text, false).contains(&true)
    }

    /// Which bytes of the text belong to a value.
    fn find(&self, text: &str, short: bool) -> Vec<bool> {
        let text: Vec<u8> = text.bytes().map(alike).collect();
        let mut found = vec![false; text.len()];
        // The text is short and the values may be long: it is the text's parts
        // that are kept at hand.
        let mut parts: HashMap<[u8; PART], Vec<usize>> = HashMap::new();
        for (at, part) in text.windows(PART).enumerate() {
            let part = part.try_into().expect("a window of that size");
            parts.entry(part).or_default().push(at);
        }
        for value in &self.values {
            forms(value, |form| {
                let form: Vec<u8> = form.iter().copied().map(alike).collect();
                for part in form.windows(PART) {
                    // What is found once needs not be found again.
                    for at in parts.remove(part).into_iter().flatten() {
                        found[at..at + PART].fill(true);
                    }
                }
            });
        }
        // Where an encoding begins in the middle of a byte, its edge is told
        // apart by no part.
        let is_code = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
        for at in 1..text.len() {
            found[at] |= found[at - 1] && is_code(&text[at]) && is_code(&text[at - 1]);
        }
        for at in (1..text.len()).rev() {
            found[at - 1] |= found[at] && is_code(&text[at]) && is_code(&text[at - 1]);
        }
        if !short {
            return found;
        }
        let mut cover = |needle: &[u8]| {
            let needle: Vec<u8> = needle.iter().copied().map(alike).collect();
            for at in memchr::memmem::find_iter(&text, &needle) {
                found[at..at + needle.len()].fill(true);
            }
        };
        for value in &self.values {
            // The other forms of a longer value are longer.
            if value.len() < PART {
                forms(value, |form| {
                    if (3..PART).contains(&form.len()) {
                        cover(form);
                    }
                });
            }
            let lines = value.split(|byte| *byte == b'\n');
            for line in lines.filter(|line| (4..PART).contains(&line.len())) {
                cover(line);
            }
        }
        found
    }
}

/// A message without what it quotes, for when it is not known what of that is
/// secret. Quotes of up to three characters are left: they are punctuation.
pub(crate) fn unquoted(message: &str) -> String {
    let mut rest = message;
    let mut out = String::with_capacity(message.len());
    while let Some(open) = rest.find(['`', '\'', '"']) {
        let quote = rest[open..].chars().next().unwrap_or_default();
        let (before, quoted) = rest.split_at(open + 1);
        out.push_str(before);
        // The last one of its sort: what is quoted may hold more of them.
        let close = quoted.rfind(quote).unwrap_or(quoted.len());
        match quoted[..close].chars().count() {
            0..=3 => out.push_str(&quoted[..close]),
            _ => out.push_str(HIDDEN),
        }
        rest = &quoted[close..];
        if let Some(after) = rest.strip_prefix(quote) {
            out.push(quote);
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// A byte as far as it matters: letters of either case, and either alphabet of
/// base64.
fn alike(byte: u8) -> u8 {
    match byte {
        b'-' => b'+',
        b'_' => b'/',
        byte => byte.to_ascii_lowercase(),
    }
}

/// What a text may be the code of.
fn decodings(text: &[u8]) -> Vec<Vec<u8>> {
    let plain: Vec<u8> = text
        .iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|byte| match byte {
            b'+' => b'-',
            b'/' => b'_',
            byte => *byte,
        })
        .collect();
    let mut decodings = Vec::new();
    decodings.extend(LENIENT.decode(&plain));
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let pairs = plain.chunks_exact(2);
    if pairs.remainder().is_empty() {
        let bytes = pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?));
        decodings.extend(bytes.collect::<Option<Vec<u8>>>());
    }
    decodings
}

/// The forms that a value can have in a text.
fn forms(value: &[u8], mut each: impl FnMut(&[u8])) {
    each(value);
    each(STANDARD.encode(value).as_bytes());
    each(BASE64_STANDARD_NO_PAD.encode(value).as_bytes());
    for shift in 1..3 {
        // Behind one or two bytes of something else; the first four letters
        // are not the value's alone.
        let shifted = [&b"  "[..shift], value].concat();
        let code = BASE64_STANDARD_NO_PAD.encode(shifted);
        if code.len() >= 4 + PART {
            each(&code.as_bytes()[4..]);
        }
    }
    let mut hex = String::with_capacity(value.len() * 6);
    let mut list = |format: fn(&mut String, u8)| {
        hex.clear();
        for byte in value {
            format(&mut hex, *byte);
        }
        each(hex.as_bytes());
    };
    // Writing to a string does not fail.
    list(|text, byte| {
        write!(text, "{byte:02x}").ok();
    });
    list(|text, byte| {
        write!(text, "0x{byte:x}, ").ok();
    });
    list(|text, byte| {
        write!(text, "0x{byte:02x}, ").ok();
    });
    list(|text, byte| {
        write!(text, "{byte} ").ok();
    });
    list(|text, byte| {
        write!(text, "{byte}, ").ok();
    });
    list(|text, byte| match byte.is_ascii_alphanumeric() {
        true => text.push(char::from(byte)),
        false => {
            write!(text, "%{byte:02X}").ok();
        }
    });
    list(|text, byte| match byte {
        b' '..=b'~' if byte != b'"' && byte != b'\\' => text.push(char::from(byte)),
        b'\n' => text.push_str("\\n"),
        b'\r' => text.push_str("\\r"),
        b'\t' => text.push_str("\\t"),
        b'"' | b'\\' => text.extend(['\\', char::from(byte)]),
        _ => {
            write!(text, "\\x{byte:02x}").ok();
        }
    });
    let text = String::from_utf8_lossy(value);
    each(text.as_bytes());
    let quoted = json::to_string(&Value::from(&*text));
    each(&quoted.as_bytes()[1..quoted.len() - 1]);
    let raw = json::to_string_raw(&Value::from(&*text));
    each(&raw.as_bytes()[1..raw.len() - 1]);
    // Escaped twice: an object in an annotation in an object.
    let twice = json::to_string(&Value::from(quoted));
    each(&twice.as_bytes()[1..twice.len() - 1]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redaction(value: &[u8]) -> Redaction {
        let data = Map::from_iter([("it", STANDARD.encode(value))]);
        let mut redaction = Redaction::default();
        redaction.add(&Map::from_iter([("data", data)]));
        redaction
    }

    proptest! {
        /// Whatever a text quotes, no eight bytes of it are left.
        #[test]
        fn no_part_of_a_value_is_left(
            value in prop::collection::vec(any::<u8>(), 12..80),
            around in "[ -~]{0,20}",
        ) {
            let redaction = redaction(&value);
            let mut failed = None;
            forms(&value, |form| {
                let form = String::from_utf8_lossy(form);
                let hidden = redaction.hide(&format!("{around}: {form}; {around}")).into_owned();
                let left = form.as_bytes().windows(PART).any(|part| {
                    let parts = hidden.as_bytes().windows(PART);
                    parts.into_iter().any(|have| have == part)
                });
                if left || !hidden.contains(HIDDEN) {
                    failed = Some(format!("{form:?} in {hidden:?}"));
                }
            });
            prop_assert!(failed.is_none(), "{failed:?}");
        }

        #[test]
        fn a_text_without_values_stays_as_it_is(text in "[A-Z ]{0,60}", value in "[a-z]{8}[0-9]{8}") {
            prop_assert_eq!(redaction(value.as_bytes()).hide(&text), &*text);
        }
    }

    #[test]
    fn short_values_and_lines_are_found_whole() {
        let short = redaction(b"pin");
        assert_eq!(
            short.hide("got pin, cGlu and 70696e"),
            "got (hidden), (hidden) and (hidden)"
        );
        assert!(!short.is_in("a pin in a long text"));
        let lines = redaction(b"user: bob\na: 1234567890123\n12345\n");
        assert_eq!(lines.hide("line 3: '12345'"), "line 3: '(hidden)'");
    }

    #[test]
    fn copies_in_annotations_count() {
        let copy = r#"{"kind": "Secret", "stringData": {"it": "hunter2-hunter2"}}"#;
        for copy in [copy.to_owned(), STANDARD.encode(copy)] {
            let annotations = Map::from_iter([("example.com/copy", copy)]);
            let metadata = Map::from_iter([("annotations", annotations)]);
            let mut redaction = Redaction::default();
            redaction.add(&Map::from_iter([("metadata", metadata)]));
            assert_eq!(redaction.hide("it was hunter2-hunter2"), "it was (hidden)");
        }
    }
}
