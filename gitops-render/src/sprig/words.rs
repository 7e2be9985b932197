//! Snake, kebab and camel case: `github.com/huandu/xstrings` v1.5.
//!
//! Upstream splits a text into words of one kind and joins them by rules about
//! neighbours, which is why digits belong now to the word before them and now
//! to the one after.

use unicode_properties::{
    GeneralCategory as Category, GeneralCategoryGroup as Group, UnicodeGeneralCategory as _,
};

use super::strings::{is_space, lower, upper};

/// What a word is made of.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Nothing,
    Number,
    /// Begins with a capital.
    Capital,
    Alphabet,
    Connector,
    Punctuation,
    Other,
}

impl Kind {
    /// Whether a connector separates such a word from the one before it.
    fn is_separated(self) -> bool {
        !matches!(self, Kind::Nothing | Kind::Connector | Kind::Punctuation)
    }
}

/// `snakecase` and `kebabcase`: words in lower case, with `connector` between
/// them.
pub(super) fn separated(text: &str, connector: char) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    let (mut kind, mut word, mut rest) = next_word(text);
    while !rest.is_empty() {
        if kind != Kind::Connector {
            push_lower(&mut out, kind, word, connector);
        }
        let (previous, last) = (kind, word);
        (kind, word, rest) = next_word(rest);
        match previous {
            Kind::Number => {
                while matches!(kind, Kind::Alphabet | Kind::Number) {
                    push_lower(&mut out, kind, word, connector);
                    (kind, word, rest) = next_word(rest);
                }
                if kind.is_separated() {
                    out.push(connector);
                }
            }
            Kind::Connector => push_lower(&mut out, previous, last, connector),
            Kind::Punctuation => {}
            _ if kind != Kind::Number => {
                if !matches!(kind, Kind::Connector | Kind::Punctuation) {
                    out.push(connector);
                }
            }
            _ if rest.is_empty() => {}
            _ => {
                let number = word;
                (kind, word, rest) = next_word(rest);
                if kind != Kind::Alphabet {
                    // The number belongs to the word before it.
                    push_lower(&mut out, Kind::Number, number, connector);
                    if !matches!(kind, Kind::Connector | Kind::Punctuation) {
                        out.push(connector);
                    }
                    continue;
                }
                // Lower case follows: the number begins a word.
                out.push(connector);
                push_lower(&mut out, Kind::Number, number, connector);
                while matches!(kind, Kind::Alphabet | Kind::Number) {
                    push_lower(&mut out, kind, word, connector);
                    (kind, word, rest) = next_word(rest);
                }
                if kind.is_separated() {
                    out.push(connector);
                }
            }
        }
    }
    push_lower(&mut out, kind, word, connector);
    out
}

/// The first word, its kind, and what follows it.
fn next_word(text: &str) -> (Kind, &str, &str) {
    // Upstream passes over what it could not decode, with the letter before it;
    // a text that consists of nothing else has no kind.
    let Some(first) = text
        .chars()
        .find(|letter| *letter != char::REPLACEMENT_CHARACTER)
    else {
        return (Kind::Nothing, text, "");
    };
    let ends = |in_word: &dyn Fn(char) -> bool| {
        let mut letters = text
            .char_indices()
            .skip_while(|(_, letter)| *letter != first);
        let (start, _) = letters.next().unwrap_or_default();
        letters
            .find(|(_, letter)| *letter != char::REPLACEMENT_CHARACTER && !in_word(*letter))
            .map_or(text.len(), |(at, _)| decoded_end(text, start, at))
    };
    let (kind, end) = if is_connector(first) {
        (Kind::Connector, ends(&is_connector))
    } else if is_punctuation(first) {
        (Kind::Punctuation, ends(&is_punctuation))
    } else if is_upper(first) {
        (Kind::Capital, capital_end(text, first))
    } else if is_alphabet(first) {
        let lower = |letter| is_alphabet(letter) && !is_upper(letter);
        (Kind::Alphabet, ends(&lower))
    } else if is_number(first) {
        (Kind::Number, ends(&is_number))
    } else {
        let other = |letter| {
            !(is_connector(letter)
                || is_alphabet(letter)
                || is_number(letter)
                || is_punctuation(letter))
        };
        (Kind::Other, ends(&other))
    };
    (kind, &text[..end], &text[end..])
}

