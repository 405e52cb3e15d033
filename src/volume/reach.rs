// SPDX-License-Identifier: GPL-2.0-or-later
//! Whether a server is there at all, found out before libgfapi is asked.
//!
//! libgfapi takes seconds to end an instance that could not connect, leaks a part of it, and names
//! no reason. Here a dead server costs one socket, and its errno is told.

use crate::error::Errno;
use crate::gfapi::ServerSpec;
use std::ffi::OsStr;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// For the last address that is left to try: as long as `connect-timeout` can be. Openers keep their
/// own deadlines meanwhile.
const LONG: Duration = Duration::from_secs(3600);

/// For those before it.
const SHORT: Duration = Duration::from_secs(3);

/// The servers, those first that answer: libgfapi waits 3 s for each that does not. `Err` when none
/// does: the errno and what happened to each. Blocks on the network.
pub(super) fn order(servers: &[ServerSpec]) -> Result<Vec<ServerSpec>, (Errno, String)> {
    let mut dead = Vec::new();
    let mut errno = Errno::new(libc::ENOTCONN, libc::ENOTCONN);
    let mut reasons = Vec::new();
    for (at, server) in servers.iter().enumerate() {
        match reach(server, at + 1 == servers.len()) {
            Ok(()) => {
                let rest = servers[at + 1..].iter().chain(dead);
                return Ok(std::iter::once(server).chain(rest).cloned().collect());
            }
            Err(why) => {
                errno = told(&why);
                reasons.push(reason(&why));
                dead.push(server);
            }
        }
    }
    Err((errno, reasons.join("; ")))
}

fn reach(server: &ServerSpec, is_last: bool) -> io::Result<()> {
    if server.transport == c"unix" {
        return UnixStream::connect(OsStr::from_bytes(server.host.to_bytes())).map(drop);
    }
    let host = server.host.to_string_lossy();
    let mut addresses = (&*host, server.port).to_socket_addrs()?.peekable();
    let mut outcome = Err(io::Error::from_raw_os_error(libc::EADDRNOTAVAIL));
    while let Some(address) = addresses.next() {
        let patience = if is_last && addresses.peek().is_none() {
            LONG
        } else {
            SHORT
        };
        outcome = TcpStream::connect_timeout(&address, patience).map(drop);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

/// What the host is told: ENOTCONN for whatever says that nobody answers there.
fn told(why: &io::Error) -> Errno {
    let errno = match why.raw_os_error() {
        _ if why.kind() == io::ErrorKind::TimedOut => libc::ETIMEDOUT,
        Some(
            errno @ (libc::EMFILE
            | libc::ENFILE
            | libc::ENOMEM
            | libc::ENOBUFS
            | libc::EACCES
            | libc::EPERM),
        ) => errno,
        _ => libc::ENOTCONN,
    };
    Errno::new(errno, libc::ENOTCONN)
}

fn reason(why: &io::Error) -> String {
    match why.raw_os_error() {
        Some(errno) => Errno::new(errno, libc::ENOTCONN).to_string(),
        // std's sentence, of a name that nobody knows among others.
        None => why.to_string(),
    }
}
