//! Programs in the template language.

use super::functions::{expression, literal};
use super::source::Source;
use super::values::TEXTS;

const PLACES: &[&str] = &[
    "$.s",
    "$.n",
    "$.b",
    "$.nil",
    "$.words",
    "$.numbers",
    "$.any",
    "$.d",
    "$.e",
    "$.v",
    ".",
    "$.no",
    "$.d.a",
    "$.v.name",
    "$.no.where",
    "($.no).where",
    "$.s.x",
    "$x",
    "$.d.image.tag",
    "$.words.x",
];

const RANGES: &[&str] = &[
    "$.words",
    "$.numbers",
    "$.any",
    "$.d",
    "$.e",
    "$.v",
    "$.s",
    "$.n",
    "$.nil",
    "$.no",
    "3",
    "0",
    "(list 1 \"a\" nil)",
    "(until 3)",
    "(dict \"a\" 1 \"b\" 2)",
    "(split \",\" $.s)",
];

/// Maps, most of them.
const MAPS: &[&str] = &["$.d", "$.v", "$", ".", "$.d.image", "$x"];

/// What is put into maps, and never a map that they are in: it would have no
/// end.
fn stored(source: &mut Source) -> String {
    match source.below(4) {
        0 => literal(source.pick(TEXTS)),
        1 => source.below(3).to_string(),
        2 => "(dict \"a\" 1 \"b\" (dict \"c\" \"x\"))".into(),
        _ => "(list 1 \"a\" (dict \"b\" 2))".into(),
    }
}

/// A call that writes to a map.
fn write(source: &mut Source) -> String {
    let map = source.pick(MAPS);
    let key = source.pick(&["a", "s", "d", "image", "new"]);
    match source.below(4) {
        0 => format!("$_ := unset {map} \"{key}\""),
        1 => {
            let value = stored(source);
            format!("$_ := mergeOverwrite {map} (dict \"{key}\" {value})")
        }
        _ => {
            let value = stored(source);
            format!("$_ := set {map} \"{key}\" {value}")
        }
    }
}

/// A call of a template in [`DEFINITIONS`], with data that is there or made.
fn include(source: &mut Source) -> String {
    let name = source.pick(&["one", "two", "three", "four"]);
    let data = match source.below(3) {
        0 => format!(
            "(dict \"a\" {} \"b\" {})",
            source.pick(PLACES),
            source.pick(MAPS)
        ),
        1 => (source.pick(MAPS)).to_owned(),
        _ => (source.pick(PLACES)).to_owned(),
    };
    let function = source.pick(&["trim", "nindent 2", "quote", "print"]);
    format!("include \"{name}\" {data} | {function}")
}

fn operand(source: &mut Source) -> String {
    match source.below(5) {
        0 => format!("({})", expression(source)),
        1 => literal(source.pick(TEXTS)),
        2 => source.below(5).to_string(),
        _ => (source.pick(PLACES)).to_owned(),
    }
}

fn pipeline(source: &mut Source) -> String {
    let mut out = match source.below(3) {
        0 => expression(source),
        _ => operand(source),
    };
    for _ in 0..source.below(3) {
        out.push_str(" | ");
        out.push_str(source.pick(&[
            "quote",
            "toJson",
            "toYaml",
            "toString",
            "upper",
            "default \"d\"",
            "trim",
            "len",
            "not",
            "indent 2",
            "nindent 2",
            "printf \"%v\"",
            "b64enc",
            "int",
            "empty",
            "first",
            "join \",\"",
            "trunc 3",
            "squote",
            "kindOf",
            "typeOf",
            "print",
        ]));
    }
    out
}

fn action(source: &mut Source, body: &str) -> String {
    let left = if source.one_in(4) { "{{- " } else { "{{ " };
    let right = if source.one_in(4) { " -}}" } else { " }}" };
    format!("{left}{body}{right}")
}

/// Statements, at most `depth` blocks deep.
pub fn statements(source: &mut Source, depth: usize, out: &mut String) {
    for _ in 0..1 + source.below(3) {
        match source.below(if depth == 0 { 5 } else { 10 }) {
            0 => out.push_str(source.pick(&["text", "\n", "  a: ", "- ", " ", "\n\n  x\n", "é"])),
            1 | 2 => {
                let body = pipeline(source);
                out.push_str(&action(source, &body));
            }
            3 => {
                let body = format!("$x {}= {}", source.pick(&[":", ""]), pipeline(source));
                out.push_str(&action(source, &body));
            }
            4 => {
                // Often the same again, before and after the data is written to.
                let body = include(source);
                for _ in 0..1 + source.below(2) {
                    out.push_str(&action(source, &body));
                    if source.one_in(3) {
                        let write = write(source);
                        out.push_str(&action(source, &write));
                        out.push_str(&action(source, &body));
                    }
                }
            }
            5 | 6 => {
                let head = format!("if {}", pipeline(source));
                out.push_str(&action(source, &head));
                statements(source, depth - 1, out);
                if source.one_in(2) {
                    let other = match source.one_in(2) {
                        true => "else".into(),
                        false => format!("else if {}", operand(source)),
                    };
                    out.push_str(&action(source, &other));
                    statements(source, depth - 1, out);
                }
                out.push_str(&action(source, "end"));
            }
            7 => {
                let head = format!("with {}", pipeline(source));
                out.push_str(&action(source, &head));
                statements(source, depth - 1, out);
                if source.one_in(3) {
                    out.push_str(&action(source, "else"));
                    statements(source, depth - 1, out);
                }
                out.push_str(&action(source, "end"));
            }
            8 => {
                // Never an integer that was computed: it may be a large one.
                let over = source.pick(RANGES);
                let head = match source.below(3) {
                    0 => format!("range {over}"),
                    1 => format!("range $x := {over}"),
                    _ => format!("range $k, $x := {over}"),
                };
                out.push_str(&action(source, &head));
                statements(source, depth - 1, out);
                if source.one_in(4) {
                    let jump = source.pick(&["break", "continue"]);
                    out.push_str(&action(source, jump));
                }
                out.push_str(&action(source, "end"));
            }
            _ => {
                let name = source.pick(&["one", "two"]);
                let body = format!("template \"{name}\" {}", operand(source));
                out.push_str(&action(source, &body));
            }
        }
    }
}

/// A program. It may use what [`DEFINITIONS`] defines.
pub fn template(source: &mut Source) -> String {
    let mut out = String::from("{{ $x := 1 }}");
    statements(source, 3, &mut out);
    out
}

/// Templates that programs include.
pub const DEFINITIONS: &str = "{{ define \"one\" }}<{{ . }}>{{ end }}\
                               {{ define \"two\" }}\n{{- with . }}{{ toJson . }}{{ else }}none{{ end -}}\n{{ end }}\
                               {{ define \"three\" }}{{ if kindIs \"map\" . }}\
                               {{ include \"two\" .a }}{{ include \"two\" .b }}{{ end }}{{ end }}\
                               {{ define \"four\" }}{{ if kindIs \"map\" . }}\
                               {{ $_ := set . \"n\" (add1 (int .n)) }}{{ .n }}{{ end }}{{ end }}";
