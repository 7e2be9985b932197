//! What counts as a difference, what is shown of it, and laws that hold for
//! all input.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "cases/patches.rs"]
mod patches;
#[path = "cases/predictions.rs"]
mod predictions;

use gitops_core::app::IgnoreDifference;
use gitops_core::schema::Schemas;
use gitops_core::{Manifest, Map, Origin, Str, Value, defaults, json, manifest, yaml};
use gitops_diff::managed_fields::{self, Writer};
use gitops_diff::smd::{ApplyError, Typed};
use gitops_diff::{Change, DiffError, Difference, Outcome, Rules, Sides, diff};
use proptest::prelude::*;

fn read(text: &str) -> Manifest {
    let mut found = manifest::parse(text.as_bytes(), &Origin::default()).unwrap();
    assert_eq!(found.len(), 1, "one document is wanted");
    found.remove(0)
}

/// What `manager` makes of `live` by applying `config`, by force.
fn applied(live: Option<&Manifest>, config: &str, manager: &str) -> Manifest {
    let writer = Writer {
        force: true,
        ..Writer::new(manager)
    };
    let applied = managed_fields::apply(live, &read(config), &Schemas::new(), &writer).unwrap();
    Manifest::new(Value::Map(applied.object), Origin::default()).unwrap()
}

/// What `manager` makes of `live` by writing `new` over it.
fn updated(live: &Manifest, new: &str, manager: &str) -> Manifest {
    let writer = Writer::new(manager);
    let object = managed_fields::update(Some(live), &read(new), &Schemas::new(), &writer).unwrap();
    Manifest::new(Value::Map(object), Origin::default()).unwrap()
}

fn compare_by(desired: &str, live: &Manifest, rules: &Rules) -> Difference {
    let desired = read(desired);
    let sides = Sides {
        desired: Some(&desired),
        live: Some(live),
        last_applied: None,
    };
    diff(&sides, &Schemas::new(), rules).unwrap()
}

fn compare(desired: &str, live: &str) -> Difference {
    compare_by(desired, &read(live), &Rules::default())
}

fn paths(difference: &Difference) -> Vec<String> {
    let changes = difference.changes.iter();
    changes.map(|change| change.path.to_string()).collect()
}

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: nginx:1.27
        ports: [{containerPort: 80}]
        resources: {limits: {cpu: 1000m, memory: 1024Mi}}
";

/// The same as a server gives it back.
const LIVE: &str = "
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
  uid: 5b7f
  resourceVersion: '17'
  generation: 3
  creationTimestamp: 2026-01-01T00:00:00Z
  annotations: {deployment.kubernetes.io/revision: '1'}
spec:
  replicas: 2
  revisionHistoryLimit: 10
  progressDeadlineSeconds: 600
  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 25%, maxUnavailable: 25%}}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {creationTimestamp: null, labels: {app: web}}
    spec:
      containers:
      - name: web
        image: nginx:1.27
        imagePullPolicy: IfNotPresent
        ports: [{containerPort: 80, protocol: TCP}]
        resources: {limits: {cpu: '1', memory: 1Gi}}
        terminationMessagePath: /dev/termination-log
        terminationMessagePolicy: File
      dnsPolicy: ClusterFirst
      restartPolicy: Always
      schedulerName: default-scheduler
      securityContext: {}
      terminationGracePeriodSeconds: 30
status: {replicas: 2, readyReplicas: 2}
";

#[test]
fn defaults_and_equal_quantities_are_no_difference() {
    let same = compare(DEPLOYMENT, LIVE);
    assert_eq!(same.outcome, Outcome::Same, "{same}");
    assert!(same.json_patch().0.is_empty());
    assert_eq!(same.unified(false).unwrap(), "");
}

/// Long texts are compared, however much of them differs.
#[test]
fn long_texts_are_compared_by_lines_that_stand_out() {
    let config = |line: &dyn Fn(usize) -> String| {
        let text: String = (0..30_000).map(|at| line(at) + "\n").collect();
        let text = serde_json::to_string(&text).unwrap();
        format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: a}}, data: {{text: {text}}}}}"
        )
    };
    let before = config(&|at| format!("line {at}"));
    let all = config(&|at| format!("other {at}"));
    let shown = compare(&all, &before).unified(false).unwrap();
    assert_eq!(
        shown.lines().filter(|line| line.starts_with('-')).count(),
        30_001
    );
    assert_eq!(
        shown.lines().filter(|line| line.starts_with('+')).count(),
        30_001
    );
    let some = config(&|at| match at % 10_000 {
        5_000 => format!("other {at}"),
        _ => format!("line {at}"),
    });
    let shown = compare(&some, &before).unified(false).unwrap();
    let hunks = shown.lines().filter(|line| line.starts_with("@@"));
    assert_eq!(
        hunks.collect::<Vec<_>>(),
        [
            "@@ -5001,7 +5001,7 @@",
            "@@ -15001,7 +15001,7 @@",
            "@@ -25001,7 +25001,7 @@"
        ]
    );
    let changed = shown.lines().filter(|line| line.starts_with(['-', '+']));
    assert_eq!(changed.count(), 8);
}

