//! Text into values and back.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use gitops_core::{Origin, Value, json, manifest, yaml};

const COUNTS: [usize; 3] = [10, 100, 1000];

fn documents(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("documents");
    for count in COUNTS {
        let text = gitops_benches::objects_text(count);
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_with_input(BenchmarkId::new("yaml", count), &text, |bencher, text| {
            bencher.iter(|| yaml::documents(text.as_bytes()).count());
        });
        let origin = Origin::file("all.yaml");
        group.bench_with_input(
            BenchmarkId::new("manifests", count),
            &text,
            |bencher, text| bencher.iter(|| manifest::parse(text.as_bytes(), &origin)),
        );
    }
    group.finish();
}

fn value(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("value");
    for count in COUNTS {
        let objects: Value = gitops_benches::objects(count)
            .iter()
            .map(|object| object.to_value())
            .collect();
        let text = json::to_string(&objects);
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_with_input(BenchmarkId::new("json", count), &text, |bencher, text| {
            bencher.iter(|| json::parse(text.as_bytes()));
        });
        group.bench_function(BenchmarkId::new("to json", count), |bencher| {
            bencher.iter(|| json::to_string(black_box(&objects)));
        });
        group.bench_function(BenchmarkId::new("to yaml", count), |bencher| {
            bencher.iter(|| yaml::to_string(black_box(&objects)));
        });
        group.bench_function(BenchmarkId::new("to yaml pretty", count), |bencher| {
            bencher.iter(|| yaml::to_string_pretty(black_box(&objects)));
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    documents(&mut criterion);
    value(&mut criterion);
    criterion.final_summary();
}
