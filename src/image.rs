// SPDX-License-Identifier: GPL-2.0-or-later
//! One open image: Open -> Draining -> Closed.
//!
//! A request is accepted under the phase's read lock and closing begins under its write lock, so
//! that none slips in behind the drain.

mod flush;
mod length;
mod limits;
mod open;
mod preallocate;
mod registry;
mod status;
mod zeroes;

use flush::Flushes;
use length::Length;
pub use registry::{ImageId, cancel, cancel_async, count, get};
pub use status::Content;
use status::Status;
use zeroes::Zeroes;

use crate::completion::Completions;
use crate::error::{Errno, Error, Result, Stage};
use crate::gfapi::{self, Connection, File};
use crate::options::{ImageLocation, MAX_END, SECTOR};
use crate::queue::{Queue, Range, Ticket};
use crate::report::{self, Level};
use crate::request::{Ask, Handle, Kind, Next, Outcome, Slab, SlotRef};
use crate::volume::Connected;
use parking_lot::{Mutex, RwLock};
use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

/// The host's poll loop, as far as an image needs it.
pub trait PollLoop: Send + Sync {
    /// Poll `fd`, and dispatch the image `id` when it is readable.
    fn watch(&self, fd: RawFd, id: ImageId) -> std::result::Result<(), Errno>;
    /// Forget `fd`.
    fn unwatch(&self, fd: RawFd);
}

/// One open image.
pub struct Image {
    id: ImageId,
    /// For messages.
    location: ImageLocation,
    read_write: bool,
    /// O_DIRECT on the bricks.
    direct: bool,
    poll_loop: Box<dyn PollLoop>,
    phase: RwLock<Phase>,
    requests: Slab,
    /// Those of them that are not sent yet.
    queue: Mutex<Queue<SlotRef>>,
    flushes: Arc<Flushes>,
    zeroes: Arc<Zeroes>,
    /// Accepted requests that no host thread has taken for delivery yet.
    outstanding: AtomicUsize,
    length: Length,
    /// Writes up to here lie within what the bricks' file systems allow; see `must_go_through`.
    proved: AtomicI64,
    /// Write-behind may hold acknowledged writes back.
    write_behind: bool,
    /// The last request failed; a storm of failures is reported once.
    failing: AtomicBool,
}

enum Phase {
    Open(Arc<Backing>),
    Draining(Arc<Backing>),
    Closed,
}

/// The file, and the connection that has to outlive it. Dropped in this order. Shared with the thread
/// that flushes, while it does.
struct Backing {
    file: File,
    status: Status,
    volume: Connected,
}

impl Phase {
    fn open(&self) -> Option<&Arc<Backing>> {
        match self {
            Phase::Open(backing) => Some(backing),
            _ => None,
        }
    }

    fn file(&self) -> Option<&File> {
        match self {
            Phase::Open(backing) | Phase::Draining(backing) => Some(&backing.file),
            Phase::Closed => None,
        }
    }
}

/// Every file system holds files of this size.
const ALWAYS_PROVED: i64 = 1 << 40;

/// A write that went through proves the rest of its GiB, but for the last blocks: limits lie just
/// below powers of two.
const PROOF_STEP: i64 = 1 << 30;
const PROOF_MARGIN: i64 = 1 << 16;

/// What became of a request that was taken from the ready list.
enum Reaped {
    /// Its callback ran.
    Called,
    /// So many requests that shared its call are ready now.
    Shared(usize),
    /// It is under way again.
    Resubmitted,
}

