// SPDX-License-Identifier: GPL-2.0-or-later
//! `[user@][server][:port]`.

use url::{Host, ParseError, Url};

use super::MAX_HOST;
use super::error::{UriError, UriPart};
use super::piece::{Piece, is_name_char};

const BAD_PORT: &str = "a port is a decimal number from 0 to 65535";

/// Who is to be asked.
#[derive(Default)]
pub(super) struct Authority<'a> {
    /// As written, an IPv6 address without brackets; `None` where the URI names no server.
    pub(super) host: Option<&'a str>,
    /// 0 where the URI names no port.
    pub(super) port: u16,
}

pub(super) fn parse(authority: Piece<'_>) -> Result<Authority<'_>, UriError> {
    let address = match authority.split_once('@') {
        Some((user, address)) => {
            user.check(UriPart::User, |byte| is_name_char(byte) || byte == b':')?;
            address
        }
        None => authority,
    };
    let (host, port) = split_port(address)?;
    if host.text.len() > MAX_HOST {
        return Err(host.error(
            UriPart::Host,
            format!("a server's name has at most {MAX_HOST} characters"),
        ));
    }
    match port {
        Some(port)
            if port.text.is_empty() || !port.text.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            Err(port.error(UriPart::Port, BAD_PORT))
        }
        _ => resolve(address, host, port),
    }
}

/// Judges a server's name or address that stands alone; an IPv6 address has no brackets then.
pub(crate) fn check_host(host: &str) -> Result<(), String> {
    let written = match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    };
    let authority = match written.contains('@') {
        true => return Err("this is neither a name nor an address".to_owned()),
        false => parse(Piece::new(&written)).map_err(|why| why.reason().to_owned())?,
    };
    match authority.host {
        Some(_) => Ok(()),
        None => Err("it is empty".to_owned()),
    }
}

/// Cuts the port off; the address keeps its brackets.
fn split_port(address: Piece<'_>) -> Result<(Piece<'_>, Option<Piece<'_>>), UriError> {
    if address.text.starts_with('[') {
        let Some(bracket) = address.text.find(']') else {
            return Err(address.error(UriPart::Host, "the [ of an IPv6 address is not closed"));
        };
        let (host, rest) = address.split_at(bracket + 1);
        let is_foreign = |byte: u8| !byte.is_ascii_hexdigit() && !b":.".contains(&byte);
        if host.text[1..bracket].bytes().any(is_foreign) {
            let reason = "an IPv6 address has hexadecimal digits, colons and dots only; \
                          zones are not supported";
            return Err(host.error(UriPart::Host, reason));
        }
        return match rest.split_once(':') {
            None if rest.text.is_empty() => Ok((host, None)),
            Some((gap, port)) if gap.text.is_empty() => Ok((host, Some(port))),
            _ => Err(rest.error(
                UriPart::Host,
                "only a port may follow the ] of an IPv6 address",
            )),
        };
    }
    let (host, port) = address.until(':');
    if port.is_some_and(|port| port.text.contains(':')) {
        return Err(address.error(UriPart::Host, "an IPv6 address must stand in brackets, [ ]"));
    }
    if let Some(index) = host.text.bytes().position(|byte| !is_name_char(byte)) {
        let reason =
            "a server's name has letters, digits and -._~!$&'()*+,;= only, and no percent-encoding";
        return Err(host.split_at(index).1.error(UriPart::Host, reason));
    }
    Ok((host, port))
}

/// Lets `url` judge address and port.
///
/// It is shown neither the user part nor anything that it would delete or change before it looks,
/// and what it makes of the address is compared with what was written.
fn resolve<'a>(
    address: Piece<'a>,
    host: Piece<'a>,
    port: Option<Piece<'a>>,
) -> Result<Authority<'a>, UriError> {
    // A port without a server is fine here, but not in the WHATWG's URLs.
    let shown = if host.text.is_empty() {
        super::DEFAULT_HOST
    } else {
        host.text
    };
    let port_text = port.map_or("0", |port| port.text);
    let url =
        Url::parse(&format!("gluster://{shown}:{port_text}")).map_err(|error| match error {
            ParseError::InvalidPort => port.unwrap_or(address).error(UriPart::Port, BAD_PORT),
            _ => host.error(UriPart::Host, format!("{error}")),
        })?;
    let host = match url.host() {
        _ if host.text.is_empty() => None,
        Some(Host::Ipv6(_)) => Some(&host.text[1..host.text.len() - 1]),
        Some(Host::Domain(name)) if name == host.text => Some(host.text),
        _ => return Err(host.error(UriPart::Host, "this is neither a name nor an address")),
    };
    Ok(Authority {
        host,
        port: url.port().unwrap_or(0),
    })
}
