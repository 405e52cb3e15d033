// SPDX-License-Identifier: GPL-2.0-or-later
//! The only code that calls libgfapi.
//!
//! It keeps the rules that cost data or the host when broken:
//! 1. No `glfs_*` call is made from a completion callback: after a graph switch the network thread
//!    would wait for itself. [`Completion::complete`] must not call back into this module.
//! 2. A file is drained before it is closed, since libgfapi drops later completions
//!    ([`File::close`]'s contract).
//! 3. Write-behind is in pass-through ([`ConnectSpec::write_cache`]), or `image` does not believe a
//!    flush once a write or flush has failed.
//! 4. `glfs_copy_file_range` is never used: it sends source offset 0.
//! 5. `glfs_lseek` is never used on a file with requests in flight: its result travels through the
//!    fd's offset. The length comes from `fstat`, which write-behind answers after the writes that
//!    it acknowledged.
//! 6. One client event thread: `glfs_fini` crashes with more.
//! 7. `glfs_fsync_async` is never used. As that of every asynchronous call, its completion lets go of
//!    the descriptor that the file has by then, another one when the graph has changed meanwhile,
//!    whose memory is freed while in use. The others are used all the same: the README, under Limits.
//! 8. `glfs_lseek` never looks for data or holes on a disperse volume, unless far from the end: at
//!    or behind it, it sets the length of the file to zero.
//!
//! errno is read as the first thing after a call. Failures with errno 0 become EIO, or EINVAL while
//! connecting.

mod bricks;
mod direct;
mod lock;
mod socket;
mod space;
mod sys;
mod thread;
mod untold;
mod volfile;

#[cfg(test)]
pub use bricks::Member;
pub use bricks::{Brick, BrickSet, Link};
use direct::Aside;
pub use lock::Hold;
use lock::LockOwner;
pub use socket::connect_socket;
pub use thread::{ignore_broken_pipes, is_orphaned, spawn_quietly, watch_forks};
use untold::{Untold, Witness};
pub use volfile::Replicas;

use crate::error::Errno;
use libc::iovec;
use std::cell::Cell;
use std::ffi::{CStr, CString, c_int, c_void};
use std::mem::{ManuallyDrop, MaybeUninit};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::time::{Duration, Instant};

/// Result with the errno of a failed call.
pub type Result<T> = std::result::Result<T, Errno>;

/// libgfapi's GF_LOG_ERROR.
const LOG_ERROR: c_int = 4;

fn last_errno(fallback: i32) -> Errno {
    // SAFETY: __errno_location has no preconditions.
    Errno::new(unsafe { *libc::__errno_location() }, fallback)
}

/// errno is only written by failing calls; without this a failure that leaves it alone would report
/// an older one.
fn clear_errno() {
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = 0 }
}

/// `Err` with the errno just set when `ret` is negative.
fn check(ret: impl Into<i64>, fallback: i32) -> Result<i64> {
    let ret = ret.into();
    if ret < 0 {
        Err(last_errno(fallback))
    } else {
        Ok(ret)
    }
}

/// A server as libgfapi takes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerSpec {
    /// "tcp" or "unix".
    pub transport: &'static CStr,
    /// Host name, address, or path of the socket.
    pub host: CString,
    /// 0 for a socket.
    pub port: u16,
}

impl ServerSpec {
    /// Whether it is behind a socket on this machine.
    pub fn is_socket(&self) -> bool {
        self.transport == c"unix"
    }
}

/// Where libgfapi's messages go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LogSpec {
    /// A path, or "-" for stderr.
    pub file: CString,
    /// 0 to 9, as libgfapi counts: 4 for errors, 7 for what an administrator may want to know.
    pub level: i32,
}

impl LogSpec {
    /// What the option log-level calls it, which knows fewer.
    fn name(&self) -> &'static CStr {
        match self.level {
            0 => c"NONE",
            1..=3 => c"CRITICAL",
            4 => c"ERROR",
            5 => c"WARNING",
            6..=7 => c"INFO",
            8 => c"DEBUG",
            _ => c"TRACE",
        }
    }
}

