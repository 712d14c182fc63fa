"""The lower end of the least volume: points and weights that no sound plane can pass, checked in exact arithmetic.

Method card
    Claim      `check_support`: every upper plane that is sound on the box has at least, every lower plane at most, the
               returned height at the box's centre.
    Source     weak duality of the linear program of POPQORN (Ko et al. 2019), equations 25 and 26; lemma
               `least_volume_gap`.
    Idea       If weights >= 0 of sum 1 average points p_i of the box to its centre, a plane P >= f has
               P(centre) = sum weight_i P(p_i) >= sum weight_i f(p_i). Points and weights are rational
               numbers, so the three conditions are decided exactly; f is evaluated in ball arithmetic.
    Sound?     yes, whatever the support: a bad one is rejected or gives a weak bound.
    Shapes     one plane at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from flint import arb, fmpq

from refcert.kernel.ball import ZERO, upper_of_two
from refcert.kernel.functions import sigmoid, tanh
from refcert.reference.equations import PRODUCTS

_HALF: Final = fmpq(1, 2)
_ZERO: Final = fmpq(0)
_ONE: Final = fmpq(1)
# Weights below this are rounding of none.
_NO_WEIGHT: Final = 1e-12

Box = tuple[float, float, float, float]
Rational = fmpq


class SupportError(ValueError):
    """Points and weights that prove nothing; the message says which condition fails."""


@dataclass(frozen=True)
class Support:
    """Points (v, z) of the box of a plane of `side` over `kind`, with weights. Kinds of one argument have z = 0.

    box: lower_v, upper_v, lower_z, upper_z.
    """

    kind: str
    side: str
    box: Box
    points: tuple[tuple[Rational, Rational], ...]
    weights: tuple[Rational, ...]


def exact(x: float) -> Rational:
    """The float's exact value. Raises on NaN and infinity."""
    return fmpq(*x.as_integer_ratio())


def axes(kind: str, box: Box) -> tuple[tuple[Rational, Rational], tuple[Rational, Rational]]:
    """Exact (centre, half width) of both axes; (0, 0) for the second axis of kinds of one argument."""
    low_v, high_v, low_z, high_z = (exact(end) for end in (box if kind in PRODUCTS else (*box[:2], 0.0, 0.0)))
    return ((low_v + high_v) * _HALF, (high_v - low_v) * _HALF), ((low_z + high_z) * _HALF, (high_z - low_z) * _HALF)


def value(kind: str, v: Rational, z: Rational) -> arb:
    """The nonlinearity at an exact point, at the current precision."""
    if kind == "relu":
        return upper_of_two(arb(v), ZERO)
    if kind == "tanh":
        return tanh(arb(v)).value
    first = sigmoid(arb(v)).value
    if kind == "sigmoid":
        return first
    return first * (tanh(arb(z)).value if kind == "sigmoid_times_tanh" else arb(z))


def check_support(support: Support) -> arb:
    """The height at the centre that no sound plane of the side passes, at the current precision.

    Raises SupportError where the support proves nothing.
    """
    points, weights = support.points, support.weights
    if not points or len(points) != len(weights):
        raise SupportError(f"{len(points)} points have {len(weights)} weights; give one weight to each, and a point")
    if any(weight < _ZERO for weight in weights):
        raise SupportError(f"weights {weights} are not all >= 0")
    if sum(weights, _ZERO) != _ONE:
        raise SupportError(f"weights {weights} do not sum to 1")
    for axis, (centre, half) in enumerate(axes(support.kind, support.box)):
        if any(abs(point[axis] - centre) > half for point in points):
            raise SupportError(f"a point of {points} lies outside of the box {support.box}")
        if sum((w * point[axis] for w, point in zip(weights, points, strict=True)), _ZERO) != centre:
            raise SupportError(f"the weighted mean of {points} is not the centre of the box {support.box}")
    total = ZERO
    for weight, (v, z) in zip(weights, points, strict=True):
        total += arb(weight) * value(support.kind, v, z)
    return total


def repaired_support(
    kind: str, side: str, box: Box, x: Sequence[float], y: Sequence[float], weight: Sequence[float]
) -> Support | None:
    """The support nearest to float points and weights in the unit box of the original side; None where there is none.

    On an axis on which all points are at the ends the weights of either end have to be 1/2; on any other the
    heaviest point that is free to move is put where the mean is the centre.
    """
    kept = [k for k, w in enumerate(weight) if w > _NO_WEIGHT]
    weights = [exact(weight[k]) for k in kept]
    units = [[exact(column[k]) for k in kept] for column in (x, y)]
    if kind not in PRODUCTS:
        units[1] = [_ZERO] * len(kept)
    if not kept:
        return None
    fixed = [all(abs(unit) == _ONE for unit in axis) for axis in units]
    if all(fixed):  # corners only: the heavier diagonal
        heaviest = max(range(len(kept)), key=weights.__getitem__)
        one = (units[0][heaviest], units[1][heaviest])
        units, weights = [[one[0], -one[0]], [one[1], -one[1]]], [_HALF, _HALF]
    elif any(fixed):
        axis = units[fixed.index(True)]
        sums = {end: sum((w for w, unit in zip(weights, axis, strict=True) if unit == end), _ZERO) for end in (1, -1)}
        if not all(sums.values()):
            return None
        weights = [w * _HALF / sums[int(unit.p)] for w, unit in zip(weights, axis, strict=True)]
    else:
        total = sum(weights, _ZERO)
        weights = [w / total for w in weights]
    for axis in units:
        rest = sum((w * unit for w, unit in zip(weights, axis, strict=True)), _ZERO)
        free = [k for k, unit in enumerate(axis) if abs(unit) != _ONE]
        if rest and not free:
            return None
        if rest:
            k = max(free, key=weights.__getitem__)
            axis[k] -= rest / weights[k]
            if abs(axis[k]) > _ONE:
                return None
    (centre_v, half_v), (centre_z, half_z) = axes(kind, box)
    points = tuple((centre_v + half_v * p, centre_z + half_z * q) for p, q in zip(*units, strict=True))
    return Support(kind, side, box, points, tuple(weights))
