// SPDX-License-Identifier: GPL-2.0-or-later
//! Before libgfapi: is a management server there, and does it know the volume?
//!
//! libgfapi would find out, too. But it says neither when nor why: it knows no deadline and no reason
//! but ENOTCONN. And a connection that fails on it before it has the volume's description has two
//! event threads, one of which `glfs_fini` does not wait for: it may free what that one still uses.
//! So what can be known to fail fails here, and libgfapi does not come into it.

#[cfg(test)]
mod tests;

use super::glusterd::{self, Answer};
use super::{Failure, explain, listed, name, told};
use crate::error::{Errno, Error, Stage};
use crate::gfapi::{ConnectSpec, ServerSpec, connect_socket};
use std::ffi::{CString, OsStr};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// When there are several places to ask, each is given so long at first, and four times as long in
/// each further round: neither does one that drops packets hold up the next, nor is a slow one lost.
const FIRST_LOOK: Duration = Duration::from_secs(2);

/// Where it exists, libgfapi talks TLS to management servers, and they do not answer to less.
const SECURE_ACCESS: &str = "/var/lib/glusterd/secure-access";

/// The servers that libgfapi is to ask, the one that answered first; libgfapi waits three seconds for
/// each that does not, and comes to those at the end only when the others are gone.
pub(super) fn reach(spec: &ConnectSpec, deadline: Instant) -> Result<Vec<ServerSpec>, Failure> {
    let mut search = Search {
        spec,
        deadline,
        obstacles: Vec::new(),
        refusal: None,
        strangers: Vec::new(),
        silent: Vec::new(),
    };
    for (rank, server) in spec.servers.iter().enumerate() {
        // Each when its turn comes: a resolver may be slow about one that is not needed.
        match places_of(server) {
            Ok(places) => {
                let alone = spec.servers.len() == 1 && places.len() == 1;
                for place in places {
                    if let Some(found) =
                        search.visit(rank, place, (!alone).then_some(FIRST_LOOK))?
                    {
                        return Ok(found);
                    }
                }
            }
            Err(obstacle) => search.obstacles.push((rank, obstacle)),
        }
    }
    let mut look = FIRST_LOOK;
    while !search.silent.is_empty() {
        look = look.saturating_mul(4);
        let places = std::mem::take(&mut search.silent);
        let alone = places.len() == 1;
        for (rank, place) in places {
            if let Some(found) = search.visit(rank, place, (!alone).then_some(look))? {
                return Ok(found);
            }
        }
    }
    let Search {
        refusal, obstacles, ..
    } = search;
    Err(refusal.unwrap_or_else(|| Failure::Final(out_of_reach(spec, obstacles))))
}

/// What has been learnt so far.
struct Search<'a> {
    spec: &'a ConnectSpec,
    deadline: Instant,
    obstacles: Vec<(usize, Obstacle)>,
    /// The last answer that was no.
    refusal: Option<Failure>,
    /// Who gave one: it is of no use to libgfapi.
    strangers: Vec<usize>,
    silent: Vec<(usize, Place)>,
}

impl Search<'_> {
    /// Asks there, for that long or until the deadline; the servers for libgfapi when it knows the
    /// volume.
    fn visit(
        &mut self,
        rank: usize,
        place: Place,
        look: Option<Duration>,
    ) -> Result<Option<Vec<ServerSpec>>, Failure> {
        let now = Instant::now();
        if now >= self.deadline {
            return Err(self.refusal.take().unwrap_or(Failure::OutOfTime));
        }
        let until = look.map_or(self.deadline, |look| self.deadline.min(now + look));
        match place.visit(self.spec.volume.as_bytes(), until) {
            Ok(Answer::Known | Answer::Unclear) => {
                return Ok(Some(self.order(rank, place.server)));
            }
            Ok(Answer::Refused(errno)) => {
                self.strangers.push(rank);
                self.refusal = Some(Failure::Final(explain(self.spec, errno)));
            }
            Err(why) if is_silence(&why) => self.silent.push((rank, place)),
            Err(why) => self.obstacles.push((rank, Obstacle::Connecting(why))),
        }
        Ok(None)
    }

    /// Behind the one that answered, those after it, then those before it, which may be back by the
    /// time that they are needed. libgfapi takes sockets or hosts, not both.
    fn order(&self, rank: usize, first: ServerSpec) -> Vec<ServerSpec> {
        let is_socket = first.is_socket();
        let servers = self.spec.servers.iter().enumerate();
        let (before, after): (Vec<_>, Vec<_>) = servers
            .filter(|(other, server)| {
                *other != rank && server.is_socket() == is_socket && !self.strangers.contains(other)
            })
            .partition(|(other, _)| *other < rank);
        let others = after.into_iter().chain(before);
        std::iter::once(first)
            .chain(others.map(|(_, server)| server.clone()))
            .collect()
    }
}

/// Where a server may be.
struct Place {
    at: At,
    /// How to name it to libgfapi.
    server: ServerSpec,
}

enum At {
    Inet(SocketAddr),
    Socket(PathBuf),
}

/// Why there is no way to a server.
enum Obstacle {
    Resolving(io::Error),
    Connecting(io::Error),
}

/// All addresses of a server.
fn places_of(server: &ServerSpec) -> Result<Vec<Place>, Obstacle> {
    if server.is_socket() {
        let path = Path::new(OsStr::from_bytes(server.host.as_bytes()));
        return Ok(vec![Place {
            at: At::Socket(path.to_owned()),
            server: server.clone(),
        }]);
    }
    let host = server.host.to_string_lossy();
    let addresses: Vec<SocketAddr> = (&*host, server.port)
        .to_socket_addrs()
        .map_err(Obstacle::Resolving)?
        .collect();
    if addresses.is_empty() {
        return Err(Obstacle::Resolving(io::ErrorKind::NotFound.into()));
    }
    Ok(in_order(server, addresses))
}

