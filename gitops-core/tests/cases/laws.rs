use gitops_core::yaml::node::{Limits, Tree};
use gitops_core::yaml::{self, DuplicateKeys, Options, Style};
use gitops_core::{Map, Value, json};
use proptest::prelude::*;

/// Text of everything that is special to YAML somewhere.
///
/// Three characters are left out: go-yaml reads U+0085, U+2028 and U+2029 as
/// line breaks and writes the last two into quotes, where they fold.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-zA-Z0-9]{1,8}",
        2 => proptest::sample::select(vec![
            " ", "  ", "\n", "\n\n", "\t", ":", ": ", "#", " #", "-", "- ", "?", "[", "]", "{",
            "}", ",", "\"", "'", "\\", "|", ">", "&", "*", "!", "%", "@", "`", "=", "<<", "~",
            "---", "...", ".", "0x", "1e3", "1:30", "2001-12-14", "yes", "null", "é", "日本",
            "\u{1f600}", "\u{feff}", "\u{a0}", "\r", "\u{1}", "long word ",
        ])
        .prop_map(str::to_owned),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (i64::MAX as u64 + 1..).prop_map(Value::UInt),
        any::<f64>()
            .prop_filter("JSON has no infinities", |number| number.is_finite())
            .prop_map(Value::Float),
        text().prop_map(Value::from),
    ];
    scalar.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from_iter),
            // go-yaml writes the key `<<` without quotes, and merges when it reads it.
            proptest::collection::vec(
                (text().prop_filter("no merge", |key| key != "<<"), inner),
                0..6
            )
            .prop_map(|entries| Value::Map(entries.into_iter().collect::<Map>())),
        ]
    })
}

/// Lines that are nearly YAML.
fn document() -> impl Strategy<Value = String> {
    let line = (
        proptest::sample::select(vec!["", "", "  ", "  ", "    ", "      ", "\t"]),
        proptest::sample::select(vec!["", "", "- ", "- - ", "? ", ": "]),
        proptest::sample::select(vec![
            "", "k:", "k: ", "\"q\": ", "y: ", "1: ", "a.b/c: ", "<<: ",
        ]),
        proptest::sample::select(vec![
            "",
            "a",
            "a b",
            "1",
            "017",
            "1.5",
            "yes",
            "~",
            "'q'",
            "'it''s'",
            "\"d\\n\"",
            "'open",
            "\"open",
            "close'",
            "close\"",
            "|",
            "|-",
            "|+",
            ">",
            ">-",
            ">+",
            "|2",
            "[]",
            "{}",
            "[a, 'b', {c: d}]",
            "[a,",
            "]",
            "{a: b, c: [d]}",
            "{a:",
            "}",
            "&x a",
            "*x",
            "!!str 1",
            "!t",
            "# c",
            "a # c",
            "a#c",
            "a: b",
            "http://a:1/b",
            "---",
            "...",
            "--- a",
            "%YAML 1.1",
            "<<",
            "é",
            "a\\b",
            ".inf",
            "2001-12-14",
            "- b",
            "text that goes on",
            "\u{85}",
            "a\r",
        ]),
    )
        .prop_map(|(indent, marks, key, rest)| format!("{indent}{marks}{key}{rest}"));
    proptest::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
}

