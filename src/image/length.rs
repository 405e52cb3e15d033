// SPDX-License-Identifier: GPL-2.0-or-later
//! The length of an open image, asked for and changed. These calls wait for the bricks.

use super::*;
use crate::gfapi::Stat;
use parking_lot::RwLockReadGuard;

/// The last byte of a shrunken image is written again as often when it fails: the image is a byte
/// short until then.
const SHRINK_TRIES: usize = 5;

/// What is known of an image's length, and which writes in flight may change it.
///
/// GlusterFS 10.3's shard translator takes an fstat as the reason to ask the bricks for the size with
/// the next request. When a write grows the image meanwhile, the answer lacks that write, and stays:
/// reads find the end too early, and the next growth is counted twice. So the bricks are asked only
/// while no such write is in flight.
pub(super) struct Length {
    /// The image is at least this long, as far as this driver has seen.
    pub(super) known: AtomicI64,
    allocated: AtomicI64,
    /// Accepted writes that end past `known` and have not been delivered.
    pub(super) growing: AtomicUsize,
    /// Such a write begins under the read lock; the bricks are asked under the write lock.
    pub(super) gate: RwLock<()>,
    /// Accepted writes and discards that have not been delivered. They begin under the read lock of
    /// `cut`; a shrink that has to write the last byte again holds its write lock.
    pub(super) changing: Arc<AtomicUsize>,
    pub(super) cut: RwLock<()>,
    /// Held by a growth with preallocation, which takes its time; shared by other changes of the
    /// length.
    pub(super) resizing: RwLock<()>,
}

impl Length {
    /// Of an image that was just opened.
    pub(super) fn new(stat: &Stat) -> Length {
        Length {
            known: AtomicI64::new(stat.size),
            allocated: AtomicI64::new(stat.allocated),
            growing: AtomicUsize::new(0),
            gate: RwLock::new(()),
            changing: Arc::new(AtomicUsize::new(0)),
            cut: RwLock::new(()),
            resizing: RwLock::new(()),
        }
    }

    /// As far as this driver has seen.
    pub(super) fn known(&self) -> i64 {
        self.known.load(Ordering::SeqCst)
    }

    /// A write or discard begins; it counts until `changed`. The guard is for the time until it was
    /// accepted.
    pub(super) fn change(&self) -> RwLockReadGuard<'_, ()> {
        let guard = self.cut.read();
        self.changing.fetch_add(1, Ordering::SeqCst);
        guard
    }

    /// Does something while no write or discard begins.
    pub(super) fn while_none_changes(&self, body: impl FnOnce()) {
        let _none_begins = self.cut.write();
        body();
    }

    /// Whether a write, a discard or a growth has not ended.
    pub(super) fn is_changing(&self) -> bool {
        self.changing.load(Ordering::SeqCst) > 0 || self.growing.load(Ordering::SeqCst) > 0
    }

    /// It ended, or was refused.
    pub(super) fn changed(&self) {
        self.changing.fetch_sub(1, Ordering::SeqCst);
    }

    /// A write that ends at `end` begins: `None` when it does not grow the image; else it counts as
    /// growth until `grown`. The guard is for the time until it was submitted.
    pub(super) fn grow(&self, end: i64) -> Option<RwLockReadGuard<'_, ()>> {
        if end <= self.known() {
            return None;
        }
        let guard = self.gate.read();
        self.growing.fetch_add(1, Ordering::SeqCst);
        Some(guard)
    }

    /// A write that began to grow the image ended there, or failed.
    pub(super) fn grown(&self, end: Option<i64>) {
        if let Some(end) = end {
            self.known.fetch_max(end, Ordering::SeqCst);
        }
        self.growing.fetch_sub(1, Ordering::SeqCst);
    }

    /// The same when nothing is in flight, but writes that grow the image may wait to be sent.
    pub(super) fn ask_at_rest(&self, file: &File) -> gfapi::Result<()> {
        let _none_begins = self.gate.write();
        let stat = file.stat_settled()?;
        self.known.store(stat.size, Ordering::SeqCst);
        self.allocated.store(stat.allocated, Ordering::SeqCst);
        Ok(())
    }

    /// Size and space as the bricks have them; while the image grows, as last seen.
    pub(super) fn ask(&self, file: &File) -> gfapi::Result<(i64, i64)> {
        let _none_begins = self.gate.write();
        if self.growing.load(Ordering::SeqCst) == 0 {
            let stat = file.stat_settled()?;
            self.known.store(stat.size, Ordering::SeqCst);
            self.allocated.store(stat.allocated, Ordering::SeqCst);
        }
        Ok((self.known(), self.allocated.load(Ordering::SeqCst)))
    }
}

impl Image {
    /// Length in bytes, all acknowledged writes included.
    pub fn length(&self) -> Result<i64> {
        Ok(self.ask_length()?.0)
    }

    /// Bytes occupied.
    pub fn allocated(&self) -> Result<i64> {
        Ok(self.ask_length()?.1)
    }

