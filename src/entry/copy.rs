// SPDX-License-Identifier: GPL-2.0-or-later
//! The slot that copies.

use super::*;

pub unsafe extern "C" fn aio_copy_range(
    src: *mut BlkState,
    src_offset: i64,
    dst: *mut BlkState,
    dst_offset: i64,
    bytes: i64,
    flags: u32,
    cb: BlkCompletionFunc,
    opaque: *mut c_void,
) -> *mut BlkAiocb {
    guard::handle(|| {
        if flags != 0 {
            return Err(Error::invalid(format!(
                "aio_copy_range: flags {flags:#x} are unknown; there are none yet"
            )));
        }
        // No visit to it during one to the other: two hosts' threads could wait for each other.
        // SAFETY: the host's promise, here and below.
        let source = unsafe { image_of(src)? }.id().raw();
        let kind = Kind::Copy {
            source,
            from: src_offset,
        };
        // SAFETY: as above.
        unsafe { submit(dst, kind, (dst_offset, bytes), Buffers::NONE, cb, opaque) }
    })
}
