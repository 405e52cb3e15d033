// SPDX-License-Identifier: GPL-2.0-or-later
//! Every C-visible type and constant, and its documentation; `include/blkgluster.h` is
//! generated from this file. Nothing here has behaviour.

use libc::iovec;
use std::ffi::{c_char, c_int, c_void};

/// Version of this header. A table with another `abi_version` is refused with -EINVAL; within
/// one version structs only grow at their end.
pub const BLK_ABI_VERSION: u32 = 1;

/// Bytes in a sector of the sector calls.
pub const BLK_SECTOR_SIZE: u32 = 512;

/// Open flag: reads and writes; without it the image is read-only.
pub const BLK_O_RDWR: u32 = 0x0002;

/// Open flag: bypass the caches. The bricks open the file with O_DIRECT. Requests of any offset and
/// length are taken: those that are not made of whole blocks of the bricks' (512 or 4096 bytes; 4096
/// serves all, but for some disperse volumes) go through their page caches, where the rest of a block
/// stays as it is, whoever else writes it. Write-behind is in pass-through as with option `write-cache=off`: a write is acknowledged only when it is on the
/// bricks.
pub const BLK_O_NOCACHE: u32 = 0x0020;

/// aio_write_zeroes flag: the space of what is zero need not stay allocated.
pub const BLK_ZERO_MAY_UNMAP: u32 = 0x0001;

/// BlkBlockStatus.flags: the bytes may hold data; nothing else is known of them.
pub const BLK_STATUS_DATA: u32 = 0x0001;
/// BlkBlockStatus.flags: the bytes read as zero.
pub const BLK_STATUS_ZERO: u32 = 0x0002;
/// BlkBlockStatus.flags, with BLK_STATUS_ZERO: the bricks hold no data there. Space may have been
/// allocated all the same, by preallocation or aio_write_zeroes.
pub const BLK_STATUS_HOLE: u32 = 0x0004;

/// Preallocation: new space is allocated as it is written.
pub const BLK_PREALLOC_OFF: c_int = 0;
/// Preallocation: new space is allocated at once (fallocate).
pub const BLK_PREALLOC_FALLOC: c_int = 1;
/// Preallocation: new space is allocated and filled with zeroes at once, by the bricks where they
/// can.
pub const BLK_PREALLOC_FULL: c_int = 2;

/// Open flag, with locking: no lock is taken yet; lock_change does.
pub const BLK_O_LOCK_LATER: u32 = 0x0100;

/// lock_change: this host writes the image.
pub const BLK_LOCK_WRITE: u32 = 0x0001;
/// lock_change: nobody else may write it.
pub const BLK_LOCK_FORBID_WRITE: u32 = 0x0002;

/// Report level: an operation failed.
pub const BLK_REPORT_ERROR: c_int = 0;
/// Report level: it works, but not as asked (for example RDMA that became TCP).
pub const BLK_REPORT_WARNING: c_int = 1;
/// Report level: worth knowing.
pub const BLK_REPORT_INFO: c_int = 2;
/// Report level: one step of an image, or one of its requests. Only for an image that was opened or
/// created with option `trace`; a host that does not know this level treats it as BLK_REPORT_INFO, or
/// drops it.
pub const BLK_REPORT_DEBUG: c_int = 3;

/// BlkError.stage: no error.
pub const BLK_STAGE_NONE: c_int = 0;
/// BlkError.stage: an argument, an option or the URI was wrong; nothing was contacted.
pub const BLK_STAGE_PARSE: c_int = 1;
/// BlkError.stage: the connection to the volume failed.
pub const BLK_STAGE_CONNECT: c_int = 2;
/// BlkError.stage: the image could not be opened or created.
pub const BLK_STAGE_OPEN: c_int = 3;
/// BlkError.stage: an operation on an open image failed.
pub const BLK_STAGE_IO: c_int = 4;

/// format_statistics: lines for a person. Their wording may change.
pub const BLK_STATISTICS_TEXT: c_int = 0;
/// format_statistics: one JSON object (RFC 8259), without a newline at its end. Later versions add
/// members.
pub const BLK_STATISTICS_JSON: c_int = 1;
/// format_statistics: Prometheus' text format, version 0.0.4 (Content-Type
/// `text/plain; version=0.0.4`). Metrics are named blkgluster_*, and have a label `image`, its URI.
/// Later versions add metrics.
pub const BLK_STATISTICS_PROMETHEUS: c_int = 2;

/// BlkLatency.buckets.
pub const BLK_LATENCY_BUCKETS: usize = 32;

/// BlkOperations.failed: its elements.
pub const BLK_FAILED_CLASSES: usize = 8;
/// BlkOperations.failed: with -ENOTCONN, the bricks were out of reach.
pub const BLK_FAILED_ENOTCONN: usize = 0;
/// BlkOperations.failed: with -EBADFD, the bricks no longer knew the open file.
pub const BLK_FAILED_EBADFD: usize = 1;
/// BlkOperations.failed: with -EIO.
pub const BLK_FAILED_EIO: usize = 2;
/// BlkOperations.failed: with -ENOSPC or -EDQUOT, the bricks were full.
pub const BLK_FAILED_ENOSPC: usize = 3;
/// BlkOperations.failed: with -ECANCELED.
pub const BLK_FAILED_ECANCELED: usize = 4;
/// BlkOperations.failed: with another errno.
pub const BLK_FAILED_OTHER: usize = 5;

/// A request in flight. The library owns it; the handle is valid until its callback has returned.
/// Never dereference it. A handle that is no longer valid is recognised, and cancelling it does
/// nothing.
#[repr(C)]
pub struct BlkAiocb {
    _private: [u8; 0],
}

/// Called once for each accepted request, on the thread that drains the image's completion fd.
/// `ret` is 0 on success and -errno on failure. `opaque` is the one given with the request.
pub type BlkCompletionFunc = Option<unsafe extern "C" fn(opaque: *mut c_void, ret: c_int)>;

/// Told by create_with_progress and truncate_with_preallocation, on the thread that called them,
/// that `done` of `total` bytes have their space: with 0 at first, then after each chunk of up to
/// 64 MiB. `opaque` is the one given with the call. Returns 0 to go on; anything else ends the call
/// with -ECANCELED. It may use the image, but must neither close nor drain it, nor give up its
/// lock, nor wait for requests that reach past its end.
pub type BlkProgressFunc =
    Option<unsafe extern "C" fn(opaque: *mut c_void, done: i64, total: i64) -> c_int>;

