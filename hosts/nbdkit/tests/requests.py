#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Each NBD request does to the image what NBD says, seen from outside, too: on the brick, and by what it became."""

import errno
import json
import os
import sys

import nbd

from harness import (MiB, SPY, Server, brick, connect, end, equal, image, ok, pattern, refused, run, wait_until,
                     work)


def read_and_write():
    path = image("plain", "nbd-requests.img")
    with Server("plain", path, "create=80M") as server:
        handle = connect(server)
        equal(handle.get_size(), 80 * MiB, "the size of create=")
        model = bytearray(80 * MiB)
        for offset, length in ((0, 1), (511, 2), (4095, 4098), (MiB + 7, 3 * MiB + 13), (80 * MiB - 5, 5),
                               (8 * MiB, 64 * MiB)):
            data = pattern(length, offset)
            handle.pwrite(data, offset)
            model[offset:offset + length] = data
            ok(handle.pread(length, offset) == data, f"{length} bytes at {offset} come back")
        ok(handle.pread(64 * MiB, 5) == model[5:64 * MiB + 5], "a read over all of that")
        handle.flush()
        with open(brick("plain", path), "rb") as file:
            ok(file.read() == model, "the brick holds these bytes")
            model[4097] ^= 1
            file.seek(0)
            ok(file.read() != model, "... and one wrong bit would have shown")
        handle.shutdown()

        wild = connect(server, strict=False)
        equal(refused(lambda: wild.pread(2, 80 * MiB - 1)), errno.EINVAL, "a read past the end is EINVAL")
        equal(refused(lambda: wild.pwrite(b"xx", 80 * MiB - 1)), errno.ENOSPC, "a write past the end is ENOSPC")
        equal(os.path.getsize(brick("plain", path)), 80 * MiB, "... and grows nothing")
        wild.shutdown()


def many_in_flight():
    """Sixteen requests of a connection run at once, and each gets its own data."""
    path = image("sharded", "nbd-many.img")
    with Server("sharded", path, "create=24M") as server:
        handle = connect(server)
        blocks = {n: pattern(48 * 1024, n) for n in range(400)}
        flying = []

        def settle(most):
            while len(flying) > most:
                cookie = flying.pop(0)
                while not handle.aio_command_completed(cookie):
                    handle.poll(-1)

        for n, data in blocks.items():
            flying.append(handle.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(data)), n * len(data)))
            settle(31)
        settle(0)
        buffers = {}
        for n, data in blocks.items():
            buffers[n] = nbd.Buffer(len(data))
            flying.append(handle.aio_pread(buffers[n], n * len(data)))
            settle(31)
        settle(0)
        wrong = [n for n, data in blocks.items() if buffers[n].to_bytearray() != data]
        equal(wrong, [], "400 writes and reads, 32 at once, across shards")
        ok(buffers[0].to_bytearray() != blocks[1], "... and a swapped block would have shown")
        handle.shutdown()


LOG = f"{work}/spy.log"


def became(call):
    """What libgfapi was called for while this one ran."""
    open(LOG, "w").close()
    call()
    with open(LOG) as file:
        return [tuple(int(word) if word.isdigit() else word for word in line.split()) for line in file]


def one_image():
    """All connections share one opening, which ends with the last of them."""
    path = image("plain", "nbd-one.img")
    with Server("plain", path, "create=1M", env={"LD_PRELOAD": SPY, "SPY_LOG": LOG}) as server:
        handles = []

        def leave(number):
            for _ in range(number):
                handles.pop().shutdown()

        for round_ in ("first", "second"):
            calls = became(lambda: handles.extend(connect(server) for _ in range(8)))
            equal(calls, [("open", os.O_RDWR, 0)], f"eight connections open one image, the {round_} time")
            handles[0].pwrite(b"x", 0)
            equal(became(handles[7].flush), [("fsync", 0, 0)], "... a flush on another one syncs it")
            equal(became(lambda: leave(7)), [], "... it stays open while one is left")
            calls = became(lambda: (leave(1), wait_until(30, lambda: os.path.getsize(LOG) > 0)))
            equal(calls, [("close", 0, 0)], "... and is closed after the last one")


