// SPDX-License-Identifier: GPL-2.0-or-later
//! What write-behind could not write, and whom it told.
//!
//! Gluster's write-behind keeps what it could not write with the file, of which one client may have several
//! descriptors, and tells it once: to the next fsync or close of whichever of them comes. The others would
//! hear that all is well. So on a connection with write-behind all descriptors of a file share a count of
//! the failures, and none says so that has not seen it as it was when it was opened.

use super::{File, Result};
use crate::error::Errno;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

/// The failures of one file.
type Failures = Mutex<u64>;

/// Of the files of one connection.
#[derive(Default)]
pub(super) struct Untold(Mutex<HashMap<libc::ino_t, Weak<Failures>>>);

/// What one descriptor has of it.
#[derive(Clone)]
pub(super) struct Witness {
    /// Locked for as long as a call takes that may be told, so that what it is told is not missed by
    /// another one that ends at the same time.
    failures: Arc<Failures>,
    since: u64,
}

impl Untold {
    fn witness(&self, inode: libc::ino_t) -> Witness {
        let mut files = self.0.lock();
        let known = files.get(&inode).and_then(Weak::upgrade);
        let failures = known.unwrap_or_else(|| {
            files.retain(|_, failures| failures.strong_count() > 0);
            let failures = Arc::new(Failures::default());
            files.insert(inode, Arc::downgrade(&failures));
            failures
        });
        drop(files);
        let since = *failures.lock();
        Witness { failures, since }
    }
}

impl File {
    /// One that was just opened on a connection with write-behind.
    pub(super) fn bear_witness(&mut self, untold: &Untold) {
        // Those whose number cannot be had are taken for one file: too many hear of a failure.
        let inode = self.stat().map_or(0, |stat| stat.inode);
        self.3 = Some(untold.witness(inode));
    }
}

impl Witness {
    /// Makes a call that write-behind may tell a failure, and notes it if it does.
    pub(super) fn ask(witness: Option<&Witness>, call: impl FnOnce() -> Result<()>) -> Result<()> {
        let Some(witness) = witness else {
            return call();
        };
        let mut failures = witness.failures.lock();
        call().inspect_err(|_| *failures += 1)?;
        match *failures == witness.since {
            true => Ok(()),
            false => Err(Errno::new(libc::EIO, libc::EIO)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails() -> Result<()> {
        Err(Errno::new(libc::ENOSPC, libc::EIO))
    }

    fn ask(witness: &Witness, call: impl FnOnce() -> Result<()>) -> i32 {
        Witness::ask(Some(witness), call).map_or_else(|errno| errno.get(), |()| 0)
    }

    #[test]
    fn what_one_is_told_all_others_of_the_file_know_for_good() {
        let untold = Untold::default();
        let (one, two, other) = (untold.witness(7), untold.witness(7), untold.witness(8));
        assert_eq!(ask(&one, || Ok(())), 0);
        assert_eq!(ask(&two, fails), libc::ENOSPC);
        for _ in 0..2 {
            assert_eq!(ask(&one, || Ok(())), libc::EIO);
            assert_eq!(ask(&two, || Ok(())), libc::EIO);
        }
        assert_eq!(ask(&other, || Ok(())), 0);
    }

    #[test]
    fn a_later_opening_is_not_concerned() {
        let untold = Untold::default();
        let one = untold.witness(7);
        assert_eq!(ask(&one, fails), libc::ENOSPC);
        assert_eq!(ask(&untold.witness(7), || Ok(())), 0);
        assert_eq!(ask(&one, || Ok(())), libc::EIO);
        drop(one);
        assert_eq!(ask(&untold.witness(7), || Ok(())), 0);
    }
}
