// SPDX-License-Identifier: GPL-2.0-or-later
//! The end of a connection: `glfs_fini` takes up to 10 seconds, so nobody waits for it.

use crate::gfapi::{Connection, spawn_quietly};
use crate::report::{self, Level};
use parking_lot::{Condvar, Mutex};

/// As many connections may retire at once; more openers of new ones have to wait. Each holds a dozen
/// threads and some MiB until it is gone.
const MOST: usize = 8;

static RETIRING: Mutex<usize> = Mutex::new(0);
static ONE_LESS: Condvar = Condvar::new();

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

/// Ends a connection on this thread, which must be one of our own.
pub(super) fn dispose(connection: Connection) {
    let _place = Place::take();
    connection.dispose();
}

/// One of those that retire.
struct Place;

impl Place {
    fn take() -> Place {
        *RETIRING.lock() += 1;
        Place
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *RETIRING.lock() -= 1;
        ONE_LESS.notify_all();
    }
}

/// Waits until another connection may be made.
pub(super) fn wait_for_room() {
    let mut retiring = RETIRING.lock();
    while *retiring >= MOST {
        ONE_LESS.wait(&mut retiring);
    }
}

/// Whether no other connection may be made now.
pub(super) fn is_full() -> bool {
    *RETIRING.lock() >= MOST
}
