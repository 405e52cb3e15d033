// SPDX-License-Identifier: GPL-2.0-or-later
//! From the Gluster thread that finished a request to the host thread that calls its callback.
//!
//! ```text
//!  push (any thread)                              pop (host thread)
//!  ready ──────────────────── swapped when ─────> local ──> one item at a time
//!    │                        local is empty        │
//!    └─ armed false -> true: one byte into the pipe └─ rest, both empty: byte out, armed -> false
//! ```
//!
//! The pipe is readable whenever an item waits in either list, and holds one byte at most but for a
//! race that adds one per pushing thread: it can never fill. The host may therefore stop after any
//! item, or run a nested loop inside a callback.

use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::time::Duration;

/// Finished items on their way to the host.
pub struct Completions<T> {
    ready: Mutex<VecDeque<T>>,
    /// Taken before `ready`, never after it.
    local: Mutex<VecDeque<T>>,
    /// Whether a byte is in the pipe, or about to be.
    armed: AtomicBool,
    pipe: Pipe,
    /// Threads inside `wait_until`.
    waiters: AtomicUsize,
    wait_lock: Mutex<()>,
    wait: Condvar,
    /// Foreign threads that still touch this value.
    visitors: AtomicUsize,
    /// An item that changes data has failed.
    failed: AtomicBool,
}

impl<T: Copy + PartialEq> Completions<T> {
    /// Makes the pipe.
    pub fn new() -> io::Result<Completions<T>> {
        Ok(Completions {
            ready: Mutex::new(VecDeque::with_capacity(256)),
            local: Mutex::new(VecDeque::with_capacity(256)),
            armed: AtomicBool::new(false),
            pipe: Pipe::new()?,
            waiters: AtomicUsize::new(0),
            wait_lock: Mutex::new(()),
            wait: Condvar::new(),
            visitors: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
        })
    }

    /// An item that changes data has failed: known before it is ready, since items are not always
    /// taken in their order.
    pub fn note_failure(&self) {
        self.failed.store(true, Ordering::SeqCst);
    }

    /// Whether one ever has.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// The fd that is readable while an item waits.
    pub fn fd(&self) -> RawFd {
        self.pipe.reader.as_raw_fd()
    }

    /// Adds a finished item. Any thread; never blocks on the host.
    pub fn push(&self, item: T) {
        self.ready.lock().push_back(item);
        self.arm();
        self.changed();
    }

    /// Takes the oldest item. The fd stays readable until `rest`, or a `pop` that finds nothing.
    pub fn pop(&self) -> Option<T> {
        let item = {
            let mut local = self.local.lock();
            if local.is_empty() {
                std::mem::swap(&mut *local, &mut *self.ready.lock());
            }
            local.pop_front()
        };
        if item.is_none() {
            // Also when not armed: a pushing thread may have been slow to put its byte in.
            self.disarm();
        }
        item
    }

    /// Puts items in that come before all others.
    pub fn unpop(&self, items: impl DoubleEndedIterator<Item = T>) {
        {
            let mut local = self.local.lock();
            for item in items.rev() {
                local.push_front(item);
            }
        }
        self.arm();
        self.changed();
    }

    /// Makes the fd unreadable, unless an item waits. Once after all items that were popped, not
    /// after each: it costs a system call, and so does the next push.
    pub fn rest(&self) {
        if self.armed.load(Ordering::SeqCst) && self.len() == 0 {
            self.disarm();
        }
    }

    fn arm(&self) {
        if !self.armed.swap(true, Ordering::SeqCst) {
            self.pipe.put_byte();
        }
    }

    fn disarm(&self) {
        self.pipe.take_bytes();
        self.armed.store(false, Ordering::SeqCst);
        // What came between the caller's look and the store saw `armed` and left the pipe alone.
        if self.len() > 0 {
            self.arm();
        }
    }

    /// Takes the first item that is `wanted` out of turn.
    pub fn take(&self, wanted: impl Fn(T) -> bool) -> Option<T> {
        let mut local = self.local.lock();
        let mut ready = self.ready.lock();
        let lists: [&mut VecDeque<T>; 2] = [&mut local, &mut ready];
        lists.into_iter().find_map(|list| {
            let at = list.iter().position(|&item| wanted(item))?;
            list.remove(at)
        })
    }

    /// How many items wait.
    pub fn len(&self) -> usize {
        let local = self.local.lock();
        local.len() + self.ready.lock().len()
    }

    /// Blocks until `condition` holds. It is looked at after each push and each `changed`; it may
    /// call `take` and `len`, not `wait_until`.
    pub fn wait_until(&self, mut condition: impl FnMut() -> bool) {
        self.waiters.fetch_add(1, Ordering::SeqCst);
        // Pairs with the fence in `changed`: either we see the change or the changer sees us.
        fence(Ordering::SeqCst);
        let mut guard = self.wait_lock.lock();
        while !condition() {
            self.wait.wait(&mut guard);
        }
        drop(guard);
        self.waiters.fetch_sub(1, Ordering::SeqCst);
    }

