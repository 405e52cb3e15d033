// SPDX-License-Identifier: GPL-2.0-or-later
//! Any text is read as a URI or refused; what is read prints as a URI that reads as the same value.

#![no_main]

use blkgluster::uri::{ImageUri, USAGE};
use libfuzzer_sys::fuzz_target;

#[path = "../../tests/uri_props/reference.rs"]
mod reference;

fuzz_target!(|text: &str| {
    let read = ImageUri::parse(text);
    assert_eq!(read.clone().ok(), reference::read(text));
    match read {
        Ok(uri) => {
            let printed = uri.to_string();
            assert!(printed.bytes().all(|byte| byte.is_ascii_graphic()));
            assert_eq!(printed.parse(), Ok(uri));
        }
        Err(error) => {
            assert!(text.is_char_boundary(error.offset()));
            let message = error.to_string();
            assert!(message.len() < 400 && message.ends_with(USAGE), "{message}");
        }
    }
});
