//! Laws of pruning and secrecy, over random input.

use std::collections::{BTreeMap, BTreeSet};

use gitops_apply::plan::{Action, SkipReason};
use gitops_apply::{LiveState, PlanOptions, plan};
use gitops_core::inventory::Tracking;
use gitops_core::{Gvk, Manifest, Map, ObjectKey, Origin, Value};

use crate::world::Dice;

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
        ["3 of 4 objects would be pruned, and the limit is 50%"]
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