#[test]
fn what_is_equal_by_meaning_is_not_shown_beside_what_is_not() {
    let live = LIVE.replace("replicas: 2", "replicas: 5");
    let difference = compare(DEPLOYMENT, &live);
    assert_eq!(paths(&difference), [".spec.replicas"]);
    let patch = serde_json::to_string(&difference.json_patch()).unwrap();
    assert_eq!(
        patch,
        r#"[{"op":"replace","path":"/spec/replicas","value":2}]"#
    );
}

#[test]
fn fields_of_others_stay() {
    let live = LIVE
        .replace("replicas: 2", "replicas: 5")
        .replace("annotations: {", "annotations: {example.com/owner: other, ");
    let desired = DEPLOYMENT.replace("  replicas: 2\n", "");
    assert_eq!(compare(&desired, &live).outcome, Outcome::Same);
}

#[test]
fn a_field_that_is_applied_no_more_goes() {
    let config = |data: &str| {
        format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: a}}, data: {data}}}")
    };
    let live = applied(None, &config("{a: '1', b: '2'}"), "gitops");
    let difference = compare_by(&config("{a: '1'}"), &live, &Rules::default());
    assert_eq!(paths(&difference), [".data.b"]);
    assert_eq!(difference.changes[0].after, None);
    // Unless somebody else has taken it up.
    let live = applied(Some(&live), &config("{b: '2'}"), "other");
    let difference = compare_by(&config("{a: '1'}"), &live, &Rules::default());
    assert_eq!(difference.outcome, Outcome::Same, "{difference}");
}

#[test]
fn what_was_last_applied_tells_what_to_remove_from_an_unmanaged_object() {
    let config = |data: &str| {
        format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: a}}, data: {data}}}")
    };
    let live = read(&config("{a: '1', b: '2', c: '3'}"));
    let (last, desired) = (read(&config("{a: '1', b: '2'}")), read(&config("{a: '1'}")));
    let sides = Sides {
        desired: Some(&desired),
        live: Some(&live),
        last_applied: Some(&last),
    };
    let difference = diff(&sides, &Schemas::new(), &Rules::default()).unwrap();
    assert_eq!(paths(&difference), [".data.b"]);
    let sides = Sides {
        last_applied: None,
        ..sides
    };
    let difference = diff(&sides, &Schemas::new(), &Rules::default()).unwrap();
    assert_eq!(difference.outcome, Outcome::Same);
}

#[test]
fn drift_names_who_caused_it() {
    let live = applied(None, DEPLOYMENT, "gitops");
    let scaled = DEPLOYMENT.replace("replicas: 2", "replicas: 5");
    let live = updated(&live, &scaled, "kubectl-scale");
    let difference = compare_by(DEPLOYMENT, &live, &Rules::default());
    insta::assert_snapshot!(
        difference,
        @"apps/Deployment:shop/web: 1 field: .spec.replicas 5 → 2 (drifted, by kubectl-scale)"
    );
}

