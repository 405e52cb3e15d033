#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Called by meson: builds the Rust library and puts its artefacts where meson expects them.
#   meson-cargo.sh SOURCE_DIR TARGET_DIR OUTPUT_DIR [CARGO]
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/lib.sh"

source=$1 target=$2 output=$3 cargo=${4:-}
[ -n "$cargo" ] || cargo=$(find_cargo) || die "there is no cargo; give meson -Dcargo=PATH"

# cargo itself looks for rustc in PATH. To build with other settings, give ninja CARGO_PROFILE_RELEASE_* in its environment:
# unlike RUSTFLAGS they do not reach build scripts.
export PATH=${cargo%/*}:$PATH CARGO_TARGET_DIR=$target
"$cargo" build --locked --release --lib --manifest-path "$source/Cargo.toml"

place() { # FROM TO: a new file under the name, so that a program that has the old one mapped keeps it
    cmp -s "$1" "$2" || { cp "$1" "$2.new" && mv -f "$2.new" "$2"; }
}

place "$target/release/libblkgluster.so" "$output/libblkgluster.so.1"
place "$target/release/libblkgluster.a" "$output/libblkgluster.a"
[ "$(readlink "$output/libblkgluster.so" || true)" = libblkgluster.so.1 ] ||
    ln -sf libblkgluster.so.1 "$output/libblkgluster.so"
