//! Laws of pruning and secrecy, over random input.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gitops_apply::cluster::Write;
use gitops_apply::cluster::memory::Fault;
use gitops_apply::plan::{Action, SkipReason};
use gitops_apply::{Cluster, ClusterError, LiveState, PlanOptions, Reconciler, SyncRequest, plan};
use gitops_core::inventory::Tracking;
use gitops_core::{Gvk, Manifest, Map, ObjectKey, Origin, Value};
use jiff::Timestamp;

use crate::looks::{self, Repository};
use crate::world::{Dice, rounds};

fn map(name: &str, uid: Option<u64>) -> Manifest {
    let mut metadata = Map::from_iter([("name", name), ("namespace", "shop")]);
    if let Some(uid) = uid {
        metadata.insert("uid", format!("uid-{uid}"));
    }
    let object = Map::from_iter([
        ("apiVersion", Value::from("v1")),
        ("kind", Value::from("ConfigMap")),
        ("metadata", metadata.into()),
    ]);
    Manifest::new(object.into(), Origin::default()).expect("an object")
}

/// Two applications whose repositories move, rename, break and empty, and
/// whose clusters cannot always be listed. An object may go only if, at that
/// very moment, everything could be read and nobody wants it.
#[test]
fn an_object_is_deleted_only_if_nobody_wants_it() {
    const HISTORIES: usize = 20_000;
    const NAMES: [&str; 4] = ["a", "b", "c", "d"];
    const APPS: [&str; 2] = ["one", "two"];
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let (mut deleted, mut held) = (0_usize, 0_usize);
    for _ in 0..HISTORIES {
        let mut cluster: BTreeMap<ObjectKey, Manifest> = BTreeMap::new();
        let mut made = 0;
        // What each repository declares, and what of it was read last.
        let mut declared: [BTreeSet<&str>; 2] = Default::default();
        let mut known: [Option<BTreeSet<&str>>; 2] = [None, None];
        for _ in 0..6 {
            let name = NAMES[dice.roll(NAMES.len())];
            let app = dice.roll(2);
            match dice.roll(5) {
                // A rename, a move to the other application, an empty revision.
                0 => {
                    declared[app].remove(name);
                    declared[app].insert(NAMES[dice.roll(NAMES.len())]);
                }
                1 => {
                    if declared[app].remove(name) {
                        declared[1 - app].insert(name);
                    }
                }
                2 if dice.roll(4) == 0 => declared[app].clear(),
                3 => {
                    declared[app].remove(name);
                }
                _ => {
                    declared[app].insert(name);
                }
            }
            let broken = dice.roll(6) == 0;
            let unlisted = dice.roll(6) == 0;
            // A revision that does not render is not planned at all, and what
            // it declares is not known any more.
            if broken {
                known[app] = None;
                continue;
            }
            known[app] = Some(declared[app].clone());
            let desired: Vec<Manifest> = declared[app].iter().map(|name| map(name, None)).collect();
            let mut live = LiveState {
                objects: cluster.clone(),
                ..LiveState::default()
            };
            if unlisted {
                let kind = Gvk::parse("v1", "Secret");
                live.unreadable.push((kind, "forbidden".to_owned()));
            }
            let allow_empty = dice.roll(2) == 0;
            let planned_with = |other: &Option<BTreeSet<&str>>| {
                let mut options = PlanOptions::new(APPS[app], "shop");
                options.prune = true;
                options.allow_empty = allow_empty;
                match other {
                    Some(other) => {
                        let keys = other.iter().map(|name| map(name, None).key().clone());
                        options.claimed = keys.collect();
                    }
                    None => options.complete = false,
                }
                plan(&desired, &live, &options)
            };
            let mut planned = planned_with(&known[1 - app]);
            // Before anything is pruned, the other application is looked at.
            if planned.counts().prune > 0 {
                known[1 - app] = (dice.roll(6) > 0).then(|| declared[1 - app].clone());
                planned = planned_with(&known[1 - app]);
            }
            for task in &planned.tasks {
                let wanted = declared
                    .iter()
                    .any(|names| names.contains(task.key.name.as_str()));
                match &task.action {
                    Action::Prune => {
                        let sure = !unlisted && known.iter().all(Option::is_some);
                        assert!(sure && !wanted, "{planned}");
                        if planned.refusals.is_empty() {
                            deleted += 1;
                            cluster.remove(&task.key);
                        }
                    }
                    Action::Skip {
                        reason: SkipReason::Incomplete | SkipReason::Claimed,
                    } => held += 1,
                    Action::Create | Action::Update if planned.refusals.is_empty() => {
                        made += 1;
                        let mut object = map(&task.key.name, Some(made));
                        Tracking::new(APPS[app]).mark(&mut object, "shop");
                        cluster.insert(task.key.clone(), object);
                    }
                    _ => {}
                }
            }
        }
    }
    // The law would hold if nothing were ever deleted.
    assert!(
        deleted > HISTORIES / 20 && held > HISTORIES / 20,
        "{deleted}, {held}"
    );
}

