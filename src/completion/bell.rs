// SPDX-License-Identifier: GPL-2.0-or-later
//! The bell that wakes the host: an eventfd, and whether it rings.
//!
//! A thread that finds the bell silent makes it ring, and only that one calls the kernel. It may be
//! slow to: the item may have been popped and the bell silenced before the fd is set, which then is
//! set for nothing, or once more. So the fd stays until all who began to ring have done so.

use super::sync::{AtomicU64, Ordering, fence, pause};
use std::io;
use std::os::fd::RawFd;

/// It rings, or is about to.
const RINGS: u64 = 1;
/// Nobody may ring any more.
const SHUT: u64 = 2;
/// From here on, how often somebody began to ring.
const ONCE: u64 = 4;

pub(super) struct Bell {
    state: AtomicU64,
    /// How often somebody has rung.
    rung: AtomicU64,
    fd: EventFd,
}

impl Bell {
    /// Shut.
    pub(super) fn new() -> Bell {
        Bell {
            state: AtomicU64::new(SHUT),
            rung: AtomicU64::new(0),
            fd: EventFd::new(),
        }
    }

    /// Makes the fd.
    pub(super) fn open(&self) -> io::Result<()> {
        self.fd.open()?;
        // Release: whoever rings from now on sees the fd.
        self.state.fetch_and(!(RINGS | SHUT), Ordering::Release);
        Ok(())
    }

    /// Closes the fd when all who began to ring are through. Nobody silences it any more.
    pub(super) fn shut(&self) {
        let begun = self.state.fetch_or(SHUT, Ordering::Relaxed) / ONCE;
        // Acquire: what they did to the fd comes before its end.
        while self.rung.load(Ordering::Acquire) != begun {
            pause();
        }
        self.fd.close();
    }

    pub(super) fn fd(&self) -> RawFd {
        self.fd.raw()
    }

    pub(super) fn rings(&self) -> bool {
        self.state.load(Ordering::Relaxed) & RINGS != 0
    }

    #[cfg(loom)]
    pub(super) fn is_readable(&self) -> bool {
        self.fd.is_readable()
    }

    /// Makes the fd readable, unless it is.
    pub(super) fn ring(&self) {
        // After the item and a fence: either the thread that silences the bell sees the item, or this
        // sees the silence.
        let mut state = self.state.load(Ordering::Relaxed);
        while state & (RINGS | SHUT) == 0 {
            // Acquire, from `open`.
            match self.state.compare_exchange_weak(
                state,
                (state + ONCE) | RINGS,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    self.fd.set();
                    self.rung.fetch_add(1, Ordering::Release);
                    return;
                }
                Err(now) => state = now,
            }
        }
    }

    /// Makes the fd unreadable. Then the caller looks for items once more, and rings if there are any:
    /// those who came meanwhile saw that it rings, and left it alone.
    pub(super) fn silence(&self) {
        self.fd.clear();
        self.state.fetch_and(!RINGS, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }
}

#[cfg(not(loom))]
use real::EventFd;

#[cfg(not(loom))]
mod real {
    use std::io;
    use std::os::fd::RawFd;
    use std::sync::atomic::{AtomicI32, Ordering};

    const NONE: RawFd = -1;

    /// An fd that is readable while the kernel's counter behind it is not 0.
    pub struct EventFd(AtomicI32);

    impl EventFd {
        pub fn new() -> EventFd {
            EventFd(AtomicI32::new(NONE))
        }

        pub fn open(&self) -> io::Result<()> {
            // SAFETY: no preconditions.
            let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            self.0.store(fd, Ordering::Relaxed);
            Ok(())
        }

        pub fn close(&self) {
            // SAFETY: opened here, and closed once: nobody uses it any more.
            unsafe { libc::close(self.0.swap(NONE, Ordering::Relaxed)) };
        }

        pub fn raw(&self) -> RawFd {
            self.0.load(Ordering::Relaxed)
        }

        pub fn set(&self) {
            let one = 1u64;
            // SAFETY: eight readable bytes. EAGAIN would take 2^64 of these, and no signal interrupts
            // a nonblocking write.
            unsafe { libc::write(self.raw(), (&raw const one).cast(), 8) };
        }

        pub fn clear(&self) {
            let mut count = 0u64;
            // SAFETY: room for eight bytes; a counter of 0 answers EAGAIN.
            unsafe { libc::read(self.raw(), (&raw mut count).cast(), 8) };
        }
    }
}

#[cfg(loom)]
use super::models::EventFd;
