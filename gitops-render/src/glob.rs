//! Two dialects of glob that charts and applications are written in.

/// A pattern that cannot be matched against anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern")]
pub struct BadPattern;

/// Go's `path.Match`: `*` and `?` stop at a slash, `[a-z]` and `[^a-z]` are
/// classes, a backslash takes the next character as it is.
///
/// # Errors
///
/// [`BadPattern`] if the part of the pattern that was needed is malformed.
///
/// ```
/// use gitops_render::glob::path_match;
/// assert!(path_match("templates/*.yaml", "templates/a.yaml")?);
/// assert!(!path_match("*.yaml", "templates/a.yaml")?);
/// # Ok::<(), gitops_render::glob::BadPattern>(())
/// ```
pub fn path_match(pattern: &str, name: &str) -> Result<bool, BadPattern> {
    // Most patterns are a name or an ending, and nearly all do not match.
    let ending = pattern.strip_prefix('*').unwrap_or(pattern);
    if !ending.contains(['*', '?', '[', '\\']) {
        return Ok(match name.strip_suffix(ending) {
            Some(start) if ending.len() < pattern.len() => !start.contains('/'),
            Some(start) => start.is_empty(),
            None => false,
        });
    }
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut pattern, mut name) = (pattern.as_slice(), name.as_slice());
    while !pattern.is_empty() {
        let (star, chunk, rest) = next_chunk(pattern);
        pattern = rest;
        if star && chunk.is_empty() {
            return Ok(!name.contains(&'/'));
        }
        match match_chunk(chunk, name)? {
            Some(left) if left.is_empty() || !pattern.is_empty() => {
                name = left;
                continue;
            }
            _ => {}
        }
        let mut found = None;
        if star {
            for skip in 0..name.len() {
                if name[skip] == '/' {
                    break;
                }
                if let Some(left) = match_chunk(chunk, &name[skip + 1..])? {
                    if pattern.is_empty() && !left.is_empty() {
                        continue;
                    }
                    found = Some(left);
                    break;
                }
            }
        }
        match found {
            Some(left) => name = left,
            None => {
                // The rest is looked at only for its syntax.
                while !pattern.is_empty() {
                    let (_, chunk, rest) = next_chunk(pattern);
                    match_chunk(chunk, &[])?;
                    pattern = rest;
                }
                return Ok(false);
            }
        }
    }
    Ok(name.is_empty())
}

/// Stars, the literal chunk after them, and what follows.
fn next_chunk(pattern: &[char]) -> (bool, &[char], &[char]) {
    let stars = pattern.iter().take_while(|c| **c == '*').count();
    let rest = &pattern[stars..];
    let mut in_class = false;
    let mut end = 0;
    while end < rest.len() {
        match rest[end] {
            '\\' => end += usize::from(end + 1 < rest.len()),
            '[' => in_class = true,
            ']' => in_class = false,
            '*' if !in_class => break,
            _ => {}
        }
        end += 1;
    }
    (stars > 0, &rest[..end], &rest[end..])
}

