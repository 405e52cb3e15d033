// SPDX-License-Identifier: GPL-2.0-or-later
//! What threads share, from the standard library and parking_lot; for the models, from loom.

#[cfg(not(loom))]
pub use parking_lot::{Condvar, Mutex};
#[cfg(not(loom))]
pub use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence};

#[cfg(loom)]
pub use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence};
#[cfg(loom)]
pub use model::{Condvar, Mutex};

/// Asks for the cache line of something that is written soon, which may be anywhere.
pub fn prefetch<T>(place: *const T) {
    #[cfg(all(not(loom), target_arch = "x86_64"))]
    // SAFETY: a hint, which does nothing to memory and cannot fault.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) place, options(nostack, preserves_flags, readonly))
    };
    #[cfg(any(loom, not(target_arch = "x86_64")))]
    let _ = place;
}

/// Some time later.
pub fn pause() {
    // Not a mere yield: a host thread of real-time priority would not let the others run.
    #[cfg(not(loom))]
    std::thread::sleep(std::time::Duration::from_micros(20));
    #[cfg(loom)]
    loom::thread::yield_now();
}

#[cfg(loom)]
mod model {
    /// parking_lot's, as far as it is used here.
    pub struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Mutex<T> {
            Mutex(loom::sync::Mutex::new(value))
        }

        pub fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }
    }

    /// As above.
    pub struct Condvar(loom::sync::Condvar);

    impl Condvar {
        pub fn new() -> Condvar {
            Condvar(loom::sync::Condvar::new())
        }

        pub fn wait<T>(&self, guard: &mut loom::sync::MutexGuard<'_, T>) {
            // SAFETY: loom's takes the guard and gives it back: the place is filled again before
            // anybody looks, and a panic in between ends the model.
            unsafe {
                let taken = std::ptr::read(guard);
                std::ptr::write(guard, self.0.wait(taken).unwrap());
            }
        }

        pub fn notify_all(&self) {
            self.0.notify_all();
        }
    }
}
