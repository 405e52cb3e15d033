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
//! A flush, or a write of zeroes, is submitted by handing it over to a thread that calls libgfapi
//! in its place: to it what is said of Gluster's threads applies. The step from submitted to ready
//! is the last decrement of `pending`, whoever makes it.
//!
//! Adjacent requests can share a call: the first of them, the leader, holds the others and becomes
//! ready for all; then each gets its own result. What the shared call could not do is submitted
//! again for each of them alone, so that each gets its own verdict.

mod part;
mod shared;
mod slab;
mod zeroes;

pub use part::MAX_IOV;
use part::{Part, cut, zero_fill};
pub use slab::{Handle, Slab, SlotRef};
pub use zeroes::Zeroing;

use crate::completion::Completions;
use crate::error::Errno;
use crate::gfapi::{self, File};
use crate::queue::{Range, Ticket};
use libc::iovec;
use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
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
        }
    }

    /// Whether it changes what the image holds.
    pub fn changes(self) -> bool {
        matches!(self, Kind::Write | Kind::Discard | Kind::Zeroes { .. })
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
    /// What to give back to the queue.
    pub ticket: Ticket,
    /// Its result.
    pub result: std::result::Result<(), Errno>,
}

/// What to do with a request that was taken from the ready list.
pub enum Next {
    /// It was sent off again for what a short read left out.
    Resubmitted,
    /// It led a shared call, of `kind` and that range; `served` requests of that call were put before
    /// all others; what it could not do is tried alone now.
    Shared {
        kind: Kind,
        offset: i64,
        length: i64,
        served: usize,
    },
    /// It is over: report, then [`SlotRef::delivered`].
    Ended(Outcome),
}

struct Body {
    kind: Kind,
    offset: i64,
    length: i64,
    through: bool,
    grows: bool,
    iov: Vec<iovec>,
    parts: Vec<Part>,
    callback: Option<Callback>,
    ticket: Ticket,
    /// Of a leader: the requests of the shared call, itself the first.
    members: Vec<SlotRef>,
    shared: Option<Part>,
    shared_iov: Vec<iovec>,
}

/// The place of one request.
pub struct Slot {
    index: u32,
    generation: AtomicU32,
    /// Calls to libgfapi that have not ended, and 1 while a thread is still submitting.
    pending: AtomicU32,
    /// Taken from the ready list for good: its callback runs or has run.
    delivered: AtomicBool,
    /// Leads a shared call that is under way.
    leads: AtomicBool,
    completions: *const Completions<SlotRef>,
    body: UnsafeCell<Body>,
}

impl Slot {
    fn new(index: u32, generation: u32, completions: *const Completions<SlotRef>) -> Slot {
        Slot {
            index,
            generation: AtomicU32::new(generation),
            pending: AtomicU32::new(0),
            delivered: AtomicBool::new(false),
            leads: AtomicBool::new(false),
            completions,
            body: UnsafeCell::new(Body {
                kind: Kind::Flush,
                offset: 0,
                length: 0,
                through: false,
                grows: false,
                iov: Vec::new(),
                parts: Vec::new(),
                callback: None,
                ticket: Ticket::Free,
                members: Vec::new(),
                shared: None,
                shared_iov: Vec::new(),
            }),
        }
    }

    /// Drops one of `pending`; the last one makes the request ready.
    fn one_ended(&self) {
        // AcqRel: the results of all parts are visible to the thread that takes it from the ready
        // list.
        if self.pending.fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: the completions outlive the request, see `Slab`. `self` is not used after the
            // push, since a host thread may already recycle it.
            unsafe { &*self.completions }.push(SlotRef::new(self));
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
        body.callback = Some(ask.callback);
        body.iov.clear();
        body.iov
            .extend(ask.buffers.0.iter().filter(|element| element.iov_len > 0));
        body.parts.clear();
        body.ticket = Ticket::Free;
        let slot: *const Slot = self.slot();
        cut(body, |offset, length| Part::new(slot, offset, length));
        self.slot().delivered.store(false, Ordering::Relaxed);
    }

