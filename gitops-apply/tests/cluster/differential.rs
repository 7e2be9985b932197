//! Prediction, the server in memory and a real one, step by step.
//!
//! Several managers apply, force, replace and patch a few objects at random.
//! After each step the three are compared: the object, its owners (times
//! aside), conflicts and refusals. What a prediction calls exact has to be.
//!
//! `GITOPS_TEST_STEPS` says how many steps (200 unless it is set), and
//! `GITOPS_TEST_SEED` which ones.

use gitops_apply::cluster::memory::MemoryOptions;
use gitops_apply::cluster::{Cluster, Write};
use gitops_apply::{ClusterError, MemoryCluster};
use gitops_core::schema::Schemas;
use gitops_core::{Manifest, Map, Origin, Value, json};
use gitops_diff::predict::{self, predict};

use super::world::{Dice, yaml};

const DEFINITIONS: [&str; 2] = [
    "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: plains.diff.example.com}
spec:
  group: diff.example.com
  names: {kind: Plain, plural: plains, singular: plain, listKind: PlainList}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              text: {type: string, maxLength: 10}
              count: {type: integer, default: 3}
              any: {type: object, x-kubernetes-preserve-unknown-fields: true}
              tags: {type: array, x-kubernetes-list-type: set, items: {type: string}}
",
    "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: listeds.diff.example.com}
spec:
  group: diff.example.com
  names: {kind: Listed, plural: listeds, singular: listed, listKind: ListedList}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
          spec:
            type: object
            properties:
              items:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name, zone]
                items:
                  type: object
                  required: [name]
                  properties:
                    name: {type: string}
                    zone: {type: string, default: a}
                    value: {type: string}
                    size: {x-kubernetes-int-or-string: true}
              fixed:
                type: object
                x-kubernetes-map-type: atomic
                properties: {a: {type: string}, b: {type: string}}
",
];

const KINDS: [&str; 7] = [
    "ConfigMap",
    "Secret",
    "PodTemplate",
    "Service",
    "Deployment",
    "Plain",
    "Listed",
];

/// A random object of a kind, as a manager might declare it.
fn object(dice: &mut Dice, kind: &str, namespace: &str) -> Manifest {
    let version = match kind {
        "Deployment" => "apps/v1",
        "Plain" | "Listed" => "diff.example.com/v1",
        _ => "v1",
    };
    let mut labels = Vec::new();
    for name in ["team", "tier"] {
        if dice.roll(3) == 0 {
            labels.push(format!("{name}: {}", dice.one(&["a", "b"])));
        }
    }
    let mut text = format!(
        "apiVersion: {version}\nkind: {kind}\nmetadata:\n  name: it\n  namespace: {namespace}\n"
    );
    if !labels.is_empty() {
        text += &format!("  labels: {{{}}}\n", labels.join(", "));
    }
    match kind {
        "ConfigMap" | "Secret" => {
            let mut data = Vec::new();
            for name in ["x", "y", "z"] {
                if dice.likely() {
                    let value = match kind {
                        "Secret" => dice.one(&["YQ==", "Yg==", "\"\""]),
                        _ => dice.one(&["a", "b", "\"\""]),
                    };
                    data.push(format!("{name}: {value}"));
                }
            }
            if dice.likely() {
                text += &format!("data: {{{}}}\n", data.join(", "));
            }
            if dice.roll(12) == 0 {
                text += "dato: {}\n";
            }
        }
        "PodTemplate" => {
            text += "template:\n  metadata: {labels: {app: it}}\n  spec:\n";
            text += &pod(dice, "    ");
        }
        "Deployment" => {
            text += "spec:\n  paused: true\n  selector: {matchLabels: {app: it}}\n";
            if dice.likely() {
                text += &format!("  replicas: {}\n", dice.roll(1));
            }
            if dice.roll(3) == 0 {
                text += "  strategy: {type: Recreate}\n";
            }
            text += "  template:\n    metadata: {labels: {app: it}}\n    spec:\n";
            text += &pod(dice, "      ");
        }
        "Service" => {
            text += "spec:\n  ports:\n";
            for (name, port) in [("web", "80"), ("api", "81")] {
                if name == "web" || dice.likely() {
                    let target = dice.one(&["8080", "9090", "http"]);
                    let protocol = dice.one(&["", ", protocol: TCP", ", protocol: UDP"]);
                    text += &format!(
                        "  - {{name: {name}, port: {port}, targetPort: {target}{protocol}}}\n"
                    );
                }
            }
            if dice.likely() {
                text += &format!("  selector: {{app: {}}}\n", dice.one(&["a", "b"]));
            }
        }
        "Plain" => {
            text += "spec:\n";
            text += &format!("  text: {}\n", dice.one(&["short", "\"\"", "far-too-long"]));
            if dice.likely() {
                text += &format!("  count: {}\n", dice.roll(4));
            }
            if dice.likely() {
                let value = dice.one(&["{a: 1}", "{b: [1, 2]}", "{a: {c: x}}", "{}"]);
                text += &format!("  any: {value}\n");
            }
            if dice.likely() {
                let value = dice.one(&["[p, q]", "[q, r]", "[]", "[p, p]"]);
                text += &format!("  tags: {value}\n");
            }
        }
        _ => {
            text += "spec:\n  items:\n";
            for (name, zone) in [("m", ""), ("m", ", zone: b"), ("n", ", zone: a")] {
                if name == "m" && zone.is_empty() || dice.likely() {
                    let value = dice.one(&["", ", value: v", ", value: w", ", size: 1"]);
                    text += &format!("  - {{name: {name}{zone}{value}}}\n");
                }
            }
            if dice.likely() {
                let value = dice.one(&["{a: x}", "{b: y}", "{a: x, b: y}"]);
                text += &format!("  fixed: {value}\n");
            }
        }
    }
    yaml(&text)
}

