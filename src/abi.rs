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

/// Open flag: bypass the caches. The bricks open the file with O_DIRECT, so offsets and lengths
/// must be multiples of the bricks' block size (512 or 4096 bytes), and write-behind is in
/// pass-through as with option `write-cache=off`: a write is acknowledged only when it is on the
/// bricks.
pub const BLK_O_NOCACHE: u32 = 0x0020;

/// Report level: an operation failed.
pub const BLK_REPORT_ERROR: c_int = 0;
/// Report level: it works, but not as asked (for example RDMA that became TCP).
pub const BLK_REPORT_WARNING: c_int = 1;
/// Report level: worth knowing.
pub const BLK_REPORT_INFO: c_int = 2;

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
    /// Form of its value: "size" is a whole number of bytes in decimal, with an optional suffix
    /// k, M, G, T (powers of 1024).
    pub kind: *const c_char,
    /// One line for a person.
    pub help: *const c_char,
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
    /// A sentence for a person, naming image, volume and server; NUL-terminated, cut to fit.
    pub message: [c_char; 1024],
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
    /// Optional. Called by open: poll `fd` for reading and call `on_readable(arg)` on the polling
    /// thread whenever it is readable (level-triggered). Called by close with a NULL handler:
    /// forget `fd`, which is closed next. `bs` is the image, for hosts with several poll loops. 0,
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
    /// kept for the next image after this one, when it is the last · `logfile` path of the file that
    /// libgfapi's messages go to, - for stderr, and `debug` their level, 0 (none) to 9 (all), default
    /// 4 (errors); without both of them there are none · `ping-timeout` seconds, 1 to 1013, after which
    /// a silent brick is given up, and `frame-timeout` seconds, 1 to 86400, after which a single request
    /// is (defaults: the volume's, 42 and 1800) · `xlator.PATTERN.KEY` an option of Gluster's
    /// translators on the client, of a list of keys that a wrong one makes the error message tell.
    ///
    /// `flags`: BLK_O_*; unknown bits are -EINVAL. Blocks until connected. On success the
    /// completion fd was given to set_fd_handler. 0, or: -EINVAL bad argument, option or URI (the
    /// message holds the usage) · -EBUSY already open · -ENOENT no such image or volume · -ENOTCONN
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
    /// of open that shape the connection; NULL is an empty list. `size` is rounded up to a multiple of BLK_SECTOR_SIZE. When the size
    /// cannot be set, an image that did not exist before is removed again. Seed:
    /// qemu_gluster_create.
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
    /// failure the image stays open and the flush may be tried again; but with `write-cache=on`,
    /// where acknowledged writes may be gone after a failed write or flush, every later flush is
    /// -EIO until the image is opened anew. Seed: qemu_gluster_aio_flush.
    pub aio_flush: Option<
        unsafe extern "C" fn(
            bs: *mut BlkState,
            cb: BlkCompletionFunc,
            opaque: *mut c_void,
        ) -> *mut BlkAiocb,
    >,

    /// Gives the space of whole sectors back; they read as zero afterwards. Never grows the image.
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

    /// Waits until this one request is done, then calls its callback, and no other's. A request that
    /// was not sent to the bricks yet ends with -ECANCELED at once; one that was sent cannot be taken
    /// back, and its result is its own. Does nothing for a handle that is no longer valid, or from
    /// inside that request's own callback. Seed: qemu_gluster_aio_cancel.
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

    /// Waits until no request of this image is in flight, calling their callbacks. 0 or -errno.
    pub drain: Option<unsafe extern "C" fn(bs: *mut BlkState) -> c_int>,

    /// The fd that is readable while a callback waits to be called, or -errno. It belongs to the
    /// library.
    pub get_completion_fd: Option<unsafe extern "C" fn(bs: *mut BlkState) -> c_int>,

    /// Calls the callbacks of all requests that are done, without waiting. Their number, or -errno.
    pub dispatch: Option<unsafe extern "C" fn(bs: *mut BlkState) -> c_int>,

    /// Forgets the host, so that blkgluster_init may be called again (after dlclose and dlopen,
    /// say). 0, or -EBUSY while images are open.
    pub release: Option<unsafe extern "C" fn() -> c_int>,

    /// Says that more requests follow at once, so that they may wait for their neighbours and go
    /// together. Nests. A host that waits for a request before it unplugs may wait for ever, except
    /// in drain, aio_cancel and close. 0 or -errno.
    pub io_plug: Option<unsafe extern "C" fn(bs: *mut BlkState) -> c_int>,

    /// Undoes one io_plug; the last one submits what was held back. 0 or -errno.
    pub io_unplug: Option<unsafe extern "C" fn(bs: *mut BlkState) -> c_int>,
}
