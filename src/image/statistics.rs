// SPDX-License-Identifier: GPL-2.0-or-later
//! What an image has done, counted while it does it and read without a lock.
//!
//! What each request counts is changed at the image's desk only, by a plain load and store, since the
//! desk's lock keeps others out anyway; events, which are rare, are added from wherever they happen.
//! Gluster's threads touch none of it.

mod format;
#[cfg(test)]
mod tests;

pub use format::Format;

use crate::request::{Kind, Outcome, now_ns};
use std::sync::atomic::{AtomicU64, Ordering};

/// Kinds of requests that are told apart, in the order of the header.
pub const KINDS: usize = 6;

/// Buckets of a histogram, see [`bucket`].
pub const BUCKETS: usize = 32;

/// Errno classes, in the order of the header's `BLK_FAILED_*`.
pub const CLASSES: usize = 6;

/// Names of the kinds and classes in texts.
const KIND_NAMES: [&str; KINDS] = ["read", "write", "flush", "discard", "write_zeroes", "copy"];
const CLASS_NAMES: [&str; CLASSES] = ["ENOTCONN", "EBADFD", "EIO", "ENOSPC", "ECANCELED", "other"];

/// Nanoseconds since an image was opened; when that was, see [`now_ns`].
#[derive(Clone, Copy)]
pub struct Clock(u64);

impl Clock {
    /// From now on.
    pub fn start() -> Clock {
        Clock(now_ns())
    }

    /// So far.
    pub fn now(self) -> u64 {
        now_ns() - self.0
    }

    /// The same time for threads that know no image, see [`now_ns`].
    pub fn absolute(self, ns: u64) -> u64 {
        self.0 + ns
    }
}

/// What happens to requests, or to an image, besides their beginning and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request was refused.
    Refused,
    /// A call was made for several requests, ...
    MergedCall,
    /// ... with so many in it.
    MergedRequest,
    /// One of them was sent again alone.
    Unmerged,
    /// A request was cut, ...
    Split,
    /// ... into so many calls.
    SplitCall,
    /// A read was sent on for what it had not got.
    ShortRead,
    /// An fsync was made for flushes.
    Fsync,
    /// A request was not made of whole blocks, and went beside O_DIRECT.
    Bounced,
    /// A read was sent again after a failure.
    ReadRetry,
    /// The file was opened anew.
    Reconnect,
    /// A request was reported for being slow.
    Slow,
}

/// Each event: its name in texts, and what it counts.
const EVENTS: [(Event, &str, &str); 12] = [
    (
        Event::Refused,
        "refused",
        "Submissions that were refused while the image was open.",
    ),
    (
        Event::MergedCall,
        "merged_calls",
        "Calls to libgfapi that were made for several adjacent requests.",
    ),
    (
        Event::MergedRequest,
        "merged_requests",
        "Requests that shared a call with adjacent ones.",
    ),
    (
        Event::Unmerged,
        "unmerged_requests",
        "Requests of a shared call that were sent again alone.",
    ),
    (
        Event::Split,
        "split_requests",
        "Requests too large for one call.",
    ),
    (
        Event::SplitCall,
        "split_calls",
        "Calls that were made for requests too large for one.",
    ),
    (
        Event::ShortRead,
        "short_reads",
        "Reads that were sent on for what they had not got.",
    ),
    (Event::Fsync, "fsyncs", "Fsyncs that were made for flushes."),
    (
        Event::Bounced,
        "bounced",
        "Requests that O_DIRECT does not take, since they are not made of whole blocks.",
    ),
    (
        Event::ReadRetry,
        "read_retries",
        "Reads that were sent again after a failure.",
    ),
    (
        Event::Reconnect,
        "reconnects",
        "Times that the image was opened anew after a disconnect.",
    ),
    (
        Event::Slow,
        "slow_requests",
        "Requests that were reported for being slow.",
    ),
];

/// The counters of one image. What every request changes comes first.
#[repr(C, align(128))]
pub struct Statistics {
    most_in_flight: AtomicU64,
    operations: [Counters; KINDS],
    clock: Clock,
    events: [AtomicU64; EVENTS.len()],
}

/// Of the requests of one kind. Changed at the desk.
#[repr(C)]
struct Counters {
    submitted: AtomicU64,
    bytes: AtomicU64,
    total_ns: AtomicU64,
    longest_ns: AtomicU64,
    failed: [AtomicU64; CLASSES],
    /// Of those that succeeded: their number is the sum.
    buckets: [AtomicU64; BUCKETS],
}

/// By the only thread that changes it now.
fn add(counter: &AtomicU64, more: u64) {
    // Release: who sees that a request has ended sees that it was submitted, see `snapshot`.
    counter.store(
        counter.load(Ordering::Relaxed).wrapping_add(more),
        Ordering::Release,
    );
}

