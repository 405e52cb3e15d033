# SPDX-License-Identifier: GPL-2.0-or-later
"""What the steps share."""

import os
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("BLKGLUSTER_BUILD", REPO / "build")).resolve()
WORK = BUILD / "qemu"

sys.path.insert(0, str(REPO / "benches"))


class Unavailable(Exception):
    """Something is missing, or does not agree, and why."""


def say(text):
    print(f"qemu-module: {text}", file=sys.stderr, flush=True)


def output(*command, **more):
    """Its standard output; when it fails, what it said becomes the reason."""
    done = subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
        **more,
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise Unavailable(f"{command[0]} failed:\n" + "\n".join(said[-20:]))
    return done.stdout


def replace(path, text):
    """Writes a file only if it would change, so that nothing is built for nothing."""
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
