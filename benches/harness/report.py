# SPDX-License-Identifier: GPL-2.0-or-later
"""Medians with their range as a table, the goals and what became of them, everything as CSV."""

import csv
import statistics

COLUMNS = {  # by kind of row: metric, heading, digits
    "io": (
        ("iops", "IOPS", 0),
        ("cpu_us", "client CPU us", 1),
        ("p50_us", "p50 us", 0),
        ("p99_us", "p99 us", 0),
    ),
    "open": (
        ("open_cold_ms", "open ms", 1),
        ("open_second_ms", "2nd image", 2),
        ("close_last_ms", "close", 2),
        ("open_again_ms", "reopen", 1),
        ("open_and_close_ms", "both", 0),
    ),
    "many": (
        ("kib_per_image", "KiB per image", 0),
        ("threads", "threads", 0),
        ("threads_more", "more than for one", 0),
        ("rss_kib", "RSS KiB", 0),
    ),
}
COLUMNS["stages"] = (
    *(
        (f"{stage}_us", f"{stage} us", 1)
        for stage in ("submit", "send", "brick", "receive", "callback", "host", "whole")
    ),
    ("calls", "calls", 1),
)
COLUMNS["free"] = COLUMNS["io"]
COLUMNS["io"] = (*COLUMNS["io"], ("brick_us", "bricks' CPU us", 1))
COLUMNS["turns"] = (
    *COLUMNS["io"][:2],
    ("user_us", "user us", 1),
    ("system_us", "system us", 1),
    ("sleeps", "sleeps per I/O", 2),
)
COLUMNS["free-turns"] = (
    ("iops", "IOPS", 0),
    ("cpu_us", "client CPU us", 3),
    ("sleeps", "sleeps per I/O", 2),
)


def values(results, metric):
    return [result[metric] for result in results if result.get(metric) is not None]


def median(results, metric):
    found = values(results, metric)
    return statistics.median(found) if found else None


def cell(results, metric, digits):
    found = values(results, metric)
    if not found:
        return "-"
    middle = f"{statistics.median(found):.{digits}f}"
    return (
        middle if len(found) == 1 else f"{middle} [{min(found):.{digits}f}-{max(found):.{digits}f}]"
    )


def judge(goal, results):
    """(value, met, range over rounds), or None when somebody is missing."""
    mine = median(results.get(goal.who, []), goal.metric)
    if mine is None:
        return None
    if not goal.versus:
        return mine, compare(mine, goal), None
    theirs = median(results.get(goal.versus, []), goal.metric)
    if not theirs:
        return None
    other = {
        result["round"]: result[goal.metric]
        for result in results[goal.versus]
        if result.get(goal.metric)
    }
    pairs = [
        result[goal.metric] / other[result["round"]]
        for result in results[goal.who]
        if result["round"] in other and result.get(goal.metric) is not None
    ]
    return mine / theirs, compare(mine / theirs, goal), (min(pairs), max(pairs)) if pairs else None


def compare(value, goal):
    return value >= goal.ratio if goal.relation == ">=" else value <= goal.ratio


def verdict(goal, results):
    found = judge(goal, results)
    if found is None:
        return f"{goal.text()}: not measured"
    value, met, spread = found
    text = f"{goal.text()}: {value:.3g}" + ("x" if goal.versus else "")
    if spread:
        text += f" [{spread[0]:.3g}-{spread[1]:.3g}]"
    return text + (" - met" if met else " - SHORT OF IT")


def table(row, book):
    columns = COLUMNS[row.kind]
    results = book.results[row.name]
    lines = [["", *(heading for _, heading, _ in columns)]]
    for name in row.contestants:
        if (row.name, name) in book.skipped:
            lines.append([name, f"skipped: {book.skipped[row.name, name]}"])
        elif results.get(name):
            lines.append(
                [name, *(cell(results[name], metric, digits) for metric, _, digits in columns)]
            )
    whole = [line for line in lines if len(line) > 2]
    widths = [max(len(line[i]) for line in whole) for i in range(len(columns) + 1)]
    yield row.name
    for line in lines:
        yield (
            "  "
            + "  ".join(
                text.rjust(width) if i else text.ljust(width)
                for i, (text, width) in enumerate(zip(line, widths))
            )
            if len(line) > 2
            else f"  {line[0].ljust(widths[0])}  {line[1]}"
        )
    for goal in row.goals:
        yield f"  goal: {verdict(goal, results)}"
    foreign = [
        result["foreign"] for found in results.values() for result in found if "foreign" in result
    ]
    if foreign:
        yield (
            f"  others took {statistics.median(foreign):.0%} of the machine"
            f" [{min(foreign):.0%}-{max(foreign):.0%}]"
        )


def write_csv(where, rows, book):
    with open(where / "runs.csv", "w", newline="") as file:
        every = [
            {"row": row.name, "contestant": name, **result}
            for row in rows
            for name, results in book.results[row.name].items()
            for result in results
        ]
        keys = list(dict.fromkeys(key for line in every for key in line))
        writer = csv.DictWriter(file, keys)
        writer.writeheader()
        writer.writerows(every)
    with open(where / "medians.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "contestant", "metric", "median", "min", "max", "rounds"])
        for row in rows:
            for name, results in book.results[row.name].items():
                for metric in dict.fromkeys(
                    key for result in results for key in result if key != "round"
                ):
                    found = values(results, metric)
                    if found and all(isinstance(value, (int, float)) for value in found):
                        writer.writerow(
                            [
                                row.name,
                                name,
                                metric,
                                statistics.median(found),
                                min(found),
                                max(found),
                                len(found),
                            ]
                        )
    with open(where / "goals.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "goal", "value", "met"])
        for row in rows:
            for goal in row.goals:
                found = judge(goal, book.results[row.name])
                writer.writerow([row.name, goal.text(), *(found[:2] if found else ("", ""))])
