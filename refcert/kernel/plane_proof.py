"""Proof or refutation of one bounding plane on its box, in ball arithmetic.

Claim of an upper plane: f(v, z) <= slope_v v + slope_z z + offset for all (v, z) in the box, all numbers being the
exact real values of the floats given. Lower planes are upper planes of the mirrored box, exactly.

Method card
    Source     lemmas `mirror_symmetry`, `s_curve_maximum`, `candidates_identity`, `candidates_tanh`,
               `concave_region`.
    Idea       The largest excess of the surface over the plane is at a corner, on a side, or inside. On a side the
               surface is an S-shaped curve: on its convex half the ends decide, on its concave half it lies below
               its tangent at ANY point. Inside, every maximum lies in a convex region on which the surface is
               concave, so the tangent plane at ANY point of that region bounds it. The points are float guesses
               of the contact points (`guesses`): a bad guess can leave a plane undecided, never prove a false one.
    Octagons   A claim with diagonals is proved by `octagon_proof`.
    Verdicts   PROVED; REFUTED with a float point of the box where the surface lies beyond the plane, and by how
               much at least; UNDECIDED with the reason. Precision is doubled, and guesses are polished, before
               giving up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flint import arb

from refcert.kernel import guesses
from refcert.kernel.ball import (
    ONE,
    exact,
    float_below,
    precision,
    surely_less,
    surely_not_positive,
    surely_positive,
)
from refcert.kernel.claims import PlaneClaim, Status, Verdict, as_upper
from refcert.kernel.functions import Curve, sigmoid, tanh
from refcert.kernel.inside_proof import holds_inside
from refcert.kernel.octagon_proof import OctagonProof
from refcert.kernel.side_proof import Ends, Number, Side, holds_on_concave_half

# Doubled until the plane is decided. 1 - tanh(1000) is 2e-869: such an offset against 1 takes 4096 bits.
PRECISIONS: Final = (128, 256, 512, 1024, 2048, 4096, 8192)

# Newton steps that polish a guess at each further attempt: its digits double with each step.
POLISH_STEPS: Final = 5


def check_plane(claim: PlaneClaim, precisions: tuple[int, ...] = PRECISIONS) -> Verdict:
    """Prove or refute the claim. Raises KernelInputError where the values make no claim."""
    upper = as_upper(claim)
    prove, octagon = PROOFS[claim.kind], None if upper.diagonals is None else OctagonProof(upper)
    reason, bits = "no precision was allowed", 0
    for attempt, bits in enumerate(precisions):
        with precision(bits):
            proof = Proof(upper, polish=attempt * POLISH_STEPS)
            undecided = prove(proof) if octagon is None else octagon.undecided(proof, bits)
            if proof.worst is not None:
                excess, v, z = proof.worst
                point = claim.original_point(v, z)
                violation = max(0.0, float_below(excess))  # it is positive, but may underflow
                return Verdict(Status.REFUTED, "a point lies beyond the plane", bits, point, violation)
        if not undecided:
            return Verdict(Status.PROVED, "", bits)
        reason = f"precision exhausted on the {', the '.join(undecided)}"
        if octagon is not None and octagon.given_up:
            reason = f"no precision decides the {octagon.given_up}"
            break
    return Verdict(Status.UNDECIDED, reason, bits)


class Proof:
    """One attempt at an upper plane at one precision; `worst` is the worst violation seen."""

    def __init__(self, upper: PlaneClaim, polish: int) -> None:
        self.claim = upper
        self.a, self.b = exact(upper.slope_v), exact(upper.slope_z)
        self.c = exact(upper.offset) + upper.shift
        self.polish = polish
        self.worst: tuple[arb, float, float] | None = None

    def point(self, excess: arb, v: float, z: float) -> bool:
        """Is the surface at this float point certainly not above the plane? excess: surface minus plane."""
        if surely_positive(excess):
            if self.worst is None or surely_less(self.worst[0], excess):
                self.worst = (excess, v, z)
            return False
        return surely_not_positive(excess)

    def points(self, name: str, surface: list[tuple[arb, float, float]]) -> list[str]:
        """[name] unless all these (surface value, v, z) are decided."""
        decided = [self.point(value - self.a * exact(v) - self.b * exact(z) - self.c, v, z) for value, v, z in surface]
        return [] if all(decided) else [name]

    def side(self, side: Side) -> list[str]:
        """[its name] unless the side is decided."""
        if holds_on_concave_half(side, self, self.polish):
            return []
        return [f"side along {side.along} at {side.fixed!r}"]


def _sigmoid_times_identity(proof: Proof) -> list[str]:
    """Linear in z: corners and the two sides z = const; lemma `candidates_identity`."""
    claim = proof.claim
    ends = _ends(sigmoid, claim.lower_v, claim.upper_v)
    z_ends = (claim.lower_z, claim.upper_z)
    undecided = proof.points("corners", [(s.value * exact(z), v, z) for v, s in ends for z in z_ends])
    slope = Number(claim.slope_v, proof.a)
    for z in z_ends:
        level = proof.c + proof.b * exact(z)
        scale = Number(z, exact(z))
        undecided += proof.side(Side(sigmoid, guesses.sigmoid_contact, ends, scale, slope, level, "v", z))
    return undecided


def _sigmoid_times_tanh(proof: Proof) -> list[str]:
    """Corners, four sides, and the inside; lemmas `candidates_tanh`, `concave_region`."""
    claim = proof.claim
    ends_v = _ends(sigmoid, claim.lower_v, claim.upper_v)
    ends_z = _ends(tanh, claim.lower_z, claim.upper_z)
    undecided = proof.points("corners", [(s.value * t.value, v, z) for v, s in ends_v for z, t in ends_z])
    slope = Number(claim.slope_v, proof.a)
    for z, t in ends_z:
        level = proof.c + proof.b * exact(z)
        scale = Number(guesses.signed_tanh(z), t.value)
        undecided += proof.side(Side(sigmoid, guesses.sigmoid_contact, ends_v, scale, slope, level, "v", z))
    slope = Number(claim.slope_z, proof.b)
    for v, s in ends_v:
        level = proof.c + proof.a * exact(v)
        scale = Number(guesses.positive_sigmoid(v), s.value)
        undecided += proof.side(Side(tanh, guesses.tanh_contact, ends_z, scale, slope, level, "z", v))
    if not holds_inside(claim, ends_v, ends_z, proof, proof.polish):
        undecided.append("inside")
    return undecided


def _sigmoid(proof: Proof) -> list[str]:
    return _one_dimensional(proof, sigmoid, guesses.sigmoid_contact)


def _tanh(proof: Proof) -> list[str]:
    return _one_dimensional(proof, tanh, guesses.tanh_contact)


def _one_dimensional(proof: Proof, function: Callable[[arb], Curve], contact: Callable[[float], float]) -> list[str]:
    """Both ends and the curve between them."""
    claim = proof.claim
    ends = _ends(function, claim.lower_v, claim.upper_v)
    undecided = proof.points("ends", [(curve.value, v, 0.0) for v, curve in ends])
    slope = Number(claim.slope_v, proof.a)
    return undecided + proof.side(Side(function, contact, ends, Number(1.0, ONE), slope, proof.c, "v", 0.0))


def _relu(proof: Proof) -> list[str]:
    """max(v, 0) or its negative: straight between the ends and 0."""
    claim = proof.claim
    points = [claim.lower_v, claim.upper_v]
    if claim.lower_v < 0 < claim.upper_v:
        points.append(0.0)
    sign = -ONE if claim.negated else ONE
    return proof.points("ends and kink", [(sign * exact(max(v, 0.0)), v, 0.0) for v in points])


def _ends(function: Callable[[arb], Curve], low: float, high: float) -> Ends:
    at_low = function(exact(low))
    return ((low, at_low), (high, at_low if low == high else function(exact(high))))


# One function per kind of nonlinearity, found by the kind's name.
PROOFS: Final[dict[str, Callable[[Proof], list[str]]]] = {
    "sigmoid_times_tanh": _sigmoid_times_tanh,
    "sigmoid_times_identity": _sigmoid_times_identity,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "relu": _relu,
}
