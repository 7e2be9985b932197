//! Kustomizations, one directory each: `in/top` is built, and what comes of it
//! was written by Kustomize 5.8.1, where the root of the inputs is `/`.

#![allow(
    clippy::disallowed_methods,
    reason = "cases are directories beside this file"
)]

use std::path::Path;

use gitops_core::tree::{DirTree, MemoryTree};
use gitops_core::{FileTree as _, TreePath};
use gitops_render::kustomize::{
    Error, ErrorKind, GitSource, HelmSupport, HttpStatus, ImageOverride, KustomizeOptions, Limits,
    Overrides, RemoteError, Remotes, SharedTree, build, print,
};
use gitops_render::{Renderer, render};

#[test]
fn directories_are_built_as_kustomize_builds_them() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/kustomize");
    let mut names: Vec<_> = std::fs::read_dir(&cases)
        .expect("the cases lie beside this file")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    names.sort();
    assert!(names.len() > 10);
    for name in names {
        let dir = cases.join(&name);
        let tree = DirTree::new(dir.join("in")).expect("inputs");
        let path = TreePath::parse("top").expect("a path");
        let name = name.to_string_lossy();
        let options = KustomizeOptions {
            helm: name.starts_with("charts-").then(HelmSupport::default),
            ..KustomizeOptions::default()
        };
        let outcome = build(&tree, &path, &options).and_then(|built| built.to_text());
        let printed = print(&tree, &path, &options).map(|printed| printed.text);
        let shown = |error: &Error| error.to_string();
        assert_eq!(
            printed.as_ref().map_err(shown),
            outcome.as_ref().map_err(shown)
        );
        match (outcome, std::fs::read_to_string(dir.join("expected.yaml"))) {
            (Ok(text), Ok(expected)) => assert_eq!(text, expected, "{name}"),
            (Err(error), Err(_)) => {
                let expected =
                    std::fs::read_to_string(dir.join("expected.txt")).expect("an outcome");
                assert_eq!(error.to_string().trim(), expected.trim(), "{name}");
            }
            (Ok(text), Err(_)) => panic!("{name} was built:\n{text}"),
            (Err(error), Ok(_)) => panic!("{name}: {error}"),
        }
    }
}

#[test]
fn charts_that_cannot_be_rendered_say_why() {
    let case = "tests/cases/kustomize/charts-are-generators-too/in/top";
    let tree = DirTree::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(case)).expect("inputs");
    let files = gitops_core::tree::walk(&tree, &TreePath::ROOT).expect("files");
    for (chart, problem) in [
        ("{name: missing, releaseName: x}", "no chart found at"),
        (
            "{name: app, releaseName: x, kubeVersion: 1.10.0}",
            "chart requires kubeVersion: >=1.20.0-0 which is incompatible with Kubernetes v1.10.0",
        ),
        (
            "{name: app, releaseName: x, nameTemplate: named}",
            "cannot set --name-template and also specify a name",
        ),
        (
            "{name: app, releaseName: x, valuesMerge: deep}",
            "valuesMerge must be one of [merge override replace]",
        ),
        ("{name: app, nameTemplate: '{{ .x'}", "name-template:1"),
    ] {
        let mut edited = MemoryTree::new();
        for path in &files {
            let text = tree.read(path).expect("readable").expect("a file");
            edited.insert(path, text);
        }
        let kustomization = TreePath::parse("kustomization.yaml").expect("a path");
        edited.insert(
            &kustomization,
            format!("helmCharts: [{chart}]").into_bytes(),
        );
        let mut options = KustomizeOptions::default();
        let error = build(&edited, &TreePath::ROOT, &options).expect_err("no helm");
        assert!(
            error.message().contains("must specify --enable-helm"),
            "{error}"
        );
        options.helm = Some(HelmSupport::default());
        let error = build(&edited, &TreePath::ROOT, &options).expect_err(chart);
        assert!(error.message().contains(problem), "{error}");
    }
}

const SETTINGS: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n";

