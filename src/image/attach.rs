// SPDX-License-Identifier: GPL-2.0-or-later
//! Which poll loop of the host's watches an image's completion fd, if any.
//!
//! Each time that it is watched has a number, which the host hands back with the fd's being readable:
//! a loop that comes late, when the fd is another loop's, finds nothing to do.

use super::*;
use std::cell::Cell;
use std::sync::atomic::AtomicU32;

/// The number of the present watch, or of the last, and what it is about.
pub(super) struct Watching(AtomicU32);

const NOT: u32 = 0;
const IS: u32 = 1;
/// The host is being told.
const CHANGES: u32 = 2;
const STATES: u32 = 3;
const NEXT: u32 = 4;

impl Watching {
    /// Not watched.
    pub(super) fn new() -> Watching {
        Watching(AtomicU32::new(NOT))
    }

    /// Goes on from `from` to a change, in the course of which the host is told; the state then.
    fn begin(&self, from: u32) -> std::result::Result<u32, u32> {
        let changed = self
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |word| {
                (word & STATES == from).then_some(word & !STATES | CHANGES)
            });
        changed
            .map(|word| word & !STATES)
            .map_err(|word| word & STATES)
    }
}

impl Image {
    /// Has the host poll for completions, from whatever loop it chooses.
    pub fn attach(&self) -> Result<()> {
        self.with_backing(|_| Ok(()))?;
        let word = self
            .watching
            .begin(NOT)
            .map_err(|state| self.is_already(state, "watched by a poll loop"))?;
        let word = word.wrapping_add(NEXT);
        // Before the host knows of it.
        self.watching.0.store(word | CHANGES, Ordering::SeqCst);
        let fd = self.completion_fd();
        let telling = Telling::begin(self.id);
        let watched = self.poll_loop.watch(fd, self.id.watched(number(word)));
        drop(telling);
        let state = if watched.is_ok() { IS } else { NOT };
        self.watching.0.store(word | state, Ordering::SeqCst);
        self.completions.changed();
        watched.map_err(|errno| {
            Error::new(
                Stage::Open,
                errno.get(),
                format!(
                    "the host could not poll the completion fd of image {}: {errno}",
                    self.location
                ),
            )
        })
    }

    /// Has the host poll no more: no callback is called until `attach`, but by those who wait.
    pub fn detach(&self) -> Result<()> {
        let word = self
            .watching
            .begin(IS)
            .map_err(|state| self.is_already(state, "watched by no poll loop"))?;
        let telling = Telling::begin(self.id);
        self.poll_loop.unwatch(self.completion_fd());
        drop(telling);
        self.watching.0.store(word | NOT, Ordering::SeqCst);
        self.completions.changed();
        Ok(())
    }

    /// `detach`, when it is still watched, for good. Waits for who is just changing that, on another
    /// thread: the fd is about to be closed.
    pub(super) fn stop_watching(&self) {
        // A host that closes the image while it is told of its fd would wait for itself.
        if TOLD.get() == Some(self.id) {
            return;
        }
        loop {
            let state = match self.watching.begin(IS) {
                Ok(_) => return self.poll_loop.unwatch(self.completion_fd()),
                Err(NOT) => self.watching.begin(NOT).map(drop),
                Err(state) => Err(state),
            };
            if state.is_ok() {
                return;
            }
            let changes = || self.watching.0.load(Ordering::SeqCst) & STATES == CHANGES;
            self.completions.wait_until(|| !changes());
        }
    }

    #[cold]
    fn is_already(&self, state: u32, what: &str) -> Error {
        if state == CHANGES {
            return self.error(
                libc::EBUSY,
                "is being attached to a poll loop, or detached from one, on another thread",
            );
        }
        self.error(libc::EALREADY, &format!("is {what} already"))
    }
}

thread_local! {
    /// The image whose fd the host is being told of on this thread.
    static TOLD: Cell<Option<ImageId>> = const { Cell::new(None) };
}

/// For as long as the host is being told.
struct Telling(Option<ImageId>);

impl Telling {
    fn begin(id: ImageId) -> Telling {
        Telling(TOLD.replace(Some(id)))
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        TOLD.set(self.0);
    }
}

fn number(word: u32) -> u16 {
    (word / NEXT) as u16
}

/// The host found the fd of that watch readable.
pub fn readable(watched: u64) {
    let (id, watch) = ImageId::from_watched(watched);
    let Some(image) = registry::get(id) else {
        return;
    };
    let is_watched = || {
        let word = image.watching.0.load(Ordering::SeqCst);
        number(word) == watch && word & STATES == IS
    };
    if is_watched() {
        image.dispatch_while(is_watched);
    }
}
