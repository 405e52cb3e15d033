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
    /// Offsets and lengths of reads and writes are multiples of it.
    pub alignment: u32,
    /// Most buffer elements to make a read or write of.
    pub elements: u32,
}

/// Larger ones are cut into calls that all go at once, and libgfapi copies what is written.
const LARGEST_TRANSFER: i64 = 512 << 20;

impl Image {
    pub fn limits(&self) -> Result<Limits> {
        self.with_backing(|backing| {
            Ok(Limits {
                transfer: LARGEST_TRANSFER,
                best_transfer: queue::best_transfer(backing.volume.connection().is_sharded()),
                range: MAX_END,
                length: MAX_END,
                // Also with O_DIRECT, see `gfapi`.
                alignment: 1,
                elements: MAX_IOV as u32,
            })
        })
    }
}
