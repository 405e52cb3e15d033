# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# The machinery of scripts/cluster: its namespaces, its processes, the gluster CLI. Sourced, never run.

build=$(realpath -m -- "${BLKGLUSTER_BUILD:-$repo/build}")
dir=$build/cluster
netns=blkgluster-$(printf %s "$build" | sha256sum | cut -c1-8)
run=/run/$netns
nodes=(1 2 3)
bricks=10 # of all volumes together
shds=9    # self-heal daemons in `volume status`: one per node for each volume but plain
# In the environment of every daemon: how to tell ours from any other process, whatever has become of pid files.
mark=BLKGLUSTER_CLUSTER=$netns
lock=
patience=60 # seconds that the gluster CLI waits for an answer

# --- namespaces -------------------------------------------------------------------------------------------------------

# The three *_view functions run in the mount namespace that `ip netns exec` makes for each command.
node_view() { # N
    mount --bind "$dir/n$1/lib" /var/lib/glusterd
    mount --bind "$dir/n$1/log" /var/log/glusterfs
    mount --bind "$dir/n$1/bricks" "$run/n$1/bricks"
    mount --rbind "$run/n$1" /run
}

# Keeps /run, where a test may have sockets of its own, but no path in it may lead to a system glusterd.
client_view() {
    local sock=$run/n1/glusterd.socket
    [ -S "$sock" ] || sock=/dev/null
    mount --bind "$dir/client/lib" /var/lib/glusterd
    mount --bind "$dir/client/log" /var/log/glusterfs
    [ ! -e /run/glusterd.socket ] || mount --bind "$sock" /run/glusterd.socket
    [ ! -d /run/gluster ] || mount --bind "$run/client" /run/gluster
}

# Replaces this shell. `env` gives CMD the exit codes 126 and 127 of a shell, where ip would say 255 for both.
enter() { # VIEW [ENV-OPTIONS] CMD...
    exec ip netns exec "$netns" bash -c "
        set -e
        $(declare -p dir run)
        $(declare -f node_view client_view)
        trap 'exit 125' EXIT
        $1
        trap - EXIT
        exec env \"\$@\"" "$0" "${@:2}"
}

netns_inode() { stat -L -c %i "/run/netns/$netns" 2>/dev/null; }

make_netns() {
    if ! ip netns exec "$netns" true 2>/dev/null; then
        drop_netns # a crash between creating the file and mounting the namespace on it leaves the file
        ip netns add "$netns" || die "cannot make a network namespace (a container has to be privileged for that)"
    fi
    ip netns exec "$netns" bash -c '
        ip link set lo up
        # glusterd gives its bricks ports from 49152 up and a restarted brick its old one again: keep clients off them.
        echo 32768 49151 >/proc/sys/net/ipv4/ip_local_port_range || true' 2>/dev/null
}

drop_netns() {
    [ -e "/run/netns/$netns" ] || return 0
    ip netns del "$netns" 2>/dev/null || rm -f "/run/netns/$netns"
}

# What a test's network faults leave behind when it dies.
faults() {
    # shellcheck disable=SC2016
    ip netns exec "$netns" bash -c '
        tc qdisc show dev lo | grep -qv noqueue ||
        { type -P iptables && iptables -S | grep -q "^-A"; }' >/dev/null 2>&1
}

clear_faults() {
    ip netns exec "$netns" tc qdisc del dev lo root 2>/dev/null || true
    ! type -P iptables >/dev/null || ip netns exec "$netns" iptables -F
}

# --- processes --------------------------------------------------------------------------------------------------------

is_daemon() { # PID
    [ -n "$1" ] && grep -qszxF "$mark" "/proc/$1/environ"
}

daemons() { grep -lszxF "$mark" /proc/[0-9]*/environ | cut -d/ -f3 || true; }

live_daemon() { # PIDFILE: prints its pid; a stale file may hold the pid of a stranger
    local pid
    pid=$(cat "$1" 2>/dev/null) && is_daemon "$pid" && echo "$pid"
}

# glusterd takes a brick for alive as long as its pid exists, be it a stranger's or a zombie's that nobody reaps (PID 1 of
# many containers), and then does not start it.
forget_dead() {
    local file
    while read -r file; do live_daemon "$file" >/dev/null || rm -f "$file"; done < <(find "$run" -name "*.pid" -size +0)
}

glusterd_pid() { live_daemon "$run/n$1/glusterd.pid"; }
brick_pid() { live_daemon "$run/n$2/gluster/vols/$1/127.77.0.$2-run-bricks-$1.pid"; }

paused() { [[ $(cat "/proc/$1/stat" 2>/dev/null) == *") T "* ]]; }
gone() { # PID
    ! is_daemon "$1" || return 1
    # A dying process loses its environment first and closes its sockets after that; a stranger with its pid has one.
    ! [[ $(cat "/proc/$1/stat" 2>/dev/null) =~ \)\ [^ZX]\  ]] || grep -q . "/proc/$1/environ" 2>/dev/null
}

