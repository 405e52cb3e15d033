// SPDX-License-Identifier: GPL-2.0-or-later
//! A random host on random bricks: whatever it submits, holds back and takes back, from however many
//! threads, every request is sent once, in its order, and none waits for ever.

use super::*;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

type Check = Result<(), TestCaseError>;

/// More than the queue tells apart, so that streams lose their places with calls under way.
const CURSORS: usize = STREAMS + 4;

const FLUSH: Range = Range {
    kind: Kind::Flush,
    offset: 0,
    length: 0,
    mergeable: false,
};

#[derive(Clone, Debug)]
enum Step {
    /// So many requests one behind the other, from where the cursor is or jumps to.
    Submit {
        kind: Kind,
        cursor: usize,
        jump: Option<i64>,
        length: i64,
        alone: bool,
        count: usize,
    },
    /// One of the calls under way ends.
    End(usize),
    /// One of the requests is taken back, if it still waits.
    Withdraw(usize),
    Plug,
    Unplug,
    /// A thread that was to look for what may go does so now.
    Refill,
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![
        4 => Just(Kind::Read),
        4 => Just(Kind::Write),
        1 => Just(Kind::Discard),
        1 => Just(Kind::Zeroes { may_unmap: true }),
        1 => Just(Kind::Copy { source: 1, from: 0 }),
        1 => Just(Kind::Flush),
    ];
    let sectors = prop_oneof![4 => 1..20i64, 2 => Just(8), 2 => 100..=512i64, 1 => 513..2000i64];
    let jump = prop_oneof![4 => Just(None), 1 => (0..400i64).prop_map(Some)];
    let count = prop_oneof![6 => 1..3usize, 5 => 3..20usize, 1 => 50..300usize];
    let submit = (
        kind,
        0..CURSORS,
        jump,
        sectors,
        prop::bool::weighted(0.05),
        count,
    );
    let submit = submit.prop_map(|(kind, cursor, jump, sectors, alone, count)| Step::Submit {
        kind,
        cursor,
        jump: jump.map(|place| place * 4096),
        length: if kind == Kind::Flush {
            0
        } else {
            sectors * 512
        },
        alone,
        count,
    });
    prop_oneof![
        6 => submit,
        6 => any::<usize>().prop_map(Step::End),
        1 => any::<usize>().prop_map(Step::Withdraw),
        1 => Just(Step::Plug),
        1 => Just(Step::Unplug),
        2 => Just(Step::Refill),
    ]
}

#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Waits,
    Sent,
    TakenBack,
}

struct World {
    queue: Queue<usize>,
    ranges: Vec<Range>,
    fates: Vec<Fate>,
    waiting: Vec<usize>,
    /// Calls under way; what one covers when several requests share it, or it holds its range.
    calls: Vec<(Ticket, Option<Range>)>,
    cursors: [i64; CURSORS],
    plugs: u32,
    /// A thread is still to look for what may go.
    owed: bool,
}

impl World {
    fn new(sharded: bool) -> World {
        World {
            queue: Queue::new(sharded),
            ranges: Vec::new(),
            fates: Vec::new(),
            waiting: Vec::new(),
            calls: Vec::new(),
            cursors: [0; CURSORS],
            plugs: 0,
            owed: false,
        }
    }

    /// `late`: the thread that has to look for what may go now is slow to do it.
    fn take(&mut self, step: Step, late: bool) -> Check {
        match step {
            Step::Submit {
                kind,
                cursor,
                jump,
                length,
                alone,
                count,
            } => {
                self.cursors[cursor] = jump.unwrap_or(self.cursors[cursor]);
                if kind == Kind::Flush {
                    return self.submit(FLUSH);
                }
                for _ in 0..count {
                    self.submit(Range {
                        kind,
                        offset: self.cursors[cursor],
                        length,
                        mergeable: matches!(kind, Kind::Read | Kind::Write)
                            && !alone
                            && length <= 256 << 10,
                    })?;
                    self.cursors[cursor] += length;
                    self.look(late)?;
                }
            }
            Step::End(at) if !self.calls.is_empty() => {
                let (ticket, whole) = self.calls.swap_remove(at % self.calls.len());
                if let Some(whole) = whole {
                    self.queue.let_go(whole);
                    if !late {
                        self.refill()?;
                    }
                }
                self.queue.over(ticket);
                self.owed = true;
            }
            Step::Withdraw(at) if !self.ranges.is_empty() => {
                let request = at % self.ranges.len();
                let waits = self.fates[request] == Fate::Waits;
                prop_assert_eq!(self.queue.withdraw(request), waits);
                if waits {
                    self.fates[request] = Fate::TakenBack;
                    self.waiting.retain(|&other| other != request);
                    // Its callback comes, as after a call.
                    self.queue.over(Ticket::Free);
                    self.owed = true;
                }
            }
            Step::Plug => {
                self.queue.plug();
                self.plugs += 1;
            }
            Step::Unplug => {
                self.queue.unplug();
                self.plugs = self.plugs.saturating_sub(1);
                self.owed = true;
            }
            Step::Refill | Step::End(_) | Step::Withdraw(_) => {}
        }
        self.look(late)?;
        self.check_counts()
    }

