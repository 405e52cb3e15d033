// SPDX-License-Identifier: GPL-2.0-or-later
//! The end of a connection: `glfs_fini` takes up to 10 seconds, so nobody waits for it.

use crate::gfapi::{ConnectSpec, Connection, Failed, spawn_quietly};
use crate::report::{self, Level};
use parking_lot::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// As many connections may retire at once; more openers of new ones have to wait. Each holds a dozen
/// threads and some MiB until it is gone.
const MOST: usize = 8;

/// The same for those that failed, of one description: whoever tries a wrong volume in a loop slows
/// down himself, nobody else ...
const MOST_FAILED: usize = 8;

/// ... up to so many of all descriptions.
const MOST_FAILED_EVER: usize = 32;

/// A connection that failed rests before its end. `glfs_init` leaves
/// threads behind that may not have run yet; `glfs_fini` waits only for those that have, and frees
/// what the others begin with. Not longer: the clients of a stopped replica volume try again every
/// 3 s, and one that does so while it is freed can die of it.
const REST: Duration = Duration::from_millis(1500);

/// One that was made rests until it is so old: its threads have had the whole of `glfs_init` to begin.
const ADULT: Duration = Duration::from_millis(200);

struct Ending {
    retired: usize,
    failed: Vec<ConnectSpec>,
}

static ENDING: Mutex<Ending> = Mutex::new(Ending {
    retired: 0,
    failed: Vec::new(),
});
static ONE_LESS: Condvar = Condvar::new();

/// Ends a connection on a thread that nobody waits for: not the closing host, and not the exit of
/// the process.
pub(super) fn retire(connection: Connection) {
    // Counted before its thread runs: openers may be faster than that.
    let place = Place::take(None);
    let spawned = spawn_quietly("blkg-retire", move || {
        std::thread::sleep(ADULT.saturating_sub(connection.age()));
        connection.dispose();
        drop(place);
    });
    if let Err(why) = spawned {
        // The connection was dropped with the closure: its threads and sockets stay until exit.
        // Waiting 10 seconds here instead could hang the host's main loop.
        report::report(
            Level::Warning,
            &format!(
                "no thread to end a connection with ({why}); it stays open until the process ends"
            ),
        );
    }
}

/// Ends what is left of a connection that failed, on this thread, which must be one of our own.
pub(super) fn dispose(failed: Failed, place: Place) {
    if failed.has_threads {
        std::thread::sleep(REST);
    }
    if let Some(leftover) = failed.leftover {
        leftover.dispose();
    }
    drop(place);
}

/// One of those that end.
pub(super) struct Place {
    /// Of one that failed.
    spec: Option<ConnectSpec>,
}

impl Place {
    /// Taken before its openers hear of the failure: the next attempt comes right behind.
    pub(super) fn of_failed(spec: &ConnectSpec) -> Place {
        Place::take(Some(spec.clone()))
    }

    fn take(spec: Option<ConnectSpec>) -> Place {
        let mut ending = ENDING.lock();
        match &spec {
            Some(spec) => ending.failed.push(spec.clone()),
            None => ending.retired += 1,
        }
        Place { spec }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut ending = ENDING.lock();
        match &self.spec {
            Some(spec) => {
                let at = ending.failed.iter().position(|failed| failed == spec);
                at.map(|at| ending.failed.swap_remove(at));
            }
            None => ending.retired -= 1,
        }
        ONE_LESS.notify_all();
    }
}

impl Ending {
    fn has_room(&self, spec: &ConnectSpec) -> bool {
        let same = self.failed.iter().filter(|failed| *failed == spec).count();
        self.retired < MOST && same < MOST_FAILED && self.failed.len() < MOST_FAILED_EVER
    }
}

/// Whether another connection of that description may be made now.
pub(super) fn has_room(spec: &ConnectSpec) -> bool {
    ENDING.lock().has_room(spec)
}

/// Waits until it may, not beyond `deadline`; whether it may.
pub(super) fn wait_for_room(spec: &ConnectSpec, deadline: Instant) -> bool {
    let mut ending = ENDING.lock();
    while !ending.has_room(spec) {
        if ONE_LESS.wait_until(&mut ending, deadline).timed_out() {
            return ending.has_room(spec);
        }
    }
    true
}
