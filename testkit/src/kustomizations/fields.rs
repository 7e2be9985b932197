//! The rest of a kustomization's fields, in all the shapes that they have.

use std::fmt::Write as _;

use super::{Dice, Files, IMAGES, NAMES, SCALARS};

const WORKLOADS: &[&str] = &["Deployment", "StatefulSet", "DaemonSet", "CronJob"];

/// Fields of workloads, as paths of replacements name them.
const PATHS: &[&str] = &[
    "spec.template.spec.containers.[name=c0].image",
    "spec.template.spec.containers.*.image",
    "spec.template.spec.containers.0.env.[name=A].value",
    "spec.template.spec.containers.[name=c.*].env.[name=N].value",
    "metadata.name",
    "metadata.labels.copied",
    "metadata.annotations.a\\.b/c",
    "metadata.annotations.[dotted.key]",
    "spec.replicas",
    "spec.template.metadata.labels",
    "spec.selector",
    "spec.template.spec.containers.-.name",
    "spec.template.spec.containers.7.name",
];

/// Fields of Widgets and ConfigMaps.
const LOOSE_PATHS: &[&str] = &[
    "spec.a",
    "spec.b.c",
    "spec.b.d.2.e",
    "spec.b.d.-",
    "spec.list.[name=y].v",
    "spec.list.[name=z].v",
    "spec.list.*.v",
    "data.k",
    "data.new",
    "data.json.a.b",
    "data.json.list.[name=x].v",
    "data.yaml.a.b",
    "data.yaml.list.0.v",
    "data.yaml.list.[name=x]",
    "data",
];

const BUILT_IN: &[&str] = &[
    "AnnotationsTransformer",
    "LabelTransformer",
    "NamespaceTransformer",
    "PrefixTransformer",
    "SuffixTransformer",
    "PrefixSuffixTransformer",
    "ImageTagTransformer",
    "ReplicaCountTransformer",
    "PatchTransformer",
    "PatchJson6902Transformer",
    "PatchStrategicMergeTransformer",
    "ReplacementTransformer",
    "HashTransformer",
    "ValueAddTransformer",
    "SortOrderTransformer",
    "ConfigMapGenerator",
];

/// Adds some of the fields to a kustomization that has none of them.
pub(super) fn add(dice: &mut Dice, dir: &str, text: &mut String, files: &mut Files) {
    if dice.once(5) {
        replacements(dice, dir, text, files);
    }
    if dice.once(10) {
        variables(dice, text);
    }
    if dice.once(10) {
        configurations(dice, dir, text, files);
    }
    if dice.once(25) {
        definitions(dice, dir, text, files);
    }
    if dice.once(6) {
        old_patches(dice, dir, text, files);
    }
    if dice.once(8) {
        plugins(dice, dir, text, files);
    }
    if dice.once(12) {
        let _ = writeln!(
            text,
            "replicas: [{{name: {}, count: {}}}]",
            dice.pick(NAMES),
            dice.pick(&["7", "0", "-1"])
        );
    }
    if dice.once(20) && !text.contains("commonLabels:") {
        let _ = writeln!(text, "commonLabels: {{old: {}}}", dice.pick(&["x", "'1'"]));
    }
}

/// An entry of `images`.
pub(super) fn image(dice: &mut Dice) -> String {
    let mut entry = format!(
        "- {{name: '{}'",
        dice.pick(&[
            "nginx",
            "ngin.",
            "redis",
            "registry.example:5000/team/app",
            "no",
            "busybox"
        ])
    );
    for (once, part) in [
        (2, ", newTag: 'v2'"),
        (3, ", newName: other/image"),
        (5, ", digest: 'sha256:ff'"),
        (9, ", tagSuffix: -x"),
    ] {
        if dice.once(once) {
            entry.push_str(part);
        }
    }
    entry + "}\n"
}

fn selector(dice: &mut Dice) -> String {
    match dice.roll(9) {
        0 => format!("{{kind: {}}}", dice.pick(WORKLOADS)),
        1 => format!(
            "{{kind: Deploy.*, name: '{}'}}",
            dice.pick(&["a.*", "d|w", "app"])
        ),
        2 => format!("{{labelSelector: 'app in ({})'}}", dice.pick(NAMES)),
        3 => "{annotationSelector: note}".into(),
        4 => format!("{{kind: ConfigMap, name: {}}}", dice.pick(NAMES)),
        5 => "{group: apps, version: v1}".into(),
        6 => "{namespace: elsewhere}".into(),
        7 => "{kind: Widget}".into(),
        _ => format!("{{name: '{}'}}", dice.pick(&["app", ".*", "p-.*"])),
    }
}

