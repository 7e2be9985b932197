//! Random kustomizations: overlays up to three deep over common bases, with
//! every kind of transformer, components and diamonds.
//!
//! Most of them build; some have a mistake that people make. What they are made of is small on purpose: few names
//! and kinds, so that references, patches and selectors meet what they are
//! for.

use std::fmt::Write as _;

mod fields;
mod mistakes;

/// The directory to build.
pub const ROOT: &str = "top";

/// Numbers that one seed determines: splitmix64.
struct Dice {
    state: u64,
    /// The ConfigMaps that bases generate.
    generated: Vec<String>,
}

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % sides as u64) as usize
    }

    /// Once in `of` times.
    fn once(&mut self, of: usize) -> bool {
        self.roll(of) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }
}

type Files = Vec<(String, String)>;

const NAMES: &[&str] = &["app", "db", "web"];
const IMAGES: &[&str] = &[
    "nginx",
    "nginx:1.25",
    "registry.example:5000/team/app:v1",
    "redis@sha256:0123456789abcdef",
];
const SCALARS: &[&str] = &[
    "plain",
    "'yes'",
    "on",
    "\"8080\"",
    "8080",
    "1.0",
    "1e3",
    "0x1F",
    "null",
    "~",
    "''",
    "'a: b'",
    "\"line\\nbreak\"",
    "2020-01-01",
    "true",
    "'#x'",
    "1_000",
    "text with a long tail that goes on and on until it is longer than eighty columns, and more",
];

/// The files of a kustomization; the one to build is [`ROOT`].
pub fn random(seed: u64) -> Files {
    let mut dice = Dice {
        state: seed,
        generated: Vec::new(),
    };
    let mut files = Files::new();
    let bases = 1 + dice.roll(2);
    for base in 0..bases {
        let dir = format!("base{base}");
        base_of(&mut dice, &dir, &mut files);
    }
    let has_component = dice.once(3);
    if has_component {
        let mut text =
            String::from("apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n");
        transformers(&mut dice, "component", &mut text, &mut files);
        files.push(("component/kustomization.yaml".into(), text));
    }
    let middles = 1 + dice.roll(2);
    for middle in 0..middles {
        let dir = format!("middle{middle}");
        let mut text = String::from("resources:\n");
        if dice.once(2) && middles > 1 {
            // A diamond: both over the same base, renamed apart.
            text = format!("namePrefix: m{middle}-\nresources:\n- ../base0\n");
        } else {
            let base = middle.min(bases - 1);
            let _ = writeln!(text, "- ../base{base}");
            if middles > 1 && bases == 1 {
                let _ = writeln!(text, "namePrefix: m{middle}-");
            }
        }
        if has_component && dice.once(2) {
            text.push_str("components: [../component]\n");
        }
        generators(&mut dice, &dir, true, &mut text, &mut files);
        transformers(&mut dice, &dir, &mut text, &mut files);
        files.push((format!("{dir}/kustomization.yaml"), text));
    }
    let mut text = String::from("resources:\n");
    for middle in 0..middles {
        let _ = writeln!(text, "- ../middle{middle}");
    }
    if has_component && dice.once(2) {
        text.push_str("components: [../component]\n");
    }
    generators(&mut dice, ROOT, true, &mut text, &mut files);
    transformers(&mut dice, ROOT, &mut text, &mut files);
    if dice.once(8) {
        text.push_str("sortOptions: {order: fifo}\n");
    }
    if dice.once(6) {
        let _ = writeln!(
            text,
            "buildMetadata: [{}]",
            dice.pick(&[
                "originAnnotations, transformerAnnotations",
                "originAnnotations",
                "managedByLabel",
                "managedByLabel, transformerAnnotations"
            ])
        );
    }
    if dice.once(20) {
        text.push_str(
            "sortOptions:\n  order: legacy\n  legacySortOptions: {orderFirst: [Widget, Secret], orderLast: [Namespace]}\n",
        );
    }
    files.push((format!("{ROOT}/kustomization.yaml"), text));
    if dice.once(2) {
        mistakes::make(&mut dice, &mut files);
    }
    files
}