/// An option of a translator of the client's, as libgfapi takes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct XlatorOption {
    /// Which translators, as fnmatch(3) reads it.
    pub pattern: CString,
    /// Its name.
    pub key: CString,
    /// Its value.
    pub value: CString,
}

/// All that shapes a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConnectSpec {
    /// Name of the volume.
    pub volume: CString,
    /// Asked in this order for the volume's description.
    pub servers: Vec<ServerSpec>,
    /// Whether write-behind may acknowledge writes from memory.
    pub write_cache: bool,
    /// Whether its files may be locked.
    pub locks: bool,
    /// Whether one whose lock a brick has forgotten is not served on.
    pub strict_locks: bool,
    /// `None`: nowhere.
    pub log: Option<LogSpec>,
    /// What the host asked for besides.
    pub tuning: Vec<XlatorOption>,
}

impl ConnectSpec {
    /// Client options, as (translator name pattern, key, value). They count only when set before
    /// glfs_init.
    fn xlator_options(&self) -> Vec<(&CStr, &CStr, &CStr)> {
        let level = self.log.as_ref().map_or(c"ERROR", LogSpec::name);
        let mut options = vec![
            // Each of these costs a thread hop or CPU per request and holds nothing that a disk
            // image needs.
            (c"*-io-threads", c"pass-through", c"true"),
            (c"*-md-cache", c"pass-through", c"true"),
            (c"*-read-ahead", c"pass-through", c"true"),
            (c"*-io-cache", c"pass-through", c"true"),
            // Without it, a failed open shows only at the first I/O.
            (c"*-open-behind", c"pass-through", c"true"),
            // quick-read knows no pass-through.
            (c"*-quick-read", c"max-file-size", c"0"),
            (c"*-client-*", c"event-threads", c"1"),
            // A read, also the one inside a write of a part of a stripe, that meets growth gets answers
            // of different lengths from the bricks: EIO, and bricks that need healing.
            (c"*-disperse-*", c"parallel-writes", c"off"),
            // The description of the volume gives its top translator a level of its own.
            (self.volume.as_c_str(), c"log-level", level),
        ];
        if !self.write_cache {
            options.push((c"*-write-behind", c"pass-through", c"true"));
        }
        if self.strict_locks {
            // Else a brick that was restarted serves a file on that it was told to lock, and has
            // forgotten the lock. With it such a file answers EBADFD.
            options.push((c"*-client-*", c"strict-locks", c"on"));
        }
        // With write-behind: not resync-failed-syncs-after-fsync. What it keeps of a failed write it sends after
        // newer writes of the same place, and reads of that place wait for the next fsync, perhaps for
        // ever. Without, what an outage took is gone, which `Image::honest` keeps from being hidden.
        let tuning = self.tuning.iter();
        options.extend(tuning.map(|option| (&*option.pattern, &*option.key, &*option.value)));
        options
    }
}

/// A connection that could not be made.
pub struct Failed {
    /// Why.
    pub errno: Errno,
    /// What was made of it all the same, to be disposed of, which takes as long as for a whole one.
    pub leftover: Option<Connection>,
    /// Gluster's threads of it may still be starting.
    pub has_threads: bool,
}

/// A connected volume.
pub struct Connection {
    raw: NonNull<sys::glfs>,
    /// With write-behind.
    untold: Option<Untold>,
    locks: bool,
    made: Instant,
}

// SAFETY: libgfapi allows calls on one glfs_t from any thread at once.
unsafe impl Send for Connection {}
// SAFETY: as above.
unsafe impl Sync for Connection {}

