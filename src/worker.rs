// SPDX-License-Identifier: GPL-2.0-or-later
//! Threads of our own for calls to libgfapi that block: made when there is work, shared by all
//! images, gone after a while without any. Nobody waits for them, neither the host nor the exit of
//! the process.
//!
//! ```text
//!  start ─┬─> ready ───> a thread: run ──┬─> done, or fail after a panic
//!         │    └ an idle thread is       │
//!         │      called, or a new one    └─> more to do: behind all that waits
//!         │      started                              │
//!         ├─> waiting, while the bounds are reached <─┘
//!         └─> fail, when no thread can be started
//! ```
//!
//! A call can hang for as long as a brick is silent. So that it holds up only what would hang as
//! well, jobs are told apart in lanes, one for each connection and kind of work, and the bounds are
//! such that a lane always has a thread: [`Limits::lane`] in one lane, [`Limits::all`] in all, but
//! the first of each lane comes on top. Within a lane jobs run in the order in which they came, but
//! for one that came when no thread could be started.

use crate::error::Errno;
use crate::gfapi::spawn_quietly;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The threads of the process.
pub static WORKERS: Workers = Workers::new(Limits {
    // A brick syncs files together that are flushed together: fewer would slow many images down.
    lane: 16,
    all: 64,
    idle: Duration::from_secs(5),
});

/// What a thread is to do.
pub trait Job: Send + Sync {
    /// Does a piece of it, on a thread where it may block. Whether there is more to do, after
    /// what waits by now.
    fn run(&self) -> bool;

    /// It is not run, or not any more: there is no thread for it, or `run` has panicked.
    fn fail(&self, why: Errno);
}

/// Jobs that may have to wait for one another.
pub struct Lane {
    /// Of its jobs those that have a thread. Changed under the lock of the room only.
    running: AtomicUsize,
}

impl Lane {
    /// One without jobs.
    pub fn new() -> Arc<Lane> {
        Arc::new(Lane {
            running: AtomicUsize::new(0),
        })
    }

    fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }
}

/// How many threads there may be, and for how long.
pub struct Limits {
    /// Jobs of one lane that have a thread.
    pub lane: usize,
    /// Jobs that have a thread, beyond the first of each lane.
    pub all: usize,
    /// After so long without a job a thread ends.
    pub idle: Duration,
}

/// Threads, and the jobs for them.
pub struct Workers {
    room: Mutex<Room>,
    called: Condvar,
    limits: Limits,
}

struct Room {
    /// Jobs that count as running; for each a thread is on its way.
    ready: VecDeque<Task>,
    /// Jobs that the bounds keep from running.
    waiting: VecDeque<Task>,
    busy: usize,
    /// Threads that sleep and were not called.
    idle: usize,
    /// Calls for idle threads that none has answered.
    calls: usize,
}

struct Task {
    lane: Arc<Lane>,
    job: Arc<dyn Job>,
}

impl Task {
    /// Itself, when there is more to do.
    fn run(self) -> Option<Task> {
        // AssertUnwindSafe: as in `guard`.
        match catch_unwind(AssertUnwindSafe(|| self.job.run())) {
            Ok(true) => Some(self),
            Ok(false) => None,
            Err(_) => {
                // A second panic has no good end, but must not take the thread from the others.
                let _ = catch_unwind(AssertUnwindSafe(|| {
                    self.job.fail(Errno::new(libc::EIO, libc::EIO))
                }));
                None
            }
        }
    }
}

impl Room {
    fn admits(&self, lane: &Lane, limits: &Limits) -> bool {
        lane.running() == 0 || (lane.running() < limits.lane && self.busy < limits.all)
    }

    fn enter(&mut self, lane: &Lane) {
        lane.running.fetch_add(1, Ordering::Relaxed);
        self.busy += 1;
    }

    fn leave(&mut self, lane: &Lane) {
        lane.running.fetch_sub(1, Ordering::Relaxed);
        self.busy -= 1;
    }

    /// The next job to run, which counts as running then.
    fn next(&mut self, limits: &Limits) -> Option<Task> {
        if let Some(task) = self.ready.pop_front() {
            return Some(task);
        }
        // A lane without a thread first: it may be the one just left, and nobody else will look.
        let first = |wanted: &dyn Fn(&Task) -> bool| self.waiting.iter().position(wanted);
        let at = first(&|task| task.lane.running() == 0)
            .or_else(|| first(&|task| self.admits(&task.lane, limits)))?;
        let task = self.waiting.remove(at)?;
        self.enter(&task.lane);
        Some(task)
    }
}

impl Workers {
    const fn new(limits: Limits) -> Workers {
        Workers {
            room: Mutex::new(Room {
                ready: VecDeque::new(),
                waiting: VecDeque::new(),
                busy: 0,
                idle: 0,
                calls: 0,
            }),
            called: Condvar::new(),
            limits,
        }
    }

    /// Has a job run. Does not block. When no thread can be started for it, and none of its lane is
    /// at work that could take it over, the job has failed when this returns.
    pub fn start(&'static self, lane: &Arc<Lane>, job: Arc<dyn Job>) {
        if let Err((job, why)) = self.try_start(lane, job) {
            job.fail(why);
        }
    }

    fn try_start(
        &'static self,
        lane: &Arc<Lane>,
        job: Arc<dyn Job>,
    ) -> Result<(), (Arc<dyn Job>, Errno)> {
        let mut room = self.room.lock();
        if room.admits(lane, &self.limits) {
            match self.call_thread(&mut room) {
                Ok(()) => {
                    let lane = lane.clone();
                    room.enter(&lane);
                    room.ready.push_back(Task { lane, job });
                    return Ok(());
                }
                Err(why) if lane.running() == 0 => return Err((job, why)),
                Err(_) => {}
            }
        }
        let lane = lane.clone();
        room.waiting.push_back(Task { lane, job });
        Ok(())
    }

    /// Makes sure that one more thread will look for work.
    fn call_thread(&'static self, room: &mut Room) -> Result<(), Errno> {
        if room.idle > 0 {
            room.idle -= 1;
            room.calls += 1;
            self.called.notify_one();
            return Ok(());
        }
        spawn_quietly("blkg-worker", || self.work())
            .map_err(|why| Errno::new(why.raw_os_error().unwrap_or(0), libc::EAGAIN))
    }

    fn work(&self) {
        let mut room = self.room.lock();
        loop {
            while let Some(task) = room.next(&self.limits) {
                let lane = task.lane.clone();
                let more = MutexGuard::unlocked(&mut room, || task.run());
                room.waiting.extend(more);
                room.leave(&lane);
            }
            if !self.sleep(&mut room) {
                return;
            }
        }
    }

    /// Sleeps until called. False when it was not, for so long that the thread should end.
    fn sleep(&self, room: &mut MutexGuard<'_, Room>) -> bool {
        room.idle += 1;
        let until = Instant::now() + self.limits.idle;
        loop {
            let timed_out = self.called.wait_until(room, until).timed_out();
            // Whoever comes first answers the call; the one that it woke sleeps on.
            if room.calls > 0 {
                room.calls -= 1;
                return true;
            }
            if timed_out {
                room.idle -= 1;
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests;
