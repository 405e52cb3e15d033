# SPDX-License-Identifier: GPL-2.0-or-later
"""Processor time: of a child, of the cluster's daemons, and of everybody else on this machine."""

import os
import resource
import subprocess
import time

TICK = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A contestant did not do its work."""


def wait(process, seconds):
    """Its resource usage, which subprocess cannot tell."""
    deadline = time.monotonic() + seconds
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return usage
        if time.monotonic() > deadline:
            raise Failed(f"still running after {seconds:.0f} s")
        time.sleep(0.005)


def run(command, environment=None, text=None, seconds=60, probe=None):
    """(output, usage). `probe` is called with the process's id when a third of a second is over."""
    with open(os.devnull) as nothing, Spool() as out, Spool() as err:
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=out.file,
            stderr=err.file,
            stdin=nothing if text is None else subprocess.PIPE,
            text=True,
        )
        try:
            if text is not None:
                process.stdin.write(text)
                process.stdin.close()
            if probe:
                time.sleep(0.3)
                probe(process.pid)
            usage = wait(process, seconds)
        finally:
            if process.returncode is None:
                process.kill()
                process.wait()
        if process.returncode:
            last = (
                err.text().strip().splitlines() or out.text().strip().splitlines() or ["no word"]
            )[-1]
            raise Failed(f"{os.path.basename(command[0])}: {last}")
        return out.text(), usage


class Spool:
    """A file that a child may write any amount to without anybody reading meanwhile."""

    def __enter__(self):
        self.file = os.fdopen(os.memfd_create("bench"), "w+")
        return self

    def __exit__(self, *_):
        self.file.close()

    def text(self):
        self.file.seek(0)
        return self.file.read()


def seconds_of(usage):
    return usage.ru_utime + usage.ru_stime


def threads_of(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return 0


class Weather:
    """What happened on the machine between two looks."""

    def __init__(self, mark):
        self.daemons = [
            pid for pid in os.listdir("/proc") if pid.isdigit() and self._carries(pid, mark)
        ]

    @staticmethod
    def _carries(pid, mark):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                return mark.encode() in file.read().split(b"\0")
        except OSError:
            return False

    def _daemons(self):
        ticks = 0
        for pid in self.daemons:
            try:
                with open(f"/proc/{pid}/stat") as file:
                    ticks += sum(map(int, file.read().rsplit(")", 1)[1].split()[11:13]))
            except OSError:
                pass
        return ticks / TICK

    @staticmethod
    def _machine():
        with open("/proc/stat") as file:
            fields = list(map(int, file.readline().split()[1:9]))
        user, nice, system, idle, iowait, irq, softirq, steal = fields
        return (user + nice + system + irq + softirq) / TICK, steal / TICK, sum(fields) / TICK

    @staticmethod
    def _own():
        usage = resource.getrusage(resource.RUSAGE_SELF)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return seconds_of(usage) + seconds_of(children)

    def look(self):
        return (self._daemons(), *self._machine(), self._own())

    def since(self, before, running=0.0):
        """Shares of the machine's time. `running`: processor seconds of children still alive."""
        daemons, busy, steal, total, own = (now - then for now, then in zip(self.look(), before))
        foreign = max(0.0, busy - daemons - own - running)
        return {
            "daemons_s": daemons,
            "foreign": foreign / max(total, 0.01),
            "steal": steal / max(total, 0.01),
        }
