// SPDX-License-Identifier: GPL-2.0-or-later
//! The thread that connects: libgfapi knows no deadline, so the openers keep theirs while it waits.

use super::reach::reach;
use super::{Failure, Volume, explain, name, retire};
use crate::error::{Error, Result, Stage};
use crate::gfapi::{ConnectSpec, Connection, Failed, ServerSpec, spawn_quietly};
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Starts it. It owns the volume until it has an outcome: openers that come later join this attempt
/// instead of making another, however long libgfapi keeps it; when all have given up, what it gets is
/// retired. Up to `deadline` it looks for a server.
pub(super) fn start(volume: &Arc<Volume>, deadline: Instant) -> Result<()> {
    let attempt = Attempt(volume.clone());
    let spawned = spawn_quietly("blkg-connect", move || connect(attempt, deadline));
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

fn connect(attempt: Attempt, deadline: Instant) {
    let spec = &attempt.0.spec;
    let servers = match check_log(spec).and_then(|()| find_servers(spec, deadline)) {
        Ok(servers) => servers,
        Err(failure) => return attempt.0.settle(Err(failure)),
    };
    match connect_to(spec, &servers) {
        Ok(connection) => attempt.0.settle(Ok(connection)),
        Err(failed) => {
            let place = retire::Place::of_failed(spec);
            let why = Failure::Final(explain(spec, failed.errno));
            // The openers hear of it first; disposal takes seconds.
            attempt.0.settle(Err(why));
            drop(attempt);
            retire::dispose(failed, place);
        }
    }
}

/// GlusterFS 10.3's write-behind was seen to give older data back on sharded volumes, so these never
/// get it. A client option has to be set before it is known which kind of volume it is for.
fn connect_to(
    spec: &ConnectSpec,
    servers: &[ServerSpec],
) -> std::result::Result<Connection, Failed> {
    let first = Connection::connect(spec, servers)?;
    if !first.has_write_behind() || !first.is_sharded() {
        return Ok(first);
    }
    retire::retire(first);
    let through = ConnectSpec {
        write_cache: false,
        ..spec.clone()
    };
    Connection::connect(&through, servers)
}

/// libgfapi would print that it cannot open it, and go on.
fn check_log(spec: &ConnectSpec) -> std::result::Result<(), Failure> {
    let Some(log) = spec.log.as_ref().filter(|log| log.file.as_c_str() != c"-") else {
        return Ok(());
    };
    let path = Path::new(OsStr::from_bytes(log.file.as_bytes()));
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.map(drop).map_err(|why| {
        Failure::Final(Error::new(
            Stage::Connect,
            why.raw_os_error().unwrap_or(libc::EIO),
            format!(
                "cannot connect to volume '{}': its logfile '{}' cannot be opened: {why}",
                name(spec),
                path.display()
            ),
        ))
    })
}

/// Servers that know the volume, when there is room for another connection.
fn find_servers(
    spec: &ConnectSpec,
    deadline: Instant,
) -> std::result::Result<Vec<ServerSpec>, Failure> {
    loop {
        // Before it waits: what cannot succeed need not queue.
        let servers = reach(spec, deadline)?;
        // A server that hung up at last: nobody waits for what libgfapi says to that.
        if Instant::now() >= deadline {
            return Err(Failure::OutOfTime);
        }
        if retire::has_room(spec) {
            return Ok(servers);
        }
        if !retire::wait_for_room(spec, deadline) {
            return Err(Failure::OutOfTime);
        }
    }
}

/// Dropped without an outcome (no thread, or a panic), it fails the volume, so that nobody waits in
/// vain.
struct Attempt(Arc<Volume>);

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.0.outcome.get().is_none() {
            let text = format!(
                "cannot connect to volume '{}': the attempt broke off",
                name(&self.0.spec)
            );
            let why = Error::new(Stage::Connect, libc::EIO, text);
            self.0.settle(Err(Failure::Final(why)));
        }
    }
}
