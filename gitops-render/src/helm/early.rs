//! What other threads do for a render: they read a chart's files while its own
//! still lists more of them, parse them until it needs them, and find the
//! documents in what it wrote.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use gitops_core::{Map, TreeError, Value, json};

use super::chart::{self, File, LoadLimits};
use super::manifests::Written;
use super::options::HelmOptions;
use super::profile::Profile;
use super::release::functions;
use super::schema;
use crate::gotmpl::{Draft, Scratch};
use crate::worker::Ahead;

/// What is to be done with a file.
enum Task {
    /// Its contents are needed.
    Read(File),
    /// And what they define.
    ReadTemplate(File),
    /// It may not be larger than files may be.
    Check(File),
    /// It is to be read for what it is.
    Template(File),
    Values(Bytes),
    Schema(File),
    /// Whether a schema allows values.
    Verdict(Schema, Value),
    Archive(File, LoadLimits),
    /// What a template wrote is to be brought into shape.
    Written(Written, Profile),
}

/// What became of a task.
enum Done {
    Looked(Result<(), TreeError>),
    /// Nothing if it is no template.
    Template(Option<Box<Draft>>),
    Values(Result<Map, String>),
    Schema(Option<Value>),
    /// The schema, if it allows the values.
    Verdict(Option<Value>),
    Archive(Result<Vec<File>, String>),
    Written(Written),
}

/// A schema, read or not.
enum Schema {
    Text(File),
    Read(Value),
}

impl Schema {
    /// What it says, if it is JSON.
    fn read(self) -> Option<Value> {
        match self {
            Schema::Text(file) => json::parse(file.data().ok()?).ok(),
            Schema::Read(schema) => Some(schema),
        }
    }
}

impl Task {
    fn run(self, parse: impl FnOnce(Bytes) -> Option<Draft>) -> Done {
        let data = |file: &File| file.data().ok().cloned();
        match self {
            Task::Read(file) => Done::Looked(file.data().map(|_| ())),
            Task::ReadTemplate(file) => Done::Looked(file.read_template()),
            Task::Check(file) => Done::Looked(file.check()),
            Task::Template(file) => Done::Template(data(&file).and_then(parse).map(Box::new)),
            Task::Values(text) => Done::Values(chart::values(&text)),
            Task::Schema(file) => Done::Schema(Schema::Text(file).read()),
            Task::Verdict(schema, values) => {
                let allows = |schema: &Value| schema::allows(schema, &values);
                Done::Verdict(schema.read().filter(allows))
            }
            Task::Archive(file, limits) => Done::Archive(match file.data() {
                Ok(data) => chart::unpack(data, &limits),
                Err(error) => Err(error.to_string()),
            }),
            Task::Written(mut written, profile) => {
                written.leave_out_no_value();
                written.learn_pieces(profile);
                Done::Written(written)
            }
        }
    }
}

/// The work that others do for a render with a profile.
#[derive(Debug)]
pub(super) struct Early {
    id: u64,
    pub(super) profile: Profile,
    ahead: Ahead<Task, Done>,
    /// The jobs by which files are read.
    looks: Vec<usize>,
    /// Those by which values are compared with schemas.
    verdicts: RefCell<Vec<usize>>,
}

/// Work that was given to one [`Early`] and is known to no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Job {
    early: u64,
    number: usize,
}

/// What an unread template counts for, in bytes: most are no larger.
const TEMPLATE: usize = 4096;

/// What a verdict counts for: it is worth waking somebody.
const VERDICT: usize = 16 * 1024;

/// How much more there is in a chart than its values, which are read first.
const AROUND: usize = 4;

/// How much more there is in an archive.
const PACKED: usize = 4;

/// As many of these are as much work as a template.
const CHECKS: usize = 16;

impl Early {
    /// Nothing to do yet, for so many threads at most.
    pub(super) fn new(profile: Profile, threads: usize) -> Self {
        let begin = move || {
            let functions = functions(profile);
            let mut scratch = Scratch::default();
            Box::new(move |task: Task| {
                task.run(|text| Draft::parse(text, &functions, &mut scratch))
            }) as _
        };
        static IDS: AtomicU64 = AtomicU64::new(0);
        Early {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            profile,
            ahead: Ahead::new(threads, begin),
            looks: Vec::new(),
            verdicts: RefCell::default(),
        }
    }

    pub(super) fn add_template(&mut self, file: &File) -> Job {
        let weight = self.add_read(file, Task::ReadTemplate);
        let number = self.ahead.add(Task::Template(file.clone()), weight);
        self.job(number)
    }

    pub(super) fn add_values(&mut self, text: &Bytes) -> Job {
        let weight = text.len() * AROUND;
        let number = self.ahead.add(Task::Values(text.clone()), weight);
        self.job(number)
    }

    pub(super) fn add_schema(&mut self, file: &File) -> Job {
        let weight = self.add_read(file, Task::Read);
        let number = self.ahead.add(Task::Schema(file.clone()), weight);
        self.job(number)
    }

