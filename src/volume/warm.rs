// SPDX-License-Identifier: GPL-2.0-or-later
//! Connections that no image uses, kept for the next one: reopening costs milliseconds.

use super::Volume;
use crate::gfapi::spawn_quietly;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::time::{Duration, Instant};

struct Idle {
    /// Until when each is kept. One that is used again stays here meanwhile, which costs nothing.
    kept: Vec<(Instant, Arc<Volume>)>,
    /// Whether the thread that lets go of them runs.
    has_keeper: bool,
}

static IDLE: Mutex<Idle> = Mutex::new(Idle {
    kept: Vec::new(),
    has_keeper: false,
});
static CHANGED: Condvar = Condvar::new();

/// Keeps a volume for so long from now, or no longer, whatever an earlier image wanted.
pub(super) fn keep(volume: &Arc<Volume>, time: Duration) {
    let unkept = {
        let mut idle = IDLE.lock();
        let at = idle
            .kept
            .iter()
            .position(|(_, kept)| Arc::ptr_eq(kept, volume));
        let before = at.map(|at| idle.kept.swap_remove(at));
        if !time.is_zero() && has_keeper(&mut idle) {
            idle.kept.push((Instant::now() + time, volume.clone()));
        }
        // Also when one is kept no longer: the keeper would sleep until its time, an hour perhaps.
        CHANGED.notify_one();
        before
    };
    // Outside the lock: it may be the last reference, which begins to retire.
    drop(unkept);
}

/// Makes sure of a thread that lets go of them later.
fn has_keeper(idle: &mut Idle) -> bool {
    if !idle.has_keeper {
        idle.has_keeper = spawn_quietly("blkg-warm", let_go_in_time).is_ok();
    }
    idle.has_keeper
}

fn let_go_in_time() {
    let mut idle = IDLE.lock();
    while let Some(next) = idle.kept.iter().map(|(until, _)| *until).min() {
        if Instant::now() < next {
            CHANGED.wait_until(&mut idle, next);
            continue;
        }
        let (over, kept) = std::mem::take(&mut idle.kept)
            .into_iter()
            .partition::<Vec<_>, _>(|(until, _)| *until <= next);
        idle.kept = kept;
        parking_lot::MutexGuard::unlocked(&mut idle, || drop(over));
    }
    idle.has_keeper = false;
}
