// SPDX-License-Identifier: GPL-2.0-or-later
//! What a host should keep to, so that nothing has to be cut or refused.

use super::*;
use crate::queue;
use crate::request::MAX_IOV;

/// Of an open image, in bytes but for `elements`.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest read or write to make.
    pub transfer: i64,
    /// Best one.
    pub best_transfer: i64,
    /// Largest discard, and largest write of zeroes.
    pub range: i64,
    /// Where an image ends at the latest.
    pub length: i64,
    /// Reads and writes whose offsets and lengths are multiples of it go the direct way.
    pub alignment: u32,
    /// Most buffer elements to make a read or write of.
    pub elements: u32,
}

/// Larger ones are cut into calls that all go at once, and libgfapi copies what is written.
const LARGEST_TRANSFER: i64 = 512 << 20;

/// Of the blocks that all disks take.
const USUAL_BLOCK: i64 = 4096;

impl Image {
    /// Asks the bricks for their block size when it matters.
    pub fn limits(&self) -> Result<Limits> {
        self.with_backing(|backing| {
            Ok(Limits {
                transfer: LARGEST_TRANSFER,
                best_transfer: queue::best_transfer(backing.volume.connection().is_sharded()),
                range: MAX_END,
                length: MAX_END,
                alignment: if self.direct {
                    backing.file.block().unwrap_or(USUAL_BLOCK).min(USUAL_BLOCK) as u32
                } else {
                    1
                },
                elements: MAX_IOV as u32,
            })
        })
    }
}