#[test]
fn budgets_and_protected_kinds_hold() {
    let live = |names: &[&str]| {
        let mut state = LiveState::default();
        for (uid, name) in names.iter().enumerate() {
            let mut object = map(name, u64::try_from(uid).ok());
            Tracking::new("one").mark(&mut object, "shop");
            state.objects.insert(object.key().clone(), object);
        }
        state
    };
    let mut options = PlanOptions::new("one", "shop");
    options.prune = true;
    options.prune_share = Some(50);
    let four = live(&["a", "b", "c", "d"]);
    let refused = plan(&[map("a", None)], &four, &options);
    assert_eq!(
        refused
            .refusals
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["3 of 4 objects would be deleted, and the limit is 50%"]
    );
    let half = plan(&[map("a", None), map("b", None)], &four, &options);
    assert!(half.refusals.is_empty() && half.counts().prune == 2);
    options.protected.insert("ConfigMap".into());
    let kept = plan(&[map("a", None)], &four, &options);
    assert!(kept.refusals.is_empty() && kept.counts().prune == 0);

    // Only the very object that was recorded goes.
    let mut options = PlanOptions::new("one", "shop");
    options.prune = true;
    let mut inventory = gitops_core::inventory::Inventory::default();
    inventory.record(&map("b", Some(1)));
    inventory.record(&map("c", Some(77)));
    options.inventory = Some(inventory);
    let planned = plan(&[map("a", None)], &four, &options);
    let pruned: Vec<&str> = planned
        .tasks
        .iter()
        .filter(|task| task.action == Action::Prune)
        .map(|task| task.key.name.as_str())
        .collect();
    assert_eq!(pruned, ["b"]);
}

/// What the repositories of two applications declare, file by file.
struct Repositories {
    of: [Repository; 2],
    declared: [BTreeSet<&'static str>; 2],
    broken: [bool; 2],
}

impl Repositories {
    const NAMES: [&'static str; 5] = ["a", "b", "c", "d", "e"];

    fn file(name: &str) -> String {
        format!("{name}.yaml")
    }

    fn declare(&mut self, app: usize, name: &'static str, value: usize) {
        let text = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{value: '{value}'}}\n"
        );
        self.of[app].write(&Self::file(name), &text);
        self.declared[app].insert(name);
    }

    fn drop(&mut self, app: usize, name: &'static str) -> bool {
        let had = self.declared[app].remove(name);
        if had {
            self.of[app].remove(&Self::file(name));
        }
        had
    }

    fn repair(&mut self, app: usize) {
        if std::mem::take(&mut self.broken[app]) {
            self.of[app].remove("broken.yaml");
        }
    }

    /// A new revision.
    fn change(&mut self, dice: &mut Dice) {
        let (app, name) = (dice.roll(2), Self::NAMES[dice.roll(Self::NAMES.len())]);
        match dice.roll(8) {
            // A rename, a move to the other application, an empty revision, one
            // that does not render.
            0 => {
                if self.drop(app, name) {
                    let other = Self::NAMES[dice.roll(Self::NAMES.len())];
                    self.declare(app, other, 0);
                }
            }
            1 | 2 => {
                if self.drop(app, name) {
                    self.declare(1 - app, name, 0);
                }
            }
            3 if dice.roll(3) == 0 => {
                for name in Self::NAMES {
                    self.drop(app, name);
                }
            }
            4 if !self.broken[app] && dice.roll(3) == 0 => {
                self.of[app].write(
                    "broken.yaml",
                    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [}\n",
                );
                self.broken[app] = true;
            }
            5 => (0..2).for_each(|app| self.repair(app)),
            6 => {
                self.drop(app, name);
            }
            _ => self.declare(app, name, dice.roll(3)),
        }
    }
}

/// What goes wrong while an application is looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trouble {
    None,
    /// Listings are refused.
    Lists,
    /// One object cannot be applied.
    Applies,
    /// The server goes away at some request, and stays away.
    Server,
}