fn built(files: &[(&str, &str)], options: &KustomizeOptions) -> Result<String, Error> {
    let mut tree = MemoryTree::new();
    for (path, text) in files {
        let path = TreePath::parse(path).expect("a path");
        tree.insert(&path, text.as_bytes().to_vec());
    }
    build(&tree, &TreePath::ROOT, options)?.to_text()
}

#[test]
fn errors_say_where() {
    let files = [
        ("kustomization.yaml", "resources: [a.yaml, b.yaml]"),
        ("a.yaml", SETTINGS),
        ("b.yaml", &format!("# second\n---\n{SETTINGS}")),
    ];
    let error = built(&files, &KustomizeOptions::default()).expect_err("a conflict");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let second = (error.file().map(TreePath::as_str), error.line());
    assert_eq!(second, (Some("b.yaml"), 3));
    let first = error
        .first_claim()
        .map(|(file, line)| (file.as_str(), line));
    assert_eq!(first, Some(("a.yaml", 1)));
}

#[test]
fn limits_are_errors_that_name_them() {
    let limits = |limits: Limits| KustomizeOptions {
        limits,
        ..KustomizeOptions::default()
    };
    let two = SETTINGS.to_owned() + "---\n" + &SETTINGS.replace("settings", "more");
    let files = [
        ("kustomization.yaml", "resources: [a.yaml]"),
        ("a.yaml", &two),
    ];
    let few = limits(Limits {
        objects: 1,
        ..Limits::default()
    });
    let error = built(&files, &few).expect_err("two objects");
    assert_eq!(error.kind(), ErrorKind::Limit);
    let small = limits(Limits {
        file_size: 10,
        ..Limits::default()
    });
    let error = built(&files, &small).expect_err("a long file");
    assert!(
        error.message().contains("more than the limit of 10"),
        "{error}"
    );
}

