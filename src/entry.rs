// SPDX-License-Identifier: GPL-2.0-or-later
//! `blkgluster_init` and the four static tables; each slot checks its C arguments and hands over to
//! the safe core.

mod copy;
mod host;
mod input;
mod layout;
mod lock;
mod option_lists;
mod poll;
mod reopen;
mod space;
mod statistics;

use crate::abi::*;
use crate::error::{Error, Result};
use crate::guard;
use crate::image::{self, Image, ImageId, PollLoop, Visit};
use crate::options::{self, OpenOptions};
use crate::request::{Ask, Buffers, Callback, Kind};
use libc::iovec;
use std::ffi::{c_char, c_int, c_void};
use std::sync::Arc;

/// Registers the four drivers with the host.
///
/// Call it once, before anything else, on any thread. `host` is copied. Each driver is handed to
/// `host->register_driver`, in the seed's order: gluster+rdma, gluster+unix, gluster+tcp, gluster.
///
/// 0, or: -EINVAL `host` is NULL, shorter than this header's BlkHost, of an unknown version, or
/// lacks register_driver · -EALREADY a host is registered already, this one or another (one process
/// has one; see `release`) · the negative value that register_driver returned.
///
/// # Safety `host` is NULL or points to a BlkHost whose struct_size is true and whose functions may
/// be called until `release`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blkgluster_init(host: *const BlkHost) -> c_int {
    // SAFETY: passed on.
    unsafe { host::init(host, [&RDMA, &UNIX, &TCP, &PLAIN]) }
}

macro_rules! driver {
    ($protocol:literal) => {{
        /// The slots that need to know which protocol they were called for.
        mod slots {
            use super::*;

            pub unsafe extern "C" fn open(
                bs: *mut BlkState,
                options: *const BlkOption,
                flags: u32,
                error: *mut BlkError,
            ) -> c_int {
                // SAFETY: passed on.
                unsafe { super::open($protocol, bs, options, flags, error) }
            }

            pub unsafe extern "C" fn create(
                filename: *const c_char,
                options: *const BlkOption,
                error: *mut BlkError,
            ) -> c_int {
                // SAFETY: passed on.
                unsafe {
                    super::space::create(
                        $protocol,
                        filename,
                        options,
                        None,
                        std::ptr::null_mut(),
                        error,
                    )
                }
            }

            pub unsafe extern "C" fn create_with_progress(
                filename: *const c_char,
                options: *const BlkOption,
                progress: BlkProgressFunc,
                opaque: *mut c_void,
                error: *mut BlkError,
            ) -> c_int {
                // SAFETY: passed on.
                unsafe {
                    super::space::create($protocol, filename, options, progress, opaque, error)
                }
            }
        }
        BlkDriver {
            struct_size: size_of::<BlkDriver>(),
            abi_version: BLK_ABI_VERSION,
            needs_filename: 1,
            format_name: c"gluster".as_ptr(),
            protocol_name: concat!($protocol, "\0").as_ptr().cast(),
            library_version: concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast(),
            instance_size: size_of::<input::Cell>(),
            create_options: option_lists::CREATE.0.as_ptr(),
            layout: layout::TABLE.0.as_ptr(),
            open: Some(slots::open),
            close: Some(close),
            create: Some(slots::create),
            getlength: Some(getlength),
            get_allocated_file_size: Some(get_allocated_file_size),
            truncate: Some(truncate),
            aio_readv: Some(aio_readv),
            aio_writev: Some(aio_writev),
            aio_flush: Some(aio_flush),
            aio_discard: Some(aio_discard),
            aio_cancel: Some(aio_cancel),
            has_zero_init: Some(has_zero_init),
            aio_preadv: Some(aio_preadv),
            aio_pwritev: Some(aio_pwritev),
            aio_pdiscard: Some(aio_pdiscard),
            aio_cancel_async: Some(aio_cancel_async),
            drain: Some(drain),
            get_completion_fd: Some(get_completion_fd),
            dispatch: Some(dispatch),
            release: Some(host::release),
            io_plug: Some(io_plug),
            io_unplug: Some(io_unplug),
            lock_release: Some(lock::release),
            lock_acquire: Some(lock::acquire),
            aio_write_zeroes: Some(space::aio_write_zeroes),
            block_status: Some(space::block_status),
            get_limits: Some(space::get_limits),
            create_with_progress: Some(slots::create_with_progress),
            truncate_with_preallocation: Some(space::truncate_with_preallocation),
            open_options: option_lists::OPEN.0.as_ptr(),
            request_error: Some(request_error),
            get_statistics: Some(statistics::get_statistics),
            format_statistics: Some(statistics::format_statistics),
            aio_copy_range: Some(copy::aio_copy_range),
            lock_change: Some(lock::change),
            reopen_prepare: Some(reopen::prepare),
            reopen_commit: Some(reopen::commit),
            reopen_abort: Some(reopen::abort),
            is_read_only: Some(reopen::is_read_only),
            detach_fd_handler: Some(poll::detach),
            attach_fd_handler: Some(poll::attach),
            is_ready: Some(poll::is_ready),
            get_in_flight: Some(poll::in_flight),
            drain_begin: Some(poll::drain_begin),
            drain_end: Some(poll::drain_end),
        }
    }};
}

