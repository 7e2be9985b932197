//! What Secrets hold appears nowhere.
//!
//! Random Secrets are declared, created, changed, refused and deleted; whatever
//! is printed meanwhile is searched for their values, in every encoding that
//! somebody could read.

use std::fmt::{Debug, Display};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use gitops_apply::cluster::{Selection, Write};
use gitops_apply::{Cluster, LiveOptions, LiveState, Scan, SyncOptions, plan, sync};
use gitops_core::app::IgnoreDifference;
use gitops_core::{Gvk, Manifest, Value, json};
use serde::Serialize;

use crate::world::{Dice, World};

/// The letters that stand in values, and what has been printed.
#[derive(Default)]
pub(crate) struct Search {
    canaries: Vec<String>,
    printed: String,
}

impl Search {
    /// A text that stands nowhere else.
    pub(crate) fn canary(&mut self, dice: &mut Dice) -> String {
        const LETTERS: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
        let letter = |_| char::from(LETTERS[dice.roll(LETTERS.len())]);
        let canary: String = (0..10).map(letter).collect();
        self.canaries.push(canary.clone());
        canary
    }

    pub(crate) fn say(&mut self, text: impl Display) {
        self.printed.push_str(&text.to_string());
        self.printed.push('\n');
    }

    pub(crate) fn show(&mut self, value: &(impl Debug + ?Sized)) {
        self.say(format!("{value:?} {value:#?}"));
    }

    pub(crate) fn write(&mut self, value: &(impl Serialize + Debug)) {
        self.show(value);
        self.say(serde_json::to_string(value).expect("JSON"));
    }

    /// Searches all that was printed for all values.
    pub(crate) fn finish(&mut self, about: &str) {
        let printed = std::mem::take(&mut self.printed);
        assert!(!printed.is_empty());
        for canary in &self.canaries {
            for form in forms(canary) {
                let Some(at) = printed.find(&form) else {
                    continue;
                };
                let from = printed[..at].char_indices().rev().nth(200);
                let from = from.map_or(0, |(at, _)| at);
                let to = printed[at..].char_indices().nth(200);
                let to = to.map_or(printed.len(), |(to, _)| at + to);
                panic!("{about}: {canary} as {form} in {}", &printed[from..to]);
            }
        }
    }
}

/// What a canary looks like, in the middle of something else.
fn forms(canary: &str) -> Vec<String> {
    let mut forms = vec![canary.to_owned()];
    let encoded = |text: &[u8]| {
        let mut forms = Vec::new();
        for shift in 0..3 {
            let shifted = [&b"  "[..shift], text].concat();
            let whole = shifted.len() * 8 / 6;
            for code in [
                BASE64_STANDARD_NO_PAD.encode(&shifted),
                BASE64_URL_SAFE_NO_PAD.encode(&shifted),
            ] {
                forms.push(code[(shift * 8).div_ceil(6)..whole].to_owned());
            }
        }
        forms
    };
    let once = encoded(canary.as_bytes());
    forms.extend(once.iter().flat_map(|code| encoded(code.as_bytes())));
    forms.extend(once);
    let bytes = |each: fn(u8) -> String| canary.bytes().map(each).collect::<String>();
    forms.extend([
        bytes(|byte| format!("{byte:02x}")),
        bytes(|byte| format!("{byte:02X}")),
        bytes(|byte| format!("{byte} ")),
        bytes(|byte| format!("{byte}, ")),
        bytes(|byte| format!("0x{byte:02x}, ")),
    ]);
    forms
}

