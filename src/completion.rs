// SPDX-License-Identifier: GPL-2.0-or-later
//! From the Gluster thread that finished a request to the host thread that calls its callback.
//!
//! ```text
//!  push (any thread)                               pop (a host thread)
//!  pushed ───────────────── one item at a time ───> after what was put back (`unpop`), if anything was
//!    │  no lock                                      │  a lock of the poppers'
//!    └─ the bell is silent: ring, set the fd         └─ nothing left: clear the fd, silence;
//!       somebody waits: tell                            an item came meanwhile: ring
//! ```
//!
//! The fd is readable whenever an item waits. The host may therefore stop after any
//! item, or run a nested loop inside a callback.
//!
//! An item can be popped, and its image closed, before the thread that pushed it has come to the bell.
//! So what that thread looks at stays for ever, and serves another image later: see [`Pool`].

mod bell;
mod list;
#[cfg(all(test, loom))]
mod models;
mod sync;
#[cfg(all(test, not(loom)))]
mod tests;
mod wait;

use bell::Bell;
pub use list::{Item, Link};
use list::{Line, Pushed, Taken};
use std::io;
use std::marker::PhantomData;
use std::ops::Deref;
use std::os::fd::RawFd;
use sync::{AtomicBool, Mutex, Ordering, fence};
use wait::Waits;

/// Finished items on their way to the host.
pub struct Completions<T> {
    front: Front,
    waits: Apart<Waits>,
    back: Apart<Mutex<Back>>,
    /// An item that changes data has failed.
    failed: AtomicBool,
    items: PhantomData<T>,
}

/// What pushing threads change, on a cache line of its own: only the first item of many has to fetch
/// it from the host thread's processor.
#[repr(align(128))]
struct Front {
    pushed: Pushed,
    bell: Bell,
}

/// On a cache line of its own: what all threads look at and few change, or what host threads change.
#[repr(align(128))]
struct Apart<T>(T);

/// What host threads have, one at a time.
struct Back {
    /// Comes before what was pushed.
    before: Line,
    taken: Taken,
}

impl<T: Item> Completions<T> {
    fn new() -> Completions<T> {
        Completions {
            front: Front {
                pushed: Pushed::new(),
                bell: Bell::new(),
            },
            waits: Apart(Waits::new()),
            back: Apart(Mutex::new(Back {
                before: Line::new(),
                taken: Taken::new(),
            })),
            failed: AtomicBool::new(false),
            items: PhantomData,
        }
    }

    /// An item that changes data has failed: known before it is ready, since items are not always
    /// taken in their order.
    pub fn note_failure(&self) {
        self.failed.store(true, Ordering::SeqCst);
    }

    /// What has failed does not matter any more. Nothing is in flight.
    pub fn forget_failures(&self) {
        self.failed.store(false, Ordering::SeqCst);
    }

    /// Whether one ever has, since the fd was made.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// Whether `pop` may find something, at the price of one look.
    pub fn may_have_items(&self) -> bool {
        self.front.bell.rings()
    }

    /// The fd that is readable while an item waits.
    pub fn fd(&self) -> RawFd {
        self.front.bell.fd()
    }

    /// Adds a finished item, which is in no list. Any thread; never blocks on the host.
    pub fn push(&'static self, item: T) {
        // SAFETY: an item's link stays while it is in a list.
        unsafe { self.front.pushed.push(item.link()) };
        // From here on the item may be gone.
        self.added();
    }

    /// Tells those who wait for it that there is an item.
    fn added(&self) {
        // Pairs with those in `Bell::silence` and `Waits::wait_until`.
        fence(Ordering::SeqCst);
        self.front.bell.ring();
        self.waits.0.tell();
    }

    /// Takes the oldest item. The fd stays readable until `rest`, or a `pop` that finds nothing.
    pub fn pop(&self) -> Option<T> {
        let item = {
            let mut back = self.back.0.lock();
            let before = back.before.pop_first();
            before.or_else(|| self.front.pushed.pop(&mut back.taken))
        };
        match item {
            // SAFETY: only items of this type come here.
            Some(link) => Some(unsafe { T::from_link(link) }),
            None => {
                // Also when the bell is silent: a thread may have been slow to ring it.
                self.silence();
                None
            }
        }
    }

