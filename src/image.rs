// SPDX-License-Identifier: GPL-2.0-or-later
//! One open image: Open -> Draining -> Closed.
//!
//! A request is accepted during a [`Visit`], and closing begins when no visit is under way, so that
//! none slips in behind the drain.
//!
//! Locks, outermost first: a visit, that of the image's lock, the length's, `survive`'s, the desk, then what a request meets on its way, each
//! for itself: the line of the flushes, the workers' room, the completions'. A callback runs under
//! none of them.

mod attach;
mod copy;
mod failure;
mod flush;
mod length;
mod limits;
mod lock;
mod loss;
mod open;
mod preallocate;
mod quiet;
mod reap;
mod registry;
mod reopen;
mod slow;
mod statistics;
mod status;
mod survive;
mod time;
mod trace;
mod unflushed;
mod watch;
mod zeroes;

use attach::Watching;
pub use attach::readable;
use copy::Copies;
use flush::Flushes;
use length::Length;
use lock::ImageLock;
use loss::Loss;
use quiet::Quiet;
use reap::{Reaped, Round};
pub use registry::{ImageId, Visit, cancel, cancel_async, count, get, look, visit};
use reopen::Reopening;
use slow::Slow;
use statistics::{Clock, Statistics};
pub use statistics::{Event, Format, Operations, Snapshot};
pub use status::Content;
use status::Status;
use survive::{Survive, is_loss};
use time::{Delays, Handy, Time};
use trace::Trace;
use unflushed::Unflushed;
use watch::Watched;
use zeroes::Zeroes;

use crate::completion::Lease;
use crate::error::{Errno, Error, Result, Stage};
use crate::gfapi::{self, Brick, Connection, File, Replicas};
use crate::options::{ImageLocation, MAX_END, SECTOR, Verbosity};
use crate::queue::{Queue, Range, Ticket};
use crate::report::{self, Level};
use crate::request::{Ask, COMPLETIONS, Handle, Kind, Next, Outcome, Seen, Slab, SlotRef};
use crate::volume::Connected;
use parking_lot::{MappedRwLockReadGuard, Mutex, RwLock};
use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicUsize, Ordering};

/// The host's poll loop, as far as an image needs it.
pub trait PollLoop: Send + Sync {
    /// Poll `fd`, and call [`readable`] with `watch` when it is readable.
    fn watch(&self, fd: RawFd, watch: u64) -> std::result::Result<(), Errno>;
    /// Forget `fd`.
    fn unwatch(&self, fd: RawFd);
}

/// One open image.
pub struct Image {
    id: ImageId,
    /// For messages.
    location: ImageLocation,
    /// This and `write_behind` change with a reopen, while there is no visit.
    read_write: AtomicBool,
    poll_loop: Box<dyn PollLoop>,
    watching: Watching,
    desk: Mutex<Desk>,
    flushes: Arc<Flushes>,
    zeroes: Arc<Zeroes>,
    copies: Arc<Copies>,
    completions: Lease<SlotRef>,
    /// Accepted requests that no host thread has taken for delivery yet. Changed at the desk.
    outstanding: AtomicUsize,
    length: Length,
    lock: Arc<ImageLock>,
    /// Writes up to here lie within what the bricks' file systems allow; see `must_go_through`.
    proved: AtomicI64,
    /// Write-behind may hold acknowledged writes back.
    write_behind: AtomicBool,
    /// It does, or it did and has failed since: see `is_honest`.
    fears_loss: AtomicBool,
    /// An errno for the next flush: what was written to a file that was closed may not be on stable
    /// storage. 0 for none.
    owed: AtomicI32,
    reopening: Reopening,
    survive: Arc<Survive>,
    loss: Arc<Loss>,
    /// With strict-flush=on.
    unflushed: Option<Arc<Unflushed>>,
    slow: Arc<Slow>,
    _watched: Watched,
    /// The last request failed; a storm of failures is reported once.
    failing: AtomicBool,
    clock: Clock,
    handy: Handy,
    /// When a request came is of interest.
    timed: bool,
    /// `None`: nobody wants them.
    statistics: Option<Arc<Statistics>>,
    /// What of its requests is traced.
    verbosity: Verbosity,
    trace: Arc<Trace>,
}

/// What one thread at a time has of an image, for a short time.
struct Desk {
    slab: Slab,
    /// The requests that are not sent yet, but for flushes.
    queue: Queue<SlotRef>,
    delays: Delays,
    quiet: Quiet,
}

