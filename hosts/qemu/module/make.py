# SPDX-License-Identifier: GPL-2.0-or-later
"""The module, and what has to hold before anybody loads it."""

import os
import shutil
import subprocess
from pathlib import Path

from . import elf, headers
from .tools import REPO, WORK, Unavailable, output, say

SHIM = REPO / "hosts/qemu/shim"
WARNINGS = ["-Wall", "-Wextra", "-Werror"]
# What rustc needs besides libgfapi (rustc --print native-static-libs).
RUST = ["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl", "-lc"]


def library():
    """blkgluster's static library, from cargo."""
    cargo = shutil.which("cargo") or str(Path.home() / ".cargo/bin/cargo")
    if not Path(cargo).exists():
        raise Unavailable("cargo is missing; scripts/setup says how to get it, or give --library")
    environment = dict(os.environ, PATH=f"{Path(cargo).parent}:{os.environ['PATH']}")
    subprocess.run(
        [cargo, "build", "--release", "--locked", "--lib"],
        cwd=REPO, env=environment, check=True, stdin=subprocess.DEVNULL, stdout=2,
    )  # fmt: skip
    return Path(os.environ.get("CARGO_TARGET_DIR", REPO / "target")) / "release/libblkgluster.a"


def compiler():
    return os.environ.get("CC", "gcc")


def newest(paths):
    return max(path.stat().st_mtime for path in paths)


def build(qemu, archive, static):
    """The directory that holds nothing but block-gluster.so for this QEMU."""
    where = WORK / "modules" / qemu.stamp
    module = where / "block-gluster.so"
    source, flags = headers.flags(qemu, archive, WORK / "made" / qemu.stamp)
    files = sorted(SHIM.glob("*.c"))
    inputs = [*SHIM.iterdir(), static, REPO / "include/blkgluster.h", *Path(__file__).parent.glob("*.py")]
    if module.exists() and module.stat().st_mtime > newest(inputs):
        return module
    say(f"building for QEMU {qemu.version}")
    where.mkdir(parents=True, exist_ok=True)
    made = where.parent / f"{qemu.stamp}.new"
    gluster = output("pkg-config", "--libs", "glusterfs-api").split()
    output(
        compiler(), *flags, *WARNINGS, f"-I{SHIM}", f"-I{REPO}/include", "-shared", *files, static, "-o", made,
        *gluster, *RUST, "-Wl,--as-needed", "-Wl,-soname,block-gluster.so", f"-Wl,--version-script={SHIM}/module.map",
        # A symbol that this QEMU lacks is to show when the module is loaded, not in the middle of an I/O; and Gluster's
        # threads outlive whatever unloads a module.
        "-Wl,-z,now", "-Wl,-z,nodelete",
    )  # fmt: skip
    check_symbols(made, qemu)
    check_layout(source, flags, qemu, archive)
    # A new file under the name, so that a QEMU that has the old one mapped keeps it.
    made.rename(module)
    return module


def check_symbols(module, qemu):
    environment = qemu.environment()
    there = elf.defined(qemu.path)
    for path in elf.libraries(qemu.path, environment) | elf.libraries(module, environment):
        there |= elf.defined(path)
    if lacking := elf.undefined(module) - there:
        raise Unavailable(f"{qemu.path} has no {', '.join(sorted(lacking))}")
    ours = elf.defined(module)
    wanted = {"qemu_module_dummy", f"qemu_stamp_{qemu.stamp}"}
    if ours != wanted:
        raise Unavailable(f"{module} exports {ours}, but should {wanted}")


def check_layout(source, flags, qemu, archive):
    """QEMU's own gluster.c, compiled with the headers and the configuration of ours, has to have every slot of its
    BlockDrivers where the distribution's block-gluster.so has it: then ours are where this QEMU looks for them."""
    own = qemu.own_module(archive)
    again = WORK / "made" / qemu.stamp / "own-block-gluster.so"
    gluster = output("pkg-config", "--cflags", "--libs", "glusterfs-api").split()
    output(compiler(), *flags, "-w", "-shared", headers.gluster_c(source), "-o", again, *gluster)
    theirs, made = elf.driver_tables(own), elf.driver_tables(again)
    slots = sum(len(inside) for _, inside in theirs.values())
    if len(theirs) < 3 or slots < 60:
        raise Unavailable(f"cannot read the BlockDriver tables of {own}: {len(theirs)} tables, {slots} slots")
    if theirs != made:
        raise Unavailable(
            f"the headers of {source.name} lay QEMU's structures out differently from {own}:\n"
            + "\n".join(differences(theirs, made))
        )
    say(f"layout checked: {slots} slots in {len(theirs)} tables are where {own.name} of {qemu.version} has them")


def differences(theirs, made):
    for protocol in sorted({*theirs, *made}):
        there, here = theirs.get(protocol, (0, [])), made.get(protocol, (0, []))
        if there[0] != here[0]:
            yield f"{protocol}: instance size {there[0]} there, {here[0]} here"
        for offset, what in sorted(set(there[1]) ^ set(here[1])):
            yield f"{protocol}: {what} at offset {offset} {'there' if (offset, what) in there[1] else 'here'} only"
