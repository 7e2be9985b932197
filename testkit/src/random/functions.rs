//! Calls of functions with arguments that mostly fit.

use super::source::Source;
use super::values::TEXTS;

/// The functions and what they take: text, integer, float, boolean, list, map,
/// anything, a pattern, a date layout, a date, a URL and its parts, and `*` for any
/// number of the last.
///
/// Left out is what draws at random, asks for the time or the machine, or shows
/// the order of a Go map or the capacity of a slice.
const FUNCTIONS: &[(&str, &str)] = &[
    ("abbrev", "is"),
    ("abbrevboth", "iis"),
    ("add", "aa*"),
    ("add1", "a"),
    ("add1f", "a"),
    ("addf", "aa*"),
    ("adler32sum", "s"),
    ("all", "a*"),
    ("any", "a*"),
    ("append", "la"),
    ("atoi", "s"),
    ("b32dec", "s"),
    ("b32enc", "s"),
    ("b64dec", "s"),
    ("b64enc", "s"),
    ("base", "s"),
    ("biggest", "aa*"),
    ("camelcase", "s"),
    ("cat", "a*"),
    ("ceil", "a"),
    ("chunk", "il"),
    ("clean", "s"),
    ("coalesce", "a*"),
    ("compact", "l"),
    ("concat", "l*"),
    ("contains", "ss"),
    ("deepCopy", "a"),
    ("deepEqual", "aa"),
    ("default", "aa"),
    ("dict", "sa"),
    ("dig", "sad"),
    ("dir", "s"),
    ("div", "aa"),
    ("divf", "aa*"),
    ("duration", "a"),
    ("durationRound", "a"),
    ("empty", "a"),
    ("ext", "s"),
    ("fail", "s"),
    ("first", "l"),
    ("float64", "a"),
    ("floor", "a"),
    ("fromJson", "s"),
    ("fromJsonArray", "s"),
    ("fromToml", "s"),
    ("fromYaml", "s"),
    ("fromYamlArray", "s"),
    ("get", "ds"),
    ("has", "al"),
    ("hasKey", "ds"),
    ("hasPrefix", "ss"),
    ("hasSuffix", "ss"),
    ("indent", "is"),
    ("initial", "l"),
    ("initials", "s"),
    ("int", "a"),
    ("int64", "a"),
    ("isAbs", "s"),
    ("join", "sa"),
    ("kebabcase", "s"),
    ("kindIs", "sa"),
    ("kindOf", "a"),
    ("last", "l"),
    ("list", "a*"),
    ("lower", "s"),
    ("max", "aa*"),
    ("maxf", "aa*"),
    ("merge", "dd"),
    ("mergeOverwrite", "dd"),
    ("min", "aa*"),
    ("minf", "aa*"),
    ("mod", "aa"),
    ("mul", "aa*"),
    ("mulf", "aa*"),
    ("mustAppend", "la"),
    ("mustChunk", "il"),
    ("mustCompact", "l"),
    ("mustDeepCopy", "a"),
    ("mustFirst", "l"),
    ("mustFromJson", "s"),
    ("mustHas", "al"),
    ("mustInitial", "l"),
    ("mustLast", "l"),
    ("mustMerge", "dd"),
    ("mustPrepend", "la"),
    ("mustPush", "la"),
    ("mustRegexFind", "ps"),
    ("mustRegexFindAll", "psi"),
    ("mustRegexMatch", "ps"),
    ("mustRegexReplaceAll", "pss"),
    ("mustRegexSplit", "psi"),
    ("mustRest", "l"),
    ("mustReverse", "l"),
    ("mustToDate", "ys"),
    ("mustToJson", "a"),
    ("mustToPrettyJson", "a"),
    ("mustToRawJson", "a"),
    ("mustUniq", "l"),
    ("mustWithout", "la*"),
    ("nindent", "is"),
    ("nospace", "s"),
    ("omit", "ds*"),
    ("osBase", "s"),
    ("osClean", "s"),
    ("osDir", "s"),
    ("osExt", "s"),
    ("pick", "ds*"),
    ("pluck", "sd*"),
    ("plural", "ssi"),
    ("prepend", "la"),
    ("push", "la"),
    ("quote", "a*"),
    ("regexFind", "ps"),
    ("regexFindAll", "psi"),
    ("regexMatch", "ps"),
    ("regexQuoteMeta", "s"),
    ("regexReplaceAll", "pss"),
    ("regexReplaceAllLiteral", "pss"),
    ("regexSplit", "psi"),
    ("repeat", "is"),
    ("replace", "sss"),
    ("required", "sa"),
    ("rest", "l"),
    ("reverse", "l"),
    ("round", "ai"),
    ("semver", "w"),
    ("semverCompare", "cw"),
    ("seq", "i*"),
    ("set", "dsa"),
    ("sha1sum", "s"),
    ("sha256sum", "s"),
    ("sha512sum", "s"),
    ("snakecase", "s"),
    ("sortAlpha", "a"),
    ("split", "ss"),
    ("splitList", "ss"),
    ("splitn", "sis"),
    ("squote", "a*"),
    ("sub", "aa"),
    ("subf", "aa*"),
    ("substr", "iis"),
    ("swapcase", "s"),
    ("ternary", "aab"),
    ("title", "s"),
    ("toDecimal", "a"),
    ("toJson", "a"),
    ("toPrettyJson", "a"),
    ("toRawJson", "a"),
    ("toString", "a"),
    ("toStrings", "a"),
    ("toToml", "d"),
    ("toYaml", "a"),
    ("toYamlPretty", "a"),
    ("trim", "s"),
    ("trimAll", "ss"),
    ("trimPrefix", "ss"),
    ("trimSuffix", "ss"),
    ("trimall", "ss"),
    ("trunc", "is"),
    ("tuple", "a*"),
    ("typeIs", "sa"),
    ("typeIsLike", "sa"),
    ("typeOf", "a"),
    ("uniq", "l"),
    ("unset", "ds"),
    ("until", "i"),
    ("untilStep", "iii"),
    ("untitle", "s"),
    ("upper", "s"),
    ("urlJoin", "U"),
    ("urlParse", "u"),
    ("urlquery", "a"),
    ("without", "la*"),
    ("wrap", "is"),
    ("wrapWith", "iss"),
    ("html", "a"),
    ("js", "a"),
    ("print", "a*"),
    ("println", "a*"),
    ("printf", "fa*"),
    ("len", "a"),
    ("index", "aa"),
    ("not", "a"),
    ("and", "aa*"),
    ("or", "aa*"),
    ("eq", "aa*"),
    ("ne", "aa"),
    ("lt", "aa"),
    ("le", "aa"),
    ("gt", "aa"),
    ("ge", "aa"),
    ("toDate", "yt"),
];

