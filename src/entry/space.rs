// SPDX-License-Identifier: GPL-2.0-or-later
//! The slots about zeroes and space.

use super::*;
use crate::image::Content;
use crate::options::{CreateOptions, Preallocation};

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

/// Asks the host whether to go on.
///
/// # Safety
/// The host's promises of the header.
unsafe fn go_on(progress: BlkProgressFunc, opaque: *mut c_void, done: i64, total: i64) -> bool {
    match progress {
        // SAFETY: the caller's.
        Some(progress) => unsafe { progress(opaque, done, total) == 0 },
        None => true,
    }
}

/// Both slots that create.
///
/// # Safety
/// The host's promises of the header.
pub unsafe fn create(
    protocol: &'static str,
    filename: *const c_char,
    options: *const BlkOption,
    progress: BlkProgressFunc,
    opaque: *mut c_void,
    error: *mut BlkError,
) -> c_int {
    let body = || {
        host::current()?;
        // SAFETY: the host's promises of the header.
        let pairs = unsafe { input::options(options)? };
        let filename = match filename.is_null() && options::name_a_place(&pairs) {
            true => None,
            // SAFETY: as above.
            false => Some(unsafe { input::text(filename, "filename")? }),
        };
        let options = CreateOptions::parse(protocol, filename, &pairs)?;
        // SAFETY: as above.
        Image::create(&options, &mut |done, total| unsafe {
            go_on(progress, opaque, done, total)
        })?;
        Ok(0)
    };
    // SAFETY: the host's promise.
    unsafe { guard::status(error, body) }
}

pub unsafe extern "C" fn truncate_with_preallocation(
    bs: *mut BlkState,
    length: i64,
    preallocation: c_int,
    progress: BlkProgressFunc,
    opaque: *mut c_void,
    error: *mut BlkError,
) -> c_int {
    let body = || {
        let how = match preallocation {
            BLK_PREALLOC_OFF => Preallocation::Off,
            BLK_PREALLOC_FALLOC => Preallocation::Falloc,
            BLK_PREALLOC_FULL => Preallocation::Full,
            other => {
                return Err(Error::invalid(format!(
                    "preallocation {other} is unknown; there are BLK_PREALLOC_OFF, _FALLOC and _FULL"
                )));
            }
        };
        // SAFETY: the host's promises of the header.
        let image = unsafe { image_of(bs)? };
        // SAFETY: as above.
        image.grow(length, how, &mut |done, total| unsafe {
            go_on(progress, opaque, done, total)
        })?;
        Ok(0)
    };
    // SAFETY: the host's promise.
    unsafe { guard::status(error, body) }
}