/// Where a word ends that begins with a capital: `HTTP` of `HTTPStatus`,
/// `Status` of `StatusCode`.
fn capital_end(text: &str, first: char) -> usize {
    let start = text.find(first).unwrap_or_default() + first.len_utf8();
    let mut letters = text[start..]
        .char_indices()
        .map(|(at, letter)| (start + at, letter))
        .filter(|(_, letter)| *letter != char::REPLACEMENT_CHARACTER)
        .peekable();
    match letters.peek().copied() {
        Some((_, second)) if is_upper(second) => {
            let mut last = start;
            while let Some((at, _)) = letters.next_if(|(_, letter)| is_upper(*letter)) {
                last = at;
            }
            match letters.peek().copied() {
                // The last capital begins the next word.
                Some((_, letter)) if is_alphabet(letter) => decoded_end(text, start, last),
                Some((at, _)) => decoded_end(text, start, at),
                None => text.len(),
            }
        }
        Some((_, second)) if is_alphabet(second) => letters
            .find(|(_, letter)| !is_alphabet(*letter) || is_upper(*letter))
            .map_or(text.len(), |(at, _)| decoded_end(text, start, at)),
        Some(_) => start,
        None => text.len(),
    }
}

/// The end of a word before the letter at `at`: what could not be decoded goes
/// with the letter after it.
fn decoded_end(text: &str, start: usize, at: usize) -> usize {
    let word = &text[start..at];
    start + word.trim_end_matches(char::REPLACEMENT_CHARACTER).len()
}

fn push_lower(out: &mut String, kind: Kind, word: &str, connector: char) {
    if !matches!(kind, Kind::Capital | Kind::Connector) {
        out.push_str(word);
        return;
    }
    for letter in word.chars() {
        out.push(match letter {
            letter if is_connector(letter) => connector,
            letter if is_upper(letter) => lower(letter),
            letter => letter,
        });
    }
}

/// `camelcase`, which is `ToPascalCase`: every word begins with a capital.
/// Connectors at the beginning and the first of several in a row stay.
pub(super) fn pascal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    let mut before = loop {
        match letters.next() {
            None => return out,
            Some(letter) if is_connector(letter) => {
                if letters.as_str().is_empty() {
                    out.push(letter);
                    // Upstream writes the last letter of all once more.
                    out.push(letter);
                    return out;
                }
                out.push(letter);
            }
            Some(letter) => break letter,
        }
    };
    let mut after_capital = is_upper(before);
    before = upper(before);
    for letter in letters {
        let mut letter = letter;
        if is_connector(letter) && is_connector(before) {
            out.push(before);
            before = letter;
            continue;
        }
        if is_connector(before) {
            after_capital = is_upper(letter);
            letter = upper(letter);
        } else {
            if after_capital {
                match is_upper(letter) {
                    true => letter = lower(letter),
                    false => after_capital = false,
                }
            }
            out.push(before);
        }
        before = letter;
    }
    out.push(before);
    out
}

fn is_connector(letter: char) -> bool {
    matches!(letter, '-' | '_') || is_space(letter)
}

fn is_upper(letter: char) -> bool {
    letter.general_category() == Category::UppercaseLetter
}

fn is_number(letter: char) -> bool {
    matches!(
        letter.general_category(),
        Category::DecimalNumber | Category::LetterNumber | Category::OtherNumber
    )
}

fn is_punctuation(letter: char) -> bool {
    matches!(
        letter.general_category(),
        Category::ConnectorPunctuation
            | Category::DashPunctuation
            | Category::OpenPunctuation
            | Category::ClosePunctuation
            | Category::InitialPunctuation
            | Category::FinalPunctuation
            | Category::OtherPunctuation
    )
}

/// A letter that is no ideograph.
fn is_alphabet(letter: char) -> bool {
    letter.general_category_group() == Group::Letter
        && !matches!(
            letter,
            '\u{3400}'..='\u{4d85}' | '\u{4e00}'..='\u{9fcc}' | '\u{20000}'..='\u{2b81d}'
        )
}
