// SPDX-License-Identifier: GPL-2.0-or-later
//! Where an image is, in options of their own: what QEMU's `-blockdev` passes instead of a URI.

use super::Raw;
use crate::error::{Error, Result};
use crate::uri::{
    ImageUri, MAX_PATH, MAX_SERVERS, MAX_SOCKET, MAX_VOLUME, Server, Transport, check_host,
};
use std::collections::BTreeMap;
use std::ffi::CString;

/// `volume`, `path` and `server.N.*`, as they came.
#[derive(Default)]
pub(super) struct Place<'a> {
    pub(super) volume: Option<&'a str>,
    pub(super) path: Option<&'a str>,
    servers: BTreeMap<usize, RawServer<'a>>,
}

#[derive(Default)]
struct RawServer<'a> {
    kind: Option<&'a str>,
    host: Option<&'a str>,
    port: Option<&'a str>,
    socket: Option<&'a str>,
}

impl<'a> Place<'a> {
    /// The place for the value of `server.N.KEY`; `None` for another name.
    pub(super) fn server(&mut self, name: &str) -> Result<Option<&mut Option<&'a str>>> {
        let Some((number, key)) = name
            .strip_prefix("server.")
            .and_then(|rest| rest.split_once('.'))
        else {
            return Ok(None);
        };
        if !matches!(key, "type" | "host" | "port" | "path" | "socket") {
            return Err(Error::invalid(format!(
                "unknown option '{name}'; a server has type, host and port, or type and path"
            )));
        }
        let number = super::digits(number)
            .and_then(|number| usize::try_from(number).ok())
            .filter(|&number| number < MAX_SERVERS)
            .ok_or_else(|| {
                Error::invalid(format!(
                    "option '{name}': servers are counted from 0 to {}",
                    MAX_SERVERS - 1
                ))
            })?;
        let server = self.servers.entry(number).or_default();
        Ok(Some(match key {
            "type" => &mut server.kind,
            "host" => &mut server.host,
            "port" => &mut server.port,
            // The older name and the newer one of the same.
            _ => &mut server.socket,
        }))
    }

    /// Whether the host gave any of these.
    pub(super) fn is_given(&self) -> bool {
        self.volume.is_some() || self.path.is_some() || !self.servers.is_empty()
    }

    /// What a URI would have said, for the driver of that protocol.
    pub(super) fn locate(&self, protocol: &str) -> Result<ImageUri> {
        let volume = named("volume", self.volume)?;
        if volume.contains('/') || matches!(volume, "" | "." | "..") || volume.len() > MAX_VOLUME {
            return Err(Error::invalid(format!(
                "volume takes the name of a volume (no '/', at most {MAX_VOLUME} bytes), not '{volume}'"
            )));
        }
        let path = named("path", self.path)?.trim_start_matches('/');
        if path.is_empty() || path.len() > MAX_PATH {
            return Err(Error::invalid(format!(
                "path takes the image's path in the volume, of 1 to {MAX_PATH} bytes"
            )));
        }
        let mut servers = Vec::new();
        for (rank, (&number, server)) in self.servers.iter().enumerate() {
            if number != rank {
                return Err(Error::invalid(format!(
                    "there is a server.{number}, but no server.{rank}; count them from 0"
                )));
            }
            servers.push(server.read(number, protocol)?);
        }
        if servers.is_empty() {
            return Err(Error::invalid(
                "option 'server.0.host' is missing (or server.0.path, for a socket); volume and path \
                 need a server, or give the image's URI as 'filename'",
            ));
        }
        let server = servers.remove(0);
        Ok(ImageUri {
            transport: match (&server, protocol) {
                (Server::Unix { .. }, _) => Transport::Unix,
                (_, "gluster+rdma") => Transport::Rdma,
                _ => Transport::Tcp,
            },
            plain_scheme: protocol == "gluster",
            server,
            more_servers: servers,
            volume: c_string("volume", volume)?,
            path: c_string("path", path)?,
        })
    }
}

