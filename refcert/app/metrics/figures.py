"""Figures of the metrics as plain coordinates: robust accuracy as a band, and every sample's sandwich."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from refcert.app.report.axes import TICKS, WIDTH, Axis, Tick, multiples, nice_step, plain, ticks

_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 20.0, 14.0, 46.0
_WIDE: Final = 2 * WIDTH + 60
_WIDE_HEIGHT: Final = 320.0
_QUARTERS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
_SPREAD: Final = 0.8


@dataclass(frozen=True)
class Band:
    """Robust accuracy against the radius: an area between two falling step curves, and more curves in front of it."""

    name: str
    title: str
    description: str
    x_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    area: str
    curves: tuple[tuple[str, str, str], ...]
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str
    width: float = _WIDE
    height: float = _WIDE_HEIGHT
    left: float = _LEFT
    right: float = _WIDE - _RIGHT
    top: float = _TOP
    bottom: float = _WIDE_HEIGHT - _BOTTOM


@dataclass(frozen=True)
class Column:
    """One sample: its bar from `low` up to `high`, the mark of each attack (slot, place), the score's place if any."""

    x: float
    low: float
    high: float
    open_end: bool
    marks: tuple[tuple[int, float], ...]
    score: float | None
    label: str


@dataclass(frozen=True)
class Sandwiches:
    """Every sample's sandwich, in order of the certified radius."""

    name: str
    title: str
    description: str
    x_label: str
    y_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    columns: tuple[Column, ...]
    thickness: float
    mark: float
    keys: tuple[tuple[str, str], ...]
    note: str
    width: float = _WIDE
    height: float = _WIDE_HEIGHT
    left: float = _LEFT
    right: float = _WIDE - _RIGHT
    top: float = _TOP
    bottom: float = _WIDE_HEIGHT - _BOTTOM


def band(result: Mapping[str, Any]) -> Band:
    """The object of `refcert metrics --json` as its first figure."""
    samples = [s for s in result["samples"] if s["certified"] is not None]
    count = len(samples)
    standing = [s for s in samples if s["attack"] is None or s["attack"] > 0]
    certified = [s["certified"] for s in standing]
    attack = [math.inf if s["attack"] is None else s["attack"] for s in standing]
    x, marks, step = _radius_axis([*certified, *attack], _LEFT, _WIDE - _RIGHT)
    y = Axis(0.0, 1.0, _WIDE_HEIGHT - _BOTTOM, _TOP)
    low, high = _steps(certified, count, x, y), _steps(attack, count, x, y)
    curves = [("by attacks: not above", "attack", _path(high)), ("certified: not below", "certified", _path(low))]
    if standing and "score" in standing[0]:
        scores = [math.inf if s["score"] is None else s["score"] for s in samples if s["score"] != 0]
        name = next(side["name"] for side in result["estimators"] if side["is"] == "estimate")
        curves.append((f"{name}: an estimate", "score", _path(_steps(scores, count, x, y))))
    rows = tuple(
        (
            plain(mark, step),
            f"{sum(c >= mark for c in certified) / count:.1%}",
            f"{sum(a > mark for a in attack) / count:.1%}",
        )
        for mark in marks
    )
    return Band(
        "band",
        "Robust accuracy",
        f"A band between two falling step curves over {count} samples: the true robust accuracy lies in it at every "
        f"radius. At radius 0 it is {len(standing) / count:.1%}.",
        f"radius ({result['data']['unit']})",
        ticks(x),
        tuple(Tick(y.at(v), f"{v * 100:.0f} %") for v in _QUARTERS),
        _path(high) + "L" + "L".join(f"{a:g} {b:g}" for a, b in reversed(low)) + "Z",
        tuple(curves),
        ("radius", "certified", "by attacks"),
        rows,
        f"Share of all {count} samples whose true radius is above the radius below: it lies in the band.",
    )


