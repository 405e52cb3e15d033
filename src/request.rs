// SPDX-License-Identifier: GPL-2.0-or-later
//! One request: made, submitted in parts, finished exactly once.
//!
//! A request lives in a [`Slot`] that never moves. Who may touch its body follows from where it is:
//!
//! ```text
//!  free ─> begun ─> submitted ───────────> ready ──────────> delivered ─> free
//!          │        │                      │                 │
//!          │        │ parts' results only, │ the host thread │ callback runs
//!          │        │ by Gluster's threads │ that takes it   │
//!          the submitting thread           │
//!                   └── short read: the rest is submitted by that host thread
//! ```
//!
//! A flush, a write of zeroes or a copy is submitted by handing it over to a thread that calls libgfapi
//! in its place: to it what is said of Gluster's threads applies. The step from submitted to ready
//! is the end of the call or, when it takes several, the last decrement of `pending`, whoever makes
//! it.
//!
//! Adjacent requests can share a call: the first of them, the leader, holds the others and becomes
//! ready for all; then each gets its own result. What the shared call could not do is submitted
//! again for each of them alone, so that each gets its own verdict.

mod copying;
mod glance;
mod part;
mod shared;
mod slab;
mod zeroes;

pub use copying::Copying;
use glance::Glance;
pub use glance::{Seen, now_ns};
pub use part::MAX_IOV;
use part::{Part, cut, is_one_call, zero_fill};
pub use slab::{COMPLETIONS, Handle, Slab, SlotRef};
pub use zeroes::Zeroing;

use crate::completion::{Completions, Link};
use crate::error::Errno;
use crate::gfapi::{self, File};
use crate::queue::{Range, Ticket};
use libc::iovec;
use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Largest request that may share a call, in bytes and elements: what is larger gains nothing.
const MERGE_BYTES: i64 = 256 << 10;
const MERGE_IOV: usize = 16;

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Into the host's buffers.
    Read,
    /// From the host's buffers.
    Write,
    /// To stable storage.
    Flush,
    /// Space back.
    Discard,
    /// Zeroes, in place of a buffer full of them.
    Zeroes {
        /// Their space may be given back.
        may_unmap: bool,
    },
    /// Bytes of an image, this one or another.
    Copy {
        /// Its number.
        source: u64,
        /// First byte there.
        from: i64,
    },
}

impl Kind {
    /// As in "the … of 4096 bytes failed".
    pub fn name(self) -> &'static str {
        match self {
            Kind::Read => "read",
            Kind::Write => "write",
            Kind::Flush => "flush",
            Kind::Discard => "discard",
            Kind::Zeroes { .. } => "write of zeroes",
            Kind::Copy { .. } => "copy",
        }
    }

    /// As in "write of 4096 bytes at offset 0".
    pub fn in_words(self, offset: i64, length: i64) -> String {
        match self {
            Kind::Flush => self.name().to_owned(),
            _ => format!("{} of {length} bytes at offset {offset}", self.name()),
        }
    }

    /// Whether it changes what the image holds.
    pub fn changes(self) -> bool {
        matches!(
            self,
            Kind::Write | Kind::Discard | Kind::Zeroes { .. } | Kind::Copy { .. }
        )
    }
}

/// The host's function for the end of a request.
#[derive(Clone, Copy)]
pub struct Callback {
    function: unsafe extern "C" fn(*mut c_void, c_int),
    opaque: *mut c_void,
}

impl Callback {
    /// # Safety
    /// `function(opaque, n)` may be called once, on the thread that drains the image.
    pub unsafe fn new(
        function: unsafe extern "C" fn(*mut c_void, c_int),
        opaque: *mut c_void,
    ) -> Callback {
        Callback { function, opaque }
    }

    /// Tells the host how its request ended.
    pub fn call(self, outcome: &Outcome) {
        let ret = match outcome.result {
            Ok(()) => 0,
            Err(errno) => errno.negated(),
        };
        // SAFETY: the promise given to `new`; `delivered` gives it once.
        unsafe { (self.function)(self.opaque, ret) }
    }
}