    /// Puts items in that come before all others.
    pub fn unpop(&self, items: impl DoubleEndedIterator<Item = T>) {
        {
            let mut back = self.back.0.lock();
            for item in items.rev() {
                // SAFETY: an item's link stays while it is in a list.
                unsafe { back.before.push_first(item.link()) };
            }
        }
        self.added();
    }

    /// Makes the fd unreadable, unless an item waits. Once after all items that were popped, not
    /// after each: it costs a system call, and so does the next push.
    pub fn rest(&self) {
        if self.front.bell.rings() && self.is_empty() {
            self.silence();
        }
    }

    fn silence(&self) {
        self.front.bell.silence();
        if !self.is_empty() {
            self.front.bell.ring();
        }
    }

    /// Whether `pop` would find nothing.
    pub fn is_empty(&self) -> bool {
        let back = self.back.0.lock();
        back.before.is_empty() && self.front.pushed.is_empty(&back.taken)
    }

    /// Takes the first item that is `wanted` out of turn.
    pub fn take(&self, wanted: impl Fn(T) -> bool) -> Option<T> {
        let mut back = self.back.0.lock();
        while let Some(link) = self.front.pushed.pop(&mut back.taken) {
            // SAFETY: an item's link stays while it is in a list.
            unsafe { back.before.push_last(link) };
        }
        // SAFETY: only items of this type come here.
        let link = back
            .before
            .remove(|link| wanted(unsafe { T::from_link(link) }))?;
        // SAFETY: as above.
        Some(unsafe { T::from_link(link) })
    }

    /// Blocks until `condition` holds. It is looked at after each push and each `changed`; it may
    /// call `take` and `is_empty`, not `wait_until`.
    pub fn wait_until(&self, condition: impl FnMut() -> bool) {
        self.waits.0.wait_until(condition);
    }

    /// Lets the waiting threads look at their condition again.
    pub fn changed(&self) {
        // Pairs with the one in `Waits::wait_until`.
        fence(Ordering::SeqCst);
        self.waits.0.tell();
    }
}

/// The completions that no image uses now. They are never freed: as many as images were open at one
/// time.
pub struct Pool<T: 'static>(parking_lot::Mutex<Vec<&'static Completions<T>>>);

impl<T: Item> Pool<T> {
    /// Empty.
    pub const fn new() -> Pool<T> {
        Pool(parking_lot::Mutex::new(Vec::new()))
    }

    /// Completions with an fd.
    pub fn open(&'static self) -> io::Result<Lease<T>> {
        let idle = self.0.lock().pop();
        let completions = idle.unwrap_or_else(|| Box::leak(Box::new(Completions::new())));
        completions.front.bell.open().inspect_err(|_| {
            self.0.lock().push(completions);
        })?;
        completions.failed.store(false, Ordering::SeqCst);
        Ok(Lease {
            completions,
            pool: self,
        })
    }
}

/// Completions in use, with no item left in them at the end.
pub struct Lease<T: Item + 'static> {
    completions: &'static Completions<T>,
    pool: &'static Pool<T>,
}

impl<T: Item> Lease<T> {
    /// Themselves; what is pushed after the lease has ended would be another image's.
    pub fn get(&self) -> &'static Completions<T> {
        self.completions
    }
}

impl<T: Item> Deref for Lease<T> {
    type Target = Completions<T>;

    fn deref(&self) -> &Completions<T> {
        self.completions
    }
}

impl<T: Item> Drop for Lease<T> {
    fn drop(&mut self) {
        self.completions.front.bell.shut();
        let is_empty = self.is_empty();
        debug_assert!(is_empty, "completions are given back with an item in them");
        // The next image would take it for one of its own.
        if is_empty {
            self.pool.0.lock().push(self.completions);
        }
    }
}