#[test]
fn what_a_client_applied_leaves_nothing_behind() {
    const LAST: &str = "kubectl.kubernetes.io/last-applied-configuration";
    const CLIENT: &str = "kubectl-client-side-apply";
    let config = |data: &str| {
        format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: a}}, data: {data}}}")
    };
    let mut old = read(&config("{a: '1', b: '2'}"));
    old.set_annotation(LAST, json::to_string(&old.to_value()));
    let nothing = read(&config("{}"));
    let live = updated(&nothing, &yaml::to_string(&old.to_value()).unwrap(), CLIENT);
    // Somebody else's fields stay what they are.
    let live = applied(Some(&live), &config("{c: '3'}"), "other");
    let desired = config("{a: '1'}");

    // Beside the client, nothing ever goes.
    let beside = applied(Some(&live), &desired, "gitops");
    assert!(beside.at(&["data", "b"]).is_some() && beside.annotation(LAST).is_some());

    let taken = managed_fields::taken_over(&live, CLIENT, "gitops").unwrap();
    let difference = compare_by(&desired, &taken, &Rules::default());
    assert_eq!(paths(&difference), [".data.b", ".metadata.annotations"]);
    let after = applied(Some(&taken), &desired, "gitops");
    assert_eq!(
        after.at(&["data"]),
        Some(&Map::from_iter([("a", "1"), ("c", "3")]).into())
    );
    assert_eq!(after.annotation(LAST), None);
    let owners = managed_fields::entries(after.object());
    let owners: Vec<&str> = owners.iter().map(|entry| entry.manager.as_str()).collect();
    assert_eq!(owners, ["gitops", "other"]);
    // And there is nothing more to take over.
    assert!(managed_fields::taken_over(&after, CLIENT, "gitops").is_none());
}

fn ignoring(rule: IgnoreDifference) -> Rules {
    Rules {
        ignore: vec![IgnoreDifference {
            group: "apps".into(),
            kind: "Deployment".into(),
            ..rule
        }],
        ..Rules::default()
    }
}

#[test]
fn ignored_pointers_are_no_difference() {
    let live = LIVE
        .replace("replicas: 2", "replicas: 5")
        .replace("nginx:1.27", "nginx:1.26");
    let pointers = |pointers: &[&str]| {
        ignoring(IgnoreDifference {
            json_pointers: pointers.iter().map(|&pointer| pointer.into()).collect(),
            ..IgnoreDifference::default()
        })
    };
    let found = compare_by(DEPLOYMENT, &read(&live), &pointers(&["/spec/replicas"]));
    assert_eq!(
        paths(&found),
        [".spec.template.spec.containers[name=\"web\"].image"]
    );
    assert!(
        !found.unified(false).unwrap().contains("replicas: 5\n+"),
        "{}",
        found.unified(false).unwrap()
    );
    let both = pointers(&["/spec/replicas", "/spec/template/spec/containers/0/image"]);
    let found = compare_by(DEPLOYMENT, &read(&live), &both);
    assert_eq!(found.outcome, Outcome::Same, "{found}");
}

#[test]
fn ignored_pointers_reach_into_atomic_lists() {
    let args =
        |args: &str| DEPLOYMENT.replace("    image:", &format!("    args: {args}\n        image:"));
    let live = read(&args("[serve, --seed=17]"));
    let rules = ignoring(IgnoreDifference {
        json_pointers: vec!["/spec/template/spec/containers/0/args/1".into()],
        ..IgnoreDifference::default()
    });
    let found = compare_by(&args("[serve, --seed=1]"), &live, &rules);
    assert_eq!(found.outcome, Outcome::Same, "{found}");
    let found = compare_by(&args("[run, --seed=1]"), &live, &rules);
    assert_eq!(
        paths(&found),
        [".spec.template.spec.containers[name=\"web\"].args"]
    );
}

fn by_jq(expressions: &[&str]) -> Rules {
    ignoring(IgnoreDifference {
        jq_path_expressions: expressions.iter().map(|&text| text.into()).collect(),
        ..IgnoreDifference::default()
    })
}

