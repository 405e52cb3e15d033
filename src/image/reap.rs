// SPDX-License-Identifier: GPL-2.0-or-later
//! Requests that are done: what they tell of the image, and their callbacks.

use super::failure::During;
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
        self.dispatch_while(|| true)
    }

    /// The same, for as long as that is so: a callback may change it.
    pub(super) fn dispatch_while(&self, wanted: impl Fn() -> bool) -> usize {
        // At least one look: it makes the fd unreadable when nothing is there.
        let mut most = self.outstanding.load(Ordering::Relaxed).max(1);
        let mut called = 0;
        let mut round = Round::new(self);
        while most > 0 && wanted() {
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

    /// A flush that has gone well says so only if nothing went wrong before it.
    fn honest(&self, outcome: &mut Outcome) {
        if outcome.kind == Kind::Flush && outcome.result.is_ok() {
            outcome.result = self.is_honest();
            // Told to a flush of the host's, and to no other call, once.
            self.owed.store(0, Ordering::Relaxed);
        }
    }

    /// A call about the image's file has failed that was no write and no flush. It may have been told what
    /// write-behind could not write, of which the next write or flush hears nothing then.
    pub(super) fn may_have_lost(&self) {
        if self.fears_loss.load(Ordering::Relaxed) {
            self.completions.note_failure();
        }
    }

    /// Whether a flush that has gone well may say so. Write-behind drops what it could not write: after
    /// that none may.
    pub(super) fn is_honest(&self) -> gfapi::Result<()> {
        if self.fears_loss.load(Ordering::Relaxed) && self.completions.has_failed() {
            return Err(Errno::new(libc::EIO, libc::EIO));
        }
        match self.owed.load(Ordering::Relaxed) {
            0 => Ok(()),
            errno => Err(Errno::new(errno, libc::EIO)),
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
                self.note_unflushed();
            }
            self.length.changed();
        }
        self.watch_health(outcome);
    }

    #[cold]
    fn trace_ended(&self, request: SlotRef, outcome: &Outcome, took_ns: u64) {
        let what = match outcome.result {
            Ok(()) => Verbosity::Requests,
            Err(_) => Verbosity::Errors,
        };
        self.trace.say(what, || {
            let how = match outcome.result {
                Ok(()) => "done".to_owned(),
                Err(errno) => format!("{errno}"),
            };
            format!(
                "request {}: {}: {how} in {} us",
                request.number(),
                outcome.kind.in_words(outcome.offset, outcome.length),
                took_ns / 1000
            )
        });
    }

    fn watch_health(&self, outcome: &Outcome) {
        match outcome.result {
            Ok(()) => {
                if outcome.through {
                    self.proved(outcome.offset + outcome.length);
                }
                // A write that write-behind acknowledged says nothing about the bricks.
                let written = matches!(
                    outcome.kind,
                    Kind::Write | Kind::Zeroes { .. } | Kind::Copy { .. }
                );
                let from_memory = written && self.has_write_behind() && !outcome.through;
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
                    let why =
                        self.request_failed(outcome.kind, outcome.offset, outcome.length, errno);
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
    time: Time,
}

impl Round<'_> {
    pub(super) fn new(image: &Image) -> Round<'_> {
        Round {
            image,
            ended: None,
            time: Time::new(&image.handy),
        }
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
                alone,
            } => {
                if alone > 0 {
                    image.count(Event::Unmerged, alone);
                    image.trace.note(Verbosity::Errors, || {
                        let what = kind.in_words(offset, length);
                        format!("one call for several, {what}, failed; {alone} are sent alone")
                    });
                }
                self.make_room(|desk| desk.queue.shared_out(kind, offset, length));
                image.trace.tell();
                return Reaped::Shared;
            }
            Next::Resubmitted { aside: true } => {
                image.count(Event::Bounced, 1);
                image.trace.say(Verbosity::Errors, || {
                    format!("request {}: is sent beside O_DIRECT", request.number())
                });
                return Reaped::Resubmitted;
            }
            Next::Resubmitted { aside: false } => {
                image.count(Event::ShortRead, 1);
                image.trace.say(Verbosity::Errors, || {
                    format!("request {}: a short read is sent on", request.number())
                });
                return Reaped::Resubmitted;
            }
        };
        if let Err(errno) = outcome.result
            && is_loss(errno)
            && !request.stands()
            && self.survives(request, &mut outcome, errno)
        {
            return Reaped::Resubmitted;
        }
        image.note(&mut outcome);
        let (now, delay) = match image.timed {
            true => self.time.at_end(image.clock, outcome.began),
            false => (0, None),
        };
        let mut took = 0;
        // Before the callback: it may close this image, which waits for all but the request it is
        // called for.
        self.make_room(|desk| {
            if outcome.ticket == Ticket::Held {
                let held = Range::alone(outcome.kind, outcome.offset, outcome.length);
                desk.queue.let_go(held);
            }
            if let Some(delay) = delay {
                desk.delays.add(delay);
            }
            took = now.saturating_sub(desk.delays.came(outcome.began));
            if let Some(statistics) = &image.statistics {
                statistics.ended(&outcome, took);
            }
            desk.queue.over(outcome.ticket);
            image.outstanding.store(
                image.outstanding.load(Ordering::Relaxed) - 1,
                Ordering::Relaxed,
            );
        });
        if image.verbosity != Verbosity::Off {
            image.trace_ended(request, &outcome, took);
        }
        let callback = request.delivered();
        image.completions.changed();
        if let Some(callback) = callback {
            let _during = During::new(image, &outcome);
            self.time.offer(&image.handy);
            callback.call(&outcome);
            self.time.withdraw(&image.handy);
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
        let delay = self.time.at_rest(self.image.clock, &self.image.handy);
        if let Some(request) = self.ended.take() {
            let mut desk = self.image.desk.lock();
            desk.slab.end(request);
            if let Some(delay) = delay {
                desk.delays.add(delay);
            }
        }
    }
}
