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
    "key: {{ genPrivateKey (ternary \"ed25519\" \"ecdsa\" (kindIs \"map\" .Values.a)) | b64enc }}",
    "bound: {{ .Values.b | toJson }} {{ genPrivateKey \"ed25519\" | b64enc }}",
    "own: {{ $m := fromYaml \"a: {b: 1}\" }}{{ $_ := set $m.a \"c\" .Values.a }}{{ toYaml $m | b64enc }} \
     {{ fromYaml \"a: {b: 1}\" | toYaml | b64enc }} {{ fromJsonArray \"[1, {}]\" | toJson }}",
    "again: {{ (toYaml .Values | fromYaml).b | toJson }} {{ toYaml (list 1 1.0 \"1\" .Values.a) | b64enc }}",
    "{{ with deepCopy .Values }}copied: {{ .a | toJson }} {{ if kindIs \"map\" .b }}{{ .b.a | toJson }}{{ end }}{{ end }}",
    "{{ $m := deepCopy .Values | merge (dict \"own\" 1) }}laid: {{ $m.c | toJson }} {{ len ($m.b | default dict) }}",
    "{{ $m := deepCopy $ | merge (dict \"own\" 1) }}ctx: {{ include \"read\" $m }} {{ include \"args\" (dict \"v\" $m.Values.a) }}",
    "{{ $m := deepCopy .Values }}{{ $_ := set $m \"a\" 9 }}{{ if kindIs \"map\" $m.b }}{{ $_ := set $m.b \"a\" 9 }}{{ end }}\
     cut: {{ toJson $m.b }} {{ toJson .Values.b }} {{ toJson (deepCopy $m).c }} {{ hasKey $m \"t\" }}",
    "items: {{ range deepCopy (.Values.l | default list) }}{{ if kindIs \"map\" . }}{{ toJson . }}{{ end }}{{ end }}",
    "first: {{ with .Values.l }}{{ (deepCopy (first .)) | toJson }}{{ end }}",
    "level: {{ range $k, $v := (.Values.c | default dict) }}{{ $k }}{{ if kindIs \"map\" $v }}{{ $v.a | toJson }}{{ end }}{{ end }}",
    "alias: {{ with .Values.al }}{{ (deepCopy .).x | toJson }} {{ with deepCopy .x }}{{ if kindIs \"map\" . }}{{ .a | toJson }}{{ end }}{{ end }}{{ end }}",
    "roots: {{ (deepCopy .).Values.b | toJson }} {{ (deepCopy . | merge (dict \"own\" 1)).Values | toJson }}",
    "twice: {{ include \"read\" . }} {{ include \"read\" . }} {{ include \"draw\" . }} {{ include \"draw\" . }}",
    "args: {{ range list 1 1.0 \"1\" true nil $.Values $.Values.b $.Values.l $.Values.a }}\
     {{ include \"args\" (dict \"v\" .) }} {{ include \"args\" . }} {{ end }}",
    "nil: {{ include \"args\" dict }} {{ include \"args\" (fromJson \"null\") }} {{ include \"args\" nil }}",
    "place: {{ include \"place\" . }} {{ include \"place\" . }} {{ include \"args\" (dict \"t\" .Template) }} \
     {{ with .Template }}{{ include \"args\" . }}{{ end }} {{ include \"base\" (list .) }}",
    "made: {{ .Values.made | toJson }} {{ with .Values.made }}{{ if kindIs \"map\" . }}{{ range $k, $v := . }}{{ printf \"%s %T \" $k $v }}{{ end }}{{ end }}{{ end }}",
    "cap: {{ if .Values.a }}{{ include \"cap\" . }}{{ end }}",
    "caps: {{ include \"cap\" . }} {{ include \"cap\" . }}",
    "deep: {{ ((.Values.global).t).u | toJson }} {{ .Values.b | toJson }}",
    "count: {{ $d := dict }}{{ include \"count\" $d }} {{ include \"count\" $d }} {{ $d.n }}",
    "parts: {{ include \"outer\" . }} {{ .Values.t | toJson }} {{ include \"part\" . }}",
    "parts: {{ toJson .Values }} {{ include \"outer\" $ }} {{ include \"part\" $ }} {{ include \"outer\" $ }}",
    "parts: {{ if .Values.a }}{{ include \"asks\" . }}{{ end }} {{ include \"asking\" . }} {{ .Values.b | toJson }}",
    "parts: {{ range list .Values.b .Values.c .Values.global .Values.l }}{{ include \"inner\" . }} {{ include \"inner\" (dict \"v\" .) }}{{ end }}",
    "parts: {{ $m := deepCopy $ }}{{ include \"outer\" $m }} {{ include \"outer\" (merge (dict \"own\" 1) $) }} {{ toJson .Values.a }}",
    "parts: {{ .Values.a | toJson }} {{ range .Values.l }}{{ include \"inner\" . }}{{ end }} {{ include \"draws\" . }} {{ include \"named\" . }}",
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
    "read: {{ include \"read\" . }}{{ $_ := set .Values \"c\" (dict \"a\" .Values.a) }} {{ include \"read\" . }} \
     {{ include \"write\" . }} {{ include \"read\" . }} {{ include \"write\" . }} {{ include \"read\" . }}",
    "placed: {{ include \"place\" . }}{{ $_ := set .Template \"Name\" \"other\" }} {{ include \"place\" . }}",
    "below: {{ $d := dict \"v\" .Values.b }}{{ include \"args\" $d }}{{ if kindIs \"map\" .Values.b }}\
     {{ $_ := set .Values.b \"n\" 1 }}{{ end }} {{ include \"args\" $d }} {{ include \"count\" .Values }}",
    "{{ $_ := set .Values \"made\" (dict \"i\" 1 \"i64\" (int64 1) \"f\" 1.0 \"n\" nil \"l\" (list 1 (dict \"t\" true)) \"s\" \"x\") }}\
     {{ $_ := set .Values.made \"a\" .Values.a }}{{ $_ := unset .Values.made \"n\" }}",
    "{{ $d := dict \"k\" (dict) }}{{ $_ := set .Values \"made\" $d }}{{ $_ := set $d.k \"late\" 1 }}{{ $_ := set .Values \"twice\" $d }}",
    "{{ $_ := set .Values \"made\" (deepCopy (.Values.b | default dict)) }}{{ if kindIs \"map\" .Values.made }}{{ $_ := set .Values.made \"z\" 1 }}{{ end }}",
    "{{ $c := deepCopy .Values }}{{ $_ := set .Values \"made\" $c.b }}{{ if kindIs \"map\" $c.b }}{{ $_ := set $c.b \"z\" .Values.a }}{{ end }}",
    "{{ $_ := set .Values \"al\" (dict \"x\" .Values.b) }}",
    "shift: {{ .Values.a | toJson }}{{ $_ := unset .Values \"a\" }}{{ .Values.b | toJson }}",
    "{{ with .Values.global }}{{ with .t }}{{ if kindIs \"map\" .u }}{{ $_ := set .u \"w\" $.Values.a }}{{ end }}{{ end }}{{ end }}",
    "{{ with .Values.l }}{{ $_ := set $.Values \"al\" (dict \"x\" (first .)) }}{{ end }}",
    "{{ with .Values.al }}{{ if kindIs \"map\" .x }}{{ $_ := set .x \"a\" $.Values.a }}{{ end }}{{ end }}",
    "{{ if eq (toString .Values.a) \"1\" }}{{ if kindIs \"map\" .Values.b }}{{ $_ := set .Values.b \"a\" \"one\" }}{{ end }}{{ end }}",
    "{{ $d := dict \"k\" 1 }}{{ $_ := set .Values \"made\" (dict \"x\" $d \"y\" $d) }}{{ $_ := set .Values.made.x \"k\" 2 }}",
    "{{ if kindIs \"map\" .Values.b }}{{ $b := .Values.b }}{{ $_ := set .Values \"b\" (dict \"a\" \"new\") }}{{ $_ := set $b \"a\" 5 }}{{ end }}",
    "{{ if kindIs \"map\" .Values.global }}{{ $_ := set .Values.global \"made\" (fromYaml \"{a: 1, b: [2]}\") }}{{ end }}",
    "{{ if kindIs \"map\" .Values.c }}{{ range $i := until 3 }}{{ $_ := set $.Values.c (printf \"k%d\" $i) $i }}{{ end }}{{ end }}",
    "copies: {{ toJson (deepCopy .Values) }}{{ if kindIs \"map\" .Values.b }}{{ $_ := set .Values.b \"a\" .Values.a }}{{ end }} \
     {{ toJson (deepCopy .Values) }}{{ $_ := unset (.Values.c | default dict) \"a\" }} {{ toJson (deepCopy .Values) }}",
    "parts: {{ $_ := set . \"Values\" (deepCopy (merge (dict \"own\" 1) .Values)) }}{{ include \"outer\" . }} {{ include \"asks\" . }}",
    "parts: {{ $_ := set . \"Values\" (deepCopy (omit .Values \"l\")) }}{{ $_ := set .Values \"c\" (dict \"a\" .Values.a) }}\
     {{ include \"outer\" . }} {{ $_ := set .Values.c \"b\" 1 }}{{ include \"outer\" . }}",
    "parts: {{ include \"outer\" . }}{{ $_ := set .Values \"c\" (dict \"a\" .Values.a \"d\" (dict \"t\" .Values.t)) }}{{ include \"outer\" . }}\
     {{ $_ := set .Values \"b\" (dict \"a\" .Values.t) }}{{ include \"outer\" . }}{{ $_ := unset .Values \"c\" }}{{ include \"outer\" . }}",
    "parts: {{ toJson .Values.a }} {{ if kindIs \"map\" .Values.b }}{{ $b := .Values.b }}{{ $_ := set .Values \"b\" (dict \"a\" \"new\") }}\
     {{ include \"inner\" $b }} {{ include \"inner\" .Values.b }}{{ end }}",
    "parts: {{ if .Values.a }}{{ include \"writes\" . }}{{ end }}{{ include \"part\" . }} {{ include \"writes\" . }} {{ include \"outer\" . }}",
    "parts: {{ if kindIs \"map\" .Values.c }}{{ $_ := set .Values \"al\" (dict \"x\" .Values.c) }}{{ include \"outer\" . }}\
     {{ $_ := set .Values.al.x \"a\" .Values.a }}{{ end }}{{ include \"outer\" . }} {{ include \"inner\" .Values.al }}",
    "parts: {{ $_ := set .Values (ternary \"b\" \"c\" (eq (toString .Values.a) \"1\")) 9 }}{{ include \"outer\" . }}",
    "parts: {{ $_ := set $ \"own\" (dict \"a\" .Values.a \"b\" (dict \"c\" .Values.b)) }}{{ include \"inner\" .own }} {{ include \"inner\" .own.b }}\
     {{ $_ := set .own \"b\" 1 }}{{ include \"inner\" .own }}",
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
                 global: {a: g, t: {u: {x: 1}}}\nt: '{{ .Values.a }}'\n"
                    .to_owned(),
            ),
            (
                "templates/_read.tpl".to_owned(),
                "{{ define \"read\" }}{{ .Values.c | toJson }}{{ end }}\
                 {{ define \"draw\" }}{{ randAlpha 3 }}{{ now | unixEpoch }}{{ end }}\
                 {{ define \"args\" }}{{ kindOf . }} {{ printf \"%T\" . }} {{ . | toJson | b64enc }}{{ end }}\
                 {{ define \"count\" }}{{ $_ := set . \"n\" (add1 (.n | default 0)) }}{{ .n }}{{ end }}\
                 {{ define \"place\" }}{{ .Template.Name }} {{ len .Template }} {{ (deepCopy .Template).Name }}{{ end }}\
                 {{ define \"base\" }}{{ keys (first .).Template | sortAlpha | join \" \" }} {{ (first .).Template.BasePath }}{{ end }}\
                 {{ define \"cap\" }}{{ .Capabilities.KubeVersion.Version }} {{ .Capabilities.APIVersions.Has \"v1\" }}{{ end }}\
                 {{ define \"write\" }}{{ $_ := set .Values \"c\" (list .Values.c) }}{{ end }}"
                    .to_owned(),
            ),
            // What takes some steps, so that it is worth to be known again.
            (
                "templates/_parts.tpl".to_owned(),
                "{{ define \"part\" }}{{ range until 70 }}{{ end }}{{ .Values.c | toJson }} {{ (.Values.b).a }}{{ end }}\
                 {{ define \"inner\" }}{{ range until 70 }}{{ end }}{{ . | toJson }} {{ kindOf . }}{{ end }}\
                 {{ define \"outer\" }}{{ range until 70 }}{{ end }}{{ include \"part\" . }} {{ include \"inner\" .Values.b }} \
                 {{ include \"inner\" (dict \"v\" .Values.c \"n\" 1) }} {{ .Values.a | toJson }} {{ .own | toJson }}{{ end }}\
                 {{ define \"asks\" }}{{ range until 70 }}{{ end }}{{ include \"cap\" . }} {{ .Values.c | toJson }}{{ end }}\
                 {{ define \"asking\" }}{{ range until 70 }}{{ end }}{{ include \"asks\" . }} {{ include \"cap\" . }}{{ end }}\
                 {{ define \"draws\" }}{{ range until 70 }}{{ end }}{{ .Values.c | toJson }} {{ randAlpha 3 }} {{ genPrivateKey \"ed25519\" | b64enc }}{{ end }}\
                 {{ define \"named\" }}{{ range until 70 }}{{ end }}{{ .Template.Name }} {{ .Values.c | toJson }}{{ end }}\
                 {{ define \"writes\" }}{{ range until 70 }}{{ end }}{{ include \"part\" . }}{{ $_ := set .Values \"seen\" .Values.a }}\
                 {{ include \"part\" . }}{{ end }}"
                    .to_owned(),
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

/// How many templates of a render are reused, which nobody else can tell.
fn reused(memo: &mut Memo, chart: &Arc<Chart>, options: &HelmOptions) -> usize {
    let with = memo.template(chart, options);
    assert_eq!(seen(&with), seen(&template(chart, options)));
    memo.reused()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_render_that_remembers_is_like_one_that_does_not(
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
            // One that is traced executes what is included each time.
            let traced = template(&chart, &HelmOptions { trace: true, ..options });
            prop_assert_eq!(seen(&without), seen(&traced));
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
fn what_templates_write_is_written_again_without_them() {
    let chart = chart(&files_of(&[
        ("values.yaml", "m: {}\na: 0\nb: 0\nl: [{}]\n"),
        (
            "templates/z.yaml",
            "{{ $_ := set .Values.m \"seen\" (min .Values.a 5) }}{{ $_ := set .Values.m \"own\" (dict \"k\" 1) }}\
             {{ $_ := set .Values \"copy\" (deepCopy .Values.m) }}{{ $_ := set .Values.copy \"more\" 1 }}",
        ),
        ("templates/y.yaml", "y: {{ toJson .Values.m }}"),
        ("templates/x.yaml", "x: {{ .Values.b }}"),
    ]));
    let mut memo = Memo::default();
    let mut reused = |a: i64, b: i64| {
        let options = with_values(&[("a", a), ("b", b)]);
        self::reused(&mut memo, &chart, &options)
    };
    assert_eq!(reused(1, 1), 0);
    assert_eq!(reused(1, 1), 3);
    assert_eq!(reused(1, 2), 2);
    // It writes something else, which another reads.
    assert_eq!(reused(7, 2), 1);
    // It runs, and writes the same.
    assert_eq!(reused(8, 2), 2);
}

/// What is not executed takes no steps.
#[test]
fn parts_of_a_template_that_read_no_difference_are_not_executed() {
    const LONG: &str = "{{ define \"long\" }}{{ range until 20000 }}{{ end }}{{ .b | toJson }} {{ .c | toJson }}{{ end }}\
                        {{ define \"around\" }}{{ .Values.a | toJson }} {{ include \"long\" .Values }}{{ end }}\
                        {{ define \"asks\" }}{{ include \"long\" .Values }} {{ .Capabilities.KubeVersion }}{{ end }}\
                        {{ define \"names\" }}{{ include \"long\" .Values }} {{ .Template.Name }}{{ end }}\
                        {{ define \"writes\" }}{{ include \"long\" .Values }}{{ $_ := set .Values \"d\" 1 }}{{ end }}";
    // Whether it can be rendered in few steps when `a` is another, and when `b` is.
    let table = [
        (
            "{{ .Values.a }} {{ include \"long\" .Values }}",
            true,
            false,
        ),
        ("{{ .Values.a }} {{ include \"around\" . }}", true, false),
        ("{{ .Values.a }} {{ include \"asks\" . }}", true, false),
        ("{{ .Values.a }} {{ include \"names\" . }}", true, false),
        ("{{ .Values.a }} {{ include \"writes\" . }}", true, false),
        (
            "{{ .Values.a }} {{ include \"long\" (dict \"b\" .Values.b) }}",
            true,
            false,
        ),
        (
            "{{ .Values.a }} {{ include \"long\" (dict \"b\" .Values.a) }}",
            false,
            true,
        ),
        (
            "{{ .Values.a }} {{ include \"long\" (deepCopy .Values) }}",
            false,
            false,
        ),
        (
            "{{ $_ := set . \"Values\" (deepCopy (merge (dict \"d\" 1) .Values)) }}{{ include \"around\" . }}",
            true,
            false,
        ),
        (
            "{{ $_ := set .Values \"c\" (dict \"a\" .Values.a) }}{{ include \"long\" .Values }}",
            false,
            false,
        ),
        (
            "{{ $_ := set .Values \"d\" (dict \"a\" .Values.a) }}{{ include \"long\" .Values }}",
            true,
            false,
        ),
        (
            "{{ $_ := set .Values \"m\" (dict \"b\" (dict \"c\" .Values.a)) }}{{ include \"long\" .Values.m }}",
            false,
            true,
        ),
        (
            "{{ $_ := set .Values \"m\" (dict \"e\" (dict \"c\" .Values.a)) }}{{ include \"long\" .Values.m }}",
            true,
            true,
        ),
        (
            "{{ $_ := set .Values (ternary \"c\" \"d\" (eq (int .Values.a) 0)) 9 }}{{ include \"long\" .Values }}",
            false,
            false,
        ),
        (
            "{{ if .Values.a }}{{ $_ := set .Values \"c\" 1 }}{{ else }}{{ $_ := unset .Values \"c\" }}{{ end }}\
             {{ include \"long\" .Values }}",
            false,
            false,
        ),
        // Something else lies there.
        (
            "{{ $m := .Values.m }}{{ if .Values.a }}{{ $_ := set .Values \"m\" (dict \"b\" 1) }}{{ end }}\
             {{ include \"long\" $m }} {{ include \"long\" .Values.m }}",
            false,
            true,
        ),
        (
            "{{ $m := .Values.m }}{{ $_ := set .Values \"m\" (dict \"b\" 1) }}{{ .Values.a }} {{ .Values.b }} \
             {{ include \"long\" .Values.m }} {{ include \"long\" $m }}",
            false,
            false,
        ),
        (
            "{{ range until (int .Values.a) }}{{ $_ := set $.Values \"d\" 1 }}{{ end }}{{ include \"long\" .Values }}",
            false,
            false,
        ),
    ];
    for (text, another_a, another_b) in table {
        let chart = chart(&files_of(&[
            ("values.yaml", "m: {b: 2}\n"),
            ("templates/_long.tpl", LONG),
            ("templates/a.yaml", &format!("v: |\n  {text}\n")),
        ]));
        let in_few_steps = |a: i64, b: i64| {
            let [few, any] = [3 << 12, 1 << 20].map(|steps| {
                let mut memo = Memo::default();
                let first = with_values(&[("a", 0), ("b", 1)]);
                memo.template(&chart, &first).expect("it renders");
                let mut options = with_values(&[("a", a), ("b", b)]);
                options.limits.steps = steps;
                memo.template(&chart, &options)
            });
            let fresh = template(&chart, &with_values(&[("a", a), ("b", b)]));
            assert_eq!(seen(&any), seen(&fresh), "{text}: {a}, {b}");
            few.is_ok()
        };
        assert_eq!(in_few_steps(3, 1), another_a, "{text}: another a");
        assert_eq!(in_few_steps(0, 2), another_b, "{text}: another b");
    }
}

/// What is known already asks nobody, but would have.
#[test]
fn questions_are_those_of_each_file() {
    let chart = chart(&files_of(&[
        ("values.yaml", "a: 1\nl: []\n"),
        (
            "templates/_asks.tpl",
            "{{ define \"asks\" }}{{ .Capabilities.KubeVersion.Version }}{{ end }}\
             {{ define \"around\" }}{{ include \"asks\" .c }}{{ end }}",
        ),
        (
            "templates/z.yaml",
            "{{ if .Values.a }}z: {{ include \"asks\" . }} {{ include \"around\" (dict \"c\" . \"l\" .Values.l) }}{{ end }}",
        ),
        (
            "templates/y.yaml",
            "y: {{ include \"around\" (dict \"c\" . \"l\" .Values.l) }}",
        ),
    ]));
    let mut memo = Memo::default();
    for (a, count) in [(1, 0), (0, 1), (1, 1)] {
        let options = with_values(&[("a", a)]);
        assert_eq!(reused(&mut memo, &chart, &options), count);
    }
}

/// A part is told by where its data lies, and something else may lie there.
#[test]
fn what_others_put_in_place_of_the_data_of_a_part_is_found() {
    let chart = chart(&files_of(&[
        ("values.yaml", "m: {b: 2}\n"),
        (
            "templates/_long.tpl",
            "{{ define \"long\" }}{{ range until 70 }}{{ end }}{{ .b }}{{ end }}",
        ),
        (
            "templates/z.yaml",
            "{{ if .Values.a }}{{ $_ := set .Values \"m\" (dict \"b\" 9) }}{{ end }}",
        ),
        (
            "templates/a.yaml",
            "a: {{ .Values.a }} {{ include \"long\" .Values.m }} {{ include \"long\" (dict \"b\" .Values.m) }}",
        ),
    ]));
    let mut memo = Memo::default();
    for a in [0, 1, 2, 0] {
        assert_eq!(reused(&mut memo, &chart, &with_values(&[("a", a)])), 0);
    }
}

#[test]
fn what_only_a_template_can_write_again_makes_it_run() {
    let chart = chart(&files_of(&[
        ("values.yaml", "a: 0\nl: [{}]\n"),
        (
            "templates/z.yaml",
            "{{ range .Values.l }}{{ $_ := set . \"n\" 1 }}{{ end }}",
        ),
        ("templates/y.yaml", "y: {{ toJson .Values.l }}"),
        ("templates/x.yaml", "x: {{ .Values.a }}"),
    ]));
    let mut memo = Memo::default();
    let mut reused = |a: i64| {
        let options = with_values(&[("a", a)]);
        self::reused(&mut memo, &chart, &options)
    };
    assert_eq!(reused(1), 0);
    assert_eq!(reused(1), 2);
    assert_eq!(reused(2), 1);
}

/// A subchart shares the globals of its parent; which map is the first of them
/// must not depend on how many others are looked at before.
#[test]
fn maps_that_charts_share_are_known_by_their_paths() {
    let chart = chart(&files_of(&[
        ("values.yaml", "early: {k: 1, l: {}}\nglobal: {t: {}}\n"),
        (
            "charts/sub/Chart.yaml",
            "apiVersion: v2\nname: sub\nversion: 1.0.0\n",
        ),
        (
            "charts/sub/templates/a.yaml",
            "a: {{ toJson .Values.global }}",
        ),
        ("templates/b.yaml", "b: {{ .Values.early.k }}"),
    ]));
    let mut memo = Memo::default();
    let early = Value::Map(Map::from_iter([("k", Value::Int(2))]));
    for (values, reused) in [(None, 0), (Some(("early", early)), 1)] {
        let options = HelmOptions {
            values: values.into_iter().collect(),
            ..HelmOptions::default()
        };
        assert_eq!(self::reused(&mut memo, &chart, &options), reused);
    }
}

/// What a template reads or writes by a way that is easy to overlook. Files are
/// executed from the last name to the first; `a` and `b` differ from render to
/// render.
const WAYS: &[(&str, &[(&str, &str)])] = &[
    (
        "a key that moved to the place of one that was read before",
        &[(
            "a.yaml",
            "k: {{ .Values.a }}{{ $_ := unset .Values \"a\" }}{{ .Values.b }}",
        )],
    ),
    (
        "a question that another file has asked through the same helper",
        &[
            (
                "_h.tpl",
                "{{ define \"h\" }}{{ .Capabilities.KubeVersion.Version }}{{ end }}",
            ),
            (
                "b.yaml",
                "k: {{ if eq (toString .Values.b) \"1\" }}{{ include \"h\" . }}{{ end }}",
            ),
            ("a.yaml", "k: {{ include \"h\" . }}"),
        ],
    ),
    (
        "an item of a list that is copied, found elsewhere by whoever writes to it",
        &[
            (
                "c.yaml",
                "{{ $_ := set .Values \"al\" (dict \"x\" (first .Values.l)) }}",
            ),
            (
                "b.yaml",
                "{{ if eq (toString .Values.a) \"2\" }}{{ $_ := set .Values.al.x \"k\" 2 }}{{ end }}",
            ),
            (
                "a.yaml",
                "k: {{ range deepCopy .Values.l }}{{ .k }}{{ end }}",
            ),
        ],
    ),
    (
        "a map in a copy that was looked at as a whole",
        &[
            (
                "c.yaml",
                "{{ $_ := set .Values \"al\" (dict \"x\" .Values.m.p) }}",
            ),
            (
                "b.yaml",
                "{{ if eq (toString .Values.a) \"2\" }}{{ $_ := set .Values.al.x \"k\" 2 }}{{ end }}",
            ),
            (
                "a.yaml",
                "k: {{ $c := deepCopy .Values.m }}{{ toJson $c | b64enc }}{{ $c.p.k }}",
            ),
        ],
    ),
    (
        "a table that two charts share, written to under the one name and read under the other",
        &[
            (
                "../charts/sub/templates/a.yaml",
                "{{ $_ := set .Values.global.t.u \"w\" .Values.global.q }}",
            ),
            ("b.yaml", "k: {{ .Values.global.t.u.w }} {{ .Values.b }}"),
        ],
    ),
    (
        "a copy that became part of the data",
        &[
            (
                "c.yaml",
                "{{ $_ := set .Values \"made\" (deepCopy .Values.m) }}",
            ),
            ("b.yaml", "{{ $_ := set .Values.made.p \"k\" .Values.a }}"),
            (
                "a.yaml",
                "k: {{ .Values.made.p.k }} {{ .Values.m.p.k }} {{ .Values.b }}",
            ),
        ],
    ),
];

#[test]
fn what_is_easy_to_overlook_is_not() {
    for (way, templates) in WAYS {
        let mut files = files_of(&[
            (
                "values.yaml",
                "a: 0\nb: 0\nl: [{k: 1}]\nm: {p: {k: 1}}\nglobal: {t: {u: {}}, q: 0}\n",
            ),
            (
                "charts/sub/Chart.yaml",
                "apiVersion: v2\nname: sub\nversion: 1.0.0\n",
            ),
        ]);
        for (path, text) in *templates {
            let path = match path.strip_prefix("../") {
                Some(path) => path.to_owned(),
                None => format!("templates/{path}"),
            };
            files.push((path, (*text).to_owned()));
        }
        let chart = chart(&files);
        // All ways to come from one pair of values to another, some in a row.
        let pairs = [(1, 1), (1, 2), (2, 2), (2, 1)];
        for first in pairs {
            for second in pairs {
                for third in pairs {
                    let mut memo = Memo::default();
                    for (a, b) in [first, second, third] {
                        let mut options = with_values(&[("a", a), ("b", b)]);
                        let global = Map::from_iter([("q", Value::Int(a))]);
                        options.values.insert("global", Value::Map(global));
                        let with = memo.template(&chart, &options);
                        let without = template(&chart, &options);
                        let path = [first, second, third];
                        assert!(without.is_ok(), "{way}: {:?}", without.err());
                        assert_eq!(
                            seen(&with),
                            seen(&without),
                            "{way}: {path:?} at {:?}",
                            (a, b)
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_read_of_a_copy_is_read_of_the_original() {
    let chart = chart(&files_of(&[
        ("values.yaml", "m: {a: 0, b: 0}\n"),
        (
            "templates/a.yaml",
            "k: {{ $m := deepCopy .Values | merge (dict \"own\" 1) }}{{ $m.m.a }}",
        ),
        (
            "templates/b.yaml",
            "k: {{ range $k, $v := .Values }}{{ $k }}{{ end }}",
        ),
    ]));
    let mut memo = Memo::default();
    let mut reused = |a: i64, b: i64| {
        let m = Map::from_iter([("a", Value::Int(a)), ("b", Value::Int(b))]);
        let options = HelmOptions {
            values: Map::from_iter([("m", Value::Map(m))]),
            ..HelmOptions::default()
        };
        self::reused(&mut memo, &chart, &options)
    };
    assert_eq!(reused(1, 1), 0);
    assert_eq!(reused(1, 2), 2);
    assert_eq!(reused(2, 2), 1);
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

/// Keys and hashes in a template that is executed each time.
const SECRETS: &str = r#"
{{- $key := genPrivateKey "ecdsa" }}
{{- $cert := genSelfSignedCertWithKey (printf "%v.example" .Values.a) nil nil 10 $key }}
kind: Secret
data:
  cert: {{ $cert.Cert | b64enc }}
  key: {{ $cert.Key | b64enc }}
  login: {{ htpasswd "admin" (toString .Values.b) | b64enc }}
"#;

#[test]
fn keys_of_a_seed_are_those_of_a_render_without_a_memo() {
    let chart = chart(&files_of(&[("templates/secret.yaml", SECRETS)]));
    let mut memo = Memo::default();
    for (a, b, seed) in [(1, 1, "one"), (2, 1, "one"), (2, 2, "one"), (2, 2, "two")] {
        let options = HelmOptions {
            seed: Seed::fixed(seed.as_bytes(), SystemTime::UNIX_EPOCH),
            ..with_values(&[("a", a), ("b", b)])
        };
        assert_eq!(reused(&mut memo, &chart, &options), 0);
    }
}

#[test]
fn keys_of_the_system_are_drawn_again() {
    let text = "r: {{ genPrivateKey \"ed25519\" | b64enc }} {{ bcrypt \"b\" }}";
    let chart = chart(&files_of(&[("templates/r.yaml", text)]));
    let mut memo = Memo::default();
    let mut texts = || {
        let release = memo.template(&chart, &with_values(&[("a", 1)]));
        let text = release.expect("it renders").to_text();
        let (key, hash) = text.rsplit_once(' ').expect("both were written");
        (key.to_owned(), hash.to_owned())
    };
    let (first, second) = (texts(), texts());
    assert_ne!(first.0, second.0);
    assert_ne!(first.1, second.1);
}

#[test]
fn values_are_checked_again_where_they_differ() {
    let schema = |kind: &str| format!(r#"{{"properties": {{"a": {{"type": "{kind}"}}}}}}"#);
    let chart = chart(&files_of(&[
        ("values.schema.json", &schema("integer")),
        (
            "charts/sub/Chart.yaml",
            "apiVersion: v2\nname: sub\nversion: 1.0.0\n",
        ),
        ("charts/sub/values.schema.json", &schema("string")),
        ("templates/a.yaml", "a: {{ .Values.a }}"),
    ]));
    let mut memo = Memo::default();
    let one = || Value::Int(1);
    let text = || Value::from("one");
    let fine = [
        (one(), text()),
        (one(), text()),
        (text(), text()),
        (one(), text()),
        (one(), one()),
        (text(), one()),
        (one(), text()),
    ];
    for (own, below) in fine {
        let sub = Value::Map(Map::from_iter([("a", below)]));
        let options = HelmOptions {
            values: Map::from_iter([("a", own), ("sub", sub)]),
            ..HelmOptions::default()
        };
        reused(&mut memo, &chart, &options);
    }
}
