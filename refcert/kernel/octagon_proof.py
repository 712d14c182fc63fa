"""Proof or refutation of an upper plane on an octagon: a box cut by bounds of v + z and v - z.

Method card
    Source     lemmas `octagon_edges`, `s_curve_maximum`, `candidates_identity`, `concave_region`, `kernel_exits`.
    Idea       The largest excess of the surface over the plane is on an edge or inside. On edges along the axes it is
               an S-shaped curve, as on the sides of a box (`side_proof`); on diagonal edges a smooth curve with a
               bounded bend (`diagonal_proof`). Inside there is none for the identity; for tanh the box's proof is
               tried on the least box around the octagon, then rectangles of it are taken one by one (`cell_proof`).
    Verdicts   As for a box. A point refutes only if it is in the octagon, exactly. A plane that touches the surface
               along a diagonal edge with no room at all, or is violated outside by less than what ends were rounded
               by, stays undecided.
"""

from __future__ import annotations

from typing import Final, Protocol

from flint import arb

from refcert.kernel import guesses, octagon
from refcert.kernel.ball import ONE, exact, precision, surely_not_positive, surely_positive
from refcert.kernel.cell_proof import holds_in_cells
from refcert.kernel.claims import PlaneClaim
from refcert.kernel.diagonal_proof import Outcome, Plane, holds_on_diagonal
from refcert.kernel.functions import Curve, sigmoid, tanh
from refcert.kernel.inside_proof import holds_inside
from refcert.kernel.octagon import Axis, Diagonal
from refcert.kernel.side_proof import Ends, Number, Side, holds_on_concave_half

_INSIDE: Final = "inside"


class Attempt(Protocol):
    """What is tried at one precision (`plane_proof.Proof`): the plane in balls, and who keeps the worst violation."""

    a: arb
    b: arb
    c: arb
    polish: int
    worst: tuple[arb, float, float] | None

    def point(self, excess: arb, v: float, z: float) -> bool: ...


