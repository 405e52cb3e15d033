# SPDX-License-Identifier: GPL-2.0-or-later
"""How each contestant is run. All answer with the same keys, as far as they can tell."""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from . import build
from .build import Unavailable
from .machine import Failed, run, seconds_of, threads_of

EMPTY_RUNS = 3


def fetch(where, wanted):
    """Outside the cluster's network, from where no package server can be reached."""
    if any(name.startswith("qemu") for row in wanted for name in row.contestants):
        try:
            build.Qemu(where / "qemu").fetch()
            if any("qemu-ours" in row.contestants for row in wanted):
                build.qemu_module(where / "qemu")
        except (Unavailable, subprocess.CalledProcessError) as why:
            print(f"bench: no QEMU: {why}", file=sys.stderr)


class House:
    """Where everything is: programs, library, competitors, cluster."""

    def __init__(self, where, library, seconds):
        self.programs = where / "programs"
        self.library = library
        self.seconds = seconds
        self.server = os.environ["BLKG_SERVER"]
        self.port = os.environ["BLKG_PORT"]
        self.qemu = self._try(lambda: build.Qemu(where / "qemu").unpacked())
        self.fio = self._try(build.fio)
        self.pace = {}  # row -> requests per second of QEMU, which takes a count instead of a time
        self.empty = {}  # (contestant, volume, access) -> processor seconds of a run of one request

    def empty_run(self, name, row, run_one):
        """Opening the image and all else that is not I/O."""
        key = (name, row.volume, row.access)
        if key not in self.empty:
            self.empty[key] = statistics.median(seconds_of(run_one()) for _ in range(EMPTY_RUNS))
        return self.empty[key]

    @staticmethod
    def _try(make):
        try:
            return make()
        except Unavailable as why:
            return str(why)

    def uri(self, row):
        return f"gluster+tcp://{self.server}:{self.port}/{row.volume}/{row.image}"


# --- our own programs ---------------------------------------------------------------------------

OURS = {  # name -> program and its options
    "plain": ["plain", "--our-options"],
    "plain-eventfd": ["plain", "--our-options", "--wake", "eventfd"],
    "plain-spin": ["plain", "--our-options", "--wake", "spin"],
    "plain-through": ["plain", "--our-options", "--write-cache", "off"],
    "plain-default": ["plain"],
    "pipe2013": ["pipe2013"],
    "ours": ["ours"],
    "ours-through": ["ours", "--write-cache", "off"],
    "ours-uncounted": ["ours", "--statistics", "off"],
}


def command(house, name, row, *more):
    program, *options = OURS[name]
    arguments = [
        str(house.programs / program),
        *options,
        "--server",
        house.server,
        "--port",
        house.port,
        "--volume",
        row.volume,
        "--image",
        row.image,
        "--size",
        str(row.size),
        "--block",
        str(row.block),
        "--depth",
        str(row.depth),
        "--step",
        str(row.step),
        "--read-percent",
        str(row.read_percent),
        "--flush-every",
        str(row.flush_every),
        "--images",
        str(row.images),
        "--threads",
        str(row.threads),
        *more,
    ]
    if program == "ours":
        arguments += ["--library", str(house.library)]
    if row.access == "read" and not row.storage_free:
        arguments += ["--check"]
    return arguments


def own(house, name, row):
    text, usage = run(
        command(house, name, row, "--seconds", str(house.seconds)), seconds=house.seconds + 60
    )
    result = json.loads(text)
    result["process_cpu_s"] = seconds_of(usage)
    return result


