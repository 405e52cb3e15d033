// SPDX-License-Identifier: GPL-2.0-or-later
//! Says `cfg(loom)`.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(loom)");
    println!("cargo::rustc-cfg=loom");
}
