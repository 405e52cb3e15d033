// SPDX-License-Identifier: GPL-2.0-or-later
//! Adjacent requests in one call to libgfapi.

use super::{Kind, Next, Part, SlotRef};
use crate::error::Errno;
use crate::gfapi::File;
use crate::queue::Ticket;
use std::cell::Cell;
use std::sync::atomic::Ordering;

thread_local! {
    /// Room for the requests of a shared call while it is shared out.
    static SCRATCH: Cell<Vec<SlotRef>> = const { Cell::new(Vec::new()) };
}

impl SlotRef {
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
        body.call = Part::new(slot, body.offset, length);
        slot.leads.store(true, Ordering::Relaxed);
    }

    /// Gives the requests of a shared call their results. What it could not do is submitted again,
    /// for each of them alone; the others come before all that is ready.
    pub(super) fn share_out(self, file: Option<&File>) -> Next {
        let slot = self.slot();
        slot.leads.store(false, Ordering::Relaxed);
        // SAFETY: ready and taken by this thread: ours alone, and so are the members.
        let body = unsafe { &mut *slot.body.get() };
        let ticket = std::mem::replace(&mut body.ticket, Ticket::Free);
        let mut done = *body.call.result.get_mut();
        let whole = body.call.length;
        body.call = Part::new(slot, body.offset, body.length);
        if done > whole || (body.kind == Kind::Write && done != whole) {
            // Which bytes a short write left out is not said, and more than all is no answer.
            done = 0;
        }
        // Not in the slot any more: once the others are out, this request may be delivered, and its
        // slot begun anew, by another thread.
        let mut members = SCRATCH.take();
        std::mem::swap(&mut members, &mut body.members);
        let (kind, offset) = (body.kind, body.offset);
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
                for part in body.parts_mut() {
                    *part.result.get_mut() = part.length;
                }
            }
        }
        let completions = slot.completions;
        let length = end;
        let (whole, rest) = members.split_at(served);
        completions.unpop(whole.iter().copied());
        let alone = rest.len();
        for &member in rest {
            match file {
                Some(file) => {
                    // SAFETY: as above.
                    let ticket = unsafe { (*member.slot().body.get()).ticket };
                    member.submit(file, ticket);
                }
                None => member.call_off(Errno::new(libc::EBADF, libc::EIO)),
            }
        }
        members.clear();
        SCRATCH.set(members);
        Next::Shared {
            kind,
            offset,
            length,
            alone,
        }
    }
}