#[test]
fn a_million_resources_end_in_an_error() {
    let mut text = String::from("resources:\n");
    for _ in 0..1_000_000 {
        text.push_str("- a.yaml\n");
    }
    let files = [("kustomization.yaml", text.as_str()), ("a.yaml", SETTINGS)];
    let error = built(&files, &KustomizeOptions::default()).expect_err("one object, often");
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[test]
fn aliases_that_stand_for_very_much_are_refused() {
    let mut text = String::from("apiVersion: v1\nkind: A\nmetadata: {name: a}\nl0: &l0 [x, x]\n");
    for level in 1..40 {
        let before = level - 1;
        text.push_str(&format!("l{level}: &l{level} [*l{before}, *l{before}]\n"));
    }
    let files = [
        ("kustomization.yaml", "resources: [a.yaml]"),
        ("a.yaml", &text),
    ];
    let mut options = KustomizeOptions::default();
    options.limits.documents.aliased = 10_000;
    let error = built(&files, &options).expect_err("a bomb");
    assert!(
        error
            .message()
            .contains("aliases stand for more than 10000"),
        "{error}"
    );
    let files = [
        (
            "kustomization.yaml",
            "resources: [s.yaml]\npatches: [{path: a.yaml}]",
        ),
        ("s.yaml", SETTINGS),
        ("a.yaml", &text),
    ];
    let error = built(&files, &options).expect_err("a bomb");
    assert_eq!(error.kind(), ErrorKind::Limit);
}

#[test]
fn copies_of_copies_are_refused() {
    let mut patch = String::new();
    for level in 0..60 {
        patch.push_str(&format!(
            "- {{op: copy, from: /data, path: /data/k{level}}}\n"
        ));
    }
    let files = [
        (
            "kustomization.yaml",
            "resources: [a.yaml]\npatches: [{target: {kind: ConfigMap}, path: p.yaml}]",
        ),
        ("a.yaml", &format!("{SETTINGS}data: {{a: b}}\n")),
        ("p.yaml", &patch),
    ];
    let mut options = KustomizeOptions::default();
    options.limits.documents.nodes = 10_000;
    let error = built(&files, &options).expect_err("a bomb");
    assert_eq!(
        error.message(),
        "copy operations copy more than 10000 nodes"
    );
}

/// Each of these is read, merged and written in a moment, though not if a step
/// looked through all fields or items for every one of them.
#[test]
fn many_fields_and_items_take_no_longer_than_they_must() {
    const MANY: usize = 20_000;
    let literals: String = (0..MANY).map(|at| format!("  - k{at}=v\n")).collect();
    let fields =
        |value: &str| -> String { (0..MANY).map(|at| format!("  k{at}: {value}\n")).collect() };
    let containers = |image: &str| -> String {
        (0..MANY)
            .map(|at| format!("      - {{name: c{at}, image: {image}}}\n"))
            .collect()
    };
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  template:\n    spec:\n      containers:\n";
    let files = [
        (
            "kustomization.yaml",
            &*format!(
                "resources: [a.yaml]\npatches: [{{path: p.yaml}}]\nconfigMapGenerator:\n- name: g\n  literals:\n{literals}"
            ),
        ),
        (
            "a.yaml",
            &format!(
                "{SETTINGS}data:\n{}---\n{deployment}{}",
                fields("v"),
                containers("old")
            ),
        ),
        (
            "p.yaml",
            &format!(
                "{SETTINGS}data:\n{}---\n{deployment}{}",
                fields("w"),
                containers("new")
            ),
        ),
    ];
    let text = built(&files, &KustomizeOptions::default()).expect("it is built");
    assert_eq!(text.matches(": v\n").count(), MANY, "of the generator");
    assert_eq!(text.matches(": w\n").count(), MANY);
    assert_eq!(text.matches("image: new\n").count(), MANY);
}

#[test]
fn patches_that_hit_nothing_are_refused_when_asked() {
    let files = [
        (
            "kustomization.yaml",
            "resources: [a.yaml]\npatches:\n- {target: {kind: Job}, patch: '[]'}\n- {target: {kind: Job}, patch: '[{\"op\": \"remove\", \"path\": \"/data\"}]'}\n",
        ),
        ("a.yaml", SETTINGS),
    ];
    assert!(built(&files, &KustomizeOptions::default()).is_ok());
    let strict = KustomizeOptions {
        refuse_missed_patches: true,
        ..KustomizeOptions::default()
    };
    let error = built(&files, &strict).expect_err("no job");
    assert!(error.message().contains("hits no object"), "{error}");
}

#[derive(Debug)]
struct Elsewhere;

impl Remotes for Elsewhere {
    fn repository(&self, source: &GitSource) -> Result<SharedTree, RemoteError> {
        assert_eq!(source.clone_spec(), "https://example.com/org/repo");
        assert_eq!(source.reference, "v1");
        let tree: MemoryTree = [
            ("base/kustomization.yaml", "resources: [a.yaml]"),
            ("base/a.yaml", SETTINGS),
        ]
        .try_into()?;
        Ok(std::sync::Arc::new(tree))
    }

    fn file(&self, url: &str) -> Result<bytes::Bytes, RemoteError> {
        Ok(SETTINGS
            .replace("settings", url.rsplit('/').next().unwrap_or_default())
            .into())
    }
}

#[test]
fn what_is_elsewhere_comes_through_one_door() {
    let files = [(
        "kustomization.yaml",
        "resources:\n- https://example.com/org/repo//base?ref=v1\n- https://example.com/named\n",
    )];
    let error = built(&files, &KustomizeOptions::default()).expect_err("no door");
    assert_eq!(error.kind(), ErrorKind::Remote);
}

#[test]
fn git_urls_are_fetched_through_the_door() {
    let files = [(
        "kustomization.yaml",
        "namePrefix: p-\nresources: ['git::https://example.com/org/repo//base?ref=v1']\n",
    )];
    let options = KustomizeOptions {
        remotes: Some(std::sync::Arc::new(Elsewhere)),
        ..KustomizeOptions::default()
    };
    let text = built(&files, &options).expect("it is fetched");
    assert!(text.contains("name: p-settings"), "{text}");
}

/// A server, and what it was asked for.
#[derive(Debug, Default)]
struct Web(std::sync::Mutex<Vec<String>>);

impl Web {
    fn note(&self, what: String) {
        self.0.lock().expect("no panic").push(what);
    }
}

impl Remotes for Web {
    fn repository(&self, source: &GitSource) -> Result<SharedTree, RemoteError> {
        self.note(format!("clone {}", source.clone_spec()));
        let tree: MemoryTree = [
            ("kustomization.yaml", "configMapGenerator: [{name: cloned}]"),
            ("a/kustomization.yaml", "configMapGenerator: [{name: of-a}]"),
            ("b/kustomization.yaml", "configMapGenerator: [{name: of-b}]"),
        ]
        .try_into()?;
        Ok(std::sync::Arc::new(tree))
    }

    fn file(&self, url: &str) -> Result<bytes::Bytes, RemoteError> {
        self.note(format!("get {url}"));
        match url {
            "https://example.com/a/settings.yaml" => Ok(SETTINGS.into()),
            "https://example.com/page/of-repository" => Ok("<html>: <p>: x".into()),
            _ => Err(HttpStatus {
                code: 404,
                reason: "Not Found".into(),
            }
            .into()),
        }
    }
}

#[test]
fn urls_are_files_first_and_repositories_second() {
    let settings = "https://example.com/a/settings.yaml";
    let both = format!(
        "resources: ['{settings}']\nconfigMapGenerator: [{{name: x, files: ['a={settings}']}}]\n"
    );
    for (kustomization, asked, outcome) in [
        // A file is fetched once, however often it is named.
        (
            both.as_str(),
            &["get https://example.com/a/settings.yaml"][..],
            "a: |",
        ),
        (
            "resources: ['https://example.com/org/repo']",
            &[
                "get https://example.com/org/repo",
                "clone https://example.com/org/repo",
            ],
            "name: cloned",
        ),
        (
            "resources: ['https://example.com/page/of-repository']",
            &[
                "get https://example.com/page/of-repository",
                "clone https://example.com/page/of-repository",
            ],
            "name: cloned",
        ),
        // One repository is cloned once, and asked for more than once.
        (
            "resources: ['https://example.com/o/r//a', 'https://example.com/o/r//b']",
            &[
                "get https://example.com/o/r//a",
                "clone https://example.com/o/r",
                "get https://example.com/o/r//b",
            ],
            "name: of-b",
        ),
        // What cannot be a repository is not asked for as one.
        (
            "resources: ['https://example.com/gone.yaml']",
            &["get https://example.com/gone.yaml"],
            "accumulating resources: accumulating resources from \
             'https://example.com/gone.yaml': HTTP Error: status code 404 (Not Found)",
        ),
    ] {
        let web = std::sync::Arc::new(Web::default());
        let options = KustomizeOptions {
            remotes: Some(web.clone()),
            ..KustomizeOptions::default()
        };
        let files = [("kustomization.yaml", kustomization)];
        let found = match built(&files, &options) {
            Ok(text) => text,
            Err(error) => error.to_string(),
        };
        assert!(found.contains(outcome), "{kustomization}: {found}");
        assert_eq!(*web.0.lock().expect("no panic"), asked, "{kustomization}");
    }
}

#[test]
fn a_base_that_includes_itself_is_a_cycle() {
    let files = [
        ("kustomization.yaml", "resources: [base]"),
        ("base/kustomization.yaml", "resources: [../base]"),
    ];
    let error = built(&files, &KustomizeOptions::default()).expect_err("a cycle");
    assert!(error.message().contains("cycle detected"), "{error}");
}

#[cfg(unix)]
#[test]
fn links_do_not_lead_out_of_the_tree() {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, text).expect("a file");
    };
    write("secret.yaml", SETTINGS);
    write("tree/kustomization.yaml", "resources: [a.yaml]");
    write(
        "tree/b/kustomization.yaml",
        "configMapGenerator: [{name: x, files: [passwd]}]",
    );
    write("tree/c/kustomization.yaml", "resources: [up]");
    for (target, link) in [
        ("../secret.yaml", "tree/a.yaml"),
        ("/etc/passwd", "tree/b/passwd"),
        ("../..", "tree/c/up"),
    ] {
        std::os::unix::fs::symlink(target, dir.path().join(link)).expect("a link");
    }
    let tree = DirTree::new(dir.path().join("tree")).expect("a directory");
    for path in ["", "b", "c"] {
        let path = TreePath::parse(path).expect("a path");
        let error = build(&tree, &path, &KustomizeOptions::default()).expect_err("outside");
        assert!(error.message().contains("security; "), "{path}: {error}");
    }
}