/// What the host calls when a completion fd is readable, with the `arg` that came with it.
/// Calling it once too often, or after the image was closed, does nothing.
pub type BlkFdHandler = Option<unsafe extern "C" fn(arg: *mut c_void)>;

/// A name and its value, both NUL-terminated text. Frozen: it will never grow. Lists end with a
/// NULL name. The seed's counterpart is QEMUOptionParameter.
#[repr(C)]
pub struct BlkOption {
    /// Name of the option, NULL at the end of a list.
    pub name: *const c_char,
    /// Its value as text; NULL is -EINVAL.
    pub value: *const c_char,
}

/// One option that `create` understands. Lists end with a NULL name.
#[repr(C)]
pub struct BlkCreateOption {
    /// Name of the option.
    pub name: *const c_char,
    /// Form of its value: "size" is a whole number of bytes in decimal, with an optional suffix of
    /// either case, b (bytes), k, M, G, T, P or E (powers of 1024), as QEMU reads them, but without a
    /// fraction; "a|b|c" is one of these words. Later versions may add forms.
    pub kind: *const c_char,
    /// One line for a person.
    pub help: *const c_char,
}

/// One option that `open` understands. Lists end with a NULL name. Frozen for ever.
#[repr(C)]
pub struct BlkOpenOption {
    /// Name of the option. Where it has a number or a name of its own in it, that is written as
    /// `server.N.host` and `xlator.PATTERN.KEY`, and the text of `open` says what may stand there.
    pub name: *const c_char,
    /// Form of its value: as in BlkCreateOption, or "string" for any text, or "1-3600" for a whole
    /// decimal number from 1 to 3600.
    pub kind: *const c_char,
    /// The value that stands for none. NULL: leaving it out says something that no value does.
    pub default_value: *const c_char,
    /// One line for a person.
    pub help: *const c_char,
    /// 1: `create` understands it, too. 0: it does not, and answers -EINVAL.
    pub for_create: c_int,
    /// Zero.
    pub reserved: u32,
}

/// Where one member of a struct lies, as the library was compiled. A host compares this with its
/// own offsetof and sizeof to make sure that both were built from the same header. Lists end with a
/// NULL name.
#[repr(C)]
pub struct BlkLayout {
    /// "Struct.member", or "Struct" for a whole struct.
    pub name: *const c_char,
    /// offsetof(Struct, member); 0 for a whole struct.
    pub offset: usize,
    /// sizeof the member, or of the whole struct.
    pub size: usize,
}

/// Why a call failed. The host allocates it and sets struct_size; the rest is written on failure
/// only.
#[repr(C)]
pub struct BlkError {
    /// sizeof(BlkError), set by the host before the call. A shorter one than this is -EINVAL.
    pub struct_size: usize,
    /// The errno as a positive number, the same as the returned one.
    pub error: c_int,
    /// One of BLK_STAGE_*.
    pub stage: c_int,
    /// A sentence for a person, naming image, volume and server; NUL-terminated. What does
    /// not fit is left out of its middle, and of a long list of servers, never the reason at its end.
    pub message: [c_char; 1024],
}

/// What a range of an image holds. The host allocates it and sets struct_size; the rest is written
/// on success only.
#[repr(C)]
pub struct BlkBlockStatus {
    /// sizeof(BlkBlockStatus), set by the host before the call. A shorter one than this is -EINVAL.
    pub struct_size: usize,
    /// So many bytes from the offset on are alike: 1 or more, and never more than was asked about
    /// (0 when that was 0).
    pub length: i64,
    /// What they hold: BLK_STATUS_DATA, BLK_STATUS_ZERO, or BLK_STATUS_ZERO | BLK_STATUS_HOLE.
    /// Later versions may add bits.
    pub flags: u32,
    /// Zero.
    pub reserved: u32,
}

/// What a host keeps to so that nothing has to be cut into pieces or refused. The host allocates it
/// and sets struct_size; the rest is written on success only. Later versions add members at the
/// end: what a larger struct of the host's holds beyond those that the library knows is left alone.
#[repr(C)]
pub struct BlkLimits {
    /// sizeof(BlkLimits), set by the host before the call. A shorter one than this is -EINVAL.
    pub struct_size: usize,
    /// Bytes of the largest read or write to make. Larger ones are accepted, and cut into calls of
    /// 16 MiB that go all at once; libgfapi copies what is written.
    pub max_transfer: i64,
    /// Bytes of a read or write that the volume is best at, when there is a choice.
    pub opt_transfer: i64,
    /// Bytes of the largest discard.
    pub max_discard: i64,
    /// Bytes of the largest aio_write_zeroes.
    pub max_write_zeroes: i64,
    /// Bytes of the longest image.
    pub max_length: i64,
    /// Offsets and lengths of reads and writes are multiples of so many bytes: 1, also with
    /// BLK_O_NOCACHE, with which multiples of 4096 are best.
    pub request_alignment: u32,
    /// Most buffer elements of a read or write; one of more is cut.
    pub max_iov: u32,
}

/// How long requests took, from when they were accepted to when the thread that calls their
/// callback found them done: their wait for a place among the 64 calls in flight, and for the host
/// to dispatch, included. Requests that failed are not in it. Frozen: it will never grow.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct BlkLatency {
    /// Nanoseconds, of all together.
    pub total_ns: u64,
    /// Nanoseconds, of the one that took longest.
    pub longest_ns: u64,
    /// How many took so long, by powers of two of microseconds: buckets[0] up to 1 us, buckets[n] more
    /// than 2^(n-1) us up to 2^n us, and the last one more than 2^30 us (18 minutes).
    pub buckets: [u64; BLK_LATENCY_BUCKETS],
}

/// What became of the requests of one kind, since the image was opened. Frozen: it will never grow.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct BlkOperations {
    /// Requests that were accepted.
    pub submitted: u64,
    /// Of these, that have succeeded; the sum of latency.buckets.
    pub succeeded: u64,
    /// Bytes of those that have succeeded, as asked for; of a discard, as far as it lay within the
    /// image; 0 for flushes.
    pub bytes: u64,
    /// Of these, that have failed, by errno: BLK_FAILED_*. Elements that have no name are 0.
    pub failed: [u64; BLK_FAILED_CLASSES],
    /// Of those that have succeeded.
    pub latency: BlkLatency,
}

