"""The rules: one function each, found by its name in one table (certificate_v1.md, section 7).

Every function proves its step or raises: FailedStepError where the step certainly does not follow, UndecidedStepError
where no precision decides it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from flint import arb

from refcert.kernel.ball import exact, float_above, larger, precision, surely_less, surely_not_negative
from refcert.kernel.claims import SIDES, PlaneClaim, Status
from refcert.kernel.ends import PRECISIONS, IntervalArithmetic, SumsOfEnds, ends_of, finite, prove_ends
from refcert.kernel.errors import FailedStepError, UndecidedStepError
from refcert.kernel.plane_proof import check_plane
from refcert.kernel.specification import Specification
from refcert.kernel.state import Planes, State
from refcert.kernel.steps import Step
from refcert.kernel.substitution import Row, bounds

# Rows of a tensor of planes over two arguments that share their slopes in z.
SHARED_Z: Final = 5


class Claimed(NamedTuple):
    """What the whole certificate claims."""

    specification: Specification
    margin: float


# planes


def planes(step: Step, state: State, claimed: Claimed) -> None:
    """Lower and upper planes of one part, proved unit by unit on its domain: box and diagonals of its arguments."""
    part = state.program.variables[step.of].parts[step.part]
    zeros, shared = [0.0] * part.v.size, len(step.rows) == SHARED_Z
    lower: Sequence[list[float]]
    upper: Sequence[list[float]]
    if part.z is None:
        lower, upper = (step.rows[0], zeros, step.rows[1]), (step.rows[2], zeros, step.rows[3])
    elif shared:
        lower, upper = step.rows[:3], (step.rows[3], step.rows[1], step.rows[4])
    else:
        lower, upper = step.rows[:3], step.rows[3:]
    box_v = state.box(part.v, negate=part.negate)
    box_z = (zeros, zeros) if part.z is None else state.box(part.z)
    cut = state.diagonals.get((step.of, step.part))
    undecided: str | None = None
    for side, plane in zip(SIDES, (lower, upper), strict=True):
        for unit, values in enumerate(zip(*box_v, *box_z, *plane, strict=True)):
            state.budget.check()
            if not all(map(math.isfinite, values)):
                raise UndecidedStepError(f"the box of unit {unit} is not bounded", {"unit": unit})
            claim = PlaneClaim(part.kind, side, *values)
            verdict = check_plane(claim if cut is None else replace(claim, diagonals=cut[unit]))
            if verdict.status is Status.REFUTED:
                if not state.sharp(part.v) or (part.z is not None and not state.sharp(part.z)):
                    raise UndecidedStepError(
                        f"unit {unit}: the box that its arguments imply is not known to the last place"
                    )
                assert verdict.point is not None and verdict.violation is not None
                raise FailedStepError(
                    f"the {side} plane of unit {unit} is violated",
                    {"unit": unit, "side": side, "point": verdict.point, "violation": verdict.violation},
                )
            if verdict.status is not Status.PROVED and undecided is None:
                undecided = f"the {side} plane of unit {unit} is undecided: {verdict.reason}"
    if undecided is not None:
        raise UndecidedStepError(undecided)
    turn = -1 if part.negate else 1
    low, high = [[exact(x) for x in row] for row in lower], [[exact(x) for x in row] for row in upper]
    state.planes[step.which, step.of, step.part] = Planes(
        lower_v=[turn * x for x in low[0]],
        upper_v=[turn * x for x in high[0]],
        lower_z=None if part.z is None else low[1],
        upper_z=None if part.z is None else low[1] if shared else high[1],
        lower_offset=low[2],
        upper_offset=high[2],
    )


# boxes and diagonals


def box_interval(step: Step, state: State, claimed: Claimed) -> None:
    """A box by interval arithmetic."""
    _prove_box(step, state, by_interval=True, sets=())


def box_substitution(step: Step, state: State, claimed: Claimed) -> None:
    """A box by back-substitution with any of the sets."""
    _prove_box(step, state, by_interval=False, sets=step.sets)


def box_intersection(step: Step, state: State, claimed: Claimed) -> None:
    """A box each of whose ends follows in one of both ways."""
    _prove_box(step, state, by_interval=True, sets=step.sets)


def _prove_box(step: Step, state: State, *, by_interval: bool, sets: Sequence[int]) -> None:
    lower, upper = step.rows
    forms: list[Row] = [{(step.of, unit): 1.0} for unit in range(len(lower))]
    ends = ends_of(forms, lower, upper, "box")
    prove_ends(state, ends, IntervalArithmetic(state, step.of) if by_interval else None, sets)
    state.boxes[step.of] = lower, upper


def diagonals(step: Step, state: State, claimed: Claimed) -> None:
    """Ends of v + z and v - z of one part, each by adding ends of its box or by back-substitution with any set."""
    part = state.program.variables[step.of].parts[step.part]
    assert part.z is not None
    ends, turn = [], -1.0 if part.negate else 1.0
    for way, name, (lower, upper) in ((1.0, "v + z", step.rows[:2]), (-1.0, "v - z", step.rows[2:])):
        forms: list[Row] = [
            {(part.v.variable, part.v.first + unit): turn, (part.z.variable, part.z.first + unit): way}
            for unit in range(part.v.size)
        ]
        ends += ends_of(forms, lower, upper, name)
    prove_ends(state, ends, SumsOfEnds(state, part), step.sets)
    state.diagonals[step.of, step.part] = list(zip(*step.rows, strict=True))


# margins


def margin(step: Step, state: State, claimed: Claimed) -> None:
    """The claim from bounds of the specification's rows."""
    specification, wanted = claimed.specification, exact(claimed.margin)
    rows = [_over_outputs(state, row) for row in specification.rows]
    for bits in PRECISIONS:
        with precision(bits):
            best = _best(state, rows, specification.constants, step.sets)
            missing = [k for k, value in enumerate(best) if not surely_not_negative(value - wanted)]
            if len(missing) <= specification.spare:
                return
            below = [k for k in missing if state.inputs.exact and surely_less(best[k], wanted)]
            if len(below) > specification.spare:
                found = {"row": below[0], "claimed": claimed.margin, "derived": finite(float_above(best[below[0]]))}
                raise FailedStepError(f"row {below[0]} does not reach the margin", found)
    raise UndecidedStepError(f"row {missing[0]} is undecided", {"row": missing[0]})