#[test]
fn applications_lay_their_wishes_over_the_file() {
    let files: MemoryTree = [
        ("kustomization.yaml", "namePrefix: a-\nresources: [a.yaml]\ncommonLabels: {l: file}"),
        ("a.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: nginx}]}\n"),
    ]
    .try_into()
    .expect("paths");
    let mut options = KustomizeOptions {
        overrides: Overrides {
            name_prefix: "b-".into(),
            images: vec![ImageOverride::parse("nginx:2").expect("an image")],
            common_labels: vec![("l".into(), "app".into())],
            ..Overrides::default()
        },
        ..KustomizeOptions::default()
    };
    let render = |options: &KustomizeOptions| {
        let renderer = Renderer::Kustomize(Box::new(options.clone()));
        render(&renderer, &files, &TreePath::ROOT)
    };
    assert!(render(&options).is_err(), "the file has the label");
    options.overrides.force_common_labels = true;
    let rendered = render(&options).expect("it is built");
    let pod = rendered.manifests[0].to_value();
    assert_eq!(rendered.manifests[0].name(), "b-p");
    let label = pod
        .at(&["metadata", "labels", "l"])
        .and_then(|v| v.as_str());
    assert_eq!(label, Some("app"));
    assert_eq!(rendered.manifests[0].origin.to_string(), "a.yaml:1");
    assert_eq!(rendered.warnings.len(), 1, "commonLabels is deprecated");
}

