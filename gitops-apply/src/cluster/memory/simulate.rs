//! What a server and its controllers write: allocations at once, and `status`
//! after a while.

use std::time::Duration;

use gitops_core::{List, Manifest, Map, ObjectKey, Str, Value};

/// What a new object gets beside its uid: addresses, selectors, a first
/// status. `made` is a number that no other object has.
pub(super) fn begin(object: &mut Manifest, made: u64) {
    let (group, kind) = (object.key().group.clone(), object.key().kind.clone());
    let uid = super::text(object, &["metadata", "uid"]);
    let name = object.key().name.clone();
    super::change(object, |object| match (group.as_str(), kind.as_str()) {
        ("", "Namespace") => {
            let spec =
                Map::from_iter([("finalizers", List::from_iter([Value::from("kubernetes")]))]);
            object.insert("spec", spec);
            object.insert("status", Map::from_iter([("phase", "Active")]));
        }
        ("", "Service") => {
            if let Some(Value::Map(spec)) = object.get_mut("spec") {
                address(spec, made);
            }
            object.insert("status", Map::from_iter([("loadBalancer", Map::new())]));
        }
        ("", "Pod") => {
            let status = Map::from_iter([("phase", "Pending"), ("qosClass", "BestEffort")]);
            object.insert("status", status);
        }
        ("batch", "Job") => {
            let labels = Map::from_iter([
                ("batch.kubernetes.io/controller-uid", uid.clone()),
                ("batch.kubernetes.io/job-name", name.clone()),
                ("controller-uid", uid.clone()),
                ("job-name", name.clone()),
            ]);
            if let Some(Value::Map(spec)) = object.get_mut("spec") {
                if let Some(Value::Map(template)) = spec.get_mut("template") {
                    let metadata = template.entry("metadata");
                    if metadata.as_map().is_none() {
                        *metadata = Value::Map(Map::new());
                    }
                    if let Value::Map(metadata) = metadata {
                        let own = metadata.entry("labels");
                        if own.as_map().is_none() {
                            *own = Value::Map(Map::new());
                        }
                        if let Value::Map(own) = own {
                            for (name, value) in labels {
                                own.insert(name, value);
                            }
                        }
                    }
                }
                let selected =
                    Map::from_iter([("batch.kubernetes.io/controller-uid", uid.clone())]);
                spec.insert("selector", Map::from_iter([("matchLabels", selected)]));
            }
            object.insert("status", Map::new());
        }
        ("apps" | "autoscaling" | "policy", _)
        | ("batch", "CronJob")
        | ("networking.k8s.io", "Ingress") => {
            object.insert("status", Map::new());
        }
        _ => {}
    });
}

fn address(spec: &mut Map, made: u64) {
    if spec.get("type").and_then(Value::as_str) == Some("ExternalName") {
        return;
    }
    if spec.get("clusterIP").is_none() {
        let address = format!("10.96.{}.{}", (made >> 8) & 255, made & 255);
        spec.insert("clusterIP", address);
    }
    let address = spec.get("clusterIP").cloned().unwrap_or_default();
    spec.insert("clusterIPs", List::from_iter([address]));
    spec.insert("ipFamilies", List::from_iter([Value::from("IPv4")]));
    spec.insert("ipFamilyPolicy", "SingleStack");
}

/// What a server keeps if an update does not say otherwise.
pub(super) fn carry_over(object: &mut Map, live: &Map) {
    let is = |kind: &str| object.get("kind").and_then(Value::as_str) == Some(kind);
    let fields: &[&str] = if is("Service") {
        &["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"]
    } else if is("Namespace") {
        if let Some(spec) = live.get("spec") {
            object.insert("spec", spec.clone());
        }
        return;
    } else if is("Job") {
        &["selector"]
    } else {
        return;
    };
    let Some(Value::Map(old)) = live.get("spec") else {
        return;
    };
    if let Some(Value::Map(spec)) = object.get_mut("spec") {
        for field in fields {
            if !spec.contains_key(field)
                && let Some(value) = old.get(field)
            {
                spec.insert(*field, value.clone());
            }
        }
    }
}

/// What a controller does to the status of one generation of an object.
pub(super) struct Step {
    pub(super) key: ObjectKey,
    pub(super) uid: Str,
    pub(super) generation: i64,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    /// It becomes what it was made for.
    Succeed,
    /// It waited too long.
    GiveUp,
}

