//! Renders of one chart after each other: what is reused, and that nobody can
//! tell.

use std::sync::Arc;
use std::time::SystemTime;

use gitops_core::tree::{MemoryTree, TreePath};
use gitops_core::{Map, Value};
use gitops_render::helm::{Chart, HelmOptions, Memo, Release, Seed, template};
use proptest::prelude::*;

fn chart(files: &[(String, String)]) -> Arc<Chart> {
    let mut tree = MemoryTree::new();
    for (path, text) in files {
        tree.insert(&TreePath::parse(path).expect("a path"), text.clone());
    }
    Chart::load(&tree, &TreePath::ROOT, &Default::default())
        .expect("a chart")
        .into()
}

/// What templates do with their data: reading it in every way that differs to
/// a map, and writing to it in every way that others can see.
const READERS: &[&str] = &[
    "a: {{ .Values.a }}",
    "ab: {{ (.Values.b).a }}",
    "{{ if .Values.b }}b: there{{ end }}",
    "{{ with .Values.c }}c: {{ toJson . }}{{ end }}",
    "{{ range $k, $v := .Values.b }}{{ $k }}: {{ $v | toJson }}\n{{ end }}",
    "keys: {{ keys .Values | sortAlpha | toJson }}",
    "length: {{ len (.Values.c | default dict) }}",
    "all: {{ toJson .Values }}",
    "root: {{ omit . \"Template\" \"Files\" \"Capabilities\" \"Chart\" | toJson }}",
    "global: {{ (.Values.global).a }}",
    "sub: {{ ((.Values.sub).b).a }}",
    "list: {{ range .Values.l }}{{ kindOf . }}-{{ . | toJson }} {{ end }}",
    "dig: {{ dig \"b\" \"none\" (.Values.b | default dict) }}",
    "copy: {{ (deepCopy .Values).a | toJson }}",
    "merged: {{ merge (dict \"own\" 1) (.Values.c | default dict) | toJson }}",
    "alias: {{ deepEqual .Values.b .Values.c }} {{ eq (toString .Values.a) \"1\" }}",
    "has: {{ hasKey .Values \"b\" }} {{ hasKey . \"x\" }} {{ .x }}",
    "helper: {{ include \"read\" . }}",
    "tpl: {{ tpl (.Values.t | default \"none\" | toString) . }}",
    "seen: {{ .Values.seen | toJson }} {{ (.Values.global).seen | toJson }}",
    "subchart: {{ (.Subcharts.sub).Values.a | toJson }}",
    "pluck: {{ pluck \"a\" .Values (.Values.b | default dict) | toJson }}",
    "first: {{ with .Values.l }}{{ first . | toJson }}{{ end }}",
    "random: {{ if .Values.a }}{{ randAlpha 3 }}{{ end }}",
    "time: {{ if .Values.b }}{{ now | unixEpoch }}{{ end }}",
    "version: {{ .Capabilities.KubeVersion.Version }} {{ .Capabilities.APIVersions.Has \"v1\" }}",
    "{{ if eq (toString .Values.a) \"2\" }}{{ fail \"two\" }}{{ end }}",
];

const WRITERS: &[&str] = &[
    "{{ $_ := set .Values \"seen\" .Values.a }}",
    "{{ $_ := set . \"x\" (.Values.b | toJson) }}",
    "{{ $_ := unset .Values \"a\" }}",
    "{{ range .Values.l }}{{ if kindIs \"map\" . }}{{ $_ := set . \"m\" 1 }}{{ end }}{{ end }}",
    "{{ if kindIs \"map\" .Values.b }}{{ $_ := set .Values.b \"a\" \"w\" }}{{ end }}",
    "{{ if kindIs \"map\" .Values.global }}{{ $_ := set .Values.global \"seen\" .Values.c }}{{ end }}",
    "{{ if kindIs \"map\" .Values.c }}{{ $_ := mergeOverwrite .Values.c (dict \"b\" 7) }}{{ end }}",
    "{{ if .Values.a }}{{ $_ := set .Values \"b\" (dict \"a\" (randAlpha 3)) }}{{ end }}",
    "{{ if and (kindIs \"map\" .Values.b) (kindIs \"map\" .Values.c) }}{{ $_ := set .Values.b \"b\" .Values.c }}{{ end }}",
];

fn files() -> impl Strategy<Value = Vec<(String, String)>> {
    let snippet = prop_oneof![
        4 => proptest::sample::select(READERS),
        1 => proptest::sample::select(WRITERS),
    ];
    let templates = proptest::collection::vec((any::<bool>(), snippet), 1..9);
    (templates, any::<bool>()).prop_map(|(templates, alias)| {
        let dependency = match alias {
            true => "dependencies:\n- {name: sub, version: 1.0.0, condition: sub.enabled}\n",
            false => "",
        };
        let mut files = vec![
            (
                "Chart.yaml".to_owned(),
                format!("apiVersion: v2\nname: top\nversion: 1.0.0\n{dependency}"),
            ),
            (
                "values.yaml".to_owned(),
                "a: 1\nb: {a: x, b: {c: 1}}\nc: {a: x}\nl: [{k: 1}, two]\n\
                 global: {a: g, t: {u: 1}}\nt: '{{ .Values.a }}'\n"
                    .to_owned(),
            ),
            (
                "templates/_read.tpl".to_owned(),
                "{{ define \"read\" }}{{ .Values.c | toJson }}{{ end }}".to_owned(),
            ),
            (
                "charts/sub/Chart.yaml".to_owned(),
                "apiVersion: v2\nname: sub\nversion: 1.0.0\n".to_owned(),
            ),
            (
                "charts/sub/values.yaml".to_owned(),
                "a: s\nb: {a: y}\nglobal: {t: {v: 2}}\n".to_owned(),
            ),
        ];
        for (index, (below, text)) in templates.into_iter().enumerate() {
            let dir = if below { "charts/sub/" } else { "" };
            files.push((format!("{dir}templates/t{index}.yaml"), text.to_owned()));
        }
        files
    })
}

