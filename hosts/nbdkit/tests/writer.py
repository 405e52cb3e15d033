#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""An NBD client that is there to be killed: writer.py URI SEED. Writes blocks, 16 at once, round and round, and tells
the number of each that was acknowledged."""

import os
import random
import sys

BLOCK = 64 * 1024


def block(seed, number):
    return random.Random(1000 * seed + number).randbytes(BLOCK)


def main(uri, seed):
    import nbd

    handle = nbd.NBD()
    handle.connect_uri(uri)
    blocks = handle.get_size() // BLOCK
    flying = {}
    number = 0
    while True:
        while len(flying) < 16:
            data = nbd.Buffer.from_bytearray(bytearray(block(seed, number % blocks)))
            flying[handle.aio_pwrite(data, number % blocks * BLOCK)] = number % blocks
            number += 1
        handle.poll(-1)
        for cookie in [cookie for cookie in flying if handle.aio_command_completed(cookie)]:
            os.write(1, b"%d\n" % flying.pop(cookie))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