fn pod(dice: &mut Dice, indent: &str) -> String {
    let mut text = format!("{indent}containers:\n");
    for name in ["app", "side"] {
        if name == "app" || dice.likely() {
            text += &format!("{indent}- name: {name}\n");
            text += &format!(
                "{indent}  image: {}\n",
                dice.one(&["i:1", "i:2", "i:latest"])
            );
            if dice.roll(2) == 0 {
                let port = dice.one(&["80", "81"]);
                let protocol = dice.one(&["", ", protocol: TCP", ", protocol: UDP"]);
                text += &format!("{indent}  ports: [{{containerPort: {port}{protocol}}}]\n");
            }
            if dice.roll(2) == 0 {
                let value = dice.one(&["'1'", "'2'", "''"]);
                text += &format!("{indent}  env: [{{name: A, value: {value}}}]\n");
            }
            if dice.roll(3) == 0 {
                let cpu = dice.one(&["100m", "'1'", "1000m", "0.5"]);
                text += &format!("{indent}  resources: {{limits: {{cpu: {cpu}}}}}\n");
            }
        }
    }
    if dice.roll(3) == 0 {
        text += &format!(
            "{indent}volumes: [{{name: v, {}}}]\n",
            dice.one(&["emptyDir: {}", "configMap: {name: c}"])
        );
    }
    if dice.roll(3) == 0 {
        text += &format!(
            "{indent}terminationGracePeriodSeconds: {}\n",
            10 * dice.roll(3)
        );
    }
    text
}

/// An object without what is each server's own: identities, times, and what
/// controllers write.
fn comparable(object: &Map) -> Map {
    let mut object = object.clone();
    // Controllers write the status of built-in kinds.
    let kind = object.get("kind").and_then(Value::as_str);
    let is_ours = kind == Some("Listed");
    if !is_ours {
        object.remove("status");
    }
    if let Some(Value::Map(spec)) = object.get_mut("spec") {
        for name in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            spec.remove(name);
        }
    }
    if let Some(Value::Map(metadata)) = object.get_mut("metadata") {
        for name in ["uid", "creationTimestamp", "resourceVersion", "generation"] {
            metadata.remove(name);
        }
        if let Some(Value::List(owners)) = metadata.get_mut("managedFields") {
            let mut kept: Vec<Value> = owners
                .iter()
                .filter(|owner| is_ours || owner.get("subresource").is_none())
                .cloned()
                .collect();
            for owner in &mut kept {
                if let Value::Map(owner) = owner {
                    owner.remove("time");
                }
            }
            // By time as each server tells it, so the order is its own.
            kept.sort_by_cached_key(json::to_string);
            metadata.insert("managedFields", Value::from_iter(kept));
        }
    }
    object
}

