//! What an API server fills in where a built-in kind says nothing.
//!
//! Follows `pkg/apis/*/*/defaults.go` of Kubernetes 1.36: the defaults that
//! depend on the object alone. What a server allocates (cluster IPs, uids,
//! selectors of Jobs) is not here, and kinds that are not here have none, or
//! none that people meet.
//!
//! Where a list or map is atomic, its owner owns the defaults in it as well;
//! whoever compares such a field has to fill them in first. That is why they
//! sit here, below both comparing and applying.

use crate::{Gvk, List, Map, Value};

/// Fills in the defaults of a built-in kind; other objects stay as they are.
///
/// ```
/// use gitops_core::{Gvk, Map, Value, defaults};
///
/// let mut secret = Map::from_iter([("kind", "Secret")]);
/// defaults::fill(&Gvk::parse("v1", "Secret"), &mut secret);
/// assert_eq!(secret.get("type"), Some(&Value::from("Opaque")));
/// ```
pub fn fill(gvk: &Gvk, object: &mut Map) {
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", kind) => core(kind, object),
        ("apps", kind) => apps(kind, object),
        ("batch", kind) => batch(kind, object),
        ("networking.k8s.io", kind) => networking(kind, object),
        ("autoscaling", "HorizontalPodAutoscaler") => autoscaler(&gvk.version, object),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => binding(object),
        ("storage.k8s.io", "StorageClass") => {
            set(object, "reclaimPolicy", "Delete");
            set(object, "volumeBindingMode", "Immediate");
        }
        ("scheduling.k8s.io", "PriorityClass") => {
            set(object, "preemptionPolicy", "PreemptLowerPriority");
        }
        (
            "admissionregistration.k8s.io",
            "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration",
        ) => webhooks(object, gvk.kind.starts_with('M')),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(object),
        ("apiregistration.k8s.io", "APIService") => {
            if let Some(service) = map(object, "spec").and_then(|spec| map(spec, "service")) {
                set(service, "port", 443);
            }
        }
        _ => {}
    }
}

/// Fills in the defaults of a custom resource's structural schema
/// (`apiextensions-apiserver/pkg/apiserver/schema/defaulting`). A null that the
/// schema does not allow gives way to a default.
pub fn fill_structural(schema: &Value, object: &mut Map) {
    let properties = schema.get("properties").and_then(Value::as_map);
    for (name, schema) in properties.into_iter().flat_map(Map::iter) {
        let unset = match object.get(name) {
            None => true,
            Some(value) => value.is_null() && !is_nullable(schema),
        };
        if let Some(default) = schema.get("default").filter(|_| unset) {
            object.insert(name.clone(), default.clone());
        }
    }
    descend(schema, object, &fill_structural);
}

/// Drops nulls that a custom resource's structural schema does not allow and
/// has no default for: what a server does to objects that it reads, though not
/// to what it merged.
pub fn drop_structural_nulls(schema: &Value, object: &mut Map) {
    object.retain(|name, value| {
        let schema = below(schema, name).filter(|_| value.is_null());
        schema.is_none_or(|schema| is_nullable(schema) || schema.get("default").is_some())
    });
    descend(schema, object, &drop_structural_nulls);
}

fn is_nullable(schema: &Value) -> bool {
    schema.get("nullable").and_then(Value::as_bool) == Some(true)
}

fn below<'s>(schema: &'s Value, name: &str) -> Option<&'s Value> {
    let declared = schema
        .get("properties")
        .and_then(|schemas| schemas.get(name));
    declared.or_else(|| {
        let additional = schema.get("additionalProperties");
        additional.filter(|schema| schema.as_map().is_some())
    })
}

/// Does the work for every map in a map.
fn descend(schema: &Value, object: &mut Map, work: &dyn Fn(&Value, &mut Map)) {
    for (name, value) in object.iter_mut() {
        if let Some(schema) = below(schema, name) {
            descend_value(schema, value, work);
        }
    }
}

fn descend_value(schema: &Value, value: &mut Value, work: &dyn Fn(&Value, &mut Map)) {
    match value {
        Value::Map(map) => work(schema, map),
        Value::List(items) if !items.is_empty() => {
            if let Some(schema) = schema.get("items") {
                for item in items.make_mut() {
                    descend_value(schema, item, work);
                }
            }
        }
        _ => {}
    }
}