/// What controllers will do with the object, and when.
pub(super) fn steps(object: &Manifest, delay: Duration) -> Vec<(Duration, Step)> {
    let step = |what| Step {
        key: object.key().clone(),
        uid: super::text(object, &["metadata", "uid"]),
        generation: object
            .at(&["metadata", "generation"])
            .and_then(Value::as_i64)
            .unwrap_or_default(),
        what,
    };
    let seconds = |path: &[&str]| {
        let seconds = object.at(path).and_then(Value::as_i64)?;
        Some(Duration::from_secs(u64::try_from(seconds).ok()?))
    };
    let (group, kind) = (object.key().group.as_str(), object.key().kind.as_str());
    match (group, kind) {
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") => {
            if finds_a_node(object.at(&["spec", "template", "spec"])) {
                vec![(delay, step(What::Succeed))]
            } else {
                let patience = seconds(&["spec", "progressDeadlineSeconds"]);
                let patience = patience.filter(|_| kind == "Deployment");
                patience
                    .map(|patience| (patience.max(delay), step(What::GiveUp)))
                    .into_iter()
                    .collect()
            }
        }
        ("batch", "Job") => {
            let parallel = object.at(&["spec", "parallelism"]).and_then(Value::as_i64);
            let runs =
                parallel != Some(0) && finds_a_node(object.at(&["spec", "template", "spec"]));
            let suspended = object.at(&["spec", "suspend"]).and_then(Value::as_bool) == Some(true);
            if runs || suspended {
                vec![(delay, step(What::Succeed))]
            } else {
                seconds(&["spec", "activeDeadlineSeconds"])
                    .map(|deadline| (deadline.max(delay), step(What::GiveUp)))
                    .into_iter()
                    .collect()
            }
        }
        ("", "Pod") if !finds_a_node(object.at(&["spec"])) => Vec::new(),
        ("", "Pod" | "PersistentVolumeClaim" | "Service")
        | ("networking.k8s.io", "Ingress")
        | ("autoscaling", "HorizontalPodAutoscaler")
        | ("policy", "PodDisruptionBudget")
        | ("apiregistration.k8s.io", "APIService") => vec![(delay, step(What::Succeed))],
        _ => Vec::new(),
    }
}

/// There is one node, of Linux, with no other labels.
fn finds_a_node(pod: Option<&Value>) -> bool {
    pod.and_then(|pod| pod.get("nodeSelector")?.as_map())
        .is_none_or(|labels| {
            labels
                .iter()
                .all(|(name, value)| name == "kubernetes.io/os" && value.as_str() == Some("linux"))
        })
}

