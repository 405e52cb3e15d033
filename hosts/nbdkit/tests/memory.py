#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""nbdkit under valgrind: no invalid access by anybody, and nothing that the plugin allocated is lost."""

import re
import sys
from pathlib import Path

import nbd

from harness import MiB, PLUGIN, Server, end, equal, image, ok, pattern, run, work

SUPPRESSIONS = Path(__file__).resolve().parents[3] / "c-tests/valgrind.supp"


def session(server, number):
    handles = [nbd.NBD() for _ in range(3)]
    for handle in handles:
        handle.connect_uri(server.uri)
    data = pattern(MiB, number)
    for handle in handles:
        handle.pwrite(data, 3)
        handle.trim(65536, 4096)
        handle.zero(4096, 0, nbd.CMD_FLAG_NO_HOLE)
        handle.pread(MiB, 0)
        handle.flush()
    return handles


def lost(log):
    """What the plugin itself allocated and did not free: the place of each. What libgfapi loses is not asked for."""
    places = []
    with open(log, errors="replace") as file:
        for record in re.split(r"==\d+== \n", file.read()):
            frames = [line for line in record.splitlines() if re.search(r" (at|by) 0x", line)]
            ours = [number for number, frame in enumerate(frames) if "hosts/nbdkit/" in frame]
            above = "".join(frames[:ours[0]]) if ours else ""
            if "loss record" in record and ours and not re.search(r"\.rs:|libgfapi|libglusterfs", above):
                places.append(frames[ours[0]].split("/")[-1])
    return places


# The child that looks at the image ends in the middle of everything, on purpose.
valgrind = ["valgrind", "--child-silent-after-fork=yes", "--error-exitcode=99", "--keep-debuginfo=yes",
            "--leak-check=full", "--errors-for-leak-kinds=none", "--num-callers=30", "--fullpath-after=",
            f"--suppressions={SUPPRESSIONS}"]

path = image("plain", "nbd-memory.img")
log = f"{work}/valgrind.log"
server = Server("plain", path, "create=2M", "keep-connection=0",
                wrapper=[*valgrind, "--show-leak-kinds=definite,indirect,possible", f"--log-file={log}"])
for number in range(2):  # the image is opened anew for the second
    for handle in session(server, number):
        handle.shutdown()
# These are connected still when it is told to end, which makes nbdkit call no .close.
left = session(server, 9)
server.process.terminate()
for handle in left:
    handle.shutdown()
server.stop("no invalid access, and all its images are closed")
equal(lost(log), [], "nothing that was allocated under the plugin is lost")

# A parameter that is refused ends nbdkit at once, with what the others left in memory.
run(*valgrind, "--show-leak-kinds=all", f"--log-file={log}", "nbdkit", PLUGIN, "uri=gluster://a/b/c", "no=such")
ok(any("params.c" in place for place in lost(log)), "... and what is left would have shown")
sys.exit(end())