fn core(kind: &str, object: &mut Map) {
    match kind {
        "Pod" => {
            if let Some(spec) = map(object, "spec") {
                pod_spec(spec);
                set(spec, "enableServiceLinks", true);
                for list in ["initContainers", "containers"] {
                    each(spec, list, requests_from_limits);
                }
            }
        }
        "PodTemplate" => template(object),
        "ReplicationController" => {
            if let Some(spec) = map(object, "spec") {
                set(spec, "replicas", 1);
                template(spec);
            }
        }
        "Service" => {
            if let Some(spec) = map(object, "spec") {
                service(spec);
            }
        }
        "Secret" => set(object, "type", "Opaque"),
        "PersistentVolumeClaim" => claim(object),
        "PersistentVolume" => {
            if let Some(spec) = map(object, "spec") {
                set(spec, "persistentVolumeReclaimPolicy", "Retain");
                set(spec, "volumeMode", "Filesystem");
                volume_source(spec);
            }
        }
        "Namespace" => {
            let name = object
                .get("metadata")
                .and_then(|metadata| metadata.get("name"))
                .cloned();
            let metadata = made(object, "metadata");
            let labels = made(metadata, "labels");
            if let Some(name) = name {
                labels.insert("kubernetes.io/metadata.name", name);
            }
        }
        "Endpoints" => each(object, "subsets", |subset| {
            each(subset, "ports", |port| set(port, "protocol", "TCP"));
        }),
        _ => {}
    }
}

fn apps(kind: &str, object: &mut Map) {
    let Some(spec) = map(object, "spec") else {
        return;
    };
    template(spec);
    match kind {
        "Deployment" => {
            set(spec, "replicas", 1);
            set(spec, "revisionHistoryLimit", 10);
            set(spec, "progressDeadlineSeconds", 600);
            let strategy = made(spec, "strategy");
            set(strategy, "type", "RollingUpdate");
            if is(strategy, "type", "RollingUpdate") {
                let rolling = made(strategy, "rollingUpdate");
                set(rolling, "maxUnavailable", "25%");
                set(rolling, "maxSurge", "25%");
            }
        }
        "StatefulSet" => {
            set(spec, "replicas", 1);
            set(spec, "revisionHistoryLimit", 10);
            set(spec, "podManagementPolicy", "OrderedReady");
            let strategy = made(spec, "updateStrategy");
            set(strategy, "type", "RollingUpdate");
            if is(strategy, "type", "RollingUpdate") {
                set(made(strategy, "rollingUpdate"), "partition", 0);
            }
            let retention = made(spec, "persistentVolumeClaimRetentionPolicy");
            set(retention, "whenDeleted", "Retain");
            set(retention, "whenScaled", "Retain");
            each(spec, "volumeClaimTemplates", |item| {
                set(item, "apiVersion", "v1");
                set(item, "kind", "PersistentVolumeClaim");
                claim(item);
            });
        }
        "DaemonSet" => {
            set(spec, "revisionHistoryLimit", 10);
            let strategy = made(spec, "updateStrategy");
            set(strategy, "type", "RollingUpdate");
            if is(strategy, "type", "RollingUpdate") {
                let rolling = made(strategy, "rollingUpdate");
                set(rolling, "maxUnavailable", 1);
                set(rolling, "maxSurge", 0);
            }
        }
        "ReplicaSet" => set(spec, "replicas", 1),
        _ => {}
    }
}

fn batch(kind: &str, object: &mut Map) {
    let Some(spec) = map(object, "spec") else {
        return;
    };
    match kind {
        "Job" => {
            template(spec);
            // A Job with a parallelism and no completions is a work queue.
            if !spec.contains_key("completions") && !spec.contains_key("parallelism") {
                set(spec, "completions", 1);
            }
            set(spec, "parallelism", 1);
            let limit = match spec.contains_key("backoffLimitPerIndex") {
                true => i64::from(i32::MAX),
                false => 6,
            };
            set(spec, "backoffLimit", limit);
            set(spec, "completionMode", "NonIndexed");
            set(spec, "suspend", false);
            set(spec, "manualSelector", false);
            let replacement = match spec.contains_key("podFailurePolicy") {
                true => "Failed",
                false => "TerminatingOrFailed",
            };
            set(spec, "podReplacementPolicy", replacement);
            if let Some(policy) = map(spec, "podFailurePolicy") {
                each(policy, "rules", |rule| {
                    each(rule, "onPodConditions", |condition| {
                        set(condition, "status", "True");
                    });
                });
            }
        }
        "CronJob" => {
            set(spec, "concurrencyPolicy", "Allow");
            set(spec, "suspend", false);
            set(spec, "successfulJobsHistoryLimit", 3);
            set(spec, "failedJobsHistoryLimit", 1);
            // Only pods are filled in here; the Job is when it is created.
            if let Some(job) = map(spec, "jobTemplate") {
                made(job, "metadata");
                if let Some(job) = map(job, "spec") {
                    template(job);
                }
            }
        }
        _ => {}
    }
}

