use gitops_core::json;
use gitops_core::yaml::{self, DuplicateKeys, Options, Style};
use serde::Deserialize;

use super::table::rows;

#[derive(Deserialize)]
struct Read {
    why: String,
    #[serde(default)]
    r#in: String,
    #[serde(default)]
    bytes: Vec<u8>,
    json: Option<String>,
    error: Option<String>,
    /// The answer if duplicate keys are errors, where it differs.
    strict: Option<String>,
}

fn outcome(result: Result<gitops_core::Value, yaml::Error>) -> Result<String, String> {
    result
        .map(|value| json::to_string(&value))
        .map_err(|error| error.to_string())
}

impl Read {
    fn check(&self, text: &[u8]) {
        let expected = match (&self.json, &self.error) {
            (Some(json), _) => Ok(json.clone()),
            (None, error) => Err(error.clone().unwrap_or_default()),
        };
        assert_eq!(outcome(yaml::parse(text)), expected, "{}", self.why);
        let slowly = yaml::parse_slowly(text, &Options::default());
        assert_eq!(outcome(slowly), expected, "{}, by the parser", self.why);
        let options = Options {
            duplicate_keys: DuplicateKeys::Error,
            ..Options::default()
        };
        let expected = self.strict.clone().map_or(expected, Err);
        let strict = yaml::parse_with(text, &options);
        assert_eq!(outcome(strict), expected, "{}, strictly", self.why);
    }
}