impl Step {
    /// Writes the status.
    pub(super) fn take(&self, object: &mut Map, time: &str) {
        let number = |path: &[&str], default: i64| {
            let spec = object.get("spec").and_then(|spec| spec.at(path));
            spec.and_then(Value::as_i64).unwrap_or(default)
        };
        let condition = |kind: &str, status: &str, reason: &str, message: &str| {
            Value::Map(Map::from_iter([
                ("type", kind),
                ("status", status),
                ("reason", reason),
                ("message", message),
                ("lastTransitionTime", time),
            ]))
        };
        let replicas = number(&["replicas"], 1);
        let name = &self.key.name;
        let mut status = match object.get("status") {
            Some(Value::Map(status)) => status.clone(),
            _ => Map::new(),
        };
        let mut set = |name: &str, value: Value| {
            status.insert(name, value);
        };
        match (self.key.kind.as_str(), self.what) {
            ("Deployment", What::Succeed) => {
                for count in [
                    "replicas",
                    "updatedReplicas",
                    "readyReplicas",
                    "availableReplicas",
                ] {
                    set(count, replicas.into());
                }
                let available = condition(
                    "Available",
                    "True",
                    "MinimumReplicasAvailable",
                    "Deployment has minimum availability.",
                );
                let message = format!("Deployment {name:?} has successfully progressed.");
                let progressing =
                    condition("Progressing", "True", "NewReplicaSetAvailable", &message);
                set(
                    "conditions",
                    List::from_iter([available, progressing]).into(),
                );
            }
            ("Deployment", What::GiveUp) => {
                set("replicas", replicas.into());
                set("updatedReplicas", replicas.into());
                set("unavailableReplicas", replicas.into());
                let message = format!("Deployment {name:?} has timed out progressing.");
                let late = condition("Progressing", "False", "ProgressDeadlineExceeded", &message);
                set("conditions", List::from_iter([late]).into());
            }
            ("StatefulSet", _) => {
                for count in [
                    "replicas",
                    "updatedReplicas",
                    "readyReplicas",
                    "availableReplicas",
                    "currentReplicas",
                ] {
                    set(count, replicas.into());
                }
                let revision = format!("{name}-{}", self.generation);
                set("currentRevision", revision.clone().into());
                set("updateRevision", revision.into());
            }
            ("DaemonSet", _) => {
                for count in [
                    "currentNumberScheduled",
                    "desiredNumberScheduled",
                    "numberAvailable",
                    "numberReady",
                    "updatedNumberScheduled",
                ] {
                    set(count, 1.into());
                }
                set("numberMisscheduled", 0.into());
            }
            ("ReplicaSet", _) => {
                for count in [
                    "replicas",
                    "readyReplicas",
                    "availableReplicas",
                    "fullyLabeledReplicas",
                ] {
                    set(count, replicas.into());
                }
            }
            ("Job", What::Succeed) if is_suspended(object) => {
                let suspended = condition("Suspended", "True", "JobSuspended", "Job suspended");
                set("conditions", List::from_iter([suspended]).into());
            }
            ("Job", What::Succeed) => {
                set("startTime", time.into());
                set("completionTime", time.into());
                set("succeeded", number(&["completions"], 1).into());
                set("ready", 0.into());
                let message = "Reached expected number of succeeded pods";
                let met = condition("SuccessCriteriaMet", "True", "CompletionsReached", message);
                let complete = condition("Complete", "True", "CompletionsReached", message);
                set("conditions", List::from_iter([met, complete]).into());
            }
            ("Job", What::GiveUp) => {
                set("startTime", time.into());
                let message = "Job was active longer than specified deadline";
                let target = condition("FailureTarget", "True", "DeadlineExceeded", message);
                let failed = condition("Failed", "True", "DeadlineExceeded", message);
                set("conditions", List::from_iter([target, failed]).into());
            }
            ("Pod", _) => {
                let policy = object
                    .get("spec")
                    .and_then(|spec| spec.get("restartPolicy"));
                if policy.and_then(Value::as_str) == Some("Always") {
                    set("phase", "Running".into());
                    let ready = condition("Ready", "True", "", "");
                    set("conditions", List::from_iter([ready]).into());
                } else {
                    set("phase", "Succeeded".into());
                }
            }
            ("PersistentVolumeClaim", _) => set("phase", "Bound".into()),
            ("Service", _) => {
                let kind = object.get("spec").and_then(|spec| spec.get("type"));
                if kind.and_then(Value::as_str) == Some("LoadBalancer") {
                    set("loadBalancer", balancer());
                }
            }
            ("Ingress", _) => set("loadBalancer", balancer()),
            ("HorizontalPodAutoscaler", _) => {
                set("currentReplicas", 1.into());
                set("desiredReplicas", 1.into());
                let able = condition(
                    "AbleToScale",
                    "True",
                    "ReadyForNewScale",
                    "recommended size matches current size",
                );
                set("conditions", List::from_iter([able]).into());
            }
            ("PodDisruptionBudget", _) => {
                let allowed = condition("DisruptionAllowed", "True", "SufficientPods", "");
                set("conditions", List::from_iter([allowed]).into());
            }
            ("APIService", _) => {
                let passed = condition("Available", "True", "Passed", "all checks passed");
                set("conditions", List::from_iter([passed]).into());
            }
            _ => {}
        }
        if matches!(
            self.key.kind.as_str(),
            "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "PodDisruptionBudget"
        ) {
            set("observedGeneration", self.generation.into());
        }
        object.insert("status", status);
    }
}

fn is_suspended(object: &Map) -> bool {
    let spec = object.get("spec").and_then(|spec| spec.get("suspend"));
    spec.and_then(Value::as_bool) == Some(true)
}

/// An address for documentation, which leads nowhere.
fn balancer() -> Value {
    let address = Map::from_iter([("ip", "192.0.2.1")]);
    let ingress = List::from_iter([Value::Map(address)]);
    Map::from_iter([("ingress", ingress)]).into()
}