/// The host's buffers, in order.
#[derive(Clone, Copy)]
pub struct Buffers<'a>(&'a [iovec]);

impl<'a> Buffers<'a> {
    /// # Safety Each element is valid for its length, for reading or writing as the request does,
    /// until the request's callback.
    pub unsafe fn new(elements: &'a [iovec]) -> Buffers<'a> {
        Buffers(elements)
    }

    /// No buffers.
    pub const NONE: Buffers<'static> = Buffers(&[]);

    /// Sum of the lengths; `None` when an element is NULL but not empty, or the sum overflows.
    pub fn total(&self) -> Option<i64> {
        self.0.iter().try_fold(0i64, |sum, element| {
            if element.iov_base.is_null() && element.iov_len > 0 {
                return None;
            }
            sum.checked_add(i64::try_from(element.iov_len).ok()?)
        })
    }
}

/// What the host asked for. The range was checked: `offset + length` fits.
pub struct Ask<'a> {
    /// What to do.
    pub kind: Kind,
    /// First byte.
    pub offset: i64,
    /// Bytes, equal to the total of `buffers` for a read or write.
    pub length: i64,
    /// Of a read or write.
    pub buffers: Buffers<'a>,
    /// A write that write-behind must not hold back.
    pub through: bool,
    /// A write that may grow the image.
    pub grows: bool,
    /// When it came, by the clock of its image, ...
    pub began: u64,
    /// ... and by that of all, see [`now_ns`].
    pub begun_ns: u64,
    /// For the end of it.
    pub callback: Callback,
}

impl Ask<'_> {
    /// What the queue needs to know of it.
    pub fn range(&self) -> Range {
        Range {
            kind: self.kind,
            offset: self.offset,
            length: self.length,
            mergeable: matches!(self.kind, Kind::Read | Kind::Write)
                && !self.through
                && (1..=MERGE_BYTES).contains(&self.length)
                && self.buffers.0.len() <= MERGE_IOV,
        }
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// What it did.
    pub kind: Kind,
    /// Its first byte.
    pub offset: i64,
    /// Its length in bytes.
    pub length: i64,
    /// Whether it was a write that write-behind did not hold back.
    pub through: bool,
    /// Whether it was a write that may have grown the image.
    pub grows: bool,
    /// When it came, as in its `Ask`.
    pub began: u64,
    /// What to give back to the queue.
    pub ticket: Ticket,
    /// Its result.
    pub result: std::result::Result<(), Errno>,
}

/// What to do with a request that was taken from the ready list.
pub enum Next {
    /// It was sent off again for what a short read left out, or as a whole.
    Resubmitted {
        /// O_DIRECT had not taken it: all of it was.
        aside: bool,
    },
    /// It led a shared call, of `kind` and that range; those of its requests that it served were put
    /// before all others; what it could not do is tried alone now.
    Shared {
        kind: Kind,
        offset: i64,
        length: i64,
        /// So many requests.
        alone: usize,
    },
    /// It is over: report, then [`SlotRef::delivered`].
    Ended(Outcome),
}

/// The place of one request. Its first cache line is all that Gluster's threads touch of a request
/// that is one call.
#[repr(C, align(128))]
pub struct Slot {
    /// First, so that it is where the slot is.
    link: Link,
    completions: &'static Completions<SlotRef>,
    /// Of several calls: those that have not ended, and 1 while a thread is still submitting.
    pending: AtomicU32,
    index: u32,
    body: UnsafeCell<Body>,
    generation: AtomicU32,
    glance: Glance,
    /// Taken from the ready list for good: its callback runs or has run.
    delivered: AtomicBool,
    /// Leads a shared call that is under way.
    leads: AtomicBool,
}

