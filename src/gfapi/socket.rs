// SPDX-License-Identifier: GPL-2.0-or-later
//! Connecting to a Unix socket within a time: the standard library waits for as long as the queue of
//! the one who listens is full, which is for ever when that one accepts no more.

use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Connects. TimedOut when the queue was full all that time, which is not zero.
pub fn connect_socket(path: &Path, time: Duration) -> io::Result<UnixStream> {
    // SAFETY: zeroes are a valid address.
    let mut address: libc::sockaddr_un = unsafe { zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let path = path.as_os_str().as_bytes();
    // The last byte stays NUL.
    if path.len() >= address.sun_path.len() {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    for (to, from) in address.sun_path.iter_mut().zip(path) {
        *to = *from as libc::c_char;
    }
    // SAFETY: no pointers.
    let fd = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: new, and nobody else's.
    let stream = UnixStream::from(unsafe { OwnedFd::from_raw_fd(fd) });
    // Which a connect on a Unix socket keeps to as well; one that does not block would not wait at all.
    stream.set_write_timeout(Some(time))?;
    // SAFETY: the address is valid, and as long as said.
    let ret = unsafe {
        libc::connect(
            stream.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_un>() as libc::socklen_t,
        )
    };
    if ret == 0 {
        return Ok(stream);
    }
    let why = io::Error::last_os_error();
    Err(match why.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => why,
    })
}
