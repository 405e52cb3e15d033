// SPDX-License-Identifier: GPL-2.0-or-later
//! See Cargo.toml. An inline module, so that rustc looks for src/completion.rs as the driver does.

#![cfg(test)]

#[path = "../src"]
mod driver {
    #[allow(dead_code, reason = "the models use a part of it")]
    mod completion;
}