#[repr(C)]
struct Body {
    /// The call, when it is one, or the one that the request leads.
    call: Part,
    /// What follows is on other cache lines, also for a processor that fetches two at a time.
    apart: [u64; 8],
    kind: Kind,
    through: bool,
    grows: bool,
    one_call: bool,
    /// It was sent once more.
    again: bool,
    ticket: Ticket,
    offset: i64,
    length: i64,
    callback: Option<Callback>,
    iov: Vec<iovec>,
    /// The calls, when they are several or none.
    parts: Vec<Part>,
    /// Of a leader: the requests of the shared call, itself the first.
    members: Vec<SlotRef>,
    shared_iov: Vec<iovec>,
    /// Here, since up to `iov` it fills a cache line; with what follows the body in its slot it shares one.
    began: u64,
}

impl Body {
    fn new(slot: *const Slot) -> Body {
        Body {
            call: Part::new(slot, 0, 0),
            apart: [0; 8],
            kind: Kind::Flush,
            through: false,
            grows: false,
            one_call: true,
            again: false,
            ticket: Ticket::Free,
            offset: 0,
            length: 0,
            began: 0,
            callback: None,
            iov: Vec::new(),
            parts: Vec::new(),
            members: Vec::new(),
            shared_iov: Vec::new(),
        }
    }

    /// All that was asked for was done by one call.
    fn is_done(&mut self) -> bool {
        matches!(self.kind, Kind::Read | Kind::Write)
            && self.one_call
            && self.call.progress == 0
            && *self.call.result.get_mut() == self.length
    }

    fn outcome(&self, result: std::result::Result<(), Errno>) -> Outcome {
        Outcome {
            kind: self.kind,
            offset: self.offset,
            length: self.length,
            through: self.through,
            grows: self.grows,
            began: self.began,
            ticket: self.ticket,
            result,
        }
    }

    fn parts(&self) -> &[Part] {
        if self.one_call {
            std::slice::from_ref(&self.call)
        } else {
            &self.parts
        }
    }

    fn parts_mut(&mut self) -> &mut [Part] {
        if self.one_call {
            std::slice::from_mut(&mut self.call)
        } else {
            &mut self.parts
        }
    }
}

impl Slot {
    fn new(index: u32, generation: u32, completions: &'static Completions<SlotRef>) -> Slot {
        Slot {
            link: Link::new(),
            completions,
            pending: AtomicU32::new(0),
            index,
            body: UnsafeCell::new(Body::new(std::ptr::null())),
            generation: AtomicU32::new(generation),
            glance: Glance::new(),
            delivered: AtomicBool::new(false),
            leads: AtomicBool::new(false),
        }
    }
}

impl SlotRef {
    /// Fills a free slot.
    fn begin(self, ask: &Ask<'_>) {
        // SAFETY: the slot was just taken from the free list: nobody else knows it.
        let body = unsafe { &mut *self.slot().body.get() };
        body.kind = ask.kind;
        body.offset = ask.offset;
        body.length = ask.length;
        body.through = ask.through;
        body.grows = ask.grows;
        body.began = ask.began;
        body.again = false;
        body.callback = Some(ask.callback);
        body.iov.clear();
        body.iov
            .extend(ask.buffers.0.iter().filter(|element| element.iov_len > 0));
        body.ticket = Ticket::Free;
        self.slot().glance.begin(ask);
        self.lay_out(body);
        // Release: whoever sees this also sees that the slot's last request is over.
        self.slot().delivered.store(false, Ordering::Release);
    }

    /// Makes its parts, of which nothing is done.
    fn lay_out(self, body: &mut Body) {
        let slot: *const Slot = self.slot();
        body.one_call = is_one_call(body);
        if body.one_call {
            body.call = Part::new(slot, body.offset, body.length);
        } else {
            body.parts.clear();
            cut(body, |offset, length| Part::new(slot, offset, length));
        }
    }

    /// Makes a request that has failed, and was not delivered, one that was not sent yet.
    pub fn start_over(self) {
        // SAFETY: ready and taken by this thread: ours alone.
        let body = unsafe { &mut *self.slot().body.get() };
        body.ticket = Ticket::Free;
        self.lay_out(body);
    }