fn replacement(dice: &mut Dice) -> String {
    let mut text = match dice.roll(8) {
        0 => format!(
            "- source: {{kind: ConfigMap, name: {}, fieldPath: data.k}}\n",
            dice.pick(NAMES)
        ),
        1 => format!("- source: {{kind: {}}}\n", dice.pick(WORKLOADS)),
        2 => format!(
            "- source: {{kind: Widget, fieldPath: {}}}\n",
            dice.pick(LOOSE_PATHS)
        ),
        3 => format!(
            "- source:\n    kind: Deployment\n    name: {}\n    fieldPath: {}\n    options: {{delimiter: ':', index: {}}}\n",
            dice.pick(NAMES),
            dice.pick(PATHS),
            dice.pick(&["0", "1", "3", "-1"]),
        ),
        4 | 5 => format!(
            "- sourceValue: {}\n",
            dice.pick(&["copied", "'1'", "a:b", "''"])
        ),
        6 => format!("- source: {{name: {}}}\n", dice.pick(NAMES)),
        _ => format!(
            "- source: {{version: v1, kind: Service, fieldPath: {}}}\n",
            dice.pick(&[
                "spec.ports.0.port",
                "spec.ports",
                "metadata.namespace",
                "spec.selector"
            ])
        ),
    };
    text.push_str("  targets:\n");
    for _ in 0..=dice.roll(2) {
        let loose = dice.once(2);
        let select = match loose {
            true => dice
                .pick(&[
                    "{kind: ConfigMap}",
                    "{kind: Widget}",
                    "{kind: ConfigMap|Widget}",
                ])
                .to_owned(),
            false => selector(dice),
        };
        let paths = if loose { LOOSE_PATHS } else { PATHS };
        let _ = writeln!(text, "  - select: {select}");
        if dice.once(4) {
            let _ = writeln!(text, "    reject: [{}]", selector(dice));
        }
        if !dice.once(8) {
            let _ = writeln!(text, "    fieldPaths:\n    - {}", dice.pick(paths));
            if dice.once(4) {
                let _ = writeln!(text, "    - {}", dice.pick(paths));
            }
        }
        match dice.roll(6) {
            0 | 1 => text.push_str("    options: {create: true}\n"),
            2 => {
                let _ = writeln!(
                    text,
                    "    options: {{delimiter: '{}', index: {}}}",
                    dice.pick(&[":", "/", "-", "."]),
                    dice.pick(&["0", "1", "5", "-1"])
                );
            }
            _ => {}
        }
    }
    text
}

fn replacements(dice: &mut Dice, dir: &str, text: &mut String, files: &mut Files) {
    text.push_str("replacements:\n");
    for number in 0..=dice.roll(2) {
        if dice.once(4) {
            let _ = writeln!(text, "- path: copy{number}.yaml");
            let entry = replacement(dice);
            let entry = match dice.once(3) {
                true => entry.replacen("- ", "  ", 1),
                false => entry,
            };
            files.push((format!("{dir}/copy{number}.yaml"), entry));
        } else {
            text.push_str(&replacement(dice));
        }
    }
}

fn variables(dice: &mut Dice, text: &mut String) {
    let _ = writeln!(
        text,
        "vars:\n- name: {}\n  objref: {{kind: {}, name: {}, apiVersion: {}}}",
        dice.pick(&["VAR", "OTHER"]),
        dice.pick(&["ConfigMap", "Service", "Deployment"]),
        dice.pick(NAMES),
        dice.pick(&["v1", "v1", "apps/v1"])
    );
    if dice.once(2) {
        let _ = writeln!(
            text,
            "  fieldref: {{fieldpath: {}}}",
            dice.pick(&[
                "metadata.name",
                "metadata.namespace",
                "data.k",
                "spec.ports[0].port",
                "spec.replicas",
                "spec"
            ])
        );
    }
}

