//! A second thread that really runs beside the first.
//!
//! Linux may start a thread on the core of whoever made it and leave it waiting
//! there, for milliseconds and with other cores idle, until it balances its
//! queues. Kernels of virtual machines do so readily, and a whole render takes
//! no longer than that. So a worker that finds itself on its maker's core leaves
//! it first: on such a machine it begins after 0.1 ms instead of 0 to 4.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// Bytes of templates, or of what they write, that are worth a thread.
pub(crate) const WORTH: usize = 64 * 1024;

/// How often somebody looks for a result before going to sleep: about as long as
/// it takes to be woken up.
const SPINS: usize = 2000;

/// How long a worker waits for jobs: what is loaded need not be rendered soon.
const IDLE: Duration = Duration::from_millis(50);

/// Starts a thread that works while this one goes on.
///
/// # Errors
///
/// Not everywhere are there threads; nothing was done then.
pub(crate) fn spawn<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let core = cpu::here();
    let handle = Builder::new().spawn(move || {
        cpu::leave(core);
        work()
    })?;
    // Lets it begin, if it is to begin here.
    std::thread::yield_now();
    Ok(handle)
}

/// Jobs that are done by other threads ahead of the time when they are needed.
///
/// Whoever adds them claims, in the end, those that nobody has begun with, from
/// the last one on, and takes what the others became. So it is never slower than
/// the rest of its work and one job, wherever the threads are. Dropped, it lets
/// the threads end.
pub(crate) struct Ahead<J, R> {
    jobs: RefCell<Vec<Arc<Job<J, R>>>>,
    shared: Arc<Shared<J, R>>,
    most: usize,
    /// What this thread does with jobs, once it had to wait.
    work: RefCell<Option<Work<J, R>>>,
}

/// What a thread does with each job; made by each for itself.
pub(crate) type Work<J, R> = Box<dyn FnMut(J) -> R + Send>;

type Queue<J, R> = VecDeque<Arc<Job<J, R>>>;

impl<J: Send + 'static, R: Send + 'static> Ahead<J, R> {
    /// Nothing to do yet, and no threads; there will be so many at most.
    pub(crate) fn new(most: usize, begin: impl Fn() -> Work<J, R> + Send + Sync + 'static) -> Self {
        let shared = Shared {
            begin: Box::new(begin),
            state: Mutex::new(State {
                queue: VecDeque::new(),
                urgent: VecDeque::new(),
                weight: 0,
                untold: 0,
                workers: 0,
                idle: 0,
                complete: false,
            }),
            changed: Condvar::new(),
        };
        Ahead {
            jobs: RefCell::default(),
            shared: Arc::new(shared),
            most,
            work: RefCell::default(),
        }
    }

    /// Adds a job by its weight in bytes, and tells its number.
    pub(crate) fn add(&self, job: J, weight: usize) -> usize {
        self.add_to(|state| &mut state.queue, job, weight)
    }

    /// Adds a job that comes before those that are not urgent.
    pub(crate) fn add_urgent(&self, job: J, weight: usize) -> usize {
        self.add_to(|state| &mut state.urgent, job, weight)
    }

    fn add_to(
        &self,
        queue: impl FnOnce(&mut State<J, R>) -> &mut Queue<J, R>,
        job: J,
        weight: usize,
    ) -> usize {
        let job = Arc::new(Job::new(job));
        let mut state = self.shared.lock();
        queue(&mut state).push_back(job.clone());
        state.weight += weight;
        state.untold += weight;
        let wanted = state.workers < self.most.min(state.weight / WORTH);
        if wanted {
            state.workers += 1;
        }
        // Waking a thread takes longer than a small job.
        if state.untold >= WORTH / 2 {
            self.shared.tell(state);
        } else {
            drop(state);
        }
        if wanted {
            let shared = self.shared.clone();
            // What nobody does will be claimed.
            if spawn(move || shared.work()).is_err() {
                self.shared.lock().workers -= 1;
            }
        }
        let mut jobs = self.jobs.borrow_mut();
        jobs.push(job);
        jobs.len() - 1
    }

