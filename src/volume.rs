// SPDX-License-Identifier: GPL-2.0-or-later
//! A connected volume, shared by the images on it, and retired in the background.
//!
//! ```text
//!  acquire ──> connecting (helper thread, deadline) ──> connected ──> last image lets go ──> retiring ──> gone
//!                 │  one opener connects, the others wait                 (own thread, up to 10 s)
//!                 └─> failed: told to that opener; the next one tries again
//! ```

use crate::error::{Errno, Error, Result, Stage};
use crate::gfapi::{ConnectSpec, Connection, spawn_quietly};
use crate::report::{self, Level};
use once_cell::sync::OnceCell;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Every connection that an image uses or an opener waits for. Weak: the images own them.
static VOLUMES: Mutex<Option<HashMap<ConnectSpec, Weak<Volume>>>> = Mutex::new(None);

/// A volume that somebody connects to or is connected to.
pub struct Volume {
    spec: ConnectSpec,
    connection: OnceCell<Connection>,
}

/// A [`Volume`] that is connected.
#[derive(Clone)]
pub struct Connected(Arc<Volume>);

impl Connected {
    /// The connection.
    pub fn connection(&self) -> &Connection {
        self.0
            .connection
            .get()
            .expect("set before Connected is made")
    }
}

/// The connection that `spec` describes: the one that another image has, or a new one. Waits at
/// most `deadline` for a new one.
pub fn acquire(spec: &ConnectSpec, deadline: Duration) -> Result<Connected> {
    let volume = {
        let mut volumes = VOLUMES.lock();
        let volumes = volumes.get_or_insert_with(HashMap::new);
        match volumes.get(spec).and_then(Weak::upgrade) {
            Some(volume) => volume,
            None => {
                let volume = Arc::new(Volume {
                    spec: spec.clone(),
                    connection: OnceCell::new(),
                });
                volumes.insert(spec.clone(), Arc::downgrade(&volume));
                volume
            }
        }
    };
    volume
        .connection
        .get_or_try_init(|| connect(spec, deadline))?;
    Ok(Connected(volume))
}

impl Drop for Volume {
    fn drop(&mut self) {
        if let Some(volumes) = VOLUMES.lock().as_mut()
            // An opener may have put a new one in its place already.
            && volumes.get(&self.spec).is_some_and(|weak| weak.strong_count() == 0)
        {
            volumes.remove(&self.spec);
        }
        if let Some(connection) = self.connection.take() {
            retire(connection);
        }
    }
}

/// Ends a connection on a thread that nobody waits for: not the closing host, and not the exit of
/// the process.
fn retire(connection: Connection) {
    let spawned = spawn_quietly("blkg-retire", move || connection.dispose());
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

fn connect(spec: &ConnectSpec, deadline: Duration) -> Result<Connection> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let task = spec.clone();
    let spawned = spawn_quietly("blkg-connect", move || {
        let outcome = match Connection::connect(&task) {
            Ok(connection) => Ok(connection),
            Err((errno, leftover)) => {
                // The opener hears of it first; disposal takes seconds.
                let sent = sender.send(Err(errno));
                if let Some(leftover) = leftover {
                    leftover.dispose();
                }
                let _nobody_waits_any_more = sent;
                return;
            }
        };
        if let Err(mpsc::SendError(Ok(too_late))) = sender.send(outcome) {
            too_late.dispose();
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
    match receiver.recv_timeout(deadline) {
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
                deadline.as_secs()
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
