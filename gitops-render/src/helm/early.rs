//! What other threads make of a chart's files: while its own still reads more of
//! them, and while it works on those at the other end.

use std::collections::HashMap;

use bytes::Bytes;
use foldhash::fast::RandomState;
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

/// Files that are being read, the templates for a profile.
#[derive(Debug)]
pub(super) struct Early {
    pub(super) profile: Profile,
    ahead: Ahead<Text, Read>,
    numbers: HashMap<(usize, usize), usize, RandomState>,
}

/// Files are told apart by where their texts lie.
fn key(text: &Bytes) -> (usize, usize) {
    (text.as_ptr() as usize, text.len())
}

impl Early {
    /// Nothing to read yet, by so many threads at most.
    pub(super) fn new(profile: Profile, threads: usize) -> Self {
        let begin = move || {
            let functions = functions(profile);
            let mut scratch = Scratch::default();
            Box::new(move |text| match text {
                Text::Template(text) => {
                    Read::Template(Draft::parse(text, &functions, &mut scratch).map(Box::new))
                }
                Text::Values(text) => Read::Values(chart::values(&text)),
                Text::Schema(text) => Read::Schema(json::parse(&text).ok()),
            }) as _
        };
        Early {
            profile,
            ahead: Ahead::new(threads, begin),
            numbers: HashMap::default(),
        }
    }

    pub(super) fn add_template(&mut self, text: &Bytes) {
        self.add(text, Text::Template);
    }

    pub(super) fn add_values(&mut self, text: &Bytes) {
        self.add(text, Text::Values);
    }

    pub(super) fn add_schema(&mut self, text: &Bytes) {
        self.add(text, Text::Schema);
    }

    fn add(&mut self, text: &Bytes, kind: impl FnOnce(Bytes) -> Text) {
        let ahead = &mut self.ahead;
        self.numbers
            .entry(key(text))
            .or_insert_with(|| ahead.add(kind(text.clone()), text.len()));
    }

    /// Says that nothing more is to be added.
    pub(super) fn complete(&self) {
        self.ahead.complete();
    }

    /// Whether nobody has begun with this file, and now nobody will.
    pub(super) fn claim(&self, text: &Bytes) -> bool {
        match self.numbers.get(&key(text)) {
            Some(number) => self.ahead.claim(*number).is_some(),
            None => true,
        }
    }

    /// The template of this text, if somebody else has begun with it.
    pub(super) fn template(&self, text: &Bytes) -> Option<Draft> {
        match self.take(text) {
            Some(Read::Template(draft)) => draft.map(|draft| *draft),
            _ => None,
        }
    }

    /// The values of this text, read by whomever.
    pub(super) fn values(&self, text: &Bytes) -> Result<Map, String> {
        match self.take(text) {
            Some(Read::Values(values)) => values,
            _ => chart::values(text),
        }
    }

    /// The schema of this text, read by whomever; nothing if it is no JSON.
    pub(super) fn schema(&self, text: &Bytes) -> Option<Value> {
        match self.take(text) {
            Some(Read::Schema(schema)) => schema,
            _ => json::parse(text).ok(),
        }
    }

    fn take(&self, text: &Bytes) -> Option<Read> {
        let number = *self.numbers.get(&key(text))?;
        match self.ahead.claim(number) {
            Some(_) => None,
            None => self.ahead.take(number),
        }
    }
}
