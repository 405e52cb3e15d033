#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The tools that people use: nbdinfo, nbdcopy both ways, fio with verify, many connections, and nbdkit's filters."""

import json
import os
import sys
import threading

import nbd

from harness import MiB, Server, brick, connect, end, equal, image, ok, pattern, run, sha, work, write_file

SIZE = 24 * MiB


def info_and_copy():
    path = image("rep3", "nbd-copy.img")
    source = write_file("source", pattern(SIZE, 7))
    with Server("rep3", path, f"create={SIZE}") as server:
        facts = json.loads(run("nbdinfo", "--json", server.uri).stdout)["exports"][0]
        equal([facts[key] for key in ("export-size", "is_read_only", "can_multi_conn", "block_size_minimum")],
              [SIZE, False, True, 1], "nbdinfo")
        done = run("nbdcopy", "--connections=8", "--requests=16", "--flush", source, server.uri)
        equal(done.returncode, 0, "nbdcopy, 8 connections, into the image")
        bricks = {sha(brick("rep3", path, node)) for node in (1, 2, 3)}
        equal(bricks, {sha(source)}, "each brick holds its bytes")
        done = run("nbdcopy", "--connections=8", server.uri, f"{work}/back")
        equal([done.returncode, sha(f"{work}/back")], [0, sha(source)], "nbdcopy out of the image")
        handle = connect(server)
        byte = handle.pread(1, 12345678)
        handle.pwrite(bytes([byte[0] ^ 1]), 12345678)
        handle.shutdown()
        run("nbdcopy", server.uri, f"{work}/back")
        ok(sha(f"{work}/back") != sha(source), "... and one wrong bit would have shown")


def occupied(path):
    return os.stat(path).st_blocks * 512


def sparse():
    """A sparse disk stays sparse on its way into an image and out of it."""
    path = image("rep3", "nbd-sparse.img")
    source = write_file("sparse", pattern(2 * MiB, 17))
    os.truncate(source, SIZE)
    with Server("rep3", path, f"create={SIZE}") as server:
        run("nbdcopy", write_file("full", pattern(SIZE, 18)), server.uri)
        ok(all(occupied(brick("rep3", path, node)) >= SIZE for node in (1, 2, 3)), "an image full of data")
        done = run("nbdcopy", source, server.uri)
        equal(done.returncode, 0, "nbdcopy of a sparse disk over it")
        equal({sha(brick("rep3", path, node)) for node in (1, 2, 3)}, {sha(source)}, "... leaves its bytes")
        most = max(occupied(brick("rep3", path, node)) for node in (1, 2, 3))
        ok(most < 4 * MiB, "... and gives the rest of the space back", f"{most} bytes are occupied")
        done = run("nbdcopy", server.uri, f"{work}/out")
        equal([done.returncode, sha(f"{work}/out")], [0, sha(source)], "nbdcopy out of it")
        ok(occupied(f"{work}/out") < 4 * MiB, "... makes a sparse disk", f"{occupied(f'{work}/out')} bytes")


def eight_connections():
    """A flush on one connection covers the others, and what one wrote the others read."""
    path = image("sharded", "nbd-eight.img")
    piece = 2 * MiB
    with Server("sharded", path, f"create={8 * piece}") as server:
        handles = [connect(server) for _ in range(8)]
        errors = []

        def work_on(number):
            data = pattern(piece, 100 + number)
            try:
                for offset in range(0, piece, 64 * 1024):
                    handles[number].pwrite(data[offset:offset + 64 * 1024], number * piece + offset)
                    other = (number + 3) % 8
                    handles[number].pread(4096, other * piece + offset)
                    if offset % (512 * 1024) == 0:
                        handles[number].flush()
            except nbd.Error as error:
                errors.append(str(error))

        threads = [threading.Thread(target=work_on, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        equal(errors, [], "8 connections at once write, read and flush")
        wrong = [(reader, number) for number in range(8) for reader in (number, (number + 1) % 8)
                 if handles[reader].pread(piece, number * piece) != pattern(piece, 100 + number)]
        equal(wrong, [], "each reads what the others wrote")
        ok(handles[0].pread(piece, 0) != pattern(piece, 101), "... and another's data would have shown")
        handles[0].flush()
        for handle in handles:
            handle.shutdown()


def fio():
    path = image("plain", "nbd-fio.img")
    with Server("plain", path, "create=16M") as server:
        base = ["fio", "--name=verify", "--ioengine=nbd", f"--uri={server.uri}", "--size=16M", "--bs=4k",
                "--iodepth=32", "--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0"]
        done = run(*base, "--rw=randwrite", "--do_verify=1", "--fsync=64", cwd=work)
        ok(done.returncode == 0 and "err= 0" in done.stdout, "fio writes at random and verifies", done.stdout)
        handle = connect(server)
        handle.pwrite(b"not what fio wrote", 5 * MiB + 1000)
        handle.shutdown()
        done = run(*base, "--rw=randwrite", "--verify_only", cwd=work)
        ok(done.returncode != 0 and "verify:" in done.stdout, "... and it finds what another changed", done.stdout)


def nbdsh():
    """The shell of libnbd, as its users write it."""
    path = image("disp", "nbd-shell.img")
    # It runs Debian's own Python, as this does; another may come first in PATH.
    shell = {"env": dict(os.environ, PATH=f"/usr/bin:{os.environ['PATH']}")}
    with Server("disp", path, "create=4M") as server:
        script = """
assert h.get_size() == 4 << 20 and not h.is_read_only() and h.can_multi_conn() and h.can_fast_zero()
h.pwrite(b"shell" * 100, 12345, nbd.CMD_FLAG_FUA)
h.zero(100, 12400)
h.trim(4096, 1 << 20)
h.flush()
assert h.pread(500, 12345) == b"shell" * 11 + bytes(100) + (b"shell" * 100)[155:]
print("done", h.get_block_size(nbd.SIZE_MINIMUM))
"""
        done = run("nbdsh", "-u", server.uri, "-c", script, **shell)
        equal((done.returncode, done.stdout), (0, "done 1\n"), "nbdsh writes, zeroes, trims and reads")
        done = run("nbdsh", "-u", server.uri, "-c", "assert h.pread(5, 12345) == b'other'", **shell)
        ok(done.returncode == 1 and "AssertionError" in done.stdout, "... and another text would have shown", done.stdout)


def filters():
    path = image("plain", "nbd-filters.img")
    data = pattern(MiB, 9)
    stats = f"{work}/stats"
    options = ["--filter=stats", "--filter=delay", "--filter=error"]
    with Server("plain", path, "create=1M", f"statsfile={stats}", "delay-read=20ms", "error-trim=EIO",
                "error-trim-rate=100%", options=options) as server:
        handle = connect(server)
        handle.pwrite(data, 0)
        ok(handle.pread(MiB, 0) == data, "stats, delay and error over the plugin: data passes")
        try:
            handle.trim(4096, 0)
            ok(False, "the error filter fails a trim")
        except nbd.Error as error:
            equal(error.errno, "EIO", "the error filter fails a trim")
        ok(handle.pread(MiB, 0) == data, "... which then does nothing")
        handle.flush()
        handle.shutdown()
    with open(stats) as file:
        said = file.read()
    ok("write: 1 ops" in said and "read: 2 ops" in said, "the stats filter counts", said)
    os.unlink(stats)


info_and_copy()
sparse()
eight_connections()
fio()
nbdsh()
filters()
sys.exit(end())