#[test]
fn ignored_jq_paths_are_no_difference_and_are_left_alone() {
    let live = LIVE
        .replace("replicas: 2", "replicas: 5")
        .replace("nginx:1.27", "nginx:1.26");
    let rules = by_jq(&[r#".spec.template.spec.containers[]? | select(.name == "web") | .image"#]);
    let found = compare_by(DEPLOYMENT, &read(&live), &rules);
    assert_eq!(paths(&found), [".spec.replicas"]);
    let left = rules
        .leave_ignored(&read(DEPLOYMENT), &read(&live), &Schemas::new())
        .unwrap();
    let text = yaml::to_string(&left.to_value()).unwrap();
    assert!(
        text.contains("nginx:1.26") && text.contains("replicas: 2"),
        "{text}"
    );
    // What is not there is no error; positions and alternatives are paths, too.
    for (expression, same) in [
        (".spec.replicas, .spec.none.at.all", false),
        (
            ".spec.replicas,.spec.template.spec.containers[0].image",
            true,
        ),
        (".spec", true),
        (".. | .image?", false),
        (".spec.replicas,(.spec|..|.image?)", true),
        (r#".spec | to_entries[] | .value"#, false),
    ] {
        let found = compare_by(DEPLOYMENT, &read(&live), &by_jq(&[expression]));
        assert_eq!(
            found.outcome == Outcome::Same,
            same,
            "{expression}: {found}"
        );
    }
}

#[test]
fn expressions_that_are_not_understood_or_need_not_end_are_refused() {
    let live = read(LIVE);
    for (expression, problem) in [
        (".spec[", "is no jq expression"),
        (".spec | nonsense", "uses what is not defined: nonsense"),
        ("def f: f; f", "uses \"def\", which need not come to an end"),
        (
            "[range(9;1e18)] | .",
            "uses \"range\", which need not come to an end",
        ),
        (
            ".spec | recurse(.)",
            "uses \"recurse\", which need not come to an end",
        ),
        (
            r#""\(last(repeat(1)))""#,
            "uses \"repeat\", which need not come to an end",
        ),
    ] {
        let desired = read(DEPLOYMENT);
        let sides = Sides {
            desired: Some(&desired),
            live: Some(&live),
            last_applied: None,
        };
        let error = diff(&sides, &Schemas::new(), &by_jq(&[expression])).unwrap_err();
        let expected = format!("jqPathExpressions: {expression:?} {problem}");
        assert_eq!(error.to_string(), expected);
    }
    // A field of such a name is one like any other.
    let found = compare_by(
        DEPLOYMENT,
        &live,
        &by_jq(&[".spec.range, .spec[\"while\"]"]),
    );
    assert_eq!(found.outcome, Outcome::Same);
}

#[test]
fn each_difference_has_a_cause() {
    let live = LIVE
        .replace("replicas: 2", "replicas: 5")
        .replace("app: web}}\n  template", "app: old}}\n  template");
    let found = compare(DEPLOYMENT, &live);
    let told = |changes: &[gitops_diff::Change]| -> Vec<String> {
        let lines = changes.iter();
        lines
            .map(|change| format!("{} {}", change.path, change.cause))
            .collect()
    };
    let causes = told(&found.changes);
    assert!(
        causes.contains(&".spec.replicas declared".into()),
        "{causes:?}"
    );
    let overlooked = told(&found.overlooked);
    assert!(
        overlooked
            .iter()
            .any(|line| line.ends_with("[name=\"web\"].resources.limits.cpu the same quantity")),
        "{overlooked:?}"
    );
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {clusterIP: 10.0.0.1, ports: [{port: 80}]}\n";
    let found = compare(&service.replace("0.1", "0.2"), service);
    assert_eq!(
        told(&found.changes),
        [".spec.clusterIP cannot be changed, the object has to be replaced"]
    );
    let mut rules = by_jq(&[".spec.clusterIP"]);
    (rules.ignore[0].group, rules.ignore[0].kind) = ("".into(), "Service".into());
    let found = compare_by(&service.replace("0.1", "0.2"), &read(service), &rules);
    assert_eq!(told(&found.overlooked), [".spec.clusterIP ignored"]);
}

#[test]
fn every_field_says_why_it_differs() {
    let scaled = |count: &str| DEPLOYMENT.replace("replicas: 2", &format!("replicas: {count}"));
    let ours = applied(None, DEPLOYMENT, "gitops");
    let by_hpa = updated(&ours, &scaled("5"), "hpa");
    let why = |desired: &str, live: &Manifest, last: Option<&str>| -> String {
        let (desired, last) = (read(desired), last.map(read));
        let sides = Sides {
            desired: Some(&desired),
            live: Some(live),
            last_applied: last.as_ref(),
        };
        let found = diff(&sides, &Schemas::new(), &Rules::default()).unwrap();
        let change = found.changes.iter().find(|change| {
            let path = change.path.to_string();
            path == ".spec.replicas" || path == ".spec.selector"
        });
        change.map_or(String::new(), |change| change.cause.to_string())
    };
    // The declaration changed, the cluster did not.
    assert_eq!(why(&scaled("3"), &ours, None), "declared");
    assert_eq!(why(&scaled("3"), &ours, Some(DEPLOYMENT)), "declared");
    // Somebody changed the cluster, whether or not it is recorded who.
    assert_eq!(why(DEPLOYMENT, &by_hpa, None), "drifted, by hpa");
    assert_eq!(
        why(DEPLOYMENT, &by_hpa, Some(DEPLOYMENT)),
        "drifted, by hpa"
    );
    let unrecorded = read(&LIVE.replace("replicas: 2", "replicas: 5"));
    assert_eq!(why(DEPLOYMENT, &unrecorded, Some(DEPLOYMENT)), "drifted");
    // Both changed: it is the declaration that wants something else.
    assert_eq!(why(&scaled("3"), &by_hpa, Some(DEPLOYMENT)), "declared");
    // Who owns the field speaks another version.
    let mut converted = by_hpa.clone();
    let edited = converted.edit(|object| {
        let owners = object.as_map_mut().unwrap().get_mut("metadata").unwrap();
        let owners = owners
            .as_map_mut()
            .unwrap()
            .get_mut("managedFields")
            .unwrap();
        for owner in owners.as_list_mut().unwrap().make_mut() {
            let owner = owner.as_map_mut().unwrap();
            if owner.get("manager") == Some(&"hpa".into()) {
                owner.insert("apiVersion", "apps/v1beta2");
            }
        }
    });
    edited.unwrap();
    assert_eq!(
        why(DEPLOYMENT, &converted, None),
        "owned by hpa in apps/v1beta2"
    );
    // What cannot be changed has to be replaced, whoever wants it.
    let moved = DEPLOYMENT.replace("app: web", "app: shop");
    assert_eq!(
        why(&moved, &ours, None),
        "cannot be changed, the object has to be replaced"
    );
    // And what the server leaves out is no difference.
    let zero = DEPLOYMENT.replace("replicas: 2", "replicas: 2\n  minReadySeconds: 0");
    let found = compare(&zero, LIVE);
    assert_eq!(found.outcome, Outcome::Same);
    let told = |change: &Change| format!("{} {}", change.path, change.cause);
    let overlooked: Vec<String> = found.overlooked.iter().map(told).collect();
    assert!(
        overlooked.contains(&".spec.minReadySeconds the server's default".into()),
        "{overlooked:?}"
    );
}

#[test]
fn a_rule_for_another_object_ignores_nothing() {
    let live = LIVE.replace("replicas: 2", "replicas: 5");
    let rule = IgnoreDifference {
        name: "other".into(),
        json_pointers: vec!["/spec/replicas".into()],
        ..IgnoreDifference::default()
    };
    let found = compare_by(DEPLOYMENT, &read(&live), &ignoring(rule));
    assert_eq!(paths(&found), [".spec.replicas"]);
}

#[test]
fn fields_of_ignored_managers_are_no_difference() {
    let live = applied(None, DEPLOYMENT, "gitops");
    let scaled = DEPLOYMENT.replace("replicas: 2", "replicas: 5");
    let live = updated(&live, &scaled, "hpa");
    let rule = |manager: &str| IgnoreDifference {
        managed_fields_managers: vec![manager.into()],
        ..IgnoreDifference::default()
    };
    let found = compare_by(DEPLOYMENT, &live, &ignoring(rule("hpa")));
    assert_eq!(found.outcome, Outcome::Same, "{found}");
    let found = compare_by(DEPLOYMENT, &live, &ignoring(rule("other")));
    assert_eq!(paths(&found), [".spec.replicas"]);
}

const SECRET: &str = "
apiVersion: v1
kind: Secret
metadata: {name: login, namespace: shop}
stringData: {user: shop-admin, password: correct horse battery}
data: {key: bm90IGEga2V5}
";

const OLD_SECRET: &str = "
apiVersion: v1
kind: Secret
metadata:
  name: login
  namespace: shop
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: '{\"data\":{\"key\":\"b2xkIGtleQ==\"}}'
data: {user: c2hvcC1hZG1pbg==, password: aHVudGVyMg==, key: b2xkIGtleQ==}
type: Opaque
";

/// Everything that could be told of a difference.
fn told(difference: &Difference) -> String {
    let mut told = format!("{difference}\n{difference:?}\n{difference:#?}\n");
    for change in &difference.changes {
        told += &format!("{change}\n{change:?}\n");
    }
    told += &serde_json::to_string(difference).unwrap();
    told += &serde_json::to_string(&difference.json_patch()).unwrap();
    told += &difference.unified(false).unwrap();
    told += &difference.unified(true).unwrap();
    for object in [difference.before(), difference.after()]
        .into_iter()
        .flatten()
    {
        told += &json::to_string(&Value::Map(object.clone()));
    }
    told
}

#[test]
fn values_of_secrets_are_never_told() {
    let (desired, live) = (read(SECRET), read(OLD_SECRET));
    for (desired, live) in [
        (Some(&desired), Some(&live)),
        (Some(&desired), None),
        (None, Some(&live)),
    ] {
        let sides = Sides {
            desired,
            live,
            last_applied: desired,
        };
        let told = told(&diff(&sides, &Schemas::new(), &Rules::default()).unwrap());
        for secret in [
            "shop-admin",
            "correct horse",
            "bm90IGEga2V5",
            "b2xkIGtleQ",
            "c2hvcC1hZG1pbg",
            "aHVudGVyMg",
            "Y29ycmVjdCBob3JzZSBiYXR0ZXJ5",
            "not a key",
            "hunter2",
        ] {
            assert!(!told.contains(secret), "{secret} is in {told}");
        }
    }
}

#[test]
fn a_changed_secret_shows_that_it_changed() {
    let difference = compare(SECRET, OLD_SECRET);
    insta::assert_snapshot!(
        difference,
        @r#"Secret:shop/login: 2 fields: .data.key "++++++++" → "++++++++++++", .data.password "++++++++" → "++++++++++++""#
    );
    insta::assert_snapshot!(difference.unified(false).unwrap(), @r"
    --- live Secret:shop/login
    +++ desired Secret:shop/login
    @@ -1,7 +1,7 @@
     apiVersion: v1
     data:
    -  key: ++++++++
    -  password: ++++++++
    +  key: ++++++++++++
    +  password: ++++++++++++
       user: ++++++++
     kind: Secret
     metadata:
    ");
}

#[test]
fn a_difference_is_told_in_one_line() {
    let live = LIVE
        .replace("replicas: 2", "replicas: 5")
        .replace("nginx:1.27", "nginx:1.26")
        .replace("containerPort: 80", "containerPort: 81");
    insta::assert_snapshot!(
        compare(DEPLOYMENT, &live),
        @r#"apps/Deployment:shop/web: 3 fields: .spec.replicas 5 → 2, .spec.template.spec.containers[name="web"].image "nginx:1.26" → "nginx:1.27", .spec.template.spec.containers[name="web"].ports[containerPort=80,protocol="TCP"] + {"containerPort":80,"protocol":"TCP"}"#
    );
    let (desired, live) = (read(DEPLOYMENT), read(LIVE));
    let line = |desired, live| {
        let sides = Sides {
            desired,
            live,
            last_applied: None,
        };
        diff(&sides, &Schemas::new(), &Rules::default())
            .unwrap()
            .to_string()
    };
    insta::assert_snapshot!(line(Some(&desired), None), @"apps/Deployment:shop/web: to be created");
    insta::assert_snapshot!(line(None, Some(&live)), @"apps/Deployment:shop/web: not declared");
    insta::assert_snapshot!(line(Some(&desired), Some(&live)), @"apps/Deployment:shop/web: unchanged");
}

#[test]
fn text_is_told_without_escapes_for_html() {
    let config = |value: &str| {
        format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: a}}, data: {{x: '{value}'}}}}"
        )
    };
    insta::assert_snapshot!(
        compare(&config("<b> & more"), &config("less")),
        @r#"ConfigMap:a: 1 field: .data.x "less" → "<b> & more""#
    );
}

