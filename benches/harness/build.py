# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds our side in release mode, and fetches the other: Debian 12's QEMU, unpacked only."""

import os
import re
import shutil
import subprocess
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
SOURCES = REPO / "benches"
FAKE = REPO / "c-tests/fake_gfapi"


class Unavailable(Exception):
    """A contestant cannot run here, and why."""


def output(*command, **more):
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, **more).stdout


def library():
    """The driver as it is shipped."""
    cargo = shutil.which("cargo") or str(Path.home() / ".cargo/bin/cargo")
    environment = dict(os.environ, PATH=f"{Path(cargo).parent}:{os.environ['PATH']}")
    subprocess.run(
        [cargo, "build", "--release", "--locked", "--lib"], cwd=REPO, env=environment, check=True
    )
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPO / "target"))
    return target / "release/libblkgluster.so"


def programs(where):
    """Every contestant over the one engine."""
    where.mkdir(parents=True, exist_ok=True)
    compiler = os.environ.get("CC", "gcc")
    flags = [
        "-O2",
        "-g",
        "-std=gnu11",
        "-Wall",
        "-Wextra",
        "-Werror",
        f"-I{REPO}/include",
        f"-I{FAKE}",
        "-pthread",
    ]
    gluster = output("pkg-config", "--cflags", "--libs", "glusterfs-api").split()
    for name, parts, libraries in (
        ("plain", ["volume.c", "plain.c"], gluster),
        ("pipe2013", ["volume.c", "pipe2013.c"], gluster),
        ("ours", ["ours.c"], ["-ldl"]),  # libgfapi comes with the driver
    ):
        files = [
            str(SOURCES / part) for part in ("engine.c", "measure.c", "storage_free.c", *parts)
        ]
        subprocess.run([compiler, *flags, *files, "-o", str(where / name), *libraries], check=True)
    for name in ("nofini", "stages"):
        source, library = SOURCES / f"{name}.c", where / f"{name}.so"
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-D_GNU_SOURCE", *flags, source, "-o", library, "-ldl"],
            check=True,
        )


def fake(where):
    """The stand-in for libgfapi, as c-tests/fake_gfapi/meson.build builds it but optimised."""
    where.mkdir(parents=True, exist_ok=True)
    text = (FAKE / "meson.build").read_text()
    names = re.search(r"shared_library\('gfapi',(.*?)version:", text, re.S)
    files = [str(FAKE / name) for name in re.findall(r"'(\w+\.c)'", names.group(1))]
    includes = output("pkg-config", "--cflags", "glusterfs-api").split()
    target = where / "libgfapi.so.0"
    subprocess.run(
        [
            os.environ.get("CC", "gcc"),
            "-shared",
            "-fPIC",
            "-O2",
            "-g",
            "-std=gnu11",
            "-D_GNU_SOURCE",
            "-fvisibility=hidden",
            *includes,
            *files,
            "-o",
            str(target),
            "-Wl,-soname,libgfapi.so.0",
            f"-Wl,--version-script,{FAKE}/libgfapi.map",
            "-Wl,-z,nodelete",
            "-pthread",
        ],
        check=True,
    )


# What the driver sets for images that are opened with locking, which no contestant is.
WITH_LOCKING = {("*-client-*", "strict-locks", "on")}


def same_options():
    """The plain loop's client options are a copy of the driver's: they must not drift apart."""
    pair = r'"([^"]+)",\s*c?"([^"]+)",\s*c?"([^"]+)"'
    ours = set(re.findall(r"\(\s*c" + pair, (REPO / "src/gfapi.rs").read_text()))
    ours -= WITH_LOCKING
    theirs = set(re.findall(r"\bset\(\s*" + pair, (SOURCES / "volume.c").read_text()))
    if not ours or ours != theirs:
        raise SystemExit(
            f"bench: src/gfapi.rs and benches/volume.c differ in options: {sorted(ours ^ theirs)}"
        )