/// A table whose pointers all lead to static, immutable data.
struct Static<T>(T);
// SAFETY: nothing behind it changes.
unsafe impl<T> Sync for Static<T> {}

// SAFETY: a BlkDriver holds functions and pointers to static, immutable data only.
unsafe impl Sync for BlkDriver {}

static RDMA: BlkDriver = driver!("gluster+rdma");
static UNIX: BlkDriver = driver!("gluster+unix");
static TCP: BlkDriver = driver!("gluster+tcp");
static PLAIN: BlkDriver = driver!("gluster");

unsafe fn open(
    protocol: &'static str,
    bs: *mut BlkState,
    options: *const BlkOption,
    flags: u32,
    error: *mut BlkError,
) -> c_int {
    let body = || {
        let host = host::current()?;
        // SAFETY: the host's promises of the header, here and below.
        let cell = unsafe { input::cell(bs)? };
        if options.is_null() {
            return Err(Error::invalid(
                "options is NULL; open needs at least 'filename'",
            ));
        }
        // SAFETY: as above.
        let pairs = unsafe { input::options(options)? };
        check_flags(flags & !BLK_O_LOCK_LATER)?;
        let mut parsed = OpenOptions::parse(
            protocol,
            &pairs,
            flags & BLK_O_RDWR != 0,
            flags & BLK_O_NOCACHE != 0,
        )?;
        if flags & BLK_O_LOCK_LATER != 0 {
            parsed.lock_later()?;
        }
        cell.occupy(|| Image::open(parsed, Box::new(host::Loop::new(host, bs))))?;
        Ok(0)
    };
    // SAFETY: the host's promise.
    unsafe { guard::status(error, body) }
}

fn check_flags(flags: u32) -> Result<()> {
    match flags & !(BLK_O_RDWR | BLK_O_NOCACHE) {
        0 => Ok(()),
        unknown => Err(Error::invalid(format!(
            "open flags {unknown:#x} are unknown; there are BLK_O_RDWR and BLK_O_NOCACHE, and for \
             open BLK_O_LOCK_LATER"
        ))),
    }
}

unsafe extern "C" fn close(bs: *mut BlkState) {
    guard::nothing(|| {
        // SAFETY: the host's promise.
        let cell = unsafe { input::cell(bs)? };
        let image = cell.image()?;
        let was_open = image.close();
        cell.vacate(&image);
        if was_open {
            Ok(())
        } else {
            Err(input::not_open())
        }
    });
}

/// The image behind `bs`.
///
/// # Safety
/// The host's promises of the header.
unsafe fn image_of(bs: *mut BlkState) -> Result<Arc<Image>> {
    // SAFETY: the caller's.
    unsafe { input::cell(bs)?.image() }
}