def sandwiches(result: Mapping[str, Any]) -> Sandwiches | None:
    """Its second figure, None where every sample is misclassified."""
    samples = [s for s in result["samples"] if s["certified"] is not None and s["attack"] != 0]
    if not samples:
        return None
    samples.sort(key=lambda s: (s["certified"], s["attack"] or math.inf))
    methods = list(samples[0]["attacks"])
    values = [value for s in samples for value in (s["certified"], s["attack"], s.get("score")) if value is not None]
    top = max(values) or 1.0
    step = nice_step(top, TICKS)
    y = Axis(0.0, step * max(1, math.ceil(top / step * (1 - 1e-12))), _WIDE_HEIGHT - _BOTTOM, _TOP)
    pitch = (_WIDE - _RIGHT - _LEFT) / len(samples)
    columns, beyond = [], 0
    for k, s in enumerate(samples):
        open_end = s["attack"] is None
        finds = [(methods.index(m), a) for m, a in s["attacks"].items() if a is not None]
        beyond += sum(a > y.high for _, a in finds)
        marks = tuple((slot, y.at(a)) for slot, a in finds if a <= y.high)
        score = s.get("score")
        upper = y.end if open_end else y.at(s["attack"])
        columns.append(
            Column(
                round(_LEFT + (k + 0.5) * pitch, 2),
                y.at(s["certified"]),
                upper,
                open_end,
                marks,
                None if score is None else y.at(score),
                f"sample {s['index']}: certified {s['certified']:.4g}, attack "
                + ("none found" if open_end else f"{s['attack']:.4g}"),
            )
        )
    keys = [("certified", "certified: not below")]
    keys += [(f"k{slot % 7}", f"{method}: not above") for slot, method in enumerate(methods)]
    keys += [("score", "score: an estimate")] if any("score" in s for s in samples) else []
    places = Axis(0.5, len(samples) + 0.5, _LEFT, _WIDE - _RIGHT)
    every = max(1.0, nice_step(float(len(samples)), 2 * TICKS))
    left_out = sum(s["certified"] is not None and s["attack"] == 0 for s in result["samples"])
    return Sandwiches(
        "sandwiches",
        "Every sample's sandwich",
        f"Upright bars of {len(samples)} samples from the certified radius up to the least radius of an attack.",
        "sample, in order of the certified radius",
        f"radius ({result['data']['unit']})",
        tuple(Tick(places.at(v), f"{v:g}") for v in multiples(1.0, float(len(samples)), every)),
        ticks(y),
        tuple(columns),
        round(max(0.75, min(9.0, pitch * _SPREAD)), 2),
        round(max(1.5, min(5.0, pitch * _SPREAD)), 2),
        tuple(keys),
        "The true radius of a sample lies in its bar."
        + (" Where no attack found anything, the bar is open above." if any(c.open_end for c in columns) else "")
        + (f" {beyond} larger finds of single attacks are above the figure." if beyond else "")
        + (f" Left out: {left_out} misclassified, whose radius is 0." if left_out else ""),
    )


def _radius_axis(values: Sequence[float], start: float, end: float) -> tuple[Axis, list[float], float]:
    """Up to the largest radius that is not infinite."""
    top = max((value for value in values if math.isfinite(value)), default=0.0) or 1.0
    step = nice_step(top, TICKS)
    axis = Axis(0.0, step * max(1, math.ceil(top / step * (1 - 1e-12))), start, end)
    return axis, multiples(0.0, axis.high, step), step


def _steps(values: Sequence[float], total: int, x: Axis, y: Axis) -> list[tuple[float, float]]:
    """Corners of the falling curve: the share of all whose value is not passed yet."""
    points = [(x.start, y.at(len(values) / total))]
    for k, value in enumerate(sorted(v for v in values if math.isfinite(v))):
        points += [(x.at(value), points[-1][1]), (x.at(value), y.at((len(values) - k - 1) / total))]
    return [*points, (x.end, points[-1][1])]


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{a:g} {b:g}" for a, b in points)
