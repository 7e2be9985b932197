//! Plans, and the server in memory.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use gitops_apply::{LiveOptions, LiveState, PlanOptions, SyncOptions, plan, sync};
use gitops_benches::{APP, NAMESPACE, block_on};

const COUNTS: [usize; 3] = [100, 1000, 10_000];

fn plans(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("plan");
    group.sample_size(10);
    let options = PlanOptions::new(APP, NAMESPACE);
    for count in COUNTS {
        let objects = gitops_benches::objects(count);
        let cluster = gitops_benches::cluster(&objects);
        let looking = LiveOptions::new(APP, NAMESPACE);
        let read = || {
            let live = block_on(LiveState::read(&cluster, &objects, &looking));
            live.expect("the server answers")
        };
        let live = read();
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("live state", count), |bencher| {
            bencher.iter(read);
        });
        group.bench_function(BenchmarkId::new("unchanged", count), |bencher| {
            bencher.iter(|| plan(black_box(&objects), &live, &options));
        });
        let changed = gitops_benches::changed(&objects);
        group.bench_function(BenchmarkId::new("one in ten changed", count), |bencher| {
            bencher.iter(|| plan(black_box(&changed), &live, &options));
        });
        let nothing = LiveState {
            kinds: live.kinds.clone(),
            ..LiveState::default()
        };
        group.bench_function(BenchmarkId::new("new", count), |bencher| {
            bencher.iter(|| plan(black_box(&objects), &nothing, &options));
        });
    }
    group.finish();
}

fn server(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("server");
    group.sample_size(10);
    for count in COUNTS {
        let objects = gitops_benches::objects(count);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("create", count), |bencher| {
            bencher.iter_batched(
                || gitops_benches::cluster(&[]),
                |cluster| block_on(gitops_benches::apply(&cluster, &objects)),
                BatchSize::PerIteration,
            );
        });
        let cluster = gitops_benches::cluster(&objects);
        group.bench_function(BenchmarkId::new("apply unchanged", count), |bencher| {
            bencher.iter(|| block_on(gitops_benches::apply(&cluster, &objects)));
        });
    }
    group.finish();
}

fn syncs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sync");
    group.sample_size(10);
    let options = PlanOptions::new(APP, NAMESPACE);
    for count in [100, 1000] {
        let objects = gitops_benches::objects(count);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("create", count), |bencher| {
            bencher.iter_batched(
                || gitops_benches::cluster(&[]),
                |cluster| {
                    block_on(async {
                        let looking = LiveOptions::new(APP, NAMESPACE);
                        let live = LiveState::read(&cluster, &objects, &looking).await;
                        let live = live.expect("the server answers");
                        let plan = plan(&objects, &live, &options);
                        sync(&plan, &cluster, &SyncOptions::default(), |_| {}).await
                    })
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    plans(&mut criterion);
    server(&mut criterion);
    syncs(&mut criterion);
    criterion.final_summary();
}
