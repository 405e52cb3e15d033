// SPDX-License-Identifier: GPL-2.0-or-later
//! Opening and creating images.

use super::lock::Mode;
use super::preallocate::{Progress, allocate, asked};
use super::zeroes::Filler;
use super::*;
use crate::options::{CreateOptions, OpenOptions, Preallocation};
use crate::volume;
use std::time::Instant;

impl Image {
    /// Opens an image and starts polling for its completions.
    pub fn open(options: OpenOptions, poll_loop: Box<dyn PollLoop>) -> Result<ImageId> {
        let falls_back = options.falls_back();
        let location = options.location;
        warn_about_rdma(&location);
        let mut flags = if options.read_write {
            libc::O_RDWR
        } else {
            libc::O_RDONLY
        };
        if options.no_cache {
            flags |= libc::O_DIRECT;
        }
        let (volume, (file, refused)) =
            on_volume("open", &location, |connection| {
                match File::open(connection, location.path(), flags) {
                    Err(errno) if falls_back && forbids_writing(errno) => {
                        let flags = flags & !libc::O_RDWR | libc::O_RDONLY;
                        let file = File::open(connection, location.path(), flags)?;
                        Ok((file, Some(errno)))
                    }
                    opened => opened.map(|file| (file, None)),
                }
            })?;
        let read_write = options.read_write && refused.is_none();
        // Before its length is looked at: another one may have changed it until then.
        let mode = match options.lock_later {
            true => None,
            false => Mode::of(read_write, options.share_rw),
        };
        let lock = Arc::new(ImageLock::take(&file, &location, mode)?);
        if options.lock_later {
            lock.leave_to_host();
        }
        let (stat, completions) = Self::set_up(&file, &location)?;
        let write_behind = volume.connection().has_write_behind();
        let is_sharded = volume.connection().is_sharded();
        let replicas = Replicas::of(volume.connection(), is_sharded);
        let backing = Arc::new(Backing {
            file,
            lock: lock.clone(),
            status: Status::new(),
            volume,
            replicas,
        });
        if let Some(errno) = refused {
            report::report(
                Level::Warning,
                &format!(
                    "image {location} may not be written ({errno}): with auto-read-only=on it is \
                     open for reading"
                ),
            );
        }
        let image = registry::insert(|id| {
            let image = Arc::new(Image {
                id,
                reopening: Reopening::new(&location, options.share_rw),
                location,
                read_write: AtomicBool::new(read_write),
                direct: AtomicBool::new(options.no_cache),
                poll_loop,
                watching: Watching::new(),
                desk: Mutex::new(Desk {
                    slab: Slab::new(completions.get(), id.serial()),
                    queue: Queue::new(is_sharded),
                    quiet: Quiet::new(),
                }),
                flushes: Flushes::new(),
                zeroes: Zeroes::new(&backing),
                completions,
                outstanding: AtomicUsize::new(0),
                length: Length::new(&stat),
                lock,
                proved: AtomicI64::new(stat.size.max(ALWAYS_PROVED)),
                write_behind: AtomicBool::new(write_behind),
                fears_loss: AtomicBool::new(write_behind),
                owed: AtomicI32::new(0),
                failing: AtomicBool::new(false),
            });
            Opened {
                image,
                backing,
                draining: false,
            }
        })?;
        if let Err(why) = image.attach() {
            image.release();
            return Err(why);
        }
        Ok(image.id)
    }

    fn set_up(file: &File, location: &ImageLocation) -> Result<(gfapi::Stat, Lease<SlotRef>)> {
        let stat = file
            .stat_settled()
            .map_err(|errno| cannot("look at", location, errno))?;
        if stat.kind == libc::S_IFDIR {
            return Err(cannot(
                "open",
                location,
                Errno::new(libc::EISDIR, libc::EIO),
            ));
        }
        let completions = COMPLETIONS.open().map_err(|why| {
            let errno = Errno::new(why.raw_os_error().unwrap_or(0), libc::EMFILE);
            Error::new(
                Stage::Open,
                errno.get(),
                format!(
                    "cannot make an eventfd for image {location}: {errno}; an image takes one \
                     file descriptor"
                ),
            )
        })?;
        Ok((stat, completions))
    }

