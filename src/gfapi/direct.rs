// SPDX-License-Identifier: GPL-2.0-or-later
//! Files with O_DIRECT, and the requests that O_DIRECT does not take.
//!
//! A brick's file system takes whole blocks only from a descriptor with O_DIRECT, and answers EINVAL to
//! the rest (a disperse volume's client takes all, as long as its bricks take 512 bytes; else even some
//! whole blocks are refused, and discards). So such a
//! file has a second descriptor without O_DIRECT, aside, through which goes what is not made of whole
//! blocks. There the brick's kernel reads, changes and writes the block, under the lock of the file that
//! its direct writes take as well: nothing that others write to the rest of the block is lost, be they
//! other requests of the image, other clients or the brick's own self-heal, and the file gets no longer
//! than the write. To do that on this side would need two round trips, lose what another client writes to
//! the block in between, and write the whole of a last block that is only a part of one. Between the two
//! descriptors the brick's page cache is coherent: a direct read first writes out, a direct write drops,
//! what the cache holds of the range. An fsync is of the file, whichever descriptor wrote; both are synced
//! all the same, for what translators hold of each.
//!
//! How large a block is, no call tells. A read of a part of one does, but only if it brings data: a hole
//! is read without a look at the disk. A write would be safe to tell, but is none of ours. So blocks
//! are taken for [`USUAL`] (or [`SPLIT`]) until a read brings data; and what is refused with EINVAL all the same goes
//! aside, as all of this file from then on.
//!
//! The locks of an image are those of its first descriptor. A brick that was restarted has forgotten
//! them, and fences descriptors that had a lock off (strict-locks), which must hold for the second one,
//! too: so it has a lock of its own, [`FENCE`], taken before those of the first.

use super::*;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A byte that nobody locks alone: QEMU's are from 100 and from 200 on.
const FENCE: i64 = 300;

/// What all disks take.
const USUAL: u64 = 4096;

/// What disperse volumes on all disks take, which split each block; but for odd numbers of bricks. A write
/// that their bricks refuse leaves them something to heal.
const SPLIT: u64 = 64 << 10;

/// Blocks that are looked for: any length (a file system in memory, disperse volumes on disks of the
/// next), those of most disks, of the others, and of a disperse volume on those.
const BLOCKS: [u64; 4] = [1, 512, USUAL, SPLIT];

/// The descriptor without O_DIRECT.
pub(super) struct Aside {
    file: File,
    /// Bits that are not set in the offset and length of what O_DIRECT takes.
    mask: AtomicU64,
    /// The blocks before anything was learned of them.
    guess: u64,
    /// The mask is right, not just likely.
    learned: AtomicBool,
    /// Written since the last flush.
    written: AtomicBool,
    /// Ever written. A write that is in flight here while a flush settles ends after it: so the next
    /// one has to as well.
    was_written: AtomicBool,
}

/// Nothing goes the direct way.
const NOTHING: u64 = u64::MAX;

impl Aside {
    /// Opens it: the file that `direct` is, though its path may lead to another one by now.
    pub(super) fn open(
        connection: &Connection,
        path: &CStr,
        flags: c_int,
        direct: &File,
    ) -> Result<Box<Aside>> {
        let file = File::open_one(connection, path, flags & !libc::O_DIRECT)?;
        if file.stat()?.inode != direct.stat()?.inode {
            return Err(Errno::new(libc::ESTALE, libc::EIO));
        }
        let guess = match connection.is_disperse() {
            true => SPLIT,
            false => USUAL,
        };
        Ok(Box::new(Aside {
            file,
            mask: AtomicU64::new(guess - 1),
            guess,
            learned: AtomicBool::new(false),
            written: AtomicBool::new(false),
            was_written: AtomicBool::new(false),
        }))
    }

    fn takes(&self, offset: i64, length: i64) -> bool {
        (offset | length) as u64 & self.mask.load(Ordering::Relaxed) != 0
    }

