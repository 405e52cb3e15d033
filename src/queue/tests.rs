// SPDX-License-Identifier: GPL-2.0-or-later
//! What is sent at once, what waits, and that order is kept where it matters.

use super::*;
use proptest::prelude::*;

fn range(kind: Kind, offset: i64, length: i64) -> Range {
    Range {
        kind,
        offset,
        length,
        mergeable: kind != Kind::Discard,
    }
}

fn read(block: i64) -> Range {
    range(Kind::Read, block * 4096, 4096)
}

#[test]
fn requests_at_random_never_wait_below_the_window() {
    let mut queue = Queue::new(false);
    for at in 0..WINDOW as i64 {
        assert_eq!(queue.admit(at, read(at * 7)), Some(Ticket::Single));
    }
    assert_eq!(queue.admit(99, read(9999)), None);
    queue.over(Ticket::Single);
    assert_eq!(queue.next(), Some((&[99][..], Ticket::Single)));
    assert_eq!(queue.next(), None);
}

/// Reads the blocks; those that are sent at once.
fn read_blocks(queue: &mut Queue<i64>, blocks: std::ops::Range<i64>) -> Vec<(i64, Ticket)> {
    let sent = blocks.filter_map(|block| Some((block, queue.admit(block, read(block))?)));
    sent.collect()
}

fn members(queue: &mut Queue<i64>) -> Option<Vec<i64>> {
    queue.next().map(|(members, _)| members.to_vec())
}

#[test]
fn a_stream_beyond_its_window_goes_as_one_call() {
    let mut queue = Queue::new(false);
    let sent = read_blocks(&mut queue, 0..32);
    assert_eq!(sent.len(), 1 + SHALLOW_WINDOW);
    assert_eq!(sent[0], (0, Ticket::Single));
    let Ticket::Stream(stream) = sent[1].1 else {
        panic!("a request that goes on where another ended belongs to a stream");
    };
    assert_eq!(members(&mut queue), None);
    queue.over(sent[1].1);
    assert_eq!(members(&mut queue), Some((3..32).collect()));
    // Its calls are made of many now: the next waits for the last one.
    queue.over(sent[2].1);
    assert_eq!(read_blocks(&mut queue, 32..40), []);
    assert_eq!(members(&mut queue), None);
    queue.over(Ticket::Stream(stream));
    assert_eq!(members(&mut queue), Some((32..40).collect()));
}

#[test]
fn two_requests_in_flight_do_not_take_turns() {
    let mut queue = Queue::new(false);
    let first = read_blocks(&mut queue, 0..2);
    assert_eq!(first.len(), 2);
    for block in 2..50 {
        queue.over(first[usize::from(block > 2)].1);
        assert_eq!(read_blocks(&mut queue, block..block + 1).len(), 1);
    }
}

#[test]
fn a_call_that_is_full_need_not_wait() {
    for (sharded, kind, most) in [
        (false, Kind::Read, MOST_READ_WHOLE),
        (true, Kind::Read, MOST_BYTES),
        (false, Kind::Write, MOST_BYTES),
    ] {
        let mut queue = Queue::new(sharded);
        let length = 64 << 10;
        let mut sent = 0;
        let mut admitted = 0;
        while sent < 20 {
            let ticket = queue.admit(admitted, range(kind, admitted * length, length));
            admitted += 1;
            sent += usize::from(ticket.is_some());
            if queue.is_ripe() {
                let count = queue.next().expect("something is ripe").0.len() as i64;
                assert_eq!(count * length, most);
                assert_eq!(queue.next(), None);
                sent += 1;
            }
        }
        assert!(admitted > 16 * most / length);
    }
}

#[test]
fn streams_do_not_wait_for_each_other() {
    let mut queue = Queue::new(false);
    for stream in 0..STREAMS as i64 {
        let sent = read_blocks(&mut queue, stream * 1000..stream * 1000 + 10);
        assert_eq!(sent.len(), 1 + SHALLOW_WINDOW);
    }
}

#[test]
fn a_flush_never_waits() {
    let mut queue = Queue::new(false);
    for at in 0..200 {
        queue.admit(at, read(at));
    }
    assert_eq!(
        queue.admit(999, range(Kind::Flush, 0, 0)),
        Some(Ticket::Free)
    );
}