    /// Lets the waiting threads look at their condition again.
    pub fn changed(&self) {
        fence(Ordering::SeqCst);
        if self.waiters.load(Ordering::SeqCst) > 0 {
            // A waiter holds the lock from its look to its sleep, so it cannot sleep through this.
            drop(self.wait_lock.lock());
            self.wait.notify_all();
        }
    }

    /// Held by a thread while it hands an item over: the item can be popped, and its image closed,
    /// before that thread has finished here.
    pub fn visit(&self) -> Visit<'_> {
        self.visitors.fetch_add(1, Ordering::Relaxed);
        Visit(&self.visitors)
    }

    /// Waits until no visit is left, so that this value and its fds can go. Visitors are on their
    /// way out and wait for nothing.
    pub fn wait_for_visitors(&self) {
        while self.visitors.load(Ordering::Acquire) > 0 {
            // Not a mere yield: a host thread of real-time priority would not let them run.
            std::thread::sleep(Duration::from_micros(20));
        }
    }
}

/// See [`Completions::visit`].
pub struct Visit<'a>(&'a AtomicUsize);

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Pipe {
    fn new() -> io::Result<Pipe> {
        let mut fds = [0; 2];
        // SAFETY: `fds` has room for two.
        if unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: fresh fds that nobody else owns.
        let [reader, writer] = fds.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
        Ok(Pipe { reader, writer })
    }

    fn put_byte(&self) {
        // SAFETY: one readable byte. Neither EINTR (no signals on a nonblocking pipe write) nor
        // EAGAIN (a handful of bytes at most) can happen.
        unsafe { libc::write(self.writer.as_raw_fd(), [1u8].as_ptr().cast(), 1) };
    }

    fn take_bytes(&self) {
        let mut bytes = [0u8; 64];
        // SAFETY: room for 64 bytes; an empty pipe answers EAGAIN.
        unsafe {
            libc::read(
                self.reader.as_raw_fd(),
                bytes.as_mut_ptr().cast(),
                bytes.len(),
            )
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn readable<T>(completions: &Completions<T>) -> bool {
        let mut poll = libc::pollfd {
            fd: completions.pipe.reader.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one pollfd.
        unsafe { libc::poll(&mut poll, 1, 0) == 1 }
    }

    #[test]
    fn the_fd_is_readable_while_an_item_waits() {
        let completions = Completions::new().unwrap();
        assert!(!readable(&completions));
        for item in 0..3 {
            completions.push(item);
        }
        for item in 0..3 {
            assert!(readable(&completions));
            assert_eq!(completions.pop(), Some(item));
            completions.rest();
        }
        assert!(!readable(&completions));
        assert_eq!(completions.pop(), None);
        completions.push(9);
        assert!(readable(&completions));
        assert_eq!(completions.pop(), Some(9));
        completions.unpop([7, 8].into_iter());
        completions.rest();
        assert!(readable(&completions));
        assert_eq!((completions.pop(), completions.pop()), (Some(7), Some(8)));
        assert!(
            readable(&completions),
            "until somebody says that it is the last"
        );
        assert_eq!(completions.pop(), None);
        assert!(!readable(&completions));
    }

    #[test]
    fn take_leaves_the_others_in_order() {
        let completions = Completions::new().unwrap();
        for item in 0..4 {
            completions.push(item);
        }
        assert_eq!(completions.pop(), Some(0));
        completions.push(4);
        assert_eq!(completions.take(|item| item > 1), Some(2));
        assert_eq!(completions.take(|item| item == 4), Some(4));
        assert_eq!(completions.take(|item| item == 7), None);
        assert_eq!((completions.pop(), completions.pop()), (Some(1), Some(3)));
        completions.rest();
        assert!(!readable(&completions));
    }

    #[test]
    fn nothing_is_lost_between_two_threads_that_poll_and_push() {
        const ITEMS: usize = 200_000;
        let completions = Arc::new(Completions::new().unwrap());
        let pushers: Vec<_> = (0..2)
            .map(|half| {
                let completions = completions.clone();
                std::thread::spawn(move || {
                    for item in 0..ITEMS / 2 {
                        completions.push(item * 2 + half);
                    }
                })
            })
            .collect();
        let mut seen = vec![false; ITEMS];
        let mut left = ITEMS;
        while left > 0 {
            let mut poll = libc::pollfd {
                fd: completions.fd(),
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: one pollfd.
            let ready = unsafe { libc::poll(&mut poll, 1, 20_000) };
            assert_eq!(ready, 1, "a wake-up was lost with {left} items to come");
            // As a dispatch does: some items, then rest.
            for _ in 0..completions.len().max(1) {
                if let Some(item) = completions.pop() {
                    assert!(!std::mem::replace(&mut seen[item], true));
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
        let completions = Arc::new(Completions::new().unwrap());
        for round in 0..2_000 {
            let pusher = {
                let completions = completions.clone();
                std::thread::spawn(move || completions.push(round))
            };
            completions.wait_until(|| completions.take(|item| item == round).is_some());
            pusher.join().unwrap();
        }
    }
}
