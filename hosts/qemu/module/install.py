# SPDX-License-Identifier: GPL-2.0-or-later
"""Puts the module in the place of the distribution's, and takes it out again."""

import os
import shutil

from .tools import Unavailable, output, say


class Place:
    """The file of an installed QEMU. `root` is that of another system, such as an image's."""

    def __init__(self, qemu, root):
        self.root = root
        self.name = qemu.modules() / "block-gluster.so"
        if root != "/":
            self.name = "/" / self.name.relative_to(os.path.realpath(root))
        if not str(self.name).startswith("/usr/"):
            raise Unavailable(f"{qemu.path} is not installed: give QEMU_MODULE_DIR to it instead")
        self.file = self.at(self.name)
        self.divert = ["dpkg-divert", "--root", root, "--local", "--rename"]

    def at(self, name):
        return type(name)(self.root) / name.relative_to("/")

    def diverted(self):
        listed = output("dpkg-divert", "--root", self.root, "--list", self.name)
        return bool(listed.strip())

    def ours(self):
        return self.file.exists() and b"blkgluster" in self.file.read_bytes()

    def install(self, module):
        if self.file.exists() and self.diverted() and not self.ours():
            raise Unavailable(f"{self.name} is neither the distribution's nor ours; nothing was changed")
        if not self.diverted():
            output(*self.divert, "--divert", f"{self.name}.distrib", "--add", self.name)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        new = self.file.with_name("block-gluster.so.new")
        shutil.copyfile(module, new)
        new.chmod(0o644)
        new.rename(self.file)
        say(f"{self.name} is ours now; the distribution's is {self.name}.distrib")

    def uninstall(self):
        if not self.diverted():
            say(f"{self.name} is the distribution's; nothing to do")
            return
        if self.file.exists() and not self.ours():
            raise Unavailable(f"{self.name} is not ours; nothing was changed")
        self.file.unlink(missing_ok=True)
        output(*self.divert, "--remove", self.name)
        say(f"{self.name} is the distribution's again")
