# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests share: TAP on stdout, nbdkit servers that end with the test, images, a look at the bricks.

Run inside of scripts/cluster exec, with PLUGIN, WITNESS, CLUSTER and SPY in the environment (see meson.build)."""

import atexit
import errno
import glob
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import nbd

PLUGIN = os.environ["PLUGIN"]
CLUSTER = os.environ["CLUSTER"]
WITNESS = os.environ["WITNESS"]
SPY = os.environ["SPY"]
SERVER = os.environ.get("BLKG_SERVER", "")
SOCKET = os.environ.get("BLKG_SOCKET", "")
MiB = 1 << 20

work = tempfile.mkdtemp(prefix="blkg-nbd-")
_number = _failed = 0
_images = []
_servers = []


def ok(good, text, detail=""):
    """One test. Whether it passed."""
    global _number, _failed
    _number += 1
    print(f"{'ok' if good else 'not ok'} {_number} - {text}", flush=True)
    if not good:
        _failed += 1
        for line in str(detail).splitlines():
            print(f"# {line}", flush=True)
    return bool(good)


def equal(got, wanted, text):
    return ok(got == wanted, text, f"got {got!r}, wanted {wanted!r}")


def end():
    """The exit code, for sys.exit."""
    print(f"1..{_number}", flush=True)
    return 1 if _failed else 0


def _end_daemon(pidfile):
    try:
        with open(pidfile) as file:
            pid = int(file.read())
        with open(f"/proc/{pid}/cmdline") as file:
            if work in file.read():
                os.kill(pid, signal.SIGKILL)
    except (OSError, ValueError):
        pass


def _clean():
    for server in list(_servers):
        server.kill()
    for pidfile in glob.glob(f"{work}/*.pid"):  # daemons that a test left behind when it broke
        _end_daemon(pidfile)
    for volume, path in _images:
        subprocess.run([WITNESS, volume, "unlink", path], check=False)
    shutil.rmtree(work, ignore_errors=True)


atexit.register(_clean)
# meson's, when the time is up: ends through atexit.
signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))


def run(*command, timeout=60, **more):
    """A program to its end; stdout and stderr as one text."""
    return subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
        **more,
    )


def cluster(*words):
    done = run(CLUSTER, *words)
    if done.returncode:
        sys.exit(f"scripts/cluster {' '.join(words)}: {done.stdout}")


def uri(volume, path):
    return f"gluster://{SERVER}/{volume}/{path}"


def image(volume, path):
    """A path that is free now, and again when the test has ended."""
    subprocess.run([WITNESS, volume, "unlink", path], check=True)
    _images.append((volume, path))
    return path


def brick(volume, path, node=1):
    """The file that a brick holds: on volumes without shards and stripes it is the image."""
    return f"{os.environ['BLKG_CLUSTER_DIR']}/n{node}/bricks/{volume}/{path}"


def sha(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(MiB):
            digest.update(block)
    return digest.hexdigest()


def pattern(size, seed):
    return random.Random(seed).randbytes(size)


def write_file(name, data):
    path = f"{work}/{name}"
    with open(path, "wb") as file:
        file.write(data)
    return path


def wait_until(seconds, condition):
    end_time = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end_time:
            return False
        time.sleep(0.05)
    return True


def connect(server, strict=True):
    handle = nbd.NBD()
    if not strict:
        handle.set_strict_mode(0)
    handle.connect_uri(server.uri)
    return handle


def refused(call):
    """The errno that a request fails with; 0 when it does not."""
    try:
        call()
    except nbd.Error as error:
        return getattr(errno, error.errno or "", -1)
    return 0


class Server:
    """nbdkit over the plugin, in the foreground: Server(volume, path, "create=1M", options=("-r",))."""

    count = 0

    def __init__(self, volume, path, *params, options=(), wrapper=(), env=None, where=None):
        Server.count += 1
        self.base = f"{work}/{Server.count}"
        self.socket = f"{self.base}.sock"
        self.uri = f"nbd+unix:///?socket={self.socket}"
        self.log = f"{self.base}.log"
        command = [*wrapper, "nbdkit", "-f", "--exit-with-parent", "-U", self.socket, "-P", f"{self.base}.pid",
                   *options, PLUGIN, where or uri(volume, path), *params]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=dict(os.environ, **(env or {})))
        _servers.append(self)
        started = wait_until(60, lambda: os.path.exists(f"{self.base}.pid") or self.process.poll() is not None)
        if not started or self.process.poll() is not None:
            self.kill()
            sys.exit(f"nbdkit does not start: {self.said()}")

    def said(self):
        with open(self.log, errors="replace") as log:
            return log.read()

    def lives(self):
        return self.process.poll() is None

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self in _servers:
            _servers.remove(self)

    def stop(self, text="the server ends when it is told to"):
        self.process.terminate()
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            code = "none: it went on"
        self.kill()
        # What the library says when an image was forgotten.
        ok(code == 0 and "images are open" not in self.said(), text, f"exit code {code}; it said: {self.said()}")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None and self in _servers:
            self.stop()
        else:
            # For whoever asks why a client was turned away.
            print(f"# the server's exit code: {self.process.poll()}; it said: {self.said()}".replace("\n", "\n# "))
            self.kill()
