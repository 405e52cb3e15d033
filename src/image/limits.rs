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

/// Of the smallest block that disks have, ...
const SMALL_BLOCK: u32 = 512;

/// ... and of those that refuse that one.
const LARGE_BLOCK: u32 = 4096;

impl Image {
    /// Asks the bricks for their block size when it matters.
    pub fn limits(&self) -> Result<Limits> {
        self.with_backing(|backing| {
            Ok(Limits {
                transfer: LARGEST_TRANSFER,
                best_transfer: queue::best_transfer(backing.volume.connection().is_sharded()),
                range: MAX_END,
                length: MAX_END,
                alignment: if self.direct.load(Ordering::Relaxed) {
                    alignment(&backing.file)
                } else {
                    1
                },
                elements: MAX_IOV as u32,
            })
        })
    }
}

/// What the bricks accept under O_DIRECT. When in doubt the larger one, which suits both.
fn alignment(file: &File) -> u32 {
    let mut sector = [0; SMALL_BLOCK as usize];
    // The second sector: a brick with larger ones refuses it. Behind the end it would not look.
    match file.read(&mut sector, SMALL_BLOCK.into()) {
        Ok(bytes) if bytes == sector.len() => SMALL_BLOCK,
        _ => LARGE_BLOCK,
    }
}
