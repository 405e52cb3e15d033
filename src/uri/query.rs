// SPDX-License-Identifier: GPL-2.0-or-later
//! `?socket=...`.

use std::ffi::CString;

use super::error::{UriError, UriPart};
use super::piece::{Piece, is_pchar};
use super::{MAX_SOCKET, Transport};

/// The socket that the query names: exactly for the transport that goes through one.
///
/// `query` is empty, and stands where the query would begin, if the URI has none.
pub(super) fn socket(query: Piece<'_>, transport: Transport) -> Result<Option<CString>, UriError> {
    query.check(UriPart::Query, |byte| {
        is_pchar(byte) || byte == b'/' || byte == b'?'
    })?;
    let mut socket = None;
    for section in sections(query) {
        let (name, value) = section.until('=');
        let value_is_empty = value.is_none_or(|value| value.text.is_empty());
        if name.text.is_empty() && !value_is_empty {
            continue;
        }
        if name.decode() != b"socket" {
            let reason = format!("unknown query key{}; only socket= is known", name.quoted());
            return Err(name.error(UriPart::Query, reason));
        }
        if transport != Transport::Unix {
            return Err(name.error(UriPart::Query, "socket= goes with gluster+unix only"));
        }
        if socket.is_some() {
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
        socket = Some(path);
    }
    if transport == Transport::Unix && socket.is_none() {
        return Err(query.error(
            UriPart::Query,
            "gluster+unix needs ?socket= and the path of a socket",
        ));
    }
    Ok(socket)
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
