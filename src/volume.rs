// SPDX-License-Identifier: GPL-2.0-or-later
//! A connected volume: shared by the images on it, kept warm for a while after the last of them,
//! and retired in the background.
//!
//! ```text
//!  acquire ─> connecting ──────> connected ─────────> warm ─────────────> retiring ─> gone
//!             helper thread:     by one image         after the last      own thread,
//!             server asked,      or more              image; an opener    up to 10 s
//!             then libgfapi;                          takes it back
//!             openers wait,
//!             each until its
//!             own deadline
//!               └─> failed: told to those who wait; the next opener tries again
//! ```

mod connect;
mod glusterd;
mod reach;
mod retire;
mod warm;

use crate::error::{Errno, Error, Result, Stage};
use crate::gfapi::{self, ConnectSpec, Connection, ServerSpec};
use crate::options::NAMED_SERVERS;
use crate::worker::Lane;
use once_cell::sync::OnceCell;
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Every connection that is used, warm, or waited for. Weak: the images, the warm list and the
/// connecting thread own them.
static VOLUMES: Mutex<Option<HashMap<ConnectSpec, Weak<Volume>>>> = Mutex::new(None);

/// A volume that somebody connects to or is connected to.
struct Volume {
    spec: ConnectSpec,
    /// Set once, by the thread that connects.
    outcome: OnceCell<Outcome>,
    lock: Mutex<()>,
    settled: Condvar,
    /// For the flushes of its images.
    flush_lane: Arc<Lane>,
    /// For their writes of zeroes.
    zero_lane: Arc<Lane>,
    /// For looking whether the bricks answer.
    check_lane: Arc<Lane>,
}

type Outcome = std::result::Result<Connection, Failure>;

/// Why an attempt to connect came to nothing.
enum Failure {
    /// Told to all who wait for it.
    Final(Error),
    /// The time of the opener that began it was over. Another one may have more.
    OutOfTime,
}

/// A volume that is connected, held for one image. Dropping it lets go, and keeps the connection
/// warm for the next image.
pub struct Connected {
    volume: Arc<Volume>,
    /// It was connected before this image came: what it leads to may be gone by now.
    reused: bool,
    keep: Duration,
}

impl Connected {
    /// The connection.
    pub fn connection(&self) -> &Connection {
        match self.volume.outcome.get() {
            Some(Ok(connection)) => connection,
            _ => unreachable!("Connected is made of a volume that is connected"),
        }
    }

    /// Where the flushes of its images wait for one another.
    pub fn flush_lane(&self) -> &Arc<Lane> {
        &self.volume.flush_lane
    }

    /// Where their writes of zeroes do.
    pub fn zero_lane(&self) -> &Arc<Lane> {
        &self.volume.zero_lane
    }

    /// Where looking whether their bricks answer does.
    pub fn check_lane(&self) -> &Arc<Lane> {
        &self.volume.check_lane
    }

    /// Whether it was made for an earlier image.
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// Lets go of a connection that proved useless, so that the next opener makes a new one.
    pub fn forget(mut self) {
        self.keep = Duration::ZERO;
        let mut volumes = VOLUMES.lock();
        if let Some(volumes) = volumes.as_mut() {
            volumes.retain(|_, weak| !std::ptr::eq(weak.as_ptr(), &*self.volume));
        }
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        warm::keep(&self.volume, self.keep);
    }
}

