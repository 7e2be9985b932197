//! What is measured: charts and objects of any size, made in code.
//!
//! `cargo bench -p gitops-benches` times every layer by itself. Whatever grows
//! with its input is timed on several sizes with its throughput beside it: a
//! step that is not linear shows as a throughput that falls. With
//! `GITOPS_CASES` naming a directory of case sets, charts of the world are
//! timed too.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use gitops_apply::MemoryCluster;
use gitops_apply::cluster::memory::MemoryOptions;
use gitops_apply::cluster::{Cluster, Write};
use gitops_core::tree::{DirTree, MemoryTree};
use gitops_core::{FileTree, Manifest, Origin, TreePath, manifest};
use gitops_diff::FIELD_MANAGER;

/// The application that the measured objects belong to.
pub const APP: &str = "shop";

/// Its namespace.
pub const NAMESPACE: &str = "default";

/// A chart to render, and what to call it in a report.
pub struct Sample {
    /// The name in the report.
    pub name: &'static str,
    /// The files.
    pub tree: Box<dyn FileTree>,
}

/// A chart of a few templates, one of sixty, and a real one if there is.
pub fn charts() -> Vec<Sample> {
    let mut samples = vec![
        Sample {
            name: "small",
            tree: on_disk(&repository("examples/platform-ops/helm/api-node")),
        },
        Sample {
            name: "large",
            tree: Box::new(chart(20, 5)),
        },
    ];
    if let Some(cases) = std::env::var_os("GITOPS_CASES") {
        let chart = "charts/prometheus-community-helm-charts/kube-prometheus-stack";
        samples.push(Sample {
            name: "kube-prometheus-stack",
            tree: on_disk(&PathBuf::from(cases).join(chart)),
        });
    }
    samples
}

fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(path)
}

/// The files of a directory, read once: no disk is measured.
fn on_disk(dir: &Path) -> Box<dyn FileTree> {
    let source = DirTree::new(dir).expect("the chart is where it should be");
    let mut tree = MemoryTree::new();
    for path in gitops_core::tree::walk(&source, &TreePath::ROOT).expect("it can be listed") {
        let file = source.read(&path).expect("it can be read");
        tree.insert(&path, file.expect("it was listed"));
    }
    Box::new(tree)
}

/// A chart of three templates for each of `components`; each writes an object
/// for each of `zones`.
pub fn chart(components: usize, zones: usize) -> MemoryTree {
    let mut tree = MemoryTree::new();
    let mut add = |path: String, text: String| {
        let path = TreePath::parse(&path).expect("a path within the chart");
        tree.insert(&path, text);
    };
    let mut values = "global:\n  registry: registry.example.com\n  zones:\n".to_owned();
    for zone in 0..zones {
        writeln!(values, "    - name: zone-{zone}\n      weight: {zone}").expect("memory takes it");
    }
    values.push_str("components:\n");
    for component in 0..components {
        let name = format!("part-{component:03}");
        values.push_str(&COMPONENT.replace("NAME", &name));
        for (file, text) in [
            ("deployment", DEPLOYMENT),
            ("service", SERVICE),
            ("settings", SETTINGS),
        ] {
            let path = format!("templates/{name}/{file}.yaml");
            add(path, text.replace("NAME", &name));
        }
    }
    add("values.yaml".into(), values);
    add("Chart.yaml".into(), CHART.into());
    add("templates/_helpers.tpl".into(), HELPERS.into());
    tree
}

/// Objects as a repository would declare them, with their marks: deployments,
/// services and maps of settings by turns.
pub fn objects(count: usize) -> Vec<Manifest> {
    let tracking = gitops_core::inventory::Tracking::new(APP);
    let mut objects = manifest::parse(objects_text(count).as_bytes(), &Origin::file("all.yaml"))
        .expect("the objects are whole");
    for object in &mut objects {
        tracking.mark(object, NAMESPACE);
    }
    objects
}

/// The text of [`objects`], as one stream of documents.
pub fn objects_text(count: usize) -> String {
    let mut text = String::new();
    for index in 0..count {
        let body = [PLAIN_DEPLOYMENT, PLAIN_SERVICE, PLAIN_SETTINGS][index % 3];
        text.push_str("---\n");
        text.push_str(&body.replace("NAME", &format!("part-{index:05}")));
    }
    text
}

/// The text of deployments and maps of settings by turns, in a namespace.
pub fn pairs_text(count: usize, namespace: &str) -> String {
    let mut text = String::new();
    for index in 0..count {
        let body = [PLAIN_DEPLOYMENT, PLAIN_SETTINGS][index % 2];
        let body = body.replace("NAME", &format!("part-{index:05}"));
        text.push_str("---\n");
        text.push_str(&body.replace("namespace: default", &format!("namespace: {namespace}")));
    }
    text
}

/// The same objects with one in ten changed.
pub fn changed(objects: &[Manifest]) -> Vec<Manifest> {
    let mut objects = objects.to_vec();
    for object in objects.iter_mut().step_by(10) {
        object.set_label("release", "next");
    }
    objects
}

/// A server in memory that has these objects.
pub fn cluster(objects: &[Manifest]) -> MemoryCluster {
    let cluster = MemoryCluster::new(MemoryOptions::default());
    block_on(apply(&cluster, objects));
    cluster
}

/// Applies objects, one after the other.
pub async fn apply(cluster: &MemoryCluster, objects: &[Manifest]) {
    let write = Write::by(FIELD_MANAGER);
    for object in objects {
        let applied = cluster.apply(object, &write).await;
        applied.expect("the server takes the object");
    }
}

/// Waits for a future that needs nothing but a clock.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    runtime().block_on(work)
}

