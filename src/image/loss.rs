// SPDX-License-Identifier: GPL-2.0-or-later
//! Why no flush of an opening may say any more that all is well: something that was acknowledged, and
//! not flushed, may be gone from the bricks' memory.
//!
//! A kernel that could not write what it holds tells so once to each descriptor, drops it all the same,
//! and lets the next fsync succeed. So the failure of a brick's fsync is for good, as in QEMU's driver of
//! local files. It is not when bricks are out of reach: then none has answered.

use super::*;

/// Of one opening.
pub(super) struct Loss {
    /// For messages.
    name: String,
    noted: AtomicBool,
}

/// Says that no brick has answered to an fsync, or that no fsync was made.
fn is_no_answer(errno: Errno) -> bool {
    is_loss(errno) || matches!(errno.get(), libc::ETIMEDOUT | libc::EAGAIN)
}

impl Loss {
    /// None yet.
    pub(super) fn none(location: &ImageLocation) -> Arc<Loss> {
        Arc::new(Loss {
            name: location.to_string(),
            noted: AtomicBool::new(false),
        })
    }

    /// Whether there may be one.
    pub(super) fn is_noted(&self) -> bool {
        self.noted.load(Ordering::SeqCst)
    }

    /// There may be one, for this reason.
    #[cold]
    pub(super) fn note(&self, why: &str) {
        if self.noted.swap(true, Ordering::SeqCst) {
            return;
        }
        report::report(
            Level::Error,
            &format!(
                "image {}: {why}; no flush succeeds until it is closed and opened again",
                self.name
            ),
        );
    }

    /// What an fsync has come to.
    pub(super) fn judge(
        &self,
        synced: gfapi::Result<()>,
        connection: &Connection,
    ) -> gfapi::Result<()> {
        if let Err(errno) = synced
            && !is_no_answer(errno)
            && !connection.lacks_bricks()
        {
            self.note(&format!(
                "its bricks could not bring what they had acknowledged to stable storage ({errno}), and may \
                 have dropped it"
            ));
        }
        synced?;
        match self.is_noted() {
            true => Err(Errno::new(libc::EIO, libc::EIO)),
            false => Ok(()),
        }
    }
}