/// An image that is not closed.
pub struct Opened {
    image: Arc<Image>,
    backing: Arc<Backing>,
    /// No more requests are accepted.
    draining: bool,
}

/// The file, and the connection that has to outlive it. Dropped in this order. Shared with the thread
/// that flushes, while it does.
struct Backing {
    file: File,
    /// One flush at a time: what it finds to be done is done when the next one looks.
    flushing: Mutex<()>,
    lock: Arc<ImageLock>,
    status: Status,
    volume: Arc<Connected>,
    replicas: Arc<Replicas>,
    loss: Arc<Loss>,
    unflushed: Option<Arc<Unflushed>>,
}

/// Every file system holds files of this size.
const ALWAYS_PROVED: i64 = 1 << 40;

/// A write that went through proves the rest of its GiB, but for the last blocks: limits lie just
/// below powers of two.
const PROOF_STEP: i64 = 1 << 30;
const PROOF_MARGIN: i64 = 1 << 16;

impl Opened {
    /// Its number.
    pub fn id(&self) -> ImageId {
        self.image.id
    }

    /// Accepts a request, or refuses it with an error and no callback.
    pub fn submit(&self, ask: Ask<'_>) -> Result<Handle> {
        let submitted = self.image.check(&ask).and_then(|()| {
            if self.draining {
                return Err(self.image.closed());
            }
            self.image.submit(&self.backing, ask)
        });
        submitted.inspect_err(|_| self.image.count(Event::Refused, 1))
    }

    /// Where lines of a request are to be told from after the visit, if there can be any.
    pub fn trace(&self) -> Option<Arc<Trace>> {
        (self.image.verbosity != Verbosity::Off).then(|| self.image.trace.clone())
    }
}

impl Image {
    /// Whether a callback waits to be called, or did a moment ago.
    pub fn has_ended_some(&self) -> bool {
        self.completions.may_have_items()
    }

    fn submit(&self, backing: &Arc<Backing>, mut ask: Ask<'_>) -> Result<Handle> {
        let file = &backing.file;
        ask.began = self.handy.take(self.clock);
        ask.begun_ns = self.clock.absolute(ask.began);
        let mut growth = None;
        let changes = ask.kind.changes();
        let change = changes.then(|| self.length.change());
        if changes && self.lock.is_given_up() {
            self.refused_change();
            return Err(self.without_lock());
        }
        match ask.kind {
            Kind::Discard => self.clip(&mut ask),
            Kind::Write | Kind::Zeroes { .. } | Kind::Copy { .. } => {
                let end = ask.offset + ask.length;
                ask.through = self.must_go_through(end);
                // What has no length grows nothing, wherever it lies.
                if ask.length > 0 {
                    growth = self.length.grow(end);
                }
                ask.grows = growth.is_some();
            }
            Kind::Read | Kind::Flush => {}
        }
        let accepted = {
            let mut desk = self.desk.lock();
            desk.slab.begin(&ask).map(|(request, handle)| {
                let outstanding = self.outstanding.load(Ordering::Relaxed) + 1;
                self.outstanding.store(outstanding, Ordering::Relaxed);
                if let Some(statistics) = &self.statistics {
                    statistics.accepted(ask.kind, outstanding);
                    if file.bounces(ask.offset, ask.length) {
                        statistics.count(Event::Bounced, 1);
                    }
                    if request.calls() > 1 {
                        statistics.count(Event::Split, 1);
                        statistics.count(Event::SplitCall, request.calls());
                    }
                }
                let ticket = desk.admit(request, ask.range());
                (request, handle, ticket, desk.queue.is_ripe())
            })
        };
        let Some((request, handle, ticket, ripe)) = accepted else {
            if ask.grows {
                self.length.grown(None);
            }
            if changes {
                self.refused_change();
            }
            return Err(self.error(
                libc::EAGAIN,
                "has too many requests in flight; wait for some to finish",
            ));
        };
        if self.verbosity == Verbosity::All {
            self.trace_accepted(handle, &ask, ticket.is_some());
        }
        match ticket {
            Some(_) if ask.kind == Kind::Flush => self.flushes.submit(request, backing),
            Some(ticket) => self.send(request, ticket, file),
            None => {}
        }
        if ripe {
            self.refill(file);
        }
        drop((growth, change));
        Ok(handle)
    }

