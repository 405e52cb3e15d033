#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A client that is killed, a brick that is killed: the server lives on and no acknowledged byte is lost."""

import errno
import os
import subprocess
import sys

import nbd

from harness import (MiB, Server, brick, cluster, connect, end, equal, image, ok, pattern, refused, run, sha,
                     wait_until, work, write_file)
from writer import BLOCK, block

def start_writer(server, seed):
    """writer.py, which goes on until it is killed."""
    command = [sys.executable, f"{os.path.dirname(__file__)}/writer.py", server.uri, str(seed)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def kill_in_mid_write(server, round_):
    """The blocks that a writer had acknowledged when it was killed."""
    client = start_writer(server, round_)
    told = []
    try:
        for line in client.stdout:
            told.append(int(line))
            if len(told) == 100 + 50 * round_:
                break
    finally:
        client.kill()
    # What it had told by then; the last line may be cut short.
    rest = client.stdout.read().split(b"\n")[:-1]
    client.wait()
    return sorted(set(told + [int(line) for line in rest if line]))


def wrong_blocks(handle, numbers, round_):
    return [number for number in numbers if handle.pread(BLOCK, number * BLOCK) != block(round_, number)]


def killed_client():
    """One request at a time, where nbdkit has no defect of its own: the others never notice."""
    path = image("rep3", "nbd-client.img")
    with Server("rep3", path, "create=64M", options=("-t", "1")) as server:
        witness = connect(server)
        for round_ in range(3):
            told = kill_in_mid_write(server, round_)
            wrong = wrong_blocks(witness, told, round_)
            ok(len(told) >= 100 and not wrong, f"killed in mid-write: {len(told)} acknowledged blocks are there", wrong)
        ok(witness.pread(BLOCK, 0) != block(1, 0), "... and a wrong one would have shown")
        witness.pwrite(b"alive", 0)
        witness.flush()
        equal(bytes(witness.pread(5, 0)), b"alive", "the other connection never noticed")
        witness.shutdown()
        ok(server.lives(), "the server lives")


def died_of_nbdkit(server):
    """nbdkit before 1.34, whatever the plugin, can end when a client hangs up while several threads write to it: "rare
    assertion failure ... clients hanging up early" in its release notes."""
    version = run("nbdkit", "--version").stdout.split()[1]
    if tuple(int(part) for part in version.split(".")[:2]) >= (1, 34):
        return False
    wait_until(10, lambda: not server.lives())
    return not server.lives() and "raw_send_socket: Assertion `sock >= 0' failed" in server.said()


def killed_client_of_many_threads():
    """Sixteen at once: what was acknowledged is there, also when nbdkit went with the client."""
    path = image("rep3", "nbd-clients.img")
    for round_ in range(3):
        with Server("rep3", path, "create=64M") as server:
            told = kill_in_mid_write(server, round_)
            try:
                wrong = wrong_blocks(connect(server), told, round_)
            except nbd.Error as error:
                ok(died_of_nbdkit(server), f"{error}: only for nbdkit's own defect", server.said())
                server.kill()
                with Server("rep3", path) as another:
                    wrong = wrong_blocks(connect(another), told, round_)
            text = f"killed with 16 in flight: {len(told)} acknowledged blocks are there"
            ok(len(told) >= 100 and not wrong, text, wrong)
            server.kill()


def told_to_end():
    """nbdkit ends when its last client has gone, and then calls no .close: the plugin closes its image itself."""
    path = image("plain", "nbd-end.img")
    server = Server("plain", path, "create=64M", options=("-t", "1"))
    client = start_writer(server, 7)
    idle = connect(server)
    told = [int(client.stdout.readline()) for _ in range(50)]
    server.process.terminate()
    client.kill()
    client.wait()
    idle.shutdown()
    server.stop("the server ends under its clients")
    with open(brick("plain", path), "rb") as file:
        data = file.read()
    wrong = [number for number in told if data[number * BLOCK:(number + 1) * BLOCK] != block(7, number)]
    equal(wrong, [], "... and what it had acknowledged is on the brick")


def closed_and_opened():
    """Clients that all leave and come again, some at once."""
    path = image("plain", "nbd-again.img")
    with Server("plain", path, "create=1M") as server:
        codes = []
        for number in range(10):
            many = [subprocess.Popen(["nbdinfo", "--size", server.uri], stdout=subprocess.DEVNULL)
                    for _ in range(1 + number % 4)]
            codes += [one.wait(60) for one in many]
        equal(set(codes), {0}, f"{len(codes)} connections come and go")


def killed_replica():
    path = image("rep3", "nbd-replica.img")
    source = write_file("source", pattern(32 * MiB, 11))
    # 12 MB/s: the copy takes about three seconds, so that the brick is killed in the middle of it.
    with Server("rep3", path, "create=32M", "rate=96M", options=["--filter=rate"]) as server:
        copy = subprocess.Popen(["nbdcopy", "--flush", source, server.uri], stdin=subprocess.DEVNULL)
        try:
            begun = wait_until(30, lambda: os.stat(brick("rep3", path, 1)).st_blocks > 2048)
            cluster("kill-brick", "rep3", "2")
            middle = copy.poll() is None
            code = copy.wait(90)
        finally:
            copy.kill()
            cluster("restart-brick", "rep3", "2")
        ok(begun and middle, "a brick of three is killed in the middle of a copy")
        equal(code, 0, "the copy goes on to its end")
        ok("error:" not in server.said(), "... and nothing is said about it", server.said())
        cluster("wait-healed", "rep3")
        bricks = [sha(brick("rep3", path, node)) for node in (1, 2, 3)]
        equal(bricks, [sha(source)] * 3, "all three hold it in the end")
    with Server("rep3", path) as server:
        run("nbdcopy", server.uri, f"{work}/back")
        equal(sha(f"{work}/back"), sha(source), "... and so does the image")


def killed_only_brick():
    """Without any brick requests fail with EIO and a sentence; with the brick they succeed again."""
    path = image("plain", "nbd-only.img")
    data = pattern(MiB, 12)
    with Server("plain", path, "create=1M") as server:
        handle = connect(server)
        handle.pwrite(data, 0)
        handle.flush()
        cluster("kill-brick", "plain", "1")
        try:
            errors = [refused(lambda: handle.pwrite(b"lost", 0)), refused(handle.flush)]
        finally:
            cluster("restart-brick", "plain", "1")
        equal(errors, [errno.EIO, errno.EIO], "with its brick dead a write and a flush are EIO")
        said = server.said()
        sentences = ("nbdkit: error: image gluster://", "its bricks are out of reach", "write of 4 bytes at offset 0")
        ok(all(part in said for part in sentences), "... with the library's sentence", said)
        told = [line for line in said.splitlines() if "its bricks are out of reach" in line and "further failures" not in line]
        ok(len(told) == 2 and "a flush failed" in told[1], "... for each of them", said)

        def writes():
            return refused(lambda: handle.pwrite(data[::-1], 0)) == refused(handle.flush) == 0

        ok(wait_until(60, writes), "with the brick back they succeed")
        ok(handle.pread(MiB, 0) == data[::-1], "... and the data is right")
        handle.shutdown()


def lost_for_good():
    """With write-cache=on, what an outage took when the last client left is not covered by a flush of those that come."""
    path = image("plain", "nbd-lost.img")
    with Server("plain", path, "create=1M", "write-cache=on") as server:
        handle = connect(server)
        handle.pwrite(b"kept", 0)
        handle.flush()
        handle.shutdown()
        handle = connect(server)
        handle.pwrite(b"safe", 0)
        handle.shutdown()

        def holds():
            with open(brick("plain", path), "rb") as file:
                return file.read(4)

        # The server closes the image when it has noticed that the client has gone.
        wait_until(30, lambda: holds() == b"safe")
        equal(holds(), b"safe", "what was acknowledged is on the brick when the last client has left")
        handle = connect(server)
        handle.flush()
        cluster("kill-brick", "plain", "1")
        refused(lambda: handle.pwrite(b"lost", 0))
        handle.shutdown()
        cluster("restart-brick", "plain", "1")

        def served():
            try:
                other = connect(server)
                other.pread(1, 0)
                other.shutdown()
                return True
            except nbd.Error:
                return False

        ok(wait_until(60, served), "the brick is back")
        handle = connect(server)
        handle.pwrite(b"more", 0)
        equal(refused(handle.flush), errno.EIO, "no flush succeeds any more")
        handle.shutdown()
        ok("restart the server" in server.said(), "... and the log says what to do", server.said())
    with Server("plain", path, "write-cache=on") as server:
        handle = connect(server)
        handle.pwrite(b"anew", 0)
        handle.flush()
        handle.shutdown()


def forgotten_lock():
    """A brick that was restarted has forgotten the lock: nothing goes on without it, until clients come again."""
    path = image("plain", "nbd-forgotten.img")
    with Server("plain", path, "create=1M", "locking=on") as server:
        handle = connect(server)
        handle.pwrite(b"kept", 0)
        handle.flush()
        cluster("kill-brick", "plain", "1")
        cluster("restart-brick", "plain", "1")
        # The brick is there: who opens the image anew has it, but for a moment in which it connects.
        with Server("plain", path) as other:
            ok(wait_until(60, lambda: run("nbdinfo", "--size", other.uri).returncode == 0), "the brick is back")
        errors = [refused(lambda: handle.pwrite(b"lost", 0)), refused(handle.flush)]
        equal(errors, [errno.EIO, errno.EIO], "it serves the old opening's writes and flushes no more")
        handle.shutdown()
        ok(wait_until(30, lambda: "has forgotten its lock" in server.said()), "... the log says why", server.said())
        handle = connect(server)
        equal(bytes(handle.pread(4, 0)), b"kept", "clients that come again find what was flushed")
        handle.pwrite(b"more", 0)
        handle.flush()
        handle.shutdown()


for test in (killed_client, killed_client_of_many_threads, told_to_end, closed_and_opened, killed_replica,
             killed_only_brick, lost_for_good, forgotten_lock):
    if test.__name__ in sys.argv[1:] or not sys.argv[1:]:
        test()
sys.exit(end())
