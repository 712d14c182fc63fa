"""Another tool's bounding planes, audited live: a small engine in numpy, and the faults that earlier tools had.

    refcert audit audit_another_engine:planes              in this folder: all proved
    refcert audit audit_another_engine:sampled             the same with a fault: refuted, with a point
    python audit_another_engine.py --fault sampled         the same, from anywhere

The engine bounds sigmoid and tanh by lines of equal slope (DeepPoly, Singh et al., POPL 2019), and their products by
McCormick's planes over these lines. Faults are functions of their own; each one has been seen in a published tool.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

Array = np.ndarray
Line = tuple[Array, Array]  # slope, offset
Plane = tuple[Array, Array, Array]  # slope_v, slope_z, offset

# The rounding of some ten operations, as a share of the numbers that went into a plane.
ROUNDING = 32 * np.finfo(np.float64).eps


def sigmoid(x: Array) -> Array:
    """Without overflow."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, e) / (1.0 + e)


def sigmoid_slope(x: Array) -> Array:
    """Its derivative, to a few last digits far out, too."""
    return sigmoid(x) * sigmoid(-x)


def tanh_slope(x: Array) -> Array:
    """Its derivative, to a few last digits far out, too."""
    e = np.exp(-2.0 * np.abs(x))
    return 4.0 * e / (1.0 + e) ** 2


def equal_slope_lines(value: Callable[[Array], Array], slope: Callable[[Array], Array], low: Array, high: Array):
    """The lower line through the left end, the upper one through the right end, with the smaller slope of both."""
    least = np.minimum(slope(low), slope(high))
    return (least, value(low) - least * low), (least, value(high) - least * high)


def relu_lines(low: Array, high: Array) -> tuple[Line, Line]:
    """Zero or the identity below, the chord above."""
    zero = np.zeros_like(low)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        chord = np.where(high > low, high / (high - low), 0.0)
    crossing = (low < 0) & (high > 0) & np.isfinite(chord)
    upper = np.where(low >= 0, 1.0, np.where(crossing, chord, 0.0))
    offset = np.where(low >= 0, 0.0, np.where(crossing, -chord * low, np.maximum(high, 0.0)))
    return (np.where(low >= 0, 1.0, 0.0), zero), (upper, offset)


def identity_lines(low: Array, high: Array) -> tuple[Line, Line]:
    """The identity, twice."""
    line = (np.ones_like(low), np.zeros_like(low))
    return line, line


LINES = {
    "sigmoid": lambda low, high: equal_slope_lines(sigmoid, sigmoid_slope, low, high),
    "tanh": lambda low, high: equal_slope_lines(np.tanh, tanh_slope, low, high),
    "relu": relu_lines,
    "identity": identity_lines,
}
VALUES = {"sigmoid": sigmoid, "tanh": np.tanh, "relu": lambda x: np.maximum(x, 0.0), "identity": lambda x: x}


def product_planes(second: str, box: tuple[Array, ...]) -> tuple[Plane, Plane]:
    """sigmoid(v) g(z) <= s1 g + g0 sigmoid - s1 g0 and >= s0 g + g0 sigmoid - s0 g0, then lines for both factors."""
    s_lines, g_lines = LINES["sigmoid"](*box[:2]), LINES[second](*box[2:])
    s_low, s_high = sigmoid(box[0]), sigmoid(box[1])
    g_low = VALUES[second](box[2])
    planes = []
    for upper, edge in ((False, s_low), (True, s_high)):
        of_g = g_lines[upper]
        # A positive factor takes the line of the same side, a negative one the other.
        same, other = s_lines[upper], s_lines[not upper]
        of_s = [np.where(g_low >= 0, a, b) for a, b in zip(same, other, strict=True)]
        planes.append((g_low * of_s[0], edge * of_g[0], edge * of_g[1] + g_low * of_s[1] - edge * g_low))
    return planes[0], planes[1]