unsafe extern "C" fn getlength(bs: *mut BlkState) -> i64 {
    // SAFETY: the host's promise.
    guard::number(|| unsafe { image_of(bs) }?.length())
}

unsafe extern "C" fn get_allocated_file_size(bs: *mut BlkState) -> i64 {
    // SAFETY: the host's promise.
    guard::number(|| unsafe { image_of(bs) }?.allocated())
}

unsafe extern "C" fn truncate(bs: *mut BlkState, length: i64, error: *mut BlkError) -> c_int {
    // SAFETY: the host's promise.
    let body = || unsafe { image_of(bs) }?.truncate(length).map(|()| 0);
    // SAFETY: as above.
    unsafe { guard::status(error, body) }
}

unsafe extern "C" fn aio_readv(
    bs: *mut BlkState,
    sector_num: i64,
    iov: *const iovec,
    iovcnt: c_int,
    nb_sectors: c_int,
    cb: BlkCompletionFunc,
    opaque: *mut c_void,
) -> *mut BlkAiocb {
    let range = || image::sectors(sector_num, nb_sectors);
    // SAFETY: the host's promise.
    unsafe { transfer(bs, Kind::Read, range, iov, iovcnt, 0, cb, opaque) }
}

unsafe extern "C" fn aio_writev(
    bs: *mut BlkState,
    sector_num: i64,
    iov: *const iovec,
    iovcnt: c_int,
    nb_sectors: c_int,
    cb: BlkCompletionFunc,
    opaque: *mut c_void,
) -> *mut BlkAiocb {
    let range = || image::sectors(sector_num, nb_sectors);
    // SAFETY: the host's promise.
    unsafe { transfer(bs, Kind::Write, range, iov, iovcnt, 0, cb, opaque) }
}

unsafe extern "C" fn aio_preadv(
    bs: *mut BlkState,
    offset: i64,
    bytes: i64,
    iov: *const iovec,
    iovcnt: c_int,
    flags: u32,
    cb: BlkCompletionFunc,
    opaque: *mut c_void,
) -> *mut BlkAiocb {
    // SAFETY: the host's promise.
    unsafe {
        transfer(
            bs,
            Kind::Read,
            || Ok((offset, bytes)),
            iov,
            iovcnt,
            flags,
            cb,
            opaque,
        )
    }
}

unsafe extern "C" fn aio_pwritev(
    bs: *mut BlkState,
    offset: i64,
    bytes: i64,
    iov: *const iovec,
    iovcnt: c_int,
    flags: u32,
    cb: BlkCompletionFunc,
    opaque: *mut c_void,
) -> *mut BlkAiocb {
    // SAFETY: the host's promise.
    unsafe {
        transfer(
            bs,
            Kind::Write,
            || Ok((offset, bytes)),
            iov,
            iovcnt,
            flags,
            cb,
            opaque,
        )
    }
}

/// All four reads and writes. `range` gives (offset, length).
#[allow(clippy::too_many_arguments, reason = "the C slots' arguments")]
unsafe fn transfer(
    bs: *mut BlkState,
    kind: Kind,
    range: impl Fn() -> Result<(i64, i64)>,
    iov: *const iovec,
    iovcnt: c_int,
    flags: u32,
    cb: BlkCompletionFunc,
    opaque: *mut c_void,
) -> *mut BlkAiocb {
    guard::handle(|| {
        if flags != 0 {
            return Err(Error::invalid(format!(
                "request flags {flags:#x} are unknown; there are none yet"
            )));
        }
        // SAFETY: the host's promises: the elements are valid, and so are the buffers until the
        // callback.
        unsafe {
            let buffers = Buffers::new(input::elements(iov, iovcnt)?);
            submit(bs, kind, range()?, buffers, cb, opaque)
        }
    })
}