impl Connection {
    /// Connects. Blocks for as long as libgfapi likes (42 s for a host that drops packets, for ever
    /// for one that accepts and never answers), so it runs on a thread that nobody has to wait for. Gluster's threads inherit the signal mask of the calling thread.
    ///
    /// `servers` are those of the description, in the order in which to ask them.
    pub fn connect(
        spec: &ConnectSpec,
        servers: &[ServerSpec],
    ) -> std::result::Result<Connection, Failed> {
        clear_errno();
        // SAFETY: the name is NUL-terminated and copied.
        let raw = unsafe { sys::glfs_new(spec.volume.as_ptr()) };
        let Some(raw) = NonNull::new(raw) else {
            return Err(Failed {
                errno: last_errno(libc::ENOMEM),
                leftover: None,
                has_threads: false,
            });
        };
        let mut connection = Connection {
            raw,
            untold: spec.write_cache.then(Untold::default),
            locks: spec.locks,
            made: Instant::now(),
        };
        let failed = match connection.configure(spec, servers) {
            Ok(()) => match connection.init() {
                Ok(()) => {
                    connection.made = Instant::now();
                    return Ok(connection);
                }
                Err(errno) => (errno, true),
            },
            Err(errno) => (errno, false),
        };
        Err(Failed {
            errno: failed.0,
            leftover: Some(connection),
            has_threads: failed.1,
        })
    }

    fn configure(&self, spec: &ConnectSpec, servers: &[ServerSpec]) -> Result<()> {
        let fs = self.raw.as_ptr();
        for server in servers {
            clear_errno();
            // SAFETY: `fs` is live; the strings are NUL-terminated and copied.
            let ret = unsafe {
                sys::glfs_set_volfile_server(
                    fs,
                    server.transport.as_ptr(),
                    server.host.as_ptr(),
                    server.port.into(),
                )
            };
            check(ret, libc::EINVAL)?;
        }
        let (file, level) = match &spec.log {
            Some(log) => (log.file.as_c_str(), log.level),
            None => (c"/dev/null", LOG_ERROR),
        };
        clear_errno();
        // SAFETY: as above.
        let ret = unsafe { sys::glfs_set_logging(fs, file.as_ptr(), level) };
        check(ret, libc::EINVAL)?;
        for (pattern, key, value) in spec.xlator_options() {
            clear_errno();
            // SAFETY: as above.
            let ret = unsafe {
                sys::glfs_set_xlator_option(fs, pattern.as_ptr(), key.as_ptr(), value.as_ptr())
            };
            check(ret, libc::EINVAL)?;
        }
        Ok(())
    }

    fn init(&self) -> Result<()> {
        clear_errno();
        // SAFETY: the instance is live and was not initialised before.
        let ret = unsafe { sys::glfs_init(self.raw.as_ptr()) };
        // Positive values are failures too.
        if ret == 0 {
            Ok(())
        } else {
            Err(last_errno(libc::EINVAL))
        }
    }

    /// Since it was made.
    pub fn age(&self) -> Duration {
        self.made.elapsed()
    }

    /// Whether write-behind may acknowledge writes from memory.
    pub fn has_write_behind(&self) -> bool {
        self.untold.is_some()
    }

    /// Ends the connection. Takes up to 10 seconds, for a timer of libgfapi's: never on a thread of
    /// the host; and not before its threads run, of which libgfapi knows only then: it would free what
    /// they start with. Nothing tells when that is; they need a rest of a second or so.
    pub fn dispose(self) {
        // SAFETY: the caller gives the connection up, and files hold none (see `File::open`).
        unsafe { sys::glfs_fini(self.raw.as_ptr()) };
    }

    /// Removes a file.
    pub fn unlink(&self, path: &CStr) -> Result<()> {
        use_process_identity();
        clear_errno();
        // SAFETY: the connection is live; the path is NUL-terminated.
        let ret = unsafe { sys::glfs_unlink(self.raw.as_ptr(), path.as_ptr()) };
        check(ret, libc::EIO)?;
        Ok(())
    }
}

/// What the driver needs of a stat.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// Length in bytes.
    pub size: i64,
    /// Bytes occupied.
    pub allocated: i64,
    /// S_IFMT bits.
    pub kind: libc::mode_t,
    /// Which file of its volume it is.
    pub inode: libc::ino_t,
}

/// An open file. The connection that it was opened on must outlive it: its holder keeps both.
/// Dropping it closes it, with no request in flight (rule 2), and hides the error. With O_DIRECT it
/// takes any request all the same, see [`direct`].
pub struct File(
    NonNull<sys::glfs_fd>,
    Option<Box<Aside>>,
    LockOwner,
    Option<Witness>,
);

