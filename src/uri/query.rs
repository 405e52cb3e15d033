// SPDX-License-Identifier: GPL-2.0-or-later
//! `?socket=...` and `?server=...`.

use std::ffi::CString;

use super::error::{UriError, UriPart};
use super::piece::{Piece, is_pchar};
use super::{MAX_SERVERS, MAX_SOCKET, Server, Transport, authority};

/// What a query says.
#[derive(Default)]
pub(super) struct Query {
    /// Exactly for the transport that goes through one.
    pub(super) socket: Option<CString>,
    /// Never for that one.
    pub(super) servers: Vec<Server>,
}

/// Reads it. `query` is empty, and stands where the query would begin, if the URI has none.
pub(super) fn parse(query: Piece<'_>, transport: Transport) -> Result<Query, UriError> {
    let has_servers = query.text.contains("server=");
    query.check(UriPart::Query, |byte| {
        is_pchar(byte) || b"/?".contains(&byte) || (has_servers && b"[]".contains(&byte))
    })?;
    let mut read = Query::default();
    for section in sections(query) {
        let (name, value) = section.until('=');
        let value_is_empty = value.is_none_or(|value| value.text.is_empty());
        if name.text.is_empty() && !value_is_empty {
            continue;
        }
        let key = name.decode();
        if key == b"server" {
            let value = value.filter(|_| !value_is_empty);
            read.servers.push(server(name, value, transport)?);
            if read.servers.len() > MAX_SERVERS {
                let reason = format!("there may be {MAX_SERVERS} servers, no more");
                return Err(name.error(UriPart::Query, reason));
            }
            continue;
        }
        if key != b"socket" {
            let reason = format!(
                "unknown query key{}; only socket= and server= are known",
                name.quoted()
            );
            return Err(name.error(UriPart::Query, reason));
        }
        if transport != Transport::Unix {
            return Err(name.error(UriPart::Query, "socket= goes with gluster+unix only"));
        }
        if read.socket.is_some() {
            return Err(name.error(UriPart::Query, "socket= is given twice"));
        }
        let Some(value) = value.filter(|_| !value_is_empty) else {
            return Err(name.error(UriPart::Query, "socket= needs the path of a socket"));
        };
        let path = value.c_string(UriPart::Query, &value.decode())?;
        if path.as_bytes().len() > MAX_SOCKET {
            let reason = format!("a socket's path has at most {MAX_SOCKET} bytes");
            return Err(value.error(UriPart::Query, reason));
        }
        read.socket = Some(path);
    }
    if transport == Transport::Unix && read.socket.is_none() {
        return Err(query.error(
            UriPart::Query,
            "gluster+unix needs ?socket= and the path of a socket",
        ));
    }
    Ok(read)
}

/// `server[:port]`, as between `//` and the path.
fn server(
    name: Piece<'_>,
    value: Option<Piece<'_>>,
    transport: Transport,
) -> Result<Server, UriError> {
    if transport == Transport::Unix {
        return Err(name.error(UriPart::Query, "server= does not go with gluster+unix"));
    }
    let Some(value) = value else {
        return Err(name.error(UriPart::Query, "server= needs a name or an address"));
    };
    let wrong = || value.error(UriPart::Query, "server= takes server[:port]");
    let text = String::from_utf8(value.decode()).map_err(|_| wrong())?;
    if text.contains('@') {
        return Err(wrong());
    }
    let authority::Authority { host, port } = authority::parse(Piece::new(&text))
        .map_err(|why| value.error(UriPart::Query, why.reason().to_owned()))?;
    Ok(Server::inet(host.ok_or_else(wrong)?, port))
}

/// The sections of a query that are not empty.
///
/// As QEMU does it: `;` parts them too, but not where there is a `&` further on.
fn sections(query: Piece<'_>) -> impl Iterator<Item = Piece<'_>> {
    let behind_last_and = query.text.rfind('&').map_or(0, |index| index + 1);
    let (head, tail) = query.split_at(behind_last_and);
    head.split('&')
        .chain(tail.split(';'))
        .filter(|section| !section.text.is_empty())
}
