// SPDX-License-Identifier: GPL-2.0-or-later
//! What is wrong with a URI, said without repeating its secrets.

use std::borrow::Cow;
use std::fmt;

use super::USAGE;

/// The part of a URI that an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UriPart {
    /// `gluster+tcp`
    Scheme,
    /// What stands before the `@` of the server part.
    User,
    /// The server.
    Host,
    /// The server's port.
    Port,
    /// The first element of the path.
    Volume,
    /// The path, or the image it names.
    Path,
    /// What follows the `?`.
    Query,
    /// What follows the `#`.
    Fragment,
}

impl fmt::Display for UriPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            UriPart::Scheme => "scheme",
            UriPart::User => "user part",
            UriPart::Host => "server",
            UriPart::Port => "port",
            UriPart::Volume => "volume",
            UriPart::Path => "path",
            UriPart::Query => "query",
            UriPart::Fragment => "fragment",
        })
    }
}

/// Why a text is no Gluster URI.
///
/// Prints as one line that ends with the [usage text](USAGE). It never holds a user part, nor
/// anything that could be one in a badly written URI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UriError {
    part: UriPart,
    offset: usize,
    reason: Cow<'static, str>,
}

impl UriError {
    pub(super) fn new(
        part: UriPart,
        offset: usize,
        reason: impl Into<Cow<'static, str>>,
    ) -> UriError {
        UriError {
            part,
            offset,
            reason: reason.into(),
        }
    }

    /// The part that is wrong.
    pub fn part(&self) -> UriPart {
        self.part
    }

    pub(super) fn reason(&self) -> &str {
        &self.reason
    }

    /// Where in the text it is wrong, in bytes from the start.
    pub fn offset(&self) -> usize {
        self.offset
    }
}

impl fmt::Display for UriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UriError {
            part,
            offset,
            reason,
        } = self;
        write!(
            f,
            "not a Gluster URI: {reason} ({part}, at byte {offset}). Usage: {USAGE}"
        )
    }
}

impl std::error::Error for UriError {}
