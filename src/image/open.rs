// SPDX-License-Identifier: GPL-2.0-or-later
//! Opening and creating images.

use super::lock::Mode;
use super::preallocate::{Progress, allocate, asked};
use super::zeroes::Filler;
use super::*;
use crate::options::{CreateOptions, Exists, OpenOptions, Preallocation};
use crate::volume;
use std::time::Instant;

/// How often an image that comes and goes is tried to be made or looked at.
const ATTEMPTS: usize = 10;

impl Image {
    /// Opens an image and starts polling for its completions.
    pub fn open(options: OpenOptions, poll_loop: Box<dyn PollLoop>) -> Result<ImageId> {
        let falls_back = options.falls_back();
        let location = options.location;
        let clock = Clock::start();
        let trace = Arc::new(Trace::new(location.trace, &location, clock));
        warn_about_rdma(&location);
        let mut flags = if options.read_write {
            libc::O_RDWR
        } else {
            libc::O_RDONLY
        };
        if options.no_cache {
            flags |= libc::O_DIRECT;
        }
        let (volume, (file, refused)) = on_volume("open", &location, &trace, |connection| {
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
        let flags = match refused {
            Some(_) => flags & !libc::O_RDWR | libc::O_RDONLY,
            None => flags,
        };
        // Before its length is looked at: another one may have changed it until then.
        let mode = match options.lock_later {
            true => None,
            false => Mode::of(read_write, options.share_rw),
        };
        let lock = Arc::new(ImageLock::take(&file, &location, mode)?);
        if lock.is_used() {
            trace.say(Verbosity::Steps, || "its lock is taken".to_owned());
        }
        if options.lock_later {
            lock.leave_to_host();
        }
        let (stat, completions) = Self::set_up(volume.connection(), &file, &location)?;
        let write_behind = volume.connection().has_write_behind();
        let is_sharded = volume.connection().is_sharded();
        let replicas = Arc::new(Replicas::of(volume.connection(), is_sharded));
        let length = Length::new(&stat);
        let loss = Loss::none(&location);
        let unflushed = options
            .strict_flush
            .then(|| Unflushed::new(&loss, length.changing.clone(), &volume));
        trace.say(Verbosity::Steps, || {
            format!(
                "open {}, {} bytes long{}{}",
                if read_write {
                    "for writing"
                } else {
                    "read-only"
                },
                stat.size,
                if is_sharded { ", in shards" } else { "" },
                if write_behind {
                    ", with write-behind"
                } else {
                    ""
                },
            )
        });
        let verbosity = location.trace;
        let statistics = options.statistics.then(|| Arc::new(Statistics::new(clock)));
        let watched = Watched::begin().map_err(|errno| {
            Error::new(
                Stage::Open,
                errno.get(),
                format!("cannot start a thread to watch over image {location}: {errno}"),
            )
        })?;
        let backing = Arc::new(Backing {
            file,
            lock: lock.clone(),
            status: Status::new(),
            flushing: Mutex::new(()),
            volume: Arc::new(volume),
            replicas,
            loss: loss.clone(),
            unflushed: unflushed.clone(),
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
            let survive = Survive::new(
                id,
                &location,
                flags,
                stat.inode,
                options.on_disconnect,
                &backing,
            );
            let slow = Slow::new(id, &location, options.slow_request, &backing);
            let image = Arc::new(Image {
                id,
                reopening: Reopening::new(&location, options.share_rw),
                location,
                read_write: AtomicBool::new(read_write),
                poll_loop,
                watching: Watching::new(),
                desk: Mutex::new(Desk {
                    slab: Slab::new(completions.get(), id.serial()),
                    queue: Queue::new(is_sharded),
                    delays: Delays::new(),
                    quiet: Quiet::new(),
                }),
                flushes: Flushes::new(statistics.clone(), trace.clone()),
                zeroes: Zeroes::new(&backing),
                copies: Copies::new(id),
                completions,
                outstanding: AtomicUsize::new(0),
                length,
                lock,
                proved: AtomicI64::new(stat.size.max(ALWAYS_PROVED)),
                write_behind: AtomicBool::new(write_behind),
                fears_loss: AtomicBool::new(write_behind),
                owed: AtomicI32::new(0),
                survive,
                loss,
                unflushed,
                slow,
                _watched: watched,
                failing: AtomicBool::new(false),
                clock,
                handy: Handy::new(),
                timed: statistics.is_some() || verbosity != Verbosity::Off,
                statistics,
                verbosity,
                trace,
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

    fn set_up(
        connection: &Connection,
        file: &File,
        location: &ImageLocation,
    ) -> Result<(gfapi::Stat, Lease<SlotRef>)> {
        let stat = file.stat_settled().map_err(|errno| {
            warn_openings(connection, location);
            cannot("look at", location, errno)
        })?;
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

    /// Makes an image of the given size, unless the one that is there is to be kept.
    pub fn create(options: &CreateOptions, progress: &mut Progress<'_>) -> Result<()> {
        let location = &options.location;
        let trace = Trace::new(location.trace, location, Clock::start());
        warn_about_rdma(location);
        // No O_TRUNC: on a sharded volume it empties the first shard only.
        let flags = libc::O_WRONLY | libc::O_CREAT;
        let (volume, made) = on_volume("create", location, &trace, |connection| {
            for _ in 0..ATTEMPTS {
                match File::create(connection, location.path(), flags | libc::O_EXCL) {
                    Err(errno) if errno.get() == libc::EEXIST => {}
                    created => return created.map(|file| Some((file, true))),
                }
                match options.exists {
                    Exists::Cut => {
                        let file = File::create(connection, location.path(), flags)?;
                        return Ok(Some((file, false)));
                    }
                    Exists::Fail => break,
                    // It may be a directory, or gone by now.
                    Exists::Keep => match is_directory(connection, location) {
                        Err(errno) if errno.get() == libc::ENOENT => {}
                        Ok(true) => return Err(Errno::new(libc::EISDIR, libc::EIO)),
                        looked => return looked.map(|_| None),
                    },
                }
            }
            Err(Errno::new(libc::EEXIST, libc::EIO))
        })?;
        let Some((file, is_new)) = made else {
            return Ok(());
        };
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
        trace.say(Verbosity::Steps, || match done {
            Ok(()) => format!("created, {} bytes long", options.size),
            Err(errno) => format!("not created: {errno}"),
        });
        done.map_err(|errno| {
            warn_openings(volume.connection(), location);
            cannot("create", location, errno)
        })
    }
}

/// Does the first thing with an image on its volume. A connection that an earlier image left behind
/// may lead nowhere by now; then a new one is made.
pub(super) fn on_volume<T>(
    verb: &str,
    location: &ImageLocation,
    trace: &Trace,
    body: impl Fn(&Connection) -> gfapi::Result<T>,
) -> Result<(Connected, T)> {
    let deadline = Instant::now() + location.connect_timeout;
    loop {
        let volume = volume::acquire(
            &location.connect_spec(),
            location.connect_timeout,
            location.keep_connection,
        )?;
        trace.say(Verbosity::Steps, || match volume.is_reused() {
            true => "an earlier image's connection is used".to_owned(),
            false => "connected to its volume".to_owned(),
        });
        if volume.is_reused() && is_sharded_by_now(volume.connection()) {
            volume.forget();
            continue;
        }
        let done = body(volume.connection());
        if done.is_err() {
            warn_openings(volume.connection(), location);
        }
        match done {
            Ok(done) => {
                trace.say(Verbosity::Steps, || "its file is open".to_owned());
                return Ok((volume, done));
            }
            Err(errno) if volume.is_reused() && leads_nowhere(errno) => {
                trace.say(Verbosity::Errors, || {
                    format!("that connection leads nowhere by now: {errno}; trying a new one")
                });
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

/// A directory can be opened like a file, for reading.
fn is_directory(connection: &Connection, location: &ImageLocation) -> gfapi::Result<bool> {
    let file = File::open(connection, location.path(), libc::O_RDONLY)?;
    Ok(file.stat()?.kind == libc::S_IFDIR)
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

/// What a call by an image's name failed with may be what write-behind had to tell of another opening.
fn warn_openings(connection: &Connection, location: &ImageLocation) {
    if !connection.has_write_behind() {
        return;
    }
    registry::each(|opened| {
        if opened.image.location.is_at(location) {
            opened.image.may_have_lost();
        }
    });
}

fn cannot(verb: &str, location: &ImageLocation, errno: Errno) -> Error {
    let advice = match errno.get() {
        libc::ENOENT => "; there is no such image, or no such directory, in the volume",
        libc::EISDIR => "; it names a directory",
        libc::EEXIST => "; something of that name is there, see create's option `exists`",
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