    /// Makes an image of the given size.
    pub fn create(options: &CreateOptions, progress: &mut Progress<'_>) -> Result<()> {
        let location = &options.location;
        warn_about_rdma(location);
        // No O_TRUNC: on a sharded volume it empties the first shard only.
        let flags = libc::O_WRONLY | libc::O_CREAT;
        let (volume, (file, is_new)) =
            on_volume("create", location, |connection| {
                match File::create(connection, location.path(), flags | libc::O_EXCL) {
                    Err(errno) if errno.get() == libc::EEXIST => {
                        let file = File::create(connection, location.path(), flags)?;
                        Ok((file, false))
                    }
                    created => created.map(|file| (file, true)),
                }
            })?;
        // Not what another one uses. It ends with the file.
        if let Err(why) = ImageLock::take(&file, location, Some(Mode::Writer)) {
            // Another one's by now, when it is locked.
            if is_new && why.errno.get() != libc::EBUSY {
                let _ = volume.connection().unlink(location.path());
            }
            return Err(why);
        }
        let emptied = match is_new {
            true => Ok(()),
            false => length::shorten(volume.connection(), &file, 0),
        };
        let sized = emptied.and_then(|()| file.truncate(options.size));
        let allocated = sized.and_then(|()| match options.preallocation {
            Preallocation::Off => Ok(()),
            how => allocate(
                &file,
                &Filler::new(),
                0,
                options.size,
                how,
                &mut |done, total| asked(progress, done, total),
            ),
        });
        if allocated.is_err() && !is_new {
            // Best effort, as below: not half of what was asked for.
            let _ = file.truncate(0);
        }
        let closed = file.close();
        let done = allocated.and(closed);
        if done.is_err() && is_new {
            // Best effort: the error to tell is the first.
            let _ = volume.connection().unlink(location.path());
        }
        done.map_err(|errno| cannot("create", location, errno))
    }
}

/// Does the first thing with an image on its volume. A connection that an earlier image left behind
/// may lead nowhere by now; then a new one is made.
pub(super) fn on_volume<T>(
    verb: &str,
    location: &ImageLocation,
    body: impl Fn(&Connection) -> gfapi::Result<T>,
) -> Result<(Connected, T)> {
    let deadline = Instant::now() + location.connect_timeout;
    loop {
        let volume = volume::acquire(
            &location.connect_spec(),
            location.connect_timeout,
            location.keep_connection,
        )?;
        if volume.is_reused() && is_sharded_by_now(volume.connection()) {
            volume.forget();
            continue;
        }
        match body(volume.connection()) {
            Ok(done) => return Ok((volume, done)),
            Err(errno) if volume.is_reused() && leads_nowhere(errno) => {
                volume.forget();
                // A silent brick took all of the opener's time.
                if Instant::now() > deadline {
                    return Err(cannot(verb, location, errno));
                }
            }
            Err(errno) => return Err(cannot(verb, location, errno)),
        }
    }
}

/// A new connection to a sharded volume has no write-behind; this one was made before it was.
fn is_sharded_by_now(connection: &Connection) -> bool {
    connection.has_write_behind() && connection.is_sharded()
}

/// The volume, or the image, is for reading only.
fn forbids_writing(errno: Errno) -> bool {
    matches!(errno.get(), libc::EROFS | libc::EACCES | libc::EPERM)
}

fn leads_nowhere(errno: Errno) -> bool {
    matches!(
        errno.get(),
        libc::ENOTCONN | libc::EBADFD | libc::ESTALE | libc::ENODEV
    )
}

fn cannot(verb: &str, location: &ImageLocation, errno: Errno) -> Error {
    let advice = match errno.get() {
        libc::ENOENT => "; there is no such image, or no such directory, in the volume",
        libc::EISDIR => "; it names a directory",
        libc::EACCES | libc::EPERM => {
            "; the process's user may not, see the image's owner and mode"
        }
        libc::EROFS => "; the volume is read-only, open it so or with auto-read-only=on",
        libc::ENOTCONN => "; the volume's bricks are out of reach, see `gluster volume status`",
        libc::EINVAL => {
            "; the bricks' file system may lack O_DIRECT (BLK_O_NOCACHE), or the size is beyond it"
        }
        libc::EFBIG => "; the size is beyond what the bricks' file system allows",
        libc::ENOSPC | libc::EDQUOT => "; make room on the bricks and try again",
        libc::EOPNOTSUPP => "; the bricks' file system cannot preallocate, see preallocation",
        _ => "",
    };
    Error::new(
        Stage::Open,
        errno.get(),
        format!("cannot {verb} image {location}: {errno}{advice}"),
    )
}

fn warn_about_rdma(location: &ImageLocation) {
    if location.wants_rdma() {
        report::report(
            Level::Warning,
            &format!(
                "image {location}: GlusterFS has no RDMA transport any more; connecting over TCP"
            ),
        );
    }
}
