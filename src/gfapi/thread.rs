// SPDX-License-Identifier: GPL-2.0-or-later
//! Threads that never take a signal away from the host, and a signal that must not end it.

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

/// libgfapi writes to sockets without MSG_NOSIGNAL, also on the thread that submits: a brick that
/// dies at the wrong moment would end the process. A handler of the host's stays.
pub fn ignore_broken_pipes() {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null new action only asks, which fills `action` unless it fails; SIG_IGN runs no code.
    unsafe {
        if libc::sigaction(libc::SIGPIPE, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_DFL
        {
            libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        }
    }
}
