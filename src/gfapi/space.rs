// SPDX-License-Identifier: GPL-2.0-or-later
//! Calls about space and zeroes, all of which block: for threads that may wait for the bricks.

use super::*;

/// What is written where a volume cannot fill with zeroes by itself, again and again in one call.
static ZEROES: [u8; 64 << 10] = [0; 64 << 10];

/// Elements of such a call.
const REPEATED: usize = 16;

/// Bytes that such a call writes at most.
const MOST_ZEROES: i64 = (ZEROES.len() * REPEATED) as i64;

impl File {
    /// Makes a range read as zero, allocated, and grows the file when it ends past the end. One at
    /// a time on a file: a brick whose file system cannot do it writes from the position that all
    /// calls on its file share. EOPNOTSUPP on disperse volumes.
    pub fn zerofill(&self, offset: i64, length: i64) -> Result<()> {
        self.on_its_way(offset, length, true, |file| {
            use_process_identity();
            clear_errno();
            // SAFETY: the file is live.
            let ret = unsafe { sys::glfs_zerofill(file.0.as_ptr(), offset, length) };
            check(ret, libc::EIO)?;
            Ok(())
        })
    }

    /// Allocates space for a range, and grows the file when it ends past the end. What was there
    /// stays.
    pub fn fallocate(&self, offset: i64, length: i64) -> Result<()> {
        use_process_identity();
        clear_errno();
        // A sharded volume knows no KEEP_SIZE.
        let keep_size = 0;
        // SAFETY: the file is live.
        let ret =
            unsafe { sys::glfs_fallocate(self.0.as_ptr(), keep_size, offset, length as usize) };
        check(ret, libc::EIO)?;
        Ok(())
    }

    /// Gives the space of a range back.
    pub fn discard(&self, offset: i64, length: i64) -> Result<()> {
        self.on_its_way(offset, length, true, |file| {
            use_process_identity();
            clear_errno();
            // SAFETY: the file is live.
            let ret = unsafe { sys::glfs_discard(file.0.as_ptr(), offset, length as usize) };
            check(ret, libc::EIO)?;
            Ok(())
        })
    }

    /// Writes zeroes, as many as one call takes; how many it were. `through`: as for [`Op::Write`].
    pub fn write_zeroes(&self, offset: i64, length: i64, through: bool) -> Result<i64> {
        let length = length.clamp(0, MOST_ZEROES) as usize;
        let mut iov = [iovec {
            iov_base: ZEROES.as_ptr().cast_mut().cast(),
            iov_len: ZEROES.len(),
        }; REPEATED];
        let count = length.div_ceil(ZEROES.len()).max(1);
        iov[count - 1].iov_len = length - (count - 1) * ZEROES.len();
        let flags = if through { libc::O_DSYNC } else { 0 };
        self.on_its_way(offset, length as i64, true, |file| {
            use_process_identity();
            clear_errno();
            // SAFETY: the file is live, and a write only reads the elements, all of which are `ZEROES`.
            let ret = unsafe {
                sys::glfs_pwritev(file.0.as_ptr(), iov.as_ptr(), count as c_int, offset, flags)
            };
            check(ret as i64, libc::EIO)
        })
    }

    /// Writes all of the buffer. `through`: as for [`Op::Write`].
    pub fn write(&self, buffer: &[u8], offset: i64, through: bool) -> Result<()> {
        let flags = if through { libc::O_DSYNC } else { 0 };
        let written = self.on_its_way(offset, buffer.len() as i64, true, |file| {
            use_process_identity();
            clear_errno();
            // SAFETY: the file is live, so much can be read of the buffer, and the stats may be null.
            let ret = unsafe {
                sys::glfs_pwrite(
                    file.0.as_ptr(),
                    buffer.as_ptr().cast(),
                    buffer.len(),
                    offset,
                    flags,
                    std::ptr::null_mut(),
                    std::ptr::null_mut(),
                )
            };
            check(ret as i64, libc::EIO)
        })?;
        match usize::try_from(written) {
            Ok(written) if written == buffer.len() => Ok(()),
            // As for any other write.
            _ => Err(Errno::new(libc::EIO, libc::EIO)),
        }
    }

    /// Reads into the buffer; how many bytes, fewer at the end.
    pub fn read(&self, buffer: &mut [u8], offset: i64) -> Result<usize> {
        let file = self.way(offset, buffer.len() as i64, false);
        match file.read_here(buffer, offset) {
            Err(errno) if self.avoid_direct(errno) => self
                .way(offset, buffer.len() as i64, false)
                .read_here(buffer, offset),
            done => done,
        }
    }

    /// The same, by this descriptor.
    pub(super) fn read_here(&self, buffer: &mut [u8], offset: i64) -> Result<usize> {
        use_process_identity();
        clear_errno();
        // SAFETY: the file is live, the buffer has so much room, and the stat may be null.
        let ret = unsafe {
            sys::glfs_pread(
                self.0.as_ptr(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                offset,
                0,
                std::ptr::null_mut(),
            )
        };
        Ok((check(ret as i64, libc::EIO)? as usize).min(buffer.len()))
    }
}

/// Only on a file of one's own (rule 5), and never on a disperse volume (rule 8).
impl File {
    /// Where the next data begins, from `offset` on; `None` when there is none.
    pub fn seek_data(&self, offset: i64) -> Result<Option<i64>> {
        self.seek(offset, libc::SEEK_DATA)
    }

    /// Where the next hole begins, from `offset` on; the end is one. `None` behind it.
    pub fn seek_hole(&self, offset: i64) -> Result<Option<i64>> {
        self.seek(offset, libc::SEEK_HOLE)
    }

    fn seek(&self, offset: i64, what: c_int) -> Result<Option<i64>> {
        use_process_identity();
        clear_errno();
        // SAFETY: the file is live.
        let ret = unsafe { sys::glfs_lseek(self.0.as_ptr(), offset, what) };
        match check(ret, libc::EIO) {
            Ok(at) => Ok(Some(at)),
            Err(errno) if errno.get() == libc::ENXIO => Ok(None),
            Err(errno) => Err(errno),
        }
    }
}