fn configurations(dice: &mut Dice, dir: &str, text: &mut String, files: &mut Files) {
    let mut config = String::new();
    for (once, part) in [
        (
            3,
            "nameReference:\n- kind: ConfigMap\n  version: v1\n  fieldSpecs:\n  - {kind: Widget, path: spec/b/c}\n  - {kind: Widget, path: spec/list/name}\n",
        ),
        (3, "namePrefix:\n- {path: spec/a, kind: Widget}\n"),
        (4, "nameSuffix:\n- {path: metadata/name, kind: Namespace}\n"),
        (
            4,
            "commonLabels:\n- {path: spec/labels, kind: Widget, create: true}\n",
        ),
        (
            4,
            "labels:\n- {path: spec/more/labels, kind: Widget, create: true}\n",
        ),
        (
            4,
            "commonAnnotations:\n- {path: spec/notes, create: true, kind: Service}\n",
        ),
        (
            4,
            "namespace:\n- {path: spec/b/namespace, create: true, kind: Widget}\n",
        ),
        (
            4,
            "varReference:\n- {path: spec/b/d, kind: Widget}\n- {path: data, kind: ConfigMap}\n",
        ),
        (4, "images:\n- {path: spec/a, kind: Widget}\n"),
        (
            4,
            "replicas:\n- {path: spec/count, create: true, kind: Widget}\n",
        ),
        (
            9,
            "templateLabels:\n- {path: spec/t/labels, kind: Widget, create: true}\n",
        ),
    ] {
        if dice.once(once) {
            config.push_str(part);
        }
    }
    if config.is_empty() {
        config.push_str("{}\n");
    }
    text.push_str("configurations: [config.yaml]\n");
    files.push((format!("{dir}/config.yaml"), config));
}

fn definitions(dice: &mut Dice, dir: &str, text: &mut String, files: &mut Files) {
    if dice.once(2) {
        text.push_str("crds: [crd.json]\n");
        files.push((
            format!("{dir}/crd.json"),
            r#"{"example.com/v1.Widget": {"Schema": {"properties": {
              "apiVersion": {"type": "string"}, "kind": {"type": "string"},
              "metadata": {"$ref": "meta"},
              "spec": {"$ref": "example.com/v1.WidgetSpec"}}}},
             "example.com/v1.WidgetSpec": {"Schema": {"properties": {
              "a": {"type": "string", "x-kubernetes-object-ref-api-version": "v1", "x-kubernetes-object-ref-kind": "ConfigMap"},
              "notes": {"type": "object", "x-kubernetes-annotation": ""},
              "labels": {"type": "object", "x-kubernetes-label-selector": ""}}}}}"#
                .into(),
        ));
    } else {
        text.push_str("openapi: {path: schema.json}\n");
        files.push((
            format!("{dir}/schema.json"),
            r#"{"definitions": {"v1.Widget": {"type": "object", "properties": {
              "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"},
              "spec": {"type": "object", "properties": {"list": {"type": "array",
                "items": {"type": "object"},
                "x-kubernetes-patch-merge-key": "name", "x-kubernetes-patch-strategy": "merge"}}}},
              "x-kubernetes-group-version-kind": [{"group": "example.com", "kind": "Widget", "version": "v1"}]}}}"#
                .into(),
        ));
    }
}

fn strategic(dice: &mut Dice) -> String {
    let name = dice.pick(NAMES);
    match dice.roll(8) {
        0 => format!(
            "apiVersion: apps/v1\nkind: {}\nmetadata: {{name: {name}}}\nspec:\n  $setElementOrder/containers: [{{name: c0}}]\n  template: {{spec: {{containers: [{{name: c1, $patch: delete}}, {{name: c0, image: patched}}]}}}}\n",
            dice.pick(WORKLOADS)
        ),
        1 => format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, labels: {{app: null, x: y}}}}\nspec:\n  template:\n    spec:\n      containers: [{{$patch: replace}}, {{name: only, image: one}}]\n      volumes:\n      - name: v\n        $retainKeys: [name, emptyDir]\n        emptyDir: {{}}\n"
        ),
        2 => {
            format!("$patch: delete\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n")
        }
        3 => format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{$patch: {}, z: {}}}\n",
            dice.pick(&["replace", "merge", "delete", "other"]),
            dice.pick(SCALARS)
        ),
        4 => format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  ports: [{{port: 80, protocol: UDP}}, {{port: 443, name: s, $patch: delete}}]\n  selector: {}\n",
            dice.pick(&["null", "{a: b}", "[]", "x"])
        ),
        5 => format!(
            "apiVersion: example.com/v1\nkind: Widget\nmetadata: {{name: {name}}}\nspec: {{list: [{{name: y, w: 2}}], b: {}}}\n",
            dice.pick(&["null", "{}", "[1]", "{c: null}"])
        ),
        6 => format!(
            "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: {name}\n  finalizers: [a, b]\n  $deleteFromPrimitiveList/finalizers: [c]\nsecrets: [{{name: s}}]\nimagePullSecrets: [{{name: s}}]\n"
        ),
        _ => format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: {name}}}\nsubjects: [{{kind: User, name: u}}]\n"
        ),
    }
}