/// What `kustomize edit set image` and `kustomize build` made of them.
#[test]
fn images_of_applications_replace_those_of_the_file() {
    let files = [
        (
            "kustomization.yaml",
            "resources: [pod.yaml]\nimages: [{name: nginx, newName: file/nginx, newTag: v9, \
             digest: 'sha256:bb', tagSuffix: -s}]\n",
        ),
        (
            "pod.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, \
             image: 'nginx:1@sha256:aa'}]}\n",
        ),
    ];
    for (image, expected) in [
        ("nginx:2", "nginx:2"),
        ("nginx=x", "x:1@sha256:aa"),
        ("nginx=*:3", "file/nginx:3"),
        ("nginx=y:*", "y:v9"),
        ("nginx@sha256:cc", "nginx@sha256:cc"),
        ("nginx:4@sha256:dd", "nginx:4@sha256:dd"),
        ("nginx=z@*", "z@sha256:bb"),
        ("nginx=", "nginx:1@sha256:aa"),
        ("nginx=host:5000/z", "host:5000/z:1@sha256:aa"),
        ("other:1", "file/nginx:v9@sha256:bb"),
    ] {
        let options = KustomizeOptions {
            overrides: Overrides {
                images: vec![ImageOverride::parse(image).expect(image)],
                ..Overrides::default()
            },
            ..KustomizeOptions::default()
        };
        let text = built(&files, &options).expect(image);
        let found = text
            .lines()
            .find_map(|line| line.trim().strip_prefix("- image: "));
        assert_eq!(found, Some(expected), "{image}");
    }
    assert!(ImageOverride::parse("host:5000/z").is_err());
}

