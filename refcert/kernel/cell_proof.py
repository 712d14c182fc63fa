"""The inside of an octagon: is F(v, z) = sigmoid(v) tanh(z) - a v - b z <= c at every interior maximum?

Rectangles of the least box around the octagon, halved until each holds no interior maximum or F is bounded on it.
Lemmas `kernel_exits` (ii), `concave_region`, `octagon_edges`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from refcert.kernel.ball import exact, surely_less, surely_not_negative, surely_not_positive, upper_of_two
from refcert.kernel.claims import PlaneClaim
from refcert.kernel.diagonal_proof import Plane
from refcert.kernel.functions import Curve, sigmoid, tanh
from refcert.kernel.inside_proof import border

# Rectangles of one claim.
CELLS: Final = 1024


class Cell(NamedTuple):
    """A rectangle of the part of the box where v, z >= 0."""

    low_v: float
    high_v: float
    low_z: float
    high_z: float

    def halves(self) -> tuple[Cell, Cell] | None:
        """Both halves of the longer side; None where no float lies between its ends."""
        low_v, high_v, low_z, high_z = self
        if high_v - low_v >= high_z - low_z:
            cut = low_v / 2 + high_v / 2
            both = Cell(low_v, cut, low_z, high_z), Cell(cut, high_v, low_z, high_z)
            return both if low_v < cut < high_v else None
        cut = low_z / 2 + high_z / 2
        both = Cell(low_v, high_v, low_z, cut), Cell(low_v, high_v, cut, high_z)
        return both if low_z < cut < high_z else None


def holds_in_cells(claim: PlaneClaim, plane: Plane) -> bool:
    """Is the claim certain at every maximum in the interior of the octagon? claim: about an upper plane."""
    search = _Search(claim, plane)
    cells = [Cell(max(claim.lower_v, 0.0), claim.upper_v, max(claim.lower_z, 0.0), claim.upper_z)]
    for _ in range(CELLS):
        if not cells:
            return True
        cell = cells.pop()
        if not (search.outside(cell) or search.decided(cell)):
            halves = cell.halves()
            if halves is None:
                return False
            cells += halves
    return not cells


class _Search:
    def __init__(self, claim: PlaneClaim, plane: Plane) -> None:
        assert claim.diagonals is not None
        self.plane = plane
        self.diagonals = [exact(x) for x in claim.diagonals]
        self.sigmoids: dict[float, Curve] = {}
        self.tanhs: dict[float, Curve] = {}

    def sigmoid(self, v: float) -> Curve:
        if v not in self.sigmoids:
            self.sigmoids[v] = sigmoid(exact(v))
        return self.sigmoids[v]

    def tanh(self, z: float) -> Curve:
        if z not in self.tanhs:
            self.tanhs[z] = tanh(exact(z))
        return self.tanhs[z]

    def outside(self, cell: Cell) -> bool:
        """Is no point of the cell in the octagon's interior?"""
        low_v, high_v, low_z, high_z = map(exact, cell)
        low_plus, high_plus, low_minus, high_minus = self.diagonals
        return (
            surely_not_negative(low_v + low_z - high_plus)
            or surely_not_negative(low_plus - high_v - high_z)
            or surely_not_negative(low_v - high_z - high_minus)
            or surely_not_negative(low_minus - high_v + low_z)
        )

    def decided(self, cell: Cell) -> bool:
        """Is no interior maximum in the cell, or F certainly <= c there?"""
        a, b, c = self.plane
        s_low, s_high = self.sigmoid(cell.low_v), self.sigmoid(cell.high_v)
        t_low, t_high = self.tanh(cell.low_z), self.tanh(cell.high_z)
        # sigmoid' falls in v > 0 and tanh' in z > 0. Where a derivative of F keeps its sign there is none.
        if (
            surely_less(s_high.value * t_low.slope, b)
            or surely_less(b, s_low.value * t_high.slope)
            or surely_less(s_low.slope * t_high.value, a)
            or surely_less(a, s_high.slope * t_low.value)
        ):
            return True
        if not cell.high_z > 0 or surely_less(exact(cell.high_v), border(t_high)):
            return True  # the region grows with v and z, and not even the last corner is in it
        z = (exact(cell.low_z) + exact(cell.high_z)) / 2
        t = tanh(z)
        v = upper_of_two((exact(cell.low_v) + exact(cell.high_v)) / 2, border(t))  # z > 0: in the region
        s = sigmoid(v)
        tilt_v, tilt_z = s.slope * t.value - a, s.value * t.slope - b
        bound = s.value * t.value - a * v - b * z
        bound += upper_of_two(tilt_v * (exact(cell.high_v) - v), tilt_v * (exact(cell.low_v) - v))
        bound += upper_of_two(tilt_z * (exact(cell.high_z) - z), tilt_z * (exact(cell.low_z) - z))
        return surely_not_positive(bound - c)