fn base_of(dice: &mut Dice, dir: &str, files: &mut Files) {
    let mut text = String::from("resources:\n- all.yaml\n");
    let mut objects = String::new();
    let count = 2 + dice.roll(6);
    let mut seen = Vec::new();
    for _ in 0..count {
        let name = dice.pick(NAMES);
        // Namespaces keep their names, so that only one base may have some.
        let common = if dir == "base0" { 14 } else { 13 };
        let kind = match dice.once(4) {
            false => dice.roll(common),
            true => 14 + dice.roll(fields::MORE_KINDS),
        };
        if seen.contains(&(kind, name)) {
            continue;
        }
        seen.push((kind, name));
        objects.push_str("---\n");
        object(dice, kind, name, &mut objects);
    }
    files.push((format!("{dir}/all.yaml"), objects));
    generators(dice, dir, false, &mut text, files);
    transformers(dice, dir, &mut text, files);
    files.push((format!("{dir}/kustomization.yaml"), text));
}

fn metadata(dice: &mut Dice, name: &str, out: &mut String) {
    let _ = writeln!(out, "metadata:\n  name: {name}");
    if dice.once(5) {
        out.push_str("  namespace: elsewhere\n");
    }
    if dice.once(3) {
        let _ = writeln!(
            out,
            "  labels: {{app: {name}, port: {}}}",
            dice.pick(&["8080", "'8080'"])
        );
    }
    if dice.once(4) {
        let _ = writeln!(out, "  annotations:\n    note: {}", dice.pick(SCALARS));
    }
}

fn pod(dice: &mut Dice, indent: &str, out: &mut String) {
    let mut line = |text: String| {
        let _ = writeln!(out, "{indent}{text}");
    };
    line("containers:".into());
    let containers = 1 + dice.roll(2);
    for container in 0..containers {
        line(format!("- name: c{container}"));
        line(format!("  image: {}", dice.pick(IMAGES)));
        if dice.once(2) {
            line("  env:".into());
            line(format!(
                "  - name: A\n{indent}    value: {}",
                dice.pick(SCALARS)
            ));
            if dice.once(2) {
                line(format!(
                    "  - name: B\n{indent}    valueFrom: {{configMapKeyRef: {{name: {}, key: k}}}}",
                    dice.pick(NAMES)
                ));
            }
        }
        if dice.once(3) {
            line(format!(
                "  envFrom: [{{secretRef: {{name: {}}}}}]",
                dice.pick(NAMES)
            ));
        }
        if dice.once(3) {
            line("  ports: [{containerPort: 80, protocol: TCP}, {containerPort: 443}]".into());
        }
        if dice.once(3) {
            line("  args: [a, '--b=1', $(VAR)]".into());
        }
    }
    if dice.once(3) {
        line("volumes:".into());
        line(format!(
            "- name: v\n{indent}  configMap: {{name: {}}}",
            dice.pick(NAMES)
        ));
        line(format!(
            "- name: s\n{indent}  secret: {{secretName: {}}}",
            dice.pick(NAMES)
        ));
    }
    if dice.once(4) {
        line(format!("serviceAccountName: {}", dice.pick(NAMES)));
    }
}

