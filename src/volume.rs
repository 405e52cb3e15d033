// SPDX-License-Identifier: GPL-2.0-or-later
//! A connected volume, shared by the images on it, and retired in the background.
//!
//! ```text
//!  acquire ──> connecting (helper thread) ──> connected ──> last image lets go ──> retiring ──> gone
//!                 │  openers wait, each until its own deadline             (own thread, up to 10 s)
//!                 └─> failed: told to those who wait; the next opener tries again
//! ```

use crate::error::{Errno, Error, Result, Stage};
use crate::gfapi::{ConnectSpec, Connection, spawn_quietly};
use crate::report::{self, Level};
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

/// Every connection that an image uses or an opener waits for. Weak: the images own them.
static VOLUMES: Mutex<Option<HashMap<ConnectSpec, Weak<Volume>>>> = Mutex::new(None);

/// A volume that somebody connects to or is connected to.
struct Volume {
    spec: ConnectSpec,
    /// Set once, by the thread that connects.
    outcome: OnceLock<std::result::Result<Connection, Errno>>,
    lock: Mutex<()>,
    settled: Condvar,
}

/// A volume that is connected.
#[derive(Clone)]
pub struct Connected(Arc<Volume>);

impl Connected {
    /// The connection.
    pub fn connection(&self) -> &Connection {
        match self.0.outcome.get() {
            Some(Ok(connection)) => connection,
            _ => unreachable!("Connected is made of a volume that is connected"),
        }
    }
}

/// The connection that `spec` describes: the one that another image has, or a new one. Waits at
/// most `deadline` for a new one.
pub fn acquire(spec: &ConnectSpec, deadline: Duration) -> Result<Connected> {
    let (volume, is_new) = find(spec);
    if is_new {
        volume.connect()?;
    }
    match volume.wait(deadline) {
        Some(Ok(_)) => Ok(Connected(volume)),
        Some(Err(errno)) => Err(explain(spec, *errno)),
        None => Err(Error::new(
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
    }
}

/// The volume that others use or wait for, or a new one; whether it is new.
fn find(spec: &ConnectSpec) -> (Arc<Volume>, bool) {
    let mut volumes = VOLUMES.lock();
    let volumes = volumes.get_or_insert_with(HashMap::new);
    match volumes.get(spec).and_then(Weak::upgrade) {
        Some(volume) if !matches!(volume.outcome.get(), Some(Err(_))) => (volume, false),
        _ => {
            let volume = Arc::new(Volume {
                spec: spec.clone(),
                outcome: OnceLock::new(),
                lock: Mutex::new(()),
                settled: Condvar::new(),
            });
            volumes.retain(|_, weak| weak.strong_count() > 0);
            volumes.insert(spec.clone(), Arc::downgrade(&volume));
            (volume, true)
        }
    }
}

impl Volume {
    /// Starts the thread that connects. It holds no reference that counts: when every opener has
    /// given up, what it gets is nobody's.
    fn connect(self: &Arc<Volume>) -> Result<()> {
        let attempt = Attempt(Arc::downgrade(self));
        let spec = self.spec.clone();
        let spawned = spawn_quietly("blkg-connect", move || {
            let attempt = attempt;
            match Connection::connect(&spec) {
                Ok(connection) => match attempt.0.upgrade() {
                    // Should they give up just now, the drop of the volume retires it.
                    Some(volume) => volume.settle(Ok(connection)),
                    None => connection.dispose(),
                },
                Err((errno, leftover)) => {
                    // The openers hear of it first; disposal takes seconds.
                    attempt.fail(errno);
                    if let Some(leftover) = leftover {
                        leftover.dispose();
                    }
                }
            }
        });
        spawned.map_err(|why| {
            Error::new(
                Stage::Connect,
                why.raw_os_error().unwrap_or(libc::EAGAIN),
                format!(
                    "cannot start a thread to connect to volume '{}': {why}",
                    name(&self.spec)
                ),
            )
        })
    }

    fn settle(&self, outcome: std::result::Result<Connection, Errno>) {
        // Under the lock, so that no waiter falls asleep between its look and this.
        let guard = self.lock.lock();
        // Only a second failure can find it settled.
        let _ = self.outcome.set(outcome);
        drop(guard);
        self.settled.notify_all();
    }

    /// `None` when nothing has come of it by then.
    fn wait(&self, deadline: Duration) -> Option<&std::result::Result<Connection, Errno>> {
        let end = Instant::now() + deadline;
        let mut guard = self.lock.lock();
        while self.outcome.get().is_none() && !self.settled.wait_until(&mut guard, end).timed_out()
        {
        }
        self.outcome.get()
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if let Some(Ok(connection)) = self.outcome.take() {
            retire(connection);
        }
    }
}

/// What the connecting thread holds. Dropped without an outcome (the thread could not start, or has
/// panicked), it fails the volume, so that nobody waits in vain.
struct Attempt(Weak<Volume>);

impl Attempt {
    fn fail(&self, errno: Errno) {
        if let Some(volume) = self.0.upgrade() {
            volume.settle(Err(errno));
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.fail(Errno::new(libc::EIO, libc::EIO));
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
