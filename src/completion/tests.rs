// SPDX-License-Identifier: GPL-2.0-or-later
//! No wake-up is lost, and items come in order.

use super::*;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};

#[repr(C)]
struct Node {
    link: Link,
    number: usize,
}

#[derive(Clone, Copy)]
struct Numbered(NonNull<Node>);

// SAFETY: the number does not change.
unsafe impl Send for Numbered {}
// SAFETY: as above.
unsafe impl Sync for Numbered {}

// SAFETY: nodes stay for ever, and begin with their link.
unsafe impl Item for Numbered {
    fn link(self) -> NonNull<Link> {
        self.0.cast()
    }

    unsafe fn from_link(link: NonNull<Link>) -> Numbered {
        Numbered(link.cast())
    }
}

impl Numbered {
    fn number(self) -> usize {
        // SAFETY: nodes stay for ever.
        unsafe { self.0.as_ref() }.number
    }
}

impl PartialEq for Numbered {
    fn eq(&self, other: &Numbered) -> bool {
        self.number() == other.number()
    }
}

impl std::fmt::Debug for Numbered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.number().fmt(f)
    }
}

fn item(number: usize) -> Numbered {
    Numbered(NonNull::from(Box::leak(Box::new(Node {
        link: Link::new(),
        number,
    }))))
}

static POOL: Pool<Numbered> = Pool::new();

fn open() -> Lease<Numbered> {
    POOL.open().unwrap()
}

fn poll(fd: RawFd, timeout_ms: i32) -> bool {
    let mut poll = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one pollfd.
    unsafe { libc::poll(&mut poll, 1, timeout_ms) == 1 }
}

fn readable(completions: &Completions<Numbered>) -> bool {
    poll(completions.fd(), 0)
}

#[test]
fn the_fd_is_readable_while_an_item_waits() {
    let completions = open();
    assert!(!readable(&completions));
    for number in 0..3 {
        completions.get().push(item(number));
    }
    for number in 0..3 {
        assert!(readable(&completions));
        assert_eq!(completions.pop(), Some(item(number)));
        completions.rest();
    }
    assert!(!readable(&completions));
    assert_eq!(completions.pop(), None);
    completions.get().push(item(9));
    assert!(readable(&completions));
    assert_eq!(completions.pop(), Some(item(9)));
    completions.unpop([item(7), item(8)].into_iter());
    completions.rest();
    assert!(readable(&completions));
    assert_eq!(
        (completions.pop(), completions.pop()),
        (Some(item(7)), Some(item(8)))
    );
    assert!(
        readable(&completions),
        "until somebody says that it is the last"
    );
    assert_eq!(completions.pop(), None);
    assert!(!readable(&completions));
}

#[test]
fn take_leaves_the_others_in_order() {
    let completions = open();
    for number in 0..4 {
        completions.get().push(item(number));
    }
    assert_eq!(completions.pop(), Some(item(0)));
    completions.get().push(item(4));
    let take = |wanted: &dyn Fn(usize) -> bool| completions.take(|item| wanted(item.number()));
    assert_eq!(take(&|number| number > 1), Some(item(2)));
    assert_eq!(take(&|number| number == 4), Some(item(4)));
    assert_eq!(take(&|number| number == 7), None);
    // The last one was taken: what comes now stands behind the one before it.
    completions.get().push(item(5));
    assert!(!completions.is_empty());
    completions.unpop([item(0)].into_iter());
    let rest = std::iter::from_fn(|| completions.pop());
    assert_eq!(rest.map(Numbered::number).collect::<Vec<_>>(), [0, 1, 3, 5]);
    assert!(!readable(&completions));
}

#[test]
fn what_one_thread_pushes_comes_in_that_order() {
    const ITEMS: usize = 100_000;
    let completions = open();
    let all = completions.get();
    let pushers = [0, 1].map(|half| {
        std::thread::spawn(move || (0..ITEMS).for_each(|at| all.push(item(at * 2 + half))))
    });
    let mut next = [0, 1];
    while next != [ITEMS * 2, ITEMS * 2 + 1] {
        if let Some(popped) = completions.pop() {
            let number = popped.number();
            assert_eq!(number, next[number % 2]);
            next[number % 2] += 2;
        }
    }
    for pusher in pushers {
        pusher.join().unwrap();
    }
}

#[test]
fn nothing_is_lost_between_two_threads_that_poll_and_push() {
    const ITEMS: usize = 200_000;
    let completions = open();
    let all = completions.get();
    let pushers: Vec<_> = (0..2)
        .map(|half| {
            std::thread::spawn(move || {
                for number in 0..ITEMS / 2 {
                    all.push(item(number * 2 + half));
                }
            })
        })
        .collect();
    let mut seen = vec![false; ITEMS];
    let mut left = ITEMS;
    while left > 0 {
        assert!(
            poll(completions.fd(), 20_000),
            "a wake-up was lost with {left} items to come"
        );
        // As a dispatch does: some items, then rest.
        for _ in 0..3 {
            if let Some(item) = completions.pop() {
                assert!(!std::mem::replace(&mut seen[item.number()], true));
                left -= 1;
            }
        }
        completions.rest();
    }
    for pusher in pushers {
        pusher.join().unwrap();
    }
}

#[test]
fn a_waiter_is_woken_by_a_push() {
    let completions = open();
    let all = completions.get();
    for round in 0..2_000 {
        let pusher = std::thread::spawn(move || all.push(item(round)));
        completions.wait_until(|| completions.take(|item| item.number() == round).is_some());
        pusher.join().unwrap();
    }
}

/// Each image is closed the moment its only item was popped, wherever its pusher is by then; the next
/// image gets the same completions.
#[test]
fn a_pusher_that_is_late_touches_neither_a_closed_fd_nor_the_next_image() {
    static ONE: Pool<Numbered> = Pool::new();
    let stop: &AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
    // So that threads are interrupted anywhere.
    let spinner = std::thread::spawn(move || while !stop.load(Ordering::Relaxed) {});
    let (to_pusher, work) =
        std::sync::mpsc::channel::<(&'static Completions<Numbered>, Numbered)>();
    let pusher = std::thread::spawn(move || {
        for (completions, item) in work {
            completions.push(item);
        }
    });
    let nodes = [0, 1].map(item);
    for round in 0..20_000 {
        let completions = ONE.open().unwrap();
        to_pusher
            .send((completions.get(), nodes[round % 2]))
            .unwrap();
        while completions.pop().is_none() {}
        assert!(completions.is_empty());
    }
    stop.store(true, Ordering::Relaxed);
    drop(to_pusher);
    pusher.join().unwrap();
    spinner.join().unwrap();
    assert_eq!(ONE.0.lock().len(), 1);
}
