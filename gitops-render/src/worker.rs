//! A second thread that really runs beside the first.
//!
//! Linux may start a thread on the core of whoever made it and leave it waiting
//! there, for milliseconds and with other cores idle, until it balances its
//! queues. Kernels of virtual machines do so readily, and a whole render takes
//! no longer than that. So a worker that finds itself on its maker's core leaves
//! it first: on such a machine it begins after 0.1 ms instead of 0 to 4.

use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{Builder, JoinHandle};

/// Bytes of templates, or of what they write, that are worth a thread.
pub(crate) const WORTH: usize = 64 * 1024;

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
    shared: Arc<Shared<J, R>>,
    /// How much there was to do in all that was added.
    weight: usize,
    most: usize,
    workers: usize,
}

/// What a worker does with each job; made by each for itself.
pub(crate) type Work<J, R> = Box<dyn FnMut(J) -> R>;

impl<J: Send + 'static, R: Send + 'static> Ahead<J, R> {
    /// Nothing to do yet, and no threads; there will be so many at most.
    pub(crate) fn new(most: usize, begin: impl Fn() -> Work<J, R> + Send + Sync + 'static) -> Self {
        let shared = Shared {
            begin: Box::new(begin),
            state: Mutex::new(State {
                slots: Vec::new(),
                next: 0,
                untold: 0,
                idle: 0,
                complete: false,
            }),
            changed: Condvar::new(),
        };
        Ahead {
            shared: Arc::new(shared),
            weight: 0,
            most,
            workers: 0,
        }
    }

    /// Adds a job by its weight in bytes, and tells its number.
    pub(crate) fn add(&mut self, job: J, weight: usize) -> usize {
        let mut state = self.shared.lock();
        let number = state.slots.len();
        state.slots.push(Slot::Waiting(job));
        state.untold += weight;
        // Waking a thread takes longer than a small job.
        if state.untold >= WORTH / 4 {
            self.shared.tell(state);
        } else {
            drop(state);
        }
        self.weight += weight;
        if self.workers < self.most.min(self.weight / WORTH) {
            let shared = self.shared.clone();
            // What nobody does will be claimed.
            if spawn(move || shared.work()).is_ok() {
                self.workers += 1;
            }
        }
        number
    }

    /// Says that nothing more is to be added.
    pub(crate) fn complete(&self) {
        let mut state = self.shared.lock();
        state.complete = true;
        self.shared.tell(state);
    }

    /// The job if nobody has begun with it, and now nobody will.
    pub(crate) fn claim(&self, number: usize) -> Option<J> {
        let mut state = self.shared.lock();
        let slot = &mut state.slots[number];
        match std::mem::replace(slot, Slot::Gone) {
            Slot::Waiting(job) => Some(job),
            other => {
                *slot = other;
                None
            }
        }
    }

    /// What became of the job, if a worker has begun with it.
    pub(crate) fn take(&self, number: usize) -> Option<R> {
        let mut state = self.shared.lock();
        while let Slot::Begun = state.slots[number] {
            state = self.shared.wait(state);
        }
        match std::mem::replace(&mut state.slots[number], Slot::Gone) {
            Slot::Done(result) => Some(result),
            _ => None,
        }
    }
}

impl<J, R> fmt::Debug for Ahead<J, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ahead").finish_non_exhaustive()
    }
}

impl<J, R> Drop for Ahead<J, R> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.complete = true;
        state.slots.clear();
        self.shared.tell(state);
    }
}

struct Shared<J, R> {
    begin: Box<dyn Fn() -> Work<J, R> + Send + Sync>,
    state: Mutex<State<J, R>>,
    changed: Condvar,
}

struct State<J, R> {
    slots: Vec<Slot<J, R>>,
    /// Workers have begun with all before this one, or somebody claimed them.
    next: usize,
    /// The weight of what was added since somebody was told.
    untold: usize,
    /// How many threads wait for a change.
    idle: usize,
    complete: bool,
}

enum Slot<J, R> {
    Waiting(J),
    Begun,
    Done(R),
    Gone,
}

impl<J, R> Shared<J, R> {
    fn lock(&self) -> MutexGuard<'_, State<J, R>> {
        self.state.lock().expect("no panic under the lock")
    }

    fn wait<'s>(&self, mut state: MutexGuard<'s, State<J, R>>) -> MutexGuard<'s, State<J, R>> {
        state.idle += 1;
        let mut state = self.changed.wait(state).expect("no panic under the lock");
        state.idle -= 1;
        state
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

    /// Does jobs until none is left and none is to come.
    fn work(&self) {
        // glibc grows the heap of a thread by a page and a call at a time. A block
        // of all that may come, freed untouched, makes it one call; a larger
        // one before it lets that block be part of the heap.
        for size in [16 << 20, 8 << 20] {
            drop(std::hint::black_box(Vec::<u8>::with_capacity(size)));
        }
        let mut work = (self.begin)();
        while let Some((number, job)) = self.next() {
            // What unwinds from here leaves no slot that somebody waits for.
            let mut begun = Begun {
                shared: self,
                number,
                result: None,
            };
            begun.result = Some(work(job));
        }
    }

    fn next(&self) -> Option<(usize, J)> {
        let mut state = self.lock();
        loop {
            while state.next < state.slots.len() {
                let number = state.next;
                state.next += 1;
                let slot = &mut state.slots[number];
                match std::mem::replace(slot, Slot::Begun) {
                    Slot::Waiting(job) => return Some((number, job)),
                    other => *slot = other,
                }
            }
            if state.complete {
                return None;
            }
            state = self.wait(state);
        }
    }
}

/// A job that a worker has begun with.
struct Begun<'s, J, R> {
    shared: &'s Shared<J, R>,
    number: usize,
    result: Option<R>,
}

impl<J, R> Drop for Begun<'_, J, R> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        // Nobody may want it any more.
        if let Some(slot) = state.slots.get_mut(self.number) {
            *slot = self.result.take().map_or(Slot::Gone, Slot::Done);
        }
        self.shared.tell(state);
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