    /// How many calls it takes alone, more than one if it was cut. Of a request that was begun by this
    /// thread, and not submitted.
    pub fn calls(self) -> usize {
        // SAFETY: nobody else has it yet.
        unsafe { (*self.slot().body.get()).parts().len() }
    }

    /// Names it among those that are in flight.
    pub fn number(self) -> u32 {
        self.slot().index
    }

    /// Sends every part off, or the shared call that this request leads. It may be ready, taken and
    /// recycled before this returns.
    pub fn submit(self, file: &File, ticket: Ticket) {
        let leads = self.leads();
        let body = self.slot().body.get();
        // SAFETY: begun and not submitted, and taken out of the queue, if it was there, by this
        // thread: ours alone. References end before a call.
        unsafe {
            (*body).ticket = ticket;
            if leads || (*body).one_call {
                let iov = if leads {
                    &(*body).shared_iov
                } else {
                    &(*body).iov
                };
                let iov: *const [iovec] = iov.as_slice();
                Part::call(&raw const (*body).call, body, iov, file);
            } else {
                self.send_parts(file, |_| true);
            }
        }
    }

    /// Sends the `wanted` ones of several parts off.
    fn send_parts(self, file: &File, wanted: impl Fn(&Part) -> bool) {
        let slot = self.slot();
        // SAFETY: as in `submit`. Shared from here on, so no `&mut`.
        let body = unsafe { &*slot.body.get() };
        let calls = body.parts.iter().filter(|part| wanted(part)).count();
        // One more than the calls, ours, so that it cannot become ready while we walk over them.
        slot.pending.store(calls as u32 + 1, Ordering::Relaxed);
        for part in body.parts.iter().filter(|part| wanted(part)) {
            // SAFETY: not ready before the end of this function.
            unsafe { Part::send(part, body, file) };
        }
        self.one_less();
    }

    /// A call has ended; the last one makes the request ready, and it may be gone when this returns.
    ///
    /// # Safety
    /// `part` is of this request, which is submitted.
    unsafe fn call_ended(self, part: *const Part) {
        // SAFETY: only the address is taken.
        let only = unsafe { &raw const (*self.slot().body.get()).call };
        if std::ptr::eq(part, only) {
            self.completions().push(self);
        } else {
            self.one_less();
        }
    }

    /// Drops one of `pending`.
    fn one_less(self) {
        let completions = self.completions();
        // AcqRel: the results of all parts are visible to the thread that takes it from the ready
        // list.
        if self.slot().pending.fetch_sub(1, Ordering::AcqRel) == 1 {
            completions.push(self);
        }
    }

