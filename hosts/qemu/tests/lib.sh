# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What the tests share: TAP, the two modules, images on the cluster. Sourced, never run.
#   QEMU_ROOT  where Debian's QEMU is unpacked
#   QEMU_OURS  the directory of our module

repo=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/../../.." && pwd -P)
own_modules=$QEMU_ROOT/usr/lib/x86_64-linux-gnu/qemu
export LD_LIBRARY_PATH=$QEMU_ROOT/usr/lib/x86_64-linux-gnu:$QEMU_ROOT/lib/x86_64-linux-gnu
export LC_ALL=C
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
at=gluster://$BLKG_SERVER:$BLKG_PORT
major=$("$QEMU_ROOT/usr/bin/qemu-img" --version | sed -n 's/.* version \([0-9]*\)\..*/\1/p')
number=0
failed=0

qemu() { # TOOL ARGS...: with our module
    QEMU_MODULE_DIR=$QEMU_OURS timeout 60 "$QEMU_ROOT/usr/bin/$1" "${@:2}"
}

# QEMU's own module ends each process with 10 s of glfs_fini, in which nothing happens.
without_fini() { # FILE
    cc -shared -fPIC -O2 -o "$1" "$repo/benches/nofini.c"
}
own() { # TOOL ARGS...: with QEMU's own module; `without_fini "$work/nofini.so"` first
    timeout 60 env LD_PRELOAD="$work/nofini.so" QEMU_MODULE_DIR="$own_modules" "$QEMU_ROOT/usr/bin/$1" "${@:2}"
}

verdict() { # CODE TEXT
    number=$((number + 1))
    if [ "$1" = 0 ]; then
        echo "ok $number - $2${TIMES:+ ($SECONDS s)}"
    else
        echo "not ok $number - $2"
        sed 's/^/# /' "$work/log" | tail -n 30
        failed=1
    fi
}

check() { # TEXT CMD...: succeeds
    local text=$1 code=0
    shift
    "$@" >"$work/log" 2>&1 || code=$?
    verdict "$code" "$text"
}

refused() { # TEXT WORDS CMD...: fails with a code of QEMU's own, not by a signal, and says WORDS
    local text=$1 words=$2 code=0
    shift 2
    "$@" >"$work/log" 2>&1 || code=$?
    if ((code > 0 && code < 100)) && grep -qF -- "$words" "$work/log"; then
        verdict 0 "$text"
    else
        echo "(exit code $code, wanted: $words)" >>"$work/log"
        verdict 1 "$text"
    fi
}

says() { # WORDS CMD...: succeeds and says WORDS
    local words=$1
    shift
    "$@" >"$work/said" 2>&1 || { cat "$work/said" && return 1; }
    cat "$work/said"
    grep -qE -- "$words" "$work/said"
}

not() { ! "$@"; }

# QEMU 10 has no gluster+rdma any more.
warns_of_rdma() { # TEXT WORDS CMD...
    if ((major < 10)); then
        check "$1" says "$2" "${@:3}"
    else
        refused "$1: not with QEMU $major" "Unknown protocol 'gluster+rdma'" "${@:3}"
    fi
}

# Which block-gluster.so a QEMU process has loaded; QEMU falls back to its own without a word.
loaded() { # TOOL ARGS...
    LD_DEBUG=files LD_DEBUG_OUTPUT=$work/ld "$@" >/dev/null 2>&1 || true
    grep -hoE 'calling init: .*/block-gluster.so' "$work"/ld.* | sed 's/.*: //' | xargs -r realpath | sort -u
    rm -f "$work"/ld.*
}

finish() {
    echo "1..$number"
    exit "$failed"
}

# Without this nothing that follows would say anything about our module.
must_be_ours() {
    [ "$(loaded qemu qemu-img info "$at/plain/no-such-image")" = "$QEMU_OURS/block-gluster.so" ] && return
    echo "Bail out! QEMU has not loaded $QEMU_OURS/block-gluster.so"
    exit 1
}
qemu_img() { qemu qemu-img "$@"; }
# qemu-io's exit code tells nothing of its asynchronous requests.
qemu_io() {
    local code=0
    qemu qemu-io "$@" >"$work/io-said" 2>&1 || code=$?
    cat "$work/io-said"
    ! grep -qE 'Pattern verification failed|failed: ' "$work/io-said" || return 1
    return "$code"
}
