"""Weights on points of the box whose mean is its centre bound the height there of every sound plane from below.

Let lambda_i >= 0, sum lambda_i = 1, points p_i in the box and sum lambda_i p_i = centre.
(i)   Every plane P >= f on the box has P(centre) = sum lambda_i P(p_i) >= sum lambda_i f(p_i): weak duality. Three
      points are enough for the best bound (Caratheodory, in the plane and the height), any number is sound.
(ii)  So for a sound plane (height - mean) / (sum lambda_i f(p_i) - mean) >= 1 where the denominator is positive.
(iii) Repair of rounded weights: on an axis on which all points are at -1 or 1 (of the unit box) weights scaled to sum
      to 1/2 at either end have the mean 0; on an axis with a free point k, so has x_k = -(sum_{i != k} lambda_i x_i) /
      lambda_k. Weights w_i / sum w_i sum to 1.
(iv)  The engine's exchange: `_barycentric` gives weights, times the doubled area, that sum to it and whose mean is the
      point; `_through` the slopes of the plane through three points. So with all weights of the centre >= 0 the spanned
      plane's height there is a bound as in (i): the gap of the best plane found is known.
Lower planes: mirrored (`mirror_symmetry`). Shapes: elementwise, any.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest import mock

import sympy as sp

from gpu_engine.relaxations import planes
from proofs.arrays import array, as_method
from proofs.lemma import Lemma, Proof
from proofs.tactics import Expr, identity, nonnegative

OO = sp.oo
COUNT = 3
w = sp.symbols(f"w:{COUNT}", positive=True)
slack = sp.symbols(f"slack:{COUNT}", positive=True)
x, y, f = (sp.symbols(f"{name}:{COUNT}", real=True) for name in "xyf")
a, b, c, vc, zc, mean = sp.symbols("a b c vc zc mean", real=True)


def _duality(total: Expr = 1, off: Expr = 0, signs: tuple[int, ...] = (1,) * COUNT, lifted: int = 1) -> list[str]:
    """total: what the weights sum to; off: how far their mean is from the centre in v; signs of the weights.

    lifted: 1 where the plane is above f at the points, as it is in the box; -1 where it is not.
    """
    proof = Proof()
    weights = [signs[k] * w[k] for k in range(COUNT)]
    whole = sum(weights)
    share = [weight / whole * total for weight in weights]
    # The centre is the mean of the points, and the plane is above f at them by `slack`: c from the first of them.
    centre = [
        sum(share[k] * x[k] for k in range(COUNT)) / total + off,
        sum(share[k] * y[k] for k in range(COUNT)) / total,
    ]
    at = [a * x[k] + b * y[k] + c for k in range(COUNT)]
    height = a * centre[0] + b * centre[1] + c
    average = sum(share[k] * at[k] for k in range(COUNT))
    proof.by("P(centre) = sum lambda_i P(p_i)", identity, height, average)
    bound = sum(share[k] * (at[k] - lifted * slack[k]) for k in range(COUNT))
    gap = sp.cancel(sp.together(average - bound))
    ranges = dict.fromkeys((*w, *slack), (0, OO))
    proof.by("sum lambda_i P(p_i) >= sum lambda_i f(p_i)", nonnegative, gap, ranges)
    # (ii): height = bound + gap.
    above, best = sp.symbols("above best", positive=True)
    proof.by("ratio >= 1", nonnegative, (best + above) / best - 1, {best: (0, OO), above: (0, OO)})
    return proof.steps


def _repair(half: Expr = sp.Rational(1, 2), weight_of_free: int = 0) -> list[str]:
    """(iii). half: what the weights at either end sum to; weight_of_free: whose weight the free point divides by."""
    proof = Proof()
    # Two points at +1, one at -1.
    up = [half * w[k] / (w[0] + w[1]) for k in range(2)]
    down = (1 - half) * w[2] / w[2]
    proof.by("points at both ends: the weights sum to 1", identity, sum(up) + down, 1)
    proof.by("points at both ends: the mean is 0", identity, sum(up) - down)
    share = [weight / sum(w) for weight in w]
    proof.by("weights divided by their sum", identity, sum(share), 1)
    free = -(share[1] * x[1] + share[2] * x[2]) / share[weight_of_free]
    proof.by("a free point: the mean is 0", identity, share[0] * free + share[1] * x[1] + share[2] * x[2])
    return proof.steps


STUB = SimpleNamespace(stack=array, where=lambda condition, yes, no: no)


def _code(swapped: bool = False) -> list[str]:
    """(iv): the engine's functions on symbols, for points that do not lie on a line."""
    proof = Proof()
    points, units = (array(x), array(y), array(f)), sp.symbols("unit_v unit_z", positive=True)
    with mock.patch.object(planes, "torch", STUB), mock.patch.object(sp.Expr, "abs", as_method(sp.Abs), create=True):
        found, area = planes._barycentric(points[0], points[1], vc, zc)  # type: ignore[arg-type]
        centre: Any = (vc, zc) if not swapped else (zc, vc)
        slope_v, slope_z, _ = planes._through(points, *centre, *units)  # type: ignore[arg-type]
    proof.by("barycentric: the weights sum to the area", identity, sum(found), area)
    for name, axis, at in (("v", x, vc), ("z", y, zc)):
        step = f"barycentric: their mean is the point, {name}"
        proof.by(step, identity, sum(found[k] * axis[k] for k in range(COUNT)), area * at)
    if swapped:
        slope_v, slope_z = slope_z, slope_v
    for k in range(1, COUNT):
        rise = slope_v * (x[k] - x[0]) + slope_z * (y[k] - y[0])
        proof.by(f"through three points: it rises as f does to point {k}", identity, rise, f[k] - f[0])
    return proof.steps


LEMMA = Lemma(
    name="least_volume_gap",
    statement=__doc__,
    source="linear programming duality; Cheney and Goldstein (1959) for the exchange",
    code=(
        "gpu_engine.relaxations.planes:best_plane",
        "refcert.reference.least_volume:least_volume",
        "refcert.audit.tightness.certificate:check_support",
        "refcert.audit.tightness.certificate:repaired_support",
    ),
    tests=("tests/proofs/test_lemmas.py", "tests/audit/test_tightness_certificate.py"),
    check=lambda: _duality() + _repair() + _code(),
    controls={
        "weights that sum to 2": lambda: _duality(total=sp.Integer(2)),
        "a mean beside the centre": lambda: _duality(off=sp.Rational(1, 10)),
        "a negative weight": lambda: _duality(signs=(1, 1, -1)),
        "a point where the plane is not above f": lambda: _duality(lifted=-1),
        "a third at one end": lambda: _repair(half=sp.Rational(1, 3)),
        "the free point divided by another weight": lambda: _repair(weight_of_free=1),
        "slopes exchanged": lambda: _code(swapped=True),
    },
)