/// What differs between two answers, for a message.
fn difference(a: &Result<String, String>, b: &Result<String, String>) -> String {
    match (a, b) {
        (Ok(a), Ok(b)) => {
            let read = |text: &str| json::parse(text.as_bytes()).expect("JSON");
            let patch = gitops_diff::patch::json::diff(&read(a), &read(b));
            let lines = patch.0.iter().map(|operation| format!("{operation:?}"));
            lines.collect::<Vec<_>>().join("\n")
        }
        (Ok(_), Err(b)) => format!("taken\n{b}"),
        (Err(a), Ok(_)) => format!("{a}\ntaken"),
        (Err(a), Err(b)) => format!("{a}\n{b}"),
    }
}

fn shown(object: &Map) -> String {
    json::to_string(&Value::Map(comparable(object)))
}

/// An answer in a form that can be compared.
fn answer(result: &Result<Manifest, ClusterError>) -> Result<String, String> {
    match result {
        Ok(object) => Ok(shown(object.object())),
        Err(ClusterError::Conflict {
            fields, message, ..
        }) if !fields.is_empty() => {
            let mut lines: Vec<&str> = message.split('\n').collect();
            lines.sort_unstable();
            Err(format!("conflict: {}", lines.join("\n")))
        }
        Err(_) => Err("refused".to_owned()),
    }
}

#[derive(Debug)]
enum Step {
    Apply { force: bool },
    Replace,
    Patch,
    Status { force: bool },
}

