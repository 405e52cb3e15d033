// SPDX-License-Identifier: GPL-2.0-or-later
//! The slots of one image's requests: they never move, are used again, and are found by a handle
//! that goes stale.

use super::{Ask, Seen, Slot};
use crate::completion::{Completions, Item, Link, Pool};
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

/// Names one request of one image, and no later request in the same slot (2^28 requests of that
/// slot long).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle {
    /// Index of the slot.
    pub index: u32,
    /// Which request in that slot.
    pub generation: u32,
}

impl Handle {
    /// Bits of `index`.
    pub const INDEX_BITS: u32 = 20;
    /// As many requests may be in flight on one image.
    pub const MOST: u32 = (1 << Self::INDEX_BITS) - 1;
    /// Bits of `generation`.
    pub const GENERATION_BITS: u32 = 28;
}

/// A slot of a slab that is still there: the image keeps its slab while a request is in flight or a
/// thread of the host is in the driver.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SlotRef(NonNull<Slot>);

// SAFETY: a Slot is shared between threads by design; see the table of owners in the parent module.
unsafe impl Send for SlotRef {}
// SAFETY: as above.
unsafe impl Sync for SlotRef {}

impl SlotRef {
    /// # Safety
    /// The slot is one of a slab that is still there.
    pub(super) unsafe fn new(slot: *const Slot) -> SlotRef {
        // SAFETY: the caller's.
        SlotRef(unsafe { NonNull::new_unchecked(slot.cast_mut()) })
    }

    pub(super) fn slot<'a>(self) -> &'a Slot {
        // SAFETY: slots are freed with their slab only, which outlives every SlotRef (see the
        // type).
        unsafe { self.0.as_ref() }
    }
}

// SAFETY: a Slot never moves, and its link comes first in it.
unsafe impl Item for SlotRef {
    fn link(self) -> NonNull<Link> {
        self.0.cast()
    }

    unsafe fn from_link(link: NonNull<Link>) -> SlotRef {
        SlotRef(link.cast())
    }
}

/// Where the completions of images come from.
pub static COMPLETIONS: Pool<SlotRef> = Pool::new();

/// All slots of an image.
pub struct Slab {
    all: Vec<NonNull<Slot>>,
    /// The one that was used last comes first: it is still in the processor's cache.
    free: Vec<SlotRef>,
    completions: &'static Completions<SlotRef>,
    first_generation: u32,
}

// SAFETY: the pointers are owned by the slab; slots are shared between threads by design.
unsafe impl Send for Slab {}

impl Slab {
    /// Finished requests go to `completions`. `seed` keeps handles of different images apart.
    pub fn new(completions: &'static Completions<SlotRef>, seed: u64) -> Slab {
        Slab {
            all: Vec::new(),
            free: Vec::new(),
            completions,
            first_generation: seed.wrapping_mul(0x9E37_79B9) as u32 & mask(),
        }
    }

    /// Makes a request; `None` when [`Handle::MOST`] are in flight.
    pub fn begin(&mut self, ask: &Ask<'_>) -> Option<(SlotRef, Handle)> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => self.one_more()?,
        };
        slot.begin(ask);
        let handle = Handle {
            index: slot.slot().index,
            generation: slot.slot().generation.load(Ordering::Relaxed),
        };
        Some((slot, handle))
    }

    fn one_more(&mut self) -> Option<SlotRef> {
        let index = self.all.len() as u32;
        if index >= Handle::MOST {
            return None;
        }
        let slot = Box::new(Slot::new(index, self.first_generation, self.completions));
        let slot = NonNull::from(Box::leak(slot));
        self.all.push(slot);
        Some(SlotRef(slot))
    }

    /// Gives a slot back whose callback has returned. Its handle is stale from now on.
    pub fn end(&mut self, slot: SlotRef) {
        let generation = &slot.slot().generation;
        let next = generation.load(Ordering::Relaxed).wrapping_add(1) & mask();
        generation.store(next, Ordering::Release);
        slot.slot().glance.end();
        self.free.push(slot);
    }

    /// Every request that is not over.
    pub fn in_use(&self) -> impl Iterator<Item = (SlotRef, Seen)> {
        let all = self.all.iter().map(|&slot| SlotRef(slot));
        all.filter_map(|slot| Some((slot, slot.seen()?)))
    }

    /// The request that a handle names, unless it is over.
    pub fn find(&self, handle: Handle) -> Option<SlotRef> {
        let slot = SlotRef(*self.all.get(handle.index as usize)?);
        slot.is_current(handle).then_some(slot)
    }
}

impl SlotRef {
    /// Whether it still holds the request that the handle names.
    pub fn is_current(self, handle: Handle) -> bool {
        self.slot().generation.load(Ordering::Acquire) == handle.generation
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        for slot in self.all.drain(..) {
            // SAFETY: leaked from a Box in `one_more`, freed here only.
            drop(unsafe { Box::from_raw(slot.as_ptr()) });
        }
    }
}

fn mask() -> u32 {
    (1 << Handle::GENERATION_BITS) - 1
}