def margin_per_class(step: Step, state: State, claimed: Claimed) -> None:
    """The claim from a bound of the label's output and of each other output by itself."""
    specification, wanted = claimed.specification, exact(claimed.margin)
    if specification.label is None:
        raise FailedStepError("margin.per_class is for a claim about one label against others")
    outputs = [{specification.label: 1.0}, *({j: -1.0} for j in specification.others)]
    rows = [_over_outputs(state, row) for row in outputs]
    for bits in PRECISIONS:
        with precision(bits):
            label, *others = _best(state, rows, [0.0] * len(rows), step.sets)
            margins = [label + other for other in others]
            missing = [k for k, value in enumerate(margins) if not surely_not_negative(value - wanted)]
            if not missing:
                return
            below = [k for k in missing if state.inputs.exact and surely_less(margins[k], wanted)]
            if below:
                worst, derived = specification.others[below[0]], finite(float_above(margins[below[0]]))
                raise FailedStepError(
                    f"class {worst} does not stay below by the margin",
                    {"class": worst, "claimed": claimed.margin, "derived": derived},
                )
    raise UndecidedStepError(f"class {specification.others[missing[0]]} is undecided")


def _over_outputs(state: State, row: Any) -> Row:
    """A row over the outputs as one over the answers' units."""
    classes = state.program.answers[0].size
    return {(state.program.answers[j // classes].variable, j % classes): x for j, x in row.items()}


def _best(state: State, rows: Sequence[Row], constants: Sequence[float], sets: Sequence[int]) -> list[arb]:
    """The largest substitution of every row."""
    best = bounds(state, rows, constants, sets[0])
    for which in sets[1:]:
        best = [larger(a, b) for a, b in zip(best, bounds(state, rows, constants, which), strict=True)]
    return best


RULES: Final[dict[str, Callable[[Step, State, Claimed], None]]] = {
    "diagonals": diagonals,
    "planes": planes,
    "box.interval": box_interval,
    "box.substitution": box_substitution,
    "box.intersection": box_intersection,
    "margin": margin,
    "margin.per_class": margin_per_class,
}