def raw_planes(kind: str, *box: Array) -> tuple[Plane, Plane]:
    """The planes, rounded to nearest."""
    if kind.startswith("sigmoid_times_"):
        return product_planes(kind.removeprefix("sigmoid_times_"), box)
    (low_slope, low_offset), (high_slope, high_offset) = LINES[kind](box[0], box[1])
    zero = np.zeros_like(box[0])
    return (low_slope, zero, low_offset), (high_slope, zero, high_offset)


def outward(plane: Plane, sign: float, *box: Array) -> Plane:
    """The plane moved outward by a bound on its rounding errors."""
    slope_v, slope_z, offset = plane
    v, z = (np.maximum(np.abs(low), np.abs(high)) for low, high in (box[:2], box[2:]))
    size = 1.0 + np.abs(offset) + np.abs(slope_v) * v + np.abs(slope_z) * z + z
    return slope_v, slope_z, offset + sign * ROUNDING * size


def planes(kind: str, lower_v: Array, upper_v: Array, lower_z: Array, upper_z: Array) -> tuple[Plane, Plane]:
    """The engine as it should be: what refcert asks of it, see docs/audit.md."""
    box = (lower_v, upper_v, lower_z, upper_z)
    lower, upper = raw_planes(kind, *box)
    return outward(lower, -1.0, *box), outward(upper, 1.0, *box)


# The same engine with faults.


def sampled(kind: str, *box: Array) -> tuple[Plane, Plane]:
    """Slopes at will, offsets 'repaired' from a sample of 20 x 20 points."""
    slopes = [plane[:2] for plane in raw_planes(kind, *box)]
    share = np.linspace(0.0, 1.0, 20)[:, None]
    v, z = (low + (high - low) * share for low, high in (box[:2], box[2:]))
    first, _, second = kind.partition("_times_")
    surface = VALUES[first](v)[:, None] * (VALUES[second](z)[None] if second else 1.0)
    found = []
    for (slope_v, slope_z), best in zip(slopes, (np.min, np.max), strict=True):
        rest = surface - slope_v * v[:, None] - slope_z * z[None]
        found.append((slope_v, slope_z, best(rest, axis=(0, 1))))
    return found[0], found[1]


def zero_width(kind: str, *box: Array) -> tuple[Plane, Plane]:
    """On an interval without width the bound is the end itself, not the function's value there."""
    lower, upper = planes(kind, *box)
    if kind not in ("tanh", "sigmoid"):
        return lower, upper
    point, zero = box[0] == box[1], np.zeros_like(box[0])
    fixed = (zero, zero, box[0])
    return tuple(
        tuple(np.where(point, wrong, right) for wrong, right in zip(fixed, plane, strict=True))
        for plane in (lower, upper)
    )  # type: ignore[return-value]


def float32(kind: str, *box: Array) -> tuple[Plane, Plane]:
    """Tables of tangents in float32, not moved outward: they cross the curve by some 1e-8."""
    return raw_planes(kind, *(side.astype(np.float32) for side in box))


def in_place(kind: str, lower_v: Array, upper_v: Array, lower_z: Array, upper_z: Array) -> tuple[Plane, Plane]:
    """Narrow boxes are widened in the caller's own arrays."""
    narrow = upper_v - lower_v < 1e-3
    upper_v[narrow] += 1e-3
    return planes(kind, lower_v, upper_v, lower_z, upper_z)


def chord(kind: str, *box: Array) -> tuple[Plane, Plane]:
    """The slope of the chord, with a division by a width that can be zero."""
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = (np.tanh(box[1]) - np.tanh(box[0])) / (box[1] - box[0])
    lower, upper = planes(kind, *box)
    return (slope, *lower[1:]), upper


FAULTS = {function.__name__: function for function in (sampled, zero_width, float32, in_place, chord)}


def main() -> None:
    """Run `refcert audit` on the engine, with a fault if one is named; further options go to refcert."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fault", choices=sorted(FAULTS), help="default: none")
    chosen, more = parser.parse_known_args()
    from refcert.app.cli import main as refcert

    folder = Path(__file__).resolve().parent
    sys.path.insert(0, str(folder))
    sys.argv = ["refcert", "audit", f"audit_another_engine:{chosen.fault or 'planes'}", *more]
    refcert()


if __name__ == "__main__":
    main()