    /// Says that of all jobs these are left to do, in this order.
    pub(crate) fn only(&self, numbers: impl Iterator<Item = usize>) {
        let jobs = self.jobs.borrow();
        let queue = numbers.map(|number| jobs[number].clone()).collect();
        self.shared.leave(queue, false);
    }

    /// The job if nobody has begun with it, and now nobody will.
    pub(crate) fn claim(&self, number: usize) -> Option<J> {
        let job = self.job(number);
        let todo = job.begin();
        if todo.is_some() {
            job.done.store(true, Ordering::Release);
        }
        todo
    }

    /// What became of the job, if a worker has begun with it; only once.
    pub(crate) fn wait(&self, number: usize) -> Option<R> {
        self.job(number).end().result.take()
    }

    /// As [`wait`](Self::wait), for what may take a while. Until the result
    /// is known, this thread does what workers would do last.
    pub(crate) fn take(&self, number: usize) -> Option<R> {
        self.see(number, Option::take)
    }

    /// As [`take`](Self::take), of a result that may stay where it is: its
    /// memory is that of the worker, and to give it back meanwhile would make both
    /// wait for each other.
    pub(crate) fn see<T>(&self, number: usize, see: impl FnOnce(&mut Option<R>) -> T) -> T {
        let job = self.job(number);
        while !job.is_done() {
            let Some(other) = self.shared.last() else {
                break;
            };
            let mut work = self.work.borrow_mut();
            other.work(work.get_or_insert_with(&self.shared.begin));
        }
        see(&mut job.end().result)
    }

    fn job(&self, number: usize) -> Arc<Job<J, R>> {
        self.jobs.borrow()[number].clone()
    }
}

impl<J, R> fmt::Debug for Ahead<J, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ahead").finish_non_exhaustive()
    }
}

impl<J, R> Drop for Ahead<J, R> {
    fn drop(&mut self) {
        // What is here goes with the last that works.
        self.shared.leave(self.jobs.take().into(), true);
    }
}

struct Job<J, R> {
    /// What is to be done, until somebody begins.
    todo: Mutex<Option<J>>,
    /// Whether nobody is to wait for a worker, any more or at all.
    done: AtomicBool,
    end: Mutex<End<R>>,
    ended: Condvar,
}

/// How a job ended.
struct End<R> {
    result: Option<R>,
    /// Whether somebody sleeps until then.
    awaited: bool,
}

impl<J, R> Job<J, R> {
    fn new(todo: J) -> Self {
        Job {
            todo: Mutex::new(Some(todo)),
            done: AtomicBool::new(false),
            end: Mutex::new(End {
                result: None,
                awaited: false,
            }),
            ended: Condvar::new(),
        }
    }

    fn begin(&self) -> Option<J> {
        self.todo.lock().expect(UNPOISONED).take()
    }

    /// Does the job, unless somebody has begun with it.
    fn work(&self, work: &mut Work<J, R>) {
        if let Some(todo) = self.begin() {
            // What unwinds from here leaves nobody waiting.
            let mut begun = Begun {
                job: self,
                result: None,
            };
            begun.result = Some(work(todo));
        }
    }

    fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    /// How a worker that has begun ended.
    fn end(&self) -> MutexGuard<'_, End<R>> {
        // Most are done sooner than a thread that sleeps is awake.
        for _ in 0..SPINS {
            if self.is_done() {
                break;
            }
            std::hint::spin_loop();
        }
        let mut end = self.end.lock().expect(UNPOISONED);
        while !self.is_done() {
            end.awaited = true;
            end = self.ended.wait(end).expect(UNPOISONED);
        }
        end
    }
}

/// No lock is held where a job could panic.
const UNPOISONED: &str = "no panic under the lock";

struct Shared<J, R> {
    begin: Box<dyn Fn() -> Work<J, R> + Send + Sync>,
    state: Mutex<State<J, R>>,
    changed: Condvar,
}