impl RawServer<'_> {
    fn read(&self, number: usize, protocol: &str) -> Result<Server> {
        let refuse = |why: &str| Err(Error::invalid(format!("server.{number}: {why}")));
        let is_socket = match self.kind {
            None => self.socket.is_some() && self.host.is_none(),
            Some("inet" | "tcp") => false,
            Some("unix") => true,
            Some(other) => return refuse(&format!("type takes inet or unix, not '{other}'")),
        };
        if is_socket {
            if self.host.is_some() || self.port.is_some() {
                return refuse("a socket has a path, and neither host nor port");
            }
            if protocol != "gluster" && protocol != "gluster+unix" {
                return refuse(&format!("{protocol} goes to servers on the network only"));
            }
            return match self.socket {
                None | Some("") => refuse("its path, that of the socket, is missing"),
                Some(path) if path.len() > MAX_SOCKET => {
                    refuse(&format!("a socket's path has at most {MAX_SOCKET} bytes"))
                }
                Some(path) => Ok(Server::Unix {
                    socket: c_string("the path of a socket", path)?,
                }),
            };
        }
        if self.socket.is_some() {
            return refuse("a server on the network has host and port, and no path");
        }
        if protocol == "gluster+unix" {
            return refuse("gluster+unix goes through sockets only");
        }
        let Some(host) = self.host else {
            return refuse("its host is missing");
        };
        if let Err(why) = check_host(host) {
            return refuse(&format!("host '{host}': {why}"));
        }
        match self.port.map(super::digits) {
            None => Ok(Server::inet(host, 0)),
            Some(Some(port @ 1..=65535)) => Ok(Server::inet(host, port as u16)),
            Some(_) => refuse(&format!(
                "port takes a number from 1 to 65535, not '{}'",
                self.port.unwrap_or_default()
            )),
        }
    }
}

fn named<'a>(name: &str, value: Option<&'a str>) -> Result<&'a str> {
    value.ok_or_else(|| {
        Error::invalid(format!(
            "option '{name}' is missing; an image is named by volume, path and server.0.host, or by \
             its URI in 'filename'"
        ))
    })
}

fn c_string(name: &str, value: &str) -> Result<CString> {
    CString::new(value).map_err(|_| Error::invalid(format!("{name} holds a NUL byte")))
}

/// The URI of an image, or what says the same.
pub(super) fn locate(raw: &Raw<'_>, protocol: &str, filename: Option<&str>) -> Result<ImageUri> {
    let uri = read(raw, protocol, filename)?;
    // libgfapi drops it, and would open or make an image of another name than was asked for.
    if uri.path.as_bytes().ends_with(b"/") {
        return Err(Error::invalid(format!(
            "the path '{}' ends with a slash, as a directory's does, and an image is a file; leave the \
             slash out",
            uri.path.to_string_lossy()
        )));
    }
    Ok(uri)
}

fn read(raw: &Raw<'_>, protocol: &str, filename: Option<&str>) -> Result<ImageUri> {
    match filename {
        Some(_) if raw.place.is_given() => Err(Error::invalid(
            "filename contradicts volume, path and server.*: give the URI or the parts, not both",
        )),
        Some(filename) => {
            let uri = ImageUri::parse(filename).map_err(|why| Error::invalid(why.to_string()))?;
            let scheme = match (uri.transport, uri.plain_scheme) {
                (Transport::Tcp, true) => "gluster",
                (Transport::Tcp, false) => "gluster+tcp",
                (Transport::Unix, _) => "gluster+unix",
                (Transport::Rdma, _) => "gluster+rdma",
            };
            if scheme != protocol {
                return Err(Error::invalid(format!(
                    "the driver for {protocol}:// was given the URI {uri}; use the driver for \
                     {scheme}://"
                )));
            }
            Ok(uri)
        }
        None if raw.place.is_given() => raw.place.locate(protocol),
        None => Err(Error::invalid(
            "option 'filename' is missing; it takes the image's URI (or give volume, path and \
             server.0.host)",
        )),
    }
}

#[cfg(test)]
mod tests {
    use crate::options::{OpenOptions, Pair};

