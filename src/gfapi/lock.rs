// SPDX-License-Identifier: GPL-2.0-or-later
//! Byte-range locks. They are advisory: only those who ask for a lock meet one.
//!
//! A brick tells holders apart by connection and lock owner. libgfapi keeps the owner that a call
//! named with the calling thread, for all that this thread does later: closing a file in its name
//! drops the locks that the same owner has through another one. So on a connection whose files may be
//! locked, each file has an owner of its own from the first.

use super::{File, Result, check, clear_errno, sys, use_process_identity};
use crate::error::Errno;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicU64, Ordering};

/// How a byte is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// By others as well.
    Shared,
    /// By nobody else.
    Alone,
}

/// In whose name a file has its locks: a number, 0 for nobody's.
pub(super) struct LockOwner(AtomicU64);

impl LockOwner {
    pub(super) fn none() -> LockOwner {
        LockOwner(AtomicU64::new(0))
    }
}

impl File {
    /// Sees to it that two files of one connection can have conflicting locks. Contacts no brick.
    pub fn own_locks(&self) -> Result<()> {
        static FILES: AtomicU64 = AtomicU64::new(1);

        self.lock_as(FILES.fetch_add(1, Ordering::Relaxed))
    }

    /// Has the same locks as another file of its connection, which is the same file on the bricks. A
    /// brick keeps with each lock the descriptor that asked for it last, and drops it with that, and
    /// all of an owner's with each descriptor of that owner's: so before either is closed, it has to
    /// get an owner of its own, and the one that stays has to ask for the lock anew.
    pub fn share_locks(&self, other: &File) -> Result<()> {
        match other.2.0.load(Ordering::Relaxed) {
            0 => Ok(()),
            serial => self.lock_as(serial),
        }
    }

    fn lock_as(&self, serial: u64) -> Result<()> {
        // The name is for a reader of the bricks' statedumps.
        let mut owner = *b"blkgluster........";
        owner[10..].copy_from_slice(&serial.to_be_bytes());
        clear_errno();
        // SAFETY: the file is live; so many bytes are copied from `owner`.
        let ret = unsafe {
            sys::glfs_fd_set_lkowner(
                self.0.as_ptr(),
                owner.as_mut_ptr().cast::<c_void>(),
                owner.len() as c_int,
            )
        };
        check(ret, libc::EIO)?;
        self.2.0.store(serial, Ordering::Relaxed);
        Ok(())
    }

    /// Locks the byte at `offset`, or changes how it is held; false when another's lock forbids it.
    /// Does not wait for that one.
    pub fn try_lock(&self, offset: i64, hold: Hold) -> Result<bool> {
        if !self.fence()? {
            return Ok(false);
        }
        let kind = match hold {
            Hold::Shared => libc::F_RDLCK,
            Hold::Alone => libc::F_WRLCK,
        };
        match self.set_lock(offset, 1, kind) {
            Ok(()) => Ok(true),
            Err(errno) if matches!(errno.get(), libc::EAGAIN | libc::EACCES) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Lets go of so many bytes from `offset` on. While the file has another lock, GlusterFS 10.3's client
    /// takes the brick's answer for a lock on these bytes, which ends only with a call that leaves none.
    pub fn unlock(&self, offset: i64, length: i64) -> Result<()> {
        self.set_lock(offset, length, libc::F_UNLCK)
    }

    fn set_lock(&self, offset: i64, length: i64, kind: c_int) -> std::result::Result<(), Errno> {
        use_process_identity();
        let mut range = libc::flock {
            l_type: kind as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: offset,
            l_len: length,
            l_pid: 0,
        };
        clear_errno();
        // SAFETY: the file is live and `range` is the call's to read and write.
        let ret = unsafe { sys::glfs_posix_lock(self.0.as_ptr(), libc::F_SETLK, &mut range) };
        check(ret, libc::EIO)?;
        Ok(())
    }
}
