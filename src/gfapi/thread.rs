// SPDX-License-Identifier: GPL-2.0-or-later
//! Threads that never take a signal away from the host.

use std::mem::MaybeUninit;

/// Starts a detached thread with all signals blocked. Gluster's own threads, which `glfs_init`
/// makes on it, inherit the mask, so that the host's handlers run on the host's threads only.
pub fn spawn_quietly(name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both sets have room; sigfillset initialises `all`, pthread_sigmask initialises
    // `before`. Blocked before the thread is made: blocking inside it would leave a gap.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    let spawned = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body);
    // SAFETY: `before` was initialised above.
    unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
    }
    spawned.map(drop)
}