end_process() { # PID SIGNAL
    kill "-$2" "$1" 2>/dev/null || true
    wait_until 5 gone "$1"
}

# A daemon must hold nothing of its starter: neither our lock nor a pipe that some reader waits to see closed.
close_fds() {
    local fd
    for fd in /proc/self/fd/*; do
        fd=${fd##*/}
        ((fd <= 2)) || eval "exec $fd>&-"
    done
}

launch_glusterd() { # N
    mkdir -p "$dir/n$1"/{lib,log,bricks} "$run/n$1"/{gluster,bricks}
    (
        umask 022
        cd /
        close_fds
        enter "node_view $1" -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C "$mark" \
            glusterd --xlator-option "management.transport.socket.bind-address=127.77.0.$1" --pid-file=/run/glusterd.pid
    ) </dev/null >"$dir/n$1/start.log" 2>&1 || die "glusterd $1 does not start: $(tail -n 3 "$dir/n$1/start.log" "$dir/n$1/log/glusterd.log")"
}

# A new glusterd gets on badly with the self-heal daemon of its predecessor: now and then it tries for 15 seconds to attach
# to it, deaf meanwhile. It makes a new one by itself.
end_self_heal() { # N
    local file pid
    for file in "$run/n$1/gluster/shd"/*/*.pid; do
        ! pid=$(live_daemon "$file") || end_process "$pid" KILL || true
    done
}

launch_glusterds() { # only the dead ones; at once, since each takes a second to become a daemon
    local n job
    local -a jobs=()
    for n in "${nodes[@]}"; do
        glusterd_pid "$n" >/dev/null || { end_self_heal "$n" && launch_glusterd "$n" & jobs+=($!); }
    done
    for job in "${jobs[@]}"; do wait "$job" || return 1; done
    for n in "${nodes[@]}"; do
        wait_until 30 answers "$n" || { note "glusterd $n does not answer; see $dir/n$n/log/glusterd.log" && return 1; }
    done
}

# --- the gluster CLI --------------------------------------------------------------------------------------------------

gl() { # N ARGS...
    (
        [ -z "$lock" ] || exec {lock}<&-
        enter "node_view $1" gluster --mode=script --timeout="$patience" "${@:2}"
    ) </dev/null
}

gl_do() { # ARGS...: against node 1; speaks only on failure
    local out
    out=$(gl 1 "$@" 2>&1) || die "gluster $*: $out"
}

any_node() { # the number of a node whose glusterd lives
    local n
    for n in "${nodes[@]}"; do ! glusterd_pid "$n" >/dev/null || { echo "$n" && return; }; done
    return 1
}

answers() { gl "$1" pool list >/dev/null 2>&1; }
peered() { [ "$(gl "$1" pool list 2>/dev/null | grep -cw Connected)" = ${#nodes[@]} ]; }

# One line per brick and self-heal daemon: kind, place, port, online, pid.
processes() { # N [VOL]
    gl "$1" volume status "${@:2}" 2>/dev/null | awk '
        $1 == "Brick"                     { print "brick", $2, $3, $(NF-1), $NF }
        $1 == "Self-heal" && $3 == "on"   { print "self-heal", $4, "-", $(NF-1), $NF }' || true
}

brick_serves() { # VOL N
    local pid node port
    pid=$(brick_pid "$1" "$2") && node=$(any_node) || return 1
    port=$(processes "$node" "$1" | awk -v b="127.77.0.$2:/run/bricks/$1" -v p="$pid" '
        $2 == b && $4 == "Y" && $5 == p { print $3 }')
    [ -n "$port" ] && ip netns exec "$netns" bash -c "exec 3<>/dev/tcp/127.77.0.$2/$port" 2>/dev/null
}

healthy() {
    local n list pid
    local -a ports
    for n in "${nodes[@]}"; do glusterd_pid "$n" >/dev/null || return 1; done
    for pid in $(daemons); do ! paused "$pid" || return 1; done
    ! faults && peered 1 || return 1
    list=$(processes 1)
    [ "$(grep -c '^brick .* Y ' <<<"$list")" = "$bricks" ] &&
        [ "$(grep -c '^self-heal .* Y ' <<<"$list")" = "$shds" ] || return 1
    # "Online" only says that the process lives: ask the ports.
    mapfile -t ports < <(awk '$1 == "brick" { sub(":.*", "", $2); print $2 "/" $3 }' <<<"$list")
    # shellcheck disable=SC2016
    ip netns exec "$netns" bash -c 'for at; do exec 3<>"/dev/tcp/$at"; done' ports "${ports[@]}" 2>/dev/null
}