/// What an image has done since it was opened. The host allocates it and sets struct_size; the rest
/// is written on success only. Later versions add members at the end: what a larger struct of the
/// host's holds beyond those that the library knows is left alone.
#[repr(C)]
pub struct BlkStatistics {
    /// sizeof(BlkStatistics), set by the host before the call. A shorter one than this is -EINVAL.
    pub struct_size: usize,
    /// Nanoseconds since the image was opened.
    pub open_ns: u64,
    /// Reads.
    pub read: BlkOperations,
    /// Writes.
    pub write: BlkOperations,
    /// Flushes.
    pub flush: BlkOperations,
    /// Discards.
    pub discard: BlkOperations,
    /// Writes of zeroes.
    pub write_zeroes: BlkOperations,
    /// Copies (aio_copy_range).
    pub copy: BlkOperations,
    /// Requests accepted whose callback was not yet due. The request that a callback is called for is
    /// not among them.
    pub in_flight: u64,
    /// Most that were in flight at a time.
    pub most_in_flight: u64,
    /// Submissions that were refused (NULL handle) while the image was open.
    pub refused: u64,
    /// Calls to libgfapi that were made for several requests that lie side by side, ...
    pub merged_calls: u64,
    /// ... and the requests in them.
    pub merged_requests: u64,
    /// Requests of such calls that were sent again alone, since the call failed or fell short.
    pub unmerged_requests: u64,
    /// Requests too large for one call, ...
    pub split_requests: u64,
    /// ... and the calls that were made for them.
    pub split_calls: u64,
    /// Reads that got less than they asked for, and were sent on for the rest.
    pub short_reads: u64,
    /// Fsyncs that were made for flushes: flushes that wait for one share the next.
    pub fsyncs: u64,
    /// With BLK_O_NOCACHE: requests that O_DIRECT does not take, since they are not made of whole
    /// blocks.
    pub bounced: u64,
    /// Reads that were sent again after a failure.
    pub read_retries: u64,
    /// Times that the image was opened anew on the bricks after a disconnect.
    pub reconnects: u64,
    /// Requests that were reported for being slow.
    pub slow_requests: u64,
}

/// One image as the host holds it, the counterpart of the seed's BlockDriverState. The host
/// allocates it and keeps it in place from open to close.
#[repr(C)]
pub struct BlkState {
    /// sizeof(BlkState).
    pub struct_size: usize,
    /// The driver it is opened with. For the host's own use; the library does not read it.
    pub drv: *const BlkDriver,
    /// `drv->instance_size` zeroed bytes, aligned to 8, allocated by the host. The library keeps
    /// its state of the image there from open to close, and leaves it zeroed after close and after
    /// a failed open.
    pub opaque: *mut c_void,
    /// For the host's own use; the library does not read it.
    pub host_data: *mut c_void,
}

/// What the host offers. Copied by blkgluster_init. A struct_size larger than the library knows is
/// accepted, since what the host offers beyond that is simply not used.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct BlkHost {
    /// sizeof(BlkHost).
    pub struct_size: usize,
    /// BLK_ABI_VERSION.
    pub abi_version: u32,
    /// Zero.
    pub reserved: u32,
    /// Handed back in each call below.
    pub opaque: *mut c_void,
    /// Mandatory. Called four times by blkgluster_init, in the seed's order: gluster+rdma,
    /// gluster+unix, gluster+tcp, gluster. A negative return ends blkgluster_init with that value.
    /// The seed's bdrv_register.
    pub register_driver:
        Option<unsafe extern "C" fn(opaque: *mut c_void, drv: *const BlkDriver) -> c_int>,
    /// Optional. Called by open, and by attach_fd_handler: poll `fd` for reading and call `on_readable(arg)` on the polling
    /// thread whenever it is readable (level-triggered). Called by close with a NULL handler:
    /// forget `fd`, which is closed next; and so by detach_fd_handler. `bs` is the image, for hosts with several poll loops. 0,
    /// or -errno, which makes open fail. The seed's qemu_aio_set_fd_handler. Without it the host
    /// polls get_completion_fd itself and calls dispatch.
    pub set_fd_handler: Option<
        unsafe extern "C" fn(
            opaque: *mut c_void,
            bs: *mut BlkState,
            fd: c_int,
            on_readable: BlkFdHandler,
            arg: *mut c_void,
        ) -> c_int,
    >,
    /// Optional. A sentence for the host's log; `level` is one of BLK_REPORT_*. Any thread. The
    /// text is valid during the call only. Without it the library writes to stderr. The seed's
    /// error_report.
    pub report:
        Option<unsafe extern "C" fn(opaque: *mut c_void, level: c_int, message: *const c_char)>,
}

/// A driver: one of the four protocols. Static, never changes, lives until the process ends. The
/// names of the slots are the seed's without their `bdrv_`.
#[repr(C)]
pub struct BlkDriver {
    /// sizeof(BlkDriver) of the library. A host must not read slots beyond it.
    pub struct_size: usize,
    /// BLK_ABI_VERSION of the library.
    pub abi_version: u32,
    /// 1: an image is named by a URI (option `filename`).
    pub needs_filename: c_int,
    /// "gluster" for all four.
    pub format_name: *const c_char,
    /// "gluster", "gluster+tcp", "gluster+unix" or "gluster+rdma": the scheme of the URIs that it
    /// opens. A driver opens only its own scheme.
    pub protocol_name: *const c_char,
    /// Version of the library, such as "1.0.0".
    pub library_version: *const c_char,
    /// Bytes that the host allocates, zeroed, behind BlkState.opaque.
    pub instance_size: usize,
    /// What `create` understands.
    pub create_options: *const BlkCreateOption,
    /// Layout of every struct of this header.
    pub layout: *const BlkLayout,

