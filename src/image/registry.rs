// SPDX-License-Identifier: GPL-2.0-or-later
//! Open images by number. The host holds numbers only, in its BlkState, its fd handler's argument
//! and its request handles: one that went stale is recognised instead of followed.

use super::{Image, Opened};
use crate::error::{Error, Result, Stage};
use crate::gfapi;
use crate::request::Handle;
use parking_lot::{MappedRwLockReadGuard, Mutex, RwLock, RwLockReadGuard};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Names an open image, and never another one later (2^28 openings in the same place, or 2^32 in all, long).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageId(u64);

/// Low bits of an id: the place. As many images can be open.
const PLACE_BITS: u32 = 16;

/// Where an image is while it is open. Places are never freed, so that one lock is all that a thread
/// takes on its way to an image.
#[repr(align(64))]
struct Place(RwLock<Option<Opened>>);

/// Places are made as they come to be needed, this many at once.
const CHUNK: usize = 256;

static CHUNKS: [OnceLock<Box<[Place]>>; (1 << PLACE_BITS) / CHUNK] =
    [const { OnceLock::new() }; (1 << PLACE_BITS) / CHUNK];

/// Which places are taken.
struct Plan {
    /// Those that were and are not now, the last one first.
    free: Vec<usize>,
    /// Those from here on never were.
    used: usize,
    openings: u64,
}

static PLAN: Mutex<Plan> = Mutex::new(Plan {
    free: Vec::new(),
    used: 0,
    openings: 0,
});

/// So long a change that can wait does.
const SOON: Duration = Duration::from_millis(20);

/// An image that stays open while this is held. Not for the time of a callback, which may close it.
pub type Visit = MappedRwLockReadGuard<'static, Opened>;

impl ImageId {
    /// As a number that the host can keep; not 0.
    pub fn raw(self) -> u64 {
        self.0
    }

    /// What the host kept.
    pub fn from_raw(raw: u64) -> ImageId {
        ImageId(raw)
    }

    /// With the number of a watch, as one number that is not 0.
    pub fn watched(self, watch: u16) -> u64 {
        self.0 | u64::from(watch) << (64 - 16)
    }

    /// What `watched` made.
    pub fn from_watched(watched: u64) -> (ImageId, u16) {
        (
            ImageId(watched & (u64::MAX >> 16)),
            (watched >> (64 - 16)) as u16,
        )
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
pub fn visit(id: ImageId) -> Option<Visit> {
    occupant(id.place()).filter(|opened| opened.image.id == id)
}

/// The same, to be kept for as long as one likes; it may be closed meanwhile.
pub fn get(id: ImageId) -> Option<Arc<Image>> {
    visit(id).map(|opened| opened.image.clone())
}

/// The same without waiting for those who wait: a thread that closes the image may do so for as long
/// as a call on another one waits for silent bricks.
pub fn look(id: ImageId) -> Option<Arc<Image>> {
    if gfapi::is_orphaned() {
        return None;
    }
    let chunk = CHUNKS.get(id.place() / CHUNK)?.get()?;
    let opened = chunk[id.place() % CHUNK].0.read_recursive();
    let opened = opened.as_ref().filter(|opened| opened.image.id == id)?;
    Some(opened.image.clone())
}

/// Whatever image is in a place.
fn occupant(place: usize) -> Option<Visit> {
    if gfapi::is_orphaned() {
        return None;
    }
    let chunk = CHUNKS.get(place / CHUNK)?.get()?;
    RwLockReadGuard::try_map(chunk[place % CHUNK].0.read(), Option::as_ref).ok()
}

/// A place that an image has or had.
fn place(number: usize) -> &'static Place {
    let chunk = CHUNKS[number / CHUNK]
        .get_or_init(|| (0..CHUNK).map(|_| Place(RwLock::new(None))).collect());
    &chunk[number % CHUNK]
}

/// How many images are open.
pub fn count() -> usize {
    let plan = PLAN.lock();
    plan.used - plan.free.len()
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
    let place = (packed >> (Handle::INDEX_BITS + Handle::GENERATION_BITS)) as usize;
    let index = ((packed & ((1 << Handle::INDEX_BITS) - 1)) as u32).checked_sub(1)?;
    let generation = (packed >> Handle::INDEX_BITS) as u32 & ((1 << Handle::GENERATION_BITS) - 1);
    let image = occupant(place)?.image.clone();
    Some((image, Handle { index, generation }))
}

/// Gives an image a number and keeps it until `remove`.
pub(super) fn insert(make: impl FnOnce(ImageId) -> Opened) -> Result<Arc<Image>> {
    let id = {
        let mut plan = PLAN.lock();
        let number = match plan.free.pop() {
            Some(number) => number,
            None if plan.used < 1 << PLACE_BITS => {
                plan.used += 1;
                plan.used - 1
            }
            None => {
                return Err(Error::new(
                    Stage::Open,
                    libc::EMFILE,
                    format!("{} images are open; close some first", plan.used),
                ));
            }
        };
        // The bits above are those of `watched`.
        plan.openings = plan.openings % u64::from(u32::MAX) + 1;
        ImageId(plan.openings << PLACE_BITS | number as u64)
    };
    let opened = make(id);
    let image = opened.image.clone();
    *place(id.place()).0.write() = Some(opened);
    Ok(image)
}

/// Changes an image while there is no visit to it.
pub(super) fn change<T>(id: ImageId, body: impl FnOnce(&mut Opened) -> T) -> Option<T> {
    let mut occupant = place(id.place()).0.write();
    let opened = occupant.as_mut().filter(|opened| opened.image.id == id);
    opened.map(body)
}

/// The same, unless a visit lasts: who waits for its end would keep others from beginning one.
pub(super) fn change_soon<T>(id: ImageId, body: impl FnOnce(&mut Opened) -> T) -> Option<T> {
    let mut occupant = place(id.place()).0.try_write_for(SOON)?;
    let opened = occupant.as_mut().filter(|opened| opened.image.id == id);
    opened.map(body)
}

/// The images that are open, but for those that just come or go. Waits for nobody.
pub(super) fn each(mut body: impl FnMut(&Opened)) {
    let used = PLAN.lock().used;
    for number in 0..used {
        let occupant = place(number).0.try_read();
        if let Some(opened) = occupant.as_deref().and_then(Option::as_ref) {
            body(opened);
        }
    }
}

/// Takes an image out of its place when all visits are over: it is not found any more.
pub(super) fn remove(id: ImageId) -> Option<Opened> {
    let mut occupant = place(id.place()).0.write();
    occupant.take_if(|opened| opened.image.id == id)
}

/// Gives its place to others.
pub(super) fn forget(id: ImageId) {
    PLAN.lock().free.push(id.place());
}
