// SPDX-License-Identifier: GPL-2.0-or-later
//! Threads of the host that wait for something without their poll loop.

use super::sync::{AtomicUsize, Condvar, Mutex, Ordering, fence};

pub(super) struct Waits {
    /// Threads inside `wait_until`.
    waiting: AtomicUsize,
    /// How often they were told to look again.
    told: Mutex<u64>,
    again: Condvar,
}

impl Waits {
    pub(super) fn new() -> Waits {
        Waits {
            waiting: AtomicUsize::new(0),
            told: Mutex::new(0),
            again: Condvar::new(),
        }
    }

    /// Blocks until `condition` holds; it is looked at with no lock held.
    pub(super) fn wait_until(&self, mut condition: impl FnMut() -> bool) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // Pairs with the changer's: either the condition sees the change, or the changer sees us.
        fence(Ordering::SeqCst);
        loop {
            let before = *self.told.lock();
            if condition() {
                break;
            }
            let mut told = self.told.lock();
            while *told == before {
                self.again.wait(&mut told);
            }
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// Something that a condition depends on has changed, before a fence.
    pub(super) fn tell(&self) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            *self.told.lock() += 1;
            self.again.notify_all();
        }
    }
}