#[test]
fn what_waits_can_be_withdrawn() {
    let mut queue = Queue::new(false);
    let last = read_blocks(&mut queue, 0..10).pop().unwrap().1;
    assert!(queue.withdraw(7) && !queue.withdraw(7) && !queue.withdraw(0));
    queue.over(last);
    assert_eq!(queue.next().unwrap().0, [3, 4, 5, 6]);
}

#[test]
fn a_plug_holds_back_up_to_a_bound() {
    let mut queue = Queue::new(false);
    queue.plug();
    queue.plug();
    for at in 0..4 {
        assert_eq!(queue.admit(at, read(at)), None);
    }
    queue.unplug();
    assert_eq!(queue.next(), None);
    queue.unplug();
    assert_eq!(queue.next().unwrap().0, [0, 1, 2, 3]);
    queue.plug();
    for at in 0..MOST_PLUGGED as i64 {
        assert_eq!(queue.next(), None);
        queue.admit(100 + at, read(100 + at));
    }
    assert!(queue.next().is_some());
}

proptest! {
    /// Random requests and completions: everything is sent once, in calls of adjacent requests, and
    /// never before an earlier one that it conflicts with, unless that one was sent already.
    #[test]
    fn order_is_kept_where_it_matters(
        steps in prop::collection::vec(
            (0..3usize, 0..40i64, 1..6i64, any::<bool>()),
            1..300,
        ),
    ) {
        let mut queue = Queue::new(false);
        let mut ranges: Vec<Range> = Vec::new();
        let mut sent: Vec<bool> = Vec::new();
        let mut tickets = Vec::new();
        // What calls of several, of each ticket, cover.
        let mut wholes: Vec<Option<Range>> = Vec::new();
        let whole = |members: &[usize], ranges: &[Range]| {
            (members.len() > 1).then(|| Range {
                length: members.iter().map(|&member| ranges[member].length).sum(),
                ..ranges[members[0]]
            })
        };
        let check = |sent: &[bool], ranges: &[Range], request: usize| {
            let behind = (0..request).any(|at| !sent[at] && ranges[at].conflicts(&ranges[request]));
            prop_assert!(!behind);
            prop_assert!(!sent[request], "sent twice");
            Ok(())
        };
        for (kind, block, blocks, complete) in steps {
            let kind = [Kind::Read, Kind::Write, Kind::Discard][kind];
            let range = range(kind, block * 512, blocks * 512);
            let request = ranges.len();
            ranges.push(range);
            sent.push(false);
            if let Some(ticket) = queue.admit(request, range) {
                check(&sent, &ranges, request)?;
                sent[request] = true;
                prop_assert!(!wholes.iter().flatten().any(|whole| whole.conflicts(&range)));
                tickets.push(ticket);
                wholes.push(None);
            }
            if complete && !tickets.is_empty() {
                let at = block as usize % tickets.len();
                if let Some(whole) = wholes.swap_remove(at) {
                    queue.shared_out(whole.kind, whole.offset, whole.length);
                }
                queue.over(tickets.swap_remove(at));
                while let Some((members, ticket)) = queue.next() {
                    let members = members.to_vec();
                    for (at, &member) in members.iter().enumerate() {
                        check(&sent, &ranges, member)?;
                        prop_assert!(
                            !wholes.iter().flatten().any(|whole| whole.conflicts(&ranges[member]))
                        );
                        sent[member] = true;
                        if at > 0 {
                            prop_assert!(ranges[member].continues(&ranges[members[at - 1]]));
                        }
                    }
                    tickets.push(ticket);
                    wholes.push(whole(&members, &ranges));
                }
            }
            prop_assert!(tickets.len() <= WINDOW);
        }
        while let Some(ticket) = tickets.pop() {
            if let Some(Some(whole)) = wholes.pop() {
                queue.shared_out(whole.kind, whole.offset, whole.length);
            }
            queue.over(ticket);
            while let Some((members, ticket)) = queue.next() {
                for &member in members {
                    prop_assert!(!std::mem::replace(&mut sent[member], true));
                }
                wholes.push(whole(members, &ranges));
                tickets.push(ticket);
            }
        }
        prop_assert!(sent.iter().all(|&sent| sent), "something waits for ever");
    }
}