const PATTERNS: &[&str] = &[
    "a",
    "[a-z]+",
    "^.",
    ".$",
    "(a)(b)?",
    "\\\\d+",
    "\\\\s",
    "[^a-c]",
    "a*",
    "x|y",
    "(?i)A",
    "\\\\bw",
    "[[:alpha:]]",
    "(",
    "[",
    "a{2,3}",
    "é",
    "\\\\pL+",
    "(?P<n>.)",
    "\\\\.",
    ".*?",
];

const RANGES: &[&str] = &[
    "1",
    "^1.2",
    "~1.2.0",
    ">=1.2.3 <2",
    "*",
    "1.x",
    "!=1",
    ">1.2 || <1",
    "1 - 2",
    ">=1.2.3-0",
    "x.y",
    "",
    "v1",
];

const VERSIONS: &[&str] = &[
    "1",
    "1.2",
    "1.2.3",
    "v1.2.3-rc.1+build",
    "1.2.3-alpha",
    "2.0.0",
    "01.2.3",
    "x",
    "",
    "1.2.3.4",
];

/// What URLs are made of.
const URL_PARTS: &[&str] = &[
    "http",
    "https",
    "postgres",
    "a",
    "host",
    "user",
    "1.2.3.4",
    "::1",
    "fe80::1%25en0",
    "::ffff:1.2.3.4",
    "80",
    "x y",
    "%20",
    "%41",
    "%zz",
    "%",
    "é",
    "%C3%A9",
    "<",
    "\"",
    "!'()*,;=$&+~",
    "..",
    "",
    ":",
    "/",
    "//",
    "?",
    "#",
    "@",
    "[",
    "]",
    ",",
    "*",
];

