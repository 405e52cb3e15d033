// SPDX-License-Identifier: GPL-2.0-or-later
//! The one error type: an errno, the stage it happened at, and a sentence.

use std::fmt;

/// A positive errno. Never zero: libgfapi fails with errno 0 at times, and a
/// caller that returns `-0` would have reported success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(i32);

impl Errno {
    /// `raw` as captured after a failure; what is not a positive errno becomes `fallback`.
    pub fn new(raw: i32, fallback: i32) -> Errno {
        debug_assert!(fallback > 0);
        Errno(if raw > 0 { raw } else { fallback })
    }

    /// The positive number.
    pub fn get(self) -> i32 {
        self.0
    }

    /// What a C function returns for it.
    pub fn negated(self) -> i32 {
        -self.0
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = std::io::Error::from_raw_os_error(self.0).to_string();
        // std appends " (os error N)", which says less than the name.
        let text = text.split(" (os error").next().unwrap_or(&text);
        match name(self.0) {
            Some(name) => write!(f, "{text} ({name})"),
            None => write!(f, "{text} (errno {})", self.0),
        }
    }
}

/// Symbolic names of what libgfapi and the bricks answer.
fn name(errno: i32) -> Option<&'static str> {
    Some(match errno {
        libc::EPERM => "EPERM",
        libc::ENOENT => "ENOENT",
        libc::EIO => "EIO",
        libc::EBADF => "EBADF",
        libc::EAGAIN => "EAGAIN",
        libc::ENOMEM => "ENOMEM",
        libc::EACCES => "EACCES",
        libc::EFAULT => "EFAULT",
        libc::EBUSY => "EBUSY",
        libc::EEXIST => "EEXIST",
        libc::ENOTDIR => "ENOTDIR",
        libc::EISDIR => "EISDIR",
        libc::EINVAL => "EINVAL",
        libc::EMFILE => "EMFILE",
        libc::EFBIG => "EFBIG",
        libc::ENOSPC => "ENOSPC",
        libc::EROFS => "EROFS",
        libc::ENAMETOOLONG => "ENAMETOOLONG",
        libc::EOPNOTSUPP => "EOPNOTSUPP",
        libc::ENETUNREACH => "ENETUNREACH",
        libc::ECONNRESET => "ECONNRESET",
        libc::ENOTCONN => "ENOTCONN",
        libc::ETIMEDOUT => "ETIMEDOUT",
        libc::ECONNREFUSED => "ECONNREFUSED",
        libc::EHOSTUNREACH => "EHOSTUNREACH",
        libc::EALREADY => "EALREADY",
        libc::ESTALE => "ESTALE",
        libc::EDQUOT => "EDQUOT",
        libc::ECANCELED => "ECANCELED",
        libc::EBADFD => "EBADFD",
        libc::ENOTRECOVERABLE => "ENOTRECOVERABLE",
        _ => return None,
    })
}

/// How far an operation had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// An argument, option or URI was wrong; nothing was contacted.
    Parse,
    /// Connecting to the volume.
    Connect,
    /// Opening or creating the image.
    Open,
    /// Using an open image.
    Io,
}

/// A failure with its errno and a sentence for a person.
#[derive(Clone, Debug)]
pub struct Error {
    /// What the C caller gets, negated.
    pub errno: Errno,
    /// How far it had come.
    pub stage: Stage,
    /// What failed, for which image and server, why, and what to try.
    pub text: String,
}

impl Error {
    /// An error with the given errno, which must be positive.
    #[cold]
    pub fn new(stage: Stage, errno: i32, text: impl Into<String>) -> Error {
        Error {
            errno: Errno::new(errno, libc::EIO),
            stage,
            text: text.into(),
        }
    }

    /// The host gave something wrong.
    #[cold]
    pub fn invalid(text: impl Into<String>) -> Error {
        Error::new(Stage::Parse, libc::EINVAL, text)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

/// Result with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_with_errno_zero_stays_a_failure() {
        assert_eq!(Errno::new(0, libc::EIO).negated(), -libc::EIO);
        assert_eq!(Errno::new(-1, libc::EINVAL).get(), libc::EINVAL);
        assert_eq!(Error::new(Stage::Io, 0, "x").errno.get(), libc::EIO);
    }

    #[test]
    fn errno_is_named() {
        assert_eq!(
            Errno::new(libc::ENOENT, libc::EIO).to_string(),
            "No such file or directory (ENOENT)"
        );
    }
}