fn operations(dice: &mut Dice) -> String {
    let mut text = String::new();
    for _ in 0..=dice.roll(3) {
        let path = dice.pick(&[
            "/metadata/labels/a~1b",
            "/metadata/labels",
            "/metadata/annotations/x",
            "/spec/replicas",
            "/spec/template/spec/containers/0/image",
            "/spec/template/spec/containers/-",
            "/spec/template/spec/containers/-1",
            "/spec/template/spec/containers/9",
            "/spec/missing/deeper",
            "/data/k",
            "/metadata/name",
            "/kind",
            "",
            "/",
            "spec",
        ]);
        let value = dice.pick(&["1", "'1'", "x", "{a: b}", "[1, 2.5]", "null", "true"]);
        let _ = match dice.roll(7) {
            0 | 1 => writeln!(text, "- {{op: add, path: '{path}', value: {value}}}"),
            2 => writeln!(text, "- {{op: replace, path: '{path}', value: {value}}}"),
            3 => writeln!(text, "- {{op: remove, path: '{path}'}}"),
            4 => writeln!(text, "- {{op: test, path: '{path}', value: {value}}}"),
            5 => writeln!(text, "- {{op: copy, from: /metadata/name, path: '{path}'}}"),
            _ => writeln!(
                text,
                "- {{op: move, from: '{path}', path: /metadata/labels/moved}}"
            ),
        };
    }
    text
}

fn indented(text: &str, by: &str) -> String {
    text.lines().map(|line| format!("{by}{line}\n")).collect()
}

fn old_patches(dice: &mut Dice, dir: &str, text: &mut String, files: &mut Files) {
    if dice.once(2) {
        text.push_str("patchesStrategicMerge:\n");
        let mut patch = strategic(dice);
        if dice.once(4) {
            let _ = write!(patch, "---\n{}", strategic(dice));
        }
        if dice.once(2) {
            let _ = write!(text, "- |-\n{}", indented(&patch, "  "));
        } else {
            text.push_str("- old.yaml\n");
            files.push((format!("{dir}/old.yaml"), patch));
        }
        return;
    }
    let _ = writeln!(
        text,
        "patchesJson6902:\n- target: {{{}, kind: {}, name: {}}}",
        dice.pick(&["version: v1", "group: apps, version: v1"]),
        dice.pick(&["Deployment", "ConfigMap", "Service"]),
        dice.pick(NAMES)
    );
    let patch = operations(dice);
    if dice.once(2) {
        let _ = write!(text, "  patch: |-\n{}", indented(&patch, "    "));
    } else {
        text.push_str("  path: old.json.yaml\n");
        files.push((format!("{dir}/old.json.yaml"), patch));
    }
}

/// Another entry of `patches`.
pub(super) fn patch(dice: &mut Dice) -> String {
    match dice.roll(3) {
        0 => {
            let patch = strategic(dice);
            format!("- patch: |-\n{}", indented(&patch, "    "))
        }
        1 => {
            let (target, patch) = (selector(dice), strategic(dice));
            format!(
                "- target: {target}\n  options: {{{}}}\n  patch: |-\n{}",
                dice.pick(&[
                    "allowNameChange: true",
                    "allowKindChange: true",
                    "allowKindChange: true, allowNameChange: true",
                    ""
                ]),
                indented(&patch, "    ")
            )
        }
        _ => {
            let (target, patch) = (selector(dice), operations(dice));
            format!(
                "- target: {target}\n  patch: |-\n{}",
                indented(&patch, "    ")
            )
        }
    }
}

