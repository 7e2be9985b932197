//! Whole charts: what a render depends on, and what it can say about itself.

use std::sync::Arc;
use std::time::SystemTime;

use gitops_core::tree::MemoryTree;
use gitops_core::{Map, TreePath, manifest};
use gitops_render::helm::{
    Chart, Error, HelmOptions, LoadLimits, Release, Seed, Snapshot, SourceMap, Values, template,
};

const CHART: &str = "apiVersion: v2\nname: shop\nversion: 1.0.0\n";

/// A chart of these files and a `Chart.yaml`.
fn chart(files: &[(&str, &str)]) -> Arc<Chart> {
    let mut tree = MemoryTree::new();
    let path = |path: &str| TreePath::parse(path).expect("a path");
    tree.insert(&path("Chart.yaml"), CHART);
    for (name, text) in files {
        tree.insert(&path(name), (*text).to_owned());
    }
    Chart::load(&tree, &TreePath::ROOT, &LoadLimits::default())
        .expect("a valid chart")
        .into()
}

fn render(files: &[(&str, &str)], options: &HelmOptions) -> Result<Release, Error> {
    template(&chart(files), options)
}

/// What a template wrote, without the first two lines.
fn written(release: &Release, file: &str) -> String {
    let of_file = |path: &str| path.ends_with(file);
    let documents = release
        .documents
        .iter()
        .filter(|document| of_file(&document.path));
    documents.map(|document| &*document.text).collect()
}

/// What threads make of a chart's files early is what the render makes of them.
mod early {
    use gitops_core::FileTree as _;
    use gitops_core::tree::DirTree;

    use super::*;

    /// Enough for a thread, in a chart and in three that it may depend on.
    fn tree(last: &[(&str, &str)]) -> MemoryTree {
        let mut tree = MemoryTree::new();
        let mut insert = |path: &str, text: String| {
            tree.insert(&TreePath::parse(path).expect("a path"), text);
        };
        let declared = "dependencies:\n\
                        - {name: used, version: '*', alias: other}\n\
                        - {name: used, version: '*'}\n\
                        - {name: spare, version: '*', condition: spare.enabled}\n";
        insert("Chart.yaml", format!("{CHART}{declared}"));
        insert(
            "values.yaml",
            "spare: {enabled: false}\nfill: text\n".into(),
        );
        insert("values.schema.json", "{\"required\": [\"fill\"]}".into());
        for (directory, name) in [
            ("", "shop"),
            ("charts/used/", "used"),
            ("charts/spare/", "spare"),
        ] {
            if name != "shop" {
                let chart = CHART.replace("shop", name);
                insert(&format!("{directory}Chart.yaml"), chart);
                insert(&format!("{directory}values.yaml"), "fill: below\n".into());
            }
            for number in 0..60 {
                let text = format!(
                    "{{{{ define \"{name}{number}\" }}}}{{{{ .Values.fill }}}}{{{{ end }}}}\n\
                     {name}: {{{{ include \"{name}{number}\" . }}}} in {{{{ .Template.Name }}}}\n\
                     {}",
                    "# {{ .Release.Name }}\n".repeat(100)
                );
                insert(&format!("{directory}templates/{number}.yaml"), text);
            }
        }
        for (path, text) in last {
            insert(path, (*text).to_owned());
        }
        tree
    }

    /// Files that come last, and what is said then.
    type Last<'t> = (&'t [(&'t str, &'t str)], Option<&'t str>);

    /// The same files on disk.
    #[expect(clippy::disallowed_methods, reason = "a chart on disk")]
    fn on_disk(tree: &MemoryTree) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        for path in gitops_core::tree::walk(tree, &TreePath::ROOT).expect("files") {
            let text = tree.read(&path).expect("a file").expect("it was listed");
            let path = dir.path().join(path.as_str());
            std::fs::create_dir_all(path.parent().expect("it is below the root"))
                .expect("a directory");
            std::fs::write(path, text).expect("a file");
        }
        dir
    }

    /// Read by one, and with others from memory and from a disk.
    fn each(tree: &MemoryTree, options: &HelmOptions) -> [Result<String, String>; 3] {
        let dir = on_disk(tree);
        let disk = DirTree::new(dir.path()).expect("a directory");
        let loaded = [
            Chart::load(tree, &TreePath::ROOT, &options.load_limits),
            Chart::load_for(options, tree, &TreePath::ROOT),
            Chart::load_for(options, &disk, &TreePath::ROOT),
        ];
        loaded.map(|chart| {
            let release = chart.and_then(|chart| template(&chart.into(), options));
            let text = |release: Release| release.to_text() + &release.notes;
            release.map(text).map_err(|error| error.to_string())
        })
    }

    #[test]
    fn a_render_is_the_same() {
        let twice = "{{ define \"a\" }}1{{ end }}{{ define \"a\" }}2{{ end }}";
        let own = "{{ define \"shop/templates/z.yaml\" }}1{{ end }}2";
        let parse = ("templates/y.yaml", "{{ if }}");
        let fail = ("charts/used/templates/z.yaml", "{{ fail \"no\" }}");
        let schema = ("values.schema.json", "{\"required\": [\"x\"]}");
        let version = format!("{CHART}kubeVersion: '>99'\n");
        let version = ("Chart.yaml", version.as_str());
        let lasts: &[Last<'_>] = &[
            (&[("templates/NOTES.txt", "{{ len .Subcharts }}")], None),
            (
                &[("charts/used/templates/z.yaml", "{{ if }}")],
                Some("parse error at (shop/charts/"),
            ),
            (&[("charts/spare/templates/z.yaml", "{{ if }}")], None),
            (
                &[("templates/z.yaml", twice)],
                Some("multiple definition of template \"a\""),
            ),
            (
                &[("templates/z.yaml", own)],
                Some("multiple definition of template \"shop/temp"),
            ),
            (
                &[("charts/spare/values.yaml", "a: [")],
                Some("cannot load values.yaml"),
            ),
            (&[("charts/spare/values.schema.json", "{")], None),
            (
                &[("charts/used/values.schema.json", schema.1)],
                Some("missing property 'x'"),
            ),
            (
                &[("values.yaml", "spare: 1")],
                Some("type mismatch on spare"),
            ),
            (
                &[("charts/a.tgz", "none")],
                Some("error unpacking subchart a.tgz in shop"),
            ),
            // What is executed first is not said first.
            (&[fail], Some("execution error at (shop/charts/")),
            (
                &[fail, parse],
                Some("parse error at (shop/templates/y.yaml:1)"),
            ),
            (
                &[fail, parse, version],
                Some("chart requires kubeVersion: >99"),
            ),
            (
                &[fail, parse, version, schema],
                Some("missing property 'x'"),
            ),
        ];
        for (last, error) in lasts {
            let path = last[0].0;
            let [plain, early, disk] = each(&tree(last), &HelmOptions::default());
            assert_eq!(plain, early, "{path}");
            assert_eq!(plain, disk, "{path} on disk");
            let said = plain.err();
            assert_eq!(said.is_some(), error.is_some(), "{path}: {said:?}");
            for (said, error) in said.iter().zip(error) {
                assert!(said.contains(error), "{path}: {said}");
            }
        }
        let values: Map = [("spare", [("enabled", true)].into_iter().collect::<Map>())]
            .into_iter()
            .collect();
        let options = HelmOptions {
            values,
            ..HelmOptions::default()
        };
        let [plain, early, disk] = each(&tree(&[("files/a", "")]), &options);
        assert!(
            plain
                .as_ref()
                .is_ok_and(|text| text.contains("\nspare: below"))
        );
        assert_eq!(plain, early);
        assert_eq!(plain, disk);
    }
}

