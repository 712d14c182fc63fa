"""Bounds from planes that somebody else chose: is what an engine reports what its planes give?

claim     `lower`, `upper` are the reference's own bounds of the rows with the given planes, and hold if every given
          plane holds on its box (`violation` <= 0; the kernel proves that) and every box is sound (`escapes` is empty).
idea      The planes are taken as they are. Boxes are derived again with them, in order of computation, and compared
          with those that the planes were made for: by induction, a plane may be used if its box holds the derived one.
octagons  Where planes were made for an octagon, bounds of v + z and v - z are derived again, too, and compared alike.
source    POPQORN (Ko et al. 2019), theorems A.2, A.3, A.6: the bounds as functions of the planes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from refcert.reference.backsubstitution import RowBound
from refcert.reference.bounds import derive_boxes, row_bounds
from refcert.reference.equations import Nonlinear, Program, Variable
from refcert.reference.errors import ReferenceInputError
from refcert.reference.exact_planes import Extreme, Plane, PlanePair, extreme_excess
from refcert.reference.input_sets import InputSet
from refcert.reference.intervals import POINT_ZERO, Interval
from refcert.reference.networks import Array, Network
from refcert.reference.octagons import Diagonals, derive_diagonals, extreme_on_octagon
from refcert.reference.unrolling import unroll

BACKWARD: Final = " (backward)"
ZERO_PLANE: Final = Plane(0.0, 0.0, 0.0)
COLUMNS: Final = (
    *("kind", "side", "lower_v", "upper_v", "lower_z", "upper_z", "slope_v", "slope_z", "offset"),
    *("layer", "t", "unit", "product"),
)
DIAGONALS: Final = ("lower_plus", "upper_plus", "lower_minus", "upper_minus")


class Given(NamedTuple):
    """One nonlinearity with its planes and the box, or with diagonals the octagon, that they were made for."""

    kind: str
    v: Interval
    z: Interval
    planes: PlanePair
    diagonals: Diagonals | None = None

    def violation(self) -> float:
        """How far the function leaves the space between its planes there; <= 0 (up to rounding) if they hold.

        For the upper plane the greatest value of f - plane, for the lower one that of plane - f.
        """
        lower, upper = self.planes
        above = self._extreme(upper)[1].value - upper.offset
        below = lower.offset - self._extreme(lower)[0].value
        return max(above, below)

    def _extreme(self, plane: Plane) -> tuple[Extreme, Extreme]:
        slopes = plane.slope_v, plane.slope_z
        if self.diagonals is None:
            return extreme_excess(self.kind, self.v, self.z, *slopes)
        return extreme_on_octagon(self.kind, self.v, self.z, self.diagonals, *slopes)


class Escape(NamedTuple):
    """A variable whose derived interval is not inside the box that the planes were made for.

    For v + z or v - z of a product: the product itself, `what` says which.
    """

    variable: Variable
    derived: Interval
    given: Interval
    what: str = ""


@dataclass(frozen=True)
class GivenBounds:
    """lower, upper (rows,), both in full; the derived boxes, and where these are not inside the given ones."""

    lower: Array
    upper: Array
    rows: tuple[RowBound, ...]
    upper_rows: tuple[RowBound, ...]
    boxes: dict[Variable, Interval]
    escapes: tuple[Escape, ...]
    program: Program


def bounds_with_planes(
    network: Network,
    input_set: InputSet,
    C: Array,
    d: Array | None,
    given: Mapping[Variable, Given],
    maximum: str = "tree",
    exact: bool = False,
) -> GivenBounds:
    """Bounds of C F(x) + d by back-substitution with the given planes. exact: rational arithmetic, tiny networks.

    Raises ReferenceFailureError where the planes contradict interval bounds, and ReferenceInputError where a
    nonlinearity has no planes (but for sigmoid(v) * 0 in a first frame), or planes of another kind.
    """
    program = unroll(network, *input_set.shape, maximum)
    nonlinear = [equation for equation in program.equations if isinstance(equation, Nonlinear)]
    extra = set(given) - {equation.variable for equation in nonlinear}
    if extra:
        raise ReferenceInputError(f"planes of {extra.pop()} are given, which the network does not have")

    def choose(equation: Nonlinear, v: Interval, z: Interval) -> PlanePair:
        return _given_planes(given, equation, z)

    boxes, planes = derive_boxes(program, input_set, choose, exact)
    escapes = []
    for equation in nonlinear:
        asked = given[equation.variable].diagonals if equation.variable in given else None
        if asked is None:
            continue
        # the planes met on the way are those of earlier equations, whose domains have been compared by then
        derived = derive_diagonals(equation, program, input_set, planes, boxes, exact)
        for what, ours, theirs in zip(("v + z", "v - z"), derived, asked, strict=True):
            if not _inside(ours, theirs):
                escapes.append(Escape(equation.variable, ours, theirs, what))
    for equation in nonlinear:
        if equation.variable not in given:
            continue
        entry = given[equation.variable]
        for variable, box in ((equation.v, entry.v), (equation.z, entry.z)):
            if variable is not None and not _inside(boxes[variable], box):
                escapes.append(Escape(variable, boxes[variable], box))
    lower, upper, rows, upper_rows = row_bounds(program, input_set, C, d, planes, boxes, exact)
    return GivenBounds(lower, upper, rows, upper_rows, boxes, tuple(escapes), program)


def _given_planes(given: Mapping[Variable, Given], equation: Nonlinear, z: Interval) -> PlanePair:
    found = given.get(equation.variable)
    if found is None and equation.kind == "sigmoid_times_identity" and z == POINT_ZERO:
        return PlanePair(ZERO_PLANE, ZERO_PLANE)  # sigmoid(v) * 0: an engine need not mention it
    if found is None or found.kind != equation.kind:
        kind = "missing" if found is None else f"of {found.kind}"
        raise ReferenceInputError(f"the planes of {equation.variable} are {kind}; give those of {equation.kind}")
    return found.planes


def _inside(derived: Interval, given: Interval) -> bool:
    return given.lower <= derived.lower and derived.upper <= given.upper


def given_from_columns(network: Network, time: int, columns: Mapping[str, Sequence[Any]]) -> dict[Variable, Given]:
    """The planes of ONE sample from a planes table: one entry per plane in each of COLUMNS.

    The columns DIAGONALS may be there, too; NaN for planes on boxes.

    product: `input`, `forget`, `output`, `reset`, `candidate`, `update` or a vanilla cell's `activation`, followed by
    BACKWARD in a reversed direction; `before.K`, `after.K`; `maximum`. The last two may occur several times for the
    same unit (one run of units per direction, and per comparison): then the order of the rows tells them apart.
    """
    names = (*COLUMNS, *(name for name in DIAGONALS if name in columns))
    rows = [dict(zip(names, row, strict=True)) for row in zip(*(list(columns[name]) for name in names), strict=True)]
    sides: dict[str, dict[Variable, tuple[Plane, dict[str, Any]]]] = {"lower": {}, "upper": {}}
    runs: dict[tuple[str, str, int, int], int] = {}
    for row in rows:
        key = (str(row["side"]), str(row["product"]), int(row["layer"]), int(row["t"]))
        if int(row["unit"]) == 0:
            runs[key] = runs.get(key, -1) + 1
        variable = _variable(network, time, row, runs[key])
        plane = Plane(float(row["slope_v"]), float(row["slope_z"]), float(row["offset"]))
        if variable in sides[key[0]]:
            raise ReferenceInputError(f"the {key[0]} plane of {variable} is given twice")
        sides[key[0]][variable] = plane, row
    if sides["lower"].keys() != sides["upper"].keys():
        odd = next(iter(sides["lower"].keys() ^ sides["upper"].keys()))
        raise ReferenceInputError(f"{odd} has only one of its two planes")
    return {
        variable: Given(
            str(row["kind"]),
            Interval(float(row["lower_v"]), float(row["upper_v"])),
            Interval(float(row["lower_z"]), float(row["upper_z"])) if "times" in row["kind"] else POINT_ZERO,
            PlanePair(plane, sides["upper"][variable][0]),
            _diagonals(row),
        )
        for variable, (plane, row) in sides["lower"].items()
    }


def _diagonals(row: Mapping[str, Any]) -> Diagonals | None:
    ends = [float(row.get(name, math.nan)) for name in DIAGONALS]
    if all(map(math.isnan, ends)):
        return None
    return Diagonals(Interval(ends[0], ends[1]), Interval(ends[2], ends[3]))


def _variable(network: Network, time: int, row: Mapping[str, Any], run: int) -> Variable:
    """The reference's name of the nonlinearity that a row belongs to."""
    product, layer, t, unit = str(row["product"]), int(row["layer"]), int(row["t"]), int(row["unit"])
    top = [part.output for part in network.layers[-1]]
    if product == "maximum":
        direction, comparison = divmod(run, time - 1)
        return Variable("readout", comparison, sum(top[:direction]) + unit, product)
    if product.startswith(("before.", "after.")):
        frame = t if product.startswith("before.") or network.readout == "every" else 0
        return Variable(product, frame, sum(top[:run]) + unit, "activation")
    reverse = product.endswith(BACKWARD)
    for direction, part in enumerate(network.layers[layer]):
        if part.reverse == reverse:
            return Variable(f"layers.{layer}.{direction}", t, unit, product.removesuffix(BACKWARD))
    raise ReferenceInputError(f"product {product!r}: layer {layer} has no such direction")
