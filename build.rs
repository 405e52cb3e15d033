// SPDX-License-Identifier: GPL-2.0-or-later
//! Binds libgfapi's header, links libgfapi, and gives the shared library its soname.

use std::env;
use std::path::PathBuf;

/// GlusterFS 6: the first API whose async callbacks carry prestat and poststat.
const OLDEST_GFAPI: &str = "7.6";

/// ABI major of `libblkgluster.so`; raised only when an old host could no longer load it.
const SONAME: &str = "libblkgluster.so.1";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");

    let gfapi = match pkg_config::Config::new()
        .atleast_version(OLDEST_GFAPI)
        .cargo_metadata(false)
        .probe("glusterfs-api")
    {
        Ok(library) => library,
        Err(why) => fail(&format!(
            "libgfapi {OLDEST_GFAPI} or newer (glusterfs-api.pc) was not found.\n\
             On Debian: apt-get install libglusterfs-dev uuid-dev pkg-config\n\n{why}"
        )),
    };
    // Only libgfapi itself: the .pc also names acl, uuid, gfrpc and gfxdr, which
    // would become needless DT_NEEDED entries of the plugin.
    for dir in &gfapi.link_paths {
        println!("cargo::rustc-link-search=native={}", dir.display());
    }
    println!("cargo::rustc-link-lib=dylib=gfapi");

    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,{SONAME}");
    // Gluster's threads outlive dlclose; unmapping their code would crash the host.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");

    bind(&gfapi);
}

fn bind(gfapi: &pkg_config::Library) {
    let mut arguments: Vec<String> = gfapi
        .include_paths
        .iter()
        .map(|dir| format!("-I{}", dir.display()))
        .collect();
    for (name, value) in &gfapi.defines {
        arguments.push(match value {
            Some(value) => format!("-D{name}={value}"),
            None => format!("-D{name}"),
        });
    }

    // bindgen panics, rather than returns an error, when libclang cannot be loaded.
    let generated = std::panic::catch_unwind(|| {
        bindgen::Builder::default()
            .header_contents("gfapi.h", "#include <glusterfs/api/glfs.h>\n")
            .clang_args(&arguments)
            .allowlist_function("glfs_.*")
            .blocklist_type("iovec|stat|statvfs|timespec|flock")
            .raw_line("use libc::{flock, iovec, stat, statvfs, timespec};")
            .layout_tests(false)
            .generate()
    });
    let bindings = match generated {
        Ok(Ok(bindings)) => bindings,
        Ok(Err(why)) => fail(&format!(
            "bindgen could not read <glusterfs/api/glfs.h>: {why}\n\
             On Debian: apt-get install libglusterfs-dev uuid-dev"
        )),
        Err(_) => fail(
            "bindgen could not load libclang.\n\
             On Debian: apt-get install libclang-dev clang",
        ),
    };
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("gfapi.rs");
    bindings
        .write_to_file(&out)
        .unwrap_or_else(|why| fail(&format!("cannot write {}: {why}", out.display())));
}

fn fail(text: &str) -> ! {
    eprintln!("\nblkgluster: {text}\n");
    std::process::exit(1);
}
