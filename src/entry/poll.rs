// SPDX-License-Identifier: GPL-2.0-or-later
//! The slots for the host's poll loops, and for times without requests.

use super::*;

pub unsafe extern "C" fn detach(bs: *mut BlkState) -> c_int {
    guard::small(|| {
        // SAFETY: the host's promise.
        unsafe { image_of(bs) }?.detach()?;
        Ok(0)
    })
}

pub unsafe extern "C" fn attach(bs: *mut BlkState, error: *mut BlkError) -> c_int {
    // SAFETY: the host's promise.
    let body = || unsafe { image_of(bs) }?.attach().map(|()| 0);
    // SAFETY: as above.
    unsafe { guard::status(error, body) }
}

/// Without a report of what fails: it is asked again and again, also when the image is closed. Nor does
/// a loop that asks wait behind a close or a reopen that waits for a silent brick.
pub unsafe extern "C" fn is_ready(bs: *mut BlkState) -> c_int {
    guard::small(|| {
        // SAFETY: the host's promise.
        let image = unsafe { input::cell(bs) }.and_then(|cell| cell.look());
        Ok(match image {
            Ok(image) => image.has_ended_some().into(),
            Err(why) => why.errno.negated(),
        })
    })
}

pub unsafe extern "C" fn in_flight(bs: *mut BlkState) -> i64 {
    // SAFETY: the host's promise.
    guard::number(|| Ok(unsafe { image_of(bs) }?.in_flight() as i64))
}

pub unsafe extern "C" fn drain_begin(bs: *mut BlkState) -> c_int {
    guard::small(|| {
        // SAFETY: the host's promise.
        unsafe { image_of(bs) }?.begin_quiet()?;
        Ok(0)
    })
}

pub unsafe extern "C" fn drain_end(bs: *mut BlkState) -> c_int {
    guard::small(|| {
        // SAFETY: the host's promise.
        unsafe { image_of(bs) }?.end_quiet()?;
        Ok(0)
    })
}
