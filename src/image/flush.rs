// SPDX-License-Identifier: GPL-2.0-or-later
//! The flushes of one image, which share what they can: while one fsync is under way others wait, and
//! the next one is for all of them. Each is covered by an fsync that began after it was submitted.
//!
//! An fsync blocks a thread of [`worker`](crate::worker): the asynchronous one of libgfapi 10.3 does
//! not survive a change of the volume's graph, see `gfapi`.

use super::*;
use crate::worker::{Job, WORKERS};
use std::time::{Duration, Instant};

/// The flushes of one image that have not ended.
pub(super) struct Flushes {
    line: Mutex<Line>,
    statistics: Option<Arc<Statistics>>,
    trace: Arc<Trace>,
}

struct Line {
    /// For the next fsync, in the order in which they came.
    waiting: VecDeque<SlotRef>,
    /// What that will need; there while one waits.
    backing: Option<Arc<Backing>>,
    /// Covered by the fsync that is under way.
    covered: VecDeque<SlotRef>,
    /// The workers have the job.
    at_work: bool,
    /// No fsync begins: the bricks are out of reach.
    stalled: bool,
}

impl Line {
    fn is_to_start(&mut self) -> bool {
        !self.stalled && !std::mem::replace(&mut self.at_work, true)
    }
}

impl Flushes {
    /// None.
    pub(super) fn new(statistics: Option<Arc<Statistics>>, trace: Arc<Trace>) -> Arc<Flushes> {
        Arc::new(Flushes {
            line: Mutex::new(Line {
                waiting: VecDeque::with_capacity(64),
                backing: None,
                covered: VecDeque::with_capacity(64),
                at_work: false,
                stalled: false,
            }),
            statistics,
            trace,
        })
    }

    /// Submits a flush. It ends in its callback in any case.
    pub(super) fn submit(self: &Arc<Self>, request: SlotRef, backing: &Arc<Backing>) {
        let to_start = {
            let mut line = self.line.lock();
            line.waiting.push_back(request);
            line.backing.get_or_insert_with(|| backing.clone());
            line.is_to_start()
        };
        if to_start {
            WORKERS.start(backing.volume.flush_lane(), self.clone());
        }
    }

    /// From now on flushes wait.
    pub(super) fn stall(&self) {
        self.line.lock().stalled = true;
    }

    /// They do not any more; those that do are for an fsync of this file.
    pub(super) fn go_on(self: &Arc<Self>, backing: &Arc<Backing>) {
        let to_start = {
            let mut line = self.line.lock();
            line.stalled = false;
            if line.backing.is_some() {
                line.backing = Some(backing.clone());
            }
            !line.waiting.is_empty() && line.is_to_start()
        };
        if to_start {
            WORKERS.start(backing.volume.flush_lane(), self.clone());
        }
    }

    /// The same, and gives those that wait back.
    pub(super) fn give_up(&self) -> VecDeque<SlotRef> {
        let mut line = self.line.lock();
        line.stalled = false;
        line.backing = None;
        std::mem::take(&mut line.waiting)
    }

    /// Takes out a flush that no fsync covers yet; whether it was there. `is_current` is asked while
    /// nothing can end.
    pub(super) fn withdraw(&self, request: SlotRef, is_current: impl FnOnce() -> bool) -> bool {
        let mut line = self.line.lock();
        let at = line.waiting.iter().position(|&other| other == request);
        let Some(at) = at.filter(|_| is_current()) else {
            return false;
        };
        line.waiting.remove(at);
        if line.waiting.is_empty() {
            line.backing = None;
        }
        true
    }

    /// Lets the next fsync cover all that wait.
    fn cover(&self) -> Option<Arc<Backing>> {
        let mut line = self.line.lock();
        if line.stalled {
            line.at_work = false;
            return None;
        }
        let Line {
            waiting, covered, ..
        } = &mut *line;
        std::mem::swap(waiting, covered);
        line.at_work = !line.covered.is_empty();
        line.backing.take()
    }

    #[cold]
    fn trace_fsync(&self, result: gfapi::Result<()>, took: Duration) {
        let covered = self.line.lock().covered.len();
        self.trace.say(Verbosity::Steps, || {
            let how = match result {
                Ok(()) => "done".to_owned(),
                Err(errno) => format!("{errno}"),
            };
            format!(
                "fsync for flushes: {covered} share it: {how} in {} us",
                took.as_micros()
            )
        });
    }

    fn end_covered(&self, result: gfapi::Result<()>) {
        let next = || self.line.lock().covered.pop_front();
        while let Some(request) = next() {
            // The last of them may let the image close, with its slab.
            request.ended(result);
        }
    }
}

impl Backing {
    pub(super) fn flush(&self) -> gfapi::Result<()> {
        match &self.unflushed {
            Some(unflushed) => unflushed.flush(self.volume.connection(), || self.sync()),
            None => self.sync(),
        }
    }

    fn sync(&self) -> gfapi::Result<()> {
        let _one = self.flushing.lock();
        let connection = self.volume.connection();
        let replicas = &self.replicas;
        // Before the fsync: what is said from now on may be of a write that it does not cover.
        replicas.note_flush();
        let doubted = replicas.were_doubted();
        let mut whole = replicas.are_whole(connection);
        let flushed = self.loss.judge(self.file.flush(), connection);
        // A brick that has only just come back may lack some, one that has only just gone, too.
        whole = whole && replicas.are_whole(connection);
        if whole && !doubted {
            return flushed;
        }
        let settled = flushed.and_then(|()| match replicas.are_there() {
            true => self.file.settle(),
            false => Ok(()),
        });
        if !whole || settled.is_err() {
            // What is away lacks what is written until the next flush, and may be back by then.
            replicas.doubt();
        }
        // Had the graph changed meanwhile, the second descriptor could have taken the lock with it.
        self.lock.doubt();
        settled
    }
}

impl Job for Flushes {
    fn run(&self) -> bool {
        // All that waited may have been cancelled.
        let Some(backing) = self.cover() else {
            return false;
        };
        let begun = self.trace.wants(Verbosity::Steps).then(Instant::now);
        let flushed = backing.flush();
        if let Some(statistics) = &self.statistics {
            statistics.count(Event::Fsync, 1);
        }
        if let Some(begun) = begun {
            self.trace_fsync(flushed, begun.elapsed());
        }
        let result = flushed.and_then(|()| backing.lock.confirm(&backing.file));
        // The image closes the file when the last request has ended: let go of it before.
        drop(backing);
        self.end_covered(result);
        let mut line = self.line.lock();
        line.at_work = !line.waiting.is_empty() && !line.stalled;
        line.at_work
    }

    fn fail(&self, why: Errno) {
        self.end_covered(Err(why));
        let waiting = {
            let mut line = self.line.lock();
            line.at_work = false;
            line.backing = None;
            std::mem::take(&mut line.waiting)
        };
        for request in waiting {
            request.call_off(why);
        }
    }
}
