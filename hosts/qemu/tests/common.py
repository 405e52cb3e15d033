# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests in Python share: QEMU's programs with our module, QMP, TAP."""

import json
import os
import socket
import subprocess
import tempfile
import time
import traceback
from pathlib import Path

ROOT = Path(os.environ["QEMU_ROOT"])
MODULE = os.environ["QEMU_OURS"]
ENVIRONMENT = dict(
    os.environ,
    QEMU_MODULE_DIR=MODULE,
    LD_LIBRARY_PATH=f"{ROOT}/usr/lib/x86_64-linux-gnu:{ROOT}/lib/x86_64-linux-gnu",
)
SERVER = {"type": "inet", "host": os.environ["BLKG_SERVER"], "port": os.environ["BLKG_PORT"]}
UNIX = {"type": "unix", "path": os.environ["BLKG_SOCKET"]}
MIB = 1 << 20


def uri(volume, path):
    return f"gluster://{SERVER['host']}:{SERVER['port']}/{volume}/{path}"


def start(name, *arguments, **more):
    command = [str(ROOT / "usr/bin" / name), *map(str, arguments)]
    return subprocess.Popen(command, env=ENVIRONMENT, text=True, **{"stdin": subprocess.DEVNULL, **more})


def tool(name, *arguments, code=0):
    process = start(name, *arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        said = process.communicate(timeout=120)[0]
    finally:
        process.kill()
    assert process.returncode == code, f"{name} {arguments}: exit code {process.returncode}: {said}"
    return said


def wait_for(what, seconds, text):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"{text}: not within {seconds} s"
        time.sleep(0.02)


class Refused(Exception):
    """QMP's answer is an error."""


class Process:
    """A QEMU process with a QMP socket."""

    def __init__(self, folder, name, *arguments, monitor):
        self.folder = folder
        self.stderr = folder / "stderr"
        chardev = ["--chardev", f"socket,id=qmp,path={folder}/qmp,server=on,wait=off", *monitor]
        with open(self.stderr, "w", encoding="utf-8") as stderr:
            self.process = start(name, *chardev, *arguments, stderr=stderr)
        wait_for((folder / "qmp").exists, 20, f"{name} starts")
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(str(folder / "qmp"))
        self.stream = self.socket.makefile("rw")
        self.stream.readline()
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        arguments = {name.replace("_", "-"): value for name, value in arguments.items()}
        self.stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.stream.flush()
        while True:
            answer = json.loads(self.stream.readline())
            if "error" in answer:
                raise Refused(answer["error"]["desc"])
            if "return" in answer:
                return answer["return"]

    def is_ours(self):
        """QEMU falls back to its own module without a word."""
        maps = Path(f"/proc/{self.process.pid}/maps").read_text()
        return f"{MODULE}/block-gluster.so" in maps and maps.count("block-gluster.so") == maps.count(MODULE)

    def quit(self):
        self.ask("quit")
        return self.process.wait(30)

    def end(self):
        """Whatever became of it. Its exit code, and what it said."""
        if self.process.poll() is None:
            self.process.kill()
        return self.process.wait(), self.stderr.read_text()


def run(groups):
    """`groups` are pairs of what makes a Process, and of tests that follow one another on it."""
    number = failed = 0
    for make, tests in groups:
        with tempfile.TemporaryDirectory() as folder:
            process = make(Path(folder))
            for test in tests:
                number += 1
                began = time.monotonic()
                try:
                    test(process)
                    print(f"ok {number} - {test.__doc__} ({time.monotonic() - began:.1f} s)", flush=True)
                except Exception:  # pylint: disable=broad-except
                    failed = 1
                    print(f"not ok {number} - {test.__doc__}")
                    print("# " + traceback.format_exc().replace("\n", "\n# "), flush=True)
                    break  # those that follow build on it
            code, said = process.end()
            if code != 0:
                number += 1
                failed = 1
                print(f"not ok {number} - the process ended with {code}")
                print("# " + said.replace("\n", "\n# "))
    print(f"1..{number}")
    return failed
