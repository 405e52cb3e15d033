// SPDX-License-Identifier: GPL-2.0-or-later
//! Why a request failed, in a sentence, for its own callback.

use super::*;
use std::cell::Cell;

#[derive(Clone, Copy)]
struct Failed {
    image: ImageId,
    kind: Kind,
    offset: i64,
    length: i64,
    errno: Errno,
}

thread_local! {
    /// Of the request whose callback runs on this thread, the innermost one, if it failed.
    static CURRENT: Cell<Option<Failed>> = const { Cell::new(None) };
}

/// While a callback runs. Nested ones put back what they found.
pub(super) struct During {
    before: Option<Failed>,
}

impl During {
    pub(super) fn new(image: &Image, outcome: &Outcome) -> During {
        let failed = outcome.result.err().map(|errno| Failed {
            image: image.id,
            kind: outcome.kind,
            offset: outcome.offset,
            length: outcome.length,
            errno,
        });
        During {
            before: CURRENT.replace(failed),
        }
    }
}

impl Drop for During {
    fn drop(&mut self) {
        CURRENT.set(self.before);
    }
}

impl Image {
    /// The sentence for a request that ended so.
    pub(super) fn request_failed(
        &self,
        kind: Kind,
        offset: i64,
        length: i64,
        errno: Errno,
    ) -> Error {
        let what = match kind {
            Kind::Flush => "a flush".to_owned(),
            Kind::Copy { .. } => {
                format!("a copy of {length} bytes to offset {offset}, here or where it reads them,")
            }
            kind => format!("a {} of {length} bytes at offset {offset}", kind.name()),
        };
        self.failed(&what, errno)
    }

    /// What the request failed with whose callback is running on this thread.
    pub fn request_error(&self) -> Result<Error> {
        match CURRENT.get().filter(|failed| failed.image == self.id) {
            Some(failed) => {
                Ok(self.request_failed(failed.kind, failed.offset, failed.length, failed.errno))
            }
            None => Err(self.error(
                libc::ENOENT,
                "no callback of a request of its that failed is running on this thread",
            )),
        }
    }
}