#[test]
fn a_difference_is_shown_as_a_unified_diff() {
    let live = LIVE.replace("replicas: 2", "replicas: 5");
    insta::assert_snapshot!(compare(DEPLOYMENT, &live).unified(false).unwrap(), @r"
    --- live apps/Deployment:shop/web
    +++ desired apps/Deployment:shop/web
    @@ -7,7 +7,7 @@
       namespace: shop
     spec:
       progressDeadlineSeconds: 600
    -  replicas: 5
    +  replicas: 2
       revisionHistoryLimit: 10
       selector:
         matchLabels:
    ");
}

#[test]
fn a_declaration_that_does_not_fit_names_every_field() {
    let desired = read(
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop}, \
         spec: {replica: 2, replicas: two}}",
    );
    let live = read(LIVE);
    let sides = Sides {
        desired: Some(&desired),
        live: Some(&live),
        last_applied: None,
    };
    let error = diff(&sides, &Schemas::new(), &Rules::default()).unwrap_err();
    insta::assert_snapshot!(error, @r"
    apps/Deployment:shop/web: errors:
      .spec.replica: field not declared in schema
      .spec.replicas: expected numeric (int or float), got string
    ");
}

#[test]
fn different_objects_are_not_compared() {
    let (desired, live) = (read(SECRET), read(LIVE));
    let sides = Sides {
        desired: Some(&desired),
        live: Some(&live),
        last_applied: None,
    };
    let error = diff(&sides, &Schemas::new(), &Rules::default()).unwrap_err();
    assert!(matches!(error, DiffError::Unrelated { .. }), "{error}");
    let nothing = diff(&Sides::default(), &Schemas::new(), &Rules::default());
    assert!(matches!(nothing, Err(DiffError::Nothing)));
}

