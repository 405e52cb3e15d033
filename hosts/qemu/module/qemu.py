# SPDX-License-Identifier: GPL-2.0-or-later
"""The QEMU that the module is for."""

import os
import platform
import re
import shutil
from pathlib import Path

from .tools import BUILD, WORK, Unavailable, output, say

INSTALLED = ("qemu-system-x86_64", "qemu-img", "qemu-storage-daemon", "qemu-nbd")


def default():
    """An installed one, or that of scripts/bench, which is unpacked in the build tree."""
    for name in INSTALLED:
        if path := shutil.which(name):
            return Path(path)
    return unpacked().bin / "qemu-img"


def unpacked(system=False):
    """Debian 12's QEMU 7.2: the one that scripts/bench compares with, or with the emulator and the storage daemon."""
    from harness import build

    class System(build.Qemu):
        PACKAGES = (*build.Qemu.PACKAGES, "qemu-system-common", "qemu-system-x86")
        NEEDY = "qemu-system-x86"
        PROGRAMS = (*build.Qemu.PROGRAMS, "qemu-storage-daemon", "qemu-system-x86_64")

    qemu = System(WORK / "system") if system else build.Qemu(BUILD / "bench/qemu")
    try:
        qemu.fetch()
        return qemu.unpacked()
    except build.Unavailable as why:
        raise Unavailable(str(why)) from why


class Qemu:
    def __init__(self, path):
        self.path = Path(path).resolve()
        if not self.path.is_file():
            raise Unavailable(f"there is no {path}")
        stamps = set(re.findall(rb"qemu_stamp_([0-9a-f]{40})", self.path.read_bytes()))
        if len(stamps) != 1:
            raise Unavailable(
                f"{path} has {len(stamps)} module stamps instead of one: no QEMU binary, "
                "or one that was built without modules"
            )
        self.stamp = stamps.pop().decode()
        said = output(self.path, "--version", env=self.environment()).splitlines()[0]
        found = re.search(r"version (\d+)\.(\d+)\.\d+ \(Debian ([^)]+)\)", said)
        if not found:
            raise Unavailable(f"{path} is not Debian's, whose headers are known: {said}")
        self.major, self.minor, self.version = int(found[1]), int(found[2]), found[3]

    def environment(self):
        """Libraries that were unpacked with it."""
        environment = dict(os.environ)
        beside = [self.path.parents[2] / part for part in ("usr/lib", "lib")]
        folders = [str(path) for lib in beside for path in lib.glob("*-linux-gnu")]
        if self.path.parents[1] != Path("/usr"):
            environment["LD_LIBRARY_PATH"] = ":".join(folders)
        return environment

    def modules(self):
        """Where it looks for its modules when nothing else is said."""
        return self.path.parents[1] / "lib" / f"{platform.machine()}-linux-gnu" / "qemu"

    def own_module(self, archive):
        """The distribution's block-gluster.so of this very build; fetched if it is not beside it."""
        fetched = WORK / "distribution" / self.version.replace(":", "_")
        for folder in (self.modules(), fetched):
            for path in [folder / "block-gluster.so.distrib", *folder.rglob("block-gluster.so")]:
                if path.exists() and f"qemu_stamp_{self.stamp}".encode() in path.read_bytes():
                    if b"blkgluster" not in path.read_bytes():
                        return path
        say(f"fetching QEMU's own module, qemu-block-extra {self.version}")
        archive.binary("qemu-block-extra", self.version, fetched)
        for package in fetched.glob("*.deb"):
            output("dpkg", "-x", package, fetched)
            package.unlink()
        for path in fetched.rglob("block-gluster.so"):
            if f"qemu_stamp_{self.stamp}".encode() in path.read_bytes():
                return path
        raise Unavailable(f"qemu-block-extra {self.version} has another stamp than {self.path}")