fn networking(kind: &str, object: &mut Map) {
    let Some(spec) = map(object, "spec") else {
        return;
    };
    match kind {
        "NetworkPolicy" => {
            for direction in ["ingress", "egress"] {
                each(spec, direction, |rule| {
                    each(rule, "ports", |port| set(port, "protocol", "TCP"));
                });
            }
            if list(spec, "policyTypes").is_empty() {
                let mut types = vec![Value::from("Ingress")];
                if !list(spec, "egress").is_empty() {
                    types.push("Egress".into());
                }
                spec.insert("policyTypes", types.into_iter().collect::<Value>());
            }
        }
        "IngressClass" => {
            if let Some(parameters) = map(spec, "parameters") {
                set(parameters, "scope", "Cluster");
            }
        }
        _ => {}
    }
}

fn autoscaler(version: &str, object: &mut Map) {
    let Some(spec) = map(object, "spec") else {
        return;
    };
    set(spec, "minReplicas", 1);
    if version == "v1" {
        return;
    }
    if list(spec, "metrics").is_empty() {
        let target = Map::from_iter([
            ("type", Value::from("Utilization")),
            ("averageUtilization", 80.into()),
        ]);
        let resource = Map::from_iter([("name", Value::from("cpu")), ("target", target.into())]);
        let metric = Map::from_iter([
            ("type", Value::from("Resource")),
            ("resource", resource.into()),
        ]);
        spec.insert("metrics", List::from_iter([Value::Map(metric)]));
    }
    let Some(behavior) = map(spec, "behavior") else {
        return;
    };
    let policy = |kind: &str, value: i64| {
        Value::from(Map::from_iter([
            ("type", Value::from(kind)),
            ("value", value.into()),
            ("periodSeconds", 15.into()),
        ]))
    };
    let up = made(behavior, "scaleUp");
    set(up, "selectPolicy", "Max");
    set(up, "stabilizationWindowSeconds", 0);
    if list(up, "policies").is_empty() {
        let policies = List::from_iter([policy("Pods", 4), policy("Percent", 100)]);
        up.insert("policies", policies);
    }
    let down = made(behavior, "scaleDown");
    set(down, "selectPolicy", "Max");
    if list(down, "policies").is_empty() {
        down.insert("policies", List::from_iter([policy("Percent", 100)]));
    }
}

fn binding(object: &mut Map) {
    const GROUP: &str = "rbac.authorization.k8s.io";
    if let Some(role) = map(object, "roleRef") {
        set(role, "apiGroup", GROUP);
    }
    each(object, "subjects", |subject| {
        if is(subject, "kind", "User") || is(subject, "kind", "Group") {
            set(subject, "apiGroup", GROUP);
        }
    });
}

fn webhooks(object: &mut Map, mutating: bool) {
    each(object, "webhooks", |hook| {
        set(hook, "failurePolicy", "Fail");
        set(hook, "matchPolicy", "Equivalent");
        set(hook, "timeoutSeconds", 10);
        set(hook, "namespaceSelector", Map::new());
        set(hook, "objectSelector", Map::new());
        if mutating {
            set(hook, "reinvocationPolicy", "Never");
        }
        each(hook, "rules", |rule| set(rule, "scope", "*"));
        if let Some(service) = map(hook, "clientConfig").and_then(|config| map(config, "service")) {
            set(service, "port", 443);
        }
    });
}

