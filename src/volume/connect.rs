// SPDX-License-Identifier: GPL-2.0-or-later
//! The thread that connects: libgfapi knows no deadline, so the openers keep theirs while it waits.

use super::{Failure, Volume, name, reach, retire};
use crate::error::{Errno, Error, Result, Stage};
use crate::gfapi::{ConnectSpec, Connection, Failed, ServerSpec, spawn_quietly};
use std::sync::Arc;

/// Starts it. It owns the volume until it has an outcome: openers that come later join this attempt
/// instead of making another, however long a silent server keeps it; when all have given up, what it
/// gets is retired.
pub(super) fn start(volume: &Arc<Volume>) -> Result<()> {
    let attempt = Attempt(volume.clone());
    let spawned = spawn_quietly("blkg-connect", move || {
        let attempt = attempt;
        let spec = &attempt.0.spec;
        let servers = match reach::order(&spec.servers) {
            Ok(servers) => servers,
            Err((errno, why)) => return attempt.0.settle(Err(Failure::unreachable(errno, why))),
        };
        // Here, where each opener's own deadline goes on.
        retire::wait_for_room(spec);
        match connect(spec, &servers) {
            Ok(connection) => attempt.0.settle(Ok(connection)),
            Err(failed) => {
                let place = retire::Place::of_failed(spec);
                // The openers hear of it first; disposal takes seconds.
                attempt.0.settle(Err(Failure::of(failed.errno)));
                drop(attempt);
                retire::dispose(failed, place);
            }
        }
    });
    spawned.map_err(|why| {
        Error::new(
            Stage::Connect,
            why.raw_os_error().unwrap_or(libc::EAGAIN),
            format!(
                "cannot start a thread to connect to volume '{}': {why}",
                name(&volume.spec)
            ),
        )
    })
}

/// GlusterFS 10.3's write-behind was seen to give older data back on sharded volumes, so these never
/// get it. A client option has to be set before it is known which kind of volume it is for.
fn connect(spec: &ConnectSpec, servers: &[ServerSpec]) -> std::result::Result<Connection, Failed> {
    let first = Connection::connect(spec, servers)?;
    if !first.has_write_behind() || !first.is_sharded() {
        return Ok(first);
    }
    retire::retire_young(first);
    let through = ConnectSpec {
        write_cache: false,
        ..spec.clone()
    };
    Connection::connect(&through, servers)
}

/// Dropped without an outcome (no thread, or a panic), it fails the volume, so that nobody waits in
/// vain.
struct Attempt(Arc<Volume>);

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.0.outcome.get().is_none() {
            self.0
                .settle(Err(Failure::of(Errno::new(libc::EIO, libc::EIO))));
        }
    }
}
