"""Rules that draw the slopes of upper planes over given boxes: random ones, tangents, and planes with several contacts.

A rule takes the kind, the boxes v and z, each (count, 2), and a generator, and returns (count, 2): slope_v, slope_z.
The offset is found afterwards: a rule need not be exact. Lower planes are drawn on mirrored boxes by `planes`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from refcert.audit.families.surface import (
    Floats,
    factors,
    gradient,
    sigmoid,
    sigmoid_slope,
    top_along_v,
    top_along_z,
)

SlopeRule = Callable[[str, Floats, Floats, np.random.Generator], Floats]
PRODUCTS: Final = ("sigmoid_times_tanh", "sigmoid_times_identity")
_HALVINGS: Final = 60  # of a bracket: to the last bit
_BALANCING: Final = 12  # rounds of evening out the two axes in turn


def _random(kind: str, v: Floats, z: Floats, rng: np.random.Generator) -> Floats:
    return rng.uniform(-0.5, 1.0, (len(v), 2))


def _zero(kind: str, v: Floats, z: Floats, rng: np.random.Generator) -> Floats:
    return np.zeros((len(v), 2))


def _steep(kind: str, v: Floats, z: Floats, rng: np.random.Generator) -> Floats:
    drawn: Floats = rng.choice([-1.0, 1.0], (len(v), 2)) * 10.0 ** rng.uniform(0, 4, (len(v), 2))
    return drawn


def _inside(box: Floats, rng: np.random.Generator) -> Floats:
    share = rng.random(len(box))
    return np.clip(box[:, 0] * (1 - share) + box[:, 1] * share, box[:, 0], box[:, 1])


def _tangent(kind: str, v: Floats, z: Floats, rng: np.random.Generator) -> Floats:
    """Tangent to the surface at a point of the box."""
    return gradient(kind, _inside(v, rng), _inside(z, rng))


def _corner(kind: str, v: Floats, z: Floats, rng: np.random.Generator) -> Floats:
    """Tangent at a corner."""
    rows = np.arange(len(v))
    return gradient(kind, v[rows, rng.integers(2, size=len(v))], z[rows, rng.integers(2, size=len(v))])


def _float32(kind: str, v: Floats, z: Floats, rng: np.random.Generator) -> Floats:
    """Tangents as a float32 engine stores them."""
    return _tangent(kind, v, z, rng).astype(np.float32).astype(np.float64)


def _chord(kind: str, v: Floats, z: Floats, rng: np.random.Generator) -> Floats:
    """Through three corners (through both ends, in one dimension)."""
    rows = np.arange(len(v))
    at_v, at_z = (box[rows, rng.integers(2, size=len(v))] for box in (v, z))
    width_v, width_z = (box[:, 1] - box[:, 0] for box in (v, z))
    rise_v = _value(kind, v[:, 1], at_z) - _value(kind, v[:, 0], at_z)
    rise_z = _value(kind, at_v, z[:, 1]) - _value(kind, at_v, z[:, 0])
    return np.stack([_quotient(rise_v, width_v), _quotient(rise_z, width_z)], axis=1)


def _value(kind: str, v: Floats, z: Floats) -> Floats:
    if kind in PRODUCTS:
        return sigmoid(v) * factors(kind, z)[0]
    if kind == "sigmoid":
        return sigmoid(v)
    return np.tanh(v) if kind == "tanh" else np.maximum(v, 0.0)


def _quotient(rise: Floats, width: Floats) -> Floats:
    """rise / width; 0, as good as any, where there is no width or the quotient is no number."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        slope = rise / width
    return np.where(np.isfinite(slope), slope, 0.0)


def _tangent_through_end(v: Floats) -> Floats:
    """The slope of the line above sigmoid on the box that starts at its left end and touches its concave half (or ends
    at its right end): two contacts.
    """
    start = v[:, 0]
    low, high = np.maximum(start, 0.0), np.maximum(v[:, 1], 0.0)
    for _ in range(_HALVINGS):
        middle = low / 2 + high / 2
        short = sigmoid_slope(middle) * (middle - start) > sigmoid(middle) - sigmoid(start)
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    chord = _quotient(sigmoid(v[:, 1]) - sigmoid(start), v[:, 1] - start)
    # no tangent before the right end: the chord; nothing concave in the box: the chord as well
    touches = (v[:, 1] > 0) & (high < v[:, 1]) & (start < 0)
    return np.where(touches, sigmoid_slope(high), chord)


