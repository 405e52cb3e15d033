// SPDX-License-Identifier: GPL-2.0-or-later
//! A second reader of Gluster URIs, to compare the real one with.
//!
//! It goes through the text byte by byte along the grammar of RFC 3986, section 3, as the driver of
//! QEMU 7.2 did, into parts as that driver knew them ([`Parts`]); what the driver made of these,
//! and what this crate refuses beyond that, follows in [`read`]. It shares no code with the crate,
//! not even the percent-decoding.

use std::ffi::CString;
use std::net::Ipv6Addr;

use blkgluster::uri::{ImageUri, Server, Transport};

/// A URI in its parts: server and path with percent-encoding resolved, the query as it was written.
#[derive(Default)]
struct Parts {
    scheme: Vec<u8>,
    server: Vec<u8>,
    server_is_encoded: bool,
    port: u32,
    path: Vec<u8>,
    query: Vec<u8>,
}

/// The rest of the text.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn peek(&self) -> u8 {
        // NUL stands for the end, as in C: no rule of the grammar takes it.
        self.0.first().copied().unwrap_or(0)
    }

    fn take(&mut self, expected: u8) -> bool {
        let found = !self.0.is_empty() && self.peek() == expected;
        if found {
            self.0 = &self.0[1..];
        }
        found
    }

    /// As many characters as there are of this kind, with what they stand for and with what was
    /// written.
    fn run(&mut self, plain: fn(u8) -> bool) -> (Vec<u8>, Vec<u8>) {
        let (mut meant, start) = (Vec::new(), self.0);
        loop {
            match *self.0 {
                [b'%', high, low, ..] if hex(high).is_some() && hex(low).is_some() => {
                    meant.push(hex(high).unwrap() * 16 + hex(low).unwrap());
                    self.0 = &self.0[3..];
                }
                [byte, ..] if plain(byte) => {
                    meant.push(byte);
                    self.0 = &self.0[1..];
                }
                _ => return (meant, start[..start.len() - self.0.len()].to_vec()),
            }
        }
    }
}

fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

fn unreserved_or_sub_delim(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~')
        || matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        )
}

fn pchar(byte: u8) -> bool {
    unreserved_or_sub_delim(byte) || matches!(byte, b':' | b'@')
}

/// `scheme ":" hier-part [ "?" query ] [ "#" fragment ]`
fn parts(text: &[u8]) -> Option<Parts> {
    let mut parts = Parts::default();
    let mut rest = Rest(text);
    while matches!(rest.peek(), b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'+' | b'-' | b'.') {
        parts.scheme.push(rest.peek());
        rest.0 = &rest.0[1..];
    }
    if !parts.scheme.first()?.is_ascii_alphabetic() || !rest.take(b':') {
        return None;
    }
    if rest.0.starts_with(b"//") {
        rest.0 = &rest.0[2..];
        authority(&mut rest, &mut parts)?;
        // `path-abempty`: nothing, or a slash first.
        if rest.peek() == b'/' {
            parts.path = rest.run(|byte| pchar(byte) || byte == b'/').0;
        }
    } else {
        parts.path = rest.run(|byte| pchar(byte) || byte == b'/').0;
    }
    if rest.take(b'?') {
        parts.query = rest
            .run(|byte| pchar(byte) || matches!(byte, b'/' | b'?'))
            .1;
    }
    if rest.take(b'#') {
        rest.run(|byte| pchar(byte) || matches!(byte, b'/' | b'?' | b'[' | b']'));
    }
    rest.0.is_empty().then_some(parts)
}

/// `[ userinfo "@" ] host [ ":" port ]`
fn authority(rest: &mut Rest<'_>, parts: &mut Parts) -> Option<()> {
    let mut user = Rest(rest.0);
    user.run(|byte| unreserved_or_sub_delim(byte) || byte == b':');
    if user.take(b'@') {
        rest.0 = user.0;
    }
    if rest.peek() == b'[' {
        let length = 1 + rest.0.iter().position(|&byte| byte == b']')?;
        let (literal, behind) = rest.0.split_at(length);
        (parts.server, rest.0) = (literal.to_vec(), behind);
    } else {
        let (meant, written) = rest.run(unreserved_or_sub_delim);
        parts.server_is_encoded = meant != written;
        parts.server = meant;
    }
    if rest.take(b':') {
        if !rest.peek().is_ascii_digit() {
            return None;
        }
        while rest.peek().is_ascii_digit() {
            parts.port = parts.port * 10 + u32::from(rest.peek() - b'0');
            if parts.port > 65535 {
                return None;
            }
            rest.0 = &rest.0[1..];
        }
    }
    Some(())
}

/// Names and values of a query.
fn keys(mut query: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut keys = Vec::new();
    while !query.is_empty() {
        let position = |separator| query.iter().position(|&byte| byte == separator);
        let end = position(b'&').or(position(b';')).unwrap_or(query.len());
        let section = &query[..end];
        query = &query[query.len().min(end + 1)..];
        let decode = |text| Rest(text).run(|_| true).0;
        match section.iter().position(|&byte| byte == b'=') {
            _ if section.is_empty() => {}
            None => keys.push((decode(section), Vec::new())),
            Some(0) if section.len() > 1 => {}
            Some(equals) => keys.push((decode(&section[..equals]), decode(&section[equals + 1..]))),
        }
    }
    keys
}

/// What the URI means, or `None` if it is no good.
pub fn read(text: &str) -> Option<ImageUri> {
    let parts = parts(text.as_bytes())?;
    let transport = match parts.scheme.as_slice() {
        b"gluster" | b"gluster+tcp" => Transport::Tcp,
        b"gluster+unix" => Transport::Unix,
        b"gluster+rdma" => Transport::Rdma,
        _ => return None,
    };

    let without_slashes = |mut path: &[u8]| {
        while let [b'/', inner @ ..] = path {
            path = inner;
        }
        path.to_vec()
    };
    let from_volume = without_slashes(&parts.path);
    let (volume, path) = from_volume.split_at(from_volume.iter().position(|&byte| byte == b'/')?);
    let path = without_slashes(path);
    let good = |name: &[u8], longest| (1..=longest).contains(&name.len());
    if !good(volume, 254) || !good(&path, 4095) || matches!(volume, b"." | b"..") {
        return None;
    }

    let keys = keys(&parts.query);
    let server = if transport == Transport::Unix {
        let [(name, socket)] = keys.as_slice() else {
            return None;
        };
        if name != b"socket" || !good(socket, 107) || !parts.server.is_empty() || parts.port != 0 {
            return None;
        }
        Server::Unix {
            socket: CString::new(socket.as_slice()).ok()?,
        }
    } else {
        if !keys.is_empty() || parts.server_is_encoded || parts.server.len() > 254 {
            return None;
        }
        let mut host = String::from_utf8(parts.server).ok()?;
        if let Some(literal) = host.strip_prefix('[') {
            host = literal.strip_suffix(']')?.to_owned();
            host.parse::<Ipv6Addr>().ok()?;
        } else if host.is_empty() {
            host = "localhost".to_owned();
        }
        let port = if parts.port == 0 {
            24007
        } else {
            parts.port as u16
        };
        Server::Inet { host, port }
    };
    Some(ImageUri {
        transport,
        plain_scheme: parts.scheme == b"gluster",
        server,
        more_servers: Vec::new(),
        volume: CString::new(volume).ok()?,
        path: CString::new(path).ok()?,
    })
}
