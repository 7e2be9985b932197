//! YAML: the fast reader equals the slow one, entries that are chosen are those of
//! the whole, and what is written is read.

#![no_main]

use gitops_core::yaml::node::{Limits, Tree};
use gitops_core::yaml::{self, Numbers, Options};
use gitops_core::{Value, json};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    for numbers in [Numbers::Json, Numbers::Float64] {
        let options = Options {
            numbers,
            ..Options::default()
        };
        let read = yaml::parse_with(text, &options);
        let slowly = yaml::parse_slowly(text, &options);
        match (&read, &slowly) {
            (Ok(read), Ok(slowly)) => assert_eq!(read, slowly),
            (Err(read), Err(slowly)) => assert_eq!(read.to_string(), slowly.to_string()),
            (read, slowly) => panic!("{read:?} is not {slowly:?}"),
        }
        let Ok(value) = read else { continue };
        let written = json::to_string(&value);
        // go-yaml v2 writes these as they are, and folds them into spaces.
        if written.contains(['\u{85}', '\u{2028}', '\u{2029}']) || written.contains("\\u202") {
            continue;
        }
        // It writes this as it is as well, and reads a merge.
        if written.contains(r#""\u003c\u003c":"#) {
            continue;
        }
        // v3 puts tabs into literals, where v2 may take them for indentation.
        let tabs = written.contains("\\t");
        let pretty = (!tabs).then(|| yaml::to_string_pretty(&value));
        for text in [Some(yaml::to_string(&value)), pretty] {
            let Some(Ok(text)) = text else { continue };
            let again = yaml::parse_with(text.as_bytes(), &options);
            let again = again.unwrap_or_else(|error| panic!("{error}:\n{text}"));
            assert!(again.same(&value), "{value:?} is written\n{text}");
        }
    }
    if let (Ok(value), Ok((spanned, _))) = (yaml::parse(text), yaml::parse_spanned(text)) {
        assert_eq!(value, spanned);
    }
    let odd = |key: &str| key.len() % 2 == 1;
    let chosen = yaml::parse_entries(text, odd).map_err(|error| error.to_string());
    let whole = yaml::parse(text).map_err(|error| error.to_string());
    let whole = whole.map(|value| match value {
        Value::Map(map) => Value::Map(map.into_iter().filter(|(key, _)| odd(key)).collect()),
        other => other,
    });
    assert_eq!(chosen, whole);
    let limits = Limits::default();
    let trees = [Tree::parse, Tree::parse_slowly].map(|parse| match parse(text, &limits) {
        Ok(tree) => format!("{tree:?}"),
        Err(error) => error.to_string(),
    });
    assert_eq!(trees[0], trees[1]);
    let mut line = 0;
    for document in yaml::documents(text).flatten() {
        // What follows an empty one may begin where that ended.
        assert!(document.line >= line, "documents go on");
        line = document.line;
    }
});
