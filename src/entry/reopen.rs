// SPDX-License-Identifier: GPL-2.0-or-later
//! The slots that reopen an image, and tell how it is open.

use super::*;

pub unsafe extern "C" fn prepare(
    bs: *mut BlkState,
    options: *const BlkOption,
    flags: u32,
    error: *mut BlkError,
) -> c_int {
    let body = || {
        // SAFETY: the host's promises of the header, here and below.
        let image = unsafe { image_of(bs) }?;
        // SAFETY: as above.
        let pairs = unsafe { input::options(options)? };
        check_flags(flags)?;
        image.prepare_reopen(&pairs, flags & BLK_O_RDWR != 0, flags & BLK_O_NOCACHE != 0)?;
        Ok(0)
    };
    // SAFETY: as above.
    unsafe { guard::status(error, body) }
}

pub unsafe extern "C" fn commit(bs: *mut BlkState) {
    // SAFETY: the host's promise.
    guard::nothing(|| unsafe { image_of(bs) }?.commit_reopen());
}

pub unsafe extern "C" fn abort(bs: *mut BlkState) {
    // SAFETY: the host's promise.
    guard::nothing(|| unsafe { image_of(bs) }?.abort_reopen());
}

pub unsafe extern "C" fn is_read_only(bs: *mut BlkState) -> c_int {
    // SAFETY: the host's promise.
    guard::small(|| Ok(c_int::from(!unsafe { image_of(bs) }?.is_read_write())))
}