    /// Submits what waited for a place in the window.
    fn refill(&self, file: &File) {
        loop {
            let mut desk = self.desk.lock();
            let Some((members, ticket)) = desk.queue.next() else {
                return;
            };
            let leader = members[0];
            if members.len() > 1 {
                leader.lead(members);
                self.count(Event::MergedCall, 1);
                self.count(Event::MergedRequest, members.len());
                self.trace.note(Verbosity::All, || {
                    format!(
                        "requests {}: one call for them",
                        trace::numbers(members.iter().map(|member| member.number()))
                    )
                });
            }
            // Under the lock: what left the queue holds nothing back any more, so that another
            // thread's request could overtake one that it overlaps. No callback takes this lock.
            self.send(leader, ticket, file);
        }
    }

    fn send(&self, request: SlotRef, ticket: Ticket, file: &File) {
        if self.unflushed.is_some() && request.seen().is_none_or(|seen| seen.kind.changes()) {
            self.note_unflushed();
        }
        match ticket {
            Ticket::Held => match request.hand_over_copy() {
                Some(copying) => self.copies.submit(request, copying),
                None => self.zeroes.submit(request, self.length.known()),
            },
            ticket => request.submit(file, ticket),
        }
    }

    /// One that had begun was refused. Who gives the lock up may have seen it, and wait for its end.
    fn refused_change(&self) {
        self.length.changed();
        self.completions.changed();
    }

    /// What is sent, or has ended, is not flushed.
    fn note_unflushed(&self) {
        if let Some(unflushed) = &self.unflushed {
            unflushed.note();
        }
    }

    /// Something happened so many times.
    fn count(&self, event: Event, times: usize) {
        if let Some(statistics) = &self.statistics {
            statistics.count(event, times);
        }
    }

    /// What it has done so far.
    pub fn statistics(&self) -> Result<Snapshot> {
        match &self.statistics {
            Some(statistics) => Ok(statistics.snapshot()),
            None => Err(self.error(
                libc::EOPNOTSUPP,
                "was opened with statistics=off; nothing was counted",
            )),
        }
    }

    /// Its URI.
    pub fn name(&self) -> String {
        self.location.to_string()
    }

    #[cold]
    fn trace_accepted(&self, handle: Handle, ask: &Ask<'_>, at_once: bool) {
        self.trace.note(Verbosity::All, || {
            let what = ask.kind.in_words(ask.offset, ask.length);
            let then = if at_once { "sent" } else { "waits" };
            format!("request {}: {what}: {then}", handle.index)
        });
    }

    #[inline(never)]
    fn check(&self, ask: &Ask<'_>) -> Result<()> {
        if ask.offset < 0 || ask.length < 0 {
            return Err(self.error(
                libc::EINVAL,
                &format!(
                    "was asked for a {} at offset {} of {} bytes",
                    ask.kind.name(),
                    ask.offset,
                    ask.length
                ),
            ));
        }
        if ask
            .offset
            .checked_add(ask.length)
            .is_none_or(|end| end > MAX_END && ask.kind != Kind::Discard)
        {
            return Err(self.error(
                libc::EFBIG,
                &format!(
                    "was asked for a {} at offset {} that ends past 4 PiB",
                    ask.kind.name(),
                    ask.offset
                ),
            ));
        }
        if matches!(ask.kind, Kind::Read | Kind::Write) {
            match ask.buffers.total() {
                None => {
                    return Err(self.error(
                        libc::EINVAL,
                        "was given a NULL buffer, or buffers of more than 2^63 bytes",
                    ));
                }
                Some(total) if total != ask.length => {
                    return Err(self.error(
                        libc::EINVAL,
                        &format!(
                            "was given buffers of {total} bytes for a {} of {} bytes",
                            ask.kind.name(),
                            ask.length
                        ),
                    ));
                }
                Some(_) => {}
            }
        }
        if let Kind::Copy { source, from } = ask.kind {
            self.check_copy(source, from, ask)?;
        }
        if ask.kind.changes() && !self.is_read_write() {
            return Err(self.error(
                libc::EBADF,
                &format!("is open read-only; a {} needs BLK_O_RDWR", ask.kind.name()),
            ));
        }
        Ok(())
    }

