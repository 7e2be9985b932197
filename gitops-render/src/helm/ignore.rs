//! `.helmignore`, which looks like `.gitignore` and is not: Helm's
//! `pkg/ignore`.

use crate::glob;

/// The rules of one `.helmignore`.
///
/// The first rule that matches decides. A negated rule ignores everything that
/// it does *not* match.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    pattern: String,
    /// How many bytes of the pattern stand for themselves before anything
    /// else does, and how many after all else.
    literal: usize,
    tail: usize,
    negate: bool,
    dirs_only: bool,
    whole_path: bool,
}

impl Rules {
    /// Reads the file; editors' hidden files among the templates are ignored
    /// whatever it says.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut rules = Vec::new();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for line in text.lines().chain(["templates/.?*"]) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line.contains("**") {
                return Err("double-star (**) syntax is not supported".into());
            }
            glob::path_match(line, "abc").map_err(|error| error.to_string())?;
            let (negate, rule) = match line.strip_prefix('!') {
                Some(rule) => (true, rule),
                None => (false, line),
            };
            let (dirs_only, rule) = match rule.strip_suffix('/') {
                Some(rule) => (true, rule),
                None => (false, rule),
            };
            let pattern = rule.strip_prefix('/').unwrap_or(rule);
            rules.push(Rule {
                pattern: pattern.to_owned(),
                literal: pattern.find(['*', '?', '[', '\\']).unwrap_or(pattern.len()),
                tail: pattern
                    .rsplit(['*', '?', ']', '\\'])
                    .next()
                    .map_or(0, str::len),
                negate,
                dirs_only,
                whole_path: rule.contains('/'),
            });
        }
        Ok(Rules { rules })
    }

    /// Whether the file or directory at `path` is left out.
    pub(super) fn ignores(&self, path: &str, is_dir: bool) -> bool {
        let file_name = path.rsplit('/').next().unwrap_or(path);
        for rule in &self.rules {
            let name = if rule.whole_path { path } else { file_name };
            let pattern = rule.pattern.as_str();
            let matches = name.starts_with(&pattern[..rule.literal])
                && name.ends_with(&pattern[pattern.len() - rule.tail..])
                && glob::path_match(pattern, name).unwrap_or(false);
            if rule.negate {
                if (rule.dirs_only && !is_dir) || !matches {
                    return true;
                }
            } else if matches && (is_dir || !rule.dirs_only) {
                return true;
            }
        }
        false
    }
}
