// SPDX-License-Identifier: GPL-2.0-or-later
//! A copy on its way to the threads that make it.

use super::*;

/// What a copy is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copying {
    /// Number of the image that it is read from.
    pub source: u64,
    /// First byte there.
    pub from: i64,
    /// First byte to write.
    pub offset: i64,
    /// Bytes.
    pub length: i64,
    /// Write-behind must not hold it back.
    pub through: bool,
}

impl SlotRef {
    /// Hands a copy over, whose range the queue holds: whoever makes it tells `ended`, or calls it
    /// off. `None`: it is no copy.
    pub fn hand_over_copy(self) -> Option<Copying> {
        // SAFETY: begun and not submitted, and taken out of the queue, if it was there, by this
        // thread: ours alone.
        let body = unsafe { &mut *self.slot().body.get() };
        let Kind::Copy { source, from } = body.kind else {
            return None;
        };
        body.ticket = Ticket::Held;
        Some(Copying {
            source,
            from,
            offset: body.offset,
            length: body.length,
            through: body.through,
        })
    }
}