/// What is left of `name` after `chunk`; `None` if it does not match.
fn match_chunk<'n>(
    mut chunk: &[char],
    mut name: &'n [char],
) -> Result<Option<&'n [char]>, BadPattern> {
    // A failed match reads on to the end of the chunk, for its syntax.
    let mut failed = false;
    while let Some((first, rest)) = chunk.split_first() {
        failed |= name.is_empty();
        match first {
            '[' => {
                let letter = if failed {
                    None
                } else {
                    let (letter, left) = name.split_first().ok_or(BadPattern)?;
                    name = left;
                    Some(*letter)
                };
                chunk = rest;
                let negated = chunk.first() == Some(&'^');
                if negated {
                    chunk = &chunk[1..];
                }
                let mut hit = false;
                let mut ranges = 0;
                loop {
                    if chunk.first() == Some(&']') && ranges > 0 {
                        chunk = &chunk[1..];
                        break;
                    }
                    let low = class_char(&mut chunk)?;
                    let high = if chunk.first() == Some(&'-') {
                        chunk = &chunk[1..];
                        class_char(&mut chunk)?
                    } else {
                        low
                    };
                    hit |= letter.is_some_and(|letter| low <= letter && letter <= high);
                    ranges += 1;
                }
                failed |= hit == negated;
            }
            '?' => {
                if let Some((letter, left)) = name.split_first().filter(|_| !failed) {
                    failed |= *letter == '/';
                    name = left;
                }
                chunk = rest;
            }
            _ => {
                let (literal, rest) = match first {
                    '\\' => rest.split_first().ok_or(BadPattern)?,
                    _ => (first, rest),
                };
                if let Some((letter, left)) = name.split_first().filter(|_| !failed) {
                    failed |= letter != literal;
                    name = left;
                }
                chunk = rest;
            }
        }
    }
    Ok((!failed).then_some(name))
}

/// One character of a class, unescaped.
fn class_char(chunk: &mut &[char]) -> Result<char, BadPattern> {
    let (mut letter, mut rest) = chunk.split_first().ok_or(BadPattern)?;
    if matches!(letter, '-' | ']') {
        return Err(BadPattern);
    }
    if *letter == '\\' {
        (letter, rest) = rest.split_first().ok_or(BadPattern)?;
    }
    // A class has to be closed.
    if rest.is_empty() {
        return Err(BadPattern);
    }
    *chunk = rest;
    Ok(*letter)
}

/// A pattern of `github.com/gobwas/glob`: `*` stops at the separator, `**`
/// does not, `?` is one character, `[abc]`, `[!abc]` and `[a-z]` are classes,
/// `{a,b}` are alternatives, a backslash takes the next character as it is.
#[derive(Clone, Debug)]
pub struct Glob {
    /// What a text has to start with.
    start: String,
    /// The pattern for what comes after it.
    parts: Vec<Part>,
    separator: Option<char>,
}

#[derive(Clone, Debug)]
enum Part {
    Literal(char),
    /// Any one character, save the separator.
    One,
    /// Anything without a separator.
    Any,
    /// Anything at all.
    Super,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    Choice(Vec<Vec<Part>>),
}

impl Glob {
    /// Reads a pattern. Without a separator `*` crosses everything.
    ///
    /// # Errors
    ///
    /// [`BadPattern`] if a class is not closed or says nothing.
    ///
    /// ```
    /// use gitops_render::glob::Glob;
    /// let glob = Glob::new("conf/**.{yaml,json}", Some('/'))?;
    /// assert!(glob.matches("conf/a/b.json"));
    /// // The original gets alternatives wrong that have no length.
    /// assert!(Glob::new("{b*,a}.yaml", Some('/'))?.matches("bc.yaml"));
    /// // Those that are not closed end with the pattern.
    /// assert!(Glob::new("{a,b", Some('/'))?.matches("b"));
    /// # Ok::<(), gitops_render::glob::BadPattern>(())
    /// ```
    pub fn new(pattern: &str, separator: Option<char>) -> Result<Self, BadPattern> {
        let chars: Vec<char> = pattern.chars().collect();
        let mut at = 0;
        let parts = parse(&chars, &mut at, 0)?;
        if at < chars.len() {
            return Err(BadPattern);
        }
        let literal = |part: &Part| match part {
            Part::Literal(letter) => Some(*letter),
            _ => None,
        };
        let start: String = parts.iter().map_while(literal).collect();
        let parts = parts.into_iter().skip_while(|part| literal(part).is_some());
        Ok(Glob {
            start,
            parts: parts.collect(),
            separator,
        })
    }

