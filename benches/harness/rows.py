# SPDX-License-Identifier: GPL-2.0-or-later
"""What is measured: a row is one workload, those who compete in it, and the goals set for it."""

import dataclasses
from dataclasses import dataclass

KIB, MIB = 1 << 10, 1 << 20
VOLUMES = ("plain", "rep3", "sharded")
SIZE = 512 * MIB
SMALL_SIZE = 16 * MIB  # of each image where there are many


@dataclass(frozen=True)
class Goal:
    """`metric` of `who` is at least (or at most) `ratio` times that of `versus`, or `limit`."""

    metric: str
    who: str
    relation: str
    ratio: float
    versus: str = ""

    def text(self):
        if self.versus:
            return f"{self.metric} of {self.who} {self.relation} {self.ratio:g} x {self.versus}"
        return f"{self.metric} of {self.who} {self.relation} {self.ratio:g}"


@dataclass(frozen=True)
class Row:
    name: str
    contestants: tuple
    goals: tuple = ()
    kind: str = "io"  # io, turns, open, many, stages, free (storage free) or free-turns
    volume: str = "plain"
    access: str = "read"  # read, write or mix
    random: bool = True
    block: int = 4 * KIB
    depth: int = 32
    flush_every: int = 0
    images: int = 1
    threads: int = 1
    series: str = ""  # rows of one series differ in depth and make a plot
    default: bool = True

    @property
    def size(self):
        return SMALL_SIZE if self.images > 1 else SIZE

    @property
    def image(self):
        """What is written by contestants of other houses carries no stamps to be checked."""
        if self.images > 1:
            return "many.img"
        return "read.img" if self.access == "read" else "write.img"

    @property
    def storage_free(self):
        return self.kind.startswith("free")

    @property
    def files(self):
        """(volume, image, its size, how many of them): what has to be there before."""
        if self.storage_free:
            return []
        one = dataclasses.replace(self, images=1)
        needed = [(self.volume, self.image, self.size, self.images)]
        return needed + ([(one.volume, one.image, one.size, 1)] if self.kind == "many" else [])

    @property
    def step(self):
        """Blocks from one request to the next. qemu-img bench knows no random access, only a
        constant step; one near the golden ratio, and odd, visits every block once before any
        twice, each far from the last ones. So every contestant (but fio, which draws lots
        without repeating a block) takes these steps."""
        return round(self.size // self.block * 0.6180339887) | 1 if self.random else 1

    @property
    def read_percent(self):
        return {"read": 100, "write": 0, "mix": 70}[self.access]


READERS = ("qemu", "qemu-ours", "fio-async", "fio", "plain-default", "plain", "pipe2013", "ours")
WRITERS = (
    "qemu",
    "qemu-ours",
    "fio-async",
    "plain-default",
    "plain",
    "plain-through",
    "pipe2013",
    "ours",
    "ours-through",
)


def cpu(ratio, who="ours"):
    return Goal("cpu_us", who, "<=", ratio, "qemu")


def iops(ratio, who="ours"):
    return Goal("iops", who, ">=", ratio, "qemu")


def name_of(volume, block, access, random, depth, flush_every=0):
    size = f"{block // MIB}m" if block >= MIB else f"{block // KIB}k"
    order = "mix" if access == "mix" else f"{'rand' if random else 'seq'}{access}"
    return f"{volume}-{size}-{order}-d{depth}" + (f"-fsync{flush_every}" if flush_every else "")


def io_row(volume="plain", access="read", random=True, block=4 * KIB, depth=32, goals=(), **more):
    name = name_of(volume, block, access, random, depth, more.get("flush_every", 0))
    contestants = READERS if access == "read" else WRITERS
    return Row(
        name,
        contestants,
        tuple(goals),
        volume=volume,
        access=access,
        random=random,
        block=block,
        depth=depth,
        **more,
    )


def goal_rows():
    yield Row(
        "added-cpu",
        ("plain", "plain-eventfd", "ours"),
        (Goal("cpu_us", "ours", "<=", 1.03, "plain"),),
        kind="turns",
    )
    yield io_row(goals=[iops(2.0), cpu(0.35)], series="plain-4k-randread")
    yield io_row(
        access="write",
        goals=[iops(1.5, "ours-through"), cpu(0.35, "ours-through")],
        series="plain-4k-randwrite",
    )
    yield io_row(random=False, goals=[iops(4.0)])
    for volume in ("plain", "rep3"):
        yield io_row(volume, "write", random=False, goals=[iops(1.5), iops(1.0, "ours-through")])
    yield io_row("rep3", goals=[iops(1.25), cpu(0.7)])
    yield io_row(
        "rep3",
        "write",
        goals=[iops(1.15), cpu(0.7), iops(1.15, "ours-through"), cpu(0.7, "ours-through")],
    )
    for block in (128 * KIB, MIB):
        for volume in VOLUMES:
            for access in ("read", "write"):
                yield io_row(
                    volume, access, random=False, block=block, depth=8, goals=[iops(1.1), cpu(0.7)]
                )
    yield io_row(
        depth=1, goals=[Goal("mean_us", "ours", "<=", 0.8, "qemu")], series="plain-4k-randread"
    )
    for depth in (8, 128):
        yield io_row(depth=depth, series="plain-4k-randread")
    for depth, ratio in ((64, 8.0), (1, 1.0)):
        yield Row(
            f"storage-free-d{depth}",
            ("plain-spin", "plain", "pipe2013", "ours"),
            (Goal("iops", "ours", ">=", ratio, "pipe2013"),),
            kind="free",
            depth=depth,
        )
    yield Row(
        "statistics-overhead",
        ("ours-uncounted", "ours"),
        (Goal("cpu_us", "ours", "<=", 1.02, "ours-uncounted"),),
        kind="turns",
    )
    for depth in (64, 1):
        yield Row(
            f"statistics-overhead-storage-free-d{depth}",
            ("ours-uncounted", "ours"),
            (Goal("iops", "ours", ">=", 0.98, "ours-uncounted"),),
            kind="free-turns",
            depth=depth,
        )
    yield Row(
        "images",
        ("plain", "ours"),
        (Goal("threads_more", "ours", "<=", 0), Goal("kib_per_image", "ours", "<=", 512)),
        kind="many",
        depth=1,
        images=64,
    )
    yield Row("stages", ("qemu", "pipe2013", "plain", "ours"), kind="stages", depth=1)
    yield Row(
        "open-close",
        ("qemu", "plain-default", "ours"),
        (Goal("open_again_ms", "ours", "<=", 5), Goal("close_last_ms", "ours", "<=", 5)),
        kind="open",
        images=2,
    )


def full_rows():
    for volume in VOLUMES:
        for access, random in (
            ("read", True),
            ("write", True),
            ("read", False),
            ("write", False),
            ("mix", True),
        ):
            for depth in (1, 8, 32, 128):
                order = "mix" if access == "mix" else f"{'rand' if random else 'seq'}{access}"
                yield io_row(
                    volume,
                    access,
                    random,
                    depth=depth,
                    series=f"{volume}-4k-{order}",
                    default=False,
                )
        for depth in (1, 8):
            yield io_row(volume, "write", depth=depth, flush_every=16, default=False)
        for block in (128 * KIB, MIB):
            for access in ("read", "write"):
                for depth in (1, 32):
                    yield io_row(
                        volume, access, random=False, block=block, depth=depth, default=False
                    )
    for images in (1, 4, 16, 64):
        yield Row(
            f"plain-{images}-images",
            ("plain", "pipe2013", "ours"),
            depth=4,
            images=images,
            default=False,
        )
    for threads in (1, 2, 4):
        yield Row(
            f"plain-{threads}-threads",
            ("plain", "ours"),
            depth=32,
            images=4,
            threads=threads,
            default=False,
        )


def all_rows():
    """The goals' rows first; of two with the same name the first counts."""
    rows = {}
    for row in (*goal_rows(), *full_rows()):
        rows.setdefault(row.name, row)
    return list(rows.values())