    /// Opens an image.
    ///
    /// Options: `filename`, the URI
    /// gluster[+transport]://[server[:port]]/volume/path[?socket=...] (further servers to try:
    /// ?server=server[:port]&server=...), or in its place `volume`, `path` and for N from 0 to 31
    /// `server.N.host`, `server.N.port` (default 24007), or `server.N.path` for a socket, and
    /// `server.N.type` inet|unix where the others do not tell (also tcp for inet, and
    /// `server.N.socket` for the path); the driver "gluster" takes both kinds, the others their own.
    /// Servers are tried in this order · `write-cache` on|off,
    /// whether Gluster's write-behind may acknowledge writes from memory (default off; `on` is -EINVAL
    /// with BLK_O_NOCACHE, and without effect on sharded volumes; the README says what `on` costs when a
    /// brick is lost) · `connect-timeout` seconds, 1
    /// to 3600, default 30 · `keep-connection` seconds, 0 to 3600, default 30, that the connection is
    /// kept for the next image after this one, when it is the last · `on-disconnect`
    /// report|stall:SECONDS, 0 to 86400, default report: whether requests fail at once while the bricks
    /// are out of reach, or those that were not sent, and reads, wait so long for them (-EINVAL with
    /// write-cache=on; a write, discard, write of zeroes or flush that was sent and failed is reported in
    /// any case, and never sent again by the library; what waits too long ends with -ENOTCONN or -EBADFD,
    /// by aio_cancel with -ECANCELED, and close ends the waiting; a copy that its threads have does not wait,
    /// and a lock with strict-locks=on is lost with the disconnect: -EBADFD at once when the bricks are back) · `strict-flush` on|off (default off): whether
    /// aio_flush, lock_release and reopen_prepare fail (-EIO) from then on, until the image is opened anew, once
    /// bricks were away that held writes which no flush had covered, and may have lost power and with it those
    /// writes (BLK_REPORT_ERROR, on a thread of the library's; GlusterFS lets the flush succeed) · `slow-request` seconds, 0 (never) to
    /// 86400, default 30, after which a request that has not ended is reported once
    /// (BLK_REPORT_WARNING, on a thread of the library's), with the bricks that are not connected ·
    /// `logfile` path of the file that
    /// libgfapi's messages go to, - for stderr, and `debug` their level, 0 (none) to 9 (all), default
    /// 4 (errors); without both of them there are none · `ping-timeout` seconds, 1 to 1013, after which
    /// a silent brick is given up, and `frame-timeout` seconds, 1 to 86400, after which a single request
    /// is (defaults: the volume's, 42 and 1800) · `xlator.PATTERN.KEY` an option of Gluster's
    /// translators on the client, of a list of keys that a wrong one makes the error message tell ·
    /// `statistics` on|off, whether they are counted (default on) · `trace` off|errors|steps|requests|all,
    /// what of this image is reported (BLK_REPORT_DEBUG; default off), each one with those before it:
    /// requests that fail · connecting, opening, locking, fsyncs, closing, with their times · requests as
    /// they end · requests as they are accepted, and how they are merged · `locking` off|auto|on and `share-rw` off|on
    /// (both off by default; `share-rw=on` is -EINVAL without locking):
    ///
    /// With `locking=on` the image is locked against all others that open it with locking too, in this
    /// process (through the same connection or another), in other processes and on other hosts, and so
    /// against QEMU with its own locking on a mount of the volume. Whoever comes second and does not fit
    /// gets -EBUSY. A reader fits with readers. A writer (BLK_O_RDWR) fits with nobody. `share-rw=on`
    /// makes a writer fit with other writers that say so, and takes a reader out of all this: it has no
    /// lock and reads what others write. `auto` is `on` for a volume that has locks, and `off` with a
    /// report (BLK_REPORT_INFO) for one that has not. The lock is let go of by close and lock_release, and by
    /// the bricks, at once, when the process ends in whatever way. They need up to a minute or so to
    /// notice that a host has vanished from the network.
    ///
    /// The lock is advisory: nothing stops who does not ask for it, such as an open with locking=off.
    /// Bricks keep it in memory. One that was restarted, or that the network was cut off from for long,
    /// has forgotten it, and therefore serves this opening of the image no more: what needs that brick
    /// ends with -EBADFD, for reads and flushes as well, until the image is closed and opened again (with
    /// replicas the rest goes on while enough of them are left, so bricks that are restarted one after the
    /// other end like one that is alone). A flush asks for the lock again, twice a second at most; it is -EBUSY, and writes are -EPERM from then on, when the lock has been lost and is
    /// another's. This is why the default is `off`: a host has to be ready for it, and for being refused
    /// what it opens a second time.
    ///
    /// `strict-locks` off|on (default on; -EINVAL without locking), with `off`: such a brick serves this opening
    /// on, without its lock until the next flush takes it again, so that bricks may be restarted one after
    /// the other under an open image. Until then another one may get the lock of a volume without replicas,
    /// and both write; with replicas the others keep it. A reader, who flushes nothing, stays without. The flag
    /// BLK_O_LOCK_LATER (-EINVAL with locking=off or share-rw=on) opens without a lock, for lock_change to take one.
    /// `auto-read-only` on|off (default off): with BLK_O_RDWR, an image or a volume that answers EROFS,
    /// EACCES or EPERM is opened for reading, with a report (BLK_REPORT_WARNING); see is_read_only.
    ///
    /// `flags`: BLK_O_*; unknown bits are -EINVAL. Blocks until connected. On success the
    /// completion fd was given to set_fd_handler. 0, or: -EINVAL bad argument, option, URI (the
    /// message holds the usage), or a path that ends with a slash · -EBUSY already open, or locked · -ENOENT no such image or volume · -ENOTCONN
    /// no server answered · -EIO the volume is stopped or its bricks are down · -ETIMEDOUT · -EISDIR, -EACCES, -EROFS and what else the bricks answer.
    /// Seed: qemu_gluster_open.
    pub open: Option<
        unsafe extern "C" fn(
            bs: *mut BlkState,
            options: *const BlkOption,
            flags: u32,
            error: *mut BlkError,
        ) -> c_int,
    >,

    /// Closes an image: waits for what is in flight and calls its callbacks, removes the fd
    /// handler, closes the image and lets go of the connection without waiting for it. It does not
    /// flush: what was acknowledged and not flushed may be lost, so flush before it. Closing a closed
    /// image does nothing but a report. Seed: qemu_gluster_close.
    pub close: Option<unsafe extern "C" fn(bs: *mut BlkState)>,

    /// Creates an image, or cuts an existing one to `size` zero bytes. `filename` is a URI as for
    /// open, or NULL when `options` name the place. `options`: those of create_options and the ones
    /// of open that shape the connection, with `locking`, that an image which another one has locked
    /// is not cut but -EBUSY; NULL is an empty list. `size` is rounded up to a multiple of
    /// BLK_SECTOR_SIZE. `preallocation` (off, falloc or full, see BLK_PREALLOC_*; default off)
    /// allocates its space at once, which takes its time. When that fails, or the size cannot be
    /// set, an image that did not exist before is removed again, and another one is empty.
    ///
    /// `exists` says what becomes of an image that is there: `cut` (the default, as in the seed) makes
    /// it the new one; `fail` is -EEXIST; `keep` is 0, and leaves it as it is, whatever its length. Of
    /// several creators with `fail` one succeeds; with `keep` one makes it, and the others may return
    /// before it has its size. 0, or: -EINVAL, -EBUSY, -EEXIST as said · -ENOENT no such volume or
    /// directory · -EISDIR · and what else open and the bricks answer. Seed: qemu_gluster_create.
    pub create: Option<
        unsafe extern "C" fn(
            filename: *const c_char,
            options: *const BlkOption,
            error: *mut BlkError,
        ) -> c_int,
    >,

