//! Plans, and the server in memory.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use gitops_apply::cluster::cache::CacheOptions;
use gitops_apply::{
    LiveOptions, LiveState, PlanOptions, ReconcileOptions, Reconciler, Repositories, SyncOptions,
    plan, sync,
};
use gitops_benches::{APP, NAMESPACE, block_on};
use gitops_core::app::{App, argo};
use gitops_core::{Manifest, Origin};
use gix::objs::tree::EntryKind;
use jiff::Timestamp;

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

/// Looks at an application that is as it is declared.
fn looks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("look");
    group.sample_size(10);
    for count in [100, 1000] {
        let (place, app) = repository(count);
        let objects = gitops_benches::objects(count);
        let cluster = gitops_benches::cluster(&objects);
        let mut repositories = Repositories::default();
        repositories.map(&app.sources[0].repo_url, &place.path().to_string_lossy());
        let repositories = Arc::new(repositories);
        let runtime = gitops_benches::runtime();
        group.throughput(Throughput::Elements(count as u64));
        for (name, rendered) in [("rendered", 0), ("kept", count)] {
            let options = ReconcileOptions {
                rendered,
                cache: Some(CacheOptions::default()),
                ..ReconcileOptions::default()
            };
            let mut reconciler = Reconciler::new(&cluster, repositories.clone(), options);
            let mut look = || {
                let status = runtime.block_on(reconciler.refresh(&app, Timestamp::UNIX_EPOCH));
                assert_eq!(status.resources.len(), count, "{status}");
            };
            look();
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                bencher.iter(&mut look)
            });
        }
    }
    group.finish();
}

/// An application of as many objects, in a repository.
fn repository(count: usize) -> (tempfile::TempDir, App) {
    let place = tempfile::tempdir().expect("a directory");
    let repository = gix::init_bare(place.path()).expect("a repository");
    let author = gix::actor::SignatureRef {
        name: "Ada".into(),
        email: "ada@example.com".into(),
        time: "1700000000 +0100",
    };
    let mut tree = repository.empty_tree().edit().expect("a tree");
    for (index, object) in gitops_benches::objects(count).iter().enumerate() {
        let text = gitops_core::json::to_string(&object.to_value());
        let blob = repository.write_blob(text).expect("a blob");
        tree.upsert(format!("{index}.json"), EntryKind::Blob, blob)
            .expect("a file");
    }
    let tree = tree.write().expect("a tree");
    let none: [gix::ObjectId; 0] = [];
    repository
        .commit_as(author, author, "HEAD", "Everything.", tree, none)
        .expect("a commit");
    let app = format!(
        r#"{{"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {{"name": {APP:?}}},
            "spec": {{"project": "default",
                "source": {{"repoURL": "https://example.com/shop", "path": ".", "targetRevision": "HEAD"}},
                "destination": {{"name": "in-cluster", "namespace": {NAMESPACE:?}}}}}}}"#
    );
    let app = gitops_core::json::parse(app.as_bytes()).expect("JSON");
    let app = Manifest::new(app, Origin::file("app.json")).expect("an object");
    (place, argo::from_manifest(&app).expect("an application"))
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    plans(&mut criterion);
    server(&mut criterion);
    syncs(&mut criterion);
    looks(&mut criterion);
    criterion.final_summary();
}
