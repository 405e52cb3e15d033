// SPDX-License-Identifier: GPL-2.0-or-later
//! Which requests go to the bricks now, and which wait and go together.
//!
//! A brick spends about as much on a request of 4 KiB as on one of 64 KiB, so requests that follow
//! one another on the image are worth sending as one. But a request must not wait for company while
//! the bricks have nothing to do. Hence two windows, counted in calls to libgfapi:
//!
//! - [`STREAM_WINDOW`] for requests that go on where an earlier one ended. Beyond it they wait, and
//!   those that are adjacent by then go as one call.
//! - [`WINDOW`] for all calls of an image: the server stops reading at that many, so that waiting
//!   on this side costs nothing.
//!
//! Order: a request that overlaps a waiting one, when either changes data, waits behind it; so does
//! one that overlaps a call of several, which may have to be tried again one by one. Nothing is
//! moved past a request that it overlaps. A flush never waits: it covers what was acknowledged
//! before, and what waits was not.
//!
//! Pure bookkeeping: no lock, no I/O, and `T` is any name for a request.

use crate::request::Kind;
use std::collections::VecDeque;

/// Calls in flight for one image.
const WINDOW: usize = 64;

/// Calls in flight that belong to streams.
const STREAM_WINDOW: usize = 4;

/// Largest call that is made of several requests, in bytes.
const MOST_BYTES: i64 = 1 << 20;

/// Most requests in such a call.
const MOST_MEMBERS: usize = 256;

/// A plug holds back fewer than these.
const MOST_PLUGGED: usize = 64;

/// How far behind the first one its neighbours are looked for.
const REACH: usize = 256;

/// Streams that are told apart, for each of reads and writes.
const STREAMS: usize = 8;

/// A request as far as its place in the queue depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// What it does.
    pub kind: Kind,
    /// First byte.
    pub offset: i64,
    /// Bytes.
    pub length: i64,
    /// It may share a call with its neighbours.
    pub mergeable: bool,
}

impl Range {
    fn end(&self) -> i64 {
        self.offset + self.length
    }

    fn conflicts(&self, other: &Range) -> bool {
        let changes = self.kind != Kind::Read || other.kind != Kind::Read;
        changes && self.offset < other.end() && other.offset < self.end()
    }

    fn continues(&self, other: &Range) -> bool {
        self.kind == other.kind && self.mergeable && self.offset == other.end()
    }
}

/// What a call counts as; given back when it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ticket {
    /// In neither window.
    Free,
    /// In the window of all calls.
    Single,
    /// In both.
    Stream,
}

struct Waiting<T> {
    request: T,
    range: Range,
    stream: bool,
}

/// The requests of one image that wait, and the count of those that do not.
pub struct Queue<T> {
    calls: usize,
    stream_calls: usize,
    /// `plug` calls less `unplug` calls.
    plugs: u32,
    waiting: VecDeque<Waiting<T>>,
    /// The requests of the call that was made last.
    members: Vec<T>,
    /// What the calls under way that several requests share cover: when one fails, its requests are
    /// sent again, and nothing that overlaps them may have overtaken them.
    shared: Vec<Range>,
    /// Where the last requests of each stream ended: reads, then writes; oldest first.
    ends: [[i64; STREAMS]; 2],
}

impl<T: Copy + PartialEq> Queue<T> {
    /// Nothing waits.
    pub fn new() -> Queue<T> {
        Queue {
            calls: 0,
            stream_calls: 0,
            plugs: 0,
            waiting: VecDeque::with_capacity(MOST_MEMBERS),
            members: Vec::with_capacity(MOST_MEMBERS),
            shared: Vec::with_capacity(WINDOW),
            ends: [[-1; STREAMS]; 2],
        }
    }

    /// A new request: the ticket to send it with now, or `None` when it has to wait.
    pub fn admit(&mut self, request: T, range: Range) -> Option<Ticket> {
        if range.kind == Kind::Flush {
            return Some(Ticket::Free);
        }
        let stream = self.follow_stream(&range);
        let behind = self.is_held(&range)
            || self.waiting.iter().any(|other| {
                range.conflicts(&other.range) || (stream && range.continues(&other.range))
            });
        if !behind && self.plugs == 0 && self.has_room(stream) {
            return Some(self.take_room(stream));
        }
        self.waiting.push_back(Waiting {
            request,
            range,
            stream,
        });
        None
    }