def flush_and_trim():
    path = image("plain", "nbd-flush.img")
    with Server("plain", path, "create=8M", env={"LD_PRELOAD": SPY, "SPY_LOG": LOG}) as server:
        handle = connect(server)
        data = pattern(MiB, 1)
        for flag in ("can_flush", "can_fua", "can_trim", "can_multi_conn"):
            ok(getattr(handle, flag)(), flag)
        equal([handle.get_block_size(kind) for kind in (nbd.SIZE_MINIMUM, nbd.SIZE_PREFERRED, nbd.SIZE_MAXIMUM)],
              [1, 4096, 64 * MiB], "block sizes")

        equal(became(lambda: handle.pwrite(data, 0)), [("write", 0, MiB)], "a write is a write")
        equal(became(lambda: handle.flush()), [("fsync", 0, 0)], "a flush is an fsync")
        equal(became(lambda: handle.pwrite(data, MiB, nbd.CMD_FLAG_FUA)), [("write", MiB, MiB), ("fsync", 0, 0)],
              "a write with FUA is followed by an fsync")

        equal(became(lambda: handle.trim(4096, 100)), [("discard", 100, 4096)], "a trim is a discard")
        ok(handle.pread(MiB, 0) == data[:100] + bytes(4096) + data[4196:], "... that empties just its bytes")
        equal(became(lambda: handle.trim(4096, 0, nbd.CMD_FLAG_FUA))[-1], ("fsync", 0, 0), "a trim with FUA is synced")

        full = blocks(path)
        handle.trim(2 * MiB, 0)
        ok(blocks(path) <= full - 2 * 1800, "a trim gives the brick its space back")
        handle.shutdown()


def blocks(path, volume="plain"):
    """What the image occupies on a brick, in units of 512 bytes."""
    return os.stat(brick(volume, path)).st_blocks


def zeroes():
    """They read as zero, just there, and take space or not as the client said."""
    path = image("plain", "nbd-zero.img")
    hole, kept = 0, nbd.CMD_FLAG_NO_HOLE
    fast, fua = nbd.CMD_FLAG_FAST_ZERO, nbd.CMD_FLAG_FUA
    with Server("plain", path, "create=8M", env={"LD_PRELOAD": SPY, "SPY_LOG": LOG}) as server:
        handle = connect(server)
        data = pattern(MiB, 1)
        holed = data[:7] + bytes(64 * 1024) + data[7 + 64 * 1024:]
        for flag in ("can_zero", "can_fast_zero"):
            ok(getattr(handle, flag)(), flag)
        for flags, call, text in ((hole, "discard", "zeroes where a hole will do"),
                                  (hole | fast, "discard", "fast ones"),
                                  (kept, "zerofill", "zeroes without a hole")):
            handle.pwrite(data, 0)
            equal(became(lambda: handle.zero(64 * 1024, 7, flags)), [(call, 7, 64 * 1024)], f"{text} are a {call}")
            ok(handle.pread(MiB, 0) == holed, "... that reads as zero, just there")
            ok(holed != data and handle.pread(MiB, 1) != holed, "... and a byte too far would have shown")
            equal(became(lambda: handle.zero(4096, 0, flags | fua))[-1], ("fsync", 0, 0), "... and with FUA is synced")

        handle.pwrite(data, 0)
        equal(refused(lambda: handle.zero(64 * 1024, 0, kept | fast)), errno.ENOTSUP, "fast ones without a hole: no")
        ok(handle.pread(MiB, 0) == data, "... and nothing was touched")

        full = blocks(path)
        handle.zero(MiB, 0, kept)
        ok(blocks(path) >= full, "zeroes without a hole keep the space")
        ok(handle.pread(MiB, 0) == bytes(MiB), "... and are zeroes")
        handle.pwrite(data, 0)
        handle.zero(MiB, 0, hole)
        ok(blocks(path) <= full - 1800, "zeroes where a hole will do give it back")
        handle.zero(MiB, 0, kept)
        ok(blocks(path) >= full, "zeroes without a hole take it where one was")
        equal(refused(lambda: connect(server, strict=False).zero(2 * MiB, 7 * MiB, kept)), errno.ENOSPC,
              "zeroes past the end are ENOSPC")
        equal(os.path.getsize(brick("plain", path)), 8 * MiB, "... and grow nothing")
        handle.shutdown()

    # Bricks of disperse volumes have no zerofill.
    for volume in ("disp", "sharded"):
        path = image(volume, "nbd-zero.img")
        with Server(volume, path, "create=12M") as server:
            handle = connect(server)
            data = pattern(9 * MiB, 2)
            for flags in (hole, kept):
                handle.pwrite(data, MiB)
                handle.zero(8 * MiB + 3, MiB + 5, flags)
                ok(handle.pread(9 * MiB, MiB) == data[:5] + bytes(8 * MiB + 3) + data[8 * MiB + 8:],
                   f"{volume}: zeroes {'without a hole' if flags else 'where a hole will do'}")
                ok(handle.pread(9 * MiB, MiB) != data, "... and what was there would have shown")
            handle.shutdown()


def told(handle, length, offset, flags=0):
    """The extents that a request is answered with, as [(length, flags)]."""
    got = []
    handle.block_status(length, offset, lambda _, __, entries, ___: got.extend(entries), flags)
    return list(zip(got[::2], got[1::2]))