    /// Where it goes when it is ready; they stay when it is gone.
    fn completions(self) -> &'static Completions<SlotRef> {
        self.slot().completions
    }

    /// Whether a call of this submitted request that ended with `done`, not all that was asked for,
    /// is one after which acknowledged writes may be gone.
    #[cold]
    fn is_failure(self, done: i64) -> bool {
        let body = self.slot().body.get();
        // SAFETY: neither changes while it is submitted.
        let (kind, through) = unsafe { ((*body).kind, (*body).through) };
        let fell_short = match kind {
            Kind::Read => false,
            Kind::Write => true,
            Kind::Flush | Kind::Discard | Kind::Zeroes { .. } | Kind::Copy { .. } => done < 0,
        };
        fell_short && !through
    }

    /// Ends a flush, a write of zeroes or a copy, which threads of ours make. Any thread; the request may be gone when this
    /// returns.
    pub fn ended(self, result: gfapi::Result<()>) {
        // SAFETY: only the address is taken. Whoever makes the fsync has the request, and a flush is
        // one call.
        let call = unsafe { &raw mut (*self.slot().body.get()).call };
        // SAFETY: the call stays where it is until its request is ready, which this makes it once, and
        // libgfapi has no completion for it.
        unsafe { gfapi::complete::<Part>(call.cast(), result.map(|()| 0)) };
    }

    /// Ends a request that never reached libgfapi. Any thread; as `ended`.
    pub fn call_off(self, why: Errno) {
        let slot = self.slot();
        // SAFETY: taken out of where it waited by this thread: ours alone.
        let body = unsafe { &mut *slot.body.get() };
        for part in body.parts_mut() {
            *part.result.get_mut() = why.negated().into();
        }
        self.completions().push(self);
    }

    /// Whether it leads a shared call.
    pub fn leads(self) -> bool {
        self.slot().leads.load(Ordering::Acquire)
    }

    /// Looks at the results of a request that this thread took from the ready list. `file` is asked
    /// for when something has to be submitted again.
    pub fn settle<F: Deref<Target = File>>(self, file: impl FnOnce() -> Option<F>) -> Next {
        let slot = self.slot();
        if self.leads() {
            return self.share_out(file().as_deref());
        }
        // SAFETY: ready and taken by this thread: ours alone.
        let body = unsafe { &mut *slot.body.get() };
        if body.is_done() {
            return Next::Ended(body.outcome(Ok(())));
        }
        let kind = body.kind;
        let mut result: std::result::Result<(), Errno> = Ok(());
        let mut more = false;
        for part in body.parts_mut() {
            match part.settle(kind) {
                Ok(unfinished) => more |= unfinished,
                Err(errno) => result = result.and(Err(errno)),
            }
        }
        let is_sent = matches!(kind, Kind::Read | Kind::Write | Kind::Discard);
        if let Err(errno) = result
            && errno.get() == libc::EINVAL
            && is_sent
            && !std::mem::replace(&mut body.again, true)
        {
            // O_DIRECT may not have taken it. The whole of it: nobody looks at it before its end.
            match file() {
                Some(file) if file.avoid_direct(errno) => {
                    self.send_again(&file);
                    return Next::Resubmitted { aside: true };
                }
                _ => return Next::Ended(body.outcome(result)),
            }
        }
        if result.is_ok() && more {
            match file() {
                Some(file) => {
                    self.read_on(&file);
                    return Next::Resubmitted { aside: false };
                }
                None => result = Err(Errno::new(libc::EBADF, libc::EIO)),
            }
        }
        if result.is_ok() && body.kind == Kind::Read {
            for part in body.parts() {
                zero_fill(
                    &body.iov,
                    part.offset - body.offset + part.progress,
                    part.length - part.progress,
                );
            }
        }
        Next::Ended(body.outcome(result))
    }

    /// Sends all of a request off again.
    fn send_again(self, file: &File) {
        let body = self.slot().body.get();
        // SAFETY: ready and taken by this thread: ours alone. References end before a call.
        unsafe {
            for part in (*body).parts_mut() {
                part.progress = 0;
            }
            if (*body).one_call {
                Part::send(&raw const (*body).call, body, file);
            } else {
                self.send_parts(file, |_| true);
            }
        }
    }

    /// Sends those parts off again that are marked as unfinished.
    fn read_on(self, file: &File) {
        let body = self.slot().body.get();
        // SAFETY: as in `submit`.
        unsafe {
            if (*body).one_call {
                Part::send(&raw const (*body).call, body, file);
            } else {
                self.send_parts(file, |part| {
                    part.result.load(Ordering::Relaxed) > 0 && part.progress < part.length
                });
            }
        }
    }

    /// Marks a request that ended as delivered. Its callback, only given once, is to be called next;
    /// then the slot may be freed.
    pub fn delivered(self) -> Option<Callback> {
        let slot = self.slot();
        slot.delivered.store(true, Ordering::Release);
        // SAFETY: taken by this thread.
        unsafe { (*slot.body.get()).callback.take() }
    }

    /// Whether its callback runs or has run.
    pub fn is_delivered(self) -> bool {
        self.slot().delivered.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests;