fn object(dice: &mut Dice, kind: usize, name: &str, out: &mut String) {
    let mut head = |version: &str, kind: &str, dice: &mut Dice| {
        let _ = writeln!(out, "apiVersion: {version}\nkind: {kind}");
        metadata(dice, name, out);
    };
    match kind {
        0..=2 => {
            let kind = ["Deployment", "StatefulSet", "DaemonSet"][kind];
            head("apps/v1", kind, dice);
            out.push_str("spec:\n");
            if dice.once(2) {
                let _ = writeln!(out, "  replicas: {}", dice.roll(4));
            }
            if dice.once(2) {
                let _ = writeln!(out, "  selector: {{matchLabels: {{app: {name}}}}}");
            }
            if kind == "StatefulSet" {
                let _ = writeln!(out, "  serviceName: {}", dice.pick(NAMES));
            }
            out.push_str("  template:\n");
            if dice.once(2) {
                let _ = writeln!(out, "    metadata: {{labels: {{app: {name}}}}}");
            }
            out.push_str("    spec:\n");
            pod(dice, "      ", out);
        }
        3 => {
            head("batch/v1", "CronJob", dice);
            out.push_str("spec:\n  schedule: '* * * * *'\n  jobTemplate:\n    spec:\n      template:\n        spec:\n");
            pod(dice, "          ", out);
        }
        4 => {
            head("v1", "Service", dice);
            let _ = writeln!(
                out,
                "spec:\n  ports: [{{port: 80}}, {{port: 443, protocol: TCP}}]\n  selector: {{app: {name}}}"
            );
        }
        5 => {
            head("v1", "ConfigMap", dice);
            let _ = writeln!(
                out,
                "data:\n  k: {}\n  l: text",
                dice.pick(&["'1'", "v", "\"a\\nb\""])
            );
        }
        6 => {
            head("v1", "Secret", dice);
            out.push_str("data: {k: djE=}\ntype: Opaque\n");
        }
        7 => head("v1", "ServiceAccount", dice),
        8 => {
            head("rbac.authorization.k8s.io/v1", "RoleBinding", dice);
            let _ = writeln!(
                out,
                "roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {}}}\nsubjects:\n- {{kind: ServiceAccount, name: {}}}\n- {{kind: ServiceAccount, name: default, namespace: elsewhere}}",
                dice.pick(NAMES),
                dice.pick(NAMES)
            );
        }
        9 => {
            head("rbac.authorization.k8s.io/v1", "Role", dice);
            let _ = writeln!(
                out,
                "rules: [{{apiGroups: [''], resources: [secrets], resourceNames: [{}], verbs: [get]}}]",
                dice.pick(NAMES)
            );
        }
        10 => {
            head("networking.k8s.io/v1", "Ingress", dice);
            let _ = writeln!(
                out,
                "spec:\n  rules:\n  - host: a.example\n    http:\n      paths:\n      - path: /\n        backend: {{service: {{name: {}, port: {{number: 80}}}}}}\n  tls: [{{secretName: {}}}]",
                dice.pick(NAMES),
                dice.pick(NAMES)
            );
        }
        11 => {
            head("autoscaling/v2", "HorizontalPodAutoscaler", dice);
            let _ = writeln!(
                out,
                "spec:\n  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: {}}}",
                dice.pick(NAMES)
            );
        }
        12 => {
            head("example.com/v1", "Widget", dice);
            let _ = writeln!(
                out,
                "spec:\n  a: {}\n  b: {{c: {}, d: [1, two, {{e: {}}}]}}\n  list: [{{name: x, v: 1}}, {{name: y}}]\n  folded: >-\n    some text\n      more of it\n\n    and the end",
                dice.pick(SCALARS),
                dice.pick(&["1", "'1'", "x"]),
                dice.pick(&["true", "'true'", "null"]),
            );
        }
        13 => {
            head("v1", "Namespace", dice);
        }
        _ => {
            let (version, kind, content) = fields::more(dice, kind - 14);
            let _ = writeln!(out, "apiVersion: {version}\nkind: {kind}");
            metadata(dice, name, out);
            out.push_str(&content);
        }
    }
}

fn generators(dice: &mut Dice, dir: &str, overlay: bool, text: &mut String, files: &mut Files) {
    if !dice.once(3) {
        return;
    }
    let mut behavior = "";
    let mut name = format!("gen-{dir}");
    if overlay && dice.once(2) && !dice.generated.is_empty() {
        behavior = dice.pick(&["\n  behavior: merge", "\n  behavior: replace"]);
        name.clone_from(&dice.generated[0]);
    }
    if !overlay {
        dice.generated.push(name.clone());
    }
    let _ = writeln!(
        text,
        "configMapGenerator:\n- name: {name}{behavior}\n  literals: [a=1, 'b=\"x y\"', c={}]",
        dice.pick(&["", "true", "<&>"])
    );
    if dice.once(2) {
        text.push_str("  files: [file.txt, other=file.txt]\n");
        files.push((format!("{dir}/file.txt"), "one\n  two\n".into()));
    }
    if dice.once(3) {
        text.push_str("  envs: [vars.env]\n");
        files.push((format!("{dir}/vars.env"), "# c\nE=1\n F = 2 \nG\n".into()));
    }
    if dice.once(4) {
        text.push_str("  options: {labels: {gen: 'yes'}, immutable: true}\n");
    }
    if dice.once(2) {
        let _ = writeln!(
            text,
            "secretGenerator:\n- name: sec-{dir}\n  literals: [password={}]",
            "s3cret".repeat(1 + dice.roll(12))
        );
    }
    if dice.once(4) {
        text.push_str("generatorOptions: {disableNameSuffixHash: true, annotations: {g: '1'}}\n");
    }
}

