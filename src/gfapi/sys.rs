// SPDX-License-Identifier: GPL-2.0-or-later
//! libgfapi as bindgen reads it from the installed header.

#![allow(
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    dead_code,
    clippy::all
)]

include!(concat!(env!("OUT_DIR"), "/gfapi.rs"));
