// SPDX-License-Identifier: GPL-2.0-or-later
//! Which requests go to the bricks now, and which wait and go together.
//!
//! A brick spends about as much on a request of 4 KiB as on one of 64 KiB, so requests that follow
//! one another on the image are worth sending as one. But a request must not wait for company while
//! the bricks have nothing to do. Hence windows, counted in calls to libgfapi:
//!
//! - A stream, requests each of which goes on where the last one ended, has few calls in flight:
//!   [`SHALLOW_WINDOW`], or [`DEEP_WINDOW`] once its calls are made of many requests. Beyond that its
//!   requests wait, and go as one call when an earlier one has ended, or when they fill a call.
//!   [`STREAMS`] are told apart; one more shares the place, and the window, of the oldest.
//!   (In a closed loop of D requests, one call of D is as fast as D calls at once, and costs the
//!   bricks a fraction.)
//! - [`WINDOW`] for all calls of an image: the server stops reading at that many, so that waiting
//!   on this side costs nothing.
//!
//! Order: a request that overlaps a waiting one, when either changes data, waits behind it; so does
//! one that overlaps a call of several, which may have to be tried again one by one, or a write of
//! zeroes or a copy, which itself waits for a thread and is in no window. Nothing is
//! moved past a request that it overlaps. A flush never waits here: it covers what was acknowledged
//! before, and what waits was not.
//!
//! Pure bookkeeping: no lock, no I/O, and `T` is any name for a request.

use crate::request::Kind;
use std::collections::VecDeque;

/// Calls in flight for one image.
const WINDOW: usize = 64;

/// Calls of one stream in flight: two, so that a pair of requests does not take turns ...
const SHALLOW_WINDOW: usize = 2;

/// ... but one, when its last call was made of at least [`MANY`] requests.
const DEEP_WINDOW: usize = 1;
const MANY: usize = 4;

/// Largest call that is made of several requests, in bytes ...
const MOST_BYTES: i64 = 1 << 20;

/// ... and largest such read of a volume without shards. Its answer comes in one piece, and for a
/// larger one libgfapi maps fresh memory each time, which costs more than another call.
const MOST_READ_WHOLE: i64 = 256 << 10;

/// What a host does well to read or write at a time: no call of several requests is larger.
pub fn best_transfer(sharded: bool) -> i64 {
    if sharded { MOST_BYTES } else { MOST_READ_WHOLE }
}

/// Most requests in such a call.
const MOST_MEMBERS: usize = 256;

/// A plug holds back fewer than these.
const MOST_PLUGGED: usize = 64;

/// How many are looked at for the first one of a call, and how far behind it its neighbours are
/// looked for.
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
    /// Of a request that shares no call.
    pub fn alone(kind: Kind, offset: i64, length: i64) -> Range {
        Range {
            kind,
            offset,
            length,
            mergeable: false,
        }
    }

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
    /// In no window.
    Free,
    /// In no window; what overlaps its range waits until [`Queue::let_go`].
    Held,
    /// In the window of all calls.
    Single,
    /// In that of its stream as well.
    Stream(StreamId),
}

/// The place of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamId(u8);

#[derive(Clone, Copy)]
struct Stream {
    /// Where its last request ended.
    end: i64,
    /// When that one came, for the oldest to make room.
    seen: u64,
    /// Calls in flight.
    calls: usize,
    /// Requests of the last call.
    members: usize,
    /// Requests that wait, ...
    waiting: usize,
    /// ... and their bytes.
    waiting_bytes: i64,
}

struct Waiting<T> {
    request: T,
    range: Range,
    stream: Option<StreamId>,
}

/// The requests of one image that wait, and the count of those that do not.
pub struct Queue<T> {
    /// Largest read that is made of several requests, in bytes.
    most_read: i64,
    calls: usize,
    /// `plug` calls less `unplug` calls.
    plugs: u32,
    /// Nothing goes: the bricks are out of reach.
    stalled: bool,
    waiting: VecDeque<Waiting<T>>,
    /// The requests of the call that was made last.
    members: Vec<T>,
    /// What the calls under way that several requests share cover: when one fails, its requests are
    /// sent again, and nothing that overlaps them may have overtaken them. And the writes of
    /// zeroes.
    shared: Vec<Range>,
    /// Of reads, then of writes.
    streams: [Stream; 2 * STREAMS],
    /// Counts the requests, as a clock for the streams.
    now: u64,
}