struct State<J, R> {
    /// What workers are to begin with; somebody may have done so.
    queue: Queue<J, R>,
    /// What comes before that.
    urgent: Queue<J, R>,
    /// How much there was to do in all that was added.
    weight: usize,
    /// The part of it that was added since somebody was told.
    untold: usize,
    workers: usize,
    /// How many of them wait for a change.
    idle: usize,
    complete: bool,
}

impl<J, R> Shared<J, R> {
    fn lock(&self) -> MutexGuard<'_, State<J, R>> {
        self.state.lock().expect(UNPOISONED)
    }

    /// Gives the lock back and tells those who wait for a change.
    fn tell(&self, mut state: MutexGuard<'_, State<J, R>>) {
        let idle = state.idle;
        state.untold = 0;
        drop(state);
        if idle > 0 {
            self.changed.notify_all();
        }
    }

    /// Replaces what is left to do; if it is `complete`, nothing is to be done.
    fn leave(&self, queue: Queue<J, R>, complete: bool) {
        let mut state = self.lock();
        state.complete = complete;
        let before = std::mem::replace(&mut state.queue, queue);
        let urgent = std::mem::take(&mut state.urgent);
        self.tell(state);
        drop((before, urgent));
    }

    /// Does jobs until none is to come.
    fn work(&self) {
        // glibc grows the heap of a thread by a page and a call at a time. A block
        // of all that may come, freed untouched, makes it one call; a larger
        // one before it lets that block be part of the heap.
        for size in [16 << 20, 8 << 20] {
            drop(std::hint::black_box(Vec::<u8>::with_capacity(size)));
        }
        let mut work = (self.begin)();
        while let Some(job) = self.next() {
            job.work(&mut work);
        }
    }

    /// What workers would begin with last of what they are to begin with.
    fn last(&self) -> Option<Arc<Job<J, R>>> {
        let mut state = self.lock();
        let job = state.urgent.pop_back();
        job.or_else(|| state.queue.pop_back())
    }

    fn next(&self) -> Option<Arc<Job<J, R>>> {
        let mut state = self.lock();
        loop {
            if state.complete {
                return None;
            }
            let job = state.urgent.pop_front();
            if let Some(job) = job.or_else(|| state.queue.pop_front()) {
                return Some(job);
            }
            state.idle += 1;
            let (woken, waited) = self.changed.wait_timeout(state, IDLE).expect(UNPOISONED);
            state = woken;
            state.idle -= 1;
            if waited.timed_out() && state.queue.is_empty() && state.urgent.is_empty() {
                state.workers -= 1;
                return None;
            }
        }
    }
}

/// A job that somebody has begun with.
struct Begun<'j, J, R> {
    job: &'j Job<J, R>,
    result: Option<R>,
}

impl<J, R> Drop for Begun<'_, J, R> {
    fn drop(&mut self) {
        let mut end = self.job.end.lock().expect(UNPOISONED);
        end.result = self.result.take();
        self.job.done.store(true, Ordering::Release);
        if end.awaited {
            self.job.ended.notify_all();
        }
    }
}

#[cfg(target_os = "linux")]
mod cpu {
    use rustix::thread::{sched_getaffinity, sched_getcpu, sched_setaffinity};

    /// The core that this thread runs on.
    pub(super) fn here() -> usize {
        sched_getcpu()
    }

    /// Moves this thread to another core than this one, if it may run on any.
    /// Where it may run at all stays as it is; what fails changes nothing.
    pub(super) fn leave(core: usize) {
        if here() != core {
            return;
        }
        let Ok(allowed) = sched_getaffinity(None) else {
            return;
        };
        let mut others = allowed;
        others.unset(core);
        if others.count() > 0 && sched_setaffinity(None, &others).is_ok() {
            let _ = sched_setaffinity(None, &allowed);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod cpu {
    pub(super) fn here() {}

    pub(super) fn leave((): ()) {}
}