    fn ask_length(&self) -> Result<(i64, i64)> {
        self.with_backing(|backing| {
            let asked = self.length.ask(&backing.file);
            asked.map_err(|errno| self.failed("asking for the size", errno))
        })
    }

    /// Ends a discard with the image: past the end there is nothing to give back, but a sharded volume
    /// would grow the image. With the end that is known: to ask the bricks would keep the host waiting for
    /// them.
    pub(super) fn clip(&self, ask: &mut Ask<'_>) {
        let end = ask.offset + ask.length;
        let length = self.length.known();
        if end > length {
            ask.length = (end.min(length) - ask.offset).max(0);
        }
    }

    /// Whether the image can have that length.
    pub(super) fn check_length(&self, length: i64) -> Result<()> {
        if length < 0 {
            return Err(self.error(libc::EINVAL, &format!("cannot be {length} bytes long")));
        }
        if !self.is_read_write() {
            return Err(self.error(
                libc::EBADF,
                "is open read-only; changing its length needs BLK_O_RDWR",
            ));
        }
        if length > MAX_END {
            return Err(self.error(
                libc::EFBIG,
                &format!("cannot be {length} bytes long; the most is 4 PiB"),
            ));
        }
        Ok(())
    }

    pub(super) fn resized(&self) -> Error {
        self.error(
            libc::EBUSY,
            "is being grown with preallocation; its length can be changed after that",
        )
    }

    /// Sets the length in bytes.
    pub fn truncate(&self, length: i64) -> Result<()> {
        self.check_length(length)?;
        let Some(_resizing) = self.length.resizing.try_read() else {
            return Err(self.resized());
        };
        self.with_backing(|backing| {
            let Some(_held) = self.lock.keep() else {
                return Err(self.without_lock());
            };
            self.set_length(backing, length).map_err(|errno| {
                // The length asked for is wrong in itself, no word of an earlier write.
                if errno.get() != libc::EFBIG {
                    self.completions.note_failure();
                }
                self.failed(&format!("setting the length to {length} bytes"), errno)
            })
        })?;
        self.proved.fetch_max(length, Ordering::Relaxed);
        Ok(())
    }

    /// GlusterFS 10.3 empties the last shard that stays when a sharded image is cut where that shard
    /// ends. So it is cut one byte shorter, and its last byte written again; unless its length is odd,
    /// where no shard ends, but one may end a byte before.
    fn set_length(&self, backing: &Backing, length: i64) -> gfapi::Result<()> {
        let (size, _) = self.length.ask(&backing.file)?;
        self.note_unflushed();
        // Before the bricks cut it: a write past the new end counts as growth from now on.
        self.length.known.fetch_min(length, Ordering::SeqCst);
        if length >= size {
            backing.file.truncate(length)?;
        } else {
            // A write of the last byte must not come between: it would be acknowledged, flushed and
            // lost.
            let mut none_begins = None;
            self.cut(backing, length, &mut || {
                none_begins = Some(self.length.cut.write());
                match self.length.changing.load(Ordering::SeqCst) {
                    0 => Ok(()),
                    _ => Err(Errno::new(libc::EBUSY, libc::EIO)),
                }
            })?;
        }
        // Once more: a flush in between has not covered it.
        self.note_unflushed();
        // The translators' idea of the size must be right before the next growth.
        self.length.known.store(length, Ordering::SeqCst);
        self.length.ask(&backing.file).map(drop)
    }

    /// Makes an image shorter. `alone` makes sure that nobody else changes its last byte.
    pub(super) fn cut(
        &self,
        backing: &Backing,
        length: i64,
        alone: &mut dyn FnMut() -> gfapi::Result<()>,
    ) -> gfapi::Result<()> {
        let connection = backing.volume.connection();
        if length == 0 || length % 2 == 1 {
            return shorten(connection, &backing.file, length);
        }
        // A file of its own: for the seek, and since O_DIRECT cannot write one byte.
        let file = File::open(connection, self.location.path(), libc::O_RDWR)?;
        if file.can_seek() {
            return backing.file.truncate(length);
        }
        // The path may lead to another file by now.
        if file.stat()?.inode != backing.file.stat()?.inode {
            return Err(Errno::new(libc::ESTALE, libc::EIO));
        }
        alone()?;
        let last = file.read_byte(length - 1)?;
        shorten(connection, &backing.file, length - 1)?;
        for _ in 0..SHRINK_TRIES {
            if file.write_byte(length - 1, last).is_ok() {
                return Ok(());
            }
        }
        file.write_byte(length - 1, last)
    }
}

/// Bytes that a sharded image is cut by at a time.
const CUT_STEP: i64 = 4 << 30;

/// Cuts a file. GlusterFS's sharding keeps something in memory for each shard that a cut takes, there or
/// not: for terabytes at a time, gigabytes.
pub(super) fn shorten(connection: &Connection, file: &File, length: i64) -> gfapi::Result<()> {
    let mut size = file.stat()?.size;
    if size - length > CUT_STEP && connection.is_sharded() {
        while size - length > CUT_STEP {
            size -= CUT_STEP;
            file.truncate(size)?;
        }
    }
    file.truncate(length)
}