/// How they are put together; a space is for a part.
const URL_FORMS: &[&str] = &[
    " :// / ",
    " :// : / ? # ",
    " :// @ / ",
    " :// : @ : / ",
    " ://[ ]: / ",
    "// : ",
    "/ / ",
    " : ",
    " ",
    "  ",
    " ? # ",
    " :// , : ",
];

const LAYOUTS: &[&str] = &[
    "2006-01-02",
    "2006-01-02T15:04:05Z07:00",
    "Jan 2, 2006",
    "15:04",
    "02/01/06",
    "Monday",
];

const DATES: &[&str] = &[
    "2024-02-29",
    "2023-02-29",
    "2024-01-02T03:04:05.678Z",
    "2024-01-02T03:04:05+01:30",
    "Feb 9,  2024",
    "23:59",
    "31/12/99",
    "Thursday",
    "",
];

const FORMATS: &[&str] = &[
    "%s", "%d", "%v", "%q", "%x", "%T", "%5.2f", "%-6s|", "%06d", "%+d", "%t", "%g", "%e", "%c",
    "%U", "%#v", "%o", "%b", "%%", "%[1]s", "%*d", "%s-%s", "%", "%!", "%5q", "%X", "% x", "%.3s",
    "%8.3v", "%w",
];

/// Their integers say how much they make.
const MAKERS: &[&str] = &["until", "untilStep", "repeat", "indent", "nindent", "seq"];