/// Values of a few keys, so that renders often agree on most of them.
fn values() -> impl Strategy<Value = Map> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (0i64..3).prop_map(Value::Int),
        "[xy]{0,2}".prop_map(|text| Value::String(text.into())),
    ];
    let key = || proptest::sample::select(&["a", "b", "c", "l", "t", "sub", "global", "enabled"]);
    let value = scalar.prop_recursive(3, 12, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3)
                .prop_map(|items| items.into_iter().collect()),
            proptest::collection::vec((key(), inner), 0..4)
                .prop_map(|entries| Value::Map(entries.into_iter().collect())),
        ]
    });
    proptest::collection::vec((key(), value), 0..5)
        .prop_map(|entries| entries.into_iter().collect())
}

fn seen(result: &Result<Release, gitops_render::helm::Error>) -> String {
    match result {
        Ok(release) => format!(
            "{}\n{:?}\n{:?}",
            release.to_text(),
            release.warnings,
            release.inputs
        ),
        Err(error) => error.to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_render_with_a_memo_is_like_one_without(
        files in files(),
        renders in proptest::collection::vec(values(), 2..6),
    ) {
        let chart = chart(&files);
        let mut memo = Memo::default();
        for values in renders {
            let options = HelmOptions {
                values,
                seed: Seed::fixed(b"seed", SystemTime::UNIX_EPOCH),
                ..HelmOptions::default()
            };
            let with = memo.template(&chart, &options);
            let without = template(&chart, &options);
            prop_assert_eq!(seen(&with), seen(&without));
        }
    }
}

fn files_of(templates: &[(&str, &str)]) -> Vec<(String, String)> {
    let chart = ("Chart.yaml", "apiVersion: v2\nname: top\nversion: 1.0.0\n");
    [&chart]
        .into_iter()
        .chain(templates)
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect()
}

fn with_values(values: &[(&str, i64)]) -> HelmOptions {
    HelmOptions {
        values: values
            .iter()
            .map(|(key, value)| (*key, Value::Int(*value)))
            .collect(),
        ..HelmOptions::default()
    }
}

#[test]
fn what_reads_no_difference_is_reused() {
    let chart = chart(&files_of(&[
        ("templates/a.yaml", "a: {{ .Values.a }}"),
        ("templates/b.yaml", "b: {{ .Values.b }}"),
        ("templates/c.yaml", "c: {{ .Values.a }} {{ .Values.b }}"),
        ("templates/r.yaml", "r: {{ randAlpha 9 }}"),
    ]));
    let mut memo = Memo::default();
    let mut reused = |options: &HelmOptions| {
        memo.template(&chart, options).expect("it renders");
        memo.reused()
    };
    assert_eq!(reused(&with_values(&[("a", 1), ("b", 1)])), 0);
    assert_eq!(reused(&with_values(&[("a", 1), ("b", 1)])), 3);
    assert_eq!(reused(&with_values(&[("a", 1), ("b", 2)])), 1);
    assert_eq!(reused(&with_values(&[("a", 1), ("b", 2), ("c", 3)])), 3);
    let elsewhere = HelmOptions {
        namespace: "elsewhere".into(),
        ..with_values(&[("a", 1), ("b", 2)])
    };
    assert_eq!(reused(&elsewhere), 0);
}

#[test]
fn random_numbers_of_the_system_are_drawn_again() {
    let chart = chart(&files_of(&[(
        "templates/r.yaml",
        "r: {{ randAlphaNum 30 }}",
    )]));
    let mut memo = Memo::default();
    let mut text = || {
        let release = memo.template(&chart, &HelmOptions::default());
        release.expect("it renders").to_text()
    };
    assert_ne!(text(), text());
}

#[test]
fn a_memo_goes_from_thread_to_thread() {
    let chart = chart(&files_of(&[("templates/a.yaml", "a: {{ .Values.a }}")]));
    let mut memo = Memo::default();
    let options = with_values(&[("a", 1)]);
    memo.template(&chart, &options).expect("it renders");
    let reused = std::thread::spawn(move || {
        memo.template(&chart, &options).expect("it renders");
        memo.reused()
    });
    assert_eq!(reused.join().expect("no panic"), 1);
}

#[test]
fn a_template_that_is_reused_leaves_its_name_behind() {
    let chart = chart(&files_of(&[
        (
            "charts/sub/Chart.yaml",
            "apiVersion: v2\nname: sub\nversion: 1.0.0\n",
        ),
        ("charts/sub/templates/a.yaml", "a: {{ .Values.a }}"),
        (
            "templates/b.yaml",
            "b: {{ .Subcharts.sub.Template.Name }} {{ .Values.b }}",
        ),
    ]));
    let mut memo = Memo::default();
    for number in [1, 2] {
        let options = with_values(&[("b", number)]);
        let release = memo.template(&chart, &options).expect("it renders");
        let b = format!("b: top/charts/sub/templates/a.yaml {number}\n");
        assert!(release.to_text().ends_with(&b), "{}", release.to_text());
    }
    assert_eq!(memo.reused(), 1);
}