    fn read(protocol: &str, pairs: &[Pair<'_>]) -> Result<String, String> {
        OpenOptions::parse(protocol, pairs, true, false)
            .map(|options| options.location.to_string())
            .map_err(|why| {
                assert_eq!(why.errno.get(), libc::EINVAL, "{why}");
                why.text
            })
    }

    const IMAGE: [Pair<'_>; 2] = [("volume", "v"), ("path", "d/i")];

    fn with(protocol: &str, servers: &[Pair<'_>]) -> Result<String, String> {
        read(protocol, &[&IMAGE, servers].concat())
    }

    #[test]
    fn they_say_what_a_uri_says() {
        for (protocol, servers, uri) in [
            ("gluster", vec![("server.0.host", "h")], "gluster://h/v/d/i"),
            (
                "gluster+tcp",
                vec![
                    ("server.0.type", "inet"),
                    ("server.0.host", "h"),
                    ("server.0.port", "1"),
                ],
                "gluster+tcp://h:1/v/d/i",
            ),
            (
                "gluster+rdma",
                vec![("server.0.type", "tcp"), ("server.0.host", "::1")],
                "gluster+rdma://[::1]/v/d/i",
            ),
            (
                "gluster",
                vec![("server.0.type", "unix"), ("server.0.path", "/s")],
                "gluster+unix:///v/d/i?socket=/s",
            ),
            (
                "gluster+unix",
                vec![("server.0.socket", "/s")],
                "gluster+unix:///v/d/i?socket=/s",
            ),
            (
                "gluster",
                vec![
                    ("server.1.host", "fe80::1"),
                    ("server.1.port", "7"),
                    ("server.0.host", "a"),
                ],
                "gluster://a/v/d/i?server=%5Bfe80::1%5D:7",
            ),
        ] {
            assert_eq!(with(protocol, &servers).as_deref(), Ok(uri));
        }
    }

    #[test]
    fn contradictions_are_told() {
        let host = ("server.0.host", "h");
        for (servers, word) in [
            (vec![], "server.0.host"),
            (vec![host, ("filename", "gluster://h/v/i")], "contradicts"),
            (vec![host, ("server.2.host", "h")], "no server.1"),
            (vec![("server.1.host", "h")], "no server.0"),
            (vec![host, host], "twice"),
            (vec![host, ("server.0.path", "/s")], "no path"),
            (vec![host, ("server.0.type", "unix")], "neither host"),
            (vec![("server.0.type", "unix")], "missing"),
            (vec![("server.0.path", "")], "missing"),
            (vec![("server.0.type", "inet")], "host is missing"),
            (vec![host, ("server.0.type", "rdma")], "'rdma'"),
            (vec![host, ("server.0.port", "0")], "65535"),
            (vec![host, ("server.0.port", "65536")], "'65536'"),
            (vec![host, ("server.0.port", "+1")], "'+1'"),
            (vec![("server.0.host", "")], "host ''"),
            (vec![("server.0.host", "a/b")], "'a/b'"),
            (vec![("server.0.host", "::g")], "'::g'"),
            (vec![host, ("server.0.to", "9")], "server.0.to"),
            (vec![host, ("server.32.host", "h")], "to 31"),
            (vec![host, ("server.-1.host", "h")], "server.-1"),
            (vec![host, ("server.host", "h")], "unknown option"),
        ] {
            let why = with("gluster", &servers).unwrap_err();
            assert!(why.contains(word), "{why} does not say {word}");
        }
        for (protocol, server, word) in [
            ("gluster+unix", host, "sockets only"),
            ("gluster+tcp", ("server.0.path", "/s"), "network only"),
            ("gluster+rdma", ("server.0.path", "/s"), "network only"),
        ] {
            let why = with(protocol, &[server]).unwrap_err();
            assert!(why.contains(word), "{why} does not say {word}");
        }
        for (pairs, word) in [
            (vec![("path", "i"), host], "'volume' is missing"),
            (vec![("volume", "v"), host], "'path' is missing"),
            (vec![("volume", "a/b"), ("path", "i"), host], "'a/b'"),
            (vec![("volume", ".."), ("path", "i"), host], "'..'"),
            (vec![("volume", "v"), ("path", "//"), host], "path takes"),
            (
                vec![("volume", "v"), ("path", "d/"), host],
                "'d/' ends with a slash",
            ),
            (
                vec![("filename", "gluster://h/v/d/i//")],
                "'d/i//' ends with a slash",
            ),
            (
                vec![("filename", "gluster://h/v/d%2F")],
                "'d/' ends with a slash",
            ),
        ] {
            let why = read("gluster", &pairs).unwrap_err();
            assert!(why.contains(word), "{why} does not say {word}");
        }
    }
}
