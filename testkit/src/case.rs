//! One case, and what became of it.

/// A case that can be run.
pub struct Case {
    /// Its name, unique within the set.
    pub name: String,
    /// Runs it.
    pub run: Box<dyn Fn() -> Result<(), Failure> + Send + Sync>,
}

/// Why a case failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What was compared.
    pub what: &'static str,
    /// The first differing line, as expected.
    pub expected: String,
    /// The first differing line, as it is.
    pub actual: String,
    /// Its number, from 1; 0 if it is no text.
    pub line: usize,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.what)?;
        if self.line > 0 {
            write!(f, ", line {}", self.line)?;
        }
        write!(
            f,
            "\n    expected: {}\n    actual:   {}",
            short(&self.expected),
            short(&self.actual)
        )
    }
}

fn short(text: &str) -> String {
    const LONGEST: usize = 4000;
    match text.char_indices().nth(LONGEST) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

/// Compares two texts line by line; lines whose numbers are in `masked`
/// (from 1) may differ.
///
/// # Errors
///
/// The first line that differs.
pub fn same_text(
    what: &'static str,
    expected: &str,
    actual: &str,
    masked: &[usize],
) -> Result<(), Failure> {
    if expected == actual {
        return Ok(());
    }
    let (mut left, mut right) = (expected.split('\n'), actual.split('\n'));
    let mut line = 0;
    loop {
        line += 1;
        let (expected, actual) = (left.next(), right.next());
        if expected.is_none() && actual.is_none() {
            return Ok(());
        }
        if expected != actual && !(masked.contains(&line) && expected.is_some() && actual.is_some())
        {
            return Err(Failure {
                what,
                expected: expected.unwrap_or("(end)").to_owned(),
                actual: actual.unwrap_or("(end)").to_owned(),
                line,
            });
        }
    }
}