    /// Whether write-behind must not hold a write that ends at `end` back. It would acknowledge one
    /// beyond what the bricks' file system allows, and then never get rid of it: each later flush
    /// would fail.
    fn must_go_through(&self, end: i64) -> bool {
        self.has_write_behind() && end > self.proved.load(Ordering::Relaxed)
    }

    fn proved(&self, end: i64) {
        let step_end = end.saturating_add(PROOF_STEP - 1) / PROOF_STEP * PROOF_STEP - PROOF_MARGIN;
        self.proved.fetch_max(end.max(step_end), Ordering::Relaxed);
    }

    /// Its number.
    pub fn id(&self) -> ImageId {
        self.id
    }

    /// Whether it may be written.
    pub fn is_read_write(&self) -> bool {
        self.read_write.load(Ordering::Relaxed)
    }

    fn has_write_behind(&self) -> bool {
        self.write_behind.load(Ordering::Relaxed)
    }

    fn with_backing<T>(&self, body: impl FnOnce(&Arc<Backing>) -> Result<T>) -> Result<T> {
        match registry::visit(self.id) {
            Some(opened) if !opened.draining => body(&opened.backing),
            _ => Err(self.closed()),
        }
    }

    /// Its file, which stays open while this is held; not for the time of a callback.
    fn file(&self) -> Option<MappedRwLockReadGuard<'static, File>> {
        let visit = registry::visit(self.id)?;
        Some(MappedRwLockReadGuard::map(visit, |opened| {
            &opened.backing.file
        }))
    }

    /// The fd that is readable while a callback waits.
    pub fn completion_fd(&self) -> RawFd {
        self.completions.fd()
    }

    /// Waits for this one request and calls its callback; no other's. One that was not sent yet
    /// ends at once with ECANCELED.
    pub fn cancel(&self, handle: Handle) {
        let Some(request) = self.find(handle) else {
            return;
        };
        self.withdraw(request, handle);
        let completions = &self.completions;
        loop {
            let mut taken = None;
            completions.wait_until(|| {
                // In this order: a later request in the same slot is not delivered either.
                if request.is_delivered() || !request.is_current(handle) {
                    return true;
                }
                // It may be ready as a part of a shared call. While it is, its slot keeps its
                // generation.
                taken = completions
                    .take(|ready| ready == request && ready.is_current(handle))
                    .or_else(|| completions.take(SlotRef::leads));
                taken.is_some()
            });
            match taken {
                None => return,
                Some(ready) => {
                    if matches!(Round::new(self).reap(ready), Reaped::Called) {
                        return;
                    }
                }
            }
        }
    }

    /// Ends a request with ECANCELED if it was not sent yet; its callback comes as always.
    pub fn cancel_async(&self, handle: Handle) {
        if let Some(request) = self.find(handle) {
            self.withdraw(request, handle);
        }
    }

    /// One that is to end: it is not sent again.
    fn find(&self, handle: Handle) -> Option<SlotRef> {
        let desk = self.desk.lock();
        desk.slab.find(handle).inspect(|request| request.stand())
    }

    /// Ends a request that waits, in the queue or for a thread of ours.
    fn withdraw(&self, request: SlotRef, handle: Handle) {
        // Looked at under the lock: since `find` the slot may hold a later request, and while one
        // waits its slot keeps its generation.
        let is_current = || request.is_current(handle);
        let from_queue = || {
            let mut desk = self.desk.lock();
            is_current() && (desk.queue.withdraw(request) || desk.quiet.withdraw(request))
        };
        if from_queue()
            || self.flushes.withdraw(request, is_current)
            || self.zeroes.withdraw(request, is_current)
            || self.copies.withdraw(request, is_current)
            || self.survive.withdraw(request, is_current)
        {
            request.call_off(Errno::new(libc::ECANCELED, libc::EIO));
        }
    }

    /// Holds requests back, up to a bound, until as many `unplug` calls came.
    pub fn plug(&self) -> Result<()> {
        self.with_backing(|_| {
            self.desk.lock().queue.plug();
            Ok(())
        })
    }

    /// Sends what was held back.
    pub fn unplug(&self) -> Result<()> {
        self.with_backing(|backing| {
            self.desk.lock().queue.unplug();
            self.refill(&backing.file);
            Ok(())
        })?;
        self.trace.tell();
        Ok(())
    }

    /// Waits until no request is in flight, calling their callbacks.
    pub fn drain(&self) {
        self.drain_until(|| self.is_idle());
    }

    /// Waits until that is so, calling callbacks.
    fn drain_until(&self, idle: impl Fn() -> bool) {
        let completions = &self.completions;
        loop {
            if let Some(opened) = registry::visit(self.id) {
                // A host that plugs and then waits must not wait for ever.
                self.desk.lock().queue.pull_plug();
                self.let_in(&opened.backing);
                self.refill(&opened.backing.file);
            }
            self.trace.tell();
            let mut reaped = false;
            let mut round = Round::new(self);
            // Callbacks may submit for ever what is not waited for.
            while !idle()
                && let Some(request) = completions.pop()
            {
                round.reap(request);
                reaped = true;
            }
            drop(round);
            if idle() {
                return;
            }
            // A callback may have plugged and submitted anew.
            if !reaped {
                completions.wait_until(|| idle() || !completions.is_empty());
            }
        }
    }

    /// Drains, stops polling, and lets go of file and connection. Whether it was open.
    pub fn close(&self) -> bool {
        let was_open = registry::change(self.id, |opened| {
            !std::mem::replace(&mut opened.draining, true)
        });
        if was_open == Some(true) {
            let begun = self.clock.now();
            self.desk.lock().quiet.pull();
            self.survive.end(self);
            self.drain();
            let drained = self.clock.now();
            self.stop_watching();
            self.release();
            self.trace.say(Verbosity::Steps, || {
                let (drain, end) = (drained - begun, self.clock.now() - drained);
                format!(
                    "closed: drained in {} us, its file closed in {} us",
                    drain / 1000,
                    end / 1000
                )
            });
        }
        was_open == Some(true)
    }

    fn release(&self) {
        self.abandon_reopen();
        self.zeroes.let_go();
        self.survive.let_go();
        let Some(opened) = registry::remove(self.id) else {
            return;
        };
        self.lock.end(&opened.backing.file);
        // What is drained holds the backing no more; a look at bricks that do not answer may, and closes
        // it then.
        if let Some(backing) = Arc::into_inner(opened.backing)
            && let Err(errno) = backing.file.close()
        {
            // Data that was not flushed may be lost, and nobody else would say so.
            report::report(Level::Error, &self.failed("closing it", errno).text);
        }
        registry::forget(self.id);
    }

    fn closed(&self) -> Error {
        self.error(libc::EBADF, "is closed")
    }

    #[cold]
    fn error(&self, errno: i32, what: &str) -> Error {
        Error::new(Stage::Io, errno, format!("image {} {what}", self.location))
    }

    fn failed(&self, what: &str, errno: Errno) -> Error {
        let advice = match errno.get() {
            libc::EIO | libc::ENOSPC | libc::EDQUOT if self.loss.is_noted() => {
                "; what was written since the last flush that succeeded may be lost, see what was reported: \
                 close the image, look at what it holds, and open it again"
            }
            _ if self.survive.is_replaced() => {
                "; it was removed, or another file was put in its place: close it and open it again"
            }
            libc::EBADFD if self.lock.is_used() && self.location.has_strict_locks() => {
                "; its bricks are out of reach, or one that was restarted has forgotten its lock, so \
                 that another one may have written it: close the image and open it again"
            }
            libc::EBUSY if self.lock.is_given_up() => {
                "; a brick has forgotten its lock and given it to another one, which may have written \
                 the image: close it, and look at what it holds before using it again"
            }
            libc::ENOTCONN | libc::EBADFD => {
                "; its bricks are out of reach, see `gluster volume status`"
            }
            libc::ENOSPC | libc::EDQUOT => "; make room on the bricks and try again",
            libc::EAGAIN => "; the process may have run out of threads, see its limits",
            _ => "",
        };
        Error::new(
            Stage::Io,
            errno.get(),
            format!("image {}: {what} failed: {errno}{advice}", self.location),
        )
    }
}

/// Converts sectors to bytes: (offset, length).
pub fn sectors(first: i64, count: i32) -> Result<(i64, i64)> {
    if first < 0 || count < 0 {
        return Err(Error::invalid(format!(
            "sector {first} and a count of {count} sectors: neither may be negative"
        )));
    }
    let offset = first.checked_mul(SECTOR).ok_or_else(|| {
        Error::new(
            Stage::Io,
            libc::EFBIG,
            format!("sector {first} lies past 2^63 bytes"),
        )
    })?;
    Ok((offset, i64::from(count) * SECTOR))
}