    /// Length of the image in bytes, or -errno. Counts every acknowledged write. Seed:
    /// qemu_gluster_getlength.
    pub getlength: Option<unsafe extern "C" fn(bs: *mut BlkState) -> i64>,

    /// Bytes that the image occupies on one replica, or -errno. Seed:
    /// qemu_gluster_allocated_file_size.
    pub get_allocated_file_size: Option<unsafe extern "C" fn(bs: *mut BlkState) -> i64>,

    /// Sets the length in bytes; new bytes read as zero. A shrink of an image on a sharded volume is
    /// -EBUSY while writes or discards are in flight: drain first. Seed: qemu_gluster_truncate.
    pub truncate:
        Option<unsafe extern "C" fn(bs: *mut BlkState, length: i64, error: *mut BlkError) -> c_int>,

    /// Reads nb_sectors sectors from sector_num on. Requests in flight at the same time have no order
    /// among them: a host that needs one, since they overlap, waits for the first one's callback. The elements of `iov` must add up to exactly
    /// that many bytes; the array may be freed after the call, the buffers belong to the library
    /// until the callback. What lies past the end reads as zero. Seed: qemu_gluster_aio_readv.
    pub aio_readv: Option<
        unsafe extern "C" fn(
            bs: *mut BlkState,
            sector_num: i64,
            iov: *const iovec,
            iovcnt: c_int,
            nb_sectors: c_int,
            cb: BlkCompletionFunc,
            opaque: *mut c_void,
        ) -> *mut BlkAiocb,
    >,

    /// Writes nb_sectors sectors; grows the image when it ends past the end. Buffers as for
    /// aio_readv. A write that transfers less than asked is -EIO. Seed: qemu_gluster_aio_writev.
    pub aio_writev: Option<
        unsafe extern "C" fn(
            bs: *mut BlkState,
            sector_num: i64,
            iov: *const iovec,
            iovcnt: c_int,
            nb_sectors: c_int,
            cb: BlkCompletionFunc,
            opaque: *mut c_void,
        ) -> *mut BlkAiocb,
    >,

    /// Puts every write whose callback came before this call on stable storage. 0 means that all of
    /// them are there. Does not block: it is made on a thread of the library's, once a flush of
    /// this image that is under way has ended; those that wait for that are made as one. -EAGAIN
    /// (or what else the system says) in the callback: no thread could be started for it. After a
    /// failure the image stays open. After -ENOTCONN, -EBADFD, -EBADF, -ESTALE, -ETIMEDOUT and -EAGAIN the flush
    /// may be tried again. After any other errno the bricks may have dropped what they could not write, and
    /// would let a second one succeed: every later flush is -EIO, also after a reopen, until the image is
    /// opened anew (BLK_REPORT_ERROR). With `write-cache=on`,
    /// where acknowledged writes may be gone after any failed write or flush, also after a flush or close of
    /// another opening of the image that shares the connection, every later flush is
    /// -EIO until the image is opened anew; so it is when an open, create, reopen or block_status by
    /// the image's name fails in this process, which may be how Gluster tells of such a write. A brick
    /// whose machine lost power, and that is back by now, is not told from one that did not, unless
    /// with `strict-flush=on`: see open. Seed: qemu_gluster_aio_flush.
    pub aio_flush: Option<
        unsafe extern "C" fn(
            bs: *mut BlkState,
            cb: BlkCompletionFunc,
            opaque: *mut c_void,
        ) -> *mut BlkAiocb,
    >,

    /// Gives the space of whole sectors back; they read as zero afterwards. Never grows the image, and ends with it, as
    /// far as this opening knows its length: what others grew it by counts from the next getlength on.
    /// Seed: qemu_gluster_aio_discard.
    pub aio_discard: Option<
        unsafe extern "C" fn(
            bs: *mut BlkState,
            sector_num: i64,
            nb_sectors: c_int,
            cb: BlkCompletionFunc,
            opaque: *mut c_void,
        ) -> *mut BlkAiocb,
    >,

    /// Waits until this one request is done, then calls its callback, and no other's. A request
    /// that was not sent to the bricks yet ends with -ECANCELED at once; one that was sent cannot
    /// be taken back, and its result is its own (but see aio_write_zeroes). Does nothing for a
    /// handle that is no longer valid, or from inside that request's own callback. Seed:
    /// qemu_gluster_aio_cancel.
    pub aio_cancel: Option<unsafe extern "C" fn(acb: *mut BlkAiocb)>,

    /// 0: a new image may not read as zero, since a volume can sit on a block device. Seed:
    /// qemu_gluster_has_zero_init.
    pub has_zero_init: Option<unsafe extern "C" fn(bs: *mut BlkState) -> c_int>,

    /// aio_readv in bytes, of any offset and length. `flags` is 0.
    pub aio_preadv: Option<
        unsafe extern "C" fn(
            bs: *mut BlkState,
            offset: i64,
            bytes: i64,
            iov: *const iovec,
            iovcnt: c_int,
            flags: u32,
            cb: BlkCompletionFunc,
            opaque: *mut c_void,
        ) -> *mut BlkAiocb,
    >,

    /// aio_writev in bytes, of any offset and length. `flags` is 0.
    pub aio_pwritev: Option<
        unsafe extern "C" fn(
            bs: *mut BlkState,
            offset: i64,
            bytes: i64,
            iov: *const iovec,
            iovcnt: c_int,
            flags: u32,
            cb: BlkCompletionFunc,
            opaque: *mut c_void,
        ) -> *mut BlkAiocb,
    >,

    /// aio_discard in bytes. The parts of blocks at both ends read as zero too.
    pub aio_pdiscard: Option<
        unsafe extern "C" fn(
            bs: *mut BlkState,
            offset: i64,
            bytes: i64,
            cb: BlkCompletionFunc,
            opaque: *mut c_void,
        ) -> *mut BlkAiocb,
    >,

