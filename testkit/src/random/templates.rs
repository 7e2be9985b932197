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
                let name = source.pick(&["one", "two"]);
                let body = format!(
                    "include \"{name}\" {} | {}",
                    source.pick(PLACES),
                    source.pick(&["trim", "nindent 2", "quote", "print"])
                );
                out.push_str(&action(source, &body));
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
                               {{ define \"two\" }}\n{{- with . }}{{ toJson . }}{{ else }}none{{ end -}}\n{{ end }}";