/// Whatever a name is written like, who defines it is found. What is expected was
/// written by Helm 3.21.4.
#[test]
fn every_definition_is_found() {
    let files = [
        (
            "templates/_a.tpl",
            "{{define \"plain\"}}1{{end}}\n{{-\n  define\t\"tab\\u0062ed\\\"\" -}} 2 {{- end }}\n\
             {{- define `raw \"one\"` }}3{{ end }}\n\
             {{- /* {{ define \"comment\" }}4{{ end }} */}}\n\
             {{- define \"twice\" }}5{{ end }}\n{{- define \"emptied\" }}6{{ end }}\n\
             {{- define \"outer\" }}{{ block \"inner\" . }}7{{ end }}{{ end -}}\n",
        ),
        (
            "templates/_b.tpl",
            "{{- define \"twice\" }}8{{ end }}\n\
             {{- define \"emptied\" }} {{/* nothing */}} {{ end }}\n",
        ),
        (
            "templates/z.yaml",
            "a: {{ list (include \"plain\" .) (include \"tabbed\\\"\" .) \
             (include \"raw \\\"one\\\"\" .) (include \"twice\" .) (include \"emptied\" .) \
             (include \"inner\" .) | toJson }}\n\
             text: 'define \"text\" and {{ \"{{ define \\\"text\\\" }}\" }}'\n\
             b: {{ include \"shop/templates/y.txt\" . | quote }}\n",
        ),
        (
            "templates/y.txt",
            "self: {{ define \"late\" }}9{{ end }}{{ include \"late\" . }}",
        ),
    ];
    let release = render(&files, &HelmOptions::default()).expect("it renders");
    insta::assert_snapshot!(release.to_text(), @r#"
    ---
    # Source: shop/templates/y.txt
    self: 9
    ---
    # Source: shop/templates/z.yaml
    a: ["1","2","3","5","6","7"]
    text: 'define "text" and {{ define "text" }}'
    b: "self: 9"
    "#);
    let mut files = files;
    files[2].1 = "{{ include \"comment\" . }}";
    let error = render(&files, &HelmOptions::default()).expect_err("it is only a comment");
    assert!(
        error
            .to_string()
            .ends_with("no template \"comment\" associated with template \"gotpl\"")
    );
}

#[cfg(unix)]
#[test]
#[expect(clippy::disallowed_methods, reason = "a chart on disk")]
fn a_link_that_leads_nowhere_is_no_file_of_a_chart() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("Chart.yaml"), CHART).expect("a file");
    std::os::unix::fs::symlink("nowhere", dir.path().join("a.txt")).expect("a link");
    let tree = gitops_core::tree::DirTree::new(dir.path()).expect("a directory");
    let error = Chart::load(&tree, &TreePath::ROOT, &LoadLimits::default());
    assert_eq!(
        error.expect_err("nothing to load").to_string(),
        "error evaluating symlink a.txt: no such file or directory"
    );
}

/// What a chart on disk is not asked for stays there.
#[expect(clippy::disallowed_methods, reason = "a chart on disk")]
mod later {
    use gitops_core::tree::DirTree;
    use gitops_render::helm::ErrorKind;

    use super::*;

    /// A chart whose template reads `files/a`, rendered after something happened
    /// to its directory.
    fn rendered(limit: usize, happens: impl Fn(&std::path::Path)) -> Result<String, Error> {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path();
        for (path, text) in [
            ("Chart.yaml", CHART),
            ("values.yaml", "a: 1\n"),
            ("values.schema.json", "{\"required\": [\"b\"]}"),
            (
                "templates/a.yaml",
                "a: {{ .Files.Get \"files/a\" | quote }}\n",
            ),
            ("files/a", "\u{feff}from a file"),
            (
                "files/b",
                "nobody reads this file, which is the largest of all of them",
            ),
        ] {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().expect("it is below the root"))
                .expect("a directory");
            std::fs::write(path, text).expect("a file");
        }
        let mut options = HelmOptions {
            values: [("b", 2)].into_iter().collect(),
            ..HelmOptions::default()
        };
        options.load_limits.file = limit;
        let tree = DirTree::new(root).expect("a directory");
        let chart = Chart::load_for(&options, &tree, &TreePath::ROOT)?;
        happens(root);
        Ok(template(&chart.into(), &options)?.to_text())
    }

    #[test]
    fn it_is_read_when_a_template_asks() {
        let remove = |name: &'static str| {
            move |root: &std::path::Path| std::fs::remove_file(root.join(name)).expect("a file")
        };
        let whole = rendered(100, |_| {}).expect("it renders");
        assert!(whole.ends_with("a: \"from a file\"\n"), "{whole}");
        for unasked in ["files/b", "values.yaml", "values.schema.json"] {
            assert_eq!(rendered(100, remove(unasked)).expect("it renders"), whole);
        }
        let error = rendered(100, remove("files/a")).expect_err("it is gone");
        assert_eq!(error.kind(), ErrorKind::Tree);
        assert_eq!(error.to_string(), "files/a: cannot be read");
        let grow = |root: &std::path::Path| {
            std::fs::write(root.join("files/a"), [b'a'; 101]).expect("a file");
        };
        let error = rendered(100, grow).expect_err("it is too large");
        let expected = "files/a: 101 bytes, more than the limit of 100";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn its_size_counts_whoever_asks() {
        let error = rendered(50, |_| {}).expect_err("nobody asks, but it is there");
        let expected = "chart file \"b\" is larger than the maximum file size 50";
        assert_eq!(error.to_string(), expected);
    }
}

mod imports {
    use super::*;

