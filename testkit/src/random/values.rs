//! Values as files of values hold them.

use serde_json::{Map, Value, json};

use super::source::Source;

/// Texts that some reader or writer takes for something else, or must quote,
/// fold or escape.
pub const TEXTS: &[&str] = &[
    "",
    "a",
    "web",
    "nginx:1.25",
    "true",
    "no",
    "on",
    "Yes",
    "null",
    "~",
    "0",
    "1",
    "01",
    "0o17",
    "0x1F",
    "1e3",
    "1.5",
    "-0",
    ".5",
    "+1",
    "1_000",
    "2001-01-01",
    "12:30:45",
    "=",
    "<<",
    "- a",
    "# c",
    "a: b",
    "a #b",
    "'q'",
    "\"d\"",
    "a'b\"c",
    "back\\slash",
    "tab\there",
    "two\nlines",
    "end\n",
    "\n",
    " lead",
    "trail ",
    "  ",
    "{{ .x }}",
    "{a: 1}",
    "[1, 2]",
    "&anchor",
    "*alias",
    "!tag",
    "%",
    "@at",
    "`tick`",
    "|",
    ">",
    "é",
    "日本語",
    "\u{feff}bom",
    "\u{1}",
    "\u{85}",
    "\u{2028}",
    "\u{1f600}",
    "a-b_c.d/e",
    "Hello World",
    "camelCaseWord",
    "snake_case_word",
    "kebab-case-word",
    "UPPER",
    "1.2.3",
    "v1.2.3-rc.1+build",
    ">=1.2.3 <2",
    "^1.2",
    "~1.2.0",
    "https://user:pw@host:8080/path?q=1#frag",
    "10.0.0.1",
    "a,b,c",
    "k=v",
    "YWJj",
    "%s %d",
    "$1",
    "a.b.c",
    "x y z",
    "long text that goes on and on so that a writer of YAML has to fold it after eighty columns",
    "/usr/local/bin/tool",
    "file.tar.gz",
    "3h2m",
    "2024-02-29T12:34:56Z",
    "-----",
    "---",
    "...",
];

/// Names of keys.
pub const KEYS: &[&str] = &[
    "a",
    "b",
    "c",
    "name",
    "image",
    "tag",
    "x",
    "y",
    "enabled",
    "global",
    "list",
    "n",
    "s",
    "t",
    "0",
    "true",
    "null",
    "a.b",
    "with space",
    "é",
    "ünïcode",
    "Z",
    "_u",
    "long-key-name",
    "key:x",
    "10",
    "9",
];

/// A number as JSON has them; files make floats of all.
pub fn number(source: &mut Source) -> Value {
    match source.below(10) {
        0 => json!(0),
        1 => json!(1),
        2 => json!(-1),
        3 => json!(source.below(100)),
        4 => json!(8080),
        5 => json!(1_000_000),
        6 => json!(1.5),
        7 => json!(-0.25),
        8 => json!((source.number() >> 20) as i64 - (1 << 43)),
        _ => {
            let digits = source.below(1_000_000) as f64;
            let scale = 10f64.powi(source.below(30) as i32 - 15);
            json!(digits * scale)
        }
    }
}

/// A scalar.
pub fn scalar(source: &mut Source) -> Value {
    match source.below(10) {
        0 => Value::Null,
        1 => json!(source.one_in(2)),
        2..=4 => number(source),
        _ => json!(source.pick(TEXTS)),
    }
}

/// Any value, at most `depth` deep.
pub fn value(source: &mut Source, depth: usize) -> Value {
    if depth == 0 {
        return scalar(source);
    }
    match source.below(6) {
        0 => {
            let count = source.below(4);
            (0..count).map(|_| value(source, depth - 1)).collect()
        }
        1 | 2 => Value::Object(map(source, depth - 1)),
        _ => scalar(source),
    }
}

/// A map of a few keys.
pub fn map(source: &mut Source, depth: usize) -> Map<String, Value> {
    let count = source.below(5);
    (0..count)
        .map(|_| ((source.pick(KEYS)).to_owned(), value(source, depth)))
        .collect()
}

/// What templates and functions read: something of every kind under a name
/// that says which.
pub fn fixture(source: &mut Source) -> Map<String, Value> {
    let mut map = Map::new();
    for name in ["s", "t", "u"] {
        map.insert(name.into(), json!(source.pick(TEXTS)));
    }
    for name in ["n", "m"] {
        map.insert(name.into(), number(source));
    }
    map.insert("b".into(), json!(source.one_in(2)));
    map.insert("nil".into(), Value::Null);
    let texts: Vec<&str> = (0..source.below(4)).map(|_| source.pick(TEXTS)).collect();
    map.insert("words".into(), json!(texts));
    let numbers: Vec<Value> = (0..source.below(4)).map(|_| number(source)).collect();
    map.insert("numbers".into(), Value::Array(numbers));
    let any: Vec<Value> = (0..source.below(4)).map(|_| value(source, 2)).collect();
    map.insert("any".into(), Value::Array(any));
    map.insert("d".into(), Value::Object(self::map(source, 2)));
    map.insert("e".into(), Value::Object(self::map(source, 1)));
    map.insert("v".into(), value(source, 3));
    map
}