/// What [`block_on`] makes for itself, for futures that leave something behind.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime without input and output")
}

const CHART: &str = "apiVersion: v2\nname: large\nversion: 1.0.0\nappVersion: \"2.1\"\n";

const COMPONENT: &str = r#"  NAME:
    image: {repository: team/NAME, tag: "1.2.3"}
    replicas: 3
    ports: [{name: http, port: 8080}, {name: metrics, port: 9090}]
    annotations:
      prometheus.io/scrape: "true"
      prometheus.io/port: "9090"
    env:
      LOG_LEVEL: info
      LISTEN: 0.0.0.0:8080
      DATABASE: "postgres://db.{{ .Release.Namespace }}.svc:5432/NAME"
    resources:
      requests: {cpu: 100m, memory: 128Mi}
      limits: {memory: 256Mi}
    tolerations:
      - {key: dedicated, operator: Equal, value: team, effect: NoSchedule}
      - {key: spot, operator: Exists}
    settings:
      timeouts: {connect: 5, read: 30, write: 30}
      features: [search, cart, checkout]
"#;

const HELPERS: &str = r#"
{{- define "large.name" -}}
{{- printf "%s-%s" .root.Release.Name .name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- define "large.selector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end -}}
{{- define "large.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{ include "large.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end -}}
{{- define "large.image" -}}
{{- $registry := .root.Values.global.registry | default "docker.io" -}}
{{- printf "%s/%s:%s" $registry .image.repository (.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
"#;

const DEPLOYMENT: &str = r#"{{- $part := index .Values.components "NAME" }}
{{- range $index, $zone := .Values.global.zones }}
{{- $scope := dict "root" $ "name" (printf "NAME-%s" $zone.name) "image" $part.image }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "large.name" $scope }}
  labels:
    {{- include "large.labels" $scope | nindent 4 }}
    zone: {{ $zone.name | quote }}
  {{- with $part.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  replicas: {{ add $part.replicas $zone.weight }}
  selector:
    matchLabels:
      {{- include "large.selector" $scope | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "large.selector" $scope | nindent 8 }}
      annotations:
        checksum/settings: {{ toYaml $part.settings | sha256sum }}
    spec:
      containers:
        - name: NAME
          image: {{ include "large.image" $scope | quote }}
          ports:
            {{- range $part.ports }}
            - name: {{ .name }}
              containerPort: {{ .port }}
              protocol: {{ .protocol | default "TCP" }}
            {{- end }}
          env:
            {{- range $key, $value := $part.env }}
            - name: {{ $key }}
              value: {{ tpl $value $ | quote }}
            {{- end }}
          resources:
            {{- toYaml $part.resources | nindent 12 }}
      {{- if gt (len $part.tolerations) 0 }}
      tolerations:
        {{- toYaml $part.tolerations | nindent 8 }}
      {{- end }}
{{- end }}
"#;

const SERVICE: &str = r#"{{- $part := index .Values.components "NAME" }}
{{- range $zone := .Values.global.zones }}
{{- $scope := dict "root" $ "name" (printf "NAME-%s" $zone.name) }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ include "large.name" $scope }}
  labels:
    {{- include "large.labels" $scope | nindent 4 }}
spec:
  selector:
    {{- include "large.selector" $scope | nindent 4 }}
  ports:
    {{- range $part.ports }}
    - name: {{ .name }}
      port: {{ .port }}
      targetPort: {{ .name }}
    {{- end }}
{{- end }}
"#;

const SETTINGS: &str = r#"{{- $part := index .Values.components "NAME" }}
{{- range $zone := .Values.global.zones }}
{{- $scope := dict "root" $ "name" (printf "NAME-%s" $zone.name) }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "large.name" $scope }}
  labels:
    {{- include "large.labels" $scope | nindent 4 }}
data:
  settings.json: {{ $part.settings | toJson | quote }}
  settings.yaml: |
    {{- merge (dict "zone" $zone.name) $part.settings | toYaml | nindent 4 }}
{{- end }}
"#;

const PLAIN_DEPLOYMENT: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata:
  name: NAME
  namespace: default
  labels:
    app.kubernetes.io/name: NAME
    app.kubernetes.io/part-of: shop
spec:
  replicas: 3
  selector:
    matchLabels:
      app.kubernetes.io/name: NAME
  template:
    metadata:
      labels:
        app.kubernetes.io/name: NAME
    spec:
      containers:
      - name: main
        image: registry.example.com/shop/NAME:1.2.3
        args: ["--listen", "0.0.0.0:8080"]
        env:
        - name: LOG_LEVEL
          value: info
        - name: POD_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        ports:
        - name: http
          containerPort: 8080
        resources:
          requests:
            cpu: 100m
            memory: 128Mi
          limits:
            memory: 256Mi
        readinessProbe:
          httpGet:
            path: /readyz
            port: http
"#;

const PLAIN_SERVICE: &str = r#"apiVersion: v1
kind: Service
metadata:
  name: NAME
  namespace: default
  labels:
    app.kubernetes.io/name: NAME
    app.kubernetes.io/part-of: shop
spec:
  selector:
    app.kubernetes.io/name: NAME
  ports:
  - name: http
    port: 80
    targetPort: http
  - name: metrics
    port: 9090
    targetPort: metrics
"#;

const PLAIN_SETTINGS: &str = r#"apiVersion: v1
kind: ConfigMap
metadata:
  name: NAME
  namespace: default
  labels:
    app.kubernetes.io/name: NAME
    app.kubernetes.io/part-of: shop
data:
  LOG_LEVEL: info
  settings.yaml: |
    timeouts:
      connect: 5
      read: 30
    features:
    - search
    - cart
"#;