    /// What the first subchart sees of its own table, by Helm 3.21 and 4.2, after
    /// that of a second one was imported to the same place.
    #[test]
    fn a_table_is_imported_itself_unless_it_is_empty() {
        for (table, seen) in [("{}", r#"{}"#), ("{x: 1}", r#"{"x":1,"z":2}"#)] {
            let import = "version: 1.0.0, import-values: [{child: table, parent: t}]";
            let metadata =
                format!("{CHART}dependencies:\n- {{name: a, {import}}}\n- {{name: b, {import}}}\n");
            let [a, b] = ["a", "b"].map(|name| CHART.replace("shop", name));
            let table = format!("table: {table}");
            let files = [
                ("Chart.yaml", &*metadata),
                ("charts/a/Chart.yaml", &a),
                ("charts/a/values.yaml", &table),
                ("charts/a/templates/a.yaml", "{{ toJson .Values.table }}"),
                ("charts/b/Chart.yaml", &b),
                ("charts/b/values.yaml", "table: {z: 2}"),
            ];
            let release = render(&files, &HelmOptions::default()).expect("it renders");
            assert_eq!(written(&release, "a.yaml"), seen);
        }
    }
}

mod seeds {
    use super::*;

    const PASSWORD: &str = "{{ define \"password\" }}{{ randAlphaNum 12 }}{{ end }}";
    const ONE: &str = "one: {{ include \"password\" . }}\ntwo: {{ include \"password\" . }}\n\
                       uuid: {{ uuidv4 }}\nint: {{ randInt 0 1000000 }}\nat: {{ now | unixEpoch }}\n";

    fn seeded(secret: &str) -> HelmOptions {
        let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
        HelmOptions {
            seed: Seed::fixed(secret.as_bytes(), now),
            ..HelmOptions::default()
        }
    }

    fn one(files: &[(&str, &str)], options: &HelmOptions) -> String {
        let mut all = vec![("templates/_p.tpl", PASSWORD)];
        all.extend_from_slice(files);
        written(&render(&all, options).expect("it renders"), "one.yaml")
    }

    #[test]
    fn the_same_render_gives_the_same_bytes() {
        let files = [("templates/one.yaml", ONE)];
        let first = one(&files, &seeded("a"));
        assert_eq!(first, one(&files, &seeded("a")));
        assert_ne!(first, one(&files, &seeded("b")));
        assert!(first.ends_with("at: 1700000000"), "{first}");
        // Two turns of one call are two draws.
        let lines: Vec<&str> = first.lines().collect();
        assert_ne!(
            lines[0].strip_prefix("one: "),
            lines[1].strip_prefix("two: ")
        );
    }

    #[test]
    fn another_template_changes_nothing_here() {
        let alone = one(&[("templates/one.yaml", ONE)], &seeded("a"));
        let other = "x: {{ randAlphaNum 99 }}{{ include \"password\" . }}";
        for path in ["templates/a.yaml", "templates/z.yaml"] {
            let files = [("templates/one.yaml", ONE), (path, other)];
            assert_eq!(alone, one(&files, &seeded("a")));
        }
    }

    #[test]
    fn a_call_may_move_within_its_file() {
        let moved = format!("{{{{- /* one more */ -}}}}\n\n{ONE}");
        let before = one(&[("templates/one.yaml", ONE)], &seeded("a"));
        let after = one(&[("templates/one.yaml", &moved)], &seeded("a"));
        assert_eq!(after, before);
    }

    #[test]
    fn releases_and_applications_draw_their_own() {
        let files = [("templates/one.yaml", ONE)];
        let mut options = seeded("a");
        let first = one(&files, &options);
        options.namespace = "other".into();
        assert_ne!(first, one(&files, &options));
        let mut options = seeded("a");
        options.seed = options.seed.for_application("wiki");
        assert_ne!(first, one(&files, &options));
    }

    #[test]
    fn keys_and_certificates_repeat() {
        let text = "{{ $ca := genCA \"ca\" 30 }}{{ $c := genSignedCert \"c\" nil (list \"c\") 30 $ca }}\
                    a: {{ toJson $c | b64enc }} {{ genPrivateKey \"ecdsa\" | b64enc }} {{ bcrypt \"p\" }}";
        let files = [("templates/one.yaml", text)];
        let first = one(&files, &seeded("a"));
        assert_eq!(first, one(&files, &seeded("a")));
        assert_ne!(first, one(&files, &seeded("b")));
    }

    #[test]
    fn a_seed_does_not_show_its_key() {
        let shown = format!("{:?}", Seed::fixed(b"secret", SystemTime::UNIX_EPOCH));
        assert!(!shown.contains("key"), "{shown}");
    }
}

mod clusters {
    use super::*;

    /// What a template in a chart sees, by Helm 3.21 and 4.2 with
    /// `--dry-run=server` on a cluster of these objects.
    const OBJECTS: &str = include_str!("helm/lookup/objects.yaml");
    const QUESTIONS: &str = include_str!("helm/lookup/template.yaml");
    const ANSWERS: &str = include_str!("helm/lookup/expected.yaml");

    fn on(objects: &str) -> HelmOptions {
        let objects = manifest::parse(objects.as_bytes(), &Default::default()).expect("objects");
        HelmOptions {
            cluster: Some(Arc::new(Snapshot::new(objects))),
            ..HelmOptions::default()
        }
    }

    #[test]
    fn a_snapshot_answers_as_a_cluster_does() {
        let release = render(&[("templates/a.yaml", QUESTIONS)], &on(OBJECTS));
        assert_eq!(
            written(&release.expect("it renders"), "a.yaml"),
            ANSWERS.trim_end()
        );
    }

    #[test]
    fn what_was_asked_is_recorded() {
        let text = "a: {{ (lookup \"v1\" \"ConfigMap\" \"shop\" \"a\").data.k }}\n\
                    b: {{ lookup \"v1\" \"ConfigMap\" \"shop\" \"a\" | empty }}\n\
                    c: {{ lookup \"v1\" \"Secret\" \"shop\" \"none\" | empty }}\n\
                    d: {{ .Capabilities.APIVersions.Has \"apps/v1\" }}\n\
                    e: {{ .Capabilities.APIVersions.Has \"none/v1\" }}\n\
                    f: {{ .Capabilities.KubeVersion.Minor }}\n";
        let release = render(&[("templates/a.yaml", text)], &on(OBJECTS)).expect("it renders");
        let inputs = release.inputs;
        let asked: Vec<(String, bool)> = inputs
            .lookups
            .iter()
            .map(|(query, found)| (format!("{}/{}", query.kind, query.name), found.is_some()))
            .collect();
        let expected = [
            ("ConfigMap/a".to_owned(), true),
            ("Secret/none".to_owned(), false),
        ];
        assert_eq!(asked, expected);
        let versions: Vec<(&str, bool)> = inputs
            .api_versions
            .iter()
            .map(|(version, has)| (version.as_str(), *has))
            .collect();
        assert_eq!(versions, [("apps/v1", true), ("none/v1", false)]);
        assert!(inputs.kube_version && !inputs.all_api_versions);
        assert!(!inputs.clock && !inputs.random);
    }

