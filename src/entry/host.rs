// SPDX-License-Identifier: GPL-2.0-or-later
//! The host: registered once, asked to poll fds and to log sentences.

use super::*;
use crate::error::{Errno, Stage};
use crate::report::{self, Level};
use parking_lot::Mutex;
use std::ffi::CString;
use std::os::fd::RawFd;

/// The registered host.
#[derive(Clone, Copy)]
pub struct Host(BlkHost);

// SAFETY: its pointers are handed back to the host's own functions only, which the header says may
// be called from any thread.
unsafe impl Send for Host {}
// SAFETY: as above.
unsafe impl Sync for Host {}

static HOST: Mutex<Option<Host>> = Mutex::new(None);

/// A struct larger than this is no struct of ours but garbage.
const LARGEST_STRUCT: usize = 1 << 16;

/// The registered host.
pub fn current() -> Result<Host> {
    HOST.lock()
        .ok_or_else(|| Error::invalid("no host is registered; call blkgluster_init first"))
}

/// # Safety
/// As for `blkgluster_init`.
pub unsafe fn init(host: *const BlkHost, drivers: [&'static BlkDriver; 4]) -> c_int {
    let mut caller = None;
    let mut why = None;
    let ret = guard::small(|| {
        // SAFETY: passed on.
        let host = unsafe { read(host) };
        let outcome = host.and_then(|host| {
            caller = Some(host);
            register(host, drivers)
        });
        outcome.or_else(|error| {
            let errno = error.errno.negated();
            why = Some(error);
            Ok(errno)
        })
    });
    if let Some(why) = why {
        // To the host that called, even when another one is registered.
        match caller {
            Some(host) => host.say(Level::Error, &why.text),
            None => report::report(Level::Error, &why.text),
        }
    }
    ret
}

fn register(host: Host, drivers: [&'static BlkDriver; 4]) -> Result<c_int> {
    let Some(register_driver) = host.0.register_driver else {
        return Err(Error::invalid("BlkHost.register_driver is NULL"));
    };
    {
        let mut current = HOST.lock();
        if current.is_some() {
            return Err(Error::new(
                Stage::Parse,
                libc::EALREADY,
                "blkgluster_init: a host is registered already; one process has one host, which may call release before it registers anew",
            ));
        }
        *current = Some(host);
    }
    guard::quiet_panics();
    crate::gfapi::ignore_broken_pipes();
    report::set_sink(host.0.report.is_some().then(|| {
        let sink: report::Sink = Arc::new(move |level, text: &str| host.say(level, text));
        sink
    }));
    for driver in drivers {
        // SAFETY: the host's promise; the driver is static.
        let ret = unsafe { register_driver(host.0.opaque, driver) };
        if ret < 0 {
            forget();
            return Err(Error::new(
                Stage::Parse,
                ret.checked_neg().unwrap_or(libc::EINVAL),
                format!("the host refused a driver with {ret}"),
            ));
        }
    }
    Ok(0)
}

fn forget() {
    let host = HOST.lock().take();
    let took_reports = host.is_some_and(|host| host.0.report.is_some());
    // What our own threads still have to say is for nobody, not for the stderr of such a host.
    report::set_sink(took_reports.then(|| {
        let sink: report::Sink = Arc::new(|_, _| {});
        sink
    }));
}

pub unsafe extern "C" fn release() -> c_int {
    guard::small(|| {
        let open = image::count();
        if open > 0 {
            return Err(Error::new(
                Stage::Parse,
                libc::EBUSY,
                format!("release: {open} images are open; close them first"),
            ));
        }
        forget();
        Ok(0)
    })
}

/// Copies what the host gave.
///
/// # Safety
/// As for `blkgluster_init`.
unsafe fn read(host: *const BlkHost) -> Result<Host> {
    if host.is_null() || !host.is_aligned() {
        return Err(Error::invalid(
            "blkgluster_init: the BlkHost is NULL or not aligned",
        ));
    }
    // SAFETY: struct_size comes first in every version.
    let size = unsafe { (*host).struct_size };
    if !(size_of::<BlkHost>()..=LARGEST_STRUCT).contains(&size) {
        return Err(Error::invalid(format!(
            "blkgluster_init: BlkHost.struct_size is {size}; set it to sizeof(BlkHost), {} or more",
            size_of::<BlkHost>()
        )));
    }
    // SAFETY: as large as it says.
    let host = unsafe { *host };
    if host.abi_version != BLK_ABI_VERSION {
        return Err(Error::invalid(format!(
            "blkgluster_init: the host speaks ABI version {}, this library {BLK_ABI_VERSION}",
            host.abi_version
        )));
    }
    if host.reserved != 0 {
        return Err(Error::invalid("blkgluster_init: BlkHost.reserved is not 0"));
    }
    Ok(Host(host))
}

impl Host {
    fn say(&self, level: Level, text: &str) {
        let Some(report) = self.0.report else {
            report::to_stderr(text);
            return;
        };
        // A NUL inside would hide the rest.
        let text = CString::new(text.replace('\0', "?")).unwrap_or_default();
        // SAFETY: the host's promise.
        unsafe { report(self.0.opaque, level as c_int, text.as_ptr()) };
    }
}

/// The host's poll loop for one image.
pub struct Loop {
    host: Host,
    bs: *mut BlkState,
}

// SAFETY: `bs` is handed back to the host only.
unsafe impl Send for Loop {}
// SAFETY: as above.
unsafe impl Sync for Loop {}

impl Loop {
    pub fn new(host: Host, bs: *mut BlkState) -> Loop {
        Loop { host, bs }
    }

    fn set(&self, fd: RawFd, handler: BlkFdHandler, watch: u64) -> c_int {
        let Some(set_fd_handler) = self.host.0.set_fd_handler else {
            return 0;
        };
        let arg = std::ptr::without_provenance_mut(watch as usize);
        // SAFETY: the host's promise; `bs` is its own.
        unsafe { set_fd_handler(self.host.0.opaque, self.bs, fd, handler, arg) }
    }
}

impl PollLoop for Loop {
    fn watch(&self, fd: RawFd, watch: u64) -> std::result::Result<(), Errno> {
        let ret = self.set(fd, Some(on_readable), watch);
        if ret < 0 {
            Err(Errno::new(ret.saturating_neg(), libc::EINVAL))
        } else {
            Ok(())
        }
    }

    fn unwatch(&self, fd: RawFd) {
        self.set(fd, None, 0);
    }
}

/// What the host calls when an image's completion fd is readable. `arg` is the number of its watch, so
/// that a call that comes after close, or after the fd was given to another loop, finds nothing.
unsafe extern "C" fn on_readable(arg: *mut c_void) {
    guard::nothing(|| {
        image::readable(arg.addr() as u64);
        Ok(())
    });
}
