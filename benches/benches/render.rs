//! Charts into text, and their templates alone.

use std::hint::black_box;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use gitops_core::tree::MemoryTree;
use gitops_core::{TreePath, Value as Core};
use gitops_render::gotmpl::{
    Context, Failure, File, Functions, Host, Limits, Map, Set, Str, TEMPLATE_FUNCTIONS, Value,
};
use gitops_render::helm::{self, Chart, HelmOptions, LoadLimits, Memo};
use gitops_render::kustomize::{KustomizeOptions, build};
use gitops_render::{Renderer, render};

fn charts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("chart");
    let options = HelmOptions::default();
    let limits = LoadLimits::default();
    for sample in gitops_benches::charts() {
        let tree = &*sample.tree;
        let load = || Chart::load(tree, &TreePath::ROOT, &limits).expect("the chart is whole");
        let chart = Arc::new(load());
        let release = helm::template(&chart, &options).expect("the chart renders");
        // Everything is measured against what comes out.
        group.throughput(Throughput::Bytes(release.to_text().len() as u64));
        group.bench_function(BenchmarkId::new("load", sample.name), |bencher| {
            bencher.iter(load);
        });
        // A clone of a chart has forgotten its parsed templates.
        group.bench_function(
            BenchmarkId::new("parse and execute", sample.name),
            |bencher| {
                bencher.iter_batched(
                    || Arc::new(Chart::clone(&chart)),
                    |chart| helm::template(&chart, &options),
                    BatchSize::SmallInput,
                );
            },
        );
        group.bench_function(BenchmarkId::new("execute", sample.name), |bencher| {
            bencher.iter(|| helm::template(&chart, &options));
        });
        // Each time another value of one key.
        group.bench_function(BenchmarkId::new("again", sample.name), |bencher| {
            let mut memo = Memo::default();
            let mut options = options.clone();
            let mut count = 0;
            bencher.iter(|| {
                count += 1;
                let replicas = ("replicaCount".to_owned(), Core::Int(count));
                options.values = [replicas].into_iter().collect();
                memo.template(&chart, &options)
            });
        });
        group.bench_function(BenchmarkId::new("manifests", sample.name), |bencher| {
            bencher.iter(|| release.manifests(&TreePath::ROOT));
        });
        let renderer = Renderer::Helm(Box::new(options.clone()));
        group.bench_function(BenchmarkId::new("whole", sample.name), |bencher| {
            bencher.iter(|| render(&renderer, tree, &TreePath::ROOT));
        });
    }
    group.finish();
}

fn templates(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("template");
    let functions = Arc::new(Functions::new(&[&TEMPLATE_FUNCTIONS]));
    for count in [10, 1000] {
        let text = Bytes::from(ITEM.repeat(count));
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_with_input(BenchmarkId::new("parse", count), &text, |bencher, text| {
            bencher.iter(|| File::parse("items", text.clone(), &functions));
        });

        let mut set = Set::new("gotpl", functions.clone());
        let text = format!("{LABEL}{{{{ range .items }}}}{ITEM}{{{{ end }}}}");
        set.parse("items", text.as_bytes()).expect("it parses");
        let items = (0..count).map(|index| {
            let item: Map = [
                ("name", Value::from(format!("item-{index}"))),
                ("index", Value::Int(index as i64)),
            ]
            .into_iter()
            .collect();
            Value::Map(item)
        });
        let items: Vec<Value> = items.collect();
        let data: Map = [("items", Value::List(items.into()))].into_iter().collect();
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("execute", count), |bencher| {
            let mut out = Vec::new();
            bencher.iter(|| {
                out.clear();
                Context::new(&set, &Offline, Limits::default())
                    .execute("items", black_box(data.clone().into()), &mut out)
                    .expect("it executes");
            });
        });
    }
    group.finish();
}

const LABEL: &str = r#"{{ define "label" }}name: {{ .name | printf "%q" }}{{ end }}"#;

const ITEM: &str = r#"
{{- $index := .index }}
{{- if and (ge $index 0) (ne .name "none") }}
- {{ include "label" . }}
  index: {{ $index }}
  title: {{ printf "%s of %d" .name $index }}
{{- else if not .name }}
- nothing
{{- end }}
"#;

/// A world in which nothing happens.
struct Offline;

impl Host for Offline {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    fn random(&self, buffer: &mut [u8]) {
        buffer.fill(0);
    }

    fn lookup(&self, _: &str, _: &str, _: &str, _: &str) -> Result<Core, Failure> {
        Ok(gitops_core::Map::new().into())
    }

    fn resolve(&self, _: &str) -> Str {
        Str::new()
    }
}

/// A chart that makes an authority, with a key of 2048 bits, each time another.
fn keys(criterion: &mut Criterion) {
    let tree: MemoryTree = [
        ("Chart.yaml", "{apiVersion: v2, name: keys, version: 0.1.0}"),
        ("templates/ca.yaml", "ca: {{ genCA \"ca\" 30 | toJson }}"),
    ]
    .map(|(path, text)| (path, text.as_bytes().to_vec()))
    .try_into()
    .expect("the paths are good");
    let chart = Chart::load(&tree, &TreePath::ROOT, &LoadLimits::default());
    let chart = Arc::new(chart.expect("the chart is whole"));
    let options = HelmOptions::default();
    criterion.bench_function("key/rsa of 2048 bits", |bencher| {
        bencher.iter(|| helm::template(&chart, &options).expect("the chart renders"));
    });
}

/// Half Deployments and half ConfigMaps that they refer to, with a prefix, a
/// namespace, an image and a label for all.
fn kustomizations(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("kustomization");
    for count in [100, 1000, 4000] {
        let mut objects = String::new();
        for number in 0..count / 2 {
            objects.push_str(&DEPLOYMENT.replace("NUMBER", &number.to_string()));
        }
        let tree: MemoryTree = [
            ("kustomization.yaml", KUSTOMIZATION),
            ("all.yaml", objects.as_str()),
        ]
        .map(|(path, text)| (path, text.as_bytes().to_vec()))
        .try_into()
        .expect("the paths are good");
        let options = KustomizeOptions::default();
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::new("build", count), |bencher| {
            bencher.iter(|| build(&tree, &TreePath::ROOT, &options));
        });
        let built = build(&tree, &TreePath::ROOT, &options).expect("it is built");
        group.bench_function(BenchmarkId::new("text", count), |bencher| {
            bencher.iter(|| built.to_text());
        });
    }
    group.finish();
}

const KUSTOMIZATION: &str = "\
resources: [all.yaml]
namePrefix: p-
namespace: ns
images: [{name: nginx, newTag: '1.27'}]
labels: [{pairs: {team: x}, includeSelectors: true}]
";

const DEPLOYMENT: &str = "\
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: app-NUMBER
spec:
  selector:
    matchLabels: {app: app-NUMBER}
  template:
    metadata:
      labels: {app: app-NUMBER}
    spec:
      containers:
      - name: main
        image: nginx:1.25
        envFrom:
        - configMapRef: {name: cm-NUMBER}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: cm-NUMBER
data:
  a: '1'
";

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    charts(&mut criterion);
    templates(&mut criterion);
    keys(&mut criterion);
    kustomizations(&mut criterion);
    criterion.final_summary();
}
