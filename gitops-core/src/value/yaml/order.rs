//! The order of keys: a port of go-yaml's `sorter.go`.
//!
//! Keys are ordered as people do it: numbers in them by magnitude, letters
//! after everything else. The relation is not transitive (`0C.-` < `1-669A` <
//! `05/za6y` < `0C.-`), so sorting must neither panic nor run away, which
//! `slice::sort_by` may; a merge sort of our own does neither.

use std::cmp::Ordering;

use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

use super::Dialect;
use super::input::floor;

/// The positions of `keys` in order; `None` if they are in order.
pub(super) fn order<'k>(
    keys: impl Iterator<Item = &'k str> + Clone,
    dialect: Dialect,
) -> Option<Vec<usize>> {
    let mut rest = keys.clone();
    let mut previous = rest.next()?;
    let sorted = rest.all(|key| {
        let sorted = !less(key, previous, dialect);
        previous = key;
        sorted
    });
    if sorted {
        return None;
    }
    let keys: Vec<&str> = keys.collect();
    let mut order: Vec<usize> = (0..keys.len()).collect();
    let mut merged = order.clone();
    let mut width = 1;
    while width < order.len() {
        for start in (0..order.len()).step_by(2 * width) {
            let middle = (start + width).min(order.len());
            let end = (start + 2 * width).min(order.len());
            let (mut left, mut right) = (start, middle);
            for slot in &mut merged[start..end] {
                let take_right = left == middle
                    || (right < end && less(keys[order[right]], keys[order[left]], dialect));
                let from = if take_right { &mut right } else { &mut left };
                *slot = order[*from];
                *from += 1;
            }
        }
        std::mem::swap(&mut order, &mut merged);
        width *= 2;
    }
    Some(order)
}

fn less(a: &str, b: &str, dialect: Dialect) -> bool {
    let common = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    if common == a.len() || common == b.len() {
        return a.len() < b.len();
    }
    let common = floor(a, common);
    let (Some(first_a), Some(first_b)) = (a[common..].chars().next(), b[common..].chars().next())
    else {
        return a.len() < b.len();
    };
    let (letter_a, letter_b) = (is_letter(first_a), is_letter(first_b));
    if letter_a && letter_b {
        return first_a < first_b;
    }
    let before = &a[..common];
    if letter_a || letter_b {
        // In v3 a digit before the difference turns it: `a1b` after `a12`.
        let after_digit = before.chars().next_back().is_some_and(is_digit);
        return if dialect == Dialect::GoYaml3 && after_digit {
            letter_a
        } else {
            letter_b
        };
    }
    // Zeros that continue a number are not leading zeros.
    let mut seed = 0;
    if first_a == '0' || first_b == '0' {
        let continues = before
            .chars()
            .rev()
            .take_while(|c| is_digit(*c))
            .any(|c| c != '0');
        seed = i64::from(continues);
    }
    let (number_a, length_a) = leading_number(&a[common..], seed);
    let (number_b, length_b) = leading_number(&b[common..], seed);
    match number_a.cmp(&number_b).then(length_a.cmp(&length_b)) {
        Ordering::Equal => first_a < first_b,
        ordering => ordering == Ordering::Less,
    }
}

/// The number that `text` starts with, wrapping as Go's does, and how many
/// digits it has.
fn leading_number(text: &str, seed: i64) -> (i64, usize) {
    let mut number = seed;
    let mut length = 0;
    for digit in text.chars().take_while(|c| is_digit(*c)) {
        let value = i64::from(u32::from(digit)) - i64::from(u32::from('0'));
        number = number.wrapping_mul(10).wrapping_add(value);
        length += 1;
    }
    (number, length)
}

fn is_letter(character: char) -> bool {
    if character.is_ascii() {
        character.is_ascii_alphabetic()
    } else {
        character.general_category_group() == GeneralCategoryGroup::Letter
    }
}

fn is_digit(character: char) -> bool {
    if character.is_ascii() {
        character.is_ascii_digit()
    } else {
        character.general_category() == GeneralCategory::DecimalNumber
    }
}