/// A Go string literal.
pub fn literal(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || c == '\u{feff}' || c == '\u{2028}' => {
                out.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A URL, or what looks like one.
fn url(source: &mut Source) -> String {
    let mut out = String::new();
    for c in source.pick(URL_FORMS).chars() {
        match c {
            ' ' => out.push_str(source.pick(URL_PARTS)),
            c => out.push(c),
        }
    }
    out
}

/// An argument of a kind, or now and then of another.
fn argument(source: &mut Source, kind: u8, depth: usize) -> String {
    let kind = match source.one_in(12) {
        true => source.pick(b"sifbldap"),
        false => kind,
    };
    if depth > 0 && source.one_in(5) {
        let wanted: &[u8] = match kind {
            b's' => b"s",
            b'i' => b"i",
            b'l' => b"l",
            b'd' => b"d",
            _ => b"a",
        };
        if wanted != b"a" || source.one_in(2) {
            return format!("({})", returning(source, wanted[0], depth - 1));
        }
    }
    match kind {
        b's' => match source.below(4) {
            0 => "$.s".into(),
            1 => "$.t".into(),
            _ => literal(source.pick(TEXTS)),
        },
        b'i' => match source.below(8) {
            0 => "(int $.n)".into(),
            1 => "0".into(),
            2 => "-1".into(),
            3 => source.below(40).to_string(),
            _ => source.below(6).to_string(),
        },
        b'b' => source.pick(&["true", "false", "$.b"]).to_string(),
        b'l' => source
            .pick(&[
                "$.words",
                "$.numbers",
                "$.any",
                "(list)",
                "(list 1 \"a\" nil)",
                "(list \"b\" \"a\" \"b\")",
                "(until 3)",
            ])
            .to_string(),
        b'd' => source
            .pick(&[
                "$.d",
                "$.e",
                "(dict)",
                "(dict \"a\" 1 \"b\" (list 1 2))",
                "(dict \"a\" (dict \"x\" \"y\"))",
            ])
            .to_string(),
        b'c' => literal(source.pick(RANGES)),
        b'w' => literal(source.pick(VERSIONS)),
        b'p' => literal_raw(source.pick(PATTERNS)),
        b'y' => literal(source.pick(LAYOUTS)),
        b't' => literal(source.pick(DATES)),
        b'u' => literal(&url(source)),
        b'U' => {
            let mut out = String::from("(dict");
            for key in [
                "scheme", "userinfo", "host", "path", "query", "opaque", "fragment",
            ] {
                let (odds, part) = match key {
                    "opaque" => (8, url(source)),
                    "userinfo" | "path" => (2, url(source)),
                    _ => (2, source.pick(URL_PARTS).to_owned()),
                };
                if source.one_in(odds) {
                    out.push_str(&format!(" {} {}", literal(key), literal(&part)));
                }
            }
            out.push(')');
            out
        }
        b'f' => literal(source.pick(FORMATS)),
        _ => match source.below(10) {
            0 => "nil".into(),
            1 => "$.nil".into(),
            2 => "$.v".into(),
            3 => "$.n".into(),
            4 => "$.m".into(),
            5 => argument(source, b'l', 0),
            6 => argument(source, b'd', 0),
            7 => argument(source, b'i', 0),
            8 => source
                .pick(&["1.5", "1e6", "0x10", "'a'", "true", "-3", "1e300", "0.1"])
                .to_string(),
            _ => argument(source, b's', 0),
        },
    }
}

/// A literal of a text whose backslashes are already doubled.
fn literal_raw(text: &str) -> String {
    format!("\"{text}\"")
}

fn returning(source: &mut Source, kind: u8, depth: usize) -> String {
    let names: &[&str] = match kind {
        b's' => &[
            "lower", "trim", "quote", "toString", "toJson", "b64enc", "printf", "trunc", "replace",
            "join",
        ],
        b'i' => &["int", "len", "atoi", "add"],
        b'l' => &[
            "list",
            "splitList",
            "uniq",
            "append",
            "until",
            "toStrings",
            "concat",
            "reverse",
        ],
        b'd' => &["dict", "pick", "merge", "deepCopy", "fromYaml"],
        _ => &["default", "coalesce", "ternary", "first", "get", "index"],
    };
    let name = source.pick(names);
    let takes = FUNCTIONS
        .iter()
        .find(|(known, _)| *known == name)
        .map_or("a", |(_, takes)| takes);
    call(source, name, takes, depth)
}

fn call(source: &mut Source, name: &str, takes: &str, depth: usize) -> String {
    let takes = takes.as_bytes();
    let mut out = name.to_owned();
    let (fixed, variadic) = match takes {
        [fixed @ .., b'*'] => (fixed, true),
        fixed => (fixed, false),
    };
    let mut kinds = fixed.to_vec();
    if variadic && let Some(last) = fixed.last() {
        kinds.extend(std::iter::repeat_n(*last, source.below(3)));
    }
    // Now and then one too few or too many.
    match source.below(40) {
        0 => {
            kinds.pop();
        }
        1 => kinds.push(b'a'),
        _ => {}
    }
    for kind in kinds {
        out.push(' ');
        // What makes as much as a number says would take all memory there is.
        if kind == b'i' && MAKERS.contains(&name) {
            out.push_str(source.pick(&["0", "1", "2", "5", "9", "-1"]));
            continue;
        }
        out.push_str(&argument(source, kind, depth));
    }
    out
}

/// A call, as an expression.
pub fn expression(source: &mut Source) -> String {
    let (name, takes) = source.pick(FUNCTIONS);
    call(source, name, takes, 2)
}

/// A template that prints the type and the text of a call's result.
pub fn template(source: &mut Source) -> String {
    let expression = expression(source);
    format!(
        "{{{{ $r := {expression} }}}}{{{{ typeOf $r }}}}|{{{{ print $r }}}}|{{{{ toJson $r }}}}"
    )
}