/// The same law for the whole of it: repositories are rendered, the cluster is
/// read, plans are carried out, by a reconciler with or without a cache and a
/// record.
#[tokio::test(start_paused = true)]
async fn what_a_reconciler_deletes_nobody_wants() {
    let mut dice = Dice(0x0B1E_C7ED_0000_0001);
    let (mut deleted, mut failed) = (0_usize, 0_usize);
    let histories = rounds(40);
    for history in 0..histories {
        let world = crate::memory().await;
        let mut repositories = Repositories {
            of: ["one", "two"].map(|name| match dice.likely() {
                true => Repository::of_git(name),
                false => Repository::new(name),
            }),
            declared: Default::default(),
            broken: [false; 2],
        };
        let apps = [0, 1].map(|app| {
            let name = ["one", "two"][app];
            repositories.of[app].write("README.md", "Not empty for Git's sake.");
            repositories.of[app].app(name, "test", "")
        });
        let foreign = world.config_map("foreign", "", "1");
        let write = Write::by("somebody");
        world
            .cluster
            .apply(&foreign, &write)
            .await
            .expect("applied");

        let mut options = looks::options();
        options.sync.patience = std::time::Duration::ZERO;
        options.cache = (dice.roll(2) == 0).then(Default::default);
        if dice.roll(2) == 0 {
            options.record = |app| gitops_apply::Record::inventory(&app.name, "test");
        }
        let [one, two] = &repositories.of;
        let found = looks::repositories(&[one, two]);
        let mut reconciler = Reconciler::new(&world.cluster, found, options);
        reconciler.manage(&apps);
        let mut now = Timestamp::UNIX_EPOCH;
        let there = || -> BTreeSet<String> {
            let objects = world.cluster.objects();
            let maps = objects
                .keys()
                .filter(|key| key.kind == "ConfigMap" && key.namespace == "test");
            maps.map(|key| key.name.to_string()).collect()
        };
        for step in 0..20 {
            for _ in 0..=dice.roll(2) {
                repositories.change(&mut dice);
            }
            let trouble = match dice.roll(12) {
                0 => Trouble::Lists,
                1 => Trouble::Applies,
                2 => Trouble::Server,
                _ => Trouble::None,
            };
            let (mut left, unlucky) = (dice.roll(12), Repositories::NAMES[dice.roll(5)]);
            let hit = Arc::new(AtomicBool::new(false));
            let noted = hit.clone();
            world.cluster.inject(move |request| {
                let refused = match trouble {
                    Trouble::None => false,
                    Trouble::Lists => request.verb == "list" && request.kind == "ConfigMap",
                    Trouble::Applies => request.verb == "apply" && request.name == unlucky,
                    Trouble::Server => {
                        let up = left > 0;
                        left = left.saturating_sub(1);
                        !up
                    }
                };
                refused.then(|| {
                    noted.store(true, Ordering::Relaxed);
                    Fault::Refuse(match trouble {
                        Trouble::Server => ClusterError::Unreachable("gone".into()),
                        _ => ClusterError::Forbidden {
                            message: "not now".into(),
                        },
                    })
                })
            });
            let before = there();
            let app = &apps[dice.roll(2)];
            let status = match dice.likely() {
                true => reconciler.reconcile(app, now, |_| {}).await,
                false => {
                    let request = SyncRequest {
                        prune: Some(true),
                        dry_run: false,
                    };
                    reconciler.sync(app, request, now, |_| {}).await
                }
            };
            world.cluster.inject(|_| None);
            now += std::time::Duration::from_secs(600);
            let after = there();
            failed += usize::from(status.failed());
            for gone in before.difference(&after) {
                let about = format!("{history}.{step}: {gone}, {trouble:?}: {status}");
                let wanted = repositories
                    .declared
                    .iter()
                    .any(|names| names.contains(gone.as_str()));
                assert!(!wanted, "{about}: it is wanted");
                assert_eq!(repositories.broken, [false; 2], "{about}: who knows");
                assert!(gone != "foreign", "{about}");
                // What went wrong went wrong after everything was decided and
                // applied, or not at all.
                let harmless = !hit.load(Ordering::Relaxed) || trouble == Trouble::Server;
                assert!(harmless, "{about}: something failed");
                deleted += 1;
            }
        }
        // Once all is well, the cluster is what is declared.
        for app in [0, 1] {
            repositories.repair(app);
        }
        for app in apps.iter().chain(&apps) {
            let request = SyncRequest {
                prune: Some(true),
                dry_run: false,
            };
            let status = reconciler.sync(app, request, now, |_| {}).await;
            let report = status.operation.expect("a sync");
            assert!(report.succeeded(), "{history}: {report}");
        }
        let mut expected: BTreeSet<String> = repositories
            .declared
            .iter()
            .flatten()
            .map(|name| (*name).to_owned())
            .collect();
        expected.insert("foreign".to_owned());
        let mut left = there();
        left.retain(|name| !name.starts_with("gitops-inventory-"));
        assert_eq!(
            left, expected,
            "{history}: nothing is missing or left behind"
        );
    }
    assert!(
        deleted > histories / 3 && failed > histories,
        "{deleted}, {failed}"
    );
}
