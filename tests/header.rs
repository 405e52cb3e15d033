// SPDX-License-Identifier: GPL-2.0-or-later
//! The committed header is what the source says.

use std::path::Path;

const UPDATE: &str = "BLKGLUSTER_UPDATE_HEADER";

fn generate(root: &Path) -> String {
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let bindings = cbindgen::Builder::new()
        .with_config(config)
        .with_src(root.join("src/abi.rs"))
        .with_src(root.join("src/entry.rs"))
        .generate()
        .unwrap();
    let mut text = Vec::new();
    bindings.write(&mut text);
    String::from_utf8(text).unwrap()
}

#[test]
fn the_header_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("include/blkgluster.h");
    let generated = generate(root);
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    if let Some((number, (old, new))) = committed
        .lines()
        .chain([""])
        .zip(generated.lines().chain([""]))
        .enumerate()
        .find(|(_, (old, new))| old != new)
    {
        panic!(
            "include/blkgluster.h differs from src/abi.rs at line {}:\n- {old}\n+ {new}\nupdate it with: scripts/header",
            number + 1
        );
    }
    assert_eq!(
        committed.len(),
        generated.len(),
        "update it with: scripts/header"
    );
}