// SAFETY: libgfapi allows calls on one glfs_fd_t from any thread at once.
unsafe impl Send for File {}
// SAFETY: as above.
unsafe impl Sync for File {}

impl Drop for File {
    fn drop(&mut self) {
        let _ = self.close_here();
    }
}

impl File {
    /// Opens an existing file with the `O_*` flags.
    pub fn open(connection: &Connection, path: &CStr, flags: c_int) -> Result<File> {
        let mut file = File::open_one(connection, path, flags)?;
        if flags & libc::O_DIRECT != 0 {
            file.1 = Some(Aside::open(connection, path, flags, &file)?);
        }
        Ok(file)
    }

    fn open_one(connection: &Connection, path: &CStr, flags: c_int) -> Result<File> {
        use_process_identity();
        clear_errno();
        // SAFETY: the connection is live; the path is NUL-terminated.
        let raw = unsafe { sys::glfs_open(connection.raw.as_ptr(), path.as_ptr(), flags) };
        File::opened(connection, raw)
    }

    /// Creates a file, readable and writable by its owner.
    pub fn create(connection: &Connection, path: &CStr, flags: c_int) -> Result<File> {
        use_process_identity();
        clear_errno();
        // SAFETY: the connection is live; the path is NUL-terminated.
        let raw = unsafe {
            sys::glfs_creat(
                connection.raw.as_ptr(),
                path.as_ptr(),
                flags,
                libc::S_IRUSR | libc::S_IWUSR,
            )
        };
        File::opened(connection, raw)
    }

    fn opened(connection: &Connection, raw: *mut sys::glfs_fd) -> Result<File> {
        let mut file = NonNull::new(raw)
            .map(|raw| File(raw, None, LockOwner::none(), None))
            .ok_or_else(|| last_errno(libc::EIO))?;
        if let Some(untold) = &connection.untold {
            file.bear_witness(untold);
        }
        if connection.locks {
            file.own_locks()?;
        }
        Ok(file)
    }

    /// Closes it. No request may be in flight: its completion would be lost.
    pub fn close(mut self) -> Result<()> {
        let closed_aside = self.1.take().map_or(Ok(()), |aside| aside.close());
        let mut file = ManuallyDrop::new(self);
        let closed = file.close_here();
        drop(file.3.take());
        closed.and(closed_aside)
    }

    /// Once, and nothing after it.
    fn close_here(&self) -> Result<()> {
        use_process_identity();
        Witness::ask(self.3.as_ref(), || {
            clear_errno();
            // SAFETY: the file is live, and its owner gives it up.
            check(unsafe { sys::glfs_close(self.0.as_ptr()) }, libc::EIO).map(drop)
        })
    }

    /// Length, space and kind. Waits for acknowledged writes that write-behind still holds. Not while
    /// a write grows the file, see `image::length`.
    pub fn stat_settled(&self) -> Result<Stat> {
        let stat = self.stat()?;
        self.learn();
        // A sharded volume asks the bricks for the size with the next request: now, rather than when
        // the file grows. The byte does not matter, nor that O_DIRECT may refuse it.
        let _ = self.read_byte(0);
        Ok(stat)
    }

    /// The same as it is right now.
    pub fn stat(&self) -> Result<Stat> {
        use_process_identity();
        let mut stat = MaybeUninit::<libc::stat>::zeroed();
        clear_errno();
        // SAFETY: the file is live and `stat` has room.
        let ret = unsafe { sys::glfs_fstat(self.0.as_ptr(), stat.as_mut_ptr()) };
        check(ret, libc::EIO)?;
        // SAFETY: zeroed is a valid stat, and the call has filled it.
        let stat = unsafe { stat.assume_init() };
        Ok(Stat {
            size: stat.st_size,
            // A sharded volume's count can go below zero when its bricks were full.
            allocated: stat.st_blocks.saturating_mul(512).max(0),
            kind: stat.st_mode & libc::S_IFMT,
            inode: stat.st_ino,
        })
    }