    #[test]
    fn what_was_not_asked_is_not_recorded() {
        let release = render(&[("templates/a.yaml", "a: 1")], &on(OBJECTS)).expect("it renders");
        assert_eq!(release.inputs, Default::default());
        let random = render(
            &[("templates/a.yaml", "a: {{ randAlpha 3 }}{{ now }}")],
            &on(OBJECTS),
        );
        let inputs = random.expect("it renders").inputs;
        assert!(inputs.clock && inputs.random);
    }

    #[derive(Debug)]
    struct Down;

    impl gitops_render::helm::Objects for Down {
        fn lookup(&self, _: &gitops_render::helm::Query) -> Result<Option<Map>, String> {
            Err("no answer from 10.0.0.1".into())
        }
    }

    #[test]
    fn a_cluster_that_fails_fails_the_render() {
        let options = HelmOptions {
            cluster: Some(Arc::new(Down)),
            ..HelmOptions::default()
        };
        let text = "a: {{ lookup \"v1\" \"Secret\" \"x\" \"y\" }}";
        let error = render(&[("templates/a.yaml", text)], &options).expect_err("it fails");
        assert_eq!(
            error.to_string(),
            "template: shop/templates/a.yaml:1:6: executing \"shop/templates/a.yaml\" at <lookup \
             \"v1\" \"Secret\" \"x\" \"y\">: error calling lookup: no answer from 10.0.0.1"
        );
    }
}

mod reports {
    use super::*;

    fn report(files: &[(&str, &str)], options: &HelmOptions) -> String {
        let error = render(files, options).expect_err("it fails");
        error.report().to_string()
    }

