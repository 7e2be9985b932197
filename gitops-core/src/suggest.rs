//! Words that look alike, for "did you mean".

/// How many letters have to be inserted, removed or exchanged to turn `a` into
/// `b`; names over 64 letters count as far apart.
fn edit_distance(a: &str, b: &str) -> usize {
    if a.len() > 64 || b.len() > 64 {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let exchanged = corner + usize::from(from != *to);
            corner = row[j + 1];
            row[j + 1] = exchanged.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

/// The candidate that `word` was probably meant to be.
///
/// ```
/// use gitops_core::suggest::nearest;
/// assert_eq!(nearest("replcias", ["replicas", "revision"]), Some("replicas"));
/// assert_eq!(nearest("replcias", ["image"]), None);
/// ```
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (edit_distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= word.len().max(candidate.len()) / 3 + 1)
        .min()
        .map(|(_, candidate)| candidate)
        .filter(|candidate| !candidate.is_empty())
}
