"""Lower planes of sigmoid(v) g(z), g odd, are mirrored upper planes.

Let f(v, z) = sigmoid(v) g(z) with g(-z) = -g(z), in particular g = tanh and g = identity.
Then f(v, -z) = -f(v, z). If

    f(v, y) <= a v + b y + c     for all v in [vl, vu], y in [-zu, -zl],

then

    f(v, z) >= -a v + b z - c    for all v in [vl, vu], z in [zl, zu].

So one procedure for upper planes serves both: the code stacks the box and its mirror image, and turns the second
upper plane into the lower one. Box and planes here are those that the code computes.
Shapes: elementwise, any.
"""

from __future__ import annotations

from collections.abc import Callable
from unittest import mock

import sympy as sp
import torch

from gpu_engine.bounds import Box, Plane, PlanePair
from gpu_engine.relaxations.offsets import both_sides, pair_from_sides
from proofs.lemma import Lemma, Proof
from proofs.tactics import Expr, identity

v, z, vl, vu, zl, zu = sp.symbols("v z vl vu zl zu", real=True)
# Slopes and offset of the upper planes over the box (0) and over its mirror image (1).
a, b, c = ([sp.Symbol(f"{name}{side}", real=True) for side in range(2)] for name in "abc")


def _derive(
    g: Callable[[Expr], Expr] = sp.tanh,
    reflect: Callable[[Expr, Expr], tuple[Expr, Expr]] = lambda v, z: (v, -z),
    planes: Callable[[Plane], PlanePair] = pair_from_sides,
) -> list[str]:
    proof = Proof()

    def f(v: Expr, z: Expr) -> Expr:
        return g(z) / (1 + sp.exp(-v))

    image = reflect(v, z)
    proof.by("f changes its sign under the reflection", identity, f(*image), -f(v, z))
    with mock.patch.object(torch, "stack", list):
        boxes = both_sides(Box(vl, vu), Box(zl, zu))
    for name, box, point, first, last in (("v", boxes[0], v, vl, vu), ("z", boxes[1], z, zl, zu)):
        proof.by(f"the first box is the box itself in {name}: lower end", identity, point - box.lower[0], point - first)
        proof.by(f"the first box is the box itself in {name}: upper end", identity, box.upper[0] - point, last - point)
    proof.by("v >= vl in the second box", identity, image[0] - boxes[0].lower[1], v - vl)
    proof.by("v <= vu in the second box", identity, boxes[0].upper[1] - image[0], vu - v)
    proof.by("z <= zu iff -z >= the second lower end", identity, image[1] - boxes[1].lower[1], zu - z)
    proof.by("z >= zl iff -z <= the second upper end", identity, boxes[1].upper[1] - image[1], z - zl)
    pair = planes(Plane(a, b, c))  # type: ignore[arg-type]

    def height(plane: Plane, v: Expr, z: Expr) -> Expr:
        return plane.slope_v * v + plane.slope_z * z + plane.offset

    above = a[0] * v + b[0] * z + c[0] - f(v, z)
    proof.by("the upper plane is the first one", identity, height(pair.upper, v, z) - f(v, z), above)
    mirrored = a[1] * image[0] + b[1] * image[1] + c[1] - f(*image)
    below = f(v, z) - height(pair.lower, v, z)
    proof.by("the lower plane's slack at (v, z) is the second plane's at (v, -z)", identity, below, mirrored)
    return proof.steps


def _changed(slope_v: int, slope_z: int, offset: int) -> Callable[[Plane], PlanePair]:
    """The code's planes with signs of the lower one changed."""

    def planes(upper: Plane) -> PlanePair:
        pair = pair_from_sides(upper)
        low = pair.lower
        return PlanePair(Plane(slope_v * low.slope_v, slope_z * low.slope_z, offset * low.offset), pair.upper)

    return planes


def check() -> list[str]:
    """For tanh and for the identity."""
    return [f"{name}: {step}" for name, g in (("tanh", sp.tanh), ("identity", lambda z: z)) for step in _derive(g)]


LEMMA = Lemma(
    name="mirror_symmetry",
    statement=__doc__,
    source="theory section 3",
    code=("gpu_engine.relaxations.offsets:both_sides", "gpu_engine.relaxations.offsets:pair_from_sides"),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_offsets.py"),
    check=check,
    controls={
        "mirror in v instead of z": lambda: _derive(reflect=lambda v, z: (-v, z)),
        "g that is not odd": lambda: _derive(g=sp.exp),
        "slope_v keeps its sign": lambda: _derive(planes=_changed(-1, 1, 1)),
        "slope_z changes its sign": lambda: _derive(planes=_changed(1, -1, 1)),
        "the offset keeps its sign": lambda: _derive(planes=_changed(1, 1, -1)),
    },
)
