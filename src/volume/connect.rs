// SPDX-License-Identifier: GPL-2.0-or-later
//! Making a connection on a helper thread, with a deadline that libgfapi itself does not have.

use super::retire;
use crate::error::{Errno, Error, Result, Stage};
use crate::gfapi::{ConnectSpec, Connection, spawn_quietly};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Connects, or says why not. What a missed deadline leaves behind cleans itself up.
pub(super) fn connect(spec: &ConnectSpec, timeout: Duration) -> Result<Connection> {
    let deadline = Instant::now() + timeout;
    if !retire::wait_for_room(deadline) {
        return Err(Error::new(
            Stage::Connect,
            libc::ETIMEDOUT,
            format!(
                "cannot connect to volume '{}' yet: too many earlier connections are still ending; \
                 try again in some seconds",
                name(spec)
            ),
        ));
    }
    // A rendezvous: what nobody receives comes back to the sender.
    let (sender, receiver) = mpsc::sync_channel(0);
    let task = spec.clone();
    let spawned = spawn_quietly("blkg-connect", move || {
        // The opener hears of it first: ending what is left takes seconds.
        let useless = match Connection::connect(&task) {
            Ok(connection) => match sender.send(Ok(connection)) {
                Err(mpsc::SendError(Ok(too_late))) => Some(too_late),
                _ => None,
            },
            Err((errno, leftover)) => {
                let _nobody_may_wait_any_more = sender.send(Err(errno));
                leftover
            }
        };
        if let Some(connection) = useless {
            retire::dispose(connection);
        }
    });
    if let Err(why) = spawned {
        return Err(Error::new(
            Stage::Connect,
            why.raw_os_error().unwrap_or(libc::EAGAIN),
            format!(
                "cannot start a thread to connect to volume '{}': {why}",
                name(spec)
            ),
        ));
    }
    match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(errno)) => Err(explain(spec, errno)),
        Err(RecvTimeoutError::Timeout) => Err(Error::new(
            Stage::Connect,
            libc::ETIMEDOUT,
            format!(
                "cannot connect to volume '{}' through {}: no answer within {} s (ETIMEDOUT); check that the address is \
                 right and that no firewall drops packets, or raise connect-timeout",
                name(spec),
                servers(spec),
                timeout.as_secs()
            ),
        )),
        // Only a panic in libgfapi's wrapper ends the thread without a word.
        Err(RecvTimeoutError::Disconnected) => Err(Error::new(
            Stage::Connect,
            libc::EIO,
            format!(
                "connecting to volume '{}' through {} failed inside the driver",
                name(spec),
                servers(spec)
            ),
        )),
    }
}

fn explain(spec: &ConnectSpec, errno: Errno) -> Error {
    let advice = match errno.get() {
        libc::ENOENT => format!(
            "that server knows no volume '{}'; `gluster volume list` there names those it has",
            name(spec)
        ),
        libc::ENOTCONN | libc::ECONNREFUSED => {
            "no glusterd answers there; check the address, and that glusterd runs".to_owned()
        }
        libc::EIO => {
            "the volume is stopped or its bricks are down; see `gluster volume status`".to_owned()
        }
        libc::EACCES | libc::EPERM => {
            "the volume's auth.allow or auth.ssl-allow refuses this host".to_owned()
        }
        _ => "see glusterd's log on the server".to_owned(),
    };
    Error::new(
        Stage::Connect,
        errno.get(),
        format!(
            "cannot connect to volume '{}' through {}: {errno}; {advice}",
            name(spec),
            servers(spec)
        ),
    )
}

fn name(spec: &ConnectSpec) -> std::borrow::Cow<'_, str> {
    spec.volume.to_string_lossy()
}

fn servers(spec: &ConnectSpec) -> String {
    let texts: Vec<String> = spec
        .servers
        .iter()
        .map(|server| {
            let host = server.host.to_string_lossy();
            if server.transport == c"unix" {
                format!("socket {host}")
            } else if host.contains(':') {
                format!("server [{host}]:{}", server.port)
            } else {
                format!("server {host}:{}", server.port)
            }
        })
        .collect();
    texts.join(", ")
}
