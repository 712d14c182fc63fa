"""The kernel's first step: every claim becomes one about an upper plane on a box of its own, exactly.

Let the claim be that a lower plane p = a v + b z + c lies below f on [vl, vu] x [zl, zu]. Then f - p at (v, z) is the
new plane less the new surface at the new point:
    products  f(v, -z) = -f(v, z): plane -a v + b z' - c over z' = -z in [-zu, -zl];
    tanh      tanh(-v) = -tanh(v): plane a v' - c over v' = -v in [-vu, -vl];
    sigmoid   sigmoid(-v) = 1 - sigmoid(v): plane a v' - c + 1 over v' = -v in [-vu, -vl] (`shift` is that 1);
    relu      the surface -relu, plane -a v - c over the same box.
An upper plane stays. A product's diagonals bound v + z and v - z; v + z' = v - z and v - z' = v + z, so the intervals
change places. A point that refutes the new claim refutes the old one at the point that the code names.
Here the code runs on symbols; it only changes signs of floats, so nothing is rounded. Shapes: one plane.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest import mock

import sympy as sp

from proofs.lemma import Lemma, Proof
from proofs.lemmas.s_curve_maximum import sigmoid
from proofs.tactics import Expr, identity
from refcert.kernel import claims
from refcert.kernel.claims import KINDS, PlaneClaim

a, b, c, lv, uv, lz, uz, v, z = sp.symbols("a b c lv uv lz uz v z", real=True)
lp, up, lm, um = sp.symbols("lp up lm um", real=True)
relu = sp.Function("relu")
SURFACES: dict[str, Callable[[Expr, Expr], Expr]] = {
    "sigmoid_times_tanh": lambda v, z: sigmoid(v) * sp.tanh(z),
    "sigmoid_times_identity": lambda v, z: sigmoid(v) * z,
    "sigmoid": lambda v, z: sigmoid(v),
    "tanh": lambda v, z: sp.tanh(v),
    "relu": lambda v, z: relu(v),
}
AsUpper = Callable[[PlaneClaim], PlaneClaim]


def _height(claim: PlaneClaim, v: Expr, z: Expr) -> Expr:
    flat = not claim.kind.startswith("sigmoid_times")
    return claim.slope_v * v + (0 if flat else claim.slope_z * z) + claim.offset + claim.shift


def _derive(as_upper: AsUpper = claims.as_upper) -> list[str]:
    proof = Proof()
    for kind in KINDS:
        flat = not kind.startswith("sigmoid_times")
        for side, e in (("upper", 1), ("lower", -1)):
            values: Any = (lv, uv, lz, uz, a, b, c)
            cut: Any = None if flat else (lp, up, lm, um)
            claim = replace(PlaneClaim(kind, side, *values), diagonals=cut)
            with mock.patch.object(claims, "_validate", lambda _: None):
                upper = as_upper(claim)
            # (v, z) is a point of the new box, `at` the point of the old one that the code says is behind it.
            at = claim.original_point(v, z)
            surface = (-1 if upper.negated else 1) * SURFACES[kind](v, z)
            slack = _height(upper, v, z) - surface
            expected = e * (_height(claim, *at) - SURFACES[kind](*at))
            proof.by(f"{kind}, {side}: the slack is the same", identity, slack, expected)
            axes = [("v", v, at[0], lv, uv, upper.lower_v, upper.upper_v)]
            axes += [] if flat else [("z", z, at[1], lz, uz, upper.lower_z, upper.upper_z)]
            for name, new, old, low, high, new_low, new_high in axes:
                ends = (new - new_low, new_high - new) if old == new else (new_high - new, new - new_low)
                proof.by(f"{kind}, {side}: {name} is in its old box, lower end", identity, ends[0], old - low)
                proof.by(f"{kind}, {side}: {name} is in its old box, upper end", identity, ends[1], high - old)
            if cut is not None:
                assert upper.diagonals is not None
                # Each distance to an end of a diagonal is one of the old point to an end of one of the old claim's.
                new_room, old_room = _room(upper.diagonals, v, z), _room(cut, *at)
                order = (0, 1, 2, 3) if side == "upper" else (2, 3, 0, 1)
                for new, old in enumerate(order):
                    proof.by(f"{kind}, {side}: diagonal end {new}", identity, new_room[new], old_room[old])
    return proof.steps


def _room(diagonals: tuple[Any, ...], v: Expr, z: Expr) -> tuple[Expr, ...]:
    """What a point has to each end: all are >= 0 exactly on the octagon."""
    return v + z - diagonals[0], diagonals[1] - v - z, v - z - diagonals[2], diagonals[3] - v + z


def _put_back(cut: Any) -> Any:
    return None if cut is None else (*cut[2:], *cut[:2])


def _changed(**new: Callable[[PlaneClaim], Any]) -> AsUpper:
    """The code's claim with fields changed where it was a lower plane."""

    def as_upper(claim: PlaneClaim) -> PlaneClaim:
        upper = claims.as_upper(claim)
        return replace(upper, **{name: value(upper) for name, value in new.items()}) if claim.side == "lower" else upper

    return as_upper


LEMMA = Lemma(
    name="kernel_claims",
    statement=__doc__,
    source="symmetry; lemma `mirror_symmetry`",
    code=("refcert.kernel.claims:as_upper", "refcert.kernel.claims:PlaneClaim.original_point"),
    tests=("tests/proofs/test_lemmas.py", "tests/kernel/test_claims.py"),
    check=_derive,
    controls={
        "sigmoid without its shift": lambda: _derive(_changed(shift=lambda claim: 0)),
        "the box is not mirrored": lambda: _derive(_changed(lower_z=lambda _: lz, upper_z=lambda _: uz)),
        "the diagonals keep their places": lambda: _derive(
            _changed(diagonals=lambda claim: _put_back(claim.diagonals))
        ),
        "the offset keeps its sign": lambda: _derive(_changed(offset=lambda claim: -claim.offset)),
        "relu is not negated": lambda: _derive(_changed(negated=lambda claim: False)),
    },
    covers=tuple(f"kind {kind}" for kind in KINDS),
)