impl<T: Copy + PartialEq> Queue<T> {
    /// Nothing waits. `sharded`: the volume keeps a file in pieces.
    pub fn new(sharded: bool) -> Queue<T> {
        Queue {
            most_read: best_transfer(sharded),
            calls: 0,
            plugs: 0,
            stalled: false,
            waiting: VecDeque::with_capacity(MOST_MEMBERS),
            members: Vec::with_capacity(MOST_MEMBERS),
            shared: Vec::with_capacity(WINDOW),
            streams: [Stream {
                end: -1,
                seen: 0,
                calls: 0,
                members: 0,
                waiting: 0,
                waiting_bytes: 0,
            }; 2 * STREAMS],
            now: 0,
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
                range.conflicts(&other.range) || (stream.is_some() && range.continues(&other.range))
            });
        if !behind && self.plugs == 0 && !self.stalled && self.has_room(stream) {
            return Some(self.take_room(&range, stream, 1));
        }
        if let Some(stream) = stream {
            let stream = self.stream(stream);
            stream.waiting += 1;
            stream.waiting_bytes += range.length;
        }
        self.waiting.push_back(Waiting {
            request,
            range,
            stream,
        });
        None
    }

    /// Whether the request that came last made `next` have something: its stream fills a call, or
    /// a plug holds back so many that some should go.
    pub fn is_ripe(&self) -> bool {
        if self.stalled {
            return false;
        }
        if self.plugs > 0 {
            return self.is_overfull();
        }
        self.waiting
            .back()
            .is_some_and(|last| last.stream.is_some() && self.has_room(last.stream))
    }

    /// A call is over.
    pub fn over(&mut self, ticket: Ticket) {
        self.calls -= usize::from(!matches!(ticket, Ticket::Free | Ticket::Held));
        if let Ticket::Stream(stream) = ticket {
            self.stream(stream).calls -= 1;
        }
    }

    /// A call that several requests shared has ended, and what it could not do was sent again.
    pub fn shared_out(&mut self, kind: Kind, offset: i64, length: i64) {
        self.let_go(Range {
            kind,
            offset,
            length,
            mergeable: true,
        });
    }

    /// From now on what overlaps the range waits, until `let_go`.
    pub fn hold(&mut self, range: Range) {
        self.shared.push(range);
    }

    /// Undoes one hold of that range.
    pub fn let_go(&mut self, over: Range) {
        if let Some(at) = self.shared.iter().position(|&range| range == over) {
            self.shared.swap_remove(at);
        }
    }

    /// The next call to make: its requests, adjacent and in the order of their offsets. `None` when
    /// nothing waits or nothing may go.
    pub fn next(&mut self) -> Option<(&[T], Ticket)> {
        if self.stalled || (self.plugs > 0 && !self.is_overfull()) {
            return None;
        }
        // Those of a stream without room are no reason to stop: another one may be behind them.
        let first = (0..self.waiting.len())
            .filter(|&at| self.has_room(self.waiting[at].stream))
            .take(REACH)
            .find(|&at| !self.blocked(at, &self.waiting[at].range))?;
        let stream = self.waiting[first].stream;
        self.members.clear();
        let mut whole = self.remove(first);
        if whole.mergeable {
            self.gather(first, &mut whole);
        }
        if self.members.len() > 1 {
            self.shared.push(whole);
        }
        let ticket = self.take_room(&whole, stream, self.members.len());
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

    /// From now on all requests wait, or not any more: `next` then has those that do.
    pub fn stall(&mut self, stalled: bool) {
        self.stalled = stalled;
    }

    /// A request that was sent, and has to be sent again, alone and before all that wait.
    pub fn put_back(&mut self, request: T, range: Range) {
        self.waiting.push_front(Waiting {
            request,
            range,
            stream: None,
        });
    }

    /// Takes all that wait out of the queue, in their order.
    pub fn take_all(&mut self) -> Vec<T> {
        let mut all = Vec::with_capacity(self.waiting.len());
        while let Some(waiting) = self.take_out(0) {
            all.push(waiting.request);
        }
        all
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn is_overfull(&self) -> bool {
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
        at.and_then(|at| self.take_out(at)).is_some()
    }

    /// Adds the neighbours from place `from` on that may go with it.
    fn gather(&mut self, from: usize, whole: &mut Range) {
        let mut at = from;
        while at < self.waiting.len().min(from + REACH) && self.members.len() < MOST_MEMBERS {
            let candidate = self.waiting[at].range;
            if candidate.continues(whole)
                && whole.length + candidate.length <= self.full(whole.kind)
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
        let waiting = self.take_out(at).expect("a place within the queue");
        self.members.push(waiting.request);
        waiting.range
    }

    fn take_out(&mut self, at: usize) -> Option<Waiting<T>> {
        let waiting = self.waiting.remove(at)?;
        if let Some(stream) = waiting.stream {
            let stream = self.stream(stream);
            stream.waiting -= 1;
            stream.waiting_bytes -= waiting.range.length;
        }
        Some(waiting)
    }

    /// Whether a request before `at` has to go first.
    fn blocked(&self, at: usize, range: &Range) -> bool {
        let mut before = self.waiting.iter().take(at);
        self.is_held(range) || before.any(|other| range.conflicts(&other.range))
    }

    fn is_held(&self, range: &Range) -> bool {
        self.shared.iter().any(|shared| range.conflicts(shared))
    }

    /// Bytes of a call that is as large as one made of several requests may be.
    fn full(&self, kind: Kind) -> i64 {
        match kind {
            Kind::Read => self.most_read,
            _ => MOST_BYTES,
        }
    }

    fn has_room(&self, stream: Option<StreamId>) -> bool {
        self.calls < WINDOW
            && stream.is_none_or(|id| {
                let stream = &self.streams[usize::from(id.0)];
                let window = if stream.members < MANY {
                    SHALLOW_WINDOW
                } else {
                    DEEP_WINDOW
                };
                stream.calls < window
                    || stream.waiting >= MOST_MEMBERS
                    || stream.waiting_bytes >= self.full(id.kind())
            })
    }

    fn take_room(&mut self, range: &Range, stream: Option<StreamId>, members: usize) -> Ticket {
        if matches!(range.kind, Kind::Zeroes { .. } | Kind::Copy { .. }) {
            self.hold(*range);
            return Ticket::Held;
        }
        self.calls += 1;
        let Some(id) = stream else {
            return Ticket::Single;
        };
        let stream = self.stream(id);
        stream.calls += 1;
        stream.members = members;
        Ticket::Stream(id)
    }

    fn stream(&mut self, id: StreamId) -> &mut Stream {
        &mut self.streams[usize::from(id.0)]
    }

    /// Notes where a request ends; the stream that it goes on with.
    fn follow_stream(&mut self, range: &Range) -> Option<StreamId> {
        if !range.mergeable {
            return None;
        }
        self.now += 1;
        let first = StreamId::first(range.kind);
        let places = first..first + STREAMS;
        // Of several the one that came last: the others are what is left of streams that ended here.
        let known = places
            .clone()
            .filter(|&at| self.streams[at].end == range.offset)
            .max_by_key(|&at| self.streams[at].seen);
        // The oldest makes room for a new stream, one with nothing under way if there is one.
        let place = known.or_else(|| {
            places.min_by_key(|&at| {
                let stream = &self.streams[at];
                (stream.calls > 0 || stream.waiting > 0, stream.seen)
            })
        })?;
        let stream = &mut self.streams[place];
        stream.end = range.end();
        stream.seen = self.now;
        if known.is_none() && stream.calls == 0 {
            stream.members = 0;
        }
        known.map(|at| StreamId(at as u8))
    }
}

impl StreamId {
    fn first(kind: Kind) -> usize {
        if kind == Kind::Read { 0 } else { STREAMS }
    }

    fn kind(self) -> Kind {
        if usize::from(self.0) < STREAMS {
            Kind::Read
        } else {
            Kind::Write
        }
    }
}

#[cfg(test)]
mod tests;