def _two_contacts_along_v(scale: Floats, v: Floats) -> Floats:
    """The slope with two contacts of scale sigmoid(v), whatever the sign of scale: sigmoid(-v) = 1 - sigmoid(v)."""
    mirrored = np.stack([-v[:, 1], -v[:, 0]], axis=1)
    return scale * _tangent_through_end(np.where(scale[:, None] >= 0, v, mirrored))


def _two_contacts_along_z(scale: Floats, z: Floats) -> Floats:
    """The slope with two contacts of scale tanh(z), scale > 0, as tanh(z) = 2 sigmoid(2 z) - 1."""
    return 4 * scale * _tangent_through_end(2 * z)


def _two_contacts(kind: str, v: Floats, z: Floats, rng: np.random.Generator) -> Floats:
    """Two contacts on a side z = const, the plane falling from there (tilted at random by the balance)."""
    slopes = _three_contacts(kind, v, z, rng)
    if kind in PRODUCTS:
        slopes[:, 1] += rng.choice([-1.0, 1.0], len(v)) * 10.0 ** rng.uniform(-17, 0, len(v))
    return slopes


def _three_contacts(kind: str, v: Floats, z: Floats, rng: np.random.Generator) -> Floats:
    """Two contacts on one side z = const, and the other side touched as well."""
    ones = np.ones(len(v))
    if kind not in PRODUCTS:
        slope = {
            "sigmoid": lambda: _two_contacts_along_v(ones, v),
            "tanh": lambda: _two_contacts_along_z(ones, v),
            "relu": lambda: _chord(kind, v, z, rng)[:, 0],
        }[kind]()
        return np.stack([slope, np.zeros(len(v))], axis=1)
    g = factors(kind, z)[0]
    side = rng.integers(2, size=len(v))
    slope_v = _two_contacts_along_v(g[np.arange(len(v)), side], v)
    return np.stack([slope_v, _level_slope_z(kind, v, z, slope_v)], axis=1)


def _level_slope_z(kind: str, v: Floats, z: Floats, slope_v: Floats) -> Floats:
    """The slope_z with which the plane touches on both sides z = const."""
    g = factors(kind, z)[0]
    tops = [top_along_v(g[:, end], slope_v, v) for end in (0, 1)]
    return _quotient(tops[1] - tops[0], z[:, 1] - z[:, 0])


def _balanced(kind: str, v: Floats, z: Floats, rng: np.random.Generator) -> Floats:
    """Touching on opposite sides along both axes, by evening out one axis after the other."""
    slopes = _three_contacts(kind, v, z, rng)
    if kind != "sigmoid_times_tanh":
        return slopes
    s = sigmoid(v)
    for _ in range(_BALANCING):
        tops = [top_along_z(s[:, end], slopes[:, 1], z) for end in (0, 1)]
        slopes[:, 0] = _quotient(tops[1] - tops[0], v[:, 1] - v[:, 0])
        slopes[:, 1] = _level_slope_z(kind, v, z, slopes[:, 0])
    return slopes


def _double_root(kind: str, v: Floats, z: Floats, rng: np.random.Generator) -> Floats:
    """The steepest tangent of a side, or almost: both roots of its contact equation fall together at the inflection."""
    rows, near = np.arange(len(v)), 1 - rng.choice([0.0, 1e-15, 1e-12, 1e-6], len(v))
    if kind not in PRODUCTS:
        steepest = {"sigmoid": 0.25, "tanh": 1.0, "relu": 1.0}[kind]
        return np.stack([steepest * near, np.zeros(len(v))], axis=1)
    g = factors(kind, z)[0][rows, rng.integers(2, size=len(v))]
    s = sigmoid(v)[rows, rng.integers(2, size=len(v))]
    level = np.where(rng.random(len(v)) < 0.5, s * near, _level_slope_z(kind, v, z, g / 4 * near))
    return np.stack([g / 4 * near, level], axis=1)


SLOPE_RULES: Final[dict[str, SlopeRule]] = {
    "random": _random,
    "zero": _zero,
    "steep": _steep,
    "tangent": _tangent,
    "corner tangent": _corner,
    "float32 tangent": _float32,
    "chord": _chord,
    "two contacts": _two_contacts,
    "three contacts": _three_contacts,
    "balanced contacts": _balanced,
    "double root": _double_root,
}
