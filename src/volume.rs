// SPDX-License-Identifier: GPL-2.0-or-later
//! A connected volume: shared by the images on it, kept warm for a while after the last of them,
//! and retired in the background.
//!
//! ```text
//!  acquire ─> connecting ─────────> connected ─────────> warm ─────────────> retiring ─> gone
//!             helper thread,        by one image         after the last      own thread,
//!             deadline; others      or more              image; an opener    up to 10 s
//!             wait for it                                takes it back
//!               └─> failed: told to that opener; the next one tries again
//! ```

mod connect;
mod retire;
mod warm;

use crate::error::Result;
use crate::gfapi::{ConnectSpec, Connection};
use once_cell::sync::OnceCell;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Every connection that is used, warm, or waited for. Weak: the images and the warm list own them.
static VOLUMES: Mutex<Option<Volumes>> = Mutex::new(None);

/// A volume that somebody connects to or is connected to.
struct Volume {
    spec: ConnectSpec,
    connection: OnceCell<Connection>,
}

/// A connection that was made, held for one image. Dropping it lets go, and keeps the connection
/// warm for the next image.
pub struct Connected {
    volume: Arc<Volume>,
    /// It was there before this image: what it leads to may be gone by now.
    reused: bool,
    keep: Duration,
}

impl Connected {
    /// The connection.
    pub fn connection(&self) -> &Connection {
        let connection = self.volume.connection.get();
        connection.expect("set before Connected is made")
    }

    /// Whether it was made for an earlier image.
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// Lets go of a connection that proved useless, so that the next opener makes a new one.
    pub fn forget(mut self) {
        self.keep = Duration::ZERO;
        if let Some(volumes) = VOLUMES.lock().as_mut() {
            remove_if(volumes, &self.volume.spec, |weak| {
                std::ptr::eq(weak.as_ptr(), &*self.volume)
            });
        }
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        warm::keep(&self.volume, self.keep);
    }
}

/// The connection that `spec` describes: the one that another image has or had, or a new one. Waits
/// at most `timeout` for a new one, and lets go of it `keep` after its last image.
pub fn acquire(spec: &ConnectSpec, timeout: Duration, keep: Duration) -> Result<Connected> {
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
    let mut reused = true;
    volume.connection.get_or_try_init(|| {
        reused = false;
        connect::connect(spec, timeout)
    })?;
    Ok(Connected {
        volume,
        reused,
        keep,
    })
}

type Volumes = HashMap<ConnectSpec, Weak<Volume>>;

fn remove_if(volumes: &mut Volumes, spec: &ConnectSpec, unwanted: impl Fn(&Weak<Volume>) -> bool) {
    if volumes.get(spec).is_some_and(unwanted) {
        volumes.remove(spec);
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if let Some(volumes) = VOLUMES.lock().as_mut() {
            // An opener may have put a new one in its place already.
            remove_if(volumes, &self.spec, |weak| weak.strong_count() == 0);
        }
        if let Some(connection) = self.connection.take() {
            retire::retire(connection);
        }
    }
}
