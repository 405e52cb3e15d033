// SPDX-License-Identifier: GPL-2.0-or-later
//! Space for a range that a new image has or that an old one grows by, in chunks.
//!
//! While an image grows, all that reaches past its old end waits in the queue: to fill the new
//! range with zeroes must not overwrite what was written there meanwhile, and a growth that fails
//! goes back to the old length without taking such a write along.

use super::zeroes::Filler;
use super::*;
use crate::options::Preallocation;

/// Most bytes of one fallocate or zerofill.
const CHUNK: i64 = 64 << 20;

/// Where zeroes have to be written.
const WRITTEN_CHUNK: i64 = 16 << 20;

/// Told how many bytes of how many are done; whether to go on.
pub type Progress<'a> = dyn FnMut(i64, i64) -> bool + 'a;

/// Allocates the bytes from `offset` to `end`, which are part of the file and zero. ECANCELED when
/// `go_on` says no.
pub(super) fn allocate(
    file: &File,
    filler: &Filler,
    offset: i64,
    end: i64,
    how: Preallocation,
    go_on: &mut dyn FnMut(i64, i64) -> gfapi::Result<()>,
) -> gfapi::Result<()> {
    let mut at = offset;
    go_on(0, end - offset)?;
    while at < end {
        let most = if how == Preallocation::Full && filler.only_writes() {
            WRITTEN_CHUNK
        } else {
            CHUNK
        };
        let length = most.min(end - at);
        match how {
            Preallocation::Off => {}
            Preallocation::Falloc => file.fallocate(at, length)?,
            Preallocation::Full => filler.fill(file, at, length, false)?,
        }
        at += length;
        go_on(at - offset, end - offset)?;
    }
    Ok(())
}

/// The errno of what `progress` says.
pub(super) fn asked(progress: &mut Progress<'_>, done: i64, total: i64) -> gfapi::Result<()> {
    if progress(done, total) {
        Ok(())
    } else {
        Err(Errno::new(libc::ECANCELED, libc::EIO))
    }
}

/// What an image grows by, kept from all others until this is dropped.
struct Growth<'a> {
    image: &'a Image,
    /// There until this is dropped. The image may have another by then.
    backing: Option<Arc<Backing>>,
    old: i64,
    held: Range,
    /// The new length, once it has it.
    reached: Option<i64>,
}

impl Drop for Growth<'_> {
    fn drop(&mut self) {
        let image = self.image;
        image.length.grown(self.reached);
        image.desk.lock().queue.let_go(self.held);
        drop(self.backing.take());
        // The file that it has now: on one that another took the place of, nothing begins any more.
        if let Some(file) = image.file() {
            image.refill(&file);
        }
        // Last, since close waits for it, and closes the file when nobody else has it.
        {
            let _desk = image.desk.lock();
            image.outstanding.store(
                image.outstanding.load(Ordering::Relaxed) - 1,
                Ordering::Relaxed,
            );
        }
        image.completions.changed();
    }
}

impl Image {
    /// Sets the length, and allocates what the image grows by. On failure it has its old length.
    pub fn grow(&self, length: i64, how: Preallocation, progress: &mut Progress<'_>) -> Result<()> {
        if how == Preallocation::Off {
            return self.truncate(length);
        }
        self.check_length(length)?;
        let Some(_resizing) = self.length.resizing.try_write() else {
            return Err(self.resized());
        };
        let mut growth = self.with_backing(|backing| self.reserve(backing, length))?;
        if let Some(backing) = &growth.backing {
            self.lengthen(backing, growth.old, length, how, progress)?;
        }
        growth.reached = Some(length);
        self.proved.fetch_max(length, Ordering::Relaxed);
        Ok(())
    }

    /// Makes sure that nothing under way reaches past the end of the image, and that nothing will.
    /// During a visit to the end, so that a close finds the growth outstanding.
    fn reserve(&self, backing: &Arc<Backing>, length: i64) -> Result<Growth<'_>> {
        let (old, _) = self
            .length
            .ask(&backing.file)
            .map_err(|errno| self.failed("asking for the size", errno))?;
        if length < old {
            return Err(self.error(
                libc::EINVAL,
                &format!(
                    "is {old} bytes long; shrinking it to {length} goes without preallocation only"
                ),
            ));
        }
        let is_sharded = backing.volume.connection().is_sharded();
        // Nothing is accepted meanwhile that changes the image, or makes it grow.
        let _none_changes = self.length.cut.write();
        let _none_grows = self.length.gate.write();
        if self.lock.is_given_up() {
            return Err(self.without_lock());
        }
        let changing = self.length.changing.load(Ordering::SeqCst);
        let growing = self.length.growing.load(Ordering::SeqCst);
        if growing > 0 || self.length.known() != old || (is_sharded && changing > 0) {
            return Err(self.error(
                libc::EBUSY,
                "cannot grow with preallocation while requests that reach past its end are in flight, \
                 or on a sharded volume any that change it; drain first",
            ));
        }
        // On a sharded volume the way back writes the last byte again.
        let from = if is_sharded { (old - 1).max(0) } else { old };
        let held = Range::alone(Kind::Write, from, i64::MAX - from);
        self.length.growing.fetch_add(1, Ordering::SeqCst);
        let mut desk = self.desk.lock();
        desk.queue.hold(held);
        // Close, drain and release_lock wait for it.
        self.outstanding.store(
            self.outstanding.load(Ordering::Relaxed) + 1,
            Ordering::Relaxed,
        );
        drop(desk);
        Ok(Growth {
            image: self,
            backing: Some(backing.clone()),
            old,
            held,
            reached: None,
        })
    }

    fn lengthen(
        &self,
        backing: &Backing,
        old: i64,
        length: i64,
        how: Preallocation,
        progress: &mut Progress<'_>,
    ) -> Result<()> {
        let file = &backing.file;
        let mut go_on = |done, total| {
            // Whoever closes it waits for this.
            if self.with_backing(|_| Ok(())).is_err() {
                return Err(Errno::new(libc::EBADF, libc::EIO));
            }
            backing.lock.look()?;
            asked(progress, done, total)
        };
        self.note_unflushed();
        let grown = file
            .truncate(length)
            .and_then(|()| allocate(file, self.zeroes.filler(), old, length, how, &mut go_on));
        let back = match grown {
            Ok(()) => Ok(()),
            // What is there now may be another one's.
            Err(_) if backing.lock.look().is_err() => Ok(()),
            Err(_) => self.cut_back(backing, old),
        };
        // Once more: a flush in between has not covered all of it.
        self.note_unflushed();
        // The translators' idea of the size must be right before the next growth.
        let _ = file.stat_settled();
        let Err(errno) = grown else {
            return Ok(());
        };
        // Of an earlier write, perhaps, unless it is the host's wish or the length itself.
        if !matches!(errno.get(), libc::ECANCELED | libc::EFBIG) {
            self.completions.note_failure();
        }
        let what = format!("growing it from {old} to {length} bytes");
        let mut why = self.failed(&what, errno);
        if let Err(errno) = back {
            why.text += &format!("; nor could it get its old length back: {errno}");
        }
        Err(why)
    }

    /// Back to the old length, if the image has got longer.
    fn cut_back(&self, backing: &Backing, old: i64) -> gfapi::Result<()> {
        if backing.file.stat()?.size <= old {
            return Ok(());
        }
        // Nobody else changes the last byte: its range is held.
        self.cut(backing, old, &mut || Ok(()))
    }
}
