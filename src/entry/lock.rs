// SPDX-License-Identifier: GPL-2.0-or-later
//! The slots that hand an image over to another writer.

use super::*;

pub unsafe extern "C" fn release(bs: *mut BlkState, error: *mut BlkError) -> c_int {
    // SAFETY: the host's promise.
    let body = || unsafe { image_of(bs) }?.release_lock().map(|()| 0);
    // SAFETY: as above.
    unsafe { guard::status(error, body) }
}

pub unsafe extern "C" fn acquire(bs: *mut BlkState, error: *mut BlkError) -> c_int {
    // SAFETY: the host's promise.
    let body = || unsafe { image_of(bs) }?.acquire_lock().map(|()| 0);
    // SAFETY: as above.
    unsafe { guard::status(error, body) }
}