/// Of a name, libgfapi takes the first IPv4 address, and the next one three seconds later, but none of
/// IPv6. So that one comes first here, too, and another one is given to libgfapi in place of the name.
fn in_order(server: &ServerSpec, mut addresses: Vec<SocketAddr>) -> Vec<Place> {
    if let Some(usual) = addresses.iter().position(SocketAddr::is_ipv4) {
        addresses[..=usual].rotate_right(1);
    }
    let places = addresses.into_iter().enumerate().map(|(rank, address)| {
        let mut server = server.clone();
        if (rank > 0 || address.is_ipv6()) && !has_zone(address) {
            // Digits, dots and colons only.
            server.host = CString::new(address.ip().to_string()).unwrap_or_default();
        }
        Place {
            at: At::Inet(address),
            server,
        }
    });
    places.collect()
}

/// Whether it is one that only its name leads to.
fn has_zone(address: SocketAddr) -> bool {
    matches!(address, SocketAddr::V6(address) if address.scope_id() != 0)
}

impl Place {
    /// Connects and asks for the volume. An error says why there is no connection, or that there was no
    /// answer by `until`, which lies ahead.
    fn visit(&self, volume: &[u8], until: Instant) -> io::Result<Answer> {
        match &self.at {
            At::Inet(address) => {
                let stream = TcpStream::connect_timeout(address, left(until)?)?;
                if Path::new(SECURE_ACCESS).exists() {
                    return Ok(Answer::Unclear);
                }
                talk(stream, volume, until)
            }
            At::Socket(path) => talk(connect_socket(path, left(until)?)?, volume, until),
        }
    }
}

fn talk(stream: impl Wire, volume: &[u8], until: Instant) -> io::Result<Answer> {
    match glusterd::ask(&mut Timed { stream, until }, volume) {
        Err(why) if is_silence(&why) => Err(why),
        Err(_) => Ok(Answer::Unclear),
        answer => answer,
    }
}

fn is_silence(why: &io::Error) -> bool {
    why.kind() == io::ErrorKind::TimedOut
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(io::ErrorKind::TimedOut.into())
    } else {
        Ok(left)
    }
}

trait Wire: Read + Write {
    fn limit(&self, time: Duration) -> io::Result<()>;
}

impl Wire for TcpStream {
    fn limit(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))?;
        self.set_write_timeout(Some(time))
    }
}

impl Wire for UnixStream {
    fn limit(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))?;
        self.set_write_timeout(Some(time))
    }
}

/// A stream on which all together may take until then.
struct Timed<S> {
    stream: S,
    until: Instant,
}

impl<S: Wire> Timed<S> {
    fn in_time<T>(&mut self, step: impl FnOnce(&mut S) -> io::Result<T>) -> io::Result<T> {
        self.stream.limit(left(self.until)?)?;
        step(&mut self.stream).map_err(|why| match why.kind() {
            io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
            _ => why,
        })
    }
}

impl<S: Wire> Read for Timed<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.in_time(|stream| stream.read(buffer))
    }
}

impl<S: Wire> Write for Timed<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.in_time(|stream| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What all those obstacles amount to.
fn out_of_reach(spec: &ConnectSpec, mut obstacles: Vec<(usize, Obstacle)>) -> Error {
    obstacles.sort_by_key(|(rank, _)| *rank);
    let errno = obstacles
        .iter()
        .find_map(|(_, obstacle)| obstacle.is_ours())
        .unwrap_or(libc::ENOTCONN);
    let advice = match errno {
        libc::EACCES | libc::EPERM => {
            "this process may not go there; see the socket's owner and mode, or the firewall's rules"
        }
        libc::ENOTCONN
            if obstacles
                .iter()
                .all(|(_, obstacle)| matches!(obstacle, Obstacle::Resolving(_))) =>
        {
            "check its spelling, and that this machine's resolver works"
        }
        libc::ENOTCONN => "no glusterd answers there; check the address, and that glusterd runs",
        _ => super::SHORT_OF,
    };
    let reasons = obstacles
        .iter()
        .map(|(rank, obstacle)| format!("{}: {obstacle}", told(&spec.servers[*rank])));
    Error::new(
        Stage::Connect,
        errno,
        format!(
            "cannot connect to volume '{}' through {}; {advice}",
            name(spec),
            listed(reasons)
        ),
    )
}

impl Obstacle {
    /// The errno, when it lies with this process rather than with the server.
    fn is_ours(&self) -> Option<i32> {
        let (Obstacle::Resolving(why) | Obstacle::Connecting(why)) = self;
        why.raw_os_error().filter(|errno| {
            matches!(
                *errno,
                libc::EACCES
                    | libc::EPERM
                    | libc::EMFILE
                    | libc::ENFILE
                    | libc::ENOMEM
                    | libc::ENOBUFS
            )
        })
    }
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Obstacle::Resolving(why) | Obstacle::Connecting(why)) = self;
        if matches!(self, Obstacle::Resolving(_)) {
            f.write_str("its name cannot be resolved: ")?;
        }
        match why.raw_os_error() {
            Some(errno) => Errno::new(errno, libc::EIO).fmt(f),
            None => {
                let text = why.to_string();
                let text = text.strip_prefix("failed to lookup address information: ");
                f.write_str(text.unwrap_or(&why.to_string()))
            }
        }
    }
}