class Turns:
    """Contestants that stay connected and take short turns."""

    def __init__(self, house, names, row):
        more = ["--storage-free"] if row.storage_free else []
        self.processes = {
            name: subprocess.Popen(
                command(house, name, row, "--task", "serve", "--warmup", "0.1", *more),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=without_storage(house) if row.storage_free else None,
            )
            for name in names
        }

    def turn(self, name, seconds):
        process = self.processes[name]
        process.stdin.write(f"{seconds}\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if not answer:
            raise Failed(f"{name} ended in the middle")
        return json.loads(answer)

    def close(self):
        for process in self.processes.values():
            process.stdin.close()
            process.wait(60)
            process.stdout.close()


# --- QEMU ---------------------------------------------------------------------------------------


def qemu(house, name, row):
    """qemu-img bench counts requests instead of seconds, and its processor time includes opening
    the image: that of a run of one request is taken off."""
    if isinstance(house.qemu, str):
        raise Unavailable(house.qemu)
    if row.access == "mix":
        raise Unavailable("qemu-img bench cannot mix reads and writes")
    if row.images > 1 or row.threads > 1:
        raise Unavailable("qemu-img bench knows one image and one thread")
    if row.flush_every and row.flush_every < row.depth:
        raise Unavailable("qemu-img bench cannot flush more often than once per depth")
    modules = build.modules_of(house.qemu, name)
    pace = (name, row.name)
    if pace not in house.pace:
        house.pace[pace] = 200.0
        for _ in range(2):  # the second with a count that fills a quarter of a second
            result, _ = _bench(house, row, max(row.depth, int(house.pace[pace] / 4)), modules)
            house.pace[pace] = result["iops"]
    empty = house.empty_run(name, row, lambda: _bench(house, row, 1, modules)[1])
    count = max(row.depth * 2, int(house.pace[pace] * house.seconds))
    result, usage = _bench(house, row, count, modules)
    house.pace[pace] = result["iops"]
    result["contestant"] = name
    result["process_cpu_s"] = seconds_of(usage)
    result["cpu_us"] = max(0.0, seconds_of(usage) - empty) / count * 1e6
    result["rss_kib"] = usage.ru_maxrss
    return result


def _bench(house, row, count, modules, *more):
    arguments = [
        str(house.qemu.bin / "qemu-img"),
        "bench",
        "-f",
        "raw",
        "-t",
        "writeback",
        "-c",
        str(count),
        "-d",
        str(min(row.depth, count)),
        "-s",
        str(row.block),
        "-S",
        str(row.step * row.block),
    ]
    if row.access == "write":
        arguments += ["-w", "--pattern", "90"]
    if row.flush_every and count > 1:
        arguments += ["--flush-interval", str(row.flush_every)]
    seen = {}
    preloaded = " ".join(str(house.programs / library) for library in (*more, "nofini.so"))

    def probe(pid):
        for _ in range(40):  # a busy machine may not have let it get so far yet
            maps = _maps(pid)
            seen["maps"] = maps or seen.get("maps", "")
            if not maps or "block-gluster.so" in maps:
                break
            time.sleep(0.05)
        seen["threads"] = threads_of(pid)

    text, usage = run(
        [*arguments, house.uri(row)],
        dict(house.qemu.environment(preloaded), QEMU_MODULE_DIR=str(modules)),
        seconds=house.seconds * 10 + 60,
        probe=probe if count > 1 else None,
    )
    # QEMU falls back silently on the installed module, if there is one, when it does not like ours.
    if seen.get("maps") and str(modules / "block-gluster.so") not in seen["maps"]:
        raise Failed(f"QEMU did not load {modules}/block-gluster.so")
    took = float(text.split("Run completed in ")[1].split()[0])
    iops = count / max(took, 0.0005)
    return {
        "ops": count,
        "seconds": took,
        "iops": iops,
        "mean_us": row.depth / iops * 1e6,
        "threads": seen.get("threads"),
    }, usage


def _maps(pid):
    try:
        return Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return ""


def qemu_open(house, row):
    """From start to end of a process that opens an image, reads once and closes it, less that of
    one that does so with a local file."""
    if isinstance(house.qemu, str):
        raise Unavailable(house.qemu)
    local = house.programs / "local.img"
    local.write_bytes(bytes(4096))
    took = {}
    for what, image in (("local", str(local)), ("volume", house.uri(row) + ".0")):
        begun = time.monotonic()
        run(
            [str(house.qemu.bin / "qemu-io"), "-r", "-f", "raw", "-c", "read 0 4k", image],
            house.qemu.environment(None),
            seconds=60,
        )
        took[what] = (time.monotonic() - begun) * 1e3
    return {"open_and_close_ms": took["volume"] - took["local"]}


def qemu_io(house, _name, row):
    """One request at a time, each with its own latency."""
    if isinstance(house.qemu, str):
        raise Unavailable(house.qemu)
    verb, blocks = ("read" if row.access == "read" else "write"), row.size // row.block
    count = min(4000, max(200, int(1000 * house.seconds)))
    lines = (f"{verb} -C {i * row.step % blocks * row.block} {row.block}" for i in range(count))
    flags = ["-r"] if row.access == "read" else []
    text, _ = run(
        [str(house.qemu.bin / "qemu-io"), "-f", "raw", *flags, house.uri(row)],
        house.qemu.environment(house.programs / "nofini.so"),
        text="\n".join(lines) + "\n",
        seconds=house.seconds * 10 + 60,
    )
    # bytes,requests,time,bytes per second,requests per second; the time has too few digits
    rates = [float(line.rsplit(",", 1)[1]) for line in text.splitlines() if line.count(",") == 4]
    latencies = sorted(1e6 / rate for rate in rates)
    if len(latencies) != count:
        raise Failed(f"qemu-io answered {len(latencies)} of {count} requests")
    mean = statistics.mean(latencies)
    return {
        "contestant": "qemu-io",
        "ops": count,
        "iops": 1e6 / mean,
        "mean_us": mean,
        "p50_us": latencies[count // 2],
        "p99_us": latencies[count * 99 // 100],
    }


# --- fio ----------------------------------------------------------------------------------------


def fio(house, name, row):
    """`fio-async` is the engine gfapi_async; `fio` is gfapi, which has one request in flight
    whatever the depth."""
    if isinstance(house.fio, str):
        raise Unavailable(house.fio)
    if row.images > 1 or row.threads > 1:
        raise Unavailable("left to the contestants that share a connection between images")
    empty = house.empty_run(name, row, lambda: _fio(house, name, row, ["--number_ios=1"])[1])
    jobs, usage = _fio(
        house, name, row, ["--time_based", f"--runtime={max(1, round(house.seconds))}"]
    )
    sides = [jobs[side] for side in ("read", "write") if jobs[side]["total_ios"]]
    ops = sum(side["total_ios"] for side in sides)
    if not ops or jobs["error"]:
        raise Failed(f"fio: error {jobs['error']} after {ops} requests")

    def latency(quantile):
        return max(side["clat_ns"]["percentile"][quantile] for side in sides) / 1e3

    return {
        "contestant": name,
        "ops": ops,
        "iops": sum(side["iops"] for side in sides),
        "cpu_us": max(0.0, seconds_of(usage) - empty) / ops * 1e6,
        "process_cpu_s": seconds_of(usage),
        "mean_us": sum(side["clat_ns"]["mean"] * side["total_ios"] for side in sides) / ops / 1e3,
        "p50_us": latency("50.000000"),
        "p99_us": latency("99.000000"),
        "rss_kib": usage.ru_maxrss,
    }


def _fio(house, name, row, more):
    path, _ = house.fio
    mode = {"read": "read", "write": "write", "mix": "rw"}[row.access]
    arguments = [
        path,
        "--name=bench",
        "--thread",
        "--output-format=json",
        "--randrepeat=1",
        f"--ioengine={'gfapi_async' if name == 'fio-async' else 'gfapi'}",
        f"--volume={row.volume}",
        f"--brick={house.server}",
        f"--filename={row.image}",
        f"--size={row.size}",
        f"--bs={row.block}",
        f"--iodepth={row.depth}",
        f"--rw={'rand' if row.random else ''}{mode}",
        *more,
    ]
    if row.access == "mix":
        arguments.append(f"--rwmixread={row.read_percent}")
    if row.flush_every:
        arguments.append(f"--fsync={row.flush_every}")
    environment = dict(os.environ, LD_PRELOAD=str(house.programs / "nofini.so"))
    text, usage = run(arguments, environment, seconds=house.seconds * 10 + 60)
    return json.loads(text[text.index("{") :])["jobs"][0], usage


# --- without any storage ------------------------------------------------------------------------


def without_storage(house):
    return dict(os.environ, LD_LIBRARY_PATH=str(house.programs / "fake"))


def storage_free(house, name, row):
    environment = without_storage(house)
    text, usage = run(
        [*command(house, name, row, "--storage-free"), "--seconds", str(house.seconds)],
        environment,
        seconds=house.seconds + 60,
    )
    return {**json.loads(text), "process_cpu_s": seconds_of(usage)}


# --- where the time of one read goes -------------------------------------------------------------

STAGED_READS = 5000  # more than benches/stages.c looks at


def stages(house, name, row):
    found = house.programs / "stages.json"
    found.unlink(missing_ok=True)
    os.environ["STAGES"] = str(found)
    try:
        if name == "qemu":
            if isinstance(house.qemu, str):
                raise Unavailable(house.qemu)
            _bench(house, row, STAGED_READS, house.qemu.modules, "stages.so")
        else:
            environment = dict(os.environ, LD_PRELOAD=str(house.programs / "stages.so"))
            run(command(house, name, row, "--seconds", "3"), environment, seconds=60)
    finally:
        del os.environ["STAGES"]
    try:
        result = json.loads(found.read_text())
    except OSError:
        raise Failed(f"{name} made fewer than {STAGED_READS} reads in 3 s") from None
    times = {key: value / 1e3 for key, value in result.items() if key.endswith("_ns")}
    return {"calls": result["calls"], "whole_us": sum(times.values())} | {
        key.replace("_ns", "_us"): value for key, value in times.items()
    }


RUNNERS = {"qemu": qemu, "qemu-ours": qemu, "qemu-io": qemu_io, "fio": fio, "fio-async": fio}


def runner(name):
    return RUNNERS.get(name, own)
