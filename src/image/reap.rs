// SPDX-License-Identifier: GPL-2.0-or-later
//! Requests that are done: what they tell of the image, and their callbacks.

use super::*;

/// What became of a request that was taken from the ready list.
pub(super) enum Reaped {
    /// Its callback ran.
    Called,
    /// The requests that shared its call are ready now, or under way again.
    Shared,
    /// It is under way again.
    Resubmitted,
}

impl Image {
    /// Calls the callbacks of the requests that are done now, or soon enough; of no more than are in
    /// flight now, what is left after them leaves the fd readable. Their number.
    pub fn dispatch(&self) -> usize {
        // At least one look: it makes the fd unreadable when nothing is there.
        let mut most = self.outstanding.load(Ordering::Relaxed).max(1);
        let mut called = 0;
        let mut round = Round::new(self);
        while most > 0 {
            let Some(request) = self.completions.pop() else {
                break;
            };
            if let Reaped::Called = round.reap(request) {
                most -= 1;
                called += 1;
            }
        }
        self.completions.rest();
        called
    }

    /// Write-behind tells a failure once, to the next write or flush, and drops what it could not
    /// write. From then on no flush may report that all is well.
    fn honest(&self, outcome: &mut Outcome) {
        if self.write_behind
            && outcome.kind == Kind::Flush
            && outcome.result.is_ok()
            && self.completions.has_failed()
        {
            outcome.result = Err(Errno::new(libc::EIO, libc::EIO));
        }
    }

    /// Takes note of how a request ended.
    fn note(&self, outcome: &mut Outcome) {
        self.honest(outcome);
        if outcome.grows {
            let end = outcome.offset + outcome.length;
            self.length.grown(outcome.result.is_ok().then_some(end));
        }
        if outcome.kind.changes() {
            if outcome.result.is_ok() {
                self.survive.note_write();
            }
            self.length.changed();
        }
        self.watch_health(outcome);
    }

    fn watch_health(&self, outcome: &Outcome) {
        match outcome.result {
            Ok(()) => {
                if outcome.through {
                    self.proved(outcome.offset + outcome.length);
                }
                // A write that write-behind acknowledged says nothing about the bricks.
                let written = matches!(outcome.kind, Kind::Write | Kind::Zeroes { .. });
                let from_memory = written && self.write_behind && !outcome.through;
                if !from_memory
                    && self.failing.load(Ordering::Relaxed)
                    && self.failing.swap(false, Ordering::Relaxed)
                {
                    report::report(
                        Level::Info,
                        &format!("image {}: requests succeed again", self.location),
                    );
                }
            }
            // The host's own wish.
            Err(errno) if errno.get() == libc::ECANCELED => {}
            Err(errno) => {
                if !self.failing.swap(true, Ordering::Relaxed) {
                    let what = match outcome.kind {
                        Kind::Flush => "a flush".to_owned(),
                        kind => format!(
                            "a {} of {} bytes at offset {}",
                            kind.name(),
                            outcome.length,
                            outcome.offset
                        ),
                    };
                    let why = self.failed(&what, errno);
                    report::report(
                        Level::Error,
                        &format!(
                            "{}; further failures are not reported until one succeeds",
                            why.text
                        ),
                    );
                }
            }
        }
    }
}

/// A thread of the host that calls one callback after the other.
pub(super) struct Round<'a> {
    image: &'a Image,
    /// The request whose callback ran last: its slot is given back with the next visit to the desk.
    ended: Option<SlotRef>,
}

impl Round<'_> {
    pub(super) fn new(image: &Image) -> Round<'_> {
        Round { image, ended: None }
    }

    /// Deals with one request that this thread took.
    pub(super) fn reap(&mut self, request: SlotRef) -> Reaped {
        let image = self.image;
        let mut outcome = match request.settle(|| image.file()) {
            Next::Ended(outcome) => outcome,
            Next::Shared {
                kind,
                offset,
                length,
            } => {
                self.make_room(|desk| desk.queue.shared_out(kind, offset, length));
                return Reaped::Shared;
            }
            Next::Resubmitted => return Reaped::Resubmitted,
        };
        if let Err(errno) = outcome.result
            && is_loss(errno)
            && !request.stands()
            && self.survives(request, &mut outcome, errno)
        {
            return Reaped::Resubmitted;
        }
        image.note(&mut outcome);
        // Before the callback: it may close this image, which waits for all but the request it is
        // called for.
        self.make_room(|desk| {
            if outcome.ticket == Ticket::Held {
                let held = Range::alone(outcome.kind, outcome.offset, outcome.length);
                desk.queue.let_go(held);
            }
            desk.queue.over(outcome.ticket);
            image.outstanding.store(
                image.outstanding.load(Ordering::Relaxed) - 1,
                Ordering::Relaxed,
            );
        });
        let callback = request.delivered();
        image.completions.changed();
        if let Some(callback) = callback {
            callback.call(&outcome);
        }
        self.ended = Some(request);
        Reaped::Called
    }

    /// A request has failed since its bricks are out of reach. Whether it is to be sent again.
    #[cold]
    fn survives(&mut self, request: SlotRef, outcome: &mut Outcome, errno: Errno) -> bool {
        let image = self.image;
        if outcome.kind != Kind::Read {
            return image.survive.lost(image, errno, None);
        }
        let ticket = std::mem::replace(&mut outcome.ticket, Ticket::Free);
        request.start_over();
        // First: from when it waits on, another thread may have it.
        self.make_room(|desk| desk.queue.over(ticket));
        image.survive.lost(image, errno, Some(request))
    }

    /// Notes that a call is `over`, and submits what may go now.
    fn make_room(&mut self, over: impl FnOnce(&mut Desk)) {
        let image = self.image;
        let waits = {
            let mut desk = image.desk.lock();
            if let Some(request) = self.ended.take() {
                desk.slab.end(request);
            }
            over(&mut desk);
            !desk.queue.is_empty()
        };
        if waits && let Some(file) = image.file() {
            image.refill(&file);
        }
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        if let Some(request) = self.ended.take() {
            self.image.desk.lock().slab.end(request);
        }
    }
}