fn definition(object: &mut Map) {
    let Some(spec) = map(object, "spec") else {
        return;
    };
    let conversion = made(spec, "conversion");
    set(conversion, "strategy", "None");
    if let Some(service) = map(conversion, "webhook")
        .and_then(|webhook| map(webhook, "clientConfig"))
        .and_then(|config| map(config, "service"))
    {
        set(service, "port", 443);
    }
    if let Some(names) = map(spec, "names")
        && let Some(kind) = names.get("kind").and_then(Value::as_str)
    {
        let (singular, plural) = (kind.to_lowercase(), format!("{kind}List"));
        set(names, "singular", singular);
        set(names, "listKind", plural);
    }
}

fn service(spec: &mut Map) {
    set(spec, "sessionAffinity", "None");
    set(spec, "type", "ClusterIP");
    if is(spec, "sessionAffinity", "ClientIP") {
        let config = made(made(spec, "sessionAffinityConfig"), "clientIP");
        set(config, "timeoutSeconds", 10_800);
    }
    let external = is(spec, "type", "NodePort") || is(spec, "type", "LoadBalancer");
    if external {
        set(spec, "externalTrafficPolicy", "Cluster");
    }
    if external || is(spec, "type", "ClusterIP") {
        set(spec, "internalTrafficPolicy", "Cluster");
    }
    if is(spec, "type", "LoadBalancer") {
        set(spec, "allocateLoadBalancerNodePorts", true);
    }
    each(spec, "ports", |port| {
        set(port, "protocol", "TCP");
        let unset = match port.get("targetPort") {
            None | Some(Value::Null) => true,
            Some(Value::String(name)) => name.is_empty(),
            Some(target) => target.as_i64() == Some(0),
        };
        if unset && let Some(number) = port.get("port").cloned() {
            port.insert("targetPort", number);
        }
    });
}

fn claim(object: &mut Map) {
    if let Some(spec) = map(object, "spec") {
        set(spec, "volumeMode", "Filesystem");
    }
    set(made(object, "status"), "phase", "Pending");
}

/// The pod template below `spec.template`.
fn template(spec: &mut Map) {
    if let Some(template) = map(spec, "template") {
        made(template, "metadata");
        if let Some(pod) = map(template, "spec") {
            pod_spec(pod);
        }
    }
}

fn pod_spec(spec: &mut Map) {
    set(spec, "dnsPolicy", "ClusterFirst");
    set(spec, "restartPolicy", "Always");
    set(spec, "terminationGracePeriodSeconds", 30);
    set(spec, "schedulerName", "default-scheduler");
    made(spec, "securityContext");
    let host_network = spec.get("hostNetwork").and_then(Value::as_bool) == Some(true);
    for containers in ["initContainers", "containers"] {
        each(spec, containers, |each| container(each, host_network));
    }
    each(spec, "ephemeralContainers", |each| container(each, false));
    each(spec, "volumes", volume);
}

fn container(container: &mut Map, host_network: bool) {
    set(container, "terminationMessagePath", "/dev/termination-log");
    set(container, "terminationMessagePolicy", "File");
    let image = container.get("image").and_then(Value::as_str);
    let policy = match is_latest(image.unwrap_or_default()) {
        true => "Always",
        false => "IfNotPresent",
    };
    set(container, "imagePullPolicy", policy);
    // The server writes the struct even if nothing is in it.
    made(container, "resources");
    each(container, "ports", |port| {
        set(port, "protocol", "TCP");
        if host_network && let Some(number) = port.get("containerPort").cloned() {
            set(port, "hostPort", number);
        }
    });
    each(container, "env", |variable| {
        if let Some(field) = map(variable, "valueFrom").and_then(|from| map(from, "fieldRef")) {
            set(field, "apiVersion", "v1");
        }
        if let Some(field) =
            map(variable, "valueFrom").and_then(|from| map(from, "resourceFieldRef"))
        {
            set(field, "divisor", "0");
        }
    });
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = map(container, name) {
            set(probe, "timeoutSeconds", 1);
            set(probe, "periodSeconds", 10);
            set(probe, "successThreshold", 1);
            set(probe, "failureThreshold", 3);
            handler(probe);
            if let Some(grpc) = map(probe, "grpc") {
                set(grpc, "service", "");
            }
        }
    }
    if let Some(lifecycle) = map(container, "lifecycle") {
        for name in ["postStart", "preStop"] {
            if let Some(action) = map(lifecycle, name) {
                handler(action);
            }
        }
    }
}