    /// Sends every part off, or the shared call that this request leads. It may be ready, taken and
    /// recycled before this returns.
    pub fn submit(self, file: &File, ticket: Ticket) {
        let slot = self.slot();
        // SAFETY: begun and not submitted, and taken out of the queue, if it was there, by this
        // thread: ours alone.
        unsafe { (*slot.body.get()).ticket = ticket };
        // SAFETY: as above. Shared from here on, so no `&mut`.
        let body = unsafe { &*slot.body.get() };
        // One more than the calls, ours, so that it cannot become ready while we walk over them.
        if let Some(part) = &body.shared {
            slot.pending.store(2, Ordering::Relaxed);
            part.call(body, &body.shared_iov, file);
        } else {
            let calls = body.parts.len() as u32;
            slot.pending.store(calls + 1, Ordering::Relaxed);
            for part in &body.parts {
                part.send(body, file);
            }
        }
        self.submitted();
    }

    /// Submits a request of one part that is not asynchronous: whoever makes the call tells `ended`.
    pub fn hand_over(self) {
        self.slot().pending.store(1, Ordering::Relaxed);
    }

    /// The call for a request that was handed over has ended. Any thread; the request may be gone when
    /// this returns.
    pub fn ended(self, result: gfapi::Result<()>) {
        // SAFETY: handed over, so nobody changes its parts before this makes it ready.
        let body = unsafe { &*self.slot().body.get() };
        if let Some(part) = body.parts.first() {
            let cookie: *const Part = part;
            // SAFETY: the part stays where it is until its request is ready, and libgfapi has no
            // completion for it.
            unsafe { gfapi::complete::<Part>(cookie.cast_mut().cast(), result.map(|()| 0)) };
        }
    }

    /// Ends a request that never reached libgfapi. Any thread; as `ended`.
    pub fn call_off(self, why: Errno) {
        let slot = self.slot();
        // SAFETY: taken out of where it waited by this thread: ours alone.
        let body = unsafe { &mut *slot.body.get() };
        for part in &mut body.parts {
            *part.result.get_mut() = why.negated().into();
        }
        // SAFETY: they outlive the request, and close waits for us to leave after it.
        let completions = unsafe { &*slot.completions };
        let _visit = completions.visit();
        completions.push(self);
    }

    /// Whether it leads a shared call.
    pub fn leads(self) -> bool {
        self.slot().leads.load(Ordering::Acquire)
    }

    fn submitted(self) {
        let slot = self.slot();
        // SAFETY: they outlive the request. Once it is ready, the image may close around us.
        let completions = unsafe { &*slot.completions };
        let _visit = completions.visit();
        slot.one_ended();
    }

    /// Looks at the results of a request that this thread took from the ready list.
    pub fn settle(self, file: Option<&File>) -> Next {
        let slot = self.slot();
        if self.leads() {
            return self.share_out(file);
        }
        // SAFETY: ready and taken by this thread: ours alone.
        let body = unsafe { &mut *slot.body.get() };
        let mut result = Ok(());
        let mut more = 0;
        for part in &mut body.parts {
            match part.settle(body.kind) {
                Ok(unfinished) => more += u32::from(unfinished),
                Err(errno) => result = result.and(Err(errno)),
            }
        }
        if result.is_ok() && more > 0 {
            match file {
                Some(file) => {
                    self.read_on(file, more);
                    return Next::Resubmitted;
                }
                None => result = Err(Errno::new(libc::EBADF, libc::EIO)),
            }
        }
        if result.is_ok() && body.kind == Kind::Read {
            for part in &body.parts {
                zero_fill(
                    &body.iov,
                    part.offset - body.offset + part.progress,
                    part.length - part.progress,
                );
            }
        }
        Next::Ended(Outcome {
            kind: body.kind,
            offset: body.offset,
            length: body.length,
            through: body.through,
            grows: body.grows,
            ticket: body.ticket,
            result,
        })
    }

    fn read_on(self, file: &File, parts: u32) {
        let slot = self.slot();
        // SAFETY: as in `settle`; shared from here on.
        let body = unsafe { &*slot.body.get() };
        slot.pending.store(parts + 1, Ordering::Relaxed);
        for part in &body.parts {
            if part.result.load(Ordering::Relaxed) > 0 && part.progress < part.length {
                part.send(body, file);
            }
        }
        self.submitted();
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