    /// Sets the length.
    pub fn truncate(&self, length: i64) -> Result<()> {
        use_process_identity();
        clear_errno();
        // SAFETY: the file is live; both stats may be null.
        let ret = unsafe {
            sys::glfs_ftruncate(
                self.0.as_ptr(),
                length,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
            )
        };
        check(ret, libc::EIO)?;
        Ok(())
    }

    /// Whether the volume can tell data from holes. A sharded one cannot. Only on a file of one's own
    /// (rule 5).
    pub fn can_seek(&self) -> bool {
        use_process_identity();
        clear_errno();
        // SAFETY: the file is live.
        let ret = unsafe { sys::glfs_lseek(self.0.as_ptr(), 0, libc::SEEK_DATA) };
        // ENXIO: there is no data, which is an answer.
        ret >= 0 || last_errno(libc::EIO).get() == libc::ENXIO
    }

    /// Reads the byte at `offset`, which lies within the file.
    pub fn read_byte(&self, offset: i64) -> Result<u8> {
        use_process_identity();
        let mut byte = 0u8;
        clear_errno();
        // SAFETY: the file is live and there is room for one byte; the stat may be null.
        let ret = unsafe {
            sys::glfs_pread(
                self.0.as_ptr(),
                (&raw mut byte).cast(),
                1,
                offset,
                0,
                std::ptr::null_mut(),
            )
        };
        match check(ret as i64, libc::EIO)? {
            1 => Ok(byte),
            _ => Err(Errno::new(libc::EIO, libc::EIO)),
        }
    }

    /// Writes the byte at `offset` and puts it on stable storage.
    pub fn write_byte(&self, offset: i64, byte: u8) -> Result<()> {
        use_process_identity();
        clear_errno();
        // SAFETY: the file is live, `byte` is one byte; stats may be null.
        let written = unsafe {
            sys::glfs_pwrite(
                self.0.as_ptr(),
                (&raw const byte).cast(),
                1,
                offset,
                0,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
            )
        };
        if check(written as i64, libc::EIO)? != 1 {
            return Err(Errno::new(libc::EIO, libc::EIO));
        }
        self.flush()
    }

    /// Puts what was acknowledged on stable storage. Blocks for as long as the bricks do.
    pub fn flush(&self) -> Result<()> {
        self.flush_aside()?;
        use_process_identity();
        Witness::ask(self.3.as_ref(), || {
            clear_errno();
            let raw = self.0.as_ptr();
            // SAFETY: the file is live; both stats may be null.
            let ret = unsafe { sys::glfs_fsync(raw, std::ptr::null_mut(), std::ptr::null_mut()) };
            check(ret, libc::EIO).map(drop)
        })
    }

    /// Submits one operation. `Ok`: `C::complete` will be called once with `cookie`, on any thread,
    /// perhaps before this returns. `Err`: it never will.
    ///
    /// # Safety `cookie` satisfies `C`'s contract until the completion, and so do the buffers of a
    /// read. `Op`'s iovecs can be read until the call has been made, their elements are valid for their
    /// lengths. Not by reference: their owner may use them again before this returns.
    pub unsafe fn submit<C: Completion>(&self, op: Op, cookie: *mut c_void) -> Result<()> {
        use_process_identity();
        // SAFETY: the caller's.
        let fd = unsafe { self.way_of(&op) }.0.as_ptr();
        let done = Some(on_completion::<C> as unsafe extern "C" fn(_, _, _, _, _));
        clear_errno();
        // SAFETY: the file is live; iovec arrays are copied by libgfapi before it sends anything, what
        // they point to is the caller's promise.
        let ret = unsafe {
            match op {
                Op::Read { iov, offset } => sys::glfs_preadv_async(
                    fd,
                    iov.cast(),
                    iov.len() as c_int,
                    offset,
                    0,
                    done,
                    cookie,
                ),
                Op::Write {
                    iov,
                    offset,
                    through,
                } => {
                    let flags = if through { libc::O_DSYNC } else { 0 };
                    sys::glfs_pwritev_async(
                        fd,
                        iov.cast(),
                        iov.len() as c_int,
                        offset,
                        flags,
                        done,
                        cookie,
                    )
                }
                Op::Discard { offset, length } => {
                    sys::glfs_discard_async(fd, offset, length as usize, done, cookie)
                }
            }
        };
        check(ret, libc::EIO)?;
        Ok(())
    }