fn handler(handler: &mut Map) {
    if let Some(get) = map(handler, "httpGet") {
        set(get, "path", "/");
        set(get, "scheme", "HTTP");
    }
}

/// Whether an image is fetched anew each time: by the tag `latest`, or none,
/// and no digest.
fn is_latest(image: &str) -> bool {
    if image.contains('@') {
        return false;
    }
    let name = image.rsplit('/').next().unwrap_or(image);
    match name.split_once(':') {
        None => true,
        Some((_, tag)) => tag == "latest" || tag.is_empty(),
    }
}

fn requests_from_limits(container: &mut Map) {
    let Some(resources) = map(container, "resources") else {
        return;
    };
    let Some(Value::Map(limits)) = resources.get("limits").cloned() else {
        return;
    };
    let requests = made(resources, "requests");
    for (name, amount) in &limits {
        if !requests.contains_key(name) {
            requests.insert(name.clone(), amount.clone());
        }
    }
}

fn volume(volume: &mut Map) {
    if volume.len() == 1 && volume.contains_key("name") {
        volume.insert("emptyDir", Map::new());
    }
    volume_source(volume);
}

fn volume_source(source: &mut Map) {
    for name in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(files) = map(source, name) {
            set(files, "defaultMode", 0o644);
        }
    }
    if let Some(downward) = map(source, "downwardAPI") {
        each(downward, "items", downward_file);
    }
    if let Some(projected) = map(source, "projected") {
        each(projected, "sources", |source| {
            if let Some(token) = map(source, "serviceAccountToken") {
                set(token, "expirationSeconds", 3600);
            }
            if let Some(downward) = map(source, "downwardAPI") {
                each(downward, "items", downward_file);
            }
        });
    }
    if let Some(path) = map(source, "hostPath") {
        set(path, "type", "");
    }
    if let Some(iscsi) = map(source, "iscsi") {
        set(iscsi, "iscsiInterface", "default");
    }
    if let Some(image) = map(source, "image") {
        let reference = image.get("reference").and_then(Value::as_str);
        let policy = match is_latest(reference.unwrap_or_default()) {
            true => "Always",
            false => "IfNotPresent",
        };
        set(image, "pullPolicy", policy);
    }
    if let Some(template) =
        map(source, "ephemeral").and_then(|ephemeral| map(ephemeral, "volumeClaimTemplate"))
    {
        made(template, "metadata");
        if let Some(spec) = map(template, "spec") {
            set(spec, "volumeMode", "Filesystem");
        }
    }
}

fn downward_file(file: &mut Map) {
    if let Some(field) = map(file, "fieldRef") {
        set(field, "apiVersion", "v1");
    }
    if let Some(field) = map(file, "resourceFieldRef") {
        set(field, "divisor", "0");
    }
}

/// Sets a field that is absent or null.
fn set(map: &mut Map, key: &str, value: impl Into<Value>) {
    if map.get(key).is_none_or(Value::is_null) {
        map.insert(key, value);
    }
}

fn is(map: &Map, key: &str, text: &str) -> bool {
    map.get(key).and_then(Value::as_str) == Some(text)
}

/// The map below a key, if there is one.
fn map<'a>(parent: &'a mut Map, key: &str) -> Option<&'a mut Map> {
    parent.get_mut(key)?.as_map_mut()
}

/// The map below a key, made if there is none. A server has refused whatever
/// else may stand there.
fn made<'a>(parent: &'a mut Map, key: &str) -> &'a mut Map {
    let value = parent.entry(key);
    if value.as_map().is_none() {
        *value = Value::Map(Map::new());
    }
    value.as_map_mut().expect("made above")
}

fn list<'a>(parent: &'a Map, key: &str) -> &'a [Value] {
    parent.get(key).and_then(Value::as_list).unwrap_or_default()
}

/// Visits the maps of a list.
fn each(parent: &mut Map, key: &str, mut visit: impl FnMut(&mut Map)) {
    // A list without maps is not copied.
    if !list(parent, key).iter().any(|item| item.as_map().is_some()) {
        return;
    }
    if let Some(Value::List(items)) = parent.get_mut(key) {
        for item in items.make_mut() {
            if let Value::Map(item) = item {
                visit(item);
            }
        }
    }
}
