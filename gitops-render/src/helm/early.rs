//! What other threads make of a chart's files: while its own still reads more of
//! them, and while it works on those at the other end.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use gitops_core::{Map, Value, json};

use super::chart;
use super::profile::Profile;
use super::release::functions;
use crate::gotmpl::{Draft, Scratch};
use crate::worker::Ahead;

/// A file that is to be read for what it is.
enum Text {
    Template(Bytes),
    Values(Bytes),
    Schema(Bytes),
}

/// What it was read as.
enum Read {
    /// Nothing if it is no template.
    Template(Option<Box<Draft>>),
    Values(Result<Map, String>),
    Schema(Option<Value>),
}

impl Text {
    fn read(self, parse: impl FnOnce(Bytes) -> Option<Draft>) -> Read {
        match self {
            Text::Template(text) => Read::Template(parse(text).map(Box::new)),
            Text::Values(text) => Read::Values(chart::values(&text)),
            Text::Schema(text) => Read::Schema(json::parse(&text).ok()),
        }
    }
}

/// Files that are being read, the templates for a profile.
#[derive(Debug)]
pub(super) struct Early {
    id: u64,
    pub(super) profile: Profile,
    ahead: Ahead<Text, Read>,
}

/// A file that was given to one [`Early`] and is known to no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Job {
    early: u64,
    number: usize,
}

impl Early {
    /// Nothing to read yet, by so many threads at most.
    pub(super) fn new(profile: Profile, threads: usize) -> Self {
        let begin = move || {
            let functions = functions(profile);
            let mut scratch = Scratch::default();
            Box::new(move |text: Text| {
                text.read(|text| Draft::parse(text, &functions, &mut scratch))
            }) as _
        };
        static IDS: AtomicU64 = AtomicU64::new(0);
        Early {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            profile,
            ahead: Ahead::new(threads, begin),
        }
    }

    pub(super) fn add_template(&mut self, text: &Bytes) -> Job {
        self.add(text, Text::Template)
    }

    pub(super) fn add_values(&mut self, text: &Bytes) -> Job {
        self.add(text, Text::Values)
    }

    pub(super) fn add_schema(&mut self, text: &Bytes) -> Job {
        self.add(text, Text::Schema)
    }

    fn add(&mut self, text: &Bytes, kind: impl FnOnce(Bytes) -> Text) -> Job {
        Job {
            early: self.id,
            number: self.ahead.add(kind(text.clone()), text.len()),
        }
    }

    /// Says that nothing more is to be added.
    pub(super) fn complete(&self) {
        self.ahead.complete();
    }

    /// Whether nobody has begun with this file, and now nobody will.
    pub(super) fn claim(&self, job: Option<Job>) -> bool {
        let number = self.number(job);
        number.is_none_or(|number| self.ahead.claim(number).is_some())
    }

    /// The template, if somebody else has begun with it.
    pub(super) fn template(&self, job: Option<Job>) -> Option<Draft> {
        match self.take(job) {
            Some(Read::Template(draft)) => draft.map(|draft| *draft),
            _ => None,
        }
    }

    /// The values, by whoever reads them; only once.
    pub(super) fn values(&self, job: Option<Job>) -> Option<Result<Map, String>> {
        match self.take(job) {
            Some(Read::Values(values)) => Some(values),
            _ => None,
        }
    }

    /// The schema, by whoever reads it, if it is JSON; only once.
    pub(super) fn schema(&self, job: Option<Job>) -> Option<Value> {
        match self.take(job) {
            Some(Read::Schema(schema)) => schema,
            _ => None,
        }
    }

    fn take(&self, job: Option<Job>) -> Option<Read> {
        let number = self.number(job)?;
        match self.ahead.claim(number) {
            // A template is for whoever knows its name.
            Some(text) => Some(text.read(|_| None)),
            None => self.ahead.take(number),
        }
    }

    fn number(&self, job: Option<Job>) -> Option<usize> {
        let mine = job.filter(|job| job.early == self.id);
        mine.map(|job| job.number)
    }
}
