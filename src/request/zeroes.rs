// SPDX-License-Identifier: GPL-2.0-or-later
//! A write of zeroes on its way to the thread that makes it.

use super::*;

/// What a write of zeroes is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zeroing {
    /// First byte.
    pub offset: i64,
    /// Bytes.
    pub length: i64,
    /// Their space may be given back.
    pub may_unmap: bool,
    /// Write-behind must not hold them back.
    pub through: bool,
}

impl SlotRef {
    /// Hands a write of zeroes over, whose range the queue holds: whoever makes it tells `ended`,
    /// or calls it off.
    pub fn hand_over_zeroes(self) -> Zeroing {
        // SAFETY: begun and not submitted, and taken out of the queue, if it was there, by this
        // thread: ours alone.
        let body = unsafe { &mut *self.slot().body.get() };
        body.ticket = Ticket::Held;
        Zeroing {
            offset: body.offset,
            length: body.length,
            may_unmap: body.kind == Kind::Zeroes { may_unmap: true },
            through: body.through,
        }
    }
}
