// SPDX-License-Identifier: GPL-2.0-or-later
//! A request as libgfapi gets it: one part for each call, and its completion.

use super::{Body, Kind, Slot, SlotRef};
use crate::error::Errno;
use crate::gfapi::{self, Completion, File, Op};
use libc::iovec;
use std::ffi::c_void;
use std::sync::atomic::{AtomicI64, Ordering};

/// Largest read or write that one call to libgfapi gets. Far below the 1 GiB that kills a
/// connection.
pub(super) const MAX_TRANSFER: i64 = 16 << 20;

/// Most elements that one call gets; known to work.
pub const MAX_IOV: usize = 32768;

/// Where a request is cut when its elements are too many: a multiple of every block size, for
/// O_DIRECT.
pub(super) const CUT: i64 = 4096;

/// A discard is cut into pieces of this many bytes, since a sharded volume takes half a second for
/// each, ...
pub(super) const DISCARD: i64 = 1 << 30;

/// ... or of a multiple of it, into so many pieces at most: as many as a server takes at once.
pub(super) const MOST_DISCARDS: i64 = 64;

/// One call to libgfapi on behalf of a request.
pub(super) struct Part {
    pub(super) slot: *const Slot,
    pub(super) offset: i64,
    pub(super) length: i64,
    /// Bytes read so far, over more than one call when reads are short.
    pub(super) progress: i64,
    /// Result of the last call: bytes, or a negated errno.
    pub(super) result: AtomicI64,
}

impl Completion for Part {
    unsafe fn complete(cookie: *mut c_void, result: gfapi::Result<u64>) {
        // No references: what they lead to may be begun anew, or freed, while this function is still
        // on its way out.
        let part: *mut Part = cookie.cast();
        // SAFETY: the cookie is a part of a submitted request; parts do not move or go before the
        // request is ready, and what is read here does not change before.
        let (slot, length) = unsafe { (SlotRef::new((*part).slot), (*part).length) };
        let done = match result {
            Ok(bytes) => bytes as i64,
            Err(errno) => errno.negated().into(),
        };
        // Nothing else that is looked at here is out of the slot's first cache line.
        if done != length && slot.is_failure(done) {
            slot.completions().note_failure();
        }
        // SAFETY: as above. Relaxed: published by what makes the request ready.
        unsafe { (*part).result.store(done, Ordering::Relaxed) };
        // SAFETY: as above; the part's call has ended, and is not used any more.
        unsafe { slot.call_ended(part) };
    }

    unsafe fn complete_after_panic(cookie: *mut c_void) {
        // SAFETY: as for `complete`. What could panic there comes before the request is ready: after
        // it only the fd is written and threads are woken, which does not.
        unsafe { Self::complete(cookie, Err(Errno::new(libc::EIO, libc::EIO))) }
    }
}

impl Part {
    pub(super) fn new(slot: *const Slot, offset: i64, length: i64) -> Part {
        Part {
            slot,
            offset,
            length,
            progress: 0,
            result: AtomicI64::new(0),
        }
    }

    /// Takes note of the last call's result, once; whether the part has to be read on.
    pub(super) fn settle(&mut self, kind: Kind) -> std::result::Result<bool, Errno> {
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
            Kind::Flush | Kind::Discard | Kind::Zeroes { .. } | Kind::Copy { .. } => Ok(false),
            Kind::Write if got == self.length => Ok(false),
            Kind::Read | Kind::Write => Err(Errno::new(libc::EIO, libc::EIO)),
        }
    }

    /// Submits what is left of this part. What libgfapi refuses ends here with its errno, for the
    /// host to see in the callback.
    ///
    /// # Safety
    /// `part` is of the request `body`, which this thread is submitting, and which may be gone when
    /// this returns; so no references.
    pub(super) unsafe fn send(part: *const Part, body: *const Body, file: &File) {
        // SAFETY: until `call` the request is this thread's, or not ready before this thread says so.
        let (whole, start, length, iov) = unsafe {
            // Between this store and the completion nobody else writes it: a stale result must not
            // outlive the call.
            (*part).result.store(0, Ordering::Relaxed);
            let iov = &(*body).iov;
            let start = (*part).offset - (*body).offset + (*part).progress;
            let length = (*part).length - (*part).progress;
            let is_whole = start == 0 && length == (*body).length;
            (is_whole, start, length, iov)
        };
        // SAFETY: the caller's; a narrowed list is ours.
        unsafe {
            if whole {
                let iov: *const [iovec] = iov.as_slice();
                Part::call(part, body, iov, file);
            } else {
                let narrowed: Vec<iovec> = narrow(iov, start, length).collect();
                Part::call(part, body, narrowed.as_slice(), file);
            }
        }
    }

    /// Submits what is left of this part, with the elements `iov`.
    ///
    /// # Safety
    /// As for `send`; `iov` can be read until libgfapi has the call.
    pub(super) unsafe fn call(
        part: *const Part,
        body: *const Body,
        iov: *const [iovec],
        file: &File,
    ) {
        // SAFETY: the caller's.
        let (offset, length, kind, through) = unsafe {
            let offset = (*part).offset + (*part).progress;
            let length = (*part).length - (*part).progress;
            (offset, length, (*body).kind, (*body).through)
        };
        let op = match kind {
            Kind::Read => Op::Read { iov, offset },
            Kind::Write => Op::Write {
                iov,
                offset,
                through,
            },
            Kind::Flush | Kind::Zeroes { .. } | Kind::Copy { .. } => {
                unreachable!("it is handed over, not submitted")
            }
            Kind::Discard => Op::Discard { offset, length },
        };
        let cookie = part.cast_mut().cast();
        // SAFETY: the part stays where it is until its request is ready; the buffers are the host's
        // promise to `Buffers::new`.
        let submitted = unsafe { file.submit::<Part>(op, cookie) };
        if let Err(errno) = submitted {
            // SAFETY: a refused call has no other completion.
            unsafe { <Part as Completion>::complete(cookie, Err(errno)) };
        }
    }
}

/// Whether libgfapi takes the request as it is.
pub(super) fn is_one_call(body: &Body) -> bool {
    match body.kind {
        Kind::Flush | Kind::Zeroes { .. } | Kind::Copy { .. } => true,
        Kind::Discard => (1..=DISCARD).contains(&body.length),
        Kind::Read | Kind::Write => {
            (1..=MAX_TRANSFER).contains(&body.length) && body.iov.len() <= MAX_IOV
        }
    }
}

/// Cuts a request into parts that libgfapi takes.
pub(super) fn cut(body: &mut Body, part: impl Fn(i64, i64) -> Part) {
    let most = match body.kind {
        Kind::Flush | Kind::Zeroes { .. } | Kind::Copy { .. } => {
            body.parts.push(part(body.offset, body.length));
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
pub(super) fn narrow(iov: &[iovec], start: i64, length: i64) -> impl Iterator<Item = iovec> {
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

pub(super) fn zero_fill(iov: &[iovec], start: i64, length: i64) {
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