/// The connection that `spec` describes: the one that another image has or had, or a new one. Waits
/// at most `timeout` for a new one. It is kept for `keep` after its last image.
pub fn acquire(spec: &ConnectSpec, timeout: Duration, keep: Duration) -> Result<Connected> {
    if gfapi::is_orphaned() {
        return Err(Error::new(
            Stage::Connect,
            libc::EINVAL,
            format!(
                "cannot connect to volume '{}' in a process that was forked after its parent's first \
                 connection; fork before it, or exec",
                name(spec)
            ),
        ));
    }
    gfapi::watch_forks();
    let deadline = Instant::now() + timeout;
    loop {
        let (volume, is_new) = find(spec);
        let reused = volume.outcome.get().is_some();
        if is_new {
            connect::start(&volume, deadline)?;
        }
        match volume.wait(deadline) {
            Some(Ok(_)) => {
                return Ok(Connected {
                    volume,
                    reused,
                    keep,
                });
            }
            Some(Err(Failure::Final(error))) => return Err(error.clone()),
            Some(Err(Failure::OutOfTime)) if Instant::now() < deadline => {}
            _ => return Err(out_of_time(spec, timeout)),
        }
    }
}

fn out_of_time(spec: &ConnectSpec, timeout: Duration) -> Error {
    let text = if retire::has_room(spec) {
        format!(
            "cannot connect to volume '{}' through {}: no answer within {} s (ETIMEDOUT); \
             check that the address is right and that no firewall drops packets, or raise \
             connect-timeout",
            name(spec),
            servers(spec),
            timeout.as_secs()
        )
    } else {
        format!(
            "cannot connect to volume '{}' yet: too many earlier connections are still ending; \
             try again in some seconds",
            name(spec)
        )
    };
    Error::new(Stage::Connect, libc::ETIMEDOUT, text)
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
                outcome: OnceCell::new(),
                lock: Mutex::new(()),
                settled: Condvar::new(),
                flush_lane: Lane::new(),
                zero_lane: Lane::new(),
                check_lane: Lane::new(),
            });
            volumes.retain(|_, weak| weak.strong_count() > 0);
            volumes.insert(spec.clone(), Arc::downgrade(&volume));
            (volume, true)
        }
    }
}

impl Volume {
    fn settle(&self, outcome: Outcome) {
        // Under the lock, so that no waiter falls asleep between its look and this.
        let guard = self.lock.lock();
        // Only a second failure can find it settled.
        let _ = self.outcome.set(outcome);
        drop(guard);
        self.settled.notify_all();
    }

    /// `None` when nothing has come of it by then.
    fn wait(&self, deadline: Instant) -> Option<&Outcome> {
        let mut guard = self.lock.lock();
        while self.outcome.get().is_none()
            && !self.settled.wait_until(&mut guard, deadline).timed_out()
        {}
        self.outcome.get()
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if let Some(Ok(connection)) = self.outcome.take() {
            retire::retire(connection);
        }
    }
}

/// What errno says when this process is short of it.
const SHORT_OF: &str = "this process has run out of memory, threads or file descriptors";

/// What a refusal by a server, or by libgfapi, means.
fn explain(spec: &ConnectSpec, errno: Errno) -> Error {
    let advice = match errno.get() {
        libc::ENOENT => format!(
            "that server knows no volume '{}'; `gluster volume list` there names those it has",
            name(spec)
        ),
        libc::ENOTCONN | libc::ECONNREFUSED => "glusterd does not answer to libgfapi; check \
            that it runs, and that this process may open more files"
            .to_owned(),
        libc::ENOMEM | libc::EAGAIN | libc::EMFILE | libc::ENFILE => SHORT_OF.to_owned(),
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
    listed(spec.servers.iter().map(told))
}

/// As many as there is room for in front of the reason, and how many more there are.
fn listed(all: impl ExactSizeIterator<Item = String>) -> String {
    let more = all.len().saturating_sub(NAMED_SERVERS);
    let texts: Vec<String> = all.take(NAMED_SERVERS).collect();
    match more {
        0 => texts.join(", "),
        _ => format!("{}, … and {more} more", texts.join(", ")),
    }
}

fn told(server: &ServerSpec) -> String {
    let host = server.host.to_string_lossy();
    if server.is_socket() {
        format!("socket {host}")
    } else if host.contains(':') {
        format!("server [{host}]:{}", server.port)
    } else {
        format!("server {host}:{}", server.port)
    }
}