    /// All that goes aside passes here.
    fn enter(&self, writes: bool) -> &File {
        if writes {
            self.written.store(true, Ordering::SeqCst);
            if !self.was_written.load(Ordering::Relaxed) {
                self.was_written.store(true, Ordering::SeqCst);
            }
        }
        &self.file
    }

    pub(super) fn close(self) -> Result<()> {
        self.file.close()
    }
}

impl File {
    /// The descriptor for such a request.
    pub(super) fn way(&self, offset: i64, length: i64, writes: bool) -> &File {
        match &self.1 {
            Some(aside) if aside.takes(offset, length) => aside.enter(writes),
            _ => self,
        }
    }

    /// Makes a call that blocks, by the way that such a request has to take.
    pub(super) fn on_its_way<T>(
        &self,
        offset: i64,
        length: i64,
        writes: bool,
        call: impl Fn(&File) -> Result<T>,
    ) -> Result<T> {
        match call(self.way(offset, length, writes)) {
            Err(errno) if self.avoid_direct(errno) => call(self.way(offset, length, writes)),
            done => done,
        }
    }

    /// Whether a read or write that failed so is to be tried once more, aside. From now on all goes
    /// there.
    pub fn avoid_direct(&self, errno: Errno) -> bool {
        match &self.1 {
            Some(aside) if errno.get() == libc::EINVAL => {
                aside.mask.store(NOTHING, Ordering::Relaxed);
                aside.learned.store(true, Ordering::Relaxed);
                true
            }
            _ => false,
        }
    }

    /// Whether a request is not made of whole blocks, as far as is known, and goes aside.
    pub fn bounces(&self, offset: i64, length: i64) -> bool {
        let aside = self.1.as_ref();
        aside.is_some_and(|aside| aside.takes(offset, length))
    }

    /// Looks what the bricks take. Blocks.
    pub(super) fn learn(&self) {
        let Some(aside) = &self.1 else {
            return;
        };
        if aside.learned.load(Ordering::Relaxed) {
            return;
        }
        let mut buffer = vec![0; SPLIT as usize];
        let mut refused = 0;
        let mut told = None;
        for block in BLOCKS {
            let room = &mut buffer[..block as usize];
            match self.read_here(room, block as i64) {
                // A hole, or the end.
                Ok(got) if room[..got].iter().all(|&byte| byte == 0) => break,
                Ok(_) => {
                    told = Some(block);
                    break;
                }
                Err(errno) if errno.get() == libc::EINVAL => refused = block,
                Err(_) => return,
            }
        }
        let mask = match told {
            Some(block) => block - 1,
            None if refused == SPLIT => NOTHING,
            None if refused == USUAL => SPLIT - 1,
            None => return,
        };
        // Not when a request has been refused meanwhile.
        let _ = aside.mask.compare_exchange(
            aside.guess - 1,
            mask,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        aside.learned.store(true, Ordering::Relaxed);
    }

    /// Puts what was written aside on stable storage.
    pub(super) fn flush_aside(&self) -> Result<()> {
        let Some(aside) = &self.1 else {
            return Ok(());
        };
        if aside.written.swap(false, Ordering::SeqCst) {
            let flushed = aside.file.flush();
            if flushed.is_err() {
                aside.written.store(true, Ordering::SeqCst);
            }
            return flushed;
        }
        Ok(())
    }

    /// What is written aside, for replicas that are told of what they lack by open file.
    pub(super) fn written_aside(&self) -> Option<&File> {
        let aside = self.1.as_ref()?;
        let was_written = aside.was_written.load(Ordering::SeqCst);
        was_written.then_some(&aside.file)
    }

    /// Before a lock of this file is taken, so that no brick fences it off and not this; false when
    /// somebody has that byte alone.
    pub(super) fn fence(&self) -> Result<bool> {
        match &self.1 {
            Some(aside) => aside.file.try_lock(FENCE, Hold::Shared),
            None => Ok(true),
        }
    }

    /// After the last lock of this file was given up: bricks may be restarted.
    pub fn unfence(&self) -> Result<()> {
        match &self.1 {
            Some(aside) => aside.file.unlock(FENCE, 1),
            None => Ok(()),
        }
    }
}