    /// Whether the whole of `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        let Some(text) = text.strip_prefix(&self.start) else {
            return false;
        };
        let text: Vec<char> = text.chars().collect();
        // Positions in the text that the pattern so far can have reached: no
        // backtracking, so no pattern is slow.
        let mut reached = vec![false; text.len() + 1];
        reached[0] = true;
        step(&self.parts, self.separator, &text, &mut reached);
        reached[text.len()]
    }
}

fn step(parts: &[Part], separator: Option<char>, text: &[char], reached: &mut Vec<bool>) {
    for part in parts {
        match part {
            Part::Any | Part::Super => {
                let stops = matches!(part, Part::Any);
                for index in 0..text.len() {
                    let crosses = stops && separator == Some(text[index]);
                    if reached[index] && !crosses {
                        reached[index + 1] = true;
                    }
                }
            }
            Part::Choice(choices) => {
                let mut after = vec![false; reached.len()];
                for choice in choices {
                    let mut through = reached.clone();
                    step(choice, separator, text, &mut through);
                    for (after, through) in after.iter_mut().zip(through) {
                        *after |= through;
                    }
                }
                *reached = after;
            }
            Part::Literal(_) | Part::One | Part::Class { .. } => {
                let accepts = |letter: char| match part {
                    Part::Literal(literal) => *literal == letter,
                    Part::Class { negated, ranges } => {
                        ranges
                            .iter()
                            .any(|(low, high)| *low <= letter && letter <= *high)
                            != *negated
                    }
                    _ => separator != Some(letter),
                };
                for index in (0..text.len()).rev() {
                    reached[index + 1] = reached[index] && accepts(text[index]);
                }
                reached[0] = false;
            }
        }
    }
}

fn parse(chars: &[char], at: &mut usize, depth: usize) -> Result<Vec<Part>, BadPattern> {
    // Alternatives within alternatives; nobody writes more.
    const DEEPEST: usize = 32;
    if depth > DEEPEST {
        return Err(BadPattern);
    }
    let mut parts = Vec::new();
    while let Some(&letter) = chars.get(*at) {
        if depth > 0 && matches!(letter, ',' | '}') {
            return Ok(parts);
        }
        *at += 1;
        match letter {
            '*' => {
                let mut stars = 1;
                while chars.get(*at) == Some(&'*') {
                    stars += 1;
                    *at += 1;
                }
                parts.push(if stars > 1 { Part::Super } else { Part::Any });
            }
            '?' => parts.push(Part::One),
            // At the very end it says nothing.
            '\\' => {
                parts.extend(chars.get(*at).copied().map(Part::Literal));
                *at += 1;
            }
            '[' => parts.push(class(chars, at)?),
            '{' => {
                let mut choices = Vec::new();
                loop {
                    choices.push(parse(chars, at, depth + 1)?);
                    *at += 1;
                    // Those that are not closed end with the pattern.
                    if chars.get(*at - 1) != Some(&',') {
                        break;
                    }
                }
                parts.push(Part::Choice(choices));
            }
            literal => parts.push(Part::Literal(literal)),
        }
    }
    Ok(parts)
}

fn class(chars: &[char], at: &mut usize) -> Result<Part, BadPattern> {
    let negated = chars.get(*at) == Some(&'!');
    *at += usize::from(negated);
    let is_range = chars.get(*at + 1) == Some(&'-');
    let mut next = || {
        let letter = chars.get(*at).copied().ok_or(BadPattern);
        *at += 1;
        letter
    };
    let mut ranges = Vec::new();
    // A range is the whole class: gobwas knows no mixture.
    if is_range {
        let [low, _, high, end] = [next()?, next()?, next()?, next()?];
        if high < low || end != ']' {
            return Err(BadPattern);
        }
        ranges.push((low, high));
    } else {
        loop {
            let letter = match next()? {
                ']' => break,
                '\\' => next()?,
                letter => letter,
            };
            ranges.push((letter, letter));
        }
        if ranges.is_empty() {
            return Err(BadPattern);
        }
    }
    Ok(Part::Class { negated, ranges })
}