#[test]
fn labels_of_applications_join_those_that_go_where_they_go() {
    let files = [
        (
            "kustomization.yaml",
            "resources: [a.yaml]\nlabels: [{pairs: {l: file}}, {pairs: {t: file}, includeTemplates: true}]\n",
        ),
        ("a.yaml", SETTINGS),
    ];
    let with = |key: &str, [without_selectors, templates, force]: [bool; 3]| {
        let options = KustomizeOptions {
            overrides: Overrides {
                common_labels: vec![(key.into(), "\"new\"".into())],
                labels_without_selectors: without_selectors,
                labels_in_templates: templates,
                force_common_labels: force,
                ..Overrides::default()
            },
            ..KustomizeOptions::default()
        };
        built(&files, &options).map_err(|error| error.to_string())
    };
    let taken = |key: &str| {
        Err(format!(
            "label {key} already in kustomization file. Use --force to override."
        ))
    };
    assert_eq!(with("l", [true, false, false]), taken("l"));
    assert_eq!(with("t", [true, true, false]), taken("t"));
    assert!(
        with("l", [false, true, false]).is_err_and(|error| error.contains("--without-selector"))
    );
    for (key, how) in [
        ("l", [true, false, true]),
        ("k", [true, false, false]),
        ("t", [true, true, true]),
    ] {
        let text = with(key, how).expect(key);
        assert!(text.contains(&format!("{key}: new")), "{text}");
    }
}

#[test]
fn an_error_has_the_warnings_before_it() {
    let files = [(
        "kustomization.yaml",
        "bases: [missing]\ncommonLabels: {a: b}\n",
    )];
    let error = built(&files, &KustomizeOptions::default()).expect_err("nothing is there");
    assert_eq!(error.warnings().len(), 2);
    assert!(error.warnings()[0].starts_with("# Warning: 'bases' is deprecated."));
}

#[test]
fn files_are_named_after_their_objects() {
    let objects = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n---\n\
                   apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: Web, namespace: Far}\n---\n\
                   apiVersion: v1\nkind: Namespace\nmetadata: {name: far}\n";
    let tree: MemoryTree = [
        ("kustomization.yaml", "resources: [a.yaml]"),
        ("a.yaml", objects),
    ]
    .try_into()
    .expect("paths");
    let built = build(&tree, &TreePath::ROOT, &KustomizeOptions::default()).expect("it is built");
    let files = built.to_files().expect("texts");
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "v1_namespace_far.yaml",
            "default_v1_configmap_settings.yaml",
            "far_apps_v1_deployment_web.yaml",
        ]
    );
}

#[test]
fn what_secrets_hold_is_not_in_errors() {
    let secret = |namespace: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: s, namespace: {namespace}}}\nstringData: {{password: hunter2}}\n"
        )
    };
    let files = [
        (
            "kustomization.yaml",
            "namespace: one\nresources: [a.yaml, b.yaml]",
        ),
        ("a.yaml", &secret("a")),
        ("b.yaml", &secret("b")),
    ];
    let error = built(&files, &KustomizeOptions::default()).expect_err("one identity");
    assert!(error.message().contains("ID conflict"), "{error}");
    assert!(error.message().contains("(hidden)"), "{error}");
    assert!(!error.message().contains("hunter2"), "{error}");
    let files = [
        (
            "kustomization.yaml",
            "resources: [a.yaml]\nreplacements:\n- sourceValue: x\n  targets: [{select: {kind: Secret}, fieldPaths: [stringData.0]}]\n",
        ),
        ("a.yaml", &secret("a")),
    ];
    let error = built(&files, &KustomizeOptions::default()).expect_err("no list");
    assert!(
        error
            .message()
            .ends_with("node contents:\n{password: (hidden)}\n"),
        "{error}"
    );
    let files = [(
        "kustomization.yaml",
        "secretGenerator: [{name: s, literals: [password=hunter2, hunter3]}]\n",
    )];
    let error = built(&files, &KustomizeOptions::default()).expect_err("no key");
    assert_eq!(
        error.message(),
        "loading KV pairs: literal sources [password=(hidden) (hidden)]: invalid literal source \
         (hidden), expected key=value"
    );
}