class OctagonProof:
    """All attempts at one claim about an upper plane; what one of them has proved is not tried again.

    given_up: what no precision will decide, '' as long as there is hope.
    """

    def __init__(self, claim: PlaneClaim) -> None:
        self.given_up = ""
        self.with_tanh = claim.kind == "sigmoid_times_tanh"
        self.axes: list[Axis] = []
        self.diagonals: list[Diagonal] = []
        self.inside = self.cells = self.with_tanh  # what is left to do there, with whichever of the two proofs
        self.curves: dict[tuple[str, float], Curve] = {}
        with precision(octagon.EXACT):
            self.claim = octagon.shrunk(claim)
            if self.claim is not None:
                self.axes, self.diagonals = octagon.axes(self.claim), octagon.diagonals(self.claim)
                self.middle = _middle(self.axes, self.diagonals, self.claim)

    def undecided(self, attempt: Attempt, bits: int) -> list[str]:
        """What is still not decided, after an attempt with so many bits."""
        if self.claim is None:
            return []
        self.curves = {}
        self.attempt = attempt
        self.axes = [axis for axis in self.axes if not self._axis(axis)]
        left = [f"edge {axis.fixed!r} along {axis.along}" for axis in self.axes]
        plane, open_edges = Plane(attempt.a, attempt.b, attempt.c), []
        for edge in self.diagonals:
            outcome = holds_on_diagonal(edge, plane, self.with_tanh, bits, self)
            if outcome is not Outcome.PROVED:
                open_edges.append(edge)
                left.append(f"edge {edge.name}")
            if outcome is Outcome.STUCK:
                self.given_up = f"edge {edge.name}"
        self.diagonals = open_edges
        if self.inside and attempt.worst is None and not self._inside():
            left.append(_INSIDE)
        return left

    def point(self, excess: arb, v: float, z: float) -> bool:
        """Is the surface near this point, which may be outside by a rounding, certainly not above the plane?"""
        if not surely_positive(excess):
            return surely_not_positive(excess)
        assert self.claim is not None
        for point in octagon.near(self.claim, self.middle, v, z):
            if not self.attempt.point(self._excess(*point), *point):
                return False
        if self.attempt.worst is None:
            self.given_up = f"surface at ({v!r}, {z!r}), next to the octagon"
        return False

    def _excess(self, v: float, z: float) -> arb:
        at_v, at_z = exact(v), exact(z)
        g = tanh(at_z).value if self.with_tanh else at_z
        attempt = self.attempt
        return sigmoid(at_v).value * g - attempt.a * at_v - attempt.b * at_z - attempt.c

    def _curve(self, along: str, x: float) -> Curve:
        """sigmoid at a v, tanh (or the identity) at a z; each once."""
        known = self.curves.get((along, x))
        if known is None:
            ball = exact(x)
            known = sigmoid(ball) if along == "v" else tanh(ball) if self.with_tanh else Curve(ball, ONE)
            self.curves[along, x] = known
        return known

    def _axis(self, axis: Axis) -> bool:
        """Both ends of an edge along an axis, and the curve between them."""
        attempt = self.attempt
        along_v = axis.along == "v"
        fixed, scale = exact(axis.fixed), self._curve("z" if along_v else "v", axis.fixed).value
        ends = _ends(axis, self)
        slope, level = (attempt.a, attempt.b) if along_v else (attempt.b, attempt.a)
        level = level * fixed + attempt.c
        decided = True
        for x, curve in ends:
            excess = scale * curve.value - slope * exact(x) - level
            decided &= self.point(excess, *((x, axis.fixed) if along_v else (axis.fixed, x)))
        if not decided or (not along_v and not self.with_tanh):
            return decided  # the identity is linear in z
        assert self.claim is not None
        if along_v:
            guess = guesses.signed_tanh(axis.fixed) if self.with_tanh else axis.fixed
            number = Number(self.claim.slope_v, slope)
            side = Side(sigmoid, guesses.sigmoid_contact, ends, Number(guess, scale), number, level, "v", axis.fixed)
        else:
            guess = guesses.positive_sigmoid(axis.fixed)
            number = Number(self.claim.slope_z, slope)
            side = Side(tanh, guesses.tanh_contact, ends, Number(guess, scale), number, level, "z", axis.fixed)
        return holds_on_concave_half(side, self, attempt.polish)

    def _inside(self) -> bool:
        claim, attempt = self.claim, self.attempt
        assert claim is not None
        ends_v = _pair(claim.lower_v, claim.upper_v, "v", self)
        ends_z = _pair(claim.lower_z, claim.upper_z, "z", self)
        if holds_inside(claim, ends_v, ends_z, _InsideAlone(claim, attempt), attempt.polish):
            self.inside = False
        elif self.cells:
            self.cells = False  # more bits do not help there
            self.inside = not holds_in_cells(claim, Plane(attempt.a, attempt.b, attempt.c))
        return not self.inside


class _InsideAlone:
    """The box's proof looks at points of the box; only those of the octagon count."""

    def __init__(self, claim: PlaneClaim, attempt: Attempt) -> None:
        self.claim, self.attempt = claim, attempt

    def point(self, excess: arb, v: float, z: float) -> bool:
        """Is the surface at this point certainly not above the plane? False for points that do not count."""
        return octagon.holds_point(self.claim, v, z) and self.attempt.point(excess, v, z)


def _ends(axis: Axis, proof: OctagonProof) -> Ends:
    return _pair(axis.first, axis.last, axis.along, proof)


def _pair(first: float, last: float, along: str, proof: OctagonProof) -> Ends:
    return (first, proof._curve(along, first)), (last, proof._curve(along, last))


def _middle(axes: list[Axis], diagonals: list[Diagonal], claim: PlaneClaim) -> tuple[float, float]:
    """The average of the edges' ends: a hint."""
    points = [(x, a.fixed) if a.along == "v" else (a.fixed, x) for a in axes for x in (a.first, a.last)]
    points += [(x, d.turn * x + d.level) for d in diagonals for x in (d.first, d.last)]
    if not points:
        return claim.lower_v, claim.lower_z
    return sum(v for v, _ in points) / len(points), sum(z for _, z in points) / len(points)
