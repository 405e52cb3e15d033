// SPDX-License-Identifier: GPL-2.0-or-later
//! Where an image holds data, as far as the volume can tell.
//!
//! The bricks are asked with `lseek`, on a file of its own that nothing else uses, opened and
//! looked at by the first question. Where they cannot tell, and whenever an answer makes no sense,
//! the honest one is "data":
//!
//! - A sharded volume has no lseek, and what it says of space allocated is wrong after a zerofill.
//! - A disperse volume is never asked: in GlusterFS 10.3 an lseek at the end of the image or behind
//!   it sets the image's length to zero, for good as soon as something is written. Only this
//!   driver's last look tells where the end is, and another host may have cut the image since.

use super::*;

/// What is known of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing: it may hold data.
    Data,
    /// It reads as zero.
    Zero,
    /// It reads as zero, since the bricks hold no data there.
    Hole,
}

/// The answer: so many bytes from the offset on are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Bytes.
    pub length: i64,
    /// What they hold.
    pub content: Content,
}

/// The file that is asked.
pub(super) struct Status(Mutex<Seeker>);

enum Seeker {
    /// Not looked at yet, or its file went bad.
    Unknown,
    /// The volume cannot tell.
    Mute,
    Tells(File),
}

/// Why there is no answer.
enum Silence {
    /// There never will be one.
    Mute,
    /// Perhaps next time.
    Now,
}

impl Status {
    pub(super) fn new() -> Status {
        Status(Mutex::new(Seeker::Unknown))
    }

    /// `None`: the volume cannot tell.
    fn ask(&self, image: &Image, backing: &Backing, offset: i64, length: i64) -> Option<Extent> {
        let mut seeker = self.0.lock();
        if let Seeker::Unknown = *seeker {
            match image.probe(backing) {
                Ok(file) => *seeker = Seeker::Tells(file),
                Err(Silence::Mute) => *seeker = Seeker::Mute,
                Err(Silence::Now) => return None,
            }
        }
        let Seeker::Tells(file) = &*seeker else {
            return None;
        };
        // Write-behind has no lseek: an fstat waits for what it has acknowledged of this image.
        let settled = if image.has_write_behind() {
            file.stat().map(drop)
        } else {
            Ok(())
        };
        if settled.is_err() {
            image.may_have_lost();
        }
        match settled.and_then(|()| extent(file, offset, length)) {
            Ok(extent) => Some(extent),
            Err(_) => {
                // Its descriptor may have gone bad with a brick: a new one next time.
                *seeker = Seeker::Unknown;
                None
            }
        }
    }
}

/// Asks the bricks. An answer that makes no sense is "data".
fn extent(file: &File, offset: i64, length: i64) -> gfapi::Result<Extent> {
    let all = |content| Extent { length, content };
    let up_to = |end: i64, content| Extent {
        length: length.min(end - offset),
        content,
    };
    match file.seek_data(offset)? {
        // Nothing up to the end, nor behind it.
        None => Ok(all(Content::Hole)),
        Some(data) if data > offset => Ok(up_to(data, Content::Hole)),
        Some(data) if data == offset => match file.seek_hole(offset)? {
            Some(hole) if hole > offset => Ok(up_to(hole, Content::Data)),
            _ => Ok(all(Content::Data)),
        },
        // Seen on some volumes.
        Some(_) => Ok(all(Content::Data)),
    }
}

impl Image {
    /// What `length` bytes from `offset` on hold: the first part of them that is alike. Covers what
    /// was acknowledged before.
    pub fn status(&self, offset: i64, length: i64) -> Result<Extent> {
        if offset < 0 || length < 0 {
            return Err(self.error(
                libc::EINVAL,
                &format!("was asked for the status of {length} bytes at offset {offset}"),
            ));
        }
        if offset.checked_add(length).is_none() {
            return Err(self.error(
                libc::EFBIG,
                &format!("was asked for the status of bytes at offset {offset} that end past 2^63"),
            ));
        }
        let nothing = Extent {
            length,
            content: Content::Data,
        };
        self.with_backing(|backing| {
            if length == 0 {
                return Ok(nothing);
            }
            if let Some(extent) = backing.status.ask(self, backing, offset, length) {
                return Ok(extent);
            }
            // What lies past the end reads as zero on any volume.
            let end = match self.length.known() {
                known if offset + length <= known => known,
                // A failure will show in whatever the host does with the data.
                known => match self.length.ask(&backing.file) {
                    Ok((size, _)) => size,
                    Err(_) => known.max(offset + length),
                },
            };
            Ok(if offset >= end {
                Extent {
                    length,
                    content: Content::Zero,
                }
            } else {
                Extent {
                    length: length.min(end - offset),
                    content: Content::Data,
                }
            })
        })
    }

    /// Opens the file to ask, and makes sure that the answers can be believed.
    fn probe(&self, backing: &Backing) -> std::result::Result<File, Silence> {
        let connection = backing.volume.connection();
        if connection.is_sharded() || connection.is_disperse() {
            return Err(Silence::Mute);
        }
        let open = || {
            let file = File::open(connection, self.location.path(), libc::O_RDONLY)?;
            Ok((file.stat()?, backing.file.stat()?, file))
        };
        let (here, there, file) = open().map_err(|_: Errno| {
            self.may_have_lost();
            Silence::Now
        })?;
        if here.inode != there.inode {
            // The path leads to another file by now.
            return Err(Silence::Mute);
        }
        // At the end there is no data; who says otherwise does not know.
        match file.seek_data(here.size) {
            Ok(None) => Ok(file),
            Ok(Some(_)) => Err(Silence::Mute),
            Err(errno) if matches!(errno.get(), libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL) => {
                Err(Silence::Mute)
            }
            Err(_) => Err(Silence::Now),
        }
    }
}
