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
//! The step from submitted to ready is the last decrement of `pending`, whoever makes it.
//!
//! Adjacent requests can share a call: the first of them, the leader, holds the others and becomes
//! ready for all; then each gets its own result. What the shared call could not do is submitted
//! again for each of them alone, so that each gets its own verdict.

mod slab;

pub use slab::{Handle, Slab, SlotRef};

use crate::completion::Completions;
use crate::error::Errno;
use crate::gfapi::{self, Completion, File, Op};
use crate::queue::{Range, Ticket};
use libc::iovec;
use std::cell::{Cell, UnsafeCell};
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};

/// Largest read or write that one call to libgfapi gets. Far below the 1 GiB that kills a
/// connection.
const MAX_TRANSFER: i64 = 16 << 20;

/// Most elements that one call gets; known to work.
const MAX_IOV: usize = 32768;

/// Where a request is cut when its elements are too many: a multiple of every block size, for
/// O_DIRECT.
const CUT: i64 = 4096;

/// Largest request that may share a call, in bytes and elements: what is larger gains nothing.
const MERGE_BYTES: i64 = 256 << 10;
const MERGE_IOV: usize = 16;

/// A discard is cut into pieces of this many bytes, since a sharded volume takes half a second for
/// each, ...
const DISCARD: i64 = 1 << 30;

/// ... or of a multiple of it, into so many pieces at most: as many as a server takes at once.
const MOST_DISCARDS: i64 = 64;

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
}

impl Kind {
    /// As in "the … of 4096 bytes failed".
    pub fn name(self) -> &'static str {
        match self {
            Kind::Read => "read",
            Kind::Write => "write",
            Kind::Flush => "flush",
            Kind::Discard => "discard",
        }
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

    fn call(self, ret: c_int) {
        // SAFETY: the promise given to `new`; `Slot::deliver` runs once for each request.
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
    /// What to give back to the queue.
    pub ticket: Ticket,
    /// Its result.
    pub result: std::result::Result<(), Errno>,
}

thread_local! {
    /// Room for the requests of a shared call while it is shared out.
    static SCRATCH: Cell<Vec<SlotRef>> = const { Cell::new(Vec::new()) };
}

/// What to do with a request that was taken from the ready list.
pub enum Next {
    /// It was sent off again for what a short read left out.
    Resubmitted,
    /// It led a shared call; the requests of that call were put before all others.
    Shared,
    /// It is over: report, then [`SlotRef::deliver`].
    Ended(Outcome),
}

/// One call to libgfapi on behalf of a request.
struct Part {
    slot: *const Slot,
    offset: i64,
    length: i64,
    /// Bytes read so far, over more than one call when reads are short.
    progress: i64,
    /// Result of the last call: bytes, or a negated errno.
    result: AtomicI64,
}

struct Body {
    kind: Kind,
    offset: i64,
    length: i64,
    through: bool,
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

impl Completion for Part {
    unsafe fn complete(cookie: *mut c_void, result: gfapi::Result<u64>) {
        // SAFETY: the cookie is a part of a submitted request; parts do not move or go before the
        // request is ready.
        let part = unsafe { &*cookie.cast::<Part>() };
        // SAFETY: as above, slots never move.
        let slot = unsafe { &*part.slot };
        // SAFETY: they outlive the request, and close waits for us to leave after it.
        let completions = unsafe { &*slot.completions };
        let _visit = completions.visit();
        let result = match result {
            Ok(bytes) => bytes as i64,
            Err(errno) => errno.negated().into(),
        };
        part.result.store(result, Ordering::Relaxed);
        slot.one_ended();
    }

