// SPDX-License-Identifier: GPL-2.0-or-later
//! The slots that hand an image over to another writer, and say what is done to it.

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

pub unsafe extern "C" fn change(bs: *mut BlkState, mode: u32, error: *mut BlkError) -> c_int {
    let body = || {
        let unknown = mode & !(BLK_LOCK_WRITE | BLK_LOCK_FORBID_WRITE);
        if unknown != 0 {
            return Err(Error::invalid(format!(
                "lock mode {mode:#x} is unknown; there are BLK_LOCK_WRITE and BLK_LOCK_FORBID_WRITE"
            )));
        }
        // SAFETY: the host's promise.
        let image = unsafe { image_of(bs) }?;
        image
            .change_lock(
                mode & BLK_LOCK_WRITE != 0,
                mode & BLK_LOCK_FORBID_WRITE != 0,
            )
            .map(|()| 0)
    };
    // SAFETY: as above.
    unsafe { guard::status(error, body) }
}
