// SPDX-License-Identifier: GPL-2.0-or-later
//! Gluster URIs: where an image lives.
//!
//! ```text
//! gluster[+transport]://[server[:port]]/volname/image[?socket=...]
//! gluster[+transport]://[server[:port]]/volname/image?server=server[:port]&server=...
//! ```
//!
//! What is accepted is what the Gluster driver of QEMU 7.2 accepted, so that URIs in existing
//! configurations go on working: RFC 3986, with these habits.
//!
//! - The transport is `tcp` (also plain `gluster:`), `unix` or `rdma`; the scheme is written in
//!   lower case.
//! - A missing server means [`DEFAULT_HOST`], a missing port or port 0 means [`DEFAULT_PORT`]. The
//!   `//server` part may be left out as a whole: `gluster:/vol/img`, `gluster:vol/img`.
//! - The path is percent-decoded first and split into volume and image afterwards, so `%2F` parts
//!   them just as `/` does. Slashes before the volume, and between it and the image, count once;
//!   those inside the image path, and its `.` and `..`, are left for Gluster to resolve.
//! - `gluster+unix:` wants the one query key `socket=` and neither server nor port; the others take
//!   no key but `server=`. Keys are parted by `&`, and behind the last `&` by `;`. A section that is
//!   empty or has a value without a name (`?=x`) is skipped. `+` is a plus sign.
//! - A user part and a fragment must be well formed; they are ignored and not kept.
//!
//! Stricter than QEMU, where it would have failed later or done something else than what was
//! written:
//!
//! - `%00` in what is used: a C string would end there, and another image be opened.
//! - What stands in `[ ]` must be an IPv6 address, without a zone; it is handed on without the
//!   brackets, which resolvers do not know.
//! - A server holds no percent-encoding: no name and no address needs it.
//! - `.` and `..` cannot be volumes; `socket=` needs a value; lengths have [limits](MAX_PATH).
//!
//! More than QEMU:
//!
//! - `server=` names a further server to ask, and may come again. Where nothing stands between `//`
//!   and the path, the first of them is the server. An IPv6 address may keep its brackets.
//!
//! Nothing is rewritten: apart from percent-decoding and those outer slashes every part is kept as
//! it was written.

mod authority;
mod error;
mod piece;
mod query;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ffi::CString;
use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use authority::Authority;
pub(crate) use authority::check_host;
pub use error::{UriError, UriPart};
use piece::{Piece, is_pchar};

/// The form of a Gluster URI, for messages.
pub const USAGE: &str = "gluster[+transport]://[server[:port]]/volname/image[?socket=...], \
                         more servers as ?server=server[:port]&server=...";

/// Most servers of one image.
pub const MAX_SERVERS: usize = 32;

/// The server asked when the URI names none.
pub const DEFAULT_HOST: &str = "localhost";

/// The port asked when the URI names none: glusterd's.
pub const DEFAULT_PORT: u16 = 24007;

/// Longest server name: the 253 characters of a DNS name and the dot of the root.
pub const MAX_HOST: usize = 254;

/// Longest volume name in bytes: glusterd takes one more for too long.
pub const MAX_VOLUME: usize = 254;

/// Longest image path in bytes: `PATH_MAX` without its terminating NUL.
pub const MAX_PATH: usize = 4095;

/// Longest socket path in bytes: `sun_path` of `struct sockaddr_un` without its terminating NUL.
pub const MAX_SOCKET: usize = 107;

/// What stays readable when a URI is printed: all that may stand in a path and in a query value
/// unencoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b'=')
    .remove(b':')
    .remove(b'@')
    .remove(b'/');

/// How to talk to the management daemon, as the scheme asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// `gluster:` and `gluster+tcp:`.
    Tcp,
    /// `gluster+unix:`.
    Unix,
    /// `gluster+rdma:`.
    Rdma,
}

impl Transport {
    /// The name libgfapi and the scheme know it by.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::Unix => "unix",
            Transport::Rdma => "rdma",
        }
    }
}

/// One place to ask for the volume's description.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Server {
    /// A management daemon on the network.
    Inet {
        /// A name, an IPv4 or an IPv6 address, as it was written; an IPv6 address without its
        /// brackets.
        host: String,
        /// Never 0.
        port: u16,
    },
    /// A management daemon behind a socket on this machine.
    Unix {
        /// The path of the socket; any bytes but NUL.
        socket: CString,
    },
}

impl Server {
    /// Port 0 stands for glusterd's.
    pub(crate) fn inet(host: &str, port: u16) -> Server {
        Server::Inet {
            host: host.to_owned(),
            port: if port == 0 { DEFAULT_PORT } else { port },
        }
    }
}

/// As the URI has it: nothing of a socket, which goes elsewhere.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Server::Inet { host, port } = self else {
            return Ok(());
        };
        if host.contains(':') {
            write!(f, "[{host}]")?;
        } else {
            f.write_str(host)?;
        }
        if *port != DEFAULT_PORT {
            write!(f, ":{port}")?;
        }
        Ok(())
    }
}

/// Where an image lives.
///
/// Volume and path are bytes, as file names are. A value that [`ImageUri::parse`] gave prints as a
/// URI that parses to an equal value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImageUri {
    /// What the scheme asks for; `Unix` exactly when `server` is.
    pub transport: Transport,
    /// Whether the scheme is written `gluster:` rather than `gluster+tcp:`.
    pub plain_scheme: bool,
    /// Where to ask for the volume's description.
    pub server: Server,
    /// Where else, in this order. A URI cannot name sockets here; options can.
    pub more_servers: Vec<Server>,
    /// The volume: not empty, no slash.
    pub volume: CString,
    /// The image inside the volume: not empty, no slash in front.
    pub path: CString,
}

