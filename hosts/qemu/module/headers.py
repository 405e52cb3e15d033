# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's headers, as far as a block driver needs them: from Debian's source package, patches applied,
with the generated ones made and a hand-made configuration."""

import re
import shutil
from pathlib import Path

from .tools import WORK, Unavailable, output, replace, say

KEPT = ("include", "qapi", "scripts", "block/gluster.c", "COPYING", "VERSION")

# What configure finds on Debian and the headers ask for. CONFIG_ATOMIC64 is part of the ABI: without it the
# statistics in BlockDriverState have another size. AioContext is opaque to us, so that io_uring and epoll do not
# matter. The last ones are for QEMU's own gluster.c, which is compiled for comparison.
CONFIG = """\
#define CONFIG_POSIX 1
#define CONFIG_LINUX 1
#define CONFIG_ATOMIC64 1
#define CONFIG_INT128 1
#define CONFIG_IOVEC 1
#define CONFIG_MADVISE 1
#define CONFIG_POSIX_MADVISE 1
#define CONFIG_SYSMACROS 1
#define CONFIG_MEMFD 1
#define HAVE_STRCHRNUL 1
#define HAVE_SYSTEM_FUNCTION 1
#define QEMU_VERSION "{version}"
#define CONFIG_STAMP _{stamp}
#define CONFIG_GLUSTERFS_XLATOR_OPT 1
#define CONFIG_GLUSTERFS_DISCARD 1
#define CONFIG_GLUSTERFS_FALLOCATE 1
#define CONFIG_GLUSTERFS_ZEROFILL 1
#define CONFIG_GLUSTERFS_FTRUNCATE_HAS_STAT 1
#define CONFIG_GLUSTERFS_IOCB_HAS_STAT 1
"""


def candidates(qemu, archive):
    """Source versions, best first. A rebuild (+b3) has the source of its first build; Debian's archive may have
    let go of a backport's, and any source of the same stable series will then do, since a module that it makes has
    to pass the check of the layout."""
    exact = re.sub(r"\+b\d+$", "", qemu.version)
    yield exact
    plain = re.sub(r"~bpo\d+\+\d+$", "", exact)
    if plain != exact:
        yield plain
    series = f"{qemu.major}.{qemu.minor}."
    for version in archive.sources():
        if re.sub(r"^\d+:", "", version).startswith(series) and version not in (exact, plain):
            yield version


def source(qemu, archive):
    """The unpacked source, of which only what is needed is kept."""
    why = None
    # Which version stood in for the exact one, so that it is not asked for again.
    remembered = WORK / "source" / f"{qemu.version.replace(':', '_')}.instead"
    if remembered.exists() and (remembered.parent / remembered.read_text() / "complete").exists():
        return remembered.parent / remembered.read_text()
    for version in candidates(qemu, archive):
        folder = WORK / "source" / version.replace(":", "_")
        if (folder / "complete").exists():
            remembered.write_text(folder.name)
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        try:
            say(f"fetching the source of QEMU {version}")
            archive.source(version, folder)
            unpack(folder)
        except Unavailable as reason:
            why = reason
            continue
        (folder / "complete").write_text(f"{version}\n")
        remembered.write_text(folder.name)
        return folder
    raise Unavailable(f"Debian has no source of QEMU {qemu.version}: {why}")


def unpack(folder):
    whole = folder / "whole"
    [description] = folder.glob("*.dsc")
    output("dpkg-source", "--no-check", "-x", description, whole)
    for name in KEPT:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (whole / name).rename(folder / name)
    shutil.rmtree(whole)
    for path in folder.glob("qemu_*"):
        path.unlink()
    output("python3", "-B", folder / "scripts/qapi-gen.py", "-b", "-o", folder / "made/qapi",
           folder / "qapi/qapi-schema.json")  # fmt: skip


def glib():
    """Flags for glib's headers; they are unpacked in the build tree if they are not installed."""
    try:
        return output("pkg-config", "--cflags", "glib-2.0").split()
    except (Unavailable, OSError):
        pass
    folder = WORK / "glib"
    if not (folder / "usr/include/glib-2.0/glib.h").exists():
        say("fetching libglib2.0-dev for its headers")
        folder.mkdir(parents=True, exist_ok=True)
        output("apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", "libglib2.0-dev", cwd=folder)
        for package in folder.glob("*.deb"):
            output("dpkg", "-x", package, folder)
            package.unlink()
    [config] = folder.glob("usr/lib/*/glib-2.0/include")
    return ["-isystem", str(folder / "usr/include/glib-2.0"), "-isystem", str(config)]


def flags(qemu, archive, where):
    """For the C compiler. `where` gets the configuration, which holds the stamp."""
    folder = source(qemu, archive)
    version = (folder / "VERSION").read_text().strip()
    replace(where / "config-host.h", CONFIG.format(version=version, stamp=qemu.stamp))
    replace(where / "config-poison.h", "")
    includes = [f"-I{where}", f"-I{folder}/made", "-isystem", f"{folder}/include"]
    # QEMU's headers rely on these two, and its own sources are compiled with them.
    dialect = ["-std=gnu11", "-fno-strict-aliasing", "-fwrapv", "-fPIC", "-O2", "-g"]
    defines = ["-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64", "-D_LARGEFILE_SOURCE", "-DBUILD_DSO"]
    return folder, [*dialect, *defines, f"-DQEMU_MAJOR={qemu.major}", *includes, *glib()]


def gluster_c(folder: Path):
    """QEMU's own driver."""
    return folder / "block/gluster.c"
