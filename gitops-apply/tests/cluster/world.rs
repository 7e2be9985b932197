//! Clusters to test on, and objects to test with.

use std::time::Duration;

use gitops_apply::report::Event;
use gitops_apply::{
    Cluster, LiveOptions, LiveState, Plan, PlanOptions, Scan, SyncOptions, SyncReport, plan, sync,
};
use gitops_core::{Gvk, Manifest, ObjectKey, Origin, manifest};

/// A cluster and a place in it.
pub(crate) struct World<C> {
    pub(crate) cluster: C,
    /// The test's own namespace; it exists.
    pub(crate) namespace: String,
    /// Makes the server go away for some seconds, right now.
    pub(crate) outage: Box<dyn Fn() + Send + Sync>,
}

impl<C: Cluster> World<C> {
    pub(crate) async fn prepare(&self) {
        let namespace = yaml(&format!(
            r#"{{"apiVersion": "v1", "kind": "Namespace", "metadata": {{"name": {:?}}}}}"#,
            self.namespace
        ));
        let write = gitops_apply::cluster::Write::by("test");
        self.cluster
            .apply(&namespace, &write)
            .await
            .expect("a namespace");
    }

    pub(crate) fn plan_options(&self) -> PlanOptions {
        let mut options = PlanOptions::new(format!("app-{}", self.namespace), &*self.namespace);
        options.prune = true;
        options.now = 1_700_000_000;
        options.revision = "0123456789abcdef".into();
        options
    }

    pub(crate) async fn live(&self, desired: &[Manifest]) -> LiveState {
        let mut options = LiveOptions::new(format!("app-{}", self.namespace), &*self.namespace);
        options.namespaces = vec![self.namespace.as_str().into()];
        options.scan = Scan::Kinds(
            [
                ("v1", "ConfigMap"),
                ("apps/v1", "Deployment"),
                ("batch/v1", "Job"),
            ]
            .map(|(version, kind)| Gvk::parse(version, kind))
            .to_vec(),
        );
        LiveState::read(&self.cluster, desired, &options)
            .await
            .expect("the live state")
    }

    pub(crate) async fn plan(&self, desired: &[Manifest]) -> Plan {
        plan(desired, &self.live(desired).await, &self.plan_options())
    }

    /// Plans and syncs; gives the report and what was observed, one line for
    /// each event.
    pub(crate) async fn sync(&self, desired: &[Manifest]) -> (SyncReport, Vec<String>) {
        let options = SyncOptions {
            timeout: Some(Duration::from_secs(120)),
            ..SyncOptions::default()
        };
        self.sync_with(desired, &self.plan_options(), &options)
            .await
    }

    pub(crate) async fn sync_with(
        &self,
        desired: &[Manifest],
        plan_options: &PlanOptions,
        options: &SyncOptions,
    ) -> (SyncReport, Vec<String>) {
        let plan = plan(desired, &self.live(desired).await, plan_options);
        let mut log = Vec::new();
        let report = sync(&plan, &self.cluster, options, |event| {
            log.extend(line(event))
        })
        .await;
        (report, log)
    }

    pub(crate) async fn get(&self, version: &str, kind: &str, name: &str) -> Option<Manifest> {
        let key = self.key(version, kind, name);
        let version = version.rsplit('/').next().unwrap_or_default();
        self.cluster.get(&key, version).await.expect("an answer")
    }

    pub(crate) fn key(&self, version: &str, kind: &str, name: &str) -> ObjectKey {
        ObjectKey {
            group: Gvk::parse(version, kind).group,
            kind: kind.into(),
            namespace: self.namespace.as_str().into(),
            name: name.into(),
        }
    }

    /// An object in the test's namespace.
    pub(crate) fn object(&self, json: &str) -> Manifest {
        let mut object = yaml(json);
        object.set_namespace(&self.namespace);
        object
    }

    pub(crate) fn config_map(&self, name: &str, annotations: &str, value: &str) -> Manifest {
        self.object(&format!(
            r#"{{"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {{"name": {name:?}, "annotations": {{{annotations}}}}},
                "data": {{"value": {value:?}}}}}"#
        ))
    }

    /// A Deployment; `selector` is empty, or ends in a comma.
    pub(crate) fn deployment(&self, name: &str, annotations: &str, selector: &str) -> Manifest {
        let comma = if annotations.is_empty() { "" } else { "," };
        self.object(&format!(
            r#"{{"apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {{"name": {name:?}, "annotations": {{"for": "test"{comma}{annotations}}}}},
                "spec": {{"replicas": 2, "progressDeadlineSeconds": 100,
                    "selector": {{"matchLabels": {{"app": {name:?}}}}},
                    "template": {{"metadata": {{"labels": {{"app": {name:?}}}}},
                        "spec": {{{selector} "containers": [
                            {{"name": "main", "image": "registry.example/main:1"}}]}}}}}}}}"#
        ))
    }

    pub(crate) fn job(&self, name: &str, annotations: &str, spec: &str) -> Manifest {
        self.object(&format!(
            r#"{{"apiVersion": "batch/v1", "kind": "Job",
                "metadata": {{"name": {name:?}, "annotations": {{{annotations}}}}},
                "spec": {{{spec} "backoffLimit": 0, "template": {{"spec": {{"restartPolicy": "Never",
                    "containers": [{{"name": "main", "image": "registry.example/job:1"}}]}}}}}}}}"#
        ))
    }
}

/// One line of what an event says.
pub(crate) fn line(event: &Event) -> Option<String> {
    Some(match event {
        Event::Wave { phase, wave, tasks } => format!("{phase} {wave}: {tasks} tasks"),
        Event::Object { result } => format!(
            "{} {} {} ({})",
            result.key.kind, result.key.name, result.status, result.hook_phase
        ),
        Event::Finished { phase, message } => format!("{phase}: {message}"),
        _ => return None,
    })
}

/// An object written as JSON.
pub(crate) fn yaml(json: &str) -> Manifest {
    let mut objects = manifest::parse(json.as_bytes(), &Origin::default()).expect("JSON");
    objects.remove(0)
}

/// How often a random test goes round: `GITOPS_TEST_ROUNDS`, or what is bearable.
pub(crate) fn rounds(bearable: usize) -> usize {
    let rounds = std::env::var("GITOPS_TEST_ROUNDS").ok();
    rounds.map_or(bearable, |rounds| {
        rounds.parse().expect("GITOPS_TEST_ROUNDS is a number")
    })
}

/// The numbers of xorshift64*.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(number).expect("31 bits") % sides
    }

    pub(crate) fn one<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.roll(of.len())]
    }

    pub(crate) fn likely(&mut self) -> bool {
        self.roll(3) > 0
    }
}
