// SPDX-License-Identifier: GPL-2.0-or-later
//! A request as libgfapi gets it: one part for each call, and its completion.

use super::{Body, Kind, Slot};
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
        // SAFETY: the cookie is a part of a submitted request; parts do not move or go before the
        // request is ready.
        let part = unsafe { &*cookie.cast::<Part>() };
        // SAFETY: as above, slots never move.
        let slot = unsafe { &*part.slot };
        // SAFETY: they outlive the request, and close waits for us to leave after it.
        let completions = unsafe { &*slot.completions };
        let _visit = completions.visit();
        // SAFETY: nobody changes the body of a submitted request but for the results of its parts.
        let body = unsafe { &*slot.body.get() };
        let fell_short = match result {
            Err(_) => body.kind != Kind::Read,
            Ok(bytes) => body.kind == Kind::Write && bytes as i64 != part.length,
        };
        if fell_short && !body.through {
            completions.note_failure();
        }
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
            Kind::Flush | Kind::Discard | Kind::Zeroes { .. } => Ok(false),
            Kind::Write if got == self.length => Ok(false),
            Kind::Read | Kind::Write => Err(Errno::new(libc::EIO, libc::EIO)),
        }
    }

    /// Submits what is left of this part. What libgfapi refuses ends here with its errno, for the
    /// host to see in the callback.
    pub(super) fn send(&self, body: &Body, file: &File) {
        // Between this store and the completion nobody else writes it: a stale result must not
        // outlive the call.
        self.result.store(0, Ordering::Relaxed);
        let start = self.offset - body.offset + self.progress;
        let length = self.length - self.progress;
        let narrowed: Vec<iovec>;
        let iov: &[iovec] = match body.kind {
            Kind::Flush | Kind::Discard | Kind::Zeroes { .. } => &[],
            _ if start == 0 && length == body.length => &body.iov,
            _ => {
                narrowed = narrow(&body.iov, start, length).collect();
                &narrowed
            }
        };
        self.call(body, iov, file);
    }

    pub(super) fn call(&self, body: &Body, iov: &[iovec], file: &File) {
        let offset = self.offset + self.progress;
        let length = self.length - self.progress;
        let op = match body.kind {
            Kind::Read => Op::Read { iov, offset },
            Kind::Write => Op::Write {
                iov,
                offset,
                through: body.through,
            },
            Kind::Flush | Kind::Zeroes { .. } => unreachable!("it is handed over, not submitted"),
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
pub(super) fn cut(body: &mut Body, part: impl Fn(i64, i64) -> Part) {
    let most = match body.kind {
        Kind::Flush | Kind::Zeroes { .. } => {
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
