"""What is proved for radius R is proved for every smaller radius: input sets are nested.

Let X_r be any of: an l_p ball of radius r_t per frame; the same cut to a valid range; one ball around the whole
sequence; a box grown by r, or scaled by r about one of its points. If r_t <= R_t for every frame, X_r lies in X_R.
A property of all points of X_R is one of all points of X_r. So among radii that were tried the largest PROVED one may
be reported, whatever was found for the others and whatever search proposed them: with proved radii r_1, ..., r_k the
property holds for all r <= max r_i. It does not follow that a radius above a refused one is not provable, nor that a
refused radius is unsafe.
The code's search starts with 0 if that is proved and puts a radius in its place only if that radius has a margin > 0;
ball radii are r * direction, which does not fall with r, also rounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import sympy as sp
import torch

from gpu_engine.search import radius
from proofs.lemma import Lemma, Proof
from proofs.tactics import equal, nonnegative

OO = sp.oo
r, more, inside, low, high, x = sp.symbols("r more inside low high x", positive=True)


def _nested(grow: int = 1) -> list[str]:
    """grow -1 claims the opposite inclusion."""
    proof = Proof()
    R = r + grow * more
    distance = r - inside  # any distance from the centre up to r, norms and frames alike
    ranges = {r: (0, OO), more: (0, OO), inside: (0, r)}
    proof.by("distance <= r implies distance <= R", nonnegative, R - distance, ranges)
    proof.by("a coordinate of a box: centre + R - (centre + distance)", nonnegative, R - distance, ranges)
    reach = sp.Symbol("reach", positive=True)  # how far a box extends beyond the point that stays
    proof.by("a scaled box: R reach - r reach", nonnegative, (R - r) * reach, ranges | {reach: (0, OO)})
    # The valid range does not depend on r: x in ball(r) and in range implies x in ball(R) and in range.
    statement = sp.Implies(sp.Symbol("in_r"), sp.Symbol("in_R"))
    cut = sp.Implies(sp.And(sp.Symbol("in_r"), sp.Symbol("ok")), sp.And(sp.Symbol("in_R"), sp.Symbol("ok")))
    proof.by("a cut keeps the inclusion", equal, sp.satisfiable(sp.And(statement, sp.Not(cut))), False)
    return proof.steps


def _report(largest_tried: bool = False) -> list[str]:
    """Proved radius `high`, refused radius anywhere; largest_tried claims that the refused one may be reported."""
    proof = Proof()
    in_small, in_proved, good, refused = sp.symbols("in_small in_proved good refused")
    premises = sp.And(sp.Implies(in_small, in_proved), sp.Implies(in_proved, good))
    if largest_tried:
        premises = sp.And(sp.Implies(in_small, refused), sp.Implies(in_proved, good))
    conclusion = sp.Implies(in_small, good)
    proof.by(
        "X_r in X_R and good on X_R: good on X_r", equal, sp.satisfiable(sp.And(premises, sp.Not(conclusion))), False
    )
    reported = sp.Max(low, high)
    proof.by("the largest of two proved radii is a proved one", equal, set(reported.args), {low, high})
    return proof.steps


LOW, HIGH, TRIED, MARGIN = 2.0, 7.0, 5.0, 3.0  # codes that tell the numbers apart


def _search(update: Callable[..., None] = radius._update) -> list[str]:
    """The code's step, in all its branches: proved or not, on the same side as before or not, high known or not."""
    proof = Proof()
    for found, side, high in product((MARGIN, -MARGIN, 0.0), (1.0, -1.0, 0.0), (HIGH, math.inf)):
        values = {"margin": 1.0, "low": LOW, "low_weight": 1.0, "high": high, "high_weight": -1.0}
        state = radius._Bracket(
            **{name: torch.tensor([value], dtype=torch.float64) for name, value in values.items()},
            last_side=torch.tensor([side], dtype=torch.float64),
            repeats=torch.ones(1, dtype=torch.float64),
        )
        index = torch.tensor([0])
        update(state, index, torch.tensor([TRIED], dtype=torch.float64), torch.tensor([found], dtype=torch.float64))
        proved = found > 0
        after = state.low.item(), state.high.item(), state.margin.item()
        expected = (TRIED, high, found) if proved else (LOW, TRIED, 1.0)
        name = f"margin {found:g}, last side {side:g}, high {high:g}"
        proof.by(f"{name}: low is a proved radius, margin its own", equal, after, expected)
    share = sp.Symbol("share", positive=True)
    ranges = {share: (0, OO), r: (0, OO), more: (0, OO)}
    proof.by("r direction <= R direction", nonnegative, (r + more) * share - r * share, ranges)
    return proof.steps


def _optimistic(state: radius._Bracket, index: torch.Tensor, tried: torch.Tensor, found: torch.Tensor) -> None:
    """A margin of 0 counts as proved."""
    radius._update(state, index, tried, torch.where(found == 0, 1.0, found))


LEMMA = Lemma(
    name="radius_monotone",
    statement=__doc__,
    source="theory section 1; POPQORN (Ko et al. 2019)",
    code=(
        "gpu_engine.inputs:FrameBalls",
        "gpu_engine.inputs:SequenceBall",
        "gpu_engine.search.radius:scaled_boxes",
        "gpu_engine.search.radius:search_radius",
        "gpu_engine.search.radius:certified_radius",
        "gpu_engine.search.radius:certified_sequence_radius",
        "gpu_engine.search.radius:certified_scale",
    ),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_bounds_law.py", "tests/engine/test_radius_search.py"),
    check=lambda: _nested() + _report() + _search(),
    controls={
        "larger sets inside smaller ones": lambda: _nested(grow=-1),
        "a margin of zero is a proof": lambda: _search(_optimistic),
        "a radius that was tried but not proved": lambda: _report(largest_tried=True),
    },
)