    /// A call is over.
    pub fn over(&mut self, ticket: Ticket) {
        self.calls -= usize::from(ticket != Ticket::Free);
        self.stream_calls -= usize::from(ticket == Ticket::Stream);
    }

    /// A call that several requests shared has ended, and what it could not do was sent again.
    pub fn shared_out(&mut self, kind: Kind, offset: i64, length: i64) {
        let over = Range {
            kind,
            offset,
            length,
            mergeable: true,
        };
        if let Some(at) = self.shared.iter().position(|&range| range == over) {
            self.shared.swap_remove(at);
        }
    }

    /// The next call to make: its requests, adjacent and in the order of their offsets. `None` when
    /// nothing waits or nothing may go.
    pub fn next(&mut self) -> Option<(&[T], Ticket)> {
        if self.plugs > 0 && !self.is_overfull() {
            return None;
        }
        let first = (0..self.waiting.len().min(REACH)).find(|&at| {
            let waiting = &self.waiting[at];
            self.has_room(waiting.stream) && !self.blocked(at, &waiting.range)
        })?;
        let stream = self.waiting[first].stream;
        self.members.clear();
        let mut whole = self.remove(first);
        if whole.mergeable {
            self.gather(first, &mut whole);
        }
        if self.members.len() > 1 {
            self.shared.push(whole);
        }
        let ticket = self.take_room(stream);
        Some((&self.members, ticket))
    }

    /// From now on requests wait, until as many `unplug` calls came: a host that has several to
    /// submit lets them find their neighbours.
    pub fn plug(&mut self) {
        self.plugs = self.plugs.saturating_add(1);
    }

    /// Undoes one `plug`. `next` then has what waited.
    pub fn unplug(&mut self) {
        self.plugs = self.plugs.saturating_sub(1);
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A plug holds back so many that some should go.
    pub fn is_overfull(&self) -> bool {
        self.plugs > 0 && self.waiting.len() >= MOST_PLUGGED
    }

    /// Undoes every `plug`.
    pub fn pull_plug(&mut self) {
        self.plugs = 0;
    }

    /// Takes a request that waits out of the queue; whether it was there.
    pub fn withdraw(&mut self, request: T) -> bool {
        let at = self
            .waiting
            .iter()
            .position(|other| other.request == request);
        at.is_some_and(|at| self.waiting.remove(at).is_some())
    }

    /// Adds the neighbours from place `from` on that may go with it.
    fn gather(&mut self, from: usize, whole: &mut Range) {
        let mut at = from;
        while at < self.waiting.len().min(from + REACH) && self.members.len() < MOST_MEMBERS {
            let candidate = self.waiting[at].range;
            if candidate.continues(whole)
                && whole.length + candidate.length <= MOST_BYTES
                && !self.blocked(at, &candidate)
            {
                whole.length += candidate.length;
                self.remove(at);
            } else {
                at += 1;
            }
        }
    }

    /// Moves the request at a place into the call that is being made.
    fn remove(&mut self, at: usize) -> Range {
        let waiting = self.waiting.remove(at).expect("a place within the queue");
        self.members.push(waiting.request);
        waiting.range
    }

    /// Whether a request before `at` has to go first.
    fn blocked(&self, at: usize, range: &Range) -> bool {
        let mut before = self.waiting.iter().take(at);
        self.is_held(range) || before.any(|other| range.conflicts(&other.range))
    }

    fn is_held(&self, range: &Range) -> bool {
        self.shared.iter().any(|shared| range.conflicts(shared))
    }

    fn has_room(&self, stream: bool) -> bool {
        self.calls < WINDOW && !(stream && self.stream_calls >= STREAM_WINDOW)
    }

    fn take_room(&mut self, stream: bool) -> Ticket {
        self.calls += 1;
        self.stream_calls += usize::from(stream);
        if stream {
            Ticket::Stream
        } else {
            Ticket::Single
        }
    }

    /// Notes where a request ends; whether it went on where another one ended.
    fn follow_stream(&mut self, range: &Range) -> bool {
        if !range.mergeable {
            return false;
        }
        let ends = &mut self.ends[usize::from(range.kind == Kind::Write)];
        let stream = ends.iter().position(|&end| end == range.offset);
        match stream {
            Some(at) => ends[at..].rotate_left(1),
            // The oldest makes room for a new stream.
            None => ends.copy_within(1.., 0),
        }
        ends[STREAMS - 1] = range.end();
        stream.is_some()
    }
}

#[cfg(test)]
mod tests;
