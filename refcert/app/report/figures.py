"""Figures as plain coordinates; `figures.html` draws them as inline SVG.

Drawn by hand and not by a plotting library, so that they follow the page's colours (light, dark, print), their text
is text, and the same run gives the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from refcert.app.report.axes import HEIGHT, TICKS, WIDTH, Axis, Tick, multiples, nice_step, plain, ticks

_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 20.0, 14.0, 46.0
_MOST_BINS: Final = 16
# Room that the word "median" needs right of its line.
_WORD: Final = 56.0


@dataclass(frozen=True)
class Bar:
    """A filled rectangle; `kind` is its class in the style sheet."""

    x: float
    y: float
    width: float
    height: float
    kind: str


@dataclass(frozen=True)
class Line:
    """A straight line with a label near its start."""

    x1: float
    y1: float
    x2: float
    y2: float
    label: str
    label_x: float
    label_y: float
    anchor: str


@dataclass(frozen=True)
class Figure:
    """One chart, and the numbers behind it as a table."""

    name: str
    title: str
    description: str
    x_label: str
    y_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    bars: tuple[Bar, ...]
    path: str
    lines: tuple[Line, ...]
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    width: float = WIDTH
    height: float = HEIGHT
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    top: float = _TOP
    bottom: float = HEIGHT - _BOTTOM


def histogram(
    values: Sequence[float],
    *,
    name: str,
    title: str,
    x_label: str,
    noun: str,
    split_at_zero: bool = False,
    mark: tuple[float, str] | None = None,
    least_step: float = 0.0,
) -> Figure:
    """How often values fall in bins of a round width; zero is always an edge, so no bin has both signs.

    mark: a value among them with its name, for a line; least_step: no bin is narrower.
    """
    low, high = min(values), max(values)
    if split_at_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    step = max(nice_step(high - low or abs(high), _MOST_BINS), least_step)
    first = math.floor(low / step)
    last = max(math.floor(high / step) + 1, first + 1)
    counts = [0] * (last - first)
    for value in values:
        counts[min(max(math.floor(value / step) - first, 0), len(counts) - 1)] += 1
    x = Axis(first * step, last * step, _LEFT, WIDTH - _RIGHT)
    y_step = float(math.ceil(nice_step(max(counts), TICKS)))
    y = Axis(0.0, y_step * math.ceil(max(counts) / y_step), HEIGHT - _BOTTOM, _TOP)
    bars, rows = [], []
    for k, number in enumerate(counts):
        start, end = (first + k) * step, (first + k + 1) * step
        rows.append((f"{plain(start, step)} to {plain(end, step)}", str(number)))
        if number:
            kind = "below" if split_at_zero and start < 0 else "above"
            left, right, top = x.at(start) + 0.75, x.at(end) - 0.75, y.at(number)
            bars.append(Bar(round(left, 2), top, round(right - left, 2), round(y.start - top, 2), kind))
    lines = []
    if split_at_zero:
        zero = x.at(0.0)
        lines.append(Line(zero, _TOP - 6, zero, y.start, "", zero, _TOP, "start"))
    if mark is not None:
        lines.append(_marked(x.at(mark[0]), mark[1], x, y))
    fullest = max(range(len(counts)), key=counts.__getitem__)
    return Figure(
        name,
        title,
        f"Histogram of {len(values)} {noun}, from {min(values):.4g} to {max(values):.4g}; "
        f"the fullest bin is {rows[fullest][0]} with {counts[fullest]}.",
        x_label,
        f"number of {noun}",
        ticks(x),
        tuple(Tick(y.at(v), f"{v:g}") for v in multiples(0.0, y.high, y_step)),
        tuple(bars),
        "",
        tuple(lines),
        (x_label, noun),
        tuple(rows),
    )


def _marked(place: float, name: str, x: Axis, y: Axis) -> Line:
    """An upright line, its name on the side where there is room."""
    left_side = place > x.end - _WORD
    at = place - 4 if left_side else place + 4
    return Line(place, y.end - 6, place, y.start, name, at, y.end + 2, "end" if left_side else "start")


def share_curve(
    radii: Sequence[float], total: int, *, x_label: str, median: float, counted: str = "correct samples"
) -> Figure:
    """Share of all `total` samples with a certified radius of at least r; `radii` of those that are counted."""
    ordered = sorted(radii)
    highest = ordered[-1] or 1.0
    step = nice_step(highest, TICKS)
    x = Axis(0.0, step * math.ceil(highest / step * (1 + 1e-9)), _LEFT, WIDTH - _RIGHT)
    y = Axis(0.0, 1.0, HEIGHT - _BOTTOM, _TOP)

    def reached(r: float) -> int:
        return sum(radius >= r for radius in ordered)

    clean = y.at(len(ordered) / total)
    pieces = [f"M{x.start:g} {clean:g}"]
    for k, radius in enumerate(ordered):  # right to this radius, then down by one sample
        pieces.append(f"H{x.at(radius):g}V{y.at((len(ordered) - k - 1) / total):g}")
    pieces.append(f"H{x.end:g}")
    middle = x.at(median)
    # The curve is above the label's place left of the median and below it on the right.
    left_side = middle > x.end - _WORD
    line = Line(
        middle,
        y.end,
        middle,
        y.start,
        "median",
        middle - 4 if left_side else middle + 4,
        y.start - 8 if left_side else y.end + 10,
        "end" if left_side else "start",
    )
    marks = multiples(0.0, x.high, step)
    return Figure(
        "shares",
        "Share of samples certified at radius r",
        f"A falling step curve: it starts with the {len(ordered)} {counted} of {total} samples at r = 0, "
        f"half of these are certified up to {median:.4g}, the last up to {highest:.4g}.",
        x_label,
        "share of all samples",
        ticks(x),
        tuple(Tick(y.at(v), f"{v * 100:.0f} %") for v in (0.0, 0.25, 0.5, 0.75, 1.0)),
        (),
        "".join(pieces),
        (line,),
        ("radius r", "samples certified", "share"),
        tuple((plain(r, step), f"{reached(r)} of {total}", f"{reached(r) / total:.1%}") for r in marks),
    )
