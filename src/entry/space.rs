// SPDX-License-Identifier: GPL-2.0-or-later
//! The slots about zeroes and space.

use super::*;
use crate::image::Content;

pub unsafe extern "C" fn aio_write_zeroes(
    bs: *mut BlkState,
    offset: i64,
    bytes: i64,
    flags: u32,
    cb: BlkCompletionFunc,
    opaque: *mut c_void,
) -> *mut BlkAiocb {
    guard::handle(|| {
        let unknown = flags & !BLK_ZERO_MAY_UNMAP;
        if unknown != 0 {
            return Err(Error::invalid(format!(
                "aio_write_zeroes: flags {unknown:#x} are unknown; there is BLK_ZERO_MAY_UNMAP"
            )));
        }
        let kind = Kind::Zeroes {
            may_unmap: flags & BLK_ZERO_MAY_UNMAP != 0,
        };
        // SAFETY: the host's promise.
        unsafe { submit(bs, kind, (offset, bytes), Buffers::NONE, cb, opaque) }
    })
}

pub unsafe extern "C" fn block_status(
    bs: *mut BlkState,
    offset: i64,
    bytes: i64,
    status: *mut BlkBlockStatus,
    error: *mut BlkError,
) -> c_int {
    let body = || {
        // SAFETY: the host's promises of the header.
        let (image, status) = unsafe { (image_of(bs)?, input::room(status, "BlkBlockStatus")?) };
        let extent = image.status(offset, bytes)?;
        status.length = extent.length;
        status.flags = match extent.content {
            Content::Data => BLK_STATUS_DATA,
            Content::Zero => BLK_STATUS_ZERO,
            Content::Hole => BLK_STATUS_ZERO | BLK_STATUS_HOLE,
        };
        status.reserved = 0;
        Ok(0)
    };
    // SAFETY: the host's promise.
    unsafe { guard::status(error, body) }
}

pub unsafe extern "C" fn get_limits(
    bs: *mut BlkState,
    limits: *mut BlkLimits,
    error: *mut BlkError,
) -> c_int {
    let body = || {
        // SAFETY: the host's promises of the header.
        let (image, room) = unsafe { (image_of(bs)?, input::room(limits, "BlkLimits")?) };
        let limits = image.limits()?;
        *room = BlkLimits {
            struct_size: room.struct_size,
            max_transfer: limits.transfer,
            opt_transfer: limits.best_transfer,
            max_discard: limits.range,
            max_write_zeroes: limits.range,
            max_length: limits.length,
            request_alignment: limits.alignment,
            max_iov: limits.elements,
        };
        Ok(0)
    };
    // SAFETY: the host's promise.
    unsafe { guard::status(error, body) }
}