impl ImageUri {
    /// Reads a URI.
    ///
    /// # Errors
    ///
    /// What is wrong with the text, with the part and the place.
    pub fn parse(text: &str) -> Result<ImageUri, UriError> {
        let Some((scheme, rest)) = Piece::new(text).split_once(':') else {
            return Err(UriError::new(
                UriPart::Scheme,
                0,
                "it does not begin with \"gluster:\"",
            ));
        };
        let (transport, plain_scheme) = match scheme.text {
            "gluster" => (Transport::Tcp, true),
            "gluster+tcp" => (Transport::Tcp, false),
            "gluster+unix" => (Transport::Unix, false),
            "gluster+rdma" => (Transport::Rdma, false),
            _ => {
                let reason = format!(
                    "no such protocol{}; there are gluster, gluster+tcp, \
                     gluster+unix and gluster+rdma, in lower case",
                    scheme.quoted()
                );
                return Err(scheme.error(UriPart::Scheme, reason));
            }
        };
        let (rest, fragment) = rest.until('#');
        let (rest, query) = rest.until('?');
        let (authority, path) = split_authority(rest);

        let Authority { host, port } = authority::parse(authority)?;
        if transport == Transport::Unix && (host.is_some() || port != 0) {
            return Err(authority.error(
                UriPart::Host,
                "gluster+unix goes through socket=, not to a server or a port",
            ));
        }
        let (volume, image) = split_path(path)?;
        let query = query::parse(query.unwrap_or(rest.end()), transport)?;
        if let Some(fragment) = fragment {
            fragment.check(UriPart::Fragment, |byte| {
                is_pchar(byte) || b"/?[]".contains(&byte)
            })?;
        }

        let mut more_servers = query.servers;
        let server = match query.socket {
            Some(socket) => Server::Unix { socket },
            None if host.is_none() && port == 0 && !more_servers.is_empty() => {
                more_servers.remove(0)
            }
            None => Server::inet(host.unwrap_or(DEFAULT_HOST), port),
        };
        Ok(ImageUri {
            transport,
            plain_scheme,
            server,
            more_servers,
            volume,
            path: image,
        })
    }
}

impl FromStr for ImageUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<ImageUri, UriError> {
        ImageUri::parse(text)
    }
}

impl fmt::Display for ImageUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("gluster")?;
        if !(self.plain_scheme && self.transport == Transport::Tcp) {
            write!(f, "+{}", self.transport.name())?;
        }
        write!(f, "://{}", self.server)?;
        let volume = percent_encode(self.volume.as_bytes(), ENCODED);
        let path = percent_encode(self.path.as_bytes(), ENCODED);
        write!(f, "/{volume}/{path}")?;
        let mut mark = '?';
        for (rank, server) in std::iter::once(&self.server)
            .chain(&self.more_servers)
            .enumerate()
        {
            let (key, value) = match server {
                Server::Unix { socket } => ("socket", socket.as_bytes().to_owned()),
                Server::Inet { .. } if rank == 0 => continue,
                Server::Inet { .. } => ("server", server.to_string().into_bytes()),
            };
            write!(f, "{mark}{key}={}", percent_encode(&value, ENCODED))?;
            mark = '&';
        }
        Ok(())
    }
}

/// Parts what follows the scheme into `[user@][server][:port]` and path.
fn split_authority(rest: Piece<'_>) -> (Piece<'_>, Piece<'_>) {
    match rest.text.strip_prefix("//") {
        Some(inner) => {
            let (_, authority_and_path) = rest.split_at(2);
            authority_and_path.split_at(inner.find('/').unwrap_or(inner.len()))
        }
        None => rest.split_at(0),
    }
}

/// Parts the path into volume and image, after decoding it.
fn split_path(written: Piece<'_>) -> Result<(CString, CString), UriError> {
    written.check(UriPart::Path, |byte| is_pchar(byte) || byte == b'/')?;
    let decoded = written.decode();
    let rest = skip_slashes(&decoded);
    let end = rest
        .iter()
        .position(|&byte| byte == b'/')
        .unwrap_or(rest.len());
    let (volume, rest) = rest.split_at(end);
    let image = skip_slashes(rest);

    let refuse = |part, reason: Cow<'static, str>| Err(written.error(part, reason));
    if volume.is_empty() {
        return refuse(UriPart::Volume, "the volume is missing".into());
    }
    if volume == b"." || volume == b".." {
        return refuse(UriPart::Volume, "\".\" and \"..\" cannot be volumes".into());
    }
    if volume.len() > MAX_VOLUME {
        return refuse(
            UriPart::Volume,
            format!("a volume's name has at most {MAX_VOLUME} bytes").into(),
        );
    }
    if image.is_empty() {
        return refuse(
            UriPart::Path,
            "the image is missing after the volume".into(),
        );
    }
    if image.len() > MAX_PATH {
        return refuse(
            UriPart::Path,
            format!("an image's path has at most {MAX_PATH} bytes").into(),
        );
    }
    Ok((
        written.c_string(UriPart::Volume, volume)?,
        written.c_string(UriPart::Path, image)?,
    ))
}

fn skip_slashes(bytes: &[u8]) -> &[u8] {
    let slashes = bytes.iter().take_while(|&&byte| byte == b'/').count();
    &bytes[slashes..]
}
