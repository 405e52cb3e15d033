# SPDX-License-Identifier: GPL-2.0-or-later
"""Line charts as SVG, by hand: both axes logarithmic, a whisker from lowest to highest round at each
point."""

import math
from html import escape

WIDTH, HEIGHT = 720, 440
LEFT, RIGHT, TOP, BOTTOM = 80, 170, 40, 50
COLOURS = ("#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf", "#7f7f7f")


def ticks(low, high):
    """1, 2 and 5 times the powers of ten that lie within."""
    power = math.floor(math.log10(low))
    while 10**power <= high:
        for digit in (1, 2, 5):
            if low <= digit * 10**power <= high:
                yield digit * 10**power
        power += 1


def label(value):
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"


class Axis:
    def __init__(self, found, start, end):
        self.low, self.high = min(found), max(found)
        if self.low == self.high:
            self.low, self.high = self.low / 2, self.high * 2
        self.start, self.end = start, end

    def __call__(self, value):
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)


def chart(title, x_title, y_title, series):
    """`series`: name -> [(x, median, lowest, highest)], all above zero."""
    points = [point for line in series.values() for point in line]
    x = Axis([point[0] for point in points], LEFT, WIDTH - RIGHT)
    y = Axis(
        [point[2] * 0.9 for point in points] + [point[3] * 1.1 for point in points],
        HEIGHT - BOTTOM,
        TOP,
    )
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
        ' font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="15">{escape(title)}</text>',
    ]
    for value in ticks(y.low, y.high):
        out.append(
            f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
            f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{label(value)}</text>'
        )
    for value in sorted({point[0] for point in points}):
        out.append(
            f'<path d="M{x(value):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#eee"/>'
            f'<text x="{x(value):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{label(value)}</text>'
        )
    out.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">{escape(x_title)}</text>'
    )
    out.append(
        f'<text transform="translate(18 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_title)}</text>"
    )
    for number, (name, line) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        line = sorted(line)
        path = "L".join(f"{x(at):.1f} {y(middle):.1f}" for at, middle, _, _ in line)
        out.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for at, middle, low, high in line:
            out.append(
                f'<path d="M{x(at):.1f} {y(low):.1f}V{y(high):.1f}" stroke="{colour}"/>'
                f'<circle cx="{x(at):.1f}" cy="{y(middle):.1f}" r="3" fill="{colour}"/>'
            )
        top = TOP + 10 + number * 20
        out.append(
            f'<path d="M{WIDTH - RIGHT + 12} {top}h22" stroke="{colour}" stroke-width="2"/>'
            f'<text x="{WIDTH - RIGHT + 40}" y="{top + 4}">{escape(name)}</text>'
        )
    return "\n".join([*out, "</svg>", ""])


def plots(where, rows, book):
    """One file per series of rows and metric; the paths."""
    made = []
    for series in dict.fromkeys(row.series for row in rows if row.series):
        members = [row for row in rows if row.series == series]
        for metric, title in (
            ("iops", "IOPS"),
            ("cpu_us", "client CPU per I/O, us"),
            ("p50_us", "p50 latency, us"),
            ("p99_us", "p99 latency, us"),
        ):
            lines = {}
            for row in members:
                for name, results in book.results[row.name].items():
                    found = sorted(result[metric] for result in results if result.get(metric))
                    if found:
                        point = (row.depth, found[len(found) // 2], found[0], found[-1])
                        lines.setdefault(name, []).append(point)
            if len({point[0] for line in lines.values() for point in line}) > 1:
                path = where / f"{series}-{metric}.svg"
                path.write_text(chart(f"{series}: {title}", "requests in flight", title, lines))
                made.append(path)
    return made
