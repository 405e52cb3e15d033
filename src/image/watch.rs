// SPDX-License-Identifier: GPL-2.0-or-later
//! One thread for all images, while any is open, that looks at them once a second. It calls nothing
//! that waits, neither for a brick nor for the host.

use super::registry;
use super::survive::Absent;
use crate::error::Errno;
use crate::gfapi::spawn_quietly;
use crate::worker::{Job, Lane, WORKERS};
use parking_lot::{Condvar, Mutex};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(1);

/// Something to be done by a thread that may wait.
pub(super) struct Errand {
    pub(super) lane: Arc<Lane>,
    pub(super) job: Arc<dyn Job>,
}

struct Watch {
    images: usize,
    /// There is a thread, which has not decided to end.
    runs: bool,
}

static WATCH: Mutex<Watch> = Mutex::new(Watch {
    images: 0,
    runs: false,
});
static NONE_LEFT: Condvar = Condvar::new();

/// An image that is looked at. Whoever lets go of the last one ends the thread.
pub(super) struct Watched(());

impl Watched {
    /// Starts the thread if there is none.
    pub(super) fn begin() -> Result<Watched, Errno> {
        let mut watch = WATCH.lock();
        if !watch.runs {
            start_watch()?;
            watch.runs = true;
        }
        watch.images += 1;
        Ok(Watched(()))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut watch = WATCH.lock();
        watch.images -= 1;
        if watch.images == 0 {
            NONE_LEFT.notify_all();
        }
    }
}

// In a forked child what the thread had allocated is lost: valgrind.supp knows that by the names of these two.
#[inline(never)]
fn start_watch() -> Result<(), Errno> {
    spawn_quietly("blkg-watch", run_watch)
        .map_err(|why| Errno::new(why.raw_os_error().unwrap_or(0), libc::EAGAIN))
}

#[inline(never)]
fn run_watch() {
    let mut watch = WATCH.lock();
    loop {
        let until = Instant::now() + INTERVAL;
        while watch.images > 0 && !NONE_LEFT.wait_until(&mut watch, until).timed_out() {}
        if watch.images == 0 {
            watch.runs = false;
            return;
        }
        parking_lot::MutexGuard::unlocked(&mut watch, || {
            // A panic must not end the watch over the other images. AssertUnwindSafe: as in `guard`.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                let (mut errands, mut looks) = (Vec::new(), Vec::new());
                registry::each(|opened| {
                    opened.image.survive.wants_look(&mut looks);
                    errands.extend(opened.image.survive.tick(&opened.image));
                    if let Some(unflushed) = &opened.image.unflushed {
                        errands.extend(unflushed.tick(opened.id()));
                    }
                    errands.extend(opened.image.slow.tick(&opened.image));
                });
                errands.extend(looks.into_iter().map(Absent::errand));
                for Errand { lane, job } in errands {
                    WORKERS.start(&lane, job);
                }
            }));
        });
    }
}
