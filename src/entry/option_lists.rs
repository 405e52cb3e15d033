// SPDX-License-Identifier: GPL-2.0-or-later
//! The lists of options that a driver has, made of the one in `options::table`.

use super::Static;
use crate::abi::{BlkCreateOption, BlkOpenOption};
use crate::options::For;
use crate::options::table::{ROWS, Row};
use std::ffi::c_int;
use std::ptr::null;

/// Rows of a list, and its end.
const fn length(of_create: bool) -> usize {
    let (mut count, mut at) = (1, 0);
    while at < ROWS.len() {
        if matches!(ROWS[at].call, For::Create) == of_create {
            count += 1;
        }
        at += 1;
    }
    count
}

const fn create_option(row: &Row) -> BlkCreateOption {
    BlkCreateOption {
        name: row.name.as_ptr(),
        kind: row.kind.as_ptr(),
        help: row.help.as_ptr(),
    }
}

const fn open_option(row: &Row) -> BlkOpenOption {
    BlkOpenOption {
        name: row.name.as_ptr(),
        kind: row.kind.as_ptr(),
        default_value: if row.default.is_empty() {
            null()
        } else {
            row.default.as_ptr()
        },
        help: row.help.as_ptr(),
        for_create: matches!(row.call, For::Both) as c_int,
        reserved: 0,
    }
}

/// What only `create` takes.
pub static CREATE: Static<[BlkCreateOption; length(true)]> = Static({
    let mut list = [const {
        BlkCreateOption {
            name: null(),
            kind: null(),
            help: null(),
        }
    }; length(true)];
    let (mut count, mut at) = (0, 0);
    while at < ROWS.len() {
        if matches!(ROWS[at].call, For::Create) {
            list[count] = create_option(&ROWS[at]);
            count += 1;
        }
        at += 1;
    }
    list
});

/// What `open` takes.
pub static OPEN: Static<[BlkOpenOption; length(false)]> = Static({
    let mut list = [const {
        BlkOpenOption {
            name: null(),
            kind: null(),
            default_value: null(),
            help: null(),
            for_create: 0,
            reserved: 0,
        }
    }; length(false)];
    let (mut count, mut at) = (0, 0);
    while at < ROWS.len() {
        if !matches!(ROWS[at].call, For::Create) {
            list[count] = open_option(&ROWS[at]);
            count += 1;
        }
        at += 1;
    }
    list
});
