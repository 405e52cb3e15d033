// SPDX-License-Identifier: GPL-2.0-or-later
//! The panic boundary, and the funnels from `Result` to what C expects: one for each return
//! convention.
//!
//! | convention | failure | caught panic |
//! |---|---|---|
//! | [`status`], [`number`]: `int`, `int64_t` | -errno | -EIO |
//! | [`handle`]: `BlkAiocb *` | NULL, errno set | NULL, errno EIO |
//! | [`nothing`]: `void` | report | report |

use crate::abi::{
    BLK_STAGE_CONNECT, BLK_STAGE_IO, BLK_STAGE_OPEN, BLK_STAGE_PARSE, BlkAiocb, BlkError,
};
use crate::error::{Error, Result, Stage};
use crate::report::{self, Level};
use std::ffi::{c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `body`, turning a panic into an error.
fn guarded<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    // AssertUnwindSafe: the locks do not poison, and what they hold is valid between any two
    // statements.
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let why = panic
            .downcast_ref::<&str>()
            .map(|text| text.to_string())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        Err(Error::new(
            Stage::Io,
            libc::EIO,
            format!("defect in the driver, please report it: {why}"),
        ))
    })
}

/// A failure without room for its sentence goes to the host's log.
fn report_error(why: &Error) {
    report::report(Level::Error, &why.text);
}

/// For slots that return an `int` and fill a BlkError.
///
/// # Safety
/// `error` is NULL or points to a BlkError whose struct_size is true.
pub unsafe fn status(error: *mut BlkError, body: impl FnOnce() -> Result<c_int>) -> c_int {
    // SAFETY: the caller's promise.
    let room = unsafe { error_room(error) };
    let result = match room {
        Ok(_) => guarded(body),
        Err(ref why) => Err(why.clone()),
    };
    match result {
        Ok(value) => value,
        Err(why) => {
            match room {
                Ok(Some(room)) => fill(room, &why),
                _ => report_error(&why),
            }
            why.errno.negated()
        }
    }
}

/// For slots that return an `int64_t`.
pub fn number(body: impl FnOnce() -> Result<i64>) -> i64 {
    guarded(body).unwrap_or_else(|why| {
        report_error(&why);
        why.errno.negated().into()
    })
}

/// For slots that return an `int` and have no BlkError.
pub fn small(body: impl FnOnce() -> Result<c_int>) -> c_int {
    number(|| body().map(i64::from)) as c_int
}

/// For slots that return a request.
pub fn handle(body: impl FnOnce() -> Result<*mut BlkAiocb>) -> *mut BlkAiocb {
    guarded(body).unwrap_or_else(|why| {
        report_error(&why);
        // SAFETY: __errno_location has no preconditions. Last, since reporting may change it.
        unsafe { *libc::__errno_location() = why.errno.get() };
        std::ptr::null_mut()
    })
}

/// For slots that return nothing.
pub fn nothing(body: impl FnOnce() -> Result<()>) {
    if let Err(why) = guarded(body) {
        report_error(&why);
    }
}

/// The host's BlkError, if it gave one that is large enough.
///
/// # Safety
/// As for `status`.
unsafe fn error_room<'a>(error: *mut BlkError) -> Result<Option<&'a mut BlkError>> {
    if error.is_null() {
        return Ok(None);
    }
    if !error.is_aligned() {
        return Err(Error::invalid("BlkError is not aligned"));
    }
    // SAFETY: struct_size comes first in every version.
    let size = unsafe { (*error).struct_size };
    if size < size_of::<BlkError>() {
        return Err(Error::invalid(format!(
            "BlkError.struct_size is {size}, less than {}; set it to sizeof(BlkError) before the call",
            size_of::<BlkError>()
        )));
    }
    // SAFETY: large enough by its own word, and the host's for the time of the call.
    Ok(Some(unsafe { &mut *error }))
}

/// What `status` does with a failure.
pub fn fill(error: &mut BlkError, why: &Error) {
    error.error = why.errno.get();
    error.stage = match why.stage {
        Stage::Parse => BLK_STAGE_PARSE,
        Stage::Connect => BLK_STAGE_CONNECT,
        Stage::Open => BLK_STAGE_OPEN,
        Stage::Io => BLK_STAGE_IO,
    };
    let room = error.message.len() - 1;
    let (head, gap, tail) = fitted(&why.text, room);
    let bytes = head.bytes().chain(gap.bytes()).chain(tail.bytes());
    error.message = [0; _];
    for (to, from) in error.message.iter_mut().zip(bytes) {
        // A NUL inside would hide the rest.
        *to = if from == 0 { b'?' } else { from } as c_char;
    }
}

