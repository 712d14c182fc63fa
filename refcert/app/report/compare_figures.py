"""Figures of a comparison as plain coordinates: horizontal bars by relaxation, and one falling curve for each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from refcert.app.report.axes import HEIGHT, TICKS, WIDTH, Axis, Tick, multiples, nice_step, plain, ticks

_ROW: Final = 30.0
_BAR: Final = 17.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 84.0, 64.0, 6.0, 44.0
_CURVE_LEFT, _CURVE_RIGHT, _CURVE_TOP = 46.0, 20.0, 14.0
_CURVE_HEIGHT: Final = HEIGHT + 30
# Round numbers of a logarithmic axis, within a power of ten.
_ROUND: Final = (1.0, 2.0, 5.0)
_FEW_DECADES: Final = 2.0


@dataclass(frozen=True)
class BarRow:
    """One bar with its label and value; slot numbers the relaxation. low, high: ends of the whisker, if any."""

    label: str
    slot: int
    middle: float
    y: float
    width: float
    text: str
    text_x: float
    whisker: tuple[float, float] | None = None


@dataclass(frozen=True)
class BarChart:
    """Horizontal bars, one a relaxation, and the numbers behind them as a table."""

    name: str
    title: str
    description: str
    x_label: str
    x_ticks: tuple[Tick, ...]
    bars: tuple[BarRow, ...]
    note: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    height: float
    bottom: float
    bar: float = _BAR
    width: float = WIDTH
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    top: float = _TOP


@dataclass(frozen=True)
class Curve:
    """A falling step curve of one relaxation."""

    label: str
    slot: int
    path: str


@dataclass(frozen=True)
class CurveChart:
    """One curve a relaxation over common axes, and the numbers behind them as a table."""

    name: str
    title: str
    description: str
    x_label: str
    y_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    curves: tuple[Curve, ...]
    zero: float | None
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    width: float = WIDTH
    height: float = _CURVE_HEIGHT
    left: float = _CURVE_LEFT
    right: float = WIDTH - _CURVE_RIGHT
    top: float = _CURVE_TOP
    bottom: float = _CURVE_HEIGHT - 46.0


@dataclass(frozen=True)
class Bars:
    """What a bar chart shows: a value for each label, None where there is none; spread: quartiles for whiskers."""

    labels: Sequence[str]
    values: Sequence[float | None]
    show: Callable[[float], str]
    spread: Sequence[tuple[float, float] | None] | None = None


def bar_chart(
    bars: Bars, *, name: str, title: str, x_label: str, header: str, note: str = "", log_from_one: bool = False
) -> BarChart:
    """Bars from 0, or on a logarithmic axis from 1 for values that are at least 1."""
    spread = bars.spread if bars.spread is not None else [None] * len(bars.labels)
    reach = [*(v for v in bars.values if v is not None), *(high for pair in spread if pair for high in pair[1:])]
    start, end = _LEFT, WIDTH - _RIGHT
    if log_from_one:
        at, marks = _log_axis(max(reach, default=1.0), start, end)
    else:
        step = nice_step(max(reach, default=0.0) or 1.0, TICKS - 1)
        axis = Axis(0.0, step * max(1, math.ceil(max(reach, default=0.0) / step * (1 - 1e-12))), start, end)
        at, marks = axis.at, ticks(axis)
    rows = []
    for slot, (label, value, pair) in enumerate(zip(bars.labels, bars.values, spread, strict=True)):
        middle = _TOP + (slot + 0.5) * _ROW
        tip = start if value is None else at(value)
        whisker = None if pair is None else (at(pair[0]), at(pair[1]))
        rows.append(
            BarRow(
                label,
                slot,
                middle,
                middle - _BAR / 2,
                round(tip - start, 2),
                "none" if value is None else bars.show(value),
                max(tip, whisker[1] if whisker else tip) + 5,
                whisker,
            )
        )
    bottom = _TOP + len(rows) * _ROW
    return BarChart(
        name,
        title,
        "; ".join(f"{row.label} {row.text}" for row in rows) + ".",
        x_label,
        marks,
        tuple(rows),
        note,
        ("relaxation", header),
        tuple((row.label, row.text) for row in rows),
        bottom + _BOTTOM,
        bottom,
    )


def _log_axis(largest: float, start: float, end: float) -> tuple[Callable[[float], float], tuple[Tick, ...]]:
    decades = math.log10(max(largest, 1.0))
    marks = [m * 10.0**k for k in range(math.ceil(decades) + 1) for m in _ROUND]
    high = next(mark for mark in marks[1:] if mark >= largest * (1 - 1e-9))
    shown = [m for m in marks if m <= high and (math.log10(high) <= _FEW_DECADES or math.log10(m) % 1 == 0)]

    def at(value: float) -> float:
        return round(start + math.log(max(value, 1.0)) / math.log(high) * (end - start), 2)

    return at, tuple(Tick(at(mark), f"{mark:g}") for mark in shown)


def share_curves(
    labels: Sequence[str],
    values: Sequence[Sequence[float]],
    total: int,
    *,
    name: str,
    title: str,
    x_label: str,
    symbol: str,
    from_zero: bool,
) -> CurveChart:
    """Share of all `total` samples whose value is at least x, one curve a label."""
    everything = [value for mine in values for value in mine]
    low = 0.0 if from_zero else min([0.0, *everything])
    high = max([0.0, *everything])
    if high <= low:
        high = low + 1.0
    step = nice_step(high - low, TICKS)
    x = Axis(
        step * math.floor(low / step + 1e-9),
        step * max(1, math.ceil(high / step - 1e-9)),
        _CURVE_LEFT,
        WIDTH - _CURVE_RIGHT,
    )
    y = Axis(0.0, 1.0, _CURVE_HEIGHT - 46.0, _CURVE_TOP)
    curves = []
    for slot, (label, mine) in enumerate(zip(labels, values, strict=True)):
        ordered = sorted(mine)
        pieces = [f"M{x.start:g} {y.at(len(ordered) / total):g}"]
        for k, value in enumerate(ordered):
            pieces.append(f"H{x.at(value):g}V{y.at((len(ordered) - k - 1) / total):g}")
        curves.append(Curve(label, slot, "".join(pieces)))
    marks = multiples(x.low, x.high, step)
    return CurveChart(
        name,
        title,
        f"Falling step curves over {total} samples, one for each of {', '.join(labels)}.",
        x_label,
        f"share of all samples whose {symbol} is at least the value below",
        ticks(x),
        tuple(Tick(y.at(v), f"{v * 100:.0f} %") for v in (0.0, 0.25, 0.5, 0.75, 1.0)),
        tuple(curves),
        None if from_zero or low == 0 else x.at(0.0),
        (f"{symbol} at least", *labels),
        tuple(
            (plain(mark, step), *(f"{sum(value >= mark for value in mine) / total:.1%}" for mine in values))
            for mark in marks
        ),
    )
