//! Arguments of `--set` and its kind.

use super::source::Source;

const KEYS: &[&str] = &[
    "a",
    "b",
    "a.b",
    "a.b.c",
    "l[0]",
    "l[2].x",
    "l[1][0]",
    "a\\.b",
    "a b",
    "",
    "a.",
    ".a",
    "l[-1]",
    "l[",
    "l[x]",
    "é",
    "a[0].b[1]",
];

const VALUES: &[&str] = &[
    "1",
    "0",
    "-1",
    "01",
    "1.5",
    "1e3",
    "true",
    "False",
    "null",
    "NULL",
    "",
    "x",
    "{a,b}",
    "{}",
    "{1,true,null}",
    "{a",
    "a\\,b",
    "x=y",
    "{a,{b}",
    "\"q\"",
    "{ a , b }x",
    "9223372036854775807",
    "9223372036854775808",
    "a\\",
    "+5",
    "0x10",
    "~",
    "é\\é",
];

const JSON: &[&str] = &[
    "1",
    "{\"a\":1}",
    "[1,2]",
    "null",
    "\"s\"",
    "tru",
    "{",
    "",
    "1 ",
    "{\"a\":null}",
    "1.50",
    "1e5",
];

/// A flag and its argument; what it sets lies below `under`.
pub fn flag(source: &mut Source, under: &str) -> (&'static str, String) {
    let name = source.pick(&[
        "--set",
        "--set",
        "--set",
        "--set-string",
        "--set-literal",
        "--set-json",
    ]);
    let values = if name == "--set-json" { JSON } else { VALUES };
    let count = match name {
        "--set-literal" => 1,
        _ => 1 + source.below(3),
    };
    let pairs: Vec<String> = (0..count)
        .map(|_| {
            let key = source.pick(KEYS);
            let equals = if source.one_in(20) { "" } else { "=" };
            format!("{under}.{key}{equals}{}", source.pick(values))
        })
        .collect();
    (name, pairs.join(","))
}
