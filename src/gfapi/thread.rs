// SPDX-License-Identifier: GPL-2.0-or-later
//! Threads that never take a signal away from the host, and a signal that must not end it.

use std::mem::MaybeUninit;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Set in a process that was forked when a connection had been made: Gluster's threads are not
/// there, and its locks are as they happened to be.
static ORPHANED: AtomicBool = AtomicBool::new(false);

/// Notices forks from now on.
pub fn watch_forks() {
    static WATCHING: Once = Once::new();

    extern "C" fn in_child() {
        ORPHANED.store(true, Ordering::Relaxed);
    }
    // SAFETY: the handler only stores a flag. The library is never unloaded, so it stays callable. A
    // failure (no memory) leaves forks unnoticed.
    WATCHING.call_once(|| unsafe {
        libc::pthread_atfork(None, None, Some(in_child));
    });
}

/// Whether libgfapi would hang here.
pub fn is_orphaned() -> bool {
    ORPHANED.load(Ordering::Relaxed)
}