    /// # Safety
    /// As for `submit`.
    unsafe fn way_of(&self, op: &Op) -> &File {
        if self.1.is_none() {
            return self;
        }
        let (iov, offset, writes) = match *op {
            Op::Read { iov, offset } => (iov, offset, false),
            Op::Write { iov, offset, .. } => (iov, offset, true),
            // A disperse volume writes the parts of blocks at its ends.
            Op::Discard { offset, length } => return self.way(offset, length, true),
        };
        // SAFETY: the caller's.
        let elements = unsafe { &*iov };
        let length: usize = elements.iter().map(|element| element.iov_len).sum();
        self.way(offset, length as i64, writes)
    }
}

/// One call to libgfapi.
pub enum Op {
    /// Into the buffers, from the offset on.
    Read { iov: *const [iovec], offset: i64 },
    /// From the buffers, to the offset on; `through` asks write-behind and the brick to hold
    /// nothing back.
    Write {
        iov: *const [iovec],
        offset: i64,
        through: bool,
    },
    /// Gives space back.
    Discard { offset: i64, length: i64 },
}

/// Receiver of completions.
pub trait Completion {
    /// An operation has ended with a number of bytes or an errno. Runs on a thread of Gluster's or
    /// inside `submit`; must neither block nor call into this module.
    ///
    /// # Safety
    /// `cookie` is the one given to [`File::submit`], and this is its only completion.
    unsafe fn complete(cookie: *mut c_void, result: Result<u64>);

    /// `complete` panicked; the operation must end all the same.
    ///
    /// # Safety
    /// As for `complete`.
    unsafe fn complete_after_panic(cookie: *mut c_void);
}

unsafe extern "C" fn on_completion<C: Completion>(
    _fd: *mut sys::glfs_fd,
    ret: isize,
    _prestat: *mut sys::glfs_stat,
    _poststat: *mut sys::glfs_stat,
    cookie: *mut c_void,
) {
    // First of all: any libc call would overwrite it. On success it is garbage.
    let errno = last_errno(libc::EIO);
    let result = if ret < 0 { Err(errno) } else { Ok(ret as u64) };
    // SAFETY: libgfapi hands back the cookie of `submit`, once. A panic that this lets through has no
    // good end: the process aborts at this extern "C" boundary.
    unsafe { complete::<C>(cookie, result) };
}

/// Ends an operation, panics or not: one that was submitted, or one that was made in its place.
///
/// # Safety
/// As for [`Completion::complete`].
pub unsafe fn complete<C: Completion>(cookie: *mut c_void, result: Result<u64>) {
    // SAFETY: the caller's.
    let outcome = catch_unwind(AssertUnwindSafe(|| unsafe { C::complete(cookie, result) }));
    if outcome.is_err() {
        // SAFETY: as above.
        unsafe { C::complete_after_panic(cookie) };
    }
}

/// Fixes the identity that this thread's calls carry to the bricks. Otherwise libgfapi asks the
/// kernel for it, four system calls per request.
fn use_process_identity() {
    thread_local!(static FIXED: Cell<bool> = const { Cell::new(false) });
    if FIXED.replace(true) {
        return;
    }
    // SAFETY: getters of the process's identity; `groups` has room for as many as the kernel said.
    // A failure leaves libgfapi asking the kernel.
    unsafe {
        let mut groups: Vec<libc::gid_t> = Vec::new();
        let count = libc::getgroups(0, std::ptr::null_mut());
        if count > 0 {
            groups.resize(count as usize, 0);
            let filled = libc::getgroups(count, groups.as_mut_ptr());
            groups.truncate(filled.max(0) as usize);
        }
        sys::glfs_setfsuid(libc::geteuid());
        sys::glfs_setfsgid(libc::getegid());
        sys::glfs_setfsgroups(groups.len(), groups.as_ptr());
    }
}
