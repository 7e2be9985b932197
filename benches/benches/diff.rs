//! Objects against what a cluster holds.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use gitops_core::app::IgnoreDifference;
use gitops_core::schema::Schemas;
use gitops_core::{Manifest, Map, Origin, Value, json};
use gitops_diff::managed_fields::{self, Writer};
use gitops_diff::smd::Set;
use gitops_diff::{Rules, Sides, diff};

fn objects(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("objects");
    group.sample_size(10);
    for count in [100, 1000, 10_000] {
        let before = gitops_benches::objects(count);
        let live = gitops_benches::cluster(&before).objects();
        let (schemas, rules) = (Schemas::new(), Rules::default());
        let jq = Rules {
            ignore: vec![IgnoreDifference {
                group: "*".into(),
                kind: "*".into(),
                jq_path_expressions: vec![".spec.template.spec.containers[].resources".into()],
                ..IgnoreDifference::default()
            }],
            ..Rules::default()
        };
        let compare = |desired: &[Manifest], rules: &Rules| {
            for object in desired {
                let sides = Sides {
                    desired: Some(object),
                    live: live.get(object.key()),
                    last_applied: None,
                };
                let difference = diff(&sides, &schemas, rules).expect("the two compare");
                black_box(difference.json_patch());
            }
        };
        group.throughput(Throughput::Elements(count as u64));
        let after = gitops_benches::changed(&before);
        for (name, desired, rules) in [
            ("same", &before, &rules),
            ("one in ten changed", &after, &rules),
            ("one in ten changed, ignored by jq", &after, &jq),
        ] {
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                bencher.iter(|| compare(desired, rules));
            });
        }
    }
    group.finish();
}

/// What an API server does with one apply of a Pod with two containers, reading
/// and writing included; `benches/peers-smd` has the same in Go.
fn apply(criterion: &mut Criterion) {
    let config = include_bytes!("../pod.json");
    let schemas = Schemas::new();
    let writer = Writer::new("bench");
    let read = |text: &[u8]| {
        let value = json::parse(text).expect("JSON");
        Manifest::new(value, Origin::default()).expect("an object")
    };
    let first = managed_fields::apply(None, &read(config), &schemas, &writer);
    let live = json::to_string(&Value::Map(first.expect("it applies").object));
    let changed = String::from_utf8_lossy(config).replace("app:1", "app:2");
    let mut group = criterion.benchmark_group("smd");
    group.bench_function("pod apply", |bencher| {
        bencher.iter(|| {
            let (live, config) = (read(live.as_bytes()), read(changed.as_bytes()));
            let applied = managed_fields::apply(Some(&live), &config, &schemas, &writer);
            json::to_string(&Value::Map(applied.expect("it applies").object))
        });
    });
    group.finish();
}

/// One object that grows: maps, lists by key and sets of fields.
fn fields(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fields");
    group.sample_size(10);
    for count in [10, 100, 1000] {
        let desired = large(count, "x");
        let changed = large(count, "y");
        let live = gitops_benches::cluster(std::slice::from_ref(&desired)).objects();
        let live = &live[desired.key()];
        let (schemas, rules) = (Schemas::new(), Rules::default());
        group.throughput(Throughput::Elements(count as u64));
        for (name, desired) in [("object", &desired), ("changed", &changed)] {
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                bencher.iter(|| {
                    let sides = Sides {
                        desired: Some(desired),
                        live: Some(live),
                        last_applied: None,
                    };
                    diff(&sides, &schemas, &rules)
                });
            });
        }
        let entries = live.at(&["metadata", "managedFields"]);
        let owned = entries.and_then(Value::as_list).and_then(<[_]>::first);
        let owned = owned.and_then(|entry| entry.get("fieldsV1"));
        let owned = owned.expect("the server keeps account").clone();
        group.bench_function(BenchmarkId::new("set", count), |bencher| {
            bencher.iter(|| Set::from_fields_v1(black_box(&owned)));
        });
    }
    group.finish();
}

/// A deployment with so many variables of this value, ports and annotations.
fn large(count: usize, value: &str) -> Manifest {
    let mut object = gitops_benches::objects(1).remove(0);
    for index in 0..count {
        object.set_annotation(&format!("example.com/note-{index}"), "x");
    }
    let list = |make: &dyn Fn(usize) -> Map| -> Value {
        (0..count).map(|index| Value::Map(make(index))).collect()
    };
    let variables = list(&|index| {
        let name = format!("VARIABLE_{index}");
        Map::from_iter([("name", Value::from(name)), ("value", value.into())])
    });
    let ports = list(&|index| {
        let number = i64::try_from(index + 1).expect("there are few");
        let name = format!("p{index}");
        Map::from_iter([
            ("name", Value::from(name)),
            ("containerPort", number.into()),
        ])
    });
    let edited = object.edit(|object| {
        let containers = ["spec", "template", "spec", "containers"]
            .iter()
            .try_fold(object, |value, key| value.as_map_mut()?.get_mut(key))
            .and_then(Value::as_list_mut)
            .expect("a deployment has containers");
        let container = containers.make_mut()[0].as_map_mut();
        let container = container.expect("a container is a map");
        container.insert("env", variables);
        container.insert("ports", ports);
    });
    edited.expect("the object keeps its name");
    object
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    apply(&mut criterion);
    objects(&mut criterion);
    fields(&mut criterion);
    criterion.final_summary();
}