#[test]
fn conflicts_name_the_manager_as_a_server_does() {
    let live = applied(None, DEPLOYMENT, "gitops");
    let scaled = DEPLOYMENT.replace("replicas: 2", "replicas: 5");
    let live = updated(&live, &scaled, "hpa");
    let error = managed_fields::apply(
        Some(&live),
        &read(DEPLOYMENT),
        &Schemas::new(),
        &Writer::new("gitops"),
    )
    .unwrap_err();
    assert!(matches!(error, ApplyError::Conflicts(_)));
    insta::assert_snapshot!(error, @r#"conflict with "\"hpa\" using apps/v1": .spec.replicas"#);
}

/// A value of the kind that ConfigMaps, Secrets and labels hold.
fn data() -> impl Strategy<Value = Map> {
    let text = prop_oneof!["[a-c]", "[ -~]{0,6}", Just("<&>".to_owned())];
    prop::collection::btree_map("[a-d/~.]{1,2}", text, 0..4).prop_map(|map| {
        let fields = map.into_iter();
        fields
            .map(|(name, text)| (Str::from(name), Value::from(text)))
            .collect()
    })
}

fn object(kind: &str, name_of_data: &str, data: Map, labels: Map) -> Manifest {
    let mut metadata = Map::new();
    metadata.insert("name", "x");
    metadata.insert("labels", Value::Map(labels));
    let mut object = Map::new();
    object.insert("apiVersion", "v1");
    object.insert("kind", kind);
    object.insert("metadata", Value::Map(metadata));
    object.insert(name_of_data, Value::Map(data));
    Manifest::new(Value::Map(object), Origin::default()).unwrap()
}

/// A deployment of which any part may be there or not, or be something else.
fn deployment() -> impl Strategy<Value = String> {
    let variables = prop::sample::subsequence(
        vec![
            "{name: A, value: '1'}",
            "{name: A, value: '2'}",
            "{name: B, valueFrom: {fieldRef: {fieldPath: metadata.name}}}",
            "{name: B, valueFrom: {fieldRef: {apiVersion: v1, fieldPath: metadata.name}}}",
            "{name: C}",
            "{name: <d>, value: x}",
        ],
        0..5,
    );
    let variables = variables.prop_shuffle();
    let ports = prop::sample::subsequence(
        vec![
            "{containerPort: 80}",
            "{containerPort: 80, protocol: UDP}",
            "{containerPort: 9, name: nine}",
            "{containerPort: 9, name: other, protocol: TCP}",
        ],
        0..4,
    );
    let fields = prop::sample::subsequence(
        vec![
            "replicas: 2",
            "strategy: {}",
            "strategy: {type: RollingUpdate}",
            "revisionHistoryLimit: 10",
            "revisionHistoryLimit: null",
            "minReadySeconds: 0",
            "progressDeadlineSeconds: 5",
        ],
        0..5,
    );
    let pod = prop::sample::subsequence(
        vec![
            "args: [a, b]",
            "args: [b]",
            "args: []",
            "resources: {limits: {cpu: 1000m}}",
            "resources: {limits: {cpu: '1'}, requests: {}}",
            "securityContext: {}",
            "command: null",
        ],
        0..5,
    );
    let notes = prop::sample::subsequence(vec!["a: x", "b/c: w", "d: z"], 0..=3);
    (variables, ports, fields, pod, notes).prop_map(|(variables, ports, fields, pod, notes)| {
        // Of two spellings of one field the first counts.
        let distinct = |parts: Vec<&str>| -> String {
            let mut seen: Vec<&str> = Vec::new();
            let mut text = String::new();
            for part in parts {
                let name = part.split(':').next().unwrap_or_default();
                if !seen.contains(&name) {
                    seen.push(name);
                    text.push_str(part);
                    text.push_str(", ");
                }
            }
            text
        };
        let mut items: Vec<&str> = Vec::new();
        for item in variables {
            let name = &item[..8];
            if items.iter().all(|have| !have.starts_with(name)) {
                items.push(item);
            }
        }
        let mut numbers: Vec<&str> = Vec::new();
        for port in ports {
            // What the protocol is by default makes no other port of it.
            let clashes = |have: &&str| {
                have[..18] == port[..18] && have.contains("UDP") == port.contains("UDP")
            };
            if !numbers.iter().any(clashes) {
                numbers.push(port);
            }
        }
        format!(
            "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: web, namespace: shop, \
             annotations: {{{}}}}}, spec: {{{}selector: {{matchLabels: {{app: web}}}}, template: \
             {{metadata: {{labels: {{app: web}}}}, spec: {{containers: [{{name: web, {}image: \
             nginx:1, env: [{}], ports: [{}]}}]}}}}}}}}",
            notes.join(", "),
            distinct(fields),
            distinct(pod),
            items.join(", "),
            numbers.join(", "),
        )
    })
}

/// As a server stores it.
fn stored(object: Manifest) -> Manifest {
    let mut map = object.object().clone();
    defaults::fill(object.gvk(), &mut map);
    Manifest::new(Value::Map(map), Origin::default()).unwrap()
}

proptest! {
    #[test]
    fn the_patch_leads_from_before_to_after(
        desired in (data(), data()),
        live in (data(), data()),
        last in prop::option::of((data(), data())),
        secret in any::<bool>(),
    ) {
        let (kind, field) = if secret { ("Secret", "stringData") } else { ("ConfigMap", "data") };
        let desired = object(kind, field, desired.0, desired.1);
        let live = object(kind, "data", live.0, live.1);
        let last = last.map(|last| object(kind, field, last.0, last.1));
        let sides = Sides {
            desired: Some(&desired),
            live: Some(&live),
            last_applied: last.as_ref(),
        };
        let difference = diff(&sides, &Schemas::new(), &Rules::default()).unwrap();
        let as_json = |side: Option<&Map>| {
            serde_json::to_value(Value::Map(side.unwrap().clone())).unwrap()
        };
        let mut patched = as_json(difference.before());
        let patch = serde_json::to_value(difference.json_patch()).unwrap();
        let patch: json_patch::Patch = serde_json::from_value(patch).unwrap();
        json_patch::patch(&mut patched, &patch).unwrap();
        if difference.outcome == Outcome::Same {
            prop_assert_eq!(difference.after(), None);
            prop_assert_eq!(patched, as_json(difference.before()));
        } else {
            prop_assert_eq!(patched, as_json(difference.after()));
        }
    }

    #[test]
    fn what_was_applied_is_no_difference(
        desired in (data(), data()),
        live in (data(), data()),
    ) {
        let desired = object("ConfigMap", "data", desired.0, desired.1);
        let live = object("ConfigMap", "data", live.0, live.1);
        let desired_text = yaml::to_string(&desired.to_value()).unwrap();
        let live = applied(Some(&live), &desired_text, "gitops");
        let again = compare_by(&desired_text, &live, &Rules::default());
        prop_assert_eq!(again.outcome, Outcome::Same, "{}", again);
    }

    /// Most objects are seen to be the same without a merge and sets of paths.
    /// In a test the long way is taken beside the short one, and has to find
    /// the same; here it is what is found that is told from the merge.
    #[test]
    fn what_an_apply_would_leave_is_the_same(
        first in deployment(),
        other in prop::option::of(deployment()),
        updated_to in prop::option::of(deployment()),
        desired in prop::option::of(deployment()),
    ) {
        let mut live = stored(applied(None, &first, "gitops"));
        if let Some(other) = other {
            live = stored(applied(Some(&live), &other, "other"));
        }
        if let Some(new) = updated_to {
            let new = stored(read(&new));
            let new = yaml::to_string(&new.to_value()).unwrap();
            live = updated(&live, &new, "controller");
        }
        let desired = desired.unwrap_or(first);
        let found = compare_by(&desired, &live, &Rules::default());
        // A null is as good as nothing, and merged as something.
        if !desired.contains("null") {
            let again = stored(applied(Some(&live), &desired, "gitops"));
            let schema = Schemas::new();
            let bare = |object: &Manifest| {
                let mut map = object.object().clone();
                map.get_mut("metadata").unwrap().as_map_mut().unwrap().remove("managedFields");
                defaults::fill(object.gvk(), &mut map);
                Typed::trusted(Value::Map(map), schema.of(object.gvk()))
            };
            let same = bare(&live).compare(&bare(&again)).is_same();
            let nothing = found.outcome == Outcome::Same && found.overlooked.is_empty();
            prop_assert_eq!(same, nothing, "{} {:?}", found, found.overlooked);
        }
    }
}