fn transformers(dice: &mut Dice, dir: &str, text: &mut String, files: &mut Files) {
    if dice.once(3) && !text.contains("namePrefix") {
        let _ = writeln!(text, "namePrefix: {}-", dice.pick(&["p", "q"]));
    }
    if dice.once(5) {
        text.push_str("nameSuffix: -s\n");
    }
    if dice.once(4) {
        let _ = writeln!(text, "namespace: {}", dice.pick(&["ns1", "ns2"]));
    }
    match dice.roll(8) {
        0 => {
            let _ = writeln!(text, "commonLabels: {{team: {}}}", dice.pick(&["a", "'1'"]));
        }
        1 => text.push_str("labels:\n- pairs: {tier: x}\n"),
        2 => text.push_str("labels:\n- pairs: {tier: x, app: z}\n  includeSelectors: true\n"),
        3 => text.push_str("labels:\n- pairs: {tier: why}\n  includeTemplates: true\n"),
        4 => text.push_str(
            "labels:\n- pairs: {tier: f}\n  fields:\n  - {path: spec/labels, kind: Widget, create: true}\n  - {path: spec/selector, group: apps}\n",
        ),
        _ => {}
    }
    if dice.once(5) {
        let _ = writeln!(
            text,
            "commonAnnotations: {{note: {}}}",
            dice.pick(&["text", "'8'"])
        );
    }
    if dice.once(4) {
        let field = if dice.once(12) { "imageTags" } else { "images" };
        let _ = writeln!(text, "{field}:");
        for _ in 0..=dice.roll(2) {
            text.push_str(&fields::image(dice));
        }
    }
    if dice.once(3) {
        patches(dice, dir, text, files);
    }
    fields::add(dice, dir, text, files);
}

fn patches(dice: &mut Dice, dir: &str, text: &mut String, files: &mut Files) {
    text.push_str("patches:\n");
    for number in 0..=dice.roll(3) {
        let kind = dice.pick(&[
            "Deployment",
            "StatefulSet",
            "Deployment|DaemonSet",
            "Service",
        ]);
        match dice.roll(18) {
            13.. => text.push_str(&fields::patch(dice)),
            0 | 5 => {
                let _ = writeln!(
                    text,
                    "- target: {{kind: {kind}}}\n  patch: |-\n    - {{op: add, path: /metadata/annotations/patched, value: '{number}'}}\n    - {{op: replace, path: /metadata/labels, value: {{l: \"1\"}}}}"
                );
            }
            1 => {
                let _ = writeln!(
                    text,
                    "- target: {{kind: Widget}}\n  path: json{number}.yaml"
                );
                files.push((
                    format!("{dir}/json{number}.yaml"),
                    "- op: add\n  path: /spec/list/-\n  value: {n: 1.5}\n- op: remove\n  path: /spec/a\n"
                        .into(),
                ));
            }
            2 | 6 | 7 => {
                let _ = writeln!(
                    text,
                    "- target: {{kind: {kind}, name: {}.*}}\n  path: merge{number}.yaml",
                    dice.pick(&["a", "d", ".*-"])
                );
                files.push((
                    format!("{dir}/merge{number}.yaml"),
                    format!(
                        "apiVersion: v1\nkind: Any\nmetadata:\n  name: any\n  labels: {{app: {}}}\nspec:\n  template:\n    spec:\n      containers:\n      - name: side\n        image: busybox\n      - name: c0\n        env:\n        - name: A\n          value: {}\n        - name: N\n          value: new\n        ports: [{{containerPort: 80, protocol: UDP}}, {{containerPort: 81}}]\n",
                        dice.pick(&["patched", "'1'"]),
                        dice.pick(SCALARS),
                    ),
                ));
            }
            3 | 8 => {
                let _ = writeln!(
                    text,
                    "- target: {{kind: Widget}}\n  patch: |-\n    apiVersion: example.com/v1\n    kind: Widget\n    metadata: {{name: x}}\n    spec: {{a: null, b: {{$patch: replace, z: {}}}, list: [{{name: y, w: 2}}]}}",
                    dice.pick(&["1", "'1'", "null"])
                );
            }
            4 => {
                let _ = writeln!(
                    text,
                    "- target: {{kind: ConfigMap, name: {}}}\n  patch: |-\n    $patch: delete\n    apiVersion: v1\n    kind: ConfigMap\n    metadata: {{name: x}}",
                    dice.pick(NAMES)
                );
            }
            12 => {
                let _ = writeln!(
                    text,
                    "- target: {{labelSelector: 'app in (app, db)'}}\n  options: {{allowNameChange: true}}\n  patch: |-\n    apiVersion: v1\n    kind: X\n    metadata: {{name: renamed-{dir}-{number}, annotations: {{q: \"8\"}}}}"
                );
            }
            _ => {
                let _ = writeln!(
                    text,
                    "- target: {{kind: Service}}\n  patch: |-\n    apiVersion: v1\n    kind: Service\n    metadata: {{name: x}}\n    spec: {{ports: [{{port: 443, name: https}}, {{port: 8080}}], type: {}}}",
                    dice.pick(&["NodePort", "null"])
                );
            }
        }
    }
}