fn plugin(dice: &mut Dice, kind: &str) -> String {
    let mut text = format!(
        "apiVersion: {}\nkind: {kind}\nmetadata: {{name: plugin{}}}\n",
        match dice.once(20) {
            true => "example.com/v1",
            false => "builtin",
        },
        match (kind, dice.once(2)) {
            ("NamespaceTransformer", true) => ", namespace: plugged",
            _ => "",
        }
    );
    text.push_str(&match kind {
        "AnnotationsTransformer" => "annotations: {plugged: 'yes'}\nfieldSpecs: [{path: metadata/annotations, create: true}]\n".to_owned(),
        "LabelTransformer" => "labels: {plugged: in}\nfieldSpecs:\n- {path: metadata/labels, create: true}\n- {path: spec/template/metadata/labels, kind: Deployment}\n".to_owned(),
        "NamespaceTransformer" => format!(
            "{}{}fieldSpecs: [{{path: metadata/name, kind: Namespace, create: true}}]\n",
            dice.pick(&["unsetOnly: true\n", ""]),
            dice.pick(&["setRoleBindingSubjects: allServiceAccounts\n", "setRoleBindingSubjects: none\n", ""]),
        ),
        "PrefixTransformer" => "prefix: plug-\nfieldSpecs: [{path: metadata/name, kind: Deployment}]\n".to_owned(),
        "SuffixTransformer" => "suffix: -plug\nfieldSpecs: [{path: metadata/name}]\n".to_owned(),
        "PrefixSuffixTransformer" => "prefix: plug-\nsuffix: -in\nfieldSpecs: [{path: metadata/name}]\n".to_owned(),
        "ImageTagTransformer" => "imageTag: {name: nginx, newTag: plugged}\nfieldSpecs: [{path: spec/a}]\n".to_owned(),
        "ReplicaCountTransformer" => format!(
            "replica: {{name: {}, count: 3}}\nfieldSpecs: [{{path: spec/replicas, create: true, kind: Deployment}}]\n",
            dice.pick(NAMES)
        ),
        "PatchTransformer" => {
            let (target, patch) = (selector(dice), operations(dice));
            format!("target: {target}\npatch: |-\n{}", indented(&patch, "  "))
        }
        "PatchJson6902Transformer" => {
            let patch = operations(dice);
            format!(
                "target: {{version: v1, kind: ConfigMap, name: {}}}\njsonOp: |-\n{}",
                dice.pick(NAMES),
                indented(&patch, "  ")
            )
        }
        "PatchStrategicMergeTransformer" => {
            let patch = strategic(dice);
            format!("patches: |-\n{}", indented(&patch, "  "))
        }
        "ReplacementTransformer" => format!("replacements:\n{}", replacement(dice)),
        "ValueAddTransformer" => format!(
            "value: {}\ntargets:\n- {{fieldPath: {}, filePathPosition: {}}}\n",
            dice.pick(&["added", "''"]),
            dice.pick(&["metadata/namespace", "spec/a", "metadata/labels/added", "spec/b/c"]),
            dice.pick(&["0", "1", "2"]),
        ),
        "SortOrderTransformer" => "sortOptions: {order: fifo}\n".to_owned(),
        "ConfigMapGenerator" => format!(
            "name: {}\nliterals: [a=b]\n{}",
            dice.pick(&["plugged", "app"]),
            dice.pick(&["", "behavior: merge\n", "options: {disableNameSuffixHash: true}\n"])
        ),
        "SecretGenerator" => "name: plugged-secret\nliterals: [p=q]\ntype: example.com/t\n".to_owned(),
        _ => String::new(),
    });
    text
}

fn plugins(dice: &mut Dice, dir: &str, text: &mut String, files: &mut Files) {
    let (field, kind) = match dice.roll(8) {
        0 => ("generators", "ConfigMapGenerator"),
        1 => ("generators", "SecretGenerator"),
        2 => ("validators", dice.pick(BUILT_IN)),
        _ => ("transformers", dice.pick(BUILT_IN)),
    };
    let document = plugin(dice, kind);
    match dice.roll(4) {
        0 => {
            let _ = writeln!(text, "{field}: [plugin.yaml]");
            files.push((format!("{dir}/plugin.yaml"), document));
        }
        1 => {
            let _ = writeln!(text, "{field}: [plugin]");
            files.push((format!("{dir}/plugin/plugin.yaml"), document));
            files.push((
                format!("{dir}/plugin/kustomization.yaml"),
                "resources: [plugin.yaml]\n".into(),
            ));
        }
        _ => {
            let _ = write!(text, "{field}:\n- |-\n{}", indented(&document, "  "));
        }
    }
}

/// Further kinds of objects, by number.
pub(super) const MORE_KINDS: usize = 14;

