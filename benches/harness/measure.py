# SPDX-License-Identifier: GPL-2.0-or-later
"""One round of one row: who runs in which order, and what each has measured."""

import copy
import json
import subprocess
from collections import defaultdict
from dataclasses import replace

from . import contestants
from .build import Unavailable
from .contestants import Turns, own
from .machine import Failed, run

TURNS, TURN_SECONDS = 10, 0.4
MANY = 64


def rotated(names, round_number):
    """Each contestant follows each other one about as often as it precedes it."""
    start = round_number % len(names)
    order = list(names[start:]) + list(names[:start])
    return order if round_number // len(names) % 2 == 0 else order[::-1]


class Book:
    """Results by row and contestant, a list with one dictionary per round."""

    def __init__(self):
        self.results = defaultdict(lambda: defaultdict(list))
        self.skipped = {}  # (row, contestant) -> why
        self.failed = []

    def add(self, row, name, round_number, result):
        result.pop("contestant", None)
        self.results[row.name][name].append({"round": round_number, **result})


def measure(house, weather, row, round_number, book):
    kinds = {
        "turns": take_turns,
        "many": many_images,
        "open": open_and_close,
        "free": contestants.storage_free,
        "stages": contestants.stages,
    }
    if row.kind in ("turns", "free-turns"):
        take_turns(house, weather, row, round_number, book)
        return
    for name in rotated(row.contestants, round_number):
        if (row.name, name) in book.skipped:
            continue
        before = weather.look()
        try:
            result = kinds.get(row.kind, one_run)(house, name, row)
        except Unavailable as why:
            book.skipped[row.name, name] = str(why)
            continue
        except (Failed, subprocess.SubprocessError) as why:
            book.failed.append(f"{row.name}, {name}, round {round_number + 1}: {why}")
            continue
        result.update(weather.since(before))
        if "ops" in result:
            result["brick_us"] = result["daemons_s"] / result["ops"] * 1e6
        book.add(row, name, round_number, result)


def one_run(house, name, row):
    return contestants.runner(name)(house, name, row)


def take_turns(house, weather, row, round_number, book):
    """Many short turns, all connections open: what the machine does besides hits every contestant
    alike. For differences of a few per cent."""
    turns = Turns(house, row.contestants, row)
    try:
        for name in row.contestants:
            turns.turn(name, 0.2)
        got = defaultdict(list)
        for number in range(TURNS):
            for name in rotated(row.contestants, number + round_number):
                before = weather.look()
                result = turns.turn(name, TURN_SECONDS)
                cpu = result["cpu_us"] * result["ops"] / 1e6
                got[name].append({**result, **weather.since(before, running=cpu)})
        for name, results in got.items():
            book.add(row, name, round_number, pooled(results))
    except Failed as why:
        book.failed.append(f"{row.name}, round {round_number + 1}: {why}")
    finally:
        turns.close()


def pooled(results):
    """Of several turns: rates per request weigh by requests, everything else is the mean."""
    ops, seconds = (sum(result[key] for result in results) for key in ("ops", "seconds"))
    whole = {"ops": ops, "seconds": seconds, "iops": ops / seconds}
    for key in results[0]:
        if key in whole or not isinstance(results[0][key], (int, float)):
            continue
        per_request = key in ("cpu_us", "user_us", "system_us", "mean_us", "sleeps")
        weight = [result["ops"] if per_request else 1 for result in results]
        whole[key] = sum(result[key] * w for result, w in zip(results, weight)) / sum(weight)
    return whole


def many_images(house, name, row):
    """What each further image costs."""
    short = copy.copy(house)
    short.seconds = min(house.seconds, 1.0)
    one, many = (own(short, name, replace(row, images=images, kind="io")) for images in (1, MANY))
    net = [result["rss_kib"] - result["buffer_kib"] for result in (one, many)]
    return {
        "rss_kib": many["rss_kib"],
        "threads": many["threads"],
        "iops": many["iops"],
        "cpu_us": many["cpu_us"],
        "threads_more": many["threads"] - one["threads"],
        "kib_per_image": (net[1] - net[0]) / (MANY - 1),
    }


def open_and_close(house, name, row):
    if name == "qemu":
        return contestants.qemu_open(house, row)
    text, _ = run(contestants.command(house, name, row, "--task", "open"), seconds=90)
    return json.loads(text)
