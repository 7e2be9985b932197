use std::time::Duration;

use gitops_core::app::argo::{self, AppError};
use gitops_core::app::{App, InlineValues, OnDelete, Tool};
use gitops_core::tree::MemoryTree;
use gitops_core::{Origin, Value, json};

fn read(text: &str) -> Vec<Result<App, AppError>> {
    argo::parse(text.as_bytes(), &Origin::file("app.yaml")).unwrap()
}

fn problem(spec: &str) -> String {
    let text = format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata:\n  name: shop\nspec:\n{spec}"
    );
    let mut found = read(&text);
    assert_eq!(found.len(), 1);
    found.remove(0).unwrap_err().to_string()
}

#[test]
fn problems_name_file_line_and_column() {
    insta::assert_snapshot!(
        problem("  source:\n    repoURL: https://example.com/a.git\n    targetRevison: main\n"),
        @r#"app.yaml:8:5: Application "shop": spec.source.targetRevison: unknown field `targetRevison`, expected one of `repoURL`, `path`, `targetRevision`, `chart`, `ref`, `name`, `tagPrefix`, `helm`, `kustomize`, `directory`, `plugin`"#
    );
    insta::assert_snapshot!(
        problem("  source:\n    repoURL: https://example.com/a.git\n    helm:\n      skipCrds: 'yes'\n"),
        @r#"app.yaml:9:7: Application "shop": spec.source.helm.skipCrds: invalid type: string "yes", expected a boolean"#
    );
    insta::assert_snapshot!(problem("  project: default\n"), @r#"app.yaml:5:1: Application "shop": spec: no source; set spec.source or spec.sources"#);
    insta::assert_snapshot!(problem("  source:\n    path: deploy\n"), @r#"app.yaml:6:3: Application "shop": spec.source: repoURL is missing"#);
    insta::assert_snapshot!(
        problem("  source:\n    repoURL: https://example.com/a.git\n    helm: {}\n    kustomize: {}\n"),
        @r#"app.yaml:6:3: Application "shop": spec.source: helm and kustomize are set; a source is rendered by exactly one tool"#
    );
    insta::assert_snapshot!(
        problem(
            "  source:\n    repoURL: https://example.com/a.git\n  destination:\n    server: https://a\n    name: b\n"
        ),
        @r#"app.yaml:8:3: Application "shop": spec.destination: both server and name are set; a destination has exactly one of them"#
    );
    insta::assert_snapshot!(
        problem(
            "  source:\n    repoURL: https://example.com/a.git\n  syncPolicy:\n    retry:\n      backoff:\n        duration: soon\n"
        ),
        @r#"app.yaml:11:9: Application "shop": spec.syncPolicy.retry.backoff.duration: "soon" is no duration; write 5s, 3m or 1h30m"#
    );
    insta::assert_snapshot!(
        problem("  sourceHydrator: {}\n  source:\n    repoURL: https://example.com/a.git\n"),
        @r#"app.yaml:6:3: Application "shop": spec.sourceHydrator: the source hydrator is not supported; point spec.source at the hydrated branch"#
    );
}

const FULL: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: shop
  namespace: argocd
  annotations: {argocd.argoproj.io/sync-wave: "-3"}
  finalizers: [resources-finalizer.argocd.argoproj.io/background]
spec:
  project: web
  sources:
  - repoURL: https://example.com/charts
    chart: shop
    targetRevision: 1.x
    name: chart
    tagPrefix: shop-
    helm:
      valueFiles: [$values/prod.yaml]
      ignoreMissingValueFiles: true
      valuesObject: {replicas: 2}
      parameters: [{name: image.tag, value: "1", forceString: true}]
      fileParameters: [{name: config, path: files/config}]
      releaseName: shop-prod
      namespace: shop-ns
      skipCrds: true
      skipTests: true
      skipSchemaValidation: true
      kubeVersion: "1.33"
      apiVersions: [example.com/v1]
      version: v3
      passCredentials: true
  - repoURL: https://example.com/values.git
    ref: values
  - repoURL: https://example.com/base.git
    path: overlays/prod
    kustomize:
      namePrefix: a-
      nameSuffix: -b
      images: ["nginx=nginx:1.27"]
      replicas: [{name: web, count: "3"}, {name: db, count: 1}]
      commonLabels: {team: web}
      forceCommonLabels: true
      labelWithoutSelector: true
      labelIncludeTemplates: true
      commonAnnotations: {note: text}
      forceCommonAnnotations: true
      commonAnnotationsEnvsubst: true
      namespace: shop
      patches: [{path: patch.yaml}]
      components: [../component]
      ignoreMissingComponents: true
      kubeVersion: "1.34"
      apiVersions: [example.com/v2]
      version: v5
  - repoURL: https://example.com/plain.git
    path: manifests
    directory:
      recurse: true
      include: "*.yaml"
      exclude: "test*"
      disableExtensionFilter: true
      jsonnet: {libs: [vendor]}
  destination: {server: https://kubernetes.default.svc, namespace: shop}
  syncPolicy:
    automated: {prune: true, selfHeal: true, allowEmpty: true}
    syncOptions: [CreateNamespace=true]
    retry: {limit: 7, refresh: true, backoff: {duration: 1m30s, factor: 3, maxDuration: 1h}}
    managedNamespaceMetadata: {labels: {a: b}, annotations: {c: d}}
  ignoreDifferences:
  - group: apps
    kind: Deployment
    name: web
    namespace: shop
    jsonPointers: [/spec/replicas]
    jqPathExpressions: [".spec.template"]
    managedFieldsManagers: [hpa]
  info: [{name: owner, value: web}]
  revisionHistoryLimit: 3
"#;

#[test]
fn every_field_of_an_application_counts() {
    let app = read(FULL).remove(0).unwrap();
    assert_eq!((&*app.name, &*app.namespace), ("shop", "argocd"));
    assert_eq!(app.project, "web");
    assert_eq!(app.wave, -3);
    assert_eq!(app.on_delete, OnDelete::Background);
    assert_eq!(app.history_limit, 3);
    assert_eq!(app.info, [("owner".into(), "web".into())]);
    assert_eq!(app.destination.server, "https://kubernetes.default.svc");
    assert_eq!(app.destination.namespace, "shop");
    let [chart, values, base, plain] = &app.sources[..] else {
        panic!("four sources");
    };
    assert_eq!(chart.chart.as_deref(), Some("shop"));
    assert_eq!(chart.revision, "1.x");
    assert_eq!(chart.name.as_deref(), Some("chart"));
    assert_eq!(chart.tag_prefix.as_deref(), Some("shop-"));
    assert_eq!(values.reference.as_deref(), Some("values"));
    assert!(values.is_reference_only());
    assert_eq!(base.path, "overlays/prod");
    let Tool::Helm(helm) = &chart.tool else {
        panic!("Helm");
    };
    assert_eq!(helm.value_files, ["$values/prod.yaml"]);
    assert!(helm.ignore_missing_value_files && helm.skip_crds && helm.skip_tests);
    assert!(helm.skip_schema_validation && helm.pass_credentials);
    let InlineValues::Object(object) = &helm.values else {
        panic!("an object");
    };
    assert_eq!(
        json::to_string(&Value::Map(object.clone())),
        r#"{"replicas":2}"#
    );
    let parameter = &helm.parameters[0];
    assert_eq!((&*parameter.name, &*parameter.value), ("image.tag", "1"));
    assert!(parameter.force_string);
    assert_eq!(
        helm.file_parameters,
        [("config".into(), "files/config".into())]
    );
    assert_eq!(helm.release_name.as_deref(), Some("shop-prod"));
    assert_eq!(helm.namespace.as_deref(), Some("shop-ns"));
    assert_eq!(helm.kube_version.as_deref(), Some("1.33"));
    assert_eq!(helm.api_versions, ["example.com/v1"]);
    assert_eq!(helm.version.as_deref(), Some("v3"));
    let Tool::Kustomize(kustomize) = &base.tool else {
        panic!("Kustomize");
    };
    assert_eq!(
        (&*kustomize.name_prefix, &*kustomize.name_suffix),
        ("a-", "-b")
    );
    assert_eq!(kustomize.images, ["nginx=nginx:1.27"]);
    assert_eq!(kustomize.replicas, [("web".into(), 3), ("db".into(), 1)]);
    assert_eq!(kustomize.labels.get("team"), Some(&"web".into()));
    assert_eq!(kustomize.annotations.get("note"), Some(&"text".into()));
    assert!(kustomize.force_labels && kustomize.label_without_selector);
    assert!(kustomize.label_include_templates && kustomize.force_annotations);
    assert!(kustomize.annotations_envsubst && kustomize.ignore_missing_components);
    assert_eq!(kustomize.namespace.as_deref(), Some("shop"));
    assert_eq!(kustomize.patches.len(), 1);
    assert_eq!(kustomize.components, ["../component"]);
    assert_eq!(kustomize.kube_version.as_deref(), Some("1.34"));
    assert_eq!(kustomize.api_versions, ["example.com/v2"]);
    assert_eq!(kustomize.version.as_deref(), Some("v5"));
    let Tool::Directory(directory) = &plain.tool else {
        panic!("a directory");
    };
    assert!(directory.recurse && directory.any_extension && directory.jsonnet);
    assert_eq!(
        (&*directory.include, &*directory.exclude),
        ("*.yaml", "test*")
    );
    let automated = app.sync.automated.as_ref().unwrap();
    assert!(automated.prune && automated.self_heal && automated.allow_empty);
    assert_eq!(app.sync.options, ["CreateNamespace=true"]);
    let retry = app.sync.retry.as_ref().unwrap();
    assert_eq!(retry.limit, Some(7));
    assert!(retry.refresh);
    assert_eq!(retry.wait(0), Duration::from_secs(90));
    assert_eq!(retry.wait(2), Duration::from_secs(810));
    assert_eq!(retry.wait(9), Duration::from_secs(3600));
    assert_eq!(app.sync.namespace_labels.get("a"), Some(&"b".into()));
    assert_eq!(app.sync.namespace_annotations.get("c"), Some(&"d".into()));
    let rule = &app.ignore_differences[0];
    assert_eq!((&*rule.group, &*rule.kind), ("apps", "Deployment"));
    assert_eq!((&*rule.name, &*rule.namespace), ("web", "shop"));
    assert_eq!(rule.json_pointers, ["/spec/replicas"]);
    assert_eq!(rule.jq_path_expressions, [".spec.template"]);
    assert_eq!(rule.managed_fields_managers, ["hpa"]);
}

fn simple(name: &str) -> String {
    format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: {name}}}\n\
         spec: {{source: {{repoURL: https://example.com/a.git}}}}\n"
    )
}

#[test]
fn applications_are_found_wherever_they_lie() {
    let tree = MemoryTree::try_from([
        ("apps/a.yaml", simple("a")),
        ("apps/b.yml", format!("{}---\n{}", simple("b"), simple("c"))),
        (
            "chart/Chart.yaml",
            "name: chart\nversion: 1.0.0\n".to_owned(),
        ),
        (
            "chart/templates/app.yaml",
            format!("{{{{ if .Values.on }}}}\n{}{{{{ end }}}}\n", simple("d")),
        ),
        ("templates/e.yaml", simple("e")),
        ("notes.txt", simple("f")),
        ("other.yaml", "kind: ConfigMap\napiVersion: v1\n".to_owned()),
        ("z.yaml", simple("a")),
        ("z-broken.yaml", format!("{}  bad: [", simple("g"))),
    ])
    .unwrap();
    let found = argo::discover(&tree).unwrap();
    let told: Vec<String> = found
        .iter()
        .map(|app| match app {
            Ok(app) => format!("{} at {}", app.name, app.origin),
            Err(error) => format!("error: {error}"),
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    a at apps/a.yaml:1
    b at apps/b.yml:1
    c at apps/b.yml:6
    e at templates/e.yaml:1
    error: z-broken.yaml:5:3: did not find expected key; check the indentation of this line and of those before it
    error: z.yaml:1: Application "a": declared already at apps/a.yaml:1
    "#);
}
