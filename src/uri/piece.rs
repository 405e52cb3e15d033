// SPDX-License-Identifier: GPL-2.0-or-later
//! Cutting a text into pieces that know where they stand in it, and RFC 3986's classes of
//! characters.

use std::borrow::Cow;
use std::ffi::CString;

use percent_encoding::percent_decode;

use super::error::{UriError, UriPart};

/// Longest input repeated in a message.
const MAX_QUOTED: usize = 32;

/// A piece of the URI.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    whole: &'a str,
    pub(super) text: &'a str,
    at: usize,
}

impl<'a> Piece<'a> {
    pub(super) fn new(whole: &'a str) -> Piece<'a> {
        Piece {
            whole,
            text: whole,
            at: 0,
        }
    }

    /// Cuts so that the second piece begins at `index` of this one.
    pub(super) fn split_at(self, index: usize) -> (Piece<'a>, Piece<'a>) {
        let (left, right) = self.text.split_at(index);
        (
            Piece { text: left, ..self },
            Piece {
                text: right,
                at: self.at + index,
                ..self
            },
        )
    }

    /// What stands before the first `separator`, and what follows it.
    pub(super) fn split_once(self, separator: char) -> Option<(Piece<'a>, Piece<'a>)> {
        let (left, right) = self.split_at(self.text.find(separator)?);
        Some((left, right.split_at(separator.len_utf8()).1))
    }

    /// Like [`Piece::split_once`], for a second piece that may be absent.
    pub(super) fn until(self, separator: char) -> (Piece<'a>, Option<Piece<'a>>) {
        match self.split_once(separator) {
            Some((left, right)) => (left, Some(right)),
            None => (self, None),
        }
    }

    /// The pieces between the separators.
    pub(super) fn split(self, separator: char) -> impl Iterator<Item = Piece<'a>> {
        let mut rest = Some(self);
        std::iter::from_fn(move || {
            let (piece, next) = rest?.until(separator);
            rest = next;
            Some(piece)
        })
    }

    /// The empty piece at the end of this one.
    pub(super) fn end(self) -> Piece<'a> {
        self.split_at(self.text.len()).1
    }

    pub(super) fn error(self, part: UriPart, reason: impl Into<Cow<'static, str>>) -> UriError {
        UriError::new(part, self.at, reason)
    }

    /// This piece for a message, with a blank in front; nothing if it is not readable, or could be
    /// a part of a password.
    ///
    /// With an `@` in the text that cannot be excluded: a password with a `/`, `?` or `#` in it
    /// ends the server part early, and its rest looks like a path or a query.
    pub(super) fn quoted(self) -> String {
        let readable =
            self.text.len() <= MAX_QUOTED && self.text.bytes().all(|byte| byte.is_ascii_graphic());
        if self.whole.contains('@') || !readable {
            return String::new();
        }
        format!(" \"{}\"", self.text)
    }

    /// Refuses characters that may stand here only percent-encoded, and broken percent-encoding.
    pub(super) fn check(self, part: UriPart, allowed: impl Fn(u8) -> bool) -> Result<(), UriError> {
        let bytes = self.text.as_bytes();
        let mut index = 0;
        while let Some(&byte) = bytes.get(index) {
            index += match byte {
                b'%' if is_escape(&bytes[index..]) => 3,
                _ if allowed(byte) => 1,
                _ => return Err(UriError::new(part, self.at + index, why_refused(byte))),
            };
        }
        Ok(())
    }

    /// The bytes that the percent-encoding stands for.
    pub(super) fn decode(self) -> Vec<u8> {
        percent_decode(self.text.as_bytes()).collect()
    }

    /// Makes decoded bytes of this piece a C string.
    pub(super) fn c_string(self, part: UriPart, bytes: &[u8]) -> Result<CString, UriError> {
        CString::new(bytes).map_err(|_| self.error(part, "%00 would end the name there"))
    }
}

fn is_escape(bytes: &[u8]) -> bool {
    matches!(bytes, [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

fn why_refused(byte: u8) -> &'static str {
    match byte {
        b'%' => "% must be followed by two hexadecimal digits (%25 is the percent sign itself)",
        b' ' => "a blank must be written %20",
        _ if byte.is_ascii_control() => "a control character must be percent-encoded",
        _ if !byte.is_ascii() => "a character outside ASCII must be percent-encoded",
        _ => "this character must be percent-encoded",
    }
}

/// `unreserved / sub-delims`.
pub(super) fn is_name_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte)
}

/// `pchar`, but for percent-encoding.
pub(super) fn is_pchar(byte: u8) -> bool {
    is_name_char(byte) || byte == b':' || byte == b'@'
}
