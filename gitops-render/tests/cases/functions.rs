//! Functions of Helm's templates.
//!
//! The files in `functions/` hold templates, each with what Helm 3.21 makes of
//! it, or its error, and with Helm 4.2's answer where that is another. The
//! chart around them has `values.yaml`.

use std::sync::Arc;

use gitops_core::TreePath;
use gitops_core::tree::MemoryTree;
use gitops_render::helm::{Chart, HelmOptions, LoadLimits, Profile, template};
use proptest::prelude::*;

fn chart(text: &str) -> Arc<Chart> {
    let tree: MemoryTree = [
        ("Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.0.0\n"),
        ("values.yaml", include_str!("functions/values.yaml")),
        ("templates/a.yaml", text),
    ]
    .map(|(path, text)| (path, text.to_owned()))
    .try_into()
    .expect("valid paths");
    Chart::load(&tree, &TreePath::ROOT, &LoadLimits::default())
        .expect("a valid chart")
        .into()
}

/// The kind of the answer, as the files name it, and the answer.
fn answer(text: &str, options: &HelmOptions) -> (&'static str, String) {
    match template(&chart(text), options) {
        Ok(release) => {
            let text = release.to_text();
            let header = "---\n# Source: c/templates/a.yaml\n";
            let text = text.strip_prefix(header).unwrap_or(&text);
            ("output", text.trim_end_matches('\n').to_owned())
        }
        Err(error) => ("error", error.to_string().trim_end_matches('\n').to_owned()),
    }
}

#[test]
fn functions_do_what_helm_does() {
    let files = [
        include_str!("functions/crypto.txt"),
        include_str!("functions/dates.txt"),
        include_str!("functions/encoding.txt"),
        include_str!("functions/patterns.txt"),
        include_str!("functions/toml.txt"),
        include_str!("functions/urls.txt"),
        include_str!("functions/values.txt"),
        include_str!("functions/versions.txt"),
        include_str!("functions/words.txt"),
    ];
    let mut wrong = Vec::new();
    for case in files.iter().flat_map(|file| file.split("== ").skip(1)) {
        let (name, rest) = case.split_once('\n').expect("a name");
        let rest = rest
            .strip_suffix("\n\n")
            .expect("a blank line behind each case");
        let (text, answers) = rest.split_once("\n-- ").expect("an answer");
        let (of_helm3, of_helm4) = match answers.split_once("\n-- ") {
            Some((three, four)) => (three, Some(four.replacen(" of helm 4", "", 1))),
            None => (answers, None),
        };
        let of_helm4 = of_helm4.as_deref().unwrap_or(of_helm3);
        for (profile, expected) in [(Profile::Helm3_21, of_helm3), (Profile::Helm4_2, of_helm4)] {
            let options = HelmOptions {
                profile,
                ..HelmOptions::default()
            };
            let (kind, text) = answer(text, &options);
            let actual = format!("{kind}\n{text}");
            if actual != expected {
                wrong.push(format!(
                    "{name} ({profile:?})\n  expected {expected}\n  got      {actual}"
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever stands in a value, these answer it.
    #[test]
    fn readers_take_any_text(text in "[a-c=.\\[\\]{}\"'#,\n \\\\0-9eéx_:-]{0,40}") {
        let values = [("t", gitops_core::Value::from(text.as_str()))];
        let options = HelmOptions {
            values: values.into_iter().collect(),
            ..HelmOptions::default()
        };
        let template = "{{ range list (fromToml .Values.t) (b64dec .Values.t) (b32dec .Values.t) \
                        (snakecase .Values.t) (camelcase .Values.t) }}# {{ toJson . }}\n{{ end }}";
        let (kind, text) = answer(template, &options);
        prop_assert_eq!(kind, "output", "{}", text);
    }

    /// Whatever they are given, these answer or say what is wrong.
    #[test]
    fn parsers_take_any_text(
        text in "(http|//|::1|CET|GMT|AM|Feb|[0-9:/@%?#\\[\\]{}*!a-zA-Z.+,$é _-]){0,20}",
        layout in "(2006|06|01|02|002|__2|15|3|PM|MST|-07:00:00|Z0700|[.]000|,999|[ :/-]){0,6}",
    ) {
        let values = [("t", text.as_str()), ("l", &layout)];
        let values = values.map(|(key, text)| (key, gitops_core::Value::from(text)));
        let options = HelmOptions {
            values: values.into_iter().collect(),
            ..HelmOptions::default()
        };
        for call in [
            "urlParse .Values.t | toJson",
            "urlJoin (dict \"host\" .Values.t \"path\" .Values.t \"userinfo\" .Values.t) | quote",
            "mustToDate .Values.l .Values.t",
            "mustToDate .Values.l (dateInZone .Values.l 1700000000 \"Asia/Kolkata\")",
            "mustDateModify .Values.t now",
            "(semver .Values.t).IncPatch",
            "semverCompare .Values.t \"1.2.3\"",
            "mustRegexReplaceAll .Values.t .Values.t .Values.t | quote",
            "range .Files.Glob .Values.t }}{{ end }}{{ \"\"",
        ] {
            answer(&format!("a: {{{{ {call} }}}}"), &options);
        }
    }
}