impl Image {
    /// Accepts a request, or refuses it with an error and no callback.
    pub fn submit(&self, mut ask: Ask<'_>) -> Result<Handle> {
        self.check(&ask)?;
        let phase = self.phase.read();
        let Some(backing) = phase.open() else {
            return Err(self.closed());
        };
        let file = &backing.file;
        let mut growth = None;
        let changes = ask.kind.changes();
        let change = changes.then(|| self.length.change());
        match ask.kind {
            Kind::Discard => self.clip(file, &mut ask),
            Kind::Write | Kind::Zeroes { .. } => {
                let end = ask.offset + ask.length;
                ask.through = self.must_go_through(end);
                growth = self.length.grow(end);
                ask.grows = growth.is_some();
            }
            Kind::Read | Kind::Flush => {}
        }
        let Some((request, handle)) = self.requests.begin(&ask) else {
            if ask.grows {
                self.length.grown(None);
            }
            if changes {
                self.length.changed();
            }
            return Err(self.error(
                libc::EAGAIN,
                "has too many requests in flight; wait for some to finish",
            ));
        };
        self.outstanding.fetch_add(1, Ordering::SeqCst);
        let (ticket, ripe) = {
            let mut queue = self.queue.lock();
            (queue.admit(request, ask.range()), queue.is_ripe())
        };
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
            let mut queue = self.queue.lock();
            let Some((members, ticket)) = queue.next() else {
                return;
            };
            let leader = members[0];
            if members.len() > 1 {
                leader.lead(members);
            }
            // Under the lock: what left the queue holds nothing back any more, so that another
            // thread's request could overtake one that it overlaps. No callback takes this lock.
            self.send(leader, ticket, file);
        }
    }

    fn send(&self, request: SlotRef, ticket: Ticket, file: &File) {
        match ticket {
            Ticket::Held => self.zeroes.submit(request, self.length.known()),
            ticket => request.submit(file, ticket),
        }
    }

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
        if ask.kind.changes() && !self.read_write {
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
        self.write_behind && end > self.proved.load(Ordering::Relaxed)
    }

    fn proved(&self, end: i64) {
        let step_end = end.saturating_add(PROOF_STEP - 1) / PROOF_STEP * PROOF_STEP - PROOF_MARGIN;
        self.proved.fetch_max(end.max(step_end), Ordering::Relaxed);
    }

    /// Its number.
    pub fn id(&self) -> ImageId {
        self.id
    }

    fn with_backing<T>(&self, body: impl FnOnce(&Backing) -> Result<T>) -> Result<T> {
        match self.phase.read().open() {
            Some(backing) => body(backing),
            None => Err(self.closed()),
        }
    }

    /// The fd that is readable while a callback waits.
    pub fn completion_fd(&self) -> RawFd {
        self.requests.completions().fd()
    }

    /// Calls the callbacks of the requests that are done now; what finishes meanwhile leaves the fd
    /// readable. Their number.
    pub fn dispatch(&self) -> usize {
        // At least one look: it makes the fd unreadable when nothing is there.
        let mut most = self.requests.completions().len().max(1);
        let mut called = 0;
        while most > 0 {
            let Some(request) = self.requests.completions().pop() else {
                break;
            };
            most -= 1;
            match self.reap(request) {
                Reaped::Called => called += 1,
                Reaped::Shared(requests) => most += requests,
                Reaped::Resubmitted => {}
            }
        }
        self.requests.completions().rest();
        called
    }

    /// Deals with one request that this thread took.
    fn reap(&self, request: SlotRef) -> Reaped {
        let mut outcome = {
            let phase = self.phase.read();
            let file = phase.file();
            let outcome = match request.settle(file) {
                Next::Ended(outcome) => outcome,
                Next::Shared {
                    kind,
                    offset,
                    length,
                    served,
                } => {
                    self.queue.lock().shared_out(kind, offset, length);
                    if let Some(file) = file {
                        self.refill(file);
                    }
                    return Reaped::Shared(served);
                }
                Next::Resubmitted => return Reaped::Resubmitted,
            };
            let mut queue = self.queue.lock();
            if outcome.ticket == Ticket::Held {
                queue.let_go(Range::alone(outcome.kind, outcome.offset, outcome.length));
            }
            queue.over(outcome.ticket);
            drop(queue);
            if let Some(file) = file {
                self.refill(file);
            }
            outcome
        };
        self.deliver(request, &mut outcome);
        Reaped::Called
    }

    /// Write-behind tells a failure once, to the next write or flush, and drops what it could not
    /// write. From then on no flush may report that all is well.
    fn honest(&self, outcome: &mut Outcome) {
        if self.write_behind
            && outcome.kind == Kind::Flush
            && outcome.result.is_ok()
            && self.requests.completions().has_failed()
        {
            outcome.result = Err(Errno::new(libc::EIO, libc::EIO));
        }
    }

    fn deliver(&self, request: SlotRef, outcome: &mut Outcome) {
        self.honest(outcome);
        if outcome.grows {
            let end = outcome.offset + outcome.length;
            self.length.grown(outcome.result.is_ok().then_some(end));
        }
        if outcome.kind.changes() {
            self.length.changed();
        }
        self.watch_health(outcome);
        // Before the callback: it may close this image, which waits for all but the request it is
        // called for.
        self.outstanding.fetch_sub(1, Ordering::SeqCst);
        let callback = request.delivered();
        self.requests.completions().changed();
        if let Some(callback) = callback {
            callback.call(outcome);
        }
        self.requests.end(request);
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

    /// Waits for this one request and calls its callback; no other's. One that was not sent yet
    /// ends at once with ECANCELED.
    pub fn cancel(&self, handle: Handle) {
        let Some(request) = self.requests.find(handle) else {
            return;
        };
        self.withdraw(request, handle);
        let completions = self.requests.completions();
        loop {
            let mut taken = None;
            completions.wait_until(|| {
                if !self.requests.is_current(request, handle) || request.is_delivered() {
                    return true;
                }
                // It may be ready as a part of a shared call.
                taken = completions
                    .take(|ready| ready == request)
                    .or_else(|| completions.take(SlotRef::leads));
                taken.is_some()
            });
            match taken {
                None => return,
                Some(ready) => {
                    if matches!(self.reap(ready), Reaped::Called) {
                        return;
                    }
                }
            }
        }
    }

    /// Ends a request with ECANCELED if it was not sent yet; its callback comes as always.
    pub fn cancel_async(&self, handle: Handle) {
        if let Some(request) = self.requests.find(handle) {
            self.withdraw(request, handle);
        }
    }

    /// Ends a request that waits, in the queue or for a thread of ours.
    fn withdraw(&self, request: SlotRef, handle: Handle) {
        // Looked at under the lock: since `find` the slot may hold a later request, and while one
        // waits its slot keeps its generation.
        let is_current = || self.requests.is_current(request, handle);
        let from_queue = || {
            let mut queue = self.queue.lock();
            is_current() && queue.withdraw(request)
        };
        if from_queue()
            || self.flushes.withdraw(request, is_current)
            || self.zeroes.withdraw(request, is_current)
        {
            request.call_off(Errno::new(libc::ECANCELED, libc::EIO));
        }
    }

    /// Holds requests back, up to a bound, until as many `unplug` calls came.
    pub fn plug(&self) -> Result<()> {
        self.with_backing(|_| {
            self.queue.lock().plug();
            Ok(())
        })
    }

    /// Sends what was held back.
    pub fn unplug(&self) -> Result<()> {
        self.with_backing(|backing| {
            self.queue.lock().unplug();
            self.refill(&backing.file);
            Ok(())
        })
    }

    /// Waits until no request is in flight, calling their callbacks.
    pub fn drain(&self) {
        let completions = self.requests.completions();
        loop {
            if let Some(file) = self.phase.read().file() {
                // A host that plugs and then waits must not wait for ever.
                self.queue.lock().pull_plug();
                self.refill(file);
            }
            let mut reaped = false;
            while let Some(request) = completions.pop() {
                self.reap(request);
                reaped = true;
            }
            let idle = || self.outstanding.load(Ordering::SeqCst) == 0;
            if idle() {
                return;
            }
            // A callback may have plugged and submitted anew.
            if !reaped {
                completions.wait_until(|| idle() || completions.len() > 0);
            }
        }
    }

    /// Drains, stops polling, and lets go of file and connection. Whether it was open.
    pub fn close(&self) -> bool {
        let was_open = self.begin_to_drain();
        if was_open {
            self.drain();
            self.poll_loop.unwatch(self.completion_fd());
            self.release();
        }
        was_open
    }

    fn begin_to_drain(&self) -> bool {
        let mut phase = self.phase.write();
        match std::mem::replace(&mut *phase, Phase::Closed) {
            Phase::Open(backing) => {
                *phase = Phase::Draining(backing);
                true
            }
            other => {
                *phase = other;
                false
            }
        }
    }

    fn release(&self) {
        let phase = std::mem::replace(&mut *self.phase.write(), Phase::Closed);
        self.zeroes.let_go();
        // Nobody else has it now: what is drained holds it no more.
        if let Phase::Open(backing) | Phase::Draining(backing) = phase
            && let Some(backing) = Arc::into_inner(backing)
            && let Err(errno) = backing.file.close()
        {
            // Data that was not flushed may be lost, and nobody else would say so.
            report::report(Level::Error, &self.failed("closing it", errno).text);
        }
        self.requests.completions().wait_for_visitors();
        registry::remove(self.id);
    }

    fn closed(&self) -> Error {
        self.error(libc::EBADF, "is closed")
    }

    fn error(&self, errno: i32, what: &str) -> Error {
        Error::new(Stage::Io, errno, format!("image {} {what}", self.location))
    }

    fn failed(&self, what: &str, errno: Errno) -> Error {
        let advice = match errno.get() {
            libc::ENOTCONN | libc::EBADFD => {
                "; its bricks are out of reach, see `gluster volume status`"
            }
            libc::ENOSPC | libc::EDQUOT => "; make room on the bricks and try again",
            libc::EAGAIN => "; the process may have run out of threads, see its limits",
            libc::EINVAL => {
                "; with BLK_O_NOCACHE offsets and lengths must be multiples of the bricks' block size"
            }
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
