#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""qemu-img and qemu-io, over nbd+unix: qemu.py ON_CLUSTER. The installed ones, or those that scripts/bench unpacks,
which has to happen outside of the cluster's network namespace; so this runs itself again inside."""

import os
import shutil
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[3]


def programs():
    """The folder of qemu-img and qemu-io, and the libraries' path that they need."""
    if shutil.which("qemu-img") and shutil.which("qemu-io"):
        return str(Path(shutil.which("qemu-img")).parent), ""
    sys.path.insert(0, str(SOURCE / "benches"))
    from harness import build  # noqa: PLC0415

    where = Path(os.environ.get("BLKGLUSTER_BUILD", SOURCE / "build")) / "bench/qemu"
    try:
        where.mkdir(parents=True, exist_ok=True)
        qemu = build.Qemu(where)
        qemu.fetch()
        return str(qemu.bin), qemu.environment(preload=None)["LD_LIBRARY_PATH"]
    except (build.Unavailable, OSError) as why:
        print(f"1..0 # SKIP {why}")
        sys.exit(77)


if "QEMU_BIN" not in os.environ:
    folder, libraries = programs()
    os.environ.update(QEMU_BIN=folder, QEMU_LIBRARIES=libraries)
    os.execv(sys.argv[1], [sys.argv[1], __file__])

sys.path.insert(0, str(Path(__file__).resolve().parent))
from harness import MiB, Server, end, equal, image, ok, pattern, run, sha, work, write_file  # noqa: E402

environment = dict(os.environ)
if os.environ["QEMU_LIBRARIES"]:
    environment["LD_LIBRARY_PATH"] = os.environ["QEMU_LIBRARIES"]


def qemu(program, *words):
    return run(f"{os.environ['QEMU_BIN']}/{program}", *words, env=environment)


def raw():
    source = write_file("source", pattern(8 * MiB, 21) + bytes(8 * MiB))
    path = image("rep3", "nbd-qemu.img")
    with Server("rep3", path, "create=16M") as server:
        uri = f"nbd+unix:///?socket={server.socket}"
        done = qemu("qemu-img", "info", uri)
        ok("virtual size: 16 MiB" in done.stdout, "info", done.stdout)
        done = qemu("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source, uri)
        equal((done.returncode, done.stdout), (0, ""), "convert into the image")
        done = qemu("qemu-img", "compare", "-f", "raw", "-F", "raw", source, uri)
        ok(done.returncode == 0, "compare", done.stdout)
        done = qemu("qemu-img", "convert", "-f", "raw", "-O", "raw", uri, f"{work}/back")
        equal((done.returncode, sha(f"{work}/back")), (0, sha(source)), "convert out of it")
        done = qemu("qemu-io", "-f", "raw", "-c", "write -P 0x5a 12345 4567", "-c", "flush", "-c", "write -z 1M 64k",
                    "-c", "discard 2M 64k", "-c", "read -P 0x5a 12345 4567", "-c", "read -P 0 1M 64k", uri)
        ok(done.returncode == 0 and "failed" not in done.stdout, "qemu-io writes, zeroes, discards, reads", done.stdout)
        done = qemu("qemu-io", "-f", "raw", "-c", "read -P 0x5b 12345 4567", uri)
        ok("Pattern verification failed" in done.stdout, "... and a wrong pattern shows", done.stdout)
        done = qemu("qemu-img", "compare", "-f", "raw", "-F", "raw", source, uri)
        equal(done.returncode, 1, "... and to compare, too")


def qcow2():
    path = image("sharded", "nbd-qemu.qcow2")
    source = write_file("source", pattern(6 * MiB, 22))
    with Server("sharded", path, "create=32M") as server:
        uri = f"nbd+unix:///?socket={server.socket}"
        done = qemu("qemu-img", "create", "-q", "-f", "qcow2", uri, "6M")
        equal(done.returncode, 0, "a qcow2 in the image")
        done = qemu("qemu-img", "convert", "-n", "-f", "raw", "-O", "qcow2", source, uri)
        ok(done.returncode == 0, "... is filled", done.stdout)
        done = qemu("qemu-img", "check", "-f", "qcow2", uri)
        ok(done.returncode == 0 and "No errors" in done.stdout, "... has no errors", done.stdout)
        done = qemu("qemu-img", "compare", "-f", "raw", "-F", "qcow2", source, uri)
        ok(done.returncode == 0, "... and holds what was put in", done.stdout)


raw()
qcow2()
sys.exit(end())