/// A value, as bytes.
fn value(search: &mut Search, dice: &mut Dice) -> Vec<u8> {
    let mut canary = || search.canary(dice);
    let (one, two) = (canary(), canary());
    match dice.roll(9) {
        0 => one.into_bytes(),
        1 => format!("first: {one}\nsecond: {two}\n").into_bytes(),
        2 => format!("say \"{one}\" \\ <&> \t '{two}'\r\n").into_bytes(),
        3 => [&[0, 255, 7][..], one.as_bytes(), &[128, 200]].concat(),
        4 => format!("pässwort {one} \u{1f511}\u{7}").into_bytes(),
        5 => format!(r#"{{"user": "{one}", "auths": {{"x": {{"auth": "{two}"}}}}}}"#).into_bytes(),
        6 => BASE64_STANDARD.encode(one).into_bytes(),
        7 => one
            .bytes()
            .flat_map(|byte| format!("{byte:02x}").into_bytes())
            .collect(),
        _ => format!("-----BEGIN KEY-----\n{one}{two}\n{two}{one}==\n-----END KEY-----\n")
            .into_bytes(),
    }
}

/// A random Secret of a name. One in a few is one that no server takes.
pub(crate) fn secret(search: &mut Search, dice: &mut Dice, name: &str) -> Value {
    let (mut data, mut plain) = (Vec::new(), Vec::new());
    for key in ["password", "token", "tls.key", ".dockerconfigjson"] {
        let value = value(search, dice);
        match (dice.roll(4), String::from_utf8(value.clone())) {
            (0, _) => {}
            (1, Ok(text)) => plain.push((key, Value::from(text))),
            _ => data.push((key, Value::from(BASE64_STANDARD.encode(value)))),
        }
    }
    let odd = search.canary(dice);
    match dice.roll(32) {
        0 => data.push(("odd", format!("{odd}!").into())),
        1 => data.push((
            "odd",
            BASE64_URL_SAFE_NO_PAD.encode(format!("?>{odd}")).into(),
        )),
        2 => plain.push(("odd", gitops_core::Map::from_iter([("deep", odd)]).into())),
        3 => plain.push(("not a key!", odd.into())),
        4 => plain.push(("odd", Value::from_iter([Value::from(odd)]))),
        _ => {}
    }
    let map = |pairs: Vec<(&str, Value)>| Value::Map(pairs.into_iter().collect());
    let mut object = gitops_core::Map::from_iter([
        ("apiVersion", Value::from("v1")),
        ("kind", Value::from("Secret")),
    ]);
    let mut metadata = gitops_core::Map::from_iter([("name", Value::from(name))]);
    object.insert("metadata", metadata.clone());
    object.insert("data", map(data));
    object.insert("stringData", map(plain));
    if dice.roll(8) == 0 {
        object.insert("immutable", true);
    }
    let kind = match dice.roll(12) {
        0 => "kubernetes.io/dockerconfigjson",
        1 => "kubernetes.io/tls",
        _ => "Opaque",
    };
    object.insert("type", kind);
    // Clients and controllers keep copies.
    let copy = json::to_string(&Value::Map(object.clone()));
    let mut annotations = gitops_core::Map::new();
    if dice.roll(3) == 0 {
        annotations.insert(
            "kubectl.kubernetes.io/last-applied-configuration",
            copy.clone(),
        );
    }
    if dice.roll(4) == 0 {
        annotations.insert("example.com/handled", copy.clone());
    }
    if dice.roll(8) == 0 {
        annotations.insert("example.com/packed", BASE64_STANDARD.encode(&copy));
    }
    metadata.insert("annotations", annotations);
    object.insert("metadata", metadata);
    object.into()
}

fn manifest<C: Cluster>(world: &World<C>, value: &Value) -> Manifest {
    world.object(&json::to_string(value))
}

/// Rounds of planning, syncing and asking. In some of them syncs are disturbed
/// by somebody who knows the values.
pub(crate) async fn secrets_appear_nowhere<C: Cluster>(
    world: &World<C>,
    rounds: usize,
    disturb: impl Fn(Option<&[String]>),
) {
    let mut dice = Dice(0x5EC2_E75A_11CE_0001);
    let gvk = Gvk::parse("v1", "Secret");
    let mut done = 0;
    for round in 0..rounds {
        let mut search = Search::default();
        let names = ["one", "two", "three"];
        // Whoever was here before.
        for name in names {
            if dice.roll(2) == 0 {
                continue;
            }
            let object = manifest(world, &secret(&mut search, &mut dice, name));
            let write = Write {
                force: dice.roll(2) == 0,
                ..Write::by(dice.one(&["other", "gitops", "kubectl-client-side-apply"]))
            };
            let answer = match dice.roll(3) {
                0 => world.cluster.create(&object, &write).await,
                1 => world.cluster.replace(&object, &write).await,
                _ => world.cluster.apply(&object, &write).await,
            };
            search.show(&answer);
            if let Err(error) = answer {
                search.say(&error);
                search.say(error.explain());
            }
        }
        let declared: Vec<Manifest> = names
            .iter()
            .filter_map(|name| {
                let declared = dice.likely();
                declared.then(|| manifest(world, &secret(&mut search, &mut dice, name)))
            })
            .collect();
        search.show(&declared);

        let mut live = LiveOptions::new(format!("app-{}", world.namespace), &*world.namespace);
        live.namespaces = vec![world.namespace.as_str().into()];
        live.scan = Scan::Kinds(vec![gvk.clone()]);
        let live = LiveState::read(&world.cluster, &declared, &live)
            .await
            .expect("read");
        search.show(&live);
        let mut options = world.plan_options();
        options.allow_empty = true;
        options.app.replace = dice.roll(6) == 0;
        options.app.force = dice.roll(3) == 0;
        options.app.respect_ignored = dice.roll(3) == 0;
        options.apply_unchanged = dice.roll(3) == 0;
        if dice.roll(2) == 0 {
            let jq = dice.one(&[
                ".data.password",
                ".data | .[]?",
                ".data[.data.token]",
                ".data.token | tonumber",
            ]);
            options.ignore.push(IgnoreDifference {
                group: "*".into(),
                kind: "Secret".into(),
                json_pointers: vec!["/data/token".into()],
                jq_path_expressions: vec![jq.into()],
                managed_fields_managers: vec!["other".into()],
                name: "".into(),
                namespace: "".into(),
            });
        }
        let plan = plan(&declared, &live, &options);
        search.say(&plan);
        search.write(&plan);
        search.show(&options);
        for task in &plan.tasks {
            search.write(task);
            search.show(&task.prediction());
            for difference in task.difference.iter().cloned().chain(task.preview()) {
                search.say(&difference);
                search.write(&difference);
                search.say(difference.unified(false).expect("text"));
                search.say(difference.unified(true).expect("text"));
                search.write(&difference.json_patch());
                search.show(&(difference.before(), difference.after()));
                for change in difference.changes.iter().chain(&difference.overlooked) {
                    search.say(change);
                    search.write(change);
                }
            }
        }
        let how = SyncOptions {
            force_conflicts: dice.roll(3) > 0,
            dry_run: dice.roll(4) == 0,
            patience: std::time::Duration::from_secs(1),
            timeout: Some(std::time::Duration::from_secs(60)),
            ..SyncOptions::default()
        };
        if round % 4 == 0 {
            let objects = plan
                .tasks
                .iter()
                .flat_map(|task| [task.desired(), task.live()]);
            let held: String = objects
                .flatten()
                .map(|object| json::to_string(&object.to_value()))
                .collect();
            let mut known = search.canaries.clone();
            known.retain(|canary| forms(canary).iter().any(|form| held.contains(form)));
            disturb(Some(&known));
        }
        let mut events = Vec::new();
        let report = sync(&plan, &world.cluster, &how, |event| {
            events.push(event.clone())
        })
        .await;
        disturb(None);
        done += usize::from(report.succeeded());
        for event in &events {
            search.say(event);
            search.write(event);
        }
        search.say(&report);
        search.write(&report);

        let selection = Selection::within(gvk.clone(), &*world.namespace);
        let listing = world.cluster.list(&selection).await.expect("a listing");
        search.show(&listing);
        if let Ok(mut watch) = world.cluster.watch(&selection, "").await {
            search.show(&watch);
            if !listing.items.is_empty() {
                search.show(&watch.next().await);
            }
        }
        search.finish(&format!("round {round}"));
        if dice.roll(3) == 0 {
            for object in listing.items {
                let gone = world
                    .cluster
                    .delete(object.key(), &Default::default())
                    .await;
                search.show(&gone);
            }
        }
    }
    assert!(done > rounds / 4, "{done} of {rounds} syncs succeeded");
}
