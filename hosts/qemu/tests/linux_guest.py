# SPDX-License-Identifier: GPL-2.0-or-later
"""A Linux guest with a disk of ours, and what it says on its serial port."""

import os
import re
import socket
import subprocess
import threading
from pathlib import Path

from common import MIB, ROOT, SERVER, Process, wait_for

LINUX = Path(os.environ["QEMU_LINUX"])
CLUSTER = Path(__file__).resolve().parents[3] / "scripts/cluster"
SIZE = 96 * MIB
SECONDS = 150  # for what takes a tenth of that


def cluster(*command):
    subprocess.run([CLUSTER, *command], check=True, stdout=subprocess.DEVNULL)


class Linux(Process):
    """`work`: files or records, see linux-init. `more`: QEMU's arguments besides."""

    def __init__(self, folder, volume, image, work, *more, iothread):
        self.volume = volume
        disk = "virtio-blk-pci,drive=disk" + (",iothread=io0" if iothread else "")
        super().__init__(
            folder,
            "qemu-system-x86_64",
            *("-L", ROOT / "usr/share/seabios", "-L", ROOT / "usr/share/qemu"),
            *("-accel", "tcg", "-machine", "pc", "-cpu", "max", "-m", "256", "-smp", "1", "-nodefaults"),
            *("-display", "none", "-no-reboot", "-kernel", LINUX / "vmlinuz", "-initrd", LINUX / "initrd"),
            *("-append", f"console=ttyS0 quiet panic=-1 random.trust_cpu=on mitigations=off {work}"),
            *("-chardev", f"socket,id=serial,path={folder}/serial,server=on,wait=off"),
            *("-serial", "chardev:serial", "-object", "iothread,id=io0", "-device", disk, *more),
            *("-blockdev", f"driver=gluster,node-name=disk,volume={volume},path={image},server.0.type=inet,"
              f"server.0.host={SERVER['host']},server.0.port={SERVER['port']}"),
            monitor=["-mon", "chardev=qmp,mode=control"],
        )  # fmt: skip
        self.heard = bytearray()
        self.serial = socket.socket(socket.AF_UNIX)
        self.serial.connect(str(folder / "serial"))
        # Always: a guest that nobody listens to stops after some lines.
        self.ear = threading.Thread(target=self.listen, daemon=True)
        self.ear.start()

    def listen(self):
        try:
            while more := self.serial.recv(4096):
                self.heard += more
        except OSError:
            pass

    def said(self):
        text = self.heard.decode(errors="replace")
        assert "guest: failed" not in text, text
        return text

    def wrote(self):
        """How many files; the same name comes again."""
        return len(re.findall(r"^guest: wrote \d+$", self.said(), re.M))

    def waits_for(self, count):
        wait_for(lambda: self.wrote() >= count or self.process.poll() is not None, SECONDS, f"{count} files: {self.said()}")
        assert self.process.poll() is None, self.said()

    def enough(self):
        """It does the rest of its work, and powers off. QEMU's exit code."""
        self.serial.sendall(b"enough\n")
        wait_for(lambda: "guest: done" in self.said() or self.process.poll() is not None, SECONDS, "it has done its work")
        self.serial.sendall(b"off\n")
        return self.process.wait(SECONDS)
