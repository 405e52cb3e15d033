// SPDX-License-Identifier: GPL-2.0-or-later
//! What threads that have nothing to do with a request may see of it, and tell it.

use super::{Ask, Kind, SlotRef};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};

/// Written when the request begins and ends, under the image's desk; nobody else's memory is looked at.
pub(super) struct Glance {
    /// CLOCK_MONOTONIC; 0: there is no request.
    begun_ns: AtomicU64,
    /// An index into [`KINDS`].
    kind: AtomicU8,
    offset: AtomicI64,
    length: AtomicI64,
    /// It was reported as slow.
    told: AtomicBool,
    /// It is not sent again: it was cancelled, or its time is over.
    stands: AtomicBool,
    /// Until when it may wait for the bricks, as `begun_ns`; 0: it has not had to.
    until_ns: AtomicU64,
}

const KINDS: [Kind; 7] = [
    Kind::Read,
    Kind::Write,
    Kind::Flush,
    Kind::Discard,
    Kind::Zeroes { may_unmap: false },
    Kind::Zeroes { may_unmap: true },
    COPY,
];

/// Any copy.
const COPY: Kind = Kind::Copy { source: 0, from: 0 };

/// A request, as seen from outside.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// When it was accepted, see [`now_ns`].
    pub begun_ns: u64,
    /// What it does.
    pub kind: Kind,
    /// Its first byte.
    pub offset: i64,
    /// Its length in bytes.
    pub length: i64,
}

/// Nanoseconds of CLOCK_MONOTONIC, never 0.
pub fn now_ns() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` has room. The clock is always there.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    (now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64).max(1)
}

impl Glance {
    pub(super) fn new() -> Glance {
        Glance {
            begun_ns: AtomicU64::new(0),
            kind: AtomicU8::new(0),
            offset: AtomicI64::new(0),
            length: AtomicI64::new(0),
            told: AtomicBool::new(false),
            stands: AtomicBool::new(false),
            until_ns: AtomicU64::new(0),
        }
    }

    // Relaxed all over: those who look do so under the desk's lock, as it is written.
    pub(super) fn begin(&self, ask: &Ask<'_>) {
        let asked = match ask.kind {
            Kind::Copy { .. } => COPY,
            kind => kind,
        };
        let kind = KINDS.iter().position(|&kind| kind == asked);
        self.kind.store(kind.unwrap_or(0) as u8, Ordering::Relaxed);
        self.offset.store(ask.offset, Ordering::Relaxed);
        self.length.store(ask.length, Ordering::Relaxed);
        self.told.store(false, Ordering::Relaxed);
        self.stands.store(false, Ordering::Relaxed);
        self.until_ns.store(0, Ordering::Relaxed);
        self.begun_ns.store(ask.begun_ns.max(1), Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.begun_ns.store(0, Ordering::Relaxed);
    }
}

impl SlotRef {
    /// What is to be seen of it; `None` when it is free. Under the desk's lock.
    pub fn seen(self) -> Option<Seen> {
        let glance = &self.slot().glance;
        let begun_ns = glance.begun_ns.load(Ordering::Relaxed);
        (begun_ns > 0).then(|| Seen {
            begun_ns,
            kind: KINDS[usize::from(glance.kind.load(Ordering::Relaxed))],
            offset: glance.offset.load(Ordering::Relaxed),
            length: glance.length.load(Ordering::Relaxed),
        })
    }

    /// Marks it as reported; whether it was before.
    pub fn tell(self) -> bool {
        self.slot().glance.told.swap(true, Ordering::Relaxed)
    }

    /// Whether it was reported.
    pub fn is_told(self) -> bool {
        self.slot().glance.told.load(Ordering::Relaxed)
    }

    /// From now on it ends with whatever it ends with.
    pub fn stand(self) {
        self.slot().glance.stands.store(true, Ordering::SeqCst);
    }

    /// Whether it does.
    pub fn stands(self) -> bool {
        self.slot().glance.stands.load(Ordering::SeqCst)
    }

    /// Until when it may wait for the bricks: `first`, when it has not had to before.
    pub fn waits_until(self, first: u64) -> u64 {
        let until = &self.slot().glance.until_ns;
        match until.load(Ordering::Relaxed) {
            0 => {
                until.store(first, Ordering::Relaxed);
                first
            }
            until => until,
        }
    }
}