/// A sentence of that many bytes at most. What is too long is a path or a name in the middle: what
/// failed stands before it, and why stands at the end. Cut between characters, so that the host gets
/// valid UTF-8.
fn fitted(text: &str, room: usize) -> (&str, &str, &str) {
    const GAP: &str = " … ";
    if text.len() <= room {
        return (text, "", "");
    }
    let halves = (room - GAP.len()) / 2;
    let is_boundary = |at: &usize| text.is_char_boundary(*at);
    let end = (0..=halves).rev().find(is_boundary).unwrap_or(0);
    let begin = (text.len() - halves..=text.len()).find(is_boundary);
    let begin = begin.unwrap_or(text.len());
    (&text[..end], GAP, &text[begin..])
}

/// Sends the text of a caught panic where the host's log is, rather than to stderr.
pub fn quiet_panics() {
    std::panic::set_hook(Box::new(|info| {
        report::report(Level::Error, &format!("caught: {info}"));
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> BlkError {
        BlkError {
            struct_size: size_of::<BlkError>(),
            error: 0,
            stage: 0,
            message: [0; _],
        }
    }

    fn text(error: &BlkError) -> String {
        error
            .message
            .iter()
            .take_while(|&&byte| byte != 0)
            .map(|&byte| byte as u8 as char)
            .collect()
    }

    #[test]
    fn a_panic_becomes_an_error_in_each_convention() {
        let mut error = empty();
        // SAFETY: a whole BlkError.
        assert_eq!(unsafe { status(&mut error, || panic!("one")) }, -libc::EIO);
        assert!(text(&error).contains("one"));
        assert_eq!(number(|| panic!("two")), -i64::from(libc::EIO));
        assert_eq!(small(|| panic!("three")), -libc::EIO);
        assert!(handle(|| panic!("four")).is_null());
        assert_eq!(
            std::io::Error::last_os_error().raw_os_error(),
            Some(libc::EIO)
        );
        nothing(|| panic!("five"));
    }

    #[test]
    fn an_error_is_left_alone_on_success() {
        let mut error = empty();
        error.error = 77;
        // SAFETY: a whole BlkError.
        assert_eq!(unsafe { status(&mut error, || Ok(3)) }, 3);
        assert_eq!(error.error, 77);
    }

    #[test]
    fn a_short_error_struct_is_refused_before_anything_runs() {
        let mut error = empty();
        error.struct_size = 8;
        // SAFETY: a whole BlkError that says that it is less.
        let ret = unsafe { status(&mut error, || panic!("must not run")) };
        assert_eq!(ret, -libc::EINVAL);
        assert_eq!(error.error, 0);
    }

    #[test]
    fn long_sentences_are_cut_in_the_middle_between_characters() {
        for (front, back) in [("", ""), ("a", ""), ("", "z"), ("a", "z")] {
            let mut error = empty();
            let long = format!("{front}{}{back}", "é".repeat(2000));
            // SAFETY: a whole BlkError.
            unsafe { status(&mut error, || Err(Error::invalid(long))) };
            assert_eq!(error.message[1023], 0);
            let bytes: Vec<u8> = error
                .message
                .iter()
                .map(|&byte| byte as u8)
                .take_while(|&byte| byte != 0)
                .collect();
            let cut = String::from_utf8(bytes).unwrap();
            let (head, tail) = cut.split_once(" … ").unwrap();
            assert!(
                head.starts_with(front) && tail.ends_with(back) && cut.len() > 1000,
                "{cut}"
            );
        }
    }

    #[test]
    fn a_sentence_that_just_fits_is_whole() {
        let text = "x".repeat(1023);
        assert_eq!(fitted(&text, 1023), (&*text, "", ""));
        let (head, gap, tail) = fitted(&text, 1022);
        assert!(head.len() + gap.len() + tail.len() <= 1022 && !gap.is_empty());
    }
}