    unsafe fn complete_after_panic(cookie: *mut c_void) {
        // SAFETY: as for `complete`. What can panic there (a broken lock queue, say) comes before
        // the decrement or inside the push, where the request is not yet visible to the host.
        unsafe { Self::complete(cookie, Err(Errno::new(libc::EIO, libc::EIO))) }
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

    /// Ends a request that was never submitted.
    pub fn call_off(self) {
        let slot = self.slot();
        // SAFETY: taken out of the queue by this thread: ours alone.
        let body = unsafe { &mut *slot.body.get() };
        for part in &mut body.parts {
            *part.result.get_mut() = -i64::from(libc::ECANCELED);
        }
        // SAFETY: they outlive the request.
        unsafe { &*slot.completions }.push(self);
    }

    /// Makes adjacent requests, in the order of their offsets, share one call. `self` is the first of
    /// them, to be submitted for all.
    pub fn lead(self, members: &[SlotRef]) {
        let slot = self.slot();
        // SAFETY: taken out of the queue by this thread: ours alone, and so are the members.
        let body = unsafe { &mut *slot.body.get() };
        let mut length = 0;
        body.shared_iov.clear();
        for &member in members {
            if member == self {
                body.shared_iov.extend_from_slice(&body.iov);
                length += body.length;
            } else {
                // SAFETY: as above; another slot than `self`.
                let other = unsafe { &*member.slot().body.get() };
                body.shared_iov.extend_from_slice(&other.iov);
                length += other.length;
            }
        }
        body.members.clear();
        body.members.extend_from_slice(members);
        body.shared = Some(Part::new(slot, body.offset, length));
        slot.leads.store(true, Ordering::Relaxed);
    }

    /// Whether it leads a shared call.
    pub fn leads(self) -> bool {
        self.slot().leads.load(Ordering::Acquire)
    }

    /// Gives the requests of a shared call their results. What it could not do is submitted again,
    /// for each of them alone; the others come before all that is ready.
    fn share_out(self, file: Option<&File>) {
        let slot = self.slot();
        slot.leads.store(false, Ordering::Relaxed);
        // SAFETY: ready and taken by this thread: ours alone, and so are the members.
        let body = unsafe { &mut *slot.body.get() };
        let ticket = std::mem::replace(&mut body.ticket, Ticket::Free);
        let (mut done, whole) = match body.shared.take() {
            Some(mut part) => (*part.result.get_mut(), part.length),
            None => (0, 0),
        };
        if body.kind == Kind::Write && done != whole {
            // Which bytes a short write left out is not said.
            done = 0;
        }
        // Not in the slot any more: once the others are out, this request may be delivered, and its
        // slot begun anew, by another thread.
        let mut members = SCRATCH.take();
        std::mem::swap(&mut members, &mut body.members);
        let mut end = 0;
        let mut served = 0;
        for (at, &member) in members.iter().enumerate() {
            // SAFETY: as above. `body` is not used any more.
            let body = unsafe { &mut *member.slot().body.get() };
            if at + 1 == members.len() {
                // The place in the window is free again when the last of them is delivered: what
                // their callbacks submit until then can be merged.
                body.ticket = ticket;
            }
            end += body.length;
            if end <= done {
                served = at + 1;
                for part in &mut body.parts {
                    *part.result.get_mut() = part.length;
                }
            }
        }
        // SAFETY: as above; nobody else touches a slot that was taken from the ready list.
        let completions = unsafe { &*slot.completions };
        let (whole, rest) = members.split_at(served);
        completions.unpop(whole.iter().copied());
        for &member in rest {
            match file {
                Some(file) => {
                    // SAFETY: as above.
                    let ticket = unsafe { (*member.slot().body.get()).ticket };
                    member.submit(file, ticket);
                }
                None => completions.push(member),
            }
        }
        members.clear();
        SCRATCH.set(members);
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
            self.share_out(file);
            return Next::Shared;
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

    /// Calls the callback of a request that ended. Afterwards the slot may be freed.
    pub fn deliver(self, outcome: &Outcome) {
        let slot = self.slot();
        slot.delivered.store(true, Ordering::Release);
        // SAFETY: taken by this thread.
        let callback = unsafe { (*slot.body.get()).callback.take() };
        let ret = match outcome.result {
            Ok(()) => 0,
            Err(errno) => errno.negated(),
        };
        if let Some(callback) = callback {
            callback.call(ret);
        }
    }

    /// Whether its callback runs or has run.
    pub fn is_delivered(self) -> bool {
        self.slot().delivered.load(Ordering::Acquire)
    }
}

impl Part {
    fn new(slot: *const Slot, offset: i64, length: i64) -> Part {
        Part {
            slot,
            offset,
            length,
            progress: 0,
            result: AtomicI64::new(0),
        }
    }

    /// Takes note of the last call's result, once; whether the part has to be read on.
    fn settle(&mut self, kind: Kind) -> std::result::Result<bool, Errno> {
        let left = self.length - self.progress;
        let got = std::mem::take(self.result.get_mut());
        match kind {
            _ if got < 0 => Err(Errno::new(-got as i32, libc::EIO)),
            Kind::Read if got <= left => {
                self.progress += got;
                // Zero bytes say that this is the end. Anything else short only says that it may be.
                let unfinished = got > 0 && got < left;
                if unfinished {
                    // The mark by which `read_on` finds it.
                    *self.result.get_mut() = got;
                }
                Ok(unfinished)
            }
            Kind::Flush | Kind::Discard => Ok(false),
            Kind::Write if got == self.length => Ok(false),
            Kind::Read | Kind::Write => Err(Errno::new(libc::EIO, libc::EIO)),
        }
    }

    /// Submits what is left of this part. What libgfapi refuses ends here with its errno, for the
    /// host to see in the callback.
    fn send(&self, body: &Body, file: &File) {
        // Between this store and the completion nobody else writes it: a stale result must not
        // outlive the call.
        self.result.store(0, Ordering::Relaxed);
        let start = self.offset - body.offset + self.progress;
        let length = self.length - self.progress;
        let narrowed: Vec<iovec>;
        let iov: &[iovec] = match body.kind {
            Kind::Flush | Kind::Discard => &[],
            _ if start == 0 && length == body.length => &body.iov,
            _ => {
                narrowed = narrow(&body.iov, start, length).collect();
                &narrowed
            }
        };
        self.call(body, iov, file);
    }

    fn call(&self, body: &Body, iov: &[iovec], file: &File) {
        let offset = self.offset + self.progress;
        let length = self.length - self.progress;
        let op = match body.kind {
            Kind::Read => Op::Read { iov, offset },
            Kind::Write => Op::Write {
                iov,
                offset,
                through: body.through,
            },
            Kind::Flush => Op::Flush,
            Kind::Discard => Op::Discard { offset, length },
        };
        let cookie: *const Part = self;
        // SAFETY: the part stays where it is until its request is ready; the buffers are the host's
        // promise to `Buffers::new`.
        let submitted = unsafe { file.submit::<Part>(op, cookie.cast_mut().cast()) };
        if let Err(errno) = submitted {
            // SAFETY: a refused call has no other completion.
            unsafe { <Part as Completion>::complete(cookie.cast_mut().cast(), Err(errno)) };
        }
    }
}

/// Cuts a request into parts that libgfapi takes.
fn cut(body: &mut Body, part: impl Fn(i64, i64) -> Part) {
    let most = match body.kind {
        Kind::Flush => {
            body.parts.push(part(0, 0));
            return;
        }
        Kind::Discard => DISCARD * (body.length / (DISCARD * MOST_DISCARDS) + 1),
        Kind::Read | Kind::Write => MAX_TRANSFER,
    };
    let mut done = 0;
    while done < body.length {
        let mut length = most.min(body.length - done);
        if body.iov.len() > MAX_IOV {
            let room: i64 = narrow(&body.iov, done, length)
                .take(MAX_IOV)
                .map(|element| element.iov_len as i64)
                .sum();
            if room < length {
                // Non-empty elements: room is at least MAX_IOV bytes, so a cut remains.
                length = room / CUT * CUT;
            }
        }
        body.parts.push(part(body.offset + done, length));
        done += length;
    }
}

/// The elements that make up `length` bytes from byte `start` on.
fn narrow(iov: &[iovec], start: i64, length: i64) -> impl Iterator<Item = iovec> {
    let (mut skip, mut left) = (start as usize, length as usize);
    iov.iter().filter_map(move |element| {
        let before = skip.min(element.iov_len);
        skip -= before;
        let take = (element.iov_len - before).min(left);
        left -= take;
        (take > 0).then(|| iovec {
            iov_base: element.iov_base.cast::<u8>().wrapping_add(before).cast(),
            iov_len: take,
        })
    })
}

fn zero_fill(iov: &[iovec], start: i64, length: i64) {
    if length == 0 {
        return;
    }
    for element in narrow(iov, start, length) {
        // SAFETY: within the host's buffer, which is the driver's until the callback.
        unsafe {
            element
                .iov_base
                .cast::<u8>()
                .write_bytes(0, element.iov_len)
        };
    }
}

#[cfg(test)]
mod tests;