/// A text whose first document is whole and whose second begins with a mistake,
/// which go-yaml v3 has seen when it hands the first one out.
#[test]
fn a_tree_is_read_with_a_look_at_what_follows() {
    let text = b"a: 1\n---\n%a: b";
    let limits = Limits::default();
    let [fast, slow] = [Tree::parse, Tree::parse_slowly].map(|parse| parse(text, &limits));
    let fast = fast.expect_err("the second document is none").to_string();
    assert_eq!(fast, slow.expect_err("it is none").to_string());
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        // Regressions become cases, with a reason.
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_written_reads_back(value in value()) {
        if let Ok(text) = yaml::to_string(&value) {
            let back = yaml::parse(text.as_bytes());
            prop_assert!(back.as_ref().is_ok_and(|back| back.same(&value)), "{text}\n{back:?}");
        }
        // go-yaml v3 puts tabs into literals, where v2 may take them for
        // indentation.
        if !json::to_string(&value).contains("\\t") {
            let text = yaml::to_string_with(&value, Style::PRETTY).unwrap();
            let back = yaml::parse(text.as_bytes());
            prop_assert!(back.as_ref().is_ok_and(|back| back.same(&value)), "{text}\n{back:?}");
        }
        for text in [json::to_string(&value), json::to_string_pretty(&value, 1)] {
            prop_assert_eq!(json::parse(text.as_bytes()).unwrap().same(&value), true);
        }
    }

    #[test]
    fn the_fast_path_says_what_the_parser_says(text in document()) {
        for duplicate_keys in [DuplicateKeys::LastWins, DuplicateKeys::Error] {
            let options = Options { duplicate_keys, ..Options::default() };
            prop_assert_eq!(
                yaml::parse_with(text.as_bytes(), &options),
                yaml::parse_slowly(text.as_bytes(), &options)
            );
        }
    }

    #[test]
    fn what_is_left_out_is_read(text in document(), wanted in "[a-c]{0,2}") {
        let wanted = |key: &str| wanted.contains(key);
        let whole = yaml::parse(text.as_bytes()).map(|value| match value {
            Value::Map(map) => {
                let kept = map.into_iter().filter(|(key, _)| wanted(key));
                Value::Map(kept.collect())
            }
            other => other,
        });
        prop_assert_eq!(yaml::parse_entries(text.as_bytes(), wanted), whole);
    }

    #[test]
    fn the_fast_path_makes_the_tree_that_the_parser_makes(text in document()) {
        let limits = Limits::default();
        let shown = |tree: Result<Option<Tree>, yaml::Error>| {
            tree.map(|tree| format!("{tree:?}")).map_err(|error| error.to_string())
        };
        prop_assert_eq!(
            shown(Tree::parse(text.as_bytes(), &limits)),
            shown(Tree::parse_slowly(text.as_bytes(), &limits))
        );
    }

    #[test]
    fn a_tree_is_written_as_its_value_is(text in document()) {
        let limits = Limits::default();
        if let Ok(Some(mut tree)) = Tree::parse(text.as_bytes(), &limits)
            && tree.inline_aliases(&limits).is_ok()
        {
            let mut written = Vec::new();
            let mut writer = yaml::Writer::new(&mut written, Style::KUBERNETES);
            let outcome = tree.write_to(tree.root(), &mut writer).map(|()| writer.finish());
            let written = outcome.map(|outcome| outcome.map(|()| String::from_utf8(written)));
            let value = tree.to_value(tree.root());
            prop_assert_eq!(written, value.map(|value| yaml::to_string(&value).map(Ok)));
        }
    }

    #[test]
    fn the_first_document_of_a_stream_is_what_parse_reads(text in document()) {
        let first = yaml::documents(text.as_bytes()).next();
        if let (Some(Ok(first)), Ok(parsed)) = (first, yaml::parse(text.as_bytes())) {
            prop_assert_eq!(first.value, parsed);
        }
    }

    #[test]
    fn no_bytes_cause_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = yaml::parse_spanned(&bytes);
        let _ = yaml::documents(&bytes).count();
        let _ = json::parse(&bytes);
        let _ = gitops_core::manifest::parse(&bytes, &gitops_core::Origin::file("f"));
    }

    #[test]
    fn no_lines_cause_a_panic(text in document()) {
        let _ = yaml::parse_spanned(text.as_bytes());
        let _ = yaml::locate(text.as_bytes(), 3, "k[0].a");
        let _ = gitops_core::manifest::parse(text.as_bytes(), &gitops_core::Origin::file("f"));
    }
}