/// The document of an object of one of [`MORE_KINDS`], but for its metadata:
/// type and content.
pub(super) fn more(dice: &mut Dice, kind: usize) -> (&'static str, &'static str, String) {
    let name = dice.pick(NAMES);
    let other = dice.pick(NAMES);
    match kind {
        0 => (
            "admissionregistration.k8s.io/v1",
            "ValidatingWebhookConfiguration",
            format!(
                "webhooks:\n- name: w\n  clientConfig: {{service: {{name: {name}, namespace: {other}}}}}\n"
            ),
        ),
        1 => (
            "apiregistration.k8s.io/v1",
            "APIService",
            format!("spec: {{group: g, service: {{name: {name}, namespace: elsewhere}}}}\n"),
        ),
        2 => (
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            format!(
                "spec:\n  group: example.com\n  conversion: {{webhook: {{clientConfig: {{service: {{name: {name}, namespace: x}}}}}}}}\n  versions: [{{name: v1, schema: {{openAPIV3Schema: {{properties: {{containers: [{{image: nginx}}]}}}}}}}}]\n"
            ),
        ),
        3 => (
            "rbac.authorization.k8s.io/v1",
            "ClusterRoleBinding",
            format!(
                "roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {name}}}\nsubjects:\n- {{kind: ServiceAccount, name: {other}, namespace: elsewhere}}\n- {{kind: ServiceAccount, name: default}}\n- {{kind: Group, name: default}}\n"
            ),
        ),
        4 => (
            "rbac.authorization.k8s.io/v1",
            "ClusterRole",
            format!(
                "rules: [{{apiGroups: [''], resources: [configmaps], resourceNames: [{name}, {other}], verbs: [get]}}]\n"
            ),
        ),
        5 => (
            "v1",
            "PersistentVolumeClaim",
            "spec: {storageClassName: app, volumeName: db}\n".into(),
        ),
        6 => (
            "v1",
            "PersistentVolume",
            "spec: {storageClassName: app}\n".into(),
        ),
        7 => (
            "storage.k8s.io/v1",
            "StorageClass",
            "provisioner: p\n".into(),
        ),
        8 => (
            "batch/v1",
            "Job",
            format!(
                "spec:\n  template:\n    spec:\n      initContainers: [{{name: i, image: {}}}]\n      containers: [{{name: c0, image: {}, env: [{{name: A, value: $(VAR) $(OTHER) $$(VAR)}}]}}]\n      volumes: [{{name: p, projected: {{sources: [{{configMap: {{name: {name}}}}}, {{secret: {{name: {other}}}}}]}}}}, {{name: c, persistentVolumeClaim: {{claimName: {name}}}}}]\n",
                dice.pick(IMAGES),
                dice.pick(IMAGES)
            ),
        ),
        9 => (
            "v1",
            "Pod",
            format!(
                "spec:\n  containers:\n  - name: c0\n    image: {}\n    envFrom: [{{configMapRef: {{name: {name}}}}}]\n    command: [$(VAR), '$(OTHER)']\n  imagePullSecrets: [{{name: {other}}}]\n",
                dice.pick(IMAGES)
            ),
        ),
        10 => (
            "policy/v1",
            "PodDisruptionBudget",
            format!("spec: {{minAvailable: 1, selector: {{matchLabels: {{app: {name}}}}}}}\n"),
        ),
        11 => (
            "networking.k8s.io/v1",
            "NetworkPolicy",
            format!(
                "spec: {{podSelector: {{matchLabels: {{app: {name}}}}}, ingress: [{{from: [{{podSelector: {{matchLabels: {{app: {other}}}}}}}]}}]}}\n"
            ),
        ),
        12 => (
            "v1",
            "ConfigMap",
            format!(
                "data:\n  k: {}\n  json: '{}'\n  yaml: |\n    # a comment\n    a: {{b: 1}} # another\n    list:\n    - name: x\n      v: {}\n",
                dice.pick(&["w", "'2'"]),
                dice.pick(&[
                    r#"{"a": {"b": 1}, "list": [{"name": "x", "v": 1.0}]}"#,
                    r#"{"a":{"b":"<x>"}}"#,
                    "not json",
                    "[1]"
                ]),
                dice.pick(SCALARS),
            ),
        ),
        _ => (
            "example.com/v1",
            "Gadget",
            format!(
                "spec: {{template: {{spec: {{containers: [{{name: c0, image: {}}}]}}}}, secretName: {name}}}\n",
                dice.pick(IMAGES)
            ),
        ),
    }
}
