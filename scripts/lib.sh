# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What the scripts share. Sourced, never run.

# shellcheck disable=SC2034  # read by the scripts that source this file
repo=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd -P)

note() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

die() {
    note "$*"
    exit 1
}

need_root() { # WHY
    [ "$(id -u)" = 0 ] || die "has to run as root ($1); try: sudo $0${2:+ $2}"
}

# rustup puts cargo in a PATH entry that only login shells of its user see: neither cron, CI nor sudo does.
find_cargo() {
    local home
    local -a homes=("${HOME:-/root}")
    [ -z "${SUDO_USER:-}" ] || homes+=("$(getent passwd "$SUDO_USER" | cut -d: -f6)")
    type -P cargo && return
    for home in "${CARGO_HOME:-${homes[0]}/.cargo}" "${homes[@]/%//.cargo}" /usr/local/cargo; do
        [ ! -x "$home/bin/cargo" ] || { echo "$home/bin/cargo" && return; }
    done
    return 1
}

wait_until() { # SECONDS CMD...
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.1
    done
}
