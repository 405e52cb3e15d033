// SPDX-License-Identifier: GPL-2.0-or-later
//! Every order in which few threads can come, and every value that the memory model lets them see.

use super::sync::{AtomicU64, Ordering};
use super::*;
use loom::thread;
use std::ptr::NonNull;

/// In the place of the kernel's.
pub struct EventFd {
    /// Times that it was set since it was cleared. Each call is one step, as in the kernel, but orders
    /// nothing else.
    count: AtomicU64,
    /// loom complains when it is used while another thread opens or closes it.
    open: loom::cell::UnsafeCell<bool>,
}

// SAFETY: loom watches over the cell.
unsafe impl Sync for EventFd {}

impl EventFd {
    pub fn new() -> EventFd {
        EventFd {
            count: AtomicU64::new(0),
            open: loom::cell::UnsafeCell::new(false),
        }
    }

    pub fn open(&self) -> io::Result<()> {
        self.count.store(0, Ordering::Relaxed);
        // SAFETY: loom watches over it, here and below.
        self.open.with_mut(|open| unsafe { *open = true });
        Ok(())
    }

    pub fn close(&self) {
        // SAFETY: as above.
        self.open.with_mut(|open| unsafe { *open = false });
    }

    pub fn raw(&self) -> RawFd {
        0
    }

    pub fn set(&self) {
        self.assert_open();
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    pub fn clear(&self) {
        self.assert_open();
        self.count.swap(0, Ordering::Relaxed);
    }

    pub fn is_readable(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    fn assert_open(&self) {
        // SAFETY: as above.
        assert!(self.open.with(|open| unsafe { *open }), "a closed fd");
    }
}

#[repr(C)]
struct Node {
    link: Link,
    number: loom::cell::UnsafeCell<u64>,
}

#[derive(Clone, Copy, PartialEq)]
struct Numbered(NonNull<Node>);

// SAFETY: passed from the thread that pushes to the one that takes.
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
    fn new() -> Numbered {
        Numbered(NonNull::from(Box::leak(Box::new(Node {
            link: Link::new(),
            number: loom::cell::UnsafeCell::new(0),
        }))))
    }
    /// loom complains when a taker could see it half.
    fn write(self, number: u64) -> Numbered {
        // SAFETY: nodes stay for ever; loom watches over the number.
        unsafe { self.0.as_ref().number.with_mut(|place| *place = number) };
        self
    }
    fn read(self) -> u64 {
        // SAFETY: as above.
        unsafe { self.0.as_ref().number.with(|place| *place) }
    }
}

/// Every order, but for those in which threads are interrupted more than three times; few bugs need
/// two.
fn model(body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.check(body);
}

fn pool() -> &'static Pool<Numbered> {
    Box::leak(Box::new(Pool::new()))
}

fn readable(completions: &Completions<Numbered>) -> bool {
    completions.front.bell.is_readable()
}

/// As a host that its poll loop has called.
fn dispatch(completions: &Completions<Numbered>, most: usize) -> Vec<u64> {
    let popped = (0..most)
        .map_while(|_| completions.pop())
        .map(Numbered::read);
    let popped = popped.collect();
    completions.rest();
    popped
}

/// At the end, when all are out: whatever is left comes, and the fd has said so.
fn the_rest(completions: &Completions<Numbered>, mut popped: Vec<u64>, all: &[u64]) {
    if popped.len() < all.len() {
        assert!(readable(completions), "a wake-up was lost");
    }
    popped.extend(dispatch(completions, all.len() + 1));
    assert!(!readable(completions));
    popped.sort_unstable();
    assert_eq!(popped, all);
}

fn pusher(
    completions: &'static Completions<Numbered>,
    numbers: &'static [u64],
) -> thread::JoinHandle<()> {
    let nodes: Vec<_> = numbers.iter().map(|_| Numbered::new()).collect();
    thread::spawn(move || {
        for (node, &number) in nodes.into_iter().zip(numbers) {
            completions.push(node.write(number));
        }
    })
}

#[test]
fn loom_two_pushers_and_a_host() {
    model(|| {
        let lease = pool().open().unwrap();
        let pushers = [&[1][..], &[2]].map(|numbers| pusher(lease.get(), numbers));
        let popped = dispatch(&lease, 2);
        for pusher in pushers {
            pusher.join().unwrap();
        }
        the_rest(&lease, popped, &[1, 2]);
    });
}

#[test]
fn loom_one_pusher_is_in_order() {
    model(|| {
        let lease = pool().open().unwrap();
        let pusher = pusher(lease.get(), &[1, 2, 3]);
        let mut popped = dispatch(&lease, 2);
        popped.extend(dispatch(&lease, 1));
        pusher.join().unwrap();
        assert!(popped.len() == 3 || readable(&lease), "a wake-up was lost");
        popped.extend(dispatch(&lease, 4));
        assert_eq!(popped, [1, 2, 3]);
    });
}

#[test]
fn loom_two_hosts_and_a_pusher() {
    model(|| {
        let lease = pool().open().unwrap();
        let completions = lease.get();
        let pusher = pusher(completions, &[1]);
        let host = thread::spawn(move || dispatch(completions, 1));
        let mut popped = dispatch(&lease, 1);
        popped.extend(host.join().unwrap());
        pusher.join().unwrap();
        the_rest(&lease, popped, &[1]);
    });
}

#[test]
fn loom_unpop_and_rest() {
    model(|| {
        let lease = pool().open().unwrap();
        let completions = lease.get();
        completions.push(Numbered::new().write(1));
        let host = thread::spawn(move || dispatch(completions, 1));
        completions.unpop([Numbered::new().write(2)].into_iter());
        let mut popped = dispatch(&lease, 1);
        popped.extend(host.join().unwrap());
        the_rest(&lease, popped, &[1, 2]);
    });
}

#[test]
fn loom_take_and_two_pushers() {
    model(|| {
        let lease = pool().open().unwrap();
        let pushers = [&[1][..], &[2]].map(|numbers| pusher(lease.get(), numbers));
        let mut taken = None;
        lease.wait_until(|| {
            taken = lease.take(|item| item.read() == 2);
            taken.is_some()
        });
        for pusher in pushers {
            pusher.join().unwrap();
        }
        the_rest(&lease, vec![2], &[1, 2]);
    });
}

#[test]
fn loom_wait_for_a_change() {
    model(|| {
        let lease = pool().open().unwrap();
        let completions = lease.get();
        let flag = loom::sync::Arc::new(AtomicU64::new(0));
        let changer = {
            let flag = flag.clone();
            thread::spawn(move || {
                flag.store(1, Ordering::Relaxed);
                completions.changed();
            })
        };
        completions.wait_until(|| flag.load(Ordering::Relaxed) == 1);
        changer.join().unwrap();
    });
}

/// The image is closed the moment its only item was taken, and the next one gets the same completions.
#[test]
fn loom_a_late_pusher_and_a_close() {
    model(|| {
        let pool = pool();
        let lease = pool.open().unwrap();
        let pusher = pusher(lease.get(), &[1]);
        lease.wait_until(|| lease.take(|_| true).is_some());
        drop(lease);
        let next = pool.open().unwrap();
        assert!(next.pop().is_none());
        next.get().push(Numbered::new().write(2));
        pusher.join().unwrap();
        the_rest(&next, vec![], &[2]);
    });
}
