// SPDX-License-Identifier: GPL-2.0-or-later
//! Two lists through a link in each item: one that any thread adds to without a lock, and a plain one.

use super::sync::{AtomicPtr, Ordering, prefetch};
use std::ptr::{NonNull, null_mut};

/// The place in an item that leads to the next one.
pub struct Link {
    next: AtomicPtr<Link>,
}

impl Link {
    /// In no list.
    pub fn new() -> Link {
        Link {
            next: AtomicPtr::new(null_mut()),
        }
    }
}

/// Something that can stand in a list: a reference to what holds the link.
///
/// # Safety
/// The link stays where it is while the item is in a list, and `from_link` of it is the item again.
pub unsafe trait Item: Copy + PartialEq {
    /// Its link.
    fn link(self) -> NonNull<Link>;

    /// # Safety
    /// `link` came from `link` of an item of this type.
    unsafe fn from_link(link: NonNull<Link>) -> Self;
}

/// The end of a queue that any thread adds to.
///
/// A pusher first makes its item the last one, then tells the way to it, either in the item before or
/// in `first`. It may be interrupted in between: then neither its item nor the one before can be
/// taken, nor those behind, though their pushers are through and have rung. They are not lost: the
/// queue passes for empty, the host is let sleep, and that pusher rings after it has told the way,
/// which leads to them all. The host does not spin meanwhile either, which would keep a pusher of
/// lower priority from going on.
pub(super) struct Pushed {
    last: AtomicPtr<Link>,
    /// Where the queue begins, when it was empty before.
    first: AtomicPtr<Link>,
}

/// The other end, which one thread at a time takes from.
pub(super) struct Taken {
    /// The next item, when it is known.
    next: *mut Link,
}

// SAFETY: links are shared between threads by design.
unsafe impl Send for Taken {}

impl Taken {
    pub(super) fn new() -> Taken {
        Taken { next: null_mut() }
    }
}

impl Pushed {
    pub(super) fn new() -> Pushed {
        Pushed {
            last: AtomicPtr::new(null_mut()),
            first: AtomicPtr::new(null_mut()),
        }
    }

    /// # Safety
    /// The link is in no list, and stays until it was taken.
    pub(super) unsafe fn push(&self, link: NonNull<Link>) {
        // SAFETY: the caller's promise. Relaxed: published by what follows.
        unsafe { link.as_ref() }
            .next
            .store(null_mut(), Ordering::Relaxed);
        // Release: the null comes before the way that the next pusher stores in its place. Acquire:
        // that is ours; and so does `pop`'s null in `first`.
        let before = self.last.swap(link.as_ptr(), Ordering::AcqRel);
        let way = match NonNull::new(before) {
            None => &self.first,
            // SAFETY: the last item stays in the queue until it leads to the next.
            Some(before) => unsafe { &(*before.as_ptr()).next },
        };
        // Release: whoever takes the item sees what became of it.
        way.store(link.as_ptr(), Ordering::Release);
    }

    /// The oldest item. None also while a pusher has yet to tell the way from it or to it.
    pub(super) fn pop(&self, taken: &mut Taken) -> Option<NonNull<Link>> {
        if taken.next.is_null() {
            // Acquire, here and below: what the pusher did to the item.
            taken.next = self.first.load(Ordering::Acquire);
            if taken.next.is_null() {
                return None;
            }
            // Relaxed: no pusher stores there before the exchange below has made the queue empty.
            self.first.store(null_mut(), Ordering::Relaxed);
        }
        let link = NonNull::new(taken.next)?;
        // SAFETY: links stay while they are in a list.
        let way = &unsafe { &*taken.next }.next;
        let mut next = way.load(Ordering::Acquire);
        if next.is_null() {
            // Release: the null in `first` comes before what the next pusher stores there.
            let alone = self.last.compare_exchange(
                link.as_ptr(),
                null_mut(),
                Ordering::Release,
                Ordering::Relaxed,
            );
            if alone.is_ok() {
                taken.next = null_mut();
                return Some(link);
            }
            // Somebody has come behind it.
            next = way.load(Ordering::Acquire);
            if next.is_null() {
                return None;
            }
        }
        taken.next = next;
        // While this item is dealt with, the next one comes from the pusher's processor.
        prefetch(next);
        Some(link)
    }

    /// Whether `pop` would find nothing.
    ///
    /// Relaxed for `last`: what it says is no older than the push of `next`, so that an item that is
    /// alone is seen. If something has come behind it unseen, the host looks once more for nothing.
    pub(super) fn is_empty(&self, taken: &Taken) -> bool {
        let mut next = taken.next;
        if next.is_null() {
            next = self.first.load(Ordering::Acquire);
        }
        // SAFETY: links stay while they are in a list.
        next.is_null()
            || unsafe { &*next }.next.load(Ordering::Acquire).is_null()
                && self.last.load(Ordering::Relaxed) != next
    }
}

/// Items that wait in line. One thread at a time has it.
pub(super) struct Line {
    first: *mut Link,
    /// Of an empty line, anything.
    last: *mut Link,
}

// SAFETY: as far as the line goes, links are touched by the thread that has the line only.
unsafe impl Send for Line {}

impl Line {
    pub(super) fn new() -> Line {
        Line {
            first: null_mut(),
            last: null_mut(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    pub(super) fn pop_first(&mut self) -> Option<NonNull<Link>> {
        let first = NonNull::new(self.first)?;
        // SAFETY: links stay while they are in a list.
        self.first = unsafe { first.as_ref() }.next.load(Ordering::Relaxed);
        Some(first)
    }

    /// # Safety
    /// The link is in no list, and stays until it was taken out.
    pub(super) unsafe fn push_first(&mut self, link: NonNull<Link>) {
        // SAFETY: the caller's promise.
        unsafe { link.as_ref() }
            .next
            .store(self.first, Ordering::Relaxed);
        if self.first.is_null() {
            self.last = link.as_ptr();
        }
        self.first = link.as_ptr();
    }

    /// # Safety
    /// As for `push_first`.
    pub(super) unsafe fn push_last(&mut self, link: NonNull<Link>) {
        // SAFETY: the caller's promise.
        unsafe { link.as_ref() }
            .next
            .store(null_mut(), Ordering::Relaxed);
        if self.first.is_null() {
            self.first = link.as_ptr();
        } else {
            // SAFETY: links stay while they are in a list.
            unsafe { &*self.last }
                .next
                .store(link.as_ptr(), Ordering::Relaxed);
        }
        self.last = link.as_ptr();
    }

    /// Takes the first that is `wanted` out.
    pub(super) fn remove(
        &mut self,
        wanted: impl Fn(NonNull<Link>) -> bool,
    ) -> Option<NonNull<Link>> {
        let mut before: *mut Link = null_mut();
        let mut at = self.first;
        while let Some(link) = NonNull::new(at) {
            // SAFETY: links stay while they are in a list, here and below.
            let next = unsafe { link.as_ref() }.next.load(Ordering::Relaxed);
            if wanted(link) {
                if before.is_null() {
                    self.first = next;
                } else {
                    // SAFETY: as above.
                    unsafe { (*before).next.store(next, Ordering::Relaxed) };
                }
                if next.is_null() {
                    self.last = before;
                }
                return Some(link);
            }
            before = at;
            at = next;
        }
        None
    }
}