def extents():
    """Holes are told where the volume knows them, and data is never called zero."""
    data, hole = 0, nbd.STATE_HOLE | nbd.STATE_ZERO
    for volume in ("plain", "rep3"):
        path = image(volume, "nbd-extents.img")
        with Server(volume, path, "create=64M") as server:
            handle = nbd.NBD()
            handle.add_meta_context("base:allocation")
            handle.connect_uri(server.uri)
            equal(told(handle, 64 * MiB, 0), [(64 * MiB, hole)], f"{volume}: a new image is a hole")
            handle.pwrite(pattern(MiB, 4), 8 * MiB)
            parts = [(8 * MiB, hole), (MiB, data), (55 * MiB, hole)]
            equal(told(handle, 64 * MiB, 0), parts, "... with what was written in it")
            equal(told(handle, 64 * MiB, 0, nbd.CMD_FLAG_REQ_ONE), parts[:1], "... or one part, where one is wanted")
            equal(told(handle, MiB, 8 * MiB + MiB // 2), [(MiB // 2, data), (MiB // 2, hole)], "... or of a part")
            handle.zero(MiB, 8 * MiB)
            equal(sum(length for length, kind in told(handle, 64 * MiB, 0) if kind != hole), 0,
                  "... and it is a hole again when it was zeroed")
            for number in range(100):
                handle.pwrite(pattern(65536, number), number * 4 * 65536)
            handle.shutdown()
            lines = json.loads(run("nbdinfo", "--map", "--json", server.uri).stdout)
            found = [(line["offset"], line["length"]) for line in lines if line["type"] == data]
            equal(found, [(number * 4 * 65536, 65536) for number in range(100)],
                  "nbdinfo --map finds 100 pieces, more than one answer has")
            ok(all(line["type"] in (data, hole) for line in lines), "... with nothing but holes between")
    path = image("sharded", "nbd-extents.img")
    with Server("sharded", path, "create=16M") as server:
        lines = json.loads(run("nbdinfo", "--map", "--json", server.uri).stdout)
        equal([(line["offset"], line["length"], line["type"]) for line in lines], [(0, 16 * MiB, data)],
              "a sharded volume cannot tell: all is data")


def read_only():
    path = image("plain", "nbd-ro.img")
    data = pattern(MiB, 3)
    with Server("plain", path, "create=1M") as server:
        handle = connect(server)
        handle.pwrite(data, 0)
        handle.shutdown()
    for how in ({"options": ("-r",)}, {"param": "readonly=true"}):
        params = [how["param"]] if "param" in how else []
        with Server("plain", path, *params, options=how.get("options", ())) as server:
            handle = connect(server, strict=False)
            ok(handle.is_read_only(), f"{how}: the export is read-only")
            equal(refused(lambda: handle.pwrite(b"x", 0)), errno.EPERM, "... a write is refused")
            equal(refused(lambda: handle.trim(4096, 0)), errno.EPERM, "... and a trim")
            ok(handle.pread(MiB, 0) == data, "... and the image is as it was")
            handle.shutdown()


def odd_length():
    """An image whose length is no multiple of a sector is served to its last byte."""
    path = image("plain", "nbd-odd.img")
    with Server("plain", path, "create=1M"):
        pass
    os.truncate(brick("plain", path), 1000003)
    with Server("plain", path) as server:
        handle = connect(server)
        equal(handle.get_size(), 1000003, "a length of 1000003 bytes is told as it is")
        handle.pwrite(b"end", 1000000)
        equal(bytes(handle.pread(5, 999998)), b"\0\0end", "... and its last bytes are written and read")
        handle.shutdown()
    equal(os.path.getsize(brick("plain", path)), 1000003, "... and it did not grow")


def statistics_and_trace():
    """What the image has done, for who asks for it."""
    path = image("plain", "nbd-told.img")
    for verbose in (True, False):
        with Server("plain", path, "create=1M", "trace=requests", "statistics=on", options=["-v"] * verbose) as server:
            handle = connect(server)
            handle.pwrite(pattern(4096, 8), 0)
            handle.pread(8192, 0)
            handle.shutdown()
        for words in ("read of 8192 bytes at offset 0: done in", "write: 1 succeeded, 4096 bytes", "in flight: 0"):
            equal(words in server.said(), verbose, f"nbdkit {'-v says' if verbose else 'does not say'}: {words}")
    with Server("plain", path, "statistics=off", options=["-v"]) as server:
        handle = connect(server)
        handle.pread(8192, 0)
        handle.shutdown()
    ok("in flight: 0" not in server.said(), "statistics=off: there are none")


read_and_write()
many_in_flight()
one_image()
flush_and_trim()
zeroes()
extents()
read_only()
odd_length()
statistics_and_trace()
sys.exit(end())