    #[test]
    fn a_missing_value_has_a_name_and_neighbours() {
        let files = [
            ("values.yaml", "image:\n  registry: {host: h}\n  tag: v1\n"),
            (
                "templates/_w.tpl",
                "{{ define \"web\" }}\nimage: {{ .Values.image.registri.host }}\n{{ end }}",
            ),
            ("templates/all.yaml", "a: 1\n{{- template \"web\" . }}\n"),
        ];
        insta::assert_snapshot!(report(&files, &HelmOptions::default()), @r#"
        error: nil pointer evaluating interface {}.host
         --> shop/templates/_w.tpl:2:11
          |
        1 | {{ define "web" }}
        2 | image: {{ .Values.image.registri.host }}
          |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^
          = .Values.image.registri is not set
          = help: there is .Values.image.registry
          = called from shop/templates/all.yaml:2:14: template "web" .
        "#);
    }

    #[test]
    fn a_missing_value_is_found_behind_variables_and_arguments() {
        let files = [
            ("values.yaml", "web:\n  image: {tag: v1}\n"),
            (
                "templates/a.yaml",
                "{{- $w := .Values.web }}\n{{- with dict \"w\" $w }}\na: {{ .w.img.tag.x }}\n{{- end }}\n",
            ),
        ];
        insta::assert_snapshot!(report(&files, &HelmOptions::default()), @r#"
        error: nil pointer evaluating interface {}.tag
         --> shop/templates/a.yaml:3:7
          |
        2 | {{- with dict "w" $w }}
        3 | a: {{ .w.img.tag.x }}
          |       ^^^^^^^^^^^^
          = .Values.web.img is not set
          = help: there is .Values.web.image
        "#);
    }

    #[test]
    fn text_has_no_fields() {
        let files = [
            ("values.yaml", "image: nginx\n"),
            ("templates/a.yaml", "a: {{ .Values.image.tag }}\n"),
        ];
        insta::assert_snapshot!(report(&files, &HelmOptions::default()), @r"
        error: can't evaluate field tag in type interface {}
         --> shop/templates/a.yaml:1:7
          |
        1 | a: {{ .Values.image.tag }}
          |       ^^^^^^^^^^^^^^^^^
          = .Values.image is a string, which has no fields
        ");
    }

    #[test]
    fn a_template_that_does_not_parse_is_shown() {
        let files = [("templates/a.yaml", "a: 1\nb: {{ .Values.a-b }}\n")];
        insta::assert_snapshot!(report(&files, &HelmOptions::default()), @r"
        error: bad character U+002D '-'
         --> shop/templates/a.yaml:2
          |
        1 | a: 1
        2 | b: {{ .Values.a-b }}
          |
        ");
    }

    #[test]
    fn required_values_say_who_requires_them() {
        let files = [
            (
                "templates/_h.tpl",
                "{{ define \"host\" }}{{ required \"a host is needed\" .Values.host }}{{ end }}",
            ),
            ("templates/a.yaml", "a: {{ include \"host\" . | quote }}\n"),
        ];
        insta::assert_snapshot!(report(&files, &HelmOptions::default()), @r#"
        error: a host is needed
         --> shop/templates/_h.tpl:1:23
          |
        1 | {{ define "host" }}{{ required "a host is needed" .Values.host }}{{ end }}
          |                       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          = called from shop/templates/a.yaml:1:7: include "host" .
        "#);
    }

    #[test]
    fn broken_yaml_is_traced_to_its_template() {
        let files = [
            ("values.yaml", "labels: {a: \"x\\ny\"}\n"),
            (
                "templates/_h.tpl",
                "{{ define \"labels\" }}\n{{- range $k, $v := .Values.labels }}\n{{ $k }}: {{ $v }}\n{{- end }}{{ end }}",
            ),
            (
                "templates/a.yaml",
                "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  labels:\n    {{- include \"labels\" . | nindent 4 }}\n  name: x\n",
            ),
        ];
        let options = HelmOptions {
            trace: true,
            ..HelmOptions::default()
        };
        insta::assert_snapshot!(report(&files, &options), @r#"
        error: YAML parse error on shop/templates/a.yaml: error converting YAML to JSON: yaml: line 8: could not find expected ':'
          = line 7 of what shop/templates/a.yaml wrote: "    y"
              written by shop/templates/_h.tpl:3:14  {{ $v }}
                called from shop/templates/a.yaml:5  include "labels" .
              written by shop/templates/a.yaml:5:9  {{ include "labels" . | nindent 4 }}
              depends on labels  (shop/values.yaml:1)
              depends on labels.a  (shop/values.yaml:1)
          = line 8 of what shop/templates/a.yaml wrote: "  name: x"
              written by shop/templates/a.yaml:6:3  text
        "#);
    }

    #[test]
    fn an_error_has_the_warnings_before_it() {
        let files = [
            ("requirements.yaml", "dependencies: []\n"),
            ("values.yaml", "table: {a: 1}\n"),
            ("templates/a.yaml", "{{ fail \"no\" }}"),
        ];
        let options = HelmOptions {
            values: [("table", "text")].into_iter().collect(),
            ..HelmOptions::default()
        };
        let error = render(&files, &options).expect_err("it gives up");
        let [dependencies, ..] = error.warnings() else {
            panic!("nothing was said");
        };
        assert!(dependencies.starts_with("Warning: Dependencies are handled in Chart.yaml"));
    }

    #[test]
    fn no_text_is_said_twice() {
        let error = render(
            &[("templates/a.yaml", "{{ .x.y.z }}")],
            &HelmOptions::default(),
        );
        let error = error.expect_err("it fails");
        assert!(std::error::Error::source(&error).is_none());
        assert!(error.template().is_some());
    }
}

mod maps {
    use super::*;

    const DEFAULTS: &str = "image:\n  repository: nginx\n  tag: v1\nreplicas: 1\nlabels:\n  team: a\n\
                            ports:\n- name: http\n  port: 80\n";
    const HELPERS: &str = "{{ define \"labels\" }}\n{{- toYaml .Values.labels }}\n\
                           chart: {{ .Chart.Name }}\n{{- end }}";
    const WEB: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  labels:\n    \
                       {{- include \"labels\" . | nindent 4 }}\nspec:\n  image: {{ .Values.image.repository }}:{{ .Values.image.tag }}\n\
                       {{- $count := .Values.replicas | int }}\n{{- if gt $count 1 }}\n  count: {{ $count }}\n{{- end }}\n\
                       \x20 ports:\n{{- range .Values.ports }}\n  - {{ .name }}: {{ .port }}\n{{- end }}\n";

    fn mapped() -> (Release, SourceMap) {
        let mut values = Values::default();
        values
            .file(
                "prod.yaml",
                b"# for production\nreplicas: 2\nunused: {a: 1}\n",
            )
            .expect("values");
        values.set("image.tag=v2").expect("a flag");
        let options = HelmOptions {
            trace: true,
            sources: values.sources().to_vec(),
            values: values.into_map(),
            ..HelmOptions::default()
        };
        let files = [
            ("values.yaml", DEFAULTS),
            ("templates/_h.tpl", HELPERS),
            ("templates/web.yaml", WEB),
        ];
        let release = render(&files, &options).expect("it renders");
        let map = release.source_map.clone().expect("it was asked for");
        (release, map)
    }

    #[test]
    fn every_line_knows_where_it_comes_from() {
        let (release, map) = mapped();
        let document = &release.documents[0];
        let mut all = String::new();
        for (index, line) in document.text.lines().enumerate() {
            let report = map.line(document, index).expect("a line of a template");
            all.push_str(&format!("{line}\n"));
            for told in report.to_string().lines() {
                all.push_str(&format!("    | {told}\n"));
            }
        }
        insta::assert_snapshot!(all, @r#"
        apiVersion: v1
            | written by shop/templates/web.yaml:1:1  text
        kind: Pod
            | written by shop/templates/web.yaml:2:1  text
        metadata:
            | written by shop/templates/web.yaml:3:1  text
          name: web
            | written by shop/templates/web.yaml:4:3  text
          labels:
            | written by shop/templates/web.yaml:5:3  text
            team: a
            | written by shop/templates/_h.tpl:2:5  {{ toYaml .Values.labels }}
            |   called from shop/templates/web.yaml:6  include "labels" .
            | written by shop/templates/web.yaml:6:9  {{ include "labels" . | nindent 4 }}
            | depends on labels  (shop/values.yaml:5)
            chart: shop
            | written by shop/templates/_h.tpl:3:5  text
            |   called from shop/templates/web.yaml:6  include "labels" .
            | written by shop/templates/_h.tpl:3:11  {{ .Chart.Name }}
            |   called from shop/templates/web.yaml:6  include "labels" .
            | written by shop/templates/web.yaml:6:9  {{ include "labels" . | nindent 4 }}
            | depends on labels  (shop/values.yaml:5)
        spec:
            | written by shop/templates/web.yaml:7:1  text
          image: nginx:v2
            | written by shop/templates/web.yaml:8:3  text
            | written by shop/templates/web.yaml:8:13  {{ .Values.image.repository }}
            | written by shop/templates/web.yaml:8:40  text
            | written by shop/templates/web.yaml:8:44  {{ .Values.image.tag }}
            | depends on image.repository  (shop/values.yaml:2)
            | depends on image.tag  (--set)
          count: 2
            | written by shop/templates/web.yaml:11:3  text
            | written by shop/templates/web.yaml:11:13  {{ $count }}
            | depends on replicas  (prod.yaml:2)
          ports:
            | written by shop/templates/web.yaml:13:3  text
          - http: 80
            | written by shop/templates/web.yaml:15:3  text
            | written by shop/templates/web.yaml:15:8  {{ .name }}
            | written by shop/templates/web.yaml:15:16  text
            | written by shop/templates/web.yaml:15:21  {{ .port }}
            | depends on ports  (shop/values.yaml:7)
            | depends on ports[0]  (shop/values.yaml:8)
            | depends on ports[0].name  (shop/values.yaml:8)
            | depends on ports[0].port  (shop/values.yaml:9)
        "#);
    }

    #[test]
    fn a_field_is_a_line() {
        let (release, map) = mapped();
        let report = map
            .field(&release.documents[0], "spec.image")
            .expect("a field");
        assert!(
            report.to_string().contains("depends on image.tag  (--set)"),
            "{report}"
        );
    }

    #[test]
    fn a_watched_render_writes_the_same() {
        let (release, _) = mapped();
        let mut values = Values::default();
        values.file("prod.yaml", b"replicas: 2\n").expect("values");
        values.set("image.tag=v2").expect("a flag");
        let options = HelmOptions {
            values: values.into_map(),
            ..HelmOptions::default()
        };
        let files = [
            ("values.yaml", DEFAULTS),
            ("templates/_h.tpl", HELPERS),
            ("templates/web.yaml", WEB),
        ];
        let plain = render(&files, &options).expect("it renders");
        assert_eq!(plain.to_text(), release.to_text());
        assert!(plain.source_map.is_none());
    }

    #[test]
    fn values_that_nobody_reads_are_told() {
        let (_, map) = mapped();
        let unread: Vec<String> = map
            .unread()
            .iter()
            .map(|(path, origin)| format!("{path} ({origin})"))
            .collect();
        assert_eq!(unread, ["unused.a (prod.yaml:3)"]);
    }

    #[test]
    fn globals_and_subcharts_are_counted_from_the_root() {
        let mut values = Values::default();
        values
            .set("global.zone=b,sub.size=3,sub.typo=1")
            .expect("a flag");
        let options = HelmOptions {
            trace: true,
            sources: values.sources().to_vec(),
            values: values.into_map(),
            ..HelmOptions::default()
        };
        let files = [
            ("values.yaml", "global: {zone: a}\n"),
            (
                "charts/sub/Chart.yaml",
                "apiVersion: v2\nname: sub\nversion: 1.0.0\n",
            ),
            ("charts/sub/values.yaml", "size: 1\nname: n\n"),
            (
                "charts/sub/templates/a.yaml",
                "a: {{ .Values.global.zone }}-{{ .Values.size }}-{{ .Values.name }}",
            ),
        ];
        let release = render(&files, &options).expect("it renders");
        let map = release.source_map.clone().expect("it was asked for");
        let line = map.line(&release.documents[0], 0).expect("a line");
        insta::assert_snapshot!(line, @r"
        written by shop/charts/sub/templates/a.yaml:1:1  text
        written by shop/charts/sub/templates/a.yaml:1:7  {{ .Values.global.zone }}
        written by shop/charts/sub/templates/a.yaml:1:29  text
        written by shop/charts/sub/templates/a.yaml:1:33  {{ .Values.size }}
        written by shop/charts/sub/templates/a.yaml:1:48  text
        written by shop/charts/sub/templates/a.yaml:1:52  {{ .Values.name }}
        depends on sub.global.zone  (--set)
        depends on sub.name  (shop/charts/sub/values.yaml:2)
        depends on sub.size  (--set)
        ");
        let unread: Vec<String> = map
            .unread()
            .iter()
            .map(|(path, _)| path.to_string())
            .collect();
        assert_eq!(unread, ["sub.typo"]);
    }
}

/// What charts do that mean harm: each ends with an error, soon.
mod hostile {
    use super::*;
    use gitops_render::gotmpl::Limits;
    use gitops_render::helm::ErrorKind;

    fn limited() -> HelmOptions {
        HelmOptions {
            limits: Limits {
                bytes: 1 << 20,
                steps: 1 << 20,
                ..Limits::default()
            },
            ..HelmOptions::default()
        }
    }

    fn refusal(text: &str) -> String {
        let error = render(&[("templates/a.yaml", text)], &limited()).expect_err("it must fail");
        let text = error.to_string();
        let innermost = error.template().and_then(|error| error.chain().last());
        innermost.map_or(text, |error| error.detail().to_owned())
    }

    #[test]
    fn endless_recursion_ends() {
        let included =
            refusal("{{ define \"x\" }}{{ include \"x\" . }}{{ end }}{{ include \"x\" . }}");
        assert!(included.contains("nested reference name: x"), "{included}");
        let called =
            refusal("{{ define \"x\" }}{{ template \"x\" . }}{{ end }}{{ template \"x\" . }}");
        assert!(
            called.contains("exceeded maximum template depth"),
            "{called}"
        );
        let text = refusal("{{ $t := \"{{ tpl .t . }}\" }}{{ tpl $t (dict \"t\" $t) }}");
        assert!(text.contains("more than 10000 levels deep"), "{text}");
    }

    #[test]
    fn long_loops_end() {
        for text in [
            "{{ range 1000000000 }}{{ end }}",
            "{{ range until 1000000000 }}{{ end }}",
            "{{ range untilStep 0 1000000000 1 }}{{ end }}",
        ] {
            let detail = refusal(text);
            assert!(detail.contains("the render "), "{text}: {detail}");
        }
    }

    #[test]
    fn large_texts_end() {
        for text in [
            "{{ repeat 1073741824 \"x\" }}",
            "{{ \"x\" | indent 1073741824 }}",
            "{{ randAlpha 1073741824 }}",
            "{{ $x := \"xxxxxxxxxx\" }}{{ range 40 }}{{ $x = printf \"%s%s\" $x $x }}{{ end }}{{ $x }}",
            "{{ printf \"%999999d%999999d\" 1 1 }}",
            "{{ define \"x\" }}{{ repeat 1000 \"x\" }}{{ end }}\
             {{ range until 2000 }}{{ include \"x\" $ }}{{ end }}",
        ] {
            let detail = refusal(text);
            assert!(
                detail.contains("produces more than 1048576 bytes"),
                "{text}: {detail}"
            );
        }
    }

    /// A list that holds another one twice, which does the same, is small in memory
    /// and nowhere else.
    #[test]
    fn what_is_held_many_times_ends() {
        let list = |name: &str| {
            format!(
                "{{{{ ${name} := list \"x\" }}}}\
                 {{{{ range 60 }}}}{{{{ ${name} = list ${name} ${name} }}}}{{{{ end }}}}"
            )
        };
        let map = |name: &str| {
            format!(
                "{{{{ ${name} := dict \"k\" \"x\" }}}}\
                 {{{{ range 60 }}}}{{{{ ${name} = dict \"k\" ${name} \"l\" ${name} }}}}{{{{ end }}}}"
            )
        };
        let itself = "{{ $c := dict }}{{ $_ := set $c \"k\" (list $c $c) }}";
        let made = list("a") + &list("b") + &map("m") + &map("n") + itself;
        for uses in [
            "$a",
            "$m",
            "$c",
            "deepCopy $c",
            "print $a",
            "println $a",
            "printf \"%s %q\" 1 $a",
            "printf \"%#v\" $m",
            "html $a",
            "js $a",
            "urlquery $a",
            "toString $a",
            "toStrings $a",
            "quote $m",
            "squote $m",
            "cat $a",
            "join \",\" $a",
            "sortAlpha $a",
            "toDecimal $a",
            "dict $a 1",
            "tpl \"{{ . }}\" $a",
            "toYaml $a",
            "toYaml $m",
            "toYamlPretty $m",
            "toJson $m",
            "mustToJson $m",
            "toRawJson $m",
            "toPrettyJson $m",
            "toToml $m",
            "toToml (dict \"k\" $a)",
            "deepCopy $a",
            "deepCopy $m",
            "merge $m $n",
            "mergeOverwrite $m $n",
            "deepEqual $a $b",
            "deepEqual $m $n",
            "has $a (list $b)",
            "without (list $a) $b",
            "uniq (list $a $b)",
        ] {
            let detail = refusal(&format!("{made}{{{{ {uses} }}}}"));
            assert!(
                [
                    "the render produces more",
                    "longer than a render",
                    "takes more than",
                    "too deeply"
                ]
                .iter()
                .any(|limit| detail.contains(limit)),
                "{uses}: {detail}"
            );
        }
    }

    #[test]
    fn what_grows_ends() {
        for text in [
            "{{ $x := list 1 }}{{ range 60 }}{{ $x = concat $x $x }}{{ end }}",
            "{{ $x := \"xx\" }}{{ range 60 }}{{ $x = cat $x $x }}{{ end }}",
            "{{ $x := \"xx\" }}{{ range 60 }}{{ $x = replace \"x\" $x $x }}{{ end }}",
            "{{ $x := \"xx\" }}{{ range 60 }}{{ $x = regexReplaceAll \"x\" $x $x }}{{ end }}",
            "{{ $x := \"xx\" }}{{ range 60 }}{{ $x = regexReplaceAllLiteral \"x\" $x $x }}{{ end }}",
            "{{ wrapWith 1 (repeat 10000 \"x\") (repeat 10000 \"x\") }}",
            "{{ repeat 500000 \"x\" | splitList \"\" | len }}",
            "{{ repeat 500000 \"x\" | split \"x\" | len }}",
            "{{ regexSplit \"x\" (repeat 500000 \"x\") -1 | len }}",
            "{{ regexFindAll \"x\" (repeat 500000 \"x\") -1 | len }}",
            "{{ $s := repeat 10000 \"x\" }}{{ $l := list }}\
             {{ range 1000 }}{{ $l = append $l $s }}{{ end }}{{ join \",\" $l | len }}",
            "{{ tpl (repeat 20000 \"{{ 1 }}\") . | len }}",
            "{{ repeat 100000 \"[],\" | printf \"[%s[]]\" | fromJsonArray | len }}",
            "{{ repeat 100000 \"- []\\n\" | fromYamlArray | len }}",
            "{{ repeat 100000 \"[],\" | printf \"a = [%s[]]\" | fromToml | len }}",
        ] {
            let detail = refusal(text);
            assert!(
                detail.contains("produces more than 1048576 bytes"),
                "{text}: {detail}"
            );
        }
    }

    #[test]
    fn a_render_stops_in_time() {
        let options = HelmOptions {
            timeout: Some(std::time::Duration::from_millis(50)),
            ..HelmOptions::default()
        };
        for text in [
            "{{ range 100000 }}{{ range 100000 }}{{ end }}{{ end }}",
            "{{ range 1000 }}{{ bcrypt \"x\" }}{{ end }}",
            "{{ range 1000 }}{{ derivePassword 1 \"long\" \"a\" \"b\" \"c\" }}{{ end }}",
            "{{ range 100000 }}{{ genPrivateKey \"ecdsa\" }}{{ end }}",
            "{{ range 1000 }}{{ genCA \"x\" 1 }}{{ end }}",
        ] {
            let error = render(&[("templates/a.yaml", text)], &options).expect_err("it must fail");
            assert!(
                error.to_string().contains("the render took too long"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn a_schema_that_asks_without_end_is_refused() {
        let both = |below: &str| {
            format!("{{\"allOf\": [{{\"$ref\": \"{below}\"}}, {{\"$ref\": \"{below}\"}}]}}")
        };
        // By its place, by its name, and through values: all is asked twice
        // of what is asked twice.
        let by_place =
            (1..60).map(|n| format!("\"d{n}\": {}", both(&format!("#/$defs/d{}", n - 1))));
        let by_name = (1..60).map(|n| {
            let below = both(&format!("#n{}", n - 1));
            format!("\"e{n}\": {{\"$anchor\": \"n{n}\", {}", &below[1..])
        });
        let defs: Vec<String> = ["\"d0\": true", "\"e0\": {\"$anchor\": \"n0\"}"]
            .map(str::to_owned)
            .into_iter()
            .chain(by_place)
            .chain(by_name)
            .collect();
        let defs = defs.join(",\n");
        let through = r##"{"allOf": [{"properties": {"a": {"$ref": "#"}}}, {"properties": {"a": {"$ref": "#"}}}]}"##;
        let values = format!("a: {}1{}\n", "{a: ".repeat(60), "}".repeat(60));
        for schema in [
            format!("{{\"$defs\": {{{defs}}}, \"$ref\": \"#/$defs/d59\"}}"),
            format!("{{\"$defs\": {{{defs}}}, \"$ref\": \"#n59\"}}"),
            through.to_owned(),
        ] {
            let files = [
                ("values.yaml", values.as_str()),
                ("values.schema.json", schema.as_str()),
            ];
            let error = render(&files, &HelmOptions::default()).expect_err("it must fail");
            assert!(
                error
                    .to_string()
                    .contains("the schema asks more than 4194304 times about the values"),
                "{schema}: {error}"
            );
        }
    }

    #[test]
    fn aliases_do_not_multiply() {
        let mut values = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let items = vec![format!("*a{}", level - 1); 9].join(", ");
            values.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        }
        let mut tree = MemoryTree::new();
        tree.insert(&TreePath::parse("Chart.yaml").expect("a path"), CHART);
        tree.insert(&TreePath::parse("values.yaml").expect("a path"), values);
        let error = Chart::load(&tree, &TreePath::ROOT, &LoadLimits::default());
        let error = error.expect_err("it must fail");
        assert_eq!(error.kind(), ErrorKind::Load);
        assert!(error.to_string().contains("excessive aliasing"), "{error}");
    }

    /// A gzipped tar of these files; `sizes` says more than there is.
    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, data) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(data.len() as u64);
            header.set_mode(0o644);
            // The builder refuses names that leave; a hostile one does not.
            let bytes = name.as_bytes();
            header.as_gnu_mut().expect("a GNU header").name[..bytes.len()].copy_from_slice(bytes);
            header.set_cksum();
            tar.append(&header, *data).expect("memory takes it");
        }
        let tar = tar.into_inner().expect("memory takes it");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, &tar).expect("memory takes it");
        gzip.finish().expect("memory takes it")
    }

    fn unpacked(files: &[(&str, &[u8])]) -> String {
        let mut tree = MemoryTree::new();
        let path = TreePath::parse("c.tgz").expect("a path");
        tree.insert(&path, archive(files));
        let limits = LoadLimits {
            file: 1 << 16,
            archive: 1 << 18,
            ..LoadLimits::default()
        };
        Chart::load(&tree, &path, &limits)
            .expect_err("it must fail")
            .to_string()
    }

    #[test]
    fn archives_stay_within_their_bounds() {
        let chart = ("c/Chart.yaml", CHART.as_bytes());
        let zeros = vec![0; 1 << 17];
        let large = unpacked(&[chart, ("c/files/zeros", &zeros)]);
        assert_eq!(
            large,
            "decompressed chart file \"c/files/zeros\" is larger than the maximum file size 65536"
        );
        let part = &zeros[..1 << 16];
        let many: Vec<(String, &[u8])> = (0..8)
            .map(|index| (format!("c/files/{index}"), part))
            .collect();
        let mut files = vec![chart];
        files.extend(many.iter().map(|(name, data)| (name.as_str(), *data)));
        assert_eq!(
            unpacked(&files),
            "decompressed chart is larger than the maximum size 262144"
        );
        for name in [
            "c/../../etc/passwd",
            "../c/Chart.yaml",
            "/etc/passwd",
            "c//etc/passwd",
        ] {
            let text = unpacked(&[chart, (name, b"x")]);
            assert!(text.starts_with("chart illegally"), "{name}: {text}");
        }
    }
}

mod profiles {
    use gitops_render::helm::Profile;

    use super::*;

    #[test]
    fn what_differs_between_profiles() {
        // By Helm 3.16.4, 3.19.5, 3.21.4 and 4.2.4.
        let helms = [
            Profile::Helm3_16,
            Profile::Helm3_19,
            Profile::Helm3_21,
            Profile::Helm4_2,
        ];
        let shown = |profile: Profile, text: &str, values: &str| {
            let mut given = Values::new(profile);
            given.file("v", values.as_bytes()).expect("values");
            let options = HelmOptions {
                profile,
                values: given.into_map(),
                capabilities: gitops_render::helm::Capabilities::of(profile),
                ..HelmOptions::default()
            };
            let files = [
                ("values.yaml", "t: {a: 1, m: null}\n"),
                ("templates/a.yaml", text),
            ];
            match render(&files, &options) {
                Ok(release) => written(&release, "a.yaml"),
                Err(error) => error.to_string(),
            }
        };
        let all = |text: &str, values: &str| helms.map(|profile| shown(profile, text, values));
        assert_eq!(
            all("v: {{ toJson .Values.t }}", "t: {a: null, b: null}"),
            [
                "v: {\"b\":null,\"m\":null}",
                "v: {\"m\":null}",
                "v: {\"b\":null,\"m\":null}",
                "v: {\"b\":null}",
            ]
        );
        assert_eq!(
            all(
                "v: {{ .Capabilities.KubeVersion }} {{ .Capabilities.HelmVersion.Version }}",
                ""
            ),
            [
                "v: v1.31.0 v3.16.4",
                "v: v1.34.0 v3.19.5",
                "v: v1.36.0 v3.21.4",
                "v: v1.36.0 v4.2.4"
            ]
        );
        let required = all("{{ required \"100% of it\" .Values.none }}", "");
        let place = "execution error at (shop/templates/a.yaml:1:3): 100% of it";
        assert_eq!(required[1..], [place, place, place]);
        assert_eq!(required[0], place.replace("% of", "%!o(MISSING)f"));
    }
    /// Everything that a chart can be warned of, as Helm says it, without the time,
    /// the level and the place.
    #[test]
    fn warnings_are_in_the_words_of_the_helm() {
        let declared = "dependencies:\n- name: sub\n  version: '*'\n  condition: sub.enabled,sub.on\n  \
                        tags: [front, a b]\n  import-values: [data, {child: none, parent: here}]\n";
        let metadata = format!("{CHART}deprecated: true\n{declared}");
        let files = [
            ("Chart.yaml", &*metadata),
            ("requirements.lock", "dependencies: []\n"),
            ("requirements.yaml", declared),
            (
                "values.yaml",
                "text: x\nsub: {enabled: 'yes', on: 1}\ntags: {front: 'on', a b: 2}\n\
                 global: {t: {a: 1}}\n",
            ),
            (
                "values.schema.json",
                r#"{"properties": {"text": {"$ref": "urn:example:thing"}}}"#,
            ),
            ("charts/sub/Chart.yaml", &CHART.replace("shop", "sub")),
            ("charts/sub/values.yaml", "global: {t: 1}\n"),
            (
                "templates/a.yaml",
                "kind: Job\nmetadata:\n  annotations:\n    helm.sh/hook: crd-install\n",
            ),
        ];
        let said = |profile: Profile| {
            let options = HelmOptions {
                profile,
                values: [("text", Map::from_iter([("a", 3)]))].into_iter().collect(),
                ..HelmOptions::default()
            };
            let release = render(&files, &options).expect("it renders");
            release.warnings.join("\n")
        };
        assert_eq!(said(Profile::Helm3_16), said(Profile::Helm3_21));
        insta::assert_snapshot!(said(Profile::Helm3_21), @r#"
        Warning: Dependency locking is handled in Chart.lock since apiVersion "v2". We recommend migrating to Chart.lock.
        Warning: Dependencies are handled in Chart.yaml since apiVersion "v2". We recommend migrating dependencies to Chart.yaml.
        WARNING: This chart is deprecated
        warning: skipped value for shop.text: Not a table.
        warning: destination for shop.sub.global.t is a table. Ignoring non-table value (1)
        Warning: Tag 'front' for chart sub returned non-bool value
        Warning: Tag 'a b' for chart sub returned non-bool value
        Warning: Condition path 'sub.enabled' for chart sub returned non-bool value
        warning: destination for shop.sub.global.t is a table. Ignoring non-table value (1)
        Warning: ImportValues missing table: "exports" is not a table
        Warning: ImportValues missing table from chart sub: "none" is not a table
        warning: skipped value for shop.text: Not a table.
        warning: destination for shop.sub.global.t is a table. Ignoring non-table value (1)
        WARNING: unresolved URN reference ignored; using permissive schema: urn:example:thing
        info: skipping unknown hook: "crd-install"
        "#);
        insta::assert_snapshot!(said(Profile::Helm4_2), @r#"
        Warning: Dependency locking is handled in Chart.lock since apiVersion "v2". We recommend migrating to Chart.lock.
        Warning: Dependencies are handled in Chart.yaml since apiVersion "v2". We recommend migrating dependencies to Chart.yaml.
        this chart is deprecated
        warning: skipped value for shop.text: Not a table.
        warning: destination for shop.sub.global.t is a table. Ignoring non-table value (1)
        returned non-bool value tag=front chart=sub
        returned non-bool value tag="a b" chart=sub
        returned non-bool value path=sub.enabled chart=sub
        warning: destination for shop.sub.global.t is a table. Ignoring non-table value (1)
        ImportValues missing table error="\"exports\" is not a table"
        ImportValues missing table from chart chart=sub error="\"none\" is not a table"
        warning: skipped value for shop.text: Not a table.
        warning: destination for shop.sub.global.t is a table. Ignoring non-table value (1)
        unresolved URN reference ignored; using permissive schema urn=urn:example:thing
        skipping unknown hooks hookTypes=crd-install
        "#);
    }
}
