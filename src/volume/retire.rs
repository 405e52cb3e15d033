// SPDX-License-Identifier: GPL-2.0-or-later
//! The end of a connection: `glfs_fini` takes up to 10 seconds, so nobody waits for it, except for
//! those who need a new connection while very many end.

use crate::gfapi::{ConnectSpec, Connection, spawn_quietly};
use crate::report::{self, Level};
use parking_lot::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// As many connections may retire at once; more openers of new ones have to wait. Each holds a dozen
/// threads and some MiB until it is gone.
const MOST: usize = 8;

/// As many leftovers of connections that failed may there be besides.
const MOST_FAILED: usize = 8;

/// But when this many are there, whoever connects to what has just failed has to wait: no storm of
/// vain attempts takes the places of those who may succeed.
const MOST_FAILED_AGAIN: usize = 4;

/// Between a failure and the disposal of what it left behind. Threads of libgfapi that have not run
/// by then would use what the disposal frees.
const REST: Duration = Duration::from_secs(3);

struct Ending {
    retiring: usize,
    /// What the leftovers were to lead to.
    failed: Vec<ConnectSpec>,
}

static ENDING: Mutex<Ending> = Mutex::new(Ending {
    retiring: 0,
    failed: Vec::new(),
});
static ONE_LESS: Condvar = Condvar::new();

impl Ending {
    fn has_room(&self, spec: &ConnectSpec) -> bool {
        let most_failed = if self.failed.contains(spec) {
            MOST_FAILED_AGAIN
        } else {
            MOST_FAILED
        };
        self.retiring < MOST && self.failed.len() < most_failed
    }
}

/// Whether a connection like that may be made now.
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

/// Ends a connection on a thread that nobody waits for: not the closing host, and not the exit of
/// the process.
pub(super) fn retire(connection: Connection) {
    // Counted before its thread runs: openers may be faster than that.
    let place = Place::take();
    let spawned = spawn_quietly("blkg-retire", move || {
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

/// One of those that retire.
struct Place;

impl Place {
    fn take() -> Place {
        ENDING.lock().retiring += 1;
        Place
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        ENDING.lock().retiring -= 1;
        ONE_LESS.notify_all();
    }
}

/// What a failed attempt left behind of a connection.
pub(super) struct Leftover {
    connection: Connection,
    place: FailedPlace,
}

impl Leftover {
    pub(super) fn new(spec: &ConnectSpec, connection: Connection) -> Leftover {
        Leftover {
            connection,
            place: FailedPlace::take(spec),
        }
    }

    /// Ends it on this thread, which must be one of our own.
    pub(super) fn dispose(self) {
        std::thread::sleep(REST);
        self.connection.dispose();
        drop(self.place);
    }
}

/// One of those that failed.
struct FailedPlace(ConnectSpec);

impl FailedPlace {
    fn take(spec: &ConnectSpec) -> FailedPlace {
        ENDING.lock().failed.push(spec.clone());
        FailedPlace(spec.clone())
    }
}

impl Drop for FailedPlace {
    fn drop(&mut self) {
        let mut ending = ENDING.lock();
        if let Some(at) = ending.failed.iter().position(|spec| *spec == self.0) {
            ending.failed.swap_remove(at);
        }
        drop(ending);
        ONE_LESS.notify_all();
    }
}
