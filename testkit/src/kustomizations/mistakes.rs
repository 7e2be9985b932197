//! Mistakes that people make in kustomizations, so that errors are compared.

use super::{Dice, Files};

const VALUES: &[&str] = &[
    "null",
    "[]",
    "{}",
    "[a]",
    "{a: b}",
    "1",
    "-1",
    "1.5",
    "true",
    "''",
    "x",
    "'a b'",
    "\"a",
    "*a",
    "&a x",
    "!!int x",
    "@x",
    "a: b",
    "|",
    "- a",
    "missing.yaml",
    "../base0",
    ".",
    "..",
    "/etc/hosts",
    "no-such-dir/file.yaml",
];

/// Makes one mistake in one file, or leaves a file out.
pub(super) fn make(dice: &mut Dice, files: &mut Files) {
    // Most mistakes are made in kustomization files.
    let mut at = dice.roll(files.len());
    if dice.once(2) {
        let kustomizations: Vec<usize> = (0..files.len())
            .filter(|at| files[*at].0.ends_with("kustomization.yaml"))
            .collect();
        at = kustomizations[dice.roll(kustomizations.len())];
    }
    if dice.once(12) {
        files.remove(at);
        return;
    }
    let mut lines: Vec<String> = files[at].1.lines().map(str::to_owned).collect();
    if lines.is_empty() {
        return;
    }
    let line = dice.roll(lines.len());
    match dice.roll(11) {
        0 => {
            lines.remove(line);
        }
        1 => lines.insert(line, lines[line].clone()),
        2 => {
            let other = dice.roll(lines.len());
            lines.swap(line, other);
        }
        3 => lines[line].insert(0, ' '),
        4 => {
            let cut = lines[line].trim_start().to_owned();
            lines[line] = cut;
        }
        5 => lines.insert(
            line,
            dice.pick(&[
                "unknown: 1",
                "---",
                "  x: y",
                "- z",
                "\tx: y",
                "# c",
                "kind: X",
            ])
            .into(),
        ),
        6 => {
            let length = lines[line].chars().count();
            if length > 0 {
                let gone = dice.roll(length);
                let kept = lines[line].chars().enumerate();
                lines[line] = kept.filter(|(at, _)| *at != gone).map(|(_, c)| c).collect();
            }
        }
        _ => {
            // Another value for the last key of the line, or for its item.
            let value = dice.pick(VALUES);
            let head = match (lines[line].rfind(": "), lines[line].find("- ")) {
                (Some(colon), _) => lines[line][..colon + 2].to_owned(),
                (None, Some(dash)) => lines[line][..dash + 2].to_owned(),
                (None, None) => format!("{} ", lines[line]),
            };
            let tail = match lines[line].ends_with('}') && head.contains('{') {
                true => "}",
                false => "",
            };
            lines[line] = format!("{head}{value}{tail}");
        }
    }
    files[at].1 = lines.join("\n") + "\n";
}