class Qemu:
    """Debian 12's own qemu-img, qemu-io and Gluster module."""

    PACKAGES = ("qemu-utils", "qemu-block-extra")
    NEEDY = "qemu-utils"  # the one whose dependencies are fetched, too, if any is not installed
    PROGRAMS = ("qemu-img", "qemu-io")

    def __init__(self, where):
        self.where = where
        self.root = where / "root"
        self.bin = self.root / "usr/bin"
        self.modules = self.root / "usr/lib/x86_64-linux-gnu/qemu"
        self.done = where / "complete"

    def unpacked(self):
        """Itself, if `fetch` has succeeded."""
        if not self.done.exists():
            raise Unavailable("QEMU 7.2 could not be fetched, see above")
        self.name = self.done.read_text().strip()
        return self

    def fetch(self):
        if self.done.exists():
            return
        if not shutil.which("apt-get"):
            raise Unavailable("QEMU 7.2 comes as a Debian package, and apt-get is missing here")
        shutil.rmtree(self.where, ignore_errors=True)
        self.root.mkdir(parents=True)
        version = self._newest()
        self._download([f"{package}={version}" for package in self.PACKAGES])
        missing = self._missing()
        if missing:
            self._download(self._closure(f"{self.NEEDY}={version}"))
            missing = self._missing()
        if missing:
            raise Unavailable(f"QEMU 7.2 lacks {', '.join(missing)}")
        self.done.write_text(self.version() + "\n")

    def _newest(self):
        for attempt in range(2):
            # newest first; a backport of a later QEMU may be there, too
            for line in output("apt-cache", "madison", "qemu-block-extra").splitlines():
                version = line.split("|")[1].strip()
                if version.startswith("1:7.2+"):
                    return version
            if attempt == 0 and os.geteuid() == 0:
                subprocess.run(["apt-get", "-q", "update"], stdin=subprocess.DEVNULL, check=False)
        raise Unavailable("apt knows no qemu-block-extra 7.2 (Debian 12); try apt-get update")

    def _download(self, packages):
        # as root, for apt's own user may not write here
        get = [
            "apt-get",
            "-q",
            "-o",
            "APT::Sandbox::User=root",
            "-o",
            "Acquire::Retries=3",
            "download",
            *packages,
        ]
        done = subprocess.run(
            get,
            cwd=self.where,
            stdin=subprocess.DEVNULL,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode:
            raise Unavailable(
                f"cannot download {' '.join(packages)}: {done.stdout.strip().splitlines()[-1]}"
            )
        for package in self.where.glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(package), str(self.root)], check=True)
            package.unlink()

    @staticmethod
    def _closure(package):
        """What apt would install for it on an empty system, less what is installed here."""
        uris = output(
            "apt-get",
            "-o",
            "Dir::State::status=/dev/null",
            "--print-uris",
            "-qq",
            "-y",
            "--no-install-recommends",
            "install",
            package,
        )
        wanted = re.findall(r"'\S+' ([^_]+)_([^_]+)_\S+\.deb", uris)
        installed = set(output("dpkg-query", "-W", "-f", "${Package}\n").split())
        return [
            f"{name}={version.replace('%3a', ':')}"
            for name, version in wanted
            if name not in installed
        ]

    def _missing(self):
        listing = ""
        for file in (
            *(self.bin / program for program in self.PROGRAMS),
            self.modules / "block-gluster.so",
        ):
            listing += output("ldd", str(file), env=self.environment(preload=None))
        return sorted({line.split()[0] for line in listing.splitlines() if "not found" in line})

    def environment(self, preload):
        environment = dict(os.environ, QEMU_MODULE_DIR=str(self.modules))
        # Only what the system lacks was unpacked here, so nothing clashes with the system's.
        libraries = [
            str(self.root / part) for part in ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")
        ]
        environment["LD_LIBRARY_PATH"] = ":".join(libraries)
        if preload:
            environment["LD_PRELOAD"] = str(preload)
        return environment

    def version(self):
        text = output(str(self.bin / "qemu-img"), "--version", env=self.environment(preload=None))
        if " 7.2." not in text:
            raise Unavailable(f"expected QEMU 7.2, unpacked {text.splitlines()[0]}")
        return text.splitlines()[0]


def qemu_module(where):
    """Our block-gluster.so for it. Where it is stands in a file."""
    made = output(REPO / "scripts/qemu-module", "--qemu", where / "root/usr/bin/qemu-img")
    (where / "ours").write_text(made.splitlines()[-1])


def modules_of(qemu, contestant):
    """The directory that QEMU is to load its Gluster module from."""
    if contestant != "qemu-ours":
        return qemu.modules
    if not (qemu.where / "ours").exists():
        raise Unavailable("scripts/qemu-module could not make our module for QEMU, see above")
    return Path((qemu.where / "ours").read_text())


def fio():
    """fio's path and version, if it has the engines."""
    path = shutil.which("fio")
    if not path:
        raise Unavailable("fio is not installed; scripts/setup installs it")
    engines = output(path, "--enghelp").split()
    if "gfapi" not in engines or "gfapi_async" not in engines:
        raise Unavailable("this fio was built without its gfapi engines")
    return path, output(path, "--version").strip()