#[test]
fn reads_as_the_original() {
    for case in rows::<Read>(include_str!("yaml/read.jsonl")) {
        case.check(case.r#in.as_bytes());
    }
    for case in rows::<Read>(include_str!("yaml/bytes.jsonl")) {
        case.check(&case.bytes);
    }
}

#[derive(Deserialize)]
struct Write {
    why: String,
    value: gitops_core::Value,
    kubernetes: Option<String>,
    error: Option<String>,
    pretty: String,
    json: String,
}

#[test]
fn writes_as_the_original() {
    for case in rows::<Write>(include_str!("yaml/write.jsonl")) {
        let value = case.value;
        let written = yaml::to_string(&value).map_err(|error| error.to_string());
        let expected = case.kubernetes.ok_or(case.error.unwrap_or_default());
        assert_eq!(written, expected, "{}", case.why);
        let pretty = yaml::to_string_with(&value, Style::PRETTY).unwrap();
        assert_eq!(pretty, case.pretty, "{}, pretty", case.why);
        assert_eq!(json::to_string(&value), case.json, "{}, JSON", case.why);
    }
}

#[test]
fn positions_are_true_where_the_messages_are_not() {
    let places = |text: &str| {
        let error = yaml::parse(text.as_bytes()).unwrap_err();
        format!("{error} ({}:{})", error.line(), error.column())
    };
    // go-yaml counts the parser's lines from 0.
    assert_eq!(
        places("a: 1\nb:\n    c: 1\n  d: 2\n"),
        "yaml: line 3: did not find expected key (4:3)"
    );
    assert_eq!(
        places("a: b: c\n"),
        "yaml: mapping values are not allowed in this context (1:5)"
    );
    assert_eq!(
        places("é: &a [*b]\n"),
        "yaml: unknown anchor 'b' referenced (1:8)"
    );
}

#[test]
fn a_stream_goes_on_after_a_document_that_cannot_be_read() {
    let text = b"a: 1\n---\n# nothing\n---\nb: [\n--- # c\nc: 3\n...\n# d\n---\nd: 4\n---\n";
    let documents: Vec<String> = yaml::documents(text)
        .map(|document| match document {
            Ok(document) => format!(
                "{}: {}{}",
                document.line,
                json::to_string(&document.value),
                if document.empty { " (empty)" } else { "" }
            ),
            Err(error) => format!("{}: {}", error.line(), error.problem()),
        })
        .collect();
    assert_eq!(
        documents,
        [
            "1: {\"a\":1}",
            "4: null (empty)",
            "6: did not find expected node content",
            "7: {\"c\":3}",
            "11: {\"d\":4}",
            "13: null (empty)",
        ]
    );
}

#[test]
fn no_document_is_read_twice() {
    // Where the bytes stop being text is a mistake without a line.
    let text = b"a: 1\n...\n---\nb: 2\n...\n---\nc: \xc9";
    let documents: Vec<Option<u32>> = yaml::documents(text)
        .map(|document| document.ok().map(|document| document.line))
        .collect();
    assert_eq!(documents, [Some(1), Some(4), None]);
}

#[test]
fn fields_are_found_where_they_are_written() {
    let text = b"x: 1\n---\nspec:\n  sources:\n  - a: 1\n  - repo: r\n    \"b.c\":\n      d: [1,\n        2]\n";
    let locate = |path: &str| yaml::locate(text, 3, path);
    assert_eq!(locate("spec.sources[1].repo"), Some((6, 5)));
    assert_eq!(locate("spec.sources[1][\"b.c\"].d[1]"), Some((9, 9)));
    assert_eq!(locate("spec.sources[1].missing.field"), Some((6, 5)));
    assert_eq!(locate("spec.sources[7]"), Some((4, 3)));
    assert_eq!(yaml::locate(b"a: [", 1, "a"), None);
}

#[test]
fn depth_is_limited() {
    for (open, close) in [("[", "]"), ("{a: ", "}")] {
        let nested = |depth: usize| open.repeat(depth) + &close.repeat(depth);
        assert!(yaml::parse(nested(1000).as_bytes()).is_ok());
        let error = yaml::parse(nested(1001).as_bytes()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "yaml: line 1: exceeded max depth of 1000"
        );
        let error = yaml::parse(nested(10_001).as_bytes()).unwrap_err();
        assert_eq!(error.problem(), "exceeded max depth of 1000");
    }
    let chain: String = (1..1500).fold("- &a0 [x]\n".to_owned(), |text, level| {
        text + &format!("- &a{level} [*a{}]\n", level - 1)
    });
    let error = yaml::parse(chain.as_bytes()).unwrap_err();
    assert_eq!(error.problem(), "exceeded max depth of 1000");
}

#[test]
fn aliases_do_not_multiply() {
    let levels: String = (1..40).fold("a0: &a0 [x, x]\n".to_owned(), |text, level| {
        let before = level - 1;
        text + &format!("a{level}: &a{level} [*a{before}, *a{before}]\n")
    });
    let error = yaml::parse(levels.as_bytes()).unwrap_err();
    assert_eq!(error.problem(), "document contains excessive aliasing");
}

#[test]
fn trees_are_written_as_they_were_read() {
    use gitops_core::yaml::node::{Limits, Tree};
    let text = "b: 'x'\na: \"1\"\nlist:\n- {k: v, l: [1, two]}\n- |\n  a\n  b\n- !!str 3\nanchor: &a\n  c: 1\nalias: *a\n";
    let tree = Tree::parse(text.as_bytes(), &Limits::default())
        .expect("it is YAML")
        .expect("a document");
    assert_eq!(tree.to_text(tree.root()).expect("it can be written"), text);
    // In brackets a time has to be quoted, and is text then.
    let moment = |text: &str| {
        let tree = Tree::parse(text.as_bytes(), &Limits::default())
            .expect("it is YAML")
            .expect("a document");
        let value = tree.to_value(tree.root()).expect("it has a meaning");
        let mut written = Vec::new();
        let mut writer = yaml::Writer::new(&mut written, yaml::Style::KUBERNETES);
        tree.write_to(tree.root(), &mut writer)
            .expect("it has a meaning");
        writer.finish().expect("it can be written");
        let text = yaml::to_string(&value).expect("it can be written");
        assert_eq!(String::from_utf8_lossy(&written), text);
        text
    };
    assert_eq!(
        moment("t: 2020-01-01 10:00:00"),
        "t: \"2020-01-01T10:00:00Z\"\n"
    );
    assert_eq!(
        moment("{t: 2020-01-01 10:00:00}"),
        "t: \"2020-01-01 10:00:00\"\n"
    );
}
