// SPDX-License-Identifier: GPL-2.0-or-later
//! The length of an open image, asked for and changed. These calls wait for the bricks.

use super::*;

impl Image {
    /// Length in bytes, all acknowledged writes included.
    pub fn length(&self) -> Result<i64> {
        Ok(self.stat()?.size)
    }

    /// Bytes occupied.
    pub fn allocated(&self) -> Result<i64> {
        Ok(self.stat()?.allocated)
    }

    fn stat(&self) -> Result<gfapi::Stat> {
        self.with_backing(|backing| {
            backing
                .file
                .stat()
                .map_err(|errno| self.failed("asking for the size", errno))
        })
    }

    /// Sets the length in bytes.
    pub fn truncate(&self, length: i64) -> Result<()> {
        if length < 0 {
            return Err(self.error(libc::EINVAL, &format!("cannot be {length} bytes long")));
        }
        if !self.read_write {
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
        self.with_backing(|backing| {
            self.set_length(backing, length).map_err(|errno| {
                self.failed(&format!("setting the length to {length} bytes"), errno)
            })
        })?;
        self.length.store(length, Ordering::Relaxed);
        self.proved.fetch_max(length, Ordering::Relaxed);
        Ok(())
    }

    /// GlusterFS 10.3 empties the last shard that stays when a sharded image is cut where that shard
    /// ends. So it is cut one byte shorter, and its last byte written again; unless its length is odd,
    /// where no shard ends, but one may end a byte before.
    fn set_length(&self, backing: &Backing, length: i64) -> gfapi::Result<()> {
        if length == 0 || length % 2 == 1 || length >= backing.file.stat()?.size {
            return backing.file.truncate(length);
        }
        // A file of its own: for the seek, and since O_DIRECT cannot write one byte.
        let file = File::open(
            backing.volume.connection(),
            self.location.path(),
            libc::O_RDWR,
        )?;
        if file.can_seek() {
            return backing.file.truncate(length);
        }
        let last = file.read_byte(length - 1)?;
        backing.file.truncate(length - 1)?;
        file.write_byte(length - 1, last)?;
        file.close()
    }
}