/// Runs the steps, and panics at the first that differs.
pub(crate) async fn prediction_memory_and_server_agree<C: Cluster>(server: &C, namespace: &str) {
    let number = |name: &str, default: u64| {
        let text = std::env::var(name).ok();
        text.map_or(default, |text| text.parse().expect("a number"))
    };
    let steps = number("GITOPS_TEST_STEPS", 200);
    let mut dice = Dice(number("GITOPS_TEST_SEED", 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let memory = MemoryCluster::new(MemoryOptions::default());
    let mut schemas = Schemas::new();
    let setup = Write {
        force: true,
        ..Write::by("setup")
    };
    let place = yaml(&format!(
        "{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}}}}}"
    ));
    memory.apply(&place, &setup).await.expect("a namespace");
    for definition in DEFINITIONS {
        let definition = yaml(definition);
        memory
            .apply(&definition, &setup)
            .await
            .expect("a definition");
        server
            .apply(&definition, &setup)
            .await
            .expect("a definition");
        schemas.add_crd(&definition).expect("a schema");
    }
    for kind in ["Plain", "Listed"] {
        let probe = yaml(&format!(
            "{{apiVersion: diff.example.com/v1, kind: {kind}, \
               metadata: {{name: probe, namespace: {namespace}}}}}"
        ));
        let until = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
        while server.apply(&probe, &setup).await.is_err() {
            assert!(tokio::time::Instant::now() < until, "{kind} is not served");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            server.discover().await.expect("a server");
        }
    }
    let (mut exact, mut right, mut refused) = (0, 0, 0);
    for number in 0..steps {
        let kind = KINDS[dice.roll(KINDS.len())];
        let manager = dice.one(&["alice", "bob", "carol"]);
        let wanted = object(&mut dice, kind, namespace);
        let key = wanted.key().clone();
        let before = server
            .get(&key, &wanted.gvk().version)
            .await
            .expect("an answer");
        let step = match (dice.roll(8), &before) {
            (0 | 1, Some(_)) => Step::Replace,
            (2, Some(_)) => Step::Patch,
            (3 | 4, Some(_)) if kind == "Listed" => Step::Status {
                force: dice.roll(2) == 0,
            },
            (turn, _) => Step::Apply { force: turn > 4 },
        };
        let write = Write {
            force: matches!(
                step,
                Step::Apply { force: true } | Step::Status { force: true }
            ),
            ..Write::by(manager)
        };
        let context = format!("step {number}: {manager} {step:?} {kind}");
        let (theirs, ours) = match step {
            Step::Apply { force } => {
                let options = predict::Options {
                    force,
                    ..predict::Options::new(manager)
                };
                let predicted = predict(before.as_ref(), &wanted, &schemas, &options);
                let theirs = server.apply(&wanted, &write).await;
                let ours = memory.apply(&wanted, &write).await;
                let found = match (&predicted.object, &predicted.refusal) {
                    (Some(object), _) => Ok(shown(object)),
                    (None, Some(_)) if predicted.conflicts.is_empty() => Err("refused".into()),
                    (None, refusal) => {
                        let text = refusal.as_deref().unwrap_or_default();
                        let mut lines: Vec<&str> = text.split('\n').collect();
                        lines.sort_unstable();
                        Err(format!("conflict: {}", lines.join("\n")))
                    }
                };
                let same = found == answer(&theirs);
                right += usize::from(same);
                refused += usize::from(theirs.is_err());
                if predicted.is_exact() {
                    exact += 1;
                    assert!(
                        same,
                        "{context} should be exact: {}\n{theirs:?}\n{}\n{}",
                        difference(&found, &answer(&theirs)),
                        json::to_string(&wanted.to_value()),
                        before
                            .as_ref()
                            .map(|live| shown(live.object()))
                            .unwrap_or_default()
                    );
                    if let (Some(before), Ok(after)) = (&before, &theirs) {
                        let version = |object: &Manifest| {
                            object.at(&["metadata", "resourceVersion"]).cloned()
                        };
                        let wrote = version(before) != version(after);
                        assert_eq!(predicted.writes, wrote, "{context}: whether it writes");
                    }
                } else if !same && std::env::var_os("GITOPS_TEST_VERBOSE").is_some() {
                    eprintln!(
                        "{context}: {}\n{:?}\n{theirs:?}",
                        difference(&found, &answer(&theirs)),
                        predicted.doubts()
                    );
                }
                (theirs, ours)
            }
            Step::Replace => {
                // Fields that others set stay, as with a client that reads first.
                let pinned = |live: &Manifest, wanted: &Manifest| {
                    let mut object = live.to_value();
                    gitops_diff::patch::merge::merge(&mut object, &wanted.to_value());
                    // Controllers may write at the same moment.
                    let metadata = object.as_map_mut().and_then(|map| map.get_mut("metadata"));
                    if let Some(Value::Map(metadata)) = metadata.filter(|_| kind == "Deployment") {
                        metadata.remove("resourceVersion");
                    }
                    Manifest::new(object, Origin::default()).expect("an object")
                };
                let live = before.as_ref().expect("it is there");
                let own = memory
                    .get(&key, "")
                    .await
                    .expect("an answer")
                    .expect("it is there");
                let theirs = server.replace(&pinned(live, &wanted), &write).await;
                (theirs, memory.replace(&pinned(&own, &wanted), &write).await)
            }
            // What is sent beside the status is left out.
            Step::Status { .. } => {
                let mut object = wanted.to_value();
                let mut status = Map::new();
                for name in ["phase", "reason"] {
                    if dice.likely() {
                        status.insert(name, dice.one(&["a", "b"]));
                    }
                }
                let map = object.as_map_mut().expect("an object");
                map.insert("status", status);
                let object = Manifest::new(object, Origin::default()).expect("an object");
                let write = Write {
                    subresource: "status".into(),
                    ..write
                };
                let theirs = server.apply(&object, &write).await;
                (theirs, memory.apply(&object, &write).await)
            }
            Step::Patch => {
                let patch = Map::from_iter([(
                    "metadata",
                    Map::from_iter([(
                        "labels",
                        Map::from_iter([("team", Value::from(dice.one(&["a", "c"])))]),
                    )]),
                )]);
                let patch = Value::Map(patch);
                let theirs = server.patch(&key, &patch, &write).await;
                (theirs, memory.patch(&key, &patch, &write).await)
            }
        };
        let said = theirs.as_ref().err().map(ToString::to_string);
        let (ours, theirs) = (answer(&ours), answer(&theirs));
        assert!(
            ours == theirs,
            "{context}, in memory: {}\n{said:?}\n{}\n{}\n{}",
            difference(&ours, &theirs),
            json::to_string(&wanted.to_value()),
            before
                .as_ref()
                .map(|live| shown(live.object()))
                .unwrap_or_default(),
            ours.as_ref().map_or("", |ours| ours),
        );
    }
    eprintln!("{steps} steps, {refused} refused, {right} predicted, {exact} exactly");
}