    /// Asks for a request to end early and returns at once; its callback comes as always. One that was
    /// not sent to the bricks yet ends with -ECANCELED; one that was sent goes on.
    pub aio_cancel_async: Option<unsafe extern "C" fn(acb: *mut BlkAiocb)>,

    /// Waits until no request of this image is in flight, calling their callbacks. 0 or -errno. While other threads go on
    /// submitting it may never end: drain_begin holds back what they submit.
    pub drain: Option<unsafe extern "C" fn(bs: *mut BlkState) -> c_int>,

    /// The fd that is readable while a callback waits to be called, or -errno. It belongs to the
    /// library.
    pub get_completion_fd: Option<unsafe extern "C" fn(bs: *mut BlkState) -> c_int>,

    /// Calls the callbacks of all requests that are done, without waiting. Their number, or -errno.
    pub dispatch: Option<unsafe extern "C" fn(bs: *mut BlkState) -> c_int>,

    /// Forgets the host, so that blkgluster_init may be called again (after dlclose and dlopen,
    /// say), and none of its functions is called any more: waits for a report that runs on another
    /// thread. 0, or -EBUSY while images are open.
    pub release: Option<unsafe extern "C" fn() -> c_int>,

    /// Says that more requests follow at once, so that they may wait for their neighbours and go
    /// together. Nests. A host that waits for a request before it unplugs may wait for ever, except
    /// in drain, aio_cancel and close. 0 or -errno.
    pub io_plug: Option<unsafe extern "C" fn(bs: *mut BlkState) -> c_int>,

    /// Undoes one io_plug; the last one submits what was held back. 0 or -errno.
    pub io_unplug: Option<unsafe extern "C" fn(bs: *mut BlkState) -> c_int>,

    /// Gives up the lock of an image that was opened with locking and stays open, for another host to
    /// take over. Writes, also of zeroes, discards and changes of the length are -EPERM from now on.
    /// Waits for those in flight, calling callbacks as drain does, and for the end of a
    /// truncate_with_preallocation; then waits until what was written is on stable storage, as after a
    /// flush. Reads and flushes may go on. 0, also when it was given up before, or: -EOPNOTSUPP it has
    /// no lock (locking=off, or a reader with share-rw=on) · -EBUSY it has lost it to another one, a
    /// write is held back by drain_begin, or between reopen_prepare and its commit or abort ·
    /// what the flush or the bricks answer: then it has its lock still, and writes go on; only if the
    /// bricks answer neither to that, writes are -EPERM until lock_acquire succeeds.
    pub lock_release:
        Option<unsafe extern "C" fn(bs: *mut BlkState, error: *mut BlkError) -> c_int>,

    /// Takes the lock that lock_release gave up; writes go on from here, and getlength counts what
    /// others wrote. Blocks for some round trips to the bricks, and for up to a second when the lock
    /// is another's. 0, also when it has the lock, or: -EBUSY another one has it, this one is
    /// inside lock_release, or between reopen_prepare and its commit or abort · -EOPNOTSUPP as there · what the bricks answer.
    pub lock_acquire:
        Option<unsafe extern "C" fn(bs: *mut BlkState, error: *mut BlkError) -> c_int>,

    /// Makes `bytes` bytes from `offset` on read as zero, of any offset and length, and grows the
    /// image when they end past the end: a write of zeroes without a buffer. `flags`:
    /// BLK_ZERO_MAY_UNMAP or 0; unknown bits are -EINVAL. Without that flag the space is, or stays,
    /// allocated.
    ///
    /// Made by the bricks where they can (with the flag first by a discard, which is read back),
    /// and by writing zeroes where they cannot, as on disperse volumes; there it is as slow as a
    /// write. One at a time for each image, on a thread of the library's, as aio_flush;
    /// what overlaps it and was submitted later waits for it. One that fails, or was cancelled when
    /// it had begun, may have been made in part; a cancelled one ends with -ECANCELED after at most
    /// 64 MiB more, and so does one, with -EBUSY, when a flush finds the image's lock to be lost.
    pub aio_write_zeroes: Option<
        unsafe extern "C" fn(
            bs: *mut BlkState,
            offset: i64,
            bytes: i64,
            flags: u32,
            cb: BlkCompletionFunc,
            opaque: *mut c_void,
        ) -> *mut BlkAiocb,
    >,

    /// Tells what `bytes` bytes from `offset` on hold: the first part of them that is alike. Covers
    /// every write whose callback came before. Any range may be asked about; what lies past the end
    /// of the image reads as zero. Never says zero where data is, but says data where it cannot
    /// tell: all of an image on a sharded or disperse volume, and whatever the bricks fail to
    /// answer. 0, or: -EINVAL negative numbers, a short struct · -EFBIG a range that ends past 2^63
    /// · -EBADF not open.
    ///
    /// Synchronous, as getlength: any thread, blocks for one or two network round trips (the first
    /// call on an image for some more, since it opens it once more, by its path); calls from
    /// several threads take turns. While a brick is silent it waits as long as a read would.
    pub block_status: Option<
        unsafe extern "C" fn(
            bs: *mut BlkState,
            offset: i64,
            bytes: i64,
            status: *mut BlkBlockStatus,
            error: *mut BlkError,
        ) -> c_int,
    >,

    /// Tells what requests of this image should keep to; the same for as long as it is open, but for a
    /// reopen. 0, or: -EINVAL NULL or a short struct · -EBADF not open. Any thread; it asks no brick.
    pub get_limits: Option<
        unsafe extern "C" fn(
            bs: *mut BlkState,
            limits: *mut BlkLimits,
            error: *mut BlkError,
        ) -> c_int,
    >,

    /// create, which tells how far its preallocation has come. `progress` may be NULL. -ECANCELED
    /// when it said so; then there is no new image, and an old one is empty.
    pub create_with_progress: Option<
        unsafe extern "C" fn(
            filename: *const c_char,
            options: *const BlkOption,
            progress: BlkProgressFunc,
            opaque: *mut c_void,
            error: *mut BlkError,
        ) -> c_int,
    >,