/// Where a latency belongs: 0 up to 1 us, n above 2^(n-1) us up to 2^n us, and above 2^30 us the last
/// one. Bounds belong to what is below them, as with Prometheus' `le`.
fn bucket(ns: u64) -> usize {
    let us = ns.saturating_sub(1) / 1000;
    ((u64::BITS - us.leading_zeros()) as usize).min(BUCKETS - 1)
}

fn index(kind: Kind) -> usize {
    match kind {
        Kind::Read => 0,
        Kind::Write => 1,
        Kind::Flush => 2,
        Kind::Discard => 3,
        Kind::Zeroes { .. } => 4,
        Kind::Copy { .. } => 5,
    }
}

fn class(errno: i32) -> usize {
    match errno {
        libc::ENOTCONN => 0,
        libc::EBADFD => 1,
        libc::EIO => 2,
        libc::ENOSPC | libc::EDQUOT => 3,
        libc::ECANCELED => 4,
        _ => 5,
    }
}

impl Statistics {
    /// Nothing has happened yet.
    pub fn new(clock: Clock) -> Statistics {
        let zero = || AtomicU64::new(0);
        Statistics {
            clock,
            operations: std::array::from_fn(|_| Counters {
                submitted: zero(),
                bytes: zero(),
                total_ns: zero(),
                longest_ns: zero(),
                failed: std::array::from_fn(|_| zero()),
                buckets: std::array::from_fn(|_| zero()),
            }),
            most_in_flight: zero(),
            events: std::array::from_fn(|_| zero()),
        }
    }

    /// A request was accepted, as one of so many in flight. At the desk.
    pub fn accepted(&self, kind: Kind, in_flight: usize) {
        add(&self.operations[index(kind)].submitted, 1);
        let in_flight = in_flight as u64;
        if in_flight > self.most_in_flight.load(Ordering::Relaxed) {
            self.most_in_flight.store(in_flight, Ordering::Relaxed);
        }
    }

    /// A request has ended after so long. At the desk.
    pub fn ended(&self, outcome: &Outcome, took_ns: u64) {
        let counters = &self.operations[index(outcome.kind)];
        match outcome.result {
            Ok(()) => {
                add(&counters.bytes, outcome.length as u64);
                add(&counters.total_ns, took_ns);
                if took_ns > counters.longest_ns.load(Ordering::Relaxed) {
                    counters.longest_ns.store(took_ns, Ordering::Relaxed);
                }
                add(&counters.buckets[bucket(took_ns)], 1);
            }
            Err(errno) => add(&counters.failed[class(errno.get())], 1),
        }
    }

    /// Something happened so many times. Any thread.
    pub fn count(&self, event: Event, times: usize) {
        self.events[event as usize].fetch_add(times as u64, Ordering::Relaxed);
    }

    /// What there is to tell now.
    pub fn snapshot(&self) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        let mut operations = [Operations::default(); KINDS];
        for (counters, told) in self.operations.iter().zip(&mut operations) {
            told.failed = std::array::from_fn(|at| read(&counters.failed[at]));
            told.buckets = std::array::from_fn(|at| read(&counters.buckets[at]));
            told.total_ns = read(&counters.total_ns);
            told.longest_ns = read(&counters.longest_ns);
            told.bytes = read(&counters.bytes);
        }
        // After those that have ended, of all kinds, so that none has ended but was not submitted.
        for (counters, told) in self.operations.iter().zip(&mut operations) {
            told.submitted = read(&counters.submitted);
        }
        Snapshot {
            open_ns: self.clock.now(),
            operations,
            most_in_flight: read(&self.most_in_flight),
            events: std::array::from_fn(|at| read(&self.events[at])),
        }
    }
}

/// The counters at one time.
pub struct Snapshot {
    /// Nanoseconds since the image was opened.
    pub open_ns: u64,
    /// By kind: reads, writes, flushes, discards, writes of zeroes, copies.
    pub operations: [Operations; KINDS],
    /// Most requests in flight at a time.
    pub most_in_flight: u64,
    events: [u64; EVENTS.len()],
}

/// What became of the requests of one kind.
#[derive(Clone, Copy, Default)]
pub struct Operations {
    /// Accepted.
    pub submitted: u64,
    /// Of those that succeeded.
    pub bytes: u64,
    /// By class.
    pub failed: [u64; CLASSES],
    /// Of those that succeeded, all together.
    pub total_ns: u64,
    /// Of the one that took longest.
    pub longest_ns: u64,
    /// How many succeeded after how long.
    pub buckets: [u64; BUCKETS],
}

impl Operations {
    /// How many.
    pub fn succeeded(&self) -> u64 {
        self.buckets.iter().sum()
    }

    fn in_flight(&self) -> u64 {
        let ended = self.succeeded() + self.failed.iter().sum::<u64>();
        self.submitted.saturating_sub(ended)
    }
}

impl Snapshot {
    /// How often it happened.
    pub fn count(&self, event: Event) -> u64 {
        self.events[event as usize]
    }

    /// Accepted, and no callback is due.
    pub fn in_flight(&self) -> u64 {
        self.operations.iter().map(Operations::in_flight).sum()
    }
}
