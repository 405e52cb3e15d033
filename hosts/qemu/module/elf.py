# SPDX-License-Identifier: GPL-2.0-or-later
"""What a shared object says of itself, read with binutils."""

import re
from pathlib import Path

from .tools import Unavailable, output


def undefined(path):
    """Symbols that it takes from elsewhere; weak ones may be missing."""
    text = output("nm", "-D", "--undefined-only", path)
    return {line.split()[1].split("@")[0] for line in text.splitlines() if line.split()[0] == "U"}


def defined(path):
    text = output("nm", "-D", "--defined-only", path)
    return {line.split()[-1].split("@")[0] for line in text.splitlines()}


def libraries(path, environment):
    """All that it is linked with, directly or not."""
    text = output("ldd", path, env=environment)
    if missing := re.findall(r"(\S+) => not found", text):
        raise Unavailable(f"{path} lacks {', '.join(missing)}")
    return {Path(found) for found in re.findall(r"(/\S+) \(0x", text)}


class Sections:
    def __init__(self, path):
        self.bytes = Path(path).read_bytes()
        self.table = []
        for line in output("readelf", "-SW", path).splitlines():
            part = re.match(r"\s*\[\s*\d+\]\s+(\S+)\s+(\S+)\s+([0-9a-f]+)\s+([0-9a-f]+)\s+([0-9a-f]+)", line)
            if part:
                self.table.append((part[1], *(int(number, 16) for number in part.groups()[2:])))

    def name(self, address):
        for name, start, _, size in self.table:
            if start and start <= address < start + size:
                return name
        return None

    def read(self, address, size):
        for name, start, offset, length in self.table:
            if start and start <= address < start + length and name != ".bss":
                return self.bytes[offset + address - start :][:size]
        return b""

    def string(self, address):
        return self.read(address, 64).split(b"\0")[0].decode("latin-1")


def driver_tables(path):
    """protocol -> what stands where in QEMU's BlockDriver of that protocol, as (offset, what) pairs: functions by
    the word `function`, strings by their text, and the instance size."""
    sections = Sections(path)
    slots = {}
    for line in output("readelf", "-rW", path).splitlines():
        part = re.match(r"([0-9a-f]+)\s+\S+\s+R_\w+_RELATIVE\s+([0-9a-f]+)", line)
        if part:
            slots[int(part[1], 16)] = int(part[2], 16)

    def what(address):
        name = sections.name(address)
        if name == ".text":
            return "function"
        return sections.string(address) if name == ".rodata" else "data"

    # A table begins with format_name; protocol_name follows after the size and some flags.
    data = [at for at in sorted(slots) if sections.name(at).startswith(".data")]
    starts = [
        at
        for at, following in zip(data, data[1:])
        if what(slots[at]) == "gluster" and following - at < 64 and what(slots[following]).startswith("gluster")
    ]
    distance = min((after - at for at, after in zip(starts, starts[1:])), default=0)
    tables = {}
    for start in starts:
        inside = [(at - start, what(slots[at])) for at in data if start <= at < start + distance]
        size = int.from_bytes(sections.read(start + 8, 4), "little")
        tables[inside[1][1]] = (size, inside)
    return tables