/// # Safety
/// The host's promises of the header.
unsafe fn submit(
    bs: *mut BlkState,
    kind: Kind,
    (offset, length): (i64, i64),
    buffers: Buffers<'_>,
    cb: BlkCompletionFunc,
    opaque: *mut c_void,
) -> Result<*mut BlkAiocb> {
    // SAFETY: the caller's.
    let image = unsafe { input::cell(bs)?.visit()? };
    let function = cb.ok_or_else(|| Error::invalid("the callback is NULL"))?;
    let trace = image.trace();
    let submitted = image.submit(Ask {
        kind,
        offset,
        length,
        buffers,
        through: false,
        grows: false,
        began: 0,
        begun_ns: 0,
        // SAFETY: the host's promise of the header.
        callback: unsafe { Callback::new(function, opaque) },
    });
    let packed = submitted.map(|handle| image.id().pack(handle));
    if let Some(trace) = trace {
        // Not during the visit: it would keep the image from being closed.
        drop(image);
        trace.tell();
    }
    Ok(std::ptr::without_provenance_mut(packed? as usize))
}

unsafe extern "C" fn aio_flush(
    bs: *mut BlkState,
    cb: BlkCompletionFunc,
    opaque: *mut c_void,
) -> *mut BlkAiocb {
    // SAFETY: the host's promise.
    guard::handle(|| unsafe { submit(bs, Kind::Flush, (0, 0), Buffers::NONE, cb, opaque) })
}

unsafe extern "C" fn aio_discard(
    bs: *mut BlkState,
    sector_num: i64,
    nb_sectors: c_int,
    cb: BlkCompletionFunc,
    opaque: *mut c_void,
) -> *mut BlkAiocb {
    guard::handle(|| {
        let range = image::sectors(sector_num, nb_sectors)?;
        // SAFETY: the host's promise.
        unsafe { submit(bs, Kind::Discard, range, Buffers::NONE, cb, opaque) }
    })
}

unsafe extern "C" fn aio_pdiscard(
    bs: *mut BlkState,
    offset: i64,
    bytes: i64,
    cb: BlkCompletionFunc,
    opaque: *mut c_void,
) -> *mut BlkAiocb {
    // SAFETY: the host's promise.
    guard::handle(|| unsafe {
        submit(
            bs,
            Kind::Discard,
            (offset, bytes),
            Buffers::NONE,
            cb,
            opaque,
        )
    })
}

unsafe extern "C" fn aio_cancel(acb: *mut BlkAiocb) {
    guard::nothing(|| {
        image::cancel(acb.addr() as u64);
        Ok(())
    });
}

unsafe extern "C" fn aio_cancel_async(acb: *mut BlkAiocb) {
    guard::nothing(|| {
        image::cancel_async(acb.addr() as u64);
        Ok(())
    });
}

unsafe extern "C" fn has_zero_init(_bs: *mut BlkState) -> c_int {
    0
}

unsafe extern "C" fn drain(bs: *mut BlkState) -> c_int {
    guard::small(|| {
        // SAFETY: the host's promise.
        unsafe { image_of(bs) }?.drain();
        Ok(0)
    })
}

unsafe extern "C" fn get_completion_fd(bs: *mut BlkState) -> c_int {
    // SAFETY: the host's promise.
    guard::small(|| Ok(unsafe { image_of(bs) }?.completion_fd()))
}

unsafe extern "C" fn dispatch(bs: *mut BlkState) -> c_int {
    // SAFETY: the host's promise.
    guard::small(|| Ok(unsafe { image_of(bs) }?.dispatch() as c_int))
}

unsafe extern "C" fn io_plug(bs: *mut BlkState) -> c_int {
    guard::small(|| {
        // SAFETY: the host's promise.
        unsafe { image_of(bs) }?.plug()?;
        Ok(0)
    })
}

unsafe extern "C" fn io_unplug(bs: *mut BlkState) -> c_int {
    guard::small(|| {
        // SAFETY: the host's promise.
        unsafe { image_of(bs) }?.unplug()?;
        Ok(0)
    })
}

unsafe extern "C" fn request_error(bs: *mut BlkState, error: *mut BlkError) -> c_int {
    guard::small(|| {
        // SAFETY: the host's promises of the header.
        let (image, room) = unsafe { (image_of(bs)?, input::room(error, "BlkError")?) };
        guard::fill(room, &image.request_error()?);
        Ok(0)
    })
}