    fn submit(&mut self, range: Range) -> Check {
        let request = self.ranges.len();
        self.ranges.push(range);
        self.fates.push(Fate::Waits);
        self.waiting.push(request);
        if let Some(ticket) = self.queue.admit(request, range) {
            if range.kind == Kind::Flush {
                prop_assert_eq!(ticket, Ticket::Free);
            } else {
                prop_assert_eq!(self.plugs, 0);
            }
            self.send(&[request], ticket)?;
        } else {
            prop_assert!(range.kind != Kind::Flush, "a flush waits");
        }
        self.owed |= self.queue.is_ripe();
        Ok(())
    }

    fn look(&mut self, late: bool) -> Check {
        if !self.owed {
            let next = self.queue.next().map(|(members, _)| members.to_vec());
            prop_assert_eq!(next, None, "nobody was to look for what may go");
        } else if !late {
            self.refill()?;
        }
        Ok(())
    }

    fn refill(&mut self) -> Check {
        self.owed = false;
        while let Some((members, ticket)) = self.queue.next() {
            prop_assert!(self.plugs == 0 || self.waiting.len() >= MOST_PLUGGED);
            let members = members.to_vec();
            self.send(&members, ticket)?;
        }
        Ok(())
    }

    fn send(&mut self, members: &[usize], ticket: Ticket) -> Check {
        let mut whole = Range {
            length: 0,
            ..self.ranges[members[0]]
        };
        for &member in members {
            let range = self.ranges[member];
            prop_assert!(self.fates[member] == Fate::Waits, "sent twice");
            let mut waiting = self.waiting.iter().filter(|&&other| other < member);
            let overtaken = waiting.find(|&&other| self.ranges[other].conflicts(&range));
            prop_assert_eq!(overtaken, None, "... is overtaken by {}", member);
            let mut shared = self.calls.iter().filter_map(|(_, whole)| *whole);
            prop_assert!(!shared.any(|shared| shared.conflicts(&range)));
            prop_assert!(member == members[0] || range.continues(&whole));
            whole.length += range.length;
        }
        if members.len() > 1 {
            prop_assert!(whole.mergeable && members.len() <= MOST_MEMBERS);
            prop_assert!(whole.length <= self.queue.full(whole.kind));
        }
        for &member in members {
            self.fates[member] = Fate::Sent;
        }
        let fates = &self.fates;
        self.waiting
            .retain(|&request| fates[request] == Fate::Waits);
        let holds = matches!(whole.kind, Kind::Zeroes { .. } | Kind::Copy { .. });
        prop_assert_eq!(ticket == Ticket::Held, holds);
        self.calls
            .push((ticket, (holds || members.len() > 1).then_some(whole)));
        Ok(())
    }

    fn check_counts(&self) -> Check {
        let queue = &self.queue;
        let calls = |of: &dyn Fn(Ticket) -> bool| {
            let tickets = self.calls.iter().map(|(ticket, _)| *ticket);
            tickets.filter(|&ticket| of(ticket)).count()
        };
        let counts = |ticket| !matches!(ticket, Ticket::Free | Ticket::Held);
        prop_assert_eq!(queue.calls, calls(&counts));
        prop_assert!(queue.calls <= WINDOW);
        prop_assert_eq!(queue.waiting.len(), self.waiting.len());
        for (at, stream) in queue.streams.iter().enumerate() {
            let id = StreamId(at as u8);
            prop_assert_eq!(stream.calls, calls(&|ticket| ticket == Ticket::Stream(id)));
            let waiting = queue.waiting.iter().filter(|one| one.stream == Some(id));
            prop_assert_eq!(stream.waiting, waiting.clone().count());
            let bytes = |sum, one: &Waiting<usize>| sum + one.range.length;
            prop_assert_eq!(stream.waiting_bytes, waiting.fold(0, bytes));
        }
        Ok(())
    }

    /// The host submits no more, and the bricks end every call.
    fn come_to_rest(&mut self) -> Check {
        self.take(Step::Refill, false)?;
        while self.plugs > 0 {
            self.take(Step::Unplug, false)?;
        }
        while !self.calls.is_empty() {
            self.take(Step::End(self.ranges.len()), false)?;
        }
        prop_assert!(self.waiting.is_empty(), "something waits for ever");
        prop_assert!(self.queue.shared.is_empty());
        Ok(())
    }
}

proptest! {
    #[test]
    fn all_are_sent_once_in_order_and_none_waits_for_ever(
        steps in prop::collection::vec((step(), any::<bool>()), 1..60),
        sharded: bool,
    ) {
        let mut world = World::new(sharded);
        for (step, late) in steps {
            world.take(step, late)?;
        }
        world.come_to_rest()?;
    }
}
