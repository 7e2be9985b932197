//! Where functions get what is not in the chart, and the record of it.

use std::any::Any;
use std::cell::{Cell, RefCell, RefMut};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use gitops_core::{Map as CoreMap, Value as Core};

use super::cluster::{Inputs, Query};
use super::error::{Error, ErrorKind};
use super::options::HelmOptions;
use super::seed::{Seed, derive};
use crate::gotmpl::{Failure, Host, Str, parts};

/// What a render has asked so far; the objects that answer share it.
#[derive(Clone, Default)]
pub(super) struct Asked(Rc<Questions>);

#[derive(Default)]
struct Questions {
    inputs: RefCell<Inputs>,
    count: Cell<u64>,
}

impl Asked {
    /// A question is asked, whether or not it was before.
    pub(super) fn note(&self) -> RefMut<'_, Inputs> {
        self.0.count.set(self.0.count.get() + 1);
        self.0.inputs.borrow_mut()
    }

    /// What was asked since the last call.
    pub(super) fn take(&self) -> Inputs {
        self.0.inputs.take()
    }

    /// As [`take`](Self::take); it is as if others had been asked.
    pub(super) fn replace(&self, inputs: Inputs) -> Inputs {
        self.0.inputs.replace(inputs)
    }

    /// Adds what another part of the render asked.
    pub(super) fn absorb(&self, inputs: &Inputs) {
        self.0.inputs.borrow_mut().absorb(inputs);
    }
}

impl parts::Questions for Asked {
    fn begin(&self) -> Box<dyn Any> {
        Box::new(self.take())
    }

    fn end(&self, before: Box<dyn Any>) -> Option<parts::Asked> {
        let before = *before.downcast::<Inputs>().expect("made by `begin`");
        let asked = self.replace(before);
        self.absorb(&asked);
        (asked != Inputs::default()).then(|| Arc::new(asked) as _)
    }

    fn again(&self, asked: &parts::Asked) {
        let asked = asked.downcast_ref::<Inputs>().expect("made by `end`");
        self.note().absorb(asked);
    }
}

pub(super) struct World<'o> {
    options: &'o HelmOptions,
    /// Of a seeded render.
    streams: Option<Streams>,
    asked: Asked,
    /// What the cluster has answered.
    answers: RefCell<BTreeMap<Query, Option<CoreMap>>>,
    deadline: Option<std::time::Instant>,
}

/// The streams of random numbers of a release.
struct Streams {
    key: [u8; 32],
    /// How often each call has drawn.
    turns: RefCell<HashMap<[u8; 32], u64>>,
}

impl<'o> World<'o> {
    pub(super) fn new(options: &'o HelmOptions, asked: Asked) -> Result<World<'o>, Error> {
        let streams = match options.seed {
            // Asked once, so that no template can be the first to find out.
            Seed::System => match getrandom::fill(&mut [0]) {
                Ok(()) => None,
                Err(error) => {
                    let text = format!("no random numbers: {error}; give the render a fixed seed");
                    return Err(Error::new(ErrorKind::Options, text));
                }
            },
            Seed::Fixed { key, .. } => {
                let name = options.release_name.as_str().as_bytes();
                Some(Streams {
                    key: derive(&key, &[b"release", name, options.namespace.as_bytes()]),
                    turns: RefCell::default(),
                })
            }
        };
        Ok(World {
            options,
            streams,
            asked,
            answers: RefCell::default(),
            deadline: options
                .timeout
                .map(|timeout| std::time::Instant::now() + timeout),
        })
    }
}

impl Host for World<'_> {
    #[expect(
        clippy::disallowed_methods,
        reason = "Helm's own clock, where the options fix none"
    )]
    fn now(&self) -> SystemTime {
        self.asked.note().clock = true;
        match self.options.seed {
            Seed::System => SystemTime::now(),
            Seed::Fixed { now, .. } => now,
        }
    }

    fn random(&self, buffer: &mut [u8]) {
        self.asked.note().random = true;
        getrandom::fill(buffer).expect("it had some at the start");
    }

    fn has_streams(&self) -> bool {
        self.streams.is_some()
    }

    fn stream(&self, site: &str) -> Option<[u8; 32]> {
        let streams = self.streams.as_ref()?;
        self.asked.note().random = true;
        let key = derive(&streams.key, &[b"call", site.as_bytes()]);
        let mut turns = streams.turns.borrow_mut();
        let turn = turns.entry(key).or_default();
        let key = derive(&key, &[b"turn", &turn.to_le_bytes()]);
        *turn += 1;
        Some(key)
    }

    fn lookup(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Core, Failure> {
        let query = Query {
            api_version: api_version.into(),
            kind: kind.into(),
            namespace: namespace.into(),
            name: name.into(),
        };
        let known = self.answers.borrow().get(&query).cloned();
        let found = match (known, &self.options.cluster) {
            (Some(found), _) => found,
            (None, None) => None,
            (None, Some(cluster)) => cluster.lookup(&query).map_err(Failure::new)?,
        };
        let answer = found.clone().unwrap_or_else(CoreMap::new);
        self.answers
            .borrow_mut()
            .insert(query.clone(), found.clone());
        self.asked.note().lookups.insert(query, found);
        Ok(Core::Map(answer))
    }

    fn questions(&self) -> u64 {
        self.asked.0.count.get()
    }

    fn resolve(&self, host: &str) -> Str {
        self.asked.note().hosts.insert(host.into());
        Str::new()
    }

    fn expired(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| std::time::Instant::now() > deadline)
    }
}