    /// truncate, which allocates what the image grows by, and nothing else. `preallocation`: one of
    /// BLK_PREALLOC_*; with BLK_PREALLOC_OFF it is truncate. `progress` may be NULL. Blocks for as
    /// long as it takes; meanwhile requests that reach past the old end wait (also those that a
    /// sharded image's last byte is a part of), and close, drain and lock_release on other threads
    /// do: a close ends it, with -EBADF.
    ///
    /// After a failure the image has its old length, unless its lock was lost. 0, or: -EINVAL an
    /// unknown preallocation, a negative length, or a shrink with preallocation · -EBUSY requests
    /// that reach past the end are in flight (on a sharded volume: any that change the image), or
    /// another such call: drain first; or a flush has found the image's lock to be lost · -EPERM the
    /// lock was given up · -ECANCELED · -EOPNOTSUPP the bricks cannot preallocate · -ENOSPC and what else the
    /// bricks answer.
    pub truncate_with_preallocation: Option<
        unsafe extern "C" fn(
            bs: *mut BlkState,
            length: i64,
            preallocation: c_int,
            progress: BlkProgressFunc,
            opaque: *mut c_void,
            error: *mut BlkError,
        ) -> c_int,
    >,

    /// What `open` understands, so that a host can refuse what is unknown and tell what there is. What
    /// `create` understands is create_options, and of these the ones that say so.
    pub open_options: *const BlkOpenOption,

    /// Why the request failed whose callback calls this: fills `error` with its errno (`ret` of the callback,
    /// negated), BLK_STAGE_IO, and a sentence that names the image, the request, the reason and what to try.
    /// That is what `report` gets of the first failure of a series; here it is to be had for each. Only inside
    /// the callback of a request of `bs`, on the thread that the callback runs on, and before it closes the
    /// image. In nested callbacks it is about the innermost. 0, or: -ENOENT no callback of a request of `bs` that
    /// failed is running here · -EINVAL NULL or a short struct · -EBADF not open, or closed meanwhile.
    pub request_error:
        Option<unsafe extern "C" fn(bs: *mut BlkState, error: *mut BlkError) -> c_int>,

    /// Tells what an image has done since it was opened. 0, or: -EINVAL NULL or a short struct ·
    /// -EOPNOTSUPP it was opened with `statistics=off` · -EBADF not open.
    ///
    /// Any thread, also inside callbacks and while requests are in flight on others; takes no lock that
    /// they take, and never waits for the bricks. Each number is exact; two that belong together may be
    /// some requests apart while requests end.
    pub get_statistics: Option<
        unsafe extern "C" fn(
            bs: *mut BlkState,
            statistics: *mut BlkStatistics,
            error: *mut BlkError,
        ) -> c_int,
    >,

    /// The same as text. `format`: one of BLK_STATISTICS_*. Like snprintf: writes as much as fits into
    /// `size` bytes of `buffer`, with a NUL at the end (nothing when size is 0; then `buffer` may be
    /// NULL), and returns the length of the whole without its NUL: when that is `size` or more, the text
    /// was cut. The numbers grow while requests end, so leave 4 KiB more than a call with size 0 says.
    /// (Prometheus' text names the image in each of its 300 lines: 40 KiB for an ordinary URI.) Threads
    /// and errors as for get_statistics; -EINVAL an unknown format, or no buffer.
    ///
    /// A page of Prometheus' holds each metric once: a host with several images that it makes one
    /// page of sorts the lines by metric, and drops the HELP and TYPE lines of all but the first.
    pub format_statistics: Option<
        unsafe extern "C" fn(
            bs: *mut BlkState,
            format: c_int,
            buffer: *mut c_char,
            size: usize,
            error: *mut BlkError,
        ) -> c_int,
    >,

    /// Copies `bytes` bytes from `src_offset` of image `src` to `dst_offset` of image `dst`, of any
    /// offsets and length; grows `dst` when they end past its end. `src` may be an image of another
    /// volume, of another driver of this library, or `dst` itself. `flags` is 0. The handle and the
    /// callback are those of a request of `dst`; requests submitted later that overlap what is written
    /// wait for it. What lies past the end of `src` is copied as zeroes. Holes of `src`, where its volume
    /// can tell (see block_status), are not read, and become zeroes in `dst` as with
    /// aio_write_zeroes and BLK_ZERO_MAY_UNMAP, or stay holes where the bricks of `dst` say that they are.
    ///
    /// Made by reading and writing a MiB at a time, four at once, on threads of the library's, with 4
    /// MiB of memory; one at a time for each `dst`. The bricks' own copy_file_range is not used:
    /// GlusterFS 10.3 copies the wrong bytes. It covers what was acknowledged in `src` before; what is
    /// written to the part of `src` meanwhile may be copied or not.
    ///
    /// One that fails, or was cancelled when it had begun, may have been made in part; a cancelled one
    /// ends with -ECANCELED after what is under way (4 MiB, or 256 MiB where zeroes are made). A close
    /// of `src` ends it with -EBADF in the same way, and waits for that; a drain of `src` waits for all
    /// of it once it has begun. Closing `dst` waits for it as for any request. NULL with errno: -EINVAL
    /// negative numbers, flags, or ranges of one image that overlap (of two openings of one file they
    /// must not either, which is not looked at) · -EFBIG a range that ends past 4 PiB · -EBADF one of
    /// them is not open, or `dst` is read-only · -EPERM `dst` has given its lock up. In the callback
    /// also -EBUSY, when a flush finds the lock of `dst` to be lost, and what the bricks of either
    /// answer. Any thread.
    pub aio_copy_range: Option<
        unsafe extern "C" fn(
            src: *mut BlkState,
            src_offset: i64,
            dst: *mut BlkState,
            dst_offset: i64,
            bytes: i64,
            flags: u32,
            cb: BlkCompletionFunc,
            opaque: *mut c_void,
        ) -> *mut BlkAiocb,
    >,

    /// Makes the lock of an image that was opened with locking another one, or none: for hosts in which
    /// the users of an image come and go while it is open. `mode`: BLK_LOCK_WRITE when this host writes it,
    /// BLK_LOCK_FORBID_WRITE when nobody else may; both, one or 0, and whether it was opened with BLK_O_RDWR
    /// makes no difference. What the old and the new lock have in common is not let go of in between.
    ///
    /// Afterwards writes go on, also after lock_release, and in every mode: the library does not hold the
    /// host to what it said. Without BLK_LOCK_WRITE nothing that is new to others may be written. When
    /// BLK_LOCK_WRITE goes, no write may be in flight, and it waits until what was written is on stable
    /// storage, as after a flush. When a lock is taken where there was none, getlength counts what others
    /// wrote. Any thread, blocks for some round trips to the bricks, and for up to a second when the lock is
    /// another's. Calls no callbacks.
    ///
    /// 0, or, with the lock as it was: -EBUSY another one's lock forbids it, or writes are in flight when
    /// BLK_LOCK_WRITE goes, or inside lock_release, or between a reopen_prepare that took another
    /// connection (another `write-cache`) and its commit or abort · -EINVAL an unknown mode · -EOPNOTSUPP
    /// locking=off · -ENOSYS or -EOPNOTSUPP, whichever the bricks answer, with locking=on on a volume without
    /// locks (with `auto` it is 0, and a report the first time) · -EBADF not open · what the flush or the bricks
    /// answer.
    pub lock_change:
        Option<unsafe extern "C" fn(bs: *mut BlkState, mode: u32, error: *mut BlkError) -> c_int>,

