// SPDX-License-Identifier: GPL-2.0-or-later
//! Open images by number. The host holds numbers only, in its BlkState, its fd handler's argument
//! and its request handles: one that went stale is recognised instead of followed.

use super::Image;
use crate::error::{Error, Result, Stage};
use crate::gfapi;
use crate::request::Handle;
use parking_lot::RwLock;
use std::sync::Arc;

/// Names an open image, and never another one later (2^28 openings in the same place long).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageId(u64);

/// Low bits of an id: the place. As many images can be open, less one.
const PLACE_BITS: u32 = 16;

struct Registry {
    places: Vec<Option<Arc<Image>>>,
    openings: u64,
}

static IMAGES: RwLock<Registry> = RwLock::new(Registry {
    places: Vec::new(),
    openings: 0,
});

impl ImageId {
    /// As a number that the host can keep; not 0.
    pub fn raw(self) -> u64 {
        self.0
    }

    /// What the host kept.
    pub fn from_raw(raw: u64) -> ImageId {
        ImageId(raw)
    }

    /// Which opening it was.
    pub fn serial(self) -> u64 {
        self.0 >> PLACE_BITS
    }

    fn place(self) -> usize {
        (self.0 & ((1 << PLACE_BITS) - 1)) as usize
    }

    /// With a request of this image, as one number that is not 0.
    pub fn pack(self, handle: Handle) -> u64 {
        // Indexes from 1 on: so that no handle is NULL.
        let index = u64::from(handle.index) + 1;
        (self.place() as u64) << (Handle::INDEX_BITS + Handle::GENERATION_BITS)
            | u64::from(handle.generation) << Handle::INDEX_BITS
            | index & ((1 << Handle::INDEX_BITS) - 1)
    }
}

/// The image, if it is open.
pub fn get(id: ImageId) -> Option<Arc<Image>> {
    if gfapi::is_orphaned() {
        return None;
    }
    let images = IMAGES.read();
    let image = images.places.get(id.place())?.as_ref()?;
    (image.id == id).then(|| image.clone())
}

/// How many images are open.
pub fn count() -> usize {
    IMAGES.read().places.iter().flatten().count()
}

/// Waits for the request that a packed handle names and calls its callback.
pub fn cancel(packed: u64) {
    if let Some((image, handle)) = find(packed) {
        image.cancel(handle);
    }
}

/// Asks for the request that a packed handle names to end early.
pub fn cancel_async(packed: u64) {
    if let Some((image, handle)) = find(packed) {
        image.cancel_async(handle);
    }
}

/// The image of a packed handle, and the request in it; either may be over.
fn find(packed: u64) -> Option<(Arc<Image>, Handle)> {
    if gfapi::is_orphaned() {
        return None;
    }
    let place = (packed >> (Handle::INDEX_BITS + Handle::GENERATION_BITS)) as usize;
    let index = ((packed & ((1 << Handle::INDEX_BITS) - 1)) as u32).checked_sub(1)?;
    let generation = (packed >> Handle::INDEX_BITS) as u32 & ((1 << Handle::GENERATION_BITS) - 1);
    let image = IMAGES.read().places.get(place)?.clone()?;
    Some((image, Handle { index, generation }))
}

/// Gives an image a number and keeps it until `remove`.
pub(super) fn insert(make: impl FnOnce(ImageId) -> Image) -> Result<Arc<Image>> {
    let mut images = IMAGES.write();
    let place = match images.places.iter().position(Option::is_none) {
        Some(place) => place,
        None if images.places.len() < 1 << PLACE_BITS => {
            images.places.push(None);
            images.places.len() - 1
        }
        None => {
            return Err(Error::new(
                Stage::Open,
                libc::EMFILE,
                format!("{} images are open; close some first", images.places.len()),
            ));
        }
    };
    images.openings += 1;
    let image = Arc::new(make(ImageId(images.openings << PLACE_BITS | place as u64)));
    images.places[place] = Some(image.clone());
    Ok(image)
}

/// Forgets an image.
pub(super) fn remove(id: ImageId) {
    // Dropped after the lock: it may be the last reference.
    let gone = {
        let mut images = IMAGES.write();
        let place = images.places.get_mut(id.place());
        place
            .filter(|image| image.as_ref().is_some_and(|image| image.id == id))
            .and_then(Option::take)
    };
    drop(gone);
}
