// SPDX-License-Identifier: GPL-2.0-or-later
//! What is sent at once, what waits, and that order is kept where it matters.

mod any_order;

use super::*;

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
        let mut full = 0;
        for at in 0..17 * most / length {
            let ticket = queue.admit(at, range(kind, at * length, length));
            sent += usize::from(ticket.is_some());
            if queue.is_ripe() {
                let count = queue.next().expect("something is ripe").0.len() as i64;
                assert_eq!(count * length, most);
                assert_eq!(queue.next(), None);
                full += 1;
            }
        }
        assert_eq!((sent, full), (1 + SHALLOW_WINDOW, 16));
    }
}

#[test]
fn a_call_is_full_of_small_requests_too() {
    let mut queue = Queue::new(false);
    let mut sent = 0;
    for at in 0..MOST_MEMBERS + 1 + SHALLOW_WINDOW {
        assert!(!queue.is_ripe());
        let range = range(Kind::Write, at as i64 * 512, 512);
        sent += usize::from(queue.admit(at as i64, range).is_some());
    }
    assert_eq!(sent, 1 + SHALLOW_WINDOW);
    assert!(queue.is_ripe());
    assert_eq!(members(&mut queue).unwrap().len(), MOST_MEMBERS);
}

#[test]
fn streams_do_not_wait_for_each_other() {
    let mut queue = Queue::new(true);
    let mut calls = Vec::new();
    for stream in 0..STREAMS as i64 {
        let first = stream * 1000;
        let sent = read_blocks(&mut queue, first..first + 200);
        assert_eq!(sent.len(), 1 + SHALLOW_WINDOW);
        calls.push((first, sent[1].1));
    }
    // The last one's requests are behind a thousand of others that have to wait.
    for (first, ticket) in calls.into_iter().rev() {
        queue.over(ticket);
        assert_eq!(
            members(&mut queue),
            Some((first + 3..first + 200).collect())
        );
        assert_eq!(members(&mut queue), None);
    }
}

#[test]
fn a_stream_is_not_led_astray_by_those_that_ended_on_its_way() {
    let mut queue = Queue::new(false);
    for block in [9, 4, 2, 7, 5, 1, 3] {
        let ticket = queue.admit(block, read(block)).expect("room for all");
        queue.over(ticket);
    }
    assert_eq!(read_blocks(&mut queue, 0..32).len(), 1 + SHALLOW_WINDOW);
}

#[test]
fn one_stream_too_many_takes_the_place_of_the_oldest() {
    let mut queue = Queue::new(false);
    let mut calls = read_blocks(&mut queue, 0..20);
    queue.over(calls.remove(1).1);
    assert_eq!(members(&mut queue), Some((3..20).collect()));
    // The oldest: one call of many, which the others wait for.
    let ended = calls.pop().unwrap().1;
    queue.over(ended);
    assert_eq!(read_blocks(&mut queue, 20..30), []);
    calls.push((3, ended));
    for stream in 1..=STREAMS as i64 {
        calls.extend(read_blocks(&mut queue, stream * 100..stream * 100 + 20));
        assert_eq!(queue.next(), None);
    }
    // The last one's requests wait for that call, too: only its first was sent.
    assert_eq!(calls.len(), 2 + (STREAMS - 1) * (1 + SHALLOW_WINDOW) + 1);
    let mut waited = Vec::new();
    while let Some((_, ticket)) = calls.pop() {
        queue.over(ticket);
        while let Some((members, ticket)) = queue.next() {
            waited.push(members.to_vec());
            calls.push((members[0], ticket));
        }
    }
    assert_eq!(waited.len(), STREAMS + 1);
    assert!(waited.contains(&(20..30).collect()));
    let last = STREAMS as i64 * 100;
    assert!(waited.contains(&(last + 1..last + 20).collect()));
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