    pub(super) fn add_archive(&mut self, file: &File, options: &HelmOptions) -> Job {
        let task = Task::Archive(file.clone(), options.load_limits.clone());
        let weight = file.size_here().unwrap_or(TEMPLATE);
        self.job(self.ahead.add_urgent(task, weight * PACKED))
    }

    /// Has the size of a file looked at, unless its contents are here.
    pub(super) fn add_check(&mut self, file: &File) {
        if file.size_here().is_some() {
            return;
        }
        let check = Task::Check(file.clone());
        self.looks
            .push(self.ahead.add_urgent(check, TEMPLATE / CHECKS));
    }

    /// Has the file read, if it has to be; tells how much work it is otherwise.
    fn add_read(&mut self, file: &File, read: fn(File) -> Task) -> usize {
        if let Some(size) = file.size_here() {
            return size;
        }
        let read = read(file.clone());
        self.looks.push(self.ahead.add_urgent(read, TEMPLATE));
        0
    }

    fn job(&self, number: usize) -> Job {
        Job {
            early: self.id,
            number,
        }
    }

    /// Waits until every file is read that has to be.
    ///
    /// # Errors
    ///
    /// If one cannot be, or is too large.
    pub(super) fn settle(&mut self) -> Result<(), TreeError> {
        // Others begin at the front.
        for number in std::mem::take(&mut self.looks).into_iter().rev() {
            let done = match self.ahead.claim(number) {
                Some(task) => Some(task.run(|_| None)),
                None => self.ahead.wait(number),
            };
            if let Some(Done::Looked(looked)) = done {
                looked?;
            }
        }
        Ok(())
    }

    /// Says that of the files only these are wanted, in this order.
    pub(super) fn only(&self, jobs: impl Iterator<Item = Option<Job>>) {
        let wanted = jobs.filter_map(|job| self.number(job));
        let verdicts = self.verdicts.borrow();
        self.ahead.only(wanted.chain(verdicts.iter().copied()));
    }

    /// Whether nobody has begun with this file, and now nobody will.
    pub(super) fn claim(&self, job: Option<Job>) -> bool {
        let number = self.number(job);
        number.is_none_or(|number| self.ahead.claim(number).is_some())
    }

    /// Shows the template, if somebody else has begun with it.
    pub(super) fn template<T>(
        &self,
        job: Option<Job>,
        see: impl FnOnce(&mut Draft) -> Option<T>,
    ) -> Option<T> {
        self.see(job, |done| match done {
            Some(Done::Template(Some(draft))) => see(draft),
            _ => None,
        })?
    }

    /// The values, by whoever reads them; only once.
    pub(super) fn values(&self, job: Option<Job>) -> Option<Result<Map, String>> {
        match self.take(job) {
            Some(Done::Values(values)) => Some(values),
            _ => None,
        }
    }

    /// The files of an archive, by whoever unpacks it; only once.
    pub(super) fn archive(&self, job: Option<Job>) -> Option<Result<Vec<File>, String>> {
        match self.take(job) {
            Some(Done::Archive(files)) => Some(files),
            _ => None,
        }
    }

    /// Has values compared with the schema in a file; only once, and if it is
    /// JSON.
    pub(super) fn add_verdict(&self, schema: Option<Job>, values: &Value) -> Option<Job> {
        let number = self.number(schema)?;
        let schema = match self.ahead.claim(number) {
            Some(Task::Schema(file)) => Schema::Text(file),
            Some(_) => return None,
            None => match self.ahead.take(number) {
                Some(Done::Schema(Some(schema))) => Schema::Read(schema),
                _ => return None,
            },
        };
        let number = self
            .ahead
            .add(Task::Verdict(schema, values.clone()), VERDICT);
        self.verdicts.borrow_mut().push(number);
        Some(self.job(number))
    }

    /// The schema, if the values are plainly as it wants them, by whoever looks.
    pub(super) fn verdict(&self, job: Job) -> Option<Value> {
        self.see(Some(job), |done| match done {
            Some(Done::Verdict(schema)) => schema.clone(),
            _ => None,
        })?
    }

    /// Has what a template wrote brought into shape.
    pub(super) fn add_written(&self, written: &Written) -> Job {
        let task = Task::Written(written.clone(), self.profile);
        self.job(self.ahead.add(task, written.text.len()))
    }

    /// What a template wrote, in shape, by whoever does that; only once.
    pub(super) fn written(&self, job: Job) -> Option<Written> {
        match self.take(Some(job)) {
            Some(Done::Written(written)) => Some(written),
            _ => None,
        }
    }

    fn take(&self, job: Option<Job>) -> Option<Done> {
        self.see(job, Option::take)?
    }

    /// Shows what became of a job, by whoever does it.
    fn see<T>(&self, job: Option<Job>, see: impl FnOnce(&mut Option<Done>) -> T) -> Option<T> {
        let number = self.number(job)?;
        Some(match self.ahead.claim(number) {
            Some(task) => see(&mut Some(task.run(|_| None))),
            None => self.ahead.see(number, see),
        })
    }

    fn number(&self, job: Option<Job>) -> Option<usize> {
        let mine = job.filter(|job| job.early == self.id);
        mine.map(|job| job.number)
    }
}