    /// Makes ready to have an open image open in another way: for reading or for writing, with or
    /// without BLK_O_NOCACHE. `flags` are those of open, all that it is to have. `options`: NULL, or
    /// `write-cache` on|off; all others stay as open was given them. Until reopen_commit the image is
    /// as it was, requests may go on, and so they may after reopen_abort; close aborts by itself.
    ///
    /// Opens the image a second time, and makes sure that it is the same one. When it is open for
    /// writing it is flushed first. With locking, what it is to become takes its lock beside what it
    /// is: a reader that becomes a writer is -EBUSY while another one has the image open, and a writer
    /// that becomes a reader lets others read with the commit. Only when another `write-cache` needs
    /// another connection is the lock handed over: then requests in flight are waited for, as in
    /// lock_release, writes are -EPERM until commit or abort, and another host may be faster; after
    /// such an abort the lock is lost (a report says so) until lock_acquire succeeds. A lock that was
    /// given up with lock_release stays so, and one that lock_change or BLK_O_LOCK_LATER left to the host is
    /// what lock_change says, also between prepare and commit.
    ///
    /// Blocks for some round trips to the bricks, or for as long as open. Not at the same time as
    /// lock_release and lock_acquire, which are -EBUSY until commit or abort. 0, or: -EINVAL an
    /// unknown flag, another option, write-cache=on with BLK_O_NOCACHE or of an image that was opened with
    /// on-disconnect=stall · -EBUSY it was prepared
    /// before, or is locked · -ESTALE its path leads to another file by now · -EROFS, -EACCES it may
    /// not be written (`auto-read-only` is for open) · -EIO with write-cache=on, when a write or flush
    /// has failed before · what else the bricks answer. Then nothing was prepared.
    ///
    /// QEMU: bdrv_reopen_prepare.
    pub reopen_prepare: Option<
        unsafe extern "C" fn(
            bs: *mut BlkState,
            options: *const BlkOption,
            flags: u32,
            error: *mut BlkError,
        ) -> c_int,
    >,

    /// Has the image open as it was prepared. Cannot fail. Waits for what is in flight, calling
    /// callbacks, as drain_begin; requests that come meanwhile on other threads are made afterwards
    /// (writes of an image that is read-only by then fail in their callback). What was written before
    /// is flushed; if that fails, the next aio_flush does, and with write-cache=on all that follow, as
    /// after any failed flush. get_limits may say something else from now on. Without a preparation it
    /// does nothing but a report. QEMU: bdrv_reopen_commit.
    pub reopen_commit: Option<unsafe extern "C" fn(bs: *mut BlkState)>,

    /// Undoes reopen_prepare. Without one it does nothing but a report. QEMU: bdrv_reopen_abort.
    pub reopen_abort: Option<unsafe extern "C" fn(bs: *mut BlkState)>,

    /// 1 when the image is open for reading only: without BLK_O_RDWR, with `auto-read-only`, or after a
    /// reopen. 0 when it may be written, or -errno. Any thread.
    pub is_read_only: Option<unsafe extern "C" fn(bs: *mut BlkState) -> c_int>,

    /// Has set_fd_handler called with a NULL handler, so that the host's loop polls the image no more;
    /// requests may be in flight, and more may come. What ends meanwhile is kept for attach_fd_handler:
    /// no callback is called, but inside drain, aio_cancel, close and what else waits for requests, and
    /// dispatch. A handler that a loop calls late does nothing. Call it on the thread that polls, or
    /// while that does not: a callback that runs there already goes on. It may be called from inside a
    /// callback, which is the last then. 0, or: -EALREADY it is not polled · -EBUSY another thread is
    /// in this function or in attach_fd_handler. QEMU: bdrv_detach_aio_context.
    pub detach_fd_handler: Option<unsafe extern "C" fn(bs: *mut BlkState) -> c_int>,

    /// Has set_fd_handler called again, with another `arg`, for whatever loop the host chooses for `bs`.
    /// The fd is readable at once when requests have ended meanwhile. From now on callbacks run on that
    /// loop's thread. 0, or: -EALREADY it is polled · -EBUSY as there · what set_fd_handler returned: it
    /// is not polled then. QEMU: bdrv_attach_aio_context.
    pub attach_fd_handler:
        Option<unsafe extern "C" fn(bs: *mut BlkState, error: *mut BlkError) -> c_int>,

    /// 1 when a callback waits to be called, 0 when not, or -EBADF; without a system call, for hosts
    /// that look again and again for some time before they poll. Now and then 1 when there is none
    /// (the call of the handler, or dispatch, settles it), never 0 for long when there is one. Any
    /// thread; reports nothing. QEMU: io_poll of aio_set_fd_handler.
    pub is_ready: Option<unsafe extern "C" fn(bs: *mut BlkState) -> c_int>,

    /// How many requests were accepted whose callbacks have not been called, those that drain_begin
    /// holds back included, or -errno. A growth with preallocation counts as one. Any thread. For hosts
    /// that would rather wait in a loop of their own than in drain. A copy counts for its destination, and for the image
    /// that it reads as well.
    pub get_in_flight: Option<unsafe extern "C" fn(bs: *mut BlkState) -> i64>,

    /// drain, and holds back what is submitted from then on, by whatever thread: it is accepted, and
    /// made in its order after drain_end. Nests. Waits for what was submitted before, calling
    /// callbacks. drain does not wait for what is held back; aio_cancel ends it at once, with
    /// -ECANCELED; close makes it, and waits for it; lock_release is -EBUSY while a write is held back.
    /// 0 or -errno.
    pub drain_begin: Option<unsafe extern "C" fn(bs: *mut BlkState) -> c_int>,

    /// Undoes one drain_begin; the last one sends what was held back. 0, or: -EINVAL there was no
    /// drain_begin · -EBADF.
    pub drain_end: Option<unsafe extern "C" fn(bs: *mut BlkState) -> c_int>,
}
